"""Streams of events: blocks, cropping, turning, binning as they come; data sets of recordings."""

import numpy as np
import pytest
from event_files import (
    made_events, structured, write_aedat2, write_dat, write_gestures, write_recording, write_shd,
)

from eventsim import EventBins, EventStream, Input
from eventsim.errors import DataError
from eventsim.inputs.binning import bin_events, steps_of
from eventsim.inputs.dataset import open_dataset
from eventsim.inputs.events import block_of, EVENT

SIZE = (10, 20)
EVENTS = made_events(2000, step=9)
NODE = Input((2, *SIZE), bits=8, events=EventBins(100, sensor_size=SIZE))


def stream(events=EVENTS, size=SIZE):
    return EventStream.from_numpy(events, size)


def in_pieces(events, n):
    rows = structured(events)
    return EventStream((rows[i : i + n] for i in range(0, len(rows), n)), "pieces", SIZE)


def levels_of(events, width=100, polarities="off_on", size=SIZE):
    """All at once, by `bin_events`."""
    t = events["t"] - events["t"][0]
    return bin_events(events["x"], events["y"], events["p"], t, EventBins(width, polarities, sensor_size=size),
                      int(steps_of(t.max(), 0, width)) + 1)


def joined(chunks):
    return np.concatenate(list(chunks))


# ---- streams


@pytest.mark.parametrize("polarities", ["off_on", "on_off", "one"])
def test_bins_are_the_same_however_events_and_steps_are_cut(polarities):
    events = {key: column[:300] for key, column in EVENTS.items()}
    expected = levels_of(events, polarities=polarities)
    for n, at_once in ((1, 1), (7, 64), (50, 3), (5000, 1000)):
        np.testing.assert_array_equal(joined(in_pieces(events, n).bins(100, polarities, at_once=at_once)),
                                      expected)
    assert expected.sum() == 300


@pytest.mark.parametrize("width", [1e6 / 30, 1e6 / 60, 0.1, 0.7, 1 / 3, 1000 / 7, 333.3333, 1000])
def test_widths_that_floats_divide_unevenly(width):
    """`//` and the floor of a quotient differ for some of these; every event is in one step, and none is lost."""
    edges = (np.arange(200) * width).astype(np.int64)
    events = {"t": np.unique([edges, edges + 1]), "x": 0, "y": 0, "p": 1}
    events = {key: column if key == "t" else np.full(len(events["t"]), column) for key, column in events.items()}
    expected = levels_of(events, width)
    for n, at_once in ((1, 1), (7, 64), (5000, 3)):
        found = in_pieces(events, n).bins(width, at_once=at_once)
        np.testing.assert_array_equal(joined(found), expected)
        assert found.n_late == 0 and expected.sum() == len(events["t"])
    for last in edges[1:]:
        two = {"t": np.array([0, last]), "x": np.zeros(2, int), "y": np.zeros(2, int), "p": np.ones(2, int)}
        np.testing.assert_array_equal(joined(in_pieces(two, 1).bins(width, longest_gap="1h")),
                                      levels_of(two, width))


def test_polarities_are_of_one_kind():
    def of(*blocks):
        return EventStream([{"t": [0] * len(p), "x": [0] * len(p), "y": [0] * len(p), "p": p} for p in blocks])

    for blocks in (([0, 1], [1, 0]), ([-1, 1], [1], [-1]), ([1], [1.0, -1.0]), ([True], [False])):
        darker = [value > 0 for p in blocks for value in p]
        assert of(*blocks).read()["p"].tolist() == darker
    for blocks in (([-1, 0, 1],), ([-1, 1], [0]), ([0.0], [1], [-1])):
        with pytest.raises(DataError,
                           match="p has both -1 and 0, expected 0 and 1, or -1 and 1: leave out the events"):
            of(*blocks).read()


