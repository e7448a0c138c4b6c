"""Prepares recordings and values, as a user asks for it, before they become levels."""

from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Tuple

import numpy as np

from eventsim.arguments import instance_of
from eventsim.errors import DataError
from eventsim.inputs.encoders import LARGEST_SCALE
from eventsim.inputs.event_files.options import EventOptions, refuse_given
from eventsim.inputs.event_files.records import note
from eventsim.inputs.binning import StepCounts, steps_of
from eventsim.inputs.events import EventStream
from eventsim.model.input import EventBins

SPLITS = ("width", "number", "time")
PARTS = ("test", "train", "all")
OF_RECORDINGS = (*EventOptions.__dataclass_fields__, "crop", "downsample", "orient", "split")  # alone
OF_ENCODERS = ("seed", "full_scale")
TYPES = {  # field -> its types, and what messages call them
    "crop": ((tuple, list), "(left, top, right, bottom) in pixels"),
    "orient": ((tuple, list), "(columns, rows) as EventStream.oriented takes them"),
    "downsample": (Integral, "a whole number"), "seed": (Integral, "a whole number"),
    "test_share": (Real, "a share between 0 and 1, such as 0.1"), "full_scale": (Real, "a number above 0"),
    "encode": (str, "the name of an encoder"),
}
SILENT = "has no events; all its levels are 0"
LATEST = 1 << 62  # microseconds
MOST_BYTES = 1 << 31  # of the levels of one recording


@dataclass(frozen=True)
class DataOptions(EventOptions):
    """How data sets are read; it has the fields of `EventOptions`, too. Options that do not apply
    to the data are refused.

    crop: (left, top, right, bottom) in pixels, right and bottom not included. downsample: so many pixels along
    each axis become one. orient: columns and rows as `EventStream.oriented` takes them. They apply in this order.
    split: "width": a step is `bin_width` of the model's input long; "number": `timesteps` steps of equally
    many events; "time": `timesteps` steps of equal length (both as SpikingJelly's frames of a fixed number:
    the last step has the remainder, and all events where there are fewer events, or microseconds, than
    steps; the notes say so).
    part: for folders that have parts: "test", "train" or "all". test_share: for class folders without parts, the
    share of each class that is the test part, the last files in the order of names; None: there are no parts.
    encode: "poisson", "latency" or "delta", with options as in "latency:linear,tau=5", turns values into spikes
    (see `encoders`). seed: for random encoders, from 0 on.
    full_scale: the value that is taken as 1; None: 255 for bytes, 1 for fractions; the data's notes say so where
    bytes stay below half of it.
    """

    crop: Optional[Tuple[int, int, int, int]] = None
    downsample: int = 1
    orient: Optional[Tuple[str, str]] = None
    split: str = "width"
    part: str = "test"
    test_share: Optional[float] = None
    encode: Optional[str] = None
    seed: int = 0
    full_scale: Optional[float] = None

    def __post_init__(self):
        super().__post_init__()
        for name, (kinds, expected) in TYPES.items():
            if getattr(self, name) is not None:
                instance_of(getattr(self, name), kinds, name, expected)
        for name, length, kind in (("crop", 4, Integral), ("orient", 2, str)):
            value = getattr(self, name)
            if value is not None and not (len(value) == length and all(isinstance(one, kind) for one in value)):
                raise DataError(f"{name} is {value!r}, expected {TYPES[name][1]}")
        for name, allowed in (("split", SPLITS), ("part", PARTS)):
            if getattr(self, name) not in allowed:
                raise DataError(f"{name} is {getattr(self, name)!r}, expected {', '.join(map(str, allowed))}")
        if self.seed < 0:
            raise DataError(f"seed is {self.seed!r}, expected a whole number from 0 on")
        if self.full_scale is not None and not 1 / LARGEST_SCALE <= self.full_scale <= LARGEST_SCALE:
            raise DataError(f"full_scale is {self.full_scale!r}, expected a number above 0")
        if self.test_share is not None and not 0 < self.test_share < 1:
            raise DataError(f"test_share is {self.test_share!r}, expected a share between 0 and 1, such as 0.1")
        for name in OF_ENCODERS if self.encode is None else ():
            if getattr(self, name) != getattr(DataOptions, name):
                raise DataError(f"{name} does not apply where nothing is encoded: leave it out "
                                f"(--{name.replace('_', '-')}), or give an encoder (--encode)")


def of_part(path: Path, options: DataOptions, paths_of_parts: Dict[str, List[Path]]) -> List[Path]:
    """Return the paths of the part that is asked for in a folder with parts, "train" before "test".
    paths_of_parts: part -> its paths in the folder. Raises DataError where the folder does not have the part."""
    refuse_given(options, ("test_share",), path, "a folder that has parts of its own")
    wanted = ("train", "test") if options.part == "all" else (options.part,)
    missing = [part for part in wanted if part not in paths_of_parts]
    if missing:
        has = ", ".join(each.name for paths in paths_of_parts.values() for each in paths)
        other = next(iter(paths_of_parts))
        raise DataError(f"{path}: has no {missing[0]} part, only {has}: take that, part={other!r} "
                        f"(--part {other})")
    return [each for part in wanted for each in paths_of_parts[part]]


def prepared(stream: EventStream, options: DataOptions) -> EventStream:
    """Return the stream cropped, downsampled and turned."""
    if options.crop is not None:
        left, top, right, bottom = options.crop
        stream = stream.crop((left, right), (top, bottom))
    if options.downsample != 1:
        stream = stream.downsample(options.downsample)
    return stream if options.orient is None else stream.oriented(*options.orient)


