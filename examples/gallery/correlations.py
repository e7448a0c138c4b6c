"""Which of the last layer's neurons answer to the same digits.

    python examples/gallery/correlations.py [PICTURE]
"""

import sys
from pathlib import Path

import h5py

import eventsim
from eventsim import plots

DATA = Path(__file__).resolve().parents[2] / "data"
with h5py.File(DATA / "digits_test.h5") as file:
    images = file["x"][:]
record = ("statistics", "intervals")
recording = eventsim.Simulator(eventsim.load(DATA / "digits.h5")).run(images, record=record)
figure = plots.correlations(recording.statistics.trains["neuron3"], "neuron3")
plots.save_figure(figure, sys.argv[1] if len(sys.argv) > 1 else Path(__file__).with_suffix(".png"))
