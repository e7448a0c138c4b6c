"""From a trained SpikingNet to an eventsim.Model that carries its own proof.

BatchNorm is folded into the layer before it, in float64. `simulate` runs the folded network in
PyTorch, sharing nothing with eventsim; its outputs and level counts go into the model's check
group, against which `eventsim check` compares what the engine computes.
"""

from copy import deepcopy
from typing import Dict, NamedTuple

import numpy as np
import torch
from torch import nn

from eventsim.model import Check, Model
from eventsim.nodes import AvgPool, Conv2d, Dense, Flatten, Neuron
from eventsim.nodes import Readout as ReadoutNode
from trainer.network import Readout
from trainer.neurons import SRIF


class Result(NamedTuple):
    """What `simulate` finds.

    outputs: (N, classes). levels: per neuron layer, int64 (N, T, ...).
    margin: smallest distance between a membrane and a threshold, in quanta. While it is far above
        the rounding errors of two computations, they must agree on every spike.
    """

    outputs: np.ndarray
    levels: Dict[str, np.ndarray]
    margin: float


def fold(net):
    """The layers of a SpikingNet in float64, each BatchNorm merged into the layer before it.

    Returns name -> module. The network itself is left as it is.
    """
    folded = {}
    for name, layer in net.layers.items():
        layer = deepcopy(layer).double().eval()
        if isinstance(layer, (nn.BatchNorm1d, nn.BatchNorm2d)):
            _merge(folded[last], layer)
        else:
            folded[name] = layer
            last = name
    return folded


def _merge(synapses, norm):
    """Fold y = weight * (x - mean) / sqrt(var + eps) + bias into Conv2d or Linear, in place."""
    if not isinstance(synapses, (nn.Conv2d, nn.Linear)):
        raise TypeError(f"BatchNorm after {synapses}: expected Conv2d or Linear before it")
    with torch.no_grad():
        gain = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        bias = 0 if synapses.bias is None else synapses.bias
        synapses.bias = nn.Parameter((bias - norm.running_mean) * gain + norm.bias)
        synapses.weight.mul_(gain.view(-1, *[1] * (synapses.weight.ndim - 1)))


@torch.no_grad()
def round_to_float32(folded):
    """Round all weights and biases to float32, in place; they stay float64 arrays.

    A file then holds them in half the space, and the accuracy that is reported is that of the
    file. Returns `folded`.
    """
    for layer in folded.values():
        for parameter in layer.parameters():
            parameter.copy_(parameter.float().double())
    return folded


@torch.no_grad()
def simulate(folded, x, timesteps, dtype=torch.float64):
    """Run a folded network step by step, without training code: thresholds instead of rounding.

    folded: from `fold`. x: (N, ...) as the first layer takes it.
    """
    folded = {name: deepcopy(layer).to(dtype) for name, layer in folded.items()}
    membranes = {name: 0.0 for name, layer in folded.items() if isinstance(layer, SRIF)}
    levels = {name: [] for name in membranes}
    margin, total = np.inf, 0.0
    for _ in range(timesteps):
        value = x.to(dtype)
        for name, layer in folded.items():
            if isinstance(layer, SRIF):
                h = membranes[name] + value
                k = torch.zeros_like(h)
                for j in range(layer.max_level):
                    distance = h - (j + 0.5) * layer.quantum
                    k += distance >= 0
                    margin = min(margin, distance.abs().min().item() / layer.quantum)
                value = k * layer.quantum
                membranes[name] = h - value
                levels[name].append(k.to(torch.int64))
            elif isinstance(layer, Readout):
                total = total + value
            else:
                value = layer(value)
    return Result(
        (total / timesteps).numpy(),
        {name: torch.stack(steps, 1).numpy() for name, steps in levels.items()},
        margin,
    )


def count_levels(levels, max_level):
    """int64 (N, T, max_level + 1): how many neurons sent each level. levels: (N, T, ...)."""
    axes = tuple(range(2, levels.ndim))
    return np.stack([(levels == k).sum(axes) for k in range(max_level + 1)], -1)


def make_check(folded, x, normalised, timesteps):
    """The check group for the samples `x`, integer levels as the engine takes them.

    normalised: the same samples as the folded network takes them.
    """
    result = simulate(folded, normalised, timesteps)
    if result.margin < 1e-9:
        raise ValueError(f"a membrane is {result.margin:.1e} quanta from a threshold: choose "
                         "other samples for the check group")
    counts = {
        name: count_levels(levels, folded[name].max_level)
        for name, levels in result.levels.items()
    }
    return Check(x, result.outputs, counts)


def to_model(folded, input_node, timesteps, class_names=(), provenance=None, check=None):
    """The eventsim.Model of a folded network, its nodes named as the layers."""
    nodes = {"input": input_node, **{name: _node(layer) for name, layer in folded.items()}}
    names = list(nodes)
    return Model(nodes, zip(names, names[1:]), timesteps, class_names, provenance, check)


def _node(layer):
    if isinstance(layer, nn.Conv2d):
        if isinstance(layer.padding, str) or layer.padding_mode != "zeros":
            raise TypeError(f"{layer}: expected padding with zeros, given as numbers")
        return Conv2d(
            _array(layer.weight), _array(layer.bias), layer.stride, layer.padding,
            layer.dilation, layer.groups,
        )
    if isinstance(layer, nn.Linear):
        return Dense(_array(layer.weight), _array(layer.bias))
    if isinstance(layer, nn.AvgPool2d):
        return AvgPool(
            layer.kernel_size, layer.stride, layer.padding, layer.ceil_mode,
            layer.count_include_pad,
        )
    if isinstance(layer, nn.Flatten):
        return Flatten()
    if isinstance(layer, SRIF):
        return Neuron(
            v_threshold=layer.quantum / 2, quantum=layer.quantum, bits=layer.bits,
            rectify=layer.mpr,
        )
    if isinstance(layer, Readout):
        return ReadoutNode(reduce="mean")
    raise TypeError(f"no eventsim node for {layer}")


def _array(parameter):
    return None if parameter is None else parameter.detach().numpy()
