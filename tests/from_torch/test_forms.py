"""Forms that networks come in: types of their own, lists of steps, masks; and what is refused of them."""

from dataclasses import dataclass

import numpy as np
import pytest

import eventsim
from eventsim.errors import UnsupportedError

torch = pytest.importorskip("torch")
snntorch = pytest.importorskip("snntorch")
from torch import nn  # noqa: E402

from eventsim.from_torch.preserving import in_type  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")


class Loop(nn.Module):
    """Neurons that do the steps of x, (T, N, 4). current: module, input -> what they read. answer: spikes of all steps
    and the module -> what forward returns."""

    def __init__(self, current, answer):
        super().__init__()
        torch.manual_seed(0)
        self.fc, self.lif = nn.Linear(4, 5), snntorch.Leaky(beta=0.9)
        self.register_buffer("mask", torch.tensor([True, False, False, True, False]))
        self.current, self.answer = [current], [answer]  # no modules

    def forward(self, x):
        mem, sent = self.lif.init_leaky(), []
        for step in x:
            spk, mem = self.lif(self.current[0](self, step), mem)
            sent.append(spk)
        return self.answer[0](self, sent)


def weighted(net, x):
    return net.fc(x)


def steps(n=4, t=3):
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 4, (t, n, 4), generator=generator)


def exported(net, **options):
    """The model, and its output for fresh samples."""
    model = eventsim.from_torch(net, steps(), layout="TN", **options)
    return model, eventsim.Simulator(model, "float32").run(steps(9).numpy().swapaxes(0, 1)).output


@pytest.mark.filterwarnings("ignore:.*proved equal to net.float")
@pytest.mark.parametrize("dtype", (torch.float64, torch.float16, torch.bfloat16))
def test_a_network_in_a_type_of_its_own_is_proved_in_float32_and_left_as_it_was(dtype):
    net = nn.Sequential(nn.Linear(4, 5), snntorch.Leaky(beta=0.9, init_hidden=True), nn.Linear(5, 3)).to(dtype)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    parameters = [id(p) for p in net.parameters()]
    model = eventsim.from_torch(net, steps(), layout="TN")
    assert [id(p) for p in net.parameters()] == parameters and model.check.level_counts
    for name, value in net.state_dict().items():
        assert value.dtype == before[name].dtype and torch.equal(value, before[name])
    assert np.array_equal(model.nodes["linear0"].weight, net[0].weight.detach().double().numpy())


def test_a_buffer_that_modules_share_stays_shared_in_float32():
    """Else what one writes, the others would not read, and another network would be compared."""
    net = nn.Sequential(nn.Identity(), nn.Identity()).double()
    shared = torch.ones(3, dtype=torch.float64)
    for module in net:
        module.register_buffer("gate", shared)
    with in_type(net, torch.float32):
        net[0].gate.fill_(2)
        assert net[1].gate.dtype == torch.float32 and net[1].gate.tolist() == [2, 2, 2]
    assert net[0].gate is net[1].gate is shared and shared.tolist() == [1, 1, 1]


def test_code_that_cannot_be_compared_in_float32_is_said_in_one_line():
    net = Loop(lambda net, x: x.double() @ torch.ones(4, 5, dtype=torch.float64) @ net.fc.weight.t()[:1].t(),
               lambda net, sent: torch.stack(sent))
    net.fc.double()
    net.lif.double()
    with pytest.raises(UnsupportedError, match=r"in float32, with which a model is compared, Loop raises RuntimeError"):
        eventsim.from_torch(net, steps(), layout="TN")


@pytest.mark.parametrize("answer", [
    lambda net, sent: sent, lambda net, sent: tuple(sent), lambda net, sent: (sent, [net.fc.weight]),
    lambda net, sent: {"spikes": sent},
])
def test_a_list_of_steps_is_all_of_them(answer):
    _, output = exported(Loop(weighted, answer))
    expected = sum(Loop(weighted, lambda net, sent: sent)(steps(9).float()))
    assert np.array_equal(output, expected.detach().numpy()) and output.any()


@dataclass
class Result:
    spikes: object


