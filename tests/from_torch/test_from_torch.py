"""From torch networks to models: equal spike for spike, and refused by name where that cannot be."""

import numpy as np
import pytest

import eventsim

torch = pytest.importorskip("torch")
snntorch = pytest.importorskip("snntorch")
from torch import nn  # noqa: E402


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def spikes_by_hooks(net, run, names):
    """int64 (N, T, ...) per layer: what the network's own modules send, seen by hooks, in float32."""
    found = {name: [] for name in names}
    modules = dict(net.named_modules())
    handles = [modules[name].register_forward_hook(
        lambda module, args, out, name=name: found[name].append(out[0] if isinstance(out, tuple) else out))
        for name in names]
    with torch.no_grad():
        run()
    for handle in handles:
        handle.remove()
    return {name: torch.stack(steps, 1).numpy().astype(np.int64) for name, steps in found.items()}


class Loop(nn.Module):
    """In the manner of snnTorch's tutorials: a loop over steps, with explicit states."""

    def __init__(self, steps=12):
        super().__init__()
        self.steps = steps
        self.fc1, self.lif1 = nn.Linear(20, 30), snntorch.Leaky(beta=0.9)
        self.fc2, self.lif2 = nn.Linear(30, 10), snntorch.Leaky(beta=0.8, reset_mechanism="zero")

    def forward(self, x):
        mem1, mem2 = self.lif1.init_leaky(), self.lif2.init_leaky()
        spikes, membranes = [], []
        for _ in range(self.steps):
            spk1, mem1 = self.lif1(self.fc1(x), mem1)
            spk2, mem2 = self.lif2(self.fc2(spk1), mem2)
            spikes.append(spk2)
            membranes.append(mem2)
        return torch.stack(spikes), torch.stack(membranes)


def test_a_loop_with_explicit_states():
    net, x = Loop(), 3 * torch.rand(5, 20)
    model = eventsim.from_torch(net, x)
    assert model.timesteps == 12 and model.output == "lif2"
    expected = spikes_by_hooks(net, lambda: net(x), ("lif1", "lif2"))
    run = eventsim.Simulator(model, "float64").run(x.double().numpy(), record="spikes")
    for name, levels in expected.items():
        assert levels.any() and np.array_equal(run.levels(name), levels)
    assert np.array_equal(model.check.outputs, expected["lif2"].sum(1))


# ---- operations: each in a small network, proved by its own spikes


def leaky(**options):
    return snntorch.Leaky(beta=0.8, init_hidden=True, **options)


OPERATIONS = {
    "transposed convolution": lambda: ((1, 8, 8), [
        nn.Conv2d(1, 4, 3), leaky(), nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1, groups=2),
        nn.BatchNorm2d(6), leaky(), nn.Flatten(), nn.Linear(864, 5)]),
    "nearest neighbours": lambda: ((1, 8, 8), [
        nn.Conv2d(1, 2, 3), leaky(), nn.Upsample(scale_factor=2), nn.Conv2d(2, 2, 3), leaky(), nn.Flatten(),
        nn.Linear(200, 5)]),
    "normalisation after a pool": lambda: ((1, 8, 8), [
        nn.Conv2d(1, 2, 3), leaky(), nn.AvgPool2d(2), nn.BatchNorm2d(2), nn.Conv2d(2, 2, 2), leaky(), nn.Flatten(),
        nn.Linear(8, 5)]),
    "a sequence": lambda: ((2, 11), [
        nn.Conv1d(2, 4, 3, stride=2), leaky(), nn.MaxPool1d(2), nn.Conv1d(4, 3, 2), leaky(), nn.Flatten(),
        nn.Linear(3, 5)]),
    "a global pool": lambda: ((1, 9, 9), [
        nn.Conv2d(1, 4, 3), leaky(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5)]),
    "groups and dilation": lambda: ((4, 9, 9), [
        nn.Conv2d(4, 8, 3, groups=2, padding="same", dilation=2), leaky(), nn.Flatten(), nn.Linear(648, 5)]),
    "padding on one side": lambda: ((4, 9, 9), [
        nn.Conv2d(4, 8, 4, padding="same"), leaky(), nn.ZeroPad2d((0, 2, 1, 0)), nn.Conv2d(8, 3, 3, stride=2),
        leaky(),
        nn.Flatten(), nn.Linear(60, 5)]),
    "synapses after synapses": lambda: ((1, 8, 8), [
        nn.Conv2d(1, 3, 3), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(27, 20), leaky(), nn.Linear(20, 5)]),
    "rectified spikes": lambda: ((12,), [nn.Linear(12, 8), leaky(), nn.ReLU(), nn.Dropout(), nn.Linear(8, 5)]),
    "groups of classes": lambda: ((12,), [
        nn.Linear(12, 20), leaky(), nn.Unflatten(1, (1, 20)), nn.AvgPool1d(4), nn.Flatten()]),
}


@pytest.mark.filterwarnings("ignore:the network leaves its steps")
@pytest.mark.parametrize("name", OPERATIONS)
def test_operations(name):
    shape, layers = OPERATIONS[name]()
    model = eventsim.from_torch(nn.Sequential(*layers), 4 * torch.rand(3, *shape), timesteps=6)
    assert all(counts[..., 1:].any() for counts in model.check.level_counts.values())
    assert np.abs(model.check.outputs).sum() > 0


def test_a_map_made_of_a_vector_beside_one_of_a_convolution_is_a_vector():
    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.reflected = nn.Conv2d(1, 2, 3, padding=1, padding_mode="reflect")
            self.plain = nn.Conv2d(1, 2, 3, padding=1)

        def forward(self, x):
            return self.reflected(x) + self.plain(x)

    model = eventsim.from_torch(nn.Sequential(Both(), leaky()), 4 * torch.rand(2, 1, 6, 6), timesteps=3)
    assert model.shapes[model.output] == (72,) and model.check.outputs.any()


def test_channels_side_by_side():
    class Dense(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1, self.lif1 = nn.Conv2d(1, 3, 3, padding=1), leaky()
            self.conv2, self.lif2 = nn.Conv2d(3, 4, 3, padding=1), leaky()
            self.conv3, self.lif3 = nn.Conv2d(7, 2, 3), leaky()
            nn.init.normal_(self.conv3.weight, 0.1, 0.3)

        def forward(self, x):
            first = self.lif1(self.conv1(x))
            both = torch.cat([first, self.lif2(self.conv2(first))], 1)
            return self.lif3(self.conv3(nn.functional.max_pool2d(both, 2))).flatten(1)

    model = eventsim.from_torch(Dense(), 4 * torch.rand(3, 1, 8, 8), timesteps=6)
    assert all(counts[..., 1:].any() for counts in model.check.level_counts.values())
