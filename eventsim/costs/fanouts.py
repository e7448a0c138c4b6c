"""Fan-outs: how many synapses each input of a synaptic node has, as the model has it.

Plain NumPy over the geometry of nodes of role "synapses"; nothing here knows how a run lays its
weights out, so that counts taken from it check those of a run.
"""

from itertools import product
from typing import NamedTuple

import numpy as np


class FanOuts(NamedTuple):
    """Synapses of one node.

    real: int64, shape of the node's input; targets of each input. Inputs at the border of a
        convolution have fewer, and strides leave some without any: padding is no target and no source.
    nonzero: int64, likewise; only synapses whose weight is not 0.
    dense: sum of `real`, the synapses of the node.
    padded: synapses counted as if every output read a full kernel, padding included; equals
        `dense` without padding.
    outputs: neurons that the node gives. positions: of them per channel.
    """

    real: np.ndarray
    nonzero: np.ndarray
    dense: int
    padded: int
    outputs: int
    positions: int


def fan_outs(node, shape) -> FanOuts:
    """Return the fan-outs of a node of role "synapses" that reads an input of `shape` (channels first)."""
    if hasattr(node, "spread_shape"):
        return _of_spread(node, shape)
    n_out = node.weight.shape[0]
    if not node.n_axes:  # fully connected
        real = np.full(shape, n_out, np.int64)
        nonzero = np.count_nonzero(node.weight, axis=0).astype(np.int64)
        return FanOuts(real, nonzero, node.weight.size, node.weight.size, n_out, 1)
    out_shape = node.output_shape(shape)
    real, nonzero = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    for tap in product(*map(range, node.weight.shape[2:])):
        inside = _inputs_at(tap, node, shape[1:], out_shape[1:])
        chosen = np.ix_(np.arange(shape[0]), *inside)
        real[chosen] += n_out // node.groups
        weights = node.weight[(slice(None), slice(None), *tap)]  # (out, in / groups)
        grouped = weights.reshape(node.groups, n_out // node.groups, -1)
        per_channel = np.count_nonzero(grouped, axis=1).reshape(-1)  # (in,)
        nonzero[chosen] += per_channel.reshape(-1, *(1 for _ in inside))
    positions = int(np.prod(out_shape[1:]))
    return FanOuts(real, nonzero, int(real.sum()), node.weight.size * positions, n_out * positions, positions)


def n_synapses(node, shape) -> int:
    """Return `fan_outs(node, shape).dense` without looking at every input, which takes seconds in a large
    network."""
    if hasattr(node, "spread_shape"):
        return fan_outs(node, shape).dense
    if not node.n_axes:
        return node.weight.size
    pairs = 1  # of a tap and an input position that it meets, axis by axis
    for n_taps, *axis in zip(node.weight.shape[2:], shape[1:], node.output_shape(shape)[1:], node.stride,
                             node.padding, node.dilation):
        pairs *= sum(len(_inputs_along(k, *axis)) for k in range(n_taps))
    return pairs * shape[0] * (node.weight.shape[0] // node.groups)


def _of_spread(node, shape):
    """Return the fan-outs of a transposed convolution: those of the convolution of the spread map, at the
    positions that exist."""
    wide = fan_outs(node.as_convolution(), node.spread_shape(shape))
    there = (slice(None), *(slice(0, (n - 1) * s + 1, s) for n, s in zip(shape[1:], node.stride)))
    real, nonzero = wide.real[there], wide.nonzero[there]
    padded = node.weight.size * int(np.prod(shape[1:]))
    return FanOuts(real, nonzero, int(real.sum()), padded, wide.outputs, wide.positions)


def _inputs_at(tap, node, sizes, out_sizes):
    """Return, per axis, the input positions that meet one tap of the kernel: each at most once."""
    return [_inputs_along(*axis) for axis in zip(tap, sizes, out_sizes, node.stride, node.padding, node.dilation)]


def _inputs_along(tap, size, n_out, stride, padding, dilation):
    positions = np.arange(n_out) * stride - padding + tap * dilation
    return positions[(positions >= 0) & (positions < size)]
