"""Audit: how far the integers of a run went, layer by layer, and what their widths did to them."""

from dataclasses import dataclass
from typing import Dict, Optional

import numpy as np

from eventsim.program import Program

QUANTITIES = ("sum", "current", "membrane")


@dataclass
class Range:
    """Where one number of a layer's neurons went, in steps of the state (a sum: of weights), before
    it was brought back to its width.

    lowest, highest: over all neurons, steps and samples. overflows: how often it left its width.
    bits: that width, or None. overflow: what the chip does then.
    """

    lowest: int
    highest: int
    overflows: int
    bits: Optional[int] = None
    overflow: str = ""

    @property
    def counted(self) -> bool:
        """Whether overflows are counted: not of int32's own width, which is all that holds it."""
        return self.bits is not None and self.bits < 32

    @property
    def safe_bits(self) -> int:
        """The smallest two's complement width that would have held it."""
        return 1 + max(self.highest.bit_length(), (-1 - self.lowest).bit_length() if self.lowest < 0 else 0)

    def joined(self, other) -> "Range":
        """The range of two runs."""
        return Range(min(self.lowest, other.lowest), max(self.highest, other.highest),
                     self.overflows + other.overflows, self.bits, self.overflow)


@dataclass
class LayerAudit:
    """ranges: "sum", "current", "membrane" -> Range. n_weights: synaptic weights stored; n_zeroed:
    those that rounding made 0; n_clipped: those beyond the chip's weights."""

    ranges: Dict[str, Range]
    n_weights: int
    n_zeroed: int
    n_clipped: int

    def as_json(self) -> Dict:
        """Plain numbers; "overflows" is None where they are not counted."""
        return {
            **{name: {"lowest": found.lowest, "highest": found.highest, "bits_needed": found.safe_bits,
                      "bits": found.bits, "overflow": found.overflow,
                      "overflows": found.overflows if found.counted else None}
               for name, found in self.ranges.items()},
            "weights": self.n_weights, "clipped_weights": self.n_clipped, "zeroed_weights": self.n_zeroed,
        }

    def joined(self, other) -> "LayerAudit":
        """The audit of two runs of the same layer."""
        ranges = {name: found.joined(other.ranges[name]) for name, found in self.ranges.items()}
        return LayerAudit(ranges, self.n_weights, self.n_zeroed, self.n_clipped)


def collect(program: Program, found: Dict[str, np.ndarray]) -> Dict[str, LayerAudit]:
    """Per layer from what the kernels noted: int32 (n, 9, padded channels)."""
    audits = {}
    for name, noted in found.items():
        stage = program.stages[name]
        whole = noted[..., : stage.shape[0]].astype(np.int64).reshape(len(noted), 3, 3, -1)
        ranges = {}
        for i, quantity in enumerate(QUANTITIES):
            ranges[quantity] = Range(
                int(whole[:, i, 0].min()), int(whole[:, i, 1].max()), int(whole[:, i, 2].sum()),
                getattr(program.chip, quantity + "_bits", None),
                getattr(program.chip, quantity + "_overflow", ""),
            )
        rounding = program.rounding[name]
        audits[name] = LayerAudit(ranges, rounding.n_weights, rounding.n_zeroed, rounding.n_clipped)
    return audits


def joined(audits):
    """One audit of several runs of the same model, or None where there are none."""
    audits = list(audits)
    if any(audit is None for audit in audits) or not audits:
        return None
    whole = dict(audits[0])
    for audit in audits[1:]:
        for name, layer in audit.items():
            whole[name] = whole[name].joined(layer)
    return whole
