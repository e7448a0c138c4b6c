"""The parts of lowering by themselves: registries, units, numbers."""

import numpy as np
import pytest

from eventsim import (
    Concat, Conv2d, ConvTranspose2d, Delay, Dense, Flatten, Input, MaxPool, Model, Neuron, Readout, Restimulation,
    Simulator, SumPool, UnsupportedError,
)
from eventsim.kernels.arguments import NEVER
from eventsim.lowering.firing import DECISIONS
from eventsim.lowering.folding import fold
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


SHIFTED = r"values whose zero is shifted \(mean or BatchNorm\)"


@pytest.mark.parametrize("node, message", (
    (Concat(), rf"joins 'a', {SHIFTED}; it takes spikes"),
    (Delay([0, 1]), rf"delays single neurons of {SHIFTED}; it takes spikes"),
    (ConvTranspose2d(np.ones((2, 1, 2, 2)), stride=2), rf"reads {SHIFTED}; it takes spikes"),
    (Restimulation(np.ones(3)), rf"reads {SHIFTED}; it takes the spikes of one node"),
    (SumPool(2), rf"pools {SHIFTED}; only average pooling without padding can; pool after the next synapses"),
), ids=lambda case: getattr(case, "kind", ""))
def test_what_is_not_spikes_is_said(node, message):
    """Messages name what was found, not all that could have been."""
    nodes = {"a": Input((2, 4, 4), "image", 4, mean=0.5), "p": MaxPool(1), "b": node, "n": Neuron()}
    edges = [("a", "b"), ("b", "n")] + [("a", "p"), ("p", "b")] * (node.kind == "Concat")
    model = Model(nodes if node.kind == "Concat" else {name: nodes[name] for name in "abn"}, edges)
    with pytest.raises(UnsupportedError, match=rf"^node 'b' \({node.kind}\): {message}$"):
        fold(model)


def test_values_are_evaluated_once():
    model = chain(Input((1, 4, 4)), Conv2d(np.ones((1, 1, 3, 3))), Flatten(), Readout())
    calls = []
    rules = {kind: lambda units, name, rule=rule: calls.append(name) or rule(units, name)
             for kind, rule in RULES.items()}
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
    assert not floats.integer and np.isnan(floats.never) and floats.chip is None and floats.shift == 0
    assert integers.integer and integers.never == NEVER and integers.chip is None and integers.shift == 0
    assert integers.steps.tolist() == [126.0]
    assert integers.weight(unit.paths[0].weight).ravel().tolist() == [63, 126]
    assert floats.steps_in(0, 2.0) == 0 and integers.steps_in(0, 2.0) == 252.0


@pytest.mark.parametrize("precision", ("float32", "float64", "int8"))
@pytest.mark.parametrize("comparison", (">=", ">"))
@pytest.mark.parametrize("rectify", (False, True))
def test_thresholds_rise_from_plane_to_plane(rectify, comparison, precision):
    """Kernels know by the lowest who sends nothing. Planes that a channel lacks are never reached: nan."""
    rng = np.random.default_rng(3)
    for _ in range(20):
        theta, quantum = np.exp(rng.normal(0, 2, (2, 9)))
        # MPR of several bits knows only half a quantum
        theta = quantum / 2 if rectify else rng.choice([-1, 1, 1], 9) * theta
        node = Neuron(v_threshold=theta, quantum=quantum, bits=rng.integers(1, 9, 9), comparison=comparison,
                      rectify=rectify)
        update = Simulator(chain(Input((9,), bits=8), node), precision).program.stages["b"].update
        thresholds = update.thresholds.reshape(update.bits, -1)
        assert not (thresholds[1:] < thresholds[:-1]).any()


def test_a_maximum_by_hand():
    model = chain(Input((1, 1, 3)), Conv2d([[[[2.0]]], [[[1.0]]]], [1.0, -1.0]), MaxPool((1, 2), 1),
                  Neuron(input_gain=[3.0, -0.5], bias=0.25))
    [_, group] = fold(model)
    [maximum] = group.units[0].paths
    assert maximum.current.shape == (2, 1, 3) and maximum.window == ((1, 2), (1, 1), (0, 0))
    assert maximum.signs.tolist() == [1, -1] and maximum.label == "node 'c' (MaxPool)"
    assert [path.weight.ravel().tolist() for path in group.units[0].synapses] == [[6.0, 0.5]]
    assert [term.value.ravel().tolist() for term in maximum.current.terms] == [[3.0, -0.5]]
    assert [term.value.max() for term in group.units[0].terms] == [0.25]


def test_what_is_pooled_is_no_layer():
    """It has no row, no state and nothing to record."""
    model = chain(Input((1, 4, 4)), Conv2d(np.ones((2, 1, 1, 1)), [1.0, 2.0]), MaxPool(2), MaxPool(2), Neuron())
    simulator = Simulator(model, "float64")
    program = simulator.program
    assert [layer.name for layer in program.layers] == list(program.stages) == ["a", "e"]
    [pool] = program.stages["e"].paths
    assert (pool.method, pool.depth, pool.paths[0].depth) == ("pooled", 2, 1)
    assert [synapses.source for synapses in program.stages["e"].synapses] == ["a"]
    assert len(program.stages["e"].pools) == 2 and program.stages["e"].bias_steps == [0]
    recording = simulator.run(np.ones((3, 1, 4, 4), int), 2, ("spikes", "currents"))
    assert recording.counts.neurons == {"a": 16, "e": 2} and list(recording.spikes) == ["a", "e"]
    assert list(recording.state.membranes) == ["e"] and recording.state.membranes["e"].shape == (3, 1, 16)
    assert recording.currents("e")[0, 0].ravel().tolist() == [2, 3]


def test_a_still_image_is_summed_once_before_its_maximum():
    model = chain(Input((1, 4, 4), "image", 4), Conv2d(np.ones((2, 1, 1, 1))), MaxPool(2), Neuron(leak=0.5))
    recording = Simulator(model, "float64").run(np.full((1, 1, 4, 4), 3), 5)
    row = recording.counts["d"]
    assert row["additions"] == 5 * row["executed_additions"] == 5 * 2 * 2 * 16
    assert row["neuron_updates"] == 5 * 2 * 4 and row["dense_macs"] == 5 * 2 * 16
    assert row["doublings"] == 5 * 3 * 2 * 16


def test_integers_prove_the_sums_before_a_maximum():
    model = chain(Input((4, 1, 2), bits=16), Conv2d(np.ones((1, 4, 1, 1)), [100.0]), MaxPool((1, 2)), Neuron())
    plain = chain(Input((4, 1, 2), bits=16), Conv2d(np.ones((1, 4, 1, 1)), [100.0]), Neuron())
    pooled, alone = (Simulator(m, "int8").program for m in (model, plain))
    assert pooled.safe_steps == pytest.approx(alone.safe_steps, rel=1e-4)
    assert pooled.rounding["d"].n_weights == 4 and pooled.rounding["d"].scale == alone.rounding["c"].scale
