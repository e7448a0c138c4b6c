"""Networks as people build them from modules: which are exported equal, and what the refusal of the others says.

Equality is measured on samples that the export has not seen, against the network's own spikes in float64.
"""

from copy import deepcopy

import numpy as np
import pytest

import eventsim
from eventsim.engine.simulator import Simulator
from eventsim.errors import UnsupportedError
from eventsim.model.input import Input

torch = pytest.importorskip("torch")
snntorch = pytest.importorskip("snntorch")
from snntorch import utils  # noqa: E402
from torch import nn  # noqa: E402

IMAGE = Input((2, 8, 8), "image", bits=8, scale=1 / 255, mean=(0.45, 0.5), std=(0.25, 0.3))
VECTOR = Input((2,), "real")
LEAKY = {"beta": 0.8, "init_hidden": True}


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def images(n=6):
    """uint8 (n, 2, 8, 8) with large bright parts, which make all layers fire."""
    rng = np.random.default_rng(1)
    coarse = rng.integers(0, 200, (n, 2, 4, 4)).repeat(2, 2).repeat(2, 3)
    return (coarse + rng.integers(0, 56, coarse.shape)).astype(np.uint8)


def values_of(x, input_node=IMAGE):
    """float64 tensor of what levels (N, C, ...) stand for."""
    mean, std = (v.reshape(-1, *[1] * (len(input_node.shape) - 1)) if v.ndim else v
                 for v in (input_node.mean, input_node.std))
    return torch.from_numpy((x * input_node.scale - mean) / std)


def settle(net, values, steps=2):
    """Give BatchNorm the statistics of the data, so that an untrained network fires."""
    for layer in net.modules():
        if hasattr(layer, "momentum"):
            layer.momentum = 1.0
    net.train()
    with torch.no_grad():
        for _ in range(steps):
            net(values)
    return net.eval()


def run(net, values, steps, reset, layers):
    """(summed outputs, name -> values that a layer sent, (N, T, ...)) of a network, in float64, a step a call."""
    net = deepcopy(net).double().eval()
    sent = {name: [] for name in layers}

    def keep(name):
        def hook(module, args, out):
            sent[name].append(out.double())  # snnTorch's spikes are always float32
            return sent[name][-1]

        return hook

    for name in layers:
        net.get_submodule(name).register_forward_hook(keep(name))
    reset(net)
    with torch.no_grad():
        outputs = sum(net(values) for _ in range(steps))
    return outputs.numpy(), {name: torch.stack(found, 1).numpy() for name, found in sent.items()}


def prove(net, path, x, steps, reset, layers, input_node=IMAGE):
    """Export by the first three samples, load, run all of them: every spike and output is the network's own.

    layers: path of a module -> name of its node, of the neurons. The network ends in a current.
    """
    eventsim.save(eventsim.from_torch(net, x[:3], input_node, steps), path)
    model = eventsim.load(path)
    outputs, sent = run(net, values_of(x, input_node), steps, reset, layers)
    found = Simulator(model, "float64").run(x, record=[f"spikes:{name}" for name in layers.values()])
    for name, node in layers.items():
        assert sent[name].any(), f"{name} is dead, the test proves nothing"
        np.testing.assert_array_equal(found.levels(node).reshape(sent[name].shape), sent[name], err_msg=name)
    np.testing.assert_allclose(found.output, outputs / steps, rtol=0, atol=1e-9)
    return model


# ---- networks of each library


def nested(neuron, n_in=2):
    """A Sequential of Sequentials, with each kind of layer that people use."""
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(n_in, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6), neuron()),
        nn.MaxPool2d(2), nn.Dropout(0.5),
        nn.Sequential(nn.Conv2d(6, 8, 3, padding=1, groups=2), nn.BatchNorm2d(8, affine=False), neuron()),
        nn.AdaptiveAvgPool2d(2), nn.Identity(), nn.Flatten(), nn.Linear(32, 12), neuron(), nn.Linear(12, 4),
    )


NESTED = {"0.2": "0.leaky2", "3.2": "3.leaky2", "8": "leaky8"}


