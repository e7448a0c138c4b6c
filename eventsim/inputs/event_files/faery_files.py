"""AEDAT 4, Prophesee's EVT 2, 2.1 and 3 (.raw) and Event Stream (.es), through faery.

faery (`pip install "eventsim-snn[events]"`) is imported when it is needed, and by nothing else here.
"""

import os
import re

import numpy as np

from eventsim.errors import DataError, MissingPackageError
from eventsim.inputs.event_files.records import header_lines, note
from eventsim.inputs.events import EVENT, EventStream
from eventsim.storage.reading import one_line

STARTS = {b"#!AER-DAT4": "aedat", b"Event Stream": "es"}
VERSIONS = {"2.0": "evt2", "2": "evt2", "2.1": "evt2.1", "21": "evt2.1", "3.0": "evt3", "3": "evt3"}
WORD_BYTES = {"evt2": 4, "evt2.1": 8, "evt3": 2}
# what a header names of a camera -> (height, width)
CAMERAS = (("gen41", (720, 1280)), ("imx636", (720, 1280)), ("gen4", (720, 1280)), ("genx320", (320, 320)),
           ("gen3", (480, 640)))


def holds_events(path, start) -> bool:
    """By the first bytes; for EVT by what its header says, or by suffix."""
    return start.startswith(tuple(STARTS)) or start[:1] == b"%" and (
        path.suffix == ".raw" or re.search(rb"(?m)^% *(evt|format EVT)", start) is not None)


def recording_in(path, options) -> EventStream:
    """The recording in a file."""
    faery = _faery(path)
    with open(path, "rb") as file:
        start = file.read(12)
    kind = next((kind for magic, kind in STARTS.items() if start.startswith(magic)), "evt")
    size, notes, version, place = None, [], None, 0
    if kind == "evt":
        lines, place = header_lines(path, b"%", b"% end")
        version, size = _version(path, lines), _size(lines)
        if size is None and options.sensor_size is None:
            note(notes, "does not say how many pixels its sensor has (sensor_size says it)")

    def opened():
        with _Failing(path):
            return faery.events_stream_from_file(path, file_type=kind, version_fallback=version)

    if kind != "evt":
        width, height = opened().dimensions()
        size = height, width

    def blocks():
        with _Failing(path):
            for packet in opened():
                block = np.empty(len(packet), EVENT)
                block["t"], block["x"], block["y"], block["p"] = (packet[key] for key in ("t", "x", "y", "on"))
                yield block
        left = (os.path.getsize(path) - place) % WORD_BYTES.get(version, 1)
        if left:
            raise DataError(f"{path}: ends within a word of {WORD_BYTES[version]} bytes: truncated")

    return EventStream(blocks, str(path), options.sensor_size or size, notes=notes)


def _version(path, lines):
    """The version of EVT that a header says."""
    found = re.search(r"(?mi)^% *(?:evt|format EVT) *([0-9.]+)", "\n".join(lines))
    if found is None or found[1] not in VERSIONS:
        raise DataError(f"{path}: its header says {found[0] if found else 'no version of EVT'}, expected EVT 2, "
                        f"2.1 or 3")
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
