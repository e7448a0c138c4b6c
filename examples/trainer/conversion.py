"""From a trained ReLU network to a spiking one, without training: ANN to SNN.

A ReLU's activation a becomes the mean, over T steps, of what a multi-bit IF neuron sends: K = 2^B - 1
levels a step of the size delta = limit / K, so that T * K + 1 values from 0 to `limit` can be told
apart. The neuron resets softly and fires at delta / 2, which rounds the sum to the nearest level
(SRIF's threshold; the "half charge" of Bu et al., 2021). `limit` is chosen for each layer, as that
which rounds and clips a sample of its activations with the least squared error.

    snn = convert(ann, values, timesteps=4, bits=2)
    export(snn, "net.h5", data.input_node, x)
"""

from copy import deepcopy

import numpy as np
import torch
from torch import nn

from trainer.export import fold
from trainer.network import INPUT, Readout, SpikingNet, total
from trainer.neurons import Neuron
from trainer.training import evaluate

LARGEST_SAMPLE = 200_000  # activations of a layer that the search for its limit looks at
LIMITS = 80  # that are tried


def convert(net, x, timesteps, bits):
    """The SpikingNet of a trained ReLU network; BatchNorm is folded.

    net: a SpikingNet with nn.ReLU for neurons, or an nn.Sequential, for one step. x: samples to
    calibrate with, as the network takes them, a few hundred. TypeError for what cannot be exported.
    """
    return quantise(*calibrate(net, x), timesteps, bits)


def calibrate(net, x):
    """(folded network, name -> activations): what `quantise` needs, for any T and B."""
    folded = fold(_with_neurons(net))
    return folded, activations(folded, x)


def quantise(folded, samples, timesteps, bits):
    """The SpikingNet for T steps of B bits. samples: name -> activations of that layer, float64 (n,)."""
    layers = {}
    for name, layer in folded.items():
        if isinstance(layer, Neuron):
            limit = best_limit(samples[name], timesteps * (2**bits - 1))
            layers[name] = Neuron(bits=bits, quantum=float(np.float32(limit / (2**bits - 1))))
        elif hasattr(layer, "eventsim_node"):
            layers[name] = Readout()
        else:
            layers[name] = deepcopy(layer).float()
    return SpikingNet(layers, timesteps, folded.sources).eval()


def _with_neurons(net):
    """A copy in which every ReLU is a Neuron: a name for the place, whose settings come later."""
    net = deepcopy(net)
    n_replaced = 0
    for module in list(net.modules()):
        for name, child in module.named_children():
            if type(child) is nn.ReLU:
                setattr(module, name, Neuron())
                n_replaced += 1
            elif isinstance(child, Neuron):
                raise TypeError(f"layer {name!r} fires already: expected a network of ReLU")
    if not n_replaced:
        raise TypeError("the network has no nn.ReLU to convert")
    return net


@torch.no_grad()
def activations(folded, x, batch_size=50):
    """name -> activations of each layer of neurons, were they ReLU: a sample, float64 (n,)."""
    found = {name: [] for name, layer in folded.items() if isinstance(layer, Neuron)}
    n_batches = -(-len(x) // batch_size)
    for batch in x.split(batch_size):
        values = {INPUT: batch.double()}
        for name, layer in folded.items():
            value = total(values[source] for source in folded.sources[name])
            if name in found:
                value = value.clamp(min=0)
                flat = value.flatten()
                found[name].append(flat[:: -(-len(flat) * n_batches // LARGEST_SAMPLE)].numpy())
            elif not hasattr(layer, "eventsim_node"):
                value = layer(value)
            values[name] = value
    return {name: np.concatenate(parts) for name, parts in found.items()}


def best_limit(sample, n_levels):
    """The largest value of `n_levels` even ones above 0, by which a sample has the least squared error."""
    largest = float(sample.max())
    if largest == 0:
        return 1.0  # a layer that never fires
    limits = largest * np.arange(1, LIMITS + 1) / LIMITS
    return float(min(limits, key=lambda limit: ((rounded(sample, limit, n_levels) - sample) ** 2).mean()))


def rounded(values, limit, n_levels):
    """Values as the nearest of 0, limit / n_levels, ..., limit."""
    return np.clip(np.floor(values * (n_levels / limit) + 0.5), 0, n_levels) * (limit / n_levels)


def sweep(net, x, part, input_node, timesteps=(1, 2, 4, 8, 16), bits=(1, 2, 3, 4)):
    """{(T, B): accuracy} of the conversions of a ReLU network, and {"ANN": accuracy} of itself.

    x: samples to calibrate with, normalised. part: of trainer.data, what accuracy is taken on.
    """
    found = {"ANN": evaluate(net, part, input_node)[0]}
    calibrated = calibrate(net, x)
    for t in timesteps:
        for b in bits:
            found[t, b] = evaluate(quantise(*calibrated, t, b), part, input_node)[0]
    return found
