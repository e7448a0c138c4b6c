"""Many cases, counted by bucket; where it stands is a JSON file, from which it goes on."""

import json
import os
import resource
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Dict, List, Optional, Tuple

from fuzz import cases
from fuzz.minimise import fewest_changes
from fuzz.server import Server
from fuzz.trials import Outcome

EXAMPLES = 5  # numbers of cases that are kept of each finding
SAVED_EVERY = 10.0  # seconds


@dataclass
class Finding:
    """One kind of thing that went wrong. count: how often. numbers: of some cases. text: of the first."""

    bucket: str
    where: str
    text: str
    count: int = 0
    numbers: List[int] = field(default_factory=list)


@dataclass
class Standing:
    """Where a campaign stands.

    first: number of its first case. done: cases. seconds, processor: that they took, on the clock and of the
    processor. families: these only, or None. stages: family -> stage -> cases that came so far. findings: by
    bucket and place.
    """

    first: int = 0
    done: int = 0
    seconds: float = 0.0
    processor: float = 0.0
    families: Optional[Tuple[str, ...]] = None
    stages: Dict[str, Dict[str, int]] = field(default_factory=dict)
    findings: Dict[str, Finding] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        """Cases a second of the processor."""
        return self.done / self.processor if self.processor else 0.0

    def add(self, case, outcome) -> bool:
        """Count a case; whether it shows something new."""
        stages = self.stages.setdefault(case.family, {})
        stages[outcome.stage] = stages.get(outcome.stage, 0) + 1
        self.done += 1
        if not outcome.bucket:
            return False
        key = f"{outcome.bucket}: {outcome.where}"
        found = self.findings.setdefault(key, Finding(outcome.bucket, outcome.where, outcome.text))
        found.count += 1
        if len(found.numbers) < EXAMPLES:
            found.numbers.append(case.number)
        return found.count == 1

    def as_json(self) -> dict:
        """For people's programs, and `of_json`."""
        return {**asdict(self), "rate": self.rate}

    @classmethod
    def of_json(cls, found):
        """What `as_json` gave."""
        found = {key: value for key, value in found.items() if key != "rate"}
        found["findings"] = {key: Finding(**value) for key, value in found["findings"].items()}
        return cls(**found)

    def as_text(self) -> str:
        """Lines for people."""
        lines = [f"{self.done:,} cases in {self.seconds:.0f} s, {self.rate:.0f} a second of the processor, "
                 f"{len(self.findings)} findings"]
        for family, stages in sorted(self.stages.items()):
            lines.append(f"  {family:9}" + "  ".join(f"{stage} {n:,}" for stage, n in sorted(stages.items())))
        for key, found in sorted(self.findings.items()):
            lines.append(f"  {found.count:,} x {key}  (cases {', '.join(map(str, found.numbers))})")
            lines.append(f"      {' '.join(found.text.split())[:200]!a}")
        return "\n".join(lines)


class Campaign:
    """Cases from `standing` on. path: where the standing is kept, or None. kept: folder for files that show
    something new, with as few changes as do, or None."""

    def __init__(self, standing: Standing, path=None, kept=None, server=None):
        self.standing, self.path, self.kept = standing, path, kept
        self._server = server or Server()

    def run(self, n, tell=lambda standing: None) -> Standing:
        """Do cases until there are n in all. tell: is called now and then."""
        standing = self.standing
        before, began = (standing.seconds, standing.processor), (time.monotonic(), _processor_seconds())
        told = began[0]
        numbers = range(standing.first + standing.done, standing.first + n)
        for case, outcome in self._server.outcomes(cases.case(i, standing.families) for i in numbers):
            if standing.add(case, outcome) and self.kept is not None:
                self._keep(case, outcome)
            now = time.monotonic()
            standing.seconds = before[0] + now - began[0]
            standing.processor = before[1] + _processor_seconds() - began[1]
            if now - told > SAVED_EVERY:
                self._save()
                tell(standing)
                told = now
        self._save()
        return standing

    def _save(self):
        if self.path is None:
            return
        path = Path(self.path)
        beside = path.with_name(path.name + ".new")
        beside.write_text(json.dumps(self.standing.as_json(), indent=1))
        os.replace(beside, path)

    def _keep(self, case, outcome):
        """The file of a case; of a network, its number says all."""
        if case.family == cases.NETWORKS:
            return
        fewest = fewest_changes(case, outcome, self._server)
        folder = Path(self.kept) / case.family
        folder.mkdir(parents=True, exist_ok=True)
        Server(trial=lambda one, _: _write(one, folder)).one(fewest)


def _processor_seconds():
    """Of this process and the children that have ended."""
    return sum(used.ru_utime + used.ru_stime for used in map(resource.getrusage, (
        resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)))


def _write(case, folder):
    seed = cases.file_of(case)
    (folder / f"{case.number}_{Path(seed.name).name}").write_bytes(seed.content)
    return Outcome("read")
