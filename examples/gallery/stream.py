"""Three digits before a moving camera, in one stream: what comes, which layers fire, how the decision moves.

    python examples/gallery/stream.py [PICTURE]
"""

import sys
from pathlib import Path

import h5py
import numpy as np

import eventsim
from eventsim import plots

DATA = Path(__file__).resolve().parents[2] / "data"
with h5py.File(DATA / "mnist.h5") as file:
    images = np.pad(file["check/x"][:, 0].astype(float), ((0, 0), (3, 3), (3, 3)))[[0, 1, 3]]
rng, corners = np.random.default_rng(0), np.array([(-3, -3), (0, 3), (3, -3), (-3, -3)])
path = np.concatenate([np.linspace(a, b, 7)[:-1] for a, b in zip(corners, corners[1:])]).round().astype(int)
frames = np.array([np.roll(image, shift, (0, 1)) for image in images for shift in path])
moment, y, x = np.nonzero(np.abs(np.diff(frames, axis=0)) > 40)  # of 300 ms a digit, 18 moments each
p = frames[moment + 1, y, x] > frames[moment, y, x]
t = moment * 16_667 + np.sort(rng.integers(0, 16_667, len(x)))
order = np.argsort(t)
events = eventsim.EventStream.from_numpy({k: c[order] for k, c in zip("txyp", (t, x, y, p))}, (34, 34), start=0)
stream = eventsim.Simulator(eventsim.load(DATA / "nmnist.h5")).stream(events, "210ms", stride="30ms", fresh=True)
figure = plots.stream_course(list(stream), events.read())
plots.save_figure(figure, sys.argv[1] if len(sys.argv) > 1 else Path(__file__).with_suffix(".png"))
