"""Training from rates: forwards every step, backwards the means over the steps.

Backpropagation through T steps passes each convolution T times forwards and 2 T times backwards: 3 T of them. What
a neuron fires and what the loss says of it change little from step to step, so that the mean of their products is
about the product of their means (Yu et al., "Advancing Training Efficiency of Deep Spiking Neural Networks through
Rate-based Backpropagation", NeurIPS 2024): here convolutions pass backwards twice, for the means: T + 2. Neurons,
BatchNorm and pools pass gradients back step by step, as ever.

    use_rates(net)      a SpikingNet then computes the same, and learns so

On a CPU tdBN and neurons are one function, and so are the pools between them (rate_kernels).
"""

from functools import partial
from types import SimpleNamespace

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from trainer.network import INPUT
from trainer.neurons import Neuron, TdBatchNorm2d

try:
    from trainer import rate_kernels as kernels
except ImportError:  # without numba, PyTorch does what they do
    kernels = None


def use_rates(net, device):
    """Let a SpikingNet learn from rates on a device: `instead` stands for its layers in training."""
    for name, layer in net.layers.items():
        if isinstance(layer, nn.Conv2d):
            net.instead[name] = partial(convolution, layer)
    if torch.device(device).type == "cpu" and kernels is not None:
        _fuse(net)


def _fuse(net):
    """Let kernels do tdBN with the neurons that alone read it, and pools of 2 x 2."""
    for name, layer in net.layers.items():
        (source, *others) = net.sources[name]
        if isinstance(layer, Neuron) and not others and _fits(net, source, layer):
            net.instead[source] = _as_it_is
            net.instead[name] = partial(norm_and_fire, net.layers[source], layer, net.timesteps)
        elif isinstance(layer, nn.MaxPool2d) and pairs(layer):
            net.instead[name] = partial(pool, layer)


def _fits(net, source, neuron):
    """Whether a neuron's only source is a tdBN behind a convolution, which nothing else reads."""
    layers = {INPUT: None, **net.layers}
    readers = [name for name, sources in net.sources.items() if source in sources]
    return (isinstance(layers[source], TdBatchNorm2d) and len(readers) == 1 and neuron.surrogate == "rectangle"
            and all(isinstance(layers[before], nn.Conv2d) for before in net.sources[source])
            and (not neuron.mpr or -neuron.window[0] <= kernels.FURTHEST))


def pairs(layer):
    """Whether a MaxPool2d takes the largest of 2 x 2."""
    sizes = [(n, n) if isinstance(n, int) else tuple(n)
             for n in (layer.kernel_size, layer.stride, layer.padding, layer.dilation)]
    return sizes == [(2, 2), (2, 2), (0, 0), (1, 1)] and not layer.ceil_mode


def _as_it_is(x):
    return x


def same_in_all_steps(x):
    """Whether a tensor (steps, ...) is one step, seen several times."""
    return x.stride(0) == 0 or len(x) == 1


def mean_of_steps(x):
    """(...) of (steps, ...)."""
    return x[0] if same_in_all_steps(x) else x.mean(0)


# ---- convolutions


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, settings):
        ctx.save_for_backward(x.mean(0), weight)
        ctx.settings = settings
        return functional.conv2d(x.flatten(0, 1), weight, None, *settings).unflatten(0, (len(x), -1))

    @staticmethod
    def backward(ctx, grads):
        mean, weight = ctx.saved_tensors
        stride, padding, dilation, groups = ctx.settings
        to_mean, to_weight, _ = torch.ops.aten.convolution_backward(
            mean_of_steps(grads), mean, weight, None, stride, padding, dilation, False, (0, 0), groups,
            (ctx.needs_input_grad[0], True, False))
        to_x = to_mean.expand(len(grads), *to_mean.shape) if ctx.needs_input_grad[0] else None
        return to_x, len(grads) * to_weight, None


def convolution(layer, x):
    """What a Conv2d makes of x, (T, N, C, H, W); gradients are those of the means over the steps."""
    if len(x) == 1:
        return layer(x[0])[None]
    weight = layer.weight
    if torch.is_autocast_enabled(x.device.type):
        dtype = torch.get_autocast_dtype(x.device.type)
        x, weight = x.to(dtype), weight.to(dtype)
    y = _Convolution.apply(x, weight, (layer.stride, layer.padding, layer.dilation, layer.groups))
    return y if layer.bias is None else y + layer.bias.to(y.dtype).view(-1, 1, 1)


# ---- tdBN and neurons


