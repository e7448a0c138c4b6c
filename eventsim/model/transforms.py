"""Nodes without weights or membranes: pools, Upsample, Flatten, BatchNorm, Add, Concat, Delay.

Each checks its own fields when it is made, and raises ModelError.
"""

from dataclasses import dataclass
from typing import Optional

import numpy as np

from eventsim.arguments import finite_number, first_wrong, several
from eventsim.errors import ModelError, UnsupportedError
from eventsim.model.node import extent, Node
from eventsim.model.parameters import (
    along_axes, ANY_SHAPE, Axes, flag, float_array, input_shape, integers, MAX_DELAY, Parameter, parameter_on,
    whole_array,
)

SPATIAL = "(C, H, W) or (C, L)"


@dataclass(repr=False, eq=False)
class _Pool(Node):
    """The base of SumPool, AvgPool and MaxPool.

    kernel_size, stride, padding: positions along each axis of space, or one number for all; a stride of None is
    the kernel size. ceil_mode: whether a last window may reach beyond the map. All are as in torch.

    Raises ModelError, when it is made, for fields that do not fit each other, and, when a Model is made with it,
    for fields that do not fit the map.
    """

    pools = True

    kernel_size: Axes
    stride: Optional[Axes] = None
    padding: Axes = 0
    ceil_mode: bool = False

    def __post_init__(self):
        self.kernel_size = along_axes(self.kernel_size, "kernel_size", 1, 1 << 15)
        self.stride = None if self.stride is None else along_axes(self.stride, "stride", 1, 1 << 15)
        self.padding = along_axes(self.padding, "padding", 0, 1 << 14)
        self.ceil_mode = flag(self.ceil_mode, "ceil_mode")
        given = [value for value in (self.kernel_size, self.stride, self.padding) if isinstance(value, tuple)]
        kernel, _, padding = self.geometry(max(map(len, given), default=1))
        if any(2 * p > k for k, p in zip(kernel, padding)):
            raise ModelError(f"padding is {self.padding}, expected at most half of kernel_size, which is "
                             f"{self.kernel_size}")

    def output_shape(self, shape):
        shape = input_shape(shape, SPATIAL, 2, 3)
        kernel, stride, padding = self.geometry(len(shape) - 1)
        return shape[:1] + tuple(
            extent(size, k, s, p, ceil_mode=self.ceil_mode)
            for size, k, s, p in zip(shape[1:], kernel, stride, padding)
        )

    def geometry(self, n_axes):
        """Return (kernel, stride, padding), each a tuple of `n_axes` whole numbers."""
        kernel = integers(self.kernel_size, "kernel_size", n_axes, 1, 1 << 15)
        stride = kernel if self.stride is None else self.stride
        return (
            kernel,
            integers(stride, "stride", n_axes, 1, 1 << 15),
            integers(self.padding, "padding", n_axes, 0, 1 << 14),
        )


@dataclass(repr=False, eq=False)
class SumPool(_Pool):
    """Sums the levels in each window, as in torch's pools on (C, H, W) or (C, L); levels grow as
    needed, up to 31 bits.

    kernel_size, stride (None: kernel_size), padding: whole numbers, one for all axes of space or one for each.
    ceil_mode: as in torch. Raises ModelError for others when it is made.

    >>> from eventsim import SumPool
    >>> SumPool(2).output_shape((16, 32, 32))
    (16, 16, 16)
    """

    kind = "SumPool"
    accepts = ("spikes", "current")


@dataclass(repr=False, eq=False)
class AvgPool(_Pool):
    """Takes the mean of each window: sum pooling whose quantum is divided by the window's size.

    count_include_pad: as in torch. False together with padding makes windows unequal, as does a
    ceil_mode that adds a window; a Model with unequal windows raises UnsupportedError. The other fields
    and errors are those of SumPool.

    >>> from eventsim import AvgPool
    >>> AvgPool((2, 4)).output_shape((16, 32, 32))
    (16, 16, 8)
    """

    kind = "AvgPool"
    accepts = ("spikes", "scaled", "current")

    count_include_pad: bool = True

    def __post_init__(self):
        super().__post_init__()
        self.count_include_pad = flag(self.count_include_pad, "count_include_pad")

    def output_shape(self, shape):
        out = super().output_shape(shape)
        unequal = []
        if self.ceil_mode and out != _Pool(self.kernel_size, self.stride, self.padding).output_shape(shape):
            unequal.append("ceil_mode=True")
        if not self.count_include_pad and np.any(self.padding):
            unequal.append("count_include_pad=False")
        if unequal:
            raise UnsupportedError(
                f"average pooling with {' and '.join(unequal)} divides by unequal window sizes; "
                "use equal windows (pad or crop the input) or SumPool"
            )
        return out


@dataclass(repr=False, eq=False)
class MaxPool(_Pool):
    """Takes the largest value in each window, of spikes or of a current; padding never wins.

    Of a current, which is a weighted sum with its biases, the largest sum reaches the membrane. No chip has
    that, and nothing but BatchNorm, Flatten and another MaxPool may follow before the neurons. The fields and
    errors are those of SumPool.

    >>> from eventsim import MaxPool
    >>> MaxPool(3, stride=2, padding=1).output_shape((16, 32, 32))
    (16, 16, 16)
    """

    kind = "MaxPool"
    accepts = ("spikes", "current")

    def gives(self, read):
        return "current" if read == "current" else "spikes"


