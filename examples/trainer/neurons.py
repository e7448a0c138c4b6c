"""Spiking neurons, re-stimulation and tdBN that can be trained by gradient descent.

The equations are those of InfLoR-SNN (Guo et al., ECCV 2022, "Reducing Information Loss for
Spiking Neural Networks"), widened from one bit to several as the Multi-Bit Mechanism does.

`SRIF` says in a few lines of plain PyTorch what happens.
`Neuron` has every option, and gives the same spikes and gradients several times faster.
"""

from math import atanh, pi, tanh

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from trainer.errors import TrainerError

try:
    from trainer import neuron_kernels
except ImportError:  # without numba, PyTorch does what they do
    neuron_kernels = None


def rectify(u):
    """MPR, the membrane potential rectifier phi of InfLoR-SNN, eq. 9: moves u towards 0 and 1."""
    below = 1 - (1 - u.clamp(max=0)).pow(1 / 3)
    between = torch.tanh(3 * (u.clamp(0, 1) - 0.5)) / (2 * tanh(1.5)) + 0.5
    above = u.clamp(min=1).pow(1 / 3)
    return torch.where(u < 0, below, torch.where(u > 1, above, between))


def rectify_levels(u, max_level):
    """MPR around each level: j + phi(u - j) with j the level below u, from 0 to max_level - 1.

    For one bit this is phi itself. What fires at u >= j + 1/2 still does, and nothing else.
    """
    j = u.detach().floor().clamp(0, max_level - 1)
    return j + rectify(u - j)


class _Fire(torch.autograd.Function):
    """Nearest level, ties up, from 0 to max_level; never round(), which rounds half to even.

    Its derivative is zero almost everywhere; backward puts a rectangle in its place: 1 from half
    a level below the first level to half a level above the last.
    """

    @staticmethod
    def forward(ctx, u, max_level):
        ctx.save_for_backward((u >= -0.5) & (u <= max_level + 0.5))
        return (u + 0.5).floor().clamp(0, max_level)

    @staticmethod
    def backward(ctx, grad):
        (inside,) = ctx.saved_tensors
        return grad * inside, None


class SRIF(nn.Module):
    """Soft-reset integrate-and-fire neurons (InfLoR-SNN, eqs. 11 to 14) with multi-bit spikes.

        H[t] = U[t-1] + X[t]
        k[t] = clip(floor(H[t] / quantum + 1/2), 0, 2^bits - 1)
        U[t] = H[t] - k[t] * quantum

    bits, quantum: a spike with m integer and n fractional bits has bits = m + n and
        quantum = 2^-n. One bit of quantum 1 is the paper's neuron, threshold 0.5.
    mpr: whether the step function sees the rectified membrane phi(H). The membrane keeps H and
        the spikes are the same; what changes is where the gradient flows, since phi is steep at
        the thresholds and flat between them.
    """

    def __init__(self, bits=1, quantum=1.0, mpr=True):
        super().__init__()
        self.bits, self.quantum, self.mpr = bits, quantum, mpr

    @property
    def max_level(self):
        return 2**self.bits - 1

    def forward(self, current):
        """current: (T, N, ...). Returns the spikes' values, level * quantum, of the same shape."""
        membrane = torch.zeros_like(current[0])
        values = []
        for x in current:
            membrane = membrane + x
            u = membrane / self.quantum
            if self.mpr:
                u = rectify_levels(u, self.max_level)
            value = _Fire.apply(u, self.max_level) * self.quantum
            membrane = membrane - value
            values.append(value)
        return torch.stack(values)

    def extra_repr(self):
        return f"bits={self.bits}, quantum={self.quantum}, mpr={self.mpr}"


# ---- every option, fast


SURROGATES = ("rectangle", "triangle", "arctan", "sigmoid")


def surrogate_of_distance(distance, name, width):
    """Stand-in for the derivative of a step, 1 at its threshold, area `width`.

    distance: to the nearest threshold, at least 0, in quanta. "rectangle" is not of this kind: its
        two ends are compared with directly.
    """
    if name == "triangle":
        return (1 - distance / width).clamp(min=0)
    if name == "arctan":
        return 1 / (1 + (pi / width * distance) ** 2)
    return 1 - torch.tanh(2 / width * distance) ** 2  # the logistic function's derivative


