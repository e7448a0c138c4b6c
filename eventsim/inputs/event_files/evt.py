"""Prophesee's EVT 2.0, 2.1 and 3.0 (.raw): lines with %, then words whose upper 4 bits say their kind.

They are decoded here, although faery reads EVT 2.0 and 3.0: it moves times that fall to the largest before
them, loses turns of the 24-bit clock of EVT 3.0 where TIME_HIGH is written only when it changes, takes a
fall of the clock of EVT 2.0 for a turn of 4.8 hours, drops events of vectors beyond the sensor, and lets
single events move vectors.

EVT 2.0: words of 32 bits. Kinds 0 and 1 are events, darker and brighter: 6 bits of time, 11 of x, 11 of y. Kind 8
(TIME_HIGH) has the upper 28 bits of the time. EVT 2.1: words of 64 bits; the upper half is a word of EVT 2.0, and
bit i of the lower half says that there is an event at x + i. `% endianness legacy` stores the upper half first.

EVT 3.0: words of 16 bits, whose other 12 are what changed: 0 y; 2 x and polarity of one event; 3 x and polarity of
the vectors that follow; 4 and 5 a vector, whose 12 or 8 bits say at which pixels from x on there are events, and
which moves x on by as many; 6 and 8 the lower and upper 12 bits of the time.

What the specification leaves open: a TIME_HIGH of EVT 3.0 that changes sets the lower bits to 0, as in
Prophesee's own decoder. An event between vectors does not move them. The clock follows TIME_HIGH alone: where
it falls by more than half a turn it has run over, else what follows is out of order (`TimeStamps`). Words of
other kinds are skipped.
"""

import os
import re
from contextlib import closing, suppress
from typing import Callable, Iterator, NamedTuple

import numpy as np

from eventsim.errors import DataError
from eventsim.inputs.event_files.records import LONGEST_HEADER, NO_TEXT, note, sensor_size_of, TimeStamps
from eventsim.inputs.events import AT_ONCE, Block, EVENT, EventStream
from eventsim.storage.reading import reading
from eventsim.text import many

VERSIONS = {"2.0": "2.0", "2": "2.0", "2.1": "2.1", "21": "2.1", "3.0": "3.0", "3": "3.0"}
ORDERS = ("little", "legacy")  # of the bytes of a word
# what a header names of a camera -> (height, width)
CAMERAS = (("gen41", (720, 1280)), ("imx636", (720, 1280)), ("gen4", (720, 1280)), ("genx320", (320, 320)),
           ("gen3", (480, 640)))
PIXELS = 1 << 11  # along an axis, the most that words can say
LEAST_WORDS = 32  # by which a layout is told that the header leaves open

# kinds of words
ROW, SINGLE, BASE, VECTOR_12, VECTOR_8, LOW, HIGH, TRIGGER = 0, 2, 3, 4, 5, 6, 8, 10
STATE, EVENTS, TRIGGERS, OTHERS, UNDEFINED = range(5)  # what they are for
PASSED_OVER = {
    TRIGGERS: "has external triggers; passed over",
    OTHERS: "has words of other than events of pixels; passed over",
    UNDEFINED: "has words of kinds that EVT does not define; passed over",
}
VECTOR_PIXELS = np.zeros(16, np.int64)  # of a vector of each kind
VECTOR_PIXELS[[VECTOR_12, VECTOR_8]] = 12, 8


def _roles(events, state, others):
    """Return what words of each kind are for, uint8 (16,)."""
    roles = np.full(16, UNDEFINED, np.uint8)
    for kinds, role in ((events, EVENTS), (state, STATE), ([TRIGGER], TRIGGERS), (others, OTHERS)):
        roles[kinds] = role
    return roles


ROLES_2 = _roles([0, 1], [HIGH], [14, 15])
ROLES_3 = _roles([SINGLE, VECTOR_12, VECTOR_8], [ROW, BASE, LOW, HIGH], [7, 14, 15])


class WordLayout(NamedTuple):
    """One way in which words are stored. order: order of their bytes. roles: role of each kind. decoder: makes a
    `Decoder` from the path, the notes and the start that the header states."""

    version: str
    order: str
    dtype: np.dtype
    roles: np.ndarray
    decoder: Callable

    def kinds(self, words) -> np.ndarray:
        """Return the kind of each word, uint8."""
        upper = words if words.dtype.names is None else words["word"]
        return (upper >> upper.dtype.type(8 * upper.dtype.itemsize - 4)).astype(np.uint8)


