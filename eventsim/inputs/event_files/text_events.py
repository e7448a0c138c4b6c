"""Text: one event a line, columns parted by commas, semicolons, tabs or blanks (.csv, .txt).

A header may name the columns. Without one, their order is told from the numbers, where only one order makes sense
(p is 0 or 1, or -1 or 1, t does not fall), and noted.
"""

import re
import warnings
from itertools import islice

import numpy as np

from eventsim.errors import DataError
from eventsim.inputs.event_files.records import Microseconds, note
from eventsim.inputs.events import AT_ONCE, block_of, EventStream
from eventsim.storage.reading import reading

NAMES = {
    "t": ("t", "ts", "time", "timestamp", "timestamps", "t_us", "us"), "x": ("x", "xs", "col", "column"),
    "y": ("y", "ys", "row"), "p": ("p", "ps", "pol", "polarity", "polarities", "on"),
}
ORDERS = ("txyp", "xypt", "xytp", "typx")
LONGEST_LINE = 1 << 12
LOOKED_AT = 1 << 12  # lines, to tell the order of the columns
MARKS = str.maketrans(",;\t", "   ")


def named_columns(names):
    """{"t": place, ...} of columns that go by the usual names, or None where one is missing."""
    lowered = [str(name).strip().lower() for name in names]
    found = {key: next((lowered.index(name) for name in known if name in lowered), None)
             for key, known in NAMES.items()}
    return None if None in found.values() else found


def check_order(places, columns, path):
    """Raise DataError where the columns that a file names, as of `named_columns`, have another order than is said.
    columns: what is said, or None."""
    found = "".join(sorted(places, key=places.get))
    if columns not in (None, found):
        raise DataError(f"{path}: names its columns in the order {found}, but columns is {columns!r}: leave it "
                        "out (--columns)")


def holds_events(path, start) -> bool:
    """By suffix, and a first line that is a header of events or four numbers."""
    if path.suffix.lower() not in (".csv", ".txt", ".tsv"):
        return False
    text = start.decode("ascii", "replace")
    lines = [line for line in text.splitlines() if line.strip() and line[0] not in "#%"]
    parts = parts_of(lines[0]) if lines else []
    return named_columns(parts) is not None or len(parts) >= 4 and all(map(_is_number, parts))


def recording_in(path, options) -> EventStream:
    """The recording in a file."""
    with reading(path), open(path, encoding="utf-8", errors="replace") as file:
        first = list(islice(_lines(file), LOOKED_AT))
    notes = []
    places = named_columns(parts_of(first[0][1]))
    skipped = 0 if places is None else 1
    if places is not None:
        check_order(places, options.columns, path)
    elif options.columns is not None:
        places = {key: options.columns.index(key) for key in "txyp"}
    else:
        places = _told(path, first, notes)
    return EventStream(lambda: _blocks(path, skipped, places, options, notes), str(path), options.sensor_size,
                       notes=notes)


def _blocks(path, skipped, places, options, notes):
    in_microseconds = Microseconds(options.time_unit, notes)
    n_columns = max(4, *(place + 1 for place in places.values()))
    with reading(path), open(path, encoding="utf-8", errors="replace") as file:
        lines = islice(_lines(file), skipped, None)
        while part := list(islice(lines, AT_ONCE)):
            rows, wrong = event_rows(part, n_columns)
            if len(rows):
                columns = {key: rows[:, place] for key, place in places.items()}
                columns["t"] = in_microseconds(columns["t"])
                yield block_of(columns, str(path))
            if wrong is not None:
                number, text = wrong
                raise DataError(f"{path}: line {number} is {text[:60]!r}, expected {n_columns} numbers or more, "
                                "as many as in the line before")


def _lines(file):
    """(number, text) of the lines that hold something."""
    number = 0
    while line := file.readline(LONGEST_LINE):
        number += 1
        line = line.strip()
        if line and line[0] not in "#%":
            yield number, line


def event_rows(lines, n_columns=4):
    """(float64 or int64 (events, columns), the first line that is none, or None).

    lines: (number, text) of each. n_columns: the fewest that a line may have.
    """
    texts = "\n".join([text for _, text in lines]).translate(MARKS).split("\n")
    for dtype in (np.int64, np.float64):
        try:
            with warnings.catch_warnings():  # NumPy 1 cuts off the fractions of what should be integers, and warns
                warnings.simplefilter("error", DeprecationWarning)
                rows = np.loadtxt(texts, dtype, ndmin=2)
        except (ValueError, OverflowError, DeprecationWarning):
            continue
        if rows.shape[1] >= n_columns:
            return rows, None
    if len(lines) == 1:
        return np.empty((0, n_columns)), lines[0]
    # halved until the line is found that is wrong
    half = len(lines) // 2
    rows, wrong = event_rows(lines[:half], n_columns)
    if wrong is not None:
        return rows, wrong
    more, wrong = event_rows(lines[half:], n_columns)
    if len(more) and more.shape[1] != rows.shape[1]:
        return rows, lines[half]
    return np.concatenate((rows, more)) if len(more) else rows, wrong


def _told(path, lines, notes):
    rows, _ = event_rows(lines)
    fitting = [order for order in ORDERS if len(rows) and _fits(rows, order)]
    if len(fitting) != 1:
        raise DataError(f"{path}: does not name its columns, and their order cannot be told from the numbers; "
                        "give columns, such as 'txyp' (--columns txyp)")
    note(notes, f"does not name its columns; taken as {', '.join(fitting[0])}")
    return {key: fitting[0].index(key) for key in "txyp"}


def _fits(rows, order):
    t, p, x, y = (rows[:, order.index(key)] for key in "tpxy")
    whole = all((c == np.floor(c)).all() and c.min() >= 0 and c.max() < 1 << 16 for c in (x, y))
    return whole and bool(np.isin(p, (-1, 0, 1)).all()) and bool((np.diff(t) >= 0).all())


def parts_of(line):
    """The columns of a line, as text."""
    return [part for part in re.split(r"[,;\s]+", line.strip()) if part]


def _is_number(text):
    return re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", text) is not None
