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


LOSSLESS = Table({"text": [None, "a"], "flag": [True, None], "large": [(1 << 62) + 1, None], "few": [1, None]})
EMPTY = Table({"text": [], "n": np.zeros(0, np.int64)})


def test_pandas_keeps_what_it_would_guess_away():
    pandas = pytest.importorskip("pandas")
    frame = LOSSLESS.to_pandas()
    rows = [tuple(None if pandas.isna(value) else value for value in row)
            for row in frame.itertuples(index=False)]
    assert rows == LOSSLESS.rows and rows[0][2] == (1 << 62) + 1
    assert [str(frame[name].dtype) for name in ("flag", "large", "few")] == ["boolean", "Int64", "Int64"]
    assert pandas.api.types.is_string_dtype(EMPTY.to_pandas()["text"].dtype)
    assert EMPTY.to_pandas()["n"].dtype == np.int64


def test_arrow_keeps_what_it_would_guess_away(monkeypatch):
    polars, pyarrow = pytest.importorskip("polars"), pytest.importorskip("pyarrow")
    table = pyarrow.table(LOSSLESS)
    assert [tuple(row.values()) for row in table.to_pylist()] == LOSSLESS.rows
    assert pyarrow.table(EMPTY).schema.field("text").type == pyarrow.string()
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert polars.DataFrame(LOSSLESS).rows() == LOSSLESS.rows
    assert polars.DataFrame(EMPTY).schema == {"text": polars.String, "n": polars.Int64}


@pytest.mark.parametrize("values, dtype", [
    ([], "U"), ([True, False], "b"), ([1, 2], "i"), ([(1 << 64) - 1, 0], "u"), ([1 << 70, 0], "f"), ([1, 0.5], "f"),
    ([None, None], "f"), (["a", None], "U"), ([None, True], "f"), ([True, 2], "i"),
])
def test_the_type_of_a_column(values, dtype):
    column = Table({"a": values}).as_arrays()["a"]
    assert column.dtype.kind == dtype and (dtype == "U" or None in values or column.tolist() == values)


def test_libraries_that_are_absent(monkeypatch):
    for name in ("pandas", "polars", "pyarrow"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingPackageError, match="to_pandas needs the package pandas.*run pip install pandas"):
        TABLE.to_pandas()
    with pytest.raises(MissingPackageError,
                       match="without polars. needs the package pyarrow, which is not installed; run pip install "
                             "pyarrow"):
        TABLE.__arrow_c_stream__()