def test_what_forward_returns_has_to_be_seen():
    net = Loop(weighted, lambda net, sent: Result(torch.stack(sent)))
    with pytest.raises(UnsupportedError, match="Loop returns Result, in which no tensor depends on its input; say with "
                                               "output=... which"):
        eventsim.from_torch(net, steps(), layout="TN")
    with pytest.raises(UnsupportedError, match="output gives Result, in which no tensor"):
        eventsim.from_torch(net, steps(), layout="TN", output=lambda result: result)
    assert exported(net, output=lambda result: result.spikes)[1].any()


MASKS = {
    "where": lambda net, x: torch.where(net.mask, net.fc(x), torch.zeros(())),
    "where, other side": lambda net, x: torch.where(net.mask, 0.3, net.fc(x)),
    "masked_fill": lambda net, x: net.fc(x).masked_fill(net.mask, -1.0),
    "masked_fill_": lambda net, x: net.fc(x).masked_fill_(~net.mask, 0.4),
}


@pytest.mark.parametrize("name", MASKS)
def test_constant_masks_are_scales_and_shifts(name):
    _, output = exported(Loop(MASKS[name], lambda net, sent: torch.stack(sent)))
    expected = Loop(MASKS[name], lambda net, sent: sum(sent))(steps(9).float())
    assert np.array_equal(output, expected.detach().numpy()) and output.any()


REFUSED = {
    "a mask of spikes": (lambda net, x: torch.where(x[:, :1] > 1, net.fc(x), 0.0), None, "does 'gt'"),
    "two signals under a mask": (lambda net, x: torch.where(net.mask, net.fc(x), net.fc(2 * x)), None,
                                 "does 'where' with two signals, .* multiply each by a mask and add them"),
    "gates": (lambda net, x: net.gru(net.fc(x)), None, r"module 'gru' \(GRUCell\), .*has gates or rectifiers"),
    "a limit": (lambda net, x: net.fc(x).clamp(-1, 1), None, "does 'clamp' to a signal, .* put spiking neurons"),
    "weights of steps": (weighted, lambda net, sent: sum((0.5 + t) * s for t, s in enumerate(sent)),
                         "adds steps of one layer with different weights; eventsim gives their sum"),
    "scaled spikes": (lambda net, x: 0.5 * x + 0.25 * x * torch.arange(4.0), None,
                      "adds two signals, one of which is multiplied or shifted before any synapses, .* behind the synapses"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_a_place_and_a_remedy(name):
    current, answer, message = REFUSED[name]
    net = Loop(current, answer or (lambda net, sent: torch.stack(sent)))
    net.gru = nn.GRUCell(5, 5)
    with pytest.raises(UnsupportedError, match=message) as error:
        eventsim.from_torch(net, steps(), layout="TN")
    assert "\n" not in str(error.value) and "test_forms.py:" in str(error.value)


class Membrane(nn.Module):
    """The last membrane of a layer without a reset. state: which of what it returns that is."""

    def __init__(self, layer, start):
        super().__init__()
        torch.manual_seed(0)
        self.fc, self.last, self.start = nn.Linear(4, 5), layer, start

    def forward(self, x):
        state = self.start(self.last)
        for step in x:
            spk, *kept = self.last(self.fc(step), *state)
            state = (spk, *kept) if hasattr(self.last, "recurrent") else kept
        return kept[-1]


def test_the_membrane_of_alpha_without_a_reset_is_a_readout_a_step_late():
    net = Membrane(snntorch.Alpha(alpha=0.9, beta=0.6, reset_mechanism="none"), lambda layer: layer.reset_mem())
    model, output = exported(net)
    assert model.nodes["last"].role == "readout" and [edge.delay for edge in model.incoming("last")] == [1]
    np.testing.assert_allclose(output, net(steps(9).float()).detach().numpy(), rtol=1e-5)


def test_a_membrane_that_its_own_spikes_reach_is_refused_with_its_place():
    net = Membrane(snntorch.RLeaky(beta=0.9, linear_features=5, reset_mechanism="none"),
                   lambda layer: layer.init_rleaky())
    with pytest.raises(UnsupportedError, match=r"module 'last' \(RLeaky\), .*uses the membrane of neurons, .* "
                                               "without a reset and without recurrence"):
        eventsim.from_torch(net, steps(), layout="TN")
