"""Public methods of runs, their summaries, tables, statistics and comparisons with values of every wrong kind:
whatever is refused is refused by one line of an error of eventsim that is documented, and says what it is
about."""

import inspect
from dataclasses import fields

import numpy as np
import pytest

import eventsim
from eventsim import Dense, Input, Model, Neuron, Readout, Simulator
from eventsim.costs.energy_table import find_energy_table
from eventsim.errors import DataError, EventsimError, FormatError, ModelError, RunError

WRONG = {
    "None": None, "True": True, "unknown": "zz", "empty": "", "lines": "a\nb", "bytes": b"a", "object": object(),
    "class": dict, "dict": {}, "set": {1}, "list": [], "ragged": [[1], [1, 2]], "names": ["zz"],
    "nan": float("nan"), "infinity": np.inf, "negative": -1, "zero": 0, "fraction": 1.5, "large": 10**30,
    "huge": 10**400, "complex": 1j, "array": np.ones((2, 2)), "objects": np.array([object()]), "function": len,
    "long": "z" * 700,
}
# what is not tried: what is made by eventsim alone
MEMBERS = {
    "Run": {"close", "card"}, "RunSummary": {"card"}, "Statistics": {"card"}, "Comparison": {"card"},
    "Divergence": set(), "EnergyTable": set(), "Trace": set()}
REFUSED = {"Run": (RunError, DataError), "RunSummary": DataError, "Statistics": (RunError, DataError),
           "Comparison": DataError, "Divergence": DataError, "EnergyTable": (ModelError, FormatError),
           "Trace": DataError}
GOOD = {("Run", "kind"): "potentials", ("Run", "name"): "n", ("RunSummary", "values"): {},
        ("RunSummary", "path"): "f", ("RunSummary", "name"): "n", ("Statistics", "n_steps"): 9,
        ("EnergyTable", "kind"): "float",
        ("EnergyTable", "bits"): 8, ("EnergyTable", "other"): 8, ("Trace", "layer"): "n",
        ("Trace", "variable"): "spikes",
        ("Trace", "shape"): (3,), ("Trace", "n_samples"): 2, ("Trace", "n_steps"): 3}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """One object of each class."""
    nodes = {"in": Input((2,)), "fc": Dense(np.ones((3, 2))), "n": Neuron(), "last": Dense(np.ones((2, 3))),
             "out": Readout()}
    model = Model(nodes, list(zip(nodes, list(nodes)[1:])), 4)
    x = np.random.default_rng(0).integers(0, 2, (3, 4, 2))
    path = tmp_path_factory.mktemp("wrong") / "run.h5"
    summary = eventsim.evaluate(Simulator(model), (x, np.array([0, 1, 1])), out=path,
                                record=("spikes", "potentials"))
    other = Model({**nodes, "n": Neuron(v_threshold=1.5)}, model.edges, 4)
    comparison = eventsim.compare(model, other, x)
    trace = eventsim.Trace({"n/spikes": Simulator(model).run(x).levels("n")})
    with eventsim.open_run(path) as run:
        yield {"Run": run, "RunSummary": summary, "Statistics": summary.statistics, "Comparison": comparison,
               "Divergence": comparison.first, "EnergyTable": find_energy_table(), "Trace": trace}


def methods(name):
    """(method, its parameters) of the public methods of a class that take any."""
    cls = find_energy_table().__class__ if name == "EnergyTable" else getattr(eventsim, name)
    for method, function in inspect.getmembers(cls, callable):
        if (not method.startswith("_") or method == "__getitem__") and method not in MEMBERS[name]:
            parameters = [each for each in inspect.signature(function).parameters if each != "self"]
            yield from ((method, parameter) for parameter in parameters)


CALLS = [(name, method, parameter) for name in MEMBERS for method, parameter in methods(name)]


def one_line(error):
    assert str(error).isprintable() and 0 < len(str(error)) < 600, str(error)


def test_every_method_is_tried():
    tried = {f"{name}.{method}" for name, method, _ in CALLS}
    assert {"Run.spikes", "Run.trace", "Run.steps_per_unit", "Run.__getitem__", "RunSummary.from_json",
            "Trace.series", "RunSummary.as_text", "EnergyTable.addition", "Statistics.padded",
            "Statistics.activation_sparsity"} <= tried


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("name, method, parameter", CALLS)
def test_a_method_with_a_wrong_value(made, name, method, parameter, wrong):
    function = getattr(made[name], method)
    signature = inspect.signature(function)
    given = {each: GOOD[name, each] for each, value in signature.parameters.items()
             if value.default is inspect.Parameter.empty and (name, each) in GOOD}
    if (name, method) == ("Run", "__getitem__"):
        given = {}
    try:
        bound = signature.bind(**{**given, parameter: WRONG[wrong]})
        function(*bound.args, **bound.kwargs)
    except EventsimError as error:
        assert isinstance(error, REFUSED[name])
        one_line(error)


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("name", [field.name for field in fields(eventsim.Evaluation)])
def test_an_option_of_a_wrong_value(name, wrong):
    needed = {"record": {"out": "run.h5"}, "detailed": {"statistics": True}}.get(name, {})
    try:
        eventsim.Evaluation(**{**needed, name: WRONG[wrong]})
    except DataError as error:
        one_line(error)
        assert name in str(error)


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("name", ["arrays", "name", "steps_per_unit", "precision", "chip", "class_names"])
def test_a_trace_of_a_wrong_value(name, wrong):
    for value in (WRONG[wrong], *({"n/spikes": WRONG[wrong]} for _ in "a" if name == "arrays")):
        try:
            trace = eventsim.Trace(**{"arrays": {}, name: value})
            trace.series("n", "spikes", (2,))
        except DataError as error:
            one_line(error)


@pytest.mark.parametrize("call, message", [
    (lambda m: m["Run"].steps_per_unit("zz"), "run.h5: no steps per unit of 'zz'; there are: 'n', 'out'"),
    (lambda m: m["Run"].trace("foo", "n"),
     "no kind of trace 'foo'; there are: 'currents', 'potentials', 'residuals'"),
    (lambda m: m["Run"].trace("residuals", "n"),
     "no residuals of 'n' were recorded .*--record residuals:n, or, for save_run, record='residuals'$"),
    (lambda m: m["Run"].spikes("zz"), "no spikes of 'zz' were recorded .there are: 'in', 'n'"),
    (lambda m: m["Run"][np.ones(2)], r"nothing of array\(\[1., 1.\]\) was recorded; there are: 'in', 'n', 'out'"),
    (lambda m: m["Statistics"].padded(3), "n_steps is 3, expected a whole number from 4 to"),
    (lambda m: m["EnergyTable"].addition("foo", 8), "kind is 'foo', expected one of 'float', 'integer'"),
    (lambda m: m["RunSummary"].as_text("wide"), "width is 'wide', expected a whole number from 1 on"),
    (lambda m: m["Trace"].series("n", "spike", (3,)), "no variable 'spike'; there are: 'currents', "),
])
def test_what_is_said(made, call, message):
    with pytest.raises(EventsimError, match=message):
        call(made)
