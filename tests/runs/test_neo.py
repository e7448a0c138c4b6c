"""Spike trains as Neo objects: what is in them, that nothing is lost, and that elephant reads them."""

import sys
from functools import lru_cache, partial

import numpy as np
import pytest
from networks import chain
from processes import python
from small_networks import small_networks

import eventsim
from eventsim import open_run
from eventsim.engine.simulator import Simulator
from eventsim.errors import DataError, MissingPackageError, RunError
from eventsim.model.input import EventBins, Input
from eventsim.model.network import Model
from eventsim.model.neurons import Neuron

neo = pytest.importorskip("neo")
quantities = pytest.importorskip("quantities")
pytestmark = pytest.mark.filterwarnings("ignore:The 'copy' argument")  # elephant's, of quantities

to_neo = partial(eventsim.to_neo, dt=1e-3)
MODEL, X = small_networks()["signed"]  # maps, 2 and 3 bits, signs, a pool
NODES = ("input", "neuron1", "maxpool2", "neuron4", "flat")


@lru_cache(maxsize=None)
def recorded():
    """What a run of the network recorded: run when a test asks for it, not while tests are collected."""
    recording = Simulator(MODEL).run(np.concatenate([X, X[:, ::-1]]), record="spikes")
    assert tuple(recording.spikes) == NODES
    return recording


def levels_of(block, node, step, steps):
    """The recording again, (N, T, neurons), from a Block's trains alone."""
    rows = []
    for segment in block.segments:
        trains = [train for train in segment.spiketrains if train.annotations["node"] == node]
        row = np.zeros((steps, len(trains)), np.int64)
        for train in trains:
            at = np.round((train.times / step).simplified.magnitude).astype(int)
            row[at, train.annotations["neuron"]] = train.array_annotations["level"]
        rows.append(row)
    return np.array(rows)


@pytest.mark.parametrize("step", [1e-3, 1, 0.1 * quantities.ms, 1 / 3 * quantities.s])
@pytest.mark.parametrize("node", NODES)
def test_nothing_is_lost(node, step):
    block = to_neo(recorded(), node, dt=step)
    levels = recorded().levels(node)
    length = step if isinstance(step, quantities.Quantity) else step * quantities.s
    levels_again = levels_of(block, node, length, levels.shape[1])
    np.testing.assert_array_equal(levels_again, levels.reshape(levels_again.shape))


def test_what_a_train_says():
    block = to_neo(recorded(), "neuron1", sample=2)
    [segment] = block.segments
    trains = segment.spiketrains
    assert len(trains) == 16 * 6 * 6 and segment.index == 2 and segment.annotations["sample"] == 2
    assert segment.annotations["prediction"] == recorded().predictions[2]
    levels = recorded().levels("neuron1")[2]
    for neuron in (0, 7, 100, 575):
        train = trains[neuron]
        c, y, x = np.unravel_index(neuron, (16, 6, 6))
        given = train.annotations
        assert (given["node"], given["neuron"], given["sample"]) == ("neuron1", neuron, 2)
        assert (given["c"], given["y"], given["x"]) == (c, y, x)
        at = np.flatnonzero(levels[:, c, y, x])
        np.testing.assert_allclose(train.times.rescale("ms").magnitude, at, 1e-12)
        np.testing.assert_array_equal(train.array_annotations["level"], levels[at, c, y, x])
        assert train.t_start == 0 * quantities.s and train.t_stop == len(levels) * quantities.ms
        assert train.sampling_rate == 1000 * quantities.Hz
    [group] = block.groups
    assert group.annotations == {"node": "neuron1", "shape": (16, 6, 6), "bits": 2, "signed": True}
    assert len(group.spiketrains) == len(trains)
    assert any((train.array_annotations["level"] < 0).any() for train in trains)


@pytest.mark.parametrize("shape, axes", [((3,), {"c"}), ((3, 4), {"c", "x"}), ((3, 2, 2), {"c", "y", "x"})])
def test_the_axes_of_a_node(shape, axes):
    model = chain(Input(shape, "spikes"), Neuron(), timesteps=2)
    recording = Simulator(model).run(np.ones((1, 2, *shape), int), record="spikes")
    train = to_neo(recording, "input0").segments[0].spiketrains[-1]
    assert set(train.annotations) == {"node", "neuron", "sample"} | axes
    assert {axis: train.annotations[axis] for axis in axes} == dict(zip(sorted(axes, key="cyx".index),
                                                                       np.array(shape) - 1))