def single(x):
    """A tensor in float32 at least. Sums over steps and rounded gains are where mixed precision ends."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def unrectify(p):
    """The number whose phi is p: the inverse of `rectify` for one Python float."""
    if p < 0:
        return 1 - (1 - p) ** 3
    if p > 1:
        return p**3
    return 0.5 + atanh((p - 0.5) * 2 * tanh(1.5)) / 3


class _Integrate(torch.autograd.Function):
    """All steps of a layer at once, with backpropagation through time written out.

    Only the membranes before firing are kept. MPR costs nothing forwards, where by firing
    invariance it changes nothing. Comparisons give floats in place: on a CPU, masks of booleans
    take ten times as long as a sum.
    """

    @staticmethod
    def forward(ctx, current, neuron):
        potentials, values = torch.empty_like(current), torch.empty_like(current)
        ctx.save_for_backward(potentials)
        ctx.neuron = neuron
        if neuron.compiled(potentials):
            neuron.run_compiled(neuron_kernels.integrate, current, potentials, values)
            return values
        residual = torch.zeros_like(current[0])
        for x, h, value in zip(current, potentials, values):
            if neuron.leak != 1:
                residual.mul_(neuron.leak)
            torch.add(residual, x, out=h)
            neuron.levels(h, out=value)
            if neuron.reset == "soft":
                torch.sub(h, value.mul_(neuron.quantum), out=residual)
            else:
                torch.eq(value, 0, out=residual)  # 1 where nothing fired
                if neuron.v_reset == 0:
                    residual.mul_(h)
                else:
                    residual = h * residual + neuron.v_reset * (1 - residual)
                value.mul_(neuron.quantum)
        return values

    @staticmethod
    def backward(ctx, grad_values):
        (potentials,), neuron = ctx.saved_tensors, ctx.neuron
        grad = torch.empty_like(potentials)
        if neuron.compiled(potentials):
            low, high = neuron.window
            neuron.run_compiled(neuron_kernels.backpropagate, grad_values, potentials, grad,
                                np.float32((low + high) / 2), np.float32((high - low) / 2), neuron.mpr)
            return grad, None
        later = torch.zeros_like(potentials[0])  # of the loss by U[t]
        for t in range(len(potentials) - 1, -1, -1):
            slope = neuron.slope(potentials[t])
            if neuron.reset == "soft":  # dU / dH = 1 - slope
                torch.sub(grad_values[t], later, out=grad[t]).mul_(slope).add_(later)
            else:
                torch.mul(grad_values[t], slope, out=grad[t])
                grad[t] += later.mul_(neuron.kept(potentials[t], slope))
            later = neuron.leak * grad[t]
        return grad, None


def is_one_block(x):
    """Whether x[0], x[1], ... follow each other in memory without gaps, each in whatever order of axes."""
    size = 1
    for stride, n in sorted((s, n) for s, n in zip(x.stride()[1:], x.shape[1:]) if n > 1):
        if stride != size:
            return False
        size *= n
    return len(x) == 1 or x.stride(0) == size


class Neuron(nn.Module):
    """Integrate-and-fire neurons (InfLoR-SNN, eqs. 2 to 7) with multi-bit spikes.

        H[t] = leak * U[t-1] + X[t]                                                  U[-1] = 0
        k[t] = clip(floor((H[t] - v_threshold) / quantum) + 1, 0, 2^bits - 1)
        U[t] = H[t] - k[t] * quantum                reset "soft"
        U[t] = v_reset where k[t] > 0, else H[t]    reset "hard"

    The next layer gets k * quantum. IF, LIF and SRIF are settings of it, see NEURONS.

    bits, quantum: m + n and 2^-n for m integer and n fractional bits; see `fixed_point`.
    v_threshold: None for quantum / 2, which rounds to the nearest level, ties up.
    leak: factor on the membrane per step, 1 forgets nothing.
    mpr: whether the gradient is that of the rectified membrane (eq. 12); needs v_threshold of
        quantum / 2, at which the rectifier leaves every spike as it is.
    surrogate, width: what replaces the derivative of k by the (rectified) membrane in quanta: a
        function of the distance to the nearest threshold, 1 there, whose area is `width` around a
        single threshold. "rectangle" is 1 up to width / 2 away; between levels it is always 1.
    Through a hard reset the gradient flows by the fired spike as well (eq. 4) if there is one bit,
    else only where nothing fired.
    """

    def __init__(self, bits=1, quantum=1.0, mpr=False, leak=1.0, v_threshold=None, reset="soft",
                 v_reset=0.0, surrogate="rectangle", width=2.0):
        super().__init__()
        v_threshold = quantum / 2 if v_threshold is None else v_threshold
        if bits < 1 or quantum <= 0 or width <= 0 or not 0 <= leak <= 1:
            raise TrainerError(f"bits {bits}, quantum {quantum}, width {width}, leak {leak}: expected at "
                               "least 1 bit, quantum and width above 0, a leak from 0 to 1")
        if reset not in ("soft", "hard") or surrogate not in SURROGATES:
            raise TrainerError(f"reset {reset!r}, surrogate {surrogate!r}: expected 'soft' or 'hard' and "
                               f"one of {', '.join(SURROGATES)}")
        if mpr and v_threshold != quantum / 2:
            raise TrainerError(f"v_threshold is {v_threshold}: MPR expects quantum / 2 = {quantum / 2}, "
                               "where it changes no spike")
        self.bits, self.quantum, self.mpr, self.leak = bits, quantum, mpr, leak
        self.v_threshold, self.reset, self.v_reset = v_threshold, reset, v_reset
        self.surrogate, self.width = surrogate, width
        self.graph = None  # of trainer.neuron_graphs, which computes the same in one pass over a GPU's memory

    @property
    def max_level(self):
        return 2**self.bits - 1

    def forward(self, current):
        """current: (T, N, ...), at least float32. Returns the spikes' values, of the same shape."""
        if self.graph is not None:
            return self.graph(current)
        return _Integrate.apply(single(current), self)

    def levels(self, h, out=None):
        """k of membranes H, as floats, in a new tensor or in `out`."""
        level = torch.div(h, self.quantum, out=out)
        return level.add_(1 - self.v_threshold / self.quantum).floor_().clamp_(0, self.max_level)

    @property
    def window(self):
        """Where the rectangle begins and ends, in quanta of the membrane."""
        first = self.v_threshold / self.quantum
        low, high = first - self.width / 2, first + self.max_level - 1 + self.width / 2
        if self.mpr:  # phi rises: compare u with where phi gets there
            low = unrectify(low)
            high = self.max_level - 1 + unrectify(high - self.max_level + 1)
        return low, high

    def compiled(self, x):
        """Whether neuron_kernels does it: float32 on a CPU, one block of memory for each step."""
        return (neuron_kernels is not None
                and x.device.type == "cpu" and x.dtype == torch.float32 and self.surrogate == "rectangle"
                and is_one_block(x)
                and (not self.mpr or -self.window[0] <= neuron_kernels.LARGEST_BEYOND))

    def run_compiled(self, kernel, *arguments):
        """Call a kernel of neuron_kernels with tensors (T, ...), its scratch, the settings, the rest."""
        tensors = [a.detach() for a in arguments if isinstance(a, torch.Tensor)]
        like = tensors[-1]
        flat = [(a if a.stride() == like.stride() else torch.empty_like(like).copy_(a)).as_strided(
            (len(a), a[0].numel()), (a[0].numel(), 1)).numpy() for a in tensors]
        settings = (self.quantum, 1 - self.v_threshold / self.quantum, self.max_level, self.leak)
        kernel(*flat, np.zeros_like(flat[0][0]), *map(np.float32, settings), self.reset == "soft",
               np.float32(self.v_reset), *arguments[len(tensors):])

    def slope(self, h):
        """What stands for dk / du, u = H / quantum: the surrogate, times phi' with MPR."""
        u = h / self.quantum
        if self.surrogate == "rectangle":
            low, high = self.window
            slope = (u - (low + high) / 2).abs_().le_((high - low) / 2)
        else:
            seen = rectify_levels(u, self.max_level) if self.mpr else u
            first = self.v_threshold / self.quantum
            nearest = (seen - first).round_().clamp_(0, self.max_level - 1).add_(first)
            slope = surrogate_of_distance((seen - nearest).abs_(), self.surrogate, self.width)
        return slope.mul_(self._rectifier_slope(u)) if self.mpr else slope

    def _rectifier_slope(self, u):
        """phi' around each level; see `rectify_levels`. It depends on the distance to the threshold."""
        v = u - u.floor().clamp_(0, self.max_level - 1) if self.max_level > 1 else u
        distance = (v - 0.5).abs_()
        beyond = (distance - 0.5).clamp_(min=0)  # how far outside [0, 1]
        slope = distance.clamp_(max=0.5).mul_(3).tanh_().square_().neg_().add_(1).mul_(1.5 / tanh(1.5))
        # outside, (1 + beyond)^(-2/3) / 3 instead of what `slope` is at 0 and 1
        jump = 1 / 3 / ((1 - tanh(1.5) ** 2) * 1.5 / tanh(1.5))
        slope.mul_(beyond.sign().mul_(jump - 1).add_(1))
        return slope.mul_(beyond.add_(1).log_().mul_(-2 / 3).exp_())

    def kept(self, h, slope):
        """dU / dH through a hard reset."""
        silent = self.levels(h).eq_(0)
        return silent - (h - self.v_reset) * slope / self.quantum if self.bits == 1 else silent

    def extra_repr(self):
        return (f"bits={self.bits}, quantum={self.quantum}, mpr={self.mpr}, leak={self.leak}, "
                f"v_threshold={self.v_threshold}, reset={self.reset!r}, v_reset={self.v_reset}, "
                f"surrogate={self.surrogate!r}, width={self.width}")


