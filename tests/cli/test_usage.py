"""Faults of what is given: each is one line that names the option or file, and the remedy."""

import json
import subprocess
import sys
from importlib import import_module

import numpy as np
import pytest
from command import DATA, MODEL, assert_one_line
from processes import environment, python

import eventsim
from eventsim import Dense, EventBins, Flatten, Input, Neuron
from eventsim.cli import main
from eventsim.cli.arguments import size
from eventsim.errors import EventsimError


@pytest.fixture(scope="module")
def run_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("usage") / "run.h5"
    recorded = ["--record", "spikes", "--record", "potentials"]
    assert main(["run", MODEL, DATA, "--limit", "8", *recorded, "--out", str(path)]) == 0
    return path


@pytest.fixture(scope="module")
def events(tmp_path_factory):
    """(model of events, recording)"""
    folder = tmp_path_factory.mktemp("events")
    nodes = {"in": Input((2, 4, 4), bits=8, events=EventBins(1000, sensor_size=(4, 4))), "flat": Flatten(),
             "fc": Dense(np.ones((2, 32))), "out": Neuron()}
    names = ("a class of a long name", "another")
    eventsim.save(eventsim.Model(nodes, list(zip(nodes, list(nodes)[1:])), class_names=names), folder / "net.h5")
    (folder / "walk.csv").write_text("t,x,y,p\n" + "".join(f"{100 * i},{i % 4},{i % 3},1\n" for i in range(200)))
    return folder / "net.h5", folder / "walk.csv"


# ---- options


@pytest.mark.parametrize("options, name", [
    ("--limit 5 --limit 6", "--limit"), ("--limit 5 --lim=6", "--limit"), ("--out a.h5 --out b.h5", "--out"),
    ("--precision float64 --precision int8", "--precision"), ("--preset norse --preset sinabs", "--preset"),
    ("--crop 0,0,1,1 --crop 1,1,1,1", "--crop"),
    ("--input-is-bias --no-input-is-bias", "--input-is-bias/--no-input-is-bias"),
])
def test_an_option_given_twice(refused, options, name):
    assert refused("run", MODEL, DATA, *options.split()) == f"{name} is given twice"


def test_what_gathers_and_what_only_says_so_may_be_repeated(run, tmp_path):
    out = tmp_path / "run.h5"
    recorded = ("--record", "spikes", "--record", "outputs")
    assert run("run", MODEL, DATA, "--limit", 2, *recorded, "--out", out, "-q", "-q")[0] == 0
    assert run("stats", out, "--table", "layers", "--table", "steps", "--json", "--json")[0] == 0


@pytest.mark.parametrize("behind, message", [
    ("bits=4@bits=8", "bits is given twice"), ("bits=4,bits=8", "bits is given twice"),
    ("norse@sinabs", "preset is given twice"), ("reset=1=zero,1=soft", "reset names node '1' twice"),
])
def test_an_option_given_twice_behind_a_model(run, behind, message):
    assert_one_line(*run("diff", f"net.nir@{behind}", MODEL, DATA), f"net.nir@{behind}: {message}")


def test_a_node_named_twice(refused):
    assert refused("run", MODEL, DATA, "--reset", "1=hard,2=soft,1=soft") == (
        "--reset: '1=hard,2=soft,1=soft' names node '1' twice")


@pytest.mark.parametrize("option, value", [("--orient", "-x,y"), ("--crop", "-1,0,3,3"), ("--memory-limit", "-5M"),
                                           ("--orien", "-x,y")])
def test_a_value_that_begins_like_an_option(refused, option, value):
    assert refused("run", MODEL, DATA, option, value).endswith(
        f" takes a value that begins with - behind =: {option}={value}")


@pytest.mark.parametrize("words", [["--limit"], ["--limit", "-q"], ["--limit", "--json"], ["--limit", "-qv"]])
def test_a_value_that_is_not_there(refused, words):
    assert refused("run", MODEL, DATA, *words) == "--limit needs a value behind it"


def test_sizes(refused):
    assert [size(text) for text in ("7", "2k", "2K", "3m", "3M", "4g", "4G", "0005k")] == [
        7, 2000, 2000, 3 * 10**6, 3 * 10**6, 4 * 10**9, 4 * 10**9, 5000]
    for wrong in ("foo", "1T", "1.5G", "0", "k", "9" * 30, "\u0663k"):
        message = refused("run", MODEL, DATA, "--memory-limit", wrong)
        assert message.startswith("--memory-limit: ") and message.endswith(
            "is no size, expected a whole number of bytes from 1 to 2^62, which may have k, M or G behind it, "
            "such as 500M")


LIMIT = "there is no option --limit, which is an option of eventsim run, diff and bench"


