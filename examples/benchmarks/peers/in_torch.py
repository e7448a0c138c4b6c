"""A model in plain PyTorch, as whoever knows it would write it for speed.

All steps of a layer are one batch for convolutions and dense layers, what stands still is computed once, neurons
are a few passes over memory that nothing else needs, a step at a time. Recurrent groups go step by step.
"""

import numpy as np
import torch
from torch.nn import functional as F

from peers.plan import plan, values_of


class TorchNetwork:
    """The network of a Model: `prepare` samples once, then call it: tensor -> answers (N, classes).

    steps: of samples that stand still. channels_last: the layout of maps and weights. dtype: of everything.
    """

    def __init__(self, model, steps, channels_last=False, dtype=torch.float32):
        self.node, self.steps, self.dtype, self.output = model.nodes[model.input], steps, dtype, model.output
        self.layout = torch.channels_last if channels_last else torch.contiguous_format
        self.layers = [layer._replace(values={key: self._tensor(value) for key, value in layer.values.items()})
                       for layer in plan(model)]
        self.last = {read.source: layer.name for layer in self.layers for read in layer.reads}
        self.input = model.input

    def _tensor(self, value):
        """Arrays as tensors, numbers as numbers."""
        if not isinstance(value, (np.ndarray, np.generic)):
            return value
        if value.ndim == 0:
            return float(value)
        value = torch.from_numpy(np.ascontiguousarray(value)).to(self.dtype)
        return value.contiguous(memory_format=self.layout) if value.ndim == 4 else value

    def prepare(self, x):
        """Levels (N, ...) that stand still, or (N, T, ...), as a tensor (1, N, ...) or (T, N, ...)."""
        values = torch.from_numpy(values_of(self.node, x)).to(self.dtype)
        values = values.unsqueeze(0) if x.ndim == len(self.node.shape) + 1 else values.transpose(0, 1)
        folded = values.flatten(0, 1)
        layout = self.layout if folded.ndim == 4 else torch.contiguous_format
        return folded.contiguous(memory_format=layout).unflatten(0, values.shape[:2])

    def __call__(self, x):
        steps = len(x) if len(x) > 1 else self.steps
        values, done = {self.input: x}, set()
        for layer in self.layers:
            if layer.loop < 0:
                values[layer.name] = self._whole(layer, values, steps)
            elif layer.loop not in done:
                done.add(layer.loop)
                self._stepwise([each for each in self.layers if each.loop == layer.loop], values, steps)
            for source in {read.source for read in layer.reads}:
                if self.last[source] == layer.name:
                    del values[source]  # its memory is used again
        answer = values[self.output]
        return answer if self.layers[-1].kind == "Readout" else answer.sum(0)

    def _whole(self, layer, values, steps):
        """What a layer gives in all steps, (T or 1, N, ...)."""
        x = values[layer.reads[0].source]
        for read in layer.reads[1:]:
            x = x + values[read.source]
        if layer.kind == "Neuron":
            return fire(x, layer.values, steps)
        if layer.kind == "Readout":
            return read_out(x, layer.values, steps)
        return OPERATIONS[layer.kind](x.flatten(0, 1), **layer.values).unflatten(0, x.shape[:2])

    def _stepwise(self, layers, values, steps):
        """Run a recurrent group; puts what its layers give into `values`."""
        names = [layer.name for layer in layers]
        given = {name: [] for name in names}
        neurons = {layer.name: Neurons(layer.values) for layer in layers if layer.kind == "Neuron"}
        for t in range(steps):
            for layer in layers:
                arriving = [given[r.source][t - r.delay] if r.source in given else values[r.source][t - r.delay]
                            for r in layer.reads if t >= r.delay]
                x = sum(arriving[1:], arriving[0]) if arriving else None
                if x is None:  # synapses whose source has sent nothing yet
                    given[layer.name].append(0.0)
                elif layer.kind == "Neuron":
                    given[layer.name].append(neurons[layer.name](x, torch.empty_like(x)))
                else:
                    given[layer.name].append(OPERATIONS[layer.kind](x, **layer.values))
        for name in names:
            if any(torch.is_tensor(value) for value in given[name][:1]):
                values[name] = torch.stack(given[name])


def convolve(x, weight, bias, stride, padding, dilation, groups):
    """Conv2d."""
    return F.conv2d(x, weight, bias, stride, padding, dilation, groups)


