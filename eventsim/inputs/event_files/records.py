"""What readers of recordings share: records of one size, clocks that run over, units of time, notes."""

import os
import re
from math import isclose
from typing import Iterator, List

import numpy as np

from eventsim.errors import DataError
from eventsim.inputs.events import AT_ONCE, Block, BlockMaker, MICROSECOND, ROUNDED
from eventsim.storage.reading import reading

LONGEST_HEADER = 1 << 22  # bytes
NO_TEXT = re.compile(rb"[\x00-\x08\x0e-\x1f\x7f]")
MOST_BESIDE = 5  # names of what lies beside events, in a note
LATE_PART = 64  # of a turn of a clock: an event that comes later than such a part of it is none of the turn before


def note(notes: List[str], text: str) -> None:
    """Add a note on a file, once."""
    if text not in notes:
        notes.append(text)


def note_beside(notes: List[str], names) -> None:
    """Note what a file holds beside its events, by name."""
    if names:
        more = f" and {len(names) - MOST_BESIDE} more" * (len(names) > MOST_BESIDE)
        note(notes, f"holds {', '.join(names[:MOST_BESIDE])}{more} beside the events; not read")


def sensor_size_of(path, stated, options):
    """Return the sensor's (height, width): what the file states or else what `EventOptions` state; None where
    neither does. Raises DataError where they differ. stated: (height, width) as in the file, or None."""
    asked = options.sensor_size
    if stated is None or asked is None:
        return asked if stated is None else stated
    if tuple(stated) != tuple(asked):
        height, width = stated
        raise DataError(f"{path}: its sensor has {width} x {height} pixels, but sensor_size is {tuple(asked)}, "
                        "(height, width): leave it out (--sensor-size)")
    return stated


def header_lines(path, mark: bytes, last: bytes = b"") -> tuple:
    """Return (lines that begin with `mark`, as text; the place after them). last: a line that ends them, whatever
    bytes stand before it.

    Where the file has no such line, the header ends before the first line that does not begin with the mark,
    or has bytes that no text has: the first events may begin with the mark, and one of their bytes may be
    the end of a line. Raises DataError where a line before the last does not begin with the mark, or the
    file ends within a line.
    """
    with reading(path), open(path, "rb") as file:
        start = file.read(LONGEST_HEADER)
    last_place = start.find(b"\n" + last) + 1 if last else 0  # of the last line; 0: there is none
    lines, place = [], 0
    while place < len(start) and not (last_place and place > last_place):
        end = start.find(b"\n", place) + 1
        line = start[place : end or None]
        if not line.startswith(mark) or not last_place and NO_TEXT.search(line):
            if not last_place:
                return lines, place
            raise DataError(f"{path}: line {len(lines) + 1} of its header does not begin with {mark.decode()}: "
                            "damaged")
        if not end and len(start) < LONGEST_HEADER:
            raise DataError(f"{path}: ends within line {len(lines) + 1} of its header: truncated")
        lines.append(line.decode("utf-8", "replace").strip())
        place = end or len(start)
    if place == LONGEST_HEADER:
        raise DataError(f"{path}: its header does not end within {LONGEST_HEADER} bytes: damaged")
    return lines, place


def records(path, place, dtype) -> Iterator[np.ndarray]:
    """Yield arrays of records that follow each other from a place of the file on. Raises DataError after the last
    whole one where the file ends within one."""
    dtype = np.dtype(dtype)
    with reading(path), open(path, "rb") as file:
        file.seek(place)
        while data := file.read(AT_ONCE * dtype.itemsize):
            n = len(data) // dtype.itemsize
            yield np.frombuffer(data, dtype, n)
            if n * dtype.itemsize != len(data):
                raise DataError(f"{path}: has {os.path.getsize(path)} bytes, expected a multiple of "
                                f"{dtype.itemsize} "
                                f"after the header of {place}: truncated, it ends within an event")


