"""Sources without end: pipes, packets and iterators of blocks as an `EventStream`; recordings alike.

Through a pipe (standard input, or a named one) come either lines of text, t,x,y,p, or binary events of 13
bytes: t uint64 in microseconds, x and y uint16, p uint8, little-endian (faery's t64_x16_y16_on8). The first
bytes tell which. The first time that is not 0 tells the unit of times in text, so that nothing depends on how
the bytes are cut. UDP packets bring such binary events, as faery sends them. They are read here, as faery's own
reader leaves out, without a word, packets that begin before the end of the one before; here the rule for late
events applies to them.
"""

import os
import re
import socket
import stat
import sys
from codecs import BOM_UTF8
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Iterator, List

import numpy as np

from eventsim.errors import DataError
from eventsim.inputs.event_files.opening import open_events, sized
from eventsim.inputs.event_files.options import EventOptions, KEYS, refuse_given
from eventsim.inputs.event_files.records import Microseconds, note, sensor_size_of
from eventsim.inputs.event_files.text_events import (
    check_comments, check_first, check_length, comment_in, comment_layout, event_columns, has_numbers,
    header_layout, is_too_long, layout_of, LONGEST_LINE, of_rows, text_of, wrong_line,
)
from eventsim.inputs.events import Block, block_of, BlockMaker, EventStream

STDIN = "-"
RECORD = np.dtype([("t", "<u8"), ("x", "<u2"), ("y", "<u2"), ("p", "u1")])  # 13 bytes
TIME_BYTES = 8  # of a binary event; the last is 0 for two thousand years, and no text has a 0
READ_BYTES = 1 << 16  # at most at once; fewer where fewer have come
LONGEST_REST = 4 * (LONGEST_LINE + 1)  # bytes of a line that has not ended: of UTF-8, 4 a character
OF_TEXT = ("time_unit", "columns")


def event_stream(source, options: EventOptions, default_size=None) -> EventStream:
    """Return the events of a source, as they come.

    source: an `EventStream`; the path of a recording or of a named pipe; "-", standard input; "udp://HOST:PORT",
        packets; a file opened for bytes; or an iterable of blocks, as `block_of` takes them.
    options: for what the source leaves open. default_size: (height, width) of the sensor where neither the source
        nor the options say it.
    """
    stream = _stream_of(source, options)
    size = sensor_size_of(stream.name, stream.sensor_size, options) or default_size
    return sized(stream, size, options)


def _stream_of(source, options):
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
    """Return the stream of UDP packets that come to "udp://HOST:PORT"."""
    address = re.fullmatch(r"udp://(\[[^]]+\]|[^:/\[\]]+):(\d{1,5})", name)
    if address is None or not 0 < int(address[2]) < 1 << 16:
        raise DataError(f"{name}: is no address of UDP, expected udp://HOST:PORT, such as udp://127.0.0.1:3333")
    refuse_given(options, (*OF_TEXT, "sample"), name, "packets of binary events")
    notes: List[str] = []

    def blocks():
        family = socket.AF_INET6 if address[1].startswith("[") else socket.AF_INET
        with _failing(name), socket.socket(family, socket.SOCK_DGRAM) as receiver:
            receiver.bind((address[1].strip("[]"), int(address[2])))
            while True:
                packet = receiver.recv(READ_BYTES)
                if len(packet) % RECORD.itemsize:
                    note(notes, f"has packets that end within an event of {RECORD.itemsize} bytes; those are left "
                                "out")
                yield block_of(np.frombuffer(packet, RECORD, len(packet) // RECORD.itemsize), name)

    return EventStream(blocks, name, options.sensor_size, notes=notes)


@contextmanager
def _failing(name):
    """Raise DataError, in one line, for what the system refuses."""
    try:
        yield
    except OSError as error:
        raise DataError(f"{name}: cannot be read ({error.strerror or error})") from None


def _of_pipe(number, name, options, kept_open=None):
    """Return the stream of a pipe. kept_open: the file whose number it is."""
    notes: List[str] = []

    def blocks():
        yield from _blocks(number, name, options, notes)
        del keep[:]

    keep = [kept_open]
    return EventStream(blocks, str(name), options.sensor_size, notes=notes)


def _blocks(number, name, options, notes) -> Iterator[Block]:
    """Yield blocks from a file, given by its number. The notes say so where it ends within an event."""
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
    for piece in chain(pieces, [None]):
        rest = lines.rest if piece is None else b""  # a last line without an end, which may have all its fields
        numbered = lines.added(b"\n" if piece is None else piece)
        if rest and layout is None and numbered and not has_numbers(numbered[-1][1]):
            _ended_within(notes, rest)
            return
        if layout is None:
            layout, numbered = lines.layout(numbered, options, notes)
            in_microseconds = in_microseconds or layout and Microseconds(layout.unit, notes, ahead=False)
        columns, wrong = event_columns(numbered, layout) if numbered else ({}, None)
        if numbered and len(columns["t"]):
            yield from in_microseconds.blocks(columns, made, name)
        if wrong is not None and rest:
            _ended_within(notes, rest)
        elif wrong is not None:
            raise wrong_line(name, wrong, layout)


class _Lines:
    """Puts lines of text together from pieces of bytes. rest: bytes of the line that has not ended."""

    def __init__(self, name):
        self.rest = b""
        self._name, self._number, self._header = name, 0, None
        self._comments, self._begun = [], False  # comments before the first line that holds something else

    def added(self, piece):
        """Return (number, text) of the lines that have ended and hold something, as `text_of` returns it, and of
        the last line where it is already too long."""
        data = self.rest + piece
        if self._number == 0:
            data = data.removeprefix(BOM_UTF8)
        *lines, rest = data.split(b"\n")
        self.rest = rest[:LONGEST_REST]
        texts = [text_of(line.decode("utf-8", "replace")) for line in lines]
        if len(rest) > LONGEST_LINE:
            start = text_of(rest.decode("utf-8", "replace"))
            texts += [start] if is_too_long(start) else []
        if not self._begun:
            n_comments = next((i for i, text in enumerate(texts) if text), len(lines))
            self._comments += filter(None,
                                     (comment_in(line.decode("utf-8", "replace")) for line in lines[:n_comments]))
            self._begun = any(texts)
        first = self._number + 1
        self._number += len(lines)
        return [(number, text) for number, text in enumerate(texts, first) if text]

    def layout(self, numbered, options, notes):
        """Return (the layout, None before the first line of events; the lines of events) from the
        lines that came first."""
        if numbered and self._header is None:
            check_length(numbered[0], self._name)
            self._header = header_layout(numbered[0][1], options, self._name) or ()
            numbered = numbered[1:] if self._header else numbered
        if not numbered:
            return None, numbered
        check_length(numbered[0], self._name)
        first = numbered[0][1]
        header = self._header or comment_layout(self._comments, first, options, self._name, notes)
        if header:
            layout = of_rows(header, first)
        else:
            check_first(first, self._name)
            if options.columns is None:
                note(notes, "does not name its columns; taken as t, x, y, p (columns says otherwise)")
            layout = layout_of(options.columns or KEYS, first, options)
        if options.columns is None:
            check_comments(self._comments, layout, self._name)
        return layout, numbered


def _ended_within(notes, rest):
    note(notes, f"ended in the middle of an event; its last {len(rest)} bytes are left out")
