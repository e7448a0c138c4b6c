"""Prophesee's EVT: the words of its specification, decoded one after another, against the reader."""

from pathlib import Path

import numpy as np
import pytest

import eventsim
from eventsim.errors import DataError
from eventsim.inputs.event_files import evt

ORACLES = Path(__file__).resolve().parents[3] / "shared" / "oracles" / "events"
ORDER = "has events out of order; each counts at its own time"
HEADERS = {"2.0": b"% evt 2.0\n", "2.1 little": b"% evt 2.1\n% endianness little\n",
           "2.1 legacy": b"% endianness legacy\n% format EVT21;height=2048;width=2048\n", "3.0": b"% evt 3.0\n"}
SIZE, END = b"% geometry 2048x2048\n", b"% end\n"


class Clock:
    """The upper bits of a time, which begin again at 0: what has been added to them."""

    def __init__(self, bits):
        self.turn, self.added, self.before = 1 << bits, 0, None

    def __call__(self, ticks):
        step = 0 if self.before is None else ticks - self.before
        if step < -(self.turn // 2):
            self.added += self.turn
        elif self.added and step >= self.turn - self.turn // 64:
            self.added -= self.turn
        self.before = ticks
        return ticks + self.added


def decoded_evt3(words):
    """[(t, x, y, p)] of 16-bit words, without those before the first TIME_HIGH, TIME_LOW and row, and without
    vectors before the first base."""
    clock, events, seen = Clock(24), [], set()
    high = low = y = x = p = 0
    for word in words:
        kind, value = word >> 12, word & 0xFFF
        if kind == 0:
            y = value & 0x7FF
        elif kind == 2 and {0, 6, 8} <= seen:
            events.append((high + low, value & 0x7FF, y, value >> 11))
        elif kind == 3:
            x, p = value & 0x7FF, value >> 11
        elif kind in (4, 5):
            for i in range(12 if kind == 4 else 8):
                if value >> i & 1 and {0, 3, 6, 8} <= seen:
                    events.append((high + low, x + i, y, p))
            x += 12 if kind == 4 else 8
        elif kind == 6:
            low = value
        elif kind == 8:
            time = clock(value << 12)
            if 8 in seen and time != high:
                low = 0
            high = time
        seen.add(kind)
    return events


def decoded_evt2(words, masks=None):
    """[(t, x, y, p)] of 32-bit words, or of the upper halves of 64-bit words whose lower halves are the masks."""
    clock, events, high = Clock(34), [], None
    for i, word in enumerate(words):
        kind = word >> 28
        if kind == 8:
            high = clock((word & 0xFFFFFFF) << 6)
        elif kind in (0, 1) and high is not None:
            t, x, y = high + (word >> 22 & 63), word >> 11 & 0x7FF, word & 0x7FF
            events += [(t, x + bit, y, kind) for bit in range(32) if (1 if masks is None else masks[i]) >> bit & 1]
    return events


def random_highs(rng, n, bits):
    """A clock that is written where it changes: mostly on by a little, at times back, at times far."""
    steps = rng.choice([0, 1, 1, 3, -1, -2, 60, 1 << bits - 3], n, p=[.2, .3, .2, .1, .08, .04, .06, .02])
    return (rng.integers(1 << bits) + np.cumsum(steps)) % (1 << bits)


def random_evt3(rng, n=1500):
    """Words of all kinds."""
    kinds = rng.choice(16, n, p=[.1, .01, .3, .1, .12, .06, .12, .02, .08, .01, .02, .01, .01, .01, .02, .01])
    values = rng.integers(0, 1 << 12, n)
    values[kinds == 3] = rng.integers(0, 1000, int((kinds == 3).sum())) | (values[kinds == 3] & 0x800)
    values[kinds == 8] = random_highs(rng, int((kinds == 8).sum()), 12)
    for i in range(n):  # so that vectors stay within 2048 pixels
        if kinds[i] in (4, 5) and (i % 40 == 0 or not (kinds[max(0, i - 80) : i] == 3).any()):
            kinds[i] = 6
    return (kinds << 12 | values).tolist()


def random_evt2(rng, n=1500):
    kinds = rng.choice(16, n, p=[.36, .36, .01, .01, .0, .01, .0, .0, .15, .0, .04, .01, .0, .0, .03, .02])
    values = rng.integers(0, 1 << 28, n)
    values[kinds < 2] &= ~(3 << 20)  # x below 512, so that vectors stay within 2048 pixels
    values[kinds == 8] = random_highs(rng, int((kinds == 8).sum()), 28)
    return (kinds << 28 | values).tolist()


def stored(layout, words, masks=None):
    """The words as a file has them."""
    if layout == "3.0":
        return np.array(words, "<u2").tobytes()
    if layout == "2.0":
        return np.array(words, "<u4").tobytes()
    halves = (masks, words) if layout == "2.1 little" else (words, masks)
    return np.stack([np.array(half, "<u4") for half in halves], axis=1).tobytes()


def random_file(layout, seed):
    """(bytes behind the header, the events by the loop)."""
    rng = np.random.default_rng(seed)
    if layout == "3.0":
        words = random_evt3(rng)
        return stored(layout, words), decoded_evt3(words)
    words, masks = random_evt2(rng), None
    if layout != "2.0":
        masks = np.bitwise_and.reduce(rng.integers(0, 1 << 32, (3, 1500))).tolist()  # an eighth of the bits
    return stored(layout, words, masks), decoded_evt2(words, masks)


def write(path, *words, header=b"% evt 3.0\n% geometry 640x480\n% end\n"):
    """A file of EVT 3.0 of words (kind, value)."""
    path.write_bytes(header + np.array([kind << 12 | value for kind, value in words], "<u2").tobytes())
    return path


def rows_of(path, **options):
    """([(t, x, y, p)], the notes)."""
    stream = eventsim.open_events(path, **options)
    return [tuple(row) for row in stream.read().tolist()], stream.notes


def refused(path, match, **options):
    with pytest.raises(DataError, match=match) as caught:
        eventsim.open_events(path, **options).read()
    assert str(caught.value).startswith(f"{path}") and "\n" not in str(caught.value)


# ---- words


@pytest.mark.parametrize("at_once", [1, 2, 7, 64, 1 << 16])
@pytest.mark.parametrize("layout", HEADERS)
def test_random_words_are_decoded_as_the_loop_decodes_them(tmp_path, monkeypatch, layout, at_once):
    """However the file is cut into chunks."""
    monkeypatch.setattr(evt, "AT_ONCE", at_once)
    for seed in range(2 if at_once < 8 else 12):
        data, events = random_file(layout, seed)
        (tmp_path / "a.raw").write_bytes(HEADERS[layout] + SIZE + END + data)
        found, notes = rows_of(tmp_path / "a.raw")
        assert len(events) > 100 and found == events
        assert (ORDER in notes) == (np.diff([t for t, *_ in events]) < 0).any()


@pytest.mark.skipif(not ORACLES.is_dir(), reason="no ../shared/oracles")
def test_the_real_file_has_the_times_that_its_words_say():
    """Of 219,596 events 1,455 follow a TIME_LOW that has fallen by up to 11 us since one without events."""
    data = (ORACLES / "evt3_sample.raw").read_bytes()
    place = data.rindex(b"\n", 0, 200) + 1
    found, notes = rows_of(ORACLES / "evt3_sample.raw")
    assert found == decoded_evt3(np.frombuffer(data[place:], "<u2").tolist())
    assert len(found) == 219596 and ORDER not in notes


@pytest.mark.parametrize("period", [3000, 10_000, 1_000_000])
def test_the_clock_of_evt3_goes_on_where_it_is_written_only_when_it_changes(tmp_path, period):
    times, words, high = range(16_000_000, 60_000_000, period), [], None
    for t in times:
        if t >> 12 & 0xFFF != high:
            high = t >> 12 & 0xFFF
            words.append((8, high))
        words += [(6, t & 0xFFF), (0, 3), (2, 7)]
    found, notes = rows_of(write(tmp_path / "a.raw", *words))
    assert [t for t, *_ in found] == list(times) and notes == ["its clock of 24 bits ran over; times go on"]


@pytest.mark.parametrize("highs, expected", [
    ([4094, 4095, 0, 1], [4094, 4095, 4096, 4097]), ([4095, 1, 2], [4095, 4097, 4098]),
    ([4090, 3, 4095, 4], [4090, 4099, 4095, 4100]), ([100, 99, 100], [100, 99, 100]),
    ([3000, 500, 2000], [3000, 4596, 6096]), ([3000, 2000], [3000, 2000]),
])
def test_turns_and_falls_of_time_high(tmp_path, highs, expected):
    words = [word for high in highs for word in ((8, high), (6, 5), (0, 3), (2, 7))]
    found, _ = rows_of(write(tmp_path / "a.raw", *words))
    assert [t for t, *_ in found] == [(high << 12) + 5 for high in expected]


def test_evt2_that_falls_by_a_little_is_out_of_order(tmp_path):
    words = [8 << 28 | 5, 1 << 28 | 9 << 22, 8 << 28 | 4, 3 << 22, 8 << 28 | 6, 9 << 22]
    (tmp_path / "a.raw").write_bytes(b"% evt 2.0\n" + SIZE + END + stored("2.0", words))
    found, notes = rows_of(tmp_path / "a.raw")
    assert [t for t, *_ in found] == [329, 259, 393] and notes == [ORDER]


KNOWN = ((8, 1), (6, 5), (0, 3))  # time and row
ON = 1 << 11


@pytest.mark.parametrize("words, xs, ps", [
    (((3, ON | 100), (4, 0b101), (2, 500), (4, 1), (5, 0x181)), [100, 102, 500, 112, 124, 131],
     [1, 1, 0, 1, 1, 1]),
    (((3, 100), (4, 0), (6, 6), (0, 4), (3, ON | 7), (5, 1)), [7], [1]),
    (((3, 628), (4, 0xFFF)), list(range(628, 640)), [0] * 12),
])
def test_vectors_are_moved_by_their_bases_alone(tmp_path, words, xs, ps):
    found, _ = rows_of(write(tmp_path / "a.raw", *KNOWN, *words))
    assert [x for _, x, *_ in found] == xs and [p for *_, p in found] == ps


@pytest.mark.parametrize("words, at", [
    (((3, 630), (4, 0xFFF)), "x = 640, y = 3"), (((2, 640),), "x = 640, y = 3"),
    (((0, 480), (2, 1)), "x = 1, y = 480"),
])
def test_events_outside_the_sensor(tmp_path, words, at):
    path = write(tmp_path / "a.raw", *KNOWN, *words)
    refused(path, f"an event is at {at}, outside the sensor of 640 x 480 pixels")


def test_vectors_beyond_any_sensor(tmp_path):
    path = write(tmp_path / "a.raw", *KNOWN, (3, 2040), (4, 0xFFF), header=b"% evt 3.0\n% end\n")
    refused(path, "a vector has an event at x = 2051, expected at most 2047")


@pytest.mark.parametrize("word, note", [
    ((10, 1), "has external triggers; passed over"),
    *(((kind, 20), "has words of other than events of pixels; passed over") for kind in (7, 14, 15)),
    ((13, 1), "has words of kinds that EVT does not define; passed over"),
    ((0, ON | 3), "has rows that are marked as a second camera's; taken as the sensor's own"),
    ((4, 1), "has vectors of events before the first word that says where they are; left out"),
])
def test_what_else_a_file_holds_is_said(tmp_path, word, note):
    assert rows_of(write(tmp_path / "a.raw", *KNOWN, (2, 9), word, (2, 10))) == (
        [(4101, 9, 3, 0), (4101, 10, 3, 0)], [note])
    assert rows_of(write(tmp_path / "b.raw", *KNOWN, (2, 9), (3, 5), (4, 0)))[1] == []


# ---- headers


@pytest.mark.parametrize("before, after", [
    (b"", b"% endianness little\n"), (b"% endianness little\n", b""), (b"% Date 2024\n", b"% end_of_line x\n"),
])
def test_lines_that_begin_as_the_last_one(tmp_path, before, after):
    path = write(tmp_path / "a.raw", *KNOWN, (2, 9), header=before + b"% evt 3.0\n" + after + b"% end\n")
    assert rows_of(path)[0] == [(4101, 9, 3, 0)]
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert rows_of(path)[0] == [(4101, 9, 3, 0)]


@pytest.mark.parametrize("layout", HEADERS)
def test_a_header_without_the_version_is_told_from_the_words(tmp_path, layout):
    rng, (data, _) = np.random.default_rng(7), random_file(layout, 3)
    size = {"3.0": 2, "2.0": 4}.get(layout, 8)
    words = np.frombuffer(data, np.uint8).reshape(-1, size)
    kinds = words[:, 3 if layout == "2.1 legacy" else size - 1] >> 4
    defined = (0, 2, 3, 4, 5, 6, 7, 8, 10, 14, 15) if layout == "3.0" else (0, 1, 8, 10, 14, 15)
    data = words[np.isin(kinds, defined)].tobytes()
    path = tmp_path / "a.raw"
    path.write_bytes(b"% plugin_name hal_plugin_gen31_fx3\n% end\n" + data)
    note = f"does not say its version of EVT; its words are those of {layout.split()[0]}"
    if layout.startswith("2.1"):
        path.write_bytes(b"% evt 2.1\n" + SIZE + END + data)
        note = f"does not say its endianness; its words are those of {layout.split()[1]}"
    stream = eventsim.open_events(path, sensor_size=None if layout.startswith("2.1") else (480, 640))
    assert stream.notes == [note]
    path.write_bytes(b"% plugin_name gen31\n% end\n" + rng.bytes(4000))
    refused(path, "its header says no version of EVT, and its words do not tell: add the line .* '% evt 3.0'")


@pytest.mark.parametrize("header, match", [
    (b"% evt 4.0\n", "its header says % evt 4.0, expected EVT 2.0, 2.1 or 3.0"),
    (b"% evt 2.0\n% format EVT3;width=9\n", "its header says % evt 2.0 and % format EVT3, expected one version"),
    (b"% evt 2.1\n% endianness big\n", "its header says endianness big, expected little or legacy"),
    (b"% evt 2.1\n", "its header says no endianness, and its words do not tell: .* '% endianness legacy'"),
    (b"% evt 3.0\n% geo", "its header does not end: truncated, or damaged"),
])
def test_headers_that_do_not_say_what_is_needed(tmp_path, header, match):
    (tmp_path / "a.raw").write_bytes(header + (b"" if header.endswith(b"geo") else END + bytes(16)))
    refused(tmp_path / "a.raw", match)


@pytest.mark.parametrize("line", [b"% geometry 640x480", b"% format EVT3;height=480;width=640", b"% camera gen31"])
def test_a_size_that_contradicts_the_header(tmp_path, line):
    path = write(tmp_path / "a.raw", *KNOWN, (2, 9), header=b"% evt 3.0\n" + line + b"\n% end\n")
    assert eventsim.open_events(path).sensor_size == (480, 640)
    assert eventsim.open_events(path, sensor_size=(480, 640)).sensor_size == (480, 640)
    refused(path, r"its sensor has 640 x 480 pixels, but sensor_size is \(720, 1280\)", sensor_size=(720, 1280))


def test_times_count_from_the_start_that_the_header_says(tmp_path):
    """As faery writes them: the lower bits of the time are 0 until they are said."""
    words = ((8, 0), (0, 3), (2, 1), (8, 1), (6, 0), (2, 2))
    path = write(tmp_path / "a.raw", *words, header=b"% evt 3.0\n% geometry 640x480\n% t0 4101\n% end\n")
    assert rows_of(path) == ([(4101, 1, 3, 0), (8197, 2, 3, 0)], [])


@pytest.mark.parametrize("layout, n_bytes", [("2.0", 4), ("2.1 little", 8), ("3.0", 2)])
def test_files_that_end_within_a_word(tmp_path, layout, n_bytes):
    data, events = random_file(layout, 1)
    (tmp_path / "a.raw").write_bytes(HEADERS[layout] + SIZE + END + data + b"\1")
    refused(tmp_path / "a.raw", f"ends within a word of {n_bytes} bytes: truncated")
    found, notes = rows_of(tmp_path / "a.raw", keep_going=True)
    assert found == events and "truncated; only what stands before is taken" in notes[-1]
