"""lava-dl's network files (`.net`) -> Model: what Lava computes from them, in the same integers.

A file is HDF5 with a group `/layer/<i>` per layer, i from 0 on; further members, `/simulation` among
them, are not needed. `type` names the layer, `neuron/type` its neurons. Numbers are whole, whatever
their dtype. Each becomes one field of one node, where it keeps its value unless said otherwise:

    shape                 checked: (C, H, W) or (N,); dense and flatten count its product
    weight                Dense or Conv2d "layer<i>.weight"; a trailing axis of 1 and flat dense
                          weights are reshaped; of an input, `input_gain` (SDNN: `Input.scale`)
    weight_rec            Dense "layer<i>.weight_rec" from the layer to itself, one step later
    bias                  `bias`, on the membrane past the current; scalar or per channel
    delay                 steps that the layer's outputs (axons) take longer: of the edge behind it,
                          or, per channel, a node Delay "layer<i>.delay"; at most 62
    stride, padding, dilation, groups   of the Conv2d; H, then W
    iDecay, vDecay        `current_leak`, `leak` = 1 - x / 4096; scalar or per channel
    vThMant               `v_threshold`
    inFeatures, outFeatures, inChannels, outChannels, kernelSize    checked where they are there

The layer's neurons are the node "layer<i>", which reads its synapses one step late. States count 64
steps to one of these units (`resolution`) and follow the chip "loihi"; for SDNN weights are worth
1/64, a message 1/64, states count 4096 steps, and the chip is "lava_sdnn". Other members are not
read; the Model's provenance lists them and, under "assumed ...", what the file leaves open.

Loihi's weights are even where a layer has both signs. lava-dl clips at 255, which netx loads as 254
there, and so do we; layers of one sign may be odd. Other odd weights are refused.
"""

import re
from dataclasses import dataclass, replace
from math import prod
from typing import Optional

import numpy as np

from eventsim.formats.lava.values import layer_shape, pair, per_channel, repeats, whole, whole_number
from eventsim.formats.options import option, Options
from eventsim.formats.refusing import guarded, supported, unsupported
from eventsim.model.chip import find_chip
from eventsim.model.graph import Edge
from eventsim.model.input import Input
from eventsim.model.network import Model
from eventsim.model.neurons import Neuron, Readout, SigmaDelta
from eventsim.model.parameters import MAX_BITS, MAX_EXTENT
from eventsim.model.synapses import Conv2d, Dense
from eventsim.model.transforms import Delay, Flatten

LAYER_TYPES = ("input", "dense", "dense_rec", "conv", "pool", "flatten")
NEURON_TYPES = ("CUBA", "LOIHI", "SDNN")

# members that change nothing or are looked at, by type of layer; "not read" lists the others
_SYNAPSES = {"weight", "bias", "delay"}
_DENSE = _SYNAPSES | {"inFeatures", "outFeatures"}
_POOL = _SYNAPSES | {"kernelSize", "stride", "padding", "dilation"}
MEMBERS = {
    "input": {"weight", "bias"},
    "dense": _DENSE,
    "dense_rec": _DENSE | {"weight_rec"},
    "conv": _POOL | {"inChannels", "outChannels", "groups"},
    "pool": _POOL,
    "flatten": {"order"},
}
PLAIN = {"refDelay": 1, "gradedSpike": 0, "wgtExp": 0, "messageBits": 0}  # all that CUBA can have
CUBA_MEMBERS = {"type", "iDecay", "vDecay", "vThMant", *PLAIN}
SDNN_MEMBERS = {"type", "vThMant", "activation", "sigma_output", "messageBits"}

UNIT = 4096  # decays count in 4096ths; states of SDNN in 4096ths of a unit
STATE_STEPS = 64  # steps of a CUBA state to one unit of weights, biases and thresholds
MESSAGE_STEPS = 64  # steps of SDNN's graded messages, and of its weights, to one unit
NEVER_FIRES = 131071  # vThMant, 17 bits: how files say that a layer is only read
MAX_FILE_DELAY = 62
MAX_NUMBER = 1 << 23  # of biases: what a state of 24 bits holds
LARGEST_INPUT = (1 << 17) - 1  # of weight * x + bias: behind it a current turns over, Lava's bias stops
LARGEST_INPUT_OF_SDNN = 1 << 18  # a change of twice as many 4096ths fits int32
INPUT_WEIGHT = 64  # netx's where a file has none: 1 in lava-dl's unit
MOST_WEIGHTS = 1 << 26  # of a pool, which the file has only once for all channels


