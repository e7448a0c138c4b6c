"""Recordings are read part by part, in memory that does not grow with them, and give what their definition says."""

import tracemalloc

import numpy as np
import pytest
from event_files import write_recording

from eventsim import EventBins, Input
from eventsim.errors import DataError
from eventsim.inputs.binning import StepCounts
from eventsim.inputs.dataset import open_dataset
from eventsim.inputs.event_files import numpy_files

WIDTH, SIZE = 700.0, (6, 9)
NODE = Input((2, *SIZE), bits=8, events=EventBins(WIDTH, sensor_size=SIZE))


def recording(path, order, n=200):
    """Events in order, out of order, or with the earliest ones last."""
    rng = np.random.default_rng(11)
    t = np.sort(rng.integers(0, 20_000, n)) + 5000
    if order == "shuffled":
        t = rng.permutation(t)
    elif order == "earliest last":
        t = np.roll(t, -20)
    events = {"t": t, "x": rng.integers(0, SIZE[1], n), "y": rng.integers(0, SIZE[0], n), "p": rng.integers(0, 2, n)}
    np.savez(path, **events)
    return events


def levels_by_hand(events, steps, start):
    """(levels, events in no step)."""
    levels, n_left_out = np.zeros((steps, 2, *SIZE), int), 0
    for t, x, y, p in zip(*(events[key].tolist() for key in "txyp")):
        step = int((t - start) // WIDTH)
        if 0 <= step < steps:
            levels[step, p, y, x] += 1
        else:
            n_left_out += 1
    return levels, n_left_out


@pytest.mark.parametrize("at_once", (1, 7, 1000))
@pytest.mark.parametrize("order", ("in order", "shuffled", "earliest last"))
def test_levels_are_those_of_the_definition_however_a_file_is_read(tmp_path, monkeypatch, order, at_once):
    monkeypatch.setattr(numpy_files, "AT_ONCE", at_once)
    events = recording(tmp_path / "a.npz", order)
    t = events["t"]
    for timesteps in (1, 3, 40, None):
        dataset = open_dataset(tmp_path / "a.npz", NODE, timesteps, sensor_size=SIZE)
        [(x, _)] = dataset.batches(1)
        steps = timesteps or int((t.max() - t.min()) // WIDTH) + 1
        levels, n_left_out = levels_by_hand(events, steps, t.min())
        np.testing.assert_array_equal(x[0], levels)
        assert x.dtype == np.uint16 and dataset.n_dropped_events == n_left_out and dataset.n_steps in (steps, None)
        said = [text for text in dataset.notes if "microseconds" not in text]
        assert said == ["has events out of order; each counts at its own time"] * (order != "in order")
        assert set(dataset.notes.values()) == {1}


@pytest.mark.parametrize("timesteps", (4, None))
def test_steps_begin_where_a_clock_says(tmp_path, timesteps):
    """That of N-MNIST begins at 0, before the first event, in whatever order they come."""
    events = recording(tmp_path / "a.npz", "shuffled", 100)
    write_recording(tmp_path / "a.bin", *(events[key] for key in "xypt"))
    dataset = open_dataset(tmp_path / "a.bin", NODE, timesteps, sensor_size=SIZE)
    [(x, _)] = dataset.batches(1)
    levels, n_left_out = levels_by_hand(events, timesteps or int(events["t"].max() // WIDTH) + 1, 0)
    np.testing.assert_array_equal(x[0], levels)
    assert dataset.n_dropped_events == n_left_out


def test_levels_beyond_16_bits_are_refused_and_merged_ones_are_1():
    block = {"x": np.zeros(70_000, np.uint16), "y": np.zeros(70_000, np.uint16), "p": np.ones(70_000, np.uint8)}
    for coincident in ("sum", "merge"):
        counts = StepCounts(EventBins(10, "one", coincident, (1, 2)), 2)
        for _ in range(2):
            counts.add(block, np.zeros(70_000, np.int64))
        if coincident == "merge":
            assert counts.levels().ravel().tolist() == [1, 0, 0, 0]
            continue
        with pytest.raises(DataError, match="140000 events share a pixel and a step, expected at most 65535"):
            counts.levels()


@pytest.mark.parametrize("timesteps", (3, None))
def test_memory_does_not_grow_with_a_recording(tmp_path, monkeypatch, timesteps):
    monkeypatch.setattr(numpy_files, "AT_ONCE", 1 << 12)
    n = 1 << 18  # 4 MB as events
    t = np.arange(n) // 40
    np.savez(tmp_path / "a.npz", t=t, x=t % 9, y=t % 6, p=t % 2)
    node = Input((2, *SIZE), bits=16, events=EventBins(WIDTH, sensor_size=SIZE))
    list(open_dataset(tmp_path / "a.npz", node, timesteps, sensor_size=SIZE).batches(1))
    tracemalloc.start()
    [(x, _)] = open_dataset(tmp_path / "a.npz", node, timesteps, sensor_size=SIZE).batches(1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_500_000 and x.sum() == (n if timesteps is None else 40 * 3 * 700)
