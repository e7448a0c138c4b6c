"""Trains: room for what stages send, the input that enters, and word operations on spikes.

A train's planes hold the steps of the chunk after as many past steps as its delayed readers need.
"""

import numpy as np

from eventsim.engine.chunk import Span, Work
from eventsim.engine.workspace import ChunkTrain, slots_of
from eventsim.errors import DataError
from eventsim.kernels import indexing, transforms
from eventsim.program import InputStage, Stage, WordStage


def enter(work: Work, levels, still) -> None:
    """Let the samples in. levels, still: as `synchronous.run_chunk` takes them."""
    trains, program = work.trains, work.block.program
    stage = trains.stages[program.input]
    past = program.history[stage.name]
    still = still and past == 0
    if not still and levels.shape[1] != trains.steps:
        levels = np.repeat(levels, trains.steps, axis=1)
    trains.still_input = still
    if stage.real:
        trains.real = _real_input(work, stage, levels, past)
        return
    train = _blank(work, stage, past, levels.shape[1], still)
    indexing.pack(np.ascontiguousarray(levels).reshape(-1), train.planes.reshape(-1),
                  slots_of(stage, train, past, levels.shape[1]))


def _real_input(work, stage: InputStage, levels, past):
    dtype = work.block.program.dtype
    with np.errstate(over="ignore"):
        values = levels.transpose(0, 1, 3, 2).astype(dtype)
    if not np.isfinite(values).all():
        raise DataError(f"x has values that {dtype} does not hold; run in float64")
    before = work.state.history.get(stage.name)
    if before is None:
        before = np.zeros((len(values), past, *values.shape[2:]), dtype)
    return np.concatenate((before, values), axis=1)


def make_room(work: Work, stage: Stage) -> None:
    """Room for what a stage will send, with the past steps that are remembered."""
    if stage.bits == 0:
        return
    trains, past = work.trains, work.block.program.history[stage.name]
    sources = stage.sources if isinstance(stage, WordStage) else ()
    still = bool(sources) and past == 0 and all(
        delay == 0 and trains.sent[source].still for source, delay in sources
    )
    _blank(work, stage, past, 1 if still else trains.steps, still)


def _blank(work, stage, past, steps, still) -> ChunkTrain:
    shape = (work.trains.n_samples, past + steps, stage.n_planes, stage.positions, stage.words)
    # words hold 64 channels, tiles may hold fewer: what no tile writes has to be zero
    planes = work.block.workspace.zeros(("planes", stage.name), shape, np.uint64)
    if past and stage.name in work.state.history:
        planes[:, :past] = work.state.history[stage.name]
    train = work.trains.sent[stage.name] = ChunkTrain(planes, past, still)
    return train


def keep_history(work: Work) -> None:
    """Put what the next chunk's delayed readers need into the state."""
    for name, past in work.block.program.history.items():
        if past:
            train = work.trains.sent.get(name)
            slots = work.trains.real if train is None else train.planes
            work.state.history[name] = slots[:, -past:].copy()


def run_words(work: Work, stage: WordStage, span: Span) -> None:
    """Pool, add, delay or flatten the spikes that a stage reads."""
    trains = work.trains
    target, (start, steps) = trains.sent[stage.name], span
    if target.still:  # it holds one slot for all steps
        if start:
            return
        steps = 1
    planes = target.planes.reshape(-1)
    to = slots_of(stage, target, target.first + start, steps)
    channel = 0
    for i, (name, delay) in enumerate(stage.sources):
        source = trains.sent[name]
        first, _ = source.window(delay, start, steps)
        given, of = source.planes.reshape(-1), slots_of(trains.stages[name], source, first, steps)
        if stage.operation == "delay":
            transforms.delay_words(planes, given, stage.masks[i], to, of)
        elif stage.operation == "flatten":
            transforms.flatten_words(planes, given, to, of)
        elif stage.operation == "spread":
            transforms.spread_words(planes, given, to, of, stage.window)
        elif stage.operation == "concat":
            transforms.concat_words(planes, given, to, of, channel)
            channel += of.channels
        elif stage.operation == "sum":
            transforms.sum_words(planes, given, to, of, stage.window)
        elif stage.n_planes == 1:
            transforms.or_words(planes, given, to, of, stage.window)
        else:
            transforms.max_words(planes, given, to, of, stage.window)
    if stage.operation == "sum" and stage.signed:
        transforms.cancel_words(planes, to)
