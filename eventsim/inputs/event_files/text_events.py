"""Text: one event a line, columns parted by commas, semicolons, tabs or blanks (.csv, .txt).

A header may name the columns. Without one, their order is told from the numbers, where only one order makes sense
(p is 0 or 1, or -1 or 1, t does not fall), and noted. A first line of two whole numbers is the sensor's width and
height. A comment, behind # or in a line that begins with %, may be as long as it likes; any other line is of at
most `LONGEST_LINE` characters.
"""

import re
import warnings
from itertools import islice
from typing import Dict, NamedTuple, Optional

import numpy as np

from eventsim.errors import DataError
from eventsim.inputs.event_files.columns import check_order, named_columns, rivals_of, unit_of_times
from eventsim.inputs.event_files.options import KEYS
from eventsim.inputs.event_files.records import Microseconds, note
from eventsim.inputs.events import AT_ONCE, BlockMaker, EventStream, MOST_PIXELS
from eventsim.storage.reading import reading

SUFFIXES = (".csv", ".txt", ".tsv")
ORDERS = ("txyp", "xypt", "xytp", "typx")
LONGEST_LINE = 1 << 12  # characters, but for comments
LOOKED_AT = 1 << 12  # lines, to tell the order of the columns
MARKS = {";": "semicolons", ",": "commas", "\t": "tabs"}  # what parts fields, in this order; else blanks


class TextLayout(NamedTuple):
    """How lines hold events. places: key -> its field. mark: what parts the fields, None: blanks. n_fields: of every
    line. unit: seconds of one unit of t, None where neither the header nor the user says it."""

    places: Dict[str, int]
    mark: Optional[str]
    n_fields: int
    unit: Optional[float] = None


def header_layout(line, options, path) -> Optional[TextLayout]:
    """What a line that names the columns says, None of any other. Raises DataError where two of its names say the
    same, or the options say otherwise."""
    mark = _mark_of(line)
    names = line.split(mark)
    places = named_columns(names)
    if places is None:
        return None
    for taken, other in rivals_of(names, places):
        raise DataError(f"{path}: its header has {taken!r} and {other!r}, which may both be of the same, expected "
                        "one column each of t, x, y and p: rename the one that is not to be read")
    check_order(places, options.columns, path)
    return TextLayout(places, mark, len(names), unit_of_times(names[places["t"]], options.time_unit, path))


def layout_of(order, line, options) -> TextLayout:
    """Of lines without a header, as the first is. order: of the four columns, such as "txyp"."""
    return TextLayout({key: order.index(key) for key in KEYS}, _mark_of(line), len(KEYS), options.time_unit)


def of_rows(header: TextLayout, line) -> TextLayout:
    """The layout that a header says for the lines below it, of which this is the first: they may be parted by
    something else than the names."""
    return header if header.mark and header.mark in line else header._replace(mark=_mark_of(line))


def holds_events(path, start) -> bool:
    """By suffix, and a first line that is a header of events or four numbers."""
    if path.suffix.lower() not in SUFFIXES:
        return False
    lines = _first_lines(path, start)
    if len(lines) > 1 and _size_in(lines[0]):
        del lines[0]
    return bool(lines) and (named_columns(lines[0].split(_mark_of(lines[0]))) is not None or _has_numbers(lines[0]))


def holds_prose(path, start) -> bool:
    """Whether a text file has lines, but none that may be of events, such as notes or a list of names."""
    lines = _first_lines(path, start)
    return bool(lines) and b"\0" not in start and not holds_events(path, start) and not any(map(_has_numbers, lines))


def _first_lines(path, start):
    """What the lines of the start hold, or the two first lines where it is a comment and no more."""
    found = map(without_comment, re.split(r"\r\n|[\r\n]", start.decode("utf-8-sig", "replace")))
    lines = [line for line in found if line]
    if lines or len(start) < LONGEST_LINE:
        return lines
    with reading(path), open(path, encoding="utf-8-sig", errors="replace") as file:
        return [line for _, line in islice(_lines(file), 2)]


