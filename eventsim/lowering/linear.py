"""Trains, paths, terms: the linear part of a model (and maxima of it), in float64, and its algebra.

All arithmetic is elementwise float64 in the order written, sums are `math.fsum`: the constants
do not depend on the machine.
"""

from dataclasses import dataclass, replace
from math import fsum, nan, prod
from typing import List, Optional, Tuple, Union

import numpy as np

from eventsim.model.node import Node

MapShape = Tuple[int, int, int]  # (channels, height, width)
UNEQUAL = "a sum of unequal quanta"  # what messages call several trains
SHIFTED = "values whose zero is shifted (mean or BatchNorm)"  # and a train with an offset


@dataclass
class Train:
    """Spikes as a reader sees them: a level k of channel c has the value k * scale[c] + offset[c].

    unit: name of the unit that emits them. delay: steps. shape: (C, H, W) of the unit.
    scale, offset: float64 per channel of the reader's shape: (C,), or (C * H * W,) where
    `flattened`. The offset is present at every position of the map but not in its padding, from
    step offset_step on.
    """

    unit: str
    delay: int
    shape: MapShape
    scale: np.ndarray
    offset: Optional[np.ndarray] = None
    offset_step: int = 0
    real: bool = False
    flattened: bool = False

    @property
    def content(self) -> str:
        """How messages call what is not plain spikes; "" for plain spikes."""
        if self.real:
            return "real numbers"
        return SHIFTED if self.offset is not None else ""

    def delayed(self, steps):
        """The train as a reader sees it `steps` later."""
        return replace(self, delay=self.delay + steps, offset_step=self.offset_step + steps)


@dataclass
class Path:
    """Synapses from one train into one membrane.

    weight: float64 (out, in / groups, kH, kW); None for an identity path, which has one synapse
        per neuron of weight amplitude[c].
    attention: the node of role "attention" that scales the path, or None.
    spread: of a source whose positions lie apart on a larger map, how far, (y, x): between them is nothing.
    scale: value of a level per input channel (already in weight and amplitude).
    """

    unit: str
    delay: int
    source_shape: MapShape
    scale: np.ndarray
    weight: Optional[np.ndarray] = None
    amplitude: Optional[np.ndarray] = None
    stride: Tuple[int, int] = (1, 1)
    padding: Tuple[int, int] = (0, 0)
    dilation: Tuple[int, int] = (1, 1)
    groups: int = 1
    real: bool = False
    attention: Optional[Node] = None
    spread: Tuple[int, int] = (1, 1)

    @property
    def n_groups(self):
        """Groups of channels that do not mix; of an identity path every channel is one."""
        return self.groups if self.weight is not None else self.source_shape[0]

    def scaled(self, factor):
        """The path with every synapse into channel c multiplied by factor[c]."""
        if self.weight is None:
            return replace(self, amplitude=self.amplitude * factor)
        return replace(self, weight=self.weight * factor[:, None, None, None])

    def delayed(self, steps):
        """The path `steps` later."""
        return replace(self, delay=self.delay + steps)


@dataclass
class Term:
    """A constant into a membrane from step `first_step` on. value: float64 (C, 1, 1) or (C, H, W)."""

    value: np.ndarray
    first_step: int = 0

    def scaled(self, factor):
        """The term with what goes into channel c multiplied by factor[c]."""
        return Term(self.value * factor[:, None, None], self.first_step)

    def delayed(self, steps):
        """The term `steps` later."""
        return Term(self.value, self.first_step + steps)


@dataclass
class Current:
    """Paths and terms on their way to a membrane of `shape` (C, H, W)."""

    shape: MapShape
    paths: List[Union[Path, "Maximum"]]
    terms: List[Term]

    @property
    def maximum(self) -> Optional["Maximum"]:
        """The first of its paths that is a maximum, or None."""
        return next((path for path in self.paths if isinstance(path, Maximum)), None)

    def scaled(self, factor):
        """The current with everything into channel c multiplied by factor[c]."""
        return Current(self.shape, [path.scaled(factor) for path in self.paths],
                       [term.scaled(factor) for term in self.terms])

    def delayed(self, steps):
        """The current `steps` later."""
        return Current(self.shape, [path.delayed(steps) for path in self.paths],
                       [term.delayed(steps) for term in self.terms])


@dataclass
class Maximum:
    """The largest value of a current in each window, on its way to a membrane as a path is.

    current: what is pooled. window: kernel, stride, padding, (y, x) each; padding is no value.
    signs: float64 (C,), 1, or -1 where a channel takes the maximum away. label: how messages name the pool.
    """

    current: Current
    window: Tuple
    signs: np.ndarray
    label: str

    def scaled(self, factor):
        """What is given for channel c multiplied by factor[c], whose size goes into the current: the maximum
        commutes with it."""
        return replace(self, current=self.current.scaled(np.abs(factor)),
                       signs=np.where(factor < 0, -self.signs, self.signs))

    def delayed(self, steps):
        """The maximum `steps` later."""
        return replace(self, current=self.current.delayed(steps))


def synaptic(paths) -> List[Path]:
    """Return the paths of synapses among some, in their order; those that end before a Maximum, too."""
    synapses = []
    for path in paths:
        synapses += synaptic(path.current.paths) if isinstance(path, Maximum) else [path]
    return synapses


def exact_sum(values):
    """Return `math.fsum`; NaN, which no precision takes, where the sum leaves float64."""
    try:
        return fsum(values)
    except (OverflowError, ValueError):  # of numbers, or of infinities of both signs
        return nan


