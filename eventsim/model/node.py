"""The base of all nodes: what a node accepts, and how shapes pass through it."""

from dataclasses import fields
from typing import ClassVar

import numpy as np

from eventsim.errors import ModelError
from eventsim.model.parameters import Shape


class Node:
    """Base of all nodes. `kind` is the name under which files store the node."""

    kind: ClassVar[str]
    accepts: ClassVar[tuple] = ("spikes",)
    inputs: ClassVar[tuple] = (1, 1)  # fewest and most incoming edges

    def output_shape(self, shape: Shape) -> Shape:
        """Shape of the output for an input of `shape`; raises ModelError if it does not fit."""
        return shape

    def check(self, shape: Shape) -> None:
        """Check parameters that depend on the node's own output shape."""

    def __repr__(self):
        shown = []
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, np.ndarray) and value.ndim:
                value = f"array{value.shape}"
            shown.append(f"{item.name}={value}")
        return f"{type(self).__name__}({', '.join(shown)})"


def extent(size, kernel, stride, padding, dilation=1, ceil_mode=False):
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