def _has_numbers(line):
    """Whether it has the numbers of an event, however they are parted."""
    parts = [part for part in re.split(r"[,;\s]+", line) if part]
    return sum(map(_is_number, parts)) >= len(KEYS)


def recording_in(path, options) -> EventStream:
    """The recording in a file."""
    with reading(path), open(path, encoding="utf-8-sig", errors="replace") as file:
        first = list(islice(_lines(file), LOOKED_AT))
    notes, skipped, size = [], 0, _size_in(first[0][1])
    if size is not None:
        note(notes, f"its first line, {first[0][1]!r}, is taken as width and height of the sensor")
        skipped = 1
    lines = first[skipped:]
    check_length(lines[0], path)
    header = header_layout(lines[0][1], options, path)
    if header is not None:
        skipped += 1
        layout = of_rows(header, lines[1][1]) if lines[1:] else header
    else:
        check_first(lines[0][1], path)
        layout = layout_of(options.columns or _told(path, lines, notes), lines[0][1], options)
    return EventStream(lambda: _blocks(path, skipped, layout, notes), str(path), options.sensor_size or size,
                       notes=notes)


def _blocks(path, skipped, layout, notes):
    in_microseconds, made = Microseconds(layout.unit, notes), BlockMaker(str(path))
    with reading(path), open(path, encoding="utf-8-sig", errors="replace") as file:
        lines = islice(_lines(file), skipped, None)
        while part := list(islice(lines, AT_ONCE)):
            columns, wrong = event_columns(part, layout)
            if len(columns["t"]):
                yield from in_microseconds.blocks(columns, made, path)
            if wrong is not None:
                raise wrong_line(path, wrong, layout)


def _lines(file):
    """(number, text) of the lines that hold something."""
    number = 0
    while line := file.readline(LONGEST_LINE + 1):
        number += 1
        long = len(line) > LONGEST_LINE
        text = text_of(line) if long else without_comment(line)
        if text:
            yield number, text
        while long and line and line[-1] != "\n":  # the rest of it
            line = file.readline(LONGEST_LINE + 1)


def text_of(line):
    """What a line holds, without its comment: "" where that is nothing. Of a line, or the start of one, that is
    too long without one, more than LONGEST_LINE characters, for `is_too_long`."""
    if len(line) <= LONGEST_LINE:
        return without_comment(line)
    start = line.rstrip("\r\n")[: LONGEST_LINE + 1]
    comment = "#" in start or start.lstrip(" ").startswith("%")
    return start if is_too_long(start) and not comment else without_comment(start)


def is_too_long(text) -> bool:
    """Whether a text is no line of events, by its length."""
    return len(text) > LONGEST_LINE


def check_length(line, path):
    """Raise DataError where a line, (number, text), is too long."""
    number, text = line
    if is_too_long(text):
        raise DataError(f"{path}: line {number} has more than {LONGEST_LINE} characters: it is no text of events")


def without_comment(line):
    """A line without what stands behind #; "" where nothing is left. A tab at its end may part an empty field."""
    line = (line.partition("#")[0] if "#" in line else line).strip(" \r\n")
    return "" if line[:1] == "%" or line.isspace() else line


def event_columns(lines, layout: TextLayout):
    """({"t": float64 or int64 of the lines up to the first that is wrong, ...}, that line or None).

    lines: (number, text) of each.
    """
    numbers = _numbers_of_fields([text for _, text in lines], layout.mark)
    right = numbers.count(layout.n_fields) == len(lines)
    n = len(lines) if right else next(i for i, number in enumerate(numbers) if number != layout.n_fields)
    columns, wrong = _numbers_of(lines[:n], layout)
    return columns, lines[n] if wrong is None and n < len(lines) else wrong


def _numbers_of_fields(texts, mark):
    """How many fields each text has, 0 where it is too long."""
    numbers = [text.count(mark) + 1 for text in texts] if mark else [len(text.split()) for text in texts]
    if max(map(len, texts), default=0) <= LONGEST_LINE:
        return numbers
    return [0 if is_too_long(text) else n for text, n in zip(texts, numbers)]


