"""Networks that pool before their neurons, as snnTorch's tutorials 6 and 7 do, spike for spike."""

import numpy as np
import pytest

import eventsim

torch = pytest.importorskip("torch")
snntorch = pytest.importorskip("snntorch")


class Tutorial(torch.nn.Module):
    """Conv, max pool of the current, Leaky, twice; then fully connected neurons. Smaller than the tutorial's."""

    def __init__(self, steps):
        super().__init__()
        self.conv1, self.conv2 = torch.nn.Conv2d(1, 6, 5), torch.nn.Conv2d(6, 8, 3)
        self.fc1 = torch.nn.Linear(8 * 2 * 2, 4)
        self.lif1, self.lif2, self.lif3 = (snntorch.Leaky(beta=0.5) for _ in range(3))
        self.steps, self.spikes = steps, []

    def forward(self, x):
        mem1, mem2, mem3 = self.lif1.init_leaky(), self.lif2.init_leaky(), self.lif3.init_leaky()
        self.spikes = []
        for _ in range(self.steps):
            spk1, mem1 = self.lif1(torch.nn.functional.max_pool2d(self.conv1(x), 2), mem1)
            spk2, mem2 = self.lif2(torch.nn.functional.max_pool2d(self.conv2(spk1.to(x.dtype)), 2), mem2)
            spk3, mem3 = self.lif3(self.fc1(spk2.to(x.dtype).flatten(1)), mem3)
            self.spikes.append((spk1, spk2, spk3))
        return torch.stack([step[2] for step in self.spikes])


def test_pooling_before_neurons_as_snntorch_does():
    torch.manual_seed(1)
    net, levels = Tutorial(steps=6), torch.randint(0, 256, (3, 1, 16, 16))
    with torch.no_grad():
        for layer, gain in ((net.conv1, 3), (net.conv2, 4), (net.fc1, 3)):
            layer.weight *= gain
        model = eventsim.from_torch(net, levels / 255.0)
        net.double()(levels.double() / 255)
    expected = [torch.stack(spikes, 1).numpy() for spikes in zip(*net.spikes)]
    names = [name for name, node in model.nodes.items() if node.fires()]
    assert [node.kind for node in model.nodes.values()].count("MaxPool") == 2 and len(names) == 3
    for precision in ("float64", "float32"):
        found = eventsim.Simulator(model, precision).run(levels.numpy(), 6)
        for name, spikes in zip(names, expected):
            assert 0.02 < spikes.mean() < 0.9
            np.testing.assert_array_equal(found.levels(name), spikes, name)
