"""What a stream took: how fast it ran, and how long its answers took, in memory that does not grow."""

from dataclasses import dataclass
from math import log
from time import perf_counter
from typing import Dict, Optional, Tuple

import numpy as np

from eventsim.inputs.events import MICROSECOND

SHORTEST, LONGEST = 1e-6, 1e3  # seconds, of a latency
FINENESS = 50  # bins for a factor of e: a percentile is right within 2 %
PERCENTILES = (50, 95, 99)


@dataclass(frozen=True)
class StreamSummary:
    """How much a stream has given so far, and how fast.

    windows: how many. steps, events: in them, each counted once, however many windows share it. late_events:
    events that came too late and were left out. stream_seconds: time that the steps last. seconds: spent on
    windows. wall_seconds: since the stream was made. real_time_factor: stream_seconds / seconds, above 1 where it
    is faster than what it watches. events_per_second: events / seconds. latency_ms: "p50", "p95", "p99" and "max".
    These three are None where there was no window. notes: what was assumed, mended or cut off of the source, and
    whether numbers left what floats hold.
    """

    windows: int
    steps: int
    events: int
    late_events: int
    stream_seconds: float
    seconds: float
    wall_seconds: float
    real_time_factor: Optional[float]
    events_per_second: Optional[float]
    latency_ms: Optional[Dict[str, float]]
    notes: Tuple[str, ...] = ()


class Tally:
    """Counts what a StreamSummary says."""

    def __init__(self):
        self._made = perf_counter()
        self._windows = self._steps = self._events = 0
        self._seconds = self._longest = 0.0
        self._latencies = np.zeros(int(log(LONGEST / SHORTEST) * FINENESS) + 1, np.int64)

    def add(self, window, steps, events) -> None:
        """Count a window. steps, events: how many of its own no window before it had."""
        self._windows += 1
        self._steps += steps
        self._events += events
        self._seconds += window.seconds
        self._longest = max(self._longest, window.latency)
        latency = min(max(window.latency, SHORTEST), LONGEST)
        self._latencies[int(log(latency / SHORTEST) * FINENESS)] += 1

    def summary(self, course, n_late, notes) -> StreamSummary:
        """Return the StreamSummary so far. notes: on the source and on what came of it."""
        lasted = self._steps * course.bins.bin_width * MICROSECOND
        some = self._windows > 0 and self._seconds > 0
        return StreamSummary(
            self._windows, self._steps, self._events, n_late, lasted, self._seconds, perf_counter() - self._made,
            lasted / self._seconds if some else None, self._events / self._seconds if some else None,
            self._latency() if some else None, tuple(notes))

    def _latency(self):
        below = np.cumsum(self._latencies)
        latencies = {}
        for percent in PERCENTILES:
            place = int(np.searchsorted(below, percent / 100 * self._windows))
            latencies[f"p{percent}"] = 1e3 * min(self._longest, SHORTEST * float(np.exp((place + 1) / FINENESS)))
        return {**latencies, "max": 1e3 * self._longest}
