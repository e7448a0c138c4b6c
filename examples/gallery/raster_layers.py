"""One digit through all layers: who fires, with which level, and who is silent.

    python examples/gallery/raster_layers.py [PICTURE]
"""

import sys
from pathlib import Path

import h5py

import eventsim
from eventsim import plots

DATA = Path(__file__).resolve().parents[2] / "data"
with h5py.File(DATA / "digits_test.h5") as file:
    images = file["x"][:]
recording = eventsim.Simulator(eventsim.load(DATA / "digits.h5")).run(images[:1], record=("spikes",))
names = ("input", "neuron1", "neuron2", "neuron3")
figure = plots.raster({name: recording.spikes[name] for name in names}, sample=0)
plots.save_figure(figure, sys.argv[1] if len(sys.argv) > 1 else Path(__file__).with_suffix(".png"))
