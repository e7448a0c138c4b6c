"""What the tests of the example trainer share: tiny data, and the proof that a file runs as its network."""

import sys
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "examples"))

import torch  # noqa: E402

import eventsim  # noqa: E402
from eventsim.model.input import Input  # noqa: E402
from eventsim.engine.simulator import Simulator  # noqa: E402
from trainer import rules  # noqa: E402, F401
from trainer.network import SpikingNet  # noqa: E402
from trainer.parity import node_of, run_trained  # noqa: E402
from trainer.simulating import simulate  # noqa: E402
from trainer.training import to_values  # noqa: E402

IMAGE = Input((2, 8, 8), "image", bits=8, scale=1 / 255, mean=(0.45, 0.5), std=(0.25, 0.3))


@pytest.fixture(autouse=True)
def one_thread():
    """For modules that import it: one thread and the same random numbers for each test."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(before)


def bars(n, shape=(2, 8, 8), seed=1):
    """Noisy uint8 images (n, *shape) with a horizontal (0) or vertical (1) bar, and labels."""
    rng = np.random.default_rng(seed)
    x, y = rng.integers(0, 90, (n, *shape)).astype(np.uint8), np.arange(n) % 2
    for image, vertical, at in zip(x, y, rng.integers(1, min(shape[1:]) - 1, n)):
        for channel in image:
            (channel.T if vertical else channel)[at] = 250
    return x, y


def normalise(x, input_node):
    """Levels as the values that they stand for, a float64 tensor. x: (N, ...) or (N, T, ...)."""
    return to_values(x, input_node, dtype=torch.float64)


def export(net, path, x, input_node=IMAGE, timesteps=None):
    """The Model of a network, from its file; x: samples to prove it by."""
    eventsim.save(eventsim.from_torch(net, x, input_node, timesteps), path)
    return eventsim.load(path)


def prove(net, path, x, input_node=IMAGE, timesteps=None):
    """Export a network by three samples, load the file and run all of them: every level must equal that of the
    nodes computed in PyTorch, and every level and output that of the network itself in float64.

    Every layer has to fire. Returns (model, what `simulate` found).
    """
    model = export(net, path, x[:3], input_node, timesteps)
    values = normalise(x, input_node)
    expected = simulate(model, values)
    assert expected.margin > 1e-9
    wanted = [f"spikes:{name}" for name in expected.levels]
    recording = Simulator(model, "float64").run(x, record=wanted)
    for name, levels in expected.levels.items():
        assert levels.any(), f"{name} is dead, the test proves nothing"
        np.testing.assert_array_equal(recording.levels(name).reshape(levels.shape), levels, err_msg=name)
    np.testing.assert_allclose(recording.output, expected.outputs, rtol=0, atol=1e-9)
    original = deepcopy(net).double().eval()
    if isinstance(net, SpikingNet):
        outputs, levels = run_trained(original, values)
        assert {node_of(model, name) for name in levels} == expected.levels.keys()
        for name, found in levels.items():
            np.testing.assert_array_equal(found, expected.levels[node_of(model, name)], err_msg=name)
    else:
        with torch.no_grad():
            outputs = original(values).numpy()
    if len(outputs) == len(x):  # else it gives its spikes at every step
        np.testing.assert_allclose(recording.output, outputs, rtol=0, atol=1e-9)
    assert eventsim_check(model)
    return model, expected


def eventsim_check(model):
    """Whether the file proves itself in float64, as `eventsim check` has it."""
    counts = model.check.level_counts
    recording = Simulator(model, "float64").run(model.check.x, record=[f"spikes:{name}" for name in counts])
    same = all(
        (np.stack([(recording.levels(name).reshape(*c.shape[:2], -1) == k).sum(-1)
                   for k in range(c.shape[2])], -1) == c).all()
        for name, c in counts.items()
    )
    return same and np.abs(recording.output - model.check.outputs).max() < 1e-9


def settle(net, x, batches=2):
    """Give BatchNorm the statistics of the data, so that an untrained network fires."""
    for layer in net.modules():
        if hasattr(layer, "momentum"):
            layer.momentum = 1.0  # the statistics of the last batch
    net.train()
    with torch.no_grad():
        for _ in range(batches):
            net(x)
    return net.eval()
