"""Runs made from plain arrays, for tests of what reads a run: any spikes, membranes, answers and costs.

`MadeRun` has what `runs.Run` has. The statistics are those of `eventsim.statistics`, put together here
from levels, so that a test chooses what every neuron sends.
"""

from dataclasses import dataclass, field
from typing import Optional

import numpy as np

from eventsim.errors import RunError
from eventsim.runs.summary import RunSummary
from eventsim.statistics.counts import ALL_NAMES, Counts
from eventsim.statistics.decisions import Decisions
from eventsim.statistics.membranes import MembraneStatistics
from eventsim.statistics.result import Statistics
from eventsim.statistics.trains import TrainStatistics


@dataclass
class MadeRun:
    """See `runs.Run`."""

    summary: RunSummary
    counts: Counts
    output: np.ndarray
    statistics: Statistics
    labels: Optional[np.ndarray] = None
    outputs: Optional[np.ndarray] = None
    path: str = "made.h5"
    recorded: dict = field(default_factory=dict)
    lengths: Optional[np.ndarray] = None

    @property
    def layers(self):
        return tuple(self.counts.layers)

    @property
    def predictions(self):
        return self.output.argmax(axis=1)

    @property
    def n_samples(self):
        return self.counts.n_samples

    @property
    def n_steps(self):
        return self.counts.steps

    def spikes(self, name, first=0, stop=None):
        raise RunError(f"{self.path}: no spikes of {name!r} were recorded; run with --record spikes:{name}")

    def trace(self, kind, name, first=0, stop=None):
        raise RunError(f"{self.path}: no {kind} of {name!r} were recorded; run with --record {kind}:{name}")

    def close(self):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()


def train(levels, bits=1, signed=False) -> TrainStatistics:
    """TrainStatistics of integer levels (N, T, *shape)."""
    levels = np.asarray(levels)
    n, steps, *shape = levels.shape
    flat = levels.reshape(n, steps, -1).astype(np.int64)
    fired = flat != 0
    zeros = TrainStatistics.zeros(tuple(shape), bits, signed, steps)
    planes = [(np.maximum(sign * flat, 0) >> b) & 1 for sign in (1, -1)[: 1 + signed] for b in range(bits)]
    n_neurons = flat.shape[2]
    counts, sums, squares, pairs, variations = (np.zeros(n_neurons, np.int64) for _ in range(5))
    sample, neuron, step = np.nonzero(fired.transpose(0, 2, 1))  # events, those of a neuron in a sample together
    same = (np.diff(sample) == 0) & (np.diff(neuron) == 0)
    gaps, two = np.diff(step), same[:-1] & same[1:]
    for number, power in ((counts, 0), (sums, 1), (squares, 2)):
        np.add.at(number, neuron[1:][same], gaps[same] ** power)
    before, after = gaps[:-1][two], gaps[1:][two]
    np.add.at(pairs, neuron[2:][two], 1)
    np.add.at(variations, neuron[2:][two],
              np.rint(2**32 * ((before - after) / (before + after)) ** 2).astype(np.int64))
    histogram = np.bincount(gaps[same], minlength=steps + 1)
    chosen = fired[:, :, zeros.chosen].reshape(n * steps, -1).astype(np.int64)
    return TrainStatistics(
        tuple(shape), bits, signed, n, steps,
        events=fired.sum(axis=(0, 1)), squares=(fired.sum(axis=1) ** 2).sum(axis=0),
        plane_events=np.array([plane.sum(axis=(0, 1)) for plane in planes]),
        level_counts=np.bincount((flat - zeros.lowest_level).ravel(), minlength=zeros.level_counts.size),
        events_by_step=fired.sum(axis=(0, 2)), n_detailed=n,
        interval_counts=counts, interval_sums=sums, interval_squares=squares, variation_counts=pairs,
        variation_sums=variations, interval_histogram=histogram,
        chosen=zeros.chosen, together=chosen.T @ chosen,
    )


def membranes(means, rms, threshold=1.0, step=1.0, n_levels=1, n_samples=4, n_not_finite=0, seed=0):
    """MembraneStatistics whose mean and root mean square after each step are these, (T,) each."""
    means, rms = np.asarray(means, float), np.asarray(rms, float)
    edges = np.linspace(min(threshold, 0) - 2 * step, threshold + (n_levels + 1) * step, 241)
    drawn = np.random.default_rng(seed).normal(means[-1], max(rms[-1], 0.1), 4000)
    histogram = np.bincount(np.searchsorted(edges, drawn), minlength=242)
    return MembraneStatistics(
        n_samples, len(rms), "thresholds", threshold, step, n_levels, edges, histogram, histogram, None,
        np.full(51, 20), float(drawn.min()), float(drawn.max()), n_not_finite,
        np.tile(means, (n_samples, 1)), np.tile(rms**2, (n_samples, 1)),
        np.full((n_samples, len(rms)), 0.05), None,
    )


