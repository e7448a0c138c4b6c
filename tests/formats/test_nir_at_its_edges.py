"""NIR files where a reader that is almost right would read another network: by hand, and step by step in NumPy."""

import numpy as np
import pytest
from nir_files import chain, conv, lif, write

import eventsim
from eventsim import (
    Dense, EventsimWarning, FormatError, Input, Model, Neuron, Readout, Simulator, UnsupportedError,
)

X = np.random.default_rng(0).integers(0, 4, (2, 20, 3))
FEW = dict(dt=1e-3, input_bits=2, timesteps=20)


def scale(values):
    return {"type": "Scale", "scale": np.asarray(values, float)}


def delay(seconds, n=3):
    return {"type": "Delay", "delay": np.full(n, seconds)}


def read(path, shape, *nodes, out=None, edges=(), **options):
    named, row = chain(shape, *nodes, out=out)
    return eventsim.load(write(path, named, [*row, *edges]), **options)


def spikes(model, name, x=X):
    return Simulator(model, "float64").run(x, record=(f"spikes:{name}",)).levels(name)


def fired(inputs, threshold=1.0):
    """Spikes of integrators that a spike brings to 0. inputs: one step after the other."""
    v, sent = np.zeros(inputs[0].shape), []
    for value in inputs:
        v = v + value
        sent.append(v > threshold)
        v = np.where(sent[-1], 0, v)
    return np.stack(sent, 1)


@pytest.mark.parametrize("start", ["leak", "reset"])
def test_scaled_membranes_start_where_the_file_says(tmp_path, start):
    r, threshold = np.full(3, 0.9), np.array([1, 1.5, 2])
    leak, reset = np.array([0.5, -0.3, 0.2]), np.array([0.25, 0.1, -0.2])
    neuron = lif(3, r=r, v_threshold=threshold, v_leak=leak, v_reset=reset)
    model = read(tmp_path / "a.nir", [3], neuron, integration="scaled_euler", start=start, reset="hard", **FEW)
    v, sent = np.zeros((2, 3)) + (leak if start == "leak" else reset), []
    for t in range(20):
        v = v + 0.5 * (leak - v + r * X[:, t])
        sent.append(v > threshold)
        v = np.where(sent[-1], reset, v)
    assert np.array_equal(spikes(model, "n0"), np.stack(sent, 1)) and np.any(sent)


def test_two_scales_behind_the_input_multiply(tmp_path):
    model = read(tmp_path / "a.nir", [3], scale([0.5] * 3), scale([0.25] * 3), lif(3, "IF"), **FEW)
    assert model.nodes["input"].scale == 0.125
    assert np.array_equal(spikes(model, "n2"), fired([X[:, t] * 0.125 for t in range(20)]))


def test_a_scale_behind_a_real_input(tmp_path):
    x = np.random.default_rng(1).normal(0.4, 1, X.shape)
    model = read(tmp_path / "a.nir", [3], scale([0.5] * 3), lif(3, "IF"), encoding="real", dt=1e-3, timesteps=20)
    assert np.array_equal(spikes(model, "n1", x), fired([x[:, t] * 0.5 for t in range(20)]))


def test_a_scale_that_cuts_a_neuron_off(tmp_path):
    factors = np.array([0, 1, 2])
    second = lif(3, "IF", v_threshold=np.full(3, 1.5))
    model = read(tmp_path / "a.nir", [3], lif(3, "IF"), scale(factors), second, **FEW)
    first = fired([X[:, t] for t in range(20)])
    assert np.array_equal(spikes(model, "n2"), fired([first[:, t] * factors for t in range(20)], 1.5))


def test_a_scale_per_neuron_of_a_flattened_map(tmp_path):
    factors, x = np.arange(1, 9) / 4, X[..., :1, None, None].repeat(8, 2).reshape(2, 20, 2, 2, 2) & 1
    x = x ^ np.random.default_rng(2).integers(0, 2, x.shape)
    flatten = {"type": "Flatten", "start_dim": 0, "end_dim": -1}
    model = read(tmp_path / "a.nir", [2, 2, 2], lif((2, 2, 2), "IF"), flatten, scale(factors), lif(8, "IF"),
                 out=[8], dt=1e-3, input_bits=1, timesteps=20)
    first = fired([x[:, t] for t in range(20)]).reshape(2, 20, 8)
    assert np.array_equal(spikes(model, "n3", x), fired([first[:, t] * factors for t in range(20)]))


def test_a_scale_per_neuron_beside_another_path_is_refused(tmp_path):
    nodes, _ = chain([1, 2, 2], conv(np.full((1, 1, 1, 1), 1.0)), conv(np.full((1, 1, 1, 1), 2.0)),
                     scale(np.arange(1, 5).reshape(1, 2, 2)), lif((1, 2, 2), "IF"))
    edges = [("input", "n0"), ("input", "n1"), ("n0", "n2"), ("n2", "n3"), ("n1", "n3"), ("n3", "output")]
    with pytest.raises(UnsupportedError, match="no neuron that reads it alone"):
        eventsim.load(write(tmp_path / "a.nir", nodes, edges))


