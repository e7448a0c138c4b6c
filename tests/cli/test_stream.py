"""`eventsim stream`: lines, JSON, the summary, and every way in which a stream ends."""

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
import warnings

import numpy as np
import pytest
from event_files import made_events, write_dat

import eventsim
from eventsim import Dense, EventBins, Flatten, Input, Neuron, Readout
from eventsim.errors import EventsimWarning
from eventsim.inputs.live import RECORD

SIZE = (10, 20)
EVENTS = made_events(300)
BINARY = np.rec.fromarrays([EVENTS[key] for key in "txyp"], RECORD).tobytes()
LAST = int(EVENTS["t"][-1] - EVENTS["t"][0])


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    nodes = {"in": Input((2, *SIZE), bits=8, events=EventBins(500, sensor_size=SIZE)), "flat": Flatten(),
             "fc": Dense(np.random.default_rng(0).normal(size=(3, 400))), "out": Neuron()}
    path = tmp_path_factory.mktemp("model") / "events.h5"
    eventsim.save(eventsim.Model(nodes, list(zip(nodes, list(nodes)[1:])), class_names=("left", "right", "none")),
                  path)
    return path


@pytest.fixture
def recording(tmp_path):
    write_dat(tmp_path / "a.dat", EVENTS, lines=b"% Height 10\n% Width 20\n")
    return tmp_path / "a.dat"


@pytest.fixture
def pipe(tmp_path):
    """A named pipe."""
    os.mkfifo(tmp_path / "pipe")
    return tmp_path / "pipe"


def beside(function):
    thread = threading.Thread(target=function, daemon=True)
    thread.start()
    return thread


