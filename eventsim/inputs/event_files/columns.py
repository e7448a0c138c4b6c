"""Columns of events that go by the usual names: which is which, and the unit that the name of t may say."""

import re
from math import isclose

from eventsim.errors import DataError

NAMES = {
    "t": ("t", "ts", "time", "timestamp", "timestamps"), "x": ("x", "xs", "col", "column"),
    "y": ("y", "ys", "row"), "p": ("p", "ps", "pol", "polarity", "polarities", "on"),
}
SECONDS = {  # of the units that a name may say
    "ns": 1e-9, "nsec": 1e-9, "nanoseconds": 1e-9, "us": 1e-6, "\u00b5s": 1e-6, "\u03bcs": 1e-6, "usec": 1e-6,
    "microseconds": 1e-6, "ms": 1e-3, "msec": 1e-3, "milliseconds": 1e-3, "s": 1.0, "sec": 1.0, "seconds": 1.0,
}
_UNIT = "(" + "|".join(sorted((re.escape(unit) for unit in SECONDS), key=len, reverse=True)) + ")"
# t_us, t [us], time (s), timestamp/ns; or a unit alone, longer than one letter
_TIME = re.compile(rf"(?:{'|'.join(NAMES['t'])})[ _./-]*[\[(_ ./-] *{_UNIT} *[\])]?|(?!s$){_UNIT}")


def named_columns(names):
    """{"t": place, ...} of columns that go by the usual names, or None where one is missing. A name of t may end
    with its unit, as in t_us or "time [ms]"."""
    plain = [_plain(name) for name in names]
    found = {key: next((plain.index(name) for name in known if name in plain), None)
             for key, known in NAMES.items()}
    if found["t"] is None:
        found["t"] = next((place for place, name in enumerate(plain) if _TIME.fullmatch(name)), None)
    return None if None in found.values() else found


def rivals_of(names, places):
    """[(name of a column, name of another that says the same), ...]. places: as of `named_columns`."""
    plain = [_plain(name) for name in names]
    return [(str(names[taken]).strip(), str(names[place]).strip())
            for key, taken in places.items() for place, name in enumerate(plain)
            if place != taken and (name in NAMES[key] or key == "t" and _TIME.fullmatch(name))]


def said_of_rivals(names, places):
    """What notes say of columns that say the same as those that are read."""
    return [f"has a column {other!r} beside {taken!r}, which may say the same; not read"
            for taken, other in rivals_of(names, places)]


def unit_of_times(name, asked, path):
    """Seconds of one unit of t: what the name of its column says, or else `asked`, which may be None. Raises
    DataError where they differ."""
    found = _TIME.fullmatch(_plain(name))
    if found is None:
        return asked
    said = SECONDS[found[1] or found[2]]
    if asked is not None and not isclose(said, asked):
        raise DataError(f"{path}: its column {str(name).strip()!r} says a unit of {said:g} s, but time_unit is "
                        f"{asked:g}: leave it out (--time-unit)")
    return said


def check_order(places, columns, path):
    """Raise DataError where the columns that a file names, as of `named_columns`, have another order than is said.
    columns: what is said, or None."""
    found = "".join(sorted(places, key=places.get))
    if columns not in (None, found):
        raise DataError(f"{path}: names its columns in the order {found}, but columns is {columns!r}: leave it "
                        "out (--columns)")


def _plain(name):
    return str(name).strip().strip("\"'").strip().lower()
