"""`eventsim run` and `diff` on recordings: their own lengths, what is said of them, spikes of values."""

import json

import numpy as np
import pytest
from command import assert_one_line, DATA, MODEL
from event_files import made_events, structured, write_dat

import eventsim
from eventsim import Dense, EventBins, Flatten, Input, Neuron
from eventsim.inputs.encoders import poisson

SIZE = (10, 20)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    nodes = {"in": Input((2, *SIZE), bits=8, events=EventBins(500, sensor_size=SIZE)), "flat": Flatten(),
             "fc": Dense(np.random.default_rng(0).normal(size=(3, 400))), "out": Neuron()}
    path = tmp_path_factory.mktemp("model") / "events.h5"
    eventsim.save(eventsim.Model(nodes, list(zip(nodes, list(nodes)[1:])), timesteps=4), path)
    return path


@pytest.fixture
def recordings(tmp_path):
    """A folder of two recordings, of 15 and 32 steps."""
    folder = tmp_path / "recordings"
    folder.mkdir()
    for name, n in (("a", 300), ("b", 600)):
        events = made_events(n)
        write_dat(folder / f"{name}.dat", events)
    return folder


def test_recordings_run_for_their_own_steps(run, run_json, model, recordings, tmp_path):
    spans = [made_events(n)["t"] for n in (300, 600)]
    steps = [int((t[-1] - t[0]) // 500) + 1 for t in spans]
    summary = run_json("run", model, recordings, "--whole", "--out", tmp_path / "run.h5")
    assert summary["timesteps"] == max(steps) and summary["samples"] == 2 and summary["dropped_events"] == 0
    assert summary["totals"]["neuron_updates"] == 3 * sum(steps)
    rows = {row["name"]: row for row in summary["layers"]}
    assert rows["in"]["firing_rate"] == pytest.approx(rows["in"]["events"] / (400 * sum(steps)))
    each = [run_json("run", model, recordings / f"{name}.dat", "--whole")["totals"] for name in "ab"]
    for key in ("events", "synops", "additions", "executed_synops"):
        assert summary["totals"][key] == sum(totals[key] for totals in each)
    assert run("stats", tmp_path / "run.h5")[0] == 0
    assert run_json("run", model, recordings)["timesteps"] == 4  # the model's own


def test_diff_takes_recordings_for_their_own_steps(run, run_json, model, recordings, tmp_path):
    """A run is equal to its own file, whether all of it or its first steps are compared."""
    words = "--record", "spikes", "--record", "potentials", "--record", "outputs"
    run("run", model, recordings, "--whole", "--out", tmp_path / "run.h5", *words)
    steps = run_json("run", model, recordings, "--whole")["timesteps"]
    options = (("--whole", steps), ("--timesteps=10", 10), ("--timesteps=20", 20), ("--timesteps=99", steps))
    for given, most in options:
        status, out, err = run("diff", model, tmp_path / "run.h5", recordings, given, "--json")
        printed = json.loads(out)
        assert (status, err, printed["divergent"], printed["equal_predictions"]) == (0, "", 0, 2)
        assert (printed["steps"], printed["fewest_steps"]) == (most, min(most, printed["fewest_steps"]))
    status, out, _ = run("diff", model, f"{model}@int8", recordings, "--whole")
    assert status in (0, 3) and f"to {steps} steps" in out
    loaded = eventsim.load(model)
    nodes = {**loaded.nodes, "in": Input((2, *SIZE), bits=8, events=EventBins(900, sensor_size=SIZE))}
    eventsim.save(eventsim.Model(nodes, loaded.edges, 4), tmp_path / "wide.h5")
    status, _, err = run("diff", model, tmp_path / "wide.h5", recordings, "--whole")
    assert status == 1 and "make other steps: comparing them needs timesteps (--timesteps N)" in err


def test_what_was_mended_is_said(run, model, recordings):
    path = recordings / "b.dat"
    content = path.read_bytes()
    path.write_bytes(content[:-3])
    status, out, err = run("run", model, recordings, "--whole")
    assert status == 1 and out == "" and err.count("\n") == 1 and "truncated" in err
    status, out, err = run("run", model, recordings, "--whole", "--keep-going")
    assert status == 0 and "2 samples" in out and err.count("\n") == 1
    assert "1 recording: damaged: " in err and "only what stands before is taken" in err


LEFT_OUT = "{} events of the recordings lay outside the steps and were left out: --timesteps N takes more in"


@pytest.fixture
def text(tmp_path):
    """(a recording whose unit of time is assumed, how many of its events come after 4 steps of 500 us)."""
    path, times = tmp_path / "walk.csv", 100 * np.arange(60)
    path.write_text("t,x,y,p\n" + "".join(f"{t},{t // 100 % 20},{t // 100 % 10},1\n" for t in times))
    return path, int((times >= 4 * 500).sum())


@pytest.mark.parametrize("words", [["run"], ["diff"], ["bench", "--rounds", 1]], ids=lambda words: words[0])
def test_what_is_said_of_recordings_is_in_text_and_json(run, model, text, words):
    """Events that are left out, and the unit that is assumed, whichever command runs them."""
    path, late = text
    command, *options = words
    models = [model, f"{model}@float64"] if command == "diff" else [model]
    left_out, assumed = LEFT_OUT.format(late), f"{path}: 1 recording: its times are taken as microseconds"
    status, out, err = run(command, *models, path, *options)
    assert status == 0 and left_out in out and err.startswith(f"eventsim: {assumed}") and err.count("\n") == 1
    status, out, err = run(command, *models, path, *options, "--json")
    printed = json.loads(out)
    assert printed["dropped_events"] == ([late, late] if command == "diff" else late)
    assert sorted(printed["notes"]) == sorted([left_out, err.removeprefix("eventsim: ").strip()])
    status, out, _ = run(command, *models, path, *options, "--timesteps", 12)
    assert status == 0 and "left out:" not in out


def test_diff_says_what_each_side_left_out(run, model, text, tmp_path):
    path, late = text
    loaded = eventsim.load(model)
    nodes = {**loaded.nodes, "in": Input((2, *SIZE), bits=8, events=EventBins(1000, sensor_size=SIZE))}
    eventsim.save(eventsim.Model(nodes, loaded.edges, 4), tmp_path / "wide.h5")
    later = late - 20  # steps are twice as wide: of 60 events one in each 100 us, 20 more are within
    words = "diff", model, tmp_path / "wide.h5", path
    words_printed = " ".join(run(*words)[1].split())
    assert f" A: {LEFT_OUT.format(late)} B: {LEFT_OUT.format(later)} " in words_printed
    assert json.loads(run(*words, "--json")[1])["dropped_events"] == [late, later]


@pytest.mark.parametrize("words", [["run", MODEL, DATA], ["diff", MODEL, MODEL, DATA]], ids=lambda words: words[0])
def test_values_have_no_whole_length(run, words):
    assert_one_line(*run(*words, "--whole"), f"{DATA}: whole does not apply to values", "leave it out (--whole)")


def test_a_sensor_is_fitted_to_the_model(run, run_json, model, tmp_path):
    path = tmp_path / "large.npz"
    events = made_events(300, 60, 30)
    np.savez(path, **events)
    status, _, err = run("run", model, path, "--sensor-size", "30x60")
    assert status == 1 and "60 x 30 pixels, but the model's input takes 20 x 10: crop or downsample it" in err
    _, _, err = run("run", model, path, "--sensor-size", "30x60", "--downsample", 3, "--timesteps", 99)
    assert "taken as microseconds" in err
    np.save(tmp_path / "turned.npy", structured({**events, "x": events["y"] // 3, "y": events["x"] // 3}))
    outputs = [run("run", model, *words, "--timesteps", 99, "--json")[1] for words in (
        (path, "--sensor-size", "30x60", "--downsample", 3),
        (tmp_path / "turned.npy", "--sensor-size", "20x10", "--orient=y,x"))]
    first, second = (text.partition('"totals"')[2].partition('"energy"')[0] for text in outputs)
    assert first == second
    options = ("--sensor-size", "30x60", "--downsample", 3)
    assert run("diff", f"{model}@float32", f"{model}@float64", path, *options)[0] == 0


def test_values_are_encoded(run, run_json, model, tmp_path):
    images = np.random.default_rng(1).integers(0, 256, (3, 2, *SIZE), np.uint8)
    np.savez(tmp_path / "images.npz", x=images)
    words = ("run", model, tmp_path / "images.npz")
    status, _, err = run(*words)
    assert status == 1 and "a single frame is repeated only if asked for" in err and "--timesteps 4" in err
    spikes = [poisson(image / np.float32(255), 4, (5, i)) for i, image in enumerate(images)]
    summary = run_json(*words, "--encode", "poisson", "--seed", 5)
    assert summary["layers"][0]["events"] == sum(map(np.count_nonzero, spikes)) and summary["timesteps"] == 4
    assert "encode is 'rate', expected poisson" in run(*words, "--encode", "rate")[2]
    for wrong in ("--crop=1,2", "--sensor-size=3", "--split=never"):
        with pytest.raises(SystemExit, match="2"):
            run(*words, wrong)
