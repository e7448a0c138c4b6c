"""What objects show of themselves: short however large they are, escaped, complete enough to go on with."""

import html
import re
import xml.etree.ElementTree as ElementTree
from functools import lru_cache

import numpy as np
import pytest

import eventsim
from eventsim import Dense, Input, Model, Neuron, Readout, Simulator
from eventsim.display.card import Card, Shown
from eventsim.display.strip import Box, strip
from eventsim.display.table import Table
from eventsim.report.tables import TABLES, table
from eventsim.text import n_cells

HOSTILE = "<script>alert(1)</script>&\"'\x1b[31m\u202e"
SVG = "{http://www.w3.org/2000/svg}"


def long_model(n, name="n{}"):
    """n neurons in a row, each reading the one before, the first also the last one, a step later; and one more."""
    nodes = {"in": Input((3,)), **{name.format(i): Neuron(v_threshold=0.5) for i in range(n)}}
    names = list(nodes)
    synapses = {f"d{i}": Dense(np.eye(3)) for i in range(n)}
    edges = [edge for i in range(n) for edge in ((names[i], f"d{i}"), (f"d{i}", names[i + 1]))]
    nodes = {**nodes, **synapses, "back": Dense(0.1 * np.eye(3)), "end": Dense(np.eye(3)), "out": Neuron()}
    edges += [(names[-1], "back"), ("back", names[1], 1), (names[-1], "end"), ("end", "out")]
    return Model(nodes, edges, timesteps=2, class_names=[HOSTILE.replace("\x1b[31m\u202e", "")] * 3)


@lru_cache(maxsize=None)
def shown(folder):
    """Name -> each object that a user may have as the last line of a cell, of a long network."""
    model = long_model(12)
    simulator, x = Simulator(model, "int8"), np.ones((64, 2, 3), int)
    recording = simulator.run(x, record=(
        "spikes", "potentials", "statistics", "intervals", "membranes", "outputs"))
    eventsim.save_run(recording, folder / "run.h5", labels=np.arange(64) % 3)
    with eventsim.open_run(folder / "run.h5") as run:
        tables = {f"table {name}": table(run, name) for name in TABLES}
    statistics = recording.statistics
    check = eventsim.Check(x, np.zeros((64, 3)))
    return {
        "model": model, "summary": model.summary(), "simulator": simulator, "program": simulator.program,
        "recording": recording, "node": recording["n3"], "unrecorded": simulator.run(x, record=())["n3"],
        "events": recording["n3"].events(), "spikes": recording.spikes["n3"], "counts": recording.counts,
        "summed": recording.counts.summed(), "statistics": statistics, "train": statistics.trains["n3"],
        "membranes": statistics.membranes["n3"], "decisions": run.statistics.decisions, "run": run,
        "state": recording.state, "comparison": eventsim.compare(model, simulator, x), "check": check,
        "evaluation": eventsim.evaluate(simulator, x), "timing": recording.timing,
        "timed": simulator.run(x, record="timing").timing, **tables, **streamed(),
    }


def streamed():
    """Name -> what a stream shows, its name and classes from who knows where."""
    bins = eventsim.EventBins(1000.0, "one", sensor_size=(1, 30))
    nodes = {"in": Input((30,), bits=8, events=bins), "d": Dense(np.eye(30)), "out": Readout()}
    model = Model(nodes, [("in", "d"), ("d", "out")], class_names=[f"{i}{HOSTILE[:20]}" for i in range(30)])
    events = {"t": np.arange(0, 25_000, 500), "x": np.arange(50) % 3, "y": np.zeros(50), "p": np.ones(50)}
    source = eventsim.EventStream.from_numpy(events, (1, 30), HOSTILE, start=0)
    stream = Simulator(model).stream(source, "4ms", stride="2ms")
    new, window = repr(stream), next(stream)
    assert "given 0 windows" in new and "given 1 window, 4 events" in repr(stream)
    assert "window 4 ms (4 steps); stride 2 ms" in new and " times real time" in " ".join(repr(stream).split())
    text = repr(window).splitlines()
    assert text[0] == "StreamWindow 0, 0.000000 to 0.002000 s" and "steps 2; events 4; decision 0<" in text[1]
    assert text[-2] == "... 20 more rows" and [line.split()[-2:] for line in text[4:7]] == [
        ["1", "1"], ["0.5", "0.5"], ["0.5", "0.5"]]
    assert repr(stream.state).startswith("StreamState(after 2 steps)\nstep 1 ms; window 4 steps; stride 2 steps;")
    return {"stream": stream, "window": window, "stream state": stream.state, "event stream": source}


@pytest.fixture(scope="module")
def objects(tmp_path_factory):
    return shown(tmp_path_factory.mktemp("run"))


def test_every_object_is_short(objects):
    for name, one in objects.items():
        text, page = repr(one), one._repr_html_()
        assert 1 <= len(text.splitlines()) < 20 and max(map(len, text.splitlines())) <= 100, name
        assert len(page) < 40_000, name
        ElementTree.fromstring(page)  # well-formed


