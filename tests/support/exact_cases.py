"""Models that have every option of every node, and all that a run of one gives: what has to stay equal to the
bit, on any machine and however a run is split."""

from functools import lru_cache
from unittest import mock

import numpy as np
import pytest

from eventsim import (
    Add, AvgPool, BatchNorm, Check, Conv1d, Conv2d, Delay, Dense, Flatten, Input, MaxPool, Model, Neuron, Readout,
    Restimulation, SigmaDelta, Simulator, SumPool,
)
from eventsim.engine import simulator as simulator_module
from eventsim.engine.state import KINDS_OF_STATE
from eventsim.model.chip import Chip

PRECISIONS = ("float32", "float64", "int8")
SAMPLES, STEPS = 5, 5
EVERYTHING = ("spikes", "currents", "potentials", "residuals", "outputs")
CHIP = Chip(
    "narrow", "", 8, 1, 2, 9, "wrap", 11, "saturate", 12, "wrap_once", decay_bits=8, decay_rounding="nearest"
)


def _normal(seed, *shape):
    return np.random.default_rng(seed).normal(0, 0.4, shape)


def recurrent():
    """A recurrent layer inside a recurrent group, edges with delays, multi-bit, Readout mean."""
    nodes = {
        "in": Input((3, 5, 5), bits=2, scale=0.5),
        "conv": Conv2d(_normal(1, 20, 3, 3, 3), _normal(2, 20), padding=1),
        "a": Neuron(0.5, leak=0.9, bits=2, quantum=0.75),
        "back": Conv2d(_normal(3, 20, 20, 1, 1) / 3),
        "skip": Conv2d(_normal(4, 20, 3, 1, 1)),
        "flat": Flatten(),
        "dense": Dense(_normal(5, 10, 500) / 3, _normal(6, 10)),
        "b": Neuron(0.3, leak=0.5, reset="hard", v_reset=-0.1),
        "self": Dense(_normal(7, 10, 10)),
        "last": Dense(_normal(8, 4, 10)),
        "out": Readout("mean", leak=0.5),
    }
    edges = [
        ("back", "a"), ("in", "conv"), ("conv", "a"), ("a", "back", 1), ("in", "skip", 2),
        ("skip", "a"), ("a", "flat"), ("flat", "dense"), ("dense", "b"), ("b", "self", 2),
        ("self", "b"), ("b", "last", 1), ("last", "out"),
    ]
    return Model(nodes, edges, STEPS)


def options():
    """Refractory, reset_delay (soft and hard), signed, v_min, parameters per neuron and channel."""
    nodes = {
        "in": Input((4, 3, 3), bits=2, signed=True),
        "c1": Conv2d(_normal(11, 6, 4, 3, 3), padding=1),
        "signed": Neuron(0.4, bits=2, signed=True, leak=_normal(12, 6).clip(0, 1)),
        "c2": Conv2d(_normal(13, 70, 6, 3, 3), _normal(14, 70), stride=2, padding=1),
        "tired": Neuron(0.5 + abs(_normal(15, 70, 2, 2)), refractory=np.arange(70) % 4, v_min=-0.5),
        "flat": Flatten(),
        "d1": Dense(_normal(16, 12, 280)),
        "late": Neuron(0.5, reset_delay=1, leak=0.75, comparison=">", bits=2),
        "d2": Dense(_normal(17, 9, 12)),
        "hard": Neuron(0.25, reset_delay=1, reset="hard", v_reset=0.125),
        "d3": Dense(_normal(18, 3, 9)),
        "out": Readout("last", leak=0.75),
    }
    return Model(nodes, _chain(nodes), STEPS)


def still():
    """An image that stands still; a mean under a padded layer, whose bias starts two steps late."""
    nodes = {
        "in": Input((2, 6, 6), "image", bits=8, scale=1 / 255, mean=[0.4, 0.5], std=0.25),
        "norm": BatchNorm(1 + _normal(21, 2), _normal(22, 2), _normal(23, 2), 1 + abs(_normal(24, 2))),
        "c1": Conv2d(_normal(25, 33, 2, 3, 3), padding=1),
        "late": Conv2d(_normal(26, 33, 2, 3, 3), _normal(27, 33), padding=1),
        "a": Neuron(0.5, rectify=True, bits=3, quantum=1.0),
        "pool": AvgPool(2),
        "depth": Conv2d(_normal(28, 33, 1, 3, 3), padding=1, groups=33),
        "b": Neuron(0.7, leak=0.9),
        "max": MaxPool(3, stride=1, padding=1),
        "sum": SumPool(2, stride=1),
        "flat": Flatten(),
        "d": Dense(_normal(29, 5, 33 * 4) / 3),
        "out": Readout("sum"),
    }
    edges = [
        ("in", "norm"), ("norm", "c1"), ("c1", "a"), ("norm", "late", 2), ("late", "a"), ("a", "pool"),
        ("pool", "depth"), ("depth", "b"), ("b", "max"), ("max", "sum"), ("sum", "flat"),
        ("flat", "d"), ("d", "out"),
    ]
    return Model(nodes, edges, STEPS)


