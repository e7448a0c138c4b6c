"""The command line: `main` in this process; what depends on pipes and terminals in others."""

import fcntl
import json
import os
import pty
import select
import shutil
import struct
import subprocess
import sys
import termios
from pathlib import Path

import h5py
import numpy as np
import pytest
from command import DATA, MODEL, assert_one_line, data_file, digits
from event_files import write_nmnist
from processes import environment, python

import eventsim
from eventsim import Dense, Flatten, Input, Model, Neuron, Readout
from eventsim.cli import main
from eventsim.model.chip import find_chip
from eventsim.model.input import EventBins
from support.native_files import by_hand

LAYERS = {"input": 64, "neuron1": 1024, "neuron2": 512, "neuron3": 48, "readout": 10}

# the documented interface
KEYS = ["model", "data", "samples", "timesteps", "presented_steps", "dropped_events", "precision", "workers",
        "accuracy", "seconds", "samples_per_second", "totals", "layers", "energy"]
COUNTS = ["events", "synops", "nonzero_synops", "additions", "doublings", "macs", "multiplications",
          "neuron_updates", "dense_macs"]
EXECUTED = ["executed_synops", "executed_additions", "executed_macs"]
TOTALS = [*COUNTS, *EXECUTED, "word_operations", "energy_joule"]
ROW = ["name", "neurons", "firing_rate", "mean_level", *COUNTS, *EXECUTED]


# ---- info and check


def test_info(run):
    status, out, err = run("info", MODEL)
    assert status == 0 and err == ""
    assert out.startswith(f"{MODEL}: 12 nodes, 11.4 k weights, 2 steps, 16 check samples\n")
    model = eventsim.load(MODEL)
    for name, node in model.nodes.items():
        [line] = [line for line in out.splitlines() if line.startswith(f"{name} ")]
        assert node.kind in line and "x".join(map(str, model.shapes[name])) in line


def test_info_json(run_json):
    info = run_json("info", MODEL)
    model = eventsim.load(MODEL)
    assert info["model"] == MODEL and info["timesteps"] == 2 and info["check"] == 16
    assert info["class_names"] == list(model.class_names)
    assert [(n["name"], tuple(n["shape"])) for n in info["nodes"]] == list(model.shapes.items())
    assert info["nodes"][2]["reads"] == ["conv1"]


@pytest.mark.parametrize("precision", ("int8", "float32"))
def test_info_says_which_kernel_runs_each_path_and_why(run, run_json, precision):
    kernels = run_json("info", MODEL, "--kernels", precision)["kernels"]
    assert kernels and all(each["why"] for each in kernels)
    program = eventsim.Simulator(eventsim.load(MODEL), precision).program
    paths = [(layer.name, path) for layer in program.stages.values() if hasattr(layer, "synapses")
             for path in layer.synapses]
    assert [(each["layer"], each["source"], each["kernel"]) for each in kernels] == [
        (name, path.source, path.method) for name, path in paths]
    _, out, _ = run("info", MODEL, "--kernels", precision)
    assert f"kernels in {precision}\n" in out and all(each["why"] in out for each in kernels)


def test_info_says_which_kernels_run_under_a_chip(run, run_json, tmp_path):
    """Those of the model's own arithmetic; a model without a chip has none."""
    status, out, err = run("info", MODEL, "--kernels", "fixed")
    assert status == 1 and not out and "chip" in err and err.count("\n") == 1
    nodes = {"in": Input((4,)), "dense": Dense(np.ones((3, 4))), "fire": Neuron(2.0)}
    model = eventsim.Model(nodes, [("in", "dense"), ("dense", "fire")], timesteps=2, chip=find_chip("loihi"))
    path = tmp_path / "chip.h5"
    eventsim.save(model, path)
    kernels = run_json("info", path, "--kernels", "fixed")["kernels"]
    program = eventsim.Simulator(eventsim.load(path)).program
    assert program.precision == "fixed" and len(kernels) == sum(
        len(layer.synapses) for layer in program.stages.values() if hasattr(layer, "synapses"))


