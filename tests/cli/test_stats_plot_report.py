"""The commands stats, plot and report, on files that `eventsim run --out` wrote."""

import csv
import json
import re
from contextlib import nullcontext
from pathlib import Path

import h5py
import numpy as np
import pytest

import eventsim
from eventsim import BatchNorm, Conv2d, Dense, Flatten, Input, Model, Neuron, Readout
from eventsim.cli import main
from eventsim.errors import EventsimWarning
from eventsim.report import findings, tables
from eventsim.report.page import sections
from eventsim.runs.summary import RunSummary
from document import Document

ROOT = Path(__file__).resolve().parents[2]
MODEL, DATA = str(ROOT / "data" / "digits.h5"), str(ROOT / "data" / "digits_test.h5")


@pytest.fixture
def run(capsys):
    """Run main; returns (status, standard output, standard error)."""

    def call(*arguments):
        status = main([str(a) for a in arguments])
        return (status, *capsys.readouterr())

    return call


@pytest.fixture
def done(run):
    """Run main, which has to succeed; returns standard output."""

    def call(*arguments):
        status, out, err = run(*arguments)
        assert (status, err) == (0, "")
        return out

    return call


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """The file of a run of 100 samples, with recorded spikes and potentials."""
    path = tmp_path_factory.mktemp("digits") / "digits_run.h5"
    assert main(["run", MODEL, DATA, "--limit", "100", "--record", "spikes", "--record", "potentials", "--out",
                 str(path)]) == 0
    return path


def assert_one_line(result, *parts):
    status, out, err = result
    assert status == 1 and out == ""
    assert err.startswith("eventsim: ") and err.endswith("\n") and err.count("\n") == 1, err
    for part in parts:
        assert str(part) in err


# ---- stats


def test_stats_prints_facts_findings_and_layers(done, digits):
    out = done("stats", digits)
    assert out.startswith(
        f"{MODEL} on {DATA}\n100 of 100 samples (100.00 %) are predicted correctly in 2 steps of float32.")
    rows = [line.split()[0] for line in out[out.index("layers: spikes"):].splitlines()[4:] if line]
    assert rows[0] == "input" and rows[-1] == "readout" and {"neuron1", "neuron2", "neuron3"} <= set(rows)
    assert max(map(len, out.splitlines())) < 250


def test_stats_of_the_run(done, digits):
    lines = done("stats", digits, "--table", "run").splitlines()
    assert f"model: {MODEL}" in lines and "samples: 100" in lines
    assert [line for line in lines if line.startswith("made_numba: ")]


def test_stats_of_one_table_and_layer(done, digits):
    out = done("stats", digits, "--table", "levels", "--layer", "neuron2")
    lines = out.splitlines()
    assert lines[0].startswith("levels") and [line.split()[:2] for line in lines[4:]] == [
        ["neuron2", str(level)] for level in range(4)]


def test_stats_json_is_every_table(done, digits):
    printed = json.loads(done("stats", digits, "--json"))
    assert printed["run"] == str(digits)
    assert {"run", "layers", "levels", "samples", "confusion", "membranes"} <= set(printed["tables"])
    assert not {"neurons", "correlations"} & set(printed["tables"])  # ten thousands of rows, unless asked for
    neurons = json.loads(done("stats", digits, "--json", "--table", "neurons"))["tables"]["neurons"]
    assert len(neurons["rows"]) == 64 + 1024 + 512 + 48
    layers = printed["tables"]["layers"]
    assert dict(zip(layers["columns"], layers["rows"][1]))["layer"] == "neuron1"
    only = json.loads(done("stats", digits, "--json", "--table", "steps"))
    assert list(only["tables"]) == ["steps"] and len(only["tables"]["steps"]["rows"]) == 2


