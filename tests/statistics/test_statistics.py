"""Statistics, streamed during a run and taken from a recording, against the slow definition."""

import itertools
from dataclasses import fields, replace

import numpy as np
import pytest
from networks import chain, chip_models, every_node_models, random_run
from small_networks import samples, small_networks

import statistics_reference as reference
import eventsim
from eventsim import load
from eventsim.cli import main
from eventsim.engine.simulator import Simulator
from eventsim.errors import DataError, RunError, UnsupportedError
from eventsim.merging import merge
from eventsim.model.input import Input
from eventsim.model.network import Model
from eventsim.model.neurons import Alpha, Neuron, Readout
from eventsim.model.synapses import Conv2d, Dense
from eventsim.model.transforms import MaxPool
from eventsim.runs import evaluating, file
from eventsim.runs.file import open_run
from eventsim.statistics import of_recordings
from eventsim.statistics.counts import Counts
from eventsim.statistics.decisions import Decisions
from eventsim.statistics.membranes import MOST_NEURONS
from eventsim.statistics.result import Statistics
from eventsim.statistics.trains import chosen_neurons, MOST_CHOSEN, TrainStatistics

STREAMED = ("statistics", "intervals", "membranes")
RECORDED = ("spikes", "potentials", "residuals", "outputs")
PRECISIONS = ("float32", "float64", "int8")
MODELS = {**small_networks(), **every_node_models()}
SENDING = ("Neuron", "Alpha", "SigmaDelta")
EXACT = 1e-12  # relative, of numbers made from exact sums


# ---------------------------------------------------------------- equal to the reference


def assert_train(train, levels, label=""):
    """Every field and derived number of a TrainStatistics is that of the levels it is of."""
    expected = reference.trains(levels, train.bits, train.signed, train.chosen)
    assert_numbers(train, expected, label)
    assert_chosen(train.chosen, MOST_CHOSEN, train.n_neurons)
    sums = reference.variations(levels)
    for count, total, exact, lv in zip(train.variation_counts, train.variation_sums, sums, train.lv):
        assert abs(total - exact * 2**32) <= count / 2 + 1e-3, f"{label}: variation_sums"  # each rounded
        assert np.isnan(lv) if count == 0 else abs(lv - 3 * float(exact / int(count))) <= 2**-31, label


def assert_numbers(numbers, expected, label=""):
    for name, value in expected.items():
        got = getattr(numbers, name)
        if value is None:
            assert got is None, f"{label}: {name}"
        elif isinstance(value, (str, bool, tuple, int)):
            assert got == value, f"{label}: {name} is {got}, not {value}"
        elif np.asarray(value).dtype.kind == "f":
            np.testing.assert_allclose(got, value, EXACT, EXACT * 1e-3, err_msg=f"{label}: {name}")
        else:
            np.testing.assert_array_equal(got, value, f"{label}: {name}")
            assert np.asarray(got).dtype in (np.int64, bool), f"{label}: {name}"


def assert_chosen(chosen, most, n):
    """Neurons in order, at most so many, one from each of as many equal parts of all n."""
    parts = min(most, n)
    assert len(chosen) == parts
    for i, neuron in enumerate(chosen.tolist()):
        assert i * n // parts <= neuron < (i + 1) * n // parts


def assert_binned(counts, edges, values, label):
    """Counts of bins (first and last: beyond the edges) hold the values. A value that is as good as on
    an edge may be in the bin on either side."""
    values = np.sort(values[np.isfinite(values)])
    assert counts.sum() == values.size, label
    reached = counts.cumsum()[:-1]  # how many are below each edge
    slack = 1e-9 * max(1.0, float(np.abs(edges).max()))
    assert (np.searchsorted(values, edges - slack, "left") <= reached).all(), label
    assert (reached <= np.searchsorted(values, edges + slack, "right")).all(), label


def assert_membranes(membranes, model, name, recording, label=""):
    """Every number and every bin of a MembraneStatistics is that of the recorded membranes."""
    node, shape = model.nodes[name], model.shapes[name]
    steps = np.asarray(recording.steps_per_unit[name], np.float64).reshape(-1, *[1] * (len(shape) - 1))
    H, U = (trace(name).astype(np.float64) / steps for trace in (recording.potentials, recording.residuals))
    expected = reference.membranes(node, shape, H, U, recording.levels(name), chosen_of(shape))
    values, distances = expected.pop("values"), expected.pop("distances")
    assert_numbers(membranes, expected, f"{label}: {name}")
    for kind, of_kind in values.items():
        if of_kind is None:
            assert getattr(membranes, kind) is None
        else:
            assert_binned(getattr(membranes, kind), membranes.edges, of_kind, f"{label}: {name}, {kind}")
    bins = membranes.distances.size - 1
    assert_binned(np.array([0, *membranes.distances]), np.arange(bins + 1) / bins, distances, f"{label}: {name}")
    assert_edges(membranes)


def chosen_of(shape):
    """The neurons whose membranes are looked at."""
    return chosen_neurons(int(np.prod(shape)), MOST_NEURONS)


