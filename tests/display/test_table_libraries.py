"""Tables in pandas, polars and pyarrow: the same values in every one, and what is said where they are absent."""

import sys

import numpy as np
import pytest

from eventsim import MissingPackageError
from eventsim.display.table import Table

TABLE = Table({
    "name": ["a", None, "<c>"], "n": np.array([1, -2, 1 << 40]), "x": np.array([0.5, np.nan, -np.inf]),
    "yes": np.array([True, False, True]), "level": np.array([1, 2, 255], np.uint8), "some": [1, None, 3],
}, {"x": "1/step"}, "three rows")
ROWS = [("a", 1, 0.5, True, 1, 1), (None, -2, None, False, 2, None), ("<c>", 1 << 40, -np.inf, True, 255, 3)]


def test_pandas():
    pandas = pytest.importorskip("pandas")
    frame = TABLE.to_pandas()
    assert list(frame.columns) == list(TABLE.columns)
    assert frame.attrs["units"]["x"] == "1/step" and frame.attrs["title"] == "three rows"
    found = [tuple(None if pandas.isna(value) else value for value in row)
             for row in frame.itertuples(index=False)]
    assert found == ROWS
    assert frame["n"].dtype == np.int64 and frame["level"].dtype == np.uint8 and frame["yes"].dtype == bool
    assert Table({"n": frame["n"].to_numpy()}).rows == [(1,), (-2,), (1 << 40,)]
    assert len(Table({}).to_pandas()) == 0


def test_polars():
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame(TABLE)
    assert frame.rows() == ROWS
    assert frame["n"].dtype == polars.Int64 and frame["level"].dtype == polars.UInt8
    back = Table({name: frame[name].to_list() for name in frame.columns})
    assert back.rows[0] == ROWS[0]


def test_polars_alone(monkeypatch):
    polars = pytest.importorskip("polars")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert polars.DataFrame(TABLE).rows() == ROWS


def test_pyarrow():
    pyarrow = pytest.importorskip("pyarrow")
    table = pyarrow.table(TABLE)
    assert [tuple(row.values()) for row in table.to_pylist()] == ROWS
    assert table.schema.field("x").metadata == {b"unit": b"1/step"}
    assert table.column("x").null_count == 1


def test_libraries_that_are_absent(monkeypatch):
    for name in ("pandas", "polars", "pyarrow"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingPackageError, match="to_pandas needs the package pandas.*run pip install pandas"):
        TABLE.to_pandas()
    with pytest.raises(MissingPackageError,
                       match="without polars. needs the package pyarrow, which is not installed; run pip install "
                             "pyarrow"):
        TABLE.__arrow_c_stream__()
