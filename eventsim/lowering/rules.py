"""Rules: one function for each kind of node says what the node comes down to.

A rule takes (units, name) and returns what the node gives to those that read it: a list of Trains, or a
Current. Nodes that change words of spikes (pools, sums, delays) add their units on the way.
"""

from dataclasses import replace

import numpy as np

from eventsim.lowering.composing import convolution_of_current, dense_of_current, TooLarge, Window
from eventsim.lowering.linear import (
    bias_terms, border_sums, compose, composed_size, Current, exact_sum, map_shape, Maximum, Path, per_group,
    pooled_term, SHIFTED, spread, synaptic, Term, Train, UNEQUAL,
)
from eventsim.lowering.room import size_text
from eventsim.lowering.units import Unit
from eventsim.model.input import Input
from eventsim.model.neurons import Alpha, Neuron, SigmaDelta
from eventsim.model.parameters import parameter_on
from eventsim.model.synapses import Conv1d, Conv2d, ConvTranspose2d, Dense, Restimulation
from eventsim.model.transforms import (
    Add, AvgPool, BatchNorm, Concat, Delay, Flatten, MaxPool, SumPool, Upsample,
)
from eventsim.registry import registers

RULES = {}  # kind -> rule
lowers = registers(RULES)
LARGEST_COMPOSED = 1 << 27  # numbers that the weights of a pooled current are summed from


def numbered(name, trains):
    """Return pairs of the name of a unit and the train that it reads, one for each train that a node reads. A
    single unit has the node's name."""
    names = [name] if len(trains) == 1 else [f"{name}/{i}" for i in range(len(trains))]
    return zip(names, trains)


# ---- what sends spikes


def input_unit(units, name) -> Unit:
    """Return the unit of the Input."""
    node = units.model.nodes[name]
    real = node.encoding == "real"
    return Unit(name, "input", node, units.held_shape(name), units.model.shapes[name],
                0 if real else 2**node.bits - 1, node.signed, real)


@lowers(Input)
def _input(units, name):
    node = units.model.nodes[name]
    n = node.shape[0]
    scale = node.scale / np.broadcast_to(node.std, n)
    if node.encoding == "real":
        scale = np.ones(n)
    offset = (0 - np.broadcast_to(node.mean, n)) / np.broadcast_to(node.std, n)
    return [Train(name, 0, map_shape(node.shape), scale, offset if offset.any() else None,
                  real=node.encoding == "real")]


@lowers(Neuron, Alpha, SigmaDelta)
def _neurons(units, name):
    node, shape = units.model.nodes[name], units.held_shape(name)
    logical = units.model.shapes[name]
    scale = np.broadcast_to(node.worth, logical[0]).astype(np.float64)
    if shape != map_shape(logical):  # fed by a flattened current: held as the map that it was
        return [repacked(units, Train(name, 0, shape, scale, flattened=True))]
    return [Train(name, 0, shape, scale)]


# ---- what changes words of spikes


@lowers(Delay)
def _delay(units, name):
    trains = units.source(name)
    steps = units.model.nodes[name].steps
    if (steps == steps.flat[0]).all() and name != units.model.output:  # which needs a unit
        return [train.delayed(int(steps.flat[0])) for train in trains]
    return [_delayed_neurons(units, name, unit_name, train) for unit_name, train in numbered(name, trains)]


def _delayed_neurons(units, name, unit_name, train):
    """Add a unit that reads a train once per delay and takes from it the neurons of that delay; return its
    train."""
    node, logical = units.model.nodes[name], units.model.shapes[name]
    units.check_spikes(name, [train], "delays single neurons of ")
    steps = parameter_on(node.steps, logical, "steps").reshape(train.shape)
    delays = np.unique(steps).astype(int).tolist()
    units.add(Unit(
        unit_name, "delay", node, train.shape, logical, *units.range_of(train.unit),
        trains=[train.delayed(delay) for delay in delays], masks=[steps == delay for delay in delays],
    ))
    return replace(train, unit=unit_name, delay=0, offset_step=0)


@lowers(Flatten)
def _flatten(units, name):
    value = units.source(name)
    if isinstance(value, Current):
        return value
    return [
        train if train.flattened or train.shape[1:] == (1, 1) else replace(
            train, flattened=True, scale=spread(train.scale, train.shape),
            offset=None if train.offset is None else spread(train.offset, train.shape),
        )
        for train in value
    ]


