"""Recordings in every format: what two independent decoders read of real files, and small files made to the
format.
"""

import hashlib
import sys
import warnings
from contextlib import suppress
from pathlib import Path

import h5py
import numpy as np
import pytest
from event_files import (
    aedat3_packet, made_events, structured, write_aedat2, write_aedat3, write_dat, write_evt2, write_recording,
    write_shd,
)

import eventsim
from eventsim.errors import DataError, EventsimError, MissingPackageError
from eventsim.inputs.event_files import cochlea

ORACLES = Path(__file__).resolve().parents[3] / "shared" / "oracles" / "events"
needs_oracles = pytest.mark.skipif(not ORACLES.is_dir(), reason="no ../shared/oracles")
EVENTS = made_events()

# file: events, first t, last t, largest x and y, ON events, (height, width), SHA-256; from the oracles' README
TABLE = {
    "evt2_sample.raw": (539481, 1317888, 1367888, 599, 475, 367855, (480, 640), "1b23c75aef241e1b"),
    "sample.aedat4": (111954, 1605537493718345, 1605537494308262, 319, 239, 55023, (240, 320), "8b7d1c734d718680"),
    "sample_ncars.dat": (2009, 0, 99952, 77, 41, 1350, None, "7a151f18c5c9b843"),
    "sample_nmnist.bin": (4325, 654, 311175, 33, 33, 2145, None, "ad65c6fea9838389"),
}


def read(path, **options):
    """(all events, the stream)."""
    stream = eventsim.open_events(path, **options)
    return stream.read(), stream


def holds(path, events=EVENTS, **options):
    """The stream of a file, which holds these events."""
    found, stream = read(path, **options)
    for key in "txyp":
        np.testing.assert_array_equal(found[key], events[key], err_msg=key)
    return stream


def refused(path, match, **options):
    with pytest.raises(DataError, match=match) as caught:
        eventsim.open_events(path, **options).read()
    assert str(caught.value).startswith(f"{path}") and "\n" not in str(caught.value)


# ---- real files


@needs_oracles
@pytest.mark.parametrize("name", TABLE)
def test_real_files_hold_what_two_decoders_read(name):
    if name.endswith(".aedat4"):
        pytest.importorskip("faery")
    n, first, last, x, y, on, size, digest = TABLE[name]
    events, stream = read(ORACLES / name)
    rows = np.stack([events["t"] - events["t"][0], events["x"], events["y"], events["p"]], axis=1).astype("<i8")
    assert (len(events), events["t"][0], events["t"][-1], events["x"].max(), events["y"].max(),
            events["p"].sum()) == (
        n, first, last, x, y, on)
    assert hashlib.sha256(rows.tobytes()).hexdigest()[:16] == digest
    assert stream.sensor_size == size and stream.time_unit == 1e-6


@needs_oracles
def test_real_evt3():
    events, stream = read(ORACLES / "evt3_sample.raw")
    assert (len(events), events["x"].max(), events["y"].max(), events["p"].sum()) == (219596, 1279, 719, 115532)
    assert events["t"][0] == 11718656 and 11727457 <= events["t"][-1] <= 11727467
    assert stream.sensor_size == (720, 1280)


@needs_oracles
def test_real_aedat_of_a_header_alone():
    events, stream = read(ORACLES / "sample_aedat_header.aedat")
    assert len(events) == 0 and stream.sensor_size == (260, 346)


def test_without_faery_one_line_names_the_extra(tmp_path, monkeypatch):
    (tmp_path / "a.es").write_bytes(b"Event Stream\2\0\0\1" + bytes([20, 0, 10, 0]))
    monkeypatch.setitem(sys.modules, "faery", None)
    with pytest.raises(MissingPackageError, match=r'a\.es: .* pip install "eventsim-snn\[events\]"'):
        eventsim.open_events(tmp_path / "a.es")


