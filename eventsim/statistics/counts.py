"""Counting: what a run cost, exactly, from popcounts and border-aware fan-outs.

Counts are int64 per layer and sample, over all steps presented. A layer's row holds what it
emitted (events, levels) and what it took to compute it (all the others, over its incoming paths):

events            (step, neuron) with a level that is not 0
levels            sum of |level|
synops            events x fan-out: each arrives at every synapse it has; zero weights counted,
                  padding is no target, an identity shortcut has fan-out 1
nonzero_synops    the same without synapses whose weight, in the type of the run, is 0
additions         set bits (both signs) x fan-out: what addition-only hardware executes
doublings         (planes - 1) x outputs x steps, per path; before a max pool, outputs of the map that it pools
macs              multiply-accumulates at synapses; only real-valued input causes them
multiplications   products in neuron updates: leaks other than 0 and 1, gains per neuron,
                  channel attention (K products a channel, and the scaling)
neuron_updates    neurons x steps
dense_macs        all synapses x steps: what a dense layer would do

`executed_synops`, `executed_additions` and `executed_macs` leave out what was computed once for
several steps (the current of an image that stands still). Word operations on spikes (pooling,
adding trains; 64 neurons at a time) are in `Counts.word_operations` and in no row; bias and the
comparisons of a max pool of currents count nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Dict, Optional, Tuple

import numpy as np

from eventsim.arguments import integer
from eventsim.display.card import Card, MOST_ROWS, Shown
from eventsim.equality import ByValue
from eventsim.later import Later
from eventsim.merging import merged
from eventsim.model.parameters import MOST_STEPS
from eventsim.text import all_digits, many, number, quantity, up_to_steps

NAMES = (
    "events", "synops", "nonzero_synops", "additions", "doublings", "macs", "multiplications",
    "neuron_updates", "dense_macs",
)
EXECUTED = ("executed_synops", "executed_additions", "executed_macs")
_SHOWN = ("synops", "additions", "macs", "dense_macs")
ALL_NAMES = NAMES + ("levels",) + EXECUTED


class CountRows(Mapping):
    """Rows of layers: name -> count name -> int64 (N,), as views of one array, each made when it is first asked
    for.

    names: of the layers. values: int64 (number of layers * len(ALL_NAMES), N), or more rows.
    """

    def __init__(self, names: Tuple[str, ...], values: np.ndarray):
        self._names, self._values, self._made = names, values, {}

    def __getitem__(self, name):
        if name not in self._made:
            if name not in self._names:
                raise KeyError(name)
            first = self._names.index(name) * len(ALL_NAMES)
            self._made[name] = dict(zip(ALL_NAMES, self._values[first : first + len(ALL_NAMES)]))
        return self._made[name]

    def of_all(self, name) -> np.ndarray:
        """Return one count of every layer, int64 (layers, N)."""
        if name not in ALL_NAMES:
            raise KeyError(name)
        apart = len(ALL_NAMES)
        return self._values[ALL_NAMES.index(name) : len(self._names) * apart : apart]

    @staticmethod
    def merge_all(parts, how) -> Optional["CountRows"]:
        """Return all parts as one, by "sum" or, of samples, "concatenate"; None where their rows differ: then they
        merge name by name, or say why not."""
        values = [part._values for part in parts]
        alike = all(part._names == parts[0]._names for part in parts)
        if how == "sum" and alike and all(each.shape == values[0].shape for each in values):
            return CountRows(parts[0]._names, sum(values[1:], values[0]))
        if how == "concatenate" and alike:
            return CountRows(parts[0]._names, np.concatenate(values, axis=1))
        return None

    def __iter__(self):
        return iter(self._names)

    def __len__(self):
        return len(self._names)

    def __repr__(self):
        return repr(dict(self))

    def __getstate__(self):
        return self._names, self._values

    def __setstate__(self, state):
        self.__init__(*state)


@dataclass(repr=False, eq=False)
class Counts(ByValue, Later, Shown):
    """Counts of a run. layers: name -> count name -> int64 (N,), see the module's docstring.

    neurons: name -> neurons of the layer. steps: steps presented per sample, the most where samples have their own
    lengths. n_samples: N. word_operations: int64 (N,). absent: steps, over all samples, that those shorter than
    `steps` did not have.

    >>> import eventsim, numpy as np
    >>> model = eventsim.Model({"in": eventsim.Input((4,)), "n": eventsim.Neuron()}, [("in", "n")])
    >>> counts = eventsim.Simulator(model).run(np.eye(4, dtype=int), timesteps=3, record=()).counts
    >>> counts["n"]["synops"].tolist(), counts.total("synops")  # per sample and of all
    ([3, 3, 3, 3], 12)
    """

    neurons: Dict[str, int] = merged("same")
    n_samples: int = merged(samples="sum", steps="same")
    steps: int = merged(samples="same", steps="sum")
    layers: Mapping[str, Dict[str, np.ndarray]] = merged(samples="concatenate", steps="sum", default_factory=dict)
    word_operations: np.ndarray = merged(
        samples="concatenate", steps="sum", default_factory=lambda: np.zeros(0, np.int64))
    absent: int = merged("sum", default_factory=int)

    @property
    def presented(self) -> int:
        """Steps presented, over all samples."""
        return self.steps * self.n_samples - self.absent

    @property
    def steps_text(self) -> str:
        """In words, how many steps a sample had."""
        return up_to_steps(self.steps, self.absent)

    @property
    def mean_steps(self) -> float:
        """Mean steps presented per sample: an int where all samples had as many, else a float."""
        return self.presented / self.n_samples if self.absent else self.steps

    def __getitem__(self, layer):
        return self.layers[layer]

    def total(self, name) -> int:
        """Return a count over all layers and samples."""
        if isinstance(self.layers, CountRows):
            return int(self.layers.of_all(name).sum())
        return sum(int(row[name].sum()) for row in self.layers.values())

    def totals(self) -> Dict[str, int]:
        """Return every count over all layers and samples."""
        return {name: self.total(name) for name in ALL_NAMES}

    def layer_totals(self, layer) -> Dict[str, int]:
        """Return every count of one layer over all samples."""
        return {name: int(self.layers[layer][name].sum()) for name in ALL_NAMES}

    def firing_rate(self, layer) -> float:
        """Return the events of a layer per neuron, step and sample."""
        chances = self.neurons[layer] * self.presented
        return float(self.layers[layer]["events"].sum() / chances) if chances else 0.0

    def mean_level(self, layer) -> float:
        """Return the mean |level| of a layer's events, 0.0 where there are none."""
        events = self.layers[layer]["events"].sum()
        return float(self.layers[layer]["levels"].sum() / events) if events else 0.0

    def card(self) -> Card:
        """Show the counts per sample of the first layers."""
        n = max(self.n_samples, 1)
        rows = [(name, all_digits(self.neurons[name]), number(self.firing_rate(name)),
                 *(quantity(int(self.layers[name][count].sum()) / n) for count in _SHOWN))
                for name in list(self.layers)[:MOST_ROWS]]
        return Card(f"{type(self).__name__}({many(self.n_samples, 'sample')}, {self.steps_text})", (),
                    ("layer", "neurons", "firing rate", *(name.replace("_", " ") for name in _SHOWN)), rows,
                    len(self.layers), note="per sample")

    def padded(self, steps) -> "Counts":
        """Return the same counts as those of samples among longer ones, of `steps` steps. Raises DataError for
        fewer steps than they have."""
        steps = integer(steps, "steps", self.steps, MOST_STEPS)
        return replace(self, steps=steps, absent=self.absent + (steps - self.steps) * self.n_samples)

    @staticmethod
    def empty(neurons, n_samples):
        """Return counts that are all zero."""
        zeros = np.zeros((len(neurons), len(ALL_NAMES), n_samples), np.int64)
        rows = {name: dict(zip(ALL_NAMES, row)) for name, row in zip(neurons, zeros)}
        return Counts(dict(neurons), n_samples, 0, rows, np.zeros(n_samples, np.int64))

    def summed(self) -> "SummedCounts":
        """Return the sums over the samples, in arrays of length 1: what a long run keeps of its batches."""
        rows = {name: {count: values.sum(keepdims=True) for count, values in row.items()}
                for name, row in self.layers.items()}
        return SummedCounts(self.neurons, self.n_samples, self.steps, rows,
                            self.word_operations.sum(keepdims=True), self.absent)


@dataclass(repr=False, eq=False)
class SummedCounts(Counts):
    """Counts summed over n_samples samples: every array has length 1. Merging samples adds them up."""

    layers: Dict[str, Dict[str, np.ndarray]] = merged("sum", default_factory=dict)
    word_operations: np.ndarray = merged("sum", default_factory=lambda: np.zeros(1, np.int64))