# The neurons of InfLoR-SNN's Table 1: threshold 0.5, spikes of 1. The paper does not give the LIF
# neuron's time constant; 0.5 is our choice.
NEURONS = {
    "hard IF": {"reset": "hard"},
    "hard LIF": {"reset": "hard", "leak": 0.5},
    "soft LIF": {"leak": 0.5},
    "SRIF": {},
    "SRIF+MPR": {"mpr": True},
}


def fixed_point(integer_bits, fractional_bits):
    """Settings of a Neuron whose spikes have m integer and n fractional bits (Multi-Bit Mechanism)."""
    return {"bits": integer_bits + fractional_bits, "quantum": 2.0**-fractional_bits}


class Restimulation(nn.Module):
    """Effective signals of the previous layer, weighted by channel attention, fed to a neuron.

    A reading of the Multi-Bit Mechanism: see `eventsim.Restimulation`, of which this is the
    trainable form. Gains are rounded to 8 fractional bits in training as in evaluation; the
    gradient passes the rounding as if it were not there.

    kernel_size: K, odd, neighbouring channels that a gain sees.
    projection: None for the identity, or (in, out, stride) of a 1x1 convolution.
    """

    def __init__(self, kernel_size=3, projection=None):
        super().__init__()
        self.kernel = nn.Parameter(torch.empty(kernel_size).uniform_(-1, 1) / kernel_size**0.5)
        self.projection = None
        if projection is not None:
            n_in, n_out, stride = projection
            self.projection = nn.Conv2d(n_in, n_out, 1, stride, bias=False)

    def forward(self, spikes):
        """spikes: (N, C, ...), the values of the previous layer's spikes. Returns a current."""
        q = spikes if self.projection is None else self.projection(spikes)
        with torch.autocast(spikes.device.type, enabled=False):
            q = single(q)
            gains = torch.sigmoid(self.scores(q))
        rounded = (256 * gains + 0.5).floor() / 256
        gains = gains + (rounded - gains).detach()
        return gains.reshape(*gains.shape, *[1] * (q.ndim - 2)) * q

    def scores(self, q):
        """(N, channels): what the sigmoid is taken of."""
        means = q.flatten(2).mean(2) if q.ndim > 2 else q
        return functional.conv1d(means[:, None], self.kernel.to(q.dtype).view(1, 1, -1),
                                 padding=len(self.kernel) // 2)[:, 0]


class _ThresholdDependent:
    """tdBN (InfLoR-SNN, section 2.2): a BatchNorm whose result is multiplied by alpha * V_th.

    Time belongs to the batch axis here, so that it normalises over both. alpha: 1, or 1 / sqrt(2)
    for each of two paths that are added (Zheng et al., 2021).
    """

    def __init__(self, channels, alpha=1.0, v_threshold=0.5):
        super().__init__(channels)
        self.scale = alpha * v_threshold

    def extra_repr(self):
        return f"{super().extra_repr()}, scale={self.scale}"

    def forward(self, x):
        self._check_input_dim(x)
        if self.training:
            self.num_batches_tracked.add_(1)
        return functional.batch_norm(
            x, self.running_mean, self.running_var, self.weight * self.scale, self.bias,
            self.training, self.momentum, self.eps,
        )


class TdBatchNorm1d(_ThresholdDependent, nn.BatchNorm1d):
    """tdBN for (N, C)."""


class TdBatchNorm2d(_ThresholdDependent, nn.BatchNorm2d):
    """tdBN for (N, C, H, W)."""
