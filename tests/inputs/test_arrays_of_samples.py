"""Arrays in the orders that NumPy and trainers leave: Fortran order, steps without an axis of channels."""

import numpy as np
import pytest
from event_files import made_events

import eventsim
from eventsim import Input
from eventsim.errors import DataError

RNG = np.random.default_rng(3)
EVENTS = made_events(70_000)


def in_fortran_order(path, array):
    """A file of an array, x in .npz, which NumPy saves in Fortran order."""
    array = np.asfortranarray(array)
    if path.suffix == ".npy":
        np.save(path, array)
    else:
        np.savez_compressed(path, **{path.stem: array})
    return path


@pytest.mark.parametrize("name", ["events.npy", "events.npz"])
def test_events_in_fortran_order(tmp_path, name):
    """As np.stack([t, x, y, p]).T is; of more than one block."""
    path = in_fortran_order(tmp_path / name, np.stack([EVENTS[key] for key in "txyp"]).T)
    events = eventsim.open_events(path, columns="txyp").read()
    for key in "txyp":
        np.testing.assert_array_equal(events[key], EVENTS[key])
    if name == "events.npy":
        path.write_bytes(path.read_bytes()[:-9])
        with pytest.raises(DataError,
                           match=r"events.npy: the array has \d+ bytes, but shape .* takes \d+: truncated"):
            eventsim.open_events(path, columns="txyp").read()


@pytest.mark.parametrize("name", ["x.npy", "x.npz"])
@pytest.mark.parametrize("dtype", [np.uint8, ">f4"])
def test_samples_in_fortran_order(tmp_path, name, dtype):
    x = RNG.integers(0, 200, (7, 3, 4, 5)).astype(dtype)
    dataset = eventsim.open_dataset(in_fortran_order(tmp_path / name, x), Input((3, 4, 5), "image", 8))
    np.testing.assert_array_equal(np.concatenate([part for part, _ in dataset.batches(3)]), x)
    np.testing.assert_array_equal(np.concatenate([part for part, _ in dataset.batches(2, 6, 1)]), x[1:6])


@pytest.mark.parametrize("layout", ["CHW", "HWC", "WHC"])
@pytest.mark.parametrize("steps", [5, 12])
def test_steps_of_one_channel_without_its_axis(tmp_path, layout, steps):
    x = RNG.integers(0, 2, (6, steps, 1, 3, 4)).astype(np.uint8)
    stored = x[:, :, 0].swapaxes(2, 3) if layout == "WHC" else x[:, :, 0]
    np.savez(tmp_path / "a.npz", x=stored)
    dataset = eventsim.open_dataset(tmp_path / "a.npz", Input((1, 3, 4), layout=layout))
    assert dataset.n_steps == steps
    np.testing.assert_array_equal(np.concatenate([part for part, _ in dataset.batches(4)]), x)


@pytest.mark.parametrize("n", [2, 3, 4])
def test_what_may_be_colours_is_not_taken_as_steps(tmp_path, n):
    np.save(tmp_path / "a.npy", np.ones((6, n, 3, 4), np.uint8))
    with pytest.raises(DataError, match=r"where these are steps, write x\[:, :, np.newaxis\]"):
        eventsim.open_dataset(tmp_path / "a.npy", Input((1, 3, 4)))
