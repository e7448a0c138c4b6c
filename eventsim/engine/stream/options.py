"""What a stream is asked for: windows, steps, what is late, how decisions are smoothed."""

from dataclasses import dataclass, replace
from numbers import Real
from typing import List, NamedTuple, Optional, Tuple

from eventsim.arguments import instance_of, shown
from eventsim.errors import DataError
from eventsim.inputs.event_files.options import Duration, EventOptions, FLAGS, microseconds, UNITS
from eventsim.model.input import EventBins
from eventsim.text import many

DEFAULT_WINDOW = 10_000.0  # microseconds
LONGEST_WINDOW = 1 << 20  # steps


@dataclass(frozen=True)
class StreamOptions(EventOptions):
    """How a stream is cut and read; with the fields of `EventOptions`, for sources that leave something open.

    step: the width of a step; None: the `bin_width` of the model's input.
    stride: from window to window, a whole number of steps; None: the window's own length. Where it is shorter,
        windows overlap (slide).
    fresh: whether each window is a run of its own, from a fresh state, which runs steps again that windows share.
        Otherwise the state is carried on, and every step is run once.
    smoothing: share of the past in a decision, from 0 (none) to below 1; see `StreamWindow.scores`.
    slack: how long a window waits for events out of order: it closes once an event has come that is so much
        behind its end. What comes for it after that is late.
    realtime: close windows by the clock, whether or not events come; a recording is played at its own speed.
    flush: whether the source's end closes the last window, which may be shorter. Without it, events that wait
        remain in `Stream.state`, so that another source can go on.
    record: what `StreamWindow.recording` has beside counts, as `Simulator.run` takes it.
    state: `Stream.state` of a stream that this one continues.
    """

    step: Optional[Duration] = None
    stride: Optional[Duration] = None
    fresh: bool = False
    smoothing: float = 0.0
    slack: Duration = 0.0
    realtime: bool = False
    flush: bool = True
    record: Tuple[str, ...] = ()
    state: Optional[object] = None

    def __post_init__(self):
        super().__post_init__()
        if not (isinstance(self.smoothing, Real) and 0 <= self.smoothing < 1):
            raise DataError(f"smoothing is {shown(self.smoothing)}, expected a share from 0 to below 1")
        for name in ("fresh", "realtime", "flush"):
            instance_of(getattr(self, name), FLAGS, name, "True or False")
        if microseconds(self.slack, "slack") < 0:
            raise DataError(f"slack is {shown(self.slack)}, expected a time from 0 on")


class Course(NamedTuple):
    """Steps in numbers. bins: of the events, with the width of a step. window, stride: steps. slack:
    microseconds."""

    bins: EventBins
    window: int
    stride: int
    slack: float

    @property
    def cut(self) -> Tuple[float, int, int]:
        """(microseconds of a step, steps of a window, steps between windows)."""
        return self.bins.bin_width, self.window, self.stride

    def windows_said(self) -> List[Tuple[str, str]]:
        """Return (name, value) of window and stride, for people."""
        facts = [("window", f"{duration_text(self.window * self.bins.bin_width)} ({many(self.window, 'step')})")]
        if self.stride != self.window:
            facts.append(("stride", duration_text(self.stride * self.bins.bin_width)))
        return facts

    @staticmethod
    def of(window, options: StreamOptions, bins: EventBins) -> "Course":
        """Return the Course of a stream. window: as `Simulator.stream` takes it. bins: the model's. Raises
        DataError where a time is no whole number of steps."""
        if options.step is not None:
            bins = replace(bins, bin_width=_above_0(options.step, "step", 1 / LONGEST_WINDOW))
        width = bins.bin_width
        if window is None:
            steps = _steps(max(1, DEFAULT_WINDOW // width) * width, "window", width)
        else:
            steps = _steps(window, "window", width)
        stride = steps if options.stride is None else _steps(options.stride, "stride", width)
        if stride > steps:
            raise DataError(f"stride is {shown(options.stride)}, longer than the window: steps between windows "
                            "would be left out")
        return Course(bins, steps, stride, microseconds(options.slack, "slack"))


def duration_text(time) -> str:
    """Return microseconds in a unit that keeps them short."""
    unit = "s" if time >= 1e6 else "ms" if time >= 1e3 else "us"
    return f"{time / UNITS[unit]:.6g} {unit}"


def span_text(start, stop) -> str:
    """Return the time from `start` to `stop`, in microseconds, as text in seconds."""
    return f"{start / UNITS['s']:.6f} to {stop / UNITS['s']:.6f} s"


def _above_0(value, name, least=0.0):
    """Return a time above `least` as microseconds. Raises DataError for others."""
    time = microseconds(value, name)
    if time <= least:
        raise DataError(f"{name} is {shown(value)}, expected a time above {f'{least:.2g} us' if least else 0}")
    return time


def _steps(value, name, width):
    steps = _above_0(value, name) / width
    if not 0.5 <= steps <= LONGEST_WINDOW or abs(steps - round(steps)) > 1e-6:
        raise DataError(f"{name} is {shown(value)}, {steps:g} steps of {width:g} us; expected a whole number of "
                        f"steps, from 1 to {LONGEST_WINDOW}: give another {name} or step")
    return round(steps)
