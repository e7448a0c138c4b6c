"""Changes: constants of a layer that are not what they were once they are integers.

Rounding moves every number a little. This module names the constants that become other numbers: a leak that
forgets nothing any more, a gain that is 0, a bias whose rounding alone makes neurons fire, or adds more to an
output than an event does, a weight that a chip cuts off, a threshold that has to be exceeded where it was enough
to reach it.
"""

import numpy as np

from eventsim.errors import UnsupportedError
from eventsim.lowering.firing import comparison_of, firing_thresholds
from eventsim.lowering.linear import sum_terms
from eventsim.lowering.rounding import half_away
from eventsim.program import ConstantChange

LEAKS = ("leak", "current_leak")
LARGEST_SHARE = 0.1  # of itself, by which rounding may change a constant
STEPS = 10_000  # that are looked at where the model leaves them open


def changed_constants(unit, numbers, model):
    """Return constant -> ConstantChange of a layer of a model in integers, in the model's steps (None: STEPS).
    Raises UnsupportedError where a threshold becomes 0, so that neurons would fire without input."""
    steps = model.timesteps or STEPS
    constants = list(_constants(unit, numbers, steps))
    if unit.node.sends == "levels":
        meant, used = (comparison_of(unit.node, chip) for chip in (model.chip, numbers.chip))
        constants += [_compared(unit, numbers)] if used != meant else []
    changes = {}
    for name, values in constants:  # of several paths, the first whose weights change
        change = _change(*values)
        if change is not None:
            changes.setdefault(name, change)
    return changes


def _compared(unit, numbers):
    """Return the threshold where a chip that the model is not meant for compares otherwise. It moves by one step
    of the integers, but integers meet their thresholds all the time."""
    threshold = firing_thresholds(unit, unit.per_channel("quantum"))[0][:, 0]
    strict = comparison_of(unit.node, numbers.chip) == ">"
    after = _rounded(numbers, threshold, 1 if strict else -1)
    name = "v_threshold (> for >=)" if strict else "v_threshold (>= for >)"
    return name, (_rounded(numbers, threshold), after, np.ones(threshold.shape))


def _constants(unit, numbers, steps):
    """Yield (name, (before, after, share of itself by which it changes)) of the constants that a layer has."""
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
        yield from _neuron_constants(unit, numbers, bias, steps)
    elif node.sends == "changes":
        threshold = unit.on_map("v_threshold")
        yield "v_threshold", _relative(threshold, _rounded(numbers, threshold))
    else:
        yield "bias", _readout_bias(unit, numbers, bias, steps)


def _neuron_constants(unit, numbers, bias, steps):
    """Yield what `_constants` does, of neurons that fire at a threshold."""
    threshold = firing_thresholds(unit, unit.per_channel("quantum"))[0][:, 0]
    rounded = _rounded(numbers, threshold)
    _check_silent(unit, numbers, threshold, rounded)
    yield "v_threshold", _relative(threshold, rounded)
    firing = np.where(threshold > 0, threshold, np.inf)
    total = adds_up(unit.on_map("leak", 1.0), steps)
    drive = np.zeros(unit.shape) if unit.drive is None else unit.drive
    for name, constant in (("bias", bias), ("v_leak", drive)):
        after = _rounded(numbers, constant)
        share = LARGEST_SHARE * np.abs(after - constant) * total / firing  # its rounding alone fires from 1 on
        yield name, (constant, after, share)
    for name in ("v_reset", "v_min"):
        before = unit.on_map(name)
        after = _rounded(numbers, before)
        yield name, (before, after, np.abs(after - before) / firing)


def _readout_bias(unit, numbers, bias, steps):
    """Return (before, after, share) of the bias of outputs, the share 0 where its rounding adds up to less than
    the largest weight, which is the most that one event adds."""
    before, after, share = _relative(bias, _rounded(numbers, bias))
    largest = max((np.abs(value).max(initial=0) for path in unit.synapses
                   for value in (path.weight, path.amplitude) if value is not None), default=0)
    adds = np.abs(after - before) * adds_up(unit.on_map("leak", 1.0), steps)
    adds *= steps if unit.node.reduce in ("sum", "mean") else 1  # an event is in such a sum once
    return before, after, np.where(adds >= largest, share, 0.0)


def adds_up(leak, steps):
    """Return what an input of 1 in every step adds up to behind a leak."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(leak == 1, float(steps), (1 - leak**steps) / (1 - leak))


def _relative(before, after):
    """Return (before, after, share of `before` by which they differ)."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return before, after, np.where(before == 0, 0.0, np.abs(after / before - 1))


def _cut_off(weight, numbers):
    """Return (before, after, share) of the weight of each output channel that a chip cuts off most."""
    rows = weight.reshape(len(weight), -1)
    extremes = np.stack([rows.min(axis=1), rows.max(axis=1)], axis=1)
    unrounded, chip = numbers.in_sum(extremes), numbers.chip
    clipped = np.clip(unrounded, chip.lowest_weight, chip.highest_weight)
    columns = _relative(extremes, extremes * (clipped / np.where(unrounded == 0, 1.0, unrounded)))
    worst = np.argmax(columns[2], axis=1)[:, None]
    return tuple(np.take_along_axis(values, worst, axis=1)[:, 0] for values in columns)


def _rounded(numbers, values, extra_steps=0):
    """Return values in the units of the membrane, once they are integers. extra_steps: of the integers, beyond
    them."""
    scale = numbers.unrounded(np.ones(len(values))).reshape(-1, *(1,) * (values.ndim - 1))
    return (half_away(numbers.unrounded(values)) + extra_steps) / scale


def _change(before, after, share):
    """Return the ConstantChange where it is largest; None where no constant changes by more than LARGEST_SHARE."""
    share = np.broadcast_to(share, before.shape)
    number = int((share > LARGEST_SHARE).sum())
    if not number:
        return None
    index = np.unravel_index(np.argmax(share), before.shape)
    return ConstantChange(float(before[index]), float(after[index]) + 0.0, number, before.size)  # no -0


def _check_silent(unit, numbers, threshold, rounded):
    """Raise UnsupportedError for a threshold above 0 that becomes 0."""
    if comparison_of(unit.node, numbers.chip) == ">=" and ((threshold > 0) & (rounded == 0)).any():
        smallest = threshold[threshold > 0].min()
        step = 1 / numbers.unrounded(np.ones(unit.shape[0])).min()
        raise UnsupportedError(
            f"{unit.label}: its v_threshold of {smallest:.4g} is less than half a step of its integers "
            f"({step:.4g}), which would make it fire without input; run it in float32, or rescale the layer"
        )
