"""Tables and plots of the ablations, from examples/results/*.csv: no training, no PyTorch.

    python examples/ablation_report.py

Writes examples/results/README.md and the pictures in it, of the budget that most runs had. A finding counts
as reproduced where the difference of two means exceeds two standard errors of it,
sqrt(s1^2 / n1 + s2^2 / n2), if a paper claims it; else it is said which is larger.
"""

import argparse
import csv
import sys
from collections import Counter
from dataclasses import dataclass
from math import atan2, cos, log2, sin, sqrt
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from ablation import (CELLS, LAYER, N_MEMBRANES, NEURONS, RESULTS, SPLITS, Budget, Cell, read,
                      read_membranes)
from eventsim.statistics.membranes import rectified
from eventsim.storage import writing

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
OURS = ("larger", "smaller", "as good as equal")  # of what only we compare


@dataclass(frozen=True)
class Found:
    """Mean, standard deviation (n - 1) and number of the runs of a cell."""

    mean: float
    deviation: float
    n: int

    @classmethod
    def of(cls, values):
        """Of a list of numbers; deviation nan of fewer than two."""
        deviation = float(np.std(values, ddof=1)) if len(values) > 1 else np.nan
        return cls(float(np.mean(values)), deviation, len(values))

    def percent(self):
        """As accuracy."""
        return f"{100 * self.mean:.2f} ± {100 * self.deviation:.2f}"


def verdict(better, worse, words=CLAIMED):
    """(one of `words`; difference with its standard error, in percent)."""
    difference = better.mean - worse.mean
    error = sqrt(better.deviation**2 / better.n + worse.deviation**2 / worse.n)
    separated = abs(difference) > STANDARD_ERRORS * error
    word = words[2] if not separated else words[0] if difference > 0 else words[1]
    return word, f"{100 * difference:+.2f} ± {100 * error:.2f}"


