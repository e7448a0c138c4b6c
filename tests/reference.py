"""The slow reference: interprets a Model, step by step and synapse by synapse. It is the definition.

It shares no code with the engine (only the node classes and the Model's graph): it has its own
folding, its own rounding and its own lists of synapses, and it counts every synaptic operation
one by one. Everything is held flat in the model's own order (C, H, W); synapses of a source are
visited in the stated order (row, column, channel).
"""

from dataclasses import dataclass, field, replace
from math import exp, floor, fsum, tanh
from typing import Dict, List, Optional

import numpy as np

from eventsim.nodes import Input, Neuron, Readout

COUNTS = ("events", "synops", "nonzero_synops", "additions", "doublings", "macs",
          "multiplications", "neuron_updates", "dense_macs", "levels")
INT8, INT16 = (-128, 127), (-32768, 32767)


@dataclass
class Result:
    """What `simulate` gives, by node name; see eventsim.recording.Recording for the meanings."""

    levels: Dict[str, np.ndarray] = field(default_factory=dict)
    potentials: Dict[str, np.ndarray] = field(default_factory=dict)
    residuals: Dict[str, np.ndarray] = field(default_factory=dict)
    outputs: Optional[np.ndarray] = None
    counts: Dict[str, Dict[str, np.ndarray]] = field(default_factory=dict)

    @property
    def output(self):
        return self.outputs[:, -1]

    @property
    def predictions(self):
        return np.array([int(np.flatnonzero(row == row.max())[0]) for row in self.output])


# ---- folding: what each membrane reads


@dataclass
class Source:
    """A spiking (or real) unit: shape (C, H, W) of its map, range of its levels."""

    key: str
    map: tuple
    top: int
    signed: bool = False
    real: bool = False


@dataclass
class Train:
    """A source as a reader sees it: value = level * scale + offset, one entry per source neuron."""

    source: Source
    scale: np.ndarray
    offset: Optional[np.ndarray] = None
    delay: int = 0


@dataclass
class Kernel:
    """Convolution weights (out, in / groups, kH, kW) over the map of a source."""

    weight: np.ndarray
    stride: tuple = (1, 1)
    padding: tuple = (0, 0)
    dilation: tuple = (1, 1)
    groups: int = 1
    out: tuple = ()  # (C, H, W)


@dataclass
class Path:
    """One path into a membrane: a kernel, a dense matrix, or an identity amplitude."""

    train: Train
    delay: int
    kernel: Optional[Kernel] = None
    matrix: Optional[np.ndarray] = None
    amplitude: Optional[np.ndarray] = None
    attention: object = None

    def times(self, factor):
        """Every weight into target neuron j multiplied by factor[j] (constant per channel)."""
        if self.kernel is not None:
            per_channel = factor.reshape(self.kernel.out[0], -1)[:, 0]
            weight = self.kernel.weight * per_channel[:, None, None, None]
            return replace(self, kernel=replace(self.kernel, weight=weight))
        if self.matrix is not None:
            return replace(self, matrix=self.matrix * factor[:, None])
        return replace(self, amplitude=self.amplitude * factor)


@dataclass
class Current:
    paths: List[Path]
    terms: List[tuple]  # (value per neuron, first step)


def as_map(shape):
    """Channels, height, width of a shape."""
    if len(shape) == 1:
        return (shape[0], 1, 1)
    if len(shape) == 2:
        return (shape[0], 1, shape[1])
    return tuple(shape)


def per_neuron(value, shape):
    """A parameter (scalar, per channel or per neuron), flat, one per neuron."""
    value = np.asarray(value, np.float64)
    if value.size == 1:
        return np.full(int(np.prod(shape)), float(value.reshape(-1)[0]))
    if value.shape == tuple(shape):
        return value.reshape(-1).copy()
    return np.repeat(value, int(np.prod(shape[1:])))


