"""Arithmetic: the precision and the chip that a simulator computes with."""

from typing import Optional, Tuple

from eventsim.arguments import shown
from eventsim.errors import ModelError
from eventsim.lowering.recipe import PRECISIONS
from eventsim.model.chip import Chip, find_chip


def arithmetic_of(model, precision, chip) -> Tuple[str, Optional[Chip]]:
    """Return (precision, Chip or None) of a run, from what was given and what the model says. Arguments as of
    `Simulator`. Raises ModelError, and FormatError where there is no such chip."""
    if not isinstance(precision, (str, type(None))):
        raise ModelError(f"precision is {shown(precision)}, expected one of {', '.join(PRECISIONS)}, 'fixed' or "
                         "None")
    if precision not in (None, "fixed"):
        if chip is not None:
            raise ModelError(f"precision is {shown(precision)}, but a chip computes in 'fixed'; give one")
        return precision, None
    chip_of_run = getattr(model, "chip", None) if chip is None else find_chip(chip)  # `lower` checks model
    if chip_of_run is None and precision == "fixed":
        raise ModelError("precision 'fixed' needs a chip: the model has none, so name one, such as chip='loihi' "
                         "(--chip loihi)")
    return ("float32", None) if chip_of_run is None else ("fixed", chip_of_run)
