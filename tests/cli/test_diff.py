"""The commands diff and convert, from files, in this process."""

import dataclasses
import json
import os
import shutil

import h5py
import numpy as np
import pytest
from command import DATA, MODEL, assert_one_line, data_file, digits
from oracles import LAVA, NIR, needs_lava, needs_nir
from planted_changes import STEPS, network, planted, samples
from processes import python
from recorded_traces import recorded, save

import eventsim
from eventsim import Dense, Flatten, Input, Model, Neuron
from eventsim.cli import main
from eventsim.comparison.text import as_text
from eventsim.model.chip import find_chip
from eventsim.text import wrapped


@pytest.fixture
def files(tmp_path):
    """Paths of a model, of one with a planted threshold, and of data."""
    eventsim.save(network(), tmp_path / "a.h5")
    eventsim.save(planted("one threshold"), tmp_path / "b.h5")
    data_file(tmp_path / "x.h5", samples(20), np.arange(20) % 3)
    return str(tmp_path / "a.h5"), str(tmp_path / "b.h5"), str(tmp_path / "x.h5")


# ---- diff


def test_equal(run, files):
    a, _, x = files
    status, out, err = run("diff", a, a, x)
    assert status == 0 and err == ""
    assert out.startswith(f"A: {a} (float32)\nB: {a} (float32)\n"
                          f"{x}: no difference in currents, potentials, spikes")
    assert "first divergence" not in out and "equal predictions: 20 of 20" in out
    assert "reading: Nothing that decides" in out


def test_different(run, files):
    a, b, x = files
    status, out, err = run("diff", a, b, x)
    assert status == 3 and err == ""
    first = eventsim.compare(network(), planted("one threshold"), samples(20)).first
    c, y, column = first.position
    assert (f"first divergence: sample {first.sample}, step {first.step}, layer n1, neuron {first.neuron} "
            f"(c {c}, y {y}, x {column}): spikes\n") in out
    words = " ".join(out.split())
    assert "threshold >= 1 >= 0.875 margin -" in words
    assert "share of neurons whose spikes differ, in sample 0" in out
    assert "n1.v_threshold: 1 of 4 values" in out
    assert "prediction for sample 0: A " in out and "(label 0)" in out and "accuracy: A " in out
    assert "reading: The thresholds differ: 1 in A, 0.875 in B; look at v_threshold" in words


@pytest.mark.parametrize("columns", [30, 40, 44, 100])
def test_a_narrow_screen_shows_both_sides(columns):
    """What A and B had in the neuron stands beside each other, or below each other, but is never left out."""
    comparison = eventsim.compare(network(), planted("one threshold"), samples(20))
    values = [f"{value:.9g}" for pair in comparison.first.values_there.values() for value in pair]
    text = wrapped(as_text(comparison, "", columns), columns)
    assert max(map(len, text.splitlines())) <= columns and ": B" not in text.replace("B: B", "")
    there = text.partition("\n\n")[2].partition("share of neurons")[0].split()
    assert all(value in there for value in values) and {"A", "B", ">="} <= set(there)


@pytest.mark.parametrize("exchanged", [False, True])
@pytest.mark.parametrize("other, message", [
    (Input((1, 8, 8), bits=1), "values up to "), (Input((2, 8, 8), bits=8), "samples have shape (1, 8, 8)")])
def test_an_error_of_data_says_which_model_it_is_for(run, tmp_path, other, message, exchanged):
    paths = [str(tmp_path / name) for name in ("fits.h5", "other.h5")]
    for path, node in zip(paths, (Input((1, 8, 8), "image", bits=8), other)):
        nodes = {"in": node, "flat": Flatten(), "fc": Dense(np.ones((3, 64 * node.shape[0]))), "n": Neuron()}
        eventsim.save(Model(nodes, list(zip(nodes, list(nodes)[1:])), 4), path)
    data = data_file(tmp_path / "x.h5", np.full((3, 1, 8, 8), 200, np.uint8))
    assert_one_line(*run("diff", *(paths[::-1] if exchanged else paths), data), message,
                    f"(the model is {paths[1]})")
    once = run("diff", paths[1], paths[1], data)
    assert_one_line(*once, message)
    assert "(the model is" not in once[2]  # both read it alike


