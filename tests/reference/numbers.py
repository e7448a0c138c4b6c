"""How the numbers of a run are rounded, limited and made whole."""

import math

import numpy as np
from reference.synapses import synaptic

from eventsim.errors import UnsupportedError
from eventsim.model.neurons import Readout, SigmaDelta

LARGEST_D = 1 << 14
LARGEST_SCALE = 2.0**1000
INT32_MAX = (1 << 31) - 1


def round_half_away(value):
    """Nearest whole number, halves away from zero, as Python int (no rounding on the way)."""
    whole = math.floor(abs(value))
    if abs(value) - whole >= 0.5:  # the difference is exact
        whole += 1
    return whole if value >= 0 else -whole


def rounded(values):
    """`round_half_away` of every element, as int64."""
    values = np.asarray(values, dtype=np.float64)
    flat = [round_half_away(float(v)) for v in values.ravel()]
    return np.array(flat, dtype=np.int64).reshape(values.shape)


def divided(values, bits, rounding):
    """Whole numbers divided by 2^bits, rounded "toward_zero", "floor" or "nearest" (half away
    from zero), exactly."""
    if rounding == "floor":
        return values >> bits
    half = 1 << (bits - 1) if rounding == "nearest" else 0
    return np.sign(values) * ((np.abs(values) + half) >> bits)


def bounds_of(bits, overflow):
    """(lowest, highest) number that a width of `bits` holds under a rule of overflow."""
    top = 1 << (bits - 1)
    if overflow == "wrap_once":
        return 1 - top, top
    return (1 - top if overflow == "saturate_symmetric" else -top), top - 1


def limited(values, bits, overflow):
    """Whole numbers (int64) brought back to a width; None: as they are."""
    if bits is None:
        return values
    lowest, highest = bounds_of(bits, overflow)
    if overflow.startswith("saturate"):
        return np.minimum(np.maximum(values, lowest), highest)
    turn = 1 << bits
    if overflow == "wrap_once":
        return values - turn * (values > highest) + turn * (values < lowest)
    return (values - lowest) % turn + lowest  # "wrap"; "error" goes on like it until it is raised


def phi(u):
    """The rectified membrane of MPR (InfLoR-SNN, eq. 9), in quanta, in float64."""
    if u < 0:
        return 1 - (1 - u) ** (1 / 3)
    if u <= 1:
        return math.tanh(3 * (u - 1 / 2)) / (2 * math.tanh(3 / 2)) + 1 / 2
    return u ** (1 / 3)


def fsum_of(arrays, n):
    """Elementwise exact sum of arrays of length `n`, rounded once to float64."""
    return np.array([math.fsum(float(a[i]) for a in arrays) for i in range(n)])


def per_neuron(value, shape):
    """A scalar, per-channel or per-neuron parameter as a flat array with one entry per neuron."""
    value = np.asarray(value, dtype=np.float64)
    if value.size == 1:
        return np.full(math.prod(shape), float(value.reshape(())))
    if value.shape == tuple(shape):
        return value.ravel()
    return np.repeat(value, math.prod(shape[1:]))


def per_channel(value, n_channels):
    """A scalar or per-channel parameter with one entry per channel."""
    value = np.asarray(value, dtype=np.float64)
    return np.full(n_channels, float(value.reshape(()))) if value.size == 1 else value


def grid_of(shape):
    """A shape as (channels, rows, columns): sequences have one row, vectors one position."""
    if len(shape) == 3:
        return tuple(shape)
    return (shape[0], 1, shape[1]) if len(shape) == 2 else (shape[0], 1, 1)


# ---------------------------------------------------------------- rounding to the run's type


class FloatRounding:
    """Constants of a layer rounded once to float32 or float64."""

    def __init__(self, layer, dtype):
        self.dtype = np.dtype(dtype)
        self.steps_per_unit = np.ones(layer.shape[0])

    def kernel(self, weight):
        return weight.astype(self.dtype)

    neurons = gains = decays = kernel  # amplitudes, biases, potentials; factors

    def before_pool(self, values, n_channels):
        """Biases of a map before a pool, flat."""
        return self.kernel(values)

    def identity(self, amplitude, factor=1.0):
        """Amplitudes per neuron, under this step's attention (float64 factors)."""
        return (amplitude * factor).astype(self.dtype)


