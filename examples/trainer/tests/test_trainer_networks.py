"""The papers' networks: sizes as published; small copies of them learn, are exported and run equal."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from trainer_networks import normalise, one_thread, prove, settle  # noqa: E402, F401
from eventsim.model.input import Input  # noqa: E402
from trainer.network import Readout, SpikingNet  # noqa: E402
from trainer.networks import (  # noqa: E402
    NETWORKS, Style, n_parameters, resnet8, resnet18, resnet19, resnet20, resnet20_wide, resnet34, vgg16,
)
from trainer.neurons import Neuron, Restimulation, fixed_point  # noqa: E402

SMALL = {  # name -> settings with which the structure stays and the width goes
    "vgg16": dict(shape=(3, 32, 32), widths=(4, 4, 6, 6, 8), dense=(12, 10)),
    "resnet18": dict(shape=(3, 64, 64), widths=(4, 4, 6, 8), classes=5),
    "resnet34": dict(shape=(3, 64, 64), widths=(4, 4, 6, 8), classes=5),
    "resnet19": dict(shape=(3, 16, 16), widths=(4, 6, 8), hidden=(12,)),
    "resnet20": dict(shape=(3, 16, 16), widths=(4, 6, 8)),
    "resnet20_wide": dict(shape=(3, 16, 16), widths=(4, 6, 8, 8)),
    "resnet8": dict(shape=(3, 16, 16), widths=(4, 6, 8)),
    "small_vgg": dict(shape=(3, 16, 16), widths=(4, 6, 8), dense=(8,)),
    "lenet": dict(shape=(1, 12, 12), widths=(4, 6), dense=(12,)),
    "strided": dict(shape=(1, 16, 16), widths=(4, 6), dense=(12,)),
}


@pytest.mark.parametrize("network, settings, published", [
    (resnet18, {}, 11_689_512),  # torchvision's, as the next one
    (resnet34, {}, 21_797_672),
    (resnet18, dict(shape=(3, 32, 32), classes=10), 11_173_962),  # the usual ResNet18 for CIFAR
    # VGG16 has 138,357,544; tdBN has 2 parameters for each of its 12,416 channels, where a bias has 1
    (vgg16, dict(shape=(3, 224, 224), classes=1000), 138_357_544 + 12_416),
    # 0.27 M in He et al., whose shortcuts have no parameters; two 1x1 convolutions and their tdBN
    (resnet20, {}, 269_722 + (16 * 32 + 2 * 32) + (32 * 64 + 2 * 64)),
])
def test_numbers_of_parameters(network, settings, published):
    with torch.device("meta"):
        assert n_parameters(network(Style(), 4, **settings)) == published


def test_resnet19_has_17_convolutions_and_two_dense_layers():
    with torch.device("meta"):
        net = resnet19(Style(), 4)
    kernels = [m.kernel_size[0] for m in net.modules() if isinstance(m, nn.Conv2d)]
    assert kernels.count(3) == 17 and kernels.count(1) == 2
    assert [m.out_features for m in net.modules() if isinstance(m, nn.Linear)] == [256, 10]
    assert 12.5e6 < n_parameters(net) < 12.8e6  # 12.6 M is quoted


def test_the_wide_resnet20_has_the_weights_of_diet_snn_s():
    with torch.device("meta"):
        net = resnet20_wide(Style(), 4)
    weights = [m.weight for m in net.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    assert sum(w.ndim == 2 or w.shape[-1] == 3 for w in weights) == 20
    # stem, stages with a 1x1 shortcut from the second on, and 512 maps of 2 x 2 to 10 classes
    stages = [9 * (w * before + 3 * w * w) + before * w for before, w in ((64, 128), (128, 256), (256, 512))]
    assert sum(w.numel() for w in weights) == 9 * (3 * 64 + 6 * 64 * 64) + sum(stages) + 2048 * 10 == 11_253_440


@pytest.mark.parametrize("network, shape, sizes", [
    (resnet34, (3, 224, 224), {"stem": (64, 112, 112), "pool": (64, 56, 56), "stage4_3b": (512, 7, 7)}),
    (resnet19, (3, 32, 32), {"stem": (128, 32, 32), "stage2_3b": (256, 16, 16), "stage3_2b": (512, 8, 8)}),
    (resnet20, (2, 48, 48), {"stage1_1a": (16, 48, 48), "stage3_3b": (64, 12, 12)}),
    (vgg16, (3, 224, 224), {"pool5": (512, 7, 7), "flatten": (25088,), "hidden2": (4096,)}),
])
def test_shapes_at_full_size(network, shape, sizes):
    found = {}
    with torch.device("meta"):
        net = network(Style(), 2, shape)
        for name, layer in net.layers.items():
            layer.register_forward_hook(lambda _, __, out, name=name: found.__setitem__(name, out.shape[-3:]))
        net(torch.zeros(1, *shape))
    for name, size in sizes.items():
        assert tuple(found[name][-len(size):]) == size, name


def samples(shape, n):
    """Smooth random pictures, uint8 (n, *shape)."""
    rng = np.random.default_rng(3)
    coarse = rng.integers(0, 200, (n, shape[0], 4, 4)).repeat(shape[1] // 4, 2).repeat(shape[2] // 4, 3)
    return (coarse + rng.integers(0, 56, coarse.shape)).astype(np.uint8)


def test_maps_without_padding_are_not_re_stimulated():
    with pytest.raises(ValueError, match="layer 'stage2_1': re-stimulation needs maps .* padding of 2 .* is 0"):
        NETWORKS["strided"](Style(restimulation=True), 2, **SMALL["strided"])


@pytest.mark.parametrize("name, stages", (("vgg16", 5), ("resnet18", 4), ("resnet34", 4), ("resnet19", 3),
                                          ("resnet20", 3), ("resnet20_wide", 4), ("resnet8", 3)))
@pytest.mark.parametrize("more", (-1, 1))
def test_as_many_widths_as_stages_are_wanted(name, stages, more):
    n = stages + more
    widths = (4,) * n
    with pytest.raises(ValueError, match=f"^--widths 4 .*4: {n} widths are given, expected {stages}, one"):
        NETWORKS[name](Style(), 2, **{**SMALL[name], "widths": widths})


@pytest.mark.parametrize("name, fitting", (("small_vgg", 4), ("lenet", 4), ("strided", 2)))
def test_no_more_widths_than_maps_can_be_halved(name, fitting):
    shape = (1, 16, 16)
    NETWORKS[name](Style(), 2, shape, widths=(4,) * fitting)
    with pytest.raises(ValueError, match=r"maps of \d x \d are too small for a window of \d x \d: give fewer"):
        NETWORKS[name](Style(), 2, shape, widths=(4,) * (fitting + 1))


@pytest.mark.parametrize("name, again", [(name, again) for name in SMALL for again in (False, True)
                                         if (name, again) != ("strided", True)])
def test_small_copies_learn_are_exported_and_run_equal(name, again, tmp_path):
    settings = SMALL[name]
    style = Style(fixed_point(1, 1), again, alpha=3.0, average=again)
    net = NETWORKS[name](style, 2, **settings)
    input_node = Input(settings["shape"], "image", bits=8, scale=1 / 255, mean=0.5, std=0.25)
    x = samples(settings["shape"], 12)
    values = normalise(x, input_node).float()
    classes = settings.get("classes", 10)
    assert net(values).shape == (12, classes)
    nn.functional.cross_entropy(net(values), torch.arange(12) % classes).backward()
    assert all(torch.isfinite(p.grad).all() and p.grad.any() for p in net.parameters())
    model, _ = prove(settle(net, values), tmp_path / "net.h5", x, input_node)
    kinds = [node.kind for node in model.nodes.values()]
    assert ("Restimulation" in kinds) == again
    assert kinds.count("BatchNorm") == sum(hasattr(layer, "running_var") for layer in net.modules())


def test_shortcuts_lead_into_the_neuron_after_the_addition():
    net = resnet8(Style(restimulation=True), 2)
    assert net.sources["stage1_1b"] == ("stage1_1b_norm", "stem", "stage1_1b_again")
    assert net.sources["stage2_1b"][1] == "stage2_1b_shortcut_norm"
    assert net.sources["stage2_1b_shortcut"] == ("stage1_1b",)
    assert isinstance(net.layers["stage2_1a_again"], Restimulation)
    assert net.layers["stage2_1b_norm"].scale == pytest.approx(0.5 / np.sqrt(2))
    assert net.layers["stage2_1a_norm"].scale == 0.5


@pytest.mark.parametrize("training", [False, True])
def test_what_stands_still_is_computed_once(training):
    x = torch.randn(8, 3, 8, 8, dtype=torch.float64)
    found = []
    for once in (False, True):
        torch.manual_seed(0)
        net = resnet8(Style(restimulation=True, alpha=2.0), 3, (3, 8, 8), widths=(4, 6, 8)).double()
        assert net.once
        net.once = once
        net.train(training)
        outputs = net(x)
        outputs.square().sum().backward()
        found.append((outputs.detach(), net.layers["stem_conv"].weight.grad, net.layers["stem_norm"].running_var))
    for repeated, single in zip(*found):
        torch.testing.assert_close(repeated, single, rtol=1e-2 if single is found[1][2] else 1e-9, atol=1e-9)


def test_events_that_move_through_a_network(tmp_path):
    x = (np.random.default_rng(0).random((4, 3, 2, 12, 12)) < 0.2).astype(np.uint8)
    net = resnet20(Style(alpha=2.0), 3, (2, 12, 12), moving=True, widths=(4, 6, 8))
    settle(net, torch.from_numpy(x).float())
    prove(net, tmp_path / "net.h5", x, Input((2, 12, 12), "spikes"))


def test_a_layer_must_read_layers_before_it():
    with pytest.raises(ValueError, match=r"layer 'neuron' reads \['readout'\]"):
        SpikingNet({"neuron": Neuron(), "readout": Readout()}, 2, {"neuron": ("input", "readout")})
    with pytest.raises(ValueError, match="a layer is named 'input'"):
        SpikingNet({"input": Neuron(), "readout": Readout()}, 2)