@dataclass(frozen=True)
class LavaOptions(Options):
    """What lava-dl's files leave open."""

    comparison: str = option(
        ">", 'how membranes meet thresholds: ">" (Lava, the default) or ">=" (older SLAYER)', (">", ">="))
    reset_interval: int = option(
        0, "steps after which the layers' states are zeroed, layer k before step k (default 0: never)",
        limits=(0, 1 << 24))
    message_bits: Optional[int] = option(
        None, "width of SDNN's messages without their sign (default: the file's, else 16)", limits=(1, MAX_BITS))
    input_bits: Optional[int] = option(
        None, "width of an input value without its sign (default: 16 or what a state has room for, 1 for an input "
        "of spikes)", limits=(1, MAX_BITS))
    input_signed: Optional[bool] = option(
        None, "whether input values may be negative (default: yes; no for an input of spikes)")
    input_is_bias: bool = option(
        False, "input values are the input neurons' bias: leave out the file's weight and bias")
    timesteps: Optional[int] = option(
        None, "steps of a run that is not told (default: the file's tSample, else 1)", limits=(1, 1 << 24))


ReadOptions = LavaOptions


def recognises(root) -> bool:
    """Whether a file looks like lava-dl's."""
    return "layer" in root


def read(root, **given) -> Model:
    """Model from the root Group of a file; `given` are fields of LavaOptions.

    Raises FormatError for a file or an option that is wrong, UnsupportedError for what eventsim does
    not run; both name the file and the layer.
    """
    return guarded(root, lambda: _Reader(root, LavaOptions(**given)).model())


def _check_real(group, name):
    if name in group and group.is_group(name):
        raise unsupported(group, f"{name!r} is complex (real and imag); only real weights are supported")


