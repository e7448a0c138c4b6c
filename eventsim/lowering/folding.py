"""Folding: what a Model's graph comes down to, in exact float64, before any precision is chosen.

Everything between two spiking nodes is linear, so it becomes *paths* (one synapse array from
one spike train into one membrane) and *terms* (constants that are added at every step). Input
normalisation, BatchNorm, quanta, pooling of currents and input gains disappear into them here.

All arithmetic is elementwise float64 in the order written, sums are `math.fsum`: the constants
do not depend on the machine. Rounding to the type of a run happens once, in `lower`.
"""

from dataclasses import replace
from graphlib import TopologicalSorter
from typing import Dict, List

import numpy as np

from eventsim.errors import UnsupportedError
from eventsim.lowering.linear import (
    bias_terms, border_sums, compose, Current, exact_sum, map_shape, Path, per_group, pooled_term, spread,
    Term, Train,
)
from eventsim.lowering.units import Group, Unit
from eventsim.model.network import Model
from eventsim.model.neurons import Readout, SigmaDelta
from eventsim.model.parameters import is_per_neuron, parameter_on

MAX_PLANES = 31  # of one sign: signed levels are given as int32, see `spikes`


def fold(model: Model) -> List[Group]:
    """The units of a model in the order of execution.

    Raises UnsupportedError, naming the node, for graphs that cannot run by additions.
    """
    return _Folder(model).groups()


def _in_order(units, recurrent):
    """Units of a group, each after those of the group that it reads (in the same step, where they
    run step by step)."""
    reads = {
        unit.name: [r.unit for r in (*unit.trains, *unit.paths) if not (recurrent and r.delay)]
        for unit in units
    }
    named = {unit.name: unit for unit in units}
    return [named[name] for name in TopologicalSorter(reads).static_order() if name in named]


