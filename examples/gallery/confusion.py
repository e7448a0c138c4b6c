"""Which digits are taken for which under noise.

    python examples/gallery/confusion.py [PICTURE]
"""

import sys
from pathlib import Path

import h5py
import numpy as np

import eventsim
from eventsim import plots
from eventsim.statistics.decisions import Decisions

DATA = Path(__file__).resolve().parents[2] / "data"
with h5py.File(DATA / "digits_test.h5") as file:
    images, labels = file["x"][:], file["y"][:]
rng = np.random.default_rng(0)
noisy = np.clip(images + rng.integers(-6, 7, images.shape), 0, 16)
recording = eventsim.Simulator(eventsim.load(DATA / "digits.h5")).run(noisy, record=("outputs",))
figure = plots.confusion(Decisions.of(recording.outputs, labels))
plots.save_figure(figure, sys.argv[1] if len(sys.argv) > 1 else Path(__file__).with_suffix(".png"))