class _NormAndFire(torch.autograd.Function):
    @staticmethod
    def forward(ctx, current, weight, bias, norm, neuron, steps):
        y, channels = flat(current), len(weight)
        stretch = max(kernels.STRETCH // channels, 1) * channels
        sums = zeros(y, stretch, channels)
        kernels.moments(y, stretch, sums)
        n = y.size // channels
        mean, square = sums.sum(0, dtype=np.float64) / n
        variance = np.maximum(square - mean**2, 0)
        keep_moments(norm, mean, variance * n / (n - 1))
        deviation = np.sqrt(variance + norm.eps)
        scaled = weight.detach().double().numpy() * norm.scale / deviation
        gain, shift = (np.tile(row.astype(np.float32), stretch // channels)
                       for row in (scaled, bias.detach().double().numpy() - mean * scaled))
        values = np.empty((steps, y.shape[1]), y.dtype)
        kernels.forwards(y, gain, shift, values, *settings_of(neuron))
        ctx.kept = SimpleNamespace(y=y, gain=gain, shift=shift, mean=mean, deviation=deviation, scale=norm.scale,
                                   neuron=neuron, steps=steps, shape=current.shape[1:])
        return maps(values, current.shape[1:])

    @staticmethod
    def backward(ctx, grads):
        kept, y = ctx.kept, ctx.kept.y
        channels, n = len(kept.mean), kept.steps * y.shape[1] // len(kept.mean)
        sums, (mean_grad, mean_y) = zeros(y, len(kept.gain), channels), np.zeros((2, y.shape[1]), np.float32)
        low, high = kept.neuron.window
        kernels.backwards(flat(grads), y, kept.gain, kept.shift, kept.steps, mean_grad, mean_y, sums,
                          *settings_of(kept.neuron), np.float32((low + high) / 2), np.float32((high - low) / 2),
                          kept.neuron.mpr)
        total, with_y = sums.sum(0, dtype=np.float64)
        along = (with_y - kept.mean * total) / kept.deviation  # sum of the gradient times normalised y
        gain = kept.gain[:channels]
        by_y = gain * along / (n * kept.deviation)
        by_mean = gain * total / n - by_y * kept.mean
        kernels.through_norm(mean_grad.reshape(-1, channels), mean_y.reshape(-1, channels), gain,
                             by_mean.astype(np.float32), by_y.astype(np.float32))
        grad_x = maps(mean_grad[np.newaxis], kept.shape)
        to_current = kept.steps * grad_x if len(y) == 1 else grad_x.expand(kept.steps, *kept.shape)
        to_weight, to_bias = (torch.from_numpy(x.astype(np.float32)) for x in (along * kept.scale, total))
        return to_current, to_weight, to_bias, None, None, None


def norm_and_fire(norm, neuron, steps, current):
    """What a Neuron makes of what a TdBatchNorm2d in training makes of a current, float32 or bfloat16 (steps, N,
    C, H, W), or (1, N, ...) for the same in every step; in its type, which holds every spike exactly. Backwards,
    each step gets the mean of the steps' gradients, which is all that `convolution` looks at."""
    return _NormAndFire.apply(current, norm.weight, norm.bias, norm, neuron, steps)


def channels_last(x):
    """(steps, N, H, W, C) of a tensor (steps, N, C, H, W), as an array of float32 or of bfloat16's bits; (1, ...)
    where all steps are one. It is copied where its memory has another order."""
    x = (x[:1] if same_in_all_steps(x) else x).detach().permute(0, 1, 3, 4, 2).contiguous()
    return (x.view(torch.int16) if x.dtype == torch.bfloat16 else x).numpy()


def flat(x):
    """`channels_last`, (steps, n)."""
    x = channels_last(x)
    return x.reshape(len(x), -1)


def tensor(array):
    """The tensor (steps, N, C, H, W) of what `channels_last` gives."""
    x = torch.from_numpy(array).permute(0, 1, 4, 2, 3)
    return x.view(torch.bfloat16) if x.dtype == torch.int16 else x


def maps(array, shape):
    """The tensor of what `flat` gives. shape: (N, C, H, W)."""
    n, channels, height, width = shape
    return tensor(array.reshape(len(array), n, height, width, channels))


def zeros(y, stretch, channels):
    """For two sums of each stretch and channel."""
    return np.zeros((-(-y.shape[1] // stretch), 2, channels), np.float32)


@torch.no_grad()
def keep_moments(norm, mean, variance):
    """Move the running moments as BatchNorm does."""
    norm.num_batches_tracked.add_(1)
    norm.running_mean.lerp_(torch.from_numpy(mean).float(), norm.momentum)
    norm.running_var.lerp_(torch.from_numpy(variance).float(), norm.momentum)


def settings_of(neuron):
    """Of a Neuron, as the kernels take them."""
    offset = 1 - neuron.v_threshold / neuron.quantum
    return (*map(np.float32, (neuron.quantum, offset, neuron.max_level, neuron.leak)),
            neuron.reset == "soft", np.float32(neuron.v_reset))


# ---- pools


class _Largest(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        x = channels_last(x)
        steps, n, height, width, channels = ctx.shape = x.shape
        pooled = np.empty((steps, n, height // 2, width // 2, channels), x.dtype)
        ctx.winners = np.empty_like(pooled, np.uint8)
        kernels.largest(x, pooled, ctx.winners)
        return tensor(pooled)

    @staticmethod
    def backward(ctx, grads):
        grads = channels_last(grads)
        grad_x = np.empty(ctx.shape, grads.dtype)
        kernels.to_largest(grads, ctx.winners, grad_x)
        return tensor(grad_x)


def pool(layer, x):
    """What a MaxPool2d of 2 x 2 makes of spikes, (steps, N, C, H, W), and its gradient, step by step."""
    if x.shape[3] % 2 or x.shape[4] % 2:
        return layer(x.flatten(0, 1)).unflatten(0, (len(x), -1))
    return _Largest.apply(x)