def test_all_nodes_and_samples_by_default():
    block = to_neo(recorded())
    sizes = {name: spikes.levels()[0, 0].size for name, spikes in recorded().spikes.items()}
    assert [group.name for group in block.groups] == list(sizes)
    assert [segment.index for segment in block.segments] == [0, 1, 2, 3]
    for segment in block.segments:
        assert [train.annotations["node"] for train in segment.spiketrains] == [
            name for name, size in sizes.items() for _ in range(size)]
    for group, size in zip(block.groups, sizes.values()):
        assert len(group.spiketrains) == 4 * size


def test_several_nodes_and_samples():
    block = to_neo(recorded(), ["neuron4", "input"], sample=[3, 1])
    assert [segment.index for segment in block.segments] == [3, 1]
    assert [group.name for group in block.groups] == ["neuron4", "input"]


def test_silent_neurons_can_be_left_out():
    complete, active = (to_neo(recorded(), "input", 0, silent=silent) for silent in (True, False))
    kept = [train for train in complete.segments[0].spiketrains if len(train)]
    assert 0 < len(kept) < len(complete.segments[0].spiketrains)
    assert [train.annotations["neuron"] for train in active.segments[0].spiketrains] == [
        train.annotations["neuron"] for train in kept]


def test_a_node_without_any_event():
    model = chain(Input((2,), "spikes"), Neuron(), timesteps=3)
    recording = Simulator(model).run(np.zeros((1, 3, 2), int), record="spikes")
    trains = to_neo(recording).segments[0].spiketrains
    assert len(trains) == 4 and not any(len(train) for train in trains)
    assert len(to_neo(recording, silent=False).segments[0].spiketrains) == 0


def test_from_the_file_of_a_run(tmp_path):
    eventsim.save_run(recorded(), tmp_path / "run.h5")
    with open_run(tmp_path / "run.h5") as run:
        for node in ("input", "neuron4"):
            block, expected = (to_neo(source, node, [1, 3]) for source in (run, recorded()))
            for a, b in zip(block.segments, expected.segments):
                assert a.annotations == b.annotations and len(a.spiketrains) == len(b.spiketrains)
                for x, y in zip(a.spiketrains, b.spiketrains):
                    np.testing.assert_array_equal(x.magnitude, y.magnitude)
                    np.testing.assert_array_equal(x.array_annotations["level"], y.array_annotations["level"])
                    assert x.annotations == y.annotations
        assert len(to_neo(run, sample=0).groups) == len(recorded().spikes)
        with pytest.raises(RunError, match="no spikes of 'conv2d0' were recorded"):
            to_neo(run, "conv2d0")


def test_elephant_bins_are_the_recording_again():
    elephant = pytest.importorskip("elephant")
    import elephant.conversion

    for step in (1 * quantities.ms, 0.1 * quantities.s):
        model = chain(Input((5,), "spikes"), Neuron(), timesteps=500)
        x = (np.random.default_rng(0).random((1, 500, 5)) < 0.3).astype(int)
        block = to_neo(Simulator(model).run(x, record="spikes"), "input0", dt=step)
        binned = elephant.conversion.BinnedSpikeTrain(list(block.segments[0].spiketrains), bin_size=step)
        np.testing.assert_array_equal(binned.to_array().T, x[0])


def test_neo_writes_and_reads_it(tmp_path):
    block = to_neo(recorded(), "neuron4", 0)
    neo.io.PickleIO(str(tmp_path / "spikes.pkl")).write_block(block)
    again = neo.io.PickleIO(str(tmp_path / "spikes.pkl")).read_block()
    levels = levels_of(again, "neuron4", 1 * quantities.ms, recorded().timesteps)
    np.testing.assert_array_equal(levels[0], recorded().levels("neuron4")[0].reshape(recorded().timesteps, -1))


@pytest.mark.filterwarnings("ignore::FutureWarning")  # of how neo calls pynwb
def test_nwb_keeps_times_and_names_and_levels_can_be_added(tmp_path):
    """As the guide on notebooks says it."""
    pynwb = pytest.importorskip("pynwb")
    from datetime import datetime, timezone

    block, path = to_neo(recorded(), "neuron4", [0, 2]), str(tmp_path / "spikes.nwb")
    with pytest.raises(Exception, match="session_start_time"):
        neo.io.NWBIO(path, mode="w").write_block(block)
    block.annotate(session_start_time=datetime.now(timezone.utc))
    (tmp_path / "spikes.nwb").unlink(missing_ok=True)
    neo.io.NWBIO(path, mode="w").write_block(block)
    trains = [train for segment in block.segments for train in segment.spiketrains]
    with pynwb.NWBHDF5IO(path, "a") as file:
        nwb = file.read()
        levels = [train.array_annotations["level"] for train in trains]
        nwb.units.add_column("level", "the level of each spike", data=levels, index=True)
        file.write(nwb)
    with pynwb.NWBHDF5IO(path, "r") as file:
        units = file.read().units
        assert len(units) == len(trains)
        for i, train in enumerate(trains):
            assert units["_name"][i] == train.name
            np.testing.assert_allclose(units["spike_times"][i], train.rescale("s").magnitude)
            np.testing.assert_array_equal(units["level"][i], train.array_annotations["level"])


