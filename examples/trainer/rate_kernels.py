"""BatchNorm with the neurons behind it, and pools, on a CPU, with few passes over memory; see trainer.rates.

Arrays are float32; currents, spikes and what the loss says of them may be the int16 that bfloat16 has for bits.
y: (T, n), currents, or (1, n) for the same current in every step; n counts samples, rows, columns
and, last, channels. Threads share it in stretches of whole channels, about STRETCH elements, which stay in a cache
for all steps. Sums are added stretch by stretch, in order, so that results do not depend on the threads.
gain, shift: one number for each element of a stretch. steps: T. The neuron's settings are neuron_kernels'.
"""

import numpy as np
from numba import njit, prange

from trainer import rectifier

STRETCH = 2048
INSIDE, OUTSIDE = (tuple(map(np.float32, c)) for c in (rectifier.SHORT_INSIDE, rectifier.SHORT_OUTSIDE))
HALF, ONE, ZERO = np.float32(0.5), np.float32(1), np.float32(0)
FURTHEST = np.float32(rectifier.FURTHEST)
PLAIN = {"fastmath": {"contract", "nsz"}, "error_model": "numpy", "cache": True}


@njit(inline="always")
def _horner(q, s):
    """A polynomial of degree 8, written out: a loop inside another one keeps it from being vectorised."""
    return (((((((q[0] * s + q[1]) * s + q[2]) * s + q[3]) * s + q[4]) * s + q[5]) * s + q[6]) * s
            + q[7]) * s + q[8]


@njit(**PLAIN)
def _load(x, row):
    """row: float32, the numbers that x holds."""
    if x.itemsize == 4:
        for i in range(len(row)):
            row[i] = x[i]
    else:  # bfloat16 is the upper half of a float32
        bits = row.view(np.uint32)
        for i in range(len(row)):
            bits[i] = np.uint32(x[i]) << np.uint32(16)


@njit(**PLAIN)
def _store(row, x):
    """x: the numbers of a float32 row, which it can hold."""
    if x.itemsize == 4:
        for i in range(len(row)):
            x[i] = row[i]
    else:
        bits = row.view(np.uint32)
        for i in range(len(row)):
            x[i] = np.int16(bits[i] >> np.uint32(16))


@njit(**PLAIN)
def _integrate(y, gain, shift, residual, h, values, quantum, offset, most, leak, soft, v_reset):
    """One step of a stretch: membranes before firing and spikes' values; residual is moved on."""
    inverse = ONE / quantum
    for i in range(len(y)):
        potential = leak * residual[i] + (y[i] * gain[i] + shift[i])
        value = min(max(np.floor(potential * inverse + offset), ZERO), most) * quantum
        h[i] = potential
        values[i] = value
        if soft:
            residual[i] = potential - value
        else:
            residual[i] = potential if value == ZERO else v_reset


@njit(**PLAIN)
def _slopes(h, slopes, quantum, most, middle, reach, rectified):
    inverse = ONE / quantum
    for i in range(len(h)):
        u = h[i] * inverse
        v = u - min(max(np.floor(u), ZERO), most - ONE)
        distance = abs(v - HALF)
        inside, beyond = min(distance, HALF), min(max(distance - HALF, ZERO), FURTHEST)
        within = _horner(INSIDE, (inside * inside - np.float32(0.125)) * np.float32(8))
        without = _horner(OUTSIDE, (beyond - FURTHEST / 2) * (2 / FURTHEST))
        slope = within if distance <= HALF else without
        if not rectified:
            slope = ONE
        slopes[i] = slope if abs(u - middle) <= reach else ZERO


@njit(**PLAIN)
def _through_soft(grad, slopes, later, leak):
    """The gradient by the current of one step replaces slopes."""
    for i in range(len(grad)):
        g = (grad[i] - later[i]) * slopes[i] + later[i]
        later[i] = leak * g
        slopes[i] = g


@njit(**PLAIN)
def _through_hard(grad, slopes, later, leak, h, quantum, offset, most, v_reset):
    for i in range(len(grad)):
        u = h[i] / quantum
        kept = ONE if np.floor(u + offset) < ONE else ZERO
        if most == ONE:
            kept -= (h[i] - v_reset) * slopes[i] / quantum
        g = grad[i] * slopes[i] + later[i] * kept
        later[i] = leak * g
        slopes[i] = g


@njit(**PLAIN)
def _add(g, y, total, with_y):
    for i in range(len(g)):
        total[i] += g[i]
        with_y[i] += g[i] * y[i]


@njit(**PLAIN)
def _add_mean(x, each, mean):
    for i in range(len(x)):
        mean[i] += each * x[i]


@njit(**PLAIN)
def _by_channel(x, sums):
    """Add the elements of a stretch to the sums of their channels."""
    for i in range(0, len(x), len(sums)):
        for c in range(len(sums)):
            sums[c] += x[i + c]


@njit(parallel=True, error_model="numpy", cache=True)
def moments(y, stretch, sums):
    """Sums of y and of its squares by stretch and channel. sums: (stretches, 2, C), zeros."""
    for s in prange(len(sums)):
        first, last = s * stretch, min((s + 1) * stretch, y.shape[1])
        rows = np.zeros((3, last - first), np.float32)
        current, total, squares = rows[0], rows[1], rows[2]
        for t in range(len(y)):
            _load(y[t, first:last], current)
            _add(current, current, total, squares)
        _by_channel(total, sums[s, 0])
        _by_channel(squares, sums[s, 1])


