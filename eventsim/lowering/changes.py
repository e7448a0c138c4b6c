"""Changes: constants of a layer that are not what they were once they are integers.

Rounding moves every number a little. This module names the constants that become other numbers: a leak that
forgets nothing any more, a gain that is 0, a bias whose rounding alone makes neurons fire, or adds more to an
output than an event does, a weight that a chip cuts off, a threshold that has to be exceeded where it was enough
to reach it, or that is beyond what a chip's membranes reach.

What differs a little in each step adds up: of a leak and a bias it depends on the steps of a run.
"""

from math import prod
from typing import Callable, NamedTuple, Union

import numpy as np

from eventsim.errors import UnsupportedError
from eventsim.lowering import overflow
from eventsim.lowering.firing import comparison_of, firing_thresholds
from eventsim.lowering.linear import sum_terms
from eventsim.lowering.rounding import half_away
from eventsim.program import ConstantChange

LEAKS = ("leak", "current_leak")
LARGEST_SHARE = 0.1  # of itself, by which rounding may change a constant
STEPS = 10_000  # that are looked at where the model leaves them open
LONGEST = 1 << 30  # steps of a run or a stream that are looked at


class Constant(NamedTuple):
    """A constant of neurons or synapses, before and after rounding: arrays of one shape, (C, H, W) or (C, 1, 1) of
    neurons.

    share: of itself, by which rounding changes it; or a function of steps, which grows with them, and of the
    elements that it is asked for, all (...) or one (an index).
    """

    name: str
    before: np.ndarray
    after: np.ndarray
    share: Union[np.ndarray, Callable]

    def share_in(self, steps):
        """Return by how much of itself it changes in a run of so many steps."""
        return self.share(steps, ...) if callable(self.share) else self.share


def changed_constants(unit, numbers, model):
    """Return (constants, later) of a layer of a model in integers: constant -> ConstantChange in the model's steps
    (None: STEPS), and constant -> (steps, ConstantChange) of the others that change in runs of so many steps.
    Raises UnsupportedError where a threshold becomes 0, so that neurons would fire without input."""
    steps = model.timesteps or STEPS
    changes, later = {}, {}
    for constant in _of_layer(unit, numbers, model):
        copies = prod(unit.shape) // constant.before.size if constant.before.ndim == 3 else 1
        change = _change(constant, steps, copies)
        if change is not None:
            changes.setdefault(constant.name, change)  # of several paths, the first whose weights change
        elif callable(constant.share):
            first = _first_steps(constant, steps)
            if first is not None and first < later.get(constant.name, (first + 1,))[0]:
                later[constant.name] = first, _change(constant, first, copies)
    return changes, {name: change for name, change in later.items() if name not in changes}


def _of_layer(unit, numbers, model):
    """Yield the Constants of a layer of a model."""
    yield from _constants(unit, numbers)
    if unit.node.sends == "levels":
        meant, used = (comparison_of(unit.node, chip) for chip in (model.chip, numbers.chip))
        if used != meant:
            yield _compared(unit, numbers)
        yield from _out_of_reach(unit, numbers)


def _first_steps(constant, steps):
    """Return the smallest number of steps, above those in which it does not, in which a constant changes; None up
    to LONGEST. The element that changes most in long runs is looked at alone, then those that change before it."""
    first, latest = None, LONGEST
    while latest > steps:
        share = constant.share_in(latest)
        if not (share > LARGEST_SHARE).any():
            break
        index, first, low = np.unravel_index(np.argmax(share), share.shape), latest, steps
        while first - low > 1:
            middle = (low + first) // 2
            low, first = (low, middle) if constant.share(middle, index) > LARGEST_SHARE else (middle, first)
        latest = first - 1
    return first


def _compared(unit, numbers):
    """Return the threshold where a chip that the model is not meant for compares otherwise. It moves by one step
    of the integers, but integers meet their thresholds all the time."""
    threshold = _firing_thresholds(unit)
    strict = comparison_of(unit.node, numbers.chip) == ">"
    after = _rounded(numbers, threshold, 1 if strict else -1)
    name = "v_threshold (> for >=)" if strict else "v_threshold (>= for >)"
    return Constant(name, _rounded(numbers, threshold), after, np.ones(threshold.shape))


