"""Maps and vectors of which several layers, or zeros, are parts; and layers read late: equal to the network itself."""

import numpy as np
import pytest

import eventsim
from eventsim.errors import UnsupportedError

torch = pytest.importorskip("torch")
snntorch = pytest.importorskip("snntorch")
from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

STEPS = 5


def neurons(**settings):
    return snntorch.Leaky(**{"beta": 0.5, "threshold": 0.375, "init_hidden": True, **settings})


def events(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 2, shape)).float()


def stepped(step):
    """The function (steps, samples, ...) -> summed spikes of a function that does one step."""
    return lambda net, x: torch.stack([step(net, each) for each in x]).sum(0)


class Net(nn.Module):
    """Modules by name, and a function of the network and of samples (T, N, ...)."""

    def __init__(self, run, **modules):
        super().__init__()
        self.run = run
        for name, module in modules.items():
            setattr(self, name, module)

    def forward(self, x):
        for module in self.modules():
            if isinstance(module, snntorch.Leaky):
                module.reset_mem()
        return self.run(self, x)


def rounded(net):
    """Round a network's parameters so that float32 adds up what they give without an error."""
    for tensor in (*net.parameters(), *net.buffers()):
        if tensor.is_floating_point() and tensor.ndim:
            tensor.data = (tensor.data * 32).round() / 32
    for module in net.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eps = 0.0
            module.running_var.data = 4.0 ** torch.randint(-1, 2, module.running_var.shape)
    return net


def proved(net, *shape):
    """The Model of a network; it is compared on other samples, another batch and other numbers of steps."""
    rounded(net).eval()
    model = eventsim.from_torch(net, events(STEPS, 4, *shape), layout="TN")
    for seed, (steps, n) in enumerate([(STEPS, 7), (1, 1), (2, 3), (STEPS + 6, 2)], 1):
        x = events(steps, n, *shape, seed=seed)
        with torch.no_grad():
            expected = net(x).flatten(1).numpy()
        got = eventsim.Simulator(model, "float64").run(x.transpose(0, 1).numpy()).output
        np.testing.assert_allclose(got.reshape(n, -1), expected, atol=1e-4)
    assert not model.timesteps_fixed
    return model


@pytest.fixture(autouse=True)
def _same_weights():
    torch.manual_seed(0)


# ---- zeros beside the channels of a layer


PADS = {"behind": lambda x: torch.cat([x, torch.zeros(len(x), 2, *x.shape[2:])], 1),
        "before": lambda x: torch.cat([torch.zeros(len(x), 2, *x.shape[2:]), x], 1),
        "around": lambda x: functional.pad(x, (0, 0, 0, 0, 1, 1))}


def norm(n):
    module = nn.BatchNorm2d(n)
    module.running_mean.uniform_(-0.2, 0.2)
    module.running_var.uniform_(0.5, 2)
    module.bias.data.uniform_(-0.5, 0.5)
    return module


OPERATIONS = {"average": lambda: nn.AvgPool2d(2), "maximum": lambda: nn.MaxPool2d(2), "norm": lambda: norm(6),
              "repeat": lambda: nn.Upsample(scale_factor=2), "nothing": nn.Identity,
              "convolution": lambda: nn.Conv2d(6, 4, 3, padding=1),
              "groups": lambda: nn.Conv2d(6, 4, 3, padding=1, groups=2)}


@pytest.mark.parametrize("pad", PADS)
@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("spikes", [True, False])
def test_zeros_as_channels(name, pad, spikes):
    def step(net, x):
        current = net.conv(x)
        return net.end(net.fc(net.last(net.op(PADS[pad](net.lif(current) if spikes else current))).flatten(1)))

    op = OPERATIONS[name]()
    size = op(torch.zeros(1, 6, 6, 6)).numel()
    proved(Net(stepped(step), conv=nn.Conv2d(2, 4, 3, padding=1), lif=neurons(), op=op, last=neurons(),
               fc=nn.Linear(size, 5), end=neurons()), 2, 6, 6)


