"""Statistics: what spikes, membranes and answers did."""

from dataclasses import dataclass, field
from typing import Dict, Optional

import numpy as np

from eventsim.statistics.decisions import Decisions
from eventsim.statistics.membranes import MembraneStatistics
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
