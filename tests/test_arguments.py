"""Numbers that users give: a wrong one raises the class that the function documents, and names its argument."""

from fractions import Fraction

import numpy as np
import pytest

from eventsim import (
    compare, DataError, Dense, Evaluation, EventStream, Input, Model, ModelError, Readout, Simulator,
)
from eventsim.arguments import finite_number, integer
from eventsim.costs.other_tools import conventions

MODEL = Model({"in": Input((2,)), "d": Dense(np.ones((1, 2))), "out": Readout("sum")}, [("in", "d"), ("d", "out")])
X = np.ones((1, 3, 2), int)
EVENTS = {"t": [0, 5], "x": [0, 1], "y": [0, 0], "p": [1, 0]}
NUMBERS = (3, 3.0, np.int8(3), np.float32(3), np.array(3), np.array([3]), [3], Fraction(3))
NONE = (True, np.True_, "3", None, 3j, [], [3, 3], np.ones(3), np.zeros(0), float("nan"), np.inf, np.ma.masked, {})


def simulator():
    return Simulator(MODEL)


def events():
    return EventStream(EVENTS, sensor_size=(1, 2))


@pytest.mark.parametrize("number", NUMBERS, ids=repr)
def test_a_number_of_any_type_is_taken(number):
    for checked, kind in ((integer(number, "n", 3, 3), int), (finite_number(number, "n"), float)):
        assert checked == 3 and type(checked) is kind


@pytest.mark.parametrize("value", NONE, ids=repr)
@pytest.mark.parametrize("error", (DataError, ModelError))
def test_what_is_no_number_is_refused(value, error):
    with pytest.raises(error, match="^n is .*, expected a whole number from 0 on$"):
        integer(value, "n", 0, error=error)
    with pytest.raises(error, match="^n is .*, expected a finite number$"):
        finite_number(value, "n", error)


@pytest.mark.parametrize("value", (-1, 6, 2.5, 10**400), ids=repr)
def test_a_number_outside_is_refused(value):
    with pytest.raises(DataError, match="expected a whole number from 0 to 5"):
        integer(value, "n", 0, 5)


def test_an_integer_beyond_all_floats_is_not_finite():
    with pytest.raises(DataError, match="expected a finite number"):
        finite_number(10**400, "n")


def test_a_tensor_is_a_number():
    torch = pytest.importorskip("torch")
    assert finite_number(torch.tensor(0.5, requires_grad=True), "n") == 0.5
    assert integer(torch.tensor([4]), "n", 0) == 4


@pytest.mark.parametrize("call, message", (
    (lambda: simulator().run(X[:, 0], timesteps=0), "timesteps is 0, expected a whole number from 1 to"),
    (lambda: simulator().run(X[:, 0], timesteps=1.5), "timesteps is 1.5, "),
    (lambda: simulator().predict(X[:, 0], timesteps=0), "timesteps is 0, "),
    (lambda: simulator().score(X[:, 0], [0], timesteps=True), "timesteps is True, "),
    (lambda: Evaluation(timesteps=0), "timesteps is 0, "),
    (lambda: Evaluation(limit="a"), "limit is 'a', expected a whole number from 1 on"),
    (lambda: Evaluation(detailed=-1), "detailed is -1, expected a whole number from 0 on"),
    (lambda: compare(MODEL, MODEL, X, timesteps=0), "timesteps is 0, "),
    (lambda: compare(MODEL, MODEL, X, tolerance="a"), "tolerance is 'a', expected a finite number"),
    (lambda: compare(MODEL, MODEL, X, tolerance=np.nan), "tolerance is nan, "),
    (lambda: compare(MODEL, MODEL, X, tolerance=-1), "tolerance is -1, expected 0 or more"),
    (lambda: conventions.count(MODEL, simulator().run(X, record=("spikes",)), batch=0), "batch is 0, "),
    (lambda: events().bins(0), "width is 0.0, expected microseconds above 0"),
    (lambda: events().bins("a"), "width is 'a', expected a finite number"),
    (lambda: events().bins(1, "both"), "polarities is 'both', expected one of"),
    (lambda: events().bins(1, at_once=0), "at_once is 0, "),
))
def test_a_wrong_number_of_a_run_is_a_data_error_that_names_the_argument(call, message):
    with pytest.raises(DataError, match="^" + message):
        call()


@pytest.mark.parametrize("name", ("workers", "chunk", "block", "memory_limit"))
def test_a_wrong_setting_of_a_simulator_is_a_model_error(name):
    with pytest.raises(ModelError, match=f"^{name} is 0, expected a whole number from 1 to"):
        Simulator(MODEL, **{name: 0})
