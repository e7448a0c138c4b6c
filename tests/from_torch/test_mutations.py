"""Ways to change what a network's forward does: each is exported equal, or refused by name; none silently differs.

Equality is measured on samples that the export has not seen.
"""

import types

import numpy as np
import pytest

import eventsim
from eventsim.errors import EventsimError

torch = pytest.importorskip("torch")
snntorch = pytest.importorskip("snntorch")
from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

STEPS = 8
MUTATIONS = {}


def mutation(changes, message=None):
    """changes: whether the network does something else afterwards. message: what its refusal says, or None
    where it is exported."""

    def register(function):
        MUTATIONS[function.__name__] = function, changes, message
        return function

    return register


class Net(nn.Module):
    """Convolution, normalisation, neurons, pool, a dense layer, neurons; one step a call."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4)
        self.lif1 = snntorch.Leaky(beta=0.8, init_hidden=True)
        self.pool, self.fc = nn.AvgPool2d(2), nn.Linear(36, 6)
        self.lif2 = snntorch.Leaky(beta=0.9, init_hidden=True)
        self.norm.running_mean.uniform_(-0.2, 0.2)
        self.norm.running_var.uniform_(0.1, 0.3)
        nn.init.normal_(self.fc.weight, 0.1, 0.3)

    def forward(self, x):
        spikes = self.lif1(self.norm(self.conv(x)))
        return self.lif2(self.fc(self.pool(spikes).flatten(1)))


def outputs_of(net, x):
    """(N, 6): spikes of the last layer summed over the steps, as the network itself computes them."""
    net.eval()
    for module in net.modules():
        if isinstance(module, snntorch.SpikingNeuron):
            module.reset_mem()
    with torch.no_grad():
        return sum(net(x) for _ in range(STEPS)).numpy()


# ---- the weights that a layer works with


@mutation(True)
def subclass_that_quantises(net):
    class Quantised(nn.Conv2d):
        def forward(self, x):
            return functional.conv2d(x, torch.round(self.weight * 4) / 4, self.bias)

    conv = Quantised(1, 4, 3)
    conv.load_state_dict(net.conv.state_dict())
    net.conv = conv


@mutation(True)
def parametrised_weight(net):
    class Halved(nn.Module):
        def forward(self, weight):
            return weight / 2

    nn.utils.parametrize.register_parametrization(net.fc, "weight", Halved())


@mutation(True)
def normalised_weight(net):
    nn.utils.parametrizations.weight_norm(net.conv)
    with torch.no_grad():
        net.conv.parametrizations.weight.original0.mul_(3)


@mutation(True)
def pruned_weight(net):
    from torch.nn.utils import prune

    prune.l1_unstructured(net.fc, "weight", 0.6)


@mutation(True)
def weight_masked_in_forward(net):
    mask = (torch.rand(6, 36) < 0.5).float()
    net.fc.forward = types.MethodType(lambda self, x: functional.linear(x, self.weight * mask, self.bias), net.fc)


@mutation(True)
def weight_edited_in_place(net):
    with torch.no_grad():
        net.conv.weight[1].mul_(-2)


@mutation(True)
def weight_shared_by_two_layers(net):
    net.extra = nn.Linear(36, 6)
    net.extra.weight = net.fc.weight
    forward = net.fc.forward
    net.fc.forward = lambda x: forward(x) + net.extra(x)


@mutation(True)
def weight_standardised(net):
    class Standardised(nn.Conv2d):
        def forward(self, x):
            weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
            return functional.conv2d(x, weight, self.bias)

    net.conv.__class__ = Standardised


@mutation(True, "takes random numbers")
def noise_on_the_weight(net):
    net.fc.forward = types.MethodType(
        lambda self, x: functional.linear(x, self.weight + 0.1 * torch.randn_like(self.weight), self.bias), net.fc)


# ---- what happens between the layers


@mutation(True)
def forward_hook_that_scales(net):
    net.conv.register_forward_hook(lambda module, args, out: 2 * out)


@mutation(True)
def forward_pre_hook_on_neurons(net):
    net.lif1.register_forward_pre_hook(lambda module, args: (args[0] * 1.5,))


@mutation(True)
def forward_hook_on_neurons(net):
    net.lif1.register_forward_hook(lambda module, args, out: 0.5 * out)


@mutation(True)
def skip_around_a_subclass_of_sequential(net):
    class Skip(nn.Sequential):
        def forward(self, x):
            return x + super().forward(x)

    net.pool = nn.Sequential(nn.AvgPool2d(2), Skip(nn.Identity()))


@mutation(True)
def pool_that_doubles(net):
    class Doubling(nn.AvgPool2d):
        def forward(self, x):
            return 2 * super().forward(x)

    net.pool = Doubling(2)


@mutation(False)
def functional_pool(net):
    net.pool = nn.Identity()
    net.fc.register_forward_pre_hook(
        lambda module, args: (functional.avg_pool2d(args[0].view(-1, 4, 6, 6), 2).flatten(1),))


@mutation(True)
def max_pool_of_spikes(net):
    net.pool = nn.MaxPool2d(2)


@mutation(True)
def identity_that_shifts(net):
    class Shift(nn.Identity):
        def forward(self, x):
            return x + 0.25

    net.conv = nn.Sequential(net.conv, Shift())


@mutation(True)
def channels_in_another_order(net):
    net.conv = nn.Sequential(net.conv)
    net.conv.register_forward_hook(lambda module, args, out: out[:, [2, 0, 3, 1]])


@mutation(True)
def in_place_on_a_view(net):
    def edit(module, args, out):
        out[:, 1] *= 3
        return out

    net.conv.register_forward_hook(edit)


@mutation(True)
def part_replaced_by_a_constant(net):
    def edit(module, args, out):
        out = out.clone()
        out[:, 0] = 0
        return out

    net.pool.register_forward_hook(edit)


@mutation(True)
def flatten_in_another_order(net):
    net.pool = nn.Sequential(net.pool)
    net.pool.register_forward_hook(lambda module, args, out: out.permute(0, 2, 3, 1))


@mutation(True, "'tanh', which has no equal")
def squashed_current(net):
    net.norm.register_forward_hook(lambda module, args, out: torch.tanh(out))


@mutation(True, "multiplies two signals")
def product_of_signals(net):
    net.norm.register_forward_hook(lambda module, args, out: out * out)


@mutation(True, "takes random numbers")
def noise_on_a_current(net):
    net.norm.register_forward_hook(lambda module, args, out: out + 0.1 * torch.rand_like(out))


@mutation(True, "looks at the values of its tensors")
def branch_on_values(net):
    net.norm.register_forward_hook(lambda module, args, out: out if out.mean() > 0.1 else -out)


@mutation(True, "looks at the values of its tensors")
def detour_through_numpy(net):
    net.norm.register_forward_hook(lambda module, args, out: torch.from_numpy(np.sign(out.detach().numpy())))


# ---- BatchNorm


@mutation(True, "statistics of the batch")
def norm_without_running_statistics(net):
    net.norm = nn.BatchNorm2d(4, track_running_stats=False)


@mutation(True, "statistics of the batch")
def norm_that_stays_in_training(net):
    class Stubborn(nn.BatchNorm2d):
        def train(self, mode=True):
            return super().train(True)

    net.norm = Stubborn(4)
    net.norm.train()


@mutation(True)
def norm_in_training_mode(net):
    net.train()
    net.norm.weight.data.uniform_(0.5, 2)


# ---- neurons


@mutation(True)
def learned_threshold(net):
    net.lif1.threshold = torch.tensor(0.5)


@mutation(True)
def other_reset(net):
    net.lif1 = snntorch.Leaky(beta=0.8, init_hidden=True, reset_mechanism="zero")


@mutation(True, "inhibition=True")
def inhibition(net):
    net.lif2 = snntorch.Leaky(beta=0.9, init_hidden=True, inhibition=True)


@mutation(True)
def subclass_of_neurons_with_its_own_dynamics(net):
    class Noisy(snntorch.Leaky):
        def fire(self, mem):
            return super().fire(mem * 1.3)

    net.lif1.__class__ = Noisy


@mutation(True)
def neuron_with_a_patched_method(net):
    net.lif1.state_function = lambda x: 0.5 * net.lif1.mem + 2 * x


@mutation(True)
def membrane_used_as_a_signal(net):
    net.lif1.register_forward_hook(lambda module, args, out: module.mem)


@mutation(True)
def neurons_shared_by_two_places(net):
    forward = net.fc.forward
    net.fc.forward = lambda x: forward(net.lif1.__call__(x.view(-1, 1, 36)[:, 0] * 0 + x))


@mutation(False)
def dropout_in_training_mode(net):
    net.fc = nn.Sequential(nn.Dropout(0.5), net.fc)
    net.train()


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_changed_forward_is_equal_or_refused(name):
    mutate, changes, message = MUTATIONS[name]
    torch.manual_seed(1)
    net = Net()
    x, fresh = 3 * torch.rand(4, 1, 8, 8), 3 * torch.rand(16, 1, 8, 8)
    before = outputs_of(net, fresh)
    mutate(net)
    try:
        model = eventsim.from_torch(net, x.numpy(), timesteps=STEPS)
    except EventsimError as error:
        text = str(error)
        assert "\n" not in text and (message is None or message in text), text
        return
    assert message is None, f"was exported, expected a refusal that says {message!r}"
    after = outputs_of(net, fresh)
    assert np.array_equal(before, after) == (not changes)
    found = eventsim.Simulator(model, "float64").run(fresh.double().numpy()).output
    assert np.array_equal(found, after)
