"""Membranes of leaky neurons under random spikes: charging, firing, resetting.

    python examples/gallery/traces.py [PICTURE]
"""

import sys
from pathlib import Path

import numpy as np

from eventsim import Dense, Input, Model, Neuron, plots, Simulator

rng = np.random.default_rng(0)
x = rng.random((1, 80, 40)) < 0.08
nodes = {"in": Input((40,)), "fc": Dense(rng.uniform(-0.1, 0.4, (16, 40))), "lif": Neuron(leak=0.9, bits=2)}
model = Model(nodes, [("in", "fc"), ("fc", "lif")], timesteps=80)
recording = Simulator(model).run(x, record=("potentials", "residuals", "spikes:lif"))
figure = plots.traces(recording.potentials("lif")[0], recording.residuals("lif")[0],
                      levels=recording.levels("lif")[0], threshold=1.0, neurons=(0, 1, 2), name="lif")
plots.save_figure(figure, sys.argv[1] if len(sys.argv) > 1 else Path(__file__).with_suffix(".png"))
