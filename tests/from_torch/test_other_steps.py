"""Networks that are another model for each number of steps: said in runs of others, whatever the samples show."""

import warnings

import numpy as np
import pytest

import eventsim
from eventsim.errors import EventsimWarning

torch = pytest.importorskip("torch")
snntorch = pytest.importorskip("snntorch")
from torch import nn  # noqa: E402

T = 4


class Steps(nn.Module):
    """Any number of steps (T, N, 6); `before` changes them, `read` makes the answer of the spikes (T, N, 8)."""

    def __init__(self, read=lambda net, y: y.sum(0), before=lambda x: x):
        super().__init__()
        torch.manual_seed(0)
        self.fc, self.lif, self.head = nn.Linear(6, 8), snntorch.Leaky(beta=0.8, threshold=0.3), nn.Linear(8, 3)
        self.read, self.before = read, before

    def forward(self, x):
        membrane, sent = self.lif.init_leaky(), []
        for step in self.before(x):
            spikes, membrane = self.lif(self.fc(step), membrane)
            sent.append(spikes)
        return self.read(self, torch.stack(sent))


FIXED = {
    "a bias behind the sum": Steps(lambda net, y: net.head(y.sum(0))),
    "the first": Steps(lambda net, y: y[:T].sum(0)),
    "the last four": Steps(lambda net, y: y[-T:].sum(0)), "one by its number": Steps(lambda net, y: y[T - 1]),
    "divided by four": Steps(lambda net, y: y.sum(0) / T),
    "times their number": Steps(lambda net, y: y.sum(0) * len(y)),
    "the mean behind a bias": Steps(lambda net, y: net.head(y.sum(0)) / len(y)),
    "an input by their number": Steps(before=lambda x: x / len(x)),
    "the first of the input": Steps(before=lambda x: x[:T]),
}
ANY = {
    "sum": Steps(), "mean": Steps(lambda net, y: y.mean(0)), "last": Steps(lambda net, y: y[-1]),
    "by their number": Steps(lambda net, y: y.sum(0) / len(y)), "head": Steps(lambda net, y: net.head(y.mean(0))),
    "head of each": Steps(lambda net, y: net.head(y).sum(0)), "doubled": Steps(before=lambda x: 2 * x),
}


def exported(net, t=T, scale=2.0):
    x = scale * torch.randn(t, 3, 6, generator=torch.Generator().manual_seed(1))
    return eventsim.from_torch(net, x, layout="TN")


def run(model, t):
    """(samples (T, N, 6), outputs, what was said)"""
    x = 2 * torch.randn(t, 16, 6, generator=torch.Generator().manual_seed(2))
    simulator = eventsim.Simulator(model)
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        simulator.compile()
        output = simulator.run(x.transpose(0, 1).numpy()).output
        simulator.run(x.transpose(0, 1).numpy())
    return x, output, [str(each.message) for each in found if issubclass(each.category, EventsimWarning)]


@pytest.mark.parametrize("name", FIXED)
def test_a_model_of_one_number_of_steps_says_so_once_when_it_runs_others(name):
    model = exported(FIXED[name])
    assert model.timesteps_fixed and not run(model, T)[2]
    x, output, [said] = run(model, 2 * T)
    assert said == (f"the model: equals what it was made from in runs of {T} steps alone; this run has {2 * T}, so "
                    f"its outputs may differ from the original's: run {T}, or export a model of {2 * T} steps")
    with torch.no_grad():
        assert np.abs(output - FIXED[name](x).numpy()).max() > 1e-3


@pytest.mark.parametrize("name", ANY)
def test_a_model_of_any_number_of_steps_says_nothing(name):
    model = exported(ANY[name])
    x, output, said = run(model, 2 * T)
    assert not model.timesteps_fixed and not said
    with torch.no_grad():
        np.testing.assert_allclose(output, ANY[name](x).numpy(), atol=1e-4)


