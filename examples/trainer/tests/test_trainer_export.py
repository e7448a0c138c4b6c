"""export.py on networks that are not the trainer's: nn.Sequential, SpikingJelly, snnTorch."""

import ast
import sys
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

import eventsim  # noqa: E402
from eventsim.model.input import Input  # noqa: E402
from eventsim.engine.simulator import Simulator  # noqa: E402
from trainer_networks import IMAGE, bars, one_thread, prove, settle  # noqa: E402, F401
from trainer import export as export_module  # noqa: E402
from trainer.export import export, fold, normalise, to_model  # noqa: E402
from trainer.network import Readout, SpikingNet  # noqa: E402
from trainer.neurons import Neuron  # noqa: E402


class Steps(nn.Module):
    """Runs a stateful Sequential step by step and adds up what comes out."""

    def __init__(self, net, timesteps, reset):
        super().__init__()
        self.net, self.timesteps, self.reset = net, timesteps, reset

    def forward(self, x):
        self.reset(self.net)
        return sum(self.net(x) for _ in range(self.timesteps)) / self.timesteps


def test_the_file_stands_alone():
    tree = ast.parse(Path(export_module.__file__).read_text())
    found = {(node.module if isinstance(node, ast.ImportFrom) else node.names[0].name).split(".")[0]
             for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom))}
    assert found - set(sys.stdlib_module_names) == {"numpy", "torch", "eventsim"}


def calibrated(make_neuron, n_in=2):
    """A plain Sequential, nested, with each kind of layer that can be exported."""
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(n_in, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6), make_neuron()),
        nn.MaxPool2d(2), nn.Dropout(0.5),
        nn.Sequential(nn.Conv2d(6, 8, 3, padding=1, groups=2), nn.BatchNorm2d(8, affine=False), make_neuron()),
        nn.AdaptiveAvgPool2d(2), nn.Identity(), nn.Flatten(), nn.Linear(32, 12), make_neuron(),
        nn.Linear(12, 4),
    )


def test_sequential_of_the_trainer_s_neurons(tmp_path):
    x, _ = bars(6)

    class Stepwise(nn.Module):
        """A neuron of the trainer that keeps its membrane, only to settle the statistics."""

        def __init__(self):
            super().__init__()
            self.neuron = Neuron(bits=2, quantum=0.5)

        def forward(self, current):
            return self.neuron(current[None])[0]

        def eventsim_node(self):
            return self.neuron.eventsim_node()

    net = settle(calibrated(Stepwise), normalise(x, IMAGE).float())
    model, _ = prove(net, tmp_path / "net.h5", x, timesteps=3)
    assert model.nodes["flatten6"].kind == "Flatten" and model.nodes["sequential0_0"].kind == "Conv2d"
    assert model.nodes["adaptiveavgpool2d4"].kernel_size == (2, 2)
    assert model.nodes["readout"].reduce == "mean"


SPIKINGJELLY = {
    "IF": ("IFNode", {}), "soft IF": ("IFNode", {"v_reset": None, "v_threshold": 0.8}),
    "LIF": ("LIFNode", {"tau": 1.6, "v_threshold": 0.4}),
    "LIF without decay_input, soft": ("LIFNode", {"tau": 3.0, "decay_input": False, "v_reset": None}),
    "PLIF": ("ParametricLIFNode", {"init_tau": 1.7, "v_threshold": 0.4}),
}


@pytest.mark.parametrize("name", SPIKINGJELLY)
def test_spikingjelly(name, tmp_path):
    sj = pytest.importorskip("spikingjelly.activation_based")
    from spikingjelly.activation_based import functional, layer, neuron

    assert sj
    kind, settings = SPIKINGJELLY[name]
    x, _ = bars(6)
    values = normalise(x, IMAGE).float()
    net = nn.Sequential(
        layer.Conv2d(2, 6, 3, padding=1, bias=False), layer.BatchNorm2d(6), getattr(neuron, kind)(**settings),
        layer.MaxPool2d(2), layer.Dropout(0.5), layer.Flatten(), layer.Linear(96, 10),
        getattr(neuron, kind)(**settings), layer.Linear(10, 3),
    )
    steps = settle(Steps(net, 4, functional.reset_net), values)
    functional.reset_net(net)
    _, result = prove(net, tmp_path / "net.h5", x, timesteps=4)
    found = steps.double()(normalise(x, IMAGE))
    np.testing.assert_allclose(found.detach().numpy(), result.outputs, rtol=0, atol=1e-5)
    # and where SpikingJelly itself steps through time
    functional.reset_net(net)
    functional.set_step_mode(net, "m")
    repeated = normalise(x, IMAGE).expand(4, *values.shape)
    np.testing.assert_allclose(net(repeated).mean(0).detach().numpy(), result.outputs, rtol=0, atol=1e-5)
    functional.reset_net(net)
    prove(net, tmp_path / "multi.h5", x, timesteps=4)


