"""Every block of the README runs, and what it shows is what it prints."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```(sh|python|text)\n(.*?)```", TEXT, re.DOTALL)
SETUP = [line for kind, block in BLOCKS if kind == "sh" for line in block.splitlines() if "venv" in line]
COMMANDS = [line for kind, block in BLOCKS if kind == "sh" for line in block.splitlines()
            if line.startswith("eventsim ")]
PYTHON = [block for kind, block in BLOCKS if kind == "python"]


def _run(command, folder):
    """A command line of the README with this interpreter's eventsim, in a copy of the layout."""
    words = shlex.split(command)
    assert words[0] == "eventsim"
    return subprocess.run([sys.executable, "-m", *words], cwd=folder, capture_output=True, text=True)


@pytest.fixture
def folder(tmp_path):
    """Where the README's paths mean the same, and what it writes does not stay."""
    os.symlink(ROOT / "data", tmp_path / "data")
    return tmp_path


def test_there_are_blocks():
    assert len(SETUP) == 2 and len(COMMANDS) >= 4 and len(PYTHON) >= 2


def _prepared(command, folder):
    """Write the run file that a command reads, as the README does."""
    if "run.h5" in shlex.split(command)[1:] and "--out" not in command:
        [writes] = [other for other in COMMANDS if other.endswith("--out run.h5")]
        assert _run(writes, folder).returncode == 0


@pytest.mark.parametrize("command", COMMANDS)
def test_commands(command, folder):
    _prepared(command, folder)
    done = _run(command, folder)
    differs = command.startswith("eventsim diff") and "@" in command
    assert done.returncode == (3 if differs else 0), done.stderr
    assert done.stdout and not done.stderr


@pytest.mark.parametrize("code", PYTHON)
def test_python(code, folder, monkeypatch):
    for library in ("torch", "snntorch"):
        if f"import {library}\n" in code:
            pytest.importorskip(library)
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(ROOT / "examples" / "trainer")  # for export.py, as if copied
    exec(compile(code, "README.md", "exec"), {})


def _without_speed(text):
    return re.sub(r"[\d.]+( k| M)? samples/s", "- samples/s", text).strip()


def test_main_job_prints_what_the_readme_shows(folder):
    shown = next(block for kind, block in BLOCKS if kind == "text")
    assert SETUP[0].startswith("python3 -m venv .venv && .venv/bin/pip install . && .venv/bin/eventsim run ")
    command = SETUP[0].split("&&")[-1].strip().replace(".venv/bin/", "")
    done = _run(command, folder)
    assert _without_speed(done.stdout) == _without_speed(shown)


def test_diff_prints_what_the_readme_shows(folder):
    [shown] = [block for kind, block in BLOCKS if kind == "text" and block.startswith("A: ")]
    [command] = [command for command in COMMANDS if command.startswith("eventsim diff")]
    assert _run(command, folder).stdout.strip() == shown.strip()


def test_stats_prints_what_the_readme_shows(folder):
    [shown] = [block for kind, block in BLOCKS if kind == "text" and "synaptic operations per sample" in block]
    [command] = [command for command in COMMANDS if command.startswith("eventsim stats")]
    _prepared(command, folder)
    assert _run(command, folder).stdout.strip() == shown.strip()


# ---- the benchmarks: scripts, what they printed, and what is said about it

BENCHMARKS = (ROOT / "examples" / "benchmarks" / "README.md").read_text()
OUTPUTS = dict(re.findall(r"<!-- output of (\S+) -->\n```text\n(.+?)\n```", BENCHMARKS, re.DOTALL))


def test_every_benchmark_has_its_output():
    assert BENCHMARKS.count("<!-- output of ") == len(OUTPUTS)
    scripts = {path.name: path for path in (ROOT / "examples").rglob("*.py")}
    assert {path.name for path in (ROOT / "examples" / "benchmarks").glob("*.py")} <= OUTPUTS.keys() <= scripts.keys()
    for name in OUTPUTS:
        shown = [line for line in BENCHMARKS.splitlines() if f"python {scripts[name].relative_to(ROOT)}" in line]
        assert shown, f"no command for {name}"


def test_floors_are_judged_by_what_was_recorded():
    """The table's ratios are those of the outputs, and it says "yes" only where they reach the floor."""
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in BENCHMARKS.splitlines()
            if re.match(r"\| (layer|net), ", line)]
    [layer] = re.findall(r"^int8 +10 %.* ([\d.]+) +([\d.]+)$", OUTPUTS["layer.py"], re.MULTILINE)
    net = {name: re.findall(rf"^eventsim {name} .*? ([\d.]+) / ([\d.]+) ", OUTPUTS["network.py"], re.MULTILINE)[0]
           for name in ("int8", "float32")}
    recorded = [layer[:1], layer[1:], net["int8"], net["float32"]]
    assert [re.findall(r"\d+\.\d+", row[1]) for row in rows] == [list(found) for found in recorded]
    for (floor, _, reached), found in zip(rows, recorded):
        times = float(re.search(r": ([\d.]+) times", floor)[1])
        verdict = {(True, True): "yes", (False, True): "at batch 16 only", (False, False): "**no**"}
        assert reached == verdict[float(found[0]) >= times, float(found[-1]) >= times]


def test_test_command_is_what_ci_runs():
    assert SETUP[1].endswith(".venv/bin/pytest")
    assert "grep -m 1 -E" in (ROOT / ".ci" / "run").read_text()
