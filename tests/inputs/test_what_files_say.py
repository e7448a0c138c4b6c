"""What a file says of itself (its sensor, units, columns, cameras) is taken, or what contradicts it is refused."""

import struct

import h5py
import numpy as np
import pytest
from event_files import aedat3_packet, made_events, write_aedat2, write_aedat3, write_dat, write_shd

import eventsim
from eventsim import EventStream
from eventsim.errors import DataError
from eventsim.inputs.event_files import formats, opening
from eventsim.inputs.event_files.columns import unit_in_words
from eventsim.inputs.event_files.options import EventOptions
from eventsim.inputs.event_files.records import Microseconds
from eventsim.inputs.live import event_stream

EVENTS = made_events()
ROWS = [(1000, 5, 8, 1), (2000, 7, 6, 0)]  # in no other order of columns do times not fall
COLUMNS = {key: np.array(column) for key, column in zip("txyp", zip(*ROWS))}


def read(path, **options):
    """(the events as tuples, the stream)."""
    stream = eventsim.open_events(path, **options)
    return [event.item() for event in stream.read()], stream


def refused(path, match, **options):
    with pytest.raises(DataError, match=match) as caught:
        read(path, **options)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


def text_file(path, text):
    path.write_text(text)
    return path


def hdf5_file(path, place="", of_times=(), **attributes):
    """COLUMNS at a place, with attributes of that place, and of t."""
    with h5py.File(path, "w") as file:
        for key, column in COLUMNS.items():
            file[f"{place}/{key}"] = column
        file[place or "/"].attrs.update(attributes)
        file[f"{place}/t"].attrs.update(of_times)
    return path


# ---- the sensor's size


def sized_file(path):
    """A file that says its sensor's size."""
    if path.name == "a.aedat":
        write_aedat2(path, EVENTS)
    elif path.name == "b.aedat":
        write_aedat3(path, aedat3_packet(EVENTS))
    elif path.suffix == ".dat":
        write_dat(path, EVENTS)
    elif path.name == "shd.h5":
        write_shd(path, [([0.25], [3])], [4])
    elif path.suffix == ".h5":
        hdf5_file(path, height=10, width=20)
    else:
        text_file(path, "20 10\n1000 5 8 1\n2000 7 6 0\n")
    return path


@pytest.mark.parametrize("name, size", [
    ("a.aedat", (128, 128)), ("b.aedat", (128, 128)), ("a.dat", (10, 20)), ("shd.h5", (1, 700)),
    ("a.h5", (10, 20)),
    ("a.txt", (10, 20)),
])
def test_a_size_that_a_file_says_is_not_overruled(tmp_path, name, size):
    path = sized_file(tmp_path / name)
    height, width = size
    message = rf"its sensor has {width} x {height} pixels, but sensor_size is \(34, 36\), .*leave it out"
    refused(path, message, sensor_size=(34, 36))
    refused(path, message, sensor_size=(34, 36), keep_going=True)
    for options in ({}, {"sensor_size": size}):
        assert read(path, **options)[1].sensor_size == size


def test_the_size_of_a_stream_is_not_overruled():
    stream = EventStream.from_numpy(COLUMNS, (10, 20))
    with pytest.raises(DataError, match=r"its sensor has 20 x 10 pixels, but sensor_size is \(34, 36\)"):
        event_stream(stream, EventOptions(sensor_size=(34, 36)))
    assert event_stream(stream, EventOptions(), (5, 5)).sensor_size == (10, 20)
    unsized = EventStream.from_numpy(COLUMNS)
    assert event_stream(unsized, EventOptions(sensor_size=(9, 9)), (5, 5)).sensor_size == (9, 9)
    for options, size in ((EventOptions(sensor_size=(8, 6)), None), (EventOptions(), (8, 6))):
        with pytest.raises(DataError, match="an event is at x = 5, y = 8, outside the sensor of 6 x 8 pixels"):
            event_stream(unsized, options, size).read()


@pytest.mark.parametrize("place", ["", "events", "CD"])
@pytest.mark.parametrize("attributes", [
    {"height": 10, "width": 20}, {"geometry": "20x10"}, {"sensor_resolution": [10, 20]},
    {"geometry": "20x10", "height": 10, "width": 20, "sensor_resolution": [20, 10]},
])
def test_sizes_in_attributes(tmp_path, place, attributes):
    assert read(hdf5_file(tmp_path / "a.h5", place, **attributes))[1].sensor_size == (10, 20)


