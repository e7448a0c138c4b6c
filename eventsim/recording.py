"""Recording: what a run gave, by the names of the model's nodes."""

from dataclasses import dataclass, field
from typing import Dict, Optional, Tuple

import numpy as np

from eventsim.counting import Counts
from eventsim.errors import RunError
from eventsim.program import State
from eventsim.spikes import Spikes


@dataclass
class Recording:
    """The result of `Simulator.run` for N samples and T steps.

    precision, timesteps, seconds (spent simulating). counts: always there, see `counting`.
    output: (N, classes), the answer after the last step: float32 or float64 as the run computes,
        float64 for "int8" (in the model's unit) and for models that end in spikes (summed levels).
    outputs: (N, T, classes), the answer had the run stopped after each step; only if recorded.
    state: to continue the same samples with `run(..., state=...)`.
    """

    precision: str
    timesteps: int
    output: np.ndarray
    counts: Counts
    spikes: Dict[str, Spikes] = field(default_factory=dict)
    traces: Dict[str, Dict[str, np.ndarray]] = field(default_factory=dict)
    answers: Optional[np.ndarray] = None
    state: Optional[State] = None
    seconds: float = 0.0

    @property
    def predictions(self) -> np.ndarray:
        """int64 (N,): the largest output; ties go to the lowest index."""
        return self.output.argmax(axis=1)

    @property
    def outputs(self) -> np.ndarray:
        """(N, T, classes); raises RunError if "outputs" was not recorded."""
        if self.answers is None:
            raise RunError('outputs were not recorded; run with record=("outputs",)')
        return self.answers

    def levels(self, name: str) -> np.ndarray:
        """Integer levels (N, T, *shape) that a node sent. Raises RunError if not recorded."""
        return self._recorded(self.spikes, name, "spikes").levels()

    def potentials(self, name: str) -> np.ndarray:
        """H, the membrane before the reset: (N, T, *shape) float32, float64 or, for "int8", int32 in
        steps of the layer's fixed point. Raises RunError if not recorded."""
        return self._recorded(self.traces.get("potentials", {}), name, "potentials")

    def residuals(self, name: str) -> np.ndarray:
        """U, the membrane after the reset; as `potentials`."""
        return self._recorded(self.traces.get("residuals", {}), name, "residuals")

    def accuracy(self, labels) -> float:
        """Share of the samples whose prediction equals the label."""
        return float((self.predictions == np.asarray(labels)).mean())

    def _recorded(self, found, name, kind):
        if name not in found:
            recorded = ", ".join(map(repr, found)) or "nothing"
            raise RunError(
                f"no {kind} of {name!r} in this recording (there are: {recorded}); "
                f'run with record=("{kind}",) and the name of a node that has {kind}'
            )
        return found[name]

    @staticmethod
    def of_samples(parts: Tuple["Recording", ...]) -> "Recording":
        """One recording of several groups of samples, one after another."""
        first = parts[0]
        if len(parts) == 1:
            return first

        def joined(get):
            return np.concatenate([get(part) for part in parts])

        return Recording(
            first.precision,
            first.timesteps,
            joined(lambda part: part.output),
            Counts.of_samples([part.counts for part in parts]),
            {
                name: Spikes(joined(lambda part: part.spikes[name].planes), spikes.shape,
                             spikes.logical_shape, spikes.bits, spikes.signed)
                for name, spikes in first.spikes.items()
            },
            {
                kind: {name: joined(lambda part: part.traces[kind][name]) for name in traces}
                for kind, traces in first.traces.items()
            },
            None if first.answers is None else joined(lambda part: part.answers),
            None if first.state is None else State.of_samples([part.state for part in parts]),
            sum(part.seconds for part in parts),
        )
