"""Blocks: how many samples and steps are run together, by the memory that they take."""

from dataclasses import dataclass
from math import prod
from typing import Dict, List

import numpy as np

from eventsim.engine.chunk import Setting
from eventsim.engine.state import arrays_of
from eventsim.program import LayerStage, Program

PIECE_BYTES = 64 << 20  # of what is kept of the samples of one piece
LARGEST_PIECE = 1024  # samples
CHUNK_BYTES = 64 << 20  # of planes of one sample over one chunk
NEAR_BYTES, NEAR_STEPS = 2 << 20, 32  # that stay in a cache until they are read; of a chunk at least
FAR_BYTES = 16 << 20  # of all steps of a sample: below, what chunks cost is more than what nearer caches gain
RECURRENT_STEPS = 128  # of a chunk
BLOCK_BYTES = 8 << 20  # that the samples of a block write; smaller blocks load large weights more often
NEAR_WEIGHTS = 256 << 10  # bytes of weights that stay in a cache while a small block goes through all layers
NEAR_BLOCK = 256 << 10  # bytes that samples of such a block write: in tiny networks, calls cost more than caches
LARGEST_BLOCK = 64  # samples


@dataclass(frozen=True)
class Sizes:
    """Bytes of one sample. trains: of one step of each stage's train. step: of one step of all: trains, pointers
    to their events, and sums of several paths. traces: of one step of a layer's map. weights: of the program."""

    trains: Dict[str, int]
    step: int
    traces: Dict[str, int]
    weights: int


def sizes(program: Program) -> Sizes:
    """Return the Sizes of a program's trains and layers."""
    stages, item = program.stages, program.dtype.itemsize
    layers = [stage for stage in stages.values() if isinstance(stage, LayerStage)]
    trains = {s.name: s.n_planes * s.positions * s.words * 8 for s in stages.values()}
    step = sum(trains.values())
    for path in (path for layer in layers for path in layer.synapses):
        if path.events:
            source = stages[path.source]
            step += source.n_planes * path.geometry.groups * 8 * source.positions
    maps = {layer.name: layer.positions * layer.padded * item for layer in layers}
    step += sum(maps[layer.name] for layer in layers if len(layer.paths) > 1 or layer.reduce)
    step += sum(pool.geometry.height * pool.geometry.width * layer.padded * item
                for layer in layers for pool in layer.pools)
    weights = sum(path.weight.nbytes for layer in layers for path in layer.synapses)
    return Sizes(trains, max(step, 1), maps, weights)


def longest_chunk(program: Program, sizes: Sizes, steps: int, observed: int, gathers: bool) -> int:
    """Steps of a chunk of a run of so many that memory has room for. observed: bytes that gathering takes of a
    step. Of recurrent groups, whose steps are bound one by one, few. Large maps over many steps, of FAR_BYTES and
    more, are run some steps at a time, all alike, as what a stage sends would have left the caches before the next
    one reads it; not where statistics are gathered (`gathers`), which take long for each chunk."""
    per_step = sizes.step + observed
    longest = max(1, CHUNK_BYTES // per_step)
    if not gathers and steps * per_step > FAR_BYTES:
        longest = min(longest, max(NEAR_STEPS, NEAR_BYTES // per_step))
        longest = -(-steps // -(-steps // longest))
    return min(longest, RECURRENT_STEPS) if any(group.recurrent for group in program.groups) else longest


def chunks(program: Program, done: int, steps: int, longest: int) -> List[int]:
    """Return the lengths of the chunks of a run: cut where a bias changes, and at most so long. done: steps
    before."""
    cuts = {step - done for step in program.bias_steps}
    cuts = {cut for cut in cuts if 0 < cut < steps} | set(range(0, steps, longest)) | {0, steps}
    ordered = sorted(cuts)
    return [b - a for a, b in zip(ordered, ordered[1:])]


def bias_step(program: Program, done: int) -> int:
    """Return the step since which no bias has changed, after `done` steps."""
    return max((step for step in program.bias_steps if step <= done), default=0)


def samples_of_piece(program: Program, sizes: Sizes, setting: Setting) -> int:
    """Samples that Python hands over at once, by what is kept of them. setting: of their chunks."""
    remembered = {name for name, past in program.history.items() if past}
    kept = sum(sizes.trains[name] for name in setting.planes | remembered)
    kept += sum(sizes.traces[name] for name, kind in setting.traces if kind != "audit")
    entering = program.stages[program.input]
    if not setting.still or program.input in remembered:  # levels, or real numbers, of each step
        kept += entering.n_neurons * (program.dtype.itemsize if entering.real else 4)
    layers = [stage for stage in program.stages.values() if isinstance(stage, LayerStage)]
    state = sum(prod(shape) * np.dtype(dtype).itemsize for layer in layers
                for shape, dtype in arrays_of(layer, 1, program.dtype).values()) if setting.keeps else 0
    return max(1, min(PIECE_BYTES // (setting.steps * kept + state + 1), LARGEST_PIECE))


def blocks_of(sizes: Sizes, steps: int, n: int) -> List[int]:
    """Samples of the blocks into which n samples are cut, the largest first: of each size as many as there is room
    for. The samples of a block go through a layer before the next one: few, so that what a layer leaves is in the
    caches when the next one reads it, unless weights have to be loaded anew for each. Few sizes, all powers of
    two, so that runs of any number of samples need few plans."""
    near = sizes.weights <= NEAR_WEIGHTS
    most = max(1, min((NEAR_BLOCK if near else BLOCK_BYTES) // (steps * sizes.step), LARGEST_BLOCK))
    largest = 1 << (most.bit_length() - 1)
    if near:
        return [largest, 1] if n >= largest > 1 else [1]
    return [1 << power for power in range(min(largest, n).bit_length() - 1, -1, -1)]
