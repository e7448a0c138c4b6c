"""What tests of the command line share: the files of the digits, small data files, errors of one line."""

from pathlib import Path

import h5py

ROOT = Path(__file__).resolve().parents[2]
MODEL, DATA = str(ROOT / "data" / "digits.h5"), str(ROOT / "data" / "digits_test.h5")


def data_file(path, x, y=None):
    with h5py.File(path, "w") as file:
        file["x"] = x
        if y is not None:
            file["y"] = y
    return path


def digits(n=None):
    with h5py.File(DATA) as file:
        return file["x"][:n], file["y"][:n]


def assert_one_line(status, out, err, *parts):
    assert status == 1
    assert out == ""
    assert err.startswith("eventsim: ") and err.endswith("\n") and err.count("\n") == 1, err
    for part in parts:
        assert str(part) in err