def test_check(run):
    status, out, err = run("check", MODEL)
    assert status == 0 and err == ""
    assert out.endswith(f"{MODEL}: passed\n")
    assert "FAILED" not in out and out.count("level counts of") == 3


def test_check_json(run_json):
    checked = run_json("check", MODEL)
    assert checked["passed"] is True and checked["model"] == MODEL
    assert checked["float64_output_error"] <= 1e-9
    assert checked["float32_predictions_equal"] == 16
    assert [checked[f"float64_levels_different_neuron{i}"] for i in (1, 2, 3)] == [0, 0, 0]


def test_check_json_says_what_its_text_says(run, run_json):
    checked, lines = run_json("check", MODEL), run("check", MODEL)[1].splitlines()[:-1]
    assert [f"{one['result']:<6}  {one['text']}" for one in checked["checks"]] == lines and len(lines) == 8
    assert {one["result"] for one in checked["checks"]} == {"ok", "info"}
    assert (checked["samples"], checked["output_tolerance"], checked["spike_tolerance"]) == (16, 1e-9, 1e-3)


def changed(tmp_path, change):
    """A copy of the model file after `change(file)`."""
    path = tmp_path / "changed.h5"
    shutil.copy(MODEL, path)
    with by_hand(path) as file:
        change(file)
    return path


def test_check_fails_for_one_changed_weight(run, run_json, tmp_path, capsys):
    def change(file):
        file["nodes/conv2/weight"][3, 2, 1, 1] += 0.25

    path = changed(tmp_path, change)
    status, out, err = run("check", path)
    assert status == 1 and err == ""
    assert "FAILED  float64: level counts of 'neuron2'" in out and out.endswith(f"{path}: FAILED\n")
    assert "FAILED  float64: level counts of 'neuron1'" not in out
    status = main(["check", str(path), "--json"])
    assert status == 1 and json.loads(capsys.readouterr().out)["passed"] is False


def test_nothing_to_check(run, tmp_path):
    path = changed(tmp_path, lambda file: file.pop("check"))
    status, out, err = run("check", path)
    assert status == 2 and out == ""
    message = f"eventsim: {path}: nothing to check: the file has no check group\n"
    assert err == message
    status, out, err = run("check", path, "--json")
    assert (status, err) == (2, message)
    assert json.loads(out) == {"model": str(path), "passed": None, "samples": 0, "checks": [],
                               "notes": [message.removeprefix("eventsim: ").strip()]}


# ---- run


def test_run(run):
    status, out, err = run("run", MODEL, DATA)
    assert status == 0 and err == ""
    head, _, columns, _, *rows = out.splitlines()
    assert head.startswith(f"{MODEL} on {DATA}: 9") and "of 599 samples, 2 steps, float32" in head
    assert columns.split() == ["layer", "neurons", "firing", "rate", "mean", "level", "synops", "additions",
                               "dense", "MACs", "share"]
    for (name, neurons), row in zip([*LAYERS.items(), ("total", 1658)], rows):
        assert row.split()[:2] == [name, str(neurons)]


