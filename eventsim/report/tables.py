"""Tables: what a run's statistics say, as columns with units, for CSV, JSON, NumPy and people.

    every = tables.tables(eventsim.open_run("run.h5"))
    every["layers"].as_arrays()["rate"], every["neurons"].as_csv()

Each table is long and plain (one row per layer, per neuron, per (layer, step), ...), so that any tool
can group and pivot it. Names of layers are written as they are. Steps are counted from 1 in every table, as
"after so many steps"; arrays, `events()` and `diff` count them from 0.
"""

import math
from typing import Dict, Iterable, List

import numpy as np

from eventsim.arguments import names_of, open_run_of, shown
from eventsim.costs.energy_summary import EnergyOfAll
from eventsim.display.table import Table
from eventsim.errors import DataError, RunError
from eventsim.report import findings
from eventsim.statistics.classes import rates_by_class
from eventsim.statistics.counts import EXECUTED, NAMES
from eventsim.text import did_you_mean

STEPS = {"step": "counted from 1"}  # what units say of a column of steps
TABLES = {}  # name -> function of a run, and of names of layers where it is by layer


def makes(name, by_layer=True):
    """Register the function that makes a table. by_layer: whether it takes names of layers behind the run; if not,
    the table is of the whole network."""

    def register(make):
        make.by_layer = by_layer
        TABLES[name] = make
        return make

    return register


def table(run, name: str, layers: Iterable[str] = ()) -> Table:
    """Return one table; layers: of these only. Raises RunError for a name that there is not, and DataError for
    layers of a table that is not by layer."""
    if not isinstance(name, str) or name not in TABLES:
        raise RunError(f"{shown(name)} is no table; there are: {', '.join(TABLES)}"
                       + did_you_mean(str(name), TABLES))
    run, layers = open_run_of(run), names_of(layers, "layers", "names of layers")
    if TABLES[name].by_layer:
        node_names(run, layers)  # raises where one is unknown
        return TABLES[name](run, layers)
    if layers:
        raise DataError(f"layers is no argument of the table {name}, only of {', '.join(tables_by_layer())}")
    return TABLES[name](run)


def tables(run, layers: Iterable[str] = ()) -> Dict[str, Table]:
    """Return every table that the run has something for. layers: of these only, and only the tables by layer."""
    layers = names_of(layers, "layers", "names of layers")
    names = tables_by_layer() if layers else TABLES
    every = {name: table(run, name, layers) for name in names}
    return {name: each for name, each in every.items() if len(each)}


def tables_by_layer() -> List[str]:
    """Return the names of the tables that take names of layers."""
    return [name for name, make in TABLES.items() if make.by_layer]


# ---- what a run has


def node_names(run, only: Iterable[str] = ()) -> List[str]:
    """Return every node with counts or with spikes, in the model's order. only: these. Raises RunError for a
    name that the run does not have."""
    only = names_of(only, "only", "names of layers")
    known = {*run.layers, *run.statistics.trains}
    ordered = [node.name for node in run.summary.nodes]
    ordered += [name for name in (*run.layers, *run.statistics.trains) if name not in ordered]
    names = [name for name in dict.fromkeys(ordered) if name in known]
    for name in only:
        if name not in known:
            raise RunError(f"{run.path}: no layer {name!r}; there are: {', '.join(names)}"
                           + did_you_mean(name, names))
    return [name for name in names if not only or name in only]


def _trains(run, only, counted="n_samples"):
    """Return name -> TrainStatistics of the nodes of which one kind of statistics was gathered: "n_samples", of
    all that they sent; "n_detailed", intervals and correlations."""
    trains = {name: run.statistics.trains.get(name) for name in node_names(run, only)}
    return {name: train for name, train in trains.items() if train is not None and getattr(train, counted)}


def _per_layer(parts):
    """Return a table's columns from (name, {column: values}) of each layer; values may be scalars."""
    parts = list(parts)
    if not parts:
        return {}
    columns = {"layer": []}
    for name, part in parts:
        n = max(np.size(values) for values in part.values())
        columns["layer"] += [name] * n
    for column in parts[0][1]:
        columns[column] = np.concatenate([
            np.broadcast_to(np.asarray(part[column]), (max(np.size(v) for v in part.values()),))
            for _, part in parts
        ])
    return columns


