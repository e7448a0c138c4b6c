"""NumPy's .npy and .npz: a structured array, an array (N, 4), or arrays t, x, y and p (SpikingJelly, Tonic)."""

import zipfile
from contextlib import ExitStack

import numpy as np

from eventsim.errors import DataError
from eventsim.inputs.event_files.columns import check_order, named_columns, said_of_rivals, unit_of_times
from eventsim.inputs.event_files.options import KEYS, refuse_given
from eventsim.inputs.event_files.records import Microseconds, note, note_beside
from eventsim.inputs.events import AT_ONCE, BlockMaker, EventStream
from eventsim.storage.npz import array_header, fortran_array, npz_member
from eventsim.storage.reading import READ_ERRORS, reading

NPY, ZIP = b"\x93NUMPY", b"PK"
ALONE = ("events", "arr_0", "data")  # names of the one array of a .npz that holds events


def holds_events(path, start) -> bool:
    """Return whether an array of the file has columns of events; other arrays are data sets. What is named .npz is
    nothing else: errors of reading it are raised."""
    if start.startswith(NPY):
        with reading(path), open(path, "rb") as file:
            _, dtype, _ = array_header(file, "the array", path)
        return dtype.names is not None
    if not start.startswith(ZIP):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            names = _names(archive)
            places = named_columns(names)
            if places is not None:
                shape, _ = _header(archive, names[places["x"]], path)
                return len(shape) < 2  # others are samples
            shape, dtype = _alone(archive, path)
    except READ_ERRORS:
        if path.suffix.lower() == ".npz":
            raise
        return False
    return dtype.names is not None or len(shape) == 2 and shape[1] == 4


def holds_columns(path, start) -> bool:
    """Return whether an array of the file can be columns of events in an order that is given."""
    if start.startswith(NPY):
        with open(path, "rb") as file:
            shape, dtype, _ = array_header(file, "the array", path)
    elif start.startswith(ZIP):
        try:
            with zipfile.ZipFile(path) as archive:
                shape, dtype = _alone(archive, path)
        except READ_ERRORS:
            return False
    else:
        return False
    return dtype.names is None and dtype.kind in "biuf" and shape[1:] == (len(KEYS),)


def _alone(archive, path):
    """Return (shape, dtype) of the one array that may hold events; the shape () where there is none."""
    names = _names(archive)
    name = None if "x" in names else next((name for name in ALONE if name in names), None)
    return ((), np.dtype(float)) if name is None else _header(archive, name, path)


def _header(archive, name, path):
    """Return (shape, dtype) of an array."""
    with npz_member(archive, name, path) as file:
        return array_header(file, name, path)[:2]


def recording_in(path, options) -> EventStream:
    """Return the recording in a file."""
    notes = []
    with open(path, "rb") as file:
        packed = file.read(2) == ZIP
    if options.columns is not None:
        _check_columns(path, packed, options)
    blocks = _npz_blocks if packed else _npy_blocks
    unit = unit_of_times(_name_of_times(path, packed), options.time_unit, path)
    return EventStream(lambda: _in_microseconds(blocks(path, options, notes), path, unit, notes), str(path),
                       options.sensor_size, notes=notes)


def _name_of_times(path, packed):
    """Return the name of t in the file, "" where columns have no names."""
    with reading(path), open(path, "rb") as file, ExitStack() as stack:
        if packed:
            archive = stack.enter_context(zipfile.ZipFile(file))
            names = _names(archive)
            if named_columns(names) is None:
                names = _alone(archive, path)[1].names or ()
        else:
            names = array_header(file, "the array", path)[1].names or ()
    places = named_columns(names)
    return "" if places is None else names[places["t"]]


