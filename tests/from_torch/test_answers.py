"""What a network may do with its answer, with the number of its samples and with its types: proved, said or refused."""

import numpy as np
import pytest

import eventsim
from eventsim.errors import UnsupportedError

torch = pytest.importorskip("torch")
snntorch = pytest.importorskip("snntorch")
from torch import nn  # noqa: E402


class Answering(nn.Module):
    """Twelve spiking neurons; `end` makes the answer of their spikes (T, N, 12), `middle` changes their current."""

    def __init__(self, end, middle=lambda current, x: current):
        super().__init__()
        torch.manual_seed(0)
        self.fc, self.lif = nn.Linear(6, 12), snntorch.Leaky(beta=0.5, threshold=0.3)
        self.end, self.middle = end, middle

    def forward(self, x):
        membrane, sent = self.lif.init_leaky(), []
        for t in range(x.shape[1]):
            spikes, membrane = self.lif(self.middle(self.fc(x[:, t]), x), membrane)
            sent.append(spikes)
        return self.end(torch.stack(sent))


def answering(*args):
    x = np.random.default_rng(0).integers(0, 2, (12, 5, 6))
    net = Answering(*args)
    return net, x, lambda: eventsim.from_torch(net, x, layout="NT")


ORDERS = {
    "indexed": lambda y: y.sum(0)[:, torch.arange(11, -1, -1)], "flipped": lambda y: y.sum(0).flip(1),
    "rolled": lambda y: y.sum(0).roll(1, 1), "selected": lambda y: y.mean(0).index_select(1, torch.tensor(
        [1, 0, *range(2, 12)])),
    "halves": lambda y: torch.cat(y.sum(0).chunk(2, 1)[::-1], 1),
    "transposed": lambda y: y.sum(0).view(-1, 3, 4).transpose(1, 2).flatten(1),
    "last step": lambda y: y[-1].flip(1), "every step": lambda y: y.flip(2),
    "samples flipped": lambda y: y.sum(0).flip(0), "samples rolled": lambda y: y[-1].roll(1, 0),
}


@pytest.mark.parametrize("name", ORDERS)
def test_an_answer_in_another_order_is_refused(name):
    *_, export = answering(ORDERS[name])
    with pytest.raises(UnsupportedError, match="in another order"):
        export()


@pytest.mark.parametrize("end", [
    lambda y: y.sum(0), lambda y: y.mean(0), lambda y: y[-1], lambda y: y.flip(0).sum(0), lambda y: y.cumsum(0)[-1],
    lambda y: y.sum(0).view(-1, 3, 4).flatten(1), lambda y: y.transpose(0, 1).sum(1),
    lambda y: y.sum(0) @ torch.eye(12, dtype=y.dtype).flip(0), lambda y: torch.rsub(y.sum(0), 1, alpha=0.5)])
def test_an_answer_in_its_own_order_is_taken(end):
    net, x, export = answering(end)
    found = eventsim.Simulator(export(), "float64").run(x[:7]).output
    with torch.no_grad():
        np.testing.assert_allclose(found, net(torch.tensor(x[:7]).float()).numpy(), atol=1e-5)


@pytest.mark.parametrize("end, middle", [
    (lambda y: y.sum(0) * y.shape[1], lambda h, x: h), (lambda y: y.sum(0), lambda h, x: h * 12 / len(x)),
    (lambda y: y.mean(0), lambda h, x: h + 1 / x.size(0)),
    (lambda y: (y.flatten(0, 1) / y.shape[1]), lambda h, x: h), (lambda y: (y.sum(0) / y.shape[1]).flatten(),
                                                                 lambda h, x: h),
    (lambda y: list(y.sum(0) * y.shape[1]), lambda h, x: h)])
def test_a_network_that_counts_its_samples_is_refused(end, middle):
    *_, export = answering(end, middle)
    with pytest.raises(UnsupportedError, match="computes otherwise for 13 samples than for 12"):
        export()


@pytest.mark.parametrize("middle", [
    lambda h, x: h + h[:1] / 2, lambda h, x: h + h[-1:] / 2, lambda h, x: h.roll(1, 0), lambda h, x: h.flip(0)])
@pytest.mark.parametrize("value", [0, 1, "spikes", "numbers"])
def test_one_sample_that_is_mixed_with_others_is_refused(middle, value):
    random = np.random.default_rng(0)
    x = {"spikes": random.integers(0, 2, (1, 5, 6)), "numbers": random.random((1, 5, 6))}.get(
        value, np.full((1, 5, 6), value))
    with pytest.raises(UnsupportedError, match="computes otherwise for 2 samples than for 1: .* on the others"):
        eventsim.from_torch(Answering(lambda y: y.sum(0), middle), x, layout="NT")


