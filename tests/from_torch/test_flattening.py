"""Maps that no convolution gives: run as matrices where these are small, refused by name where not."""

import numpy as np
import pytest

import eventsim
from eventsim.engine.simulator import Simulator
from eventsim.errors import UnsupportedError

torch = pytest.importorskip("torch")
snntorch = pytest.importorskip("snntorch")
from torch import nn  # noqa: E402

T = 4


def conv(n_in, n_out, **settings):
    return nn.Conv2d(n_in, n_out, 3, **settings)


class Sum(nn.Module):
    """What several modules make of one input, added."""

    def __init__(self, *modules):
        super().__init__()
        self.each = nn.ModuleList(modules)

    def forward(self, x):
        return sum(module(x) for module in self.each)


class Net(nn.Module):
    """Two layers of neurons; thresholds per channel in the first."""

    def __init__(self, body, tail):
        super().__init__()
        self.body, self.tail = body, tail
        self.one = snntorch.Leaky(beta=0.9, threshold=torch.tensor([0.2, 0.3, 0.4]).view(3, 1, 1))
        self.two = snntorch.Leaky(beta=0.8, threshold=0.2)

    def forward(self, x):
        one, two, total = self.one.init_leaky(), self.two.init_leaky(), 0
        for _ in range(T):
            spikes, one = self.one(self.body(x), one)
            spikes, two = self.two(self.tail(spikes), two)
            total = total + spikes
        return total


BODIES = {  # (2, 8, 8) -> a map of three channels
    "reflect": lambda: conv(2, 3, padding=1, padding_mode="reflect"),
    "replicate": lambda: conv(2, 3, padding=1, padding_mode="replicate"),
    "circular, with a stride": lambda: conv(2, 3, padding=1, padding_mode="circular", stride=2),
    "ReflectionPad2d": lambda: nn.Sequential(nn.ReflectionPad2d((1, 2, 0, 1)), conv(2, 3)),
    "bilinear": lambda: nn.Sequential(nn.Upsample(scale_factor=1.5, mode="bilinear"), conv(2, 3)),
    "weights along the last axis": lambda: nn.Sequential(nn.Conv2d(2, 3, 1), nn.Linear(8, 5)),
    "weights along the last axis first": lambda: nn.Sequential(nn.Linear(8, 5), nn.Conv2d(2, 3, (3, 1))),
    "unequal windows": lambda: nn.Sequential(conv(2, 3), nn.AvgPool2d(4, ceil_mode=True)),
    "windows without padding": lambda: nn.Sequential(conv(2, 3),
                                                     nn.AvgPool2d(3, padding=1, count_include_pad=False)),
    "a pool that pads": lambda: nn.Sequential(conv(2, 3), nn.AvgPool2d(3, 2, padding=1)),
    "convolutions that pad": lambda: nn.Sequential(conv(2, 4, padding=1), nn.BatchNorm2d(4), conv(4, 3, padding=1),
                                                   conv(3, 3, padding=1)),
    "a sum of both": lambda: Sum(conv(2, 3, padding=1, padding_mode="reflect"),
                                 conv(2, 3, padding=1, padding_mode="replicate")),
    "a sum of it and a convolution": lambda: Sum(conv(2, 3, padding=1, padding_mode="reflect"),
                                                 conv(2, 3, padding=1)),
    "a sum of it and a convolution that is normalised": lambda: Sum(
        conv(2, 3, padding=1, padding_mode="reflect"),
        nn.Sequential(conv(2, 3, padding=1), nn.BatchNorm2d(3))),
    "a sum with a transposed convolution": lambda: Sum(
        nn.Sequential(nn.ConvTranspose2d(2, 3, 2, 2), conv(3, 3, padding=1)), nn.ConvTranspose2d(2, 3, 2, 2)),
}
TAILS = {
    "flat": lambda: nn.Sequential(nn.Flatten(), nn.LazyLinear(4)),
    "a convolution": lambda: nn.Sequential(nn.Conv2d(3, 4, 2, padding=1), nn.Flatten(), nn.LazyLinear(4)),
    "a pool": lambda: nn.Sequential(nn.AvgPool2d(2), nn.Flatten(), nn.LazyLinear(4)),
}


