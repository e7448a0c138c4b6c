"""What a run was asked to record, taken from it chunk by chunk."""

from dataclasses import dataclass, field
from typing import Dict, List, Set, Tuple

import numpy as np

from eventsim.arguments import several, shown
from eventsim.engine.answers import ANSWERS
from eventsim.engine.counting import count_chunk
from eventsim.engine.overflows import chip_may_fail
from eventsim.engine.recording import Recording
from eventsim.errors import DataError
from eventsim.model.network import Model
from eventsim.program import LayerStage, Program
from eventsim.spikes import Spikes
from eventsim.statistics import ranges, result
from eventsim.statistics.observing import MembraneScale, Observer
from eventsim.text import did_you_mean

KINDS = ("spikes", "currents", "potentials", "residuals", "outputs", "audit", *result.KINDS)
WHOLE_KINDS = ("outputs", "audit", *result.KINDS)  # not of single nodes


@dataclass
class Wishes:
    """What a run was asked to record. spikes: nodes. traces: layer -> kinds. gathered: of `result.KINDS`."""

    spikes: Set[str] = field(default_factory=set)
    traces: Dict[str, Set[str]] = field(default_factory=dict)
    gathered: Set[str] = field(default_factory=set)
    outputs: bool = False
    audits: bool = False


def record_names(record) -> Tuple[str, ...]:
    """Return the names of what `run` is to record. record: one name, any iterable of them, or None. Raises
    DataError."""
    names = several(record, "record", "a name such as 'spikes', or several")
    for name in names:
        if not isinstance(name, str):
            raise _unknown(name, name)
    return names


def _unknown(name, kind):
    return DataError(f"record has {shown(name)}, expected any of {', '.join(KINDS)} or 'kind:node'"
                     + did_you_mean(kind, KINDS))


def read_wishes(record: Tuple[str, ...], program: Program, spiking: List[str]) -> Wishes:
    """Return the Wishes of a record, see `record_names`. spiking: nodes that have spikes. Raises DataError for
    names of what there is not."""
    wishes = Wishes()
    layers = [name for name, stage in program.stages.items() if isinstance(stage, LayerStage)]
    for wish in record:
        kind, _, name = wish.partition(":")
        if kind not in KINDS or (kind in WHOLE_KINDS and name):
            raise _unknown(wish, kind)
        if kind in WHOLE_KINDS:
            _wish_whole(wishes, kind, program.dtype)
            continue
        able = spiking if kind == "spikes" else layers
        if name and name not in able:
            raise DataError(f"record has {shown(wish)}, but the nodes with {kind} are {', '.join(able)}"
                            f"{did_you_mean(name, able)}")
        for each in [name] if name else able:
            if kind == "spikes":
                wishes.spikes.add(each)
            else:
                wishes.traces.setdefault(each, set()).add(kind)
    return wishes


def _wish_whole(wishes, kind, dtype):
    if kind == "outputs":
        wishes.outputs = True
    elif kind in result.KINDS:
        wishes.gathered.add(kind)
    elif dtype.kind == "f":
        raise DataError("record has 'audit', which is of integers; run in int8 or under a chip")
    else:
        wishes.audits = True


