"""The trainer's Neuron, Restimulation and tdBN: each option fires, learns, is exported and runs equal."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from trainer_networks import IMAGE, bars, normalise, one_thread, prove  # noqa: E402, F401
from trainer.network import Readout, SpikingNet  # noqa: E402
from trainer.neurons import (  # noqa: E402
    NEURONS, SRIF, SURROGATES, Neuron, Restimulation, TdBatchNorm2d, fixed_point, rectify, unrectify,
)

OPTIONS = {
    **NEURONS,
    "IF of threshold 1": {"v_threshold": 1.0, "reset": "hard", "v_reset": -0.25},
    "2 integer bits": fixed_point(2, 0),
    "1 integer bit, 2 fractional, MPR": {**fixed_point(1, 2), "mpr": True},
    "4 fractional bits, hard reset, leak": {**fixed_point(0, 4), "reset": "hard", "leak": 0.75},
    "2 bits that round down": {"bits": 2, "quantum": 0.5, "v_threshold": 0.5},
    **{f"{name}, MPR": {"surrogate": name, "width": 1.0, "mpr": True, "bits": 2} for name in SURROGATES},
}


def test_fixed_point_is_m_integer_and_n_fractional_bits():
    layer = Neuron(**fixed_point(2, 1))
    current = torch.tensor([[0.2, 0.25, 1.3, 3.4, 9.0]])
    assert layer(current).tolist() == [[0, 0.5, 1.5, 3.5, 3.5]]


def spikes(layer, inputs):
    return layer(torch.tensor(inputs, dtype=torch.float64)[:, None])[:, 0].tolist()


def test_hard_reset_keeps_four_spikes_of_figure_2():
    inputs = [0.75, 0.6, 0.75, 0.45, 0.7]
    assert sum(spikes(Neuron(), inputs)) == 3
    assert sum(spikes(Neuron(reset="hard"), inputs)) == 4


def test_leak_and_reset_potential():
    assert spikes(Neuron(leak=0.5), [0.4, 0.31, 0.0]) == [0, 1, 0]
    assert spikes(Neuron(leak=0.5), [0.4, 0.29, 0.0]) == [0, 0, 0]
    assert spikes(Neuron(reset="hard", v_reset=-0.5), [0.6, 0.9, 0.2]) == [1, 0, 1]


def naive(layer, current):
    """Neuron, by autograd: phi in front of a staircase that has the surrogate for a derivative."""
    u = torch.zeros_like(current[0])
    values = []
    for x in current:
        h = layer.leak * u + x
        level = layer.levels(h)
        slope = layer.slope(h.detach())
        value = level * layer.quantum + slope * (h - h.detach())
        if layer.reset == "soft":
            u = h - value
        elif layer.bits == 1:
            fired = level + slope / layer.quantum * (h - h.detach())
            u = h * (1 - fired) + layer.v_reset * fired
        else:
            u = torch.where(level > 0, torch.full_like(h, layer.v_reset), h)
        values.append(value)
    return torch.stack(values)


@pytest.mark.parametrize("name", OPTIONS)
def test_backward_is_what_autograd_gives(name):
    layer = Neuron(**OPTIONS[name])
    given = torch.randn(5, 300, dtype=torch.float64) * layer.v_threshold * 2
    weight = torch.randn(5, 300, dtype=torch.float64)
    gradients = []
    for run in (layer, lambda x: naive(layer, x)):
        current = given.clone().requires_grad_()
        values = run(current)
        (values * weight).sum().backward()
        gradients.append(current.grad)
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-12, atol=1e-12)
    assert values.any()


@pytest.mark.parametrize("mpr", [False, True])
@pytest.mark.parametrize("bits, quantum", [(1, 1.0), (2, 0.5), (3, 0.25)])
def test_neuron_is_srif_made_fast(bits, quantum, mpr):
    given = torch.randn(6, 2000, dtype=torch.float64) * 3 * quantum
    results = []
    for layer in (SRIF(bits, quantum, mpr), Neuron(bits, quantum, mpr)):
        current = given.clone().requires_grad_()
        values = layer(current)
        (values * torch.linspace(-1, 1, 2000)).sum().backward()
        results.append((values.detach(), current.grad))
    assert torch.equal(results[0][0], results[1][0])
    torch.testing.assert_close(results[0][1], results[1][1], rtol=1e-9, atol=1e-12)


def test_unrectify_is_the_inverse_of_the_rectifier():
    u = torch.linspace(-5, 6, 111, dtype=torch.float64)
    back = [unrectify(p) for p in rectify(u).tolist()]
    np.testing.assert_allclose(back, u, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", SURROGATES)
@pytest.mark.parametrize("width", [0.5, 2.0])
def test_surrogates_are_1_at_a_threshold_and_have_their_area(name, width):
    layer = Neuron(surrogate=name, width=width)
    u = torch.linspace(-400, 400, 800_001, dtype=torch.float64)
    slope = layer.slope(u)
    assert layer.slope(torch.tensor(0.5)) == 1 and slope.max() <= 1
    assert slope.sum().item() * 1e-3 == pytest.approx(width, rel=5e-3)


@pytest.mark.parametrize("settings, message", [
    ({"bits": 0}, "at least 1 bit"), ({"leak": 1.5}, "leak from 0 to 1"), ({"reset": "none"}, "'soft' or 'hard'"),
    ({"surrogate": "step"}, "one of rectangle"), ({"mpr": True, "v_threshold": 1.0}, "MPR expects quantum / 2"),
])
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Neuron(**settings)


def test_half_precision_ends_at_membranes_gains_and_the_readout():
    values = Neuron()(torch.full((2, 3), 0.7, dtype=torch.bfloat16))
    assert values.dtype == torch.float32
    assert Readout()(torch.ones(2, 3, dtype=torch.bfloat16)).dtype == torch.float32
    layer = Restimulation(3)
    spikes = (torch.rand(4, 5, 6, 6) < 0.4).float()
    with torch.autocast("cpu", torch.bfloat16):
        current = layer(spikes)
    assert torch.equal(current, layer(spikes))


# ---- tdBN and re-stimulation


def test_tdbn_is_its_equation():
    layer = TdBatchNorm2d(3, alpha=0.7, v_threshold=0.5)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([0.5, 1.0, 2.0]))
        layer.bias.copy_(torch.tensor([0.1, 0.2, 0.3]))
    x = torch.randn(12, 3, 4, 4)
    mean = x.mean((0, 2, 3), keepdim=True)
    variance = ((x - mean) ** 2).mean((0, 2, 3), keepdim=True)
    weight, bias = (p.view(1, 3, 1, 1) for p in (layer.weight, layer.bias))
    expected = weight * 0.35 * (x - mean) / torch.sqrt(variance + layer.eps) + bias
    torch.testing.assert_close(layer(x), expected)
    assert layer.num_batches_tracked == 1
    layer.eval()
    before = layer.running_mean.clone()
    layer(x)
    assert torch.equal(layer.running_mean, before)


def test_gains_of_restimulation_are_rounded_and_learn():
    layer = Restimulation(3)
    spikes = (torch.rand(4, 5, 6, 6) < 0.4).float()
    current = layer(spikes)
    at = spikes.bool()
    gains = current[at] / spikes[at]
    assert torch.equal(gains * 256, (gains * 256).round())
    assert 0 < gains.min() and gains.max() < 1
    means = spikes.mean((2, 3))
    padded = functional.pad(means, (1, 1))
    z = sum(layer.kernel[j] * padded[:, j : j + 5] for j in range(3))
    expected = torch.sigmoid(z)[:, :, None, None] * spikes
    assert (current - expected).abs().max() <= 1 / 512 + 1e-6
    current.sum().backward()
    assert (layer.kernel.grad != 0).all()


# ---- each option learns, is exported and runs equal


def small_net(settings, timesteps=3):
    threshold = Neuron(**settings).v_threshold
    return SpikingNet(
        {
            "conv1": nn.Conv2d(2, 6, 3, padding=1, bias=False),
            "norm1": TdBatchNorm2d(6, 2.0, threshold),
            "neuron1": Neuron(**settings),
            "again2": Restimulation(3, (6, 8, 2)),
            "conv2": nn.Conv2d(6, 8, 3, stride=2, padding=1, bias=False),
            "norm2": TdBatchNorm2d(8, 2.0, threshold),
            "neuron2": Neuron(**settings),
            "again3": Restimulation(),
            "conv3": nn.Conv2d(8, 8, 3, padding=1, bias=False),
            "norm3": nn.BatchNorm2d(8),
            "neuron3": Neuron(**settings),
            "average": nn.AvgPool2d(4),
            "flatten": nn.Flatten(),
            "dense": nn.Linear(8, 2),
            "readout": Readout(),
        },
        timesteps,
        {
            "conv2": ("neuron1",), "neuron2": ("norm2", "again2"), "again3": ("neuron2",),
            "conv3": ("neuron2",), "neuron3": ("norm3", "again3", "neuron2"),
        },
    )


@pytest.mark.parametrize("name", OPTIONS)
def test_every_option_learns_is_exported_and_runs_equal(name, tmp_path):
    x, y = bars(48)
    values, labels = normalise(x, IMAGE).float(), torch.from_numpy(y)
    net = small_net(OPTIONS[name])
    optimizer = torch.optim.SGD(net.parameters(), 0.1, momentum=0.9)
    losses = []
    for _ in range(12):
        loss = functional.cross_entropy(net(values), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    dead = [n for n, p in net.named_parameters() if p.grad is None or not p.grad.any()]
    assert not dead and all(torch.isfinite(p.grad).all() for p in net.parameters())
    assert min(losses) < 0.8 * losses[0]
    model, result = prove(net.eval(), tmp_path / "net.h5", x[:6])
    node = model.nodes["layers.neuron1"]
    assert (node.reset, node.rectify) == (Neuron(**OPTIONS[name]).reset, Neuron(**OPTIONS[name]).mpr)
    assert result.levels["layers.neuron1"].max() > (node.bits > 1), "multi-bit spikes send more than one level"
    assert {e.source for e in model.incoming("layers.neuron3")} == {
        "layers.norm3", "layers.again3", "layers.neuron2"}


def both_ways(layer, current, grad, monkeypatch):
    """(spikes, gradient) of one layer by the compiled loops, then by PyTorch."""
    found = []
    for compiled in (True, False):
        if not compiled:
            monkeypatch.setattr(Neuron, "compiled", lambda self, x: False)
        x = current.clone(memory_format=torch.preserve_format).requires_grad_()
        values = layer(x)
        values.backward(grad)
        found.append((values.detach(), x.grad))
    monkeypatch.undo()
    return found


@pytest.mark.parametrize("name", [n for n, o in OPTIONS.items() if o.get("surrogate", "rectangle") == "rectangle"])
@pytest.mark.parametrize("layout", ("contiguous", "channels last", "gradient in another order", "one image"))
def test_compiled_loops_give_the_same_spikes_and_gradients(name, layout, monkeypatch):
    layer = Neuron(**OPTIONS[name])
    current = torch.randn(3, 4, 6, 5, 5) * 3 * layer.quantum * layer.max_level
    grad = torch.randn(3, 4, 6, 5, 5)
    if layout == "channels last":
        current = current.flatten(0, 1).to(memory_format=torch.channels_last).unflatten(0, (3, 4))
    elif layout == "gradient in another order":
        grad = grad.transpose(2, 4).contiguous().transpose(2, 4)
    elif layout == "one image":
        current = current[:1].expand(3, -1, -1, -1, -1)
    assert layer.compiled(torch.empty_like(current))
    (spikes_, slopes), (expected, expected_slopes) = both_ways(layer, current, grad, monkeypatch)
    assert spikes_.any() and expected_slopes.any()
    assert torch.equal(spikes_, expected)
    torch.testing.assert_close(slopes, expected_slopes, rtol=2e-6, atol=2e-6)


def test_compiled_loops_leave_the_rest_to_pytorch():
    def compiled(x=None, **settings):
        return Neuron(**settings).compiled(torch.zeros(2, 3, 4) if x is None else x)

    assert compiled()
    assert not compiled(torch.zeros(2, 3, 4, dtype=torch.float64))
    assert not compiled(torch.zeros(2, 3, 8)[..., ::2]) and not compiled(torch.zeros(3, 2, 4).transpose(0, 1))
    assert not compiled(surrogate="arctan")
    assert not compiled(mpr=True, width=4.0)  # phi reaches so far out where its polynomial ends
    far = Neuron(mpr=True, width=2.2)
    u = torch.linspace(-4, 5, 2001)
    x = u[None].clone().requires_grad_()
    far(x).sum().backward()
    torch.testing.assert_close(x.grad[0], far.slope(u), rtol=2e-6, atol=2e-6)
