"""Answers: which numbers a network returns, and how they follow from the steps of the node that computed them."""

from dataclasses import replace
from itertools import takewhile

import numpy as np
import torch

from eventsim.errors import UnsupportedError
from eventsim.from_torch.building import Answer, OF_MEMBRANES, refusal_at
from eventsim.from_torch.graph import Operand, Operation
from eventsim.from_torch.places import BITS, MASK, tensors_in
from eventsim.model.neurons import Readout


class WrongWay(UnsupportedError):
    """The network ran, but it takes its steps and samples in another way."""

    rank = 1


def answers_in(trace, result):
    """Return the numbers of the tensors, among those that forward returned, that are the answer.

    It is the first that depends on the input; neurons' spikes come before what they keep. Where forward returns a
    list of steps, the tensors of the same layer that follow belong to it.
    """
    known = {i: tensor for i, tensor in enumerate(tensors_in(result)) if trace.places.knows(tensor)}
    numbers, tensors = list(known), list(known.values())
    first = [int(trace.places.of(t).reshape(-1)[0]) if t.numel() else -1 for t in tensors]
    alike = list(takewhile(lambda i: tensors[i].shape == tensors[0].shape and first[i] >> BITS == first[0] >> BITS,
                           range(len(tensors))))
    return [numbers[i] for i in alike if first[i] not in first[:i]]


def answer_of(trace, tensors, timesteps):
    """Return (Answer, its numbers as float64 (N, outputs)) for the tensors that the calls gave. timesteps: T.

    Raises UnsupportedError where they are not all numbers of one node in their own order, or of other steps than a
    model gives.
    """
    _check_not_refused(trace, tensors)
    places = torch.cat([trace.places.of(tensor).reshape(-1) for tensor in tensors])
    if (places < 0).any() or len(torch.unique(places >> BITS)) != 1:
        raise UnsupportedError("returns numbers of several layers, or constants beside them; say which tensor is "
                               "the answer (output=...)")
    number, places = _integrated(trace, int(places[0]) >> BITS, places)
    if trace.nodes[number].kind == "state":
        raise refusal_at(trace.nodes[number], OF_MEMBRANES)
    number, places = _part_of(trace, number, places)
    steps, values = _by_steps(trace, trace.nodes[number], places & MASK, tensors)
    return _reduced(trace, number, steps, values, timesteps)


def _check_not_refused(trace, tensors):
    """Raise the error of the first refused operation that one of the tensors depends on."""
    for number in map(trace.refused, tensors):
        if number is not None:
            operation = trace.nodes[number]
            error = refusal_at(operation, operation.settings["reason"])
            raise WrongWay(str(error)) if operation.settings["misread"] else error


def _part_of(trace, number, places):
    """Return the number and places of a part of a node as those of weights that take it; of a whole node itself.

    What never fires is left as it is, and refused: nothing reads it.
    """
    node = trace.nodes[number]
    elements = torch.unique((places & MASK) % node.size)
    base = node.sources[0].node if node.kind == "steps" else number
    of_base = trace.nodes[base]
    is_kept = of_base.kind == "state" or \
        of_base.kind == "layer" and not of_base.settings["layer"].node.fires()
    if len(elements) == node.size or is_kept:
        return number, places
    weight = np.zeros((len(elements), node.size))
    weight[np.arange(len(elements)), elements.numpy()] = 1
    part = trace.graph.add(Operation("linear", (len(elements),), (Operand(base),),
                                     {"weight": weight, "bias": None}, of_base.where, still=of_base.still))
    if node.kind == "steps":
        part = trace.graph.add(replace(node, shape=(len(elements),), sources=(Operand(part),)))
    local = places & MASK
    moved = local // node.size * len(elements) + torch.searchsorted(elements, local % node.size)
    return part, trace.graph.first_place(part) + moved


def _by_steps(trace, node, places, tensors):
    """Return (steps, float64 (steps, N, elements of the node)) of what was returned. places: inside the node."""
    rows, elements = places // node.size, places % node.size
    steps, step_indices = torch.unique(rows // trace.samples, return_inverse=True)
    positions = torch.full((len(steps), trace.samples, node.size), -1)  # of each number among those returned
    positions[step_indices, rows % trace.samples, elements] = torch.arange(len(places))
    if positions.numel() != len(places) or (positions < 0).any():
        raise UnsupportedError("returns a part of a layer, or some of its numbers twice; return all of it once, "
                               "or cut the rows of the last layer's weights")
    if (positions.diff(dim=1) < 0).any() or (positions.diff(dim=2) < 0).any():
        raise UnsupportedError("returns the numbers of a layer in another order, or those of one sample for "
                               "another; leave that out, or put the order into the last layer's weights")
    values = torch.cat([tensor.detach().reshape(-1) for tensor in tensors]).double().cpu()
    return steps, values[positions]


def _reduced(trace, number, steps, values, timesteps):
    """Return (Answer, float64 (N, outputs)) of a node's values (steps, N, elements)."""
    node = trace.nodes[number]
    if node.kind == "steps":
        return _weighted(trace, node, timesteps), values[0]
    if node.still:
        return Answer(number, "mean", assumed=True), values[0]
    if len(steps) == timesteps:
        fires = node.kind == "layer" and node.settings["layer"].node.fires()
        summed = values.sum(0)
        return Answer(number, "sum" if fires else "mean", assumed=True), summed if fires else summed / timesteps
    if len(steps) == 1 and int(steps[0]) == timesteps - 1:
        return Answer(number, "last"), values[0]
    raise UnsupportedError(
        f"returns {len(steps)} of {timesteps} steps; return all of them, their sum, their mean or the last (where "
        "the first are constant, as nothing has arrived, end with neurons, or do all steps in one call)")


def _integrated(trace, number, places):
    """Return the number and places of a membrane that is the answer as those of a layer that never fires.

    Only a membrane without a reset, whose spikes do not come back to it, is one; others are left as they are, and
    refused.
    """
    kept = trace.nodes[number]
    base = trace.nodes[kept.sources[0].node] if kept.sources else kept
    if kept.kind != "state" or not kept.settings.get("membrane"):
        return number, places
    if base.settings["layer"].node.reset != "none" or base.settings["layer"].recurrent is not None:
        return number, places
    neurons, settings = base.settings["layer"].node, base.settings
    readout = Readout("last", **{name: getattr(neurons, name) for name in (
        "leak", "input_gain", "v_leak", "current_leak", "bias")})
    layer = replace(base.settings["layer"], node=readout)
    integrator = trace.graph.add(
        Operation("layer", base.shape, base.sources, {**settings, "layer": layer}, base.where),
        ("membrane", number))
    return integrator, (integrator << BITS) + (places & MASK)


def _weighted(trace, node, timesteps):
    """Return the Answer that a weighted sum over steps is."""
    weights = node.settings["weights"]
    values = set(weights.values())
    base = node.sources[0].node
    if trace.nodes[base].kind == "state":
        base, _ = _integrated(trace, base, torch.zeros(1, dtype=torch.int64))
    if len(weights) == timesteps and max(values) - min(values) <= 1e-12 * max(map(abs, values)):
        value = round(max(values), 15) if len(values) == 1 else max(values)
        if value == 1:
            return Answer(base, "sum")
        if abs(value * timesteps - 1) < 1e-12:
            return Answer(base, "mean")
        return Answer(base, "sum", gain=value)
    if weights == {timesteps - 1: 1.0}:
        return Answer(base, "last")
    raise UnsupportedError("its answer weighs steps differently; eventsim gives their sum, their mean or the last")
