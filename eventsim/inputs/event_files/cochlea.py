"""SHD and SSC (Heidelberg): HDF5 with ragged spikes/times and spikes/units, and labels.

One file holds many recordings: times in seconds, units 0 to 699 of an artificial cochlea, taken as a sensor of one
row, whose events are all brighter (B. Cramer et al., IEEE TNNLS 33, 2022).
"""

import numpy as np

from eventsim.errors import DataError
from eventsim.inputs.event_files.columns import unit_in_words
from eventsim.inputs.event_files.hdf5_events import is_hdf5, UNIT_ATTRIBUTES
from eventsim.inputs.event_files.records import Microseconds, note_beside, sensor_size_of
from eventsim.inputs.events import EVENT, EventStream
from eventsim.storage.hdf5 import open_hdf5

UNITS = 700
MEMBERS = ("spikes", "labels", "extra")  # of a file, at its top
MOST_RECORDINGS = 1 << 20  # of a file; packed, references to none take no room


def holds_events(path, start) -> bool:
    """Return whether a file has spikes/times and spikes/units."""
    if not is_hdf5(start):
        return False
    with open_hdf5(path, DataError) as root:
        spikes = root.group("spikes") if "spikes" in root and root.is_group("spikes") else ()
        return "times" in spikes and "units" in spikes


def n_recordings(path):
    """Return (how many recordings the file holds, labels int64 or None, class names)."""
    with open_hdf5(path, DataError) as root:
        [n] = root.group("spikes").ragged("times").shape
        if n > MOST_RECORDINGS:
            raise root.error(f"declares {n} recordings, expected at most {MOST_RECORDINGS}")
        labels = root.numbers("labels") if "labels" in root else None
        extra = root.group("extra") if "extra" in root and root.is_group("extra") else ()
        keys = extra.texts("keys").tolist() if "keys" in extra and extra.dataset("keys").is_text else ()
    return n, labels, tuple(keys)


def recording_in(path, options) -> EventStream:
    """Return one of the recordings."""
    n, _, _ = n_recordings(path)
    sample = options.sample
    if sample is None and n == 1:
        sample = 0
    if sample is None or not 0 <= sample < n:
        raise DataError(f"{path}: holds {n} recordings; give the number of one, from 0 on, as sample"
                        + ("" if sample is None else f" (it was {sample})"))
    unit = _unit(path)
    notes = ["its times are seconds" if unit == 1 else f"its times are of {unit:g} s, as an attribute says"]
    return EventStream(lambda: _blocks(path, sample, unit, notes), f"{path}, recording {sample}",
                       sensor_size_of(path, (1, UNITS), options), 0, notes)


def _unit(path):
    """Return the seconds of one unit of time: 1 unless an attribute says otherwise. Raises DataError
    where it names no unit."""
    with open_hdf5(path, DataError) as root:
        times = root.group("spikes").dataset("times")
        units = [unit_in_words(text, name, None, path, "mend it") for name in UNIT_ATTRIBUTES
                 if (text := times.attribute(name)) is not None]
    return units[0] if units else 1.0


def _blocks(path, sample, unit, notes):
    with open_hdf5(path, DataError) as root:
        note_beside(notes, [name for name in root.names() if name not in MEMBERS])
        spikes = root.group("spikes")
        times, units = (spikes.ragged(name).row(sample) for name in ("times", "units"))
    if len(times) != len(units):
        raise DataError(f"{path}: recording {sample} has {len(times)} times and {len(units)} units")
    if len(units) and not (0 <= units.min() and units.max() < UNITS):
        raise DataError(f"{path}: recording {sample} has units from {units.min()} to {units.max()}, expected 0 "
                        f"to 699")
    if not (np.isfinite(times) & (times >= 0)).all():
        raise DataError(f"{path}: recording {sample} has times that are no seconds from 0 on")
    block = np.zeros(len(times), EVENT)
    block["t"], block["x"], block["p"] = Microseconds(unit, notes)(times), units, 1
    yield block
