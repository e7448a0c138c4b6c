"""HDF5 with columns t, x, y and p: at the top, or in events/ or CD/events (Prophesee, DSEC, e2vid)."""

import numpy as np

from eventsim.errors import DataError
from eventsim.inputs.event_files.options import refuse_given
from eventsim.inputs.event_files.records import Microseconds, note
from eventsim.inputs.event_files.text_events import check_order, named_columns
from eventsim.inputs.events import AT_ONCE, block_of, EventStream
from eventsim.storage.hdf5 import open_hdf5

SIGNATURE = b"\x89HDF\r\n\x1a\n"
PLACES = ("", "events", "CD/events", "CD", "davis/left/events", "prophesee/left")


def holds_events(path, start) -> bool:
    """Whether it has such columns."""
    if not start.startswith(SIGNATURE):
        return False
    with open_hdf5(path, DataError) as root:
        return _found(root) is not None


def recording_in(path, options) -> EventStream:
    """The recording in a file."""
    notes = []
    with open_hdf5(path, DataError) as root:
        place, names = _found(root)
        if names is None:
            parent, _, name = place.rpartition("/")
            dtype = (_group(root, parent) or root).dataset(name).dtype
            check_order(named_columns(dtype.names), options.columns, path)
        else:
            refuse_given(options, ("columns",), path, "arrays that have names")
        if place:
            note(notes, f"has its events in {place}/")
        size = options.sensor_size or _size(root)
    return EventStream(lambda: _blocks(path, options, notes), str(path), size, notes=notes)


def _blocks(path, options, notes):
    in_microseconds = Microseconds(options.time_unit, notes)
    with open_hdf5(path, DataError) as root:
        place, names = _found(root)
        group = _group(root, place)
        if names is None:  # one dataset with named columns
            parent, _, name = place.rpartition("/")
            columns = {None: (_group(root, parent) or root).dataset(name)}
        else:
            columns = {key: group.dataset(name) for key, name in names.items()}
            for column in columns.values():
                column.require_numbers()
        lengths = {column.shape for column in columns.values()}
        if len(lengths) != 1 or len(next(iter(lengths))) != 1:
            raise DataError(f"{path}: t, x, y and p have shapes {sorted(lengths)}, expected (N,), the same")
        for first in range(0, next(iter(lengths))[0], AT_ONCE):
            part = {key: column.rows(slice(first, first + AT_ONCE)) for key, column in columns.items()}
            if names is None:
                [rows] = part.values()
                part = {key: rows[rows.dtype.names[at]] for key, at in named_columns(rows.dtype.names).items()}
            part["t"] = in_microseconds(part["t"])
            yield block_of(part, str(path))


def _found(root):
    """(place, {key: name} of the columns, or None where they are those of one dataset), or None."""
    for place in PLACES:
        group = _group(root, place)
        if group is not None and (places := named_columns(group.names())) is not None:
            names = {key: group.names()[at] for key, at in places.items()}
            if group.is_group(names["x"]) or len(group.dataset(names["x"]).shape) < 2:  # others are samples
                return place, names
        parent, _, name = place.rpartition("/")
        holder = _group(root, parent)
        if name and holder is not None and name in holder and not holder.is_group(name):
            dtype = holder.dataset(name).dtype
            if dtype.names and named_columns(dtype.names) is not None:
                return place, None
    return None


def _group(root, place):
    """The group at a place, or None."""
    for name in filter(None, place.split("/")):
        if root is None or name not in root or not root.is_group(name):
            return None
        root = root.group(name)
    return root


def _size(root):
    """(height, width), where the file says them as numbers."""
    if "height" in root and "width" in root and not (root.is_group("height") or root.is_group("width")):
        sizes = [np.ravel(root.numbers(name)) for name in ("height", "width")]
        if all(len(size) == 1 and 0 < size[0] <= 1 << 16 for size in sizes):
            return int(sizes[0][0]), int(sizes[1][0])
    return None