def repacked(units, train) -> Train:
    """Return a flattened train held as a vector: a unit of its own moves the bits."""
    name = f"{train.unit}/flat/{train.delay}"
    if name not in units.units:
        source = units.units.get(train.unit)
        node = units.model.nodes[train.unit] if source is None else source.node
        if train.real:
            raise units.refusal(
                train.unit, "flattened real numbers can be read only by Dense; give the Input the flat shape")
        add_flattened(units, name, node, train)
    return Train(name, 0, units.units[name].shape, train.scale, train.offset, train.offset_step)


def add_flattened(units, name, node, train):
    """Add the unit that holds a train as a vector."""
    n = int(np.prod(train.shape))
    units.add(Unit(name, "flatten", node, (n, 1, 1), (n,), *units.range_of(train.unit), trains=[train]))


@lowers(Add)
def _add(units, name):
    values = [units.along(edge) for edge in units.model.incoming(name)]
    if isinstance(values[0], Current):
        return _added_currents(units, name, values)
    trains = [train for value in values for train in value]
    first = trains[0]
    if any(t.offset is not None or not np.array_equal(t.scale, first.scale) for t in trains):
        return trains
    if any(t.flattened and t.shape != first.shape or t.flattened != first.flattened for t in trains):
        trains = [repacked(units, t) if t.flattened else t for t in trains]
    ranges = [units.range_of(t.unit) for t in trains]
    unit = units.add(Unit(
        name, "add", units.model.nodes[name], trains[0].shape, units.model.shapes[name],
        sum(top for top, _ in ranges), any(signed for _, signed in ranges), trains=trains,
    ))
    return [Train(name, 0, unit.shape, first.scale, flattened=trains[0].flattened)]


def _added_currents(units, name, currents):
    shapes = sorted({current.shape for current in currents})
    if len(shapes) > 1:
        raise units.refusal(name, f"its inputs are flattened from maps of shapes {shapes[0]} and {shapes[1]}; put "
                            "the Flatten after this node")
    return Current(shapes[0], [path for current in currents for path in current.paths],
                   [term for current in currents for term in current.terms])


@lowers(Concat)
def _concat(units, name):
    trains = []
    for edge in units.model.incoming(name):
        read = units.along(edge)
        units.check_spikes(name, read, f"joins {edge.source!r}, ")
        trains += [repacked(units, train) if train.flattened else train for train in read]
    ranges = [units.range_of(train.unit) for train in trains]
    unit = units.add(Unit(
        name, "concat", units.model.nodes[name], map_shape(units.model.shapes[name]), units.model.shapes[name],
        max(top for top, _ in ranges), any(signed for _, signed in ranges), trains=trains,
    ))
    return [Train(name, 0, unit.shape, np.concatenate([train.scale for train in trains]))]


@lowers(Upsample)
def _upsample(units, name):
    node, logical = units.model.nodes[name], units.model.shapes[name]
    factors = (1, *node.factors(1)) if len(logical) == 2 else node.factors(2)
    return [
        _spread(units, unit_name, node, train, logical, (factors, factors))
        for unit_name, train in numbered(name, units.source(name))
    ]


def _spread(units, name, node, train, logical, window):
    """Return a train whose positions lie a stride apart on a larger map of `logical` shape, each several times.
    window: (kernel, stride), (y, x) each."""
    (kernel, stride), shape = window, map_shape(logical)
    if train.real or kernel != stride:  # between positions that lie apart there is no offset
        units.check_spikes(name, [train])
    units.add(Unit(name, "spread", node, shape, logical, *units.range_of(train.unit), trains=[train],
                   window=(kernel, stride, (0, 0))))
    return Train(name, 0, shape, train.scale, train.offset, train.offset_step)


@lowers(SumPool)
def _sum_pool(units, name):
    return _pooled(units, name, "sum")


@lowers(AvgPool)
def _avg_pool(units, name):
    return _pooled(units, name, "sum", average=True)


@lowers(MaxPool)
def _max_pool(units, name):
    return _pooled(units, name, "max")