def test_evt2(tmp_path):
    path = tmp_path / "a.raw"
    write_evt2(path, EVENTS)
    assert holds(path).sensor_size == (10, 20)
    path.write_bytes(path.read_bytes()[:-2])
    refused(path, "ends within a word of 4 bytes: truncated")
    _, stream = read(path, keep_going=True)
    assert "truncated; only what stands before is taken" in stream.notes[-1]
    path.write_bytes(b"% evt 4.0\n" + bytes(8))
    refused(path, "its header says % evt 4.0, expected EVT 2.0, 2.1 or 3.0")


def evt3(path, *words, header=b"% evt 3.0\n% geometry 640x480\n% end\n"):
    """A file of these words: (kind, value)."""
    path.write_bytes(header + np.array([kind << 12 | value for kind, value in words], "<u2").tobytes())
    return path


AT_5 = ((8, 3), (6, 5), (0, 10), (2, 1 << 11 | 21))  # time, row, an event


def test_evt3_that_begins_in_the_middle(tmp_path):
    """Before the first words of time and row it is not known when and where events happened."""
    event = {"t": [12293], "x": [21], "y": [10], "p": [1]}
    assert holds(evt3(tmp_path / "a.raw", *AT_5), event).notes == []
    for words, n in (
        (((0, 10), (2, 20)), "1 event"), (((2, 20), (8, 2), (2, 21)), "2 events"),
        (((8, 2), (6, 1), (2, 21)), "1 event"),
        (((3, 20), (4, 0b101), (5, 0xF81)), "4 events"),
    ):
        stream = holds(evt3(tmp_path / "a.raw", *words, *AT_5), event)
        assert stream.notes == [f"begins in the middle: {n} before the first words that say time and row, left "
                                "out"]
    assert len(read(evt3(tmp_path / "a.raw", (0, 10), (2, 20)))[0]) == 0


def test_evt2_that_begins_in_the_middle(tmp_path):
    path = tmp_path / "a.raw"
    write_evt2(path, EVENTS)
    place = path.read_bytes().index(b"% end\n") + 6
    words = np.frombuffer(path.read_bytes()[place:], "<u4")
    n = int(np.flatnonzero(words[1:] >> 28 == 8)[0])  # after the first word of time
    path.write_bytes(path.read_bytes()[:place] + words[1:].tobytes())
    stream = holds(path, {key: column[n:] for key, column in EVENTS.items()})
    assert stream.notes[0].startswith(f"begins in the middle: {n} event")


def test_evt_of_a_sensor_that_is_larger_than_any_known(tmp_path):
    wide = {"t": [12293], "x": [1500], "y": [1000], "p": [1]}
    words = ((8, 3), (6, 5), (0, 1000), (2, 1 << 11 | 1500))
    path = evt3(tmp_path / "a.raw", *words, header=b"% evt 3.0\n% end\n")
    assert holds(path, wide).sensor_size is None
    assert holds(path, wide, sensor_size=(1100, 1600)).sensor_size == (1100, 1600)
    refused(path, "an event is at x = 1500, y = 1000, outside the sensor of 640 x 480 pixels",
            sensor_size=(480, 640))


# ---- arrays and text


def test_arrays_of_every_kind(tmp_path):
    npy, npz, hdf5 = tmp_path / "a.npy", tmp_path / "a.npz", tmp_path / "a.h5"
    np.save(npy, structured(EVENTS))
    assert holds(npy).sensor_size is None
    np.save(npy, structured(EVENTS, t="timestamp", p="polarity"))
    holds(npy)
    np.save(npy, np.stack([EVENTS[key] for key in "xypt"], axis=1))
    refused(npy, "rows of four numbers without names: .* give the order of the columns, .*--columns txyp")
    for save in (np.savez, np.savez_compressed):
        save(npz, **EVENTS)
        holds(npz)
    np.savez(npz, events=structured(EVENTS), label=3)
    holds(npz)
    np.savez(npz, **EVENTS, label=3)
    assert any("label beside the events" in note for note in holds(npz).notes)
    for place, names in (("", "txyp"), ("events/", "txyp"), ("CD/events/", "txyp"),
                         ("events/", ("ts", "xs", "ys", "ps"))):
        with h5py.File(hdf5, "w") as file:
            for key, name in zip("txyp", names):
                file[place + name] = EVENTS[key]
            file["height"], file["width"] = 10, 20
        assert holds(hdf5).sensor_size == (10, 20)
    with h5py.File(hdf5, "w") as file:
        file["CD/events"] = structured(EVENTS)
    holds(hdf5)


