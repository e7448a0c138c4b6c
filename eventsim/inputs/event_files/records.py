"""What readers of recordings share: records of one size, clocks that run over, units of time, notes."""

import os
import re
from typing import Iterator, List

import numpy as np

from eventsim.errors import DataError
from eventsim.inputs.events import AT_ONCE, Block, BlockMaker, MICROSECOND
from eventsim.storage.reading import reading

LONGEST_HEADER = 1 << 22  # bytes
NO_TEXT = re.compile(rb"[\x00-\x08\x0e-\x1f\x7f]")
MOST_BESIDE = 5  # names of what lies beside events, in a note
LATE_PART = 64  # of a turn of a clock: an event that comes later than such a part of it is none of the turn before


def note(notes: List[str], text: str) -> None:
    """Say something of a file once."""
    if text not in notes:
        notes.append(text)


def note_beside(notes: List[str], names) -> None:
    """Say what a file holds beside its events, by name."""
    if names:
        more = f" and {len(names) - MOST_BESIDE} more" * (len(names) > MOST_BESIDE)
        note(notes, f"holds {', '.join(names[:MOST_BESIDE])}{more} beside the events; not read")


def header_lines(path, mark: bytes, last: bytes = b"") -> tuple:
    """(lines that begin with `mark`, as text; the place after them). last: a line that ends them.

    Where no such line does, the first events may begin with the mark, and one of their bytes may be the end of a
    line; they have bytes that no text has.
    """
    lines, place = [], 0
    with reading(path), open(path, "rb") as file:
        while place < LONGEST_HEADER:
            line = file.readline(LONGEST_HEADER)
            if not line.startswith(mark) or not line.endswith(b"\n") or NO_TEXT.search(line):
                return lines, place
            place += len(line)
            lines.append(line.decode("utf-8", "replace").strip())
            if last and line.startswith(last):
                return lines, place
    raise DataError(f"{path}: its header does not end within {LONGEST_HEADER} bytes: damaged")


def records(path, place, dtype) -> Iterator[np.ndarray]:
    """Arrays of records that follow each other from a place of the file on. Raises DataError after the last whole
    one where the file ends within one."""
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
    """Times of a counter of so many bits, which begins again at 0, as int64 that go on."""

    def __init__(self, bits, notes: List[str]):
        self._bits, self._turn, self._notes = bits, 1 << bits, notes
        self._turns, self._before = 0, None

    def __call__(self, ticks) -> np.ndarray:
        """ticks: unsigned, of the events that follow the ones before. A fall by more than half a turn is a new
        turn. A rise by nearly a turn, after one, is an event that came late from the turn before; any other is a
        pause, which is said where it is longer than half a turn."""
        if not len(ticks):
            return ticks.astype(np.int64)
        raw = ticks.astype(np.int64)
        found = raw + self._turns * self._turn
        steps = np.diff(raw, prepend=raw[0] if self._before is None else self._before)
        for i in np.flatnonzero(np.abs(steps) > self._turn // 2):
            turn = self._turn_at(int(steps[i]))
            self._turns += turn
            found[i:] += turn * self._turn
        if ((steps < -(self._turn // LATE_PART)) & (steps >= -(self._turn // 2))).any():
            note(self._notes, f"its clock of {self._bits} bits falls by up to half a turn; taken as events out of "
                              "order, not as a pause in which it ran over")
        self._before = raw[-1]
        return found

    def _turn_at(self, step):
        """1 where a clock that changed by more than half a turn has run over, -1 where an event came late."""
        name = f"its clock of {self._bits} bits"
        if step < 0 or self._turns and self._turn - step <= self._turn // LATE_PART:
            note(self._notes, f"{name} ran over; times go on")
            return 1 if step < 0 else -1
        if self._turns:
            note(self._notes, f"{name} has pauses of more than half a turn; taken as such")
        return 0


class Microseconds:
    """Times as whole microseconds, one array after another, whose unit is told once: by the first times, other than
    0, which is the same in every unit. Where they are whole numbers it is microseconds, and a fraction after that is
    no time of the same unit.

    unit: seconds of one; None: told, and noted. ahead: whether the first array that has such times is looked at as
    a whole; else the first of these times tells, so that it makes no difference how they are cut into arrays.
    """

    def __init__(self, unit, notes: List[str], ahead=True):
        self._unit, self._notes, self._ahead = unit, notes, ahead
        self._told = False

    def n_fitting(self, times) -> int:
        """How many of the times come before the first that is a fraction, where they are microseconds, told from
        those before it. times: of any type."""
        if self._unit is not None and not self._told or times.dtype.kind not in "biuf" or times.ndim != 1:
            return len(times)
        parts = _fractions(times)
        if self._unit is None:
            first = np.flatnonzero(times != 0)[: None if self._ahead else 1]
            if not len(first):
                return len(times)
            self._tell(not parts[first].any())
        return int(parts.argmax()) if self._unit == MICROSECOND and parts.any() else len(times)

    def _tell(self, whole):
        self._unit, self._told = MICROSECOND if whole else 1.0, True
        note(self._notes, f"its times are taken as {'microseconds' if whole else 'seconds'}, as "
                          f"{'whole numbers' if whole else 'fractions'} are (time_unit says otherwise)")

    def __call__(self, times) -> np.ndarray:
        """times: those that fit. Of anything but integers and floats they stay as they are, for `block_of` to
        refuse."""
        if times.dtype.kind not in "biuf" or times.dtype.kind in "iu" and self._unit in (None, MICROSECOND):
            return times
        with np.errstate(over="ignore"):  # infinite, so refused where times are checked
            return np.rint(times.astype(np.float64) * ((self._unit or MICROSECOND) / MICROSECOND))

    def blocks(self, columns, made: BlockMaker, name) -> Iterator[Block]:
        """The block that `made` makes of columns by key, up to the first time that does not fit, for which
        DataError is raised. name: for messages, of the file."""
        n = self.n_fitting(columns["t"])
        taken = columns if n == len(columns["t"]) else {key: column[:n] for key, column in columns.items()}
        if n:
            yield made({**taken, "t": self(taken["t"])})
        if taken is not columns:
            raise DataError(f"{name}: has t = {columns['t'][n]}, a fraction, after times that are whole, and so were "
                            "taken as microseconds: give their unit (time_unit, --time-unit SECONDS), or name it, as "
                            "in a column t_us or t_s")


def _fractions(times):
    """Which times are finite and not whole."""
    if times.dtype.kind != "f":
        return np.zeros(len(times), bool)
    return np.isfinite(times) & (times != np.floor(times))
