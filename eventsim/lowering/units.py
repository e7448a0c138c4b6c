"""Units: what a model's graph is folded into, in float64, before a precision is chosen."""

from dataclasses import dataclass, field
from typing import List, Optional, Tuple

import numpy as np

from eventsim.lowering.linear import MapShape, Path, Term, Train
from eventsim.model.node import Node


@dataclass
class Unit:
    """Something that runs: an input, a word operation on spikes, or a layer of neurons.

    kind: "input", "sum", "max", "add", "flatten", "delay" or "layer".
    shape: (C, H, W) as it is held; logical_shape: as the Model has it.
    max_level, signed: range of the levels it emits. A layer that only reads out emits none.
    trains: what a word operation reads. paths, terms: what a layer reads.
    window: kernel, stride, padding of a pool.
    masks: of a "delay", bool (C, H, W) per train: the neurons that it delays.
    gain: float64 (C, H, W), the part of a layer's input gain that could not be folded, or None.
    drive: float64 (C, H, W), what is added to the membrane past the input, or None.
    """

    name: str
    kind: str
    node: Node
    shape: MapShape
    logical_shape: Tuple[int, ...]
    max_level: int = 0
    signed: bool = False
    real: bool = False
    trains: List[Train] = field(default_factory=list)
    window: Tuple = ()
    paths: List[Path] = field(default_factory=list)
    terms: List[Term] = field(default_factory=list)
    masks: List[np.ndarray] = field(default_factory=list)
    gain: Optional[np.ndarray] = None
    drive: Optional[np.ndarray] = None

    @property
    def n_bits(self):
        """Planes per sign."""
        return int(self.max_level).bit_length()


@dataclass
class Group:
    """Units that run together: `recurrent` ones step by step, others all steps at once."""

    units: List[Unit]
    recurrent: bool
