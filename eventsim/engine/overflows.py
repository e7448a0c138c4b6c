"""Overflows: numbers that leave a width where the chip makes that an error."""

from typing import Optional

from eventsim.engine.chunk import Chunk
from eventsim.errors import RunError
from eventsim.model.chip import Chip
from eventsim.model.network import Model
from eventsim.program import Program
from eventsim.statistics import ranges


def chip_may_fail(chip: Optional[Chip]) -> bool:
    """Return whether the chip has a width that nothing may leave."""
    return chip is not None and "error" in (
        getattr(chip, name + "_overflow") for name in ranges.QUANTITIES
        if getattr(chip, name + "_bits") is not None
    )


def check_overflows(model: Model, program: Program, chunk: Chunk) -> None:
    """Raise RunError where a number of the chunk left such a width."""
    for name, layer in ranges.collect(program, chunk.traces.audit).items():
        for quantity, values in layer.ranges.items():
            if values.overflow == "error" and values.overflows:
                raise RunError(
                    f"{model.label(name)}: the {quantity} left its {values.bits} bits "
                    f"{values.overflows} times ({values.lowest} to {values.highest}); chip "
                    f"{program.chip.name!r} makes that an error: widen it, or let it "
                    "saturate or wrap"
                )
