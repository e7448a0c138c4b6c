"""Scales: which numbers a layer has; in fixed point, how many steps make one quantum."""

from typing import NamedTuple

import numpy as np

from eventsim.errors import UnsupportedError
from eventsim.lowering.rounding import FixedPoint, half_away, Numbers

LARGEST_D = 1 << 14
LARGEST_SCALE = 2.0**1000  # of a readout, so that what is counted in it stays finite
SMALLEST_INT8_D = 16  # a coarser grid than 16 steps a quantum takes int16 weights instead


def numbers_of(unit, dtype, chip) -> Numbers:
    """Return the numbers of a layer: a cast to floats, or integers with a scale chosen from its weights.

    Raises UnsupportedError where no scale fits.
    """
    if dtype.kind != "i":
        return Numbers(dtype, dtype, unit.label)
    kernels = [path.weight for path in unit.synapses if path.weight is not None]
    if not all(np.isfinite(kernel).all() for kernel in kernels):
        raise UnsupportedError(
            f"{unit.label}: its weights, times what is folded into them, are larger than float64 holds; "
            "rescale the layer"
        )
    reads_out = unit.node.role == "readout"
    quantum = np.ones(unit.shape[0]) if reads_out else unit.per_channel("quantum")
    if chip is None:
        if reads_out:
            return FixedPoint(dtype, np.dtype(np.int8), unit.label, readout_scale(unit, kernels), quantum)
        steps, weight_dtype = steps_per_quantum(kernels, quantum, unit.label)
        return FixedPoint(dtype, weight_dtype, unit.label, steps, quantum)
    steps = _steps_of_chip(unit, kernels, quantum, chip)
    if unit.node.resolution is not None:
        quantum = np.ones(unit.shape[0])
    numbers = FixedPoint(dtype, np.dtype(np.int8), unit.label, steps, quantum, chip)
    rounded = [numbers.integer_weights(kernel)[0] for kernel in kernels]
    if any(weights.min() < -128 or weights.max() > 127 for weights in rounded):
        numbers.weight_dtype = np.dtype(np.int16)
    return numbers


def _steps_of_chip(unit, kernels, quantum, chip):
    """Return D per channel under a chip: the node's own resolution, or what fits its weights."""
    node = unit.node
    if node.resolution is not None:
        return np.full(unit.shape[0], node.resolution / 2.0**chip.weight_shift)
    if node.role == "readout":
        return readout_scale(unit, kernels, chip.highest_weight)
    constants = quantum if node.sends == "changes" else quantum * 2.0 ** (unit.n_bits - 1)
    theta = unit.on_map("v_threshold").reshape(unit.shape[0], -1)
    constants = np.maximum(constants, np.abs(theta).max(axis=1))
    steps = steps_in_chip(kernels, quantum, constants, chip, unit.label)
    # every plane of a message has to fit int32
    most_steps = 2.0 ** (30 - (unit.n_bits - 1) - chip.weight_shift)
    return np.minimum(steps, max(most_steps, 2.0))


def steps_per_quantum(kernels, quantum, label):
    """Return D per channel and the type of the weights; see `rounding`."""
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
    """Return D per channel with which the weights fit a chip's, and the constants (float64 (C,), largest
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
        limits = _Limits(low, high, step)
        steps = np.minimum(steps, _largest_steps(flat.min(axis=1), flat.max(axis=1), quantum, limits))
    return steps


class _Limits(NamedTuple):
    """The limits of integer weights, which are multiples of `step`."""

    low: int
    high: int
    step: int


def _largest_steps(lowest, highest, quantum, limits):
    """Return the largest even D <= 2^14 of each channel with which its lowest and highest weight, rounded to
    multiples of the step, stay inside the limits; 0 where there is none."""
    largest, step = np.maximum(np.abs(lowest), np.abs(highest)), limits.step
    with np.errstate(divide="ignore", over="ignore"):
        most_steps = np.minimum(LARGEST_D, (limits.high + 2 * step) * quantum / largest)
    steps = np.where(largest == 0, LARGEST_D, np.minimum(LARGEST_D, 2 * np.floor(most_steps / 2) + 2))
    open_channels = np.flatnonzero(largest)
    while open_channels.size:
        low, high = (step * half_away(value[open_channels] * steps[open_channels] / quantum[open_channels] / step)
                     for value in (lowest, highest))
        open_channels = open_channels[~((limits.low <= low) & (high <= limits.high))]
        steps[open_channels] -= 2
        open_channels = open_channels[steps[open_channels] > 0]
    return steps


def readout_scale(unit, kernels, top=127.0):
    """Return the integer steps per unit of a readout: one number for all its outputs, so that they compare. top:
    the largest weight. Below top / LARGEST_SCALE, weights round to fewer steps and in the end to 0."""
    largest = max((np.abs(kernel).max() for kernel in kernels), default=None)
    if largest is None:
        top = float(LARGEST_D)
        largest = max((np.abs(p.amplitude).max() for p in unit.synapses if p.amplitude is not None), default=0)
    return np.full(unit.shape[0], min(top / largest, LARGEST_SCALE) if largest else 1.0)
