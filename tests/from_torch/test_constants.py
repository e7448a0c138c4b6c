"""Numbers that a model holds as constants: never those that depend on the input, whatever the check samples show.

All check samples are ones, at every step, so that a number that is taken from them looks like a constant.
"""

import numpy as np
import pytest

import eventsim
from eventsim.errors import UnsupportedError

torch = pytest.importorskip("torch")
snntorch = pytest.importorskip("snntorch")
from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from eventsim.from_torch import exporting  # noqa: E402
from eventsim.from_torch.layers import NeuronLayer  # noqa: E402

ONES = np.ones((3, 5, 4), int)
OTHERS = np.random.default_rng(1).integers(0, 2, (9, 5, 4))
CUT = np.array([True, False, False, True])


class Net(nn.Module):
    """Four spiking neurons. `middle`: function of the network, currents and samples, both (N, 4), of a step."""

    def __init__(self, middle, neurons=None):
        super().__init__()
        torch.manual_seed(0)
        self.fc, self.out, self.middle = nn.Linear(4, 4), nn.Linear(4, 3), middle
        nn.init.constant_(self.fc.weight, 0.2)
        self.lif = neurons or snntorch.Leaky(beta=0.5, threshold=1.0, init_hidden=True)
        self.register_buffer("factors", torch.ones(4))

    def forward(self, x):
        return torch.stack([self.out(self.lif(self.middle(self, self.fc(step), step)))
                            for step in x.transpose(0, 1)]).mean(0)


def export(*args, **kwargs):
    return eventsim.from_torch(Net(*args, **kwargs), ONES, layout="NT")


def factors(like):
    return torch.ones(4, dtype=like.dtype)


def normalised(h, **numbers):
    settings = {"running_mean": torch.zeros_like(h[0]), "running_var": factors(h), **numbers}
    return functional.batch_norm(h, **settings)


def changed(like, change):
    """Factors of which `change` has made others."""
    tensor = factors(like)
    change(tensor)
    return tensor


def statistics(h, x):
    mean, variance = torch.zeros_like(h[0]), factors(h)
    functional.batch_norm(x, mean, variance, training=True)
    return mean


def statistics_by_name(h, x):
    mean, variance = torch.zeros_like(h[0]), factors(h)
    torch.ops.aten._native_batch_norm_legit(x, None, None, mean, variance, True, 0.1, 1e-5)
    return mean


RULES = {
    **{name: lambda net, h, x, name=name: normalised(h, **{name: x[0].clone()})
       for name in ("running_mean", "running_var", "weight", "bias")},
    "of a constant": lambda net, h, x: h + normalised(torch.ones_like(h), running_mean=x[0].clone()),
    "multiplied": lambda net, h, x: h * x[0], "multiplied from the left": lambda net, h, x: x[0] * h,
    "divided": lambda net, h, x: h / x[0], "subtracted": lambda net, h, x: torch.rsub(h, x[0], alpha=2),
    "chosen": lambda net, h, x: torch.where(x[0].bool(), h, torch.ones_like(h)),
    "other": lambda net, h, x: torch.where(torch.from_numpy(CUT), h, x[0]),
    "mask": lambda net, h, x: h.masked_fill(x[0].bool(), 0.5),
    "filled": lambda net, h, x: h.masked_fill(torch.from_numpy(CUT), x[0, 0]),
    "linear": lambda net, h, x: functional.linear(h, x[:1].expand(4, 4).clone()),
    "linear bias": lambda net, h, x: functional.linear(h, torch.eye(4, dtype=h.dtype), x[0].clone()),
    "addmm": lambda net, h, x: torch.addmm(x[0].clone(), h, torch.eye(4, dtype=h.dtype)),
    "matrices": lambda net, h, x: torch.bmm(h[:, None], x[:1, None].expand(len(h), 4, 4).clone())[:, 0],
    "kernel": lambda net, h, x: functional.conv1d(h[:, None], x[:1, None, :1].clone())[:, 0],
    "kernel bias": lambda net, h, x: functional.conv1d(h[:, None], factors(h)[None, None, :1], x[0, :1])[:, 0],
    "transposed": lambda net, h, x: functional.conv_transpose1d(h[:, None], x[:1, None, :1].clone())[:, 0],
    "index": lambda net, h, x: h[:, x[0].long()], "picked": lambda net, h, x: h * factors(h)[x[0].long()],
    "padding": lambda net, h, x: functional.pad(h[:, 1:], (0, 1), value=x[0, 0]),
    "alpha": lambda net, h, x: torch.add(h, 1, alpha=x[0, 0]),
    "dimension": lambda net, h, x: h.roll(x[0, 0].long(), 1),
    "window": lambda net, h, x: functional.avg_pool1d(h[:, None], x[0, 0].long())[:, 0],
}
PAST_THE_DISPATCHER = {
    "list": lambda net, h, x: h * torch.tensor([x[0, 0], x[0, 1], 1, 1], dtype=h.dtype),
    "unbound": lambda net, h, x: h * torch.tensor(list(x[0]), dtype=h.dtype),
    "as_tensor": lambda net, h, x: h * torch.as_tensor([x[0, 0]]),
    "asarray": lambda net, h, x: h * torch.asarray([x[0, 0]]),
    "new_tensor": lambda net, h, x: h * h.new_tensor([x[0, 0]]), "new": lambda net, h, x: h * h.new([x[0, 0]]),
    "map_": lambda net, h, x: h * changed(h, lambda w: w.map_(x[0].clone(), lambda one, other: other)),
    "tensor_split": lambda net, h, x: torch.cat(h.tensor_split(x[0, :1].long(), 1), 1),
}
WRITTEN = {
    "foreach": lambda net, h, x: h * changed(h, lambda w: torch._foreach_mul_([w], [x[0]])),
    "statistics": lambda net, h, x: h - statistics(h, x),
    "declared statistics": lambda net, h, x: h - statistics_by_name(h, x),
    "out": lambda net, h, x: h * changed(h, lambda w: torch.sort(x[0], out=(w, torch.zeros(4, dtype=torch.long)))),
    "buffer": lambda net, h, x: (net.factors.mul_(x[0]), h * net.factors)[1],
    "through a view": lambda net, h, x: (net.factors.view(2, 2).mul_(x[0].view(2, 2)), h * net.factors)[1],
    "through data": lambda net, h, x: (net.factors.data.copy_(x[0]), h * net.factors)[1],
}
LOOKED_AT = {
    "allclose": lambda net, h, x: h if torch.allclose(x, torch.ones_like(x)) else 2 * h,
    "mask": lambda net, h, x: h * len(x[0][x[0] > 0.5]),
    "bincount": lambda net, h, x: h * len(x[0].long().bincount()),
    "unique": lambda net, h, x: h * len(x[0].unique_consecutive()),
    "repeated": lambda net, h, x: h * len(torch.repeat_interleave(x[0].long())),
    "of what is refused": lambda net, h, x: h if torch.allclose(x.sin(), x.sin() + 0) else 2 * h,
}


