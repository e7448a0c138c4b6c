"""What other tools would count, as plain numbers: what is printed, and what a run's file keeps of it."""

from dataclasses import dataclass, field
from typing import Dict, Optional, Tuple

from eventsim.storage.json_fields import member


@dataclass(frozen=True)
class ConventionCount:
    """One count of one tool. unit: of its numbers. differs: from ours, in words. layers, nodes: name ->
    number, None where the tool has none of them. total: of the network, None where it is undefined."""

    unit: Optional[str] = None
    differs: Optional[str] = None
    layers: Optional[Dict[str, float]] = member(absent=True)
    nodes: Optional[Dict[str, float]] = member(absent=True)
    total: Optional[float] = None


@dataclass(frozen=True)
class ConventionsSummary:
    """tools: name of a tool -> name of a count -> what it counts. ours: layer -> our count -> number per
    sample. samples: counted over; samples_per_call: as the tools are called. left_out: nodes that no tool
    counts."""

    tools: Dict[str, Dict[str, ConventionCount]] = field(default_factory=dict)
    ours: Dict[str, Dict[str, float]] = field(default_factory=dict)
    samples: Optional[int] = None
    samples_per_call: Optional[int] = None
    left_out: Tuple[str, ...] = ()
