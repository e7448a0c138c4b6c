"""Channel attention: gains per sample, step and channel.

See `eventsim.model.synapses` for the equations. Gains are computed in float64, in a fixed order, and
rounded to 8 fractional bits, so that every precision multiplies by the same numbers.
"""

from math import exp, floor

import numpy as np

from eventsim.lowering.rounding import half_away


def attention_weights(totals, synapses, layer, dtype):
    """What the kernels of a path with channel attention read: F (n * steps * padded channels).

    totals: int64 (n, steps, channels), the summed levels of the source's (sampled) positions.
    For the identity these are its amplitudes times the gains, else the gains (in 256ths where
    the run counts in integers).
    """
    attention = synapses.attention
    gains = _channel_gains(totals, attention, layer.positions)
    integer = dtype.kind == "i"
    if attention.amplitude is not None:
        values = attention.amplitude * (gains / 256)
        values = half_away(values) if integer else values
    else:
        values = gains if integer else gains / 256
    out = np.zeros((*totals.shape[:2], layer.padded), dtype)
    out[..., : layer.shape[0]] = values
    return out.reshape(-1)


def _channel_gains(totals, attention, positions):
    """256 * g of the node's equations: float64 (n, steps, channels), whole numbers."""
    if attention.weight is None:
        means = (attention.scale * totals) / positions
    else:
        means = np.zeros((*totals.shape[:2], attention.weight.shape[0]))
        for i in range(totals.shape[2]):
            means = means + attention.weight[:, i] * totals[:, :, i : i + 1]
        means = means / positions
    kernel = attention.node.kernel
    reach = kernel.size // 2
    channels = means.shape[2]
    padded = np.pad(means, ((0, 0), (0, 0), (reach, reach)))
    z = np.zeros(means.shape)
    for j, weight in enumerate(kernel):
        z = z + weight * padded[:, :, j : j + channels]
    # math.exp, not np.exp: NumPy's differs between instruction sets
    return np.array([_rounded_sigmoid(value) for value in z.ravel().tolist()]).reshape(z.shape)


def _rounded_sigmoid(z):
    return floor(256 * (1 / (1 + exp(-z))) + 0.5) if z >= -700 else 0
