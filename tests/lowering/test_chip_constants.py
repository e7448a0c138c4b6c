"""What a chip's integers do with the constants of neurons: where each is added, and which its membranes hold."""

import warnings

import numpy as np
import pytest
import reference

from eventsim import BatchNorm, Chip, Dense, Input, Model, Neuron, Readout, SigmaDelta, Simulator
from eventsim.errors import UnsupportedError
from eventsim.model.chip import find_chip

NARROW = Chip("narrow", current_bits=8, current_overflow="saturate")
TRACES = ("currents", "potentials", "residuals", "spikes", "audit")
NODES = {
    "neuron": lambda **fields: Neuron(1000.0, quantum=1000.0, resolution=1, **fields),
    "leaky neuron": lambda **fields: Neuron(1000.0, quantum=1000.0, resolution=1, leak=0.5, **fields),
    "readout": lambda **fields: Readout("last", 1.0, resolution=1, **fields),
    "changes": lambda **fields: SigmaDelta(v_threshold=1000.0, quantum=1000.0, resolution=1, **fields),
}


def run_on(chip, node, weight=100.0, levels=(1, 1, 1), synapses=(), precision=None):
    """A recording of a node behind a synapse, with its name."""
    synapses = synapses or (Dense([[weight]]),)
    nodes = {"in": Input((1,), bits=4), **{f"w{i}": each for i, each in enumerate(synapses)}, "n": node}
    model = Model(nodes, list(zip(nodes, list(nodes)[1:])), timesteps=len(levels))
    x = np.array(levels).reshape(1, -1, 1)
    recording = Simulator(model, precision, chip=chip).run(x, record=TRACES)
    if chip is not None:
        expected = reference.simulate(model, x, "fixed", chip=chip)
        for kind in TRACES[:3]:
            np.testing.assert_array_equal(getattr(recording, kind)("n"), getattr(expected, kind)["n"], kind)
        for name, range_ in expected.audit["n"].ranges.items():
            assert recording.audit["n"].ranges[name].overflows == range_.overflows
    return recording


# ---- what is added where


@pytest.mark.parametrize("kind", NODES)
def test_a_neurons_bias_is_no_part_of_the_current(kind):
    """The current of 100 fits its 8 bits; with the bias it would not."""
    recording = run_on(NARROW, NODES[kind](bias=100.0))
    currents = recording.currents("n").ravel()
    assert (np.abs(currents) <= 100).all() and currents[0] == 100
    assert recording.audit["n"].ranges["current"].overflows == 0
    assert recording.potentials("n").ravel()[0] == 200


@pytest.mark.parametrize("fields", [
    dict(bias=100.0), dict(v_leak=200.0, leak=0.5), dict(v_leak=60.0, leak=0.5, bias=70.0),
    dict(bias=-300.0, reset="hard"), dict(bias=100.0, refractory=1), dict(bias=100.0, input_gain=0.5)], ids=str)
def test_no_current_of_its_own_is_one_that_forgets_all(fields):
    """current_leak 0 is the same equation."""
    without, forgetting = (run_on(NARROW, Neuron(**{
        "v_threshold": 250.0, "quantum": 250.0, "resolution": 1, "current_leak": leak, **fields}))
        for leak in (None, 0.0))
    for kind in TRACES[:3]:
        np.testing.assert_array_equal(getattr(without, kind)("n"), getattr(forgetting, kind)("n"), kind)
    assert without.audit["n"].ranges == forgetting.audit["n"].ranges


def test_the_bias_of_synapses_is_part_of_the_current():
    for leak in (None, 0.0):
        node = Neuron(1000.0, quantum=1000.0, resolution=1, current_leak=leak)
        recording = run_on(NARROW, node, synapses=(Dense([[100.0]], [50.0]),))
        assert recording.currents("n").ravel().tolist() == [127] * 3
        assert recording.audit["n"].ranges["current"].overflows == 3
        norm = BatchNorm([1.0], [50.0], [0.0], [1.0], eps=0.0)
        recording = run_on(NARROW, node, synapses=(Dense([[100.0]]), norm))
        assert recording.currents("n").ravel().tolist() == [127] * 3


def test_int8_folds_a_bias_as_it_did():
    currents = run_on(None, Neuron(1000.0, quantum=1000.0, bias=100.0), precision="int8").currents("n")
    unit = run_on(None, Neuron(1000.0, quantum=1000.0), precision="int8").currents("n")
    assert currents.ravel()[0] == 2 * unit.ravel()[0]


