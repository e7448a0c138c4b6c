"""Equality by value of dataclasses that hold arrays, whose `==` gives an array and no answer.

    @dataclass(frozen=True, eq=False)
    class Reached(FrozenByValue):
        by_step: np.ndarray

    Reached(np.ones(3)) == Reached(np.ones(3))  # True
"""

from collections.abc import Mapping
from dataclasses import fields

import numpy as np

PLAIN = (int, float, str, bytes, type(None))  # what a hash is of


class ByValue:
    """A base class of dataclasses made with eq=False: two are equal where they are of one class and all fields
    that compare are equal, arrays element by element, NaN to NaN. As what can change, they cannot be hashed."""

    def __eq__(self, other):
        if self is other:
            return True
        if type(self) is not type(other):
            return NotImplemented
        return all(is_equal(getattr(self, each.name), getattr(other, each.name))
                   for each in fields(self) if each.compare)

    __hash__ = None


class FrozenByValue(ByValue):
    """The same of frozen dataclasses, which can be hashed: by the fields that are numbers, text or tuples of
    such."""

    def __hash__(self):
        return hash((type(self), *(_plain(getattr(self, each.name)) for each in fields(self) if each.compare)))


def is_equal(first, second) -> bool:
    """Return whether two values are equal, of which arrays, mappings, lists and tuples may be parts."""
    if first is second:
        return True
    if isinstance(first, np.ndarray) or isinstance(second, np.ndarray):
        if not (isinstance(first, (np.ndarray, list)) and isinstance(second, (np.ndarray, list))):
            return False
        first, second = np.asarray(first), np.asarray(second)
        floats = first.dtype.kind in "fc" and second.dtype.kind in "fc"
        return np.array_equal(first, second, equal_nan=floats)
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        return first.keys() == second.keys() and all(is_equal(first[name], second[name]) for name in first)
    if isinstance(first, (list, tuple)) and type(first) is type(second):
        return len(first) == len(second) and all(map(is_equal, first, second))
    return bool(first == second or first != first and second != second)  # or both not a number


def _plain(value):
    """Return what a value adds to a hash, alike for all that are equal to it."""
    if isinstance(value, tuple):
        return tuple(map(_plain, value))
    value = value.item() if isinstance(value, np.generic) else value
    return value if isinstance(value, PLAIN) and value == value else None