def test_stats_csv(done, digits, tmp_path):
    folder = tmp_path / "new" / "folder"
    written = done("stats", digits, "--csv", folder).split()
    assert sorted(Path(path).name for path in written) == sorted(path.name for path in folder.iterdir())
    with eventsim.open_run(digits) as opened:
        expected = tables.tables(opened)
    for name, table in expected.items():
        rows = list(csv.reader((folder / f"{name}.csv").read_text("utf-8").splitlines()))
        assert rows[0] == list(table.columns) and len(rows) == len(table) + 1
    units = {(table, column): unit for table, column, unit in csv.reader(open(folder / "columns.csv"))}
    assert units["layers", "energy"] == "J/sample" and units["layers", "neurons"] == ""


def test_stats_csv_says_what_it_wrote(done, digits, tmp_path):
    printed = json.loads(done("stats", digits, "--csv", tmp_path, "--table", "layers", "--json"))
    assert printed == {"run": str(digits),
                       "written": [str(tmp_path / "layers.csv"), str(tmp_path / "columns.csv")], "notes": []}


def test_stats_csv_leaves_no_table_of_another_run(run, done, digits, tmp_path):
    """Tables that a run does not have do not stay beside its own; what is not ours does."""
    unlabelled, folder = tmp_path / "unlabelled.h5", tmp_path / "tables"
    x = np.random.default_rng(0).integers(0, 17, (4, 1, 8, 8))
    eventsim.save_run(eventsim.Simulator(eventsim.load(MODEL)).run(x, record="statistics"), unlabelled)
    done("stats", digits, "--csv", folder)
    (folder / "notes.csv").write_text("mine\n")
    status, out, err = run("stats", unlabelled, "--csv", folder)
    assert status == 0 and err.startswith(f"eventsim: {folder}: removed ") and err.count("\n") == 1
    assert all(f"{name}.csv" in err for name in ("confusion", "classes", "class_rates"))
    assert {path.name for path in folder.iterdir()} == {*(Path(path).name for path in out.split()), "notes.csv"}
    done("stats", unlabelled, "--csv", folder)  # nothing to remove, nothing to say
    status, out, err = run("stats", digits, "--csv", folder, "--table", "confusion")
    assert status == 0 and f"eventsim: {folder}: keeps " in err and "rates.csv" in err
    listed = {row[0] for row in csv.reader((folder / "columns.csv").read_text("utf-8").splitlines()[1:])}
    written = {path.name for path in folder.iterdir()} - {"columns.csv", "notes.csv"}
    assert {f"{name}.csv" for name in listed} == written
    (folder / "confusion.csv").write_text("not,as,it,was,written\n")
    done("stats", unlabelled, "--csv", folder)
    assert (folder / "confusion.csv").exists()


@pytest.mark.parametrize("name, text", [("samples", "mine\n"), ("neurons", ""), ("columns", "table,mine\n")])
@pytest.mark.parametrize("exported", [False, True])
def test_stats_csv_spares_what_it_did_not_write(run, done, digits, tmp_path, name, text, exported):
    """A file of the user's with the name of one of ours, whether or not there was an export before."""
    if exported:
        done("stats", digits, "--csv", tmp_path)
    theirs = tmp_path / f"{name}.csv"
    theirs.write_text(text)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    status, out, err = run("stats", digits, "--csv", tmp_path)
    assert (status, out) == (1, "") and err.startswith(f"eventsim: {theirs}: was not written by eventsim")
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    theirs.unlink()
    done("stats", digits, "--csv", tmp_path)
    (tmp_path / "columns.csv").unlink(missing_ok=True)  # then by the header
    done("stats", digits, "--csv", tmp_path)


def test_stats_npz(done, digits, tmp_path):
    done("stats", digits, "--npz", tmp_path / "digits.npz")
    with np.load(tmp_path / "digits.npz") as arrays, eventsim.open_run(digits) as opened:
        train = opened.statistics.trains["neuron2"]
        neurons = arrays["neurons"]
        assert np.array_equal(neurons["events"][neurons["layer"] == "neuron2"], train.events)
        assert arrays["samples"].shape == (100,)


