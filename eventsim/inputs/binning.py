"""From events to levels: counts how many events fall into each bin."""

from math import prod

import numpy as np

from eventsim.arguments import index_of, shown, with_attributes
from eventsim.errors import DataError

MAX_EVENT_LEVEL = (1 << 16) - 1  # bin_events gives uint16
MERGE = "; where events share a pixel and a step, coincident='merge' makes them one"  # ends what is said of levels
LARGEST_STEP = 1 << 62  # beyond all that a run can have


def steps_of(times, start, width):
    """Return the step that each time is in, int64: the last step s with s * width <= times - start, in floats. A
    time at which a step begins is in that step, whatever the width.

    This is the one rule for all code: if two places counted a step differently, events would belong to no chunk.
    """
    since = times - start
    steps = np.floor(since / width)
    if width % 1:  # the quotient may be rounded up to a whole number, or down below one
        steps = steps + ((steps + 1) * width <= since) - (steps * width > since)
    return np.clip(steps, -LARGEST_STEP, LARGEST_STEP).astype(np.int64)


def late_events(t, step, newest, reached, done=0):
    """Return which events come too late for their step, bool (n,), or None where none does.

    t, step: time and step of each event, in the order in which they come. newest: the newest
    time before them, or None.
    reached: function that gives, for the times of events, the step before which nothing is waited for after these
    events. done: the first step that is not over.
    """
    if (t[1:] >= t[:-1]).all() and (newest is None or t[0] >= newest):  # in order
        return step < done if step[0] < done else None
    before = np.maximum.accumulate(np.concatenate(([t[0] if newest is None else newest], t[:-1])))
    late = step < np.maximum(reached(before), done)
    return late if late.any() else None


def places_of(x, y, polarity, events):
    """Return the place of each event in the flattened levels (C, H, W) of a step, int64. events: EventBins."""
    _, height, width = events.shape
    places = y.astype(np.int64) * width + x
    if events.polarities != "one":
        bright = 1 if events.polarities == "off_on" else 0
        places += (polarity == bright) * np.int64(height * width)
    return places


def bin_events(x, y, polarity, t, events, timesteps):
    """Count the events of one recording per step, polarity and pixel.

    x, y: column and row, pixels. polarity: 0 (darker) or 1 (brighter). t: microseconds from the start of the
    recording; step = floor(t / bin_width). All have one length; events may be in any order.
    events: EventBins. timesteps: steps to give, at least 1; later events are dropped.

    Returns levels, uint16 (T, C, H, W), C = 2, or 1 where one channel has both polarities. Raises DataError, which
    counts events from 0, for an event outside the sensor, of another polarity, before the start, too many in
    one place, or times that are seconds: fractions, all of them within the first of several steps.
    """
    with_attributes(events, ("bin_width", "sensor_size", "polarities", "coincident"), "events", "an EventBins")
    timesteps = index_of(timesteps, "timesteps", 1)
    x, y = _event_column(x, "x"), _event_column(y, "y")
    polarity, t = _event_column(polarity, "polarity"), _event_column(t, "t")
    if not len(x) == len(y) == len(polarity) == len(t):
        raise DataError(
            f"x, y, polarity and t have {len(x)}, {len(y)}, {len(polarity)} and {len(t)} events, "
            "expected the same number"
        )
    height, width = events.sensor_size
    _check_events((x < 0) | (x >= width) | (y < 0) | (y >= height), lambda i: (
        f"event {i} is at x = {x[i]}, y = {y[i]}, outside the sensor of {width} x {height} pixels"
    ))
    _check_events((polarity != 0) & (polarity != 1), lambda i: (
        f"event {i} has polarity {polarity[i]}, expected 0 or 1"
    ))
    _check_events(~(t >= 0), lambda i: f"event {i} is at t = {t[i]}, expected 0 or later")
    step = steps_of(t, 0, events.bin_width)
    _check_unit(t, step, events.bin_width, timesteps)
    kept = step < timesteps
    shape = (timesteps, *events.shape)
    places = step[kept] * prod(events.shape) + places_of(x[kept], y[kept], polarity[kept], events)
    return _levels_of(np.bincount(places, minlength=prod(shape)), events.coincident).reshape(shape)


class StepCounts:
    """Counts the events of each step and place as they come, block after block. events: EventBins."""

    def __init__(self, events, timesteps):
        self._events, self._shape = events, (timesteps, *events.shape)
        self._counts = np.zeros(prod(self._shape), np.uint32)

    def add(self, block, step) -> None:
        """Count events, inside the sensor, of which each is in a step from 0 to below `timesteps`, int64."""
        places = step * prod(self._events.shape)
        places += places_of(block["x"], block["y"], block["p"], self._events)
        np.add.at(self._counts, places, np.uint32(1))  # of the same type, or it is 30 times slower

    def levels(self) -> np.ndarray:
        """Return levels as `bin_events` does. Raises DataError where there are too many events in one place."""
        return _levels_of(self._counts, self._events.coincident).reshape(self._shape)


def _levels_of(counts, coincident):
    """Return the levels, uint16, of so many events in each place."""
    if coincident == "merge":
        counts = np.minimum(counts, 1)
    if counts.max() > MAX_EVENT_LEVEL:
        raise DataError(
            f"{counts.max()} events share a pixel and a step, expected at most {MAX_EVENT_LEVEL}; "
            "merge them (coincident='merge') or use a smaller bin_width"
        )
    return counts.astype(np.uint16)


def event_array(values, name) -> np.ndarray:
    """Return one column of events as an array. Raises DataError, naming it, where its rows differ in length."""
    try:
        return np.asarray(values)
    except ValueError:
        raise DataError(f"{name} of the events is {shown(values)}, expected one number per event") from None


def _event_column(values, name):
    """Return one column of events as float64 or int64, so that no unsigned arithmetic wraps."""
    values = event_array(values, name)
    if values.ndim != 1 or values.dtype.kind not in "biuf":
        raise DataError(f"{name} of the events has shape {values.shape} and type {values.dtype}, "
                        "expected one number per event")
    if values.dtype.kind == "f" and name != "t":
        raise DataError(f"{name} of the events has type {values.dtype}, expected integers")
    return values.astype(np.float64 if values.dtype.kind == "f" else np.int64)


def _check_unit(t, step, width, timesteps):
    """Raise DataError where times seem to be seconds."""
    if t.dtype.kind != "f" or timesteps == 1 or step.any():
        return
    fractions = t != np.floor(t)
    if fractions.any():
        raise DataError(f"t has {t[fractions.argmax()]:.10g}, and all events are within the first step of "
                        f"{width:g} us, expected microseconds: of seconds give 1e6 * t; of microseconds leave out "
                        "fractions, np.floor(t)")


def _check_events(wrong, describe):
    if wrong.any():
        raise DataError(describe(int(wrong.argmax())))