class TimeStamps:
    """Turns times of a counter of so many bits, which begins again at 0, into int64 that go on."""

    def __init__(self, bits, notes: List[str]):
        self._bits, self._turn, self._notes = bits, 1 << bits, notes
        self._turns, self._before = 0, None

    def __call__(self, ticks) -> np.ndarray:
        """Return the times of the events that follow the ones before. ticks: their counter, unsigned. A fall by
        more than half a turn is a new turn. A rise by nearly a turn, after one, is an event that came late from
        the turn before; any other is a pause, which is said where it is longer than half a turn."""
        if not len(ticks):
            return ticks.astype(np.int64)
        raw = ticks.astype(np.int64)
        times = raw + self._turns * self._turn
        steps = np.diff(raw, prepend=raw[0] if self._before is None else self._before)
        for i in np.flatnonzero(np.abs(steps) > self._turn // 2):
            turn = self._turn_at(int(steps[i]))
            self._turns += turn
            times[i:] += turn * self._turn
        if ((steps < -(self._turn // LATE_PART)) & (steps >= -(self._turn // 2))).any():
            note(self._notes, f"its clock of {self._bits} bits falls by up to half a turn; taken as events out of "
                              "order, not as a pause in which it ran over")
        self._before = raw[-1]
        return times

    def _turn_at(self, step):
        """Return 1 where a clock that changed by more than half a turn has run over, -1 where
        an event came late."""
        name = f"its clock of {self._bits} bits"
        if step < 0 or self._turns and self._turn - step <= self._turn // LATE_PART:
            note(self._notes, f"{name} ran over; times go on")
            return 1 if step < 0 else -1
        if self._turns:
            note(self._notes, f"{name} has pauses of more than half a turn; taken as such")
        return 0


class Microseconds:
    """Turns times into whole microseconds, one array after another. Their unit is told once, by the first times
    other than 0, which is the same in every unit: where they are whole numbers, it is microseconds, and a fraction
    after that is no time of the same unit.

    unit: seconds of one unit; None: it is told from the times, and noted. ahead: whether all times of the first
    array that has such times tell it; else the first of these times does, so that it makes no difference how
    they are cut into arrays.
    """

    def __init__(self, unit, notes: List[str], ahead=True):
        self._unit, self._notes, self._ahead = unit, notes, ahead
        self._told = False

    def n_fitting(self, times) -> int:
        """Return how many times come before the first fraction, where the unit is microseconds as told from the
        times before it. times: numbers of any type."""
        if self._unit is not None and not self._told or times.dtype.kind not in "biuf" or times.ndim != 1:
            return len(times)
        parts = _fractions(times)
        if self._unit is None:
            first = np.flatnonzero(times != 0)[: None if self._ahead else 1]
            if not len(first):
                return len(times)
            self._tell(not parts[first].any())
        return int(parts.argmax()) if self._unit == MICROSECOND and parts.any() else len(times)

    def _tell(self, are_whole):
        self._unit, self._told = MICROSECOND if are_whole else 1.0, True
        note(self._notes, f"its times are taken as {'microseconds' if are_whole else 'seconds'}, as "
                          f"{'whole numbers' if are_whole else 'fractions'} are (time_unit says otherwise)")

    def __call__(self, times) -> np.ndarray:
        """Return the microsecond in which each time is. times: those that fit. A fraction is left out, and noted,
        unless it comes from the rounding of floats alone, as in 0.3 s * 1e6 = 299999.99999999994 us. Times that
        are neither integers nor floats stay as they are, for `block_of` to refuse."""
        if times.dtype.kind not in "biuf" or times.dtype.kind in "iu" and self._unit in (None, MICROSECOND):
            return times
        scale = (self._unit or MICROSECOND) / MICROSECOND
        if times.dtype.kind in "iu" and scale < 1 and isclose(round(1 / scale) * scale, 1):
            rounded, rest = np.divmod(times, round(1 / scale))
            has_fractions = rest.any()
        else:
            precision = max(np.finfo(each).eps
                            for each in (times.dtype if times.dtype.kind == "f" else float, float))
            with np.errstate(over="ignore", invalid="ignore"):  # infinite, so refused where times are checked
                exact = times.astype(np.float64) * scale
                rounded = np.rint(exact)
                fractions = np.abs(exact - rounded) > np.abs(exact) * (ROUNDED * float(precision))
            has_fractions = fractions.any()
            if has_fractions:
                rounded[fractions] = np.floor(exact[fractions])
        if has_fractions:
            note(self._notes, "its times have fractions of a microsecond, which are left out")
        return rounded

    def blocks(self, columns, made: BlockMaker, name) -> Iterator[Block]:
        """Yield the block that `made` makes of columns by key, up to the first time that does not fit; for that
        one, raise DataError. name: names the file in messages."""
        n = self.n_fitting(columns["t"])
        taken = columns if n == len(columns["t"]) else {key: column[:n] for key, column in columns.items()}
        if n:
            yield made({**taken, "t": self(taken["t"])})
        if taken is not columns:
            raise DataError(f"{name}: has t = {columns['t'][n]}, a fraction, after times that are whole, and so "
                            "were taken as microseconds: give their unit (time_unit, --time-unit SECONDS), or "
                            "name it, as in a column t_us or t_s")


def _fractions(times):
    """Return which times are finite and not whole."""
    if times.dtype.kind != "f":
        return np.zeros(len(times), bool)
    return np.isfinite(times) & (times != np.floor(times))
