"""Rules of one's own: taken whole, proved like everything else; and what is no equal."""

import numpy as np
import pytest

import eventsim
from eventsim.errors import ModelError, UnsupportedError

torch = pytest.importorskip("torch")
snntorch = pytest.importorskip("snntorch")
from torch import nn  # noqa: E402

from eventsim.from_torch import exporting  # noqa: E402
from eventsim.from_torch.layers import NeuronLayer  # noqa: E402


class Threshold(nn.Module):
    """Neurons of the user's own: several levels, soft reset, all steps at once."""

    def __init__(self, theta=0.5, bits=2):
        super().__init__()
        self.theta, self.bits = theta, bits

    def forward(self, x):
        v, sent = torch.zeros_like(x[0]), []
        for step in x:
            v = v + step
            k = torch.floor(v / self.theta).clamp(0, 2**self.bits - 1)
            v = v - k * self.theta
            sent.append(k * self.theta)
        return torch.stack(sent)


class Gain(nn.Module):
    """A module without a state."""

    def forward(self, x):
        return torch.where(x > 0, 2 * x, x * 2)


@pytest.fixture(autouse=True)
def rules(monkeypatch):
    """The rules of this test alone."""
    torch.manual_seed(0)
    monkeypatch.setattr(exporting, "RULES", exporting.known_rules())


def neurons(module, x):
    return NeuronLayer(eventsim.Neuron(module.theta, quantum=module.theta, bits=module.bits), axes="TN")


def network(*layers):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc, self.layers, self.out = nn.Linear(6, 8), nn.ModuleList(layers), nn.Linear(8, 3)

        def forward(self, x):
            x = self.fc(x).expand(5, *x.shape[:1], 8)
            for layer in self.layers:
                x = layer(x)
            return self.out(x).mean(0)

    return Net()


def test_without_a_rule_the_place_and_the_remedy_are_named():
    with pytest.raises(UnsupportedError,
                       match=r"module 'layers.0' \(Threshold\), test_rules.py:\d+: does 'floor'"):
        eventsim.from_torch(network(Threshold()), torch.rand(4, 6))


def test_a_rule_makes_neurons_of_a_module():
    eventsim.from_torch.register(Threshold, neurons)
    model = eventsim.from_torch(network(Threshold()), 3 * torch.rand(4, 6))
    assert model.nodes["layers.threshold0"].n_bits == 2
    assert model.check.level_counts["layers.threshold0"][..., 2:].any()


def test_a_wrong_rule_is_found_and_the_first_difference_named():
    eventsim.from_torch.register(Threshold, lambda module, x: NeuronLayer(
        eventsim.Neuron(1.1 * module.theta, quantum=module.theta, bits=module.bits), axes="TN"))
    with pytest.raises(ModelError, match=r"layer 'layers.threshold0' parts from the original network at step \d, "
                                         r"sample \d"):
        eventsim.from_torch(network(Threshold()), 3 * torch.rand(4, 6))


def test_a_rule_that_says_too_few_bits_is_found():
    eventsim.from_torch.register(Threshold, lambda module, x: NeuronLayer(
        eventsim.Neuron(module.theta, quantum=module.theta, bits=1), axes="TN"))
    with pytest.raises(ModelError, match="sends levels from 0 to 3, and its rule says 1 bits"):
        eventsim.from_torch(network(Threshold()), 3 * torch.rand(4, 6))


@pytest.mark.parametrize("scale, largest, held", [(0.1, 1, 7), (3, 4, 31), (300, 308, 2047)])
def test_any_number_of_spikes_gets_bits_by_what_is_sent_and_a_word(scale, largest, held):
    eventsim.from_torch.register(Threshold, lambda module, x: NeuronLayer(
        eventsim.Neuron(module.theta, quantum=module.theta, bits=16), axes="TN", unlimited=True))
    with pytest.warns(eventsim.EventsimWarning, match="any number of spikes") as said:
        model = eventsim.from_torch(network(Threshold(bits=40)), scale * torch.rand(4, 6))
    assert (1 << model.nodes["layers.threshold0"].n_bits) - 1 == held
    [said] = [str(one.message) for one in said if "any number" in str(one.message)]
    assert f"layers.threshold0 (at most {largest} on the check samples, {held} held)" in said
    assert "saturated_top_bit in the findings of eventsim stats and report" in said


def test_more_spikes_than_a_model_holds_are_refused():
    eventsim.from_torch.register(Threshold, lambda module, x: NeuronLayer(
        eventsim.Neuron(module.theta, quantum=module.theta, bits=16), axes="TN", unlimited=True))
    with pytest.raises(UnsupportedError,
                       match=r"layer 'layers.threshold0': sends \d+ spikes in one step on the check "
                                               "samples, and a model holds at most 65535; raise its threshold"):
        eventsim.from_torch(network(Threshold(bits=40)), 1e5 * torch.rand(4, 6))


def test_a_module_without_a_state_may_be_a_node():
    double = eventsim.BatchNorm(np.full(8, 2.0), np.zeros(8), np.zeros(8), np.ones(8), eps=0.0)
    eventsim.from_torch.register(Threshold, neurons)
    with pytest.raises(UnsupportedError, match="does 'gt'"):
        eventsim.from_torch(network(Threshold(), Gain()), 3 * torch.rand(4, 6))
    eventsim.from_torch.register(Gain, lambda module, x: double)
    net = network(Threshold(), Gain())
    assert eventsim.from_torch(net, 3 * torch.rand(4, 6)).nodes["layers.gain1"] is double


