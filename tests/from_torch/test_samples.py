"""What may be given as samples, what Input is made of them, and how a network takes them."""

import copy
import warnings

import numpy as np
import pytest

import eventsim
from eventsim.errors import DataError, UnsupportedError

torch = pytest.importorskip("torch")
snntorch = pytest.importorskip("snntorch")
from torch import nn  # noqa: E402

from eventsim.from_torch.samples import read_samples, values_of  # noqa: E402


def chain(n_in=12, flatten=False):
    torch.manual_seed(0)
    front = [nn.Flatten()] if flatten else []
    return nn.Sequential(*front, nn.Linear(n_in, 8), snntorch.Leaky(beta=0.9, threshold=0.3, init_hidden=True),
                         nn.Linear(8, 4), snntorch.Leaky(beta=0.9, threshold=0.3, init_hidden=True))


class AllSteps(nn.Module):
    """Takes (T, N, ...), as tutorials do with events."""

    def __init__(self):
        super().__init__()
        self.net = chain()

    def forward(self, x):
        for module in self.net:
            if isinstance(module, snntorch.Leaky):
                module.reset_mem()
        return torch.stack([self.net(step) for step in x])


# ---- the Input that is made


@pytest.mark.parametrize("x, layout, expected", [
    (np.ones((2, 12), int), None, ("spikes", 1, False, 1.0)),
    (np.full((2, 12), 5), None, ("spikes", 3, False, 1.0)),
    (np.array([[-3, 2]]), None, ("spikes", 2, True, 1.0)),
    (np.array([[0.25, 7.5]]), None, ("real", 1, False, 1.0)),
    (np.arange(12).reshape(1, 12) / 255, None, ("image", 8, False, 1 / 255)),
    (np.arange(12).reshape(1, 1, 12) / 255, "NT", ("real", 1, False, 1.0)),
])
def test_the_numbers_suggest_an_input(x, layout, expected):
    node = read_samples(x, None, None, None, layout).input
    assert (node.encoding, node.bits, node.signed, node.scale) == expected


def test_shape_and_encoding_make_an_input():
    found = read_samples(np.ones((2, 5, 3, 4), int), None, (3, 4), "spikes", None)
    assert found.steps == 5 and found.input.shape == (3, 4)
    image = read_samples(np.full((2, 1, 3, 4), 200), None, (1, 3, 4), "image", None)
    assert image.steps is None and image.input.encoding == "image" and image.input.scale == 1.0


def test_numbers_as_the_network_takes_them_become_levels():
    node = eventsim.Input((3,), "image", bits=8, scale=1 / 255, mean=0.5, std=0.25)
    levels = np.array([[0, 128, 255]])
    values = values_of(levels, node)
    found = read_samples(values.float(), node, None, None, None)
    assert np.array_equal(found.levels, levels) and torch.equal(found.values, values)


def test_numbers_that_are_no_levels_are_refused():
    node = eventsim.Input((2,), "image", bits=8, scale=1 / 255)
    with pytest.raises(DataError, match="no whole levels of the Input"):
        read_samples(np.array([[0.1, 0.2]]), node, None, None, None)
    with pytest.raises(DataError, match="levels from 0 to 300, expected 0 to 255"):
        read_samples(np.array([[0, 300]]), node, None, None, None)


@pytest.mark.parametrize("x, message", [
    (np.ones((2, 5)), r"x has shape \(2, 5\), expected \(N, \*shape\)"),
    (np.array([[np.nan] * 12]), "not finite"),
    (np.array([["a"] * 12]), "expected numbers"),
    (np.ones((0, 12)), "at least one sample"),
])
def test_samples_that_do_not_fit_are_refused(x, message):
    with pytest.raises(DataError, match=message):
        read_samples(x, eventsim.Input((12,)), None, None, None)


@pytest.mark.parametrize("x", [
    lambda: [(torch.rand(2, 12), 1)], lambda: [torch.rand(12), torch.rand(5)], lambda: [[1.0, 2.0], [3.0]],
    lambda: torch.rand(2, 12, device="meta")])
