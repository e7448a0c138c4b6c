"""One node of a recording, and answers in batches."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
from small_networks import small_networks

import eventsim
from eventsim import DataError, Dense, Input, Model, Neuron, RunError, Simulator, plots

MODEL, X = small_networks()["signed"]  # maps, 2 and 3 bits, signs, a pool, a flattened node
AXES = {"neuron1": ["c", "y", "x"], "flat": ["neuron"]}


@pytest.fixture(scope="module")
def recording():
    return Simulator(MODEL).run(np.concatenate([X, X[:, ::-1]]), record=("spikes", "potentials", "statistics"))


def _same_events(node, levels, axes):
    columns = node.events().columns
    assert list(columns) == ["sample", "step", *axes, "level"]
    assert {node.events().units[name] for name in ("sample", "step", *axes)} == {"counted from 0"}
    where = np.nonzero(levels)
    for column, found in zip(columns.values(), (*where, levels[where])):
        assert column.dtype == np.int64
        np.testing.assert_array_equal(column, found)


@pytest.mark.parametrize("name", AXES)
def test_events_are_those_of_the_levels_in_order(recording, name):
    levels = recording.levels(name)
    assert (levels < 0).any()
    _same_events(recording[name], levels, AXES[name])
    np.testing.assert_array_equal(recording[name].levels(), levels)
    assert recording[name].spikes is recording.spikes[name]


def test_one_node_has_all_that_was_recorded_of_it(recording):
    node = recording["neuron1"]
    assert node.potentials is recording.potentials("neuron1") and node.statistics.n_samples == 4
    assert node.counts["events"].sum() == np.count_nonzero(recording.levels("neuron1"))
    assert "neuron1" in recording and "nonsense" not in recording and "flat" in list(recording)
    with pytest.raises(RunError, match="nothing of 'nonsense' in this recording; there are: 'input', "):
        recording["nonsense"]
    with pytest.raises(RunError, match="no currents of 'neuron1'"):
        node.currents
    with pytest.raises(RunError, match="no residuals of 'neuron1'"):
        node.residuals


def test_nodes_of_a_file(recording, tmp_path):
    eventsim.save_run(recording, tmp_path / "run.h5")
    with eventsim.open_run(tmp_path / "run.h5") as run:
        assert set(run) == set(recording) and "neuron1" in run
        _same_events(run["neuron1"], recording.levels("neuron1"), AXES["neuron1"])
        np.testing.assert_array_equal(run["neuron1"].potentials, recording.potentials("neuron1"))
        with pytest.raises(RunError, match="run.h5: nothing of 'nonsense' was recorded; there are: 'input'"):
            run["nonsense"]
        with pytest.raises(RunError, match="no residuals of 'neuron1'"):
            run["neuron1"].residuals


def test_nodes_are_equal_where_all_that_they_have_is(recording, tmp_path):
    """Of one recording, of another like it, and of their files, of which nothing is read to tell a node from
    itself."""
    eventsim.save_run(recording, tmp_path / "run.h5")
    again, x = pickle.loads(pickle.dumps(recording)), np.concatenate([X, X[:, ::-1]])
    with eventsim.open_run(tmp_path / "run.h5") as run, eventsim.open_run(tmp_path / "run.h5") as twice:
        for name in recording:
            assert recording[name] == recording[name] == again[name] and not recording[name] != again[name]
            assert run[name] == twice[name] and (name in recording.traces["potentials"]) == (
                run[name] != Simulator(MODEL).run(x, record=("spikes", "statistics"))[name])
        node = run["neuron1"]
    assert node == run["neuron1"] and recording["neuron1"] != recording["flat"] and node != "neuron1"
    other = Simulator(MODEL).run(x, record=("spikes", "potentials", "statistics"))
    assert other["neuron1"] == recording["neuron1"]
    for kind, changed in ((other.spikes, replace(other.spikes["neuron1"], planes=~other.spikes["neuron1"].planes)),
                          (other.traces["potentials"], other.potentials("neuron1") + 1)):
        kept, kind["neuron1"] = kind["neuron1"], changed
        assert other["neuron1"] != recording["neuron1"]
        kind["neuron1"] = kept
    with pytest.raises(TypeError, match="unhashable"):
        hash(node)


def test_a_node_of_two_axes_and_one_that_is_silent():
    model = Model({"in": Input((2, 3)), "n": Neuron(v_threshold=9.0)}, [("in", "n")], timesteps=2)
    found = Simulator(model).run(np.array([[[[0, 1, 0], [0, 0, 1]], [[0, 0, 0], [1, 0, 0]]]]))
    assert found["in"].events().rows == [(0, 0, 0, 1, 1), (0, 0, 1, 2, 1), (0, 1, 1, 0, 1)]
    assert list(found["in"].events().columns) == ["sample", "step", "c", "x", "level"]
    assert len(found["n"].events()) == 0 and "RecordedNode('n'" in repr(found["n"])


def test_predict_and_score_run_in_batches(monkeypatch):
    from eventsim.engine import batches as module

    monkeypatch.setattr(module, "BATCH", (1, 2))
    simulator = Simulator(MODEL)
    x = np.concatenate([X, X[:, ::-1], X[:1]])
    whole = simulator.run(x, record=()).predictions
    np.testing.assert_array_equal(simulator.predict(x), whole)
    labels = np.where(np.arange(5) < 3, whole, whole + 1)
    assert simulator.score(x, labels) == 3 / 5
    with pytest.raises(DataError, match="there are no labels: give y, or a loader"):
        simulator.score(x)
    with pytest.raises(DataError, match=r"labels has shape \(4,\)"):
        simulator.score(x, labels[:4])
    with pytest.raises(DataError, match="holds no value"):
        simulator.predict(x[:0])


def test_rasters_of_recordings(recording):
    assert "Spikes of neuron1, sample 1" in plots.raster(recording["neuron1"], sample=1).get_label()
    assert f"Spikes of {len(recording.spikes)} layers" in plots.raster(recording).get_label()
    nodes = {"in": Input((2,)), **{f"n{i}": Neuron() for i in range(8)}}
    nodes.update({f"d{i}": Dense(np.eye(2)) for i in range(8)})
    names = ["in", *(name for i in range(8) for name in (f"d{i}", f"n{i}"))]
    many = Simulator(Model(nodes, list(zip(names, names[1:])), timesteps=1)).run(np.ones((1, 1, 2), int))
    label = plots.raster(many).get_label()
    assert "Spikes of 6 layers" in label and "The first 6 of 9 nodes" in label
    data, size = plots.raster(many)._repr_png_()
    assert data.startswith(b"\x89PNG") and size["width"] == 760
