"""The trainer's Trainer, its checkpoints, and the conversion of ReLU networks, on tiny data."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

import eventsim  # noqa: E402
from eventsim.errors import UnsupportedError  # noqa: E402
from eventsim.from_torch.samples import values_of  # noqa: E402
from eventsim.model.input import Input  # noqa: E402
from trainer_networks import IMAGE, bars, one_thread, prove  # noqa: E402, F401
from trainer.augmentation import flip  # noqa: E402
from trainer.conversion import activations, best_limit, convert, quantise, rounded, sweep  # noqa: E402
from trainer.data import Arrays  # noqa: E402
from trainer.network import Readout, SpikingNet  # noqa: E402
from trainer.networks import Style, lenet, resnet8  # noqa: E402
from trainer.neurons import Neuron  # noqa: E402
from trainer.training import Recipe, Trainer, evaluate, memory_format, to_values  # noqa: E402

RECIPE = Recipe(epochs=3, batch_size=16, lr=0.05, seed=3)


def data(n=40):
    return Arrays(*bars(n), augment=flip)


def network():
    """A small network with dropout."""
    torch.manual_seed(1)
    net = lenet(Style({"mpr": True}, alpha=2.0), 2, (2, 8, 8), 2, widths=(4, 6), dense=(8,))
    names = list(net.layers)
    at = names.index("flatten") + 1
    layers = {**net.layers, "dropout": nn.Dropout(0.2)}
    sources = {**net.sources, "dropout": ("flatten",), "hidden1_dense": ("dropout",)}
    return SpikingNet({n: layers[n] for n in (*names[:at], "dropout", *names[at:])}, 2, sources)


def same(a, b):
    a, b = a.state_dict(), b.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_interrupted_and_resumed_is_uninterrupted(tmp_path):
    whole = network()
    losses = Trainer(whole, data(), IMAGE, RECIPE).run()
    assert len(losses) == 3
    path = tmp_path / "net.pt"
    for steps in (3, 2, None):  # in the second epoch, at the end of it, to the end
        torch.manual_seed(steps or 0)  # what happened before must not matter
        net = network()
        trainer = Trainer(net, data(), IMAGE, RECIPE, checkpoint=path)
        found = trainer.run(steps)
    assert trainer.finished and same(net, whole) and found == losses
    assert not (tmp_path / "net.pt.new").exists()
    # and resuming what is finished does nothing
    again = network()
    assert Trainer(again, data(), IMAGE, RECIPE, checkpoint=path).run() == losses
    assert same(again, whole)


# Trains in a process of its own, since memory that is overrun ends the process.
TRAIN_NARROW = """
import torch
from torch import nn
from trainer_networks import IMAGE, bars
from trainer.data import Arrays
from trainer.training import Recipe, Trainer
torch.set_num_threads(1)
torch.manual_seed(0)
for channels in (1, 4, 6, 15):
    narrow = nn.Conv2d(channels, 8, 1, 2, bias=False)
    net = nn.Sequential(nn.Conv2d(2, channels, 3, padding=1, bias=False), narrow, nn.Flatten(), nn.Linear(128, 2))
    inputs, outputs, gradients = [], [], []
    narrow.register_forward_hook(lambda _, x, y: (inputs.append(x[0]), y.register_hook(outputs.append)) and None)
    narrow.weight.register_post_accumulate_grad_hook(lambda w: gradients.append(w.grad.double()))
    Trainer(net, Arrays(*bars(64)), IMAGE, Recipe(20, 32)).run()
    for x, dy, found in zip(inputs, outputs, gradients):
        expected = torch.einsum("nohw,nihw->oi", dy.double(), x.detach()[:, :, ::2, ::2].double())
        torch.testing.assert_close(found[..., 0, 0], expected, rtol=1e-3, atol=1e-5)
    print(channels, len(gradients))
