"""Deep networks of examples/deep_networks.py: they save, load and run, and count what the known
architectures have. The closed forms here are written down from the papers' tables; they share no
code with the builders or with eventsim."""

import sys
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

import eventsim
from eventsim import Neuron, Simulator

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples"))

import deep_networks  # noqa: E402

STEPS = 4


def convolution(n_in, n_out, size, kernel=3, stride=1):
    """(synapses without those on padding, with them, size after) of a square 'same' convolution."""
    padding, after = kernel // 2, -(-size // stride)
    inside = sum(0 <= o * stride - padding + k < size for o in range(after) for k in range(kernel))
    return n_in * n_out * inside**2, n_in * n_out * (after * kernel) ** 2, after


def plain(layers, size, n_in=3):
    """Counts of convolutions, "P" halving the map: (without padding, with padding)."""
    exact = padded = 0
    for layer in layers:
        if layer == "P":
            size //= 2
            continue
        with_border, with_padding, size = convolution(n_in, layer, size)
        exact, padded, n_in = exact + with_border, padded + with_padding, layer
    return exact, padded


def residual(stages, size):
    """Counts of basic blocks: (without padding, with padding, identity synapses)."""
    exact = padded = identity = 0
    n_in = stages[0][0]
    for i, (channels, blocks) in enumerate(stages):
        for block in range(blocks):
            stride = 2 if i and block == 0 else 1
            first = convolution(n_in, channels, size, 3, stride)
            second = convolution(channels, channels, first[2])
            exact, padded = exact + first[0] + second[0], padded + first[1] + second[1]
            if stride == 2:
                shortcut = convolution(n_in, channels, size, 1, stride)
                exact, padded = exact + shortcut[0], padded + shortcut[1]
            else:
                identity += channels * size * size
            n_in, size = channels, first[2]
    return exact, padded, identity


def expected_resnet20():
    exact, padded, identity = residual(((16, 3), (32, 3), (64, 3)), 32)
    stem = convolution(3, 16, 32)
    return exact + stem[0] + identity + 64 * 10, padded + stem[1] + 64 * 10


def expected_resnet34():
    exact, padded, identity = residual(((64, 3), (128, 4), (256, 6), (512, 3)), 56)
    stem = convolution(3, 64, 224, 7, 2)
    return exact + stem[0] + identity + 512 * 10, padded + stem[1] + 512 * 10


def expected_vgg16():
    layers = (64, 64, "P", 128, 128, "P", 256, 256, 256, "P", 512, 512, 512, "P", 512, 512, 512)
    exact, padded = plain(layers, 32)
    dense = 512 * 512 * 2 + 512 * 10
    return exact + dense, padded + dense


def expected_small_vgg():
    exact, padded = plain((64, 64, "P", 128, 128, "P", 256, 256), 32)
    return exact + 256 * 10, padded + 256 * 10


# name: (closed form, published multiply-accumulates of one pass or None, spiking layers)
NETWORKS = {
    "small_vgg": (expected_small_vgg, None, 6),
    "resnet20": (expected_resnet20, 41e6, 19),
    "vgg16": (expected_vgg16, 313e6, 15),
    "resnet34": (expected_resnet34, 3.66e9, 33),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_deep_network_saves_loads_and_runs(name, tmp_path):
    expected, published, n_layers = NETWORKS[name]
    exact, padded = expected()
    assert published is None or abs(padded / published - 1) < 0.02
    eventsim.save(deep_networks.NETWORKS[name](), tmp_path / "net.h5")
    model = eventsim.load(tmp_path / "net.h5")
    layers = [n for n, node in model.nodes.items() if isinstance(node, Neuron)]
    assert len(layers) == n_layers
    image = deep_networks.random_images(1, model.nodes[model.input].shape, seed=5)
    for precision in ("float32", "int8"):
        recording = Simulator(model, precision).run(image, record=())
        assert recording.timesteps == STEPS
        assert recording.counts.total("dense_macs") == STEPS * exact
        assert recording.counts.total("macs") == 0
        rates = {layer: recording.counts.firing_rate(layer) for layer in layers}
        assert all(0.05 <= rate <= 0.2 for rate in rates.values()), rates
        assert np.isfinite(recording.output).all() and np.ptp(recording.output) > 0


@pytest.fixture(scope="module")
def resnet20():
    return deep_networks.resnet20()


IMAGES = deep_networks.random_images(5, (3, 32, 32), seed=6)


@pytest.fixture(scope="module")
def plain_runs(resnet20):
    """precision -> the run that all others have to equal."""
    return lru_cache(lambda precision: Simulator(resnet20, precision).run(IMAGES))


@pytest.mark.parametrize("precision", ("float32", "int8"))
@pytest.mark.parametrize("how", ({"workers": 2}, {"block": 1}, {"block": 4}, {"workers": 2, "block": 2},
                                 {"chunk": 1}, {"chunk": 3, "block": 2}))
def test_results_do_not_depend_on_workers_blocks_and_chunks(resnet20, plain_runs, precision, how):
    wanted = plain_runs(precision)
    found = Simulator(resnet20, precision, **how).run(IMAGES)
    assert np.array_equal(found.output, wanted.output)
    for name, spikes in wanted.spikes.items():
        assert np.array_equal(found.spikes[name].planes, spikes.planes), name
    found_counts, wanted_counts = found.counts.totals(), wanted.counts.totals()
    for count in wanted_counts:
        # a chunk of its own computes the current of a still image again
        if "chunk" not in how or not count.startswith("executed_"):
            assert found_counts[count] == wanted_counts[count], count


def test_networks_are_the_same_for_the_same_seed():
    first, again = deep_networks.resnet20(seed=3), deep_networks.resnet20(seed=3)
    for name, node in first.nodes.items():
        for parameter in ("weight", "bias", "running_mean", "running_var"):
            value = getattr(node, parameter, None)
            assert value is None or np.array_equal(value, getattr(again.nodes[name], parameter)), name
