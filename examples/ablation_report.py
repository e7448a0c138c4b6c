"""Tables and plots of the ablations, from examples/results/*.csv: no training, no PyTorch.

    python examples/ablation_report.py

Writes examples/results/README.md and the pictures in it, of the budget that most runs had. A finding counts
as reproduced where the difference of two means exceeds two standard errors of it,
sqrt(s1^2 / n1 + s2^2 / n2), if a paper claims it; else it is said which is larger.
"""

import argparse
import csv
import io
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import commands
import shipped
from ablation import CELLS, LAYER, N_MEMBRANES, NEURONS, RESULTS, SPLITS, Cell, read, read_membranes
from ablation_claims import (CLAIMED, HEAD, MPR_CLAIM, MULTI_BIT_CLAIMS, NEAR_CHANCE, NEURON_CLAIMS, OURS,
                             STANDARD_ERRORS, TABLE_1, TABLE_2, TABLE_3, Claim, Summary, Study, by_chance, counted,
                             described, markdown, rows, studies)
from eventsim.model.rectifier import rectified
from eventsim.storage import writing


# ---- InfLoR-SNN


def neurons_section(study):
    """Return the section on Table 1."""
    cells = []
    for t in (2, 4, 6, 8):
        for neuron in NEURONS:
            cell, (c10, c100) = Cell(neuron, t), TABLE_1[neuron, t]
            if study.has(cell):
                cells.append((neuron, t, f"{c10:.2f} ({c100:.2f})", study.summary(cell).percent(),
                              *_cost(study, cell)))
    findings = [(claim.text, claim.better.timesteps, claim.paper(), difference, word)
                for claim in NEURON_CLAIMS for word, difference in _judged(claim, study)]
    return ("## Neurons and steps (InfLoR-SNN, Table 1)\n\n"
            "Without MPR. The paper: ResNet20, 400 epochs, CIFAR-10 (CIFAR-100 in brackets).\n\n"
            + markdown(("neuron", "T", "paper, %", "here, %", *COST), cells)
            + "\n![Accuracy by steps](neurons.png)\n\n"
            + markdown(("finding", "T", "paper, points", "here, points", "result"), findings))


def _judged(claim, study, words=CLAIMED):
    """Return [(word, difference)], or [] where the study lacks a cell."""
    judged = claim.judged(study, words)
    return [] if judged is None else [judged]


COST = ("spikes", "synops", "additions", "seeds", "minutes")


def _cost(study, cell):
    """Return the columns COST of a cell."""
    counts = (f"{study.summary(cell, name).mean / 1e3:,.0f} k" for name in COST[:3])
    return *counts, len(study.cells[cell]), f"{study.minutes([cell]):.1f}"