def test_stats_of_a_table_without_rows(done, digits):
    assert done("stats", digits, "--table", "findings", "--layer", "readout") == (
        "no findings about readout or the network as a whole\n")


@pytest.mark.parametrize("table", ["classes", "confusion", "class_rates"])
@pytest.mark.parametrize("labels, record, reasons", [
    (None, "outputs", {"": "there are no labels"}),
    ([7, 8], "outputs", {"": "no label is a class of the model", "class_rates": None}),
    ([0, 1], (), {"": "the answers after each step were not kept", "class_rates": None}),
])
def test_stats_say_why_a_table_is_empty(done, tmp_path, table, labels, record, reasons):
    model = Model({"in": Input((3,)), "out": Readout()}, [("in", "out")], timesteps=2)
    recording = eventsim.Simulator(model).run(np.eye(3, dtype=int)[:2], record=record)
    expect = pytest.warns(EventsimWarning, match="2 of 2 labels are none") if labels == [7, 8] else nullcontext()
    with expect:
        eventsim.save_run(recording, tmp_path / "run.h5", labels)
    reason = reasons.get(table, reasons[""])
    expected = f"{tmp_path / 'run.h5'}: nothing for the table {table}" + (f": {reason}" if reason else "")
    assert done("stats", tmp_path / "run.h5", "--table", table).rstrip() == expected


def test_stats_of_a_layer_keep_what_is_wrong_with_the_network(done, tmp_path):
    x, y = np.zeros((23, 4), np.uint8), np.arange(23) % 2
    model = Model({"in": Input((4,)), "n": Neuron(), "d": Dense(np.ones((2, 4))), "out": Readout()},
                  [("in", "n"), ("n", "d"), ("d", "out")], timesteps=2)
    eventsim.save_run(eventsim.Simulator(model).run(x, record="statistics"), tmp_path / "run.h5", y)
    for layer in ("n", "in"):
        out = done("stats", tmp_path / "run.h5", "--layer", layer)
        assert "fault: All 23 samples are predicted as class 0" in out and f"{layer} " in out
    assert "n never fires" not in out  # which is not about the input


def test_stats_of_some_layers_are_of_those_only(run, done, digits, tmp_path, capsys):
    for name in ("steps", "confusion", "samples", "run", "classes"):
        with pytest.raises(SystemExit) as ended:
            main(["stats", str(digits), "--table", name, "--layer", "neuron2"])
        assert ended.value.code == 2
        err = capsys.readouterr().err
        assert f"--layer is no option of the table {name}, only of findings, layers, levels" in err
    printed = json.loads(done("stats", digits, "--layer", "neuron2", "--json"))["tables"]
    for table in printed.values():
        assert {dict(zip(table["columns"], row))["layer"] for row in table["rows"]} == {"neuron2"}
    assert {"layers", "levels", "rates", "membranes"} <= set(printed)
    done("stats", digits, "--csv", tmp_path)
    status, out, err = run("stats", digits, "--csv", tmp_path, "--layer", "neuron2")
    assert status == 0 and "keeps " in err and "samples.csv" in err and (tmp_path / "samples.csv").exists()
    assert_one_line(run("stats", digits, "--table", "levels", "--layer", "zz"), digits, "no layer 'zz'")


def test_stats_show_the_products_of_real_valued_input(done, digits, tmp_path):
    model = Model({"in": Input((4,), encoding="real"), "d": Dense(np.eye(4)), "n": Neuron(),
                   "o": Dense(np.ones((2, 4))), "out": Readout()},
                  [("in", "d"), ("d", "n"), ("n", "o"), ("o", "out")], timesteps=2)
    x = np.random.default_rng(0).normal(size=(8, 2, 4)) * (np.arange(4) > 0)
    eventsim.save_run(eventsim.Simulator(model).run(x, record="statistics"), tmp_path / "run.h5", np.arange(8) % 2)
    out = done("stats", tmp_path / "run.h5", "--table", "layers")
    head, _, *rows = [re.split(" {2,}", line) for line in out.splitlines()[2:]]
    assert "macs" in head and "  macs  " not in done("stats", digits, "--table", "layers")
    cells = {row[0]: dict(zip(head, row)) for row in rows}
    # 3 values that are not 0, 4 synapses, 2 steps
    assert (cells["in"]["rate"], cells["n"]["macs"]) == ("0.75", "24")


