"""Running a network as its author would: all steps in one call, or one call for each step."""

import functools
import inspect
import os
import traceback
from contextlib import ExitStack
from dataclasses import replace
from itertools import takewhile
from typing import Callable, Dict, List, NamedTuple, Tuple

import torch

from eventsim.arguments import shown
from eventsim.errors import EventsimError, UnsupportedError
from eventsim.from_torch.building import Answer, refusal_at
from eventsim.from_torch.graph import Operation
from eventsim.from_torch.layers import steps_first
from eventsim.from_torch.places import BITS, MASK, tensors_in
from eventsim.from_torch.preserving import in_type, preserved, reset
from eventsim.from_torch.random_numbers import generators, states
from eventsim.from_torch.reading import ways_of_delay
from eventsim.from_torch.tracing import Tracing
from eventsim.model.neurons import Readout

QUANTISED = ("torch.ao.nn.quantized", "torch.nn.quantized", "torch.ao.nn.intrinsic.quantized")  # modules of torch


class Way(NamedTuple):
    """How a network is called. calls: values (N, ...) or (N, T, ...) and steps -> the arguments of each call."""

    name: str
    calls: Callable


def ways(steps, timesteps, layout) -> List[Way]:
    """Ways to call a network, the likeliest first. steps: of the samples, or None where they stand still."""
    if steps is None:
        found = [Way("all at once", lambda x, n: [x])]
        if timesteps is not None:
            found += [
                Way("repeated, steps first", lambda x, n: [x.expand(n, *x.shape).clone()]),
                Way("step by step", lambda x, n: [x] * n),
                Way("repeated, samples first", lambda x, n: [x[:, None].expand(-1, n, *x.shape[1:]).clone()]),
                Way("repeated, samples and steps as one axis",
                    lambda x, n: [x[:, None].expand(-1, n, *x.shape[1:]).flatten(0, 1).clone()]),
            ]
        return found
    first = Way("steps first", lambda x, n: [x.transpose(0, 1).contiguous()])
    second = Way("samples first", lambda x, n: [x])
    each = [Way("step by step", lambda x, n: list(x.transpose(0, 1).contiguous())),
            Way("samples and steps as one axis", lambda x, n: [x.flatten(0, 1)])]
    return [second, first, *each] if layout == "NT" else [first, second, *each]


class Traced(NamedTuple):
    """A run that was followed. way: how. answer: what the network gives. outputs: float64 (N, outputs), its own
    answer. timesteps: T. late: ways to place delays under which every layer reads the same in every step. chosen:
    for each call, which of the tensors that it gives are the answer's, where the user does not say."""

    trace: Tracing
    way: Way
    answer: Answer
    outputs: torch.Tensor
    timesteps: int
    late: Tuple[bool, ...]
    chosen: List[List[int]]


def follow(net, rules, samples, timesteps, layout, choose) -> Traced:
    """Find how a network takes its samples, and follow it. choose: function that takes what forward returned
    and gives the answer's tensor, or None. Raises UnsupportedError with what the likeliest way ended in."""
    failures = []
    for way in ways(samples.steps, timesteps, layout):
        try:
            return follow_as(net, rules, samples, timesteps, way, choose)
        except EventsimError as error:
            failures.append((way, error))
        except Exception as error:  # the user's own code may raise anything on what it does not take
            if _ours(error):
                raise
            failures.append((way, error))
    raise _best(net, failures)


def follow_as(net, rules, samples, timesteps, way, choose) -> Traced:
    """Follow a network as it takes its samples in one way. Raises what its code raises, and UnsupportedError."""
    with preserved(net):  # what an earlier way has left is no initial state
        return _follow(net, rules, samples, timesteps, way, choose)


def _ours(error):
    """Whether an exception is a mistake of this package."""
    frames = traceback.extract_tb(error.__traceback__)
    return isinstance(error, (NameError, AttributeError, KeyError)) and bool(frames) \
        and frames[-1].filename.startswith(os.path.dirname(os.path.abspath(__file__)))


