"""States: what neurons keep from step to step, and that nothing but the neurons themselves changes it.

A state that is changed between two calls shows on samples only if it changes their spikes. So places, not numbers,
are compared: what a module keeps must be given back to it whole and in order, or stay in it untouched.
"""

import inspect
from dataclasses import dataclass, field
from typing import Dict, List, NamedTuple, Optional

import torch
from torch.utils._pytree import tree_flatten

from eventsim.from_torch.graph import Operand, Operation
from eventsim.from_torch.libraries import LIBRARIES
from eventsim.from_torch.operations.registry import Misread, Refused
from eventsim.from_torch.places import tensors_in

IN_DICTS = ("_buffers", "_memories")  # where modules keep attributes by name; the latter is SpikingJelly's
MANY = 16  # tensors in one attribute: more of them record the steps, and are no state
OF_TORCH = frozenset(vars(torch.nn.Module()))  # hooks, parameters and modules: no states
ANEW = "is set anew"


class Slot(NamedTuple):
    """What a module can be given beside what it reads. name: of forward's argument. value: tensor, or None."""

    name: str
    value: Optional[torch.Tensor]


class Left(NamedTuple):
    """Places of a tensor as a call left them. first: the first of them, where they count up, else None.
    places: int64 (numbers,), else None. n: numbers."""

    first: Optional[int]
    places: Optional[torch.Tensor]
    n: int


@dataclass
class Watched:
    """What the calls of a module have left. attributes: by name. outputs: of each tensor that its forward gave.
    roles: number of a slot -> which of the outputs of the call before it takes. refusal: number of what stands in
    the way of all its calls, or None."""

    attributes: Dict[str, Left] = field(default_factory=dict)
    outputs: List[Left] = field(default_factory=list)
    roles: Dict[int, int] = field(default_factory=dict)
    refusal: Optional[int] = None


class Before(NamedTuple):
    """A module before a call. values: its attributes by name, tensors as copies before its first call.
    changed: text by name of those that are not what the call before left."""

    values: Dict[str, object]
    changed: Dict[str, str]


def taken_beside(forward, args, kwargs) -> List[Slot]:
    """All that a module can be given beside the first tensor, which is what it reads, in forward's order."""
    try:
        bound = inspect.signature(forward).bind(*args, **kwargs)
    except (TypeError, ValueError):  # of what is not written in Python
        return [Slot("", tensor) for tensor in tensors_in((args, kwargs))[1:]]
    slots = []
    for name in bound.signature.parameters:
        slots += [Slot(name, tensor) for tensor in tensors_in(bound.arguments.get(name))] or [Slot(name, None)]
    first = next(i for i, slot in enumerate(slots) if slot.value is not None)
    return slots[first + 1:]


def before(trace, module) -> Before:
    """A module before one of its calls."""
    watched, values = trace.watched.get(id(module)), _attributes(module)
    if watched is None:
        return Before({name: value.clone() if isinstance(value, torch.Tensor) else value
                       for name, value in values.items()}, {})
    changed = {name: _how(trace, values.get(name), left) for name, left in watched.attributes.items()}
    return Before(values, {name: how for name, how in changed.items() if how})


def _attributes(module):
    """Tensors and numbers that a module keeps, by name; those inside of others by path."""
    values = {}
    for path, part in module.named_modules():
        kept = {name: value for name, value in vars(part).items() if name not in OF_TORCH and name not in IN_DICTS}
        for name in IN_DICTS:
            kept.update(vars(part).get(name) or {})
        for name, value in kept.items():
            name = f"{path}.{name}" if path else name
            if isinstance(value, (torch.Tensor, int, float)):
                values[name] = value
            elif isinstance(value, (list, tuple, dict)):
                leaves = tree_flatten(value)[0]
                if len(leaves) <= MANY:
                    values.update((f"{name}.{i}", leaf) for i, leaf in enumerate(leaves)
                                 if isinstance(leaf, torch.Tensor))
    return values


def _how(trace, value, left):
    """What became of a tensor since a call left it, or "" if nothing did."""
    if not isinstance(value, torch.Tensor) or not trace.places.knows(value):
        return ANEW
    number = trace.refused(value)
    if number is not None:
        refused = trace.nodes[number]
        return f"is changed ({': '.join(filter(None, (str(refused.where), refused.settings['reason'])))})"
    return "" if _same(trace, value, left) else "is changed, or put in another order"