def _numbers_of(lines, layout):
    """As `event_columns`, of lines that have all fields."""
    if not lines:
        return {key: np.empty(0) for key in KEYS}, None
    try:
        return _parsed([text for _, text in lines], layout), None
    except (ValueError, OverflowError):
        if len(lines) == 1:
            return {key: np.empty(0) for key in KEYS}, lines[0]
    # halved until the line is found that is wrong
    half = len(lines) // 2
    columns, wrong = _numbers_of(lines[:half], layout)
    if wrong is not None:
        return columns, wrong
    more, wrong = _numbers_of(lines[half:], layout)
    return {key: np.concatenate((columns[key], more[key])) if len(more[key]) else columns[key] for key in KEYS}, wrong


def _parsed(texts, layout):
    """Columns by key; t as integers wherever its own text is, as floats hold no large ones. Raises ValueError."""
    def table(dtype, *wanted):
        with warnings.catch_warnings():  # NumPy 1 cuts off the fractions of what should be integers, and warns
            warnings.simplefilter("error", DeprecationWarning)
            return np.loadtxt(texts, dtype, comments=None, delimiter=layout.mark, ndmin=2,
                              usecols=[layout.places[key] for key in wanted])

    try:
        return dict(zip(KEYS, table(np.int64, *KEYS).T))
    except (ValueError, OverflowError, DeprecationWarning):
        columns = dict(zip(KEYS, table(np.float64, *KEYS).T))
    try:
        columns["t"] = table(np.int64, "t")[:, 0]
    except (ValueError, OverflowError, DeprecationWarning):
        pass
    return columns


def wrong_line(path, line, layout: TextLayout) -> DataError:
    """What is said of a line, (number, text), that is not as the layout says."""
    check_length(line, path)
    number, text = line
    return DataError(f"{path}: line {number} is {text[:60]!r}, expected {layout.n_fields} fields parted by "
                     f"{MARKS.get(layout.mark, 'blanks')}, and numbers with a decimal point for t, x, y and p")


def check_first(line, path):
    """Raise DataError where a first line, which is no header, has more than four fields, or says a size."""
    [n] = _numbers_of_fields([line], _mark_of(line))
    if _size_in(line):
        raise DataError(f"{path}: its first line is {line!r}, expected an event: leave it out, and say the sensor's "
                        "size otherwise (sensor_size, --sensor-size HxW)")
    if n > len(KEYS):
        raise DataError(f"{path}: has {n} columns and no header: name them in its first line, such as t,x,y,p, or "
                        "leave out what is no t, x, y or p")


def _told(path, lines, notes):
    columns, _ = event_columns(lines, TextLayout(dict(zip(KEYS, range(4))), _mark_of(lines[0][1]), len(KEYS)))
    rows = [columns[key] for key in KEYS]
    fitting = [order for order in ORDERS if len(rows[0]) and _fits(rows, order)]
    if len(fitting) != 1:
        raise DataError(f"{path}: does not name its columns, and their order cannot be told from the numbers; "
                        "give columns, such as 'txyp' (--columns txyp)")
    note(notes, f"does not name its columns; taken as {', '.join(fitting[0])}")
    return fitting[0]


def _fits(rows, order):
    t, p, x, y = (rows[order.index(key)] for key in "tpxy")
    whole = all((c == np.floor(c)).all() and c.min() >= 0 and c.max() < 1 << 16 for c in (x, y))
    return whole and bool(np.isin(p, (-1, 0, 1)).all()) and bool((np.diff(t) >= 0).all())


def _mark_of(line):
    """What parts the fields of a line, None: blanks."""
    return next((mark for mark in MARKS if mark in line), None)


def _size_in(line):
    """(height, width), of a line of two whole numbers, else None."""
    found = re.fullmatch(r"(\d{1,5})[,;\s]+(\d{1,5})", line)
    sizes = [int(size) for size in found.groups()] if found else [0]
    return (sizes[1], sizes[0]) if 0 < min(sizes) and max(sizes) <= MOST_PIXELS else None


def _is_number(text):
    return re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", text) is not None