@pytest.mark.parametrize("p", [2, 255])
def test_polarities_of_blocks_are_checked(p):
    block = np.zeros(3, EVENT)
    block["p"] = [0, 1, p]
    for make in (lambda: EventStream([block]).read(), lambda: EventStream.from_numpy(block),
                 lambda: block_of(block)):
        with pytest.raises(DataError, match=f"p has values from 0 to {p}, expected 0 and 1, or -1 and 1"):
            make()


def test_a_source_without_end_is_binned_as_it_comes():
    def endless():
        t = 0
        while True:
            yield {"t": np.arange(t, t + 100), "x": np.zeros(100, int), "y": np.zeros(100, int),
                   "p": np.ones(100, int)}
            t += 100

    found = EventStream(endless(), sensor_size=(1, 1)).bins(1000, at_once=2)
    for _ in range(5):
        assert next(found)[:, 1, 0, 0].tolist() == [1000, 1000]


def test_late_events_by_the_stated_rule():
    late = {"t": [0, 100, 250, 190, 260, 120, 249], "x": [0] * 7, "y": [0] * 7, "p": [1] * 7}
    for at_once in (1, 100):
        bins = EventStream.from_numpy(late, (1, 1)).bins(100, at_once=at_once)
        assert joined(bins)[:, 1, 0, 0].tolist() == [1, 1, 3] and bins.n_late == 2
        bins = EventStream.from_numpy(late, (1, 1)).bins(100, slack=59, at_once=at_once)  # 190 is 60 behind 250
        assert joined(bins)[:, 1, 0, 0].tolist() == [1, 2, 3] and bins.n_late == 1


def test_a_wild_time_ends_bins_instead_of_becoming_steps():
    wild = {"t": [0, 100, 150, 3 * 10**14, 200], "x": [0] * 5, "y": [0] * 5, "p": [1] * 5}
    bins = in_pieces(wild, 3).bins(100, at_once=1)
    assert next(bins)[0, 1, 0, 0] == 1
    with pytest.raises(DataError,
                       match="an event at t = 300000000000000 us .* 150 us, .* at most 60 s is run: mend"):
        list(bins)
    short = {**{name: values[:4] for name, values in wild.items()}, "t": [0, 100, 150, 700]}
    with pytest.raises(DataError, match="silence of at most 0.0005 s is run"):
        list(in_pieces(short, 3).bins(100, longest_gap="500us"))
    assert len(joined(in_pieces(short, 3).bins(100, longest_gap=550))) == 8


