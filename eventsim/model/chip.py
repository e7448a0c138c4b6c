"""Chips: what the arithmetic of a chip does, as data.

A chip is a JSON file with the fields of `Chip`; those in `chips/` are built in. It says how wide
numbers are and what happens where they are not wide enough. Any model runs on any chip: `lower`
chooses the integers, and the same kernels compute with them.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import List, Optional

from eventsim.arguments import integer, shown
from eventsim.errors import ModelError
from eventsim.model.parameters import choice, MAX_DELAY
from eventsim.storage.json_record import JsonRecords

OVERFLOWS = ("wrap", "wrap_once", "saturate", "saturate_symmetric", "error")
ROUNDINGS = ("toward_zero", "floor", "nearest")
NOT_NAMES = ("float32", "float64", "int8", "fixed")  # which say the arithmetic where there is no chip


@dataclass(frozen=True)
class Chip:
    """Integer arithmetic of a chip. Widths are in bits and count the sign.

    One step of a neuron, in integers: `sum` is the sum of weights over the incoming spikes, then

        current  = decayed(current) + (sum << weight_shift) + constant    or without decayed(current)
        membrane = decayed(membrane) + current + bias
        spike where membrane > threshold (or >=), and reset

    and each of the three is brought back to its width as soon as it is known: the sum before the
    shift, the current before it is added, the membrane before it is compared. A membrane that pauses
    (`refractory`) stays what it is. `constant` is what comes with the spikes: the bias of synapses and of
    normalisation, in steps of the state. `bias` is the neuron's own, with what its v_leak adds.

    name, description: of the chip. The name is not that of a precision.
    weight_bits: width of a weight. weight_step: weights are multiples of it (2: Loihi's mixed sign).
    weight_shift: sums of weights are worth 2^weight_shift steps of the state.
    sum_bits, current_bits, membrane_bits: 2 to 30, or 32 (which can only wrap, and is not audited);
        None: as in "int8", int32 and a proof that it is enough.
    sum_overflow, current_overflow, membrane_overflow: what a number beyond its width n does:
        "wrap" around (two's complement); "wrap_once", as Lava models Loihi: one turn into
        -2^(n-1) + 1 to 2^(n-1), not more; "saturate" at -2^(n-1) and 2^(n-1) - 1;
        "saturate_symmetric" at -(2^(n-1) - 1) and 2^(n-1) - 1; "error": the run ends in a RunError.
        A number wraps unseen once it is beyond 32 bits: an audit of "wrap" counts only up to there.
    decay_bits: a leak is the factor round(leak * 2^decay_bits) / 2^decay_bits.
    decay_rounding: of state * factor: "toward_zero", "floor" or "nearest" (half away from zero).
    spike_bits: widest level of a spike without its sign. signed_spikes: whether levels have a sign.
    comparison: ">" or ">=" for all neurons, with the threshold's number as it is, or None: as each
        neuron says.
    max_delay: longest delay of an edge in steps, or None.

    >>> from eventsim import Chip
    >>> Chip("mine", weight_bits=4, membrane_bits=16, membrane_overflow="saturate").lowest_weight
    -8
    """

    name: str
    description: str = ""
    weight_bits: int = 8
    weight_step: int = 1
    weight_shift: int = 0
    sum_bits: Optional[int] = None
    sum_overflow: str = "error"
    current_bits: Optional[int] = None
    current_overflow: str = "error"
    membrane_bits: Optional[int] = None
    membrane_overflow: str = "error"
    decay_bits: int = 12
    decay_rounding: str = "toward_zero"
    spike_bits: int = 16
    signed_spikes: bool = True
    comparison: Optional[str] = None
    max_delay: Optional[int] = None

    def __post_init__(self):
        if not isinstance(self.name, str) or not self.name.isprintable() or not self.name:
            raise ModelError(f"name is {shown(self.name)}, expected the name of a chip")
        if self.name in NOT_NAMES:
            raise ModelError(f"name is {self.name!r}, which is a precision, expected another name for the chip")
        if not isinstance(self.description, str):
            raise ModelError(f"description is {shown(self.description)}, expected text")
        for name, low, high in (("weight_bits", 2, 16), ("weight_step", 1, 256), ("weight_shift", 0, 16),
                                ("decay_bits", 1, 16), ("spike_bits", 1, 16)):
            self._set(name, integer(getattr(self, name), name, low, high, ModelError))
        if self.max_delay is not None:
            self._set("max_delay", integer(self.max_delay, "max_delay", 0, MAX_DELAY, ModelError))
        for name in ("sum", "current", "membrane"):
            self._check_width(name + "_bits", name + "_overflow")
        choice(self.decay_rounding, "decay_rounding", ROUNDINGS)
        if self.comparison is not None:
            choice(self.comparison, "comparison", (">", ">="))
        if not isinstance(self.signed_spikes, bool):
            raise ModelError(f"signed_spikes is {shown(self.signed_spikes)}, expected true or false")
        if not self.highest_weight:
            raise ModelError(
                f"weight_step is {self.weight_step}, but a weight of {self.weight_bits} bits "
                f"reaches only {(1 << (self.weight_bits - 1)) - 1}"
            )

    def _check_width(self, name, overflow):
        choice(getattr(self, overflow), overflow, OVERFLOWS)
        if getattr(self, name) is None:
            return
        bits = integer(getattr(self, name), name, 2, 32, ModelError)
        if bits == 31:
            raise ModelError(f"{name} is 31, expected a whole number from 2 to 30, or 32")
        if bits == 32 and getattr(self, overflow) != "wrap":
            raise ModelError(f"{name} is 32, which can only wrap; set {overflow} to 'wrap'")
        self._set(name, bits)

    def _set(self, name, value):
        object.__setattr__(self, name, value)

    @property
    def lowest_weight(self) -> int:
        """The smallest weight: the lowest multiple of weight_step in weight_bits."""
        return -((1 << (self.weight_bits - 1)) // self.weight_step) * self.weight_step

    @property
    def highest_weight(self) -> int:
        """The largest weight."""
        return ((1 << (self.weight_bits - 1)) - 1) // self.weight_step * self.weight_step

    def as_json(self) -> str:
        """The text of a chip file."""
        return json.dumps(asdict(self), indent=2) + "\n"


_CHIPS = JsonRecords(Chip, "chip", Path(__file__).parent / "chips")


def chip_names() -> List[str]:
    """Names of the built-in chips."""
    return _CHIPS.names()


def find_chip(chip) -> Chip:
    """A Chip from a Chip, the name of a built-in one, or the path of a JSON file.

    Raises FormatError, naming the file and the field.
    """
    return _CHIPS.find(chip)
