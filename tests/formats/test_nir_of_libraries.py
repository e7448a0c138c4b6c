"""NIR files as the libraries themselves write them: what each kind of their neurons computes by its defaults is
what the library's preset computes, and what a file cannot tell is said."""

import warnings

import numpy as np
import pytest
from nir_files import chain, lif, Reference, DEFAULT, write

import eventsim
from eventsim import Neuron, Simulator

N_STEPS, N_NEURONS = 30, 6


def load(path, **options):
    """The Model of a file, and what was said while it was read."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = eventsim.load(path, **options)
    return model, [str(warning.message) for warning in caught]


def steps_in(rate=0.5):
    return (np.random.default_rng(0).random((3, N_STEPS, 12)) < rate).astype(int)


def synapses(torch, factor=2.0):
    torch.manual_seed(0)
    layer = torch.nn.Linear(12, N_NEURONS)
    layer.weight.data *= factor
    return layer


def check(path, theirs, **options):
    """The file of a network of one layer gives what the network gave, (N, T, neurons)."""
    model, _ = load(path, **options)
    ran = Simulator(model, "float64").run(steps_in(), record=("spikes", "outputs"))
    if isinstance(model.nodes[model.output], Neuron):
        assert theirs.any() and np.array_equal(ran.levels(model.output), theirs)
    else:
        np.testing.assert_allclose(ran.outputs, theirs, atol=1e-4)


# ---- sinabs


@pytest.mark.parametrize("kind", ("IAF", "LIF", "ExpLeak"))
@pytest.mark.parametrize("given", ("its default", True, False), ids=str)
def test_sinabss_layers(tmp_path, kind, given):
    nir, torch, layers = map(pytest.importorskip, ("nir", "torch", "sinabs.layers"))
    norm = {} if given == "its default" or kind == "IAF" else {"norm_input": given}
    leaky = {} if kind == "IAF" else {"tau_mem": torch.full((N_NEURONS,), 8.0), **norm}
    threshold = {} if kind == "ExpLeak" else {"spike_threshold": torch.full((N_NEURONS,), 0.5)}
    made = getattr(layers, f"{kind}Squeeze")(num_timesteps=N_STEPS, **leaky, **threshold)
    net, x = torch.nn.Sequential(synapses(torch), made), torch.from_numpy(steps_in()).float()
    with torch.no_grad():
        theirs = net(x.flatten(0, 1)).unflatten(0, x.shape[:2]).numpy()
    from sinabs.nir import to_nir

    nir.write(tmp_path / "net.nir", to_nir(net, x[0]), compression=None)
    options = {"integration": "exponential" if given else "impulse"} if norm else {}
    check(tmp_path / "net.nir", theirs, preset="sinabs", readout="last", **options)


def test_an_li_of_sinabs_adds_its_input_as_it_is(tmp_path):
    path = write(tmp_path / "net.nir", *chain((1,), lif(1, tau=20.0), lif(1, "LI", tau=20.0)))
    model, messages = load(path, preset="sinabs", readout="last")
    assert model.nodes["n0"].input_gain == pytest.approx(-np.expm1(-0.05), rel=1e-12)
    assert model.nodes["n1"].input_gain == 1 and model.nodes["n1"].leak == pytest.approx(np.exp(-0.05), rel=1e-12)
    assert "norm_input: assumed integration exponential, impulse for LI" in messages[0] and len(messages) == 2
    assert model.provenance["assumed integration"] == "exponential, impulse for LI (preset sinabs)"
    for given in ("exponential", {"n1": "exponential"}):
        model, messages = load(path, preset="sinabs", readout="last", integration=given)
        assert model.nodes["n1"].input_gain == pytest.approx(-np.expm1(-0.05), rel=1e-12)
        assert len(messages) == (1 if given == "exponential" else 2)
    assert load(path, preset="sinabs", integration="exponential")[0].provenance["assumed integration"] == \
        "exponential (given)"


# ---- norse


def norse_cells(torch, norse, **potentials):
    fields = {name: torch.full((N_NEURONS,), value) for name, value in potentials.items()}
    v_th = {"v_th": torch.full((N_NEURONS,), 0.3)}
    taus, leak = {"tau_mem_inv": torch.full((N_NEURONS,), 300.0)}, {"v_leak": torch.zeros(N_NEURONS)}
    return {
        "LIFCell": lambda: norse.LIFCell(norse.LIFParameters(
            tau_syn_inv=torch.full((N_NEURONS,), 400.0), **taus, **leak, **v_th, **fields)),
        "LIFBoxCell": lambda: norse.LIFBoxCell(norse.LIFBoxParameters(**taus, **leak, **v_th, **fields)),
        "IAFCell": lambda: norse.IAFCell(norse.IAFParameters(**v_th, **fields)),
        "LIBoxCell": lambda: norse.LIBoxCell(norse.LIBoxParameters(**taus, **leak)),
    }


@pytest.mark.parametrize("v_reset", (0.0, -0.5))
@pytest.mark.parametrize("kind", ("LIFCell", "LIFBoxCell", "IAFCell", "LIBoxCell"))
def test_norses_cells(tmp_path, kind, v_reset):
    """norse loses v_reset: as its remedy says, it is written into the file."""
    nir, torch, norse = map(pytest.importorskip, ("nir", "torch", "norse.torch"))
    net = norse.SequentialState(synapses(torch), norse_cells(torch, norse, v_reset=torch.tensor(v_reset))[kind]())
    x, state, theirs = torch.from_numpy(steps_in()).float(), None, []
    with torch.no_grad():
        for step in range(N_STEPS):
            y, state = net(x[:, step], state)
            theirs.append(y.numpy())
    graph = norse.to_nir(net, x[:1, 0])
    for node in graph.nodes.values():
        for name, value in list(vars(node).items()):
            if isinstance(value, torch.Tensor):
                setattr(node, name, value.numpy())
        if hasattr(node, "v_reset"):
            node.v_reset = np.full(N_NEURONS, v_reset)
    nir.write(tmp_path / "net.nir", graph, compression=None)
    options = dict(preset="norse", dt=1e-6, cuba_input="x", readout="last")
    check(tmp_path / "net.nir", np.stack(theirs, 1), **options)


@pytest.mark.parametrize("kind", ("IF", "LIF", "CubaLIF"))
def test_a_v_reset_that_a_file_does_not_say_is_shown(tmp_path, kind):
    def provenance(v_reset, **options):
        path = write(tmp_path / "net.nir", *chain((2,), lif(2, kind, v_reset=v_reset)))
        return load(path, **options)[0].provenance.get("assumed v_reset")

    assert provenance(None, preset="norse") == provenance(np.zeros(2), preset="norse")
    assert "0 of n0 (norse's files do not say it: where it is not 0, write" in provenance(None, preset="norse")
    assert provenance(np.array([0, -1.0]), preset="norse") is None
    assert provenance(None) == "0 of n0 (not in the file)" and provenance(np.zeros(2)) is None
    assert provenance(None, preset="norse", reset="zero") is None and provenance(None, preset="snntorch") is None


def test_an_if_of_norse_starts_at_its_v_reset(tmp_path):
    network = chain((2,), lif(2, "IF", v_reset=np.array([0.75, -0.5])))
    path = write(tmp_path / "net.nir", *network)
    x = steps_in()[..., :2]
    for options, start in (({}, "reset"), ({"start": "zero"}, "zero"), ({"start": {"n0": "zero"}}, "zero")):
        model, _ = load(path, preset="norse", **options)
        for levels, sample in zip(Simulator(model, "float64").run(x).levels("n0"), x):
            expected = Reference(*network, **{**DEFAULT, "if_input": "x", "start": start}).run(sample)["n0"]
            assert np.array_equal(levels, expected) and expected.any()


# ---- snnTorch


@pytest.mark.parametrize("kind", ("Leaky", "Synaptic", "RLeaky", "RSynaptic"))
def test_snntorchs_neurons(tmp_path, kind):
    nir, torch, snntorch = map(pytest.importorskip, ("nir", "torch", "snntorch"))
    pytest.importorskip("nirtorch")
    from snntorch.export_nir import export_to_nir

    decay = {"beta": torch.full((N_NEURONS,), 0.9)}
    if "Synaptic" in kind:
        decay["alpha"] = torch.full((N_NEURONS,), 0.7)
    more = {"linear_features": N_NEURONS} if kind.startswith("R") else {}
    neurons = getattr(snntorch, kind)(**decay, **more, threshold=torch.full((N_NEURONS,), 1.0), init_hidden=True)
    net = torch.nn.Sequential(synapses(torch), neurons)
    x, theirs = torch.from_numpy(steps_in()).float(), []
    with torch.no_grad():
        for step in range(N_STEPS):
            theirs.append(net(x[:, step]).numpy())
        neurons.reset_mem()
        graph = export_to_nir(net, x[:1, 0], ignore_dims=[0])
    nir.write(tmp_path / "net.nir", graph, compression=None)
    check(tmp_path / "net.nir", np.stack(theirs, 1), preset="snntorch")


# ---- SpikingJelly


@pytest.mark.parametrize("v_reset", (0.0, -0.25))
@pytest.mark.parametrize("kind", ("IFNode", "LIFNode", "LIFNode, undivided", "ParametricLIFNode", "CUBALIFNode"))
def test_spikingjellys_nodes(tmp_path, kind, v_reset):
    torch = pytest.importorskip("torch")
    pytest.importorskip("nirtorch")
    exchange = pytest.importorskip("spikingjelly.activation_based.nir_exchange")
    from spikingjelly.activation_based import functional, neuron

    name, _, undivided = kind.partition(", ")
    settings = {"decay_input": False} if undivided else {}
    net = torch.nn.Sequential(synapses(torch), getattr(neuron, name)(
        v_threshold=0.25, v_reset=v_reset, **settings))
    x, theirs = torch.from_numpy(steps_in()).float(), []
    with torch.no_grad():
        for step in range(N_STEPS):
            theirs.append(net(x[:, step]).numpy())
        functional.reset_net(net)
        exchange.export_to_nir(net, x[:1, 0], save_path=tmp_path / "net.nir")
    check(tmp_path / "net.nir", np.stack(theirs, 1), preset="spikingjelly")
