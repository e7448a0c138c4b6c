"""Networks whose last layer feeds back to layers before it: equal to the network itself."""

import numpy as np
import pytest

import eventsim

torch = pytest.importorskip("torch")
snntorch = pytest.importorskip("snntorch")
from torch import nn  # noqa: E402


class Feedback(nn.Module):
    """Two layers, or three, in a loop; `end` makes the answer of the last one's steps (T, N, 5)."""

    def __init__(self, bias, end, n_layers):
        super().__init__()
        torch.manual_seed(0)
        self.fc = nn.ModuleList([nn.Linear(12, 16), nn.Linear(16, 5), nn.Linear(5, 5)][:n_layers])
        self.lif = nn.ModuleList([snntorch.Leaky(beta=0.5, threshold=0.25) for _ in self.fc])
        self.back, self.end = nn.Linear(5, 16, bias=bias), end
        for tensor in self.parameters():
            if tensor.ndim:
                tensor.data = (tensor.data * 64).round() / 32

    def forward(self, x):
        membranes = [lif.init_leaky() for lif in self.lif]
        last, sent = torch.zeros(x.shape[1], 5), []
        for each in x:
            back, spikes = self.back(last), each
            for i, (fc, lif) in enumerate(zip(self.fc, self.lif)):
                current = fc(spikes) + back if i == 0 else fc(spikes)
                spikes, membranes[i] = lif(current, membranes[i])
            last = spikes
            sent.append(last)
        return self.end(torch.stack(sent))


def events(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 2, shape)).float()


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("n_layers", [2, 3])
@pytest.mark.parametrize("end", [lambda y: y.sum(0), lambda y: y.mean(0), lambda y: y[-1]], ids=["sum", "mean", "last"])
def test_the_last_layer_feeds_back(end, n_layers, bias):
    net = Feedback(bias, end, n_layers).eval()
    model = eventsim.from_torch(net, events(6, 4, 12), layout="TN")
    for seed, (steps, n) in enumerate([(6, 8), (1, 1), (3, 2), (14, 3)], 1):
        x = events(steps, n, 12, seed=seed)
        with torch.no_grad():
            expected = net(x).numpy()
        got = eventsim.Simulator(model, "float64").run(x.transpose(0, 1).numpy()).output
        np.testing.assert_allclose(got, expected, atol=1e-5)
    assert not model.timesteps_fixed
