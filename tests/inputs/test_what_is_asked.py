"""What is asked of data is done, or refused in one line: nothing else is computed without a word."""

import gzip
import struct

import h5py
import numpy as np
import pytest
from event_files import (
    made_events, structured, write_aedat2, write_dat, write_gestures, write_recording, write_shd,
)

import eventsim
from eventsim import EventBins, EventStream, Input
from eventsim.errors import DataError
from eventsim.inputs.dataset import open_dataset
from eventsim.inputs.event_files.options import EventOptions, microseconds
from eventsim.inputs.live import event_stream

SIZE = (10, 20)
EVENTS = made_events()
NODE = Input((2, *SIZE), bits=12, events=EventBins(100, sensor_size=SIZE))
IMAGES = Input((1, 2, 3), "image", 8)
COLOURS = Input((3, 32, 32), "image", 8)


def idx(array):
    head = struct.pack(">BBBB", 0, 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    return gzip.compress(head + array.astype(np.uint8).tobytes())


def mnist(folder, *parts):
    """Images of a part have its number as all values and labels: 1 of train, 2 of t10k."""
    folder.mkdir(exist_ok=True)
    for part in parts:
        value, n = (1, 5) if part == "train" else (2, 3)
        (folder / f"{part}-images-idx3-ubyte.gz").write_bytes(idx(np.full((n, 2, 3), value)))
        (folder / f"{part}-labels-idx1-ubyte.gz").write_bytes(idx(np.full(n, value)))
    return folder


def cifar(folder, *names):
    """Three images in each file, whose label is the place of the name."""
    folder.mkdir(exist_ok=True)
    for i, name in enumerate(names):
        (folder / name).write_bytes(np.full((3, 3073), i, np.uint8).tobytes())
    return folder


def recording(path, t=5, events=EVENTS):
    """One event, at x = 1, y = 2; or, by suffix, all of some."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".bin":
        write_recording(path, [1], [2], [1], [t])
    elif path.suffix == ".npy":
        np.save(path, structured(events))
    elif path.suffix == ".npz":
        np.savez(path, **events)
    elif path.suffix == ".csv":
        path.write_text("t,x,y,p\n" + "".join("%d,%d,%d,%d\n" % row for row in zip(*(events[k] for k in "txyp"))))
    elif path.suffix == ".aedat":
        write_aedat2(path, events)
    elif path.suffix == ".dat":
        write_dat(path, events)
    elif path.suffix == ".h5":
        write_shd(path, [([0.25], [3]), ([0.5], [4])], [4, 1])
    return path


def nmnist(folder, *parts):
    for part in parts:
        for digit in (0, 3):
            recording(folder / part / str(digit) / f"{part}.bin")
    return folder


def read_all(dataset):
    parts = list(dataset.batches(2))
    labels = None if parts[0][1] is None else np.concatenate([y for _, y in parts])
    return np.concatenate([x for x, _ in parts]), labels


def refused(path, node, match, timesteps=5, **options):
    """In one line that names the file."""
    with pytest.raises(DataError, match=match) as caught:
        read_all(open_dataset(path, node, timesteps, **options))
    assert str(caught.value).startswith(f"{path}") and "\n" not in str(caught.value), caught.value


# ---- options that do not apply

TEN = tuple(f"data_batch_{i}.bin" for i in range(1, 6))


@pytest.mark.parametrize("make, node, labels", [
    (lambda f: mnist(f, "train", "t10k"), IMAGES, {"train": [1] * 5, "test": [2] * 3, "all": [1] * 5 + [2] * 3}),
    (lambda f: cifar(f, *TEN, "test_batch.bin"), COLOURS, {
        "train": np.repeat(range(5), 3), "test": [5] * 3, "all": np.repeat(range(6), 3)}),
    (lambda f: nmnist(f, "Train", "Test"), NODE, {"train": [0, 3], "test": [0, 3], "all": [0, 3, 0, 3]}),
])
def test_each_part_of_a_folder_is_read(tmp_path, make, node, labels):
    folder = make(tmp_path / "data")
    for part, expected in labels.items():
        dataset = open_dataset(folder, node, 5 if node is NODE else None, part=part)
        x, y = read_all(dataset)
        assert y.tolist() == dataset.labels.tolist() == list(expected) and len(x) == len(dataset) == len(y)
        if node is not NODE:
            assert (x.reshape(len(y), -1) == y[:, None]).all()
            rest, labels_of_rest = (np.concatenate(each) for each in zip(*dataset.batches(2, len(y) - 1, 1)))
            np.testing.assert_array_equal(labels_of_rest, y[1:-1])
            np.testing.assert_array_equal(rest, x[1:-1])
    assert open_dataset(folder, node, 5 if node is NODE else None).labels.tolist() == list(labels["test"])


WITHOUT_PARTS = "has no parts, Train and Test: leave part out .--part."
SHARE = dict(test_share=0.1)
TRAIN = dict(part="train")


@pytest.mark.parametrize("make, node, options, match", [
    (lambda f: mnist(f, "t10k"), IMAGES, TRAIN, "no train part, only t10k-images-idx3-ubyte.gz: .*--part test"),
    (lambda f: mnist(f, "t10k"), IMAGES, dict(part="all"), "no train part, only t10k-images-idx3-ubyte.gz"),
    (lambda f: mnist(f, "train"), IMAGES, {}, "no test part, only train-images-idx3-ubyte.gz: .*--part train"),
    (lambda f: mnist(f, "train"), IMAGES, SHARE, "test_share does not apply to a folder that has parts"),
    (lambda f: cifar(f, "test_batch.bin"), COLOURS, TRAIN, "no train part, only test_batch.bin"),
    (lambda f: cifar(f, *TEN), COLOURS, {}, "no test part, only data_batch_1.bin, .*--part train"),
    (lambda f: cifar(f, *TEN[:2]), COLOURS, TRAIN, "has only data_batch_1.bin, data_batch_2.bin of"),
    (lambda f: nmnist(f, "Test"), NODE, TRAIN, "no train part, only Test: .*--part test"),
    (lambda f: nmnist(f, "Train"), NODE, {}, "no test part, only Train: .*--part train"),
    (lambda f: nmnist(f, "Train", "Test"), NODE, SHARE, "test_share does not apply to a folder that has parts"),
    (lambda f: nmnist(f, "Test") / "Test", NODE, TRAIN, WITHOUT_PARTS + ", or say which share"),
    (lambda f: recording(f / "a.bin").parent, NODE, TRAIN, WITHOUT_PARTS + "$"),
    (lambda f: recording(f / "a.bin").parent, NODE, SHARE, "test_share does not apply to a folder without class"),
    (lambda f: recording(f / "a.bin"), NODE, TRAIN, "part does not apply to a file, .*leave it out .--part"),
    (lambda f: recording(f / "a.bin"), NODE, SHARE, "test_share does not apply to a file"),
    (lambda f: mnist(f, "train") / "train-images-idx3-ubyte.gz", IMAGES, TRAIN, "part does not apply to a file"),
    (lambda f: write_gestures(f, {"a": (EVENTS, [])}) or f, NODE, TRAIN, "no train part, only trials_to_test.txt"),
    (lambda f: write_gestures(f, {"a": (EVENTS, [])}) or f, NODE, SHARE, "test_share does not apply"),
])
def test_parts_that_are_not_there_are_refused(tmp_path, make, node, options, match):
    refused(make(tmp_path / "data"), node, match, **options)


def values(path):
    """Images (4, 2, 3) in a file of any kind."""
    x = np.ones((4, 2, 3), np.uint8)
    if path.suffix == ".npz":
        np.savez(path, x=x)
    elif path.suffix == ".npy":
        np.save(path, x)
    elif path.suffix == ".h5":
        with h5py.File(path, "w") as file:
            file["x"] = x
    else:
        path.write_bytes(idx(x))
    return path


OF_EVENTS = {
    "sensor_size": (2, 3), "time_unit": 1e-3, "columns": "txyp", "keep_going": True, "sample": 0,
    "longest_gap": "5min", "crop": (0, 0, 1, 1), "downsample": 2, "orient": ("-x", "y"), "split": "number",
}


@pytest.mark.parametrize("name", ["a.npz", "a.npy", "a.h5", "a.idx3"])
@pytest.mark.parametrize("option", OF_EVENTS)
def test_options_of_recordings_do_not_apply_to_values(tmp_path, name, option):
    path = values(tmp_path / name)
    flag = "--" + option.replace("_", "-")
    refused(path, IMAGES, rf": {option} does not apply to values, .*: leave it out \({flag}\)",
            **{option: OF_EVENTS[option]})
    assert len(open_dataset(path, IMAGES, downsample=1, split="width", keep_going=False)) == 4


def test_options_of_encoders_do_not_apply_without_one(tmp_path):
    path = values(tmp_path / "a.npy")
    for options in (dict(seed=5), dict(full_scale=255.0)):
        with pytest.raises(DataError, match="does not apply where nothing is encoded: leave it out"):
            open_dataset(path, IMAGES, **options)
    refused(path, IMAGES, r": seed does not apply to latency, which draws nothing", encode="latency", seed=5)


@pytest.mark.parametrize("name", ["a.bin", "a.aedat", "a.dat", "a.h5", "a.csv", "a.npy", "a.npz"])
@pytest.mark.parametrize("option, value", [("time_unit", 1e-6), ("columns", "txyp"), ("sample", 0)])
def test_options_of_some_formats_do_not_apply_to_others(tmp_path, name, option, value):
    path = recording(tmp_path / name)
    if option == "sample" and name == "a.h5" or option != "sample" and name in ("a.csv", "a.npy"):
        eventsim.open_events(path, **{option: value}).read()
    elif option == "time_unit" and name == "a.npz":
        eventsim.open_events(path, time_unit=value).read()
    else:
        with pytest.raises(DataError, match=f"{name}: {option} does not apply to .*: leave it out"):
            eventsim.open_events(path, keep_going=True, **{option: value}).read()


@pytest.mark.parametrize("name, message", [
    ("b.csv", "b.csv: no such file$"),
    ("recordings/first.npz", "no such file, did you mean .*recordings/first.csv"),
    ("recordings/b/c.csv", "no such file; there is no folder"),
    ("recordings", "is a folder, expected one recording .*; name one in it: .*first.csv"),
])
def test_missing_recordings_and_folders_of_them(tmp_path, name, message):
    recording(tmp_path / "recordings" / "first.csv")
    for opened in (eventsim.open_events, lambda path: event_stream(path, EventOptions())):
        with pytest.raises(DataError, match=message) as caught:
            opened(tmp_path / name)
        assert "damaged" not in str(caught.value) and "\n" not in str(caught.value)


def test_options_that_open_events_does_not_have(tmp_path):
    with pytest.raises(DataError, match="^'sensorsize' is no option, .*; did you mean 'sensor_size'"):
        eventsim.open_events(recording(tmp_path / "a.csv"), sensorsize=(10, 20))
    with pytest.raises(DataError, match="^path is 5, expected a path"):
        eventsim.open_events(5)


def test_options_of_files_do_not_apply_to_other_sources():
    for source in (EventStream.from_numpy(EVENTS), structured(EVENTS), "udp://127.0.0.1:3333"):
        for options in (dict(time_unit=1e-3), dict(columns="txyp"), dict(sample=0)):
            with pytest.raises(DataError, match=f"{next(iter(options))} does not apply to .*: leave it out"):
                event_stream(source, EventOptions(**options))


def test_a_sensor_that_a_recording_says_itself(tmp_path):
    path = recording(tmp_path / "a.aedat")
    node = Input((2, 128, 128), bits=12, events=EventBins(100, sensor_size=(128, 128)))
    refused(path, node, "its sensor has 128 x 128 pixels, but sensor_size is .10, 20.", sensor_size=SIZE)
    assert len(open_dataset(path, node, 5, sensor_size=(128, 128))) == 1


# ---- class folders


def test_hidden_files_and_folders_are_no_data(tmp_path):
    for name in ("0/a.bin", "3/b.bin", ".cache/c.bin", "0/._a.bin", "._x/d.bin"):
        recording(tmp_path / name)
    (tmp_path / "0" / "._a.bin").write_bytes(b"no recording")
    assert read_all(open_dataset(tmp_path, NODE, 5))[1].tolist() == [0, 3]
    (tmp_path / "flat").mkdir()
    recording(tmp_path / "flat" / "a.bin")
    (tmp_path / "flat" / "._a.bin").write_bytes(b"no recording")
    assert len(open_dataset(tmp_path / "flat", NODE, 5)) == 1


@pytest.mark.parametrize("names, odd", [(("0", "1", "notes"), r"\(notes\)"), (("cat", "dog", "7"), r"\(7\)")])
def test_class_folders_of_numbers_and_names_are_refused(tmp_path, names, odd):
    for name in names:
        recording(tmp_path / name / "a.bin")
    refused(tmp_path, NODE, f"has class folders named by numbers and others {odd}, expected all .* move it out")


@pytest.mark.parametrize("names, said", [
    (("b", "a"), "0 a, 1 b"), (("v", "w", "x", "y", "z"), "0 v, 1 w, 2 x, ..., 4 z"), (("0", "7"), None),
])
def test_labels_by_the_order_of_names_are_said(tmp_path, names, said):
    for name in names:
        recording(tmp_path / name / "a.bin")
    dataset = open_dataset(tmp_path, NODE, 5)
    read_all(dataset)
    text = f"labelled by the place of its class folder in sorted order: {said}"
    assert dict(dataset.notes) == ({} if said is None else {text: len(names)})


def test_classes_are_those_of_all_parts(tmp_path):
    for name in ("Train/a", "Train/b", "Train/c", "Test/a", "Test/c"):
        recording(tmp_path / name / "a.bin")
    for part, expected in (("train", [0, 1, 2]), ("test", [0, 2]), ("all", [0, 1, 2, 0, 2])):
        assert open_dataset(tmp_path, NODE, 5, part=part).labels.tolist() == expected


# ---- recordings out of order


@pytest.mark.parametrize("split, timesteps", [("width", None), ("width", 20), ("number", 7), ("time", 7)])
def test_the_order_in_a_file_does_not_matter(tmp_path, split, timesteps):
    events = {**EVENTS, "t": 1000 + 7 * np.arange(300)}  # no two at one time
    order = np.random.default_rng(1).permutation(300)
    found = []
    for name, taken in (("sorted", events), ("mixed", {key: column[order] for key, column in events.items()})):
        dataset = open_dataset(recording(tmp_path / f"{name}.npy", events=taken), NODE, timesteps, split=split)
        found.append((read_all(dataset)[0], dataset.n_dropped_events))
    np.testing.assert_array_equal(found[0][0], found[1][0])
    assert found[0][1] == found[1][1] and found[1][0].sum() + found[1][1] == 300


def test_an_event_long_before_all_others_is_refused_where_silence_is_run(tmp_path):
    t = np.append(np.arange(50) * 10 + 100_000_000, 5)
    path = recording(tmp_path / "a.npy", events={"t": t, **{key: EVENTS[key][:51] for key in "xyp"}})
    for timesteps, split in ((None, "width"), (5, "time")):
        refused(path, NODE, "an event at t = 5 us comes 100 s before 100000000 us, the smallest", timesteps,
                split=split)
    dataset = open_dataset(path, NODE, 5)
    assert read_all(dataset)[0].sum() == 1 and dataset.n_dropped_events == 50
    assert open_dataset(path, NODE, keep_going=True).lengths.tolist() == [5]


def test_events_before_the_first_step_are_counted(tmp_path, monkeypatch):
    from eventsim.inputs.event_files import dat

    opened = dat.recording_in
    monkeypatch.setattr(dat, "recording_in", lambda path, options: EventStream(
        opened(path, options)._blocks, str(path), SIZE, int(EVENTS["t"][100])))
    dataset = open_dataset(recording(tmp_path / "a.dat"), NODE, 1000)
    assert read_all(dataset)[0].sum() + dataset.n_dropped_events == 300 and dataset.n_dropped_events >= 99


# ---- sizes and columns


@pytest.mark.parametrize("change", [
    lambda s: s.crop(x=(0, 5)), lambda s: s.downsample(2), lambda s: s.oriented("-x"),
])
def test_a_sensor_without_a_size_cannot_be_changed(change):
    with pytest.raises(DataError,
                       match="arrays: does not say how many pixels .* so it cannot .*--sensor-size HxW"):
        change(EventStream.from_numpy(EVENTS))


def ordered_file(path):
    """Events in the order x, y, p, t, by named columns."""
    rows = np.empty(300, [(key, np.int64) for key in "xypt"])
    for key in "xypt":
        rows[key] = EVENTS[key]
    if path.suffix == ".csv":
        np.savetxt(path, np.stack([EVENTS[key] for key in "xypt"], 1), "%d", ",", header="x,y,p,t", comments="")
    elif path.suffix == ".npy":
        np.save(path, rows)
    elif path.suffix == ".npz":
        np.savez(path, events=rows)
    else:
        with h5py.File(path, "w") as file:
            file["events"] = rows
    return path


@pytest.mark.parametrize("name", ["a.csv", "a.npy", "a.npz", "a.h5"])
def test_columns_that_a_file_names(tmp_path, name):
    path = ordered_file(tmp_path / name)
    for options in ({}, {"columns": "xypt"}):
        np.testing.assert_array_equal(eventsim.open_events(path, **options).read()["t"], EVENTS["t"])
    with pytest.raises(DataError, match=f"{name}: names its columns in the order xypt, but columns is 'txyp'"):
        eventsim.open_events(path, columns="txyp", keep_going=True).read()


def test_columns_of_lines_that_come(tmp_path):
    path = ordered_file(tmp_path / "a.csv")
    for columns, fits in (("xypt", True), ("txyp", False)):
        with open(path, "rb", buffering=0) as file:
            stream = event_stream(file, EventOptions(columns=columns))
            if fits:
                np.testing.assert_array_equal(stream.read()["t"], EVENTS["t"])
                continue
            with pytest.raises(DataError, match="names its columns in the order xypt, but columns is 'txyp'"):
                stream.read()


# ---- values or events


@pytest.mark.parametrize("name", ["a.npz", "a.h5"])
@pytest.mark.parametrize("arrays, said", [
    (["labels"], "holds labels beside the samples; not read; labels are read where they are named y"),
    (["y", "extra"], "holds extra beside the samples; not read"), (["y"], None), ([], None),
])
def test_arrays_that_are_not_read_are_said(tmp_path, name, arrays, said):
    held = {"x": np.ones((4, 2, 3), np.uint8), **{each: np.arange(4) for each in arrays}}
    if name == "a.npz":
        np.savez(tmp_path / name, **held)
    else:
        with h5py.File(tmp_path / name, "w") as file:
            file.update(held)
    dataset = open_dataset(tmp_path / name, IMAGES)
    read_all(dataset)
    assert dict(dataset.notes) == ({} if said is None else {said: 1})


@pytest.mark.parametrize("names", [("arr_0",), ("arr_0", "arr_1"), ("data", "labels"), ("events", "y")])
@pytest.mark.parametrize("shape", [(4, 2, 3), (4, 6), (4,)])
def test_images_without_their_name_are_no_recording(tmp_path, names, shape):
    others = {name: np.arange(4) for name in names[1:]}
    np.savez(tmp_path / "a.npz", **{names[0]: np.ones(shape, np.uint8)}, **others)
    refused(tmp_path / "a.npz", IMAGES, r"expected x.npy and optionally y.npy: name them, np.savez\(file, x=x")


def test_four_columns_without_a_name_are_told_both_remedies(tmp_path):
    np.savez(tmp_path / "a.npz", np.ones((5, 4), int))
    refused(tmp_path / "a.npz", NODE, r"--columns txyp.*; samples are to be named: np.savez\(file, x=x, y=y\)")


@pytest.mark.parametrize("name", ["a.npz", "a.h5"])
def test_samples_beside_arrays_named_as_columns_are_values(tmp_path, name):
    held = {"x": np.ones((4, 2, 3), np.uint8), "y": np.arange(4), "t": np.arange(4), "p": np.ones((4, 10))}
    if name == "a.npz":
        np.savez(tmp_path / name, **held)
    else:
        with h5py.File(tmp_path / name, "w") as file:
            file.update(held)
    assert read_all(open_dataset(tmp_path / name, IMAGES))[1].tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("name", ["a.npy", "a.npz"])
def test_rows_whose_columns_are_said_are_events(tmp_path, name):
    rows = np.stack([EVENTS[key] for key in "xypt"], axis=1)
    (np.save if name == "a.npy" else np.savez)(tmp_path / name, rows)
    np.testing.assert_array_equal(eventsim.open_events(tmp_path / name, columns="xypt").read()["t"], EVENTS["t"])
    for path in (tmp_path / name, tmp_path):
        [x] = read_all(open_dataset(path, NODE, columns="xypt"))[0]
        assert x.sum() == 300


@pytest.mark.parametrize("beside", ["notes.txt", "a.bin", "a.npy", "data_batch_1.bin"])
def test_a_folder_of_data_sets_names_them(tmp_path, beside):
    mnist(tmp_path / "mnist", "t10k")
    nmnist(tmp_path / "nmnist", "Train")
    (tmp_path / "mnist" / beside).write_bytes(b"t,x,y,p\n")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("no events")
    refused(tmp_path, NODE, f"holds data sets, name one: {tmp_path}/mnist, {tmp_path}/nmnist")
    values(tmp_path / "other" / "a.npy")
    refused(tmp_path, NODE, f"holds data sets, name one: .*{tmp_path}/other")


def test_a_damaged_file_of_a_class_is_named(tmp_path):
    for name in ("a", "b"):
        recording(tmp_path / name / "one.npz")
    path = tmp_path / "a" / "one.npz"
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(DataError, match=f"^{path}: cannot be read, damaged or truncated"):
        read_all(open_dataset(tmp_path, NODE, 5))


@pytest.mark.parametrize("value, expected", [
    ("5", "a number with its unit, such as '10ms'"), ("soon", "a number with its unit"),
    (None, "microseconds, or text"),
])
def test_a_time_without_a_unit(value, expected):
    with pytest.raises(DataError, match=f"longest_gap is {value!r}, expected {expected}"):
        microseconds(value, "longest_gap")
    assert microseconds(5, "longest_gap") == microseconds("5us", "longest_gap") == 5
