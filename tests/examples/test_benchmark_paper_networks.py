"""benchmarks/paper_networks.py on a tiny ResNet19: what it gives PyTorch is the same network, and what it says."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
sys.path[:0] = [str(EXAMPLES), str(EXAMPLES / "benchmarks")]

import paper_networks as papers  # noqa: E402
from deep_networks import random_images  # noqa: E402
from trainer.training import to_values  # noqa: E402

TINY = papers.NETWORKS["resnet19"]._replace(size=8, calibrating=4)
WIDTHS = (4, 6, 8)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_pytorch_runs_the_network_that_is_exported(tmp_path):
    net, node = papers.calibrated("resnet19", TINY, 0, widths=WIDTHS)
    papers.write(net, node, tmp_path, 1)
    images = random_images(5, node.shape, 2)
    with torch.no_grad():
        expected = net(to_values(images, node)).numpy()
    recording = papers.in_eventsim(tmp_path, "float32")(images)
    assert np.ptp(expected, axis=0).min() > 0, "the network tells no image from another: nothing is proved"
    np.testing.assert_allclose(recording.output, expected, rtol=0, atol=1e-4)
    for channels_last in (False, True):
        np.testing.assert_allclose(papers.in_torch(tmp_path, channels_last)(images), expected, rtol=0, atol=1e-4)


def test_neurons_in_three_passes_are_those_of_the_trainer():
    from trainer.neurons import NEURONS, Neuron

    current = torch.randn(papers.STEPS, 3, 5, 4, 4)
    assert torch.equal(papers.fire(current.clone()), Neuron(**NEURONS[papers.NEURON])(current))
    still = current[:1]
    assert torch.equal(papers.fire(still), papers.fire(still.repeat(papers.STEPS, 1, 1, 1, 1)))


def test_the_command_prints_what_it_measured(monkeypatch, capsys):
    runners = ("eventsim float32", "PyTorch float32")  # half of them: each starts a process
    monkeypatch.setattr(papers, "RUNNERS", {name: papers.RUNNERS[name] for name in runners})
    command = ["--network", "resnet19", "--widths", *map(str, WIDTHS), "--rounds", "1", "--json"]
    assert papers.main(command) == 0
    printed = capsys.readouterr()
    result = json.loads(printed.out)
    assert printed.err == "" and result["rounds"] == 1
    [found] = result["networks"]
    assert (found["network"], found["size"], found["equality"]["images"]) == ("resnet19", 32, 8)
    assert found["equality"]["levels"] == 8 * papers.STEPS * found["neurons"]
    assert found["equality"]["levels_different"] == 0 and found["equality"]["timed_apart"] < 1e-12
    assert found["per_image"]["dense_macs"] > found["per_image"]["additions"] >= found["per_image"]["synops"] > 0
    assert [row["name"] for row in found["runners"]] == list(runners)
    for row in found["runners"]:
        assert min(row["seconds_per_image"].values()) > 0 and row["peak_bytes"] >= row["imported_bytes"]
    text = papers.as_text(result)
    assert "resnet19 32x32" in text and "all equal" in text
    found["equality"]["levels_different"] = 2
    assert "2 DIFFERENT" in papers.as_text(result) and not papers.is_equal(found)
    found["equality"].update(levels_different=0, timed_apart=0.1)
    assert not papers.is_equal(found)
