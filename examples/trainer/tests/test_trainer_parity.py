"""parity.py: a file against PyTorch; what it finds when they differ."""

import json
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import eventsim  # noqa: E402
from eventsim.model.input import Input
from eventsim.model.transforms import Delay  # noqa: E402
from trainer_networks import export, IMAGE, bars, normalise, one_thread, settle  # noqa: E402, F401
from picture_files import write_mnist  # noqa: E402
from trainer import __main__ as command  # noqa: E402
from trainer.data import Arrays  # noqa: E402
from trainer.networks import Style, from_settings, resnet8  # noqa: E402
from trainer.neurons import fixed_point  # noqa: E402
from trainer.parity import compare, first_difference, main, node_of, run_trained, trained_network  # noqa: E402
from trainer.simulating import simulate  # noqa: E402
from trainer.training import to_values  # noqa: E402


@pytest.fixture
def exported(tmp_path):
    x, y = bars(30)
    net = resnet8(Style({**fixed_point(1, 1), "mpr": True}, True, alpha=2.0), 3, (2, 8, 8), 2, widths=(4, 6, 8))
    settle(net, normalise(x, IMAGE).float())
    return net, export(net, tmp_path / "net.h5", x[:3]), Arrays(x, y)


def test_a_file_run_in_pytorch_is_the_network_of_the_trainer(exported):
    net, model, part = exported
    values = normalise(part.x, IMAGE)
    outputs, levels = run_trained(deepcopy(net).double(), values)
    found = simulate(model, values)
    np.testing.assert_allclose(found.outputs, outputs, rtol=0, atol=1e-12)
    assert found.levels.keys() == {node_of(model, name) for name in levels}
    assert all(np.array_equal(found.levels[node_of(model, name)], levels[name]) for name in levels)


@pytest.mark.parametrize("name", ["digits", "mnist", "nmnist"])
def test_files_of_before_are_run_in_pytorch_and_named_as_they_are(name):
    model = eventsim.load(Path(__file__).resolve().parents[3] / "data" / f"{name}.h5")
    found = simulate(model, normalise(model.check.x, model.nodes[model.input]))
    np.testing.assert_allclose(found.outputs, model.check.outputs, rtol=0, atol=1e-12)
    assert found.levels.keys() == model.check.level_counts.keys()
    assert all(node_of(model, name) == name for name in found.levels)


def test_an_exported_file_has_parity(exported):
    net, model, part = exported
    found = compare(model, part, net, batch_size=12)
    assert (found.samples, found.levels_different, found.predictions_different) == (30, 0, 0)
    sizes = [np.prod(model.shapes[n]) for n, node in model.nodes.items() if node.kind == "Neuron"]
    assert found.levels == 30 * 3 * sum(sizes)
    assert found.output_error < 1e-12 and found.margin > 0 and found.trained_compared
    assert all(d.distance < 1e-4 for d in found.trained_different)
    assert json.loads(json.dumps(found.as_json()))["samples"] == 30
    assert compare(model, part, limit=7).samples == 7


def test_a_network_that_is_not_the_file_s_is_found_out(exported):
    net, model, part = exported
    with torch.no_grad():
        net.layers["dense"].weight.neg_()
        net.layers["stage2_1a_norm"].bias.add_(0.2)
    found = compare(model, part, net)
    assert found.levels_different == 0, "the file itself still equals its own weights"
    assert found.trained_different
    assert {d.layer for d in found.trained_different} == {"layers.stage2_1a"}
    assert all(d.step == 0 for d in found.trained_different)


def test_outputs_that_alone_differ_are_told_apart(exported):
    net, model, part = exported
    with torch.no_grad():
        net.layers["dense"].bias.copy_(net.layers["dense"].bias.flip(0) + torch.tensor([5.0, 0]))
    found = compare(model, part, net).trained_different
    assert found and {(d.layer, d.step, d.neuron) for d in found} == {("readout", 2, 0)}
    assert all(d.distance > 0 for d in found)


def test_a_file_that_computes_otherwise_is_found_out(exported, monkeypatch, tmp_path):
    _, model, part = exported
    other = eventsim.load(tmp_path / "net.h5")
    other.nodes["layers.stage1_1a"].v_threshold = np.array(0.3)
    monkeypatch.setattr("trainer.parity.simulate", lambda model, x: simulate(other, x))
    assert compare(model, part).levels_different > 0


