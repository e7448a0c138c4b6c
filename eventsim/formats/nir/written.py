"""What each kind of node becomes in a NIR file, one function per kind.

A function takes (draft, name, node) and returns the members of the file's node, or None for a node that is left
out. It is registered with @writes.
"""

import numpy as np

from eventsim.formats.nir.draft import quotient
from eventsim.model.input import Input
from eventsim.model.neurons import Neuron, Readout
from eventsim.model.synapses import Conv1d, Conv2d, Dense
from eventsim.model.transforms import Add, AvgPool, BatchNorm, Delay, Flatten, SumPool
from eventsim.registry import registers

KINDS = {}  # kind of a node -> function
writes = registers(KINDS)


@writes(Input)
def _input(draft, name, node):
    if node.mean.any() or (node.std != 1).any():
        draft.refuse(name, "NIR has no normalisation (mean, std)", "put it into the first weights")
    draft.options.update(encoding=node.encoding, input_bits=node.bits, input_signed=node.signed)
    if node.events is not None:
        draft.options.update({part: getattr(node.events, part)
                             for part in ("bin_width", "polarities", "coincident")})
    if node.encoding != "real":
        draft.scale_behind(name, node.scale)
    return {"type": "Input", "shape": np.array(node.shape)}


def _weights(draft, name, node):
    weight, bias = node.weight, node.bias
    if name in draft.folded:
        factor, shift = draft.folded[name]
        weight = weight * factor.reshape((-1,) + (1,) * (weight.ndim - 1))
        bias = shift if bias is None else bias * factor + shift
    if name in draft.gains:
        gain, share = draft.gains[name]
        bias = None if bias is None else quotient(bias * gain, share)
        per_row = (-1,) + (1,) * (weight.ndim - 1)
        weight = quotient(weight * gain.reshape(per_row), share.reshape(per_row))
    return weight, bias


@writes(Dense)
def _dense(draft, name, node):
    weight, bias = _weights(draft, name, node)
    if bias is None:
        return {"type": "Linear", "weight": weight}
    return {"type": "Affine", "weight": weight, "bias": bias}


@writes(Conv1d, Conv2d)
def _convolution(draft, name, node):
    weight, bias = _weights(draft, name, node)
    extent = draft.source_shape(name)[1:]
    return {
        "type": node.kind, "weight": weight,
        "bias": np.zeros(len(weight)) if bias is None else bias,
        "stride": np.array(node.stride), "padding": np.array(node.padding),
        "dilation": np.array(node.dilation), "groups": np.int64(node.groups),
        "input_shape": np.array(extent if len(extent) > 1 else extent[0]),
    }


