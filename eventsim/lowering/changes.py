"""Changes: constants of a layer that are not what they were once they are integers.

Rounding moves every number a little; `Rounding` has the largest errors. Named here is what it makes another one: a
leak that forgets nothing any more, a gain that is 0, a bias whose rounding alone makes neurons fire.
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
    if node.sends == "levels":
        threshold = firing_thresholds(unit, unit.per_channel("quantum"))[0][:, 0]
        rounded = _rounded(numbers, threshold)
        _check_silent(unit, numbers, threshold, rounded)
        yield "v_threshold", _relative(threshold, rounded)
        many = adds_up(unit.on_map("leak", 1.0), steps)
        drive = np.zeros(unit.shape) if unit.drive is None else unit.drive
        for name, constant in (("bias", sum_terms([term.value for term in unit.terms], unit.shape)), ("v_leak", drive)):
            constant = np.broadcast_to(constant, unit.shape)
            after = _rounded(numbers, constant)
            effect = np.abs(after - constant) * many / np.where(threshold > 0, threshold, np.inf)
            yield name, (constant, after, MUCH * effect)  # which alone fires from 1 on


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
    return ConstantChange(float(before[at]), float(after[at]), number, before.size)


def _check_silent(unit, numbers, threshold, rounded):
    """Raise UnsupportedError for a threshold above 0 that becomes 0."""
    if comparison_of(unit.node, numbers.chip) == ">=" and ((threshold > 0) & (rounded == 0)).any():
        least = threshold[threshold > 0].min()
        step = 1 / numbers.unrounded(np.ones(unit.shape[0])).min()
        raise UnsupportedError(
            f"{unit.label}: its v_threshold of {least:.4g} is less than half a step of its integers ({step:.4g}), which "
            "would make it fire without input; run it in float32, or rescale the layer"
        )
