"""What waits in a stream's state, changed by hand: each way in which no stream leaves it."""

from dataclasses import replace

import numpy as np
import pytest

from eventsim import DataError, EventBins, Input, Model, Neuron, Simulator

BINS = EventBins(1000.0, "one", sensor_size=(1, 3))
MODEL = Model({"in": Input((3,), bits=2, events=BINS), "n": Neuron()}, [("in", "n")], 1)


def events(*pairs):
    times, places = zip(*pairs)
    return {"t": list(times), "x": list(places), "y": [0] * len(places), "p": [1] * len(places)}


FIRST = events((0, 0), (2100, 1), (2200, 0), (3100, 2), (3200, 1))  # those of steps 2 and 3 wait


@pytest.fixture(scope="module")
def begun():
    """options -> the state of a stream of windows of two steps."""
    states = {}
    for fresh, stride in ((False, None), (True, None), (True, "1ms")):
        options = {"window": "2ms", "fresh": fresh, **({"stride": stride} if stride else {})}
        stream = Simulator(MODEL).stream([FIRST], flush=False, **options)
        assert list(stream)
        states[fresh, stride] = options, stream.state
    return states


def may_wait(waiting, done, again):
    """Whether steps rise, none is over, and all places are of the input."""
    steps, places = waiting.tolist()
    return (all(a <= b for a, b in zip(steps, steps[1:])) and all(step >= done - again for step in steps)
            and all(0 <= place < 3 for place in places))


CHANGES = {
    "as it was": lambda w, done: w, "in reverse": lambda w, done: w[:, ::-1],
    "the last first": lambda w, done: np.roll(w, 1, axis=1),
    "two exchanged": lambda w, done: w[:, [0, 2, 1, *range(3, w.shape[1])]],
    "the places alone": lambda w, done: np.stack((w[0], w[1][::-1])), "one": lambda w, done: w[:, :1],
    "none": lambda w, done: w[:, :0],
    **{f"a place of {place}": lambda w, done, place=place: np.stack((w[0], np.full(w.shape[1], place)))
       for place in (-1, 0, 2, 3)},
    **{f"a step {back} earlier": lambda w, done, back=back: np.concatenate(([[done - back], [0]], w), axis=1)
       for back in (0, 1, 2, 3)},
}


@pytest.mark.parametrize("key", ((False, None), (True, None), (True, "1ms")), ids=str)
@pytest.mark.parametrize("case", CHANGES)
def test_events_that_wait(begun, key, case):
    options, state = begun[key]
    assert state.waiting.shape[1] >= 4
    waiting = np.ascontiguousarray(CHANGES[case](state.waiting, state.done))

    def stream():
        changed = replace(state, waiting=waiting)
        return Simulator(MODEL).stream([events((5000, 0))], state=changed, **options)

    if may_wait(waiting, state.done, 2 if key[0] else 0):
        assert list(stream())
        return
    with pytest.raises(DataError, match="^state.waiting has events that no stream leaves: of steps that are over "
                       "or out of order, or of places that the input does not have"):
        stream()