def restimulated():
    """Restimulation by identity and by a strided 1x1 convolution, an Add, an identity shortcut."""
    nodes = {
        "in": Input((17, 4, 4), bits=1),
        "c1": Conv2d(_normal(31, 17, 17, 3, 3) / 2, padding=1),
        "again": Restimulation(_normal(32, 3)),
        "a": Neuron(0.5, bits=2, quantum=0.5, leak=0.9),
        "add": Add(),
        "c0": Conv2d(_normal(33, 17, 17, 1, 1)),
        "b": Neuron(0.5, bits=2, quantum=0.5),
        "c2": Conv2d(_normal(34, 24, 17, 3, 3) / 2, stride=2, padding=1),
        "further": Restimulation(_normal(35, 3), _normal(36, 24, 17, 1, 1), stride=2),
        "c": Neuron(0.5),
    }
    edges = [
        ("in", "c1"), ("c1", "a"), ("in", "again"), ("again", "a"), ("in", "c0"), ("c0", "b"), ("in", "b", 1),
        ("a", "add"), ("b", "add", 1), ("add", "c2"), ("c2", "c"), ("add", "further"),
        ("further", "c"),
    ]
    return Model(nodes, edges, STEPS)


def real():
    """Real input over two paths, one delayed; a sequence; grouped and dilated convolutions."""
    nodes = {
        "in": Input((4, 9), "real"),
        "c1": Conv1d(_normal(41, 8, 4, 3), _normal(42, 8), padding=2, dilation=2),
        "late": Conv1d(_normal(43, 8, 2, 1), groups=2),
        "a": Neuron(0.5, leak=0.8),
        "pad": Conv1d(_normal(44, 6, 4, 3), stride=2, groups=2, padding=1),
        "b": Neuron(0.5, bits=4, quantum=0.125),
        "flat": Flatten(),
        "d": Dense(_normal(45, 5, 30)),
        "out": Readout("mean", leak=0.9),
    }
    edges = [
        ("in", "c1"), ("c1", "a"), ("in", "late", 1), ("late", "a"), ("a", "pad"), ("pad", "b"),
        ("b", "flat"), ("flat", "d"), ("d", "out"),
    ]
    return Model(nodes, edges, STEPS)


def words():
    """Word operations on signed, delayed, multi-bit trains: pools, sums, flattening; it ends in spikes."""
    nodes = {
        "in": Input((7, 6, 6), bits=3, signed=True, scale=0.25),
        "max": MaxPool(2, stride=1),
        "sum": SumPool(2, stride=1, padding=1),
        "avg": AvgPool(3),
        "low": AvgPool(3, stride=3),
        "add": Add(),
        "flat": Flatten(),
        "join": Neuron(0.25, bits=2, quantum=0.25, signed=True, leak=0.9),
        "d": Dense(_normal(51, 28, 28) / 2, _normal(52, 28)),
        "out": Neuron(0.5, bits=2),
    }
    edges = [
        ("in", "max"), ("max", "sum"), ("sum", "avg"), ("in", "low", 1), ("avg", "add"),
        ("low", "add", 1), ("add", "flat"), ("flat", "join"), ("join", "d", 1), ("d", "out"),
        ("flat", "out"),
    ]
    return Model(nodes, edges, STEPS)


