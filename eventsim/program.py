"""Program: what the Simulator runs, as plain, read-only arrays that are laid out as kernels take them.

`lower` makes it from a Model for one precision; nothing ever writes to it, so threads share it.
What changes while it runs lives in a `State`.
"""

from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Dict, List, Optional, Tuple, Union

import numpy as np

from eventsim.display.card import Card, MOST_ROWS, Shown, times
from eventsim.equality import FrozenByValue
from eventsim.kernels.arguments import Geometry, Update
from eventsim.model.chip import Chip
from eventsim.model.node import Node
from eventsim.storage.fingerprints import fingerprint_of
from eventsim.text import many, NONE

DERIVED = ("fan_out", "products", "density", "by_events")  # fields of stages and paths that say nothing new


@dataclass(frozen=True, eq=False)
class FanOut(FrozenByValue):
    """How many synapses an event of a path's source has.

    per_position: int64 (positions,), targets of one event (padding is none). per_word: the same,
        repeated for the words of a position.
    total: synapses of the path, all inputs together.
    classes: int32 (positions,), positions whose events meet the same kernel taps share a class;
    nonzero: int64 (classes, channels), targets over weights that are not 0 in the run's type. Both None where no
        weight is 0: per_position says it all.
    """

    per_position: np.ndarray
    per_word: np.ndarray
    total: int
    classes: Optional[np.ndarray] = None
    nonzero: Optional[np.ndarray] = None

    @cached_property
    def zero_weights(self) -> np.ndarray:
        """uint64 (bits, positions * words): targets over weights that are 0, from the top bit on, one bit of a
        word for each channel of a position. Of no bits where no weight is 0."""
        if self.nonzero is None:
            return np.zeros((0, self.per_word.size), np.uint64)
        _, first = np.unique(self.classes, return_index=True)  # of each class a position
        zeros = self.per_position[first, None] - self.nonzero
        n_bits, n_classes = int(zeros.max()).bit_length(), len(zeros)
        words = self.per_word.size // self.per_position.size
        channels = np.zeros((n_bits, n_classes, words * 64), np.uint8)
        for b in range(n_bits):
            channels[n_bits - 1 - b, :, : zeros.shape[1]] = zeros >> b & 1
        of_classes = np.packbits(channels, axis=2, bitorder="little").view(np.uint64)
        return of_classes[:, self.classes].reshape(n_bits, self.per_word.size)


@dataclass(frozen=True, eq=False)
class Attention(FrozenByValue):
    """Channel attention of one path, in float64 (see the node's docstring).

    node: of role "attention". scale: (in,) value of a level. weight: (out, in) of P, or None for the identity.
    amplitude: (out,) of the identity in the run's unit before rounding, or None.
    """

    node: Node
    scale: np.ndarray
    weight: Optional[np.ndarray]
    amplitude: Optional[np.ndarray]


# methods of paths whose kernels read sorted events -> the order of these
EVENTS = {"gather": "by row", "pairs": "by row", "attended": "by row",
          "slide": "by column", "slide_pairs": "by column"}


@dataclass(frozen=True, eq=False)
class Synapses(FrozenByValue):
    """One path: where its spikes come from, and the weights in the layout of its kernel.

    method: how its rows are summed, see `lowering.methods`.
    ranges: int64 (tiles, 3): first group, one past the last group, first channel of each tile.
    density: share of set bits of the source on the model's check samples, or None.
    by_events: of "slide_tables", the same path as it runs where nobody knows that its spikes are dense.
    """

    source: str
    delay: int
    method: str
    weight: np.ndarray
    ranges: np.ndarray
    geometry: Geometry
    fan_out: FanOut
    attention: Optional[Attention] = None
    density: Optional[float] = None
    by_events: Optional["Synapses"] = None

    @property
    def events(self) -> str:
        """How the events are sorted that its kernel reads: "by row", "by column", or "" where it reads none."""
        return EVENTS.get(self.method, "")


@dataclass(frozen=True, eq=False)
class PooledSums(FrozenByValue):
    """A path that gives the largest sums under the windows of `geometry`, a pool's, whose input map is theirs.

    paths: what is summed, one path after another as into a membrane. biases: (first step, F array [1 or
        position, padded channel]), added to the sums from that step on.
    signs: F (padded channels,), below 0 where a channel takes the largest sum away.
    """

    paths: Tuple[Union[Synapses, "PooledSums"], ...]
    biases: Tuple[Tuple[int, np.ndarray], ...]
    signs: np.ndarray
    geometry: Geometry

    method = "pooled"

    @cached_property
    def depth(self) -> int:
        """Pools one behind another, up to this one."""
        return 1 + max((path.depth for path in pools_of(self.paths)), default=0)


