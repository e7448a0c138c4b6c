"""The exact sums of a run: what is gathered batch by batch, and merges into that of a whole data set."""

from dataclasses import dataclass
from typing import ClassVar, Dict, Optional

import numpy as np

from eventsim.costs.energy_table import EnergyTable, find_energy_table
from eventsim.costs.other_tools.conventions import Conventions
from eventsim.engine.context import RunContext
from eventsim.engine.recording import Recording
from eventsim.equality import FrozenByValue
from eventsim.merging import merged
from eventsim.statistics.counts import SummedCounts
from eventsim.statistics.decisions import one_label_each
from eventsim.statistics.ranges import LayerAudit
from eventsim.statistics.result import Statistics
from eventsim.tensors import as_array


@dataclass(frozen=True)
class Messages:
    """What a layer that sends changes as whole numbers has sent. n: how many messages; n_saturated: those at the
    end of their width, which cuts off what is beyond."""

    ALIKE: ClassVar[str] = "the same layer"

    n: int = merged(samples="sum")
    n_saturated: int = merged(samples="sum")


def messages_of(model, statistics) -> Dict[str, Messages]:
    """Return the `Messages` of each layer of a model that sends changes."""
    messages = {}
    for name, train in statistics.trains.items():
        if model.nodes[name].sends == "changes":
            messages[name] = Messages(int(train.events.sum()), int(train.level_counts[[0, -1]].sum()))
    return messages


@dataclass(frozen=True, eq=False)
class RunSums(FrozenByValue):
    """The exact sums of the samples of a batch, of a part of a data set, or of all of it. Two are equal where all
    but the seconds is.

    context: model and arithmetic. model, data: their names, or None. energy_table: to assess with.
    counts: summed over samples. seconds: spent simulating. n_right: correct predictions, None without
    labels. dropped_events: of event recordings, those after the last step. audit: layer -> `LayerAudit`,
    or None. conventions: what other tools would count, or None. statistics: or None. messages: layer that sends
    changes -> `Messages`, or None. n_not_finite: samples whose output is infinite or nan. overflown: layer -> such
    potentials, of the samples in which they were looked for. taken: which samples of which data set, path and
    name, or size where it has none -> int64 (n, 2), the first and one past the last of each stretch; None or {}
    where nobody knows.
    """

    ALIKE: ClassVar[str] = "runs of the same model and data in the same arithmetic"

    context: RunContext = merged("same")
    model: Optional[str] = merged("same")
    data: Optional[str] = merged("same")
    energy_table: EnergyTable = merged("same")
    counts: SummedCounts = merged(samples="merge")
    seconds: float = merged("sum", compare=False)
    n_right: Optional[int] = merged("sum", default=None)
    dropped_events: int = merged("sum", default=0)
    audit: Optional[Dict[str, LayerAudit]] = merged(samples="merge", default=None)
    conventions: Optional[Conventions] = merged(samples="merge", default=None)
    statistics: Optional[Statistics] = merged(samples="merge", default=None)
    messages: Optional[Dict[str, Messages]] = merged(samples="merge", default=None)
    n_not_finite: int = merged("sum", default=0)
    overflown: Dict[str, int] = merged("sum", lacking="other", default_factory=dict)
    taken: Optional[Dict[str, np.ndarray]] = merged(samples="concatenate", lacking="other", default=None)


def sums_of(recording: Recording, labels=None) -> RunSums:
    """Return the sums of a recording, by the default energy table. labels: numbers (N,), or None. Raises DataError
    for others."""
    right = None if labels is None else int(
        (recording.predictions == one_label_each(labels, len(recording.predictions))).sum())
    return RunSums(recording.context, None, None, find_energy_table(), recording.counts.summed(),
                   recording.seconds, right, audit=recording.audit,
                   n_not_finite=int((~np.isfinite(recording.output)).any(axis=1).sum()))


def class_labels(labels):
    """Return labels where they name classes, as whole numbers do; None for others."""
    labels = None if labels is None else as_array(labels)
    return labels if labels is not None and labels.dtype.kind in "iu" else None
