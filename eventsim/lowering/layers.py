"""Layers: the unit of a node with a membrane has all paths and terms that lead into it."""

import numpy as np

from eventsim.errors import UnsupportedError
from eventsim.lowering.linear import Current, Path, Term
from eventsim.lowering.rules import repacked
from eventsim.lowering.units import Unit
from eventsim.model.parameters import is_per_neuron


def layer(units, name) -> Unit:
    """Return the unit of neurons or of a readout, once the units that it reads are added."""
    node, shape = units.model.nodes[name], units.held_shape(name)
    unit = Unit(name, "layer", node, shape, units.model.shapes[name])
    for edge in units.model.incoming(name):
        value = units.along(edge)
        if isinstance(value, Current):
            _check_held(unit, value.shape)
            unit.paths += value.paths
            unit.terms += value.terms
        else:
            for train in value:
                _add_identity(units, unit, train)
    if node.fires():
        unit.max_level, unit.signed = 2**node.n_bits - 1, node.signed
    if hasattr(node, "input_gain"):
        _fold_gain(unit)
    _fold_constants(unit, units.chip)
    return unit


def _add_identity(units, unit, train):
    """Add one synapse per neuron, whose weight is the value of a level."""
    if train.flattened and train.shape != unit.shape:
        train = repacked(units, train)
    if train.flattened:  # train and unit are held as the same map: one amplitude per channel of the map
        scale = _per_channel(unit, "scale", train.scale)
        offset = None if train.offset is None else train.offset.reshape(unit.shape)
    else:
        _check_held(unit, train.shape)
        scale, offset = train.scale, train.offset
        offset = None if offset is None else offset[:, None, None]
    unit.paths.append(Path(train.unit, train.delay, train.shape, scale, amplitude=scale, real=train.real))
    if offset is not None:
        unit.terms.append(Term(offset, train.offset_step))


def _fold_gain(unit):
    """Fold the input gain into paths and terms; what differs inside a channel stays with the unit."""
    gain = unit.on_map("input_gain")
    if (gain == 1).all():
        return
    if is_per_neuron(unit.node.input_gain, unit.logical_shape) and unit.shape[1:] != (1, 1):
        unit.gain = gain
    else:
        factor = _per_channel(unit, "input_gain", gain.ravel())
        unit.paths = [path.scaled(factor) for path in unit.paths]
    unit.terms = [Term(term.value * gain, term.first_step) for term in unit.terms]


def _fold_constants(unit, chip):
    """Fold what is added at every step into the sum where that is the same, else into the membrane. Under a chip
    it is not the same: a current has a width of its own, and the neuron's bias is not part of it."""
    node = unit.node
    potential, bias = (1 - unit.on_map("leak")) * unit.on_map("v_leak"), unit.on_map("bias")
    if chip is not None or node.sends == "changes" or getattr(node, "current_leak", None) is not None:
        drive = potential + bias
        unit.drive = drive if drive.any() else None
        return
    unit.terms += [Term(constant) for constant in (potential, bias) if constant.any()]


def _per_channel(unit, what, flat):
    """Return one value per channel of a map. flat: one per neuron. Raises UnsupportedError where they differ
    inside a channel. what: how messages name them."""
    rows = np.asarray(flat).reshape(unit.shape[0], -1)
    if (rows != rows[:, :1]).any():
        raise UnsupportedError(
            f"{unit.label}: {what} differs between positions of one channel of the "
            "flattened map; put the Flatten after this node"
        )
    return rows[:, 0].copy()


def _check_held(unit, shape):
    if shape != unit.shape:
        raise UnsupportedError(f"{unit.label}: its inputs are flattened from maps of shapes {shape} and "
                               f"{unit.shape}; put the Flatten after this node")
