"""A model file of the trainer as a network that learns on: BatchNorm taken out of its weights again.

What BatchNorm was is not in the file. Any will do that gives what the file's weights give: moments are those of
some training samples, and its gains and biases undo them. The length of a channel's weights, which BatchNorm
cancels, is that of new ones, so that they learn as fast.
"""

import numpy as np
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

import eventsim
from trainer.data import some
from trainer.errors import TrainerError
from trainer.networks import from_settings, told_settings
from trainer.neurons import Restimulation
from trainer.timed import OUTCOME
from trainer.training import to_values

SAMPLES = 512  # that moments are of


@torch.no_grad()
def unfolded(path, data):
    """Return (weights, settings) of the SpikingNet that a model file was exported from. ValueError where its
    provenance does not say so, or layers differ from what that says."""
    model = eventsim.load(path)
    settings = told_settings(model, path, "give a model that the trainer exported")
    if settings.get("convert"):
        raise TrainerError(f"{path}: is a converted ANN: give one that was trained as it is")
    _check_same_data(path, model.nodes[model.input], data.input_node)
    net = from_settings(settings, data)
    for name, layer in net.layers.items():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            copy(layer, node_of(model, name, path), path)
        elif isinstance(layer, Restimulation):
            copy_restimulation(layer, node_of(model, name, path), path)
    images, _ = data.training.batch(some(len(data.training), min(SAMPLES, len(data.training))))
    normalise_as_folded(net, model, to_values(images, data.input_node))
    return net.state_dict(), {**settings, **{name: model.provenance[name] for name in OUTCOME
                                             if name in model.provenance}}


def _check_same_data(path, theirs, ours):
    """Raise TrainerError where a model reads samples as others than these are."""
    for name in ("shape", "scale", "mean", "std"):
        trained_on, given = (np.asarray(getattr(node, name), np.float64) for node in (theirs, ours))
        try:
            same = np.allclose(trained_on.ravel(), given.ravel(), rtol=1e-6)
        except ValueError:  # of other shapes
            same = False
        if not same:
            raise TrainerError(f"{path}: was trained on samples with {name} {trained_on.tolist()}, but these "
                               f"have {given.tolist()}: give the data set that it was trained on")


def node_of(model, name, path):
    """Return the node that a layer became. TrainerError where there is none."""
    if name not in model.nodes:
        raise TrainerError(f"{path}: has no node {name!r}, which its provenance says that it was trained with")
    return model.nodes[name]


def copy(layer, node, path):
    """Copy the weights of a node into a layer, and the bias where the layer has one of its own."""
    give(layer.weight, node.weight, path)
    if layer.bias is not None:
        give(layer.bias, node.bias, path)


def copy_restimulation(layer, node, path):
    """Copy the kernel and the projection of a node into a layer."""
    give(layer.kernel, node.kernel, path)
    if layer.projection is not None:
        give(layer.projection.weight, node.weight, path)


def give(parameter, values, path):
    """Set a parameter's values."""
    if np.shape(values) != tuple(parameter.shape):
        raise TrainerError(f"{path}: has weights of the shape {np.shape(values)}, but its provenance says "
                           f"{tuple(parameter.shape)}")
    parameter.copy_(torch.from_numpy(np.asarray(values, np.float32)))


def normalise_as_folded(net, model, values):
    """Let each BatchNorm undo itself on `values` and add the bias that it was folded into."""
    hooks = []
    for name, layer in net.layers.items():
        if isinstance(layer, _BatchNorm):
            (before,) = net.sources[name]
            length = shorten(net.layers[before].weight)
            bias = torch.from_numpy(np.asarray(model.nodes[before].bias, np.float32))
            hooks.append(layer.register_forward_pre_hook(
                lambda norm, inputs, length=length, bias=bias: undo(norm, inputs[0], length, bias)))
    try:
        net.eval()(values)
    finally:
        for hook in hooks:
            hook.remove()


def shorten(weight):
    """Make each channel's weights as long as new ones are; returns how long they were to these, (channels,)."""
    new = (2 * weight[0].numel() / (weight.shape[0] * weight[0, 0].numel())) ** 0.5  # kaiming_normal_, fan_out
    length = (weight.flatten(1).norm(dim=1) / new).clamp(min=1e-12)
    weight /= length.view(-1, *[1] * (weight.ndim - 1))
    return length


def undo(norm, x, length, bias):
    """Set BatchNorm up so that it gives x * length + bias."""
    axes = [axis for axis in range(x.ndim) if axis != 1]
    variance, mean = torch.var_mean(x, axes, correction=0)
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(variance)
    norm.weight.copy_(length * torch.sqrt(variance + norm.eps) / getattr(norm, "scale", 1.0))
    norm.bias.copy_(bias + length * mean)
