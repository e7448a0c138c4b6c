"""Audit: how far the integers of a run went, layer by layer, and what their widths did to them."""

from dataclasses import dataclass
from typing import ClassVar, Dict, Optional

import numpy as np

from eventsim.merging import merged
from eventsim.program import Program

QUANTITIES = ("sum", "current", "membrane")


@dataclass
class Range:
    """Where one number of a layer's neurons went, in steps of the state (a sum: of weights), before
    it was brought back to its width.

    lowest, highest: over all neurons, steps and samples. overflows: how often it left its width.
    bits: that width, or None. overflow: what the chip does then.
    """

    ALIKE: ClassVar[str] = "the same model and chip"

    lowest: int = merged("min")
    highest: int = merged("max")
    overflows: int = merged("sum")
    bits: Optional[int] = merged("same", default=None)
    overflow: str = merged("same", default="")

    @property
    def counted(self) -> bool:
        """Whether overflows are counted: they are not where the width is that of int32, which cannot tell."""
        return self.bits is not None and self.bits < 32

    @property
    def safe_bits(self) -> int:
        """The smallest two's complement width that would have held it."""
        return 1 + max((end if end >= 0 else -1 - end).bit_length() for end in (self.lowest, self.highest))


@dataclass
class LayerAudit:
    """ranges: "sum", "current", "membrane" -> Range. n_weights: synaptic weights stored; n_zeroed:
    those that rounding made 0; n_clipped: those beyond the chip's weights."""

    ranges: Dict[str, Range] = merged("merge")
    n_weights: int = merged("same")
    n_zeroed: int = merged("same")
    n_clipped: int = merged("same")


def collect(program: Program, notes: Dict[str, np.ndarray]) -> Dict[str, LayerAudit]:
    """Return the audit of each layer. notes: layer -> what the kernels noted, int32 (n, 9, padded channels)."""
    audits = {}
    for name, noted in notes.items():
        stage = program.stages[name]
        noted = noted[..., : stage.shape[0]].astype(np.int64).reshape(len(noted), 3, 3, -1)
        ranges = {}
        for i, quantity in enumerate(QUANTITIES):
            ranges[quantity] = Range(
                int(noted[:, i, 0].min()), int(noted[:, i, 1].max()), int(noted[:, i, 2].sum()),
                getattr(program.chip, quantity + "_bits", None),
                getattr(program.chip, quantity + "_overflow", ""),
            )
        rounding = program.rounding[name]
        audits[name] = LayerAudit(ranges, rounding.n_weights, rounding.n_zeroed, rounding.n_clipped)
    return audits