class Decoder:
    """Decodes the events of one stream of words, chunk after chunk.

    needed: kinds of words after which it is known when and where events happen. n_stray: number
    of events before them.
    """

    def __init__(self, path, notes, needed, bits, start):
        self._path, self._notes, self._needed = path, notes, set(needed)
        self._clock, self._start = TimeStamps(bits, notes), start or 0
        self.n_stray = 0

    def __call__(self, words, kinds, is_event) -> Block:
        """Return the events of a chunk. kinds: uint8, of each word. is_event: bool, of each word."""
        places, n_before = np.flatnonzero(is_event), np.cumsum(is_event)
        n_early = int(np.searchsorted(places, self._first_known(kinds)))
        t, x, y, p, masks = self._columns(words, kinds, places, n_before)
        if masks is not None:
            rows, pixels = bits_of_masks(masks)
            n_early = int(np.searchsorted(rows, n_early))
            t, x, y, p = t[rows], x[rows] + pixels, y[rows], p[rows]
        self.n_stray += n_early
        block = np.empty(len(t) - n_early, EVENT)
        if len(block) and x[n_early:].max() >= PIXELS:
            raise DataError(f"{self._path}: a vector has an event at x = {x[n_early:].max()}, expected at most "
                            f"{PIXELS - 1}, the largest that EVT can say: damaged")
        for key, column in zip("txyp", (t, x, y, p)):
            block[key] = column[n_early:]
        return block

    def _first_known(self, kinds):
        """Return the first place of a chunk from which on everything is known."""
        if not self._needed:
            return 0
        firsts = {kind: int((kinds == kind).argmax()) for kind in self._needed if (kinds == kind).any()}
        self._needed -= set(firsts)
        return len(kinds) if self._needed else max(firsts.values())

    def _columns(self, words, kinds, places, n_before):
        """Return t, x, y and p of the words that are events, and bits that say at which pixels from x on they
        have events; None where each word is one event. places: places of these words. n_before: how many of them
        come before each word."""
        raise NotImplementedError


class DecoderOfEvt2(Decoder):
    """Decodes EVT 2.0 and 2.1."""

    def __init__(self, path, notes, start):
        super().__init__(path, notes, (HIGH,), 34, start)
        self._high = 0

    def _columns(self, words, kinds, places, n_before):
        masks = None if words.dtype.names is None else words["pixels"][places]
        words = words if masks is None else words["word"]
        changes = np.flatnonzero(kinds == HIGH)
        highs = self._clock((words[changes] & np.uint32(0xFFFFFFF)).astype(np.uint64) << np.uint64(6))
        t = filled(highs, self._high, n_before[changes], len(places))
        self._high = int(highs[-1]) if len(highs) else self._high
        words = words[places]
        t += words >> np.uint32(22) & np.uint32(63)
        x = (words >> np.uint32(11) & np.uint32(PIXELS - 1)).astype(np.int64)
        return t + self._start, x, words & np.uint32(PIXELS - 1), kinds[places], masks


