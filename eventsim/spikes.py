"""Spikes: the levels of one layer as bit-planes.

    planes: uint64 (N, T, planes, positions, words), words = ceil(channels / 64)

Bit c % 64 of planes[n, t, b, p, c // 64] is bit b of the level of channel c at position p
(row-major y, x) in step t of sample n. Where levels are signed, a second set of planes follows
for the negative ones; a neuron never has both.
"""

from dataclasses import dataclass
from typing import Tuple

import numpy as np


@dataclass(frozen=True)
class Spikes:
    """Recorded spikes. shape: (C, H, W) as held; logical_shape: as the model has it."""

    planes: np.ndarray
    shape: Tuple[int, int, int]
    logical_shape: Tuple[int, ...]
    bits: int
    signed: bool

    def levels(self) -> np.ndarray:
        """Integer levels (N, T, *logical_shape): uint8, uint16, uint32 or, where signed,
        int32."""
        n, t = self.planes.shape[:2]
        channels = self.shape[0]
        dtype = np.int32 if self.signed else np.min_scalar_type((1 << self.bits) - 1).type
        levels = np.zeros((n, t, self.planes.shape[3], channels), dtype)
        for b in range(self.planes.shape[2]):
            plane = np.ascontiguousarray(self.planes[:, :, b])
            bits = np.unpackbits(plane.view(np.uint8), axis=-1, bitorder="little")[..., :channels]
            worth = 1 << (b % self.bits)
            levels += bits.astype(dtype) * dtype(worth if b < self.bits else -worth)
        return levels.transpose(0, 1, 3, 2).reshape(n, t, *self.logical_shape)