@pytest.mark.parametrize("tail", TAILS)
@pytest.mark.parametrize("body", BODIES)
def test_a_map_made_by_a_matrix_is_kept_as_a_vector(body, tail):
    torch.manual_seed(1)
    net = Net(BODIES[body](), TAILS[tail]())
    x = 2 * torch.rand(8, 2, 8, 8)
    with torch.no_grad():
        net(x)
        for module in net.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                module.weight.mul_(2)
    net.eval()
    model = eventsim.from_torch(net, x[:3])
    assert all(counts[..., 1:].any() for name, counts in model.check.level_counts.items() if name == "one")
    assert len(model.shapes["one"]) == 1 and model.nodes["one"].v_threshold.shape == model.shapes["one"]
    found = Simulator(model, "float32").run(x[3:].numpy())
    with torch.no_grad():
        expected = net(x[3:]).numpy()
    assert np.abs(found.output - expected).max() <= 1 and (found.output != expected).mean() < 0.1  # float32 rounds


class Twice(nn.Module):
    """Two layers of neurons that give maps of one size, `join` of both, and a third layer."""

    def __init__(self, join, last=None):
        super().__init__()
        torch.manual_seed(0)
        self.front, self.back = conv(1, 4, padding=1), conv(4, 4, padding=1, padding_mode="reflect")
        self.join, self.last, self.end = join, last or conv(4, 4, padding=1), nn.Linear(256, 3)
        self.neurons = nn.ModuleList(snntorch.Leaky(0.9, threshold=0.2, init_hidden=True) for _ in range(4))

    def forward(self, x):
        one, two, three, four = self.neurons
        spikes = one(self.front(x))
        joined = self.join(spikes, lambda: two(self.back(spikes)), lambda: self.back(spikes), two)
        return four(self.end(three(self.last(joined)).flatten(1)))