def test_nested_sequentials_are_named_by_the_paths_of_their_modules(tmp_path):
    x = images()
    net = settle(nested(lambda: snntorch.Leaky(threshold=0.4, **LEAKY)), values_of(x).float())
    utils.reset(net)
    model = prove(net, tmp_path / "net.h5", x, 3, utils.reset, NESTED)
    assert [node.kind for node in model.nodes.values()] == [
        "Input", "Conv2d", "BatchNorm", "Neuron", "MaxPool", "Conv2d", "BatchNorm", "Neuron", "AvgPool", "Flatten",
        "Dense", "Neuron", "Dense", "Readout"]
    names = list(model.nodes)
    assert names[1] == "0.conv0" and names[5] == "3.conv0" and names[10] == "linear7" and names[-1] == "readout"
    assert model.nodes[names[8]].kernel_size == (2, 2) and model.nodes["readout"].reduce == "mean"
    assert np.array_equal(model.nodes["0.conv0"].weight, net[0][0].weight.detach().double().numpy())


SPIKINGJELLY = {
    "IF": ("IFNode", {}), "soft IF": ("IFNode", {"v_reset": None, "v_threshold": 0.8}),
    "LIF": ("LIFNode", {"tau": 1.6, "v_threshold": 0.4}),
    "LIF without decay_input, soft": ("LIFNode", {"tau": 3.0, "decay_input": False, "v_reset": None}),
    "LIF that resets to another potential": ("LIFNode", {"tau": 1.6, "v_threshold": 0.4, "v_reset": -0.25}),
    "PLIF": ("ParametricLIFNode", {"init_tau": 1.7, "v_threshold": 0.4}),
}


@pytest.mark.parametrize("name", SPIKINGJELLY)
def test_spikingjelly(name, tmp_path):
    pytest.importorskip("spikingjelly.activation_based")
    from spikingjelly.activation_based import functional, layer, neuron

    kind, settings = SPIKINGJELLY[name]
    x = images()
    net = nn.Sequential(
        layer.Conv2d(2, 6, 3, padding=1, bias=False), layer.BatchNorm2d(6), getattr(neuron, kind)(**settings),
        layer.MaxPool2d(2), layer.Dropout(0.5), layer.Flatten(), layer.Linear(96, 10),
        getattr(neuron, kind)(**settings), layer.Linear(10, 3),
    )
    settle(net, values_of(x).float())
    functional.reset_net(net)
    layers = {path: f"{kind.lower()}{path}" for path in "27"}
    single = prove(net, tmp_path / "net.h5", x, 4, functional.reset_net, layers)
    functional.reset_net(net)
    functional.set_step_mode(net, "m")  # and where SpikingJelly itself steps through time
    model = eventsim.from_torch(net, x[:3], IMAGE, 4)
    wanted = [f"spikes:{node}" for node in layers.values()]
    runs = [Simulator(each, "float64").run(x, record=wanted) for each in (single, model)]
    assert all(np.array_equal(*(each.levels(node) for each in runs)) for node in layers.values())
    assert np.array_equal(*(each.output for each in runs))


SNNTORCH = {
    "subtract": ("Leaky", {"beta": 0.8, "threshold": 0.6}),
    "zero": ("Leaky", {"beta": 0.8, "threshold": 0.6, "reset_mechanism": "zero"}),
    "zero at once": ("Leaky", {"beta": 0.9, "reset_mechanism": "zero", "reset_delay": False}),
    "none": ("Leaky", {"beta": 0.8, "threshold": 0.6, "reset_mechanism": "none"}),
    "learned": ("Leaky", {"beta": 0.5, "learn_beta": True, "learn_threshold": True}),
    "Synaptic": ("Synaptic", {"alpha": 0.5, "beta": 0.75}),
    "Synaptic to zero": ("Synaptic", {"alpha": 0.5, "beta": 0.75, "reset_mechanism": "zero"}),
}


@pytest.mark.parametrize("name", SNNTORCH)
def test_snntorch(name, tmp_path):
    kind, settings = SNNTORCH[name]
    x = images()
    net = nn.Sequential(
        nn.Conv2d(2, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6),
        getattr(snntorch, kind)(init_hidden=True, **settings), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(96, 10),
        getattr(snntorch, kind)(init_hidden=True, **settings), nn.Linear(10, 3),
    )
    settle(net, values_of(x).float())
    utils.reset(net)
    prove(net, tmp_path / "net.h5", x, 5, utils.reset, {path: f"{kind.lower()}{path}" for path in "26"})


