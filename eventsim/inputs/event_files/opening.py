"""Opens recordings by what they hold: one table of formats, asked in turn."""

import os
from contextlib import contextmanager, suppress
from pathlib import Path

from eventsim.arguments import path_of
from eventsim.errors import DataError
from eventsim.inputs.event_files import (
    aedat2, aedat3, aedat4, cochlea, dat, es, evt, five_bytes, hdf5_events, numpy_files, text_events,
)
from eventsim.inputs.event_files.formats import OF_EVENTS
from eventsim.inputs.event_files.options import checked_options, EventOptions, refuse_given
from eventsim.inputs.event_files.records import note
from eventsim.inputs.events import EventStream
from eventsim.storage.nearby import remedy_of_folder, remedy_of_missing
from eventsim.storage.reading import reading, refuse_special, special_file

# Each has `holds_events(path, start)` and `recording_in(path, options)`. Asked in this order: first those that
# tell by their first bytes, then those that look into a file, then by suffix.
FORMATS = (aedat2, aedat3, aedat4, es, evt, dat, cochlea, hdf5_events, numpy_files, text_events, five_bytes)
# option -> the formats that it applies to, and what the others are
NAMED = (hdf5_events, numpy_files, text_events)
# formats that may hold rows whose columns have no names -> whether a file does
OF_ROWS = {numpy_files: numpy_files.holds_columns, hdf5_events: hdf5_events.holds_rows}
OF_FORMATS = {
    "time_unit": (NAMED, "a format that has a unit of its own"),
    "columns": (NAMED, "a format that has columns of its own"),
    "sample": ((cochlea, aedat3, aedat4), "a file of one recording"),
}
START_BYTES = 1 << 12


def open_events(path, **options) -> EventStream:
    """Open the recording of events in a file, whatever its format, to be read as it is.

    path: a file of a camera, a data set, arrays or text, in one of `event_files.formats.RECORDINGS`. AEDAT 4 and
        Event Stream are read through faery: `pip install "eventsim-snn[events]"`.
    options: fields of `EventOptions`; `sample` says which recording of a file that has several is opened.

    What was assumed or mended (units, mirrored axes, clocks that ran over, times out of order) is in the stream's
    `notes` once it has been read. Raises DataError, here and while it is read, naming the file;
    MissingPackageError where faery is missing.
    """
    path, asked = Path(path_of(path)), checked_options(EventOptions, options)
    check_recording(path, "eventsim.open_dataset")
    module = event_format(path, asked)
    if module is None:
        raise unknown_format(path)
    return open_as(module, path, asked)


def check_recording(path, takes_folders) -> None:
    """Raise DataError, with what was probably meant, where there is no such file or it is a folder. takes_folders:
    names what does take folders."""
    path = Path(path)
    refuse_dangling(path)
    with suppress(OSError):  # said by what opens it
        if path.is_dir():
            raise DataError(f"{path}: is a folder, expected one recording ({takes_folders} takes folders)"
                            f"{remedy_of_folder(path, _holds_events)}")
        if not path.exists():
            raise DataError(f"{path}: no such file{remedy_of_missing(path)}")


def refuse_dangling(path) -> None:
    """Raise DataError where a path is a link whose target does not exist."""
    if path.is_symlink() and not path.exists():
        raise DataError(f"{path}: is a link to {os.readlink(path)}, which does not exist: mend the link, or "
                        "remove it")


def _holds_events(path):
    with suppress(DataError):
        return event_format(path) is not None
    return False


def unknown_format(path) -> DataError:
    """Return what is said of a file for which `event_format` gives None."""
    with reading(path), open(path, "rb") as file:
        start = file.read(START_BYTES)
        if any(holds(path, start) for holds in OF_ROWS.values()):
            return DataError(f"{path}: holds rows of four numbers without names: where they are events, give the "
                             "order of the columns, such as 'txyp' (columns, --columns txyp)")
    return DataError(f"{path}: holds no events of a known format, expected {OF_EVENTS}")


def event_format(path, options: EventOptions = EventOptions()):
    """Return the module of `FORMATS` that reads a file, or None. Raises DataError where it cannot be read."""
    refuse_special(path)
    refuse_dangling(path)
    with reading(path), open(path, "rb") as file:
        start = file.read(START_BYTES)
        rows = () if options.columns is None else [each for each, holds in OF_ROWS.items() if holds(path, start)]
        return rows[0] if rows else next((module for module in FORMATS if module.holds_events(path, start)), None)


def is_prose(path) -> bool:
    """Return whether a file is text without events, such as notes or a list of names that lie
    beside recordings."""
    if path.suffix.lower() not in text_events.SUFFIXES or special_file(path):
        return False
    refuse_dangling(path)
    with reading(path), open(path, "rb") as file:
        return text_events.holds_prose(path, file.read(START_BYTES))


def open_as(module, path, options: EventOptions) -> EventStream:
    """Return the recording in a file of a known format."""
    for option, (formats, others) in OF_FORMATS.items():
        if module not in formats:
            refuse_given(options, (option,), path, others)
    with reading(path):
        stream = module.recording_in(path, options)
    return stream.with_blocks(lambda: _watched(stream, path, options), stream.sensor_size, stream.start)


def sized(stream, size, options: EventOptions) -> EventStream:
    """Return a stream whose sensor has this size, (height, width), where the stream does not say another. An event
    outside is damage, as in a file that says its size."""
    known = size is None or stream.sensor_size is not None
    if known and not options.keep_going:
        return stream
    inside = stream if known else EventStream(stream, stream.name, size, stream.start, stream.notes)

    def blocks():
        with _up_to_damage(inside, options):
            yield from inside

    return inside.with_blocks(blocks, inside.sensor_size, inside.start)


def _watched(stream, path, options):
    """Yield the blocks, up to damage where that is wanted, and note where times fall."""
    newest = None
    with _up_to_damage(stream, options), reading(path):
        for block in stream:
            t = block["t"]
            if (t[1:] < t[:-1]).any() or newest is not None and t[0] < newest:
                note(stream.notes, "has events out of order; each counts at its own time")
            newest = t[-1]
            yield block


@contextmanager
def _up_to_damage(stream, options):
    try:
        yield
    except DataError as error:
        if not options.keep_going:
            raise
        reason = str(error).removeprefix(f"{stream.name}: ")
        note(stream.notes, f"damaged: {reason}; only what stands before is taken")