@pytest.mark.parametrize("precision", ("float32", "float64", "int8"))
def test_run_json(run_json, precision):
    summary = run_json("run", MODEL, DATA, "--precision", precision)
    assert list(summary) == KEYS + ["weights"] * (precision == "int8") + ["notes"]
    assert [summary[k] for k in KEYS[:8]] == [MODEL, DATA, 599, 2, 1198, 0, precision, 1]
    assert summary["accuracy"] > 0.97 and summary["seconds"] > 0
    assert summary["samples_per_second"] == pytest.approx(599 / summary["seconds"])
    assert sorted(summary["totals"]) == sorted(TOTALS)
    assert {row["name"]: row["neurons"] for row in summary["layers"]} == LAYERS
    for row in summary["layers"]:
        assert sorted(row) == sorted(ROW)
        assert all(type(row[count]) is int for count in COUNTS + EXECUTED)
    for count in COUNTS + EXECUTED:
        assert type(summary["totals"][count]) is int
        assert summary["totals"][count] == sum(row[count] for row in summary["layers"])
    assert type(summary["totals"]["word_operations"]) is int
    totals = summary["totals"]
    addition, product = (0.1, 3.1) if precision == "int8" else (0.9, 3.7)  # picojoule
    additions = totals["additions"] + totals["doublings"] + totals["macs"] + totals["neuron_updates"]
    picojoule = additions * addition + (totals["macs"] + totals["multiplications"]) * product
    total = summary["energy"]["total"]
    assert total["total"] - total["memory"] == pytest.approx(1e-12 * picojoule / 599, rel=1e-9) and picojoule > 0
    assert totals["energy_joule"] == total["total"] * 599 and total["memory"] > 0  # of the run, with memory


def test_a_file_says_the_command_that_made_it(run, tmp_path):
    out = tmp_path / "a run.h5"
    assert run("run", MODEL, DATA, "--limit", 3, "--out", out)[0] == 0
    with eventsim.open_run(out) as kept:
        assert kept.summary.made.command == f"eventsim run {MODEL} {DATA} --limit 3 --out '{out}'"


def test_run_says_what_python_says(run_json):
    x, y = digits()
    recording = eventsim.Simulator(eventsim.load(MODEL)).run(x)
    printed = run_json("run", MODEL, DATA)
    assert printed["accuracy"] == recording.accuracy(y)
    for row in printed["layers"]:
        totals = recording.counts.layer_totals(row["name"])
        assert {c: row[c] for c in COUNTS + EXECUTED} == {c: totals[c] for c in COUNTS + EXECUTED}
        sends = row["name"] != "readout"  # a readout has no events, so neither rate nor level
        assert row["firing_rate"] == (recording.counts.firing_rate(row["name"]) if sends else None)
        assert row["mean_level"] == (recording.counts.mean_level(row["name"]) if sends else None)
    assert printed["totals"]["neuron_updates"] == 599 * 2 * sum(n for k, n in LAYERS.items() if k != "input")


@pytest.mark.parametrize("command, rest", [
    ("run", [DATA]), ("bench", []), ("warmup", []), ("info", ["--kernels", "int8"]), ("check", []),
    ("diff", [MODEL, DATA]), ("stream", ["-"])])
def test_every_command_that_computes_takes_a_memory_limit(run, tmp_path, command, rest):
    model = MODEL
    if command == "stream":
        model = tmp_path / "events.h5"
        nodes = {"in": Input((2, 8, 8), events=EventBins(1000.0, sensor_size=(8, 8))), "flat": Flatten(),
                 "fc": Dense(np.ones((99, 128))), "n": Neuron()}
        eventsim.save(Model(nodes, list(zip(nodes, list(nodes)[1:])), 4), model)
    assert_one_line(*run(command, model, *rest, "--memory-limit", "1k"), f"{model}: ", "memory", "1 kB")


def test_limit_timesteps_workers(run_json):
    one_run = run_json("run", MODEL, DATA, "--limit", 300)  # more than one batch
    threads = run_json("run", MODEL, DATA, "--limit", 300, "--workers", 2)
    assert one_run["samples"] == 300 and threads["workers"] == 2
    for key in ("totals", "layers", "accuracy"):
        assert threads[key] == one_run[key]
    short = run_json("run", MODEL, DATA, "--limit", 7, "--timesteps", 2)
    assert (short["samples"], short["timesteps"]) == (7, 2)
    assert short["totals"]["neuron_updates"] == 7 * 2 * 1594
    assert run_json("run", MODEL, DATA, "--limit", 10000)["samples"] == 599


def test_data_without_labels(run, run_json, tmp_path):
    path = data_file(tmp_path / "x.h5", digits(5)[0])
    assert run_json("run", MODEL, path)["accuracy"] is None
    assert "5 samples without labels" in run("run", MODEL, path)[1]


