"""Stepping: events into steps as they come, and which of them come too late."""

from typing import List, Optional, Tuple

import numpy as np

from eventsim.engine.stream.options import Course
from eventsim.inputs.binning import late_events, places_of, steps_of
from eventsim.inputs.events import Block

NONE = np.empty((2, 0), np.int64)


class Stepping:
    """Events by step, of windows that are not over.

    Step s has the events of which `steps_of` gives s. A window is complete once an event has come that is
    `slack` or more behind its end; an event of a window that is complete, or over, is late, as are events before
    `start`: they are left out, and counted in `n_late`. So the blocks in which events come make no difference.

    course: of the stream. start: microseconds; None: the time of the first event.
    """

    def __init__(self, course: Course, start: Optional[int] = None):
        self.start, self.newest = start, None
        self.done = 0  # steps that are over
        self.n_late = 0
        self._course = course
        self._waiting, self._new = NONE, []  # type: np.ndarray, List[np.ndarray]

    @property
    def waiting(self) -> np.ndarray:
        """int64 (2, n): step, and place in a step's levels, of the events that wait, by step."""
        if self._new:
            merged = np.concatenate([self._waiting, *self._new], axis=1)
            if (merged[0, 1:] < merged[0, :-1]).any():
                merged = merged[:, np.argsort(merged[0], kind="stable")]
            self._waiting, self._new = merged, []
        return self._waiting

    @waiting.setter
    def waiting(self, events):
        self._waiting, self._new = events, []

    def add(self, block: Block) -> None:
        """Events that have come; none outside the sensor."""
        t = block["t"]
        if self.start is None:
            self.start = int(t[0])
        step = steps_of(t, self.start, self._course.bins.bin_width)
        late = late_events(t, step, self.newest, self._strides_reached, self.done)
        newest = int(t.max())
        self.newest = newest if self.newest is None else max(newest, self.newest)
        events = np.stack((step, places_of(block["x"], block["y"], block["p"], self._course.bins)))
        if late is not None:
            self.n_late += int(late.sum())
            events = events[:, ~late]
        if events.shape[1]:
            self._new.append(events)

    def _strides_reached(self, newest):
        """The first step of the window that is not complete, after an event of that time."""
        stride = self._course.stride
        return self._reached(newest) // stride * stride

    def complete(self, stop) -> bool:
        """Whether the window that ends before step `stop` is complete."""
        return self.newest is not None and self._reached(self.newest) >= stop

    def _reached(self, newest):
        """The step that nothing is waited for before, after an event of that time."""
        return steps_of(newest - self._course.slack, self.start, self._course.bins.bin_width)

    @property
    def reached(self) -> int:
        """Steps up to the last event that waits."""
        waiting = self.waiting
        return int(waiting[0, -1]) + 1 if waiting.shape[1] else self.done

    def take(self, first, stop, keep) -> Tuple[np.ndarray, np.ndarray]:
        """(step, counted from `first` on, and place) of the events of steps first to stop, which are over now.
        keep: the first step that is needed again."""
        waiting = self.waiting
        begin, end, kept = np.searchsorted(waiting[0], (first, stop, keep))
        self._waiting, self.done = waiting[:, kept:], stop
        return waiting[0, begin:end] - first, waiting[1, begin:end]


class Levels:
    """Memory for the levels of up to `steps` steps, filled again and again: only what was set is cleared."""

    def __init__(self, steps, bins, shape):
        self._levels = np.zeros((1, steps, *shape), np.int32)
        self._flat, self._size = self._levels.reshape(-1), int(np.prod(bins.shape))
        self.steps, self._merge = steps, bins.coincident == "merge"
        self._set: List[np.ndarray] = []

    def filled(self, step, place, n_steps) -> np.ndarray:
        """int32 (1, n_steps, *shape) with so many events in each place, or 1 where they merge."""
        for places in self._set:
            self._flat[places] = 0
        places = step * self._size + place
        if self._merge:
            self._flat[places] = 1
        else:
            np.add.at(self._flat, places, np.int32(1))  # of the same type, or it is 30 times slower
        self._set = [places]
        return self._levels[:, :n_steps]

    def are_at_most(self, highest) -> bool:
        """Whether no level that was filled in last is above `highest`, at least 1."""
        [places] = self._set
        return self._merge or len(places) <= highest or self._flat[places].max() <= highest
