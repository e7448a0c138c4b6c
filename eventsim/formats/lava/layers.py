"""What each type of layer of a lava-dl file becomes, one function per type.

A function takes (network, group, name, last): the `Network`, the layer's group in the file, the name of its
neurons, and whether it is the last layer. It adds the layer's nodes to the network, and is registered with
@reads_layer.
"""

from math import prod

import numpy as np

from eventsim.formats.lava.neurons import current_based, MAX_NUMBER, MESSAGE_STEPS, sigma_delta
from eventsim.formats.lava.values import layer_shape, pair, repeats, whole_number, whole_values
from eventsim.formats.refusing import guarded, unsupported
from eventsim.model.input import Input
from eventsim.model.neurons import Neuron
from eventsim.model.parameters import MAX_BITS, MAX_EXTENT
from eventsim.model.synapses import Conv2d, Dense
from eventsim.model.transforms import Flatten
from eventsim.registry import registers
from eventsim.text import many

# type of layer -> members that are read or have no effect; "not read" in the provenance lists the others
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

LARGEST_INPUT = (1 << 17) - 1  # of weight * x + bias: beyond it a current wraps, and a membrane saturates
LARGEST_INPUT_OF_SDNN = 1 << 18  # a change of twice as many 4096ths fits int32
WIDTH, WIDTH_OF_SDNN = 1 << 23, 1 << 30  # of a state, on either side of 0
FINEST = 8  # most binary digits behind the point of the value of a level of SDNN's normalised input
ROUNDED_INPUT = "input.whole"
INPUT_WEIGHT = 64  # of netx for a file without one: 1 in lava-dl's unit
MOST_WEIGHTS = 1 << 26  # of a pool, once they are repeated for all channels

TYPES = {}  # type of a layer -> function
reads_layer = registers(TYPES)


@reads_layer("input")
def _input(network, group, name, last):
    has_neurons, network.shape = "neuron" in group, layer_shape(group)
    unit = 1 / MESSAGE_STEPS if network.sdnn else 1.0
    weight, bias = _transformation(network, group) if has_neurons else (unit, 0.0)
    weight, bias = _input_node(network, group, weight, bias, has_neurons or network.sdnn)
    if not has_neurons:
        return
    if network.options.input_low is not None and not network.sdnn:
        weight, bias = _rounded(network, group, weight, bias)
    if network.sdnn:
        node = sigma_delta(network, group, bias, mode="delta", rectify=False)
    else:
        node = current_based(network, group, bias, input_gain=weight)
        node.current_leak = None  # the input is injected as a bias, which acts at once
    if network.options.input_low is not None and network.sdnn:
        node.resolution *= _finer(network, node, weight * (2**network.nodes["input"].bits - 1), bias)
    network.add_neurons(name, node, 0)


def _finer(network, node, span, bias):
    """Return a factor, a power of 2, by which the states of SDNN's input get finer steps, so that the value of a
    level keeps its fraction: the largest for which the states still fit their width, at most 2 ** FINEST.

    span: highest minus lowest injected value. bias: the lowest.
    """
    furthest = max(abs(bias), abs(bias + span)) + float(np.max(node.v_threshold))
    room = WIDTH_OF_SDNN / node.resolution / max(furthest, 1)
    return 2 ** min(max(int(room).bit_length() - 1, 0), FINEST)


