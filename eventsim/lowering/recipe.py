"""Recipe: lowers a Model to a Program. It chooses numbers for one precision and lays them out for the kernels.

`folding` has reduced the graph to paths and terms in float64. Here every constant is rounded
once to the type of the run: to float32, to float64, or, for "int8", to integers (see
`rounding`).
"""

from typing import Optional

import numpy as np

from eventsim.errors import ModelError, UnsupportedError
from eventsim.lowering.density import note_densities
from eventsim.lowering.folding import fold
from eventsim.lowering.room import check_room
from eventsim.lowering.stages import lowered
from eventsim.model.chip import Chip
from eventsim.model.network import Model
from eventsim.program import Program, StageGroup, WordStage

PRECISIONS = ("float32", "float64", "int8")


def lower(model: Model, precision: str = "float32", chip: Optional[Chip] = None,
          memory_limit: Optional[int] = None) -> Program:
    """Return the program of a model at one precision; "fixed" is integers under a chip.

    memory_limit: bytes that the model may take; None: three quarters of the machine's memory. Raises ModelError
    for an unknown precision or no model at all, UnsupportedError (naming the node) for what the precision or the
    chip cannot express, and for what takes more memory, before any is taken.
    """
    if not isinstance(model, Model):
        raise ModelError(
            f"model is a {type(model).__name__}, expected a Model (eventsim.load reads one from a file)"
        )
    if precision not in (*PRECISIONS, "fixed") or (precision == "fixed") != (chip is not None):
        raise ModelError(f"precision is {precision!r}, expected one of {', '.join(PRECISIONS)}, or "
                         "'fixed' with a chip")
    dtype = np.dtype(np.int32 if precision in ("int8", "fixed") else precision)
    _check_delays(model, chip)
    check_room(model, dtype, memory_limit)
    with np.errstate(all="ignore"):  # `rounding` refuses what leaves float64
        folded = fold(model, chip)
        units = {unit.name: unit for group in folded for unit in group.units}
        if dtype.kind == "i":  # the kernels of floats do not depend on it
            note_densities(units, model.check)
        check_room(model, dtype, memory_limit, units)
        lowered_units = {name: lowered(unit, units, dtype, chip, model) for name, unit in units.items()}
    groups = tuple(
        StageGroup(tuple(lowered_units[unit.name].stage for unit in group.units), group.recurrent)
        for group in folded
    )
    safe_steps = [unit.safe_steps for unit in lowered_units.values() if unit.safe_steps is not None]
    rounding = {name: unit.rounding for name, unit in lowered_units.items() if unit.rounding is not None}
    return Program(
        precision, dtype, groups, history=_history(groups), input=model.input, output=model.output,
        safe_steps=min(safe_steps, default=None), rounding=rounding, chip=chip,
    )


def _check_delays(model, chip):
    """Raise UnsupportedError where a delay is longer than a chip's."""
    longest = None if chip is None else chip.max_delay
    if longest is None:
        return
    waits = [(f"edge {edge.source!r} -> {edge.target!r}", edge.delay) for edge in model.edges]
    waits += [(model.label(name), node.longest_delay) for name, node in model.nodes.items()]
    for label, delay in waits:
        if delay > longest:
            raise UnsupportedError(
                f"{label}: delay is {delay} steps, but chip {chip.name!r} has at most {longest}")


def _history(groups):
    """Return name -> steps for which a stage's spikes are read again."""
    stages = [stage for group in groups for stage in group.stages]
    history = {stage.name: 0 for stage in stages}
    for stage in stages:
        for source, delay in _reads(stage):
            history[source] = max(history[source], delay)
    return history


def _reads(stage):
    if isinstance(stage, WordStage):
        return stage.sources
    return [(path.source, path.delay) for path in getattr(stage, "synapses", ())]
