"""Text: one event a line, columns parted by commas, semicolons, tabs or blanks (.csv, .txt).

A header may name the columns, and so may a comment before the first event. Without one, their order is told from
the numbers, where only one order makes sense (p is 0 or 1, or -1 or 1, t does not fall), and noted. A first line
of two whole numbers is the sensor's width and height. A comment, behind # or in a line that begins with %, may
have any length; any other line has at most `LONGEST_LINE` characters.
"""

import re
import warnings
from itertools import islice
from typing import Dict, NamedTuple, Optional

import numpy as np

from eventsim.errors import DataError
from eventsim.inputs.event_files.columns import check_order, named_columns, rivals_of, unit_of_times
from eventsim.inputs.event_files.options import KEYS
from eventsim.inputs.event_files.records import Microseconds, note, sensor_size_of
from eventsim.inputs.events import AT_ONCE, BlockMaker, EventStream, MOST_PIXELS
from eventsim.storage.reading import reading

SUFFIXES = (".csv", ".txt", ".tsv")
POLARITIES = {"true": "1", "false": "0"}  # in any case, as Python and pandas write them
ORDERS = ("txyp", "xypt", "xytp", "typx")
LONGEST_LINE = 1 << 12  # characters, but for comments
LOOKED_AT = 1 << 12  # lines, to tell the order of the columns
MARKS = {";": "semicolons", ",": "commas", "\t": "tabs"}  # what parts fields, in this order; else blanks


class TextLayout(NamedTuple):
    """How lines hold events. places: key -> its field. mark: what separates the fields, None: blanks.
    n_fields: how many fields every line has. unit: seconds of one unit of t, None where neither the header nor
    the user states it."""

    places: Dict[str, int]
    mark: Optional[str]
    n_fields: int
    unit: Optional[float] = None


def header_layout(line, options, path) -> Optional[TextLayout]:
    """Return the layout that a line states which names the columns, None for any other. Raises DataError where two
    of its names say the same, or the options say otherwise."""
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


def comment_in(line) -> str:
    """Return what a line that is a comment says, or "" for any other."""
    text = line.strip(" \t\r\n\ufeff")
    return text.lstrip("#% \t") if text[:1] in ("#", "%") else ""


def comment_layout(comments, line, options, path, notes) -> Optional[TextLayout]:
    """Return, and note, the layout that comments state which name as many columns as a line of events has
    fields, or None where none does. Raises DataError where comments name them in several ways, or the
    options say otherwise."""
    n_fields, layouts = _numbers_of_fields([line], _mark_of(line)), {}
    for comment in comments:
        names = _names_in(comment)
        fits = _numbers_of_fields([names], _mark_of(names)) == n_fields
        if fits and (layout := header_layout(names, options, path)) is not None:
            layouts[comment] = layout
    if len({(*layout.places.values(), layout.unit) for layout in layouts.values()}) > 1:
        raise DataError(f"{path}: has comments that name its columns in several ways, "
                        f"{' and '.join(map(_shortened, layouts))}: leave one of them")
    for comment, layout in layouts.items():
        note(notes, f"its comment {_shortened(comment)} is taken as the names of its columns")
        return layout
    return None


def check_comments(comments, layout: TextLayout, path) -> None:
    """Raise DataError where a comment names the columns in another order than they are taken."""
    for comment in comments:
        places = named_columns(re.split(r"[,;\s]+", _names_in(comment)))
        stated, taken = (places and "".join(sorted(each, key=each.get)) for each in (places, layout.places))
        if places and stated != taken:
            raise DataError(f"{path}: its comment {_shortened(comment)} names the columns in the order {stated}, "
                            f"but they are taken as {taken}: give their order (columns, --columns), or mend the "
                            "comment")


def _names_in(comment):
    """Return the part of a comment that may name columns, as in "columns: (t, x, y, p)"; a unit in brackets goes
    with the name before it."""
    names = re.sub(r"^.*[:=]", "", comment).strip()
    names = names[1:-1] if names[:1] + names[-1:] in ("()", "[]", "{}") else names
    return re.sub(r"\s+(?=[\[(])", "", names)


def _shortened(comment):
    return repr(comment[:60])


