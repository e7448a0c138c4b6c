"""Layers: modules that are taken whole, by a rule that says what they are in eventsim.

A rule takes a module and a tensor that it is given, and returns a NeuronLayer or simply a node of eventsim.
It only has to be right where the network's own spikes show it: every rule is proved on every export.
"""

from dataclasses import dataclass
from typing import Callable, Dict, List, NamedTuple, Optional

import numpy as np
import torch

from eventsim.errors import ModelError, UnsupportedError
from eventsim.from_torch import states
from eventsim.from_torch.graph import Operation, Operand
from eventsim.from_torch.operations.joining import is_whole, node_of
from eventsim.from_torch.operations.registry import Misread, Refused, SUM_OF_STEPS
from eventsim.from_torch.operations.rows import emit, leading_axes
from eventsim.from_torch.places import BITS, MASK, Mixed, tensors_in
from eventsim.from_torch.ranges import name_of_type
from eventsim.model.node import Node
from eventsim.model.parameters import compact


@dataclass
class NeuronLayer:
    """What a module is in eventsim.

    node: the neurons, or what integrates and never fires; of a module without a state the node itself.
    axes: of what its forward takes and gives: "N" (one step, samples first), "TN" or "NT" (all steps).
    before: synapses between what the module reads and its neurons, or None.
    recurrent: synapses from the neurons' spikes of the step before back to them, or None.
    recurrent_bias: the first step in which the biases of these act: 0, or 1 where each call of the module starts
        with zeros in place of what its recurrent synapses give.
    output: which of the tensors that forward returns are the spikes (or the value of what never fires).
    membrane: which of them is the membrane, or None.
    steps: T of modules that take samples and steps as one axis ("(NT)"), or -1.
    delay: steps by which its neurons here read later than the module does.
    unlimited: whether its neurons send any number of spikes a step: their bits are then chosen by what they send.
    in_steps: InSteps of a module that gives what it makes of its steps, or None where forward gives the steps.
    rest: name of each attribute in which the module keeps a state from call to call -> what it starts at; None of
        modules whose attributes are unknown: then whatever a call computes and keeps must be there at the next.
    """

    node: Node
    axes: str = "N"
    before: Optional[Node] = None
    recurrent: Optional[Node] = None
    recurrent_bias: int = 0
    output: int = 0
    membrane: Optional[int] = None
    steps: int = -1
    delay: int = 0
    unlimited: bool = False
    in_steps: Optional["InSteps"] = None
    rest: Optional[Dict[str, float]] = None

    @property
    def signed(self):
        """Whether its spikes may be negative."""
        return getattr(self.node, "signed", False)


class InSteps(NamedTuple):
    """What a module that starts anew at every call makes of its steps. values: function of the module and what it
    reads that gives the values of all steps. end: function of these that gives what forward gives; it is followed
    as the network's own code is."""

    values: Callable
    end: Callable


class Call(NamedTuple):
    """One call of a layer: what it read (None where that was constant), the steps it gave, their values, and the
    constant that it read, (N, ...) in float64, or None."""

    source: Optional[Operand]
    steps: List[int]
    values: torch.Tensor
    constant: Optional[torch.Tensor] = None


