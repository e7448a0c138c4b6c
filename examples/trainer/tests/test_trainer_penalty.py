"""The penalty on spikes: it counts what eventsim counts, and training with it makes networks that fire less."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from trainer_networks import one_thread  # noqa: E402, F401  (also: where the trainer is)
import eventsim  # noqa: E402
from eventsim.model.input import Input  # noqa: E402
from trainer import rules  # noqa: E402, F401 (from_torch then knows the trainer's modules)
from trainer.network import Readout, SpikingNet  # noqa: E402
from trainer.neurons import SRIF, Neuron  # noqa: E402
from trainer.penalty import SpikePenalty, fan_outs  # noqa: E402
from trainer.training import train  # noqa: E402

X = np.random.default_rng(3).integers(0, 8, (6, 1, 6, 6))
NODE = Input((1, 6, 6), "image", bits=3, scale=1 / 8)


def values(x):
    return torch.from_numpy(x / 8).float()


def small_net(first, pool, seed=0):
    """Image, convolution, neurons, pool, convolution, neurons, dense layer; 3 steps."""
    torch.manual_seed(seed)
    return SpikingNet({
        "conv1": nn.Conv2d(1, 4, 3, padding=1), "neuron1": first, "pool": pool,
        "conv2": nn.Conv2d(4, 5, 3, stride=2, padding=1), "neuron2": SRIF(), "flatten": nn.Flatten(),
        "dense": nn.Linear(20, 3), "readout": Readout(),
    }, 3)


@torch.no_grad()
def share_of(net):
    """The penalty of the samples."""
    with SpikePenalty(net) as penalty:
        net(values(X))
    net(0 * values(X))  # looked at only within
    return float(penalty.share())


def test_fan_outs_respect_borders_and_strides():
    conv = nn.Conv2d(2, 5, 3, stride=2, padding=1)
    counted = torch.zeros(2, 4, 4)
    for channel, row, column in np.ndindex(2, 4, 4):
        reached = [(i, j) for i in range(2) for j in range(2)
                   if abs(2 * i - row) <= 1 and abs(2 * j - column) <= 1]
        counted[channel, row, column] = 5 * len(reached)
    assert torch.equal(fan_outs(conv, (2, 4, 4)), counted)
    assert torch.equal(fan_outs(nn.Linear(7, 3), (7,)), torch.full((7,), 3.0))


@pytest.mark.parametrize("first", (SRIF(), Neuron(mpr=True)))
def test_the_penalty_of_binary_spikes_is_the_share_of_synapses_that_eventsim_counts(first):
    """Layers that read the image are left out on both sides."""
    found = share_of(small_net(first, nn.MaxPool2d(2)).eval())
    model = eventsim.from_torch(small_net(first, nn.MaxPool2d(2)).eval(), X, NODE)
    counts = eventsim.Simulator(model, "float64").run(X).counts
    rows = [counts.layer_totals(name) for name in counts.layers if name not in (model.input, "layers.neuron1")]
    share = sum(row["synops"] for row in rows) / sum(row["dense_macs"] for row in rows)
    assert 0.01 < share < 1 and found == pytest.approx(share, rel=1e-5)


def test_levels_count_as_often_as_they_are_high():
    """Of an average pool each neuron counts: four neurons at level 1 are one at level 4."""
    net = small_net(SRIF(bits=2, quantum=0.125), nn.AvgPool2d(2)).eval()
    del net.layers["readout"], net.layers["dense"], net.layers["flatten"], net.layers["neuron2"]
    kept = []
    net.layers["neuron1"].register_forward_hook(lambda layer, _, out: kept.append(out))
    found = share_of(net)
    levels = (kept[0] / 0.125).flatten(0, 1).mean(0)  # (4, 6, 6)
    per_pooled = fan_outs(net.layers["conv2"], (4, 3, 3))
    fan_out = per_pooled.repeat_interleave(2, 1).repeat_interleave(2, 2)
    expected = float((levels * fan_out).sum() / per_pooled.sum())
    assert kept[0].max() == 0.375  # level 3 occurs
    assert found == pytest.approx(expected, rel=1e-5)


def test_a_network_without_spikes_to_penalise_is_refused():
    net = SpikingNet({"conv": nn.Conv2d(1, 2, 3), "flatten": nn.Flatten(), "dense": nn.Linear(32, 2),
                      "readout": Readout()}, 2)
    with pytest.raises(ValueError, match="no convolution or dense layer reads spikes"):
        SpikePenalty(net)


def test_training_with_it_makes_fewer_spikes():
    y = torch.arange(6) % 3
    shares = []
    for factor in (0.0, 5.0):
        net = small_net(SRIF(), nn.AvgPool2d(2))
        train(net, values(X), y, epochs=20, batch_size=6, lr=0.02, spike_penalty=factor)
        shares.append(share_of(net))
    assert shares[1] < shares[0] / 2
