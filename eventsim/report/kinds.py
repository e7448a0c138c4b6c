"""Kinds of findings, and what a finding says."""

import math
from dataclasses import dataclass, field
from typing import Dict, Optional

# kind -> (severity, what it is), the most important first. "fault": results are wrong or meaningless;
# "warning": accuracy or cost probably suffers; "note": something is not used.
KINDS = {
    "not_finite": ("fault", "numbers that are nan or infinite"),
    "overflow": ("fault", "integers that left their width"),
    "zeroed_layer": ("fault", "a layer whose weights the arithmetic all rounds to 0"),
    "changed_constant": ("fault", "a leak, gain, threshold or bias that the arithmetic makes another number"),
    "dead_layer": ("fault", "a layer that never fires"),
    "exploding_membrane": ("fault", "potentials far beyond anything that firing can bring back"),
    "constant_prediction": ("fault", "one class predicted for every sample"),
    "strange_labels": ("fault", "labels that are no class of the model"),
    "at_chance": ("fault", "an accuracy that guessing reaches too"),
    "saturated_top_bit": ("warning", "levels clipped at the highest"),
    "saturated": ("warning", "neurons that fire at every step"),
    "membrane_drift": ("warning", "potentials that move away steadily"),
    "dim_input": ("warning", "an input that uses a small part of its range"),
    "lost_weights": ("warning", "weights that the arithmetic clips or rounds to 0"),
    "denser_than_crossing": ("warning", "event-driven costs more than dense"),
    "mostly_silent": ("note", "neurons that never fire"),
    "dead_channels": ("note", "channels that never fire"),
    "unused_top_bit": ("note", "a bit that is never set"),
    "rounded_weights": ("note", "some weights that the arithmetic clips or rounds to 0"),
}


@dataclass(frozen=True)
class Finding:
    """One thing that looks wrong. kind: of KINDS. layer: the node's name, or None for the network.
    sentence: what is wrong, and what it means. remedy: what to try. numbers: what the rule saw."""

    kind: str
    layer: Optional[str]
    sentence: str
    remedy: str
    numbers: Dict[str, float] = field(default_factory=dict)

    @property
    def severity(self) -> str:
        """"fault", "warning" or "note"."""
        return KINDS[self.kind][0]

    def as_json(self) -> Dict:
        """Plain values; numbers that are not finite are None."""
        numbers = {key: value if value is not None and math.isfinite(value) else None
                   for key, value in self.numbers.items()}
        return {"kind": self.kind, "severity": self.severity, "layer": self.layer, "sentence": self.sentence,
                "remedy": self.remedy, "numbers": numbers}