def check_sensor(stream: EventStream, bins: EventBins) -> None:
    """Raise DataError where the stream's sensor is another than the model's."""
    if stream.sensor_size not in (None, tuple(bins.sensor_size)):
        (height, width), (rows, columns) = stream.sensor_size, bins.sensor_size
        raise DataError(f"{stream.name}: the sensor has {width} x {height} pixels, but the model's input takes "
                        f"{columns} x {rows}: crop or downsample it (--crop, --downsample)")


def check_steps(timesteps: int, bins: EventBins, name) -> None:
    """Raise DataError where the levels of a recording of `name` take too many bytes."""
    n_bytes = 2 * timesteps * int(np.prod(bins.shape))
    if n_bytes > MOST_BYTES:
        raise DataError(f"{name}: {timesteps} steps take {n_bytes} bytes as levels, at most {MOST_BYTES} are "
                        "allowed: take fewer (--timesteps), longer ones (--bin-width), or stream it")


class Extent(NamedTuple):
    """When a recording is. start: the time at which its first step begins. n_steps: how many steps its events
    reach, by width."""

    start: float
    n_steps: int


class Cut(NamedTuple):
    """What a recording gives in its steps. levels: uint16 (timesteps, C, H, W). n_later, n_early: number of events
    after the last step, and before the first, which are in none."""

    levels: np.ndarray
    n_later: int = 0
    n_early: int = 0


def extent_of(stream: EventStream, bins: EventBins) -> Extent:
    """Return when a recording is: its first step begins where the stream says, else at the smallest time. Raises
    DataError where there are no events, which alone say how long it is."""
    check_sensor(stream, bins)
    smallest, largest = LATEST, -LATEST
    for block in stream:
        smallest, largest = min(smallest, int(block["t"].min())), max(largest, int(block["t"].max()))
    if smallest > largest:
        raise DataError(f"{stream.name}: has no events, which alone say how long it is: run a number of steps "
                        "(--timesteps N, without --whole), or move it out")
    start = smallest if stream.start is None else stream.start
    return Extent(start, max(int(steps_of(largest, start, bins.bin_width)), 0) + 1)


def cut_by_width(stream: EventStream, bins: EventBins, timesteps, start=None) -> Optional[Cut]:
    """Return what a recording gives in steps of the width of the bins, read in bounded memory. start: of its
    Extent; None: it is taken to begin with its first block, and where an event comes that is before that, return
    None. Raises DataError where there are too many levels, or too many events in one place."""
    check_sensor(stream, bins)
    check_steps(timesteps, bins, stream.name)
    start, width = stream.start if start is None else start, bins.bin_width
    known, counts, n_later, n_early = start is not None, StepCounts(bins, timesteps), 0, 0
    for block in stream:
        smallest = int(block["t"].min())
        start = smallest if start is None else start
        if smallest < start and not known:
            return None
        if steps_of(smallest, start, width) >= timesteps:  # all of it
            n_later += len(block)
            continue
        step = steps_of(block["t"], start, width)
        later, early = int((step >= timesteps).sum()), int((step < 0).sum())
        if later or early:
            kept = (step >= 0) & (step < timesteps)
            block, step = block[kept], step[kept]
        counts.add(block, step)
        n_later, n_early = n_later + later, n_early + early
    if start is None:
        note(stream.notes, SILENT)
    return Cut(_levels(counts, stream), n_later, n_early)


def cut_into(timesteps, split, stream: EventStream, bins: EventBins) -> Cut:
    """Return what a recording gives in so many steps of equally many events (split "number") or equal time
    ("time"). Raises DataError as `cut_by_width` does."""
    check_sensor(stream, bins)
    events = stream.read()
    check_steps(timesteps, bins, stream.name)
    counts = StepCounts(bins, timesteps)
    if not len(events):
        note(stream.notes, SILENT)
    else:
        if (events["t"][1:] < events["t"][:-1]).any():
            events = events[np.argsort(events["t"], kind="stable")]
        step = (_by_number(len(events), timesteps, stream.notes) if split == "number"
                else _by_time(events["t"], timesteps, stream.notes))
        counts.add(events, step)
    return Cut(_levels(counts, stream))


def _levels(counts, stream):
    try:
        return counts.levels()
    except DataError as error:
        raise DataError(f"{stream.name}: {error}") from None


def _by_number(n, timesteps, notes):
    """Return the step of each of n events: equally many in each step, and the remainder in the last."""
    each = n // timesteps
    if timesteps > 1:
        _note_remainder(each, n % timesteps, "number", "events", notes)
    return np.minimum(np.arange(n) // each, timesteps - 1) if each else np.full(n, timesteps - 1)


def _by_time(t, timesteps, notes):
    """Return the step of events at these times, in order: steps are equally many whole microseconds long, the last
    one longer by the remainder."""
    each, remainder = divmod(int(t[-1]) - int(t[0]), timesteps)
    if timesteps > 1:
        _note_remainder(each, remainder, "time", "us", notes)
    if not each:
        return np.full(len(t), timesteps - 1)
    return np.minimum((t - t[0]) // each, timesteps - 1)


def _note_remainder(each, remainder, split, unit, notes):
    """Note where the last step has at least twice as much as each of the others."""
    if not each:
        note(notes, f"has fewer {unit} than steps, so that split={split!r} puts all events into the last one")
    elif remainder >= each:
        note(notes, f"has so few {unit} for its steps that split={split!r} makes the last one, which has the "
                    "remainder, at least twice as large as each other")
