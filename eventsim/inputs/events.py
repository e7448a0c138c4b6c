"""Events as they come: blocks of bounded size, from a file, an array, or a source without end.

    stream = eventsim.open_events("recording.raw")
    for block in stream:
        block["t"], block["x"], block["y"], block["p"]

A block is a structured array of `EVENT`: t in whole microseconds, x the column and y the row, from 0 on, counted
from the upper left; p is 1 where it became brighter, else 0. Sensors of one row, such as a cochlea's, have y = 0.
"""

from collections.abc import Mapping
from math import floor, isfinite
from numbers import Real
from typing import Callable, Iterable, Iterator, List, Optional, Tuple, Union

import numpy as np

from eventsim.arguments import finite_number, first_wrong, index_of, shown
from eventsim.display.card import Card, Shown
from eventsim.errors import DataError, ModelError
from eventsim.inputs.binning import event_array, late_events, StepCounts, steps_of
from eventsim.inputs.event_files.options import Duration, EventOptions, microseconds
from eventsim.inputs.gaps import without_gaps
from eventsim.model.input import EventBins

EVENT = np.dtype([("t", np.int64), ("x", np.uint16), ("y", np.uint16), ("p", np.uint8)], align=True)
COLUMNS = EVENT.names
MICROSECOND = 1e-6
AT_ONCE = 1 << 16  # events of a block
LARGEST_TIME = 1 << 62  # microseconds
MOST_PIXELS = 65_535  # along an axis of a sensor
ROUNDED = 4  # of the last digit of a float, by which t / 1e6 * 1e6 may differ from t

Block = np.ndarray  # of EVENT
Span = Optional[Tuple[float, float]]  # first, and the one to end before


