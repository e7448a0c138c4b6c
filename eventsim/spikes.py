"""Spikes: the levels of one layer as bit-planes.

    planes: uint64 (N, T, planes, positions, words), words = ceil(channels / 64)

Bit c % 64 of planes[n, t, b, p, c // 64] is bit b of the level of channel c at position p (row-major y, x) in step
t of sample n. Where levels are signed, a second set of planes follows, which holds the magnitudes of negative
levels; in a step a neuron has bits in one of the two sets at most.
"""

import math
from dataclasses import dataclass, replace
from typing import Optional, Sequence, Tuple

import numpy as np

from eventsim.display.card import Card, Shown, times
from eventsim.equality import FrozenByValue
from eventsim.errors import DataError
from eventsim.merging import merged
from eventsim.text import all_digits, percent

BLOCK = 1 << 22  # cells (bytes) unpacked at once
_ONES = np.array([bin(i).count("1") for i in range(256)], np.uint8)


@dataclass(frozen=True, repr=False, eq=False)
class Spikes(FrozenByValue, Shown):
    """Recorded spikes of one layer.

    planes: uint64, see above. shape: (C, H, W) of the planes. logical_shape: of the layer in the model, with as
        many neurons. bits: of a level, without its sign. signed: whether levels may be negative.
    lengths: int64 (N,), the steps of each sample, behind which its planes are 0; None where every sample has T
    steps.

    >>> import eventsim, numpy as np
    >>> model = eventsim.Model({"in": eventsim.Input((4,)), "n": eventsim.Neuron()}, [("in", "n")])
    >>> recording = eventsim.Simulator(model).run(np.eye(4, dtype=int), timesteps=3)
    >>> recording.spikes["n"].levels().shape
    (4, 3, 4)
    """

    planes: np.ndarray = merged("concatenate")
    shape: Tuple[int, int, int] = merged("same")
    logical_shape: Tuple[int, ...] = merged("same")
    bits: int = merged("same")
    signed: bool = merged("same")
    lengths: Optional[np.ndarray] = merged(samples="concatenate", steps="last", default=None)

    def levels(self) -> np.ndarray:
        """Return the levels (N, T, *logical_shape): uint8, uint16 or uint32, or int32 where they are signed."""
        n, t = self.planes.shape[:2]
        channels = self.shape[0]
        dtype = np.int32 if self.signed else np.min_scalar_type((1 << self.bits) - 1).type
        levels = _levels_of(self.planes[:, :, : self.bits], channels, dtype)
        if self.signed:
            levels -= _levels_of(self.planes[:, :, self.bits :], channels, dtype)
        return levels.transpose(0, 1, 3, 2).reshape(n, t, *self.logical_shape)

    def of_samples(self, chosen) -> "Spikes":
        """Return the spikes of some samples. chosen: a slice, an array of indices, or a bool array (N,)."""
        return replace(self, planes=self.planes[chosen],
                       lengths=None if self.lengths is None else self.lengths[chosen])

    def card(self) -> Card:
        """Return a card of the numbers of samples, steps, bits and events."""
        n, t = self.planes.shape[:2]
        steps = n * t if self.lengths is None else int(self.lengths.sum())
        events, chances = count_events(self, range(n)), steps * int(np.prod(self.logical_shape))
        return Card(f"Spikes({times(self.logical_shape)} neurons)", [
            ("samples", n), ("steps", f"up to {t}" if steps < n * t else t),
            ("bits", f"{self.bits}{' and a sign' if self.signed else ''}"),
            ("events", all_digits(events)),
            ("of all neurons and steps", percent(events / chances if chances else 0))])


def _levels_of(planes, channels, dtype):
    """Return levels (N, T, positions, channels) of `dtype` from planes (N, T, planes, positions, words). From the
    highest plane down, levels are doubled and the next plane is added, so that one plane at a time is unpacked."""
    levels = _unpacked(planes[:, :, -1], channels).astype(dtype, copy=False)
    for b in range(planes.shape[2] - 2, -1, -1):
        levels += levels
        levels += _unpacked(planes[:, :, b], channels)
    return levels


