"""What a terminal shows: lines that fit, colours, bars, compiling; help of about one screen."""

import io
import json
import os
import re
import sys
from importlib import import_module

import numpy as np
import pytest
from command import DATA, MODEL

import eventsim
from eventsim import cli
from eventsim.cli import main, screen
from eventsim.cli.completion import SHELLS
from eventsim.cli.parsing import actions_of
from eventsim.kernels import calling, compiling
from eventsim.kernels.compiling import compiled, watched

COMMANDS = next(list(action.choices) for action in actions_of(cli.parser()) if isinstance(action.choices, dict))


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self):
        return True


@pytest.fixture(scope="module")
def run_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("screen") / "run.h5"
    assert main(["run", MODEL, DATA, "--limit", "8", "--out", str(path), "-q"]) == 0
    return str(path)


@pytest.mark.parametrize("columns, arguments", (
    (80, ["info", MODEL, "--kernels", "int8"]),
    (60, ["info", MODEL, "--kernels", "int8"]),
    (60, ["check", MODEL]),
    (80, ["run", MODEL, DATA, "--limit", "8", "--energy", "horowitz_45nm", "--conventions"]),
    (60, ["run", MODEL, DATA, "--limit", "8", "--precision", "int8", "--audit"]),
    (60, ["diff", MODEL, f"{MODEL}@int8", DATA, "--limit", "4"]),
    (80, ["stats", "RUN"]),
    (60, ["stats", "RUN", "--table", "layers", "--table", "membranes", "--table", "neurons", "--table", "run"]),
    (60, ["bench", MODEL, "--limit", "4", "--rounds", "1"]),
), ids=lambda given: given[0] if isinstance(given, list) else str(given))
def test_every_line_fits_the_terminal(monkeypatch, capsys, run_file, arguments, columns):
    for module in (screen, *(import_module(f"eventsim.cli.{name}") for name in COMMANDS)):
        if hasattr(module, "width"):
            monkeypatch.setattr(module, "width", lambda: columns)
    names = {"RUN": run_file, MODEL: "net.h5", DATA: "test.h5"}
    monkeypatch.chdir(os.path.dirname(run_file))
    for name, path in (("net.h5", MODEL), ("test.h5", DATA)):
        if not os.path.exists(name):
            os.symlink(path, name)
    assert main([names.get(word, word.replace(MODEL, "net.h5")) for word in arguments]) in (0, 3)
    out = capsys.readouterr().out
    wide = [line for line in out.splitlines() if len(line) > columns and " " in line.strip()]
    assert not wide and out.count("\n") > 5


def test_pipes_take_lines_of_any_length(capsys):
    assert main(["info", MODEL]) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) > 120


