"""What a node's card shows and reads, and equality of what users are handed."""

import copy
import pickle
from collections.abc import Mapping
from dataclasses import fields, is_dataclass

import numpy as np
import pytest
from small_networks import small_networks

import eventsim
from eventsim import EventBins, Input, Model, Neuron, plots, RunError, Simulator
from eventsim.display.table import Table
from eventsim.engine import recorded_node
from eventsim.equality import FrozenByValue, is_equal

MODEL, X = small_networks()["signed"]
ALL = ("spikes", "currents", "potentials", "residuals", "outputs", "statistics", "intervals", "membranes",
       "timing")


def identity(n, steps, threshold=1.0):
    return Model({"in": Input((n,)), "n": Neuron(v_threshold=threshold)}, [("in", "n")], timesteps=steps)


@pytest.fixture(scope="module")
def recording():
    return Simulator(MODEL).run(X, record=ALL)


# ---- cards of nodes


def test_a_card_finds_the_first_events_wherever_they_are():
    x = np.zeros((3, 20, 4), int)
    x[1, 15, 2] = x[2, :, 0] = 1
    node = Simulator(identity(4, 20)).run(x)["n"]
    card = node.card()
    assert card.rows[:2] == [(1, 15, 2, 1), (2, 0, 0, 1)] and len(card.rows) == 10
    assert "events 21;" in repr(node) and "counts are sums over all 3 samples" in repr(node)
    silent = Simulator(identity(4, 20)).run(0 * x)["n"]
    assert silent.card().rows == [] and "it sent no event" in repr(silent)


@pytest.mark.parametrize("block", [1, 7, 64, 1 << 22])
def test_events_do_not_depend_on_how_they_are_cut(monkeypatch, recording, block):
    monkeypatch.setattr(recorded_node, "BLOCK", block)
    for name in ("neuron1", "flat", "maxpool2"):
        levels = recording.levels(name)
        where = np.nonzero(levels)
        for column, expected in zip(recording[name].events().columns.values(), (*where, levels[where])):
            assert column.dtype == np.int64
            np.testing.assert_array_equal(column, expected)
        assert recording[name].card().rows == recording[name].events().rows[:10]


def test_nodes_that_are_not_counted_are_searched_for_a_while(monkeypatch, recording):
    pooled = copy.copy(recording)
    spikes = recording.spikes["maxpool2"]
    planes = np.concatenate([0 * spikes.planes[:1]] * 3 + [spikes.planes])
    pooled.spikes = {"maxpool2": eventsim.spikes.Spikes(planes, spikes.shape, spikes.logical_shape, spikes.bits,
                                                        spikes.signed)}
    pooled.output = np.zeros((len(planes), 3))
    assert pooled["maxpool2"].card().rows[0][0] == 3
    monkeypatch.setattr(recorded_node, "MOST_SEARCHED", 2)
    assert f"no event in the first 2 samples; events() has those of all {len(planes)}" in repr(pooled["maxpool2"])


def test_a_card_says_what_was_recorded_and_what_never_is():
    model = eventsim.load("data/digits.h5")
    recording = Simulator(model).run(model.check.x[:2], record=("potentials",))
    readout, neuron = repr(recording["readout"]), repr(recording["neuron2"])
    assert "recorded potentials;" in readout and "it sends no spikes" in readout and "events" not in readout
    assert "recorded potentials; events" in neuron and "spikes were not recorded" in neuron
    assert "512 neurons, 2 samples, 2 steps" in neuron


def test_a_card_of_a_file_reads_the_samples_that_it_shows(recording, tmp_path, monkeypatch):
    eventsim.save_run(recording, tmp_path / "run.h5")
    with eventsim.open_run(tmp_path / "run.h5") as run:
        asked = []
        monkeypatch.setattr(run, "spikes", lambda *part, read=run.spikes: asked.append(part) or read(*part))
        node = run["neuron1"]
        assert repr(node) == repr(recording["neuron1"])
        assert asked == [("neuron1", 0, 1)] and "statistics" not in vars(run)
        assert node.statistics.n_samples == len(X) and "statistics" not in vars(run)


def test_the_statistics_of_one_node_of_a_file_are_those_of_all(tmp_path):
    """Whether the run gathered them, or only recorded the spikes."""
    for record in (("spikes",), ("spikes", "statistics"), ("intervals",)):
        path = tmp_path / "run.h5"
        eventsim.save_run(Simulator(MODEL).run(X, record=record), path)
        with eventsim.open_run(path) as run, eventsim.open_run(path) as other:
            for name in run:
                assert run[name].statistics == other.statistics.trains.get(name)
                assert other[name].statistics is other.statistics.trains.get(name)


# ---- a run that is closed


def test_a_closed_run_says_that_it_is_closed(recording, tmp_path):
    path = tmp_path / "run.h5"
    eventsim.save_run(recording, path)
    with eventsim.open_run(path) as run:
        node = run["neuron1"]
        assert not run.closed and ", closed, " not in repr(run)
    assert run.closed and f"closed, {len(X)} samples" in repr(run) and "closed" in run._repr_html_()
    message = "run.h5: the run is closed: use it inside `with`, or open it again$"
    for ask in (lambda: run.spikes("neuron1"), lambda: run.trace("potentials", "neuron1"), lambda: run.statistics,
                lambda: node.events(), lambda: node.potentials, lambda: node.statistics,
                lambda: run.steps_per_unit("neuron1")):
        with pytest.raises(RunError, match=message):
            ask()
    assert "the run is closed" in repr(node) and run.counts.n_samples == len(X)