@pytest.mark.parametrize("seconds, steps", [(2e-3, 2), (2.0000001e-3, 2), (2.003e-3, None)])
def test_a_delay_between_two_steps_is_not_rounded(tmp_path, seconds, steps):
    nodes = lif(3, "IF"), delay(seconds), {"type": "Linear", "weight": np.eye(3)}, lif(3, "IF")
    if steps is None:
        with pytest.raises(FormatError, match="2.003 steps"):
            read(tmp_path / "a.nir", [3], *nodes, **FEW)
    else:
        model = read(tmp_path / "a.nir", [3], *nodes, **FEW)
        assert [edge.delay for edge in model.edges if edge.delay] == [steps]


@pytest.mark.parametrize("r, dt", [([200.0, 300.0], "0.001"), ([200.0, 200.0], "0.005"), ([1.0, 300.0], "0.001")])
def test_a_gain_is_a_step_only_where_it_is_one_for_all(tmp_path, r, dt):
    model = read(tmp_path / "a.nir", [2], lif(2, "IF", r=np.array(r)), timesteps=5)
    assert model.provenance["assumed dt"].startswith(dt)


def test_gains_that_are_a_step_where_another_neuron_leaks(tmp_path):
    """The IF's r of 200 as it stands: then it says nothing of the step, which the LIF's leak needs."""
    linear = {"type": "Linear", "weight": np.eye(3)}
    model = read(tmp_path / "a.nir", [3], lif(3, "IF", r=np.full(3, 200.0)), linear, lif(3, tau=np.full(3, 0.1)),
                 if_input="r", timesteps=5)
    assert model.nodes["n2"].leak == pytest.approx(0.99)


def test_where_membranes_start_is_said_where_only_the_reset_is_not_0(tmp_path):
    with pytest.warns(EventsimWarning, match="--start"):
        read(tmp_path / "a.nir", [3], lif(3, "IF", v_reset=np.full(3, 0.3)), timesteps=5)


@pytest.mark.parametrize("leak", [-0.5, 0.5])
def test_a_readout_that_starts_beside_0_is_refused(tmp_path, leak):
    with pytest.raises(UnsupportedError, match="start"):
        read(tmp_path / "a.nir", [3], lif(3, "LI", v_leak=np.full(3, leak)), start="leak", **FEW)


@pytest.mark.parametrize("options, late", [({}, 1), ({"reset": "hard"}, 0), ({"reset": "zero"}, 0),
                                           ({"reset": "hard", "reset_delay": {"n0": 1}}, 1)], ids=str)
def test_a_hard_reset_of_snntorch_is_at_once_unless_said(tmp_path, options, late):
    model = read(tmp_path / "a.nir", [3], lif(3), preset="snntorch", **options, **FEW)
    assert model.nodes["n0"].reset_delay == late


def test_a_row_of_neurons_reads_recordings_as_a_row(tmp_path):
    assert read(tmp_path / "a.nir", [5], lif(5, "IF"), timesteps=5).nodes["input"].events.sensor_size == (1, 5)


def test_what_arrives_twice_of_a_map_that_is_no_square(tmp_path):
    weight = np.random.default_rng(3).normal(0, 1, (2, 1, 1, 1))
    nodes, _ = chain([1, 3, 5], conv(weight), delay(1e-3, (2, 3, 5)), lif((2, 3, 5), "IF"), out=[2, 3, 5])
    edges = [("input", "n0"), ("n0", "n1"), ("n1", "n2"), ("n0", "n2"), ("n2", "output")]
    model = eventsim.load(write(tmp_path / "a.nir", nodes, edges), **FEW)
    x = np.random.default_rng(4).integers(0, 4, (2, 20, 1, 3, 5))
    current = x * weight[:, 0][None, None]
    late = np.concatenate([0 * current[:, :1], current[:, :-1]], 1)
    assert np.array_equal(spikes(model, "n2", x), fired([current[:, t] + late[:, t] for t in range(20)]))


def test_spikes_worth_a_half_are_summed_as_such(tmp_path):
    nodes = {"in": Input((3,), bits=2), "w": Dense(np.eye(3)),
             "p": Neuron(output_quantum=0.5, reset="hard", comparison=">"), "r": Readout("sum")}
    model = Model(nodes, list(zip(nodes, list(nodes)[1:])), timesteps=20)
    eventsim.save(model, tmp_path / "a.nir")
    again = eventsim.load(tmp_path / "a.nir")
    expected = Simulator(model, "float64").run(X).output
    assert np.array_equal(Simulator(again, "float64").run(X).output, expected) and expected.any()


def test_a_version_after_the_newest_is_said(tmp_path):
    nodes, edges = chain([3], lif(3, "IF"))
    with pytest.warns(EventsimWarning, match="2.0"):
        eventsim.load(write(tmp_path / "a.nir", nodes, edges, version="2.0"), timesteps=5)
