"""The trained models in data/: each passes its own check, and the recorded verification is of these files."""

import hashlib
import json
import re
import sys
from pathlib import Path

import numpy as np
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
    from trainer.timed import as_asked

    told = json.loads(eventsim.load(DATA / f"{name}.h5").provenance["settings"])
    data, *arguments = models.MODELS[name]
    if name in models.TAUGHT:
        taught(told, data, arguments)
        for stage in reversed(models.BEFORE.get(name, ())):
            of_teacher = eventsim.load(DATA / f"{models.FURTHER_BY[name]}.h5").provenance["settings"]
            assert as_asked(told["teacher"]) == as_asked(json.loads(of_teacher))
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


def test_verify_with_checkpoints_needs_those_of_all_models(tmp_path, capsys):
    with pytest.raises(SystemExit):
        models.main(["verify", str(tmp_path), str(tmp_path), "mnist"])
    assert f"no {tmp_path / 'mnist.pt'}: `train` keeps the network" in capsys.readouterr().err


def untrained(name):
    """What `verify` gives of a model without CHECKPOINTS, where all is as written."""
    margin = FOUND[name]["margin"] + 1e-15
    return {**FOUND[name], "trained_compared": False, "trained_different": [], "margin": margin}


def test_verify_needs_no_checkpoints_and_says_what_differs_from_what_is_written(tmp_path, capsys, monkeypatch):
    before = models.RESULTS.read_bytes()
    asked = []
    monkeypatch.setattr(models, "verify", lambda *arguments: asked.append(arguments) or untrained(arguments[0]))
    assert models.main(["verify", "datasets"]) == 0
    assert models.main(["verify", "datasets", "nmnist", "mnist"]) == 0
    printed = capsys.readouterr()
    assert [name for name, *_ in asked] == [*models.MODELS, "nmnist", "mnist"]
    assert {checkpoints for *_, checkpoints in asked} == {None} and "is written" not in printed.err
    assert "| not compared |" in printed.err
    assert json.loads(printed.out.splitlines()[0]) == {name: untrained(name) for name in models.MODELS}
    other = untrained("mnist")
    other = {**other, "right": 1, "margin": 1e-3, "accuracy": {**other["accuracy"], "int8": 0.5}}
    monkeypatch.setattr(models, "verify", lambda *_: other)
    assert models.main(["verify", "datasets", "mnist"]) == 1
    assert [line.partition(" is ")[0] for line in capsys.readouterr().err.splitlines()[1:]] == [
        "mnist: accuracy.int8", "mnist: margin", "mnist: right"]
    monkeypatch.setattr(models, "verify", lambda *_: {**other, "samples": 10})
    assert models.main(["verify", "datasets", "mnist"]) == 1
    assert "mnist: 10 test samples are there, but 10,000 are written in models.json" in capsys.readouterr().err
    assert models.RESULTS.read_bytes() == before


def test_verify_writes_what_the_network_as_trained_shows_where_it_is_told_to(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(models, "RESULTS", tmp_path / "models.json")
    monkeypatch.setattr(models, "verify", lambda name, *_: FOUND[name])
    (tmp_path / "mnist.pt").touch()
    arguments = ["verify", "datasets", str(tmp_path), "mnist"]
    assert models.main(arguments) == 1 and not models.RESULTS.exists()
    assert "mnist: nothing is written of it in models.json: add --write" in capsys.readouterr().err
    assert models.main([*arguments, "--write"]) == models.main(arguments) == 0
    assert json.loads(models.RESULTS.read_text()) == {"mnist": FOUND["mnist"]}
    parted = {**FOUND["mnist"], "trained_different": [{"sample": 7, "distance": 1e-7}]}
    monkeypatch.setattr(models, "verify", lambda name, *_: parted)
    assert models.main(arguments) == 1
    assert "mnist: trained_different is [7], but [] is written" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        models.main(["verify", "datasets", "mnist", "--write"])
    assert "--write is for verify with CHECKPOINTS" in capsys.readouterr().err


def test_a_model_is_verified_without_a_checkpoint(tmp_path):
    pytest.importorskip("torch")
    from picture_files import write_mnist

    write_mnist(tmp_path)
    verified = models.verify_file(DATA / "mnist.h5", "mnist", tmp_path)
    assert verified["levels"] > 0 == verified["levels_different"] == verified["predictions_different"]
    assert not verified["trained_compared"] and not models.wrong(verified)


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


def test_the_page_says_how_many_bits_the_digits_bring_to_a_synapse():
    import h5py

    with h5py.File(DATA / "digits_test.h5") as file:
        bits = np.unpackbits(file["x"][:][:, 0, :, :, None], axis=-1).sum(-1).mean(0)
    along = np.full(8, 3)
    along[[0, -1]] = 2  # of 3 x 3 weights, at the border
    synapses = np.outer(along, along)
    mean = (bits * synapses).sum() / synapses.sum()
    for told in (f"reads a pixel with {mean:.1f} bits that are 1", f"(a pixel has {bits.mean():.2f}, but"):
        assert told in " ".join(PAGE.split())


def test_training_needs_a_folder_of_checkpoints(capsys):
    with pytest.raises(SystemExit):
        models.main(["train", "datasets"])
    assert "train needs CHECKPOINTS, the folder of the networks" in capsys.readouterr().err


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
