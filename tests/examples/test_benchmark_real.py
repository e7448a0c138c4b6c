"""benchmarks/real.py: what other libraries get is the same network, and its table says what was measured."""

import json
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "examples"), str(ROOT / "examples" / "benchmarks")]

import real  # noqa: E402
from eventsim import (  # noqa: E402
    AvgPool, BatchNorm, Conv2d, Dense, Edge, Flatten, Input, load, MaxPool, Model, Neuron, Readout, Simulator,
    SumPool, UnsupportedError,
)
from numba import njit  # noqa: E402
from peers import workloads  # noqa: E402
from peers.in_torch import TorchNetwork  # noqa: E402
from peers.plan import plan, values_of  # noqa: E402

SHIPPED = sorted(path.stem for path in (ROOT / "data").glob("*.h5") if path.stem != "digits_test")
NOWHERE = ROOT / "nowhere"


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def in_torch(model, x, channels_last=False, steps=None):
    """What PyTorch answers in float64."""
    net = TorchNetwork(model, steps or model.timesteps, channels_last, torch.float64)
    with torch.inference_mode():
        prepared = net.prepare(x)
        before = prepared.clone()
        answers = net(prepared).numpy()
        assert torch.equal(prepared, before), "the samples were written over: a second call would see others"
        return answers


def chain(shape, *named, timesteps=6, **settings):
    """A model of nodes one behind the other."""
    nodes = {"input": Input(shape, **settings), **dict(named)}
    names = list(nodes)
    return Model(nodes, list(zip(names, names[1:])), timesteps=timesteps)


def weights(*shape, gain=1.0):
    return np.random.default_rng(len(shape)).normal(0, gain, shape)


def maps(neuron, pool, readout, **settings):
    """A small network of every kind of layer that is translated, around one neuron and one pool."""
    return chain(
        (2, 8, 8), ("conv", Conv2d(weights(5, 2, 3, 3, gain=0.6), np.linspace(-0.1, 0.1, 5), padding=1)),
        ("neurons", neuron), ("pool", pool),
        ("strided", Conv2d(weights(4, 5, 3, 3, gain=0.4), stride=2, padding=1)),
        ("second", Neuron(v_threshold=0.5)), ("flatten", Flatten()), ("dense", Dense(weights(3, 16))),
        *([("readout", readout)] if isinstance(readout, Readout) else [("last", readout)]), **settings)


NEURONS = {
    "one bit": Neuron(v_threshold=0.5),
    "two bits of half a quantum": Neuron(v_threshold=0.25, quantum=0.5, bits=2),
    "worth more": Neuron(v_threshold=0.25, quantum=0.5, output_quantum=1.5, bits=2, rectify=True),
    "strict": Neuron(v_threshold=0.5, comparison=">", bits=3, quantum=0.25),
    "leak and drive": Neuron(leak=0.75, input_gain=0.5, v_leak=-0.25, bias=np.linspace(0, 0.5, 5)),
    "hard": Neuron(leak=0.5, input_gain=0.5, reset="hard", v_threshold=0.4),
    "hard, to below": Neuron(reset="hard", v_reset=-0.5, v_threshold=0.4),
    "without reset": Neuron(reset="none", leak=0.5),
    "late": Neuron(current_leak=0.5, leak=0.75, comparison=">", reset_delay=1),
    "with a floor": Neuron(v_min=-0.25, bits=3),
    "by channel": Neuron(v_threshold=np.linspace(0.3, 0.7, 5), leak=np.linspace(0.5, 1, 5)),
}


# ---- the same network


@pytest.mark.parametrize("name", SHIPPED)
def test_pytorch_computes_what_a_shipped_model_is_proved_to_compute(name):
    """In float64 the file's own answers; in float32, as it is timed, those of eventsim in float32."""
    model = load(ROOT / "data" / f"{name}.h5")
    mine = Simulator(model, "float32").run(model.check.x, record=()).output
    assert np.ptp(model.check.outputs, axis=0).min() > 0, "answers are all the same: nothing is proved"
    for channels_last in (False, True):
        np.testing.assert_allclose(in_torch(model, model.check.x, channels_last), model.check.outputs, atol=1e-9)
        net = TorchNetwork(model, model.timesteps, channels_last)
        with torch.inference_mode():
            assert_close_but_for_rounding(net(net.prepare(model.check.x)).numpy(), mine)


def assert_close_but_for_rounding(answers, expected):
    """Of as many samples as `real.py` asks for: float32 that is added in another order may turn a spike."""
    close = np.abs(answers - expected).max(axis=1) <= 1e-4
    assert close.mean() >= real.SAME, answers - expected