def test_names_do_not_steer_the_terminal(done, digits, tmp_path):
    path = tmp_path / "hostile.h5"
    path.write_bytes(digits.read_bytes())
    with h5py.File(path, "r+") as file:
        summary = json.loads(file["summary"].asstr()[()])
        del file["summary"]
        energy = {"layers": [{"name": "\x1b[31m\nlayer", "total": 2.0, "ann_total": 1.0}]}
        file["summary"] = json.dumps({**summary, "model": "\x1b]0;title\x07", "energy": energy})
    for out in (done("stats", path), done("stats", path, "--table", "run"), done("report", path)):
        assert not [c for c in out if not c.isprintable() and c != "\n"]


# ---- plot


def test_plot_names_its_kinds(done, digits):
    kinds = done("plot", digits, "list").split()
    assert {"raster", "rates", "levels", "planes", "operations", "membranes", "accuracy"} <= set(kinds)
    assert json.loads(done("plot", digits, "list", "--json")) == {"kinds": kinds}


def test_plot_is_named_after_run_and_kind(done, digits):
    out = done("plot", digits, "rates")
    assert out == f"{digits.with_name('digits_run-rates.png')}\n"
    assert digits.with_name("digits_run-rates.png").read_bytes().startswith(b"\x89PNG")


def test_plot_of_a_layer_and_a_sample(done, digits, tmp_path):
    path = tmp_path / "raster.svg"
    printed = json.loads(done("plot", digits, "raster", "-o", path, "--layer", "neuron3", "--sample", 7, "--json"))
    assert printed == {"run": str(digits), "kind": "raster", "written": [str(path)]}
    assert "neuron3" in path.read_text() and "neuron2" not in path.read_text()
    other = tmp_path / "other.svg"
    done("plot", digits, "raster", "-o", other, "--layer", "neuron3", "--sample", 8)
    assert path.read_bytes() != other.read_bytes()


def test_plot_of_single_neurons(done, digits, tmp_path):
    path = tmp_path / "traces.svg"
    done("plot", digits, "traces", "-o", path, "--layer", "neuron3", "--neuron", 5, "--neuron", 11)
    assert "neuron 5" in path.read_text() or ">5<" in path.read_text()


def test_plots_that_cannot_be(run, digits, tmp_path):
    assert_one_line(run("plot", digits, "rates", "--layer", "neuron9"), digits, "no layer 'neuron9'", "neuron1")
    assert_one_line(run("plot", digits, "raster", "--sample", 100), digits, "no sample 100; there are 100")
    assert_one_line(run("plot", digits, "rates", "-o", tmp_path / "rates.bmp"), "rates.bmp", ".png")
    assert_one_line(run("plot", digits, "rates", "-o", tmp_path / "no" / "rates.png"), "No such file")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(SystemExit) as ended:
        main(["plot", str(digits), "raster", "--sample", "-1"])
    assert ended.value.code == 2


# ---- report


def test_report_is_named_after_the_run_and_tells_the_findings(done, digits):
    out = done("report", digits)
    path = digits.with_name("digits_run.html")
    assert out.startswith(f"{path}\n")
    document = Document(path.read_text("utf-8"))
    assert "digits.h5 on digits_test.h5" in document.text and "of 100 samples" in document.text
    with eventsim.open_run(digits) as opened:
        for finding in findings.find(opened):
            assert finding.sentence in document.text.replace("\u00b5J", "uJ")
            assert finding.sentence in " ".join(out.split())


