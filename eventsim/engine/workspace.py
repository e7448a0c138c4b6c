"""Memory that runs use again."""

from dataclasses import dataclass
from math import prod

import numpy as np

from eventsim.kernels.arguments import Slots

NOTHING = {np.dtype(t): np.zeros(0, t) for t in (np.float32, np.float64, np.int32)}


class Workspace:
    """Buffers by name, kept between blocks; each worker thread has its own."""

    def __init__(self):
        self._buffers = {}

    def take(self, name, shape, dtype):
        """An uninitialised array, aligned to 64 bytes, that the next `take` of the name reuses."""
        n_bytes = (prod(shape) if isinstance(shape, tuple) else shape) * np.dtype(dtype).itemsize
        buffer = self._buffers.get(name)
        if buffer is None or buffer.nbytes < n_bytes:
            raw = np.empty(n_bytes + 64, np.uint8)
            start = -raw.ctypes.data % 64
            buffer = self._buffers[name] = raw[start : start + n_bytes]
        return buffer[:n_bytes].view(dtype).reshape(shape)

    def zeros(self, name, shape, dtype):
        """`take`, filled with zeros."""
        array = self.take(name, shape, dtype)
        array.fill(0)
        return array


@dataclass(frozen=True)
class ChunkTrain:
    """What a stage sends during a chunk of steps.

    planes: uint64 (n, slots, planes, positions, words), a view into the workspace. first: slot of the
    chunk's first step, after the past steps that delayed readers need. still: one slot stands for all steps.
    """

    planes: np.ndarray
    first: int
    still: bool = False

    @property
    def per_sample(self):
        """Slots of one sample."""
        return self.planes.shape[1]

    def window(self, delay, start, steps):
        """(first slot, steps) of what a reader with a delay takes for some steps of the chunk."""
        if self.still:
            return 0, 1
        return self.first - delay + start, steps


def slots_of(stage, train, first, steps) -> Slots:
    """`steps` steps of a stage's ChunkTrain from its slot `first` on, as kernels are told."""
    n, per_sample = train.planes.shape[:2]
    channels, height, width = stage.shape
    return Slots(n, steps, per_sample, first, stage.bits, int(stage.signed), height, width, channels)
