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
