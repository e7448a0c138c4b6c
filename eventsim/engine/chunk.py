"""Chunk: what one chunk of steps gave, and the setting in which it was run."""

from dataclasses import dataclass
from functools import cached_property
from typing import Dict, FrozenSet, Iterable, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from eventsim.engine.memory import ChunkTrain
from eventsim.statistics.observing import TrainObserver


class Span(NamedTuple):
    """Some steps of a chunk."""

    start: int
    steps: int


class Setting(NamedTuple):
    """What a plan is made for, beside a Program.

    samples: of a block. steps: of a chunk. still: whether the input's only step stands for all. fresh: whether
        nothing was run before. keeps: whether membranes are wanted after the chunk, by the next one or in a
        State. bias_step: the step since which no bias has changed.
    traces: (layer, kind) of what is traced; kind as in `Traces`. planes: stages whose planes are wanted.
    each_step: whether answers are wanted after each step, or after the last only. octets: whether levels come as
        uint8. sums: whether statistics sum the trains of all layers, which are whole in this chunk.
    """

    samples: int
    steps: int
    still: bool
    fresh: bool
    keeps: bool
    bias_step: int
    traces: FrozenSet[Tuple[str, str]]
    planes: FrozenSet[str]
    each_step: bool
    octets: bool
    sums: bool


class Traces(NamedTuple):
    """What was traced of each layer: F (n, steps, positions, padded channels); audit: F (n, 9, padded
    channels), see `kernels.firing`."""

    currents: Dict[str, np.ndarray]
    potentials: Dict[str, np.ndarray]
    residuals: Dict[str, np.ndarray]
    audit: Dict[str, np.ndarray]


@dataclass(frozen=True)
class Trains:
    """What stages sent in one chunk.

    n_samples, steps: of the chunk. sent: stage -> ChunkTrain, of those whose planes were wanted. real: values of
    a real-valued input, F (n, slots, positions, channels) after as many past steps as its readers need, else
    None. still_input: whether the input's only step stands for all.
    """

    n_samples: int
    steps: int
    sent: Dict[str, ChunkTrain]
    real: Optional[np.ndarray]
    still_input: bool

    def real_values(self, delay, span: Span):
        """Return real input as a reader with a delay takes it: F (n, steps or 1, positions, channels)."""
        if self.still_input:
            return self.real
        first = first_slot(self.real, self.steps, delay, span)
        return self.real[:, first : first + span.steps]


def first_slot(real, steps, delay, span: Span) -> int:
    """Return the slot of a real input with which some steps begin, for a reader with a delay. real: (n, slots,
    ...), the last `steps` of which are the chunk's."""
    return real.shape[1] - steps - delay + span.start


@dataclass(eq=False)
class Chunk:
    """What one chunk of steps gave.

    n_samples, steps: of the chunk. still_input: whether the input's only step stands for all. names: (kind, what)
    of the arrays that its plan kept, which are in `arrays`. sent: stage -> ChunkTrain of a block, whose planes are
    those of the chunk only where they were kept. sums: layer -> TrainObserver, what statistics summed, one for
    each plan that ran: until this thread runs its next chunk.
    """

    n_samples: int
    steps: int
    still_input: bool
    names: Iterable[Tuple[str, str]]
    arrays: Dict[Tuple[str, str], np.ndarray]
    sent: Dict[str, ChunkTrain]
    sums: Sequence[Dict[str, TrainObserver]] = ()

    @cached_property
    def trains(self) -> Trains:
        """What was sent, put together when it is first asked for."""
        sent, real = dict(self.sent), None
        for kind, name in self.names:
            if kind == "planes":
                sent[name] = ChunkTrain(self.arrays[kind, name], sent[name].first, sent[name].still)
            elif kind == "real":
                real = self.arrays[kind, name]
        return Trains(self.n_samples, self.steps, sent, real, self.still_input)

    @cached_property
    def traces(self) -> Traces:
        """What was traced, put together when it is first asked for."""
        traces = Traces({}, {}, {}, {})
        for kind, name in self.names:
            if kind in Traces._fields:
                getattr(traces, kind)[name] = self.arrays[kind, name]
        return traces
