"""Where the membranes of a layer of neurons were: before the reset, after MPR, after the reset.

Of a layer of more than 4096 neurons, so many of them are looked at, spread over all.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar, Optional

import numpy as np

from eventsim.arguments import integer
from eventsim.display.card import Card, Shown
from eventsim.equality import FrozenByValue
from eventsim.merging import merged
from eventsim.model.parameters import MOST_STEPS
from eventsim.model.rectifier import unrectified
from eventsim.text import many, number, up_to_steps

N_BINS = 240  # of the histograms of membranes
N_DISTANCES = 50  # bins of the distance to the next threshold, within one quantum
MOST_NEURONS = 4096  # of a layer
WIDEST = 16  # levels that a histogram shows


@dataclass(frozen=True, repr=False, eq=False)
class MembraneStatistics(FrozenByValue, Shown):
    """Membranes of one layer over n_samples samples of n_steps steps.

    A quantum here is the size of one level in the membrane: the node's `quantum`, or, of neurons of one level
    that nothing subtracts (reset "hard" or "none" without MPR, and Alpha), v_threshold where that is above 0;
    their `quantum` is only what a spike is worth to the nodes that read it.

    unit: "thresholds": membranes over their neuron's v_threshold; "quanta": over its quantum, where a
        threshold is not above 0.
    threshold: the first level's threshold in that unit, a mean over the neurons looked at; step: from one level's
        threshold to the next's; n_levels: levels above 0.
    edges: float64 (B + 1,) of the histograms' bins, in the unit.
    potentials, residuals: int64 (B + 2,), H before the reset and U after it; the first and the last
        value are those below and above the edges.
    rectified: int64 (B + 2,), phi(H) (InfLoR-SNN, eq. 9), None where the layer does not rectify.
    distances: int64 (D + 1,), |H - the nearest threshold of any level| in even bins over one
        quantum; the last value: a quantum or more. The thresholds are those that H meets: where a layer
        rectifies, from where phi(H) reaches them.
    lowest, highest: of H, in the unit; inf and -inf where there is none.
    n_not_finite: H that are infinite or not a number; they, and such U, are in no other figure.
    mean_by_step, square_by_step: float64 (n_samples, T), mean over the neurons of U, and of U^2, in
        the unit; nan where no U is a number, inf where a square is beyond float64.
    error_by_step: float64 (n_samples, T), mean over the neurons of (u - o)^2, u being H and o the
        level sent, in quanta (InfLoR-SNN, eq. 8). rectified_error_by_step: with phi(H) for u, or None.
    lengths: int64 (n_samples,), steps that each sample had, n_steps being the most; None: all had as many. What is
        by step is nan after a sample's end.
    """

    ALIKE: ClassVar[str] = "the same layer: of different samples of as many steps, or of the same samples"

    n_samples: int = merged(samples="sum", steps="same")
    n_steps: int = merged(samples="same", steps="sum")
    unit: str = merged("same")
    threshold: float = merged("same")
    step: float = merged("same")
    n_levels: int = merged("same")
    edges: np.ndarray = merged("same")
    potentials: np.ndarray = merged("sum")
    residuals: np.ndarray = merged("sum")
    rectified: Optional[np.ndarray] = merged("sum")
    distances: np.ndarray = merged("sum")
    lowest: float = merged("min")
    highest: float = merged("max")
    n_not_finite: int = merged("sum")
    mean_by_step: np.ndarray = merged("concatenate")
    square_by_step: np.ndarray = merged("concatenate")
    error_by_step: np.ndarray = merged("concatenate")
    rectified_error_by_step: Optional[np.ndarray] = merged("concatenate")
    lengths: Optional[np.ndarray] = merged(samples="concatenate", steps="last", default=None)

    def padded(self, n_steps) -> "MembraneStatistics":
        """Return the same statistics as those of samples among longer ones, of n_steps: they have ended after
        their own steps. Raises DataError for fewer steps."""
        n_steps = integer(n_steps, "n_steps", self.n_steps, MOST_STEPS)
        lengths = np.full(self.n_samples, self.n_steps, np.int64) if self.lengths is None else self.lengths
        names = ("mean_by_step", "square_by_step", "error_by_step", "rectified_error_by_step")
        by_step = {name: np.pad(value, ((0, 0), (0, n_steps - self.n_steps)), constant_values=np.nan)
                   for name in names if (value := getattr(self, name)) is not None}
        return replace(self, n_steps=n_steps, lengths=lengths, **by_step)

    def _mean(self, by_step, axis=None):
        """Return the mean over the samples, of the steps that they had."""
        if self.lengths is None:
            return by_step.mean(axis=axis)
        presented = np.arange(self.n_steps) < self.lengths[:, None]
        sums, n_presented = np.where(presented, by_step, 0).sum(axis=axis), np.asarray(presented.sum(axis=axis))
        return np.divide(sums, n_presented, out=np.full(n_presented.shape, np.nan), where=n_presented > 0)[()]

    @property
    def longest(self) -> int:
        """Steps of the longest of the samples, fewer than n_steps where a longer one was not looked at."""
        return self.n_steps if self.lengths is None else int(self.lengths.max(initial=0))

    @property
    def presented(self) -> int:
        """Steps of all samples together."""
        return self.n_samples * self.n_steps if self.lengths is None else int(self.lengths.sum())

    @property
    def steps_text(self) -> str:
        """In words, how many steps the samples had."""
        return up_to_steps(self.longest, self.presented < self.n_samples * self.longest)

    @property
    def signed(self) -> bool:
        """Whether neurons decide below 0, too: only then the edges lie alike on both sides of 0, and the threshold
        above it."""
        return self.threshold > 0 and bool(self.edges[0] == -self.edges[-1])

    @property
    def fires_at(self) -> float:
        """The H from which the first level is sent, in the unit: `threshold`, or, where the layer rectifies, the H
        whose phi(H) reaches it."""
        if self.rectified is None:
            return self.threshold
        return float(unrectified(self.threshold / self.step)) * self.step

    def card(self) -> Card:
        """Show the numbers of the layer as a whole."""
        return Card(f"MembraneStatistics({many(self.n_samples, 'sample')} of {self.steps_text}, in "
                    f"{self.unit})", [
                        ("threshold", number(self.threshold)), ("lowest", number(self.lowest)),
                        ("highest", number(self.highest)), ("not finite", self.n_not_finite)])

    @cached_property
    def drift(self) -> np.ndarray:
        """float64 (T,): root mean square of U after each step, in the unit; nan from `longest` on."""
        return np.sqrt(self._mean(self.square_by_step, 0))

    @cached_property
    def means(self) -> np.ndarray:
        """float64 (T,): mean of U after each step, in the unit; nan from `longest` on."""
        return self._mean(self.mean_by_step, 0)

    @property
    def error(self) -> float:
        """Mean quantisation error (u - o)^2 in quanta^2 (InfLoR-SNN, eq. 8 and Table 3)."""
        return float(self._mean(self.error_by_step))

    @property
    def rectified_error(self) -> float:
        """The same of the rectified membrane phi(u); nan where the layer does not rectify."""
        return np.nan if self.rectified_error_by_step is None else float(self._mean(self.rectified_error_by_step))
