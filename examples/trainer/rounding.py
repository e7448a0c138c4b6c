"""A ReLU network in 8 bits, as dense hardware runs it: what spiking networks in int8 are compared with."""

from copy import deepcopy

import torch
from torch import nn

from trainer.conversion import activations, quantise
from trainer.exporting import folded
from trainer.network import SpikingNet

LARGEST = 127  # of a signed weight; 8 bits


def in_8_bits(net, x):
    """A network whose weights and activations have 8 bits; sums and biases stay as they are, and so does `net`.

    Weights: whole multiples of a step for each output channel, the largest of which is 127. Activations: 0 to 255
    times a step for each layer, by which a sample of them has the least squared error (`conversion.best_limit`).
    net: a trained SpikingNet of nn.ReLU, whose BatchNorm is folded first. x: samples to calibrate with, as the
    network takes them.
    """
    net = folded(net) if isinstance(net, SpikingNet) else deepcopy(net).eval()
    for layer in net.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            layer.weight = nn.Parameter(rounded_weights(layer.weight.detach()))
    return quantise(net, activations(net, x), timesteps=1, bits=8)


def rounded_weights(weight):
    """A weight (channels, ...) as the nearest of -127 to 127 times a step for each channel."""
    flat = weight.flatten(1)
    step = (flat.abs().amax(1, keepdim=True) / LARGEST).clamp(min=torch.finfo(weight.dtype).tiny)
    return ((flat / step).round() * step).reshape(weight.shape)
