"""What a stream carries from window to window, and what has to hold of it before another stream goes on from
it."""

from dataclasses import dataclass
from math import prod
from typing import Optional, Tuple

import numpy as np

from eventsim.arguments import instance_of, integer, shown
from eventsim.display.card import Card, Shown
from eventsim.engine.state import State
from eventsim.engine.stream.options import Course, duration_text, span_text
from eventsim.equality import ByValue
from eventsim.errors import DataError
from eventsim.program import Program
from eventsim.text import all_digits, many

LATEST = 1 << 62  # microseconds


def _check_array(state, name, shape, kinds, optional):
    """Raise DataError where a field of a StreamState is no array. shape: the sizes that each axis
    may have. kinds: of its dtype. optional: whether it may be None."""
    value = getattr(state, name)
    if optional and value is None:
        return
    fits = isinstance(value, np.ndarray) and value.dtype.kind in kinds and value.ndim == len(shape)
    if not fits or not all(size in sizes for size, sizes in zip(value.shape, shape)):
        raise DataError(f"state.{name} is {shown(value)}, expected an array as a stream gave it")


@dataclass(repr=False, eq=False)
class StreamState(ByValue, Shown):
    """What a stream carries from window to window.

    cut: (microseconds of a step, steps of a window, steps between windows). network: `State` after `done` steps,
    None before the first and where every window resets. start: time at which step 0 begins; newest: of the newest
    event; microseconds, both None before the first.
    done: steps that are over. number: windows that were given. waiting: step and place, int64 (2, n), of events
    of steps that are not over, or that sliding windows need again. emitted: what the output gave in the last
    steps, (steps, classes), for windows that slide. scores: of the last window, or None.

    >>> import eventsim
    >>> bins = eventsim.EventBins(bin_width=1000, sensor_size=(1, 2), polarities="one")
    >>> model = eventsim.Model({"in": eventsim.Input((2,), events=bins), "n": eventsim.Neuron()}, [("in", "n")], 1)
    >>> first = {"t": [0, 2100], "x": [0, 1], "y": [0, 0], "p": [1, 1]}
    >>> stream = eventsim.Simulator(model).stream([first], window="2ms", flush=False)
    >>> len(list(stream)), stream.state.done, stream.state.waiting.tolist()  # of step 2 an event waits
    (1, 2, [[2], [1]])
    >>> second = {"t": [4500], "x": [0], "y": [0], "p": [1]}
    >>> later = eventsim.Simulator(model).stream([second], window="2ms", state=stream.state)
    >>> [(window.number, window.n_events) for window in later]
    [(1, 1), (2, 1)]
    """

    cut: Tuple[float, int, int]
    network: Optional[State]
    start: Optional[int]
    newest: Optional[int]
    done: int
    number: int
    waiting: np.ndarray
    emitted: Optional[np.ndarray]
    scores: Optional[np.ndarray]

    def check(self, course: Course, fresh, program: Program) -> None:
        """Raise DataError where no stream with this course and program could have left this. fresh: as of
        `StreamOptions`. The arrays of the network are checked when it runs."""
        if not isinstance(self.cut, tuple) or self.cut != course.cut:
            raise DataError(f"state.cut is {shown(self.cut)}, expected {course.cut}: the `state` of a stream with "
                            "the same step, window and stride")
        done = integer(self.done, "state.done", 0)
        integer(self.number, "state.number", 0)
        for name in ("start", "newest") if done or self.start is not None or self.newest is not None else ():
            integer(getattr(self, name), f"state.{name}", -LATEST, LATEST)
        if done and fresh != (self.network is None):
            raise DataError(f"state is of a stream whose windows {'share a state' if fresh else 'are fresh'}, but "
                            f"these {'are fresh' if fresh else 'share one'}; give fresh={not fresh}")
        if self.network is not None:
            instance_of(self.network, State, "state.network", "a State")
            if integer(self.network.step, "state.network.step", 0) != done:
                raise DataError(f"state.network is after {self.network.step} steps, but state.done is {done}; "
                                "give a state as a stream gave it")
        self._check_arrays(course, course.window if fresh else 0, program)

    def _check_arrays(self, course, again, program):
        """Raise DataError for arrays that no stream leaves. again: steps that are over, but may run once more."""
        n_classes = program.stages[program.output].n_neurons
        _check_array(self, "emitted", (range(1, course.window), (n_classes,)), "if", True)
        _check_array(self, "scores", ((n_classes,),), "f", True)
        _check_array(self, "waiting", ((2,), range(1 << 62)), "i", False)
        step, place = self.waiting
        if step.size and (step[0] < self.done - again or (step[1:] < step[:-1]).any() or place.min() < 0
                          or place.max() >= prod(course.bins.shape)):
            raise DataError("state.waiting has events that no stream leaves: of steps that are over or out of "
                            "order, or of places that the input does not have; give a state as a stream gave it")

    def card(self) -> Card:
        """Show how far the stream is, and what it keeps."""
        step, window, stride = self.cut
        facts = [("step", duration_text(step)), ("window", many(window, "step")), ("stride", many(stride, "step")),
                 ("windows given", all_digits(self.number)), ("events waiting", all_digits(self.waiting.shape[1]))]
        if self.start is not None:
            facts.append(("events", span_text(self.start, self.newest)))
        return Card(f"StreamState(after {many(self.done, 'step')})", facts,
                    note="give it as state= to another stream that goes on")
