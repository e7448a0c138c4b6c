"""What runs, recordings and streams are given that they cannot take: one line of the right class that says so."""

from itertools import islice

import numpy as np
import pytest

from eventsim import DataError, EventBins, FormatError, Input, Model, ModelError, Neuron, RunError, Simulator
from eventsim.errors import EventsimError, LevelError

MODEL = Model({"in": Input((2, 4, 4), events=EventBins(100, sensor_size=(4, 4))), "n": Neuron(0.5)},
              [("in", "n")], 4)
SIMULATOR, INTEGERS = Simulator(MODEL), Simulator(MODEL, "int8")
X = np.random.default_rng(0).integers(0, 2, (3, 4, 2, 4, 4), np.uint8)
RECORDING = SIMULATOR.run(X, record=("spikes", "outputs"))
RAGGED = [[1], [2, 3]]
TABLE = np.array([[1, 2], [3, 4]])
MASKED = np.ma.array([1, 2, 3], mask=[1, 0, 0])
WRONG = (
    None, 5, -1, 0, 1.5, np.nan, np.inf, 1 << 70, True, 1 + 2j, np.datetime64("2020-01-01"), "", "foo",
    "a\nb", b"x", (), [], {}, set(), {1}, {"a": 1}, [None], ["foo"], [["spikes"]], ["spikes", 3], RAGGED,
    range(3), object(), type, Exception("x"), np.array(3), np.array([1, 2]), np.array(["a"]), np.array([1j]),
    np.array([object()]), np.zeros((3, 0)), TABLE, MASKED, "spikes:zz", "potentials:in", "spikes:n:n", ":n",
    lambda: 1,
)


def _events(n=50):
    rng = np.random.default_rng(1)
    return [{"t": np.sort(rng.integers(0, 3000, n)), **{key: rng.integers(0, high, n) for key, high in
                                                        (("x", 4), ("y", 4), ("p", 2))}}]


def _stream(**options):
    return list(islice(SIMULATOR.stream(_events(), options.pop("window", 200), **options), 100))


def _state(fresh=False):
    stream = SIMULATOR.stream(_events(), 200, stride=100, fresh=fresh)
    list(islice(stream, 5))
    return stream.state


def _resumed_stream(**changes):
    state = _state()
    vars(state).update(changes)
    return _stream(stride=100, state=state)


def _resumed(**changes):
    state = INTEGERS.run(X).state
    for name, value in changes.items():
        setattr(state, name, value)
    return INTEGERS.run(X, state=state)


CALLS = {
    **{f"Simulator {name}": lambda value, name=name: Simulator(**{"model": MODEL, name: value})
       for name in ("model", "precision", "workers", "chunk", "block", "chip", "memory_limit")},
    **{f"run {name}": lambda value, name=name: SIMULATOR.run(**{"x": X, name: value})
       for name in ("x", "timesteps", "record", "state", "lengths")},
    **{f"predict {name}": lambda value, name=name: SIMULATOR.predict(**{"x": X, name: value})
       for name in ("x", "timesteps", "progress")},
    **{f"score {name}": lambda value, name=name: SIMULATOR.score(**{"x": X, "y": [1, 2, 3], name: value})
       for name in ("x", "y", "timesteps", "progress")},
    "compile": SIMULATOR.compile,
    **{f"time_kernels {name}": lambda value, name=name: SIMULATOR.time_kernels(**{"x": X, name: value})
       for name in ("x", "timesteps", "record")},
    **{f"time_steps {name}": lambda value, name=name: SIMULATOR.time_steps(**{"x": X, name: value})
       for name in ("x", "timesteps")},
    **{f"iterate {name}": lambda value, name=name: list(SIMULATOR.iterate(**{"batches": [X], name: value}))
       for name in ("batches", "timesteps", "record")},
    "iterate lengths": lambda value: list(SIMULATOR.iterate([(X, None, value)])),
    **{f"stream {name}": lambda value, name=name: _stream(**{name: value})
       for name in ("window", "step", "stride", "fresh", "smoothing", "slack", "flush", "record", "state")},
    **{f"stream's state {name}": lambda value, name=name: _resumed_stream(**{name: value})
       for name in ("cut", "network", "start", "newest", "done", "number", "waiting", "emitted", "scores")},
    **{f"run's state {name}": lambda value, name=name: _resumed(**{name: value})
       for name in ("step", "membranes", "filtered", "pending", "waiting", "history", "sums", "proved",
                    "fingerprint")},
    **{name: getattr(RECORDING, name) for name in ("levels", "currents", "potentials", "residuals", "accuracy",
                                                   "__getitem__", "__contains__")},
}