def test_sizes_in_attributes_that_differ(tmp_path):
    path = hdf5_file(tmp_path / "a.h5", geometry="30x10", height=10, width=20)
    refused(path, "states the size of its sensor in several ways, .*20 x 10, .*30 x 10 pixels: leave one")
    refused(hdf5_file(path, geometry="20x10", sensor_resolution=[9, 20]), "several ways")
    path = hdf5_file(path, sensor_resolution=[10, 20])
    assert "sensor_resolution is taken as (height, width)" in read(path)[1].notes[0]
    assert read(path, sensor_size=(20, 10))[1].sensor_size == (20, 10)  # some tools write the width first
    refused(path, "its sensor has 20 x 10 pixels, but sensor_size is", sensor_size=(5, 5))
    assert read(hdf5_file(path, height="tall", width=20, geometry="wide"))[1].sensor_size is None


# ---- units


@pytest.mark.parametrize("name", ["units", "unit", "time_unit"])
@pytest.mark.parametrize("text, factor", [("us", 1), ("ms", 1000), (np.bytes_(b"ms"), 1000), ("Seconds", 1000000)])
def test_units_in_attributes(tmp_path, name, text, factor):
    for path in (hdf5_file(tmp_path / "a.h5", of_times={name: text}),
                 hdf5_file(tmp_path / "b.h5", "events", **{"time_unit": text})):
        events, stream = read(path)
        assert [t for t, *_ in events] == [1000 * factor, 2000 * factor]
        assert not any("taken as" in note for note in stream.notes)
    assert read(path, time_unit=factor * 1e-6)[0] == events
    refused(path, "says a unit of .* s, but time_unit is 0.5: leave it out", time_unit=0.5)


def test_a_unit_that_is_not_known(tmp_path):
    path = hdf5_file(tmp_path / "a.h5", of_times={"units": "ticks of 10 us"})
    refused(path, "have the attribute units = 'ticks of 10 us', expected a unit, .*--time-unit SECONDS")
    assert [t for t, *_ in read(path, time_unit=1e-5)[0]] == [10000, 20000]
    assert unit_in_words("Milliseconds ", "units", None, "a") == 1e-3


def test_the_unit_of_a_cochlea(tmp_path):
    path = tmp_path / "shd.h5"
    write_shd(path, [([250, 500], [3, 5])], [0])
    for text, last in (("ms", 500000), ("s", 500000000)):
        with h5py.File(path, "a") as file:
            file["spikes/times"].attrs["units"] = text
        assert read(path)[0][-1][0] == last
    with h5py.File(path, "a") as file:
        file["spikes/times"].attrs["units"] = "ticks"
    refused(path, "attribute units = 'ticks', expected a unit, ns, us, ms or s: mend it")


