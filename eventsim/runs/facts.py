"""Facts: whether the summary in a run's file is what `eventsim run` writes, checked before it is used.

Such files are passed on; what is in one may be damaged, or made by somebody else.
"""

from typing import Dict, NamedTuple, Tuple

from eventsim.errors import DataError


class Members(NamedTuple):
    """A JSON object. known: name -> what the member is, if it is there; others may be anything. needed:
    names of those that have to be there, and not null."""

    known: Dict[str, object]
    needed: Tuple[str, ...] = ()


class Each(NamedTuple):
    """A JSON object or list of members that are all the same. of: what they are. kind: dict or list."""

    of: object
    kind: type = dict


NUMBER, TEXT, ANYTHING = (int, float), (str,), (object,)
COST = {"total": NUMBER, "ann_total": NUMBER, "rate": NUMBER, "crossing_rate": NUMBER}
RANGE = Members({"overflows": NUMBER, "bits": NUMBER, "bits_needed": NUMBER, "overflow": TEXT})
NODE = Members({
    "name": TEXT, "kind": TEXT, "shape": Each(NUMBER, list), "reads": Each(TEXT, list), "parameters": NUMBER,
    "settings": Each(ANYTHING),
}, ("name", "kind"))
SUMMARY = Members({
    "model": TEXT, "data": TEXT, "samples": NUMBER, "timesteps": NUMBER, "dropped_events": NUMBER,
    "precision": TEXT, "chip": TEXT, "workers": NUMBER, "accuracy": NUMBER, "seconds": NUMBER,
    "samples_per_second": NUMBER,
    "totals": Each(NUMBER),
    "made": Each(TEXT),
    "class_names": Each(ANYTHING, list),
    "nodes": Each(NODE, list),
    "energy": Members({
        "table": TEXT, "baseline": TEXT, "total": Members(COST),
        "layers": Each(Members({"name": TEXT, **COST}, ("name",)), list),
    }),
    "audit": Each(Members({
        "sum": RANGE, "current": RANGE, "membrane": RANGE, "weights": NUMBER, "clipped_weights": NUMBER,
        "zeroed_weights": NUMBER,
    })),
    "conventions": Members({
        "tools": Each(Each(Members({"unit": TEXT, "differs": TEXT, "total": NUMBER}))),
    }),
})


def check(run) -> None:
    """Raises DataError, naming the file and what is wrong, unless the summary of a `runs.Run` can be read.
    What it does not have, or is null, is no error."""
    _check(run.path, "summary", run.summary, SUMMARY)


def _check(path, place, found, expected):
    if found is None:
        return
    if isinstance(expected, Members):
        _require(path, place, found, dict, "an object")
        for name in expected.needed:
            if found.get(name) is None:
                raise DataError(f"{path}: damaged: {place[:80]!r} has no {name!r}")
        for name in expected.known.keys() & found.keys():
            _check(path, f"{place}.{name}", found[name], expected.known[name])
    elif isinstance(expected, Each):
        _require(path, place, found, expected.kind, "an object" if expected.kind is dict else "a list")
        for key, one in found.items() if expected.kind is dict else enumerate(found):
            if one is None and isinstance(expected.of, (Members, Each)):
                _require(path, f"{place}.{key}", one, dict, "an object")
            _check(path, f"{place}.{key}", one, expected.of)
    else:
        _require(path, place, found, expected, "text" if expected is TEXT else "a number")


def _require(path, place, found, types, expected):
    if not isinstance(found, types):
        # repr: a name out of a file stays in one line
        raise DataError(f"{path}: damaged: {place[:80]!r} is {type(found).__name__}, expected {expected}")
