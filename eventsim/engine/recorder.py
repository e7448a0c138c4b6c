"""What a run was asked to record, taken from it chunk by chunk."""

import numpy as np

from eventsim.engine.recording import Recording
from eventsim.errors import DataError
from eventsim.program import layer_reduce, LayerStage
from eventsim.spikes import Spikes
from eventsim.statistics import ranges, result
from eventsim.statistics.observing import MembraneScale, Observer

KINDS = ("spikes", "currents", "potentials", "residuals", "outputs", "audit", *result.KINDS)
WHOLE_KINDS = ("outputs", "audit", *result.KINDS)  # not of single nodes


class Recorder:
    """What a run of `steps` was asked to record, and how to take it from a chunk."""

    def __init__(self, program, model, record, steps):
        self.program, self.model = program, model
        self.stages = program.stages
        self.spikes, self.traces, self.outputs, self.audits = set(), {}, False, False
        self.gathered = set()  # of statistics.KINDS
        self.flattened = _flattened(model, self.stages)
        spiking = [name for name, stage in self.stages.items() if stage.bits and name in model.nodes]
        spiking += list(self.flattened)
        layers = [name for name, s in self.stages.items() if isinstance(s, LayerStage)]
        for wish in (record,) if isinstance(record, str) else record or ():
            kind, _, name = str(wish).partition(":")
            if kind not in KINDS or (kind in WHOLE_KINDS and name):
                raise DataError(f"record has {wish!r}, expected any of {', '.join(KINDS)} or 'kind:node'")
            if kind in WHOLE_KINDS:
                self._wish_whole(kind)
                continue
            able = spiking if kind == "spikes" else layers
            if name and name not in able:
                raise DataError(f"record has {wish!r}, but the nodes with {kind} are {', '.join(able)}")
            for each in [name] if name else able:
                if kind == "spikes":
                    self.spikes.add(each)
                else:
                    self.traces.setdefault(each, set()).add(kind)
        scales = {name: MembraneScale(model.nodes[name], model.shapes[name]) for name in layers
                  if "membranes" in self.gathered and model.nodes[name].sends == "levels"}
        self.observer = Observer(program, self.gathered, steps, scales)

    @property
    def executed_traces(self):
        """What an Execution has to trace: what is recorded, and what is only gathered."""
        wanted = {name: set(kinds) for name, kinds in self.traces.items()}
        for name in self.observer.scales:
            wanted.setdefault(name, set()).update(("potentials", "residuals"))
        return wanted

    @property
    def observed_bytes(self):
        """Memory that gathering takes of a sample for one step: traces."""
        layers = [self.stages[name] for name in self.observer.scales]
        return sum(2 * stage.positions * stage.padded * self.program.dtype.itemsize for stage in layers)

    def statistics(self):
        """What was gathered of all blocks, or None where nothing was asked for."""
        if not self.gathered:
            return None
        return result.Statistics(self.observer.trains(), self.observer.all_membranes())

    def _wish_whole(self, kind):
        if kind == "outputs":
            self.outputs = True
        elif kind in result.KINDS:
            self.gathered.add(kind)
        elif self.program.dtype.kind == "f":
            raise DataError("record has 'audit', which is of integers; run in int8 or under a chip")
        else:
            self.audits = True

    def take(self, chunk, state) -> Recording:
        """The chunk as a Recording; copies what the workspace holds."""
        answers = self._answers(chunk.answers, state)
        traces = {}
        for name, kinds in self.traces.items():
            stage = self.stages[name]
            for kind in kinds:
                whole = getattr(chunk, kind)[name][..., : stage.shape[0]]
                shape = (*whole.shape[:2], *stage.logical_shape)
                traces.setdefault(kind, {})[name] = np.ascontiguousarray(
                    whole.transpose(0, 1, 3, 2)).reshape(shape)
        return Recording(
            self.program.precision, chunk.counts.steps, answers[:, -1], chunk.counts,
            {name: self._spikes(name, chunk) for name in self.model.nodes if name in self.spikes},
            traces, answers if self.outputs else None,
            steps_per_unit={s.name: np.repeat(s.steps_per_unit, s.logical_shape[0] // s.shape[0])
                            for s in self.program.layers if isinstance(s, LayerStage)},
            audit=ranges.collect(self.program, chunk.audit) if self.audits else None,
        )

    def _spikes(self, name, chunk):
        source = self.flattened.get(name, name)
        held, stage = chunk.planes[source], self.stages[source]
        planes = held.planes[:, held.first :].copy()
        if held.still and planes.shape[1] != chunk.counts.steps:
            planes = np.repeat(planes, chunk.counts.steps, axis=1)
        return Spikes(planes, stage.shape, self.model.shapes[name], stage.bits, stage.signed)

    def _answers(self, emitted, state):
        """(n, steps, classes): the answer after each step; brings state.sums up to date."""
        layer = self.stages[self.program.output]
        integer = emitted.dtype.kind == "i"
        added = emitted.astype(np.int64) if integer else emitted
        if state.sums is not None:
            added = np.concatenate((state.sums[:, None], added), axis=1)
        sums = np.add.accumulate(added, axis=1)[:, -emitted.shape[1] :]
        state.sums = sums[:, -1].copy()
        if not layer_reduce(layer):
            return sums.astype(np.float64)
        answers = {"sum": sums, "mean": sums, "last": emitted}[layer.reduce]
        number = np.float64 if integer else emitted.dtype
        answers = answers.astype(number)
        if layer.reduce == "mean":
            first = state.step - emitted.shape[1]
            answers = answers / np.arange(first + 1, state.step + 1).astype(number)[:, None]
        return answers / layer.steps_per_unit[0] if integer else answers


def _flattened(model, stages):
    """Nodes that only reshape, whose spikes are those of a stage, in another shape: name -> stage."""
    found = {}
    for name, node in model.nodes.items():
        if node.reshapes and model.kinds[name] == "spikes" and name not in stages:
            edge = model.incoming(name)[0]
            source = found.get(edge.source, edge.source)
            if edge.delay == 0 and source in stages:
                found[name] = source
    return found