@writes(SumPool, AvgPool)
def _pool(draft, name, node):
    shape = draft.source_shape(name)
    kernel, stride, padding = node.geometry(len(shape) - 1)
    if len(shape) != 3:
        draft.refuse(name, "NIR pools only two axes", "give the input a second axis of length 1")
    plain = tuple((n + 2 * p - k) // s + 1 for n, k, s, p in zip(shape[1:], kernel, stride, padding))
    if plain != draft.model.shapes[name][1:]:
        draft.refuse(name, "NIR has no ceil_mode", "crop the input")
    return {"type": node.kind + "2d", "kernel_size": np.array(kernel), "stride": np.array(stride),
            "padding": np.array(padding)}


@writes(Flatten)
def _flatten(draft, name, node):
    shape = draft.source_shape(name)
    if len(shape) == 1:
        return None
    return {"type": "Flatten", "start_dim": np.int64(0), "end_dim": np.int64(-1),
            "input_type": np.array(shape)}


@writes(Add)
def _sum(draft, name, node):
    """Leave out a sum, since edges into one node are summed. Readers sum currents only at neurons."""
    readers = [edge.target for edge in draft.model.outgoing(name)]
    if draft.model.kinds[name] == "current" and not all(draft.model.nodes[n].integrates() for n in readers):
        draft.refuse(name, "NIR's readers sum currents only in neurons")


@writes(BatchNorm)
def _nothing(draft, name, node):
    """Leave out a BatchNorm that was folded; the others are in the draft already."""


@writes(Delay)
def _delay(draft, name, node):
    return {"type": "Delay", "delay": draft.on_neurons(name, node.steps, "steps") * draft.dt}


@writes(Neuron)
def _neuron(draft, name, node):
    for part, what in (("signed", "spikes with a sign"), ("rectify", "MPR (rectify)"),
                       ("refractory", "refractory neurons")):
        if np.any(getattr(node, part)):
            draft.refuse(name, f"NIR has no {what}")
    members = _dynamics(draft, name, node, ("IF", "LIF", "CubaLIF"))
    threshold = draft.on_neurons(name, node.v_threshold, "v_threshold")
    bits = int(node.bits.max())
    if (node.bits != bits).any():
        draft.refuse(name, "NIR has no bits per channel")
    draft.agree(name, "reset", node.reset, "soft reset (NIR's neurons reset to a value)",
                "train with a hard reset")
    draft.agree(name, "reset_delay", node.reset_delay, "late reset", "train without (reset_delay=False)")
    draft.agree(name, "bits", bits, "spikes of several bits", "train with one bit")
    draft.agree(name, "lower_limit", _limit(draft, name, node, members["type"], threshold), "lower limit (v_min)",
                "train without")
    subtracts = node.reset == "soft" or bits > 1
    if subtracts and (draft.on_neurons(name, node.quantum, "quantum") != threshold).any():
        draft.refuse(name, "its quantum is not its threshold, and NIR's readers subtract thresholds")
    if draft.beyond_nir:
        draft.agree(name, "comparison", node.comparison, "", "")
    elif node.comparison == ">=":
        threshold = np.nextafter(threshold.astype(np.float32), np.float32(-np.inf)).astype(np.float64)
    reset = node.v_reset if node.reset == "hard" else np.zeros(())
    members.update(v_threshold=threshold, v_reset=draft.on_neurons(name, reset, "v_reset"))
    draft.scale_behind(name, node.worth)
    return members


def _limit(draft, name, node, kind, threshold):
    if node.v_min is None:
        return "none"
    if (draft.on_neurons(name, node.v_min, "v_min") != -threshold).any():
        draft.refuse(name, "NIR has no lower limit (v_min)", "train without")
    return "IF" if kind == "IF" else "all"


@writes(Readout)
def _readout(draft, name, node):
    before = draft.model.incoming(name)
    plain = node.current_leak is None and (node.leak == 0).all() and (node.input_gain == 1).all()
    plain = plain and not (node.v_leak.any() or node.bias.any() or node.reset_interval)
    if plain and len(before) == 1:
        kind, source = draft.model.kinds[before[0].source], draft.model.nodes[before[0].source]
        counted = isinstance(source, Neuron) and node.reduce == "sum" and (source.worth == 1).all()
        if kind == "current" or counted:  # the answer of a model that ends in spikes is their sum, too
            draft.options["readout"] = node.reduce
            return {"type": "Output", "shape": np.array(draft.model.shapes[name])}
    return integrating(draft, name, node)


def integrating(draft, name, node):
    """Return the members of a Readout as neurons that never fire. They may read several nodes, and with delays."""
    draft.options["readout"] = node.reduce
    return _dynamics(draft, name, node, ("I", "LI", "CubaLI"))


def _dynamics(draft, name, node, kinds):
    """Return the type, r and taus of a Neuron or Readout. kinds: the types for a leak of 1, for a smaller leak,
    and with a synaptic current."""
    leak, gain, v_leak, bias = (
        draft.on_neurons(name, getattr(node, part), part) for part in ("leak", "input_gain", "v_leak", "bias")
    )
    before = draft.synapses_before(draft.model.incoming(name)[0].source)
    moved = isinstance(node, Neuron) and before in draft.gains
    if node.reset_interval:
        draft.refuse(name, "NIR has no periodic reset (reset_interval)")
    if node.current_leak is None and (leak == 1).all():
        if bias.any():
            draft.refuse(name, "NIR has no bias for neurons", "give it to the synapses")
        return {"type": kinds[0], "r": np.ones(gain.shape) if moved else _integrated(draft, name, gain)}
    if (leak == 1).any() or (node.current_leak is not None and (node.current_leak == 1).any()):
        draft.refuse(name, "a leak of 1 is an infinite tau, which NIR has only for whole layers (IF, I) "
                     "without synaptic current")
    tau = draft.tau(leak)
    share = draft.dt / tau
    v_leak = v_leak + bias / share
    if node.current_leak is None:
        r = np.ones(gain.shape) if moved else quotient(gain, share)
        return {"type": kinds[1], "tau": tau, "r": r, "v_leak": v_leak}
    tau_syn = draft.tau(draft.on_neurons(name, node.current_leak, "current_leak"))
    r = tau / draft.dt  # as snnTorch expects
    w_in = quotient(gain, share * r * (draft.dt / tau_syn))
    return {"type": kinds[2], "tau_syn": tau_syn, "tau_mem": tau, "r": r, "v_leak": v_leak, "w_in": w_in}


def _integrated(draft, name, gain):
    """Return the r of an IF or I: 1 where the input is added as it is, else gain / dt, from NIR's dv/dt = r I."""
    if (gain == 1).all():
        return gain
    r = quotient(gain, draft.dt)
    if (r == 1).all():
        draft.refuse(name, f"its input_gain is dt, {draft.dt:g}, and an r of 1 means another in NIR files",
                     "give another dt")
    return r
