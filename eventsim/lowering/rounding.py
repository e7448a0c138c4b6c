"""Rounding: from float64 constants to the numbers of a run, once.

Fixed point: output channel o of a layer with quantum delta counts its membrane in steps of
delta / D, D the largest even integer, at most 2^14, with which every synaptic weight fits
int8 (int16 for all of the layer where D would be below 16). D is even so that half a quantum,
the threshold that rounds to nearest, is exact. Rounding is half away from zero.
"""

from dataclasses import dataclass, replace
from typing import ClassVar, Optional

import numpy as np

from eventsim.errors import UnsupportedError
from eventsim.kernels.arguments import NEVER
from eventsim.model.chip import Chip

MOST_ROUNDED = 1 << 20  # weights at a time


def half_away(values):
    """Return values rounded half away from zero, as float64."""
    size = np.abs(values)
    rounded = np.floor(size)
    size -= rounded  # in place: of a large dense layer each array is a gigabyte
    rounded += size >= 0.5  # floor(size + 0.5) would round first
    del size
    return np.copysign(rounded, values)


def largest_error(values, rounded, scale):
    """Return the largest difference of values and rounded (channels, ...), over scale (channels,)."""
    trailing = (1,) * (values.ndim - 1)
    return float((np.abs(rounded - values) / scale.reshape(-1, *trailing)).max(initial=0))


@dataclass
class Numbers:
    """Floating point: rounding is a cast.

    dtype: of membranes. weight_dtype: of weights. node: how messages name the layer.
    """

    dtype: np.dtype
    weight_dtype: np.dtype
    node: str

    shift: ClassVar[int] = 0  # bits by which sums are shifted before they meet a state
    integer: ClassVar[bool] = False  # whether all numbers are integers

    @property
    def never(self):
        """A threshold that no membrane reaches, not even an infinite one: nothing is at least nan."""
        return np.nan

    @property
    def remedy(self) -> str:
        """What to do about a constant that the type does not hold."""
        return "rescale the layer" if self.dtype == np.float64 else "run it in float64"

    @property
    def chip(self) -> Optional[Chip]:
        """The chip whose integers these are; of floats None."""
        return None

    def _cast(self, values):
        cast = np.asarray(values).astype(self.dtype)
        if not np.isfinite(cast).all():
            raise UnsupportedError(f"{self.node}: a constant is larger than {self.dtype} holds; {self.remedy}")
        return cast

    def weight(self, values):
        """Return weights (out, ...) in their type."""
        return self._cast(values)

    def unit(self, values):
        """Return values (channels, ...) in membrane units in the run's type."""
        return self._cast(values)

    def unrounded(self, values):
        """Return values (channels, ...) in the run's unit, before rounding."""
        return values

    def factor(self, values):
        """Return gains in the run's type."""
        gains = self._cast(values)
        if ((values != 0) & (gains == 0)).any():
            raise UnsupportedError(
                f"{self.node}: a gain is less than {self.dtype} holds, and would be 0; {self.remedy}")
        return gains

    def amplitude(self, values):
        """Return the weights (channels,) of identity synapses in the run's type."""
        return self._cast(values)

    def in_sum(self, values):
        """Return values (channels, ...) in the unit of a sum of weights, before rounding."""
        return values

    def decay(self, values):
        """Return leaks in the run's type."""
        return self._cast(values)

    def steps_in(self, channel, quantum):
        """Return the integer steps of channels' states in so much of their membranes; 0 for floats."""
        return 0

    def above(self, threshold):
        """Return the smallest number greater than each threshold of the run's type."""
        return np.nextafter(threshold, self.dtype.type(np.inf))


@dataclass
class FixedPoint(Numbers):
    """Integers: value v of channel o becomes round(v * steps[o] / quantum[o]) in a sum of weights,
    and 2^shift times as much in the states behind it.

    steps, quantum: float64 (C,). chip: the chip whose weights these are, or None for the type's own
    range, unshifted.
    """

    steps: np.ndarray = None
    quantum: np.ndarray = None
    chip: Optional[Chip] = None

    integer: ClassVar[bool] = True

    @property
    def never(self):
        return NEVER

    @property
    def shift(self):
        """Bits by which sums are shifted before they meet a state."""
        return 0 if self.chip is None else self.chip.weight_shift

    def in_sum(self, values):
        trailing = (1,) * (np.ndim(values) - 1)
        return (values * self.steps.reshape(-1, *trailing)) / self.quantum.reshape(-1, *trailing)

    def unrounded(self, values):
        return self.in_sum(values) * 2.0**self.shift

    def _fitting(self, integers, dtype):
        if not np.abs(integers).max(initial=0) <= np.iinfo(dtype).max:  # refuses NaN, too
            raise UnsupportedError(
                f"{self.node}: a bias, threshold or potential does not fit {np.dtype(dtype).name} "
                "in fixed point; run it in float32, or rescale the layer"
            )
        return integers.astype(dtype)

    def weight(self, values):
        weights = np.empty(values.shape, self.weight_dtype)
        for rows, numbers in self.blocks(values):
            weights[rows] = numbers.integer_weights(values[rows])[0]
        return weights

    def rounding_of(self, values):
        """Return what rounding weights (out, ...) does: how many become 0, how many a chip clips, the largest
        error in membrane units, and how many are not 0."""
        n_zeroed, n_clipped, worst, n_left = 0, 0, 0.0, 0
        for rows, numbers in self.blocks(values):
            rounded, clipped = numbers.integer_weights(values[rows])
            n_zeroed += int(((rounded == 0) & (values[rows] != 0)).sum())
            n_clipped += clipped
            n_left += int(np.count_nonzero(rounded))
            scale = numbers.in_sum(np.ones(len(rounded)))
            worst = max(worst, largest_error(numbers.in_sum(values[rows]), rounded, scale))
        return n_zeroed, n_clipped, worst, n_left

    def blocks(self, values):
        """Yield (slice of output channels, Numbers of these) of weights (out, ...): rounding them takes several
        arrays of float64 each, which for all weights of a large dense layer would be gigabytes."""
        size = max(1, MOST_ROUNDED * len(values) // max(values.size, 1))
        for first in range(0, len(values), size):
            rows = slice(first, first + size)
            steps, quantum = (np.broadcast_to(v, len(values))[rows] for v in (self.steps, self.quantum))
            yield rows, replace(self, steps=steps, quantum=quantum)

    def integer_weights(self, values):
        """Return weights (out, ...) as integers, float64, and how many a chip has clipped."""
        if self.chip is None:
            return half_away(self.in_sum(values)), 0
        step = self.chip.weight_step
        rounded = step * half_away(self.in_sum(values) / step)
        clipped = np.clip(rounded, self.chip.lowest_weight, self.chip.highest_weight)
        return clipped, int((clipped != rounded).sum())

    def amplitude(self, values):
        return self._fitting(half_away(self.in_sum(values)), np.int32)

    def unit(self, values):
        return self._fitting(half_away(self.unrounded(values)), np.int32)

    def factor(self, values):
        return self._fitting(half_away(4096 * values), np.int32)

    @property
    def decay_bits(self):
        """Fractional bits of leaks."""
        return 12 if self.chip is None else self.chip.decay_bits

    def decay(self, values):
        return half_away(2.0**self.decay_bits * values).astype(np.int32)

    def steps_in(self, channel, quantum):
        return self.steps[channel] * 2.0**self.shift * (quantum / self.quantum[channel])

    def above(self, threshold):
        return np.minimum(threshold.astype(np.int64) + 1, NEVER).astype(np.int32)
