"""NIR files that say too little or something else than it seems: norse's LIFCells, where membranes start, Scales
behind Delays, biases that are zero, and delays of no step in loops."""

import warnings

import numpy as np
import pytest
from nir_files import chain, conv, DEFAULT, lif, PRESETS, Reference, write

import eventsim
from eventsim import Dense, Delay, FormatError, Input, Model, Neuron, Readout, Simulator

POOL = {"type": "SumPool2d", "kernel_size": 2, "stride": 2, "padding": 0}


def dense(*shape, factor=1.0, seed=0):
    return {"type": "Linear", "weight": np.random.default_rng(seed).normal(0, factor, shape)}


def load(tmp_path, network, name="net.nir", **options):
    """The Model of a file, and what was said while it was read."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = eventsim.load(write(tmp_path / name, *network), **options)
    return model, [str(warning.message) for warning in caught]


def levels_of(model, name, x):
    return Simulator(model, "float64").run(x).levels(name)


def inputs(*shape, top=4, seed=0):
    return np.random.default_rng(seed).integers(0, top, shape)


# ---- norse's LIFCell: a CubaLIF with w_in = 1, whose input is not divided


def cells(kind="CubaLIF", **members):
    full = {"v_threshold": np.full(6, 0.3), **members}
    return chain((4,), dense(6, 4), lif(6, kind, **full), out=(6,))


def test_a_lifcell_of_norse_is_said_to_be_lost(tmp_path):
    for members in ({}, {"w_in": np.ones(6)}):
        _, [message] = load(tmp_path, cells(**members), preset="norse")
        assert "a LIFCell adds its input to the current undivided" in message and "--cuba-input x" in message
        assert "v_reset" in message and not message.endswith("...")
    for way in ("w_in", "x"):
        model, messages = load(tmp_path, cells(), preset="norse", cuba_input=way)
        assert not messages and model.provenance["assumed cuba_input"] == f"{way} (given)"
    assert not load(tmp_path, cells(), preset="norse", cuba_input={"n1": "x"})[1]


def test_other_neurons_under_preset_norse_are_read_in_silence(tmp_path):
    assert not load(tmp_path, cells("LIF"), preset="norse")[1]
    assert not load(tmp_path, cells("IF"), preset="norse")[1]
    model, messages = load(tmp_path, cells(w_in=np.full(6, 4.0)), preset="norse")
    assert not messages and "assumed cuba_input" not in model.provenance
    assert "cuba_input" not in " ".join(load(tmp_path, cells(w_in=np.full(6, 4.0)))[1])
    assert "cuba_input w_in" in load(tmp_path, cells())[1][0]


@pytest.mark.parametrize("integration", ("euler", "exponential"))
@pytest.mark.parametrize("way", ("w_in", "x"))
def test_what_a_current_adds(tmp_path, way, integration):
    network = cells(w_in=np.linspace(0.5, 2, 6))
    options = dict(cuba_input=way, integration=integration)
    model, _ = load(tmp_path, network, input_bits=2, **options)
    x = inputs(3, 40, 4)
    for levels, sample in zip(levels_of(model, "n1", x), x):
        expected = Reference(*network, **{**DEFAULT, **options}).run(sample)["n1"]
        assert np.array_equal(levels, expected) and expected.any()


def test_norse_computes_the_same_of_its_own_cells(tmp_path):
    """norse 1.1 writes dt * tau, and is read with the square of its dt."""
    nir, norse, torch = map(pytest.importorskip, ("nir", "norse.torch", "torch"))
    torch.manual_seed(0)
    cell = norse.LIFCell(norse.LIFParameters(v_th=torch.tensor(0.3)))
    net = norse.SequentialState(torch.nn.Linear(20, 30), cell)
    nir.write(tmp_path / "net.nir", norse.to_nir(net, torch.zeros(20)), compression=None)
    x, state, theirs = inputs(2, 60, 20), None, []
    with torch.no_grad():
        for k in range(60):
            y, state = net(torch.tensor(x[:, k], dtype=torch.float32), state)
            theirs.append(y.numpy())
    model = eventsim.load(tmp_path / "net.nir", preset="norse", dt=1e-6, cuba_input="x")
    assert np.array_equal(levels_of(model, "1", x), np.stack(theirs, 1)) and np.any(theirs)


# ---- membranes start where the file says, whatever a spike does to them


@pytest.mark.parametrize("reset", ("hard", "zero", "soft", "none"))
@pytest.mark.parametrize("kind", ("IF", "LIF", "CubaLIF"))
def test_membranes_start_at_v_reset(tmp_path, kind, reset):
    network = chain((3,), lif(3, kind, v_reset=np.array([0.75, -0.5, 0.0])))
    options = dict(start="reset", reset=reset)
    if reset != "none":
        model, _ = load(tmp_path, network, input_bits=2, **options)
        x = inputs(3, 30, 3)
        for levels, sample in zip(levels_of(model, "n0", x), x):
            expected = Reference(*network, **{**DEFAULT, **options}).run(sample)["n0"]
            assert np.array_equal(levels, expected) and expected.any()
    potentials = []
    for start in ("reset", "zero"):
        model, _ = load(tmp_path, network, start=start, reset=reset, integration="euler")
        neuron = model.nodes["n0"]
        potentials.append(np.broadcast_to(neuron.v_threshold, 3))
    assert np.array_equal(potentials[1] - potentials[0], [0.75, -0.5, 0.0])


# ---- a bias has the shape of its channels, also where it is zero


@pytest.mark.parametrize("node, shape", [
    ({"type": "Affine", "weight": np.ones((2, 3)), "bias": np.zeros(3)}, (3,)),
    ({"type": "Affine", "weight": np.ones((2, 3)), "bias": np.zeros((2, 1))}, (3,)),
    (conv(np.ones((2, 1, 2, 2)), np.zeros(9)), (1, 3, 3)),
    (conv(np.ones((2, 1, 2)), np.zeros(())), (1, 3)),
], ids=("Affine", "two axes", "Conv2d", "Conv1d"))
def test_a_zero_bias_of_a_wrong_shape_is_refused(tmp_path, node, shape):
    with pytest.raises(FormatError, match=rf"node 'n0' \({node['type']}\): bias has shape .*, expected \(2,\)"):
        load(tmp_path, chain(shape, node, lif(1, "IF")))


def test_a_zero_bias_is_none(tmp_path):
    node = {"type": "Affine", "weight": np.ones((2, 3)), "bias": np.zeros(2)}
    assert load(tmp_path, chain((3,), node, lif(2, "IF"), out=(2,)))[0].nodes["n0"].bias is None


# ---- a Scale belongs to the neurons that send the spikes, whatever lies between


BETWEEN = {
    "a delay": [{"type": "Delay", "delay": 1e-3}],
    "another scale": [{"type": "Scale", "scale": 0.5}],
    "delays per neuron": [{"type": "Delay", "delay": 1e-3 * np.arange(32).reshape(2, 4, 4)}],
    "a pool": [{**POOL, "kernel_size": 1, "stride": 1}],
    "a mean": [{**POOL, "type": "AvgPool2d", "kernel_size": 1, "stride": 1}],
    "all": [{"type": "Delay", "delay": 1e-3}, {"type": "Scale", "scale": np.array([0.5, 4.0]).reshape(2, 1, 1)},
            {"type": "Delay", "delay": 1e-3 * np.arange(32).reshape(2, 4, 4)}],
}


@pytest.mark.parametrize("between", BETWEEN)
@pytest.mark.parametrize("scale", (2.0, np.array([2.0, 0.25]).reshape(2, 1, 1)), ids=("one", "channels"))
def test_scales_behind_other_nodes_before_a_sum(tmp_path, between, scale):
    network = chain((2, 4, 4), lif((2, 4, 4), "IF", v_threshold=np.full((2, 4, 4), 2.0)), *BETWEEN[between],
                    {"type": "Scale", "scale": scale}, POOL,
                    lif((2, 2, 2), "IF", v_threshold=np.full((2, 2, 2), 3.0)), out=(2, 2, 2))
    last = f"n{len(network[0]) - 3}"
    model, _ = load(tmp_path, network, input_bits=2)
    x = inputs(2, 40, 2, 4, 4)
    for levels, sample in zip(levels_of(model, last, x), x):
        expected = Reference(*network, **DEFAULT).run(sample)[last]
        assert np.array_equal(levels, expected) and expected.any()


# ---- loops with delays of no step: these take one, the others what the file says


def loop(delays, *on_the_way, bias=0):
    """A layer of IFs that reads itself through delays; bias: the recurrent_bias, for 0 of synapses with one."""
    others = {f"m{i}": node for i, node in enumerate(on_the_way)}
    nodes = {"input": {"type": "Input", "shape": np.array([4])}, "w": dense(4, 4, factor=0.3),
             "n": lif(4, "IF"), "d": {"type": "Delay", "delay": np.array(delays) * 1e-3}, **others,
             "r": {**dense(4, 4, seed=3), "type": "Affine", "bias": np.full(4, 0.05 if bias == 0 else 0.0)},
             "output": {"type": "Output", "shape": np.array([4])}}
    way = ["n", "d", *others, "r", "n"]
    return nodes, [("input", "w"), ("w", "n"), ("n", "output"), *zip(way, way[1:])]


def output_of(tmp_path, network, **options):
    model, messages = load(tmp_path, network, **options)
    x = inputs(3, 60, 4, seed=1)
    return levels_of(model, "n", x), [text for text in messages if "delays of no step" in text]


@pytest.mark.parametrize("bias", (0, 1))
@pytest.mark.parametrize("on_the_way", ([], [{"type": "Scale", "scale": -2.0}]), ids=("plain", "scaled"))
def test_neurons_of_a_loop_without_delay_take_one_step(tmp_path, bias, on_the_way):
    given, said = output_of(tmp_path, loop([0, 2, 1, 0], *on_the_way, bias=bias), recurrent_bias=bias)
    meant, late = (output_of(tmp_path, loop(delays, *on_the_way, bias=bias), recurrent_bias=bias)[0]
                   for delays in ([1, 2, 1, 1], [1, 3, 2, 1]))
    assert np.array_equal(given, meant) and not np.array_equal(given, late) and not said


def test_a_delay_that_another_path_reads_is_said(tmp_path):
    nodes, edges = loop([0, 2, 1, 0])
    nodes.update(again=lif(4, "IF"), last={"type": "Linear", "weight": np.eye(4)})
    edges = [edge for edge in edges if edge != ("n", "output")]
    network = nodes, [*edges, ("d", "last"), ("last", "again"), ("again", "output")]
    _, [message] = output_of(tmp_path, network)
    assert "in d: all of them take a step more there" in message and not message.endswith("...")


def test_two_delays_in_a_loop(tmp_path):
    """Where both have neurons of no step, none can be known to be the loop's."""
    second = {"type": "Delay", "delay": np.array([2, 0, 0, 1]) * 1e-3}
    assert len(output_of(tmp_path, loop([0, 2, 1, 0], second))[1]) == 1
    even = {"type": "Delay", "delay": np.full(4, 1e-3)}
    given, said = output_of(tmp_path, loop([0, 2, 1, 0], even))
    assert np.array_equal(given, output_of(tmp_path, loop([1, 3, 2, 1]))[0]) and not said


