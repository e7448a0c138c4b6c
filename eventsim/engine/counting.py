"""Counting: what a chunk cost, from the planes that it left and the fan-outs of the program.

Popcounts times fan-outs, outside the kernels that add: `statistics.counts` says what each count means.
"""

import numpy as np

from eventsim.engine.chunk import Chunk, Span, Trains
from eventsim.program import InputStage, LayerStage, Program, Synapses, WordStage
from eventsim.statistics.counts import Counts


def count_chunk(program: Program, chunk: Chunk) -> Counts:
    """Counts of a chunk that was just run: its trains are those of the workspace."""
    trains, layers = chunk.trains, program.layers
    counts = Counts.empty({layer.name: layer.n_neurons for layer in layers}, trains.n_samples)
    counts.steps = trains.steps
    for layer in layers:
        if isinstance(layer, LayerStage):
            _count_layer(trains, layer, counts.layers[layer.name])
    for layer in layers:  # last: what readers have counted serves again
        _count_emitted(trains, layer, counts.layers[layer.name])
    for stage in program.stages.values():
        if isinstance(stage, WordStage):
            steps = 1 if trains.sent[stage.name].still else trains.steps
            taps = int(stage.window[0] * stage.window[1]) * len(stage.sources)
            counts.word_operations += steps * stage.positions * stage.words * stage.n_planes * taps
    return counts


def _count_layer(trains: Trains, layer: LayerStage, row):
    steps, reads = trains.steps, [path for path in layer.synapses if path.method != "real"]
    row["dense_macs"] += steps * sum(path.fan_out.total for path in layer.synapses)
    row["doublings"] += steps * layer.shape[0] * sum(
        path.geometry.out_height * path.geometry.out_width * (trains.stages[path.source].bits - 1) for path in reads)
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
        first, steps = train.window(0, 0, trains.steps)
        found = trains.popcounts(layer.name, first, steps)
        repeats = trains.steps if train.still else 1
        row["events"] += found[:, 0] * repeats
        row["levels"] += found[:, 2] * repeats


def _count_path(trains: Trains, synapses: Synapses, row):
    fan, name, source = synapses.fan_out, synapses.source, trains.sent[synapses.source]
    first, steps = source.window(synapses.delay, 0, trains.steps)
    repeats = trains.steps if source.still else 1
    found = trains.popcounts(name, first, steps, fan)
    row["synops"] += found[:, 3] * repeats
    row["additions"] += found[:, 4] * repeats
    row["executed_synops"] += found[:, 3]
    row["executed_additions"] += found[:, 4]
    nonzero = found[:, 3]
    if fan.nonzero is not None:
        nonzero = (trains.class_counts(name, first, steps, fan) * fan.nonzero).sum(axis=(1, 2))
    row["nonzero_synops"] += nonzero * repeats


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
