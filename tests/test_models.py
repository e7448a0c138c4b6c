"""The trained models in data/: each passes its own check, and the recorded verification is of these files."""

import hashlib
import json
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "examples"))

import eventsim  # noqa: E402
import models  # noqa: E402
from eventsim.checking import check  # noqa: E402

DATA = ROOT / "data"
PAGE = (DATA / "README.md").read_text()
FOUND = json.loads(models.RESULTS.read_text())
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
    settings = json.loads(model.provenance["settings"])
    words = dict(zip(models.MODELS[name], models.MODELS[name][1:]))
    assert settings["data"] == models.MODELS[name][0] and settings["network"] == words["--network"]
    assert settings["epochs"] == int(words["--epochs"]) and settings["timesteps"] == int(words["--timesteps"])


@pytest.mark.parametrize("name", models.MODELS)
def test_the_recorded_verification(name):
    found = FOUND[name]
    assert found["bytes"] == (DATA / f"{name}.h5").stat().st_size
    assert found["levels"] > 0 and found["levels_different"] == found["predictions_different"] == 0
    assert found["trained_compared"] and len(found["trained_different"]) <= found["samples"] / 1000
    assert all(abs(first["distance"]) < 1e-4 for first in found["trained_different"])
    told = eventsim.load(DATA / f"{name}.h5").provenance["accuracy_test"]
    assert told.startswith(f"{found['accuracy']['float32']:.4f} on {found['samples']} ")
    row = re.search(rf"^\| `{name}\.h5` \|.*$", PAGE.partition("## Trained models")[2], re.MULTILINE)[0]
    for precision in ("float32", "int8"):
        assert f"{100 * found['accuracy'][precision]:.2f}" in row
    assert models.row(name, found) == row


def test_nmnist_is_right_as_often_as_recorded():
    if not DATASETS.is_dir():
        pytest.skip("no data sets beside the project")
    from eventsim.datasets import open_dataset

    model = eventsim.load(DATA / "nmnist.h5")
    dataset = open_dataset(DATASETS / "n-mnist" / "Test", model.nodes[model.input], model.timesteps)
    for precision in ("float32", "int8"):
        simulator = eventsim.Simulator(model, precision)
        right = sum(int((simulator.run(x, record=()).predictions == y).sum()) for x, y in dataset.batches(50))
        assert right / len(dataset) == FOUND["nmnist"]["accuracy"][precision]
