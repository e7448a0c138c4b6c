"""Executing: samples through a Program, piece by piece in threads, each piece chunk after chunk."""

import math
import threading
import time
from functools import cached_property
from typing import Callable, Iterable, List, NamedTuple, Optional, Tuple

import numpy as np

from eventsim.arguments import integer
from eventsim.engine.blocks import sizes
from eventsim.engine.context import RunContext
from eventsim.engine.lengths import run_by_length
from eventsim.engine.overflows import check_overflows, chip_may_fail
from eventsim.engine.processor import check_processor
from eventsim.engine.recorder import record_names, Recorder, Wanted
from eventsim.engine.recording import Recording
from eventsim.engine.resuming import StateRules
from eventsim.engine.running import Alike, Runner
from eventsim.engine.said_changes import warn_of_changes
from eventsim.engine.schedules import Begun, Schedule, Schedules
from eventsim.engine.state import State
from eventsim.engine.threads import Threads
from eventsim.engine.timing import Clock, TimedStep
from eventsim.engine.warming import Kind, kinds_of_chunks
from eventsim.errors import DataError, warn
from eventsim.inputs.levels import array_of, check_steps_said, checked_levels, is_still, to_levels
from eventsim.kernels.calling import COMPILES
from eventsim.merging import merge
from eventsim.model.parameters import MOST_STEPS
from eventsim.program import Program
from eventsim.tensors import refuse_beside_loader

MOST_WANTS, MOST_KNOWN = 32, 256  # sets of what was recorded, and of runs that are alike, that are kept
LEVELS = np.dtype(np.uint8), np.dtype(np.int32)  # types of levels that kernels read
TIMING = "timing"  # what is recorded of kernels one by one


class _Piece(NamedTuple):
    """Samples that run together: levels, int32 or uint8 (n, steps or 1, C, positions) or F of real input, the
    number of the first, the State before, and what times them."""

    levels: object
    start: int
    state: State
    clock: Clock


class _Known(NamedTuple):
    """What was worked out for runs that are alike, and what is taken from them."""

    alike: Alike
    recorder: Recorder
    keep_state: bool


def _flatten_positions(levels):
    """Return levels (N, T, *shape) as (N, T, C, positions)."""
    return levels.reshape(*levels.shape[:3], -1)


def _copies(state: Optional[State]) -> Callable[[int, int], State]:
    """Return a function (start, stop) -> State of these samples, whose arrays kernels may write. state: of all, or
    None."""
    return lambda start, stop: State() if state is None else state.samples(start, stop)


