"""Recording: what a run gave, by the names of the model's nodes, and the file that keeps it.

The file is HDF5, one row per sample on the first axis of every dataset:

    /format "eventsim-recording", /version 1, /precision, /timesteps, /summary (JSON of the run)
    /output (N, classes), /predictions (N,), /y (N,) where there were labels
    /outputs (N, T, classes)                            where recorded
    /lengths (N,), steps of each sample                 where they are not all the same
    /counts/<layer>/<count> int64 (N,), /word_operations int64 (N,), /neurons/<layer>
    /spikes/<node>/planes uint64 (N, T, planes, positions, words), with attributes shape,
        logical_shape, bits, signed; see `spikes`
    /currents/<node>, /potentials/<node>, /residuals/<node> (N, T, *shape)
    /steps_per_unit/<node> (C,): integer steps of these per unit of the membrane, ones for floats
    /layers (JSON): names of the counted layers, in order
    /statistics/trains/<node>/<field>, /statistics/membranes/<layer>/<field>,
    /statistics/decisions/<field>: where gathered; fields of the classes in `statistics`

`runs.file.open_run` reads it back.
"""

from dataclasses import dataclass
from functools import partial
from typing import Dict, Optional, Tuple, Union

import numpy as np

from eventsim.arguments import shown
from eventsim.display.card import Card, MOST_ROWS, Shown
from eventsim.engine.context import RunContext
from eventsim.engine.recorded_node import NodeSource, RecordedNode
from eventsim.engine.state import NoState, State
from eventsim.engine.timing import Timing
from eventsim.equality import ByValue
from eventsim.errors import RunError
from eventsim.merging import merged
from eventsim.spikes import Spikes
from eventsim.statistics.counts import Counts
from eventsim.statistics.decisions import class_numbers, warn_of_unknown
from eventsim.statistics.ranges import LayerAudit
from eventsim.statistics.result import Statistics
from eventsim.text import listed, many, NONE, number, quantity

TRACES = ("currents", "potentials", "residuals")