# ---- the tables


@makes("run", by_layer=False)
def run_table(run):
    """What was run: one row per fact."""
    summary = run.summary
    facts = {
        "file": run.path,
        **{key: getattr(summary, key) for key in ("model", "data", "samples", "timesteps", "presented_steps",
                                                  "dropped_events", "precision", "chip", "workers", "accuracy",
                                                  "seconds", "samples_per_second")},
        "mean_final_step": None if run.statistics.decisions is None else run.statistics.decisions.mean_final_step,
        **{f"total_{key}": value for key, value in vars(summary.totals).items()},
        **{f"made_{key}": value for key, value in vars(summary.made).items()},
    }
    facts = {key: value for key, value in facts.items() if value is not None}
    return Table({"fact": list(facts), "value": [str(value) for value in facts.values()]},
                 title="what was run")


_LAYER_UNITS = {
    "events": "1/sample", "rate": "1/(neuron step)", "silent_share": "1", "saturated_share": "1",
    "mean_level": "levels", "top_level_share": "1", "sparsity": "1", "entropy": "bit/(neuron step)",
    "information_per_event": "bit", "cv": "1", "lv": "1", "fano": "1",
    "energy": "J/sample", "ann_energy": "J/sample", "crossing_rate": "1/(synapse step)",
    **{name: "1/sample" for name in (*NAMES, *EXECUTED)},
}


@makes("findings")
def finding_table(run, only=()):
    """One row per finding, the most important first. only: of these layers, and those of the network as a whole,
    whose layer is ""."""
    chosen = [finding for finding in findings.find(run) if not only or finding.layer in (None, *only)]
    columns = ("kind", "severity", "layer", "sentence", "remedy")
    values = {name: [getattr(finding, name) or "" for finding in chosen] for name in columns}
    return Table(values if chosen else {}, {}, "findings")


@makes("layers")
def layer_table(run, only=()):
    """One row per node: what it sent, what it took to compute it (per sample), what it cost. Without statistics of
    what a node sent, such as real-valued input, its rate and sparsity are those of the counts."""
    kinds = {node.name: node.kind for node in run.summary.nodes}
    energies = {} if run.summary.energy is None else {layer.name: layer for layer in run.summary.energy.layers}
    n = max(run.n_samples, 1)
    rows = []
    for name in node_names(run, only):
        train = run.statistics.trains.get(name)
        counts = run.counts.layers.get(name)
        energy = energies.get(name, EnergyOfAll())
        rows.append({
            "layer": name,
            "kind": kinds.get(name, ""),
            "neurons": run.counts.neurons[name] if train is None else train.n_neurons,
            "bits": None if train is None else train.bits,
            **_sent(run, name, train),
            **{key: math.nan if train is None else _mean(getattr(train, key)) for key in ("cv", "lv", "fano")},
            **{key: math.nan if counts is None else float(counts[key].sum()) / n for key in (*NAMES, *EXECUTED)},
            "energy": energy.total, "ann_energy": energy.ann_total, "crossing_rate": energy.crossing_rate,
        })
        if train is not None and train.n_samples:
            rows[-1]["events"] = float(train.events.sum()) / n
    return Table({key: [row[key] for row in rows] for key in rows[0]} if rows else {}, _LAYER_UNITS,
                 "layers: spikes, synaptic operations per sample, energy")


_OF_TRAINS = ("rate", "silent_share", "saturated_share", "mean_level", "top_level_share", "sparsity", "entropy",
              "information_per_event")


def _sent(run, name, train):
    """Return what a node sent, as columns."""
    if train is not None and train.n_samples:
        return {key: float(getattr(train, key)) for key in _OF_TRAINS}
    columns = dict.fromkeys(_OF_TRAINS, math.nan)
    if findings.role_of(run, name) and name in run.counts.layers and run.counts.presented:
        rate = run.counts.firing_rate(name)
        columns.update(rate=rate, sparsity=1 - rate)
    return columns


def _mean(values):
    values = values[np.isfinite(values)]
    return float(values.mean()) if values.size else math.nan


