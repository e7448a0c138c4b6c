"""Which networks can take floats beyond their type: never fewer than do when they are driven hard."""

import numpy as np
import pytest

from eventsim import Alpha, Conv2d, Dense, Input, MaxPool, Model, Neuron, Readout, Simulator
from eventsim.engine.infinities import floats_may_overflow

NEAR = 3e38  # float32 ends at 3.4e38
STEPS = 4


def network(node, weight=0.0, bias=None, inputs=None):
    nodes = {"in": inputs or Input((2,)), "w": Dense([[weight, 0.0]], None if bias is None else [bias]), "n": node}
    return Model(nodes, list(zip(nodes, list(nodes)[1:])))


def pooled(bias):
    nodes = {"in": Input((1, 1, 2)), "w": Conv2d([[[[1e-3]]]], [bias]), "p": MaxPool((1, 2)),
             "n": Neuron(1.0, reset="none")}
    return Model(nodes, list(zip(nodes, list(nodes)[1:])))


def mapped(gain, weight):
    nodes = {"in": Input((1, 1, 2)), "w": Conv2d([[[[weight]]]]),
             "n": Neuron(1.0, reset="none", input_gain=[[[gain, 1.0]]])}
    return Model(nodes, list(zip(nodes, list(nodes)[1:])))


FIELDS = {  # what is huge -> model of a size, and its inputs, of which the first channel is the one that counts
    "drive": lambda v: (network(Neuron(1.0, bias=v, current_leak=0.5, reset="none")), 0),
    "drive of a potential": lambda v: (network(Neuron(1.0, v_leak=v, leak=0.5, current_leak=0.5, reset="none"),
                                               0.0, v / 2), 0),
    "bias": lambda v: (network(Neuron(1.0, reset="none"), 0.0, v), 0),
    "weight": lambda v: (network(Neuron(1.0, reset="none"), v), 1),
    "weight of levels": lambda v: (network(Neuron(1.0, reset="none"), v / 2e4, inputs=Input((2,), bits=16)),
                                   65535),
    "weight of real numbers": lambda v: (network(Neuron(1.0, reset="none"), v / 5e5, inputs=Input((2,), "real")),
                                         1e6),
    "amount": lambda v: (network(Neuron(1e-3, quantum=1.1 * v), -v / 20, 0.01), np.array([0, 1, 1, 1])),
    "reset": lambda v: (network(Neuron(1e-3, v_reset=1.1 * v, reset="hard"), v / 20), 1),
    "gain": lambda v: (mapped(v / 1e10, 2e10 if v > 1 else 1.0), 1),
    "bias before a pool": lambda v: (pooled(v), 0),
    "readout": lambda v: (network(Readout("last", leak=1.0), v), 1),
    "alpha": lambda v: (network(Alpha(v_threshold=1.0, excitatory_leak=0.99, inhibitory_leak=0.5), v), 1),
}


@pytest.mark.parametrize("case", FIELDS)
def test_what_overflows_is_known_before(case):
    model, value = FIELDS[case](NEAR)
    x = np.zeros((1, STEPS, *model.shapes["in"]), float if model.nodes["in"].encoding == "real" else int)
    x[0, :, 0] = np.reshape(value, (-1, *(1,) * (x.ndim - 3)))
    with np.errstate(all="ignore"):
        potentials = Simulator(model).run(x, record="potentials").potentials("n")
    assert not np.isfinite(potentials).all(), "the case shows nothing"
    assert floats_may_overflow(Simulator(model).program, STEPS)
    assert not floats_may_overflow(Simulator(model, "float64").program, STEPS)
    small, _ = FIELDS[case](1e-2)
    assert not floats_may_overflow(Simulator(small).program, STEPS)


def test_integers_do_not():
    model = network(Neuron(1.0), 1.0)
    assert not floats_may_overflow(Simulator(model, "int8").program, 1 << 40)
