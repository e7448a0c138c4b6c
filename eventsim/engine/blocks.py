"""Blocks: how many samples and steps are run together, by the memory that they take."""

from dataclasses import dataclass
from typing import Dict, List

import numpy as np

from eventsim.program import LayerStage, Program

BLOCK_BYTES = 8 << 20  # of planes, and of membranes where they are kept, in one block
CHUNK_BYTES = 64 << 20  # of planes of one sample over one chunk
LARGEST_BLOCK = 64
BY_EVENTS = ("gather", "pairs", "slide", "attended")  # methods of paths that read sorted events


@dataclass(frozen=True)
class Sizes:
    """Bytes of one sample. trains: of one step of each stage's train: planes, and pointers for each path that
    reads it. step: of one step of all: trains, and sums of several paths. membranes: of all layers."""

    trains: Dict[str, int]
    step: int
    membranes: int


def sizes(program: Program) -> Sizes:
    """Of a program's trains and layers."""
    stages, item = program.stages, program.dtype.itemsize
    layers = [stage for stage in stages.values() if isinstance(stage, LayerStage)]
    trains = {s.name: s.n_planes * s.positions * s.words * 8 for s in stages.values()}
    for path in (path for layer in layers for path in layer.synapses):
        if path.method in BY_EVENTS:
            source = stages[path.source]
            trains[path.source] += source.n_planes * path.geometry.groups * 8 * source.positions
    maps = {layer.name: layer.positions * layer.padded * item for layer in layers}
    sums = sum(maps[layer.name] for layer in layers if len(layer.paths) > 1 or layer.reduce)
    sums += sum(pool.geometry.height * pool.geometry.width * layer.padded * item
                for layer in layers for pool in layer.pools)
    return Sizes(trains, max(sum(trains.values()) + sums, 1), sum(maps.values()))


def longest_chunk(sizes: Sizes, observed: int) -> int:
    """Steps of a chunk that memory has room for. observed: bytes that gathering takes of a step."""
    return max(1, CHUNK_BYTES // (sizes.step + observed))


def chunks(program: Program, done: int, steps: int, longest: int) -> List[int]:
    """Lengths of the chunks of a run: cut where a bias changes, and at most so long. done: steps before."""
    cuts = {step - done for stage in program.layers if isinstance(stage, LayerStage)
            for step in stage.bias_steps}
    cuts = {cut for cut in cuts if 0 < cut < steps} | set(range(0, steps, longest)) | {0, steps}
    ordered = sorted(cuts)
    return [b - a for a, b in zip(ordered, ordered[1:])]


def block_size(sizes: Sizes, steps: int, observed: int, held_once: str, keeps: bool) -> int:
    """Samples of a block whose chunks have so many steps.

    held_once: the input, where its one step stands for all, or "". keeps: whether membranes are kept.
    """
    per_sample = steps * (sizes.step + observed)
    if held_once:
        per_sample -= (steps - 1) * sizes.trains[held_once]
    if keeps:
        per_sample += sizes.membranes
    return int(np.clip(BLOCK_BYTES // per_sample, 1, LARGEST_BLOCK))
