"""Checking: a model file proves itself by its check group.

In float64 every level count must equal the trainer's and the outputs must agree to 1e-9; in
float32 the predictions must be equal and at most 0.1 % of the spikes may differ from float64;
int8 is reported.
"""

from dataclasses import dataclass, field
from typing import Dict, List, Optional

import numpy as np

from eventsim.engine.simulator import Simulator
from eventsim.errors import UnsupportedError
from eventsim.model.network import Model
from eventsim.text import share_percent

OUTPUT_TOLERANCE = 1e-9  # relative to the largest output, for float64
SPIKE_TOLERANCE = 1e-3  # share of the spikes that may differ in float32


@dataclass(frozen=True)
class CheckFinding:
    """One thing that was compared. result: "ok", "FAILED", or "info", which only reports. text: for people."""

    result: str
    text: str


@dataclass
class CheckResult:
    """passed: whether all that has to hold holds. findings: what was compared. measures: the same as numbers."""

    passed: bool = True
    findings: List[CheckFinding] = field(default_factory=list)
    measures: Dict = field(default_factory=dict)

    @property
    def lines(self) -> List[str]:
        """The findings for people, a line each."""
        return [f"{finding.result:<6}  {finding.text}" for finding in self.findings]

    def note(self, passed, text):
        """Add a finding; passed None only reports."""
        self.findings.append(CheckFinding({True: "ok", False: "FAILED", None: "info"}[passed], text))
        if passed is False:
            self.passed = False


def check(model: Model, memory_limit: Optional[int] = None) -> CheckResult:
    """Run the model's check group in every precision. `model.check` must not be None. memory_limit: of
    `Simulator`."""
    result = CheckResult()
    wanted = tuple(f"spikes:{name}" for name, node in model.nodes.items() if node.sends == "levels")
    exact = Simulator(model, "float64", memory_limit=memory_limit).run(model.check.x, record=wanted)
    _compare_with_file(model, exact, result)
    single = Simulator(model, "float32", memory_limit=memory_limit).run(model.check.x, record=wanted)
    _compare_runs(exact, single, wanted, "float32", result, required=True)
    try:
        fixed = Simulator(model, "int8", memory_limit=memory_limit).run(model.check.x, record=wanted)
    except UnsupportedError as error:
        result.note(None, f"int8: {error}")
    else:
        _compare_runs(exact, fixed, wanted, "int8", result, required=False)
    return result


def _compare_with_file(model, exact, result):
    stored = model.check.outputs
    error = float(np.abs(exact.output - stored).max() / max(1.0, np.abs(stored).max()))
    result.measures["float64_output_error"] = error
    result.note(error <= OUTPUT_TOLERANCE,
                f"float64: outputs of {len(stored)} samples agree to {error:.1e} (at most {OUTPUT_TOLERANCE:.0e})")
    for name, counts in model.check.level_counts.items():
        computed = level_counts(exact.levels(name), counts.shape[-1], model.nodes[name].signed)
        different = int(np.abs(computed - counts).sum()) // 2
        result.measures[f"float64_levels_different_{name}"] = different
        result.note(different == 0, f"float64: level counts of {name!r} equal the file's"
                    if different == 0 else
                    f"float64: level counts of {name!r}: {different} neurons at another level than in the file")


def level_counts(levels, n_levels, signed):
    """int64 (N, T, n_levels): neurons at each level, see model.Check."""
    n, t = levels.shape[:2]
    flat = levels.reshape(n * t, -1).astype(np.int64) + (n_levels // 2 if signed else 0)
    offsets = np.arange(n * t)[:, None] * n_levels
    counts = np.bincount((flat + offsets).ravel(), minlength=n * t * n_levels)
    return counts.reshape(n, t, n_levels)


def _compare_runs(exact, other, wanted, precision, result, required):
    same = int((exact.predictions == other.predictions).sum())
    n = len(exact.predictions)
    different = total = 0
    for wish in wanted:
        a, b = exact.levels(wish.partition(":")[2]), other.levels(wish.partition(":")[2])
        different += int((a != b).sum())
        total += int((a != 0).sum())
    share = different / max(total, 1)
    result.measures[f"{precision}_predictions_equal"] = same
    result.measures[f"{precision}_spikes_different"] = share
    result.note((same == n) if required else None, f"{precision}: {same} of {n} predictions equal float64's")
    result.note((share <= SPIKE_TOLERANCE) if required else None,
                f"{precision}: {share_percent(share, 3)} of the spikes differ"
                + (f" (at most {100 * SPIKE_TOLERANCE:.1f} %)" if required else ""))