def assert_edges(membranes):
    """Bins of one width, which show the thresholds of up to 16 levels and what is around them."""
    widths = np.diff(membranes.edges)
    np.testing.assert_allclose(widths, widths[0], 1e-9)
    shown = membranes.threshold + (min(membranes.n_levels, 16) - 1) * membranes.step
    assert membranes.edges[0] < min(0, membranes.threshold) and shown < membranes.edges[-1]


def simulated(model, precision, chip=None):
    """A Simulator, or None where the precision cannot express the model."""
    try:
        return Simulator(model, precision, chip=chip)
    except UnsupportedError:
        return None


def assert_run(model, x, precision, timesteps=None, chip=None):
    """One run, streamed and recorded, equals the reference."""
    simulator = simulated(model, precision, chip)
    if simulator is None:
        return False
    recording = simulator.run(x, timesteps, RECORDED + STREAMED)
    streamed, taken = recording.statistics, of_recordings.of(recording, model)
    assert set(taken.trains) == set(recording.spikes)
    assert set(streamed.trains) == sending(model)
    for name in taken.trains:
        assert_train(taken.trains[name], recording.levels(name), name)
    for name, gathered in streamed.trains.items():
        assert_same(gathered, taken.trains[name], name)
    layers = {name for name, node in model.nodes.items() if isinstance(node, (Neuron, Alpha))}
    assert set(streamed.membranes) == set(taken.membranes) == layers
    for name in layers:
        assert_membranes(streamed.membranes[name], model, name, recording, precision)
        assert_same(taken.membranes[name], streamed.membranes[name], name)
    assert_numbers(taken.decisions, reference.decisions(recording.outputs))
    return True


def sending(model):
    """The input, unless it takes real numbers, and what has a membrane and sends."""
    names = {name for name, node in model.nodes.items() if node.kind in SENDING}
    return names | ({model.input} if model.nodes[model.input].encoding != "real" else set())


def assert_same(a, b, label=""):
    """Two statistics of one class are equal, field by field and bit by bit."""
    assert type(a) is type(b)
    for field in fields(a):
        x, y = getattr(a, field.name), getattr(b, field.name)
        np.testing.assert_array_equal(x, y, f"{label}: {field.name}")
        assert np.asarray(x).dtype == np.asarray(y).dtype, f"{label}: {field.name}"


def assert_same_statistics(a, b, label=""):
    for kind in ("trains", "membranes"):
        first, second = getattr(a, kind), getattr(b, kind)
        assert list(first) == list(second), label
        for name in first:
            assert_same(first[name], second[name], f"{label}: {name}")


@pytest.mark.parametrize("i, name", [*enumerate(MODELS)])
def test_every_node_and_option(i, name):
    model, x = MODELS[name]
    real = model.nodes[model.input].encoding == "real"
    assert_run(model, x, PRECISIONS[i % (2 if real else 3)])


@pytest.mark.parametrize("seed", range(30))
def test_random_networks(seed):
    model, x, timesteps = random_run(1000 + seed, real=seed % 3 != 2)
    assert_run(model, x, PRECISIONS[seed % 3], timesteps)


@pytest.mark.parametrize("name", chip_models())
def test_in_a_chips_integers(name):
    model, x, chip = chip_models()[name]
    assert assert_run(model, x, "fixed", chip=chip)


# ---------------------------------------------------------------- the reference, by hand


def test_the_reference_by_hand():
    """Two neurons of 2 bits with a sign, one sample of 5 steps and one of silence."""
    levels = np.zeros((2, 5, 2), int)
    levels[0, :, 0] = (1, 0, 3, 0, -2)
    levels[0, :, 1] = (0, 0, 2, 0, 0)
    train = reference.trains(levels, 2, True, [0, 1])
    assert train["events"] == [3, 1] and train["squares"] == [9, 1]
    assert train["plane_events"] == [[2, 0], [1, 1], [0, 0], [1, 0]]  # 1 and 3; 3 and 2; none; -2
    assert train["level_counts"] == [0, 1, 0, 16, 1, 1, 1] and train["lowest_level"] == -3
    assert train["events_by_step"] == [1, 0, 2, 0, 1]
    assert train["rates"] == [0.3, 0.1] and train["rate"] == 0.2 and train["sparsity"] == 0.8
    assert train["mean_level"] == 2.0 and train["top_level_share"] == 0.25
    assert train["interval_histogram"] == [0, 0, 2, 0, 0, 0] and train["cv"][0] == 0.0
    assert np.isnan(train["cv"][1]) and train["mean_intervals"][0] == 2.0
    assert train["fano"] == [1.5, 0.5]  # counts 3, 0: variance 2.25, mean 1.5; 1, 0: 0.25, 0.5
    assert train["together"] == [[3, 1], [1, 1]]
    np.testing.assert_allclose(train["correlations"][0][1], (10 - 3) / np.sqrt(21 * 9))
    assert train["entropy"] == pytest.approx(0.8 * np.log2(1 / 0.8) + 4 * 0.05 * np.log2(20))
    assert reference.variations(levels) == [0, 0]


def test_variation_by_hand():
    """Intervals 1, 3, 2: (2/4)^2 + (1/5)^2."""
    levels = np.zeros((1, 7, 1), int)
    levels[0, [0, 1, 4, 6], 0] = 1
    [total] = reference.variations(levels)
    assert float(total) == 0.25 + 0.04
    assert streamed_input(levels).lv[0] == pytest.approx(3 * 0.29 / 2, abs=1e-9)


