"""The ablations: rows in, tables out; a run with tiny settings; the recorded results are what the rows give."""

import argparse
import csv
import inspect
import sys
from pathlib import Path

import numpy as np
import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
sys.path.insert(0, str(EXAMPLES))

import ablation  # noqa: E402
import ablation_report as report  # noqa: E402
from ablation import Budget, Cell, Run  # noqa: E402


def made_up(cell, seed, accuracy, **changed):
    values = {field: getattr(cell, field) for field in vars(cell)}
    values.update(vars(Budget()), seed=seed, accuracy=accuracy, pytorch_accuracy=accuracy, loss=1.5, seconds=90.0,
                  spikes=1000.0, synops=2000.0, additions=3000.0, dense_macs=9000.0, error=0.25,
                  bit_use=(0.5,) * (cell.m + cell.n), rectified_error=0.05 if "MPR" in cell.neuron else np.nan)
    return Run(**{**values, **changed})


def test_the_recorded_page_is_what_the_recorded_rows_give():
    page = report.text(report.Study(ablation.read()), report.read_conversion())
    assert (report.RESULTS / "README.md").read_text() == page
    for name in ("neurons", "bits", "figures_3_4", "figure_5", "conversion"):
        assert f"{name}.png" in page and (report.RESULTS / f"{name}.png").exists()


def test_every_cell_of_the_study_was_run_from_at_least_three_seeds():
    study = report.Study(ablation.read())
    for cell in (cell for cells in ablation.CELLS.values() for cell in cells):
        assert len({run.seed for run in study.cells[cell]}) >= 3, cell


def test_rows_come_back_as_they_were(tmp_path):
    runs = [made_up(Cell("SRIF+MPR", 4), 1, 0.5), made_up(Cell(m=2, n=1, restimulation=True), 0, 0.625)]
    ablation.write(runs, tmp_path / "runs.csv")
    found = ablation.read(tmp_path / "runs.csv")
    assert [run.cell for run in found] == [runs[1].cell, runs[0].cell]  # sorted
    assert found[1] == runs[0] and found[0].bit_use == (0.5, 0.5, 0.5) and found[0].restimulation
    assert ablation.read(tmp_path / "none.csv") == []
    assert [path.name for path in tmp_path.iterdir()] == ["runs.csv"]


def test_missing_goes_seed_by_seed_and_knows_the_budget():
    cells = [Cell(), Cell("hard IF"), Cell()]
    runs = [made_up(Cell(), 0, 0.5), made_up(Cell("hard IF"), 1, 0.5, epochs=99)]
    assert ablation.missing(cells, range(2), Budget(), runs) == [
        (Cell("hard IF"), 0), (Cell(), 1), (Cell("hard IF"), 1)]


@pytest.mark.parametrize("better, worse, word", [
    ((0.70, 0.71, 0.72), (0.60, 0.61, 0.62), "reproduced"),
    ((0.60, 0.61, 0.62), (0.70, 0.71, 0.72), "the opposite"),
    ((0.70, 0.60, 0.65), (0.61, 0.66, 0.63), "not separated"), ((0.7,), (0.6,), "not separated"),
])
def test_a_finding_counts_beyond_two_standard_errors(better, worse, word):
    assert report.verdict(report.Found.of(better), report.Found.of(worse))[0] == word


def test_standard_error():
    # deviations 0.01 and 0.02, three runs each: sqrt(0.0001 / 3 + 0.0004 / 3) = 0.0129
    found = report.verdict(report.Found.of([0.5, 0.51, 0.52]), report.Found.of([0.4, 0.42, 0.44]))
    assert found == ("reproduced", "+9.00 ± 1.29")


@pytest.mark.parametrize("n", (2, 3, 5))
def test_how_often_equal_cells_are_told_apart(n):
    better, worse = np.random.default_rng(0).normal(size=(2, 4000, n))
    words = [report.verdict(report.Found.of(b), report.Found.of(w))[0] for b, w in zip(better, worse)]
    share = 1 - words.count("not separated") / len(words)
    assert share == pytest.approx(report.by_chance(n), abs=0.02)
    assert abs(words.count("reproduced") - words.count("the opposite")) < 100
    assert report.by_chance(1) == 0  # no deviation is known


def test_evenness_of_bits():
    assert report._spread((0.5, 0.5)) == 1 and report._spread((1.0,)) == 1
    assert report._spread((0.8, 0.0)) == 0
    assert report._spread((0.75, 0.25)) == pytest.approx(0.8112781)