class Rules:
    """Rules by class of module; a class of a library is named, so that nothing has to be imported."""

    def __init__(self):
        self._rules: Dict[object, Callable] = {}

    def register(self, cls, rule):
        """Take modules of a class whole, by a rule: rule(module, x) -> NeuronLayer or node."""
        self._rules[cls] = rule

    def find(self, module):
        """(rule, class that it was registered for), or (None, None)."""
        for cls in type(module).__mro__:
            for key in (cls, f"{cls.__module__.partition('.')[0]}.{cls.__name__}"):
                if key in self._rules:
                    return self._rules[key], cls
        return None, None

    def known(self, library) -> list:
        """Return the names of a library's classes that have a rule."""
        return [name.partition(".")[2] for name in self._rules
                if isinstance(name, str) and name.partition(".")[0] == library]

    def taken(self, module) -> bool:
        """Whether a module is taken whole: its class has a rule, and nothing of it was replaced."""
        rule, cls = self.find(module)
        return rule is not None and not changes(module, cls)

    def call(self, trace, module, forward, args, kwargs):
        """Run a module that is taken whole, record what it gave, and return that."""
        before = states.before(trace, module)
        number = trace.graph.add(Operation("state", (1,), where=trace.where()), ("state", id(module)))
        with trace.within(number):
            out = forward(*args, **kwargs)
        watched = trace.watched.get(id(module))
        if watched is not None and watched.refusal is not None:
            trace.spoil(out, watched.refusal)
            return out
        try:
            return self._record(trace, module, before, states.taken_beside(forward, args, kwargs),
                                tensors_in((args, kwargs))[0], out)
        except (Refused, Mixed, ModelError, UnsupportedError) as error:
            refusal = trace.refuse(out, f"{type(module).__name__} {trace.name_of(module)!r} {_verb(error)}",
                                   misread=isinstance(error, (Misread, Mixed)))
            if id(module) in trace.watched:
                trace.watched[id(module)].refusal = refusal
            return out

    def _record(self, trace, module, before, slots, x, out):
        """Record what a call of a module gave for x, and return that. before: the module before the call."""
        rule, cls = self.find(module)
        spoilt = trace.refused(x)
        if spoilt is not None:
            trace.spoil(out, spoilt)
            if id(module) in trace.watched:
                trace.watched[id(module)].refusal = spoilt
            return out
        layer = self._layer(trace, rule, module, x)
        if x.is_floating_point() and trace.narrows(x.dtype) and trace.places.knows(x):
            raise Refused(f"computes in {name_of_type(x.dtype)}, as what it reads, and rounds what a model does "
                          "not; convert what it reads to float32, x.float()")
        taken = Taken(module, cls, layer, x, slots, before, tensors_in(out))
        if layer.in_steps is not None:
            return _record_in_steps(trace, taken, out)
        if layer.node.integrates():
            _record_neurons(trace, taken)
        else:
            _record_stateless(trace, taken)
        return out

    def _layer(self, trace, rule, module, x):
        """The NeuronLayer that a rule makes of a module, of nothing but constants."""
        n_refusals = len(trace.refusals)
        layer = as_layer(rule, module, x)
        if len(trace.refusals) > n_refusals:  # the rule has looked at numbers of the network
            del trace.refusals[n_refusals:]
            raise Refused("its parameters depend on the input, and a model's are constants")
        return layer


class Taken(NamedTuple):
    """One call of a module that is taken whole. cls: the class whose rule it has. layer: what the rule says.
    x: what it read. slots: what it was given beside. before: the module before it. outputs: all tensors that it
    gave."""

    module: torch.nn.Module
    cls: type
    layer: NeuronLayer
    x: torch.Tensor
    slots: List[states.Slot]
    before: states.Before
    outputs: List[torch.Tensor]

    @property
    def value(self):
        """The spikes, or the value of what never fires."""
        return self.outputs[self.layer.output]


def _record_in_steps(trace, taken, out):
    """Record the steps behind what a module gave, `out`, and return that as made of them."""
    module, (values_of, end) = taken.module, taken.layer.in_steps
    if any(trace.nodes[number].settings["module"] is module for number in trace.calls):
        raise Refused("is called again, and starts anew at every call; give it all steps in one call, and each "
                      "place one of its own")
    inside = trace.graph.add(Operation("state", (1,)), ("state", id(module)))
    with trace.within(inside):
        values = values_of(module, taken.x)
    _record_neurons(trace, taken._replace(outputs=[values]))
    ended = end(values)
    with trace.within(inside):
        same = all(map(torch.equal, tensors_in(ended), tensors_in(out)))
    if not same:
        raise Refused(f"gives something else than {type(module).__name__} is known to make of its steps; register "
                      "a rule for it, eventsim.from_torch.register")
    return ended


def _record_stateless(trace, taken):
    value, module, layer = taken.value, taken.module, taken.layer
    n_axes = leading_axes(trace, trace.places.of(taken.x))
    emit(trace, "module", value.shape[n_axes:], [_whole(trace, taken.x, n_axes)],
         {"layer": layer, "name": trace.name_of(module), "class": type(module).__name__,
          "module": id(module), "current": layer.node.gives("spikes") == "current"}, value)


def _verb(error):
    return f"reads {error}" if isinstance(error, Mixed) else f"cannot be taken: {error}"


# what a subclass may add without being another layer
HARMLESS = {"__init__", "__module__", "__doc__", "__qualname__", "__annotations__", "__repr__", "extra_repr",
            "__constants__", "__firstlineno__", "__static_attributes__", "__dict__", "__weakref__", "__slots__",
            "__parameters__", "__orig_bases__"}