def currents():
    """Synaptic currents in a loop with delays by neuron, periodic resets, biases past the current."""
    nodes = {
        "in": Input((3, 4, 4), bits=2),
        "c1": Conv2d(_normal(61, 18, 3, 3, 3), _normal(62, 18), padding=1),
        "a": Neuron(0.7, current_leak=abs(_normal(63, 18)).clip(0, 1), leak=0.9, bias=0.05, bits=2,
                    reset_interval=3, reset_offset=1),
        "apart": Delay(np.arange(18 * 16).reshape(18, 4, 4) % 4),
        "back": Conv2d(_normal(64, 18, 18, 1, 1) / 3),
        "flat": Flatten(),
        "d1": Dense(_normal(65, 11, 288) / 3),
        "late": Neuron(0.5, current_leak=0.5, reset_delay=1, reset_interval=4),
        "rows": Delay(np.arange(11) % 3),
        "d2": Dense(_normal(66, 9, 11)),
        "tired": Neuron(0.3, current_leak=0.8, refractory=1, reset="hard", bias=_normal(67, 9) / 4),
        "d3": Dense(_normal(68, 3, 9)),
        "out": Readout("sum", leak=0.75, current_leak=0.5, bias=0.1, reset_interval=4, reset_offset=3),
    }
    edges = [
        ("in", "c1"), ("c1", "a"), ("a", "apart"), ("apart", "back"), ("back", "a", 1), ("a", "flat"),
        ("flat", "d1", 1), ("d1", "late"), ("late", "rows"), ("rows", "d2"), ("d2", "tired"),
        ("tired", "d3"), ("d3", "out"),
    ]
    return Model(nodes, edges, STEPS)


def changes():
    """Sigma-delta: an encoder, a loop, graded levels through a Delay and a pool; it ends in changes."""
    nodes = {
        "in": Input((3, 6, 6), bits=4, scale=0.125),
        "encode": SigmaDelta("delta", 0.25, quantum=0.125, bits=8, rectify=False),
        "c1": Conv2d(_normal(71, 20, 3, 3, 3), _normal(72, 20), stride=2, padding=1),
        "a": SigmaDelta(v_threshold=abs(_normal(73, 20)) / 4, quantum=1 / 16, bits=6, reset_interval=4,
                        reset_offset=2),
        "back": Conv2d(_normal(74, 20, 20, 1, 1) / 9),
        "late": Delay(np.arange(20) % 3),
        "pool": SumPool(3),
        "flat": Flatten(),
        "d": Dense(_normal(75, 7, 20) / 3),
        "b": SigmaDelta(quantum=0.25, bits=3, bias=_normal(76, 7), rectify=False),
    }
    edges = [
        ("in", "encode"), ("encode", "c1"), ("c1", "a"), ("a", "back"), ("back", "a", 1), ("a", "late"),
        ("late", "pool", 1), ("pool", "flat"), ("flat", "d"), ("d", "b"),
    ]
    return Model(nodes, edges, STEPS)


def maxima():
    """Maxima of currents: of an image with a mean under padding; of a sum with a delay, negated in some channels;
    inside a loop, and one behind another."""
    nodes = {
        "in": Input((2, 6, 7), "image", bits=4, scale=1 / 15, mean=[0.4, 0.5], std=0.25),
        "c1": Conv2d(_normal(81, 33, 2, 3, 3), _normal(82, 33), padding=1),
        "max": MaxPool(3, stride=2, padding=1, ceil_mode=True),
        "a": Neuron(0.5, bits=2, quantum=0.5, leak=0.9),
        "c2": Conv2d(_normal(83, 33, 33, 1, 1) / 2),
        "c3": Conv2d(_normal(84, 33, 1, 3, 3), _normal(85, 33), padding=1, groups=33),
        "add": Add(),
        "twice": MaxPool(2, stride=1),
        "again": MaxPool((1, 2), stride=1),
        "norm": BatchNorm(_normal(86, 33), _normal(87, 33), _normal(88, 33), 1 + abs(_normal(89, 33))),
        "b": Neuron(0.5),
        "back": Conv2d(_normal(90, 33, 33, 3, 1) / 4, padding=(1, 0)),
        "wide": MaxPool((3, 1), stride=1, padding=(1, 0)),
        "flat": Flatten(),
        "d": Dense(_normal(91, 5, 33 * 6) / 3),
        "out": Readout("sum"),
    }
    edges = [
        ("in", "c1"), ("c1", "max"), ("max", "a"), ("a", "c2"), ("a", "c3", 1), ("c2", "add"), ("c3", "add"),
        ("add", "twice"), ("twice", "again", 1), ("again", "norm"), ("norm", "b"), ("b", "back", 1),
        ("back", "wide"), ("wide", "b"), ("b", "flat"), ("flat", "d"), ("d", "out"),
    ]
    return Model(nodes, edges, STEPS)


