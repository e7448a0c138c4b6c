"""Neurons of libraries: rules for more of them, states that are handed on, and neurons that are not known."""

from typing import NamedTuple

import numpy as np
import pytest

import eventsim
from eventsim.errors import UnsupportedError

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402


def chain(neurons):
    torch.manual_seed(0)
    return [nn.Linear(20, 12), neurons, nn.Linear(12, 5)]


# ---- states that forward takes and returns


class Kept(NamedTuple):
    v: torch.Tensor
    i: torch.Tensor


class LIFCell(nn.Module):
    """As norse's LIFCell: the state is an argument and a part of what forward returns."""

    class p:
        tau_mem_inv, tau_syn_inv, v_leak, v_th, v_reset = (torch.tensor(v) for v in (100.0, 200.0, 0.0, 0.5, 0.0))

    dt = 0.001

    def forward(self, x, state=None):
        state = state or Kept(torch.zeros_like(x), torch.zeros_like(x))
        current = state.i + x
        v = state.v + self.dt * self.p.tau_mem_inv * (current - state.v)
        spikes = (v > self.p.v_th).to(x.dtype)
        return spikes, Kept((1 - spikes) * v, current - self.dt * self.p.tau_syn_inv * current)


LIFCell.__module__ = "norse.torch.module.lif"


class Stateful(nn.Module):
    """A network of one step a call. hands_on: whether its user hands on its state, or it drops that itself."""

    def __init__(self):
        super().__init__()
        self.front, self.cell, self.end = chain(LIFCell())

    def forward(self, x, state=None):
        spikes, state = self.cell(self.front(x), state)
        return self.end(spikes), state


class Forgetful(Stateful):
    def forward(self, x):
        return super().forward(x)[0]


def test_a_state_that_forward_returns_is_handed_to_the_next_step():
    net, x = Stateful(), 20 * torch.rand(4, 20)
    model = eventsim.from_torch(net, x, timesteps=8, output=lambda result: result[0])
    state, total = None, 0
    with torch.no_grad():
        for _ in range(8):
            y, state = net(x, state)
            total = total + y
    run = eventsim.Simulator(model, "float64").run(x.double().numpy(), record="spikes")
    assert run.levels("cell").any(axis=1).any() and np.allclose(run.output, (total / 8).numpy(), atol=1e-5)


def test_a_state_that_is_dropped_is_said():
    with pytest.raises(UnsupportedError, match=r"LIFCell 'cell' cannot be taken: is called again without the state "
                                               r"that it has given.*y, state = module\(x, state\)"):
        eventsim.from_torch(Forgetful(), 20 * torch.rand(4, 20), timesteps=8)


# ---- rules


@pytest.mark.parametrize("rho_reset", [5.0, 2.5, 0.0])
def test_norses_refractory_neurons(rho_reset):
    norse = pytest.importorskip("norse.torch")
    p = norse.LIFRefracParameters(norse.LIFParameters(v_th=torch.tensor(0.2)), torch.tensor(rho_reset))
    net = norse.SequentialState(*chain(norse.LIFRefracCell(p)), norse.LICell())
    model = eventsim.from_torch(net, 40 * torch.rand(4, 20), timesteps=30)  # proves every spike
    assert model.check.level_counts["lifrefraccell1"][..., 1].any()
    assert model.nodes["lifrefraccell1"].refractory == np.ceil(rho_reset)


@pytest.mark.parametrize("mode", ["s", "m"])
@pytest.mark.parametrize("v_reset", [0.0, -0.3, None])
def test_spikingjellys_cuba_neurons(mode, v_reset):
    pytest.importorskip("spikingjelly")
    from spikingjelly.activation_based import functional, neuron

    net = nn.Sequential(*chain(neuron.CUBALIFNode(v_reset=v_reset)), neuron.IFNode())
    functional.set_step_mode(net, mode)
    x = 3 * torch.rand(*([6] if mode == "m" else []), 4, 20)
    options = {"layout": "TN"} if mode == "m" else {"timesteps": 6}
    node = eventsim.from_torch(net, x, **options).nodes["cubalifnode1"]
    assert (node.current_leak, node.leak) == (0.5, 0.75)


# ---- neurons that are not known


class Quadratic(nn.Module):
    """Neurons of a library that has no rule for them."""

    v_threshold = 1.0

    def forward(self, x):
        return (x * x > self.v_threshold).to(x.dtype)


class Encoder(nn.Module):
    """What fires without a threshold that can be seen."""

    def forward(self, x):
        return (x > 0.5).to(x.dtype)


@pytest.mark.parametrize("cls, library, known", [
    (Quadratic, "spikingjelly", "IFNode, LIFNode"), (Quadratic, "sinabs", "IAF, "), (Encoder, "norse", "LIF, LIFCell"),
])
def test_neurons_of_a_library_without_a_rule_are_named(cls, library, known, monkeypatch):
    monkeypatch.setattr(cls, "__module__", f"{library}.neurons")
    with pytest.raises(UnsupportedError, match=rf"module '1' \({cls.__name__}\).*: {library}'s {cls.__name__} is not "
                                               rf"among the neurons known \({known}.*register a rule"):
        eventsim.from_torch(nn.Sequential(*chain(cls())), torch.rand(4, 20), timesteps=3)


def test_modules_of_one_s_own_are_not_called_a_librarys():
    with pytest.raises(UnsupportedError, match="does 'gt', which has no equal in eventsim; neurons of your own need"):
        eventsim.from_torch(nn.Sequential(*chain(Encoder())), torch.rand(4, 20), timesteps=3)


def test_layers_that_take_more_samples_as_more_steps_are_told_their_setting():
    pytest.importorskip("sinabs")
    import sinabs.layers

    net = nn.Sequential(*chain(sinabs.layers.IAFSqueeze(batch_size=1)), sinabs.layers.IAFSqueeze(batch_size=1))
    with pytest.raises(UnsupportedError, match=r"'1' \(IAFSqueeze\) has batch_size=1 .* with num_timesteps=10"):
        eventsim.from_torch(net, 3.0 * torch.randint(0, 2, (1, 10, 20)), layout="NT")


def test_what_never_fires_inside_a_network_is_refused_in_its_words():
    pytest.importorskip("snntorch")
    pytest.importorskip("sinabs")
    import sinabs.layers

    net = nn.Sequential(*chain(sinabs.layers.ExpLeak(tau_mem=5.0)), sinabs.layers.IAF())
    with pytest.raises(UnsupportedError, match=r"module '1' \(ExpLeak\).*never fires.*put neurons that fire in its"):
        eventsim.from_torch(net, 3.0 * torch.randint(0, 2, (4, 10, 20)), layout="NT")
