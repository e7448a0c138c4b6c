"""Table: columns with units, for people, CSV, JSON, NumPy, pandas, polars and all that take Arrow.

    table = recording["neuron2"].events()
    table.to_pandas(), polars.DataFrame(table), pyarrow.table(table), table.as_csv()

Arrow (https://arrow.apache.org/docs/format/CDataInterface/PyCapsuleInterface.html) hands memory over together
with the C function that will free it, from whatever thread and even while an error is being raised, where no
Python may run. So a library that has such functions makes the stream, pyarrow or polars, whichever is installed.
"""

import csv
import io
import math
import re
from dataclasses import dataclass, field
from typing import Dict, Iterable, List, Optional, Tuple

import numpy as np

from eventsim.arguments import index_of, mapping, names_of, shown
from eventsim.display.card import Card, MOST_ROWS, Shown
from eventsim.equality import ByValue
from eventsim.errors import DataError, missing
from eventsim.text import (
    aligned_table, all_digits, did_you_mean, joule, many, NONE, percent, printable, quantity, visible,
)

FORMULAS = tuple("=+-@\uff1d\uff0b\uff0d\uff20")  # how formulas begin, in ASCII and in full width
NUMBER = re.compile(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?", re.ASCII)


@dataclass(repr=False, eq=False)
class Table(ByValue, Shown):
    """columns: name -> values, all of one length: an array, or a list of strings or None. units: name
    -> unit, "" for none. title: one line. Numbers that are undefined are nan. Raises DataError for others."""

    columns: Dict[str, object]
    units: Dict[str, str] = field(default_factory=dict)
    title: str = ""

    def __post_init__(self):
        expected = "a mapping of names to columns of one length"
        for name, values in mapping(self.columns, "columns", expected).items():
            if not isinstance(name, str) or not hasattr(values, "__len__") or isinstance(values, str):
                raise DataError(f"columns has {shown(name)}: {shown(values)}, expected {expected}")
            if len(values) != len(self):
                raise DataError(f"columns has {name!r} of {many(len(values), 'value')}, expected {len(self)} as "
                                f"in {next(iter(self.columns))!r}")
        mapping(self.units, "units", "a mapping of names of columns to units")

    def __len__(self):
        return len(next(iter(self.columns.values()), ()))

    def of(self, names: Iterable[str]) -> "Table":
        """Return a table of these columns, without those that have no value at all. Raises DataError for other
        names."""
        names = names_of(names, "names", "names of columns")
        for name in names:
            if name not in self.columns:
                raise DataError(f"no column {name!r}; there are: {', '.join(self.columns)}"
                                + did_you_mean(name, self.columns))
        kept = {name: self.columns[name] for name in names}
        kept = {name: values for name, values in kept.items() if any(v is not None for v in _plain(values))}
        return Table(kept, self.units, self.title)

    @property
    def rows(self) -> List[Tuple]:
        """Return Python values, row by row; None where a number is undefined."""
        return list(zip(*(_plain(values) for values in self.columns.values())))

    def as_csv(self) -> str:
        """Return CSV by RFC 4180: a line of names, CRLF, an empty cell where a number is undefined. Text that a
        spreadsheet would take for a formula has an apostrophe in front."""
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(self.columns)
        writer.writerows([_cell(value) if isinstance(value, str) else value for value in row] for row in self.rows)
        return text.getvalue()

    def as_json(self) -> Dict:
        """Return {"title", "columns", "units", "rows"}: rows as lists, None where a number is undefined."""
        return {"title": self.title, "columns": list(self.columns),
                "units": {name: self.units.get(name, "") for name in self.columns},
                "rows": [list(row) for row in self.rows]}

    def as_arrays(self) -> np.ndarray:
        """Return one structured array: int64, float64, bool or text per column, nan where undefined."""
        arrays = {name: _array(values) for name, values in self.columns.items()}
        structured = np.empty(len(self), [(name, values.dtype) for name, values in arrays.items()])
        for name, values in arrays.items():
            structured[name] = values
        return structured

    def as_text(self, limit: Optional[int] = None, width: Optional[int] = None, drop: Iterable[str] = ()) -> str:
        """Return aligned text for people, at most `limit` rows in lines of `width` cells of a terminal; "-" where
        a number is undefined. drop: columns that are left out first where they do not fit; see
        `text.aligned_table`."""
        for name, value, least in (("limit", limit, 0), ("width", width, 1)):
            if value is not None:
                index_of(value, name, least)
        rows, drop = self._written(limit), names_of(drop, "drop", "names of columns")
        names = tuple(name.replace("_", " ") for name in self.columns)
        text = aligned_table(names, rows, width, [name.replace("_", " ") for name in drop])
        left = len(self) - len(rows)
        return text + (f"... and {many(left, 'more row')}: see --csv or --json\n" if left else "")

    def _written(self, limit):
        """Return rows as people read them."""
        write = [_writer(name, self.units.get(name)) for name in self.columns]
        rows = zip(*(_plain(values[:limit]) for values in self.columns.values()))
        return [tuple(one(value) for one, value in zip(write, row)) for row in rows]

    def card(self) -> Card:
        """Its first rows and columns."""
        names = list(self.columns)
        return Card(self.title or "table", [("rows", all_digits(len(self))), ("columns", len(names))],
                    [name.replace("_", " ") for name in names], self._written(MOST_ROWS), len(self))

    def to_pandas(self):
        """Return a `pandas.DataFrame`: NaN where something is undefined, None in text, and NA in columns of bool
        and of whole numbers, which are of pandas' types "boolean" and "Int64" there; units and title in its
        `attrs`. Raises MissingPackageError without pandas."""
        try:
            import pandas
        except ImportError:
            raise missing("to_pandas", "pandas") from None
        frame = pandas.DataFrame({name: _of_pandas(pandas, _series(values))
                                  for name, values in self.columns.items()})
        frame.attrs.update(title=self.title, units={name: self.units.get(name, "") for name in self.columns})
        return frame

    def __arrow_c_stream__(self, requested_schema=None):
        """Return a stream of one batch by the Arrow PyCapsule interface, null where something is undefined; by
        pyarrow units are in the metadata of fields. Raises MissingPackageError without pyarrow and polars."""
        columns = {name: _series(values) for name, values in self.columns.items()}
        made = _by_pyarrow(columns, self.units) or _by_polars(columns)
        if made is None:
            raise missing("Arrow (without polars)", "pyarrow")
        return made(requested_schema)


def _of_pandas(pandas, values):
    """Return a column (see `_series`) as pandas keeps it without loss, whose guesses take what is undefined for a
    float, and no text for integers."""
    if isinstance(values, np.ndarray):
        return values
    kind = _kind(values)
    if kind is str:
        return values if len(values) else pandas.Series(values, dtype=str)
    return pandas.array(values, dtype="boolean" if kind is bool else "Int64")


def _by_pyarrow(columns, units):
    """Return the function that gives the stream, or None without pyarrow."""
    try:
        import pyarrow
    except ImportError:
        return None
    arrays = [pyarrow.array(values, from_pandas=True, type=None if len(values) or isinstance(values, np.ndarray)
                            else pyarrow.string()) for values in columns.values()]
    fields = [pyarrow.field(name, array.type, metadata={"unit": units[name]} if units.get(name) else None)
              for name, array in zip(columns, arrays)]
    return pyarrow.Table.from_arrays(arrays, schema=pyarrow.schema(fields)).__arrow_c_stream__


def _by_polars(columns):
    """Return the function that gives the stream, or None without polars."""
    try:
        import polars
    except ImportError:
        return None
    series = [polars.Series(name, values, nan_to_null=isinstance(values, np.ndarray),
                            dtype=None if len(values) or isinstance(values, np.ndarray) else polars.String)
              for name, values in columns.items()]
    return polars.DataFrame(series).__arrow_c_stream__


def _series(values):
    """Return a column as other libraries take it: an array, or a list of text, bool or whole numbers with None
    where something is undefined."""
    if isinstance(values, np.ndarray) and values.dtype.kind != "U":
        return values
    kind = None if isinstance(values, np.ndarray) else _kind(values)
    if kind in (bool, int) and _lacks_some(values) and _integers(values) is np.int64:
        return [None if v is None else kind(v) for v in values]
    array = _array(values)
    return array if array.dtype.kind in "biuf" else [None if v is None else str(v) for v in values]


def _plain(values):
    """Return Python values; numbers that are not finite become None, since JSON has no word for them."""
    values = values.tolist() if isinstance(values, np.ndarray) else values
    return [None if isinstance(v, float) and not math.isfinite(v) else v for v in values]


def _array(values):
    """Return a column of a structured array."""
    if isinstance(values, np.ndarray):
        return values
    kind = _kind(values)
    if kind is bool and not _lacks_some(values):
        return np.array(values, bool)
    if kind is str:
        return np.array(["" if v is None else str(v) for v in values], str)
    dtype = np.float64 if kind is float or _lacks_some(values) else _integers(values)
    return np.array([math.nan if v is None else v for v in values], dtype)


def _kind(values):
    """Return what a list of Python values holds beside None: bool, int, float or str; str of an empty one, since
    columns of numbers are arrays, and float where all are None."""
    there = [v for v in values if v is not None]
    if not there:
        return float if len(values) else str
    for kind, classes in ((bool, (bool, np.bool_)), (int, (int, np.integer)), (float, (int, float, np.number))):
        if all(isinstance(v, classes) for v in there):
            return kind
    return str


def _lacks_some(values):
    return any(v is None for v in values)


def _integers(values):
    """Return the type that holds the whole numbers that are there: int64, uint64 where it has to be, float64
    beyond."""
    there = [int(v) for v in values if v is not None]
    low, high = min(there), max(there)
    if low >= -(1 << 63) and high < 1 << 63:
        return np.int64
    return np.uint64 if 0 <= low and high < 1 << 64 else np.float64


def _cell(text):
    """Return text for a spreadsheet: names come out of files that anybody may have made, and are no formulas."""
    formula = text.lstrip().startswith(FORMULAS) and not NUMBER.fullmatch(text)
    return ("'" if formula else "") + visible(text)


def _writer(name, unit):
    """Return the function that writes a column's values for people."""
    if unit == "J/sample":
        return joule
    return percent if name.endswith("share") else _shown


def _shown(value):
    if value is None:
        return NONE
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1e4 else quantity(value)
    return printable(value)