def by_chance(n):
    """Probability that two cells of n runs each are told apart although their runs are drawn alike, from one
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

    def found(self, cell, name="accuracy"):
        """Found of a number of a cell."""
        return Found.of([getattr(run, name) for run in self.cells[cell]])

    def has(self, *cells):
        """Whether all these cells have runs."""
        return all(cell in self.cells for cell in cells)

    def bit_use(self, cell):
        """Mean share of the events in which each bit is set."""
        return np.mean([run.bit_use for run in self.cells[cell]], axis=0)

    def minutes(self, cells):
        """Training of these cells, all seeds."""
        return sum(run.seconds for cell in dict.fromkeys(cells) for run in self.cells.get(cell, ())) / 60


def markdown(head, rows):
    """A table."""
    return "\n".join(["| " + " | ".join(head) + " |", "|" + "---|" * len(head),
                      *("| " + " | ".join(map(str, row)) + " |" for row in rows)]) + "\n"


# ---- InfLoR-SNN


def neurons_section(study):
    """Table 1."""
    rows, findings = [], []
    for t in (2, 4, 6, 8):
        cells = {neuron: Cell(neuron, t) for neuron in NEURONS}
        for neuron, cell in cells.items():
            if study.has(cell):
                c10, c100 = TABLE_1[neuron, t]
                rows.append((neuron, t, f"{c10:.2f} ({c100:.2f})", study.found(cell).percent(),
                             *_cost(study, cell)))
        if study.has(*cells.values()):
            for better, worse in (("SRIF", "hard IF"), ("SRIF", "hard LIF"), ("hard LIF", "hard IF")):
                word, text = verdict(study.found(cells[better]), study.found(cells[worse]))
                theirs = TABLE_1[better, t][0] - TABLE_1[worse, t][0]
                findings.append((f"{better} above {worse}", t, f"{theirs:+.2f}", text, word))
    for neuron in NEURONS:
        for before, after in ((2, 4), (4, 8)):
            cells = Cell(neuron, after), Cell(neuron, before)
            if study.has(*cells):
                word, text = verdict(*map(study.found, cells))
                theirs = TABLE_1[neuron, after][0] - TABLE_1[neuron, before][0]
                findings.append((f"{neuron}: {after} steps above {before}", after, f"{theirs:+.2f}", text, word))
    return ("## Neurons and steps (InfLoR-SNN, Table 1)\n\n"
            "Without MPR. The paper: ResNet20, 400 epochs, CIFAR-10 (CIFAR-100 in brackets).\n\n"
            + markdown(("neuron", "T", "paper, %", "here, %", *COST), rows)
            + "\n![Accuracy by steps](neurons.png)\n\n"
            + markdown(("finding", "T", "paper, points", "here, points", "result"), findings))


COST = ("spikes", "synops", "additions", "seeds", "minutes")


def _cost(study, cell):
    """The columns COST of a cell."""
    counts = (f"{study.found(cell, name).mean / 1e3:,.0f} k" for name in COST[:3])
    return *counts, len(study.cells[cell]), f"{study.minutes([cell]):.1f}"


def mpr_section(study):
    """Tables 2 and 3, Figures 3 to 5."""
    text = "## MPR (InfLoR-SNN, Tables 2 and 3, Figures 3 to 5)\n\n"
    cells = [Cell("SRIF", 4), Cell("SRIF+MPR", 4)]
    if not study.has(*cells):
        return text
    rows = [(cell.neuron, f"{TABLE_2[cell.neuron][0]:.2f} ({TABLE_2[cell.neuron][1]:.2f})",
             study.found(cell).percent(), *_cost(study, cell)) for cell in cells]
    word, difference = verdict(study.found(cells[1]), study.found(cells[0]))
    before, after = (study.found(cells[1], name) for name in ("error", "rectified_error"))
    return (text + "T = 4.\n\n"
            + markdown(("neuron", "paper, %", "here, %", *COST), rows)
            + "\nMPR raises the accuracy: paper +0.48 points (ResNet19 +0.83; on CIFAR-100 +2.73 and +0.57), "
            f"here {difference}: **{word}**.\n\nMean quantisation error (eq. 8) of the first layer of the second "
            f"block, `{LAYER}`, before and after MPR, by eventsim on the exported nets and {N_MEMBRANES} "
            "held-out images:\n\n"
            + markdown(("", "paper", "here"), [
                ("before", f"{TABLE_3[0]:.2f}", f"{before.mean:.3f} ± {before.deviation:.3f}"),
                ("after", f"{TABLE_3[1]:.2f}", f"{after.mean:.3f} ± {after.deviation:.3f}"),
                ("before / after", f"{TABLE_3[0] / TABLE_3[1]:.1f}", f"{before.mean / after.mean:.1f}")])
            + "\n(The paper's ResNet19: 0.20 and 0.03; on CIFAR-100 0.38 and 0.05, 0.32 and 0.04.) That the error "
            "falls is so by construction, since phi moves every membrane towards a spike's value; by how much is "
            "what can be compared.\n\n"
            "![phi and what it does to a normal distribution](figures_3_4.png)\n\n"
            "Figures 3 and 4 with eventsim's phi (eq. 9): 100,000 numbers from N(1/2, 1), before and after.\n\n"
            f"![Membranes before and after MPR](figure_5.png)\n\nFigure 5: the membranes of `{LAYER}`, one of the "
            f"nets above, {N_MEMBRANES} held-out images, all steps (`membranes.csv`).\n")


# ---- Multi-Bit Mechanism


def bits_section(study):
    """Accuracy and cost by bits, splits and re-stimulation."""
    rows = []
    for restimulation in (False, True):
        for m, n in SPLITS:
            cell = Cell(m=m, n=n, restimulation=restimulation)
            if study.has(cell):
                rows.append((m + n, f"{m} + {n}", "yes" if restimulation else "no", study.found(cell).percent(),
                             _use(study.bit_use(cell)), f"{_evenness(study, cell):.2f}", *_cost(study, cell)))
    findings, ours = [], []
    for n in (1, 2, 3):
        _compare(study, findings, Cell(n=n), Cell(), f"{n + 1} bits (1 + {n}) above 1")
    for n in (2, 3):
        _compare(study, ours, Cell(n=n), Cell(n=n - 1), f"{n + 1} bits (1 + {n}) and {n}", OURS)
    for t in (4, 8):
        _compare(study, ours, Cell(n=3), Cell(timesteps=t), f"4 bits (1 + 3) in 2 steps and 1 bit in {t}", OURS)
    for n in (1, 2, 3):
        _compare(study, ours, Cell(n=n), Cell(m=n + 1), f"1 + {n} and {n + 1} + 0", OURS)
    for n in range(4):
        _compare(study, findings, Cell(n=n, restimulation=True), Cell(n=n),
                 f"re-stimulation, 1 + {n}: accuracy")
    for n in range(1, 4):
        cells = Cell(n=n, restimulation=True), Cell(n=n)
        if study.has(*cells):
            values = [Found.of([_spread(run.bit_use) for run in study.cells[cell]]) for cell in cells]
            word, text = verdict(*values)
            findings.append((f"re-stimulation, 1 + {n}: bits used more evenly (100 x evenness)", text, word))
    return ("## Bits, their split, re-stimulation (Multi-Bit Mechanism)\n\n"
            "T = 2, SRIF neurons without MPR, m integer and n fractional bits. Only the paper's abstract could "
            "be had. It says that multi-bit spikes express more than single bits, that re-stimulation encourages "
            "\"full spikes emission across various bit levels\", and that experiments \"with our proposed "
            "method\" show \"consistent performance improvements\"; it gives no numbers to stand beside these. "
            "How neurons are re-stimulated is our reading (`trainer/neurons.py`). tdBN's scale is that of the "
            "1-bit neuron in all cells, so fractional bits refine the range of one integer bit, and the values that "
            "further integer bits stand for are seldom reached: 2 + 0, 3 + 0 and 4 + 0 differ little from 1 + 0 "
            "for that reason.\n\nBit 0 is worth 2^-n. Evenness: entropy of which bit a set bit is, 1 where all "
            "bits are set equally often.\n\n"
            + markdown(("bits", "m + n", "re-stimulated", "accuracy, %", "events with bit 0, 1, ... set, %",
                        "evenness", *COST), rows)
            + "\n![Accuracy and use of the bits](bits.png)\n\n"
            + markdown(("finding", "here, points", "result"), findings)
            + "\nNot in the paper, as far as the abstract says:\n\n"
            + markdown(("of these two, the first is", "here, points", "result"), ours))


def _compare(study, findings, better, worse, text, words=CLAIMED):
    if study.has(better, worse):
        word, difference = verdict(study.found(better), study.found(worse), words)
        findings.append((text, difference, word))


def _use(shares):
    return " ".join(f"{100 * share:.0f}" for share in shares)


def _evenness(study, cell):
    return float(np.mean([_spread(run.bit_use) for run in study.cells[cell]]))


def _spread(bit_use):
    """Entropy of which bit a set bit is, over that of equal use; 1 for a single bit."""
    shares = np.array(bit_use) / sum(bit_use)
    entropy = -sum(share * log2(share) for share in shares if share > 0)
    return entropy / log2(len(shares)) if len(shares) > 1 else 1.0


# ---- conversion


def read_conversion(path=RESULTS / "conversion.csv", epochs=None):
    """Conversion of the rows with so many epochs, by default with as many as most have."""
    rows = []
    if path.exists():
        with open(path, newline="") as file:
            rows = list(csv.DictReader(file))
    if rows and epochs is None:
        epochs = int(Counter(row["epochs"] for row in rows).most_common(1)[0][0])
    accuracies = {}
    for row in rows:
        if int(row["epochs"]) == epochs:
            accuracies.setdefault((int(row["timesteps"]), int(row["bits"])), []).append(float(row["accuracy"]))
    return Conversion(accuracies, epochs)


@dataclass(frozen=True)
class Conversion:
    """accuracies: (T, bits) -> of each seed; T = bits = 0 for the ANN. epochs: of its training."""

    accuracies: dict
    epochs: int

    @property
    def ann(self):
        """Found of the network that is converted."""
        return Found.of(self.accuracies[0, 0])

    @property
    def steps(self):
        """All T."""
        return sorted({t for t, _ in self.accuracies} - {0})

    @property
    def bits(self):
        """All B."""
        return sorted({b for _, b in self.accuracies} - {0})

    def found(self, t, b):
        """Found of a conversion, or None."""
        return Found.of(self.accuracies[t, b]) if (t, b) in self.accuracies else None


def conversion_section(conversion):
    """Accuracy of converted networks by (T, B)."""
    text = "## ANN to SNN (`examples/conversion_sweep.py`)\n\n"
    if not conversion.accuracies:
        return text
    found = {(t, b): conversion.found(t, b) for t in conversion.steps for b in conversion.bits}
    rows = [(t, *("-" if found[t, b] is None else found[t, b].percent() for b in conversion.bits))
            for t in conversion.steps]
    return (text + "A VGG of ReLU with average pools (widths 16, 32, 64; two convolutions of each), trained on "
            f"45,000 images for {conversion.epochs} epochs (batches of 64, learning rate 0.1 falling to 0, crop "
            "and flip), then converted without training to IF neurons of B bits and T steps; held-out accuracy, %, "
            f"{conversion.ann.n} seeds. **The ANN: {conversion.ann.percent()}.**\n\n"
            + markdown(("T", *(f"B = {b}" for b in conversion.bits)), rows)
            + "\n![Accuracy by T and B](conversion.png)\n")


# ---- pictures


def figures_3_4():
    """phi, and 100,000 numbers from N(1/2, 1) before and after."""
    figure = Figure((10, 3), layout="constrained")
    left, *others = figure.subplots(1, 3)
    u = np.linspace(-2, 3, 501)
    left.plot(u, rectified(u), color="C0")
    left.plot(u, u, color="grey", linestyle=":")
    left.set(title="Figure 3: phi(u)", xlabel="u, quanta", ylabel="phi(u)")
    sample = np.random.default_rng(0).normal(0.5, 1, 100_000)
    for axes, values, title in zip(others, (sample, rectified(sample)), ("before", "after")):
        axes.hist(values, np.linspace(-3, 4, 141), color="C0")
        axes.set(title=f"Figure 4: N(1/2, 1) {title} MPR", xlabel="u, quanta")
    return figure


def figure_5(membranes):
    """Histograms of a layer's membranes before and after MPR. membranes: see `ablation.read_membranes`."""
    low, high, *counts = np.array(membranes).T
    inside = np.isfinite(low) & np.isfinite(high)
    figure = Figure((8, 3), layout="constrained")
    for axes, values, title in zip(figure.subplots(1, 2), counts, ("before", "after")):
        axes.bar(low[inside], values[inside] / values.sum(), (high - low)[inside], align="edge", color="C0")
        axes.axvline(0.5, color="grey", linestyle=":")
        beyond = 100 * values[0] / values.sum()
        axes.annotate(f"{beyond:.1f} % further left", (0.03, 0.9), xycoords="axes fraction")
        axes.set(title=f"{LAYER}, {title} MPR", xlabel="membrane, quanta", ylabel="share")
    return figure