def test_units_and_polarities_are_said(tmp_path):
    path = tmp_path / "a.npz"
    signed = {**EVENTS, "p": EVENTS["p"] * 2 - 1}
    np.savez(path, **{**signed, "t": EVENTS["t"] / 1e6})
    assert any("taken as seconds" in note for note in holds(path).notes)
    np.savez(path, **{**signed, "t": EVENTS["t"] * 1000})
    holds(path, time_unit=1e-9)
    np.savez(path, **{**EVENTS, "p": EVENTS["p"] + 1})
    refused(path, "p has values from 1 to 2, expected 0 and 1, or -1 and 1")
    np.savez(path, **{**EVENTS, "x": EVENTS["x"] - 1})
    refused(path, "x has values from -1")
    for beyond in (np.nan, np.longdouble("1e400")):
        np.savez(path, **{**EVENTS, "t": np.full(300, beyond)})
        refused(path, "t has values that are no microseconds")
    with pytest.raises(DataError, match="columns is 'txy'"):
        eventsim.open_events(path, columns="txy")


@pytest.mark.parametrize("text, options", [
    ("t,x,y,p\n{t},{x},{y},{p}\n", {}), ("x,y,polarity,timestamp\n{x},{y},{p},{t}\n", {}),
    ("# a comment\n\n{x} {y} {p} {t}\n", {}), ("{t}\t{x}\t{y}\t{p}\n", {}),
    ("{p};{y};{x};{t}\n", {"columns": "pyxt"}),
])
def test_text(tmp_path, text, options):
    head, _, line = text.rpartition("\n")[0].rpartition("\n")
    lines = [line.format(**dict(zip("txyp", row))) for row in zip(*(EVENTS[key] for key in "txyp"))]
    path = tmp_path / "a.csv"
    path.write_text("\n".join([head, *lines]) if head else "\n".join(lines))
    stream = holds(path, **options)
    assert any("taken as" in note for note in stream.notes)
    broken = [*lines[:200], "12,oops", *lines[200:]]
    path.write_text("\n".join([head, *broken]) if head else "\n".join(broken))
    number = 201 + (head.count("\n") + 1 if head else 0)
    refused(path, f"line {number} is '12,oops', expected 4 fields parted by", **options)
    assert len(read(path, keep_going=True, **options)[0]) == 200


