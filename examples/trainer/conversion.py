"""From a trained ReLU network to a spiking one, without training: ANN to SNN.

A ReLU's activation a becomes the mean, over T steps, of what a multi-bit IF neuron sends: K = 2^B - 1
levels a step of the size delta = limit / K, so that T * K + 1 values from 0 to `limit` can be told
apart. The neuron resets softly and fires at delta / 2, which rounds the sum to the nearest level
(SRIF's threshold; the "half charge" of Bu et al., 2021). `limit` is chosen for each layer, as that
which rounds and clips a sample of its activations with the least squared error.

    snn = convert(ann, values, timesteps=4, bits=2)
    eventsim.save(eventsim.from_torch(snn, x, data.input_node), "net.h5")

The network may be any nn.Module, with nn.ReLU or functional.relu: neurons take the place of each call.
"""

from copy import deepcopy

import numpy as np
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

import eventsim
from eventsim.from_torch import register
from trainer.neurons import Neuron, SRIF
from trainer.training import evaluate

LARGEST_SAMPLE = 200_000  # activations of a layer that the search for its limit looks at
LIMITS = 80  # that are tried


class IF(nn.Module):
    """SRIF neurons of one step a call: the membrane stays between calls, until `reset`.

    bits, quantum: of a spike, as SRIF has them.
    """

    def __init__(self, bits, quantum):
        super().__init__()
        self.bits, self.quantum = bits, quantum
        self.reset()

    def reset(self):
        """Empty the membranes."""
        self.membrane = 0.0

    def forward(self, current):
        """current: (N, ...). Returns the spikes' values, level * quantum, of the same shape."""
        h = self.membrane + current
        value = (h / self.quantum + 0.5).floor().clamp(0, 2**self.bits - 1) * self.quantum
        self.membrane = h - value
        return value

    def extra_repr(self):
        return f"bits={self.bits}, quantum={self.quantum}"


def _if(layer, x):
    return eventsim.Neuron(v_threshold=layer.quantum / 2, quantum=layer.quantum, bits=layer.bits)


register(IF, _if)


class InsteadOfReLU(TorchFunctionMode):
    """While it is active, each call of ReLU is one of a list of functions, in turn.

    instead: functions of what ReLU is given. n_calls: of ReLU so far, those beyond the list included.
    """

    def __init__(self, instead):
        super().__init__()
        self.instead, self.n_calls = instead, 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name not in ("relu", "relu_"):
            return func(*args, **kwargs)
        self.n_calls += 1
        if self.n_calls > len(self.instead):
            return func(*args, **kwargs)
        x = args[0] if args else kwargs["input"]
        y = self.instead[self.n_calls - 1](x)
        in_place = name == "relu_" or kwargs.get("inplace", len(args) > 1 and args[1])
        return x.copy_(y) if in_place else y


class Converted(nn.Module):
    """A ReLU network with neurons instead: the mean of what it gives over some steps of the same input.

    neurons: IF, in the order in which `net` calls ReLU.
    """

    def __init__(self, net, neurons, timesteps):
        super().__init__()
        self.net, self.neurons, self.timesteps = net, nn.ModuleList(neurons), timesteps

    def forward(self, x):
        """x: (N, ...), as the ReLU network takes it."""
        for neuron in self.neurons:
            neuron.reset()
        total = 0
        for _ in range(self.timesteps):
            with InsteadOfReLU(self.neurons):
                total = total + self.net(x)
        return total / self.timesteps


def convert(net, x, timesteps, bits):
    """The spiking network of a trained ReLU network, in evaluation; `net` is left as it is.

    net: nn.Module of one step. x: samples to calibrate with, as the network takes them, a few hundred.
    timesteps: T. bits: B of a spike. TypeError for a network that fires already or has no ReLU.
    """
    return quantise(net, activations(net, x), timesteps, bits)


def quantise(net, samples, timesteps, bits):
    """The spiking network for T steps of B bits. samples: from `activations`, which does for any T and B."""
    limits = [best_limit(sample, timesteps * (2**bits - 1)) for sample in samples]
    neurons = [IF(bits, float(np.float32(limit / (2**bits - 1)))) for limit in limits]
    return Converted(deepcopy(net), neurons, timesteps).eval()


@torch.no_grad()
def activations(net, x, batch_size=50):
    """For each call of ReLU a sample of what it gives, float64 (n,)."""
    for name, module in net.named_modules():
        if isinstance(module, (IF, Neuron, SRIF)):
            raise TypeError(f"layer {name!r} fires already: expected a network of ReLU")
    net = deepcopy(net).double().eval()
    with InsteadOfReLU([]) as relus:
        net(x[:1].double())
    if not relus.n_calls:
        activations_in = {type(module).__name__ for module in net.modules()
                          if type(module).__module__ == "torch.nn.modules.activation"}
        other = f" ({', '.join(sorted(activations_in))} in their place)" if activations_in else ""
        raise TypeError(f"the network has no nn.ReLU to convert, and calls no functional.relu{other}; train it "
                        "with ReLU")
    inputs = [[] for _ in range(relus.n_calls)]
    n_batches = -(-len(x) // batch_size)
    for batch in x.split(batch_size):
        with InsteadOfReLU([_keeping(parts, n_batches) for parts in inputs]):
            net(batch.double())
    return [np.concatenate(parts) for parts in inputs]


def _keeping(parts, n_batches):
    """ReLU that keeps a sample of what it gives."""

    def relu(x):
        y = x.clamp(min=0)
        flat = y.flatten()
        parts.append(flat[:: -(-len(flat) * n_batches // LARGEST_SAMPLE)].cpu().numpy())
        return y

    return relu


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
    accuracies = {"ANN": evaluate(net, part, input_node)[0]}
    samples = activations(net, x)
    for t in timesteps:
        for b in bits:
            accuracies[t, b] = evaluate(quantise(net, samples, t, b), part, input_node)[0]
    return accuracies
