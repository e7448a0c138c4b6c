"""AEDAT 4 and Event Stream: what is checked before faery reads them, and faery in its own process."""

import struct

import numpy as np
import pytest

import eventsim
from eventsim.errors import DataError
from eventsim.inputs.event_files import aedat4, es, faery_files

EVENTS = [(10, 1, 2, 1), (20, 3, 4, 0), (30, 5, 5, 1)]
LINE = b"#!AER-DAT4.0\r\n"


def header(xml, table=-1):
    """A header of AEDAT 4: FlatBuffers with compression, the place of the table of packets, and XML."""
    text = xml if isinstance(xml, bytes) else xml.encode()
    data = struct.pack("<I4s6x5H", 24, b"IOHE", 10, 20, 4, 8, 16)
    data += struct.pack("<iiqII", 10, 0, table, 4, len(text)) + text + b"\0"
    return LINE + struct.pack("<I", len(data)) + data


def packet(events, number=0):
    """A packet that is not compressed."""
    data = struct.pack("<I4s2x3HiI4xI", 16, b"EVTS", 6, 8, 4, 6, 8, len(events))
    data += b"".join(struct.pack("<qhh?3x", *event) for event in events)
    return struct.pack("<iiI", number, len(data) + 4, len(data)) + data


def attributes(**values):
    return "".join(f'<attr key="{key}" type="{"int" if key in ("sizeX", "sizeY") else "string"}">{value}</attr>'
                   for key, value in values.items())


def streams(*rows):
    """XML of streams: (kind, name, (height, width) or None)."""
    nodes = ""
    for number, (kind, name, size) in enumerate(rows):
        info = attributes(sizeX=size[1], sizeY=size[0]) if size else ""
        nodes += (f'<node name="{number}">{attributes(originalOutputName=name, typeIdentifier=kind)}'
                  f'<node name="info">{info}</node></node>')
    return f'<dv version="2.0"><node name="outInfo">{nodes}</node></dv>'


ONE = streams(("EVTS", "events", (8, 10)))
TWO = streams(("IMUS", "imu", None), ("EVTS", "left", (8, 10)), ("EVTS", "right", (4, 4)),
              ("TRIG", "triggers", None))


def refused(path, match, **options):
    with pytest.raises(DataError, match=match) as caught:
        eventsim.open_events(path, **options).read()
    assert str(caught.value).startswith(f"{path}") and "\n" not in str(caught.value)


def rows_of(path, **options):
    """([(t, x, y, p)], the stream)."""
    stream = eventsim.open_events(path, **options)
    return [tuple(row) for row in stream.read().tolist()], stream


# ---- AEDAT 4


@pytest.mark.parametrize("data, match", [
    (b"#!AER-DAT4.1\r\n1234", "begins with b'#!AER-DAT4.1.*', expected b'#!AER-DAT4.0"),
    (LINE + b"12", "begins with"), (header(ONE)[:100], "declares a header of"),
    (LINE + struct.pack("<I", 1 << 31), "declares a header of 2147483648 bytes, but has 0"),
    (header(ONE).replace(b"IOHE", b"IOHX"), "its header is damaged .no table"),
    (header(ONE).replace(b"events", b"\xffvents"), "its header is damaged .*utf-8"),
    (header(ONE).replace(b"\x18\0\0\0IOHE", b"\0\0\0\x80IOHE"), "its header is damaged"),
    (header(ONE).replace(b"</dv>", b"</dx>"), "the XML of its header is damaged"),
    (header("<dv></dv>"), "the XML of its header is damaged .it names no streams"),
    (header(ONE.replace(">8<", ">-<")), "the XML of its header is damaged"),
    (header(ONE.replace('name="0"', 'name="zero"')), "the XML of its header is damaged"),
    (header(streams(("IMUS", "imu", None))), "has no stream of events, only imu"),
    (header(streams(("EVTS", "left", None))), "its stream left does not say how many pixels its sensor has"),
    (header(TWO), r"has 2 streams of events \(0: left, 1: right\); give the number of one as sample .--sample"),
    (header(ONE) + struct.pack("<ii", 0, -16), "its packet at byte .* declares -16 bytes of stream 0: damaged"),
    (header(ONE) + struct.pack("<ii", 7, 16), "its packet at byte .* declares 16 bytes of stream 7: damaged"),
    (header(ONE) + struct.pack("<ii", 0, 1 << 30), "ends within a packet of 1073741824 bytes: truncated"),
    (header(ONE) + packet(EVENTS)[:7], "ends within the header of a packet: truncated"),
    (header(ONE) + packet(EVENTS)[:-1], "ends within a packet of 84 bytes: truncated"),
    (header(ONE, 1 << 20) + packet(EVENTS), "ends before byte 1048576, where its table of packets is: truncated"),
])
def test_damage_is_found_before_faery_reads(tmp_path, monkeypatch, data, match):
    monkeypatch.setattr(aedat4, "check_faery", lambda path: pytest.fail("damage is found first"))
    (tmp_path / "a.aedat4").write_bytes(data)
    refused(tmp_path / "a.aedat4", match)


