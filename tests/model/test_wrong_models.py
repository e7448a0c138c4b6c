"""Every public node and class of `eventsim.model` with values of every wrong kind: whatever is refused is refused
by one line of a ModelError that names the argument, and what is taken can be used."""

import inspect
from dataclasses import fields

import numpy as np
import pytest

from eventsim import (
    Add, Alpha, AvgPool, BatchNorm, Check, Chip, Concat, Conv1d, Conv2d, ConvTranspose2d, Delay, Dense, EventBins,
    Flatten, Input, MaxPool, Model, ModelError, Neuron, Readout, Restimulation, SigmaDelta, SumPool,
    UnsupportedError,
    Upsample,
)
from eventsim.model.chip import find_chip
from eventsim.errors import FormatError
from eventsim.model.kinds import NODE_TYPES
from eventsim.model.node import Node

ONES = {n: np.ones(n) for n in (1, 2, 3)}
GOOD = {
    Input: dict(shape=(2, 4, 4)), Dense: dict(weight=np.ones((3, 2)), bias=np.ones(3)),
    Conv1d: dict(weight=np.ones((3, 2, 1)), bias=np.ones(3)), Conv2d: dict(weight=np.ones((3, 2, 1, 1))),
    ConvTranspose2d: dict(weight=np.ones((2, 3, 1, 1))), SumPool: dict(kernel_size=2),
    AvgPool: dict(kernel_size=2), MaxPool: dict(kernel_size=2), Upsample: dict(scale_factor=2), Flatten: {},
    Add: {}, Concat: {}, Delay: dict(steps=1),
    BatchNorm: dict(weight=ONES[2], bias=ONES[2], running_mean=ONES[2], running_var=ONES[2]),
    Restimulation: dict(kernel=ONES[3], weight=np.ones((2, 2, 1, 1))), Neuron: {}, SigmaDelta: {}, Readout: {},
    Alpha: dict(excitatory_leak=0.9, inhibitory_leak=0.5), EventBins: {}, Chip: dict(name="a"),
    Check: dict(x=np.ones((2, 2)), outputs=np.ones((2, 3))),
}
WRONG = {
    "None": None, "True": True, "text": "a", "lines": "a\nb", "bytes": b"a", "object": object(), "class": dict,
    "dict": {}, "set": {1, 2}, "list": [], "ragged": [[1], [1, 2]], "text in list": ["a"], "None in list": [None],
    "nan": float("nan"), "infinity": np.inf, "negative": -1, "zero": 0, "fraction": 1.5, "large": 10**30,
    "huge": 10**400, "complex": 1j, "dates": np.array(["2020-01-01"], "M8[D]"),
    "masked": np.ma.array([1.0, 2.0], mask=[True, False]), "array of 5 axes": np.ones((1,) * 5),
    "empty array": np.zeros((0, 2)), "array with nan": np.array([np.nan, 1]),
    "array of no shape that fits": np.ones((7, 5)), "many": list(range(40)), "objects": np.array([object()]),
    "fractions": (1.5, 2), "negatives": (-1, 2), "function": len,
}
SHAPES = (None, "a", 3, (), (0,), (-1, 2), (1.5,), (2, "a"), (1, 2, 3, 4), {"a": 1}, ("a", "b", "c"),
          np.ones((2, 2)))
UNKNOWN = ("zz", "", 3, None, ["a"], ("in", "n"), {}, np.ones(2))
METHODS = ("output_shape", "check", "products_per_step", "spread_shape")
REFUSED = (ModelError, UnsupportedError)


def one_line(error, *names):
    message = str(error)
    assert message and message.isprintable() and len(message) < 400
    assert any(name in message for name in names), message


def test_every_kind_of_node_is_tried():
    assert set(NODE_TYPES.values()) <= set(GOOD)


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("cls, name", [(cls, f.name) for cls in GOOD for f in fields(cls)],
                         ids=lambda value: getattr(value, "__name__", value))
def test_a_field_of_a_wrong_value(cls, name, wrong):
    """It is refused by a line that names it, or what is made has a text and, as a node, answers to every shape."""
    try:
        made = cls(**{**GOOD[cls], name: WRONG[wrong]})
    except REFUSED as error:
        return one_line(error, name, *(("bias",) if name == "weight" else ("weight",) if name == "groups" else ()))
    assert repr(made)
    if isinstance(made, Node):
        assert made.shown() is not None and made.n_weights >= 0 and made.longest_delay >= 0
        for shape in ((2, 4, 4), (2, 4), (2,)):
            for method in ("output_shape", "check", "products_per_step"):
                try:
                    getattr(made, method)(shape)
                except REFUSED as error:
                    one_line(error, "shape", "weight", "kernel", name)


@pytest.mark.parametrize("shape", SHAPES, ids=repr)
@pytest.mark.parametrize("cls, method", [(cls, method) for cls in NODE_TYPES.values() for method in METHODS
                                         if hasattr(cls, method)],
                         ids=lambda value: getattr(value, "__name__", value))
def test_a_shape_that_is_none(cls, method, shape):
    """Where a node asks for the shape at all, it says what is wrong with it."""
    try:
        getattr(cls(**GOOD[cls]), method)(shape)
    except REFUSED as error:
        return one_line(error, "shape")
    assert method not in ("output_shape", "spread_shape")


@pytest.mark.parametrize("shapes", (3, None, [3], ["a"], [(1, 2), None]), ids=repr)
def test_shapes_to_join_that_are_none(shapes):
    with pytest.raises(ModelError, match="shape"):
        Concat().joined_shape(shapes)


