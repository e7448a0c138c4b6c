"""Running: samples through the plans of a Program, a chunk of steps at a time."""

import time
from dataclasses import dataclass
from functools import partial
from typing import Dict, List, NamedTuple, Optional, Tuple

import numpy as np

from eventsim.engine.answers import SUMS
from eventsim.engine.blocks import blocks_of, Sizes
from eventsim.engine.chunk import Chunk, Setting
from eventsim.engine.memory import address_of_array, Buffers, Together
from eventsim.engine.processor import PROBES
from eventsim.engine.state import KINDS_OF_STATE, State
from eventsim.engine.synchronous import bind_chunk, BoundChunk
from eventsim.engine.timing import Clock
from eventsim.errors import DataError
from eventsim.kernels.beginning import begin
from eventsim.kernels.calling import COMPILES
from eventsim.program import Program

AT_A_TIME = 64  # samples, between which the user may interrupt
MOST_PLANS, MOST_BYTES = 32, 512 << 20  # of a thread, the ones used last
MOST_CUTS = 64  # of samples into blocks that are kept
BEGINNING = State()  # before the first step; nobody writes it
NO_LEVELS = np.zeros(0, np.uint8)  # of real input


@dataclass(frozen=True, eq=False)
class Alike:
    """Runs of one piece and one chunk that differ in nothing but the levels. setting: of the chunk. shape: of the
    levels, (n, steps or 1, C, positions)."""

    setting: Setting
    shape: Tuple[int, ...]


class Blocks(NamedTuple):
    """Blocks of samples that one plan runs one after another."""

    setting: Setting
    number: int


class Kept(NamedTuple):
    """The arrays that plans of a setting are given for some samples.

    together: those that may hold anything before. offsets: int64, of all arrays in the order of the plans; of
    others 0. others: their places in this order, (kind, what), shape and dtype.
    """

    together: Together
    offsets: np.ndarray
    others: List[tuple]


class ChunkStart(NamedTuple):
    """What a chunk begins with. bound: one of its plans. setting: but for `samples`. levels: (n, steps or 1, C,
    positions)."""

    bound: BoundChunk
    setting: Setting
    state: State
    levels: np.ndarray


class Prepared(NamedTuple):
    """What runs that are alike share in one thread.

    together: the arrays that are cut from one piece of memory. others: as of `Kept`, without levels that are read
    where they are. plans: (what is bound, number of the first sample, of blocks) one after another. offsets,
    addresses: as of `kernels.beginning`.
    """

    together: Together
    others: List[tuple]
    plans: List[tuple]
    offsets: np.ndarray
    addresses: np.ndarray