@pytest.mark.parametrize("words, message", [
    (["bench", MODEL, "--workers", 3], "there is no option --workers, which is an option of eventsim run"),
    (["check", MODEL, "--limit", 3], LIMIT), (["stream", MODEL, DATA, "--limit", 3], LIMIT),
    (["info", MODEL, "--crop", 3],
     "there is no option --crop, which is an option of eventsim run, stream and diff"),
    (["stats", MODEL, "--preset", "x"],
     "there is no option --preset, which is an option of eventsim info, check, run, "
                                        "stream, convert, bench and warmup"),
    (["check", MODEL, "--nothing"], "there is no option --nothing"),
    (["run", MODEL, DATA, "--LIMIT", 3], "there is no option --LIMIT, did you mean --limit?"),
    (["run", MODEL, DATA, "--precision", "INT8"], "--precision cannot be 'INT8', did you mean int8?"),
    (["run", MODEL, DATA, "--precision", "none"],
     "--precision cannot be 'none': there are float32, float64, int8, "
                                                  "fixed"),
    (["RUN", MODEL, DATA], "'RUN' is no command, did you mean run?"),
])
def test_only_what_is_near_is_suggested(refused, words, message):
    assert refused(*words) == message


# ---- plots


@pytest.mark.parametrize("kind, option",
                         [("raster", "--neuron"), ("membranes", "--neuron"), ("intervals", "--neuron"),
                                          ("rates", "--sample"), ("confusion", "--layer")])
def test_a_plot_refuses_what_it_does_not_take(refused, run_file, tmp_path, kind, option):
    assert refused("plot", run_file, kind, option, "0", "-o", tmp_path / "a.png").startswith(
        f"{option} is no option of {kind}, only of ")
    assert not list(tmp_path.iterdir())


def test_a_plot_says_which_there_are(run, run_file):
    from eventsim.plots.of_runs import taking

    assert_one_line(*run("plot", run_file, "traces", "--neuron", 99999), "no neuron 99999",
                    "choose one from 0 to ")
    for kind in taking("sample"):
        assert_one_line(*run("plot", run_file, kind, "--sample", 8), "no sample 8; there are 8, counted from 0")


def test_what_plots_take_they_look_at(run_file):
    """What a kind takes, it refuses where it is absurd; what it does not take, always."""
    from eventsim.plots import KINDS

    absurd = {"layers": ["nothing"], "sample": 10**6, "neurons": [10**6]}
    with eventsim.open_run(run_file) as opened:
        for kind, draw in KINDS.items():
            for argument, value in absurd.items():
                with pytest.raises(EventsimError) as refused:
                    draw(opened, **{argument: value})
                assert f"{argument} is no argument of" in str(refused.value) or argument in draw.takes


# ---- files


@pytest.mark.parametrize("command, name", [
    (["run", MODEL], "-dash.npz"), (["run", MODEL, DATA], "-dash.npz"), (["info"], "--dash"), (["stats"], "-q.h5"),
    (["convert", MODEL], "-v.nir"), (["run", MODEL], "-nowhere.npz"),
])
def test_a_name_that_begins_like_an_option(refused, monkeypatch, tmp_path, command, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "-dash.npz").touch()
    (tmp_path / "--dash").touch()
    message = f"{name!r} is taken for an option: a name that begins with - is written ./{name}"
    assert refused(*command, name) == message


def test_a_missing_name_is_still_missing(refused):
    assert refused("run", MODEL, "--limit=3", "-q") == "DATA is missing"


def test_an_empty_file_to_write(run):
    for words in (("run", MODEL, DATA, "--out"), ("bench", MODEL, "--trace"), ("stats", MODEL, "--csv")):
        assert_one_line(*run(*words, ""), f"{words[-1]} '' is no name of a file to write")


@pytest.mark.parametrize("option", ["--energy", "--chip", "--record", "--encode", "--columns"])
def test_an_empty_value(refused, option):
    assert refused("run", MODEL, DATA, option, "") == f"{option} is empty: give a value, or leave it out"


@pytest.mark.parametrize("words", [["info", ""], ["run", MODEL, ""], ["stats", ""], ["convert", MODEL, ""]])
def test_an_empty_name(refused, words):
    assert refused(*words).endswith(" is an empty name")


def test_a_source_that_is_no_recording(run, events, tmp_path):
    model, recording = events
    assert_one_line(*run("stream", model, tmp_path / "e.csv"), f"{tmp_path / 'e.csv'}: no such file\n")
    wrong = recording.with_name("wakl.csv")
    assert_one_line(*run("stream", model, wrong), f"{wrong}: no such file, did you mean {recording}?")
    assert_one_line(*run("stream", model, recording.parent),
                    f"{recording.parent}: is a folder, expected one recording "
                    f"(eventsim run takes folders); name one in it: {recording}")
    assert_one_line(*run("stream", MODEL, recording), f"{MODEL}: its input is values, not events", "eventsim run ")