def map_shape(shape) -> MapShape:
    """Return (C, H, W) of a shape: (C, L) is held as (C, 1, L), (F,) as (F, 1, 1)."""
    return {1: (*shape, 1, 1), 2: (shape[0], 1, shape[-1]), 3: tuple(shape)}[len(shape)]


def spread(values, shape):
    """Return values per feature of a flattened map, in the order C, H, W. values: per channel."""
    return np.repeat(values, shape[1] * shape[2])


def bias_terms(bias):
    """Return a node's own bias (C,) as terms from step 0 on; none for None."""
    return [] if bias is None else [Term(bias[:, None, None])]


def per_group(values, weight_shape, groups):
    """Return values per input channel, shaped to multiply a weight (out, in / groups, kH, kW)."""
    n_out, n_in = weight_shape[:2]
    rows = np.repeat(values.reshape(groups, n_in), n_out // groups, axis=0)
    return rows[:, :, None, None]


def taps_inside(n_out, size, kernel, stride, padding, dilation):
    """Return, for each output position of one axis, the kernel taps that meet the input."""
    starts = np.arange(n_out)[:, None] * stride - padding + np.arange(kernel) * dilation
    return [tuple(np.flatnonzero((row >= 0) & (row < size))) for row in starts]


def border_sums(products, path, shape):
    """Return (out, H, W): at each position, the sum of products (out, in / groups, kH, kW) over the taps inside
    the input. Positions that meet the same taps share one sum."""
    rows, columns = (
        taps_inside(shape[1 + axis], path.source_shape[1 + axis], products.shape[2 + axis],
                    path.stride[axis], path.padding[axis], path.dilation[axis])
        for axis in (0, 1)
    )
    sums = {
        (ys, xs): np.array([exact_sum(o[:, list(ys)][:, :, list(xs)].ravel()) for o in products])
        for ys in set(rows) for xs in set(columns)
    }
    out = np.empty(shape)
    for y, ys in enumerate(rows):
        for x, xs in enumerate(columns):
            out[:, y, x] = sums[ys, xs]
    return out


def _composed_extent(path, kernel):
    """Return (extent of the synapses' window, extent with a pooling window behind it), (y, x) each."""
    reach = [(k - 1) * d + 1 for k, d in zip(path.weight.shape[2:], path.dilation)]
    return reach, [r + (n - 1) * s for r, n, s in zip(reach, kernel, path.stride)]


def composed_size(path, kernel):
    """Return (numbers that each weight is summed from, weights) of what `compose` makes."""
    n_out, n_in, height, width = path.weight.shape
    return min(kernel[0] * kernel[1], height * width), n_out * n_in * prod(_composed_extent(path, kernel)[1])


def compose(path, kernel, stride, divisor):
    """Return synapses followed by a pooling window as one convolution."""
    n_out, n_in, height, width = path.weight.shape
    reach, extent = _composed_extent(path, kernel)
    if kernel[0] * kernel[1] <= height * width:  # the weights, moved to each position of the window
        shifted = np.zeros((kernel[0] * kernel[1], n_out, n_in, *extent))
        for i, (a, b) in enumerate(np.ndindex(*kernel)):
            y, x = a * path.stride[0], b * path.stride[1]
            shifted[i, :, :, y : y + reach[0] : path.dilation[0], x : x + reach[1] : path.dilation[1]] = (
                path.weight
            )
    else:  # each weight, at all positions of the window: the same numbers in fewer rows
        shifted = np.zeros((height * width, n_out, n_in, *extent))
        for i, (a, b) in enumerate(np.ndindex(height, width)):
            y, x = (slice(first, first + (size - 1) * step + 1, step) for first, size, step
                    in zip((a * path.dilation[0], b * path.dilation[1]), kernel, path.stride))
            shifted[i, :, :, y, x] = path.weight[:, :, a, b, None, None]
    flat = shifted.reshape(len(shifted), -1)
    composed = np.array([exact_sum(column) for column in flat.T]).reshape(shifted.shape[1:])
    return replace(
        path, weight=composed / divisor, dilation=(1, 1),
        stride=(path.stride[0] * stride[0], path.stride[1] * stride[1]),
    )


def pooled_term(term, kernel, stride, divisor, shape):
    """Return a term summed over pooling windows and divided, on the pooled map `shape`."""
    n = kernel[0] * kernel[1]
    if term.value.shape[1:] == (1, 1):
        return term if divisor == n else Term(term.value * n, term.first_step)
    out = np.empty(shape)
    for c, y, x in np.ndindex(*shape):
        window = term.value[c, y * stride[0] : y * stride[0] + kernel[0],
                            x * stride[1] : x * stride[1] + kernel[1]]
        out[c, y, x] = exact_sum(window.ravel())
    return Term(out / divisor, term.first_step)


def sum_terms(terms, shape):
    """Return the exactly rounded sum of terms (C, 1, 1) or (C, H, W) per neuron; (C, 1, 1) if all are."""
    if not terms:
        return np.zeros((shape[0], 1, 1))
    if len(terms) == 1:
        return terms[0]
    shape = np.broadcast_shapes(*(term.shape for term in terms))
    stacked = np.stack([np.broadcast_to(term, shape).ravel() for term in terms], axis=1)
    if stacked.shape[1] == 2:  # one IEEE addition is already exactly rounded
        return (stacked[:, 0] + stacked[:, 1]).reshape(shape)
    return np.array([exact_sum(row) for row in stacked.tolist()]).reshape(shape)


def value_or(value, default):
    """Return `value`, or the default where it is None."""
    return default if value is None else value
