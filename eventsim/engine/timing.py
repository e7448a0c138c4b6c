"""Timing: where the time of a run goes."""

import time
from dataclasses import dataclass, field
from typing import Dict, List, NamedTuple

import numpy as np

from eventsim.display.card import Card, MOST_ROWS, Shown
from eventsim.merging import merged
from eventsim.text import number


class TimedStep(NamedTuple):
    """A step of a stage, timed. kernel: names of functions of `eventsim.kernels`, joined by "+" where they take
    turns row by row, or "Python". began: seconds after the run began."""

    stage: str
    kernel: str
    began: float
    seconds: float


@dataclass(repr=False)
class Timing(Shown):
    """Where the seconds of a run went.

    seconds: of all. compiled: within compiled kernels (of all threads together). compiling: of binding kernels
    to arrays: compiling or loading them, where they are new. kernels: stage -> kernel -> seconds, only with
    "timing" recorded. The stages are the input, the layers, and "counts" for the counting of operations
    ("counts/" where a node is called so).

    >>> import eventsim, numpy as np
    >>> model = eventsim.Model({"in": eventsim.Input((4,)), "n": eventsim.Neuron()}, [("in", "n")])
    >>> recording = eventsim.Simulator(model).run(np.ones((2, 4), int), record="timing")
    >>> sorted(recording.timing.layers)
    ['counts', 'in', 'n']
    """

    seconds: float = merged("sum", default=0.0)
    compiled: float = merged("sum", default=0.0)
    compiling: float = merged("sum", default=0.0)
    kernels: Dict[str, Dict[str, float]] = merged("sum", lacking="other", default_factory=dict)

    @property
    def python(self) -> float:
        """The seconds outside of kernels, of a run in one thread."""
        return max(self.seconds - self.compiled - self.compiling, 0.0)

    @property
    def layers(self) -> Dict[str, float]:
        """The seconds of each stage."""
        return {stage: sum(kernels.values()) for stage, kernels in self.kernels.items()}

    def card(self) -> Card:
        """Show the time of kernels and of all else; where kernels were timed, those that took longest."""
        steps = sorted(((seconds, stage, kernel) for stage, kernels in self.kernels.items()
                        for kernel, seconds in kernels.items()), reverse=True)
        rows = [(stage, kernel, number(1e3 * seconds), number(100 * seconds / (self.seconds or np.inf)))
                for seconds, stage, kernel in steps[:MOST_ROWS]]
        facts = [(name, f"{number(1e3 * seconds)} ms") for name, seconds in (
            ("in kernels", self.compiled), ("compiling", self.compiling), ("outside", self.python))]
        note = "" if steps else 'record "timing" for each stage and kernel'
        return Card(f"Timing({number(1e3 * self.seconds)} ms)", facts, ("stage", "kernel", "ms", "%"), rows,
                    len(steps), note=note)

    def by_kernel(self) -> Dict[str, float]:
        """Return the seconds of each kernel, of all stages."""
        of_kernels = {}
        for kernels in self.kernels.values():
            for kernel, seconds in kernels.items():
                of_kernels[kernel] = of_kernels.get(kernel, 0.0) + seconds
        return of_kernels


@dataclass
class Clock:
    """What a run is timed with. detailed: call kernels one by one, each timed, into steps; else only as a
    whole."""

    detailed: bool = False
    steps: List[TimedStep] = field(default_factory=list)
    timing: Timing = field(default_factory=Timing)
    began: float = field(default_factory=time.perf_counter)

    def add(self, stage, kernel, began, ended) -> None:
        """Note that a step of a stage ran."""
        timing, seconds = self.timing, ended - began
        of_stage = timing.kernels.setdefault(stage, {})
        of_stage[kernel] = of_stage.get(kernel, 0.0) + seconds
        if kernel != "Python":
            timing.compiled += seconds
        self.steps.append(TimedStep(stage, kernel, began - self.began, seconds))

    def finish(self) -> Timing:
        """Return the Timing of a run that ends now."""
        self.timing.seconds = time.perf_counter() - self.began
        return self.timing
