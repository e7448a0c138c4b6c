"""Checks of the arguments of public functions: what has the wrong type is refused in one line that names it."""

import os
from collections.abc import Mapping
from math import isfinite, prod
from numbers import Real
from operator import index
from pathlib import Path

from eventsim.errors import DataError, RunError


def shown(value) -> str:
    """Return repr(value) on one line of at most 60 characters, cut off with "..."."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else text[:57] + "..."


def first_wrong(values, wrong, n_before=0) -> str:
    """Return ": VALUE at [INDEX]" for the end of a message: the first value of an array at which `wrong`, bool of
    its shape, is true; of a single value ": VALUE". n_before: values along the first axis that came before these,
    in other arrays."""
    place, at = int(wrong.argmax()), []
    value = shown(values.reshape(-1)[place].item())
    for length in reversed(values.shape):
        place, i = divmod(place, length)
        at.insert(0, str(i + n_before * (len(at) == values.ndim - 1)))
    return f": {value}" if values.size == 1 and not n_before else f": {value} at [{', '.join(at)}]"


def path_of(value, name="path", error=DataError):
    """Return a path unchanged if it is a str or an os.PathLike of str. Raises `error` for anything else: `open`
    would take a number for an open file."""
    try:
        if not isinstance(os.fspath(value), str):
            raise TypeError
    except TypeError:
        raise error(f"{name} is {shown(value)}, expected a path") from None
    return value


def suffix_of(value, name="path", error=DataError) -> str:
    """Return the suffix of a path in lower case, "" for none. Raises `error` for what is no path, as `path_of`
    does."""
    return Path(path_of(value, name, error)).suffix.lower()


def instance_of(value, kinds, name, expected, error=DataError):
    """Return a value of a type, or of one of a tuple of types. Raises `error` for others. expected: what the
    message calls the type."""
    if not isinstance(value, kinds):
        raise error(f"{name} is {shown(value)}, expected {expected}")
    return value


def with_attributes(value, attributes, name, expected):
    """Return a value that has all these attributes. Raises DataError for others. expected: what the message calls
    such a value."""
    if not all(hasattr(value, attribute) for attribute in attributes):
        raise DataError(f"{name} is {shown(value)}, expected {expected}")
    return value


def several(value, name, expected, error=DataError) -> tuple:
    """Return the values of an iterable as a tuple: (value,) for a str or bytes, () for None. Raises `error`
    for what is not iterable."""
    if isinstance(value, (str, bytes)):
        return (value,)
    try:
        return () if value is None else tuple(value)
    except TypeError:
        raise error(f"{name} is {shown(value)}, expected {expected}") from None


def names_of(value, name, expected) -> tuple:
    """Return one name, or the names of an iterable, as a tuple of str: () for None. Raises DataError for
    others."""
    names = several(value, name, expected)
    if not all(isinstance(one, str) for one in names):
        raise DataError(f"{name} is {shown(value)}, expected {expected}")
    return names


def known_names(names, known, noun, error=RunError) -> None:
    """Raise `error` for the first name that is not in `known`, and list those that are. noun: what the names
    name."""
    for name in names:
        if name not in known:
            raise error(f"no {noun} {shown(name)}; there are: {', '.join(map(repr, known)) or 'none'}")


def mapping(value, name, expected, error=DataError) -> dict:
    """Return a mapping, or the pairs of an iterable, as a dict: {} for None. Raises `error` for others."""
    try:
        return {} if value is None else dict(value)
    except (TypeError, ValueError):
        raise error(f"{name} is {shown(value)}, expected {expected}") from None


def members(value, kind, name) -> dict:
    """Return a mapping of str to instances of the class `kind` as a dict. Raises DataError for others."""
    expected = f"a mapping of names to {kind.__name__}"
    if not isinstance(value, Mapping):
        raise DataError(f"{name} is {shown(value)}, expected {expected}")
    for key, member in value.items():
        if not isinstance(key, str) or not isinstance(member, kind):
            raise DataError(f"{name} has {shown(key)}: {shown(member)}, expected {expected}")
    return dict(value)


def integer(value, name, low, high=None, error=DataError) -> int:
    """Return a whole number of any type as an int. It may be from `low` to `high`, both included; a `high` of None
    sets no limit. Raises `error` for others, and for True and False."""
    number = _number(value)
    if number is None or number != number // 1 or number < low or high is not None and number > high:
        end = "on" if high is None else f"to {high}"
        raise error(f"{name} is {shown(value)}, expected a whole number from {low} {end}")
    return int(number)


def finite_number(value, name, error=DataError) -> float:
    """Return a finite number of any type as a float. Raises `error` for others, and for True and False."""
    number = _number(value)
    try:
        if number is not None and isfinite(number):
            return float(number)
    except OverflowError:
        pass
    raise error(f"{name} is {shown(value)}, expected a finite number")


def _number(value):
    """Return a number, or the only number in an array, tensor or list; None for anything else and for a bool."""
    if callable(getattr(value, "tolist", None)) and prod(getattr(value, "shape", (2,))) == 1:
        value = value.tolist()
    while isinstance(value, (list, tuple)) and len(value) == 1:
        value = value[0]
    return value if isinstance(value, Real) and not isinstance(value, bool) else None


def indices_of(value, name) -> list:
    """Return one whole number, or those of an iterable, as a list of int: [] for None. Raises DataError for
    others."""
    try:
        indices = list(map(_index, value if value is not None else ()))
    except TypeError:
        indices = [_index(value)]
    if None in indices:
        raise DataError(f"{name} is {shown(value)}, expected a whole number, or several")
    return indices


def index_of(value, name, least=0) -> int:
    """Return a whole number of an integer type, at least `least`, as an int. Raises DataError for others."""
    number = _index(value)
    if number is None or number < least:
        raise DataError(f"{name} is {shown(value)}, expected a whole number from {least} on")
    return number


def _index(value):
    """Return a number of an integer type as an int, None for anything else and for a bool."""
    try:
        return None if isinstance(value, bool) else index(value)
    except TypeError:
        return None


def open_run_of(value):
    """Return an open run file, as `eventsim.open_run` gives it. Raises DataError for anything else."""
    return with_attributes(value, ("path", "recorded", "n_samples", "counts"), "run",
                           "a run as eventsim.open_run gives it")


def width_of(value):
    """Return the greatest number of characters of a line, or None for lines of any length. Raises DataError for
    others."""
    return None if value is None else integer(value, "width", 1)