def _rounded(network, group, weight, bias):
    """Add neurons without memory that round weight * level + bias to whole numbers, as Lava injects them, and send
    these as levels. Returns (weight, bias) of the new levels.

    Thresholds are in the unit of the Input's levels: one level more for every 1 / weight, the first at half of
    that.
    """
    step, lowest = 1 / abs(weight), float(np.rint(bias))
    fraction = (bias - lowest) * np.sign(weight)
    most = (2 ** network.nodes["input"].bits - 1) * abs(weight) + 1
    if most >= 1 << MAX_BITS:
        raise unsupported(group, f"'weight' makes {most:.6g} values of an input, more than the "
                          f"{(1 << MAX_BITS) - 1} that levels of {MAX_BITS} bits tell apart; quantise it with a "
                          "smaller weight")
    bits = int(most).bit_length()
    node = guarded(group, lambda: Neuron(
        (0.5 - fraction) * step, leak=0.0, quantum=step, output_quantum=1.0, bits=bits, reset="soft",
        comparison=network.options.comparison, resolution=float(WIDTH // 2 ** (network.nodes["input"].bits + 1))))
    network.append(ROUNDED_INPUT, node)
    return float(np.sign(weight)), lowest


def _input_node(network, group, weight, bias, graded):
    """Add the Input. Returns (weight, bias) of its levels; the arguments are those of the values that levels stand
    for."""
    options = network.options
    low, high = (options.input_low, options.input_high)
    unfit = low is not None and high is not None and (high <= low or not graded or options.input_signed)
    if (low is None) != (high is None) or unfit:
        raise group.error(f"input_low and input_high are {low} and {high}, expected two numbers, the second the "
                          "larger, for an input layer with neurons, or SDNN, and values without a sign")
    ranged = low is not None
    bits = options.input_bits or (8 if ranged else _exact_bits(network, weight, bias) if graded else 1)
    signed = (graded and not ranged) if options.input_signed is None else options.input_signed
    network.assume("input_bits", bits, options.input_bits is None)
    network.assume("input_signed", signed, options.input_signed is None)
    if ranged:
        weight, bias = weight * (high - low) / (2**bits - 1), bias + weight * low
        network.assume("input_low", f"{low:g}", False)
        network.assume("input_high", f"{high:g}", False)
    scale = weight if network.sdnn else 1.0
    if scale <= 0:
        raise unsupported(group, f"'weight' is {weight:g}; only weights above 0 are supported for SDNN")
    if graded:
        _check_room(network, group, [_reach(weight, bias, width, signed) for width in (bits, 1)], bits)
    network.nodes["input"] = guarded(group, lambda: Input(network.shape, "spikes", bits, signed, scale))
    network.tail = "input"
    return weight, bias


def _reach(weight, bias, bits, signed):
    """Return how far from 0 weight * x + bias gets, for x of so many bits."""
    top = 2**bits - 1
    return max(abs(weight * x + bias) for x in (-top if signed else 0, top))


def _check_room(network, group, reach, bits):
    """Refuse an input where weight * x + bias leaves the states. reach: how far it gets for x of so many bits, and
    of one."""
    most = LARGEST_INPUT_OF_SDNN if network.sdnn else LARGEST_INPUT
    if reach[0] > most:
        remedy = "quantise it with a smaller weight or bias" if reach[1] > most else "give fewer --input-bits"
        raise unsupported(group, f"weight * x + bias reaches {reach[0]:.10g} for x of {many(bits, 'bit')}, more "
                          f"than the {most} that a state holds; {remedy}")


def implied_input(network, group):
    """Add an input of spikes before a dense first layer: some files of netx's tutorials have no input layer."""
    n_out = prod(layer_shape(group))
    _check_real(group, "weight")
    shape = group.dataset("weight").shape
    n_in, rest = divmod(prod(shape), n_out)
    if rest or not n_in or (len(shape) > 1 and shape != (n_out, n_in)):
        raise group.error("layer 0 has to be the input, and only that, or a dense layer with weights (out, in); "
                          f"its {n_out} neurons have weights {shape}")
    network.shape = (n_in,)
    _input_node(network, group, 1 / MESSAGE_STEPS if network.sdnn else 1.0, 0.0, network.sdnn)
    bits = network.nodes["input"].bits
    network.provenance["assumed input"] = f"{n_in} values before layer 0, which is dense (the file has no input)"
    if network.options.input_bits is None:
        network.open.append(f"it has no input layer: an input of {n_in} values of {bits} bit was assumed before "
                            "layer 0, which is dense; to say their width, give --input-bits")


def _exact_bits(network, weight, bias):
    """Return the bits of input values, at most MAX_BITS, for which weight * x + bias fits the state."""
    largest = max(0, (LARGEST_INPUT_OF_SDNN if network.sdnn else LARGEST_INPUT) - abs(bias))
    return int(np.clip(int(largest / max(abs(weight), 1) + 1).bit_length() - 1, 1, MAX_BITS))


def _transformation(network, group):
    """Return (weight, bias) of the input's values, and note what was assumed."""
    if network.options.input_is_bias:
        network.assume("input_is_bias", True, False)
        return 1.0, 0.0
    if "weight" not in group:
        network.assume("input weight", INPUT_WEIGHT, True, "as netx")
    if network.options.input_low is None:
        network.open.append(_unit_is_open(group))
    return tuple(
        float(whole_number(group, name, -MAX_NUMBER, MAX_NUMBER) if name in group else default)
        for name, default in (("weight", INPUT_WEIGHT), ("bias", 0))
    )


def _unit_is_open(group):
    has = [name for name in ("weight", "bias") if name in group]
    made = (f"its input layer's {' and '.join(has)} are" if len(has) > 1 else f"its input layer's {has[0]} is") \
        if has else "its input layer is"
    assumed = "" if "weight" in group else f"a weight of {INPUT_WEIGHT} was assumed for it, as netx does, and "
    return (f"{made} for values as the trainer normalised them, which the file does not say: {assumed}"
            "x was taken as it is; to say it, give --input-low and --input-high (-1 and 1, say, for pixels of 0 "
            "to 255), or --input-is-bias where x is what the layer makes of them")


@reads_layer("dense")
def _dense(network, group, name, last, recurrent=False):
    if len(network.shape) > 1:
        network.append(f"{name}.flat", Flatten())
        network.shape = (prod(network.shape),)
    n_in, n_out = network.shape[0], prod(layer_shape(group))
    repeats(group, "inFeatures", n_in)
    repeats(group, "outFeatures", n_out)
    weight = weights(network, group, "weight", (n_out, n_in))
    again = Dense(weights(network, group, "weight_rec", (n_out, n_out))) if recurrent else None
    network.shape = (n_out,)
    network.layer(group, name, Dense(weight), last, again)


@reads_layer("dense_rec")
def _dense_rec(network, group, name, last):
    _dense(network, group, name, last, recurrent=True)


@reads_layer("conv")
def _conv(network, group, name, last):
    shape, kernel = _maps(network, group)
    groups = whole_number(group, "groups", 1, MAX_EXTENT)
    repeats(group, "inChannels", network.shape[0])
    repeats(group, "outChannels", shape[0])
    if shape[0] % groups or network.shape[0] % groups:
        raise group.error(f"'groups' is {groups}, which does not divide the {network.shape[0]} channels in "
                          f"and {shape[0]} out")
    weight = weights(network, group, "weight", (shape[0], network.shape[0] // groups, *kernel))
    geometry = (pair(group, "stride", 1), pair(group, "padding", 0), pair(group, "dilation", 1))
    _convolution(network, group, name, Conv2d(weight, None, *geometry, groups), shape, last)


@reads_layer("pool")
def _pool(network, group, name, last):
    """Add a pool, sums times a weight, as a depthwise convolution. Where the kernel does not divide the map, the
    zeros that the format adds at the bottom and the right become padding on all sides, and the kernel begins with
    as many zeros."""
    shape, kernel = _maps(network, group)
    geometry = (pair(group, "stride", 1), pair(group, "padding", 0), pair(group, "dilation", 1))
    if geometry != (kernel, (0, 0), (1, 1)):
        raise unsupported(
            group, "stride, padding and dilation are {}, {} and {}; a pool is supported ".format(*geometry)
            + f"only with {kernel}, (0, 0) and (1, 1): in lava-dl others run across channels"
        )
    channels, short = network.shape[0], tuple(-size % k for size, k in zip(network.shape[1:], kernel))
    if channels * prod(kernel) > MOST_WEIGHTS:
        raise group.error(f"a kernel of {kernel} for each of {channels} channels is too large")
    weight = weights(network, group, "weight", (1, 1, *kernel))
    weight = np.pad(weight, ((0, 0), (0, 0), (short[0], 0), (short[1], 0)))
    node = Conv2d(np.repeat(weight, channels, axis=0), None, kernel, short, 1, channels)
    _convolution(network, group, name, node, shape, last)


def _maps(network, group):
    """Return (shape of the layer, size of its kernel)."""
    if len(network.shape) == 1:
        raise group.error(f"reads {network.shape[0]} neurons in a row, expected a map (C, H, W)")
    _check_real(group, "weight")
    sizes = group.dataset("weight").shape
    if len(sizes) not in (4, 5) or sizes[4:] not in ((), (1,)):
        raise group.error(f"'weight' has shape {sizes}, expected (out, in / groups, kH, kW), and perhaps "
                          "an axis of 1 behind them")
    repeats(group, "kernelSize", sizes[2:4])
    return layer_shape(group, (3,)), sizes[2:4]


def _convolution(network, group, name, node, shape, last):
    computed = guarded(group, lambda: node.output_shape(network.shape))
    if computed != shape:
        raise group.error(f"'shape' is {shape}, but {network.shape} becomes {computed}")
    network.shape = shape
    network.layer(group, name, node, last)


@reads_layer("flatten")
def _flatten(network, group, name, last):
    if prod(layer_shape(group)) != prod(network.shape):
        raise group.error(f"'shape' is {layer_shape(group)}, but the layer reads {network.shape}")
    network.append(name, Flatten())
    network.shape = (prod(network.shape),)


# ---- weights


def weights(network, group, name, shape):
    """Return the weights `name`, float64 of `shape`, in the unit of the neurons' inputs."""
    _check_real(group, name)
    values = whole_values(group, name, -256, 255, (prod(shape),))
    axes = values.shape[: len(shape)] if values.ndim > 1 else shape
    if axes != shape:
        raise group.error(f"{name!r} has shape {values.shape}, expected {shape}")
    values = _representable(network, group, name, values.reshape(shape))
    return values / MESSAGE_STEPS if network.sdnn else values


def _representable(network, group, name, values):
    """Return weights as netx loads them. Raises FormatError for odd ones where signs are mixed."""
    if (values >= 0).all() or (values <= 0).all():
        network.odd_weights |= bool((values % 2).any())
        return values
    clipped = values == 255
    if clipped.any():
        network.provenance[f"assumed {name} of {group.label}"] = (
            f"254 where the file has 255 ({int(clipped.sum())} weights; as netx where signs are mixed)"
        )
        values = np.where(clipped, 254.0, values)
    odd = values[values % 2 != 0]
    if odd.size:
        raise group.error(f"{name!r} has {odd.size} odd values such as {odd[0]:g}, expected even "
                          "ones, as Loihi's weights are where signs are mixed: quantise them again")
    return values


def _check_real(group, name):
    if name in group and group.is_group(name):
        raise unsupported(group, f"{name!r} is complex (real and imag); only real weights are supported")
