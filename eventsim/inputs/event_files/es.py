"""Event Stream (.es), version 2, of DVS and ATIS cameras, through faery.

A header of 20 bytes, then events of 5 bytes, whose first byte has the time since the event before, and single
bytes that say that more time has passed. Rows count from below.
"""

import struct
from math import ceil, log2

import numpy as np

from eventsim.errors import DataError
from eventsim.inputs.event_files.faery_files import blocks_through_faery, check_faery
from eventsim.inputs.event_files.records import note, sensor_size_of
from eventsim.inputs.events import AT_ONCE, EventStream
from eventsim.storage.reading import reading

MAGIC = b"Event Stream"
HEADER = struct.Struct("<12s4B2H")
TYPES = ("generic", "dvs", "atis", "amd", "color")
SINGLE = {"dvs": 0xFE, "atis": 0xFC}  # from which value on a byte is no start of an event
EVENT_BYTES = 5


def holds_events(path, start) -> bool:
    """Return whether a file has this format, by its first bytes."""
    return start.startswith(MAGIC)


def recording_in(path, options) -> EventStream:
    """Return the recording in a file."""
    with reading(path), open(path, "rb") as file:
        data = file.read(HEADER.size)
    if len(data) < HEADER.size:
        raise DataError(f"{path}: has {len(data)} bytes, expected a header of {HEADER.size}: truncated, or of no "
                        "camera")
    _, version, _, _, kind, width, height = HEADER.unpack(data)
    if version != 2:
        raise DataError(f"{path}: is an Event Stream of version {version}, expected 2")
    kind = TYPES[kind] if kind < len(TYPES) else str(kind)
    if kind not in SINGLE:
        raise DataError(f"{path}: has events of type {kind}, expected {' or '.join(SINGLE)}")
    notes = []
    note(notes, "counts y from below; turned round")
    if kind == "atis":
        note(notes, "is of a camera that measures exposures, too; passed over")
    size = sensor_size_of(path, (height, width), options)
    check_faery(path)
    return EventStream(lambda: _blocks(path, size, SINGLE[kind]), str(path), size, notes=notes)


def _blocks(path, size, single):
    yield from blocks_through_faery(path, size, "es")
    if _ends_within_event(path, single):
        raise DataError(f"{path}: ends within an event: truncated")


def _ends_within_event(path, single):
    place = 0  # of an event or single byte, from the start of the chunk on
    with reading(path), open(path, "rb") as file:
        file.seek(HEADER.size)
        while data := file.read(AT_ONCE):
            n = len(data)
            ends = np.arange(n + EVENT_BYTES)
            ends[:n] += np.where(np.frombuffer(data, np.uint8) >= single, 1, EVENT_BYTES)
            for _ in range(ceil(log2(n)) + 1):  # so many doublings of the way lead beyond the chunk
                ends = ends[ends]
            place = int(ends[place]) - n
    return place > 0
