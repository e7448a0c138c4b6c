"""What a reader of spikes sees: trains, kernels and paths; and every synapse of them as one entry of a list."""

import math
from dataclasses import dataclass, field, replace
from typing import List, Optional, Tuple

import numpy as np


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
    present: flat inputs that exist, or None for all: a dense network has no synapses for others.
    """

    source: str
    delay: int
    grid: Tuple[int, int, int]
    kernel: Optional[Kernel] = None
    amplitude: Optional[np.ndarray] = None
    restimulus: Optional[Restimulus] = None
    present: Optional[np.ndarray] = None

    def delayed(self, delay):
        return replace(self, delay=self.delay + delay)

    def scaled(self, channels):
        """The same synapses with every weight into channel o times channels[o]."""
        return replace(self, kernel=self.kernel.scaled(channels))

    def flattened(self):
        return replace(self, kernel=self.kernel.flattened())


@dataclass
class Largest:
    """The largest of a sum in every window, which reaches a membrane as what a Path adds does.

    current: Current before the pool, on a map of grid (C, H, W). windows: for every neuron after it, flat
        indices before it.
    negated: bool (channels,), of the pooled map: where the largest is taken away.
    """

    current: "Current"
    grid: Tuple[int, int, int]
    windows: List[List[int]]
    negated: np.ndarray

    def delayed(self, delay):
        return replace(self, current=self.current.delayed(delay))

    def scaled(self, factor):
        """Times factor[o] for channel o: its size goes before the pool. factor: (channels,), or one for
        every neuron, the same in all of a channel."""
        factor = factor.reshape(self.negated.size, -1)[:, 0]
        terms = [replace(term, values=term.values * np.repeat(np.abs(factor), term.values.size // factor.size))
                 for term in self.current.terms]
        current = Current([path.scaled(np.abs(factor)) for path in self.current.paths], terms)
        return replace(self, current=current, negated=self.negated != (factor < 0))

    def flattened(self):
        return self  # its neurons are numbered flat already


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
    """Weighted sums: paths (each a Path or a Largest) in their order, and what is added to them."""

    paths: List[object]
    terms: List[Term]

    def delayed(self, delay):
        return Current(
            [path.delayed(delay) for path in self.paths],
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
    image: bool = False


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


def synaptic(paths):
    """The Paths among paths, those before a pool included, in the order in which they are summed."""
    found = []
    for path in paths:
        found += synaptic(path.current.paths) if isinstance(path, Largest) else [path]
    return found


# ---------------------------------------------------------------- explicit synapses


class Synapses:
    """One path into a layer with every synapse written down.

    targets[j], weights[j]: flat indices of the neurons that input j reaches, and the weights in
        the run's type. order: inputs in the order in which they add: row, column, channel.
    """

    def __init__(self, path, source, rounding, n_outputs, precision_is_integer, copies=1):
        """copies: neurons of the layer that each channel of the path stands for, see `LargestSums`."""
        self.path, self.rounding, self.n_outputs = path, rounding, n_outputs
        self.integer = precision_is_integer
        self.real, self.n_planes = source.real, source.n_planes
        channels, height, width = path.grid
        n = channels * height * width
        self.order = np.arange(n).reshape(path.grid).transpose(1, 2, 0).ravel()
        self.part, self.slides = 0, False
        if path.kernel is None:
            amplitude = rounding.identity(path.amplitude)
            self.targets = [np.array([j]) for j in range(n)]
            self.weights = [amplitude[j : j + 1] for j in range(n)]
        else:
            repeated = (path.kernel.copies * copies,) if precision_is_integer else ()
            weight = rounding.kernel(np.repeat(path.kernel.weight, copies, axis=0), *repeated)[::copies]
            self.targets, self.weights, places = _written_down(path.kernel, weight)
            if not self.integer:  # integers add up to the same in any order
                self.word, self.part = _inputs_of_a_part(path, source.image)
                self.slides = not self.part and _is_three_wide(path)
            if self.part:  # of each synapse, where its part of its neuron's sum stands
                in_parts = [self._parts_of(numbers) for numbers in places]
                self.n_parts = 1 + max(int(numbers.max(initial=0)) for numbers in in_parts)
                self.in_parts = [in_parts[j] * n_outputs + self.targets[j] for j in range(n)]
        self.reached = np.array([len(targets) for targets in self.targets])
        self.nonzero = np.array([np.count_nonzero(weights) for weights in self.weights])

    def value(self, levels, step):
        """The path's contribution to X, in the run's type, for levels (or real numbers)."""
        if self.real:
            return self._multiplied(levels)
        weights = self.weights
        attention = self.path.restimulus
        g256 = None if attention is None else attention_gain(attention, levels)
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
            positive = [j for j in events if levels[j] > 0 and (levels[j] >> bit) & 1]
            negative = [j for j in events if levels[j] < 0 and (-levels[j] >> bit) & 1]
            if self.slides:
                acc = acc + self._in_columns(positive)
                acc = acc - self._in_columns(negative)
            elif self.part:
                acc = self._in_parts(acc, positive, np.add)
                acc = self._in_parts(acc, negative, np.subtract)
            else:
                one_by_one(np.add, acc, [self.targets[j] for j in positive], [weights[j] for j in positive])
                one_by_one(np.subtract, acc, [self.targets[j] for j in negative], [weights[j] for j in negative])
        return acc

    def _parts_of(self, places):
        """The parts that inputs belong to, by their places under the window: words, and parts of these."""
        per_word = math.ceil(self.word / self.part)
        return places // self.word * per_word + places % self.word // self.part

    def _in_parts(self, acc, events, joined):
        """Small windows: each part of a window is a sum of its own, added to (or taken from) what there is."""
        parts = np.zeros((self.n_parts, self.n_outputs), self.rounding.dtype)
        flat = parts.reshape(-1)
        one_by_one(np.add, flat, [self.in_parts[j] for j in events], [self.weights[j] for j in events])
        for part in parts:
            acc = joined(acc, part)
        return acc

    def _in_columns(self, events):
        """Windows three columns wide, moved by one: a plane's sum by itself, by column, row, channel."""
        _, height, width = self.path.grid
        events = sorted(events, key=lambda j: (j % width, j // width % height, j))
        total = np.zeros(self.n_outputs, self.rounding.dtype)
        one_by_one(np.add, total, [self.targets[j] for j in events], [self.weights[j] for j in events])
        return total

    def _multiplied(self, numbers):
        acc = np.zeros(self.n_outputs, self.rounding.dtype)
        events = [j for j in self.order if numbers[j]]
        one_by_one(np.add, acc, [self.targets[j] for j in events], [self.weights[j] * numbers[j] for j in events])
        return acc

    def count(self, levels, counts):
        """Add this step's operations to `counts`: for every event, the synapses on its list."""
        events = np.flatnonzero(levels)
        reached = self.reached[events]
        counts["synops"] += int(reached.sum())
        counts["nonzero_synops"] += int(self.nonzero[events].sum())
        if self.real:
            counts["macs"] += int(reached.sum())
        else:
            bits = [bin(abs(level)).count("1") for level in levels[events].tolist()]
            counts["additions"] += int(np.dot(bits, reached))
            counts["doublings"] += (self.n_planes - 1) * self.n_outputs
        present = slice(None) if self.path.present is None else list(self.path.present)
        counts["dense_macs"] += int(self.reached[present].sum())
        attention = self.path.restimulus
        if attention is not None:
            products = attention.channels if attention.weight is None else self.n_outputs
            counts["multiplications"] += attention.kernel.size * attention.channels + products


def one_by_one(joined, sums, targets, weights):
    """Add to (or subtract from) sums, in place, weights[i] at targets[i], lists of arrays: each number in turn."""
    if targets:
        joined.at(sums, np.concatenate(targets), np.concatenate(weights))


class LargestSums:
    """One Largest with every synapse before it written down. compile_path: Path or Largest, number of neurons
    it ends in, copies of a channel -> Synapses or LargestSums."""

    def __init__(self, largest, rounding, n_outputs, n_channels, compile_path):
        self.largest, self.rounding = largest, rounding
        copies = n_channels // largest.negated.size  # of each channel, where a Flatten follows
        self.n_before = math.prod(largest.grid)
        self.paths = [compile_path(path, self.n_before, copies) for path in largest.current.paths]
        self.negated = np.repeat(largest.negated, n_outputs // largest.negated.size)

    def value(self, arriving, step):
        """The contribution to X. arriving: what each of the paths before the pool reads."""
        total = None
        for path, levels in zip(self.paths, arriving):
            value = path.value(levels, step)
            total = value if total is None else total + value
        total = total + self._bias(step)
        largest = np.array([max(total[i] for i in window) for window in self.largest.windows])
        return np.where(self.negated, -largest, largest)

    def _bias(self, step):
        n_channels = self.largest.negated.size
        begun = [term.values for term in self.largest.current.terms if term.first <= step]
        spread = [values.repeat(self.n_before // values.size) for values in begun]
        sums = [math.fsum(values[i] for values in spread) for i in range(self.n_before)]
        return self.rounding.before_pool(np.array(sums), n_channels)

    def count(self, arriving, counts):
        for path, levels in zip(self.paths, arriving):
            path.count(levels, counts)


def _inputs_of_a_part(path, image):
    """Inputs of a word and of a part of it, where sums are made in parts: windows of several positions that all
    outputs see, of at most 64 inputs, or of at most 256 of an image of up to 4 channels. A word is as many rows of
    the window as have 64 inputs together. Of each, as few parts as there can be of up to 9 inputs, or of 7 where
    there are more than 32 channels, all alike. (0, 0): an input at a time."""
    kernel = path.kernel
    channels, (height, width) = kernel.grid[0], kernel.weight.shape[2:]
    most = 256 if image and channels <= 4 else 64
    if path.restimulus is not None or kernel.groups > 1 or height * width == 1:
        return 0, 0
    if channels * width > 64 or channels * height * width > most:
        return 0, 0
    word = min(64 // (channels * width), height) * channels * width
    return word, math.ceil(word / math.ceil(word / (9 if kernel.out_grid[0] <= 32 else 7)))


def _is_three_wide(path):
    """Whether sums are made by columns: of up to 512 inputs under a window."""
    kernel = path.kernel
    inputs = kernel.grid[0] * kernel.weight.shape[2] * kernel.weight.shape[3]
    return (inputs <= 512 and path.restimulus is None and kernel.weight.shape[3] == 3 and kernel.stride == (1, 1)
            and kernel.dilation == (1, 1) and kernel.groups == 1 and kernel.out_grid[2] >= 3)


def _written_down(kernel, weight):
    """(targets, weights, places) per input of a kernel whose weights have the run's type. places: of each synapse,
    its input's number under the window, by row, column, channel."""
    channels, height, width = kernel.grid
    n_out, rows, columns = kernel.out_grid
    per_group_in, per_group_out = channels // kernel.groups, n_out // kernel.groups
    taps = [_taps(kernel, y, x) for y in range(height) for x in range(width)]
    targets, weights, places = [], [], []
    for group in range(kernel.groups):
        outputs = np.arange(per_group_out) + group * per_group_out
        found = []  # of each tap arrays over the synapses of an input: taps, then outputs
        for row, column, ky, kx in taps:
            neurons = (outputs * rows + row[:, np.newaxis]) * columns + column[:, np.newaxis]
            own = neurons if kernel.untied else outputs
            of_inputs = weight[own, :, ky[:, np.newaxis], kx[:, np.newaxis]].reshape(neurons.size, per_group_in)
            place = np.repeat((ky * weight.shape[3] + kx) * channels, per_group_out)
            found.append((neurons.ravel(), of_inputs.T.copy(), place))
        for c in range(per_group_in):
            targets += [neurons for neurons, _, _ in found]
            weights += [of_inputs[c] for _, of_inputs, _ in found]
            places += [place + group * per_group_in + c for _, _, place in found]
    return targets, weights, places


def _taps(kernel, y, x):
    """(output rows, output columns, ky, kx), an array each, of the taps that read input position (y, x)."""
    return np.array(kernel.synapses(y, x), dtype=np.int64).reshape(-1, 4).T


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
