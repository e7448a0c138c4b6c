"""Text of events as tools write it: headers, marks, units; what is not clear is refused in one line."""

import numpy as np
import pytest

import eventsim
from eventsim.errors import DataError
from eventsim.inputs.event_files.columns import named_columns, unit_of_times
from eventsim.inputs.event_files.options import EventOptions
from eventsim.inputs.live import event_stream

ROW = [(1000, 5, 6, 1)]


def read(path, text, **options):
    """(the events as tuples, the stream) of a file with this text."""
    path.write_bytes(text.encode("utf-8"))
    stream = eventsim.open_events(path, **options)
    return [event.item() for event in stream.read()], stream


def refused(path, text, match, **options):
    with pytest.raises(DataError, match=match) as caught:
        read(path, text, **options)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


# ---- columns


@pytest.mark.parametrize("text", [
    ",t,x,y,p\n0,1000,5,6,1\n", ",t,y,p,x\n0,1000,6,1,5\n", ";p;x;y;t\n0;1;5;6;1000\n",
    "\tt\tx\ty\tp\n0\t1000\t5\t6\t1\n",
    ",t,x,y,p,\na,1000,5,6,1,b\n",
    '"","t","x","y","p"\n"1",1000,5,6,1\n',  # R
    "\ufefft,x,y,p\r\n1000,5,6,1\r\n", "\ufeff0.001 5 6 1\n0.002 7 8 0\n",  # Excel
    "t, x, y, p\n1000, 5, 6, 1\n", "t x y p\n1000,5,6,1\n", "t,x,y,p\n1000 5 6 1\n",
    "t,x,y,p # made\n1000,5,6,1 # c\n",
    "Time [us],X,Y,Polarity,label\n1000,5,6,1,up\n",
])
def test_columns_are_those_that_the_header_names(tmp_path, text):
    assert read(tmp_path / "a.csv", text)[0][:1] == ROW


@pytest.mark.parametrize("text, match", [
    ("t,x,y,p\n1,5,6,1\n2,5,6,1,9\n", "line 3 is '2,5,6,1,9', expected 4 fields parted by commas"),
    ("t,x,y,p\n1,5,6,1,9\n2,5,6,1,9\n", "line 2 is '1,5,6,1,9', expected 4 fields"),
    ("t,x,y,p,q\n1,5,6,1\n", "line 2 is '1,5,6,1', expected 5 fields"),
    ('"t" "x" "y" "p"\n"1" 1 5 6 1\n', "line 2 is .*, expected 4 fields parted by blanks"),
    ("t;x;y;p\n0,001;5;0;1\n",
     "line 2 is '0,001;5;0;1', .* parted by semicolons, and numbers with a decimal point"),
    ("t x y p\n0,001 5 0 1\n", "line 2 is '0,001 5 0 1', expected 4 fields parted by commas"),
    ("0,001;5;0;1\n0,002;5;0;1\n", "cannot be told"),
    (",t,x,y,p\n0,1000,,6,1\n", "line 2 is '0,1000,,6,1', expected 5 fields parted by commas, and numbers"),
    ("1,5,6,1,9\n2,5,600,0,9\n", "has 5 columns and no header: name them in its first line"),
])
def test_lines_that_do_not_fit_are_refused(tmp_path, text, match):
    refused(tmp_path / "a.csv", text, match)


def test_more_columns_than_are_said_are_refused(tmp_path):
    refused(tmp_path / "a.csv", "1,5,6,1,9\n", "has 5 columns and no header", columns="txyp")
    np.save(tmp_path / "a.npy", np.ones((3, 5)))
    with pytest.raises(DataError, match="a.npy: holds no events of a known format"):
        eventsim.open_events(tmp_path / "a.npy", columns="txyp")


def test_a_first_line_of_width_and_height(tmp_path):
    events, stream = read(tmp_path / "events.txt", "240 180\n0.0 5 6 1\n0.001 7 8 0\n")
    assert events == [(0, 5, 6, 1), (1000, 7, 8, 0)] and stream.sensor_size == (180, 240)
    assert "its first line, '240 180', is taken as width and height of the sensor" in stream.notes
    assert read(tmp_path / "events.txt", "240,180\nt,x,y,p\n1000,5,6,1\n")[0] == ROW
    refused(tmp_path / "events.txt", "4 3\n0.0 5 6 1\n0.001 7 800 0\n", "outside the sensor of 4 x 3 pixels")


# ---- two columns that say the same


@pytest.mark.parametrize("header, taken, other", [
    ("t,x,y,p,t", "t", "t"), ("time,t,x,y,p", "t", "time"), ("t,x,y,on,p", "p", "on"), ("x,col,y,t,p", "x", "col"),
    ("sec,nsec,x,y,p", "sec", "nsec"), ("t_us,x,y,p,t_ms", "t_us", "t_ms"),
    ('"ts",x,y,p,Timestamp', '"ts"', "Timestamp"),
])
def test_two_columns_of_the_same_are_refused_in_text(tmp_path, header, taken, other):
    text = header + "\n5,6,7,1,1\n"
    match = f"its header has '{taken}' and '{other}', which may both be of the same, .*: rename the one"
    refused(tmp_path / "a.csv", text, match)
    with open(tmp_path / "a.csv", "rb", buffering=0) as file, pytest.raises(DataError, match=match):
        event_stream(file, EventOptions()).read()


