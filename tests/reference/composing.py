"""Synapses that read weighted sums, with no neurons between: every synapse before them meets every one behind."""

import math
from dataclasses import replace

import numpy as np
from reference.synapses import Current, Kernel, Term

SMALLEST = 1 << 1074  # float64 numbers times this are whole


def whole(value):
    """A float64 number as a whole number of the smallest one that float64 has."""
    n, d = float(value).as_integer_ratio()
    return n * (SMALLEST // d)


def rounded_once(total):
    """float64 of a sum of products of two `whole` numbers; NaN beyond float64."""
    try:
        return total / SMALLEST**2
    except OverflowError:
        return math.nan


def _rounded_all(totals, shape):
    return np.array([rounded_once(total) for total in totals]).reshape(shape)


def _wholes(values):
    found = np.empty(values.size, object)
    found[:] = [whole(value) for value in values.ravel()]
    return found.reshape(values.shape)


def through_dense(weight, current, n_before):
    """A Dense of weight (out, n_before) that reads a current of `n_before` neurons."""
    rows = _wholes(weight)
    paths = [replace(path, kernel=_dense_kernel(rows, path)) for path in current.paths]
    terms = []
    for term in current.terms:
        values = _wholes(np.repeat(term.values, n_before // term.values.size))
        sums = [sum(w * v for w, v in zip(row, values)) for row in rows]
        terms.append(Term(term.first, _rounded_all(sums, len(rows)), False))
    return Current(paths, terms)


def _dense_kernel(rows, path):
    kernel = path.kernel
    channels, height, width = kernel.grid
    n_out, n_rows, n_columns = kernel.out_grid
    per_in, per_out = channels // kernel.groups, n_out // kernel.groups
    values = _wholes(kernel.weight)
    totals = np.zeros((len(rows), channels, height, width), object)
    for y in range(height):
        for x in range(width):
            if path.present is not None and y * width + x not in path.present:
                continue
            for row, column, ky, kx in kernel.synapses(y, x):
                for c in range(channels):
                    for o in range(c // per_in * per_out, (c // per_in + 1) * per_out):
                        neuron = (o * n_rows + row) * n_columns + column
                        w = values[neuron if kernel.untied else o, c % per_in, ky, kx]
                        totals[:, c, y, x] += rows[:, neuron] * w
    weight = _rounded_all(totals.ravel().tolist(), totals.shape)
    return Kernel(weight, kernel.grid, (len(rows), 1, 1))


def reads_beyond(outer, kernel):
    """Whether a row or column around the map, which `outer` pads, would be given anything by `kernel`."""
    for axis in (0, 1):
        size, read_size = kernel.out_grid[1 + axis], kernel.grid[1 + axis]
        for i in range(outer.out_grid[1 + axis]):
            for k in range(outer.weight.shape[2 + axis]):
                at = i * outer.stride[axis] - outer.padding[axis] + k * outer.dilation[axis]
                if 0 <= at < size:
                    continue
                first = at * kernel.stride[axis] - kernel.padding[axis]
                for tap in range(kernel.weight.shape[2 + axis]):
                    if 0 <= first + tap * kernel.dilation[axis] < read_size:
                        return True
    return False


def through_convolution(outer, current, n_before):
    """A convolution, the Kernel `outer`, that reads a current of `n_before` neurons."""
    paths = [replace(path, kernel=_convolution_kernel(outer, path.kernel)) for path in current.paths]
    terms = [
        Term(term.first, _convolved(outer, np.repeat(term.values, n_before // term.values.size)), True)
        for term in current.terms
    ]
    return Current(paths, terms)


def _convolution_kernel(outer, inner):
    groups = math.gcd(outer.groups, inner.groups)
    n_out, n_middle, n_in = outer.out_grid[0], inner.out_grid[0], inner.grid[0]
    taps = {}
    for o in range(n_out):
        for m in _reads_channels(o, outer, n_out, n_middle):
            for c in _reads_channels(m, inner, n_middle, n_in):
                for ky, kx in np.ndindex(*outer.weight.shape[2:]):
                    for jy, jx in np.ndindex(*inner.weight.shape[2:]):
                        at = (o, c,
                              ky * outer.dilation[0] * inner.stride[0] + jy * inner.dilation[0],
                              kx * outer.dilation[1] * inner.stride[1] + jx * inner.dilation[1])
                        product = whole(outer.weight[o, m % outer.weight.shape[1], ky, kx]) * whole(
                            inner.weight[m, c % inner.weight.shape[1], jy, jx])
                        taps[at] = taps.get(at, 0) + product
    height, width = (1 + max(at[2 + axis] for at in taps) for axis in (0, 1))
    weight = np.zeros((n_out, n_in // groups, height, width))
    for (o, c, y, x), total in taps.items():
        weight[o, c % (n_in // groups), y, x] = rounded_once(total)
    stride, padding = zip(*(
        (s1 * s2, p1 + p2 * s1)
        for s1, s2, p1, p2 in zip(inner.stride, outer.stride, inner.padding, outer.padding)
    ))
    return Kernel(weight, inner.grid, outer.out_grid, stride, padding, (1, 1), groups)


def _reads_channels(o, kernel, n_out, n_in):
    """The channels that output channel o of a grouped convolution reads."""
    group = o // (n_out // kernel.groups)
    return range(group * (n_in // kernel.groups), (group + 1) * (n_in // kernel.groups))


def _convolved(outer, values):
    channels, height, width = outer.grid
    n_out, n_rows, n_columns = outer.out_grid
    values = _wholes(values).reshape(channels, height, width)
    totals = np.zeros((n_out, n_rows, n_columns), object)
    for y in range(height):
        for x in range(width):
            for row, column, ky, kx in outer.synapses(y, x):
                for o in range(n_out):
                    for c in _reads_channels(o, outer, n_out, channels):
                        w = whole(outer.weight[o, c % outer.weight.shape[1], ky, kx])
                        totals[o, row, column] += w * values[c, y, x]
    return _rounded_all(totals.ravel().tolist(), -1)