class Graph:
    """Evaluates the linear parts of a model by name."""

    def __init__(self, model):
        self.model = model
        self.sources: Dict[str, Source] = {}
        self.pools = {}  # key -> (kind, train, kernel, stride, padding)
        self.adds = {}  # key -> trains
        self.known = {}

    def value(self, name):
        if name not in self.known:
            self.known[name] = getattr(self, self.model.nodes[name].kind)(name)
        return self.known[name]

    def read(self, edge):
        value = self.value(edge.source)
        if isinstance(value, Current):
            return Current([replace(p, delay=p.delay + edge.delay) for p in value.paths],
                           [(v, first + edge.delay) for v, first in value.terms])
        return [replace(t, delay=t.delay + edge.delay) for t in value]

    def only(self, name):
        return self.read(self.model.incoming(name)[0])

    def source(self, key, map_, top, signed=False, real=False):
        self.sources[key] = Source(key, map_, top, signed, real)
        return self.sources[key]

    def Input(self, name):
        node, shape = self.model.nodes[name], self.model.shapes[name]
        real = node.encoding == "real"
        source = self.source(name, as_map(shape), 0 if real else 2**node.bits - 1, node.signed, real)
        std, mean = per_neuron(node.std, shape), per_neuron(node.mean, shape)
        scale = np.ones(std.size) if real else node.scale / std
        offset = (0 - mean) / std
        return [Train(source, scale, offset if offset.any() else None)]

    def Neuron(self, name):
        node, shape = self.model.nodes[name], self.model.shapes[name]
        worth = node.quantum if node.output_quantum is None else node.output_quantum
        top = max(2 ** int(b) - 1 for b in np.ravel(node.bits))
        source = self.source(name, self.membrane_map(name), top, node.signed)
        return [Train(source, per_neuron(worth, shape))]

    def membrane_map(self, name):
        """The map over which a membrane's neurons lie: a flattened current is still a map."""
        for edge in self.model.incoming(name):
            if self.model.kinds[edge.source] == "current":
                node = self.model.nodes[edge.source]
                if node.kind in ("Flatten", "BatchNorm"):
                    return self.membrane_map(edge.source)
                return as_map(self.model.shapes[edge.source])
        return as_map(self.model.shapes[name])

    def Flatten(self, name):
        return self.only(name)  # everything is flat already, in the order C, H, W

    def BatchNorm(self, name):
        node, value = self.model.nodes[name], self.only(name)
        shape = self.model.shapes[name]
        g = (node.weight * node.scale) / np.sqrt(node.running_var + node.eps)
        g_all, mean_all = per_neuron(g, shape), per_neuron(node.running_mean, shape)
        bias_all = per_neuron(node.bias, shape)
        if isinstance(value, Current):
            shift = per_neuron(node.bias - node.running_mean * g, shape)
            return Current([p.times(g_all) for p in value.paths],
                           [(v * g_all, first) for v, first in value.terms] + [(shift, 0)])
        return [
            replace(t, scale=t.scale * g_all,
                    offset=((0 if t.offset is None else t.offset) - mean_all) * g_all + bias_all)
            for t in value
        ]

    def Add(self, name):
        trains = [t for edge in self.model.incoming(name) for t in self.read(edge)]
        if any(t.offset is not None or not np.array_equal(t.scale, trains[0].scale) for t in trains):
            return trains
        source = self.source(name, trains[0].source.map, sum(t.source.top for t in trains),
                             any(t.source.signed for t in trains))
        self.adds[name] = trains
        return [Train(source, trains[0].scale)]

    def Dense(self, name):
        node = self.model.nodes[name]
        paths, terms = [], [] if node.bias is None else [(node.bias.copy(), 0)]
        for t in self.only(name):
            paths.append(Path(t, t.delay, matrix=node.weight * t.scale))
            if t.offset is not None:
                sums = np.array([fsum(row) for row in node.weight * t.offset])
                terms.append((sums, t.delay))
        return Current(paths, terms)

    def Conv1d(self, name):
        node = self.model.nodes[name]
        return self.convolution(name, node.weight[:, :, None, :], (1, *node.stride), (0, *node.padding),
                                (1, *node.dilation))

    def Conv2d(self, name):
        node = self.model.nodes[name]
        return self.convolution(name, node.weight, node.stride, node.padding, node.dilation)

    def convolution(self, name, weight, stride, padding, dilation):
        node, out = self.model.nodes[name], as_map(self.model.shapes[name])
        paths = []
        terms = [] if node.bias is None else [(np.repeat(node.bias, out[1] * out[2]), 0)]
        for t in self.only(name):
            scaled = _times_inputs(weight, t.scale, t.source.map, node.groups)
            kernel = Kernel(scaled, stride, padding, dilation, node.groups, out)
            paths.append(Path(t, t.delay, kernel=kernel))
            if t.offset is not None:
                products = _times_inputs(weight, t.offset, t.source.map, node.groups)
                contributions = [[] for _ in range(int(np.prod(out)))]
                for target, _, w in _taps(replace(kernel, weight=products), t.source.map):
                    contributions[target].append(w)
                terms.append((np.array([fsum(c) for c in contributions]), t.delay))
        return Current(paths, terms)

    def Restimulation(self, name):
        node, out = self.model.nodes[name], as_map(self.model.shapes[name])
        (t,) = self.only(name)
        if node.weight is None:
            return Current([Path(t, t.delay, amplitude=t.scale.copy(), attention=node)], [])
        scaled = _times_inputs(node.weight, t.scale, t.source.map, 1)
        return Current([Path(t, t.delay, kernel=Kernel(scaled, node.stride, out=out), attention=node)], [])

    def SumPool(self, name):
        return self.pooled(name, "sum", False)

    def AvgPool(self, name):
        return self.pooled(name, "sum", True)

    def MaxPool(self, name):
        return self.pooled(name, "max", False)

    def pooled(self, name, kind, average):
        node, shape = self.model.nodes[name], self.model.shapes[name]
        kernel, stride, padding = node.geometry(len(shape) - 1)
        if len(shape) == 2:
            kernel, stride, padding = (1, *kernel), (1, *stride), (0, *padding)
        out, value = as_map(shape), self.only(name)
        n = kernel[0] * kernel[1]
        if isinstance(value, Current):
            return self.pooled_current(value, kernel, stride, n if average else 1, out)
        trains = []
        for i, t in enumerate(value):
            key = name if len(value) == 1 else f"{name}/{i}"
            top = t.source.top * n if kind == "sum" else t.source.top
            source = self.source(key, out, top, t.source.signed)
            self.pools[key] = (kind, t, kernel, stride, padding)
            area = t.source.map[1] * t.source.map[2]
            scale = np.repeat(t.scale[::area], out[1] * out[2])
            offset = None if t.offset is None else np.repeat(t.offset[::area], out[1] * out[2])
            trains.append(Train(source, scale / n if average else scale, offset))
        return trains

    def pooled_current(self, value, kernel, stride, divisor, out):
        paths = [replace(p, kernel=_composed(p.kernel, kernel, stride, divisor, out)) for p in value.paths]
        before = value.paths[0].kernel.out
        n, terms = kernel[0] * kernel[1], []
        for flat, first in value.terms:
            whole = flat.reshape(before)
            if (whole == whole[:, :1, :1]).all():
                constant = whole[:, 0, 0] if divisor == n else whole[:, 0, 0] * n
                pooled = np.repeat(constant, out[1] * out[2])
            else:
                pooled = np.array([
                    fsum(whole[c, y * stride[0] + a, x * stride[1] + b]
                         for a in range(kernel[0]) for b in range(kernel[1])) / divisor
                    for c in range(out[0]) for y in range(out[1]) for x in range(out[2])
                ])
            terms.append((pooled, first))
        return Current(paths, terms)


