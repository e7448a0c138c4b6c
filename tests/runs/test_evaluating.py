"""Evaluating: one call does all that `eventsim run --out` does, parts of a data set merge to the whole, and a
recording saved from Python is the file of a run."""

import gzip
import json
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import eventsim
from eventsim import Dense, Input, Model, Neuron, Readout, Simulator
from eventsim.cli import main
from eventsim.costs.energy_table import find_energy_table
from eventsim.errors import DataError, FormatError, RunError
from eventsim.report import findings, page, tables
from eventsim.runs import evaluating, stored_statistics
from eventsim.runs.summary import RunSummary

ROOT = Path(__file__).resolve().parents[2]
MODEL, DATA = ROOT / "data" / "digits.h5", ROOT / "data" / "digits_test.h5"
RUN_OF_0_1 = Path(__file__).parent / "data" / "run_of_0.1.h5.gz"
MEASURED = ("seconds", "samples_per_second", "made")  # differ from run to run


def small_network():
    """The network, and the data, of the run of eventsim 0.1."""
    rng = np.random.default_rng(7)
    nodes = {
        "in": Input((6,), bits=2), "fc": Dense(rng.integers(-40, 40, (5, 6)).astype(float)),
        "hidden": Neuron(v_threshold=64.0), "last": Dense(rng.integers(-40, 40, (3, 5)).astype(float)),
        "out": Readout(),
    }
    edges = [("in", "fc"), ("fc", "hidden"), ("hidden", "last"), ("last", "out")]
    model = Model(nodes, edges, timesteps=4, class_names=("a", "b", "c"))
    return model, rng.integers(0, 4, (8, 4, 6)).astype(np.uint8), rng.integers(0, 3, 8)


@pytest.fixture(scope="module")
def digits():
    return Simulator(eventsim.load(MODEL), "int8")


def results_of(summary, *without):
    """What a summary says of the network, which no clock changes."""
    return {key: value for key, value in summary.to_json().items() if key not in (*MEASURED, *without)}


def assert_same_arrays(statistics, expected):
    statistics, expected = stored_statistics.arrays(statistics), stored_statistics.arrays(expected)
    assert statistics.keys() == expected.keys()
    for name, values in expected.items():
        assert np.array_equal(statistics[name], values, equal_nan=values.dtype.kind == "f"), name


# ---- as the command