def test_what_is_no_array_is_refused_with_a_remedy(x):
    with pytest.raises(DataError, match=r"x is no array of numbers \(.*\); expected samples of one shape, "
                                        r"\(N, ...\); of pairs \(x, y\) give x alone"):
        eventsim.from_torch(chain(), x(), timesteps=4)


@pytest.mark.parametrize("argument, value, message", [
    ("shape", 12, r"shape is 12, expected the axes of one step of a sample, such as \(6,\)"),
    ("input", "image", "input is 'image', expected an eventsim.Input or None; say encoding='image'"),
    ("provenance", "a", "provenance is 'a', expected text by key"),
    ("output", "spikes", "output is 'spikes', expected a function of what forward returns, or None"),
    ("timesteps", True, "timesteps is True, expected a whole number from 1 on"),
    ("timesteps", 8.5, "timesteps is 8.5, expected a whole number from 1 on"),
    ("timesteps", 4.0, "timesteps is 4.0, expected a whole number from 1 on"),
    ("timesteps", 0, "timesteps is 0, expected a whole number from 1 on"),
    ("layout", "NT", r"x has shape \(3, 12\), and layout 'NT' says that its first axes are samples and steps: "
                     r"expected \(N, T, ...\) with at least one axis more"),
])
def test_an_argument_of_another_type_is_named(argument, value, message):
    with pytest.raises(DataError, match=message):
        eventsim.from_torch(chain(), 2 * torch.rand(3, 12), **{"timesteps": 4, argument: value})


@pytest.mark.parametrize("layout, shape, n_steps", [
    ("NT", (3, 5, 12), 5), ("TN", (5, 3, 12), 5), (None, (3, 5, 12), 5)])
def test_timesteps_that_the_samples_contradict_are_refused(layout, shape, n_steps):
    x, options = 2 * torch.rand(shape), {"layout": layout} if layout else {"shape": (12,)}
    with pytest.raises(DataError, match=rf"timesteps is 7, and x has {n_steps} steps .*leave timesteps out"):
        eventsim.from_torch(chain(), x, timesteps=7, **options)
    assert eventsim.from_torch(chain(), x, timesteps=n_steps, **options).timesteps == n_steps


def warnings_of(x, net=None, **options):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        eventsim.from_torch(net or chain(), x, timesteps=4, **options)
    return " ".join(str(each.message) for each in caught if each.category is eventsim.EventsimWarning)


def test_an_axis_that_every_layer_treats_alike_may_count_steps():
    x, said = 2 * torch.rand(3, 6, 12), "x was taken as 3 samples of 6x12 that stand still"
    assert said in warnings_of(x) and "layout='NT' or 'TN'" in warnings_of(x)
    assert said not in warnings_of(x, layout="N")
    mixing = nn.Sequential(*chain()[:2], nn.Flatten(), nn.Linear(48, 3))
    assert said not in warnings_of(x, mixing)


def test_bytes_that_look_like_pixels_are_said():
    pixels, counts = (torch.linspace(0, n, 36).reshape(3, 12).byte() for n in (255, 9))
    expected = r"x has bytes up to 255.*give input=eventsim.Input((12,), 'image', bits=8, scale=1 / 255)"
    for options in ({}, {"encoding": "image"}):
        assert all(part in warnings_of(pixels, **options) for part in expected.split(".*"))
    assert "bytes" not in warnings_of(pixels, encoding="spikes") + warnings_of(counts)
    assert "bytes" not in warnings_of(pixels, input=eventsim.Input((12,), "image", bits=8, scale=1 / 255))


@pytest.mark.parametrize("net, remedy", [
    (lambda: chain().state_dict(), "load_state_dict"), (lambda: "weights.pt", "load_state_dict"),
    (lambda: AllSteps, r"call what builds the network"), (lambda: None, "expected a torch.nn.Module$"),
])
def test_what_is_no_network_is_refused_with_the_way_to_one(net, remedy):
    with pytest.raises(DataError, match=f"expected a torch.nn.Module.*{remedy}|{remedy}"):
        eventsim.from_torch(net(), torch.rand(3, 12), timesteps=4)


@pytest.mark.parametrize("options, message", [
    ({"num_steps": 4}, "no argument 'num_steps'; did you mean 'timesteps'"), ({}, "needs a network and samples"),
])
def test_a_call_that_lacks_samples_or_has_another_name_says_so(options, message):
    x = [torch.rand(3, 12)] if options else []
    with pytest.raises(TypeError, match=message):
        eventsim.from_torch(chain(), *x, **options)