# ---------------------------------------------------------------- errors


def test_nodes_that_were_not_recorded():
    with pytest.raises(RunError, match=r"no spikes of 'conv2d0' were recorded \(there are: 'input', "):
        to_neo(recorded(), "conv2d0")
    nothing = Simulator(MODEL).run(X, record=())
    with pytest.raises(RunError, match=r"no spikes were recorded \(there are: nothing\); run with record="):
        to_neo(nothing)


@pytest.mark.parametrize("sample", [4, -1, [0, 9]])
def test_samples_that_are_not_there(sample):
    with pytest.raises(DataError, match="is not among the 4 recorded; expected 0 to 3"):
        to_neo(recorded(), sample=sample)


@pytest.mark.parametrize("sample", ["first", 0.5, [0.5], {}])
def test_samples_that_are_no_numbers(sample):
    with pytest.raises(DataError, match="expected the number of a sample"):
        to_neo(recorded(), sample=sample)


@pytest.mark.parametrize("step, message", [
    (0, "more than 0"), (-1e-3, "more than 0"), (np.inf, "more than 0"), (np.nan, "more than 0"),
    ("soon", "unit of time"), (3 * quantities.mV, "unit of time"), ([1, 2], "unit of time"),
    (None, "unit of time"), (True, "unit of time"),
])
def test_steps_that_are_no_times(step, message):
    with pytest.raises(DataError, match=message):
        to_neo(recorded(), "neuron4", 0, dt=step)


def test_trains_end_with_their_samples(tmp_path):
    lengths = np.array([2, 1, 3, 2])
    recording = Simulator(MODEL).run(np.concatenate([X, X[:, ::-1]])[:4, :3], record="spikes", lengths=lengths)
    steps = recording.timesteps
    eventsim.save_run(recording, tmp_path / "run.h5")
    for source in (recording, open_run(tmp_path / "run.h5")):
        block = to_neo(source, NODES)
        for segment, length in zip(block.segments, lengths):
            assert {round(float(train.t_stop), 9) for train in segment.spiketrains} == {length * 1e-3}
        for node in NODES:
            levels_again = levels_of(block, node, 1e-3, steps)
            np.testing.assert_array_equal(levels_again, recording.levels(node).reshape(levels_again.shape))


@pytest.mark.parametrize("fresh", (False, True))
def test_a_stream_has_its_own_steps(fresh):
    """Whatever the model's bin width is; a run of the same simulator has the model's."""
    nodes = {"in": Input((2, 4, 5), events=EventBins(30_000, coincident="merge", sensor_size=(4, 5))),
             "n": Neuron()}
    sim = Simulator(Model(nodes, [("in", "n")], 3))
    events = {"t": np.arange(0, 20_000, 100), "x": [1] * 200, "y": [2] * 200, "p": [1] * 200}
    for options, dt in (({"step": "1ms"}, 1e-3), ({"step": "2.5ms"}, 2.5e-3), ({"window": "30ms"}, 30e-3)):
        options = {"window": "10ms", "fresh": fresh, "record": ("spikes",), **options}
        window = next(sim.stream([events], **options))
        block = eventsim.to_neo(window.recording, "in")
        assert float(block.annotations["dt"]) == pytest.approx(dt)
        assert float(block.segments[0].spiketrains[0].t_stop) == pytest.approx(1e-6 * (window.stop - window.start))
    block = eventsim.to_neo(sim.run(np.ones((1, 3, 2, 4, 5), int)), "in")
    assert float(block.annotations["dt"]) == pytest.approx(30e-3)


def test_without_neo(monkeypatch):
    monkeypatch.setitem(sys.modules, "neo", None)
    with pytest.raises(MissingPackageError, match=r'not installed; run pip install "eventsim-snn\[neo\]"$'):
        to_neo(recorded())


def test_neo_is_imported_only_when_needed():
    code = "import sys, eventsim; eventsim.to_neo; print(*{'neo', 'quantities'} & set(sys.modules))"
    done = python("-c", code, check=True)
    assert done.stdout.strip() == ""
