"""Four N-MNIST digits in one stream: what came, which layers fired, and how the decision moved.

    python examples/gallery/stream.py [PICTURE]
"""

import sys
from pathlib import Path

import h5py
import numpy as np

import eventsim
from eventsim import plots

MODEL = Path(__file__).resolve().parents[2] / "data" / "nmnist.h5"
with h5py.File(MODEL) as file:
    digits = file["check/x"][:]  # (4, 10 steps of 30 ms, polarity, y, x)
digit, step, p, y, x = np.nonzero(digits)
t = (digit * 10 + step) * 30_000 + np.random.default_rng(0).integers(0, 30_000, len(x))
order = np.argsort(t)
events = eventsim.EventStream.from_numpy({k: c[order] for k, c in dict(t=t, x=x, y=y, p=p).items()}, (34, 34), start=0)
stream = eventsim.Simulator(eventsim.load(MODEL)).stream(events, "240ms", stride="30ms", fresh=True)
figure = plots.stream_course(list(stream), events.read())
plots.save_figure(figure, sys.argv[1] if len(sys.argv) > 1 else Path(__file__).with_suffix(".png"))