def _out_of_reach(unit, numbers):
    """Yield the thresholds, of the lowest and of the highest level, that are beyond what a chip's membranes reach;
    `after` is how far they get."""
    reach = overflow.reach(numbers.chip, unit.signed)
    if reach is None:
        return
    exact, bits = firing_thresholds(unit, unit.per_channel("quantum"))[0], unit.per_channel("bits").astype(int)
    strict, channel = comparison_of(unit.node, numbers.chip) == ">", np.arange(len(bits))
    for name, plane, has in (("v_threshold (out of reach)", 0, bits > 0),
                             ("highest level (out of reach)", bits - 1, bits > 1)):
        threshold = _alike(exact[channel, plane])
        steps = half_away(numbers.unrounded(threshold))
        beyond = has[:, None, None] & (steps >= reach if strict else steps > reach)
        yield Constant(name, threshold, reach * threshold / np.where(steps == 0, 1, steps), beyond.astype(float))


def _constants(unit, numbers):
    """Yield the Constants that a layer has under any comparison."""
    node = unit.node
    for name in LEAKS:
        if getattr(node, name, None) is not None:
            yield _leak(unit, numbers, name)
    if unit.gain is not None:
        gain = _alike(unit.gain)
        yield _relative("input_gain", gain, numbers.factor(gain) / 4096)
    for path in unit.synapses:
        if path.weight is None:  # what is read as it is
            unrounded, before = numbers.in_sum(path.amplitude), path.amplitude
            yield _relative("input weight", before, before * half_away(unrounded) / unrounded)
        elif numbers.chip is not None:
            yield _cut_off(path.weight, numbers)
    if node.sends == "levels":
        yield from _neuron_constants(unit, numbers)
    elif node.sends == "changes":
        threshold = _alike(unit.on_map("v_threshold"))
        yield _relative("v_threshold", threshold, _rounded(numbers, threshold))
    else:
        for name, constant in _added(unit):
            yield _readout_bias(unit, numbers, name, constant)


def _leak(unit, numbers, name):
    leak = _alike(unit.on_map(name))
    rounded = numbers.decay(leak) / 2.0**numbers.decay_bits

    def share(steps, at):
        steps = _between_resets(unit, steps)
        return np.abs(adds_up(rounded[at], steps) / adds_up(leak[at], steps) - 1)

    return Constant(name, leak, rounded, share)


def _added(unit):
    """Yield (name, array) of what is added in every step: to the current, and past it."""
    yield "bias", sum_terms([term.value for term in unit.terms], unit.shape)
    if unit.drive is not None:
        names = [name for name in ("bias", "v_leak") if unit.on_map(name).any()]
        yield " and ".join(names), _alike(unit.drive)


def _neuron_constants(unit, numbers):
    """Yield what `_constants` does, of neurons that fire at a threshold."""
    threshold = _firing_thresholds(unit)
    rounded = _rounded(numbers, threshold)
    _check_silent(unit, numbers, threshold, rounded)
    yield _relative("v_threshold", threshold, rounded)
    firing = np.where(threshold > 0, threshold, np.inf)
    for name, constant in _added(unit):
        yield _neuron_bias(unit, numbers, name, constant, firing)
    for name in ("v_reset", "v_min"):
        before = _alike(unit.on_map(name))
        after = _rounded(numbers, before)
        yield Constant(name, *np.broadcast_arrays(before, after, np.abs(after - before) / firing))


def _neuron_bias(unit, numbers, name, before, firing):
    """Return what is added to neurons in every step, with a share beyond LARGEST_SHARE from where its rounding
    alone makes them fire."""
    after = _rounded(numbers, before)
    before, after, lost, leak = np.broadcast_arrays(
        before, after, LARGEST_SHARE * np.abs(after - before) / firing, _alike(unit.on_map("leak", 1.0)))

    def share(steps, at):
        return lost[at] * adds_up(leak[at], _between_resets(unit, steps))

    return Constant(name, before, after, share)