@njit(parallel=True, error_model="numpy", cache=True)
def forwards(y, gain, shift, values, quantum, offset, most, leak, soft, v_reset):
    """values: (T, n), of the spikes."""
    n, stretch = y.shape[1], len(gain)
    for s in prange((n + stretch - 1) // stretch):
        first, last = s * stretch, min((s + 1) * stretch, n)
        rows = np.zeros((4, last - first), np.float32)
        current, residual, h, value = rows[0], rows[1], rows[2], rows[3]
        for t in range(len(values)):
            if t < len(y):
                _load(y[t, first:last], current)
            _integrate(current, gain, shift, residual, h, value, quantum, offset, most, leak, soft, v_reset)
            _store(value, values[t, first:last])


@njit(parallel=True, error_model="numpy", cache=True)
def backwards(grad_values, y, gain, shift, steps, mean_grad, mean_y, sums, quantum, offset, most, leak, soft,
              v_reset, middle, reach, rectified):
    """The means over the steps of the gradient by the current and of y, both (n,), and the gradient's sums.

    grad_values: (T, n), or (1, n) for the same in every step. mean_grad, mean_y: zeros. sums: (stretches, 2, C),
    zeros: of the gradient, and of the gradient times y. middle, reach: see neuron_kernels.backpropagate.
    """
    each = ONE / np.float32(steps)
    for s in prange(len(sums)):
        first, last = s * len(gain), min((s + 1) * len(gain), y.shape[1])
        h, g, currents = (np.empty((steps, last - first), np.float32), np.empty((steps, last - first), np.float32),
                          np.empty((len(y), last - first), np.float32))
        rows = np.zeros((5, last - first), np.float32)
        residual, later, total, with_y, grad = rows[0], rows[1], rows[2], rows[3], rows[4]
        for t in range(steps):
            if t < len(y):
                _load(y[t, first:last], currents[t])
            _integrate(currents[min(t, len(y) - 1)], gain, shift, residual, h[t], g[t], quantum, offset, most,
                       leak, soft, v_reset)
        for t in range(steps - 1, -1, -1):
            _slopes(h[t], g[t], quantum, most, middle, reach, rectified)
            if t < len(grad_values):
                _load(grad_values[t, first:last], grad)
            elif t == steps - 1:
                _load(grad_values[0, first:last], grad)
            if soft:
                _through_soft(grad, g[t], later, leak)
            else:
                _through_hard(grad, g[t], later, leak, h[t], quantum, offset, most, v_reset)
            current = currents[min(t, len(y) - 1)]
            _add(g[t], current, total, with_y)
            _add_mean(g[t], each, mean_grad[first:last])
            _add_mean(current, each, mean_y[first:last])
        _by_channel(total, sums[s, 0])
        _by_channel(with_y, sums[s, 1])


@njit(parallel=True, fastmath={"contract", "nsz"}, error_model="numpy", cache=True)
def through_norm(mean_grad, mean_y, gain, by_mean, by_y):
    """The gradient by y, mean over the steps, in place of that by the current: gain * mean_grad - by_mean - by_y *
    mean_y. By place and channel, (places, C); the others (C,)."""
    for p in prange(len(mean_grad)):
        for c in range(mean_grad.shape[1]):
            mean_grad[p, c] = gain[c] * mean_grad[p, c] - by_mean[c] - by_y[c] * mean_y[p, c]


@njit(parallel=True, error_model="numpy", cache=True)
def largest(x, pooled, winners):
    """The largest of each 2x2 places, and which one it was: 0 to 3, row by row, the first one of equals. Numbers
    of bfloat16, none of them negative, are as large as their bits.

    x: (T, N, H, W, C), H and W even; pooled: (T, N, H / 2, W / 2, C), winners: uint8, of that shape.
    """
    steps, n, height, width, _ = pooled.shape
    for at in prange(steps * n):
        t, i = at // n, at % n
        for r in range(height):
            for w in range(width):
                _largest_of(x[t, i, 2 * r, 2 * w], x[t, i, 2 * r, 2 * w + 1], x[t, i, 2 * r + 1, 2 * w],
                            x[t, i, 2 * r + 1, 2 * w + 1], pooled[t, i, r, w], winners[t, i, r, w])


@njit(**PLAIN)
def _largest_of(a, b, c, d, most, winners):
    for i in range(len(a)):
        above, below = max(a[i], b[i]), max(c[i], d[i])
        most[i] = max(above, below)
        in_above = np.uint8(0) if a[i] >= b[i] else np.uint8(1)
        in_below = np.uint8(2) if c[i] >= d[i] else np.uint8(3)
        winners[i] = in_above if above >= below else in_below


@njit(parallel=True, error_model="numpy", cache=True)
def to_largest(grads, winners, grad_x):
    """Set grad_x, the gradient by x of `largest`, (T, N, H, W, C). grads: (T, N, H / 2, W / 2, C), or (1, ...) for
    the same in every step."""
    steps, n, height, width, _ = winners.shape
    for index in prange(steps * n):
        t, i = index // n, index % n
        for r in range(height):
            for w in range(width):
                for k in range(4):
                    _where(winners[t, i, r, w], np.uint8(k), grads[t if len(grads) > 1 else 0, i, r, w],
                           grad_x[t, i, 2 * r + k // 2, 2 * w + k % 2])


@njit(**PLAIN)
def _where(winners, k, grad, grad_x):
    for i in range(len(grad_x)):
        grad_x[i] = grad[i] if winners[i] == k else grad_x.dtype.type(0)
