"""What one node sent: exact sums over samples and steps, and the numbers that follow from them.

All sums are integers, so they are the same however samples are cut into batches, blocks and threads.
"""

from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from math import prod
from typing import ClassVar, Optional, Tuple

import numpy as np

from eventsim.arguments import integer
from eventsim.display.card import Card, Shown, times
from eventsim.equality import FrozenByValue
from eventsim.merging import merged
from eventsim.model.parameters import MOST_STEPS
from eventsim.text import many, number, percent, up_to_steps

MOST_CHOSEN = 64  # neurons whose correlation is kept
LONGEST = 1024  # steps; intervals of that length and more share a bin
VARIATION_UNIT = 2.0**32  # `variation_sums` are in parts of it


@lru_cache(maxsize=1024)
def chosen_neurons(n_neurons, most=MOST_CHOSEN) -> np.ndarray:
    """Return at most `most` neurons, int64, one from each of as many equal parts of the node's order. Which one
    of its part changes from part to part, since even steps would meet the same columns of every map. Read-only."""
    n = min(most, n_neurons)
    parts = np.arange(n, dtype=np.int64)
    within = parts * 2654435761 % (1 << 32)  # multiplicative hashing (Knuth): the same everywhere
    first, after = parts * n_neurons // n, (parts + 1) * n_neurons // n
    chosen = first + (within * (after - first) >> 32)
    chosen.setflags(write=False)
    return chosen


def n_interval_bins(n_steps) -> int:
    """Return the number of bins of a histogram of intervals in trains of n_steps: one for each length, the last
    for all from there on."""
    return min(n_steps, LONGEST) + 1