class Block(nn.Module):
    """Of a residual network whose shortcuts have no weights: strides and zeros as channels."""

    def __init__(self, n_in, n_out, stride):
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(n_in, n_out, 3, stride, 1, bias=False), norm(n_out)
        self.conv2, self.norm2 = nn.Conv2d(n_out, n_out, 3, 1, 1, bias=False), norm(n_out)
        self.lif1, self.lif2 = neurons(), neurons()
        self.stride, self.n_zeros = stride, (n_out - n_in) // 2

    def forward(self, x):
        y = self.norm2(self.conv2(self.lif1(self.norm1(self.conv1(x)))))
        zeros = (0, 0, 0, 0, self.n_zeros, self.n_zeros)
        return self.lif2(y + functional.pad(x[:, :, ::self.stride, ::self.stride], zeros))


@pytest.mark.parametrize("shortcut", ["strides", "pool"])
def test_a_residual_network_with_zeros_as_channels(shortcut):
    def step(net, x):
        y = net.blocks(net.lif(net.norm(net.conv(x))))
        return net.end(net.fc(nn.functional.adaptive_avg_pool2d(y, 1).flatten(1)))

    blocks = nn.Sequential(Block(4, 4, 1), Block(4, 8, 2), Block(8, 8, 1), Block(8, 16, 2), Block(16, 16, 1))
    if shortcut == "pool":
        for block in blocks:
            block.forward = pooling(block).__get__(block)
    model = proved(Net(stepped(step), conv=nn.Conv2d(2, 4, 3, padding=1, bias=False), norm=norm(4), lif=neurons(),
                       blocks=blocks, fc=nn.Linear(16, 5), end=neurons(threshold=0.125)), 2, 8, 8)
    assert model.shapes["blocks.1.lif2"] == (8, 4, 4)  # still a map


def pooling(block):
    def forward(self, x):
        y = self.norm2(self.conv2(self.lif1(self.norm1(self.conv1(x)))))
        pooled = functional.avg_pool2d(x, self.stride)
        zeros = torch.zeros(len(x), self.n_zeros * 2, *pooled.shape[2:])
        return self.lif2(y + torch.cat([pooled, zeros], 1))

    return forward


# ---- parts of layers


def vectors(step, n=16, n_end=16, **more):
    return Net(stepped(step), fc=nn.Linear(12, n), wide=nn.Linear(12, 32), norm=nn.BatchNorm1d(32), lif=neurons(),
               other=neurons(beta=0.25), end=neurons(), last=nn.Linear(n_end, 5), **more)


VECTORS = {
    "halves": (lambda net, x: torch.cat([net.lif(net.wide(x).chunk(2, 1)[0]), net.other(net.wide(x).chunk(2, 1)[1])],
                                        1), 32),
    "joined": (lambda net, x: net.lif(torch.cat([net.fc(x), net.wide(x)[:, :4]], 1)), 20),
    "a slice": (lambda net, x: net.lif(net.wide(x)[:, 3:15:2]), 6),
    "another order": (lambda net, x: net.lif(net.wide(x).flip(1)), 32),
    "a slice of a norm": (lambda net, x: net.lif(net.norm(net.wide(x))[:, 5:9]), 4),
    "a slice of a sum": (lambda net, x: net.lif((net.fc(x) + net.wide(x)[:, 16:])[:, 5:9]), 4),
    "spikes": (lambda net, x: net.other(2 * net.lif(net.fc(x))[:, 2:9]), 7),
    "spikes and currents": (lambda net, x: net.other(torch.cat([net.lif(net.fc(x)), net.wide(x)], 1)), 48),
    "zeros": (lambda net, x: net.lif(functional.pad(net.fc(x), (1, 2))), 19),
    "another order is added": (lambda net, x: net.lif(net.fc(x) + net.fc(x).flip(1)), 16),
    "one is added to all": (lambda net, x: net.lif(net.fc(x) + net.wide(x)[:, 7:8]), 16),
}