def test_a_line_per_window_and_a_summary(run, model, recording):
    status, out, err = run("stream", model, recording, "--window", "1ms")
    head, *lines, empty, first, speed, latency = out.splitlines()
    assert status == 0 and err == "" and empty == ""
    n = -(-(LAST // 500 + 1) // 2)
    assert head.split() == ["until", "decision", "events", "synops", "latency"] and len(lines) == n
    assert {line.split()[2] for line in lines} <= {"left", "right", "none"}
    assert sum(int(line.split()[3]) for line in lines) == 300 and all(line.endswith(" ms") for line in lines)
    assert first == f"{n} windows, {LAST // 500 + 1} steps ({(LAST // 500 + 1) * 0.0005:.4g} s), 300 events"
    assert speed.startswith("real-time factor ") and "events/s" in speed
    assert latency.startswith("latency ") and "(99 %)" in latency


def test_the_summary_has_what_is_said_of_the_model(run, model, recording, monkeypatch):
    loaded = eventsim.load(model)
    monkeypatch.setattr(eventsim.formats, "load", lambda path, **options: warnings.warn(
        f"{path}: its reset is assumed", EventsimWarning, stacklevel=2) or loaded)
    status, out, err = run("stream", model, recording, "--json", "--window", "10ms")
    assert status == 0 and err == f"eventsim: {model}: its reset is assumed\n"
    assert json.loads(out.splitlines()[-1])["summary"]["notes"] == [f"{model}: its reset is assumed"]


def test_json_lines(run, model, recording):
    status, out, err = run("stream", model, recording, "--json", "--window", "1ms", "--precision", "int8",
                           "--stride", "500us", "--smoothing", "0.5", "--fresh")
    *windows, end = map(json.loads, out.splitlines())
    sim = eventsim.Simulator(eventsim.load(model), "int8")
    expected = list(sim.stream(recording, 1000, stride=500, smoothing=0.5, fresh=True))
    assert status == 0 and err == "" and len(windows) == len(expected) == end["summary"]["windows"]
    for line, window in zip(windows, expected):
        assert line["scores"] == window.scores.tolist() and line["prediction"] == window.prediction
        assert line["class"] == sim.model.class_names[window.prediction] and line["events"] == window.n_events
        assert (line["start_us"], line["stop_us"]) == (window.start, window.stop)
        assert line["counts"]["synops"] == window.counts.total("synops")
        assert line["layers"]["out"] == window.counts["out"]["events"].sum()
    assert set(end["summary"]["latency_ms"]) == {"p50", "p95", "p99", "max"}


def test_an_overflow_is_said_and_json_stays_json(run, recording, tmp_path):
    nodes = {"in": Input((2, *SIZE), bits=8, events=EventBins(500, sensor_size=SIZE)), "flat": Flatten(),
             "fc": Dense(np.full((3, 400), 3e38)), "out": Readout("sum")}
    eventsim.save(eventsim.Model(nodes, list(zip(nodes, list(nodes)[1:])), 5), tmp_path / "large.h5")

    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    status, out, err = run("stream", tmp_path / "large.h5", recording, "--window", "1ms", "--json")
    *windows, end = (json.loads(line, parse_constant=refuse) for line in out.splitlines())
    assert status == 0 and windows[-1]["scores"] == windows[-1]["output"] == [None] * 3
    [note] = end["summary"]["notes"]
    assert note.startswith("float32 overflowed: the output of ") and err == f"eventsim: {recording}: {note}\n"
    _, out, err = run("stream", tmp_path / "large.h5", recording, "--window", "1ms")
    assert "overflowed" not in out and err == f"eventsim: {recording}: {note}\n"
    for command in ("run", "info"):
        words = (recording,) if command == "run" else ()
        json.loads(run(command, tmp_path / "large.h5", *words, "--json")[1], parse_constant=refuse)


def test_a_producer_that_is_killed(run, model, pipe):
    """Its last event is half there: it is left out and said, and the summary is printed."""
    code = ("import sys,time; f=open(sys.argv[1],'wb',0); f.write(sys.stdin.buffer.read()); print(flush=True); "
            "time.sleep(60)")
    producer = subprocess.Popen([sys.executable, "-SEc", code, pipe], stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE)

    def kill():
        producer.stdin.write(BINARY[:-6])
        producer.stdin.close()
        producer.stdout.readline()
        os.kill(producer.pid, signal.SIGKILL)

    thread = beside(kill)
    try:
        status, out, err = run("stream", model, pipe, "--window", "1ms")
    finally:
        producer.kill()
        producer.wait()
        producer.stdout.close()
    thread.join()
    assert status == 0 and producer.returncode == -signal.SIGKILL
    assert "windows, " in out and ", 299 events" in out and "real-time factor" in out
    assert err == f"eventsim: {pipe}: ended in the middle of an event; its last 7 bytes are left out\n"


@pytest.mark.parametrize("number, status", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("realtime", [False, True])
def test_signals_end_with_a_summary(run, model, pipe, number, status, realtime):
    before = signal.getsignal(number)

    def interrupt():
        with open(pipe, "wb", buffering=0) as file:
            file.write(BINARY)
            time.sleep(0.1)
            os.kill(os.getpid(), number)
            time.sleep(0.2)  # the pipe stays open: nothing but the signal ends it

    thread = beside(interrupt)
    exit_status, out, err = run("stream", model, pipe, "--window", "1ms", *["--realtime"] * realtime)
    thread.join()
    assert exit_status == status and signal.getsignal(number) == before
    assert " windows, " in out and err.count("\n") == 1 and err.startswith("eventsim: ")


@pytest.mark.parametrize("first", [1, 2], ids=["windows", "summary"])
def test_nobody_reads(run, model, recording, monkeypatch, capsys, first):
    """Whenever the reader leaves, before the first window or the summary, the summary goes where it is read."""
    class Closing(io.StringIO):
        written = 0

        def write(self, text):
            self.written += not text.isspace()
            if self.written >= first:
                raise BrokenPipeError

    monkeypatch.setattr(sys, "stdout", Closing())
    status, _, err = run("stream", model, recording, "--window", "1s")
    assert status == 141 and err.startswith("1 window, ") and "Traceback" not in err


def test_errors_are_one_line(run, model, recording, tmp_path):
    def refused(*arguments):
        status, out, err = run("stream", model, *arguments)
        assert status == 1 and out == "" and err.startswith("eventsim: ") and err.count("\n") == 1, err
        return err

    assert "missing.dat" in refused(tmp_path / "missing.dat")
    assert "window is '0.7ms', 1.4 steps of 500 us; expected a whole number of steps" in refused(
        recording, "--window", "0.7ms")
    assert "step is '10', expected a number with its unit, such as '10ms'" in refused(recording, "--step", "10")
    assert "stride is '2ms', longer than the window" in refused(recording, "--window", "1ms", "--stride", "2ms")
    assert "20 x 10 pixels" not in refused(recording, "--downsample", "2")
    status, out, err = run("stream", model, recording, "--crop", "0,0,10,5")
    assert status == 1 and "10 x 5 pixels, but the model's input takes 20 x 10" in err
    recording.write_bytes(recording.read_bytes()[:-3])
    status, out, err = run("stream", model, recording, "--window", "1ms")
    assert status == 1 and "truncated" in err and err.count("\n") == 1
    status, out, err = run("stream", model, recording, "--window", "1ms", "--keep-going")
    assert status == 0 and ", 299 events" in out and "only what stands before is taken" in err