def test_decisions_by_hand():
    """Predictions 0 1 1, 2 2 2 and 1 0 1, of labels 1, 2, 0."""
    outputs = np.eye(3)[[[0, 1, 1], [2, 2, 2], [1, 0, 1]]]
    decisions = Decisions.of(outputs, np.array([1, 2, 0]), ("a", "b", "c"))
    assert decisions.final.tolist() == [1, 1, 1] and decisions.correct.tolist() == [1, 3, 2]
    assert decisions.confusion.tolist() == [[0, 1, 0], [0, 1, 0], [0, 0, 1]]
    assert decisions.mean_final_step == 2.0 and decisions.accuracy == 2 / 3 and decisions.class_names == ("a", "b",
                                                                                                          "c")


@pytest.mark.parametrize("seed", range(5))
def test_decisions(seed):
    rng = np.random.default_rng(seed)
    n, steps, classes = rng.integers(1, 9), rng.integers(1, 6), rng.integers(1, 5)
    outputs = rng.integers(0, 3, (n, steps, classes)).astype(float)  # with ties
    labels = rng.integers(0, classes, n)
    assert_numbers(Decisions.of(outputs), reference.decisions(outputs))
    at_once = Decisions.of(outputs, labels)
    assert_numbers(at_once, reference.decisions(outputs, labels))
    cut = n // 2
    parts = Decisions.of(outputs[:cut], labels[:cut]), Decisions.of(outputs[cut:], labels[cut:])
    assert_same(merge(parts), at_once)
    assert_same(merge(parts[::-1]), at_once)


# ---------------------------------------------------------------- invariance


def test_workers_blocks_and_chunks_change_nothing():
    rng = np.random.default_rng(3)
    for name in ("recurrent maps", "signed", "image", "changes_model", "wide layers"):
        model, x = MODELS[name]
        still = x.ndim == len(model.shapes[model.input]) + 1
        x = np.concatenate([x] * 4)[rng.permutation(4 * len(x))]
        x = np.where(rng.random(x.shape) < 0.5, x, 0) if not still else x
        expected = Simulator(model, "float32").run(x, record=STREAMED).statistics
        for workers, block, chunk in ((3, 1, None), (1, 3, 1), (2, 2, 2), (1, None, 3)):
            simulator = Simulator(model, "float32", workers, chunk, block)
            assert_same_statistics(simulator.run(x, record=STREAMED).statistics, expected,
                                   f"{name}, {workers} workers, blocks of {block}, chunks of {chunk}")


@pytest.mark.parametrize("precision", PRECISIONS)
def test_batches_merge_in_any_order(precision):
    model, x = MODELS["signed"]
    x = np.concatenate([x, x[:, ::-1], x[::-1]])
    simulator = Simulator(model, precision)
    at_once = simulator.run(x, record=STREAMED).statistics
    cuts = ((0, 1), (1, 4), (4, 6))
    parts = [simulator.run(x[a:b], record=STREAMED).statistics for a, b in cuts]
    iterated = [part.statistics for part in simulator.iterate([x[a:b] for a, b in cuts], record=STREAMED)]
    for order in itertools.permutations(range(3)):
        first, second, third = (parts[i] for i in order)
        left, right = merge((merge((first, second)), third)), merge((first, merge((second, third))))
        assert_same_statistics(left, merge((first, second, third)))
        assert_same_statistics(left, right)
        for name in at_once.trains:
            assert_same(left.trains[name], at_once.trains[name])
    assert_same_statistics(merge(iterated), at_once, "in the order of the samples")


def test_what_is_asked_for_is_what_is_gathered():
    model, x = MODELS["wide layers"]
    simulator = Simulator(model, "float32")
    everything = simulator.run(x, record=STREAMED).statistics
    assert simulator.run(x, record=("spikes",)).statistics is None
    cheap = simulator.run(x, record="statistics").statistics
    detailed = simulator.run(x, record="intervals").statistics
    assert not cheap.membranes and not detailed.membranes
    for name, complete in everything.trains.items():
        assert cheap.trains[name].n_detailed == 0 and cheap.trains[name].interval_counts.sum() == 0
        assert detailed.trains[name].n_samples == 0 and detailed.trains[name].events.sum() == 0
        assert_same(merge((cheap.trains[name], detailed.trains[name])), complete)
        assert np.isnan(detailed.trains[name].rate) and np.isnan(cheap.trains[name].correlations).all()
    only = simulator.run(x, record="membranes").statistics
    assert not only.trains
    for name, complete in everything.membranes.items():
        assert_same(only.membranes[name], complete)


@pytest.mark.parametrize("kind", STREAMED)
def test_statistics_change_nothing_else(kind):
    """Outputs, counts and states are the same bits with and without."""
    for name in ("signed", "recurrent maps", "image"):
        model, x = MODELS[name]
        simulator = Simulator(model, "float32")
        plain, observed = simulator.run(x, record=()), simulator.run(x, record=kind)
        np.testing.assert_array_equal(plain.output, observed.output)
        for layer, row in plain.counts.layers.items():
            for count, values in row.items():
                np.testing.assert_array_equal(values, observed.counts[layer][count])
        for layer, membrane in plain.state.membranes.items():
            np.testing.assert_array_equal(membrane, observed.state.membranes[layer])


