"""`Neuron` on a GPU, all steps in one pass over memory: the same spikes, the same gradients.

`integrate` and `backpropagate` say what neuron_kernels says, in plain PyTorch that torch.compile makes one kernel
of; membranes are computed again instead of kept. Currents and spikes may be in bfloat16, which holds every spike's
value exactly; membranes are float32. Where nothing compiles, layers stay as they were.

`whole` compiles a network as one graph instead, in which neurons are fused with what stands around them. That is
faster on a CPU, where passes over memory cost more than arithmetic; compiling it takes minutes.
"""

from functools import lru_cache
from itertools import product
from math import tanh
from typing import NamedTuple

import torch

from trainer import rectifier
from trainer.errors import TrainerError
from trainer.neurons import Neuron, is_one_block, single

N_CHECK = 4096, 4097  # neurons that a compiled graph is compared on: compilers like multiples of 16


class Settings(NamedTuple):
    """Of a layer: see Neuron. offset: 1 - v_threshold / quantum. low, high: ends of the rectangle, in quanta."""

    quantum: float
    offset: float
    most: int
    leak: float
    soft: bool
    v_reset: float
    low: float
    high: float
    mpr: bool

    @classmethod
    def of(cls, neuron):
        """Of a Neuron with the rectangular surrogate."""
        return cls(neuron.quantum, 1 - neuron.v_threshold / neuron.quantum, neuron.max_level, neuron.leak,
                   neuron.reset == "soft", neuron.v_reset, *neuron.window, neuron.mpr)


def membranes(current, s):
    """(H before firing, values of the spikes), a list of steps each. current: (T, n)."""
    potentials, values = [], []
    residual = torch.zeros_like(single(current[0]))
    for x in current.unbind():
        h = s.leak * residual + single(x)
        level = torch.floor(h / s.quantum + s.offset).clamp(0, s.most)
        value = level * s.quantum
        residual = h - value if s.soft else torch.where(level == 0, h, s.v_reset)
        potentials.append(h)
        values.append(value)
    return potentials, values


def integrate(current, s):
    """The spikes' values, (T, n) in the type of `current`."""
    return torch.stack([value.to(current.dtype) for value in membranes(current, s)[1]])


def backpropagate(grad_values, current, s):
    """The gradient by `current`, (T, n) in its type."""
    potentials, _ = membranes(current, s)
    later, grads = torch.zeros_like(potentials[0]), []
    for h, g in zip(reversed(potentials), reversed(grad_values.unbind())):
        u = h / s.quantum
        slope = ((u - (s.low + s.high) / 2).abs() <= (s.high - s.low) / 2).to(h.dtype)
        if s.mpr:
            slope = slope * rectifier_slope(u, s.most, -s.low)
        if s.soft:
            g = (single(g) - later) * slope + later
        else:
            kept = (torch.floor(u + s.offset) < 1).to(h.dtype)
            if s.most == 1:
                kept = kept - (h - s.v_reset) * slope / s.quantum
            g = single(g) * slope + later * kept
        later = s.leak * g
        grads.append(g.to(current.dtype))
    return torch.stack(grads[::-1])


def rectifier_slope(u, most, furthest):
    """phi' around each level (InfLoR-SNN, eq. 9), u in quanta. furthest: how far below 0 or above the highest
    level it is looked at."""
    distance = (u - torch.floor(u).clamp(0, most - 1) - 0.5).abs()
    inside, beyond = distance.clamp(max=0.5), (distance - 0.5).clamp(min=0)
    if furthest <= rectifier.FURTHEST:  # polynomials: no power, no hyperbolic tangent
        within = rectifier.evaluate(rectifier.INSIDE, rectifier.centred(inside * inside, 0.25))
        without = rectifier.evaluate(rectifier.OUTSIDE, rectifier.centred(beyond, rectifier.FURTHEST))
    else:
        within, without = 1.5 / tanh(1.5) * (1 - torch.tanh(3 * inside) ** 2), (1 + beyond) ** (-2 / 3) / 3
    return torch.where(distance > 0.5, without, within)


@lru_cache(maxsize=None)
def compiled(s):
    """(integrate, backpropagate) of Settings, compiled for any number of neurons."""
    return (torch.compile(lambda current: integrate(current, s), dynamic=True),
            torch.compile(lambda grad_values, current: backpropagate(grad_values, current, s), dynamic=True))


