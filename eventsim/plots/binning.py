"""Binning: how many events and levels of a spike train fall on each cell of a picture.

Read from the bit-planes, a few steps at a time, so that ten million spikes never become ten million
coordinates: at most `BLOCK` cells of (step, neuron) are unpacked at once. Neurons are in the order
of the node's logical shape, flattened (C, H, W); several samples follow one another in time.
"""

from typing import NamedTuple, Sequence

import numpy as np

from eventsim.spikes import BLOCK, Spikes, unpacked


class Binned(NamedTuple):
    """Spikes of some samples on a grid of rows (neurons) and columns (steps)."""

    levels: np.ndarray      # float64 (rows, columns): mean |level| per neuron and step of the cell
    neuron_edges: np.ndarray  # int64 (rows + 1,): row r holds neurons edges[r] .. edges[r + 1] - 1
    step_edges: np.ndarray  # int64 (columns + 1,): likewise, steps of all samples on end
    events: np.ndarray      # whole numbers (neurons,), as small as the number of steps allows
    by_step: np.ndarray     # int64 (steps,): events of all neurons


def edges(n: int, most: int) -> np.ndarray:
    """int64: borders of at most `most` even groups of 0 .. n - 1."""
    groups = max(min(n, most), 1)
    return np.arange(groups + 1, dtype=np.int64) * n // groups


def bin_spikes(spikes: Spikes, samples: Sequence[int], most_rows: int, most_columns: int) -> Binned:
    """Sum the bit-planes of samples into at most (most_rows, most_columns) cells."""
    channels, n_steps = spikes.shape[0], spikes.planes.shape[1]
    positions = spikes.planes.shape[3]
    n_neurons, total = channels * positions, n_steps * len(samples)
    rows, columns = edges(n_neurons, most_rows), edges(total, most_columns)
    sums = np.zeros((len(rows) - 1, len(columns) - 1))
    events, by_step = np.zeros(n_neurons, np.min_scalar_type(total)), np.zeros(total, np.int64)
    # no group of steps is so long that a sum of ones leaves a byte, or unpacks more than BLOCK
    longest = int(min(255, max(BLOCK // max(n_neurons, 1), 1)))
    for column, (begin, end) in enumerate(zip(columns[:-1], columns[1:])):
        for first, stop in _groups(int(begin), int(end), n_steps, longest):
            sample, offset = samples[first // n_steps], first % n_steps
            planes = spikes.planes[sample, offset : offset + stop - first]
            some = unpacked(np.bitwise_or.reduce(planes, axis=1), channels)
            by_step[first:stop] = np.count_nonzero(some.reshape(stop - first, -1), axis=1)
            once = _in_order(some)
            events += once
            for b in range(planes.shape[1]):
                ones = once if planes.shape[1] == 1 else _in_order(unpacked(planes[:, b], channels))
                sums[:, column] += summed(ones, rows) * float(1 << (b % spikes.bits))
    return Binned(sums / np.outer(np.diff(rows), np.maximum(np.diff(columns), 1)), rows, columns, events, by_step)


def _in_order(bits):
    """uint8 (neurons,), sums over the steps of uint8 (steps, positions, channels)."""
    return np.ascontiguousarray(bits.sum(axis=0, dtype=np.uint8).T).reshape(-1)


def summed(values, borders) -> np.ndarray:
    """int64: whole numbers (or bool) summed between borders; zeros where there are none."""
    if not len(values):
        return np.zeros(len(borders) - 1, np.int64)
    if len(values) > BLOCK:  # reduceat would first make int64 of all of them
        return np.array([values[a:b].sum(dtype=np.int64) for a, b in zip(borders, borders[1:])])
    return np.add.reduceat(values, borders[:-1], dtype=np.int64)


def _groups(begin, end, n_steps, longest):
    """Runs of steps begin .. end - 1 that stay in one sample and are not too long."""
    while begin < end:
        stop = min(end, begin + longest, (begin // n_steps + 1) * n_steps)
        yield begin, stop
        begin = stop
