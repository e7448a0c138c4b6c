"""Networks of the trainer as models: BatchNorm folded into the weights, nodes named like the network's layers."""

from copy import deepcopy

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

import eventsim
from eventsim.model.network import Check
from trainer import rules  # noqa: F401 (from_torch then knows the trainer's modules)
from trainer.network import SpikingNet

PREFIX = "layers."  # SpikingNet's, in front of each layer's name


def export(net, x, input_node, class_names, provenance=None):
    """The eventsim.Model of a trained SpikingNet or Converted network, with its check group.

    x: samples of the check group, as the input node has them. provenance: text by key.
    """
    net = folded(net) if isinstance(net, SpikingNet) else net
    model = eventsim.from_torch(net, x, input_node, net.timesteps, class_names, provenance=provenance)
    names = {name: name.removeprefix(PREFIX) for name in model.nodes}
    flat = [name for name, node in model.nodes.items() if node.kind == "Flatten"]
    layers = getattr(net, "layers", {})
    names.update(zip(flat, (name for name in layers if isinstance(layers[name], nn.Flatten))))
    if len(set(names.values())) < len(names):
        return model
    check = Check(model.check.x, model.check.outputs,
                  {names[name]: counts for name, counts in model.check.level_counts.items()})
    return eventsim.Model(
        {names[name]: node for name, node in model.nodes.items()},
        [(names[edge.source], names[edge.target], edge.delay) for edge in model.edges],
        model.timesteps, model.class_names, model.provenance, check, model.chip)


def folded(net):
    """A SpikingNet that computes what `net` does in evaluation, each BatchNorm folded into the convolution or
    dense layer that it alone reads. Computed in float64, rounded to the weights' type."""
    layers, sources = {name: deepcopy(layer) for name, layer in net.layers.items()}, dict(net.sources)
    for name, norm in net.layers.items():
        before = sources[name][0]
        readers = [reader for reader, read in sources.items() if before in read]
        if (isinstance(norm, _BatchNorm) and readers == [name]
                and isinstance(layers.get(before), (nn.Conv2d, nn.Linear))):
            layers[before] = _with_norm(layers[before], norm)
            del layers[name]
            del sources[name]
            sources = {reader: tuple(before if source == name else source for source in read)
                       for reader, read in sources.items()}
    return SpikingNet(layers, net.timesteps, sources, net.moving, net.once).eval()


@torch.no_grad()
def _with_norm(layer, norm):
    """A copy of a synaptic layer that gives what BatchNorm makes of what it gives."""
    gain = norm.weight.double() * getattr(norm, "scale", 1.0) / torch.sqrt(norm.running_var.double() + norm.eps)
    shift = -norm.running_mean.double() if layer.bias is None else layer.bias.double() - norm.running_mean.double()
    weight, joined = layer.weight, deepcopy(layer)
    joined.weight = nn.Parameter((weight.double() * gain.view(-1, *[1] * (weight.ndim - 1))).to(weight.dtype))
    joined.bias = nn.Parameter((norm.bias.double() + shift * gain).to(weight.dtype))
    return joined
