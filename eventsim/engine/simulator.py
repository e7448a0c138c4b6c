"""Simulator: runs samples through a model and returns a Recording."""

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Dict, Iterator, List, NamedTuple, Optional, Tuple

import numpy as np

from eventsim.arguments import several, shown
from eventsim.display.card import Card, cut, MOST_ROWS, Shown, times
from eventsim.display.progress import sample_bar
from eventsim.engine.blocks import bias_step, chunks, longest_chunk, samples_of_piece, sizes
from eventsim.engine.chunk import Setting
from eventsim.engine.context import RunContext
from eventsim.engine.lengths import run_by_length
from eventsim.engine.overflows import check_overflows, chip_may_fail
from eventsim.engine.processor import check_processor
from eventsim.engine.recorder import Recorder, Wanted
from eventsim.engine.recording import Recording
from eventsim.engine.resuming import StateRules
from eventsim.engine.running import Runner
from eventsim.engine.state import State
from eventsim.engine.stream_options import StreamOptions
from eventsim.engine.streaming import Stream
from eventsim.engine.timing import Clock, TimedStep
from eventsim.errors import DataError, ModelError
from eventsim.inputs.levels import check_layout, to_levels
from eventsim.lowering.recipe import lower, PRECISIONS
from eventsim.merging import merge
from eventsim.model.chip import find_chip
from eventsim.model.network import Model
from eventsim.model.parameters import integer
from eventsim.statistics.decisions import one_label_each
from eventsim.tensors import as_array, is_loader, pairs_of
from eventsim.text import many, NONE, number, quantity

BATCH_VALUES, BATCH = 1 << 20, (16, 1024)  # of x at a time in `predict`, and at least and most so many samples
MOST_WANTS = 32  # sets of what was recorded that are kept
TIMING = "timing"  # what is recorded of kernels one by one


class _Piece(NamedTuple):
    """Samples that run together: how, in chunks of how many steps, the number of the first, whether their state is
    kept, and what times them."""

    setting: Setting
    lengths: List[int]
    start: int
    keep_state: bool
    clock: Clock