@makes("levels")
def level_table(run, only=()):
    """One row per layer and level."""
    return Table(_per_layer(
        (name, {"level": train.level_values, "count": train.level_counts, "share": train.level_shares})
        for name, train in _trains(run, only).items()
    ), {"share": "1"}, "levels: how often each was sent, 0 included")


@makes("planes")
def plane_table(run, only=()):
    """One row per layer and bit plane."""
    parts = []
    for name, train in _trains(run, only).items():
        n = len(train.plane_use)
        bit = np.arange(n) % train.bits
        sign = np.where(np.arange(n) < train.bits, 1, -1)
        parts.append((name, {"bit": bit, "worth": sign << bit, "set": train.plane_events.sum(axis=1),
                             "use": np.asarray(train.plane_use, float)}))
    return Table(_per_layer(parts), {"worth": "levels", "use": "1"}, "bit planes: how often each is set")


@makes("steps", by_layer=False)
def step_table(run):
    """One row per step: the rate of all neurons together (without the input, pools and sums), of the samples that
    had the step, and the decisions had the run stopped there."""
    trains = {name: train for name, train in findings.firing(run) if train.n_samples}
    decisions = run.statistics.decisions
    steps = max([len(train.events_by_step) for train in trains.values()]
                + ([] if decisions is None else [len(decisions.final)]), default=0)
    columns = {"step": np.arange(1, steps + 1)}
    if trains:
        chances = sum(train.n_neurons * train.chances_by_step for train in trains.values())
        events = sum(train.events_by_step for train in trains.values())
        columns["rate"] = np.where(chances > 0, events / np.maximum(chances, 1), math.nan)
    if decisions is not None:
        columns["final_share"] = np.asarray(decisions.final_share, float)
        if decisions.correct is not None:
            columns["accuracy"] = np.asarray(decisions.accuracy_by_step, float)
    return Table(columns, {**STEPS, "rate": "1/(neuron step)", "final_share": "1", "accuracy": "1"},
                 "steps (counted from 1): rate of all neurons, not of the input; decisions had the run stopped "
                 "there")


@makes("rates")
def rate_table(run, only=()):
    """One row per layer and step, counted from 1."""
    return Table(_per_layer(
        (name, {"step": np.arange(1, len(train.rate_by_step) + 1), "events": train.events_by_step,
                "rate": train.rate_by_step})
        for name, train in _trains(run, only).items()
    ), {**STEPS, "rate": "1/(neuron step)"}, "rates by layer and step (counted from 1)")


@makes("membranes")
def membrane_table(run, only=()):
    """One row per layer of neurons whose membranes were watched; "last" is the last step that one of these samples
    had."""
    watched = {name: run.statistics.membranes.get(name) for name in node_names(run, only)}
    rows = []
    for name, layer in watched.items():
        if layer is None or not layer.n_samples:
            continue
        means, drift = layer.means[: layer.longest], layer.drift[: layer.longest]
        rows.append({
            "layer": name, "unit": layer.unit, "samples": layer.n_samples, "threshold": float(layer.threshold),
            "lowest": float(layer.lowest), "highest": float(layer.highest), "not_finite": int(layer.n_not_finite),
            "mean_first": _last(means[:1]), "mean_last": _last(means),
            "rms_first": _last(drift[:1]), "rms_last": _last(drift),
            "error": float(layer.error), "rectified_error": float(layer.rectified_error),
        })
    return Table({key: [row[key] for row in rows] for key in rows[0]} if rows else {},
                 {"error": "quanta^2", "rectified_error": "quanta^2"},
                 "membranes: potentials before the reset, drift of what is left after it, in the unit named")


def _last(values):
    return float(values[-1]) if len(values) else math.nan


@makes("intervals")
def interval_table(run, only=()):
    """One row per layer and inter-spike interval; the last stands for itself and all longer ones."""
    return Table(_per_layer(
        (name, {"interval": np.arange(len(train.interval_histogram)), "count": train.interval_histogram})
        for name, train in _trains(run, only, "n_detailed").items()
    ), {"interval": "steps"}, "inter-spike intervals; the longest of each layer stands for all longer ones too")


