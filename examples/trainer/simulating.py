"""A stored model run in PyTorch, step by step: it shares no computation with eventsim's engine.

    found = simulate(eventsim.load("net.h5"), to_values(x, input_node, dtype=torch.float64))

It knows the nodes that networks of the trainer become, and refuses others.
"""

from dataclasses import fields
from typing import Dict, NamedTuple

import numpy as np
import torch
from torch.nn import functional

# fields of the trainer's neurons; the others are as eventsim has them by default
FIELDS = {"Neuron": ("v_threshold", "quantum", "output_quantum", "bits", "leak", "reset", "v_reset", "rectify"),
          "Readout": ("reduce",)}


class Result(NamedTuple):
    """What `simulate` finds.

    outputs: (N, classes). levels: per neuron layer, int64 (N, T, ...).
    margin: smallest distance between a membrane and a threshold, in quanta (and of a channel's gain
        from where it rounds up, in 256ths). While it is far above the rounding errors of two
        computations, they must agree on every spike.
    """

    outputs: np.ndarray
    levels: Dict[str, np.ndarray]
    margin: float


@torch.no_grad()
def simulate(model, x, dtype=torch.float64) -> Result:
    """Run a model as its nodes are documented.

    model: eventsim.Model. x: samples as the network takes them (normalised), a tensor (N, ...), or (N, T, ...)
    where they move. TypeError, naming the node, for what no network of the trainer becomes.
    """
    steps_of = _steps_of(model, dtype)
    moving = x.ndim == 2 + len(model.nodes[model.input].shape)
    levels = {name: [] for name, step in steps_of.items() if isinstance(step, _Neurons)}
    ends = []
    for t in range(model.timesteps):
        values = {model.input: (x[:, t] if moving else x).to(dtype)}
        for name, step in steps_of.items():
            first, *others = (values[edge.source] for edge in model.incoming(name))
            values[name] = step(sum(others, first))
            if name in levels:
                levels[name].append(step.sent.to(torch.int64))
        ends.append(step.sent if name in levels else values[name])
    reduce = getattr(model.nodes[name], "reduce", "sum")
    answer = ends[-1] if reduce == "last" else sum(ends) / (model.timesteps if reduce == "mean" else 1)
    return Result(
        answer.flatten(1).numpy(),
        {name: torch.stack(steps, 1).numpy() for name, steps in levels.items()},
        min((step.margin for step in steps_of.values() if hasattr(step, "margin")), default=np.inf),
    )


def _steps_of(model, dtype):
    """name -> function of what a node reads in one step, in the order in which nodes run."""
    if any(edge.delay for edge in model.edges):
        raise TypeError("the model has edges with a delay, which the trainer does not make")
    return {name: _step_of(name, model.nodes[name], dtype)
            for group in model.order() for name in group if name != model.input}


def _step_of(name, node, dtype):
    if node.kind not in STEPS:
        raise TypeError(f"node {name!r} ({node.kind}): not among the nodes that the trainer makes")
    if node.kind in FIELDS:
        plain = type(node)()
        for field in fields(node):
            value, default = getattr(node, field.name), getattr(plain, field.name)
            if field.name not in FIELDS[node.kind] and not np.array_equal(value, default):
                raise TypeError(f"node {name!r} ({node.kind}): {field.name} is {value}, expected {default}, which "
                                "layers of the trainer have")
    return STEPS[node.kind](node, dtype)


def _tensor(value, dtype):
    return None if value is None else torch.as_tensor(np.asarray(value), dtype=dtype)


def _per_channel(value, like):
    """A number for all, or one per channel, as it broadcasts over (N, C, ...)."""
    return value.view(-1, *[1] * (like.ndim - 2)) if value.ndim == 1 else value


# ---- nodes without a membrane


def _convolution(convolve):
    def step_of(node, dtype):
        weight, bias = _tensor(node.weight, dtype), _tensor(node.bias, dtype)
        return lambda x: convolve(x, weight, bias, node.stride, node.padding, node.dilation, node.groups)

    return step_of


def _dense(node, dtype):
    weight, bias = _tensor(node.weight, dtype), _tensor(node.bias, dtype)
    return lambda x: functional.linear(x, weight, bias)


def _pool(pools):
    def step_of(node, dtype):
        def step(x):
            kernel, stride, padding = node.geometry(x.ndim - 2)
            return pools[x.ndim - 3](x, kernel, stride, padding, ceil_mode=node.ceil_mode)

        return step

    return step_of


def _batch_norm(node, dtype):
    gain = node.weight * node.scale / np.sqrt(node.running_var + node.eps)
    gain, shift = _tensor(gain, dtype), _tensor(node.bias - node.running_mean * gain, dtype)
    return lambda x: x * _per_channel(gain, x) + _per_channel(shift, x)


class _Attention:
    """See eventsim.Restimulation."""

    def __init__(self, node, dtype):
        self.kernel, self.weight = _tensor(node.kernel, dtype).view(1, 1, -1), _tensor(node.weight, dtype)
        self.stride = node.stride
        self.margin = np.inf

    def __call__(self, spikes):
        q = spikes if self.weight is None else functional.conv2d(spikes, self.weight, stride=self.stride)
        means = q.flatten(2).mean(2) if q.ndim > 2 else q
        z = functional.conv1d(means[:, None], self.kernel, padding=self.kernel.shape[2] // 2)[:, 0]
        gains = 256 * torch.sigmoid(z) + 0.5
        self.margin = min(self.margin, (gains - gains.round()).abs().min().item())
        return (gains.floor() / 256).view(*gains.shape, *[1] * (q.ndim - 2)) * q


# ---- neurons


class _Neurons:
    """See eventsim.Neuron. sent: the levels of the last step."""

    def __init__(self, node, dtype):
        self.node = node
        self.numbers = {name: _tensor(getattr(node, name), dtype)
                        for name in ("leak", "v_threshold", "v_reset", "quantum", "worth")}
        self.residual = self.sent = torch.zeros((), dtype=dtype)
        self.margin = np.inf

    def __call__(self, x):
        n = {name: _per_channel(value, x) for name, value in self.numbers.items()}
        h = n["leak"] * self.residual + x
        most = 2 ** self.node.n_bits - 1
        distance = (h - n["v_threshold"]) / n["quantum"]
        self.sent = (distance.floor() + 1).clamp(0, most)
        nearest = distance.round().clamp(0, most - 1)
        self.margin = min(self.margin, (distance - nearest).abs().min().item())
        soft = self.node.reset == "soft"
        self.residual = h - self.sent * n["quantum"] if soft else torch.where(self.sent > 0, n["v_reset"], h)
        return self.sent * n["worth"]


STEPS = {
    "Conv1d": _convolution(functional.conv1d), "Conv2d": _convolution(functional.conv2d), "Dense": _dense,
    "AvgPool": _pool((functional.avg_pool1d, functional.avg_pool2d)),
    "MaxPool": _pool((functional.max_pool1d, functional.max_pool2d)),
    "BatchNorm": _batch_norm, "Flatten": lambda node, dtype: lambda x: x.flatten(1),
    "Add": lambda node, dtype: lambda x: x, "Readout": lambda node, dtype: lambda x: x,
    "Restimulation": _Attention, "Neuron": _Neurons,
}