@pytest.mark.parametrize("sample", [2, -1])
def test_streams_that_are_none_of_the_file(tmp_path, sample):
    (tmp_path / "a.aedat4").write_bytes(header(TWO))
    refused(tmp_path / "a.aedat4", rf"has 2 streams of events .* as sample .--sample. \(it was {sample}\)",
            sample=sample)
    (tmp_path / "a.aedat4").write_bytes(header(ONE))
    refused(tmp_path / "a.aedat4", "sample does not apply to a file of one recording", sample=0)


def test_a_size_that_contradicts_the_header(tmp_path):
    (tmp_path / "a.aedat4").write_bytes(header(ONE))
    refused(tmp_path / "a.aedat4", "its sensor has 10 x 8 pixels, but sensor_size is .4, 4.", sensor_size=(4, 4))
    (tmp_path / "a.es").write_bytes(event_stream(b""))
    refused(tmp_path / "a.es", "its sensor has 20 x 10 pixels, but sensor_size is .4, 4.", sensor_size=(4, 4))


def test_the_stream_that_is_chosen(tmp_path):
    pytest.importorskip("faery")
    path, other, last = tmp_path / "a.aedat4", [(12, 1, 3, 1), (25, 0, 0, 0)], packet([(40, 9, 7, 1)], 1)
    path.write_bytes(header(TWO) + packet(EVENTS, 1) + packet([], 1) + packet(other, 2) + last)
    rows, stream = rows_of(path, sample=0)
    assert rows == [*EVENTS, (40, 9, 7, 1)] and stream.sensor_size == (8, 10)
    assert stream.notes == ["holds stream imu, stream right, stream triggers beside the events; not read"]
    assert rows_of(path, sample=1)[0] == other
    path.write_bytes(header(ONE) + packet([(40, 10, 7, 1)]))
    refused(path, "an event is at x = 10, outside the sensor of 10 x 8 pixels")


@pytest.mark.parametrize("rest", [packet(EVENTS)[:-1], struct.pack("<ii", 0, -16), struct.pack("<ii", 9, 1 << 30)],
                         ids=["cut", "negative", "stray"])
def test_what_stands_before_damage(tmp_path, rest):
    pytest.importorskip("faery")
    (tmp_path / "a.aedat4").write_bytes(header(ONE) + packet(EVENTS) + packet([(40, 1, 1, 1)]) + rest)
    rows, stream = rows_of(tmp_path / "a.aedat4", keep_going=True)
    assert rows == [*EVENTS, (40, 1, 1, 1)] and "only what stands before is taken" in stream.notes[-1]


def test_damage_within_packets_is_one_line(tmp_path, capfd):
    """Some of it would abort this process, or print a backtrace."""
    pytest.importorskip("faery")
    whole, first = header(ONE) + packet(EVENTS), len(header(ONE)) + 8
    for place, value in ((4, 0xFF), (8, 0xFF), (11, 0x80), (20, 0xFF), (24, 0xFF), (35, 0x7F)):
        damaged = bytearray(whole)
        damaged[first + place] = value
        (tmp_path / "a.aedat4").write_bytes(damaged)
        refused(tmp_path / "a.aedat4", "cannot be read, damaged or truncated|outside the sensor")
    assert capfd.readouterr() == ("", "")


# ---- the process