@pytest.mark.parametrize("middle", [*RULES.values(), *WRITTEN.values()], ids=[*RULES, *WRITTEN])
def test_a_number_that_depends_on_the_input_is_no_constant(middle):
    with pytest.raises(UnsupportedError, match="signal|depend|no equal"):
        export(middle)


@pytest.mark.parametrize("middle", [*PAST_THE_DISPATCHER.values(), *LOOKED_AT.values()],
                         ids=[*PAST_THE_DISPATCHER, *LOOKED_AT])
def test_numbers_that_leave_torch_refuse_the_network(middle):
    with pytest.raises(UnsupportedError, match="looks at the values of its tensors|picks numbers by"):
        export(middle)


TAKEN = {
    "batch norm": lambda net, h, x: normalised(h, weight=factors(h) / 2, bias=factors(h)),
    "its statistics beside": lambda net, h, x: (functional.batch_norm(x, x[0].clone(), factors(h)), h)[1],
    "where": lambda net, h, x: torch.where(torch.from_numpy(CUT), h, 0.5 * factors(h)),
    "where, the other": lambda net, h, x: torch.where(torch.from_numpy(CUT), 0.5 * factors(h), h),
    "masked_fill": lambda net, h, x: h.masked_fill(torch.from_numpy(CUT), 0.25),
    "divided": lambda net, h, x: h / 0.75,
    "list": lambda net, h, x: h * torch.tensor([0.5, factors(h)[0], 1, 2], dtype=h.dtype),
    "constant mask": lambda net, h, x: torch.cat((h[:, CUT], h[:, ~CUT]), 1) @ torch.eye(4, dtype=h.dtype),
    "view of a buffer": lambda net, h, x: (net.factors.view(2, 2).fill_(1.5), h * net.factors)[1],
    "constants beside": lambda net, h, x: h + beside(h) @ torch.eye(4, dtype=h.dtype),
}


def beside(h):
    """Currents, and zeros in places where ones were before a current was written beside them."""
    mixed = torch.ones_like(h)
    mixed[:, 0] = h[:, 0]
    mixed[:, 1:] = 0.0
    return mixed


@pytest.mark.parametrize("middle", TAKEN.values(), ids=TAKEN)
def test_constants_are_taken_as_they_are(middle):
    model, net = export(middle), Net(middle)
    with torch.no_grad():
        expected = net(torch.from_numpy(OTHERS).float()).numpy()
    np.testing.assert_allclose(eventsim.Simulator(model, "float64").run(OTHERS).output, expected, atol=1e-5)
    assert np.ptp(expected, axis=0).any()


class Threshold(nn.Module):
    """Neurons of the user's own, without a leak."""

    def __init__(self):
        super().__init__()
        self.theta, self.membrane = torch.tensor(0.5), None

    def forward(self, x):
        self.membrane = x if self.membrane is None else self.membrane + x
        spikes = (self.membrane >= self.theta).to(x.dtype)
        self.membrane = self.membrane - spikes * self.theta
        return spikes


@pytest.mark.parametrize("neurons, name, value", [
    (lambda: snntorch.Leaky(beta=0.5, init_hidden=True), "beta", 0.5),
    (lambda: snntorch.Leaky(beta=0.5, init_hidden=True), "threshold", 1.0),
    (lambda: snntorch.Synaptic(alpha=0.5, beta=0.5, init_hidden=True), "alpha", 0.5),
    (Threshold, "theta", 0.5),
])
@pytest.mark.parametrize("how", ["written", "replaced"])
def test_parameters_of_neurons_that_depend_on_the_input_are_refused(neurons, name, value, how, monkeypatch):
    def middle(net, h, x):
        parameter = x[0, 0] * value
        if how == "written":
            getattr(net.lif, name).data.copy_(parameter)
        else:
            setattr(net.lif, name, parameter)
        return h

    monkeypatch.setattr(exporting, "RULES", exporting.known_rules())
    eventsim.from_torch.register(Threshold, lambda module, x: NeuronLayer(
        eventsim.Neuron(module.theta, quantum=module.theta, output_quantum=1.0)))
    with pytest.raises(UnsupportedError, match="its parameters depend on the input, and a model's are constants"):
        export(middle, neurons=neurons())
