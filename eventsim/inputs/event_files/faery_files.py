"""Packets of recordings that are read through faery (`pip install "eventsim-snn[events]"`): AEDAT 4 and ES.

faery runs in a process of its own, `faery_process`. It moves times that fall to the largest before them, and times
below 0 to 0, and does not say where.
"""

import os
import re
import struct
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Iterator

import numpy as np

from eventsim.errors import DataError, MissingPackageError
from eventsim.inputs.event_files.faery_process import END, FAILED, MISSING
from eventsim.inputs.events import Block, EVENT
from eventsim.storage.reading import one_line, reading

PROGRAM = Path(__file__).with_name("faery_process.py")
PACKET = np.dtype([("t", "<u8"), ("x", "<u2"), ("y", "<u2"), ("on", "?")])  # as faery has its events
OUTSIDE = re.compile(r"overflow \(([xy])=(-?\d+) must be")


def check_faery(path) -> None:
    """Raise MissingPackageError where faery is not installed."""
    if find_spec("faery") is None:
        raise MissingPackageError(f'{path}: AEDAT 4 and ES are read through faery, which is not installed: '
                                  'pip install "eventsim-snn[events]"')


def blocks_through_faery(path, size, *arguments) -> Iterator[Block]:
    """Return the events that faery reads from a file. size: (height, width) of the sensor. arguments: those of
    `faery_process` except the path. Raises DataError where faery fails."""
    kind, *numbers = arguments
    python_path = os.pathsep.join(folder for folder in sys.path if folder)
    with reading(path):
        process = subprocess.Popen(
            [sys.executable, str(PROGRAM), kind, str(path), *map(str, numbers)], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": python_path})
        try:
            yield from _blocks(process.stdout, path, size)
        finally:
            process.stdout.close()
            process.kill()
            process.wait()


def _blocks(output, path, size):
    while (n_bytes := _number(output)) is not None and n_bytes >= 0:
        packet = np.frombuffer(output.read(n_bytes), PACKET)
        block = np.empty(len(packet), EVENT)
        block["t"], block["x"], block["y"], block["p"] = (packet[key] for key in ("t", "x", "y", "on"))
        yield block
    if n_bytes == END:
        return
    text = output.read(_number(output) or 0).decode("utf-8", "replace") if n_bytes in (FAILED, MISSING) else ""
    if n_bytes == MISSING:
        raise MissingPackageError(f"{path}: cannot be read, faery does not start ({one_line(text)})")
    if outside := OUTSIDE.search(text):
        raise DataError(f"{path}: an event is at {outside[1]} = {outside[2]}, outside the sensor of {size[1]} x "
                        f"{size[0]} pixels")
    raise DataError(f"{path}: cannot be read, damaged or truncated ({one_line(text) or 'faery has crashed'})")


def _number(output):
    data = output.read(8)
    return struct.unpack("<q", data)[0] if len(data) == 8 else None