def mpr_section(study):
    """Return the section on Tables 2 and 3 and Figures 3 to 5."""
    text = "## MPR (InfLoR-SNN, Tables 2 and 3, Figures 3 to 5)\n\n"
    cells = [Cell("SRIF", 4), Cell("SRIF+MPR", 4)]
    if not study.has(*cells):
        return text
    table = [(cell.neuron, f"{TABLE_2[cell.neuron][0]:.2f} ({TABLE_2[cell.neuron][1]:.2f})",
              study.summary(cell).percent(), *_cost(study, cell)) for cell in cells]
    word, difference = MPR_CLAIM.judged(study)
    before, after = (study.summary(cells[1], name) for name in ("error", "rectified_error"))
    return (text + "T = 4.\n\n"
            + markdown(("neuron", "paper, %", "here, %", *COST), table)
            + f"\n{MPR_CLAIM.text}: paper {MPR_CLAIM.paper()} points (ResNet19 +0.83; on CIFAR-100 +2.73 and "
            f"+0.57), here {difference}: **{word}**.\n\nMean quantisation error (eq. 8) of the first layer of the "
            f"second block, `{LAYER}`, before and after MPR, by eventsim on the exported nets and {N_MEMBRANES} "
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


COMPARISONS = (  # that no paper makes
    *(Claim(f"{n + 1} bits (1 + {n}) and {n}", Cell(n=n), Cell(n=n - 1)) for n in (2, 3)),
    *(Claim(f"4 bits (1 + 3) in 2 steps and 1 bit in {t}", Cell(n=3), Cell(timesteps=t)) for t in (4, 8)),
    *(Claim(f"1 + {n} and {n + 1} + 0", Cell(n=n), Cell(m=n + 1)) for n in (1, 2, 3)),
)

def bits_section(study):
    """Return the section on accuracy and cost by bits, splits and re-stimulation."""
    table = []
    for restimulation in (False, True):
        for m, n in SPLITS:
            cell = Cell(m=m, n=n, restimulation=restimulation)
            if study.has(cell):
                table.append((m + n, f"{m} + {n}", "yes" if restimulation else "no", study.summary(cell).percent(),
                              _use(study.bit_use(cell)), f"{study.summary(cell, 'evenness').mean:.2f}",
                              *_cost(study, cell)))
    findings = [(claim.text, difference, word)
                for claim in MULTI_BIT_CLAIMS for word, difference in _judged(claim, study)]
    ours = [(claim.text, difference, word)
            for claim in COMPARISONS for word, difference in _judged(claim, study, OURS)]
    return ("## Bits, their split, re-stimulation (Multi-Bit Mechanism)\n\n"
            "T = 2, SRIF neurons without MPR, m integer and n fractional bits. Only the paper's abstract could "
            "be had. It says that multi-bit spikes express more than single bits, that re-stimulation encourages "
            "\"full spikes emission across various bit levels\", and that experiments \"with our proposed "
            "method\" show \"consistent performance improvements\"; it gives no numbers to stand beside these. "
            "How neurons are re-stimulated is our reading (`trainer/neurons.py`). tdBN's scale is that of the "
            "1-bit neuron in all cells, so fractional bits refine the range of one integer bit, and the values "
            "that further integer bits stand for are seldom reached: 2 + 0, 3 + 0 and 4 + 0 differ little from 1 "
            "+ 0 for that reason.\n\nBit 0 is worth 2^-n. Evenness: entropy of which bit a set bit is, 1 where "
            "all bits are set equally often.\n\n"
            + markdown(("bits", "m + n", "re-stimulated", "accuracy, %", "events with bit 0, 1, ... set, %",
                        "evenness", *COST), table)
            + "\n![Accuracy and use of the bits](bits.png)\n\n"
            + markdown(("finding", "here, points", "result"), findings)
            + "\nNot in the paper, as far as the abstract says:\n\n"
            + markdown(("of these two, the first is", "here, points", "result"), ours)
            + best_for_additions(study))


def best_for_additions(study):
    """Return in words which cells no cheaper one comes up to, in accuracy by additions."""
    cells = sorted((cell for cell in study.cells if cell.neuron == "SRIF"),
                   key=lambda cell: study.summary(cell, "additions").mean)
    best = []
    for cell in cells:
        if not best or study.summary(cell).mean > study.summary(best[-1]).mean:
            best.append(cell)
    if len(best) < 2:
        return ""
    table = [(f"{study.summary(cell, 'additions').mean / 1e3:,.0f} k", cell.timesteps, f"{cell.m} + {cell.n}",
              "yes" if cell.restimulation else "no", study.summary(cell).percent()) for cell in best]
    single = max((cell for cell in cells if cell.m + cell.n == 1), key=lambda cell: study.summary(cell).mean)
    additions, accuracy = study.summary(single, "additions").mean, study.summary(single).mean
    cheaper = next((cell for cell in cells if study.summary(cell).mean >= accuracy), single)
    words = "" if cheaper == single else (
        f" The best 1-bit cell, T = {single.timesteps}, takes {additions / 1e3:,.0f} k additions for "
        f"{100 * accuracy:.2f} %; {cheaper.m} + {cheaper.n} bits in {cheaper.timesteps} steps give "
        f"{100 * study.summary(cheaper).mean:.2f} % for {study.summary(cheaper, 'additions').mean / 1e3:,.0f} k.")
    return ("\nThe best split for a given number of additions: of all SRIF cells (T = 2 to 8), those that no cell "
            f"with fewer additions comes up to, by their means.{words}\n\n"
            + markdown(("additions", "T", "m + n", "re-stimulated", "accuracy, %"), table))


def _use(shares):
    return " ".join(f"{100 * share:.0f}" for share in shares)


# ---- conversion


def read_conversion(path=RESULTS / "conversion.csv", epochs=None):
    """Return the Conversion of the rows with so many epochs, by default with as many as most have."""
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
        """The Summary of the network that is converted."""
        return Summary.of(self.accuracies[0, 0])

    @property
    def steps(self):
        """All T."""
        return sorted({t for t, _ in self.accuracies} - {0})

    @property
    def bits(self):
        """All B."""
        return sorted({b for _, b in self.accuracies} - {0})

    def summary(self, t, b):
        """Return the Summary of a conversion, or None."""
        return Summary.of(self.accuracies[t, b]) if (t, b) in self.accuracies else None


def conversion_section(conversion):
    """Return the section on the accuracy of converted networks by (T, B)."""
    text = "## ANN to SNN (`examples/conversion_sweep.py`)\n\n"
    if not conversion.accuracies:
        return text
    summaries = {(t, b): conversion.summary(t, b) for t in conversion.steps for b in conversion.bits}
    rows = [(t, *("-" if summaries[t, b] is None else summaries[t, b].percent() for b in conversion.bits))
            for t in conversion.steps]
    return (text + "A VGG of ReLU with average pools (widths 16, 32, 64; two convolutions of each), trained on "
            f"45,000 images for {conversion.epochs} epochs (batches of 64, learning rate 0.1 falling to 0, crop "
            "and flip), then converted without training to IF neurons of B bits and T steps; held-out accuracy, "
            f"%, {conversion.ann.n} seeds. **The ANN: {conversion.ann.percent()}.**\n\n"
            + markdown(("T", *(f"B = {b}" for b in conversion.bits)), rows)
            + "\n![Accuracy by T and B](conversion.png)\n")


# ---- pictures


def figures_3_4():
    """Draw phi, and 100,000 numbers from N(1/2, 1) before and after it."""
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
    """Draw histograms of a layer's membranes before and after MPR. membranes: see `ablation.read_membranes`."""
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
    """Draw the accuracy by steps, the paper's beside ours."""
    figure = Figure((8, 3), layout="constrained")
    theirs, ours = figure.subplots(1, 2)
    for i, neuron in enumerate(NEURONS):
        steps = [t for t in (2, 4, 6, 8) if study.has(Cell(neuron, t))]
        summaries = [study.summary(Cell(neuron, t)) for t in steps]
        theirs.plot((2, 4, 6, 8), [TABLE_1[neuron, t][0] for t in (2, 4, 6, 8)], "os^"[i] + "-", label=neuron)
        ours.errorbar(np.array(steps) + 0.08 * (i - 1), [100 * f.mean for f in summaries],
                      [100 * f.deviation for f in summaries], fmt="os^"[i] + "-", capsize=3, label=neuron)
    theirs.set(title="paper: ResNet20, 400 epochs", xlabel="steps", ylabel="CIFAR-10 test accuracy, %")
    ours.set(title="here", xlabel="steps", ylabel="held-out accuracy, %")
    theirs.legend()
    return figure


def bits_figure(study):
    """Draw the accuracy by bits with n = bits - 1, with and without re-stimulation, and the use of the bits."""
    figure = Figure((9, 3), layout="constrained")
    left, right = figure.subplots(1, 2)
    for i, restimulation in enumerate((False, True)):
        cells = [cell for cell in (Cell(n=n, restimulation=restimulation) for n in range(4)) if study.has(cell)]
        summaries = [study.summary(cell) for cell in cells]
        label = "re-stimulated" if restimulation else "plain"
        left.errorbar([1 + cell.n + 0.03 * i for cell in cells], [100 * f.mean for f in summaries],
                      [100 * f.deviation for f in summaries], fmt="os"[i] + "-", capsize=3, label=label)
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
    """Draw the accuracy by steps, a line for each number of bits."""
    figure = Figure((5, 3), layout="constrained")
    axes = figure.subplots()
    for b in conversion.bits:
        steps = [t for t in conversion.steps if (t, b) in conversion.accuracies]
        values = [conversion.summary(t, b) for t in steps]
        axes.errorbar(steps, [100 * v.mean for v in values], [100 * v.deviation for v in values], fmt="o-",
                      capsize=3, label=f"{b} bit{'s' * (b > 1)}")
    axes.axhline(100 * conversion.ann.mean, color="grey", linestyle=":", label="ANN")
    axes.set(xscale="log", xticks=conversion.steps, xticklabels=conversion.steps, xlabel="steps",
             ylabel="held-out accuracy, %")
    axes.minorticks_off()
    axes.legend()
    return figure


# ---- all


def other_budgets(runs):
    """Return the section on the cells and claims of every budget but that of the page."""
    page = Study(runs).budget
    others = [study for study in studies(runs) if study.budget != page]
    if not others:
        return ""
    return "\n".join(["## The claims at other budgets\n", *map(budget_section, others)])


def budget_section(study):
    """Return in words what a budget was, its cells, and the claims that they can judge."""
    table = rows(study)
    return (f"{described(study.budget)}; {study.minutes(study.cells) / 60:.1f} hours. Of {len(table)} claims: "
            f"{counted(table)}.\n\n{markdown(CELL_HEAD, _cell_rows(study))}\n{_unlearnt(study)}{_errors(study)}"
            f"{markdown(HEAD, table)}")


def _unlearnt(study):
    """Return in words which runs have stayed near chance; "" where all have learnt."""
    cells = []
    for cell, runs in study.cells.items():
        n = study.unlearnt(cell)
        if n:
            again = ", re-stimulated" if cell.restimulation else ""
            cells.append(f"{cell.neuron} with T = {cell.timesteps} and {cell.m} + {cell.n} bits{again} "
                         f"({n} of {len(runs)})")
    if not cells:
        return ""
    return (f"**Runs that did not learn** (below {100 * NEAR_CHANCE:.0f} %, chance being 10): "
            f"{'; '.join(sorted(cells))}. They are in the means and deviations; claims about their cells are not "
            "judged.\n\n")


CELL_HEAD = ("neuron", "T", "m + n", "re-stimulated", "paper, %", "here, %", *COST)


def _cell_rows(study):
    """Return a row of the table for each cell that was run, in the study's order."""
    table = []
    for cell in dict.fromkeys(cell for part in CELLS.values() for cell in part):
        if study.has(cell):
            single = cell.m + cell.n == 1 and not cell.restimulation
            paper = TABLE_2.get(cell.neuron) if "MPR" in cell.neuron else TABLE_1[cell.neuron, cell.timesteps]
            table.append((cell.neuron, cell.timesteps, f"{cell.m} + {cell.n}",
                          "yes" if cell.restimulation else "no",
                          f"{paper[0]:.2f}" if single else "-", study.summary(cell).percent(),
                          *_cost(study, cell)))
    return table


def _errors(study):
    """Return in words the mean quantisation error before and after MPR; "" where no cell has MPR."""
    if not study.has(MPR_CLAIM.better):
        return ""
    before, after = (study.summary(MPR_CLAIM.better, name) for name in ("error", "rectified_error"))
    return (f"Mean quantisation error of `{LAYER}`: {before.mean:.3f} ± {before.deviation:.3f} before MPR, "
            f"{after.mean:.3f} ± {after.deviation:.3f} after, {before.mean / after.mean:.1f} times less "
            f"(paper: {TABLE_3[0]}, {TABLE_3[1]}).\n\n")


def text(study, conversion, more=()):
    """Return the page, results/README.md. more: further sections."""
    b = study.budget
    hours = study.minutes([cell for part in CELLS.values() for cell in part]) / 60
    widths = ", ".join(map(str, b.widths))
    head = f"""# Results of the ablations

Written by `python examples/ablation_report.py` from `runs.csv`, `membranes.csv`, `conversion.csv` and
`shipped.json`; these by `python examples/ablation.py FOLDER` (more seeds of some cells by \
`--only mpr restimulation
--seeds N`), `python examples/conversion_sweep.py FOLDER` (CIFAR-10, binary version) and \
`python examples/shipped.py
DATASETS`. `python examples/ablation_claims.py` prints the claims at each budget. Our numbers come from there,
InfLoR-SNN's from its tables.

**The budget is small, and so are the nets.** InfLoR-SNN trains a ResNet20 for 400 epochs; Diet-SNN's, which it
cites for it, has 11 M weights (`resnet20_wide` of the trainer). All runs here but those of the last sections are
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

{chr(10).join((sections, *filter(None, more)))}"""


def write(study, conversion, membranes, folder=RESULTS, more=()):
    """Write the page and its pictures. membranes: see `ablation.read_membranes`. more: further sections."""
    writing.write_file(folder / "README.md", text(study, conversion, more).encode())
    pictures = {"neurons": neurons_figure(study), "bits": bits_figure(study), "figures_3_4": figures_3_4()}
    if membranes:
        pictures["figure_5"] = figure_5(membranes)
    if conversion.accuracies:
        pictures["conversion"] = conversion_figure(conversion)
    for name, figure in pictures.items():
        file = io.BytesIO()
        figure.savefig(file, format="png", dpi=110, metadata={"Software": None})
        writing.write_file(folder / f"{name}.png", file.getvalue())


def main(argv=None):
    """Write the page and its pictures of the budget that most runs had."""
    p = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    p.add_argument("--output", type=Path, default=RESULTS, help="folder to write to")
    args = p.parse_args(argv)
    runs = read()
    study = Study(runs)
    write(study, read_conversion(), read_membranes(study.budget), args.output, further(runs))
    return 0


def further(runs):
    """Return the sections that are not of the page's budget."""
    return other_budgets(runs), shipped.section(shipped.read())


if __name__ == "__main__":
    commands.run("ablation_report", main)
