"""Statistics class by class: which neurons, and how many, answer to what."""

from typing import Dict

import numpy as np

from eventsim.errors import DataError
from eventsim.statistics.counts import Counts
from eventsim.statistics.result import Statistics
from eventsim.tensors import as_array


def of_classes(recording, labels) -> Dict[int, Statistics]:
    """Return the statistics of a Recording's spikes for the samples of each label: `rates` of its trains are the
    rates of each neuron for that class. labels: whole numbers (N,). Raises DataError for others."""
    from eventsim.statistics.of_recordings import of_spikes  # brings the compiler, which rates do without

    labels = _checked(labels, len(recording.output))
    return {
        int(label): Statistics({
            name: of_spikes(spikes.of_samples(labels == label), _of_chosen(recording.lengths, labels == label))
            for name, spikes in recording.spikes.items()
        })
        for label in np.unique(labels)
    }


def rates_by_class(counts: Counts, labels, lengths=None) -> Dict[str, Dict[int, float]]:
    """Return the events per neuron and step of each layer for the samples of each label. counts: per sample (not
    summed).
    labels: whole numbers (N,). lengths: (N,), steps of each sample where they differ. Raises DataError for
        others."""
    labels = _checked(labels, len(counts.word_operations))
    if counts.absent and lengths is None:
        raise DataError("the samples have lengths of their own; give lengths, as the recording has them")
    rates = {}
    for name, row in counts.layers.items():
        rates[name] = {}
        for label in np.unique(labels):
            of_class = labels == label
            steps = counts.steps if lengths is None else np.asarray(lengths)[of_class].mean()
            chances = counts.neurons[name] * steps
            rates[name][int(label)] = float(row["events"][of_class].mean() / chances)
    return rates


def _of_chosen(lengths, chosen):
    return None if lengths is None else lengths[chosen]


def _checked(labels, n):
    labels = as_array(labels)
    if labels.shape != (n,) or labels.dtype.kind not in "iu":
        raise DataError(
            f"labels have shape {labels.shape} and type {labels.dtype}, expected ({n},) whole numbers: one a "
            "sample, of counts that were not summed"
        )
    return labels