class Runner:
    """Runs chunks of a Program; each thread has its own. sizes: what a sample takes, see `blocks`."""

    def __init__(self, program: Program, sizes: Sizes):
        self.program, self.sizes = program, sizes
        self._bound: Dict[Setting, BoundChunk] = {}
        self._bytes: Dict[Setting, int] = {}  # what each takes
        self._cuts: Dict[tuple, List[Blocks]] = {}  # (setting, number of samples) -> blocks
        self._kept: Dict[tuple, Kept] = {}  # the same -> arrays
        self._prepared: Dict[Alike, Prepared] = {}  # the last one ran last
        self._buffers = Buffers()
        self._probe = PROBES[program.dtype].in_eights()
        entered = program.stages[program.input]
        self._takes_real = entered.real
        self._most = -1 if entered.real or entered.signed else (1 << entered.bits) - 1
        self._past = [(name, past) for name, past in program.history.items() if past]

    def run_chunk(self, setting: Setting, state: State, levels, clock: Clock) -> Chunk:
        """Run a chunk from `state`, which is brought up to date.

        setting: but for `samples`. levels: int32, or uint8, (n, steps or 1, C, positions), or F of real input.
        clock: what times it.
        """
        chunk = self._run(setting, state, levels, clock)
        _left_by(chunk, state, self._past, self.program.input)
        return chunk

    def run_alike(self, alike: Alike, levels, clock: Clock) -> Optional[Chunk]:
        """Run the only chunk of a run. levels: as of `run_chunk`, in any shape, C-contiguous; None is returned
        where some are not of the input, or where this thread's processor does not add as it should."""
        prepared = self._prepared.pop(alike, None) or self._work_out(alike, clock)
        self._prepared[alike] = prepared  # last of all
        together, others, plans, offsets, addresses = prepared
        arrays, piece = together.take(self._buffers)
        read = NO_LEVELS if self._takes_real else levels.reshape(-1)
        if not begin(read, self._most, self._probe, addresses, offsets, piece):
            return None
        bound, setting = plans[0][0], alike.setting
        if others:
            before = ChunkStart(bound, setting, BEGINNING, levels.reshape(alike.shape))
            self._fill(arrays, addresses, others, before)
        for bound, first, n_blocks in plans:
            bound.clock[0] = 0
            bound.plan.run(arrays, addresses, first, n_blocks, clock)
        arrays.pop(("levels", self.program.input), None)  # nobody reads them any more
        return Chunk(alike.shape[0], setting.steps, bound.still_input, bound.plan.kept, arrays, bound.sent)

    def prepare(self, alike: Alike, levels, clock: Clock) -> None:
        """Work out what `run_alike` needs for such levels."""
        self._prepared[alike] = prepared = self._work_out(alike, clock)
        began = time.perf_counter()
        nothing = NO_LEVELS if self._takes_real else levels.reshape(-1)[:0]
        begin(nothing, self._most, self._probe, prepared.addresses, prepared.offsets, 0)
        clock.timing.compiling += time.perf_counter() - began

    def _work_out(self, alike, clock):
        plans, first, n = [], 0, alike.shape[0]
        for blocks in self._blocks(alike.setting, n):
            plans.append((self._bind(blocks.setting, clock), first, blocks.number))
            first += blocks.number * blocks.setting.samples
        bound = plans[0][0]
        kept = _kept(bound.plan.kept, n)
        others, offsets = [], kept.offsets.copy()
        for other in kept.others:
            place, (kind, _), *_ = other
            if kind == "levels" and (bound.still_input or not alike.setting.still):  # `_repeated` repeats none
                offsets[place] = -1
            else:
                others.append(other)
        if len(self._prepared) >= MOST_CUTS:
            del self._prepared[next(iter(self._prepared))]
        addresses = np.zeros(len(offsets), np.int64)
        return Prepared(kept.together, others, plans, offsets, addresses)

    def state_after(self, chunk: Chunk) -> State:
        """Return the State after a chunk that was all of a run, worked out when it is first looked at."""
        past = self._past
        sent = chunk.sent if past else {}  # else the State would keep this Runner and its plans alive
        ran = chunk.n_samples, chunk.steps, chunk.still_input, chunk.names, chunk.arrays, sent
        return State.later(partial(_left_alone, ran, past, self.program.input))

    def _run(self, setting, state, levels, clock):
        n, done, arrays, sums = len(levels), 0, None, []
        for blocks in self._blocks(setting, n):
            bound = self._bind(blocks.setting, clock)
            if arrays is None:
                arrays, addresses = self._arrays(bound, setting, state, levels)
            if bound.sums and not any(bound.sums is each for each in sums):
                _clear(bound.sums)
                sums.append(bound.sums)
            bound.clock[0] = state.step
            bound.plan.run(arrays, addresses, done, blocks.number, clock)
            done += blocks.number * blocks.setting.samples
        arrays.pop(("levels", self.program.input), None)  # nobody reads them any more
        return Chunk(n, setting.steps, bound.still_input, bound.plan.kept, arrays, bound.sent, sums)

    def _blocks(self, setting, n):
        """Return the blocks of n samples, of few sizes where they are compiled: few plans for any number."""
        if (setting, n) not in self._cuts:
            if len(self._cuts) >= MOST_CUTS:
                self._cuts.clear()
                self._kept.clear()
            self._cuts[setting, n] = list(self._cut(setting, n))
        return self._cuts[setting, n]

    def _cut(self, setting, n):
        for samples in blocks_of(self.sizes, setting.steps, n) if COMPILES else [n]:
            left = n // samples
            n -= left * samples
            while left:
                blocks = Blocks(setting._replace(samples=samples), min(left, max(1, AT_A_TIME // samples)))
                left -= blocks.number
                yield blocks

    def _bind(self, setting, clock):
        bound = self._bound.pop(setting, None)
        if bound is not None:
            self._bound[setting] = bound  # last of all
            return bound
        began = time.perf_counter()
        bound = self._bound[setting] = bind_chunk(self.program, setting)
        clock.timing.compiling += time.perf_counter() - began
        self._bytes[setting] = bound.plan.memory.n_bytes
        if len(self._bound) > MOST_PLANS or sum(self._bytes.values()) > MOST_BYTES:
            self._drop(setting)
        return bound

    def _drop(self, last):
        """Drop the plans that were used longest ago. last: the setting of the one that was bound last."""
        ran = [blocks.setting for alike in self._prepared
               for blocks in self._blocks(alike.setting, alike.shape[0])]
        self._prepared.clear()
        for setting in (*ran, last):  # runs that are prepared do not ask `_bind` for their plans
            if setting in self._bound:
                self._bound[setting] = self._bound.pop(setting)
        while len(self._bound) > MOST_PLANS or len(self._bound) > 1 and sum(self._bytes.values()) > MOST_BYTES:
            oldest = next(iter(self._bound))
            del self._bound[oldest], self._bytes[oldest]

    def _arrays(self, bound, setting, state, levels):
        """Return the kept arrays of all samples, as they are before the chunk, and int64, where they begin."""
        kept = self._kept.get((setting, len(levels)))
        if kept is None:
            kept = self._kept[setting, len(levels)] = _kept(bound.plan.kept, len(levels))
        arrays, piece = kept.together.take(self._buffers)
        addresses = kept.offsets + piece
        self._fill(arrays, addresses, kept.others, ChunkStart(bound, setting, state, levels))
        return arrays, addresses

    def _fill(self, arrays, addresses, others, before: ChunkStart):
        """Put the arrays that are not taken together into `arrays`, and where they begin into `addresses`. others:
        as of `Kept`."""
        for place, name, shape, dtype in others:
            make = _MAKERS.get(name[0], Runner._left)
            array = arrays[name] = make(self, name, shape, dtype, before)
            addresses[place] = address_of_array(array)

    def _levels(self, name, shape, dtype, before):
        return _repeated(before)

    def _real(self, name, shape, dtype, before):
        """Return real values, behind those of the steps before that are remembered."""
        _, entered = name
        with np.errstate(over="ignore"):
            values = _repeated(before).transpose(0, 1, 3, 2).astype(dtype, order="C")
        if not np.isfinite(values).all():
            raise DataError(f"x has values that {dtype} does not hold; run in float64")
        past = self.program.history[entered]
        if not past:
            return values
        remembered = before.state.history.get(entered)
        if remembered is None:
            remembered = np.zeros((len(values), past, *values.shape[2:]), dtype)
        return np.concatenate((remembered, values), axis=1)

    def _audit(self, name, shape, dtype, before):
        """Return an audit that has seen nothing: lowest and highest value at the other end of the type, no
        overflow."""
        audit = np.zeros((shape[0], 3, 3, shape[-1]), dtype)
        most = np.iinfo(dtype).max if dtype.kind == "i" else np.inf
        audit[:, :, 0], audit[:, :, 1] = most, -most
        return audit.reshape(shape)

    def _sums(self, name, shape, dtype, before):
        return self._buffers.take(name, shape, dtype) if before.state.sums is None else before.state.sums

    def _planes(self, name, shape, dtype, before):
        """Return planes, those of the steps before that are remembered first."""
        _, stage = name
        planes = self._buffers.take(name, shape, dtype)
        if stage in before.state.history:
            planes[:, : self.program.history[stage]] = before.state.history[stage]
        return planes

    def _left(self, name, shape, dtype, before):
        """Return what the state holds, else zeros."""
        kind, layer = name
        arrays = getattr(before.state, kind) if kind in KINDS_OF_STATE else {}
        return arrays[layer] if layer in arrays else self._buffers.take(name, shape, dtype)


# kind of an array -> the method of Runner that makes it of its name (kind, what), shape, dtype and a ChunkStart
_MAKERS = {"levels": Runner._levels, "real": Runner._real, "audit": Runner._audit, SUMS[0]: Runner._sums,
           "planes": Runner._planes}


def _left_alone(ran, past, entered) -> State:
    """Return the State after a chunk that was all of a run. ran: its first fields, which are all that is
    needed."""
    return _left_by(Chunk(*ran), State(), past, entered)


def _left_by(chunk, state, past, entered) -> State:
    """Bring the State before a chunk up to date, and return it. past: (stage, steps that are remembered). entered:
    the input."""
    for kind, what in chunk.names:
        if kind in KINDS_OF_STATE:
            getattr(state, kind)[what] = chunk.arrays.own((kind, what))
    for name, steps in past:
        real = name == entered and chunk.trains.real is not None
        slots = chunk.trains.real if real else chunk.trains.sent[name].planes
        state.history[name] = slots[:, -steps:].copy()
    state.sums = chunk.arrays.own(SUMS)
    state.step += chunk.steps
    return state


def _kept(kept, n) -> Kept:
    """Return the Kept of a plan, of n samples. kept: as of a Plan."""
    together, others, places = [], [], []
    for place, (name, (shape, dtype, filled)) in enumerate(kept.items()):
        if filled:
            together.append((name, (n, *shape), dtype))
            places.append(place)
        else:
            others.append((place, name, (n, *shape), dtype))
    together, offsets = Together(together), np.zeros(len(kept), np.int64)
    offsets[places] = together.offsets
    return Kept(together, offsets, others)


def _clear(sums):
    """Forget what an earlier chunk, or one that was interrupted, has summed."""
    for summing in sums.values():
        summing.clear()


def _repeated(before: ChunkStart):
    """Return levels with one slot for each that the plan reads."""
    levels, steps = before.levels, before.setting.steps
    if before.bound.still_input or levels.shape[1] == steps:
        return np.ascontiguousarray(levels)
    return np.repeat(levels, steps, axis=1)
