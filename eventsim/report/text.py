"""Report: a run as a table for people and as plain data for programs."""

import platform
import re
import shlex
import sys
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Dict, List, Optional

import numpy as np

from eventsim import __version__
from eventsim.columns import table
from eventsim.costs import energy as energies
from eventsim.costs.energy import EnergyReport
from eventsim.costs.other_tools.conventions import Conventions
from eventsim.model.network import Model
from eventsim.program import Program
from eventsim.statistics.counts import Counts, EXECUTED, NAMES
from eventsim.statistics.ranges import LayerAudit
from eventsim.text import joule, quantity


@dataclass(frozen=True)
class Summary:
    """What `eventsim run` says. Counts are over all samples; seconds are spent simulating. profile:
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
    profile: Optional[str] = None
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
            **({} if self.profile is None else {"profile": self.profile}),
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
            f"{self.timesteps} steps, {self.precision if self.profile is None else self.profile}, "
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


def summarise(model: Model, program: Program, counts: Counts, labels_right: Optional[int], seconds: float,
              model_name: str, data_name: str, workers: int, audit=None, energy_table=energies.DEFAULT,
              conventions=None, dropped_events=0) -> Summary:
    """Put a run's counts together. labels_right: correct predictions, None without labels.
    energy_table: an EnergyTable, a name or a path. Raises FormatError for it."""
    widths = {}
    if program.profile is None:  # a chip has one width
        widths = {name: found.weight_bits for name, found in program.rounding.items()}
    energy = energies.assess(model, counts, program.precision, energy_table, program.profile, widths)
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
        None if program.profile is None else program.profile.name, audit, conventions, dropped_events,
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


def _rate(row):
    return f"{row['firing_rate']:.4f}" if row["events"] else "-"


def _level(row):
    return f"{row['mean_level']:.2f}" if row["mean_level"] else "-"


def describe(model: Model) -> Dict:
    """What `eventsim info` says: nodes with shapes, input, edges, provenance."""
    nodes = []
    for name, node in model.nodes.items():
        reads = [
            edge.source + (f" (delay {edge.delay})" if edge.delay else "")
            for edge in model.incoming(name)
        ]
        weights = getattr(node, "weight", None)
        nodes.append({
            "name": name, "kind": node.kind, "shape": list(model.shapes[name]), "reads": reads,
            "parameters": int(weights.size) if weights is not None and node.kind != "BatchNorm" else 0,
            "settings": _settings(node),
        })
    return {
        "nodes": nodes, "timesteps": model.timesteps, "class_names": list(model.class_names),
        "input": model.input, "output": model.output, "provenance": model.provenance,
        "check": None if model.check is None else int(len(model.check.x)),
        "profile": None if model.profile is None else model.profile.name,
    }


_SHOWN = {
    "Input": ("encoding", "bits", "signed", "scale", "layout"),
    "Neuron": ("leak", "current_leak", "v_threshold", "comparison", "quantum", "bits", "reset", "signed",
               "rectify"),
    "SigmaDelta": ("mode", "v_threshold", "quantum", "bits", "rectify"),
    "Readout": ("reduce", "leak", "current_leak"),
    "Delay": ("steps",),
}


def _settings(node):
    shown = {}
    for name in _SHOWN.get(node.kind, ("stride", "padding", "dilation", "groups", "kernel_size")):
        value = getattr(node, name, None)
        if value is None:
            continue
        if isinstance(value, np.ndarray):
            value = value.item() if value.size == 1 else f"{value.min():.4g} to {value.max():.4g}"
        shown[name] = list(value) if isinstance(value, tuple) else value
    return shown


def describe_text(model: Model, name: str) -> str:
    """`describe` for people."""
    found = describe(model)
    parameters = sum(node["parameters"] for node in found["nodes"])
    head = (
        f"{name}: {len(found['nodes'])} nodes, {quantity(parameters)} weights, "
        f"{found['timesteps']} steps, "
        + (f"{found['check']} check samples" if found["check"] else "no check group")
        + (f", for profile {found['profile']}" if found["profile"] else "") + "\n\n"
    )
    rows = [
        (
            node["name"], node["kind"], "x".join(map(str, node["shape"])),
            ", ".join(node["reads"]) or "-",
            ", ".join(f"{key} {_plain(value)}" for key, value in node["settings"].items()),
        )
        for node in found["nodes"]
    ]
    text = head + table(("node", "kind", "shape", "reads", "settings"), rows)
    for key, value in found["provenance"].items():
        text += f"\n{key}: {value}"
    return text


def _plain(value):
    return "x".join(map(str, value)) if isinstance(value, list) else value
