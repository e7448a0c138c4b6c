"""What a user says of a recording that the file itself leaves open."""

from dataclasses import dataclass
from numbers import Integral, Real
from typing import Optional, Tuple

from eventsim.errors import DataError

KEYS = "txyp"
MOST_PIXELS = 1 << 16  # along an axis


@dataclass(frozen=True)
class EventOptions:
    """sensor_size: (height, width) in pixels; None: what the file says, if it does. time_unit: seconds of one unit
    of t, for files without a unit of their own (arrays and text); None: microseconds for whole numbers, seconds
    for fractions, which the stream's notes say. columns: order of the columns in text and in arrays (N, 4), such
    as "txyp". keep_going: give what stands before damage, and say so in the notes, instead of raising.
    sample: the number of the recording in a file that has several.
    """

    sensor_size: Optional[Tuple[int, int]] = None
    time_unit: Optional[float] = None
    columns: Optional[str] = None
    keep_going: bool = False
    sample: Optional[int] = None

    def __post_init__(self):
        if self.columns is not None and (not isinstance(self.columns, str) or sorted(self.columns) != sorted(KEYS)):
            raise DataError(f"columns is {self.columns!r}, expected t, x, y and p, each once, such as 'txyp'")
        unit = self.time_unit
        if unit is not None and not (isinstance(unit, Real) and 0 < unit < 1e6):
            raise DataError(f"time_unit is {self.time_unit!r}, expected seconds above 0, such as 1e-6")
        size = self.sensor_size
        if size is not None and not (isinstance(size, (tuple, list)) and len(size) == 2 and all(map(_extent, size))):
            raise DataError(f"sensor_size is {size!r}, expected (height, width) in pixels")
        if self.sample is not None and not isinstance(self.sample, Integral):
            raise DataError(f"sample is {self.sample!r}, expected the number of a recording, from 0 on")


def _extent(n):
    """Whether a value is a number of pixels."""
    return isinstance(n, Real) and 0 < n <= MOST_PIXELS and int(n) == n