@pytest.mark.parametrize("name", SHIPPED)
def test_onnx_computes_what_a_shipped_model_is_proved_to_compute(name):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    from peers.in_onnx import OnnxNetwork

    model = load(ROOT / "data" / f"{name}.h5")
    plain = OnnxNetwork(model, model.timesteps)
    samples = plain.prepare(model.check.x)
    assert_close_but_for_rounding(plain(samples), model.check.outputs)
    quantised = OnnxNetwork(model, model.timesteps, [samples])
    found = real.agreement(quantised(samples), model.check.outputs)
    assert found["alike"] >= real.ALIKE and found["close"] < 1, "int8 answers as float32 does: it is not int8"


@pytest.mark.parametrize("neuron", NEURONS)
def test_every_neuron_that_is_translated(neuron):
    """Both libraries, still and moving samples, against eventsim in float64."""
    x = (np.random.default_rng(3).random((4, 6, 2, 8, 8)) < 0.3).astype(np.uint8)
    model = maps(NEURONS[neuron], MaxPool(2), Readout("mean"))
    recording = Simulator(model, "float64").run(x, record=())
    assert 0 < recording.counts.firing_rate("neurons") < 1
    compare(model, x, recording.output)


@pytest.mark.parametrize("compiling", (False, True))
@pytest.mark.parametrize("bits", (1, 2))
def test_membranes_at_their_thresholds_fire_as_the_comparison_says(bits, compiling, monkeypatch):
    """Whole numbers, so that membranes meet thresholds exactly; also by what torch.compile is given."""
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: compiling)
    x = np.random.default_rng(9).integers(0, 2, (4, 6, 5)).astype(np.uint8)
    weight = np.random.default_rng(10).integers(-1, 3, (7, 5))
    fired = {}
    for comparison in (">=", ">"):
        neurons = Neuron(v_threshold=2.0, comparison=comparison, bits=bits)
        model = chain((5,), ("d", Dense(weight)), ("neurons", neurons), ("out", Dense(np.eye(7))),
                      ("readout", Readout("sum")))
        recording = Simulator(model, "float64").run(x, record=())
        fired[comparison] = recording.counts.firing_rate("neurons")
        compare(model, x, recording.output)
    assert fired[">="] != fired[">"]


@pytest.mark.parametrize("pool", (AvgPool(2), SumPool(2), MaxPool(3, stride=2, padding=1)))
@pytest.mark.parametrize("end", (Readout("sum", leak=0.5, bias=0.25), Readout("last", leak=1.0, current_leak=0.5),
                                 Readout("sum"), Readout("mean", bias=0.5), Neuron(v_threshold=0.3)))
def test_every_pool_and_every_end(pool, end):
    x = np.random.default_rng(4).integers(0, 16, (3, 2, 8, 8)).astype(np.uint8)
    model = maps(Neuron(v_threshold=0.5, bits=2), pool, end, encoding="image", bits=4, scale=1 / 8)
    compare(model, x, Simulator(model, "float64").run(x, record=()).output)


def test_recurrent_neurons():
    model = workloads.recurrent_model(40, 16, 5, 30)
    x = workloads.spoken(np.random.default_rng(5), 3, 40, 30)
    recording = Simulator(model, "float64").run(x, record=())
    assert recording.counts.firing_rate("neurons") > 0.05
    compare(model, x, recording.output)


def test_gestures():
    model = workloads.gesture_model(8, 32, 2, 24, 5, 10)
    x = workloads.gestures(np.random.default_rng(6), 2, 32, 10)
    compare(model, x, Simulator(model, "float64").run(x, record=()).output)