def test_counts_and_statistics_agree():
    for name in ("signed", "image", "residual sew", "changes_model"):
        model, x = MODELS[name]
        recording = Simulator(model, "float32").run(x, record="statistics")
        for layer, train in recording.statistics.trains.items():
            if layer in recording.counts.layers:
                assert train.events.sum() == recording.counts[layer]["events"].sum()
                assert train.rate == pytest.approx(recording.counts.firing_rate(layer), rel=EXACT)
                assert train.mean_level == pytest.approx(recording.counts.mean_level(layer), rel=EXACT)


@pytest.mark.parametrize("nodes", [None, ("neuron1", "neuron4"), ("input",)])
def test_activation_sparsity(nodes):
    """The share of zeros among the levels of nodes, counted one by one."""
    model, x = MODELS["signed"]
    recording = Simulator(model, "float32").run(x, record=("spikes", "statistics"))
    names = recording.statistics.trains if nodes is None else nodes
    levels = np.concatenate([recording.levels(name).ravel() for name in names])
    assert recording.statistics.activation_sparsity(nodes) == pytest.approx((levels == 0).mean(), rel=EXACT)
    detailed = Simulator(model, "float32").run(x, record="intervals").statistics
    assert np.isnan(detailed.activation_sparsity(nodes))


def test_one_node_is_one_name():
    trains = {name: TrainStatistics.zeros((2,), 1, False, 4) for name in ("n", "n2")}
    trains = {name: replace(train, n_samples=1, events=np.array([i, i])) for i, (name, train) in enumerate(
        trains.items())}
    statistics = Statistics(trains)
    assert statistics.activation_sparsity("n2") == statistics.activation_sparsity(["n2"]) == 0.75
    assert statistics.activation_sparsity("n") == 1.0 and statistics.activation_sparsity(["n", "n"]) == 1.0
    for nodes in ("n3", ["n", "n3"], ["n", "2"]):
        with pytest.raises(RunError, match=r"^no node '\w+'; there are: 'n', 'n2'"):
            statistics.activation_sparsity(nodes)
    with pytest.raises(DataError, match="^nodes is 3, expected names of nodes, or None$"):
        statistics.activation_sparsity(3)


# ---------------------------------------------------------------- extremes


def spike_model(shape, bits=1, signed=False, steps=4):
    """An input of spikes, whose trains are what is given, and neurons that read it."""
    return chain(Input(shape, "spikes", bits, signed), Neuron(2.0**bits), timesteps=steps)


def streamed_input(levels, bits=1, signed=False, chunk=None):
    """Streamed TrainStatistics of given levels (N, T, *shape)."""
    model = spike_model(levels.shape[2:], bits, signed)
    return Simulator(model, "float32", chunk=chunk).run(levels, record=STREAMED).statistics.trains["input0"]


@pytest.mark.parametrize("shape", [(1,), (63,), (64,), (65,), (130,), (1, 7, 5), (64, 2, 3), (65, 3, 1), (3, 9)])
@pytest.mark.parametrize("bits, signed", [(1, False), (2, False), (1, True), (3, True)])
def test_words_and_positions(shape, bits, signed):
    rng = np.random.default_rng(sum(shape) + bits)
    levels = rng.integers(-(2**bits) + 1 if signed else 0, 2**bits, (2, 5, *shape))
    levels = np.where(rng.random(levels.shape) < 0.5, levels, 0)
    assert_train(streamed_input(levels, bits, signed), levels)


@pytest.mark.parametrize("bits, signed", [(8, False), (16, False), (16, True)])
def test_wide_levels(bits, signed):
    rng = np.random.default_rng(bits)
    top = 2**bits - 1
    levels = rng.integers(-top if signed else 0, top + 1, (2, 4, 3))
    levels[0, :, 0] = (top, 0, -top if signed else top, 1)
    assert_train(streamed_input(levels, bits, signed), levels)


@pytest.mark.parametrize("steps", [1, 2, 5])
@pytest.mark.parametrize("level", [0, 1, 3])
def test_silent_and_saturated(steps, level):
    levels = np.full((3, steps, 2, 3, 3), level)
    train = streamed_input(levels, 2)
    assert_train(train, levels)
    assert train.silent.all() == (level == 0) and train.saturated.all() == (level > 0)
    assert train.entropy == 0.0 and np.isnan(train.correlations).all()
    assert np.isnan(train.information_per_event) == (level == 0)
    assert train.top_level_share == (level == 3) and train.mean_level == level


def test_one_sample_one_step_one_neuron():
    train = streamed_input(np.ones((1, 1, 1), int))
    assert_train(train, np.ones((1, 1, 1), int))
    assert train.interval_histogram.tolist() == [0, 0] and np.isnan(train.cv[0]) and np.isnan(train.lv[0])


@pytest.mark.parametrize("chunk", [1, 7, 128, None])
def test_intervals_across_chunks(chunk):
    """Intervals that begin in one chunk and end in another; more than 127 events of one neuron."""
    rng = np.random.default_rng(5)
    levels = (rng.random((2, 300, 3)) < (0.02, 0.3, 0.95)).astype(int)
    assert_train(streamed_input(levels, chunk=chunk), levels)