class Graph:
    """What stands in for a Neuron's own arithmetic. functions: (integrate, backpropagate) without Settings."""

    def __init__(self, functions):
        self.functions = functions

    def __call__(self, current):
        return _Run.apply(current, self.functions)


class _Run(torch.autograd.Function):
    @staticmethod
    def forward(ctx, current, functions):
        current = one_block(current)
        ctx.save_for_backward(current)
        ctx.functions = functions
        with torch.autocast(current.device.type, enabled=False):  # as in `check`, or it would be compiled again
            return unflatten(functions[0](flatten(current)), current)

    @staticmethod
    def backward(ctx, grad_values):
        (current,) = ctx.saved_tensors
        if grad_values.stride() != current.stride() or grad_values.dtype != current.dtype:
            grad_values = torch.empty_like(current).copy_(grad_values)
        return unflatten(ctx.functions[1](flatten(grad_values), flatten(current)), current), None


class Traced:
    """What stands in for a Neuron's own arithmetic in a network that is compiled as a whole."""

    def __init__(self, settings):
        self.settings = settings

    def __call__(self, current):
        return _Traced.apply(current, self.settings)


class _Traced(torch.autograd.Function):
    @staticmethod
    def forward(ctx, current, settings):
        ctx.save_for_backward(current)
        ctx.settings = settings
        return integrate(current, settings)

    @staticmethod
    def backward(ctx, grad_values):
        (current,) = ctx.saved_tensors
        return backpropagate(grad_values, current, ctx.settings), None


def whole(net):
    """A network compiled as one graph for each shape of batches; it shares the network's weights. Where currents
    are bfloat16, so are spikes, in the network itself as well. ValueError for neurons that cannot be traced."""
    for layer in net.modules():
        if isinstance(layer, Neuron):
            if layer.surrogate != "rectangle":
                raise TrainerError("a whole network is compiled with the rectangular surrogate alone, but one is "
                                   f"{layer.surrogate!r}: compile neurons, or nothing")
            layer.graph = Traced(Settings.of(layer))
    return torch.compile(net, dynamic=False)


def one_block(x):
    """x itself, or a copy whose steps follow each other in memory, each in the order of axes that it has."""
    if is_one_block(x):
        return x
    if is_one_block(x[:1]):  # one step repeated
        return torch.empty_strided(x.shape, (x[0].numel(), *x.stride()[1:]), dtype=x.dtype,
                                   device=x.device).copy_(x)
    return x.contiguous()


def flatten(x):
    """(T, n) in the order of memory, of x that is one block."""
    return x.as_strided((len(x), x[0].numel()), (x[0].numel(), 1))


def unflatten(flat, like):
    """(T, n) as a tensor of the shape and the strides of another."""
    return flat.as_strided(like.shape, like.stride())


def use_graphs(net, device, timesteps, dtypes=(torch.bfloat16, torch.float32)):
    """Give the Neurons of a network on a device their graphs; returns what the log should say: "compiled", or why
    not. A graph that does not give the spikes and gradients of the layer itself is not used."""
    layers = [layer for layer in net.modules() if isinstance(layer, Neuron)]
    if any(layer.surrogate != "rectangle" for layer in layers):
        return "plain: graphs know the rectangular surrogate alone"
    try:
        for s in {Settings.of(layer) for layer in layers}:
            for dtype, n in product(dtypes, N_CHECK):
                check(s, device, dtype, (timesteps, n))
    except Exception as error:  # whatever a compiler raises
        return f"plain: {type(error).__name__}: {str(error).strip().partition(chr(10))[0][:200]}"
    for layer in layers:
        layer.graph = Graph(compiled(Settings.of(layer)))
    return "compiled"


@torch.no_grad()
def check(s, device, dtype, shape):
    """ArithmeticError where the compiled functions part from the plain ones."""
    generator = torch.Generator().manual_seed(0)
    current, grad = (torch.randn(shape, generator=generator).to(device, dtype) for _ in range(2))
    fire, back = compiled(s)
    if not torch.equal(fire(current), integrate(current, s)):
        raise ArithmeticError("the compiled neurons give other spikes")
    gradient, expected = back(grad, current).float(), backpropagate(grad, current, s).float()
    if not torch.allclose(gradient, expected, rtol=1e-2, atol=1e-3):
        raise ArithmeticError("the compiled neurons give other gradients")