def test_crop_downsample_and_orient():
    x, y, t = EVENTS["x"], EVENTS["y"], EVENTS["t"]
    cropped = stream().crop(x=(5, 15), y=(2, 10))
    inside = (x >= 5) & (x < 15) & (y >= 2)
    found = cropped.read()
    assert cropped.sensor_size == (8, 10)
    np.testing.assert_array_equal([found["x"], found["y"]], [x[inside] - 5, y[inside] - 2])
    timed = stream().crop(t=(3000, 4000))
    assert timed.start == 3000 and len(timed.read()) == ((t >= 3000) & (t < 4000)).sum()
    smaller = stream().downsample(3)
    assert smaller.sensor_size == (4, 7)
    np.testing.assert_array_equal(smaller.read()["x"], x // 3)
    turned = stream().oriented("-y", "x")
    assert turned.sensor_size == (20, 10)
    np.testing.assert_array_equal([turned.read()["x"], turned.read()["y"]], [9 - y, x])
    np.testing.assert_array_equal(stream().oriented("-x", "y").read()["x"], 19 - x)
    np.testing.assert_array_equal(stream().read()["x"], x)  # nothing of the above changed the events themselves


def test_what_a_stream_refuses():
    for make, match in (
        (lambda: stream(size=None).bins(10), "does not say how many pixels its sensor has"),
        (lambda: stream(size=(5, 5)).read(), r"outside the sensor of 5 x 5 pixels"),
        (lambda: stream().crop(x=(5, 30)), "cannot be cropped to x 5 to 30"),
        (lambda: stream().crop(x=3), r"to x=3, expected \(first, stop\), whole columns of pixels"),
        (lambda: stream().crop(x=0), "cannot be cropped to x=0, expected"),
        (lambda: stream().crop(x=(0.5, 2)), r"to x=\(0.5, 2\), expected \(first, stop\), whole columns of pixels"),
        (lambda: stream().crop(y=(0, "2")), "expected .*, whole rows of pixels"),
        (lambda: stream().crop(y=(3, 2)), "the first not above the other"),
        (lambda: stream().crop(t=(20.7, 101)), r"to t=\(20.7, 101\), expected .*, whole microseconds"),
        (lambda: stream().crop(t=(np.nan, 101)), "whole microseconds"),
        (lambda: stream().downsample(0), "cannot be downsampled by 0"),
        (lambda: stream().downsample(None), "cannot be downsampled by None, expected a whole number"),
        (lambda: stream().downsample(np.inf), "cannot be downsampled by inf"),
        (lambda: stream().downsample("2"), "cannot be downsampled by '2'"),
        (lambda: stream().oriented("x", "x"), "cannot be oriented"),
        (lambda: stream().oriented(x=None), "cannot be oriented to x=None, y='y', expected x and y, each once"),
        (lambda: stream().bins(10, slack=-50), "slack is -50, expected a time from 0 on"),
        (lambda: stream().bins(10, slack=np.nan), "slack is nan, expected microseconds"),
        (lambda: stream().bins(10, at_once=0), "at_once is 0, expected a whole number from 1 on"),
        (lambda: stream(size="4x4"), r"sensor_size is '4x4', expected \(height, width\) in pixels"),
        (lambda: stream(size=(4,)), r"sensor_size is \(4,\), expected"),
        (lambda: stream(size=(4.5, 4)), "sensor_size is"),
        (lambda: EventStream([], start="now"), "start is 'now', expected microseconds"),
        (lambda: EventStream(5), "events: blocks is 5, expected an iterable of blocks of events"),
        (lambda: stream().oriented(x=["x"]), "cannot be oriented"),
        (lambda: stream({**EVENTS, "t": [[1], [2, 3]]}), "t of the events is .*, expected one number per event"),
        (lambda: EventStream.from_numpy({"t": [1], "x": [1]}), "no column 'y' of events"),
        (lambda: EventStream.from_numpy({"t": [1], "x": [1], "y": [1, 2], "p": [1]}), "1, 1, 2, 1 events"),
        (lambda: EventStream.from_numpy({"t": [1], "x": [0.5], "y": [1], "p": [1]}), "x has values from 0.5"),
        (lambda: EventStream.from_numpy(np.zeros((3, 4))), "no column 't'"),
    ):
        with pytest.raises(DataError, match=match):
            make()


def test_spans_and_slacks_of_every_kind_of_number():
    t = EVENTS["t"]
    for span in ((3000, 4000), (3000.0, 3999.5), np.array([3000, 4000])):
        assert len(stream().crop(t=span).read()) == ((t >= 3000) & (t < 4000)).sum()
    assert len(stream().crop(t=(3000, np.inf)).read()) == (t >= 3000).sum()
    assert stream().crop(x=(2.0, 5.0)).sensor_size == (10, 3) and stream(size=np.array(SIZE)).sensor_size == SIZE
    first = stream().crop(x=(2, 9), t=(3001, 4000))
    inside = (EVENTS["x"] >= 2) & (EVENTS["x"] < 9) & (t >= 3001) & (t < 4000)
    steps = joined(first.bins(10)).sum(axis=(1, 2, 3))
    np.testing.assert_array_equal(steps, np.bincount((t[inside] - 3001) // 10))
    np.testing.assert_array_equal(joined(stream().bins(100, slack="1ms")), joined(stream().bins(100, slack=1000)))


# ---- times that are no whole microseconds


SECONDS = {**EVENTS, "t": EVENTS["t"] / 1e6}


@pytest.mark.parametrize("make", [
    lambda: EventStream.from_numpy(SECONDS), lambda: EventStream([SECONDS]).read(), lambda: block_of(SECONDS),
    lambda: block_of({**SECONDS, "t": SECONDS["t"].astype(np.float32)}),
    lambda: block_of({**EVENTS, "t": EVENTS["t"] + 0.5}),
])
def test_fractions_of_a_microsecond_are_refused(make):
    with pytest.raises(DataError, match=r"t has .*, expected whole microseconds: of seconds give 1e6 \* t"):
        make()


def test_whole_times_in_floats_are_taken():
    t = np.random.default_rng(1).integers(0, 1 << 40, 5000)
    events = {"t": t / 1e6 * 1e6, **{key: np.zeros(5000, int) for key in "xyp"}}  # differ in their last digit
    assert (events["t"] != t).any() and (block_of(events)["t"] == t).all()
    for dtype in (np.float16, np.float32, np.longdouble):
        one = {"t": np.array([0, 3, 1500], dtype), **{key: [0] * 3 for key in "xyp"}}
        assert block_of(one)["t"].tolist() == [0, 3, 1500]


def test_seconds_are_not_binned_as_microseconds():
    bins = EventBins(1000, sensor_size=(4, 4))
    with pytest.raises(DataError, match="t has 0.01, and all events are within the first step of 1000 us"):
        bin_events([1, 2], [1, 2], [0, 1], [0.01, 0.9], bins, 4)
    assert bin_events([1, 2], [1, 2], [0, 1], [0.5, 1000.5], bins, 4).sum(axis=(1, 2, 3)).tolist() == [1, 1, 0, 0]
    assert bin_events([1], [1], [0], [0.5], bins, 1).sum() == bin_events([1], [1], [0], [0.0], bins, 4).sum() == 1


@pytest.mark.parametrize("change, match", [
    (dict(timesteps=0), "timesteps is 0, expected a whole number from 1 on"),
    (dict(timesteps=2.5), "timesteps is 2.5, expected"),
    (dict(events=(4, 4)), r"events is \(4, 4\), expected an EventBins"),
])
def test_what_binning_refuses(change, match):
    with pytest.raises(DataError, match=match):
        bin_events([1], [1], [0], [5], **{"events": EventBins(10, sensor_size=(4, 4)), "timesteps": 2, **change})


# ---- data sets


def read_all(dataset, size=3):
    parts = list(dataset.batches(size))
    return [x for part, _ in parts for x in part]


def test_each_recording_has_its_own_length(tmp_path):
    lengths = []
    for i, n in enumerate((500, 20, 1000)):
        events = made_events(n, seed=i, step=9)
        np.save(tmp_path / f"{i}.npy", structured(events))
        lengths.append(len(levels_of(events)))
    dataset = open_dataset(tmp_path, NODE)
    assert dataset.lengths.tolist() == lengths and dataset.n_steps == max(lengths) and dataset.labels is None
    for i, x in enumerate(read_all(dataset)):
        np.testing.assert_array_equal(x[: lengths[i]], levels_of(made_events((500, 20, 1000)[i], seed=i, step=9)))
        assert not x[lengths[i]:].any()
    fixed = open_dataset(tmp_path, NODE, 7)
    assert fixed.lengths is None and all(len(x) == 7 for x in read_all(fixed)) and fixed.n_dropped_events > 0
    one = open_dataset(tmp_path / "1.npy", NODE)
    assert len(one) == 1 and one.lengths.tolist() == [lengths[1]]


def test_a_row_takes_the_same_levels(tmp_path):
    np.save(tmp_path / "a.npy", structured(EVENTS))
    [square] = read_all(open_dataset(tmp_path / "a.npy", NODE))
    [row] = read_all(open_dataset(tmp_path / "a.npy", Input((400,), bits=8, events=NODE.events)))
    np.testing.assert_array_equal(row, square.reshape(len(square), -1))


def test_frames_of_a_number_as_spikingjelly_makes_them(tmp_path):
    np.save(tmp_path / "a.npy", structured(EVENTS))
    channel, n, t = (EVENTS["p"], EVENTS["y"], EVENTS["x"]), 2000, EVENTS["t"]
    for split in ("number", "time"):
        expected, each = np.zeros((7, 2, *SIZE), int), (t[-1] - t[0]) // 7
        for i in range(7):  # integrate_events_by_fixed_frames_number
            part = slice(i * (n // 7), (i + 1) * (n // 7) if i < 6 else n)
            if split == "time":
                first, stop = t[0] + each * i, t[0] + each * (i + 1)
                inside = np.flatnonzero((t >= first) & ((t < stop) | (i == 6)))
                part = slice(inside[0], inside[-1] + 1)
            np.add.at(expected[i], tuple(column[part] for column in channel), 1)
        [found] = read_all(open_dataset(tmp_path / "a.npy", NODE, 7, split=split))
        np.testing.assert_array_equal(found, expected)
    with pytest.raises(DataError, match="split='number' cuts recordings into timesteps"):
        open_dataset(tmp_path, NODE, split="number")


def test_class_folders_and_their_parts(tmp_path):
    """N-Caltech101 and CIFAR10-DVS have no parts of their own: the last share of each class, by name."""
    for name in ("airplanes", "Faces_easy"):
        for i in range(10):
            (tmp_path / "caltech" / name).mkdir(parents=True, exist_ok=True)
            write_recording(tmp_path / "caltech" / name / f"image_{i:04}.bin", [1], [2], [1], [5])
            (tmp_path / "cifar" / name).mkdir(parents=True, exist_ok=True)
            write_aedat2(tmp_path / "cifar" / name / f"{name}_{i}.aedat", EVENTS)
    dataset = open_dataset(tmp_path / "caltech", NODE, 5, test_share=0.1)
    assert dataset.labels.tolist() == [0, 1]  # Faces_easy, airplanes: as Python sorts
    assert len(open_dataset(tmp_path / "caltech", NODE, 5, test_share=0.1, part="train")) == 18
    assert len(open_dataset(tmp_path / "caltech", NODE, 5)) == 20
    with pytest.raises(DataError,
                       match="128 x 128 pixels, but the model's input takes 20 x 10: crop or downsample"):
        read_all(open_dataset(tmp_path / "cifar", NODE, 5))
    found = read_all(open_dataset(tmp_path / "cifar", NODE, 5, crop=(0, 0, 20, 10), test_share=0.1))
    np.testing.assert_array_equal(found[0], levels_of(EVENTS)[:5])


def class_folders(folder, **n_files):
    for name, n in n_files.items():
        (folder / name).mkdir(parents=True)
        for i in range(n):
            write_recording(folder / name / f"{i}.bin", [1], [2], [1], [5])
    return folder


def test_a_share_that_leaves_a_class_without_samples_is_said(tmp_path):
    folder = class_folders(tmp_path / "a", cat=2, dog=10)
    dataset = open_dataset(folder, NODE, 5, test_share=0.1)
    assert dataset.labels.tolist() == [1]
    assert "test_share 0.1 leaves the test part nothing of class 'cat'" in dataset.notes
    for options in (dict(test_share=0.5), dict(test_share=0.1, part="train"),
                    dict(test_share=0.1, part="all"), {}):
        assert not any("leaves" in text for text in open_dataset(folder, NODE, 5, **options).notes)


@pytest.mark.parametrize("names", [("cat", "dog"), ("0", "1")])
def test_a_share_that_leaves_no_sample_at_all_is_refused(tmp_path, names):
    folder = class_folders(tmp_path / "a", **dict.fromkeys(names, 2))
    with pytest.raises(DataError, match="a: test_share is 0.1, which leaves the test part nothing of classes of "
                                        r"at most 2 files: give a larger one \(--test-share\)$"):
        open_dataset(folder, NODE, 5, test_share=0.1)
    assert len(open_dataset(folder, NODE, 5, test_share=0.5)) == 2


def test_gestures_from_their_beginning_to_their_end(tmp_path):
    t = EVENTS["t"]
    spans = [(3, int(t[10]), int(t[700])), (11, int(t[700]), int(t[1500]))]
    write_gestures(tmp_path, {"user24_fluorescent": (EVENTS, spans)})
    node = Input((2, 128, 128), bits=8, events=EventBins(100, sensor_size=(128, 128)))
    dataset = open_dataset(tmp_path, node)
    assert dataset.labels.tolist() == [2, 10]
    for x, length, (_, first, stop) in zip(read_all(dataset), dataset.lengths, spans):
        inside = (t >= first) & (t < stop)
        assert x.sum() == inside.sum() and length == (t[inside][-1] - first) // 100 + 1
    (tmp_path / "user24_fluorescent_labels.csv").write_text("class,startTime_usec,endTime_usec\n1,2\n")
    with pytest.raises(DataError, match="line 2 is '1, 2, None', expected whole numbers class, startTime_usec"):
        open_dataset(tmp_path, node)
    for name in ("absent.aedat", f"../{tmp_path.name}/user24_fluorescent.aedat",
                 str(tmp_path / "user24_fluorescent.aedat")):
        (tmp_path / "trials_to_test.txt").write_text(f"{name}\n")
        with pytest.raises(DataError, match=f"names '{name}', which is not in the folder"):
            open_dataset(tmp_path, node)


def test_steps_beyond_what_memory_has_are_refused_at_once(tmp_path):
    np.save(tmp_path / "events.npy", structured(EVENTS))
    for timesteps in (1 << 24, 999_999_999_999_999_999):
        with pytest.raises(DataError, match=f"events.npy: {timesteps} steps take .* bytes as levels, at most"):
            open_dataset(tmp_path / "events.npy", NODE, timesteps)


def test_shd_as_a_data_set(tmp_path):
    recordings = [([0.25, 0.5], [3, 699]), ([0.125], [5])]
    write_shd(tmp_path / "shd_test.h5", recordings, [4, 1], ["zero", "one"])
    node = Input((140,), bits=4, events=EventBins(125000, "one", sensor_size=(1, 140)))
    dataset = open_dataset(tmp_path / "shd_test.h5", node, downsample=5)
    assert dataset.labels.tolist() == [4, 1] and dataset.lengths.tolist() == [5, 2]
    first, second = read_all(dataset)
    assert np.argwhere(first).tolist() == [[2, 0], [4, 139]] and np.argwhere(second).tolist() == [[1, 1]]
    one = open_dataset(tmp_path / "shd_test.h5", node, downsample=5, sample=1)
    assert one.labels.tolist() == [1] and one.lengths.tolist() == [2]
    np.testing.assert_array_equal(read_all(one), [second[:2]])
    with pytest.raises(DataError, match=r"holds 2 recordings; give the number of one.*\(it was 2\)"):
        open_dataset(tmp_path / "shd_test.h5", node, downsample=5, sample=2)


def test_plain_npy_frames(tmp_path):
    x = np.random.default_rng(0).integers(0, 2, (4, 5, 2, *SIZE), np.uint8)
    np.save(tmp_path / "frames.npy", x)
    np.testing.assert_array_equal(read_all(open_dataset(tmp_path / "frames.npy", NODE)), x)


def test_notes_are_counted(tmp_path):
    for name in "ab":
        write_dat(tmp_path / f"{name}.dat", {**EVENTS, "t": EVENTS["t"] + (1 << 32) - 5000})
    (tmp_path / "b.dat").write_bytes((tmp_path / "b.dat").read_bytes()[:-3])
    with pytest.raises(DataError, match="b.dat: .*truncated"):
        open_dataset(tmp_path, NODE)
    dataset = open_dataset(tmp_path, NODE, keep_going=True)
    read_all(dataset)
    assert sorted(dataset.notes.values()) == [1, 2] and "clock of 32 bits ran over" in max(
        dataset.notes, key=dataset.notes.get)