def test_json(capsys, files):
    a, b, x = files
    assert main(["diff", a, b, x, "--json"]) == 3
    out, err = capsys.readouterr()
    printed = json.loads(out)
    expected = eventsim.compare(network(), planted("one threshold"), samples(20), np.arange(20) % 3).as_json()
    assert printed.pop("dropped_events") == [0, 0] and printed.pop("data") == x
    assert err == "" and out.count("\n") == 1
    assert (printed.pop("a"), printed.pop("b")) == (a, b)
    assert printed == {k: v for k, v in json.loads(json.dumps(expected)).items() if k not in "ab"}


@pytest.mark.parametrize("suffix, name", [("", "float32"), ("@float64", "float64"), ("@int8", "int8"),
                                          ("@float32", "float32"), ("@loihi", "chip loihi")])
def test_precisions_and_chips(capsys, files, suffix, name):
    a, _, x = files
    status = main(["diff", a, a + suffix, x, "--json", "--limit", "4"])
    printed = json.loads(capsys.readouterr().out)
    assert printed["arithmetic"] == ["float32", name] and printed["samples"] == 4
    assert status == (0 if printed["equal"] else 3)
    assert printed["decides"] == (["spikes"] if name != "float32" else list(eventsim.comparison.pairing.VARIABLES))


