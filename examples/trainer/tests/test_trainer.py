"""The example trainer: neurons, training, folding, export. Needs PyTorch (extra [train])."""

import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "examples"))

from torch import nn  # noqa: E402

import reference  # noqa: E402
import eventsim  # noqa: E402
from trainer_networks import one_thread  # noqa: E402, F401
from eventsim.errors import UnsupportedError  # noqa: E402
from eventsim.model.input import Input  # noqa: E402
from eventsim.engine.simulator import Simulator  # noqa: E402
from trainer.network import Readout, SpikingNet  # noqa: E402
from trainer.neurons import SRIF, rectify, rectify_levels  # noqa: E402
from trainer.simulating import simulate  # noqa: E402
from trainer.training import to_values, train  # noqa: E402

T = 3


def small_net():
    return SpikingNet(
        {
            "conv1": nn.Conv2d(1, 4, 3, padding=1),
            "norm1": nn.BatchNorm2d(4),
            "neuron1": SRIF(bits=2, quantum=0.5),
            "pool1": nn.AvgPool2d(2),
            "conv2": nn.Conv2d(4, 6, 3, stride=2, bias=False),
            "norm2": nn.BatchNorm2d(6),
            "neuron2": SRIF(),
            "flatten": nn.Flatten(),
            "dense3": nn.Linear(6, 8, bias=False),
            "norm3": nn.BatchNorm1d(8),
            "neuron3": SRIF(bits=3, quantum=0.25, mpr=False),
            "dense4": nn.Linear(8, 2),
            "readout": Readout(),
        },
        T,
    )


def bars(n):
    """Noisy images (n, 1, 8, 8) of 5 bits with a horizontal (0) or vertical (1) bar, and labels."""
    rng = np.random.default_rng(1)
    x, y = rng.integers(0, 6, (n, 1, 8, 8)).astype(np.uint8), np.arange(n) % 2
    for image, vertical, at in zip(x[:, 0], y, rng.integers(1, 7, n)):
        (image.T if vertical else image)[at] = 16
    return x, y


def levels_of(values, layer):
    return (values / layer.quantum).round().to(torch.int64)


def run_neuron(layer, inputs):
    """The levels that one neuron sends. inputs: a number per step."""
    current = torch.tensor(inputs, dtype=torch.float64)[:, None]
    return levels_of(layer(current), layer)[:, 0].tolist()


# ---- neurons


@pytest.mark.parametrize("mpr", [False, True])
def test_srif_keeps_the_paper_s_three_spikes(mpr):
    # InfLoR-SNN, Figure 2: inputs of 1.5, 1.2, 1.5, 0.9 and 1.4 thresholds of 0.5
    assert sum(run_neuron(SRIF(mpr=mpr), [0.75, 0.6, 0.75, 0.45, 0.7])) == 3


@pytest.mark.parametrize("mpr", [False, True])
def test_multi_bit_levels_round_half_up_and_saturate(mpr):
    layer = SRIF(bits=2, quantum=0.5, mpr=mpr)
    for current, level in ((-3, 0), (0.24, 0), (0.25, 1), (0.75, 2), (1.24, 2), (1.25, 3), (9, 3)):
        assert run_neuron(layer, [current]) == [level]
    # 9 sends 3 levels = 1.5 and keeps the rest; 0.2 stays below the first threshold for one step
    assert run_neuron(layer, [9, -7.3, 0.1]) == [3, 0, 1]


def test_membrane_is_what_came_in_less_what_went_out():
    torch.manual_seed(0)
    layer = SRIF(bits=2, quantum=0.25)
    current = torch.randn(20, 50, dtype=torch.float64)
    h = torch.zeros(50, dtype=torch.float64)
    for x, value in zip(current, layer(current)):
        h = h + x
        expected = torch.floor(h / 0.25 + 0.5).clamp(0, 3) * 0.25
        assert torch.equal(value, expected)
        h = h - expected


