"""Fingerprints: equal for equal values, and for no others."""

from dataclasses import dataclass

import numpy as np
import pytest

from eventsim.storage.fingerprints import fingerprint_of


@dataclass
class Pair:
    first: object
    second: object


DIFFERENT = [
    None, "", "None", 0, 1, 1.0, -0.0, 0.0, True, float("nan"), np.dtype("f4"), (), ((),), (1, 2), (12,), ("1", 2),
    (1, (2,)), ((1,), 2), ((1, 2),), ((1, 2), 3), ((1,), 2, 3), ("mapping", []), {}, {"a": 1}, {"b": 1}, {"a": 1, "b": 2}, {"b": 2, "a": 1}, Pair(1, 2), Pair(2, 1),
    np.zeros(2), np.zeros((2, 1)), np.zeros(2, "f4"), np.zeros(2, "i8"), np.array([0.0, -0.0]),
    np.zeros(0), np.zeros((0, 2)), np.zeros(()),
]


def test_different_values_have_different_fingerprints():
    fingerprints = [fingerprint_of(value) for value in DIFFERENT]
    assert len(set(fingerprints)) == len(DIFFERENT) and {len(fingerprint) for fingerprint in fingerprints} == {64}


@pytest.mark.parametrize("first, second", [
    ((1, 2), [1, 2]), (np.float64(0.5), 0.5),
    (np.arange(6).reshape(2, 3), np.asfortranarray([[0, 1, 2], [3, 4, 5]])),
    (np.arange(3, dtype="<i4"), np.arange(3, dtype=">i4")), (np.arange(6)[::2], np.array([0, 2, 4])),
    (Pair(1, np.ones(2)), Pair(1, np.ones(2))),
])
def test_equal_values_have_equal_fingerprints(first, second):
    assert fingerprint_of(first) == fingerprint_of(second)


def test_what_has_none_is_refused():
    with pytest.raises(TypeError, match="object has no fingerprint"):
        fingerprint_of({"a": [object()]})
