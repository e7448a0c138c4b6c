"""The nodes of a Model: one small dataclass each, with physical parameters.

Shapes are channels first, without a sample axis, as trainers have them:
(C, H, W) for maps, (C, L) for sequences, (F,) for vectors. Arrays are stored as
float64 or int64; what a run computes with is decided in `lower`.

A node says what it accepts and what it gives:

* *spikes*: integer levels; a level k is worth k times a quantum;
* *real*: real numbers, only from an `Input` of encoding "real";
* *scaled*: spikes or real numbers after a BatchNorm, not yet through a synapse;
* *current*: weighted sums on their way to a membrane.
"""

from dataclasses import dataclass
from typing import ClassVar, Optional, Tuple

import numpy as np

from eventsim.errors import ModelError, UnsupportedError
from eventsim.model.neurons import Neuron, Readout, SigmaDelta
from eventsim.model.node import Node
from eventsim.model.parameters import (
    choice, float_array, integer, integers, is_per_neuron, MAX_BITS, MAX_DELAY, MAX_EXTENT, number,
    Parameter, parameter, parameter_on, Shape, shape_of, whole_array,
)


@dataclass(repr=False, eq=False)
class EventBins:
    """How an event recording becomes levels: one level per (polarity, y, x) and step.

    bin_width: microseconds per step.
    polarities: meaning of channel 0 and 1, "off_on" (0 = darker, as in N-MNIST files) or "on_off".
    coincident: "sum" counts events that share pixel and step, "merge" makes them one.
    sensor_size: (height, width) in pixels.
    """

    bin_width: float = 1000.0
    polarities: str = "off_on"
    coincident: str = "sum"
    sensor_size: Tuple[int, int] = (34, 34)

    def __post_init__(self):
        self.bin_width = number(self.bin_width, "bin_width")
        if self.bin_width <= 0:
            raise ModelError(f"bin_width is {self.bin_width}, expected microseconds above 0")
        choice(self.polarities, "polarities", ("off_on", "on_off"))
        choice(self.coincident, "coincident", ("sum", "merge"))
        self.sensor_size = integers(self.sensor_size, "sensor_size", 2, 1, 1 << 15)

    __repr__ = Node.__repr__


@dataclass(repr=False, eq=False)
class Input(Node):
    """Where samples enter. One per model.

    shape: (C, H, W), (C, L) or (F,).
    encoding: "image": unsigned integers of `bits` bits (1 to 8 for pictures), the same at every
        step, worth (level * scale - mean) / std; "spikes": integer levels, worth level * scale;
        "real": real numbers, which make the first synapses multiply.
    bits: width of a level; ignored for "real".
    signed: whether levels may be negative ("spikes" only).
    scale: value of one level. For "image" 1/255 is what trainers divide by.
    mean, std: per channel or scalar, "image" only. Padding that follows is zero after them.
    layout: order of the axes in which data files hold one sample, a permutation of "CHW", or
        "HW" (one channel), "CL", "LC", "F". The Simulator itself always takes channels first.
    events: how event recordings are binned, or None.
    """

    kind = "Input"
    inputs = (0, 0)

    shape: Shape
    encoding: str = "spikes"
    bits: int = 1
    signed: bool = False
    scale: float = 1.0
    mean: Parameter = 0.0
    std: Parameter = 1.0
    layout: str = ""
    events: Optional[EventBins] = None

    def __post_init__(self):
        self.shape = shape_of(self.shape)
        choice(self.encoding, "encoding", ("image", "spikes", "real"))
        self.bits = integer(self.bits, "bits", 1, 8 if self.encoding == "image" else MAX_BITS)
        self.signed = bool(self.signed)
        self.scale = number(self.scale, "scale")
        self.mean = parameter(self.mean, "mean")
        self.std = parameter(self.std, "std")
        layouts = {1: ("F",), 2: ("CL", "LC"), 3: ("CHW", "HWC", "CWH", "WHC", "HCW", "WCH")}
        allowed = layouts[len(self.shape)]
        if len(self.shape) == 3 and self.shape[0] == 1:
            allowed += ("HW",)
        self.layout = choice(self.layout or allowed[0], "layout", allowed)
        if self.scale <= 0:
            raise ModelError(f"scale is {self.scale}, expected a value above 0")
        if (self.std <= 0).any():
            raise ModelError("std has a value that is not above 0")
        if self.encoding != "image" and (self.mean.any() or (self.std != 1).any()):
            raise ModelError(f"mean and std belong to encoding 'image', not {self.encoding!r}")
        if self.signed and self.encoding != "spikes":
            raise ModelError(f"signed levels belong to encoding 'spikes', not {self.encoding!r}")
        if self.events is not None:
            if self.encoding != "spikes" or self.signed:
                raise ModelError("events belong to encoding 'spikes' without sign")
            if self.shape != (2, *self.events.sensor_size):
                raise ModelError(
                    f"shape is {self.shape}, but the events' sensor gives "
                    f"{(2, *self.events.sensor_size)}"
                )

    def check(self, shape):
        for name in ("mean", "std"):
            value = getattr(self, name)
            if is_per_neuron(value, shape) or value.size not in (1, shape[0]):
                raise ModelError(f"{name} has shape {value.shape}, expected () or {shape[:1]}")