class IntegerRounding:
    """Constants of a layer as whole numbers.

    A value v of channel o is v * S steps of the state, and v * S / 2^shift in a sum of weights.
    S is 2^shift * D / delta of a Neuron or SigmaDelta (see `fixed_point`), 2^shift * `readout_scale`
    of a Readout, or the node's resolution, which only a chip heeds. Without one, shift is 0.

    D: int64 (C,) where it was chosen, else None.
    n_weights, n_zeroed, n_clipped: weights met so far, those that became 0, and those that the
        chip's weights do not reach.
    """

    dtype = np.dtype(np.int64)  # wide enough to notice what leaves int32

    def __init__(self, layer, chip=None):
        self.layer, self.chip = layer, chip
        self.n_positions = math.prod(layer.shape[1:])
        self.shift = 0 if chip is None else chip.weight_shift
        self.n_weights = self.n_zeroed = self.n_clipped = 0
        self.resolution = self.scale = self.D = None
        if chip is not None and layer.node.resolution is not None:
            self.resolution = layer.node.resolution
        elif isinstance(layer.node, Readout):
            self.scale = readout_scale(layer, 127 if chip is None else chip.highest_weight)
        else:
            self.D = fixed_point(layer)[0] if chip is None else chip_point(layer, chip)
            self.delta = quanta(layer)
        self.steps_per_unit = self._in_sum(np.ones(layer.shape[0])) * 2.0**self.shift

    def _in_sum(self, values, repeats=1):
        """values, the channel (or neuron) axis first, in units of a sum of weights, unrounded."""
        if self.resolution is not None:
            return values * self.resolution / 2.0**self.shift
        if self.scale is not None:
            return values * self.scale
        last = (-1,) + (1,) * (values.ndim - 1)
        D = np.repeat(self.D, repeats).astype(np.float64).reshape(last)
        return (values * D) / np.repeat(self.delta, repeats).reshape(last)

    def kernel(self, weight, copies=1):
        """Whole weights; copies: how often each is in `weight`, but counts once."""
        if self.chip is None:
            whole = kept = rounded(self._in_sum(weight))
        else:
            step = self.chip.weight_step
            whole = step * rounded(self._in_sum(weight) / step)
            kept = np.clip(whole, self.chip.lowest_weight, self.chip.highest_weight)
        self.n_weights += weight.size // copies
        self.n_zeroed += int(((kept == 0) & (weight != 0)).sum()) // copies
        self.n_clipped += int((kept != whole).sum()) // copies
        return kept

    def neurons(self, values):
        """Constants per neuron in steps of the state."""
        return self._held(rounded(self._in_sum(values, self.n_positions) * 2.0**self.shift))

    def before_pool(self, values, n_channels):
        """Biases of a map of so many channels before a pool, flat, in units of a sum: every channel's
        own, which all neurons have that it stands for behind a Flatten."""
        copies = self.layer.shape[0] // n_channels
        rows = np.repeat(values.reshape(n_channels, -1), copies, axis=0)
        return self._held(rounded(self._in_sum(rows)[::copies])).ravel()

    def gains(self, values):
        return rounded(4096 * values)

    def decays(self, values):
        return rounded(2.0 ** (12 if self.chip is None else self.chip.decay_bits) * values)

    def identity(self, amplitude, factor=1.0):
        """Amplitudes per neuron in units of a sum, under this step's attention."""
        return self._held(rounded(self._in_sum(amplitude, self.n_positions) * factor))

    def _held(self, whole):
        if np.abs(whole).max(initial=0) > INT32_MAX:
            raise UnsupportedError(f"layer {self.layer.name!r}: a constant leaves int32")
        return whole


