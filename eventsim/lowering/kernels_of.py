"""Which kernels a program runs, and why."""

from typing import Dict, List

from eventsim.lowering.methods import WHY
from eventsim.program import LayerStage, Program


def kernels_of(program: Program) -> List[Dict]:
    """Return one entry for each path of synapses, plain data: layer, source, delay, kernel (see
    `Synapses.method`), lanes (channels that it adds at once), tiles (of so many channels), weights (their type as
    they are added, or of the tables), density (share of set bits of the source on the model's check samples,
    estimated behind a max pool, or None; see `lowering.density`) and why."""
    return [
        {"layer": layer.name, "source": path.source, "delay": path.delay, "kernel": path.method,
         "lanes": layer.lanes, "tiles": path.geometry.tiles, "weights": str(path.weight.dtype),
         "density": path.density, "why": WHY[path.method]}
        for layer in program.stages.values() if isinstance(layer, LayerStage) for path in layer.synapses
    ]