def test_report_json(done, digits, tmp_path):
    path = tmp_path / "r.html"
    printed = json.loads(done("report", digits, "-o", path, "--json"))
    assert printed["written"] == [str(path)] and printed["bytes"] == path.stat().st_size < 5_000_000
    assert isinstance(printed["findings"], list)


def test_a_report_replaces_the_old_one_whole_or_not_at_all(run, digits, tmp_path, monkeypatch):
    path = tmp_path / "r.html"
    path.write_text("old")
    monkeypatch.setattr("os.replace", lambda *names: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    assert_one_line(run("report", digits, "-o", path), path, "No space left")
    assert path.read_text() == "old" and [p.name for p in tmp_path.iterdir()] == ["r.html"]


@pytest.mark.parametrize("record", ((), ("spikes",), ("spikes", "outputs")))
def test_a_saved_recording_has_a_report_too(done, tmp_path, record):
    """`save_run` writes the summary, and statistics of what was recorded: what there is, is shown."""
    path = tmp_path / "saved.h5"
    with h5py.File(DATA) as file:
        x, y = file["x"][:20], file["y"][:20]
    eventsim.save_run(eventsim.Simulator(eventsim.load(MODEL)).run(x, record=record), path, y)
    assert done("report", path).splitlines()[0] == str(tmp_path / "saved.html")
    text = Document((tmp_path / "saved.html").read_text("utf-8")).text
    assert "20 of 20 samples" in text and "saved.h5" in text and "neuron2" in text
    assert ("How often neurons fire" in text) == ("spikes" in record)
    assert "neuron2" in done("stats", path)


def test_nothing_replaces_what_it_is_made_from(run, digits, tmp_path):
    before = digits.read_bytes()
    linked = tmp_path / "run.npz"
    linked.hardlink_to(digits)
    for command in (["report", digits, "-o", digits], ["stats", digits, "--npz", linked],
                    ["run", MODEL, digits, "--out", linked]):
        assert_one_line(run(*command), "is what is read, and would be replaced; give another name")
    assert digits.read_bytes() == before


def test_samples_looked_at_closely_are_counted_once(run, tmp_path):
    for kind in ("statistics", "intervals", "membranes"):
        result = run("run", MODEL, DATA, "--record", kind, "--out", tmp_path / "run.h5")
        assert_one_line(result, f"--record {kind} is not needed", "--detailed")
    assert list(tmp_path.iterdir()) == []


def test_a_number_of_samples_is_whole(capsys):
    for number in ("-3", "x", "1.5"):
        with pytest.raises(SystemExit):
            main(["run", MODEL, DATA, f"--detailed={number}", "--out", "run.h5"])
        assert f"eventsim: --detailed: '{number}' is not a whole number from 0 on" in capsys.readouterr().err


def test_recorded_pools_have_rasters(run, done, tmp_path):
    path = tmp_path / "run.h5"
    done("run", MODEL, DATA, "--limit", 4, "--record", "spikes:pool1", "--out", path)
    done("plot", path, "raster", "--layer", "pool1", "-o", tmp_path / "pool.png")
    assert_one_line(run("plot", path, "raster", "--layer", "pool9"), "no layer 'pool9'")


def test_membranes_of_a_model_without_neurons(run, done, tmp_path):
    eventsim.save(eventsim.Model({"input": Input((4,)), "dense": Dense(np.ones((2, 4))), "out": Readout()},
                   [("input", "dense"), ("dense", "out")], 3), tmp_path / "net.h5")
    np.savez(tmp_path / "data.npz", x=np.ones((2, 3, 4), np.uint8))
    done("run", tmp_path / "net.h5", tmp_path / "data.npz", "--out", tmp_path / "run.h5")
    for kind in ("membranes", "drift"):
        assert_one_line(run("plot", tmp_path / "run.h5", kind), "membranes are kept of layers of Neuron")


# ---- what is no run, or a damaged one


@pytest.mark.parametrize("command", (["stats"], ["plot", "rates"], ["report"]))
def test_what_is_no_run(run, tmp_path, command):
    name, *kind = command
    assert_one_line(run(name, tmp_path / "missing.h5", *kind), "missing.h5: cannot be read (No such file")
    assert_one_line(run(name, tmp_path, *kind), f"{tmp_path}: cannot be read (Is a directory)")
    assert_one_line(run(name, MODEL, *kind), MODEL, "eventsim run --out")
    (tmp_path / "text.h5").write_text("text")
    assert_one_line(run(name, tmp_path / "text.h5", *kind), "text.h5")
    assert not list(tmp_path.glob("*.html")) and not list(tmp_path.glob("*.png"))


def places(value, place=()):
    """Where everything inside a summary is, the whole included: keys and indices."""
    yield place
    if isinstance(value, (dict, list)):
        inner = value.items() if isinstance(value, dict) else enumerate(value[:2])
    else:
        inner = ()
    for key, one in inner:
        yield from places(one, (*place, key))


def replaced(value, place, other):
    if not place:
        return other
    copied = dict(value) if isinstance(value, dict) else list(value)
    copied[place[0]] = replaced(value[place[0]], place[1:], other)
    return copied


MORE = {  # what not every run has
    "chip": "chip",
    "conventions": {"tools": {"sinabs": {"synops": {"unit": "1", "differs": "not", "total": 3.0}}}},
    "audit": {"neuron1": {"membrane": {"overflows": 3, "bits": 8, "bits_needed": 9, "overflow": "wrap"},
                          "weights": 9, "clipped_weights": 1, "zeroed_weights": 3}},
    "energy": {"table": "t", "baseline": "b",
               "total": {"total": 2e-9, "ann_total": 1e-9, "rate": 0.3, "crossing_rate": 0.1},
               "layers": [{"name": "neuron1", "total": 2e-9, "ann_total": 1e-9, "rate": 0.3,
                           "crossing_rate": None}]},
}


def test_a_damaged_summary_is_an_error_of_one_line_or_no_error(digits):
    """Every value of the summary, replaced by values of other types."""
    refused = read = 0
    with eventsim.open_run(digits) as opened:
        sound = {**opened.summary.to_json(), **MORE}
        for place in places(sound):
            for other in (None, "text\n<b>", 3.5, float("nan"), [], {}, [None], [[]], {"a": None}):
                if not place and not isinstance(other, dict):
                    continue  # `open_run` refuses it
                try:
                    opened.summary = RunSummary.from_json(replaced(sound, place, other), opened.path)
                except eventsim.DataError as error:
                    assert str(error).startswith(f"{digits}: damaged: ") and "\n" not in str(error)
                    refused += 1
                    continue
                read += 1
                for name in ("findings", "run", "layers", "classes"):
                    json.dumps(tables.table(opened, name).as_json(), allow_nan=False)
                run_findings = findings.find(opened)
                for section in (sections.numbers, sections.how, sections.result, sections.title):
                    section(opened)
                sections.layers(opened, run_findings), sections.findings(opened, run_findings)
    assert refused > 300 and read > 300


def test_a_damaged_summary_is_told_by_every_command(run, digits, tmp_path):
    path = tmp_path / "damaged.h5"
    path.write_bytes(digits.read_bytes())
    with h5py.File(path, "r+") as file:
        summary = json.loads(file["summary"].asstr()[()])
        del file["summary"]
        file["summary"] = json.dumps({**summary, "nodes": [{"name": 3}]})
    for name, *kind in (["stats"], ["plot", "rates"], ["report"]):
        assert_one_line(run(name, path, *kind), f"{path}: damaged: 'summary.nodes.0' has no 'kind'")


# ---- planted faults, from model to sentence


def network(conv=0.4, dense=0.2, bits=1, threshold=0.5, bias=0.0):
    rng = np.random.default_rng(0)
    nodes = {
        "input": Input((1, 8, 8), encoding="image", bits=4, scale=1 / 15),
        "conv": Conv2d(rng.normal(0, conv, (8, 1, 3, 3)), padding=1),
        "norm": BatchNorm(np.ones(8), np.full(8, bias), np.zeros(8), np.ones(8)),
        "first": Neuron(v_threshold=threshold, bits=bits),
        "flat": Flatten(),
        "dense": Dense(rng.normal(0, dense, (20, 512))),
        "second": Neuron(v_threshold=0.5),
        "last": Dense(rng.normal(0, 0.5, (4, 20))),
        "readout": Readout(reduce="mean"),
    }
    names = list(nodes)
    return Model(nodes, list(zip(names, names[1:])), timesteps=8)


def sparse_network():
    """Events at one synapse in twenty: cheaper than dense. A class is its own quarter of the input."""
    rng = np.random.default_rng(0)
    quarters = np.kron(np.eye(4), np.ones((64, 64)))
    nodes = {
        "input": Input((256,)),
        "dense1": Dense(quarters * rng.uniform(0, 0.045, (256, 256))),
        "first": Neuron(v_threshold=1.0),
        "dense2": Dense(np.kron(np.eye(4), np.full((64, 64), 0.012))),
        "second": Neuron(v_threshold=0.25, quantum=0.25, bits=2),
        "last": Dense(np.kron(np.eye(4), np.full((1, 64), 0.1))),
        "readout": Readout(reduce="mean"),
    }
    names = list(nodes)
    return Model(nodes, list(zip(names, names[1:])), timesteps=8)


def sparse_data():
    """x, y: events mostly in the quarter that is the sample's class."""
    rng = np.random.default_rng(1)
    y = np.arange(128) % 4
    rates = np.where(np.arange(256)[None, :] // 64 == y[:, None], 0.2, 0.01)
    return rng.random((128, 8, 256)) < rates[:, None], y


def kinds_of(tmp_path, done, model, x=None, y=np.arange(64) % 4):
    """{(kind, layer)} that the report finds, and says."""
    eventsim.save(model, tmp_path / "net.h5")
    x = np.random.default_rng(1).integers(0, 16, (64, 1, 8, 8)) if x is None else x.astype(np.uint8)
    np.savez(tmp_path / "data.npz", x=x, y=y)
    done("run", tmp_path / "net.h5", tmp_path / "data.npz", "--out", tmp_path / "run.h5")
    printed = json.loads(done("report", tmp_path / "run.h5", "--json"))["findings"]
    text = Document((tmp_path / "run.html").read_text("utf-8")).text
    assert all(finding["sentence"] in text.replace("\u00b5J", "uJ") for finding in printed)
    return {(finding["kind"], finding["layer"]) for finding in printed}


def test_a_sound_network_has_no_finding(tmp_path, done):
    assert kinds_of(tmp_path, done, sparse_network(), *sparse_data()) == set()
    run = eventsim.open_run(tmp_path / "run.h5")
    assert run.statistics.decisions.accuracy > 0.95 and run.summary.energy.total.total > 0


def test_a_layer_denser_than_the_crossing(tmp_path, done):
    x, y = sparse_data()
    x[:, :, ::2] = True  # half of the input at every step
    kinds = kinds_of(tmp_path, done, sparse_network(), x, y)
    assert ("denser_than_crossing", "first") in kinds
    assert ("dead_layer", "first") not in kinds


@pytest.mark.parametrize("fault, expected", (
    (dict(threshold=1000.0), ("dead_layer", "first")),
    (dict(conv=5.0, bits=2, bias=3.0), ("saturated_top_bit", "first")),
    (dict(bias=100.0), ("saturated", "first")),
    (dict(bias=100.0), ("exploding_membrane", "first")),
    (dict(bias=-2.0), ("membrane_drift", "first")),
))
def test_a_planted_fault_is_found(tmp_path, done, fault, expected):
    assert expected in kinds_of(tmp_path, done, network(**fault))
