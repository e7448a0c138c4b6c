"""NIR's nodes as eventsim's, one function per type of node in a file.

A function takes (builder, name, group, shape): the `Builder`, the node's name and group in the file, and the shape
of its input. It returns a node; or None for a node that only hands on its input, which it then adds to
`builder.passing`. It is registered with @reads_node.
"""

import math

import numpy as np

from eventsim.arguments import first_wrong
from eventsim.errors import ModelError, UnsupportedError
from eventsim.formats.nir.neurons import (
    build_neuron, fits_two_axes, fitted, INTEGRATING, same_shape, SPIKING,
)
from eventsim.model.input import Input
from eventsim.model.neurons import Neuron
from eventsim.model.parameters import compact, float_array, MAX_DELAY
from eventsim.model.synapses import Conv1d, Conv2d, Dense
from eventsim.model.transforms import AvgPool, BatchNorm, Delay, Flatten, SumPool
from eventsim.registry import registers

ROUNDED_STEPS = 1e-6  # relative error of a float32 delay in steps
# type of neuron -> members that snnTorch writes as infinite for a leak of 1
_CUBA = ("tau_syn", "tau_mem", "r", "w_in")
ENDLESS = {"LIF": ("tau", "r"), "LI": ("tau", "r"), "CubaLIF": _CUBA, "CubaLI": _CUBA, "IF": (), "I": ()}
GIVEN = {"current": "a current", "real": "real numbers", "scaled": "scaled spikes", "output": "a readout"}

TYPES = {}  # type of a node in a file -> function
reads_node = registers(TYPES)


@reads_node("Linear")
def _linear(builder, name, group, shape):
    return Dense(_numbers(group, "weight"))


@reads_node("Affine")
def _affine(builder, name, group, shape):
    return _without_zeros(Dense(_numbers(group, "weight"), _numbers(group, "bias")))


@reads_node("Conv1d")
def _conv1d(builder, name, group, shape):
    return _convolution(Conv1d, group, shape)


@reads_node("Conv2d")
def _conv2d(builder, name, group, shape):
    return _convolution(Conv2d, group, shape)


def _convolution(cls, group, shape):
    weight = _numbers(group, "weight")
    settings = {name: _pair(group, name) for name in ("stride", "dilation")}
    groups = _pair(group, "groups")
    if len(shape) == cls.n_axes:
        raise ModelError(f"input has shape {shape}, expected channels in front, {(1, *shape)}: give the Input and "
                         "what lies between such a shape")
    if "input_shape" in group and len(shape) > 1:
        check_shape(group, "input_shape", shape[1:])
    text = _padding_text(group)
    if text == "same":
        weight, settings["dilation"], padding = _same_padding(cls, group, weight, settings)
    else:
        padding = 0 if text == "valid" else _pair(group, "padding")
    return _without_zeros(cls(weight, _numbers(group, "bias"), padding=padding, groups=groups, **settings))


@reads_node("SumPool2d")
def _sum_pool(builder, name, group, shape):
    return SumPool(*(_pair(group, part) for part in ("kernel_size", "stride", "padding")))


@reads_node("AvgPool2d")
def _avg_pool(builder, name, group, shape):
    return AvgPool(*(_pair(group, part) for part in ("kernel_size", "stride", "padding")))


@reads_node("Flatten")
def _flatten(builder, name, group, shape):
    start, end = _whole_number(group, "start_dim"), _whole_number(group, "end_dim")
    if "input_type" in group:
        check_shape(group, "input_type", shape)
    n = len(shape)
    first, last = (i + n if i < 0 else i for i in (start, end))
    all_axes = first <= 0 and last == n - 1
    if not all_axes and start == 1 and end in (-1, n):  # torch's default, which counts the samples' axis
        all_axes = True
        builder.notes["assumed start_dim"] = f"1 of {name!r} counts an axis of samples (torch's default)"
    if not all_axes or n > 3:
        raise UnsupportedError(
            f"flattens axes {start} to {end} of {n}; only all of them together are supported"
        )
    if n == 1:
        builder.passing[name] = 0
        return None
    return Flatten()


@reads_node("Scale")
def _scale(builder, name, group, shape):
    scale = compact(_fitted(builder, group, "scale", shape), shape)
    if (scale == 1).all():
        builder.passing[name] = 0
        return None
    if scale.ndim > 1:
        _scale_neurons(builder, name, scale)
        return None
    if _taken_by_source(builder, name, scale):
        builder.passing[name] = 0
        return None
    scale = np.array(np.broadcast_to(scale, shape[:1]))
    zeros, ones = np.zeros(shape[0]), np.ones(shape[0])
    return BatchNorm(scale, zeros, zeros, ones, eps=0.0)


