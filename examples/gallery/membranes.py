"""Where membranes are before the reset, rectified (MPR), and after it, with the thresholds.

    python examples/gallery/membranes.py [PICTURE]
"""

import sys
from pathlib import Path

import h5py

import eventsim
from eventsim import plots

DATA = Path(__file__).resolve().parents[2] / "data"
with h5py.File(DATA / "digits_test.h5") as file:
    images = file["x"][:]
recording = eventsim.Simulator(eventsim.load(DATA / "digits.h5")).run(images, record=("membranes",))
figure = plots.membranes(recording.statistics.membranes)
plots.save_figure(figure, sys.argv[1] if len(sys.argv) > 1 else Path(__file__).with_suffix(".png"))