@dataclass(repr=False, eq=False)
class Dense(Node):
    """Fully connected synapses. weight: (out, in); bias: (out,) or None, added at every step."""

    kind = "Dense"
    accepts = ("spikes", "real", "scaled")

    weight: np.ndarray
    bias: Optional[np.ndarray] = None

    def __post_init__(self):
        self.weight = float_array(self.weight, "weight")
        if self.weight.ndim != 2:
            raise ModelError(f"weight has shape {self.weight.shape}, expected (out, in)")
        self.bias = _bias(self.bias, self.weight.shape[0])

    def output_shape(self, shape):
        if len(shape) != 1:
            raise ModelError(f"input has shape {shape}, expected (F,): put a Flatten before it")
        if shape[0] != self.weight.shape[1]:
            raise ModelError(f"weight has {self.weight.shape[1]} inputs, but {shape[0]} arrive")
        return (self.weight.shape[0],)


def _bias(bias, n_channels):
    if bias is None:
        return None
    bias = float_array(bias, "bias")
    if bias.shape != (n_channels,):
        raise ModelError(f"bias has shape {bias.shape}, expected {(n_channels,)}")
    return bias


class _Convolution(Node):
    """What Conv1d and Conv2d share; `n_axes` is the number of spatial axes."""

    accepts = ("spikes", "real", "scaled")
    n_axes: ClassVar[int]

    def __post_init__(self):
        self.weight = float_array(self.weight, "weight")
        if self.weight.ndim != 2 + self.n_axes:
            axes = "(out, in / groups, K)" if self.n_axes == 1 else "(out, in / groups, kH, kW)"
            raise ModelError(f"weight has shape {self.weight.shape}, expected {axes}")
        self.bias = _bias(self.bias, self.weight.shape[0])
        self.stride = integers(self.stride, "stride", self.n_axes, 1, 1 << 15)
        self.padding = integers(self.padding, "padding", self.n_axes, 0, 1 << 15)
        self.dilation = integers(self.dilation, "dilation", self.n_axes, 1, 1 << 15)
        self.groups = integer(self.groups, "groups", 1, MAX_EXTENT)
        if self.weight.shape[0] % self.groups:
            raise ModelError(
                f"weight has {self.weight.shape[0]} output channels, "
                f"expected a multiple of groups = {self.groups}"
            )

    def output_shape(self, shape):
        expected = "(C, L)" if self.n_axes == 1 else "(C, H, W)"
        if len(shape) != 1 + self.n_axes:
            raise ModelError(f"input has shape {shape}, expected {expected}")
        n_in = self.weight.shape[1] * self.groups
        if shape[0] != n_in:
            raise ModelError(f"weight has {n_in} input channels, but {shape[0]} arrive")
        return (self.weight.shape[0],) + tuple(
            _extent(size, k, s, p, d)
            for size, k, s, p, d in zip(
                shape[1:], self.weight.shape[2:], self.stride, self.padding, self.dilation
            )
        )


