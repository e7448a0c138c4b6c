"""Watching: runs two sides step by step and notes for every sample where they first differ."""

from dataclasses import dataclass
from typing import Dict, List, Set

import numpy as np

from eventsim.comparison.pairing import Pair

NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True)
class ComparisonRule:
    """How one variable of one pair of layers is compared.

    decides: whether a difference is a divergence; otherwise it is noted as drift. Values a and b
    differ where abs(a - b) > absolute + relative * abs(b), in units of the membrane. Where b is NaN
    it was not recorded, and nothing is compared.
    """

    pair: Pair
    variable: str
    decides: bool
    absolute: float = 0.0
    relative: float = 0.0

    @property
    def exact(self):
        """Whether any difference counts."""
        return not (self.absolute or self.relative)


class Watch:
    """What is known of n samples of one batch, of so many steps, after those run so far.

    rules: in causal order; the index of a rule is its rank. spread: whether that is wanted.

    step, rank, neuron: int64 (n,), of each sample's first divergence; step NEVER where there is none.
    drift: float64 (n, rules), largest abs(a - b) before it. spread, spikes: per layer of A, int64
    (n, steps): neurons that differ in what decides, and in their spikes; 0 where it is not wanted.
    differing: the variables that decide and differ in any sample, at any step.
    """

    def __init__(self, rules: List[ComparisonRule], n: int, steps: int, spread: bool = True):
        self.rules, self.steps, self._spreads = rules, steps, spread
        self.step, self.rank = np.full(n, NEVER), np.full(n, -1)
        self.neuron = np.zeros(n, np.int64)
        self.drift = np.zeros((n, len(rules)))
        names = {rule.pair.a.name for rule in rules}
        self.spread: Dict[str, np.ndarray] = {name: np.zeros((n, steps), np.int64) for name in names}
        self.spikes = {name: np.zeros((n, steps), np.int64) for name in names}
        self.differing: Set[str] = set()

    @property
    def diverged(self) -> np.ndarray:
        """bool (n,), the samples that have diverged."""
        return self.step != NEVER

    def see(self, a, b, first, n_steps):
        """The next `n_steps` steps, from absolute step `first` on, as pieces of both sides."""
        during = slice(first, first + n_steps)
        given, united = [ComparedValues(rule, a, b) for rule in self.rules], {}
        for rank, rule in enumerate(self.rules):
            if rule.decides or rule.variable == "spikes" and self._spreads:
                self._see_difference(rank, rule, given[rank].different(), during, united)
        for name, mask in united.items():
            self.spread[name][:, during] = mask.sum(axis=2)
        for rank, values in enumerate(given):
            if not values.is_exact:
                self._see_drift(rank, first, n_steps, values)

    def _see_difference(self, rank, rule, mask, during, united):
        """mask: bool (n, t, neurons), or None."""
        if mask is None:
            return
        name = rule.pair.a.name
        if rule.decides:
            self.differing.add(rule.variable)
            self._note(rank, during.start, mask)
            if self._spreads:
                united[name] = united[name] | mask if name in united else mask
        if rule.variable == "spikes" and self._spreads:
            self.spikes[name][:, during] = mask.sum(axis=2)

    def _note(self, rank, first, mask):
        """Keep the earliest step, and in it the lowest rank and neuron."""
        at = mask.any(axis=2)
        step = first + at.argmax(axis=1)
        for i in np.flatnonzero(at.any(axis=1) & (step < self.step)):
            self.step[i], self.rank[i] = step[i], rank
            self.neuron[i] = mask[i, step[i] - first].argmax()

    def _see_drift(self, rank, first, n_steps, values):
        """Keep the largest distance before each sample's divergence: most diverge early, and the rest of their
        steps is not looked at."""
        step, ends = first + np.arange(n_steps), self.step[:, None]
        counts = (step < ends) | ((step == ends) & (rank < self.rank)[:, None])
        samples, steps = counts.any(axis=1), int(counts.sum(axis=1).max())
        if not steps:
            return
        samples = slice(None) if samples.all() else samples  # no copy
        distance = np.where(counts[samples, :steps], values.distance(samples, steps), 0)
        self.drift[samples, rank] = np.maximum(self.drift[samples, rank], distance.max(axis=1))


