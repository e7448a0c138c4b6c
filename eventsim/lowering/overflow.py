"""Overflow: bounds of what integers can reach, and proofs that int32 holds them.

Bounds are worst cases: every input sends its highest level at once, with the sign that hurts.
"""

from typing import Optional

import numpy as np

from eventsim.errors import UnsupportedError
from eventsim.kernels.arguments import INT32_MAX, NO_LIMIT, SATURATE, WRAP, WRAP_ONCE
from eventsim.lowering.linear import Maximum
from eventsim.model.chip import Chip

ALL_STEPS = 1 << 40  # more than any run has
NAMES = ("sum", "current", "membrane")
RULES = {"wrap": WRAP, "error": WRAP, "wrap_once": WRAP_ONCE,
         "saturate": SATURATE, "saturate_symmetric": SATURATE}


def limits(chip: Optional[Chip]) -> np.ndarray:
    """Return int64 (9,), for the kernels: rule, low and high of the sum, the current and the membrane."""
    rules = []
    for name in NAMES:
        bits = None if chip is None else getattr(chip, name + "_bits")
        if bits is None or bits == 32:  # int32 itself wraps
            rules += [NO_LIMIT, 0, 0]
            continue
        overflow, top = getattr(chip, name + "_overflow"), 1 << (bits - 1)
        low = -top + 1 if overflow in ("wrap_once", "saturate_symmetric") else -top
        rules += [RULES[overflow], low, top if overflow == "wrap_once" else top - 1]
    return np.array(rules, np.int64)


def reach(chip: Optional[Chip], signed=False) -> Optional[int]:
    """Return the highest membrane (signed: or how far the lowest is from 0, if that is more) of a chip's width;
    None where it has none of its own."""
    rule, low, high = limits(chip)[6:].tolist()
    if rule == NO_LIMIT:
        return None
    return max(high, -low) if signed else high


def check_held(label, chip, name, integers, remedy):
    """Raise UnsupportedError where a potential that neurons are brought to, in steps of the state, is beyond a
    chip's membranes. name: of the potential. remedy: what makes it fit beside wider membranes."""
    rule, low, high = limits(chip)[6:].tolist()
    beyond = integers[(integers < low) | (integers > high)]
    if rule != NO_LIMIT and beyond.size:
        raise UnsupportedError(
            f"{label}: its {name} is {beyond.flat[0]} in steps of the state, but membranes of "
            f"{chip.membrane_bits} bits on chip {chip.name!r} are from {low} to {high}; {remedy}, or widen "
            "membrane_bits")


def reaches_all(chip: Optional[Chip]) -> bool:
    """Return whether membranes may be any int32: they wrap at that width, with no proof that they stay below
    it."""
    return _limit(chip, "membrane") == ("wrap", 1 << 31)


def sum_bound(paths, units, numbers) -> int:
    """Return the largest weighted sum of one step: every input sends its highest level."""
    total = 0
    for path in paths:
        if isinstance(path, Maximum):
            total += sum_bound(path.current.paths, units, numbers)
            total += sum(int(np.abs(numbers.unrounded(term.value)).max()) + 1 for term in path.current.terms)
            continue
        top = units[path.unit].max_level
        if path.weight is None:
            total += top * (int(np.abs(numbers.amplitude(path.amplitude)).max()) + 1)
        else:
            rows = np.abs(numbers.weight(path.weight).astype(np.int64))
            total += top * int(rows.reshape(rows.shape[0], -1).sum(axis=1).max())
    return total