def attend(x, kernel, factor, stride, weight):
    """Restimulation: g * P(x), g from the mean of each channel."""
    q = x if weight is None else F.conv2d(x, weight, stride=stride)
    mean = F.conv1d(q.mean((2, 3)).unsqueeze(1), kernel.view(1, 1, -1), padding=len(kernel) // 2).squeeze(1)
    g = torch.sigmoid_(mean).mul_(256).add_(0.5).floor_().mul_(factor / 256)
    return q * g[:, :, None, None]


OPERATIONS = {
    "Conv2d": convolve,
    "Dense": lambda x, weight, bias: F.linear(x, weight, bias),
    "Restimulation": attend,
    "MaxPool": lambda x, kernel, stride, padding: F.max_pool2d(x, kernel, stride, padding),
    "AvgPool": lambda x, kernel, stride, padding: F.avg_pool2d(x, kernel, stride, padding),
    "SumPool": lambda x, kernel, stride, padding: F.avg_pool2d(x, kernel, stride, padding, divisor_override=1),
    "Flatten": lambda x: x.contiguous().flatten(1),
}


def fire(current, values, steps):
    """Levels of neurons in all steps, written over their current (T, N, ...), which nothing else reads, as a plan
    has one target behind synapses; of a current that stands still (1, N, ...) into new memory."""
    moving = len(current) == steps
    levels = current if moving else room_for(steps, current[0])
    neurons = Neurons(values)
    for t, out in enumerate(levels):
        neurons(current[t if moving else 0], out)
    return levels


def room_for(steps, x):
    """New memory (steps, *x.shape), every step in the layout of x."""
    last = x.ndim == 4 and not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last)
    layout = torch.channels_last if last else torch.contiguous_format
    room = torch.empty((steps * len(x), *x.shape[1:]), dtype=x.dtype, memory_format=layout)
    return room.unflatten(0, (steps, -1))


class Neurons:
    """The neurons of a layer, a step a call. In quanta, so that levels are what a soft reset subtracts."""

    def __init__(self, values):
        self.values = values
        self.membrane = self.synaptic = self.owed = None

    def __call__(self, x, out):
        """Take the current x of one step, write the levels to `out`, which may be x; returns it."""
        values = self.values
        if self.membrane is None:
            self.membrane = torch.zeros_like(x)
        u = self.membrane
        if values["current_leak"] is not None:
            self.synaptic = x.clone() if self.synaptic is None else \
                self.synaptic.mul_(values["current_leak"]).add_(x)
            x = self.synaptic
        decay(u, values).add_(x)
        if self.owed is not None:
            u.sub_(self.owed)
        levels_of(u, values, out)
        if values["late"]:
            self.owed = out
        else:
            reset(u, values, out)
        return out


def decay(u, values):
    """Leak and drive of a membrane, in place; returns it."""
    if torch.is_tensor(values["leak"]) or values["leak"] != 1:
        u.mul_(values["leak"])
    if torch.is_tensor(values["drive"]) or values["drive"] != 0:
        u.add_(values["drive"])
    return u


def levels_of(u, values, out):
    """What membranes send, into `out`."""
    if torch.compiler.is_compiling():  # it fuses this, and does not take parts of memory as out=
        low, strict = values["threshold"], values["strict"]
        if values["top"] == 1:
            out.copy_(u > low if strict else u >= low)
        else:
            levels = torch.ceil(u - low) if strict else torch.floor(u + (1 - low))
            out.copy_(levels.clamp(0, values["top"]))
    elif values["top"] == 1:
        (torch.gt if values["strict"] else torch.ge)(u, values["threshold"], out=out)
    elif values["strict"]:
        torch.sub(u, values["threshold"], out=out).ceil_().clamp_(0, values["top"])
    else:
        torch.add(u, 1 - values["threshold"], out=out).floor_().clamp_(0, values["top"])


def reset(u, values, levels):
    """What sending leaves of membranes, in place."""
    if values["reset"] == "soft":
        u.sub_(levels)
    elif values["reset"] == "hard":
        if torch.is_tensor(values["v_reset"]) or values["v_reset"] != 0 or values["top"] > 1:
            u.copy_(torch.where(levels > 0, torch.as_tensor(values["v_reset"], dtype=u.dtype), u))
        else:
            u.addcmul_(u, levels, value=-1)
    if values["v_min"] is not None:
        u.clamp_(min=values["v_min"])


def read_out(x, values, steps):
    """The answer (N, classes) of a Readout to its current (T or 1, N, classes)."""
    if len(x) < steps:
        x = x.expand(steps, *x.shape[1:])
    plain = not torch.is_tensor(values["leak"]) and values["leak"] == 0 and values["current_leak"] is None
    if plain and not torch.is_tensor(values["drive"]):
        x = x + values["drive"] if values["drive"] else x
        return x[-1] if values["reduce"] == "last" else x.sum(0) if values["reduce"] == "sum" else x.mean(0)
    u, i, total = torch.zeros_like(x[0]), torch.zeros_like(x[0]), torch.zeros_like(x[0])
    for current in x:
        if values["current_leak"] is not None:
            current = i.mul_(values["current_leak"]).add_(current)
        total.add_(decay(u, values).add_(current))
    return u if values["reduce"] == "last" else total if values["reduce"] == "sum" else total / steps