def _check_columns(path, packed, options):
    """Raise DataError where the file names its columns in another order than the options give."""
    if not packed:
        with open(path, "rb") as file:
            _, dtype, _ = array_header(file, "the array", path)
    else:
        with zipfile.ZipFile(path) as archive:
            if named_columns(_names(archive)) is not None:
                refuse_given(options, ("columns",), path, "arrays that have names")
            _, dtype = _alone(archive, path)
    places = named_columns(dtype.names or ())
    if places is not None:
        check_order(places, options.columns, path)


def _in_microseconds(parts, path, unit, notes):
    in_microseconds, made = Microseconds(unit, notes), BlockMaker(str(path))
    for columns in parts:
        yield from in_microseconds.blocks(columns, made, path)


def _npy_blocks(path, options, notes):
    with reading(path), open(path, "rb") as file:
        yield from _rows(file, "the array", path, options, notes)


def _npz_blocks(path, options, notes):
    with reading(path), zipfile.ZipFile(path) as archive, ExitStack() as stack:
        names = _names(archive)
        places = named_columns(names)
        if places is None:
            alone = next(name for name in ALONE if name in names)
            note_beside(notes, [name for name in names if name != alone])
            yield from _rows(stack.enter_context(npz_member(archive, alone, path)), alone, path, options, notes)
            return
        note_beside(notes, [name for i, name in enumerate(names) if i not in places.values()])
        readers = {key: _column(stack.enter_context(npz_member(archive, names[place], path)), names[place], path)
                   for key, place in places.items()}
        lengths = {names[places[key]]: next(reader) for key, reader in readers.items()}
        if len(set(lengths.values())) != 1:
            raise DataError(f"{path}: has {lengths} numbers of events, expected the same number")
        for parts in zip(*readers.values()):
            yield dict(zip(readers, parts))


def _names(archive):
    return [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]


def _column(file, name, path):
    """Yield the number of elements, then parts of them."""
    shape, dtype, _ = array_header(file, name, path)
    if len(shape) != 1 or dtype.kind not in "biuf":
        raise DataError(f"{path}: {name} has shape {shape} and type {dtype}, expected one number per event")
    yield shape[0]
    yield from _parts(file, shape[0], dtype, name, path)


def _rows(file, name, path, options, notes):
    """Yield columns by key, from a structured array (N,) or an array (N, 4)."""
    shape, dtype, in_fortran_order = array_header(file, name, path)
    if dtype.names is not None:
        places = named_columns(dtype.names)
        if places is None or len(shape) != 1:
            raise DataError(f"{path}: {name} has shape {shape} and columns {list(dtype.names)[:10]}, expected "
                            f"(N,) with t, x, y, p")
        for text in said_of_rivals(dtype.names, places):
            note(notes, text)
        for part in _parts(file, shape[0], dtype, name, path):
            yield {key: part[dtype.names[place]] for key, place in places.items()}
        return
    if shape[1:] != (len(KEYS),) or dtype.kind not in "biuf" or options.columns is None:
        raise DataError(f"{path}: {name} has shape {shape} and type {dtype}, expected a structured array with t, "
                        f"x, y, p, or (N, 4) and the order of its columns (--columns txyp); samples are to be "
                        f"named: np.savez(file, x=x, y=y)")
    if in_fortran_order:
        rows = fortran_array(file, shape, dtype, name, path)
        parts = (rows[first : first + AT_ONCE] for first in range(0, len(rows), AT_ONCE))
    else:
        parts = _parts(file, shape[0], np.dtype((dtype, shape[1:])), name, path)
    for part in parts:
        yield {key: part[:, options.columns.index(key)] for key in KEYS}


def _parts(file, n, dtype, name, path):
    for first in range(0, n, AT_ONCE):
        wanted = min(AT_ONCE, n - first) * dtype.itemsize
        data = file.read(wanted)
        part = np.frombuffer(data, dtype, len(data) // dtype.itemsize)
        if len(part):
            yield part
        if len(data) < wanted:
            raise DataError(f"{path}: {name} ends in event {first + len(part)} of {n}: truncated")