def _times_inputs(weight, values, map_, groups):
    """weight[o, i] times the value of the input channel that it reads."""
    per_channel = values.reshape(map_[0], -1)[:, 0]
    out = weight.copy()
    for o in range(weight.shape[0]):
        group = o // (weight.shape[0] // groups)
        for i in range(weight.shape[1]):
            out[o, i] = weight[o, i] * per_channel[group * weight.shape[1] + i]
    return out


def _composed(kernel, window, stride, divisor, out):
    """A convolution followed by pooling, as one convolution, tap by tap."""
    n_out, n_in, height, width = kernel.weight.shape
    extent = [
        (k - 1) * d + 1 + (n - 1) * s
        for k, d, n, s in zip((height, width), kernel.dilation, window, kernel.stride)
    ]
    parts = {}
    for a in range(window[0]):
        for b in range(window[1]):
            for ky in range(height):
                for kx in range(width):
                    y = a * kernel.stride[0] + ky * kernel.dilation[0]
                    x = b * kernel.stride[1] + kx * kernel.dilation[1]
                    parts.setdefault((y, x), []).append(kernel.weight[:, :, ky, kx])
    weight = np.zeros((n_out, n_in, *extent))
    for (y, x), taps in parts.items():
        for o in range(n_out):
            for i in range(n_in):
                weight[o, i, y, x] = fsum(tap[o, i] for tap in taps)
    return Kernel(weight / divisor, (kernel.stride[0] * stride[0], kernel.stride[1] * stride[1]),
                  kernel.padding, (1, 1), kernel.groups, out)


