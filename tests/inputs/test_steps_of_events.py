"""Which step an event is in: by width, by number, by time; and which events come too late."""

import numpy as np
import pytest

import eventsim
from eventsim import EventBins, Input
from eventsim.inputs.binning import late_events, places_of, steps_of


@pytest.mark.parametrize("width, time, step",
                         [(1.1, 33, 30), (2.7, 81, 30), (4.9, 147, 30), (0.1, 3, 30), (10, 30, 3)])
def test_a_time_at_which_a_step_begins_is_in_it(width, time, step):
    """The quotients of the first four are just below the whole number."""
    assert step * width == time
    for start in (0, 1000):
        assert steps_of(time + start, start, width) == step
        times = np.array([time - 1e-6, time]) + start
        np.testing.assert_array_equal(steps_of(times, start, width), [step - 1, step])


def test_a_step_begins_where_its_definition_says():
    rng = np.random.default_rng(5)
    for width in (*rng.uniform(0.05, 5, 100), *rng.uniform(5, 1e5, 100), 1e6 / 30, 1000 / 7, 1000):
        edges = np.floor(np.arange(1, 500) * width).astype(np.int64)
        times = np.unique([*edges, *(edges + 1), *rng.integers(0, 1 << 45, 300)])
        steps = steps_of(times, 0, width)
        assert (steps * width <= times).all() and ((steps + 1) * width > times).all()


@pytest.mark.parametrize("polarities, channel", [("off_on", 1), ("on_off", 0), ("one", 0)])
def test_places_are_those_of_the_levels(polarities, channel):
    events = EventBins(10, polarities, sensor_size=(3, 4))
    [place] = places_of(np.array([2], np.uint16), np.array([1], np.uint16), np.array([1], np.uint8), events)
    assert np.unravel_index(place, events.shape) == (channel, 1, 2)


@pytest.mark.parametrize("times, newest, done, late", [
    ([0, 10, 20], None, 0, None), ([0, 30, 5, 31], None, 0, [False, False, True, False]),
    ([5, 40], 30, 0, [True, False]),
    ([12, 13], 11, 2, [True, True]), ([-5, 3], None, 0, [True, False]), ([25, 12, 30], None, 0, None),
])
def test_late_events(times, newest, done, late):
    """Steps of 10, one of which is waited for."""
    times = np.array(times)
    found = late_events(times, steps_of(times, 0, 10), newest, lambda newest: steps_of(newest - 10, 0, 10), done)
    assert (found if found is None else found.tolist()) == late


# ---- recordings that are cut into a number of steps


def cut(folder, times, split, timesteps):
    """(events in each step, the notes)."""
    path = folder / "a.csv"
    path.write_text("t_us,x,y,p\n" + "".join(f"{time},0,0,1\n" for time in times))
    node = Input((2, 1, 1), bits=8, events=EventBins(10, sensor_size=(1, 1)))
    dataset = eventsim.open_dataset(path, node, timesteps, split=split)
    [(x, _)] = dataset.batches(1)
    return x.sum(axis=(0, 2, 3, 4)).tolist(), list(dataset.notes)


@pytest.mark.parametrize("split, times, steps, said", [
    ("number", range(16), [4, 4, 4, 4], None), ("number", range(19), [4, 4, 4, 7], None),
    ("number", range(7), [1, 1, 1, 4], "has so few events for its steps that split='number' makes the last one"),
    ("number", range(3), [0, 0, 0, 3], "has fewer events than steps, so that split='number' puts all"),
    ("time", [0, 5, 15, 25, 40], [2, 1, 1, 1], None),
    ("time", [0, 1, 2, 3, 7], [1, 1, 1, 2], "has so few us for its steps that split='time' makes the last one"),
    ("time", [0, 1, 3], [0, 0, 0, 3], "has fewer us than steps, so that split='time' puts all"),
])
def test_what_the_last_step_has_is_said(tmp_path, split, times, steps, said):
    """As SpikingJelly divides: the last step has the remainder."""
    found, notes = cut(tmp_path, times, split, 4)
    assert found == steps
    assert [note.startswith(said or "-") for note in notes if "split=" in note] == ([] if said is None else [True])
    assert cut(tmp_path, times, split, 1)[1] == []
