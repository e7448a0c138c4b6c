"""`Neuron` on a CPU, all steps in one pass over memory: the same spikes, the same gradients.

PyTorch computes the rectifier's slope in some twenty passes over memory; these loops take one. They say what
`neurons.Neuron` says, for its rectangular surrogate; numbers are float32.
"""

import numpy as np
from numba import njit

from trainer import rectifier

LARGEST_BEYOND = np.float32(rectifier.FURTHEST)
INSIDE, OUTSIDE = (tuple(map(np.float32, c)) for c in (rectifier.INSIDE, rectifier.OUTSIDE))


@njit(cache=True, inline="always")
def _evaluate(coefficients, s):
    y = coefficients[0]
    for c in coefficients[1:]:
        y = y * s + c
    return y


@njit(cache=True, fastmath={"contract", "nsz"}, error_model="numpy")
def rectifier_slope(u, most):
    """phi' around each level (eq. 9), u in quanta, `most` the highest level."""
    half = np.float32(0.5)
    v = u - min(max(np.floor(u), np.float32(0)), most - np.float32(1))
    distance = abs(v - half)
    inside = min(distance, half)
    beyond = min(max(distance - half, np.float32(0)), LARGEST_BEYOND)
    within = _evaluate(INSIDE, (inside * inside - np.float32(0.125)) * np.float32(8))
    without = _evaluate(OUTSIDE, (beyond - LARGEST_BEYOND / 2) * (2 / LARGEST_BEYOND))
    return without if distance > half else within


@njit(cache=True, error_model="numpy")
def integrate(current, potentials, values, residual, quantum, offset, most, leak, soft, v_reset):
    """Run neurons for all steps. current, potentials, values: (T, n); residual: (n,), zeros.

    offset: 1 - v_threshold / quantum. Sums and products are PyTorch's, in its order.
    """
    zero = np.float32(0)
    for t in range(len(current)):
        for i in range(current.shape[1]):
            h = leak * residual[i] + current[t, i]
            level = min(max(np.floor(h / quantum + offset), zero), most)
            value = level * quantum
            potentials[t, i] = h
            values[t, i] = value
            if soft:
                residual[i] = h - value
            else:
                residual[i] = h if level == zero else v_reset


@njit(cache=True, fastmath={"contract", "nsz"}, error_model="numpy")
def backpropagate(grad_values, potentials, grad, later, quantum, offset, most, leak, soft, v_reset, middle,
                  reach, rectified):
    """Gradient by the current, backwards in time. grad_values, potentials, grad: (T, n); later: (n,), zeros.

    middle, reach: the surrogate is 1 for membranes (in quanta) so far from there, else 0.
    """
    zero, one = np.float32(0), np.float32(1)
    for t in range(len(grad) - 1, -1, -1):
        for i in range(grad.shape[1]):
            h = potentials[t, i]
            u = h / quantum
            slope = one if abs(u - middle) <= reach else zero
            if rectified:
                slope = slope * rectifier_slope(u, most)
            if soft:
                g = (grad_values[t, i] - later[i]) * slope + later[i]
            else:
                silent = one if np.floor(u + offset) < one else zero
                kept = silent - (h - v_reset) * slope / quantum if most == one else silent
                g = grad_values[t, i] * slope + later[i] * kept
            grad[t, i] = g
            later[i] = leak * g
