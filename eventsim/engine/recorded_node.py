"""One node of a recording: what it sent and where its membranes were, as arrays and as tables."""

from dataclasses import replace
from typing import Callable, Dict, Optional

import numpy as np

from eventsim.display.card import Card, MOST_ROWS, Shown, times
from eventsim.display.table import Table
from eventsim.errors import RunError
from eventsim.spikes import events_of, Spikes
from eventsim.statistics.trains import TrainStatistics
from eventsim.text import many, quantity

AXES = {1: ("neuron",), 2: ("c", "x"), 3: ("c", "y", "x")}  # columns of a place, by the number of a node's axes
FIRST_STEPS = 8  # whose events are shown


class RecordedNode(Shown):
    """`recording["name"]`: one node.

    counts: name of a count -> int64 (N,), see `statistics.counts`; {} of nodes that are not counted.
    statistics: what was gathered of its spikes, or None.
    """

    def __init__(self, name: str, spikes: Callable[[], Spikes], trace: Callable[[str], np.ndarray],
                 counts: Dict[str, np.ndarray], statistics: Optional[TrainStatistics]):
        self.name, self.counts, self.statistics = name, counts, statistics
        self._spikes, self._trace = spikes, trace

    @property
    def spikes(self) -> Spikes:
        """What the node sent, as bit-planes. Raises RunError if that was not recorded, as the others do."""
        return self._spikes()

    def levels(self) -> np.ndarray:
        """The levels that the node sent, (N, T, *shape), of the dtype of `Recording.levels`."""
        return self.spikes.levels()

    def events(self) -> Table:
        """Return one row per event, by sample, step and neuron: sample, step, then neuron, or c and x, or c, y and
        x of a map, and level, all int64 and counted from 0: `levels()[sample, step, c, y, x]` is the level."""
        return _events(self.spikes, self.name)

    def to_dataframe(self):
        """Return `events()` as a `pandas.DataFrame`. Raises MissingPackageError without pandas."""
        return self.events().to_pandas()

    @property
    def currents(self) -> np.ndarray:
        """What reached the membrane, with shape and dtype as of `potentials`."""
        return self._trace("currents")

    @property
    def potentials(self) -> np.ndarray:
        """The membrane before the reset: (N, T, *shape), see `Recording.potentials`."""
        return self._trace("potentials")

    @property
    def residuals(self) -> np.ndarray:
        """The membrane after the reset, with shape and dtype as of `potentials`."""
        return self._trace("residuals")

    def card(self) -> Card:
        """Show what was recorded of the node, and its first events."""
        facts = [(name.replace("_", " "), quantity(int(self.counts[name].sum())))
                 for name in ("events", "synops", "additions", "macs", "dense_macs") if name in self.counts]
        try:
            spikes = self.spikes
        except RunError:
            return Card(f"RecordedNode({self.name!r}, spikes were not recorded)", facts)
        n, steps = spikes.planes.shape[:2]
        first = _events(replace(spikes, planes=spikes.planes[:1, :FIRST_STEPS]), self.name)
        return Card(f"RecordedNode({self.name!r}, {times(spikes.logical_shape)} neurons, {many(n, 'sample')}, "
                    f"{many(steps, 'step')})", facts, list(first.columns), first.rows[:MOST_ROWS],
                    min(len(first), MOST_ROWS),
                    note="its first events; events() has all, to_dataframe() for pandas")


def _events(spikes, name):
    n, steps = spikes.planes.shape[:2]
    when, neuron, level = events_of(spikes, range(n)) if n and steps else (np.zeros(0, np.int64),) * 3
    order = np.lexsort((neuron, when))
    when, neuron, level = when[order], neuron[order], level[order]
    shape = spikes.logical_shape
    place = (neuron,) if len(shape) == 1 else np.unravel_index(neuron, shape)
    sample, step = np.divmod(when, max(steps, 1))
    columns = {"sample": sample, "step": step, **dict(zip(AXES[len(shape)], place)), "level": level}
    units = {**dict.fromkeys(columns, "counted from 0"), "level": "levels"}
    return Table(columns, units, f"events of {name}")
