"""The ablations: rows in, tables out; a run with tiny settings; the recorded results are what the rows give."""

import argparse
import csv
import inspect
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
sys.path.insert(0, str(EXAMPLES))

import ablation  # noqa: E402
import ablation_claims as claims  # noqa: E402
import ablation_report as report  # noqa: E402
from ablation import Budget, Cell, Run, Session  # noqa: E402


LARGE = {"network": "resnet20", "stride": 1, "samples": 45000, "epochs": 10, "augmentation": "simple",
         "half": False, "optimizer": "adam"}


def made_up(cell, seed, accuracy, **changed):
    values = {field: getattr(cell, field) for field in vars(cell)}
    values.update(vars(Budget()), seed=seed, accuracy=accuracy, pytorch_accuracy=accuracy, loss=1.5, seconds=90.0,
                  spikes=1000.0, synops=2000.0, additions=3000.0, dense_macs=9000.0, error=0.25,
                  bit_use=(0.5,) * (cell.m + cell.n), rectified_error=0.05 if "MPR" in cell.neuron else np.nan)
    return Run(**{**values, **changed})


def test_the_recorded_page_is_what_the_recorded_rows_give():
    runs = ablation.read()
    page = report.text(report.Study(runs), report.read_conversion(), report.further(runs))
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


def test_rows_keep_their_budget_and_older_files_have_the_first(tmp_path):
    cell = Cell("SRIF+MPR")
    runs = [made_up(cell, 0, 0.5), made_up(cell, 0, 0.75, **LARGE)]
    ablation.write(runs, tmp_path / "runs.csv")
    assert sorted(ablation.read(tmp_path / "runs.csv"), key=lambda run: run.accuracy) == runs
    assert runs[1].budget == Budget(**LARGE) and ablation.missing([cell], range(2), Budget(**LARGE), runs) == [
        (cell, 1)]
    lines = (tmp_path / "runs.csv").read_text().splitlines()
    older = [line.rsplit(",", 4)[0] for line in lines]
    (tmp_path / "older.csv").write_text("\n".join(older) + "\n")
    assert {run.network for run in ablation.read(tmp_path / "older.csv")} == {"resnet8"}


@pytest.mark.parametrize("numbers", ((1.0, 3e-05), (np.inf, 1e6), (0.0, 12345678.0)))
def test_numbers_of_any_size_come_back(numbers, tmp_path):
    run = made_up(Cell("SRIF+MPR", 4, m=1, n=1), 1, 0.5, bit_use=numbers, synops=numbers[1], lr=3e-05, loss=np.inf)
    ablation.write([run], tmp_path / "runs.csv")
    expected = tuple(float(f"{value:.6g}") for value in numbers)
    again, = ablation.read(tmp_path / "runs.csv")
    assert again == replace(run, bit_use=expected, synops=expected[1])
    assert {type(value) for value in again.bit_use} == {float} and {type(value) for value in again.widths} == {int}
    content = (tmp_path / "runs.csv").read_bytes()
    ablation.write([again], tmp_path / "runs.csv")
    assert (tmp_path / "runs.csv").read_bytes() == content


def test_the_recorded_rows_are_written_as_they_are(tmp_path):
    ablation.write(ablation.read(), tmp_path / "runs.csv")
    recorded, written = (list(csv.DictReader(path.read_text().splitlines()))
                         for path in (ablation.RUNS, tmp_path / "runs.csv"))
    assert recorded == [{name: row[name] for name in recorded[0]} for row in written]  # some may have been added


@pytest.mark.parametrize("name, value", (("epochs", "1e3"), ("widths", "16 x"), ("restimulation", "yes"),
                                         ("accuracy", ""), ("bit_use", "half")))
def test_rows_that_mean_nothing_are_refused(name, value, tmp_path):
    ablation.write([made_up(Cell(), 0, 0.5)], tmp_path / "runs.csv")
    with open(tmp_path / "runs.csv", newline="") as file:
        row, = csv.DictReader(file)
    ablation.save(tmp_path / "runs.csv", row, [{**row, name: value}.values()])
    with pytest.raises(ValueError, match=rf"runs.csv: row 1 has '{value}' as {name}: name a file of `ablation.py"):
        ablation.read(tmp_path / "runs.csv")