@pytest.mark.parametrize("chunk", [100, None])
def test_long_intervals_share_the_last_bin(chunk):
    levels = np.zeros((2, 2600, 2), int)
    levels[0, [0, 1023, 2047, 2599], 0] = 1  # 1023, 1024, 552
    levels[1, [3, 2599], 1] = 1  # 2596
    train = streamed_input(levels, chunk=chunk)
    assert_train(train, levels)
    assert train.interval_histogram.size == 1025
    assert train.interval_histogram[[552, 1023, 1024]].tolist() == [1, 1, 2]


def test_still_images_are_events_of_every_step():
    """An image that stands still is held once, and counts in every step."""
    rng = np.random.default_rng(1)
    image = rng.integers(0, 16, (3, 2, 3, 3)) * rng.integers(0, 2, (3, 2, 3, 3))
    model = chain(Input((2, 3, 3), "image", 4, scale=1 / 16), MaxPool(2), Neuron(), timesteps=6)
    frames = np.repeat(image[:, None], 6, axis=1)
    for chunk in (None, 1, 4):
        simulator = Simulator(model, "float32", chunk=chunk)
        still, moving = (simulator.run(x, record=STREAMED).statistics for x in (image, frames))
        assert_same_statistics(still, moving, f"chunks of {chunk}")
        assert_train(still.trains["input0"], frames)


@pytest.mark.parametrize("bits, signed", [(1, False), (2, False), (3, True)])
def test_many_samples_in_many_blocks(bits, signed):
    """More samples than a block holds, and events beyond what a byte counts."""
    rng = np.random.default_rng(9)
    levels = rng.integers(1, 2**bits, (300, 3, 4)) * (rng.random((300, 3, 4)) < 0.8)
    levels = levels * rng.choice((-1, 1), levels.shape) if signed else levels
    assert_train(streamed_input(levels, bits, signed), levels)


@pytest.mark.parametrize("steps", [126, 127, 128, 255])
@pytest.mark.parametrize("chunk", [None, 50])
def test_saturated_trains_around_what_a_byte_counts(steps, chunk):
    levels = np.full((6, steps, 2), 3)
    levels[:, -1, 1] = 0
    assert_train(streamed_input(levels, 2, chunk=chunk), levels)


@pytest.mark.parametrize("name", ["recurrent", "signed", "image"])
def test_a_run_that_goes_on_is_described_by_itself(name):
    """Of a continued run the statistics are of its own steps; an interval does not begin in the run before."""
    model, x = MODELS[name]
    still = x.ndim == len(model.shapes[model.input]) + 1
    simulator = Simulator(model, "float32", chunk=2)
    first = simulator.run(x if still else x[:, :1], 1 if still else None)
    later = simulator.run(x if still else x[:, 1:], 5 if still else None, RECORDED + STREAMED, first.state)
    for layer, gathered in later.statistics.trains.items():
        assert_train(gathered, later.levels(layer), layer)
    for layer, gathered in later.statistics.membranes.items():
        assert_membranes(gathered, model, layer, later)


# ---------------------------------------------------------------- membranes


def driven(neuron, inputs):
    """(Recording, its MembraneStatistics) of neurons given real inputs (N, T, neurons) in float64."""
    inputs = np.asarray(inputs, np.float64)
    model = chain(Input(inputs.shape[2:], "real"), neuron)
    recording = Simulator(model, "float64").run(inputs, record=RECORDED + STREAMED)
    assert_membranes(recording.statistics.membranes["neuron1"], model, "neuron1", recording)
    return recording, recording.statistics.membranes["neuron1"]


def test_membranes_by_hand():
    """One IF neuron, threshold 2, quantum 2: H 1, 2 and U 1, 0, in units of the threshold."""
    _, membranes = driven(Neuron(2.0, quantum=2.0), [[[1.0], [1.0]]])
    assert (membranes.unit, membranes.threshold, membranes.step, membranes.n_levels) == ("thresholds", 1.0, 1.0, 1)
    assert membranes.lowest == 0.5 and membranes.highest == 1.0
    assert membranes.mean_by_step.tolist() == [[0.5, 0.0]] and membranes.drift.tolist() == [0.5, 0.0]
    assert membranes.error_by_step.tolist() == [[0.25, 0.0]] and membranes.error == 0.125
    assert np.isnan(membranes.rectified_error) and membranes.rectified is None
    bin_of = np.searchsorted(membranes.edges, [0.5, 1.0], "right")
    assert membranes.potentials[bin_of].tolist() == [1, 1] and membranes.potentials.sum() == 2
    assert membranes.distances[0] == 1 and membranes.distances.sum() == 2  # 0 and half a quantum


@pytest.mark.parametrize("shape", [(3, 40, 40), (1, 64, 96), (5000,), (64, 8, 9)])
def test_large_layers_are_looked_at_in_4096_places(shape):
    n = int(np.prod(shape))
    chosen = chosen_of(shape)
    assert_chosen(chosen, 4096, n)
    columns = np.bincount(chosen % shape[-1], minlength=shape[-1])
    if len(shape) > 1:  # no column of a map is left out
        assert columns.min() > 0.5 * columns.mean() and columns.max() < 1.6 * columns.mean()
    _, membranes = driven(Neuron(np.linspace(0.5, 1.5, n).reshape(shape), quantum=0.5, bits=2),
                          np.random.default_rng(0).normal(0.5, 1, (1, 2, *shape)))
    assert membranes.potentials.sum() == 2 * min(n, 4096)


