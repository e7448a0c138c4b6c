"""Parts of a data set: whether they belong together, and in which order they stand in it."""

from typing import List

import numpy as np

from eventsim.errors import RunError
from eventsim.runs.sums import RunSums
from eventsim.text import listed


def checked_parts(parts: List[RunSums]) -> List[RunSums]:
    """Return the parts in the order in which their samples stand in the data set, as far as that is known. Raises
    RunError where two differ in their network, its arithmetic, its classes or its steps of events, where only one
    has statistics, and where two have the same samples."""
    for number, part in enumerate(parts[1:], 1):
        difference = _difference(parts[0], part)
        if difference:
            raise RunError(f"parts[{number}] and parts[0] cannot be merged: {difference}")
    _check_taken(parts)
    names = {tuple(part.taken or ()) for part in parts}
    return sorted(parts, key=_first_sample) if len(names) == 1 and names != {()} else parts


def without_whole(taken):
    """Return `RunSums.taken` without the data sets that have no name and of which all samples are there: another
    one of that size may be more of the same data."""
    return {name: ranges for name, ranges in (taken or {}).items() if f"{_n_samples(ranges)} samples" != name}


def _n_samples(ranges):
    return int((ranges[:, 1] - ranges[:, 0]).sum())


def _difference(first, second):
    """Return why two parts do not belong together, or ""."""
    mine, other = first.context, second.context
    ran = [_arithmetic(context) for context in (mine, other)]
    if ran[0] != ran[1]:
        return f"they ran in {ran[1]} and {ran[0]}; run all parts alike"
    if "" not in (mine.fingerprint, other.fingerprint) and mine.fingerprint != other.fingerprint:
        return ("they are of two networks, whose weights, other constants or structure differ; merge parts of one "
                "model")
    bins = [context.model.nodes[context.model.input].events for context in (other, mine)]
    names = [] if None in bins else bins[0].different(bins[1])
    if names:
        descriptions = (", ".join(f"{name} {getattr(one, name)}" for name in names) for one in bins)
        return f"their models make steps of events by {' and by '.join(descriptions)}; merge parts of one model"
    classes = [context.model.class_names for context in (other, mine)]
    if all(classes) and classes[0] != classes[1]:
        return (f"their models name other classes, {listed(classes[0], 3)} and {listed(classes[1], 3)}; merge "
                "parts of one model")
    if (first.statistics is None) != (second.statistics is None):
        return "only one of them has statistics; give all parts statistics=True, or none"
    return ""


def _arithmetic(context):
    return context.precision if context.chip is None else f"{context.precision} of chip {context.chip.name!r}"


def _check_taken(parts):
    """Raise RunError where two parts have the same samples."""
    taken = [(name, start, stop, number) for number, part in enumerate(parts)
             for name, ranges in (part.taken or {}).items() for start, stop in ranges.tolist()]
    reached = {}  # data set -> one past its last sample so far, and the part that has that
    for name, start, stop, number in sorted(taken):
        before, other = reached.get(name, (0, 0))
        if start < before:
            raise RunError(f"parts[{number}] and parts[{other}] cannot be merged: both have samples {start} to "
                           f"{min(stop, before) - 1} of the data; give each part of it once")
        reached[name] = (stop, number)


def _first_sample(part):
    return min(int(np.min(ranges)) for ranges in part.taken.values())
