"""Files of runs: what is read back is what was recorded, and damage is one line that names the file."""

import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

import eventsim
from eventsim import AvgPool, Conv2d, Dense, Flatten, Input, Neuron, Readout
from eventsim.errors import DataError, EventsimError, RunError
from eventsim.merging import merge
from eventsim.runs import stored_statistics
from eventsim.runs.file import Writer
from eventsim.statistics.decisions import Decisions
from eventsim.statistics.of_recordings import of
from eventsim.statistics.result import Statistics

LABELS = np.array([1, 0, 2])
RECORD = ("spikes", "currents", "potentials", "residuals", "outputs", "statistics", "intervals", "membranes")


@pytest.fixture(scope="module")
def model():
    rng = np.random.default_rng(5)
    nodes = {
        "in": Input((2, 4, 4), bits=2), "conv": Conv2d(rng.normal(0, 0.5, (3, 2, 3, 3)), padding=1),
        "z first": Neuron(v_threshold=0.5, rectify=True), "pool": AvgPool(2), "flat": Flatten(),
        "fc": Dense(rng.normal(0, 0.5, (6, 12))), "a second": Neuron(bits=2, signed=True),
        "last": Dense(rng.normal(0, 0.5, (4, 6))), "out": Readout(),
    }
    names = list(nodes)
    return eventsim.Model(nodes, list(zip(names, names[1:])), timesteps=5, class_names=("a", "b", "c", "d"))


@pytest.fixture(scope="module")
def recording(model):
    x = np.random.default_rng(6).integers(0, 4, (3, 5, 2, 4, 4))
    return eventsim.Simulator(model).run(x, record=RECORD)


@pytest.fixture(scope="module")
def run_file(model, recording, tmp_path_factory):
    """A run file with everything that one can have."""
    path = tmp_path_factory.mktemp("runs") / "whole.h5"
    decisions = Decisions.of(recording.outputs, LABELS, model.class_names)
    with Writer(path) as writer:
        writer.add(recording, LABELS)
        writer.finish({"class_names": list(model.class_names)},
                      merge((recording.statistics, Statistics(decisions=decisions))))
    return path


def test_everything_comes_back(run_file, model, recording):
    with eventsim.open_run(run_file) as run:
        assert run.layers == ("in", "z first", "a second", "out") == tuple(recording.counts.layers)
        assert (run.n_samples, run.n_steps, run.precision) == (3, 5, "float32")
        assert np.array_equal(run.output, recording.output) and np.array_equal(run.outputs, recording.outputs)
        assert np.array_equal(run.predictions, recording.predictions) and np.array_equal(run.labels, LABELS)
        assert run.counts.neurons == recording.counts.neurons and run.counts.steps == 5
        for layer, row in recording.counts.layers.items():
            assert all(np.array_equal(run.counts[layer][count], values) for count, values in row.items())
        for name, spikes in recording.spikes.items():
            stored = run.spikes(name)
            assert np.array_equal(stored.planes, spikes.planes)
            assert (stored.shape, stored.logical_shape, stored.bits, stored.signed) == (
                spikes.shape, spikes.logical_shape, spikes.bits, spikes.signed)
            assert np.array_equal(run.spikes(name, 1, 2).levels(), recording.levels(name)[1:2])
        for kind in ("currents", "potentials", "residuals"):
            for name in run.recorded[kind]:
                assert np.array_equal(run.trace(kind, name), recording.traces[kind][name])
                assert np.array_equal(run.trace(kind, name, 2), recording.traces[kind][name][2:])
        decisions = run.statistics.decisions
        assert decisions.accuracy == recording.accuracy(LABELS) and decisions.class_names == model.class_names
        assert list(run.statistics.trains) == ["in", "z first", "a second"]


def test_statistics_of_a_file_without_them(recording, model, tmp_path):
    path = tmp_path / "spikes.h5"
    with Writer(path) as writer:
        writer.add(recording, LABELS)
        writer.finish({})
    with eventsim.open_run(path) as run:
        arrays = stored_statistics.arrays(run.statistics)
        expected = stored_statistics.arrays(of(recording, labels=LABELS))
    assert arrays.keys() == expected.keys()
    assert all(np.array_equal(arrays[name], expected[name]) for name in expected)


