"""AEDAT 4, Prophesee's EVT 2 and 3 (.raw) and Event Stream (.es), through faery.

faery (`pip install "eventsim-snn[events]"`) is imported when it is needed, and by nothing else here.
"""

import os
import re

import numpy as np

from eventsim.errors import DataError, MissingPackageError
from eventsim.inputs.event_files.records import header_lines, note, records
from eventsim.inputs.events import EVENT, EventStream
from eventsim.storage.reading import one_line
from eventsim.text import many

STARTS = {b"#!AER-DAT4": "aedat", b"Event Stream": "es"}
VERSIONS = {"2.0": "evt2", "2": "evt2", "3.0": "evt3", "3": "evt3"}
UNREAD = ("2.1", "21")  # versions that faery does not decode
WORD_BYTES = {"evt2": 4, "evt3": 2}
TIMED = {"evt2": (8,), "evt3": (8, 6, 0)}  # kinds of words after which it is known when and where events happen
EVENT_BITS = {"evt2": {0: None, 1: None}, "evt3": {2: None, 4: 12, 5: 8}}  # of a kind: lowest bits that are events
LARGEST = (1 << 11, 1 << 11)  # columns and rows that EVT can say
# what a header names of a camera -> (height, width)
CAMERAS = (("gen41", (720, 1280)), ("imx636", (720, 1280)), ("gen4", (720, 1280)), ("genx320", (320, 320)),
           ("gen3", (480, 640)))


def holds_events(path, start) -> bool:
    """By the first bytes; for EVT by what its header says, or by suffix."""
    return start.startswith(tuple(STARTS)) or start[:1] == b"%" and (
        path.suffix.lower() == ".raw" or re.search(rb"(?m)^% *(evt|format EVT)", start) is not None)


def recording_in(path, options) -> EventStream:
    """The recording in a file."""
    with open(path, "rb") as file:
        start = file.read(12)
    kind = next((kind for magic, kind in STARTS.items() if start.startswith(magic)), "evt")
    size, notes, version, place = None, [], None, 0
    if kind == "evt":
        lines, place = header_lines(path, b"%", b"% end")
        version, size = _version(path, lines), _size(lines)
        if size is None and options.sensor_size is None:
            note(notes, "does not say how many pixels its sensor has (sensor_size says it)")
    faery = _faery(path)

    def opened():
        with _Failing(path):
            return faery.events_stream_from_file(path, dimensions_fallback=LARGEST, file_type=kind,
                                                 version_fallback=version)

    if kind != "evt":
        width, height = opened().dimensions()
        size = height, width

    def blocks():
        stray = 0 if version is None else _n_stray(path, place, version)
        if stray:
            note(notes, f"begins in the middle: {many(stray, 'event')} before the first words that say time and row, "
                        "left out")
        with _Failing(path):
            for packet in opened():
                packet, stray = packet[stray:], max(0, stray - len(packet))
                block = np.empty(len(packet), EVENT)
                block["t"], block["x"], block["y"], block["p"] = (packet[key] for key in ("t", "x", "y", "on"))
                yield block
        left = (os.path.getsize(path) - place) % WORD_BYTES.get(version, 1)
        if left:
            raise DataError(f"{path}: ends within a word of {WORD_BYTES[version]} bytes: truncated")

    return EventStream(blocks, str(path), options.sensor_size or size, notes=notes)


def _n_stray(path, place, version):
    """Events that a file of EVT begins with before it has said when they happened."""
    n_bits, waited = 8 * WORD_BYTES[version], set(TIMED[version])
    n = 0
    for words in records(path, place, f"<u{WORD_BYTES[version]}"):
        kinds = words >> (n_bits - 4)
        ends = [int(np.argmax(kinds == kind)) for kind in waited if (kinds == kind).any()]
        done = len(ends) == len(waited)
        end = max(ends) if done else len(words)
        for kind, bits in EVENT_BITS[version].items():
            found = words[:end][kinds[:end] == kind]
            n += len(found) if bits is None else sum(int(word & ((1 << bits) - 1)).bit_count() for word in found)
        if done:
            break
        waited -= set(kinds.tolist())
    return n


def _version(path, lines):
    """The version of EVT that a header says."""
    found = re.search(r"(?mi)^% *(?:evt|format EVT) *([0-9.]+)", "\n".join(lines))
    if found is not None and found[1] in UNREAD:
        raise DataError(f"{path}: is EVT 2.1, expected EVT 2 or 3: convert it with the camera's tools, as "
                        "metavision_file_to_dat does, and give the .dat")
    if found is None or found[1] not in VERSIONS:
        raise DataError(f"{path}: its header says {found[0] if found else 'no version of EVT'}, expected EVT 2 or 3")
    return VERSIONS[found[1]]


def _size(lines):
    """(height, width) that a header says, by number or by camera, or None."""
    text = "\n".join(lines).lower()
    for pattern in (r"geometry:? *(\d+)x(\d+)", r"width=(\d+).*height=(\d+)"):
        if found := re.search(pattern, text):
            return int(found[2]), int(found[1])
    if found := re.search(r"height=(\d+).*width=(\d+)", text):
        return int(found[1]), int(found[2])
    return next((size for name, size in CAMERAS if name in text), None)


def _faery(path):
    try:
        import faery
    except ImportError:
        raise MissingPackageError(f'{path}: AEDAT 4, EVT (.raw) and ES are read through faery, which is not '
                                  'installed: pip install "eventsim-snn[events]"') from None
    return faery


class _Failing:
    """What faery raises, as one line."""

    def __init__(self, path):
        self._path = path

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        # a panic of its compiled part is no Exception
        if error is not None and (issubclass(kind, Exception) or kind.__name__ == "PanicException"):
            if not isinstance(error, DataError):
                reason = one_line(error)
                raise DataError(f"{self._path}: cannot be read, damaged or truncated ({reason})") from None