def _pooled(units, name, kind, average=False):
    value, logical = units.source(name), units.model.shapes[name]
    window = units.model.nodes[name].geometry(len(logical) - 1)
    if len(logical) == 2:  # (C, L) is held as (C, 1, L)
        window = tuple((fill, *axis) for fill, axis in zip((1, 1, 0), window))
    if isinstance(value, Current):
        _refuse_attention(units, name, value)
        if kind == "max":
            maximum = Maximum(value, window, np.ones(logical[0]), units.model.label(name))
            return Current(map_shape(logical), [maximum], [])
        return _pooled_current(units, name, value, window, average)
    if kind == "max" and len(value) > 1:
        raise units.refusal(name, f"maximum of {UNEQUAL}; give the trains equal quanta")
    pooled = Unit(name, kind, units.model.nodes[name], map_shape(logical), logical, window=window)
    return [
        _pooled_train(units, replace(pooled, name=unit_name, trains=[train]), train, average)
        for unit_name, train in numbered(name, value)
    ]


def _pooled_train(units, unit, train, average):
    """Add the unit, which reads the train, with the range of its levels; return its train."""
    kernel, _, padding = unit.window
    shifted = train.offset is not None and train.offset.any()
    if shifted and unit.kind == "sum" and (not average or any(padding)):
        raise units.refusal(unit.name, f"pools {SHIFTED}; only average pooling without padding can; pool after "
                            "the next synapses")
    n = kernel[0] * kernel[1]
    top, signed = units.range_of(train.unit)
    units.add(replace(unit, max_level=top * n if unit.kind == "sum" else top, signed=signed))
    scale = train.scale / n if average else train.scale
    return Train(unit.name, 0, unit.shape, scale, train.offset, train.offset_step)


def _pooled_current(units, name, current, window, average):
    kernel, stride, padding = window
    if current.maximum is not None:
        raise units.refusal(name, f"sums what {current.maximum.label} gives, the maximum of a current, which does "
                            "not compose with the synapses before it; pool the spikes instead")
    shape = map_shape(units.model.shapes[name])
    exact = all((size - k) // s + 1 == n for size, k, s, n
                in zip(current.shape[1:], kernel, stride, shape[1:]))
    if any(padding) or not exact or current.shape[0] != shape[0]:
        raise units.refusal(name, "pools a current with padding or ceil_mode, which does not compose with the "
                            "synapses before it; pool the spikes instead")
    divisor = kernel[0] * kernel[1] if average else 1
    for path in current.paths:
        _refuse_large(units, name, path, kernel)
    paths = [compose(path, kernel, stride, divisor) for path in current.paths]
    terms = [pooled_term(term, kernel, stride, divisor, shape) for term in current.terms]
    return Current(shape, paths, terms)


def _refuse_large(units, name, path, kernel):
    """Raise UnsupportedError where a pool and the synapses before it would make too many weights."""
    rows, numbers = composed_size(path, kernel)
    if rows * numbers > LARGEST_COMPOSED:
        raise units.refusal(
            name, f"pools a current, which with the synapses before it makes {numbers:,} weights, sums of up to "
            f"{rows:,} numbers: {size_text(8 * rows * numbers)}, expected at most "
            f"{size_text(8 * LARGEST_COMPOSED)}; pool the spikes instead, or smaller windows")


# ---- what is linear


@lowers(BatchNorm)
def _batch_norm(units, name):
    node, value = units.model.nodes[name], units.source(name)
    factor = (node.weight * node.scale) / np.sqrt(node.running_var + node.eps)
    if not isinstance(value, Current):
        return [_normalised_train(units, name, train, factor) for train in value]
    shift = node.bias - node.running_mean * factor
    if factor.size != value.shape[0]:
        raise units.refusal(name, "normalises a flattened current; put it before the Flatten")
    _refuse_attention(units, name, value)
    scaled = value.scaled(factor)
    return replace(scaled, terms=scaled.terms + [Term(shift[:, None, None])])


def _normalised_train(units, name, train, factor):
    """Return a train behind a BatchNorm, whose own shift acts from the first step on: a delay before it gives it
    nothing, which is 0, to normalise."""
    node = units.model.nodes[name]
    before = 0 if train.offset is None else train.offset
    offset = (before - node.running_mean) * factor + node.bias
    if not np.any(before):
        return replace(train, scale=train.scale * factor, offset=offset, offset_step=0)
    if train.offset_step and (node.bias - node.running_mean * factor).any():
        raise units.refusal(name, f"shifts {SHIFTED} that a delay brings late; put the delay behind it")
    return replace(train, scale=train.scale * factor, offset=offset)


def _refuse_attention(units, name, current):
    if any(path.attention is not None for path in synaptic(current.paths)):
        raise units.refusal(name, "a Restimulation must lead straight into a Neuron")


