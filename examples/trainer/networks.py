"""The networks of the papers, and small ones, as SpikingNets.

    net = resnet20(Style({"mpr": True}), timesteps=4)
    net = NETWORKS["resnet19"](Style(fixed_point(2, 1), restimulation=True), 4, classes=100)

All take (style, timesteps, shape, classes, moving) and widths. Residual blocks join currents: the
shortcut leads into the block's last neuron, either as the spikes themselves or through a strided
1x1 convolution, and the neuron fires after the addition. At the default widths, parameters are as
many as published: ResNet18 11.69 M and ResNet34 21.80 M with 1,000 classes (He et al., 2015, as
torchvision counts them), CIFAR's ResNet20 0.27 M. InfLoR-SNN cites SpikeNorm and Diet-SNN for its
ResNet20; that network of 11 M is `resnet20_wide`.
"""

import json
from dataclasses import dataclass, field
from inspect import signature
from math import sqrt
from typing import Callable

import torch
from torch import nn

from trainer.errors import TrainerError
from trainer.network import INPUT, Readout, SpikingNet
from trainer.neurons import NEURONS, Neuron, Restimulation, TdBatchNorm1d, TdBatchNorm2d, fixed_point


@dataclass
class Style:
    """What the layers of a network are made of.

    neuron: settings of Neuron, see there; or None for ReLU, the ANN of a conversion.
    restimulation: whether neurons behind a convolution that reads other neurons are re-stimulated by these.
    alpha: tdBN's, for paths that are not added to others; a convolution and its shortcut get alpha / sqrt(2).
    average: whether pools between the stages of VGG average instead of taking the largest.
    """

    neuron: dict = field(default_factory=dict)
    restimulation: bool = False
    alpha: float = 1.0
    average: bool = False

    def fire(self):
        """Return a new layer of neurons."""
        return nn.ReLU() if self.neuron is None else Neuron(**self.neuron)

    def norm(self, channels, axes, paths):
        """Return a new tdBN in front of a neuron that `paths` lead to; for ReLU, plain BatchNorm."""
        if self.neuron is None:
            return (nn.BatchNorm2d if axes == 2 else nn.BatchNorm1d)(channels)
        kind: Callable = TdBatchNorm2d if axes == 2 else TdBatchNorm1d
        return kind(channels, self.alpha / sqrt(paths), Neuron(**self.neuron).v_threshold)


