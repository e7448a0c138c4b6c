"""The slow reference: interprets a Model step by step, neuron by neuron, synapse by synapse.

It is the readable twin of `eventsim.lowering` and `eventsim.kernels` and shares no code with them:
it imports the nodes, the model and the errors, nothing else. Every synapse exists as an entry of
an explicit list, and every count is taken by walking over events and those lists, so that no
fan-out formula of the engine can be wrong here in the same way.

    result = simulate(model, x, "float32")          # or "float64", "int8"
    result = simulate(model, x, "fixed", chip=p)  # a chip's arithmetic
    result.levels["conv1"]                           # (N, T, C, H, W)

Three parts: `Folded` (what a reader of spikes sees, all in float64), `CompiledLayer` (rounding to
the run's type, explicit synapses) and the loop over steps. Arrays of neurons are flat here, in the
order channel, row, column (`reshape(shape)` restores the node's shape).

What a layer computes in one step, one operation after another (floats round after each):

    sum       ((path 1 + path 2) + ...), limited to its width
    X         [gain per neuron * sum, shifted left by weight_shift,] + bias of the synapses
    I         current_leak * I + X, or X; limited
    H         leak * U + I, + drive, late reset, refractoriness; limited
    levels, U the thresholds from the top plane down, the reset, v_min

`drive` is the neuron's bias and the leak potential (1 - leak) * v_leak, summed exactly, rounded
once. Only a neuron that has current_leak adds it there: without, the two are further constants in
the bias of X. A SigmaDelta goes on from I = X:

    S         S + I ("sigma_delta") or I ("delta"), limited
    a         S + bias, not below 0 where it rectifies
    d, o      a - sent; d where abs(d) >= v_threshold, else 0;  sent = sent + o
    level     floor(o / quantum), kept within its bits

Widths, shifts and limits are those of a chip; without one nothing is limited ("int8" raises
where int32 ends).
"""

import math
from dataclasses import dataclass, field, replace
from typing import Dict, List, Optional, Tuple

import numpy as np

from eventsim.errors import RunError, UnsupportedError
from eventsim.model.input import Input
from eventsim.model.neurons import Neuron, Readout, SigmaDelta

COUNT_NAMES = (
    "events", "synops", "nonzero_synops", "additions", "doublings", "macs", "multiplications",
    "neuron_updates", "dense_macs",
)
LARGEST_D = 1 << 14
LARGEST_SCALE = 2.0**1000
INT32_MAX = (1 << 31) - 1
LAYERS = (Neuron, Readout, SigmaDelta)
QUANTITIES = ("sum", "current", "membrane")


# ---------------------------------------------------------------- numbers


def round_half_away(value):
    """Nearest whole number, halves away from zero, as Python int (no rounding on the way)."""
    whole = math.floor(abs(value))
    if abs(value) - whole >= 0.5:  # the difference is exact
        whole += 1
    return whole if value >= 0 else -whole


def rounded(values):
    """`round_half_away` of every element, as int64."""
    values = np.asarray(values, dtype=np.float64)
    flat = [round_half_away(float(v)) for v in values.ravel()]
    return np.array(flat, dtype=np.int64).reshape(values.shape)


def divided(values, bits, rounding):
    """Whole numbers divided by 2^bits, rounded "toward_zero", "floor" or "nearest" (half away
    from zero), exactly."""
    if rounding == "floor":
        return values >> bits
    half = 1 << (bits - 1) if rounding == "nearest" else 0
    return np.sign(values) * ((np.abs(values) + half) >> bits)


def bounds_of(bits, overflow):
    """(lowest, highest) number that a width of `bits` holds under a rule of overflow."""
    top = 1 << (bits - 1)
    if overflow == "wrap_once":
        return 1 - top, top
    return (1 - top if overflow == "saturate_symmetric" else -top), top - 1


def limited(values, bits, overflow):
    """Whole numbers (int64) brought back to a width; None: as they are."""
    if bits is None:
        return values
    lowest, highest = bounds_of(bits, overflow)
    if overflow.startswith("saturate"):
        return np.minimum(np.maximum(values, lowest), highest)
    turn = 1 << bits
    if overflow == "wrap_once":
        return values - turn * (values > highest) + turn * (values < lowest)
    return (values - lowest) % turn + lowest  # "wrap"; "error" goes on like it until it is raised


def phi(u):
    """The rectified membrane of MPR (InfLoR-SNN, eq. 9), in quanta, in float64."""
    if u < 0:
        return 1 - (1 - u) ** (1 / 3)
    if u <= 1:
        return math.tanh(3 * (u - 1 / 2)) / (2 * math.tanh(3 / 2)) + 1 / 2
    return u ** (1 / 3)


def fsum_of(arrays, n):
    """Elementwise exact sum of arrays of length `n`, rounded once to float64."""
    return np.array([math.fsum(float(a[i]) for a in arrays) for i in range(n)])


def per_neuron(value, shape):
    """A scalar, per-channel or per-neuron parameter as a flat array with one entry per neuron."""
    value = np.asarray(value, dtype=np.float64)
    if value.size == 1:
        return np.full(math.prod(shape), float(value.reshape(())))
    if value.shape == tuple(shape):
        return value.ravel()
    return np.repeat(value, math.prod(shape[1:]))


def per_channel(value, n_channels):
    """A scalar or per-channel parameter with one entry per channel."""
    value = np.asarray(value, dtype=np.float64)
    return np.full(n_channels, float(value.reshape(()))) if value.size == 1 else value


def grid_of(shape):
    """A shape as (channels, rows, columns): sequences have one row, vectors one position."""
    if len(shape) == 3:
        return tuple(shape)
    return (shape[0], 1, shape[1]) if len(shape) == 2 else (shape[0], 1, 1)


# ---------------------------------------------------------------- what a node gives


@dataclass
class Train:
    """Spikes of one node (or numbers of a real Input) as a reader sees them.

    source: name of the node that sends. delay: steps.
    scale: float64 per neuron (flat), the value of level 1.
    offset: float64 per neuron or None, added to every real position from step `first` on.
    grid: (C, H, W) in which events are ordered (row, column, channel).
    """

    source: str
    delay: int
    scale: np.ndarray
    offset: Optional[np.ndarray]
    first: int
    grid: Tuple[int, int, int]

    def delayed(self, delay):
        return replace(self, delay=self.delay + delay, first=self.first + delay)


@dataclass
class Kernel:
    """Weights of a convolution on a grid; a Dense is one that covers the whole grid.

    weight: float64 (O, I / groups, kH, kW), or (O * positions, ...) where `untied` (after a
        Flatten every output neuron is a channel of its own).
    Dense: weight (O, C, H, W), stride 1, no padding: one output position.
    """

    weight: np.ndarray
    grid: Tuple[int, int, int]
    out_grid: Tuple[int, int, int]
    stride: Tuple[int, int] = (1, 1)
    padding: Tuple[int, int] = (0, 0)
    dilation: Tuple[int, int] = (1, 1)
    groups: int = 1
    untied: bool = False
    copies: int = 1  # of each weight, where untied

    def scaled(self, factor):
        """The same kernel with every weight of output channel o times factor[o]."""
        return replace(self, weight=self.weight * factor.reshape(-1, 1, 1, 1))

    def flattened(self):
        """One kernel per output neuron, for readers that count channels after a Flatten."""
        if self.untied:
            return self
        n_positions = self.out_grid[1] * self.out_grid[2]
        weight = np.repeat(self.weight, n_positions, axis=0)
        return replace(self, weight=weight, untied=True, copies=n_positions)

    def synapses(self, y, x):
        """(output row, output column, ky, kx) of the taps that read input position (y, x)."""
        found = []
        for ky in range(self.weight.shape[2]):
            row, rest_y = divmod(y + self.padding[0] - ky * self.dilation[0], self.stride[0])
            if rest_y or not 0 <= row < self.out_grid[1]:
                continue
            for kx in range(self.weight.shape[3]):
                at = x + self.padding[1] - kx * self.dilation[1]
                column, rest_x = divmod(at, self.stride[1])
                if not rest_x and 0 <= column < self.out_grid[2]:
                    found.append((row, column, ky, kx))
        return found