def test_a_subclass_that_changes_something_needs_its_own_rule():
    class Eager(Threshold):
        def forward(self, x):
            return super().forward(2 * x)

    eventsim.from_torch.register(Threshold, neurons)
    with pytest.raises(UnsupportedError, match=r"module 'layers.0' \(Eager\)"):
        eventsim.from_torch(network(Eager()), 3 * torch.rand(4, 6))


def test_a_network_of_relus_is_refused_in_one_line_that_says_how_to_convert_it():
    net = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    with pytest.raises(UnsupportedError) as error:
        eventsim.from_torch(net, torch.rand(4, 6), timesteps=4)
    assert "relu" in str(error.value) and "conversion" in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("make, message", [
    (lambda: snntorch.Leaky(beta=0.9, threshold=-0.5, init_hidden=True),
     "Leaky '1' cannot be taken: threshold is -0.5"),
    (lambda: snntorch.Alpha(alpha=0.9, beta=0.8, init_hidden=True, state_quant=lambda mem: mem), "state_quant"),
    (lambda: nn.Sequential(nn.Unflatten(1, (2, 2, 2)), nn.AdaptiveMaxPool2d((3, 2))), "windows that are not equal"),
    (lambda: nn.Softmax(1), "does '_softmax', which has no equal in eventsim; return what it reads"),
    (lambda: nn.LayerNorm(8), "train with BatchNorm"),
    (lambda: nn.Sigmoid(), "put spiking neurons in its place"),
])
def test_what_has_no_equal_is_named_with_a_remedy(make, message):
    with pytest.raises(UnsupportedError) as error:
        eventsim.from_torch(nn.Sequential(nn.Linear(6, 8), make()), 3 * torch.rand(4, 6), timesteps=4)
    assert message in str(error.value) and "\n" not in str(error.value)


class Floor(nn.Module):
    """Spikes, but not below a bound."""

    def __init__(self, bound):
        super().__init__()
        self.bound = bound

    def forward(self, x):
        return torch.clamp_min(x, self.bound)


@pytest.mark.filterwarnings("ignore:the network leaves its steps")
def test_a_lower_bound_is_judged_by_itself_and_not_by_the_samples():
    """All neurons fire at every step here, so that a bound of 1 changes nothing of these samples."""
    def net(bound):
        lif = snntorch.Leaky(beta=0.9, threshold=0.01, init_hidden=True, reset_mechanism="zero")
        first = nn.Linear(6, 8)
        nn.init.constant_(first.weight, 1.0)
        return nn.Sequential(first, lif, Floor(bound), nn.Linear(8, 3))

    x = 1 + torch.rand(4, 6)
    assert eventsim.from_torch(net(0), x, timesteps=4).check.level_counts["leaky1"][..., 0].sum() == 0
    with pytest.raises(UnsupportedError, match="'clamp_min' to a signal"):
        eventsim.from_torch(net(1), x, timesteps=4)


class Lasting(nn.Module):
    """Neurons of the user's own whose membrane stays in the module; nobody knows how to reset it."""

    def __init__(self):
        super().__init__()
        self.v = None

    def forward(self, x):
        self.v = x if self.v is None else self.v + x
        spikes = (self.v >= 1).to(x.dtype)
        self.v = self.v - spikes
        return spikes


def test_a_state_in_a_module_begins_anew_for_every_way_of_calling_the_network():
    """All steps at once is tried first, and leaves a membrane behind."""
    eventsim.from_torch.register(Lasting, lambda module, x: eventsim.Neuron())
    net = nn.Sequential(nn.Linear(6, 8), Lasting())
    model = eventsim.from_torch(net, 2 * torch.rand(4, 6), timesteps=5)
    assert net[1].v is None and model.check.level_counts["lasting1"][..., 1].any()


def test_neurons_outside_the_networks_modules_are_refused():
    class Hidden(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc, self.kept = nn.Linear(6, 8), [snntorch.Leaky(beta=0.9, init_hidden=True)]

        def forward(self, x):
            return self.kept[0](self.fc(x))

    with pytest.raises(UnsupportedError, match="uses Leaky, which is not among the network's modules"):
        eventsim.from_torch(Hidden(), 3 * torch.rand(4, 6), timesteps=4)


@pytest.mark.parametrize("prepare, message", [
    (lambda x: x / x.max(), "does 'max', which"), (lambda x: (x > 0.5).float(), "does 'gt', which"),
    (lambda x: torch.relu(x - 0.5), "does 'relu', which"), (lambda x: x.clamp(0.2, 0.8), "does 'clamp' to a signal"),
])
def test_what_is_done_to_the_samples_is_to_be_done_before(prepare, message):
    class Prepared(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(4, 3)

        def forward(self, x):
            return self.fc(prepare(x))

    with pytest.raises(UnsupportedError, match=f"{message}.*do that to the samples before, and give what it makes"):
        eventsim.from_torch(Prepared(), torch.rand(3, 4), timesteps=4)


def test_real_numbers_and_currents_are_resampled_by_synapses():
    net = nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(1, 2, 3), nn.Upsample(scale_factor=2), nn.Flatten(),
                        nn.Linear(2 * 12 * 12, 5))
    torch.manual_seed(0)
    x = torch.randn(3, 1, 4, 4)
    model = eventsim.from_torch(net, x, timesteps=2)
    run = eventsim.Simulator(model, "float64").run(x.double().numpy())
    assert np.allclose(run.output, net(x).detach().numpy(), atol=1e-5)
