"""Arguments of public functions: checked by type where they enter, in one line that names them."""

import os
from collections.abc import Mapping
from operator import index
from pathlib import Path

from eventsim.errors import DataError, RunError


def shown(value) -> str:
    """A value in one short line."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else text[:57] + "..."


def path_of(value, name="path", error=DataError):
    """A path as it is given: text or os.PathLike of text. Raises `error` for others; a number would be taken for an
    open file."""
    try:
        if not isinstance(os.fspath(value), str):
            raise TypeError
    except TypeError:
        raise error(f"{name} is {shown(value)}, expected a path") from None
    return value


def suffix_of(value, name="path", error=DataError) -> str:
    """The suffix of a path, in small letters; errors as `path_of`."""
    return Path(path_of(value, name, error)).suffix.lower()


def instance_of(value, kinds, name, expected, error=DataError):
    """A value that has to be of some type (or types). expected: what messages call it."""
    if not isinstance(value, kinds):
        raise error(f"{name} is {shown(value)}, expected {expected}")
    return value


def with_attributes(value, attributes, name, expected):
    """A value that has to offer some attributes. expected: what messages call it."""
    if not all(hasattr(value, attribute) for attribute in attributes):
        raise DataError(f"{name} is {shown(value)}, expected {expected}")
    return value


def several(value, name, expected, error=DataError) -> tuple:
    """One text, or any number of values, as a tuple; of None nothing."""
    if isinstance(value, str):
        return (value,)
    try:
        return () if value is None else tuple(value)
    except TypeError:
        raise error(f"{name} is {shown(value)}, expected {expected}") from None


def names_of(value, name, expected) -> tuple:
    """One name, or any number of them, as a tuple; of None nothing."""
    found = several(value, name, expected)
    if not all(isinstance(one, str) for one in found):
        raise DataError(f"{name} is {shown(value)}, expected {expected}")
    return found


def known_names(names, known, noun, error=RunError) -> None:
    """Raise `error`, naming what there is, for the first of the names that is not known. noun: what they name."""
    for name in names:
        if name not in known:
            raise error(f"no {noun} {name!r}; there are: {', '.join(map(repr, known)) or 'none'}")


def mapping(value, name, expected, error=DataError) -> dict:
    """A dict of what names something; of None nothing."""
    try:
        return {} if value is None else dict(value)
    except (TypeError, ValueError):
        raise error(f"{name} is {shown(value)}, expected {expected}") from None


def members(value, kind, name) -> dict:
    """A dict of the mapping of names to what has to be of some class (`kind`)."""
    expected = f"a mapping of names to {kind.__name__}"
    if not isinstance(value, Mapping):
        raise DataError(f"{name} is {shown(value)}, expected {expected}")
    for key, one in value.items():
        if not isinstance(key, str) or not isinstance(one, kind):
            raise DataError(f"{name} has {shown(key)}: {shown(one)}, expected {expected}")
    return dict(value)


def indices_of(value, name) -> list:
    """One whole number, or any number of them, as a list of int; of None nothing."""
    try:
        found = list(map(_index, value if value is not None else ()))
    except TypeError:
        found = [_index(value)]
    if None in found:
        raise DataError(f"{name} is {shown(value)}, expected a whole number, or several")
    return found


def index_of(value, name, least=0) -> int:
    """A whole number, at least so large."""
    found = _index(value)
    if found is None or found < least:
        raise DataError(f"{name} is {shown(value)}, expected a whole number from {least} on")
    return found


def _index(value):
    """A whole number as int, or None for what is none."""
    try:
        return None if isinstance(value, bool) else index(value)
    except TypeError:
        return None


def open_run_of(value):
    """A run file that is open, as `eventsim.open_run` gives it."""
    return with_attributes(value, ("path", "recorded", "n_samples", "counts"), "run",
                           "a run as eventsim.open_run gives it")