class Executor:
    """Runs samples, and keeps for later runs what is the same for all of them. Any number of threads may call it.

    program: what runs. context: of its recordings, with the model and how many threads run. chunk, block: as of a
    `Simulator`.
    """

    def __init__(self, program: Program, context: RunContext, chunk: Optional[int], block: Optional[int]):
        self.program, self.context, self.model = program, context, context.model
        self.threads = Threads(context.workers)
        self._sizes = sizes(program)
        self._schedules = Schedules(program, self._sizes, chunk, block)
        self._checked_before = self._input.encoding == "real" or self._input.signed  # others are by a kernel
        self._wants, self._known, self._local = {}, {}, threading.local()
        self._compiled = set()  # kinds of runs of which a blank sample ran
        self._doubted = False
        self._other_from = min((steps for rounding in program.rounding.values()
                                for steps, _ in rounding.later.values()), default=math.inf)

    def run(self, x, timesteps=None, record=(), state=None, keep_state=False, samples_first=True) -> Recording:
        """Run samples of one length. x, timesteps, record, state and errors: as of `Simulator.run`. keep_state:
        whether the Recording has one. samples_first: whether it is known that the first axis of x is that of
        samples; else an x that looks otherwise is refused."""
        if type(record) is not tuple:
            record = record_names(record)
        key = None
        if state is not None:
            refuse_beside_loader(x, state=state)
        else:
            key = self._key(x, timesteps, record, keep_state, samples_first)
            recording = self._run_alike(key, x)
            if recording is not None:
                return recording
            if not samples_first:
                check_steps_said(self.model, x, timesteps)
        return self._run_new(key, x, timesteps, record_names(record), state, keep_state, self._doubt)

    def run_unjudged(self, x, timesteps, record, state=None) -> Recording:
        """Run samples of which nobody reads the answer (blank ones, the windows of a stream), so that nothing is
        said of the number of steps. The Recording has a state. record: a tuple. Other arguments as of `run`."""
        key = self._key(x, timesteps, record, True, True) if state is None else None
        recording = None if key is None else self._run_alike(key, x)
        return self._run_new(key, x, timesteps, record, state, True) if recording is None else recording

    def _run_new(self, key, x, timesteps, record, state, keep_state, judge=None):
        """Run samples whose key, if they have one, is not known yet, and keep what others with it share. judge:
        called with how the run begins, or None. Other arguments as of `run`."""
        clock = Clock(TIMING in record)
        levels, begun = self._begun(x, timesteps, state, keep_state)
        if judge is not None:
            judge(begun)
        self._warn_of_steps(begun.done + begun.steps)
        self._learn(key, record, begun, levels, clock)
        return self._run(levels, record, begun, clock, _copies(state))

    def time_steps(self, x, timesteps=None) -> List[TimedStep]:
        """Run samples, as `run` takes them, with kernels called one by one; what ran, in order."""
        check_steps_said(self.model, x, timesteps)
        clock = Clock(detailed=True)
        levels, begun = self._begun(x, timesteps, None, False)
        self._run(levels, (), begun, clock, _copies(None))
        return clock.steps

    def _begun(self, x, timesteps, state, keep_state):
        """Return (levels of samples, how their run begins). Arguments and errors: as of `run`."""
        check_processor(self.program.dtype)
        if timesteps is not None:
            timesteps = integer(timesteps, "timesteps", 1, MOST_STEPS)
        levels, still = to_levels(x, self._input, timesteps, narrow=True)
        steps = self.model.steps(timesteps) if still else levels.shape[1]
        done = self._states.check(state, len(levels), steps)
        return levels, Begun(done, steps, still, state is None, keep_state, levels.dtype == np.uint8)

    def _doubt(self, begun: Begun):
        """Warn, once, where the model is not meant for so many steps in all. A run that goes on may end later."""
        steps = begun.done + begun.steps
        doubt = self.model.doubt_of_steps(steps)
        if doubt and not self._doubted and (begun.fresh or steps >= self.model.timesteps):
            self._doubted = True
            warn(doubt)

    def _warn_of_steps(self, steps):
        """Warn, once, of constants that integers make other numbers in a run of so many steps, though not in the
        model's."""
        if steps >= self._other_from:
            self._other_from = math.inf
            changes = {layer: rounding.changed_in(steps) for layer, rounding in self.program.rounding.items()}
            warn_of_changes(self.program, changes, f" in a run of {steps} steps")

    def _learn(self, key, record, begun: Begun, levels, clock: Clock):
        """Keep what runs with this key share, if they have one. levels: of the first of them."""
        known = None if key is None else self._known_of(record, begun, levels)
        if known is not None:
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            self._known[key] = known
            self.runner.prepare(known.alike, levels, clock)

    def _key(self, x, timesteps, record, keep_state, samples_first):
        """Return a key that runs from the beginning share where they differ in the values of x alone; None where
        that is not known."""
        plain = type(x) is np.ndarray and type(timesteps) in (int, type(None)) and set(map(type, record)) <= {str}
        if plain and COMPILES:
            dtype = x.dtype
            return (x.shape, dtype.num, dtype.isnative, timesteps, record, keep_state, samples_first,
                    self.model.timesteps)
        return None

    def _known_of(self, record, begun: Begun, levels) -> Optional[_Known]:
        """Return what is worked out for all runs alike, where they are of one piece and one chunk and nothing is
        gathered; else None. levels: of the first of them."""
        wanted = self._wanted(record)
        if TIMING in record or wanted.wishes.gathered or self._may_fail:
            return None
        schedule, n = self._schedules.of(wanted, begun), len(levels)
        if len(schedule.chunks) > 1 or min(schedule.samples, -(-n // self.threads.workers)) < n:
            return None
        alike = Alike(schedule.chunks[0], (*levels.shape[:3], -1))
        return _Known(alike, Recorder(wanted, begun.steps), begun.keep_state)

    def _run_alike(self, key, x) -> Optional[Recording]:
        """Run samples all at once, as some before with this key. x: samples like theirs but for its values. None
        is returned where no run with the key is known, and where `run` has to say what is wrong."""
        known = self._known.get(key)  # once: another thread may clear them
        if known is None:
            return None
        clock = Clock()
        if self._checked_before or x.dtype not in LEVELS or not x.flags.carray:
            x = checked_levels(x, self._input, narrow=True)
        chunk = self.runner.run_alike(known.alike, x, clock)
        if chunk is None:
            return None
        recording = known.recorder.take(chunk)
        if known.keep_state:
            recording.state = self.runner.state_after(chunk)
        return self._finished(recording, clock)

    def _finished(self, recording, clock):
        recording.context, recording.timing = self.context, clock.finish()
        recording.seconds = recording.timing.seconds
        if recording.state is not None:
            recording.state.fingerprint = self.program.fingerprint
        return recording

    def go_on(self, levels, record, state: State) -> Recording:
        """Run steps of one sample from the State that a run of this executor left, which nobody else has: it is
        brought up to date, and neither checked nor copied. levels: int32 (1, T, *shape), that the input has."""
        check_processor(self.program.dtype)
        steps = levels.shape[1]
        done = self._states.check_steps(state, steps)
        self._warn_of_steps(done + steps)
        begun = Begun(done, steps, False, False, True, levels.dtype == np.uint8)
        return self._run(levels, record, begun, Clock(TIMING in record), lambda start, stop: state)

    def compile(self, record: Tuple[str, ...], kinds: Iterable[Kind]) -> None:
        """Compile, or load from the cache, the kernels of runs of some kinds, by running a blank sample of each.
        Raises DataError for names in `record` that are none."""
        check_processor(self.program.dtype)
        wanted = self._wanted(record)
        for begun, dtype, chunk in kinds:
            schedules = self._schedules if chunk is None else Schedules(self.program, self._sizes, chunk, None)
            schedule = schedules.of(wanted, begun)
            schedule = schedule._replace(chunks=kinds_of_chunks(schedule.chunks))
            kind = record, tuple(schedule.chunks), dtype
            if kind not in self._compiled:
                self._run_blank(record, begun, dtype, schedule)
                self._compiled.add(kind)

    def _run_blank(self, record, begun: Begun, dtype, schedule: Schedule):
        """Run a blank sample by a schedule. begun: how a run of which it is an extract begins."""
        steps = sum(setting.steps for setting in schedule.chunks)
        blank = np.zeros((1, 1 if begun.still else steps, *self._input.shape), dtype)
        recorder = Recorder(self._wanted(record), steps)
        piece = _Piece(_flatten_positions(blank), 0, State(), Clock())
        self._run_piece(piece, schedule, recorder, begun.keep_state)
        recorder.statistics()
        alone = begun.fresh and len(schedule.chunks) == 1
        known = self._known_of(record, begun._replace(steps=steps), blank) if alone else None
        if known is not None:
            self.runner.prepare(known.alike, blank, Clock())

    def _run(self, levels, record, begun: Begun, clock, state_of: Callable[[int, int], State]) -> Recording:
        """Run levels (n, steps or 1, *shape). state_of: the State of some samples before."""
        levels, wanted = _flatten_positions(levels), self._wanted(record)
        n, keep_state = len(levels), begun.keep_state
        schedule = self._schedules.of(wanted, begun)
        recorder = Recorder(wanted, begun.steps)
        starts = range(0, n, min(schedule.samples, -(-n // self.threads.workers)))

        def run_piece(start):
            stop = min(start + starts.step, n)
            piece = _Piece(levels[start:stop], start, state_of(start, stop), clock)
            return self._run_piece(piece, schedule, recorder, keep_state)

        def run_checked(start):
            check_processor(self.program.dtype)  # of the thread
            return run_piece(start)

        if self.threads.workers == 1 or len(starts) == 1 or clock.detailed:
            parts = [run_piece(start) for start in starts]
        else:
            parts = self.threads.map(run_checked, starts)
        recording = merge(parts)
        recording.statistics = recorder.statistics()
        return self._finished(recording, clock)

    def run_lengths(self, x, lengths, timesteps=None, record=()) -> Recording:
        """Run samples of their own lengths, as `Simulator.run`."""
        refuse_beside_loader(x, lengths=lengths)
        began = time.perf_counter()
        if timesteps is not None:
            raise DataError("timesteps are those of all samples; give timesteps or lengths, not both")
        x = array_of(x)
        if is_still(x, self._input.shape):
            raise DataError(f"lengths are steps of samples that have some, but x has shape {x.shape}, samples "
                            "that stand still: give x of shape (N, T, ...), or leave lengths out")
        recording = run_by_length(lambda part: self.run(part, None, record), x, lengths)
        recording.seconds = time.perf_counter() - began
        return recording

    def _run_piece(self, piece: _Piece, schedule: Schedule, recorder: Recorder, keep_state: bool):
        """Run a piece's samples, chunk after chunk."""
        state, done, parts = piece.state, 0, []
        with recorder.observer.block(piece.start, len(piece.levels), len(schedule.chunks) > 1) as observer:
            for setting in schedule.chunks:
                taken = piece.levels if setting.still else piece.levels[:, done : done + setting.steps]
                chunk = self.runner.run_chunk(setting, state, taken, piece.clock)
                if self._may_fail:
                    check_overflows(self.model, self.program, chunk)
                observer.take(chunk)
                parts.append(recorder.take(chunk))
                done += setting.steps
        recording = merge(parts, along="steps")
        if keep_state:
            recording.state = state
        return recording

    def _wanted(self, record: Tuple[str, ...]) -> Wanted:
        """Return what runs with a record (see `record_names`) keep; each record is looked through once."""
        record = tuple(name for name in record if name != TIMING)
        wanted = self._wants.get(record)
        if wanted is None:
            if len(self._wants) >= MOST_WANTS:
                self._wants.clear()
            wanted = self._wants[record] = Wanted(self.program, self.model, record)
        return wanted

    @property
    def runner(self) -> Runner:
        """The Runner of this thread."""
        try:
            return self._local.runner
        except AttributeError:
            self._local.runner = Runner(self.program, self._sizes)
            return self._local.runner

    @property
    def _input(self):
        return self.model.nodes[self.model.input]

    @cached_property
    def _states(self):
        return StateRules(self.program)

    @cached_property
    def _may_fail(self):
        return chip_may_fail(self.program.chip)
