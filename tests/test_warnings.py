"""Warnings are of the user's line that called eventsim, however deep below it they are given."""

import warnings
from pathlib import Path

import numpy as np
import pytest

import eventsim
from eventsim import Dense, Input, Model, Neuron, Readout, Simulator
from eventsim.errors import EventsimWarning

PACKAGE = Path(eventsim.__file__).parent
COUNT_BY_HAND = {PACKAGE / "errors.py", PACKAGE / "kernels" / "compiling.py"}  # kernels use nothing of the package


def model_of_4_steps():
    """A model that warns of other numbers of steps."""
    nodes = {"in": Input((3,), bits=8), "dense": Dense(np.eye(3)), "neuron": Neuron(200.0)}
    model = Model(nodes, [("in", "dense"), ("dense", "neuron")], 4)
    model.timesteps_fixed = True
    return model


X = np.full((2, 3), 100)
MOVING = np.full((2, 6, 3), 100)
CALLS = {
    "run": lambda simulator: simulator.run(X, 6),
    "run with lengths": lambda simulator: simulator.run(MOVING, lengths=[5, 6]),
    "iterate": lambda simulator: list(simulator.iterate([X], 6)),
    "predict": lambda simulator: simulator.predict(X, 6),
    "score": lambda simulator: simulator.score(X, [0, 1], 6),
    "evaluate": lambda simulator: eventsim.evaluate(simulator, X, timesteps=6),
    "compare": lambda simulator: eventsim.compare(simulator, simulator, X, timesteps=6),
    "labels of score": lambda simulator: simulator.score(X, [0, 7]),
    "labels of evaluate": lambda simulator: eventsim.evaluate(simulator, (X, [0, 7])),
    "labels of a recording": lambda simulator: simulator.run(X).accuracy([0, 7]),
    "labels of compare": lambda simulator: eventsim.compare(simulator, simulator, X, [0, 7]),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_warning_is_of_the_line_that_called(call):
    simulator = Simulator(model_of_4_steps())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call(simulator)
    ours = [each for each in caught if issubclass(each.category, EventsimWarning)]
    assert ours
    assert {each.filename for each in ours} == {__file__}


def test_a_warning_of_rounding_is_of_the_line_that_made_the_simulator():
    nodes = {"in": Input((1,)), "readout": Readout("last", leak=0.9999)}
    with pytest.warns(EventsimWarning, match="another network") as caught:
        Simulator(Model(nodes, [("in", "readout")], 5000), "int8")
    assert {each.filename for each in caught} == {__file__}


def test_frames_are_counted_in_one_place():
    by_hand = {path for path in PACKAGE.rglob("*.py") if "stacklevel" in path.read_text()}
    assert by_hand == COUNT_BY_HAND
