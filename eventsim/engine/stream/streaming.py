"""Streaming: events without end through a simulator, a window of steps at a time, in bounded memory."""

import time
from dataclasses import dataclass, field, replace
from typing import Callable, Iterator

import numpy as np

from eventsim.arguments import instance_of
from eventsim.display.card import Card, cut, MOST_ROWS, Shown
from eventsim.engine.answers import answer_of_steps
from eventsim.engine.executing import Executor
from eventsim.engine.recorder import record_names
from eventsim.engine.recording import Recording
from eventsim.engine.state import OF_WINDOW
from eventsim.engine.stream.options import Course, duration_text, span_text, StreamOptions
from eventsim.engine.stream.overflows import Overflows
from eventsim.engine.stream.paced import Pace, Reader
from eventsim.engine.stream.state import StreamState
from eventsim.engine.stream.stepping import Levels, Stepping
from eventsim.engine.stream.summary import StreamSummary, Tally
from eventsim.engine.warming import numbers_of_steps
from eventsim.equality import FrozenByValue
from eventsim.errors import DataError, LevelError, warn
from eventsim.inputs.binning import MERGE
from eventsim.inputs.gaps import without_gaps
from eventsim.inputs.live import event_stream
from eventsim.inputs.preparing import check_sensor
from eventsim.statistics.counts import Counts
from eventsim.text import all_digits, many, number, quantity


@dataclass(frozen=True, repr=False, eq=False)
class StreamWindow(FrozenByValue, Shown):
    """What one window of a stream gave.

    number: from 0 on. start, stop: the time in which its steps lie, microseconds, as the events' t.
    steps: of the window; fewer at the source's end, and in the first of sliding windows.
    n_events: events in the steps that were run for it: all steps where windows reset, else those since the window
        before.
    answer: (classes,), of the dtype of `Recording.output`: what the output gave within the window alone, the sum
        or mean over its steps, or its last step, as the model's readout says; of models that end in spikes the
        sum of their levels.
    scores: float64 (classes,), the answers smoothed: smoothing * scores of the window before + (1 - smoothing) *
        answer.
    recording: of the steps that were run for it, with counts and what was recorded, without state.
    seconds: spent on it. latency: seconds from its end until its answer: `seconds`, and in real time also what it
        had to wait.

    >>> import eventsim
    >>> bins = eventsim.EventBins(bin_width=1000, sensor_size=(1, 2), polarities="one")
    >>> model = eventsim.Model({"in": eventsim.Input((2,), events=bins), "n": eventsim.Neuron()}, [("in", "n")], 1)
    >>> events = [{"t": [0, 1200, 2100], "x": [0, 1, 1], "y": [0, 0, 0], "p": [1, 1, 1]}]
    >>> window = next(eventsim.Simulator(model).stream(events, window="2ms"))
    >>> window.start, window.stop, window.n_events, window.answer.tolist()
    (0.0, 2000.0, 2, [1.0, 1.0])
    """

    number: int
    start: float
    stop: float
    steps: int
    n_events: int
    answer: np.ndarray
    scores: np.ndarray
    recording: Recording = field(repr=False)
    seconds: float = field(default=0.0, compare=False)
    latency: float = field(default=0.0, compare=False)

    def card(self) -> Card:
        """Show when the window was, what came, and the classes with the largest scores."""
        context, classes = self.recording.context, np.argsort(-self.scores, kind="stable")
        names = () if context is None else context.model.class_names
        names = names if len(names) == len(self.scores) else tuple(map(str, range(len(self.scores))))
        return Card(
            f"StreamWindow {all_digits(self.number)}, {span_text(self.start, self.stop)}",
            [("steps", self.steps), ("events", all_digits(self.n_events)), ("decision", cut(names[classes[0]])),
             ("synops", quantity(self.counts.total("synops"))), ("latency", f"{number(1e3 * self.latency)} ms")],
            ("class", "score", "answer"),
            [(names[i], number(self.scores[i]), number(self.answer[i])) for i in classes[:MOST_ROWS].tolist()],
            len(classes), note="recording has what was recorded of its steps")

    @property
    def prediction(self) -> int:
        """The class of the largest score; ties go to the lowest index."""
        return int(self.scores.argmax())

    @property
    def output(self) -> np.ndarray:
        """The answer since the last reset, (classes,), as `Simulator.run` of all steps since then gives it."""
        return self.recording.output[0]

    @property
    def counts(self) -> Counts:
        """The counts of the steps that were run for the window."""
        return self.recording.counts