# ---- what membranes hold

EIGHT = Chip("eight", membrane_bits=8, membrane_overflow="saturate")


@pytest.mark.parametrize("fields, said", [
    (dict(v_threshold=50.0, quantum=50.0, reset="hard", v_reset=-200.0, resolution=1),
     "its v_reset is -200 in steps of the state, but membranes of 8 bits on chip 'eight' are from -128 to 127; "
     "lower the resolution, or widen membrane_bits$"),
    (dict(v_threshold=50.0, quantum=50.0, v_min=-129.0, resolution=1), "its v_min is -129 in steps"),
    (dict(v_threshold=50.0, quantum=50.0, v_min=128.0, resolution=1), "its v_min is 128 in steps"),
    (dict(reset="hard", v_reset=-50.0), "its v_reset is -.*bring it nearer to 0, or widen membrane_bits$"),
], ids=lambda value: value if isinstance(value, str) else str(sorted(value)))
def test_potentials_that_no_membrane_holds_are_refused(fields, said):
    with pytest.raises(UnsupportedError, match=f"^node 'n' .Neuron.: {said}"):
        run_on(EIGHT, Neuron(**fields), weight=1.0)


def test_potentials_that_membranes_hold_are_taken():
    whole = dict(v_threshold=50.0, quantum=50.0, resolution=1)
    run_on(EIGHT, Neuron(reset="hard", v_reset=-128.0, **whole))
    run_on(EIGHT, Neuron(v_min=-128.0, **whole))
    run_on(EIGHT, Neuron(v_reset=-200.0, **whole))  # a soft reset goes to none
    run_on(Chip("any", membrane_bits=32, membrane_overflow="wrap"), Neuron(v_min=-1e6, **whole))
    run_on(Chip("any"), Neuron(v_min=-1e6, **whole))
    with pytest.raises(UnsupportedError, match="v_min is -128 .* from -127 to 127"):
        run_on(Chip("even", membrane_bits=8, membrane_overflow="saturate_symmetric"), Neuron(v_min=-128.0, **whole))


@pytest.mark.parametrize("threshold, fields, warned", [
    (127.0, {}, None), (128.0, {}, "v_threshold (out of reach) of n from 128 to 127"),
    (127.0, dict(comparison=">"), "v_threshold (out of reach) of n from 127 to 127"),
    (126.0, dict(comparison=">"), None),
    (128.0, dict(signed=True), None), (129.0, dict(signed=True), "v_threshold (out of reach)"),
    (40.0, dict(bits=2, quantum=40.0), None),  # levels at 40, 80 and 120
    (40.0, dict(bits=3, quantum=40.0), "highest level (out of reach) of n from 160 to 127"),
], ids=str)
def test_a_threshold_that_no_membrane_reaches(threshold, fields, warned):
    fields = {"quantum": threshold, "reset": "soft", "resolution": 1, **fields}
    with warnings.catch_warnings(record=True) as messages:
        warnings.simplefilter("always")
        recording = run_on(EIGHT, Neuron(threshold, **fields), levels=(1, 1, 1, 1))
    assert len(messages) == bool(warned)
    if warned:
        assert f"chip 'eight' rounds the {warned}" in str(messages[0].message)
    if not warned and "signed" not in fields:
        assert recording.levels("n").any()


def test_the_largest_threshold_of_lava_is_within_reach():
    node = Neuron(131071.0, quantum=131071.0, comparison=">", reset="hard", resolution=64)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run_on(find_chip("loihi"), node, weight=2.0)


# ---- pauses


@pytest.mark.parametrize("overflow", ("wrap", "wrap_once", "saturate", "saturate_symmetric", "error"))
def test_membranes_that_pause_stay(overflow):
    """A reset by more than the threshold leaves -13, beyond 4 bits. It is brought back where it is computed anew."""
    chip = Chip("four", membrane_bits=4, membrane_overflow=overflow)
    node = Neuron(5.0, quantum=20.0, refractory=2, resolution=1)
    recording = run_on(chip, node, weight=7.0, levels=(1, 0, 0, 2, 0))
    left = recording.residuals("n").ravel().tolist()
    assert left[:3] == [-13] * 3 and recording.potentials("n").ravel().tolist()[1:3] == [-13] * 2
    assert recording.audit["n"].ranges["membrane"].overflows == (left[3] == -8)
