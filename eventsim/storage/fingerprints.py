"""Fingerprints: a short text for plain values, equal if and only if the values are equal to the bit."""

import hashlib
import sys
from collections.abc import Mapping
from dataclasses import fields, is_dataclass

import numpy as np


def fingerprint_of(value) -> str:
    """Return the SHA-256 of a value in hexadecimal. A value is a number, text, None, dtype or array, or a tuple,
    list, mapping (in its order) or dataclass of values. Raises TypeError for anything else, since two others that
    differ could have the same text."""
    digest = hashlib.sha256()
    _add(digest, value)
    return digest.hexdigest()


def _add(digest, value):
    if isinstance(value, np.ndarray):
        content = np.ascontiguousarray(value)
        if sys.byteorder == "big" or value.dtype.byteorder == ">":
            content = content.astype(value.dtype.newbyteorder("<"), copy=False)
        digest.update(b"array")
        _add(digest, (value.shape, content.dtype.str))
        digest.update(content)
    elif is_dataclass(value):
        digest.update(b"dataclass")
        _add(digest, (type(value).__name__, {each.name: getattr(value, each.name) for each in fields(value)}))
    elif isinstance(value, Mapping):
        digest.update(b"mapping")
        _add(digest, list(value.items()))
    elif isinstance(value, (tuple, list)):
        digest.update(b"(%d:" % len(value))  # how many: so that nothing runs into what follows
        for member in value:
            _add(digest, member)
    elif isinstance(value, np.generic):
        _add(digest, value.item())
    elif value is None or isinstance(value, (bool, int, float, str, np.dtype)):
        text = f"{type(value).__name__} {value!r}".encode()
        digest.update(b"%d:%s" % (len(text), text))
    else:
        raise TypeError(f"{type(value).__name__} has no fingerprint")
