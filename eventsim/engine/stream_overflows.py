"""Overflows of a stream: floats of the network that become infinite or nan, in whatever window."""

from dataclasses import replace
from typing import Dict, Tuple

import numpy as np

from eventsim.engine.overflows import floats_may_overflow
from eventsim.statistics.not_finite import overflow_text
from eventsim.statistics.result import KINDS

ENDLESS = 1 << 40  # steps that no stream comes to
MEMBRANES = "membranes"


class Overflows:
    """What was seen of them so far. Membranes are looked at only where weights are so large that they may overflow.

    record: what `Simulator.run` has to keep for it beside what is asked.
    """

    def __init__(self, program, asked):
        asked = {asked} if isinstance(asked, str) else set(asked or ())
        looks = floats_may_overflow(program, ENDLESS)
        self._precision = program.precision
        self._found: Dict[str, int] = {}
        self._only_ours = looks and MEMBRANES not in asked
        self._others = bool(asked & set(KINDS))
        self.record: Tuple[str, ...] = (MEMBRANES,) if self._only_ours else ()
        self._looks = looks

    def see(self, recording) -> None:
        """The recording of a window, from which what nobody asked for is taken."""
        self._add("", int(not np.isfinite(recording.output).all()))
        if not self._looks:
            return
        for name, found in recording.statistics.membranes.items():
            self._add(name, found.n_not_finite)
        if self._only_ours:
            recording.statistics = replace(recording.statistics, membranes={}) if self._others else None

    def _add(self, name, n):
        if n:
            self._found[name] = self._found.get(name, 0) + n

    @property
    def notes(self) -> Tuple[str, ...]:
        """In words, none where all is finite."""
        text = overflow_text(self._precision, self._found, "window")
        return (text,) if text else ()