@pytest.mark.parametrize("words", [["run", MODEL], ["diff", MODEL, MODEL]], ids=lambda words: words[0])
def test_labels_that_are_no_class_are_in_the_json(run, tmp_path, words):
    x, y = digits(5)
    path = data_file(tmp_path / "x.h5", x, y + 10)
    for _ in range(2):  # each time
        status, out, err = run(*words, path, "--json")
        [note] = json.loads(out)["notes"]
        assert status == 0 and err == f"eventsim: {note}\n" and f"{path}: 5 of 5 labels are none of the" in note


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_floats_are_not_audited(run, tmp_path, precision):
    words = ("run", MODEL, DATA, "--limit", 3, "--audit", "--out", tmp_path / "o.h5", "--precision", precision)
    assert_one_line(*run(*words), f"eventsim: --audit says how far integers went, but this run is in {precision}: "
                                  "add --precision int8 or --chip CHIP")
    assert not list(tmp_path.iterdir()) and run(*words[:-1], "int8")[0] == 0


def test_data_with_steps(run_json, tmp_path):
    x, y = digits(6)
    path = data_file(tmp_path / "x.h5", np.repeat(x[:, None], 3, axis=1), y)
    summary = run_json("run", MODEL, path, "--timesteps", 3)
    assert summary["timesteps"] == 3
    still = run_json("run", MODEL, data_file(tmp_path / "still.h5", x, y), "--timesteps", 3)
    assert [row["additions"] for row in summary["layers"]] == [row["additions"] for row in still["layers"]]


def test_events_after_the_last_step_are_told(run, run_json, tmp_path):
    recordings, _ = write_nmnist(tmp_path / "Test")
    nodes = {"in": Input((2, 3, 4), bits=3, events=EventBins(10, sensor_size=(3, 4))), "flat": Flatten(),
             "fc": Dense(np.ones((32, 24))), "out": Neuron(bits=8)}
    path = tmp_path / "events.h5"
    eventsim.save(eventsim.Model(nodes, list(zip(nodes, list(nodes)[1:])), timesteps=10), path)
    late = sum(int((t >= 100).sum()) for *_, t in recordings)
    assert late > 0 and run_json("run", path, tmp_path)["dropped_events"] == late
    note = f"{late} events of the recordings lay outside the steps and were left out: --timesteps N takes more in"
    assert note in run("run", path, tmp_path)[1]
    assert run_json("run", path, tmp_path, "--timesteps", 12)["dropped_events"] == 0
    assert "left out" not in run("run", path, tmp_path, "--timesteps", 12)[1]


def test_out(run_json, tmp_path):
    out = tmp_path / "out.h5"
    printed = run_json("run", MODEL, DATA, "--limit", 300, "--out", out, "--record", "spikes",
                       "--record", "potentials:neuron2", "--record", "outputs")
    assert printed.pop("notes") == []
    assert os.listdir(tmp_path) == ["out.h5"]
    x, y = digits(300)
    recording = eventsim.Simulator(eventsim.load(MODEL)).run(
        x, record=("spikes", "potentials:neuron2", "outputs"))
    with h5py.File(out) as file:
        assert file["format"].asstr()[()] == "eventsim-recording" and file["version"][()] == 1
        assert file["timesteps"][()] == 2 and file["precision"].asstr()[()] == "float32"
        summary = json.loads(file["summary"].asstr()[()])
        assert printed.items() <= summary.items() and {"made", "nodes", "class_names"} <= summary.keys()
        assert np.array_equal(file["output"], recording.output)
        assert np.array_equal(file["outputs"], recording.outputs)
        assert np.array_equal(file["predictions"], recording.predictions)
        assert np.array_equal(file["y"], y)
        assert list(file["potentials"]) == ["neuron2"]
        assert np.array_equal(file["potentials/neuron2"], recording.potentials("neuron2"))
        assert set(file["spikes"]) == set(recording.spikes)
        for name, spikes in recording.spikes.items():
            planes = file[f"spikes/{name}/planes"]
            assert np.array_equal(planes, spikes.planes)
            attributes = [tuple(np.atleast_1d(planes.attrs[k])) for k in ("shape", "logical_shape")]
            assert attributes == [spikes.shape, spikes.logical_shape]
            assert planes.attrs["bits"] == spikes.bits and planes.attrs["signed"] == spikes.signed
        for layer, row in recording.counts.layers.items():
            assert file[f"neurons/{layer}"][()] == LAYERS[layer]
            for count, values in row.items():
                assert np.array_equal(file[f"counts/{layer}/{count}"], values)


