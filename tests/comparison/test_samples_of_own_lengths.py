"""Comparisons of samples of their own lengths, and with traces of more steps than the run."""

import h5py
import numpy as np
import pytest
from planted_changes import STEPS, found, network, planted, samples
from recorded_traces import save

import eventsim
from eventsim import compare, Simulator
from eventsim.comparison import divergence
from eventsim.comparison.text import as_text
from eventsim.comparison.traces import open_trace
from eventsim.errors import DataError

LENGTHS = np.array([3, STEPS, 2, STEPS, 2, 2, 7])
RECORD = ("spikes", "currents", "potentials", "residuals", "outputs")


def run_file(path, model=None, precision="float32", record=RECORD):
    x = samples(len(LENGTHS))
    labels = np.arange(len(LENGTHS)) % 3
    eventsim.evaluate(Simulator(model or network(), precision), (x, labels, LENGTHS), out=path, record=record)
    return x, labels


@pytest.mark.parametrize("cells", (divergence.CELLS, 9000))
@pytest.mark.parametrize("precision", ("float32", "int8"))
def test_a_run_equals_its_own_file(tmp_path, monkeypatch, precision, cells):
    """What is stored after a sample's end is no part of the run."""
    monkeypatch.setattr(divergence, "CELLS", cells)
    x, labels = run_file(tmp_path / "run.h5", precision=precision)
    with open_trace(tmp_path / "run.h5") as trace:
        comparison = compare(Simulator(network(), precision), trace, x, labels)
    assert comparison.equal and comparison.divergent == 0 and comparison.equal_predictions == len(LENGTHS)
    assert (comparison.samples, comparison.fewest_steps, comparison.steps) == (len(LENGTHS), 2, STEPS)
    assert comparison.accuracy[0] == comparison.accuracy[1] and comparison.notes == []
    assert f"7 samples of 2 to {STEPS} steps" in as_text(comparison) and comparison.unmatched == ([], [])


@pytest.mark.parametrize("lengths", (LENGTHS, None))
@pytest.mark.parametrize("precision", ("float32", "int8"))
def test_what_holds_a_run_is_compared_as_its_file_is(tmp_path, precision, lengths):
    """A Recording, the path of a run file and a Run, also one that is closed; of the same run and of another."""
    x = samples(len(LENGTHS))
    for model in (network(), planted("one threshold")):
        recording = Simulator(model, precision).run(x, record=RECORD, lengths=lengths)
        eventsim.save_run(recording, tmp_path / "run.h5")
        with eventsim.open_trace(tmp_path / "run.h5") as trace:
            expected = compare(Simulator(network(), precision), trace, x)
        with eventsim.open_run(tmp_path / "run.h5") as run:
            sides = [recording, tmp_path / "run.h5", str(tmp_path / "run.h5"), run]
            compared = [compare(Simulator(network(), precision), side, x) for side in sides]
        compared.append(compare(Simulator(network(), precision), run, x))
        for comparison in compared:
            assert comparison.equal == expected.equal and comparison.layers == expected.layers
            assert comparison.equal_predictions == expected.equal_predictions
            if expected.first is not None:
                assert found(comparison) == found(expected)


def test_a_path_that_is_no_trace_is_refused(tmp_path):
    with pytest.raises(DataError, match="nowhere.npz"):
        compare(network(), tmp_path / "nowhere.npz", samples(2))


def test_runs_of_own_lengths_part_where_each_alone_does(tmp_path):
    x, labels = run_file(tmp_path / "run.h5", planted("one threshold"))
    a, b = Simulator(network()), Simulator(planted("one threshold"))
    alone = [compare(a, b, x[i : i + 1, :length]) for i, length in enumerate(LENGTHS)]
    first = next(i for i, one in enumerate(alone) if not one.equal)
    predictions = [a.run(x, lengths=LENGTHS).predictions, b.run(x, lengths=LENGTHS).predictions]
    with open_trace(tmp_path / "run.h5") as trace:
        for comparison in (compare(a, b, x, labels, lengths=LENGTHS), compare(a, trace, x, labels)):
            assert comparison.divergent == sum(not one.equal for one in alone)
            assert found(comparison) == (first, *found(alone[first])[1:])
            assert comparison.layers[1].spikes == alone[first].layers[1].spikes
            assert len(comparison.layers[1].spikes) == LENGTHS[first]
            assert comparison.equal_predictions == (predictions[0] == predictions[1]).sum()
            assert comparison.accuracy == tuple((one == labels).mean() for one in predictions)
            assert "sample" in as_text(comparison)
    for one, layer in enumerate(compare(a, b, x, lengths=LENGTHS).layers):
        for variable, drift in layer.drift.items():
            assert drift == max(comparison.layers[one].drift[variable] for comparison in alone)