def layout_of(order, line, options) -> TextLayout:
    """Return the layout of lines without a header, by the first. order: order of the four
    columns, such as "txyp"."""
    return TextLayout({key: order.index(key) for key in KEYS}, _mark_of(line), len(KEYS), options.time_unit)


def of_rows(header: TextLayout, line) -> TextLayout:
    """Return the layout that a header states for the lines below it, of which this is the first: their fields may
    be separated by something else than the names are."""
    return header if header.mark and header.mark in line else header._replace(mark=_mark_of(line))


def holds_events(path, start) -> bool:
    """Return whether a file has this format, by its suffix and a first line that is a header of
    events or four numbers."""
    if path.suffix.lower() not in SUFFIXES:
        return False
    lines = _first_lines(path, start)
    if len(lines) > 1 and _size_in(lines[0]):
        del lines[0]
    return bool(lines) and (
        named_columns(lines[0].split(_mark_of(lines[0]))) is not None or has_numbers(lines[0]))


def holds_prose(path, start) -> bool:
    """Return whether a text file has lines, but none that may be events, such as notes or a list of names."""
    lines = _first_lines(path, start)
    return bool(lines) and b"\0" not in start and not (
        holds_events(path, start) or any(map(has_numbers, lines)))


def _first_lines(path, start):
    """Return what the lines of the start hold, or the first two lines where the start is no
    more than a comment."""
    texts = map(without_comment, re.split(r"\r\n|[\r\n]", start.decode("utf-8-sig", "replace")))
    lines = [line for line in texts if line]
    if lines or len(start) < LONGEST_LINE:
        return lines
    with reading(path), open(path, encoding="utf-8-sig", errors="replace") as file:
        return [line for _, line in islice(_lines(file), 2)]


def has_numbers(line):
    """Return whether a line has the numbers of an event, however they are separated."""
    parts = [part for part in re.split(r"[,;\s]+", line) if part]
    return sum(_is_number(part) or part.lower() in POLARITIES for part in parts) >= len(KEYS)


def recording_in(path, options) -> EventStream:
    """Return the recording in a file."""
    with reading(path), open(path, encoding="utf-8-sig", errors="replace") as file:
        first = list(islice(_lines(file), LOOKED_AT))
    with reading(path), open(path, encoding="utf-8-sig", errors="replace") as file:
        comments = _first_comments(file)
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
    elif (header := comment_layout(comments, lines[0][1], options, path, notes)) is not None:
        layout = of_rows(header, lines[0][1])
    else:
        check_first(lines[0][1], path)
        layout = layout_of(options.columns or _told(path, lines, notes), lines[0][1], options)
    if options.columns is None:
        check_comments(comments, layout, path)
    return EventStream(lambda: _blocks(path, skipped, layout, notes), str(path),
                       sensor_size_of(path, size, options), notes=notes)


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
    """Yield (number, text) of the lines that hold something."""
    number = 0
    while line := file.readline(LONGEST_LINE + 1):
        number += 1
        long = len(line) > LONGEST_LINE
        text = text_of(line) if long else without_comment(line)
        if text:
            yield number, text
        while long and line and line[-1] != "\n":  # the rest of it
            line = file.readline(LONGEST_LINE + 1)


def _first_comments(file):
    """Return what the comments say that stand before the header, or before the first event."""
    comments, has_size = [], False
    while line := file.readline(LONGEST_LINE + 1):
        is_long, text = len(line) > LONGEST_LINE, text_of(line)
        if text and (has_size or not _size_in(text)):
            break
        has_size = has_size or bool(text)
        comments.append(comment_in(line))
        while is_long and line and line[-1] != "\n":  # the rest of it
            line = file.readline(LONGEST_LINE + 1)
    return [comment for comment in comments if comment]


def text_of(line):
    """Return what a line holds without its comment, "" where that is nothing. For a line, or the start of one,
    that is too long without it, return more than LONGEST_LINE characters, for `is_too_long`."""
    if len(line) <= LONGEST_LINE:
        return without_comment(line)
    start = line.rstrip("\r\n")[: LONGEST_LINE + 1]
    comment = "#" in start or start.lstrip(" ").startswith("%")
    return start if is_too_long(start) and not comment else without_comment(start)