def test_bench_names_the_file_that_is_at_fault(run, tmp_path):
    data = tmp_path / "steps.npz"
    np.savez(data, x=np.ones((4, 3, 1, 8, 8), np.uint8))
    assert_one_line(*run("bench", MODEL, data, "--timesteps", 5), f"eventsim: {data}: x has 3 steps")


@pytest.mark.parametrize("words",
                         [["info", "PICTURE"], ["run", "PICTURE", DATA], ["diff", "PICTURE", MODEL, DATA]])
def test_what_is_no_model_says_which_files_are(run, tmp_path, words):
    picture = tmp_path / "im.png"
    picture.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    words = [picture if word == "PICTURE" else word for word in words]
    assert_one_line(*run(*words),
                    f"{picture}: not an HDF5 file; model files are native (.h5), NIR (.nir) or lava-dl "
                    "(.net)\n")


@pytest.mark.parametrize("words, right", [
    (["run", MODEL, DATA, "--limit", 1, "--out"], ".h5"), (["report", "RUN", "-o"], ".html"),
    (["stats", "RUN", "--npz"], ".npz"), (["bench", MODEL, "--limit", 1, "--rounds", 1, "--trace"], ".json"),
])
def test_a_suffix_that_contradicts_what_is_written(run, run_file, tmp_path, words, right):
    words = [run_file if word == "RUN" else word for word in words]
    for suffix in {".npz", ".txt", ".pdf", ".CSV", ".h5"} - {right}:
        assert_one_line(*run(*words, tmp_path / f"o{suffix}"), f"o{suffix}: a", f"name it o{right}\n")
    assert_one_line(*run(*words, "-"), "-: a", "not written to standard output, but into a file",
                    f"such as out{right}")
    assert not list(tmp_path.iterdir())
    for name in ("o", "o.1", f"o{right.upper()}"):
        assert run(*words, tmp_path / name)[0] == 0 and (tmp_path / name).is_file()


# ---- what is printed


def test_a_table_of_windows_keeps_its_columns(events, monkeypatch, run):
    from eventsim.cli import stream

    for columns in (80, 40, 30):
        monkeypatch.setattr(stream, "width", lambda: columns)
        status, out, err = run("stream", *events)
        lines = out.splitlines()
        assert status == 0 and max(map(len, lines)) <= columns and (columns == 80) == ("left out" not in out)
        head = next(i for i, line in enumerate(lines) if line.startswith("until"))
        rows = lines[head + 1 : lines.index("")]
        assert len(rows) == 2 and all("a class of a..  " in row + "  " for row in rows)


@pytest.mark.parametrize("words", [["diff", "net.h5", "net.h5@int8", "test.h5", "--limit", "4"],
                                   ["convert", "net.h5", "b.h5"],
                                   ["warmup", "net.h5", "--precision", "float32"],
                                   ["bench", "net.h5", "--limit", "1", "--rounds", "1", "--trace", "trace.json"]],
                         ids=lambda words: words[0])
def test_lines_fit_a_narrow_terminal(monkeypatch, run, tmp_path, words):
    for name, path in (("net.h5", MODEL), ("test.h5", DATA)):
        (tmp_path / name).symlink_to(path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(import_module(f"eventsim.cli.{words[0]}"), "width", lambda: 40)
    status, out, err = run(*words)
    assert status in (0, 3) and err == "" and out
    assert not [line for line in out.splitlines() if len(line) > 40]


def test_json_has_no_summary_for_people(events):
    """Nor for machines on standard error: what is noted stands there, whenever the reader leaves."""
    command = f"{sys.executable} -m eventsim stream {events[0]} {events[1]} --window 1ms --json | "
    for reader in ("head -1", "(head -1; sleep 3)"):
        done = subprocess.run(["bash", "-c", command + reader], capture_output=True, text=True, env=environment())
        assert json.loads(done.stdout)["window"] == 0
        assert done.stderr == (f"eventsim: {events[1]}: its times are taken as microseconds, as whole numbers are "
                               "(time_unit says otherwise)\n")


@pytest.mark.parametrize("words", [
    ["--help"], ["run", "--help"], ["convert", "--help"], ["run", "--help-data"], ["run", MODEL, DATA, "--help"],
    ["run", MODEL], ["run", MODEL, DATA, "--limit", "x"], ["run", MODEL, DATA, "--limit", "1", "--limit", "2"],
], ids=" ".join)
def test_help_and_usage_errors_import_little(words):
    code = ("import sys\nfrom eventsim.cli import main\ntry:\n    main(sys.argv[1:])\nfinally:\n"
            "    assert not {'numpy', 'h5py'} & set(sys.modules)")
    done = python("-c", code, *words, capture_output=True)
    assert done.returncode in (0, 2) and "Traceback" not in done.stderr
