"""Wrong arguments of pictures, tables and reports: one line of the project's own that names the argument."""

import re

import numpy as np
import pytest

import eventsim
from eventsim import DataError, Dense, EventsimError, Input, Model, Neuron, plots, Readout, RunError, Simulator
from eventsim.display.table import Table
from eventsim.report import findings, page, tables, text

JUNK = (None, -7, 2.5, "spam", [3], {"a": 3}, np.zeros((2, 3)), np.array("x"), {3: "x"}, [[1], [2, 3]])
TABLE = Table({"a": [1, 2], "b": [None, None]})


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A recording and its open run."""
    nodes = {"in": Input((3,)), "d": Dense(np.eye(3)), "fire": Neuron(v_threshold=1.0), "out": Readout()}
    simulator = Simulator(Model(nodes, [("in", "d"), ("d", "fire"), ("fire", "out")], timesteps=2))
    recording = simulator.run(np.ones((4, 3), int), record=(
        "spikes", "potentials", "statistics", "intervals", "membranes", "outputs"))
    path = tmp_path_factory.mktemp("run") / "run.h5"
    eventsim.save_run(recording, path, labels=np.arange(4) % 3)
    with eventsim.open_run(path) as run:
        yield recording, run, simulator.model


def calls(made):
    """(function, its right arguments, those of which some value of JUNK is right) of every public one."""
    recording, run, model = made
    statistics = recording.statistics
    trains, membranes = statistics.trains, statistics.membranes
    potentials = np.zeros((0, 3))  # so that nothing is drawn, which takes long
    figure = plots.rates(trains)
    block = np.zeros(2, [("t", int), ("x", int)])
    for function in (plots.rates, plots.levels, plots.planes, plots.intervals):
        yield function, dict(trains=trains)
    yield plots.maps, dict(trains=trains["fire"], name="a", note="b")
    yield plots.correlations, dict(train=trains["fire"], name="a")
    yield plots.operations, dict(counts=recording.counts)
    yield plots.confusion, dict(decisions=run.statistics.decisions)
    yield plots.accuracy, dict(decisions=run.statistics.decisions)
    yield plots.membranes, dict(layers=membranes)
    yield plots.drift, dict(layers=membranes)
    yield plots.traces, dict(potentials=potentials, residuals=potentials, currents=potentials, levels=potentials,
                             threshold=1.0, neurons=(0,), unit="V", name="a", first_step=1, signed=False)
    yield plots.raster, dict(spikes=recording, sample=(), name="a", marks=5, numbers=(), note="b")
    yield plots.save_figure, dict(figure=figure, path="none/a.png")
    yield plots.svg, dict(figure=figure, prefix="a")
    yield plots.stream_course, dict(windows=[], events=block, class_names=("a",))
    yield plots.KINDS["traces"], dict(run=run, layers=("fire",), sample=0, neurons=(0,))
    for kind in plots.KINDS:
        yield plots.KINDS[kind], dict(run=run)
    yield findings.find, dict(run=run)
    yield tables.table, dict(run=run, name="layers", layers=("fire",))
    yield tables.tables, dict(run=run, layers=("fire",))
    yield page.render, dict(run=run, findings=[])
    yield text.describe_text, dict(model=model, name="a")
    yield Table, dict(columns={"a": [1, 2]}, units={"a": "V"})
    yield TABLE.of, dict(names=("a",))
    yield TABLE.as_text, dict(limit=1, width=20, drop=("a",))


@pytest.mark.filterwarnings("error")
def test_junk_is_refused_in_one_line_or_taken(made):
    """Whatever is given for an argument, nothing but an error of the project's own comes out."""
    refused, wrong = set(), []
    for function, right in calls(made):
        for name in right:
            for junk in JUNK:
                try:
                    if function is not page.render or name == "run" or junk is not None:  # renders whole pages
                        function(**{**right, name: junk})
                except EventsimError as error:
                    assert "\n" not in str(error) and len(str(error)) < 400
                    refused.add((getattr(function, "__name__", "Table"), name))
                except Exception as error:
                    wrong.append(f"{function.__name__}({name}={junk!r}): {error!r}")
    assert not wrong, "\n".join(wrong)
    missing = {(getattr(function, "__name__", "Table"), name) for function, right in calls(made) for name in right}
    # what neither shows nor needs may be anything
    assert missing - refused == {("describe_text", "name")}