class Unet(nn.Module):
    """Maps of half the size come up again by a transposed convolution, beside those that were kept."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.down, self.deep = conv(1, 3, padding=1), conv(3, 4, padding=1)
        self.up, self.join, self.end = nn.ConvTranspose2d(4, 4, 2, 2), conv(7, 3, padding=1), nn.Conv2d(3, 1, 1)
        self.neurons = nn.ModuleList(snntorch.Leaky(0.9, threshold=0.2, init_hidden=True) for _ in range(4))

    def forward(self, x):
        one, two, three, four = self.neurons
        kept = one(self.down(x))
        deep = two(self.deep(nn.functional.max_pool2d(kept, 2)))
        return four(self.end(three(self.join(torch.cat([self.up(deep), kept], 1))))).flatten(1)


RESIDUALS = {
    "spikes and spikes": lambda: Twice(lambda spikes, sent, weighed, two: sent() + spikes),
    "currents and spikes": lambda: Twice(lambda spikes, sent, weighed, two: two(weighed() + spikes)),
    "both": lambda: Twice(lambda spikes, sent, weighed, two: two(weighed() + spikes) + spikes),
    "spikes and spikes, padded by reflect again": lambda: Twice(
        lambda spikes, sent, weighed, two: sent() + spikes, last=conv(4, 4, padding=1, padding_mode="reflect")),
    "a U-Net": Unet,
}


@pytest.mark.parametrize("name", RESIDUALS)
def test_what_joins_a_vector_becomes_one(name):
    net, x = RESIDUALS[name](), 6 * torch.rand(8, 1, 8, 8)
    model = eventsim.from_torch(net, x[:3], timesteps=T)
    pytest.importorskip("snntorch.utils").reset(net)
    with torch.no_grad():
        expected = sum(net(x) for _ in range(T)).numpy()
    found = Simulator(model, "float32").run(x.numpy())
    assert expected.any() and np.abs(found.output - expected).max() <= 1 and (found.output != expected).mean() < 0.05


def test_a_sum_with_a_vector_that_is_too_large_is_refused_by_its_place(monkeypatch):
    monkeypatch.setattr("eventsim.from_torch.flattening.LARGEST_MATRIX", 1 << 10)
    net = Net(BODIES["a sum of it and a convolution"](), TAILS["flat"]())
    x = 2 * torch.rand(3, 2, 8, 8)
    net(x)
    with pytest.raises(UnsupportedError, match=r"'body.each.1' \(Conv2d\).*put neurons between these weights"):
        eventsim.from_torch(net.eval(), x)


def test_weights_along_one_axis_of_what_neurons_send():
    """As of tokens: every neuron of a map, and every spike, in its row."""

    class Tokens(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc, self.back, self.out = nn.Linear(6, 8), nn.Linear(8, 8), nn.Linear(8, 3)
            self.one, self.two = snntorch.Leaky(beta=0.9, threshold=0.3), snntorch.Leaky(beta=0.8, threshold=0.3)

        def forward(self, x):
            one, two, total = self.one.init_leaky(), self.two.init_leaky(), 0
            for _ in range(T):
                spikes, one = self.one(self.fc(x), one)
                spikes, two = self.two(self.back(spikes) + spikes, two)
                total = total + self.out(spikes).mean(1)
            return total

    torch.manual_seed(0)
    net, x = Tokens(), 2 * torch.rand(8, 5, 6)
    model = eventsim.from_torch(net, x[:3])
    assert model.shapes["one"] == model.shapes["two"] == (40,)
    found = Simulator(model, "float32").run(x[3:].numpy())
    assert found.levels("one").any() and found.levels("two").any()
    np.testing.assert_allclose(found.output, net(x[3:]).detach().numpy(), rtol=1e-4, atol=1e-4)


def test_samples_with_steps_that_nobody_has_named_are_asked_for():
    class Steps(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc, self.lif = nn.Linear(6, 3), snntorch.Leaky(beta=0.9)

        def forward(self, x):
            mem, total = self.lif.init_leaky(), 0
            for t in range(x.shape[1]):
                spikes, mem = self.lif(self.fc(x[:, t]), mem)
                total = total + spikes
            return total

    x = 4 * torch.rand(4, 5, 6)
    with pytest.raises(UnsupportedError, match="was taken as 4 samples that stand still: if an axis counts steps, "
                                               "give layout"):
        eventsim.from_torch(Steps(), x)
    assert eventsim.from_torch(Steps(), x, layout="NT").timesteps == 5


def test_maps_too_large_for_a_matrix_are_refused_by_name():
    body, tail = conv(2, 3, padding=1,
                      padding_mode="reflect"), nn.Sequential(nn.Flatten(), nn.Linear(3 * 96 * 96, 4))
    with pytest.raises(UnsupportedError, match=r"module 'body' \(Conv2d\).*: is a linear map of \d+ x \d+ numbers "
                                               "without an equal in eventsim, too large to be written out as a "
                                               "matrix"):
        eventsim.from_torch(Net(body, tail), torch.rand(1, 2, 96, 96))
    with pytest.raises(UnsupportedError, match="multiplies one axis of a map of 27648 numbers; .* too large; "
                                               "Flatten "):
        eventsim.from_torch(Net(nn.Sequential(nn.Conv2d(2, 3, 1), nn.Linear(96, 96)), tail),
                            torch.rand(1, 2, 96, 96))
    with pytest.raises(UnsupportedError, match=r"module 'body.1' \(Conv2d\).*: node 'body.conv1' \(Conv2d\): "
                                               r"reads node 'body.conv0' \(Conv2d\), which gives a current, and "
                                               r"pads it"):
        both = nn.Sequential(conv(2, 3, padding=1), conv(3, 3, padding=1))
        eventsim.from_torch(Net(both, tail), torch.rand(1, 2, 96, 96))


def test_a_map_that_only_a_maximum_could_read_is_refused_by_name():
    net = Net(BODIES["reflect"](), nn.Sequential(nn.MaxPool2d(2), nn.Flatten(), nn.LazyLinear(4)))
    net(torch.rand(1, 2, 8, 8))
    with pytest.raises(UnsupportedError,
                       match=r"module 'tail.0' \(MaxPool2d\).*: reads a map that no convolution gives, "
                                               "kept as a vector, which only weights and averages read"):
        eventsim.from_torch(net, torch.rand(2, 2, 8, 8))
