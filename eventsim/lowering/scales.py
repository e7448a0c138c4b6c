"""How many steps of fixed point make one quantum."""

from math import floor

import numpy as np

from eventsim.errors import UnsupportedError
from eventsim.lowering.rounding import half_away

LARGEST_D = 1 << 14
LARGEST_SCALE = 2.0**1000  # of a readout, so that what is counted in it stays finite
SMALLEST_INT8_D = 16  # a coarser grid than 16 steps a quantum takes int16 weights instead


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


def steps_in_chip(kernels, quantum, constants, chip, label):
    """D per channel with which the weights fit a chip's, and the constants (float64 (C,), largest
    threshold or amount) a quarter of its membrane: the rest is headroom."""
    steps = _common_steps(kernels, quantum, chip.lowest_weight, chip.highest_weight,
                          chip.weight_step)
    if chip.membrane_bits is not None:
        room = 2.0 ** (chip.membrane_bits - 2 - chip.weight_shift)
        steps = np.minimum(steps, 2 * np.floor(room * quantum / np.maximum(constants, 1e-300) / 2))
    if (steps < 2).any():
        raise UnsupportedError(
            f"{label}: its weights, thresholds and quanta are too far apart for chip "
            f"{chip.name!r} (weights of {chip.weight_bits} bits); widen the chip, or rescale "
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