def _readout_bias(unit, numbers, name, bias):
    """Return what is added to outputs in every step, the share 0 where its rounding adds up to less than the
    largest weight, which is the most that one event adds."""
    before, after, relative, leak = np.broadcast_arrays(
        *_relative(name, bias, _rounded(numbers, bias))[1:], _alike(unit.on_map("leak", 1.0)))
    largest = max((np.abs(value).max(initial=0) for path in unit.synapses
                   for value in (path.weight, path.amplitude) if value is not None), default=0)
    lost = np.abs(after - before)

    def share(steps, at):
        adds = lost[at] * adds_up(leak[at], _between_resets(unit, steps))
        adds = adds * (steps if unit.node.reduce in ("sum", "mean") else 1)  # an event is in such a sum once
        return np.where(adds >= largest, relative[at], 0.0)

    return Constant(name, before, after, share)


def _firing_thresholds(unit):
    """Return the thresholds of the lowest level."""
    return _alike(firing_thresholds(unit, unit.per_channel("quantum"))[0][:, 0])


def _alike(values):
    """Return values (C, H, W) as (C, 1, 1) where those of each channel are alike: maps can be large."""
    first = values[:, :1, :1]
    return first if (values == first).all() else values


def _between_resets(unit, steps):
    """Return the steps of a run that a membrane adds up."""
    return min(steps, unit.node.reset_interval or steps)


def adds_up(leak, steps):
    """Return what an input of 1 in every step adds up to behind a leak."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(leak == 1, float(steps), (1 - leak**steps) / (1 - leak))


def _relative(name, before, after):
    """Return a Constant whose share is that of `before` by which it differs."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return Constant(name, before, after, np.where(before == 0, 0.0, np.abs(after / before - 1)))


def _cut_off(weight, numbers):
    """Return the weight of each output channel that a chip cuts off most."""
    rows = weight.reshape(len(weight), -1)
    extremes = np.stack([rows.min(axis=1), rows.max(axis=1)], axis=1)
    unrounded, chip = numbers.in_sum(extremes), numbers.chip
    clipped = np.clip(unrounded, chip.lowest_weight, chip.highest_weight)
    name, *columns = _relative("weight", extremes, extremes * (clipped / np.where(unrounded == 0, 1.0, unrounded)))
    worst = np.argmax(columns[2], axis=1)[:, None]
    return Constant(name, *(np.take_along_axis(values, worst, axis=1)[:, 0] for values in columns))


def _rounded(numbers, values, extra_steps=0):
    """Return values in the units of the membrane, once they are integers. extra_steps: of the integers, beyond
    them."""
    scale = numbers.unrounded(np.ones(len(values))).reshape(-1, *(1,) * (values.ndim - 1))
    return (half_away(numbers.unrounded(values)) + extra_steps) / scale


def _change(constant, steps, copies):
    """Return the ConstantChange where it is largest; None where no element changes by more than LARGEST_SHARE.
    copies: neurons that each element stands for."""
    _, before, after, _ = constant
    share = np.broadcast_to(constant.share_in(steps), before.shape)
    number = int((share > LARGEST_SHARE).sum())
    if not number:
        return None
    index = np.unravel_index(np.argmax(share), before.shape)
    return ConstantChange(float(before[index]), float(after[index]) + 0.0, number * copies,
                          before.size * copies)  # no -0


def _check_silent(unit, numbers, threshold, rounded):
    """Raise UnsupportedError for a threshold above 0 that becomes 0."""
    if comparison_of(unit.node, numbers.chip) == ">=" and ((threshold > 0) & (rounded == 0)).any():
        smallest = threshold[threshold > 0].min()
        step = 1 / numbers.unrounded(np.ones(unit.shape[0])).min()
        raise UnsupportedError(
            f"{unit.label}: its v_threshold of {smallest:.4g} is less than half a step of its integers "
            f"({step:.4g}), which would make it fire without input; run it in float32, or rescale the layer"
        )
