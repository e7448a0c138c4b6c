"""Networks for tests: hypothesis strategies over every node and option, and fixed examples.

    @given(runs())                  # or runs(real=False) where int8 runs too
    def test(run):
        model, x, timesteps = run

    @given(chip_runs())             # under a chip whose numbers overflow now and then
    def test(run):
        model, x, timesteps, chip = run

    every_node_models()             # name -> (model, x): each node type and option at least once

A network is grown by `Draft`, node by node, from a `Chooser`; structure comes from the chooser
(hypothesis shrinks it), weights from a numpy Generator with a drawn seed (they do not shrink, and
cost nothing). Weights are scaled by the fan-in and by what a level is worth, so that neurons spike
without all spiking at every step. `random_run(seed)` grows the same networks without hypothesis.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from hypothesis import strategies as st

from eventsim.model.chip import find_chip, Chip, ROUNDINGS
from eventsim.model.input import Input
from eventsim.model.network import Model
from eventsim.model.neurons import Alpha, Neuron, Readout, SigmaDelta
from eventsim.model.synapses import Conv1d, Conv2d, ConvTranspose2d, Dense, Restimulation
from eventsim.model.transforms import (
    Add, AvgPool, BatchNorm, Concat, Delay, Flatten, MaxPool, SumPool, Upsample,
)

WIDE = (1, 2, 3, 5, 8, 16, 17, 33, 65, 70)  # channels: around 16, 32 and 64 lanes
NARROW = (1, 2, 3, 4, 6)
WIDEST_POOLED = 5  # bits: beyond this, levels are not summed again, so that int32 suffices
RATE = 0.3  # fraction of active inputs that weights are scaled for


# ---------------------------------------------------------------- choosing


class DrawnChooser:
    """Choices made by hypothesis."""

    def __init__(self, draw):
        self._draw = draw

    def pick(self, options):
        return self._draw(st.sampled_from(tuple(options)))

    def whole(self, low, high):
        return self._draw(st.integers(low, high))

    def seldom(self):
        """True about one time in four; shrinks to False."""
        return self._draw(st.sampled_from((False, False, False, True)))


class RandomChooser:
    """The same choices made by a numpy Generator."""

    def __init__(self, seed):
        self._rng = np.random.default_rng(seed)

    def pick(self, options):
        options = tuple(options)
        return options[self._rng.integers(len(options))]

    def whole(self, low, high):
        return int(self._rng.integers(low, high + 1))

    def seldom(self):
        return bool(self._rng.integers(4) == 0)


# ---------------------------------------------------------------- growing


@dataclass
class Value:
    """What a node of a draft gives.

    kind as in the Model. unit: what an active input is typically worth. bits: width of levels.
    offset: whether level 0 is worth something. virtual: a sum of trains of unequal quanta; of a current,
        the maximum of one.
    """

    name: str
    shape: tuple
    kind: str
    unit: float
    bits: int = 1
    offset: bool = False
    virtual: bool = False

    @property
    def is_map(self):
        return len(self.shape) > 1


class Draft:
    """A network in the making. Each method adds nodes behind a Value and returns the new one.

    chip: the chip that it has to suit, or None."""

    def __init__(self, choose, rng, chip=None):
        self.choose, self.rng, self.chip = choose, rng, chip
        self.nodes, self.edges = {}, []

    def add(self, node, sources, kind, unit=1.0, bits=1, offset=False, virtual=False, delays=True):
        """Append `node`, fed by `sources` (Values), seldom over a delayed edge."""
        name = f"{node.kind.lower()}{len(self.nodes)}"
        self.nodes[name] = node
        for source in sources:
            delay = self.choose.pick((0,) * 8 + (1, 2)) if delays else 0
            self.edges.append((source.name, name, delay))
        shape = node.output_shape(sources[0].shape) if sources else node.shape
        return Value(name, shape, kind, unit, bits, offset, virtual)

    def model(self, timesteps):
        return Model(self.nodes, self.edges, timesteps)

    # ---- parameters

    def weights(self, shape, fan_in, unit):
        """Weights under which a sum has a spread of about 1, sometimes with zeros."""
        values = self.rng.normal(0.3, 1.4, shape) / (math.sqrt(fan_in * RATE) * unit)
        if self.choose.seldom():
            values[self.rng.random(shape) < 0.4] = 0
        return values

    def bias(self, n):
        return self.rng.normal(0.1, 0.2, n) if self.choose.pick((False, True)) else None

    def per_channel(self, shape, low, high):
        """A number, or one per channel."""
        if self.choose.pick((False, True)):
            return self.rng.uniform(low, high, shape[:1])
        return float(np.round(self.rng.uniform(low, high), 2))

    def parameter(self, shape, low, high):
        """A number, one per channel, or one per neuron."""
        if self.choose.seldom():
            return self.rng.uniform(low, high, shape)
        return self.per_channel(shape, low, high)

    # ---- inputs

    def input(self, real):
        axes = self.choose.pick((3, 3, 2, 1))
        extents = [self.choose.whole(1, 6) for _ in range(axes - 1)]
        channels = self.choose.pick(WIDE if self.choose.seldom() or axes == 1 else NARROW)
        shape = (channels, *extents)
        encodings = ("spikes", "image", "real") if real else ("spikes", "image")
        return getattr(self, "_input_" + self.choose.pick(encodings))(shape)

    def _input_image(self, shape):
        bits = self.choose.whole(1, 8)
        node = Input(shape, "image", bits, scale=1 / (2**bits - 1))
        if self.choose.pick((False, True)):
            node.mean = self.rng.uniform(0.1, 0.6, shape[:1])
            node.std = np.asarray(self.per_channel(shape, 0.2, 0.6))
        offset = bool(node.mean.any())
        return self.add(node, (), "spikes", 0.6 / float(node.std.mean()), bits, offset)

    def _input_spikes(self, shape):
        bits = self.choose.pick((1, 1, 2, 3, 8))
        node = Input(shape, "spikes", bits, self.choose.seldom(), self.choose.pick((1.0, 0.5, 0.3)))
        return self.add(node, (), "spikes", node.scale * 2 ** (bits - 1), bits)

    def _input_real(self, shape):
        return self.add(Input(shape, "real"), (), "real")

    # ---- synapses

    def synapses(self, value, channels=None):
        """A Dense or a convolution, whatever fits the value's shape."""
        channels = channels or self.choose.pick(WIDE if self.choose.seldom() else NARROW)
        if not value.is_map:
            return self.dense(value, channels)
        return self.convolution(value, channels)

    def dense(self, value, channels):
        n = value.shape[0]
        node = Dense(self.weights((channels, n), n, value.unit), self.bias(channels))
        return self.add(node, [value], "current")

    def convolution(self, value, channels, paddings=(0, 1, 2)):
        kernel, padding, stride, dilation = zip(*(self._taps(size, paddings) for size in value.shape[1:]))
        groups = self.choose.pick((1, 1, 1, math.gcd(channels, value.shape[0]), value.shape[0]))
        channels = math.ceil(channels / groups) * groups  # depthwise: a multiple of the inputs
        if channels > 80:
            groups, channels = 1, 4
        fan_in = value.shape[0] // groups * math.prod(kernel)
        shape = (channels, value.shape[0] // groups, *kernel)
        cls = Conv2d if len(kernel) == 2 else Conv1d
        node = cls(
            self.weights(shape, fan_in, value.unit), self.bias(channels), stride, padding, dilation,
            groups,
        )
        return self.add(node, [value], "current")

    def _taps(self, size, paddings):
        """(kernel, padding, stride, dilation) that fit along an axis of `size`."""
        kernel = self.choose.pick((1, 2, 3, 3, 4))
        padding = self.choose.pick(paddings)
        dilation = self.choose.pick((1, 1, 2))
        if dilation * (kernel - 1) + 1 > size + 2 * padding:
            kernel, dilation = min(kernel, size), 1
        return kernel, padding, self.choose.pick((1, 1, 2)), dilation

    def same_shape(self, value, unit, shape, size=1):
        """Synapses from `value` to a layer of `shape` that has its positions; size: odd kernel."""
        if not value.is_map:
            n = value.shape[0]
            return self.add(Dense(self.weights((shape[0], n), n, unit)), [value], "current")
        axes = len(shape) - 1
        kernel = (shape[0], value.shape[0]) + (size,) * axes
        weight = self.weights(kernel, math.prod(kernel[1:]), unit)
        cls = Conv2d if axes == 2 else Conv1d
        return self.add(cls(weight, padding=size // 2), [value], "current")

    # ---- between spikes and currents

    def normalised(self, value):
        """A BatchNorm, on spikes, real numbers or a current."""
        n = value.shape[0]
        node = BatchNorm(
            self.rng.uniform(0.5, 1.5, n), self.rng.normal(0.1, 0.2, n),
            self.rng.normal(0, 0.2, n), self.rng.uniform(0.3, 1.5, n),
            scale=self.choose.pick((1.0, 0.7)),
        )
        kind = "current" if value.kind == "current" else "scaled"
        return self.add(node, [value], kind, value.unit, value.bits, True, value.virtual)

    def pooled(self, value):
        """A pool on spikes, scaled spikes or a current, where there is one that is defined."""
        allowed = self._pools_for(value)
        if not allowed or not value.is_map:
            return value
        cls, may_pad = self.choose.pick(allowed)
        kernel = tuple(min(self.choose.pick((2, 2, 3)), size) for size in value.shape[1:])
        stride = self.choose.pick((None, 1, 2))
        padding = 0
        if may_pad and self.choose.seldom():
            padding = tuple(self.choose.whole(0, k // 2) for k in kernel)
        equal = cls is AvgPool or value.kind == "current" and cls is SumPool  # windows have to be
        ceil_mode = not equal and self.choose.pick((False, True))
        node = cls(kernel, stride, padding, ceil_mode)
        size = 1 if cls is MaxPool else math.prod(kernel)
        bits = ((2**value.bits - 1) * size).bit_length()
        unit = value.unit * (max(1.0, size * RATE) if cls is SumPool else 1.0)
        largest = value.kind == "current" and cls is MaxPool
        return self.add(node, [value], value.kind, unit, bits, value.offset, value.virtual or largest)

    def _pools_for(self, value):
        """(class, whether padding is defined) of the pools that may follow."""
        if value.kind == "current":
            sums = [] if value.virtual else [(AvgPool, False), (SumPool, False)]
            return sums if self.chip is not None else [*sums, *[(MaxPool, True)] * 2]  # no chip has it
        if value.kind == "scaled":
            return [(AvgPool, False)] if value.bits <= WIDEST_POOLED else []
        if value.kind != "spikes":
            return []
        allowed = [] if value.virtual else [(MaxPool, True)]
        if value.bits <= WIDEST_POOLED:
            allowed.append((AvgPool, not value.offset))
            allowed += [] if value.offset else [(SumPool, True)]
        return allowed

    def flattened(self, value):
        return self.add(
            Flatten(), [value], value.kind, value.unit, value.bits, value.offset, value.virtual
        )

    def summed(self, a, b):
        """An Add of two spiking values of equal shape."""
        virtual = a.virtual or b.virtual or a.offset or b.offset or not self._equal_quanta(a, b)
        bits = max(a.bits, b.bits) + 1
        offset = a.offset or b.offset
        return self.add(Add(), [a, b], "spikes", a.unit + b.unit, bits, offset, virtual)

    def delayed(self, value):
        """A Delay of spikes: the same for all, or by channel or neuron where that is defined."""
        steps = self.choose.whole(0, 2)
        if not value.offset and self.choose.pick((False, True, True)):
            steps = self.rng.integers(0, 4, value.shape if self.choose.seldom() else value.shape[:1])
        node = Delay(steps)
        return self.add(
            node, [value], value.kind, value.unit, value.bits, value.offset, value.virtual
        )

    def _equal_quanta(self, a, b):
        """Surely equal: two uses of the same node, or two neurons with the same number."""
        if a.name == b.name:
            return True
        nodes = self.nodes[a.name], self.nodes[b.name]
        if not all(isinstance(node, Neuron) for node in nodes):
            return False
        quanta = [n.quantum if n.output_quantum is None else n.output_quantum for n in nodes]
        return np.array_equal(*quanta)

    # ---- neurons

    def neuron(self, sources, recurrent=False):
        """A Neuron with options drawn, fed by `sources`; seldom also by itself."""
        shape = sources[0].shape
        bits = self.choose.pick((1, 1, 1, 2, 3, 4))
        if self.chip is not None:
            bits = min(bits, self.chip.spike_bits)
        options = {"bits": bits, **self._thresholds(shape, bits), **self._membrane(shape)}
        options.update(self._reset(shape))
        if self.chip is None and np.max(bits) == 1 and "reset_delay" not in options and self.choose.seldom():
            options["reset"] = "none"
        node = Neuron(**options)
        worth = node.quantum if node.output_quantum is None else node.output_quantum
        unit = float(worth.mean()) * 2 ** (bits - 1)
        value = self.add(node, sources, "spikes", unit, bits)
        if recurrent:
            self._close(value, 2 * unit)
        return value

    def sigma_delta(self, sources, recurrent=False):
        """A SigmaDelta with options drawn, whose quanta divide exactly."""
        shape = sources[0].shape
        bits = self.choose.pick((3, 16, 8, 2, 1))
        if self.chip is not None:
            bits = min(bits, self.chip.spike_bits)
        node = SigmaDelta(
            self.choose.pick(("sigma_delta", "delta")),
            self.parameter(shape, 0, 0.5) if self.choose.pick((False, True)) else 0.0,
            self.parameter(shape, -0.3, 0.3) if self.choose.pick((False, True)) else 0.0,
            self.choose.pick((0.25, 1 / 64, 1.0)), bits, self.choose.pick((True, True, False)),
            **self._timing(),
        )
        value = self.add(node, sources, "spikes", 0.7, bits)
        if recurrent:
            self._close(value, 2.0)
        return value

    def _close(self, value, unit):
        """Edges from a neuron back to itself: straight, through a Delay, through synapses."""
        back = value
        if self.choose.seldom():
            back = self.delayed(back)
        if not self.choose.seldom():
            back = self.same_shape(back, unit, value.shape)
        self.edges.append((back.name, value.name, self.choose.whole(1, 2)))

    def _thresholds(self, shape, bits):
        """quantum, v_threshold, signed, rectify, comparison, and bits where per channel."""
        options = {"comparison": self.choose.pick((">=", ">=", ">"))}
        quantum = self.choose.pick((1.0, 0.5, None))
        if quantum is None:
            quantum = self.per_channel(shape, 0.4, 1.0)
        options["quantum"] = quantum
        form = self.choose.pick(("half", "whole", "free"))
        factor = {"half": 0.5, "whole": 1.0}.get(form)
        theta = self.parameter(shape, 0.3, 0.9) if factor is None else factor * np.asarray(quantum)
        options["v_threshold"] = theta
        options["signed"] = self.choose.seldom() and (self.chip is None or self.chip.signed_spikes)
        if not options["signed"] and (bits == 1 or form == "half"):
            options["rectify"] = self.choose.seldom()
        if bits > 1 and self.choose.seldom():
            per_channel = self.rng.integers(1, bits + 1, shape[0])
            per_channel[self.rng.integers(shape[0])] = bits
            options["bits"] = per_channel
        if self.choose.seldom():
            options["output_quantum"] = self.per_channel(shape, 0.3, 1.2)
        return options

    def _membrane(self, shape):
        """leak, current_leak, input_gain, v_leak, bias, and what `_timing` draws."""
        options = {"leak": self._leak(shape), **self._timing()}
        if self.choose.seldom():
            options["current_leak"] = self._leak(shape)
        if self.choose.seldom():
            options["input_gain"] = self.parameter(shape, 0.6, 1.6)
        if self.choose.seldom():
            options["v_leak"] = self.parameter(shape, -0.2, 0.4)
        if self.choose.seldom():
            options["bias"] = self.parameter(shape, -0.2, 0.3)
        return options

    def _timing(self):
        """reset_interval and its offset, resolution."""
        options = {}
        if self.choose.seldom():
            interval = self.choose.whole(1, 4)
            options = {"reset_interval": interval, "reset_offset": self.choose.whole(0, interval - 1)}
        if self.choose.seldom():
            shift = 0 if self.chip is None else self.chip.weight_shift
            options["resolution"] = self.choose.pick((64.0, 16.0, 101.3)) * 2**shift
        return options

    def _leak(self, shape):
        leak = self.choose.pick((1.0, 1.0, 0.5, 0.0, None))
        return self.parameter(shape, 0.3, 0.99) if leak is None else leak

    def _reset(self, shape):
        """reset, v_reset, v_min, and one of reset_delay and refractory."""
        options = {"reset": self.choose.pick(("soft", "hard"))}
        if options["reset"] == "hard" and self.choose.pick((False, True)):
            options["v_reset"] = self.parameter(shape, -0.3, 0.2)
        if self.choose.seldom():
            options["v_min"] = self.parameter(shape, -0.8, -0.1)
        late = self.choose.pick(("", "", "reset_delay", "refractory"))
        if late == "reset_delay":
            options["reset_delay"] = 1
        if late == "refractory":
            options["refractory"] = np.floor(self.parameter(shape, 1, 3.9))
        return options

    def readout(self, sources):
        shape = sources[0].shape
        options = {"reduce": self.choose.pick(("mean", "sum", "last")), **self._membrane(shape)}
        return self.add(Readout(**options), sources, "output")

    def restimulated(self, value, shape=None):
        """A Restimulation of `value`: the identity, or a 1x1 convolution to another map shape."""
        kernel = self.rng.normal(0.5, 1, self.choose.pick((1, 3, 5)))
        if shape is None:
            return self.add(Restimulation(kernel), [value], "current")
        weight = self.weights((shape[0], value.shape[0], 1, 1), value.shape[0], 2 * value.unit)
        return self.add(Restimulation(kernel, weight), [value], "current")

    # ---- blocks

    def block(self, value):
        """Synapses and a neuron, with whatever may stand before, between and beside them."""
        shortcut = self.choose.pick(("", "", "", "identity", "weighted", "restimulation"))
        if shortcut:
            current, beside = self._with_shortcut(value, shortcut)
            if shortcut == "weighted" and self.chip is None and self.choose.pick((False, True)):
                current, beside = self.largest([current, *beside]), []
        else:
            current, beside = self._without_shortcut(value), []
        if self.choose.seldom():
            current = self.normalised(current)
        sources = [current] + beside
        if self.choose.seldom():
            sources = sources[::-1]
        return self.firing(sources, recurrent=self.choose.seldom())

    def firing(self, sources, recurrent=False):
        """A Neuron, or seldom a SigmaDelta where its levels, which have a sign, are allowed."""
        allowed = self.chip is None or self.chip.signed_spikes
        make = self.sigma_delta if allowed and self.choose.seldom() else self.neuron
        return make(sources, recurrent)

    def _without_shortcut(self, value):
        before = self.normalised(value) if self.choose.seldom() else value
        # levels may be pooled after a BatchNorm, real numbers may not
        if before.kind == "scaled" and value.kind == "spikes" and self.choose.seldom():
            before = self.pooled(before)
        current = self.synapses(before)
        current = self.pooled(current) if self.choose.seldom() else current
        return self.composed(current) if self.choose.seldom() else current

    def composed(self, current):
        """Synapses behind a current; of a map seldom dense ones, else a convolution that pads little."""
        if current.virtual:  # a maximum
            return current
        if current.is_map and self.choose.seldom():
            current = self.flattened(current)
        if not current.is_map:
            return self.dense(current, self.choose.pick(NARROW))
        return self.convolution(current, self.choose.pick(NARROW), paddings=(0, 0, 0, 1))

    def _with_shortcut(self, value, shortcut):
        """(current, [what else reaches the neuron]), at the positions of `value`."""
        plain = value.kind == "spikes" and not value.offset and not value.virtual
        if shortcut == "restimulation" and not plain:
            shortcut = "identity"
        same_channels = shortcut == "identity" or len(value.shape) != 3 or self.choose.seldom()
        shape = value.shape
        if not same_channels:
            shape = (self.choose.pick(NARROW), *value.shape[1:])
        current = self.same_shape(value, value.unit, shape, self.choose.pick((3, 1)))
        if shortcut == "identity":
            return current, [value]
        if shortcut == "weighted":
            return current, [self.same_shape(value, 2 * value.unit, shape)]
        return current, [self.restimulated(value, None if same_channels else shape)]

    def largest(self, currents):
        """The maximum of a sum of currents, seldom another pool behind it; of vectors the sum."""
        total = self.add(Add(), currents, "current")
        if not total.is_map:
            return total
        kernel = min(self.choose.pick((2, 2, 1)), *total.shape[1:])
        pooled = self.add(MaxPool(kernel, self.choose.pick((1, 2))), [total], "current", virtual=True)
        return self.pooled(pooled) if self.choose.seldom() else pooled

    def residual(self, value):
        """Two neurons of equal shape, added as spikes (SEW); pooled sometimes."""
        first = self.block(value)
        second = self.neuron([self.same_shape(first, first.unit, first.shape)])
        total = self.summed(first, second)
        return self.pooled(total) if self.choose.seldom() else total

    def bare_neuron(self, value):
        """A neuron that reads its input through identity paths only."""
        return self.firing([value])


def _grow(choose, real, chip=None):
    """(model, x, timesteps) from a chooser."""
    rng = np.random.default_rng(choose.whole(0, 2**32 - 1))
    draft = Draft(choose, rng, chip)
    value = draft.input(real)
    for _ in range(choose.pick((1, 2, 0))):
        kind = choose.pick(("block", "block", "residual", "pooled", "bare_neuron"))
        value = getattr(draft, kind)(value)
        if value.kind == "spikes" and choose.seldom():
            value = draft.delayed(value)
    value = _end(draft, choose, value)
    steps = choose.pick((4, 3, 5, 2, 6, 1, 4))
    model = draft.model(steps)
    return model, *samples(model, choose, rng, steps)


def _end(draft, choose, value):
    """The head: flattened or not, a Readout or a Neuron, behind synapses or none."""
    if value.is_map and choose.pick((True, True, False)):
        if value.kind == "spikes" and choose.seldom():
            value = draft.normalised(value)
        if choose.seldom():
            value = draft.flattened(draft.convolution(value, 2))
            value = draft.composed(value) if choose.seldom() else value
        else:
            value = draft.flattened(value)
    if value.kind != "current" and choose.pick((True, True, True, False)):
        value = draft.synapses(value, choose.pick((2, 3, 10, 17)))
    if choose.pick((True, True, False)):
        return draft.readout([value])
    return draft.neuron([value])


def samples(model, choose, rng, steps):
    """(x, timesteps): samples for a model's Input, still or with an axis of `steps`."""
    node = model.nodes[model.input]
    still = choose.pick((True, False))
    n = choose.whole(1, 2)
    shape = (n, *node.shape) if still else (n, steps, *node.shape)
    longer = steps + choose.whole(0, 1)
    timesteps = choose.pick((None, longer)) if still else choose.pick((None, steps))
    return levels_for(node, rng, shape), timesteps


def levels_for(node, rng, shape):
    """Values that an Input takes, about half of them not zero."""
    if node.encoding == "image":
        return rng.integers(0, 2**node.bits, shape)
    active = rng.random(shape) < 0.5
    if node.encoding == "real":
        return np.where(active, rng.normal(0.2, 1, shape), 0.0)
    levels = rng.integers(1, 2**node.bits, shape) * active
    return levels * rng.choice((-1, 1), shape) if node.signed else levels


@st.composite
def runs(draw, real=True):
    """Strategy of (model, x, timesteps); real=False leaves out real inputs, which int8 refuses."""
    return _grow(DrawnChooser(draw), real)


def random_run(seed, real=True):
    """(model, x, timesteps) as `runs` gives them, from a seed alone."""
    return _grow(RandomChooser(seed), real)


def _chip(choose):
    """A Chip: built in, or one so narrow that numbers leave it now and then."""
    name = choose.pick(("narrow", "narrow", "narrow", "loihi", "lava_sdnn"))
    if name != "narrow":
        return find_chip(name)
    bits, shift = choose.pick((8, 6, 9, 4, 12, 16)), choose.pick((0, 0, 3, 6, 1, 12))
    widths = {}
    for quantity, extra in (("sum", 0), ("current", shift), ("membrane", shift + 1)):
        narrow = bits + extra + choose.whole(-1, 4)
        width = choose.pick((narrow, narrow, None, 32))
        widths[quantity + "_bits"] = width if width is None or width <= 30 else 32
        widths[quantity + "_overflow"] = "wrap"
        if widths[quantity + "_bits"] != 32:
            rules = ("wrap", "wrap_once", "saturate", "saturate_symmetric")
            widths[quantity + "_overflow"] = choose.pick(rules)
    return Chip(
        "narrow", "", bits, choose.whole(1, 4 if bits > 4 else 3), shift, **widths,
        decay_bits=choose.pick((12, 8, 3, 1, 16)), decay_rounding=choose.pick(ROUNDINGS),
        spike_bits=choose.pick((16, 16, 4, 1)), signed_spikes=choose.pick((True, True, False)),
        comparison=choose.pick((None, None, ">", ">=")), max_delay=choose.pick((None, None, 62, 2)),
    )


def _chip_run(choose):
    chip = _chip(choose)
    return *_grow(choose, False, chip), chip


@st.composite
def chip_runs(draw):
    """Strategy of (model, x, timesteps, chip)."""
    return _chip_run(DrawnChooser(draw))


def random_chip_run(seed):
    """(model, x, timesteps, chip) as `chip_runs` gives them, from a seed alone."""
    return _chip_run(RandomChooser(seed))


# ---------------------------------------------------------------- fixed examples


def chain(*nodes, delays=(), timesteps=4):
    """A Model of nodes one after another, named by kind and place ("dense1"); delays: place -> d."""
    names = [f"{node.kind.lower()}{i}" for i, node in enumerate(nodes)]
    delays = dict(delays)
    edges = [
        (source, target, delays.get(i + 1, 0))
        for i, (source, target) in enumerate(zip(names, names[1:]))
    ]
    return Model(dict(zip(names, nodes)), edges, timesteps)


def _weight(rng, *shape):
    fan_in = math.prod(shape[1:])
    return rng.normal(0.2, 1, shape) * 1.2 / math.sqrt(fan_in * RATE)


def _batch_norm(rng, n, scale=1.0):
    return BatchNorm(
        rng.uniform(0.7, 1.3, n), rng.normal(0.1, 0.1, n), rng.normal(0, 0.2, n),
        rng.uniform(0.5, 1.5, n), scale=scale,
    )


@lru_cache(maxsize=None)
def every_node_models(seed=0):
    """name -> (model, x): together every node type and every option, small enough for slow runs; made once,
    nothing may change them."""
    rng = np.random.default_rng(seed)
    models = {}
    for make in (
        _image_model, _image_offset_pools, _signed_model, _sequence_model, _real_model,
        _real_sequence, _residual_model, _unequal_sum_model, _recurrent_model,
        _restimulation_model, _pooled_current_model, _flattened_current_model, _wide_model,
        _wide_input_model, _changes_model, _current_loop_model, _delay_model, _delayed_sum_model, _enlarged_model,
        _joined_model,
    ):
        models[make.__name__.strip("_")] = make(rng)
    for name, options in NEURON_OPTIONS.items():
        models[f"neuron_{name}"] = _neuron_model(rng, options)
    for reduce in ("sum", "mean", "last"):
        for leak in (0.0, 0.6, 1.0):
            models[f"readout_{reduce}_{leak}"] = _readout_model(rng, reduce, leak)
    for name, options in CURRENT_OPTIONS.items():
        models[f"current_{name}"] = _neuron_model(rng, {"current_leak": 0.7, **options})
    for name, options in CHANGE_OPTIONS.items():
        models[f"changes_{name}"] = _neuron_model(rng, options, SigmaDelta)
    models["readout_current"] = _readout_model(rng, "sum", 0.5, current_leak=[0.0, 0.6, 1.0], bias=0.1)
    models["readout_reset"] = _readout_model(rng, "mean", 1.0, current_leak=1.0, reset_interval=3)
    apart = np.random.default_rng(seed + 1)  # so that what others draw does not depend on these
    for make in (_maximum_model, _maximum_sequence, _maximum_loop, _maximum_shared, _real_maximum,
                 _summed_currents, _composed_model, _composed_maps, _composed_loop, _composed_real,
                 _composed_spread, _alpha_loop):
        models[make.__name__.strip("_")] = make(apart)
    for name, options in ALPHA_OPTIONS.items():
        models[f"alpha_{name}"] = _neuron_model(apart, options, Alpha)
    return {
        name: (model, levels_for(model.nodes[model.input], rng, _x_shape(model, i)))
        for i, (name, model) in enumerate(models.items())
    }


def _x_shape(model, i):
    """Two samples; every other model gets frames instead of still samples."""
    steps = (model.timesteps,) if i % 2 else ()
    return (2, *steps, *model.nodes[model.input].shape)


def _image_model(rng):
    mean, std = rng.uniform(0.2, 0.6, 3), rng.uniform(0.2, 0.4, 3)
    return chain(
        Input((3, 7, 6), "image", 8, scale=1 / 255, mean=mean, std=std),
        Conv2d(_weight(rng, 5, 3, 3, 3), rng.normal(0, 0.1, 5), stride=(2, 1), padding=1),
        _batch_norm(rng, 5),
        Neuron(quantum=rng.uniform(0.5, 1, 5), v_threshold=0.5),
        AvgPool(2),
        Flatten(),
        Dense(_weight(rng, 4, 30), rng.normal(0, 0.1, 4)),
        Readout("mean"),
    )


def _image_offset_pools(rng):
    """An offset through MaxPool and an unpadded AvgPool, then padding that is zero."""
    return chain(
        Input((2, 7, 7), "image", 4, scale=1 / 15, mean=0.4, std=0.3),
        MaxPool(2, 1),
        AvgPool(2, 2),
        _batch_norm(rng, 2),
        Conv2d(_weight(rng, 4, 2, 3, 3), padding=1),
        Neuron(leak=0.7),
        MaxPool(3, 2, 1, True),
        Conv2d(_weight(rng, 3, 4, 2, 2)),
        Neuron(),
        delays={4: 3},
    )


def _signed_model(rng):
    return chain(
        Input((4, 6, 5), "spikes", 3, signed=True, scale=0.25),
        MaxPool(2, 1, 1),
        Conv2d(_weight(rng, 4, 1, 3, 2), padding=2, dilation=2, groups=4),
        Neuron(0.5, quantum=0.5, bits=2, signed=True),
        SumPool(2, 2, 0, True),
        Conv2d(_weight(rng, 6, 2, 2, 2), padding=1, groups=2),
        Neuron(0.4, quantum=rng.uniform(0.4, 0.8, 6), bits=[1, 2, 3, 1, 2, 3], signed=True,
               comparison=">", reset="hard", v_reset=0.1),
        AvgPool(3, 1, 1),
        Flatten(),
        Dense(_weight(rng, 5, 150)),
        Neuron(signed=True),
        delays={3: 1, 7: 2},
    )


def _enlarged_model(rng):
    """Maps made larger: transposed convolutions with every option, nearest neighbours, on one axis and on two."""
    return chain(
        Input((4, 3, 4), "spikes", 2, signed=True),
        ConvTranspose2d(_weight(rng, 4, 3, 3, 2), rng.normal(0, 0.1, 6), stride=(2, 3), padding=(1, 0),
                        output_padding=(1, 2), dilation=(1, 2), groups=2),
        Neuron(0.6, quantum=0.5, bits=2, signed=True),
        Upsample((1, 2)),
        Conv2d(_weight(rng, 3, 6, 2, 3), stride=2),
        Neuron(leak=0.8),
        ConvTranspose2d(_weight(rng, 3, 2, 2, 2), stride=2),
        Neuron(),
        Flatten(),
        Dense(_weight(rng, 3, 312)),
        Readout("sum"),
        delays={1: 1, 4: 2},
    )


def _joined_model(rng):
    """Channels side by side: of other widths, signs, quanta and delays, across a word of 64."""
    nodes = {
        "in": Input((3, 8), "spikes", 2), "wide": Conv1d(_weight(rng, 62, 3, 3), padding=1),
        "a": Neuron(0.4, quantum=0.4, bits=3), "narrow": Conv1d(_weight(rng, 5, 3, 3), padding=1),
        "b": Neuron(0.5, quantum=rng.uniform(0.4, 0.6, 5), signed=True), "both": Concat(), "pool": MaxPool(2),
        "up": Upsample(2), "mixed": Conv1d(_weight(rng, 4, 70, 1)), "c": Neuron(), "flat": Flatten(),
        "vector": Dense(_weight(rng, 6, 32)), "d": Neuron(bits=2, quantum=0.5), "all": Concat(),
        "fc": Dense(_weight(rng, 4, 38)), "out": Readout("mean"),
    }
    edges = [("in", "wide"), ("wide", "a"), ("in", "narrow"), ("narrow", "b"), ("a", "both"), ("b", "both", 1),
             ("in", "both", 2), ("both", "pool"), ("pool", "up"), ("up", "mixed"), ("mixed", "c"), ("c", "flat"),
             ("flat", "vector"), ("vector", "d"), ("flat", "all", 1), ("d", "all"), ("all", "fc"), ("fc", "out")]
    return Model(nodes, edges, timesteps=4)


def _sequence_model(rng):
    return chain(
        Input((3, 40), "spikes", 2),
        SumPool(2),
        _batch_norm(rng, 3),
        Conv1d(_weight(rng, 17, 3, 3), stride=2, padding=2, dilation=2),
        Neuron(0.5, bits=2, quantum=0.5, rectify=False),
        MaxPool(2),
        Conv1d(_weight(rng, 4, 17, 2)),
        AvgPool(2, 1),
        Readout("sum", leak=0.3),
    )


def _real_model(rng):
    return chain(
        Input((2, 5, 5), "real"),
        _batch_norm(rng, 2),
        Conv2d(_weight(rng, 3, 2, 3, 3), padding=1),
        Neuron(),
        Flatten(),
        Dense(_weight(rng, 3, 75)),
        Readout("last", leak=0.9),
    )


def _real_sequence(rng):
    """Real numbers straight into neurons: one multiply per neuron."""
    return chain(Input((3, 5), "real"), Neuron(leak=0.5, input_gain=[1, 2, 0.5]), Flatten(),
                 _batch_norm(rng, 15), Readout("mean"), delays={1: 1})


def _residual_model(rng):
    """Adds of equal quanta, identity and 1x1 shortcuts into neurons, delays on both kinds."""
    nodes = {
        "in": Input((6, 5, 5), "spikes"),
        "conv1": Conv2d(_weight(rng, 6, 6, 3, 3), padding=1),
        "n1": Neuron(),
        "conv2": Conv2d(_weight(rng, 6, 6, 3, 3), padding=1),
        "n2": Neuron(),
        "sum": Add(),
        "pool": MaxPool(2),
        "conv3": Conv2d(_weight(rng, 4, 6, 3, 3), stride=2, padding=1),
        "skip": Conv2d(_weight(rng, 4, 6, 1, 1), stride=2),
        "n3": Neuron(input_gain=rng.uniform(0.5, 1.5, (4, 1, 1))),
        "flat": Flatten(),
        "out": Readout("sum"),
    }
    edges = [
        ("in", "conv1"), ("conv1", "n1"), ("in", "n1", 1), ("n1", "conv2"), ("conv2", "n2", 1),
        ("n1", "n2"), ("n1", "sum", 2), ("n2", "sum"), ("n2", "sum", 1), ("sum", "pool"),
        ("pool", "conv3"), ("pool", "skip", 1), ("skip", "n3", 1), ("conv3", "n3"),
        ("n3", "flat"), ("flat", "out"),
    ]
    return Model(nodes, edges, 4)


def _unequal_sum_model(rng):
    """Add of unequal quanta: two paths in each reader, through pools and a Flatten too."""
    nodes = {
        "in": Input((3, 4, 4), "spikes", 2),
        "c1": Conv2d(_weight(rng, 3, 3, 3, 3), padding=1),
        "n1": Neuron(0.25, quantum=0.5, bits=2),
        "sum": Add(),
        "conv": Conv2d(_weight(rng, 5, 3, 3, 3), padding=1),
        "pool": SumPool(2, 1, 1),
        "avg": AvgPool(2),
        "wide": Conv2d(_weight(rng, 5, 3, 1, 1), padding=(1, 1)),
        "n2": Neuron(),
        "n3": Neuron(quantum=[0.6, 0.8, 1.0]),
        "flat": Flatten(),
        "dense": Dense(_weight(rng, 4, 12)),
        "cnarrow": Conv2d(_weight(rng, 4, 5, 4, 4)),
        "last": Flatten(),
        "out": Neuron(leak=0.8),
    }
    edges = [
        ("in", "c1"), ("c1", "n1"), ("n1", "sum", 1), ("in", "sum"), ("sum", "conv"),
        ("conv", "n2"), ("sum", "pool"), ("sum", "n3"), ("n3", "avg"), ("avg", "flat"),
        ("flat", "dense"), ("dense", "out", 1), ("n2", "cnarrow"), ("cnarrow", "last"),
        ("last", "out"), ("pool", "wide"), ("wide", "n4"), ("n4", "cn4"), ("cn4", "last4"),
        ("last4", "out"),
    ]
    nodes["n4"] = Neuron(0.7)
    nodes["cn4"] = Conv2d(_weight(rng, 4, 5, 7, 7))
    nodes["last4"] = Flatten()
    return Model(nodes, edges, 4)


def _recurrent_model(rng):
    """A recurrent weighted edge, one straight back, and a cycle through two layers."""
    nodes = {
        "in": Input(5, "spikes"),
        "d1": Dense(_weight(rng, 8, 5)),
        "n1": Neuron(leak=0.8),
        "back1": Dense(0.5 * _weight(rng, 8, 8), rng.normal(0, 0.1, 8)),
        "d2": Dense(_weight(rng, 8, 8)),
        "n2": Neuron(bits=2, quantum=0.5, v_threshold=0.25),
        "out": Readout("last", leak=1.0),
    }
    edges = [
        ("in", "d1"), ("d1", "n1"), ("n1", "back1"), ("back1", "n1", 1), ("n1", "d2"),
        ("d2", "n2"), ("n2", "n2", 2), ("n2", "n1", 1), ("n2", "out"),
    ]
    return Model(nodes, edges, 5)


def _restimulation_model(rng):
    nodes = {
        "in": Input((4, 4, 4), "spikes", 2, scale=0.4),
        "c1": Conv2d(_weight(rng, 4, 4, 3, 3), padding=1),
        "again1": Restimulation(rng.normal(0.5, 1, 3)),
        "n1": Neuron(0.25, quantum=0.5, bits=2, input_gain=rng.uniform(0.7, 1.3, 4)),
        "c2": Conv2d(_weight(rng, 6, 4, 3, 3), stride=2, padding=1),
        "again2": Restimulation(rng.normal(0.5, 1, 3), 0.5 * _weight(rng, 6, 4, 1, 1), 2),
        "n2": Neuron(0.5, input_gain=rng.uniform(0.5, 1.5, (6, 2, 2))),
        "flat": Flatten(),
        "d": Dense(_weight(rng, 24, 24)),
        "again3": Restimulation([0.7]),
        "out": Readout("mean"),
    }
    edges = [
        ("in", "c1"), ("in", "again1", 1), ("c1", "n1"), ("again1", "n1"), ("n1", "c2"),
        ("n1", "again2"), ("c2", "n2"), ("again2", "n2", 1), ("n2", "flat"), ("flat", "d"),
        ("flat", "again3"), ("d", "out"), ("again3", "out"),
    ]
    return Model(nodes, edges, 4)


def _pooled_current_model(rng):
    return chain(
        Input((3, 9, 8), "image", 5, scale=1 / 31, mean=0.3, std=0.5),
        Conv2d(_weight(rng, 6, 1, 2, 3), rng.normal(0, 0.1, 6), stride=(1, 2), padding=1,
               dilation=(2, 1), groups=3),
        AvgPool(2, 1),
        _batch_norm(rng, 6, 0.8),
        Neuron(0.3),
        Conv2d(_weight(rng, 4, 6, 2, 2), rng.normal(0, 0.1, 4), padding=1),
        SumPool(2),
        Neuron(leak=0.5),
        Flatten(),
        Readout("mean"),
        delays={2: 1, 4: 1},
    )


def _maximum_model(rng):
    """Maxima of currents with an offset under padding, behind a Flatten, one behind another, negated."""
    return chain(
        Input((3, 9, 8), "image", 5, scale=1 / 31, mean=0.3, std=0.5),
        Conv2d(_weight(rng, 6, 1, 2, 3), rng.normal(0, 0.1, 6), padding=1, groups=3),
        _batch_norm(rng, 6),
        MaxPool(3, 2, 1, True),
        BatchNorm([1, -1, 0.5, 0, -0.7, 1], rng.normal(0.3, 0.1, 6), rng.normal(0, 0.2, 6), np.full(6, 0.8)),
        Neuron(0.3, leak=0.8, input_gain=[1, 0.5, 2, 1, 1, 1.5]),
        Conv2d(_weight(rng, 4, 6, 2, 2), rng.normal(0, 0.1, 4), padding=1),
        MaxPool(2, 1),
        MaxPool(2),
        Flatten(),
        Neuron(0.5, quantum=np.repeat([0.5, 0.75, 1.0, 1.0], 6), bits=2, leak=rng.uniform(0, 1, 24)),
        Dense(_weight(rng, 3, 24)),
        Readout("mean"),
        delays={2: 1, 4: 1, 8: 2},
    )


def _maximum_sequence(rng):
    """Maxima along one axis, of the sum of two trains of unequal quanta, beside a shortcut."""
    nodes = {
        "in": Input((4, 11), "spikes", 2),
        "c1": Conv1d(_weight(rng, 4, 4, 3), padding=1),
        "n1": Neuron(0.5, output_quantum=[0.5, 0.7, 1.0, 1.3]),
        "sum": Add(),
        "c2": Conv1d(_weight(rng, 17, 4, 3), rng.normal(0, 0.1, 17), padding=1),
        "max": MaxPool(3, 2, 1),
        "skip": Conv1d(_weight(rng, 17, 4, 1), stride=2),
        "n2": Neuron(0.7, reset="hard", input_gain=rng.uniform(0.5, 1.5, (17, 6))),
        "flat": Flatten(),
        "out": Readout("last", leak=0.5),
    }
    edges = [
        ("in", "c1"), ("c1", "n1"), ("n1", "sum", 1), ("in", "sum"), ("sum", "c2"), ("c2", "max"),
        ("n1", "skip"), ("skip", "n2"), ("max", "n2", 2), ("n2", "flat"), ("flat", "out"),
    ]
    return Model(nodes, edges, 6)


def _maximum_loop(rng):
    """A maximum of what neurons send themselves, and one of what comes from outside the loop."""
    nodes = {
        "in": Input((3, 6, 6), "spikes"),
        "c1": Conv2d(_weight(rng, 5, 3, 3, 3), padding=1),
        "max": MaxPool(2),
        "n": Neuron(0.6, leak=0.7, bits=2, quantum=0.5),
        "back": Conv2d(-0.5 * _weight(rng, 5, 5, 3, 3), rng.normal(0, 0.1, 5), padding=1),
        "near": MaxPool(3, 1, 1),
        "c2": Conv2d(_weight(rng, 4, 5, 1, 1)),
        "m": SigmaDelta(quantum=0.25, bits=6, bias=0.1),
        "flat": Flatten(),
        "d": Dense(_weight(rng, 3, 36)),
        "out": Readout("sum"),
    }
    edges = [
        ("back", "near"), ("near", "n"), ("in", "c1"), ("c1", "max", 1), ("max", "n"), ("n", "back", 1),
        ("n", "c2"),
        ("c2", "small"), ("small", "m"), ("m", "flat"), ("flat", "d"), ("d", "out"),
    ]
    nodes["small"] = MaxPool(1, 1)
    return Model(nodes, edges, 6)


def _maximum_shared(rng):
    """The maximum of a sum of currents, read by two layers with gains of their own."""
    nodes = {
        "in": Input((2, 6, 5), "spikes", 3, True, 0.5),
        "c1": Conv2d(_weight(rng, 65, 2, 3, 3), rng.normal(0, 0.1, 65), padding=1),
        "c2": Conv2d(_weight(rng, 65, 2, 1, 1)),
        "sum": Add(),
        "max": MaxPool(2, 2, 1),
        "n1": Neuron(0.8, input_gain=rng.uniform(-1, 1, 65)),
        "n2": Neuron(current_leak=0.5, signed=True, bits=2, quantum=0.5, v_threshold=0.4),
        "d1": Conv2d(_weight(rng, 3, 65, 4, 3)),
        "d2": Conv2d(_weight(rng, 3, 65, 4, 3), rng.normal(0, 0.1, 3)),
        "both": Add(),
        "one": MaxPool(1),
        "out": Readout("mean", leak=0.9),
    }
    edges = [
        ("in", "c1"), ("in", "c2", 2), ("c1", "sum"), ("c2", "sum", 1), ("sum", "max"), ("max", "n1"),
        ("max", "n2", 1), ("n1", "d1"), ("n2", "d2"), ("d1", "both"), ("d2", "both"), ("both", "one"),
        ("one", "out"),
    ]
    return Model(nodes, edges, 6)


def _summed_currents(rng):
    """Currents added before an average, one of them late and of an image with a mean."""
    nodes = {
        "in": Input((2, 5, 6), "image", 4, scale=1 / 15, mean=0.4, std=0.3),
        "c1": Conv2d(_weight(rng, 3, 2, 3, 3), rng.normal(0, 0.1, 3), padding=1),
        "c2": Conv2d(_weight(rng, 3, 2, 3, 3), padding=1),
        "sum": Add(),
        "norm": _batch_norm(rng, 3),
        "pool": AvgPool(2, 1),
        "n": Neuron(0.4, leak=0.8),
        "flat": Flatten(),
        "out": Readout("sum"),
    }
    edges = [("in", "c1"), ("in", "c2"), ("c1", "sum"), ("c2", "sum", 1), ("sum", "norm"), ("norm", "pool", 1),
             ("pool", "n"), ("n", "flat"), ("flat", "out")]
    return Model(nodes, edges, 5)


def _real_maximum(rng):
    return chain(Input((2, 5, 5), "real"), _batch_norm(rng, 2), Conv2d(_weight(rng, 3, 2, 3, 3), padding=1),
                 MaxPool(2, ceil_mode=True), Neuron(leak=0.9), Flatten(), Dense(_weight(rng, 3, 27)),
                 Readout("last", leak=0.9))


def _composed_model(rng):
    """Dense synapses of convolutions, pooled or not, and of dense ones, of an image with a mean; delays
    between."""
    return chain(
        Input((3, 9, 8), "image", 5, scale=1 / 31, mean=0.3, std=0.5),
        Conv2d(_weight(rng, 6, 1, 2, 3), rng.normal(0, 0.1, 6), (1, 2), 1, (2, 1), 3),
        _batch_norm(rng, 6),
        AvgPool(2, 1),
        Flatten(),
        Dense(_weight(rng, 7, 144), rng.normal(0, 0.1, 7)),
        Dense(_weight(rng, 11, 7)),
        _batch_norm(rng, 11),
        Neuron(0.3, leak=0.8, input_gain=rng.uniform(0.5, 1, 11), bits=2, quantum=0.25),
        Dense(_weight(rng, 8, 11), rng.normal(0, 0.1, 8)),
        Dense(_weight(rng, 4, 8), rng.normal(0, 0.1, 4)),
        Readout("mean"),
        delays={2: 1, 5: 1, 6: 2},
    )


def _composed_maps(rng):
    """Convolutions of convolutions: other groups, strides and dilations, padding that meets only padding; along
    one axis, too; two trains."""
    nodes = {
        "in": Input((4, 9, 10), "spikes", 2),
        "depth": Conv2d(_weight(rng, 8, 1, 3, 2), rng.normal(0, 0.1, 8), (1, 2), (1, 2), (1, 2), 4),
        "point": Conv2d(_weight(rng, 6, 4, 1, 1), rng.normal(0, 0.1, 6), groups=2),
        "late": Conv2d(_weight(rng, 6, 4, 1, 3), stride=(1, 2), padding=(0, 2)),
        "sum": Add(),
        "last": Conv2d(_weight(rng, 5, 6, 2, 2), rng.normal(0, 0.1, 5), (2, 1), 0, (2, 1)),
        "n1": Neuron(0.4, leak=0.7),
        "single": Conv2d(_weight(rng, 3, 5, 1, 1), rng.normal(0, 0.1, 3)),
        "padded": Conv2d(_weight(rng, 3, 3, 1, 1), rng.normal(0, 0.1, 3), padding=1),
        "flat": Flatten(), "n2": Neuron(0.3),
        "out": Readout("sum"),
    }
    edges = [("in", "depth"), ("depth", "point", 1), ("in", "late"), ("late", "sum", 1), ("point", "sum"),
             ("sum", "last"), ("last", "n1"), ("n1", "single"), ("single", "padded", 1), ("padded", "flat"),
             ("flat", "n2"), ("n2", "out")]
    return Model(nodes, edges, 5)


def _composed_loop(rng):
    """Two synapses one behind the other in a loop, beside a sequence whose convolutions compose."""
    nodes = {
        "in": Input((3, 11), "spikes", 2, True),
        "c1": Conv1d(_weight(rng, 4, 3, 3), rng.normal(0, 0.1, 4), 2, 1),
        "c2": Conv1d(_weight(rng, 3, 4, 2), rng.normal(0, 0.1, 3)),
        "n": Neuron(0.4, leak=0.8, bits=2, quantum=0.5),
        "flat": Flatten(),
        "down": Dense(_weight(rng, 2, 15), rng.normal(0, 0.1, 2)),
        "up": Dense(_weight(rng, 6, 2) - 0.2),
        "m": Neuron(0.3, current_leak=0.5),
        "around": Dense(_weight(rng, 3, 6)),
        "back": Dense(_weight(rng, 6, 3) - 0.3, rng.normal(0, 0.1, 6)),
        "out": Readout("last", leak=0.5),
    }
    edges = [("in", "c1"), ("c1", "c2", 1), ("c2", "n"), ("n", "flat"), ("flat", "down"), ("down", "up"),
             ("up", "m"),
             ("m", "around"), ("around", "back", 1), ("back", "m"), ("m", "out")]
    return Model(nodes, edges, 6)


def _composed_real(rng):
    return chain(Input((2, 5, 5), "real"), _batch_norm(rng, 2), Conv2d(_weight(rng, 3, 2, 3, 3), padding=1),
                 Flatten(), Dense(_weight(rng, 4, 75), rng.normal(0, 0.1, 4)), Neuron(leak=0.9),
                 Dense(_weight(rng, 5, 4)), Dense(_weight(rng, 3, 5)), Readout("last", leak=0.9))


def _composed_spread(rng):
    """Synapses of a transposed convolution: no weights for positions that do not exist."""
    return chain(Input((3, 3, 4), "spikes"),
                 ConvTranspose2d(_weight(rng, 3, 2, 3, 2), None, (2, 3), (1, 0), (1, 0)),
                 AvgPool(2, 1), Flatten(), Dense(_weight(rng, 5, 2 * 5 * 10), rng.normal(0, 0.1, 5)), Neuron(0.3),
                 Readout("sum"))


def _flattened_current_model(rng):
    return chain(
        Input((2, 4, 4), "spikes"),
        Conv2d(_weight(rng, 3, 2, 3, 3), rng.normal(0, 0.1, 3)),
        Flatten(),
        Neuron(quantum=rng.uniform(0.6, 1, 12), input_gain=rng.uniform(0.8, 1.2, 12)),
        Dense(_weight(rng, 3, 12)),
        _batch_norm(rng, 3),
        Readout("sum"),
    )


def _wide_model(rng):
    return chain(
        Input((17, 3, 3), "spikes"),
        Conv2d(_weight(rng, 65, 17, 3, 3), padding=1),
        Neuron(0.8),
        Conv2d(_weight(rng, 65, 1, 3, 3), padding=1, groups=65),
        Neuron(bits=2, quantum=0.5, v_threshold=0.25),
        Conv2d(_weight(rng, 33, 65, 1, 1)),
        Neuron(),
        Flatten(),
        Dense(_weight(rng, 10, 297)),
        Readout("mean"),
        timesteps=3,
    )


def _wide_input_model(rng):
    return chain(
        Input(130, "spikes", 4, scale=1 / 8),
        Dense(_weight(rng, 70, 130)),
        Neuron(),
        Dense(_weight(rng, 16, 70)),
        Neuron(),
        timesteps=3,
    )


_SHAPE = (3, 2, 2)
_PER_NEURON = np.linspace(0.4, 1.3, 12).reshape(_SHAPE)
_PER_CHANNEL = np.array([0.5, 0.7, 0.9])

NEURON_OPTIONS = {
    "srif": dict(v_threshold=0.5, rectify=True),
    "rectify": dict(v_threshold=0.8, rectify=True),
    "rectify_strict": dict(v_threshold=0.3, quantum=0.7, rectify=True, comparison=">"),
    "rectify_bits": dict(v_threshold=0.25, quantum=0.5, bits=2, rectify=True),
    "hard": dict(reset="hard", v_reset=0.2),
    "hard_map": dict(reset="hard", v_reset=_PER_NEURON - 1, comparison=">"),
    "delayed_soft": dict(reset_delay=1, leak=0.9),
    "delayed_soft_signed": dict(reset_delay=1, leak=0.9, signed=True, bits=2, v_threshold=0.5),
    "delayed_hard": dict(reset_delay=1, reset="hard", v_reset=-0.1),
    "refractory": dict(refractory=2, v_threshold=0.6),
    "refractory_channel": dict(refractory=[0, 1, 2], reset="hard"),
    "refractory_map": dict(refractory=np.arange(12).reshape(_SHAPE) % 4),
    "v_min": dict(v_min=-0.3, v_threshold=0.6),
    "v_min_channel": dict(v_min=-_PER_CHANNEL, reset_delay=1),
    "v_min_map": dict(v_min=-_PER_NEURON),
    "threshold_channel": dict(v_threshold=_PER_CHANNEL),
    "threshold_map": dict(v_threshold=_PER_NEURON, bits=2, quantum=0.5),
    "leak_channel": dict(leak=[0.0, 0.5, 1.0]),
    "leak_map": dict(leak=np.linspace(0, 1, 12).reshape(_SHAPE), v_leak=0.4),
    "v_leak_map": dict(leak=0.7, v_leak=_PER_NEURON),
    "gain": dict(input_gain=1.3),
    "gain_channel": dict(input_gain=[0.5, 1.0, 1.5]),
    "gain_map": dict(input_gain=_PER_NEURON),
    "bits_channel": dict(bits=[1, 3, 2], quantum=0.5, v_threshold=0.25),
    "quantum_channel": dict(bits=2, quantum=_PER_CHANNEL, v_threshold=_PER_CHANNEL / 2),
    "output_quantum": dict(output_quantum=[0.3, 0.6, 0.9]),
    "signed_hard": dict(signed=True, reset="hard", comparison=">", v_threshold=0.7),
    "strict": dict(comparison=">", v_threshold=0.5, bits=3, quantum=0.5),
}


CURRENT_OPTIONS = {
    "alone": dict(),
    "forgets": dict(current_leak=0.0, leak=0.8),
    "channel": dict(current_leak=[0.0, 0.5, 1.0], leak=[1.0, 0.5, 0.0]),
    "map": dict(current_leak=np.linspace(0, 1, 12).reshape(_SHAPE)),
    "bias": dict(bias=0.2, v_leak=-0.1, leak=0.9),
    "bias_map": dict(bias=_PER_NEURON - 0.8, input_gain=_PER_NEURON, v_threshold=1.5),
    "no_current_bias": dict(current_leak=None, bias=[0.1, 0.2, -0.3], v_leak=0.3, leak=0.6),
    "no_current_bias_map": dict(current_leak=None, bias=_PER_NEURON - 0.6),
    "refractory": dict(refractory=[0, 1, 2], leak=0.9, reset="hard", v_reset=-0.1),
    "delayed_soft": dict(reset_delay=1, leak=0.9, bits=2, bias=0.05),
    "delayed_hard": dict(reset_delay=1, reset="hard", v_reset=0.2, comparison=">"),
    "signed": dict(signed=True, bits=3, v_threshold=0.4, quantum=0.5, v_min=-0.2),
    "rectify": dict(rectify=True, v_threshold=0.8, bias=0.1),
    "reset": dict(reset_interval=3, reset_offset=1),
    "reset_refractory": dict(reset_interval=2, refractory=3),
    "reset_delayed": dict(reset_interval=4, reset_offset=3, reset_delay=1, bits=2),
    "resolution": dict(resolution=256.0, bias=0.1),
}
CHANGE_OPTIONS = {
    "alone": dict(),
    "encoder": dict(mode="delta", quantum=0.25, bits=4, rectify=False),
    "threshold": dict(v_threshold=0.3, quantum=1 / 64),
    "threshold_map": dict(v_threshold=_PER_NEURON / 4, bias=_PER_NEURON - 1, quantum=0.125, bits=5),
    "channel": dict(v_threshold=[0.0, 0.2, 0.4], bias=[-0.2, 0.0, 0.2], quantum=0.5, bits=2),
    "narrow": dict(bits=1, quantum=0.25, rectify=False),
    "reset": dict(mode="delta", reset_interval=3, reset_offset=2, quantum=0.5),
    "resolution": dict(resolution=256.0, quantum=1 / 64, bias=0.1),
}


ALPHA_OPTIONS = {
    "zero": dict(excitatory_leak=0.9, inhibitory_leak=0.6, gain=2.5, v_threshold=0.6),
    "subtract": dict(excitatory_leak=[0.95, 0.8, 1.0], inhibitory_leak=[0.7, 0.0, 0.5], gain=[1.5, 1.0, 2.0],
                     v_threshold=[0.4, 0.5, 0.6], reset="soft", reset_interval=5, reset_offset=2,
                     output_quantum=[0.5, 1.0, 1.5]),
    "maps": dict(excitatory_leak=1 - _PER_NEURON / 10, inhibitory_leak=_PER_NEURON / 3, gain=1 + _PER_NEURON,
                 v_threshold=_PER_NEURON / 2, reset="soft", comparison=">="),
    "below_zero": dict(excitatory_leak=0.9, inhibitory_leak=0.5, v_threshold=-0.1),  # resets before its first step
}


def _alpha_loop(rng):
    """Alpha neurons that read themselves, an image and neurons whose steps come late."""
    nodes = {
        "in": Input((2, 4, 4), "image", 3, scale=1 / 7),
        "conv": Conv2d(_weight(rng, 3, 2, 3, 3), padding=1), "a": Alpha(0.9, 0.6, 2.0, 0.4, "soft"),
        "back": Conv2d(_weight(rng, 3, 3, 1, 1)), "flat": Flatten(), "dense": Dense(_weight(rng, 5, 48)),
        "b": Alpha(0.8, 0.5, 2.5, 0.5),
    }
    edges = [("in", "conv"), ("conv", "a"), ("a", "back", 1), ("back", "a"), ("a", "flat", 2), ("flat", "dense"),
             ("dense", "b"), ("b", "b", 1)]
    return Model(nodes, edges, 7)


def _neuron_model(rng, options, kind=Neuron):
    """The neuron behind a convolution and an identity, read by a Dense."""
    nodes = {
        "in": Input((3, 2, 2), "spikes", scale=0.5),
        "conv": Conv2d(_weight(rng, 3, 3, 3, 3), rng.normal(0.1, 0.1, 3), padding=1),
        "n": kind(**options),
        "flat": Flatten(),
        "dense": Dense(_weight(rng, 4, 12)),
        "out": Readout("mean"),
    }
    edges = [("in", "conv"), ("conv", "n"), ("in", "n"), ("n", "flat"), ("flat", "dense"),
             ("dense", "out")]
    return Model(nodes, edges, 6)


def _readout_model(rng, reduce, leak, **options):
    gain = rng.uniform(0.5, 1.5, 3)
    return chain(Input(6, "spikes", 2), Dense(_weight(rng, 3, 6), rng.normal(0, 0.1, 3)),
                 Readout(reduce, leak, gain, 0.2, **options))


def _changes_model(rng):
    """A sigma-delta network: an encoder, layers of changes, a shortcut, a loop; one neuron that adds."""
    nodes = {
        "in": Input((2, 4, 4), "image", 4, scale=1 / 15, mean=0.4, std=0.5),
        "encode": SigmaDelta("delta", 0.1, quantum=1 / 64, rectify=False),
        "c1": Conv2d(_weight(rng, 5, 2, 3, 3), padding=1),
        "s1": SigmaDelta(v_threshold=0.2, bias=rng.normal(0, 0.2, 5), quantum=1 / 16, bits=8),
        "late": Delay([0, 1, 2, 1, 0]),
        "c2": Conv2d(0.5 * _weight(rng, 5, 5, 3, 3), rng.normal(0, 0.1, 5), padding=1),
        "s2": SigmaDelta(quantum=1 / 16, bits=8, v_threshold=rng.uniform(0, 0.3, (5, 4, 4))),
        "back": Conv2d(0.1 * _weight(rng, 5, 5, 1, 1)),
        "pool": AvgPool(2),
        "flat": Flatten(),
        "d": Dense(_weight(rng, 3, 20)),
        "out": Readout("last", leak=1.0),
    }
    edges = [
        ("in", "encode"), ("encode", "c1"), ("c1", "s1"), ("s1", "late"), ("late", "c2"), ("c2", "s2"),
        ("s1", "s2", 1), ("s2", "back"), ("back", "s2", 1), ("s2", "pool"), ("pool", "flat"),
        ("flat", "d"), ("d", "out"),
    ]
    return Model(nodes, edges, 5)


def _current_loop_model(rng):
    """Current-based neurons in a loop, as NIR's CubaLIF and lava's dense_rec have them."""
    nodes = {
        "in": Input(5, "spikes", 2),
        "d1": Dense(_weight(rng, 8, 5), rng.normal(0, 0.1, 8)),
        "n1": Neuron(0.6, current_leak=rng.uniform(0, 1, 8), leak=0.8, reset="hard", bias=0.05),
        "back": Dense(0.5 * _weight(rng, 8, 8), rng.normal(0, 0.1, 8)),
        "d2": Dense(_weight(rng, 6, 8)),
        "n2": Neuron(current_leak=0.5, bits=3, signed=True, quantum=0.5, v_threshold=0.5, leak=0.9,
                     reset_interval=4, reset_offset=2),
        "out": Readout("sum", leak=0.9, current_leak=0.8),
    }
    edges = [("in", "d1", 1), ("d1", "n1"), ("n1", "back"), ("back", "n1", 1), ("n1", "d2", 2),
             ("d2", "n2"), ("n2", "out")]
    return Model(nodes, edges, 6)


def _delay_model(rng):
    """Delays of neurons and channels, of maps and vectors, of signed levels, within a loop, one
    behind another, and over an edge that has its own."""
    nodes = {
        "in": Input((3, 3, 3), "spikes", 2, True, 0.5),
        "apart": Delay(rng.integers(0, 4, (3, 3, 3))),
        "c": Conv2d(_weight(rng, 4, 3, 3, 3), padding=1),
        "n": Neuron(0.4, quantum=0.5, bits=2),
        "all": Delay(2),
        "rows": Delay([1, 0, 2, 0]),
        "back": Conv2d(0.3 * _weight(rng, 4, 4, 1, 1)),
        "max": MaxPool(2, 1),
        "flat": Flatten(),
        "each": Delay(rng.integers(0, 3, 16)),
        "d": Dense(_weight(rng, 3, 16)),
        "out": Readout("last", leak=0.5),
    }
    edges = [
        ("in", "apart", 1), ("apart", "c"), ("c", "n"), ("n", "rows"), ("rows", "all"), ("all", "back"),
        ("back", "n", 1), ("rows", "max", 1), ("max", "flat"), ("flat", "each"), ("each", "d"),
        ("d", "out"),
    ]
    return Model(nodes, edges, 6)


def _delayed_sum_model(rng):
    """A Delay of a sum of unequal quanta, read by synapses and by a neuron straight away."""
    nodes = {
        "in": Input(7, "spikes", 2),
        "n": Neuron(0.5, output_quantum=0.6),
        "sum": Add(),
        "late": Delay([0, 1, 2, 3, 0, 1, 2]),
        "d": Dense(_weight(rng, 7, 7)),
        "m": Neuron(v_threshold=0.8),
    }
    edges = [("in", "n"), ("in", "sum"), ("n", "sum", 1), ("sum", "late"), ("late", "d"), ("d", "m"),
             ("late", "m", 1)]
    return Model(nodes, edges, 6)


# ---------------------------------------------------------------- chips

NARROW_CHIPS = (
    Chip("wraps", "", 8, 1, 0, 9, "wrap", 10, "wrap", 11, "wrap", 4, "nearest", comparison=">"),
    Chip("turns", "", 9, 2, 6, 9, "wrap_once", 15, "wrap_once", 17, "wrap_once", 12, "toward_zero"),
    Chip("stops", "", 6, 3, 2, 7, "saturate", 8, "saturate", 11, "saturate", 8, "floor"),
    Chip("stops alike", "", 12, 4, 1, 12, "saturate_symmetric", 13, "saturate_symmetric", 16,
            "saturate_symmetric", 16, "nearest", comparison=">="),
)


def chip_models(seed=0):
    """name -> (model, x, chip): networks in a chip's own integers, as lava-dl's files give them."""
    rng = np.random.default_rng(seed)
    models = {"cuba": _loihi_model(rng), "sdnn": _sdnn_model(rng)}
    return {
        name: (model, levels_for(model.nodes[model.input], rng, (2, model.timesteps, 2, 6, 6)), model.chip)
        for name, model in models.items()
    }


def _raw(rng, *shape):
    """Even weights, some beyond 9 bits."""
    return 2.0 * np.round(rng.normal(10, 60, shape))


def _loihi_model(rng):
    """Input layer, convolution, recurrent dense layer, readout, with delays of axons and layers."""

    def cuba(shape=(), **options):
        return Neuron(400.0, leak=1 - rng.integers(0, 900, shape) / 4096, comparison=">", reset="hard",
                      current_leak=1 - rng.integers(0, 4097, shape) / 4096, resolution=64, **options)

    nodes = {
        "in": Input((2, 6, 6), "spikes", 8),
        "inject": Neuron(400.0, input_gain=3.0, bias=[40.0, -10.0], leak=0.9, comparison=">",
                         reset="hard", resolution=64),
        "conv": Conv2d(_raw(rng, 4, 2, 3, 3), None, 2, 1),
        "n1": cuba((4,), bias=rng.integers(-30, 60, 4).astype(float)),
        "flat": Flatten(),
        "axons": Delay(rng.integers(0, 4, 36)),
        "d2": Dense(_raw(rng, 9, 36)),
        "n2": cuba(reset_interval=5, reset_offset=2),
        "back": Dense(_raw(rng, 9, 9)),
        "d3": Dense(_raw(rng, 3, 9)),
        "out": Readout("last", leak=1.0, current_leak=0.5, bias=7.0, resolution=64),
    }
    edges = [("in", "inject"), ("inject", "conv", 1), ("conv", "n1"), ("n1", "flat"), ("flat", "axons"),
             ("axons", "d2", 1), ("d2", "n2"), ("n2", "back"), ("back", "n2", 1), ("n2", "d3", 1),
             ("d3", "out")]
    return Model(nodes, edges, 12, chip=find_chip("loihi"))


def _sdnn_model(rng):
    """An encoder and layers of graded changes; weights are raw / 64."""

    def changes(**options):
        return SigmaDelta(quantum=1 / 64, resolution=4096, bits=16, **options)

    nodes = {
        "in": Input((2, 6, 6), "spikes", 6, True),
        "delta": changes(mode="delta", v_threshold=4.0, rectify=False),
        "conv": Conv2d(_raw(rng, 4, 2, 3, 3) / 64, None, 2, 1),
        "s1": changes(v_threshold=1.0, bias=rng.integers(-9, 9, 4).astype(float)),
        "flat": Flatten(),
        "d2": Dense(_raw(rng, 9, 36) / 64),
        "s2": changes(v_threshold=2.0, bias=rng.integers(-9, 9, 9).astype(float)),
    }
    edges = [("in", "delta"), ("delta", "conv", 1), ("conv", "s1"), ("s1", "flat"), ("flat", "d2", 1),
             ("d2", "s2")]
    return Model(nodes, edges, 6, chip=find_chip("lava_sdnn"))


def run_near_int32(seed):
    """(model, x, chip): one layer whose numbers reach widths of 20 to 32 bits, and beyond."""
    rng = np.random.default_rng(seed)
    choose = RandomChooser(rng.integers(1 << 32))
    weight_bits, shift = choose.pick((8, 12, 16)), choose.pick((0, 0, 4, 8, 12, 16))
    widths = {}
    for quantity in ("sum", "current", "membrane"):
        bits = choose.pick((None, None, 32, 30, 28, 24, 20))
        rules = ("wrap",) if bits == 32 else ("wrap", "wrap_once", "saturate", "saturate_symmetric", "error")
        widths.update({quantity + "_bits": bits, quantity + "_overflow": choose.pick(rules)})
    chip = Chip("wide", "", weight_bits, 1, shift, **widths, decay_bits=choose.pick((1, 8, 12, 16)),
                      decay_rounding=choose.pick(ROUNDINGS))
    steps_per_unit = 10 ** rng.uniform(0, 9)
    node = _node_near_int32(choose, rng, steps_per_unit)
    weight = rng.normal(0, choose.pick((0.1, 1, 3)), (2, 2, 1)) * 2.0 ** (shift + weight_bits - 1)
    bits, signed, timesteps = choose.pick((1, 4, 8, 16)), choose.pick((True, False)), choose.pick((3, 10, 30))
    model = chain(Input((2, 2), "spikes", bits, signed), Conv1d(weight / steps_per_unit), node,
                  timesteps=timesteps)
    levels = rng.integers(-signed * (2**bits - 1), 2**bits, (1, timesteps, 2, 2))
    return model, np.where(rng.random(levels.shape) < 0.3, 2**bits - 1, levels), chip


def _node_near_int32(choose, rng, steps_per_unit):
    def number():
        return 10 ** rng.uniform(0, 9) / steps_per_unit

    def leak():
        return choose.pick((1.0, 1.0, 0.5, 0.0, rng.uniform(0, 1)))

    theta = number()
    options = dict(resolution=choose.pick((steps_per_unit, steps_per_unit, None)),
                   bias=choose.pick((0.0, 0.0, number(), -number())))
    kind = choose.pick((Neuron, Neuron, SigmaDelta, Readout))
    if kind is SigmaDelta:
        return SigmaDelta(choose.pick(("delta", "sigma_delta")), choose.pick((0.0, theta)),
                          quantum=number() / 1000, bits=choose.pick((1, 4, 8, 16)),
                          rectify=choose.pick((True, False)), **options)
    options.update(leak=leak(), current_leak=choose.pick((None, leak())))
    if kind is Readout:
        return Readout(choose.pick(("sum", "mean", "last")), **options)
    return Neuron(theta, quantum=choose.pick((theta, number() / 8)), bits=choose.pick((1, 1, 3, 8)),
                  signed=choose.pick((False, True)), reset=choose.pick(("soft", "hard")),
                  input_gain=choose.pick((1.0, [[0.7, 1.2], [3.0, -0.5]])), v_reset=choose.pick((0.0, -theta)),
                  v_min=choose.pick((None, -theta)), reset_delay=choose.pick((0, 0, 1)), **options)
