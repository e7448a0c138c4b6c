"""Counting: what a chunk cost, from popcounts of its planes and the fan-outs of the program.

Popcounts times fan-outs, outside the kernels that add: `statistics.counts` says what each count means.
"""

from dataclasses import dataclass
from functools import partial
from typing import Dict, NamedTuple, Optional

import numpy as np

from eventsim.engine.binding import Binding
from eventsim.engine.chunk import Chunk, Span, Trains
from eventsim.engine.memory import slots_of
from eventsim.kernels import counting
from eventsim.kernels.arguments import CountSizes
from eventsim.program import FanOut, InputStage, LayerStage, Program, Synapses, WordStage
from eventsim.statistics.counts import ALL_NAMES, CountRows, Counts

# what `kernels.counting.count_words` counts
EVENTS, SET_BITS, LEVELS, FANNED_EVENTS, FANNED_BITS, EVENTS_ON_ZEROS = range(6)
COUNTED = 6  # numbers
COUNTS = ("counts", "")  # name of the kept array int64 (n, number of counts)


class CountedSlots(NamedTuple):
    """Some slots of a stage's train, and the fan-out that their events are weighed with (None: any)."""

    source: str
    first: int
    steps: int
    fan_out: Optional[int]  # its id


WordsOfSlots = Dict[CountedSlots, np.ndarray]  # what was counted of slots: int64 (n, COUNTED)


@dataclass(frozen=True)
class Linear:
    """Counts of a chunk from what its kernels counted: constants + counted @ factors, in the order of rows of
    layers and `ALL_NAMES`, then word operations."""

    constants: np.ndarray  # int64 (number of counts,)
    factors: np.ndarray  # int64 (counted, number of counts)

    def terms(self) -> np.ndarray:
        """int64 (terms, 3): what was counted, which count it adds to, and how much each adds."""
        counted, count = np.nonzero(self.factors)
        return np.stack((counted, count, self.factors[counted, count]), axis=1)


def bind_counts(binding: Binding) -> None:
    """Count what the counts of a chunk are made of, and add it up, into the kept array `COUNTS`."""
    fans = _wanted(binding)
    words = {slots: COUNTED * i for i, slots in enumerate(fans)}
    number = COUNTED * len(words)
    memory, tape, n = binding.memory, binding.tape, binding.setting.samples
    counted = memory.take("counted", (n, number), np.int64).reshape(-1)
    for slots, fan in fans.items():
        stage, train = binding.program.stages[slots.source], binding.sent[slots.source]
        planes, read = train.planes.reshape(-1), slots_of(stage, train, slots.first, slots.steps)
        n_words = stage.positions * stage.words
        per_word = np.ones(n_words, np.int64) if fan is None else fan.per_word
        zero_weights = np.zeros((0, n_words), np.uint64) if fan is None else fan.zero_weights
        tape.call(counting.count_words, planes, memory.hold(per_word), memory.hold(zero_weights.reshape(-1)),
                  counted[words[slots] :], read, len(zero_weights), number)
    linear = _linear(binding, words, number)
    constants, terms = memory.hold(linear.constants), memory.hold(linear.terms())
    counts = memory.keep(COUNTS, (n, constants.size), np.dtype(np.int64), filled=True).reshape(-1)
    tape.call(counting.sum_counts, counted, constants, terms.reshape(-1), counts,
              CountSizes(n, number, constants.size, len(terms)))


def _wanted(binding) -> Dict[CountedSlots, Optional[FanOut]]:
    """Return what has to be counted, each once."""
    program, fans = binding.program, {}
    for layer in program.layers:
        for path in layer.synapses if isinstance(layer, LayerStage) else ():
            if path.method != "real":
                window = binding.sent[path.source].window(path.delay, *binding.all_steps)
                fans[CountedSlots(path.source, *window, id(path.fan_out))] = path.fan_out
    for layer in program.layers:  # last: what readers have counted serves again
        if layer.bits and not (isinstance(layer, InputStage) and layer.real):
            window = binding.sent[layer.name].window(0, *binding.all_steps)
            if not any(slots[:3] == (layer.name, *window) for slots in fans):
                fans[CountedSlots(layer.name, *window, None)] = None
    return fans