@dataclass(repr=False, eq=False)
class Recording(ByValue, Shown):
    """The result of `Simulator.run` for N samples and T steps; `recording["name"]` is one node of it. Two are
    equal where all but the seconds is.

    precision, timesteps, seconds (spent simulating). counts: always there, see `statistics.counts`.
    output: (N, classes), the answer after the last step: float32 or float64 as the run computes,
        float64 for integers (in the model's unit) and for models that end in spikes (summed levels).
    outputs: (N, T, classes), the answer had the run stopped after each step; only if recorded.
    state: to continue the same samples with `run(..., state=...)`. Where the run leaves none (with lengths, of
        `iterate`, of a stream's window) a `NoState`, which counts as false and which `run` refuses.
    steps_per_unit: per layer float64 (C,), integer steps of the traces per membrane unit; ones
        where the run computes in floats.
    audit: per layer an `statistics.ranges.LayerAudit`, only if recorded.
    statistics: `statistics.Statistics` gathered while it ran, or None.
    timing: where the seconds went, see `engine.timing.Timing`: by layer only if "timing" was recorded.
    context: the model and the arithmetic that it was made with, or None.
    lengths: int64 (N,), the steps of each sample where they were given, `timesteps` being the most; else None.
        After a sample's end spikes and traces are 0, `outputs` stay, and nothing is counted.

    >>> import eventsim, numpy as np
    >>> model = eventsim.Model({"in": eventsim.Input((4,)), "n": eventsim.Neuron()}, [("in", "n")])
    >>> recording = eventsim.Simulator(model).run(np.eye(4, dtype=int), timesteps=3, record=("spikes", "outputs"))
    >>> recording.predictions.tolist()
    [0, 1, 2, 3]
    >>> recording.levels("n").shape, recording.levels("n").dtype
    ((4, 3, 4), dtype('uint8'))
    >>> recording.outputs[0].tolist()  # levels summed so far, after each step
    [[1.0, 0.0, 0.0, 0.0], [2.0, 0.0, 0.0, 0.0], [3.0, 0.0, 0.0, 0.0]]
    >>> recording.counts.total("events")
    24
    """

    precision: str = merged("same")
    timesteps: int = merged(samples="same", steps="sum")
    output: np.ndarray = merged(samples="concatenate", steps="last")
    counts: Counts = merged("merge")
    spikes: Dict[str, Spikes] = merged("merge", default_factory=dict)
    traces: Dict[str, Dict[str, np.ndarray]] = merged("concatenate", default_factory=dict)
    answers: Optional[np.ndarray] = merged("concatenate", default=None)
    state: Union[State, NoState, None] = merged(samples="merge", steps="last", default=None)
    seconds: float = merged("sum", default=0.0, compare=False)
    steps_per_unit: Dict[str, np.ndarray] = merged("same", default_factory=dict)
    audit: Optional[Dict[str, LayerAudit]] = merged("merge", lacking="none", default=None)
    statistics: Optional[Statistics] = merged("merge", default=None)
    timing: Optional[Timing] = merged("merge", lacking="other", default=None, compare=False)
    context: Optional[RunContext] = merged("same", default=None)
    lengths: Optional[np.ndarray] = merged(samples="concatenate", steps="last", default=None)

    @property
    def predictions(self) -> np.ndarray:
        """The class of each sample, int64 (N,): that of the largest output; ties go to the lowest index."""
        return self.output.argmax(axis=1)

    @property
    def outputs(self) -> np.ndarray:
        """The answer had the run stopped after each step, (N, T, classes), of the dtype of `output`. Raises
        RunError if "outputs" was not recorded."""
        if self.answers is None:
            raise RunError('outputs were not recorded; run with record=("outputs",)')
        return self.answers

    def levels(self, name: str) -> np.ndarray:
        """The levels that a node sent, (N, T, *shape): uint8, uint16 or uint32, the narrowest that holds its bits;
        int32 where they may be negative. Raises RunError if not recorded."""
        return self._recorded(self.spikes, name, "spikes").levels()

    def currents(self, name: str) -> np.ndarray:
        """I, what reached the membrane: the synaptic current, or, where a neuron has none, its summed
        input. Shape, dtype and errors as of `potentials`."""
        return self._recorded(self.traces.get("currents", {}), name, "currents")

    def potentials(self, name: str) -> np.ndarray:
        """H, the membrane before the reset: (N, T, *shape) float32, float64 or, for integers, int32 in
        steps of the layer's fixed point (`steps_per_unit`). Raises RunError if not recorded."""
        return self._recorded(self.traces.get("potentials", {}), name, "potentials")

    def residuals(self, name: str) -> np.ndarray:
        """U, the membrane after the reset (snnTorch `mem`, SpikingJelly `v`). Shape, dtype and errors as of
        `potentials`."""
        return self._recorded(self.traces.get("residuals", {}), name, "residuals")

    def accuracy(self, labels) -> float:
        """The share of the samples whose prediction equals the label. labels: whole numbers (N,). Raises DataError
        for others, and warns of those that are no class."""
        labels = class_numbers(labels, len(self.predictions))
        warn_of_unknown(labels, self.output.shape[1])
        return float((self.predictions == labels).mean())

    @property
    def nodes(self) -> Tuple[str, ...]:
        """The names of the nodes of which anything was recorded or counted, in the model's order."""
        names = dict.fromkeys((*self.counts.layers, *self.spikes,
                               *(name for arrays in self.traces.values() for name in arrays)))
        order = () if self.context is None else self.context.model.nodes
        return tuple(sorted(names, key=list(order).index) if set(names) <= set(order) else names)

    def __getitem__(self, name) -> RecordedNode:
        """Return what was recorded of one node. Raises RunError, naming those that there are, for others."""
        if name not in self:
            raise RunError(f"nothing of {shown(name)} in this recording; there are: {listed(self.nodes)}")
        nodes = {} if self.context is None else self.context.model.nodes
        kinds = [kind for kind in TRACES if name in self.traces.get(kind, {})]
        return RecordedNode(name, NodeSource(
            partial(self._spikes_of, name), partial(self._trace, name), partial(self._statistics_of, name),
            self.counts.layers.get(name, {}), ("spikes",) * (name in self.spikes) + tuple(kinds),
            len(self.output), self.timesteps, self.counts.neurons.get(name),
            silent=name in nodes and nodes[name].role == "readout", origin=self))

    def __contains__(self, name):
        return isinstance(name, str) and name in self.nodes

    def __iter__(self):
        """Iterate over the names of `nodes`."""
        return iter(self.nodes)

    def card(self) -> Card:
        """Show the answers, what was recorded, and what the first layers did."""
        predictions = ", ".join(map(str, self.predictions[:10])) + (", ..." if len(self.output) > 10 else "")
        traces = [f"{kind} of {many(len(arrays), 'node')}" for kind, arrays in self.traces.items()]
        recorded = ", ".join([f"spikes of {many(len(self.spikes), 'node')}", *traces])
        facts = [("predictions", predictions), ("recorded", recorded), ("seconds", number(self.seconds))]
        n, layers = max(self.counts.n_samples, 1), self.counts.layers
        nodes = {} if self.context is None else self.context.model.nodes
        readouts = {name for name, node in nodes.items() if node.role == "readout"}  # which send no events
        rows = [(name, self.counts.neurons[name],
                 NONE if name in readouts else number(self.counts.firing_rate(name)),
                 *(quantity(int(layers[name][count].sum()) / n)
                   for count in ("events", "synops", "additions", "macs")))
                for name in list(layers)[:MOST_ROWS]]
        return Card(f"Recording({many(len(self.output), 'sample')}, {self.counts.steps_text}, "
                    f"{self.precision})", facts,
                    ("layer", "neurons", "firing rate", "events", "synops", "additions", "MACs"), rows,
                    len(layers), note='counts are per sample; recording["name"] is one node')

    def _spikes_of(self, name, first, stop):
        spikes = self._recorded(self.spikes, name, "spikes")
        return spikes if (first, stop) == (0, None) else spikes.of_samples(slice(first, stop))

    def _statistics_of(self, name):
        return None if self.statistics is None else self.statistics.trains.get(name)

    def _trace(self, name, kind):
        return self._recorded(self.traces.get(kind, {}), name, kind)

    def _recorded(self, arrays, name, kind):
        if not isinstance(name, str) or name not in arrays:
            recorded = ", ".join(map(repr, arrays)) or "nothing"
            raise RunError(
                f"no {kind} of {shown(name)} in this recording (there are: {recorded}); "
                f'run with record=("{kind}",) and the name of a node that has {kind}'
            )
        return arrays[name]
