"""What neurons keep between steps: nobody but they may change it, whatever the samples show."""

import pytest

import eventsim
from eventsim.errors import UnsupportedError

torch = pytest.importorskip("torch")
snntorch = pytest.importorskip("snntorch")
from torch import nn  # noqa: E402

from eventsim.from_torch import exporting  # noqa: E402
from eventsim.from_torch.layers import NeuronLayer  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")
SETTINGS = {"beta": 0.8, "threshold": 0.3}


class Hidden(nn.Module):
    """Neurons that keep their state; `between` is done with them after each step. x: (T, N, 4)."""

    def __init__(self, lif, between, before=lambda lif: None):
        super().__init__()
        torch.manual_seed(0)
        self.fc, self.lif = nn.Linear(4, 5), lif
        self.between, self.before = [between], [before]

    def forward(self, x):
        self.before[0](self.lif)
        out = 0
        for step in x:
            out = out + self.lif(self.fc(step))
            self.between[0](self.lif)
        return out


class Explicit(nn.Module):
    """Neurons that are handed their states; `between` makes those of the next step from them. x: (T, N, 4)."""

    def __init__(self, lif, first, between):
        super().__init__()
        torch.manual_seed(0)
        self.fc, self.lif = nn.Linear(4, 5), lif
        self.first, self.between = [first], [between]

    def forward(self, x):
        states, out = self.first[0], 0
        for step in x:
            result = self.lif(self.fc(step), *states)
            spk, states = self.between[0](result)
            out = out + spk
        return out


class Own(nn.Module):
    """Neurons of the user's own, which give their membrane first, or keep it."""

    def __init__(self, keeps):
        super().__init__()
        self.keeps, self.state, self.sent = keeps, None, []

    def forward(self, x, v=None):
        v = self.state if self.keeps else v
        v = x if v is None else v + x
        spk = (v >= 1).to(x.dtype)
        self.state = v - spk if self.keeps else None
        self.sent.append(spk)
        return spk if self.keeps else (v - spk, spk)


@pytest.fixture(autouse=True)
def rules(monkeypatch):
    """The rules of this test alone."""
    monkeypatch.setattr(exporting, "RULES", exporting.known_rules())
    eventsim.from_torch.register(
        Own, lambda module, x: NeuronLayer(eventsim.Neuron(), output=0 if module.keeps else 1))


def steps(n=3, t=4):
    return torch.rand(t, n, 4, generator=torch.Generator().manual_seed(1))


def hidden(name="Leaky", **settings):
    return getattr(snntorch, name)(init_hidden=True, **SETTINGS, **settings)


def explicit(name, **settings):
    return getattr(snntorch, name)(**SETTINGS, **settings)


def setting(name, function):
    """What sets an attribute of neurons to a function of it."""
    return lambda lif: setattr(lif, name, function(getattr(lif, name)))


def jelly():
    neuron = pytest.importorskip("spikingjelly.activation_based.neuron")
    return neuron.LIFNode(v_threshold=0.3)


def second(value):
    """[states[0], value of states[1]]: what is handed on."""
    return lambda result: (result[0], (*result[1:-1], value(result[-1])))


ZEROS = torch.zeros(3, 5)
CHANGED = {
    "clipped": lambda: Hidden(hidden(), setting("mem", lambda mem: mem.clamp(min=-9))),
    "clipped in place": lambda: Hidden(hidden(), lambda lif: lif.mem.clamp_(min=-9)),
    "a part set": lambda: Hidden(hidden(), lambda lif: lif.mem[:, 0].fill_(0.0)),
    "put in another order": lambda: Hidden(hidden(), setting("mem", lambda mem: mem.flip(1))),
    "reset": lambda: Hidden(hidden(), lambda lif: lif.reset_mem()),
    "current": lambda: Hidden(hidden("Synaptic", alpha=0.5), setting("syn", lambda syn: syn.clamp(max=99))),
    "SpikingJelly": lambda: Hidden(jelly(), setting("v", lambda v: v.clamp(min=-9))),
    "SpikingJelly reset": lambda: Hidden(jelly(), lambda lif: lif.reset()),
    "of the user's own": lambda: Hidden(Own(True), setting("state", lambda v: v.clamp(min=-9))),
    "handed on, a part of it": lambda: Explicit(explicit("Leaky"), (ZEROS,), second(
        lambda mem: torch.cat([mem[:, :3], mem[:, 3:].clamp(min=-9)], 1))),
    "handed on, the second": lambda: Explicit(explicit("Synaptic", alpha=0.5), (ZEROS, ZEROS), second(
        lambda mem: mem.clamp(min=-9))),
    "handed on, the second of a recurrent layer": lambda: Explicit(
        explicit("RLeaky", linear_features=5), (ZEROS, ZEROS),
        lambda result: (result[0], (result[0], result[1].clamp(min=-9)))),
    "in place of spikes": lambda: Explicit(explicit("RLeaky", linear_features=5), (ZEROS, ZEROS),
                                           lambda result: (result[0], (result[1], result[1]))),
    "handed on to the user's own": lambda: Explicit(
        Own(False), (), lambda result: (result[1], (result[0].flip(1),))),
}


