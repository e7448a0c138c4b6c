"""Running a network as its author does: all steps in one call, or one call for each step."""

import functools
import inspect
import os
import traceback
from contextlib import ExitStack
from typing import Callable, Dict, List, NamedTuple, Tuple

import torch

from eventsim.arguments import shown
from eventsim.errors import EventsimError, UnsupportedError
from eventsim.from_torch.answers import answer_of, answers_in, WrongWay
from eventsim.from_torch.building import Answer
from eventsim.from_torch.layers import steps_first
from eventsim.from_torch.places import tensors_in
from eventsim.from_torch.preserving import in_type, preserved, reset
from eventsim.from_torch.random_numbers import generators, states
from eventsim.from_torch.reading import ways_of_delay
from eventsim.from_torch.tracing import Tracing

STATES = ("state", "states", "hidden")  # how the argument is called that takes what neurons keep
# words in what is raised about samples of another shape than a network takes
SHAPES = ("shape", "size", "dim", "channel", "axis", "axes", "expected", "unpack", "out of range", "out of bounds",
          "must match", "broadcast", "invalid for input", "index", "split", "stack")
QUANTISED = ("torch.ao.nn.quantized", "torch.nn.quantized", "torch.ao.nn.intrinsic.quantized")  # modules of torch


class Way(NamedTuple):
    """How a network is called. calls: values (N, ...) or (N, T, ...) and steps -> the arguments of each call."""

    name: str
    calls: Callable


def ways(steps, timesteps, layout) -> List[Way]:
    """Return the ways to call a network, the likeliest first. steps: of the samples, None: they stand still."""
    if steps is None:
        candidates = [Way("all at once", lambda x, n: [x])]
        if timesteps is not None:
            candidates += [
                Way("repeated, steps first", lambda x, n: [x.expand(n, *x.shape).clone()]),
                Way("step by step", lambda x, n: [x] * n),
                Way("repeated, samples first", lambda x, n: [x[:, None].expand(-1, n, *x.shape[1:]).clone()]),
                Way("repeated, samples and steps as one axis",
                    lambda x, n: [x[:, None].expand(-1, n, *x.shape[1:]).flatten(0, 1).clone()]),
            ]
        return candidates
    first = Way("steps first", lambda x, n: [x.transpose(0, 1).contiguous()])
    second = Way("samples first", lambda x, n: [x])
    each = [Way("step by step", lambda x, n: list(x.transpose(0, 1).contiguous())),
            Way("samples and steps as one axis", lambda x, n: [x.flatten(0, 1)])]
    return [second, first, *each] if layout == "NT" else [first, second, *each]


class Traced(NamedTuple):
    """A run that was followed.

    way: how the network was called. answer: which node's numbers it gives. outputs: float64 (N, outputs), these
    numbers. timesteps: T. late: values of `reading.Moment.late` under which every layer reads the same in every
    step. chosen: for each call, the numbers of the tensors that are its answer; empty where the user says it.
    """

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
    raise _best(net, failures, samples.steps or timesteps)


def follow_as(net, rules, samples, timesteps, way, choose) -> Traced:
    """Follow a network as it takes its samples in one way. Raises what its code raises, and UnsupportedError."""
    with preserved(net):  # what an earlier way has left is no initial state
        return _follow(net, rules, samples, timesteps, way, choose)


def _ours(error):
    """Whether an exception comes from a mistake in this package."""
    frames = traceback.extract_tb(error.__traceback__)
    return isinstance(error, (NameError, AttributeError, KeyError)) and bool(frames) \
        and frames[-1].filename.startswith(os.path.dirname(os.path.abspath(__file__)))


def _best(net, failures, steps):
    """Return the most telling of several errors: one of this package, and what the likeliest way raised, unless
    that only says that the network takes samples in another way. steps: T, or None where nobody says it."""
    first, likeliest = failures[0]
    ours = [error for _, error in failures if isinstance(error, EventsimError)]
    reason = error_line(likeliest)
    if not ours:
        return UnsupportedError(f"{type(net).__name__} does not take the samples ({first.name}): {reason}; "
                                f"{_remedy(net, likeliest, steps)}")
    error = min(ours, key=lambda each: getattr(each, "rank", 0))
    if isinstance(likeliest, EventsimError) or _is_of_shapes(likeliest):
        return UnsupportedError(str(error)) if isinstance(error, UnsupportedError) else error
    return UnsupportedError(f"{error} (called {first.name}, it raises {reason})")


def _is_of_shapes(error):
    """Whether an exception of a network's own code complains of the shape of what it was given."""
    return any(word in str(error).lower() for word in SHAPES)


