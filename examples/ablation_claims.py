"""What the papers claim, and whether runs bear it out: a difference counts beyond two standard errors.

    python examples/ablation_claims.py                    of results/runs.csv
    python examples/ablation_claims.py mine.csv           of the file of `ablation.py --runs mine.csv`

Prints each claim at each budget: the paper's difference, that of our means with its standard error,
sqrt(s1^2 / n1 + s2^2 / n2), the runs of both cells, the verdict, and how many runs of each cell it would take for
a difference as large as the paper's to exceed two standard errors.
"""

import argparse
from collections import Counter
from dataclasses import dataclass
from math import atan2, ceil, cos, isfinite, log2, sin, sqrt
from pathlib import Path

import numpy as np

import commands
from ablation import NEURONS, RUNS, Budget, Cell, read

# InfLoR-SNN, Tables 1 and 2 (CIFAR-10, ResNet20; CIFAR-100 in brackets) and Table 3 (CIFAR-10, ResNet20)
TABLE_1 = {
    ("hard LIF", 2): (90.36, 62.67), ("hard IF", 2): (90.07, 63.43), ("SRIF", 2): (90.38, 63.85),
    ("hard LIF", 4): (92.22, 66.00), ("hard IF", 4): (92.04, 66.95), ("SRIF", 4): (92.46, 67.90),
    ("hard LIF", 6): (92.66, 67.44), ("hard IF", 6): (92.26, 68.31), ("SRIF", 6): (93.40, 69.59),
    ("hard LIF", 8): (92.90, 67.85), ("hard IF", 8): (92.86, 69.14), ("SRIF", 8): (94.09, 69.90),
}
TABLE_2 = {"SRIF": (92.46, 67.90), "SRIF+MPR": (92.94, 70.63)}
TABLE_3 = (0.28, 0.04)
STANDARD_ERRORS = 2
CLAIMED = ("reproduced", "the opposite", "not separated")  # of what a paper says
NOT_JUDGED = "not judged"  # where runs did not learn
NEAR_CHANCE = 0.15  # accuracy of a run that did not learn ten classes
OURS = ("larger", "smaller", "as good as equal")  # of what only we compare


@dataclass(frozen=True)
class Summary:
    """Mean, standard deviation (n - 1) and number of the runs of a cell."""

    mean: float
    deviation: float
    n: int

    @classmethod
    def of(cls, values):
        """Return the Summary of a list of numbers; the deviation of fewer than two is nan."""
        deviation = float(np.std(values, ddof=1)) if len(values) > 1 else np.nan
        return cls(float(np.mean(values)), deviation, len(values))

    def percent(self):
        """Return it as an accuracy in percent; that of one run has no deviation."""
        return _with_error(f"{100 * self.mean:.2f}", self.deviation)


def _with_error(number, error):
    return f"{number} ± {100 * error:.2f}" if isfinite(error) else number


def verdict(better, worse, words=CLAIMED):
    """Return (one of `words`, the difference with its standard error, in percent)."""
    difference = better.mean - worse.mean
    error = sqrt(better.deviation**2 / better.n + worse.deviation**2 / worse.n)
    separated = abs(difference) > STANDARD_ERRORS * error
    word = words[2] if not separated else words[0] if difference > 0 else words[1]
    return word, _with_error(f"{100 * difference:+.2f}", error)


def by_chance(n):
    """Return the probability that two cells of n runs each are told apart although all runs are drawn from one
    normal distribution: Student's t, 2 n - 2 degrees of freedom (Abramowitz and Stegun, 26.7.4)."""
    angle = atan2(STANDARD_ERRORS, sqrt(2 * n - 2))
    term = total = 1.0
    for k in range(1, n - 1):
        term *= (2 * k - 1) / (2 * k) * cos(angle) ** 2
        total += term
    return 1 - sin(angle) * total


class Study:
    """The runs of one budget, by cell."""

    def __init__(self, runs, budget=None):
        if budget is None:
            budget = Counter(run.budget for run in runs).most_common(1)[0][0] if runs else Budget()
        self.budget, self.cells = budget, {}
        for run in runs:
            if run.budget == budget:
                self.cells.setdefault(run.cell, []).append(run)

    def summary(self, cell, name="accuracy"):
        """Return the Summary of a number of a cell; "evenness": of the use of its bits."""
        if name == "evenness":
            return Summary.of([evenness(run.bit_use) for run in self.cells[cell]])
        return Summary.of([getattr(run, name) for run in self.cells[cell]])

    def has(self, *cells):
        """Return whether all these cells have runs."""
        return all(cell in self.cells for cell in cells)

    def unlearnt(self, cell):
        """Return how many runs of a cell stayed near chance."""
        return sum(run.accuracy < NEAR_CHANCE for run in self.cells[cell])

    def bit_use(self, cell):
        """Return the mean share of the events in which each bit is set."""
        return np.mean([run.bit_use for run in self.cells[cell]], axis=0)

    def minutes(self, cells):
        """Return the minutes that the training of these cells took, all seeds."""
        return sum(run.seconds for cell in dict.fromkeys(cells) for run in self.cells.get(cell, ())) / 60


def evenness(bit_use):
    """Return the entropy of which bit a set bit is, over that of equal use; 1 for a single bit."""
    shares = np.array(bit_use) / sum(bit_use)
    entropy = -sum(share * log2(share) for share in shares if share > 0)
    return entropy / log2(len(shares)) if len(shares) > 1 else 1.0


# ---- claims


