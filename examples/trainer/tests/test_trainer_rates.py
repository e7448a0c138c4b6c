"""Training from rates: the same spikes forwards; backwards, the products of means over the steps."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from trainer_networks import bars, IMAGE, one_thread  # noqa: E402, F401  (also: where the trainer is)
from trainer import rates  # noqa: E402
from trainer.networks import resnet8, small_vgg, Style  # noqa: E402
from trainer.neurons import fixed_point, Neuron, NEURONS, TdBatchNorm2d  # noqa: E402
from trainer.training import Recipe, to_values, Trainer  # noqa: E402
from trainer.data import Arrays  # noqa: E402

T = 4


def maps(*shape, scale=1.0):
    """Random numbers, channels last in memory."""
    x = scale * torch.randn(*shape)
    return x.flatten(0, -4).contiguous(memory_format=torch.channels_last).view(shape).requires_grad_()


# ---- convolutions


@pytest.mark.parametrize("settings", (dict(padding=1), dict(stride=2, bias=False), dict(groups=2, dilation=2)))
def test_a_convolution_learns_from_means(settings):
    layer, x = nn.Conv2d(4, 6, 3, **settings), maps(T, 5, 4, 8, 8)
    y = rates.convolution(layer, x)
    torch.testing.assert_close(y, torch.stack([layer(step) for step in x]))
    grad = torch.randn_like(y)
    y.backward(grad)
    found = x.grad, layer.weight.grad
    mean = x.detach().mean(0).requires_grad_()
    layer.weight.grad = None
    layer(mean).backward(grad.mean(0))
    torch.testing.assert_close(found[0], mean.grad.expand_as(x))
    torch.testing.assert_close(found[1], T * layer.weight.grad)


def test_where_nothing_changes_over_the_steps_it_is_the_gradient():
    layer, x, grad = nn.Conv2d(4, 6, 3), maps(5, 4, 8, 8), torch.randn(5, 6, 6, 6)
    steps = x.detach().expand(T, *x.shape).requires_grad_()
    rates.convolution(layer, steps).backward(grad.expand(T, *grad.shape))
    found, layer.weight.grad = layer.weight.grad, None
    layer(x).backward(grad)
    torch.testing.assert_close(found, T * layer.weight.grad)
    torch.testing.assert_close(steps.grad[0], x.grad)


def test_in_bfloat16_weights_learn_in_float32():
    layer, x = nn.Conv2d(4, 6, 3), maps(T, 5, 4, 8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        y = rates.convolution(layer, x)
    assert y.dtype == torch.bfloat16
    y.sum().backward()
    assert layer.weight.grad.dtype == x.grad.dtype == torch.float32
    expected = T * 5 * _windows(x.detach().mean((0, 1)))
    torch.testing.assert_close(layer.weight.grad[0], expected, rtol=2e-2, atol=0.3)


def _windows(x):
    """(4, 3, 3): sums of each place of a 3x3 window over 6x6 of them."""
    return functional.avg_pool2d(x[None], 6, 1)[0] * 36


# ---- tdBN and neurons

CASES = {
    **{name: {**settings} for name, settings in NEURONS.items()},
    "two bits": {"mpr": True, **fixed_point(1, 1)},
    "three bits, hard": {"reset": "hard", "v_reset": 0.125, "leak": 0.5, **fixed_point(1, 2)},
    "narrow": {"width": 0.5, "v_threshold": 0.75},
}


@pytest.mark.parametrize("steps", (T, 1), ids=("moving", "repeated"))
@pytest.mark.parametrize("name", CASES)
def test_norm_and_fire_is_tdbn_and_neurons(name, steps):
    neuron, shape = Neuron(**CASES[name]), (steps, 3, 24, 11, 7)  # a stretch and a rest
    norms = [TdBatchNorm2d(24, 2.0) for _ in range(2)]
    for norm in norms:
        torch.manual_seed(2)
        norm.weight.data, norm.bias.data = torch.rand(24) + 0.5, 0.3 * torch.randn(24)
    torch.manual_seed(3)
    x = maps(*shape)
    plain = norms[0](x.flatten(0, 1)).unflatten(0, (steps, -1)).expand(T, *shape[1:])
    plain.retain_grad() if steps > 1 else None
    expected, found = neuron(plain), rates.norm_and_fire(norms[1], neuron, T, x)
    assert expected.any() and torch.equal(found, expected)
    grad = torch.randn_like(expected)
    (by_x, *by_norm) = torch.autograd.grad(expected, (x, *norms[0].parameters()), grad)
    (to_x, *to_norm) = torch.autograd.grad(found, (x, *norms[1].parameters()), grad)
    for one, other in zip(to_norm, by_norm):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-3)
    by_x = by_x.mean(0).expand_as(x) if steps > 1 else by_x
    torch.testing.assert_close(to_x, by_x, rtol=1e-4, atol=2e-4)
    for one, other in zip(norms[1].buffers(), norms[0].buffers()):
        torch.testing.assert_close(one, other)


def test_in_bfloat16_it_is_the_same_of_rounded_currents():
    neuron, x, grad = Neuron(mpr=True, **fixed_point(1, 2)), maps(T, 3, 24, 11, 7), torch.randn(T, 3, 24, 11, 7)
    x, grad = x.detach().bfloat16(), grad.bfloat16()
    found = []
    for dtype in (torch.bfloat16, torch.float32):
        norm, current = TdBatchNorm2d(24, 8.0), x.to(dtype).requires_grad_()
        values = rates.norm_and_fire(norm, neuron, T, current)
        assert values.dtype == dtype and values.any()
        found.append((values.float(), norm.running_var,
                      *torch.autograd.grad(values, (current, *norm.parameters()), grad.to(dtype))))
    half, single = found
    assert half[2].dtype == torch.bfloat16 and torch.equal(half[2], single[2].bfloat16())
    assert all(torch.equal(half[i], single[i]) for i in (0, 1, 3, 4))


def test_gradients_of_one_step_stand_for_all_of_them():
    neuron, norm, x = Neuron(mpr=True), TdBatchNorm2d(5), maps(T, 2, 5, 6, 6)
    grad = torch.randn(2, 5, 6, 6)
    found = [torch.autograd.grad(rates.norm_and_fire(norm, neuron, T, x), x, g)[0]
             for g in (grad.expand(T, *grad.shape), grad.repeat(T, 1, 1, 1, 1))]
    assert found[0].any() and torch.equal(*found)


def test_results_do_not_depend_on_the_threads():
    numba = pytest.importorskip("numba")
    if numba.config.NUMBA_NUM_THREADS < 2:
        pytest.skip("one core")
    x, found = maps(T, 8, 16, 16, 16), []
    before = numba.get_num_threads()
    try:
        for threads in (1, 2):
            numba.set_num_threads(threads)
            norm = TdBatchNorm2d(16)
            values = rates.norm_and_fire(norm, Neuron(mpr=True), T, x)
            grads = torch.autograd.grad(values, (x, norm.weight), values * torch.arange(16.0)[:, None])
            found.append((values, norm.running_var, *grads))
    finally:
        numba.set_num_threads(before)
    assert all(torch.equal(one, other) for one, other in zip(*found))


# ---- pools


@pytest.mark.parametrize("dtype", (torch.float32, torch.bfloat16))
@pytest.mark.parametrize("constant", (False, True))
def test_a_pool_is_max_pooling_of_each_step(constant, dtype):
    x = torch.randint(0, 3, (T, 2, 5, 6, 8)).to(dtype).requires_grad_()  # most are equal to another one
    grad = torch.randn(1, 2, 5, 3, 4).expand(T, -1, -1, -1, -1) if constant else torch.randn(T, 2, 5, 3, 4)
    grad = grad.to(dtype)
    layer = nn.MaxPool2d(2, 2)
    expected, found = layer(x.flatten(0, 1)).view(T, 2, 5, 3, 4), rates.pool(layer, x)
    assert torch.equal(found, expected)
    assert torch.equal(*(torch.autograd.grad(y, x, grad)[0] for y in (expected, found)))


def test_maps_of_odd_sizes_are_pooled_by_pytorch():
    x = torch.randn(T, 2, 5, 7, 6)
    assert torch.equal(rates.pool(nn.MaxPool2d(2), x), nn.MaxPool2d(2)(x.flatten(0, 1)).unflatten(0, (T, -1)))


@pytest.mark.parametrize("layer, fits", (
    (nn.MaxPool2d(2), True), (nn.MaxPool2d((2, 2), (2, 2)), True), (nn.MaxPool2d(3, 2), False),
    (nn.MaxPool2d(2, 1), False), (nn.MaxPool2d(2, 2, 1), False), (nn.MaxPool2d(2, ceil_mode=True), False)))
def test_which_pools_are_pairs(layer, fits):
    assert rates.pairs(layer) == fits


# ---- networks


def network(make=small_vgg, timesteps=T, **settings):
    torch.manual_seed(0)
    return make(Style({"mpr": True}), timesteps, IMAGE.shape, 2, **settings).to(memory_format=torch.channels_last)


def test_a_network_computes_the_same_and_only_in_training_otherwise():
    x = to_values(bars(6)[0], IMAGE)
    plain, net = network(widths=(8, 12)), network(widths=(8, 12))
    rates.use_rates(net, "cpu")
    assert set(net.instead) == {name for name in net.layers if name.startswith(("stage", "pool"))}
    torch.testing.assert_close(net(x), plain(x))
    assert list(net.state_dict()) == list(plain.state_dict()) and repr(net) == repr(plain)
    for one, other in zip(net.buffers(), plain.buffers()):
        torch.testing.assert_close(one, other)
    net.load_state_dict(plain.state_dict())
    assert torch.equal(net.eval()(x), plain.eval()(x))


def test_layers_that_others_read_are_not_fused():
    net = network(resnet8, widths=(4, 6, 8))
    rates.use_rates(net, "cpu")
    assert {"stem", "stem_norm", "stage1_1a", "stage1_1a_norm"} <= set(net.instead)
    joined = {"stage1_1b", "stage1_1b_norm", "stage2_1b_shortcut_norm"}
    assert joined <= set(net.layers) and not joined & set(net.instead)
    x = to_values(bars(6)[0], IMAGE)
    torch.testing.assert_close(net(x), network(resnet8, widths=(4, 6, 8))(x))


def test_dense_layers_are_left_alone():
    net = network(widths=(4, 4), dense=(6,))
    rates.use_rates(net, "cpu")
    assert {"hidden1", "hidden1_norm"} <= set(net.layers) and not {"hidden1", "hidden1_norm"} & set(net.instead)


@pytest.mark.parametrize("neuron", ({"surrogate": "arctan"}, {"mpr": True, "width": 9.0}))
def test_what_kernels_do_not_know_pytorch_does(neuron):
    net = small_vgg(Style(neuron), T, IMAGE.shape, 2, widths=(8, 12))
    rates.use_rates(net, "cpu")
    assert {name for name in net.instead if not name.startswith("pool")} == {
        name for name in net.layers if name.endswith("conv")}


def test_without_numba_convolutions_alone_learn_from_rates(monkeypatch):
    monkeypatch.setattr(rates, "kernels", None)
    net = network(widths=(8, 12))
    rates.use_rates(net, "cpu")
    assert set(net.instead) == {name for name in net.layers if name.endswith("conv")}
    net(to_values(bars(6)[0], IMAGE)).sum().backward()
    assert all(parameter.grad.any() for parameter in net.parameters())


def test_it_learns():
    net, (x, y) = network(widths=(8, 12)), bars(120)
    rates.use_rates(net, "cpu")
    trainer = Trainer(net, Arrays(x, y), IMAGE, Recipe(epochs=8, batch_size=20, lr=0.05))
    trainer.run()
    x, y = bars(100, seed=2)
    with torch.no_grad():
        assert (net(to_values(x, IMAGE)).argmax(1).numpy() == y).mean() > 0.9
    assert np.isfinite(trainer.losses).all()
