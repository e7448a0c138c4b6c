"""Statistics: what spikes, membranes and answers did."""

from dataclasses import dataclass
from typing import Dict, Optional

import numpy as np

from eventsim.arguments import known_names, names_of
from eventsim.display.card import Card, MOST_ROWS, Shown
from eventsim.equality import FrozenByValue
from eventsim.merging import merged
from eventsim.statistics.decisions import Decisions
from eventsim.statistics.membranes import MembraneStatistics
from eventsim.statistics.trains import TrainStatistics
from eventsim.text import all_digits, NONE, number, percent, share_percent

KINDS = ("statistics", "intervals", "membranes")  # that a run records


@dataclass(frozen=True, repr=False, eq=False)
class Statistics(FrozenByValue, Shown):
    """trains: node -> what it sent. membranes: layer of neurons -> where its membranes were.
    decisions: how the answer settled, or None. Merging takes what one part lacks from the others.

    >>> import numpy as np
    >>> from eventsim import Input, Model, Neuron, Simulator
    >>> model = Model({"in": Input((2,)), "n": Neuron(v_threshold=1.0)}, [("in", "n")], timesteps=4)
    >>> statistics = Simulator(model).run(np.array([[0, 1]]), record="statistics").statistics
    >>> statistics.trains["n"].rates, statistics.activation_sparsity("n")
    (array([0., 1.]), 0.5)
    """

    trains: Dict[str, TrainStatistics] = merged(samples="merge", lacking="other", default_factory=dict)
    membranes: Dict[str, MembraneStatistics] = merged(samples="merge", lacking="other", default_factory=dict)
    decisions: Optional[Decisions] = merged(samples="merge", lacking="other", default=None)

    def card(self) -> Card:
        """Show what was gathered, and the rates of the first nodes."""
        decisions = self.decisions
        facts = [
            ("nodes", len(self.trains)), ("membranes of layers", len(self.membranes)),
            ("accuracy",
             None if decisions is None or decisions.accuracy is None else share_percent(decisions.accuracy)),
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
        """Return the same statistics as those of samples among longer ones, of n_steps. Raises DataError for fewer
        steps than they have."""
        trains, membranes = ({name: members.padded(n_steps) for name, members in kind.items()}
                             for kind in (self.trains, self.membranes))
        return Statistics(trains, membranes, None if self.decisions is None else self.decisions.padded(n_steps))

    def activation_sparsity(self, nodes=None) -> float:
        """Return the share of zeros among the levels of some nodes (a name, or several; None: of all), over all
        steps and
        samples, nodes counting by their neurons: NeuroBench's activation sparsity where they are the layers of
        spiking neurons, without the input. nan where nothing was counted. Raises RunError for a node that is not
        there."""
        names = list(self.trains) if nodes is None else names_of(nodes, "nodes", "names of nodes, or None")
        known_names(names, self.trains, "node")
        trains = [self.trains[name] for name in dict.fromkeys(names) if self.trains[name].n_samples]
        chances = sum(train.chances * train.n_neurons for train in trains)
        return 1 - sum(int(train.events.sum()) for train in trains) / chances if chances else np.nan


def _of_train(train):
    """Return the cells of what a node sent."""
    if train is None:
        return (NONE,) * 6
    return (all_digits(train.n_neurons), all_digits(train.n_samples), number(train.rate),
            percent(train.silent_share), number(train.mean_level), number(train.entropy))