@dataclass(frozen=True)
class Claim:
    """That a number of one cell is larger than that of another. points: by how much in the paper, or None."""

    text: str
    better: Cell
    worse: Cell
    points: float = None
    number: str = "accuracy"

    def judged(self, study, words=CLAIMED):
        """Return (one of `words`, the difference with its standard error); `NOT_JUDGED` where a run of the two
        cells did not learn, which a paper's networks do; None where the study lacks a cell."""
        cells = self.better, self.worse
        if not study.has(*cells):
            return None
        word, difference = verdict(*(study.summary(cell, self.number) for cell in cells), words)
        return NOT_JUDGED if any(map(study.unlearnt, cells)) else word, difference

    def paper(self):
        """Return the paper's difference as text."""
        return "-" if self.points is None else f"{self.points:+.2f}"

    def runs_needed(self, study):
        """Return how many runs of each cell it takes for the paper's difference to exceed two standard errors, or
        None."""
        spread = sum(study.summary(cell, self.number).deviation ** 2 for cell in (self.better, self.worse))
        if not self.points or not isfinite(spread):
            return None
        return max(2, ceil(spread * (STANDARD_ERRORS * 100 / self.points) ** 2))


def _table_1():
    for t in (2, 4, 6, 8):
        for better, worse in (("SRIF", "hard IF"), ("SRIF", "hard LIF"), ("hard LIF", "hard IF")):
            yield Claim(f"{better} above {worse}", Cell(better, t), Cell(worse, t),
                        TABLE_1[better, t][0] - TABLE_1[worse, t][0])
    for neuron in NEURONS:
        for before, after in ((2, 4), (4, 8)):
            yield Claim(f"{neuron}: {after} steps above {before}", Cell(neuron, after), Cell(neuron, before),
                        TABLE_1[neuron, after][0] - TABLE_1[neuron, before][0])


def _multi_bit():
    for n in (1, 2, 3):
        yield Claim(f"{n + 1} bits (1 + {n}) above 1", Cell(n=n), Cell())
    for n in range(4):
        yield Claim(f"re-stimulation, 1 + {n}: accuracy", Cell(n=n, restimulation=True), Cell(n=n))
    for n in (1, 2, 3):
        yield Claim(f"re-stimulation, 1 + {n}: bits used more evenly (100 x evenness)",
                    Cell(n=n, restimulation=True), Cell(n=n), number="evenness")


NEURON_CLAIMS = tuple(_table_1())
MPR_CLAIM = Claim("MPR raises the accuracy", Cell("SRIF+MPR", 4), Cell("SRIF", 4),
                  TABLE_2["SRIF+MPR"][0] - TABLE_2["SRIF"][0])
MULTI_BIT_CLAIMS = tuple(_multi_bit())
CLAIMS = (*NEURON_CLAIMS, MPR_CLAIM, *MULTI_BIT_CLAIMS)


# ---- every budget


def studies(runs):
    """Return the Study of each budget that can judge a claim, the one with most runs first."""
    all_studies = [Study(runs, budget) for budget, _ in Counter(run.budget for run in runs).most_common()]
    return [study for study in all_studies if any(claim.judged(study) for claim in CLAIMS)]


def described(budget):
    """Return a budget in words."""
    widths = ", ".join(map(str, budget.widths))
    size = "" if budget.stride == 1 else ", maps halved"
    seen = "" if budget.augmentation == "none" else ", crop and flip"
    precision = "" if budget.half else ", float32"
    optimizer = "" if budget.optimizer == "sgd" else ", Adam"
    return (f"{budget.network} ({widths}{size}), {budget.samples:,} images{seen}, {budget.epochs} epochs, batches "
            f"of {budget.batch_size}, learning rate {budget.lr:g}{optimizer}{precision}")


def rows(study):
    """Return (claim, T, paper, here, runs, verdict, runs that the paper's difference needs) of each claim
    judged."""
    table = []
    for claim in CLAIMS:
        judged = claim.judged(study)
        if judged:
            word, difference = judged
            runs = " and ".join(str(len(study.cells[cell])) for cell in (claim.better, claim.worse))
            table.append((claim.text, claim.better.timesteps, claim.paper(), difference, runs, word,
                          claim.runs_needed(study) or "-"))
    return table


def counted(table):
    """Return in words how many claims of a table came out how."""
    counts = Counter(row[5] for row in table)
    return ", ".join(f"{counts[word]} {word}" for word in (*CLAIMED, NOT_JUDGED) if word in (*CLAIMED, *counts))


HEAD = ("claim", "T", "paper, points", "here, points", "runs", "result", "runs needed")


def markdown(head, rows):
    """Return a table in Markdown."""
    return "\n".join(["| " + " | ".join(head) + " |", "|" + "---|" * len(head),
                      *("| " + " | ".join(map(str, row)) + " |" for row in rows)]) + "\n"


def text(runs):
    """Return a table of the claims at each budget."""
    parts = []
    for study in studies(runs):
        table = rows(study)
        parts.append(f"{described(study.budget)}: of {len(table)} claims {counted(table)}.\n\n"
                     f"{markdown(HEAD, table)}")
    return "\n".join(parts)


def main(argv=None):
    """Print the claims at each budget of a file of runs."""
    p = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    p.add_argument("runs", nargs="?", type=Path, default=RUNS, help="default results/runs.csv")
    args = p.parse_args(argv)
    if not args.runs.exists():
        p.error(f"no file {args.runs}: ablation.py writes one")
    tables = text(read(args.runs))
    print(tables or f"{args.runs}: no claim has runs of both its cells", end="" if tables else "\n")
    return 0


if __name__ == "__main__":
    commands.run("ablation_claims", main)
