"""Where the membranes of a layer of neurons were: before the reset, after MPR, after the reset.

Of a layer of more than 4096 neurons, so many of them are looked at, spread over all.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Optional

import numpy as np

from eventsim.kernels.arguments import MembraneSums, MembraneTraces
from eventsim.merging import merged
from eventsim.model.node import Node
from eventsim.model.parameters import parameter_on
from eventsim.statistics.trains import chosen_neurons

N_BINS = 240  # of the histograms of membranes
N_DISTANCES = 50  # bins of the distance to the next threshold, within one quantum
MOST_NEURONS = 4096  # of a layer
WIDEST = 16  # levels that a histogram shows


@dataclass(frozen=True)
class MembraneStatistics:
    """Membranes of one layer over n_samples samples of n_steps steps.

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

    @cached_property
    def drift(self) -> np.ndarray:
        """float64 (T,): root mean square of U after each step, in the unit."""
        return np.sqrt(self.square_by_step.mean(axis=0))

    @cached_property
    def means(self) -> np.ndarray:
        """float64 (T,): mean of U after each step, in the unit."""
        return self.mean_by_step.mean(axis=0)

    @property
    def error(self) -> float:
        """Mean quantisation error (u - o)^2 in quanta^2 (InfLoR-SNN, eq. 8 and Table 3)."""
        return float(self.error_by_step.mean())

    @property
    def rectified_error(self) -> float:
        """The same of the rectified membrane phi(u); nan where the layer does not rectify."""
        return np.nan if self.rectified_error_by_step is None else float(self.rectified_error_by_step.mean())


def rectified(u, n_levels=1) -> np.ndarray:
    """The rectified membrane of MPR, elementwise, in quanta: phi(u) (InfLoR-SNN, eq. 9), and with more
    than one level above 0 the same around each: j + phi(u - j), j = floor(u) within 0 and n_levels - 1."""
    u = np.asarray(u, np.float64)
    j = np.clip(np.floor(u), 0, np.asarray(n_levels) - 1)
    rest = u - j
    inside = np.tanh(3 * (rest - 0.5)) / (2 * np.tanh(1.5)) + 0.5
    below, above = 1 - np.cbrt(1 - np.minimum(rest, 0)), np.cbrt(np.maximum(rest, 1))
    return j + np.where(rest < 0, below, np.where(rest > 1, above, inside))


def unrectified(y) -> np.ndarray:
    """The u whose phi(u) (InfLoR-SNN, eq. 9) is y, elementwise, in quanta."""
    y = np.asarray(y, np.float64)
    inside = np.arctanh((np.clip(y, 0, 1) - 0.5) * (2 * np.tanh(1.5))) / 3 + 0.5
    return np.where(y < 0, 1 - (1 - y) ** 3, np.where(y > 1, y**3, inside))


class MembraneScale:
    """What turns membranes of a layer into its unit and into quanta.

    node: one that sends "levels". shape: logical shape. chosen: int64, the neurons that are looked at, in the order of the
    shape, flattened; the other arrays are of these.
    """

    def __init__(self, node: Node, shape):
        self.node = node

        self.n_neurons = int(np.prod(shape, dtype=np.int64))
        self.chosen = chosen_neurons(self.n_neurons, MOST_NEURONS)

        def flat(value):
            return parameter_on(value, shape, "parameter").reshape(-1)[self.chosen]

        self.quantum = flat(node.quantum)
        self.v_threshold = flat(node.v_threshold)
        by_threshold = bool((self.v_threshold > 0).all())
        self.name = "thresholds" if by_threshold else "quanta"
        self.unit = self.v_threshold if by_threshold else self.quantum
        self.threshold = float((self.v_threshold / self.unit).mean())
        self.step = float((self.quantum / self.unit).mean())
        self.n_levels = (1 << node.n_bits) - 1
        self.fires_at = self.v_threshold / self.quantum  # in quanta
        if node.rectify:
            self.fires_at = unrectified(self.fires_at)
        self.most = (1 << flat(node.bits).astype(np.int64)) - 1
        high = self.threshold + (min(self.n_levels, WIDEST) + 1) * self.step
        low = -high if node.signed else min(self.threshold, 0.0) - 2 * self.step
        self.edges = np.linspace(low, high, N_BINS + 1)

    def statistics(self, potentials, residuals, levels, steps_per_unit) -> MembraneStatistics:
        """Of H and U of the chosen neurons as a run has them, F (n, T, chosen), and the levels that they
        sent, int32 like them. steps_per_unit: float64, of H and U, one for each channel as it is held, or
        for all."""
        from eventsim.kernels.membranes import note_membranes  # so that reading statistics needs no compiler

        n, steps, neurons = potentials.shape
        rectifies = int(self.node.rectify)
        alike = self.n_neurons // len(steps_per_unit)  # consecutive neurons of the same scale
        parameters = np.stack((steps_per_unit[self.chosen // alike], self.unit, self.quantum,
                               self.fires_at, self.most.astype(np.float64)))
        histograms = np.zeros((3, self.edges.size + 1), np.int64)
        distances, unusual = np.zeros(N_DISTANCES + 1, np.int64), np.zeros(1, np.int64)
        extremes = np.array([np.inf, -np.inf])
        sums, known = np.zeros((4, n * steps)), np.zeros((2, n * steps), np.int64)
        note_membranes(
            MembraneTraces(np.ascontiguousarray(potentials).reshape(-1),
                           np.ascontiguousarray(residuals).reshape(-1),
                           np.ascontiguousarray(levels, np.int32).reshape(-1)),
            parameters.reshape(-1), self.edges,
            MembraneSums(histograms.reshape(-1), distances, extremes, unusual, sums.reshape(-1),
                         known.reshape(-1)),
            n * steps, neurons, rectifies, int(self.node.signed),
        )
        # nan where no membrane was a number
        n_known = known[[0, 0, 1, 1]]
        means = np.divide(sums, n_known, out=np.full(sums.shape, np.nan), where=n_known > 0)
        mean, square, error, rectified_error = means.reshape(4, n, steps)
        return MembraneStatistics(
            n, steps, self.name, self.threshold, self.step, self.n_levels, self.edges, histograms[0],
            histograms[1], histograms[2] if rectifies else None, distances, float(extremes[0]),
            float(extremes[1]), int(unusual[0]), mean, square, error, rectified_error if rectifies else None,
        )