class _Folder:
    """Walks the graph once. Spiking nodes become units when their turn comes; the linear nodes
    between them are evaluated, by name and memoised, when a unit reads them."""

    def __init__(self, model):
        self.model = model
        self.units: Dict[str, Unit] = {}
        self.values = {}  # name -> list of Train, or Current
        self.pending: List[Unit] = []

    def groups(self):
        groups = []
        for names in self.model.order():
            self.pending = []
            for name in names:
                if self.model.kinds[name] != "current":
                    self._emit(name)
            if self.pending:
                recurrent = self.model.is_recurrent(names)
                groups.append(Group(_in_order(self.pending, recurrent), recurrent))
        if self.model.output not in self.units:
            raise UnsupportedError(
                f"{self.model.label(self.model.output)}: the model ends in a sum of unequal quanta; "
                "give its trains equal quanta, or read them with a Readout"
            )
        return groups

    # ---- units

    def _emit(self, name):
        node = self.model.nodes[name]
        if node.kind == "Input":
            top = 0 if node.encoding == "real" else 2**node.bits - 1
            self._add(Unit(name, "input", node, self._held_shape(name), self.model.shapes[name],
                           top, node.signed, node.encoding == "real"))
        elif node.integrates():
            self._add(self._layer(name))
        else:
            value = self._value(name)  # pools and Add make their units where they are evaluated
            if name == self.model.output and node.kind == "Flatten" and len(value) == 1:
                self._flatten(name, node, value[0])

    def _add(self, unit):
        if unit.n_bits > MAX_PLANES:
            raise UnsupportedError(
                f"{self.model.label(unit.name.partition('/')[0])}: levels up to {unit.max_level} take "
                f"{unit.n_bits} bits, expected at most {MAX_PLANES}; sum fewer levels, or narrower ones"
            )
        self.units[unit.name] = unit
        self.pending.append(unit)
        return unit

    def _layer(self, name):
        node, shape = self.model.nodes[name], self._held_shape(name)
        paths, terms = [], []
        for edge in self.model.incoming(name):
            value = self._delayed(edge)
            if isinstance(value, Current):
                self._check_held(name, value.shape, shape)
                paths += value.paths
                terms += value.terms
            else:
                for train in value:
                    self._identity(name, train, shape, paths, terms)
        unit = Unit(name, "layer", node, shape, self.model.shapes[name], paths=paths, terms=terms)
        if not isinstance(node, Readout):
            unit.max_level, unit.signed = 2**node.n_bits - 1, node.signed
        if not isinstance(node, SigmaDelta):
            self._fold_gain(unit)
        self._fold_constants(unit)
        return unit

    def _identity(self, name, train, shape, paths, terms):
        if train.flattened and train.shape != shape:
            train = self._repacked(train)
        if train.flattened:  # both held as the same map: one amplitude per channel of the map
            scale = self._per_channel(name, "scale", train.scale, shape)
            offset = None if train.offset is None else train.offset.reshape(shape)
        else:
            self._check_held(name, train.shape, shape)
            scale, offset = train.scale, train.offset
            offset = None if offset is None else offset[:, None, None]
        paths.append(Path(train.unit, train.delay, train.shape, scale, amplitude=scale, real=train.real))
        if offset is not None:
            terms.append(Term(offset, train.offset_step))

    def _fold_gain(self, unit):
        node, gain = unit.node, unit.node.input_gain
        whole = parameter_on(gain, unit.logical_shape, "input_gain").reshape(unit.shape)
        if (whole == 1).all():
            return
        if is_per_neuron(gain, unit.logical_shape) and unit.shape[1:] != (1, 1):
            unit.gain = whole
        else:
            factor = self._per_channel(unit.name, "input_gain", whole.ravel(), unit.shape)
            unit.paths = [path.scaled(factor) for path in unit.paths]
        unit.terms = [Term(term.value * whole, term.first_step) for term in unit.terms]

    def _fold_constants(self, unit):
        """What is added at every step: to the sum where that is the same, else to the membrane."""
        node, shape = unit.node, unit.shape

        def whole(name, default=0.0):
            value = getattr(node, name, default)
            return parameter_on(value, unit.logical_shape, name).reshape(shape)

        potential, bias = (1 - whole("leak")) * whole("v_leak"), whole("bias")
        if getattr(node, "current_leak", None) is not None or isinstance(node, SigmaDelta):
            drive = potential + bias
            unit.drive = drive if drive.any() else None
            return
        unit.terms += [Term(constant) for constant in (potential, bias) if constant.any()]

    def _per_channel(self, name, what, flat, shape):
        """One value per channel of a map from one per neuron, which must not differ inside it."""
        rows = np.asarray(flat).reshape(shape[0], -1)
        if (rows != rows[:, :1]).any():
            raise UnsupportedError(
                f"{self.model.label(name)}: {what} differs between positions of one channel of the "
                "flattened map; put the Flatten after this node"
            )
        return rows[:, 0].copy()

    def _check_held(self, name, found, shape):
        if found != shape:
            raise UnsupportedError(
                f"{self.model.label(name)}: its inputs are flattened from maps of shapes {found} and "
                f"{shape}; put the Flatten after this node"
            )

    def _held_shape(self, name):
        """(C, H, W) in which a node's output is held; a flattened current stays a map."""
        model = self.model
        while model.nodes[name].integrates() or model.nodes[name].kind in ("Flatten", "BatchNorm"):
            sources = [edge.source for edge in model.incoming(name)]
            currents = [source for source in sources if model.kinds[source] == "current"]
            if not currents:
                break
            name = currents[0]
        return map_shape(model.shapes[name])

    # ---- values: what flows along the edges

    def _delayed(self, edge):
        value = self._value(edge.source)
        if not edge.delay:
            return value
        if isinstance(value, Current):
            return Current(
                value.shape,
                [replace(path, delay=path.delay + edge.delay) for path in value.paths],
                [Term(term.value, term.first_step + edge.delay) for term in value.terms],
            )
        return [train.delayed(edge.delay) for train in value]

    def _value(self, name):
        """What a node gives; first, without recursion, what the linear nodes before it give."""
        waiting = [name]
        while waiting:
            node = self.model.nodes[waiting[-1]]
            before = () if node.integrates() else self.model.incoming(waiting[-1])
            missing = [edge.source for edge in before if edge.source not in self.values]
            if missing:
                waiting += missing[::-1]
                continue
            last = waiting.pop()
            if last not in self.values:
                self.values[last] = getattr(self, "_" + node.kind)(last)
        return self.values[name]

    def _source(self, name):
        return self._delayed(self.model.incoming(name)[0])

    def _Input(self, name):
        node = self.model.nodes[name]
        n = node.shape[0]
        scale = node.scale / np.broadcast_to(node.std, n)
        if node.encoding == "real":
            scale = np.ones(n)
        offset = (0 - np.broadcast_to(node.mean, n)) / np.broadcast_to(node.std, n)
        return [Train(name, 0, map_shape(node.shape), scale, offset if offset.any() else None,
                      real=node.encoding == "real")]

    def _Neuron(self, name):
        node, shape = self.model.nodes[name], self._held_shape(name)
        quantum = getattr(node, "output_quantum", None)
        quantum = node.quantum if quantum is None else quantum
        logical = self.model.shapes[name]
        scale = np.broadcast_to(quantum, logical[0]).astype(np.float64)
        if shape != map_shape(logical):  # fed by a flattened current: held as the map that it was
            return [self._repacked(Train(name, 0, shape, scale, flattened=True))]
        return [Train(name, 0, shape, scale)]

    _SigmaDelta = _Neuron

    def _Delay(self, name):
        trains = self._source(name)
        steps = self.model.nodes[name].steps
        if (steps == steps.flat[0]).all() and name != self.model.output:  # which needs a unit
            return [train.delayed(int(steps.flat[0])) for train in trains]
        return [
            self._delayed_neurons(name, name if len(trains) == 1 else f"{name}/{i}", train)
            for i, train in enumerate(trains)
        ]

    def _delayed_neurons(self, name, unit, train):
        """A unit that reads a train once per delay and takes from it the neurons of that delay."""
        if train.real or train.offset is not None:
            raise UnsupportedError(
                f"{self.model.label(name)}: delays single neurons of real numbers, or of values whose "
                "zero is shifted (mean or BatchNorm); it takes spikes"
            )
        top, signed = self._range_of(train.unit)
        logical = self.model.shapes[name]
        steps = parameter_on(self.model.nodes[name].steps, logical, "steps").reshape(train.shape)
        unit = Unit(unit, "delay", self.model.nodes[name], train.shape,
                    logical, top, signed)
        for delay in np.unique(steps).astype(int).tolist():
            unit.trains.append(train.delayed(delay))
            unit.masks.append(steps == delay)
        self._add(unit)
        return replace(train, unit=unit.name, delay=0, offset_step=0)

    def _Flatten(self, name):
        value = self._source(name)
        if isinstance(value, Current):
            return value
        return [
            train if train.flattened or train.shape[1:] == (1, 1) else replace(
                train, flattened=True, scale=spread(train.scale, train.shape),
                offset=None if train.offset is None else spread(train.offset, train.shape),
            )
            for train in value
        ]

    def _repacked(self, train):
        """A flattened train held as a vector: a unit of its own moves the bits."""
        name = f"{train.unit}/flat/{train.delay}"
        if name not in self.units:
            source = self.units.get(train.unit)
            node = self.model.nodes[train.unit] if source is None else source.node
            if train.real:
                raise UnsupportedError(
                    f"{self.model.label(train.unit)}: flattened real numbers can be read only by "
                    "Dense; give the Input the flat shape"
                )
            self._flatten(name, node, train)
        return Train(name, 0, self.units[name].shape, train.scale, train.offset, train.offset_step)

    def _flatten(self, name, node, train):
        n = int(np.prod(train.shape))
        top, signed = self._range_of(train.unit)
        self._add(Unit(name, "flatten", node, (n, 1, 1), (n,), top, signed, trains=[train]))

    def _range_of(self, name):
        """(max_level, signed) of a unit; a neuron's is known before its unit exists."""
        if name in self.units:
            return self.units[name].max_level, self.units[name].signed
        node = self.model.nodes[name]
        return 2**node.n_bits - 1, node.signed

    def _BatchNorm(self, name):
        node, value = self.model.nodes[name], self._source(name)
        factor = (node.weight * node.scale) / np.sqrt(node.running_var + node.eps)
        if not isinstance(value, Current):
            return [
                replace(
                    train,
                    scale=train.scale * factor,
                    offset=((0 if train.offset is None else train.offset) - node.running_mean) * factor
                    + node.bias,
                )
                for train in value
            ]
        shift = node.bias - node.running_mean * factor
        if factor.size != value.shape[0]:
            raise UnsupportedError(
                f"{self.model.label(name)}: normalises a flattened current; put it before the Flatten"
            )
        self._refuse_restimulation(name, value)
        return Current(
            value.shape,
            [path.scaled(factor) for path in value.paths],
            [Term(term.value * factor[:, None, None], term.first_step) for term in value.terms]
            + [Term(shift[:, None, None])],
        )

    def _refuse_restimulation(self, name, current):
        if any(path.restimulation is not None for path in current.paths):
            raise UnsupportedError(
                f"{self.model.label(name)}: a Restimulation must lead straight into a Neuron"
            )

    def _Dense(self, name):
        node = self.model.nodes[name]
        n_out = node.weight.shape[0]
        current = Current((n_out, 1, 1), [], bias_terms(node.bias))
        for train in self._source(name):
            shape = train.shape if train.flattened else (train.shape[0], 1, 1)
            kernel = (node.weight * train.scale).reshape(n_out, *shape)
            current.paths.append(Path(train.unit, train.delay, shape, train.scale, kernel, real=train.real))
            if train.offset is not None:
                products = node.weight * train.offset
                sums = np.array([exact_sum(row) for row in products])
                current.terms.append(Term(sums[:, None, None], train.offset_step))
        return current

    def _Conv1d(self, name):
        node = self.model.nodes[name]
        return self._convolution(
            name, node.weight[:, :, None, :], node.bias, (1, *node.stride), (0, *node.padding),
            (1, *node.dilation), node.groups,
        )

    def _Conv2d(self, name):
        node = self.model.nodes[name]
        return self._convolution(
            name, node.weight, node.bias, node.stride, node.padding, node.dilation, node.groups
        )

    def _convolution(self, name, weight, bias, stride, padding, dilation, groups):
        shape = map_shape(self.model.shapes[name])
        current = Current(shape, [], bias_terms(bias))
        for train in self._source(name):
            factor = per_group(train.scale, weight.shape, groups)
            path = Path(
                train.unit, train.delay, train.shape, train.scale, weight * factor, None,
                stride, padding, dilation, groups, train.real,
            )
            current.paths.append(path)
            if train.offset is not None:
                offset = weight * per_group(train.offset, weight.shape, groups)
                current.terms.append(Term(border_sums(offset, path, shape), train.offset_step))
        return current

    def _Restimulation(self, name):
        node, trains = self.model.nodes[name], self._source(name)
        if len(trains) != 1 or trains[0].offset is not None:
            raise UnsupportedError(
                f"{self.model.label(name)}: reads a sum of unequal quanta, or values whose zero is "
                "shifted (mean or BatchNorm); it takes the spikes of one node"
            )
        train = self._repacked(trains[0]) if trains[0].flattened else trains[0]
        path = Path(train.unit, train.delay, train.shape, train.scale, restimulation=node)
        if node.weight is None:
            path.amplitude = train.scale
        else:
            path.weight, path.stride = node.weight * train.scale[:, None, None], node.stride
        return Current(map_shape(self.model.shapes[name]), [path], [])

    def _SumPool(self, name):
        return self._pooled(name, "sum")

    def _AvgPool(self, name):
        return self._pooled(name, "sum", average=True)

    def _MaxPool(self, name):
        return self._pooled(name, "max")

    def _pooled(self, name, kind, average=False):
        node, value = self.model.nodes[name], self._source(name)
        logical = self.model.shapes[name]
        window = node.geometry(len(logical) - 1)
        if len(logical) == 2:  # (C, L) is held as (C, 1, L)
            window = tuple((fill, *axis) for fill, axis in zip((1, 1, 0), window))
        if isinstance(value, Current):
            return self._pooled_current(name, value, window, average)
        if kind == "max" and len(value) > 1:
            raise UnsupportedError(
                f"{self.model.label(name)}: maximum of a sum of unequal quanta; give the trains equal quanta"
            )
        trains = []
        for i, train in enumerate(value):
            unit = name if len(value) == 1 else f"{name}/{i}"
            trains.append(self._pooled_train(name, unit, train, kind, window, average))
        return trains

    def _pooled_train(self, name, unit, train, kind, window, average):
        kernel, _, padding = window
        shifted = train.offset is not None and train.offset.any()
        if shifted and kind == "sum" and (not average or any(padding)):
            raise UnsupportedError(
                f"{self.model.label(name)}: pools values whose zero is shifted (mean or BatchNorm); only "
                "average pooling without padding can; pool after the next synapses"
            )
        n = kernel[0] * kernel[1]
        top, signed = self._range_of(train.unit)
        shape = map_shape(self.model.shapes[name])
        self._add(Unit(unit, kind, self.model.nodes[name], shape, self.model.shapes[name],
                       top * n if kind == "sum" else top, signed, trains=[train], window=window))
        scale = train.scale / n if average else train.scale
        return Train(unit, 0, shape, scale, train.offset, train.offset_step)

    def _pooled_current(self, name, current, window, average):
        kernel, stride, padding = window
        self._refuse_restimulation(name, current)
        shape = map_shape(self.model.shapes[name])
        exact = all((size - k) // s + 1 == n for size, k, s, n
                    in zip(current.shape[1:], kernel, stride, shape[1:]))
        if any(padding) or not exact or current.shape[0] != shape[0]:
            raise UnsupportedError(
                f"{self.model.label(name)}: pools a current with padding or ceil_mode, which does not "
                "compose with the synapses before it; pool the spikes instead"
            )
        divisor = kernel[0] * kernel[1] if average else 1
        paths = [compose(path, kernel, stride, divisor) for path in current.paths]
        terms = [pooled_term(term, kernel, stride, divisor, shape) for term in current.terms]
        return Current(shape, paths, terms)

    def _Add(self, name):
        trains = [t for edge in self.model.incoming(name) for t in self._delayed(edge)]
        first = trains[0]
        if any(t.offset is not None or not np.array_equal(t.scale, first.scale) for t in trains):
            return trains
        if any(t.flattened and t.shape != first.shape or t.flattened != first.flattened for t in trains):
            trains = [self._repacked(t) if t.flattened else t for t in trains]
        ranges = [self._range_of(t.unit) for t in trains]
        unit = self._add(Unit(name, "add", self.model.nodes[name], trains[0].shape,
                              self.model.shapes[name], sum(top for top, _ in ranges),
                              any(signed for _, signed in ranges), trains=trains))
        return [Train(name, 0, unit.shape, first.scale, flattened=trains[0].flattened)]
