"""Sources without end: pipes of text and of binary events, packets, and how they end."""

import os
import socket
import threading
from itertools import count

import numpy as np
import pytest
from event_files import made_events

from eventsim.errors import DataError
from eventsim.inputs.event_files.options import EventOptions
from eventsim.inputs.live import event_stream, RECORD

EVENTS = made_events(60)
TEXT = b"".join(b"%d,%d,%d,%d\n" % row for row in zip(*(EVENTS[key].tolist() for key in "txyp")))
BINARY = np.rec.fromarrays([EVENTS[key] for key in "txyp"], RECORD).tobytes()


def piped(*pieces, **options):
    """The EventStream of a pipe that somebody writes these pieces into, read to its end."""
    reading, writing = os.pipe()

    def write():
        with os.fdopen(writing, "wb", buffering=0) as file:
            for piece in pieces:
                file.write(piece)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        with os.fdopen(reading, "rb", buffering=0) as file:
            stream = event_stream(file, EventOptions(**options))
            return stream.read(), stream.notes
    finally:
        thread.join()


def in_pieces(data, n):
    return [data[i : i + n] for i in range(0, len(data), n)]


def assert_events(found, n=60):
    for key in "txyp":
        np.testing.assert_array_equal(found[key], EVENTS[key][:n])


@pytest.mark.parametrize("n", [1, 7, 100, 10_000])
@pytest.mark.parametrize("data",
                         [TEXT, b"t,x,y,p\n" + TEXT, b"# made\r\n\n" + TEXT.replace(b"\n", b"\r\n"), BINARY])
def test_events_through_a_pipe_however_they_are_cut(data, n):
    found, notes = piped(*in_pieces(data, n))
    assert_events(found)
    assert not any("middle" in note for note in notes)


def test_columns_in_another_order():
    rows = b"".join(b"%d %d %d 7 %d\n" % row for row in zip(*(EVENTS[key].tolist() for key in "xytp")))
    found, notes = piped(b"x y t extra p\n" + rows)
    assert_events(found)
    with pytest.raises(DataError, match=r"\d+: line 62 is '1 2 3 4', expected 5 fields parted by blanks"):
        piped(b"x y t extra p\n" + rows, b"1 2 3 4\n")
    found, notes = piped(b"1,2,3000,1\n", columns="xytp")
    assert found["t"] == [3000] and found["y"] == [2]


def test_seconds_stay_seconds():
    found, notes = piped(b"0.5,1,1,1\n", b"2,1,1,1\n", b"3000,1,1,1\n")
    assert found["t"].tolist() == [500_000, 2_000_000, 3_000_000_000]
    assert any("taken as seconds" in note for note in notes)


def cut_anyhow(data, **options):
    """What a pipe gives, or refuses, wherever its bytes are cut: always the same."""
    outcomes = []
    for n in (1 << 16, 1, 2, 5, 7, 13, 20):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("eventsim.inputs.live.READ_BYTES", n)
            try:
                found, notes = piped(data, **options)
                outcomes.append((found["t"].tolist(), notes))
            except DataError as error:
                outcomes.append(str(error).partition(": ")[2])
    assert all(outcome == outcomes[0] for outcome in outcomes), outcomes
    return outcomes[0]


SECONDS, WHOLE = "its times are taken as seconds", "its times are taken as microseconds"


@pytest.mark.parametrize("times, expected, said", [
    (["0", "0.005", "0.035"], [0, 5000, 35000], SECONDS), (["0.0", "500.0", "1500.0"], [0, 500, 1500], WHOLE),
    (["0", "0", "0"], [0, 0, 0], None), (["7", "8.0", "9e3"], [7, 8, 9000], WHOLE),
    (["0.5", "2", "3000"], [500_000, 2_000_000, 3_000_000_000], SECONDS),
])
def test_the_unit_does_not_depend_on_how_bytes_are_cut(times, expected, said):
    data = "".join(f"{t},5,6,1\n" for t in times).encode()
    found, notes = cut_anyhow(data)
    assert found == expected
    assert [note for note in notes if note.startswith("its times")] == ([] if said is None else [
        f"{said}, as {'fractions' if said == SECONDS else 'whole numbers'} are (time_unit says otherwise)"])
    assert cut_anyhow(data, time_unit=1e-3)[0] == [round(1000 * float(t)) for t in times]
    assert cut_anyhow(b"t_ms,x,y,p\n" + data)[0] == [round(1000 * float(t)) for t in times]


