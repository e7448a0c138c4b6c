"""Recordings of events, as N-MNIST stores them."""

import struct

import h5py
import numpy as np


def write_recording(path, x, y, polarity, t):
    path.parent.mkdir(parents=True, exist_ok=True)
    x, y, polarity, t = (np.asarray(c, np.int64) for c in (x, y, polarity, t))
    columns = [x, y, polarity << 7 | t >> 16, t >> 8 & 255, t & 255]
    path.write_bytes(np.stack(columns, axis=1).astype(np.uint8).tobytes())


def write_nmnist(folder, n_events=40):
    rng = np.random.default_rng(2)
    recordings, labels = [], []
    for digit, name in ((0, "00002"), (0, "00010"), (3, "00001"), (10, "00000")):
        columns = (rng.integers(0, 4, n_events), rng.integers(0, 3, n_events),
                   rng.integers(0, 2, n_events), np.sort(rng.integers(0, 120, n_events)))
        write_recording(folder / str(digit) / f"{name}.bin", *columns)
        recordings.append(columns)
        labels.append(digit)
    return recordings, labels


# ---- other formats. events: mapping of t, x, y, p, int64.


def made_events(n=300, width=20, height=10, seed=3, step=50):
    """Events in order of time, of a sensor of so many pixels."""
    rng = np.random.default_rng(seed)
    return {"t": 1000 + np.cumsum(rng.integers(0, step, n)), "x": rng.integers(0, width, n),
            "y": rng.integers(0, height, n), "p": rng.integers(0, 2, n)}


def structured(events, **names):
    """As a structured array, with other names of the columns."""
    dtype = [(names.get(key, key), np.int64 if key == "t" else np.int16) for key in "txyp"]
    rows = np.empty(len(events["t"]), dtype)
    for key in "txyp":
        rows[names.get(key, key)] = events[key]
    return rows


def write_aedat2(path, events, header=b"#!AER-DAT2.0\r\n# made for a test\r\n", width=128):
    address = (1 - events["p"]) | (width - 1 - events["x"]) << 1 | events["y"] << 8
    words = np.stack([address, events["t"] % (1 << 32)], axis=1).astype(">u4")
    path.write_bytes(header + words.tobytes())


def aedat3_packet(events, kind=1, turns=0, valid=1):
    word = valid | events["p"] << 1 | events["y"] << 2 | events["x"] << 17
    rows = np.stack([word, events["t"] % (1 << 31)], axis=1).astype("<u4")
    n = len(rows)
    return struct.pack("<hhiiiiii", kind, 1, 8, 4, turns, n, n, n) + rows.tobytes()


def write_aedat3(path, *packets):
    path.write_bytes(b"#!AER-DAT3.1\r\n#Format: RAW\r\n#Source 1: DVS128\r\n#!END-HEADER\r\n" + b"".join(packets))


def write_dat(path, events, kind=12, version=2, lines=b"% Height 10\n% Width 20\n"):
    shifts = ((0, 14, 28) if version == 2 else (0, 9, 17))
    address = sum(events[key] << shift for key, shift in zip("xyp", shifts))
    words = np.stack([events["t"] % (1 << 32), address], axis=1).astype("<u4")
    path.write_bytes(b"%% Data file containing CD events.\n%% Version %d\n" % version + lines + bytes([kind, 8])
                     + words.tobytes())


def write_evt2(path, events, header=b"% evt 2.0\n% geometry 20x10\n% end\n"):
    words, high = [], None
    for t, x, y, p in zip(*(events[key].tolist() for key in "txyp")):
        if t >> 6 != high:
            high = t >> 6
            words.append(8 << 28 | high & 0xFFFFFFF)
        words.append(p << 28 | (t & 63) << 22 | x << 11 | y)
    path.write_bytes(header + np.array(words, "<u4").tobytes())


def write_shd(path, recordings, labels, names=()):
    """recordings: (times in seconds, units) of each."""
    with h5py.File(path, "w") as file:
        for key, dtype, column in (("times", np.float16, 0), ("units", np.uint16, 1)):
            rows = file.create_dataset(f"spikes/{key}", (len(recordings),), h5py.vlen_dtype(dtype))
            for i, recording in enumerate(recordings):
                rows[i] = np.asarray(recording[column], dtype)
        file["labels"] = np.asarray(labels, np.uint16)
        if names:
            file["extra/keys"] = np.array(names, "S")


def write_gestures(folder, trials, part="test"):
    """trials: name -> (events, rows of class, start, end)."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"trials_to_{part}.txt").write_text("".join(f"{name}.aedat\n" for name in trials))
    for name, (events, rows) in trials.items():
        write_aedat3(folder / f"{name}.aedat", aedat3_packet(events))
        lines = ["class,startTime_usec,endTime_usec", *(",".join(map(str, row)) for row in rows)]
        (folder / f"{name}_labels.csv").write_text("\n".join(lines) + "\n")
