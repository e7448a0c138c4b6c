"""Composing: synapses that read synapses, with no neurons between, become one array of synapses.

Every composed weight is the exact sum of its products, rounded once to float64. The factors are parted into
integers so small that float64 holds the sums of their products without rounding: their order, and with it the
machine, does not matter.
"""

from dataclasses import replace
from math import ceil, gcd, log2
from typing import NamedTuple, Tuple

import numpy as np

from eventsim.lowering.linear import Current, exact_sum, Path, Term

LARGEST_WEIGHT = 1 << 22  # numbers of a composed weight
MOST_PRODUCTS = 1 << 33  # of all its sums together
AT_A_TIME = 1 << 18  # composed weights that are summed: each part of their sums is an array
TOGETHER = 4  # sums of one exponent that are added
MANTISSA = 53


class TooLarge(Exception):
    """A composed weight beyond what is computed. Its text says how large it would be."""


class Window(NamedTuple):
    """How a convolution's window moves, (y, x) each."""

    stride: Tuple[int, int] = (1, 1)
    padding: Tuple[int, int] = (0, 0)
    dilation: Tuple[int, int] = (1, 1)


def dense_of_current(weight, current) -> Current:
    """Fully connected synapses of a current. weight: float64 (out, C * H * W) of the current's map.

    Raises TooLarge."""
    weight = weight.reshape(len(weight), *current.shape)
    paths = [_dense_of_path(weight, path) for path in current.paths]
    terms = [
        Term(_exact(len(weight[0].ravel()), weight.reshape(len(weight), -1),
                    _on_map(term, current.shape).reshape(-1, 1),
                    np.matmul)[:, :, None], term.first_step)
        for term in current.terms
    ]
    return Current((len(weight), 1, 1), paths, terms)