def test_out_replaces_a_file(run_json, tmp_path):
    out = tmp_path / "out.h5"
    out.write_text("old")
    run_json("run", MODEL, DATA, "--limit", 3, "--out", out)
    with h5py.File(out) as file:
        assert file["output"].shape == (3, 10)


# ---- what goes wrong


def test_bad_data_in_the_middle_leaves_nothing(run, tmp_path):
    x, y = (np.concatenate([part] * 8) for part in digits())
    x[4500, 0, 3, 3] = 77
    path, out = data_file(tmp_path / "x.h5", x, y), tmp_path / "out.h5"
    result = run("run", MODEL, path, "--out", out, "--json")
    assert_one_line(*result, path, "samples 4096 to 4791", "x has values up to 77")
    assert sorted(os.listdir(tmp_path)) == ["x.h5"]
    out.write_text("old")
    assert run("run", MODEL, path, "--out", out)[0] == 1
    assert out.read_text() == "old" and sorted(os.listdir(tmp_path)) == ["out.h5", "x.h5"]


def test_unwritable_out(run, tmp_path):
    for out in (tmp_path / "none" / "out.h5", Path("/proc/out.h5")):
        assert_one_line(*run("run", MODEL, DATA, "--limit", 3, "--out", out), out, "cannot be written")
    (tmp_path / "folder").mkdir()
    assert_one_line(*run("run", MODEL, DATA, "--limit", 3, "--out", tmp_path / "folder"), "folder",
                    "cannot be written")
    assert os.listdir(tmp_path) == ["folder"] and os.listdir(tmp_path / "folder") == []


def _truncated(path):
    path.write_bytes(Path(MODEL).read_bytes()[:5000])


@pytest.mark.parametrize("command", ("info", "check", "run"))
@pytest.mark.parametrize("make, message", [
    (lambda path: None, "cannot be read (No such file or directory)"),
    (Path.mkdir, "cannot be read (Is a directory)"),
    (lambda path: path.write_text("hello, this is text"), "not an HDF5 file"),
    (lambda path: path.write_bytes(b""), "the file is empty"),
    (_truncated, ""),
    (lambda path: shutil.copy(DATA, path), "not a model file"),
], ids=("missing", "folder", "text", "empty", "truncated", "data"))
def test_wrong_model(run, tmp_path, command, make, message):
    path = tmp_path / "net.h5"
    make(path)
    arguments = [command, path] + ([DATA] if command == "run" else [])
    assert_one_line(*run(*arguments), path, message)


@pytest.mark.parametrize("make, message", [
    (lambda path: None, "no such file or folder"),
    (Path.mkdir, "a folder with none of"),
    (lambda path: path.write_text("hello, this is text"), "of no known format"),
    (lambda path: path.write_bytes(b""), "empty"),
    (lambda path: path.write_bytes(Path(DATA).read_bytes()[:5000]), ""),
    (lambda path: shutil.copy(MODEL, path), "expected x"),
    (lambda path: data_file(path, np.zeros((3, 1, 9, 8), np.uint8)), "samples have shape (1, 9, 8)"),
    (lambda path: data_file(path, np.full((3, 1, 8, 8), 0.5)), "fractional"),
    (lambda path: data_file(path, np.full((3, 1, 8, 8), np.nan)), "not finite"),
    (lambda path: data_file(path, np.zeros((3, 1, 8, 8)), np.zeros(4)), "4 labels, but x has 3"),
], ids=("missing", "folder", "text", "empty", "truncated", "model", "shape", "scaled", "nan", "labels"))
def test_wrong_data(run, tmp_path, make, message):
    path = tmp_path / "x.h5"
    make(path)
    assert_one_line(*run("run", MODEL, path), path, message)


