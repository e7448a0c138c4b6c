"""Recurrent synapses with a bias: it acts in the first step where the library's own does, and not before."""

import numpy as np
import pytest

import eventsim
from eventsim.errors import UnsupportedError

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402


class MultiSpike:
    """As sinabs's, by its name."""


class MembraneSubtract:
    subtract_value = None


class IAFRecurrent(nn.Module):
    """As sinabs's: (N, T, ...), and each call starts with zeros in place of what the recurrent synapses give."""

    def __init__(self, rec_connect):
        super().__init__()
        self.rec_connect, self.spike_threshold, self.min_v_mem = rec_connect, torch.tensor(1.0), None
        self.alpha_mem_calculated, self.spike_fn, self.reset_fn = torch.tensor(1.0), MultiSpike(), MembraneSubtract()
        self.v_mem = None

    def reset_states(self):
        self.v_mem = None

    def forward(self, x):
        back, sent = torch.zeros_like(x[:, 0]), []
        v = back if self.v_mem is None else self.v_mem
        for t in range(x.shape[1]):
            v = v + x[:, t] + (back if self.rec_connect is not None else 0)
            spikes = torch.div(v, 1.0, rounding_mode="trunc") * (v > 0)
            v = v - spikes
            back = back if self.rec_connect is None else self.rec_connect(spikes)
            sent.append(spikes)
        self.v_mem = v
        return torch.stack(sent, 1)


class IAF(IAFRecurrent):
    def __init__(self):
        super().__init__(None)


for cls in (IAFRecurrent, IAF):
    cls.__module__ = "sinabs.layers.iaf"


def network(seed):
    torch.manual_seed(seed)
    recurrent = nn.Linear(6, 6)
    recurrent.bias.data.uniform_(-0.2, 0.2)
    return nn.Sequential(nn.Linear(10, 6), IAFRecurrent(recurrent), nn.Linear(6, 5), IAF())


def answers(net, x):
    for module in net.modules():
        if isinstance(module, IAFRecurrent):
            module.reset_states()
    with torch.no_grad():
        return net(x).sum(1).numpy()


@pytest.mark.filterwarnings("ignore::eventsim.errors.EventsimWarning")
@pytest.mark.parametrize("seed", range(4))
def test_a_recurrent_bias_acts_from_the_second_step_of_sinabs(seed):
    net = network(seed)
    model = eventsim.from_torch(net, (torch.rand(2, 4, 10) < 0.3).float(), layout="NT")
    x = (torch.rand(100, 12, 10) < 0.3).float()
    expected = answers(net, x)
    assert expected.any()
    np.testing.assert_array_equal(eventsim.Simulator(model).run(x.numpy()).output, expected)


def test_recurrent_synapses_that_start_anew_at_every_call_take_all_steps_in_one():
    class Steps(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = network(0)

        def forward(self, x):
            return torch.cat([self.net(x[:, t:t + 1]) for t in range(x.shape[1])], 1)

    with pytest.raises(UnsupportedError, match="give it all steps in one call"):
        eventsim.from_torch(Steps(), (torch.rand(2, 4, 10) < 0.3).float(), layout="NT")


@pytest.mark.parametrize("name", ["RLeaky", "RSynaptic"])
def test_a_recurrent_bias_acts_from_the_first_step_of_snntorch(name):
    snntorch = pytest.importorskip("snntorch")
    torch.manual_seed(0)
    settings = {"alpha": 0.8} if name == "RSynaptic" else {}
    neurons = getattr(snntorch, name)(beta=0.9, linear_features=6, init_hidden=True, threshold=0.3, **settings)
    neurons.recurrent.bias.data.uniform_(-0.2, 0.2)
    net = nn.Sequential(nn.Linear(10, 6), neurons)
    model = eventsim.from_torch(net, (torch.rand(3, 4, 10) < 0.3).float(), layout="NT")
    x = (torch.rand(50, 12, 10) < 0.3).float()
    pytest.importorskip("snntorch.utils").reset(net)
    with torch.no_grad():
        expected = sum(net(x[:, t]) for t in range(12)).numpy()
    assert (eventsim.Simulator(model, "float32").run(x.numpy()).output != expected).mean() < 0.02