def neurons_figure(study):
    """Accuracy by steps, the paper's beside ours."""
    figure = Figure((8, 3), layout="constrained")
    theirs, ours = figure.subplots(1, 2)
    for i, neuron in enumerate(NEURONS):
        steps = [t for t in (2, 4, 6, 8) if study.has(Cell(neuron, t))]
        found = [study.found(Cell(neuron, t)) for t in steps]
        theirs.plot((2, 4, 6, 8), [TABLE_1[neuron, t][0] for t in (2, 4, 6, 8)], "os^"[i] + "-", label=neuron)
        ours.errorbar(np.array(steps) + 0.08 * (i - 1), [100 * f.mean for f in found],
                      [100 * f.deviation for f in found], fmt="os^"[i] + "-", capsize=3, label=neuron)
    theirs.set(title="paper: ResNet20, 400 epochs", xlabel="steps", ylabel="CIFAR-10 test accuracy, %")
    ours.set(title="here", xlabel="steps", ylabel="held-out accuracy, %")
    theirs.legend()
    return figure


def bits_figure(study):
    """Accuracy by bits with n = bits - 1, with and without re-stimulation; use of the bits."""
    figure = Figure((9, 3), layout="constrained")
    left, right = figure.subplots(1, 2)
    for i, restimulation in enumerate((False, True)):
        cells = [cell for cell in (Cell(n=n, restimulation=restimulation) for n in range(4)) if study.has(cell)]
        found = [study.found(cell) for cell in cells]
        label = "re-stimulated" if restimulation else "plain"
        left.errorbar([1 + cell.n + 0.03 * i for cell in cells], [100 * f.mean for f in found],
                      [100 * f.deviation for f in found], fmt="os"[i] + "-", capsize=3, label=label)
    cells = [Cell(n=n, restimulation=r) for n in range(4) for r in (False, True)]
    for x, cell in enumerate(cells):
        if study.has(cell):
            for bit, share in enumerate(study.bit_use(cell)):
                right.bar(x + (bit - cell.n / 2) * 0.2, 100 * share, 0.2, color=f"C{bit}",
                          hatch="//" if cell.restimulation else None, edgecolor="white",
                          label=f"bit {bit}" if cell == Cell(n=3) else None)
    left.set(title="1 integer bit, the others fractional", xlabel="bits", ylabel="held-out accuracy, %",
             xticks=range(1, 5))
    left.legend()
    right.set(title="use of each bit (hatched: re-stimulated)", ylabel="events with it set, %", ylim=(0, 120),
              xticks=np.arange(4) * 2 + 0.5, xticklabels=[f"1 + {n}" for n in range(4)])
    right.legend(ncols=4, fontsize="small")
    return figure


