"""A model as a list of layers for dense libraries, with everything folded that can be folded.

Neurons count in quanta: the quantum of a neuron and its input gain are in the weights that lead to it, the worth
of its levels in those that read it, so that a level is a whole number and firing needs no product. What a library
would not run as it is meant here is refused with the name of its node.
"""

from typing import Dict, List, NamedTuple, Tuple

import numpy as np

from eventsim import UnsupportedError

SYNAPSES = ("Conv2d", "Dense", "Restimulation")
POOLS = ("MaxPool", "SumPool", "AvgPool")


class Read(NamedTuple):
    """What a layer reads: the layer's name, and how many steps before."""

    source: str
    delay: int


class Layer(NamedTuple):
    """name, kind: of the node. reads: summed. values: its arrays (float64) and settings by name.

    still: whether it gives the same in every step, so that it is computed once.
    loop: a number that the layers of one recurrent group share, -1 elsewhere.
    """

    name: str
    kind: str
    reads: Tuple[Read, ...]
    values: Dict[str, object]
    still: bool
    loop: int


def plan(model) -> List[Layer]:
    """The layers of a model behind its input, in the order of execution.

    Raises UnsupportedError for nodes and settings that are not translated.
    """
    _check(model)
    layers, worth, still = [], {model.input: 1.0}, {model.input: model.nodes[model.input].still}
    for number, group in enumerate(model.order()):
        loop = number if model.is_recurrent(group) else -1
        for name in group:  # what a level of it is worth is known before the neurons that lead back to it
            if model.nodes[name].kind == "Neuron":
                worth[name] = _number(model, name, "output_quantum" if model.nodes[name].output_quantum is not None
                                      else "quantum")
        for name in group:
            if name == model.input:
                continue
            kind = model.nodes[name].kind
            reads = tuple(Read(edge.source, edge.delay) for edge in model.incoming(name))
            if loop < 0 and any(read.delay for read in reads):
                refuse(model, name, "the peers have delays in recurrent groups only")
            still[name] = loop < 0 and kind != "Neuron" and all(still[read.source] for read in reads)
            layers.append(Layer(name, kind, reads, _VALUES[kind](model, name, worth), still[name], loop))
            if kind != "Neuron":
                worth[name] = worth.get(reads[0].source, 1.0) if kind in (*POOLS, "Flatten") else 1.0
    return layers


def _check(model):
    """Refuse kinds that are not translated, and weights that could not take in a quantum."""
    for name, node in model.nodes.items():
        if name != model.input and node.kind not in _VALUES:
            refuse(model, name, f"the peers have no {node.kind}")
    for name, node in model.nodes.items():
        if node.kind in SYNAPSES and len({edge.target for edge in model.outgoing(name)}) != 1:
            refuse(model, name, "the peers want one Neuron or Readout behind synapses")
        for edge in model.incoming(name):
            if node.integrates() != (model.nodes[edge.source].kind in SYNAPSES):
                refuse(model, name, f"reads {model.label(edge.source)}: the peers want synapses right before "
                                    "neurons, and nothing between")


def refuse(model, name, what):
    """Raise UnsupportedError that names the node."""
    raise UnsupportedError(f"{model.label(name)}: {what}")


def values_of(node, x):
    """What levels x (N, ...) or (N, T, ...) are worth, float32 in the same shape."""
    if node.encoding != "image":
        return x.astype(np.float32) * np.float32(node.scale)
    each = (-1, *[1] * (len(node.shape) - 1))
    mean, std = (np.reshape(value, each) if value.ndim else value for value in (node.mean, node.std))
    return ((x.astype(np.float64) * node.scale - mean) / std).astype(np.float32)


# ---- what each kind of node says


def _number(model, name, field):
    """A parameter that has to be one number."""
    value = np.unique(getattr(model.nodes[name], field))
    if value.size != 1:
        refuse(model, name, f"the peers fold {field} into weights, expected one number")
    return float(value[0])


def _folded(model, name, worth):
    """(factor of the weights, factor of the bias) of synapses: what they read and what they lead to."""
    target = model.outgoing(name)[0].target
    node = model.nodes[target]
    unit = _number(model, target, "quantum") if node.kind == "Neuron" else 1.0
    factor = _number(model, target, "input_gain") / unit
    return factor * worth[model.incoming(name)[0].source], factor


def _synapses(model, name, worth):
    node, (factor, of_bias) = model.nodes[name], _folded(model, name, worth)
    values = {"weight": node.weight * factor, "bias": None if node.bias is None else node.bias * of_bias}
    if node.kind == "Conv2d":
        values.update({key: getattr(node, key) for key in ("stride", "padding", "dilation", "groups")})
    return values


def _attention(model, name, worth):
    """The mean is taken of values, what is passed on is in the target's quanta."""
    node, (factor, _) = model.nodes[name], _folded(model, name, worth)
    return {"kernel": node.kernel * worth[model.incoming(name)[0].source], "factor": factor, "stride": node.stride,
            "weight": node.weight}


def _pool(model, name, worth):
    node = model.nodes[name]
    if node.ceil_mode or len(model.shapes[name]) != 3:
        refuse(model, name, "the peers pool maps (C, H, W), without ceil_mode")
    return dict(zip(("kernel", "stride", "padding"), node.geometry(len(model.shapes[name]) - 1)))


def _membrane(model, name, unit):
    """Leaks and drive of a Neuron or Readout, in its quanta."""
    node, shape = model.nodes[name], model.shapes[name]
    leak = _along(node.leak, shape)
    return {"leak": leak, "current_leak": None if node.current_leak is None else _along(node.current_leak, shape),
            "drive": ((1 - leak) * _along(node.v_leak, shape) + _along(node.bias, shape)) / unit}


def _along(value, shape):
    """A parameter that broadcasts over (N, *shape)."""
    value = np.asarray(value, np.float64)
    return value.reshape(-1, *[1] * (len(shape) - 1)) if value.ndim == 1 and value.size != 1 else value.reshape(
        value.shape if value.ndim > 1 else ())


def _neuron(model, name, worth):
    node, shape, unit = model.nodes[name], model.shapes[name], _number(model, name, "quantum")
    threshold = _along(node.v_threshold, shape) / unit
    if node.signed or node.refractory.any() or node.reset_interval or (node.reset_delay and node.reset != "soft"):
        refuse(model, name, "the peers have no signed levels, refractory time, reset interval or late hard reset")
    if node.rectify and (threshold != 0.5).any():
        refuse(model, name, "the peers rectify (MPR) at half a quantum only")
    return {
        **_membrane(model, name, unit), "threshold": threshold, "top": 2 ** int(_number(model, name, "bits")) - 1,
        "strict": node.comparison == ">", "reset": node.reset, "late": bool(node.reset_delay),
        "v_reset": _along(node.v_reset, shape) / unit,
        "v_min": None if node.v_min is None else _along(node.v_min, shape) / unit,
    }


def _readout(model, name, worth):
    node = model.nodes[name]
    if node.reset_interval:
        refuse(model, name, "the peers have no reset interval")
    return {**_membrane(model, name, 1.0), "reduce": node.reduce}


def _flatten(model, name, worth):
    return {}


_VALUES = {
    "Conv2d": _synapses, "Dense": _synapses, "Restimulation": _attention, "Flatten": _flatten, "Neuron": _neuron,
    "Readout": _readout, **dict.fromkeys(POOLS, _pool),
}
