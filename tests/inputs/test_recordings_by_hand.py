"""Recordings whose levels are worked out by hand: order, remainders, crops, clocks, late events, shares of parts."""

import numpy as np
import pytest

from eventsim import DataError, EventBins, EventStream, Input
from eventsim.inputs.dataset import open_dataset
from eventsim.inputs.event_files import records
from eventsim.inputs.event_files.opening import open_events
from eventsim.inputs.gaps import without_gaps
from eventsim.inputs.preparing import check_steps, DataOptions, MOST_BYTES

S = 1_000_000  # microseconds
ROW = Input((3,), bits=8, events=EventBins(1000.0, "one", sensor_size=(1, 3)))
MAPS = Input((2, 4, 4), bits=8, events=EventBins(1000.0, sensor_size=(4, 4)))


def block(*t):
    return {"t": np.array(t), "x": [0] * len(t), "y": [0] * len(t), "p": [1] * len(t)}


def stream_of(*blocks):
    return EventStream(lambda: iter(blocks), "cut", (1, 1))


def counted(bins):
    return np.concatenate(list(bins))[:, 1, 0, 0]


def class_folders(folder, names, n_files=1):
    for name in names:
        (folder / name).mkdir()
        for i in range(n_files):
            (folder / name / f"{i}.csv").write_text("t,x,y,p\n5,1,1,1\n")
    return folder


def test_steps_wait_for_the_slack():
    bins = stream_of(block(0, 250), block(140), block(420)).bins(100, slack=150, at_once=1)
    assert counted(bins).tolist() == [1, 1, 1, 0, 1] and bins.n_late == 0


def test_a_block_that_goes_back_makes_no_gap():
    """What counts is the newest time of all blocks, and the smallest, not those of the block before."""
    bins = stream_of(block(0, 50 * S), block(S), block(70 * S)).bins(S, slack=60 * S)
    assert np.flatnonzero(counted(bins)).tolist() == [0, 1, 50, 70]
    stream = stream_of(block(100 * S), block(150 * S), block(95 * S))  # 5 s before the first, 55 s before the last
    assert len(without_gaps(stream, DataOptions(longest_gap="50s"), at_once=True).read()) == 3


@pytest.mark.parametrize("n, levels, is_said", [(7, [2, 2, 3], False), (8, [2, 2, 4], True)])
def test_a_remainder_twice_as_large_as_a_step_is_said(tmp_path, n, levels, is_said):
    np.savez(tmp_path / "a.npz", **block(*range(0, 10 * n, 10)))
    dataset = open_dataset(tmp_path / "a.npz", ROW, 3, split="number")
    [(x, _)] = dataset.batches(1)
    assert x[0, :, 0].tolist() == levels
    assert any("at least twice as large" in text for text in dataset.notes) is is_said


def test_a_crop_comes_before_downsampling_and_that_before_turning(tmp_path):
    """The first step begins with the first event that is left."""
    rng = np.random.default_rng(3)
    events = dict(t=np.sort(rng.integers(0, 5000, 400)), x=rng.integers(0, 12, 400), y=rng.integers(0, 10, 400),
                  p=rng.integers(0, 2, 400))
    np.savez(tmp_path / "a.npz", **events)
    left, top, right, bottom = crop = 1, 2, 11, 8  # 10 x 6 become 5 x 3, and, turned, 3 x 5
    node = Input((2, 5, 3), bits=8, events=EventBins(1000.0, sensor_size=(5, 3)))
    [(x, _)] = open_dataset(tmp_path / "a.npz", node, 5, sensor_size=(10, 12), crop=crop, downsample=2,
                            orient=("-y", "x")).batches(1)
    inside = ((events["x"] >= left) & (events["x"] < right) & (events["y"] >= top) & (events["y"] < bottom))
    expected = np.zeros((5, 2, 5, 3), int)
    for t, column, row, p in zip(*(events[key][inside] for key in "txyp")):
        step = (t - events["t"][inside][0]) // 1000
        if step < 5:
            expected[step, p, (column - left) // 2, 2 - (row - top) // 2] += 1
    np.testing.assert_array_equal(x[0], expected)


def test_levels_of_two_bytes_are_counted_before_they_are_made():
    bins = EventBins(1000.0, sensor_size=(128, 128))
    most = MOST_BYTES // (2 * 2 * 128 * 128)
    check_steps(most, bins, "a")
    with pytest.raises(DataError, match="as levels, at most"):
        check_steps(most + 1, bins, "a")


@pytest.mark.parametrize("share", (0.1, 0.3, 0.6, 0.7, 0.9))
def test_shares_of_parts_are_whole_files(tmp_path, share):
    folder = class_folders(tmp_path, "ab", 10)
    n_test = len(open_dataset(folder, MAPS, 5, test_share=share, part="test"))
    assert n_test == round(20 * share)
    assert n_test + len(open_dataset(folder, MAPS, 5, test_share=share, part="train")) == 20


def test_classes_that_the_model_lacks_stay_apart(tmp_path):
    dataset = open_dataset(class_folders(tmp_path, ("ant", "bee", "cat")), MAPS, 5)
    assert dataset.with_labels_of(("cat", "dog")).labels.tolist() == [2, 3, 0]


def test_four_channels_are_no_steps(tmp_path):
    """Five are: no image has so many."""
    for n in (4, 5):
        np.savez(tmp_path / f"{n}.npz", x=np.ones((2, n, 3, 3), np.uint8))
    assert open_dataset(tmp_path / "5.npz", Input((1, 3, 3))).n_steps == 5
    with pytest.raises(DataError, match="samples have shape"):
        open_dataset(tmp_path / "4.npz", Input((1, 3, 3)))


def test_events_of_one_time_keep_their_order(tmp_path):
    rng = np.random.default_rng(1)
    t, x = rng.integers(0, 20, 500), rng.integers(0, 3, 500)
    np.savez(tmp_path / "a.npz", t=t, x=x, y=0 * t, p=0 * t + 1)
    [(levels, _)] = open_dataset(tmp_path / "a.npz", ROW, 25, split="number").batches(1)
    order = sorted(range(500), key=lambda i: t[i])  # stable
    expected = [np.bincount(x[order[i : i + 20]], minlength=3) for i in range(0, 500, 20)]
    np.testing.assert_array_equal(levels[0], expected)


def test_clocks_of_n_mnist_go_on_from_block_to_block(tmp_path, monkeypatch):
    rows = [(1, 2, 0), (0, 240, 0), (3, 4, 5), (5, 6, 7), (0, 240, 1), (7, 8, 9)]  # at y = 240 a clock ran over
    (tmp_path / "a.bin").write_bytes(b"".join(bytes([x, y, 128, t >> 8, t & 255]) for x, y, t in rows))
    for at_once in (6, 3, 2, 1):
        monkeypatch.setattr(records, "AT_ONCE", at_once)
        times = open_events(tmp_path / "a.bin", sensor_size=(34, 34)).read()["t"]
        assert times.tolist() == [0, 8192 + 5, 8192 + 7, 2 * 8192 + 9]


def test_a_fraction_of_a_microsecond_is_left_out(tmp_path):
    (tmp_path / "a.csv").write_text("t_s,x,y,p\n0.0000007,0,0,1\n0.0010017,1,0,1\n0.0020003,1,0,1\n")
    stream = open_events(tmp_path / "a.csv", sensor_size=(1, 3))
    assert stream.read()["t"].tolist() == [0, 1001, 2000]
    assert any("fractions of a microsecond" in text for text in stream.notes)
