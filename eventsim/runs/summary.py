"""The summary of a run: what is printed, and what a run's file keeps beside counts and statistics.

The dataclasses are the JSON of `eventsim run --json`, field by field. What a file does not have is None
or empty, since files are passed on: they may be older, damaged, or made by somebody else.
"""

import platform
import re
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Dict, Optional, Tuple

from eventsim import __version__
from eventsim.arguments import instance_of, several, width_of
from eventsim.costs.energy import assess
from eventsim.costs.energy_summary import EnergySummary
from eventsim.costs.other_tools.summary import ConventionsSummary
from eventsim.display.card import Card, Shown
from eventsim.equality import FrozenByValue
from eventsim.errors import RunError, warn
from eventsim.merging import merge
from eventsim.model.describing import describe
from eventsim.model.kinds import node_type
from eventsim.program import ConstantChange
from eventsim.runs import summary_text
from eventsim.runs.parts import checked_parts, gaps_text, without_whole
from eventsim.runs.sums import RunSums
from eventsim.statistics.counts import EXECUTED, NAMES
from eventsim.storage.json_fields import from_json, member, outside, to_json
from eventsim.text import up_to_steps


@dataclass(frozen=True)
class Totals:
    """Counts over all layers and samples (see `statistics.counts`). energy_joule: of all samples, arithmetic and
    memory, an estimate."""

    events: Optional[int] = None
    synops: Optional[int] = None
    nonzero_synops: Optional[int] = None
    additions: Optional[int] = None
    doublings: Optional[int] = None
    macs: Optional[int] = None
    multiplications: Optional[int] = None
    neuron_updates: Optional[int] = None
    dense_macs: Optional[int] = None
    executed_synops: Optional[int] = None
    executed_additions: Optional[int] = None
    executed_macs: Optional[int] = None
    word_operations: Optional[int] = None
    energy_joule: Optional[float] = None


@dataclass(frozen=True)
class LayerSummary:
    """Counts of one layer over all samples. firing_rate: events per neuron, step and sample; None of a readout,
    which sends none. mean_level: of its events, absolute; None where there were none, or they have no level."""

    name: Optional[str] = None
    neurons: Optional[int] = None
    firing_rate: Optional[float] = None
    mean_level: Optional[float] = None
    events: Optional[int] = None
    synops: Optional[int] = None
    nonzero_synops: Optional[int] = None
    additions: Optional[int] = None
    doublings: Optional[int] = None
    macs: Optional[int] = None
    multiplications: Optional[int] = None
    neuron_updates: Optional[int] = None
    dense_macs: Optional[int] = None
    executed_synops: Optional[int] = None
    executed_additions: Optional[int] = None
    executed_macs: Optional[int] = None


@dataclass(frozen=True)
class RangeSummary:
    """Where one number of a layer's neurons went, as `statistics.ranges.Range`. overflows: None where they
    are not counted."""

    lowest: Optional[int] = None
    highest: Optional[int] = None
    bits_needed: Optional[int] = None
    bits: Optional[int] = None
    overflow: Optional[str] = None
    overflows: Optional[int] = None


@dataclass(frozen=True)
class AuditSummary:
    """How far the integers of a layer went, and what became of its weights."""

    sum: RangeSummary = RangeSummary()
    current: RangeSummary = RangeSummary()
    membrane: RangeSummary = RangeSummary()
    weights: Optional[int] = None
    clipped_weights: Optional[int] = None
    zeroed_weights: Optional[int] = None


@dataclass(frozen=True)
class WeightSummary:
    """What became of a layer's weights as integers of so many bits. zeroed: those that rounding made 0; clipped:
    those beyond a chip's; left: those that are not 0. constants: what else became another number."""

    bits: Optional[int] = None
    weights: Optional[int] = None
    zeroed: Optional[int] = None
    clipped: Optional[int] = None
    left: Optional[int] = None
    constants: Optional[Dict[str, ConstantChange]] = member(absent=True)

    @property
    def lost_share(self) -> float:
        """Share of the weights that are rounded to 0 or clipped."""
        return ((self.zeroed or 0) + (self.clipped or 0)) / max(self.weights or 0, 1)

    @property
    def is_empty(self) -> bool:
        """Whether rounding has left nothing of weights that were not 0."""
        return self.left == 0 and bool(self.zeroed)


@dataclass(frozen=True)
class Made:
    """By what, where and when the run was made."""

    eventsim: Optional[str] = member(absent=True)
    python: Optional[str] = member(absent=True)
    numpy: Optional[str] = member(absent=True)
    numba: Optional[str] = member(absent=True)
    processor: Optional[str] = member(absent=True)
    date: Optional[str] = member(absent=True)
    command: Optional[str] = member(absent=True)


