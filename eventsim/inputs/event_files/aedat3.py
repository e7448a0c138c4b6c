"""AEDAT 3.1, as cAER writes it (DVS128 Gesture): text up to #!END-HEADER, then packets.

A packet has a header of 28 bytes, little-endian, and records of one size, type and source (camera); those of type
1 are events of 8 bytes: bit 0 valid, bit 1 polarity (1 = brighter), bits 2 to 16 y, bits 17 to 31 x; then
microseconds, 31 bits, to which the packet's header counts how often they ran over. Other types are skipped. The
highest bit of the type marks compressed packets, whose bytes `capacity` counts. From a file with events of several
sources, one is read, which `sample` names by its number.
"""

import os
import re

import numpy as np

from eventsim.errors import DataError
from eventsim.inputs.event_files.records import header_lines, note, sensor_size_of
from eventsim.inputs.events import EVENT, EventStream
from eventsim.storage.reading import reading

HEADER = np.dtype([("type", "<u2"), ("source", "<i2"), ("size", "<i4"), ("time_at", "<i4"), ("turns", "<i4"),
                   ("capacity", "<i4"), ("number", "<i4"), ("valid", "<i4")])
POLARITY = 1
COMPRESSED = 1 << 15  # of a type
FORMATS = ("raw", "pngframes", "png")  # of packets whose events are as they are
MOST_BYTES = 1 << 28  # of a packet
TIME_BITS = 31
SIZES = {"DVS128": (128, 128), "DAVIS128": (128, 128), "DAVIS240": (180, 240), "DAVIS346": (260, 346),
         "DAVIS640": (480, 640)}


def holds_events(path, start) -> bool:
    """Return whether a file has this format, by its first line."""
    return start.startswith(b"#!AER-DAT3")


def recording_in(path, options) -> EventStream:
    """Return the recording in a file."""
    lines, place = header_lines(path, b"#", b"#!END-HEADER")
    if not lines or not lines[-1].startswith("#!END-HEADER"):
        raise DataError(f"{path}: its header has no line #!END-HEADER: truncated, or damaged")
    header = "\n".join(lines)
    _check_format(path, header)
    sensors = {int(number): name.upper()
               for number, name in re.findall(r"(?im)^#Source (\d+): *([A-Z]+\d+)", header)}
    n_sources = len(re.findall(r"(?im)^#Source \d+:", header))
    source = _source(path, place, sensors, n_sources > 1, options.sample)
    sensor = sensors.get(source) if n_sources > 1 else next(iter(sensors.values()), None)
    notes = []
    return EventStream(lambda: _blocks(path, place, source, sensors, options.sample, notes), str(path),
                       sensor_size_of(path, SIZES.get(sensor), options), notes=notes)


def _check_format(path, header):
    """Raise DataError where the header says that packets of events are compressed."""
    stated = re.search(r"(?im)^#Format: *(.*?) *$", header)
    unknown = stated and [name for name in stated[1].split(",") if name.strip().lower() not in FORMATS]
    if unknown:
        raise DataError(f"{path}: its header says #Format: {stated[1]}, expected RAW: have cAER write it without "
                        "compression")


def _source(path, place, sensors, several, asked):
    """Return the number of the source whose events are read, None where there are none. several: whether
    the header names more than one; else the first packet of events tells. asked: the number that is
    asked for, or None. Raises DataError where there are several and none is asked for, or where the one
    asked for has no events."""
    numbers = []
    try:
        for head, _ in _packets(path, place, with_records=False):
            number = int(head["source"])
            if int(head["type"]) & ~COMPRESSED == POLARITY and head["number"] and number not in numbers:
                numbers.append(number)
                if not several and asked is None:
                    break
    except DataError:  # said where the packet is read
        pass
    if asked is not None and numbers and asked not in numbers:
        raise DataError(f"{path}: has events of {_named(numbers, sensors)}, but sample is {asked}: give another "
                        "(--sample)")
    if asked is None and len(numbers) > 1:
        raise _several_sources(path, numbers, sensors)
    return asked if asked is not None else next(iter(numbers), None)


def _several_sources(path, numbers, sensors):
    return DataError(f"{path}: has events of {_named(numbers, sensors)}, expected one source: give its number as "
                     f"sample (--sample {min(numbers)})")


def _named(numbers, sensors):
    names = [f"{number} ({sensors[number]})" if number in sensors else str(number) for number in sorted(numbers)]
    return f"source{'s' * (len(names) > 1)} {' and '.join(names)}"


def _packets(path, place, with_records=True):
    """Yield (header, bytes of its records) of each packet; b"" in place of records that are not wanted. Raises
    DataError, after the packet, where the file ends within it."""
    with reading(path), open(path, "rb") as file:
        file.seek(place)
        while data := file.read(HEADER.itemsize):
            if len(data) < HEADER.itemsize:
                raise DataError(f"{path}: ends within the header of a packet: truncated")
            head = np.frombuffer(data, HEADER)[0]
            size, n, room = int(head["size"]), int(head["number"]), int(head["capacity"])
            n_bytes = room if int(head["type"]) & COMPRESSED else size * n
            if not (size > 0 and 0 <= n <= room and n_bytes <= MOST_BYTES):
                raise DataError(f"{path}: a packet at byte {file.tell() - HEADER.itemsize} declares {n} records "
                                f"of {size} bytes, room for {room}: damaged")
            if not with_records:
                file.seek(n_bytes, os.SEEK_CUR)
                yield head, b""
                continue
            records = file.read(n_bytes)
            yield head, records
            if len(records) < n_bytes:
                raise DataError(f"{path}: ends within a packet of {n} records: truncated")


def _blocks(path, place, source, sensors, asked, notes):
    for head, data in _packets(path, place):
        kind = int(head["type"])
        if kind & ~COMPRESSED != POLARITY:
            note(notes, "has packets of other than events of pixels; passed over")
            continue
        if kind & COMPRESSED:
            raise DataError(f"{path}: has packets of events that are compressed, expected RAW: have cAER write it "
                            "without compression")
        if head["source"] != source and head["number"]:
            if asked is None:
                raise _several_sources(path, [source, int(head["source"])], sensors)
            note(notes, f"has events of other sources than {source}; left out")
            continue
        if head["size"] != 8 or head["time_at"] != 4:
            raise DataError(f"{path}: a packet has events of {head['size']} bytes, expected 8")
        yield _events(data[: len(data) // 8 * 8], int(head["turns"]), notes)


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