def test_steps_that_disagree_name_the_file(run, tmp_path):
    path = data_file(tmp_path / "x.h5", np.zeros((2, 3, 1, 8, 8), np.uint8))
    assert_one_line(*run("run", MODEL, path, "--timesteps", 5), path, "x has 3 steps, but the run has 5")


@pytest.mark.parametrize("record, message", [
    ("spikes:conv1", "record has 'spikes:conv1', but the nodes with spikes are input, neuron1"),
    ("outputs:readout", "record has 'outputs:readout'"),
])
def test_wrong_record(run, tmp_path, record, message):
    out = tmp_path / "out.h5"
    assert_one_line(*run("run", MODEL, DATA, "--record", record, "--out", out), message)
    assert os.listdir(tmp_path) == []


def test_record_needs_out(run):
    assert_one_line(*run("run", MODEL, DATA, "--record", "spikes"), "--record", "add --out FILE.h5")


def test_precision_that_cannot_be(run, tmp_path):
    nodes = {"in": eventsim.Input((2,), "real"), "n": eventsim.Neuron()}
    path = tmp_path / "real.h5"
    eventsim.save(eventsim.Model(nodes, [("in", "n")]), path)
    data = data_file(tmp_path / "x.h5", np.zeros((1, 2)))
    assert_one_line(*run("run", path, data, "--precision", "int8"), path, "real input has no fixed point")


def test_more_than_memory_holds(run, monkeypatch):
    """Beyond what the limit of memory foresees."""
    monkeypatch.setattr("eventsim.engine.simulator.lower", lambda *given: np.zeros(1 << 52))
    assert_one_line(*run("run", MODEL, DATA), MODEL, "does not fit into memory (Unable to allocate 32.0 PiB")


def test_too_many_steps(run):
    assert_one_line(*run("run", MODEL, DATA, "--precision", "int8", "--limit", 1, "--timesteps", 1 << 20),
                    "proved free of int32 overflow")


@pytest.mark.parametrize("arguments, message", [
    ([], "COMMAND is missing: info, check, run, "),
    (["nonsense"], "'nonsense' is no command: there are info, check, "),
    (["info"], "MODEL is missing (eventsim info --help)"),
    (["run", MODEL], "DATA is missing (eventsim run --help)"),
    (["run"], "MODEL and DATA are missing"),
    (["run", MODEL, DATA, "--limit", "0"], "--limit: '0' is not a whole number above 0"),
    (["run", MODEL, DATA, "--workers", "x"], "--workers: 'x' is not a whole number above 0"),
    (["run", MODEL, DATA, "--timesteps", "-1"], "'-1' is not"),
    (["run", MODEL, DATA, "--precision", "int4"], "--precision cannot be 'int4', did you mean int8?"),
    (["run", MODEL, DATA, "--dt", "x"], "--dt is 'x', expected a number"),
    (["run", MODEL, DATA, "--in", "1"], "--in may mean --integration, --input-bits, "),
    (["info", MODEL, "--limit", "3"], "there is no option --limit"),
    (["info", MODEL, "--json=1"], "--json takes no value, but is given '1'"),
])
def test_wrong_usage(capsys, arguments, message):
    with pytest.raises(SystemExit) as error:
        main(arguments)
    assert error.value.code == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("eventsim: ") and err.count("\n") == 1 and message in err
    command = f"eventsim {arguments[0]}" if arguments and arguments != ["nonsense"] else "eventsim"
    assert err.endswith(f"({command} --help)\n")