class _Reader:
    """Walks the layers in order and grows the graph: `tail` is the node that the next layer reads, of
    `shape`, as it was `delay` steps before."""

    def __init__(self, root, options):
        self.root = root
        self.options = options
        self.nodes, self.edges = {}, []
        self.tail, self.shape, self.delay = None, (), 0
        self.n_neurons = 0  # layers that have them
        self.sdnn = False
        self.odd_weights = False
        self.provenance = {"format": "lava-dl"}
        self.unread = set()

    def model(self):
        groups = self._groups()
        kinds = [self._kind(group, i) for i, group in enumerate(groups)]
        self.sdnn = self._is_sdnn(groups)
        if not self.sdnn:
            self._assume("comparison", self.options.comparison, self.options.comparison == ">")
        self._assume("reset_interval", self.options.reset_interval, self.options.reset_interval == 0)
        for i, (group, kind) in enumerate(zip(groups, kinds)):
            getattr(self, "_" + kind)(group, f"layer{i}", group is groups[-1])
            self.unread |= set(group.names()) - MEMBERS[kind] - {"type", "shape", "neuron"}
        timesteps = self._timesteps()
        if self.unread:
            self.provenance["not read"] = ", ".join(sorted(self.unread))
        return Model(self.nodes, self.edges, timesteps, provenance=self.provenance,
                     chip=self._chip())

    def _groups(self):
        layers = self.root.group("layer")
        names = layers.names()
        for name in names:
            if not re.fullmatch("0|[1-9][0-9]{0,5}", name):
                raise layers.error(f"'layer/{name}' is no layer: expected numbers from 0 on")
        for i in range(max(len(names), 1)):
            if str(i) not in names:
                raise layers.error(f"'layer/{i}' is missing; the file has {len(names)} layers")
        return [layers.group(str(i), f"layer {i}") for i in range(len(names))]

    def _kind(self, group, i):
        kind = supported(group, "type", LAYER_TYPES, "layers")
        group.label = f"layer {i} ({kind})"
        if (kind == "input") != (i == 0):
            raise group.error("layer 0 has to be the input, and only that")
        return kind

    def _is_sdnn(self, groups):
        found = {}
        for group in groups:
            if "neuron" in group:
                kind = supported(group.group("neuron"), "type", NEURON_TYPES, "neurons")
                found.setdefault(kind == "SDNN", (group, kind))
        if len(found) > 1:
            (_, other), (group, kind) = found.values()
            raise unsupported(group, f"neurons of type {kind!r} beside {other!r}; a file has to have "
                               "either SDNN or CUBA")
        return True in found

    def _assume(self, name, value, is_default, why="default"):
        self.provenance[f"assumed {name}"] = f"{value} ({why if is_default else 'given'})"

    def _timesteps(self):
        if self.options.timesteps is not None:
            return self.options.timesteps
        simulation = self.root.group("simulation", "simulation") if "simulation" in self.root else ()
        in_file = "tSample" in simulation
        steps = whole_number(simulation, "tSample", 1, 1 << 24) if in_file else 1
        self._assume("timesteps", steps, True, "the file's tSample" if in_file else "default")
        return steps

    def _chip(self):
        chip = find_chip("lava_sdnn" if self.sdnn else "loihi")
        if self.odd_weights:
            chip = replace(chip, name=f"{chip.name} with odd weights", weight_step=1)
        if not self.sdnn and self.options.comparison != chip.comparison:
            chip = replace(chip, name=f"{chip.name} with {self.options.comparison}",
                              comparison=self.options.comparison)
        return chip

    # ---- one method per type of layer: its group, the name of its neurons, whether it is the last

    def _input(self, group, name, last):
        options, has_neurons = self.options, "neuron" in group
        self.shape, self.tail = layer_shape(group), "input"
        graded = has_neurons or self.sdnn
        unit = 1 / MESSAGE_STEPS if self.sdnn else 1.0
        weight, bias = self._transformation(group) if has_neurons else (unit, 0.0)
        bits = options.input_bits or (self._exact_bits(weight, bias) if graded else 1)
        signed = graded if options.input_signed is None else options.input_signed
        self._assume("input_bits", bits, options.input_bits is None)
        self._assume("input_signed", signed, options.input_signed is None)
        scale = weight if self.sdnn else 1.0
        if scale <= 0:
            raise unsupported(group, f"'weight' is {weight:g}; only weights above 0 are supported for SDNN")
        self.nodes["input"] = guarded(group, lambda: Input(self.shape, "spikes", bits, signed, scale))
        if not has_neurons:
            return
        if self.sdnn:
            node = self._sigma_delta(group, bias, mode="delta", rectify=False)
        else:
            node = self._current_based(group, bias, input_gain=weight)
            node.current_leak = None  # what is injected is a bias: it acts at once
        self._put(name, node, 0)

    def _exact_bits(self, weight, bias):
        """Width of input values, at most MAX_BITS, for which weight * x + bias stays in the state."""
        largest = max(0, (LARGEST_INPUT_OF_SDNN if self.sdnn else LARGEST_INPUT) - abs(bias))
        return int(np.clip(int(largest / max(abs(weight), 1) + 1).bit_length() - 1, 1, MAX_BITS))

    def _transformation(self, group):
        """(weight, bias) of the input's values."""
        if self.options.input_is_bias:
            self._assume("input_is_bias", True, False)
            return 1.0, 0.0
        if "weight" not in group:
            self._assume("input weight", INPUT_WEIGHT, True, "as netx")
        return tuple(
            float(whole_number(group, name, -MAX_NUMBER, MAX_NUMBER) if name in group else default)
            for name, default in (("weight", INPUT_WEIGHT), ("bias", 0))
        )

    def _dense(self, group, name, last, recurrent=False):
        if len(self.shape) > 1:
            self._append(f"{name}.flat", Flatten())
            self.shape = (prod(self.shape),)
        n_in, n_out = self.shape[0], prod(layer_shape(group))
        repeats(group, "inFeatures", n_in)
        repeats(group, "outFeatures", n_out)
        weight = self._weights(group, "weight", (n_out, n_in))
        again = Dense(self._weights(group, "weight_rec", (n_out, n_out))) if recurrent else None
        self.shape = (n_out,)
        self._layer(group, name, Dense(weight), last, again)

    def _dense_rec(self, group, name, last):
        self._dense(group, name, last, recurrent=True)

    def _conv(self, group, name, last):
        shape, kernel = self._maps(group)
        groups = whole_number(group, "groups", 1, MAX_EXTENT)
        repeats(group, "inChannels", self.shape[0])
        repeats(group, "outChannels", shape[0])
        if shape[0] % groups or self.shape[0] % groups:
            raise group.error(f"'groups' is {groups}, which does not divide the {self.shape[0]} channels in "
                              f"and {shape[0]} out")
        weight = self._weights(group, "weight", (shape[0], self.shape[0] // groups, *kernel))
        geometry = (pair(group, "stride", 1), pair(group, "padding", 0), pair(group, "dilation", 1))
        self._convolution(group, name, Conv2d(weight, None, *geometry, groups), shape, last)

    def _pool(self, group, name, last):
        """Sums times a weight: a depthwise convolution. Where the kernel does not divide the map, the
        zeros that the format adds at the bottom and the right become padding on all sides, under a
        kernel that begins with as many zeros."""
        shape, kernel = self._maps(group)
        geometry = (pair(group, "stride", 1), pair(group, "padding", 0), pair(group, "dilation", 1))
        if geometry != (kernel, (0, 0), (1, 1)):
            raise unsupported(
                group, "stride, padding and dilation are {}, {} and {}; a pool is supported ".format(*geometry)
                + f"only with {kernel}, (0, 0) and (1, 1): in lava-dl others run across channels"
            )
        channels, short = self.shape[0], tuple(-size % k for size, k in zip(self.shape[1:], kernel))
        if channels * prod(kernel) > MOST_WEIGHTS:
            raise group.error(f"a kernel of {kernel} for each of {channels} channels is too large")
        weight = self._weights(group, "weight", (1, 1, *kernel))
        weight = np.pad(weight, ((0, 0), (0, 0), (short[0], 0), (short[1], 0)))
        node = Conv2d(np.repeat(weight, channels, axis=0), None, kernel, short, 1, channels)
        self._convolution(group, name, node, shape, last)

    def _maps(self, group):
        """(shape of the layer, size of its kernel)."""
        if len(self.shape) == 1:
            raise group.error(f"reads {self.shape[0]} neurons in a row, expected a map (C, H, W)")
        _check_real(group, "weight")
        found = group.dataset("weight").shape
        if len(found) not in (4, 5) or found[4:] not in ((), (1,)):
            raise group.error(f"'weight' has shape {found}, expected (out, in / groups, kH, kW), and perhaps "
                              "an axis of 1 behind them")
        repeats(group, "kernelSize", found[2:4])
        return layer_shape(group, (3,)), found[2:4]

    def _convolution(self, group, name, node, shape, last):
        found = guarded(group, lambda: node.output_shape(self.shape))
        if found != shape:
            raise group.error(f"'shape' is {shape}, but {self.shape} becomes {found}")
        self.shape = shape
        self._layer(group, name, node, last)

    def _flatten(self, group, name, last):
        if prod(layer_shape(group)) != prod(self.shape):
            raise group.error(f"'shape' is {layer_shape(group)}, but the layer reads {self.shape}")
        self._append(name, Flatten())
        self.shape = (prod(self.shape),)

    # ---- the graph

    def _append(self, name, node):
        """A node that reads the tail and becomes it."""
        self.nodes[name] = node
        self.edges.append(Edge(self.tail, name, self.delay))
        self.tail, self.delay = name, 0

    def _put(self, name, node, delay):
        """The neurons of a layer, which read the tail."""
        self.nodes[name] = node
        self.edges.append(Edge(self.tail, name, delay))
        self.tail = name
        self.n_neurons += 1

    def _layer(self, group, name, synapses, last, again=None):
        """Synapses, the neurons behind them one step later, and the delay of what these send."""
        self._append(f"{name}.weight", synapses)
        node = self._neurons(group, last and again is None)
        self._put(name, node, 1)
        if again is not None:
            self.nodes[f"{name}.weight_rec"] = again
            self.edges += [Edge(name, f"{name}.weight_rec"), Edge(f"{name}.weight_rec", name, 1)]
        steps = 0.0
        if "delay" in group:
            steps = per_channel(group, "delay", 0, MAX_FILE_DELAY, self.shape[0])
        if np.any(steps):
            if last:
                raise unsupported(group, "'delay' would delay the model's output; only layers that others "
                                   "read have one")
            self.provenance["assumed delay"] = "of a layer's outputs, not of its recurrence (as in SLAYER)"
            if np.ndim(steps):
                self._append(f"{name}.delay", Delay(steps))
            else:
                self.delay = int(steps)

    # ---- weights

    def _weights(self, group, name, shape):
        """Weights in physical units, of `shape`."""
        _check_real(group, name)
        values = whole(group, name, -256, 255, (prod(shape),))
        axes = values.shape[: len(shape)] if values.ndim > 1 else shape
        if axes != shape:
            raise group.error(f"{name!r} has shape {values.shape}, expected {shape}")
        values = self._representable(group, name, values.reshape(shape))
        return values / MESSAGE_STEPS if self.sdnn else values

    def _representable(self, group, name, values):
        """Weights as netx loads them."""
        if (values >= 0).all() or (values <= 0).all():
            self.odd_weights |= bool((values % 2).any())
            return values
        clipped = values == 255
        if clipped.any():
            self.provenance[f"assumed {name} of {group.label}"] = (
                f"254 where the file has 255 ({int(clipped.sum())} weights; as netx where signs are mixed)"
            )
            values = np.where(clipped, 254.0, values)
        odd = values[values % 2 != 0]
        if odd.size:
            raise group.error(f"{name!r} has {odd.size} odd values such as {odd[0]:g}, expected even "
                              "ones, as Loihi's weights are where signs are mixed: quantise them again")
        return values

    # ---- neurons

    def _neurons(self, group, last):
        """The neurons of a layer that reads another."""
        bias = 0.0
        if "bias" in group:
            bias = per_channel(group, "bias", -MAX_NUMBER, MAX_NUMBER, self.shape[0])
        if last and "neuron" not in group and group.label.endswith("(dense)"):
            return self._integrator(group, bias)
        if not self.sdnn:
            node = self._current_based(group, bias)
            silent = last and (node.v_threshold >= NEVER_FIRES).all()
            return self._read_out(group, node) if silent else node
        if "sigma_output" not in group.group("neuron"):
            return self._sigma_delta(group, bias)
        if not last or np.any(bias):
            raise unsupported(group, "sigma_output is supported for the last layer, without bias")
        self._note(group.group("neuron"), SDNN_MEMBERS)
        return Readout("last", 1.0, resolution=UNIT, **self._resets())

    def _integrator(self, group, bias):
        """A last dense layer without neurons: sums for ever, and shows the sum."""
        self._assume(f"neurons of {group.label}", "iDecay 0, vDecay 4096, never firing", True, "as netx")
        unit, steps = (UNIT, UNIT) if self.sdnn else (1, STATE_STEPS)
        return Readout("last", 0.0, current_leak=1.0, bias=bias / unit, resolution=steps, **self._resets())

    def _current_based(self, group, bias, **others):
        """CUBA: states count STATE_STEPS to one unit of the file's numbers."""
        neuron = group.group("neuron", f"{group.label}, neuron")
        for name, plain in PLAIN.items():
            found = plain
            if name in neuron:
                found = per_channel(neuron, name, -UNIT, UNIT, self.shape[0])
            if np.any(found != plain):
                raise unsupported(neuron, f"{name!r} is {found}, only {plain} is supported")
        decay, current_decay, threshold = (
            per_channel(neuron, name, 0, most, self.shape[0])
            for name, most in (("vDecay", UNIT), ("iDecay", UNIT), ("vThMant", NEVER_FIRES + 1))
        )
        self._note(neuron, CUBA_MEMBERS)
        return Neuron(
            threshold, leak=1 - decay / UNIT, current_leak=1 - current_decay / UNIT, bias=bias, reset="hard",
            comparison=self.options.comparison, resolution=STATE_STEPS, **others, **self._resets(),
        )

    def _read_out(self, group, node):
        self._assume(f"readout of {group.label}", f"never fires, vThMant {NEVER_FIRES} or more", True)
        return Readout("last", node.leak, current_leak=node.current_leak, bias=node.bias,
                       resolution=node.resolution, **self._resets())

    def _sigma_delta(self, group, bias, **others):
        """SDNN: states count UNIT steps to one unit of the file's thresholds and biases."""
        neuron = group.group("neuron", f"{group.label}, neuron")
        threshold = per_channel(neuron, "vThMant", 0, NEVER_FIRES, self.shape[0])
        bits = self.options.message_bits
        if bits is None and "messageBits" in neuron:
            bits = whole_number(neuron, "messageBits", 1, MAX_BITS)
        else:
            bits = bits or MAX_BITS
            self._assume("message_bits", bits, self.options.message_bits is None)
        self._note(neuron, SDNN_MEMBERS)
        return SigmaDelta(v_threshold=threshold, bias=bias, quantum=1 / MESSAGE_STEPS, bits=bits,
                          resolution=UNIT, **others, **self._resets())

    def _resets(self):
        """Fields of a node that is zeroed periodically; layers that only flatten do not count."""
        interval = self.options.reset_interval
        offset = self.n_neurons % interval if interval else 0
        return {"reset_interval": interval, "reset_offset": offset}

    def _note(self, neuron, known):
        self.unread |= {f"neuron/{name}" for name in neuron.names() if name not in known}
