"""HDF5 with columns t, x, y and p: at the top, or in events/ or CD/events (Prophesee, DSEC, e2vid)."""

from contextlib import suppress
from typing import Dict, NamedTuple, Optional

import numpy as np

from eventsim.errors import DataError
from eventsim.inputs.event_files.columns import check_order, named_columns, said_of_rivals, unit_of_times
from eventsim.inputs.event_files.options import KEYS, refuse_given
from eventsim.inputs.event_files.records import Microseconds, note, note_beside
from eventsim.inputs.events import AT_ONCE, BlockMaker, EventStream
from eventsim.storage.hdf5 import open_hdf5

SIZE = ("height", "width")  # names of the sensor's size at the top
SIGNATURE = b"\x89HDF\r\n\x1a\n"
ALONE = ("arr_0", "data")  # names of a dataset that may hold rows of four numbers, beside those places
PLACES = ("", "events", "CD/events", "CD", "davis/left/events", "prophesee/left")


class Found(NamedTuple):
    """Where a file has its events. names: key -> name of an array; None: they are the columns of the one dataset at
    this place, by their names or, rows of four numbers, by an order that is said."""

    place: str
    names: Optional[Dict[str, str]] = None


def holds_events(path, start) -> bool:
    """Whether it has such columns."""
    if not start.startswith(SIGNATURE):
        return False
    with open_hdf5(path, DataError) as root:
        return _found(root) is not None


def holds_rows(path, start) -> bool:
    """Whether it has a dataset, without names, that can be columns of events in an order that is said."""
    if not start.startswith(SIGNATURE):
        return False
    with open_hdf5(path, DataError) as root:
        return _found(root) is None and _rows(root) is not None


def recording_in(path, options) -> EventStream:
    """The recording in a file."""
    notes = []
    with open_hdf5(path, DataError) as root:
        found = _found(root) or _rows(root)
        if found.names is not None:
            refuse_given(options, ("columns",), path, "arrays that have names")
            name_of_times = found.names["t"]
        else:
            names = _dataset(root, found.place).dtype.names
            places = named_columns(names) if names else None
            if places is not None:
                check_order(places, options.columns, path)
                notes += said_of_rivals(names, places)
            name_of_times = "" if places is None else names[places["t"]]
        if found.place:
            note(notes, f"has its events in {found.place}/")
        note_beside(notes, _beside(root, found))
        size = options.sensor_size or _size(root)
    unit = unit_of_times(name_of_times, options.time_unit, path)
    return EventStream(lambda: _blocks(path, unit, options, notes), str(path), size, notes=notes)


def _blocks(path, unit, options, notes):
    in_microseconds, made = Microseconds(unit, notes), BlockMaker(str(path))
    with open_hdf5(path, DataError) as root:
        found = _found(root) or _rows(root)
        if found.names is None:
            columns = {None: _dataset(root, found.place)}
        else:
            group = _group(root, found.place)
            columns = {key: group.dataset(name) for key, name in found.names.items()}
            for column in columns.values():
                column.require_numbers()
        lengths = {column.shape[:1] if found.names is None else column.shape for column in columns.values()}
        if len(lengths) != 1 or len(next(iter(lengths))) != 1:
            raise DataError(f"{path}: t, x, y and p have shapes {sorted(lengths)}, expected (N,), the same")
        for first in range(0, next(iter(lengths))[0], AT_ONCE):
            part = {key: column.rows(slice(first, first + AT_ONCE)) for key, column in columns.items()}
            if found.names is None:
                part = _columns_of(part[None], options)
            yield from in_microseconds.blocks(part, made, path)


def _columns_of(rows, options):
    if rows.dtype.names is None:
        return {key: rows[:, options.columns.index(key)] for key in KEYS}
    return {key: rows[rows.dtype.names[at]] for key, at in named_columns(rows.dtype.names).items()}


def _found(root):
    """The `Found` of columns that have names, or None."""
    for place in PLACES:
        group = _group(root, place)
        if group is not None and (places := named_columns(group.names())) is not None:
            names = {key: group.names()[at] for key, at in places.items()}
            if group.is_group(names["x"]) or len(group.dataset(names["x"]).shape) < 2:  # others are samples
                return Found(place, names)
        dataset = _dataset(root, place)
        if dataset is not None and dataset.dtype.names and named_columns(dataset.dtype.names) is not None:
            return Found(place)
    return None


def _rows(root):
    """The `Found` of a dataset of rows of four numbers, or None."""
    for place in (*PLACES, *ALONE):
        dataset = _dataset(root, place)
        if dataset is not None and dataset.dtype.kind in "biuf" and dataset.shape[1:] == (len(KEYS),):
            return Found(place)
    return None


def _beside(root, found):
    """Names of what lies beside the events, but for the sensor's size; of other recordings the whole place."""
    group, above, names = root, "", []
    for part in filter(None, found.place.split("/")):
        names += [above + name for name in group.names() if name != part]
        above, group = f"{above}{part}/", group.group(part) if group.is_group(part) else None
    if group is not None:
        names += [above + name for name in group.names() if name not in found.names.values()]
    others = [place for place in PLACES if place != found.place and _has_columns(root, place)]
    return [f"{place}/" for place in others] + [
        name for name in names
        if name not in SIZE and not any(f"{place}/".startswith(f"{name}/") for place in others)]


def _has_columns(root, place):
    """Whether arrays at a place have the names of columns, whatever they hold."""
    with suppress(DataError):  # of what is not read
        group = _group(root, place) if place else None
        return group is not None and named_columns(group.names()) is not None
    return False


def _dataset(root, place):
    """The dataset at a place, or None."""
    parent, _, name = place.rpartition("/")
    holder = _group(root, parent)
    there = name and holder is not None and name in holder and not holder.is_group(name)
    return holder.dataset(name) if there else None


def _group(root, place):
    """The group at a place, or None."""
    for name in filter(None, place.split("/")):
        if root is None or name not in root or not root.is_group(name):
            return None
        root = root.group(name)
    return root


def _size(root):
    """(height, width), where the file says them as numbers."""
    if all(name in root and not root.is_group(name) for name in SIZE):
        sizes = [np.ravel(root.numbers(name)) for name in SIZE]
        if all(len(size) == 1 and 0 < size[0] <= 1 << 16 for size in sizes):
            return int(sizes[0][0]), int(sizes[1][0])
    return None