class Draft:
    """Layers of a network in the making. `at` is the name of the layer to go on from, `channels` and
    `size` (height, width) what it gives."""

    def __init__(self, style, shape):
        self.style = style
        self.layers, self.sources = {}, {}
        self.at, (self.channels, *self.size) = INPUT, shape
        self.spiking = False  # the input is a picture, or events that are worth what they are

    def add(self, name, layer, *sources):
        """Append a layer that reads `sources`, by default `at`; it becomes `at`."""
        self.layers[name] = layer
        self.sources[name] = sources or (self.at,)
        self.at = name
        return name

    def convolution(self, name, n_out, kernel, stride=1, shortcut=None, padding=None):
        """Append Conv2d, tdBN and neurons. shortcut: (layer, channels) whose spikes are added, or None. padding:
        None for half the kernel."""
        before, n_in = self.at, self.channels
        padding = kernel // 2 if padding is None else padding
        self.add(f"{name}_conv", nn.Conv2d(n_in, n_out, kernel, stride, padding, bias=False))
        paths = [self.add(f"{name}_norm", self.style.norm(n_out, 2, 1 if shortcut is None else 2))]
        if shortcut is not None:
            paths.append(self._shortcut(name, *shortcut, n_out))
        if self.style.restimulation and self.spiking:
            if padding != kernel // 2:
                raise TrainerError(f"layer {name!r}: re-stimulation needs maps of the size that a padding of "
                                   f"{kernel // 2} gives, but padding is {padding}: leave re-stimulation out")
            projection = None if (n_in, stride) == (n_out, 1) else (n_in, n_out, stride)
            paths.append(self.add(f"{name}_again", Restimulation(3, projection), before))
        self.add(name, self.style.fire(), *paths)
        self.channels, self.spiking = n_out, True
        self._resize(name, kernel, stride, padding)

    def _resize(self, name, kernel, stride, padding):
        """Make the size that of the maps that a window gives. TrainerError where none are left."""
        size = [(n + 2 * padding - kernel) // stride + 1 for n in self.size]
        if min(size) < 1:
            raise TrainerError(f"layer {name!r}: maps of {' x '.join(map(str, self.size))} are too small for a "
                               f"window of {kernel} x {kernel}: give fewer --widths")
        self.size = size

    def _shortcut(self, name, source, channels, stride, n_out):
        if (channels, stride) == (n_out, 1):
            return source
        self.add(f"{name}_shortcut", nn.Conv2d(channels, n_out, 1, stride, bias=False), source)
        return self.add(f"{name}_shortcut_norm", self.style.norm(n_out, 2, 2))

    def block(self, name, n_out, stride):
        """Append two 3x3 convolutions and a shortcut around them: He et al.'s basic block."""
        shortcut = (self.at, self.channels, stride)
        self.convolution(f"{name}a", n_out, 3, stride)
        self.convolution(f"{name}b", n_out, 3, 1, shortcut)

    def stages(self, stages):
        """Append basic blocks of (width, blocks); from the second stage on, the first block halves the maps."""
        for stage, (width, blocks) in enumerate(stages, 1):
            for block in range(1, blocks + 1):
                self.block(f"stage{stage}_{block}", width, 2 if stage > 1 and block == 1 else 1)

    def pool(self, name, kernel, stride, padding=0, average=False):
        """Append a pool of spikes."""
        cls = nn.AvgPool2d if average else nn.MaxPool2d
        self.add(name, cls(kernel, stride, padding))
        self._resize(name, kernel, stride, padding)

    def dense(self, name, n_out):
        """Append Linear, tdBN and neurons."""
        self.add(f"{name}_dense", nn.Linear(self.channels, n_out, bias=False))
        self.add(f"{name}_norm", self.style.norm(n_out, 1, 1))
        self.add(name, self.style.fire())
        self.channels = n_out

    def average(self):
        """Append the mean of each channel."""
        self.add("average", nn.AvgPool2d(tuple(self.size)))
        self.size = [1, 1]
        self.flatten()

    def flatten(self):
        """Append a layer that makes a vector of maps."""
        self.add("flatten", nn.Flatten())
        self.channels *= self.size[0] * self.size[1]

    def network(self, classes, timesteps, moving):
        """Return the SpikingNet, with a dense layer and a Readout at its end."""
        self.add("dense", nn.Linear(self.channels, classes))
        self.add("readout", Readout())
        net = SpikingNet(self.layers, timesteps, self.sources, moving, once=True)
        for layer in net.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
        return net


def stages_of(widths, depths):
    """Return (width, depth) of each stage of a network. TrainerError where there are not as many widths as
    stages."""
    if len(widths) != len(depths):
        raise TrainerError(f"--widths {' '.join(map(str, widths))}: {len(widths)} widths are given, expected "
                           f"{len(depths)}, one for each stage of this network")
    return list(zip(widths, depths))


def vgg(style, timesteps, shape, classes, moving, stages, dense):
    """Build stages of 3x3 convolutions, each ended by a pool; then dense layers."""
    draft = Draft(style, shape)
    for stage, widths in enumerate(stages, 1):
        for layer, width in enumerate(widths, 1):
            draft.convolution(f"stage{stage}_{layer}", width, 3)
        draft.pool(f"pool{stage}", 2, 2, average=style.average)
    draft.flatten()
    for layer, width in enumerate(dense, 1):
        draft.dense(f"hidden{layer}", width)
    return draft.network(classes, timesteps, moving)


def resnet(style, timesteps, shape, classes, moving, stages, stride=1, hidden=()):
    """Build a stem, stages of basic blocks, the average, dense layers.

    stages: (width, blocks), see Draft. stride: of the stem.
    Pictures of 64 pixels and more get ImageNet's stem: 7x7 with stride 2, and a pool of 3x3.
    """
    draft = Draft(style, shape)
    large = min(shape[1:]) >= 64
    draft.convolution("stem", stages[0][0], 7 if large else 3, 2 if large else stride)
    if large:
        draft.pool("pool", 3, 2, 1)
    draft.stages(stages)
    draft.average()
    for layer, width in enumerate(hidden, 1):
        draft.dense(f"hidden{layer}", width)
    return draft.network(classes, timesteps, moving)


def vgg16(style, timesteps, shape=(3, 32, 32), classes=10, moving=False,
          widths=(64, 128, 256, 512, 512), dense=(4096, 4096)):
    """Configuration D of Simonyan and Zisserman (2014)."""
    stages = stages_of(widths, (2, 2, 3, 3, 3))
    return vgg(style, timesteps, shape, classes, moving, [(width,) * depth for width, depth in stages], dense)


def resnet18(style, timesteps, shape=(3, 224, 224), classes=1000, moving=False,
             widths=(64, 128, 256, 512)):
    """He et al. (2015), table 1."""
    return resnet(style, timesteps, shape, classes, moving, stages_of(widths, (2, 2, 2, 2)))


def resnet34(style, timesteps, shape=(3, 224, 224), classes=1000, moving=False,
             widths=(64, 128, 256, 512)):
    """He et al. (2015), table 1."""
    return resnet(style, timesteps, shape, classes, moving, stages_of(widths, (3, 4, 6, 3)))


def resnet19(style, timesteps, shape=(3, 32, 32), classes=10, moving=False, widths=(128, 256, 512),
             hidden=(256,)):
    """STBP-tdBN's (Zheng et al., 2021): 17 convolutions and two dense layers."""
    return resnet(style, timesteps, shape, classes, moving, stages_of(widths, (3, 3, 2)), hidden=hidden)


def resnet20(style, timesteps, shape=(3, 32, 32), classes=10, moving=False, widths=(16, 32, 64), stride=1):
    """He et al. (2015), section 4.2, with 1x1 convolutions for shortcuts (option B). stride: see `resnet8`."""
    return resnet(style, timesteps, shape, classes, moving, stages_of(widths, (3, 3, 3)), stride)


def resnet20_wide(style, timesteps, shape=(3, 32, 32), classes=10, moving=False, widths=(64, 128, 256, 512)):
    """Diet-SNN's ResNet20 (Rathi and Roy, 2020): three convolutions, an average pool, two blocks of each width,
    and a dense layer that reads the maps as they are. tdBN stands where it has dropout."""
    draft, stages = Draft(style, shape), stages_of(widths, (2, 2, 2, 2))
    for layer in (1, 2, 3):
        draft.convolution(f"stem{layer}", widths[0], 3)
    draft.pool("pool", 2, 2, average=True)
    draft.stages(stages)
    draft.flatten()
    return draft.network(classes, timesteps, moving)


def resnet8(style, timesteps, shape=(3, 32, 32), classes=10, moving=False, widths=(16, 32, 64), stride=1):
    """ResNet20 with a third of its blocks, for ablations on small machines. stride: of the stem; 2 halves
    all maps, which costs a quarter."""
    return resnet(style, timesteps, shape, classes, moving, stages_of(widths, (1, 1, 1)), stride)


def small_vgg(style, timesteps, shape=(3, 32, 32), classes=10, moving=False, widths=(16, 32, 64),
              dense=()):
    """Two convolutions and a pool, for each width."""
    return vgg(style, timesteps, shape, classes, moving, [(w, w) for w in widths], dense)


def lenet(style, timesteps, shape=(1, 28, 28), classes=10, moving=False, widths=(12, 24), dense=(64,)):
    """One convolution and a pool, for each width; a dense layer. For MNIST and N-MNIST."""
    return vgg(style, timesteps, shape, classes, moving, [(w,) for w in widths], dense)


def strided(style, timesteps, shape=(1, 28, 28), classes=10, moving=False, widths=(12, 24), dense=(64,)):
    """A 5x5 convolution of stride 2 for each width, without padding; a dense layer. For MNIST and N-MNIST, where
    energy counts: no pool throws away spikes whose membranes were paid for."""
    draft = Draft(style, shape)
    for layer, width in enumerate(widths, 1):
        draft.convolution(f"stage{layer}_1", width, 5, 2, padding=0)
    draft.flatten()
    for layer, width in enumerate(dense, 1):
        draft.dense(f"hidden{layer}", width)
    return draft.network(classes, timesteps, moving)


NETWORKS = {function.__name__: function for function in (
    vgg16, resnet18, resnet19, resnet20, resnet20_wide, resnet34, resnet8, small_vgg, lenet, strided)}


def from_settings(settings, data):
    """Return the network that the settings of `python -m trainer` describe, its weights drawn from their seed.

    settings: network, widths, neuron, bits, leak, surrogate, width, alpha, restimulation, timesteps and seed, as
    the command line has them and as a model's provenance keeps them; and `dense` and `pool`, which older files
    lack. pool: "max", "average", or None for what is usual, the average of ReLU. data: a trainer.data.Data.
    """
    neuron = None
    if settings["neuron"] != "ReLU":
        neuron = {**NEURONS[settings["neuron"]], **fixed_point(*settings["bits"]),
                  "surrogate": settings["surrogate"], "width": settings["width"]}
        if settings["leak"] is not None:
            neuron["leak"] = settings["leak"]
    torch.manual_seed(settings["seed"])
    more = {name: tuple(settings[name]) for name in ("widths", "dense") if settings.get(name) is not None}
    pool = settings.get("pool") or ("average" if neuron is None else "max")
    style = Style(neuron, settings["restimulation"], settings["alpha"], average=pool == "average")
    timesteps = 1 if neuron is None and not data.moving else settings["timesteps"]
    network = NETWORKS[settings["network"]]
    if "dense" in more and "dense" not in signature(network).parameters:
        raise TrainerError(f"--dense is for VGG and LeNet: leave it out with {settings['network']}")
    return network(style, timesteps, data.input_node.shape, len(data.class_names), data.moving, **more)


NEEDED = ("network", "neuron", "bits", "leak", "surrogate", "width", "alpha", "restimulation", "timesteps", "seed")


def told_settings(model, place, remedy):
    """Return the settings for `from_settings` that a model's provenance says. place: of the model, and remedy, in
    the TrainerError where it does not say them, or names what is not known here."""
    try:
        settings = json.loads(model.provenance["settings"])
    except (KeyError, ValueError):
        settings = None
    if not isinstance(settings, dict) or not set(NEEDED) <= set(settings):
        raise TrainerError(f"{place}: does not say its network: {remedy}")
    for name, known in (("network", NETWORKS), ("neuron", (*NEURONS, "ReLU"))):
        if settings[name] not in known:
            raise TrainerError(f"{place}: says that its {name} is {settings[name]}, expected one of "
                               f"{', '.join(known)}: {remedy}")
    return settings


def n_parameters(net):
    """Return how many trainable numbers a network has."""
    return sum(p.numel() for p in net.parameters())