def test_states_that_are_handed_on_need_no_init_hidden():
    net = nn.Sequential(nn.Linear(2, 2), snntorch.Leaky(beta=0.9))
    x = np.array([[0.9, 2.0], [1.5, -1.0]])
    model = eventsim.from_torch(net, x, VECTOR, 1)
    assert model.nodes["leaky1"].leak == np.float32(0.9)


# ---- structure


def test_layers_that_are_used_twice_run_twice(tmp_path):
    x = images()
    conv, pool, end = nn.Conv2d(2, 2, 3, padding=1), nn.MaxPool2d(2), nn.Linear(8, 2)
    with torch.no_grad():
        conv.bias += 0.2
    models = []
    for again, pool_again in ((conv, pool), (deepcopy(conv), deepcopy(pool))):
        net = nn.Sequential(conv, snntorch.Leaky(threshold=0.3, **LEAKY), pool, again,
                            snntorch.Leaky(threshold=0.3, **LEAKY), pool_again, nn.Flatten(), end)
        models.append(prove(net, tmp_path / "net.h5", x, 3, utils.reset, {"1": "leaky1", "4": "leaky4"}))
    assert len(models[0].nodes) == len(models[1].nodes) == 10
    assert [n.kind for n in models[0].nodes.values()] == [n.kind for n in models[1].nodes.values()]
    assert np.array_equal(*(Simulator(model, "float64").run(x).output for model in models))


def test_names_that_are_taken_get_others(tmp_path):
    x = images(4)
    net = nn.Sequential()
    net.add_module("a", nn.Flatten())
    net.add_module("input", nn.Linear(128, 8))
    net.add_module("neurons", snntorch.Leaky(threshold=0.2, **LEAKY))
    net.add_module("readout", nn.Linear(8, 2))
    model = prove(net, tmp_path / "net.h5", x, 2, utils.reset, {"neurons": "neurons"})
    assert list(model.nodes) == ["input", "input.flatten", "input_", "neurons", "readout", "readout_"]


