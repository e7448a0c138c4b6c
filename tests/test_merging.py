"""Merging: one law over every type whose fields say how they merge, and parts of a run against the whole."""

import importlib
import itertools
import re
import typing
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass, make_dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import chain

import eventsim
from eventsim.costs.other_tools import conventions
from eventsim.engine.simulator import Simulator
from eventsim.errors import RunError
from eventsim.merging import merge, merged, rules
from eventsim.model.input import Input
from eventsim.model.neurons import Neuron, Readout
from eventsim.model.synapses import Dense
from eventsim.statistics.decisions import Decisions

PACKAGE = Path(eventsim.__file__).parent
ALONG = ("samples", "steps")
NAMES = ("a", "b", "c")


def _mergeable():
    """Every dataclass of eventsim with a field that says how it merges."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.name != "merging.py" and re.search(r"= merged\(", path.read_text()):
            name = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
            for kind in vars(importlib.import_module(name)).values():
                if is_dataclass(kind) and isinstance(kind, type) and kind.__module__ == name \
                        and any("merge" in each.metadata for each in fields(kind)):
                    found[kind.__name__] = kind
    return found


TYPES = _mergeable()


def merges(kind, along):
    """Whether a type merges along these at all."""
    return all(getattr(rule, along) for rule in rules(kind).values())


CASES = [(kind, along) for kind in TYPES.values() for along in ALONG if merges(kind, along)]


# ---------------------------------------------------------------- parts of any type, by its rules


def parts_of(kind, along, n, rng):
    """n parts of a type that belong together, of whatever its fields may hold."""
    hints = typing.get_type_hints(kind)
    columns = {name: values_of(hints[name], getattr(rule, along), rule.lacking, along, n, rng)
               for name, rule in rules(kind).items()}
    return [kind(**{name: column[i] for name, column in columns.items()}) for i in range(n)]


def values_of(hint, how, lacking, along, n, rng):
    """n values of a field."""
    if how == "same":
        return values_of(hint, "last", "refuse", along, 1, rng) * n
    inner = [each for each in typing.get_args(hint) if each is not type(None)]
    if typing.get_origin(hint) is typing.Union:
        values = values_of(inner[0], how, lacking, along, n, rng)
        return absent(values, lacking, rng)
    if typing.get_origin(hint) in (dict, Mapping):
        names = [name for name in NAMES if rng.random() < 0.7]
        columns = {name: values_of(inner[1], how, "refuse", along, n, rng) for name in names}
        dicts = [{name: column[i] for name, column in columns.items()} for i in range(n)]
        keep = 0.6 if lacking == "other" else 1
        return [{name: value for name, value in each.items() if rng.random() < keep} for each in dicts]
    if is_dataclass(hint):
        if hint not in TYPES.values():  # a field that is the same or the last one
            return [None] * n
        return parts_of(hint, along, n, rng) if merges(hint, along) else [None] * n
    return [plain(hint, how, along, rng) for _ in range(n)]


def absent(values, lacking, rng):
    """Some of the values, or all of them, None, as a field that may lack them has them."""
    if lacking == "refuse":
        return values if rng.random() < 0.7 else [None] * len(values)
    return [value if rng.random() < 0.7 else None for value in values]


def plain(hint, how, along, rng):
    """A number, text, tuple or array; whole numbers, so that sums are exact."""
    if hint is np.ndarray:
        shape = [2, 3]
        if how == "concatenate":
            shape[ALONG.index(along)] = rng.integers(1, 4)
        return rng.integers(-9, 9, shape)
    if hint in (int, float, bool):
        return hint(rng.integers(0, 9))
    if hint is str:
        return str(rng.choice(NAMES))
    assert typing.get_origin(hint) is tuple, f"say here how to draw a {hint}"
    return tuple(map(str, rng.integers(1, 9, 3)))


def assert_equal(found, expected, place=""):
    """The same types, values and names; nan equals nan. Spent seconds are nobody's business."""
    if isinstance(expected, Mapping):  # whatever makes its values
        assert isinstance(found, Mapping), place
    else:
        assert type(found) is type(expected), place
    if is_dataclass(expected):
        for each in fields(expected):
            if each.name not in ("seconds", "timing"):
                assert_equal(getattr(found, each.name), getattr(expected, each.name), f"{place}.{each.name}")
    elif isinstance(expected, Mapping):
        assert found.keys() == expected.keys(), place
        for name, value in expected.items():
            assert_equal(found[name], value, f"{place}.{name}")
    elif isinstance(expected, np.ndarray):
        np.testing.assert_array_equal(found, expected, place)
        assert found.dtype == expected.dtype, place
    else:
        assert found == expected, place