def compare(model, x, expected):
    """Fail where a library that is installed answers other than `expected`."""
    steps = x.shape[1] if x.ndim > len(model.shapes[model.input]) + 1 else model.timesteps
    assert np.ptp(expected) > 0
    for channels_last in (False, True):
        np.testing.assert_allclose(in_torch(model, x, channels_last, steps), expected, rtol=0, atol=1e-9)
    try:
        from peers.in_onnx import OnnxNetwork
    except ImportError:
        return
    net = OnnxNetwork(model, steps)
    np.testing.assert_allclose(net(net.prepare(x)), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("moving", (False, True))
def test_without_neurons_the_layers_run_once_with_relu(moving):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    from peers.in_onnx import OnnxNetwork

    settings = {} if moving else dict(encoding="image", bits=4, scale=1 / 8)
    model = maps(Neuron(v_threshold=0.25, quantum=0.5), MaxPool(2), Readout("mean"), **settings)
    x = np.random.default_rng(8).integers(0, 2, (3, 6, 2, 8, 8) if moving else (3, 2, 8, 8))
    net = OnnxNetwork(model, 6, relu=True)
    prepared = net.prepare(x.astype(np.uint8))
    assert prepared.shape == (3, 2, 8, 8)
    nodes, relu, f = model.nodes, torch.relu, torch.nn.functional
    weight = {name: torch.from_numpy(nodes[name].weight).float() for name in ("conv", "strided", "dense")}
    bias = torch.from_numpy(nodes["conv"].bias).float()
    y = f.conv2d(torch.from_numpy(prepared), weight["conv"], bias, padding=1)
    y = f.max_pool2d(relu(y), 2)
    y = relu(f.conv2d(y, weight["strided"], stride=2, padding=1)).flatten(1)
    np.testing.assert_allclose(net(prepared), (y @ weight["dense"].T).numpy(), rtol=0, atol=1e-4)


def test_images_are_worth_what_the_input_says():
    node = Input((2, 1, 1), "image", bits=8, scale=0.5, mean=[1, 2], std=[2, 4])
    assert values_of(node, np.full((1, 2, 1, 1), 10, np.uint8)).ravel().tolist() == [2.0, 0.75]


# ---- what is refused


@pytest.mark.parametrize("what, nodes", [
    ("'norm' (BatchNorm): the peers have no BatchNorm", [
        ("conv", Conv2d(weights(2, 1, 3, 3))), ("norm", BatchNorm(*np.ones((4, 2)))), ("n", Neuron())]),
    ("'n' (Neuron): the peers have no signed levels", [
        ("conv", Conv2d(weights(2, 1, 3, 3))), ("n", Neuron(signed=True))]),
    ("'n' (Neuron): the peers rectify (MPR) at half", [
        ("conv", Conv2d(weights(2, 1, 3, 3))), ("n", Neuron(rectify=True))]),
    ("'n' (Neuron): the peers fold quantum into weights", [
        ("conv", Conv2d(weights(2, 1, 3, 3))), ("n", Neuron(quantum=[0.5, 1.0]))]),
    ("'pool' (MaxPool): the peers pool maps", [("pool", MaxPool(3, ceil_mode=True)), ("flatten", Flatten()),
                                               ("d", Dense(weights(2, 9))), ("n", Neuron())]),
    ("'n' (Neuron): reads node 'input' (Input): the peers want synapses", [("n", Neuron())]),
    ("'pool' (AvgPool): reads node 'conv' (Conv2d): the peers want synapses", [
        ("conv", Conv2d(weights(2, 1, 3, 3))), ("pool", AvgPool(2)), ("n", Neuron())]),
])
def test_what_is_not_translated_is_refused_by_name(what, nodes):
    with pytest.raises(UnsupportedError) as error:
        plan(chain((1, 8, 8), *nodes))
    assert str(error.value).startswith(f"node {what}")


def test_delays_outside_of_recurrent_groups_are_refused():
    nodes = {"input": Input((4,)), "d": Dense(weights(2, 4)), "n": Neuron()}
    with pytest.raises(UnsupportedError, match="delays in recurrent groups only"):
        plan(Model(nodes, [Edge("input", "d", 2), ("d", "n")]))


def test_a_library_that_computes_something_else_is_refused(capsys):
    reference = np.random.default_rng(7).normal(size=(8, 10))
    other = reference[:, ::-1]

    def runner(answers):
        return (lambda x: x), (lambda x: answers)

    names = ("eventsim float32", "eventsim int8", "right", "wrong", "wrong int8", "right int8", real.ANN)
    given = (reference, other, reference + 1e-6, other, other, reference + 0.05, other)
    admitted, found = real.admitted({name: runner(answers) for name, answers in zip(names, given)}, None)
    assert list(admitted) == ["eventsim float32", "eventsim int8", "right", "right int8", real.ANN]
    assert found["right"]["close"] == 1 and found["right int8"]["close"] == 0
    said = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in said] == ["refused wrong", "refused wrong int8"]


# ---- samples


def test_without_data_sets_the_check_samples_are_shifted_and_what_is_missing_is_said(capsys):
    work = workloads.workload("mnist", NOWHERE, 1)
    assert work.origin == "the file's check samples, shifted" and len(work.x) == 128
    assert work.x.sum() == 32 * work.model.check.x.astype(int).sum() and len(np.unique(work.x, axis=0)) > 50
    assert workloads.workload("cnn_sinabs", NOWHERE, 1) is None
    assert capsys.readouterr().err == f"skipped cnn_sinabs: no {NOWHERE / 'oracles' / 'nir' / 'cnn_sinabs.nir'}\n"
    digits = workloads.workload("digits", NOWHERE, 1)
    assert (digits.x.shape, digits.origin) == ((599, 1, 8, 8), "digits_test.h5")


# ---- the table