class DecoderOfEvt3(Decoder):
    """Decodes EVT 3.0. Where the header states when the file starts, all bits of the time are 0
    at its beginning."""

    def __init__(self, path, notes, start):
        super().__init__(path, notes, (HIGH, ROW) if start is not None else (HIGH, LOW, ROW), 24, start)
        self._high, self._low, self._row, self._base, self._polarity = None, 0, 0, None, 0

    def _columns(self, words, kinds, places, n_before):
        values = words & np.uint16(0xFFF)
        x, p, masks = self._along_x(values, kinds, places)
        return self._times(values, kinds, n_before), x, self._rows(values, kinds, n_before), p, masks

    def _rows(self, values, kinds, n_before):
        changes = np.flatnonzero(kinds == ROW)
        rows = values[changes]
        if len(rows) and rows.max() >= PIXELS:
            note(self._notes, "has rows that are marked as a second camera's; taken as the sensor's own")
            rows &= np.uint16(PIXELS - 1)
        y = filled(rows, self._row, n_before[changes], int(n_before[-1]))
        self._row = int(rows[-1]) if len(rows) else self._row
        return y

    def _times(self, values, kinds, n_before):
        changes = np.flatnonzero((kinds == HIGH) | (kinds == LOW))
        ticks, n = values[changes].astype(np.int64), len(changes)
        is_high = kinds[changes] == HIGH
        says_high = np.flatnonzero(is_high)
        highs = self._clock((ticks[says_high] << 12).view(np.uint64))
        before = highs[0] if len(highs) and self._high is None else self._high or 0
        says_low = ~is_high
        says_low[says_high] = np.diff(highs, prepend=before) != 0
        ticks[says_high] = 0
        says_low = np.flatnonzero(says_low)
        low = filled(ticks[says_low], self._low, says_low, n)
        high = filled(highs, before, says_high, n)
        t = filled(high + low, before + self._low, n_before[changes], int(n_before[-1]))
        self._low = int(low[-1]) if n else self._low
        self._high = int(highs[-1]) if len(highs) else self._high
        return t + self._start

    def _along_x(self, values, kinds, places):
        """Return x, p and the masks of events."""
        values_of_events, kinds_of_events = values[places], kinds[places]
        x, p = (values_of_events & np.uint16(PIXELS - 1)).astype(np.int64), values_of_events >> np.uint16(11)
        in_vectors = np.flatnonzero((kinds == BASE) | (kinds == VECTOR_12) | (kinds == VECTOR_8))
        if not len(in_vectors):
            return x, p, None
        base, polarity, known = self._bases(values[in_vectors].astype(np.int64), kinds[in_vectors])
        vectors = np.flatnonzero(kinds_of_events != SINGLE)
        masks = np.ones(len(places), "<u2")
        masks[vectors] = values_of_events[vectors] & np.where(kinds_of_events[vectors] == VECTOR_8, 0xFF, 0xFFF)
        if masks[vectors[~known]].any():
            note(self._notes, "has vectors of events before the first word that says where they are; left out")
        masks[vectors[~known]] = 0
        x[vectors], p[vectors] = base, polarity
        return x, p, masks

    def _bases(self, values, kinds):
        """Return x and p of the vectors among words of bases and vectors, and whether a base has set them."""
        is_base, n = kinds == BASE, len(kinds)
        bases, vectors, ends = np.flatnonzero(is_base), np.flatnonzero(~is_base), np.cumsum(VECTOR_PIXELS[kinds])
        starts = ends - VECTOR_PIXELS[kinds]
        base = filled((values[bases] & PIXELS - 1) - starts[bases], self._base or 0, bases, n)
        polarity = filled(values[bases] >> 11, self._polarity, bases, n)
        known = filled(np.ones(len(bases), bool), self._base is not None, bases, n)
        if known[-1]:
            self._base, self._polarity = int(base[-1] + ends[-1]), int(polarity[-1])
        return (base + starts)[vectors], polarity[vectors], known[vectors]


def filled(values, before, places, n) -> np.ndarray:
    """Return (n,): each of the values from its place on up to the next one's; `before` ahead of the first."""
    return np.repeat(np.append(np.array([before], values.dtype), values), np.diff(places, prepend=0, append=n))


def bits_of_masks(masks):
    """Return (the mask, the bit) of each bit that is set, beginning with the lowest of the first mask.
    masks: little-endian."""
    n_bits = 8 * masks.dtype.itemsize  # a power of 2
    bits = np.flatnonzero(np.unpackbits(masks.view(np.uint8), bitorder="little").view(bool))
    return bits >> n_bits.bit_length() - 1, bits & n_bits - 1


LAYOUTS = (
    WordLayout("2.0", "little", np.dtype("<u4"), ROLES_2, DecoderOfEvt2),
    WordLayout("2.1", "little", np.dtype([("pixels", "<u4"), ("word", "<u4")]), ROLES_2, DecoderOfEvt2),
    WordLayout("2.1", "legacy", np.dtype([("word", "<u4"), ("pixels", "<u4")]), ROLES_2, DecoderOfEvt2),
    WordLayout("3.0", "little", np.dtype("<u2"), ROLES_3, DecoderOfEvt3),
)


def holds_events(path, start) -> bool:
    """Return whether a file has this format, by its header or by its suffix."""
    return start[:1] == b"%" and (
        path.suffix.lower() == ".raw" or re.search(rb"(?m)^% *(evt|format EVT)", start) is not None)


def recording_in(path, options) -> EventStream:
    """Return the recording in a file."""
    (header, place), notes = _header(path), []
    layout = _layout(path, header, place, notes)
    size = sensor_size_of(path, _size(header), options)
    if size is None:
        note(notes, "does not say how many pixels its sensor has (sensor_size says it)")
    return EventStream(lambda: _blocks(path, place, layout, _start(header), notes), str(path), size, notes=notes)


def _blocks(path, place, layout, start, notes):
    decoder = layout.decoder(path, notes, start)
    try:
        for words in _words(path, place, layout.dtype):
            kinds = layout.kinds(words)
            roles = layout.roles[kinds]
            for role, text in PASSED_OVER.items() if roles.max() > EVENTS else ():
                if (roles == role).any():
                    note(notes, text)
            block = decoder(words, kinds, roles == EVENTS)
            yield from (block[i : i + AT_ONCE] for i in range(0, len(block), AT_ONCE))
    finally:
        if decoder.n_stray:
            note(notes, f"begins in the middle: {many(decoder.n_stray, 'event')} before the first words that say "
                        "time and row, left out")


