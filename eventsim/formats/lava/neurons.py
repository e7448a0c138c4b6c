"""lava-dl's neurons as eventsim's. The functions take the `Network` and the layer's group in the file."""

import numpy as np

from eventsim.formats.lava.values import per_channel, whole_number
from eventsim.formats.refusing import unsupported
from eventsim.model.neurons import Neuron, Readout, SigmaDelta
from eventsim.model.parameters import MAX_BITS

PLAIN = {"refDelay": 1, "gradedSpike": 0, "wgtExp": 0, "messageBits": 0}  # the only values supported for CUBA
CUBA_MEMBERS = {"type", "iDecay", "vDecay", "vThMant", *PLAIN}
SDNN_MEMBERS = {"type", "vThMant", "activation", "sigma_output", "messageBits"}

UNIT = 4096  # decays count in 4096ths; states of SDNN in 4096ths of a unit
STATE_STEPS = 64  # steps of a CUBA state to one unit of weights, biases and thresholds
MESSAGE_STEPS = 64  # steps of SDNN's graded messages, and of its weights, to one unit
NEVER_FIRES = 131071  # vThMant, 17 bits: how files say that a layer is only read
MAX_NUMBER = 1 << 23  # of biases: what a state of 24 bits holds


def neurons_of(network, group, last):
    """Return the neurons of a layer that reads another one. last: whether they are the last node."""
    bias = 0.0
    if "bias" in group:
        bias = per_channel(group, "bias", -MAX_NUMBER, MAX_NUMBER, network.shape[0])
    if last and "neuron" not in group and group.label.endswith("(dense)"):
        return _integrator(network, group, bias)
    if not network.sdnn:
        node = current_based(network, group, bias)
        silent = last and (node.v_threshold >= NEVER_FIRES).all()
        return _read_out(network, group, node) if silent else node
    if "sigma_output" not in group.group("neuron"):
        return sigma_delta(network, group, bias)
    if not last or np.any(bias):
        raise unsupported(group, "sigma_output is supported for the last layer, without bias")
    network.note(group.group("neuron"), SDNN_MEMBERS)
    return Readout("last", 1.0, resolution=UNIT, **network.resets())


def _integrator(network, group, bias):
    """Return the neurons of a last dense layer that has none in the file: they add up their input and never
    fire."""
    network.assume(f"neurons of {group.label}", "iDecay 0, vDecay 4096, never firing", True, "as netx")
    unit, steps = (UNIT, UNIT) if network.sdnn else (1, STATE_STEPS)
    return Readout("last", 0.0, current_leak=1.0, bias=bias / unit, resolution=steps, **network.resets())


def current_based(network, group, bias, **others):
    """Return CUBA neurons, whose states count STATE_STEPS to one unit of the file's numbers. others: fields of
    Neuron."""
    neuron = group.group("neuron", f"{group.label}, neuron")
    for name, plain in PLAIN.items():
        values = plain
        if name in neuron:
            values = per_channel(neuron, name, -UNIT, UNIT, network.shape[0])
        if np.any(values != plain):
            raise unsupported(neuron, f"{name!r} is {values}, only {plain} is supported")
    decay, current_decay, threshold = (
        per_channel(neuron, name, 0, most, network.shape[0])
        for name, most in (("vDecay", UNIT), ("iDecay", UNIT), ("vThMant", NEVER_FIRES + 1))
    )
    network.note(neuron, CUBA_MEMBERS)
    return Neuron(
        threshold, leak=1 - decay / UNIT, current_leak=1 - current_decay / UNIT, bias=bias, reset="hard",
        comparison=network.options.comparison, resolution=STATE_STEPS, **others, **network.resets(),
    )


def _read_out(network, group, node):
    network.assume(f"readout of {group.label}", f"never fires, vThMant {NEVER_FIRES} or more", True)
    return Readout("last", node.leak, current_leak=node.current_leak, bias=node.bias,
                   resolution=node.resolution, **network.resets())


def sigma_delta(network, group, bias, **others):
    """Return SDNN neurons, whose states count UNIT steps to one unit of the file's thresholds and biases. others:
    fields of SigmaDelta."""
    neuron = group.group("neuron", f"{group.label}, neuron")
    threshold = per_channel(neuron, "vThMant", 0, NEVER_FIRES, network.shape[0])
    bits = network.options.message_bits
    if bits is None and "messageBits" in neuron:
        bits = whole_number(neuron, "messageBits", 1, MAX_BITS)
    else:
        bits = bits or MAX_BITS
        network.assume("message_bits", bits, network.options.message_bits is None)
    network.note(neuron, SDNN_MEMBERS)
    return SigmaDelta(v_threshold=threshold, bias=bias, quantum=1 / MESSAGE_STEPS, bits=bits,
                      resolution=UNIT, **others, **network.resets())
