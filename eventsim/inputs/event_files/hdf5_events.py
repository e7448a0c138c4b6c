"""HDF5 with columns t, x, y and p: at the top, or in events/ or CD/events (Prophesee, DSEC, e2vid)."""

import re
from contextlib import suppress
from typing import Dict, NamedTuple, Optional

import numpy as np

from eventsim.errors import DataError
from eventsim.inputs.chunks import parts_of
from eventsim.inputs.event_files.columns import (
    check_order, named_columns, said_of_rivals, unit_in_words, unit_of_times,
)
from eventsim.inputs.event_files.options import is_extent, KEYS, refuse_given
from eventsim.inputs.event_files.records import Microseconds, note, note_beside, sensor_size_of
from eventsim.inputs.events import AT_ONCE, BlockMaker, EventStream
from eventsim.storage.hdf5 import open_hdf5

SIZE = ("height", "width")  # names of the sensor's size: datasets at the top, or attributes
SIGNATURE = b"\x89HDF\r\n\x1a\n"
USER_BLOCKS = (0, 512, 1024, 2048)  # bytes before the signature
TIME_UNITS = ("time_unit", "time_units")  # attributes that say the unit of t
RESOLUTION = "sensor_resolution"  # an attribute of the sensor's size
UNIT_ATTRIBUTES = ("units", "unit", *TIME_UNITS)  # of the dataset of t itself
ALONE = ("arr_0", "data")  # names of a dataset that may hold rows of four numbers, beside those places
PLACES = ("", "events", "CD/events", "CD", "davis/left/events", "prophesee/left")


class Location(NamedTuple):
    """Where a file has its events. names: key -> name of an array; None: events are the columns of the one dataset
    at this place, by their names or, where rows have four numbers, by an order that is given."""

    place: str
    names: Optional[Dict[str, str]] = None


def is_hdf5(start) -> bool:
    """Return whether a file that starts with these bytes is HDF5, with or without a user block before it."""
    return any(start.startswith(SIGNATURE, place) for place in USER_BLOCKS)


def holds_events(path, start) -> bool:
    """Return whether a file has such columns."""
    if not is_hdf5(start):
        return False
    with open_hdf5(path, DataError) as root:
        return _location(root) is not None


def holds_rows(path, start) -> bool:
    """Return whether a file has a dataset without names that can be columns of events in an
    order that is given."""
    if not is_hdf5(start):
        return False
    with open_hdf5(path, DataError) as root:
        return _location(root) is None and _location_of_rows(root) is not None


def recording_in(path, options) -> EventStream:
    """Return the recording in a file."""
    notes = []
    with open_hdf5(path, DataError) as root:
        location = _location(root) or _location_of_rows(root)
        if location.names is not None:
            refuse_given(options, ("columns",), path, "arrays that have names")
            name_of_times = location.names["t"]
        else:
            names = _dataset(root, location.place).dtype.names
            places = named_columns(names) if names else None
            if places is not None:
                check_order(places, options.columns, path)
                notes += said_of_rivals(names, places)
            name_of_times = "" if places is None else names[places["t"]]
        if location.place:
            note(notes, f"has its events in {location.place}/")
        note_beside(notes, _beside(root, location))
        size = _sensor_size(root, location, options, path, notes)
        unit = _unit(root, location, name_of_times, options.time_unit, path)
    return EventStream(lambda: _blocks(path, unit, options, notes), str(path), size, notes=notes)


def _blocks(path, unit, options, notes):
    in_microseconds, made = Microseconds(unit, notes), BlockMaker(str(path))
    with open_hdf5(path, DataError) as root:
        location = _location(root) or _location_of_rows(root)
        if location.names is None:
            columns = {None: _dataset(root, location.place)}
        else:
            group = _group(root, location.place)
            columns = {key: group.dataset(name) for key, name in location.names.items()}
            for column in columns.values():
                column.require_numbers()
        lengths = {column.shape[:1] if location.names is None else column.shape for column in columns.values()}
        if len(lengths) != 1 or len(next(iter(lengths))) != 1:
            raise DataError(f"{path}: t, x, y and p have shapes {sorted(lengths)}, expected (N,), the same")
        n = next(iter(lengths))[0]
        for parts in zip(*(parts_of(column, AT_ONCE, n) for column in columns.values())):
            part = dict(zip(columns, parts))
            if location.names is None:
                part = _columns_of(part[None], options)
            yield from in_microseconds.blocks(part, made, path)


def _columns_of(rows, options):
    if rows.dtype.names is None:
        return {key: rows[:, options.columns.index(key)] for key in KEYS}
    return {key: rows[rows.dtype.names[i]] for key, i in named_columns(rows.dtype.names).items()}


def _location(root):
    """Return the `Location` of columns that have names, or None."""
    for place in PLACES:
        group = _group(root, place)
        if group is not None and (places := named_columns(group.names())) is not None:
            names = {key: group.names()[i] for key, i in places.items()}
            if group.is_group(names["x"]) or len(group.dataset(names["x"]).shape) < 2:  # others are samples
                return Location(place, names)
        dataset = _dataset(root, place)
        if dataset is not None and dataset.dtype.names and named_columns(dataset.dtype.names) is not None:
            return Location(place)
    return None


