"""What readers of recordings share: records of one size, clocks that run over, units of time, notes."""

import os
from typing import Iterator, List

import numpy as np

from eventsim.errors import DataError
from eventsim.inputs.events import AT_ONCE, MICROSECOND
from eventsim.storage.reading import reading

LONGEST_HEADER = 1 << 22  # bytes


def note(notes: List[str], text: str) -> None:
    """Say something of a file once."""
    if text not in notes:
        notes.append(text)


def header_lines(path, mark: bytes, last: bytes = b"") -> tuple:
    """(lines that begin with `mark`, as text; the place after them). last: a line that ends them."""
    lines, place = [], 0
    with reading(path), open(path, "rb") as file:
        while place < LONGEST_HEADER:
            line = file.readline(LONGEST_HEADER)
            if not line.startswith(mark) or not line.endswith(b"\n"):
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
        self._turn, self._notes = 1 << bits, notes
        self._turns, self._before = 0, None

    def __call__(self, ticks) -> np.ndarray:
        """ticks: unsigned, of the events that follow the ones before. A fall by more than half a turn is a new
        turn; a rise by more than that, after one, an event that came late from the turn before."""
        if not len(ticks):
            return ticks.astype(np.int64)
        raw = ticks.astype(np.int64)
        found = raw + self._turns * self._turn
        steps = np.diff(raw, prepend=raw[0] if self._before is None else self._before)
        for i in np.flatnonzero(np.abs(steps) > self._turn // 2):
            if steps[i] > 0 and self._turns == 0:
                continue  # a long pause: nothing has run over yet
            turn = 1 if steps[i] < 0 else -1
            self._turns += turn
            found[i:] += turn * self._turn
            note(self._notes, f"its clock of {self._turn.bit_length() - 1} bits ran over; times go on")
        self._before = raw[-1]
        return found


class Microseconds:
    """Times as whole microseconds, one array after another, whose unit is told once.

    unit: seconds of one; None: told from the first numbers, and noted.
    """

    def __init__(self, unit, notes: List[str]):
        self._unit, self._notes = unit, notes

    def __call__(self, times) -> np.ndarray:
        """times: of integers or of floats; of anything else they stay as they are, for `block_of` to refuse."""
        if times.dtype.kind not in "biuf":
            return times
        if self._unit is None:
            self._unit = MICROSECOND if times.dtype.kind in "iu" or _whole(times) else 1.0
            whole = self._unit == MICROSECOND
            note(self._notes, f"its times are taken as {'microseconds' if whole else 'seconds'}, as "
                              f"{'whole numbers' if whole else 'fractions'} are (time_unit says otherwise)")
        if times.dtype.kind in "iu" and self._unit == MICROSECOND:
            return times
        with np.errstate(over="ignore"):  # infinite, so refused where times are checked
            return np.rint(times.astype(np.float64) * (self._unit / MICROSECOND))


def _whole(times):
    return bool(len(times)) and times.max() > 1000 and bool((times == np.floor(times)).all())
