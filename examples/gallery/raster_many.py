"""Nine million spikes: 10,000 neurons follow a wave for 10,000 steps, and a few groups are silent.

    python examples/gallery/raster_many.py [PICTURE]
"""

import sys
from pathlib import Path

import numpy as np

from eventsim import plots
from eventsim.spikes import Spikes

rng, neurons = np.random.default_rng(0), np.arange(10_000)
planes = np.zeros((1, 10_000, 1, 1, 157), np.uint64)
for step in range(10_000):
    wave = 0.1 + 0.09 * np.sin(2 * np.pi * (step / 2500 - neurons / 5000))
    fires = (rng.random(10_000, np.float32) < wave) & (neurons % 1000 >= 80)
    planes[0, step, 0, 0] = np.packbits(np.pad(fires, (0, 48)), bitorder="little").view(np.uint64)
figure = plots.raster(Spikes(planes, (10_000, 1, 1), (10_000,), bits=1, signed=False), name="wave")
plots.save_figure(figure, sys.argv[1] if len(sys.argv) > 1 else Path(__file__).with_suffix(".png"))
