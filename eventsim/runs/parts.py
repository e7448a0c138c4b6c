"""Parts of a data set: whether they belong together, and in which order they stand in it."""

from dataclasses import replace
from os.path import isabs
from typing import List

import numpy as np

from eventsim.arguments import shown
from eventsim.errors import RunError
from eventsim.runs.sums import RunSums
from eventsim.text import all_digits, listed, many, up_to_steps

MOST_GAPS = 5  # that a warning names


def checked_parts(parts: List[RunSums]) -> List[RunSums]:
    """Return the parts in the order in which their samples stand in the data set, as far as that is known, with
    the names of model and data that the first of them has: the same network may have run by several, the same
    file by several paths. Raises RunError where two differ in their network, its arithmetic, its classes, its
    steps, its data or in what was asked of them, and where two have the same samples."""
    for number, part in enumerate(parts[1:], 1):
        difference = _difference(parts[0], part)
        if difference:
            raise RunError(f"parts[{number}] and parts[0] cannot be merged: {difference}")
    _check_taken(parts)
    names = {tuple(part.taken or ()) for part in parts}
    ordered = sorted(parts, key=_first_sample) if len(names) == 1 and names != {()} else parts
    model, data = (next((getattr(part, name) for part in ordered if getattr(part, name) is not None), None)
                   for name in ("model", "data"))
    return [replace(part, model=model, data=data) for part in ordered]


def gaps_text(sums: RunSums) -> str:
    """Return which samples, between those that are there or before them, are in no part; "" where none is known to
    be missing."""
    gaps = []
    for ranges in (sums.taken or {}).values():
        reached = 0
        for start, stop in sorted(ranges.tolist()):
            if start > reached:
                gaps.append(f"sample {reached} is" if start - reached == 1 else
                            f"samples {reached} to {start - 1} are")
            reached = stop
    if not gaps:
        return ""
    data = f"{sums.data}: " if sums.data else ""
    more = f" and {many(len(gaps) - MOST_GAPS, 'more gap')}" if len(gaps) > MOST_GAPS else ""
    return (f"{data}{', '.join(gaps[:MOST_GAPS])}{more} in no part: the summary is of the other "
            f"{all_digits(sums.counts.n_samples)}; merge all parts of the data")


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
    steps = [part.counts.steps for part in (second, first)]
    if steps[0] != steps[1]:
        return (f"their samples have {' and '.join(_steps(part) for part in (second, first))}; run all parts with "
                "the same timesteps, and those of lengths of their own with the same limit")
    return _other_names(first, second) or _asked_otherwise(first, second)


def _steps(part):
    return up_to_steps(part.counts.steps, part.counts.absent)


def _other_names(first, second):
    """Return in which name two parts differ, unless it is known that both mean the same network, or data."""
    known = [part.context.fingerprint for part in (first, second)]
    if first.model != second.model and "" in known:
        return f"they are of the models {_named(second.model)} and {_named(first.model)}; merge parts of one model"
    taken = [set(part.taken or ()) for part in (first, second)]
    if first.data != second.data and not (taken[0] == taken[1] != set() and all(map(isabs, taken[0]))):
        return (f"they are of the data {_named(second.data)} and {_named(first.data)}; merge parts of one data "
                "set, or give all of them the same name (data=)")
    return ""


def _named(name):
    return "without a name" if name is None else shown(name)


def _asked_otherwise(first, second):
    """Return what was asked of only one of two parts, or of both in other ways."""
    for name, remedy in (("statistics", "statistics=True"), ("audit", "audit=True"),
                         ("conventions", "conventions=True")):
        if (getattr(first, name) is None) != (getattr(second, name) is None):
            what = {"audit": "an audit", "conventions": "counts as other tools do"}.get(name, name)
            return f"only one of them has {what}; give all parts {remedy}, or none"
    if (first.n_right is None) != (second.n_right is None):
        return "only one of them has labels; give labels with all parts, or with none"
    if first.energy_table != second.energy_table:
        tables = [part.energy_table.name for part in (second, first)]
        which = f"two energy tables of the name {shown(tables[0])}" if tables[0] == tables[1] else \
            f"the energy tables {shown(tables[0])} and {shown(tables[1])}"
        return f"they were assessed by {which}; give all parts the same one (energy=)"
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