def test_fewer_steps_than_the_samples_have(tmp_path):
    """Steps beyond those of the run are not compared; predictions are those of the last step that is."""
    x, _ = run_file(tmp_path / "run.h5")
    with open_trace(tmp_path / "run.h5") as trace:
        comparison = compare(network(), trace, x[:, :5])
    assert comparison.equal and (comparison.fewest_steps, comparison.steps) == (2, 5)
    assert comparison.equal_predictions == len(LENGTHS)
    assert comparison.notes == [f"the trace has up to {STEPS} steps, the run 5: the fewer are compared"]
    run_file(tmp_path / "spikes.h5", record=("spikes",))
    with open_trace(tmp_path / "spikes.h5") as trace:
        comparison = compare(network(), trace, x[:, :5])
    assert comparison.equal and comparison.equal_predictions is None and comparison.changed_predictions == []
    assert "the trace's predictions are not of the last step that is compared" in comparison.notes[1]


def test_lengths_of_the_run_and_of_the_trace(tmp_path):
    x, _ = run_file(tmp_path / "run.h5")
    other = np.where(np.arange(len(LENGTHS)) == 6, 4, LENGTHS)
    with open_trace(tmp_path / "run.h5") as trace:
        comparison = compare(network(), trace, x, lengths=other)
    assert comparison.equal and comparison.equal_predictions == len(LENGTHS)
    assert comparison.notes == ["samples have other numbers of steps in the trace than in the run, the first "
                                "sample 6 (7, 4): the fewer are compared"]


def test_lengths_of_arrays(tmp_path):
    run = Simulator(network()).run(samples(7), lengths=LENGTHS, record=("spikes", "potentials"))
    arrays = {"n1": run.levels("n1"), "n2.potentials": run.potentials("n2"), "lengths": LENGTHS.astype(np.uint8),
              "predictions": run.predictions}
    assert compare(network(), arrays, samples(7)).equal_predictions == 7
    for suffix in (".npz", ".h5"):
        with open_trace(save(tmp_path / f"trace{suffix}", arrays)) as trace:
            comparison = compare(network(), trace, samples(7))
            assert comparison.equal and comparison.unmatched[1] == []
    del arrays["lengths"]
    assert not compare(network(), arrays, samples(7)).equal
    assert compare(network(), arrays, samples(7), lengths=LENGTHS).equal


@pytest.mark.parametrize("lengths", (LENGTHS[:6], LENGTHS - 2, LENGTHS + 1, LENGTHS / 1.0))
def test_lengths_that_do_not_fit(tmp_path, lengths):
    x, _ = run_file(tmp_path / "run.h5")
    with h5py.File(tmp_path / "run.h5", "r+") as file:
        del file["lengths"]
        file["lengths"] = lengths
    with pytest.raises(DataError, match="run.h5: 'lengths' has .* expected a whole number from 1 to 12"):
        with open_trace(tmp_path / "run.h5") as trace:
            compare(network(), trace, x)
    with pytest.raises(DataError, match="^lengths has "):
        compare(network(), network(), x, lengths=lengths)
    with pytest.raises(DataError, match="samples that stand still, which have no lengths"):
        compare(network(), network(), x[:, 0], lengths=LENGTHS)


# ---- traces of more steps than the run


def test_predictions_are_of_the_step_that_is_compared():
    """The same run, once longer: nothing differs, no prediction changes."""
    model, x = network(), samples(40)
    long, short = (Simulator(model).run(x[:, :steps], record=("spikes", "outputs")) for steps in (STEPS, 2))
    assert (long.predictions != short.predictions).any(), "choose other samples"
    trace = {"n1": long.levels("n1"), "outputs": long.outputs, "predictions": long.predictions}
    for arrays in (trace, {name: trace[name] for name in ("n1", "outputs")}):
        comparison = compare(model, arrays, x[:, :2], short.predictions)
        assert comparison.equal and comparison.equal_predictions == 40 and comparison.accuracy == (1, 1)
        assert "No prediction changes" in comparison.reading
    comparison = compare(model, {name: trace[name] for name in ("n1", "predictions")}, x[:, :2], short.predictions)
    assert comparison.equal_predictions is None and comparison.accuracy == (1, None)
    assert "(--record outputs)" in comparison.notes[1] and "prediction" not in comparison.reading
    gap = long.outputs.copy()
    gap[3, 1] = np.nan  # not recorded
    assert compare(model, {"n1": trace["n1"], "outputs": gap}, x[:, :2]).equal_predictions is None


# ---- differences of all samples


@pytest.mark.parametrize("precision, other", (("float64", "int8"), ("float64", "float32")))
def test_the_largest_difference_is_that_of_any_sample(monkeypatch, precision, other):
    """Whatever batches the samples come in, and wherever the first divergence is."""
    x = samples(12)
    a, b = Simulator(network(), precision), Simulator(network(), other)
    alone = [compare(a, b, x[i : i + 1]) for i in range(12)]
    for cells in (divergence.CELLS, 9000):
        monkeypatch.setattr(divergence, "CELLS", cells)
        for i, layer in enumerate(compare(a, b, x).layers):
            for variable, drift in layer.drift.items():
                assert drift == max(one.layers[i].drift[variable] for one in alone), (layer.name, variable)
