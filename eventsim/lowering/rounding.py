"""Rounding: from float64 constants to the numbers of a run, once.

Fixed point: output channel o of a layer with quantum delta counts its membrane in steps of
delta / D, D the largest even whole number, at most 2^14, with which every synaptic weight fits
int8 (int16 for the whole layer where D would be below 16). D is even so that half a quantum,
the threshold that rounds to nearest, is exact. Rounding is half away from zero.
"""

from dataclasses import dataclass, replace
from math import floor, tanh

import numpy as np

from eventsim.errors import UnsupportedError
from eventsim.model.chip import Profile

LARGEST_D = 1 << 14
LARGEST_SCALE = 2.0**1000  # of a readout, so that what is counted in it stays finite
SMALLEST_INT8_D = 16  # a coarser grid than 16 steps a quantum takes int16 weights instead
INT32_MAX = 2**31 - 1
MOST_ROUNDED = 1 << 20  # weights at a time


def half_away(values):
    """Round half away from zero, as float64."""
    size = np.abs(values)
    whole = np.floor(size)
    size -= whole  # in place: of a large dense layer each array is a gigabyte
    whole += size >= 0.5  # floor(size + 0.5) would round first
    del size
    return np.copysign(whole, values)


def largest_error(values, rounded, scale):
    """The largest difference, over scale (channels,)."""
    trailing = (1,) * (values.ndim - 1)
    return float((np.abs(rounded - values) / scale.reshape(-1, *trailing)).max(initial=0))


@dataclass
class Numbers:
    """Floating point: rounding is a cast."""

    dtype: np.dtype
    weight_dtype: np.dtype
    node: str

    def _cast(self, values):
        cast = np.asarray(values).astype(self.dtype)
        if not np.isfinite(cast).all():
            remedy = "rescale the layer" if self.dtype == np.float64 else "run it in float64"
            raise UnsupportedError(
                f"{self.node}: a constant is larger than {self.dtype} holds; {remedy}"
            )
        return cast

    def weight(self, values):
        """(out, ...) to the type of weights."""
        return self._cast(values)

    def unit(self, values):
        """(channels, ...) in membrane units to the run's type."""
        return self._cast(values)

    def unrounded(self, values):
        """(channels, ...) in the run's unit, before rounding."""
        return values

    def factor(self, values):
        """Gains to the run's type."""
        return self._cast(values)

    def amplitude(self, values):
        """(channels,) of identity synapses to the run's type."""
        return self._cast(values)

    def in_sum(self, values):
        """(channels, ...) in the unit of a sum of weights, before rounding."""
        return values

    def decay(self, values):
        """Leaks to the run's type."""
        return self._cast(values)

    def above(self, threshold):
        """The smallest number greater than each threshold of the run's type."""
        return np.nextafter(threshold, self.dtype.type(np.inf))


