"""Sums, counts and histograms of membranes."""

import math

import numpy as np

from eventsim.kernels.compiling import compiled, inlined
from eventsim.kernels.vectors import load_one, store_one

HEIGHT = 2 * math.tanh(1.5)  # Numba would work it out for each membrane


@inlined
def _bin(value, edges, per_unit):
    """Return the number of edges, evenly spaced, that are not above the value, which is not NaN. per_unit: about
    as many edges lie in a unit."""
    last = edges.size - 1
    first = load_one(edges, 0)
    if value < first:
        return 0
    if value >= load_one(edges, last):
        return edges.size
    k = min(np.int64((value - first) * per_unit), last - 1)
    while value < load_one(edges, k):  # where the product has rounded across an edge
        k -= 1
    while value >= load_one(edges, k + 1):
        k += 1
    return k + 1


@inlined
def _count(array, offset):
    store_one(array, offset, load_one(array, offset) + 1)


@inlined
def _rectified(u, most):
    """Return j + phi(u - j), to the bit `model.rectifier.rectified`; most: its n_levels."""
    j = min(max(np.floor(u), 0.0), most - 1.0)
    rest = u - j
    if rest < 0:
        return j + (1 - (1 - rest) ** (1 / 3))
    if rest > 1:
        return j + rest ** (1 / 3)
    return j + (math.tanh(3 * (rest - 0.5)) / HEIGHT + 0.5)


@compiled
def note_membranes(traces, parameters, edges, noted, rows, neurons, rectifies, signed):
    """Note where membranes were. traces: MembraneTraces. parameters: float64 [5, neuron]: steps per unit of
    the membrane, the histograms' unit, quantum, first threshold in quanta, highest level. edges: float64.

    noted: MembraneSums. Adds to its histograms, distances and unusual, widens its extremes, and writes
    its sums and known; see statistics.membranes."""
    potentials, residuals, levels = traces.potentials, traces.residuals, traces.levels
    histograms, distances, extremes, unusual = noted.histograms, noted.distances, noted.extremes, noted.unusual
    sums, known = noted.sums, noted.known
    n_bins = distances.size - 1
    per_unit = (edges.size - 1) / (load_one(edges, edges.size - 1) - load_one(edges, 0))
    span = edges.size + 1
    for row in range(rows):
        mean, square, error, rectified_error = 0.0, 0.0, 0.0, 0.0
        n_after, n_before = 0, 0
        for i in range(neurons):
            steps, unit = load_one(parameters, i), load_one(parameters, neurons + i)
            quantum = load_one(parameters, 2 * neurons + i)
            before = np.float64(load_one(potentials, row * neurons + i)) / steps
            after = np.float64(load_one(residuals, row * neurons + i)) / steps / unit
            if abs(after) < np.inf:
                _count(histograms, span + _bin(after, edges, per_unit))
                mean += after
                square += after * after
                n_after += 1
            if not abs(before) < np.inf:
                _count(unusual, 0)
                continue
            u, in_unit, phi = before / quantum, before / unit, 0.0
            most = load_one(parameters, 4 * neurons + i)
            _count(histograms, _bin(in_unit, edges, per_unit))
            if rectifies:
                phi = _rectified(u, most)
                _count(histograms, 2 * span + _bin(phi * (quantum / unit), edges, per_unit))
            n_before += 1
            store_one(extremes, 0, min(load_one(extremes, 0), in_unit))
            store_one(extremes, 1, max(load_one(extremes, 1), in_unit))
            level = np.float64(load_one(levels, row * neurons + i))
            error += (u - level) * (u - level)
            rectified_error += (phi - level) * (phi - level)
            over = (abs(u) if signed else u) - load_one(parameters, 3 * neurons + i)
            nearest = min(max(np.rint(over), 0.0), most - 1)
            _count(distances, np.int64(min(abs(over - nearest) * n_bins, np.float64(n_bins))))
        store_one(sums, row, mean)
        store_one(sums, rows + row, square)
        store_one(sums, 2 * rows + row, error)
        store_one(sums, 3 * rows + row, rectified_error)
        store_one(known, row, n_after)
        store_one(known, rows + row, n_before)