def test_a_tiny_study(tmp_path):
    torch = pytest.importorskip("torch")
    from picture_files import write_cifar
    from trainer.data import cifar10

    write_cifar(tmp_path, 40)
    budget = Budget(widths=(4, 4, 4), samples=120, epochs=1, batch_size=20)
    cells = [Cell("SRIF+MPR", 2), Cell(m=1, n=1, restimulation=True)]
    before = torch.get_num_threads()
    found = [ablation.train_and_measure(str(tmp_path), cell, 0, budget) for cell in cells]
    torch.set_num_threads(before)
    assert [run.cell for run, _ in found] == cells and [run.budget for run, _ in found] == [budget] * 2
    (plain, membranes), (multi, none) = found
    data = cifar10(tmp_path)
    for run in (plain, multi):
        assert run.accuracy == run.pytorch_accuracy and run.accuracy * len(data.held_out) % 1 == 0
        assert 0 < run.spikes < run.synops < run.additions < run.dense_macs * 8
    assert plain.bit_use == (1.0,) and len(multi.bit_use) == 2 and 1 <= sum(multi.bit_use) <= 2
    assert 0 < plain.rectified_error < plain.error and np.isnan(multi.rectified_error) and none is None
    before, after = np.sum([row[2:] for row in membranes], axis=0)
    assert before == after == len(data.held_out) * 2 * 4 * 8 * 8  # images, steps, channels, map
    path = tmp_path / "membranes.csv"
    for other in (budget, Budget(), budget):
        ablation.write_membranes(membranes, other, path)
    found = ablation.read_membranes(budget, path)
    np.testing.assert_allclose(found, np.array(membranes, float), rtol=1e-9)
    assert ablation.read_membranes(Budget(), path) == found
    assert ablation.read_membranes(Budget(epochs=7), path) == []
    assert report.figure_5(found).axes


def test_conversion_rows(tmp_path):
    with open(tmp_path / "conversion.csv", "w", newline="") as file:
        csv.writer(file).writerows([
            ("seed", "timesteps", "bits", "accuracy", "epochs"), (0, 0, 0, 0.8, 6), (0, 1, 2, 0.5, 6),
            (1, 0, 0, 0.7, 6), (1, 1, 2, 0.6, 6), (1, 4, 1, 0.65, 6), (0, 0, 0, 0.9, 20), (0, 1, 2, 0.8, 20)])
    found = report.read_conversion(tmp_path / "conversion.csv")
    section = report.conversion_section(found)
    assert "| T | B = 1 | B = 2 |" in section and "| 1 | - | 55.00 ± 7.07 |" in section
    assert "75.00 ± 7.07" in section and "for 6 epochs" in section
    assert report.conversion_figure(found).axes
    assert report.read_conversion(tmp_path / "conversion.csv", 20).ann.mean == 0.9
    assert report.read_conversion(tmp_path / "none.csv").accuracies == {}


def test_conversions_that_are_missing():
    pytest.importorskip("torch")
    import conversion_sweep as sweep

    rows = sweep.by_key([(seed, t, b, "0.5", 6, "9") for seed in (0, 1) for t, b in ((0, 0), (1, 2), (1, 3))])
    asked = argparse.Namespace(seeds=3, epochs=6, timesteps=[1], bits=[2])
    assert sweep.missing(rows, asked) == [2]
    for changed in ({"epochs": 7}, {"timesteps": [1, 2]}, {"bits": [4]}):
        assert sweep.missing(rows, argparse.Namespace(**{**vars(asked), **changed})) == [0, 1, 2]
    assert set(sweep.read()) >= {(6, seed, t, b) for seed in range(3) for t, b in ((0, 0), (8, 4))}


def test_the_page_says_the_settings_of_the_runs():
    pytest.importorskip("torch")
    from dataclasses import asdict

    from trainer.networks import n_parameters, small_vgg
    from trainer.neurons import NEURONS, Neuron
    from trainer.training import Recipe

    page = report.text(report.Study(ablation.read()), report.read_conversion())
    recipe, neuron = asdict(Recipe(1)), Neuron()
    assert (recipe["momentum"], recipe["weight_decay"]) == (0.9, 5e-4)
    assert (recipe["lr"], recipe["batch_size"]) == (0.01, 128)
    assert NEURONS["hard LIF"]["leak"] == 0.5 and (neuron.surrogate, neuron.width) == ("rectangle", 2)
    assert "keep 0.5" in page and "rectangle of width 2" in page and "weight decay 0.0005" in page
    assert f"{n_parameters(ablation.build(Cell(), Budget())) / 1000:.0f} thousand" in page
    assert inspect.signature(small_vgg).parameters["widths"].default == (16, 32, 64)
    assert "average pools (widths 16, 32, 64;" in page


def test_what_no_paper_claims_is_not_reproduced():
    runs = [made_up(Cell(m=m, n=n), seed, 0.5 + 0.1 * n + 0.001 * seed)
            for m, n in ablation.SPLITS for seed in range(3)]
    section = report.bits_section(report.Study(runs))
    claimed, _, ours = section.partition("Not in the paper")
    assert claimed.count("| reproduced |") == 3 and "reproduced" not in ours
    assert ours.count("| larger |") == 5 and ours.count("| 1 + 1 and 2 + 0 |") == 1