# ---------------------------------------------------------------- the law


def in_any_order(kind, along):
    """Whether no field of a type, or of a type in it, depends on the order of the parts."""
    if {"concatenate", "last"} & {getattr(rule, along) for rule in rules(kind).values()}:
        return False
    inside = set()
    waiting = list(typing.get_type_hints(kind).values())
    while waiting:
        hint = waiting.pop()
        waiting += typing.get_args(hint)
        inside |= {hint} & set(TYPES.values())
    return all(in_any_order(each, along) for each in inside - {kind})


@pytest.mark.parametrize("kind, along", CASES, ids=lambda value: getattr(value, "__name__", value))
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_the_law(kind, along, seed):
    """Merging is associative, one part is itself, None adds nothing; where it may, order shows nowhere."""
    first, second, third = parts = parts_of(kind, along, 3, np.random.default_rng(seed))
    whole = merge(parts, along)
    assert type(whole) is kind
    assert merge([first], along) is first and merge([None, first, None], along) is first
    assert merge([], along) is None
    assert_equal(merge([None, *parts], along), whole)
    assert_equal(merge((merge((first, second), along), third), along), whole)
    assert_equal(merge((first, merge((second, third), along)), along), whole)
    if in_any_order(kind, along):
        for order in itertools.permutations(parts):
            assert_equal(merge(order, along), whole)


def test_what_merges_and_what_is_free_of_order():
    assert {"Counts", "SummedCounts", "Range", "LayerAudit", "Decisions", "TrainStatistics", "MembraneStatistics",
            "Statistics", "TrainTotals", "Conventions", "Spikes", "State", "Recording"} <= set(TYPES)
    free = {kind.__name__ for kind, along in CASES if along == "samples" and in_any_order(kind, along)}
    assert {"SummedCounts", "Range", "LayerAudit", "Decisions", "TrainStatistics", "TrainTotals",
            "Conventions"} <= free
    assert not {"Counts", "MembraneStatistics", "Statistics", "Spikes", "State", "Recording"} & free
    steps = {kind.__name__ for kind, along in CASES if along == "steps"}
    assert {"Counts", "Range", "LayerAudit", "MembraneStatistics", "Spikes", "State", "Recording"} <= steps


@pytest.mark.parametrize("kind, along", CASES, ids=lambda value: getattr(value, "__name__", value))
def test_parts_that_do_not_belong_together_are_refused(kind, along):
    """Whichever field they have to share, the message names it."""
    one, other = parts_of(kind, along, 2, np.random.default_rng(1))
    for name, rule in rules(kind).items():
        if getattr(rule, along) == "same":
            with pytest.raises(RunError, match=rf"{kind.__name__}\.{name}: .*cannot be merged; merge parts of "):
                merge((one, replace(other, **{name: "another"})), along)


@pytest.mark.parametrize("kind", TYPES.values(), ids=TYPES)
def test_what_does_not_merge_along_steps_says_so(kind):
    if not merges(kind, "steps"):
        parts = parts_of(kind, "samples", 2, np.random.default_rng(0))
        with pytest.raises(RunError, match=f"{kind.__name__} of different steps cannot be merged"):
            merge(parts, "steps")


# ---------------------------------------------------------------- rules one by one


@dataclass
class Pile:
    """Something of every rule."""

    total: int = merged("sum", default=1)
    maps: np.ndarray = merged("sum", default_factory=lambda: np.zeros(2, int))
    least: int = merged("min", default=1)
    most: int = merged(samples="max", steps="last", default=1)
    named: dict = merged("sum", default_factory=dict)
    others: dict = merged("sum", lacking="other", default_factory=dict)
    kept: int = merged("sum", lacking="other", default=None)
    lost: int = merged("sum", lacking="none", default=None)
    strict: int = merged("sum", default=None)