@pytest.mark.parametrize("name", VECTORS)
def test_parts_of_vectors(name):
    middle, n = VECTORS[name]
    proved(vectors(lambda net, x: net.end(net.last(middle(net, x))), n_end=n), 12)


def maps(step, n_end):
    return Net(stepped(lambda net, x: net.end(net.last(step(net, x).flatten(1)))), conv=nn.Conv2d(2, 4, 3, padding=1),
               point=nn.Conv2d(2, 2, 1), norm=norm(4), grouped=nn.Conv2d(2, 4, 3, padding=1, groups=2), lif=neurons(),
               other=neurons(beta=0.25), end=neurons(), last=nn.Linear(n_end, 5))


MAPS = {
    "cropped": (lambda net, x: net.lif(net.conv(x)[:, :, 1:-1, 1:-1]), 64),
    "cropped on one side": (lambda net, x: net.lif(net.norm(net.conv(x))[:, :, 2:, :5]), 4 * 4 * 5),
    "strides": (lambda net, x: net.lif(net.conv(x)[:, 1:3, 1::2, ::3]), 2 * 3 * 2),
    "joined": (lambda net, x: net.lif(torch.cat([net.conv(x), net.point(x)], 1)), 6 * 36),
    "maxima": (lambda net, x: net.lif(functional.max_pool2d(torch.cat([net.conv(x), net.point(x)], 1), 2)), 54),
    "maxima of a norm": (lambda net, x: net.lif(functional.max_pool2d(torch.cat(
        [net.norm(net.conv(x)), net.point(x)], 1), 2)), 54),
    "halves": (lambda net, x: torch.cat([net.lif(y) if i else net.other(y)
                                         for i, y in enumerate(net.norm(net.conv(x)).chunk(2, 1))], 1), 4 * 36),
    "halves of groups": (lambda net, x: net.lif(net.grouped(x)[:, [3, 0, 2]]), 3 * 36),
    "one is added to all": (lambda net, x: net.lif(net.conv(x) + net.point(x)[:, 1:]), 4 * 36),
    "polarities": (lambda net, x: net.lif(net.conv(torch.cat([x[:, :1] - x[:, 1:]] * 2, 1))), 4 * 36),
}


@pytest.mark.parametrize("name", MAPS)
def test_parts_of_maps(name):
    proved(maps(*MAPS[name]), 2, 6, 6)


# ---- steps before


def late(x, steps=1):
    return torch.cat([torch.zeros_like(x[:steps]), x[:-steps] if steps < len(x) else x[:0]])[:len(x)]


def all_steps(module, x):
    return torch.stack([module(each) for each in x])


def delaying(step, bias=True):
    return Net(lambda net, x: all_steps(net.end, step(net, all_steps(net.lif, net.fc(x)))).sum(0),
               fc=nn.Linear(12, 16), lif=neurons(), last=nn.Linear(16, 5, bias=bias), other=nn.Linear(16, 5),
               norm=nn.BatchNorm1d(16), end=neurons())


DELAYS = {
    "spikes": lambda net, a: net.last(late(a)), "two steps": lambda net, a: net.last(late(a, 2)),
    "padded": lambda net, a: net.last(functional.pad(a, (0, 0, 0, 0, 1, 0))[:-1]),
    "a current": lambda net, a: late(net.last(a)),
    "a sum": lambda net, a: net.last(a) + 0.5 * net.other(late(a)),
    "a sum of currents": lambda net, a: net.last(a) + late(net.last(a)),
    "a sum of spikes": lambda net, a: net.last(a + late(a)),
    "late twice": lambda net, a: late(net.last(late(a))),
    "a late sum": lambda net, a: late(net.last(a) + net.other(late(a))),
    "a norm": lambda net, a: net.last(net.norm(late(a).flatten(0, 1)).view_as(a)),
    "samples first": lambda net, a: net.last(late(a).transpose(0, 1)).transpose(0, 1),
}


@pytest.mark.parametrize("name", DELAYS)
@pytest.mark.parametrize("bias", [True, False])
def test_all_steps_read_late(name, bias):
    proved(delaying(DELAYS[name], bias), 12)


