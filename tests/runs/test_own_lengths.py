"""Runs of samples of their own lengths: no table, picture, finding or cost sees padding, or samples not run."""

import json
import warnings

import h5py
import numpy as np
import pytest

import eventsim
from eventsim import Dense, Input, Model, Neuron, plots, Readout, Simulator
from eventsim.costs.other_tools import conventions
from eventsim.merging import merge
from eventsim.plots import rasters
from eventsim.report import findings, page, tables

STEPS = 8
LENGTHS, LABELS = np.array([3, 8, 2, 8, 5, 2]), np.array([0, 1, 2, 0, 1, 2])
X = (np.random.default_rng(1).random((6, STEPS, 6)) < 0.5).astype(int)


def network(bias=0.0, input_node=None):
    rng = np.random.default_rng(1)
    nodes = {"in": input_node or Input((6,), "spikes"), "d": Dense(rng.normal(size=(5, 6))),
             "n": Neuron(v_threshold=0.5, bias=bias), "o": Dense(rng.normal(size=(3, 5))), "out": Readout("sum")}
    return Model(nodes, list(zip(nodes, list(nodes)[1:])), timesteps=STEPS)


@pytest.fixture(scope="module")
def simulator():
    return Simulator(network())


@pytest.fixture(scope="module")
def run(simulator, tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "own.h5"
    eventsim.evaluate(simulator, (X, LABELS, LENGTHS), out=path, record=["spikes", "potentials", "outputs"],
                      detailed=6)
    with eventsim.open_run(path) as opened:
        yield opened


@pytest.fixture(scope="module")
def levels(run):
    """Node -> levels of each sample, without padding."""
    return {name: [run.spikes(name, i, i + 1).levels()[0, :length] for i, length in enumerate(LENGTHS)]
            for name in ("in", "n")}


def words(figure):
    """All text of a figure, with plain blanks."""
    texts = [*figure.texts,
             *(text for axes in figure.axes for text in (*axes.texts, axes.xaxis.label, axes.title))]
    return " ".join(text.get_text() for text in texts).replace("\u00a0", " ")


# ---- steps


def test_a_summary_says_the_same_steps_from_a_file_and_from_a_run(run, simulator):
    """And in words the same everywhere; with those presented, rates follow from counts."""
    made = eventsim.evaluate(simulator, (X, LABELS, LENGTHS))
    for summary in (made, run.summary, eventsim.RunSummary.from_json(made.to_json(printed=True), "a file")):
        assert summary.presented_steps == LENGTHS.sum() == run.counts.presented
        assert "up to 8 steps" in summary.as_text().splitlines()[0] and "up to 8 steps" in repr(summary)
        for layer in summary.layers:
            if layer.firing_rate is not None:
                assert layer.firing_rate == layer.events / (layer.neurons * summary.presented_steps)
    assert "up to 8 steps" in repr(run).splitlines()[0]
    facts = tables.tables(run)["run"]
    assert dict(zip(*facts.columns.values()))["presented_steps"] == str(LENGTHS.sum())


def test_samples_of_one_length_have_no_up_to(simulator):
    summary = eventsim.evaluate(simulator, (X, LABELS))
    assert summary.presented_steps == X.shape[0] * STEPS and "up to" not in summary.as_text()
    parts = [eventsim.evaluate(simulator, (X, LABELS, LENGTHS), shard=(i, 2)) for i in (0, 1)]
    assert eventsim.merge_summaries(parts).presented_steps == LENGTHS.sum()


def test_files_that_do_not_say_the_steps_presented_have_them_in_their_lengths(run, tmp_path):
    path = tmp_path / "older.h5"
    with open(run.path, "rb") as file:
        path.write_bytes(file.read())
    with h5py.File(path, "r+") as file:
        summary = json.loads(file["summary"][()])
        del summary["presented_steps"], file["summary"]
        file["summary"] = json.dumps(summary)
    with eventsim.open_run(path) as older:
        assert older.summary.presented_steps == LENGTHS.sum() and "up to 8 steps" in older.summary.as_text()


# ---- tables


def test_all_tables_can_be_made(run):
    made = tables.tables(run)
    assert set(tables.TABLES) - set(made) <= {"findings"}


def test_rates_by_class_are_of_the_steps_there_were(run, levels):
    rates = {(row[0], row[1]): row[2] for row in tables.table(run, "class_rates").rows}
    for name, of_samples in levels.items():
        for label in range(3):
            values = np.concatenate([of_samples[i] for i in np.flatnonzero(LABELS == label)])
            assert rates[name, str(label)] == pytest.approx((values != 0).mean())


def test_the_rate_of_a_step_is_of_the_samples_that_had_it(run, levels):
    expected = [
        np.concatenate([one[step] != 0 for name, samples in levels.items() if name != "in"  # neurons only
                        for one in samples if len(one) > step]).mean()
        for step in range(STEPS)
    ]
    np.testing.assert_allclose(tables.table(run, "steps").as_arrays()["rate"], expected)


def test_membranes_end_with_the_longest_sample(run, simulator):
    table = tables.table(run, "membranes").as_arrays()
    recording = simulator.run(X, lengths=LENGTHS, record="residuals")
    last = recording.residuals("n")[LENGTHS == STEPS, -1] / 0.5
    assert table["mean_last"][0] == pytest.approx(last.mean(), rel=1e-5)
    assert table["rms_last"][0] == pytest.approx(np.sqrt((last.astype(float) ** 2).mean()), rel=1e-5)


def test_membranes_of_samples_shorter_than_the_longest(simulator, tmp_path):
    """The sample looked at, the first, has 3 of 8 steps."""
    path = tmp_path / "short.h5"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        eventsim.evaluate(simulator, (X, None, LENGTHS), out=path, detailed=1)
        with eventsim.open_run(path) as opened:
            membranes = opened.statistics.membranes["n"]
            table = tables.table(opened, "membranes").as_arrays()
            shown = words(plots.KINDS["drift"](opened)) + words(plots.KINDS["membranes"](opened))
            curve = plots.KINDS["drift"](opened).axes[0].lines[0].get_ydata()
    assert membranes.longest == 3 and np.isnan(membranes.drift[3:]).all() and len(membranes.drift) == STEPS
    assert table["rms_last"][0] == membranes.drift[2] and table["mean_last"][0] == membranes.means[2]
    assert "1 sample of 3 steps" in shown and curve.tolist() == membranes.drift[:3].tolist()


def test_membranes_that_drift_are_found(tmp_path):
    nodes = {"in": Input((6,), "spikes"), "n": Neuron(v_threshold=1.0, bias=-3.0), "o": Dense(np.ones((3, 6))),
             "out": Readout("sum")}
    simulator = Simulator(Model(nodes, list(zip(nodes, list(nodes)[1:])), timesteps=STEPS))
    kinds = {}
    for name, given in (("own", (X, None, LENGTHS)), ("alike", X)):
        eventsim.evaluate(simulator, given, out=tmp_path / f"{name}.h5", detailed=6)
        with eventsim.open_run(tmp_path / f"{name}.h5") as opened:
            kinds[name] = [finding.kind for finding in findings.find(opened)]
    assert "membrane_drift" in kinds["alike"] and "membrane_drift" in kinds["own"]


# ---- energy


@pytest.mark.parametrize("precision", ("float32", "int8"))
def test_the_dense_baseline_does_not_see_the_padding(precision):
    x = (np.random.default_rng(1).random((6, 300, 6)) < 0.5).astype(int)
    simulator = Simulator(network(), precision)
    padded = eventsim.evaluate(simulator, (x, None, np.full(6, 3)))
    alone = eventsim.evaluate(simulator, x[:, :3])
    assert padded.timesteps == alone.timesteps == 3 and padded.energy == alone.energy


def test_nor_samples_that_are_not_run(simulator, tmp_path):
    path = tmp_path / "first.h5"
    limited = eventsim.evaluate(simulator, (X, None, LENGTHS), limit=1, out=path)
    alone = eventsim.evaluate(simulator, X[:1, :3])
    assert limited.timesteps == 3 and limited.energy == alone.energy
    with eventsim.open_run(path) as opened:
        assert opened.n_steps == 3
        scales = [image.norm.vmax for axes in plots.KINDS["rates"](opened).axes for image in axes.images]
        assert np.isfinite(scales).all()


def test_parts_merge_to_the_whole(simulator):
    one_run = eventsim.evaluate(simulator, (X, LABELS, LENGTHS))
    parts = [eventsim.evaluate(simulator, (X, LABELS, LENGTHS), shard=(i, 3)) for i in range(3)]
    merged = eventsim.merge_summaries(parts)
    assert merged.energy == one_run.energy and merged.timesteps == one_run.timesteps == STEPS
    assert eventsim.evaluate(simulator, (X, LABELS, LENGTHS), shard=(2, 3)).timesteps == STEPS


# ---- other tools


@pytest.mark.parametrize("encoding", ("spikes", "real"))
def test_other_tools_see_the_steps_of_each_sample(encoding):
    node = Input((6,), encoding)
    simulator = Simulator(network(input_node=node))
    x = X if encoding == "spikes" else X * 0.75
    recording = simulator.run(x, lengths=LENGTHS, record="spikes")
    counted = conventions.count(simulator.model, recording, x)
    alone = merge([conventions.count(simulator.model, simulator.run(x[i : i + 1, :length], record="spikes"),
                                     x[i : i + 1, :length]) for i, length in enumerate(LENGTHS)])
    assert counted.n_steps == LENGTHS.sum()
    of_run = eventsim.evaluate(simulator, (x, None, LENGTHS), conventions=True).sums.conventions
    for key in conventions.CONVENTIONS:
        assert counted.total(key) == pytest.approx(alone.total(key)) == pytest.approx(of_run.total(key))


# ---- pictures


def test_a_raster_shows_the_steps_of_its_sample(run, levels, simulator):
    share = round(100 * np.mean(levels["n"][2] != 0))
    for figure in (plots.KINDS["raster"](run, layers=["n"], sample=2),
                   rasters.raster(simulator.run(X, lengths=LENGTHS, record="spikes")["n"], sample=2)):
        assert f"of 5 neurons in 2 steps: {share} %" in words(figure)
        assert all(axes.get_xlim() == (0, 2) for axes in figure.axes if axes.get_ylabel() == "neuron")


def test_a_raster_of_several_samples_puts_their_steps_on_end(run, levels):
    figure = plots.KINDS["raster"](run, layers=["n"], sample=[2, 0, 1])
    events = sum(np.count_nonzero(levels["n"][i]) for i in (2, 0, 1))
    assert f"{events} events of 5 neurons in 13 steps" in words(figure)
    assert "sample, 2 to 8 steps each" in words(figure)
    [axes] = [axes for axes in figure.axes if axes.get_ylabel() == "neuron"]
    assert axes.get_xticks().tolist() == [1, 3.5, 9] and axes.get_xlim() == (0, 13)


def test_traces_end_with_the_sample(run):
    figure = plots.KINDS["traces"](run, sample=2)
    panels = [axes for axes in figure.axes if axes.get_ylabel().startswith("neuron")]
    assert panels and all(axes.get_xlim() == (0.5, 2.5) for axes in panels)


@pytest.mark.parametrize("kind", ("rates", "levels", "planes", "intervals", "correlations", "operations",
                                  "membranes", "drift"))
def test_pictures_say_that_lengths_differ(run, kind):
    assert "of up to 8 steps" in words(plots.KINDS[kind](run))


def test_cards_and_the_page_say_so_too(run, simulator, levels):
    recording = simulator.run(X, lengths=LENGTHS, record=("spikes", "statistics", "membranes"))
    share = np.concatenate(levels["n"]).astype(bool).mean()
    for spikes in (recording.spikes["n"], run.spikes("n")):
        card = dict(spikes.card().facts)
        assert card["of all neurons and steps"] == f"{100 * share:.0f} %" and card["steps"] == "up to 8"
    statistics = recording.statistics
    for one in (run, recording.counts, statistics.trains["n"], statistics.membranes["n"]):
        assert "up to 8 steps" in one.card().title
    assert "in up to 8 steps of float32" in page.render(run)
