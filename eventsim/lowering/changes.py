"""Changes: constants of a layer that are not what they were once they are integers.

Rounding moves every number a little; `Rounding` has the largest errors. Named here is what it makes another one: a
leak that forgets nothing any more, a gain that is 0, a bias whose rounding alone makes neurons fire, or adds more to an
output than an event does.
"""

import numpy as np

from eventsim.errors import UnsupportedError
from eventsim.lowering.firing import comparison_of, firing_thresholds
from eventsim.lowering.linear import sum_terms
from eventsim.lowering.rounding import half_away
from eventsim.program import ConstantChange

LEAKS = ("leak", "current_leak")
MUCH = 0.1  # of itself: more is no rounding
STEPS = 10_000  # that are looked at where the model leaves them open


def changed_constants(unit, numbers, timesteps):
    """Constant -> ConstantChange of a layer in integers, in `timesteps` steps (None: STEPS). Raises UnsupportedError
    where a threshold becomes 0, so that neurons would fire without input."""
    steps = timesteps or STEPS
    found = {name: _change(*each) for name, each in _constants(unit, numbers, steps)}
    return {name: change for name, change in found.items() if change is not None}


def _constants(unit, numbers, steps):
    """(name, (before, after, how much of itself it has changed)) of the constants that a layer has."""
    node = unit.node
    for name in LEAKS:
        if getattr(node, name, None) is not None:
            leak = unit.on_map(name)
            rounded = numbers.decay(leak) / 2.0**numbers.decay_bits
            yield name, (leak, rounded, np.abs(adds_up(rounded, steps) / adds_up(leak, steps) - 1))
    if unit.gain is not None:
        yield "input_gain", _relative(unit.gain, numbers.factor(unit.gain) / 4096)
    for path in unit.synapses:
        if path.weight is None:  # what is read as it is
            unrounded = numbers.in_sum(path.amplitude)
            yield "input weight", _relative(path.amplitude, path.amplitude * half_away(unrounded) / unrounded)
    bias = np.broadcast_to(sum_terms([term.value for term in unit.terms], unit.shape), unit.shape)
    if node.sends == "levels":
        yield from _of_neurons(unit, numbers, bias, steps)
    elif node.sends == "changes":
        threshold = unit.on_map("v_threshold")
        yield "v_threshold", _relative(threshold, _rounded(numbers, threshold))
    else:
        yield "bias", _of_readout(unit, numbers, bias, steps)


def _of_neurons(unit, numbers, bias, steps):
    """Constants of neurons that fire at a threshold."""
    threshold = firing_thresholds(unit, unit.per_channel("quantum"))[0][:, 0]
    rounded = _rounded(numbers, threshold)
    _check_silent(unit, numbers, threshold, rounded)
    yield "v_threshold", _relative(threshold, rounded)
    firing = np.where(threshold > 0, threshold, np.inf)
    many = adds_up(unit.on_map("leak", 1.0), steps)
    drive = np.zeros(unit.shape) if unit.drive is None else unit.drive
    for name, constant in (("bias", bias), ("v_leak", drive)):
        after = _rounded(numbers, constant)
        yield name, (constant, after, MUCH * np.abs(after - constant) * many / firing)  # which alone fires from 1 on
    for name in ("v_reset", "v_min"):
        before = unit.on_map(name)
        after = _rounded(numbers, before)
        yield name, (before, after, np.abs(after - before) / firing)


def _of_readout(unit, numbers, bias, steps):
    """The bias of outputs, where its rounding adds up to the largest weight, which is the most that one event is
    worth."""
    before, after, much = _relative(bias, _rounded(numbers, bias))
    largest = max((np.abs(value).max(initial=0) for path in unit.synapses
                   for value in (path.weight, path.amplitude) if value is not None), default=0)
    adds = np.abs(after - before) * adds_up(unit.on_map("leak", 1.0), steps)
    adds *= steps if unit.node.reduce in ("sum", "mean") else 1  # which an event is in once
    return before, after, np.where(adds >= largest, much, 0.0)


def adds_up(leak, steps):
    """What an input of 1 in every step adds up to behind a leak."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(leak == 1, float(steps), (1 - leak**steps) / (1 - leak))


def _relative(before, after):
    with np.errstate(invalid="ignore", divide="ignore"):
        return before, after, np.where(before == 0, 0.0, np.abs(after / before - 1))


def _rounded(numbers, values):
    """Values in the units of the membrane, once they are integers."""
    scale = numbers.unrounded(np.ones(len(values))).reshape(-1, *(1,) * (values.ndim - 1))
    return half_away(numbers.unrounded(values)) / scale


def _change(before, after, much):
    """The ConstantChange where it is most; None where none changes by more than MUCH."""
    much = np.broadcast_to(much, before.shape)
    number = int((much > MUCH).sum())
    if not number:
        return None
    at = np.unravel_index(np.argmax(much), before.shape)
    return ConstantChange(float(before[at]), float(after[at]) + 0.0, number, before.size)  # no -0


def _check_silent(unit, numbers, threshold, rounded):
    """Raise UnsupportedError for a threshold above 0 that becomes 0."""
    if comparison_of(unit.node, numbers.chip) == ">=" and ((threshold > 0) & (rounded == 0)).any():
        least = threshold[threshold > 0].min()
        step = 1 / numbers.unrounded(np.ones(unit.shape[0])).min()
        raise UnsupportedError(
            f"{unit.label}: its v_threshold of {least:.4g} is less than half a step of its integers ({step:.4g}), which "
            "would make it fire without input; run it in float32, or rescale the layer"
        )