@dataclass(repr=False, eq=False)
class Upsample(Node):
    """Repeats each position scale_factor times along each axis (nearest neighbour), as torch.nn.Upsample does.

    scale_factor: whole numbers, one per axis of space or one for all. Raises ModelError for others when made.

    >>> from eventsim import Upsample
    >>> Upsample(2).output_shape((16, 8, 4))
    (16, 16, 8)
    """

    kind = "Upsample"
    accepts = ("spikes", "scaled")
    instead_of_current = "upsample the spikes"

    scale_factor: Axes

    def __post_init__(self):
        self.scale_factor = along_axes(self.scale_factor, "scale_factor", 1, 1 << 10)

    def output_shape(self, shape):
        shape = input_shape(shape, SPATIAL, 2, 3)
        return (shape[0], *(size * factor for size, factor in zip(shape[1:], self.factors(len(shape) - 1))))

    def factors(self, n_axes):
        """Return scale_factor as a tuple of `n_axes` whole numbers."""
        return integers(self.scale_factor, "scale_factor", n_axes, 1, 1 << 10)


@dataclass(repr=False, eq=False)
class Flatten(Node):
    """Reshapes (C, H, W) or (C, L) to (F,), in the order C, H, W.

    >>> from eventsim import Flatten
    >>> Flatten().output_shape((16, 4, 4))
    (256,)
    """

    kind = "Flatten"
    reshapes = True
    accepts = ("spikes", "real", "scaled", "current")

    def output_shape(self, shape):
        return (int(np.prod(input_shape(shape, ANY_SHAPE, 1, 2, 3))),)


@dataclass(repr=False, eq=False)
class BatchNorm(Node):
    """Normalises each channel; it is folded into the neighbouring synapses when it is lowered.

    y = weight * scale * (x - running_mean) / sqrt(running_var + eps) + bias.
    weight, bias, running_mean, running_var: numbers (C,), kept as float64. eps: added to the variance. scale:
    alpha * V_th for tdBN (InfLoR-SNN, section 2.2), 1 for BatchNorm. Raises ModelError when it is made for arrays
    that are not of one length or not finite, and for a variance that is not above 0.

    >>> import numpy as np
    >>> from eventsim import BatchNorm
    >>> BatchNorm(np.ones(3), np.zeros(3), np.zeros(3), np.ones(3)).gives("spikes")
    'scaled'
    """

    kind = "BatchNorm"
    weighs = True
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
        self.eps = finite_number(self.eps, "eps", ModelError)
        self.scale = finite_number(self.scale, "scale", ModelError)
        variance = self.running_var + self.eps
        if (variance <= 0).any():
            raise ModelError("running_var + eps has a value that is not above 0"
                             f"{first_wrong(variance, variance <= 0)}")

    def gives(self, read):
        return read if read == "current" else "scaled"

    def check(self, shape):
        shape = input_shape(shape, ANY_SHAPE, 1, 2, 3)
        for name in ("weight", "bias", "running_mean", "running_var"):
            value = getattr(self, name)
            if value.shape != shape[:1]:
                raise ModelError(f"{name} has shape {value.shape}, expected {shape[:1]}")


@dataclass(repr=False, eq=False)
class Add(Node):
    """Adds spike trains of equal shape (the SEW shortcut), or currents, as before a MaxPool.

    Currents that reach neurons need no Add: an edge from each does the same. A Model raises ModelError where the
    inputs differ in shape.

    >>> from eventsim import Add, Input, Model
    >>> model = Model({"in": Input((4,)), "add": Add()}, [("in", "add"), ("in", "add", 1)])
    >>> model.shapes["add"], model.kinds["add"]
    ((4,), 'spikes')
    """

    kind = "Add"
    accepts = ("spikes", "current")
    inputs = (2, None)

    gives = MaxPool.gives


@dataclass(repr=False, eq=False)
class Concat(Node):
    """Puts the channels of several spike trains one after another, in the order of the incoming edges. A Model
    raises ModelError where the inputs differ in more than their channels.

    >>> from eventsim import Concat, Input, MaxPool, Model
    >>> nodes = {"in": Input((4, 2, 2)), "same": MaxPool(1), "both": Concat()}
    >>> model = Model(nodes, [("in", "same"), ("in", "both"), ("same", "both")])
    >>> model.shapes["both"]
    (8, 2, 2)
    """

    kind = "Concat"
    joins = True
    inputs = (2, None)

    def gives(self, read):
        return "spikes"

    def joined_shape(self, shapes):
        shapes = [input_shape(shape, ANY_SHAPE, 1, 2, 3) for shape in several(
            shapes, "shapes", "the shapes of two inputs or more", ModelError)]
        if len({shape[1:] for shape in shapes}) != 1:
            raise ModelError(f"its inputs have shapes {', '.join(map(str, shapes))}, expected the same but for "
                             "channels")
        return (sum(shape[0] for shape in shapes), *shapes[0][1:])


@dataclass(repr=False, eq=False)
class Delay(Node):
    """Delays spikes: what comes in at step t leaves at step t + steps.

    steps: whole numbers from 0 to 4096, one for all, (C,) per channel or one per neuron, kept as int64. To delay a
    whole edge, give the edge a delay. Raises ModelError for other numbers when it is made, and for a shape that
    does not fit when a Model is made with it.

    >>> from eventsim import Delay
    >>> Delay([0, 3, 1]).longest_delay
    3
    """

    kind = "Delay"

    steps: Parameter = 0

    def __post_init__(self):
        self.steps = whole_array(self.steps, "steps", 0, MAX_DELAY)

    @property
    def longest_delay(self):
        return int(self.steps.max())

    def check(self, shape):
        parameter_on(self.steps, input_shape(shape, ANY_SHAPE, 1, 2, 3), "steps")