def test_a_threshold_that_is_not_above_0_counts_in_quanta():
    _, membranes = driven(Neuron(-0.5, quantum=0.5), np.linspace(-2, 1, 12).reshape(1, 4, 3))
    assert membranes.unit == "quanta" and membranes.threshold == -1.0 and membranes.step == 1.0


@pytest.mark.parametrize("theta, signed", [(10.0, False), (10.0, True), (np.array([2.0, 10.0, 0.5]), False)])
@pytest.mark.parametrize("reset", ["hard", "none"])
def test_what_a_spike_is_worth_does_not_change_the_picture_of_membranes(reset, theta, signed):
    """Where nothing subtracts the quantum, same spikes of same membranes have the same statistics; they are those
    of a quantum that equals the threshold."""
    x = np.random.default_rng(3).normal(3, 8, (5, 6, 3))
    first, *others = [driven(Neuron(theta, reset=reset, quantum=quantum, signed=signed), x)[1]
                      for quantum in (theta, 1.0, 100.0)]
    assert first.step == 1.0 and first.distances[-1] < first.distances.sum()
    for other in others:
        assert all(np.array_equal(getattr(other, each.name), getattr(first, each.name)) for each in fields(first)
                   if getattr(first, each.name) is not None)


def test_quanta_that_membranes_know_stay_their_scale():
    """With a soft reset, MPR, several levels, or no threshold above 0, the quantum is the node's."""
    for neuron in (Neuron(0.5), Neuron(0.5, reset="hard", rectify=True), Neuron(0.5, reset="hard", bits=2)):
        assert driven(neuron, [[[0.25]]])[1].step == 2.0
    assert driven(Neuron(-0.5, reset="hard"), [[[0.25]]])[1].threshold == -0.5


def test_membranes_of_alpha_neurons_count_in_thresholds():
    """Their soft reset subtracts v_threshold."""
    model = chain(Input((1,), "real"), Alpha(0.9, 0.5, v_threshold=10.0, reset="soft"))
    recording = Simulator(model, "float64").run(np.full((1, 2, 1), 4.0), record=STREAMED)
    membranes = recording.statistics.membranes["alpha1"]
    assert membranes.step == 1.0 and membranes.highest < 1 and membranes.error < 1


def test_membranes_beyond_the_edges():
    recording, membranes = driven(Neuron(v_min=-50.0), [[[1e6, -1e6, 0.0]], [[3.0, -3.0, 0.5]]])
    assert membranes.potentials[0] >= 1 and membranes.potentials[-1] >= 1
    assert membranes.distances[-1] >= 2 and membranes.highest == 1e6 and membranes.lowest == -1e6


def test_membranes_that_are_not_finite():
    """A membrane that has overflowed is counted, and the others are described as if alone."""
    model = chain(Input((2,), "real"), Neuron(0.5))
    x = np.array([[[3e38, 0.75]] * 3, [[0.25, 0.5]] * 3])
    with np.errstate(over="ignore", invalid="ignore"):
        recording = Simulator(model, "float32").run(x, record=RECORDED + STREAMED)
    membranes = recording.statistics.membranes["neuron1"]
    assert membranes.n_not_finite > 0
    assert_membranes(membranes, model, "neuron1", recording)


def test_a_square_beyond_float64_is_no_small_drift():
    model = chain(Input((1,), "real"), Neuron())
    recording = Simulator(model, "float64").run(np.full((1, 2, 1), 1e200), record=STREAMED)
    assert np.isinf(recording.statistics.membranes["neuron1"].drift).all()


@pytest.mark.parametrize("theta", [0.5, 0.8, 0.2])
def test_rectified_membranes_meet_their_threshold_where_phi_does(theta):
    """A membrane on the first value that fires has no distance to its threshold."""
    neuron = Neuron(theta, rectify=True, reset="hard")
    u = np.nextafter(reference.unrectified(theta), [0, 1])
    recording, membranes = driven(neuron, u.reshape(1, 1, 2))
    assert recording.levels("neuron1").ravel().tolist()[-1] == 1
    assert membranes.distances[0] == 2


# ---------------------------------------------------------------- errors


def test_statistics_of_different_nodes_do_not_merge():
    a, b = (streamed_input(np.ones((1, steps, 2), int)) for steps in (2, 3))
    with pytest.raises(RunError, match="n_steps: 2 and 3 cannot be merged"):
        merge((a, b))
    with pytest.raises(RunError, match="shape"):
        merge((a, streamed_input(np.ones((1, 2, 3), int))))
    with pytest.raises(RunError, match="bits"):
        merge((a, streamed_input(np.ones((1, 2, 2), int), 2)))
    with pytest.raises(RunError, match="signed"):
        merge((a, streamed_input(np.ones((1, 2, 2), int), signed=True)))