@dataclass
class FixedPoint(Numbers):
    """Integers: value v of channel o becomes round(v * steps[o] / quantum[o]) in a sum of weights,
    and 2^shift times as much in the states behind it.

    profile: the chip whose weights these are, or None for the type's own range, unshifted.
    """

    steps: np.ndarray = None
    quantum: np.ndarray = None
    profile: Profile = None

    @property
    def shift(self):
        """Bits by which sums are shifted before they meet a state."""
        return 0 if self.profile is None else self.profile.weight_shift

    def in_sum(self, values):
        trailing = (1,) * (np.ndim(values) - 1)
        return (values * self.steps.reshape(-1, *trailing)) / self.quantum.reshape(-1, *trailing)

    def unrounded(self, values):
        return self.in_sum(values) * 2.0**self.shift

    def _fitting(self, whole, dtype):
        if not np.abs(whole).max(initial=0) <= np.iinfo(dtype).max:  # refuses NaN, too
            raise UnsupportedError(
                f"{self.node}: a bias, threshold or potential does not fit {np.dtype(dtype).name} "
                "in fixed point; run it in float32, or rescale the layer"
            )
        return whole.astype(dtype)

    def weight(self, values):
        found = np.empty(values.shape, self.weight_dtype)
        for rows, numbers in self.blocks(values):
            found[rows] = numbers.whole_weights(values[rows])[0]
        return found

    def rounding_of(self, values):
        """Of weights (out, ...): how many are rounded to 0, how many a profile clips, the largest error in
        membrane units."""
        n_zeroed, n_clipped, worst = 0, 0, 0.0
        for rows, numbers in self.blocks(values):
            whole, clipped = numbers.whole_weights(values[rows])
            n_zeroed += int(((whole == 0) & (values[rows] != 0)).sum())
            n_clipped += clipped
            scale = numbers.in_sum(np.ones(len(whole)))
            worst = max(worst, largest_error(numbers.in_sum(values[rows]), whole, scale))
        return n_zeroed, n_clipped, worst

    def blocks(self, values):
        """(slice of output channels, Numbers of these) of weights (out, ...): rounding them takes several
        arrays of float64 each, which for all weights of a large dense layer would be gigabytes."""
        size = max(1, MOST_ROUNDED * len(values) // max(values.size, 1))
        for first in range(0, len(values), size):
            rows = slice(first, first + size)
            steps, quantum = (np.broadcast_to(v, len(values))[rows] for v in (self.steps, self.quantum))
            yield rows, replace(self, steps=steps, quantum=quantum)

    def whole_weights(self, values):
        """Weights (out, ...) as whole numbers, float64, and how many a profile has clipped."""
        if self.profile is None:
            return half_away(self.in_sum(values)), 0
        step = self.profile.weight_step
        whole = step * half_away(self.in_sum(values) / step)
        kept = np.clip(whole, self.profile.lowest_weight, self.profile.highest_weight)
        return kept, int((kept != whole).sum())

    def amplitude(self, values):
        return self._fitting(half_away(self.in_sum(values)), np.int32)

    def unit(self, values):
        return self._fitting(half_away(self.unrounded(values)), np.int32)

    def factor(self, values):
        return self._fitting(half_away(4096 * values), np.int32)

    def decay(self, values):
        bits = 12 if self.profile is None else self.profile.decay_bits
        return half_away(2.0**bits * values).astype(np.int32)

    def above(self, threshold):
        return np.minimum(threshold.astype(np.int64) + 1, INT32_MAX).astype(np.int32)


def steps_per_quantum(kernels, quantum, label):
    """D per channel and the type of the weights; see the module's docstring."""
    for weight_dtype, fewest in ((np.dtype(np.int8), SMALLEST_INT8_D), (np.dtype(np.int16), 2)):
        limits = np.iinfo(weight_dtype)
        steps = _common_steps(kernels, quantum, limits.min, limits.max)
        if (steps >= fewest).all():
            return steps, weight_dtype
    raise UnsupportedError(
        f"{label}: its weights are more than 16383 times the quantum, which int16 cannot hold; "
        "run it in float32"
    )


def steps_in_profile(kernels, quantum, constants, profile, label):
    """D per channel with which the weights fit a profile's, and the constants (float64 (C,), largest
    threshold or amount) a quarter of its membrane: the rest is headroom."""
    steps = _common_steps(kernels, quantum, profile.lowest_weight, profile.highest_weight,
                          profile.weight_step)
    if profile.membrane_bits is not None:
        room = 2.0 ** (profile.membrane_bits - 2 - profile.weight_shift)
        steps = np.minimum(steps, 2 * np.floor(room * quantum / np.maximum(constants, 1e-300) / 2))
    if (steps < 2).any():
        raise UnsupportedError(
            f"{label}: its weights, thresholds and quanta are too far apart for profile "
            f"{profile.name!r} (weights of {profile.weight_bits} bits); widen the profile, or rescale "
            "the layer"
        )
    return steps


def _common_steps(kernels, quantum, low, high, step=1):
    steps = np.full(quantum.shape, float(LARGEST_D))
    for kernel in kernels:
        flat = kernel.reshape(kernel.shape[0], -1)
        steps = np.minimum(steps, [
            _largest_steps(row.min(), row.max(), delta, low, high, step)
            for row, delta in zip(flat, quantum)
        ])
    return steps


def _largest_steps(lowest, highest, delta, low_limit, high_limit, step):
    """Largest even D <= 2^14 with which both extremes, rounded to multiples of `step`, stay
    inside the limits."""

    def fits(steps):
        low, high = step * half_away((np.array([lowest, highest]) * steps) / delta / step)
        return low_limit <= low and high <= high_limit

    largest = max(abs(lowest), abs(highest))
    if largest == 0:
        return float(LARGEST_D)
    steps = 2 * floor(min(LARGEST_D, (high_limit + 2 * step) * float(delta) / float(largest)) / 2) + 2
    steps = min(LARGEST_D, steps)
    while steps > 0 and not fits(steps):
        steps -= 2
    return float(steps)


def readout_scale(unit, kernels, top=127.0):
    """Integer steps per unit of a readout: one for all its outputs, so that they compare. top: the
    largest weight. Below top / LARGEST_SCALE, weights round to fewer steps and in the end to 0."""
    largest = max((np.abs(kernel).max() for kernel in kernels), default=None)
    if largest is None:
        top = float(LARGEST_D)
        largest = max((np.abs(p.amplitude).max() for p in unit.paths if p.amplitude is not None), default=0)
    return np.full(unit.shape[0], min(top / largest, LARGEST_SCALE) if largest else 1.0)


def rectifier(u):
    """phi of the membrane potential rectifier MPR (InfLoR-SNN, eq. 9), u and phi in quanta."""
    if u < 0:
        return 1 - (1 - u) ** (1 / 3)
    if u <= 1:
        return tanh(3 * (u - 0.5)) / (2 * tanh(1.5)) + 0.5
    return u ** (1 / 3)


def smallest_passing(theta, quantum, steps, strict, dtype):
    """Smallest number of `dtype` whose phi is >= (or >) theta / quantum, by bisection.

    Integers count in quantum / steps. Floats are bisected in the order of their bit patterns."""
    theta, quantum, steps = float(theta), float(quantum), float(steps)
    target = theta / quantum
    integer = dtype.kind == "i"

    def passes(h):
        phi = rectifier(h / steps if integer else float(h) / quantum)
        return phi > target if strict else phi >= target

    if integer:
        low, high, number = -INT32_MAX, INT32_MAX, int
    else:
        bits = np.dtype(f"i{dtype.itemsize}")
        top = int(np.array(np.finfo(dtype).max, dtype).view(bits))
        low, high = -top, top

        def number(order):
            value = np.array(abs(order), bits).view(dtype)[()]
            return -value if order < 0 else value

    if not passes(number(high)):
        return INT32_MAX if integer else np.inf
    while low < high:
        middle = (low + high) // 2
        if passes(number(middle)):
            high = middle
        else:
            low = middle + 1
    return number(high)