@dataclass
class Restimulus:
    """A Restimulation on its way to a neuron: channel attention on one train."""

    kernel: np.ndarray  # (K,)
    scale: np.ndarray  # (C,) of the train
    channels: int  # C of q, over which the attention runs
    n_positions: int  # of q
    sampled: np.ndarray  # flat input positions that q reads
    weight: Optional[np.ndarray]  # W64 (out, in) or None for the identity


@dataclass
class Path:
    """Synapses between one train and the membranes. One of `kernel`, `amplitude` carries them.

    kernel: Dense or convolution. amplitude: float64 per neuron, of an identity.
    restimulus: what scales them at every step, or None.
    """

    source: str
    delay: int
    grid: Tuple[int, int, int]
    kernel: Optional[Kernel] = None
    amplitude: Optional[np.ndarray] = None
    restimulus: Optional[Restimulus] = None


@dataclass
class Term:
    """A share of the bias from step `first` on: float64 (C,) per channel, or flat per neuron."""

    first: int
    values: np.ndarray
    is_map: bool

    def on(self, shape):
        """The term with one entry per neuron."""
        return self.values if self.is_map else np.repeat(self.values, math.prod(shape[1:]))


@dataclass
class Current:
    """Weighted sums: paths in their order, and what is added to them."""

    paths: List[Path]
    terms: List[Term]

    def delayed(self, delay):
        return Current(
            [replace(path, delay=path.delay + delay) for path in self.paths],
            [replace(term, first=term.first + delay) for term in self.terms],
        )


@dataclass
class Source:
    """A node that sends levels: how wide they are, and from what it makes them.

    make: for pools and sums, a function from the levels of `reads` (at the step) to its own.
    """

    grid: Tuple[int, int, int]
    max_level: int
    n_planes: int
    real: bool = False
    reads: List[Train] = field(default_factory=list)
    make: Optional[object] = None


@dataclass
class Layer:
    """A Neuron, Readout or SigmaDelta before rounding, all in float64.

    paths: with gains folded in where they are the same at all positions of a channel.
    terms: flat arrays per neuron with their first step. gain_map: flat, or None.
    drive: flat, what is added past the synaptic current, or None.
    """

    name: str
    node: object
    shape: Tuple[int, ...]
    paths: List[Path]
    terms: List[Tuple[int, np.ndarray]]
    gain_map: Optional[np.ndarray]
    drive: Optional[np.ndarray]


# ---------------------------------------------------------------- folding