def changes(module, cls) -> List[str]:
    """Return the names of what a module's class, or the module itself, adds to or replaces of `cls`."""
    added = []
    for sub in type(module).__mro__:
        if sub is cls:
            break
        added += [name for name in vars(sub) if name not in HARMLESS]
    own = [name for name, value in vars(module).items() if callable(value) and callable(getattr(cls, name, None))]
    return added + own


def as_layer(rule, module, x) -> NeuronLayer:
    """Return the NeuronLayer that a rule gives for a module; a node becomes one. x: what the module is given."""
    layer = rule(module, x)
    return layer if isinstance(layer, NeuronLayer) else NeuronLayer(layer)


def _whole(trace, x, n_axes):
    """Return (node, rows) of a block that holds all elements of one node in their own order; else refuse it."""
    parts = trace.places.parts(x, n_axes)
    if not is_whole(trace, parts, int(np.prod(x.shape[n_axes:], dtype=np.int64))):
        raise Refused("reads several layers joined, a part of a layer, or one in another order; give it all of "
                      "one layer in its own order, or put neurons before it")
    return parts[0].node, parts[0].rows


def _record_neurons(trace, taken):
    layer, x, value = taken.layer, taken.x, taken.value
    trace.watched.setdefault(id(taken.module), states.Watched())
    axes, given = layer.axes, value
    if axes == "(NT)":
        x, value = (_unfolded(v, layer, trace.samples) for v in (x, value))
        axes = "NT"
    n_axes = len(axes)
    if layer.axes == "N" and x.shape[0] != trace.samples:
        raise Misread(f"is given {x.shape[0]} rows for {trace.samples} samples; it does one step at a time")
    shape = tuple(value.shape[n_axes:])
    number, first = _number_of(trace, taken, shape)
    n_steps = 1 if axes == "N" else x.shape[axes.index("T")]
    steps = list(range(first, first + n_steps))
    source = constant = None
    if trace.places.knows(x):
        if layer.before is not None:
            x = _through(trace, layer.before, x, n_axes)
        source = _source_of(trace, x, axes, steps)
    else:
        constant = _constant_of(x.detach().double().cpu().flatten(0, n_axes - 1), layer)
    calls = trace.calls.setdefault(number, [])
    calls.append(Call(source, steps, steps_first(given, layer, trace.samples).detach().clone(), constant))
    node = trace.nodes[number]
    if source is not None:
        node.sources = (source,)
    order = np.arange(n_steps)[:, None] * trace.samples + np.arange(trace.samples) + first * trace.samples
    rows = order.reshape(-1) if axes != "NT" else order.T.reshape(-1)
    places = trace.graph.first_place(number) + torch.from_numpy(rows.copy())[:, None] * node.size \
        + torch.arange(node.size)
    trace.places.write(value, places.view(value.shape))
    for i, state in enumerate(taken.outputs):
        if state is not taken.value:
            states.keep(trace, number, i, state, steps[-1], membrane=i == layer.membrane)
    states.remember(trace, taken.module, layer, number, steps[-1], taken.outputs)


def _constant_of(x, layer):
    """What neurons read where their module is given a constant. x: (rows, ...)."""
    if layer.before is None:
        return x
    weight, bias = layer.before.weight, layer.before.bias
    return x.flatten(1) @ torch.from_numpy(weight).t() + (0 if bias is None else torch.from_numpy(bias))


def _through(trace, synapses, x, n_axes):
    """What a module's own input weights make of what it reads."""
    weight = synapses.weight
    out = torch.zeros(*x.shape[:n_axes], len(weight), dtype=torch.float64)
    emit(trace, "linear", (len(weight),), [node_of(trace, x, n_axes)],
         {"weight": weight, "bias": synapses.bias}, out)
    return out


