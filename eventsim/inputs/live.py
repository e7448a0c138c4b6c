"""Sources without end: pipes, packets and iterators of blocks as an `EventStream`; recordings alike.

Through a pipe (standard input, or a named one) come either lines of text, t,x,y,p, or binary events of 13 bytes:
t uint64 in microseconds, x and y uint16, p uint8, little-endian (faery's t64_x16_y16_on8). The first bytes tell; the
unit of the times of text is told by the first that is not 0, so that nothing depends on how the bytes are cut.
UDP packets bring such binary events, as faery sends them. They are read here: faery's own reader leaves out, without
a word, packets that begin before the end of the one before, which here count by the rule for late events.
"""

import os
import re
import socket
import stat
import sys
from codecs import BOM_UTF8
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator, List

import numpy as np

from eventsim.errors import DataError
from eventsim.inputs.event_files.opening import open_events
from eventsim.inputs.event_files.options import EventOptions, KEYS, refuse_given
from eventsim.inputs.event_files.records import Microseconds, note
from eventsim.inputs.event_files.text_events import (
    check_first, check_length, event_columns, header_layout, is_too_long, layout_of, LONGEST_LINE, of_rows,
    text_of, wrong_line,
)
from eventsim.inputs.events import Block, block_of, BlockMaker, EventStream

STDIN = "-"
RECORD = np.dtype([("t", "<u8"), ("x", "<u2"), ("y", "<u2"), ("p", "u1")])  # 13 bytes
TIME_BYTES = 8  # of a binary event; the last is 0 for two thousand years, and no text has a 0
READ_BYTES = 1 << 16  # at most at once; fewer where fewer have come
LONGEST_REST = 4 * (LONGEST_LINE + 1)  # bytes of a line that has not ended: of UTF-8, 4 a character
OF_TEXT = ("time_unit", "columns")


def event_stream(source, options: EventOptions) -> EventStream:
    """Events of a source, as they come.

    source: an `EventStream`; the path of a recording or of a named pipe; "-", standard input; "udp://HOST:PORT",
        packets; a file opened for bytes; or an iterable of blocks, as `block_of` takes them.
    options: for what the source leaves open.
    """
    if isinstance(source, EventStream):
        refuse_given(options, (*OF_TEXT, "sample"), source.name, "an EventStream")
        return source
    if isinstance(source, (str, os.PathLike)):
        return _named(str(source), options)
    if hasattr(source, "fileno"):
        return _of_pipe(source.fileno(), getattr(source, "name", "pipe"), options, source)
    if not hasattr(source, "__iter__") or isinstance(source, (bytes, dict)):
        raise DataError(f"source is a {type(source).__name__}, expected an EventStream, a path, '-', "
                        "'udp://HOST:PORT', a file opened for bytes, or an iterable of blocks of events")
    if isinstance(source, np.ndarray):
        source = (source,)
    refuse_given(options, (*OF_TEXT, "sample"), "events", "blocks of events")
    return EventStream(source, "events", options.sensor_size)


def _named(name, options):
    if name.startswith("udp:"):
        return _of_packets(name, options)
    if name == STDIN:
        return _of_pipe(sys.stdin.fileno(), "standard input", options)
    if _is_pipe(name):
        notes: List[str] = []
        return EventStream(lambda: _opened(name, options, notes), name, options.sensor_size, notes=notes)
    given = {field: value for field, value in vars(options).items() if field in EventOptions.__dataclass_fields__}
    return open_events(name, **given)


def _is_pipe(name):
    try:
        mode = Path(name).stat().st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode) or stat.S_ISSOCK(mode)


def _opened(name, options, notes):
    with open(name, "rb", buffering=0) as file:
        yield from _blocks(file.fileno(), name, options, notes)