def safe_steps(label, update, largest_sum, chip) -> Optional[int]:
    """Return how many steps from zero state int32 is proved to hold, None: any number.

    A number that wraps needs no proof: int32 wraps alike. Any other has to fit int32 before it is
    brought back to its width.

    update: the layer's, with the largest bias. largest_sum: `sum_bound` of one step.
    Raises UnsupportedError, beginning with `label`, where one step may already be too much.
    """
    rule, top = _limit(chip, "sum")
    total = largest_sum
    if rule != "wrap":
        _require(label, total)
    if rule == "wrap_once":
        total = max(min(total, top), total - 2 * top)
    elif rule:
        total = min(total, top)
    gain = max(4096, _largest(update.gain)) if update.gains else 4096  # sums before it have to fit, too
    step = (total * gain // 4096 << update.shift) + _largest(update.bias)
    drive = _largest(update.drive) + (
        int(update.amounts.astype(np.int64).sum(axis=0).max()) if update.reset_delay else 0
    )
    bound, growth, current_steps = _current(label, update, step, chip)
    membrane_steps = _membrane(label, update, bound, growth, drive, chip)
    return min((steps for steps in (current_steps, membrane_steps) if steps is not None), default=None)


def _current(label, update, step, chip):
    """Return (bound, growth, steps): after t steps the current is within bound + growth * t, which holds for so
    many steps (None: any)."""
    rule, top = _limit(chip, "current")
    unit = 1 << update.decay_bits
    fade = _largest(update.current_leak) if update.filters else 0
    if rule == "wrap" and (top < 1 << 31 or reaches_all(chip)):
        return top, 0, None
    if rule and rule != "wrap":
        excess = step - 2 * top if rule == "wrap_once" else 0
        if excess > 0 and fade >= unit:  # wraps, and still moves on
            return top + step, excess, _steps(label, lambda t: top + step + excess * t)
        bound = max(top, (max(excess, 0) + 1) * unit // (unit - fade) + 1) if excess > 0 else top
        _require(label, _decayed(update, bound, fade) + step)
        return bound, 0, None
    if fade < unit:
        bound = step if fade == 0 else (step + 1) * unit // (unit - fade) + 1
        _require(label, step)
        if bound <= INT32_MAX:
            return bound, 0, None
    return 0, step, _steps(label, lambda t: step * t)


def _membrane(label, update, bound, growth, drive, chip):
    """Return the steps until a membrane that takes bound + growth * t and drive at step t leaves int32."""
    rule, top = _limit(chip, "membrane")
    start, unit = _start(update), 1 << update.decay_bits
    if rule == "wrap":
        _require(label, start)  # nothing brings what a reset leaves back to its width
        if update.changes and top < 1 << 31:  # what wraps is the sum of the changes, before the bias
            _require(label, top + drive)
        return None
    per_step = bound + drive
    if rule:
        furthest = max(top, start)

        def reached(t):
            added = per_step + growth * t
            moves_on = rule == "wrap_once" and added > 2 * top  # from then on one turn is not enough
            return furthest + (top + added * t if moves_on else added)

        return _steps(label, reached)
    leak = unit if update.changes else _largest(update.leak)
    if growth == 0 and leak < unit and start + (per_step + 1) * unit // (unit - leak) < INT32_MAX:
        return None
    return _steps(label, lambda t: start + per_step * t + growth * t * (t + 1) // 2)


def _steps(label, reach):
    """Return the most steps t with reach(t), which never falls, below INT32_MAX, the threshold of planes that a
    channel lacks; None: all that a run can have."""
    low, high = 0, ALL_STEPS
    if reach(high) < INT32_MAX:
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if reach(middle) < INT32_MAX else (low, middle)
    if low == 0:
        raise _too_much(label, reach(1))
    return low


def _limit(chip, name):
    """Return (rule, 2^(n - 1)) of a number of n bits; ("", 0) where it has no width of its own."""
    bits = None if chip is None else getattr(chip, name + "_bits")
    return ("", 0) if bits is None else (getattr(chip, name + "_overflow"), 1 << (bits - 1))


def _require(label, bound):
    if bound > INT32_MAX:
        raise _too_much(label, bound)


def _decayed(update, size, factor):
    """Return how far from 0 a number of such a size is once it has decayed, on the side that rounds away from
    it."""
    return (size * factor + max(update.decay_positive, update.decay_negative)) >> update.decay_bits


def _start(update):
    """Return how far from 0 a membrane can be without any input."""
    start = max(_largest(update.v_reset), _largest(update.v_min))
    if update.bits and not update.changes:  # a soft reset takes U down to threshold - amount
        lowest = update.thresholds.astype(np.int64) - update.amounts
        start = max(start, -int(lowest.min()))
    return start


def _largest(values):
    return int(np.abs(values.astype(np.int64)).max(initial=0))


def _too_much(label, bound):
    return UnsupportedError(f"{label}: one step can reach {bound}, more than int32 holds; run it in float32")
