"""examples/anns.py: models beside their ANNs; what is recorded is of the files in data/."""

import hashlib
import json
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "examples"))

import anns  # noqa: E402
import eventsim  # noqa: E402
import models  # noqa: E402
import papers  # noqa: E402
from picture_files import write_cifar  # noqa: E402

FOUND = json.loads(models.BESIDE_ANNS.read_text())
PAGE = (models.DATA / "README.md").read_text().splitlines()
VERIFIED, ENERGIES = (json.loads(path.read_text()) for path in (models.RESULTS, models.ENERGIES))


@pytest.fixture(autouse=True)
def as_before(monkeypatch):
    """What a command changes of its process is of no other test."""
    monkeypatch.setattr(papers, "keep_memory", lambda: None)
    monkeypatch.setenv("OMP_WAIT_POLICY", "passive")


@pytest.mark.parametrize("name", FOUND)
def test_the_record_is_of_the_files_in_data(name):
    found = FOUND[name]
    digest = hashlib.sha256((models.DATA / f"{name}.h5").read_bytes()).hexdigest()
    assert found["sha256"] == digest, f"run: python examples/models.py ann DATASETS CHECKPOINTS {name}"
    assert anns.row(name, found) in PAGE
    for precision in ("float32", "int8"):
        assert found["spiking"]["joule"][precision] == pytest.approx(ENERGIES[name][precision]["events"])
        if name in VERIFIED:
            assert found["spiking"]["accuracy"][precision] == pytest.approx(VERIFIED[name]["accuracy"][precision])


def test_the_ann_of_a_model_is_its_layers_once():
    model = eventsim.load(models.DATA / "digits.h5")
    found = anns.dense(model, models.DATA / "digits_test.h5")
    inside = 9 * 64 - 4 * 8 * 3 + 4  # synapses between two maps of 8 x 8: borders have fewer
    small = 9 * 16 - 4 * 4 * 3 + 4
    assert found["macs"] == inside * 16 + small * 16 * 32 + 128 * 48 + 48 * 10
    assert found["macs"] == FOUND["digits"]["ann"]["macs"]
    assert found["joule"]["int8"] < found["joule"]["float32"]
    multibit = anns.in_one_step(eventsim.load(models.DATA / "cifar10_multibit.h5"))
    kinds = {node.kind for node in multibit.nodes.values()}
    assert "Neuron" in kinds and "Restimulation" not in kinds and multibit.timesteps == 1


def test_a_network_in_8_bits_is_that_network_rounded():
    torch = pytest.importorskip("torch")
    from trainer.conversion import best_limit
    from trainer.network import SpikingNet
    from trainer.rounding import in_8_bits, rounded_weights

    torch.manual_seed(0)
    weight = torch.randn(5, 3, 2, 2)
    weight[1] = 0
    rounded = rounded_weights(weight)
    step = weight.flatten(1).abs().amax(1) / 127
    assert (rounded - weight).flatten(1).abs().amax(1).le(0.5001 * step).all() and not rounded[1].any()
    levels = rounded[0] / step[0]
    torch.testing.assert_close(levels, levels.round(), rtol=0, atol=1e-4)
    assert levels.abs().max() == pytest.approx(127)

    net = SpikingNet({"conv": torch.nn.Conv2d(2, 3, 3), "norm": torch.nn.BatchNorm2d(3), "fire": torch.nn.ReLU(),
                      "flatten": torch.nn.Flatten(), "dense": torch.nn.Linear(48, 4)}, 1)
    net(torch.randn(20, 2, 6, 6))  # statistics for BatchNorm
    x = torch.randn(8, 2, 6, 6)
    found = in_8_bits(net.eval(), x)(x)
    layers, norm = net.layers, net.layers["norm"]
    gain = (norm.weight / (norm.running_var + norm.eps).sqrt()).detach()
    weight = rounded_weights(layers["conv"].weight.detach() * gain.view(-1, 1, 1, 1))
    bias = norm.bias + (layers["conv"].bias - norm.running_mean) * gain
    hidden = torch.nn.functional.conv2d(x, weight, bias.detach()).clamp(min=0)
    limit = best_limit(hidden.double().numpy().ravel(), 255)
    hidden = (hidden * (255 / limit) + 0.5).floor().clamp(max=255) * (limit / 255)
    expected = hidden.flatten(1) @ rounded_weights(layers["dense"].weight.detach()).T + layers["dense"].bias
    torch.testing.assert_close(found[0] if found.ndim == 3 else found, expected, rtol=1e-3, atol=1e-3)


