"""Numbers that follow from statistics, counted by hand: widths, top levels, correlations, where neurons fire."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from eventsim import Chip, Input, Model, Neuron, Simulator
from eventsim.merging import merge
from eventsim.statistics.membranes import MembraneStatistics
from eventsim.statistics.of_recordings import of
from eventsim.statistics.ranges import Range
from eventsim.statistics.trains import TrainStatistics

# ---- ranges

ENDS = sorted({sign * (2**n + d) for sign, n, d in product((1, -1), (0, 1, 2, 7, 8, 15, 31), (-1, 0, 1))})


@pytest.mark.parametrize("lowest", ENDS)
def test_the_width_that_would_have_held_it(lowest):
    for highest in (end for end in ENDS if end >= lowest):
        bits = 1
        while not -(2 ** (bits - 1)) <= min(lowest, 0) <= max(highest, 0) <= 2 ** (bits - 1) - 1:
            bits += 1
        assert Range(lowest, highest, 0).safe_bits == bits, (lowest, highest)


def test_overflows_are_counted_where_a_width_is_narrower_than_int32():
    assert {bits: Range(0, 0, 0, bits).counted for bits in (None, 2, 30, 31, 32)} == {
        None: False, 2: True, 30: True, 31: True, 32: False}


@pytest.mark.parametrize("bits, counted", ((None, False), (16, True), (30, True), (32, False)))
def test_overflows_of_a_run_are_counted_or_not(bits, counted):
    chip = Chip("mine", membrane_bits=bits, membrane_overflow="wrap")
    model = Model({"in": Input((2,)), "n": Neuron(1.0)}, [("in", "n")])
    audit = Simulator(model, chip=chip).run(np.ones((1, 2, 2), int), record="audit").audit
    assert audit["n"].ranges["membrane"].counted == counted


# ---- trains

LENGTHS = np.array([7, 1, 4, 5])


def trains_of(bits, signed, lengths):
    """(levels (4, 7, 5), statistics) of neurons that send what they get."""
    top = 2**bits - 1
    x = np.random.default_rng(bits).integers(-top if signed else 0, top + 1, (4, 7, 5))
    x[:, :, 3], x[:, :, 4] = top, 0  # one that always fires, and one that never does
    node = Neuron(1.0, bits=bits, signed=signed, leak=0.0, reset="hard")
    model = Model({"in": Input((5,), bits=bits, signed=signed), "n": node}, [("in", "n")])
    run = Simulator(model).run(x, lengths=lengths, record=("spikes", "statistics", "intervals"))
    ends = np.full(4, 7) if lengths is None else lengths
    presented = np.arange(7) < ends[:, None]
    assert np.array_equal(run.levels("n")[presented], x[presented])
    return x, presented, {"gathered": run.statistics.trains["n"], "recorded": of(run).trains["n"],
                          "in parts": _in_parts(model, x, ends)}


def _in_parts(model, x, ends):
    """Statistics of each sample alone, padded to the longest, and merged."""
    parts = [Simulator(model).run(x[i : i + 1, :n], record=("statistics", "intervals")).statistics.trains["n"]
             for i, n in enumerate(ends)]
    return merge([part.padded(7) for part in parts])


@pytest.mark.parametrize("lengths", (None, LENGTHS), ids=("alike", "own"))
@pytest.mark.parametrize("bits, signed", ((1, False), (1, True), (2, False), (2, True), (3, True)))
def test_top_levels_and_correlations(bits, signed, lengths):
    x, presented, trains = trains_of(bits, signed, lengths)
    levels = x[presented]  # (steps that there were, neurons)
    n_events = int(np.count_nonzero(levels))
    n_top = sum(abs(int(level)) == 2**bits - 1 for level in levels.ravel())
    fired = (levels != 0).astype(float)
    with np.errstate(all="ignore"):
        correlations = np.corrcoef(fired.T)
    correlations[[3, 4]] = correlations[:, [3, 4]] = np.nan
    for kind, train in trains.items():
        assert train.top_level_share == n_top / n_events, kind
        assert train.detailed_absent == presented.size - presented.sum(), kind
        np.testing.assert_allclose(train.correlations, correlations, atol=1e-12, err_msg=kind)
    silent = replace(trains["gathered"], events=np.zeros(5, np.int64))
    assert silent.top_level_share == 0.0


@pytest.mark.parametrize("steps", (4, 1024, 1025, 3000))
def test_longer_intervals_share_a_bin_among_padding_too(steps):
    train = TrainStatistics.zeros((2,), 1, False, 3).padded(steps)
    assert train.interval_histogram.shape == TrainStatistics.zeros((2,), 1, False, steps).interval_histogram.shape


def test_intervals_of_samples_of_their_own_lengths():
    """Also beyond the last bin, which is of all longer ones."""
    model = Model({"in": Input((2,)), "n": Neuron(v_threshold=1.0)}, [("in", "n")])
    x = np.zeros((2, 1500, 2), int)
    x[0, [0, 5], 0] = x[1, [0, 1300], 0] = 1
    run = Simulator(model).run(x, lengths=[6, 1500], record=("statistics", "intervals"))
    histogram = run.statistics.trains["in"].interval_histogram
    assert np.flatnonzero(histogram).tolist() == [5, 1024] and histogram.size == 1025


def test_sums_beyond_64_bits():
    """2^20 samples of 2^22 steps: a neuron that always fires does not vary, one that fires in every second sample
    does by half of the steps. And 2^40 intervals of mean 3 and variance 1."""
    n, steps = 1 << 20, 1 << 22
    always = replace(TrainStatistics.zeros((1,), 1, False, steps), n_samples=n, events=np.array([n * steps]),
                     squares=np.array([n * steps * steps]))
    half = replace(always, events=np.array([n // 2 * steps]), squares=np.array([n // 2 * steps * steps]))
    assert always.fano.tolist() == [0.0] and half.fano.tolist() == [steps / 2]
    train = replace(TrainStatistics.zeros((1,), 1, False, 8), n_detailed=1 << 40,
                    interval_counts=np.array([1 << 40]), interval_sums=np.array([3 << 40]),
                    interval_squares=np.array([10 << 40]))
    assert train.cv.tolist() == [1 / 3] and not train.contradiction()


# ---- membranes


@pytest.mark.parametrize("threshold, quantum", ((1.0, 1.0), (0.75, 1.0), (0.3, 1.0), (0.9, 0.5), (1.6, 0.8)))
@pytest.mark.parametrize("rectify", (False, True))
def test_the_membrane_from_which_neurons_fire(threshold, quantum, rectify):
    """A membrane that takes the input as it is, and forgets it, fires at no less than it says."""
    node = Neuron(threshold, quantum=quantum, leak=0.0, rectify=rectify, reset="soft", bits=1)
    model = Model({"in": Input((1,), "real"), "n": node}, [("in", "n")])
    x = np.linspace(-1.0, 8.0, 9001)[:, None, None]
    run = Simulator(model, "float64").run(x, record=("spikes", "potentials", "membranes"))
    membranes = run.statistics.membranes["n"]
    assert isinstance(membranes, MembraneStatistics) and membranes.unit == "thresholds"
    fired = run.levels("n").ravel() != 0
    potentials = run.potentials("n").ravel() / threshold
    assert potentials[fired].min() >= membranes.fires_at - 1e-9
    assert potentials[~fired].max() <= membranes.fires_at + 1e-9
    assert (membranes.rectified is not None) == rectify
