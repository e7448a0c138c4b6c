"""Merging: how partial results become one.

The fields of a dataclass say how they merge, and one function merges them all:

    @dataclass(frozen=True)
    class Reached:
        node: str = merged("same")
        n_samples: int = merged(samples="sum", steps="same")
        highest: float = merged("max")
        by_step: np.ndarray = merged("concatenate")                # (samples, steps)
        right: Optional[np.ndarray] = merged(samples="sum", steps="concatenate", lacking="none")

    total = merge(parts)                    # of different samples, in their order
    total = merge(chunks, along="steps")    # of the same samples, one stretch of steps after another
    so_far = merge((so_far, batch))         # so_far may be None: None is what adds nothing

`merged(how)` holds for both; `samples=` or `steps=` for one of them, and a type merges along those only
that all its fields name. How:

    sum, min, max     of numbers; `sum` also of arrays, which must have one shape
    concatenate       arrays, along axis 0 (samples) or axis 1 (steps)
    same              all parts must agree, or RunError is raised
    last              the last part's
    merge             by the rules of the values, which are dataclasses of this kind

A field may be a dict, of dicts too: its values merge by name, or all together where its type has `merge_all`.
Where a value is None in some parts, or a name stands in some dicts only, `lacking` decides: "refuse" (RunError;
the default), "other" (it is taken from the parts that have it) or "none" (the result is None; of values, not of
names). Of all parts None is None always. A class may say in `ALIKE` what its parts have to share; errors quote it.

The law: merging is associative; merging one part gives that part; and where no field says
`concatenate` or `last`, the order of the parts does not matter.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from functools import lru_cache, reduce
from operator import add
from typing import Optional

import numpy as np

from eventsim.errors import RunError

AXES = {"samples": 0, "steps": 1}
HOW = ("sum", "min", "max", "concatenate", "same", "last", "merge")
LACKING = ("refuse", "other", "none")


@dataclass(frozen=True)
class MergeRule:
    """How one field merges. samples, steps: one of `HOW`, or None: not along these. lacking: of `LACKING`."""

    samples: Optional[str]
    steps: Optional[str]
    lacking: str = "refuse"


def merged(how=None, *, samples=None, steps=None, lacking="refuse", **options):
    """A field of a dataclass with its rule (see the module). options: of `dataclasses.field`."""
    rule = MergeRule(samples or how, steps or how, lacking)
    if {rule.samples, rule.steps} - {None, *HOW} or lacking not in LACKING:
        raise ValueError(f"{rule} is no rule: a field merges by {', '.join(HOW)}; lacking {', '.join(LACKING)}")
    return field(metadata={"merge": rule}, **options)


def merge(parts, along="samples"):
    """Return what several parts are together: dataclasses of one type whose fields are `merged`, or dicts of such.

    parts: in order; None adds nothing. along: "samples", or "steps" of the same samples. Returns None
    of nothing, and the one part there is as it is. Raises RunError where parts do not belong together.
    """
    parts = [part for part in parts if part is not None]
    if len(parts) < 2:
        return parts[0] if parts else None
    return _value(parts, "merge", "refuse", along, ())


@lru_cache(maxsize=None)
def rules(kind):
    """Return {field: MergeRule} of a type that merges. Raises TypeError for any other."""
    by_field = {each.name: each.metadata.get("merge") for each in fields(kind)} if is_dataclass(kind) else {}
    if not by_field or None in by_field.values():
        silent = [name for name, rule in by_field.items() if rule is None] or ["nothing"]
        raise TypeError(f"{kind.__name__} cannot be merged: {', '.join(silent)} in it says how")
    return by_field


def rearranged(merged_parts, order):
    """Return merged parts with their samples in another order: sample i is what sample order[i] was. Sums, and
    what is of all samples, stay."""
    if merged_parts is None:
        return None
    if isinstance(merged_parts, Mapping):
        return {name: rearranged(value, order) for name, value in merged_parts.items()}
    values = {}
    for name, rule in rules(type(merged_parts)).items():
        value = getattr(merged_parts, name)
        if value is not None and rule.samples == "concatenate":
            value = _each(value, lambda array: array[order])
        elif rule.samples == "merge":
            value = rearranged(value, order)
        values[name] = value
    return type(merged_parts)(**values)


def _each(value, change):
    if isinstance(value, Mapping):
        return {name: _each(inner, change) for name, inner in value.items()}
    return change(value)


def _dataclasses(parts, along, place):
    kind = type(parts[0])
    for part in parts:
        if type(part) is not kind:
            raise _refusal(place, parts[0], part)
    values = {}
    for name, rule in rules(kind).items():
        how = getattr(rule, along)
        if how is None:
            raise RunError(f"{kind.__name__} of different {along} cannot be merged, as its {name} cannot")
        values[name] = _value([getattr(part, name) for part in parts], how, rule.lacking, along,
                              (*place, kind, name))
    return kind(**values)


def _value(values, how, lacking, along, place):
    if how == "same":
        return _same(values, place)
    if any(value is None for value in values):
        values = _present(values, lacking, place)
        if len(values) < 2:
            return values[0] if values else None
    first = values[0]
    if how == "last":
        return values[-1]
    if isinstance(first, Mapping):
        together = _at_once(values, how)
        return _by_name(values, how, lacking, along, place) if together is None else together
    if how == "merge":
        return _dataclasses(values, along, place)
    if how == "concatenate":
        return np.concatenate(values, axis=AXES[along])
    if how == "sum":
        return _sum(values, place)
    return min(values) if how == "min" else max(values)


def _present(values, lacking, place):
    present = [value for value in values if value is not None]
    if lacking == "none":
        return []
    if present and lacking == "refuse":
        raise _refusal(place, None, present[0])
    return present


def _at_once(values, how):
    """Return the values merged by a type of mappings that merges all names together, or None for other types."""
    kind = type(values[0])
    if not hasattr(kind, "merge_all") or any(type(value) is not kind for value in values):
        return None
    return kind.merge_all(values, how)


def _by_name(dicts, how, lacking, along, place):
    names = dicts[0].keys()
    if any(each.keys() != names for each in dicts):
        if lacking != "other":
            raise _refusal(place, *_two_different([list(each) for each in dicts]))
        names = dict.fromkeys(name for each in dicts for name in each)
    by_name = {}
    for name in names:
        values = [each[name] for each in dicts if name in each]
        by_name[name] = values[0] if len(values) == 1 else _value(values, how, lacking, along, (*place, name))
    return by_name


def _sum(values, place):
    first = values[0]
    if isinstance(first, np.ndarray):
        for value in values:
            if value.shape != first.shape:
                raise _refusal(place, f"of shape {first.shape}", f"of shape {value.shape}", shown=str)
    return reduce(add, values)


def _same(values, place):
    first = values[0]
    for value in values:
        if not _equal(first, value):
            raise _refusal(place, first, value)
    return first


def _equal(first, second):
    if first is second:
        return True
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        return first.keys() == second.keys() and all(_equal(first[name], second[name]) for name in first)
    if isinstance(first, np.ndarray) or isinstance(second, np.ndarray):
        return np.array_equal(first, second)
    return bool(first == second or first != first and second != second)  # or both not a number


def _two_different(values):
    return values[0], next(value for value in values if value != values[0])


def _refusal(place, first, second, shown=None):
    """Return a RunError. place: the types, fields and names in dicts that lead to the two values."""
    path = ".".join(getattr(each, "__name__", None) or str(each) for each in place) or "parts"
    kind = next((each for each in reversed(place) if isinstance(each, type)), None)
    first, second = map(shown or _shown, (first, second))
    different = f"{first} and {second}" if first != second else f"two that differ, {first},"
    return RunError(f"{path}: {different} cannot be merged; "
                    f"merge parts of {getattr(kind, 'ALIKE', 'the same model, run alike')}")


def _shown(value):
    if isinstance(value, np.ndarray):
        return f"array of shape {value.shape}"
    if is_dataclass(value):
        return type(value).__name__
    text = " ".join(repr(value).split())  # of one line
    return text if len(text) <= 60 else text[:57] + "..."
