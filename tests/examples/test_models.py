"""The trained models in data/: each passes its own check, and the recorded verification is of these files."""

import hashlib
import json
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "examples"))

import anns  # noqa: E402
import eventsim  # noqa: E402
import models  # noqa: E402
import papers  # noqa: E402
from eventsim.comparison.self_check import check  # noqa: E402

DATA = ROOT / "data"
PAGE = (DATA / "README.md").read_text()
FOUND = json.loads(models.RESULTS.read_text())
ENERGIES = json.loads(models.ENERGIES.read_text())
DATASETS = ROOT.parent / "shared" / "datasets"


def test_all_models_are_recorded():
    assert set(FOUND) == set(models.MODELS)


def test_sums_are_those_of_the_files():
    lines = (DATA / "SHA256SUMS").read_text().splitlines()
    sums = {path: digest for digest, path in map(str.split, lines)}
    files = sorted(path for path in DATA.iterdir() if path.suffix == ".h5")
    assert sorted(sums) == [f"data/{path.name}" for path in files]
    for path in files:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        assert sums[f"data/{path.name}"] == digest
        assert f"| `{path.name}` | {path.stat().st_size:,} | `{digest}` |" in PAGE
        assert path.stat().st_size <= 2_000_000


@pytest.mark.parametrize("name", models.MODELS)
def test_a_model_passes_its_check(name):
    model = eventsim.load(DATA / f"{name}.h5")
    assert len(model.check.x) == 4 and check(model).passed


@pytest.mark.parametrize("name", models.MODELS)
def test_a_model_was_made_with_the_settings_of_the_script(name):
    pytest.importorskip("torch")
    from trainer.__main__ import parser

    told = json.loads(eventsim.load(DATA / f"{name}.h5").provenance["settings"])
    data, *arguments = models.MODELS[name]
    if name in models.TAUGHT:
        taught(told, data, arguments)
        for stage in reversed(models.BEFORE.get(name, ())):
            of_teacher = eventsim.load(DATA / f"{models.FURTHER_BY[name]}.h5").provenance["settings"]
            assert told["teacher"] == json.loads(of_teacher)
            told = told["initial"]
            taught(told, data, stage)
        of_ann = timed_settings(*anns.TIMED["cifar10"])
        assert told["initial"] == told["teacher"] == {**told["teacher"], **of_ann}
        return
    expected = json.loads(json.dumps(vars(parser().parse_args([data, "folder", *arguments, *models.COMMON]))))
    assert told == {setting: expected[setting] for setting in told} and len(told) > 15


def taught(told, data, arguments):
    """Assert that a provenance tells of the arguments of `papers.py gpu` and of half a teacher."""
    expected = timed_settings(*arguments, "--teaching", "0.5")
    assert told == {**told, **expected, "data": data} and len(expected) > 15
    args = papers.parser().parse_args(["gpu", "parts", "state", *arguments])
    assert told.get("gradients", "steps") == args.gradients
    assert told.get("teacher_once", False) == args.teacher_once


def timed_settings(*arguments):
    """What `papers.py gpu` keeps in a checkpoint of its arguments, as JSON has it."""
    args = papers.parser().parse_args(["gpu", "parts", "state", *arguments])
    names = {*papers.NETWORK, *papers.RECIPE, "augmentation", "half"} - {"alpha", "teaching"}
    kept = {**{name: getattr(args, name) for name in names}, "half": bool(args.half)}
    if args.teaching is not None:
        kept["teaching"] = args.teaching
    return json.loads(json.dumps({**kept, "alpha": 2.0 ** args.bits[1]}))


def test_what_counts_as_wrong():
    fine = {"samples": 1900, "levels_different": 0, "predictions_different": 0, "trained_different": [
        {"distance": -1e-7}]}
    assert not models.wrong(fine)
    for changed in ({"levels_different": 1}, {"predictions_different": 1},
                    {"trained_different": [{"distance": 1e-3}]}, {"trained_different": [{"distance": 1e-7}] * 2}):
        assert models.wrong({**fine, **changed})


def test_verify_needs_the_network_as_trained(tmp_path, capsys):
    with pytest.raises(SystemExit):
        models.main(["verify", str(tmp_path), str(tmp_path), "mnist"])
    assert f"no {tmp_path / 'mnist.pt'}: verify compares" in capsys.readouterr().err


@pytest.mark.parametrize("name", models.MODELS)
def test_the_recorded_verification(name):
    found = FOUND[name]
    assert found["bytes"] == (DATA / f"{name}.h5").stat().st_size
    assert found["levels"] > 0 and found["trained_compared"] and not models.wrong(found)
    told = eventsim.load(DATA / f"{name}.h5").provenance["accuracy_test"]
    assert told.startswith(f"{found['accuracy']['float32']:.4f} on {found['samples']} ")
    row = re.search(rf"^\| `{name}\.h5` \|.*$", PAGE.partition("## Trained models")[2], re.MULTILINE)[0]
    for precision in ("float32", "int8"):
        assert f"{100 * found['accuracy'][precision]:.2f}" in row
    assert models.row(name, found) == row


def test_the_readme_says_what_the_verification_found():
    text = " ".join((ROOT / "README.md").read_text().split())
    sentence = r"as they were trained, in float32, (none|[\d,]+) of ([\d,]+) differs?"
    differ, samples = re.search(sentence, text).groups()
    assert int(samples.replace(",", "")) == sum(found["samples"] for found in FOUND.values())
    different = sum(len(found["trained_different"]) for found in FOUND.values())
    assert (0 if differ == "none" else int(differ)) == different
    (levels,) = re.findall(r"([\d,]+) levels on MNIST's", text)
    assert int(levels.replace(",", "")) == FOUND["mnist"]["levels"]


def test_every_model_costs_less_than_its_matched_dense_network():
    assert set(ENERGIES) == {"digits", *models.MODELS}
    for name, found in ENERGIES.items():
        digest = hashlib.sha256((DATA / f"{name}.h5").read_bytes()).hexdigest()
        assert found["sha256"] == digest, f"{name}.h5 is another file: run examples/models.py energy"
        assert 0 < found["float32"]["events"] < found["float32"]["dense"]
        assert name == "digits" or 0 < found["int8"]["events"] < found["int8"]["dense"]
        assert models.energy_row(name, found) in PAGE.splitlines()


def test_the_digits_cost_what_was_recorded():
    found, recorded = models.energy("digits", DATA / "digits_test.h5"), ENERGIES["digits"]
    for precision in ("float32", "int8"):
        assert found[precision] == pytest.approx(recorded[precision], rel=1e-9)


def test_training_and_verifying_need_a_folder_of_checkpoints(capsys):
    with pytest.raises(SystemExit):
        models.main(["verify", "datasets"])
    assert "verify needs CHECKPOINTS, the folder of the networks" in capsys.readouterr().err


def test_nmnist_is_right_as_often_as_recorded():
    if not DATASETS.is_dir():
        pytest.skip("no data sets beside the project")
    from eventsim.inputs.dataset import open_dataset

    model = eventsim.load(DATA / "nmnist.h5")
    dataset = open_dataset(DATASETS / "n-mnist" / "Test", model.nodes[model.input], model.timesteps)
    for precision in ("float32", "int8"):
        simulator = eventsim.Simulator(model, precision)
        right = sum(int((simulator.run(x, record=()).predictions == y).sum()) for x, y in dataset.batches(50))
        assert right / len(dataset) == FOUND["nmnist"]["accuracy"][precision]