class Folded:
    """A model as sources, layers and an order of evaluation.

    sources: name -> Source. An extra name "node/i" stands for the i-th train of a pool of several.
    layers: name -> Layer. recorded: name -> Train whose levels are the node's own.
    order: names of sources and layers, each after what it reads without delay.
    """

    def __init__(self, model):
        self.model = model
        self.sources: Dict[str, Source] = {}
        self.layers: Dict[str, Layer] = {}
        self.recorded: Dict[str, Train] = {}
        self.order: List[str] = []
        self._values = {}
        names = [name for group in model.order() for name in group]
        for name in names:
            self._value(name)
        for name in names:
            if isinstance(model.nodes[name], LAYERS):
                self.layers[name] = self._layer(name)
                self.order.append(name)
            self.order += [s for s in self.sources if s.split("/")[0] == name and s not in self.order]

    def _value(self, name):
        """List of Train, or Current, that node `name` gives; None for a Readout."""
        if name not in self._values:
            node = self.model.nodes[name]
            self._values[name] = getattr(self, "_fold_" + node.kind.lower())(name, node)
            if self.model.kinds[name] == "spikes" and len(self._values[name]) == 1:
                self.recorded[name] = self._values[name][0]
        return self._values[name]

    def _incoming(self, name):
        """What arrives over each edge, delays applied."""
        given = []
        for edge in self.model.incoming(name):
            value = self._value(edge.source)
            if isinstance(value, Current):
                given.append(value.delayed(edge.delay))
            else:
                given.append([train.delayed(edge.delay) for train in value])
        return given

    def _new_source(self, key, source, scale, offset=None, first=0):
        self.sources[key] = source
        return Train(key, 0, scale, offset, first, source.grid)

    def _unsupported(self, name, what):
        raise UnsupportedError(f"{self.model.label(name)}: {what}")

    # ---- nodes that send

    def _fold_input(self, name, node):
        n = math.prod(node.shape)
        grid = grid_of(node.shape)
        if node.encoding == "real":
            return [self._new_source(name, Source(grid, 0, 0, real=True), np.ones(n))]
        source = Source(grid, 2**node.bits - 1, node.bits)
        if node.encoding == "spikes":
            return [self._new_source(name, source, np.full(n, node.scale))]
        std = per_neuron(node.std, node.shape)
        offset = (0.0 - per_neuron(node.mean, node.shape)) / std
        return [self._new_source(name, source, node.scale / std, offset if offset.any() else None)]

    def _fold_neuron(self, name, node):
        shape = self.model.shapes[name]
        quantum = node.quantum if node.output_quantum is None else node.output_quantum
        source = Source(grid_of(shape), 2**node.n_bits - 1, node.n_bits)
        scale = np.repeat(per_channel(quantum, shape[0]), math.prod(shape[1:]))
        return [self._new_source(name, source, scale)]

    def _fold_sigmadelta(self, name, node):
        shape = self.model.shapes[name]
        source = Source(grid_of(shape), 2**node.bits - 1, node.bits)
        return [self._new_source(name, source, np.full(math.prod(shape), node.quantum))]

    def _fold_readout(self, name, node):
        return None

    def _fold_delay(self, name, node):
        (trains,) = self._incoming(name)
        steps = per_neuron(node.steps, self.model.shapes[name]).astype(int)
        different = sorted(set(steps.tolist()))
        if len(different) == 1:
            return [train.delayed(different[0]) for train in trains]
        if any(train.offset is not None for train in trains):
            self._unsupported(name, "delays of single neurons whose levels have an offset")
        delayed = []
        for i, train in enumerate(trains):
            reads = [train.delayed(d) for d in different]

            def picked(levels):
                return np.array([levels[different.index(d)][j] for j, d in enumerate(steps.tolist())])

            before = self.sources[train.source]
            source = Source(train.grid, before.max_level, before.n_planes, False, reads, picked)
            key = name if len(trains) == 1 else f"{name}/{i}"
            delayed.append(self._new_source(key, source, train.scale))
        return delayed

    def _fold_sumpool(self, name, node):
        (value,) = self._incoming(name)
        if isinstance(value, Current):
            return self._pooled_current(name, node, value, divide=False)
        if any(train.offset is not None and train.offset.any() for train in value):
            self._unsupported(name, "sum pooling of levels with an offset")
        return self._pooled_trains(name, node, value, divide=False)

    def _fold_avgpool(self, name, node):
        (value,) = self._incoming(name)
        if isinstance(value, Current):
            return self._pooled_current(name, node, value, divide=True)
        n_axes = len(self.model.shapes[name]) - 1
        has_padding = any(node.geometry(n_axes)[2])
        for train in value:
            if self.sources[train.source].real:
                self._unsupported(name, "average pooling of real numbers")
            if has_padding and train.offset is not None and train.offset.any():
                self._unsupported(name, "padded average pooling of levels with an offset")
        return self._pooled_trains(name, node, value, divide=True)

    def _fold_maxpool(self, name, node):
        (value,) = self._incoming(name)
        if len(value) > 1:
            self._unsupported(name, "max pooling of a sum of unequal quanta")
        train = value[0]
        windows = self._windows(name, node, train.grid)

        def largest(levels):
            return np.array([levels[0][window].max() for window in windows])

        before = self.sources[train.source]
        source = Source(self._grid(name), before.max_level, before.n_planes, False, value, largest)
        return [self._new_source(name, source, *self._at_outputs(train, source.grid))]

    def _pooled_trains(self, name, node, trains, divide):
        pooled = []
        for i, train in enumerate(trains):
            windows = self._windows(name, node, train.grid)

            def sums(levels, windows=windows):
                return np.array([levels[0][window].sum() for window in windows])

            size = math.prod(node.geometry(len(self.model.shapes[name]) - 1)[0])
            most = self.sources[train.source].max_level * size
            source = Source(self._grid(name), most, most.bit_length(), False, [train], sums)
            scale, offset, first = self._at_outputs(train, source.grid)
            key = name if len(trains) == 1 else f"{name}/{i}"
            scale = scale / size if divide else scale
            pooled.append(self._new_source(key, source, scale, offset, first))
        return pooled

    def _at_outputs(self, train, grid):
        """Scale, offset (both the same all over a channel) and its first step on another grid."""
        def spread(values):
            return np.repeat(values.reshape(train.grid[0], -1)[:, 0], grid[1] * grid[2])

        offset = None if train.offset is None else spread(train.offset)
        return spread(train.scale), offset, train.first

    def _grid(self, name):
        return grid_of(self.model.shapes[name])

    def _pool_geometry(self, name, node):
        """(kernel, stride, padding) as (rows, columns) each."""
        n_axes = len(self.model.shapes[name]) - 1
        kernel, stride, padding = node.geometry(n_axes)
        if n_axes == 2:
            return kernel, stride, padding
        return (1,) + kernel, (1,) + stride, (0,) + padding

    def _windows(self, name, node, grid):
        """For every output neuron, the flat indices of the input neurons in its window."""
        kernel, stride, padding = self._pool_geometry(name, node)
        channels, height, width = grid
        _, rows, columns = self._grid(name)
        windows = []
        for c in range(channels):
            for row in range(rows):
                for column in range(columns):
                    top = row * stride[0] - padding[0]
                    left = column * stride[1] - padding[1]
                    windows.append([
                        (c * height + y) * width + x
                        for y in range(max(top, 0), min(top + kernel[0], height))
                        for x in range(max(left, 0), min(left + kernel[1], width))
                    ])
        return windows

    def _fold_add(self, name, node):
        trains = [train for value in self._incoming(name) for train in value]
        equal = all(
            t.offset is None and np.array_equal(t.scale, trains[0].scale) for t in trains
        )
        if not equal:
            return trains
        grids = {train.grid for train in trains}
        grid = grids.pop() if len(grids) == 1 else self._grid(name)
        most = sum(self.sources[train.source].max_level for train in trains)
        source = Source(grid, most, most.bit_length(), False, trains, sum)
        return [self._new_source(name, source, trains[0].scale)]

    def _fold_flatten(self, name, node):
        (value,) = self._incoming(name)
        if not isinstance(value, Current):
            return value  # indices are flat already; events keep the order of their grid
        self._refuse_restimulation(name, value)
        shape = self.model.shapes[self.model.incoming(name)[0].source]
        return Current(
            [replace(path, kernel=path.kernel.flattened()) for path in value.paths],
            [Term(term.first, term.on(shape), False) for term in value.terms],
        )

    def _fold_batchnorm(self, name, node):
        (value,) = self._incoming(name)
        shape = self.model.shapes[name]
        g = (node.weight * node.scale) / np.sqrt(node.running_var + node.eps)
        if isinstance(value, Current):
            self._refuse_restimulation(name, value)
            spread = np.repeat(g, math.prod(shape[1:]))
            terms = [
                replace(term, values=term.values * (spread if term.is_map else g))
                for term in value.terms
            ]
            terms.append(Term(0, node.bias - node.running_mean * g, False))
            return Current(
                [replace(path, kernel=path.kernel.scaled(g)) for path in value.paths], terms
            )
        g, mean, bias = (per_neuron(v, shape) for v in (g, node.running_mean, node.bias))
        return [
            replace(
                train,
                scale=train.scale * g,
                offset=((0.0 if train.offset is None else train.offset) - mean) * g + bias,
            )
            for train in value
        ]

    # ---- nodes that weigh

    def _fold_dense(self, name, node):
        (trains,) = self._incoming(name)
        weight = node.weight
        current = Current([], [])
        for train in trains:
            weight64 = (weight * train.scale).reshape((-1,) + train.grid)
            kernel = Kernel(weight64, train.grid, (weight.shape[0], 1, 1))
            current.paths.append(Path(train.source, train.delay, train.grid, kernel))
            if train.offset is not None:
                values = [math.fsum(row * train.offset) for row in weight]
                current.terms.append(Term(train.first, np.array(values), False))
        return self._with_bias(current, node.bias)

    def _fold_conv2d(self, name, node):
        pair = (node.stride, node.padding, node.dilation)
        return self._convolved(name, node, node.weight, *pair)

    def _fold_conv1d(self, name, node):
        pair = ((1,) + node.stride, (0,) + node.padding, (1,) + node.dilation)
        return self._convolved(name, node, node.weight[:, :, np.newaxis], *pair)

    def _convolved(self, name, node, weight, stride, padding, dilation):
        (trains,) = self._incoming(name)
        current = Current([], [])
        geometry = (self._grid(name), stride, padding, dilation, node.groups)
        for train in trains:
            kernel = Kernel(weight, train.grid, *geometry)
            if train.offset is not None:
                term = Term(train.first, _offset_map(kernel, train.offset), True)
                current.terms.append(term)
            scale = train.scale.reshape(train.grid[0], -1)[:, 0]
            kernel = replace(kernel, weight=_times_input_channel(weight, scale, node.groups))
            current.paths.append(Path(train.source, train.delay, train.grid, kernel))
        return self._with_bias(current, node.bias)

    def _with_bias(self, current, bias):
        if bias is not None:
            current.terms.append(Term(0, bias, False))
        return current

    def _pooled_current(self, name, node, current, divide):
        self._refuse_restimulation(name, current)
        kernel, stride, padding = self._pool_geometry(name, node)
        if any(padding):
            self._unsupported(name, "padded pooling of a current")
        source = self.model.incoming(name)[0].source
        before, after = grid_of(self.model.shapes[source]), self._grid(name)
        for axis in (0, 1):
            last = (after[1 + axis] - 1) * stride[axis] + kernel[axis]
            if last > before[1 + axis]:
                self._unsupported(name, "ceil_mode on a current")
        size = kernel[0] * kernel[1]
        divisor = size if divide else 1
        windows = self._windows(name, node, before)
        terms = []
        for term in current.terms:
            if not term.is_map:
                terms.append(term if divide else replace(term, values=term.values * size))
                continue
            sums = np.array([math.fsum(term.values[window]) for window in windows])
            terms.append(replace(term, values=sums / divisor))
        paths = [
            replace(path, kernel=_composed(path.kernel, kernel, stride, after, divisor))
            for path in current.paths
        ]
        return Current(paths, terms)

    def _refuse_restimulation(self, name, current):
        if any(path.restimulus for path in current.paths):
            self._unsupported(name, "a Restimulation leads only into a Neuron or Readout")

    def _fold_restimulation(self, name, node):
        (trains,) = self._incoming(name)
        if len(trains) != 1 or trains[0].offset is not None:
            self._unsupported(name, "restimulation needs one train without offset")
        train = trains[0]
        shape = self.model.shapes[self.model.incoming(name)[0].source]
        channels, height, width = grid_of(shape)
        scale = train.scale.reshape(channels, -1)[:, 0]
        if node.weight is None:
            n = height * width
            restimulus = Restimulus(node.kernel, scale, channels, n, np.arange(n), None)
            path = Path(train.source, train.delay, train.grid, None, train.scale, restimulus)
            return Current([path], [])
        out = self._grid(name)
        weight = node.weight[:, :, 0, 0] * scale
        sampled = [
            y * node.stride[0] * width + x * node.stride[1]
            for y in range(out[1]) for x in range(out[2])
        ]
        restimulus = Restimulus(
            node.kernel, scale, out[0], out[1] * out[2], np.array(sampled), weight
        )
        kernel = Kernel(weight[:, :, np.newaxis, np.newaxis], train.grid, out, node.stride)
        return Current([Path(train.source, train.delay, train.grid, kernel, None, restimulus)], [])

    # ---- layers

    def _layer(self, name):
        node, shape = self.model.nodes[name], self.model.shapes[name]
        paths, terms = [], []
        for value in self._incoming(name):
            if not isinstance(value, Current):
                for train in value:
                    paths.append(Path(train.source, train.delay, train.grid, None, train.scale))
                    if train.offset is not None:
                        terms.append((train.first, train.offset))
                continue
            paths += value.paths
            terms += [(term.first, term.on(shape)) for term in value.terms]
        gain_map = None
        if not isinstance(node, SigmaDelta):
            gain = per_neuron(node.input_gain, shape)
            terms = [(first, values * gain) for first, values in terms]
            if math.prod(shape[1:]) > 1 and node.input_gain.shape == tuple(shape):
                gain_map = gain
            else:
                paths = [_with_gain(path, gain.reshape(shape[0], -1)[:, 0], gain) for path in paths]
        constants = [per_neuron(node.bias, shape)]
        if not isinstance(node, SigmaDelta):
            constants.append((1 - per_neuron(node.leak, shape)) * per_neuron(node.v_leak, shape))
        if isinstance(node, SigmaDelta) or node.current_leak is not None:
            drive = fsum_of(constants, math.prod(shape))
            return Layer(name, node, shape, paths, terms, gain_map, drive)
        terms += [(0, values) for values in constants if values.any()]
        return Layer(name, node, shape, paths, terms, gain_map, None)


