"""What a user says of a recording that the file itself leaves open."""

import re
from dataclasses import dataclass, fields
from numbers import Integral, Real
from typing import Optional, Tuple, Union

import numpy as np

from eventsim.arguments import instance_of, shown
from eventsim.errors import DataError
from eventsim.text import did_you_mean

KEYS = "txyp"
MOST_PIXELS = 1 << 16  # along an axis
UNITS = {"us": 1.0, "ms": 1e3, "s": 1e6, "min": 6e7, "h": 3.6e9}
FLAGS = (bool, np.bool_)
Duration = Union[float, str]  # microseconds, or text such as "10ms"


@dataclass(frozen=True)
class EventOptions:
    """What a user states of a recording. sensor_size: (height, width) in pixels; None: what the file says, if it
    does. time_unit: seconds of one unit of t, for files without a unit of their own (arrays and text); None: what
    the name of the column says, such as "t_us", else microseconds for whole numbers, seconds for fractions, which
    the stream's notes say. columns: order of the columns in text and in arrays (N, 4), such as "txyp". keep_going:
    give what stands before damage, and say so in the notes, instead of raising. sample: the number of the
    recording in a file that has several.
    longest_gap: the longest silence that is run, from an event back to the newest one before it, microseconds or
    text such as "2h". A longer one is taken for a time gone wild, and refused; see `inputs.gaps`.
    """

    sensor_size: Optional[Tuple[int, int]] = None
    time_unit: Optional[float] = None
    columns: Optional[str] = None
    keep_going: bool = False
    sample: Optional[int] = None
    longest_gap: Duration = "1min"

    def __post_init__(self):
        if self.columns is not None and (
                not isinstance(self.columns, str) or sorted(self.columns) != sorted(KEYS)):
            raise DataError(f"columns is {shown(self.columns)}, expected t, x, y and p, each once, such as 'txyp'")
        unit = self.time_unit
        if unit is not None and not (isinstance(unit, Real) and 0 < unit < 1e6):
            raise DataError(f"time_unit is {shown(self.time_unit)}, expected seconds above 0, such as 1e-6")
        size = self.sensor_size
        if size is not None and not (
                isinstance(size, (tuple, list)) and len(size) == 2 and all(map(is_extent, size))):
            raise DataError(f"sensor_size is {shown(size)}, expected (height, width) in pixels")
        if self.sample is not None and not isinstance(self.sample, Integral):
            raise DataError(f"sample is {shown(self.sample)}, expected the number of a recording, from 0 on")
        instance_of(self.keep_going, FLAGS, "keep_going", "True or False")
        if microseconds(self.longest_gap, "longest_gap") < 0:
            raise DataError(f"longest_gap is {shown(self.longest_gap)}, expected a time from 0 on")


def checked_options(kind, given):
    """Return an instance of a dataclass of options, made from what is given by name. Raises DataError for a name
    that is none of its fields, with the nearest one."""
    names = [field.name for field in fields(kind)]
    for name in given:
        if name not in names:
            raise DataError(f"{name!r} is no option, expected one of {', '.join(names)}"
                            f"{did_you_mean(name, names)}")
    return kind(**given)


def refuse_given(options, names, path, what) -> None:
    """Raise DataError where one of these fields of options is given, so differs from its default. path: names the
    file in the message. what: what the fields do not apply to."""
    for field in fields(options):
        if field.name in names and getattr(options, field.name) != field.default:
            flag = "--" + field.name.replace("_", "-")
            raise DataError(f"{path}: {field.name} does not apply to {what}: leave it out ({flag})")


def microseconds(value: Duration, name) -> float:
    """Return the microseconds of a time, given as text ("10ms", "0.5 s", "200us") or as a number of microseconds.
    Raises DataError, naming it."""
    match = None
    if isinstance(value, str):
        match = re.fullmatch(r" *([0-9.]+(?:e[-+]?[0-9]+)?) *(us|ms|s|min|h) *", value)
    try:
        time = float(match[1]) * UNITS[match[2]] if match else float("nan" if isinstance(value, str) else value)
    except (TypeError, ValueError):
        time = float("nan")
    if not abs(time) < 1e15:
        expected = "a number with its unit" if isinstance(value, str) else "microseconds, or text"
        raise DataError(f"{name} is {shown(value)}, expected {expected}, such as '10ms', '200us' or '0.5s'")
    return time


def is_extent(n):
    """Return whether a value is a number of pixels."""
    return isinstance(n, Real) and 0 < n <= MOST_PIXELS and int(n) == n