def _best(net, failures):
    """The most telling of several failures: one of ours, with what torch says of the likeliest way."""
    first, likeliest = failures[0]
    ours = [error for _, error in failures if isinstance(error, EventsimError)]
    raised = said(likeliest)
    if not ours:
        return UnsupportedError(f"{type(net).__name__} does not take the samples ({first.name}): {raised}; "
                                f"{_remedy(net, likeliest)}")
    error = min(ours, key=lambda each: getattr(each, "rank", 0))
    if isinstance(likeliest, EventsimError):
        return error
    return UnsupportedError(f"{error} (called {first.name}, it raises {raised})")


def _remedy(net, error):
    """What to do about an exception of a network's own code."""
    module = net.get_submodule(getattr(error, "raised_by", ""))
    if type(module).__module__.startswith(QUANTISED):
        return (f"{type(module).__name__} holds packed whole numbers, which have no equal in eventsim: export the "
                "network of floats that it was made from")
    if _needed(net):
        return (f"forward needs {', '.join(_needed(net))} beside the samples: wrap the network in a module whose "
                "forward takes the samples alone")
    if any(frame.name == "__deepcopy__" for frame in traceback.extract_tb(error.__traceback__)):
        return "copy.deepcopy of what it computes cannot be followed: use x.clone()"
    if "Sparse" in str(error):
        return "sparse tensors have no equal in eventsim: make them dense, x.to_dense()"
    return "see layout and timesteps"


def _needed(net):
    """Names of what a network's forward needs beside the samples."""
    try:
        found = [*inspect.signature(net.forward).parameters.values()]
    except (TypeError, ValueError):  # of what is not written in Python
        return []
    positional = [each for each in found if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)]
    named = [each for each in found if each.kind == each.KEYWORD_ONLY]
    return [each.name for each in (*positional[1:], *named) if each.default is each.empty]


def said(error) -> str:
    """An exception in one line."""
    where = getattr(error, "raised_in", "")
    return f"{f'{where}: ' if where else ''}{type(error).__name__}: {' '.join(str(error).split())[:200]}"


class _Misread(UnsupportedError):
    """The network ran, but not as the way supposed."""

    rank = 1


class _OutputFails(UnsupportedError):
    """The network ran, and the user's `output` raised something, as it may where the way is another."""

    rank = 0.5


class _OtherSteps(UnsupportedError):
    """The network ran as the way supposed, for another number of steps."""

    rank = -1


def _follow(net, rules, samples, timesteps, way, choose):
    torch.set_default_dtype(torch.float64)
    reset(net, rules)
    n = len(samples.levels)
    still = samples.steps is None
    trace = Tracing(net, rules, n)
    values = samples.values.to(_device(net))
    shape = samples.input.shape
    source = values.clone() if still else values.transpose(0, 1).contiguous()
    trace.give_input(source, shape, still)
    if samples.input.encoding == "spikes" and not samples.input.signed and samples.input.scale == 1:
        trace.input_bits = samples.input.bits
    given = source if still else source.transpose(0, 1)
    results, sources = [], generators(net)
    before = states(sources)
    with trace.running():
        for x in way.calls(given, timesteps or samples.steps):
            results.append(_called(net, x, trace))
        if choose:
            results = [_chosen(choose, result) for result in results]
    moved = [source.name for source, old, new in zip(sources, before, states(sources)) if old != new]
    if moved:
        raise UnsupportedError(f"{type(net).__name__} takes random numbers ({', '.join(moved)}); a network that "
                               "is run has none: leave them out")
    numbers = [[] if choose else _answers(trace, result) for result in results]
    chosen = results if choose else [tensors_in(result)[i] for result, own in zip(results, numbers) for i in own]
    if not chosen or not all(isinstance(tensor, torch.Tensor) for tensor in chosen):
        found = f"output gives {type(results[0]).__name__}" if choose else \
            f"{type(net).__name__} returns {type(results[0]).__name__}"
        raise UnsupportedError(f"{found}, in which no tensor depends on its input; say with output=... which tensor "
                               "of what forward returns is the answer")
    for reason, where in trace.refusals:
        raise UnsupportedError(f"{where}: {reason}" if str(where) else reason)
    late = ways_of_delay(trace)
    found = max([calls[-1].steps[-1] + 1 for calls in trace.calls.values()],
                default=timesteps or samples.steps or 1)
    answer, outputs = _answer(trace, chosen, found)
    return Traced(trace, way, answer, outputs, _timesteps(trace, samples, timesteps), late, numbers)


