"""One node of a recording: what it sent and where its membranes were, as arrays and as tables."""

from dataclasses import dataclass, replace
from typing import Callable, Dict, Iterator, Optional, Tuple

import numpy as np

from eventsim.display.card import Card, MOST_ROWS, Shown, times
from eventsim.display.table import Table
from eventsim.equality import is_equal
from eventsim.errors import RunError
from eventsim.spikes import Spikes
from eventsim.statistics.trains import TrainStatistics
from eventsim.text import all_digits, many, quantity

AXES = {1: ("neuron",), 2: ("c", "x"), 3: ("c", "y", "x")}  # columns of a place, by the number of a node's axes
BLOCK = 1 << 22  # levels unpacked at once
CARD_BYTES = 1 << 24  # of planes read together for a card
MOST_SEARCHED = 64  # samples in which a card looks for a first event, where no count says which has one


@dataclass(frozen=True)
class NodeSource:
    """Where the parts of one node come from, which are read when they are asked for.

    spikes: samples first to stop - 1 (None: to the last) -> `Spikes`. trace: kind -> (N, T, *shape). statistics:
    of what the node sent, or None. counts: name -> int64 (N,). kinds: what was recorded of the node, of "spikes",
    "currents", "potentials" and "residuals". n_samples, n_steps; n_neurons: None where nothing says it.
    silent: whether the node never sends any spike. origin: the recording or the run that the node is one of.
    """

    spikes: Callable[[int, Optional[int]], Spikes]
    trace: Callable[[str], np.ndarray]
    statistics: Callable[[], Optional[TrainStatistics]]
    counts: Dict[str, np.ndarray]
    kinds: Tuple[str, ...]
    n_samples: int
    n_steps: int
    n_neurons: Optional[int] = None
    silent: bool = False
    origin: object = None


