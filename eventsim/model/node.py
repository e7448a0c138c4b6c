"""The base of all nodes: what a node is, and what everything outside `model` may ask of it.

A new kind of node answers these questions itself; nothing else has to learn its name but its rule in
`lowering.rules` and, where files can hold it, its lines in `formats`.
"""

import inspect
from dataclasses import fields, is_dataclass
from typing import ClassVar, Dict, Optional

import numpy as np

from eventsim.errors import ModelError
from eventsim.model.parameters import ANY_SHAPE, input_shape, Shape


class Node:
    """Base of all nodes: roles, which are the same for all nodes of a class, and shapes.

    kind: the name under which files and tables have the node; "" here.
    role: "input"; "synapses" (one fixed weight per synapse); "attention" (synapses whose weights
        depend on what arrives); "transform" (neither weights of synapses nor a membrane);
        "neurons" (a membrane that decides what is sent); "readout" (a membrane that is only read).
    sends: of "neurons", what their spikes say: "levels" of the membrane, or "changes" of a value; else "".
    accepts: what it reads, of "spikes", "real", "scaled" and "current" (see `model.kinds`).
    inputs: fewest and most incoming edges; None: any number.
    instead_of_current: what to do where a current arrives that the node does not accept.
    weighs: whether it multiplies what it reads by trained numbers.
    reshapes: whether it hands on what it reads, in another shape.
    pools: whether it gives one value per window of what it reads.
    joins: whether its shape depends on all that it reads (`joined_shape`), not on each alone.
    unshown_fields: fields that `eventsim info` leaves out: weights, of which it gives the number.
    decides_by: of "neurons", variable of a run -> the fields that it depends on, in words, where they
        are not those of Neuron.
    floats_only: whether its arithmetic is not defined in integers.
    """

    kind: ClassVar[str] = ""
    role: ClassVar[str] = "transform"
    sends: ClassVar[str] = ""
    accepts: ClassVar[tuple] = ("spikes",)
    inputs: ClassVar[tuple] = (1, 1)
    instead_of_current: ClassVar[str] = "put a Neuron between them, or merge them into one node"
    weighs: ClassVar[bool] = False
    reshapes: ClassVar[bool] = False
    pools: ClassVar[bool] = False
    joins: ClassVar[bool] = False
    unshown_fields: ClassVar[tuple] = ()
    decides_by: ClassVar[Dict[str, str]] = {}
    floats_only: ClassVar[bool] = False

    @classmethod
    def fires(cls) -> bool:
        """Whether it decides to send spikes; transforms only send on what others decided."""
        return cls.role == "neurons"

    @classmethod
    def integrates(cls) -> bool:
        """Whether it has a membrane, into which currents are added."""
        return cls.role in ("neurons", "readout")

    def gives(self, read: str) -> str:
        """What it gives where it reads `read`: "spikes", "real", "scaled", "current" or "output"."""
        return read

    @property
    def n_weights(self) -> int:
        """Synaptic weights, without biases."""
        return 0

    @property
    def longest_delay(self) -> int:
        """Steps by which it delays what it reads, at most."""
        return 0

    @property
    def states_per_neuron(self) -> int:
        """Numbers that a neuron keeps from one step to the next."""
        return 0

    def products_per_step(self, shape: Shape) -> int:
        """Multiplications that it takes in every step, whatever arrives. shape: its own output shape."""
        return 0

    def shown(self) -> Dict:
        """What `eventsim info` shows of it: name of a field -> a number, text, list or mapping of these. Every
        field that is given, but weights and the shape, which stand beside."""
        names = [item.name for item in fields(self) if item.name not in self.unshown_fields]
        values = {name: getattr(self, name) for name in names}
        plain = {name: plain_field(value) for name, value in values.items() if value is not None}
        ranges = [name for name, value in plain.items() if isinstance(values[name], np.ndarray) and
                  isinstance(value, str)]  # the last ones: most are trained
        return {name: plain[name] for name in (*(name for name in plain if name not in ranges), *ranges)}

    @property
    def own_shape(self) -> Optional[Shape]:
        """Shape of the output where its own parameters say it, whatever arrives; else None."""
        return None

    def output_shape(self, shape: Shape) -> Shape:
        """Shape of the output for an input of `shape`. Raises ModelError where it does not fit."""
        return input_shape(shape, ANY_SHAPE, 1, 2, 3)

    def joined_shape(self, shapes) -> Shape:
        """Shape of the output of a node that joins, for inputs of several shapes, in the order of its edges."""
        return shapes[0]

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


def label_of(name, node) -> str:
    """How messages name a node: node 'conv1' (Conv2d)."""
    return f"node {name!r} ({node.kind})"


def is_default(node, key) -> bool:
    """Whether a setting that a node shows is what it would be if nobody had given it."""
    parameter = inspect.signature(type(node)).parameters.get(key)
    return parameter is not None and parameter.default is not inspect.Parameter.empty and (
        node.shown().get(key) == _shown_default(node, key, parameter.default))


def _shown_default(node, key, default):
    """A default as `shown` writes it: a number for all axes is a list where the setting is one."""
    value = node.shown()[key]
    for_all_axes = isinstance(value, list) and not isinstance(default, (list, tuple))
    return [default] * len(value) if for_all_axes else default


def setting_text(value) -> str:
    """A setting as text shows it: a list as its values with x between them, a mapping as its members."""
    if isinstance(value, dict):
        return f"({', '.join(f'{name} {setting_text(member)}' for name, member in value.items())})"
    return "x".join(map(str, value)) if isinstance(value, list) else str(value)


def plain_field(value):
    """A field as a number, text, list or mapping; of an array that is not constant, its range."""
    if isinstance(value, np.ndarray):
        if value.size and (value == value.flat[0]).all():
            return value.flat[0].item()
        return f"{value.min():.4g} to {value.max():.4g}" if value.size else []
    if is_dataclass(value):
        return {item.name: plain_field(getattr(value, item.name)) for item in fields(value)}
    return list(value) if isinstance(value, tuple) else value


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