class ComparedValues:
    """What two pieces have of the variable of a rule.

    is_exact: whether values are compared as they are and any difference is a divergence: there is no drift.
    """

    def __init__(self, rule: ComparisonRule, a, b):
        self._rule, self._a, self._b, self.is_exact = rule, a, b, True
        if rule.variable == "spikes":
            return
        pair, variable = rule.pair, rule.variable
        self._one, self._other = a.values(pair.a.name, variable), b.values(pair.b.name, variable)
        if b.lacks_values:
            b.note_values(pair.b.name, variable, self._other)
        self._units = [piece.steps_per_unit(layer.name, variable) for piece, layer in ((a, pair.a), (b, pair.b))]
        alike = self._one.dtype == self._other.dtype and _equal(*self._units)
        self.is_exact = alike and rule.exact and rule.decides

    def different(self):
        """bool (n, t, neurons), or None where nothing is."""
        if self._rule.variable == "spikes":
            return _different_spikes(self._rule.pair, self._a, self._b)
        if self.is_exact:
            mask = self._one != self._other
            if self._one.dtype.kind == "f" and mask.any():
                mask &= ~_nothing_to_compare(self._one, self._other, self._b)
        else:
            mask = self._inexactly_different()
        return mask if mask.any() else None

    def _inexactly_different(self):
        one, other = self._in_units(slice(None), None)
        mask = (one != other) & ~_nothing_to_compare(one, other, self._b)
        if self._rule.exact:
            return mask
        with np.errstate(invalid="ignore", over="ignore"):  # infinities, and what becomes one
            allowed = np.where(np.isfinite(other), self._rule.absolute + self._rule.relative * np.abs(other), 0)
            return mask & ~(np.abs(one - other) <= allowed)

    def distance(self, samples, steps) -> np.ndarray:
        """float64 (n, t): the largest of any neuron, in some samples and their first steps."""
        one, other = self._in_units(samples, steps)
        with np.errstate(invalid="ignore", over="ignore"):
            distance = np.abs(np.subtract(one, other, out=one), out=one)
        largest = distance.max(axis=2)
        if not np.isnan(largest).any():
            return largest
        one, other = self._in_units(samples, steps)
        mask = (one != other) & ~_nothing_to_compare(one, other, self._b)
        return np.where(np.isnan(distance), np.where(mask, np.inf, 0), distance).max(axis=2)

    def _in_units(self, samples, steps):
        """Those of A and of B, new arrays float64 (n, t, neurons), in units of the membrane."""
        return [in_units(values[samples, :steps], unit)
                for values, unit in zip((self._one, self._other), self._units)]


def _nothing_to_compare(one, other, b):
    """Where values are not compared: what a trace b has not recorded, and what is NaN in both."""
    missing = np.isnan(other)
    return missing if b.lacks_values else missing & np.isnan(one)


def _different_spikes(pair, a, b):
    planes = [piece.planes(layer.name) if hasattr(piece, "planes") else None
              for piece, layer in ((a, pair.a), (b, pair.b))]
    if all(planes) and planes[0].bits == planes[1].bits and planes[0].shape == planes[1].shape:
        if np.array_equal(planes[0].planes, planes[1].planes):
            return None
    one, other = a.values(pair.a.name, "spikes"), b.values(pair.b.name, "spikes")
    if b.lacks_values:
        b.note_values(pair.b.name, "spikes", other)
    mask = one != other
    if other.dtype.kind == "f":
        mask &= ~np.isnan(other)
    return mask if mask.any() else None


def _equal(a, b):
    if a is None or b is None:
        return a is b
    return a.shape == b.shape and bool((a == b).all())


def in_units(values, steps_per_unit):
    """(n, t, neurons) in units of the membrane, float64; steps_per_unit: (C,), or None."""
    if steps_per_unit is None:
        with np.errstate(invalid="ignore"):  # signalling NaN
            return values.astype(np.float64)
    return values / np.repeat(steps_per_unit, values.shape[2] // len(steps_per_unit))
