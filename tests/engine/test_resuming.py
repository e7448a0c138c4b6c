"""States that were changed by hand: kernels index with what they hold, so that all of it is checked before."""

import pickle

import numpy as np
import pytest

import eventsim
from eventsim import Add, Chip, DataError, Dense, EventBins, Input, Model, Neuron, Readout, RunError, Simulator
from eventsim.merging import merge


def network(encoding="spikes", **options):
    """Three inputs and three neurons, all of them remembered for two steps; the neurons have 1, 2 and 3 bits."""
    neuron = Neuron(0.5, bits=[1, 2, 3], signed=True, reset_delay=1, current_leak=0.5, **options)
    nodes = {"in": Input((3,), encoding, bits=1 if encoding == "real" else 2), "w": Dense(np.eye(3)), "n": neuron,
             "again": Dense(np.eye(3)), "out": Readout("sum")}
    edges = [("in", "w", 2), ("w", "n"), ("n", "again", 2), ("again", "n"), ("n", "out")]
    if encoding != "real":
        nodes["add"] = Add()  # of three levels of at most 3: 9, and no more, in four bits
        nodes["m"] = Neuron(refractory=2)
        edges += [("in", "add"), ("in", "add", 1), ("in", "add", 2), ("add", "m", 1), ("m", "n")]
    return Model(nodes, edges, 3)


def plane(state, name, bit, channel):
    """Set a bit of the last step that is remembered."""
    state.history[name][:, -1, bit, 0, 0] |= np.uint64(1 << channel)


def levels_of(number, state):
    """Send `number` from channel 0 of the sum of spikes."""
    for bit in range(4):
        if number >> bit & 1:
            plane(state, "add", bit, 0)


# what is changed in a state -> what is said of it
CONTENT = {
    "a channel behind the last": (lambda s: plane(s, "n", 0, 3),
                                  "state.history of 'n' has spikes of channels or bits"),
    "a channel of the input": (lambda s: plane(s, "in", 0, 63),
                               "state.history of 'in' has spikes of channels or bits"),
    "a bit that a channel lacks": (lambda s: plane(s, "n", 2, 1),
                                   "state.history of 'n' has spikes of channels or bits"),
    "both signs": (lambda s: [plane(s, "n", bit, 2) for bit in (0, 3)],
                   "state.history of 'n' has spikes that are positive and negative at once"),
    "too high a level": (lambda s: levels_of(10, s), "state.history of 'add' has a level of 11, above 9"),
    "a counter below 0": (lambda s: s.waiting["m"].__setitem__((0, 0, 0), -1), "state.waiting .* counter of -1"),
    "too long a pause": (lambda s: s.waiting["m"].__setitem__((0, 0, 0), 3), "state.waiting .* counter of 3"),
    "a pause of nobody": (lambda s: s.waiting["m"].__setitem__((0, 0, 3), 1), "state.waiting .* counter of 1"),
}
FORM = {
    "a history of fewer steps": lambda s: s.history.update(n=s.history["n"][:, 1:]),
    "a history of fewer words": lambda s: s.history.update(n=s.history["n"][..., :0]),
    "levels, not planes": lambda s: s.history.update(n=s.history["n"].astype(np.int64)),
    "no history": lambda s: s.history.pop("n"),
    "one more history": lambda s: s.history.update(out=s.history["n"]),
    "bytes the other way": lambda s: s.membranes.update(
        n=s.membranes["n"].astype(s.membranes["n"].dtype.newbyteorder())),
    "a single number": lambda s: s.membranes.update(n=np.zeros((), np.float32)),
    "sums of fewer classes": lambda s: setattr(s, "sums", s.sums[:, :1]),
}


@pytest.fixture(scope="module")
def resumed():
    """precision -> (simulator, x, state after three steps, output after as many more)."""
    found = {}
    for precision in ("float32", "int8"):
        simulator, x = Simulator(network(), precision), np.array([[3, 0, 2], [1, 3, 0]])
        before = simulator.run(x)
        found[precision] = simulator, x, before, simulator.run(x, state=before.state).output
    return found


