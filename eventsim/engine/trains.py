"""Trains: room for what stages send, the input that enters, and word operations on spikes, put on a tape.

A train's planes hold the steps of the chunk after as many past steps as its delayed readers need.
"""

import numpy as np

from eventsim.engine.binding import Binding
from eventsim.engine.chunk import Span
from eventsim.engine.memory import ChunkTrain, slots_of
from eventsim.kernels import indexing, transforms
from eventsim.program import Stage, WordStage


def enter(binding: Binding) -> None:
    """Let the samples in: kept arrays ("levels", input) int32 or uint8 (n, steps or 1, C, positions), or ("real",
    input) F (n, past and steps or 1, positions, C)."""
    program, setting = binding.program, binding.setting
    stage = program.stages[program.input]
    past = program.history[stage.name]
    binding.still_input = setting.still and past == 0
    steps = 1 if binding.still_input else setting.steps
    channels, positions = stage.shape[0], stage.positions
    if stage.real:
        shape = (setting.samples, past + steps, positions, channels)
        binding.real = binding.memory.keep(("real", stage.name), shape, program.dtype)
        return
    dtype = np.dtype(np.uint8 if setting.octets else np.int32)
    levels = binding.memory.keep(("levels", stage.name), (setting.samples, steps, channels, positions), dtype)
    train = _room(binding, stage, past, steps, binding.still_input)
    if stage.bits == 1 or stage.signed:  # else `pack` writes every word
        _clear(binding, stage)
    binding.tape.call(indexing.pack, levels.reshape(-1), train.planes.reshape(-1),
                      slots_of(stage, train, past, steps))


def make_room(binding: Binding, stage: Stage) -> None:
    """Make room for what a stage will send, with the past steps that are remembered."""
    if stage.bits == 0:
        return
    setting, past = binding.setting, binding.program.history[stage.name]
    sources = stage.sources if isinstance(stage, WordStage) else ()
    still = bool(sources) and past == 0 and all(
        delay == 0 and binding.sent[source].still for source, delay in sources
    )
    _room(binding, stage, past, 1 if still else setting.steps, still)
    if sources:
        _clear(binding, stage)


def _room(binding, stage, past, steps, still) -> ChunkTrain:
    shape = (binding.setting.samples, past + steps, stage.n_planes, stage.positions, stage.words)
    name = ("planes", stage.name)
    wanted = past or stage.name in binding.setting.planes
    planes = (binding.memory.keep if wanted else binding.memory.take)(name, shape, np.uint64)
    train = binding.sent[stage.name] = ChunkTrain(planes, past, still)
    return train


def _clear(binding, stage):
    """Before each block, what words are added to. Kept planes are new for each; of others, what no tile of a layer
    writes is 0 from the beginning."""
    planes = binding.sent[stage.name].planes
    if ("planes", stage.name) not in binding.memory.kept:
        binding.tape.call(transforms.clear_words, planes.reshape(-1), planes.size)


def bind_words(binding: Binding, stage: WordStage, span: Span) -> None:
    """Pool, add, delay or flatten the spikes that a stage reads."""
    target, (start, steps) = binding.sent[stage.name], span
    if target.still:  # it holds one slot for all steps
        if start:
            return
        steps = 1
    planes, tape, window = target.planes.reshape(-1), binding.tape, tuple(map(int, stage.window))
    to = slots_of(stage, target, target.first + start, steps)
    channel = 0
    for i, (name, delay) in enumerate(stage.sources):
        source = binding.sent[name]
        first, _ = source.window(delay, start, steps)
        given, of = source.planes.reshape(-1), slots_of(binding.program.stages[name], source, first, steps)
        if stage.operation == "delay":
            tape.call(transforms.delay_words, planes, given, stage.masks[i], to, of)
        elif stage.operation == "flatten":
            tape.call(transforms.flatten_words, planes, given, to, of)
        elif stage.operation == "spread":
            tape.call(transforms.spread_words, planes, given, to, of, window)
        elif stage.operation == "concat":
            tape.call(transforms.concat_words, planes, given, to, of, channel)
            channel += of.channels
        elif stage.operation == "sum":
            tape.call(transforms.sum_words, planes, given, to, of, window)
        else:
            kernel = transforms.max_signed_words if stage.signed else transforms.max_words
            tape.call(kernel, planes, given, to, of, window)
    if stage.operation == "sum" and stage.signed:
        tape.call(transforms.cancel_words, planes, to)
