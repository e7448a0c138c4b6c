"""Spikes as a loss: what they cost, minimised beside the error.

    penalty = SpikePenalty(net)
    with penalty:
        outputs = net(x)
    loss = cross_entropy(outputs, y) + 0.5 * penalty.share()

An event costs as much energy as it has synapses: each of them reads a weight and adds it. So a spike is
penalised by its fan-out, and a layer before a wide one learns to fire less than one before a narrow one.
"""

import torch
from torch import nn
from torch.nn import functional

from trainer.errors import TrainerError
from trainer.neurons import SRIF, Neuron

PASSING = (nn.AvgPool2d, nn.MaxPool2d, nn.Flatten, nn.Dropout)  # layers that pass spikes on to synapses


class SpikePenalty:
    """Share of a SpikingNet's synapses that its spikes reach, per step; gradients flow through it.

    Counted are the convolutions and dense layers that read spikes, pools between included: levels times
    fan-out, over the synapses of these layers and the steps. A spike of level 3 counts three times, so
    several bits can make it more than 1. Borders and strides are respected. What reads the network's
    input does not count, since training cannot change it, nor do shortcuts and re-stimulation.

    It is of the last forward pass within `with`. ValueError where no layer of `net` reads spikes.
    """

    def __init__(self, net):
        self._units = {name: unit for name in net.layers if (unit := _unit_read(net, name)) is not None}
        if not self._units:
            raise TrainerError("no convolution or dense layer reads spikes: there is nothing to penalise")
        self._net, self._hooks = net, []
        self._fan_outs, self._reached = {}, {}

    def __enter__(self):
        self._hooks = [self._net.layers[name].register_forward_pre_hook(
            lambda layer, inputs, name=name: self._look(name, layer, inputs[0])) for name in self._units]
        return self

    def __exit__(self, *_):
        for hook in self._hooks:
            hook.remove()

    def share(self):
        """The penalty, a tensor of no axes."""
        return sum(self._reached.values()) / sum(float(fan_out.sum()) for fan_out in self._fan_outs.values())

    def _look(self, name, layer, spikes):
        """spikes: (T * N, ...), values. Levels times fan-out, per step and sample."""
        if name not in self._fan_outs:
            self._fan_outs[name] = fan_outs(layer, spikes.shape[1:]).to(spikes.device)
        mean = spikes.float().mean(0) / self._units[name]
        self._reached[name] = (mean * self._fan_outs[name]).sum()


def fan_outs(layer, shape):
    """How many synapses of a Conv2d or Linear each element of its input, (C, ...), has: float32, of that shape."""
    x, ones = torch.ones(1, *shape, requires_grad=True), torch.ones_like(layer.weight, device="cpu")
    with torch.enable_grad():
        if isinstance(layer, nn.Linear):
            y = functional.linear(x, ones)
        else:
            y = functional.conv2d(x, ones, None, layer.stride, layer.padding, layer.dilation, layer.groups)
        return torch.autograd.grad(y.sum(), x)[0][0]


def _unit_read(net, name):
    """What one level of one neuron is worth in the input of a synaptic layer; None for any other layer, and
    where the input is no spikes."""
    if not isinstance(net.layers[name], (nn.Conv2d, nn.Linear)):
        return None
    unit = 1.0
    while True:
        (name, *others) = net.sources[name]
        layer = net.layers[name] if name in net.layers else None
        if isinstance(layer, (SRIF, Neuron)):
            return unit * layer.quantum
        if others or not isinstance(layer, PASSING):
            return None
        if isinstance(layer, nn.AvgPool2d):
            size = layer.kernel_size
            unit /= size * size if isinstance(size, int) else size[0] * size[1]
