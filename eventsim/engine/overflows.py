"""Overflows: numbers that leave a width where the chip makes that an error, and floats that may become infinite."""

from typing import Optional

import numpy as np

from eventsim.engine.chunk import Chunk
from eventsim.errors import RunError
from eventsim.model.chip import Chip
from eventsim.model.network import Model
from eventsim.program import InputStage, LayerStage, Program
from eventsim.statistics import ranges


def chip_may_fail(chip: Optional[Chip]) -> bool:
    """Whether the chip has a width that nothing may leave."""
    return chip is not None and "error" in (
        getattr(chip, name + "_overflow") for name in ranges.QUANTITIES
        if getattr(chip, name + "_bits") is not None
    )


def check_overflows(model: Model, program: Program, chunk: Chunk) -> None:
    """Raise RunError where a number of the chunk left such a width."""
    for name, layer in ranges.collect(program, chunk.traces.audit).items():
        for quantity, found in layer.ranges.items():
            if found.overflow == "error" and found.overflows:
                raise RunError(
                    f"{model.label(name)}: the {quantity} left its {found.bits} bits "
                    f"{found.overflows} times ({found.lowest} to {found.highest}); chip "
                    f"{program.chip.name!r} makes that an error: widen it, or let it "
                    "saturate or wrap"
                )


LARGEST_REAL = 1e6  # value that a real-valued input is taken to have


def floats_may_overflow(program: Program, steps: int) -> bool:
    """Whether a membrane can become infinite within so many steps, by what its largest weight and bias add up to;
    never of integers, which are proved to fit."""
    if program.dtype.kind != "f":
        return False
    most = 0.0
    for layer in program.stages.values():
        if isinstance(layer, LayerStage):
            added = [_largest(bias) for part in (layer, *layer.pools) for _, bias in part.biases]
            added += [_largest(getattr(layer.update, name)) for name in ("drive", "v_reset", "amounts", "least")]
            for path in layer.synapses:
                source, g = program.stages[path.source], path.geometry
                level = LARGEST_REAL if isinstance(source, InputStage) and source.real else source.max_level
                added.append(_largest(path.weight) * level * g.kernel_height * g.kernel_width * g.channels)
            most = max(most, sum(added) * max(1.0, _largest(layer.update.gain)))
    return not most * steps < float(np.finfo(program.dtype).max)


def _largest(values):
    """The largest absolute value, without a copy."""
    return max(abs(float(values.min())), abs(float(values.max()))) if values.size else 0.0
