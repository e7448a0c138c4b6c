"""An export leaves a network as it was: every tensor, attribute, hook and flag, and the random numbers."""

import copy

import pytest

import eventsim
from eventsim.errors import EventsimError

torch = pytest.importorskip("torch")
snntorch = pytest.importorskip("snntorch")
from torch import nn  # noqa: E402


class Net(nn.Module):
    """Holds tensors in buffers, lists and plain attributes."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4)
        self.lif1 = snntorch.Leaky(beta=0.8, init_hidden=True, learn_beta=True)
        self.drop, self.fc = nn.Dropout(0.5), nn.Linear(144, 6)
        self.lif2 = snntorch.Synaptic(alpha=0.6, beta=0.9, init_hidden=True, output=True)
        nn.init.normal_(self.fc.weight, 0.1, 0.3)
        self.seen, self.notes = [], {"scale": torch.tensor(1.5)}

    def forward(self, x):
        self.seen.append(len(x))
        spikes = self.lif1(self.norm(self.conv(x)) * self.notes["scale"])
        spk, _, mem = self.lif2(self.fc(self.drop(spikes.flatten(1))))
        return spk, mem


def everything(net):
    """All that a network is: name -> value; tensors as (identity, version of the data, values, gradient)."""
    found = {}
    for name, module in net.named_modules():
        for key, value in vars(module).items():
            found[f"{name}.{key}"] = _plain(value)
    return found


def _plain(value):
    if isinstance(value, torch.Tensor):
        grad = None if value.is_leaf is False or value.grad is None else value.grad.clone()
        return id(value), value.data_ptr(), value.dtype, value.detach().clone(), value.requires_grad, grad
    if isinstance(value, dict):
        return type(value), [(key, _plain(item)) for key, item in value.items()]
    if isinstance(value, (list, tuple)):
        return type(value), [_plain(item) for item in value]
    return id(value) if not isinstance(value, (int, float, str, bool)) else value


def same(a, b):
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, (tuple, list)):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


def trained():
    """A network after one step of training, in training mode, with a graph still behind its states."""
    torch.manual_seed(0)
    net = Net()
    handle = net.fc.register_forward_hook(lambda module, args, out: out * 1.25)
    optimiser = torch.optim.SGD(net.parameters(), 0.05)
    loss = sum(net(3 * torch.rand(4, 1, 8, 8))[0].sum() for _ in range(3))
    loss.backward()
    optimiser.step()
    assert net.training and net.lif1.mem.grad_fn is not None and handle.id in net.fc._forward_hooks
    return net


@pytest.mark.parametrize("fails", [False, True])
def test_nothing_of_the_network_changes(fails):
    net, x = trained(), 3 * torch.rand(4, 1, 8, 8)
    if fails:
        net.norm.register_forward_hook(lambda module, args, out: torch.tanh(out))
    before, random, default = everything(net), torch.get_rng_state(), torch.get_default_dtype()
    kept = copy.copy(x)
    if fails:
        with pytest.raises(EventsimError, match="tanh"):
            eventsim.from_torch(net, x, timesteps=6)
    else:
        model = eventsim.from_torch(net, x, timesteps=6)
        assert all(counts[..., 1:].any() for counts in model.check.level_counts.values())
    after = everything(net)
    assert before.keys() == after.keys()
    assert [name for name in before if not same(before[name], after[name])] == []
    assert torch.equal(random, torch.get_rng_state()) and torch.get_default_dtype() == default
    assert torch.equal(x, kept)


@pytest.mark.parametrize("layout", ["coo", "csr", "csc"])
def test_sparse_tensors_among_its_attributes_are_left_alone(layout):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 8), snntorch.Leaky(beta=0.8, threshold=0.3, init_hidden=True))
    weight = net[0].weight.detach().clone()
    net.mask = {"coo": weight.to_sparse, "csr": weight.to_sparse_csr, "csc": weight.to_sparse_csc}[layout]()
    kept = net.mask
    assert eventsim.from_torch(net, 3 * torch.rand(3, 6), timesteps=4).check.outputs.any()
    assert net.mask is kept and torch.equal(kept.to_dense(), weight)


def test_training_goes_on_as_if_nothing_had_happened():
    losses = []
    for exports in (False, True):
        net = trained()
        if exports:
            eventsim.from_torch(net, 3 * torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(1)),
                                timesteps=6)
        optimiser = torch.optim.SGD(net.parameters(), 0.05)
        for module in (net.lif1, net.lif2):
            module.detach_hidden()
        loss = sum(net(3 * torch.rand(4, 1, 8, 8))[1].square().mean() for _ in range(3))
        loss.backward()
        optimiser.step()
        losses.append([p.detach().clone() for p in net.parameters()])
    assert all(map(torch.equal, *losses))


class Scripted(nn.Module):
    """Counts its calls in a buffer, which torch.jit keeps outside of Python."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(6)
        self.register_buffer("steps", torch.zeros(1))

    def forward(self, x):
        self.steps += 1
        return self.norm(x)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_scripted_modules_are_left_as_they_were():
    scripted = torch.jit.script(Scripted())
    net = nn.Sequential(nn.Linear(6, 6), scripted, snntorch.Leaky(beta=0.9, init_hidden=True)).train()
    net[0].eval()
    flags = [module.training for module in net.modules()]
    assert flags.count(False) == 1
    eventsim.from_torch(net, 3 * torch.rand(3, 6), timesteps=4)
    assert [module.training for module in net.modules()] == flags
    assert not scripted.steps.any()
