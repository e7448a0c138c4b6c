"""Neurons of libraries that start, end or reset in a way of their own."""

from typing import NamedTuple

import numpy as np
import pytest

import eventsim
from eventsim.errors import UnsupportedError

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402


def samples(n_steps, n):
    return (np.random.default_rng(n_steps).random((n_steps, n, 12)) < 0.5).astype(int)


def strong(n_in, n_out):
    layer = nn.Linear(n_in, n_out)
    layer.weight.data *= 3
    return layer


# ---- norse: membranes of IAF start at v_reset


class Membrane(NamedTuple):
    v: torch.Tensor


class IAFCell(nn.Module):
    """As norse's: its state is an argument, and a part of what forward returns."""

    def __init__(self, p):
        super().__init__()
        self.p = p

    def forward(self, x, state=None):
        v = (self.p.v_reset if state is None else state.v) + x
        fires = (v > self.p.v_th).to(x.dtype)
        return fires, Membrane((1 - fires) * v + fires * self.p.v_reset)


IAFCell.__module__ = "norse.torch.module.iaf"


class Parameters:
    def __init__(self, v_reset):
        self.v_th, self.v_reset = torch.tensor(1.0), v_reset


class Stepping(nn.Module):
    def __init__(self, cell):
        super().__init__()
        self.front, self.cell = strong(12, 6), cell

    def forward(self, x, state=None):
        return self.cell(self.front(x), state)


@pytest.mark.parametrize("library", ("norse's", "as norse's"))
@pytest.mark.parametrize("v_reset", (0.0, -1.0, 0.4, [-1.0, -0.5, 0.0, 0.25, 0.5, -2.0]), ids=str)
def test_membranes_of_iaf_start_at_v_reset(v_reset, library):
    torch.manual_seed(0)
    v_reset = torch.tensor(v_reset)
    if library == "norse's":
        norse = pytest.importorskip("norse.torch")
        cell = norse.IAFCell(norse.IAFParameters(v_reset=v_reset))
    else:
        cell = IAFCell(Parameters(v_reset))
    net = Stepping(cell)
    model = eventsim.from_torch(net, samples(20, 3), layout="TN")  # proves every spike
    np.testing.assert_allclose(model.nodes["cell"].v_threshold, 1 - v_reset.detach().numpy(), rtol=1e-6)
    assert not np.any(model.nodes["cell"].v_reset)
    x, state, sent = samples(31, 4), None, []
    with torch.no_grad():
        for step in torch.from_numpy(x).float():
            spikes, state = net(step, state)
            sent.append(spikes.numpy())
    levels = eventsim.Simulator(model, "float64").run(x.transpose(1, 0, 2)).levels("cell")
    assert np.array_equal(levels, np.stack(sent, 1)) and levels.any()


# ---- SpikingJelly: nodes that never fire


def ending(last):
    from spikingjelly.activation_based import functional, layer, neuron

    torch.manual_seed(0)
    net = nn.Sequential(strong(12, 8), neuron.IFNode(), layer.Linear(8, 5), last)
    functional.set_step_mode(net, "m")
    return net


def integrating(kind, decode, **settings):
    pytest.importorskip("spikingjelly")
    from spikingjelly.activation_based import neuron

    return ending(getattr(neuron, f"NonSpiking{kind}Node")(decode=decode, **settings))


@pytest.mark.parametrize("decode", ("last_mem", "mean-mem", None))
@pytest.mark.parametrize("kind, settings", [("IF", {}), ("LIF", {}), ("LIF", {"tau": 5.0})], ids=str)
def test_spikingjellys_readouts(kind, settings, decode):
    functional = pytest.importorskip("spikingjelly.activation_based.functional")
    net = integrating(kind, decode, **settings)
    model = eventsim.from_torch(net, samples(6, 3), layout="TN")
    readout = model.nodes[model.output]
    assert readout.reduce == ("last" if decode == "last_mem" else "mean")
    assert readout.leak == (1 if kind == "IF" else pytest.approx(1 - 1 / settings.get("tau", 2.0)))
    x = samples(17, 4)
    functional.reset_net(net)
    with torch.no_grad():
        theirs = net(torch.from_numpy(x).float())
    theirs = theirs if decode else torch.stack(theirs).mean(0)
    run = eventsim.Simulator(model, "float64").run(x.transpose(1, 0, 2))
    np.testing.assert_allclose(run.output, theirs.numpy(), atol=1e-5)