def changed(state, change):
    """A copy of a state, changed."""
    copied = state.samples(0, None)
    change(copied)
    return copied


@pytest.mark.parametrize("precision", ("float32", "int8"))
@pytest.mark.parametrize("case", CONTENT)
def test_numbers_that_no_run_leaves_are_refused(resumed, precision, case):
    (simulator, x, before, output), (change, said) = resumed[precision], CONTENT[case]
    with pytest.raises(DataError, match=f"^{said}[^\n]*$"):
        simulator.run(x, state=changed(before.state, change))
    assert np.array_equal(simulator.run(x, state=before.state).output, output)


@pytest.mark.parametrize("case", FORM)
def test_arrays_of_another_form_are_refused(resumed, case):
    simulator, x, before, _ = resumed["float32"]
    with pytest.raises(DataError, match="^state (does not fit layer|is of)[^\n]*$"):
        simulator.run(x, state=changed(before.state, FORM[case]))


def test_integers_behind_the_channels_are_refused(resumed):
    """The highest integer reaches the threshold that stands for no neuron."""
    simulator, x, before, _ = resumed["int8"]
    for kind in ("membranes", "filtered", "pending"):
        state = changed(before.state, lambda s: getattr(s, kind)["n"].__setitem__((..., -1), (1 << 31) - 1))
        with pytest.raises(DataError, match=f"^state.{kind} of 'n' has numbers behind its 3 channels"):
            simulator.run(x, state=state)


def test_a_current_beyond_its_width_is_refused():
    chip = Chip("narrow", current_bits=12, current_overflow="saturate")
    simulator, x = Simulator(network(), chip=chip), np.array([[3, 0, 2]])
    state = simulator.run(x).state
    state.filtered["n"][..., 0] = 2048
    with pytest.raises(DataError,
                       match="^state.filtered of 'n' has numbers from .* to 2048, beyond -2048 to 2047"):
        simulator.run(x, state=state)


def test_a_real_history_is_finite():
    simulator, x = Simulator(network("real")), np.array([[0.5, 1.0, -1.0]])
    state = simulator.run(x).state
    state.history["in"][0, 0, 0, 0] = np.inf
    with pytest.raises(DataError, match="^state.history of 'in' has a value that is not finite"):
        simulator.run(x, state=state)


def test_arrays_in_any_order_resume_alike(resumed):
    simulator, x, before, output = resumed["float32"]
    state = changed(before.state, lambda s: s.membranes.update(n=np.asfortranarray(s.membranes["n"])))
    state.step = float(state.step)
    state.history["n"].setflags(write=False)
    assert np.array_equal(simulator.run(x, state=state).output, output)


def test_infinite_membranes_resume(resumed):
    """They are what an overflow leaves; each channel sends the levels of its own bits."""
    simulator, x, before, _ = resumed["float32"]
    state = changed(before.state, lambda s: [a["n"].fill(np.inf) for a in (s.membranes, s.filtered)])
    state.pending["n"][:] = 0
    found = simulator.run(x, timesteps=1, state=state)
    assert found.levels("n")[:, 0].tolist() == [[1, 3, 7]] * 2


def test_a_current_that_one_turn_leaves_outside_its_width_goes_on():
    """More than 192 in 7 bits, which one turn of 128 leaves above 64."""
    nodes = {"in": Input(1), "dense": Dense([[120.0]], bias=[80.0]), "out": Readout("mean", current_leak=0.5)}
    model = Model(nodes, [("in", "dense"), ("dense", "out")], timesteps=3)
    chip = Chip("narrow", sum_bits=8, sum_overflow="wrap", current_bits=7, current_overflow="wrap_once")
    simulator, x = Simulator(model, chip=chip), np.ones((1, 3, 1), int)
    expected = simulator.run(x, record="currents")
    first = simulator.run(x[:, :1], record="currents")
    assert first.currents("out").max() > 64
    second = simulator.run(x[:, 1:], state=first.state, record="currents")
    np.testing.assert_array_equal(
        np.concatenate((first.currents("out"), second.currents("out")), axis=1), expected.currents("out"))


# ---- states of other networks


