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


@dataclass
class Held:
    """A train during a chunk. planes: uint64 (n, held, planes, positions, words); `first` is the
    slot of the chunk's first step. still: one slot stands for every step."""

    planes: np.ndarray
    first: int
    still: bool = False

    @property
    def held(self):
        return self.planes.shape[1]


def slots_of(stage, held, first, steps) -> Slots:
    """`steps` steps of a stage's train, Held, from its slot `first` on, as kernels are told."""
    n, per_sample = held.planes.shape[:2]
    channels, height, width = stage.shape
    return Slots(n, steps, per_sample, first, stage.bits, int(stage.signed), height, width, channels)
