"""Synchronous: a block of samples through a Program, a chunk of steps at a time, stage by stage.

Stages run over all steps of the chunk one after another, recurrent groups step by step. Nothing here
depends on how samples are cut into blocks, or steps into chunks: the results are the same bits.
"""

from dataclasses import dataclass
from typing import Dict, List, NamedTuple, Union

import numpy as np

from eventsim.engine.answers import bind_answers
from eventsim.engine.binding import Binding
from eventsim.engine.chunk import Setting, Span
from eventsim.engine.counting import bind_counts
from eventsim.engine.memory import ChunkTrain
from eventsim.engine.paths import bind_path, prepare, Ready
from eventsim.engine.plan import Plan
from eventsim.engine.summing import bind_sums
from eventsim.engine.trains import bind_words, enter, make_room
from eventsim.program import LayerStage, PooledSums, Program, StageGroup, Synapses, synapses_of, WordStage
from eventsim.statistics.observing import TrainObserver

COUNTING = "counts"  # the stage of what counts, in timings; with a "/", which no node's name has, where one has it


@dataclass(frozen=True)
class BoundChunk:
    """A chunk that can be run. sent: stage -> ChunkTrain of a block. clock: int64 [1], where to put the absolute
    step of the chunk's first. sums: layer -> what sums its train for statistics, if they are wanted."""

    plan: Plan
    sent: Dict[str, ChunkTrain]
    still_input: bool
    clock: np.ndarray
    sums: Dict[str, TrainObserver]


def bind_chunk(program: Program, setting: Setting) -> BoundChunk:
    """Bind a chunk of steps of a block of samples."""
    binding = Binding(program, setting)
    binding.tape.stage = program.input
    enter(binding)
    for group in program.groups:
        if group.recurrent:
            _bind_recurrent(binding, group)
        else:
            _bind_forward(binding, group)
    binding.tape.stage = program.output
    bind_answers(binding)
    binding.tape.stage = f"{COUNTING}/" if COUNTING in program.stages else COUNTING
    bind_counts(binding)
    if setting.sums:
        bind_sums(binding)
    plan = Plan(binding.tape, binding.memory, setting.samples)
    return BoundChunk(plan, binding.sent, binding.still_input, binding.clock, binding.sums)


def _bind_forward(binding, group: StageGroup):
    """Bind each stage over all steps of the chunk."""
    for stage in group.stages:
        binding.tape.stage = stage.name
        if isinstance(stage, LayerStage):
            make_room(binding, stage)
            ready, last = prepare(binding, stage), len(stage.paths) - 1
            for i, path in enumerate(stage.paths):
                bind_path(binding, ready, path, binding.all_steps, adds=i > 0, ends=i == last)
        elif isinstance(stage, WordStage):
            make_room(binding, stage)
            bind_words(binding, stage, binding.all_steps)


class _Rest(NamedTuple):
    """What is left to run of a layer in every step. done: whether other paths ran over all steps before."""

    ready: Ready
    paths: List[Union[Synapses, PooledSums]]
    done: bool


def _bind_recurrent(binding, group: StageGroup):
    """Bind layers step by step; paths from outside that come first in a sum run over all steps before."""
    names = {stage.name for stage in group.stages}
    rest: Dict[str, _Rest] = {}
    for stage in group.stages:
        binding.tape.stage = stage.name
        make_room(binding, stage)
    for stage in group.stages:
        binding.tape.stage = stage.name
        if isinstance(stage, LayerStage):
            rest[stage.name] = _bind_outside(binding, stage, names)
    for t in range(binding.setting.steps):
        span = Span(t, 1)
        for stage in group.stages:
            binding.tape.stage = stage.name
            if isinstance(stage, WordStage):
                bind_words(binding, stage, span)
                continue
            ready, paths, done = rest[stage.name]
            for i, path in enumerate(paths):
                bind_path(binding, ready, path, span, adds=done or i > 0, ends=i == len(paths) - 1)


def _bind_outside(binding, layer: LayerStage, names) -> _Rest:
    """Bind the paths that come before the first one from inside the group, over all steps of the chunk."""
    ready = prepare(binding, layer, stepwise=True)
    paths = _outside_first(layer.paths, names)
    n_outside = next(i for i, path in enumerate(paths) if _reads(path, names))
    for i, path in enumerate(paths[:n_outside]):
        bind_path(binding, ready, path, binding.all_steps, adds=i > 0, ends=False)
    return _Rest(ready, paths[n_outside:], n_outside > 0)


def _reads(path, names):
    """Return whether a path reads any of some stages."""
    return any(synapses.source in names for synapses in synapses_of((path,)))


def _outside_first(paths, names):
    """Return paths in the order of their sum, with the first two exchanged (addition commutes) where
    that lets the first come from outside the recurrent group."""
    paths = list(paths)
    if len(paths) > 1 and _reads(paths[0], names) and not _reads(paths[1], names):
        paths[0], paths[1] = paths[1], paths[0]
    return paths