def one_layer(weight=1.0, bins=None, **neuron):
    """Two inputs and two neurons."""
    nodes = {"in": Input((2, 1, 1), events=bins), "w": eventsim.Conv2d(np.full((2, 2, 1, 1), weight)),
             "n": Neuron(**{"v_threshold": 2.0, "leak": 0.5, **neuron})}
    return Model(nodes, [("in", "w"), ("w", "n")], 3)


LEVELS = np.array([[[1, 0], [1, 1], [0, 1]]]).reshape(1, 3, 2, 1, 1)
OTHERS = {
    "a weight": one_layer(1.25), "a threshold": one_layer(v_threshold=2.5), "a leak": one_layer(leak=0.75),
    "a reset": one_layer(reset="hard"), "a comparison": one_layer(comparison=">"), "a bias": one_layer(bias=0.125),
}


@pytest.mark.parametrize("precision", ("float32", "int8"))
@pytest.mark.parametrize("case", OTHERS)
def test_a_state_of_another_network_is_refused(precision, case):
    state = Simulator(one_layer(), precision).run(LEVELS).state
    other = Simulator(OTHERS[case], precision)
    with pytest.raises(DataError, match="^state is of another network[^\n]*precision '[^\n]*$"):
        other.run(LEVELS, state=state)
    with pytest.raises(RunError, match="cannot be merged; merge parts of the same model"):
        merge([Simulator(one_layer(), precision).run(LEVELS), other.run(LEVELS)])


def test_a_state_of_other_arithmetic_is_refused():
    state = Simulator(one_layer(), "int8").run(LEVELS).state
    with pytest.raises(DataError, match="^state is of another network"):
        Simulator(one_layer(), chip=Chip("mine")).run(LEVELS, state=state)


@pytest.mark.parametrize("precision", ("float32", "float64", "int8"))
def test_a_state_of_the_same_network_is_taken(precision, tmp_path):
    """Loaded again, by another simulator, from a pickle, and where models differ in what no step computes."""
    simulator = Simulator(one_layer(), precision)
    state = simulator.run(LEVELS).state
    expected = simulator.run(LEVELS, state=state).levels("n")
    eventsim.save(simulator.model, tmp_path / "model.h5")
    again = eventsim.load(tmp_path / "model.h5")
    again.timesteps, again.class_names = 7, ("a", "b")
    binned = one_layer(bins=EventBins(5.0, sensor_size=(1, 1)))
    for other in (Simulator(again, precision, 2, chunk=1), Simulator(binned, precision),
                  pickle.loads(pickle.dumps(simulator))):
        for given in (state, pickle.loads(pickle.dumps(state)), state.samples(0, 1)):
            np.testing.assert_array_equal(other.run(LEVELS, state=given).levels("n"), expected)
    parts = [Simulator(model, precision).run(LEVELS) for model in (simulator.model, again)]
    assert len(merge(parts).output) == 2


def test_a_state_of_an_earlier_eventsim_is_taken():
    """Its pickle says neither what was computed nor up to which step int32 is proved to hold."""
    simulator = Simulator(one_layer())
    state = simulator.run(LEVELS).state
    kept = {name: value for name, value in state.__getstate__().items() if name not in ("fingerprint", "proved")}
    earlier = type(state).__new__(type(state))
    earlier.__setstate__(kept)
    for other in (simulator, Simulator(one_layer(1.25))):
        assert other.run(LEVELS, state=earlier).timesteps == 3


def test_a_stream_does_not_go_on_from_another_network():
    bins = EventBins(1000.0, sensor_size=(1, 1))
    events = np.zeros(8, [("t", "<i8"), ("x", "<i4"), ("y", "<i4"), ("p", "i1")])
    events["t"] = np.arange(8) * 1000
    stream = Simulator(one_layer(bins=bins)).stream([events[:2]], "2ms")
    assert len(list(stream)) == 1
    options = dict(window="2ms", state=stream.state)
    assert len(list(Simulator(one_layer(bins=bins)).stream([events[2:]], **options))) == 3
    with pytest.raises(DataError, match="state is of another network"):
        next(Simulator(one_layer(1.25, bins)).stream([events[2:]], **options))
