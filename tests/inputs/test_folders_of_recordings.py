"""Folders of recordings: what lies beside recordings is said, silence has levels, suffixes may be capital."""

import numpy as np
import pytest
from event_files import made_events, structured, write_recording

import eventsim
from eventsim import EventBins, Input
from eventsim.errors import DataError
from eventsim.inputs.dataset import open_dataset

SIZE = (10, 20)
NODE = Input((2, *SIZE), bits=8, events=EventBins(100, sensor_size=SIZE))
EVENTS = "t,x,y,p\n0,5,6,1\n150,7,8,0\n"


def written(folder, **files):
    """A folder of text files by name; __ stands for a folder, _ for the dot."""
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def read(path, timesteps=3, **options):
    """(levels of all recordings, what is said)."""
    dataset = open_dataset(path, NODE, timesteps, **options)
    return np.concatenate([x for x, _ in dataset.batches(2)]), dict(dataset.notes)


def said(notes):
    return [text for text in notes if "left out" in text]


# ---- what lies beside


@pytest.mark.parametrize("files, expected", [
    ({"up__a_csv": EVENTS, "loose_csv": EVENTS}, "the folders of classes; loose.csv beside these is left out"),
    ({"0__a_csv": EVENTS, "b_csv": EVENTS, "c_csv": EVENTS},
     "the folders of classes; b.csv, c.csv beside these are left out"),
    ({"up__a_csv": EVENTS, "up__more__b_csv": EVENTS}, "the folders of classes; up/more beside these is left out"),
    ({"Test__up__a_csv": EVENTS, "Train__up__a_csv": EVENTS, "val__up__a_csv": EVENTS, "b_csv": EVENTS},
     "the parts of a folder; b.csv, val beside these are left out"),
    ({"up__a_csv": EVENTS, "down__b_csv": EVENTS}, None),
])
def test_recordings_that_are_left_out_are_said(tmp_path, files, expected):
    _, notes = read(written(tmp_path, **files))
    assert said(notes) == ([] if expected is None else [f"taken from {expected}"])


@pytest.mark.parametrize("files, expected", [
    ({"up/a.csv": 1, "up/2.csv.gz": 0, "up/3.aer": 0}, "up/2.csv.gz, up/3.aer beside these have suffixes"),
    ({"0/a.csv": 1, "1/b.csv": 1, "1/b.csv.gz": 0}, "1/b.csv.gz beside these has a suffix"),
    ({"up/a.csv": 1, "down/2.csv.gz": 0}, "down/2.csv.gz beside these has a suffix"),
    ({"0/a.csv": 1, "1/2.csv.gz": 0}, "1/2.csv.gz beside these has a suffix"),
    ({"a.csv": 1, "b.PNG": 0, "more/c.aer": 0}, "b.PNG, more/c.aer beside these have suffixes"),
    ({"Test/up/a.csv": 1, "Test/up/b.zip": 0, "Train/up/c.csv": 1, "Train/up/d.zip": 0},
     "up/b.zip beside these has a suffix"),
    ({"up/a.csv": 1, **{f"up/{i}.csv.gz": 0 for i in range(9)}},
     "up/0.csv.gz, up/1.csv.gz, up/2.csv.gz, up/3.csv.gz and 5 more beside these have suffixes"),
    ({"up/a.csv": 1, "up/.hidden": 0, "LICENSE": 0}, None), ({"up/a.csv": 1, "down/B.CSV": 1}, None),
])
def test_files_of_other_suffixes_are_said(tmp_path, files, expected):
    for name, has_events in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(EVENTS if has_events else "\x1f\x8b")
    _, notes = read(tmp_path)
    assert said(notes) == ([] if expected is None else [
        f"{expected} of no recording; left out (unpack or rename what is one)"])


PROSE = "Recorded in the garden, 3 flies.\nSee the paper.\n"


def test_text_without_events_is_left_out_and_said(tmp_path):
    for name in ("README_txt", "zz_txt", "labels_csv"):
        folder = written(tmp_path / name, a_csv=EVENTS, b_csv=EVENTS, **{name: PROSE})
        levels, notes = read(folder)
        file = name.replace("_", ".")
        assert len(levels) == 2 and said(notes) == [f"{file} beside these has no events; left out"]
    folder = written(tmp_path / "classes", up__a_csv=EVENTS, up__README_txt=PROSE, down__a_csv=EVENTS,
                     down__notes_txt=PROSE, docs__README_txt=PROSE)
    dataset = open_dataset(folder, NODE, 3)
    assert dataset.labels.tolist() == [0, 1]  # docs is no class
    assert said(read(folder)[1]) == ["down/notes.txt, up/README.txt beside these have no events; left out"]
    folder = written(tmp_path / "beside", up__a_csv=EVENTS, README_txt=PROSE, labels_csv="file,class\na.csv,up\n")
    assert said(read(folder)[1]) == ["README.txt, labels.csv beside these have no events; left out"]
    folder = written(tmp_path / "parts", Test__up__a_csv=EVENTS, Train__up__a_csv=EVENTS, README_txt=PROSE,
                     Test__notes_txt=PROSE)
    assert said(read(folder)[1]) == ["notes.txt beside these has no events; left out",
                                     "README.txt beside these has no events; left out"]