def test_a_recording_saves_its_statistics(recording, tmp_path):
    path = tmp_path / "saved.h5"
    eventsim.save_run(recording, path, LABELS)
    with eventsim.open_run(path) as run:
        arrays, expected = stored_statistics.arrays(run.statistics), stored_statistics.arrays(recording.statistics)
        assert run.summary.accuracy == run.statistics.decisions.accuracy == recording.accuracy(LABELS)
    assert all(np.array_equal(arrays[name], expected[name], equal_nan=expected[name].dtype.kind == "f")
               for name in expected)


@pytest.mark.parametrize("ask, message", [
    (lambda run: run.spikes("conv"),
     "no spikes of 'conv' were recorded .* again with --record spikes:conv, or, for save_run, record='spikes'"),
    (lambda run: run.trace("potentials", "in"), "no potentials of 'in' were recorded"),
    (lambda run: run.spikes("in", 2, 9), "has samples 0 to 2, not 2 to 8"),
    (lambda run: run.spikes("in", -1), "has samples 0 to 2, not -1 to 2"),
])
def test_what_was_not_recorded(run_file, ask, message):
    with eventsim.open_run(run_file) as run, pytest.raises(RunError, match=message):
        ask(run)


@pytest.mark.parametrize("path", ("missing.h5", "data/digits.h5", "README.md"))
def test_other_files(path, request):
    with pytest.raises(DataError, match=path):
        eventsim.open_run(request.config.rootpath / path)


# ---- damage


def _members(path):
    members = []
    with h5py.File(path) as file:
        file.visititems(lambda name, item: members.append((name, isinstance(item, h5py.Dataset))))
    return members


def _all_of(path):
    """Read all that a run file has."""
    with eventsim.open_run(path) as run:
        assert run.statistics is not None
        for name in run.recorded.get("spikes", ()):
            run.spikes(name)
        for kind in set(run.recorded) - {"spikes"}:
            for name in run.recorded[kind]:
                run.trace(kind, name)


def _judged(path):
    """Nothing, or one line that names the file."""
    try:
        _all_of(path)
    except EventsimError as error:
        assert str(path) in str(error) and "\n" not in str(error)
        return str(error)


def _changed(path, name, value):
    with h5py.File(path, "r+") as file:
        attributes = dict(file[name].attrs) if name in file else {}
        value = value(file[name][...]) if callable(value) else value
        if name in file:
            del file[name]
        if value is not None:
            file[name] = value
            file[name].attrs.update(attributes)


OPTIONAL = ("summary", "layers", "y", "outputs", "spikes", "currents", "potentials", "residuals", "steps_per_unit",
            "statistics", "statistics/trains", "statistics/membranes", "statistics/decisions",
            "statistics/decisions/correct", "statistics/decisions/confusion")


def test_every_member_removed(run_file, tmp_path):
    assert _judged(run_file) is None
    for i, (name, is_data) in enumerate(_members(run_file)):
        if name.startswith("counts/") and i % 5:
            continue  # all alike
        path = tmp_path / "removed.h5"
        shutil.copy(run_file, path)
        _changed(path, name, None)
        whole_nodes = name.count("/") == 1 and name.split("/")[0] in (
            "spikes", "currents", "potentials", "residuals", "steps_per_unit")
        of_a_node = name.startswith("statistics/") and name.count("/") == 2 and not is_data
        optional = name in OPTIONAL or whole_nodes or of_a_node
        assert (_judged(path) is None) == optional, name


def test_every_dataset_damaged(run_file, tmp_path):
    members = [name for name, is_data in _members(run_file) if is_data]
    for name in [name for i, name in enumerate(members)
                 if not name.startswith(("statistics", "counts")) or i % 11 == 0]:
        with h5py.File(run_file) as file:
            values = file[name][()]
        damages = {"text": "x", "shape": np.zeros((2, 3, 1)), "empty": np.zeros(0), "nan": np.float64("nan")}
        if isinstance(values, np.ndarray) and values.dtype.kind in "iu" and values.size:
            damages["negative"] = np.full_like(values.astype(np.int64), -5)
            damages["float"] = values.astype(np.float32)
        for damage, value in damages.items():
            path = tmp_path / "damaged.h5"
            shutil.copy(run_file, path)
            _changed(path, name, value)
            message = _judged(path)  # no other error than one of ours, of one line
            # labels that are no whole numbers are none; units are read when they are asked for
            assert message or damage != "shape" or name == "y" or name.startswith("steps_per_unit"), name


def test_bytes_flipped(run_file, tmp_path):
    data = run_file.read_bytes()
    rng = np.random.default_rng(0)
    path = tmp_path / "flipped.h5"
    for place in rng.integers(0, len(data), 60):
        changed = bytearray(data)
        changed[place] ^= 1 << rng.integers(0, 8)
        path.write_bytes(changed)
        _judged(path)
    for size in (0, 7, 100, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:size])
        assert _judged(path)