@pytest.mark.parametrize("call", CALLS)
def test_what_is_refused_is_refused_in_one_line(call):
    n_refused = 0
    for value in WRONG:
        try:
            CALLS[call](value)
        except EventsimError as error:
            n_refused += 1
            assert "\n" not in str(error) and str(error), value
    assert n_refused or call == "__contains__"


@pytest.mark.parametrize("call, kind, message", [
    (lambda: SIMULATOR.run(X, timesteps=0), DataError, "timesteps is 0, expected a whole number from 1"),
    (lambda: SIMULATOR.predict(X, timesteps=1.5), DataError, "timesteps is 1.5, expected a whole number from 1"),
    (lambda: SIMULATOR.run(X, record=TABLE), DataError, r"record has array\(\[1, 2\]\), expected any of spikes, "),
    (lambda: SIMULATOR.compile([["spikes"]]), DataError, r"record has \['spikes'\], expected any of spikes, "),
    (lambda: _stream(record=5), DataError, "record is 5, expected a name such as 'spikes', or several"),
    (lambda: SIMULATOR.run(X, lengths=RAGGED), DataError, r"lengths is \[\[1\], \[2, 3\]\], expected one whole"),
    (lambda: SIMULATOR.run(RAGGED, lengths=[1, 2]), DataError, "x is no array of numbers"),
    (lambda: SIMULATOR.score(X, RAGGED), DataError,
     r"labels is \[\[1\], \[2, 3\]\], expected one number per sample"),
    (lambda: RECORDING.accuracy(RAGGED), DataError,
     r"labels is \[\[1\], \[2, 3\]\], expected one number per sample"),
    (lambda: SIMULATOR.predict(X, progress=TABLE), DataError, "progress is array.*, expected True, False or None"),
    (lambda: RECORDING[TABLE], RunError, "nothing of array.* in this recording; there are: "),
    (lambda: SIMULATOR.run(X, state=3), DataError, "state is 3, expected the `state` of an earlier Recording"),
    (lambda: SIMULATOR.run(X + 1), LevelError, "x has values up to 2 but"),
    (lambda: Simulator(MODEL, workers=1.5), ModelError, "workers is 1.5, expected a whole number from 1 to 1024"),
    (lambda: Simulator(MODEL, chip="foo"), FormatError, "chip is 'foo', expected .* the path of a JSON file"),
    (lambda: _stream(smoothing=TABLE), DataError, "smoothing is array.*, expected a share from 0 to below 1"),
    (lambda: _stream(state="x"), DataError, "state is 'x', expected the `state` of a stream"),
    (lambda: _stream(stride=200, state=_state()), DataError,
     r"state.cut is \(100.0, 2, 1\), expected \(100.0, 2, 2\)"),
    (lambda: _stream(stride=100, fresh=True, state=_state()), DataError,
     "windows share a state, .* give fresh=False"),
    (lambda: _stream(stride=100, state=_state(fresh=True)), DataError, "windows are fresh, .* give fresh=True"),
    (lambda: _resumed_stream(done=1), DataError, "state.network is after 5 steps, but state.done is 1"),
    (lambda: _resumed_stream(newest=1 << 70), DataError,
     "state.newest is 1180591620717411303424, expected a whole"),
    (lambda: _resumed_stream(waiting=np.array([[9, 7], [0, 0]])), DataError,
     "state.waiting has events that no stream"),
    (lambda: _resumed_stream(waiting=np.array([[9], [32]])), DataError, "state.waiting has events that no stream"),
    (lambda: _resumed_stream(waiting=np.array([[0], [0]])), DataError, "state.waiting has events that no stream"),
    (lambda: _resumed_stream(scores=np.zeros(2)), DataError,
     r"state.scores is array\(\[0., 0.\]\), expected an array"),
])
def test_message(call, kind, message):
    with pytest.raises(EventsimError, match=message) as caught:
        call()
    assert caught.type is kind


@pytest.mark.parametrize("call", ("run", "predict", "time_kernels", "time_steps"))
def test_steps_before_samples_are_refused_wherever_samples_are_run(call):
    with pytest.raises(DataError, match="where steps come first"):
        getattr(SIMULATOR, call)(X[:, :3].swapaxes(0, 1)[[0, 1, 2, 0]])


@pytest.mark.parametrize("fresh", (False, True))
def test_a_stream_goes_on_from_its_state(fresh):
    windows = list(SIMULATOR.stream(_events(), 200, stride=100, fresh=fresh))
    [events], state = _events(), _state(fresh)
    rest = {key: values[events["t"] > state.newest] for key, values in events.items()}
    later = list(SIMULATOR.stream([rest] if len(rest["t"]) else [], 200, stride=100, fresh=fresh, state=state))
    assert [window.number for window in later] == [window.number for window in windows[5:]]
    for window, expected in zip(later, windows[5:]):
        np.testing.assert_array_equal(window.answer, expected.answer)
