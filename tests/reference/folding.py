"""What each node gives to the next, all in float64."""

import math
from dataclasses import replace
from typing import Dict, List

import numpy as np
from reference.composing import reads_beyond, through_convolution, through_dense
from reference.numbers import fsum_of, grid_of, per_channel, per_neuron
from reference.synapses import (
    Current, Kernel, Largest, Layer, Path, Restimulus, Source, synaptic, Term, Train,
)

from eventsim.errors import UnsupportedError
from eventsim.model.neurons import Alpha, Neuron, Readout, SigmaDelta

LAYERS = (Neuron, Alpha, Readout, SigmaDelta)


class Folded:
    """A model as sources, layers and an order of evaluation.

    sources: name -> Source. An extra name "node/i" stands for the i-th train of a pool of several.
    layers: name -> Layer. recorded: name -> Train whose levels are the node's own.
    order: names of sources and layers, each after what it reads without delay.
    """

    def __init__(self, model, chip=None):
        self.model, self.chip = model, chip
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
        source = Source(grid, 2**node.bits - 1, node.bits, image=node.encoding == "image")
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

    def _fold_alpha(self, name, node):
        shape = self.model.shapes[name]
        worth = 1.0 if node.output_quantum is None else node.output_quantum
        return [self._new_source(name, Source(grid_of(shape), 1, 1), per_neuron(worth, shape))]

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
        if isinstance(value, Current):
            self._refuse_restimulation(name, value)
            grid = grid_of(self.model.shapes[self.model.incoming(name)[0].source])
            windows = self._windows(name, node, grid)
            return Current([Largest(value, grid, windows, np.zeros(grid[0], bool))], [])
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
        values = self._incoming(name)
        if isinstance(values[0], Current):
            return Current([path for value in values for path in value.paths],
                           [term for value in values for term in value.terms])
        trains = [train for value in values for train in value]
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

    def _fold_concat(self, name, node):
        trains = []
        for value in self._incoming(name):
            if len(value) != 1 or value[0].offset is not None or self.sources[value[0].source].real:
                self._unsupported(name, "channels of anything but spikes")
            trains.append(value[0])
        most = max(self.sources[train.source].max_level for train in trains)
        source = Source(self._grid(name), most, most.bit_length(), False, trains, np.concatenate)
        return [self._new_source(name, source, np.concatenate([train.scale for train in trains]))]

    def _fold_upsample(self, name, node):
        (trains,) = self._incoming(name)
        channels, rows, columns = self._grid(name)
        found = []
        for i, train in enumerate(trains):
            _, height, width = train.grid
            at = [(c * height + y * height // rows) * width + x * width // columns
                  for c in range(channels) for y in range(rows) for x in range(columns)]
            key = name if len(trains) == 1 else f"{name}/{i}"
            before = self.sources[train.source]
            source = Source((channels, rows, columns), before.max_level, before.n_planes, False, [train],
                            lambda levels, at=at: levels[0][at])
            found.append(self._new_source(key, source, *self._at_outputs(train, source.grid)))
        return found

    def _fold_flatten(self, name, node):
        (value,) = self._incoming(name)
        if not isinstance(value, Current):
            return value  # indices are flat already; events keep the order of their grid
        self._refuse_restimulation(name, value)
        shape = self.model.shapes[self.model.incoming(name)[0].source]
        return Current(
            [path.flattened() for path in value.paths],
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
            return Current([path.scaled(g) for path in value.paths], terms)
        g, mean, bias = (per_neuron(v, shape) for v in (g, node.running_mean, node.bias))
        normalised = []
        for train in value:
            has_own = train.offset is not None and bool(train.offset.any())
            if has_own and train.first > 0 and (bias - mean * g).any():
                self._unsupported(name, "a shift of its own over a late offset")
            offset = ((train.offset if has_own else 0.0) - mean) * g + bias
            normalised.append(replace(
                train, scale=train.scale * g, offset=offset, first=train.first if has_own else 0))
        return normalised

    # ---- nodes that weigh

    def _fold_dense(self, name, node):
        (trains,) = self._incoming(name)
        weight = node.weight
        if isinstance(trains, Current):
            self._refuse_uncomposable(name, trains)
            return self._with_bias(through_dense(weight, trains, weight.shape[1]), node.bias)
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

    def _fold_convtranspose2d(self, name, node):
        """Every input position as a position of a wider map, over which the kernel slides mirrored."""
        (trains,) = self._incoming(name)
        (sy, sx), (py, px) = node.stride, node.output_padding
        spread = []
        for i, train in enumerate(trains):
            if train.offset is not None or self.sources[train.source].real:
                self._unsupported(name, "transposed convolution of anything but spikes")
            channels, height, width = train.grid
            grid = (channels, (height - 1) * sy + 1 + py, (width - 1) * sx + 1 + px)

            def wide(levels, grid=grid):
                out = np.zeros(grid, levels[0].dtype)
                out[:, : grid[1] - py : sy, : grid[2] - px : sx] = levels[0].reshape(channels, height, width)
                return out.reshape(-1)

            before = self.sources[train.source]
            source = Source(grid, before.max_level, before.n_planes, False, [train], wide)
            scale = np.repeat(train.scale.reshape(channels, -1)[:, 0], grid[1] * grid[2])
            spread.append(self._new_source(f"{name}/spread/{i}", source, scale))
        n_in, n_out = node.weight.shape[:2]
        groups, kernel = node.groups, node.weight.shape[2:]
        weight = np.zeros((n_out * groups, n_in // groups, *kernel))
        for c_in in range(n_in):
            g = c_in // (n_in // groups)
            for o in range(n_out):
                weight[g * n_out + o, c_in % (n_in // groups)] = node.weight[c_in, o, ::-1, ::-1]
        padding = tuple(d * (k - 1) - p for d, k, p in zip(node.dilation, kernel, node.padding))
        current = self._convolved(name, node, weight, (1, 1), padding, node.dilation, spread)
        there = np.arange(math.prod(grid)).reshape(grid)[:, : grid[1] - py : sy, : grid[2] - px : sx].reshape(-1)
        return Current([replace(path, present=there) for path in current.paths], current.terms)

    def _fold_conv1d(self, name, node):
        pair = ((1,) + node.stride, (0,) + node.padding, (1,) + node.dilation)
        return self._convolved(name, node, node.weight[:, :, np.newaxis], *pair)

    def _convolved(self, name, node, weight, stride, padding, dilation, trains=None):
        if trains is None:
            (trains,) = self._incoming(name)
        geometry = (self._grid(name), stride, padding, dilation, node.groups)
        if isinstance(trains, Current):
            return self._convolved_current(name, node, trains, weight, geometry)
        current = Current([], [])
        for train in trains:
            kernel = Kernel(weight, train.grid, *geometry)
            if train.offset is not None:
                term = Term(train.first, _offset_map(kernel, train.offset), True)
                current.terms.append(term)
            scale = train.scale.reshape(train.grid[0], -1)[:, 0]
            kernel = replace(kernel, weight=_times_input_channel(weight, scale, node.groups))
            current.paths.append(Path(train.source, train.delay, train.grid, kernel))
        return self._with_bias(current, node.bias)

    def _convolved_current(self, name, node, current, weight, geometry):
        self._refuse_uncomposable(name, current)
        before = grid_of(self.model.shapes[self.model.incoming(name)[0].source])
        outer = Kernel(weight, before, *geometry)
        if any(reads_beyond(outer, path.kernel) for path in current.paths):
            self._unsupported(name, "a padded convolution of a current that goes on in the padding")
        return self._with_bias(through_convolution(outer, current, math.prod(before)), node.bias)

    def _refuse_uncomposable(self, name, current):
        self._refuse_restimulation(name, current)
        if any(isinstance(path, Largest) for path in current.paths):
            self._unsupported(name, "weighted sums of the largest of a current")

    def _with_bias(self, current, bias):
        if bias is not None:
            current.terms.append(Term(0, bias, False))
        return current

    def _pooled_current(self, name, node, current, divide):
        self._refuse_restimulation(name, current)
        if any(isinstance(path, Largest) for path in current.paths):
            self._unsupported(name, "sums of the largest of a current")
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
        if any(path.restimulus for path in synaptic(current.paths)):
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
        if isinstance(node, Alpha):
            return Layer(name, node, shape, paths, terms, None, None)
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
        if self.chip is not None or isinstance(node, SigmaDelta) or node.current_leak is not None:
            drive = fsum_of(constants, math.prod(shape))
            return Layer(name, node, shape, paths, terms, gain_map, drive)
        terms += [(0, values) for values in constants if values.any()]
        return Layer(name, node, shape, paths, terms, gain_map, None)


def _with_gain(path, channel_gain, neuron_gain):
    if isinstance(path, Largest) or path.kernel is not None:
        return path.scaled(channel_gain)
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
