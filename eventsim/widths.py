"""Widths: what integers can reach, and what holds them.

Bounds are worst cases: every input sends its highest level at once, with the sign that hurts.
"""

from math import isqrt
from typing import Optional

import numpy as np

from eventsim.errors import UnsupportedError
from eventsim.kernels import HOLDS, STOPS, TURNS, TURNS_ONCE
from eventsim.profiles import Profile
from eventsim.rounding import INT32_MAX

NAMES = ("sum", "current", "membrane")
RULES = {"wrap": TURNS, "error": TURNS, "wrap_once": TURNS_ONCE,
         "saturate": STOPS, "saturate_symmetric": STOPS}


def limits(profile: Optional[Profile]) -> np.ndarray:
    """int64 (9,): rule, low and high of the sum, the current and the membrane, for the kernels."""
    found = []
    for name in NAMES:
        bits = None if profile is None else getattr(profile, name + "_bits")
        if bits is None or bits == 32:  # int32 itself wraps
            found += [HOLDS, 0, 0]
            continue
        overflow, top = getattr(profile, name + "_overflow"), 1 << (bits - 1)
        low = -top + 1 if overflow in ("wrap_once", "saturate_symmetric") else -top
        found += [RULES[overflow], low, top if overflow == "wrap_once" else top - 1]
    return np.array(found, np.int64)


def safe_steps(label, update, sum_bound, profile) -> Optional[int]:
    """Steps from zero state that int32 is proved to hold, None: any number.

    update: the layer's, with the largest bias. sum_bound: of the weighted sum of one step.
    Raises UnsupportedError, beginning with `label`, where one step may already be too much.
    """
    wraps = profile is not None and profile.sum_bits is not None and profile.sum_overflow == "wrap"
    if sum_bound > INT32_MAX and not wraps:
        raise _too_much(label, sum_bound)
    total = sum_bound if not _bits(profile, "sum") else min(sum_bound, 1 << (profile.sum_bits - 1))
    gain = max(4096, _largest(update.gain)) if update.gains else 4096  # sums before it have to fit, too
    step = (total * gain // 4096 << update.shift) + _largest(update.bias)
    if step > INT32_MAX and _bits(profile, "sum") != 32:
        raise _too_much(label, step)
    current = _largest_current(update, step, profile)
    drive = _largest(update.drive) + (
        int(update.amounts.astype(np.int64).sum(axis=0).max()) if update.reset_delay else 0
    )
    width = _bits(profile, "membrane")
    if width == 32:
        return None
    if width:
        return _proved(label, current, step, drive, 1 << (width - 1), 0, 1)
    leak = _largest(update.leak) if not update.changes else 1 << update.decay_bits
    return _proved(label, current, step, drive, _start(update), leak, 1 << update.decay_bits)


def _largest_current(update, step, profile):
    """Bound of the synaptic current, or None where it grows without end."""
    width = _bits(profile, "current")
    if width == 32:
        return step
    if width:
        # one turn may leave more than the width: Lava goes on in 64 bits, we wrap at 32
        once = profile.current_overflow == "wrap_once"
        return min(step, 1 << 30) if once and step > 1 << width else 1 << (width - 1)
    if not update.filters:
        return step
    unit, fade = 1 << update.decay_bits, _largest(update.current_leak)
    return None if fade >= unit else (step + 1) * unit // (unit - fade) + 1


def _proved(label, current, step, drive, start, leak, unit):
    """Steps until start, fading by leak / unit, and what comes in at every step pass int32."""
    if current is None:  # an integrator before the membrane: step * t (t + 1) / 2 in all
        return max(1, isqrt(max(0, INT32_MAX - start - drive) // max(step + drive, 1)))
    per_step = current + drive
    if leak < unit and start + (per_step + 1) * unit // (unit - leak) < INT32_MAX:
        return None
    steps = (INT32_MAX - start) // max(per_step, 1)
    if steps < 1:
        raise _too_much(label, per_step)
    return steps


def _bits(profile, name):
    return None if profile is None else getattr(profile, name + "_bits")


def _start(update):
    """How far from 0 a membrane can be without any input."""
    start = max(_largest(update.v_reset), _largest(update.v_min))
    if update.bits and not update.changes:  # a soft reset takes U down to threshold - amount
        lowest = update.thresholds.astype(np.int64) - update.amounts
        start = max(start, -int(lowest.min()))
    return start


def _largest(values):
    return int(np.abs(values.astype(np.int64)).max(initial=0))


def _too_much(label, reached):
    return UnsupportedError(
        f"{label}: one step can reach {reached}, more than int32 holds; run it in float32"
    )
