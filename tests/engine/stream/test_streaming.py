"""Streams: the same bits as one run, however they are cut; windows, late events, real time, memory."""

import gc
import re
import threading
import tracemalloc
from dataclasses import replace
from itertools import count

import numpy as np
import pytest
from event_files import made_events, structured
from small_networks import chain, conv, recurrent, weights

from eventsim import Dense, EventBins, EventStream, Flatten, Input, Model, Neuron, Readout, Simulator
from eventsim.errors import DataError, EventsimWarning, RunError
from eventsim.engine.stream.options import Course, StreamOptions
from eventsim.inputs.live import event_stream
from eventsim.merging import merge
from eventsim.inputs.event_files.options import EventOptions

WIDTH, SIZE = 100.0, (4, 5)  # microseconds of a step
PRECISIONS = ("float32", "float64", "int8", "loihi")


def _models():
    rng = np.random.default_rng(5)
    maps = Input((2, *SIZE), bits=8, events=EventBins(WIDTH, sensor_size=SIZE))
    row = Input((6,), bits=8, scale=0.5, events=EventBins(WIDTH, "one", sensor_size=(1, 6)))
    back = recurrent(rng)
    return {
        "convolution": chain(rng, maps, conv(6, padding=1, bias=False), Neuron(0.5, leak=0.9), conv(5),
                             Neuron(0.5)),
        "recurrent": Model({**back.nodes, "input": row}, back.edges, 6),
        "ends in spikes": chain(rng, maps, Flatten(), Dense(weights(rng, 7, 40)), Neuron(0.5), readout=False),
    }


MODELS = _models()


def simulator(name, precision="float32"):
    model = MODELS[name]
    return Simulator(model, chip="loihi") if precision == "loihi" else Simulator(model, precision)


def recording_for(model, n=400, step=9):
    height, width = model.nodes["input"].events.sensor_size
    return structured(made_events(n, width, height, step=step))


def levels_of(model, events):
    """int (1, T, ...)"""
    bins = model.nodes["input"].events
    stream = EventStream.from_numpy(events, bins.sensor_size)
    levels = np.concatenate(list(stream.bins(bins.bin_width, bins.polarities, bins.coincident)))
    return levels.reshape(1, len(levels), *model.nodes["input"].shape)


def assert_same(window, other):
    for name in ("number", "start", "stop", "steps", "n_events", "prediction"):
        assert getattr(window, name) == getattr(other, name), name
    for name in ("answer", "scores", "output"):
        np.testing.assert_array_equal(getattr(window, name), getattr(other, name), err_msg=name)
    assert window.counts.totals() == other.counts.totals()