def _words(path, place, dtype) -> Iterator[np.ndarray]:
    """Yield arrays of words. Raises DataError after the last whole word where the file ends within one."""
    with reading(path), open(path, "rb") as file:
        file.seek(place)
        while data := file.read(AT_ONCE * dtype.itemsize):
            n = len(data) // dtype.itemsize
            if n:
                yield np.frombuffer(data, dtype, n)
            if n * dtype.itemsize != len(data):
                raise DataError(f"{path}: ends within a word of {dtype.itemsize} bytes: truncated")


def _layout(path, header, place, notes) -> WordLayout:
    """Return the layout of the words: what the header states, or else the only one that the first words fit."""
    versions, order = _versions(path, header), _order(path, header)
    layouts = [layout for layout in LAYOUTS if layout.version in versions
               and (layout.version != "2.1" or order in (None, layout.order))]
    if len(layouts) == 1 or os.path.getsize(path) == place:
        return layouts[0]
    fitting = [layout for layout in layouts if _fits(path, place, layout)]
    if len(fitting) == 1:
        version, order = fitting[0][:2]
        note(notes, f"does not say its version of EVT; its words are those of {version}" if len(versions) > 1 else
             f"does not say its endianness; its words are those of {order}")
        return fitting[0]
    missing, line = ("version of EVT", "evt 3.0") if len(versions) > 1 else ("endianness", "endianness legacy")
    raise DataError(f"{path}: its header says no {missing}, and its words do not tell: add the line that says it, "
                    f"such as '% {line}'")


def _fits(path, place, layout):
    """Return whether the first words fit a layout: all are of kinds that it defines, some of them TIME_HIGH."""
    with closing(_words(path, place, layout.dtype)) as words, suppress(DataError):
        kinds = layout.kinds(next(words))
        is_defined = layout.roles[kinds] != UNDEFINED
        return len(kinds) >= LEAST_WORDS and bool(is_defined.all() and (kinds == HIGH).any())
    return False


def _header(path):
    """Return (the lines that begin with %, up to `% end`, as text; where the words begin).

    Without that line the first words may begin with %, and one of their bytes may be the end of a line; they have
    bytes that no text has.
    """
    lines, place = [], 0
    with reading(path), open(path, "rb") as file:
        while place < LONGEST_HEADER:
            line = file.readline(LONGEST_HEADER)
            if not line.startswith(b"%") or NO_TEXT.search(line):
                return "\n".join(lines), place
            if not line.endswith(b"\n"):
                break
            place += len(line)
            lines.append(line.decode("utf-8", "replace").strip())
            if lines[-1] == "% end":
                return "\n".join(lines), place
    raise DataError(f"{path}: its header does not end: truncated, or damaged")


def _versions(path, header):
    """Return the version that a header states, or those that existed before headers stated it."""
    lines = re.findall(r"(?mi)^(% *(?:evt|format EVT) *([0-9.]+))", header)
    versions = {VERSIONS.get(version, line) for line, version in lines}
    if len(versions) > 1:
        raise DataError(f"{path}: its header says {' and '.join(line for line, _ in lines)}, expected one version")
    if not versions <= set(VERSIONS.values()):
        raise DataError(f"{path}: its header says {lines[0][0]}, expected EVT 2.0, 2.1 or 3.0: convert it to DAT "
                        "with the camera's tools")
    return tuple(versions) or ("2.0", "3.0")


def _order(path, header):
    """Return the order of bytes that a header states, or None."""
    line = re.search(r"(?mi)(?:^% *endianness +|;endianness=)(\w+)", header)
    if line is not None and line[1].lower() not in ORDERS:
        raise DataError(f"{path}: its header says endianness {line[1]}, expected {' or '.join(ORDERS)}: convert "
                        "it to DAT with the camera's tools")
    return None if line is None else line[1].lower()


def _start(header):
    """Return the microseconds at which the file starts, to which its times count, or None where its
    header states none."""
    line = re.search(r"(?m)^% *t0 +(\d{1,18})$", header)
    return None if line is None else int(line[1])


def _size(header):
    """Return (height, width) that a header states, by number or by camera, or None."""
    text = header.lower()
    for pattern in (r"geometry:? *(?P<width>\d+)x(?P<height>\d+)", r"width=(?P<width>\d+).*height=(?P<height>\d+)",
                    r"height=(?P<height>\d+).*width=(?P<width>\d+)"):
        if size := re.search(pattern, text):
            return int(size["height"]), int(size["width"])
    return next((size for name, size in CAMERAS if name in text), None)
