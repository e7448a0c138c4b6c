"""Reading: that a layer reads the same in every step, but for what had not been sent yet.

A loop over steps does its first passes with constants in place of spikes of steps before. Whether these say what
a delay says is computed with random numbers in place of all that layers send, not judged by the check samples.
"""

from typing import Dict, NamedTuple, Tuple

import numpy as np
import torch

from eventsim.errors import UnsupportedError
from eventsim.from_torch.graph import Operand
from eventsim.from_torch.linear_maps import constants_of, linear_part
from eventsim.from_torch.operations.rows import gives_current

EQUAL = 1e-9  # of the largest number: how far two ways to sum may be apart
ORIGINS = ("input", "layer", "state", "steps", "refused")


class Moment(NamedTuple):
    """step: of the network. late: whether synapses behind which a delay stands give nothing at first, nor do
    their biases; else they give what they give without spikes."""

    step: int
    late: bool


def ways_of_delay(trace) -> Tuple[bool, ...]:
    """The values of `late` (see `Moment`) under which every layer reads the same in every step.

    Raises UnsupportedError, naming the layer, where there is none: it reads different things in turn, so that its
    places in the network would share membranes, or what it reads changes with the steps.
    """
    ways, n_delays = {False, True}, 0
    for number, calls in trace.calls.items():
        sources = [call.source for call in calls if call.source is not None]
        if not sources:
            continue
        n_delays += any(source.delay for node in trace.nodes for source in node.sources)
        fits = {late for late in ways if _same(trace, sources[-1], calls, late)}
        if not fits:
            raise UnsupportedError(_text(trace, number, calls))
        ways = fits
    for number in sorted(trace.places.delayed):
        n_delays, node = 1, trace.nodes[number]
        ways = {late for late in ways
                if not _value(trace.graph, Operand(number, 1), Moment(0, late), {}).abs().max() > EQUAL}
        if not ways:
            raise UnsupportedError(node.where.before(
                "is read late, with zeros before the first step, where a model has what weights give without "
                "spikes; delay the spikes that they read in place of what they give"))
    return tuple(sorted(ways)) if n_delays else (False,)


def _same(trace, complete, calls, late):
    for call in calls:
        if call.source == complete:
            continue
        moment = Moment(call.steps[0], late)
        expected = _value(trace.graph, complete, moment, {})
        if call.source is None:
            read = call.constant
        else:
            read = _value(trace.graph, call.source, moment, {})
        read, expected = read.reshape(len(read), -1), expected.reshape(1, -1)
        largest = max(1.0, float(read.abs().max()), float(expected.abs().max()))
        if read.shape[1] != expected.shape[1] or float((read - expected).abs().max()) > EQUAL * largest:
            return False
    return True


def _text(trace, number, calls):
    name = trace.nodes[number].settings["name"]
    different = [call.source for call in calls]
    if different[-1] is None or None in different and len(set(different)) == 2:
        return (f"layer {name!r} reads constants in some steps and the network's signals in others; a model reads "
                "the same in every step: give it zeros as samples instead")
    return (f"layer {name!r} reads {len(set(different))} different sources in turn, so that several places would "
            "share its membranes, or weights that change with the steps; give each place neurons of its own")


def _value(graph, operand, moment, known: Dict):
    """float64 (1, *shape) of what an operand stands for, with random numbers for what layers and the input
    send."""
    node = graph.nodes[operand.node]
    delay = 0 if node.still else operand.delay
    key = operand.node, delay
    if key not in known:
        known[key] = _computed(graph, node, key, moment, known)
    return known[key]


def _computed(graph, node, key, moment, known):
    _, delay = key
    early = delay > moment.step
    if node.kind in ORIGINS:
        return torch.zeros(1, *node.shape, dtype=torch.float64) if early else _random(key, node.shape)
    summed = node.kind == "add" and gives_current(graph, key[0])  # by those that read it
    if early and moment.late and not summed:
        return torch.zeros(1, *node.shape, dtype=torch.float64)
    read = [_value(graph, source._replace(delay=source.delay + delay), moment, known) for source in node.sources]
    if node.kind == "add":
        return sum(part.reshape(1, *node.shape) for part in read)
    [x] = read
    if node.kind == "module":  # whatever it does, it does the same to the same
        numbers = np.round(x.numpy(), 9) + 0.0
        return _random((node.settings["module"], numbers.tobytes()), node.shape)
    x = x.reshape(1, *_read_shape(graph, node))
    if node.kind == "max_pool":
        return _max_pool(node, x)
    if node.kind == "upsample":
        return _upsampled(node, x)
    return linear_part(node, x).reshape(1, *node.shape) + torch.from_numpy(constants_of(node)).reshape(node.shape)


def _read_shape(graph, node):
    source = graph.nodes[node.sources[0].node]
    return source.settings.get("shape", source.shape) if source.kind == "input" else source.shape


def _max_pool(node, x):
    settings, functional = node.settings, torch.nn.functional
    pool = functional.max_pool1d if x.ndim == 3 else functional.max_pool2d
    return pool(x, settings["kernel_size"], settings["stride"], settings["padding"],
                ceil_mode=settings["ceil_mode"])


def _upsampled(node, x):
    for axis, factor in enumerate(node.settings["scale_factor"], 2):
        x = x.repeat_interleave(factor, axis)
    return x


def _random(key, shape):
    """The same numbers for the same key."""
    seed = np.random.SeedSequence(list(str(key).encode()))
    return torch.from_numpy(np.random.default_rng(seed).uniform(0.5, 1.5, (1, *shape)))