def _left(trace, tensor) -> Left:
    first = trace.places.run_of(tensor)
    return Left(first, None if first is not None else trace.places.of(tensor).reshape(-1).clone(), tensor.numel())


def _same(trace, tensor, left):
    """Whether a tensor is what a call left, all of it and in order."""
    now = _left(trace, tensor)
    if now.n != left.n or now.first is not None and left.first is not None:
        return now.n == left.n and now.first == left.first
    return torch.equal(*(each.places if each.first is None else each.first + torch.arange(each.n)
                         for each in (now, left)))


def refuse_changed(trace, taken):
    """Refuse a call of neurons whose state is not the one that the call before left, or, of the first call, not at
    rest. taken: layers.Taken."""
    watched, slots = trace.watched[id(taken.module)], taken.slots
    given = {slot.name for slot in slots if slot.value is not None}
    if not watched.outputs:
        _refuse_unrest(trace, taken.layer.rest or {}, given, taken.before.values)
        return
    for name, how in taken.before.changed.items():
        if name not in given:
            raise (Misread if how == ANEW else Refused)(
                f"its state {name!r} {how} between steps, and a model's is its neurons' own; leave it to them")
    for i, slot in enumerate(slots):
        if slot.value is not None:
            _refuse_other(trace, watched, i, slot, _role_of(watched, taken.cls, i, len(slots)))


def _role_of(watched, cls, i, n):
    """Which output of the call before a slot takes, or None while unknown. Libraries give states last."""
    if cls.__module__.partition(".")[0] in LIBRARIES:
        return len(watched.outputs) - n + i
    return watched.roles.get(i)


def _refuse_other(trace, watched, i, slot, role):
    if role is None:  # a module of the user's own: whatever it takes first, it has to take from then on
        free = [r for r in range(len(watched.outputs)) if r not in watched.roles.values()]
        role = next((r for r in free if _same(trace, slot.value, watched.outputs[r])), None)
    if role is not None and 0 <= role < len(watched.outputs) and _same(trace, slot.value, watched.outputs[role]):
        watched.roles[i] = role
        return
    how = "is changed, or another one"
    if trace.places.knows(slot.value) and trace.refused(slot.value) is not None:
        how = _how(trace, slot.value, watched.outputs[0])
    raise Refused(f"its state {slot.name!r} {how} between steps, and a model's is its neurons' own; hand on what "
                  "the step before has given")


def _refuse_unrest(trace, rest, given, values):
    for name in sorted((values.keys() & rest.keys()) - given):
        value, expected = values[name], rest[name]
        moved = isinstance(value, torch.Tensor) and trace.places.knows(value)
        value = torch.as_tensor(value).double()
        if moved or value.numel() and float((value - expected).abs().max()) > 1e-6 * max(1.0, abs(expected)):
            raise Refused(f"starts from a state that is not at rest ({name!r}), and a model starts at rest; start "
                          f"from {expected:g}")


def remember(trace, module, layer, number, step, outputs):
    """Keep what a call of neurons left. number: of the layer. step: its last. outputs: what forward gave."""
    watched = trace.watched[id(module)]
    inside = trace.graph.first_place(trace.graph.add(Operation("state", (1,)), ("state", id(module))))
    watched.attributes = {}
    for name, value in _attributes(module).items():
        is_state = layer.rest is not None and name in layer.rest
        if not isinstance(value, torch.Tensor) or layer.rest is not None and not is_state:
            continue
        if _made_inside(trace, value, inside, is_state):
            keep(trace, number, name, value, step)
        if trace.places.knows(value):
            watched.attributes[name] = _left(trace, value)
    watched.outputs = [_left(trace, tensor) for tensor in outputs]


def _made_inside(trace, value, inside, is_state):
    """Whether a module's attribute was computed in its call, and is none of its outputs."""
    if not trace.places.knows(value):
        return is_state
    return trace.places.run_of(value) is None and bool((trace.places.of(value).numpy() == inside).any())


def keep(trace, number, name, state, step, membrane=False):
    """Say that a tensor is what a layer keeps from a step to the next. name: what tells it from others."""
    node = trace.nodes[number]
    shape = node.shape if state.numel() == node.size * trace.samples else (state.numel(),)
    kept = trace.graph.add(Operation("state", shape, (Operand(number),), {"membrane": membrane}, node.where),
                           ("kept", number, name))
    rows = trace.samples if shape == node.shape else 1
    first = trace.graph.first_place(kept) + step * rows * trace.nodes[kept].size
    trace.places.count_up(state, first)
