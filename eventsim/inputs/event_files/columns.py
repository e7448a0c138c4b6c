"""Finds columns of events by their usual names, and the unit that the name of t may state."""

import re
from math import isclose

from eventsim.errors import DataError

NAMES = {
    "t": ("t", "ts", "time", "timestamp", "timestamps"), "x": ("x", "xs", "col", "column"),
    "y": ("y", "ys", "row"), "p": ("p", "ps", "pol", "polarity", "polarities", "on"),
}
SECONDS = {  # of the units that a name may say
    "ns": 1e-9, "nsec": 1e-9, "nanosecond": 1e-9, "nanoseconds": 1e-9, "us": 1e-6, "\u00b5s": 1e-6,
    "\u03bcs": 1e-6, "usec": 1e-6, "microsecond": 1e-6, "microseconds": 1e-6, "ms": 1e-3, "msec": 1e-3,
    "millisecond": 1e-3, "milliseconds": 1e-3, "s": 1.0, "sec": 1.0, "second": 1.0, "seconds": 1.0,
}
_UNIT = "(" + "|".join(sorted((re.escape(unit) for unit in SECONDS), key=len, reverse=True)) + ")"
# t_us, t [us], time (s), timestamp/ns; or a unit alone, longer than one letter
_TIME = re.compile(rf"(?:{'|'.join(NAMES['t'])})[ _./-]*[\[(_ ./-] *{_UNIT} *[\])]?|(?!s$){_UNIT}")


def named_columns(names):
    """Return {"t": place, ...} for columns with the usual names, or None where one is missing. A name of t may end
    with its unit, as in t_us or "time [ms]"."""
    plain = [_plain(name) for name in names]
    places = {key: next((plain.index(name) for name in known if name in plain), None)
             for key, known in NAMES.items()}
    if places["t"] is None:
        places["t"] = next((place for place, name in enumerate(plain) if _TIME.fullmatch(name)), None)
    return None if None in places.values() else places


def rivals_of(names, places):
    """Return [(name of a column, name of another that says the same), ...]. places: as
    `named_columns` returns them."""
    plain = [_plain(name) for name in names]
    return [(str(names[taken]).strip(), str(names[place]).strip())
            for key, taken in places.items() for place, name in enumerate(plain)
            if place != taken and (name in NAMES[key] or key == "t" and _TIME.fullmatch(name))]


def said_of_rivals(names, places):
    """Return what notes say of columns that say the same as those that are read."""
    return [f"has a column {other!r} beside {taken!r}, which may say the same; not read"
            for taken, other in rivals_of(names, places)]


def unit_of_times(name, asked, path):
    """Return the seconds of one unit of t: what the name of its column says, or else `asked`, which may be None.
    Raises DataError where they differ."""
    named = _TIME.fullmatch(_plain(name))
    return asked if named is None else _agreed(SECONDS[named[1] or named[2]], asked, path,
                                               f"column {str(name).strip()!r}")


def unit_in_words(text, attribute, asked, path, remedy="give the seconds of one (time_unit, --time-unit SECONDS)"):
    """Return the seconds of one unit of t that an attribute of a file, a text or numbers, states. asked: the
    seconds that the file states elsewhere or that the user gives, or None. Raises DataError where they differ, or,
    with the remedy, where the text is no unit and none is given."""
    seconds = SECONDS.get(str(text).strip().lower())
    if seconds is not None:
        return _agreed(seconds, asked, path, f"attribute {attribute} = {text!r}")
    if asked is None:
        raise DataError(f"{path}: its times have the attribute {attribute} = {str(text)[:60]!r}, expected a unit, "
                        f"ns, us, ms or s: {remedy}")
    return asked


def _agreed(seconds, asked, path, where):
    if asked is not None and not isclose(seconds, asked):
        raise DataError(f"{path}: its {where} says a unit of {seconds:g} s, but time_unit is {asked:g}: leave it "
                        "out (--time-unit)")
    return seconds


def check_order(places, columns, path):
    """Raise DataError where the columns that a file names, as of `named_columns`, have another order than
    `columns`, the order that is given, unless that is None."""
    order = "".join(sorted(places, key=places.get))
    if columns not in (None, order):
        raise DataError(f"{path}: names its columns in the order {order}, but columns is {columns!r}: leave it "
                        "out (--columns)")


def _plain(name):
    return str(name).strip().strip("\"'").strip().lower()