def test_a_current_centred_over_one_sample_is_refused():
    class Centred(Answering):
        def forward(self, x):
            current = self.fc(x)  # (T, N, 12)
            membrane, total = self.lif.init_leaky(), 0
            for step in current - current.mean(1, keepdim=True) / 2:
                spikes, membrane = self.lif(step, membrane)
                total = total + spikes
            return total

    with pytest.raises(UnsupportedError, match="computes otherwise for 2 samples than for 1"):
        eventsim.from_torch(Centred(None), np.random.default_rng(0).random((5, 1, 6)), layout="TN")


@pytest.mark.parametrize("end", [lambda y: y.sum(0), lambda y: y.mean(0).flatten(), lambda y: y[-1].tile(1, 1)])
@pytest.mark.parametrize("x", [np.zeros((1, 5, 6), int), np.full((1, 5, 6), 3),
                               np.random.default_rng(0).random((1, 5, 6))])
def test_one_sample_alone_is_taken(end, x, recwarn):
    eventsim.from_torch(Answering(end), x, layout="NT")
    assert not [each for each in recwarn if "how many samples" in str(each.message)]


@pytest.mark.parametrize("end, output", [
    (lambda y: (y.sum(0), torch.linspace(0, 1, y.shape[1])), None), (lambda y: y.sum(0).flatten(), None),
    (lambda y: (torch.arange(y.shape[1]) / y.shape[1], y.sum(0)), lambda found: found[1]),
    (lambda y: list(y.sum(0)), None), (lambda y: y.transpose(0, 1).flatten(0, 1), None)])
@pytest.mark.filterwarnings("ignore:.*leaves its steps")
def test_what_stands_beside_the_answer_may_count_the_samples(end, output, recwarn):
    net, x, _ = answering(end)
    eventsim.from_torch(net, x, layout="NT", output=output)
    assert not [each for each in recwarn if "how many samples" in str(each.message)]


def test_a_network_that_does_as_many_steps_as_there_are_samples_is_refused():
    class Steps(Answering):
        def forward(self, x):
            return super().forward(x[:, None].expand(-1, len(x), -1))

    with pytest.raises(UnsupportedError, match="computes otherwise for 6 samples than for 5"):
        eventsim.from_torch(Steps(lambda y: y.sum(0)), np.random.default_rng(0).integers(0, 2, (5, 6)), timesteps=5)