def energy(**layers):
    """summary["energy"] from name=(total, ann_total, rate, crossing_rate)."""
    rows = [
        {"name": name, "additions": 0.6 * total, "products": 0.0, "updates": 0.1 * total, "memory": 0.3 * total,
         "total": total, "ann_total": dense, "ann_bits": 2, "rate": rate, "crossing_rate": crossing}
        for name, (total, dense, rate, crossing) in layers.items()
    ]
    total = {key: sum(row[key] for row in rows) for key in ("total", "ann_total")}
    return {"table": "horowitz", "unit": "joule per sample", "layers": rows, "total": total,
            "baseline": "the same layers, run once, with 2-bit activations and 8-bit weights"}


def run(levels, output, labels=None, bits=None, membranes=None, kinds=None, class_names=(), **summary) -> MadeRun:
    """A run whose nodes send `levels` (name -> (N, T, *shape)); a readout named "readout" follows.

    bits: name -> bits where not 1. kinds: name -> kind where it is not Input (the first) or Neuron.
    """
    trains = {name: train(values, (bits or {}).get(name, 1)) for name, values in levels.items()}
    first = next(iter(levels))
    n, steps = levels[first].shape[:2]
    output = np.asarray(output, float)
    neurons = {name: one.n_neurons for name, one in trains.items()
               if (kinds or {}).get(name, "Neuron") in ("Input", "Neuron", "SigmaDelta")}
    neurons["readout"] = output.shape[1]
    counts = Counts.empty(neurons, n)
    counts.steps = steps
    for name, row in counts.layers.items():
        if name in levels:
            row["events"] = (levels[name] != 0).reshape(n, -1).sum(axis=1)
            row["levels"] = np.abs(levels[name]).reshape(n, -1).sum(axis=1)
        if name != first:
            row["synops"] = row["additions"] = np.full(n, 10 * neurons[name])
            row["dense_macs"] = np.full(n, 25 * neurons[name] * steps)
    outputs = np.repeat(output[:, None], steps, axis=1)
    nodes = [{"name": name, "kind": (kinds or {}).get(name, "Input" if name == first else "Neuron"),
              "shape": list(one.shape), "reads": [], "parameters": 0, "settings": {"bits": one.bits}}
             for name, one in trains.items()]
    nodes.append({"name": "readout", "kind": "Readout", "shape": [output.shape[1]], "reads": [], "parameters": 0,
                  "settings": {}})
    labels = None if labels is None else np.asarray(labels)
    accuracy = None if labels is None else float((output.argmax(axis=1) == labels).mean())
    totals = {name: counts.total(name) for name in ALL_NAMES}
    said = {
        "model": "net.h5", "data": "data.h5", "samples": n, "timesteps": steps, "precision": "float32",
        "workers": 1, "accuracy": accuracy, "seconds": 0.5, "samples_per_second": n / 0.5,
        "totals": {**totals, "word_operations": 0, "energy_joule": 1e-6 * n},
        "layers": [], "nodes": nodes, "class_names": list(class_names),
        "made": {"eventsim": "0.1.0", "python": "3.11.2", "numpy": "2.0.0", "numba": "0.60.0",
                 "processor": "a processor", "date": "2026-01-02T03:04:05+00:00",
                 "command": "eventsim run net.h5 data.h5 --out made.h5"}, **summary,
    }
    return MadeRun(
        RunSummary.from_json(said, "made.h5"),
        counts, output,
        Statistics(trains, dict(membranes or {}), Decisions.of(outputs, labels, class_names)), labels, outputs,
    )


def healthy(seed=0, n=64, steps=8, **changes) -> MadeRun:
    """A run with nothing wrong; `changes` replace arguments of `run`, or, in dictionaries, parts of them."""
    rng = np.random.default_rng(seed)

    def fires(rate, *shape):
        return (rng.random((n, steps, *shape)) < rate).astype(np.int64)

    labels = rng.integers(0, 4, n)
    given = {
        "levels": {"input": fires(0.3, 1, 6, 6), "first": fires(0.2, 8, 6, 6), "pool": fires(0.4, 8, 3, 3),
                   "second": np.minimum(rng.geometric(0.6, (n, steps, 40)) - 1, 3)},
        "output": np.eye(4)[np.where(rng.random(n) < 0.9, labels, 0)] + 0.01 * rng.random((n, 4)),
        "labels": labels, "bits": {"second": 2}, "kinds": {"pool": "MaxPool"},
        "membranes": {"first": membranes(np.linspace(-0.1, -0.8, steps), np.linspace(0.3, 1.6, steps)),
                      "second": membranes(np.linspace(0, 0.4, steps), np.linspace(0.3, 0.6, steps), n_levels=3)},
        "energy": energy(first=(4e-8, 9e-8, 0.3, 0.7), second=(2e-8, 5e-8, 0.4, 1.1),
                         readout=(1e-9, 1e-9, 0.4, 0.4)),
    }
    for key, change in changes.items():
        given[key] = {**given[key], **change} if isinstance(given.get(key), dict) and key != "energy" else change
    return run(**given)