def _of_packets(name, options):
    """Of UDP packets that come to "udp://HOST:PORT"."""
    found = re.fullmatch(r"udp://(\[[^]]+\]|[^:/\[\]]+):(\d{1,5})", name)
    if found is None or not 0 < int(found[2]) < 1 << 16:
        raise DataError(f"{name}: is no address of UDP, expected udp://HOST:PORT, such as udp://127.0.0.1:3333")
    refuse_given(options, (*OF_TEXT, "sample"), name, "packets of binary events")
    notes: List[str] = []

    def blocks():
        family = socket.AF_INET6 if found[1].startswith("[") else socket.AF_INET
        with _failing(name), socket.socket(family, socket.SOCK_DGRAM) as receiver:
            receiver.bind((found[1].strip("[]"), int(found[2])))
            while True:
                packet = receiver.recv(READ_BYTES)
                if len(packet) % RECORD.itemsize:
                    note(notes, f"has packets that end within an event of {RECORD.itemsize} bytes; those are left out")
                yield block_of(np.frombuffer(packet, RECORD, len(packet) // RECORD.itemsize), name)

    return EventStream(blocks, name, options.sensor_size, notes=notes)


@contextmanager
def _failing(name):
    """What the system refuses, as one line."""
    try:
        yield
    except OSError as error:
        raise DataError(f"{name}: cannot be read ({error.strerror or error})") from None


def _of_pipe(number, name, options, kept_open=None):
    """kept_open: the file whose number it is."""
    notes: List[str] = []

    def blocks():
        yield from _blocks(number, name, options, notes)
        del keep[:]

    keep = [kept_open]
    return EventStream(blocks, str(name), options.sensor_size, notes=notes)


def _blocks(number, name, options, notes) -> Iterator[Block]:
    """Of a file by its number. Says in the notes where it ends within an event."""
    refuse_given(options, ("sample",), name, "a source of one recording")
    start = b""
    while len(start) < TIME_BYTES:
        data = _read(number, name)
        if not data:
            break
        start += data
    binary = b"\0" in start[:TIME_BYTES]
    if binary:
        refuse_given(options, OF_TEXT, name, "binary events")
    blocks = _binary_blocks if binary else _text_blocks
    try:
        yield from blocks(_pieces(number, name, start), name, options, notes)
    except DataError as error:
        if not options.keep_going:
            raise
        note(notes, f"damaged: {str(error).removeprefix(f'{name}: ')}; only what stands before is taken")


def _pieces(number, name, start):
    while start:
        yield start
        start = _read(number, name)


def _read(number, name):
    with _failing(name):
        return os.read(number, READ_BYTES)


def _binary_blocks(pieces, name, options, notes):
    rest = b""
    for piece in pieces:
        data = rest + piece
        n = len(data) // RECORD.itemsize
        rest = data[n * RECORD.itemsize :]
        if n:
            yield block_of(np.frombuffer(data, RECORD, n), name)
    if rest:
        _ended_within(notes, rest)


def _text_blocks(pieces, name, options, notes):
    lines, layout = _Lines(name), None
    in_microseconds, made = None, BlockMaker(name)
    for piece in pieces:
        held = lines.added(piece)
        if layout is None:
            layout, held = lines.layout(held, options, notes)
            in_microseconds = in_microseconds or layout and Microseconds(layout.unit, notes, ahead=False)
        columns, wrong = event_columns(held, layout) if held else ({}, None)
        if held and len(columns["t"]):
            yield from in_microseconds.blocks(columns, made, name)
        if wrong is not None:
            raise wrong_line(name, wrong, layout)
    if text_of(lines.rest.decode("utf-8", "replace")):
        _ended_within(notes, lines.rest)


class _Lines:
    """Lines of text out of pieces of bytes. rest: of the line that has not ended."""

    def __init__(self, name):
        self.rest = b""
        self._name, self._number, self._header = name, 0, None

    def added(self, piece):
        """(number, text) of the lines that have ended and hold something, as of `text_of`, and of the last one
        where it is too long already."""
        data = self.rest + piece
        if self._number == 0:
            data = data.removeprefix(BOM_UTF8)
        *whole, rest = data.split(b"\n")
        self.rest = rest[:LONGEST_REST]
        texts = [text_of(line.decode("utf-8", "replace")) for line in whole]
        if len(rest) > LONGEST_LINE:
            start = text_of(rest.decode("utf-8", "replace"))
            texts += [start] if is_too_long(start) else []
        first = self._number + 1
        self._number += len(whole)
        return [(number, text) for number, text in enumerate(texts, first) if text]

    def layout(self, held, options, notes):
        """(the layout, None before the first line of events; the lines of events), of the lines that came first."""
        if held and self._header is None:
            check_length(held[0], self._name)
            self._header = header_layout(held[0][1], options, self._name) or ()
            held = held[1:] if self._header else held
        if not held:
            return None, held
        check_length(held[0], self._name)
        first = held[0][1]
        if self._header:
            return of_rows(self._header, first), held
        check_first(first, self._name)
        if options.columns is None:
            note(notes, "does not name its columns; taken as t, x, y, p (columns says otherwise)")
        return layout_of(options.columns or KEYS, first, options), held


def _ended_within(notes, rest):
    note(notes, f"ended in the middle of an event; its last {len(rest)} bytes are left out")
