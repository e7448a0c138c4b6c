"""Running: samples through the plans of a Program, a chunk of steps at a time."""

import time
from typing import Dict, List, Optional

import numpy as np

from eventsim.engine.answers import answers
from eventsim.engine.blocks import samples_together, Sizes
from eventsim.engine.chunk import Chunk, Setting, Traces, Trains
from eventsim.engine.counting import COUNTS, count_chunk
from eventsim.engine.memory import Buffers, ChunkTrain
from eventsim.engine.state import KINDS_OF_STATE, State
from eventsim.engine.synchronous import bind_chunk, BoundChunk
from eventsim.engine.timing import Clock
from eventsim.errors import DataError
from eventsim.kernels.calling import COMPILES
from eventsim.program import Program

AT_A_TIME = 64  # samples, between which the user may interrupt
MOST_PLANS, MOST_BYTES = 16, 512 << 20  # of a thread, the ones used last


class Runner:
    """Runs chunks of a Program; each thread has its own. sizes: what a sample takes, see `blocks`."""

    def __init__(self, program: Program, sizes: Sizes):
        self.program, self.sizes = program, sizes
        self._bound: Dict[Setting, BoundChunk] = {}
        self._bytes: Dict[Setting, int] = {}  # what each takes
        self._buffers = Buffers()

    def run_chunk(self, setting: Setting, state: State, levels, clock: Optional[Clock] = None,
                  each_step=True, sums: Optional[List[dict]] = None) -> Chunk:
        """Run a chunk from `state`, which is brought up to date.

        setting: but for `samples`. levels: int32 (n, steps or 1, C, positions), or F of real input. clock: what
            times it. each_step: whether answers are wanted after each step, or after the last only. sums: those of
            a run, layer -> TrainObserver, to which this thread's are added, unless they are there.
        """
        n = len(levels)
        together = samples_together(self.sizes, setting.steps, n) if COMPILES else n
        done, arrays = 0, None
        while done < n:
            samples = min(together, n - done)
            samples = samples if not COMPILES else 1 << (samples.bit_length() - 1)
            bound = self._bind(setting._replace(samples=samples), clock)
            if arrays is None:
                arrays = self._arrays(bound, setting, state, levels)
            if bound.sums and not any(bound.sums is each for each in sums):
                _clear(bound.sums)
                sums.append(bound.sums)
            bound.clock[0] = state.step
            n_blocks = min((n - done) // samples, max(1, AT_A_TIME // samples))
            left = {name: array[done:] for name, array in arrays.items()} if done else arrays
            bound.plan.run(left, n_blocks, clock)
            done += n_blocks * samples
        return self._chunk(bound, setting, state, arrays, each_step)

    def _bind(self, setting, clock):
        bound = self._bound.pop(setting, None)
        if bound is not None:
            self._bound[setting] = bound  # last of all
            return bound
        began = time.perf_counter()
        bound = self._bound[setting] = bind_chunk(self.program, setting)
        if clock is not None:
            clock.timing.compiling += time.perf_counter() - began
        self._bytes[setting] = bound.plan.memory.n_bytes
        while len(self._bound) > MOST_PLANS or len(self._bound) > 1 and sum(self._bytes.values()) > MOST_BYTES:
            oldest = next(iter(self._bound))
            del self._bound[oldest], self._bytes[oldest]
        return bound

    def _arrays(self, bound, setting, state, levels):
        """The kept arrays of all samples, as they are before the chunk."""
        arrays, n = {}, len(levels)
        for name, (shape, dtype) in bound.plan.kept.items():
            kind, what = name
            if kind == "levels":
                arrays[name] = _repeated(levels, bound, setting)
            elif kind == "real":
                arrays[name] = self._real(levels, bound, setting, state)
            elif kind in KINDS_OF_STATE and what in getattr(state, kind):
                arrays[name] = getattr(state, kind)[what]
            elif kind == "audit":
                arrays[name] = _blank_audit((n, *shape), dtype)
            else:
                arrays[name] = self._buffers.take(name, (n, *shape), dtype, cleared=kind not in Traces._fields)
            if kind == "planes" and what in state.history:
                past = self.program.history[what]
                arrays[name][:, :past] = state.history[what]
        return arrays

    def _real(self, levels, bound, setting, state):
        dtype, name = self.program.dtype, self.program.input
        past = self.program.history[name]
        with np.errstate(over="ignore"):
            values = _repeated(levels, bound, setting).transpose(0, 1, 3, 2).astype(dtype, order="C")
        if not np.isfinite(values).all():
            raise DataError(f"x has values that {dtype} does not hold; run in float64")
        if not past:
            return values
        before = state.history.get(name)
        if before is None:
            before = np.zeros((len(values), past, *values.shape[2:]), dtype)
        return np.concatenate((before, values), axis=1)

    def _chunk(self, bound, setting, state, arrays, each_step):
        program, trains = self.program, self._trains(bound, setting, arrays)
        traces = Traces({}, {}, {}, {})
        for (kind, what), array in arrays.items():
            if kind in KINDS_OF_STATE:
                getattr(state, kind)[what] = array
            elif kind in Traces._fields:
                getattr(traces, kind)[what] = array
        counts = count_chunk(program, arrays[COUNTS], trains)
        chunk = Chunk(trains, traces, answers(program, state, trains, traces, each_step), counts)
        for name, past in program.history.items():
            if past:
                real = name == program.input and trains.real is not None
                slots = trains.real if real else trains.sent[name].planes
                state.history[name] = slots[:, -past:].copy()
        state.step += setting.steps
        return chunk

    def _trains(self, bound, setting, arrays):
        sent = dict(bound.sent)
        for (kind, name), array in arrays.items():
            if kind == "planes":
                sent[name] = ChunkTrain(array, sent[name].first, sent[name].still)
        return Trains(len(arrays[COUNTS]), setting.steps, sent, arrays.get(("real", self.program.input)), bound.still_input)


def _clear(sums):
    """Forget what an earlier run, or one that was interrupted, has summed."""
    for summing in sums.values():
        summing.clear()


def _repeated(levels, bound, setting):
    """Levels with one slot for each that the plan reads."""
    if bound.still_input or levels.shape[1] == setting.steps:
        return np.ascontiguousarray(levels)
    return np.repeat(levels, setting.steps, axis=1)


def _blank_audit(shape, dtype):
    """Nothing seen yet: lowest and highest value at the other end of the type, no overflow."""
    audit = np.zeros((shape[0], 3, 3, shape[-1]), dtype)
    most = np.iinfo(dtype).max if dtype.kind == "i" else np.inf
    audit[:, :, 0], audit[:, :, 1] = most, -most
    return audit.reshape(shape)