def test_the_digits_train_with_relu_as_well():
    torch = pytest.importorskip("torch")
    import train_digits
    from trainer.training import evaluate
    from trainer.data import Arrays
    from trainer.digits import load_split

    (x, y), _ = load_split()
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    settings = SimpleNamespace(epochs=12, lr=1e-2, spike_penalty=0.0, seed=0)
    net, node = train_digits.fit(x[:256], y[:256], settings, relu=True)
    torch.set_num_threads(before)
    assert not any(type(layer).__name__ == "Neuron" for layer in net.modules()) and net.timesteps == 1
    assert evaluate(net, Arrays(x[:256], y[:256]), node)[0] > 0.8
    assert np.isfinite(evaluate(net, Arrays(x[:8], y[:8]), node)[1]).all()


def test_the_ann_of_cifar10_is_trained_once_and_kept(tmp_path, monkeypatch):
    torch = pytest.importorskip("torch")
    write_cifar(tmp_path)
    before = torch.get_num_threads()
    monkeypatch.setitem(anns.TIMED, "cifar10", (
        "--network", "lenet", "--widths", "4", "--dense", "8", "--neuron", "ReLU", "--timesteps", "1",
        "--batch-size", "20", "--epochs", "1", "--lr", "0.01", "--threads", "1"))
    net, data = anns.trained("cifar10_multibit", tmp_path, tmp_path)
    assert not any(type(layer).__name__ == "Neuron" for layer in net.modules())
    found = anns.accuracies(net, data, calibrated_by=8)
    assert set(found) == {"held_out", "float32", "int8"} and all(0 <= share <= 1 for share in found.values())
    monkeypatch.setattr(papers, "main", lambda arguments: pytest.fail("it is trained again"))
    again, _ = anns.trained("cifar10", tmp_path, tmp_path)
    torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(net.state_dict().values(), again.state_dict().values()))
    monkeypatch.setitem(anns.TIMED, "cifar10", (*anns.TIMED["cifar10"][:3], "5", *anns.TIMED["cifar10"][4:]))
    refusal = r"cifar10_ann.pt: was trained with widths \[4\], expected \[5\]: move it away"
    with pytest.raises(SystemExit, match=refusal):
        anns.trained("cifar10", tmp_path, tmp_path)


SMALL = ("--network", "lenet", "--widths", "4", "--dense", "8", "--batch-size", "20", "--epochs", "1",
         "--lr", "0.01", "--threads", "1")


def test_a_model_that_is_taught_is_made_of_its_ann_and_exported(tmp_path, monkeypatch):
    torch = pytest.importorskip("torch")
    folder, before = tmp_path / models.FOLDERS["cifar10"], torch.get_num_threads()
    folder.mkdir()
    write_cifar(folder)
    monkeypatch.setitem(anns.TIMED, "cifar10", (*SMALL, "--neuron", "ReLU", "--pool", "max", "--timesteps", "1"))
    monkeypatch.setitem(models.MODELS, "cifar10_multibit", (
        "cifar10", *SMALL, "--pool", "max", "--bits", "1", "1", "--timesteps", "2"))
    monkeypatch.setattr(models, "DATA", tmp_path)
    (tmp_path / "checkpoints").mkdir()
    assert models.train("cifar10_multibit", tmp_path, tmp_path / "checkpoints") in (0, 1)
    torch.set_num_threads(before)
    model = eventsim.load(tmp_path / "cifar10_multibit.h5")
    told = json.loads(model.provenance["settings"])
    assert model.timesteps == 2 and told["initial"]["neuron"] == told["teacher"]["neuron"] == "ReLU"
    names = {path.name for path in (tmp_path / "checkpoints").iterdir()}
    assert names >= {"cifar10_ann.pt", "cifar10_multibit.pt"}


