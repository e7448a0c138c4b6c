"""JSON objects as dataclasses: written from the fields, read back with every value's type checked.

The fields of a dataclass are the schema. The type of a field is int or float (any number), str, object (anything),
another dataclass, Optional[type], Tuple[type, ...] for a list or Dict[str, type] for an object. A field without
default has to be in the object; null counts as absent. Keys that no field has are ignored.
"""

import json
import math
from collections import Counter
from dataclasses import field, fields, is_dataclass, MISSING
from functools import lru_cache
from typing import Dict, get_args, get_origin, get_type_hints, Union

from eventsim.errors import DataError


INTEGER_LIMIT = 1 << 64  # a larger count is a mistake


def parse_json(text, once=False):
    """Return the value of a JSON text. Raises ValueError and RecursionError for text that is not JSON, and
    ValueError for whole numbers of 2^64 or more, with which int64 and float64 cannot calculate. once: whether to
    raise ValueError for an object with the same key twice, too."""
    return json.loads(text, parse_int=_bounded_integer, object_pairs_hook=_each_once if once else None)


def _each_once(pairs):
    """Return the dict of (key, value) pairs. Raises ValueError where a key is there twice."""
    value = dict(pairs)
    if len(value) < len(pairs):
        twice = next(key for key, number in Counter(key for key, _ in pairs).items() if number > 1)
        raise ValueError(f"the key {twice!r} is there twice, expected once")
    return value


def _bounded_integer(digits):
    value = int(digits) if len(digits) < 30 else INTEGER_LIMIT
    if abs(value) >= INTEGER_LIMIT:
        raise ValueError(f"a whole number of {len(digits.lstrip('-'))} digits, expected less than 2^64")
    return value


def member(default=None, absent=False, formerly=None, **options):
    """Declare a field. absent: whether it is left out of the object where it is None. formerly: its key in older
    files. options: of `dataclasses.field`."""
    return field(default=default, metadata={"absent": absent, "formerly": formerly}, **options)


def outside(default=None, **options):
    """Declare a field that is not part of the JSON object. options: of `dataclasses.field`."""
    return field(default=default, metadata={"outside": True}, repr=False, compare=False, **options)


def to_json(record) -> Dict:
    """Return the JSON object of a dataclass as a dict, with keys in the order of the fields."""
    return {
        entry.name: _plain(value) for entry in fields(record) if not entry.metadata.get("outside")
        for value in [getattr(record, entry.name)]
        if value is not None or not entry.metadata.get("absent")
    }


def json_text(value) -> str:
    """Return plain values as JSON on one line, with null for numbers that are not finite, which JSON does not
    have."""
    return json.dumps(_finite(value), allow_nan=False)


def _finite(value):
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _plain(value):
    if is_dataclass(value):
        return to_json(value)
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


def from_json(kind, value, path, place):
    """Return the value of type `kind`, usually a dataclass, from a JSON value in the file `path`. place: what
    messages call the value. Raises DataError where a value has another type or a required one is missing."""
    if is_dataclass(kind):
        return _record(kind, value, path, place)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is tuple:
        _require(path, place, value, list, "a list")
        return tuple(_each(arguments[0], item, path, f"{place}.{i}") for i, item in enumerate(value))
    if origin is dict:
        _require(path, place, value, dict, "an object")
        return {key: _each(arguments[1], item, path, f"{place}.{key}") for key, item in value.items()}
    if kind is not object:
        _require(path, place, value, str if kind is str else (int, float), "text" if kind is str else "a number")
    return value


def _record(kind, value, path, place):
    _require(path, place, value, dict, "an object")
    values = {entry: _given(entry, value) for entry, _ in _members(kind)}
    for entry, member_value in values.items():
        if member_value is None and entry.default is MISSING and entry.default_factory is MISSING:
            raise DataError(f"{path}: damaged: {place[:80]!r} has no {entry.name!r}")
    given = {entry.name: from_json(its_kind, values[entry], path, f"{place}.{entry.name}")
             for entry, its_kind in _members(kind) if values[entry] is not None}
    return kind(**given)


def _given(entry, value):
    """Return the value of a field in an object, under its name or its key in older files; None where it has
    none."""
    current, former = value.get(entry.name), entry.metadata.get("formerly")
    return value.get(former) if current is None and former else current


def _each(kind, value, path, place):
    """Return an item of a list, or of an object used as a dict. Only an item of a simple type may be null."""
    if value is None and not (is_dataclass(kind) or get_origin(kind)):
        return None
    return from_json(kind, value, path, place)


@lru_cache(maxsize=None)
def _members(kind):
    """Return (field, type without Optional) for the fields of a dataclass that are part of the object."""
    hints = get_type_hints(kind)
    entries = [entry for entry in fields(kind) if not entry.metadata.get("outside")]
    return tuple((entry, _without_none(hints[entry.name])) for entry in entries)


def _without_none(kind):
    if get_origin(kind) is not Union:
        return kind
    [kind] = [argument for argument in get_args(kind) if argument is not type(None)]
    return kind


def _require(path, place, value, types, expected):
    if not isinstance(value, types):
        # repr: a name out of a file stays in one line
        raise DataError(f"{path}: damaged: {place[:80]!r} is {type(value).__name__}, expected {expected}")
