"""Watching: runs two sides step by step and notes for every sample where they first differ."""

from dataclasses import dataclass
from typing import Dict, List

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
    """What is known of the samples of one batch after the steps run so far.

    rules: in causal order; the index of a rule is its rank. thorough: whether drift and spread are
    wanted, or only where samples diverge.

    step, rank, neuron: int64 (n,), of each sample's first divergence; step NEVER where there is none.
    drift: float64 (n, rules), largest abs(a - b) before it. spread, spikes: per layer of A, int64
    (n, steps): neurons that differ in what decides, and in their spikes.
    """

    def __init__(self, rules: List[ComparisonRule], n: int, steps: int, thorough: bool = True):
        self.rules, self.thorough = rules, thorough
        self.step, self.rank = np.full(n, NEVER), np.full(n, -1)
        self.neuron = np.zeros(n, np.int64)
        self.drift = np.zeros((n, len(rules)))
        names = {rule.pair.a.name for rule in rules}
        self.spread: Dict[str, np.ndarray] = {name: np.zeros((n, steps), np.int64) for name in names}
        self.spikes = {name: np.zeros((n, steps), np.int64) for name in names}

    def see(self, a, b, first, n_steps):
        """The next `n_steps` steps, from absolute step `first` on, as pieces of both sides."""
        during = slice(first, first + n_steps)
        distances, united = {}, {}
        for rank, rule in enumerate(self.rules):
            if not (rule.decides or self.thorough):
                continue
            mask, distances[rank] = _compared(rule, a, b, self.thorough)
            if mask is None:
                continue
            name = rule.pair.a.name
            if rule.decides:
                self._note(rank, first, mask)
                if self.thorough:
                    united[name] = united[name] | mask if name in united else mask
            if rule.variable == "spikes":
                self.spikes[name][:, during] = mask.sum(axis=2)
        for name, mask in united.items():
            self.spread[name][:, during] = mask.sum(axis=2)
        for rank, distance in distances.items():
            if distance is not None:
                self._note_drift(rank, first, distance)

    def _note(self, rank, first, mask):
        """Keep the earliest step, and in it the lowest rank and neuron."""
        at = mask.any(axis=2)
        step = first + at.argmax(axis=1)
        for i in np.flatnonzero(at.any(axis=1) & (step < self.step)):
            self.step[i], self.rank[i] = step[i], rank
            self.neuron[i] = mask[i, step[i] - first].argmax()

    def _note_drift(self, rank, first, distance):
        """distance: (n, t); only what is before a sample's divergence counts."""
        step = first + np.arange(distance.shape[1])
        ends = self.step[:, None]
        before = (step < ends) | ((step == ends) & (rank < self.rank)[:, None])
        largest = np.where(before, distance, 0).max(axis=1)
        self.drift[:, rank] = np.maximum(self.drift[:, rank], largest)


def _compared(rule, a, b, measure):
    """(bool (n, t, neurons) where values differ, or None; largest distance (n, t), or None)."""
    pair, variable = rule.pair, rule.variable
    if variable == "spikes":
        return _different_spikes(pair, a, b), None
    one, other = a.values(pair.a.name, variable), b.values(pair.b.name, variable)
    unit_a, unit_b = (piece.steps_per_unit(layer.name, variable) for piece, layer in ((a, pair.a), (b, pair.b)))
    alike = one.dtype == other.dtype and _equal(unit_a, unit_b)
    if alike and rule.exact and (rule.decides or not measure):
        mask = one != other
        if one.dtype.kind == "f" and mask.any():
            mask &= ~_nothing_to_compare(one, other, b)
        return (mask if mask.any() else None), None
    one, other = in_units(one, unit_a), in_units(other, unit_b)
    mask = (one != other) & ~_nothing_to_compare(one, other, b)
    with np.errstate(invalid="ignore", over="ignore"):  # infinities, and what becomes one
        distance = np.abs(one - other)
        allowed = np.where(np.isfinite(other), rule.absolute + rule.relative * np.abs(other), 0)
    drift = None
    if measure:
        drift = np.where(np.isnan(distance), np.where(mask, np.inf, 0), distance).max(axis=2)
    if not rule.exact:
        mask &= ~(distance <= allowed)
    return (mask if mask.any() else None), drift


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
