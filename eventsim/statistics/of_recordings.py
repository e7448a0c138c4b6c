"""Statistics of what was recorded."""

import numpy as np

from eventsim.arguments import instance_of, with_attributes
from eventsim.errors import RunError
from eventsim.merging import merge
from eventsim.model.network import Model
from eventsim.spikes import check_planes
from eventsim.statistics.decisions import class_numbers, Decisions, warn_of_unknown
from eventsim.statistics.observing import MembraneScale, TrainObserver
from eventsim.statistics.result import Statistics
from eventsim.statistics.trains import TrainStatistics


def of(recording, model=None, labels=None) -> Statistics:
    """Return the statistics of a Recording.

    trains: of every node whose spikes were recorded. membranes: where `model` is given, of every layer
    of neurons whose spikes, potentials and residuals were. decisions: where outputs were.
    labels: whole numbers (N,), or None. Warns of labels that are no class. Raises DataError for labels that do not
    fit.
    """
    with_attributes(recording, ("spikes", "traces", "answers"), "recording", "a Recording")
    instance_of(model, (Model, type(None)), "model", "a Model or None")
    trains = {name: of_spikes(spikes, recording.lengths) for name, spikes in recording.spikes.items()}
    membranes = {}
    for name, node in ({} if model is None else model.nodes).items():
        kinds = [recording.traces.get(kind, {}) for kind in ("potentials", "residuals")]
        if node.sends == "levels" and name in recording.spikes and all(name in kind for kind in kinds):
            scale = MembraneScale(node, model.shapes[name])
            steps = _steps_per_unit(recording, name)
            parts = [
                scale.statistics(*(_flat(kind[name][i : i + 1, :length])[..., scale.chosen] for kind in kinds),
                                 _flat(_levels(recording.spikes[name], i)[:, :length])[..., scale.chosen], steps)
                for i, length in enumerate(_lengths(recording))
            ]
            own = recording.lengths is not None
            membranes[name] = merge([part.padded(recording.timesteps) if own else part for part in parts])
    decisions = None
    if labels is not None:
        labels = class_numbers(labels, len(recording.output))
        warn_of_unknown(labels, recording.output.shape[1])
    if recording.answers is not None:
        decisions = Decisions.of(recording.answers, labels, () if model is None else model.class_names)
    return Statistics(trains, membranes, decisions)


def of_spikes(spikes, lengths=None) -> TrainStatistics:
    """Return the statistics of the trains of one node, with all samples in detail. spikes: `Spikes`. lengths:
    int64 (N,), steps of each sample, which sent nothing after them; None: those that the spikes say. Raises
    DataError where the planes are not as it says."""
    check_planes(spikes)
    n, steps = spikes.planes.shape[:2]
    sums = TrainObserver(spikes.shape, spikes.logical_shape, spikes.bits, spikes.signed, steps)
    sums.add_samples(np.ascontiguousarray(spikes.planes), n)
    return sums.statistics().ended(spikes.lengths if lengths is None else lengths)


def _lengths(recording):
    return [None] * len(recording.output) if recording.lengths is None else recording.lengths


def _levels(spikes, sample):
    return spikes.of_samples(slice(sample, sample + 1)).levels()


def _flat(values):
    return values.reshape(*values.shape[:2], -1)


def _steps_per_unit(recording, name):
    steps = recording.steps_per_unit.get(name)
    if steps is None:
        raise RunError(f"the recording does not say the unit of the membranes of {name!r}")
    return np.asarray(steps, np.float64)
