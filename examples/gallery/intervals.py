"""Steps between spikes: each layer fires at every fourth spike of the one before, so CV halves.

    python examples/gallery/intervals.py [PICTURE]
"""

import sys
from pathlib import Path

import numpy as np

from eventsim import Dense, Input, Model, Neuron, plots, Simulator

x = np.random.default_rng(0).random((4, 2000, 100)) < 0.4
nodes = {"random": Input((100,))}
for i in (1, 2, 3):
    nodes[f"fc{i}"] = Dense(np.eye(100))
    nodes[f"every {4 ** i}"] = Neuron(leak=1.0, v_threshold=4.0, reset="hard")
model = Model(nodes, list(zip(nodes, list(nodes)[1:])), timesteps=2000)
figure = plots.intervals(Simulator(model).run(x, record=("statistics", "intervals")).statistics.trains)
plots.save_figure(figure, sys.argv[1] if len(sys.argv) > 1 else Path(__file__).with_suffix(".png"))
