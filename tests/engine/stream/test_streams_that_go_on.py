"""Streams after an end that cut a window short, and at sums without end: what came before changes nothing."""

import numpy as np
import pytest

from eventsim import DataError, Dense, EventBins, Input, Model, Neuron, Readout, Simulator
from eventsim.kernels import calling

BINS = EventBins(1000.0, "one", sensor_size=(1, 3))
T = 12  # steps


def network(weight=None, neuron=None, readout=None):
    weights = np.random.default_rng(0).normal(size=(3, 3)) if weight is None else np.full((3, 3), weight)
    nodes = {"in": Input((3,), bits=8, events=BINS), "d": Dense(weights), "n": neuron or Neuron(0.7, leak=0.9),
             "e": Dense(np.eye(3)), "out": readout or Readout("sum")}
    return Model(nodes, list(zip(nodes, list(nodes)[1:])), 4)


SIMULATOR = Simulator(network())
PLACES = np.random.default_rng(3).integers(0, 3, T)


def events(first=0, stop=T, each=1):
    """Some events in each of these steps."""
    t = np.repeat(np.arange(first, stop) * 1000, each)
    return {"t": t, "x": PLACES[first:stop].repeat(each), "y": 0 * t, "p": 0 * t + 1}


def shown(windows):
    return {window.stop: (window.start, window.steps, window.answer.tolist()) for window in windows}


def lines_of_cuts():
    rng = np.random.default_rng(7)
    for window, stride in ((4, 2), (4, 1), (4, 3), (3, 2), (5, 4), (6, 5), (2, 2), (1, 1), (7, 3)):
        yield window, stride, sorted(rng.choice(np.arange(1, T), 3, replace=False).tolist())


@pytest.mark.parametrize("fresh", (False, True))
@pytest.mark.parametrize("window, stride, cuts", [
    *((4, stride, [cut]) for stride in (1, 2, 3, 4) for cut in (1, 3, 5, 6, 9, 10)), *lines_of_cuts(),
    (5, 4, [1, 2, 3]), (5, 4, [5, 6, 7]),
])
def test_windows_go_on_after_a_flush(window, stride, cuts, fresh):
    """A window that an end cut short is followed by one that ends where, and has what, it would have anyway."""
    options = dict(window=f"{window}ms", stride=f"{stride}ms", fresh=fresh)
    whole, state = shown(SIMULATOR.stream([events()], **options)), None
    for first, stop in zip([0, *cuts], [*cuts, T]):
        stream = SIMULATOR.stream([events(first, stop)], state=state, **options)
        parts, state = shown(stream), stream.state
        ends = {end: parts[end] for end in parts if end in whole}
        assert ends == {end: whole[end] for end in ends} and len(parts) - len(ends) <= 1
    assert max(parts) == T * 1000 and state.done == T


@pytest.mark.parametrize("cut", range(1, 8))
def test_steps_of_sliding_windows_by_hand(cut):
    """Of one event in each step: each window's sum is its number of steps."""
    nodes = {"in": Input((1,), bits=8, events=EventBins(1000.0, "one", sensor_size=(1, 1))), "d": Dense([[1.0]]),
             "out": Readout("sum", leak=0.0)}
    simulator, options = Simulator(Model(nodes, [("in", "d"), ("d", "out")], 4)), dict(window="4ms", stride="2ms")
    parts = [{key: [value] * n for key, value in (("x", 0), ("y", 0), ("p", 1))} | {"t": np.arange(n) * 1000 + start}
             for start, n in ((0, cut), (1000 * cut, 8 - cut))]
    first = simulator.stream(parts[:1], **options)
    windows = [*first, *simulator.stream(parts[1:], state=first.state, **options)]
    for window in windows:
        assert window.steps == window.answer[0] and window.stop - window.start == 1000 * window.steps
        if window.stop > 1000 * cut:
            assert window.steps == (4 if window.stop >= 4000 else 2)


def test_an_output_of_a_state_that_no_window_leaves_is_refused():
    stream = SIMULATOR.stream([events(0, 5)], "4ms", stride="2ms")
    list(stream)
    state = stream.state
    assert state.emitted.shape == (3, 3)
    state.emitted = np.zeros((4, 3), np.float32)
    with pytest.raises(DataError, match="state.emitted is .* expected an array as a stream gave it"):
        SIMULATOR.stream([events(5)], "4ms", stride="2ms", state=state)


def test_a_stride_longer_than_the_window_is_refused():
    with pytest.raises(DataError, match="stride is '3ms', longer than the window"):
        SIMULATOR.stream([], "2ms", stride="3ms")


@pytest.mark.skipif(not calling.COMPILES, reason="nothing is compiled")
@pytest.mark.parametrize("options", ({"window": "5ms"}, {"window": "18ms", "stride": "17ms"}, {"window": "1ms"},
                                     {"window": "4ms", "stride": "1ms", "fresh": True},
                                     {"window": "130ms", "record": ("statistics",)}), ids=str)
def test_no_window_needs_a_kernel_that_the_stream_did_not_compile(monkeypatch, options):
    """Neither the first ones nor the last, which may be shorter."""
    addresses = {}
    monkeypatch.setattr(calling, "_ADDRESSES", addresses)
    simulator = Simulator(network())
    for n in (1, 3, 6, 12):
        n *= 23 if options["window"] == "18ms" else 1
        stream = simulator.stream([{"t": np.arange(n) * 1000, "x": [1] * n, "y": [0] * n, "p": [1] * n}], **options)
        known = set(addresses)
        assert len(list(stream)) and set(addresses) == known


# ---- what a summary says


def potentials_of(simulator, each):
    levels = np.zeros((1, T, 3), int)
    levels[0, np.arange(T), PLACES] = each
    return simulator.run(levels, T, record="potentials:n").potentials("n")


@pytest.mark.parametrize("weight, neuron, each", [
    (5e37, Neuron(3.3e38, reset="hard"), 1),  # only the sum of several windows is beyond floats
    (3e35, Neuron(1.0, reset="none"), 200),  # weights that are far from it alone
])
def test_sums_that_overflow_after_many_windows_are_said(weight, neuron, each):
    """Hidden in a layer whose output is finite."""
    simulator = Simulator(network(weight, neuron))
    stream = simulator.stream([events(each=each)], "4ms")
    assert all(np.isfinite(window.output).all() for window in stream)
    n = int((~np.isfinite(potentials_of(simulator, each))).sum())
    assert n and any(f"{n} potentials of n" in note for note in stream.summary.notes)


def test_no_percentile_is_above_the_longest():
    stream = SIMULATOR.stream([events()], "12ms")
    list(stream)
    latency_ms = stream.summary.latency_ms
    assert latency_ms["p50"] == latency_ms["p99"] == latency_ms["max"]
