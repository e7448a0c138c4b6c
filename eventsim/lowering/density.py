"""Density: how many of its bits a unit sends on the check samples; it decides between kernels of integers."""

from typing import Dict, Optional

import numpy as np

from eventsim.lowering.units import Unit
from eventsim.model.check import Check

MOST_LEVELS = 1 << 20  # of an input that are looked at, but a sample at least


def note_densities(units: Dict[str, Unit], check: Optional[Check]) -> None:
    """Set the density of units: of the input; of layers, whose levels were counted; of what moves their spikes;
    and, estimated, of maxima. units: name -> Unit, each behind those that it reads."""
    if check is None:
        return
    for unit in units.values():
        if unit.kind == "input" and not unit.real:
            counts = np.bincount(_levels_of(check.x, unit.max_level))
            unit.density = _of_levels(unit, np.arange(len(counts)), counts)
        elif unit.name in check.level_counts:
            counts = check.level_counts[unit.name].sum(axis=(0, 1))
            unit.density = _of_levels(unit, np.arange(len(counts)) - unit.max_level * unit.signed, counts)
        elif unit.kind in ("max", "concat", "delay", "flatten"):
            unit.density = _of_trains(unit, units)


def _levels_of(x, largest):
    """Return the sizes of the levels of some of the samples, spread over all; a file may hold any number."""
    n_samples = max(MOST_LEVELS // x[0].size, 1)
    some = x[:: -(-len(x) // n_samples)]
    return np.abs(some.astype(np.int64).clip(-largest, largest)).ravel()


def _of_levels(unit, levels, counts):
    """Return the share of set bits, of neurons that sent these levels so often each."""
    set_bits = sum((np.abs(levels) >> bit & 1) for bit in range(unit.n_bits)) @ counts
    n_bits = counts.sum() * unit.n_bits * (1 + unit.signed)
    return float(set_bits / n_bits) if n_bits else None


def _of_trains(unit, units):
    """Return the density of what is made of other units' spikes, each weighed by its channels."""
    sources = [units[train.unit] for train in unit.trains]
    if any(source.density is None for source in sources):
        return None
    channels = sum(source.shape[0] for source in sources)
    density = sum(source.density * source.shape[0] for source in sources) / channels
    if unit.kind != "max":
        return density
    (height, width), *_ = unit.window
    independent = 1 - (1 - density) ** (height * width)
    return (density + independent) / 2  # neighbours fire together, but not always
