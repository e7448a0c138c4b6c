"""What tracing finds: the operations that a network did, each once, however many steps it was done for."""

import hashlib
from dataclasses import dataclass, field
from typing import Dict, List, NamedTuple, Tuple

import numpy as np
import torch

from eventsim.from_torch.places import BITS


class Operand(NamedTuple):
    """What an operation reads: the number of a node, and how many steps before."""

    node: int
    delay: int = 0


class Where(NamedTuple):
    """module: path of the innermost module that ran, or "". code: "file:line" of the user's own code, or "".
    kind: the module's class."""

    module: str
    code: str
    kind: str = ""

    @property
    def of_module(self):
        """The module, for people; "" of the network itself."""
        return f"module {self.module!r} ({self.kind})" if self.module else ""

    def before(self, text) -> str:
        """Return a text with this place before it, where it is known."""
        return f"{self}: {text}" if str(self) else text

    def __str__(self):
        return ", ".join(part for part in (self.of_module, self.code) if part)


@dataclass
class Operation:
    """One operation of the network.

    kind: "input", "linear", "convolution", "conv_transpose", "affine" (scale * x + shift per channel),
        "max_pool", "avg_pool", "upsample", "module" (a stateless module with a rule), "add", "layer" (neurons),
        "state" (what neurons keep), "steps" (a weighted sum over steps) or "refused" (settings say why).
    shape: of one step of one sample, channels first. sources: what it reads.
    settings: its constants by name. where: in the user's code.
    still: whether it is the same at every step, so that its rows are samples alone.
    """

    kind: str
    shape: Tuple[int, ...]
    sources: Tuple[Operand, ...] = ()
    settings: Dict = field(default_factory=dict)
    where: Where = Where("", "")
    still: bool = False

    @property
    def size(self) -> int:
        """Elements of one step of one sample."""
        return int(np.prod(self.shape, dtype=np.int64))


class OperationGraph:
    """Operations by number, in the order in which they were first done.

    The same operation on the same sources is one node, so that the passes of a loop over steps meet.
    """

    def __init__(self):
        self.nodes: List[Operation] = []
        self._numbers = {}

    def add(self, operation, key=None) -> int:
        """Number of an operation; of the earlier one if it was done before. key: what tells it from others
        (by default its kind, sources and settings)."""
        key = key or (operation.kind, operation.shape, operation.sources, fingerprint(operation.settings))
        if key not in self._numbers:
            self._numbers[key] = len(self.nodes)
            self.nodes.append(operation)
        return self._numbers[key]

    def first_place(self, number) -> int:
        """Place of the first element of a node in row 0."""
        return number << BITS


def fingerprint(value):
    """Something hashable that two settings share exactly if they are equal."""
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().numpy()
    if isinstance(value, np.ndarray):
        return value.shape, str(value.dtype), hashlib.sha1(np.ascontiguousarray(value).tobytes()).hexdigest()
    if isinstance(value, dict):
        return tuple((name, fingerprint(value[name])) for name in sorted(value))
    if isinstance(value, (list, tuple)):
        return tuple(map(fingerprint, value))
    return value if type(value).__hash__ else type(value).__name__  # a NeuronLayer: its module tells it apart
