"""The summary of a run."""

import platform
import re
import shlex
import sys
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Dict, List, Optional

from eventsim import __version__
from eventsim.costs import energy as energies
from eventsim.costs.energy import EnergyReport
from eventsim.costs.other_tools.conventions import Conventions
from eventsim.model.describing import describe
from eventsim.model.network import Model
from eventsim.program import Program
from eventsim.report.run_text import _level, _rate, audit_text
from eventsim.statistics.counts import Counts, EXECUTED, NAMES
from eventsim.statistics.ranges import LayerAudit
from eventsim.text import joule, quantity, table


@dataclass(frozen=True)
class Summary:
    """What `eventsim run` says. Counts are over all samples; seconds are spent simulating. chip:
    name of the chip's, or None. audit: per layer, or None. energy: an estimate. conventions: what
    other tools would count, or None. dropped_events: of event recordings, those after the last step."""

    model: str
    data: str
    samples: int
    timesteps: int
    precision: str
    workers: int
    accuracy: Optional[float]
    seconds: float
    totals: Dict[str, float]
    layers: List[Dict[str, float]]
    energy: EnergyReport
    chip: Optional[str] = None
    audit: Optional[Dict[str, LayerAudit]] = None
    conventions: Optional[Conventions] = None
    dropped_events: int = 0

    def as_json(self) -> Dict:
        """The keys that `--json` prints; counts are integers."""
        return {
            "model": self.model,
            "data": self.data,
            "samples": self.samples,
            "timesteps": self.timesteps,
            "dropped_events": self.dropped_events,
            "precision": self.precision,
            "workers": self.workers,
            "accuracy": self.accuracy,
            "seconds": self.seconds,
            "samples_per_second": self.samples / self.seconds,
            "totals": self.totals,
            "layers": self.layers,
            "energy": self.energy.as_json(),
            **({} if self.chip is None else {"chip": self.chip}),
            **({} if self.audit is None else {
                "audit": {name: layer.as_json() for name, layer in self.audit.items()}
            }),
            **({} if self.conventions is None else {"conventions": self.conventions.as_json()}),
        }

    def as_text(self) -> str:
        """The table that a person reads."""
        accuracy = "no labels" if self.accuracy is None else f"{100 * self.accuracy:.2f} % correct"
        head = (
            f"{self.model} on {self.data}: {accuracy} of {self.samples} samples, "
            f"{self.timesteps} steps, {self.precision if self.chip is None else self.chip}, "
            f"{quantity(self.samples / self.seconds)} samples/s\n"
        )
        columns = ("layer", "neurons", "firing rate", "mean level", "synops", "additions",
                   "dense MACs", "share")
        n, all_additions = max(self.samples, 1), max(self.totals["additions"] + self.totals["macs"], 1)
        rows = [
            (
                row["name"], f"{row['neurons']}", _rate(row), _level(row),
                quantity(row["synops"] / n), quantity((row["additions"] + row["macs"]) / n),
                quantity(row["dense_macs"] / n),
                f"{100 * (row['additions'] + row['macs']) / all_additions:.1f} %",
            )
            for row in self.layers
        ]
        totals = self.totals
        rows.append((
            "total", f"{sum(row['neurons'] for row in self.layers)}", "", "",
            quantity(totals["synops"] / n), quantity((totals["additions"] + totals["macs"]) / n),
            quantity(totals["dense_macs"] / n), "",
        ))
        cost = self.energy.total.cost
        tail = (
            f"\nper sample; additions include the MACs of real-valued input ({quantity(totals['macs'] / n)}); "
            f"share is of all additions;\n"
            f"energy by {self.energy.table}: {joule(cost.total)}, of which arithmetic {joule(cost.arithmetic)}; "
            f"a matched dense network: {joule(self.energy.total.ann.total)}"
        )
        if self.dropped_events:
            tail += (f"\n{self.dropped_events} events of the recordings came after the last step and were left "
                     "out: --timesteps N takes more in")
        audit = "" if self.audit is None else "\n\n" + audit_text(self.audit)
        return head + "\n" + table(columns, rows) + tail + audit


def summarise(model: Model, program: Program, counts: Counts, labels_right: Optional[int], seconds: float,
              model_name: str, data_name: str, workers: int, audit=None, energy_table=energies.DEFAULT,
              conventions=None, dropped_events=0) -> Summary:
    """Put a run's counts together. labels_right: correct predictions, None without labels.
    energy_table: an EnergyTable, a name or a path. Raises FormatError for it."""
    widths = {}
    if program.chip is None:  # a chip has one width
        widths = {name: found.weight_bits for name, found in program.rounding.items()}
    energy = energies.assess(model, counts, program.precision, energy_table, program.chip, widths)
    layers = []
    for name in counts.layers:
        row = counts.layer_totals(name)
        layers.append({
            "name": name,
            "neurons": counts.neurons[name],
            "firing_rate": counts.firing_rate(name),
            "mean_level": counts.mean_level(name),
            **{count: row[count] for count in NAMES + EXECUTED},
        })
    totals = counts.totals()
    totals = {
        **{count: totals[count] for count in NAMES + EXECUTED},
        "word_operations": int(counts.word_operations.sum()),
        "energy_joule": energy.total.cost.arithmetic * counts.n_samples,  # memory is in `energy`
    }
    n = counts.n_samples
    return Summary(
        model_name, data_name, n, counts.steps, program.precision, workers,
        None if labels_right is None else labels_right / n, seconds, totals, layers, energy,
        None if program.chip is None else program.chip.name, audit, conventions, dropped_events,
    )


def context(model: Model) -> Dict:
    """What a run file keeps beside a summary, so that it can be understood without the model: "made"
    (versions, processor, date, command), "nodes" (as `describe` has them), "class_names"."""
    made = {
        "eventsim": __version__, "python": platform.python_version(),
        **{name: metadata.version(name) for name in ("numpy", "numba")},
        "processor": _processor(), "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": shlex.join(["eventsim", *sys.argv[1:]]),
    }
    return {"made": made, "nodes": describe(model)["nodes"], "class_names": list(model.class_names)}


def _processor():
    try:
        found = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1] if found else platform.processor() or platform.machine()