@dataclass(frozen=True)
class NodeSummary:
    """One node of the model, as `eventsim info` shows it."""

    name: str
    kind: str
    shape: Tuple[int, ...] = ()
    reads: Tuple[str, ...] = ()
    parameters: Optional[int] = None
    settings: Dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True, repr=False, eq=False)
class RunSummary(FrozenByValue, Shown):
    """What a run gave. Summaries of parts of a data set merge (`merge_summaries`). Two are equal where the results
    are, whatever the seconds, the workers, and when and with what they were made.

    model, data: what was run, None where it has no name. samples. timesteps: of a sample, the most where samples
    have lengths of their own. presented_steps: of all samples together, over which firing rates are.
    dropped_events: of event recordings, those after the last step. workers: threads. accuracy: share of right
    predictions, None without labels. seconds: spent simulating. totals, layers: counts. energy: an estimate.
    chip: name of the chip, or None. audit: per layer, or None. weights: of a run in integers, layer -> what became
    of its weights. not_finite: layer -> how many of its potentials were seen to be infinite or nan, "" -> samples
    whose output is; None where none was. conventions: what other tools would count, or None.
    made, nodes, class_names: what a file needs to be understood without the model.
    sums: the exact sums behind all this, None in a summary that was read from a file.

    >>> import numpy as np
    >>> import eventsim
    >>> from eventsim import Input, Model, Neuron
    >>> model = Model({"in": Input((2,)), "n": Neuron(v_threshold=1.0)}, [("in", "n")], timesteps=3)
    >>> x, y = np.array([[1, 0], [0, 1]]), np.array([0, 0])
    >>> summary = eventsim.evaluate(eventsim.Simulator(model), (x, y))
    >>> summary.accuracy, summary.timesteps, summary.totals.events
    (0.5, 3, 12)
    """

    model: Optional[str] = None
    data: Optional[str] = None
    samples: Optional[int] = None
    timesteps: Optional[int] = None
    presented_steps: Optional[int] = member(absent=True)
    dropped_events: Optional[int] = None
    precision: Optional[str] = None
    workers: Optional[int] = member(compare=False)
    accuracy: Optional[float] = None
    seconds: Optional[float] = member(compare=False)
    samples_per_second: Optional[float] = member(compare=False)
    totals: Totals = Totals()
    layers: Tuple[LayerSummary, ...] = ()
    energy: Optional[EnergySummary] = None
    chip: Optional[str] = member(absent=True, formerly="profile")
    audit: Optional[Dict[str, AuditSummary]] = member(absent=True)
    conventions: Optional[ConventionsSummary] = member(absent=True)
    weights: Optional[Dict[str, WeightSummary]] = member(absent=True)
    not_finite: Optional[Dict[str, int]] = member(absent=True)
    made: Made = member(Made(), compare=False)
    nodes: Tuple[NodeSummary, ...] = ()
    class_names: Tuple[object, ...] = ()
    sums: Optional[RunSums] = outside()

    @property
    def steps_text(self) -> str:
        """In words, how many steps a sample had."""
        steps, presented = self.timesteps or 0, self.presented_steps
        return up_to_steps(steps, presented is not None and presented < steps * (self.samples or 0))

    @property
    def saturated_messages(self) -> Dict[str, float]:
        """Layer -> share of its messages at the end of their width, of layers that send changes (SDNN) and had
        one; {} in a summary that was read from a file."""
        messages = (None if self.sums is None else self.sums.messages) or {}
        return {name: layer.n_saturated / layer.n for name, layer in messages.items() if layer.n_saturated}

    @property
    def statistics(self):
        """`Statistics` of all samples, or None where none were gathered, or the summary is from a file."""
        return None if self.sums is None else self.sums.statistics

    def to_json(self, printed=False) -> Dict:
        """Return plain values by key, as a run's file has them. printed: without made, nodes and class_names."""
        instance_of(printed, bool, "printed", "True or False")
        values = to_json(self)
        return {key: value for key, value in values.items() if not (printed and key in IN_FILES)}

    @staticmethod
    def from_json(values, path) -> "RunSummary":
        """Return the summary that `to_json` gave, also that of eventsim 0.1. path: of the file that has it.
        Raises DataError of one line, naming the file, where a value is not of its type."""
        summary = from_json(RunSummary, values, path, "summary")
        return replace(summary, layers=_defined(summary.layers, summary.nodes), totals=_with_memory(summary))

    def card(self) -> Card:
        """Show the result, and what the first layers cost."""
        return summary_text.summary_card(self)

    def as_text(self, width: Optional[int] = None) -> str:
        """Return the tables that a person reads, in lines of at most `width` characters; None: of any length."""
        return summary_text.summary_text(self, width_of(width))

    def of_node(self, name) -> Optional[NodeSummary]:
        """Return what is known of a node, None where nothing is."""
        instance_of(name, str, "name", "the name of a node")
        return next((node for node in self.nodes if node.name == name), None)


IN_FILES = ("made", "nodes", "class_names")


