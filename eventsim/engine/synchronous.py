"""Execution: one block of samples through a Program, a chunk of steps at a time.

Calls the kernels in the order of the program's groups, on buffers that a Workspace keeps for the
next block. A train is held in `Held`: its planes over the chunk, after as many past steps as its
delayed readers need. Nothing here depends on how samples are cut into blocks, or steps into
chunks: the results are the same bits.
"""

from dataclasses import dataclass, field
from typing import Dict, List, Optional

import numpy as np

from eventsim.engine.attention import attention_weights
from eventsim.engine.counting import Tally
from eventsim.engine.state import State
from eventsim.engine.workspace import Held, NOTHING, slots_of, Workspace
from eventsim.errors import DataError
from eventsim.kernels import arguments, counting, indexing, layers, words
from eventsim.kernels.arguments import Events, Maps, RealEvents
from eventsim.program import InputStage, LayerStage, Program, WordStage
from eventsim.spikes import Spikes
from eventsim.statistics.counts import Counts

# positions of the set bits of each byte, see kernels.index_events
BIT_POSITIONS = np.zeros((256, 8), np.uint8)
for _byte in range(256):
    _set = [bit for bit in range(8) if _byte >> bit & 1]
    BIT_POSITIONS[_byte, : len(_set)] = _set


@dataclass
class Chunk:
    """What one chunk of steps gave. planes: views into the workspace, valid until the next chunk.

    currents, potentials, residuals: F (n, steps, positions, padded channels). audit: F (n, 9, padded
    channels), see kernels. answers: per step, what the output
    emitted: F (n, steps, classes) of a readout's membrane, int64 of levels.
    """

    planes: Dict[str, Held]
    currents: Dict[str, np.ndarray] = field(default_factory=dict)
    potentials: Dict[str, np.ndarray] = field(default_factory=dict)
    residuals: Dict[str, np.ndarray] = field(default_factory=dict)
    audit: Dict[str, np.ndarray] = field(default_factory=dict)
    answers: Optional[np.ndarray] = None
    counts: Optional[Counts] = None