def test_membranes_of_different_layers_do_not_merge():
    (_, a), (_, b) = driven(Neuron(), [[[1.0]]]), driven(Neuron(), [[[1.0]] * 2])
    with pytest.raises(RunError, match="n_steps: 1 and 2 cannot be merged; merge parts of the same layer"):
        merge((a, b))
    _, c = driven(Neuron(bits=2), [[[1.0]]])
    with pytest.raises(RunError, match="n_levels: 1 and 3 cannot be merged; merge parts of the same layer"):
        merge((a, c))
    with pytest.raises(RunError, match="n_samples: 1 and 2 cannot be merged; .* of the same samples"):
        merge((a, merge((a, a))), along="steps")


def test_labels_that_do_not_fit():
    outputs = np.zeros((2, 3, 4))
    assert Decisions.of(outputs, np.array([0.0, 1.0])).accuracy == 0.5
    for labels in ([0], [[0, 1]], [0.0, 1.5], [False, True]):
        with pytest.raises(DataError, match="^labels has (shape|values that are no class numbers)"):
            Decisions.of(outputs, np.array(labels))
    with pytest.raises(RunError, match="final: of shape .* cannot be merged"):
        merge((Decisions.of(outputs), Decisions.of(np.zeros((2, 2, 4)))))
    labels = np.array([0, 1])
    with pytest.raises(RunError, match="confusion: of shape .* cannot be merged"):
        merge((Decisions.of(outputs, labels), Decisions.of(np.zeros((2, 3, 5)), labels)))


@pytest.mark.parametrize("labels", [[0, 4], [-1, 0], [7, 9], [0, 1], []])
def test_labels_that_are_no_class(labels):
    """They are never right, and the matrix leaves out their samples alone, whose number is told."""
    outputs = np.eye(4)[[[0, 0, 0], [0, 1, 1]]]
    odd = Decisions.of(outputs[: len(labels)], np.array(labels, int))
    fine = Decisions.of(outputs, np.array([0, 1]))
    expected = np.zeros((4, 4), int)
    for label, prediction in zip(labels, (0, 1)):
        if 0 <= label < 4:
            expected[label, prediction] += 1
    known = int(expected.sum())
    np.testing.assert_array_equal(odd.confusion, expected)
    assert odd.n_unknown_labels == len(labels) - known and odd.correct[-1] == np.trace(expected)
    unknown = "1 sample" if len(labels) - known == 1 else f"{len(labels) - known} samples"
    text = f", without {unknown} whose label is no class of the model"
    assert odd.left_out_text == (text if odd.n_unknown_labels else "")
    assert odd.no_confusion == ("" if known else "no label is a class of the model")
    for merged in (merge((odd, fine)), merge((fine, odd))):
        np.testing.assert_array_equal(merged.confusion, expected + fine.confusion)
        assert merged.n_samples == 2 + len(labels) and merged.n_unknown_labels == odd.n_unknown_labels
        np.testing.assert_array_equal(merged.correct, odd.correct + fine.correct)


@pytest.mark.parametrize("classes, labels, reason", [
    (2, None, "there are no labels"), (1001, [0], "the model has more than 1,000 classes"), (1000, [0], "")])
def test_why_there_is_no_matrix(classes, labels, reason):
    decisions = Decisions.of(np.zeros((1, 1, classes)), labels)
    assert decisions.no_confusion.startswith(reason) and bool(reason) == bool(decisions.no_confusion)
    assert (decisions.confusion is None) == bool(reason) and decisions.n_unknown_labels == 0


@pytest.mark.parametrize("n_steps", [7, 0, -1, "9", None, 8.5])
def test_fewer_steps_than_there_are_hold_no_statistics(n_steps):
    """A node's trains, its membranes, the answers and the counts say so in the same words."""
    train, membranes = TrainStatistics.zeros((1,), 1, False, 8), driven(Neuron(bits=2), np.ones((1, 8, 1)))[1]
    decisions, counts = Decisions.of(np.zeros((1, 8, 2))), Counts.empty({"n": 1}, 1)
    counts.steps = 8
    for each in (train, membranes, decisions, counts, Statistics({"n": train}, {"n": membranes}, decisions)):
        with pytest.raises(DataError, match=f"steps is {n_steps!r}, expected a whole number from 8 to 16777216"):
            each.padded(n_steps)


def test_statistics_are_of_the_whole_network():
    model, x = MODELS["image"]
    with pytest.raises(DataError, match="'statistics:input'"):
        Simulator(model).run(x, record="statistics:input")


# ---------------------------------------------------------------- the file of a run


@pytest.mark.parametrize("name", ["signed", "image", "rectified channel", "residual sew", "chip"])
def test_a_file_keeps_statistics(name, tmp_path):
    model, x, *chip = chip_models()["cuba"] if name == "chip" else MODELS[name]
    simulator = Simulator(model, None if chip else "float32", chip=(chip or [None])[0])
    recording = simulator.run(x, record=STREAMED + ("outputs",))
    labels = np.arange(len(x)) % recording.output.shape[1]
    eventsim.save_run(recording, tmp_path / "run.h5", labels)
    with open_run(tmp_path / "run.h5") as run:
        assert list(run.statistics.trains) == list(recording.statistics.trains)
        assert_same_statistics(run.statistics, recording.statistics)
        assert_same(run.statistics.decisions, Decisions.of(recording.outputs, labels))


