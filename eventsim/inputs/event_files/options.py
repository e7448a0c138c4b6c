"""What a user says of a recording that the file itself leaves open."""

from dataclasses import dataclass
from typing import Optional, Tuple

from eventsim.errors import DataError

KEYS = "txyp"


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
        if self.columns is not None and (sorted(self.columns) != sorted(KEYS)):
            raise DataError(f"columns is {self.columns!r}, expected t, x, y and p, each once, such as 'txyp'")
        if self.time_unit is not None and not 0 < self.time_unit < 1e6:
            raise DataError(f"time_unit is {self.time_unit!r}, expected seconds above 0, such as 1e-6")
        size = self.sensor_size
        if size is not None and not (len(size) == 2 and all(0 < int(n) == n <= 1 << 16 for n in size)):
            raise DataError(f"sensor_size is {size!r}, expected (height, width) in pixels")