def conversion_figure(conversion):
    """Accuracy by steps, a line for each number of bits."""
    figure = Figure((5, 3), layout="constrained")
    axes = figure.subplots()
    for b in conversion.bits:
        steps = [t for t in conversion.steps if (t, b) in conversion.accuracies]
        values = [conversion.found(t, b) for t in steps]
        axes.errorbar(steps, [100 * v.mean for v in values], [100 * v.deviation for v in values], fmt="o-",
                      capsize=3, label=f"{b} bit{'s' * (b > 1)}")
    axes.axhline(100 * conversion.ann.mean, color="grey", linestyle=":", label="ANN")
    axes.set(xscale="log", xticks=conversion.steps, xticklabels=conversion.steps, xlabel="steps",
             ylabel="held-out accuracy, %")
    axes.minorticks_off()
    axes.legend()
    return figure


# ---- all


def text(study, conversion):
    """The page: results/README.md."""
    b = study.budget
    hours = study.minutes([cell for part in CELLS.values() for cell in part]) / 60
    widths = ", ".join(map(str, b.widths))
    head = f"""# Results of the ablations

Written by `python examples/ablation_report.py` from `runs.csv`, `membranes.csv` and `conversion.csv`; these
by `python examples/ablation.py FOLDER` (more seeds of some cells by `--only mpr restimulation --seeds N`) and
`python examples/conversion_sweep.py FOLDER` (CIFAR-10, binary version). Our numbers come from there,
InfLoR-SNN's from its tables.

**The budget is small, and so are the nets.** InfLoR-SNN trains a ResNet20 for 400 epochs; Diet-SNN's, which it
cites for it, has 11 M weights (`resnet20_wide` of the trainer). All runs here but those of the last section are
of a ResNet8 with 78 thousand (widths {widths}; stride {b.stride} in the stem, so maps of 16 x 16 and less), on
{b.samples:,} images for {b.epochs} epochs; {hours:.1f} hours of training in all. Accuracies are therefore far
below the paper's; what can be compared is the order of the cells and the size of the differences.

Batches of {b.batch_size}, learning rate {b.lr} falling to 0 along a cosine (the paper: 128 and 0.01), SGD with
momentum 0.9, weight decay 0.0005, no augmentation, mixed precision (bfloat16), one thread. LIF neurons keep 0.5 of
their membrane per step (the paper does not say how much). The surrogate is a rectangle of width 2.

Accuracy is that of the exported file as eventsim runs it (float32) on the 5,000 training images that are
held out, mean ± standard deviation over the seeds. Spikes, synaptic operations (`synops`) and additions are
per image, over all steps, as eventsim counts them. Minutes: training of a cell, all seeds, by the clock of a
machine that other work shared. What a paper claims is **reproduced** where the difference exceeds
{STANDARD_ERRORS} standard errors, **the opposite** where it does so the other way round, else **not separated**.
"""
    sections = "\n".join((neurons_section(study), mpr_section(study), bits_section(study),
                          conversion_section(conversion)))
    results = {word: sections.count(f"| {word} |") + sections.count(f"**{word}**") for word in CLAIMED}
    fewest = min((len(runs) for runs in study.cells.values()), default=1)
    chance = by_chance(fewest)
    summary = ", ".join(f"{n} {word}" for word, n in results.items())
    return f"""{head}
Of the {sum(results.values())} claims below: {summary}. With {fewest} seeds, the fewest of a
cell, the bar is low: two cells that do not differ pass it, one way or the other, with a probability of
{100 * chance:.0f} % (Student's t), so some {chance * sum(results.values()):.0f} of these would by chance.

{sections}"""


def write(study, conversion, membranes, folder=RESULTS):
    """Write the page and its pictures. membranes: see `ablation.read_membranes`."""
    writing.write_file(folder / "README.md", text(study, conversion).encode())
    pictures = {"neurons": neurons_figure(study), "bits": bits_figure(study), "figures_3_4": figures_3_4()}
    if membranes:
        pictures["figure_5"] = figure_5(membranes)
    if conversion.accuracies:
        pictures["conversion"] = conversion_figure(conversion)
    for name, figure in pictures.items():
        figure.savefig(folder / f"{name}.png", dpi=110, metadata={"Software": None})


def main(argv=None):
    """Write the page and its pictures of the budget that most runs had."""
    p = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    p.add_argument("--output", type=Path, default=RESULTS, help="folder to write to")
    args = p.parse_args(argv)
    study = Study(read())
    write(study, read_conversion(), read_membranes(study.budget), args.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
