"""AEDAT 4 (.aedat4), as DV writes it: a line, a header with XML that names the streams, then packets.

The header is a FlatBuffers table of compression, the place of a table of packets behind them (-1: none), and
XML. A packet is the number of its stream and its size, 32 bits each, little-endian, and so many bytes
(iniVation's specification). Header and sizes are read here, as faery hangs or aborts where they are damaged;
packets are read through faery.
"""

import os
import struct
from typing import NamedTuple, Optional, Tuple
from xml.etree import ElementTree

from eventsim.errors import DataError
from eventsim.inputs.event_files.faery_files import blocks_through_faery, check_faery
from eventsim.inputs.event_files.options import refuse_given
from eventsim.inputs.event_files.records import LONGEST_HEADER, note_beside, sensor_size_of
from eventsim.inputs.events import EventStream
from eventsim.storage.reading import one_line, reading

START = b"#!AER-DAT4"
LINE = b"#!AER-DAT4.0\r\n"
EVENTS = "EVTS"
PACKET = struct.Struct("<ii")  # number of the stream, bytes


class RecordedStream(NamedTuple):
    """One stream of a file. number: as packets have it. kind: four letters. size: (height, width) or None."""

    number: int
    kind: str
    name: str
    size: Optional[Tuple[int, int]]


class Packets(NamedTuple):
    """The packets of a file. n_whole: how many stand before the first damage. damage: what it is, or ""."""

    n_whole: int
    damage: str


def holds_events(path, start) -> bool:
    """Return whether a file has this format, by its first line."""
    return start.startswith(START)


def recording_in(path, options) -> EventStream:
    """Return the recording in a file."""
    with reading(path), open(path, "rb") as file:
        xml, end, first = _header(path, file)
    streams = _streams(path, xml)
    packets = _packets(path, first, end, {stream.number for stream in streams})
    if packets.damage and not options.keep_going:
        raise DataError(f"{path}: {packets.damage}")
    chosen, notes = _chosen(path, streams, options), []
    note_beside(notes, [f"stream {stream.name}" for stream in streams if stream != chosen])
    size = sensor_size_of(path, chosen.size, options)
    check_faery(path)
    return EventStream(lambda: _blocks(path, size, chosen, packets), str(path), size, notes=notes)


def _blocks(path, size, stream, packets):
    yield from blocks_through_faery(path, size, "aedat", stream.number, packets.n_whole)
    if packets.damage:
        raise DataError(f"{path}: {packets.damage}")


def _header(path, file):
    """Return (XML as text, the place of the table of packets or -1, the place of the first packet)."""
    data = file.read(len(LINE) + 4)
    if len(data) < len(LINE) + 4 or not data.startswith(LINE):
        raise DataError(f"{path}: begins with {data[:len(LINE)]!r}, expected {LINE!r} and a header: damaged")
    n_bytes = int.from_bytes(data[len(LINE):], "little")
    data = file.read(min(n_bytes, LONGEST_HEADER))
    if len(data) < n_bytes:
        raise DataError(f"{path}: declares a header of {n_bytes} bytes, but has {len(data)}: damaged or truncated")
    try:
        xml, table = _fields(data)
        return xml.decode("utf-8"), table, file.tell()
    except (struct.error, UnicodeDecodeError) as error:
        raise DataError(f"{path}: its header is damaged ({one_line(error)})") from None


def _fields(data):
    """Return (XML in bytes, the place of the table of packets or -1) of a header. Raises struct.error."""
    def number(code, place):
        if place < 0:
            raise struct.error("a place below 0")
        return struct.unpack_from("<" + code, data, place)[0]

    root = number("I", 0)
    places = root - number("i", root)  # of the fields, 0 of one that has its default
    _, table, text = (number("H", places + 4 + 2 * i) if 4 + 2 * i < number("H", places) else 0 for i in range(3))
    if data[4:8] != b"IOHE" or not text:
        raise struct.error("no table of a header")
    table = number("q", root + table) if table else -1
    text = root + text + number("I", root + text)
    n_bytes = number("I", text)
    if text + 4 + n_bytes > len(data):
        raise struct.error("its text is longer")
    return data[text + 4 : text + 4 + n_bytes], table


def _streams(path, xml):
    """Return the streams that the header names."""
    try:
        root = ElementTree.fromstring(xml)
        nodes = next(node for node in root.iter("node") if node.get("name") == "outInfo").findall("node")
        return [_stream(node) for node in nodes]
    except (ElementTree.ParseError, StopIteration, ValueError) as error:
        reason = one_line(error) or "it names no streams"
        raise DataError(f"{path}: the XML of its header is damaged ({reason})") from None


def _stream(node):
    attributes, info = _attributes(node), _attributes(node.find("node[@name='info']"))
    kind = attributes.get("typeIdentifier", "")
    size = (int(info["sizeY"]), int(info["sizeX"])) if {"sizeX", "sizeY"} <= set(info) else None
    return RecordedStream(int(node.get("name", "")), kind, attributes.get("originalOutputName", kind), size)


def _attributes(node):
    return {} if node is None else {each.get("key"): each.text or "" for each in node.findall("attr")}


def _chosen(path, streams, options):
    """Return the stream of events that the options name, or the only one."""
    with_events = [stream for stream in streams if stream.kind == EVENTS]
    if not with_events:
        names = ", ".join(stream.name for stream in streams)
        raise DataError(f"{path}: has no stream of events, only {names or 'none at all'}")
    if len(with_events) == 1:
        refuse_given(options, ("sample",), path, "a file of one recording")
    sample = 0 if len(with_events) == 1 else options.sample
    if sample is None or not 0 <= sample < len(with_events):
        names = ", ".join(f"{i}: {stream.name}" for i, stream in enumerate(with_events))
        given = "" if sample is None else f" (it was {sample})"
        raise DataError(f"{path}: has {len(with_events)} streams of events ({names}); give the number of one as "
                        f"sample (--sample){given}")
    if with_events[sample].size is None:
        raise DataError(f"{path}: its stream {with_events[sample].name} does not say how many pixels its sensor "
                        "has: damaged")
    return with_events[sample]


def _packets(path, first, table, numbers) -> Packets:
    """Return the packets up to the end, or up to the table behind them. numbers: those of the streams."""
    end = os.path.getsize(path)
    is_cut = table > end
    end = end if table < 0 or is_cut else table
    place, n = first, 0
    with reading(path), open(path, "rb", buffering=0) as file:
        while place < end:
            file.seek(place)
            if place + PACKET.size > end:
                return Packets(n, "ends within the header of a packet: truncated")
            number, n_bytes = PACKET.unpack(file.read(PACKET.size))
            if number not in numbers or n_bytes < 0:
                return Packets(n, f"its packet at byte {place} declares {n_bytes} bytes of stream {number}: "
                                  "damaged")
            place += PACKET.size + n_bytes
            if place > end:
                return Packets(n, f"ends within a packet of {n_bytes} bytes: truncated")
            n += 1
    return Packets(n, f"ends before byte {table}, where its table of packets is: truncated" if is_cut else "")