def test_python_and_the_command_write_the_same_file(digits, tmp_path, capsys):
    options = dict(record=("spikes:neuron3", "outputs"), limit=70, audit=True, conventions=True, detailed=9)
    summary = eventsim.evaluate(digits, DATA, out=tmp_path / "python.h5", model=str(MODEL), **options)
    assert main(["run", str(MODEL), str(DATA), "--precision", "int8", "--limit", "70", "--audit", "--conventions",
                 "--detailed", "9", "--record", "spikes:neuron3", "--record", "outputs", "--out",
                 str(tmp_path / "command.h5"), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert not {"made", "nodes", "class_names"} & printed.keys()
    assert printed.pop("notes") == ["of the weights, int8 rounds 1.0 % to 0 in neuron2"]
    assert {key: value for key, value in printed.items() if key not in MEASURED} == {
        key: value for key, value in results_of(summary).items() if key in printed}
    with eventsim.open_run(tmp_path / "python.h5") as ours, eventsim.open_run(tmp_path / "command.h5") as theirs:
        assert results_of(ours.summary) == results_of(theirs.summary) == results_of(summary)
        assert ours.summary == summary and ours.recorded == theirs.recorded
        assert_same_arrays(ours.statistics, theirs.statistics)
        assert_same_arrays(ours.statistics, summary.statistics)
        assert np.array_equal(ours.outputs, theirs.outputs) and np.array_equal(ours.labels, theirs.labels)
        assert np.array_equal(ours.spikes("neuron3").planes, theirs.spikes("neuron3").planes)
        assert [f.as_json() for f in findings.find(ours)] == [f.as_json() for f in findings.find(theirs)]


@pytest.mark.parametrize("labels, wrong", [(range(10, 18), 8), ([0, 1, 12, 2, 3, 10, 9, 5], 2), (range(8), 0)])
def test_labels_that_are_no_class_of_the_model_are_said(digits, labels, wrong, recwarn):
    node = digits.model.nodes[digits.model.input]
    [(x, _)] = eventsim.open_dataset(DATA, node, digits.model.timesteps).batches(8, 8)
    summary = eventsim.evaluate(digits, (x, np.array(labels)), data="here.npz")
    messages = [str(each.message) for each in recwarn if "labels" in str(each.message)]
    assert len(messages) == bool(wrong) and summary.accuracy <= 1 - wrong / 8
    text = f"here.npz: {wrong} of 8 labels are none of the model's classes, which are 0 to 9"
    assert not messages or text in messages[0]
    recwarn.clear()
    assert digits.score(x, np.array(labels)) == summary.accuracy
    messages = [str(each.message) for each in recwarn if "labels" in str(each.message)]
    assert len(messages) == bool(wrong) and (not messages
                                             or messages[0].startswith(f"{wrong} of 8 labels are none"))


def test_labels_that_are_no_class_are_said_of_whatever_batch(monkeypatch):
    model, x, y = small_network()
    monkeypatch.setattr(evaluating, "batch_size", lambda *limits: 3)
    with pytest.warns(UserWarning, match="2 of 8 labels are none of the model's classes"):
        eventsim.evaluate(Simulator(model), (x, np.where(np.arange(8) % 4, y, 7)))


def test_a_look_at_single_samples_is_of_the_first_and_its_time_is_counted(monkeypatch):
    """The first sample of a batch says whether potentials overflow, and the answers of all whether they do."""
    recorded, batches = evaluating._Evaluating._recorded, []

    def of_a_second(self, x, record):
        batches.append(len(x))
        return replace(recorded(self, x, record), seconds=1.0)

    monkeypatch.setattr(evaluating._Evaluating, "_recorded", of_a_second)
    model, x, _ = small_network()
    assert eventsim.evaluate(Simulator(model), x, statistics=True, detailed=3).seconds == 2.0
    assert batches == [8, 3]
    nodes = {"in": Input((2,)), "fc": Dense([[3e38, 3e38]]), "n": Neuron(reset="hard"), "last": Dense([[3e38]]),
             "out": Readout()}
    model = Model(nodes, list(zip(nodes, list(nodes)[1:])))
    x = np.array([[[1, 1], [1, 1]], [[1, 0], [0, 0]]])  # the first sums 6e38 in each step, and then its answers
    for samples, seen in ((x, {"n": 2, "": 1}), (x[::-1], {"": 1})):
        assert eventsim.evaluate(Simulator(model), samples).not_finite == seen


def test_arrays_paths_and_data_sets_are_the_same_data(digits):
    node = digits.model.nodes[digits.model.input]
    dataset = eventsim.open_dataset(DATA, node, digits.model.timesteps)
    [(x, y)] = dataset.batches(len(dataset), 40)
    of_path = results_of(eventsim.evaluate(digits, DATA, limit=40), "data")
    assert results_of(eventsim.evaluate(digits, dataset, limit=40), "data") == of_path
    assert results_of(eventsim.evaluate(digits, (x, y)), "data") == of_path
    unlabelled = eventsim.evaluate(digits, x)
    assert unlabelled.accuracy is None and unlabelled.data is None
    assert unlabelled.totals.synops == of_path["totals"]["synops"]
    assert unlabelled.statistics is None and eventsim.evaluate(digits, x, statistics=True).statistics.decisions


def test_progress_is_told(digits, monkeypatch):
    monkeypatch.setattr(evaluating, "BATCH", (16, 16))
    monkeypatch.setattr(evaluating, "LARGE_BATCH", 16)
    calls = []
    eventsim.evaluate(digits, DATA, limit=40, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(16, 40), (32, 40), (40, 40)]
    calls.clear()
    eventsim.evaluate(digits, DATA, limit=40, shard=(1, 3),
                      progress=lambda done, total: calls.append((done, total)))
    assert calls == [(13, 13)]


def test_a_summary_is_printed(digits):
    text = eventsim.evaluate(digits, DATA, limit=20, audit=True, model="net").as_text()
    assert text.startswith(f"net on {DATA}: 100.00 % correct of 20 samples, 2 steps, int8, ")
    assert "\ntotal" in text and "energy by horowitz_45nm: " in text and "bits needed" in text


# ---- parts


@pytest.mark.parametrize("n", (2, 7))
def test_parts_merge_to_the_whole(digits, n):
    options = dict(limit=150, audit=True, statistics=True, detailed=11)
    one_run = eventsim.evaluate(digits, DATA, **options)
    parts = [eventsim.evaluate(digits, DATA, shard=(i, n), **options) for i in range(n)]
    assert sum(part.samples for part in parts) == 150
    merged = eventsim.merge_summaries(parts)
    assert results_of(merged) == results_of(one_run)
    assert_same_arrays(merged.statistics, one_run.statistics)
    assert merged.seconds == sum(part.seconds for part in parts)


def test_parts_of_other_tools_counts_merge():
    """They are sums of real numbers, whose last digit depends on what is added first."""
    model, x, y = small_network()
    simulator = Simulator(model)
    one_run = eventsim.evaluate(simulator, (x, y), conventions=True)
    merged = eventsim.merge_summaries(
        eventsim.evaluate(simulator, (x, y), conventions=True, shard=(i, 3)) for i in range(3))
    assert results_of(merged, "conventions") == results_of(one_run, "conventions")
    sums, expected = merged.sums.conventions.sums, one_run.sums.conventions.sums
    assert sums.keys() == expected.keys()
    for node, row in expected.items():
        assert sums[node] == pytest.approx(row, rel=1e-12)


def test_dropped_events_are_those_of_the_part(tmp_path):
    """Recordings of which the second has an event after the last step."""
    folder = tmp_path / "Test"
    for digit, microseconds in ((0, 10), (1, 5000), (2, 20)):
        (folder / str(digit)).mkdir(parents=True)
        record = bytes([1, 2, 0x80 | microseconds >> 16, microseconds >> 8 & 255, microseconds & 255])
        (folder / str(digit) / "a.bin").write_bytes(record)
    rng = np.random.default_rng(0)
    nodes = {"in": Input((2, 34, 34), bits=1, events=eventsim.EventBins(1000.0)), "flat": eventsim.Flatten(),
             "fc": Dense(rng.normal(0, 1, (3, 2312))), "out": Readout()}
    simulator = Simulator(Model(nodes, [("in", "flat"), ("flat", "fc"), ("fc", "out")], 3))
    parts = [eventsim.evaluate(simulator, tmp_path, shard=(i, 3)) for i in range(3)]
    assert [part.dropped_events for part in parts] == [0, 1, 0]
    assert results_of(eventsim.merge_summaries(parts)) == results_of(eventsim.evaluate(simulator, tmp_path))
    assert "1 event of the recordings lay outside the steps and was left out" in parts[1].as_text()


def test_parts_that_do_not_belong_together(digits, tmp_path):
    model, x, y = small_network()
    first = eventsim.evaluate(digits, DATA, limit=4, out=tmp_path / "run.h5")
    with pytest.raises(RunError, match="cannot be merged"):
        eventsim.merge_summaries([first, eventsim.evaluate(Simulator(model), (x, y))])
    with eventsim.open_run(tmp_path / "run.h5") as run:
        with pytest.raises(RunError, match="only summaries that `evaluate`"):
            eventsim.merge_summaries([first, run.summary])
    with pytest.raises(RunError, match="at least one"):
        eventsim.merge_summaries([])


def part(i, n=3, model=None, precision="int8", labelled=True, steps=4, **options):
    """Part i of n of the small data, whose labels are 8."""
    own, x, y = small_network()
    data = x[:, :steps], y if labelled else None
    return eventsim.evaluate(Simulator(model or own, precision), data, shard=(i, n), **options)


def other_table(name):
    """An energy table of other figures."""
    return replace(find_energy_table("horowitz_45nm"), name=name, dense_weight_reuse=2.0)


def changed_network(**options):
    """The small network with other weights, or other names of its classes."""
    model = small_network()[0]
    nodes = dict(model.nodes)
    if not options:
        nodes["fc"] = Dense(np.round(nodes["fc"].weight * 0.75))
    return Model(nodes, model.edges, timesteps=4, **{"class_names": model.class_names, **options})


@pytest.mark.parametrize("others, message", [
    ((lambda: part(1, model=changed_network()),), "they are of two networks, whose weights, .*; merge parts of"),
    ((lambda: part(1, model=changed_network(class_names="xyz")),),
     "their models name other classes, 'x', 'y', 'z' and 'a'"),
    ((lambda: part(1, precision="float32"),), "they ran in float32 and int8; run all parts alike"),
    ((lambda: part(1, precision=None, model=changed_network(chip=eventsim.Chip("mine"))),),
     "they ran in fixed of chip 'mine' and int8"),
    ((lambda: part(1, statistics=True),), "only one of them has statistics; give all parts statistics=True"),
    ((lambda: part(1, audit=True),), "only one of them has an audit; give all parts audit=True, or none"),
    ((lambda: part(1, conventions=True),), "only one of them has counts as other tools do; give all "),
    ((lambda: part(1, steps=2),), "their samples have 2 steps and 4 steps; run all parts with the same timest"),
    ((lambda: part(1, energy=other_table("horowitz_45nm")),), "they were assessed by two energy tables of the "),
    ((lambda: part(1, energy=other_table("mine")),),
     "they were assessed by the energy tables 'mine' and 'horowitz_45nm'; give all parts the same"),
    ((lambda: part(1, labelled=False),), "only one of them has labels; give labels with all parts, or with none"),
    ((lambda: part(1, data="other"),), r"they are of the data 'other' and without a name; .* same name \(data=\)"),
    ((lambda: part(0),), "both have samples 0 to 1 of the data; give each part of it once"),
    ((lambda: part(1), lambda: part(0, 2)), "both have samples 0 to 1 of the data"),
    ((lambda: eventsim.merge_summaries([part(1), part(2)]), lambda: part(1)), "both have samples 2 to 4 of "),
    ((lambda: part(1, 8),), "both have samples 1 to 1 of the data"),
])
def test_what_is_no_other_part_of_the_same_run_is_refused(others, message):
    parts = [part(0), *(other() for other in others)]
    with pytest.raises(RunError, match=rf"^parts\[\d\] and parts\[\d\] cannot be merged: {message}[^\n]*$"):
        eventsim.merge_summaries(parts)


def test_parts_merge_in_any_order_and_of_a_network_loaded_again(digits, tmp_path):
    """Statistics keep samples in an order, which is that of the data."""
    options = dict(limit=40, statistics=True, detailed=11)
    simulators = [digits, Simulator(eventsim.load(MODEL), "int8", workers=2), digits]
    parts = [eventsim.evaluate(simulators[i], DATA, shard=(i, 3), **options) for i in range(3)]
    one_run = eventsim.evaluate(digits, DATA, **options)
    for merged in (eventsim.merge_summaries([parts[2], parts[0], parts[1]]),
                   eventsim.merge_summaries([parts[2], eventsim.merge_summaries([parts[1], parts[0]])])):
        assert results_of(merged) == results_of(one_run)
        assert_same_arrays(merged.statistics, one_run.statistics)
    with pytest.raises(RunError, match="both have samples 0 to 39"):
        eventsim.merge_summaries([one_run, one_run])


def test_parts_of_one_file_merge_by_whatever_path_and_name(digits, tmp_path, monkeypatch):
    """A relative path, a link, another label of the model: what was taken and the fingerprint say what it is."""
    (tmp_path / "link.h5").symlink_to(DATA)
    monkeypatch.chdir(Path(DATA).parent)
    ways = [(str(DATA), "a"), (Path(DATA).name, "b"), (str(tmp_path / "link.h5"), None),
            (eventsim.open_dataset(DATA, digits.model["input"]), None)]
    parts = [eventsim.evaluate(digits, data, model=name, limit=40, shard=(i, 4))
             for i, (data, name) in enumerate(ways)]
    merged = eventsim.merge_summaries(reversed(parts))
    names = "model", "data"
    assert results_of(merged, *names) == results_of(eventsim.evaluate(digits, DATA, limit=40), *names)
    assert (merged.model, merged.data) == ("a", str(DATA))
    again = eventsim.evaluate(digits, tmp_path / "link.h5", limit=10)
    with pytest.raises(RunError, match="both have samples 0 to 9 of the data"):
        eventsim.merge_summaries([parts[0], again])


def test_models_of_unknown_fingerprint_are_told_apart_by_their_names():
    first, second = (replace(each, sums=replace(each.sums, model=name,
                                                context=replace(each.sums.context, fingerprint="")))
                     for each, name in ((part(0), "a"), (part(1), "b")))
    with pytest.raises(RunError, match="they are of the models 'b' and 'a'; merge parts of one model"):
        eventsim.merge_summaries([first, second])


@pytest.mark.parametrize("kept, missing", [
    ((0, 3), "samples 2 to 5 are in no part: the summary is of the other 4"), ((1, 2), "samples 0 to 1 are"),
    ((0, 2), "samples 2 to 3 are in no part"), ((0, 1, 2, 3), None), ((2,), None), ((0, 1), None)])
def test_samples_that_are_in_no_part_are_said(kept, missing):
    assert_missing([part(i, 4) for i in kept], 2 * len(kept), missing)


@pytest.mark.parametrize("kept, missing", [
    ((0, 2, 3), "sample 1 is in no part: the summary is of the other 7"), ((1, 2, 3), "sample 0 is in no part")])
def test_one_sample_that_is_in_no_part_is_said(kept, missing):
    ends = (0, 1, 2, 4, 8)
    shards = [part(i, 8) for i in range(8)]
    parts = [eventsim.merge_summaries(shards[ends[i] : ends[i + 1]]) for i in kept]
    assert_missing(parts, 7, missing)


def assert_missing(parts, samples, missing):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        merged = eventsim.merge_summaries(parts)
    assert merged.samples == samples
    assert [str(each.message) for each in caught if missing is None or missing not in str(each.message)] == []
    assert len(caught) == (missing is not None) and all(each.filename == __file__ for each in caught)


def test_arrays_that_are_run_apart_merge():
    """They have no name: those that are whole are taken to be different samples, however many they are."""
    model, x, y = small_network()
    simulator = Simulator(model)
    parts = [eventsim.evaluate(simulator, (x[rows], y[rows])) for rows in (slice(0, 4), slice(4, 8))]
    assert results_of(eventsim.merge_summaries(parts)) == results_of(eventsim.evaluate(simulator, (x, y)))
    halves = [eventsim.merge_summaries([eventsim.evaluate(simulator, (x, y), shard=(i, 2)) for i in range(2)])] * 2
    assert eventsim.merge_summaries(halves).samples == 16


def test_parts_of_other_steps_of_events_are_refused():
    x = np.zeros((2, 3, 2, 2, 2), int)
    parts = [eventsim.evaluate(Simulator(event_network(width)), x) for width in (10, 20)]
    with pytest.raises(RunError, match="models make steps of events by bin_width 20.0 and by bin_width 10.0"):
        eventsim.merge_summaries(parts)


# ---- data opened for another model


def event_network(bin_width=10.0, assumed=(), **bins):
    """Events of 2 x 2 pixels."""
    events = eventsim.EventBins(bin_width, sensor_size=(2, 2), **bins)
    events.assumed = assumed
    nodes = {"in": Input((2, 2, 2), bits=4, events=events), "flat": eventsim.Flatten(),
             "fc": Dense(np.arange(24.0).reshape(3, 8)), "out": Readout()}
    return Model(nodes, [("in", "flat"), ("flat", "fc"), ("fc", "out")], 3)


@pytest.fixture
def recording(tmp_path):
    """Three events, one in every 10 us."""
    path = tmp_path / "events.csv"
    path.write_text("t,x,y,p\n0,0,0,1\n10,1,0,0\n20,0,1,1\n")
    return path


@pytest.mark.parametrize("bins, message", [
    (dict(bin_width=5.0), "bin_width 5.0, but that of the model is of bin_width 10.0"),
    (dict(polarities="on_off"), "polarities on_off, but that of the model is of polarities off_on"),
    (dict(coincident="merge", bin_width=20.0), "bin_width 20.0, coincident merge, but that of the model is of"),
])
def test_recordings_that_were_opened_for_other_steps_are_refused(recording, bins, message):
    data = eventsim.open_dataset(recording, event_network(**bins)["in"], 3)
    with pytest.raises(DataError, match=f"^events.csv: was opened for an input of {message}[^\n]*: open it for"):
        eventsim.evaluate(Simulator(event_network()), data)


def test_recordings_that_were_opened_for_the_same_steps_run(recording):
    """Also where the model's own width is only assumed, or no step has it."""
    expected = eventsim.evaluate(Simulator(event_network()), recording)
    for opened, model in ((event_network(), event_network()),
                          (event_network(), event_network(7.0, assumed=("bin_width",)))):
        data = eventsim.open_dataset(recording, opened["in"], 3)
        assert eventsim.evaluate(Simulator(model), data).totals == expected.totals
    data = eventsim.open_dataset(recording, event_network(7.0)["in"], 3, split="number")
    assert eventsim.evaluate(Simulator(event_network()), data).totals == expected.totals


def picture_network(layout):
    nodes = {"in": Input((1, 2, 3), "image", bits=4, layout=layout), "flat": eventsim.Flatten(),
             "fc": Dense(np.eye(6)), "out": Readout()}
    return Model(nodes, [("in", "flat"), ("flat", "fc"), ("fc", "out")])


def test_values_that_were_opened_for_other_axes_are_refused(tmp_path):
    x = np.arange(12).reshape(2, 2, 3)
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "turned.npy", x.transpose(0, 2, 1))
    simulator = Simulator(picture_network("CHW"))
    data = eventsim.open_dataset(tmp_path / "x.npy", picture_network("HW")["in"])  # there are no channels
    assert eventsim.evaluate(simulator, data).samples == 2
    data = eventsim.open_dataset(tmp_path / "turned.npy", picture_network("CWH")["in"])
    with pytest.raises(DataError, match=r"turned.npy: samples have shape \(3, 2\), expected axes"):
        eventsim.evaluate(simulator, data)
    square = np.arange(8).reshape(2, 2, 2)
    np.save(tmp_path / "square.npy", square)
    data = eventsim.open_dataset(tmp_path / "square.npy", Input((1, 2, 2), "image", bits=4, layout="CWH"))
    model = Model({"in": Input((1, 2, 2), "image", bits=4), "out": Readout()}, [("in", "out")])
    with pytest.raises(DataError, match="opened for an input of layout CWH, but that of the model is of layout"):
        eventsim.evaluate(Simulator(model), data)
    data = eventsim.open_dataset(tmp_path / "x.npy", Input((2, 3), "image", bits=4))
    with pytest.raises(DataError, match=r"opened for an input of shape \(2, 3\), but that of the model is of"):
        eventsim.evaluate(simulator, data)


# ---- what cannot be asked


@pytest.mark.parametrize("options, error, message", [
    (dict(record=("spikes",)), DataError, "record says what a file keeps of the run; give `out`"),
    (dict(detailed=3), DataError, "detailed says of how many samples .* give `out`, or statistics"),
    (dict(record=("membranes",), out="run.h5"), DataError, "record has 'membranes', but statistics are kept"),
    (dict(record="nonsense", out="run.h5"), DataError, "record has 'nonsense', expected any of"),
    (dict(limits=3), DataError, "'limits' is no option, expected one of out, .*; did you mean 'limit'"),
    (dict(record=[3], out="run.h5"), DataError, r"record is \[3\], expected a name such as 'spikes', or several"),
    (dict(limit=0), DataError, "limit is 0, expected a whole number from 1 on"),
    (dict(shard=(3, 3)), DataError, r"shard is \(3, 3\), expected \(i, n\): part i, from 0 on, of n parts"),
    (dict(shard=2), DataError, r"shard is 2, expected \(i, n\)"),
    (dict(shard=(0, 9)), DataError, "shard 0 of 9 has no samples: there are only 8"),
    (dict(energy="nonsense"), FormatError, "energy table is 'nonsense', expected horowitz_45nm"),
    (dict(out="missing/run.h5"), DataError, "missing/run.h5: cannot be written"),
])
def test_what_cannot_be_asked(options, error, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model, x, y = small_network()
    with pytest.raises(error, match=message) as raised:
        eventsim.evaluate(Simulator(model), (x, y), **options)
    assert "\n" not in str(raised.value) and list(tmp_path.iterdir()) == []


def test_data_that_does_not_fit(tmp_path):
    model, x, y = small_network()
    for data, message in (
        (x[:, :, :5], r"levels|shape"), (x[0, 0], r"x has shape \(6,\), expected \(N, 6\), or with steps after N"),
        ([x, y], r"dataset is a list of 2 that make no array, expected samples .* a tuple: \(x, y\)$"),
        ([(x, y)], r"dataset is a list of 1 that make no array, .* a tuple: \(x, y\)$"),
        ((x, y[:3]), "arrays: y has 3 labels, but x has 8 samples"), ((x, y + 0.5), "no class number"),
    ):
        with pytest.raises(DataError, match=message):
            eventsim.evaluate(Simulator(model), data)
    np.savez(tmp_path / "data.npz", x=x, y=y)
    with pytest.raises(DataError, match="data.npz: is what is read, and would be replaced"):
        eventsim.evaluate(Simulator(model), tmp_path / "data.npz", out=tmp_path / "data.npz")


# ---- recordings saved from Python


def test_a_saved_recording_is_the_file_of_a_run(tmp_path, capsys):
    model, x, y = small_network()
    simulator = Simulator(model, chip="loihi")
    eventsim.evaluate(simulator, (x, y), out=tmp_path / "run.h5", audit=True, detailed=8,
                      record=("spikes", "potentials", "residuals", "outputs"))
    recording = simulator.run(x, record=("spikes", "potentials", "residuals", "outputs", "audit", "statistics"))
    eventsim.save_run(recording, tmp_path / "saved.h5", y)
    with eventsim.open_run(tmp_path / "saved.h5") as saved, eventsim.open_run(tmp_path / "run.h5") as run:
        assert results_of(saved.summary) == results_of(run.summary) and saved.summary.chip == "loihi"
        assert saved.precision == run.precision == "fixed" and saved.recorded == run.recorded
        assert saved.statistics.decisions.class_names == ("a", "b", "c")
        assert saved.statistics.membranes.keys() == run.statistics.membranes.keys() == {"hidden"}
        assert [f.as_json() for f in findings.find(saved)] == [f.as_json() for f in findings.find(run)]
        for name in ("findings", "classes", "confusion", "membranes", "samples"):
            assert tables.table(saved, name).as_json() == tables.table(run, name).as_json(), name
        assert tables.table(saved, "layers").as_arrays()["energy"].tolist() == tables.table(
            run, "layers").as_arrays()["energy"].tolist()
        assert "a matched quantised" in page.render(saved) or "energy per sample" in page.render(saved)
    for command in (["stats"], ["report"], ["plot", "membranes"]):
        assert main([command[0], str(tmp_path / "saved.h5"), *command[1:]]) == 0
    assert "in 4 steps of loihi" in capsys.readouterr().out


def test_a_recording_without_context_is_saved_too(tmp_path):
    model, x, y = small_network()
    recording = replace(Simulator(model).run(x), context=None)
    eventsim.save_run(recording, tmp_path / "saved.h5", y)
    with eventsim.open_run(tmp_path / "saved.h5") as run:
        assert run.summary == RunSummary() and run.statistics.trains and run.precision == "float32"


@pytest.mark.parametrize("dtype", (np.float64, np.float16, np.uint8))
def test_whole_labels_of_any_type_are_kept(tmp_path, dtype):
    model, x, y = small_network()
    eventsim.save_run(Simulator(model).run(x, record="outputs"), tmp_path / "run.h5", y.astype(dtype))
    with eventsim.open_run(tmp_path / "run.h5") as run:
        assert run.labels.tolist() == y.tolist() and run.labels.dtype == np.int64
        assert run.statistics.decisions.accuracy == run.summary.accuracy


def _rates(run):
    """Of what the tables say: name -> events, of all samples."""
    events = {name: tables.table(run, name).as_arrays() for name in ("neurons", "rates", "layers")}
    chosen = {name: rows[rows["layer"] == "hidden"]["events"].sum() for name, rows in events.items()}
    chosen["layers"] *= run.n_samples
    levels = tables.table(run, "levels").as_arrays()
    return {**chosen, "levels": levels["count"][(levels["layer"] == "hidden") & (levels["level"] > 0)].sum()}


def test_intervals_do_not_hide_the_spikes_of_a_recording(tmp_path):
    model, x, _ = small_network()
    recording = Simulator(model).run(x, record=("intervals", "spikes"))
    eventsim.save_run(recording, tmp_path / "run.h5")
    events = np.count_nonzero(recording.levels("hidden"))
    with eventsim.open_run(tmp_path / "run.h5") as run:
        assert _rates(run) == pytest.approx(dict.fromkeys(("neurons", "rates", "layers", "levels"), events))
        assert tables.table(run, "steps").as_arrays()["rate"].any() and run.statistics.trains["in"].n_detailed == 8


def test_tables_have_nothing_of_what_was_not_gathered(tmp_path):
    model, x, _ = small_network()
    recording = Simulator(model).run(x, record="intervals")
    eventsim.save_run(recording, tmp_path / "intervals.h5")
    with eventsim.open_run(tmp_path / "intervals.h5") as run:
        made = tables.tables(run)
        layers, neurons = (made[name].as_arrays() for name in ("layers", "neurons"))
        events = sum(row["events"].sum() for row in run.counts.layers.values())
        assert layers["events"].sum() * 8 == pytest.approx(events)
        counted = [run.counts.firing_rate(name) if findings.role_of(run, name) else np.nan
                   for name in layers["layer"]]
        assert layers["rate"] == pytest.approx(counted, nan_ok=True) and np.any(layers["rate"] > 0)
        assert np.isnan(layers["entropy"]).all() and np.isnan(neurons["events"]).all()
        assert np.isfinite(neurons["cv"]).any() and {"intervals", "correlations"} <= set(made)
        assert not {"rates", "levels", "planes", "steps"} & set(made) and page.render(run)
    eventsim.evaluate(Simulator(model), x, out=tmp_path / "none.h5", detailed=0)
    with eventsim.open_run(tmp_path / "none.h5") as run:
        assert not {"intervals", "correlations", "membranes"} & set(tables.tables(run)) and page.render(run)


@pytest.mark.parametrize("steps, said", ((5, "5 steps"), (1, "1 step")))
def test_batches_of_other_steps_are_refused_with_what_helps(steps, said):
    class Loader:
        dataset, batch_size = range(4), 2

        def __iter__(self):
            return iter([np.zeros((2, 4, 6), int), np.zeros((2, steps, 6), int)])

    with pytest.raises(DataError, match=rf"^the batch that begins with sample 2 has {said}, those before it 4; "
                                        r"where samples have lengths of their own, give \(x, y, lengths\), x pad"):
        eventsim.evaluate(Simulator(small_network()[0]), Loader())


# ---- summaries as JSON


def test_a_summary_comes_back(digits):
    summary = eventsim.evaluate(digits, DATA, limit=9, audit=True, conventions=True)
    values = json.loads(json.dumps(summary.to_json()))
    assert RunSummary.from_json(values, "file.h5") == summary
    assert RunSummary.from_json(values, "file.h5").to_json() == summary.to_json()
    assert RunSummary.from_json({}, "file.h5") == RunSummary() == RunSummary.from_json({"energy": None}, "file.h5")


def test_summaries_of_the_same_results_are_equal(tmp_path):
    """However long they took, with however many workers, and from a file too."""
    model, x, y = small_network()
    first, again, other = (eventsim.evaluate(Simulator(model, workers=workers), (x, labels), out=tmp_path / "run.h5")
                           for workers, labels in ((1, y), (2, y), (1, (y + 1) % 3)))
    assert first.seconds != again.seconds and first.workers != again.workers
    assert first == again and first.sums == again.sums and hash(first) == hash(again)
    assert first != other and first.sums != other.sums
    with eventsim.open_run(tmp_path / "run.h5") as run:
        assert run.summary == other != first


@pytest.mark.parametrize("values, message", [
    ([], "f: damaged: 'summary' is list, expected an object"),
    ({"samples": "9"}, "f: damaged: 'summary.samples' is str, expected a number"),
    ({"model": 9}, "f: damaged: 'summary.model' is int, expected text"),
    ({"nodes": {}}, "f: damaged: 'summary.nodes' is dict, expected a list"),
    ({"nodes": [{"name": "a"}]}, "f: damaged: 'summary.nodes.0' has no 'kind'"),
    ({"nodes": [None]}, "f: damaged: 'summary.nodes.0' is NoneType, expected an object"),
    ({"energy": {"layers": [{"total": 1}]}}, "f: damaged: 'summary.energy.layers.0' has no 'name'"),
    ({"audit": {"a": {"sum": 3}}}, "f: damaged: 'summary.audit.a.sum' is int, expected an object"),
    ({"profile": 3}, "f: damaged: 'summary.chip' is int, expected text"),
])
def test_a_damaged_summary(values, message):
    with pytest.raises(DataError) as raised:
        RunSummary.from_json(values, "f")
    assert str(raised.value) == message


def absent(value, place=()):
    """Yield a copy of a JSON value without each of its members in turn, and where that stood."""
    members = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in members:
        if isinstance(value, dict):
            yield {name: each for name, each in value.items() if name != key}, (*place, key)
        for less, where in absent(value[key], (*place, key)):
            changed = value.copy()
            changed[key] = less
            yield changed, where


def test_any_field_may_be_absent(digits):
    """A summary that lacks any one of them is printed, or refused in one line that names the file."""
    summary = eventsim.evaluate(digits, DATA, limit=4, audit=True, conventions=True)
    values = json.loads(json.dumps(summary.to_json()))
    values["not_finite"] = {"": 1}
    lacking = list(absent(values))
    assert {where[0] for _, where in lacking} == set(values) and len(lacking) > 200
    for changed, where in [(values, ()), ({}, ()), *lacking]:
        try:
            summary = RunSummary.from_json(changed, "f")
        except DataError as error:
            assert where[0] in ("nodes", "energy", "weights") and str(error).startswith("f: ")
            continue
        energy = summary.energy and summary.energy.as_text()
        for text in (summary.as_text(), summary.as_text(40), repr(summary), energy):
            assert "None" not in (text or ""), where


def test_the_total_energy_is_with_memory_also_of_older_files(digits):
    summary = eventsim.evaluate(digits, DATA, limit=4)
    expected = summary.energy.total.total * 4
    assert summary.totals.energy_joule == expected > 4 * summary.energy.total.memory > 0
    older = summary.to_json()
    older["totals"]["energy_joule"] = expected - 4 * summary.energy.total.memory
    assert RunSummary.from_json(older, "f").totals.energy_joule == expected
    del older["energy"]
    assert RunSummary.from_json(older, "f").totals.energy_joule < expected


def test_a_layer_that_never_fires_has_a_rate():
    """The printed table says what the JSON says: 0, and nothing only of what sends no events."""
    nodes = {"in": Input((2,)), "fc": Dense(-np.ones((2, 2))), "n": Neuron(), "last": Dense(np.ones((2, 2))),
             "out": Readout()}
    summary = eventsim.evaluate(Simulator(Model(nodes, list(zip(nodes, list(nodes)[1:])), 3)), np.ones((2, 3, 2)))
    rates = {layer.name: layer.firing_rate for layer in summary.layers}
    assert rates == {"in": 1.0, "n": 0.0, "out": None}
    rows = [line.split() for line in summary.as_text().splitlines() if line.strip()]
    printed = {row[0]: row[2] for row in rows if row[0] in rates}
    assert printed == {"in": "1.0000", "n": "0.0000", "out": "-"}


def test_only_the_command_line_says_a_command():
    """From Python, sys.argv is that of another program."""
    model, x, _ = small_network()
    assert eventsim.evaluate(Simulator(model), x).made.command is None
    assert eventsim.evaluate(Simulator(model), x, command="python train.py").made.command == "python train.py"


def test_a_run_of_eventsim_0_1(tmp_path):
    """What 0.1 wrote of a network is read, and is what this version says of it."""
    path = tmp_path / "old.h5"
    path.write_bytes(gzip.decompress(RUN_OF_0_1.read_bytes()))
    model, x, y = small_network()
    new = eventsim.evaluate(Simulator(model, chip="loihi"), (x, y), audit=True, conventions=True, statistics=True,
                            detailed=2, model="net.h5", data="data.npz")
    with eventsim.open_run(path) as run:
        assert '"profile": "loihi"' in json.dumps(run._summary_json) and run.summary.chip == "loihi"
        assert run.summary.weights is None and all(one.weights for one in new.weights.values())
        nodes = [replace(node, settings={key: node.settings[key] for key in old.settings})
                 for node, old in zip(new.nodes, run.summary.nodes)]  # 0.1 said fewer of them, and no weights
        assert results_of(run.summary) == results_of(replace(new, weights=None, nodes=tuple(nodes)))
        assert run.summary.made.command.startswith("eventsim run net.h5 data.npz --profile loihi")
        assert_same_arrays(run.statistics, new.statistics)
        assert run.summary.as_text().splitlines()[2:] == new.as_text().splitlines()[2:]
        assert findings.find(run) is not None and page.render(run) and tables.tables(run)


@pytest.mark.parametrize("options, samples", [
    ({}, 4096), ({"statistics": True}, 4096), ({"conventions": True}, 1024), ({"timesteps": 1000}, 1024),
    ({"out": "run.h5", "record": ("potentials",)}, 1024),
])
def test_batches_are_large_only_where_little_is_kept_of_each_sample(options, samples, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = eventsim.load(MODEL)
    x = np.zeros((1, 1, 8, 8), np.uint8)
    assert evaluating._Evaluating(Simulator(model), x, evaluating.Evaluation(**options)).batch == samples
