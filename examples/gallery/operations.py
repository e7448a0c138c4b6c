"""What each layer's synapses cost, against a dense layer of the same shape.

    python examples/gallery/operations.py [PICTURE]
"""

import sys
from pathlib import Path

import h5py

import eventsim
from eventsim import plots

DATA = Path(__file__).resolve().parents[2] / "data"
with h5py.File(DATA / "digits_test.h5") as file:
    images = file["x"][:]
recording = eventsim.Simulator(eventsim.load(DATA / "digits.h5")).run(images)
figure = plots.operations(recording.counts)
plots.save_figure(figure, sys.argv[1] if len(sys.argv) > 1 else Path(__file__).with_suffix(".png"))
