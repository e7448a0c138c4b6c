"""Overflows of a stream: floats of the network that become infinite or nan, in whatever window."""

from dataclasses import replace
from typing import Dict, Tuple

import numpy as np

from eventsim.engine.infinities import floats_may_overflow
from eventsim.statistics.not_finite import overflow_text
from eventsim.statistics.result import KINDS

ENDLESS = 1 << 40  # steps that no stream comes to
MEMBRANES = "membranes"


class Overflows:
    """What overflowed so far. Membranes are looked at only where weights are so large that they may overflow.

    asked: names of what is recorded anyway. record: what `Simulator.run` has to keep for it beside them.
    """

    def __init__(self, program, asked: Tuple[str, ...]):
        looks = floats_may_overflow(program, ENDLESS)
        self._precision = program.precision
        self._seen: Dict[str, int] = {}
        self._only_ours = looks and MEMBRANES not in asked
        self._others = any(kind in asked for kind in KINDS)
        self.record: Tuple[str, ...] = (MEMBRANES,) if self._only_ours else ()
        self._looks = looks

    def see(self, recording) -> None:
        """Look at the recording of a window, and take from it what nobody asked for."""
        self._add("", int(not np.isfinite(recording.output).all()))
        if not self._looks:
            return
        for name, membranes in recording.statistics.membranes.items():
            self._add(name, membranes.n_not_finite)
        if self._only_ours:
            recording.statistics = replace(recording.statistics, membranes={}) if self._others else None

    def _add(self, name, n):
        if n:
            self._seen[name] = self._seen.get(name, 0) + n

    @property
    def notes(self) -> Tuple[str, ...]:
        """What was seen, in words; nothing where all is finite."""
        text = overflow_text(self._precision, self._seen, "window")
        return (text,) if text else ()
