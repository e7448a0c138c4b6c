"""Tables: what a run's statistics say, as columns with units, for CSV, JSON, NumPy and people.

    found = tables.tables(eventsim.open_run("run.h5"))
    found["layers"].as_arrays()["rate"], found["neurons"].as_csv()

Each table is long and plain (one row per layer, per neuron, per (layer, step), ...), so that any tool
can group and pivot it. Names of layers are written as they are.
"""

import math
from typing import Dict, Iterable, List

import numpy as np

from eventsim.arguments import names_of, open_run_of, shown
from eventsim.costs.energy_summary import EnergyOfAll
from eventsim.display.table import Table
from eventsim.errors import RunError
from eventsim.report import findings
from eventsim.statistics.classes import rates_by_class
from eventsim.statistics.counts import EXECUTED, NAMES
from eventsim.text import did_you_mean


# ---- what a run has


def node_names(run, only: Iterable[str] = ()) -> List[str]:
    """Every node with counts or with spikes, in the model's order. only: these. Raises RunError for a
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
    """What nodes sent, of which statistics of this kind were gathered: "n_samples", all of it; "n_detailed",
    intervals and correlations."""
    trains = {name: run.statistics.trains.get(name) for name in node_names(run, only)}
    return {name: train for name, train in trains.items() if train is not None and getattr(train, counted)}


def _per_layer(parts):
    """One table's columns from (name, {column: values}) of each layer; values may be scalars."""
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