SNNTORCH = {
    "subtract": ("Leaky", {"beta": 0.8, "threshold": 0.6}),
    "zero": ("Leaky", {"beta": 0.8, "threshold": 0.6, "reset_mechanism": "zero"}),
    "zero at once": ("Leaky", {"beta": 0.9, "reset_mechanism": "zero", "reset_delay": False}),
    "learned": ("Leaky", {"beta": 0.5, "learn_beta": True, "learn_threshold": True}),
    "Synaptic": ("Synaptic", {"alpha": 0.5, "beta": 0.75}),
}


@pytest.mark.parametrize("name", SNNTORCH)
def test_snntorch(name, tmp_path):
    snn = pytest.importorskip("snntorch")
    from snntorch import utils

    kind, settings = SNNTORCH[name]
    x, _ = bars(6)
    net = nn.Sequential(
        nn.Conv2d(2, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6),
        getattr(snn, kind)(init_hidden=True, **settings), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(96, 10),
        getattr(snn, kind)(init_hidden=True, **settings), nn.Linear(10, 3),
    )
    steps = settle(Steps(net, 5, utils.reset), normalise(x, IMAGE).float())
    utils.reset(net)
    _, result = prove(net, tmp_path / "net.h5", x, timesteps=5)
    found = steps(normalise(x, IMAGE).float())  # snnTorch's spikes are always float32
    np.testing.assert_allclose(found.detach().numpy(), result.outputs, rtol=0, atol=1e-5)


@pytest.mark.filterwarnings("ignore:Inhibition is an unstable feature")
@pytest.mark.parametrize("layer, settings, message", [
    ("Leaky", {"beta": 0.9}, "init_hidden=False"),
    ("Leaky", {"beta": 0.9, "init_hidden": True, "reset_delay": False}, "reset_delay=False by subtraction"),
    ("Leaky", {"beta": 0.9, "init_hidden": True, "reset_mechanism": "none"}, "reset_mechanism='none'"),
    ("Leaky", {"beta": 0.9, "init_hidden": True, "inhibition": True}, "inhibition=True"),
    ("Synaptic", {"alpha": 0.5, "beta": 0.9, "init_hidden": True, "reset_mechanism": "zero"}, "reset to zero"),
    ("Alpha", {"alpha": 0.9, "beta": 0.8, "init_hidden": True}, "layer '.*1': no eventsim node for Alpha"),
])
def test_what_snntorch_has_and_eventsim_has_not(layer, settings, message):
    snn = pytest.importorskip("snntorch")
    with pytest.raises(TypeError, match=message):
        to_model(fold(nn.Sequential(nn.Linear(2, 2), getattr(snn, layer)(**settings))), Input((2,), "real"), 2)


def test_a_reset_potential_where_membranes_start_is_refused():
    pytest.importorskip("spikingjelly")
    from spikingjelly.activation_based import neuron

    with pytest.raises(TypeError, match="v_reset is 0.5"):
        fold(nn.Sequential(nn.Linear(2, 2), neuron.IFNode(v_reset=0.5)))


def test_a_layer_that_is_used_twice_runs_twice(tmp_path):
    x, _ = bars(6)
    conv, pool, end = nn.Conv2d(2, 2, 3, padding=1), nn.MaxPool2d(2), nn.Linear(8, 2)
    with torch.no_grad():
        conv.bias += 0.2
    models = []
    for again, pool_again in ((conv, pool), (deepcopy(conv), deepcopy(pool))):
        net = nn.Sequential(conv, Neuron(), pool, again, Neuron(), pool_again, nn.Flatten(), end)
        models.append(prove(net, tmp_path / "net.h5", x, timesteps=3)[0])
    twice, apart = models
    assert list(twice.nodes) == list(apart.nodes) and len(twice.nodes) == 10
    assert np.array_equal(*(Simulator(model, "float64").run(x).output for model in models))


SHARED = Neuron()


@pytest.mark.parametrize("net, message", [
    (nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.Tanh())), "layer 'sequential1_0': no eventsim node for Tanh"),
    (nn.Linear(2, 2), "Linear says no order"),
    (nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 2)), "layer 'batchnorm1d0': BatchNorm after the input"),
    (nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2, track_running_stats=False)), "expected running statistics"),
    (nn.Sequential(nn.Linear(2, 2), Neuron(), nn.Flatten(2), nn.Linear(2, 2)), "no eventsim node for Flatten"),
    (SpikingNet({"a": nn.Linear(2, 2), "b": nn.BatchNorm1d(2), "n": Neuron(), "r": Readout()}, 2,
                {"n": ("b", "a")}), "'a', which other layers read as well"),
    (SpikingNet({"a": nn.Linear(2, 2), "d": nn.Dropout(), "b": nn.BatchNorm1d(2), "n": Neuron(), "r": Readout()}, 2,
                {"n": ("b", "a")}), "'b': BatchNorm after 'a', which other layers read as well"),
    (nn.Sequential(nn.Linear(2, 2), SHARED, nn.Linear(2, 2), SHARED, nn.Linear(2, 2)),
     "layer 'neuron3': is layer 'neuron1' again, whose membranes it would share"),
    (nn.Sequential(nn.Dropout()), "Sequential has no layers to export"),
])
def test_what_cannot_be_exported_is_named(net, message):
    with pytest.raises(TypeError, match=message):
        to_model(fold(net), Input((2,), "real"), 2)