def _scale_neurons(builder, name, scale):
    """Make a factor per neuron part of the gain of the neurons that read it."""
    for source, target in builder.graph.edges:
        if source == name:
            raw = builder.graph.nodes[target]
            others = [s for s, t in builder.graph.edges if t == target and s != name]
            if raw.kind not in SPIKING + INTEGRATING or others:
                raise UnsupportedError(
                    f"scale differs between the positions of a channel and {target!r} is no neuron "
                    "that reads it alone; scale the weights instead"
                )
            builder.scales[target] = scale
    builder.passing[name] = 0


def _taken_by_source(builder, name, scale):
    """Make a factor part of the value of a level of the one node that sends the spikes, and return whether that is
    possible."""
    readers = [target for source, target in builder.graph.edges if source == name]
    if (scale <= 0).any() or any(builder.graph.nodes[t].kind == "Output" for t in readers):
        return False
    node = _sender(builder, name, scale)
    if isinstance(node, Neuron):
        node.output_quantum = node.worth * scale
    elif isinstance(node, Input) and node.encoding != "real" and scale.ndim == 0:
        node.scale *= float(scale)
    else:
        return False
    return True


def _sender(builder, name, scale):
    """Return the node that sends the spikes which a Scale reads, alone: before nodes that only hand them on, and
    before transforms that a factor may also be in front of. None where others read them, too."""
    edges = builder.graph.edges
    while True:
        sources = [source for source, target in edges if target == name]
        if len(sources) != 1 or [target for source, target in edges if source == sources[0]] != [name]:
            return None
        [name] = sources
        node = builder.nodes.get(name)
        commutes = isinstance(node, (SumPool, AvgPool, Delay)) or isinstance(node, Flatten) and scale.ndim == 0
        if name not in builder.passing and not commutes:
            return node


@reads_node("Threshold")
def _threshold(builder, name, group, shape):
    threshold = compact(_fitted(builder, group, "threshold", shape), shape)
    builder.use("comparison", name)
    return Neuron(threshold, leak=0.0, reset="hard", comparison=builder.reading.at(name).comparison)


@reads_node("Delay")
def _delay(builder, name, group, shape):
    builder.use("dt")
    delay = _fitted(builder, group, "delay", shape)
    steps = np.rint(delay / builder.reading.dt)
    wrong = np.abs(delay / builder.reading.dt - steps) > ROUNDED_STEPS * np.maximum(steps, 1)
    if wrong.any() or (steps < 0).any() or (steps > MAX_DELAY).any():
        first = delay[wrong | (steps < 0) | (steps > MAX_DELAY)].flat[0]
        raise ModelError(
            f"delay is {first:.9g}, or {first / builder.reading.dt:.9g} steps of dt = "
            f"{builder.reading.dt:.6g}, expected whole steps from 0 to {MAX_DELAY}; give another dt"
        )
    steps = compact(steps, shape)
    if steps.ndim == 0:
        builder.passing[name] = int(steps)
        return None
    if builder.kinds[name] != "spikes":
        raise UnsupportedError(
            f"delays single neurons of {GIVEN[builder.kinds[name]]}, which only a uniform delay can; put it "
            "behind the spikes"
        )
    return Delay(steps)


@reads_node(*SPIKING, *INTEGRATING)
def _neuron(builder, name, group, shape):
    kind = builder.graph.nodes[name].kind
    reading = builder.reading.of_neuron(name, kind, name in builder.looping)
    values = {}
    for part in ("tau", "tau_syn", "tau_mem", "r", "w_in", "v_leak", "v_threshold", "v_reset"):
        if part in group:
            values[part] = _fitted(builder, group, part, shape, part in ENDLESS[kind])
    for option in _used_by(kind, values, reading):
        builder.use(option, name)
    if "tau_syn" in values and (_may_be_of_norse(values) or _is_given(reading, "cuba_input", name)):
        builder.use("cuba_input", name)
    if kind in SPIKING and reading.reset == "hard" and _lacks_v_reset(values, reading):
        builder.without_v_reset.append(name)
    return build_neuron(kind, values, builder.scales.get(name, 1.0), reading, shape)


def _lacks_v_reset(values, reading):
    """Return whether a file does not say to which potential a neuron is reset: norse loses it, and there are zeros
    in its place."""
    return "v_reset" not in values or reading.chosen == "norse" and not values["v_reset"].any()


def _may_be_of_norse(values):
    """Return whether a CubaLIF may be a LIFCell of norse, which writes w_in = 1 whatever its input is worth."""
    return bool((values.get("w_in", np.ones(1)) == 1).all())


def _is_given(reading, option, name):
    """Return whether an option is given, for all nodes or for this one."""
    return reading.why[option] == "given" or name in reading.own.get(option, ())


def same_input_gain(graph):
    """Return the r that all IF neurons of a graph share, or None."""
    gains = [raw.group.numbers("r") for raw in graph.nodes.values() if raw.kind == "IF"]
    values = {float(gain) for r in gains if r.dtype.kind in "iuf" and r.size for gain in (r.min(), r.max())}
    return values.pop() if len(values) == 1 else None


