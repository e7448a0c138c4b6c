"""Arrays in HDF5 are read with each chunk unpacked once, in bounded memory, however they are cut."""

import h5py
import numpy as np
import pytest
from event_files import made_events

import eventsim
from eventsim import Input
from eventsim.inputs import chunks
from eventsim.inputs.chunks import parts_of
from eventsim.storage.hdf5 import StoredArray, open_hdf5

X = np.random.default_rng(0).integers(0, 4, (101, 6, 5)).astype(np.uint8)
CHUNKS = (None, (1, 6, 5), (7, 6, 5), (101, 6, 5), (101, 1, 5), (50, 3, 1), (10, 6, 5))


def written(path, shape, **more):
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=X, chunks=shape, compression=None if shape is None else "gzip", **more)
    return path


@pytest.mark.parametrize("most", [1, 400, 1 << 28])
@pytest.mark.parametrize("shape", CHUNKS)
def test_parts_are_the_rows(tmp_path, monkeypatch, shape, most):
    monkeypatch.setattr(chunks, "MOST_BYTES", most)
    with open_hdf5(written(tmp_path / "a.h5", shape)) as root:
        stored = root.dataset("x")
        for first, stop, size in ((0, 101, 8), (3, 90, 8), (95, 101, 200), (50, 51, 1), (9, 71, 33)):
            parts = list(parts_of(stored, size, stop, first))
            np.testing.assert_array_equal(np.concatenate(parts), X[first:stop])
            assert {len(part) for part in parts[:-1]} <= {size} and len(parts[-1]) <= size
            assert all(part.base is None for part in parts)  # nothing larger stays in memory


@pytest.mark.parametrize("shape", CHUNKS[1:])
def test_each_chunk_is_read_once(tmp_path, monkeypatch, shape):
    spans = []
    rows = StoredArray.rows
    monkeypatch.setattr(StoredArray, "rows", lambda self, span: spans.append(span) or rows(self, span))
    path = written(tmp_path / "a.h5", shape, maxshape=(None, 6, 5))
    dataset = eventsim.open_dataset(path, Input((6, 5), bits=2))
    spans.clear()
    np.testing.assert_array_equal(np.concatenate([x for x, _ in dataset.batches(4)]), X)
    assert all(span.start % shape[0] == 0 for span in spans)
    assert [span.start for span in spans[1:]] == [span.stop for span in spans[:-1]]


def test_columns_of_events_in_one_chunk(tmp_path, monkeypatch):
    events = made_events(200_000)
    with h5py.File(tmp_path / "events.h5", "w") as file:
        for key, column in events.items():
            file.create_dataset(key, data=column, chunks=(len(column),), compression="gzip")
    calls = []
    rows = StoredArray.rows
    monkeypatch.setattr(StoredArray, "rows", lambda self, span: calls.append(span) or rows(self, span))
    read = eventsim.open_events(tmp_path / "events.h5").read()
    for key in "txyp":
        np.testing.assert_array_equal(read[key], events[key])
    assert len(calls) == 4


@pytest.mark.parametrize("more", ({}, dict(maxshape=(None,), chunks=(100,), compression="gzip")))
def test_a_recording_without_events_has_no_parts(tmp_path, more):
    with h5py.File(tmp_path / "none.h5", "w") as file:
        for column in "txyp":
            file.create_dataset(f"events/{column}", (0,), np.int64, **more)
    with open_hdf5(tmp_path / "none.h5") as root:
        assert list(parts_of(root.group("events", "events").dataset("t"), 8, 0)) == []
    events = eventsim.open_events(tmp_path / "none.h5", sensor_size=(8, 8)).read()
    assert len(events) == 0
