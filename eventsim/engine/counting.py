"""Counting: what a chunk cost, from popcounts of its planes and the fan-outs of the program.

Popcounts times fan-outs, outside the kernels that add: `statistics.counts` says what each count means.
"""

from typing import Dict, NamedTuple

import numpy as np

from eventsim.engine.binding import Binding
from eventsim.engine.chunk import Chunk, SlotCounts, Span, Trains
from eventsim.engine.memory import slots_of
from eventsim.kernels import counting
from eventsim.program import FanOut, InputStage, LayerStage, Program, Synapses, WordStage
from eventsim.statistics.counts import Counts

EVENTS, SET_BITS, LEVELS, FANNED_EVENTS, FANNED_BITS = range(5)  # what `kernels.counting.count_words` counts


class Counted(NamedTuple):
    """Which kept arrays hold the counts of some slots of a train: `SlotCounts`, by name. Fan-outs by `id`."""

    words: Dict[int, tuple]
    nonzero: Dict[int, tuple]

    def counts(self, arrays) -> SlotCounts:
        """The counts in the arrays of a run."""
        return SlotCounts(*({fan: arrays[name] for fan, name in names.items()} for names in self))


def bind_counts(binding: Binding) -> Dict[tuple, Counted]:
    """Count what `count_chunk` needs: (stage, first slot, slots) -> where it is found."""
    program, counted = binding.program, {}
    for layer in program.layers:
        for path in layer.synapses if isinstance(layer, LayerStage) else ():
            if path.method != "real":
                window = binding.sent[path.source].window(path.delay, *binding.whole)
                _count(binding, counted, path.source, window, path.fan_out)
    for layer in program.layers:  # last: what readers have counted serves again
        if layer.bits and not (isinstance(layer, InputStage) and layer.real):
            window = binding.sent[layer.name].window(0, *binding.whole)
            if not counted.get((layer.name, *window), Counted({}, {})).words:
                _count(binding, counted, layer.name, window, _each_once(binding, layer))
    return counted


def _each_once(binding, stage):
    """A fan-out of one."""
    return FanOut(np.ones(stage.positions, np.int64), np.ones(stage.positions * stage.words, np.int64), 0)


def _count(binding, counted, source, window, fan: FanOut):
    found = counted.setdefault((source, *window), Counted({}, {}))
    if id(fan) in found.words:
        return
    memory, n, stage = binding.memory, binding.setting.samples, binding.program.stages[source]
    train, slots = binding.sent[source], slots_of(stage, binding.sent[source], *window)
    name = found.words[id(fan)] = ("count", source, window, len(found.words))
    counts = memory.keep(name, (n, 5), np.int64)
    planes = train.planes.reshape(-1)
    binding.tape.call(counting.count_words, planes, memory.hold(fan.per_word), counts.reshape(-1), slots)
    if fan.nonzero is not None:
        name = found.nonzero[id(fan)] = ("nonzero", *name[1:])
        nonzero = np.zeros((len(fan.nonzero), stage.words * 64), np.int64)
        nonzero[:, : stage.shape[0]] = fan.nonzero
        binding.tape.call(counting.count_nonzero, planes, fan.members, fan.bounds, memory.hold(nonzero.reshape(-1)),
                          memory.take("bytes", 64, np.int8), memory.keep(name, (n,), np.int64), slots,
                          len(fan.nonzero))


def count_chunk(program: Program, chunk: Chunk) -> Counts:
    """Counts of a chunk that was just run."""
    trains, layers = chunk.trains, program.layers
    counts = Counts.empty({layer.name: layer.n_neurons for layer in layers}, trains.n_samples)
    counts.steps = trains.steps
    for layer in layers:
        if isinstance(layer, LayerStage):
            _count_layer(program, trains, layer, counts.layers[layer.name])
        _count_emitted(trains, layer, counts.layers[layer.name])
    for stage in program.stages.values():
        if isinstance(stage, WordStage):
            steps = 1 if trains.sent[stage.name].still else trains.steps
            taps = int(stage.window[0] * stage.window[1]) * len(stage.sources)
            counts.word_operations += steps * stage.positions * stage.words * stage.n_planes * taps
    return counts


def _count_layer(program, trains: Trains, layer: LayerStage, row):
    steps, reads = trains.steps, [path for path in layer.synapses if path.method != "real"]
    row["dense_macs"] += steps * sum(path.fan_out.total for path in layer.synapses)
    row["doublings"] += steps * layer.shape[0] * sum(
        path.geometry.out_height * path.geometry.out_width * (program.stages[path.source].bits - 1) for path in reads)
    row["multiplications"] += steps * layer.products
    row["neuron_updates"] += steps * layer.n_neurons
    for path in layer.synapses:
        if path.method == "real":
            _count_real(trains, path, row)
        else:
            _count_path(trains, path, row)


def _count_emitted(trains: Trains, layer, row):
    if isinstance(layer, InputStage) and layer.real:
        repeats = trains.steps if trains.still_input else 1
        present = trains.real_values(0, Span(0, trains.steps))
        row["events"] += np.count_nonzero(present.reshape(trains.n_samples, -1), axis=1) * repeats
    elif layer.bits:
        train = trains.sent[layer.name]
        window = train.window(0, 0, trains.steps)
        words = next(iter(trains.counted[(layer.name, *window)].words.values()))
        repeats = trains.steps if train.still else 1
        row["events"] += words[:, EVENTS] * repeats
        row["levels"] += words[:, LEVELS] * repeats


def _count_path(trains: Trains, synapses: Synapses, row):
    fan, source = synapses.fan_out, trains.sent[synapses.source]
    window = source.window(synapses.delay, 0, trains.steps)
    repeats = trains.steps if source.still else 1
    found = trains.counted[(synapses.source, *window)]
    words = found.words[id(fan)]
    row["synops"] += words[:, FANNED_EVENTS] * repeats
    row["additions"] += words[:, FANNED_BITS] * repeats
    row["executed_synops"] += words[:, FANNED_EVENTS]
    row["executed_additions"] += words[:, FANNED_BITS]
    row["nonzero_synops"] += found.nonzero.get(id(fan), words[:, FANNED_EVENTS]) * repeats


def _count_real(trains: Trains, synapses: Synapses, row):
    values = trains.real_values(synapses.delay, Span(0, trains.steps)) != 0
    repeats = trains.steps if trains.still_input else 1
    fan = synapses.fan_out
    synops = (values.sum(axis=(1, 3)) * fan.per_position).sum(axis=1)
    nonzero = synops
    if fan.nonzero is not None:
        nonzero = (values.sum(axis=1) * fan.nonzero[fan.classes]).sum(axis=(1, 2))
    for name in ("synops", "macs"):
        row[name] += synops * repeats
        row["executed_" + name] += synops
    row["nonzero_synops"] += nonzero * repeats
