"""Facts: whether the summary in a run's file is what `eventsim run` writes, checked before it is used.

Such files are passed on; what is in one may be damaged, or made by somebody else.
"""

from eventsim.errors import DataError

NUMBER, TEXT, ANY = (int, float), (str,), (object,)
ENERGY = {"name": TEXT, "total": NUMBER, "ann_total": NUMBER, "rate": NUMBER, "crossing_rate": NUMBER}
SEEN = {"overflows": NUMBER, "bits": NUMBER, "bits_needed": NUMBER, "overflow": TEXT}

# A tuple: of these types, or null. {name: ...}: an object that has some of these members; {str: ...}:
# one of any names; [...]: a list.
SUMMARY = {
    "model": TEXT, "data": TEXT, "samples": NUMBER, "timesteps": NUMBER, "precision": TEXT, "profile": TEXT,
    "workers": NUMBER, "accuracy": NUMBER, "seconds": NUMBER, "samples_per_second": NUMBER,
    "totals": {str: NUMBER},
    "made": {str: TEXT},
    "class_names": [ANY],
    "nodes": [{"name": TEXT, "kind": TEXT, "shape": [NUMBER], "reads": [TEXT], "parameters": NUMBER,
               "settings": {str: ANY}}],
    "energy": {"table": TEXT, "baseline": TEXT, "total": ENERGY, "layers": [ENERGY]},
    "audit": {str: {"sum": SEEN, "current": SEEN, "membrane": SEEN, "weights": NUMBER, "clipped_weights": NUMBER,
                    "zeroed_weights": NUMBER}},
    "conventions": {str: ANY},
}
NEEDED = {"nodes": ("name", "kind"), "layers": ("name",)}  # members of each object in these lists


def check(run) -> None:
    """Raises DataError, naming the file and what is wrong, unless the summary of a `runs.Run` can be read."""
    _check(run.path, "summary", run.summary, SUMMARY, ())


def _check(path, place, found, expected, needed):
    if isinstance(expected, tuple):
        if found is None and place.split(".")[-1] not in needed or isinstance(found, expected):
            return
        raise _error(path, place, found, {TEXT: "text", NUMBER: "a number"}[expected])
    if isinstance(expected, list):
        if found is None:
            return
        if not isinstance(found, list):
            raise _error(path, place, found, "a list")
        for i, one in enumerate(found):
            _check(path, f"{place}[{i}]", one, expected[0], NEEDED.get(place.split(".")[-1], ()))
        return
    if found is None and not place.endswith("]"):
        return
    if not isinstance(found, dict):
        raise _error(path, place, found, "an object")
    for name in needed:
        if name not in found:
            raise DataError(f"{path}: damaged: {place} has no {name!r}")
    for name, inner in expected.items():
        if name is str:
            for key, value in found.items():
                _check(path, f"{place}.{key}", value, inner, ())
        elif name in found:
            _check(path, f"{place}.{name}", found[name], inner, needed)


def _error(path, place, found, expected):
    return DataError(f"{path}: damaged: {place[:80]} is {type(found).__name__}, expected {expected}")