def test_a_chip_file_and_names_with_at(capsys, files, tmp_path):
    a, _, x = files
    chip = tmp_path / "chip.json"
    chip.write_text(dataclasses.replace(find_chip("loihi"), name="mine", comparison=None).as_json())
    main(["diff", f"{a}@{chip}", a, x, "--json"])
    assert json.loads(capsys.readouterr().out)["arithmetic"] == ["chip mine", "float32"]
    odd = tmp_path / "a@int8"
    shutil.copy(a, odd)
    assert main(["diff", a, str(odd), x, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["arithmetic"] == ["float32", "float32"]
    main(["diff", a, f"{odd}@int8", x, "--json"])
    assert json.loads(capsys.readouterr().out)["arithmetic"] == ["float32", "int8"]


def test_a_models_own_chip(capsys, files, tmp_path):
    a, _, x = files
    model = network()
    eventsim.save(Model(model.nodes, model.edges, STEPS, chip=find_chip("loihi")), tmp_path / "chip.h5")
    main(["diff", a, str(tmp_path / "chip.h5"), x, "--json"])
    assert json.loads(capsys.readouterr().out)["arithmetic"] == ["float32", "chip loihi"]


@pytest.mark.parametrize("suffix", (".npz", ".h5"))
def test_traces(run, capsys, files, tmp_path, suffix):
    a, _, x = files
    arrays, _ = recorded(n=20)
    trace = save(tmp_path / f"trace{suffix}", arrays)
    status, out, _ = run("diff", a, trace, x)
    assert status == 0 and "(trace)" in out and "only in A, not compared: input, pool, readout" in out
    arrays["n2/spikes"][4, 6, 3, 1, 1] ^= 1
    save(trace, arrays)
    status, out, _ = run("diff", a, trace, x)
    assert status == 3
    assert "first divergence: sample 4, step 6, layer n2, neuron 31 (c 3, y 1, x 1): spikes" in out
    assert run("diff", a, trace, x, "--variables", "potentials")[0] == 0
    assert run("diff", a, trace, x, "--limit", "4")[0] == 0


def test_a_recorded_run(run, files, tmp_path):
    a, b, x = files
    out = tmp_path / "run.h5"
    for model, status in ((a, 0), (b, 3)):
        run("run", model, x, "--record", "spikes", "--record", "potentials", "--out", out)
        assert run("diff", a, out, x)[0] == status


@pytest.mark.parametrize("precision", ("float64", "int8"))
def test_a_recorded_run_of_another_arithmetic(run, run_json, files, tmp_path, precision):
    """Is judged as the model in that arithmetic is: by spikes."""
    a, _, x = files
    out = tmp_path / "run.h5"
    run("run", a, x, "--precision", precision, "--out", out, *(
        word for what in ("spikes", "potentials", "residuals", "outputs") for word in ("--record", what)))
    status, text, _ = run("diff", a, out, x)
    assert status == run("diff", a, f"{a}@{precision}", x)[0] and f"B: {out} (run, {precision})\n" in text
    assert run("diff", f"{a}@{precision}", out, x)[0] == 0


@pytest.mark.parametrize("given, noted", [((), True), (("--timesteps", 1), False), (("--timesteps", 4), False)])
def test_steps_that_bs_file_says_are_not_passed_over(run, tmp_path, given, noted):
    nodes = {"in": Input((1, 4, 4), "image", bits=2), "flat": Flatten(), "fc": Dense(np.eye(3, 16)),
             "n": Neuron(2.0)}
    for steps in (1, 4):
        eventsim.save(Model(nodes, list(zip(nodes, list(nodes)[1:])), steps), tmp_path / f"{steps}.h5")
    x = data_file(tmp_path / "x.h5", np.arange(80).reshape(5, 1, 4, 4) % 4)
    status, out, _ = run("diff", tmp_path / "4.h5", tmp_path / "1.h5", x, *given)
    words = " ".join(out.split())
    assert status == 0 and "the models differ in: timesteps: 4 in A, 1 in B" in words
    assert words.count("B's file says 1 step; both ran A's 4 (timesteps=N, --timesteps N)") == (2 if noted else 0)
    as_json = run("diff", tmp_path / "4.h5", tmp_path / "1.h5", x, *given, "--json")[1]
    assert ("B's file says 1 step" in "".join(json.loads(as_json)["notes"])) == noted


def test_variables_tolerance_steps(capsys, files):
    a, b, x = files
    assert main(["diff", a, b, x, "--variables", "currents,potentials", "--tolerance", "100", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["decides"] == ["currents", "potentials"]
    assert main(["diff", MODEL, MODEL + "@int8", DATA, "--limit", "3", "--timesteps", "9", "--json"]) == 3
    printed = json.loads(capsys.readouterr().out)
    assert printed["steps"] == 9 and len(printed["layers"][1]["spread"]) == 9


def test_each_side_sees_the_data_in_its_own_layout(run, tmp_path):
    rng = np.random.default_rng(0)
    weight = rng.normal(0, 1, (4, 2, 3, 3))
    for name, layout in (("chw", "CHW"), ("hwc", "HWC")):
        nodes = {"x": Input((2, 4, 4), bits=3, layout=layout), "c": eventsim.Conv2d(weight), "n": Neuron()}
        eventsim.save(Model(nodes, [("x", "c"), ("c", "n")], 3), tmp_path / f"{name}.h5")
    x = rng.integers(0, 8, (6, 2, 4, 4))
    np.savez(tmp_path / "x.npz", x=x)
    assert run("diff", tmp_path / "chw.h5", tmp_path / "chw.h5", tmp_path / "x.npz")[0] == 0
    status, _, err = run("diff", tmp_path / "chw.h5", tmp_path / "hwc.h5", tmp_path / "x.npz")
    assert status == 1 and "samples have shape (2, 4, 4), expected axes HWC" in err


def test_digits_in_other_arithmetics(run, capsys):
    assert run("diff", MODEL, MODEL + "@float64", DATA)[0] == 0
    status, out, _ = run("diff", MODEL, MODEL + "@int8", DATA, "--limit", 50)
    words = " ".join(out.split())
    assert status == 3 and "reading: First differs by rounding" in words and "No prediction changes." in words


def test_long_runs_show_some_steps(run, files, tmp_path):
    a, b, _ = files
    x = data_file(tmp_path / "long.h5", np.tile(samples(1), (1, 10, 1, 1, 1)))
    _, out, _ = run("diff", a, b, x)
    headers = {" ".join(line.split()) for line in out.splitlines() if line.startswith("layer") and "step" in line}
    steps = [int(word) for word in headers.pop().replace("step", "").split()[2:]]
    assert not headers
    assert 3 <= len(steps) <= 7 and steps == sorted(set(steps)) and steps[-1] == 119


@needs_lava
def test_pilotnet_against_the_chips_recording(run, tmp_path):
    """Equal to what the chip recorded; without its periodic reset layer 1 parts at step 1, where
    the chip zeroed it."""
    truth, trace = np.load(LAVA / "pilotnet_lif" / "ground_truth.npz"), {}
    for k, name in enumerate(["input", *(f"conv-{i}" for i in range(5)), None, *(f"fc-{i}" for i in range(3))]):
        if name is None:
            continue
        shape = truth[f"{name}_shape"]
        spikes = np.unpackbits(truth[f"{name}_spikes"], count=np.prod(shape)).reshape(shape)
        trace[f"layer{k}/spikes"] = spikes.transpose()
        if f"{name}_u" in truth:
            trace[f"layer{k}/currents"] = truth[f"{name}_u"].transpose()
            v = truth[f"{name}_v"].transpose().astype(np.float32)
            trace[f"layer{k}/residuals"] = np.where(v == 128, np.nan, v)  # the code for a neuron that has spiked
    save(tmp_path / "truth.npz", trace)
    image = np.load(LAVA / "pilotnet_lif" / "image.npy").transpose()
    np.savez(tmp_path / "x.npz", x=np.ascontiguousarray(image)[None])
    net = LAVA / "pilotnet_lif" / "network.net"
    rest = tmp_path / "truth.npz", tmp_path / "x.npz", "--timesteps", 24
    status, out, _ = run("diff", f"{net}@reset_interval=17,input_is_bias=true", *rest)
    assert status == 0 and "no difference in currents, spikes, residuals;" in out
    status, out, _ = run("diff", f"{net}@input_is_bias=true", *rest)
    assert status == 3 and "first divergence: sample 0, step 1, layer layer1," in out


@needs_nir
def test_sinabs_recording_under_two_presets(run, tmp_path):
    """Equal to what sinabs computed; read as norse reads it, layer 6 is the first to part, where
    sinabs sends a second spike in a step."""
    expected = np.load(NIR / "cnn_sinabs_expected.npz")
    shape = expected["input_shape"]
    x = np.unpackbits(expected["input"], count=np.prod(shape)).reshape(1, *shape)
    np.savez(tmp_path / "x.npz", x=x, y=[int(expected["label"])])
    trace = {name[7:]: expected[name] for name in expected if name.startswith("sinabs_")}
    save(tmp_path / "trace.npz", trace)
    net = NIR / "cnn_sinabs.nir"
    status, out, _ = run("diff", f"{net}@sinabs@lower_limit=IF", tmp_path / "trace.npz", tmp_path / "x.npz")
    assert status == 0 and "no difference in spikes; 1 sample of 300 steps" in out
    status, out, _ = run("diff", f"{net}@norse", tmp_path / "trace.npz", tmp_path / "x.npz")
    assert status == 3
    norse = eventsim.Simulator(eventsim.load(net, preset="norse")).run(x)
    first = min((np.argwhere(norse.levels(name)[0] != levels)[0][0], i)
                for i, (name, levels) in enumerate(trace.items()) if (norse.levels(name)[0] != levels).any())
    assert f"first divergence: sample 0, step {first[0]}, layer {list(trace)[first[1]]}, " in out


# ---- what goes wrong with diff


@pytest.mark.parametrize("change, message", [
    (lambda a, b, x: (a + "@int4", b, x), "'int4' is no precision (float32, float64, int8), no chip"),
    (lambda a, b, x: (a, b + "@", x), "'' is no precision"),
    (lambda a, b, x: (a, b + "@int8@loihi", x), "'int8' is a second arithmetic: give one precision or one"),
    (lambda a, b, x: (a, b + "@dt=1,2", x), "'2' is no option of loading, expected name=value with a name of"),
    (lambda a, b, x: (a, b + "@much=1", x),
     "'much=1' is no option of loading, expected name=value with a name of"),
    (lambda a, b, x: (a, b + "@dt=x", x), "dt is 'x', expected a number"),
    (lambda a, b, x: (a, b + "@reset_delay=1.5", x), "reset_delay is '1.5', expected a whole number"),
    (lambda a, b, x: (a, b + "@input_is_bias=perhaps", x), "input_is_bias is 'perhaps', expected true or false"),
    (lambda a, b, x: (a, b + "@dt=1", x), "'dt' is no option for native files, which take none"),
    (lambda a, b, x: (a, b + "@missing.json", x), "missing.json: cannot be read as a chip"),
    (lambda a, b, x: ("none.h5", b, x), "none.h5: cannot be read (No such file or directory)"),
    (lambda a, b, x: (a, "none.npz", x), "none.npz: cannot be read (No such file or directory)"),
    (lambda a, b, x: (a, b, "none.h5"), "none.h5: no such file or folder"),
    (lambda a, b, x: (a, x, x), "nothing of A's layers (input, n1, pool, n2, n3, ...) to decide by"),
    (lambda a, b, x: (x, b, x), "not a model file; a trace can only be B"),
    (lambda a, b, x: (a, b, x, "--timesteps", "5"), "x has 12 steps, but --timesteps says 5"),
    (lambda a, b, x: (MODEL, MODEL + "@loihi", DATA), "@loihi: node 'neuron1' (Neuron): its spikes have 2 bits"),
    (lambda a, b, x: (MODEL, b, DATA),
     "none of its layers (input, n1, pool, n2, n3, ...) is one of A's (input, n"),
    (lambda a, b, x: (a, a, DATA), "digits_test.h5: samples have shape (1, 8, 8), expected axes"),
])
def test_diff_errors(run, files, change, message):
    assert_one_line(*run("diff", *change(*files)), message)


def test_a_run_that_fails_names_its_side(run, files, tmp_path):
    x = data_file(tmp_path / "one.h5", digits(1)[0])
    narrow = dataclasses.replace(find_chip("lava_sdnn"), name="narrow", membrane_bits=10,
                                 membrane_overflow="error")
    (tmp_path / "narrow.json").write_text(narrow.as_json())
    status, out, err = run("diff", MODEL, f"{MODEL}@{tmp_path / 'narrow.json'}", x)
    assert status in (1, 3)
    if status == 1:
        assert err.startswith(f"eventsim: {MODEL}@{tmp_path / 'narrow.json'}: ")


@pytest.mark.parametrize("arguments, message", [
    (["diff", MODEL], "B and DATA are missing"),
    (["diff", MODEL, MODEL, DATA, "--limit", "0"], "'0' is not a whole number above 0"),
    (["diff", MODEL, MODEL, DATA, "--tolerance", "x"], "--tolerance"),
    (["convert", MODEL], "OUT is missing"),
])
def test_wrong_usage(capsys, arguments, message):
    with pytest.raises(SystemExit) as error:
        main(arguments)
    assert error.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("command", ("diff", "convert"))
def test_help(capsys, command):
    with pytest.raises(SystemExit) as error:
        main([command, "--help"])
    assert error.value.code == 0 and capsys.readouterr().out.startswith(f"usage: eventsim {command}")


# ---- convert


def test_convert(run, tmp_path):
    out = tmp_path / "copy.hdf5"
    status, text, err = run("convert", MODEL, out)
    assert status == 0 and err == ""
    assert text == f"{out}: 12 nodes, 11 edges, 2 steps, {out.stat().st_size} bytes, from {MODEL}\n"
    assert run("diff", MODEL, out, DATA, "--limit", 20)[0] == 0
    assert run("check", out)[0] == 0


@pytest.mark.parametrize("text, path, arithmetic, options", [
    ("a.h5", "a.h5", {}, {}),
    ("a.nir@sinabs", "a.nir", {}, {"preset": "sinabs"}),
    ("a.nir@sinabs@float64", "a.nir", {"precision": "float64"}, {"preset": "sinabs"}),
    ("a.nir@float64@norse@dt=1e-4,reset_delay=1", "a.nir", {"precision": "float64"},
     {"preset": "norse", "dt": 1e-4, "reset_delay": 1}),
    ("a.net@reset_interval=17,input_is_bias=true,comparison=>=", "a.net", {},
     {"reset_interval": 17, "input_is_bias": True, "comparison": ">="}),
    ("b@c/a.h5@loihi", "b@c/a.h5", {"chip": find_chip("loihi")}, {}),
])
def test_targets(text, path, arithmetic, options, monkeypatch):
    from eventsim.cli.diff import _target

    monkeypatch.setattr("os.path.exists", lambda given: given == path)
    assert _target(text) == (path, arithmetic, options)


def test_convert_json_and_what_was_assumed(run_json, run, tmp_path):
    nodes = {"x": Input((2,)), "d": Dense(np.eye(2)), "n": Neuron()}
    provenance = {"format": "NIR 0.2.0", "assumed dt": "0.001 (preset norse)",
                  "assumed reset": "hard (preset norse)"}
    eventsim.save(Model(nodes, [("x", "d"), ("d", "n")], 3, provenance=provenance), tmp_path / "net.h5")
    printed = run_json("convert", tmp_path / "net.h5", tmp_path / "out.h5")
    assert printed["assumed"] == {"dt": "0.001 (preset norse)", "reset": "hard (preset norse)"}
    assert (printed["nodes"], printed["edges"], printed["timesteps"]) == (3, 2, 3)
    assert printed["provenance"] == provenance and printed["bytes"] == (tmp_path / "out.h5").stat().st_size
    text = run("convert", tmp_path / "net.h5", tmp_path / "out.h5")[1]
    assert text.endswith("assumed dt: 0.001 (preset norse)\nassumed reset: hard (preset norse)\n")


@pytest.mark.parametrize("source, target, message", [
    ("none.h5", "out.h5", "none.h5: cannot be read"),
    (DATA, "out.h5", "not a model file"),
    (MODEL, "out.txt", "out.txt: suffix is '.txt', expected one of .h5, .hdf5, .nir"),
    (MODEL, "out", "out: suffix is ''"),
    (MODEL + "@int8", "out.h5", "@int8: cannot be read"),
    (MODEL, "missing/out.h5", "out.h5: cannot be written"),
    (MODEL, "folder.h5", "folder.h5: cannot be written"),
])
def test_convert_errors_leave_nothing(run, tmp_path, source, target, message):
    (tmp_path / "folder.h5").mkdir()
    assert_one_line(*run("convert", source, tmp_path / target), message)
    assert os.listdir(tmp_path) == ["folder.h5"]


def test_convert_to_nir_and_back(run, files, tmp_path):
    _, _, x = files
    rng = np.random.default_rng(0)
    nodes = {"x": Input((2, 6, 6)), "c": eventsim.Conv2d(rng.normal(0, 1, (3, 2, 3, 3))),
             "n": Neuron(leak=0.9, reset="hard", comparison=">")}
    eventsim.save(Model(nodes, [("x", "c"), ("c", "n")], STEPS), tmp_path / "a.h5")
    assert run("convert", tmp_path / "a.h5", tmp_path / "b.nir", "--out-dt", "0.001")[0] == 0
    status, text, _ = run("convert", tmp_path / "b.nir", tmp_path / "c.h5", "--preset", "norse", "--dt", "0.001")
    assert status == 0 and "assumed reset: hard (preset norse)" in text and "assumed dt: 0.001 (given)" in text
    assert run("diff", tmp_path / "a.h5", tmp_path / "c.h5", x, "--variables", "spikes")[0] == 0
    target = f"{tmp_path / 'b.nir'}@norse@dt=0.001"
    assert run("diff", tmp_path / "a.h5", target, x, "--variables", "spikes")[0] == 0


def test_convert_writes_beyond_nir_only_if_told(run, files, tmp_path):
    nodes = {"x": Input((2, 6, 6)), "n": Neuron(reset="soft", comparison=">")}
    eventsim.save(Model(nodes, [("x", "n")], 3), tmp_path / "soft.h5")
    assert_one_line(*run("convert", tmp_path / "soft.h5", tmp_path / "soft.nir"),
                    "node 'n' (Neuron): NIR has no soft")
    assert not (tmp_path / "soft.nir").exists()
    assert run("convert", tmp_path / "soft.h5", tmp_path / "soft.nir", "--out-beyond-nir")[0] == 0
    assert run("diff", tmp_path / "soft.h5", tmp_path / "soft.nir", files[2])[0] == 0
    assert_one_line(*run("convert", MODEL, tmp_path / "x.h5", "--out-dt", "1"), "'dt' is no option for .h5 files")


def test_convert_replaces_a_file(run, tmp_path):
    out = tmp_path / "out.h5"
    out.write_text("old")
    assert_one_line(*run("convert", DATA, out), "not a model file")
    assert out.read_text() == "old"
    assert run("convert", MODEL, out)[0] == 0
    with h5py.File(out) as file:
        assert "nodes" in file


def test_help_and_info_stay_quick():
    """The parser knows both commands without importing what they need."""
    code = ("import sys\nfrom eventsim.cli import parser\nparser()\n"
            "print(*sorted({'numba', 'matplotlib', 'eventsim.engine.simulator'} & set(sys.modules)))")
    done = python("-c", code, check=True)
    assert done.stdout.strip() == ""
