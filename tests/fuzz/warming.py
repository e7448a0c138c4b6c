"""Kernels, compiled or loaded before children are forked: each child would do it anew."""

from networks import every_node_models, levels_for, random_chip_run
from reference_equality import ALL, INTEGERS

import numpy as np

from eventsim.engine.simulator import Simulator
from eventsim.errors import EventsimError
from fuzz.trials import PRECISIONS

CHIP_RUNS = 12


def warm(every=1) -> None:
    """Run networks of all kinds once. every: only one of so many."""
    rng = np.random.default_rng(0)
    runs = [(model, levels_for(model.nodes[model.input], rng, (1, 2, *model.nodes[model.input].shape)), precision, None)
            for i, (model, _) in enumerate(every_node_models().values()) if i % every == 0 for precision in PRECISIONS]
    for seed in range(0, CHIP_RUNS, every):
        model, x, _, chip = random_chip_run(seed)
        runs.append((model, x, "fixed", chip))
    for model, x, precision, chip in runs:
        record = ALL + ("audit",) * (precision in INTEGERS)
        for kinds in (record, ("spikes",)):
            try:
                Simulator(model, precision, chip=chip).run(x, record=kinds)
            except EventsimError:
                pass
