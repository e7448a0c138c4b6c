"""Simulator: runs samples through a model and returns a Recording."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Iterator, Optional

import numpy as np

from eventsim.engine.blocks import BLOCK_BYTES, CHUNK_BYTES, LARGEST_BLOCK
from eventsim.engine.context import RunContext
from eventsim.engine.recorder import Recorder
from eventsim.engine.recording import Recording
from eventsim.engine.state import KINDS_OF_STATE, State
from eventsim.engine.synchronous import Execution
from eventsim.engine.workspace import Workspace
from eventsim.errors import DataError, ModelError, RunError
from eventsim.inputs.levels import to_levels
from eventsim.lowering.recipe import lower
from eventsim.merging import merge
from eventsim.model.chip import find_chip
from eventsim.model.network import Model
from eventsim.model.parameters import integer
from eventsim.program import InputStage, layer_reduce, LayerStage
from eventsim.statistics import ranges


class Simulator:
    """Runs a model at one precision on the CPU.

    model: a `Model`. precision: "float32", "float64", "int8" (fixed point) or "fixed" (a chip's
    arithmetic); None: "fixed" where there is a chip, else "float32". chip: a `Chip`, the
    name of a built-in one or the path of a JSON file; None: the model's own. workers: threads,
    each taking blocks of samples. chunk, block: steps and samples processed together; None
    chooses them by size. Results are the same bits whatever workers, chunk and block are.

    Attributes: `program` (see `program.Program`; `program.rounding` says what int8 changed).
    Raises UnsupportedError, naming the node, where the precision cannot express the model, and
    ModelError for other arguments.
    """

    def __init__(self, model: Model, precision: Optional[str] = None, workers: int = 1,
                 chunk: Optional[int] = None, block: Optional[int] = None, chip=None):
        self.model = model
        self.precision, chip = _arithmetic(model, precision, chip)
        self.workers = integer(workers, "workers", 1, 1024)
        self.chunk = None if chunk is None else integer(chunk, "chunk", 1, 1 << 24)
        self.block = None if block is None else integer(block, "block", 1, 1 << 24)
        self.program = lower(model, self.precision, chip)
        self._context = RunContext.of(self)
        self._local = threading.local()
        self._pool = None

    def run(self, x, timesteps=None, record=("spikes",), state=None) -> Recording:
        """Run samples and return what was asked, with counts.

        x: (N, ...) of an input that stands still, or (N, T, ...), channels first: integer levels,
            or real numbers where the model's input is real.
        timesteps: steps to run; default T of x, else the model's. Given with T it must agree.
        record: any of "spikes", "currents", "potentials", "residuals", each for all nodes that have
            it, or "kind:node" for one node; "outputs"; "audit" (integers only); "statistics" (events,
            levels and planes), "intervals" (between events, and correlations) and "membranes", gathered
            while it runs into `Recording.statistics`.
        state: `Recording.state` of an earlier run of the same samples, to continue it.

        Raises DataError for arrays that do not fit, RunError beyond the steps that integer
        membranes are proved to hold, and where a number leaves a width that a chip says to be an
        error.
        """
        return self._run(x, timesteps, record, state, keep_state=True)

    def compile(self, record=()) -> None:
        """Compile, or load from the cache, every kernel that the model needs, by running a blank
        sample for one step, with what `run` is to record; otherwise the first run does it."""
        node = self.model.nodes[self.model.input]
        self.run(np.zeros((1, *node.shape), np.float64 if node.encoding == "real" else np.uint8),
                 timesteps=1, record=record)
        if record:
            self.compile()

    def iterate(self, batches, timesteps=None, record=()) -> Iterator[Recording]:
        """Run batches one after another in bounded memory: one Recording, without state, for each.

        batches: an iterable of x as `run` takes it, or of (x, y) as `datasets` give them.
        """
        for batch in batches:
            x = batch[0] if isinstance(batch, tuple) else batch
            yield self._run(x, timesteps, record, None, keep_state=False)

    def _run(self, x, timesteps, record, state, keep_state):
        began = time.perf_counter()
        if timesteps is not None:
            timesteps = integer(timesteps, "timesteps", 1, 1 << 24)
        levels, still = to_levels(x, self.model.nodes[self.model.input], timesteps)
        steps = (timesteps or self.model.timesteps) if still else levels.shape[1]
        recorder = Recorder(self.program, self.model, record, steps)
        n = levels.shape[0]
        self._check_state(state, n, steps)
        # held as (N, T, C, positions)
        levels = levels.reshape(*levels.shape[:2], levels.shape[2], -1)
        block = self.block or self._block_size(steps, still, keep_state, recorder)
        starts = range(0, n, min(block, -(-n // self.workers)))

        def run_block(start):
            stop = min(start + starts.step, n)
            part = State() if state is None else state.samples(start, stop)
            return self._run_block(levels[start:stop], still, steps, recorder, part, keep_state, start)

        if self.workers == 1 or len(starts) == 1:
            parts = [run_block(start) for start in starts]
        else:
            if self._pool is None:  # kept, so that its threads keep their workspaces
                self._pool = ThreadPoolExecutor(self.workers, "eventsim")
            parts = list(self._pool.map(run_block, starts))
        recording = merge(parts)
        recording.statistics, recording.context = recorder.statistics(), self._context
        recording.seconds = time.perf_counter() - began
        return recording

    def _run_block(self, levels, still, steps, recorder, state, keep_state, start):
        _check_denormals(self.program.dtype)
        if not hasattr(self._local, "workspace"):
            self._local.workspace = Workspace()
        n, chunks = levels.shape[0], self._chunks(steps, state.step, recorder)
        execution = Execution(self.program, self._local.workspace, n, recorder.executed_traces,
                              keep_state or len(chunks) > 1, recorder.audits or self._may_fail)
        parts, at = [], 0
        with recorder.observer.block(start, n, len(chunks) > 1) as observer:
            for n_steps in chunks:
                piece = levels if still else levels[:, at : at + n_steps]
                chunk = execution.run(piece, still, n_steps, state)
                self._check_overflows(chunk)
                observer.take(chunk)
                parts.append(recorder.take(chunk, state))
                at += n_steps
        recording = merge(parts, along="steps")
        if keep_state:
            state.membranes = {name: array.copy() for name, array in state.membranes.items()}
            recording.state = state
        return recording

    @cached_property
    def _may_fail(self):
        chip = self.program.chip
        return chip is not None and "error" in (
            getattr(chip, name + "_overflow") for name in ranges.QUANTITIES
            if getattr(chip, name + "_bits") is not None
        )

    def _check_overflows(self, chunk):
        if not self._may_fail:
            return
        for name, layer in ranges.collect(self.program, chunk.audit).items():
            for quantity, found in layer.ranges.items():
                if found.overflow == "error" and found.overflows:
                    raise RunError(
                        f"{self.model.label(name)}: the {quantity} left its {found.bits} bits "
                        f"{found.overflows} times ({found.lowest} to {found.highest}); chip "
                        f"{self.program.chip.name!r} makes that an error: widen it, or let it "
                        "saturate or wrap"
                    )

    def _chunks(self, steps, first, recorder):
        """Lengths of the chunks: cut where the bias changes and where memory asks for it."""
        longest = self.chunk or max(1, CHUNK_BYTES // (self._step_bytes + recorder.observed_bytes))
        cuts = {s for stage in self.program.layers if isinstance(stage, LayerStage)
                for s, _ in stage.biases}
        cuts = {cut - first for cut in cuts if 0 < cut - first < steps}
        cuts |= set(range(0, steps, longest)) | {steps}
        ordered = sorted(cuts | {0})
        return [b - a for a, b in zip(ordered, ordered[1:])]

    @cached_property
    def _step_bytes(self):
        """Memory of one sample for one step: planes, events' pointers, and sums of several paths."""
        total, item = sum(self._train_bytes.values()), self.program.dtype.itemsize
        for stage in self.program.stages.values():
            if len(getattr(stage, "synapses", ())) > 1 or layer_reduce(stage):
                total += stage.positions * stage.padded * item
        return max(total, 1)

    @cached_property
    def _train_bytes(self):
        """{stage: memory of one step of its train: planes, and pointers for each path that reads it}."""
        stages = self.program.stages
        found = {s.name: s.n_planes * s.positions * s.words * 8 for s in stages.values()}
        for stage in stages.values():
            for path in getattr(stage, "synapses", ()):
                if path.method in ("gather", "pairs", "slide", "attended"):
                    source = stages[path.source]
                    found[path.source] += source.n_planes * path.geometry.groups * 8 * source.positions
        return found

    def _block_size(self, steps, still, keep_state, recorder):
        step_bytes = self._step_bytes + recorder.observed_bytes
        longest = self.chunk or max(1, CHUNK_BYTES // step_bytes)
        keeps = keep_state or steps > longest
        steps, item = min(steps, longest), self.program.dtype.itemsize
        per_sample = steps * step_bytes
        if still and not self.program.history[self.program.input]:  # held once
            per_sample -= (steps - 1) * self._train_bytes[self.program.input]
        for stage in self.program.stages.values():
            if keeps and isinstance(stage, LayerStage):
                per_sample += stage.positions * stage.padded * item
        return int(np.clip(BLOCK_BYTES // per_sample, 1, LARGEST_BLOCK))

    def _check_state(self, state, n, steps):
        done = 0
        if state is not None:
            if not isinstance(state, State):
                raise DataError(
                    f"state is a {type(state).__name__}, expected the `state` of an earlier Recording"
                )
            done = integer(state.step, "state.step", 1, 1 << 62)
            self._check_arrays(state, n)
        safe = self.program.safe_steps
        if safe is not None and done + steps > safe:
            raise RunError(
                f"{done + steps} steps, but only {safe} are proved free of int32 overflow; "
                "run fewer steps, or in float32"
            )

    def _check_arrays(self, state, n):
        """Kernels write into a state's arrays unchecked: all of them have to be as expected."""
        found = {
            (kind, name): (array.shape, array.dtype)
            for kind in KINDS_OF_STATE
            for name, array in getattr(state, kind).items()
        }
        if state.sums is not None:
            found["sums", self.program.output] = (state.sums.shape, state.sums.dtype)
        sizes = {shape[0] for shape, _ in found.values()}
        if sizes - {n}:
            raise DataError(f"state is of {sorted(sizes - {n})} samples, but x has {n}")
        expected = self._state_arrays(n)
        for key in (*expected, *found):
            if found.get(key) != expected.get(key):
                raise DataError(
                    f"state does not fit layer {key[1]!r}; expected one that a run of this model at "
                    f"precision {self.precision!r} returned"
                )

    def _state_arrays(self, n):
        """{(kind, name): (shape, dtype)} of all arrays that a state of n samples has."""
        dtype, expected = self.program.dtype, {}
        for name, stage in self.program.stages.items():
            past = self.program.history[name]
            if past:
                shape = (stage.n_planes, stage.positions, stage.words)
                real = isinstance(stage, InputStage) and stage.real
                expected["history", name] = (
                    ((n, past, stage.positions, stage.shape[0]), dtype) if real
                    else ((n, past, *shape), np.dtype(np.uint64))
                )
            if isinstance(stage, LayerStage):
                shape = (n, stage.positions, stage.padded)
                expected["membranes", name] = (shape, dtype)
                if stage.update.filters:
                    expected["filtered", name] = (shape, dtype)
                if stage.update.reset_delay or stage.update.changes:
                    expected["pending", name] = (shape, dtype)
                if stage.update.pauses:
                    expected["waiting", name] = (shape, np.dtype(np.int32))
        output = self.program.stages[self.program.output]
        sums = np.dtype(np.int64) if dtype.kind == "i" or not layer_reduce(output) else dtype
        expected["sums", output.name] = ((n, output.n_neurons), sums)
        return expected


def _arithmetic(model, precision, chip):
    """(precision, Chip or None) of a run, from what was given and what the model says."""
    if precision not in (None, "fixed"):
        if chip is not None:
            raise ModelError(f"precision is {precision!r}, but a chip computes in 'fixed'; give one")
        return precision, None
    found = getattr(model, "chip", None) if chip is None else find_chip(chip)  # `lower` checks model
    if found is None and precision == "fixed":
        raise ModelError("precision 'fixed' needs a chip: the model has none, so name one")
    return ("float32", None) if found is None else ("fixed", found)


def _check_denormals(dtype):
    """Libraries built with -ffast-math switch a thread's processor to flush denormal numbers to
    zero; results would then depend on what else was imported."""
    if dtype.kind == "f":
        smallest = np.full(1, np.finfo(dtype).smallest_subnormal, dtype)
        if not (smallest + dtype.type(0)).any():
            raise RunError(
                "this thread flushes denormal numbers to zero (a library has set that), so results "
                "would not be exact; run in a process without that library, or in int8"
            )