def test_membranes_of_another_file_are_refused(tmp_path):
    for content in ("a,b\n1,2\n", "a,b\nx,y\n"):
        (tmp_path / "membranes.csv").write_text(content)
        with pytest.raises(ValueError, match="membranes.csv: is no file of membranes"):
            ablation.read_membranes(Budget(), tmp_path / "membranes.csv")


FAILURES = {1: FloatingPointError("the loss is nan in step 3: lower the learning rate"),
            2: OSError(28, "No space"), 3: KeyError("an error of ours")}


def ends_as_its_seed_says(folder, cell, seed, budget, session):
    if seed in FAILURES:
        raise FAILURES[seed]
    return (made_up(cell, seed, 0.5), None) if seed != 4 else None


@pytest.fixture
def threads(monkeypatch):
    """Runs in threads, in place of processes, which end as their seeds say."""
    monkeypatch.setattr(ablation, "ProcessPoolExecutor", lambda jobs, *_: ThreadPoolExecutor(jobs))
    monkeypatch.setattr(ablation, "train_and_measure", ends_as_its_seed_says)


@pytest.mark.parametrize("jobs", (1, 3))
def test_a_run_that_fails_or_diverges_is_named_and_the_others_are_kept(jobs, threads, tmp_path, capsys):
    path = tmp_path / "runs.csv"
    todo = [(Cell(n=1, restimulation=True), seed) for seed in range(7)]
    assert ablation.run_all("folder", todo, Budget(), jobs, Session(), path) == 3
    assert [run.seed for run in ablation.read(path)] == [0, 5, 6]  # 4 has not ended
    told = capsys.readouterr().err
    name = "ablation: SRIF, T = 2, 1 + 1 bits, re-stimulated, seed"
    assert f"{name} 1 diverged: the loss is nan in step 3" in told and f"{name} 2 failed: No space\n" in told
    assert f"{name} 3 failed: KeyError('an error of ours')\n" in told and told.count("Traceback") == 1


def test_runs_that_are_not_started_in_time_are_left(threads, tmp_path):
    session = Session(seconds=-1.0)
    assert ablation.run_all("folder", [(Cell(), 0)], Budget(), 2, session, tmp_path / "runs.csv") == 0
    assert ablation.read(tmp_path / "runs.csv") == []


def test_a_process_that_is_ended_from_outside_is_told(threads, tmp_path, monkeypatch, capsys):
    class Broken(ThreadPoolExecutor):
        def submit(self, *_):
            raise BrokenProcessPool

    monkeypatch.setattr(ablation, "ProcessPoolExecutor", lambda jobs, *_: Broken(jobs))
    with pytest.raises(ValueError, match="a process was ended from outside.*give fewer --jobs"):
        ablation.run_all("folder", [(Cell(), 0)], Budget(), 2, Session(), tmp_path / "runs.csv")