def summarise(sums: RunSums, command: Optional[str] = None) -> RunSummary:
    """Return the summary that exact sums give. command: what was typed to run them, or None."""
    context, counts = sums.context, sums.counts
    n, model, chip = counts.n_samples, context.model, context.chip
    energy = assess(model, counts, context.precision, sums.energy_table, context.chip, context.weight_bits)
    totals = counts.totals()
    nodes = from_json(Tuple[NodeSummary, ...], describe(model)["nodes"], "model", "nodes")
    return RunSummary(
        model=sums.model, data=sums.data, samples=n, timesteps=counts.steps,
        presented_steps=counts.presented, dropped_events=sums.dropped_events,
        precision=context.precision, workers=context.workers,
        accuracy=None if sums.n_right is None else sums.n_right / n,
        seconds=sums.seconds, samples_per_second=n / sums.seconds if sums.seconds else None,
        totals=Totals(**_counted(totals), word_operations=int(counts.word_operations.sum()),
                      energy_joule=energy.total.cost.total * n),
        layers=_defined((
            LayerSummary(name, counts.neurons[name], counts.firing_rate(name), counts.mean_level(name),
                         **_counted(counts.layer_totals(name)))
            for name in counts.layers
        ), nodes),
        energy=energy.summary(), chip=None if chip is None else chip.name,
        audit=None if sums.audit is None else {name: _audit(layer) for name, layer in sums.audit.items()},
        conventions=None if sums.conventions is None else sums.conventions.summary(),
        weights=_weights(context.rounding, counts.steps), not_finite=_not_finite(sums),
        made=_made(command), nodes=nodes, class_names=tuple(model.class_names), sums=sums,
    )


def merge_summaries(parts) -> RunSummary:
    """Return one summary of several parts of a data set, as if they had run together; `seconds` add up.

    parts: `RunSummary`s, in any order. Raises RunError where they do not belong together (parts of different
    networks, arithmetic, steps or data, of the same samples, with statistics and without), or were read from
    files, which do not keep all that is needed. Warns of samples between the parts, or before them, that are in
    none. Arrays that were run whole are taken to be different samples: they have no name.
    """
    parts = several(parts, "parts", "RunSummary objects")
    for part in parts:
        instance_of(part, RunSummary, "parts has a member that", "a RunSummary")
    if not parts or any(part.sums is None for part in parts):
        raise RunError("only summaries that `evaluate` returned can be merged, at least one; those of files lack "
                       "the exact sums")
    sums = merge(checked_parts([part.sums for part in parts]))
    gaps = gaps_text(sums) if len(parts) > 1 else ""
    if gaps:
        warn(gaps)
    return summarise(replace(sums, taken=without_whole(sums.taken)))


def _with_memory(summary):
    """Return the totals of a summary with the energy of memory, which files of older versions leave out of it."""
    energy = None if summary.energy is None else summary.energy.total.total
    if energy is None or summary.samples is None:
        return summary.totals
    return replace(summary.totals, energy_joule=energy * summary.samples)


def _defined(layers, nodes):
    """Return the layers without the firing rate of those that send no events, and without a mean level of 0.
    nodes: `NodeSummary` of the model's."""
    readouts = {node.name for node in nodes if node_type(node.kind).role == "readout"}
    return tuple(replace(layer, firing_rate=None if layer.name in readouts else layer.firing_rate,
                         mean_level=layer.mean_level or None) for layer in layers)


def _counted(totals):
    return {name: totals[name] for name in NAMES + EXECUTED}


def _audit(layer):
    ranges = {
        name: RangeSummary(range_.lowest, range_.highest, range_.safe_bits, range_.bits, range_.overflow,
                           range_.overflows if range_.counted else None)
        for name, range_ in layer.ranges.items()
    }
    return AuditSummary(**ranges, weights=layer.n_weights, clipped_weights=layer.n_clipped,
                        zeroed_weights=layer.n_zeroed)


def _weights(rounding, steps):
    return {name: WeightSummary(layer.weight_bits, layer.n_weights, layer.n_zeroed, layer.n_clipped, layer.n_left,
                                layer.changed_in(steps) or None)
            for name, layer in rounding.items()} or None


def _not_finite(sums):
    membranes = {} if sums.statistics is None else sums.statistics.membranes
    of_membranes = {name: each.n_not_finite for name, each in membranes.items()}
    numbers = {**sums.overflown, **of_membranes, "": sums.n_not_finite}
    return {name: number for name, number in numbers.items() if number} or None


def _made(command):
    return Made(__version__, platform.python_version(), **_versions(), processor=_processor(),
                date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
                command=command)


@cache
def _versions():
    return {name: metadata.version(name) for name in ("numpy", "numba")}


@cache
def _processor():
    try:
        match = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text("utf-8"), re.MULTILINE)
    except OSError:
        match = None
    return match[1] if match else platform.processor() or platform.machine()
