"""python -m trainer: from data files to an exported, tested model."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import eventsim  # noqa: E402
from trainer_networks import eventsim_check, one_thread  # noqa: E402, F401  (also: where the trainer is)
from picture_files import write_cifar, write_mnist  # noqa: E402
from trainer.__main__ import main  # noqa: E402
from trainer.data import some  # noqa: E402

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
SMALL = ["--network", "resnet8", "--widths", "4", "6", "8", "--epochs", "2", "--batch-size", "16", "--quiet",
         "--device", "cpu", "--threads", "1", "--timesteps", "2"]


def run(capsys, *arguments):
    code = main([str(a) for a in arguments])
    return code, json.loads(capsys.readouterr().out.splitlines()[-1])


def test_trains_in_pieces_exports_and_tests(tmp_path, capsys):
    pytest.importorskip("PIL")
    write_cifar(tmp_path)
    common = ["cifar10", tmp_path, *SMALL, "--bits", 1, 1, "--restimulation"]
    _, whole = run(capsys, *common, "--output", tmp_path / "whole.h5")
    pieces = [*common, "--checkpoint", tmp_path / "net.pt", "--output", tmp_path / "pieces.h5"]
    code, found = run(capsys, *pieces, "--seconds", 0)
    assert code == 3 and not found["finished"] and not (tmp_path / "pieces.h5").exists()
    code, found = run(capsys, *pieces)
    assert code == 0 and found["losses"] == whole["losses"] and len(found["losses"]) == 2
    assert 0 <= found["held_out_accuracy"] <= 1 and found["test_samples"] == 20
    model = eventsim.load(tmp_path / "pieces.h5")
    assert eventsim_check(model) and model.class_names[3] == "class3" and model.timesteps == 2
    assert model.nodes["stem"].bits == 2 and model.nodes["stem"].quantum == 0.5
    assert f"{found['test_accuracy']:.4f} on 20 test samples" in model.provenance["accuracy_test"]


def test_converts(tmp_path, capsys):
    write_mnist(tmp_path)
    code, found = run(capsys, "mnist", tmp_path, *SMALL[:-2], "--augmentation", "none", "--neuron", "ReLU",
                      "--convert", 3, 2, "--output", tmp_path / "net.h5")
    assert code == 0 and "converted_held_out_accuracy" in found
    model = eventsim.load(tmp_path / "net.h5")
    assert eventsim_check(model) and model.timesteps == 3 and model.nodes["neurons.if0"].bits == 2
    assert json.loads(model.provenance["settings"])["timesteps"] == found["timesteps"] == 1


def test_samples_and_neurons_of_the_command(tmp_path, capsys):
    write_mnist(tmp_path)
    code, found = run(capsys, "mnist", tmp_path, *SMALL, "--neuron", "hard LIF", "--leak", 0.25, "--samples", 20,
                      "--spike-penalty", 0.5, "--output", tmp_path / "net.h5")
    assert code == 0 and found["test_samples"] == 30
    model = eventsim.load(tmp_path / "net.h5")
    node = model.nodes["stem"]
    assert (node.leak, node.reset) == (0.25, "hard")
    assert json.loads(model.provenance["settings"])["spike_penalty"] == 0.5


@pytest.mark.parametrize("arguments, message", [
    (["mnist", "--convert", 2, 2], "--convert makes a spiking network of ReLU, but --neuron is SRIF+MPR"),
    (["mnist", "--neuron", "ReLU", "--output", "net.h5"], "cannot be exported: add --convert T B"),
    (["mnist", "--neuron", "ReLU", "--convert", 2, 2, "--restimulation"], "--restimulation is of spiking neurons"),
    (["mnist", "--neuron", "ReLU", "--convert", 2, 2, "--leak", 0.5, "--surrogate", "triangle", "--width", 1],
     "--leak and --surrogate and --width are of spiking neurons"),
    (["mnist", "--neuron", "ReLU", "--timesteps", 2], "--timesteps 2: a network of ReLU runs once per sample"),
    (["mnist", "--neuron", "ReLU", "--convert", 2, 17], "--convert: spikes have 17 bits, at most 16 can be"),
    (["mnist", "--bits", 9, 8], "--bits 9 8: spikes have 17 bits, but 1 to 16 can be exported"),
    (["mnist", "--output", "net.h5", "--checkpoint", "net.h5"], "--output net.h5 is the file of --checkpoint,"),
    (["nmnist", "--neuron", "ReLU", "--convert", 2, 2],
     "for samples that stand still, which those of nmnist do not"),
    (["mnist", "--neuron", "ReLU", "--convert", 2, 2, "--spike-penalty", 1],
     "--spike-penalty is of spiking neurons"),
    (["mnist", "--spike-penalty", -1], "--spike-penalty is -1.0: expected a number of at least 0"),
    (["mnist", "--spike-penalty", "nan"], "--spike-penalty is nan: expected a number of at least 0"),
    (["mnist", "--augmentation", "simple"], "--augmentation simple is for cifar10; mnist has paper and none"),
])
def test_what_does_not_go_together_is_said_before_data_are_read(arguments, message, capsys):
    data, *rest = map(str, arguments)
    with pytest.raises(SystemExit):
        main([data, "no folder", *rest])
    assert message in capsys.readouterr().err


def test_a_file_that_no_model_can_be_written_to_is_refused_before_data_are_read():
    with pytest.raises(ValueError, match="--output net.txt: suffix is '.txt', expected '.h5': name it net.h5"):
        main(["mnist", "no folder", "--output", "net.txt"])


def test_more_samples_than_there_are(tmp_path):
    write_mnist(tmp_path)
    with pytest.raises(ValueError, match="1000 samples are wanted, but there are "):
        main(["mnist", str(tmp_path), *SMALL, "--samples", "1000"])


def test_errors_are_one_line(tmp_path):
    write_mnist(tmp_path)
    for arguments, message in ((["--samples", "1000"], "1000 samples are wanted"),
                               ([], "holds none of train-images")):
        folder = tmp_path if arguments else tmp_path / "nothing"
        done = subprocess.run([sys.executable, "-m", "trainer", "mnist", folder, *arguments], cwd=EXAMPLES,
                              capture_output=True, text=True)
        assert done.returncode == 1 and message in done.stderr and done.stderr.count("\n") == 1


def test_some_samples_are_of_all_classes_where_files_are_sorted():
    y = np.repeat(np.arange(10), 100)
    chosen = some(len(y), 200)
    assert len(set(chosen)) == 200 and (np.bincount(y[chosen]) > 8).all() and list(chosen) == sorted(chosen)


def test_help_shows_examples_and_where_files_are_expected(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    text = capsys.readouterr().out
    assert "--checkpoint resnet20.pt" in text and "train-images-idx3-ubyte.gz" in text and "(default 2)" in text