def test_a_fraction_that_contradicts_the_unit_is_refused_wherever_bytes_are_cut():
    data = b"0,5,6,1\n2,5,6,1\n2.5,5,6,1\n3,5,6,1\n"
    assert ("has t = 2.5, a fraction, after times that are whole, and so were taken as microseconds: give their "
            "unit (time_unit, --time-unit SECONDS)") in cut_anyhow(data)
    found, notes = cut_anyhow(data, keep_going=True)
    assert found == [0, 2] and "damaged: has t = 2.5, a fraction" in notes[-1]
    assert cut_anyhow(data, time_unit=1)[0] == [0, 2_000_000, 2_500_000, 3_000_000]
    assert cut_anyhow(b"x,y,t_s,p\n5,6,2,1\n5,6,2.5,1\n")[0] == [2_000_000, 2_500_000]
    assert "says a unit of 1 s, but time_unit is 0.001: leave it out" in cut_anyhow(
        b"x,y,t_s,p\n5,6,2,1\n", time_unit=1e-3)


def test_binary_events_are_known_wherever_bytes_are_cut():
    rows = np.array([(10, 13, 10, 1), (2570, 1, 2, 0)], RECORD)  # bytes that are ends of lines in text
    assert cut_anyhow(rows.tobytes())[0] == [10, 2570]


def test_lines_of_a_pipe_that_are_no_plain_events():
    assert cut_anyhow(b"\xef\xbb\xbf,t,y,p,x\r\n0,1000,6,1,5\r\n")[0] == [1000]
    assert "line 2 is '1,5,6,1,9', expected 4 fields parted by commas" in cut_anyhow(b"t,x,y,p\n1,5,6,1,9\n")
    assert "has 5 columns and no header" in cut_anyhow(b"1,5,6,1,9\n")
    assert "its first line is '240 180', expected an event: leave it out" in cut_anyhow(b"240 180\n1 5 6 1\n")
    assert "p has both -1 and 0" in cut_anyhow(b"1,5,6,-1\n2,5,6,1\n3,5,6,0\n")
    long = b"1,5,6,1\n" + b"x" * 5000 + b"\n2,5,6,1\n"
    assert "line 2 has more than 4096 characters" in cut_anyhow(long)
    assert cut_anyhow(long, keep_going=True)[0] == [1]


@pytest.mark.parametrize("long", [
    b"# " + b"1,5,6,1 " * 1000, b"% " + b"1,5,6,1 " * 1000, b"#" * 20_000 + b"1,5,6,1", b"# " + b"\xc2\xb5" * 4000,
])
def test_a_comment_of_any_length_is_no_event_of_a_pipe(long):
    data = b"1,5,6,1\n" + long + b"\n2,5,6,1\r\n" + long
    for n in (1 << 16, 4096, 999):
        found, notes = piped(*in_pieces(data, n))
        assert found["t"].tolist() == [1, 2] and not any("middle" in note for note in notes)
        assert piped(*in_pieces(b"\xef\xbb\xbf" + long + b"\n" + data, n))[0]["t"].tolist() == [1, 2]
        with pytest.raises(DataError, match="line 5 is .oops."):
            piped(*in_pieces(data + b"\noops\n", n))


@pytest.mark.parametrize("data, cut, n",
                         [(TEXT, 5, 59), (TEXT, 2, 59), (BINARY, 1, 59), (BINARY, 12, 59), (BINARY, 14, 58)])
def test_an_end_in_the_middle_of_an_event_is_said(data, cut, n):
    found, notes = piped(data[:-cut])
    assert_events(found, n)
    [said] = [note for note in notes if "ended in the middle of an event" in note]
    assert "bytes are left out" in said


