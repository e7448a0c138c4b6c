"""Spikes: the levels of one layer as bit-planes.

    planes: uint64 (N, T, planes, positions, words), words = ceil(channels / 64)

Bit c % 64 of planes[n, t, b, p, c // 64] is bit b of the level of channel c at position p
(row-major y, x) in step t of sample n. Where levels are signed, a second set of planes follows
for the negative ones; a neuron never has both.
"""

import math
from dataclasses import dataclass, replace
from typing import Optional, Sequence, Tuple

import numpy as np

from eventsim.display.card import Card, Shown, times
from eventsim.errors import DataError
from eventsim.merging import merged
from eventsim.text import all_digits, percent

BLOCK = 1 << 22  # cells (bytes) unpacked at once
_ONES = np.array([bin(i).count("1") for i in range(256)], np.uint8)


@dataclass(frozen=True, repr=False)
class Spikes(Shown):
    """Recorded spikes. shape: (C, H, W) as held; logical_shape: as the model has it. lengths: int64 (N,), steps that
    each sample had, T being the most: after them there is nothing; None: all had as many."""

    planes: np.ndarray = merged("concatenate")
    shape: Tuple[int, int, int] = merged("same")
    logical_shape: Tuple[int, ...] = merged("same")
    bits: int = merged("same")
    signed: bool = merged("same")
    lengths: Optional[np.ndarray] = merged(samples="concatenate", steps="last", default=None)

    def levels(self) -> np.ndarray:
        """Integer levels (N, T, *logical_shape): uint8, uint16, uint32 or, where signed,
        int32."""
        n, t = self.planes.shape[:2]
        channels = self.shape[0]
        dtype = np.int32 if self.signed else np.min_scalar_type((1 << self.bits) - 1).type
        levels = _levels_of(self.planes[:, :, : self.bits], channels, dtype)
        if self.signed:
            levels -= _levels_of(self.planes[:, :, self.bits :], channels, dtype)
        return levels.transpose(0, 1, 3, 2).reshape(n, t, *self.logical_shape)

    def of_samples(self, chosen) -> "Spikes":
        """Those of some samples. chosen: a slice, an array of indices, or a bool array (N,)."""
        return replace(self, planes=self.planes[chosen],
                       lengths=None if self.lengths is None else self.lengths[chosen])

    def card(self) -> Card:
        """How many there are of what."""
        n, t = self.planes.shape[:2]
        steps = n * t if self.lengths is None else int(self.lengths.sum())
        events, chances = count_events(self, range(n)), steps * int(np.prod(self.logical_shape))
        return Card(f"Spikes({times(self.logical_shape)} neurons)", [
            ("samples", n), ("steps", f"up to {t}" if steps < n * t else t),
            ("bits", f"{self.bits}{' and a sign' if self.signed else ''}"),
            ("events", all_digits(events)),
            ("of all neurons and steps", percent(events / chances if chances else 0))])


def _levels_of(planes, channels, dtype):
    """Levels (N, T, positions, channels) of planes (N, T, planes, positions, words), by doubling from the top one
    down: one plane is unpacked at a time."""
    levels = _unpacked(planes[:, :, -1], channels).astype(dtype, copy=False)
    for b in range(planes.shape[2] - 2, -1, -1):
        levels += levels
        levels += _unpacked(planes[:, :, b], channels)
    return levels


def _unpacked(plane, channels):
    """0 or 1, uint8 (N, T, positions, channels)."""
    octets = np.ascontiguousarray(plane).view(np.uint8)
    return np.unpackbits(octets, axis=-1, bitorder="little")[..., :channels]


def check_planes(spikes: Spikes) -> None:
    """Raise DataError where planes are not as the other fields say: kernels find what they count by these."""
    planes, (channels, height, width) = spikes.planes, spikes.shape
    if math.prod(spikes.shape) != math.prod(spikes.logical_shape):
        raise DataError(f"shape {spikes.shape} and logical_shape {spikes.logical_shape} have different numbers of neurons")
    expected = (spikes.bits * (2 if spikes.signed else 1), height * width, (channels + 63) // 64)
    if not isinstance(planes, np.ndarray) or planes.dtype != np.uint64 or planes.shape[2:] != expected:
        found = f"{planes.dtype} {planes.shape}" if isinstance(planes, np.ndarray) else type(planes).__name__
        raise DataError(f"planes are {found}, expected uint64 (N, T, {', '.join(map(str, expected))}), as shape, bits "
                        "and signed say")
    behind = np.uint64((1 << 64) - (1 << channels % 64)) if channels % 64 else np.uint64(0)
    if np.count_nonzero(planes[..., -1] & behind):
        raise DataError(f"planes have spikes of more than {channels} channels, which shape does not have")


def fired(spikes: Spikes, sample: int, first: int = 0, stop: int = None) -> np.ndarray:
    """uint64 (steps, positions, words): who sent a level that is not 0."""
    return np.bitwise_or.reduce(spikes.planes[sample, first:stop], axis=1)


def set_bits(words: np.ndarray) -> int:
    """Number of set bits of an array of uint64."""
    if hasattr(np, "bitwise_count"):
        return int(np.bitwise_count(words).sum(dtype=np.int64))
    return int(_ONES[np.ascontiguousarray(words).view(np.uint8)].sum(dtype=np.int64))


def count_events(spikes: Spikes, samples: Sequence[int]) -> int:
    """Events of the samples, by popcount."""
    n_steps = spikes.planes.shape[1]
    words = int(np.prod(spikes.planes.shape[2:], dtype=np.int64))
    chunk = max(BLOCK // (8 * max(words, 1)), 1)
    return sum(
        set_bits(fired(spikes, sample, first, first + chunk))
        for sample in samples for first in range(0, n_steps, chunk)
    )


def unpacked(words: np.ndarray, channels: int) -> np.ndarray:
    """uint8 (steps, positions, channels), 0 or 1, of uint64 (steps, positions, words)."""
    bits = np.unpackbits(np.ascontiguousarray(words, "<u8").view(np.uint8), axis=-1, bitorder="little")
    return bits[..., :channels]


def events_of(spikes: Spikes, samples: Sequence[int]):
    """Every event as (step, neuron, level): int64, int64, int32; for trains with few of them."""
    channels, n_steps = spikes.shape[0], spikes.planes.shape[1]
    positions = spikes.planes.shape[3]
    chunk = max(BLOCK // max(positions * channels, 1), 1)
    found = []
    for i, sample in enumerate(samples):
        for first in range(0, n_steps, chunk):
            step, position, channel = np.nonzero(unpacked(fired(spikes, sample, first, first + chunk), channels))
            step += first
            word, bit = channel // 64, (channel % 64).astype(np.uint64)
            level = np.zeros(len(step), np.int64)
            for b in range(spikes.planes.shape[2]):
                there = spikes.planes[sample, step, b, position, word] >> bit & np.uint64(1)
                level += there.astype(np.int64) * ((1 if b < spikes.bits else -1) << (b % spikes.bits))
            found.append((i * n_steps + step, channel * positions + position, level))
    return tuple(np.concatenate(part) for part in zip(*found))
