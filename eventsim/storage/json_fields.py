"""JSON objects as dataclasses: written from the fields, read back with every value's type checked.

The fields of a dataclass are the schema. Types: int, float (any number), str, object (anything), another
dataclass, Optional of one, Tuple[one, ...] for lists and Dict[str, one] for objects. A field without
default has to be in the object; null counts as absent. Keys that no field has are left out.
"""

import json
import math
from collections import Counter
from dataclasses import field, fields, is_dataclass, MISSING
from functools import lru_cache
from typing import Dict, get_args, get_origin, get_type_hints, Union

from eventsim.errors import DataError


LARGEST_WHOLE = 1 << 64  # beyond it a count is a mistake, and no float holds it exactly


def parse_json(text, once=False):
    """What a JSON text says. Raises ValueError and RecursionError where it says nothing, and for whole numbers beyond
    2^64, with which no arithmetic is safe. once: whether an object that has a key twice is refused, too."""
    return json.loads(text, parse_int=_whole, object_pairs_hook=_each_once if once else None)


def _each_once(pairs):
    """The object of these keys and values, none of which may be hidden by another of the same key."""
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(key for key, number in Counter(key for key, _ in pairs).items() if number > 1)
        raise ValueError(f"the key {twice!r} is there twice, expected once")
    return found


def _whole(digits):
    value = int(digits) if len(digits) < 30 else LARGEST_WHOLE
    if abs(value) >= LARGEST_WHOLE:
        raise ValueError(f"a whole number of {len(digits.lstrip('-'))} digits, expected less than 2^64")
    return value


def member(default=None, absent=False, formerly=None, **options):
    """A field of such a dataclass. absent: left out of the object where it is None. formerly: the name that
    older files have for it."""
    return field(default=default, metadata={"absent": absent, "formerly": formerly}, **options)


def outside(default=None, **options):
    """A field that is no part of the JSON object."""
    return field(default=default, metadata={"outside": True}, repr=False, compare=False, **options)


def to_json(record) -> Dict:
    """The JSON object of a dataclass, its keys in the order of the fields."""
    return {
        one.name: _plain(value) for one in fields(record) if not one.metadata.get("outside")
        for value in [getattr(record, one.name)]
        if value is not None or not one.metadata.get("absent")
    }


def json_text(value) -> str:
    """Plain values as JSON on one line. Numbers that are not finite are null, since JSON has none."""
    return json.dumps(_finite(value), allow_nan=False)


def _finite(value):
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _plain(value):
    if is_dataclass(value):
        return to_json(value)
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return value


def from_json(kind, value, path, place):
    """The dataclass `kind` from a JSON object of the file `path`; place: what messages call the object.
    Raises DataError of one line where a value is of another type, or one that is needed is missing."""
    if is_dataclass(kind):
        return _record(kind, value, path, place)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is tuple:
        _require(path, place, value, list, "a list")
        return tuple(_each(arguments[0], one, path, f"{place}.{i}") for i, one in enumerate(value))
    if origin is dict:
        _require(path, place, value, dict, "an object")
        return {key: _each(arguments[1], one, path, f"{place}.{key}") for key, one in value.items()}
    if kind is not object:
        _require(path, place, value, str if kind is str else (int, float), "text" if kind is str else "a number")
    return value


def _record(kind, value, path, place):
    _require(path, place, value, dict, "an object")
    found = {one: _given(one, value) for one, _ in _members(kind)}
    for one, member_value in found.items():
        if member_value is None and one.default is MISSING and one.default_factory is MISSING:
            raise DataError(f"{path}: damaged: {place[:80]!r} has no {one.name!r}")
    given = {one.name: from_json(its_kind, found[one], path, f"{place}.{one.name}")
             for one, its_kind in _members(kind) if found[one] is not None}
    return kind(**given)


def _given(one, value):
    """What an object has for a field, under its own name or the one of older files."""
    found, former = value.get(one.name), one.metadata.get("formerly")
    return value.get(former) if found is None and former else found


def _each(kind, value, path, place):
    """A member of a list or of an object of equal members: null is only a value where values are simple."""
    if value is None and not (is_dataclass(kind) or get_origin(kind)):
        return None
    return from_json(kind, value, path, place)


@lru_cache(maxsize=None)
def _members(kind):
    """(field, its type without Optional) of the fields that are part of the object."""
    hints = get_type_hints(kind)
    return tuple((one, _without_none(hints[one.name])) for one in fields(kind) if not one.metadata.get("outside"))


def _without_none(kind):
    if get_origin(kind) is not Union:
        return kind
    [kind] = [one for one in get_args(kind) if one is not type(None)]
    return kind


def _require(path, place, found, types, expected):
    if not isinstance(found, types):
        # repr: a name out of a file stays in one line
        raise DataError(f"{path}: damaged: {place[:80]!r} is {type(found).__name__}, expected {expected}")
