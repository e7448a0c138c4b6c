"""Schedules: how a run is cut into pieces of samples and chunks of steps, worked out once for runs alike."""

from typing import List, NamedTuple, Optional

from eventsim.engine.blocks import bias_step, chunks, longest_chunk, samples_of_piece, Sizes
from eventsim.engine.chunk import Setting
from eventsim.engine.recorder import Wanted
from eventsim.program import Program

MOST_SCHEDULES = 32  # that are kept


class Schedule(NamedTuple):
    """chunks: the Setting of each chunk. samples: at most of a piece."""

    chunks: List[Setting]
    samples: int


class Begun(NamedTuple):
    """How a run begins. done: steps before it. steps: to run. still: whether the input's only step stands for all.
    fresh: whether there is no state before. keep_state: whether one is wanted after. octets: whether levels are
    uint8."""

    done: int
    steps: int
    still: bool
    fresh: bool
    keep_state: bool
    octets: bool


class Schedules:
    """The Schedules of the runs of a program. chunk, block: steps and samples processed together, or None to
    choose by size."""

    def __init__(self, program: Program, sizes: Sizes, chunk: Optional[int], block: Optional[int]):
        self.program, self.sizes, self.chunk, self.block = program, sizes, chunk, block
        self._last = max(program.bias_steps, default=0)  # step after which nothing differs any more
        self._known = {}

    def of(self, wanted: Wanted, begun: Begun) -> Schedule:
        """Return the Schedule of a run that keeps what is wanted."""
        if begun.done > self._last:
            begun = begun._replace(done=self._last)
        key = wanted, begun
        if key not in self._known:
            if len(self._known) >= MOST_SCHEDULES:
                self._known.clear()
            self._known[key] = self._worked_out(wanted, begun)
        return self._known[key]

    def _worked_out(self, wanted, begun):
        longest = self.chunk or longest_chunk(self.program, self.sizes, begun.steps, wanted.observed_bytes,
                                              bool(wanted.wishes.gathered))
        lengths = chunks(self.program, begun.done, begun.steps, longest)
        undivided = len(lengths) == 1
        planes = wanted.planes if undivided else wanted.planes | wanted.summed
        keeps = begun.keep_state or not undivided
        setting = Setting(1, max(lengths), begun.still, begun.fresh, keeps, 0, wanted.traced, planes,
                          wanted.wishes.outputs, begun.octets, undivided and bool(wanted.summed))
        samples = self.block or samples_of_piece(self.program, self.sizes, setting)
        settings, done = [], 0
        for steps in lengths:
            bias = bias_step(self.program, begun.done + done)
            settings.append(setting._replace(steps=steps, fresh=begun.fresh and not done, bias_step=bias))
            done += steps
        return Schedule(settings, samples)
