"""Recordings of events, as N-MNIST stores them."""

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
                   rng.integers(0, 2, n_events), rng.integers(0, 120, n_events))
        write_recording(folder / str(digit) / f"{name}.bin", *columns)
        recordings.append(columns)
        labels.append(digit)
    return recordings, labels