# ---- one run


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", MODELS)
def test_a_stream_cut_at_100_places_is_one_run(name, precision):
    sim, events = simulator(name, precision), recording_for(MODELS[name])
    levels = levels_of(MODELS[name], events)
    whole = sim.run(levels, record=("outputs",))
    options = dict(window=400, stride=300, smoothing=0.5)
    expected = list(sim.stream([events], **options))
    cuts = np.sort(np.random.default_rng(1).integers(0, len(events) + 1, 100))
    state, found = None, []
    for i, piece in enumerate(np.split(events, cuts)):
        stream = sim.stream([piece], state=state, flush=i == len(cuts), **options)
        found += list(stream)
        state = stream.state
    assert len(found) == len(expected) == -(-levels.shape[1] // 3) and state.done == levels.shape[1]
    for window, other in zip(found, expected):
        assert_same(window, other)
        last = round((window.stop - events["t"][0]) / WIDTH) - 1
        np.testing.assert_array_equal(window.output, whole.outputs[0, last])
    assert merge([window.counts for window in found], along="steps").totals() == whole.counts.totals()
    assert whole.counts.total("synops") > 0 and sum(window.n_events for window in found) == len(events)
    for kind in ("membranes", "filtered", "pending", "waiting", "history"):
        kept, other = getattr(state.network, kind), getattr(whole.state, kind)
        assert kept.keys() == other.keys()
        for layer in kept:
            np.testing.assert_array_equal(kept[layer], other[layer])


def test_fresh_windows_are_runs_of_their_own():
    model, sim = MODELS["convolution"], simulator("convolution", "int8")
    events = recording_for(model)
    levels = levels_of(model, events)
    for stride in (200, 500):
        windows = list(sim.stream([events], 500, stride=stride, fresh=True, record="spikes"))
        assert len(windows) == -(-levels.shape[1] * 100 // stride)
        for window in windows:
            first, stop = (round((t - events["t"][0]) / WIDTH) for t in (window.start, window.stop))
            assert stop - first == window.steps == window.recording.timesteps
            alone = sim.run(levels[:, first:stop], timesteps=stop - first)
            np.testing.assert_array_equal(window.answer, alone.output[0])
            np.testing.assert_array_equal(window.output, alone.output[0])
            assert window.counts.totals() == alone.counts.totals()
            np.testing.assert_array_equal(window.recording.levels("input"), levels[:, first:stop])


@pytest.mark.parametrize("precision", ["float32", "int8"])
@pytest.mark.parametrize("name", MODELS)
def test_answers_are_of_the_window_and_scores_of_the_past(name, precision):
    model, sim = MODELS[name], simulator(name, precision)
    events, output = recording_for(model), sim.program.output
    stage = sim.program.stages[output]
    run = sim.run(levels_of(model, events), record=f"{'potentials' if stage.reduce else 'spikes'}:{output}")
    given = run.potentials(output)[0] if stage.reduce else run.levels(output)[0]
    unit = stage.steps_per_unit[0] if stage.reduce and precision == "int8" else 1
    scores = None
    for window in sim.stream([events], 500, stride=200, smoothing=0.75):
        last = round((window.stop - events["t"][0]) / WIDTH)
        steps = given[last - window.steps : last].astype(np.float64)
        reduced = {"last": steps[-1], "mean": steps.mean(axis=0)}.get(stage.reduce, steps.sum(axis=0))
        answer = reduced.ravel() / unit
        np.testing.assert_allclose(window.answer, answer, rtol=1e-5, atol=1e-6)
        new = window.answer.astype(np.float64)
        scores = new if scores is None else 0.75 * scores + 0.25 * new
        np.testing.assert_allclose(window.scores, scores, rtol=1e-12)
        assert window.prediction == window.scores.argmax()
    assert window.steps in (3, 4, 5) and last == len(given)


# ---- sources and late events


def by_the_rule(events, stride, slack):
    """(steps of the events that are not late, which those are), one event after another."""
    start, newest, kept, steps = events["t"][0], events["t"][0], [], []
    for i, t in enumerate(events["t"].tolist()):
        step = (t - start) // 100
        closed = (newest - slack - start) // 100 // stride * stride
        if step >= max(closed, 0):
            kept.append(i)
            steps.append(step)
        newest = max(newest, t)
    return np.array(steps), np.array(kept)


@pytest.mark.parametrize("slack", [0, 150])
@pytest.mark.parametrize("jitter", [60, 200])
def test_late_events_by_the_stated_rule(jitter, slack):
    model, sim = MODELS["convolution"], simulator("convolution")
    events = recording_for(model, 300)
    events["t"] += np.random.default_rng(2).integers(-jitter, jitter, len(events))
    events["t"][7] = events["t"][0] - 30  # before the first step
    steps, kept = by_the_rule(events, 3, slack)
    assert 0 < len(events) - len(kept) < len(events) / 2
    levels = np.zeros((1, steps.max() + 1, 2, *SIZE), int)
    np.add.at(levels, (0, steps, events["p"][kept], events["y"][kept], events["x"][kept]), 1)
    whole = sim.run(levels, record="outputs", timesteps=levels.shape[1])
    for n in (1, 10, 1000):
        stream = sim.stream((events[i : i + n] for i in range(0, len(events), n)), "300us", slack=slack)
        windows = list(stream)
        assert stream.summary.late_events == len(events) - len(kept)
        np.testing.assert_array_equal([window.output for window in windows[:-1]],
                                      whole.outputs[0, 2:-1:3][:len(windows) - 1])
        np.testing.assert_array_equal(windows[-1].output, whole.output[0])
        assert sum(window.n_events for window in windows) == len(kept) == stream.summary.events


def test_steps_of_another_width_and_the_default_window():
    sim = simulator("convolution")
    events = {"t": [0, 2499, 2500, 30000], "x": [0] * 4, "y": [0] * 4, "p": [1] * 4}
    stream = sim.stream([events], step="2.5ms")
    assert stream.course.cut == (2500, 4, 4)
    first, *_, last = stream
    assert (first.start, first.stop, first.n_events, last.stop, last.steps) == (0, 10000, 3, 32500, 1)
    assert sim.stream([events]).course.cut == (100, 100, 100)
    assert sim.stream([events], step="20 ms").course.cut == (20000, 1, 1)


def test_integers_go_on_where_their_membranes_allow_it():
    """The proof in advance assumes the worst input; what membranes really hold renews it."""
    node = Input((1,), bits=16, events=EventBins(WIDTH, "one", sensor_size=(1, 1)))
    sim = Simulator(Model({"in": node, "d": Dense([[1.0]]), "n": Neuron(1.0)}, [("in", "d"), ("d", "n")]), "int8")
    safe, steps = sim.program.safe_steps, 4 * sim.program.safe_steps
    one = {"t": np.arange(steps) * 100, "x": [0] * steps, "y": [0] * steps, "p": [1] * steps}
    windows = list(sim.stream([one], 100 * 50))
    assert windows[-1].stop == 100 * steps and windows[-1].output == [steps]
    float_ = Simulator(sim.model, "float64").run(np.ones((1, steps, 1), int), timesteps=steps)
    assert float_.output[0] == windows[-1].output
    stream = sim.stream([one], 100 * 50)
    for _ in range(safe // 50):
        next(stream)
    stream.state.network.membranes["n"][..., :1] = (1 << 31) - (1 << 24)  # as near as no input has brought them
    with pytest.raises(RunError, match=f"{safe // 50 * 50 + 50} steps, but only .* proved free of int32 overflow"):
        next(stream)


@pytest.mark.parametrize("precision", ("float32", "int8"))
def test_a_state_that_was_given_stays_as_it_was(precision):
    """A stream goes on in its own state; what others have is left alone, also where settings change on the way."""
    sim, events = simulator("convolution", precision), recording_for(MODELS["convolution"])
    expected = list(sim.stream([events], 100))
    stream, found, kept = sim.stream([events], 100), [], []
    for i, window in enumerate(stream):
        found.append(window)
        if i % 4 == 1:
            state = stream.state.network
            kept.append((state, {name: array.copy() for name, array in state.membranes.items()}))
        sim.workers = 1 + (i > 10)
    for window, other in zip(found, expected):
        assert_same(window, other)
    assert len(found) == len(expected) == 4 * len(kept) == 16
    for state, membranes in kept:
        for name, array in membranes.items():
            np.testing.assert_array_equal(state.membranes[name], array, name)


def test_a_bad_window_is_named():
    sim = simulator("convolution")
    block = {"t": [500] * 300, "x": [1] * 300, "y": [1] * 300, "p": [1] * 300}
    with pytest.raises(DataError, match="events: window from 500 to 600 us: x has values up to 300 .*'merge'"):
        list(sim.stream([block], 100))
    blocks = [{key: [value] for key, value in (("t", t), ("x", 1), ("y", 1), ("p", 1))} for t in range(0, 500, 50)]
    with pytest.raises(DataError, match="events: window from 500 to 600 us: x has values up to 300 .*'merge'"):
        list(sim.stream([*blocks, block], 100))


def test_a_stream_has_no_state_after_a_window_that_failed():
    """Its network is in the middle of the window, its events are gone."""
    blocks = [{key: [value] * n for key, value in (("t", t), ("x", 1), ("y", 1), ("p", 1))}
              for t, n in ((50, 1), (150, 1), (250, 300), (350, 1), (450, 1))]
    stream = simulator("convolution").stream(blocks, 100)
    next(stream)
    assert stream.state.number == 1
    with pytest.raises(DataError, match="x has values up to 300"):
        list(stream)
    with pytest.raises(DataError, match="window 2 failed or was stopped, so that there is no state to go on from"):
        stream.state


def test_every_window_is_timed():
    """The first, and those that go on in the stream's own state."""
    windows = list(simulator("convolution").stream([recording_for(MODELS["convolution"])], 100, record="timing"))
    assert len(windows) > 5
    assert all(window.recording.timing.by_kernel() for window in windows)


# ---- without end


def endless(n=50, span=500):
    rng = np.random.default_rng(0)
    x, y, p = (rng.integers(0, top, n) for top in (SIZE[1], SIZE[0], 2))
    for start in count(0, span):
        yield {"t": start + np.arange(n) * span // n, "x": x, "y": y, "p": p}


def test_memory_is_flat():
    stream = simulator("convolution").stream(endless(), 500)
    sizes = []
    for _ in range(3):
        for _ in range(100):
            window = next(stream)
        gc.collect()
        if not sizes:
            tracemalloc.start()
        sizes.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert window.number == 299 and stream.summary.windows == 300
    assert sizes[2] - sizes[1] < 50_000  # bytes; 100 windows have twenty times as many
    assert stream.state.waiting.shape[1] <= 100


def test_real_time_does_not_wait_for_events():
    silent, go_on = threading.Event(), threading.Event()

    def source():
        yield {"t": [0, 1, 2], "x": [1, 2, 3], "y": [0, 1, 2], "p": [1, 1, 0]}
        silent.set()
        go_on.wait(20)
        yield {"t": [3, 10**9], "x": [1, 1], "y": [0, 0], "p": [1, 1]}

    stream = simulator("convolution").stream(source(), "5ms", realtime=True, longest_gap="1h")
    windows = [next(stream) for _ in range(3)]
    assert silent.is_set() and [window.n_events for window in windows] == [3, 0, 0]
    assert all(window.latency > 0 for window in windows) and stream.state.done == 150
    go_on.set()
    for _ in range(1000):
        next(stream)
        if stream.summary.late_events:
            break
    assert stream.summary.late_events == 1 and stream.summary.events == 3


def test_real_time_plays_a_recording_at_its_own_speed():
    block = {"t": [0, 149_000], "x": [1, 1], "y": [0, 0], "p": [1, 1]}
    stream = simulator("convolution").stream([block], "50ms", realtime=True)
    assert [window.n_events for window in stream] == [1, 0, 1]
    assert stream.summary.wall_seconds > 0.149 and stream.summary.stream_seconds == pytest.approx(0.1491)


def test_an_error_of_the_source_ends_real_time():
    def source():
        yield {"t": [0], "x": [0], "y": [0], "p": [1]}
        raise DataError("the camera has gone")

    stream = simulator("convolution").stream(source(), "1s", realtime=True)
    with pytest.raises(DataError, match="the camera has gone"):
        next(stream)


def test_the_summary_adds_up():
    stream = simulator("convolution").stream([recording_for(MODELS["convolution"])], 300)
    empty = stream.summary
    assert empty.windows == 0 and empty.latency_ms is None and empty.real_time_factor is None
    windows = list(stream)
    found = stream.summary
    spent = [window.seconds for window in windows]
    assert found.windows == len(windows) and found.seconds == pytest.approx(sum(spent))
    assert found.real_time_factor == pytest.approx(found.steps * 1e-4 / sum(spent))
    assert found.latency_ms["max"] == pytest.approx(1e3 * max(spent))
    for name, percent in (("p50", 50), ("p95", 95), ("p99", 99)):
        exact = 1e3 * np.quantile(spent, percent / 100, method="inverted_cdf")
        assert exact * 0.999 <= found.latency_ms[name] <= exact * 1.021


def overflowing(weight=3e38, hidden=False):
    """Sums that grow beyond float32; hidden: and come to rest in a hard reset, before a finite output."""
    nodes = {"input": Input((2, *SIZE), bits=8, events=EventBins(WIDTH, sensor_size=SIZE)), "flat": Flatten(),
             "fc": Dense(np.full((3, 40), weight))}
    if hidden:
        nodes |= {"n": Neuron(reset="hard"), "last": Dense(np.eye(3))}
    nodes["out"] = Readout("sum")
    return Simulator(Model(nodes, list(zip(nodes, list(nodes)[1:])), 5))


@pytest.mark.parametrize("fresh", (False, True))
@pytest.mark.parametrize("hidden", (False, True))
def test_an_overflow_is_said_once(fresh, hidden):
    sim, events = overflowing(hidden=hidden), recording_for(MODELS["convolution"])
    stream = sim.stream([events], 500, fresh=fresh, record="spikes")
    windows = list(stream)
    seen = sum(not np.isfinite(window.output).all() for window in windows)
    levels = levels_of(sim.model, events)
    potentials = sim.run(levels, levels.shape[1], "potentials:n").potentials("n") if hidden else 0
    [note] = stream.summary.notes
    assert note.startswith("float32 overflowed: ") and "run in float64, or rescale the weights" in note
    assert (f"{(~np.isfinite(potentials)).sum()} potentials of n" in note) is hidden
    assert (f"the output of {seen} windows" in note) is not hidden and bool(seen) is not hidden
    assert all(window.recording.statistics is None for window in windows)
    asked = list(sim.stream([events], 500, fresh=fresh, record=("membranes", "statistics")))
    assert all(bool(window.recording.statistics.membranes) is hidden for window in asked)
    assert all(window.recording.statistics.trains for window in asked)
    trains = list(sim.stream([events], 500, fresh=fresh, record="statistics"))
    assert not any(window.recording.statistics.membranes for window in trains)
    assert all(window.recording.statistics.trains for window in trains)


def test_finite_numbers_are_no_overflow():
    stream = overflowing(1.0, hidden=True).stream([recording_for(MODELS["convolution"])], 500)
    list(stream)
    assert stream.summary.notes == ()


@pytest.mark.parametrize("fresh", (False, True))
@pytest.mark.parametrize("stride", (100, 200, 500))
def test_what_windows_share_counts_once(fresh, stride):
    """Each event and each stretch of time, also of a stream that goes on with the state of another."""
    sim, events = simulator("convolution"), recording_for(MODELS["convolution"])
    steps = levels_of(MODELS["convolution"], events).shape[1]
    options = dict(window=500, stride=stride, fresh=fresh)
    whole = sim.stream([events], **options)
    assert len(list(whole)) == -(-steps * 100 // stride)
    first = sim.stream([events[:250]], flush=False, **options)
    list(first)
    second = sim.stream([events[250:]], state=first.state, **options)
    list(second)
    for found in (whole.summary,), (first.summary, second.summary):
        assert sum(one.steps for one in found) == steps and sum(one.events for one in found) == len(events)
        assert sum(one.stream_seconds for one in found) == pytest.approx(steps * 1e-4)
    found = whole.summary
    assert found.events_per_second == pytest.approx(len(events) / found.seconds)
    assert found.real_time_factor == pytest.approx(steps * 1e-4 / found.seconds)


def test_a_source_is_opened_by_what_it_is():
    events = recording_for(MODELS["convolution"], 20)
    stream = EventStream.from_numpy(events, SIZE)
    assert event_stream(stream, EventOptions()) is stream
    assert len(event_stream(events, EventOptions(SIZE)).read()) == 20
    with pytest.raises(DataError, match="8 x 8 pixels, but the model's input takes 5 x 4"):
        simulator("convolution").stream(EventStream([], sensor_size=(8, 8)))
    with pytest.raises(DataError, match="outside the sensor of 5 x 4 pixels"):
        next(simulator("convolution").stream([{"t": [0], "x": [9], "y": [0], "p": [0]}]))
    plain = replace(MODELS["convolution"].nodes["input"], events=None)
    model = Model({**MODELS["convolution"].nodes, "input": plain}, MODELS["convolution"].edges)
    with pytest.raises(DataError, match="give it events=EventBins"):
        Simulator(model).stream(stream)


@pytest.mark.parametrize("source, options, message", [
    ([], dict(bogus=1), "'bogus' is no option, expected one of sensor_size, .* smoothing, "),
    ([], dict(sensorsize=SIZE), "'sensorsize' is no option, .*; did you mean 'sensor_size'"),
    ([], dict(smoothing="a"), "smoothing is 'a', expected a share"),
    *(([], {name: value}, f"{name} is {value!r}, expected True or False")
      for name in ("fresh", "realtime", "flush", "keep_going") for value in ("no", 0)),
    ([{"t": [0.1, 0.5], "x": [0, 1], "y": [0, 0], "p": [1, 1]}], {}, "t has 0.1, expected whole microseconds"),
])
def test_what_a_stream_is_not_asked_for(source, options, message):
    with pytest.raises(DataError, match=message):
        list(simulator("convolution").stream(source, **options))


@pytest.mark.parametrize("options, message", [
    (dict(step="1e-320s"), "step is '1e-320s', expected a time above"),
    (dict(step="1e-10s"), "window is .*, 1e.08 steps of 0.0001 us; expected a whole number of steps, from 1 to"),
    (dict(step="2e-12s", window="1s"), "window is .1s., 5e.11 steps of 2e-06 us"),
])
def test_steps_beyond_number_are_refused(options, message):
    with pytest.raises(DataError, match=message):
        Course.of(options.pop("window", None), StreamOptions(**options), EventBins(1000, sensor_size=(1, 1)))


@pytest.mark.parametrize("options, said", [({}, "this run goes on, .* start afresh"), ({"fresh": True}, ""),
                                           ({"fresh": True, "window": 3}, "this run has 3, .* run 2, or export")])
def test_a_stream_says_where_the_number_of_steps_matters(options, said, recwarn):
    bins = EventBins(1000, sensor_size=(4, 4))
    nodes = {"in": Input((2, 4, 4), bits=8, events=bins), "flat": Flatten(), "fc": Dense(np.ones((3, 32))),
             "n": Neuron()}
    model = Model(nodes, list(zip(nodes, list(nodes)[1:])), timesteps=2, timesteps_fixed=True)
    events = {"t": np.arange(0, 9000, 500), "x": np.arange(18) % 4, "y": np.arange(18) % 3, "p": np.arange(18) % 2}
    windows = list(Simulator(model).stream([events], f"{options.pop('window', 2)}ms", **options))
    found = [str(each.message) for each in recwarn.list if each.category is EventsimWarning]
    assert len(windows) > 1 and len(found) == bool(said) and all(re.search(said, text) for text in found)
    assert "2 steps alone" in repr(model).splitlines()[0]