@pytest.mark.parametrize("command", ([], ["info"], ["check"], ["run"]))
def test_help(capsys, command):
    with pytest.raises(SystemExit) as error:
        main([*command, "--help"])
    assert error.value.code == 0
    assert capsys.readouterr().out.startswith("usage: eventsim")


# ---- pipes and terminals


def _process(*arguments, **options):
    return python("-m", "eventsim", *arguments, timeout=100, **options)


def test_as_a_module():
    done = _process("--help", capture_output=True)
    assert done.returncode == 0 and done.stderr == ""
    assert all(command in done.stdout for command in ("info", "check", "run"))
    done = _process("info", "nothing.h5", capture_output=True)
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr == "eventsim: nothing.h5: cannot be read (No such file or directory)\n"


@pytest.mark.parametrize("arguments", (["info", MODEL], ["run", MODEL, DATA, "--limit", 3]), ids=("info", "run"))
def test_broken_pipe(arguments):
    """As with `| head -1`, when the reader has gone before everything was written."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = _process(*arguments, stdout=writer, stderr=subprocess.PIPE)
    finally:
        os.close(writer)
    assert done.stderr == ""
    assert done.returncode not in (0, 1)


def test_piped_into_head():
    command = f"{sys.executable} -m eventsim info {MODEL} | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, env=environment())
    assert done.stderr == "" and done.stdout.startswith(f"{MODEL}: 12 nodes")


def test_progress_only_on_a_terminal():
    piped = _process("run", MODEL, DATA, "--limit", 20, capture_output=True)
    assert piped.returncode == 0 and piped.stderr == ""
    mine, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))  # 0 columns show nothing
    done = _process("run", MODEL, DATA, "--limit", 20, stdout=subprocess.PIPE, stderr=theirs)
    os.set_blocking(mine, False)
    shown = os.read(mine, 100_000).decode() if select.select([mine], [], [], 5)[0] else ""
    os.close(theirs)
    os.close(mine)
    assert done.returncode == 0
    assert "samples" in shown and "20" in shown
    assert "samples/s]" not in done.stdout


def test_what_integers_and_floats_lose_is_said(tmp_path, capsys):
    """Of a layer, all weights become 0; of another, 30 of 1000; and a float32 membrane overflows."""
    rng = np.random.default_rng(0)
    some = rng.choice([-1.0, 1.0], (20, 50))
    some.flat[:30] = 1e-3
    lost = {"in": Input((50,)), "w": Dense(some), "a": Neuron(), "v": Dense(np.full((4, 20), 1e-6)), "b": Neuron(),
            "out": Readout("sum")}
    huge = {"in": Input((50,)), "w": Dense(np.full((2, 50), 3e38)), "a": Neuron()}
    np.savez(tmp_path / "x.npz", x=np.ones((2, 50), np.uint8))
    for name, nodes in (("lost", lost), ("huge", huge)):
        names = list(nodes)
        eventsim.save(Model(nodes, list(zip(names, names[1:])), 2), tmp_path / f"{name}.h5")

    def printed(model, *options):
        assert main(["run", str(tmp_path / f"{model}.h5"), str(tmp_path / "x.npz"), *options]) == 0
        return capsys.readouterr().out

    text = printed("lost", "--precision", "int8", "--out", str(tmp_path / "run.h5"))
    assert "int8 rounds all 80 weights of b to 0: nothing that it reads has an effect" in text
    assert "of the weights, int8 rounds 3.0 % to 0 in a" in text
    assert "weights" not in printed("lost").rpartition("share is of all additions")[2]
    assert main(["stats", str(tmp_path / "run.h5")]) == 0
    findings = " ".join(capsys.readouterr().out.split())
    assert "fault: All 80 weights of b are 0 in this arithmetic" in findings
    assert "note: Some weights are rounded to 0 or clipped: 3.0 % of a." in findings
    line = "float32 overflowed: 4 potentials of a are infinite or nan"
    assert line in printed("huge") and "overflowed" not in printed("huge", "--precision", "float64")

