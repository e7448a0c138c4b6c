"""Thresholds and amounts of neurons, as numbers of the run's type."""

from math import tanh

import numpy as np

from eventsim.lowering.linear import exact_sum
from eventsim.lowering.rounding import INT32_MAX
from eventsim.model.parameters import parameter_on

# what `kernels.firing._fire_plain` leaves out
SPECIAL = ("signed", "reset_delay", "filters", "drives", "gains", "limited", "pauses", "reset_interval")


def stacked(planes, dtype):
    if not planes:
        return np.zeros((0, 1, 1), dtype)
    return np.ascontiguousarray(np.stack(planes))


def firing_thresholds(unit, quantum):
    """c_b = theta - delta + 2^b delta exactly rounded, float64 (C, n_bits, H, W), and theta."""
    theta = parameter_on(unit.node.v_threshold, unit.logical_shape, "v_threshold").reshape(unit.shape)
    flat = theta.reshape(unit.shape[0], -1)
    exact = np.empty((unit.shape[0], unit.n_bits, flat.shape[1]))
    known = {}
    for c, delta in enumerate(quantum.tolist()):
        constant = (flat[c] == flat[c, 0]).all()
        for p, t in enumerate(flat[c, :1].tolist() if constant else flat[c].tolist()):
            if (t, delta) not in known:
                known[t, delta] = [exact_sum((t, -delta, 2.0**b * delta)) for b in range(unit.n_bits)]
            where = slice(None) if constant else slice(p, p + 1)
            exact[c, :, where] = np.array(known[t, delta])[:, None]
    return exact.reshape(unit.shape[0], unit.n_bits, *unit.shape[1:]), theta


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