def _with_gain(path, channel_gain, neuron_gain):
    if path.kernel is not None:
        return replace(path, kernel=path.kernel.scaled(channel_gain))
    return replace(path, amplitude=path.amplitude * neuron_gain)


def _times_input_channel(weight, scale, groups):
    """weight (O, I / groups, kH, kW) times the scale of the input channel that each tap reads."""
    scaled = np.empty_like(weight)
    per_group_out, per_group_in = weight.shape[0] // groups, weight.shape[1]
    for o in range(weight.shape[0]):
        for i in range(per_group_in):
            scaled[o, i] = weight[o, i] * scale[(o // per_group_out) * per_group_in + i]
    return scaled


def _offset_map(kernel, offset):
    """What an offset at every real input position adds to every output (padding adds nothing)."""
    channels, height, width = kernel.grid
    n_out, rows, columns = kernel.out_grid
    offset = offset.reshape(channels, -1)[:, 0]
    per_group_out, per_group_in = n_out // kernel.groups, channels // kernel.groups
    products = [[] for _ in range(n_out * rows * columns)]
    for y in range(height):
        for x in range(width):
            for row, column, ky, kx in kernel.synapses(y, x):
                for o in range(n_out):
                    first = (o // per_group_out) * per_group_in
                    taps = kernel.weight[o, :, ky, kx] * offset[first : first + per_group_in]
                    products[(o * rows + row) * columns + column] += taps.tolist()
    return np.array([math.fsum(found) for found in products])


def _composed(kernel, window, window_stride, out_grid, divisor):
    """The convolution `kernel` followed by sums over windows, as one convolution."""
    n_out, n_in, height, width = kernel.weight.shape
    extent = [
        (size - 1) * dilation + 1 + (k - 1) * stride
        for size, dilation, k, stride in zip(
            (height, width), kernel.dilation, window, kernel.stride
        )
    ]
    taps = {}
    for wy in range(window[0]):
        for wx in range(window[1]):
            for ky in range(height):
                for kx in range(width):
                    at = (
                        wy * kernel.stride[0] + ky * kernel.dilation[0],
                        wx * kernel.stride[1] + kx * kernel.dilation[1],
                    )
                    taps.setdefault(at, []).append(kernel.weight[:, :, ky, kx].ravel())
    weight = np.zeros((n_out, n_in, *extent))
    for (y, x), found in taps.items():
        total = fsum_of(found, n_out * n_in).reshape(n_out, n_in)
        weight[:, :, y, x] = total / divisor
    stride = (kernel.stride[0] * window_stride[0], kernel.stride[1] * window_stride[1])
    return Kernel(
        weight, kernel.grid, out_grid, stride, kernel.padding, (1, 1), kernel.groups
    )


# ---------------------------------------------------------------- rounding to the run's type


class FloatRounding:
    """Constants of a layer rounded once to float32 or float64."""

    def __init__(self, layer, dtype):
        self.dtype = np.dtype(dtype)
        self.steps_per_unit = np.ones(layer.shape[0])

    def kernel(self, weight):
        return weight.astype(self.dtype)

    neurons = gains = decays = kernel  # amplitudes, biases, potentials; factors

    def identity(self, amplitude, factor=1.0):
        """Amplitudes per neuron, under this step's attention (float64 factors)."""
        return (amplitude * factor).astype(self.dtype)


class IntegerRounding:
    """Constants of a layer as whole numbers.

    A value v of channel o is v * S steps of the state, and v * S / 2^shift in a sum of weights.
    S is 2^shift * D / delta of a Neuron or SigmaDelta (see `fixed_point`), 2^shift * `readout_scale`
    of a Readout, or the node's resolution, which only a chip heeds. Without one, shift is 0.

    D: int64 (C,) where it was chosen, else None.
    n_weights, n_zeroed, n_clipped: weights met so far, those that became 0, and those that the
        chip's weights do not reach.
    """

    dtype = np.dtype(np.int64)  # wide enough to notice what leaves int32

    def __init__(self, layer, chip=None):
        self.layer, self.chip = layer, chip
        self.n_positions = math.prod(layer.shape[1:])
        self.shift = 0 if chip is None else chip.weight_shift
        self.n_weights = self.n_zeroed = self.n_clipped = 0
        self.resolution = self.scale = self.D = None
        if chip is not None and layer.node.resolution is not None:
            self.resolution = layer.node.resolution
        elif isinstance(layer.node, Readout):
            self.scale = readout_scale(layer, 127 if chip is None else chip.highest_weight)
        else:
            self.D = fixed_point(layer)[0] if chip is None else chip_point(layer, chip)
            self.delta = quanta(layer)
        self.steps_per_unit = self._in_sum(np.ones(layer.shape[0])) * 2.0**self.shift

    def _in_sum(self, values, repeats=1):
        """values, the channel (or neuron) axis first, in units of a sum of weights, unrounded."""
        if self.resolution is not None:
            return values * self.resolution / 2.0**self.shift
        if self.scale is not None:
            return values * self.scale
        last = (-1,) + (1,) * (values.ndim - 1)
        D = np.repeat(self.D, repeats).astype(np.float64).reshape(last)
        return (values * D) / np.repeat(self.delta, repeats).reshape(last)

    def kernel(self, weight, copies=1):
        """Whole weights; copies: how often each is in `weight`, but counts once."""
        if self.chip is None:
            whole = kept = rounded(self._in_sum(weight))
        else:
            step = self.chip.weight_step
            whole = step * rounded(self._in_sum(weight) / step)
            kept = np.clip(whole, self.chip.lowest_weight, self.chip.highest_weight)
        self.n_weights += weight.size // copies
        self.n_zeroed += int(((kept == 0) & (weight != 0)).sum()) // copies
        self.n_clipped += int((kept != whole).sum()) // copies
        return kept

    def neurons(self, values):
        """Constants per neuron in steps of the state."""
        return self._held(rounded(self._in_sum(values, self.n_positions) * 2.0**self.shift))

    def gains(self, values):
        return rounded(4096 * values)

    def decays(self, values):
        return rounded(2.0 ** (12 if self.chip is None else self.chip.decay_bits) * values)

    def identity(self, amplitude, factor=1.0):
        """Amplitudes per neuron in units of a sum, under this step's attention."""
        return self._held(rounded(self._in_sum(amplitude, self.n_positions) * factor))

    def _held(self, whole):
        if np.abs(whole).max(initial=0) > INT32_MAX:
            raise UnsupportedError(f"layer {self.layer.name!r}: a constant leaves int32")
        return whole


def quanta(layer):
    """delta per channel, float64 (C,)."""
    return per_channel(layer.node.quantum, layer.shape[0])


def layer_weights(layer):
    """The float64 kernels, gains folded in, that decide on the fixed point of a layer."""
    return [path.kernel.weight for path in layer.paths if path.kernel is not None]


def weights_by_channel(layer):
    """Per output channel, the float64 kernels that end there."""
    return [[w[o] for w in layer_weights(layer)] for o in range(layer.shape[0])]


def fixed_point(layer):
    """(D, weight bits) of a Neuron or SigmaDelta in int8: D int64 (C,), the units per quantum of
    each channel."""
    delta = quanta(layer)
    for weight_bits in (8, 16):
        limit = 1 << (weight_bits - 1)
        D = np.array([
            largest_d(weights, float(delta[o]), -limit, limit - 1)
            for o, weights in enumerate(weights_by_channel(layer))
        ])
        if (D >= 16).all():
            return D, weight_bits
    if (D < 2).any():
        raise UnsupportedError(f"layer {layer.name!r}: weights too large for 16 bits")
    return D, 16


def chip_point(layer, chip):
    """D int64 (C,) of a Neuron or SigmaDelta under a chip: weights fit without clipping,
    thresholds and amounts (of a SigmaDelta: its quantum, since a message is wider than a membrane)
    a quarter of the membrane's width, and every plane's amount 2^30."""
    delta, node = quanta(layer), layer.node
    theta = per_neuron(node.v_threshold, layer.shape).reshape(layer.shape[0], -1)
    n_bits = 1 if isinstance(node, SigmaDelta) else node.n_bits
    most_steps = max(2, 2 ** max(0, 30 - (node.n_bits - 1) - chip.weight_shift))
    D = []
    for o, weights in enumerate(weights_by_channel(layer)):
        most = largest_d(weights, float(delta[o]), chip.lowest_weight, chip.highest_weight,
                         chip.weight_step)
        if chip.membrane_bits is not None:
            constant = max(np.abs(theta[o]).max(), 2 ** (n_bits - 1) * delta[o])
            room = 2.0 ** (chip.membrane_bits - 2)
            while most > 0 and (constant * most) / delta[o] * 2.0**chip.weight_shift > room:
                most -= 2
        D.append(min(most, most_steps))
    if min(D) < 2:
        raise UnsupportedError(f"layer {layer.name!r}: too far apart for chip {chip.name!r}")
    # behind a Flatten, the neurons of one channel of the map share their weights, and so D
    copies = max((path.kernel.copies for path in layer.paths if path.kernel is not None), default=1)
    return np.repeat(np.array(D).reshape(-1, copies).min(axis=1), copies)


def largest_d(weights, delta, low, high, step=1):
    """The largest even D <= 2^14 with which all `weights` of a channel, as multiples of `step`,
    lie from low to high; 0 if none does."""
    values = [float(v) for weight in weights for v in (weight.min(), weight.max())]
    limit = max(-low, high) + step
    largest = max(map(abs, values), default=0.0)
    D = LARGEST_D
    if largest * D / delta > limit:  # far above what can fit: start just above it
        D = min(D, 2 * int(limit * delta / largest / 2) + 4)
    while D > 0:
        if all(low <= step * round_half_away(v * D / delta / step) <= high for v in values):
            break
        D -= 2
    return D


def readout_scale(layer, highest=127):
    """Integer units of a sum per unit of a Readout's potential; highest: the largest weight."""
    weights = [np.abs(w).max() for w in layer_weights(layer)]
    if weights:
        return min(highest / float(max(weights)), LARGEST_SCALE) if max(weights) else 1.0
    largest = max(float(np.abs(path.amplitude).max()) for path in layer.paths)
    return min(LARGEST_D / largest, LARGEST_SCALE) if largest else 1.0


# ---------------------------------------------------------------- explicit synapses


class Synapses:
    """One path into a layer with every synapse written down.

    targets[j], weights[j]: flat indices of the neurons that input j reaches, and the weights in
        the run's type. order: inputs in the order in which they add: row, column, channel.
    """

    def __init__(self, path, source, rounding, n_outputs, precision_is_integer):
        self.path, self.rounding, self.n_outputs = path, rounding, n_outputs
        self.integer = precision_is_integer
        self.real, self.n_planes = source.real, source.n_planes
        channels, height, width = path.grid
        n = channels * height * width
        self.order = np.arange(n).reshape(path.grid).transpose(1, 2, 0).ravel()
        if path.kernel is None:
            amplitude = rounding.identity(path.amplitude)
            self.targets = [np.array([j]) for j in range(n)]
            self.weights = [amplitude[j : j + 1] for j in range(n)]
        else:
            copies = (path.kernel.copies,) if precision_is_integer else ()
            weight = rounding.kernel(path.kernel.weight, *copies)
            self.targets, self.weights = _written_down(path.kernel, weight)

    def value(self, levels, g256):
        """The path's contribution to X, in the run's type, for levels (or real numbers)."""
        if self.real:
            return self._multiplied(levels)
        weights = self.weights
        attention = self.path.restimulus
        if attention is not None and self.path.kernel is None:
            factor = np.repeat(g256 / 256.0, attention.n_positions)
            amplitude = self.rounding.identity(self.path.amplitude, factor)
            weights = [amplitude[j : j + 1] for j in range(self.n_outputs)]
        acc = self._doubled(levels, weights)
        if attention is None or self.path.kernel is None:
            return acc
        g256 = np.repeat(g256, attention.n_positions)
        if self.integer:
            return np.sign(acc) * ((np.abs(acc) * g256 + 128) >> 8)
        return acc * (g256 / 256.0).astype(self.rounding.dtype)

    def _doubled(self, levels, weights):
        """Horner's rule over the planes, additions only."""
        acc = np.zeros(self.n_outputs, self.rounding.dtype)
        events = [j for j in self.order if levels[j]]
        for bit in range(self.n_planes - 1, -1, -1):
            acc = acc + acc
            for j in events:
                if levels[j] > 0 and (levels[j] >> bit) & 1:
                    acc[self.targets[j]] = acc[self.targets[j]] + weights[j]
            for j in events:
                if levels[j] < 0 and (-levels[j] >> bit) & 1:
                    acc[self.targets[j]] = acc[self.targets[j]] - weights[j]
        return acc

    def _multiplied(self, numbers):
        acc = np.zeros(self.n_outputs, self.rounding.dtype)
        for j in self.order:
            if numbers[j]:
                acc[self.targets[j]] = acc[self.targets[j]] + self.weights[j] * numbers[j]
        return acc

    def count(self, levels, counts):
        """Add this step's operations to `counts`: for every event, the synapses on its list."""
        for j in np.flatnonzero(levels):
            bits = 0 if self.real else bin(abs(int(levels[j]))).count("1")
            reached = len(self.targets[j])
            counts["synops"] += reached
            counts["nonzero_synops"] += int((self.weights[j] != 0).sum())
            counts["additions"] += bits * reached
            counts["macs"] += reached if self.real else 0
        if not self.real:
            counts["doublings"] += (self.n_planes - 1) * self.n_outputs
        counts["dense_macs"] += sum(len(targets) for targets in self.targets)
        attention = self.path.restimulus
        if attention is not None:
            products = attention.channels if attention.weight is None else self.n_outputs
            counts["multiplications"] += attention.kernel.size * attention.channels + products


def _written_down(kernel, weight):
    """(targets, weights) per input of a kernel whose weights have the run's type."""
    channels, height, width = kernel.grid
    n_out, rows, columns = kernel.out_grid
    per_group_in, per_group_out = channels // kernel.groups, n_out // kernel.groups
    taps = {(y, x): kernel.synapses(y, x) for y in range(height) for x in range(width)}
    targets, weights = [], []
    for c in range(channels):
        outputs = np.arange(per_group_out) + (c // per_group_in) * per_group_out
        for y in range(height):
            for x in range(width):
                found, values = [np.zeros(0, np.int64)], [np.zeros(0, weight.dtype)]
                for row, column, ky, kx in taps[y, x]:
                    neurons = (outputs * rows + row) * columns + column
                    found.append(neurons)
                    own = neurons if kernel.untied else outputs
                    values.append(weight[own, c % per_group_in, ky, kx])
                targets.append(np.concatenate(found))
                weights.append(np.concatenate(values))
    return targets, weights


def attention_gain(restimulus, levels):
    """256 g per channel of q: channel attention on this step's levels (all in float64)."""
    n_in = restimulus.scale.size
    counts = levels.reshape(n_in, -1)[:, restimulus.sampled].sum(axis=1)
    means = []
    for c in range(restimulus.channels):
        if restimulus.weight is None:
            means.append(float(restimulus.scale[c]) * int(counts[c]) / restimulus.n_positions)
            continue
        total = 0.0
        for i in range(n_in):
            total = total + float(restimulus.weight[c, i]) * int(counts[i])
        means.append(total / restimulus.n_positions)
    size = restimulus.kernel.size
    gains = []
    for c in range(restimulus.channels):
        z = 0.0
        for j in range(size):
            at = c + j - size // 2
            if 0 <= at < restimulus.channels:
                z = z + float(restimulus.kernel[j]) * means[at]
        sigmoid = 0.0 if z < -700 else 1 / (1 + math.exp(-z))
        gains.append(math.floor(256 * sigmoid + 0.5))
    return np.array(gains, dtype=np.int64)


# ---------------------------------------------------------------- membranes


class CompiledLayer:
    """A layer in the run's type: its synapses and constants. Nothing here changes in a run.

    widths: quantity -> (bits or None, rule of overflow) of "sum", "current" and "membrane".
    """

    def __init__(self, layer, sources, precision, chip=None):
        self.layer, self.node, self.shape = layer, layer.node, layer.shape
        self.n = math.prod(layer.shape)
        self.chip = chip
        self.integer = precision in ("int8", "fixed")
        if self.integer:
            self.rounding = IntegerRounding(layer, chip)
        else:
            self.rounding = FloatRounding(layer, precision)
        self.dtype = self.rounding.dtype
        self.synapses = []
        for path in layer.paths:
            if self.integer and sources[path.source].real:
                raise UnsupportedError(f"layer {layer.name!r}: real numbers in {precision}")
            self.synapses.append(
                Synapses(path, sources[path.source], self.rounding, self.n, self.integer)
            )
        self.widths = {
            name: (getattr(chip, f"{name}_bits", None), getattr(chip, f"{name}_overflow", None))
            for name in QUANTITIES
        }
        self.gain = None
        if layer.gain_map is not None:
            self.gain = self.rounding.gains(layer.gain_map)
        self._biases = {}
        self.drive = None if layer.drive is None else self.rounding.neurons(layer.drive)
        if isinstance(self.node, SigmaDelta):
            self.v_threshold = self.rounding.neurons(per_neuron(self.node.v_threshold, self.shape))
            self.quantum = self.rounding.neurons(per_neuron(self.node.quantum, self.shape))
            # all planes of a message together have to fit
            self.rounding.neurons((2.0**self.node.bits - 1) * per_neuron(self.node.quantum, self.shape))
            self._check_quantum(self.quantum)
            self.leaks64 = []
            return
        self.leaks64 = [per_neuron(self.node.leak, self.shape)]
        self.leak = self.rounding.decays(self.leaks64[0])
        self.current_leak = None
        if self.node.current_leak is not None:
            self.leaks64.append(per_neuron(self.node.current_leak, self.shape))
            self.current_leak = self.rounding.decays(self.leaks64[1])
        if isinstance(self.node, Neuron):
            self._compile_neuron()

    def _compile_neuron(self):
        node, n_channels = self.node, self.shape[0]
        n_positions = self.n // n_channels
        self.delta = np.repeat(per_channel(node.quantum, n_channels), n_positions)
        self.bits = np.repeat(per_channel(node.bits, n_channels), n_positions).astype(int)
        self.theta = per_neuron(node.v_threshold, self.shape)
        self.v_reset = self.rounding.neurons(per_neuron(node.v_reset, self.shape))
        self.v_min = None
        if node.v_min is not None:
            self.v_min = self.rounding.neurons(per_neuron(node.v_min, self.shape))
        self.refractory = per_neuron(node.refractory, self.shape).astype(np.int64)
        self.thresholds, self.amplitudes = [], []
        for bit in range(node.n_bits):
            size = 2**bit * self.delta
            threshold = fsum_of([self.theta, -self.delta, size], self.n)
            self.thresholds.append(self.rounding.neurons(threshold))
            self.amplitudes.append(self.rounding.neurons(size))
        self._check_quantum(self.amplitudes[0])
        self.rectified = (self.bits == 1) & (self.theta != self.delta / 2)
        if not node.rectify:
            self.rectified[:] = False
        # of H, to express it in quanta
        self.unit = self.delta * np.repeat(self.rounding.steps_per_unit, n_positions)
        if self.integer and self.rounding.D is not None:  # as is, without the products' rounding
            self.unit = np.repeat(self.rounding.D * 2.0**self.rounding.shift, n_positions)

    def _check_quantum(self, quantum):
        if not quantum.all():
            raise UnsupportedError(f"layer {self.layer.name!r}: its quantum is less than half a step")

    def bias(self, step):
        """The bias of every neuron at a step, rounded once."""
        started = tuple(i for i, (first, _) in enumerate(self.layer.terms) if first <= step)
        if started not in self._biases:
            terms = [self.layer.terms[i][1] for i in started]
            self._biases[started] = self.rounding.neurons(fsum_of(terms, self.n))
        return self._biases[started]

    def weighted_sum(self, arriving):
        """The sum of every neuron: paths in order. arriving: levels per path."""
        total = None
        for synapses, levels in zip(self.synapses, arriving):
            attention = synapses.path.restimulus
            g256 = None if attention is None else attention_gain(attention, levels)
            value = synapses.value(levels, g256)
            total = value if total is None else total + value
        return total

    def input_current(self, total, step):
        """X from a (limited) sum: gain per neuron, shift, bias of the synapses."""
        if self.gain is not None:
            total = self.gain * total
            if self.integer:
                total = divided(total, 12, "toward_zero")
        if self.integer:
            total = total << self.rounding.shift
        return total + self.bias(step)

    def decayed(self, state, factor):
        product = factor * state
        if not self.integer:
            return product
        if self.chip is None:
            return divided(product, 12, "toward_zero")
        return divided(product, self.chip.decay_bits, self.chip.decay_rounding)

    def is_strict(self):
        """Whether a potential has to be above its threshold."""
        given = None if self.chip is None else self.chip.comparison
        return (given or self.node.comparison) == ">"

    def fires(self, bit, potential):
        """Which neurons set plane `bit`; potential: what is left to send (|H| where signed)."""
        strict, threshold = self.is_strict(), self.thresholds[bit]
        fired = potential > threshold if strict else potential >= threshold
        fired = fired & (bit < self.bits)
        if bit == 0:
            for i in np.flatnonzero(self.rectified):
                seen = phi(float(potential[i]) / float(self.unit[i]))
                target = float(self.theta[i]) / float(self.delta[i])
                fired[i] = seen > target if strict else seen >= target
        return fired

    def count(self, arriving, counts):
        for synapses, levels in zip(self.synapses, arriving):
            synapses.count(levels, counts)
        for i in range(self.n):
            counts["neuron_updates"] += 1
            for leak in self.leaks64:
                counts["multiplications"] += int(leak[i] not in (0.0, 1.0))
            counts["multiplications"] += int(self.gain is not None)


@dataclass
class Range:
    """Where a quantity of a layer went before it was limited, and how often it left its width."""

    lowest: int
    highest: int
    overflows: int


class Membranes:
    """The changing part of a layer for one sample: potentials and what resets still owe.

    ranges: quantity -> Range so far, of whole numbers.
    """

    def __init__(self, compiled):
        self.compiled = compiled
        self.ranges = {}
        self._clear()

    def _clear(self):
        n, dtype = self.compiled.n, self.compiled.dtype
        self.I = np.zeros(n, dtype)  # synaptic current
        self.U = np.zeros(n, dtype)  # membrane; S of a SigmaDelta
        self.owed = np.zeros(n, dtype)  # soft reset, one step late
        self.fired = np.zeros(n, bool)  # hard reset, one step late
        self.resting = np.zeros(n, np.int64)  # refractory steps left
        self.sent = np.zeros(n, dtype)  # of a SigmaDelta: the sum of what it has sent

    def step(self, total, step):
        """Advance by one step, given the weighted sum; returns (levels or None, I, H, U)."""
        c, node = self.compiled, self.compiled.node
        if node.reset_interval and step % node.reset_interval == node.reset_offset:
            self._clear()
        X = c.input_current(self._limited("sum", total), step)
        if not isinstance(node, SigmaDelta) and c.current_leak is not None:
            X = c.decayed(self.I, c.current_leak) + X
        self.I = self._limited("current", X)
        if isinstance(node, SigmaDelta):
            return self._changes()
        H = c.decayed(self.U, c.leak) + self.I
        if c.drive is not None:
            H = H + c.drive
        if isinstance(node, Readout):
            self.U = H = self._limited("membrane", H)
            return None, self.I, H, H
        return self._spikes(H)

    def _limited(self, quantity, values):
        """What is left of values in their width; notes where they went."""
        c = self.compiled
        if not c.integer:
            return values
        bits, overflow = c.widths[quantity]
        kept = limited(values, bits, overflow)
        n_left = 0
        if overflow == "wrap" and bits is not None:
            values = limited(values, 32, "wrap")  # beyond int32 a number wraps unseen
        if bits is not None and bits < 32:
            lowest, highest = bounds_of(bits, overflow)
            n_left = int(((values < lowest) | (values > highest)).sum())
        found = self.ranges.setdefault(quantity, Range(int(values.min()), int(values.max()), 0))
        found.lowest = min(found.lowest, int(values.min()))
        found.highest = max(found.highest, int(values.max()))
        found.overflows += n_left
        if overflow == "error" and n_left:
            raise RunError(f"layer {c.layer.name!r}: the {quantity} left its {bits} bits {n_left} times")
        return kept

    def _spikes(self, H):
        c, node = self.compiled, self.compiled.node
        resting = self.resting > 0
        if node.reset_delay and node.reset == "soft":
            H = H - self.owed
        elif node.reset_delay:
            H = np.where(self.fired, c.v_reset, H)
        H = self._limited("membrane", np.where(resting, self.U, H))
        levels, left, amount = self._fire(H)
        levels = np.where(resting, 0, levels)
        U = self._after(H, left, levels)
        if node.reset_delay:
            self.owed, self.fired = amount, levels != 0
            U = H
        U = np.where(resting, H, U)
        if c.v_min is not None:
            U = np.where(U < c.v_min, c.v_min, U)
        self.U = U
        self.resting = np.where(resting, self.resting - 1, np.where(levels != 0, c.refractory, 0))
        return levels, self.I, H, self.U

    def _fire(self, H):
        """Levels, what they leave of |H| or H, and the signed amount that they send."""
        c = self.compiled
        negative = (H < 0) & c.node.signed
        left = np.where(negative, -H, H)
        levels = np.zeros(c.n, np.int64)
        amount = np.zeros(c.n, c.dtype)
        for bit in range(c.node.n_bits - 1, -1, -1):
            fired = c.fires(bit, left)
            left = np.where(fired, left - c.amplitudes[bit], left)
            amount = np.where(fired, amount + c.amplitudes[bit], amount)
            levels = levels + np.where(fired, 2**bit, 0)
        levels = np.where(negative, -levels, levels)
        return levels, np.where(negative, -left, left), np.where(negative, -amount, amount)

    def _after(self, H, left, levels):
        if self.compiled.node.reset == "soft":
            return left
        return np.where(levels != 0, self.compiled.v_reset, H)

    def _changes(self):
        """A SigmaDelta's step, after its input: (levels, X, a, a - sent)."""
        c, node = self.compiled, self.compiled.node
        S = self.U + self.I if node.mode == "sigma_delta" else self.I
        self.U = self._limited("membrane", S)
        in_int32 = c.integer and c.widths["membrane"][0] == 32  # which turns around by itself

        def held(values):
            return limited(values, 32, "wrap") if in_int32 else values

        a = held(self.U + c.drive)
        if node.rectify:
            a = np.where(a < 0, 0, a).astype(c.dtype)
        d = held(a - self.sent)
        o = np.where(np.abs(d) >= c.v_threshold, d, 0).astype(c.dtype)
        self.sent = held(self.sent + o)
        top = 2**node.bits - 1
        k = o // c.quantum if c.integer else np.floor(o / c.quantum)
        levels = np.clip(k, -top, top).astype(np.int64)
        return levels, self.I, a, held(a - self.sent)


# ---------------------------------------------------------------- a run


@dataclass
class Result:
    """What a run gave. Arrays start with (N, T).

    levels: per spiking node, int64, what the node gives at each step (its own incoming delays
        included). currents (I, or the summed input), potentials (H), residuals (U after the
        reset): per Neuron; V twice per Readout; a and a - sent per SigmaDelta.
    steps_per_unit: layer -> float64 (C,), S of whole numbers, else ones.
    outputs: (N, T, classes), answers after each step; output: the last; predictions: (N,).
    counts: layer -> count name -> int64 (N,), for Input, Neuron, Readout and SigmaDelta nodes.
    audit: layer -> Audit of whole numbers, empty for floats.
    """

    levels: Dict[str, np.ndarray]
    currents: Dict[str, np.ndarray]
    potentials: Dict[str, np.ndarray]
    residuals: Dict[str, np.ndarray]
    steps_per_unit: Dict[str, np.ndarray]
    outputs: np.ndarray
    output: np.ndarray
    predictions: np.ndarray
    counts: Dict[str, Dict[str, np.ndarray]]
    audit: Dict[str, "Audit"]


@dataclass
class Audit:
    """ranges: quantity -> Range over all neurons, steps and samples. The others are of weights."""

    ranges: Dict[str, Range]
    n_weights: int
    n_zeroed: int
    n_clipped: int


def compile_model(model, precision, chip=None):
    """(Folded, name -> CompiledLayer): the model with its constants in the run's type."""
    if chip is not None:
        check_chip(model, chip)
    folded = Folded(model)
    layers = {
        name: CompiledLayer(layer, folded.sources, precision, chip)
        for name, layer in folded.layers.items()
    }
    return folded, layers


def check_chip(model, chip):
    """Raise UnsupportedError where a model sends what a chip cannot: long delays, wide or signed
    levels of neurons."""
    delays = [edge.delay for edge in model.edges]
    delays += [int(node.steps.max()) for node in model.nodes.values() if node.kind == "Delay"]
    if chip.max_delay is not None and max(delays) > chip.max_delay:
        raise UnsupportedError(f"a delay of {max(delays)} steps, beyond {chip.max_delay}")
    for name, node in model.nodes.items():
        if not isinstance(node, (Neuron, SigmaDelta)):
            continue
        if node.n_bits > chip.spike_bits:
            raise UnsupportedError(f"layer {name!r}: spikes of {node.n_bits} bits")
        if node.signed and not chip.signed_spikes:
            raise UnsupportedError(f"layer {name!r}: spikes with a sign")


def fixed_points(model):
    """Per layer of an int8 run: D (C,) of a Neuron, S of a Readout."""
    folded = Folded(model)
    return {
        name: readout_scale(layer) if isinstance(layer.node, Readout) else fixed_point(layer)[0]
        for name, layer in folded.layers.items()
    }


def simulate(model, x, precision, timesteps=None, chip=None):
    """Run samples x, (N, ...) still or (N, T, ...), channels first, at "float32", "float64",
    "int8", or "fixed" under a chip."""
    assert (precision == "fixed") == (chip is not None)
    folded, layers = compile_model(model, precision, chip)
    shape = model.shapes[model.input]
    x = np.asarray(x)
    if x.ndim == len(shape) + 1:
        steps = model.timesteps if timesteps is None else timesteps
        x = np.repeat(x[:, np.newaxis], steps, axis=1)
    samples = [_Sample(folded, layers, precision, frames) for frames in x]
    for sample in samples:
        sample.run()
    return _collected(model, folded, layers, samples, precision)


class _Sample:
    """One sample's run: everything that it gave, per node a list over the steps."""

    def __init__(self, folded, layers, precision, frames):
        self.folded, self.layers = folded, layers
        real = folded.sources[folded.model.input].real
        dtype = np.dtype(precision if real else np.int64)
        self.frames = frames.reshape(frames.shape[0], -1).astype(dtype)
        self.membranes = {name: Membranes(compiled) for name, compiled in layers.items()}
        self.given = {name: [] for name in folded.sources}
        self.currents = {name: [] for name in layers}
        self.potentials = {name: [] for name in layers}
        self.residuals = {name: [] for name in layers}
        rows = [folded.model.input, *layers]
        self.counts = {name: dict.fromkeys(COUNT_NAMES, 0) for name in rows}

    def run(self):
        for step in range(len(self.frames)):
            for name in self.folded.order:
                self._node(name, step)

    def _node(self, name, step):
        if name in self.layers:
            self._layer(name, step)
        elif name == self.folded.model.input:
            self.given[name].append(self.frames[step])
            self._count_events(name, self.frames[step])
        else:
            source = self.folded.sources[name]
            arriving = [self.arriving(t.source, t.delay, step) for t in source.reads]
            self.given[name].append(source.make(arriving))

    def arriving(self, source, delay, step):
        """Levels that a reader sees at a step: those of `delay` steps before, zero at first."""
        if step >= delay:
            return self.given[source][step - delay]
        sender = self.folded.sources[source]
        return np.zeros(math.prod(sender.grid), self.frames.dtype if sender.real else np.int64)

    def _layer(self, name, step):
        compiled = self.layers[name]
        arriving = [self.arriving(p.source, p.delay, step) for p in compiled.layer.paths]
        compiled.count(arriving, self.counts[name])
        total = compiled.weighted_sum(arriving)
        levels, I, H, U = self.membranes[name].step(total, step)
        if levels is not None:
            self.given[name].append(levels)
            self._count_events(name, levels)
        if compiled.integer and any(limited(a, 32, "wrap").tolist() != a.tolist() for a in (I, H, U)):
            raise RunError(f"layer {name!r}: a membrane leaves int32 in step {step}")
        self.currents[name].append(I)
        self.potentials[name].append(H)
        self.residuals[name].append(U)

    def _count_events(self, name, levels):
        for level in levels:
            self.counts[name]["events"] += int(level != 0)

    def answers(self):
        """(T, classes): the model's answer after each step."""
        name = self.folded.model.output
        node = self.folded.model.nodes[name]
        if not isinstance(node, Readout):
            train = self.folded.recorded[name]
            levels = [self.arriving(train.source, train.delay, t) for t in range(len(self.frames))]
            return np.cumsum(levels, axis=0).astype(np.float64)
        compiled = self.layers[name]
        total = np.zeros(compiled.n, compiled.dtype)
        answers = []
        for step, V in enumerate(self.potentials[name]):
            total = total + V
            answers.append(_answer(node.reduce, total, V, step, compiled))
        return np.array(answers)


def _answer(reduce, total, V, step, compiled):
    if not compiled.integer:
        if reduce == "mean":
            return total / compiled.dtype.type(step + 1)
        return total if reduce == "sum" else V
    scale = compiled.rounding.steps_per_unit[0]  # of all its channels
    if reduce == "mean":
        return (total.astype(np.float64) / (step + 1)) / scale
    return (total if reduce == "sum" else V).astype(np.float64) / scale


def _collected(model, folded, layers, samples, precision):
    stored = np.dtype(np.int32 if precision in ("int8", "fixed") else precision)

    def stacked(of_sample, name):
        array = np.array([of_sample(sample) for sample in samples])
        return array.reshape(array.shape[:2] + tuple(model.shapes[name]))

    def levels_of(train):
        def of_sample(sample):
            steps = range(len(sample.frames))
            return [sample.arriving(train.source, train.delay, step) for step in steps]

        return of_sample

    levels = {
        name: stacked(levels_of(train), name) for name, train in folded.recorded.items()
    }
    traces = [
        {
            name: stacked(lambda s, kind=kind, name=name: getattr(s, kind)[name], name).astype(stored)
            for name in layers
        }
        for kind in ("currents", "potentials", "residuals")
    ]
    steps_per_unit = {name: compiled.rounding.steps_per_unit for name, compiled in layers.items()}
    outputs = np.array([sample.answers() for sample in samples])
    counts = {
        row: {
            key: np.array([sample.counts[row][key] for sample in samples], dtype=np.int64)
            for key in COUNT_NAMES
        }
        for row in samples[0].counts
    }
    output = outputs[:, -1]
    audit = {name: _audit(name, compiled, samples) for name, compiled in layers.items() if compiled.integer}
    return Result(
        levels, *traces, steps_per_unit, outputs, output, output.argmax(axis=1), counts, audit
    )


def _audit(name, compiled, samples):
    ranges = {}
    for quantity in QUANTITIES:
        found = [sample.membranes[name].ranges[quantity] for sample in samples]
        ranges[quantity] = Range(
            min(r.lowest for r in found), max(r.highest for r in found), sum(r.overflows for r in found)
        )
    rounding = compiled.rounding
    return Audit(ranges, rounding.n_weights, rounding.n_zeroed, rounding.n_clipped)
