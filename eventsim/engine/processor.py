"""Processor: the modes in which a thread's processor adds, which any library may change.

Sums are exact to the bit only where they round to nearest, ties to even, and keep denormal numbers: libraries
built with -ffast-math switch the second off when they are loaded, and others leave a rounding mode behind.
"""

import math
from typing import NamedTuple

import numpy as np

from eventsim.errors import RunError


class Probe(NamedTuple):
    """Sums that other modes give other bits: first + second, and the bytes that they have."""

    first: np.ndarray
    second: np.ndarray
    expected: bytes

    def in_eights(self) -> np.ndarray:
        """Return all three one after another, as `kernels.beginning` takes them; zeros add up in every mode."""
        rows = np.zeros((3, 8), self.first.dtype)
        for row, numbers in zip(rows, (self.first, self.second, np.frombuffer(self.expected, self.first.dtype))):
            row[: numbers.size] = numbers
        return rows.reshape(-1)


MANTISSA = {np.dtype(np.float32): 23, np.dtype(np.float64): 52}  # bits; np.finfo itself depends on the modes


def _rounding(dtype):
    """Of 1 and a quarter or three quarters of a step above it: each other mode rounds one of them otherwise. All
    that is computed here is exact, the same in every mode."""
    step = math.ldexp(1.0, -MANTISSA[dtype])  # a power is not exact in every mode
    return Probe(np.array([1, 1, -1], dtype), np.array([step / 4, step * 0.75, -step / 4], dtype),
                 np.array([1, 1 + step, -1], dtype).tobytes())


def _denormals(dtype):
    """A denormal number that is added to, and one that a sum gives, by their bits: a processor that flushes them
    cannot compute them."""
    least = 1 << MANTISSA[dtype]  # of the least number that is not denormal
    minus = 1 << (8 * dtype.itemsize - 1)
    bits = [[1, least | least >> 1], [0, least | minus], [1, least >> 1]]
    numbers = np.array(bits, f"u{dtype.itemsize}").view(dtype)
    return Probe(numbers[0], numbers[1], numbers[2].tobytes())


ROUNDING = {dtype: _rounding(dtype) for dtype in MANTISSA}
ROUNDING[np.dtype(np.int32)] = ROUNDING[np.dtype(np.float64)]  # in which constants and answers are rounded
DENORMALS = {dtype: _denormals(dtype) for dtype in MANTISSA}


def _together(probes):
    """Join several Probes into one, which takes as long as one of them."""
    first, second, expected = zip(*probes)
    return Probe(np.concatenate(first), np.concatenate(second), b"".join(expected))


PROBES = {dtype: _together([known[dtype] for known in (ROUNDING, DENORMALS) if dtype in known])
          for dtype in ROUNDING}


def check_processor(dtype) -> None:
    """Raise RunError where this thread's processor does not round to nearest, or flushes denormal numbers of a
    run in `dtype` to zero."""
    first, second, expected = PROBES[dtype]
    if (first + second).tobytes() == expected:
        return
    rounding = ROUNDING[dtype]
    if (rounding.first + rounding.second).tobytes() != rounding.expected:
        raise RunError("this thread's processor does not round to nearest (a library has set that), so results "
                       "would not be exact; restore its rounding mode: in C, fesetround(FE_TONEAREST)")
    raise RunError("this thread flushes denormal numbers to zero (a library has set that), so results would not "
                   "be exact; restore that (torch.set_flush_denormal(False)), run in a process without that "
                   "library, or in int8")
