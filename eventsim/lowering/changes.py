"""Changes: constants of a layer that are not what they were once they are integers.

Rounding moves every number a little; `Rounding` has the largest errors. Named here is what it makes another one: a
leak that forgets nothing any more, a gain that is 0, a bias whose rounding alone makes neurons fire, or adds more to an
output than an event does, a weight that a chip cuts off, a threshold that has to be exceeded where it was enough to
reach it.
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


def changed_constants(unit, numbers, model):
    """Constant -> ConstantChange of a layer of a model in integers, in the model's steps (None: STEPS). Raises
    UnsupportedError where a threshold becomes 0, so that neurons would fire without input."""
    steps = model.timesteps or STEPS
    changed = list(_constants(unit, numbers, steps))
    if unit.node.sends == "levels" and comparison_of(unit.node, numbers.chip) != comparison_of(unit.node, model.chip):
        changed.append(_compared(unit, numbers))
    found = {}
    for name, each in changed:  # of several paths, the first whose weights change
        change = _change(*each)
        if change is not None:
            found.setdefault(name, change)
    return found


def _compared(unit, numbers):
    """The threshold where a chip that the model is not meant for compares otherwise: one step of the integers, but whole
    numbers meet their thresholds all the time."""
    threshold = firing_thresholds(unit, unit.per_channel("quantum"))[0][:, 0]
    strict = comparison_of(unit.node, numbers.chip) == ">"
    after = _rounded(numbers, threshold, 1 if strict else -1)
    name = "v_threshold (> for >=)" if strict else "v_threshold (>= for >)"
    return name, (_rounded(numbers, threshold), after, np.ones(threshold.shape))


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
        elif numbers.chip is not None:
            yield "weight", _cut_off(path.weight, numbers)
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


def _cut_off(weight, numbers):
    """The weight of each output channel that a chip cuts off most."""
    rows = weight.reshape(len(weight), -1)
    extremes = np.stack([rows.min(axis=1), rows.max(axis=1)], axis=1)
    wanted, chip = numbers.in_sum(extremes), numbers.chip
    kept = np.clip(wanted, chip.lowest_weight, chip.highest_weight)
    before, after, much = _relative(extremes, extremes * (kept / np.where(wanted == 0, 1.0, wanted)))
    most = np.argmax(much, axis=1)[:, None]
    found = (np.take_along_axis(values, most, axis=1)[:, 0] for values in (before, after, much))
    return tuple(found)


def _rounded(numbers, values, more=0):
    """Values in the units of the membrane, once they are integers; more: steps of the integers beyond them."""
    scale = numbers.unrounded(np.ones(len(values))).reshape(-1, *(1,) * (values.ndim - 1))
    return (half_away(numbers.unrounded(values)) + more) / scale


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
