"""What a run prints for people."""

from typing import Dict

from eventsim.statistics.ranges import LayerAudit
from eventsim.text import table


def audit_text(audit: Dict[str, LayerAudit]) -> str:
    """A table of ranges, widths and overflows, and one of what became of the weights."""
    rows, weights = [], []
    for name, layer in audit.items():
        for number, found in layer.ranges.items():
            rows.append((
                name, number, f"{found.lowest}", f"{found.highest}", f"{found.safe_bits}",
                f"{found.bits or 32}", f"{found.overflows}" if found.counted else "-",
                found.overflow if found.bits else "",
            ))
        weights.append((name, f"{layer.n_weights}", f"{layer.n_clipped}", f"{layer.n_zeroed}"))
    columns = ("layer", "number", "lowest", "highest", "bits needed", "bits", "overflows", "then")
    return (
        table(columns, rows) + "\n"
        + table(("layer", "weights", "clipped", "rounded to 0"), weights)
        + "before each number is brought back to its width; a sum in weights, the rest in steps of the state"
    )


def _rate(row):
    return f"{row['firing_rate']:.4f}" if row["events"] else "-"


def _level(row):
    return f"{row['mean_level']:.2f}" if row["mean_level"] else "-"