class Execution:
    """Runs one block of samples. traces: layer name -> set of "currents", "potentials",
    "residuals". keeps: whether membranes are wanted after a chunk, by the next one or in a State.
    audits: whether to note the ranges of what a layer adds up."""

    def __init__(self, program: Program, workspace: Workspace, n_samples: int, traces=None, keeps=True,
                 audits=False):
        self.program = program
        self.workspace = workspace
        self.n = n_samples
        self.traces = traces or {}
        self.keeps = keeps
        self.audits = audits
        self.stages = program.stages

    def run(self, levels, still, steps, state: State) -> Chunk:
        """A chunk of `steps` from `state`, which is brought up to date.

        levels: int32 (n, steps or 1, C, positions), or F of real input; still: whether its single
        step stands for all.
        """
        self.state, self.steps = state, steps
        self.held: Dict[str, Held] = {}
        self.real: Optional[np.ndarray] = None
        self.events: Dict[tuple, Events] = {}
        self.tally = Tally(self)
        self.began = state.step > 0 or bool(state.membranes)
        self.chunk = Chunk(self.held)
        for group in self.program.groups:
            if group.recurrent:
                self._run_recurrent(group)
            else:
                for stage in group.stages:
                    self._start(stage, levels, still)
                    self._run_stage(stage, 0, steps)
        self.chunk.counts = self.tally.counts()
        self.chunk.answers = self._answers()
        self._keep_history()
        state.step += steps
        return self.chunk

    # ---- trains

    def _start(self, stage, levels=None, still=False):
        """Make room for what a stage emits; for the input, fill it."""
        name = stage.name
        if isinstance(stage, InputStage):
            self._enter(stage, levels, still)
            return
        if stage.bits == 0:
            return
        past = self.program.history[name]
        sources = stage.sources if isinstance(stage, WordStage) else ()
        one = bool(sources) and past == 0 and all(
            delay == 0 and self.held[source].still for source, delay in sources
        )
        steps = 1 if one else past + self.steps
        shape = (self.n, steps, stage.n_planes, stage.positions, stage.words)
        # words hold 64 channels, tiles may hold fewer: what no tile writes has to be zero
        planes = self.workspace.zeros(("planes", name), shape, np.uint64)
        self.held[name] = Held(planes, past, one)
        self._recall(name, past)

    def _recall(self, name, past):
        if past and name in self.state.history:
            self.held[name].planes[:, :past] = self.state.history[name]

    def _keep_history(self):
        for name, past in self.program.history.items():
            if past and name in self.held:
                self.state.history[name] = self.held[name].planes[:, -past:].copy()
            elif past:  # real input
                self.state.history[name] = self.real[:, -past:].copy()

    def _enter(self, stage, levels, still):
        past = self.program.history[stage.name]
        still = still and past == 0
        if not still and levels.shape[1] != self.steps:
            levels = np.repeat(levels, self.steps, axis=1)
        self.still_input = still
        if stage.real:
            with np.errstate(over="ignore"):
                values = levels.transpose(0, 1, 3, 2).astype(self.program.dtype)
            if not np.isfinite(values).all():
                raise DataError(f"x has values that {values.dtype} does not hold; run in float64")
            before = self.state.history.get(
                stage.name, np.zeros((self.n, past, *values.shape[2:]), values.dtype)
            )
            self.real = np.concatenate((before, values), axis=1)
            return
        slots = past + levels.shape[1]
        shape = (self.n, slots, stage.n_planes, stage.positions, stage.words)
        planes = self.workspace.zeros(("planes", stage.name), shape, np.uint64)
        self.held[stage.name] = Held(planes, past, still)
        self._recall(stage.name, past)
        indexing.pack(
            np.ascontiguousarray(levels).reshape(-1), planes.reshape(-1),
            slots_of(stage, self.held[stage.name], past, levels.shape[1]),
        )

    # ---- stages

    def _run_stage(self, stage, start, steps):
        if isinstance(stage, LayerStage):
            self._prepare(stage)
            n_paths = len(stage.synapses)
            for i, synapses in enumerate(stage.synapses):
                self._run_path(stage, synapses, start, steps, adds=i > 0, fires=i == n_paths - 1)
        elif isinstance(stage, WordStage):
            self._run_words(stage, start, steps)

    def _run_recurrent(self, group):
        """Step by step; paths from outside that come first in a sum run over all steps before."""
        names = {stage.name for stage in group.stages}
        rest: Dict[str, List] = {}
        done: Dict[str, int] = {}
        for stage in group.stages:
            self._start(stage)
            if isinstance(stage, LayerStage):
                self._prepare(stage, stepwise=True)
                paths = _outside_first(stage.synapses, names)
                done[stage.name] = next(i for i, s in enumerate(paths) if s.source in names)
                rest[stage.name] = paths[done[stage.name] :]
                for i, synapses in enumerate(paths[: done[stage.name]]):
                    self._run_path(stage, synapses, 0, self.steps, adds=i > 0, fires=False)
        for t in range(self.steps):
            for stage in group.stages:
                if isinstance(stage, WordStage):
                    self._run_words(stage, t, 1)
                    continue
                paths = rest[stage.name]
                for i, synapses in enumerate(paths):
                    self._run_path(stage, synapses, t, 1, adds=done[stage.name] + i > 0,
                                   fires=i == len(paths) - 1)

    def _prepare(self, layer, stepwise=False):
        """Membranes and traces of a layer, before its first path."""
        dtype, name = self.program.dtype, layer.name
        shape = (self.n, layer.positions, layer.padded)
        state = self.state
        self.fresh = not self.began and not stepwise
        update = layer.update
        self.keeps_now = self.keeps or stepwise or bool(update.changes)
        if name not in state.membranes and self.keeps_now:
            take = self.workspace.zeros if stepwise else self.workspace.take
            state.membranes[name] = take(("membrane", name), shape, dtype)
        if not self.began:
            if update.filters:
                state.filtered[name] = np.zeros(shape, dtype)
            if update.reset_delay or update.changes:
                state.pending[name] = np.zeros(shape, dtype)
            if update.pauses:
                state.waiting[name] = np.zeros(shape, np.int32)
        if self.audits:
            self.chunk.audit[name] = _blank_audit(self.n, layer.padded, dtype)
        wanted = set(self.traces.get(name, ()))
        if name == self.program.output and layer.reduce:
            wanted.add("potentials")
        for kind in wanted:
            shape = (self.n, self.steps, layer.positions, layer.padded)
            getattr(self.chunk, kind)[name] = np.empty(shape, dtype)

    def _maps(self, layer, start, steps, adds, fires):
        dtype, name, chunk, state = self.program.dtype, layer.name, self.chunk, self.state
        nothing = NOTHING[dtype]
        current = nothing
        if adds or not fires:
            shape = (self.n, self.steps, layer.positions, layer.padded)
            current = self.workspace.take("current " + name, shape, dtype).reshape(-1)
        if layer.bits:
            held = self.held[name]
            masks, slots, first = held.planes, held.held, held.first
        else:
            masks, slots, first = np.zeros(1, np.uint64), 1, 0
        return Maps(
            state.membranes[name].reshape(-1) if name in state.membranes else nothing,
            state.filtered[name].reshape(-1) if name in state.filtered else nothing,
            state.pending[name].reshape(-1) if name in state.pending else nothing,
            state.waiting[name].reshape(-1) if name in state.waiting else NOTHING[np.dtype(np.int32)],
            current,
            masks.reshape(-1).view(f"u{layer.lanes // 8}"),
            *(found[name].reshape(-1) if name in found else nothing
              for found in (chunk.currents, chunk.potentials, chunk.residuals, chunk.audit)),
            self.n, steps, self.steps, start, state.step + start, slots, first + start, int(adds),
            int(self.fresh), int(self.keeps_now),
        )

    def _update(self, layer, start, fires):
        """The layer's parameters with the bias of an absolute step, as what the path's rows end in."""
        update = layer.update
        if len(layer.biases) > 1:
            step = self.state.step + start
            bias = [values for first, values in layer.biases if first <= step][-1]
            update = update._replace(bias=bias, bias_per_position=int(bias.size > layer.padded))
        return self._finish(layer, fires)(*update)

    def _finish(self, layer, fires):
        if not fires:
            return arguments.Joining
        if layer.update.changes:
            return arguments.Changing
        own = {"potentials"} if layer.reduce else set()
        traced = any(layer.name in getattr(self.chunk, kind)
                     for kind in ("currents", "potentials", "residuals", "audit") if kind not in own)
        if traced or not layer.update.plain:
            return arguments.Update
        return arguments.Integrating if layer.reduce else arguments.Untraced

    def _run_path(self, layer, synapses, start, steps, adds, fires):
        maps = self._maps(layer, start, steps, adds, fires)
        update = self._update(layer, start, fires)
        g = synapses.geometry
        sums = self.workspace.take("sums", steps * g.out_width * layer.lanes, self.program.dtype)
        if synapses.method == "masked":
            self._run_masked(synapses, layer, sums, start, steps, update, maps)
            return
        if synapses.method == "windowed":
            source = self.held[synapses.source]
            first, n_steps = self.window(source, synapses.delay, start, steps)
            slots = slots_of(self.stages[synapses.source], source, first, n_steps)
            layers.windowed(sums, source.planes.reshape(-1), slots, synapses.weight, g, update, maps)
            return
        if synapses.method == "real":
            events = self._real_events(synapses, start, steps)
            layers.real(sums, events, synapses.weight, synapses.ranges, g, update, maps)
            return
        events = self._events(synapses, start, steps)
        if synapses.method == "attended":
            attention = self._attention(synapses, layer, start, events.steps)
            layers.attended(sums, events, synapses.weight, synapses.ranges, attention, g, update, maps)
            return
        kernel = {"gather": layers.gather, "pairs": layers.pairs, "slide": layers.slide}
        kernel[synapses.method](sums, events, synapses.weight, synapses.ranges, g, update, maps)

    def _run_masked(self, synapses, layer, sums, start, steps, update, maps):
        source = self.held[synapses.source]
        weight, weight_steps = synapses.weight, 0
        first, n_steps = self.window(source, synapses.delay, start, steps)
        if synapses.attention is not None:
            weight, weight_steps = self._attention(synapses, layer, start, n_steps), n_steps
        masks = source.planes.reshape(-1).view(f"u{layer.lanes // 8}")
        slots = slots_of(self.stages[synapses.source], source, first, n_steps)
        layers.masked(sums, masks, slots, weight, weight_steps, synapses.geometry, update, maps)

    def window(self, source, delay, start, steps):
        """(first slot, steps) of a train as a reader with a delay sees it."""
        if source.still:
            return 0, 1
        return source.first - delay + start, steps

    def _events(self, synapses, start, steps):
        """Sorted events of a path's source, shared by paths that read the same ones."""
        source = self.held[synapses.source]
        stage = self.stages[synapses.source]
        first, n_steps = self.window(source, synapses.delay, start, steps)
        groups = synapses.geometry.groups
        by_column = int(synapses.method == "slide")
        key = (synapses.source, first, n_steps, groups, by_column)
        shared = steps == self.steps
        if shared and key in self.events:
            return self.events[key]
        n_events = self.tally.words(stage, source, first, n_steps, synapses.fan_out)[:, 1].sum()
        name = key if shared else "step"
        n_maps = self.n * n_steps * stage.n_planes
        index = self.workspace.take(("index", name), int(n_events) + 8, np.int32)
        pointers = self.workspace.take(("pointers", name), n_maps * (stage.positions * groups + 1), np.int64)
        planes, slots = source.planes.reshape(-1), slots_of(stage, source, first, n_steps)
        if groups == 1:
            indexing.index_events(planes, index, pointers, slots, by_column, BIT_POSITIONS.reshape(-1))
        else:
            indexing.index_groups(planes, index, pointers, slots, groups)
        events = Events(index, pointers, n_steps)
        if shared:
            self.events[key] = events
        return events

    def real_values(self, delay, start, steps):
        if self.still_input:
            return self.real
        first = self.real.shape[1] - self.steps - delay + start
        return self.real[:, first : first + steps]

    def _real_events(self, synapses, start, steps):
        values = np.ascontiguousarray(self.real_values(synapses.delay, start, steps))
        slots = self.n * values.shape[1]
        g = synapses.geometry
        n_events = max(int(np.count_nonzero(values)), 1)
        index = self.workspace.take("real index", n_events, np.int32)
        strengths = self.workspace.take("strengths", n_events, values.dtype)
        pointers = self.workspace.take(
            "real pointers", slots * (g.height * g.width * g.groups + 1), np.int64
        )
        events = RealEvents(index, pointers, values.shape[1], strengths)
        indexing.index_reals(values.reshape(-1), events, slots, g)
        return events

    def _run_words(self, stage, start, steps):
        target = self.held[stage.name]
        if target.still:  # it holds one slot for all steps
            if start:
                return
            steps = 1
        planes = target.planes.reshape(-1)
        to = slots_of(stage, target, target.first + start, steps)
        for i, (name, delay) in enumerate(stage.sources):
            source, emitter = self.held[name], self.stages[name]
            first, _ = self.window(source, delay, start, steps)
            of = slots_of(emitter, source, first, steps)
            if stage.operation == "delay":
                words.delay_words(planes, source.planes.reshape(-1), stage.masks[i], to, of)
                continue
            if stage.operation == "flatten":
                words.flatten_words(planes, source.planes.reshape(-1), to, of)
                continue
            kernel = words.sum_words
            if stage.operation == "max":
                kernel = words.or_words if stage.n_planes == 1 else words.max_words
            kernel(planes, source.planes.reshape(-1), to, of, stage.window)
        if stage.operation == "sum" and stage.signed:
            words.cancel_words(planes, to)

    def _attention(self, synapses, layer, start, steps):
        source, stage = self.held[synapses.source], self.stages[synapses.source]
        first, _ = self.window(source, synapses.delay, start, steps)
        totals = np.zeros((self.n, steps, stage.shape[0]), np.int64)
        counting.channel_levels(source.planes.reshape(-1), totals.reshape(-1),
                                slots_of(stage, source, first, steps), *synapses.attention.node.stride)
        return attention_weights(totals, synapses, layer, self.program.dtype)

    # ---- results

    def _answers(self):
        name = self.program.output
        layer = self.stages[name]
        if name in self.chunk.potentials and getattr(layer, "reduce", ""):
            trace = self.chunk.potentials[name][..., : layer.shape[0]]
            return trace.transpose(0, 1, 3, 2).reshape(self.n, self.steps, -1)
        held = self.held[name]
        planes = held.planes[:, held.first :]
        spikes = Spikes(planes, layer.shape, (layer.n_neurons,), layer.bits, layer.signed)
        levels = spikes.levels().astype(np.int64)
        return np.repeat(levels, self.steps, axis=1) if held.still else levels


def _blank_audit(n, padded, dtype):
    """Nothing seen yet: lowest and highest value at the other end of the type, no overflow."""
    audit = np.zeros((n, 3, 3, padded), dtype)
    most = np.iinfo(dtype).max if dtype.kind == "i" else np.inf
    audit[:, :, 0], audit[:, :, 1] = most, -most
    return audit.reshape(n, 9, padded)


def _outside_first(synapses, names):
    """Paths in the order of their sum, with the first two exchanged (addition commutes) where
    that lets the first come from outside the recurrent group."""
    paths = list(synapses)
    if len(paths) > 1 and paths[0].source in names and paths[1].source not in names:
        paths[0], paths[1] = paths[1], paths[0]
    return paths