def test_first_difference_says_how_far_a_membrane_is_from_its_threshold(exported):
    net, model, part = exported
    _, levels = run_trained(net, to_values(part.x[:1], IMAGE))
    levels = {node_of(model, name): found[0].copy() for name, found in levels.items()}
    assert first_difference(model, part.x[0], levels) is None
    levels["layers.stage1_1b"].reshape(3, -1)[1, 5] += 1
    levels["layers.stem"].reshape(3, -1)[2, 0] += 1
    found = first_difference(model, part.x[0], levels, sample=4)
    assert found[:4] == (4, "layers.stage1_1b", 1, 5)
    recording = eventsim.Simulator(model, "float64").run(part.x[:1], record=["potentials:layers.stage1_1b"])
    h = np.asarray(recording.potentials("layers.stage1_1b"))[0, 1].ravel()[5]
    assert found.distance == pytest.approx(min(abs(h - t) for t in (0.25, 0.75, 1.25)) / 0.5)


def test_models_that_the_trainer_does_not_make_are_refused():
    late = eventsim.Model({"input": Input((2,)), "late": Delay(1), "n": eventsim.Neuron()},
                          [("input", "late"), ("late", "n")])
    with pytest.raises(TypeError, match=r"node 'late' \(Delay\)"):
        simulate(late, torch.zeros(1, 2))
    delayed = eventsim.Model({"input": Input((2,)), "n": eventsim.Neuron()}, [("input", "n", 1)])
    with pytest.raises(TypeError, match="edges with a delay"):
        simulate(delayed, torch.zeros(1, 2))
    leaky = eventsim.Model({"input": Input((2,)), "n": eventsim.Neuron(current_leak=0.5)}, [("input", "n")])
    with pytest.raises(TypeError, match=r"node 'n' \(Neuron\): current_leak is 0.5, expected None"):
        simulate(leaky, torch.zeros(1, 2))


def test_the_command_compares_a_test_set_and_a_checkpoint(tmp_path, capsys):
    write_mnist(tmp_path)
    command.main(["mnist", str(tmp_path), "--network", "lenet", "--widths", "4", "6", "--epochs", "1",
                  "--batch-size", "9", "--quiet", "--device", "cpu", "--timesteps", "2", "--alpha", "1.5",
                  "--checkpoint", str(tmp_path / "net.pt"), "--output", str(tmp_path / "net.h5")])
    code = main([str(tmp_path / "net.h5"), "mnist", str(tmp_path), "--checkpoint", str(tmp_path / "net.pt")])
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert code == 0 and found["samples"] == 30 and found["trained_compared"]
    assert found["levels_different"] == 0 and found["levels"] == 30 * 2 * (4 * 28 * 28 + 6 * 14 * 14 + 64)


def test_a_checkpoint_stands_for_its_moving_average_where_it_has_one(tmp_path):
    settings = {"network": "lenet", "neuron": "SRIF+MPR", "bits": [1, 0], "leak": None, "surrogate": "rectangle",
                "width": 2.0, "alpha": 1.0, "restimulation": False, "timesteps": 2, "seed": 0, "convert": None}
    model = SimpleNamespace(provenance={"settings": json.dumps(settings)})
    data = SimpleNamespace(input_node=Input((1, 28, 28)), class_names=range(10), moving=False)
    raw, average = (from_settings({**settings, "seed": seed}, data).state_dict() for seed in (1, 2))
    for contents, expected in (({"net": raw}, raw), ({"net": raw, "average": average}, average),
                               ({"net": None, "average": average}, average)):
        torch.save(contents, tmp_path / "net.pt")
        net = trained_network(model, tmp_path / "net.pt", data)
        assert all(torch.equal(value, expected[name]) for name, value in net.state_dict().items())
    del average["layers.dense.bias"]
    torch.save({"net": raw, "average": average}, tmp_path / "net.pt")
    with pytest.raises(ValueError, match=r"net.pt: layers.dense.bias has the shape None, expected \(10,\)"):
        trained_network(model, tmp_path / "net.pt", data)
    for told, message in (("epochs 100", "net.h5: does not say its network: give one that the trainer exported"),
                          ("{}", "net.h5: does not say its network"),
                          (json.dumps({**settings, "convert": [4, 2]}), "net.h5: is a converted ANN")):
        with pytest.raises(ValueError, match=message):
            trained_network(SimpleNamespace(provenance={"settings": told}), tmp_path / "net.pt", data, "net.h5")
