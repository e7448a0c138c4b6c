"""Simulator: a model and the settings that it is run with; each of its jobs stands in a module of its own.

`executing` runs samples, `schedules` cuts runs into pieces and chunks, `threads` keeps the pool, `batches` answers
for arrays and loaders of any size, `stream` runs events as they come, `arithmetic` chooses the precision and
`simulator_card` shows the settings.
"""

from operator import is_
from typing import Dict, Iterator, List, Optional

import numpy as np

from eventsim.arguments import integer
from eventsim.display.card import Card, Shown
from eventsim.engine.arithmetic import arithmetic_of
from eventsim.engine.batches import predictions_of, recordings_of, score_of
from eventsim.engine.context import RunContext
from eventsim.engine.executing import Executor, TIMING
from eventsim.engine.processor import check_processor
from eventsim.engine.recorder import record_names
from eventsim.engine.recording import Recording
from eventsim.engine.said_changes import warn_of_changes
from eventsim.engine.simulator_card import simulator_card
from eventsim.engine.stream.options import StreamOptions
from eventsim.engine.stream.streaming import Stream
from eventsim.engine.timing import TimedStep
from eventsim.engine.warming import every_kind, kinds_like
from eventsim.errors import DataError, ModelError
from eventsim.inputs.event_files.options import checked_options
from eventsim.lowering.recipe import lower
from eventsim.model.network import Model
from eventsim.model.parameters import MOST_STEPS


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
    model again; `workers`, `chunk` and `block` of a copy may be set. In a forked child it runs on, with threads of
    its own.

    Attributes: `program` (see `program.Program`; `program.rounding` says what int8 changed).
    Raises UnsupportedError, naming the node, where the precision cannot express the model or memory_limit
    forbids it, FormatError where there is no chip of that name or its file is damaged, and ModelError for other
    arguments. Warns of constants that integers make other numbers; once more in the first run, or stream, that is
    so much longer than the model's `timesteps` that others are added to them.

    >>> import eventsim, numpy as np
    >>> model = eventsim.Model({"in": eventsim.Input((4,)), "n": eventsim.Neuron()}, [("in", "n")])
    >>> simulator = eventsim.Simulator(model, precision="int8")
    >>> x = np.eye(4, dtype=int)  # samples that stand still, shown at each of 5 steps
    >>> simulator.predict(x, timesteps=5).tolist()
    [0, 1, 2, 3]
    >>> simulator.score(x, [0, 1, 2, 2], timesteps=5)
    0.75
    >>> simulator.run(x, timesteps=5).levels("n").sum(axis=1).tolist()
    [[5, 0, 0, 0], [0, 5, 0, 0], [0, 0, 5, 0], [0, 0, 0, 5]]
    """

    def __init__(self, model: Model, precision: Optional[str] = None, workers: int = 1,
                 chunk: Optional[int] = None, block: Optional[int] = None, chip=None,
                 memory_limit: Optional[int] = None):
        precision, chip = arithmetic_of(model, precision, chip)
        self.workers, self.chunk, self.block = workers, chunk, block
        self._check_settings()
        self.memory_limit = _setting(memory_limit, "memory_limit", 1 << 62)
        self._lower(model, precision, chip)
        warn_of_changes(self.program, {layer: rounding.constants for layer, rounding
                                       in self.program.rounding.items()})

    def _check_settings(self):
        self.workers = integer(self.workers, "workers", 1, 1024, ModelError)
        self.chunk = _setting(self.chunk, "chunk", MOST_STEPS)
        self.block = _setting(self.block, "block", 1 << 24)

    def _lower(self, model, precision, chip):
        self.model, self.precision = model, precision
        check_processor(np.dtype("float64" if precision in ("float32", "float64") else "int32"))
        self.program = lower(model, precision, chip, self.memory_limit)
        self._compiled = set()  # what was recorded while all was compiled
        self._executed = None  # settings, and the Executor of the last run

    @property
    def _executor(self):
        """The Executor, another one where the program or a setting was changed since the last run."""
        executed = self._executed
        if executed is None or not all(map(is_, self._settings(), executed[0])):
            self._check_settings()
            executor = Executor(self.program, RunContext.of(self), self.chunk, self.block)
            executed = self._executed = self._settings(), executor
        return executed[1]

    def _settings(self):
        return self.program, self.workers, self.chunk, self.block

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
        state: `Recording.state` of an earlier run of the same samples, to continue it; of the same network in the
            same arithmetic, which another simulator may have.
        lengths: steps of each sample, whole numbers (N,), where they differ: of sample i only the first lengths[i]
            steps of x are run, as if it were alone, and what comes after is in no count, statistic or answer. Such
            a run leaves no state to continue from: `Recording.state` is a `NoState`.

        Raises DataError for arrays that do not fit, RunError where nobody says the steps, beyond
        those that integer membranes are proved to hold, and where a number leaves a width that a chip
        says to be an error.
        """
        if lengths is None:
            return self._executor.run(x, timesteps, record, state, keep_state=True, samples_first=False)
        if state is not None:
            raise DataError("state continues samples of one length; give state or lengths, not both")
        return self._executor.run_lengths(x, lengths, timesteps, record)

    def predict(self, x, timesteps=None, progress=None) -> np.ndarray:
        """Return the class of each sample, int64 (N,), in bounded memory beside x.

        x: as `run` takes it, or a loader of batches x or (x, y). progress: True for a bar, False for none; None:
            in notebooks.

        Raises DataError and RunError as `run` does, and DataError of a loader that has no sample.
        """
        return predictions_of(self._executor, x, timesteps, progress)

    def score(self, x, y=None, timesteps=None, progress=None) -> float:
        """Return the share of the samples whose prediction is their label, a float.

        x, timesteps, progress: as `predict` takes them. y: labels, whole numbers (N,); None: those of a loader of
            (x, y).

        Raises DataError for labels that do not fit, or are nowhere, and what `predict` raises.
        """
        return score_of(self._executor, x, y, timesteps, progress)

    def card(self) -> Card:
        """Show the arithmetic, and what it does to the first layers."""
        return simulator_card(self)

    def compile(self, record=(), like=None, timesteps=None, lengths=None) -> None:
        """Compile, or load from the cache, every kernel that runs need, by running blank samples for a few steps;
        otherwise the first run does it, which then takes longer.

        record: what they are to record. like: samples, as `run` takes them; only what `predict`, `score`,
            `iterate` and `evaluate` need for samples of their type and steps is compiled. None: what any run
            needs, whatever its steps. timesteps: of runs like `like`. lengths: steps of samples with their own.

        Raises DataError for names that are none, and RunError where this thread's processor does not compute as it
        should. Of samples that do not fit, nothing is said before they run."""
        record = record_names(record)
        if like is not None:
            self._executor.compile(record, kinds_like(self.model, like, timesteps, lengths))
        elif record not in self._compiled:
            self._executor.compile(record, every_kind(self.model))
            self._compiled.add(record)
            if record:
                self.compile()

    def time_kernels(self, x, timesteps=None, record=()) -> Dict[str, float]:
        """Return the seconds that a run spends in each kernel, by its name: names of functions of
        `eventsim.kernels`, joined by "+" where they take turns row by row. Arguments as `run`; in one thread,
        whatever `workers` is. Everything is compiled before. Calling kernels one by one costs about a microsecond
        each."""
        record = record_names(record)
        self._executor.run(x, timesteps, record, samples_first=False)
        return self._executor.run(x, timesteps, (*record, TIMING), samples_first=False).timing.by_kernel()

    def time_steps(self, x, timesteps=None) -> List[TimedStep]:
        """Run x once, calling each kernel from Python, in one thread. Return what ran, when and for how long, in
        order. Arguments and errors as `run`. Run before, to have everything compiled."""
        return self._executor.time_steps(x, timesteps)

    def iterate(self, batches, timesteps=None, record=()) -> Iterator[Recording]:
        """Run batches one after another in bounded memory: one Recording, without state, for each.

        batches: an iterable of x as `run` takes it, or of (x, y) or (x, y, lengths) as a `Dataset` gives them; or
            a loader.

        Raises what `run` raises, when the batch comes that it is raised for, and DataError for what is no
        iterable.
        """
        return recordings_of(self._executor, batches, timesteps, record)

    def stream(self, source, window=None, **options) -> Stream:
        """Run events as they come, without end; return an iterator of `StreamWindow`s, in bounded memory.

        source: an `EventStream`; the path of a recording, or of a named pipe; "-", standard input;
            "udp://HOST:PORT"; a file opened for bytes; or an iterable of blocks of events, which are
            structured arrays or mappings with columns t (microseconds), x, y and p. See `inputs.live`.
        window: microseconds, or text such as "10ms": a whole number of steps; default: 10 ms, at least one step.
        options: fields of `StreamOptions`: step (default: the model's), stride, fresh, smoothing, slack,
            realtime, flush, record, state; sensor_size, time_unit, columns, keep_going, sample.

        Step s has the events from s * step to before (s + 1) * step, counted from the source's start, or its first
        event. The state is carried from window to window unless each is `fresh`; then the windows together are one
        run of all steps, bit for bit, however the source's blocks are cut. Kernels are compiled at once.
        Raises DataError where the source or a time does not fit.
        """
        return Stream(self, lambda: self._executor, source, window, checked_options(StreamOptions, options))


def _setting(value, name, highest):
    """Return a setting that is None or a whole number from 1 on. Raises ModelError for others."""
    return None if value is None else integer(value, name, 1, highest, ModelError)
