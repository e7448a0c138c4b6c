"""Samples of their own lengths: answers, spikes, counts and statistics are those of each sample alone."""

import pickle

import numpy as np
import pytest

import eventsim
from eventsim import Conv2d, Dense, EventBins, Flatten, Input, Model, Neuron, Readout
from eventsim.engine.state import NoState
from eventsim.errors import DataError, RunError
from eventsim.merging import merge
from eventsim.statistics.classes import of_classes, rates_by_class
from eventsim.statistics.of_recordings import of

RNG = np.random.default_rng(0)
LENGTHS = np.array([3, 8, 5, 3, 1])
X = (RNG.random((5, 8, 2, 4, 4)) < 0.3).astype(np.uint8)
Y = np.array([1, 2, 2, 1, 0])
GATHERED = ("outputs", "statistics", "intervals", "membranes")
RECORD = ("spikes", "potentials", "residuals", *GATHERED)


def network(timesteps=8):
    nodes = {
        "in": Input((2, 4, 4), events=EventBins(sensor_size=(4, 4))),
        "conv": Conv2d(RNG.integers(-3, 4, (3, 2, 3, 3)) / 4), "n": Neuron(0.5, quantum=0.5, bits=2),
        "flat": Flatten(), "fc": Dense(RNG.integers(-3, 4, (3, 12)) / 4), "out": Readout("mean"),
    }
    names = list(nodes)
    return Model(nodes, list(zip(names, names[1:])), timesteps=timesteps)


@pytest.fixture(scope="module")
def simulator():
    return eventsim.Simulator(network())


@pytest.fixture(scope="module")
def together(simulator):
    return simulator.run(X, lengths=LENGTHS, record=RECORD)


@pytest.fixture(scope="module")
def alone(simulator):
    return [simulator.run(X[i : i + 1, :length], record=RECORD) for i, length in enumerate(LENGTHS)]


@pytest.mark.parametrize("lacking, remedy", [
    (lambda simulator: simulator.run(X, lengths=LENGTHS), "run those of one length together"),
    (lambda simulator: next(simulator.iterate([X])), "call `run` for each batch"),
    (lambda simulator: next(simulator.iterate([(X, None, LENGTHS)])), "call `run` for each batch"),
    (lambda simulator: merge(list(simulator.iterate([X[:3], X[3:]]))), "call `run` for each batch"),
])
def test_a_run_that_leaves_no_state_is_not_continued_from_rest(simulator, lacking, remedy):
    for state in (lacking(simulator).state, pickle.loads(pickle.dumps(lacking(simulator).state))):
        assert isinstance(state, NoState) and not state
        with pytest.raises(DataError, match=f"state is none that a run can continue from: .*{remedy}"):
            simulator.run(X, state=state)


def test_the_recording_of_a_window_leaves_its_state_to_the_stream():
    bins = EventBins(bin_width=1000, sensor_size=(1, 2), polarities="one")
    streamed = eventsim.Simulator(Model({"in": Input((2,), events=bins), "n": Neuron()}, [("in", "n")], 1))
    events = {"t": [0, 2100], "x": [0, 1], "y": [0, 0], "p": [1, 1]}
    stream = streamed.stream([events], window="1ms")
    window = next(stream)
    with pytest.raises(DataError, match="give `Stream.state` to `Simulator.stream`"):
        streamed.run([[[1, 0]]], state=window.recording.state)
    assert stream.state.network


def test_each_sample_is_as_if_alone(simulator, together, alone):
    noisy = X.copy()
    for i, length in enumerate(LENGTHS):
        noisy[i, length:] = 1  # what stands in the padding is not even looked at
    again = simulator.run(noisy, lengths=LENGTHS, record=("outputs",))
    np.testing.assert_array_equal(again.outputs, together.outputs)
    assert together.lengths.tolist() == LENGTHS.tolist() and together.timesteps == 8 and not together.state
    for i, (length, one) in enumerate(zip(LENGTHS, alone)):
        np.testing.assert_array_equal(together.output[i], one.output[0])
        np.testing.assert_array_equal(together.outputs[i, :length], one.outputs[0])
        assert (together.outputs[i, length:] == one.output[0]).all()
        for name in ("in", "n"):
            np.testing.assert_array_equal(together.levels(name)[i, :length], one.levels(name)[0])
            assert not together.levels(name)[i, length:].any()
        np.testing.assert_array_equal(together.potentials("n")[i, :length], one.potentials("n")[0])
        for name, row in together.counts.layers.items():
            assert {count: values[i] for count, values in row.items()} == {
                count: values[0] for count, values in one.counts.layers[name].items()}