@dataclass(frozen=True, repr=False, eq=False)
class TrainStatistics(FrozenByValue, Shown):
    """Spikes of one node. Neurons are in the order of the node's shape, (C, H, W), flattened.

    shape, bits, signed: of the node. n_samples, n_steps: those summed over, and steps of each.
    events: int64 (neurons,), how often a neuron's level was not 0.
    squares: int64 (neurons,), sum over the samples of the square of a sample's events.
    plane_events: int64 (planes, neurons), set bits; plane b is worth 2^b, and where levels are signed
        the planes of negative ones follow.
    level_counts: int64 (levels,), of all neurons and steps; `level_values` says which level.
    events_by_step: int64 (T,), of all neurons and samples.

    Of n_detailed samples (0: of none):

    interval_counts, interval_sums, interval_squares: int64 (neurons,), of the steps between two
        events of a neuron that follow each other in one sample.
    variation_counts, variation_sums: int64 (neurons,), of ((I1 - I2) / (I1 + I2))^2 over intervals
        that follow each other; the sum in units of 2^-32.
    interval_histogram: int64 (L + 1,), of all neurons; bin i holds intervals of i steps, the last
        one those of L = min(T, 1024) and more.
    chosen: int64 (S,), at most 64 neurons, spread over all (`chosen_neurons`).
    together: int64 (S, S), how often two of them had an event in the same step.

    Where samples have their own lengths, of which n_steps is the most: ended_by_step, int64 (T,), samples that had
    ended before the step, else None; detailed_absent: steps that the detailed samples did not have.
    """

    ALIKE: ClassVar[str] = "the same node and number of steps"

    shape: Tuple[int, ...] = merged(samples="same")
    bits: int = merged(samples="same")
    signed: bool = merged(samples="same")
    n_samples: int = merged(samples="sum")
    n_steps: int = merged(samples="same")
    events: np.ndarray = merged(samples="sum")
    squares: np.ndarray = merged(samples="sum")
    plane_events: np.ndarray = merged(samples="sum")
    level_counts: np.ndarray = merged(samples="sum")
    events_by_step: np.ndarray = merged(samples="sum")
    n_detailed: int = merged(samples="sum")
    interval_counts: np.ndarray = merged(samples="sum")
    interval_sums: np.ndarray = merged(samples="sum")
    interval_squares: np.ndarray = merged(samples="sum")
    variation_counts: np.ndarray = merged(samples="sum")
    variation_sums: np.ndarray = merged(samples="sum")
    interval_histogram: np.ndarray = merged(samples="sum")
    chosen: np.ndarray = merged(samples="same")
    together: np.ndarray = merged(samples="sum")
    ended_by_step: Optional[np.ndarray] = merged(samples="sum", default=None)
    detailed_absent: int = merged(samples="sum", default=0)

    @staticmethod
    def array_shapes(shape, bits, signed, n_steps):
        """Return {field: shape} of the arrays, all int64, of a node and a number of steps."""
        neurons = prod(shape)
        planes, levels = bits * (1 + signed), (1 << bits) + signed * ((1 << bits) - 1)
        chosen = min(MOST_CHOSEN, neurons)
        per_neuron = ("events", "squares", "interval_counts", "interval_sums", "interval_squares",
                      "variation_counts", "variation_sums")
        return {
            **{name: (neurons,) for name in per_neuron},
            "plane_events": (planes, neurons), "level_counts": (levels,), "events_by_step": (n_steps,),
            "interval_histogram": (n_interval_bins(n_steps),), "chosen": (chosen,),
            "together": (chosen, chosen),
        }

    @classmethod
    def zeros(cls, shape, bits, signed, n_steps) -> "TrainStatistics":
        """Return the statistics of no samples."""
        arrays = {name: np.zeros(size, np.int64)
                  for name, size in cls.array_shapes(shape, bits, signed, n_steps).items()}
        arrays["chosen"] = chosen_neurons(arrays["events"].size)
        return cls(tuple(shape), bits, signed, 0, n_steps, n_detailed=0, **arrays)

    def card(self) -> Card:
        """Show the numbers of the node as a whole."""
        numbers = [("rate", number(self.rate)), ("silent", percent(self.silent_share)),
                   ("saturated", percent(self.saturated_share)), ("mean level", number(self.mean_level)),
                   ("entropy", number(self.entropy)), ("samples with intervals", self.n_detailed)]
        return Card(f"TrainStatistics({times(self.shape)} neurons, {self.bits} bits"
                    f"{' and a sign' if self.signed else ''}, {many(self.n_samples, 'sample')} of "
                    f"{self.steps_text()})", numbers)

    def padded(self, n_steps) -> "TrainStatistics":
        """Return the same statistics as those of samples among longer ones, of n_steps: they have ended after
        their own steps. Raises DataError for fewer steps."""
        n_steps = integer(n_steps, "n_steps", self.n_steps, MOST_STEPS)
        more = n_steps - self.n_steps
        bins = n_interval_bins(n_steps) - self.interval_histogram.size
        ended = np.zeros(self.n_steps, np.int64) if self.ended_by_step is None else self.ended_by_step
        return replace(
            self, n_steps=n_steps, events_by_step=np.pad(self.events_by_step, (0, more)),
            interval_histogram=np.pad(self.interval_histogram, (0, bins)),
            ended_by_step=np.concatenate((ended, np.full(more, self.n_samples, np.int64))),
            detailed_absent=self.detailed_absent + more * self.n_detailed)

    def ended(self, lengths) -> "TrainStatistics":
        """Return the statistics of samples, all in detail, that had `lengths` steps, int64 (N,), and were 0 after
        them."""
        if lengths is None:
            return self
        absent, zero = int((self.n_steps - lengths).sum()), -self.lowest_level
        level_counts = self.level_counts.copy()
        level_counts[zero] -= absent * self.n_neurons
        ended = (lengths[:, None] <= np.arange(self.n_steps)).sum(axis=0)
        return replace(self, level_counts=level_counts, ended_by_step=ended, detailed_absent=absent)

    # ---- how many, how often

    @property
    def n_neurons(self) -> int:
        """Neurons of the node."""
        return self.events.size

    @property
    def chances(self) -> int:
        """(step, sample) in which each neuron could have an event."""
        absent = 0 if self.ended_by_step is None else int(self.ended_by_step.sum())
        return self.n_samples * self.n_steps - absent

    @property
    def chances_by_step(self) -> np.ndarray:
        """int64 (T,): samples that had the step."""
        ended = 0 if self.ended_by_step is None else self.ended_by_step
        return np.full(self.n_steps, self.n_samples, np.int64) - ended

    def steps_text(self, detailed=False) -> str:
        """Return, in words, how many steps the samples had. detailed: those that were looked at in detail."""
        fewer = self.detailed_absent if detailed else self.chances < self.n_samples * self.n_steps
        return up_to_steps(self.n_steps, fewer)

    @cached_property
    def rates(self) -> np.ndarray:
        """float64 (neurons,): events per step; nan where there are no samples."""
        return _ratio(self.events, self.chances)

    @cached_property
    def rate(self) -> float:
        """Events per neuron and step."""
        return float(_ratio(self.events.sum(), self.chances * self.n_neurons))

    @cached_property
    def rate_by_step(self) -> np.ndarray:
        """float64 (T,): events per neuron in each step; nan in those that no sample had."""
        return _ratio(self.events_by_step, self.chances_by_step * self.n_neurons)

    @property
    def silent(self) -> np.ndarray:
        """bool (neurons,): no event in any sample."""
        return self.events == 0

    @property
    def saturated(self) -> np.ndarray:
        """bool (neurons,): an event in every step of every sample."""
        return (self.events == self.chances) & (self.chances > 0)

    @property
    def silent_share(self) -> float:
        """Share of the neurons that are silent; nan where there are no samples."""
        return float(self.silent.mean()) if self.chances else np.nan

    @property
    def saturated_share(self) -> float:
        """Share of the neurons that are saturated; nan where there are no samples."""
        return float(self.saturated.mean()) if self.chances else np.nan

    @property
    def sparsity(self) -> float:
        """Share of zeros among the levels: NeuroBench's activation sparsity, of this node alone
        (J. Yik et al., "The NeuroBench framework", Nature Communications 16, 2025)."""
        return 1.0 - self.rate

    @cached_property
    def fano(self) -> np.ndarray:
        """float64 (neurons,): variance over mean of the events of a sample, over the samples
        (U. Fano, Phys. Rev. 72, 1947; as elephant.statistics.fanofactor); nan where silent."""
        n = self.n_samples
        return _ratio(_spread(n, self.squares, self.events), n * self.events.astype(np.float64))

    # ---- levels

    @property
    def lowest_level(self) -> int:
        """0, or, where levels are signed, -(2^bits - 1)."""
        return -((1 << self.bits) - 1) if self.signed else 0

    @property
    def level_values(self) -> np.ndarray:
        """int64 (levels,): the level that each of `level_counts` is of."""
        return np.arange(self.level_counts.size, dtype=np.int64) + self.lowest_level

    @cached_property
    def level_shares(self) -> np.ndarray:
        """float64 (levels,): shares of all (neuron, step, sample)."""
        return _ratio(self.level_counts, self.level_counts.sum())

    @cached_property
    def plane_use(self) -> np.ndarray:
        """float64 (planes,): share of (neuron, step, sample) whose bit is set."""
        return _ratio(self.plane_events.sum(axis=1), self.chances * self.n_neurons)

    @property
    def mean_level(self) -> float:
        """Mean |level| of the events; 0 where there are none."""
        events = int(self.events.sum())
        return float(np.abs(self.level_values) @ self.level_counts / events) if events else 0.0

    @property
    def top_level_share(self) -> float:
        """Share of the events that carry the largest |level| there is; 0 where there are none."""
        top = np.abs(self.level_values) == (1 << self.bits) - 1
        events = int(self.events.sum())
        return float(self.level_counts[top].sum() / events) if events else 0.0

    @cached_property
    def entropy(self) -> float:
        """Bits per neuron and step: Shannon's entropy of `level_shares`, all neurons taken as one
        source without memory (an upper limit of what they say; C. E. Shannon, 1948)."""
        shares = self.level_shares[self.level_shares > 0]
        return float(-(shares * np.log2(shares)).sum()) + 0.0 if shares.size else np.nan

    @property
    def information_per_event(self) -> float:
        """Bits per event: entropy over rate; nan where there is no event."""
        return float(_ratio(self.entropy, self.rate))

    # ---- time

    @cached_property
    def mean_intervals(self) -> np.ndarray:
        """float64 (neurons,): mean steps between two events; nan where there are no two."""
        return _ratio(self.interval_sums, self.interval_counts)

    @cached_property
    def cv(self) -> np.ndarray:
        """float64 (neurons,): coefficient of variation, the intervals' standard deviation over their
        mean (as elephant.statistics.cv); nan without intervals."""
        spread = _spread(self.interval_counts, self.interval_squares, self.interval_sums)
        return _ratio(np.sqrt(spread), self.interval_sums)

    @cached_property
    def lv(self) -> np.ndarray:
        """float64 (neurons,): local variation, 3 times the mean of ((I1 - I2) / (I1 + I2))^2
        (S. Shinomoto et al., Neural Computation 15, 2003; as elephant.statistics.lv); nan below two
        intervals. Correct to 2^-32."""
        return _ratio(3 / VARIATION_UNIT * self.variation_sums, self.variation_counts)

    @cached_property
    def correlations(self) -> np.ndarray:
        """float64 (S, S): Pearson's correlation of "has an event in this step" of the `chosen`
        neurons, over steps and samples; nan where a neuron always or never has one."""
        n = self.n_detailed * self.n_steps - self.detailed_absent
        sums = np.diagonal(self.together)
        covariance = _spread(n, self.together, sums[:, None], sums[None, :])
        deviation = np.sqrt(np.diagonal(covariance))
        return _ratio(covariance, np.outer(deviation, deviation))

    def contradiction(self) -> str:
        """Return, in words, what no run can have counted; "" where there is nothing of that kind."""
        if (_spread(self.interval_counts, self.interval_squares, self.interval_sums) < 0).any():
            return "'interval_squares' are smaller than 'interval_sums' allow"
        most = self.n_detailed * self.n_steps - self.detailed_absent
        if (np.diagonal(self.together) > most).any():
            return f"'together' has more events of a neuron than the {most} steps that were seen"
        return ""


def _ratio(above, below):
    """Return above / below in float64; nan where `below` is 0."""
    above, below = np.asarray(above, np.float64), np.asarray(below, np.float64)
    return np.divide(above, below, out=np.full(np.broadcast_shapes(above.shape, below.shape), np.nan),
                     where=below != 0)


def _spread(n, products, sums, others=None):
    """Return n * products - sums * others (sums * sums without others), exact before it becomes float64."""
    others = sums if others is None else others
    most = max(int(np.max(n, initial=0)) * int(np.max(products, initial=0)),
               int(np.max(sums, initial=0)) * int(np.max(others, initial=0)))
    dtype = np.int64 if most < 1 << 62 else object  # Python's integers have no limit
    n, products, sums, others = (np.asarray(values).astype(dtype) for values in (n, products, sums, others))
    return np.asarray(n * products - sums * others).astype(np.float64)