def test_a_column_that_says_the_same_is_noted_of_arrays(tmp_path):
    import h5py

    rows = np.array([(5, 6, 1, 0, 1000)], [(name, "i8") for name in ("x", "y", "p", "on", "t")])
    np.save(tmp_path / "a.npy", rows)
    np.savez(tmp_path / "a.npz", events=rows, label=3)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["events"] = rows
    for file in sorted(tmp_path.iterdir()):
        stream = eventsim.open_events(file)
        assert [event.item() for event in stream.read()] == ROW
        assert "has a column 'on' beside 'p', which may say the same; not read" in stream.notes
    assert "holds label beside the events; not read" in stream.notes


@pytest.mark.parametrize("names, place, said", [
    ("x y events/t events/x events/y events/p", "events", "x, y"),
    ("events/t events/x events/y events/p CD/events/t CD/events/x CD/events/y CD/events/p", "events",
     "CD/events/"),
    ("t x y p on height width", "", "on"),
    ("CD/events/t CD/events/x CD/events/y CD/events/p CD/indexes/id EXT/t height width", "CD/events",
     "EXT, CD/indexes"),
    ("events/t events/x events/y events/p events/ms height width", "events", "events/ms"),
    ("t x y p a b c d e f g", "", "a, b, c, d, e and 2 more"), ("t x y p height width", "", None),
])
def test_what_hdf5_holds_beside_the_events_is_said(tmp_path, names, place, said):
    import h5py

    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name in names.split():
            inside = name.rpartition("/")[0] == place
            file[name] = dict(t=[1000], x=[5], y=[6], p=[1]).get(name[-1], [1]) if inside else [9]
        for name in ("height", "width") if "height" in names else ():
            file[name][...] = 20
    stream = eventsim.open_events(tmp_path / "a.h5")
    assert [event.item() for event in stream.read()] == ROW
    assert [note for note in stream.notes if "beside" in note] == (
        [] if said is None else [f"holds {said} beside the events; not read"])


# ---- units


@pytest.mark.parametrize("name, seconds", [
    ("t", None), ("ts", None), ("timestamps", None), ("t_us", 1e-6), ("ts_us", 1e-6), ("time_us", 1e-6),
    ("us", 1e-6), ("t_ms", 1e-3), ("timestamp_ns", 1e-9), ("t[s]", 1.0), ("t [us]", 1e-6), ("Time (s)", 1.0),
    ("t/ms", 1e-3), ('"t_us"', 1e-6), ("t_\u00b5s", 1e-6), ("time.microseconds", 1e-6), (" t_sec ", 1.0),
])
def test_the_name_of_a_column_says_its_unit(tmp_path, name, seconds):
    assert named_columns(["x", "y", "p", name]) == {"x": 0, "y": 1, "p": 2, "t": 3}
    assert unit_of_times(name, None, "a") == seconds and unit_of_times(name, seconds, "a") == seconds
    if seconds is None:
        assert unit_of_times(name, 60, "a") == 60
        return
    with pytest.raises(DataError, match="a: its column .* says a unit of .* s, but time_unit is 60: leave it out"):
        unit_of_times(name, 60, "a")


@pytest.mark.parametrize("name", ["tus", "t_", "s", "t_min", "x_us"])
def test_names_that_say_no_time(name):
    assert named_columns([name, "x", "y", "p"]) is None


@pytest.mark.parametrize("name, factor", [("t_us", 1), ("t_ms", 1000), ("timestamp_ns", 1e-3), ("t[s]", 1e6)])
def test_units_of_names_in_every_format(tmp_path, name, factor):
    import h5py

    t = np.array([0, 1000, 5000])
    columns = {name: t, "x": [1, 2, 3], "y": [1, 2, 3], "p": [1, 0, 1]}
    rows = np.array(list(zip(*columns.values())), [(key, "i8") for key in columns])
    np.savez(tmp_path / "a.npz", **columns)
    np.savez(tmp_path / "b.npz", events=rows)
    np.save(tmp_path / "a.npy", rows)
    arrays = {key: np.array(column) for key, column in columns.items()} if "/" not in name else {}
    for file, held in (("a.h5", arrays), ("b.h5", {"events": rows})):
        with h5py.File(tmp_path / file, "w") as opened:
            for key, value in held.items():
                opened[key] = value
    (tmp_path / "a.csv").write_text(",".join(columns) + "\n" + "\n".join(
        ",".join(map(str, row)) for row in zip(*columns.values())))
    for file in sorted(tmp_path.iterdir()):
        stream = eventsim.open_events(file)
        assert stream.read()["t"].tolist() == (t * factor).tolist(), file
        assert not any("taken as" in note for note in stream.notes)
        with pytest.raises(DataError, match="says a unit of .* s, but time_unit is 60"):
            eventsim.open_events(file, time_unit=60.0)