@pytest.mark.parametrize("n", [1, 7, 10_000])
def test_a_last_line_without_an_end_that_has_all_fields_is_an_event(n):
    """As in a file."""
    for data in (TEXT[:-1], b"t,x,y,p\n" + TEXT[:-1], TEXT[:-1] + b"  # the last"):
        events, notes = piped(*in_pieces(data, n))
        assert_events(events)
        assert not any("middle of an event" in note for note in notes)
    assert piped(b"5,1,2,1")[0].tolist() == [(5, 1, 2, 1)]
    for data in (b"5,1,2", b"5", b"5,1,2,", b"t,x,y,p\n5,1,2", b"5,1,2,-"):
        events, notes = piped(*in_pieces(data, n))
        assert not len(events) and "ended in the middle of an event" in notes[-1]


def test_damage_is_one_line():
    with pytest.raises(DataError, match=": line 61 is 'oops', expected 4 fields parted by commas"):
        piped(TEXT, b"oops\n", TEXT)
    found, notes = piped(TEXT, b"oops\n", TEXT, keep_going=True)
    assert_events(found)
    assert "damaged: line 61 is 'oops'" in notes[-1] and notes[-1].endswith("only what stands before is taken")
    with pytest.raises(DataError, match="line 61 has more than 4096 characters: it is no text of events"):
        piped(TEXT, b"x" * 5000)
    with pytest.raises(DataError, match="p has values from 0 to 9, expected 0 and 1"):
        piped(BINARY[:-1] + b"\x09")
    assert not len(piped(b"")[0])


def test_a_closed_pipe_is_one_line(tmp_path):
    with open(tmp_path / "written", "wb") as file, pytest.raises(
            DataError, match="written: cannot be read \\(Bad"):
        event_stream(file, EventOptions()).read()


def test_what_is_no_source():
    with pytest.raises(DataError, match="source is a int, expected an EventStream, a path"):
        event_stream(5, EventOptions())
    for name in ("udp://", "udp:127.0.0.1:3", "udp://127.0.0.1:0", "udp://127.0.0.1:70000"):
        with pytest.raises(DataError, match="is no address of UDP, expected udp://HOST:PORT"):
            event_stream(name, EventOptions())


@pytest.fixture(autouse=True)
def patience():
    """No test waits without end for a packet that does not come."""
    socket.setdefaulttimeout(20)
    yield
    socket.setdefaulttimeout(None)


def test_packets_on_loopback():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    stream, done = event_stream(f"udp://127.0.0.1:{port}", EventOptions((10, 20))), threading.Event()

    def send():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for i in count():
                if done.wait(0.005):
                    return
                sender.sendto(BINARY[: 13 * (i % 3 + 1) + i % 2], ("127.0.0.1", port))

    thread = threading.Thread(target=send)
    thread.start()
    try:
        blocks = iter(stream)
        found = [next(blocks) for _ in range(6)]
        with pytest.raises(DataError, match=f"udp://127.0.0.1:{port}: cannot be read \\(Address already in use"):
            next(iter(stream))
        blocks.close()
    finally:
        done.set()
        thread.join()
    for block in found:
        assert_events(block, len(block))
    assert {len(block) for block in found} == {1, 2, 3} and "packets that end within an event" in stream.notes[0]


def test_packets_that_faery_sends():
    faery = pytest.importorskip("faery")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    blocks = iter(event_stream(f"udp://127.0.0.1:{port}", EventOptions((10, 20))))
    rows = np.frombuffer(BINARY, faery.EVENTS_DTYPE)
    done = threading.Event()

    def send():
        while not done.wait(0.01):
            faery.events_stream_from_array(rows.copy(), (20, 10)).to_udp(("127.0.0.1", port))

    thread = threading.Thread(target=send)
    thread.start()
    try:
        block = next(blocks)
        blocks.close()
    finally:
        done.set()
        thread.join()
    assert_events(block, len(block))