def test_ctrl_c_ends_the_processes(threads, tmp_path, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    ended = []
    monkeypatch.setattr(ablation, "wait", interrupted)
    process = SimpleNamespace(terminate=lambda: ended.append(True))
    monkeypatch.setattr(ablation, "active_children", lambda: [process])
    with pytest.raises(KeyboardInterrupt):
        ablation.run_all("folder", [(Cell(), 0)], Budget(), 1, Session(), tmp_path / "runs.csv")
    assert ended == [True]


def test_the_status_says_that_a_run_failed(threads, tmp_path):
    (tmp_path / "data_batch_1.bin").touch()
    arguments = [str(tmp_path), "--runs", str(tmp_path / "runs.csv"), "--only", "mpr", "--jobs", "1", "--seeds"]
    assert ablation.main([*arguments, "1"]) == 0 and ablation.main([*arguments, "2"]) == 1
    assert len(ablation.read(tmp_path / "runs.csv")) == 2


def test_filters_that_select_nothing_are_refused(threads, tmp_path):
    (tmp_path / "data_batch_1.bin").touch()
    arguments = [str(tmp_path), "--runs", str(tmp_path / "runs.csv"), "--only", "mpr", "restimulation"]
    message = (r"--timesteps, --splits: no cell of mpr, restimulation is of these; expected some of 1\+0 bits in "
               r"4 steps, 1\+0 bits in 2 steps, 1\+1 bits in 2")
    for more in (["--timesteps", "3"], ["--splits", "2+0"], ["--timesteps", "4", "--splits", "1+1"]):
        with pytest.raises(ValueError, match=message):
            ablation.main([*arguments, *more])


def test_the_status_says_that_runs_are_left(threads, tmp_path, capsys):
    (tmp_path / "data_batch_1.bin").touch()
    arguments = [str(tmp_path), "--runs", str(tmp_path / "runs.csv"), "--only", "mpr", "--jobs", "1", "--seeds"]
    assert ablation.main([*arguments, "1", "--seconds", "0"]) == 3
    assert "ablation: 2 of 2 runs are left: the same command goes on with them" in capsys.readouterr().err
    assert ablation.main([*arguments, "1"]) == 0 and "left" not in capsys.readouterr().err
    assert ablation.main([*arguments, "5"]) == 1  # 6 failed; 4, which was stopped, of both cells is left
    assert "2 of 8 runs are left" in capsys.readouterr().err


def test_the_commonest_budget_is_the_page_even_if_it_judges_no_claim():
    runs = [made_up(Cell("SRIF", 4), seed, 0.5) for seed in range(9)]
    runs += [made_up(cell, seed, 0.5 + seed / 100, **LARGE) for cell in (Cell("SRIF", 4), Cell("SRIF+MPR", 4))
             for seed in range(3)]
    assert report.Study(runs).budget == Budget()
    assert [study.budget for study in claims.studies(runs)] == [Budget(**LARGE)]
    assert "resnet20 (16, 32, 64), 45,000 images" in report.other_budgets(runs)


def test_a_picture_that_cannot_be_drawn_leaves_the_one_before(tmp_path, monkeypatch):
    study = report.Study([made_up(Cell("SRIF", 4), seed, 0.5) for seed in range(2)])
    (tmp_path / "neurons.png").write_bytes(b"before")

    def half(figure, file, **_):
        target = file if hasattr(file, "write") else open(file, "wb")
        target.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(report.Figure, "savefig", half)
    with pytest.raises(OSError):
        report.write(study, report.Conversion({}, None), [], tmp_path)
    assert (tmp_path / "neurons.png").read_bytes() == b"before"


def test_claims_are_judged_at_each_budget(tmp_path, capsys):
    runs = [made_up(Cell(neuron, 4), seed, accuracy + 0.01 * seed) for neuron, accuracy in
            (("SRIF", 0.5), ("SRIF+MPR", 0.502), ("hard IF", 0.45)) for seed in range(3)]
    runs += [made_up(Cell("SRIF", 4), seed, 0.9 + 0.001 * seed, **LARGE) for seed in range(3)]
    runs += [made_up(Cell("SRIF+MPR", 4), seed, 0.91 + 0.001 * seed, **LARGE) for seed in range(2)]
    small, large = claims.studies(runs)
    assert (small.budget, large.budget) == (Budget(), Budget(**LARGE))
    judged = {row[0]: row[1:] for row in claims.rows(small)}
    assert judged.keys() == {"SRIF above hard IF", "MPR raises the accuracy"}
    # deviations 0.01: sqrt(2 * 0.01^2 / 3) = 0.82 points; the paper's 0.48 need (0.01^2 + 0.01^2) (200 / 0.48)^2
    assert judged["MPR raises the accuracy"] == (4, "+0.48", "+0.20 ± 0.82", "3 and 3", "not separated", 35)
    assert judged["SRIF above hard IF"][4] == "reproduced"
    assert claims.rows(large)[0][4:6] == ("2 and 3", "reproduced")
    section = report.other_budgets(runs)
    assert "resnet20 (16, 32, 64), 45,000 images, crop and flip, 10 epochs, " in section
    assert "learning rate 0.1, Adam, float32; 0.1 hours" in section
    assert "hours. Of 1 claims: 1 reproduced, 0 the opposite, 0 not separated." in section
    assert "| SRIF+MPR | 4 | 1 + 0 | no | 92.94 | 91.05 ± 0.07 | 1 k | 2 k | 3 k | 2 | 3.0 |" in section
    assert "0.250 ± 0.000 before MPR, 0.050 ± 0.000 after, 5.0 times less (paper: 0.28, 0.04)" in section
    assert section.count("| MPR raises") == 1 and report.other_budgets(runs[:9]) == ""
    ablation.write(runs, tmp_path / "runs.csv")
    assert claims.main([str(tmp_path / "runs.csv")]) == 0
    printed = capsys.readouterr().out
    assert "of 2 claims 1 reproduced, 0 the opposite, 1 not separated" in printed
    assert "of 1 claims 1 reproduced" in printed
    with pytest.raises(SystemExit):
        claims.main([str(tmp_path / "none.csv")])


def test_runs_that_did_not_learn_are_told():
    runs = [made_up(Cell(n=n), seed, 0.6 if n or seed else 0.1) for n in (0, 1) for seed in range(3)]
    section = report.budget_section(report.Study(runs))
    assert "(below 15 %, chance being 10): SRIF with T = 2 and 1 + 0 bits (1 of 3). They are" in section
    assert "did not learn" not in report.budget_section(report.Study(runs[3:]))
    assert "Of 1 claims: 0 reproduced, 0 the opposite, 0 not separated, 1 not judged." in section
    assert "| 2 bits (1 + 1) above 1 | 2 | - | +16.67 ± 16.67 | 3 and 3 | not judged | - |" in section


def test_the_number_of_runs_that_a_claim_needs_is_not_made_up():
    one = report.Study([made_up(cell, 0, 0.5) for cell in (Cell("SRIF", 4), Cell("SRIF+MPR", 4))])
    assert claims.MPR_CLAIM.runs_needed(one) is None  # one run has no deviation
    assert claims.MPR_CLAIM.judged(one) == ("not separated", "+0.00")
    assert one.summary(Cell("SRIF", 4)).percent() == "50.00"
    bits = report.Study([made_up(Cell(n=n), seed, 0.5 + 0.01 * seed) for n in range(2) for seed in range(3)])
    assert claims.MULTI_BIT_CLAIMS[0].runs_needed(bits) is None  # the paper says no number
    assert len(claims.CLAIMS) == 29


def test_missing_goes_seed_by_seed_and_knows_the_budget():
    cells = [Cell(), Cell("hard IF"), Cell()]
    runs = [made_up(Cell(), 0, 0.5), made_up(Cell("hard IF"), 1, 0.5, epochs=99)]
    assert ablation.missing(cells, range(2), Budget(), runs) == [
        (Cell("hard IF"), 0), (Cell(), 1), (Cell("hard IF"), 1)]


def test_parts_of_the_study_can_be_chosen():
    assert ablation.chosen(["neurons"], [4]) == [Cell("hard LIF", 4), Cell("hard IF", 4), Cell("SRIF", 4)]
    assert ablation.chosen(["mpr", "restimulation"], splits=["1+1"]) == [
        Cell(n=1), Cell(n=1, restimulation=True)]
    assert ablation.chosen(list(ablation.CELLS)) == [cell for part in ablation.CELLS.values() for cell in part]


@pytest.mark.parametrize("better, worse, word", [
    ((0.70, 0.71, 0.72), (0.60, 0.61, 0.62), "reproduced"),
    ((0.60, 0.61, 0.62), (0.70, 0.71, 0.72), "the opposite"),
    ((0.70, 0.60, 0.65), (0.61, 0.66, 0.63), "not separated"), ((0.7,), (0.6,), "not separated"),
])
def test_a_finding_counts_beyond_two_standard_errors(better, worse, word):
    assert claims.verdict(claims.Summary.of(better), claims.Summary.of(worse))[0] == word


def test_standard_error():
    # deviations 0.01 and 0.02, three runs each: sqrt(0.0001 / 3 + 0.0004 / 3) = 0.0129
    found = claims.verdict(claims.Summary.of([0.5, 0.51, 0.52]), claims.Summary.of([0.4, 0.42, 0.44]))
    assert found == ("reproduced", "+9.00 ± 1.29")


@pytest.mark.parametrize("n", (2, 3, 5))
def test_how_often_equal_cells_are_told_apart(n):
    better, worse = np.random.default_rng(0).normal(size=(2, 4000, n))
    words = [claims.verdict(claims.Summary.of(b), claims.Summary.of(w))[0] for b, w in zip(better, worse)]
    share = 1 - words.count("not separated") / len(words)
    assert share == pytest.approx(claims.by_chance(n), abs=0.02)
    assert abs(words.count("reproduced") - words.count("the opposite")) < 100
    assert claims.by_chance(1) == 0  # no deviation is known


def test_evenness_of_bits():
    assert claims.evenness((0.5, 0.5)) == 1 and claims.evenness((1.0,)) == 1
    assert claims.evenness((0.8, 0.0)) == 0
    assert claims.evenness((0.75, 0.25)) == pytest.approx(0.8112781)


def test_a_tiny_study(tmp_path):
    torch = pytest.importorskip("torch")
    from picture_files import write_cifar
    from trainer.data import cifar10

    write_cifar(tmp_path, 40)
    budget = Budget(widths=(4, 4, 4), samples=120, epochs=1, batch_size=20)
    cells = [Cell("SRIF+MPR", 2), Cell(m=1, n=1, restimulation=True)]
    before = torch.get_num_threads()
    found = [ablation.train_and_measure(str(tmp_path), cell, 0, budget) for cell in cells]
    session = Session(tmp_path, 0.0, tmp_path / "epochs.jsonl")
    assert ablation.train_and_measure(str(tmp_path), cells[1], 0, budget, session) is None
    assert session.checkpoint(cells[1], 0, budget).exists()
    again, _ = ablation.train_and_measure(str(tmp_path), cells[1], 0, budget, replace(session, seconds=None))
    torch.set_num_threads(before)
    assert replace(again, seconds=0) == replace(found[1][0], seconds=0, error=again.error,
                                                rectified_error=again.rectified_error)  # nan differs from itself
    lines = [json.loads(line) for line in (tmp_path / "epochs.jsonl").read_text().splitlines()]
    assert [(line["epoch"], line["n"], line["seed"]) for line in lines] == [(1, 1, 0)]
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

    runs = ablation.read()
    page = report.text(report.Study(runs), report.read_conversion(), report.further(runs))
    recipe, neuron = asdict(Recipe(1)), Neuron()
    assert (recipe["momentum"], recipe["weight_decay"]) == (0.9, 5e-4)
    assert (recipe["lr"], recipe["batch_size"]) == (0.01, 128)
    assert NEURONS["hard LIF"]["leak"] == 0.5 and (neuron.surrogate, neuron.width) == ("rectangle", 2)
    assert "keep 0.5" in page and "rectangle of width 2" in page and "weight decay 0.0005" in page
    assert f"{n_parameters(ablation.build(Cell(), Budget())) / 1000:.0f} thousand" in page
    assert inspect.signature(small_vgg).parameters["widths"].default == (16, 32, 64)
    assert "average pools (widths 16, 32, 64;" in page


def test_the_best_split_for_a_number_of_additions():
    cells = {Cell(): (0.5, 1000.0), Cell(timesteps=8): (0.6, 4000.0), Cell(n=1): (0.65, 2000.0),
             Cell(m=2): (0.55, 3000.0), Cell(n=3): (0.7, 3500.0), Cell("hard IF"): (0.9, 1.0)}
    runs = [made_up(cell, seed, accuracy, additions=additions) for cell, (accuracy, additions) in cells.items()
            for seed in range(2)]
    found = report.best_for_additions(report.Study(runs))
    rows = [line for line in found.splitlines() if line.startswith("| ") and " k " in line]
    assert [row.split(" | ")[2] for row in rows] == ["1 + 0", "1 + 1", "1 + 3"]
    assert ("The best 1-bit cell, T = 8, takes 4 k additions for 60.00 %; 1 + 1 bits in 2 steps give 65.00 % for 2 k"
            in found)
    assert report.best_for_additions(report.Study(runs[:2])) == ""


def test_what_no_paper_claims_is_not_reproduced():
    runs = [made_up(Cell(m=m, n=n), seed, 0.5 + 0.1 * n + 0.001 * seed)
            for m, n in ablation.SPLITS for seed in range(3)]
    section = report.bits_section(report.Study(runs))
    claimed, _, ours = section.partition("Not in the paper")
    assert claimed.count("| reproduced |") == 3 and "reproduced" not in ours
    assert ours.count("| larger |") == 5 and ours.count("| 1 + 1 and 2 + 0 |") == 1


def test_a_budget_builds_its_network():
    pytest.importorskip("torch")
    from trainer.networks import n_parameters

    nets = [ablation.build(Cell(), Budget(network="resnet20", stride=stride)) for stride in (1, 2)]
    assert [n_parameters(net) for net in nets] == [n_parameters(nets[0])] * 2  # maps are halved, weights are not
    assert 0.26e6 < n_parameters(nets[0]) < 0.28e6
    assert [net.layers["stem_conv"].stride for net in nets] == [(1, 1), (2, 2)]