@pytest.mark.parametrize("name, value, message", [
    ("version", 2, "is of version 2, but this eventsim reads version 1"),
    ("format", "other", "is not a file that `eventsim run --out` wrote"),
    ("summary", "{", "'summary' is damaged"),
    ("summary", "[1]", "'summary' is damaged"),
    ("layers", json.dumps(["in", "nothing"]), "'layers' are not those that 'counts' has"),
    ("timesteps", 0, "'timesteps' is not a whole number above 0"),
    ("neurons/in", 0, "'in' is not a whole number above 0"),
    ("statistics/trains/in/bits", 40, "are those of no node"),
    ("statistics/trains/in/shape", np.array([3, 3]), "has shape"),
    ("statistics/trains/in/chosen", np.full(32, 32), "'chosen' has neurons that the node does not have"),
    ("statistics/trains/in/events", np.full(32, -1), "numbers below 0"),
    ("statistics/trains/in/interval_sums", np.full(32, 1 << 40), "'interval_squares' are smaller than"),
    ("statistics/trains/in/together", np.full((32, 32), 1 << 40), "'together' has more events of a neuron than"),
    ("statistics/membranes/z first/unit", 7, "'unit' is 7"),
    ("statistics/membranes/z first/edges", np.zeros(241), "'edges' do not rise"),
    *((f"statistics/membranes/z first/{name}_by_step", np.negative, f"'{name}_by_step' has numbers below 0")
      for name in ("square", "error", "rectified_error")),
    ("statistics/membranes/z first/distances", np.ones((2, 3), np.int64), "'distances' has shape"),
    ("statistics/decisions/final", np.zeros((2, 2), np.int64), "'final' has shape"),
    ("statistics/decisions/confusion", np.int64(3), r"'confusion' has shape \(\)"),
    ("predictions", np.zeros(2, np.int64), r"'predictions' has shape \(2,\)"),
])
def test_messages(run_file, tmp_path, name, value, message):
    path = tmp_path / "damaged.h5"
    shutil.copy(run_file, path)
    _changed(path, name, value)
    with pytest.raises(DataError, match=message):
        _all_of(path)


@pytest.mark.parametrize("wrong",
                         (lambda p: p[:, None], lambda p: p[:1], lambda p: p[:-1], lambda p: np.eye(99)[p],
                                   lambda p: p.astype(str), lambda p: p > 4))
def test_labels_are_one_number_per_sample(tmp_path, wrong):
    """A column of labels was compared with every prediction: its accuracy was wrong without a word."""
    simulator = eventsim.Simulator(eventsim.load(Path(__file__).resolve().parents[2] / "data" / "digits.h5"))
    recording = simulator.run(np.random.default_rng(0).integers(0, 17, (5, 1, 8, 8)))
    labels = wrong(recording.predictions)
    for action in (lambda: recording.accuracy(labels),
                   lambda: eventsim.save_run(recording, tmp_path / "a.h5", labels)):
        with pytest.raises(eventsim.DataError,
                           match=r"^labels has shape .*, expected one number per sample, \(5,\)$"):
            action()
    assert not list(tmp_path.iterdir())
    assert recording.accuracy(recording.predictions) == 1.0


def test_what_sends_no_event_has_no_rate_and_what_is_silent_has_no_level():
    nodes = {"in": Input((4,)), "fc": Dense(np.ones((3, 4))), "silent": Neuron(v_threshold=1e9),
             "fc2": Dense(np.ones((2, 3))), "out": Readout()}
    model = eventsim.Model(nodes, list(zip(nodes, list(nodes)[1:])), 2)
    summary = eventsim.evaluate(eventsim.Simulator(model), (np.ones((5, 4)), np.zeros(5, int)))
    rates_and_levels = {layer["name"]: (layer["firing_rate"], layer["mean_level"])
                        for layer in summary.to_json()["layers"]}
    assert rates_and_levels == {"in": (1.0, 1.0), "silent": (0.0, None), "out": (None, None)}
    old = summary.to_json()
    for layer in old["layers"]:  # as eventsim 0.1 wrote them
        layer.update(firing_rate=layer["firing_rate"] or 0.0, mean_level=layer["mean_level"] or 0.0)
    assert eventsim.runs.summary.RunSummary.from_json(old, "old.h5").layers == summary.layers