def test_rules_by_hand():
    a = Pile(1, np.array([1, 2]), 5, 5, {"x": 1}, {"x": 1}, None, 3, 1)
    b = Pile(2, np.array([3, 4]), 4, 7, {"x": 2}, {"x": 5, "y": 2}, 6, None, 1)
    c = Pile(3, np.array([5, 6]), 6, 6, {"x": 4}, {"z": 3}, 7, 1, 1)
    whole = merge((a, b, c))
    assert_equal(whole, Pile(6, np.array([9, 12]), 4, 7, {"x": 7}, {"x": 6, "y": 2, "z": 3}, 13, None, 3))
    assert merge((a, b, c), "steps").most == 6
    assert list(merge(({"n": a}, {"n": b}))["n"].others) == ["x", "y"]
    assert a.maps.tolist() == [1, 2] and a.others == {"x": 1}  # parts stay as they were


@pytest.mark.parametrize("parts, message", [
    ((Pile(), Pile(maps=np.zeros(3, int))), r"Pile\.maps: of shape \(2,\) and of shape \(3,\) cannot be merged"),
    ((Pile(), Pile(named={"x": 1})), r"Pile\.named: \[\] and \['x'\] cannot be merged"),
    ((Pile(), Pile(strict=1)), r"Pile\.strict: None and 1 cannot be merged; merge parts of the same model"),
    (({"n": Pile()}, {}), r"parts: \['n'\] and \[\] cannot be merged"),
    (({"n": Pile()}, {"n": Decisions(1, np.ones(1))}), r"n: Pile and Decisions cannot be merged"),
])
def test_what_does_not_fit(parts, message):
    with pytest.raises(RunError, match=message):
        merge(parts)


def test_rules_are_checked():
    with pytest.raises(ValueError, match="is no rule"):
        merged("mean")
    with pytest.raises(ValueError, match="is no rule"):
        merged("sum", lacking="zero")
    silent = make_dataclass("Silent", [("known", int, merged("sum")), ("forgotten", int)])
    with pytest.raises(TypeError, match="Silent cannot be merged: forgotten in it"):
        merge((silent(1, 2), silent(1, 2)))
    with pytest.raises(TypeError, match="int cannot be merged"):
        merge((1, 2))


# ---------------------------------------------------------------- parts of a run are the whole run

EVERYTHING = ("spikes", "currents", "potentials", "residuals", "outputs", "audit")
GATHERED = ("statistics", "intervals", "membranes")


@pytest.fixture(scope="module")
def run():
    """A simulator and levels of six samples of five steps."""
    rng = np.random.default_rng(4)
    model = chain(Input((3,), bits=2), Dense(rng.normal(0.5, 1, (5, 3))), Neuron(leak=0.5, bits=2),
                  Dense(rng.normal(0.3, 1, (4, 5))), Neuron(), Dense(rng.normal(0, 1, (3, 4))), Readout(),
                  delays={3: 1}, timesteps=5)
    return Simulator(model, "int8"), rng.integers(0, 4, (6, 5, 3))


def test_samples_apart_are_the_whole_run(run):
    simulator, x = run
    record = EVERYTHING + GATHERED
    whole = simulator.run(x, record=record)
    assert sum(whole.counts.total(name) for name in ("events", "synops")) > 100
    parts = [simulator.run(x[part], record=record) for part in (slice(0, 1), slice(1, 4), slice(4, 6))]
    together = merge(parts)
    assert_equal(together, whole)
    assert together.seconds == pytest.approx(sum(part.seconds for part in parts))
    assert_equal(merge([part.counts.summed() for part in parts]), whole.counts.summed())
    counted = [conventions.count(simulator.model, part) for part in parts]
    assert_equal(merge(counted), conventions.count(simulator.model, whole))
    labels = np.array([0, 1, 2, 2, 1, 0])
    decided = [Decisions.of(part.outputs, labels[cut]) for part, cut in zip(parts, ([0], [1, 2, 3], [4, 5]))]
    assert_equal(merge(decided), Decisions.of(whole.outputs, labels))


def test_steps_apart_are_the_whole_run(run):
    simulator, x = run
    whole, parts, state = simulator.run(x, record=EVERYTHING), [], None
    for cut in (slice(0, 2), slice(2, 3), slice(3, 5)):
        parts.append(simulator.run(x[:, cut], record=EVERYTHING, state=state))
        state = parts[-1].state.samples(0, 6)  # a copy: the next run goes on in the state's own arrays
    assert_equal(merge(parts, along="steps"), whole)


def test_membranes_of_steps_apart_are_the_whole_layer(run):
    simulator, x = run
    chunked = Simulator(simulator.model, "int8", workers=2, block=2, chunk=2)
    assert_equal(chunked.run(x, record=GATHERED).statistics, simulator.run(x, record=GATHERED).statistics)