def measured():
    """What `measure` gives, with round numbers."""
    seconds = {"eventsim float32": [0.004, 0.002, 0.003], "eventsim int8": [0.002, 0.001, 0.002],
               "PyTorch": [0.012, 0.012, 0.9], "ONNX Runtime": [0.006, 0.009, 0.001],
               "ONNX Runtime int8": [0.005, 0.005, 0.004], real.ANN: [0.0005, 0.0005, 0.1]}
    agreements = {name: {"close": 1.0, "same": 0.5, "alike": 0.25} for name in seconds}
    return {"network": "net", "origin": "made up", "steps": 4, "share_of_core": 0.98, "compared": 16,
            "agreement": agreements, "seconds": {1: seconds}, "limits": {"float32": [30e9], "int8": [1e11]},
            "additions": {"float32": 3e6, "int8": 4e6},
            "parts": {"int8": {"slide": 0.003, "outside kernels": 0.001}, "float32": {"gather": 0.002}}}


def test_ratios_and_rates_come_from_medians():
    floats, ints = real.summarise(measured())["rows"]
    assert (floats["precision"], floats["batch"], floats["seconds_per_sample"]) == ("float32", 1, 0.003)
    assert floats["fastest_other"] == "ONNX Runtime" and floats["times_fastest_other"] == pytest.approx(2)
    assert ints["fastest_other"] == "ONNX Runtime int8" and ints["times_fastest_other"] == pytest.approx(2.5)
    assert floats["samples_per_second"] == pytest.approx(1000 / 3)
    assert floats["additions_per_second"] == pytest.approx(1e9) and floats["l1_share"] == pytest.approx(1 / 30)
    assert ints["additions_per_second"] == pytest.approx(2e9) and ints["l1_share"] == pytest.approx(0.02)


def test_without_other_libraries_there_is_no_ratio():
    found = measured()
    found["seconds"] = {1: {name: v for name, v in found["seconds"][1].items() if name.startswith("eventsim")}}
    rows = real.summarise(found)["rows"]
    assert [row["times_fastest_other"] for row in rows] == [None, None]
    text = real.as_text({"machine": "here", "rounds": 3, "networks": [real.summarise(found)]})
    assert text.splitlines()[6].split() == ["net", "1", "3.000", "2.000", "-", "-", "-"]


def test_the_tables_say_what_was_measured():
    text = real.as_text({"machine": "here", "rounds": 3, "networks": [real.summarise(measured())]})
    rows = [line.split() for line in text.splitlines()]
    assert "the core was ours for 98 % of the time" in text and "medians of 3 rounds" in text
    assert ["net", "1", "3.000", "2.000", "12.000", "6.000*", "5.000*", "2.00", "2.50", "0.500"] in rows
    assert ["net", "1", "float32", "333", "3.00", "M", "1.00", "G", "3.3", "%", "30", "G"] in rows
    assert "net: 16 of made up; 4 steps" in text and "PyTorch 100 / 50 / 0.250" in text
    assert ["slide", "3.000", "ms", "75.0", "%"] in rows and max(map(len, text.splitlines())) <= 115
    busy_core = {**real.summarise(measured()), "share_of_core": 0.6}
    assert "TOO BUSY" in real.as_text({"machine": "here", "rounds": 3, "networks": [busy_core]})


def test_the_command_prints_what_it_measured(monkeypatch, capsys):
    monkeypatch.setattr(real, "CALIBRATION", 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # other libraries' own
        command = ["--network", "digits", "--rounds", "1", "--shared", str(NOWHERE), "--parts", "--json"]
        assert real.main(command) == 0
    printed = capsys.readouterr()
    result = json.loads(printed.out)
    [found] = result["networks"]
    said = [found[key] for key in ("network", "origin", "steps", "compared")]
    assert said == ["digits", "digits_test.h5", 2, 16]
    assert [(row["batch"], row["precision"]) for row in found["rows"]] == [
        (batch, precision) for batch in (1, 64) for precision in real.PRECISIONS]
    for row in found["rows"]:
        others = row["others_seconds_per_sample"]
        assert {"PyTorch", "PyTorch channels last"} <= set(others) and min(others.values()) > 0
        assert row["times_fastest_other"] == others[row["fastest_other"]] / row["seconds_per_sample"]
        assert row["additions_per_second"] == pytest.approx(row["additions"] * row["samples_per_second"])
    assert all(each["close"] == 1 for name, each in found["agreement"].items() if "int8" not in name)
    model = load(ROOT / "data" / "digits.h5")
    x = workloads.workload("digits", NOWHERE, 0).x[: real.CHECKED]
    counts = Simulator(model, "float32").run(x, record=()).counts
    assert found["rows"][0]["additions"] == counts.total("additions") / 16
    assert all("outside kernels" in parts and len(parts) > 3 for parts in found["parts"].values())
    assert "digits" in real.as_text(result)