LATER = {  # what more steps change that those of the samples do not reach
    "the first ten": (Steps(lambda net, y: y[:10].sum(0)), True),
    "the last ten": (Steps(lambda net, y: y[-10:].sum(0)), True),
    "the mean of the first ten": (Steps(lambda net, y: y[:min(10, len(y))].mean(0)), True),
    "the first ten of the input": (Steps(before=lambda x: x[:10]), True),
    "half the input from step ten on": (Steps(before=lambda x: [step / (1 + (t > 9))
                                                                for t, step in enumerate(x)]), True),
    "the first hundred": (Steps(lambda net, y: y[:100].sum(0)), True),
    "all steps, the first hundred alone": (Steps(lambda net, y: y[:100]), True),
    "the input of the first hundred": (Steps(before=lambda x: x[:100]), True),
    "counted up to ten": (Steps(lambda net, y: y.sum(0).clamp(max=10)), True),
    "counted up to ten thousand": (Steps(lambda net, y: y.sum(0).clamp(max=10000)), True),
    "summed in a byte": (Steps(lambda net, y: y.to(torch.uint8).sum(0, dtype=torch.uint8)), True),
    "a sum as a byte": (Steps(lambda net, y: y.sum(0).to(torch.int8)), True),
    "summed in half precision": (Steps(lambda net, y: y.half().sum(0)), True),
    "spikes as bytes": (Steps(lambda net, y: y.to(torch.uint8).sum(0)), False),
    "spikes up to ten": (Steps(lambda net, y: y.clamp(0, 10).sum(0)), False),
    "a sum as whole numbers": (Steps(lambda net, y: y.sum(0).int()), False),
}


@pytest.mark.parametrize("name", LATER)
def test_steps_beyond_those_of_the_samples_count(name):
    net, fixed = LATER[name]
    assert exported(net).timesteps_fixed == fixed


def test_a_long_run_tells_what_rounding_does_from_another_model():
    """A membrane that comes to its threshold exactly, where the order of sums decides."""
    net = Steps()
    with torch.no_grad():
        net.fc.weight.fill_(0.1)
        net.fc.bias.zero_()
    model = eventsim.from_torch(net, (torch.rand(T, 3, 6) < 0.5).float(), layout="TN")
    assert not model.timesteps_fixed


def test_a_network_that_takes_a_step_a_call_is_run_for_long_too():
    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc, self.lif, self.step = nn.Linear(6, 8), snntorch.Leaky(0.8, threshold=0.3, init_hidden=True), 0

        def forward(self, x):
            self.step += 1
            return self.lif(self.fc(x) if self.step <= 60 else 0 * self.fc(x))

    torch.manual_seed(0)
    assert eventsim.from_torch(Counting(), 3 * torch.rand(3, 6), timesteps=T).timesteps_fixed


@pytest.mark.filterwarnings("ignore:.*no neuron fires")
def test_samples_without_a_spike_show_it_too():
    assert exported(FIXED["the first"], scale=1e-3).timesteps_fixed


def test_a_sum_of_one_step_is_a_mean_too():
    assert exported(ANY["mean"], t=1).timesteps_fixed and not exported(ANY["sum"], t=1).timesteps_fixed


def test_a_network_that_takes_no_other_number_says_nothing_of_them():
    assert not exported(Steps(before=lambda x: x.view(T, 3, 6))).timesteps_fixed


@pytest.mark.parametrize("read, fixed", [(lambda y: y[:T].sum(0), True), (lambda y: y.sum(0), False)])
def test_samples_that_stand_still_and_are_repeated(read, fixed):
    net = nn.Sequential(nn.Linear(6, 8), snntorch.Leaky(beta=0.8, threshold=0.3, init_hidden=True))

    class Repeated(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = net

        def forward(self, x):
            return read(torch.stack([self.net(step) for step in x.unbind()]))

    model = eventsim.from_torch(Repeated(), 2 * torch.rand(3, 6), timesteps=T)
    assert model.provenance["exported from"].endswith("repeated, steps first") and model.timesteps_fixed == fixed


def test_pieces_of_a_run_say_nothing_until_it_is_too_long():
    model, x = exported(FIXED["the first"]), np.ones((2, 1, 6))
    simulator = eventsim.Simulator(model)
    with pytest.warns(EventsimWarning, match="this run has 1,"):
        state = simulator.run(x).state
    simulator = eventsim.Simulator(model)
    with warnings.catch_warnings():
        warnings.simplefilter("error", EventsimWarning)
        for _ in range(T - 1):
            state = simulator.run(x, state=state).state
    with pytest.warns(EventsimWarning, match=f"this run has {T + 1},"):
        simulator.run(x, state=state)


def test_files_keep_it(tmp_path):
    for name, model in (("fixed", exported(FIXED["the first"])), ("any", exported(ANY["sum"]))):
        eventsim.save(model, tmp_path / f"{name}.h5")
        assert eventsim.load(tmp_path / f"{name}.h5").timesteps_fixed == (name == "fixed")