def test_samples_among_many_keep_their_places(simulator):
    """More than numpy puts in order one by one, which leaves equal lengths as they stand."""
    rng = np.random.default_rng(2)
    x, lengths = (rng.random((40, 8, 2, 4, 4)) < 0.3).astype(np.uint8), rng.integers(2, 9, 40)
    many = simulator.run(x, lengths=lengths, record="spikes")
    for i, length in enumerate(lengths):
        one = simulator.run(x[i : i + 1, :length], record="spikes")
        np.testing.assert_array_equal(many.output[i], one.output[0])
        np.testing.assert_array_equal(many.levels("n")[i, :length], one.levels("n")[0])
    assert len(np.unique(many.output, axis=0)) > 20
    assert eventsim.evaluate(simulator, (x, many.predictions, lengths)).accuracy == 1.0


def test_rates_see_no_padding(together, alone):
    events, steps = sum(one.counts["n"]["events"].sum() for one in alone), LENGTHS.sum()
    rate = events / steps / together.counts.neurons["n"]
    assert together.counts.presented == steps and together.counts.firing_rate("n") == pytest.approx(rate)
    train = together.statistics.trains["n"]
    assert train.rate == pytest.approx(rate) and train.chances == steps
    assert train.level_counts.sum() == steps * train.n_neurons
    levels = together.levels("n")
    for step in range(8):
        had = LENGTHS > step
        assert train.rate_by_step[step] == pytest.approx((levels[had, step] != 0).mean())
    fired = np.concatenate([one.levels("n")[0].reshape(one.timesteps, -1) for one in alone]) != 0
    fired = fired[:, train.chosen]
    with np.errstate(all="ignore"):
        expected = np.corrcoef(fired.T)
    np.testing.assert_allclose(train.correlations, expected, atol=1e-12)
    membranes = together.statistics.membranes["n"]
    u = [one.residuals("n")[0].reshape(one.timesteps, -1) for one in alone]
    for step in range(8):
        there = np.stack([each[step] for each in u if len(each) > step])
        assert membranes.drift[step] == pytest.approx(np.sqrt(((there / 0.5) ** 2).mean()))
    assert membranes.error == pytest.approx(sum(
        one.statistics.membranes["n"].error * one.timesteps for one in alone) / steps)


def test_statistics_of_what_was_recorded_are_those_gathered(simulator, together):
    found, gathered = of(together, simulator.model, Y), together.statistics
    for name in gathered.trains:
        train = found.trains[name]
        for key in ("events", "level_counts", "events_by_step", "ended_by_step", "interval_histogram", "together"):
            np.testing.assert_array_equal(getattr(train, key), getattr(gathered.trains[name], key), err_msg=key)
        assert train.detailed_absent == gathered.trains[name].detailed_absent
    np.testing.assert_allclose(found.membranes["n"].drift, gathered.membranes["n"].drift)
    rates = rates_by_class(together.counts, Y, together.lengths)["n"]
    for label, statistics in of_classes(together, Y).items():
        assert rates[label] == pytest.approx(statistics.trains["n"].rate)
    with pytest.raises(DataError, match="lengths of their own"):
        rates_by_class(together.counts, Y)