CASES = (  # what is given, and what is said
    (lambda r, run: plots.rates(r), DataError, "trains is Recording.*expected a mapping of names to TrainS"),
    (lambda r, run: plots.rates({"a": r}), DataError, "trains has 'a': Recording.*expected a mapping of names to"),
    (lambda r, run: plots.raster(r, 9), DataError, "no sample 9 among the 4 samples of"),
    (lambda r, run: plots.raster(r, 1.5), DataError, "sample is 1.5, expected a whole number, or several"),
    (lambda r, run: plots.raster(r, 0, marks=-1), DataError, "marks is -1, expected a whole number from 0 on"),
    (lambda r, run: plots.raster(r, [0, 1], numbers=[7]), DataError, "numbers has 1 names for 2 samples"),
    (lambda r, run: plots.raster(3), DataError, "spikes is 3, expected a Recording, a node of one, Spikes"),
    (lambda r, run: plots.traces([[1.0]], residuals=[[1.0], [2.0]]), DataError,
     r"residuals has shape \(2, 1\), expected that of potentials, \(1, 1\): \(T, ...\) of one sample"),
    (lambda r, run: plots.traces("x"), DataError, r"potentials is 'x', expected an array of numbers \(T, ...\)"),
    (lambda r, run: plots.traces([[1.0]], threshold="x"), DataError, "threshold is 'x', expected a number or"),
    (lambda r, run: plots.stream_course([3], np.zeros(1, [("t", int), ("x", int)])), DataError,
     "windows has a member that is 3, expected a StreamWindow"),
    (lambda r, run: plots.stream_course([], np.zeros(3)), DataError, "expected a structured array with the"),
    (lambda r, run: plots.svg(3), DataError, "figure is 3, expected a Figure of matplotlib"),
    (lambda r, run: plots.svg(plots.rates({}), "a b"), DataError, "prefix is 'a b', expected a letter, then"),
    (lambda r, run: plots.save_figure(plots.rates({}), 3), DataError, "path is 3, expected a path"),
    (lambda r, run: plots.KINDS["rates"](r), DataError, "run is Recording.*expected a run as eventsim.open_run"),
    (lambda r, run: plots.KINDS["traces"](run, "fire", [0, 1]), RunError, "traces show one sample at a time"),
    (lambda r, run: plots.KINDS["rates"](run, 3), DataError, "layers is 3, expected names of layers, or None"),
    (lambda r, run: findings.find(r), DataError, "run is Recording.*expected a run as eventsim.open_run gives it"),
    (lambda r, run: page.render(run, [3]), DataError, "findings has a member that is 3, expected a Finding"),
    (lambda r, run: tables.table(run, 3), RunError, "^3 is no table; there are: run, findings, layers"),
    (lambda r, run: tables.table(run, "rates", [3]), DataError, r"layers is \[3\], expected names of layers"),
    (lambda r, run: text.describe_text(run, "a"), DataError, "model is Run.*expected a Model"),
    (lambda r, run: Table(3), DataError, "columns is 3, expected a mapping of names to columns of one length"),
    (lambda r, run: Table({"a": 3}), DataError, "columns has 'a': 3, expected a mapping of names"),
    (lambda r, run: Table({"a": [1], "b": [1, 2]}), DataError, "columns has 'b' of 2 values, expected 1 as in"),
    (lambda r, run: TABLE.of(["c"]), DataError, "no column 'c'; there are: a, b"),
    (lambda r, run: TABLE.as_text(-1), DataError, "limit is -1, expected a whole number from 0 on"),
)


@pytest.mark.parametrize("number", range(len(CASES)), ids=lambda n: re.sub(r"\W+", " ", CASES[n][2])[:40])
def test_what_is_said(made, number):
    function, kind, message = CASES[number]
    recording, run, _ = made
    with pytest.raises(kind, match=message) as found:
        function(recording, run)
    assert type(found.value) is kind and "\n" not in str(found.value)
