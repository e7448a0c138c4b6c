"""Samples of their own lengths: each runs for its own steps, as if alone, and nothing ever sees the padding."""

from dataclasses import replace
from typing import Callable, Iterator, Tuple

import numpy as np

from eventsim.arguments import shown
from eventsim.engine.recording import Recording
from eventsim.engine.state import OF_LENGTHS
from eventsim.errors import DataError, RunError
from eventsim.merging import rearranged, merge


def run_by_length(run: Callable, x, lengths) -> Recording:
    """Run samples of which only the first steps count: those of one length run together.

    run: a function of x (n, T, ...), which returns a Recording. x: an array (N, T, ...). lengths: whole numbers
    (N,), from 1 to T. Raises DataError where they do not fit.
    """
    lengths = checked_lengths(lengths, x)
    most = int(lengths.max())
    return rejoined([padded(run(x[rows, :length]), most) for length, rows in groups(lengths)], lengths)


def groups(lengths) -> Iterator[Tuple[int, np.ndarray]]:
    """Yield (length, places of the samples that have it), from the shortest to the longest."""
    for length in np.unique(lengths):
        yield int(length), np.flatnonzero(lengths == length)


def rejoined(parts, lengths) -> Recording:
    """Join recordings of the groups of `lengths`, padded, into one, in the samples' order."""
    places = np.empty(len(lengths), np.int64)
    places[np.argsort(lengths, kind="stable")] = np.arange(len(lengths))
    return rearranged(merge(parts), places)


def checked_lengths(lengths, x) -> np.ndarray:
    """Return int64 (N,), the steps of each sample of x. Raises DataError where they do not fit."""
    try:
        array = np.asarray(lengths)
    except (TypeError, ValueError):
        raise DataError(f"lengths is {shown(lengths)}, expected one whole number for each sample of x") from None
    if x.ndim < 2 or array.shape != x.shape[:1] or array.dtype.kind not in "iu":
        raise DataError(f"lengths has shape {array.shape} and type {array.dtype}, expected one whole number for "
                        f"each sample of x, which has shape {x.shape}, (N, T, ...)")
    if array.size and not (array.min() >= 1 and array.max() <= x.shape[1]):
        raise DataError(f"lengths has values from {array.min()} to {array.max()}, expected 1 to {x.shape[1]}, the "
                        "steps of x")
    return array.astype(np.int64)


def padded(recording: Recording, steps: int) -> Recording:
    """Return a recording with so many steps, as it is among longer ones: after its own, 0; outputs stay as they
    were."""
    n, own = len(recording.output), recording.timesteps
    if steps < own:
        raise RunError(f"a recording of {own} steps cannot have {steps}")

    def longer(values, mode="constant"):
        return np.pad(values, ((0, 0), (0, steps - own), *[(0, 0)] * (values.ndim - 2)), mode)

    lengths = np.full(n, own, np.int64) if recording.lengths is None else recording.lengths
    return replace(
        recording, timesteps=steps, lengths=lengths, counts=recording.counts.padded(steps), state=OF_LENGTHS,
        spikes={name: replace(spikes, planes=longer(spikes.planes), lengths=lengths)
                for name, spikes in recording.spikes.items()},
        traces={kind: {name: longer(values) for name, values in arrays.items()}
                for kind, arrays in recording.traces.items()},
        answers=None if recording.answers is None else longer(recording.answers, "edge"),
        statistics=None if recording.statistics is None else recording.statistics.padded(steps))
