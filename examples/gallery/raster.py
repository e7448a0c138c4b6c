"""64 digits, one after another, as the 48 neurons of the last layer see them.

    python examples/gallery/raster.py [PICTURE]
"""

import sys
from pathlib import Path

import h5py

import eventsim
from eventsim import plots

DATA = Path(__file__).resolve().parents[2] / "data"
with h5py.File(DATA / "digits_test.h5") as file:
    images = file["x"][:]
recording = eventsim.Simulator(eventsim.load(DATA / "digits.h5")).run(images[:64], record=("spikes:neuron3",))
figure = plots.raster(recording.spikes["neuron3"], sample=range(64), name="neuron3")
plots.save_figure(figure, sys.argv[1] if len(sys.argv) > 1 else Path(__file__).with_suffix(".png"))
