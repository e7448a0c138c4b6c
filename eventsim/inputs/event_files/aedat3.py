"""AEDAT 3.1, as cAER writes it (DVS128 Gesture): text up to #!END-HEADER, then packets.

A packet has a header of 28 bytes, little-endian, and records of one size and type; those of type 1 are events of
8 bytes: bit 0 valid, bit 1 polarity (1 = brighter), bits 2 to 16 y, bits 17 to 31 x; then microseconds, 31 bits,
to which the packet's header counts how often they ran over. Other types are passed over.
"""

import re

import numpy as np

from eventsim.errors import DataError
from eventsim.inputs.event_files.records import header_lines, note
from eventsim.inputs.events import EVENT, EventStream
from eventsim.storage.reading import reading

HEADER = np.dtype([("type", "<i2"), ("source", "<i2"), ("size", "<i4"), ("time_at", "<i4"), ("turns", "<i4"),
                   ("capacity", "<i4"), ("number", "<i4"), ("valid", "<i4")])
POLARITY = 1
MOST_BYTES = 1 << 28  # of a packet
TIME_BITS = 31
SIZES = {"DVS128": (128, 128), "DAVIS128": (128, 128), "DAVIS240": (180, 240), "DAVIS346": (260, 346),
         "DAVIS640": (480, 640)}


def holds_events(path, start) -> bool:
    """By the first line."""
    return start.startswith(b"#!AER-DAT3")


def recording_in(path, options) -> EventStream:
    """The recording in a file."""
    lines, place = header_lines(path, b"#", b"#!END-HEADER")
    if not lines or not lines[-1].startswith("#!END-HEADER"):
        raise DataError(f"{path}: its header has no line #!END-HEADER: truncated, or damaged")
    said = re.search(r"(?i)#Source \d+: *([A-Z]+\d+)", "\n".join(lines))
    size = options.sensor_size or (SIZES.get(said[1].upper()) if said else None)
    notes = []
    return EventStream(lambda: _blocks(path, place, notes), str(path), size, notes=notes)


def _blocks(path, place, notes):
    with reading(path), open(path, "rb") as file:
        file.seek(place)
        while data := file.read(HEADER.itemsize):
            if len(data) < HEADER.itemsize:
                raise DataError(f"{path}: ends within the header of a packet: truncated")
            head = np.frombuffer(data, HEADER)[0]
            size, n = int(head["size"]), int(head["number"])
            if not (size > 0 and 0 <= n <= int(head["capacity"]) and size * n <= MOST_BYTES):
                raise DataError(f"{path}: a packet at byte {file.tell() - HEADER.itemsize} declares {n} records "
                                f"of {size} bytes, room for {head['capacity']}: damaged")
            data = file.read(size * n)
            if head["type"] == POLARITY:
                if size != 8 or head["time_at"] != 4:
                    raise DataError(f"{path}: a packet has events of {size} bytes, expected 8")
                yield _events(data[: len(data) // 8 * 8], int(head["turns"]), notes)
            else:
                note(notes, "has packets of other than events of pixels; passed over")
            if len(data) < size * n:
                raise DataError(f"{path}: ends within a packet of {n} records: truncated")


def _events(data, turns, notes):
    word, t = np.frombuffer(data, "<u4").reshape(-1, 2).T
    block = np.empty(len(word), EVENT)
    block["t"] = t.astype(np.int64) + (turns << TIME_BITS)
    if turns:
        note(notes, f"its clock of {TIME_BITS} bits ran over; times go on")
    block["p"] = word >> np.uint32(1) & np.uint32(1)
    block["y"] = word >> np.uint32(2) & np.uint32(0x7FFF)
    block["x"] = word >> np.uint32(17)
    valid = word & np.uint32(1) == 1
    if not valid.all():
        note(notes, "has events that are marked as not valid; left out")
    return block[valid]