def test_text_whose_columns_cannot_be_told(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("1 1 1 1\n1 1 1 1\n")
    refused(path, "their order cannot be told from the numbers; give columns")
    path.write_text("hello\n")
    refused(path, "no events of a known format")


# ---- AEDAT, DAT, .bin


def test_aedat2(tmp_path):
    path = tmp_path / "a.aedat"
    write_aedat2(path, EVENTS)
    stream = holds(path)
    assert stream.sensor_size == (128, 128)
    assert stream.notes == ["does not name its sensor; taken as DVS128", "counts x from the right; turned round"]
    write_aedat2(path, EVENTS, b"#!AER-DAT2.0\r\n# AEChip: ch.unizh.ini.jaer.chip.retina.DVS128\r\n")
    assert holds(path).notes == ["counts x from the right; turned round"]
    write_aedat2(path, EVENTS, b"#!AER-DAT2.0\r\n# AEChip: a.b.Cochlea\r\n")
    refused(path, "is of the sensor 'Cochlea'")
    davis = EVENTS["p"] << 11 | (239 - EVENTS["x"]) << 12 | EVENTS["y"] << 22
    words = np.stack([np.append(davis, 1 << 31), np.append(EVENTS["t"], 9)], axis=1).astype(">u4")
    path.write_bytes(b"#!AER-DAT2.0\r\n# AEChip: eu.seebetter.Davis240C\r\n" + words.tobytes())
    stream = holds(path)
    assert stream.sensor_size == (180, 240) and "no events of pixels" in stream.notes[-1]


def test_aedat3(tmp_path):
    path = tmp_path / "a.aedat"
    half = [{key: value[part] for key, value in EVENTS.items()} for part in (slice(0, 100), slice(100, None))]
    other = aedat3_packet(half[0], kind=2)
    write_aedat3(path, aedat3_packet(half[0]), other, aedat3_packet(half[1], turns=1))
    later = np.where(np.arange(300) < 100, 0, 1 << 31)
    stream = holds(path, {**EVENTS, "t": EVENTS["t"] + later})
    assert stream.sensor_size == (128, 128)
    assert stream.notes == ["has packets of other than events of pixels; passed over",
                            "its clock of 31 bits ran over; times go on"]
    write_aedat3(path, aedat3_packet(half[0]), aedat3_packet(half[1], valid=0))
    assert "not valid; left out" in holds(path, half[0]).notes[0]
    whole = path.read_bytes()
    path.write_bytes(whole[:-3])
    refused(path, "ends within a packet of 200 records: truncated")
    path.write_bytes(whole.replace(b"#!END-HEADER", b"#!..........") )
    refused(path, "has no line #!END-HEADER")
    path.write_bytes(whole[: whole.index(b"END-HEADER") + 12] + b"\x01\0\x01\0" + bytes([255] * 24))
    refused(path, "a packet at byte .* declares -1 records of -1 bytes")


@pytest.mark.parametrize("last", [b"", b"#End Of ASCII Header\r\n"])
def test_aedat2_whose_first_events_begin_as_a_header_does(tmp_path, last):
    """In rows 140 to 143 the first byte of an event of a DAVIS is #, and 10 us end a line."""
    path = tmp_path / "a.aedat"
    x, y, t = np.array([5, 6, 7, 8]), np.array([140, 143, 3, 141]), np.array([10, 2570, 10, 20])
    words = np.stack([1 << 11 | (239 - x) << 12 | y << 22, t], axis=1).astype(">u4")
    path.write_bytes(b"#!AER-DAT2.0\r\n# AEChip: eu.seebetter.Davis240C\r\n" + last + words.tobytes())
    assert words.tobytes()[:1] == b"#"
    holds(path, {"t": t, "x": x, "y": y, "p": [1] * 4})


@pytest.mark.parametrize("version, kind", [(2, 12), (2, 0), (1, 0)])
def test_dat(tmp_path, version, kind):
    path = tmp_path / "a.dat"
    write_dat(path, EVENTS, kind, version)
    assert holds(path).sensor_size == (10, 20)
    path.write_bytes(path.read_bytes()[:-1])
    refused(path, "truncated, it ends within an event")
    found, stream = read(path, keep_going=True)
    assert len(found) == 299 and "truncated" in stream.notes[0]
    if version == 2:
        write_dat(path, {**EVENTS, "p": EVENTS["p"] + 1}, kind, version)
        refused(path, "p has values from 1 to 2, expected 0 and 1, or -1 and 1")
    write_dat(path, EVENTS, kind=14)
    refused(path, "events of type 0e and 08 bytes")
    write_dat(path, EVENTS, version=3)
    refused(path, "is DAT of version '3', expected 1 or 2")


def test_a_clock_of_32_bits_runs_over_and_times_may_fall(tmp_path):
    path = tmp_path / "a.dat"
    t = EVENTS["t"] + (1 << 32) - 5000
    t[[40, 45]] = t[[45, 40]]  # one event late
    t[250] -= 4000  # one from before the turn comes after it
    write_dat(path, {**EVENTS, "t": t})
    stream = holds(path, {**EVENTS, "t": t})
    assert "its clock of 32 bits ran over; times go on" in stream.notes
    assert "has events out of order; each counts at its own time" in stream.notes


TURN = 1 << 23
PAUSES = "its clock of 23 bits has pauses of more than half a turn; taken as such"
FALLS = ("its clock of 23 bits falls by up to half a turn; taken as events out of order, not as a pause in which "
         "it ran over")
OVER, ORDER = "its clock of 23 bits ran over; times go on", "has events out of order; each counts at its own time"


@pytest.mark.parametrize("ticks, times, notes", [
    ([8000000, 100, 5000000, 5000010], [8000000, TURN + 100, TURN + 5000000, TURN + 5000010], {OVER, PAUSES}),
    ([8000000, 100, 8000000, 7], [8000000, TURN + 100, TURN + 8000000, 2 * TURN + 7], {OVER, PAUSES}),
    ([8388607, 2, 8388606, 5], [8388607, TURN + 2, 8388606, TURN + 5], {OVER, ORDER}),  # one comes late
    ([5, 8388606, 9], [5, 8388606, TURN + 9], {OVER}),
    ([100, 5000000, 100000, 5000000], [100, 5000000, TURN + 100000, TURN + 5000000], {OVER, PAUSES}),
    ([8000000, 4611392], [8000000, 4611392], {FALLS, ORDER}),
    ([300000, 200, 299000, 100], [300000, 200, 299000, 100], {FALLS, ORDER}),  # of 300 ms, as of N-MNIST
    ([3000, 200, 2900], [3000, 200, 2900], {ORDER}),
])
def test_a_clock_of_23_bits_moves_nothing_without_a_word(tmp_path, ticks, times, notes):
    path = tmp_path / "a.bin"
    n = len(ticks)
    write_recording(path, [1] * n, [2] * n, [1] * n, ticks)
    stream = holds(path, {"t": times, "x": [1] * n, "y": [2] * n, "p": [1] * n})
    assert set(stream.notes) == notes


def test_five_bytes(tmp_path):
    path = tmp_path / "a.bin"
    t = EVENTS["t"] + (1 << 23) - 5000
    write_recording(path, EVENTS["x"], EVENTS["y"], EVENTS["p"], t % (1 << 23))
    stream = holds(path, {**EVENTS, "t": t})
    assert stream.start == 0 and stream.notes == ["its clock of 23 bits ran over; times go on"]
    write_recording(path, [1, 0, 2], [3, 240, 4], [1, 0, 0], [7, 0, 5])  # a row of 240 marks a turn of 13 bits
    holds(path, {"t": [7, 5 + (1 << 13)], "x": [1, 2], "y": [3, 4], "p": [1, 0]})


def test_shd(tmp_path):
    path = tmp_path / "shd_test.h5"
    recordings = [([0.25, 0.5, 0.125], [3, 699, 0]), ([1.0], [5])]
    write_shd(path, recordings, [4, 1])
    stream = holds(path, {"t": [250000, 500000, 125000], "x": [3, 699, 0], "y": [0, 0, 0], "p": [1, 1, 1]},
                   sample=0)
    assert stream.sensor_size == (1, 700) and stream.start == 0
    assert "has events out of order; each counts at its own time" in stream.notes
    with h5py.File(path, "a") as file:
        file["x"], file["y"] = np.zeros((2, 3)), [0, 1]
    assert "holds x, y beside the events; not read" in read(path, sample=1)[1].notes
    refused(path, "holds 2 recordings; give the number of one")
    refused(path, r"holds 2 recordings.*\(it was 2\)", sample=2)
    write_shd(path, [([0.5], [700])], [0])
    refused(path, "recording 0 has units from 700 to 700, expected 0 to 699")


def test_a_file_that_declares_recordings_beyond_number(tmp_path, monkeypatch):
    """Packed, so many that are empty fit into a small file, and each would take memory."""
    monkeypatch.setattr(cochlea, "MOST_RECORDINGS", 1)
    write_shd(tmp_path / "a.h5", [([0.5], [7])] * 2, [0, 0])
    refused(tmp_path / "a.h5", "declares 2 recordings, expected at most 1", sample=0)


@pytest.mark.parametrize("t", [
    np.arange(2).astype("m8[us]"), np.arange(2).astype("M8[us]"), np.array(["a", "b"]), np.array([b"a", b"b"]),
    np.ones(2, complex),
    np.ones((2, 2)),
])
def test_times_that_are_no_numbers(tmp_path, t):
    rows = np.zeros(2, [("t", t.dtype, t.shape[1:]), ("x", "<i2"), ("y", "<i2"), ("p", "<i2")])
    rows["t"] = t
    np.save(tmp_path / "a.npy", rows)
    for unit in (None, 1e-3):
        refused(tmp_path / "a.npy", "t of the events has shape .* expected one number per event", time_unit=unit)


def test_places_in_narrow_floats_are_compared_without_a_warning(tmp_path):
    columns = {key: np.ones(2, np.float16) for key in "xyp"}
    np.savez(tmp_path / "a.npz", t=[0, 1], **columns)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        holds(tmp_path / "a.npz", {"t": [0, 1], "x": [1, 1], "y": [1, 1], "p": [1, 1]})
        np.savez(tmp_path / "a.npz", t=[0, 1], **{**columns, "x": np.full(2, np.nan, np.float16)})
        refused(tmp_path / "a.npz", "x has values from nan to nan")
        np.savez(tmp_path / "a.npz", t=[0.5, 1e305], **columns)
        refused(tmp_path / "a.npz", "t has values that are no microseconds")


# ---- damage


def written(folder):
    """One file of each format that needs no package."""
    write_aedat2(folder / "a.aedat", EVENTS)
    write_aedat3(folder / "b.aedat", aedat3_packet(EVENTS))
    write_dat(folder / "a.dat", EVENTS)
    write_recording(folder / "a.bin", *(EVENTS[key] for key in "xypt"))
    np.save(folder / "a.npy", structured(EVENTS))
    np.savez(folder / "a.npz", **EVENTS)
    write_shd(folder / "a.h5", [([0.5], [7])], [0])
    (folder / "a.csv").write_text("t,x,y,p\n" + "".join(f"{t},{t % 7},2,1\n" for t in range(50)))
    return sorted(folder.iterdir())


def test_damaged_files_are_read_or_refused_in_one_line(tmp_path):
    rng = np.random.default_rng(5)
    for path in written(tmp_path):
        whole = path.read_bytes()
        for _ in range(25):
            damaged = bytearray(whole[: rng.integers(len(whole))] if rng.random() < 0.4 else whole)
            for place in rng.integers(0, max(8 * len(damaged), 1), 2):
                if damaged:
                    damaged[place // 8] ^= 1 << place % 8
            path.write_bytes(damaged)
            try:
                read(path)
            except EventsimError as error:
                assert str(error).startswith(str(path)) and "\n" not in str(error), error


@pytest.mark.parametrize("name", ["a.aedat", "b.aedat", "a.dat"])
def test_headers_whose_lines_do_not_end(tmp_path, name):
    path = next(found for found in written(tmp_path) if found.name == name)
    whole = path.read_bytes()
    for end in range(1, whole.rindex(b"\n", 0, 200) + 2):
        for damaged in (whole[:end], whole[:end].replace(b"\n", b"\0")):
            path.write_bytes(damaged)
            with suppress(EventsimError):
                read(path)


@pytest.mark.parametrize("name, size", [("a.aedat", 8), ("a.dat", 8), ("a.bin", 5), ("a.npy", 14)])
def test_nothing_before_the_damage_is_lost(tmp_path, name, size):
    path = next(found for found in written(tmp_path) if found.name == name)
    path.write_bytes(path.read_bytes()[: -10 * size - 1])
    refused(path, "truncated")
    found, stream = read(path, keep_going=True)
    np.testing.assert_array_equal(found["t"], EVENTS["t"][:289])
    assert "only what stands before is taken" in stream.notes[-1]