def test_a_network_of_so_many_samples_is_taken_with_a_warning():
    net, x, export = answering(lambda y: y.sum(0), lambda h, x: h.view(12, 12))
    with pytest.warns(eventsim.EventsimWarning, match="how many samples there are is not known"):
        model = export()
    with torch.no_grad():
        expected = net(torch.tensor(x).float()).numpy()
    np.testing.assert_allclose(eventsim.Simulator(model).run(x).output, expected, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_network_in_half_precision_is_taken_with_a_warning(dtype):
    net, x, export = answering(lambda y: y.sum(0))
    net.to(dtype)
    with pytest.warns(eventsim.EventsimWarning, match=f"fc.weight is {str(dtype)[6:]}: .* net.float"):
        model = export()
    np.testing.assert_array_equal(model.nodes["fc"].weight, net.fc.weight.detach().double().numpy())


def test_a_network_under_autocast_is_refused():
    class Cast(Answering):
        def forward(self, x):
            with torch.autocast("cpu", dtype=torch.bfloat16):
                return super().forward(x)

    x = np.random.default_rng(0).integers(0, 2, (12, 5, 6))
    with pytest.raises(UnsupportedError, match="under torch.autocast"):
        eventsim.from_torch(Cast(lambda y: y.sum(0)), x, layout="NT")


@pytest.mark.parametrize("middle", [
    lambda h, x: torch.rsub(h, 1, alpha=0.5), lambda h, x: torch.add(h, 1, alpha=0.25),
    lambda h, x: torch.sub(h, 0.1, alpha=3), lambda h, x: torch.rsub(h, torch.ones(12, dtype=h.dtype), alpha=0.5)])
def test_the_second_of_a_sum_may_be_multiplied(middle):
    net, x, export = answering(lambda y: y.sum(0), middle)
    found = eventsim.Simulator(export(), "float64").run(x).output
    with torch.no_grad():
        np.testing.assert_allclose(found, net(torch.tensor(x).float()).numpy(), atol=1e-5)
    assert found.any()


@pytest.mark.parametrize("parameter, value", [("weight", np.nan), ("bias", np.inf)])
def test_a_weight_that_is_not_finite_names_its_module(parameter, value):
    net, _, export = answering(lambda y: y.sum(0))
    getattr(net.fc, parameter).data.view(-1)[3] = value
    with pytest.raises(eventsim.ModelError, match=rf"module 'fc' .*{parameter} has a value that is not finite"):
        export()


@pytest.mark.parametrize("net", [None, 3, lambda x: x, nn.Linear])
def test_what_is_no_network_is_refused(net):
    with pytest.raises(eventsim.DataError, match="expected a torch.nn.Module"):
        eventsim.from_torch(net, np.zeros((2, 6)))


@pytest.mark.parametrize("shape, says", [((8, 5, 6), "'NT'"), ((5, 8, 6), "'TN'"), ((8, 5, 1, 4, 4), "'NT'")])
def test_samples_that_look_as_if_they_had_steps_are_asked_about(shape, says):
    with pytest.raises(eventsim.DataError, match=f"as long as timesteps=5: say layout={says}"):
        eventsim.from_torch(Answering(lambda y: y.sum(0)), np.zeros(shape, int), timesteps=5)


def test_spikes_that_the_network_changes_in_place_are_those_that_were_sent():
    class Changing(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.a, self.o = nn.Linear(6, 8), nn.Linear(8, 3)
            self.l = snntorch.Leaky(beta=0.5, threshold=0.3, init_hidden=True)

        def forward(self, x):
            sent = self.l(self.a(x))
            sent.mul_(2)
            return self.o(sent)

    net, x = Changing(), np.random.default_rng(0).integers(0, 2, (12, 5, 6))
    with pytest.warns(eventsim.EventsimWarning, match="leaves its steps"):
        model = eventsim.from_torch(net, x, layout="NT")
    with torch.no_grad():
        net.l.reset_mem()
        expected = sum(net(torch.tensor(x[:, t]).float()) for t in range(5)).numpy() / 5
    np.testing.assert_allclose(eventsim.Simulator(model).run(x).output, expected, atol=1e-5)


PARTS = {"the first": lambda y: y.sum(0)[:, :3], "every other": lambda y: y[-1][:, ::2],
         "some, in order": lambda y: y.mean(0)[:, [1, 4, 9]], "every step": lambda y: y[..., 5:],
         "one": lambda y: y.sum(0)[:, 4]}


@pytest.mark.parametrize("name", PARTS)
def test_an_answer_that_is_a_part_of_a_layer_is_taken(name):
    net, _, export = answering(PARTS[name])
    model = export()
    for seed, n in ((1, 12), (2, 1), (3, 5)):
        x = np.random.default_rng(seed).integers(0, 2, (n, 5, 6))
        expected = net(torch.from_numpy(x).float()).numpy(force=True).reshape(-1, n, *model.shapes[model.output])
        got = eventsim.Simulator(model, "float64").run(x).output
        np.testing.assert_allclose(got, expected.mean(0).reshape(got.shape), atol=1e-6)


@pytest.mark.parametrize("end, reason", [
    (lambda y: y.sum(0)[:, [4, 1]], "in another order"),
    (lambda y: y.sum(0)[:, [1, 1]], "cut the rows of the last layer's weights"),
    (lambda y: torch.stack([y[0, :, 0], y[1, :, 1]], 1), "cut the rows of the last layer's weights")])
def test_other_parts_are_refused(end, reason):
    *_, export = answering(end)
    with pytest.raises(UnsupportedError, match=reason):
        export()


def test_constants_beside_signals_are_refused_with_a_remedy():
    def joined(current, x):
        return torch.cat([current[:, 1:], torch.ones(len(current), 1, dtype=current.dtype)], 1)

    *_, export = answering(lambda y: y.sum(0), joined)
    with pytest.raises(UnsupportedError, match="give these with the samples, as more of x"):
        export()


def test_steps_that_are_constant_are_refused_with_a_remedy():
    """Called step by step, a network whose delay has given nothing yet returns constants."""
    layer = pytest.importorskip("spikingjelly.activation_based.layer")
    from spikingjelly.activation_based import neuron
    net = nn.Sequential(nn.Linear(6, 8), neuron.IFNode(), layer.Delay(2), nn.Linear(8, 5))
    x = np.random.default_rng(0).integers(0, 2, (4, 5, 6))
    with pytest.raises(UnsupportedError, match="returns 3 of 5 steps; .*as nothing has arrived"):
        eventsim.from_torch(net, x, layout="NT")


def test_a_membrane_that_a_module_kept_is_refused_with_a_remedy():
    neuron = pytest.importorskip("spikingjelly.activation_based.neuron")

    class Kept(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc, self.lif = nn.Linear(6, 5), neuron.IFNode(step_mode="m", store_v_seq=True)

        def forward(self, x):
            self.lif(self.fc(x))
            return self.lif.v_seq[-1]

    x = np.random.default_rng(0).integers(0, 2, (4, 5, 6))
    with pytest.raises(UnsupportedError, match="without a reset"):
        eventsim.from_torch(Kept(), x, layout="NT")
