"""Statistics: what spikes, membranes and answers did."""

from dataclasses import dataclass
from typing import Dict, Optional

import numpy as np

from eventsim.display.card import Card, MOST_ROWS, Shown
from eventsim.merging import merged
from eventsim.statistics.decisions import Decisions
from eventsim.statistics.membranes import MembraneStatistics
from eventsim.statistics.trains import TrainStatistics
from eventsim.text import all_digits, NONE, number, percent

KINDS = ("statistics", "intervals", "membranes")  # that a run records


@dataclass(frozen=True, repr=False)
class Statistics(Shown):
    """trains: node -> what it sent. membranes: layer of neurons -> where its membranes were.
    decisions: how the answer settled, or None. Merging takes what one part lacks from the others."""

    trains: Dict[str, TrainStatistics] = merged(samples="merge", lacking="other", default_factory=dict)
    membranes: Dict[str, MembraneStatistics] = merged(samples="merge", lacking="other", default_factory=dict)
    decisions: Optional[Decisions] = merged(samples="merge", lacking="other", default=None)

    def card(self) -> Card:
        """What was gathered, and the rates of the first nodes."""
        decisions = self.decisions
        facts = [
            ("nodes", len(self.trains)), ("membranes of layers", len(self.membranes)),
            ("accuracy", None if decisions is None or decisions.accuracy is None else percent(decisions.accuracy)),
            ("mean step of the final answer",
             None if decisions is None or not decisions.n_samples else number(decisions.mean_final_step)),
        ]
        names = [*self.trains, *(name for name in self.membranes if name not in self.trains)]
        rows = [(name, *_of_train(self.trains.get(name)), "yes" if name in self.membranes else NONE)
                for name in names[:MOST_ROWS]]
        return Card("Statistics", [(name, value) for name, value in facts if value is not None],
                    ("node", "neurons", "samples", "rate", "silent", "mean level", "entropy", "membranes"), rows,
                    len(names))

    def padded(self, n_steps) -> "Statistics":
        """Of the same samples as some among longer ones, of n_steps."""
        trains, membranes = ({name: found.padded(n_steps) for name, found in kind.items()}
                             for kind in (self.trains, self.membranes))
        return Statistics(trains, membranes, None if self.decisions is None else self.decisions.padded(n_steps))

    def activation_sparsity(self, nodes=None) -> float:
        """Share of zeros among the levels of some nodes (None: of all), over all steps and samples, nodes
        counting by their neurons: NeuroBench's activation sparsity where they are the layers of spiking
        neurons, without the input. nan where nothing was counted."""
        found = [train for name, train in self.trains.items()
                 if train.n_samples and (nodes is None or name in nodes)]
        chances = sum(train.chances * train.n_neurons for train in found)
        return 1 - sum(int(train.events.sum()) for train in found) / chances if chances else np.nan


def _of_train(train):
    """Cells of what a node sent."""
    if train is None:
        return (NONE,) * 6
    return (all_digits(train.n_neurons), all_digits(train.n_samples), number(train.rate),
            percent(train.silent_share), number(train.mean_level), number(train.entropy))