"""


def test_a_strided_convolution_of_few_channels_leaves_memory_whole():
    tests = Path(__file__).resolve().parent
    paths = os.pathsep.join(map(str, (tests, tests.parent / "examples", tests.parent)))
    ended = subprocess.run([sys.executable, "-c", TRAIN_NARROW], capture_output=True, text=True, timeout=300,
                           env={**os.environ, "PYTHONPATH": paths})
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == "1 40\n4 40\n6 40\n15 40\n"


@pytest.mark.parametrize("layer, device, expected", [
    (nn.Conv2d(15, 8, 1, 2), "cpu", torch.contiguous_format),
    (nn.Conv2d(32, 8, 1, (1, 2), groups=4), "cpu", torch.contiguous_format),
    (nn.Conv2d(15, 8, 1, 2), "cuda", torch.channels_last),
    (nn.Conv2d(16, 8, 1, 2), "cpu", torch.channels_last),
    (nn.Conv2d(4, 8, 1), "cpu", torch.channels_last),
    (nn.Conv2d(4, 8, 3, 2), "cpu", torch.channels_last),
    (nn.Conv1d(4, 8, 1, 2), "cpu", torch.channels_last),
])
def test_channels_come_last_where_onednn_stands_it(layer, device, expected):
    assert memory_format(nn.Sequential(layer), device) == expected


def test_seeds_decide(tmp_path):
    nets = []
    for seed in (3, 3, 4):
        nets.append(network())
        Trainer(nets[-1], data(), IMAGE, Recipe(1, 16, seed=seed)).run()
    assert same(nets[0], nets[1]) and not same(nets[0], nets[2])


def test_another_recipe_is_refused(tmp_path):
    Trainer(network(), data(), IMAGE, RECIPE, checkpoint=tmp_path / "a.pt").run(1)
    with pytest.raises(ValueError, match="recipe: epochs 3, but now 4; batch_size 16, but now 128; .*another"):
        Trainer(network(), data(), IMAGE, Recipe(4), checkpoint=tmp_path / "a.pt")


def test_adam_takes_steps_of_one_length(tmp_path):
    recipe = replace(RECIPE, optimizer="adam", weight_decay=0.0)
    net = network()
    before = [p.detach().clone() for p in net.parameters()]
    Trainer(net, data(), IMAGE, recipe).run(steps=1)
    moved = torch.cat([(p.detach() - b).abs().flatten() for p, b in zip(net.parameters(), before)])
    assert moved.max() <= 1.01 * RECIPE.lr and (moved > 0.9 * RECIPE.lr).float().mean() > 0.3
    one, two = network(), network()
    Trainer(one, data(), IMAGE, recipe).run()
    Trainer(two, data(), IMAGE, recipe, checkpoint=tmp_path / "a.pt").run(steps=2)
    Trainer(two, data(), IMAGE, recipe, checkpoint=tmp_path / "a.pt").run()
    assert same(one, two)
    with pytest.raises(ValueError, match="recipe: weight_decay 0.0, but now 0.0005; optimizer adam, but now"):
        Trainer(network(), data(), IMAGE, RECIPE, checkpoint=tmp_path / "a.pt")


def test_a_penalty_is_another_recipe_and_none_is_that_of_older_checkpoints(tmp_path):
    penalised = Trainer(network(), data(), IMAGE, replace(RECIPE, spike_penalty=0.5))
    plain = Trainer(network(), data(), IMAGE, RECIPE, checkpoint=tmp_path / "a.pt")
    assert plain.run(1) == penalised.run(1) == []
    assert not same(plain.net, penalised.net)
    assert "spike_penalty" not in torch.load(tmp_path / "a.pt", weights_only=True)["made_by"]["recipe"]
    with pytest.raises(ValueError, match="another recipe: spike_penalty None, but now 0.5; give the same one or"):
        Trainer(network(), data(), IMAGE, replace(RECIPE, spike_penalty=0.5), checkpoint=tmp_path / "a.pt")


@pytest.mark.parametrize("name, changed, message", [
    ("network", {"net": "hard"}, "Neuron.*reset='soft'.*but now .*reset='hard'"),
    ("samples", {"n": 32}, "40, but now 32"),
    ("augmentation", {"settings": {"augmentation": "none"}}, "paper, but now none"),
    ("initial", {"settings": {"augmentation": "paper", "initial": {"lr": 0.1}}}, "None, but now another one"),
])
def test_a_checkpoint_of_something_else_is_refused(tmp_path, name, changed, message):
    def trainer(net="soft", n=40, settings={"augmentation": "paper"}):
        made = network()
        for layer in made.modules():
            if isinstance(layer, Neuron):
                layer.reset = net
        return Trainer(made, data(n), IMAGE, RECIPE, checkpoint=tmp_path / "a.pt", settings=settings)

    trainer().run(1)
    assert trainer().step == 1
    with pytest.raises(ValueError, match=f"a.pt: was made with another {name}: .*{message}"):
        trainer(**changed)


def test_of_another_network_to_begin_with_its_settings_that_differ_are_named(tmp_path):
    def trainer(**initial):
        return Trainer(network(), data(), IMAGE, RECIPE, "cpu", tmp_path / "a.pt", settings={"initial": initial})

    trainer(lr=0.1, epochs=8, teacher={"bits": [1, 2]}).run(1)
    with pytest.raises(ValueError, match=r"initial: epochs 8, but now 9; teacher bits \[1, 2\], but now \[1, 1\]"):
        trainer(lr=0.1, epochs=9, teacher={"bits": [1, 1]})


def test_of_a_damaged_checkpoint_the_remedy_is_to_delete_it(tmp_path):
    for content in (b"cut off", 3):
        path = tmp_path / "a.pt"
        path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
        with pytest.raises(ValueError, match="a.pt: is no checkpoint.*: delete it, or move it away, and the"):
            Trainer(network(), data(), IMAGE, RECIPE, checkpoint=path)


def test_stops_after_seconds_with_a_checkpoint(tmp_path):
    trainer = Trainer(network(), data(), IMAGE, RECIPE, checkpoint=tmp_path / "a.pt")
    assert trainer.run(seconds=0) == [] and not trainer.finished
    assert (tmp_path / "a.pt").exists()


def test_learning_rate_falls_along_a_cosine():
    trainer = Trainer(network(), data(), IMAGE, RECIPE)
    rates = []
    for _ in range(trainer.n_steps):
        trainer.run(1)
        rates.append(trainer.optimizer.param_groups[0]["lr"])
    expected = 0.05 * (1 + np.cos(np.pi * np.arange(6) / 6)) / 2
    np.testing.assert_allclose(rates, expected)


@pytest.mark.parametrize("half", [False, True])
def test_learns_bars(half):
    net = network()
    part = data(64)
    seen = []
    losses = Trainer(net, part, IMAGE, Recipe(12, 16, lr=0.1, half=half)).run(
        progress=True, log=lambda epoch, loss: seen.append(epoch))
    assert losses[-1] < losses[0] / 2 and seen == list(range(1, 13))
    accuracy, outputs = evaluate(net, part, IMAGE, batch_size=24)
    assert accuracy > 0.9 and outputs.shape == (64, 2)
    assert accuracy == (outputs.argmax(1) == part.y).mean()


def test_a_loss_that_is_not_finite_stops():
    net = network()
    with torch.no_grad():
        net.layers["dense"].bias.fill_(float("nan"))
    with pytest.raises(FloatingPointError, match="lower the learning rate"):
        Trainer(net, data(), IMAGE, RECIPE).run()


def test_values_are_those_of_the_export():
    x, _ = bars(5)
    expected = values_of(x, IMAGE)
    assert torch.equal(to_values(x, IMAGE, dtype=torch.float64), expected)
    np.testing.assert_allclose(to_values(x, IMAGE), expected, rtol=1e-5, atol=1e-5)
    events = np.arange(24, dtype=np.uint8).reshape(1, 3, 2, 2, 2)
    node = Input((2, 2, 2), "spikes", bits=5, scale=0.5)
    assert np.array_equal(to_values(events, node), values_of(events, node))


# ---- conversion


def trained(make, shape=(2, 8, 8)):
    torch.manual_seed(0)
    net = make()
    part = Arrays(*bars(96, shape))
    node = Input(shape, "image", bits=8, scale=1 / 255, mean=0.5, std=0.25)
    Trainer(net, part, node, Recipe(5, 16, lr=0.05)).run()
    return net, part, node


ANNS = {
    "VGG": lambda: lenet(Style(None, average=True), 1, (2, 8, 8), 2, widths=(6, 8), dense=(12,)),
    "ResNet": lambda: resnet8(Style(None), 1, (2, 8, 8), 2, widths=(4, 6, 8)),
}


@pytest.mark.parametrize("name", ANNS)
def test_more_steps_and_bits_come_closer_to_the_ann(name, tmp_path):
    net, part, node = trained(ANNS[name])
    values = to_values(part.x, node)
    with torch.no_grad():
        expected = net(values)
    samples = activations(net, values[:40])
    errors = {}
    for t, b in ((1, 1), (1, 8), (4, 2), (32, 2), (32, 4)):
        with torch.no_grad():
            found = quantise(net, samples, t, b)(values)
        errors[t, b] = float((found - expected).abs().mean() / expected.abs().mean())
    assert errors[1, 8] < 0.05 and errors[32, 4] < 0.1, errors
    assert errors[1, 1] > errors[4, 2] > errors[32, 4], errors
    prove(convert(net, values[:40], 4, 2), tmp_path / "net.h5", part.x[:6], node)


def test_sweep_is_accuracy_by_steps_and_bits():
    net, part, node = trained(ANNS["VGG"])
    found = sweep(net, to_values(part.x[:40], node), part, node, (1, 8), (1, 4))
    assert set(found) == {"ANN", (1, 1), (1, 4), (8, 1), (8, 4)}
    assert found["ANN"] > 0.9 and abs(found[8, 4] - found["ANN"]) < 0.05


def test_a_plain_sequential_is_converted(tmp_path):
    net, part, node = trained(lambda: nn.Sequential(
        nn.Sequential(nn.Conv2d(2, 6, 3, bias=False), nn.BatchNorm2d(6), nn.ReLU()), nn.AdaptiveAvgPool2d(2),
        nn.Flatten(), nn.Linear(24, 10), nn.ReLU(), nn.Linear(10, 2)))
    values = to_values(part.x, node)
    snn = convert(net, values[:40], 8, 3)
    with torch.no_grad():
        assert (snn(values).argmax(1) == net(values).argmax(1)).float().mean() > 0.9
    prove(snn, tmp_path / "net.h5", part.x[:5], node)


def test_limits_are_of_least_error():
    uniform = np.linspace(0, 4, 10_001)
    assert best_limit(uniform, 255) == 4.0
    # one level: 0 below half of the limit, the limit above it; least error for 2 / 3 of 4
    assert best_limit(uniform, 1) == pytest.approx(8 / 3, abs=0.06)
    outlier = np.append(np.tile(np.linspace(0, 1, 101), 1000), 100.0)
    assert best_limit(outlier, 3) < 5
    assert best_limit(np.zeros(3), 3) == 1.0
    assert rounded(np.array([-1, 0.49, 0.5, 1.6, 9]), 2.0, 2).tolist() == [0, 0, 1, 2, 2]


class Residual(nn.Module):
    """As people write them: one ReLU module in two places, another as a function, in place, a skip by `+`."""

    def __init__(self):
        super().__init__()
        self.conv1, self.norm = nn.Conv2d(2, 6, 3, padding=1), nn.BatchNorm2d(6)
        self.conv2, self.relu = nn.Conv2d(6, 6, 3, padding=1), nn.ReLU(inplace=True)
        self.hidden, self.last = nn.Linear(96, 10), nn.Linear(10, 2)

    def forward(self, x):
        first = self.relu(self.norm(self.conv1(x)))
        second = functional.avg_pool2d(self.relu(self.conv2(first) + first), 2)
        return self.last(functional.relu_(self.hidden(second.flatten(1))))


def test_a_module_with_a_forward_of_its_own_is_converted(tmp_path):
    net, part, node = trained(Residual)
    values = to_values(part.x, node)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    snn = convert(net, values[:40], 8, 3)
    with torch.no_grad():
        assert (snn(values).argmax(1) == net(values).argmax(1)).float().mean() > 0.9
    model, found = prove(snn, tmp_path / "net.h5", part.x[:5], node)
    assert list(found.levels) == ["neurons.if0", "neurons.if1", "neurons.if2"]
    assert all(model.nodes[name].bits == 3 for name in found.levels) and model.timesteps == 8
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
    with pytest.raises(UnsupportedError, match="does 'relu' to a current.*conversion.py"):
        eventsim.from_torch(net, part.x[:5], node, 8)


def test_neurons_round_the_mean_of_activations_and_keep_the_rest():
    net = nn.Sequential(nn.ReLU())
    snn = quantise(net, [np.array([3.0])], 4, 2)
    snn.neurons[0].quantum = 0.5  # 0 to 1.5 in each of four steps
    x = torch.tensor([[-1.0, 0.1, 0.2, 0.3, 1.4, 9.0]])
    assert snn(x).tolist() == [[0, 0.125, 0.25, 0.25, 1.375, 1.5]]
    assert torch.equal(snn(x), snn(x)), "it begins anew"


@pytest.mark.parametrize("net, message", [
    (nn.Sequential(nn.Linear(2, 2)), "no nn.ReLU"),
    (SpikingNet({"a": nn.Linear(2, 2), "n": Neuron(), "r": Readout()}, 1), "'layers.n' fires already"),
])
def test_what_cannot_be_converted_is_named(net, message):
    with pytest.raises(TypeError, match=message):
        convert(net, torch.zeros(1, 2), 2, 2)


def test_what_is_left_after_the_conversion_is_named_by_the_export():
    snn = convert(nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Sigmoid()), torch.zeros(1, 2), 2, 2)
    with pytest.raises(UnsupportedError, match="module 'net.2'.*'sigmoid'.*has no equal"):
        eventsim.from_torch(snn, np.ones((1, 2)), Input((2,), "real"))