def test_a_late_input():
    proved(Net(lambda net, x: all_steps(net.lif, net.fc(late(x))).sum(0), fc=nn.Linear(12, 5), lif=neurons()), 12)


MISSING = {
    "the first step": lambda a: torch.cat([torch.zeros_like(a[:1]), a[1:]]),
    "the last step": lambda a: torch.cat([a[:-1], torch.zeros_like(a[:1])]),
    "a later step": lambda a: torch.cat([a[1:], torch.zeros_like(a[:1])]),
    "one sample": lambda a: torch.cat([torch.zeros_like(a[:, :1]), a[:, 1:]], 1),
    "samples shifted": lambda a: torch.cat([torch.zeros_like(a[:, :1]), a[:, :-1]], 1),
    "some neurons": lambda a: torch.cat([late(a)[..., :8], a[..., 8:]], -1),
}


@pytest.mark.parametrize("name", MISSING)
def test_zeros_that_are_no_delay_are_refused(name):
    net = delaying(lambda net, a: net.last(MISSING[name](a)))
    with pytest.raises(UnsupportedError):
        eventsim.from_torch(net.eval(), events(STEPS, 4, 12), layout="TN")


def test_late_sums_that_weights_read_are_refused():
    """Of one matrix for both, the bias of the first would act before the first step."""
    net = delaying(lambda net, a: net.middle(late(net.last(a))) + net.other(late(a)))
    net.middle = nn.Linear(5, 5)
    with pytest.raises(UnsupportedError, match="reads weighted sums late"):
        proved(net, 12)


# ---- late sums


def test_a_cut_of_a_late_sum():
    def run(net, x):
        a = all_steps(net.lif, net.fc(x))
        return all_steps(net.end, (net.last(a) + late(net.other(a)))[..., 1:4]).sum(0)

    proved(Net(run, fc=nn.Linear(12, 16), lif=neurons(), last=nn.Linear(16, 5, bias=False),
               other=nn.Linear(16, 5, bias=False), end=neurons()), 12)


def test_late_currents_beside_others_keep_their_bias_late():
    """Before the first step a late sum is 0, not its bias: a copy of its weights would give that."""
    def run(net, x):
        a = all_steps(net.lif, net.fc(x))
        return all_steps(net.end, torch.cat([net.other(a), late(net.last(a))], 2)).sum(0)

    net = Net(run, fc=nn.Linear(12, 16), lif=neurons(), last=nn.Linear(16, 5), other=nn.Linear(16, 5, bias=False),
              end=neurons())
    proved(net, 12)


# ---- what the samples of an export do not show


def test_a_clamp_at_0_that_the_samples_do_not_reach():
    net = Net(stepped(lambda net, x: net.lif(net.fc(x).clamp(min=0))), fc=nn.Linear(3, 2),
              lif=neurons(threshold=1.0))
    net.fc.weight.data[:], net.fc.bias.data[:] = 0.75, -0.5
    x = events(5, 4, 3)
    x[:, :, 0] = 1
    with pytest.raises(UnsupportedError, match="does 'clamp'"):
        eventsim.from_torch(net, x, layout="TN")


def test_a_division_that_rounds_where_the_samples_are_even():
    net = Net(stepped(lambda net, x: net.lif(net.fc(torch.div(x, 2, rounding_mode="floor")))),
              fc=nn.Linear(3, 2), lif=neurons())
    with pytest.raises(UnsupportedError, match="divides and rounds"):
        eventsim.from_torch(net, 2 * events(5, 4, 3), layout="TN")


@pytest.mark.parametrize("n", [4, 5])
def test_a_delay_by_the_number_of_samples(n):
    """With as many samples as steps, or more, nothing is left of what is late; with fewer there is."""
    net = delaying(lambda net, a: net.last(a) + net.other(late(a, a.shape[1])))
    with pytest.raises(UnsupportedError, match="depends on the others, or on how many there are"):
        eventsim.from_torch(net.eval(), events(4, n, 12), layout="TN")
