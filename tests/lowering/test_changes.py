"""Constants that integers make other numbers: named where they are, and nowhere else."""

import copy
import warnings
from pathlib import Path

import numpy as np
import pytest

import eventsim
from eventsim import Alpha, Chip, Conv2d, Dense, Input, Model, Neuron, Readout, SigmaDelta, Simulator
from eventsim.errors import EventsimWarning, UnsupportedError

DATA = Path(__file__).resolve().parents[2] / "data"
WEIGHT = [[1.0, -0.5], [0.25, 1.0]]


def chain(timesteps, *nodes):
    nodes = {f"{node.kind}{i}".lower(): node for i, node in enumerate(nodes)}
    return Model(nodes, list(zip(nodes, list(nodes)[1:])), timesteps=timesteps)


def changes(model, **options):
    """{(layer, constant): ConstantChange} of a model in integers, which are said, too."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        simulator = Simulator(model, **(options or {"precision": "int8"}))
    found = {(layer, name): change for layer, rounding in simulator.program.rounding.items()
             for name, change in rounding.constants.items()}
    assert len(said) == bool(found)
    assert all(f"the {name}" in str(said[0].message) and layer in str(said[0].message) for layer, name in found)
    return found


def readout(leak, timesteps=5000):
    return chain(timesteps, Input((1,)), Readout("last", leak=leak))


@pytest.mark.parametrize("leak, timesteps, after", (
    (0.9999, 5000, 1.0), (0.9997, 5000, 0.999755859375), (0.9999, 100, None), (0.9, 5000, None),
    (1.0, 5000, None)))
def test_a_leak_that_adds_up_to_another_sum(leak, timesteps, after):
    found = changes(readout(leak, timesteps))
    if after is None:
        assert not found
    else:
        (change,) = found.values()
        assert list(found) == [("readout1", "leak")] and (change.before, change.after) == (leak, after)


def test_a_chip_has_decays_of_its_own():
    assert ("readout1", "leak") in changes(readout(0.97, 50), chip=Chip("small", decay_bits=4))
    assert not changes(readout(0.97, 50), chip=Chip("wide", decay_bits=12))


@pytest.mark.parametrize("name", ("leak", "current_leak"))
def test_leaks_of_neurons(name):
    found = changes(chain(5000, Input((2,)), Dense(WEIGHT), Neuron(**{name: np.array([0.5, 0.9999])})))
    assert found["neuron2", name].before == 0.9999 and found["neuron2", name].number == 1


def test_where_the_steps_are_open_many_are_looked_at():
    assert changes(readout(0.9999, None)) and not changes(readout(0.99, None))


def test_gains_of_neurons_of_a_map():
    gain = np.array([[[1e-4, 0.5]]])
    found = changes(chain(4, Input((1, 1, 2)), Conv2d(np.ones((1, 1, 1, 1))), Neuron(input_gain=gain)))
    (change,) = found.values()
    assert list(found) == [("neuron2", "input_gain")] and (change.before, change.after) == (1e-4, 0.0)
    assert (change.number, change.of) == (1, 2)


def test_a_threshold_that_becomes_another():
    found = changes(chain(4, Input((2,)), Dense(WEIGHT), Neuron(v_threshold=0.0055, reset="hard")))
    assert set(found) == {("neuron2", "v_threshold")} and found["neuron2", "v_threshold"].after > 0.006


def test_a_threshold_that_would_fire_without_input_is_refused():
    model = chain(4, Input((2,)), Dense(WEIGHT), Neuron(v_threshold=[0.5, 0.003], reset="hard"))
    with pytest.raises(UnsupportedError, match=r"neuron2.*v_threshold of 0.003 is less than half a step.*float32"):
        Simulator(model, "int8")
    for node in (Neuron(v_threshold=0.003, comparison=">"), Neuron(v_threshold=0.0, reset="hard")):
        Simulator(chain(4, Input((2,)), Dense(WEIGHT), node), "int8")  # silent without input, or so in floats, too


@pytest.mark.parametrize("steps, changed", ((500, True), (10, False)))
def test_a_bias_that_alone_would_fire(steps, changed):
    found = changes(chain(steps, Input((2,)), Dense(WEIGHT, [0.003, 0.0]), Neuron(v_threshold=0.3, reset="hard")))
    assert (("neuron2", "bias") in found) == changed
    if changed:
        silent = np.zeros((1, 2), np.uint8)
        model = chain(steps, Input((2,)), Dense(WEIGHT, [0.003, 0.0]), Neuron(v_threshold=0.3, reset="hard"))
        assert Simulator(model).run(silent).output.any()
        with pytest.warns(EventsimWarning, match="the bias of 1 of 2 neurons of neuron2 from 0.003 to 0"):
            assert not Simulator(model, "int8").run(silent).output.any()


def test_the_weight_of_what_is_read_as_it_is():
    model = chain(4000, Input((2,), scale=2e-5), Neuron(v_threshold=0.01, reset="hard"))
    assert changes(model)["neuron1", "input weight"].after == 0
    assert not changes(chain(4, Input((2,), scale=0.01), Neuron()))


@pytest.mark.parametrize("reduce, leak, timesteps, changed", (
    ("sum", 0.0, 1000, True), ("mean", 0.0, 1000, True), ("last", 1.0, 1000, True), ("last", 0.5, 1000, False),
    ("sum", 0.0, 100, False)))
def test_the_bias_of_an_output(reduce, leak, timesteps, changed):
    found = changes(chain(timesteps, Input((2,)), Dense(WEIGHT, [0.003, 0.0]), Readout(reduce, leak=leak)))
    assert set(found) == ({("readout2", "bias")} if changed else set())


@pytest.mark.parametrize("name", ("v_reset", "v_min"))
def test_potentials_that_neurons_are_brought_to(name):
    weight = np.array(WEIGHT) / 8
    for value, after in ((-0.003, 0.0), (-0.5, None)):
        found = changes(chain(9, Input((2,)), Dense(weight),
                              Neuron(v_threshold=0.02, reset="hard", **{name: value})))
        assert ((("neuron2", name) in found) and found["neuron2", name].after) == (
            False if after is None else after)


def test_the_threshold_of_changes():
    found = changes(chain(9, Input((2,)), Dense(WEIGHT), SigmaDelta(v_threshold=0.003, bits=4)))
    assert found["sigmadelta2", "v_threshold"].after == 0


def test_a_float_that_the_type_does_not_hold_is_refused_for_alpha_neurons_too():
    node = Alpha(v_threshold=1e-50, excitatory_leak=0.5, inhibitory_leak=0.5)
    with pytest.raises(UnsupportedError, match="v_threshold of 1e-50 is less than float32 holds"):
        Simulator(chain(9, Input((2,)), Dense(WEIGHT), node))


def test_the_potential_that_neurons_leak_to():
    assert changes(chain(500, Input((2,)), Dense(WEIGHT),
                         Neuron(v_threshold=0.25, leak=0.99, v_leak=0.3, reset="hard")))


@pytest.mark.parametrize("of_chip, of_node, steps",
                         [(">", ">=", 1), (">=", ">", -1), (">", ">", 0), (None, ">=", 0)])
def test_a_chip_that_compares_otherwise(of_chip, of_node, steps):
    """Whole numbers meet a threshold: the chip fires at another one then."""
    model = chain(4, Input((2,)), Dense(np.eye(2)), Neuron(v_threshold=1.0, reset="hard", comparison=of_node))
    found = changes(model, chip=Chip("mine", comparison=of_chip))
    assert set(found) == ({("neuron2", f"v_threshold ({of_chip} for {of_node})")} if steps else set())
    for change in found.values():
        assert change.before == 1 and np.sign(change.after - 1) == steps and (change.number, change.of) == (2, 2)
    model.chip = Chip("mine", comparison=of_chip)
    assert not changes(model, chip=None)  # its own chip says what it means
    found = changes(model, chip=Chip("other", comparison=of_node))
    assert bool(found) == bool(steps)


@pytest.mark.parametrize("resolution, after", [(1.0, 7.0), (None, None), (0.02, None)])
def test_a_weight_that_a_chip_cuts_off(resolution, after):
    neuron = Neuron(v_threshold=100.0, quantum=100.0, reset="hard", resolution=resolution)
    found = changes(chain(4, Input((2,)), Dense([[300.0, 0.0], [2.0, -5.0]]), neuron),
                    chip=Chip("mine", weight_bits=4))
    assert {(layer, name) for layer, name in found if name == "weight"} == (
        {("neuron2", "weight")} if after else set())
    if after:
        change = found["neuron2", "weight"]
        assert (change.before, change.after, change.number, change.of) == (300.0, after, 1, 2)
        nodes = {"in": Input((2,)), "a": Dense([[300.0, 0.0], [2.0, -5.0]]), "b": Dense(np.eye(2)), "n": neuron}
        model = Model(nodes, [("in", "a"), ("in", "b"), ("a", "n"), ("b", "n")], timesteps=4)
        assert changes(model, chip=Chip("mine", weight_bits=4))["n", "weight"] == change, "of two paths, too"


@pytest.mark.parametrize("name", ("digits", "mnist", "nmnist", "cifar10", "cifar10_multibit"))
def test_models_that_are_fit_for_integers_say_nothing(name):
    assert not changes(eventsim.load(DATA / f"{name}.h5"))


def test_copies_do_not_say_it_again():
    with pytest.warns(EventsimWarning, match="int8 rounds the leak of readout1 from 0.9999 to 1, which makes it"):
        simulator = Simulator(readout(0.9999), "int8")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        copy.deepcopy(simulator)