def _dense_of_path(weight, path):
    n_out = len(weight)
    n_weights, per_output = n_out * int(np.prod(path.source_shape)), path.weight[0].size
    _refuse_large(n_weights, weight.size * per_output,
                  f"{n_out:,} x {n_weights // n_out:,} weights")
    n_products = path.weight.size // path.weight.shape[1] // path.groups

    def spread_back(outer, inner):
        return _spread_back(outer, inner, path)

    step = max(1, AT_A_TIME * n_out // n_weights)
    composed = np.concatenate([
        _exact(n_products, weight[first : first + step], path.weight, spread_back)
        for first in range(0, n_out, step)
    ])
    if path.spread != (1, 1):  # positions between those that exist give nothing
        exists = np.zeros(composed.shape, bool)
        exists[:, :, :: path.spread[0], :: path.spread[1]] = True
        composed[~exists] = 0
    return Path(path.unit, path.delay, path.source_shape, path.scale, composed, real=path.real, spread=path.spread)


def _spread_back(outer, inner, path):
    """outer (n, out, H, W) of a path's map, inner (out, in / groups, kH, kW) of its synapses -> (n, in, y, x) of
    what the path reads."""
    n_groups, n = path.groups, len(outer)
    n_in, kernel = inner.shape[1], inner.shape[2:]
    composed = np.zeros((n_groups, n_in, n, *path.source_shape[1:]))
    outer = outer.reshape(n, n_groups, -1, *outer.shape[2:]).transpose(1, 2, 0, 3, 4)  # (groups, out, n, H, W)
    inner = inner.reshape(n_groups, -1, n_in, *kernel)
    for tap in np.ndindex(*kernel):
        (ys, y), (xs, x) = (
            _reached(outer.shape[3 + axis], path.source_shape[1 + axis], path.stride[axis],
                     tap[axis] * path.dilation[axis] - path.padding[axis]) for axis in (0, 1)
        )
        part = outer[:, :, :, ys, xs]
        if not part.size:
            continue
        sums = inner[..., tap[0], tap[1]].swapaxes(1, 2) @ part.reshape(*part.shape[:2], -1)
        composed[..., y, x] += sums.reshape(n_groups, n_in, *part.shape[2:])
    return composed.transpose(2, 0, 1, 3, 4).reshape(n, n_groups * n_in, *path.source_shape[1:])


def _reached(n_out, size, stride, shift):
    """(slice of outputs, slice of inputs) of one axis: output i meets input i * stride + shift."""
    first = max(0, -(shift // stride))
    last = min(n_out - 1, (size - 1 - shift) // stride)
    if last < first:
        return slice(0, 0), slice(0, 0)
    return slice(first, last + 1), slice(first * stride + shift, last * stride + shift + 1, stride)


def convolution_of_current(weight, groups, window, current, shape) -> Current:
    """A convolution of a current, on a map of `shape`; None where the padding of the convolution would have to
    hide what the synapses before it give there. weight: float64 (out, in / groups, kH, kW). Raises TooLarge."""
    if not all(_empty_outside(current.shape, path, window, weight.shape[2:]) for path in current.paths):
        return None
    paths = [_convolution_of_path(weight, groups, window, path) for path in current.paths]
    terms = []
    for term in current.terms:
        values = _on_map(term, current.shape)
        sums = _exact(weight[0].size, weight, values, lambda w, v: _convolved(w, v, groups, window, shape))
        terms.append(Term(sums, term.first_step))
    return Current(shape, paths, terms)


def _empty_outside(shape, path, window, kernel):
    """Whether a path gives nothing at the positions beyond its map that a window on it meets."""
    for axis in (0, 1):
        size, taps = shape[1 + axis], np.arange(path.weight.shape[2 + axis]) * path.dilation[axis]
        reach = (kernel[axis] - 1) * window.dilation[axis]
        n_out = (size + 2 * window.padding[axis] - reach - 1) // window.stride[axis] + 1
        met = np.add.outer(np.arange(n_out) * window.stride[axis] - window.padding[axis],
                           np.arange(kernel[axis]) * window.dilation[axis])
        beyond = np.unique(met[(met < 0) | (met >= size)])
        read = np.add.outer(beyond * path.stride[axis] - path.padding[axis], taps)
        if ((read >= 0) & (read < path.source_shape[1 + axis])).any():
            return False
    return True


def _convolution_of_path(weight, groups, window, path):
    n_groups = gcd(groups, path.groups)
    outer, inner = _grouped(weight, groups, n_groups), _grouped(path.weight, path.groups, n_groups)
    extent = tuple((k1 - 1) * d1 + 1 + (k2 - 1) * d2 * s for k1, d1, k2, d2, s in
                   zip(inner.shape[3:], path.dilation, outer.shape[3:], window.dilation, path.stride))
    shape = (len(weight), inner.shape[2], *extent)
    _refuse_large(int(np.prod(shape)), outer.size * inner[0, 0].size, " x ".join(map(str, shape)) + " weights")
    n_products = outer.shape[2] * int(np.prod(outer.shape[3:]))

    def combined(outer, inner):
        composed = np.zeros((n_groups, outer.shape[1], inner.shape[2], *extent))
        for tap in np.ndindex(*outer.shape[3:]):
            first = [t * d * s for t, d, s in zip(tap, window.dilation, path.stride)]
            y, x = (slice(f, f + (k - 1) * d + 1, d) for f, k, d in zip(first, inner.shape[3:], path.dilation))
            sums = outer[..., tap[0], tap[1]] @ inner.reshape(*inner.shape[:2], -1)
            composed[..., y, x] += sums.reshape(*sums.shape[:2], *inner.shape[2:])
        return composed

    composed = _exact(n_products, outer, inner, combined)
    return replace(
        path, weight=composed.reshape(shape), groups=n_groups, dilation=(1, 1),
        stride=tuple(a * b for a, b in zip(path.stride, window.stride)),
        padding=tuple(p + q * s for p, q, s in zip(path.padding, window.padding, path.stride)),
    )


def _grouped(weight, groups, n_groups):
    """Weights (out, in / groups, kH, kW) as (n_groups, out, in, kH, kW) of fewer groups, with zeros between."""
    n_out, n_in = weight.shape[0] // groups, weight.shape[1]
    per = groups // n_groups
    wide = np.zeros((n_groups, per, n_out, per, n_in, *weight.shape[2:]))
    for i in range(per):
        wide[:, i, :, i] = weight.reshape(n_groups, per, n_out, n_in, *weight.shape[2:])[:, i]
    return wide.reshape(n_groups, per * n_out, per * n_in, *weight.shape[2:])


def _convolved(weight, values, groups, window, shape):
    """A convolution of one map (in, H, W), on the map `shape`."""
    n_in = weight.shape[1]
    sums = np.zeros((groups, len(weight) // groups, *shape[1:]))
    weight = weight.reshape(groups, -1, *weight.shape[1:])
    values = values.reshape(groups, n_in, *values.shape[1:])
    for tap in np.ndindex(*weight.shape[3:]):
        (ys, y), (xs, x) = (
            _reached(shape[1 + axis], values.shape[2 + axis], window.stride[axis],
                     tap[axis] * window.dilation[axis] - window.padding[axis]) for axis in (0, 1)
        )
        part = values[:, :, y, x]
        if not part.size:
            continue
        products = weight[..., tap[0], tap[1]] @ part.reshape(groups, n_in, -1)
        sums[:, :, ys, xs] += products.reshape(groups, -1, *part.shape[2:])
    return sums.reshape(shape)


def _on_map(term, shape):
    return np.ascontiguousarray(np.broadcast_to(term.value, shape))


def _refuse_large(n_weights, n_products, text):
    if n_weights > LARGEST_WEIGHT:
        raise TooLarge(f"composed with them it would have {text}, expected at most {LARGEST_WEIGHT:,} of them")
    if n_products > MOST_PRODUCTS:
        raise TooLarge(f"to compose it with them would take {n_products:,} products, expected at most "
                       f"{MOST_PRODUCTS:,}")


# ---- exact sums of products


def _exact(n_products, a, b, bilinear):
    """bilinear(a, b), whose every element is a sum of at most `n_products` products of elements of a and b,
    exactly, rounded once; NaN, which no precision takes, where it leaves float64."""
    bits = (MANTISSA - ceil(log2(max(n_products * TOGETHER, 1)))) // 2
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        return np.full(np.shape(bilinear(a, b)), np.nan)
    parts = _added([(bilinear(x, y), p + q)
                    for x, p in _integer_parts(a, bits) for y, q in _integer_parts(b, bits)])
    if not parts:
        return bilinear(np.zeros_like(a), np.zeros_like(b))
    last = max(exponent for _, exponent in parts)
    scaled = [np.ldexp(values, exponent - last) for values, exponent in parts]
    sums = np.ldexp(_rounded_sum(scaled), last)
    return np.where(np.isfinite(sums), sums, np.nan) + 0.0


def _rounded_sum(parts):
    """The exact sum of arrays, rounded once, elementwise."""
    high, low, remainder = parts[0], np.zeros_like(parts[0]), np.zeros_like(parts[0])
    for part in parts[1:]:
        high, error = _two_sum(high, part)
        low, error = _two_sum(low, error)
        remainder += np.abs(error)
    sums, error = _two_sum(high, low)
    if not remainder.any():  # high + low is the sum, and one IEEE addition rounds it
        return sums
    # the remainder decides only where the error is as near to the middle between two numbers
    half, size = np.spacing(np.abs(sums)) / 2, np.abs(error)
    near = (np.abs(size - half) <= 2 * remainder) | (np.abs(size - half / 2) <= 2 * remainder) | ~np.isfinite(sums)
    for index in zip(*np.nonzero(near & (remainder > 0))):
        sums[index] = exact_sum([float(part[index]) for part in parts])
    return sums


def _two_sum(a, b):
    """Return (a + b rounded, what that leaves out), exactly."""
    total = a + b
    part_b = total - a
    return total, (a - (total - part_b)) + (b - part_b)


def _added(parts):
    """Return parts (integers, exponent) with those of one exponent added, so few that the sums are exact, too."""
    sums = []
    for values, exponent in parts:
        for entry in sums:
            if entry[1] == exponent and entry[2] < TOGETHER:
                entry[0], entry[2] = entry[0] + values, entry[2] + 1
                break
        else:
            sums.append([values, exponent, 1])
    return [(values, exponent) for values, exponent, _ in sums]


def _integer_parts(values, bits):
    """Return [(integers below 2^bits as float64, exponent)] that make up some values exactly, the largest
    first."""
    parts = []
    while values.any():
        exponent = int(np.frexp(np.abs(values).max())[1]) - bits
        integers = np.trunc(np.ldexp(values, -exponent))
        parts.append((integers, exponent))
        values = values - np.ldexp(integers, exponent)
    return parts