@pytest.mark.parametrize("p", ["1", "1.0"])
@pytest.mark.parametrize("x", ["5", "5.0"])
def test_only_t_says_its_unit(tmp_path, p, x):
    assert read(tmp_path / "a.csv", f"t,x,y,p\n0,{x},6,{p}\n900,7,8,0\n")[0] == [(0, 5, 6, 1), (900, 7, 8, 0)]
    big = (1 << 53) + 1
    assert read(tmp_path / "a.csv", f"t,x,y,p\n{big},{x},6,{p}\n")[0] == [(big, 5, 6, 1)]


@pytest.mark.parametrize("t, expected", [
    ([0.0, 0.5, 2.0], [0, 500_000, 2_000_000]), ([0.0, 500.0, 1500.0], [0, 500, 1500]), ([0.0, 500.0], [0, 500]),
    ([0.0, 1.0, 2.5], [0, 1_000_000, 2_500_000]),
])
def test_whole_numbers_are_microseconds_and_fractions_seconds(tmp_path, t, expected):
    rows = "".join(f"{one},5,6,1\n" for one in t)
    assert [event[0] for event in read(tmp_path / "a.csv", "t,x,y,p\n" + rows)[0]] == expected
    np.savez(tmp_path / "a.npz", t=t, x=[5] * len(t), y=[6] * len(t), p=[1] * len(t))
    assert eventsim.open_events(tmp_path / "a.npz").read()["t"].tolist() == expected


def test_a_fraction_after_whole_times_is_refused(tmp_path, monkeypatch):
    for module in ("text_events", "numpy_files"):
        monkeypatch.setattr(f"eventsim.inputs.event_files.{module}.AT_ONCE", 2)
    match = "has t = 0.5, a fraction, after times that are whole, .*--time-unit SECONDS.*t_us or t_s"
    refused(tmp_path / "a.csv", "t,x,y,p\n1,5,6,1\n2,5,6,1\n3,5,6,1\n0.5,5,6,1\n", match)
    events, stream = read(tmp_path / "a.csv", "t,x,y,p\n1,5,6,1\n2,5,6,1\n3,5,6,1\n0.5,5,6,1\n", keep_going=True)
    assert [event[0] for event in events] == [1, 2, 3] and "damaged: has t = 0.5" in stream.notes[-1]
    np.savez(tmp_path / "a.npz", t=[1, 2, 3, 0.5], x=[5] * 4, y=[6] * 4, p=[1] * 4)
    with pytest.raises(DataError, match=match):
        eventsim.open_events(tmp_path / "a.npz").read()
    in_seconds = eventsim.open_events(tmp_path / "a.npz", time_unit=1).read()["t"]
    assert in_seconds.tolist() == [1_000_000, 2_000_000, 3_000_000, 500_000]


# ---- long lines


LONG = ["# " + "1,5,6,1 " * 1000, "#" + "x" * 4095, "% " + "1,5,6,1 " * 1000, "2,7,8,0 # " + "9" * 5000,
        "#" * 20_000 + " 1,5,6,1"]


@pytest.mark.parametrize("long", LONG)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_comment_of_any_length_is_no_event(tmp_path, long, place):
    lines = ["t,x,y,p", "1,5,6,1", "3,5,6,1"]
    lines.insert(place, long if place else long.removeprefix("2,7,8,0 "))
    expected = [(1, 5, 6, 1), (3, 5, 6, 1)]
    if place and long.startswith("2"):
        expected.insert(place - 1, (2, 7, 8, 0))
    assert read(tmp_path / "a.csv", "\n".join(lines))[0] == expected
    refused(tmp_path / "a.csv", "\n".join([*lines, "oops"]), "line 5 is 'oops'")


@pytest.mark.parametrize("long", ["x" * 5000, "2,5,6,1" + " " * 5000, "2,5,6,1" + " " * 4090 + "9", "," * 4097])
def test_any_other_line_that_is_too_long_is_refused(tmp_path, long):
    match = "line 3 has more than 4096 characters: it is no text of events"
    text = f"t,x,y,p\n1,5,6,1\n{long}\n3,5,6,1\n"
    refused(tmp_path / "a.csv", text, match)
    events, stream = read(tmp_path / "a.csv", text, keep_going=True)
    assert events == [(1, 5, 6, 1)] and match in stream.notes[-1]
    refused(tmp_path / "a.csv", "t,x,y,p," + "a" * 5000 + "\n1,5,6,1,7\n", "line 1 has more than 4096 characters")
    assert read(tmp_path / "a.csv", "t,x,y,p\n1,5,6,1" + " " * 4089 + "\n")[0] == [(1, 5, 6, 1)]