def _unpacked(plane, channels):
    """Return one plane, uint64 (N, T, positions, words), as uint8 (N, T, positions, channels) of 0 and 1."""
    octets = np.ascontiguousarray(plane).view(np.uint8)
    return np.unpackbits(octets, axis=-1, bitorder="little")[..., :channels]


def check_planes(spikes: Spikes) -> None:
    """Raise DataError unless the planes fit the other fields, from which kernels compute the addresses they
    read."""
    planes, (channels, height, width) = spikes.planes, spikes.shape
    if math.prod(spikes.shape) != math.prod(spikes.logical_shape):
        raise DataError(f"shape {spikes.shape} and logical_shape {spikes.logical_shape} have different "
                        "numbers of neurons")
    expected = (spikes.bits * (2 if spikes.signed else 1), height * width, (channels + 63) // 64)
    if not isinstance(planes, np.ndarray) or planes.dtype != np.uint64 or planes.shape[2:] != expected:
        received = f"{planes.dtype} {planes.shape}" if isinstance(planes, np.ndarray) else type(planes).__name__
        raise DataError(f"planes are {received}, expected uint64 (N, T, {', '.join(map(str, expected))}), as "
                        "shape, bits and signed say")
    behind = np.uint64((1 << 64) - (1 << channels % 64)) if channels % 64 else np.uint64(0)
    if np.count_nonzero(planes[..., -1] & behind):
        raise DataError(f"planes have spikes of more than {channels} channels, which shape does not have")


def fired(spikes: Spikes, sample: int, first: int = 0, stop: int = None) -> np.ndarray:
    """Return uint64 (steps, positions, words) for steps first to stop of a sample: a bit is set where the level is
    not 0."""
    return np.bitwise_or.reduce(spikes.planes[sample, first:stop], axis=1)


def set_bits(words: np.ndarray) -> int:
    """Count the set bits of an array of uint64."""
    if hasattr(np, "bitwise_count"):
        return int(np.bitwise_count(words).sum(dtype=np.int64))
    return int(_ONES[np.ascontiguousarray(words).view(np.uint8)].sum(dtype=np.int64))


def count_events(spikes: Spikes, samples: Sequence[int]) -> int:
    """Count the events, levels that are not 0, of the samples with these indices."""
    n_steps = spikes.planes.shape[1]
    words = int(np.prod(spikes.planes.shape[2:], dtype=np.int64))
    chunk = max(BLOCK // (8 * max(words, 1)), 1)
    return sum(
        set_bits(fired(spikes, sample, first, first + chunk))
        for sample in samples for first in range(0, n_steps, chunk)
    )


def unpacked(words: np.ndarray, channels: int) -> np.ndarray:
    """Return bits, uint64 (steps, positions, words), as uint8 (steps, positions, channels) of 0 and 1."""
    bits = np.unpackbits(np.ascontiguousarray(words, "<u8").view(np.uint8), axis=-1, bitorder="little")
    return bits[..., :channels]


def events_of(spikes: Spikes, samples: Sequence[int]):
    """Return the events of samples as three int64 arrays (events,): step, neuron and level. Steps count on from
    one sample to the next. Meant for few events: each takes 24 bytes."""
    channels, n_steps = spikes.shape[0], spikes.planes.shape[1]
    positions = spikes.planes.shape[3]
    chunk = max(BLOCK // max(positions * channels, 1), 1)
    parts = []
    for i, sample in enumerate(samples):
        for first in range(0, n_steps, chunk):
            step, position, channel = np.nonzero(unpacked(fired(spikes, sample, first, first + chunk), channels))
            step += first
            word, bit = channel // 64, (channel % 64).astype(np.uint64)
            level = np.zeros(len(step), np.int64)
            for b in range(spikes.planes.shape[2]):
                there = spikes.planes[sample, step, b, position, word] >> bit & np.uint64(1)
                level += there.astype(np.int64) * ((1 if b < spikes.bits else -1) << (b % spikes.bits))
            parts.append((i * n_steps + step, channel * positions + position, level))
    return tuple(np.concatenate(part) for part in zip(*parts))