def quanta(layer):
    """delta per channel, float64 (C,)."""
    return per_channel(layer.node.quantum, layer.shape[0])


def layer_weights(layer):
    """The float64 kernels, gains folded in, that decide on the fixed point of a layer: a row for each of
    its channels, which before a pool may share one."""
    weights = [path.kernel.weight for path in synaptic(layer.paths) if path.kernel is not None]
    return [np.repeat(weight, layer.shape[0] // len(weight), axis=0) for weight in weights]


def weights_by_channel(layer):
    """Per output channel, the float64 kernels that end there."""
    return [[w[o] for w in layer_weights(layer)] for o in range(layer.shape[0])]


def fixed_point(layer):
    """(D, weight bits) of a Neuron or SigmaDelta in int8: D int64 (C,), the units per quantum of
    each channel."""
    delta = quanta(layer)
    for weight_bits in (8, 16):
        limit = 1 << (weight_bits - 1)
        D = np.array([
            largest_d(weights, float(delta[o]), -limit, limit - 1)
            for o, weights in enumerate(weights_by_channel(layer))
        ])
        if (D >= 16).all():
            return D, weight_bits
    if (D < 2).any():
        raise UnsupportedError(f"layer {layer.name!r}: weights too large for 16 bits")
    return D, 16


def chip_point(layer, chip):
    """D int64 (C,) of a Neuron or SigmaDelta under a chip: weights fit without clipping,
    thresholds and amounts (of a SigmaDelta: its quantum, since a message is wider than a membrane)
    a quarter of the membrane's width, and every plane's amount 2^30."""
    delta, node = quanta(layer), layer.node
    theta = per_neuron(node.v_threshold, layer.shape).reshape(layer.shape[0], -1)
    n_bits = 1 if isinstance(node, SigmaDelta) else node.n_bits
    most_steps = max(2, 2 ** max(0, 30 - (node.n_bits - 1) - chip.weight_shift))
    D = []
    for o, weights in enumerate(weights_by_channel(layer)):
        most = largest_d(weights, float(delta[o]), chip.lowest_weight, chip.highest_weight,
                         chip.weight_step)
        if chip.membrane_bits is not None:
            constant = max(np.abs(theta[o]).max(), 2 ** (n_bits - 1) * delta[o])
            room = 2.0 ** (chip.membrane_bits - 2)
            while most > 0 and (constant * most) / delta[o] * 2.0**chip.weight_shift > room:
                most -= 2
        D.append(min(most, most_steps))
    if min(D) < 2:
        raise UnsupportedError(f"layer {layer.name!r}: too far apart for chip {chip.name!r}")
    # behind a Flatten, the neurons of one channel of the map share their weights, and so D
    copies = max((path.kernel.copies for path in layer.paths if path.kernel is not None), default=1)
    return np.repeat(np.array(D).reshape(-1, copies).min(axis=1), copies)


def largest_d(weights, delta, low, high, step=1):
    """The largest even D <= 2^14 with which all `weights` of a channel, as multiples of `step`,
    lie from low to high; 0 if none does."""
    values = [float(v) for weight in weights for v in (weight.min(), weight.max())]
    limit = max(-low, high) + step
    largest = max(map(abs, values), default=0.0)
    D = LARGEST_D
    if largest * D / delta > limit:  # far above what can fit: start just above it
        D = min(D, 2 * int(limit * delta / largest / 2) + 4)
    while D > 0:
        if all(low <= step * round_half_away(v * D / delta / step) <= high for v in values):
            break
        D -= 2
    return D


def readout_scale(layer, highest=127):
    """Integer units of a sum per unit of a Readout's potential; highest: the largest weight."""
    weights = [np.abs(w).max() for w in layer_weights(layer)]
    if weights:
        return min(highest / float(max(weights)), LARGEST_SCALE) if max(weights) else 1.0
    largest = max(float(np.abs(path.amplitude).max()) for path in layer.paths)
    return min(LARGEST_D / largest, LARGEST_SCALE) if largest else 1.0