def test_norms_that_follow_no_synapses_and_norms_of_what_others_read(tmp_path):
    class Branch(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.dense, self.norm = nn.BatchNorm1d(2), nn.Linear(2, 2), nn.BatchNorm1d(2)
            self.lif, self.last = snntorch.Leaky(threshold=0.3, **LEAKY), nn.Linear(2, 3)

        def forward(self, x):
            current = self.dense(self.first(x))
            return self.last(self.lif(current + self.norm(current)))

    x = np.random.default_rng(0).normal(0, 1, (6, 2))
    net = settle(Branch(), torch.from_numpy(x).float())
    utils.reset(net)
    prove(net, tmp_path / "net.h5", x, 4, utils.reset, {"lif": "lif"}, VECTOR)


@pytest.mark.parametrize("layer", [
    nn.Conv2d(2, 2, 3, padding="same"), nn.Conv2d(2, 2, 3, padding=1, padding_mode="circular"),
    nn.Conv2d(2, 2, 3, padding=1, padding_mode="reflect"), nn.AdaptiveAvgPool2d(3), nn.AdaptiveMaxPool2d((2, 4)),
    nn.MaxPool2d(3, ceil_mode=True), nn.ConvTranspose2d(2, 2, 2, stride=2),
    nn.Upsample(scale_factor=2),
], ids=lambda layer: type(layer).__name__)
def test_layers_with_unusual_settings(layer, tmp_path):
    x = images()
    net = nn.Sequential(snntorch.Leaky(threshold=0.3, **LEAKY), layer, nn.Flatten(), nn.LazyLinear(2))
    net(values_of(x).float())
    utils.reset(net)
    prove(net, tmp_path / "net.h5", x, 3, utils.reset, {"0": "leaky0"})


def test_votes_at_the_end_are_averages_of_the_vector(tmp_path):
    class Voting(nn.Module):
        """As SpikingJelly's: neighbouring outputs vote for the same class."""

        def forward(self, x):
            return nn.functional.avg_pool1d(x.unsqueeze(1), 4, 4).squeeze(1)

    x = np.random.default_rng(0).normal(0.3, 1, (6, 2))
    net = nn.Sequential(nn.Linear(2, 12), snntorch.Leaky(threshold=0.3, **LEAKY), Voting())
    model = prove(net, tmp_path / "net.h5", x, 4, utils.reset, {"1": "leaky1"}, VECTOR)
    assert model.shapes[model.output] == (3,)


def test_recurrence_by_hand_whose_first_steps_lack_spikes():
    class Late(nn.Module):
        """Reads its own spikes of two steps before, from the third step on."""

        def __init__(self):
            super().__init__()
            self.fc, self.back = nn.Linear(2, 8), nn.Linear(8, 8)
            self.lif = snntorch.Leaky(beta=0.8, threshold=0.3)

        def forward(self, x):
            mem, spikes = self.lif.init_leaky(), []
            for step in range(6):
                current = self.fc(x) + self.back(spikes[-2]) if step >= 2 else self.fc(x)
                spk, mem = self.lif(current, mem)
                spikes.append(spk)
            return torch.stack(spikes)

    net = Late()
    nn.init.zeros_(net.back.bias)
    x = np.random.default_rng(0).normal(1, 1, (4, 2))
    model = eventsim.from_torch(net, x, VECTOR)
    assert model.timesteps == 6 and {edge.delay for edge in model.edges} == {0, 2}
    assert model.check.outputs.any()


# ---- what has no equal


@pytest.mark.filterwarnings("ignore:Inhibition is an unstable feature")
@pytest.mark.parametrize("layer, settings, message", [
    ("Leaky", {"beta": 0.9, "reset_delay": False}, "Leaky '1' cannot be taken: reset_delay=False by subtraction"),
    ("Leaky", {"beta": 0.9, "inhibition": True}, "Leaky '1' cannot be taken: inhibition=True"),
    ("Leaky", {"beta": 0.9, "threshold": -0.5}, "Leaky '1' cannot be taken: threshold is -0.5"),
    ("Alpha", {"alpha": torch.tensor([0.5, 0.0]), "beta": torch.tensor([0.3, -1.0])},
     "Alpha '1' cannot be taken: alpha and beta make a tau that is not finite"),
])
def test_what_snntorch_has_and_eventsim_has_not(layer, settings, message):
    net = nn.Sequential(nn.Linear(2, 2), getattr(snntorch, layer)(init_hidden=True, **settings))
    with pytest.raises(UnsupportedError, match=message):
        eventsim.from_torch(net, np.ones((1, 2)), VECTOR, 2)


SHARED = snntorch.Leaky(**LEAKY)


@pytest.mark.parametrize("net, message", [
    (nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.Tanh())), r"module '1.0' \(Tanh\), .*: does 'tanh', which "
                                                               r"has no equal"),
    (nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2, track_running_stats=False)),
     "module '1'.*without running statistics"),
    (nn.Sequential(nn.Linear(2, 2), SHARED, nn.Linear(2, 2), SHARED, nn.Linear(2, 2)),
     "layer '1' reads 2 different sources in turn, so that several places would share its membranes"),
    (nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2)), "module '1'.*'relu'.*conversion.py"),
])
def test_what_cannot_be_exported_is_named(net, message):
    with pytest.raises(UnsupportedError, match=message) as error:
        eventsim.from_torch(net, np.ones((1, 2)), VECTOR, 2)
    assert "\n" not in str(error.value)


def test_layers_with_settings_that_cannot_be_exported():
    net = nn.Sequential(snntorch.Leaky(**LEAKY), nn.MaxPool2d(2, dilation=2), nn.Flatten(), nn.LazyLinear(2))
    net(torch.zeros(1, 2, 8, 8))
    utils.reset(net)
    with pytest.raises(UnsupportedError, match="module '1'.*dilation"):
        eventsim.from_torch(net, images(2), IMAGE, 2)


# ---- samples, steps, what the file says


