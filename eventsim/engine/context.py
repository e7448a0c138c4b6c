"""What a recording was made with, so that it can be understood when the simulator is gone."""

from dataclasses import dataclass, field
from typing import Dict, Optional

from eventsim.model.chip import Chip
from eventsim.model.network import Model
from eventsim.program import Rounding


@dataclass(frozen=True)
class RunContext:
    """The model and the arithmetic of a run. It refers to the model, whose arrays it does not copy; two are
    equal where the arithmetic is.

    precision: "float32", "float64", "int8" or "fixed". chip: of a "fixed" run, else None. weight_bits:
    layer -> width of its integer weights; {} under a chip, which has one width. workers: threads. rounding: layer
    -> what became of its weights as integers, {} in floats. bin_width: microseconds of a step, where a stream has
    cut its events into steps of its own; else None: as the model's input says, where it does. fingerprint: of what
    was computed, see `program.Program`; "" where it is not known.
    """

    model: Model = field(repr=False, compare=False)
    precision: str
    chip: Optional[Chip] = None
    weight_bits: Dict[str, int] = field(default_factory=dict, repr=False)
    workers: int = field(default=1, compare=False)
    rounding: Dict[str, Rounding] = field(default_factory=dict, repr=False)
    bin_width: Optional[float] = None
    fingerprint: str = field(default="", repr=False)

    @property
    def step_width(self) -> Optional[float]:
        """The microseconds of a step, None where nothing says them."""
        events = self.model.nodes[self.model.input].events
        return self.bin_width or (None if events is None else events.bin_width)

    @staticmethod
    def of(simulator) -> "RunContext":
        """Return the context of the runs of a `Simulator`."""
        program = simulator.program
        widths = {} if program.chip is not None else {
            name: rounding.weight_bits for name, rounding in program.rounding.items()}
        return RunContext(simulator.model, program.precision, program.chip, widths, simulator.workers,
                          program.rounding, fingerprint=program.fingerprint)