def slides():
    """Windows three columns wide with more than 64 inputs: of few weights, and of more than a first-level cache
    holds; padding on both sides, on one axis, and none; levels with a sign; thresholds of each neuron."""
    nodes = {
        "in": Input((9, 3, 4), bits=2, signed=True),
        "c1": Conv2d(_normal(101, 60, 9, 3, 3) / 2, _normal(102, 60), padding=1),
        "a": Neuron(0.5, bits=2, signed=True, quantum=0.5),
        "c2": Conv2d(_normal(103, 40, 60, 3, 3) / 6, padding=(1, 2)),
        "b": Neuron(0.5, leak=0.9),
        "c3": Conv2d(_normal(104, 12, 40, 2, 3) / 3),
        "c": Neuron(0.25 + abs(_normal(106, 12, 2, 4)), bits=3, quantum=0.25, v_min=-0.5),
        "flat": Flatten(),
        "d": Dense(_normal(105, 5, 12 * 2 * 4) / 3),
        "out": Readout(),
    }
    return Model(nodes, _chain(nodes), STEPS)


def dense():
    """`slides`, whose spikes its check says are dense."""
    return claimed_dense(slides())


def claimed_dense(model):
    """A model with a check that says that each bit of its input and of its neurons is set at every step."""
    node, counts = model.nodes[model.input], {}
    for name, neuron in model.nodes.items():
        if getattr(neuron, "sends", "") == "levels":
            n_levels = 2 ** (neuron.n_bits + 1) - 1 if neuron.signed else 2**neuron.n_bits
            counts[name] = np.zeros((1, 1, n_levels), int)
            counts[name][..., -1] = np.prod(model.shapes[name])
    x = np.full((1, *node.shape), 2**node.bits - 1)
    check = Check(x, np.zeros((1, np.prod(model.shapes[model.output], dtype=int))), counts)
    return Model(model.nodes, model.edges, model.timesteps, check=check, chip=model.chip)


def _chain(nodes):
    names = list(nodes)
    return list(zip(names, names[1:]))


MODELS = {f.__name__: f for f in (
    recurrent, options, still, restimulated, real, words, currents, changes, maxima, slides, dense)}
ON_CHIP = ("options", "currents", "changes")


@lru_cache(maxsize=None)
def model_and_input(name):
    """A model with samples that make it fire: (N, T, ...), or (N, ...) of an image."""
    model = MODELS[name]()
    node = model.nodes[model.input]
    rng = np.random.default_rng(5)
    shape = (SAMPLES, *node.shape) if node.encoding == "image" else (SAMPLES, STEPS, *node.shape)
    if node.encoding == "real":
        x = rng.normal(0, 1, shape) * rng.integers(0, 2, shape)
    else:
        high = 2**node.bits
        x = rng.integers(1 - high if node.signed else 0, high, shape) * rng.integers(0, 2, shape)
    return model, x


@lru_cache(maxsize=None)
def _lowered(name, precision):
    return fresh_simulator(name, precision)


def fresh_simulator(name, precision, **settings):
    """A Simulator whose program is its own."""
    model, _ = model_and_input(name)
    if precision == "int8" and model.nodes[model.input].encoding == "real":
        pytest.skip("real input has no fixed point")
    return Simulator(model, precision, chip=CHIP if precision == "fixed" else None, **settings)


def simulator(name, precision, **settings):
    """A Simulator of the one program that there is of these."""
    return with_settings(_lowered(name, precision), **settings)


def with_settings(made, **settings):
    """A Simulator with other workers, chunks and blocks, of the same program: no run writes it, and lowering takes
    longer than most runs."""
    with mock.patch.object(simulator_module, "lower", return_value=made.program):
        return Simulator(made.model, made.precision, chip=made.program.chip, **settings)


def everything(recording):
    """All that a recording holds, by name, over the steps and at their end."""
    steps, end = {"outputs": recording.outputs}, {"output": recording.output}
    for name in recording.spikes:
        steps[f"levels {name}"] = recording.levels(name)
    for kind, traces in recording.traces.items():
        for name in traces:
            steps[f"{kind} {name}"] = traces[name]
    for kind in KINDS_OF_STATE:
        for name, array in getattr(recording.state, kind).items():
            end[f"{kind} {name}"] = array
    end["sums"] = recording.state.sums
    return steps, end


CASES = [(name, precision) for name in MODELS for precision in PRECISIONS if name != "dense" or precision == "int8"]
CASES += [(name, "fixed") for name in ON_CHIP]