@makes("correlations")
def correlation_table(run, only=()):
    """One row per layer and pair of the neurons chosen for it."""
    parts = []
    for name, train in _trains(run, only, "n_detailed").items():
        i, j = np.triu_indices(len(train.chosen), 1)
        if len(i):
            parts.append((name, {"neuron_a": train.chosen[i], "neuron_b": train.chosen[j],
                                 "together": train.together[i, j], "correlation": train.correlations[i, j]}))
    return Table(_per_layer(parts), {"correlation": "1"}, "pairs of neurons: Pearson's r of having fired")


@makes("classes", by_layer=False)
def class_table(run):
    """One row per class: how many samples are of it, how many are predicted as it, how often that is right."""
    decisions = run.statistics.decisions
    if decisions is None or decisions.no_confusion:
        return Table({}, {}, "classes")
    right = np.diagonal(decisions.confusion)
    labels, predictions = decisions.confusion.sum(axis=1), decisions.confusion.sum(axis=0)
    with np.errstate(invalid="ignore"):
        return Table({"class": class_names(run, len(right)), "samples": labels, "predicted": predictions,
                      "recall": right / labels, "precision": right / predictions},
                     {"recall": "1", "precision": "1"}, f"classes{decisions.left_out_text}")


def class_names(run, n) -> List[str]:
    """Return the run's names of its n classes, or their numbers."""
    names = [str(name) for name in run.summary.class_names]
    return names if len(names) == n else [str(i) for i in range(n)]


@makes("class_rates")
def class_rate_table(run, only=()):
    """One row per layer and class of the samples."""
    if run.labels is None:
        return Table({}, {}, "rates by layer and class")
    names = class_names(run, run.output.shape[1])
    rates = rates_by_class(run.counts, run.labels, run.lengths)
    rows = [(layer, names[label] if 0 <= label < len(names) else str(label), rate)
            for layer in node_names(run, only) if layer in rates and layer in run.statistics.trains
            for label, rate in rates[layer].items()]
    columns = {key: [row[i] for row in rows] for i, key in enumerate(("layer", "class", "rate"))}
    return Table(columns if rows else {}, {"rate": "1/(neuron step)"}, "rates by layer and class of the samples")


@makes("confusion", by_layer=False)
def confusion_table(run):
    """One row per pair of label and prediction that occurred."""
    decisions = run.statistics.decisions
    if decisions is None or decisions.no_confusion:
        return Table({}, {}, "confusion")
    names = class_names(run, len(decisions.confusion))
    label, prediction = np.nonzero(decisions.confusion)
    return Table({"label": [names[i] for i in label], "prediction": [names[i] for i in prediction],
                  "samples": decisions.confusion[label, prediction]}, {},
                 f"confusion: pairs that occurred{decisions.left_out_text}")


@makes("neurons")
def neuron_table(run, only=()):
    """One row per layer and neuron; c, y, x are -1 on axes that the layer does not have."""
    parts = []
    for name, train in {**_trains(run, only), **_trains(run, only, "n_detailed")}.items():
        place = np.full((3, train.n_neurons), -1, np.int64)
        place[: len(train.shape)] = np.indices(train.shape).reshape(len(train.shape), -1)
        if len(train.shape) == 2:  # (C, X): no y
            place[[1, 2]] = place[[2, 1]]
        parts.append((name, {
            "neuron": np.arange(train.n_neurons), "c": place[0], "y": place[1], "x": place[2],
            "events": train.events if train.n_samples else np.full(train.n_neurons, math.nan),
            "rate": train.rates, "mean_interval": train.mean_intervals,
            "cv": train.cv, "lv": train.lv, "fano": train.fano,
        }))
    units = {"rate": "1/step", "mean_interval": "steps", "cv": "1", "lv": "1", "fano": "1"}
    return Table(_per_layer(parts), units, "neurons")


@makes("samples", by_layer=False)
def sample_table(run):
    """One row per sample."""
    columns = {"sample": np.arange(run.n_samples), "prediction": np.asarray(run.predictions)}
    if run.labels is not None:
        columns["label"] = np.asarray(run.labels)
        columns["correct"] = columns["label"] == columns["prediction"]
    for count in ("events", "synops", "additions", "macs"):
        columns[count] = sum((row[count] for row in run.counts.layers.values()), np.zeros(run.n_samples, np.int64))
    return Table(columns, {}, "samples: prediction and cost")