def test_what_is_shown_first(objects):
    model, recording = objects["model"], objects["recording"]
    assert repr(model).startswith("Model(28 nodes, 28 edges, 2 steps)") and "... 18 more rows" in repr(model)
    assert "Recording(64 samples, 2 steps, int8)" in repr(recording)
    assert f"predictions {recording.predictions[0]}, " in repr(recording)
    assert "64 samples" in repr(objects["run"]) and "potentials of" in repr(objects["run"])
    assert "Comparison(" in repr(objects["comparison"]) and objects["comparison"].reading[:30] in repr(
        objects["comparison"])
    assert "spikes were not recorded" in repr(objects["unrecorded"])
    assert 'record "timing"' in repr(objects["timing"]) and "outside" in repr(objects["timing"])
    assert "n0 " in repr(objects["timed"]) and "more rows" in repr(objects["timed"])
    assert len(objects["events"]) == 64 * 2 * 3 - int((recording.levels("n3") == 0).sum())


@pytest.mark.parametrize("node, rate", [(Readout(), "-"), (Neuron(v_threshold=9.0), "0")])
def test_a_recording_shows_no_rate_of_what_sends_no_events(node, rate):
    """A readout sends none, by what it is; a neuron that is silent has the rate 0."""
    model = Model({"in": Input((2,)), "n": node}, [("in", "n")], timesteps=2)
    [row] = [line.split() for line in repr(Simulator(model).run(np.eye(2, dtype=int))).splitlines()
             if line.startswith("n ")]
    assert row[:3] == ["n", "2", rate]


def test_the_strip_of_a_long_network_leaves_out_the_middle(objects):
    [svg] = re.findall(r"<svg.*</svg>", objects["model"]._repr_html_(), re.DOTALL)
    root = ElementTree.fromstring(svg)
    boxes = root.findall(f".//{SVG}rect")
    assert len(boxes) == 16 + 7
    assert "5 more" in [text.text for text in root.iter(f"{SVG}text")]


def test_a_strip_draws_shortcuts_loops_and_delays():
    boxes = [Box("a", "Input", "input", (1, 8, 8), ()), Box("b", "Neuron", "neurons", (4,), [("a", 0), ("b", 1)]),
             Box("c", "Add", "transform", (4,), [("b", 0), ("a", 0), ("missing", 0)])]
    root = ElementTree.fromstring(strip(boxes))
    paths = [path.get("d") for path in root.iter(f"{SVG}path")]
    assert len(paths) == 4 and sum("C" in path for path in paths) == 2  # two straight, a shortcut, a loop
    assert "delay of 1" in [title.text for title in root.iter(f"{SVG}title")]
    heights = [float(rect.get("height")) for rect in root.iter(f"{SVG}rect")]
    assert heights[0] == max(heights) and heights[1] == heights[2]


def test_names_are_text_in_html_and_steer_no_terminal():
    card = Card(HOSTILE, [("file", HOSTILE)], ("name",), [(HOSTILE,)], note=HOSTILE,
                picture=strip([Box(HOSTILE, HOSTILE, "input", (1,), ())]))
    page, text = card.as_html(), card.as_text()
    assert "<script>" not in page and page.count(html.escape("<script>alert(1)</script>")) >= 3
    assert "\x1b" not in text + page and "\u202e" not in text + page
    ElementTree.fromstring(page)
    assert "<script>" not in long_model(1, "<script>{}")._repr_html_()


def test_wide_and_long_cards_say_what_they_leave_out():
    card = Card("t" * 300, [("f", "v" * 300)] * 9, [f"column {i}" for i in range(30)], [["x" * 50] * 30] * 9, 1234)
    lines = card.as_text().splitlines()
    assert len(lines) < 20 and max(map(len, lines)) <= 100
    assert lines[-1] == "... 1,225 more rows, 27 columns more"
    assert "1,225 more rows" in card.as_html()
    with pytest.raises(NotImplementedError):
        repr(Shown())


def test_names_of_wide_characters_keep_a_card_in_line():
    wide = "\u5c42" * 60
    card = Card(wide, [("file", wide)] * 3, ("name", "n"), [(wide, "1"), ("x", "2")], note=wide * 3)
    lines = card.as_text().splitlines()
    assert max(map(n_cells, lines)) <= 100
    assert len({n_cells(line) for line in lines if line.endswith(("  1", "  2"))}) == 1


def test_nodes_by_name():
    model = long_model(2)
    assert model["n1"] is model.nodes["n1"] and "n1" in model and "x" not in model
    assert list(model) == list(model.nodes)
    assert model.summary().columns["node"] == ["in", "d0", "n0", "d1", "n1", "back", "end", "out"]
    assert model.summary().columns["weights"] == [0, 9, 0, 9, 0, 9, 9, 0]
    with pytest.raises(eventsim.ModelError, match="the model: no node 'x'; there are: 'in', 'n0', 'n1', 'd0'"):
        model["x"]


def test_a_table_shows_its_units_of_undefined_numbers():
    found = Table({"a_rate": np.array([0.5, np.nan]), "n": np.arange(2)}, title="two")
    assert repr(found).splitlines()[0] == "two" and found.as_text().splitlines()[-1].split() == ["-", "1"]
    assert len(Table({})) == 0 and "rows 0" in repr(Table({}))
    assert Readout  # a node's own repr is one line
    assert len(repr(Dense(np.ones((200, 300)))).splitlines()) == 1
