"""Statistics: what spikes, membranes and answers did, from a recording or streamed during a run.

`Simulator.run(..., record=("statistics", "intervals", "membranes"))` gathers them step by step in
memory that does not grow with the number of samples, of the layers: the input (unless real-valued) and
what has neurons. `of` takes them from what was recorded, of pools and added trains too.
"""

from dataclasses import dataclass, field, replace
from typing import Dict, Optional

import numpy as np

from eventsim.errors import RunError
from eventsim.model.neurons import Neuron
from eventsim.statistics.decisions import Decisions
from eventsim.statistics.membranes import MembraneScale, MembraneStatistics
from eventsim.statistics.observing import TrainSums
from eventsim.statistics.trains import TrainStatistics

KINDS = ("statistics", "intervals", "membranes")  # that a run records


@dataclass(frozen=True)
class Statistics:
    """trains: node -> what it sent. membranes: layer of neurons -> where its membranes were.
    decisions: how the answer settled, or None."""

    trains: Dict[str, TrainStatistics] = field(default_factory=dict)
    membranes: Dict[str, MembraneStatistics] = field(default_factory=dict)
    decisions: Optional[Decisions] = None

    def joined(self, other) -> "Statistics":
        """Of the samples of both. What one of them lacks is taken from the other."""
        return Statistics(
            _joined(self.trains, other.trains), _joined(self.membranes, other.membranes),
            self.decisions.joined(other.decisions) if self.decisions and other.decisions
            else self.decisions or other.decisions,
        )

    def activation_sparsity(self, nodes=None) -> float:
        """Share of zeros among the levels of some nodes (None: of all), over all steps and samples, nodes
        counting by their neurons: NeuroBench's activation sparsity where they are the layers of spiking
        neurons, without the input. nan where nothing was counted."""
        found = [train for name, train in self.trains.items()
                 if train.n_samples and (nodes is None or name in nodes)]
        chances = sum(train.chances * train.n_neurons for train in found)
        return 1 - sum(int(train.events.sum()) for train in found) / chances if chances else np.nan


def _joined(first, second):
    names = [*first, *(name for name in second if name not in first)]
    return {
        name: first[name].joined(second[name]) if name in first and name in second
        else first.get(name) or second[name]
        for name in names
    }


def of(recording, model=None, labels=None) -> Statistics:
    """Statistics of a Recording.

    trains: of every node whose spikes were recorded. membranes: where `model` is given, of every layer
    of neurons whose spikes, potentials and residuals were. decisions: where outputs were.
    labels: whole numbers (N,), or None. Raises DataError for labels that do not fit.
    """
    trains = {name: of_spikes(spikes) for name, spikes in recording.spikes.items()}
    membranes = {}
    for name, node in ({} if model is None else model.nodes).items():
        kinds = [recording.traces.get(kind, {}) for kind in ("potentials", "residuals")]
        if isinstance(node, Neuron) and name in recording.spikes and all(name in kind for kind in kinds):
            scale = MembraneScale(node, model.shapes[name])
            steps = _steps_per_unit(recording, name)
            parts = [
                scale.statistics(*(_flat(kind[name][i : i + 1])[..., scale.chosen] for kind in kinds),
                                 _flat(_levels(recording.spikes[name], i))[..., scale.chosen], steps)
                for i in range(len(recording.output))
            ]
            whole = parts[0]
            for part in parts[1:]:
                whole = whole.joined(part)
            membranes[name] = whole
    decisions = None
    if recording.answers is not None:
        decisions = Decisions.of(recording.answers, labels, () if model is None else model.class_names)
    return Statistics(trains, membranes, decisions)


def of_spikes(spikes) -> TrainStatistics:
    """Statistics of the trains of one node, all samples in detail. spikes: `Spikes`."""
    n, steps = spikes.planes.shape[:2]
    sums = TrainSums(spikes.shape, spikes.logical_shape, spikes.bits, spikes.signed, steps)
    sums.add_samples(np.ascontiguousarray(spikes.planes), n)
    return sums.statistics()


def _levels(spikes, sample):
    return replace(spikes, planes=spikes.planes[sample : sample + 1]).levels()


def _flat(values):
    return values.reshape(*values.shape[:2], -1)


def _steps_per_unit(recording, name):
    found = recording.steps_per_unit.get(name)
    if found is None:
        raise RunError(f"the recording does not say the unit of the membranes of {name!r}")
    return np.asarray(found, np.float64)