def _location_of_rows(root):
    """Return the `Location` of a dataset whose rows have four numbers, or None."""
    for place in (*PLACES, *ALONE):
        dataset = _dataset(root, place)
        if dataset is not None and dataset.dtype.kind in "biuf" and dataset.shape[1:] == (len(KEYS),):
            return Location(place)
    return None


def _beside(root, location):
    """Return the names of what lies beside the events, except the sensor's size; of other
    recordings, only their place."""
    group, above, names = root, "", []
    for part in filter(None, location.place.split("/")):
        names += [above + name for name in group.names() if name != part]
        above, group = f"{above}{part}/", group.group(part) if group.is_group(part) else None
    if group is not None:
        names += [above + name for name in group.names() if name not in location.names.values()]
    others = [place for place in PLACES if place != location.place and _has_columns(root, place)]
    return [f"{place}/" for place in others] + [
        name for name in names
        if name not in SIZE and not any(f"{place}/".startswith(f"{name}/") for place in others)]


def _has_columns(root, place):
    """Return whether arrays at a place have the names of columns, whatever they hold."""
    with suppress(DataError):  # of what is not read
        group = _group(root, place) if place else None
        return group is not None and named_columns(group.names()) is not None
    return False


def _dataset(root, place):
    """Return the dataset at a place, or None."""
    parent, _, name = place.rpartition("/")
    holder = _group(root, parent)
    there = name and holder is not None and name in holder and not holder.is_group(name)
    return holder.dataset(name) if there else None


def _group(root, place):
    """Return the group at a place, or None."""
    for name in filter(None, place.split("/")):
        if root is None or name not in root or not root.is_group(name):
            return None
        root = root.group(name)
    return root


def _holders(root, location):
    """Return the groups from the top to the events, and the dataset that has all columns, if one does."""
    parts = location.place.split("/") if location.place else []
    groups = [_group(root, "/".join(parts[:n])) for n in range(len(parts) + 1)]
    return [holder for holder in (*groups, _dataset(root, location.place)) if holder is not None]


def _unit(root, location, name, asked, path):
    """Return the seconds of one unit of t, which its name, an attribute or `asked` states, or None. Raises
    DataError where they differ. name: the name of t."""
    unit = unit_of_times(name, asked, path)
    holders = [(holder, TIME_UNITS) for holder in _holders(root, location)]
    if location.names is not None:
        holders.append((_group(root, location.place).dataset(name), UNIT_ATTRIBUTES))
    for holder, attributes in holders:
        for attribute in attributes:
            text = holder.attribute(attribute)
            unit = unit if text is None else unit_in_words(text, attribute, unit, path)
    return unit


def _sensor_size(root, location, options, path, notes):
    """Return (height, width), as the file or the options state it, or None. Raises DataError where they differ."""
    sizes = dict(_stated_sizes(root, location))
    asked = None if options.sensor_size is None else tuple(options.sensor_size)
    resolution = sizes.pop(RESOLUTION, None)  # which most tools write as (height, width), some the other way round
    size = next(iter(sizes.values()), asked if resolution and asked == resolution[::-1] else resolution)
    if len(set(sizes.values())) > 1 or resolution and size not in (resolution, resolution[::-1]):
        stated = ", ".join(f"{name} {width} x {height}" for name, (height, width) in _stated_sizes(root, location))
        raise DataError(f"{path}: states the size of its sensor in several ways, {stated} pixels: leave one of "
                        "them")
    if resolution and not sizes and asked is None:
        note(notes, f"its attribute {RESOLUTION} is taken as (height, width) (sensor_size says otherwise)")
    return sensor_size_of(path, size, options)


def _stated_sizes(root, location):
    """Yield (where, (height, width)) for each place where the file states its sensor's size."""
    if all(name in root and not root.is_group(name) for name in SIZE):
        yield from _pair("height and width", [np.ravel(root.numbers(name)).tolist() for name in SIZE])
    for holder in _holders(root, location):
        yield from _pair("attributes height and width", [holder.attribute(name) for name in SIZE])
        geometry = re.fullmatch(r"\s*(\d+) *[xX] *(\d+)\s*", str(holder.attribute("geometry")))
        if geometry is not None:
            yield from _pair("attribute geometry", [[int(geometry[2])], [int(geometry[1])]])
        numbers = holder.attribute(RESOLUTION)
        if isinstance(numbers, list) and len(numbers) >= 2:
            yield from _pair(RESOLUTION, [[number] for number in numbers[:2]])


def _pair(where, columns):
    """Yield one pair of `_stated_sizes`, if the columns hold a whole number each."""
    if all(isinstance(column, list) and len(column) == 1 and is_extent(column[0]) for column in columns):
        yield where, tuple(int(column[0]) for column in columns)