class Simulator(Shown):
    """Runs a model at one precision on the CPU.

    model: a `Model`. precision: "float32", "float64", "int8" (fixed point) or "fixed" (a chip's
    arithmetic); None: "fixed" where there is a chip, else "float32". chip: a `Chip`, the
    name of a built-in one or the path of a JSON file; None: the model's own. workers: threads,
    each taking blocks of samples. chunk, block: steps and samples processed together; None
    chooses them by size. Results are the same bits whatever workers, chunk and block are.
    memory_limit: bytes; a model whose maps, weights and delays need more is refused before any is taken; None:
    three quarters of the machine's memory.

    It can be pickled and copied: what is kept are the model and these settings, and the copy lowers the
    model again. In a forked child it runs on, with threads of its own.

    Attributes: `program` (see `program.Program`; `program.rounding` says what int8 changed).
    Raises UnsupportedError, naming the node, where the precision cannot express the model or memory_limit
    forbids it, and ModelError for other arguments.
    """

    def __init__(self, model: Model, precision: Optional[str] = None, workers: int = 1,
                 chunk: Optional[int] = None, block: Optional[int] = None, chip=None,
                 memory_limit: Optional[int] = None):
        precision, chip = _arithmetic(model, precision, chip)
        self.workers = integer(workers, "workers", 1, 1024)
        self.chunk = None if chunk is None else integer(chunk, "chunk", 1, 1 << 24)
        self.block = None if block is None else integer(block, "block", 1, 1 << 24)
        self.memory_limit = None if memory_limit is None else integer(memory_limit, "memory_limit", 1, 1 << 62)
        self._lower(model, precision, chip)

    def _lower(self, model, precision, chip):
        self.model, self.precision = model, precision
        check_processor(np.dtype("float64" if precision in ("float32", "float64") else "int32"))
        self.program = lower(model, precision, chip, self.memory_limit)
        self._context = RunContext.of(self)
        self._local = threading.local()
        self._wants, self._courses = {}, {}
        self._compiled = set()  # what was recorded while all was compiled
        self._pool, self._pool_process = None, None

    def __getstate__(self):
        settings = {name: value for name, value in vars(self).items() if name != "program" and name[0] != "_"}
        return {**settings, "chip": self.program.chip}

    def __setstate__(self, settings):
        settings = dict(settings)
        lowered = settings.pop("model"), settings.pop("precision"), settings.pop("chip")
        vars(self).update(settings)
        self._lower(*lowered)

    def run(self, x, timesteps=None, record=("spikes",), state=None, lengths=None) -> Recording:
        """Run samples and return what was asked, with counts.

        x: (N, ...) of an input that stands still, or (N, T, ...), channels first: integer levels,
            or real numbers where the model's input is real.
        timesteps: steps to run; default T of x, else the model's. Given with T it must agree. Has to be
            given where neither says them: a NIR file, for one, does not.
        record: any of "spikes", "currents", "potentials" (membranes before the reset) and "residuals"
            (membranes after the reset: snnTorch `mem`, SpikingJelly `v`), each for all nodes that have
            it, or "kind:node" for one node; "outputs"; "audit" (integers only); "statistics" (events,
            levels and planes), "intervals" (between events, and correlations) and "membranes", gathered
            while it runs into `Recording.statistics`; "timing" (each kernel, called one by one in one thread,
            into `Recording.timing`).
        state: `Recording.state` of an earlier run of the same samples, to continue it.
        lengths: steps of each sample, whole numbers (N,), where they differ: of sample i only the first lengths[i]
            steps of x are run, as if it were alone, and what comes after is in no count, statistic or answer. Such
            a run has no `Recording.state`.

        Raises DataError for arrays that do not fit, RunError where nobody says the steps, beyond
        those that integer membranes are proved to hold, and where a number leaves a width that a chip
        says to be an error.
        """
        if lengths is None:
            if state is None:
                self._check_layout(x, timesteps)
            return self._run(x, timesteps, record, state, keep_state=True)
        if state is not None:
            raise DataError("state continues samples of one length; give state or lengths, not both")
        return self._run_lengths(x, lengths, timesteps, record)

    def predict(self, x, timesteps=None, progress=None) -> np.ndarray:
        """int64 (N,): the class of each sample, in bounded memory beside x.

        x: as `run` takes it, or a loader of batches x or (x, y). progress: True for a bar, False for none; None:
            in notebooks.
        """
        found = [recording.predictions for recording, _ in self._pairs(x, None, timesteps, progress)]
        return np.concatenate(found)

    def score(self, x, y=None, timesteps=None, progress=None) -> float:
        """Share of the samples whose prediction is their label.

        x: as `predict` takes it. y: labels, numbers (N,); None: those of a loader of (x, y). Raises DataError
            for labels that do not fit, or are nowhere.
        """
        n, n_right = 0, 0
        for recording, labels in self._pairs(x, y, timesteps, progress):
            if labels is None:
                raise DataError("there are no labels: give y, or a loader of (x, y)")
            n, n_right = n + len(labels), n_right + round(recording.accuracy(labels) * len(labels))
        return n_right / n

    def _pairs(self, x, y, timesteps, progress):
        """(Recording, labels or None) of samples, batch by batch."""
        if is_loader(x):
            if y is not None:
                raise DataError("y is given, but x is a loader, whose batches have the labels; give one of them")
            pairs, n = pairs_of(x), None
        else:
            x = as_array(x)
            if y is None:  # labels say how many samples there are
                self._check_layout(x, timesteps)
            y = None if y is None else one_label_each(y, len(np.atleast_1d(x)))
            n, size = len(np.atleast_1d(x)), self._batch_size
            pairs = ((x[i : i + size], None if y is None else y[i : i + size]) for i in range(0, max(n, 1), size))
        done = 0
        with sample_bar(n, progress) as move:
            for part, labels in pairs:
                if n is None and labels is None:
                    self._check_layout(part, timesteps)
                yield self._run(part, timesteps, (), None, keep_state=False), labels
                done += len(part)
                move(done)

    @property
    def _batch_size(self):
        return int(np.clip(BATCH_VALUES // np.prod(self.model.shapes[self.model.input]), *BATCH))

    def card(self) -> Card:
        """The arithmetic, and what it does to the first layers."""
        program, model = self.program, self.model
        facts = [("precision", self.precision), ("chip", None if program.chip is None else program.chip.name),
                 ("workers", self.workers), ("input", f"{cut(model.input)!r}, {times(model.shapes[model.input])}"),
                 ("output", f"{cut(model.output)!r}, {times(model.shapes[model.output])}"),
                 ("steps", "to be given" if model.timesteps is None else model.timesteps),
                 ("steps without overflow", "any" if program.safe_steps is None else program.safe_steps)]
        rows = [(layer.name, times(layer.logical_shape), layer.bits or NONE,
                 *_rounded(program.rounding.get(layer.name))) for layer in program.layers[:MOST_ROWS]]
        return Card(f"Simulator({many(len(model.nodes), 'node')}, {self.precision})",
                    [(name, value) for name, value in facts if value is not None],
                    ("layer", "shape", "bits", "weights", "weight bits", "rounded to 0", "largest error"), rows,
                    len(program.layers), note="run(x) records, predict(x) and score(x, y) answer")

    def compile(self, record=()) -> None:
        """Compile, or load from the cache, every kernel that the model needs, by running a blank
        sample for one step, with what `run` is to record; otherwise the first run does it."""
        node, record = self.model.nodes[self.model.input], _named(record)
        if record in self._compiled:
            return
        self.run(np.zeros((1, *node.shape), np.float64 if node.encoding == "real" else np.uint8),
                 timesteps=1, record=record)
        self._compiled.add(record)
        if record:
            self.compile()

    def time_kernels(self, x, timesteps=None, record=()) -> Dict[str, float]:
        """Seconds that a run spends in each kernel: names of functions of `eventsim.kernels`, joined by "+" where
        they take turns row by row. Arguments as `run`; in one thread, whatever `workers` is. Everything is
        compiled before. Calling kernels one by one costs about a microsecond each."""
        record = _named(record)
        self._run(x, timesteps, record, None, False)
        return self._run(x, timesteps, (*record, TIMING), None, False).timing.by_kernel()

    def time_steps(self, x, timesteps=None) -> List[TimedStep]:
        """Run x once, calling each kernel from Python, in one thread; what ran, when and for how long, in order.
        Arguments as `run`. Run before, to have everything compiled."""
        clock = Clock(detailed=True)
        self._run(x, timesteps, (), None, False, clock)
        return clock.steps

    def iterate(self, batches, timesteps=None, record=()) -> Iterator[Recording]:
        """Run batches one after another in bounded memory: one Recording, without state, for each.

        batches: an iterable of x as `run` takes it, or of (x, y) or (x, y, lengths) as a `Dataset` gives them; or a
            loader.
        """
        record = _named(record)
        try:
            batches = pairs_of(batches) if is_loader(batches) else iter(batches)
        except TypeError:
            raise DataError(f"batches is {shown(batches)}, expected an iterable of x, or of (x, y)") from None
        for batch in batches:
            x, _, lengths = (*batch, None, None)[:3] if _is_pair(batch) else (batch, None, None)
            if lengths is None:
                if x is batch:
                    self._check_layout(x, timesteps)
                yield self._run(x, timesteps, record, None, keep_state=False)
            else:
                yield self._run_lengths(x, lengths, timesteps, record)

    def stream(self, source, window=None, **options) -> Stream:
        """Run events as they come, without end: an iterator of a `StreamWindow` after another, in bounded memory.

        source: an `EventStream`; the path of a recording, or of a named pipe; "-", standard input;
            "udp://HOST:PORT"; a file opened for bytes; or an iterable of blocks of events, which are
            structured arrays or mappings with columns t (microseconds), x, y and p. See `inputs.live`.
        window: microseconds, or text such as "10ms": a whole number of steps; default: those in 10 ms, at least one.
        options: fields of `StreamOptions`: step (default: the model's), stride, fresh, smoothing, slack, realtime,
            flush, record, state; sensor_size, time_unit, columns, keep_going, sample.

        Step s has the events from s * step to before (s + 1) * step, counted from the source's start, or its first
        event. The state is carried from window to window unless each is `fresh`; then the windows together are one run
        of all steps, bit for bit, however the source's blocks are cut. Kernels are compiled at once.
        Raises DataError where the source or a time does not fit.
        """
        return Stream(self, source, window, StreamOptions(**options))

    def _run_lengths(self, x, lengths, timesteps, record):
        """As `run` with lengths."""
        began = time.perf_counter()
        if timesteps is not None:
            raise DataError("timesteps are those of all samples; give timesteps or lengths, not both")
        recording = run_by_length(lambda part: self._run(part, None, record, None, keep_state=False), x, lengths)
        recording.seconds = time.perf_counter() - began
        return recording

    def _check_layout(self, x, timesteps):
        """Raise DataError where x looks as if steps came before samples, and nobody says the steps."""
        if timesteps is None:
            check_layout(_shape(x), self.model.nodes[self.model.input], self.model.timesteps)

    def _run(self, x, timesteps, record, state, keep_state, clock=None):
        record = _named(record)
        clock = Clock(TIMING in record) if clock is None else clock
        check_processor(self.program.dtype)
        if timesteps is not None:
            timesteps = integer(timesteps, "timesteps", 1, 1 << 24)
        levels, still = to_levels(x, self.model.nodes[self.model.input], timesteps)
        steps = self.model.steps(timesteps) if still else levels.shape[1]
        wanted = self._wanted(tuple(name for name in record if name != TIMING))
        n = levels.shape[0]
        done = self._states.check(state, n, steps)
        # held as (N, T, C, positions)
        levels = levels.reshape(*levels.shape[:2], levels.shape[2], -1)
        lengths, setting, piece = self._course(wanted, done, steps, still, state is None, keep_state)
        recorder = Recorder(wanted, steps)
        starts = range(0, n, min(piece, -(-n // self.workers)))

        def run_piece(start):
            stop = min(start + starts.step, n)
            part = State() if state is None else state.samples(start, stop)
            return self._run_piece(levels[start:stop], _Piece(setting, lengths, start, keep_state, clock), part,
                                   recorder)

        if self.workers == 1 or len(starts) == 1 or clock.detailed:
            parts = [run_piece(start) for start in starts]
        else:
            parts = self._in_threads(run_piece, starts)
        recording = merge(parts)
        recording.statistics, recording.context = recorder.statistics(), self._context
        recording.timing = clock.finish()
        recording.seconds = recording.timing.seconds
        return recording

    def _in_threads(self, run_piece, starts):
        """Each piece in a thread of the pool, which is kept, so that its threads keep their plans. After an error
        it is not: threads keep the modes of the processor that they began with."""
        if self._pool_process != os.getpid():  # in a forked child the pool has no threads
            self._pool, self._pool_process = ThreadPoolExecutor(self.workers, "eventsim"), os.getpid()

        def checked(start):
            check_processor(self.program.dtype)
            return run_piece(start)

        parts = None
        try:
            parts = list(self._pool.map(checked, starts))
        finally:
            if parts is None:
                self._pool_process = None
        return parts

    def _course(self, wanted, done, steps, still, fresh, keep_state):
        """(lengths of chunks, Setting, most samples of a piece) of a run after `done` steps, thought of once."""
        done = min(done, max(self.program.bias_steps, default=0))  # nothing differs any more
        key = (wanted, done, steps, still, fresh, keep_state)
        if key not in self._courses:
            if len(self._courses) >= MOST_WANTS:
                self._courses.clear()
            longest = self.chunk or longest_chunk(self.program, self._sizes, wanted.observed_bytes)
            lengths = chunks(self.program, done, steps, longest)
            setting = Setting(1, max(lengths), still, fresh, keep_state or len(lengths) > 1, 0,
                              wanted.traced, wanted.planes)
            piece = self.block or samples_of_piece(self.program, self._sizes, setting)
            self._courses[key] = lengths, setting, piece
        return self._courses[key]

    def _run_piece(self, levels, piece, state, recorder):
        """A Recording of a piece's samples, chunk after chunk."""
        program, (setting, lengths, start, keep_state, clock) = self.program, piece
        n, parts, done = levels.shape[0], [], 0
        with recorder.observer.block(start, n, len(lengths) > 1) as observer:
            for steps in lengths:
                taken = levels if setting.still else levels[:, done : done + steps]
                chunk = self._runner.run_chunk(setting._replace(
                    steps=steps, fresh=setting.fresh and not done, bias_step=bias_step(program, state.step)),
                    state, taken, clock)
                if self._may_fail:
                    check_overflows(self.model, program, chunk)
                observer.take(chunk)
                parts.append(recorder.take(chunk))
                done += steps
        recording = merge(parts, along="steps")
        if keep_state:
            recording.state = state
        return recording

    def _wanted(self, record: Tuple[str, ...]) -> Wanted:
        """What runs with a record (see `_named`) keep, looked through once."""
        key = tuple(map(str, record))
        wanted = self._wants.get(key)
        if wanted is None:
            if len(self._wants) >= MOST_WANTS:
                self._wants.clear()
            wanted = self._wants[key] = Wanted(self.program, self.model, record)
        return wanted

    @property
    def _runner(self):
        """This thread's own."""
        if not hasattr(self._local, "runner"):
            self._local.runner = Runner(self.program, self._sizes)
        return self._local.runner

    @cached_property
    def _sizes(self):
        return sizes(self.program)

    @cached_property
    def _states(self):
        return StateRules(self.program)

    @cached_property
    def _may_fail(self):
        return chip_may_fail(self.program.chip)


def _rounded(rounding):
    """Cells of what fixed point changed in a layer, or of a layer that it did not change."""
    if rounding is None:
        return (NONE,) * 4
    return (quantity(rounding.n_weights), rounding.weight_bits, quantity(rounding.n_zeroed),
            number(rounding.weight_error))

def _is_pair(batch):
    """Whether a batch is (x, y) or more: a tuple, or a list of arrays that are not samples of one shape."""
    if isinstance(batch, tuple):
        return True
    shapes = [getattr(each, "shape", None) for each in batch] if isinstance(batch, list) else []
    return len(shapes) in (2, 3) and shapes[0] is not None and len(set(map(str, shapes))) > 1


def _shape(x):
    """Of an array or nested lists; () of what is none, which `to_levels` says."""
    try:
        return tuple(np.shape(x))
    except (TypeError, ValueError, RuntimeError):
        return ()


def _named(record) -> Tuple[str, ...]:
    """What `run` is to record, which may be one name, any iterable of them, or nothing. Raises DataError."""
    return several(record, "record", "a name such as 'spikes', or several")


def _arithmetic(model, precision, chip):
    """(precision, Chip or None) of a run, from what was given and what the model says."""
    if not isinstance(precision, (str, type(None))):
        raise ModelError(f"precision is {shown(precision)}, expected one of {', '.join(PRECISIONS)}, 'fixed' or None")
    if precision not in (None, "fixed"):
        if chip is not None:
            raise ModelError(f"precision is {precision!r}, but a chip computes in 'fixed'; give one")
        return precision, None
    found = getattr(model, "chip", None) if chip is None else find_chip(chip)  # `lower` checks model
    if found is None and precision == "fixed":
        raise ModelError("precision 'fixed' needs a chip: the model has none, so name one")
    return ("float32", None) if found is None else ("fixed", found)