def test_timesteps_that_nobody_says_are_asked_for_by_a_public_error():
    with pytest.raises(UnsupportedError, match="timesteps are not given") as error:
        eventsim.from_torch(chain(), torch.rand(3, 12))
    assert type(error.value) is UnsupportedError


def test_a_compiled_network_is_taken_as_what_was_compiled():
    class Outer(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = torch.compile(chain())

        def forward(self, x):
            return self.inner(x)

    net, compiled = Outer(), torch.compile(chain())
    inner, x = net.inner, 2 * torch.rand(3, 12)
    assert list(eventsim.from_torch(net, x, timesteps=4).nodes)[1] == "inner.linear0" and net.inner is inner
    assert list(eventsim.from_torch(compiled, x, timesteps=4).nodes)[1] == "linear0"


def test_numpys_whole_numbers_are_timesteps():
    assert eventsim.from_torch(chain(), 2 * torch.rand(3, 12), timesteps=np.int64(4)).timesteps == 4


def test_a_network_without_numbers_is_refused():
    with pytest.raises(UnsupportedError, match="0.weight lies on device 'meta', which holds no numbers"):
        eventsim.from_torch(chain().to("meta"), torch.rand(3, 12), timesteps=4)


def test_an_unknown_layout_is_refused():
    with pytest.raises(DataError, match="layout is 'CHW', expected one of 'N', 'NT', 'TN'"):
        read_samples(np.ones((2, 12)), None, None, None, "CHW")


# ---- how the network takes them


def test_steps_first_and_samples_first_are_the_same_model():
    torch.manual_seed(1)
    x = (torch.rand(3, 6, 12) < 0.5).int()
    first = eventsim.from_torch(AllSteps(), x, layout="NT")
    second = eventsim.from_torch(AllSteps(), x.transpose(0, 1), layout="TN")
    assert np.array_equal(first.check.outputs, second.check.outputs) and first.check.outputs.any()
    assert first.timesteps == second.timesteps == 6
    assert first.provenance["exported from"].endswith("steps first")


def test_pictures_with_steps_ask_for_the_layout():
    with pytest.raises(DataError, match=r"at most 3 axes, \(C, H, W\): say layout='TN'.*layout='NT'"):
        eventsim.from_torch(chain(flatten=True), torch.rand(5, 2, 3, 2, 2))


class EveryStep(AllSteps):
    """Says so where it is given anything but (T, N, 12)."""

    def forward(self, x):
        if x.ndim != 3:
            raise ValueError(f"expected x with shape [T, N, C], but got {tuple(x.shape)}")
        return super().forward(x)


class Sines(EveryStep):
    def forward(self, x):
        return torch.sin(super().forward(x))


def test_a_network_that_takes_all_steps_asks_for_their_number():
    with pytest.raises(UnsupportedError, match=r"shape \[T, N, C\].*; give timesteps=T if forward takes all steps"):
        eventsim.from_torch(EveryStep(), torch.rand(3, 12))


def test_a_refusal_does_not_tell_of_another_way_to_call():
    """That it does not take samples without steps says nothing of why it is refused."""
    with pytest.raises(UnsupportedError, match="sin") as error:
        eventsim.from_torch(Sines(), (torch.rand(3, 12) < 0.5).float(), timesteps=4)
    assert "it raises" not in str(error.value)


def test_one_step_a_call_takes_moving_and_still_samples():
    torch.manual_seed(1)
    moving = eventsim.from_torch(chain(), (torch.rand(3, 6, 12) < 0.5).int(), layout="NT")
    still = eventsim.from_torch(chain(), 2 * torch.rand(3, 12), timesteps=6)
    assert moving.timesteps == still.timesteps == 6
    assert {model.provenance["exported from"].rpartition(", ")[2] for model in (moving, still)} == {"step by step"}


def test_a_picture_that_a_network_flattens():
    model = eventsim.from_torch(chain(flatten=True), np.random.default_rng(0).integers(0, 256, (3, 1, 3, 4)),
                                eventsim.Input((1, 3, 4), "image", bits=8, scale=1 / 64), timesteps=5)
    assert model.nodes[model.input].shape == (1, 3, 4) and model.check.outputs.any()


def test_a_vector_that_a_network_makes_a_map_of():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Unflatten(1, (1, 4, 4)), nn.Conv2d(1, 3, 2), snntorch.Leaky(beta=0.5, init_hidden=True),
                        nn.Flatten(), nn.Linear(27, 2))
    model = eventsim.from_torch(net, 3 * torch.rand(2, 16), timesteps=4)
    assert model.nodes[model.input].shape == (1, 4, 4) and model.check.x.shape == (2, 1, 4, 4)


