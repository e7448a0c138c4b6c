"""Networks that are not the same in every step: refused by what they do, whether the check samples show it or not.

All samples are too small for a spike, so that the proof cannot see anything.
"""

import pytest

import eventsim
from eventsim.engine.simulator import Simulator
from eventsim.errors import UnsupportedError

torch = pytest.importorskip("torch")
snntorch = pytest.importorskip("snntorch")
from torch import nn  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:.*no neuron fires")
T = 3


class Loop(nn.Module):
    """Steps written by hand. step: (network, x, t, spikes of the step before) -> the current of the neurons."""

    def __init__(self, step, before=lambda net, t: None, start=0.0):
        super().__init__()
        self.step, self.before, self.start = step, before, start
        self.fc, self.other, self.back = nn.Linear(4, 5), nn.Linear(4, 5), nn.Linear(5, 5)
        self.lif, self.out = snntorch.Leaky(beta=0.9, threshold=1.0), nn.Linear(5, 2)

    def forward(self, x):
        mem, spikes, total = torch.full((len(x), 5), self.start), torch.zeros(len(x), 5), 0
        for t in range(T):
            self.before(self, t)
            spikes, mem = self.lif(self.step(self, x, t, spikes), mem)
            total = total + self.out(spikes)
        return total


def plain(net, x, t, spikes):
    return net.fc(x)


def with_threshold(net, t):
    net.lif.threshold.fill_(1 + 0.1 * t)


def with_weight(net, t):
    with torch.no_grad():
        net.fc.weight.mul_(1.001)


CHANGING = {
    "another threshold": (plain, with_threshold, 0.0,
                          r"Leaky 'lif' cannot be taken: changes its parameters between steps "
                                                      r"\(v_threshold\); a model's stay as they are"),
    "a membrane that starts elsewhere": (plain, lambda net, t: None, 1e-3,
                                         "Leaky 'lif' cannot be taken: starts from a state that is not zero"),
    "other weights": (lambda net, x, t, s: (net.fc if t < 2 else net.other)(x), lambda net, t: None, 0.0,
                      "layer 'lif' reads 2 different sources in turn, .* or weights that change with the steps"),
    "weights that change": (plain, with_weight, 0.0, "layer 'lif' reads 3 different sources in turn"),
    "an input that fades": (lambda net, x, t, s: net.fc(x * (1 - 0.1 * t)), lambda net, t: None, 0.0,
                            "layer 'lif' reads 3 different sources in turn"),
    "an input in the first step only": (lambda net, x, t, s: net.fc(x) if t == 0 else torch.zeros(len(x), 5),
                                        lambda net, t: None, 0.0, "layer 'lif' reads constants in some steps"),
    "an input from the second step on": (lambda net, x, t, s: net.fc(x) if t else torch.zeros(len(x), 5),
                                         lambda net, t: None, 0.0, "layer 'lif' reads constants in some steps"),
    "feedback that skips a step": (lambda net, x, t, s: net.fc(x) + (net.back(s) if t != 1 else 0),
                                   lambda net, t: None, 0.0, "layer 'lif' reads 3 different sources in turn"),
}


@pytest.mark.parametrize("name", CHANGING)
def test_what_changes_with_the_steps_is_refused_whatever_the_samples_show(name):
    torch.manual_seed(0)
    step, before, start, message = CHANGING[name]
    with pytest.raises(UnsupportedError, match=message):
        eventsim.from_torch(Loop(step, before, start), 1e-3 * torch.rand(3, 4))


def fires_early(above):
    return (above > -0.3).float()


def fires_twice(above):
    return (above > 0).float() + (above > 1).float()


@pytest.mark.parametrize("function", [fires_early, fires_twice])
def test_a_spike_function_of_ones_own_has_to_be_a_step_at_the_threshold(function):
    net = Loop(plain)
    net.lif = snntorch.Leaky(beta=0.9, spike_grad=function)
    with pytest.raises(UnsupportedError, match="Leaky 'lif' cannot be taken: its spike_grad is no step from 0 to "
                                               "1 at "):
        eventsim.from_torch(net, 1e-3 * torch.rand(3, 4))


def test_a_spike_function_says_what_happens_at_the_threshold():
    for function, comparison in ((lambda above: (above >= 0).float(), ">="),
                                 (lambda above: (above > 0).float(), ">")):
        net = Loop(plain)
        net.lif = snntorch.Leaky(beta=0.9, spike_grad=function)
        assert eventsim.from_torch(net, 1e-3 * torch.rand(3, 4)).nodes["lif"].comparison == comparison


CASTS = {
    "the input to whole numbers": lambda net, x, t, s: net.fc(x.int().to(x.dtype)),
    "a current to half precision": lambda net, x, t, s: net.fc(x).half().to(x.dtype),
    "a current in place": lambda net, x, t, s: torch.zeros(len(x), 5).int().copy_(net.fc(x)).to(x.dtype),
}


@pytest.mark.parametrize("name", CASTS)
def test_numbers_that_are_cut_are_refused_whatever_the_samples_show(name):
    with pytest.raises(UnsupportedError,
                       match="rounds what is no spikes to (int32|float16), and a model does not"):
        eventsim.from_torch(Loop(CASTS[name]), 1e-3 * torch.rand(3, 4))


def test_spikes_may_be_whole_numbers():
    torch.manual_seed(0)
    net = Loop(lambda net, x, t, s: net.fc(x.int().to(x.dtype)) + net.back(s.bool().to(x.dtype)))
    model = eventsim.from_torch(net, torch.randint(0, 4, (3, 4)))
    x = torch.randint(0, 4, (8, 4))
    found = Simulator(model, "float32").run(x.numpy())
    assert found.levels("lif").any()
    expected = net(x.float()).detach()
    torch.testing.assert_close(torch.from_numpy(found.output).float(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name, step", [
    ("with its bias from the start", lambda net, x, t, s: net.fc(x) + net.back(s)),
    ("its bias late", lambda net, x, t, s: net.fc(x) + (net.back(s) if t else 0)),
])
def test_biases_of_feedback_act_when_they_do_whatever_the_samples_show(name, step):
    """On samples that fire, though the export has only seen ones that do not."""
    torch.manual_seed(0)
    net = Loop(step)
    with torch.no_grad():
        net.fc.bias.zero_()
        net.back.bias.copy_(torch.linspace(0.05, 0.25, 5))
    model = eventsim.from_torch(net, 1e-3 * torch.rand(3, 4))
    x = 4 * torch.rand(8, 4)
    found = Simulator(model, "float32").run(x.numpy())
    assert found.levels("lif").any()
    torch.testing.assert_close(torch.from_numpy(found.output).float(), net(x).detach(), rtol=1e-4, atol=1e-4)
