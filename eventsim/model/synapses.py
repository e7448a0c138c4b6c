"""Nodes with weights: Dense, Conv1d, Conv2d, ConvTranspose2d, Restimulation.

Each checks its own fields when it is made, and raises ModelError.
"""

from dataclasses import dataclass
from typing import ClassVar, Optional

import numpy as np

from eventsim.arguments import integer
from eventsim.errors import ModelError
from eventsim.model.node import extent, Node
from eventsim.model.parameters import ANY_SHAPE, Axes, float_array, input_shape, integers, MAX_EXTENT


class _Synapses(Node):
    """The base of nodes with one fixed weight per synapse. n_axes: how many spatial axes the weights have."""

    role = "synapses"
    accepts = ("spikes", "real", "scaled", "current")
    weighs = True
    unshown_fields = ("weight",)
    n_axes: ClassVar[int]

    def gives(self, read):
        return "current"

    @property
    def n_weights(self):
        return self.weight.size


@dataclass(repr=False, eq=False)
class Dense(_Synapses):
    """Fully connected synapses.

    weight: (out, in). bias: (out,) or None, added at every step. Both are kept as float64. Raises ModelError, when
    it is made, for arrays of other shapes or with values that are no finite numbers, and, when a Model is made
    with it, for another number of inputs.

    >>> import numpy as np
    >>> from eventsim import Dense
    >>> Dense(np.ones((10, 784))).output_shape((784,))
    (10,)
    """

    kind = "Dense"
    n_axes = 0

    weight: np.ndarray
    bias: Optional[np.ndarray] = None

    def __post_init__(self):
        self.weight = float_array(self.weight, "weight")
        if self.weight.ndim != 2:
            raise ModelError(f"weight has shape {self.weight.shape}, expected (out, in)")
        self.bias = _bias(self.bias, self.weight.shape[0])

    @property
    def own_shape(self):
        return (self.weight.shape[0],)

    def output_shape(self, shape):
        shape = input_shape(shape, "(F,): put a Flatten before it", 1)
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


class _Convolution(_Synapses):
    """The base of Conv1d and Conv2d."""

    def __post_init__(self):
        self.weight = float_array(self.weight, "weight")
        if self.weight.ndim != 2 + self.n_axes:
            axes = "(out, in / groups, K)" if self.n_axes == 1 else "(out, in / groups, kH, kW)"
            raise ModelError(f"weight has shape {self.weight.shape}, expected {axes}")
        self.bias = _bias(self.bias, self.weight.shape[0])
        self.stride = integers(self.stride, "stride", self.n_axes, 1, 1 << 15)
        self.padding = integers(self.padding, "padding", self.n_axes, 0, 1 << 15)
        self.dilation = integers(self.dilation, "dilation", self.n_axes, 1, 1 << 15)
        self.groups = integer(self.groups, "groups", 1, MAX_EXTENT, ModelError)
        if self.weight.shape[0] % self.groups:
            raise ModelError(
                f"weight has {self.weight.shape[0]} output channels, "
                f"expected a multiple of groups = {self.groups}"
            )

    def output_shape(self, shape):
        shape = input_shape(shape, "(C, L)" if self.n_axes == 1 else "(C, H, W)", 1 + self.n_axes)
        n_in = self.weight.shape[1] * self.groups
        if shape[0] != n_in:
            raise ModelError(f"weight has {n_in} input channels, but {shape[0]} arrive")
        return (self.weight.shape[0],) + tuple(
            extent(size, k, s, p, d)
            for size, k, s, p, d in zip(
                shape[1:], self.weight.shape[2:], self.stride, self.padding, self.dilation
            )
        )


@dataclass(repr=False, eq=False)
class Conv1d(_Convolution):
    """Cross-correlation along one axis, as torch.nn.Conv1d.

    weight: (out, in / groups, K). bias: (out,) or None, added at every step. Both are kept as float64. stride,
    padding, dilation, groups: whole numbers, as in torch. Errors: as for Dense.

    >>> import numpy as np
    >>> from eventsim import Conv1d
    >>> Conv1d(np.ones((8, 2, 3)), padding=1).output_shape((2, 100))
    (8, 100)
    """

    kind = "Conv1d"
    n_axes = 1

    weight: np.ndarray
    bias: Optional[np.ndarray] = None
    stride: Axes = 1
    padding: Axes = 0
    dilation: Axes = 1
    groups: int = 1


@dataclass(repr=False, eq=False)
class Conv2d(_Convolution):
    """Cross-correlation, as torch.nn.Conv2d.

    weight: (out, in / groups, kH, kW). bias: (out,) or None, added at every step. Both are kept as float64.
    stride, padding, dilation: whole numbers, (y, x) or one for both; groups: as in torch. Errors: as for Dense.

    >>> import numpy as np
    >>> from eventsim import Conv2d
    >>> Conv2d(np.ones((16, 3, 3, 3)), stride=2, padding=1).output_shape((3, 32, 32))
    (16, 16, 16)
    """

    kind = "Conv2d"
    n_axes = 2

    weight: np.ndarray
    bias: Optional[np.ndarray] = None
    stride: Axes = 1
    padding: Axes = 0
    dilation: Axes = 1
    groups: int = 1