def test_a_model_goes_on_from_what_its_ann_taught_by_another_model(tmp_path, monkeypatch):
    torch = pytest.importorskip("torch")
    folder, before = tmp_path / models.FOLDERS["cifar10"], torch.get_num_threads()
    folder.mkdir()
    write_cifar(folder)
    spiking = (*SMALL, "--pool", "max", "--timesteps", "2")
    monkeypatch.setitem(anns.TIMED, "cifar10", (*SMALL, "--neuron", "ReLU", "--pool", "max", "--timesteps", "1"))
    rates = ("--gradients", "rates", "--teacher-once")
    monkeypatch.setitem(models.BEFORE, "cifar10", (spiking, (*spiking, "--lr", "0.015")))
    monkeypatch.setitem(models.MODELS, "cifar10", ("cifar10", *spiking, "--lr", "0.02", *rates))
    monkeypatch.setitem(models.FURTHER_BY, "cifar10", "other")
    monkeypatch.setattr(models, "DATA", tmp_path)
    (tmp_path / "checkpoints").mkdir()
    shutil.copyfile(ROOT / "data" / "cifar10_multibit.h5", tmp_path / "other.h5")
    assert models.train("cifar10", tmp_path, tmp_path / "checkpoints") == 0
    torch.set_num_threads(before)
    last = json.loads(eventsim.load(tmp_path / "cifar10.h5").provenance["settings"])
    second, first = last["initial"], last["initial"]["initial"]
    assert last["gradients"] == "rates" and [stage["lr"] for stage in (first, second, last)] == [0.01, 0.015, 0.02]
    assert last["teacher"]["bits"] == second["teacher"]["bits"] == [1, 2]
    assert first["initial"]["neuron"] == first["teacher"]["neuron"] == "ReLU"


@pytest.mark.parametrize("more, found", ((["--gradients", "rates"], "gradients steps, expected rates"),
                                         (["--teacher-once"], "teacher_once False, expected True")))
def test_a_network_that_learnt_otherwise_is_not_taken(tmp_path, more, found):
    torch = pytest.importorskip("torch")
    args = papers.parser().parse_args(["gpu", "parts", "state", *SMALL])
    settings = {name: getattr(args, name) for name in (*papers.NETWORK, *papers.RECIPE)}
    torch.save({"net": {}, "settings": json.loads(json.dumps(settings))}, tmp_path / "net.pt")
    anns.timed(SMALL, tmp_path, tmp_path / "net.pt")
    with pytest.raises(SystemExit, match=f"net.pt: was trained with {found}: move it away"):
        anns.timed((*SMALL, *more), tmp_path, tmp_path / "net.pt")


def test_what_is_known_of_anns_is_kept_and_nothing_is_trained(tmp_path, monkeypatch, capsys):
    written = tmp_path / "ann.json"
    known = json.loads(models.BESIDE_ANNS.read_text())["digits"]
    written.write_text(json.dumps({"digits": {**known, "sha256": "of before", "spiking": None}}))
    monkeypatch.setattr(models, "BESIDE_ANNS", written)
    monkeypatch.setattr(anns, "trained", lambda *_: pytest.fail("it is trained"))
    assert models.main(["ann", str(tmp_path), str(tmp_path), "digits", "--known"]) == 0
    assert json.loads(written.read_text())["digits"] == known
    with pytest.raises(SystemExit):
        models.main(["ann", str(tmp_path), str(tmp_path), "mnist", "--known"])
    assert "ann.json knows nothing of mnist: leave out --known" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        models.main(["energy", str(tmp_path), "--known"])
    assert "--known is for ann: leave it out with energy" in capsys.readouterr().err


def test_a_training_that_was_stopped_is_not_taken_for_done(tmp_path, monkeypatch):
    monkeypatch.setattr(papers, "main", lambda arguments: 3 if arguments[0] == "gpu" else 0)
    with pytest.raises(SystemExit, match="not finished; the same command goes on with it"):
        anns.timed(("--epochs", "1"), tmp_path, tmp_path / "net.pt")
