"""The parts of lowering by themselves: registries, units, numbers."""

import numpy as np
import pytest

from eventsim import Conv2d, Dense, Flatten, Input, Model, Neuron, Readout, UnsupportedError
from eventsim.lowering.firing import DECISIONS
from eventsim.lowering.folding import fold
from eventsim.lowering.rounding import INT32_MAX
from eventsim.lowering.rules import lowers, RULES
from eventsim.lowering.scales import numbers_of
from eventsim.lowering.units import Unit, Units
from eventsim.model.kinds import NODE_TYPES
from eventsim.model.transforms import Flatten as Reshaped


def chain(*nodes):
    names = "abcdefgh"[: len(nodes)]
    return Model(dict(zip(names, nodes)), list(zip(names, names[1:])))


def test_every_kind_has_a_rule():
    assert set(RULES) | {"Readout"} == set(NODE_TYPES)  # what a Readout gives, nothing reads
    assert set(DECISIONS) == {kind for kind, cls in NODE_TYPES.items() if cls.integrates()}


def test_a_new_node_needs_its_rule_only():
    class Turned(Reshaped):
        """Hands on what it reads."""

        kind = "Turned"
        reshapes = False

        def output_shape(self, shape):
            return shape

    model = chain(Input((2,)), Turned(), Neuron())
    with pytest.raises(UnsupportedError, match="Turned has no rule of lowering"):
        fold(model)
    try:
        lowers(Turned)(lambda units, name: units.source(name))
        assert [unit.name for group in fold(model) for unit in group.units] == ["a", "c"]
    finally:
        RULES.pop("Turned", None)


def test_fold_by_hand():
    model = chain(Input((2,), scale=0.5), Dense([[2.0, 4.0]], [1.0]), Neuron(input_gain=3.0, bias=0.25))
    source, layer = [group.units[0] for group in fold(model)]
    assert (source.kind, source.max_level, layer.kind, layer.n_bits) == ("input", 1, "layer", 1)
    [path] = layer.paths
    assert path.unit == "a" and path.weight.ravel().tolist() == [3.0, 6.0]
    assert [term.value.item() for term in layer.terms] == [3.0, 0.25]
    assert layer.drive is None and layer.gain is None


def test_values_are_evaluated_once():
    model = chain(Input((1, 4, 4)), Conv2d(np.ones((1, 1, 3, 3))), Flatten(), Readout())
    calls = []
    rules = {kind: lambda units, name, rule=rule: calls.append(name) or rule(units, name) for kind, rule in RULES.items()}
    units = Units(model, rules)
    assert units.value("c") is units.value("c") and calls == ["a", "b", "c"]
    assert units.held_shape("d") == (1, 2, 2)


def test_parameters_of_a_unit():
    unit = Unit("n", "layer", Neuron(quantum=[1.0, 2.0]), (2, 1, 1), (2,))
    assert unit.per_channel("quantum").tolist() == [1.0, 2.0] and unit.label == "node 'n' (Neuron)"
    assert unit.on_map("leak").shape == (2, 1, 1) and (unit.on_map("not a field", 7.0) == 7).all()


def test_numbers_of_floats_and_integers():
    [_, group] = fold(chain(Input((2,)), Dense([[0.5, 1.0]]), Neuron()))
    unit = group.units[0]
    floats, integers = (numbers_of(unit, np.dtype(dtype), None) for dtype in (np.float32, np.int32))
    assert not floats.whole and floats.never == np.inf and floats.chip is None and floats.shift == 0
    assert integers.whole and integers.never == INT32_MAX and integers.chip is None and integers.shift == 0
    assert integers.steps.tolist() == [126.0] and integers.weight(unit.paths[0].weight).ravel().tolist() == [63, 126]
    assert floats.steps_in(0, 2.0) == 0 and integers.steps_in(0, 2.0) == 252.0
