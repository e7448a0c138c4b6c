"""Arguments of public functions: checked by type where they enter, in one line that names them."""

import os
from pathlib import Path

from eventsim.errors import DataError


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


def mapping(value, name, expected, error=DataError) -> dict:
    """A dict of what names something; of None nothing."""
    try:
        return {} if value is None else dict(value)
    except (TypeError, ValueError):
        raise error(f"{name} is {shown(value)}, expected {expected}") from None
