"""Where two runs part: planted changes are found in the right layer and step, whatever the batches.

`search` looks for the first difference with plain loops over whole recordings; `compare` has to
find the same one.
"""

import copy
import dataclasses

import numpy as np
import pytest
from planted_changes import ARITHMETICS, PLANTED, STEPS, VARIABLES, found, network, planted, put, samples
from small_networks import small_networks

from eventsim import compare, Model, Simulator
from eventsim.comparison import divergence
from eventsim.comparison.pairing import synapses_into
from eventsim.comparison.text import as_text
from eventsim.errors import DataError, UnsupportedError
from eventsim.model.input import Input
from eventsim.model.neurons import Neuron, SigmaDelta
from eventsim.model.synapses import Dense
from eventsim.model.transforms import BatchNorm


def search(a, b, x, deciding=(*VARIABLES, "outputs")):
    """(sample, step, layer, variable, neuron) of the first difference, or None, by loops."""
    runs = [side.run(x, record=(*VARIABLES, "outputs")) for side in (a, b)]

    def values(run, name, variable):
        if variable == "outputs":
            found = run.outputs
        elif variable == "spikes":
            found = run.levels(name).astype(float)
        else:
            found = getattr(run, variable)(name)
        found = found.reshape(*found.shape[:2], -1)
        if variable in VARIABLES and variable != "spikes":
            unit = run.steps_per_unit[name]
            found = found / np.repeat(unit, found.shape[2] // len(unit))
        return found

    layers = []
    for name, stage in a.program.stages.items():
        kind = a.model.nodes[name].kind if name in a.model.nodes else "Flatten"
        if kind == "Flatten":
            continue
        some = (VARIABLES if kind in ("Neuron", "SigmaDelta")
                else ("currents", "potentials") if kind == "Readout"
                else ("spikes",) if stage.bits and not getattr(stage, "real", False) else ())
        some = [*some, "outputs"] if name == a.program.output else some
        layers += [(name, v, values(runs[0], name, v), values(runs[1], name, v)) for v in some if v in deciding]
    for i in range(len(x)):
        for t in range(layers[0][2].shape[1]):
            for name, variable, one, other in layers:
                different = np.flatnonzero(one[i, t] != other[i, t])
                if different.size:
                    return i, t, name, variable, different[0]
    return None


# ---- planted changes


# a quantum of nearly nothing has no fixed point
CASES = [(name, arithmetic) for name in PLANTED for arithmetic in ARITHMETICS
         if name != "no reset" or arithmetic.startswith("float")]


@pytest.mark.parametrize("name, arithmetic", CASES)
def test_a_planted_change_is_found(name, arithmetic):
    x, options = samples(), ARITHMETICS[arithmetic]
    a, b = Simulator(network(), **options), Simulator(planted(name), **options)
    comparison = compare(a, b, x)
    expected = search(a, b, x)
    assert expected is not None, "the change does not show: choose another"
    assert found(comparison) == expected
    layer, variables = PLANTED[name][2:]
    assert comparison.first.layer == comparison.first.layer_b == layer
    if arithmetic.startswith("float"):
        assert comparison.first.variable in variables


@pytest.mark.parametrize("name", small_networks())
def test_every_network_against_the_search(name):
    """One weight, or one threshold, of networks of every kind: recurrent, multi-bit, signed, pooled."""
    model, x = small_networks()[name]
    rng = np.random.default_rng(3)
    weighted = [n for n, node in model.nodes.items() if node.kind in ("Dense", "Conv1d", "Conv2d")]
    nodes = copy.deepcopy(model.nodes)
    if weighted:
        chosen = nodes[weighted[rng.integers(len(weighted))]]
        chosen.weight.ravel()[rng.integers(chosen.weight.size)] += 0.3
    else:
        for node in nodes.values():
            if node.kind == "Neuron":
                node.v_threshold = node.v_threshold + 0.125
    changed = Model(nodes, model.edges, model.timesteps)
    for precision in ("float64", "int8"):
        try:
            a, b = Simulator(model, precision), Simulator(changed, precision)
        except UnsupportedError:
            continue
        assert found(compare(a, b, x)) == search(a, b, x)
        assert found(compare(a, b, x, variables="spikes")) == search(a, b, x, ("spikes",))
        same = compare(a, Simulator(model, precision), x)
        assert same.equal and same.divergent == 0 and "No prediction changes" in same.reading


# ---- samples, steps, memory


@pytest.mark.parametrize("cells", (1, 700, 5000, 10**9))
@pytest.mark.parametrize("name", ("one threshold", "a delay", "no periodic reset", "one recurrent weight"))
def test_batches_and_chunks_change_nothing(monkeypatch, name, cells):
    x, labels = samples(9), np.arange(9) % 3
    a, b = Simulator(network(), "float64"), Simulator(planted(name), "float32")
    whole = compare(a, b, x, labels)
    monkeypatch.setattr(divergence, "CELLS", cells)
    pieces = compare(a, b, x, labels)
    for field in ("first", "divergent", "samples", "predictions", "accuracy", "reading", "label",
                  "changed_predictions", "equal_predictions", "overflows"):
        assert getattr(pieces, field) == getattr(whole, field), field
    assert [(layer.spread, layer.spikes, layer.drift) for layer in pieces.layers] == [
        (layer.spread, layer.spikes, layer.drift) for layer in whole.layers]


def test_memory_is_bounded_by_the_batch(monkeypatch):
    monkeypatch.setattr(divergence, "CELLS", 1 << 13)
    seen = []
    run = Simulator.run

    def noted(self, x, timesteps=None, *rest, **named):
        seen.append((len(x), x.shape[1]))
        return run(self, x, timesteps, *rest, **named)

    monkeypatch.setattr(Simulator, "run", noted)
    compare(Simulator(network(), "float64"), Simulator(network(), "float32"), samples(3))
    neurons = 72 + 4 * (144 + 54 + 8) + 36 + 3 * 3  # and their variables
    assert max(n * t for n, t in seen) * neurons <= 1 << 13 and min(t for _, t in seen) < STEPS


def test_a_still_image_is_compared_over_the_models_steps():
    model, x = small_networks()["image"]
    comparison = compare(model, Simulator(model, "int8"), x)
    assert comparison.steps == model.timesteps == 3
    assert compare(model, Simulator(model, "int8"), x, timesteps=7).steps == 7
    assert found(compare(Simulator(model, "float64"), Simulator(model, "int8"), x, timesteps=7)) is not None


@pytest.mark.parametrize("b, x, timesteps, noted", [
    (7, "still", None, True), (1, "still", None, True), (3, "still", None, False), (None, "still", None, False),
    (7, "still", 3, False), (7, "steps", None, False)])
def test_steps_of_b_that_are_not_run_are_said(b, x, timesteps, noted):
    model, values = small_networks()["image"]
    other = Model(model.nodes, model.edges, b)
    values = np.repeat(values[:, None], 3, axis=1) if x == "steps" else values
    comparison = compare(model, other, values, timesteps=timesteps)
    note = f"B's model says {b} step{'s' if b != 1 else ''}; both ran A's 3 (timesteps=N, --timesteps N)"
    assert comparison.equal and comparison.steps == 3
    assert (note in comparison.notes) == (note in comparison.reading) == noted
    assert comparison.as_json()["notes"] == comparison.notes == ([note] if noted else [])
    assert comparison.differences == ([] if b == 3 else [f"timesteps: 3 in A, {b} in B"])


@pytest.mark.parametrize("names, noted", [(("a", "b", "c"), False), (("b", "a", "c"), True), ((), False)])
def test_other_names_of_classes_are_said(names, noted):
    a = Model(network().nodes, network().edges, STEPS, class_names=("a", "b", "c"))
    comparison = compare(a, Model(a.nodes, a.edges, STEPS, class_names=names), samples())
    said = "A and B name other classes ('a', 'b', 'c'; 'b', 'a', 'c'): predictions are compared by number"
    assert (said in "".join(comparison.notes)) == (said in comparison.reading) == noted


@pytest.mark.parametrize("name, variables, differ", [
    ("what the readout gives", None, ("outputs",)),
    ("one threshold", ("currents", "spikes"), None)])
def test_the_head_says_what_differs(name, variables, differ):
    x = samples()
    a, b = Simulator(network()), Simulator(planted(name))
    comparison = compare(a, b, x, variables=variables)
    runs = [side.run(x, record=(*VARIABLES, "outputs")) for side in (a, b)]
    layers = ("n1", "n2", "n3")
    really = {v for v in VARIABLES if any((getattr(runs[0], v if v != "spikes" else "levels")(n) !=
                                           getattr(runs[1], v if v != "spikes" else "levels")(n)).any()
                                          for n in layers)}
    really |= {"outputs"} if (runs[0].outputs != runs[1].outputs).any() else set()
    assert set(comparison.differing) == really & set(comparison.decides) and differ in (None, comparison.differing)
    head = as_text(comparison).splitlines()[2]
    equal = [variable for variable in comparison.decides if variable not in really]
    none = f", none in {', '.join(equal)}" if equal else ""
    assert head.startswith(f"{comparison.divergent} of 5 samples differ in "
                           f"{', '.join(comparison.differing)}{none}; ")


def test_one_sample_is_one_sample():
    comparison = compare(network(), network(), samples(1)[:, :1])
    assert "; 1 sample of 1 step" in as_text(comparison) and "differs in 1 sample." in comparison.reading
    assert "the trace has 1 step, the run 12" in compare(
        network(), {"n1": np.zeros((1, 1, 4, 6, 6), int)}, samples(1)).notes[0]


def test_real_input_is_compared_behind_it():
    model, x = small_networks()["real steps"]
    comparison = compare(Simulator(model, "float64"), Simulator(model, "float32"), x, variables="potentials")
    assert comparison.first.layer == "neuron1"
    assert all(layer.name != "input" for layer in comparison.layers)


# ---- what is reported


def test_spread_and_drift_are_those_of_whole_recordings():
    x = samples(6)
    a, b = Simulator(network(), "float64"), Simulator(network(), "int8")
    comparison = compare(a, b, x)
    runs = [side.run(x, record=VARIABLES) for side in (a, b)]
    first, ends = comparison.first, {}
    for i in range(6):
        one = compare(a, b, x[i : i + 1]).first
        ends[i] = None if one is None else (one.step, one.layer)
    assert comparison.divergent == sum(end is not None for end in ends.values())
    order = [layer.name for layer in comparison.layers]
    for layer in comparison.layers:
        if "spikes" in layer.variables:
            one, other = (run.levels(layer.name)[first.sample].reshape(STEPS, -1) for run in runs)
            assert np.allclose(layer.spikes, (one != other).mean(axis=1), atol=0)
            assert layer.spread == layer.spikes
        if layer.kind != "Neuron":
            continue
        largest = 0.0
        for i, end in ends.items():
            for t in range(STEPS):
                if end is None or (t, order.index(layer.name)) <= (end[0], order.index(end[1])):
                    unit = runs[1].steps_per_unit[layer.name]
                    h = runs[1].potentials(layer.name)[i, t].reshape(len(unit), -1) / unit[:, None]
                    distance = np.abs(runs[0].potentials(layer.name)[i, t].reshape(h.shape) - h).max()
                    largest = max(largest, distance)
        assert layer.drift["potentials"] == pytest.approx(largest, rel=1e-12)


def test_drift_is_of_what_comes_before_in_the_step_of_the_divergence_too():
    """The layer before has drifted by then; what comes after the spike that differs is its consequence."""
    def two_layers(weight, threshold):
        nodes = {"x": Input((1,)), "d": Dense([[weight]]), "n": Neuron(1.0, bits=2), "e": Dense([[1.0]]),
                 "m": Neuron(threshold)}
        return Model(nodes, list(zip(nodes, list(nodes)[1:])), 1)

    comparison = compare(two_layers(2.25, 2.0), two_layers(2.5, 2.5), np.array([[[1]]]), variables="spikes")
    assert comparison.first.layer == "m" and comparison.first.values == (1, 0)
    before, there = (layer.drift for layer in comparison.layers[1:])
    assert before == {"currents": 0.25, "potentials": 0.25, "residuals": 0.25}
    assert there == {"currents": 0.0, "potentials": 0.0, "residuals": 0.0, "outputs": 0.0}


def test_samples_are_counted_and_the_lowest_is_first():
    x = np.zeros((7, STEPS, 2, 6, 6), np.uint8)
    x[[3, 5]] = samples(2)
    comparison = compare(network(), planted("one threshold"), x)
    assert comparison.first.sample == 3 and comparison.divergent == 2 and comparison.samples == 7


def test_predictions_and_accuracy():
    x = samples(40)
    a, b = Simulator(network()), Simulator(planted("one threshold"))
    one, other = a.run(x).predictions, b.run(x).predictions
    labels = np.where(np.arange(40) % 4 == 0, one, (other + 1) % 3)
    comparison = compare(a, b, x, labels)
    assert comparison.accuracy == ((one == labels).mean(), (other == labels).mean())
    assert comparison.equal_predictions == (one == other).sum() < 40
    assert comparison.changed_predictions == np.flatnonzero(one != other)[:10].tolist()
    i = comparison.first.sample
    assert comparison.predictions == (one[i], other[i]) and comparison.label == labels[i]
    assert (f"{40 - comparison.equal_predictions} of 40 predictions change; accuracy goes from"
            in comparison.reading)
    assert compare(a, b, x).accuracy == (None, None)


def test_different_arithmetics_are_decided_by_spikes():
    x = samples()
    comparison = compare(Simulator(network(), "float64"), Simulator(network(), "float32"), x)
    assert comparison.decides == ("spikes",) and comparison.arithmetic == ("float64", "float32")
    assert comparison.equal and 0 < max(
        layer.drift["potentials"] for layer in comparison.layers if layer.kind == "Neuron") < 1e-5
    assert "The largest drift is" in comparison.reading
    strict = compare(Simulator(network(), "float64"), Simulator(network(), "float32"), x,
                     variables=("potentials",))
    assert strict.first.variable == "potentials" and strict.decides == ("potentials",)
    loose = compare(Simulator(network(), "float64"), Simulator(network(), "float32"), x,
                    variables=("potentials", "spikes"), tolerance=1e-4)
    assert loose.equal and loose.decides == ("potentials", "spikes")


def test_the_same_model_under_a_chip():
    chip = ARITHMETICS["chip"]
    comparison = compare(Simulator(network(), "float64"), Simulator(network(), **chip), samples(20))
    assert comparison.arithmetic == ("float64", "chip chip")
    assert not comparison.equal and "rounding" in comparison.reading
    decision = comparison.first.decisions[1]
    unit = Simulator(network(), **chip).program.stages[comparison.first.layer].steps_per_unit
    c = comparison.first.position[0]
    assert decision.steps[0] / unit[c] == decision.potential and decision.steps[1] / unit[c] == decision.threshold
    assert compare(Simulator(network(), **chip), Simulator(network(), **chip), samples()).decides[0] == "currents"


def test_a_difference_far_beyond_rounding_says_so():
    model = network({"conv1": {"weight": put(1, 0, 1, 1, value=0.75)}})
    comparison = compare(Simulator(network(), "float64"), Simulator(model, "int8"), samples(20))
    assert comparison.first.layer == "n1"
    assert "far more than rounding can give here" in comparison.reading
    assert "weights and biases of 'conv1'" in comparison.reading
    assert "conv1.weight: 1 of 72 values" in comparison.reading


def test_a_difference_behind_one_of_rounding_says_so():
    """The first spike differs by rounding, but the layer was far off before."""
    model = planted("one weight of a convolution")
    comparison = compare(Simulator(network(), "float64"), Simulator(model, "int8"), samples(20))
    assert comparison.reading.startswith("First differs by rounding")
    assert ("While all spikes were still equal, potentials were too far apart for rounding in 'n2' (0.6"
            in comparison.reading)
    honest = compare(Simulator(network(), "float64"), Simulator(network(), "int8"), samples(20))
    assert "First differs by rounding" in honest.reading and "While all" not in honest.reading


def test_clipped_and_vanished_weights_are_named():
    model = network({"n2": {"resolution": 64 * 1500.0}})  # 3/8 takes 562, more than the chip's weights hold
    comparison = compare(Simulator(model, "float64"), Simulator(model, **ARITHMETICS["chip"]), samples(20))
    assert "Weights are clipped to the chip's range in B: 147 of 216 into 'n2'." in comparison.reading
    model = network({"n2": {"resolution": 64.0}})  # 3/8 takes less than half of 2
    comparison = compare(Simulator(model, "float64"), Simulator(model, **ARITHMETICS["chip"]), samples(20))
    assert "Weights are rounded to 0 in B: " in comparison.reading and "of 216 into 'n2'" in comparison.reading


def test_overflows_are_named(monkeypatch):
    narrow = dataclasses.replace(ARITHMETICS["chip"]["chip"], membrane_bits=13, membrane_overflow="saturate")
    sides = Simulator(network(), "float64"), Simulator(network(), chip=narrow)
    comparison = compare(*sides, samples(20))
    with monkeypatch.context() as patch:  # many batches and chunks, of which not only the last counts
        patch.setattr(divergence, "CELLS", 20_000)
        assert compare(*sides, samples(20)).overflows == comparison.overflows
    run = Simulator(network(), chip=narrow).run(samples(20), record="audit")
    assert comparison.overflows
    for overflow in comparison.overflows:
        assert (overflow.side, overflow.then, overflow.bits) == ("B", "saturate", 13)
        assert run.audit[overflow.layer].ranges["membrane"].overflows == overflow.times
    assert "Overflow in B, which is no rounding: the membrane of" in comparison.reading
    wide = compare(Simulator(network(), "float64"), Simulator(network(), **ARITHMETICS["chip"]), samples(20))
    assert wide.overflows == [] and "Overflow" not in wide.reading


def test_an_arithmetic_too_coarse_says_so():
    model = network({"n1": {"resolution": 64.0}})
    comparison = compare(Simulator(model, "float64"), Simulator(model, **ARITHMETICS["chip"]), samples(20))
    assert comparison.first.layer == "n1" and "not small beside the threshold" in comparison.reading


def test_a_comparison_that_the_chip_gives_is_named():
    comparison = compare(Simulator(network(), "float64"), Simulator(network(), chip="loihi"), samples(5))
    assert "A fires at >= it, B at > it; chip loihi says so." in comparison.reading


# ---- decisions


def one_layer(**fields):
    """Levels 0 to 255, divided by 16, straight into one neuron a channel."""
    return Model({"x": Input((3,), "spikes", 8, scale=1 / 16), "n": Neuron(**fields)}, [("x", "n")], 4)


def test_decisions_of_one_bit():
    x = np.array([[[0, 16, 15]]])
    first = compare(one_layer(v_threshold=[1.0, 1.0, 1.0]), one_layer(v_threshold=[1.0, 1.0, 0.9]), x).first
    assert (first.neuron, first.variable, first.values, first.position) == (2, "spikes", (0.0, 1.0), (2,))
    a, b = first.decisions
    assert (a.potential, a.threshold, a.margin, a.comparison, a.sent, a.steps) == (
        15 / 16, 1, -1 / 16, ">=", 0, None)
    assert (b.potential, b.sent) == (15 / 16, 1) and b.threshold == pytest.approx(0.9)
    first = compare(one_layer(), one_layer(comparison=">"), x).first
    assert first.neuron == 1 and [d.margin for d in first.decisions] == [0, 0]
    assert [d.comparison for d in first.decisions] == [">=", ">"]


@pytest.mark.parametrize("precision", ("float32", "int8"))
def test_decisions_between_levels(precision):
    fields = dict(v_threshold=0.25, quantum=0.5, bits=4)
    x = np.array([[[0, 5, 40]]])  # 40 / 16 = 2.5: level 5, threshold of level 6 at 2.75
    a, b = (Simulator(one_layer(**{**fields, "v_threshold": t}), precision) for t in (0.25, 0.0))
    first = compare(a, b, x, variables="spikes").first
    assert first.neuron == 0 and first.values == (0, 1)
    x[0, 0, :2] = 4
    first = compare(a, b, x, variables="spikes").first
    assert (first.neuron, first.values) == (2, (5, 6))
    assert [d.threshold for d in first.decisions] == [2.75, 2.5]
    assert [d.margin for d in first.decisions] == [-0.25, 0.0]


def test_a_level_that_both_sent_is_judged_by_its_own_threshold():
    nodes = [{"x": Input((1,)), "d": Dense([[weight]]), "n": Neuron(v_threshold=1.0, bits=2, reset="soft")}
             for weight in (2.25, 2.5)]
    a, b = (Model(each, [("x", "d"), ("d", "n")], 1) for each in nodes)
    first = compare(a, b, np.array([[[1]]]), variables="potentials").first
    assert [(d.sent, d.threshold, d.margin) for d in first.decisions] == [(2, 2.0, 0.25), (2, 2.0, 0.5)]


def test_decisions_of_signed_levels():
    def signed(threshold):
        nodes = {"x": Input((1,), "spikes", 8, signed=True, scale=1 / 16),
                 "n": Neuron(v_threshold=threshold, signed=True, bits=2)}
        return Model(nodes, [("x", "n")], 1)

    first = compare(signed(1.0), signed(1.25), np.array([[-18]]), timesteps=1).first
    assert first.values == (-1, 0) and first.decisions[0].potential == -18 / 16
    assert [d.threshold for d in first.decisions] == [-1.0, -1.25]
    assert [d.margin for d in first.decisions] == [0.125, -0.125]
    first = compare(signed(1.0), signed(0.5), np.array([[-44]]), timesteps=1).first
    assert first.values == (-2, -3) and [d.threshold for d in first.decisions] == [-3.0, -2.5]


def test_decisions_of_a_rectified_membrane():
    def rectified(threshold):
        return one_layer(v_threshold=threshold, rectify=True, quantum=1.0)

    first = compare(rectified(0.7), rectified(0.9), np.array([[[10, 11, 13]]])).first
    a, b = first.decisions
    assert a.margin >= 0 > b.margin
    for decision, theta in zip(first.decisions, (0.7, 0.9)):
        h = decision.threshold
        assert np.tanh(3 * (h - 0.5)) / (2 * np.tanh(1.5)) + 0.5 == pytest.approx(theta, abs=1e-6)


def test_decisions_of_changes():
    def changes(threshold):
        nodes = {"x": Input((2,), "spikes", 8, signed=True), "d": SigmaDelta(v_threshold=threshold, bits=8,
                                                                                    rectify=False)}
        return Model(nodes, [("x", "d")], 5)

    x = np.array([[[10, 0], [3, 1], [1, 0], [0, 9], [-8, 9]]])  # neuron 0: 10 sent, then 3 and 1 held back
    first = compare(changes(4.0), changes(4.5), x).first
    assert (first.step, first.neuron, first.variable, first.values) == (2, 0, "spikes", (4, 0))
    assert [d.potential for d in first.decisions] == [4, 4] and [d.sent for d in first.decisions] == [4, 0]
    assert [d.margin for d in first.decisions] == [0, -0.5] and first.values_there["potentials"] == (14, 14)
    first = compare(changes(8.0), changes(8.5), x[:, 3:]).first  # the second step: -8 after nothing, 9 after 9
    assert (first.step, first.neuron) == (1, 0)
    assert [(d.potential, d.margin) for d in first.decisions] == [(-8, 0), (-8, -0.5)]


# ---- pairs of layers


def renamed(model, names):
    nodes = {names.get(name, name): node for name, node in model.nodes.items()}
    edges = [(names.get(s, s), names.get(t, t), d) for s, t, d in model.edges]
    return Model(nodes, edges, model.timesteps)


def test_layers_of_other_names_are_paired_by_order_and_shape():
    names = {name: f"{i}" for i, name in enumerate(network().nodes)}
    comparison = compare(network(), renamed(planted("one threshold"), names), samples())
    assert (comparison.first.layer, comparison.first.layer_b) == ("n1", names["n1"])
    assert found(comparison) == found(compare(network(), planted("one threshold"), samples()))
    assert (f"paired by order and shape, as their names differ: input = 0, n1 = {names['n1']}"
            in comparison.notes[0])
    assert comparison.unmatched == ([], []) and comparison.differences == []


def test_layers_without_partner_are_listed():
    model = network()
    nodes = dict(model.nodes)
    nodes["more"] = Neuron(v_threshold=1.5)
    edges = [edge for edge in model.edges if edge[:2] != ("flat", "dense")]
    edges += [("flat", "more"), ("more", "dense")]
    comparison = compare(model, Model(nodes, edges, STEPS), samples())
    assert comparison.unmatched == ([], ["more"])
    assert comparison.first.layer == "n3"


def test_delays_are_named_where_spikes_are_shifted():
    model = planted("a delay")
    comparison = compare(network(), model, samples(), variables="spikes")
    assert comparison.first.layer == "n2"
    two = Model({"x": Input((4,)), "d": Dense(np.eye(4)), "n": Neuron()}, [("x", "d"), ("d", "n", 2)], STEPS)
    now = Model(two.nodes, [("x", "d"), ("d", "n")], STEPS)
    x = (np.random.default_rng(0).random((1, STEPS, 4)) < 0.4).astype(int)
    assert "B sends what A sends, 2 steps later" in compare(now, two, x, variables="spikes").reading
    assert "A sends what B sends, 2 steps later" in compare(two, now, x, variables="spikes").reading


def test_another_unit_is_named():
    model = Model({"x": Input((4,)), "d": Dense(np.full((4, 4), 0.4)), "n": Neuron(v_threshold=1.0)},
                  [("x", "d"), ("d", "n")], STEPS)
    scaled = Model({"x": Input((4,)), "d": Dense(np.full((4, 4), 10.0)),
                    "n": Neuron(v_threshold=50.0, quantum=25.0)},
                   [("x", "d"), ("d", "n")], STEPS)
    x = (np.random.default_rng(0).random((1, STEPS, 4)) < 0.4).astype(int)
    reading = compare(model, scaled, x, variables="spikes").reading
    assert "The thresholds differ: 1 in A, 50 in B" in reading
    scaled.nodes["n"].v_threshold = np.array(25.0)
    assert compare(model, scaled, x, variables="spikes").equal


def test_what_leads_into_a_layer_ends_at_the_spikes_that_it_reads():
    """Through what scales them, which gives no spikes, and not through what sends some."""
    nodes = {"x": Input((3,)), "d": Dense(np.eye(3)), "n": Neuron(), "s": BatchNorm(*np.ones((4, 3))),
             "e": Dense(np.eye(3)), "m": Neuron()}
    model = Model(nodes, list(zip(nodes, list(nodes)[1:])), 1)
    assert (synapses_into(model, "m"), synapses_into(model, "n")) == (["m", "e", "s"], ["n", "d"])


def test_tiny_differences_of_the_models_come_last():
    other = network({"n1": {"leak": (1 - 512 / 4096) * (1 + 1e-12)}, "n3": {"v_threshold": 0.75}},
                    {("conv1", "n1"): 1})
    comparison = compare(network(), other, samples())
    assert comparison.first.layer == "n1"
    assert comparison.differences[0] == "edge conv1 -> n1 with delay 0: only in A"
    assert [text.split(":")[0] for text in comparison.differences[2:]] == ["n1.leak", "n3.v_threshold"]
    assert "The models differ there in edge conv1 -> n1 with delay 0: only in A" in comparison.reading


def test_models_that_differ_without_effect():
    comparison = compare(network(), network({"n1": {"v_reset": 0.25}}), samples())  # its reset is soft
    assert comparison.equal and comparison.differences == ["n1.v_reset: 0.0 in A, 0.25 in B"]


# ---- as data, and errors


def test_json_holds_everything():
    import json

    comparison = compare(Simulator(network(), "float64"), Simulator(network(), "int8"), samples(),
                         np.zeros(5, int))
    plain = json.loads(json.dumps(comparison.as_json()))
    assert plain["equal"] is False and plain["first"]["layer"] == comparison.first.layer
    assert plain["first"]["decisions"][0]["potential"] == comparison.first.decisions[0].potential
    assert plain["layers"][1]["spikes"] == comparison.layers[1].spikes
    assert plain["reading"] == comparison.reading


@pytest.mark.parametrize("call, kind, message", [
    (lambda m, x: compare("net.h5", m, x), DataError, "A is 'net.h5', expected a Model or a Simulator"),
    (lambda m, x: compare(m, 3, x), DataError, "B is 3, expected a Model, a Simulator, or a Recording, a Run"),
    (lambda m, x: compare(m, m, x, variables="membranes"), DataError,
     "variables has 'membranes', expected any of"),
    (lambda m, x: compare(m, m, x, tolerance="much"), DataError, "tolerance is 'much', expected a finite number"),
    (lambda m, x: compare(m, m, (x, x[:1])), DataError, "x is no array of numbers"),
    (lambda m, x: compare(m, m, x, tolerance=-1), DataError, "tolerance is -1, expected 0 or more"),
    (lambda m, x: compare(m, m, x[0, 0]), DataError, "A: x has shape"),
    (lambda m, x: compare(m, m, x[:0]), DataError, "A: x has shape"),
    (lambda m, x: compare(m, m, 3), DataError, "A: x has shape"),
    (lambda m, x: compare(m, m, x, labels=[1]), DataError, "labels has 1 number, but x has 5 samples"),
    (lambda m, x: compare(m, m, x[:, 0], timesteps=0), DataError, "timesteps is 0, expected a whole number"),
    (lambda m, x: compare(m, m, x, timesteps=3), DataError, "x has 12 steps, but the run has 3"),
    (lambda m, x: compare(m, one_layer(), x, variables="outputs"), DataError, "B: none of its layers"),
])
def test_errors(call, kind, message):
    with pytest.raises(kind, match=message):
        call(network(), samples())
