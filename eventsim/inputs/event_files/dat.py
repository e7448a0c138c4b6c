"""Prophesee's DAT, versions 1 and 2: a header of lines with %, two bytes, and 8 bytes an event.

The two bytes are the type (0, "2d", and 12, "cd", have the same events) and the size of an event. An event is
two little-endian words of 32 bits: microseconds; x, y and polarity.
"""

import re

import numpy as np

from eventsim.errors import DataError
from eventsim.inputs.event_files.records import header_lines, records, sensor_size_of, TimeStamps
from eventsim.inputs.events import EVENT, EventStream
from eventsim.storage.reading import reading

TYPES = {0: "2d", 12: "cd"}
FIELDS = {1: ((0, 9), (9, 8), (17, 1)), 2: ((0, 14), (14, 14), (28, 4))}  # (first bit, bits) of x, y and polarity


def holds_events(path, start) -> bool:
    """Return whether a file has this format, by its first line or by its suffix."""
    return start.startswith(b"% Data file") or (
        path.suffix.lower() == ".dat" and start[:1] in (b"%", b"\x00", b"\x0c"))


def recording_in(path, options) -> EventStream:
    """Return the recording in a file."""
    lines, place = header_lines(path, b"%")
    fields = dict(m.groups() for m in (re.match(r"%\s*(\w+)\s+(.*)", line) for line in lines) if m)
    with reading(path), open(path, "rb") as file:
        file.seek(place)
        kind = file.read(2)
    if len(kind) < 2 or kind[0] not in TYPES or kind[1] != 8:
        raise DataError(f"{path}: has events of type {kind[:1].hex() or '-'} and {kind[1:].hex() or '-'} bytes "
                        f"(hex), expected DAT of type 00 or 0c, 08 bytes an event")
    version = int(fields.get("Version", "1")) if fields.get("Version", "1").isdecimal() else 0
    if version not in FIELDS:
        raise DataError(f"{path}: is DAT of version {fields.get('Version')!r}, expected 1 or 2")
    height, width = fields.get("Height", ""), fields.get("Width", "")
    stated = (int(height), int(width)) if height.isdecimal() and width.isdecimal() else None
    notes = []
    return EventStream(lambda: _blocks(path, place + 2, FIELDS[version], notes), str(path),
                       sensor_size_of(path, stated, options), notes=notes)


def _blocks(path, place, fields, notes):
    clock = TimeStamps(32, notes)
    for rows in records(path, place, [("t", "<u4"), ("address", "<u4")]):
        block = np.empty(len(rows), EVENT)
        block["t"] = clock(rows["t"])
        for key, (first, bits) in zip("xyp", fields):
            block[key] = rows["address"] >> np.uint32(first) & np.uint32((1 << bits) - 1)
        yield block
