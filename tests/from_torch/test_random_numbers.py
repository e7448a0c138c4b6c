"""Networks that take random numbers which torch does not see: refused, and the generators left as they were."""

import random

import numpy as np
import pytest

import eventsim
from eventsim.errors import UnsupportedError

torch = pytest.importorskip("torch")
snntorch = pytest.importorskip("snntorch")
from torch import nn  # noqa: E402

GLOBAL, HIDDEN = np.random.default_rng(0), [np.random.default_rng(0)]


class Net(nn.Module):
    """take: function of the network that gives a random number, which rarely changes anything."""

    def __init__(self, take=lambda net: 1):
        super().__init__()
        torch.manual_seed(0)
        self.take, self.own, self.old = take, random.Random(0), np.random.RandomState(0)
        self.fc, self.lif = nn.Linear(6, 8), snntorch.Leaky(beta=0.8, threshold=0.3, init_hidden=True)

    def forward(self, x):
        GLOBAL.bit_generator  # is among what forward knows
        return self.lif(self.fc(x if self.take(self) > 1e-9 else 0 * x))


TAKES = {
    "Python's random": lambda net: random.random(), "numpy.random": lambda net: np.random.rand(),
    "a Random of its own": lambda net: net.own.gauss(5, 1), "a RandomState of its own": lambda net: net.old.rand(),
    "a Generator of its own": lambda net: GLOBAL.random(),
}


def states(net):
    return [random.getstate(), net.own.getstate(), str(np.random.get_state()), str(net.old.get_state()),
            GLOBAL.bit_generator.state]


@pytest.mark.parametrize("name", TAKES)
def test_random_numbers_are_refused_and_given_back(name):
    net = Net(TAKES[name])
    before = states(net)
    with pytest.raises(UnsupportedError, match=rf"Net takes random numbers \({name}\); a network that is"):
        eventsim.from_torch(net, 2 * torch.rand(3, 6), timesteps=4)
    assert states(net) == before


def test_what_runs_otherwise_each_time_is_told_from_what_counts_its_samples():
    class Shifted(Net):
        def forward(self, x):
            shift = HIDDEN[0].normal()
            return sum(super(Shifted, self).forward(x + shift) for _ in range(4))

    with pytest.raises(UnsupportedError, match="Shifted computes otherwise when it runs again with the same samples: "
                                               "it takes random numbers"):
        eventsim.from_torch(Shifted(), 2 * torch.rand(3, 6))


def test_generators_that_a_network_only_holds_are_no_harm():
    net = Net()
    model = eventsim.from_torch(net, 2 * torch.rand(3, 6), timesteps=4)
    assert model.check.level_counts["lif"][..., 1:].any()