@dataclass(repr=False, eq=False)
class ConvTranspose2d(_Synapses):
    """Transposed convolution on (C, H, W), as torch.nn.ConvTranspose2d.

    weight: (in, out / groups, kH, kW). output_padding: rows and columns added behind, less than stride or
    dilation. The other fields and errors are those of Conv2d.

    >>> import numpy as np
    >>> from eventsim import ConvTranspose2d
    >>> ConvTranspose2d(np.ones((16, 8, 2, 2)), stride=2).output_shape((16, 7, 7))
    (8, 14, 14)
    """

    kind = "ConvTranspose2d"
    accepts = ("spikes", "real", "scaled")
    n_axes = 2

    weight: np.ndarray
    bias: Optional[np.ndarray] = None
    stride: Axes = 1
    padding: Axes = 0
    output_padding: Axes = 0
    dilation: Axes = 1
    groups: int = 1

    def __post_init__(self):
        self.weight = float_array(self.weight, "weight")
        if self.weight.ndim != 4:
            raise ModelError(f"weight has shape {self.weight.shape}, expected (in, out / groups, kH, kW)")
        self.groups = integer(self.groups, "groups", 1, MAX_EXTENT, ModelError)
        if self.weight.shape[0] % self.groups:
            raise ModelError(f"weight has {self.weight.shape[0]} input channels, expected a multiple of groups = "
                             f"{self.groups}")
        self.bias = _bias(self.bias, self.weight.shape[1] * self.groups)
        for name, least in (("stride", 1), ("padding", 0), ("output_padding", 0), ("dilation", 1)):
            setattr(self, name, integers(getattr(self, name), name, 2, least, 1 << 15))
        for axis in (0, 1):
            reach = self.dilation[axis] * (self.weight.shape[2 + axis] - 1)
            if self.padding[axis] > reach:
                raise ModelError(f"padding is {self.padding}, expected at most dilation * (kernel - 1), which is "
                                 f"{reach}")
            if self.output_padding[axis] >= max(self.stride[axis], self.dilation[axis]):
                raise ModelError(f"output_padding is {self.output_padding}, expected less than stride or dilation")

    def spread_shape(self, shape):
        """Return the shape of a map of `shape` with stride - 1 zeros between positions, output_padding behind."""
        shape = input_shape(shape, "(C, H, W)", 3)
        return (shape[0], *((n - 1) * s + 1 + p for n, s, p in zip(shape[1:], self.stride, self.output_padding)))

    def output_shape(self, shape):
        return self.as_convolution().output_shape(self.spread_shape(shape))

    def as_convolution(self) -> Conv2d:
        """Return the convolution of the spread map that equals this node."""
        n_in, per_group, *kernel = self.weight.shape
        grouped = self.weight.reshape(self.groups, n_in // self.groups, per_group, *kernel)[..., ::-1, ::-1]
        weight = grouped.swapaxes(1, 2).reshape(self.groups * per_group, n_in // self.groups, *kernel)
        padding = tuple(d * (k - 1) - p for d, k, p in zip(self.dilation, kernel, self.padding))
        return Conv2d(weight, self.bias, 1, padding, self.dilation, self.groups)


@dataclass(repr=False, eq=False)
class Restimulation(Node):
    """Weights the effective signals of the previous layer by channel attention (ECA).

    This is our reading of the Multi-Bit Mechanism, whose abstract names re-stimulation and efficient channel
    attention but gives no formula. For spikes s of the previous layer:

        q = P(s)                          P: identity, or a strided 1x1 convolution
        m[c] = mean over positions of q[c]
        g = floor(256 * sigmoid(conv1d(m, kernel)) + 1/2) / 256
        current = g * q                   added to the neuron's weighted input

    kernel: (K,), K odd, over neighbouring channels, zero-padded, no bias.
    weight: (out, in, 1, 1) of P, or None for the identity. stride: of P, (y, x) or one number for both.
    Arrays are kept as float64. Errors: as for Dense.

    >>> import numpy as np
    >>> from eventsim import Restimulation
    >>> Restimulation(np.ones(3), np.ones((8, 4, 1, 1)), stride=2).output_shape((4, 16, 16))
    (8, 8, 8)
    """

    kind = "Restimulation"
    role = "attention"
    weighs = True
    unshown_fields = ("weight",)

    kernel: np.ndarray
    weight: Optional[np.ndarray] = None
    stride: Axes = 1

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
            return super().output_shape(shape)
        return self.projection.output_shape(shape)

    def gives(self, read):
        return "current"

    @property
    def projection(self) -> Optional[Conv2d]:
        """Return P as a node, None for the identity."""
        return None if self.weight is None else Conv2d(self.weight, stride=self.stride)

    @property
    def n_weights(self):
        return 0 if self.weight is None else self.weight.size

    def products_per_step(self, shape):
        shape = input_shape(shape, ANY_SHAPE, 1, 2, 3)
        gated = shape[0] if self.weight is None else int(np.prod(shape))  # the identity's are folded into g
        return self.kernel.size * shape[0] + gated