def test_a_data_set_of_lengths_and_its_file(simulator, together, tmp_path):
    path = tmp_path / "run.h5"
    record = ("spikes", "outputs")
    summary = eventsim.evaluate(simulator, (X, Y, LENGTHS), out=path, record=record, conventions=True)
    parts = [eventsim.evaluate(simulator, (X[i : i + 1, :n], Y[i : i + 1]), conventions=True)
             for i, n in enumerate(LENGTHS)]
    for key in ("events", "synops", "additions", "neuron_updates", "dense_macs", "executed_synops",
                "word_operations"):
        assert getattr(summary.totals, key) == sum(getattr(part.totals, key) for part in parts), key
    for name, sums in summary.sums.conventions.sums.items():
        assert sums == pytest.approx({key: sum(part.sums.conventions.sums[name][key] for part in parts)
                                      for key in sums})
    assert summary.accuracy == (together.predictions == Y).mean()
    with eventsim.open_run(path) as run:
        assert run.lengths.tolist() == LENGTHS.tolist() and run.n_steps == 8
        np.testing.assert_array_equal(run.outputs, together.outputs)
        np.testing.assert_array_equal(run.spikes("n").planes, together.spikes["n"].planes)
        assert run.counts.firing_rate("n") == together.counts.firing_rate("n")
        train, again = run.statistics.trains["n"], together.statistics.trains["n"]
        np.testing.assert_array_equal(train.ended_by_step, again.ended_by_step)
        assert train.rate == again.rate and run.statistics.membranes["n"].lengths.tolist() == [3, 8, 5, 3]
        correct = (together.outputs.argmax(axis=2) == Y[:, None]).sum(axis=0)
        np.testing.assert_array_equal(run.statistics.decisions.correct, correct)
    eventsim.save_run(together, path, Y)
    with eventsim.open_run(path) as run:
        assert run.statistics.trains["n"].rate == train.rate and run.summary.timesteps == 8


@pytest.mark.parametrize("lengths, match", [
    ([1, 2], r"lengths has shape \(2,\)"), ([0] * 5, "values from 0 to 0, expected 1 to 8"),
    ([9] * 5, "values from 9 to 9"), ([1.5] * 5, "type float64"),
])
def test_lengths_that_do_not_fit(simulator, lengths, match):
    with pytest.raises(DataError, match=match):
        simulator.run(X, lengths=lengths)
    with pytest.raises(DataError, match="give timesteps or lengths, not both"):
        simulator.run(X, 8, lengths=LENGTHS)
    with pytest.raises(DataError, match="give state or lengths, not both"):
        simulator.run(X, lengths=LENGTHS, state=simulator.run(X).state)


def test_steps_before_samples_and_single_frames_are_refused(simulator):
    turned = X[:, :6].swapaxes(0, 1)[:, :5]  # (T, N, ...): 6 steps of 5 samples
    model = network(timesteps=6)
    with pytest.raises(DataError, match=r"where steps come first, \(T, N, ...\), give x.swapaxes\(0, 1\)"):
        eventsim.Simulator(model).run(turned)
    for door in (eventsim.Simulator(model).predict, lambda x: eventsim.compare(model, model, x)):
        with pytest.raises(DataError, match="swapaxes"):
            door(turned)
    assert 0 <= eventsim.Simulator(model).score(turned, np.zeros(6, int)) <= 1  # labels say that 6 are the samples
    with pytest.raises(DataError, match="swapaxes"):
        eventsim.evaluate(eventsim.Simulator(model), turned)
    asked = eventsim.Simulator(model).run(turned, timesteps=5)
    np.testing.assert_array_equal(next(eventsim.Simulator(model).iterate([(turned, Y)])).output, asked.output)
    for run in (simulator.run, lambda x: eventsim.evaluate(simulator, x), lambda x: eventsim.compare(
            simulator, simulator, x)):
        with pytest.raises(RunError, match="a single frame is repeated only if asked for, timesteps=8"):
            run(X[:, 0])
    np.testing.assert_array_equal(simulator.run(X[:1, 0], timesteps=3).output,
                                  simulator.run(np.repeat(X[:1, :1], 3, axis=1)).output)


def test_batches_of_a_data_loader(simulator):
    """Lists of x and y, as PyTorch's DataLoader gives them, and of x, y and lengths."""
    plain = simulator.run(X).output
    for batch in ([X, Y], (X, Y), X):
        np.testing.assert_array_equal(next(simulator.iterate([batch])).output, plain)
    np.testing.assert_array_equal(next(simulator.iterate([(X, Y, LENGTHS)])).output,
                                  simulator.run(X, lengths=LENGTHS).output)