@pytest.mark.parametrize("batch", [1, 1 << 26])
def test_a_file_with_spikes_gives_statistics(batch, tmp_path, monkeypatch):
    """A run that recorded and gathered nothing is described from its spikes, in batches."""
    monkeypatch.setattr(file, "BATCH_BYTES", batch)
    model, x = MODELS["wide layers"]
    recording = Simulator(model, "float32").run(np.concatenate([x] * 3), record=("spikes",))
    eventsim.save_run(recording, tmp_path / "run.h5")
    with open_run(tmp_path / "run.h5") as run:
        statistics, expected = run.statistics, of_recordings.of(recording)
    assert set(statistics.trains) == set(expected.trains)
    assert statistics.decisions is None and not statistics.membranes
    for name, train in statistics.trains.items():
        assert_same(train, expected.trains[name], name)


def test_the_command_line_gathers_what_a_run_would(tmp_path, monkeypatch):
    """`eventsim run --out`, in batches: events of all samples, details of some, and the decisions."""
    monkeypatch.setattr(evaluating, "BATCH", (9, 9))
    model, _ = MODELS["image"]
    x = samples(np.random.default_rng(0), model.nodes[model.input], 70)
    y = np.random.default_rng(1).integers(0, 5, 70)
    np.savez(tmp_path / "data.npz", x=x.astype(np.uint8), y=y)
    eventsim.save(model, tmp_path / "model.h5")
    command = ["run", str(tmp_path / "model.h5"), str(tmp_path / "data.npz"), "--out", str(tmp_path / "run.h5")]
    assert main(command + ["--detailed", "10"]) == 0
    simulator = Simulator(load(tmp_path / "model.h5"))
    recording = simulator.run(x, record=("statistics", "outputs"))
    details = simulator.run(x[::7], record=("intervals", "membranes")).statistics
    with open_run(tmp_path / "run.h5") as run:
        assert_same_statistics(run.statistics, merge((recording.statistics, details)))
        assert_numbers(run.statistics.decisions, reference.decisions(recording.outputs, y))
    assert main(command) == 0
    with open_run(tmp_path / "run.h5") as run:
        assert {train.n_detailed for train in run.statistics.trains.values()} == {evaluating.LEAST_DETAILED}
        assert {layer.n_samples for layer in run.statistics.membranes.values()} == {evaluating.LEAST_DETAILED}


def test_shares_of_no_samples_are_undefined():
    """Where only intervals were gathered, nobody is silent or saturated, and nobody is not."""
    model = chain(Input((4,)), Dense(np.ones((3, 4))), Neuron(), Dense(np.ones((2, 3))), Readout())
    recording = Simulator(model).run(np.ones((2, 4, 4), np.uint8), record=("intervals",))
    for train in recording.statistics.trains.values():
        assert train.n_detailed == 2 and train.interval_counts.any()
        assert np.isnan([train.silent_share, train.saturated_share, train.rate, train.sparsity]).all()


# ---- recordings that were changed by hand

CHANGED = {
    "planes of fewer positions": (lambda r: spikes_with(r, planes=r.spikes["map"].planes[:, :, :, :1]),
                                  "planes are uint64 "),
    "planes of another type": (lambda r: spikes_with(r, planes=r.spikes["map"].planes.astype(int)),
                               "planes are int64 "),
    "no planes": (lambda r: spikes_with(r, planes=[]), "planes are list, expected uint64"),
    "more bits": (lambda r: spikes_with(r, bits=3), r"planes are .*, expected uint64 \(N, T, 3, 16, 1\)"),
    "more channels": (lambda r: spikes_with(r, shape=(500, 4, 4)),
                      "shape .* and logical_shape .* have different numbers"),
    "a channel behind the last": (
        lambda r: spikes_with(r, planes=r.spikes["map"].planes | np.uint64(32)),
        "planes have spikes of more than 5 channels"),
    "fewer steps": (lambda r: traces_with(r, lambda values: values[:, :2]),
                    "potentials .* residuals .* different shapes"),
    "complex numbers": (lambda r: traces_with(r, lambda values: values.astype(complex)),
                        "of complex128, float32, .*numbers"),
    "scales of other channels": (lambda r: r.steps_per_unit.update(map=np.ones(3)), "steps_per_unit has shape"),
}


def spikes_with(recording, **fields):
    recording.spikes["map"] = replace(recording.spikes["map"], **fields)


def traces_with(recording, change):
    recording.traces["potentials"]["map"] = change(recording.traces["potentials"]["map"])


@pytest.mark.parametrize("case", CHANGED)
def test_recordings_that_were_changed_are_refused(case):
    """Kernels count what is recorded, and find it by the shapes that the recording says."""
    nodes = {"in": Input((2, 4, 4)), "conv": Conv2d(np.ones((5, 2, 3, 3)), padding=1), "map": Neuron(bits=2)}
    model = Model(nodes, [("in", "conv"), ("conv", "map")], 4)
    recording = Simulator(model).run(np.ones((1, 2, 4, 4), int), record=("spikes", "potentials", "residuals"))
    of_recordings.of(recording, model)
    change, message = CHANGED[case]
    change(recording)
    with pytest.raises(DataError, match=f"^[^\n]*{message}[^\n]*$"):
        of_recordings.of(recording, model)
