"""Nodes without weights or membranes: pools, Upsample, Flatten, BatchNorm, Add, Concat, Delay."""

from dataclasses import dataclass
from typing import Optional, Tuple

import numpy as np

from eventsim.errors import ModelError, UnsupportedError
from eventsim.model.node import extent, Node
from eventsim.model.parameters import (
    finite_number, float_array, integers, MAX_DELAY, Parameter, parameter_on, whole_array,
)


@dataclass(repr=False, eq=False)
class _Pool(Node):
    """Geometry that the pools share; windows as in torch, on (C, H, W) or (C, L)."""

    pools = True

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
            extent(size, k, s, p, ceil_mode=self.ceil_mode)
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
    """Sum of the levels in each window; the level's width grows as needed, to at most 31 bits.

    >>> from eventsim import SumPool
    >>> SumPool(2).output_shape((16, 32, 32))
    (16, 16, 16)
    """

    kind = "SumPool"
    accepts = ("spikes", "current")


@dataclass(repr=False, eq=False)
class AvgPool(_Pool):
    """Mean of each window: sum pooling whose quantum is divided by the window's size.

    count_include_pad: as in torch; False, like ceil_mode, makes windows unequal and is refused.

    >>> from eventsim import AvgPool
    >>> AvgPool((2, 4)).output_shape((16, 32, 32))
    (16, 16, 8)
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
    """Largest value in each window, of spikes or of a current; padding never wins.

    Of a current, which is a weighted sum with its biases, the largest sum reaches the membrane. No chip has
    that, and nothing but BatchNorm, Flatten and another MaxPool may follow before the neurons.

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
    """Each position repeated scale_factor times along each axis (nearest neighbour), as torch.nn.Upsample.

    scale_factor: whole numbers, one per axis of space or one for all.

    >>> from eventsim import Upsample
    >>> Upsample(2).output_shape((16, 8, 4))
    (16, 16, 8)
    """

    kind = "Upsample"
    accepts = ("spikes", "scaled")
    instead_of_current = "upsample the spikes"
    shown_fields = ("scale_factor",)

    scale_factor: Tuple[int, ...]

    def output_shape(self, shape):
        return (shape[0], *(size * factor for size, factor in zip(shape[1:], self.factors(len(shape) - 1))))

    def factors(self, n_axes):
        """scale_factor as a tuple of `n_axes` whole numbers."""
        if n_axes not in (1, 2):
            raise ModelError("input has no axes of space, expected (C, H, W) or (C, L)")
        return integers(self.scale_factor, "scale_factor", n_axes, 1, 1 << 10)


@dataclass(repr=False, eq=False)
class Flatten(Node):
    """(C, H, W) or (C, L) to (F,), in the order C, H, W.

    >>> from eventsim import Flatten
    >>> Flatten().output_shape((16, 4, 4))
    (256,)
    """

    kind = "Flatten"
    reshapes = True
    accepts = ("spikes", "real", "scaled", "current")

    def output_shape(self, shape):
        return (int(np.prod(shape)),)


@dataclass(repr=False, eq=False)
class BatchNorm(Node):
    """Normalisation per channel, folded into the neighbouring synapses when lowered.

    y = weight * scale * (x - running_mean) / sqrt(running_var + eps) + bias.
    weight, bias, running_mean, running_var: (C,). scale: alpha * V_th for tdBN (InfLoR-SNN,
    section 2.2), 1 for BatchNorm.

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
        self.eps = finite_number(self.eps, "eps")
        self.scale = finite_number(self.scale, "scale")
        if (self.running_var + self.eps <= 0).any():
            raise ModelError("running_var + eps has a value that is not above 0")

    def gives(self, read):
        return read if read == "current" else "scaled"

    def check(self, shape):
        for name in ("weight", "bias", "running_mean", "running_var"):
            found = getattr(self, name).shape
            if found != shape[:1]:
                raise ModelError(f"{name} has shape {found}, expected {shape[:1]}")


@dataclass(repr=False, eq=False)
class Add(Node):
    """Sum of spike trains of equal shape (the SEW shortcut), or of currents, as before a MaxPool.

    Currents that reach neurons need no Add: an edge from each does the same.

    >>> from eventsim import Add, Input, Model
    >>> model = Model({"in": Input((4,)), "add": Add()}, [("in", "add"), ("in", "add", 1)])
    >>> model.shapes["add"], model.kinds["add"]
    ((4,), 'spikes')
    """

    kind = "Add"
    accepts = ("spikes", "current")
    inputs = (2, None)

    def gives(self, read):
        return "current" if read == "current" else "spikes"


@dataclass(repr=False, eq=False)
class Concat(Node):
    """Channels of several spike trains one after another, in the order of the incoming edges.

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
        if len({shape[1:] for shape in shapes}) != 1:
            raise ModelError(f"its inputs have shapes {', '.join(map(str, shapes))}, expected the same but for channels")
        return (sum(shape[0] for shape in shapes), *shapes[0][1:])


@dataclass(repr=False, eq=False)
class Delay(Node):
    """Spikes that arrive later: what came in at step t leaves at step t + steps.

    steps: whole numbers, one for all, (C,) per channel or one per neuron. A delay of a whole
    edge is the edge's own.

    >>> from eventsim import Delay
    >>> Delay([0, 3, 1]).longest_delay
    3
    """

    kind = "Delay"
    shown_fields = ("steps",)

    steps: Parameter = 0

    def __post_init__(self):
        self.steps = whole_array(self.steps, "steps", 0, MAX_DELAY)

    @property
    def longest_delay(self):
        return int(self.steps.max())

    def check(self, shape):
        parameter_on(self.steps, shape, "steps")
