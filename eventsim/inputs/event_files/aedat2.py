"""AEDAT 1.0 and 2.0, as jAER writes them (CIFAR10-DVS): lines with #, then 8 bytes an event, big-endian.

An event is an address and microseconds, 32 bits each. DVS128: polarity in bit 0 (1 is darker), x in bits 1 to 7,
y in bits 8 to 14; bit 15 marks what is no event of a pixel. DAVIS: polarity in bit 11 (1 is brighter), x in bits
12 to 21, y in bits 22 to 30; bit 31 marks frames and motion, bit 10 external events. Both count x from the right.
"""

import re

import numpy as np

from eventsim.errors import DataError
from eventsim.inputs.event_files.records import header_lines, note, records, sensor_size_of, TimeStamps
from eventsim.inputs.events import EVENT, EventStream
from eventsim.storage.reading import reading

DAVIS_SIZES = {"240": (180, 240), "346": (260, 346), "640": (480, 640), "128": (128, 128), "208": (192, 208)}
DVS128 = (128, 128)
# no events read so: each has an address whose lowest or highest byte is 0, or whose highest is above those of text
TEXT = re.compile(rb"[\t\x20-\x7e]{16,60}")
LOOKED_AT = 1 << 12  # bytes after a header


def holds_events(path, start) -> bool:
    """Return whether a file has this format, by its first line."""
    return start.startswith((b"#!AER-DAT1", b"#!AER-DAT2"))


def recording_in(path, options) -> EventStream:
    """Return the recording in a file."""
    lines, place = header_lines(path, b"#", b"#End Of ASCII")
    if not lines:
        raise DataError(f"{path}: the first line of its header has bytes that are no text: damaged")
    _check_no_text(path, place)
    if lines[0].startswith("#!AER-DAT1"):
        raise DataError(f"{path}: is AEDAT 1.0, with 6 bytes an event; save it as AEDAT 2.0 with jAER")
    chip_line = re.search(r"AEChip: *(\S+)", "\n".join(lines))
    chip = chip_line[1].rpartition(".")[2] if chip_line else ""
    notes, davis = [], re.search(r"(?i)davis(\d+)?", chip)
    if davis and davis[1] not in DAVIS_SIZES:
        raise DataError(f"{path}: is of the sensor {chip!r}, expected DVS128 or a DAVIS of "
                        f"{', '.join(DAVIS_SIZES)}")
    if chip and not davis and "dvs128" not in chip.lower():
        raise DataError(f"{path}: is of the sensor {chip!r}, whose addresses are not known, expected DVS128 or "
                        f"DAVIS")
    if not chip:
        note(notes, "does not name its sensor; taken as DVS128")
    size = sensor_size_of(path, DAVIS_SIZES[davis[1]] if davis else DVS128, options)
    note(notes, "counts x from the right; turned round")
    return EventStream(lambda: _blocks(path, place, bool(davis), size, notes), str(path), size, notes=notes)


def _check_no_text(path, place):
    """Raise DataError where text stands after the header: lines of a header that is damaged before them."""
    with reading(path), open(path, "rb") as file:
        file.seek(place)
        text = TEXT.search(file.read(LOOKED_AT))
    if text is not None:
        raise DataError(f"{path}: has text where its events begin, {text[0].decode()!r}: a line of its header "
                        "before it is damaged")


def _blocks(path, place, davis, size, notes):
    clock, width = TimeStamps(32, notes), size[1]
    for rows in records(path, place, [("address", ">u4"), ("t", ">u4")]):
        address, t = rows["address"].astype(np.uint32), clock(rows["t"])
        x_at, x_bits, y_at, y_bits = (12, 0x3FF, 22, 0x1FF) if davis else (1, 0x7F, 8, 0x7F)
        block = np.empty(len(address), EVENT)
        x = (address >> np.uint32(x_at) & np.uint32(x_bits)).astype(np.int64)
        block["t"], block["y"] = t, address >> np.uint32(y_at) & np.uint32(y_bits)
        block["p"] = address >> np.uint32(11) & np.uint32(1) if davis else 1 - (address & np.uint32(1))
        others = address & np.uint32((1 << 31 | 1 << 10) if davis else 1 << 15) != 0
        if others.any():
            note(notes, "has records that are no events of pixels (frames, motion, external); left out")
        outside = ~others & (x >= width)
        if outside.any():
            raise DataError(f"{path}: an event is at x = {x[outside.argmax()]}, outside the sensor of "
                            f"{width} x {size[0]} pixels")
        block["x"] = (width - 1 - x).astype(np.uint16)
        yield block[~others]