class EventStream(Shown):
    """Events in the order in which they come, a block at a time.

    blocks: a function that returns an iterator of blocks, so that the stream can be read again; or an iterable,
        which may have no end and may be of one reading. A block is what `block_of` takes.
    name: for messages. sensor_size: (height, width) in pixels, None where nobody says it.
    start: the time, in microseconds, at which the first step begins; None: that of the first event.
    notes: what was assumed or mended of the file, in words; complete when it has been read once.

    Attributes: these, and time_unit, the seconds of one unit of `t`: always 1e-6.

    >>> import numpy as np
    >>> from eventsim.inputs.events import EventStream
    >>> stream = EventStream.from_numpy({"t": [0, 900, 2100], "x": [1, 1, 0], "y": [0, 0, 1], "p": [1, 0, 1]},
    ...                                 sensor_size=(2, 2))
    >>> [levels.shape for levels in stream.bins(1000)]
    [(3, 2, 2, 2)]
    """

    time_unit = MICROSECOND
    _checked = False  # whether its blocks are known to be blocks inside its sensor

    def __init__(self, blocks: Union[Callable[[], Iterator], Iterable], name="events", sensor_size=None,
                 start: Optional[int] = None, notes: Optional[List[str]] = None):
        if start is not None and not (isinstance(start, Real) and isfinite(start)):
            raise DataError(f"{name}: start is {shown(start)}, expected microseconds, or None for the time of the "
                            "first event")
        if not callable(blocks) and not hasattr(blocks, "__iter__"):
            raise DataError(f"{name}: blocks is {shown(blocks)}, expected an iterable of blocks of events, or a "
                            "function that returns one")
        self._blocks = blocks
        self.name, self.start = name, start
        self.sensor_size = _size_of(sensor_size, name)
        self.notes = [] if notes is None else notes

    @staticmethod
    def from_numpy(events, sensor_size=None, name="arrays", start=None) -> "EventStream":
        """Return the stream of a structured array, or of a mapping, with columns t (whole microseconds), x, y and
        p (0 and 1, or -1 and 1). Raises DataError where a time has a fraction, as seconds have."""
        block = block_of(events, name)
        return EventStream(lambda: (block[i : i + AT_ONCE] for i in range(0, len(block), AT_ONCE)), name,
                           sensor_size, start)

    def card(self) -> Card:
        """Return a card of its sensor, and of what is known before it is read."""
        size = "size not known" if self.sensor_size is None else "{1} x {0} pixels".format(*self.sensor_size)
        facts = [] if self.start is None else [("start", f"{self.start} us")]
        return Card(f"EventStream({self.name!r}, {size})", facts, note="; ".join(self.notes))

    def __iter__(self) -> Iterator[Block]:
        """Iterate over blocks of at least one event. Raises DataError where the file is damaged, an event is
        outside, or has no polarity."""
        blocks = self._blocks() if callable(self._blocks) else self._blocks
        if self._checked:
            yield from (block for block in blocks if len(block))
            return
        made = BlockMaker(self.name)
        for events in blocks:
            block = made(events)
            n = self._n_inside(block)
            if n:
                yield block[:n]
            if n < len(block):
                raise self._outside(block[n])

    def read(self) -> Block:
        """Return all events in one block."""
        return np.concatenate([np.empty(0, EVENT), *self])

    def crop(self, x: Span = None, y: Span = None, t: Span = None) -> "EventStream":
        """Return the stream of only those events with first <= value < stop; columns and rows are then counted
        from `first` on, and steps from the first time. x, y: whole numbers of pixels. t: microseconds, the first
        of them whole. Raises DataError where a span is none, or reaches beyond the sensor."""
        stream = self if x is None and y is None else self._cropped(x, y)
        return stream if t is None else stream._from_to(*_span(t, "t", self.name, "microseconds"))

    def _cropped(self, x, y):
        height, width = self._size("crop")
        left, right = (0, width) if x is None else _span(x, "x", self.name, "columns of pixels")
        top, bottom = (0, height) if y is None else _span(y, "y", self.name, "rows of pixels")
        if not (0 <= left < right <= width and 0 <= top < bottom <= height):
            raise DataError(f"{self.name}: cannot be cropped to x {left} to {right}, y {top} to {bottom}: the "
                            f"sensor has {width} x {height} pixels")

        def cropped(block):
            block = block[(block["x"] >= left) & (block["x"] < right) & (block["y"] >= top)
                          & (block["y"] < bottom)]
            block["x"] -= np.uint16(left)
            block["y"] -= np.uint16(top)
            return block

        return self._changed(cropped, (bottom - top, right - left), self.start)

    def _from_to(self, first, stop):
        def within(block):
            return block[(block["t"] >= first) & (block["t"] < stop)]

        return self._changed(within, self.sensor_size, first)

    def downsample(self, factor: int) -> "EventStream":
        """Return the stream in which factor x factor pixels become one, which has all their events."""
        if not (_is_whole(factor) and 1 <= factor <= MOST_PIXELS):
            raise DataError(f"{self.name}: cannot be downsampled by {shown(factor)}, expected a whole number from "
                            f"1 to {MOST_PIXELS}")
        size = tuple(-(-length // int(factor)) for length in self._size("downsample"))

        def reduced(block):
            block = block.copy()
            block["x"] //= np.uint16(factor)
            block["y"] //= np.uint16(factor)
            return block

        return self._changed(reduced, size, self.start)

    def oriented(self, x="x", y="y") -> "EventStream":
        """Return the stream whose columns and rows are taken from "x", "y", "-x" or "-y", those with a minus
        counted from the other end. oriented(x="-x") mirrors, oriented(x="y", y="x") transposes,
        oriented(x="-y", y="x") turns."""
        axes = {axis.removeprefix("-") if isinstance(axis, str) else None for axis in (x, y)}
        if axes != {"x", "y"}:
            raise DataError(f"{self.name}: cannot be oriented to x={shown(x)}, y={shown(y)}, expected x and y, "
                            "each once")
        sizes = dict(zip("yx", self._size("orient")))

        def taken(block, name):
            column = block[name[-1]]
            return np.uint16(sizes[name[-1]] - 1) - column if name[0] == "-" else column

        def turned(block):
            out = block.copy()
            out["x"], out["y"] = taken(block, x), taken(block, y)
            return out

        return self._changed(turned, (sizes[y[-1]], sizes[x[-1]]), self.start)

    def bins(self, width, polarities="off_on", coincident="sum", slack: Duration = 0, at_once=64,
             longest_gap: Duration = "1min") -> Iterator[np.ndarray]:
        """Iterate over levels, uint16 (steps, C, H, W), of `at_once` steps at a time, fewer in the
        end, in bounded memory.

        width: microseconds of a step. polarities, coincident: as in `EventBins`. slack: a step is complete
        once an event has come that is `slack`, microseconds or text such as "1ms", or more behind its end. An
        event that comes into it after that is late: it is left out, and counted in `n_late` of the iterator
        that this returns. So are events before the first step. longest_gap: the longest silence that becomes
        steps, microseconds or text such as "2h"; an event that comes later than that after the newest one
        before it raises DataError, as one wild time would become years of steps. Raises DataError for
        arguments that do not fit.
        """
        width = finite_number(width, "width")
        if width <= 0:
            raise DataError(f"width is {width}, expected microseconds above 0")
        try:
            bins = EventBins(width, polarities, coincident, self._size("bin"))
        except ModelError as error:
            raise DataError(str(error)) from None
        slack_us = microseconds(slack, "slack")
        if slack_us < 0:
            raise DataError(f"slack is {slack!r}, expected a time from 0 on")
        stream = without_gaps(self, EventOptions(longest_gap=longest_gap))
        return Bins(stream, bins, slack_us, index_of(at_once, "at_once", 1))

    def _changed(self, change, size, start):
        def blocks():
            for block in self:
                yield change(block)

        return self.with_blocks(blocks, size, start)

    def with_blocks(self, blocks: Callable[[], Iterator[Block]], sensor_size, start) -> "EventStream":
        """Return a stream of blocks that are made of the blocks of this one, which were checked, and are inside a
        sensor of that size. Its name and its notes are those of this one."""
        stream = EventStream(blocks, self.name, sensor_size, start, self.notes)
        stream._checked = True
        return stream

    def _size(self, what):
        if self.sensor_size is None:
            raise DataError(f"{self.name}: does not say how many pixels its sensor has, so it cannot {what}; give "
                            "sensor_size=(height, width) (--sensor-size HxW)")
        return self.sensor_size

    def _n_inside(self, block):
        """Return the number of events of a block before the first that is outside the sensor."""
        if self.sensor_size is None or not len(block):
            return len(block)
        height, width = self.sensor_size
        if block["x"].max() < width and block["y"].max() < height:
            return len(block)
        return int(((block["x"] >= width) | (block["y"] >= height)).argmax())

    def _outside(self, event):
        height, width = self.sensor_size
        return DataError(f"{self.name}: an event is at x = {event['x']}, y = {event['y']}, outside the sensor of "
                         f"{width} x {height} pixels: give its sensor's size (sensor_size, --sensor-size HxW) and "
                         "crop or downsample it (--crop, --downsample); of what is damaged, keep_going "
                         "(--keep-going) takes what stands before")


class Bins:
    """Iterator of `EventStream.bins`. n_late: events left out so far, which came too late or before `start`."""

    def __init__(self, stream: EventStream, bins: EventBins, slack=0, at_once=64):
        self.n_late = 0
        self._found = self._chunks(stream, bins, slack, at_once)

    def __iter__(self):
        return self

    def __next__(self):
        return next(self._found)

    def _chunks(self, stream, bins, slack, at_once):
        start, newest, first = stream.start, None, 0  # first: step of the next chunk
        waiting = np.empty(0, EVENT)
        for block in stream:
            if start is None:
                start = int(block["t"][0])
            newest, block = self._in_time(block, start, newest, bins.bin_width, slack)
            waiting = np.concatenate((waiting, block))
            complete = int(steps_of(newest - slack, start, bins.bin_width))  # steps before it get no more events
            while complete - first >= at_once:
                chunk, waiting = _parted(waiting, start, bins.bin_width, first + at_once)
                yield _levels(chunk, start, bins, first, at_once)
                first += at_once
        while len(waiting):
            last = int(steps_of(waiting["t"].max(), start, bins.bin_width))
            steps = min(at_once, last + 1 - first)
            chunk, waiting = _parted(waiting, start, bins.bin_width, first + steps)
            yield _levels(chunk, start, bins, first, steps)
            first += steps

    def _in_time(self, block, start, newest, width, slack):
        """Return (time of the newest event, the events that are not late)."""
        t = block["t"]
        late = late_events(t, steps_of(t, start, width), newest,
                           lambda times: steps_of(times - slack, start, width))
        newest = int(t.max()) if newest is None else max(int(t.max()), newest)
        if late is None:
            return newest, block
        self.n_late += int(late.sum())
        return newest, block[~late]


def _parted(block, start, width, step):
    """Return the events before a step, and the others."""
    before = steps_of(block["t"], start, width) < step
    return block[before], block[~before]


def _levels(block, start, bins, first, steps):
    """Return the levels of `steps` steps, from the step `first` on."""
    counts = StepCounts(bins, steps)
    counts.add(block, steps_of(block["t"], start, bins.bin_width) - first)
    return counts.levels()


def block_of(events, name="events") -> Block:
    """Return a structured array, or a mapping with numbers t, x, y, p, as a block. Raises
    DataError, naming `name`."""
    return BlockMaker(name)(events)


class BlockMaker:
    """Turns what comes of one recording into blocks, one after another. Darker is 0 or -1 in
    all of them, not both.

    name: for messages.
    """

    def __init__(self, name):
        self._name, self._darker = name, None  # darker: the value that has been seen for it
        self._n_events = 0  # of the blocks before

    def __call__(self, events) -> Block:
        """Return these events as a block, as `block_of` does. Raises DataError."""
        if isinstance(events, np.ndarray) and events.dtype == EVENT:
            if (events["p"] > 1).any():
                self._refuse(events["p"])
            self._n_events += len(events)
            return events
        columns = [_column(events, key, self._name) for key in COLUMNS]
        if len({len(column) for column in columns}) != 1:
            raise DataError(f"{self._name}: t, x, y and p have {', '.join(str(len(c)) for c in columns)} events, "
                            f"expected the same number")
        block = np.empty(len(columns[0]), EVENT)
        for key, column in zip(COLUMNS, columns):
            block[key] = self._converted(key, column)
        self._n_events += len(block)
        return block

    def _converted(self, key, column):
        if key == "p":
            return self._polarities(column)
        return _times(column, self._name, self._n_events) if key == "t" else _places(column, self._name, key)

    def _polarities(self, column):
        if column.dtype.kind != "b":
            if not np.isin(column, (-1, 0, 1)).all():
                self._refuse(column)
            for darker in (-1, 0):
                if (column == darker).any():
                    self._check_darker(darker)
        return (column > 0).astype(np.uint8)

    def _refuse(self, column):
        raise DataError(f"{self._name}: p has values from {column.min()} to {column.max()}, expected 0 and 1, or "
                        "-1 and 1")

    def _check_darker(self, darker):
        if self._darker not in (None, darker):
            raise DataError(f"{self._name}: p has both -1 and 0, expected 0 and 1, or -1 and 1: leave out the "
                            "events that are neither brighter nor darker")
        self._darker = darker


def _column(events, key, name):
    named = events.dtype.names or () if isinstance(events, np.ndarray) else events
    if not isinstance(events, (np.ndarray, Mapping)) or key not in named:
        known = list(named)[:10] if isinstance(events, (np.ndarray, Mapping)) else type(events).__name__
        raise DataError(f"{name}: no column {key!r} of events, expected t, x, y, p (found {known})")
    column = event_array(events[key], f"{name}: {key}")
    if column.ndim != 1 or column.dtype.kind not in "biuf":
        raise DataError(f"{name}: {key} of the events has shape {column.shape} and type {column.dtype}, expected "
                        f"one number per event")
    return column


def _times(column, name, n_before):
    """Return times as int64. n_before: events that came before them, in other blocks."""
    with np.errstate(over="ignore"):  # of a wider float than float64: infinite, so refused
        sizes = np.abs(column.astype(np.float64))
    if len(column) and not (sizes < LARGEST_TIME).all():
        raise DataError(f"{name}: t has values that are no microseconds (not finite, or beyond {LARGEST_TIME})"
                        f"{first_wrong(column, ~(sizes < LARGEST_TIME), n_before)}")
    if column.dtype.kind != "f":
        return column.astype(np.int64)
    times = np.rint(column).astype(np.int64)
    fractions = np.abs(column - times) > ROUNDED * np.spacing(sizes)
    if fractions.any():
        raise DataError(f"{name}: t has {float(column[fractions.argmax()])!r}, expected whole microseconds: of "
                        "seconds give 1e6 * t, and round what are fractions of a microsecond, np.rint(t)")
    return times


def _is_whole(value) -> bool:
    """Return whether a value is a number without a fraction."""
    return isinstance(value, Real) and isfinite(value) and value == floor(value)


def _size_of(value, name):
    """Return (height, width) as int from what `EventOptions` take as sensor_size, or from an
    array; None for None."""
    try:
        size = EventOptions(sensor_size=value.tolist() if isinstance(value, np.ndarray) else value).sensor_size
    except DataError as error:
        raise DataError(f"{name}: {error}") from None
    return None if size is None else tuple(map(int, size))


def _span(value, key, name, unit):
    """Return (first, stop) of the span to which a stream is cropped, as whole numbers where possible."""
    try:
        first, stop = value
        right = _is_whole(first) and first <= stop and (key == "t" or _is_whole(stop))
    except (TypeError, ValueError):
        right = False
    if not right:
        raise DataError(f"{name}: cannot be cropped to {key}={shown(value)}, expected (first, stop), whole "
                        f"{unit}, the first not above the other")
    return int(first), int(stop) if _is_whole(stop) else stop


def _places(column, name, key):
    """Return columns or rows of pixels as uint16. key: "x" or "y"."""
    if column.dtype.kind == "f":
        with np.errstate(over="ignore"):  # of a wider float: infinite, so refused
            column = column.astype(np.float64)  # a narrower one does not reach 65,536
    if len(column) and not ((column >= 0) & (column < 1 << 16) & (column == np.floor(column))).all():
        raise DataError(f"{name}: {key} has values from {column.min()} to {column.max()}, expected whole "
                        f"numbers from 0 to {(1 << 16) - 1}")
    return column.astype(np.uint16)