def is_too_long(text) -> bool:
    """Return whether a text is too long for a line of events."""
    return len(text) > LONGEST_LINE


def check_length(line, path):
    """Raise DataError where a line, (number, text), is too long."""
    number, text = line
    if is_too_long(text):
        raise DataError(f"{path}: line {number} has more than {LONGEST_LINE} characters: it is no text of events")


def without_comment(line):
    """Return a line without what stands behind #; "" where nothing is left. A tab at its end may
    separate an empty field."""
    line = (line.partition("#")[0] if "#" in line else line).strip(" \r\n")
    return "" if line[:1] == "%" or line.isspace() else line


def event_columns(lines, layout: TextLayout):
    """Return ({"t": float64 or int64 of the lines up to the first that is wrong, ...}, that line or None).

    lines: (number, text) of each.
    """
    numbers = _numbers_of_fields([text for _, text in lines], layout.mark)
    right = numbers.count(layout.n_fields) == len(lines)
    n = len(lines) if right else next(i for i, number in enumerate(numbers) if number != layout.n_fields)
    columns, wrong = _numbers_of(lines[:n], layout)
    return columns, lines[n] if wrong is None and n < len(lines) else wrong


def _numbers_of_fields(texts, mark):
    """Return how many fields each text has, 0 where it is too long."""
    numbers = [text.count(mark) + 1 for text in texts] if mark else [len(text.split()) for text in texts]
    if max(map(len, texts), default=0) <= LONGEST_LINE:
        return numbers
    return [0 if is_too_long(text) else n for text, n in zip(texts, numbers)]


def _numbers_of(lines, layout):
    """Return what `event_columns` does, for lines that have all fields."""
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
    return {key: np.concatenate((columns[key], more[key])) if len(more[key]) else columns[key]
            for key in KEYS}, wrong


def _parsed(texts, layout):
    """Return columns by key. Raises ValueError."""
    try:
        return _parsed_numbers(texts, layout)
    except (ValueError, OverflowError):
        return _parsed_numbers([_with_a_number(text, layout) for text in texts], layout)


def _with_a_number(text, layout):
    """Return a line with 1 and 0 for a polarity of True and False."""
    fields, place = text.split(layout.mark), layout.places["p"]
    fields[place] = POLARITIES.get(fields[place].strip().lower(), fields[place])
    return (layout.mark or " ").join(fields)


def _parsed_numbers(texts, layout):
    """Return columns by key; t as integers wherever its own text is, as floats hold no large
    ones. Raises ValueError."""
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
    """Return what is said of a line, (number, text), that is not as the layout states."""
    check_length(line, path)
    number, text = line
    return DataError(f"{path}: line {number} is {text[:60]!r}, expected {layout.n_fields} fields parted by "
                     f"{MARKS.get(layout.mark, 'blanks')}, and numbers with a decimal point for t, x, y and p")


def check_first(line, path):
    """Raise DataError where a first line, which is no header, has more than four fields, or says a size."""
    [n] = _numbers_of_fields([line], _mark_of(line))
    if _size_in(line):
        raise DataError(f"{path}: its first line is {line!r}, expected an event: leave it out, and say the "
                        "sensor's size otherwise (sensor_size, --sensor-size HxW)")
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
    in_pixels = all((c == np.floor(c)).all() and c.min() >= 0 and c.max() < 1 << 16 for c in (x, y))
    return in_pixels and bool(np.isin(p, (-1, 0, 1)).all()) and bool((np.diff(t) >= 0).all())


def _mark_of(line):
    """Return what separates the fields of a line, None: blanks."""
    return next((mark for mark in MARKS if mark in line), None)


def _size_in(line):
    """Return (height, width) from a line of two whole numbers, else None."""
    match = re.fullmatch(r"(\d{1,5})[,;\s]+(\d{1,5})", line)
    sizes = [int(size) for size in match.groups()] if match else [0]
    return (sizes[1], sizes[0]) if 0 < min(sizes) and max(sizes) <= MOST_PIXELS else None


def _is_number(text):
    return re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", text) is not None