def run_table(run, only=()):
    """What was run: one row per fact."""
    summary = run.summary
    facts = {
        "file": run.path,
        **{key: getattr(summary, key) for key in ("model", "data", "samples", "timesteps", "dropped_events",
                                                  "precision", "chip", "workers", "accuracy", "seconds",
                                                  "samples_per_second")},
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


def layer_table(run, only=()):
    """One row per node: what it sent, what it took to compute it (per sample), what it cost."""
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
            **{key: float(getattr(train, key)) if train is not None and train.n_samples else math.nan
               for key in _OF_TRAINS},
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


def _mean(values):
    values = values[np.isfinite(values)]
    return float(values.mean()) if values.size else math.nan


def step_table(run, only=()):
    """One row per step: all trains together, of the samples that had the step, and the decisions had the run
    stopped there."""
    trains = _trains(run, only)
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
    return Table(columns, {"rate": "1/(neuron step)", "final_share": "1", "accuracy": "1"},
                 "steps (counted from 1): rate over all layers, decisions had the run stopped there")


def rate_table(run, only=()):
    """One row per layer and step."""
    return Table(_per_layer(
        (name, {"step": np.arange(1, len(train.rate_by_step) + 1), "events": train.events_by_step,
                "rate": train.rate_by_step})
        for name, train in _trains(run, only).items()
    ), {"rate": "1/(neuron step)"}, "rates by layer and step")


def level_table(run, only=()):
    """One row per layer and level."""
    return Table(_per_layer(
        (name, {"level": train.level_values, "count": train.level_counts, "share": train.level_shares})
        for name, train in _trains(run, only).items()
    ), {"share": "1"}, "levels: how often each was sent, 0 included")


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


def interval_table(run, only=()):
    """One row per layer and inter-spike interval; the last stands for itself and all longer ones."""
    return Table(_per_layer(
        (name, {"interval": np.arange(len(train.interval_histogram)), "count": train.interval_histogram})
        for name, train in _trains(run, only, "n_detailed").items()
    ), {"interval": "steps"}, "inter-spike intervals; the longest of each layer stands for all longer ones too")


def correlation_table(run, only=()):
    """One row per layer and pair of the neurons chosen for it."""
    parts = []
    for name, train in _trains(run, only, "n_detailed").items():
        i, j = np.triu_indices(len(train.chosen), 1)
        if len(i):
            parts.append((name, {"neuron_a": train.chosen[i], "neuron_b": train.chosen[j],
                                 "together": train.together[i, j], "correlation": train.correlations[i, j]}))
    return Table(_per_layer(parts), {"correlation": "1"}, "pairs of neurons: Pearson's r of having fired")


def membrane_table(run, only=()):
    """One row per layer of neurons whose membranes were watched; "last" is the last step that one of these samples
    had."""
    watched = {name: run.statistics.membranes.get(name) for name in node_names(run, only)}
    rows = []
    for name, found in watched.items():
        if found is None or not found.n_samples:
            continue
        means, drift = found.means[: found.longest], found.drift[: found.longest]
        rows.append({
            "layer": name, "unit": found.unit, "samples": found.n_samples, "threshold": float(found.threshold),
            "lowest": float(found.lowest), "highest": float(found.highest), "not_finite": int(found.n_not_finite),
            "mean_first": _last(means[:1]), "mean_last": _last(means),
            "rms_first": _last(drift[:1]), "rms_last": _last(drift),
            "error": float(found.error), "rectified_error": float(found.rectified_error),
        })
    return Table({key: [row[key] for row in rows] for key in rows[0]} if rows else {},
                 {"error": "quanta^2", "rectified_error": "quanta^2"},
                 "membranes: potentials before the reset, drift of what is left after it, in the unit named")


def _last(values):
    return float(values[-1]) if len(values) else math.nan


def sample_table(run, only=()):
    """One row per sample."""
    columns = {"sample": np.arange(run.n_samples), "prediction": np.asarray(run.predictions)}
    if run.labels is not None:
        columns["label"] = np.asarray(run.labels)
        columns["correct"] = columns["label"] == columns["prediction"]
    for count in ("events", "synops", "additions", "macs"):
        columns[count] = sum((row[count] for row in run.counts.layers.values()), np.zeros(run.n_samples, np.int64))
    return Table(columns, {}, "samples: prediction and cost")


def confusion_table(run, only=()):
    """One row per pair of label and prediction that occurred."""
    decisions = run.statistics.decisions
    if decisions is None or decisions.confusion is None:
        return Table({}, {}, "confusion")
    names = class_names(run, len(decisions.confusion))
    label, prediction = np.nonzero(decisions.confusion)
    return Table({"label": [names[i] for i in label], "prediction": [names[i] for i in prediction],
                  "samples": decisions.confusion[label, prediction]}, {}, "confusion: pairs that occurred")


def class_table(run, only=()):
    """One row per class: how many there were, how many were found, how often a prediction was right."""
    decisions = run.statistics.decisions
    if decisions is None or decisions.confusion is None:
        return Table({}, {}, "classes")
    right = np.diagonal(decisions.confusion)
    labels, predictions = decisions.confusion.sum(axis=1), decisions.confusion.sum(axis=0)
    with np.errstate(invalid="ignore"):
        return Table({"class": class_names(run, len(right)), "samples": labels, "predicted": predictions,
                      "recall": right / labels, "precision": right / predictions},
                     {"recall": "1", "precision": "1"}, "classes")


def class_names(run, n) -> List[str]:
    """The run's names of its n classes, or their numbers."""
    names = [str(name) for name in run.summary.class_names]
    return names if len(names) == n else [str(i) for i in range(n)]


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


def finding_table(run, only=()):
    """One row per finding, the most important first."""
    only = node_names(run, only) if only else ()
    found = [f for f in findings.find(run) if not only or f.layer in only]
    return Table({"kind": [f.kind for f in found], "severity": [f.severity for f in found],
                  "layer": [f.layer or "" for f in found], "sentence": [f.sentence for f in found],
                  "remedy": [f.remedy for f in found]} if found else {}, {}, "findings")


TABLES = {
    "run": run_table, "findings": finding_table, "layers": layer_table, "levels": level_table,
    "planes": plane_table, "steps": step_table, "rates": rate_table, "membranes": membrane_table,
    "intervals": interval_table, "correlations": correlation_table, "classes": class_table,
    "class_rates": class_rate_table,
    "confusion": confusion_table, "neurons": neuron_table, "samples": sample_table,
}


def table(run, name: str, layers: Iterable[str] = ()) -> Table:
    """One table, of these layers only where it is by layer. Raises RunError for a name that there is
    not."""
    if not isinstance(name, str) or name not in TABLES:
        raise RunError(f"{shown(name)} is no table; there are: {', '.join(TABLES)}"
                       + did_you_mean(str(name), TABLES))
    return TABLES[name](open_run_of(run), names_of(layers, "layers", "names of layers"))


def tables(run, layers: Iterable[str] = ()) -> Dict[str, Table]:
    """Every table that the run has something for."""
    found = {name: table(run, name, layers) for name in TABLES}
    return {name: one for name, one in found.items() if len(one)}