def _remedy(net, error, steps):
    """Return what to do about an exception of a network's own code. steps: T, or None where nobody says it."""
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
    if "FakeQuant" in type(module).__name__:
        return (f"{type(module).__name__} takes float32 alone, and a network is followed in float64: export the "
                "network of floats, with the weights rounded as it rounds them")
    if torch.empty(0).is_meta:
        return "it runs inside of torch.device('meta'), where tensors hold no numbers: call from_torch outside"
    if _is_of_shapes(error):
        return "see layout and timesteps" if steps else (
            "give timesteps=T if forward takes all steps of a sample, or layout='NT' or 'TN' if an axis of x "
            "counts them")
    return "its own code raises that: see whether net(x) runs, in torch.float64 too"


def _needed(net):
    """Return the names of the arguments that a network's forward needs beside the samples."""
    parameters = _parameters(net)
    positional = [each for each in parameters if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)]
    named = [each for each in parameters if each.kind == each.KEYWORD_ONLY]
    return [each.name for each in (*positional[1:], *named) if each.default is each.empty]


def _parameters(net):
    """Return the inspect.Parameter of each argument of a network's forward; [] where they are unknown."""
    try:
        return [*inspect.signature(net.forward).parameters.values()]
    except (TypeError, ValueError):  # of what is not written in Python
        return []


def error_line(error) -> str:
    """Return an exception as one line."""
    where = getattr(error, "raised_in", "")
    return f"{f'{where}: ' if where else ''}{type(error).__name__}: {' '.join(str(error).split())[:200]}"


class _OutputFails(UnsupportedError):
    """The network ran, and the user's `output` raised something, as it may where the way is another."""

    rank = 0.5


class _NoAnswer(UnsupportedError):
    """The network ran, and nothing that it returned depends on its input, as it may where the way is another."""

    rank = 0.25


class _OtherSteps(UnsupportedError):
    """The network ran as the way supposed, for another number of steps."""

    rank = -1


def _follow(net, rules, samples, timesteps, way, choose):
    torch.set_default_dtype(torch.float64)
    reset(net, rules)
    trace, values = _tracing(net, rules, samples)
    calls = functools.partial(way.calls, values, timesteps or samples.steps)
    results = _results(net, trace, calls, choose)
    numbers = [[] if choose else answers_in(trace, result) for result in results]
    tensors = results if choose else [tensors_in(result)[i] for result, own in zip(results, numbers) for i in own]
    _check_tensors(net, tensors, results, choose)
    for reason, where in trace.refusals:
        raise UnsupportedError(where.before(reason))
    late = ways_of_delay(trace)
    n_steps = max([calls[-1].steps[-1] + 1 for calls in trace.calls.values()],
                  default=timesteps or samples.steps or 1)
    answer, outputs = answer_of(trace, tensors, n_steps)
    return Traced(trace, way, answer, outputs, _timesteps(trace, samples, timesteps), late, numbers)


def _tracing(net, rules, samples):
    """Return (Tracing, the values (N, ...) or (N, T, ...) that it follows) for the samples."""
    trace = Tracing(net, rules, len(samples.levels))
    values, node = samples.values.to(_device(net)), samples.input
    still = samples.steps is None
    source = values.clone() if still else values.transpose(0, 1).contiguous()
    trace.give_input(source, node.shape, still)
    trace.input_is_real = node.encoding == "real"
    if node.encoding == "spikes" and not node.signed and node.scale == 1:
        trace.input_bits = node.bits
    return trace, source if still else source.transpose(0, 1)


def _results(net, trace, calls, choose):
    """Return what each call of a network gives while it is followed, or what `choose` takes of that.

    calls: function that gives the argument of each. Raises UnsupportedError where random numbers are used.
    """
    sources = generators(net)
    before = states(sources)
    with trace.running():
        results = _outputs(net, calls(), trace)
        if choose:
            results = [_chosen(choose, result) for result in results]
    used = [source.name for source, old, new in zip(sources, before, states(sources)) if old != new]
    if used:
        raise UnsupportedError(f"{type(net).__name__} takes random numbers ({', '.join(used)}); a network that "
                               "is run has none: leave them out")
    return results


def _check_tensors(net, tensors, results, choose):
    """Raise UnsupportedError where what forward returned, or `choose` took of it, has no answer in it."""
    if not tensors or not all(isinstance(tensor, torch.Tensor) for tensor in tensors):
        giver = "output gives" if choose else f"{type(net).__name__} returns"
        raise _NoAnswer(f"{giver} {type(results[0]).__name__}, in which no tensor depends on its input; "
                               "say with output=... which tensor of what forward returns is the answer")