# ---- equality


def parts(thing, seen):
    """Every dataclass within a thing, each type once."""
    if is_dataclass(thing) and not isinstance(thing, type):
        if type(thing) not in seen:
            seen[type(thing)] = thing
            for each in fields(thing):
                parts(getattr(thing, each.name), seen)
    elif isinstance(thing, Mapping):
        for value in thing.values():
            parts(value, seen)
    elif isinstance(thing, (list, tuple)):
        for value in thing:
            parts(value, seen)
    return seen


def handed_out(tmp_path):
    """What users are handed, of every kind."""
    simulator = Simulator(MODEL, "int8")
    recording = simulator.run(X, record=(*ALL, "audit"))
    labels = recording.predictions
    summary = eventsim.evaluate(simulator, (X, labels), out=tmp_path / "run.h5", audit=True)
    digits = eventsim.load("data/digits.h5")
    bins = EventBins(1000, sensor_size=(1, 2), polarities="one")
    streaming = Simulator(Model({"in": Input((2,), events=bins), "n": Neuron()}, [("in", "n")], 1))
    stream = streaming.stream([{"t": [0, 1200, 2100], "x": [0, 1, 1], "y": [0] * 3, "p": [1] * 3}], window="2ms")
    return [recording, summary, simulator.program, digits.check, digits.summary(), next(stream), stream.state,
            eventsim.compare(MODEL, simulator, X, labels), recording["neuron1"].events(),
            eventsim.statistics.of(recording, MODEL, labels), recording.counts.summed(), Simulator(digits).program]


def test_everything_can_be_compared(tmp_path):
    seen = {}
    for thing in handed_out(tmp_path):
        parts(thing, seen)
    assert len(seen) > 30
    for kind, thing in seen.items():
        again = pickle.loads(pickle.dumps(thing))
        for other in (thing, again, copy.copy(thing), None, 3, "text"):
            assert (thing == other) in (True, False) and (thing in [other]) in (True, False), kind
        assert thing == thing and thing in [None, thing], kind
        if isinstance(thing, FrozenByValue):
            assert hash(thing) == hash(copy.copy(thing))
            assert thing == copy.copy(thing) and (thing != again or hash(thing) == hash(again)), kind


def test_equal_where_all_values_are(recording):
    again = Simulator(MODEL).run(X, record=ALL)
    assert again == recording and not again != recording and again == pickle.loads(pickle.dumps(recording))
    other = Simulator(MODEL).run(X[:, ::-1], record=ALL)
    for name in ("counts", "statistics", "state", "spikes"):
        mine, theirs, its = (getattr(one, name) for one in (recording, again, other))
        if isinstance(mine, dict):
            mine, theirs, its = (each["neuron1"] for each in (mine, theirs, its))
        assert mine == theirs == copy.deepcopy(mine) and mine != its, name
    assert len({recording.spikes["neuron1"], again.spikes["neuron1"], other.spikes["neuron1"]}) == 2
    assert recording != other and recording["neuron1"].events() == again["neuron1"].events()
    with pytest.raises(TypeError, match="unhashable"):
        hash(recording)


def test_equality_of_values():
    nan = np.array([1.0, np.nan])
    assert is_equal(nan, nan.copy()) and is_equal([nan, {"a": nan}], [nan.copy(), {"a": nan.copy()}])
    assert not is_equal(nan, np.ones(2)) and not is_equal({"a": nan}, {"b": nan}) and not is_equal(nan, 1.0)
    assert is_equal(np.array(["a"]), np.array(["a"])) and is_equal(float("nan"), float("nan"))
    assert Table({"a": [1, None], "s": ["x", None]}) == Table({"a": [1, None], "s": ["x", None]})
    assert Table({"a": np.ones(2)}) != Table({"a": np.ones(3)}) and Table({"a": np.ones(2)}) != 3


# ---- steps in pictures


@pytest.mark.parametrize("steps", [5, 50])
def test_pictures_count_steps_from_1_and_say_so(steps):
    """The mark of `step` of `events()` lies above the number step + 1."""
    x = np.zeros((1, steps, 1), int)
    x[0, 4, 0] = 1
    figure = plots.raster(Simulator(identity(1, steps)).run(x)["n"])
    [axes] = [axes for axes in figure.axes if axes.get_xlabel() == "step (from 1)"]
    at = dict(zip((label.get_text() for label in axes.get_xticklabels()), axes.get_xticks()))
    [column] = Simulator(identity(1, steps)).run(x)["n"].events().columns["step"]
    marks = axes.patches[-1].get_path().vertices[:, 0] if axes.patches else None
    assert all(position == int(number) - 0.5 for number, position in at.items())
    assert at.get(str(column + 1), 4.5) == 4.5 and len(at) > 2
    assert marks is None or abs(marks.mean() - 4.5) < 0.5