def test_text_that_may_hold_events_is_not_left_out(tmp_path):
    for name, text in (("a_csv", "when,where,what\n1,2,3,4\n"), ("b_txt", ""), ("c_csv", "0,001;5;0;1\n")):
        folder = written(tmp_path / name, good_csv=EVENTS, **{name: text})
        with pytest.raises(DataError, match=r"(a.csv|b.txt|c.csv): .*(moved out of the folder|columns txyp)"):
            read(folder)


def test_a_file_of_another_kind_before_recordings_is_named(tmp_path):
    folder = written(tmp_path, b_csv=EVENTS)
    np.save(folder / "a.npy", np.ones((4, 2, 3)))
    with pytest.raises(DataError, match=r"a.npy: holds no events of a known format, .* moved out of the folder"):
        read(folder)


# ---- silence


@pytest.mark.parametrize("split", ["width", "number", "time"])
def test_a_recording_without_events_has_levels_of_0(tmp_path, split):
    folder = written(tmp_path, a_csv=EVENTS, b_csv="t,x,y,p\n", c_csv=EVENTS)
    levels, notes = read(folder, split=split)
    assert [int(one.sum()) for one in levels] == [2, 0, 2] and levels.shape[1] == 3
    assert notes["has no events; all its levels are 0"] == 1
    np.save(tmp_path / "d.npy", structured({key: np.empty(0, int) for key in "txyp"}))
    assert not read(tmp_path / "d.npy", split=split)[0].any()


def test_a_recording_without_events_has_no_steps_of_its_own(tmp_path):
    folder = written(tmp_path, a_csv=EVENTS, b_csv="t,x,y,p\n")
    with pytest.raises(DataError, match=r"b.csv: has no events, which alone say how long it is: .*--timesteps N"):
        read(folder, None)


def test_damage_before_the_first_event_can_be_passed_over(tmp_path):
    folder = written(tmp_path, a_csv=EVENTS, b_csv="t,x,y,p\noops\n")
    with pytest.raises(DataError, match="b.csv: line 2 is 'oops'"):
        read(folder)
    levels, notes = read(folder, keep_going=True)
    assert [int(one.sum()) for one in levels] == [2, 0] and "has no events; all its levels are 0" in notes


# ---- suffixes


@pytest.mark.parametrize("suffix", [".bin", ".BIN", ".Bin"])
def test_capital_suffixes_of_recordings(tmp_path, suffix):
    events = made_events()
    path = tmp_path / f"X{suffix}"
    write_recording(path, *(events[key] for key in "xypt"))
    assert len(eventsim.open_events(path).read()) == 300
    assert read(path)[0].shape == read(tmp_path)[0].shape == (1, 3, 2, *SIZE)


@pytest.mark.parametrize("name", ["a.npy", "a.h5"])
def test_rows_of_four_numbers_are_told_the_remedy(tmp_path, name):
    import h5py

    rows = np.stack([made_events()[key] for key in "xypt"], axis=1)
    if name == "a.npy":
        np.save(tmp_path / name, rows)
    else:
        with h5py.File(tmp_path / name, "w") as file:
            file["data"] = rows
    with pytest.raises(DataError, match=f"{name}: holds rows of four numbers without names: .*--columns txyp"):
        eventsim.open_events(tmp_path / name)
    for path in (tmp_path / name, tmp_path):
        assert read(path, 100, columns="xypt")[0].sum() == 300
    events = eventsim.open_events(tmp_path / name, columns="xypt").read()
    assert events["t"].tolist() == made_events()["t"].tolist()
    if name == "a.npy":
        with pytest.raises(DataError, match="where its rows are events, give the order .* .--columns txyp"):
            read(tmp_path / name)


# ---- folders that are not as they seem


@pytest.mark.parametrize("classes", [("0", "3"), ("cat", "dog")])
def test_recordings_a_folder_too_deep_are_found(tmp_path, classes):
    for name in classes:
        write_recording(tmp_path / name / "s1" / "a.bin", [1], [2], [1], [5])
    where = ", ".join(f"{name}/s1" for name in classes)
    with pytest.raises(DataError, match=f"{tmp_path}: .*they lie a folder deeper, in {where}: move them up"):
        open_dataset(tmp_path, NODE, 5)


@pytest.mark.parametrize("names", [("1", "01"), ("7", "007", "3")])
def test_class_folders_of_the_same_number_are_refused(tmp_path, names):
    for name in names:
        write_recording(tmp_path / name / "a.bin", [1], [2], [1], [5])
    with pytest.raises(DataError, match=f"has class folders {names[1]} and {names[0]}, which are the same number"):
        open_dataset(tmp_path, NODE, 5)


@pytest.mark.parametrize("link", ["b.bin", "0/b.bin", "0/b.csv", "3"])
def test_links_that_lead_nowhere_are_named(tmp_path, link):
    write_recording(tmp_path / ("a.bin" if link == "b.bin" else "0/a.bin"), [1], [2], [1], [5])
    (tmp_path / link).symlink_to("gone.bin")
    match = f"{tmp_path / link}: is a link to gone.bin, which does not exist: mend the link, or remove it"
    with pytest.raises(DataError, match=match):
        for _ in open_dataset(tmp_path, NODE, 5).batches(1):
            pass
    for opened in (eventsim.open_events, lambda path: open_dataset(path, NODE, 5)):
        with pytest.raises(DataError, match=match):
            opened(tmp_path / link)