def test_rectifier_is_equation_9():
    u = torch.tensor([-7.0, 0.0, 0.5, 1.0, 8.0], dtype=torch.float64)
    assert torch.allclose(rectify(u), torch.tensor([-1.0, 0.0, 0.5, 1.0, 2.0]).double())
    u = torch.linspace(-4, 5, 2001, dtype=torch.float64)
    assert torch.all(rectify(u).diff() > 0)
    assert torch.equal(rectify(u) >= 0.5, u >= 0.5), "firing invariance"
    spike = (u >= 0.5).double()
    assert torch.all((rectify(u) - spike).abs() <= (u - spike).abs() + 1e-12), "spike approaching"


def test_rectifier_around_levels_keeps_every_level():
    u = torch.linspace(-4, 12, 4001, dtype=torch.float64)
    rectified = rectify_levels(u, 7)
    assert torch.all(rectified.diff() >= 0)
    level = torch.floor(u + 0.5).clamp(0, 7)
    assert torch.equal(torch.floor(rectified + 0.5).clamp(0, 7), level)
    assert torch.equal(rectify_levels(u, 1), rectify(u))


@pytest.mark.parametrize("mpr", [False, True])
def test_surrogate_gradient(mpr):
    # one step, one neuron each: far below, inside, far above
    current = torch.tensor([[-40.0, 0.5, 1.6, 60.0]], dtype=torch.float64, requires_grad=True)
    SRIF(bits=2, mpr=mpr)(current).sum().backward()
    gradient = current.grad[0]
    assert gradient[0] == 0 and gradient[3] == 0
    if mpr:  # phi'(1/2) = 3 / (2 tanh(3/2)): steepest at a threshold
        assert gradient[1].item() == pytest.approx(1.5 / np.tanh(1.5))
        assert 0 < gradient[2] < gradient[1]
    else:
        assert gradient[1] == 1 and gradient[2] == 1


@pytest.mark.parametrize("mpr", [False, True])
@pytest.mark.parametrize("bits, quantum", [(1, 1.0), (2, 1.0), (2, 0.5), (4, 0.125)])
def test_gradients_flow_through_each_neuron_and_step(bits, quantum, mpr):
    torch.manual_seed(0)
    current = (torch.randn(4, 200) * quantum).requires_grad_()
    layer = SRIF(bits, quantum, mpr)
    layer(current)[-1].sum().backward()
    assert torch.isfinite(current.grad).all()
    assert (current.grad != 0).any(1).all(), "the last spike depends on the input of every step"


# ---- training


def test_loss_falls_and_every_parameter_learns():
    x, y = bars(64)
    net = small_net()
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    values = torch.from_numpy(x).float() / 16
    losses = train(net, values, torch.from_numpy(y), epochs=15, batch_size=16, lr=1e-2)
    assert losses[-1] < losses[0] / 2
    same = [name for name, p in net.named_parameters() if torch.equal(p, before[name])]
    # a bias in front of a BatchNorm has no gradient: the mean takes it away
    assert set(same) <= {"layers.conv1.bias"}


# ---- export

IMAGE = Input((1, 8, 8), "image", bits=5, scale=1 / 16, mean=0.25, std=0.5)


@pytest.fixture
def trained():
    x, y = bars(48)
    net = small_net()
    train(net, to_values(x, IMAGE), torch.from_numpy(y), epochs=3, batch_size=16)
    return net, x


def export(net, x):
    return eventsim.from_torch(net, x, IMAGE, class_names=["-", "|"], provenance={"script": "test"})


def test_model_in_pytorch_equals_the_network(trained):
    net, x = trained
    model = export(net, x[:5])
    values = to_values(x, IMAGE, dtype=torch.float64)
    with torch.no_grad():
        expected = net.double()(values).numpy()
    result = simulate(model, values)
    np.testing.assert_allclose(result.outputs, expected, rtol=0, atol=1e-12)
    assert result.margin > 1e-9
    for name, levels in result.levels.items():
        assert levels.shape[:2] == (len(x), T)
        assert 0 <= levels.min() and levels.max() <= net.get_submodule(name).max_level
        assert levels.any(), f"{name} is dead, the test proves nothing"


