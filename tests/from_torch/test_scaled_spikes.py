"""Spikes that are scaled before a pool, and refusals that say what to do."""

import pytest

import eventsim
from eventsim.errors import UnsupportedError

torch = pytest.importorskip("torch")
snntorch = pytest.importorskip("snntorch")
from torch import nn  # noqa: E402

T = 5


class Times(nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return x * self.factor


def norm(weight=1.0):
    module = nn.BatchNorm2d(4)
    module.running_mean.normal_()
    nn.init.uniform_(module.weight, 0.5, 2.0)
    nn.init.normal_(module.bias)
    module.weight.data[0] *= weight
    return module


def network(*middle):
    def leaky():
        return snntorch.Leaky(beta=0.9, threshold=0.3, init_hidden=True)

    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 4, 3), leaky(), *(make() for make in middle), nn.Flatten(), nn.LazyLinear(3),
                        leaky())
    net(torch.rand(1, 1, 8, 8))
    return net.eval()


MIDDLES = {
    "BatchNorm and MaxPool": (norm, lambda: nn.MaxPool2d(2)),
    "several factors": (lambda: Times(0.5), norm, lambda: Times(3.0), lambda: nn.MaxPool2d(2)),
    "windows that pad": (norm, lambda: nn.MaxPool2d(3, 2, 1)),
    "two pools": (norm, lambda: nn.MaxPool2d(2), lambda: Times(2.0), lambda: nn.MaxPool2d(3)),
    "below 0, repeated": (lambda: norm(-1.0), lambda: nn.Upsample(scale_factor=2)),
}


@pytest.mark.parametrize("name", MIDDLES)
def test_scaled_spikes_are_pooled_as_they_are(name):
    net = network(*MIDDLES[name])
    model = eventsim.from_torch(net, 3 * torch.rand(3, 1, 8, 8), timesteps=T)
    x = 6 * torch.rand(20, 1, 8, 8)
    pytest.importorskip("snntorch.utils").reset(net)
    with torch.no_grad():
        expected = sum(net(x) for _ in range(T)).numpy()
    assert (eventsim.Simulator(model, "float32").run(x.numpy()).output != expected).mean() < 0.05


def test_maxima_of_spikes_below_0_are_refused():
    with pytest.raises(UnsupportedError, match="multiplied by a number below 0.*pool them first"):
        eventsim.from_torch(network(lambda: norm(-1.0), lambda: nn.MaxPool2d(2)), torch.rand(3, 1, 8, 8), timesteps=T)


class Spectrum(nn.Module):
    def forward(self, x):
        return torch.fft.rfft(x).real


@pytest.mark.parametrize("module, said", [
    (Spectrum(), "computes with complex numbers"), (nn.LazyLinear(6), "run the network once"),
])
def test_refusals_say_what_to_do(module, said):
    net = nn.Sequential(module, snntorch.Leaky(beta=0.9, init_hidden=True))
    with pytest.raises(UnsupportedError, match=said):
        eventsim.from_torch(net, torch.rand(2, 6), timesteps=3)


def test_what_has_nothing_to_do_with_layout_and_timesteps_does_not_say_so():
    class Fails(nn.Module):
        def forward(self, x):
            raise RuntimeError("the licence has ended")

    with pytest.raises(UnsupportedError, match="the licence has ended; its own code raises that"):
        eventsim.from_torch(Fails(), torch.rand(2, 6), timesteps=3)