class RecordedNode(Shown):
    """`recording["name"]`: one node.

    counts: name of a count -> int64 (N,), see `statistics.counts`; {} of nodes that are not counted. Two are equal
    where all that was recorded, counted and gathered of them is; to tell, it is read.
    """

    __hash__ = None  # as of a `Recording`, which can change

    def __init__(self, name: str, source: NodeSource):
        self.name, self.counts, self._source = name, source.counts, source

    def __eq__(self, other):
        if type(self) is not type(other):
            return NotImplemented
        origin = self._source.origin
        if origin is not None and origin is other._source.origin and self.name == other.name:
            return True
        return self._size == other._size and all(map(is_equal, self._values(), other._values()))

    @property
    def _size(self):
        source = self._source
        return self.name, source.kinds, source.n_samples, source.n_steps, source.n_neurons, source.silent

    def _values(self) -> Iterator:
        """Yield all that the node has, one thing after another, as it is read: first what is small."""
        yield self.counts
        yield self.statistics
        for kind in self._source.kinds:
            yield self.spikes if kind == "spikes" else self._source.trace(kind)

    @property
    def statistics(self) -> Optional[TrainStatistics]:
        """What was gathered of its spikes, or None."""
        return self._source.statistics()

    @property
    def spikes(self) -> Spikes:
        """What the node sent, as bit-planes. Raises RunError if that was not recorded, as the others do."""
        return self._source.spikes(0, None)

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
        return self._source.trace("currents")

    @property
    def potentials(self) -> np.ndarray:
        """The membrane before the reset: (N, T, *shape), see `Recording.potentials`."""
        return self._source.trace("potentials")

    @property
    def residuals(self) -> np.ndarray:
        """The membrane after the reset, with shape and dtype as of `potentials`."""
        return self._source.trace("residuals")

    def card(self) -> Card:
        """Show what was recorded of the node, and its first events, of which no more is read than they need."""
        source = self._source
        facts = [("recorded", ", ".join(source.kinds) or "nothing")]
        facts += [(name.replace("_", " "), quantity(int(self.counts[name].sum())))
                  for name in ("events",)[source.silent :] + ("synops", "additions", "macs", "dense_macs")
                  if name in self.counts]
        first, shape, notes = Table({}), None, []
        try:
            if "spikes" in source.kinds:
                first, shape, note = self._first_events()
                notes.append(note)
            elif source.silent:
                notes.append("it sends no spikes")
            else:
                notes.append('spikes were not recorded, run with record=("spikes",) for them')
        except RunError as error:  # of a file that is closed
            notes.append(str(error))
        if self.counts:
            notes.append(f"counts are sums over {_all_samples(source.n_samples)}")
        size = "" if source.n_neurons is None else f"{many(source.n_neurons, 'neuron')}, "
        size = f"{times(shape)} neurons, " if shape else size
        title = (f"RecordedNode({self.name!r}, {size}{many(source.n_samples, 'sample')}, "
                 f"{many(source.n_steps, 'step')})")
        return Card(title, facts, list(first.columns), first.rows, note="; ".join(notes))

    def _first_events(self):
        """Return the first rows of the events, as a table, the node's shape (None where nothing was read), and
        what is to be said of them. No sample is read that comes after them."""
        blocks, n_rows, shape, stop = [], 0, None, 0
        for start, stop in self._parts_to_search():
            spikes = self._source.spikes(start, stop)
            shape = spikes.logical_shape
            for block in _blocks(spikes):
                blocks.append([column[: MOST_ROWS - n_rows] for column in block])
                blocks[-1][0] += start
                n_rows += len(blocks[-1][0])
                if n_rows == MOST_ROWS:
                    break
            if n_rows == MOST_ROWS:
                break
        if n_rows:
            note = "its first events; events() has all, to_dataframe() for pandas"
            return _table(blocks, shape, self.name), shape, note
        n = self._source.n_samples
        if "events" in self.counts or stop == n:
            return Table({}), shape, "it sent no event"
        return Table({}), shape, f"no event in the first {many(stop, 'sample')}; events() has those of all {n}"

    def _parts_to_search(self) -> Iterator[Tuple[int, int]]:
        """Yield (first, stop) of the samples to search: those that have events, as far as that is counted, else
        the first, and then some more at once, as a file packs several together."""
        if "events" in self.counts:
            yield from ((i, i + 1) for i in np.flatnonzero(self.counts["events"])[:MOST_ROWS].tolist())
            return
        n = self._source.n_samples
        if n:
            yield 0, 1
        if n > 1:
            sample_bytes = max(self._source.spikes(0, 1).planes.nbytes, 1)
            yield 1, 1 + int(np.clip(CARD_BYTES // sample_bytes, 1, min(n, MOST_SEARCHED) - 1))


def _all_samples(n):
    return f"all {all_digits(n)} samples" if n != 1 else "the one sample"


def _events(spikes, name):
    return _table(list(_blocks(spikes)), spikes.logical_shape, name)


def _blocks(spikes):
    """Yield the `_block`s of all samples and steps, in order."""
    n, steps = spikes.planes.shape[:2]
    at_once = max(BLOCK // max(int(np.prod(spikes.shape)), 1), 1)  # steps
    samples = max(at_once // max(steps, 1), 1)
    for i in range(0, n, samples):
        for j in range(0, steps, at_once):
            yield _block(spikes, slice(i, i + samples), slice(j, j + at_once))


def _table(blocks, shape, name):
    """Return the table of the events of some `_block`s of a node of a shape."""
    sample, step, neuron, level = map(np.concatenate, zip(*blocks)) if blocks else [np.zeros(0, np.int64)] * 4
    place = (neuron,) if len(shape) == 1 else np.unravel_index(neuron, shape)
    columns = {"sample": sample, "step": step, **dict(zip(AXES[len(shape)], place)), "level": level}
    units = {**dict.fromkeys(columns, "counted from 0"), "level": "levels"}
    return Table(columns, units, f"events of {name}")


def _block(spikes, samples, steps):
    """Return sample, step, neuron and level, int64, of the events of some samples and steps, in that order."""
    levels = replace(spikes, planes=spikes.planes[samples, steps], lengths=None).levels()
    n, n_steps = levels.shape[:2]
    flat = levels.reshape(-1)
    at = np.flatnonzero(flat != 0)
    row, neuron = np.divmod(at, flat.size // max(n * n_steps, 1))
    sample, step = np.divmod(row, n_steps)
    return sample + samples.start, step + steps.start, neuron, flat[at].astype(np.int64)