def test_weights_are_kept_as_they_are_in_half_the_space(trained, tmp_path):
    net, x = trained
    model = export(net, x[:5])
    eventsim.save(model, tmp_path / "net.h5")
    again = eventsim.load(tmp_path / "net.h5")
    for name, layer in net.named_modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            weight = layer.weight.detach().double().numpy()
            assert np.array_equal(model.nodes[name].weight, weight)
            assert np.array_equal(again.nodes[name].weight, weight)
    wide = SpikingNet({"dense": nn.Linear(200, 200, bias=False), "neuron": SRIF()}, T)
    model = eventsim.from_torch(wide, np.eye(200)[:2], Input((200,), "spikes"))
    eventsim.save(model, tmp_path / "wide.h5")
    size = (tmp_path / "wide.h5").stat().st_size
    assert size < 4 * 200 * 200 + 60_000, "a weight takes more than 4 bytes"


def test_exported_model(trained):
    net, x = trained
    model = export(net, x[:5])
    names = [f"layers.{name}" for name in net.layers]
    names[names.index("layers.flatten")], names[-1] = "layers.neuron2.flatten", "readout"
    assert list(model.nodes) == ["input", *names]
    assert (model.output, model.timesteps, model.class_names) == ("readout", T, ("-", "|"))
    assert model.provenance["script"] == "test"
    neuron = model.nodes["layers.neuron1"]
    assert (neuron.v_threshold, neuron.quantum, neuron.bits, neuron.leak) == (0.25, 0.5, 2, 1)
    assert neuron.rectify and not model.nodes["layers.neuron3"].rectify
    counts = model.check.level_counts
    assert {name: c.shape for name, c in counts.items()} == {
        "layers.neuron1": (5, T, 4), "layers.neuron2": (5, T, 2), "layers.neuron3": (5, T, 8)
    }
    for name, c in counts.items():
        assert (c.sum(-1) == np.prod(model.shapes[name])).all()
    assert model.check.outputs.shape == (5, 2) and model.check.outputs.dtype == np.float64


def run_reference(model, x):
    result = reference.simulate(model, x, "float64")
    return result.output, result.levels


def run_engine(model, x):
    neurons = list(model.check.level_counts)
    recording = Simulator(model, "float64").run(x, record=[f"spikes:{name}" for name in neurons])
    return recording.output, {name: recording.levels(name) for name in neurons}


@pytest.mark.parametrize("run", [run_reference, run_engine])
def test_exported_model_runs_as_the_network(trained, run):
    net, x = trained
    x = x[:12]
    model = export(net, x)
    outputs, levels = run(model, x)
    for name, expected in simulate(model, to_values(x, IMAGE, dtype=torch.float64)).levels.items():
        found = levels[name].reshape(expected.shape)
        np.testing.assert_array_equal(found, expected, err_msg=name)
    np.testing.assert_allclose(outputs, model.check.outputs, rtol=0, atol=1e-9)


def test_export_names_what_it_does_not_know():
    net = SpikingNet({"unknown": nn.Sigmoid(), "readout": Readout()}, T)
    with pytest.raises(UnsupportedError, match="module 'layers.unknown'.*'sigmoid'.*has no equal"):
        eventsim.from_torch(net, np.ones((1, 2)), Input((2,), "real"))


def test_a_norm_that_follows_no_synapses_is_kept():
    net = SpikingNet({"flatten": nn.Flatten(), "norm": nn.BatchNorm1d(2), "neuron": SRIF(), "readout": Readout()},
                     T)
    net.layers["norm"].running_mean.copy_(torch.tensor([0.1, -0.2]))
    x = np.array([[0.7, 0.2], [0.4, 1.5]])
    model = eventsim.from_torch(net, x, Input((2,), "real"))
    with torch.no_grad():
        expected = net.double().eval()(torch.from_numpy(x)).numpy()
    assert expected.any() and np.array_equal(Simulator(model, "float64").run(x).output, expected)
