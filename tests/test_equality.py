"""The engine equals the slow reference, bit for bit: every level, membrane, output and count."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from networks import every_node_models, runs
from small_networks import small_networks

import reference
from eventsim.errors import UnsupportedError
from eventsim.model import Model
from eventsim.nodes import NODE_TYPES, Conv2d, Input, Neuron
from eventsim.simulator import Simulator

MODELS = {**every_node_models(), **small_networks()}
PRECISIONS = ("float64", "float32", "int8")
ALL = ("spikes", "potentials", "residuals", "outputs")


def assert_equal_to_reference(model, x, precision, timesteps=None):
    """Run both and compare everything that they give."""
    try:
        simulator = Simulator(model, precision)
    except UnsupportedError as error:
        refused = ("ends in a sum of unequal quanta", "of the flattened map", "flattened from maps",
                   "flattened real numbers")
        refused += ("real input",) * (precision == "int8")
        assert any(reason in str(error) for reason in refused), error
        return None
    expected = reference.simulate(model, x, precision, timesteps)
    found = simulator.run(x, timesteps, ALL)
    untraced = simulator.run(x, timesteps, ("spikes",))  # takes the short ways of plain neurons
    delayed_flattens = {n for n in expected.levels if model.nodes[n].kind == "Flatten"} - set(found.spikes)
    assert set(found.spikes) >= set(expected.levels) - delayed_flattens
    for name in set(expected.levels) - delayed_flattens:
        levels = expected.levels[name]
        np.testing.assert_array_equal(found.levels(name), levels, f"levels of {name}")
        np.testing.assert_array_equal(untraced.levels(name), levels, f"levels of {name}, untraced")
    for name in expected.potentials:
        np.testing.assert_array_equal(found.potentials(name), expected.potentials[name], f"H of {name}")
        np.testing.assert_array_equal(found.residuals(name), expected.residuals[name], f"U of {name}")
        assert found.potentials(name).dtype == expected.potentials[name].dtype
    np.testing.assert_array_equal(found.outputs, expected.outputs, "outputs")
    np.testing.assert_array_equal(found.predictions, expected.predictions)
    for layer, row in expected.counts.items():
        for name, counts in row.items():
            np.testing.assert_array_equal(found.counts[layer][name], counts, f"{name} of {layer}")
    return found


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", MODELS)
def test_named_networks(name, precision):
    assert_equal_to_reference(*MODELS[name], precision)


@pytest.mark.parametrize("channels, bits, signed", (
    (1, 8, False), (3, 8, False), (3, 5, True), (9, 2, True), (28, 4, False), (70, 1, False),
))
def test_levels_at_the_top(channels, bits, signed):
    """Weights and levels as large as they get: the sums of pairs that 16 bits just hold."""
    rng = np.random.default_rng(channels)
    weight = rng.choice((-1.0, 1.0), (64, channels, 3, 3))
    weight[::8], weight[1::8] = -1, 1
    top = 2**bits - 1
    model = Model(
        {"in": Input((channels, 5, 4), bits=bits, signed=signed), "synapses": Conv2d(weight, padding=1),
         "a": Neuron(v_threshold=top, quantum=top)},
        [("in", "synapses"), ("synapses", "a")], timesteps=2,
    )
    x = top * rng.choice((-1, 1) if signed else (0, 1), (3, 2, channels, 5, 4), p=(0.1, 0.9))
    x[0] = top
    assert_equal_to_reference(model, x, "int8")


def test_named_networks_use_every_node_type():
    used = {type(node).__name__ for model, _ in MODELS.values() for node in model.nodes.values()}
    assert used == {cls.__name__ for cls in NODE_TYPES.values()}


def test_named_networks_spike():
    """Equality of silence, or of neurons that all do the same, would show nothing."""
    alive = total = 0
    for model, x in MODELS.values():
        for name, levels in reference.simulate(model, x, "float64").levels.items():
            if model.nodes[name].kind == "Neuron":
                total += 1
                alive += len(np.unique(levels)) > 1
    assert total > 100 and alive >= 0.95 * total


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(runs())
def test_random_networks(drawn):
    model, x, timesteps = drawn
    for precision in PRECISIONS:
        assert_equal_to_reference(model, x, precision, timesteps)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(runs())
def test_random_networks_in_pieces(drawn):
    """One chunk or many, one block or many, one worker or two: the same bits."""
    model, x, timesteps = drawn
    for precision in PRECISIONS:
        try:
            whole = Simulator(model, precision).run(x, timesteps, ALL)
        except UnsupportedError:
            continue
        pieces = Simulator(model, precision, workers=2, chunk=1, block=1).run(x, timesteps, ALL)
        np.testing.assert_array_equal(whole.outputs, pieces.outputs)
        for name in whole.spikes:
            np.testing.assert_array_equal(whole.levels(name), pieces.levels(name))
        for name in whole.traces["residuals"]:
            np.testing.assert_array_equal(whole.residuals(name), pieces.residuals(name))
        for layer, row in whole.counts.layers.items():
            for count, values in row.items():
                if not count.startswith("executed"):
                    np.testing.assert_array_equal(values, pieces.counts[layer][count])