def sent_in_float32(net, rules, samples, traced):
    """What the network's layers give in float32, without being followed: number of a layer -> (T, N, ...). Raises
    UnsupportedError where its code raises anything."""
    try:
        return run_in(net, rules, samples.values.float(), traced).sent
    except Exception as error:  # the user's own code may raise anything
        raise UnsupportedError(f"in float32, with which a model is compared, {type(net).__name__} raises "
                               f"{said(error)}; let it compute in the type of its input") from None


class Ran(NamedTuple):
    """A run that nobody followed. sent: number of a layer -> (T, N, ...). returned: what each call gave."""

    sent: Dict[int, torch.Tensor]
    returned: list


def run_in(net, rules, values, traced) -> Ran:
    """Run a network as it was traced, in the type of some values (N, ...) or (N, T, ...). What its code raises is
    raised."""
    reset(net, rules)
    found, layers = {}, {id(traced.trace.nodes[number].settings["module"]): number
                         for number in traced.trace.calls}
    with ExitStack() as stack:
        for module in net.modules():
            if id(module) in layers:
                number = layers[id(module)]
                stack.callback(_watched(module, traced.trace.nodes[number].settings["layer"], len(values),
                                        found.setdefault(number, [])))
        stack.enter_context(in_type(net, values.dtype))
        calls = traced.way.calls(values.to(_device(net)), traced.timesteps)
        returned = [_called(net, x, traced.trace) for x in calls]
    return Ran({number: torch.cat(each) for number, each in found.items()}, returned)


def _watched(module, layer, n, values):
    """Let a module put what it sends for n samples into `values`; returns what undoes that."""
    forward = module.forward

    @functools.wraps(forward)
    def wrapper(*args, **kwargs):
        out = forward(*args, **kwargs)
        values.append(steps_first(tensors_in(out)[layer.output], layer, n).clone())  # others may change it
        return out

    module.__dict__["forward"] = wrapper
    return functools.partial(module.__dict__.pop, "forward", None)


def _device(net):
    return next((p.device for p in net.parameters()), torch.device("cpu"))


def _called(net, x, trace):
    """What a call of a network gives. What its own code raises knows the module then."""
    try:
        return net(x)
    except EventsimError:
        raise
    except Exception as error:
        error.raised_in, error.raised_by = trace.where().of_module, trace.where().module
        raise


def _chosen(choose, result):
    """What the user's `output` gives of what a call returned."""
    try:
        return choose(result)
    except Exception as error:  # the user's own code may raise anything
        raise _OutputFails(f"output raises {said(error)}, given what forward returned "
                               f"({_described(result)})") from None


