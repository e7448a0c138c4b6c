"""Units: a model's graph is folded into them, in float64, before a precision is chosen."""

from dataclasses import dataclass, field
from typing import Callable, Dict, List, Optional, Tuple, Union

import numpy as np

from eventsim.errors import UnsupportedError
from eventsim.lowering.linear import Current, map_shape, MapShape, Maximum, Path, synaptic, Term, Train, UNEQUAL
from eventsim.model.chip import Chip
from eventsim.model.network import Model
from eventsim.model.node import label_of, Node
from eventsim.model.parameters import parameter_on

MAX_PLANES = 31  # of one sign: signed levels are given as int32, see `spikes`


@dataclass
class Unit:
    """Something that runs: an input, a word operation on spikes, or a layer of neurons.

    kind: "input", "sum", "max", "add", "spread", "concat", "flatten", "delay" or "layer".
    shape: (C, H, W) as it is held; logical_shape: as the Model has it.
    max_level, signed: range of the levels it emits. A layer that only reads out emits none.
    trains: what a word operation reads. paths, terms: what a layer reads.
    window: kernel, stride, padding of a pool.
    masks: of a "delay", bool (C, H, W) per train: the neurons that it delays.
    gain: float64 (C, H, W), the part of a layer's input gain that could not be folded, or None.
    drive: float64 (C, H, W), what is added to the membrane past the input, or None.
    density: share of the bits that it sends on the model's check samples, or None where nobody knows.
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
    paths: List[Union[Path, Maximum]] = field(default_factory=list)
    terms: List[Term] = field(default_factory=list)
    masks: List[np.ndarray] = field(default_factory=list)
    gain: Optional[np.ndarray] = None
    drive: Optional[np.ndarray] = None
    density: Optional[float] = None

    @property
    def is_image(self) -> bool:
        """Whether its levels are those of an image."""
        return self.kind == "input" and self.node.still

    @property
    def synapses(self) -> List[Path]:
        """The paths of synapses that a layer reads; those before maxima, too."""
        return synaptic(self.paths)

    @property
    def n_bits(self):
        """Planes per sign."""
        return int(self.max_level).bit_length()

    @property
    def label(self):
        """How messages name its node."""
        return label_of(self.name.partition("/")[0], self.node)

    def on_map(self, name, default=0.0):
        """Return a field of the node, or the default where it has none: float64 (C, H, W)."""
        value = getattr(self.node, name, None)
        return parameter_on(default if value is None else value, self.logical_shape, name).reshape(self.shape)

    def per_channel(self, name):
        """Return a field of the node, (C,), that is constant in each channel of the map that it is held as. Raises
        UnsupportedError where it is not."""
        rows = self.on_map(name).reshape(self.shape[0], -1)
        if (rows != rows[:, :1]).any():
            raise UnsupportedError(
                f"{self.label}: quantum or bits differ inside one channel of the flattened map; put the "
                "Flatten after this node"
            )
        return rows[:, 0].copy()


@dataclass
class Group:
    """Units that run together: `recurrent` ones step by step, others all steps at once."""

    units: List[Unit]
    recurrent: bool


class Units:
    """What is known of a model while it is folded: the units so far, and what flows along its edges.

    rules: kind of a node -> rule(units, name), which returns what the node gives: Trains or a Current.
    chip: whose arithmetic the units are for, or None. units: name -> Unit, in the order in which they were added.
    values: name -> what the node gives.
    """

    def __init__(self, model: Model, rules: Dict[str, Callable], chip: Optional[Chip] = None):
        self.model, self.rules, self.chip = model, rules, chip
        self.units: Dict[str, Unit] = {}
        self.values: Dict[str, object] = {}

    def refusal(self, name, text) -> UnsupportedError:
        """Return the error (not raised) of a node. name: of the node, or of a unit of it."""
        return UnsupportedError(f"{self.model.label(name.partition('/')[0])}: {text}")

    def check_spikes(self, name, trains, reads="reads ", takes="spikes") -> None:
        """Raise UnsupportedError where trains are not the plain spikes of one node. reads, takes: what messages
        say before what the trains are, and after it."""
        content = UNEQUAL if len(trains) != 1 else trains[0].content
        if content:
            raise self.refusal(name, f"{reads}{content}; it takes {takes}")

    def add(self, unit) -> Unit:
        """Add a unit. Raises UnsupportedError where its levels take too many bits."""
        if unit.n_bits > MAX_PLANES:
            raise UnsupportedError(
                f"{unit.label}: levels up to {unit.max_level} take {unit.n_bits} bits, expected at most "
                f"{MAX_PLANES}; sum fewer levels, or narrower ones"
            )
        self.units[unit.name] = unit
        return unit

    def held_shape(self, name) -> MapShape:
        """Return (C, H, W) in which a node's output is held; a flattened current stays a map."""
        model = self.model
        while not (model.nodes[name].pools or model.nodes[name].role == "synapses"):
            sources = [edge.source for edge in model.incoming(name)]
            currents = [source for source in sources if model.kinds[source] == "current"]
            if not currents:
                break
            name = currents[0]
        return map_shape(model.shapes[name])

    def range_of(self, name):
        """Return (max_level, signed) of a unit; a neuron's is known before its unit exists."""
        if name in self.units:
            return self.units[name].max_level, self.units[name].signed
        node = self.model.nodes[name]
        return 2**node.n_bits - 1, node.signed

    def source(self, name):
        """Return what a node with one edge reads."""
        return self.along(self.model.incoming(name)[0])

    def along(self, edge):
        """Return what arrives at the end of an edge: Trains or a Current, delayed."""
        value = self.value(edge.source)
        if not edge.delay:
            return value
        if isinstance(value, Current):
            return value.delayed(edge.delay)
        return [train.delayed(edge.delay) for train in value]

    def value(self, name):
        """Return what a node gives. It is worked out without recursion, after what the linear nodes before it
        give."""
        waiting = [name]
        while waiting:
            last = waiting[-1]
            node = self.model.nodes[last]
            before = () if node.integrates() else self.model.incoming(last)
            missing = [edge.source for edge in before if edge.source not in self.values]
            if missing:
                waiting += missing[::-1]
                continue
            waiting.pop()
            if last not in self.values:
                self.values[last] = self._rule(node)(self, last)
        return self.values[name]

    def _rule(self, node):
        if node.kind not in self.rules:
            raise UnsupportedError(
                f"{type(node).__name__} has no rule of lowering; write one with @lowers in eventsim.lowering.rules"
            )
        return self.rules[node.kind]