@pytest.mark.parametrize("make, message", (
    (lambda: Upsample(1.5), "scale_factor is 1.5, expected a whole number from 1 to 1024"),
    (lambda: Upsample((2, 2, 2)), r"scale_factor is \(2, 2, 2\), expected a whole number, or one for each axis"),
    (lambda: SumPool(0), "kernel_size is 0, expected a whole number from 1"),
    (lambda: MaxPool((2, 2), stride=(1,)), r"stride is \(1,\), expected 2 whole numbers"),
    (lambda: AvgPool(2, padding=2), "padding is 2, expected at most half of kernel_size, which is 2"),
    (lambda: MaxPool(2, ceil_mode="no"), "ceil_mode is 'no', expected True or False"),
    (lambda: AvgPool(2, count_include_pad=2), "count_include_pad is 2, expected True or False"),
    (lambda: Neuron(signed="no"), "signed is 'no', expected True or False"),
    (lambda: Delay(True), "steps is True, expected whole numbers from 0"),
    (lambda: Input((2, 4), mean=[1, 2, 3], encoding="image"), r"mean has shape \(3,\), expected \(\) or \(2,\)"),
    (lambda: Input((2,), events=3), "events is 3, expected an EventBins or None"),
    (lambda: Input((2,), layout=None), "layout is None, expected one of"),
    (lambda: Conv2d(np.ones((1, 1, 1, 1)), stride={2: 1}), "stride is {2: 1}, expected a whole number"),
))
def test_a_node_checks_itself_when_it_is_made(make, message):
    with pytest.raises(ModelError, match="^" + message):
        make()


def network(**settings):
    nodes = {"in": Input((2,)), "fc": Dense(np.ones((3, 2))), "n": Neuron()}
    return Model(**{"nodes": nodes, "edges": [("in", "fc"), ("fc", "n")], **settings})


@pytest.mark.parametrize("name", UNKNOWN, ids=repr)
@pytest.mark.parametrize("method", ("incoming", "outgoing", "label", "__getitem__"))
def test_a_node_that_the_model_does_not_have(method, name):
    assert name not in network()
    with pytest.raises(ModelError, match="^the model: no node .*; there are: "):
        getattr(network(), method)(name)


@pytest.mark.parametrize("group", ("zz", "n", "", 3, None, ["a"], {}, np.ones(2), [], [["n"]], ["n", "zz"]),
                         ids=repr)
def test_a_group_that_is_none(group):
    with pytest.raises(ModelError, match="no node|^group is .*, expected a list of names"):
        network().is_recurrent(group)


@pytest.mark.parametrize("steps", (-1, 0, "a", 1.5, True, [], np.nan), ids=repr)
def test_a_number_of_steps_that_is_none(steps):
    with pytest.raises(ModelError, match="^timesteps is .*, expected a whole number from 1"):
        network().steps(steps)
    if steps != 0:
        with pytest.raises(ModelError, match="^steps is .*, expected a whole number from 0"):
            network(timesteps=4, timesteps_fixed=True).doubt_of_steps(steps)


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("name", [name for name in inspect.signature(Model).parameters])
def test_a_model_of_a_wrong_value(name, wrong):
    try:
        repr(network(**{name: WRONG[wrong]}))
    except REFUSED as error:
        one_line(error, name, "node", "'edges'", "edge ")


@pytest.mark.parametrize("edge", (["a"], (["in"], "n"), ("in", ["n"]), ("in", "n", "a"), ("in", "n", 1.5), "in", 3,
                                  ("in", None), ("in", "n", 0, 0), (b"in", "n")), ids=repr)
def test_an_edge_that_is_none(edge):
    with pytest.raises(ModelError, match="^edges (has|is) .*, expected pairs|delay is "):
        network(edges=[("in", "fc"), edge])


@pytest.mark.parametrize("make, message", (
    (lambda: Check(3, 4), "check: x is int64 of shape \\(\\), expected an array of numbers"),
    (lambda: Check("a", 4), "check: x is "), (lambda: Check([[1], [1, 2]], 4), "check: x is "),
    (lambda: Check([[np.nan]], [[1]]), "check: x has a value that is not finite"),
    (lambda: Check([[1, 1]], [[1]], 3), "level_counts is 3, expected counts by name of a node"),
    (lambda: Check([[1, 1]], [[1]], {"n": [0.5]}),
     "check: level_counts of 'n' is float64 of shape \\(1,\\), expected an"),
    (lambda: network(check=Check([[1, 1]], [[1]])), r"check: outputs has shape \(1, 1\), expected \(1, 3\)"),
    (lambda: network(check=Check([[1]], [[1]])), r"check: x has shape \(1, 1\), expected"),
    (lambda: network(check=Check([[1, 1]], [[1, 1, 1]], {"fc": [[[3]]]})),
     "check: level_counts of 'fc': the model has"),
    (lambda: network(check=Check([[1, 1]], [[1, 1, 1]], {"n": [[[3, 3]]]})),
     "check: .* do not add up to its 3 neurons"),
))
def test_a_check_that_does_not_fit(make, message):
    with pytest.raises(ModelError, match="^" + message):
        make()


def test_a_check_that_fits():
    check = Check([[1, 1]], [[1.0, 1, 1]], {"n": [[[0, 3]]]})
    assert network(check=check).check is check and isinstance(check.x, np.ndarray)


@pytest.mark.parametrize("wrong", WRONG)
def test_a_chip_that_is_none(wrong):
    with pytest.raises((FormatError, ModelError)) as caught:
        find_chip(WRONG[wrong])
    one_line(caught.value, "chip", repr(WRONG[wrong])[:20])
