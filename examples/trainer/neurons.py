"""Spiking neurons that can be trained by gradient descent.

The equations are those of InfLoR-SNN (Guo et al., 2023, "Reducing Information Loss for Spiking
Neural Networks"), widened from one bit to several as the Multi-Bit Mechanism does.
"""

from math import tanh

import torch
from torch import nn


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