class Stream(Shown):
    """Iterator of `Simulator.stream`: a StreamWindow after another, until the source ends.

    Kernels are compiled when it is made. simulator: a `Simulator`. executor: gives its own, as its settings are.
    source, window: as `Simulator.stream`.

    Attributes: source, the `EventStream`, with its `notes`; course, the steps in numbers; state, a `StreamState`
    after the window given last, from which another stream may go on; summary.

    >>> import eventsim
    >>> bins = eventsim.EventBins(bin_width=1000, sensor_size=(1, 2), polarities="one")
    >>> model = eventsim.Model({"in": eventsim.Input((2,), events=bins), "n": eventsim.Neuron()}, [("in", "n")], 1)
    >>> events = [{"t": [0, 1200, 2100], "x": [0, 1, 1], "y": [0, 0, 0], "p": [1, 1, 1]}]
    >>> stream = eventsim.Simulator(model).stream(events, window="2ms")
    >>> [(window.number, window.n_events, window.prediction) for window in stream]
    [(0, 2, 0), (1, 1, 1)]
    >>> stream.summary.steps, stream.summary.events
    (3, 3)
    """

    def __init__(self, simulator, executor: Callable[[], Executor], source, window, options: StreamOptions):
        node = simulator.model.nodes[simulator.model.input]
        if node.events is None:
            raise DataError("the model's input does not say how events become levels; give it "
                            "events=EventBins(...)")
        self.source = event_stream(source, options, node.events.sensor_size)
        check_sensor(self.source, node.events)
        self.course = Course.of(window, options, node.events)
        doubt = simulator.model.doubt_of_steps(self.course.window if options.fresh else None)
        if doubt:
            warn(doubt)
        self._simulator, self._executor, self._options = simulator, executor, options
        self._stepping = Stepping(self.course, self.source.start)
        self._levels = Levels(self.course.window if options.fresh else self.course.stride, self.course.bins,
                              node.shape)
        self._output = _Output(simulator.program)
        record = record_names(options.record)
        self._overflows = Overflows(simulator.program, record)
        self._record = (*record, self._output.record, *self._overflows.record)
        self._network, self._scores, self._number = None, None, 0
        self._left_by = None  # the Executor whose run left the network's state; None where others have it, too
        self._within = False  # whether a window has begun and not come to its end
        self._highest = (1 << node.bits) - 1  # level
        self._emitted = None
        if options.state is not None:
            self._take_up(options.state)
        self._tally = Tally()
        self._compile()
        self._windows = self._generated()

    def __iter__(self) -> Iterator[StreamWindow]:
        return self

    def __next__(self) -> StreamWindow:
        """Return the next window. Raises DataError where the source is damaged, or a window has levels that the
        input does not take; RunError where integers could overflow."""
        return next(self._windows)

    def card(self) -> Card:
        """Show what the stream reads, how it is cut, and how far it is; nothing is read for it."""
        course, summary = self.course, self.summary
        facts = [("step", duration_text(course.bins.bin_width)), *course.windows_said(),
                 ("windows", "fresh" if self._options.fresh else "one state"),
                 ("given", f"{many(summary.windows, 'window')}, {many(summary.events, 'event')}")]
        if summary.late_events:
            facts.append(("late", all_digits(summary.late_events)))
        if summary.real_time_factor is not None:
            facts.append(("speed", f"{number(summary.real_time_factor)} times real time"))
        return Card(f"Stream of {cut(self.source.name, 60)!r}", facts,
                    note="each `next` is a StreamWindow; summary and state say how far it is")

    @property
    def state(self) -> StreamState:
        """What is carried on after the window given last. Raises DataError where a window failed or was stopped
        after it: what that left is of no step."""
        if self._within:
            raise DataError(f"{self.source.name}: window {self._number} failed or was stopped, so that there is "
                            "no state to go on from; keep the `state` of windows before")
        stepping = self._stepping
        self._left_by = None  # somebody else has the network's state now: the next window checks and copies it
        return StreamState(self.course.cut, self._network, stepping.start, stepping.newest, stepping.done,
                           self._number, stepping.waiting.copy(), self._emitted, self._scores)

    @property
    def summary(self) -> StreamSummary:
        """The StreamSummary of the windows given so far."""
        notes = *self.source.notes, *self._overflows.notes
        return self._tally.summary(self.course, self._stepping.n_late, notes)

    def _take_up(self, state: StreamState):
        instance_of(state, StreamState, "state", "the `state` of a stream")
        state.check(self.course, self._options.fresh, self._simulator.program)
        stepping = self._stepping
        stepping.start, stepping.newest, stepping.done = state.start, state.newest, state.done
        stepping.waiting = state.waiting
        self._network, self._emitted, self._scores = state.network, state.emitted, state.scores
        self._number = state.number

    def _compile(self):
        """Compile kernels, and bind them to the memory of a window, with and without a state: those of whole
        windows, and those of shorter ones, with which a stream that slides begins, and any other may end."""
        none, steps = np.empty((2, 0), np.int64), self._levels.steps
        self._simulator.compile(self._record, self._levels.filled(*none, steps))
        safe = self._simulator.program.safe_steps
        for n in numbers_of_steps(steps):
            if safe is not None and safe < 2 * n:
                break  # the first windows say so
            blank = self._levels.filled(*none, n)
            first = self._run(blank, None)
            self._output.answer(self._output.emitted(first))
            if not self._options.fresh:
                self._run(blank, first.state)

    # ---- windows

    def _generated(self):
        pace = Pace(self.course) if self._options.realtime else None
        newest = self._stepping.newest
        source = without_gaps(self.source, self._options, newest, live=pace is not None)
        blocks = Reader(source, pace) if pace else iter(source)
        try:
            for block in blocks:
                if block is not None:
                    self._stepping.add(block)
                    if pace:
                        pace.begin(self._stepping)
                while self._is_over(self._next_stop, pace):
                    yield self._window(self._next_stop, pace)
            while self._options.flush and self._stepping.reached > self._stepping.done:
                stop = min(self._next_stop, self._stepping.reached)
                if pace:
                    pace.wait(stop)
                yield self._window(stop, pace)
        finally:
            if pace:
                blocks.close()

    @property
    def _next_stop(self):
        """The step before which the next window ends."""
        return (self._stepping.done // self.course.stride + 1) * self.course.stride

    def _is_over(self, stop, pace):
        if self._stepping.complete(stop):
            if pace:
                pace.wait(stop)
            return True
        return pace is not None and pace.is_due(stop)

    def _window(self, stop, pace) -> StreamWindow:
        self._within = True
        began = time.perf_counter()
        stepping, course = self._stepping, self.course
        end = self._next_stop  # beyond stop where the source has ended
        first = max(0, end - course.window)
        begin = first if self._options.fresh else stepping.done
        again = stop
        if self._options.fresh:  # steps that the next window runs, too
            again = end + course.stride - course.window if stop == end else first
        new = stepping.done  # the first step that no window has had
        step, place = stepping.take(begin, stop, again)
        recording = self._run_named(self._levels.filled(step, place, stop - begin), first, stop)
        emitted = self._output.emitted(recording)
        if not self._options.fresh:
            self._network, recording.state, self._left_by = recording.state, OF_WINDOW, self._executor()
            if self._emitted is not None:
                emitted = np.concatenate((self._emitted, emitted))[first - stop :]
            first = stop - len(emitted)
            new_steps = course.stride if stop == end else end - stop  # of the next window
            again = min(course.window - new_steps, len(emitted))  # steps that it shares with this one
            self._emitted = emitted[len(emitted) - again :].copy() if again else None
        answer = self._output.answer(emitted)
        self._overflows.see(recording)
        recording.context = replace(recording.context, bin_width=course.bins.bin_width)
        self._scores = self._smoothed(answer)
        ended = time.perf_counter()
        latency = ended - (pace.due(stop) if pace else began)
        stream_window = StreamWindow(
            number=self._number, start=self._time(first), stop=self._time(stop), steps=stop - first,
            n_events=len(step), answer=answer, scores=self._scores, recording=recording, seconds=ended - began,
            latency=latency)
        self._number += 1
        self._tally.add(stream_window, stop - new, int((step >= new - begin).sum()))
        self._within = False
        return stream_window

    def _run_named(self, levels, first, stop):
        try:
            return self._run(levels, None if self._options.fresh else self._network)
        except DataError as error:
            remedy = MERGE if isinstance(error, LevelError) else ""
            raise type(error)(f"{self.source.name}: window from {self._time(first):g} to {self._time(stop):g} us: "
                              f"{error}{remedy}") from None

    def _run(self, levels, state):
        """Run levels. A state that the window before left is as it was, and is not checked again; nor are all
        levels, where those of the events are not too high."""
        executor = self._executor()
        if state is not None and executor is self._left_by and self._levels.are_at_most(self._highest):
            return executor.go_on(levels, self._record, state)
        return executor.run_unjudged(levels, levels.shape[1], self._record, state)

    def _time(self, step):
        return self._stepping.start + step * self.course.bins.bin_width

    def _smoothed(self, answer):
        share = self._options.smoothing
        answer = answer.astype(np.float64)
        return answer if not share or self._scores is None else share * self._scores + (1 - share) * answer


class _Output:
    """What the output gives in each step, and the answer of some steps. record: what `Simulator.run` has to keep
    for it."""

    def __init__(self, program):
        self._layer, self._dtype = program.stages[program.output], program.dtype
        self.record = f"{'potentials' if self._layer.reduce else 'spikes'}:{program.output}"

    def emitted(self, recording) -> np.ndarray:
        """Return (steps, classes): the membranes of a readout, or levels int64."""
        name = self._layer.name
        values = recording.potentials(name) if self._layer.reduce else recording.levels(name).astype(np.int64)
        return values.reshape(values.shape[1], -1)

    def answer(self, emitted) -> np.ndarray:
        """Return the answer (classes,), as a run of these steps alone gives it."""
        emitted = emitted if self._layer.reduce else emitted.astype(np.int32)
        return answer_of_steps(emitted, self._layer, self._dtype)
