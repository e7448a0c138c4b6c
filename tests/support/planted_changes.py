"""A network with all kinds of layers, and changes planted in it that a comparison has to find."""

import copy
import dataclasses

import numpy as np

from eventsim import Model
from eventsim.model.chip import find_chip
from eventsim.model.input import Input
from eventsim.model.neurons import Neuron, Readout
from eventsim.model.synapses import Conv2d, Dense
from eventsim.model.transforms import Flatten, MaxPool, SumPool

STEPS = 12
VARIABLES = ("currents", "potentials", "spikes", "residuals")


def eighths(rng, *shape, scale=4):
    """Weights that are multiples of 1/8: sums of them meet thresholds exactly."""
    return rng.integers(-scale, scale + 1, shape) / 8


def network(changes=None, edges=None):
    """Convolutions, a current-based layer, recurrence and a readout. changes: node -> fields that
    replace its own; edges: (source, target) -> delay."""
    rng = np.random.default_rng(5)
    nodes = {
        "input": Input((2, 6, 6)),
        "conv1": Conv2d(eighths(rng, 4, 2, 3, 3), np.zeros(4), padding=1),
        "n1": Neuron(v_threshold=np.array([1.0, 1.0, 1.0, 0.5]), leak=1 - 512 / 4096, resolution=1024),
        "pool": MaxPool(2),
        "conv2": Conv2d(eighths(rng, 6, 4, 3, 3), np.zeros(6), padding=1),
        "n2": Neuron(v_threshold=0.75, leak=1 - 410 / 4096, current_leak=1 - 1024 / 4096, bias=1 / 64,
                     reset="hard", reset_interval=5, reset_offset=2),
        "flat": Flatten(),
        "dense": Dense(eighths(rng, 8, 54)),
        "n3": Neuron(v_threshold=0.5, leak=0.75),
        "back": Dense(eighths(rng, 8, 8)),
        "out": Dense(eighths(rng, 3, 8)),
        "readout": Readout("last", leak=0.5),
    }
    names = [("input", "conv1"), ("conv1", "n1"), ("n1", "pool"), ("pool", "conv2"), ("conv2", "n2"),
             ("n2", "flat"), ("flat", "dense"), ("dense", "n3"), ("n3", "back"), ("back", "n3"), ("n3", "out"),
             ("out", "readout")]
    delays = {("n3", "back"): 1, **(edges or {})}
    for name, fields in (changes or {}).items():
        fields = {k: v(copy.deepcopy(getattr(nodes[name], k))) if callable(v) else v for k, v in fields.items()}
        nodes[name] = dataclasses.replace(nodes[name], **fields)
    return Model(nodes, [(s, t, delays.get((s, t), 0)) for s, t in names], STEPS)


def samples(n=5, seed=1):
    return (np.random.default_rng(seed).random((n, STEPS, 2, 6, 6)) < 0.04).astype(np.uint8)


def put(*index, value):
    """A change of one element."""

    def change(array):
        array = np.array(array)
        array[index] += value
        return array

    return change


# what was changed -> (changes of nodes, delays of edges, layer in which it shows first, variables it may show in)
PLANTED = {
    "one weight of a convolution": ({"conv2": {"weight": put(3, 1, 0, 2, value=0.25)}}, None, "n2", {"currents"}),
    "one weight of a dense layer": ({"dense": {"weight": put(5, 33, value=-0.125)}}, None, "n3", {"currents"}),
    "one recurrent weight": ({"back": {"weight": put(5, 2, value=0.125)}}, None, "n3", {"currents"}),
    "one weight of the readout": ({"out": {"weight": put(1, 3, value=0.125)}}, None, "readout", {"currents"}),
    "one bias": ({"conv1": {"bias": put(2, value=0.125)}}, None, "n1", {"currents"}),
    "the bias of the neurons": ({"n2": {"bias": 1 / 32}}, None, "n2", {"potentials"}),
    "one threshold": ({"n1": {"v_threshold": put(1, value=-0.125)}}, None, "n1", {"spikes"}),
    "the comparison": ({"n1": {"comparison": ">"}}, None, "n1", {"spikes"}),
    "a decay off by one": ({"n2": {"leak": 1 - 411 / 4096}}, None, "n2", {"potentials"}),
    "a decay of the current off by one": ({"n2": {"current_leak": 1 - 1025 / 4096}}, None, "n2", {"currents"}),
    "a delay": (None, {("conv2", "n2"): 1}, "n2", {"currents"}),
    "a delay in a loop": (None, {("n3", "back"): 2}, "n3", {"currents"}),
    "a kind of reset": ({"n2": {"reset": "soft"}}, None, "n2", {"residuals"}),
    "a reset one step late": ({"n1": {"reset_delay": 1}}, None, "n1", {"residuals"}),
    "no reset": ({"n1": {"quantum": 2.0**-12, "output_quantum": 1.0}}, None, "n1", {"residuals"}),
    "no periodic reset": ({"n2": {"reset_interval": 0, "reset_offset": 0}}, None, "n2",
                          {"currents", "potentials"}),
    "a pool": ({"pool": {}}, None, "pool", {"spikes"}),
    "what the readout gives": ({"readout": {"reduce": "sum"}}, None, "readout", {"outputs"}),
}
ARITHMETICS = {"float32": {"precision": "float32"}, "float64": {"precision": "float64"},
               "int8": {"precision": "int8"},
               # Loihi's own fires at > whatever the neuron says
               "chip": {"chip": dataclasses.replace(find_chip("loihi"), name="chip", comparison=None)}}


def planted(name):
    changes, edges, *_ = PLANTED[name]
    model = network(changes, edges)
    if name == "a pool":
        model = Model({**model.nodes, "pool": SumPool(2)}, model.edges, STEPS)
    return model


def found(comparison):
    first = comparison.first
    return None if first is None else (first.sample, first.step, first.layer, first.variable, first.neuron)