def pools_of(paths) -> Tuple[PooledSums, ...]:
    """Return the pools among some paths; those before other pools, too."""
    pools = ()
    for path in paths:
        if isinstance(path, PooledSums):
            pools += (path, *pools_of(path.paths))
    return pools


def synapses_of(paths) -> Tuple[Synapses, ...]:
    """Return the synapses of some paths, in the order in which they are added; those before pools, too."""
    synapses = ()
    for path in paths:
        synapses += synapses_of(path.paths) if isinstance(path, PooledSums) else (path,)
    return synapses


@dataclass(frozen=True)
class ConstantChange:
    """A constant of a layer that integers change by much: see `lowering.changes`.

    before, after: where it changes most, in the model's units. number, of: how many of the layer's neurons. What a
    file does not have is None.
    """

    before: Optional[float] = None
    after: Optional[float] = None
    number: Optional[int] = None
    of: Optional[int] = None

    def as_text(self, name, layer) -> str:
        """Return the change in words, of a constant and a layer of these names."""
        of = f" of {self.number} of {self.of} neurons" if (self.of or 0) > 1 else ""
        before, after = (NONE if value is None else f"{value:.6g}" for value in (self.before, self.after))
        return f"the {name}{of} of {layer} from {before} to {after}"


@dataclass(frozen=True)
class Rounding:
    """What fixed point changed in one layer.

    scale: smallest and largest number of integer steps per membrane unit (D / quantum). weight_bits: 8 or 16.
    n_weights: synaptic weights; n_zeroed: those that became 0; n_clipped: those that a chip cuts off; n_left:
    those that are not 0. weight_error: largest absolute rounding error of a weight, in units of the membrane.
    constants: name -> ConstantChange of those constants that became other numbers, see `lowering.changes`. later:
    name -> (steps, ConstantChange) of those that are other numbers in runs of so many steps or more, though not in
    the model's.
    """

    scale: Tuple[float, float]
    weight_bits: int
    n_weights: int
    n_zeroed: int
    n_clipped: int
    weight_error: float
    n_left: int
    constants: Dict[str, ConstantChange] = field(default_factory=dict)
    later: Dict[str, Tuple[int, ConstantChange]] = field(default_factory=dict)

    def changed_in(self, steps) -> Dict[str, ConstantChange]:
        """Return name -> ConstantChange of the constants that are other numbers in a run of so many steps."""
        later = {name: change for name, (first, change) in self.later.items() if first <= steps}
        return {**self.constants, **later}


@dataclass(frozen=True, eq=False)
class Stage(FrozenByValue):
    """What every unit of a program has.

    shape: (C, H, W) as held. logical_shape: as the model has it. bits: planes of one sign. max_level: the
    highest level, of either sign, that it sends.
    """

    name: str
    shape: Tuple[int, int, int]
    logical_shape: Tuple[int, ...]
    bits: int
    signed: bool
    max_level: int

    @property
    def positions(self):
        return self.shape[1] * self.shape[2]

    @property
    def n_neurons(self):
        return self.shape[0] * self.positions

    @property
    def n_planes(self):
        return self.bits * (2 if self.signed else 1)

    @property
    def words(self):
        return (self.shape[0] + 63) // 64

    @property
    def reduce(self):
        """How an output sums up its steps, of a readout; "" where it spikes."""
        return ""


@dataclass(frozen=True, eq=False)
class InputStage(Stage):
    """Where samples enter. node: of role "input"."""

    node: Node

    @property
    def real(self):
        return self.node.encoding == "real"


@dataclass(frozen=True, eq=False)
class WordStage(Stage):
    """A word operation on spikes.

    operation: "sum", "max", "spread", "concat", "flatten" or "delay". sources: (name, delay) of each train it
    reads. window: int64 (6,): kernel, stride, padding, (y, x) each; 1, 1, 1, 1, 0, 0 adds trains. masks: of
    "delay", uint64 (positions * words,) per source: the neurons taken from it.
    """

    operation: str
    sources: Tuple[Tuple[str, int], ...]
    window: np.ndarray
    masks: Tuple[np.ndarray, ...] = ()