@pytest.mark.parametrize("layer, message", [
    (nn.Conv2d(2, 2, 3, padding="same"), "padding with zeros, given as numbers"),
    (nn.Conv2d(2, 2, 3, padding=1, padding_mode="reflect"), "padding with zeros"),
    (nn.AdaptiveAvgPool2d(3), "unequal windows"), (nn.MaxPool2d(2, dilation=2), "pool without dilation"),
])
def test_layers_with_settings_that_cannot_be_exported(layer, message):
    net = nn.Sequential(layer, nn.Flatten(), nn.LazyLinear(2))
    net(torch.zeros(1, 2, 8, 8))
    with pytest.raises(TypeError, match=f"layer '{type(layer).__name__.lower()}0'.*{message}"):
        to_model(fold(net), IMAGE, 2)


def test_events_that_move_and_a_model_that_ends_in_neurons(tmp_path):
    rng = np.random.default_rng(0)
    x = (rng.random((6, 5, 2, 8, 8)) < 0.2).astype(np.uint8)
    net = SpikingNet(
        {"conv": nn.Conv2d(2, 4, 3), "neuron": Neuron(bits=2, quantum=0.5), "flatten": nn.Flatten(),
         "dense": nn.Linear(144, 3), "last": Neuron(bits=2, quantum=0.125)}, 5, moving=True)
    input_node = Input((2, 8, 8), "spikes")
    model, result = prove(net, tmp_path / "net.h5", x, input_node)
    assert model.output == "last" and model.timesteps == 5
    with torch.no_grad():
        values = net(torch.from_numpy(x).float())  # (T, N, 3)
    np.testing.assert_allclose(values.sum(0).numpy() / 0.125, result.outputs)


def test_sums_of_trains_become_an_add(tmp_path):
    x, _ = bars(6)
    net = SpikingNet(
        {"conv1": nn.Conv2d(2, 4, 3, padding=1), "n1": Neuron(), "conv2": nn.Conv2d(4, 4, 3, padding=1),
         "n2": Neuron(), "conv3": nn.Conv2d(4, 4, 3), "n3": Neuron(), "flatten": nn.Flatten(),
         "dense": nn.Linear(144, 2), "readout": Readout()}, 3, {"conv3": ("n2", "n1")})
    model, _ = prove(net, tmp_path / "net.h5", x)
    assert model.nodes["conv3_sum"].kind == "Add"


def test_names_that_are_taken_get_others(tmp_path):
    x, _ = bars(4)
    net = nn.Sequential()
    net.add_module("input", nn.Flatten())
    net.add_module("a", nn.Sequential(nn.Linear(128, 8)))
    net.add_module("a_0", Neuron())
    net.add_module("readout", nn.Linear(8, 2))
    model, _ = prove(net, tmp_path / "net.h5", x, timesteps=2)
    assert list(model.nodes) == ["input", "input_", "a_0", "a_0_", "readout", "readout_"]


def test_check_samples_on_a_threshold_are_refused(tmp_path):
    net = nn.Sequential(nn.Linear(2, 2, bias=False), Neuron(), nn.Linear(2, 2))
    with torch.no_grad():
        net[0].weight.fill_(0.5)
    with pytest.raises(ValueError, match="choose other samples"):
        export(net, tmp_path / "net.h5", Input((2,), "spikes"), np.eye(2, dtype=np.uint8), 2)
    with pytest.raises(TypeError, match="timesteps are not given"):
        export(net, tmp_path / "net.h5", Input((2,), "spikes"), np.eye(2, dtype=np.uint8))


def test_saved_file_says_what_it_was_told(tmp_path):
    x, _ = bars(4)
    net = nn.Sequential(nn.Flatten(), nn.Linear(128, 8), Neuron(), nn.Linear(8, 2))
    export(net, tmp_path / "net.h5", IMAGE, x, 3, ["-", "|"], {"script": "a test"})
    model = eventsim.load(tmp_path / "net.h5")
    assert model.class_names == ("-", "|") and model.provenance == {"script": "a test"}
    assert model.nodes["input"].mean.tolist() == [0.45, 0.5] and model.timesteps == 3
    assert Simulator(model, "float32").run(x).output.shape == (4, 2)