class Wanted:
    """What runs of a program with one `record` have to keep; the same for all of them.

    flattened: nodes that only reshape -> the stage whose spikes they show. scales: layer -> MembraneScale, of
    those whose membranes are gathered. traced: (layer, kind) of what has to be traced: what is recorded, what is
    only gathered, and what the answer needs. planes: stages whose planes are recorded or looked at in detail.
    summed: stages whose planes are summed only, so that nobody needs them where they are summed on the way.
    observed_bytes: memory that gathering takes of a sample for one step: traces.
    """

    def __init__(self, program: Program, model: Model, record):
        self.program, self.model, self.stages = program, model, program.stages
        self.flattened = _flattened(model, self.stages)
        spiking = [name for name, stage in self.stages.items() if stage.bits and name in model.nodes]
        self.wishes = read_wishes(record, program, spiking + list(self.flattened))
        layers = [stage for stage in self.stages.values() if isinstance(stage, LayerStage)]
        self.steps_per_unit = {layer.name: layer.steps_per_channel for layer in layers}
        self.scales = {layer.name: MembraneScale(model.nodes[layer.name], model.shapes[layer.name])
                       for layer in layers
                       if "membranes" in self.wishes.gathered and model.nodes[layer.name].sends == "levels"}
        self.traced, self.planes = frozenset(self._traced()), frozenset(self._planes())
        self.summed = frozenset(self._spiking() if "statistics" in self.wishes.gathered else ())
        # (name, stage, shape) of nodes whose spikes are recorded
        self.spikes = [(name, self.stages[self.flattened.get(name, name)], model.shapes[name])
                       for name in model.nodes if name in self.wishes.spikes]
        size, gathered = program.dtype.itemsize, [self.stages[name] for name in self.scales]
        self.observed_bytes = sum(2 * stage.positions * stage.padded * size for stage in gathered)

    def _traced(self):
        output = self.stages[self.program.output]
        if output.reduce:
            yield output.name, "potentials"
        for name, kinds in self.wishes.traces.items():
            yield from ((name, kind) for kind in kinds)
        for name in self.scales:
            yield from ((name, kind) for kind in ("potentials", "residuals"))
        if self.wishes.audits or chip_may_fail(self.program.chip):
            yield from ((name, "audit") for name, stage in self.stages.items() if isinstance(stage, LayerStage))

    def _planes(self):
        yield from (self.flattened.get(name, name) for name in self.wishes.spikes)
        if self.wishes.gathered - {"statistics"}:
            yield from self._spiking()

    def _spiking(self):
        return (name for name, stage in self.stages.items() if stage.bits)


class Recorder:
    """Takes what is wanted from the chunks of a run of `steps` steps."""

    def __init__(self, wanted: Wanted, steps):
        self.wanted, self.steps = wanted, steps
        self.program, self.stages, self.wishes = wanted.program, wanted.stages, wanted.wishes
        self.observer = Observer(self.program, self.wishes.gathered, steps, wanted.scales)

    def statistics(self):
        """Return what was gathered of all blocks, or None where nothing was asked for."""
        if not self.wishes.gathered:
            return None
        return result.Statistics(self.observer.trains(), self.observer.all_membranes())

    def take(self, chunk) -> Recording:
        """Return a chunk and its counts as a Recording, which keeps no array of the chunk alive but those
        recorded."""
        traces = {}
        for name, kinds in self.wishes.traces.items():
            stage = self.stages[name]
            for kind in kinds:
                values = getattr(chunk.traces, kind)[name][..., : stage.shape[0]]
                shape = (*values.shape[:2], *stage.logical_shape)
                traces.setdefault(kind, {})[name] = values.transpose(0, 1, 3, 2).copy().reshape(shape)
        answers = chunk.arrays.own(ANSWERS)
        output = answers[:, 0] if answers.shape[1] == 1 and not self.wishes.outputs else answers[:, -1].copy()
        return Recording(
            self.program.precision, chunk.steps, output, count_chunk(self.program, chunk),
            {name: _spikes(stage, shape, chunk) for name, stage, shape in self.wanted.spikes},
            traces, answers if self.wishes.outputs else None,
            steps_per_unit=self.wanted.steps_per_unit,
            audit=ranges.collect(self.program, chunk.traces.audit) if self.wishes.audits else None,
        )


def _spikes(stage, shape, chunk):
    train = chunk.trains.sent[stage.name]
    planes = train.planes[:, train.first :] if train.first else train.planes
    if train.still and planes.shape[1] != chunk.steps:
        planes = np.repeat(planes, chunk.steps, axis=1)
    return Spikes(planes, stage.shape, shape, stage.bits, stage.signed)


def _flattened(model, stages):
    """Return the nodes that only reshape, whose spikes are those of a stage in another shape: name -> stage."""
    stage_of = {}
    for name, node in model.nodes.items():
        if node.reshapes and model.kinds[name] == "spikes" and name not in stages:
            edge = model.incoming(name)[0]
            source = stage_of.get(edge.source, edge.source)
            if edge.delay == 0 and source in stages:
                stage_of[name] = source
    return stage_of