def test_delays_outside_of_loops_are_as_they_are(tmp_path):
    network = chain((3,), lif(3, "IF"), {"type": "Delay", "delay": np.array([0, 2, 5]) * 1e-3}, lif(3, "IF"))
    model, messages = load(tmp_path, network)
    assert model.nodes["n1"].steps.tolist() == [0, 2, 5] and not any("delays of no step" in m for m in messages)


@pytest.mark.parametrize("steps", ([0, 1, 0, 3], [1, 3, 2, 1], [0, 0, 0, 0]), ids=str)
@pytest.mark.parametrize("delays", ((1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 2, 0), (1, 1, 0)), ids=str)
def test_written_loops_keep_their_delays(tmp_path, steps, delays):
    hard = dict(reset="hard", comparison=">")
    nodes = {"in": Input((4,), bits=2), "w": Dense(np.random.default_rng(0).normal(0, 0.3, (4, 4))),
             "n": Neuron(**hard), "d": Delay(steps), "r": Dense(-3 * np.eye(4)[::-1], np.full(4, 0.05)),
             "out": Readout("sum")}
    way = ["n", "d", "r", "n"]
    edges = [("in", "w"), ("w", "n"), ("n", "out"),
             *((a, b, delay) for a, b, delay in zip(way, way[1:], delays))]
    model = Model(nodes, edges, 40)
    eventsim.save(model, tmp_path / "net.nir")
    again = eventsim.load(tmp_path / "net.nir")
    x = inputs(2, 40, 4)
    assert np.array_equal(*(levels_of(m, "n", x) for m in (model, again))) and levels_of(model, "n", x).any()


def test_presets_of_the_reference_are_those_of_the_reader():
    from eventsim.formats.nir.presets import PRESETS as OURS

    for preset, options in PRESETS.items():
        assert all(OURS[preset][name] == value for name, value in options.items())