def _used_by(kind, values, reading):
    """Yield the options on which the behaviour of a neuron depends."""
    if "tau" in values or "tau_mem" in values:
        yield from ("dt", "integration")
    else:
        yield "if_input"
        if reading.if_input == "dt_r" or (reading.if_input == "auto" and (values["r"] != 1).any()):
            yield "dt"
    if kind in INTEGRATING:
        yield "readout"
        if "v_leak" in values and values["v_leak"].any():
            yield "start"
        return
    yield from ("reset", "reset_delay", "comparison", "bits", "lower_limit")
    if any(name in values and values[name].any() for name in ("v_leak", "v_reset")):
        yield "start"


def check_shape(group, name, shape):
    """Raise FormatError unless the member `name`, a shape, is that of the input of the node."""
    stored = whole_numbers(group, name)
    if not same_shape(stored, shape):
        raise group.error(f"{name} is {stored}, but {shape} arrives")


def _numbers(group, name):
    """Return a dataset of finite numbers as float64."""
    values = group.numbers(name)
    if values.dtype.kind == "b":
        raise group.error(f"{name!r} holds booleans, expected numbers")
    try:
        return float_array(values, name)
    except ModelError as error:
        raise group.error(error) from None


def _fitted(builder, group, name, shape, endless=False):
    """Return a parameter as `fitted` does. endless: whether it may be infinite. A parameter that differs along
    another axis than the channels will take one number per neuron, so the memory for that is checked first."""
    values = _maybe_endless(group, name) if endless else _numbers(group, name)
    parameter = fitted(values, shape, name)
    if fits_two_axes(values, shape):
        builder.taken_per_channel.append(f"{name} of {group.label}")
    if 1 < parameter.size < math.prod(shape) and parameter.shape[1:] != (1,) * (len(shape) - 1):
        group.require_room(name, 8 * math.prod(shape))
    return parameter


def _maybe_endless(group, name):
    """Return a dataset of numbers, finite or +infinity, as float64."""
    values = group.numbers(name)
    if values.dtype.kind != "f" or not np.isposinf(values).any():
        return _numbers(group, name)
    if np.isnan(values).any() or np.isneginf(values).any():
        raise group.error(f"{name} has a value that is not finite{first_wrong(values, ~(values > -np.inf))}")
    return values.astype(np.float64)


def _without_zeros(synapses):
    """Return the synapses, without a bias where it is zero; its shape has been checked when they were made."""
    if not synapses.bias.any():
        synapses.bias = None
    return synapses


def whole_numbers(group, name):
    """Return at most 8 whole numbers of any type as a tuple of ints."""
    values = _numbers(group, name)
    short = values.ndim <= 1 and values.size <= 8
    if not short or (values != np.floor(values)).any() or (np.abs(values) > 1 << 30).any():
        raise group.error(f"{name!r} is not a short list of whole numbers")
    return tuple(values.reshape(-1).astype(int).tolist())


def _pair(group, name):
    """Return a tuple of whole numbers, one per axis, or an int for all axes."""
    values = whole_numbers(group, name)
    return values[0] if len(values) == 1 else values


def _whole_number(group, name):
    values = whole_numbers(group, name)
    if len(values) != 1:
        raise group.error(f"{name!r} is {values}, expected one whole number")
    return values[0]


def _padding_text(group):
    """Return "same" or "valid", or "" where the padding is numbers."""
    if not group.dataset("padding").is_text:
        return ""
    text = group.text("padding")
    if text not in ("same", "valid"):
        raise group.error(f"padding is {text!r}, expected 'same', 'valid' or whole numbers")
    return text


def _same_padding(cls, group, weight, settings):
    """Return (weight, dilation, padding) for padding "same". Where an even number of taps leaves an odd number of
    zeros to pad, torch pads one more at the end; here the weight gets a first tap of zeros, which does the
    same."""
    if settings["stride"] not in (1, (1,), (1, 1)):
        raise UnsupportedError(f"padding 'same' with stride {settings['stride']} is not defined; give numbers")
    n_axes = cls.n_axes
    dilation = settings["dilation"]
    dilation = dilation if isinstance(dilation, tuple) else (dilation,) * n_axes
    padding, out = [], []
    for axis, step in zip(range(2, 2 + n_axes), dilation):
        if weight.ndim != 2 + n_axes or len(dilation) != n_axes:
            break  # the node says what is wrong
        total = step * (weight.shape[axis] - 1)
        if total % 2:
            group.require_room("weight", 8 * weight.size * (step + 2))
            weight, step, total = _spread(weight, axis, step), 1, total + 1
        padding.append(total // 2)
        out.append(step)
    return weight, tuple(out), tuple(padding)


def _spread(weight, axis, step):
    """Return the weight with its dilation along an axis written as zeros between the taps, and one zero before
    them."""
    shape = list(weight.shape)
    shape[axis] = step * (shape[axis] - 1) + 2
    wide = np.zeros(shape)
    index = [slice(None)] * weight.ndim
    index[axis] = slice(1, None, step)
    wide[tuple(index)] = weight
    return wide