def _taps(kernel, map_):
    """(target, source, weight) of every synapse, by plain loops."""
    channels, height, width = map_
    n_out, n_in = kernel.weight.shape[:2]
    for o in range(n_out):
        group = o // (n_out // kernel.groups)
        for y in range(kernel.out[1]):
            for x in range(kernel.out[2]):
                target = (o * kernel.out[1] + y) * kernel.out[2] + x
                for ky in range(kernel.weight.shape[2]):
                    iy = y * kernel.stride[0] - kernel.padding[0] + ky * kernel.dilation[0]
                    if not 0 <= iy < height:
                        continue
                    for kx in range(kernel.weight.shape[3]):
                        ix = x * kernel.stride[1] - kernel.padding[1] + kx * kernel.dilation[1]
                        if not 0 <= ix < width:
                            continue
                        for i in range(n_in):
                            source = ((group * n_in + i) * height + iy) * width + ix
                            yield target, source, kernel.weight[o, i, ky, kx]


# ---- rounding


def half_away(values):
    return np.where(np.asarray(values) < 0, -np.floor(-np.asarray(values) + 0.5),
                    np.floor(np.asarray(values) + 0.5))


def toward_zero_4096(values):
    """rsz of a 64-bit product."""
    return np.where(values < 0, -((-values) >> 12), values >> 12)


def phi(u):
    """The membrane potential rectifier (InfLoR-SNN, eq. 9)."""
    if u < 0:
        return 1 - (1 - u) ** (1 / 3)
    if u <= 1:
        return tanh(3 * (u - 1 / 2)) / (2 * tanh(3 / 2)) + 1 / 2
    return u ** (1 / 3)


def steps_per_quantum(rows, quantum):
    """D of each channel and the limits of the weights. rows: per channel, all its weights."""
    candidates = np.arange(2, 2**14 + 1, 2).astype(np.float64)
    for limits, fewest in ((INT8, 16), (INT16, 2)):
        chosen = []
        for weights, delta in zip(rows, quantum):
            extremes = [w for w in (max(weights, default=0.0), min(weights, default=0.0))]
            fits = np.ones(candidates.size, bool)
            for w in extremes:
                whole = half_away((w * candidates) / delta)
                fits &= (whole >= limits[0]) & (whole <= limits[1])
            chosen.append(candidates[fits].max() if fits.any() else 0.0)
        if min(chosen) >= fewest:
            return np.array(chosen), limits
    raise ValueError("weights too large for int16")


class Rounding:
    """How numbers of one layer are rounded to the type of the run."""

    def __init__(self, precision, name, graph, paths):
        self.precision = precision
        self.integer = precision == "int8"
        self.dtype = np.dtype(np.int64 if self.integer else precision)
        model = graph.model
        node, shape = model.nodes[name], model.shapes[name]
        n = int(np.prod(shape))
        self.steps = np.ones(n)
        self.quantum = np.ones(n)
        if not self.integer:
            return
        map_ = graph.membrane_map(name)
        area = map_[1] * map_[2]
        rows = [[] for _ in range(map_[0])]
        for p in paths:
            whole = p.kernel.weight if p.kernel is not None else p.matrix
            if whole is not None:
                for c in range(map_[0]):
                    rows[c] += whole[c].ravel().tolist()
        if isinstance(node, Neuron):
            self.quantum = per_neuron(node.quantum, shape)
            chosen, self.limits = steps_per_quantum(rows, self.quantum[::area])
            self.steps = np.repeat(chosen, area)
        else:
            largest, top = max((abs(w) for row in rows for w in row), default=None), 127.0
            if largest is None:
                top = 2.0**14
                largest = max((np.abs(p.amplitude).max() for p in paths if p.amplitude is not None), default=0)
            self.steps = np.full(n, top / largest if largest else 1.0)

    def exact(self, values, targets=slice(None)):
        return (values * self.steps[targets]) / self.quantum[targets]

    def __call__(self, values, targets=slice(None)):
        """Numbers of target neurons in the run's type."""
        values = np.asarray(values, np.float64)
        if self.integer:
            return half_away(self.exact(values, targets)).astype(np.int64)
        return values.astype(self.dtype)

    def factor(self, values):
        values = np.asarray(values, np.float64)
        return half_away(4096 * values).astype(np.int64) if self.integer else values.astype(self.dtype)

    def product(self, values, factors):
        return toward_zero_4096(values * factors) if self.integer else values * factors


