"""Synchronous: a block of samples through a Program, a chunk of steps at a time, stage by stage.

Stages run over all steps of the chunk one after another, recurrent groups step by step. Nothing here
depends on how samples are cut into blocks, or steps into chunks: the results are the same bits.
"""

from typing import Dict, List, NamedTuple, Union

from eventsim.engine.answers import answers
from eventsim.engine.chunk import Block, Chunk, Span, Traces, Trains, Work
from eventsim.engine.paths import prepare, Ready, run_path
from eventsim.engine.state import State
from eventsim.engine.trains import enter, keep_history, make_room, run_words
from eventsim.program import LayerStage, PooledSums, StageGroup, Synapses, synapses_of, WordStage


def run_chunk(block: Block, state: State, levels, still: bool, steps: int) -> Chunk:
    """Run a chunk of `steps` from `state`, which is brought up to date.

    levels: int32 (n, steps or 1, C, positions), or F of real input; still: whether its single step stands
    for all.
    """
    trains = Trains(block.program.stages, block.workspace, block.n_samples, steps)
    fresh = state.step == 0 and not state.membranes
    work = Work(block, state, trains, Traces({}, {}, {}, {}), fresh)
    enter(work, levels, still)
    for group in block.program.groups:
        if group.recurrent:
            _run_recurrent(work, group)
        else:
            _run_forward(work, group)
    chunk = Chunk(trains, work.traces, answers(work))
    keep_history(work)
    state.step += steps
    return chunk


def _run_forward(work, group: StageGroup):
    """Each stage over all steps of the chunk."""
    span = Span(0, work.trains.steps)
    for stage in group.stages:
        if isinstance(stage, LayerStage):
            make_room(work, stage)
            ready, last = prepare(work, stage), len(stage.paths) - 1
            for i, path in enumerate(stage.paths):
                run_path(work, ready, path, span, adds=i > 0, ends=i == last)
        elif isinstance(stage, WordStage):
            make_room(work, stage)
            run_words(work, stage, span)


class _Rest(NamedTuple):
    """What is left to run of a layer in every step. done: whether other paths ran over all steps before."""

    ready: Ready
    paths: List[Union[Synapses, PooledSums]]
    done: bool


def _run_recurrent(work, group: StageGroup):
    """Step by step; paths from outside that come first in a sum run over all steps before."""
    names = {stage.name for stage in group.stages}
    rest: Dict[str, _Rest] = {}
    for stage in group.stages:
        make_room(work, stage)
        if isinstance(stage, LayerStage):
            rest[stage.name] = _run_outside(work, stage, names)
    for t in range(work.trains.steps):
        span = Span(t, 1)
        for stage in group.stages:
            if isinstance(stage, WordStage):
                run_words(work, stage, span)
                continue
            ready, paths, done = rest[stage.name]
            for i, path in enumerate(paths):
                run_path(work, ready, path, span, adds=done or i > 0, ends=i == len(paths) - 1)


def _run_outside(work, layer: LayerStage, names) -> _Rest:
    """Run the paths that come before the first one from inside the group, over all steps of the chunk."""
    ready = prepare(work, layer, stepwise=True)
    paths = _outside_first(layer.paths, names)
    n_outside = next(i for i, path in enumerate(paths) if _reads(path, names))
    for i, path in enumerate(paths[:n_outside]):
        run_path(work, ready, path, Span(0, work.trains.steps), adds=i > 0, ends=False)
    return _Rest(ready, paths[n_outside:], n_outside > 0)


def _reads(path, names):
    """Whether a path reads any of some stages."""
    return any(synapses.source in names for synapses in synapses_of((path,)))


def _outside_first(paths, names):
    """Paths in the order of their sum, with the first two exchanged (addition commutes) where
    that lets the first come from outside the recurrent group."""
    paths = list(paths)
    if len(paths) > 1 and _reads(paths[0], names) and not _reads(paths[1], names):
        paths[0], paths[1] = paths[1], paths[0]
    return paths
