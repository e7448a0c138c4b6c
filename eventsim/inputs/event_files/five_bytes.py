"""N-MNIST and N-Caltech101: 5 bytes an event (.bin).

Byte 0 x, byte 1 y, then 1 bit polarity (1 = brighter) and 23 bits time in microseconds, big-endian. A row of 240
is no event: it says that the time runs over 13 bits (G. Orchard et al., Frontiers in Neuroscience 9, 2015, whose
reader adds 2^13 to all that follows).
"""

import os

import numpy as np

from eventsim.errors import DataError
from eventsim.inputs.event_files.records import note, records, TimeStamps
from eventsim.inputs.events import EVENT, EventStream

EVENT_BYTES = 5
TIME_BITS = 23
MARK, MARKED = 240, 1 << 13  # row of what is no event; microseconds that it adds


def holds_events(path, start) -> bool:
    """Return whether a file has this format, by its suffix: it has no header, and CIFAR's .bin has none either."""
    return path.suffix.lower() == ".bin"


def recording_in(path, options) -> EventStream:
    """Return the recording in a file."""
    notes = []
    return EventStream(lambda: _blocks(path, notes), str(path), options.sensor_size, 0, notes)


def fits_events(path) -> bool:
    """Return whether the size of a file is that of a whole number of events."""
    return os.path.getsize(path) % EVENT_BYTES == 0


def _blocks(path, notes):
    size = os.path.getsize(path)
    if size < EVENT_BYTES:
        raise DataError(f"{path}: has {size} bytes, expected a multiple of {EVENT_BYTES} above 0: truncated, or "
                        f"no N-MNIST recording")
    clock, added = TimeStamps(TIME_BITS, notes), 0
    for rows in records(path, 0, np.dtype((np.uint8, EVENT_BYTES))):
        x, y, *rest = rows.T.astype(np.int64)
        block = np.empty(len(x), EVENT)
        block["x"], block["y"], block["p"] = x, y, rest[0] >> 7
        block["t"] = clock((rest[0] & 0x7F) << 16 | rest[1] << 8 | rest[2]) + added
        marks = y == MARK
        if marks.any():
            note(notes, "has marks of a clock of 13 bits that ran over; times go on")
            block["t"] += np.cumsum(marks) * MARKED
            added += int(marks.sum()) * MARKED
            block = block[~marks]
        yield block