@pytest.mark.parametrize("times, unit, expected, noted", [
    (np.array([0.3, 0.1, 0.7, 1605537493.718345]), 1.0, [300000, 100000, 700000, 1605537493718345], False),
    (np.array([0.9996, 1.0, 1.0004]), 1e-3, [999, 1000, 1000], True),
    (np.array([999600, 1000000]), 1e-9, [999, 1000], True),
    (np.array([(1 << 60) + 999, 5000]), 1e-9, [((1 << 60) + 999) // 1000, 5], True),
    (np.array([999000, 1000000], np.uint32), 1e-9, [999, 1000], False),
    (np.array([0.3, 0.4], np.float32), 1.0, [300000, 400000], False),
    (np.array([0.3], np.float16), 1.0, [300049], False),  # a narrow float says no microseconds
    (np.array([999.6]), 1e-6, [999], True), (np.array([3, 4]), 1e-3, [3000, 4000], False),
])
def test_a_time_is_the_microsecond_that_it_is_in(times, unit, expected, noted):
    notes = []
    assert [int(t) for t in Microseconds(unit, notes)(times)] == expected
    assert notes == ["its times have fractions of a microsecond, which are left out"] * noted


def test_seconds_of_whole_microseconds_are_those():
    whole = np.random.default_rng(0).integers(0, 1 << 40, 20000)
    notes = []
    for divisor, unit in ((1e6, 1.0), (1e3, 1e-3)):
        np.testing.assert_array_equal(Microseconds(unit, notes)(whole / divisor), whole)
    assert notes == []


# ---- text whose columns a comment names

SWAPPED = "1000 8 5 1\n2000 6 7 0\n"


@pytest.mark.parametrize("head, rows", [
    ("# t y x p\n", SWAPPED), ("% t y x p\n", SWAPPED), ("#t,y,x,p\n", SWAPPED),
    ("## made by hand\n#\tt\ty\tx\tp\n\n", SWAPPED),
    ("# columns: t, y, x, p\n", SWAPPED), ("# (t, y, x, p)\n", SWAPPED), ("20 10\n# t y x p\n", SWAPPED),
    ("# t[ms],x,y,p\n", "1,5,8,1\n2,7,6,0\n"), ("# t (ms) x y p\n", "1 5 8 1\n2 7 6 0\n"),
    ("# timestamp_ms x y polarity\n", "1 5 8 1\n2 7 6 0\n"), ("# t y x p label\n", "1000 8 5 1 9\n2000 6 7 0 9\n"),
    ("# t x y p\nt,x,y,p\n", "1000,5,8,1\n2000,7,6,0\n"),
    ("# x on the left, y from above\n# t x y p are these\n", "1000 5 8 1\n2000 7 6 0\n"),
    ("# " + "long " * 3000 + "\n# t y x p\n", SWAPPED),
])
def test_columns_that_a_comment_names(tmp_path, head, rows):
    assert read(text_file(tmp_path / "a.txt", head + rows))[0] == ROWS
    if not head.startswith("20"):  # lines that come
        with open(tmp_path / "a.txt", "rb", buffering=0) as file:
            assert [event.item() for event in event_stream(file, EventOptions()).read()] == ROWS


def test_what_savetxt_writes(tmp_path):
    path = tmp_path / "a.txt"
    np.savetxt(path, np.stack([COLUMNS[key] for key in "tyxp"], 1), "%d", header="t y x p")
    events, stream = read(path)
    assert events == ROWS and "its comment 't y x p' is taken as the names of its columns" in stream.notes


@pytest.mark.parametrize("head, options, match", [
    ("# t y x p\nt x y p\n", {},
     "its comment 't y x p' names the columns in the order tyxp, but they are taken as txyp"),
    ("# t y x p, in pixels\n", {},
     "names the columns in the order tyxp, but they are taken as txyp: give their order"),
    ("# t y x p\n# t x y p\n", {}, "has comments that name its columns in several ways, 't y x p' and 't x y p'"),
    ("# t_ms x y p\n# t x y p\n", {}, "in several ways"),
    ("# t y x p\n", {"columns": "txyp"}, "names its columns in the order tyxp, but columns is 'txyp'"),
    ("# t_ms y x p\n", {"time_unit": 1.0}, "says a unit of 0.001 s, but time_unit is 1: leave it out"),
])
def test_comments_that_contradict_what_would_be_taken(tmp_path, head, options, match):
    rows = "1000 5 8 1\n2000 7 6 0\n"
    refused(text_file(tmp_path / "a.txt", head + rows), match, **options)
    with open(tmp_path / "a.txt", "rb", buffering=0) as file, pytest.raises(DataError, match=match):
        event_stream(file, EventOptions(**options)).read()


def test_columns_that_are_said_stand_above_prose(tmp_path):
    path = text_file(tmp_path / "a.txt", "# t y x p, in pixels\n1000 5 8 1\n2000 7 6 0\n")
    assert read(path, columns="txyp")[0] == ROWS


# ---- AEDAT


def test_a_control_character_does_not_end_a_header(tmp_path):
    path = tmp_path / "a.aedat"
    for header, last in ((b"#!AER-DAT2.0\r\n# made\x07 for a test\r\n# with more lines\r\n",
                          b"#End Of ASCII Header\r\n"),
                         (b"#!AER-DAT2.0\r\n# \0\0 AEChip: Davis240C\r\n", b"#End Of ASCII Header\r\n")):
        write_aedat2(path, EVENTS, header + last, 240 if b"Davis" in header else 128)
        if b"Davis" not in header:
            assert len(read(path)[0]) == len(EVENTS["t"])
        write_aedat2(path, EVENTS, header)
        refused(path, "has text where its events begin, '.*': a line of its header before it is damaged")


def test_a_line_that_is_none_of_a_header(tmp_path):
    path = tmp_path / "a.aedat"
    lines = b"#!AER-DAT2.0\r\n\x03 AEChip: eu.seebetter.Davis240C\r\n# more\r\n"
    write_aedat2(path, EVENTS, lines)
    refused(path, "has text where its events begin, ' AEChip: eu.seebetter.Davis240C'")
    write_aedat2(path, EVENTS, lines + b"#End Of ASCII Header\r\n")
    refused(path, "line 2 of its header does not begin with #: damaged")


@pytest.mark.parametrize("last", [b"", b"#End Of ASCII Header\r\n"])
def test_a_file_that_is_cut_in_its_header_has_no_events(tmp_path, last):
    path = tmp_path / "a.aedat"
    header = b"#!AER-DAT2.0\r\n# This is a raw AE data file\r\n# AEChip: x.DVS128\r\n" + last
    for end in range(14, len(header) + 1):
        path.write_bytes(header[:end])
        if header[end - 1 : end] == b"\n":
            assert read(path)[0] == []
        else:
            refused(path, "ends within line . of its header: truncated")


def of_source(events, source, kind=1, compressed=0):
    """A packet of AEDAT 3.1 of the source of this number."""
    packet = bytearray(aedat3_packet(events))
    packet[:4] = struct.pack("<Hh", kind | compressed << 15, source)
    if compressed:
        packet[16:20] = struct.pack("<i", len(packet) - 28)
    return bytes(packet)


def aedat3_file(path, *packets, sources=("DVS128", "DAVIS240C"), form="RAW"):
    lines = "".join(f"#Source {number}: {name}\r\n" for number, name in enumerate(sources, 1))
    path.write_bytes(f"#!AER-DAT3.1\r\n#Format: {form}\r\n{lines}#!END-HEADER\r\n".encode() + b"".join(packets))
    return path


FIRST, SECOND = ({key: column[part] for key, column in EVENTS.items()}
                 for part in (slice(0, 100), slice(100, None)))


@pytest.mark.parametrize("sources", [("DVS128", "DAVIS240C"), ("DVS128",)])
def test_two_cameras_in_a_file_are_not_merged(tmp_path, sources):
    path = aedat3_file(tmp_path / "a.aedat", of_source(FIRST, 1), of_source(SECOND, 2), sources=sources)
    second = "2 .DAVIS240." if len(sources) == 2 else "2"
    refused(path, f"has events of sources 1 .DVS128. and {second}, expected one source: .*--sample 1")
    refused(path, "has events of sources 1 .* but sample is 3", sample=3)
    for sample, events in ((1, FIRST), (2, SECOND)):
        found, stream = read(path, sample=sample)
        assert [t for t, *_ in found] == events["t"].tolist()
        assert f"has events of other sources than {sample}; left out" in stream.notes


def test_the_size_is_that_of_the_camera_that_has_the_events(tmp_path):
    path = aedat3_file(tmp_path / "a.aedat", of_source(FIRST, 2))
    assert read(path)[1].sensor_size == (180, 240)
    path = aedat3_file(tmp_path / "a.aedat", of_source(FIRST, 1, kind=2), of_source(SECOND, 2))
    assert read(path)[1].sensor_size == (180, 240)


@pytest.mark.parametrize("form", ["SerialTS", "SerialTS,PNGFrames", "Other"])
def test_compressed_events_are_refused_by_name(tmp_path, form):
    path = aedat3_file(tmp_path / "a.aedat", of_source(FIRST, 1), form=form)
    refused(path, f"its header says #Format: {form}, expected RAW: have cAER write it without compression")


def test_compressed_frames_are_passed_over(tmp_path):
    frame = of_source({key: column[:3] for key, column in FIRST.items()}, 1, kind=2, compressed=1)
    path = aedat3_file(tmp_path / "a.aedat", frame, of_source(FIRST, 1), form="PNGFrames")
    assert len(read(path)[0]) == 100
    path = aedat3_file(tmp_path / "a.aedat", of_source(FIRST, 1, compressed=1), form="PNGFrames")
    refused(path, "has packets of events that are compressed, expected RAW")


# ---- HDF5 after a user block


@pytest.mark.parametrize("size", [512, 2048])
def test_hdf5_behind_a_user_block(tmp_path, size):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w", userblock_size=size) as file:
        file.update(COLUMNS)
    assert read(path)[0] == ROWS
    with h5py.File(path, "w", userblock_size=size) as file:
        file["x"] = np.ones((4, 2, 3), np.uint8)
    assert len(eventsim.open_dataset(path, eventsim.Input((1, 2, 3), "image", 8))) == 4


# ---- the table of formats


def test_each_format_has_its_words():
    assert [module.__name__.rpartition(".")[2] for module in opening.FORMATS] == list(formats.RECORDINGS)