def _linear(binding, words, number):
    """Return the counts of a chunk in which nothing was counted, and by how much each thing counted once adds to
    them."""
    counted = np.concatenate((np.zeros((1, number), np.int64), np.eye(number, dtype=np.int64)))
    of_slots = {slots: counted[:, first : first + COUNTED] for slots, first in words.items()}
    program = binding.program
    counts = Counts.empty({layer.name: layer.n_neurons for layer in program.layers}, number + 1)
    for layer in program.layers:
        row = counts.layers[layer.name]
        if isinstance(layer, LayerStage):
            _count_layer(binding, of_slots, layer, row)
        if layer.bits and not (isinstance(layer, InputStage) and layer.real):
            _count_emitted(binding, of_slots, layer, row)
    for stage in program.stages.values():
        if isinstance(stage, WordStage):
            taps = int(stage.window[0] * stage.window[1]) * len(stage.sources)
            words_of_step = stage.positions * stage.words * stage.n_planes
            counts.word_operations += binding.setting.steps * words_of_step * taps
    values = [row[name] for row in counts.layers.values() for name in ALL_NAMES] + [counts.word_operations]
    values = np.stack(values, axis=1)
    return Linear(values[0], values[1:] - values[0])


def count_chunk(program: Program, chunk: Chunk) -> Counts:
    """Return the Counts of a chunk that was just run, from the kept array `COUNTS`, int64 (n, number of
    counts)."""
    values = chunk.arrays.own(COUNTS)
    if program.stages[program.input].real:
        counts = _as_counts(program.neurons, chunk.n_samples, chunk.steps, values)
        _count_real_input(program, chunk.trains, counts.layers)
        return counts
    return Counts.later(partial(_as_counts, program.neurons, chunk.n_samples, chunk.steps, values))


def _as_counts(neurons, n_samples, steps, values) -> Counts:
    """Counts of `COUNTS`, which nobody else has."""
    values = np.ascontiguousarray(values.T)
    return Counts(neurons, n_samples, steps, CountRows(tuple(neurons), values), values[-1])


def _count_real_input(program, trains, rows):
    repeats = trains.steps if trains.still_input else 1
    present = trains.real_values(0, Span(0, trains.steps))
    rows[program.input]["events"] += np.count_nonzero(present.reshape(trains.n_samples, -1), axis=1) * repeats
    for layer in program.layers:
        for path in layer.synapses if isinstance(layer, LayerStage) else ():
            if path.method == "real":
                _count_real(trains, path, rows[layer.name])


def _count_layer(binding, of_slots: WordsOfSlots, layer: LayerStage, row):
    program, steps = binding.program, binding.setting.steps
    reads = [path for path in layer.synapses if path.method != "real"]
    row["dense_macs"] += steps * sum(path.fan_out.total for path in layer.synapses)
    row["doublings"] += steps * layer.shape[0] * sum(
        path.geometry.out_height * path.geometry.out_width * (program.stages[path.source].bits - 1)
        for path in reads)
    row["multiplications"] += steps * layer.products
    row["neuron_updates"] += steps * layer.n_neurons
    for path in reads:
        _count_path(binding, of_slots, path, row)


def _count_emitted(binding, of_slots: WordsOfSlots, layer, row):
    train = binding.sent[layer.name]
    window = train.window(0, *binding.all_steps)
    words = next(words for slots, words in of_slots.items() if slots[:3] == (layer.name, *window))
    repeats = binding.setting.steps if train.still else 1
    row["events"] += words[:, EVENTS] * repeats
    row["levels"] += words[:, LEVELS] * repeats


def _count_path(binding, of_slots: WordsOfSlots, synapses: Synapses, row):
    source = binding.sent[synapses.source]
    window = source.window(synapses.delay, *binding.all_steps)
    slots = CountedSlots(synapses.source, *window, id(synapses.fan_out))
    repeats = binding.setting.steps if source.still else 1
    words = of_slots[slots]
    row["synops"] += words[:, FANNED_EVENTS] * repeats
    row["additions"] += words[:, FANNED_BITS] * repeats
    row["executed_synops"] += words[:, FANNED_EVENTS]
    row["executed_additions"] += words[:, FANNED_BITS]
    row["nonzero_synops"] += (words[:, FANNED_EVENTS] - words[:, EVENTS_ON_ZEROS]) * repeats


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