def test_membranes_on_a_threshold_are_equal_too_and_steps_have_to_be_known(tmp_path):
    net = nn.Sequential(nn.Linear(2, 2, bias=False), snntorch.Leaky(beta=1.0, init_hidden=True), nn.Linear(2, 2))
    with torch.no_grad():
        net[0].weight.fill_(0.5)
    x = np.eye(2, dtype=np.uint8)
    spikes = Input((2,), "spikes")
    model = prove(net, tmp_path / "net.h5", x, 4, utils.reset, {"1": "leaky1"}, spikes)
    assert (model.nodes["leaky1"].v_threshold, model.nodes["leaky1"].comparison) == (1, ">")
    utils.reset(net)
    with pytest.raises(UnsupportedError, match="timesteps are not given"):
        eventsim.from_torch(net, x, spikes)


def test_saved_file_says_what_it_was_told(tmp_path):
    x = images(4)
    net = nn.Sequential(nn.Flatten(), nn.Linear(128, 8), snntorch.Leaky(**LEAKY), nn.Linear(8, 2))
    model = eventsim.from_torch(net, x, IMAGE, 3, ["-", "|"], provenance={"script": "a test"})
    eventsim.save(model, tmp_path / "net.h5")
    model = eventsim.load(tmp_path / "net.h5")
    assert model.class_names == ("-", "|") and model.provenance["script"] == "a test"
    assert model.provenance["exported from"].startswith("torch.nn.modules.container.Sequential")
    assert model.nodes["input"].mean.tolist() == [0.45, 0.5] and model.timesteps == 3
    assert np.array_equal(model.check.x, x) and model.check.outputs.shape == (4, 2)
    assert Simulator(model, "float32").run(x).output.shape == (4, 2)


def test_the_answer_may_be_what_the_users_own_code_makes_of_the_networks():
    class Every(nn.Module):
        """Gives what its last layer gives at each step, and something else before it."""

        def __init__(self):
            super().__init__()
            self.fc, self.last = nn.Linear(2, 8), nn.Linear(8, 3)
            self.lif = snntorch.Leaky(beta=0.8, threshold=0.3)

        def forward(self, x):
            mem, found = self.lif.init_leaky(), []
            for _ in range(4):
                spk, mem = self.lif(self.fc(x), mem)
                found.append(self.last(spk))
            return spk, torch.stack(found)

    net, x = Every(), np.random.default_rng(0).normal(1, 1, (4, 2))
    averaged, summed = (eventsim.from_torch(net, x, VECTOR, output=function) for function in (
        lambda found: found[1].mean(0), lambda found: found[1].sum(0)))
    assert (averaged.nodes[averaged.output].reduce, summed.nodes[summed.output].reduce) == ("mean", "sum")
    np.testing.assert_allclose(4 * averaged.check.outputs, summed.check.outputs, rtol=1e-12)
    with torch.no_grad():
        expected = net(torch.from_numpy(x).float())[1].mean(0).numpy()
    np.testing.assert_allclose(averaged.check.outputs, expected, rtol=0, atol=1e-5)


def test_a_rule_of_ones_own_is_proved_like_any_other():
    class Halving(nn.Module):
        """Integrate and fire at 0.3, keeping half of the membrane; all steps in one call."""

        def forward(self, current):
            membrane, spikes = torch.zeros_like(current[0]), []
            for x in current:
                membrane = 0.5 * membrane + x
                spikes.append((membrane >= 0.3).to(x.dtype))
                membrane = membrane - 0.3 * spikes[-1]
            return torch.stack(spikes)

    from eventsim.from_torch.layers import NeuronLayer

    def rule(leak):
        return lambda module, x: NeuronLayer(
            eventsim.Neuron(v_threshold=0.3, quantum=0.3, output_quantum=1.0, leak=leak), axes="TN")

    net = nn.Sequential(nn.Linear(2, 6), Halving(), nn.Linear(6, 3))
    x = np.random.default_rng(0).normal(0.3, 1, (4, 5, 2))
    with pytest.raises(UnsupportedError, match="'ge'"):
        eventsim.from_torch(net, x, VECTOR)
    eventsim.from_torch.register(Halving, rule(0.9))
    with pytest.raises(eventsim.ModelError, match="layer 'halving1' parts from the original network at step 1"):
        eventsim.from_torch(net, x, VECTOR)
    eventsim.from_torch.register(Halving, rule(0.5))
    model = eventsim.from_torch(net, x, VECTOR)
    assert model.nodes["halving1"].leak == 0.5 and model.check.level_counts["halving1"][..., 1].any()