def _described(value):
    if isinstance(value, torch.Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    return f"{type(value).__name__} of {len(value)}" if isinstance(value, (list, tuple, dict)) else shown(value)


def _answers(trace, result):
    """Of the tensors that forward returned, the number of the first that depends on the input; neurons' spikes before
    what they keep. Of a list of steps, the tensors behind it that are the same layer's, too."""
    known = {i: tensor for i, tensor in enumerate(tensors_in(result)) if trace.places.knows(tensor)}
    numbers, tensors = list(known), list(known.values())
    first = [int(trace.places.of(t).reshape(-1)[0]) if t.numel() else -1 for t in tensors]
    alike = list(takewhile(lambda i: tensors[i].shape == tensors[0].shape and first[i] >> BITS == first[0] >> BITS,
                           range(len(tensors))))
    return [numbers[i] for i in alike if first[i] not in first[:i]]


def _timesteps(trace, samples, timesteps) -> int:
    """T, which every layer must have done."""
    wanted = samples.steps or timesteps
    done = {number: calls[-1].steps[-1] + 1 for number, calls in trace.calls.items()}
    if not done and wanted is None:
        raise UnsupportedError("timesteps are not given, and the network has no neurons that would say them")
    if wanted is None:
        wanted = max(done.values())
        if wanted == 1:
            raise _Misread("timesteps are not given, and the network does one step: say how many")
    for number, steps in done.items():
        if steps != wanted:
            name = trace.nodes[number].settings["name"]
            raise (_OtherSteps if steps > 1 else _Misread)(f"layer {name!r} does {steps} steps, expected "
                                                           f"{wanted}; check timesteps and layout")
    return wanted


def _answer(trace, chosen, timesteps):
    """(Answer, float64 (N, outputs)) of what the calls gave."""
    for tensor in chosen:
        number = trace.refused(tensor)
        if number is not None:
            refused = trace.nodes[number]
            error = refusal_at(refused, refused.settings["reason"])
            raise _Misread(str(error)) if refused.settings["misread"] else error
    n = trace.samples
    places = [trace.places.of(tensor) for tensor in chosen]
    flat = torch.cat([p.reshape(-1) for p in places])
    if (flat < 0).any() or len(torch.unique(flat >> BITS)) != 1:
        raise UnsupportedError("returns numbers of several layers, or constants beside them; say which tensor is "
                               "the answer (output=...)")
    number = int(flat[0]) >> BITS
    number, flat = _integrated(trace, number, flat)
    node = trace.nodes[number]
    values = torch.cat([t.detach().reshape(-1) for t in chosen]).double().cpu()
    local = flat & MASK
    rows, elements = local // node.size, local % node.size
    steps, of_step = torch.unique(rows // n, return_inverse=True)
    at = torch.full((len(steps), n, node.size), -1)  # where each number stands in what was returned
    at[of_step, rows % n, elements] = torch.arange(len(local))
    if at.numel() != len(local) or (at < 0).any():
        raise UnsupportedError("returns a part of a layer, or some of its numbers twice")
    if (at.diff(dim=1) < 0).any() or (at.diff(dim=2) < 0).any():
        raise UnsupportedError("returns the numbers of a layer in another order, or those of one sample for another; "
                               "leave that out, or put the order into the last layer's weights")
    table, first, n_rows = values[at], int(steps[0]), len(steps) * n
    if node.kind == "steps":
        return _weighted(trace, node, timesteps), table[0]
    if node.still:
        return Answer(number, "mean", assumed=True), table[0]
    if n_rows == n * timesteps:
        fires = node.kind == "layer" and node.settings["layer"].node.fires()
        summed = table.sum(0)
        return Answer(number, "sum" if fires else "mean", assumed=True), summed if fires else summed / timesteps
    if n_rows == n and first == timesteps - 1:
        return Answer(number, "last"), table[0]
    raise UnsupportedError(f"returns {n_rows // n} of {timesteps} steps")


def _integrated(trace, number, flat):
    """The number and places of a membrane that is the answer, as those of a layer that never fires.

    Only a membrane without a reset, whose spikes do not come back to it, is one; others are left as they are, and
    refused.
    """
    kept = trace.nodes[number]
    base = trace.nodes[kept.sources[0].node] if kept.sources else kept
    if kept.kind != "state" or not kept.settings.get("membrane"):
        return number, flat
    if base.settings["layer"].node.reset != "none" or base.settings["layer"].recurrent is not None:
        return number, flat
    neurons, settings = base.settings["layer"].node, base.settings
    readout = Readout("last", **{name: getattr(neurons, name) for name in (
        "leak", "input_gain", "v_leak", "current_leak", "bias")})
    layer = replace(base.settings["layer"], node=readout)
    found = trace.graph.add(
        Operation("layer", base.shape, base.sources, {**settings, "layer": layer}, base.where),
        ("membrane", number))
    return found, (found << BITS) + (flat & MASK)


def _weighted(trace, node, timesteps):
    """The Answer that a weighted sum over steps is."""
    weights = node.settings["weights"]
    values = set(weights.values())
    base = node.sources[0].node
    if trace.nodes[base].kind == "state":
        base, _ = _integrated(trace, base, torch.zeros(1, dtype=torch.int64))
    if len(weights) == timesteps and max(values) - min(values) <= 1e-12 * max(map(abs, values)):
        [value] = {round(v, 15) for v in values} if len(values) == 1 else {max(values)}
        if value == 1:
            return Answer(base, "sum")
        if abs(value * timesteps - 1) < 1e-12:
            return Answer(base, "mean")
        return Answer(base, "sum", gain=value)
    if weights == {timesteps - 1: 1.0}:
        return Answer(base, "last")
    raise UnsupportedError("its answer weighs steps differently; eventsim gives their sum, their mean or the last")
