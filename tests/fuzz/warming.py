"""Kernels, compiled or loaded before children are forked: each child would do it anew."""

from networks import every_node_models, levels_for, random_chip_run
from reference_equality import ALL, INTEGERS

import numpy as np

from eventsim.engine.simulator import Simulator
from eventsim.errors import EventsimError
from fuzz.trials import PRECISIONS

CHIP_RUNS = 12


def warm() -> None:
    """Run networks of all kinds once."""
    rng = np.random.default_rng(0)
    runs = []
    for model, _ in every_node_models().values():
        node = model.nodes[model.input]
        x = levels_for(node, rng, (1, 2, *node.shape))
        runs += [(model, x, precision, None) for precision in PRECISIONS]
    for seed in range(CHIP_RUNS):
        model, x, _, chip = random_chip_run(seed)
        runs.append((model, x, "fixed", chip))
    for model, x, precision, chip in runs:
        record = ALL + ("audit",) * (precision in INTEGERS)
        for kinds in (record, ("spikes",)):
            try:
                Simulator(model, precision, chip=chip).run(x, record=kinds)
            except EventsimError:
                pass