# ---- one path, as lists of synapses


class Synapses:
    """Targets and rounded weights of every source neuron, in the stated order of the sources."""

    def __init__(self, path, rounding, n_targets):
        self.path = path
        source = path.train.source
        channels, height, width = source.map
        self.order = [(c * height + y) * width + x
                      for y in range(height) for x in range(width) for c in range(channels)]
        lists = {s: ([], []) for s in self.order}
        if path.kernel is not None:
            triples = _taps(path.kernel, source.map)
        elif path.matrix is not None:
            n_out, n_in = path.matrix.shape
            triples = ((j, s, path.matrix[j, s]) for j in range(n_out) for s in range(n_in))
        else:
            triples = ((j, j, path.amplitude[j]) for j in range(n_targets))
        for target, s, weight in triples:
            lists[s][0].append(target)
            lists[s][1].append(weight)
        self.targets = {s: np.array(lists[s][0], int) for s in self.order}
        self.weights = {s: rounding(np.array(lists[s][1], float), self.targets[s]) for s in self.order}

    @property
    def n_planes(self):
        return int(self.path.train.source.top).bit_length()

    def total(self):
        return sum(len(t) for t in self.targets.values())


# ---- simulation


class Layer:
    """State and parameters of one Neuron or Readout node for one sample."""

    def __init__(self, name, graph, precision):
        self.name, self.node = name, graph.model.nodes[name]
        self.shape = graph.model.shapes[name]
        self.n = int(np.prod(self.shape))
        self.graph = graph
        paths, terms = [], []
        for edge in graph.model.incoming(name):
            value = graph.read(edge)
            if isinstance(value, Current):
                paths += value.paths
                terms += value.terms
            else:
                for t in value:
                    paths.append(Path(t, t.delay, amplitude=t.scale.copy()))
                    if t.offset is not None:
                        terms.append((t.offset, t.delay))
        paths, terms = self._gain(paths, terms)
        leak, v_leak = per_neuron(self.node.leak, self.shape), per_neuron(self.node.v_leak, self.shape)
        constant = (1 - leak) * v_leak
        if constant.any():
            terms.append((constant, 0))
        self.terms = terms
        self.rounding = Rounding(precision, name, graph, paths)
        self.synapses = [Synapses(p, self.rounding, self.n) for p in paths]
        self.leak64 = leak
        self.leak = self.rounding.factor(leak)
        if isinstance(self.node, Neuron):
            self._thresholds()
        self.reset_state()

    def _gain(self, paths, terms):
        map_ = self.graph.membrane_map(self.name)
        gain = np.asarray(self.node.input_gain)
        whole = per_neuron(gain, self.shape)
        mapped = len(self.shape) > 1 and gain.shape == tuple(self.shape) and map_[1:] != (1, 1)
        self.gain_map = whole if mapped and (whole != 1).any() else None
        if (whole != 1).any():
            if self.gain_map is None:
                paths = [p.times(whole) for p in paths]
            terms = [(value * whole, first) for value, first in terms]
        return paths, terms

    def _thresholds(self):
        node, shape = self.node, self.shape
        theta, delta = per_neuron(node.v_threshold, shape), per_neuron(node.quantum, shape)
        bits = per_neuron(node.bits, shape).astype(int)
        self.bits, self.theta, self.delta = bits, theta, delta
        self.n_bits = bits.max()
        exact = [np.array([fsum((t, -d, 2.0**b * d)) for t, d in zip(theta, delta)])
                 for b in range(self.n_bits)]
        self.threshold = [self.rounding(e) for e in exact]
        self.amount = [self.rounding(2.0**b * delta) for b in range(self.n_bits)]
        self.v_reset = self.rounding(per_neuron(node.v_reset, shape))
        self.v_min = None if node.v_min is None else self.rounding(per_neuron(node.v_min, shape))
        self.refractory = per_neuron(node.refractory, shape).astype(int)

    def reset_state(self):
        dtype = self.rounding.dtype
        self.u = np.zeros(self.n, dtype)
        self.pending = np.zeros(self.n, dtype)
        self.reset_due = np.zeros(self.n, bool)
        self.waiting = np.zeros(self.n, int)

    def bias(self, t):
        terms = [value for value, first in self.terms if first <= t]
        exact = np.array([fsum(values) for values in zip(*terms)]) if terms else np.zeros(self.n)
        return self.rounding(exact)

    def integrate(self, run, t):
        """X[t] from the spikes, path by path, counting synapse by synapse."""
        x = None
        for synapses in self.synapses:
            value = self._path_sum(synapses, run, t)
            x = value if x is None else x + value
        if self.gain_map is not None:
            x = self.rounding.product(x, self.rounding.factor(self.gain_map))
            run.count(self.name, "multiplications", self.n)
        return x + self.bias(t)

    def _path_sum(self, synapses, run, t):
        path, source = synapses.path, synapses.path.train.source
        levels = run.levels(source.key, t - path.delay)
        run.count(self.name, "dense_macs", synapses.total())
        acc = np.zeros(self.n, self.rounding.dtype)
        if source.real:
            for s in synapses.order:
                if levels[s] != 0:
                    value = self.rounding.dtype.type(levels[s])
                    acc[synapses.targets[s]] += synapses.weights[s] * value
                    for name in ("synops", "macs"):
                        run.count(self.name, name, len(synapses.targets[s]))
                    run.count(self.name, "nonzero_synops", int(np.count_nonzero(synapses.weights[s])))
            return acc
        weights, gains = synapses.weights, None
        if path.attention is not None:
            weights, gains = self._attended(synapses, levels, run)
        run.count(self.name, "doublings", (synapses.n_planes - 1) * self.n)
        for b in range(synapses.n_planes - 1, -1, -1):
            acc = acc + acc
            for sign in (1, -1):
                for s in synapses.order:
                    level = int(levels[s]) * sign
                    if level > 0 and level >> b & 1:
                        targets = synapses.targets[s]
                        if sign > 0:
                            acc[targets] = acc[targets] + weights[s]
                        else:
                            acc[targets] = acc[targets] - weights[s]
                        run.count(self.name, "additions", len(targets))
        for s in synapses.order:
            if levels[s] != 0:
                run.count(self.name, "synops", len(synapses.targets[s]))
                run.count(self.name, "nonzero_synops", int(np.count_nonzero(synapses.weights[s])))
        if gains is not None:
            if self.rounding.integer:
                size = (np.abs(acc) * gains + 128) >> 8
                acc = np.where(acc < 0, -size, size)
            else:
                acc = acc * (gains / 256).astype(self.rounding.dtype)
        return acc

    def _attended(self, synapses, levels, run):
        """Weights of an identity Restimulation, or the gains of one with a convolution."""
        path, node = synapses.path, synapses.path.attention
        whole = levels.reshape(path.train.source.map).astype(float)
        scale = path.train.scale.reshape(path.train.source.map)[:, 0, 0]
        out = as_map(self.shape)
        area = out[1] * out[2]
        if node.weight is None:
            means = [(scale[c] * whole[c].sum()) / area for c in range(out[0])]
        else:
            sampled = whole[:, :: node.stride[0], :: node.stride[1]].sum(axis=(1, 2))
            means = []
            for o in range(out[0]):
                total = 0.0
                for i in range(len(sampled)):
                    total = total + node.weight[o, i, 0, 0] * scale[i] * sampled[i]
                means.append(total / area)
        gains = []
        for c in range(out[0]):
            z = 0.0
            for j, k in enumerate(node.kernel):
                if 0 <= c + j - len(node.kernel) // 2 < out[0]:
                    z = z + k * means[c + j - len(node.kernel) // 2]
            gains.append(0 if z < -700 else floor(256 * (1 / (1 + exp(-z))) + 0.5))
        products = len(node.kernel) * out[0] + (out[0] if node.weight is None else self.n)
        run.count(self.name, "multiplications", products)
        per_target = np.repeat(gains, area)
        if node.weight is not None:
            return synapses.weights, per_target
        if self.rounding.integer:
            amplitude = half_away(self.rounding.exact(path.amplitude) * (per_target / 256)).astype(np.int64)
        else:
            amplitude = (path.amplitude * (per_target / 256)).astype(self.rounding.dtype)
        return {s: amplitude[[s]] for s in synapses.order}, None

    def leaked(self, run):
        run.count(self.name, "multiplications", int(((self.leak64 != 0) & (self.leak64 != 1)).sum()))
        run.count(self.name, "neuron_updates", self.n)
        product = self.rounding.product(self.u, self.leak)
        return np.where(self.leak64 == 1, self.u, product)

    def read_out(self, run, t):
        x = self.integrate(run, t)
        self.u = self.leaked(run) + x
        return self.u

    def fire(self, run, t):
        """(levels, H, U) of step t."""
        node = self.node
        before = self.u
        h = self.integrate(run, t)
        h = self.leaked(run) + h
        if node.reset_delay:
            h = h - self.pending if node.reset == "soft" else np.where(self.reset_due, self.v_reset, h)
        idle = self.waiting > 0
        h = np.where(idle, before, h)
        minus = (h < 0) if node.signed else np.zeros(self.n, bool)
        rest = np.where(minus, -h, h)
        level, sent = np.zeros(self.n, int), np.zeros(self.n, h.dtype)
        for b in range(self.n_bits - 1, -1, -1):
            passes = self._passes(rest, b) & ~idle & (self.bits > b)
            rest = np.where(passes, rest - self.amount[b], rest)
            sent = np.where(passes, sent + self.amount[b], sent)
            level += passes.astype(int) << b
        u = np.where(minus, -rest, rest)
        if node.reset == "hard":
            u = np.where(level > 0, self.v_reset, h)
        if node.reset_delay:
            u = h
            self.pending = np.where(minus, -sent, sent)
            self.reset_due = level > 0
        if self.v_min is not None:
            u = np.where(u < self.v_min, self.v_min, u)
        self.waiting = np.where(level > 0, self.refractory, np.where(idle, self.waiting - 1, self.waiting))
        self.u = u
        return np.where(minus, -level, level), h, u

    def _passes(self, h, b):
        strict = self.node.comparison == ">"
        passes = h > self.threshold[b] if strict else h >= self.threshold[b]
        if self.node.rectify and b == 0:
            for j in np.flatnonzero((self.bits == 1) & (self.theta != self.delta / 2)):
                unit = self.rounding.steps[j] if self.rounding.integer else self.delta[j]
                seen, wanted = phi(float(h[j]) / unit), self.theta[j] / self.delta[j]
                passes[j] = seen > wanted if strict else seen >= wanted
        return passes


class Run:
    """One sample through the model."""

    def __init__(self, graph, layers, x, still, steps):
        self.graph, self.layers, self.x, self.still, self.steps = graph, layers, x, still, steps
        self.sent = {}  # (source, step) -> levels
        self.traces = {}  # (layer, step) -> (H, U)
        self.totals = {name: dict.fromkeys(COUNTS, 0) for name in layers}
        self.totals[graph.model.input] = dict.fromkeys(COUNTS, 0)
        self.answers = []

    def count(self, layer, name, n):
        self.totals[layer][name] += int(n)

    def levels(self, key, t):
        """Levels of a source at step t; nothing before step 0."""
        if t < 0:
            return np.zeros(int(np.prod(self.graph.sources[key].map)), int)
        if (key, t) not in self.sent:
            self.sent[key, t] = self._compute(key, t)
        return self.sent[key, t]

    def _compute(self, key, t):
        if key == self.graph.model.input:
            return self.x[0 if self.still else t].reshape(-1)
        if key in self.graph.pools:
            return self._pool(key, t)
        if key in self.graph.adds:
            return sum(self.levels(train.source.key, t - train.delay) for train in self.graph.adds[key])
        levels, h, u = self.layers[key].fire(self, t)
        self.traces[key, t] = (h, u)
        return levels

    def _pool(self, key, t):
        kind, train, kernel, stride, padding = self.graph.pools[key]
        whole = self.levels(train.source.key, t - train.delay).reshape(train.source.map)
        out = np.zeros(self.graph.sources[key].map, int)
        for c in range(out.shape[0]):
            for y in range(out.shape[1]):
                for x in range(out.shape[2]):
                    window = [
                        int(whole[c, iy, ix])
                        for iy in range(y * stride[0] - padding[0], y * stride[0] - padding[0] + kernel[0])
                        for ix in range(x * stride[1] - padding[1], x * stride[1] - padding[1] + kernel[1])
                        if 0 <= iy < whole.shape[1] and 0 <= ix < whole.shape[2]
                    ]
                    out[c, y, x] = sum(window) if kind == "sum" else max(window)
        return out.reshape(-1)

    def go(self):
        """All steps, every node at each of them."""
        for layer in self.layers.values():
            layer.reset_state()
        emitting = [key for key in self.graph.sources]
        output = self.graph.model.output
        for t in range(self.steps):
            for key in emitting:
                levels = self.levels(key, t)
                if key in self.totals:
                    self.count(key, "events", np.count_nonzero(levels))
                    if not self.graph.sources[key].real:
                        self.count(key, "levels", np.abs(levels).sum())
            for name, layer in self.layers.items():
                if isinstance(layer.node, Readout):
                    v = layer.read_out(self, t)
                    self.traces[name, t] = (v, v)
                    self.answers.append(v.copy())
            if output in self.graph.sources:
                self.answers.append(self.levels(output, t))
        return self


def simulate(model, x, precision="float64", timesteps=None):
    """Run x (N, ...) or (N, T, ...), channels first, and return a Result."""
    x = np.asarray(x)
    shape = model.shapes[model.input]
    still = x.ndim == 1 + len(shape)
    steps = x.shape[1] if not still else (timesteps or model.timesteps)
    x = x[:, None] if still else x
    graph = Graph(model)
    layers = {}
    for name, node in model.nodes.items():
        if isinstance(node, (Neuron, Readout)):
            layers[name] = Layer(name, graph, precision)
        if isinstance(node, Input) or model.kinds[name] == "spikes":
            graph.value(name)
    runs = [Run(graph, layers, sample, still, steps).go() for sample in x]
    return _result(model, graph, layers, runs, steps, precision)


def _result(model, graph, layers, runs, steps, precision):
    result = Result()
    stored = np.int32 if precision == "int8" else np.dtype(precision)
    for key, source in graph.sources.items():
        if key in model.nodes and not source.real:
            levels = [[run.levels(key, t) for t in range(steps)] for run in runs]
            result.levels[key] = np.array(levels).reshape(len(runs), steps, *model.shapes[key])
    for name in layers:
        for i, kind in enumerate(("potentials", "residuals")):
            trace = np.array([[run.traces[name, t][i] for t in range(steps)] for run in runs])
            getattr(result, kind)[name] = trace.astype(stored).reshape(
                len(runs), steps, *model.shapes[name])
    result.outputs = np.array([_answers(model, layers, run, precision) for run in runs])
    names = [model.input, *layers]
    result.counts = {
        name: {c: np.array([run.totals[name][c] for run in runs]) for c in COUNTS} for name in names
    }
    return result


def _answers(model, layers, run, precision):
    """What the model answers had it stopped after each step."""
    node = model.nodes[model.output]
    if not isinstance(node, Readout):
        return np.cumsum(np.array(run.answers).astype(np.int64), axis=0).astype(np.float64)
    integer = precision == "int8"
    scale = layers[model.output].rounding.steps
    total, answers = None, []
    for t, v in enumerate(run.answers):
        total = v if total is None else total + v
        answer = {"sum": total, "mean": total, "last": v}[node.reduce]
        if integer:
            answer = answer.astype(np.float64)
            if node.reduce == "mean":
                answer = answer / (t + 1)
            answers.append(answer / scale)
        elif node.reduce == "mean":
            answers.append(answer / answer.dtype.type(t + 1))
        else:
            answers.append(answer)
    return answers