@pytest.mark.parametrize("name", CHANGED)
def test_a_state_that_is_changed_between_steps_is_refused(name):
    with pytest.raises(UnsupportedError, match="'lif' cannot be taken: its state .* between steps") as error:
        eventsim.from_torch(CHANGED[name](), steps(), layout="TN")
    assert "\n" not in str(error.value)


def leave(lif):
    pass


def detach(lif):
    lif.mem = lif.mem.detach().clone()


KEPT = {
    "left": lambda: Hidden(hidden(), leave),
    "detached": lambda: Hidden(hidden(), detach),
    "reset before": lambda: Hidden(hidden("Synaptic", alpha=0.5), leave, lambda lif: lif.reset_mem()),
    "recurrent": lambda: Hidden(hidden("RLeaky", linear_features=5), leave),
    "SpikingJelly": lambda: Hidden(jelly(), setting("v", lambda v: v.detach()), lambda lif: lif.reset()),
    "of the user's own": lambda: Hidden(Own(True), leave),
    "of the user's own, with a record": lambda: Hidden(Own(True), lambda lif: lif.sent[-1].sum()),
    "handed on": lambda: Explicit(explicit("Synaptic", alpha=0.5), (), lambda result: (result[0], result[1:])),
    "handed on in a recurrent layer": lambda: Explicit(explicit("RLeaky", linear_features=5), (),
                                                       lambda result: (result[0], result)),
    "handed on to the user's own": lambda: Explicit(Own(False), (), lambda result: (result[1], (result[0],))),
}


@pytest.mark.parametrize("name", KEPT)
def test_a_state_that_stays_the_neurons_own_is_taken(name):
    model = eventsim.from_torch(KEPT[name](), steps(), layout="TN")
    with torch.no_grad():
        expected = KEPT[name]()(steps()).numpy()
    assert (model.check.outputs == expected).all()


def test_a_state_that_does_not_start_at_rest_is_refused():
    net = Hidden(jelly(), leave)
    net.lif.set_reset_value("v", 0.01)
    net.lif.reset()
    with pytest.raises(UnsupportedError, match="starts from a state that is not at rest .'v'., .* start from 0"):
        eventsim.from_torch(net, steps(), layout="TN")
    net = Hidden(hidden(), leave, lambda lif: setattr(lif, "mem", 0.01 * torch.ones(3, 5)))
    with pytest.raises(UnsupportedError, match="starts from a state that is not at rest .'mem'."):
        eventsim.from_torch(net, steps(), layout="TN")


@pytest.mark.parametrize("cell", ("LIFCell", "LIFRecurrentCell"))
def test_states_of_norse_are_handed_on_whole(cell):
    norse = pytest.importorskip("norse.torch")
    lif = getattr(norse, cell)(*(() if cell == "LIFCell" else (5, 5)))
    eventsim.from_torch(Explicit(lif, (), lambda result: (result[0], result[1:])), steps(), layout="TN")
    clipped = Explicit(lif, (), lambda result: (result[0], (result[1]._replace(i=result[1].i.clamp(max=99)),)))
    with pytest.raises(UnsupportedError, match="its state 'state' is changed"):
        eventsim.from_torch(clipped, steps(), layout="TN")