def _unfolded(value, layer, n):
    """(N, T, ...) of a tensor that has samples and steps as one axis."""
    return value.view(n, layer.steps if layer.steps > 0 else value.shape[0] // n, *value.shape[1:])


def steps_first(value, layer, n):
    """(T, N, ...) of what one call of a layer gave. n: samples."""
    if layer.axes == "N":
        return value[None]
    if layer.axes == "TN":
        return value
    return (_unfolded(value, layer, n) if layer.axes == "(NT)" else value).transpose(0, 1)


def _number_of(trace, taken, shape):
    """(number, first step) of a call: of the neurons whose state it goes on with, else of new ones."""
    number, first = _goes_on(trace, taken)
    if number is not None and taken.layer.recurrent is not None and taken.layer.recurrent_bias:
        raise Refused("is called again for the steps that follow, and forgets at every call what its recurrent "
                      "synapses have given; give it all steps in one call")
    if number is None:
        module = taken.module
        number = trace.graph.add(Operation(
            "layer", shape, (), {"module": module, "layer": taken.layer, "name": trace.name_of(module),
                                 "class": type(module).__name__}, trace.where(),
        ), ("layer", id(module)))
    states.refuse_changed(trace, taken)
    return number, first


def _goes_on(trace, taken):
    """(number, first step) of the neurons whose state a call goes on with; (None, 0) where it starts anew."""
    module, layer = taken.module, taken.layer
    given = [slot.value for slot in taken.slots if slot.value is not None]
    known = [trace.places.of(state) for state in given
             if trace.places.knows(state) and trace.refused(state) is None]
    if known:
        place = int(known[0].reshape(-1)[0])
        kept = trace.nodes[place >> BITS]
        if kept.kind != "layer" and (kept.kind != "state" or not kept.sources):
            raise Refused("is given a state that is no neurons' state of the step before")
        number = place >> BITS if kept.kind == "layer" else kept.sources[0].node
        node = trace.nodes[number]
        step = (place & MASK) // kept.size // trace.samples
        if node.settings["module"] is not module:
            raise Refused("is given another layer's state")
        if step + 1 != trace.calls[number][-1].steps[-1] + 1:
            raise Refused("is given a state that is older than a step")
        _refuse_changed(node.settings["layer"], layer)
        return number, step + 1
    tries = [i for i in trace.calls if trace.nodes[i].settings["module"] is module]
    if tries and not given and layer.rest == {}:
        raise Refused("is called again without the state that it has given, so that it starts anew at every call; "
                      "hand that on: y, state = module(x, state)")
    if tries and (not given or any(trace.places.knows(state) for state in given)):
        number = tries[0]
        _refuse_changed(trace.nodes[number].settings["layer"], layer)
        return number, trace.calls[number][-1].steps[-1] + 1
    if tries:
        first = trace.calls[tries[0]][-1].steps[-1]
        raise Refused(f"is called again with a state that it has not given (its call before was step {first}): "
                      "either it starts anew, or two places share it; give each place neurons of its own, and "
                      "hand each step the state of the step before")
    if any(state.any() for state in given):
        raise Refused("starts from a state that is not zero, and a model starts at rest; start from zeros")
    return None, 0


def _refuse_changed(first, now):
    """Refuse a layer that is not what it was in the call before."""
    for old, new in ((first.node, now.node), (first.before, now.before), (first.recurrent, now.recurrent)):
        if old is None or new is None:
            continue
        for name, value in vars(old).items():
            if not np.array_equal(value, vars(new)[name]):
                raise Refused(f"changes its parameters between steps ({name}); a model's stay as they are")


def _source_of(trace, x, axes, steps):
    """What neurons read; x: rows of steps and samples as `axes` says."""
    number, rows = node_of(trace, x, len(axes))
    n, still = trace.samples, trace.nodes[number].still
    if trace.nodes[number].kind == "steps":
        raise Refused(f"reads a sum over steps; {SUM_OF_STEPS}")
    shape = {"N": (1, n), "TN": (len(steps), n), "NT": (n, len(steps))}[axes]
    rows = rows.reshape(shape)
    rows = rows.T if axes == "NT" else rows
    if (rows % n != np.arange(n)).any():
        raise Mixed("samples in another order")
    if still:
        return Operand(number)
    delays = np.array(steps)[:, None] - rows // n
    if (delays != delays[0, 0]).any() or delays[0, 0] < 0:
        raise Mixed("steps in another order")
    return Operand(number, int(delays[0, 0]))


def on_neurons(value, shape, name):
    """A parameter as torch broadcasts it over neurons of `shape` (with or without an axis of samples): a
    scalar, one per channel or one per neuron, whatever is shortest."""
    array = value.detach().double().cpu().numpy() if isinstance(value, torch.Tensor) else np.asarray(value, float)
    while array.ndim > len(shape) and array.shape[0] == 1:
        array = array[0]
    try:
        return compact(np.broadcast_to(array, shape), shape)
    except ValueError:
        raise ModelError(
            f"{name} has shape {array.shape}, which does not broadcast to neurons of {shape}") from None
