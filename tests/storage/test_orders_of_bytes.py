"""Bytes in whatever order a file or an array has them: the same numbers, and the same checksums."""

import h5py
import numpy as np
import pytest

from eventsim.errors import FormatError
from eventsim.storage.checksums import checksums_of, line_of
from eventsim.storage.hdf5 import open_hdf5

NUMBERS = np.arange(12).reshape(3, 4)


@pytest.mark.parametrize("native", ("<f4", "<f8", "<i2", "<u4"))
def test_a_checksum_does_not_depend_on_how_numbers_lie(native):
    values = NUMBERS.astype(native)
    line = line_of("a/b", values)
    assert line.split()[:3] == ["a/b", native[1:], "3,4"]
    for same in (values.astype(native.replace("<", ">")), np.asfortranarray(values), values[:, ::-1].copy()[:, ::-1]):
        assert line_of("a/b", same) == line
    assert line_of("a/b", values + 1) != line != line_of("a/b", values.T)


def test_texts_end_where_they_end():
    lines = {texts: line_of("a", np.array(texts, object)) for texts in (("ab", "c"), ("a", "bc"), ("abc", ""))}
    assert len(set(lines.values())) == 3 and line_of("a", np.array([b"ab", b"c"], object)) == lines["ab", "c"]
    parts = {texts: checksums_of({"a": line}, lambda path: "part")["part"] for texts, line in lines.items()}
    assert len(set(parts.values())) == 3


@pytest.mark.parametrize("stored", (">f4", ">f8", ">i4", ">u2"))
def test_numbers_of_a_file_are_native(tmp_path, stored):
    """As kernels need them. Arrays of different lengths, in which h5py takes the bytes as they lie, are refused
    where that would give other numbers without a word."""
    native = np.dtype(stored).newbyteorder("=")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = NUMBERS.astype(stored)
        for name, kind in (("odd", stored), ("fine", native)):
            file.create_dataset(name, (2,), h5py.vlen_dtype(np.dtype(kind)))[1] = NUMBERS[1, :2]
    with open_hdf5(tmp_path / "a.h5") as root:
        read = root.numbers("x"), root.dataset("x").rows(slice(1, 3)), root.ragged("fine").row(1)
        with pytest.raises(FormatError, match=f"a.h5: 'odd' holds arrays .*{stored}.*: store them as {native.str}"):
            root.ragged("odd")
    for values, expected in zip(read, (NUMBERS, NUMBERS[1:], NUMBERS[1, :2])):
        assert values.dtype.isnative and values.dtype == native
        np.testing.assert_array_equal(values, expected)
