"""Recorded runs as a user would save them: arrays by name, in .npz or HDF5."""

import h5py
import numpy as np
from planted_changes import VARIABLES, network, samples

from eventsim import Simulator


def recorded(model=None, n=3, precision="float32", dtype=None):
    """Arrays of a run by layer, as a user would save them."""
    run = Simulator(model or network(), precision).run(samples(n), record=(*VARIABLES, "outputs"))
    arrays = {}
    for name in ("n1", "n2", "n3"):
        arrays[f"{name}/spikes"] = run.levels(name)
        for variable in ("currents", "potentials", "residuals"):
            arrays[f"{name}/{variable}"] = getattr(run, variable)(name)
    return {name: a if dtype is None else a.astype(dtype) for name, a in arrays.items()}, run


def save(path, arrays):
    if path.suffix == ".npz":
        np.savez_compressed(path, **arrays)
    else:
        with h5py.File(path, "w") as file:
            for name, array in arrays.items():
                file[name] = array
    return path
