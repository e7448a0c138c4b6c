"""Binding: what is at hand while a plan is made."""

from dataclasses import dataclass, field
from typing import Dict, Optional, Tuple

import numpy as np

from eventsim.engine.chunk import Setting, Span, Traces
from eventsim.engine.memory import ChunkTrain, PlanMemory
from eventsim.engine.plan import Tape
from eventsim.kernels.arguments import Events
from eventsim.program import Program
from eventsim.statistics.observing import TrainObserver


@dataclass
class Binding:
    """The arrays of one block, and the tape of what computes them.

    sent: stage -> ChunkTrain. real: F (n, slots, positions, channels) of a real input. events: those that paths
    share. clock: int64 [1], the absolute step of the chunk's first. sums: layer -> what sums its train.
    """

    program: Program
    setting: Setting
    tape: Tape = field(default_factory=Tape)
    memory: PlanMemory = field(default_factory=PlanMemory)
    sent: Dict[str, ChunkTrain] = field(default_factory=dict)
    real: Optional[np.ndarray] = None
    still_input: bool = False
    events: Dict[tuple, Events] = field(default_factory=dict)
    clock: np.ndarray = field(default_factory=lambda: np.zeros(1, np.int64))
    sums: Dict[str, TrainObserver] = field(default_factory=dict)

    @property
    def all_steps(self) -> Span:
        """All steps of the chunk."""
        return Span(0, self.setting.steps)

    def traced(self, layer) -> Tuple[str, ...]:
        """Return what is traced of a layer, in the order of `Traces`: plans of one setting keep arrays in one
        order."""
        return tuple(kind for kind in Traces._fields if (layer, kind) in self.setting.traces)