@pytest.mark.parametrize("variables, coloured",
                         (({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)))
def test_colour_is_for_terminals_that_want_it(monkeypatch, variables, coloured):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    screen.print_marked("FAILED it\nok", {"FAILED": "red"})
    assert terminal.getvalue() == ("\033[31mFAILED\033[0m it\nok\n" if coloured else "FAILED it\nok\n")


def test_what_is_piped_has_no_colour(capsys):
    assert main(["check", MODEL]) == 0
    assert "\033" not in capsys.readouterr().out


@pytest.mark.parametrize("arguments, shown", ((["-q"], False), ([], True)), ids=("quiet", "loud"))
def test_bars_are_for_terminals(monkeypatch, capsys, arguments, shown):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    assert main(["run", MODEL, DATA, "--limit", "8", *arguments]) == 0
    assert ("8/8 samples" in terminal.getvalue()) is shown
    assert "8/8" not in capsys.readouterr().out


def test_verbose_says_what_is_done(capsys):
    assert main(["run", MODEL, DATA, "--limit", "8", "-v"]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) >= 3 and all(re.fullmatch(r"eventsim: .+: \d+\.\d+ s", line) for line in lines)


# ---- compiling


@pytest.mark.skipif(not calling.COMPILES, reason="the JIT is off")
def test_compiling_is_said_and_counted(monkeypatch, tmp_path):
    """Of kernels that no cache has, of which one calls the other."""
    monkeypatch.setattr(compiling, "_FOLDER", str(tmp_path))
    one = compiled(lambda x: x + 1)
    two = compiled(lambda x: one(x) + 2)
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with screen.Screen(None).compiling():
        assert two(1) == 4
    assert screen.COMPILING in terminal.getvalue() and "1/1 kernels" in terminal.getvalue()
    calls = []
    with watched(lambda done, total: calls.append((done, total))) as progress:
        assert two(1) == 4
    assert not calls and progress.compiled == 0


@pytest.mark.skipif(not calling.COMPILES, reason="the JIT is off")
def test_the_number_of_kernels_is_known_before_the_first(monkeypatch, tmp_path):
    monkeypatch.setattr(compiling, "_FOLDER", str(tmp_path))
    monkeypatch.setattr(calling, "_ADDRESSES", {})
    first = compiled(lambda x: x + 1)
    second = compiled(lambda x: x + 2)
    calls = []
    with watched(lambda done, total: calls.append((done, total))):
        addresses = calling.addresses_of([(kernel, (1,), (None,)) for kernel in (first, second, first)])
    assert calls == [(0, 2), (1, 2), (1, 2), (2, 2)] and addresses[0] == addresses[2] != addresses[1]


def test_a_model_that_was_warmed_up_compiles_nothing(run_file, capsys):
    """`run --out` compiles in the fixture what `warmup` would; of another precision nothing may be missing."""
    assert main(["warmup", MODEL, "--precision", "float32", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["compiled"] == 0
    with watched(lambda done, total: None) as progress:
        eventsim.evaluate(eventsim.Simulator(eventsim.load(MODEL)), DATA, limit=3)
    assert progress.compiled == 0


# ---- speed


def test_bench(capsys, tmp_path):
    trace = tmp_path / "trace.json"
    assert main(["bench", MODEL, "--limit", "4", "--rounds", "2", "--json", "--trace", str(trace)]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert [layer["name"] for layer in printed["layers"]] == [
        "input", "neuron1", "pool1", "neuron2", "pool2", "neuron3", "readout", "counts"]
    inside = sum(layer["seconds_per_sample"] for layer in printed["layers"])
    assert inside + printed["python_seconds_per_sample"] == pytest.approx(printed["seconds_per_sample"])
    recording = eventsim.Simulator(eventsim.load(MODEL)).run(eventsim.load(MODEL).check.x[:4])
    totals = recording.counts.totals()
    assert printed["additions_per_sample"] == (totals["executed_additions"] + totals["executed_macs"]) / 4
    assert printed["machine_additions_per_second"] > 1e8
    assert main(["bench", MODEL, "--limit", "4", "--rounds", "1"]) == 0
    text = capsys.readouterr().out
    assert " executed " in text and " additions " not in text.splitlines()[2]
    assert "counted once, where `eventsim run` counts it in each" in text
    events = json.loads(trace.read_text())["traceEvents"]
    assert {event["ph"] for event in events} == {"M", "X"}
    threads = {event["tid"]: event["args"]["name"] for event in events if event["ph"] == "M"}
    kernels = [event for event in events if event["ph"] == "X"]
    assert {threads[event["tid"]] for event in kernels} == {layer["name"] for layer in printed["layers"]}
    begins = [event["ts"] for event in kernels]
    assert begins == sorted(begins) and all(event["dur"] > 0 for event in kernels)


def test_a_recording_says_where_its_time_went():
    model = eventsim.load(MODEL)
    simulator = eventsim.Simulator(model)
    plain, timed = (simulator.run(model.check.x, record=record) for record in ((), "timing"))
    assert not plain.timing.kernels and np.array_equal(plain.output, timed.output)
    for timing in (plain.timing, timed.timing):
        parts = timing.compiled, timing.compiling, timing.python
        assert sum(parts) == pytest.approx(timing.seconds) and min(parts) >= 0
    assert sum(timed.timing.layers.values()) == pytest.approx(timed.timing.compiled)
    assert sum(timed.timing.by_kernel().values()) == pytest.approx(timed.timing.compiled)


# ---- help


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_is_about_a_screen(monkeypatch, capsys, command):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", "24")
    with pytest.raises(SystemExit):
        main([*filter(None, [command]), "--help"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 31 and max(map(len, lines)) <= 80
    assert any(line.startswith("examples:") for line in lines) and "NIR:" not in "".join(lines)


def test_options_of_formats_are_shown_for_their_files(capsys):
    for words, shown in ((["net.nir", "--help"], "--preset"), (["net.net", "--help"], "--message-bits"),
                         (["--help-formats"], "--preset")):
        with pytest.raises(SystemExit) as left:
            main(["run", *words])
        assert left.value.code == 0 and shown in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["run", MODEL, "--help"])
    assert "--preset" not in capsys.readouterr().out


@pytest.mark.parametrize("shell", SHELLS)
def test_completion_knows_every_command_and_option(capsys, shell):
    pytest.importorskip("shtab")
    with pytest.raises(SystemExit):
        main(["--completion", shell])
    script = capsys.readouterr().out
    assert all(command in script for command in COMMANDS) and "preset" in script


def test_completion_without_shtab_is_one_line(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert main(["--completion", "bash"]) == 1
    out, err = capsys.readouterr()
    assert out == "" and err == ("eventsim: completion needs the package shtab, which is not installed; run pip "
                                 "install \"eventsim-snn[completion]\"\n")