@lowers(Dense)
def _dense(units, name):
    node, value = units.model.nodes[name], units.source(name)
    n_out = node.weight.shape[0]
    if isinstance(value, Current):
        composed = _composed(units, name, value, lambda: dense_of_current(node.weight, value))
        return replace(composed, terms=bias_terms(node.bias) + composed.terms)
    current = Current((n_out, 1, 1), [], bias_terms(node.bias))
    for train in value:
        shape = train.shape if train.flattened else (train.shape[0], 1, 1)
        kernel = (node.weight * train.scale).reshape(n_out, *shape)
        current.paths.append(Path(train.unit, train.delay, shape, train.scale, kernel, real=train.real))
        if train.offset is not None:
            products = node.weight * train.offset
            sums = np.array([exact_sum(row) for row in products])
            current.terms.append(Term(sums[:, None, None], train.offset_step))
    return current


@lowers(Conv1d)
def _conv1d(units, name):
    node = units.model.nodes[name]
    return _convolution(units, name, Conv2d(  # (C, L) is held as (C, 1, L)
        node.weight[:, :, None, :], node.bias, (1, *node.stride), (0, *node.padding), (1, *node.dilation),
        node.groups,
    ))


@lowers(Conv2d)
def _conv2d(units, name):
    return _convolution(units, name, units.model.nodes[name])


@lowers(ConvTranspose2d)
def _conv_transpose2d(units, name):
    """Return the current of a convolution of the map with zeros between its positions."""
    node = units.model.nodes[name]
    shape = node.spread_shape(units.model.shapes[units.model.incoming(name)[0].source])
    trains = [
        _spread(units, f"{name}/spread/{i}", node, train, shape, ((1, 1), node.stride))
        for i, train in enumerate(units.source(name))
    ]
    current = _convolution(units, name, node.as_convolution(), trains)
    current.paths = [replace(path, spread=node.stride) for path in current.paths]
    return current


def _convolution(units, name, node, trains=None):
    shape = map_shape(units.model.shapes[name])
    value = units.source(name) if trains is None else trains
    if isinstance(value, Current):
        return _convolved_current(units, name, node, value)
    current = Current(shape, [], bias_terms(node.bias))
    for train in value:
        factor = per_group(train.scale, node.weight.shape, node.groups)
        path = Path(
            train.unit, train.delay, train.shape, train.scale, node.weight * factor, None,
            node.stride, node.padding, node.dilation, node.groups, train.real,
        )
        current.paths.append(path)
        if train.offset is not None:
            offset = node.weight * per_group(train.offset, node.weight.shape, node.groups)
            current.terms.append(Term(border_sums(offset, path, shape), train.offset_step))
    return current


def _convolved_current(units, name, node, current):
    window = Window(node.stride, node.padding, node.dilation)
    shape = map_shape(units.model.shapes[name])
    composed = _composed(units, name, current, lambda: convolution_of_current(
        node.weight, node.groups, window, current, shape))
    if composed is None:
        raise units.refusal(name, f"{_reads(units, name)}, and pads it, where the synapses before it would give "
                            "more than padding; put a Neuron between them, or pad before both")
    return replace(composed, terms=bias_terms(node.bias) + composed.terms)


def _composed(units, name, current, compose_with):
    """Return what compose_with() makes of synapses behind a current. Raises UnsupportedError where they do not
    compose.
    """
    if current.maximum is not None:
        raise units.refusal(name, f"{_reads(units, name)}, the maximum that {current.maximum.label} takes; put a "
                            "Neuron between them")
    _refuse_attention(units, name, current)
    try:
        return compose_with()
    except TooLarge as error:
        raise units.refusal(name, f"{_reads(units, name)}; {error}; put a Neuron between them") from None


def _reads(units, name):
    source = units.model.incoming(name)[0].source
    return f"reads {units.model.label(source)}, which gives a current"


@lowers(Restimulation)
def _restimulation(units, name):
    node, trains = units.model.nodes[name], units.source(name)
    units.check_spikes(name, trains, takes="the spikes of one node")
    train = repacked(units, trains[0]) if trains[0].flattened else trains[0]
    path = Path(train.unit, train.delay, train.shape, train.scale, attention=node)
    if node.weight is None:
        path.amplitude = train.scale
    else:
        path.weight, path.stride = node.weight * train.scale[:, None, None], node.stride
    return Current(map_shape(units.model.shapes[name]), [path], [])