def test_without_a_number_of_steps_nothing_is_assumed():
    with pytest.raises(UnsupportedError, match="timesteps are not given, and the network does one step: say how "
                                               "many"):
        eventsim.from_torch(chain(), 2 * torch.rand(3, 12))


def test_another_number_of_steps_than_the_network_does_is_refused():
    class Four(AllSteps):
        def forward(self, x):
            return super().forward(x.expand(4, *x.shape))

    assert eventsim.from_torch(Four(), 2 * torch.rand(3, 12)).timesteps == 4
    with pytest.raises(UnsupportedError, match="does 4 steps, expected 9; check timesteps and layout"):
        eventsim.from_torch(Four(), 2 * torch.rand(3, 12), timesteps=9)


def test_a_network_that_does_not_take_the_samples_says_its_own_error():
    with pytest.raises(UnsupportedError, match=r"Sequential does not take the samples \(all at once\): "
                                               r"module '0' \(Linear\): RuntimeError"):
        eventsim.from_torch(chain(), torch.rand(3, 5), timesteps=4)


class Calls(nn.Module):
    """Sums what `call` makes of the network's spikes."""

    def __init__(self, call):
        super().__init__()
        self.net, self.call, self.fc = chain(), call, nn.Linear(4, 2)

    def forward(self, x):
        return self.call(self, self.net(x))


class Counting(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = chain()

    def forward(self, x, num_steps, *, scale, shift=0):
        return sum(self.net(x) for _ in range(num_steps))


def quantised():
    return torch.ao.quantization.quantize_dynamic(chain(), {nn.Linear})


@pytest.mark.parametrize("make, message", [
    (Counting, "forward needs num_steps, scale beside the samples: wrap the network in a module whose"),
    (lambda: Calls(lambda net, y: net.fc(copy.deepcopy(y))), "copy.deepcopy .* cannot be followed: use x.clone"),
    (quantised, r"module '0' \(Linear\): .* Linear holds packed whole numbers, which have no equal in eventsim"),
])
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:.*quantize_per_tensor")
def test_what_a_network_raises_comes_with_a_remedy(make, message):
    with pytest.raises(UnsupportedError, match=f"does not take the samples .*{message}"):
        eventsim.from_torch(make(), 2 * torch.rand(3, 12), timesteps=4)


@pytest.mark.parametrize("output, message", [
    (lambda y: y["spikes"], r"output raises IndexError: .*, given what forward returned \(a tensor of shape \(3, 4"),
    (lambda y: y.spikes, "output raises AttributeError: 'Tensor' object has no attribute 'spikes'")])
def test_what_output_raises_is_not_blamed_on_the_network(output, message):
    with pytest.raises(UnsupportedError, match=message):
        eventsim.from_torch(Calls(lambda net, y: y), 2 * torch.rand(3, 12), timesteps=4, output=output)


# ---- what is said beside


def test_layers_that_never_fire_are_said():
    net = chain()
    net[3].threshold = torch.tensor(50.0)
    with pytest.warns(UserWarning, match="leaky3: no neuron fires on the check samples"):
        eventsim.from_torch(net, 2 * torch.rand(3, 12), timesteps=4)


def test_an_answer_that_the_network_leaves_open_is_said():
    net = chain()[:3]
    with pytest.warns(UserWarning, match="leaves its steps as they are: the model gives their mean"):
        model = eventsim.from_torch(net, 2 * torch.rand(3, 12), timesteps=4)
    assert model.provenance["assumed answer"].startswith("mean over the steps")