def sent_in_float32(net, rules, samples, traced):
    """Run a network in float32, without following it; return number of a layer -> what it sent, (T, N, ...).

    Raises UnsupportedError where the network's code raises anything.
    """
    try:
        return run_in(net, rules, samples.values.float(), traced).sent
    except Exception as error:  # the user's own code may raise anything
        raise UnsupportedError(f"in float32, with which a model is compared, {type(net).__name__} raises "
                               f"{error_line(error)}; let it compute in the type of its input") from None


class Ran(NamedTuple):
    """A run that nobody followed. sent: number of a layer -> (T, N, ...). returned: what each call gave."""

    sent: Dict[int, torch.Tensor]
    returned: list


def run_in(net, rules, values, traced) -> Ran:
    """Run a network as it was traced, in the type of its values (N, ...) or (N, T, ...). Raises what its code
    raises."""
    reset(net, rules)
    sent, layers = {}, {id(traced.trace.nodes[number].settings["module"]): number
                         for number in traced.trace.calls}
    with ExitStack() as stack:
        for module in net.modules():
            if id(module) in layers:
                number = layers[id(module)]
                stack.callback(_watched(module, traced.trace.nodes[number].settings["layer"], len(values),
                                        sent.setdefault(number, [])))
        stack.enter_context(in_type(net, values.dtype))
        calls = traced.way.calls(values.to(_device(net)), traced.timesteps)
        returned = _outputs(net, calls, traced.trace)
    return Ran({number: torch.cat(each) for number, each in sent.items()}, returned)


def _watched(module, layer, n, values):
    """Let a module append what it sends for n samples to `values`; return the function that undoes that."""
    forward = module.forward

    @functools.wraps(forward)
    def wrapper(*args, **kwargs):
        out = forward(*args, **kwargs)
        if layer.in_steps is None:
            sent = tensors_in(out)[layer.output]
        else:
            sent = layer.in_steps.values(module, tensors_in((args, kwargs))[0])
        values.append(steps_first(sent, layer, n).clone())  # others may change it
        return out

    module.__dict__["forward"] = wrapper
    return functools.partial(module.__dict__.pop, "forward", None)


def _device(net):
    return next((p.device for p in net.parameters()), torch.device("cpu"))


def _outputs(net, calls, trace):
    """Return what each call of a network gives. One that takes a state and returns it behind what it says, as
    norse's do, is given it by the next call."""
    outputs, state = [], ()
    for x in calls:
        outputs.append(_called(net, (x, *state), trace))
        if _hands_on(net) and isinstance(outputs[-1], tuple) and len(outputs[-1]) == 2:
            state = outputs[-1][1:]
    return outputs


def _hands_on(net):
    """Whether the second argument of a network's forward is a state that may be left out."""
    second = _parameters(net)[1:2]
    return bool(second) and second[0].name in STATES and second[0].default is None


def _called(net, args, trace):
    """Return what a call of a network gives. What its own code raises is given the module as attributes."""
    try:
        return net(*args)
    except EventsimError:
        raise
    except Exception as error:
        error.raised_in, error.raised_by = trace.where().of_module, trace.where().module
        raise


def _chosen(choose, result):
    """Return what the user's `output` takes of what a call returned."""
    try:
        return choose(result)
    except Exception as error:  # the user's own code may raise anything
        raise _OutputFails(f"output raises {error_line(error)}, given what forward returned "
                               f"({_described(result)})") from None


def _described(value):
    if isinstance(value, torch.Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    return f"{type(value).__name__} of {len(value)}" if isinstance(value, (list, tuple, dict)) else shown(value)


def _timesteps(trace, samples, timesteps) -> int:
    """Return T. Raises UnsupportedError where a layer does another number of steps."""
    wanted = samples.steps or timesteps
    done = {number: calls[-1].steps[-1] + 1 for number, calls in trace.calls.items()}
    if not done and wanted is None:
        raise UnsupportedError("timesteps are not given, and the network has no neurons that would say them")
    if wanted is None:
        wanted = max(done.values())
        if wanted == 1:
            raise WrongWay("timesteps are not given, and the network does one step: say how many")
    for number, steps in done.items():
        if steps != wanted:
            name = trace.nodes[number].settings["name"]
            raise (_OtherSteps if steps > 1 else WrongWay)(f"layer {name!r} does {steps} steps, expected "
                                                           f"{wanted}; check timesteps and layout")
    return wanted