def _extent(size, kernel, stride, padding, dilation=1, ceil_mode=False):
    """Length of one output axis, by torch's rule."""
    room = size + 2 * padding - dilation * (kernel - 1) - 1
    if room < 0:
        raise ModelError(
            f"kernel of {kernel} (dilation {dilation}) is larger than the input of {size} "
            f"with padding {padding}"
        )
    if not ceil_mode:
        return room // stride + 1
    n = -(-room // stride) + 1
    # torch: the last window must start inside the input or the padding before it
    return n - 1 if (n - 1) * stride >= size + padding else n


@dataclass(repr=False, eq=False)
class Conv1d(_Convolution):
    """Cross-correlation along one axis, as torch.nn.Conv1d. weight: (out, in / groups, K)."""

    kind = "Conv1d"
    n_axes = 1

    weight: np.ndarray
    bias: Optional[np.ndarray] = None
    stride: Tuple[int] = 1
    padding: Tuple[int] = 0
    dilation: Tuple[int] = 1
    groups: int = 1


@dataclass(repr=False, eq=False)
class Conv2d(_Convolution):
    """Cross-correlation, as torch.nn.Conv2d. weight: (out, in / groups, kH, kW)."""

    kind = "Conv2d"
    n_axes = 2

    weight: np.ndarray
    bias: Optional[np.ndarray] = None
    stride: Tuple[int, int] = 1
    padding: Tuple[int, int] = 0
    dilation: Tuple[int, int] = 1
    groups: int = 1


@dataclass(repr=False, eq=False)
class _Pool(Node):
    """Geometry that the pools share; windows as in torch, on (C, H, W) or (C, L)."""

    kernel_size: Tuple[int, ...]
    stride: Optional[Tuple[int, ...]] = None  # None: the kernel size
    padding: Tuple[int, ...] = 0
    ceil_mode: bool = False

    def output_shape(self, shape):
        n_axes = len(shape) - 1
        if n_axes not in (1, 2):
            raise ModelError(f"input has shape {shape}, expected (C, H, W) or (C, L)")
        kernel, stride, padding = self.geometry(n_axes)
        for k, p in zip(kernel, padding):
            if 2 * p > k:
                raise ModelError(f"padding is {padding}, expected at most half of kernel {kernel}")
        return shape[:1] + tuple(
            _extent(size, k, s, p, ceil_mode=self.ceil_mode)
            for size, k, s, p in zip(shape[1:], kernel, stride, padding)
        )

    def geometry(self, n_axes):
        """(kernel, stride, padding), each a tuple of `n_axes` whole numbers."""
        kernel = integers(self.kernel_size, "kernel_size", n_axes, 1, 1 << 15)
        stride = kernel if self.stride is None else self.stride
        return (
            kernel,
            integers(stride, "stride", n_axes, 1, 1 << 15),
            integers(self.padding, "padding", n_axes, 0, 1 << 14),
        )


@dataclass(repr=False, eq=False)
class SumPool(_Pool):
    """Sum of the levels in each window; the level's width grows as needed, to at most 31 bits."""

    kind = "SumPool"
    accepts = ("spikes", "current")


@dataclass(repr=False, eq=False)
class AvgPool(_Pool):
    """Mean of each window: sum pooling whose quantum is divided by the window's size.

    count_include_pad: as in torch; False, like ceil_mode, makes windows unequal and is refused.
    """

    kind = "AvgPool"
    accepts = ("spikes", "scaled", "current")

    count_include_pad: bool = True

    def output_shape(self, shape):
        out = super().output_shape(shape)
        unequal = []
        if self.ceil_mode and out != _Pool(self.kernel_size, self.stride, self.padding).output_shape(shape):
            unequal.append("ceil_mode=True")
        if not self.count_include_pad and any(self.geometry(len(shape) - 1)[2]):
            unequal.append("count_include_pad=False")
        if unequal:
            raise UnsupportedError(
                f"average pooling with {' and '.join(unequal)} divides by unequal window sizes; "
                "use equal windows (pad or crop the input) or SumPool"
            )
        return out


@dataclass(repr=False, eq=False)
class MaxPool(_Pool):
    """Largest value in each window; padding never wins."""

    kind = "MaxPool"


@dataclass(repr=False, eq=False)
class Flatten(Node):
    """(C, H, W) or (C, L) to (F,), in the order C, H, W."""

    kind = "Flatten"
    accepts = ("spikes", "real", "scaled", "current")

    def output_shape(self, shape):
        return (int(np.prod(shape)),)


@dataclass(repr=False, eq=False)
class BatchNorm(Node):
    """Normalisation per channel, folded into the neighbouring synapses when lowered.

    y = weight * scale * (x - running_mean) / sqrt(running_var + eps) + bias.
    weight, bias, running_mean, running_var: (C,). scale: alpha * V_th for tdBN (InfLoR-SNN,
    section 2.2), 1 for BatchNorm.
    """

    kind = "BatchNorm"
    accepts = ("spikes", "real", "scaled", "current")

    weight: np.ndarray
    bias: np.ndarray
    running_mean: np.ndarray
    running_var: np.ndarray
    eps: float = 1e-5
    scale: float = 1.0

    def __post_init__(self):
        for name in ("weight", "bias", "running_mean", "running_var"):
            value = float_array(getattr(self, name), name)
            if value.ndim != 1:
                raise ModelError(f"{name} has shape {value.shape}, expected (C,)")
            if value.shape != np.shape(self.weight):
                raise ModelError(f"{name} has shape {value.shape}, but weight {np.shape(self.weight)}")
            setattr(self, name, value)
        self.eps = number(self.eps, "eps")
        self.scale = number(self.scale, "scale")
        if (self.running_var + self.eps <= 0).any():
            raise ModelError("running_var + eps has a value that is not above 0")

    def check(self, shape):
        for name in ("weight", "bias", "running_mean", "running_var"):
            found = getattr(self, name).shape
            if found != shape[:1]:
                raise ModelError(f"{name} has shape {found}, expected {shape[:1]}")


@dataclass(repr=False, eq=False)
class Add(Node):
    """Sum of spike trains of equal shape (the SEW shortcut)."""

    kind = "Add"
    inputs = (2, None)


@dataclass(repr=False, eq=False)
class Delay(Node):
    """Spikes that arrive later: what came in at step t leaves at step t + steps.

    steps: whole numbers, one for all, (C,) per channel or one per neuron. A delay of a whole
    edge is the edge's own.
    """

    kind = "Delay"

    steps: Parameter = 0

    def __post_init__(self):
        self.steps = whole_array(self.steps, "steps", 0, MAX_DELAY)

    def check(self, shape):
        parameter_on(self.steps, shape, "steps")


@dataclass(repr=False, eq=False)
class Restimulation(Node):
    """Effective signals of the previous layer, weighted by channel attention (ECA).

    Our reading of the Multi-Bit Mechanism, whose abstract names re-stimulation and efficient
    channel attention but gives no formula. For spikes s of the previous layer:

        q = P(s)                          P: identity, or a strided 1x1 convolution
        m[c] = mean over positions of q[c]
        g = floor(256 * sigmoid(conv1d(m, kernel)) + 1/2) / 256
        current = g * q                   added to the neuron's weighted input

    kernel: (K,), K odd, over neighbouring channels, zero-padded, no bias.
    weight: (out, in, 1, 1) of P, or None for the identity. stride: of P, (y, x).
    """

    kind = "Restimulation"

    kernel: np.ndarray
    weight: Optional[np.ndarray] = None
    stride: Tuple[int, int] = 1

    def __post_init__(self):
        self.kernel = float_array(self.kernel, "kernel")
        if self.kernel.ndim != 1 or self.kernel.size % 2 == 0:
            raise ModelError(f"kernel has shape {self.kernel.shape}, expected (K,) with K odd")
        self.stride = integers(self.stride, "stride", 2, 1, 1 << 15)
        if self.weight is not None:
            self.weight = float_array(self.weight, "weight")
            if self.weight.ndim != 4 or self.weight.shape[2:] != (1, 1):
                raise ModelError(f"weight has shape {self.weight.shape}, expected (out, in, 1, 1)")
        elif self.stride != (1, 1):
            raise ModelError(f"stride is {self.stride}, but without weight q is the identity")

    def output_shape(self, shape):
        if self.weight is None:
            return shape
        return Conv2d(self.weight, stride=self.stride).output_shape(shape)


NODE_TYPES = {
    cls.kind: cls
    for cls in (
        Input, Dense, Conv1d, Conv2d, SumPool, AvgPool, MaxPool, Flatten, BatchNorm, Add,
        Delay, Restimulation, Neuron, SigmaDelta, Readout,
    )
}
