"""The energy of a run as plain numbers: what is printed, and what a run's file keeps of it."""

from dataclasses import dataclass
from typing import Dict, Optional, Tuple

from eventsim.arguments import width_of
from eventsim.storage.json_fields import member
from eventsim.text import aligned_table, joule, NONE, share_decimals, wrapped


@dataclass(frozen=True)
class CostSummary:
    """Joule per sample: additions, products, updates and memory, which make the total. memory_by_level: the
    memory's name -> joule."""

    additions: Optional[float] = None
    products: Optional[float] = None
    updates: Optional[float] = None
    memory: Optional[float] = None
    total: Optional[float] = None
    memory_by_level: Optional[Dict[str, float]] = None


@dataclass(frozen=True)
class EnergyOfAll(CostSummary):
    """The event-driven cost, and that of the matched dense network: ann, with its total in ann_total.
    ann_bits: of the widest activation that it reads, 0 without synapses. rate: share of the synapses that
    inputs fire into per step. crossing_rate: the rate at which both cost the same, None where none is."""

    ann_total: Optional[float] = None
    ann_bits: Optional[int] = None
    rate: Optional[float] = None
    crossing_rate: Optional[float] = None
    ann: Optional[CostSummary] = None

    @property
    def costs_more(self) -> bool:
        """Whether event-driven is known to cost more than dense."""
        return bool(self.ann_total) and self.total is not None and self.total > self.ann_total


@dataclass(frozen=True)
class _Named:
    name: str


@dataclass(frozen=True)
class EnergyOfLayer(EnergyOfAll, _Named):
    """The same of one layer."""


@dataclass(frozen=True)
class EnergySummary:
    """Energy of a run by a table, an estimate. total: of all layers. baseline: what it is compared with."""

    table: Optional[str] = None
    unit: Optional[str] = None
    layers: Tuple[EnergyOfLayer, ...] = ()
    total: EnergyOfAll = member(EnergyOfAll())
    baseline: Optional[str] = None

    def as_text(self, width: Optional[int] = None) -> str:
        """Return the table that a person reads, in lines of at most `width` characters; None: of any length."""
        width = width_of(width)
        columns = ("layer", "additions", "products", "updates", "memory", "total", "dense", "bits",
                   "rate", "crosses at")
        rows = [_row(layer.name, layer) for layer in self.layers] + [_row("total", self.total)]
        return (
            aligned_table(columns, rows, width, LEFT_OUT)
            + wrapped(f"per sample, by {self.table or 'an unknown table'}; "
                      f"dense: {self.baseline or 'of unknown kind'}\n"
                      "rate: share of the synapses that inputs fire into per step; event-driven wins below the "
                      "rate at which both cross", width)
        )


LEFT_OUT = ("products", "bits", "updates", "additions", "memory")  # columns, where they do not fit


def _row(name, energy):
    synapses = bool(energy.ann_bits)
    if energy.crossing_rate is not None:
        crosses = share_decimals(energy.crossing_rate, 4)
    elif not synapses:
        crosses = NONE
    else:  # what costs less at every rate costs less at this one
        known = energy.total is not None and energy.ann_total is not None
        crosses = NONE if not known else "never less" if energy.total >= energy.ann_total else "always less"
    return (
        name, joule(energy.additions), joule(energy.products), joule(energy.updates), joule(energy.memory),
        joule(energy.total), joule(energy.ann_total) if synapses else NONE,
        f"{energy.ann_bits}" if synapses else NONE, share_decimals(energy.rate, 4) if synapses else NONE, crosses,
    )