def test_readouts_without_decay_of_their_input():
    """As SpikingJelly's neurons that fire have it; those that do not divide by tau in all its versions."""
    pytest.importorskip("spikingjelly")
    from eventsim.from_torch.libraries.spikingjelly import _integrating

    node = integrating("LIF", None, tau=4.0)[3]
    assert _integrating(node, torch.zeros(3, 2, 5)).node.input_gain == 0.25
    node.decay_input = False
    layer = _integrating(node, torch.zeros(3, 2, 5))
    assert layer.node.input_gain == 1 and layer.node.leak == 0.75


def test_the_sum_of_the_steps_of_a_readout():
    class Summed(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = integrating("LIF", None)

        def forward(self, x):
            return torch.stack(self.net(x)).sum(0)

    model = eventsim.from_torch(Summed(), samples(6, 3), layout="TN")
    assert model.nodes[model.output].reduce == "sum"


@pytest.mark.parametrize("kind", ("IF", "LIF"))
@pytest.mark.parametrize("decode", ("max-mem", "max-abs-mem"))
def test_maxima_of_readouts_are_refused_by_name(kind, decode):
    with pytest.raises(UnsupportedError, match=rf"NonSpiking{kind}Node '3' cannot be taken: its decode is "
                                               rf"'{decode}', and a model gives the last step.*choose "
                                               r"decode='last_mem' or "):
        eventsim.from_torch(integrating(kind, decode), samples(6, 3), layout="TN")


def test_readouts_that_are_called_for_each_step_are_refused():
    class Called(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = integrating("LIF", "last_mem")

        def forward(self, x):
            half = len(x) // 2
            return self.net(x[:half]) + self.net(x[half:])

    with pytest.raises(UnsupportedError, match=r"NonSpikingLIFNode 'net.3' cannot be taken: is called again, and "
                                               r"starts anew at every call; give it all steps in one call"):
        eventsim.from_torch(Called(), samples(6, 3), layout="TN")


# ---- snnTorch: a reset that is changed after the module was made


def resetting(kind, changed, **settings):
    snntorch = pytest.importorskip("snntorch")
    torch.manual_seed(0)
    decay = {"alpha": 0.7} if kind in ("Synaptic", "Alpha") else {}
    neurons = getattr(snntorch, kind)(beta=0.5, init_hidden=True, reset_mechanism="subtract", **decay, **settings)
    net = nn.Sequential(strong(12, 8), neurons, nn.Linear(8, 5))
    if changed:
        neurons.reset_mechanism = changed
    return net


@pytest.mark.parametrize("changed", ("zero", "none"))
@pytest.mark.parametrize("kind", ("Leaky", "Synaptic", "Lapicque", "Alpha"))
def test_a_reset_that_was_changed_later_is_refused_by_name(kind, changed):
    with pytest.raises(UnsupportedError, match=rf"{kind} '1' cannot be taken: its reset_mechanism is '{changed}', "
                                               r"but it resets by 'subtract'.*Make it with reset_mechanism="
                                               rf"'{changed}'; or set it back to 'subtract'"):
        eventsim.from_torch(resetting(kind, changed), samples(6, 3), layout="TN")


@pytest.mark.parametrize("kind", ("Leaky", "Synaptic"))
def test_a_reset_that_is_set_back_is_taken(kind):
    net = resetting(kind, "zero")
    net[1].reset_mechanism = "subtract"
    assert eventsim.from_torch(net, samples(6, 3), layout="TN").nodes[f"{kind.lower()}1"].reset == "soft"


def test_a_reset_of_which_half_was_loaded_is_refused():
    """reset_delay=False reads the number that a checkpoint holds, the rest of forward does not."""
    net, other = (resetting("Leaky", "", reset_delay=False) for _ in range(2))
    other[1].reset_mechanism = "zero"
    net.load_state_dict(other.state_dict())
    with pytest.raises(UnsupportedError, match="but it resets by 'zero'"):
        eventsim.from_torch(net, samples(6, 3), layout="TN")