@dataclass(frozen=True, eq=False)
class LayerStage(Stage):
    """Neurons or a readout with the paths that lead into it.

    lanes: of its kernels. paths: in the order in which they are summed. update: parameters, with the bias of
        step 0.
    biases: (first step, F array): the bias from that step on, in order of the steps.
    steps_per_unit: float64 (C,), integer steps of the state per membrane unit; ones in floats.
    reduce: of a readout, "" for neurons. products: multiplications per step in neuron updates.
    """

    lanes: int
    paths: Tuple[Union[Synapses, PooledSums], ...]
    update: Update
    biases: Tuple[Tuple[int, np.ndarray], ...]
    steps_per_unit: np.ndarray
    reduce: str = ""
    products: int = 0

    @cached_property
    def steps_per_channel(self):
        """`steps_per_unit` of the channels of `logical_shape`; read-only, as all recordings share it."""
        steps = np.repeat(self.steps_per_unit, self.logical_shape[0] // self.shape[0])
        steps.setflags(write=False)
        return steps

    @cached_property
    def synapses(self) -> Tuple[Synapses, ...]:
        """The synapses of all paths; those before pools, too."""
        return synapses_of(self.paths)

    @cached_property
    def pools(self) -> Tuple[PooledSums, ...]:
        """The pools of all paths; those before other pools, too."""
        return pools_of(self.paths)

    @cached_property
    def bias_steps(self):
        """Steps from which on another bias is added somewhere."""
        return sorted({step for part in (self, *self.pools) for step, _ in part.biases})

    @property
    def padded(self):
        return -(-self.shape[0] // self.lanes) * self.lanes


@dataclass(frozen=True, eq=False)
class StageGroup(FrozenByValue):
    """Stages that run over all steps one after another, or, recurrent, step by step together."""

    stages: Tuple[Stage, ...]
    recurrent: bool


@dataclass(frozen=True, repr=False, eq=False)
class Program(FrozenByValue, Shown):
    """A model lowered to one precision.

    precision: "float32", "float64", "int8" or, under a chip, "fixed". dtype: of membranes.
    chip: the chip's arithmetic, or None.
    history: per stage, how many past steps its delayed readers need.
    safe_steps: steps from zero state that are proved free of integer overflow, None: any number.
    rounding: per layer, for integers.
    """

    precision: str
    dtype: np.dtype
    groups: Tuple[StageGroup, ...]
    history: Dict[str, int]
    input: str
    output: str
    safe_steps: Optional[int] = None
    rounding: Dict[str, Rounding] = field(default_factory=dict)
    chip: Optional[Chip] = None

    def card(self) -> Card:
        """Return its first stages and how their sums are made."""
        stages = list(self.stages.values())
        rows = [(stage.name, getattr(stage, "operation", "input" if isinstance(stage, InputStage) else "layer"),
                 times(stage.logical_shape), stage.bits or NONE, _paths_text(stage))
                for stage in stages[:MOST_ROWS]]
        facts = [("precision", self.precision), ("membranes", self.dtype), ("input", repr(self.input)),
                 ("output", repr(self.output)), ("chip", None if self.chip is None else self.chip.name),
                 ("steps without overflow", "any" if self.safe_steps is None else self.safe_steps),
                 ("recurrent groups", sum(group.recurrent for group in self.groups))]
        return Card(f"Program({many(len(stages), 'stage')}, {self.precision})",
                    [(name, value) for name, value in facts if value is not None],
                    ("stage", "what it is", "shape", "bits", "paths"), rows, len(stages))

    @cached_property
    def stages(self) -> Dict[str, Stage]:
        """The stages by name, in the order in which they run."""
        return {stage.name: stage for group in self.groups for stage in group.stages}

    @cached_property
    def layers(self) -> List[Stage]:
        """The rows of a report: input, neurons, readout."""
        return [stage for stage in self.stages.values() if not isinstance(stage, WordStage)]

    @cached_property
    def neurons(self) -> Dict[str, int]:
        """How many neurons each layer of a report has, by name."""
        return {layer.name: layer.n_neurons for layer in self.layers}

    @cached_property
    def fingerprint(self) -> str:
        """The fingerprint of what is computed, to the bit: precision, structure and constants. It is the same for
        a model that is loaded again, and whatever a model says besides: its steps, its classes, its check samples,
        how files become levels.
        """
        groups = [(group.recurrent, list(map(_fingerprinted, group.stages))) for group in self.groups]
        return fingerprint_of((self.precision, self.dtype, self.input, self.output, self.history, groups))

    @cached_property
    def bias_steps(self) -> Tuple[int, ...]:
        """Steps from which on another bias is added somewhere."""
        return tuple(sorted({step for layer in self.layers if isinstance(layer, LayerStage)
                             for step in layer.bias_steps}))


def _fingerprinted(part):
    """Return what a fingerprint says of a stage, or of a path of one."""
    part = getattr(part, "by_events", None) or part  # check samples do not change what is computed
    values = {entry.name: getattr(part, entry.name) for entry in fields(part) if entry.name not in DERIVED}
    if "paths" in values:
        values["paths"] = list(map(_fingerprinted, part.paths))
    if isinstance(part, InputStage):
        values["node"] = part.node.encoding  # all else of it says how files become levels, or is in the constants
    return type(part).__name__, values


def _paths_text(stage):
    """Return where a stage reads, and how its kernel sums: `conv1 by gather`."""
    if isinstance(stage, WordStage):
        return ", ".join(name for name, _ in stage.sources[:4])
    paths = stage.synapses[:4] if isinstance(stage, LayerStage) else ()
    return ", ".join(f"{path.source} by {path.method}" for path in paths)
