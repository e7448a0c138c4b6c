"""What statistics count of membranes."""

import math

import numpy as np
from numba import njit

from eventsim.kernels.compiling import compiled
from eventsim.kernels.vectors import at, put


@njit(inline="always")
def _bin(value, edges, per_unit):
    """The number of edges, evenly spaced, that are not above the value, a number. per_unit: about as many
    lie in a unit."""
    last = edges.size - 1
    first = at(edges, 0)
    if value < first:
        return 0
    if value >= at(edges, last):
        return edges.size
    k = min(np.int64((value - first) * per_unit), last - 1)
    while value < at(edges, k):  # where the product has rounded across an edge
        k -= 1
    while value >= at(edges, k + 1):
        k += 1
    return k + 1


@njit(inline="always")
def _count(array, offset):
    put(array, offset, at(array, offset) + 1)


@njit(inline="always")
def _rectified(u, most):
    """j + phi(u - j), see statistics.membranes.rectified."""
    j = min(max(np.floor(u), 0.0), most - 1.0)
    rest = u - j
    if rest < 0:
        return j + (1 - np.cbrt(1 - rest))
    if rest > 1:
        return j + np.cbrt(rest)
    return j + (math.tanh(3 * (rest - 0.5)) / (2 * math.tanh(1.5)) + 0.5)


@compiled
def note_membranes(potentials, residuals, levels, parameters, edges, histograms, distances, extremes, unusual,
                   sums, known, rows, neurons, rectifies, signed):
    """Where membranes were. potentials, residuals: F [row, neuron], a row being a step of a sample.
    levels: int32 like them, what was sent. parameters: float64 [5, neuron]: steps per unit of the
    membrane, the histograms' unit, quantum, first threshold in quanta, highest level. edges: float64.

    Adds to histograms int64 [3, edges + 1] of H, U and phi(H), and to distances int64 [bins + 1]; widens
    extremes float64 [2]; adds to unusual int64 [1] the H that are not finite. Writes sums float64 [4, row]
    of U, U^2, (H - level)^2 and (phi(H) - level)^2, and how many neurons went into the first two and the
    last two, known int64 [2, row]; see statistics.membranes."""
    n_bins = distances.size - 1
    per_unit = (edges.size - 1) / (at(edges, edges.size - 1) - at(edges, 0))
    span = edges.size + 1
    for row in range(rows):
        mean, square, error, rectified_error = 0.0, 0.0, 0.0, 0.0
        n_after, n_before = 0, 0
        for i in range(neurons):
            steps, unit, quantum = at(parameters, i), at(parameters, neurons + i), at(parameters, 2 * neurons + i)
            before = np.float64(at(potentials, row * neurons + i)) / steps
            after = np.float64(at(residuals, row * neurons + i)) / steps / unit
            if abs(after) < np.inf:
                _count(histograms, span + _bin(after, edges, per_unit))
                mean += after
                square += after * after
                n_after += 1
            if not abs(before) < np.inf:
                _count(unusual, 0)
                continue
            u, in_unit, phi = before / quantum, before / unit, 0.0
            most = at(parameters, 4 * neurons + i)
            _count(histograms, _bin(in_unit, edges, per_unit))
            if rectifies:
                phi = _rectified(u, most)
                _count(histograms, 2 * span + _bin(phi * (quantum / unit), edges, per_unit))
            n_before += 1
            put(extremes, 0, min(at(extremes, 0), in_unit))
            put(extremes, 1, max(at(extremes, 1), in_unit))
            level = np.float64(at(levels, row * neurons + i))
            error += (u - level) * (u - level)
            rectified_error += (phi - level) * (phi - level)
            over = (abs(u) if signed else u) - at(parameters, 3 * neurons + i)
            nearest = min(max(np.rint(over), 0.0), most - 1)
            _count(distances, np.int64(min(abs(over - nearest) * n_bins, np.float64(n_bins))))
        put(sums, row, mean)
        put(sums, rows + row, square)
        put(sums, 2 * rows + row, error)
        put(sums, 3 * rows + row, rectified_error)
        put(known, row, n_after)
        put(known, rows + row, n_before)