@pytest.mark.parametrize("program, match", [
    ("import os, sys; print('noise', file=sys.stderr); os.abort()", r"damaged or truncated \(faery has crashed\)"),
    ("import sys; sys.stdout.buffer.write(bytes(5))", r"damaged or truncated \(faery has crashed\)"),
    ("import struct, sys; sys.stdout.buffer.write(struct.pack('<qq', -2, 3) + b'why')",
     r"damaged or truncated \(why\)"),
])
def test_a_process_that_fails_is_one_line(tmp_path, monkeypatch, capfd, program, match):
    (tmp_path / "program.py").write_text(program)
    monkeypatch.setattr(faery_files, "PROGRAM", tmp_path / "program.py")
    with pytest.raises(DataError, match=f"a.es: cannot be read, {match}"):
        list(faery_files.blocks_through_faery("a.es", (10, 20), "es"))
    assert capfd.readouterr() == ("", "")


def test_a_reading_that_is_given_up_ends_its_process(tmp_path, monkeypatch):
    row = np.zeros(1, faery_files.PACKET).tobytes()
    (tmp_path / "program.py").write_text(
        f"import struct, sys, time\nsys.stdout.buffer.write(struct.pack('<q', 13) + {row!r})\nsys.stdout.flush()\n"
        "time.sleep(600)")
    monkeypatch.setattr(faery_files, "PROGRAM", tmp_path / "program.py")
    started = []

    class Noted(faery_files.subprocess.Popen):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            started.append(self)

    monkeypatch.setattr(faery_files.subprocess, "Popen", Noted)
    blocks = faery_files.blocks_through_faery("a.es", (10, 20), "es")
    assert len(next(blocks)) == 1
    blocks.close()
    assert started[0].poll() is not None


# ---- Event Stream


def event_stream(data, kind=1, version=2):
    return b"Event Stream" + bytes([version, 0, 0, kind, 20, 0, 10, 0]) + data


def dvs(*events):
    """(microseconds since the one before, x, y, p) of each."""
    return b"".join(b"\xff" * (t // 127) + struct.pack("<BHH", t % 127 << 1 | p, x, y) for t, x, y, p in events)


@pytest.mark.parametrize("data, match", [
    (b"Event Stream\2\0\0\1", "has 16 bytes, expected a header of 20"), (event_stream(b"", 4), "of type color"),
    (event_stream(b"", 9), "of type 9, expected dvs or atis"),
    (event_stream(b"", 1, 1), "of version 1, expected 2"),
])
def test_headers_of_event_streams(tmp_path, data, match):
    (tmp_path / "a.es").write_bytes(data)
    refused(tmp_path / "a.es", match)


@pytest.mark.parametrize("at_once", [1, 3, 64, 1 << 16])
@pytest.mark.parametrize("kind, single", [(1, b"\xff"), (1, b"\xfe"), (2, b"\xfd")])
def test_an_event_stream_that_ends_within_an_event(tmp_path, monkeypatch, at_once, kind, single):
    monkeypatch.setattr(es, "check_faery", lambda path: None)
    monkeypatch.setattr(es, "blocks_through_faery", lambda *arguments: iter(()))
    monkeypatch.setattr(es, "AT_ONCE", at_once)
    parts = [single, b"\1\1\0\2\0", single * 3, b"\n\xff\xff\xff\xff", b"\n\0\0\0\0", single]
    whole = np.cumsum([0, *map(len, parts)])
    for n_bytes in range(whole[-1] + 1):
        (tmp_path / "a.es").write_bytes(event_stream(b"".join(parts)[:n_bytes], kind))
        if n_bytes in whole or any(n_bytes - start <= len(part) for start, part in zip(whole, parts)
                                   if part[:1] == single and 0 <= n_bytes - start):
            assert rows_of(tmp_path / "a.es")[0] == []
        else:
            refused(tmp_path / "a.es", "ends within an event: truncated")


def test_an_event_stream_through_faery(tmp_path):
    pytest.importorskip("faery")
    path, data = tmp_path / "a.es", dvs((0, 1, 2, 1), (1000, 3, 4, 0), (5, 19, 9, 1))
    path.write_bytes(event_stream(data))
    rows, stream = rows_of(path)
    assert rows == [(0, 1, 7, 1), (1000, 3, 5, 0), (1005, 19, 0, 1)] and stream.sensor_size == (10, 20)
    assert stream.notes == ["counts y from below; turned round"]
    path.write_bytes(event_stream(data)[:-1])
    refused(path, "ends within an event: truncated")
    assert rows_of(path, keep_going=True)[0] == rows[:2]
