"""Chunk: what one chunk of steps of a block of samples gave; and what is at hand while it is run."""

from dataclasses import dataclass, field
from typing import Dict, NamedTuple, Optional

import numpy as np

from eventsim.engine.state import State
from eventsim.engine.workspace import ChunkTrain, slots_of, Workspace
from eventsim.kernels import counting
from eventsim.kernels.arguments import Events
from eventsim.program import Program, Stage


class Span(NamedTuple):
    """Some steps of a chunk."""

    start: int
    steps: int


class Trains:
    """What all stages send in one chunk: views into the workspace, valid until the next chunk.

    n_samples, steps: of the chunk. sent: stage -> ChunkTrain. real: values of a real-valued input, F (n, slots,
    positions, channels) after as many past steps as its readers need, else None. still_input: whether the
    input's only step stands for all.
    """

    def __init__(self, stages: Dict[str, Stage], workspace: Workspace, n_samples: int, steps: int):
        self.stages, self.workspace = stages, workspace
        self.n_samples, self.steps = n_samples, steps
        self.sent: Dict[str, ChunkTrain] = {}
        self.real: Optional[np.ndarray] = None
        self.still_input = False
        self._popcounts = {}

    def real_values(self, delay, span: Span):
        """Real input as a reader with a delay takes it: F (n, steps or 1, positions, channels)."""
        if self.still_input:
            return self.real
        first = self.real.shape[1] - self.steps - delay + span.start
        return self.real[:, first : first + span.steps]

    def popcounts(self, name, first, steps, fan_out=None):
        """int64 (n, 5) of some slots of a stage's train: events, set bits, sum of |level|, and events and set
        bits times fan-out (any, where fan_out is None), counted once for all who ask for the same slots."""
        known = self._popcounts.setdefault((name, first, steps), [])
        for other, counts in known:
            if fan_out is None or other is fan_out:
                return counts
        stage, train = self.stages[name], self.sent[name]
        fan = np.ones(stage.positions * stage.words, np.int64) if fan_out is None else fan_out.per_word
        counts = np.zeros((self.n_samples, 5), np.int64)
        counting.count_words(train.planes.reshape(-1), fan, counts, slots_of(stage, train, first, steps))
        known.append((fan_out, counts))
        return counts

    def class_counts(self, name, first, steps, fan_out):
        """int64 (n, classes, channels): events of some slots at the positions of each class of the fan-out."""
        stage, train = self.stages[name], self.sent[name]
        counts = np.zeros((self.n_samples, fan_out.nonzero.shape[0], stage.words * 64), np.int32)
        scratch = self.workspace.take("bytes", 64, np.int8)
        counting.count_channels(train.planes.reshape(-1), fan_out.members, fan_out.bounds, scratch, counts,
                                slots_of(stage, train, first, steps))
        return counts[:, :, : stage.shape[0]].astype(np.int64)


class Traces(NamedTuple):
    """What was traced of each layer: F (n, steps, positions, padded channels); audit: F (n, 9, padded
    channels), see `kernels.firing`."""

    currents: Dict[str, np.ndarray]
    potentials: Dict[str, np.ndarray]
    residuals: Dict[str, np.ndarray]
    audit: Dict[str, np.ndarray]


@dataclass(frozen=True)
class Chunk:
    """What one chunk of steps gave. answers: (n, steps, classes), the answer after each step."""

    trains: Trains
    traces: Traces
    answers: np.ndarray

    @property
    def steps(self) -> int:
        """Steps of the chunk."""
        return self.trains.steps


@dataclass(frozen=True)
class Block:
    """A block of samples that a thread runs, chunk by chunk.

    traces: layer -> set of "currents", "potentials", "residuals". keeps: whether membranes are wanted after
    a chunk, by the next one or in a State. audits: whether to note the ranges of what a layer adds up.
    """

    program: Program
    workspace: Workspace
    n_samples: int
    traces: Dict[str, set] = field(default_factory=dict)
    keeps: bool = True
    audits: bool = False


@dataclass(frozen=True)
class Work:
    """One chunk while it is being run. fresh: nothing was run before. events: those that paths share."""

    block: Block
    state: State
    trains: Trains
    traces: Traces
    fresh: bool
    events: Dict[tuple, Events] = field(default_factory=dict)
