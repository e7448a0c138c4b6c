"""examples/shipped.py: errors and bits of the models in data/; the record is of the files that are there."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
sys.path.insert(0, str(EXAMPLES))

import eventsim  # noqa: E402
import models  # noqa: E402
import shipped  # noqa: E402
from eventsim.inputs.dataset import open_dataset  # noqa: E402
from eventsim.model.rectifier import rectified  # noqa: E402
from eventsim.statistics.membranes import MOST_NEURONS  # noqa: E402
from picture_files import write_mnist  # noqa: E402


def test_the_record_is_of_the_files_in_data():
    found = shipped.read()
    assert found.keys() == models.MODELS.keys()
    recorded = json.loads(models.RESULTS.read_text())
    for name, one in found.items():
        assert one["sha256"] == shipped.digest(name), f"run: python examples/shipped.py DATASETS {name}"
        assert one["samples"] == recorded[name]["samples"]
        assert one["accuracy"] == pytest.approx(recorded[name]["accuracy"]["float32"])


def test_errors_and_bits_are_those_of_the_recorded_membranes_and_spikes(tmp_path):
    write_mnist(tmp_path, 6)
    model = eventsim.load(models.DATA / "mnist.h5")
    samples = open_dataset(tmp_path / shipped.TEST["mnist"], model.nodes[model.input])
    found = shipped.as_is(model, samples, limit=4)
    (x, y), = ((x[:4], y[:4]) for x, y in samples.batches(10))
    neurons = [name for name, node in model.nodes.items() if node.kind == "Neuron"]
    recording = eventsim.Simulator(model, "float32").run(
        x, record=[f"{kind}:{name}" for name in neurons for kind in ("spikes", "potentials")])
    assert found["samples"] == 4 and found["accuracy"] == np.mean(recording.predictions == y)
    assert found["layers"].keys() == set(neurons)
    set_bits, events, compared = np.zeros(2), 0, 0
    for name in neurons:
        levels, one = np.asarray(recording.levels(name)).astype(int), found["layers"][name]
        bits = np.array([(levels >> bit & 1).sum() for bit in range(2)])
        np.testing.assert_allclose(one["bit_use"], bits / (levels > 0).sum(), atol=1e-5)
        set_bits, events = set_bits + bits, events + (levels > 0).sum()
        if levels[0, 0].size <= MOST_NEURONS:  # of larger layers, some neurons are looked at
            u = np.asarray(recording.potentials(name), np.float64).ravel() / float(model.nodes[name].quantum)
            for moved, error in ((u, one["error"]), (rectified(u, 3), one["rectified_error"])):
                assert error == pytest.approx(np.mean((moved - levels.ravel()) ** 2), rel=1e-5)
            compared += 1
    np.testing.assert_allclose(found["bit_use"], set_bits / events, atol=1e-5)
    assert compared and events


def test_restimulation_is_cut_out_and_nothing_else():
    model = eventsim.load(models.DATA / "cifar10_multibit.h5")
    cut = shipped.without_restimulation(model)
    gone = model.nodes.keys() - cut.nodes.keys()
    assert gone and {model.nodes[name].kind for name in gone} == {"Restimulation"}
    assert len(model.edges) - len(cut.edges) == 2 * len(gone) and cut.timesteps == model.timesteps
    assert shipped.without_restimulation(cut) is None


def test_the_words_follow_the_numbers():
    def run(bit_use, accuracy, **more):
        layers = {"a": {"error": 0.5, "rectified_error": 0.125}, "b": {"error": 1.5, "rectified_error": 0.375},
                  "c": {"error": 9.0, "rectified_error": None}}
        return {"samples": 2000, "accuracy": accuracy, "bit_use": bit_use, "layers": layers, **more}

    found = {"one": run([0.5, 0.5], 0.75, without_restimulation=run([0.9, 0.1], 0.5)), "two": run([1.0], 0.5)}
    text = shipped.section(found)
    assert "| `one.h5` | 2,000 | 2 | 1.000 (0.500 to 1.500) | 0.250 (0.125 to 0.375) | 4.0 |" in text
    assert "| `one.h5` | as trained | 50 50 | 1.00 | 75.00 |" in text and "| `one.h5` | cut out | 90 10 |" in text
    assert "use of the bits more even (1.00 against 0.47)" in text and "costs 25.00 points" in text
    assert text.count("`two.h5`") == 1 and shipped.section({}) == ""


def test_refuses_unknown_models(capsys):
    with pytest.raises(SystemExit):
        shipped.main(["folder", "mnist2"])
    assert "no model mnist2: expected mnist" in capsys.readouterr().err
