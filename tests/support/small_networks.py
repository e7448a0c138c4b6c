"""Small named networks: each option alone, spread over channels and neurons; shortcuts; loops.

`networks` draws random ones; these are fixed, so that a failure has a name.
"""

import functools

import numpy as np

from eventsim.model.input import Input
from eventsim.model.network import Model
from eventsim.model.neurons import Neuron, Readout
from eventsim.model.synapses import Conv1d, Conv2d, Dense, Restimulation
from eventsim.model.transforms import Add, AvgPool, BatchNorm, Flatten, MaxPool, SumPool


def weights(rng, *shape):
    """Weights whose sum over a receptive field is of the order of 1; now and then exact zeros."""
    fan_in = max(int(np.prod(shape[1:])), 1)
    values = rng.normal(min(0.3, 2 / fan_in**0.5), 1.0, shape) / np.sqrt(fan_in)
    values[rng.random(shape) < 0.1] = 0
    return values.round(4)


def batch_norm(rng, channels):
    """A BatchNorm with moderate statistics."""
    return BatchNorm(
        rng.uniform(0.5, 1.5, channels), rng.normal(0, 0.2, channels), rng.normal(0, 0.2, channels),
        rng.uniform(0.5, 1.5, channels), scale=float(rng.choice([1.0, 0.5])),
    )


# ---- inputs


def image(rng, shape, bits=8):
    """An image input with mean and standard deviation."""
    n = shape[0]
    return Input(shape, "image", bits, scale=1 / (2**bits - 1), mean=rng.uniform(0.2, 0.6, n).round(3),
                 std=rng.uniform(0.2, 0.5, n).round(3))


def samples(rng, node, n, steps=None):
    """x for an Input node; with a T axis if steps is given."""
    shape = (n, *node.shape) if steps is None else (n, steps, *node.shape)
    if node.encoding == "real":
        return np.where(rng.random(shape) < 0.3, 0.0, rng.normal(0, 1, shape))
    top = 2**node.bits - 1
    levels = rng.integers(-top if node.signed else 0, top + 1, shape)
    return np.where(rng.random(shape) < 0.5, 0, levels)


# ---- neurons


def _spread(rng, shape, how, low, high):
    """A parameter: "scalar", "channel" or "neuron"."""
    size = {"scalar": (), "channel": shape[:1], "neuron": shape}[how]
    return rng.uniform(low, high, size).round(3)


def neuron(rng, shape, how="scalar", bits=1, **options):
    """A neuron with parameters spread over channels or neurons; `options` override."""
    quantum = rng.choice([0.5, 1.0], shape[:1]) if how != "scalar" else 1.0
    if options.get("per_channel_bits"):
        bits = rng.integers(1, bits + 1, shape[:1])
    options.pop("per_channel_bits", None)
    given = dict(
        v_threshold=_spread(rng, shape, how, 0.3, 0.9), leak=1.0, quantum=quantum, bits=bits,
    )
    given.update(options)
    return Neuron(**given)


# ---- whole networks


def chain(rng, input_node, *steps, timesteps=3, readout=True):
    """A chain of nodes. A step is a node, or a function (rng, shape) -> node."""
    nodes, edges, last, shape = {"input": input_node}, [], "input", input_node.shape
    for i, step in enumerate(steps):
        node = step(rng, shape) if callable(step) else step
        name = f"{node.kind.lower()}{i}"
        nodes[name] = node
        edges.append((last, name))
        last, shape = name, node.output_shape(shape)
    if readout:
        if len(shape) > 1:
            nodes["flat"] = Flatten()
            edges.append((last, "flat"))
            last, shape = "flat", (int(np.prod(shape)),)
        nodes["dense"] = Dense(weights(rng, 5, shape[0]), rng.normal(0, 0.1, 5))
        nodes["readout"] = Readout(reduce=str(rng.choice(["sum", "mean", "last"])),
                                   leak=float(rng.choice([0.0, 0.5, 1.0])))
        edges += [(last, "dense"), ("dense", "readout")]
    return Model(nodes, edges, timesteps)


def conv(channels, kernel=3, bias=True, **options):
    """A function (rng, shape) -> Conv2d of that many channels."""

    def make(rng, shape):
        size = (kernel, kernel) if np.ndim(kernel) == 0 else kernel
        groups = options.get("groups", 1)
        return Conv2d(weights(rng, channels, shape[0] // groups, *size),
                      rng.normal(0, 0.2, channels) if bias else None, **options)

    return make


def residual(rng, channels=8, size=5, shortcut="identity", quanta=(1.0, 1.0), delay=0):
    """Two layers with a shortcut into the second: identity, a strided 1x1 convolution, SEW Add or
    Restimulation."""
    stride = 2 if shortcut in ("conv", "restimulation conv") else 1
    nodes = {
        "input": image(rng, (2, size, size)),
        "c1": Conv2d(weights(rng, channels, 2, 3, 3), padding=1),
        "n1": Neuron(v_threshold=0.5, bits=2, quantum=quanta[0]),
        "c2": Conv2d(weights(rng, channels, channels, 3, 3), padding=1, stride=stride),
        "bn": batch_norm(rng, channels),
        "n2": Neuron(v_threshold=0.5, quantum=quanta[1], bits=2),
    }
    edges = [("input", "c1"), ("c1", "n1"), ("n1", "c2"), ("c2", "bn"), ("bn", "n2")]
    last = "n2"
    if shortcut == "identity":
        edges.insert(3, ("n1", "n2", delay))
    elif shortcut == "conv":
        nodes["s"] = Conv2d(weights(rng, channels, channels, 1, 1), stride=2)
        edges += [("n1", "s"), ("s", "n2", delay)]
    elif shortcut == "restimulation":
        nodes["s"] = Restimulation(rng.normal(0, 1, 3))
        edges += [("n1", "s", delay), ("s", "n2")]
    elif shortcut == "restimulation conv":
        nodes["s"] = Restimulation(rng.normal(0, 1, 5), weights(rng, channels, channels, 1, 1), 2)
        edges += [("n1", "s"), ("s", "n2", delay)]
    else:
        nodes["sew"] = Add()
        edges += [("n2", "sew"), ("n1", "sew", delay)]
        last = "sew"
    out = (size + stride - 1) // stride
    nodes["c3"] = Conv2d(weights(rng, channels, channels, 3, 3))
    nodes["n3"] = Neuron(v_threshold=0.6, leak=0.75)
    nodes["flat"] = Flatten()
    nodes["dense"] = Dense(weights(rng, 4, channels * (out - 2) ** 2))
    nodes["readout"] = Readout()
    edges += [(last, "c3"), ("c3", "n3"), ("n3", "flat"), ("flat", "dense"), ("dense", "readout")]
    return Model(nodes, edges, 4)


def recurrent(rng, kind="dense", delay=1, size=6, options=None):
    """A neuron that reads itself, through weights or directly, and a delayed edge before it."""
    nodes = {
        "input": Input((size,), "spikes", 2, scale=0.5),
        "in": Dense(weights(rng, size, size), rng.normal(0, 0.2, size)),
        "n": Neuron(v_threshold=0.4, leak=0.8, **(options or {})),
        "dense": Dense(weights(rng, 3, size)),
        "readout": Readout("last", leak=0.9),
    }
    edges = [("input", "in", 1), ("in", "n", 2), ("n", "dense", 1), ("dense", "readout")]
    if kind == "dense":
        nodes["back"] = Dense(weights(rng, size, size) - 0.2, rng.normal(0, 0.2, size))
        edges += [("n", "back"), ("back", "n", delay)]
    elif kind == "two":  # two layers in one loop
        nodes["m"] = Neuron(v_threshold=0.3, bits=2)
        nodes["across"] = Dense(weights(rng, size, size))
        nodes["back"] = Dense(weights(rng, size, size) - 0.2)
        edges += [("n", "across"), ("across", "m"), ("m", "back", delay), ("back", "n")]
    elif kind == "add":  # a sum of trains inside the loop, the delay after it
        nodes["m"] = Neuron(v_threshold=0.5)
        nodes["across"] = Dense(weights(rng, size, size))
        nodes["sum"] = Add()
        nodes["back"] = Dense(weights(rng, size, size) - 0.3)
        edges += [("n", "across"), ("across", "m"), ("n", "sum"), ("m", "sum"), ("sum", "back"),
                  ("back", "n", delay)]
    else:
        edges.insert(0, ("n", "n", delay))
    return Model(nodes, edges, 6)


def recurrent_maps(rng, delay=1):
    """Loops over a pooled map, and over a flattened current."""
    nodes = {
        "input": Input((2, 4, 4), "spikes", 1),
        "in": Conv2d(weights(rng, 3, 2, 3, 3), padding=1), "n": Neuron(v_threshold=0.4, leak=0.8, bits=2),
        "pool": MaxPool(2), "flat": Flatten(), "shrink": Dense(weights(rng, 5, 12)), "m": Neuron(v_threshold=0.3),
        "grow": Dense(weights(rng, 7, 5)), "o": Neuron(v_threshold=0.2),
        "back": Dense(weights(rng, 5, 7) - 0.2),
        "twice": SumPool(1), "loop": Conv2d(weights(rng, 3, 3, 1, 1) - 0.1),
        "conv": Conv2d(weights(rng, 2, 3, 2, 2)), "flatter": Flatten(), "p": Neuron(v_threshold=0.4),
        "dense": Dense(weights(rng, 3, 7)), "dense2": Dense(weights(rng, 3, 18)), "readout": Readout(),
    }
    edges = [
        ("input", "in"), ("in", "n"), ("n", "twice"), ("twice", "loop"), ("loop", "n", delay),
        ("n", "pool"), ("pool", "flat"), ("flat", "shrink"), ("shrink", "m"),
        ("m", "grow"), ("grow", "o"), ("o", "back"), ("back", "m", delay),
        ("n", "conv"), ("conv", "flatter"), ("flatter", "p"),
        ("o", "dense"), ("dense", "readout"), ("p", "dense2"), ("dense2", "readout"),
    ]
    return Model(nodes, edges, 5)


def add_unequal(rng):
    """A sum of trains of unequal quanta, pooled and read by a convolution and an identity."""
    nodes = {
        "input": Input((3, 6, 6), "spikes", 2),
        "c1": Conv2d(weights(rng, 4, 3, 3, 3), padding=1), "n1": Neuron(v_threshold=0.5, bits=2),
        "c2": Conv2d(weights(rng, 4, 3, 3, 3), padding=1),
        "n2": Neuron(v_threshold=0.5, quantum=0.5, bits=3),
        "add": Add(), "pool": AvgPool(2),
        "c3": Conv2d(weights(rng, 4, 4, 1, 1)), "n3": Neuron(v_threshold=0.5),
    }
    edges = [("input", "c1"), ("c1", "n1"), ("input", "c2"), ("c2", "n2"), ("n1", "add"),
             ("n2", "add", 1), ("add", "pool"), ("pool", "c3"), ("c3", "n3"), ("pool", "n3")]
    return Model(nodes, edges, 3)


@functools.cache
def small_networks():
    """name -> (model, x); made once, nothing may change them."""
    rng = np.random.default_rng(7)
    models = {}

    def add(name, model, steps=None, n=2):
        models[name] = (model, samples(rng, model.nodes["input"], n, steps))

    fire = Neuron(v_threshold=0.5)
    wide = Neuron(v_threshold=0.25, quantum=0.5, bits=3)
    signed = Neuron(v_threshold=0.4, bits=2, signed=True, leak=0.9)
    add("image", chain(rng, image(rng, (3, 6, 6)), conv(17, padding=1), wide, conv(5), fire))
    add("image steps", chain(rng, image(rng, (1, 5, 5), 5), conv(8, padding=1), wide), steps=3)
    add("real", chain(rng, Input((2, 5, 5), "real"), conv(6, padding=1, stride=2), fire))
    add("real steps", chain(rng, Input((9,), "real"), Dense(weights(rng, 20, 9)), wide), steps=4)
    add("real identity", chain(rng, Input((3, 4, 4), "real"), batch_norm(rng, 3), fire))
    add("signed", chain(rng, Input((3, 6, 6), "spikes", 3, signed=True), conv(16, padding=1), signed,
                        MaxPool(2), conv(33), signed), steps=3)
    add("signed pools", chain(rng, Input((2, 7, 7), "spikes", 2, signed=True), MaxPool(3, 2, 1), SumPool(2, 1),
                              conv(4), fire), steps=2)
    add("groups", chain(rng, Input((6, 6, 6), "spikes", 2), conv(12, groups=3, padding=1), wide,
                        conv(36, groups=12, dilation=2, padding=2), fire), steps=2)
    add("depthwise", chain(rng, Input((17, 6, 6), "spikes", 2, signed=True), conv(17, groups=17, padding=1),
                           signed, conv(17, (3, 1), groups=17, stride=2), wide), steps=2)
    add("odd convolutions", chain(rng, Input((3, 8, 7), "spikes", 1), conv(33, (1, 3), padding=(0, 1)), fire,
                                  conv(70, (2, 3), stride=(2, 1), dilation=(2, 1), padding=1), fire), steps=2)
    add("wide layers", chain(rng, Input((65, 4, 4), "spikes", 1), conv(70, padding=1), fire, conv(130), wide),
        steps=2)
    add("sequence", chain(
        rng, Input((3, 12), "spikes", 2), Conv1d(weights(rng, 8, 3, 3), None, 2, 1), wide, SumPool(2),
        Conv1d(weights(rng, 4, 8, 2), dilation=2), fire), steps=2)
    add("pools", chain(rng, image(rng, (2, 9, 9), 4), conv(4), wide, AvgPool(2), MaxPool(2, 1, ceil_mode=True),
                       SumPool((1, 2), 1, (0, 1)), conv(3, 2), fire))
    add("pooled currents", chain(rng, image(rng, (2, 9, 9)), conv(4, padding=1), batch_norm(rng, 4), AvgPool(2),
                                 wide, conv(3, 2, stride=2), SumPool(2, 1),
                                 Neuron(v_threshold=2.0, quantum=4.0)))
    add("normalised", chain(rng, image(rng, (2, 6, 6)), AvgPool(2), batch_norm(rng, 2), conv(6, padding=1), fire,
                            batch_norm(rng, 6), Flatten(), Dense(weights(rng, 8, 54)), wide))
    add("flattened current", chain(rng, Input((2, 4, 4), "spikes", 1), conv(6), Flatten(),
                                   Neuron(v_threshold=np.linspace(0.2, 0.6, 24)), Dense(weights(rng, 7, 24)),
                                   fire), steps=2)
    add("identity after flatten", chain(rng, Input((3, 3, 3), "spikes", 2), Flatten(), wide), steps=2)
    add("ends in spikes", chain(rng, Input((4, 3, 3), "spikes", 1), conv(5), wide, readout=False), steps=3)
    add("ends in a flattened map",
        chain(rng, Input((4, 3, 3), "spikes", 1), conv(5), wide, Flatten(), readout=False), steps=3)
    for kind in ("identity", "conv", "sew", "restimulation", "restimulation conv"):
        add(f"residual {kind}", residual(rng, 17 if kind == "identity" else 8, 5, kind))
    add("residual delayed", residual(rng, 8, 5, "identity", (1.0, 0.5), delay=2))
    add("sew delayed", residual(rng, 8, 5, "sew", delay=1))
    add("restimulation delayed", residual(rng, 8, 5, "restimulation", delay=1))
    add("unequal sum", add_unequal(rng), steps=3)
    add("recurrent", recurrent(rng), steps=6)
    add("recurrent still", recurrent(rng, delay=2))
    add("recurrent two", recurrent(rng, "two"), steps=6)
    add("recurrent add", recurrent(rng, "add"), steps=6)
    add("recurrent add late", recurrent(rng, "add", delay=2))
    add("recurrent maps", recurrent_maps(rng), steps=5)
    nodes = {"input": image(rng, (2, 3, 3), 4), "flat": Flatten(), "n": Neuron(v_threshold=0.5),
             "back": Dense(weights(rng, 18, 18) - 0.1)}
    loop = Model({**nodes, "input": Input((2, 3, 3), "image", 4, scale=1 / 16)},
                 [("input", "flat"), ("flat", "n"), ("n", "back"), ("back", "n", 1)], 6)
    add("still flattened into a loop", loop)
    add("ends in a pool", Model({"input": Input((2, 4, 4), "image", 4), "pool": MaxPool(2)},
                                [("input", "pool")], 4))
    add("recurrent self", recurrent(rng, "self", options={"refractory": 1, "bits": 2}), steps=6)
    per_neuron = (4, 5, 5)
    for name, options in {
        "leaky": {"leak": 0.8, "v_leak": 0.1, "reset": "hard", "v_reset": -0.1},
        "late soft": {"reset_delay": 1, "leak": 0.9, "bits": 2},
        "late hard": {"reset_delay": 1, "reset": "hard", "v_reset": 0.1},
        "late signed": {"reset_delay": 1, "signed": True, "bits": 2},
        "refractory": {"refractory": 2, "leak": 0.9},
        "limited": {"v_min": -0.3},
        "strict": {"comparison": ">", "bits": 3},
        "rectified": {"rectify": True, "v_threshold": 0.7, "quantum": 1.0},
        "rectified strict": {"rectify": True, "v_threshold": 0.2, "quantum": 1.0, "comparison": ">"},
        "gains": {"input_gain": rng.uniform(0.5, 1.5, per_neuron).round(3), "v_leak": 0.2, "leak": 0.5},
        "hard multi-bit": {"reset": "hard", "bits": 4, "v_reset": 0.2},
        "output quantum": {"output_quantum": 1.5, "bits": 2},
        "eight bits": {"bits": 8, "quantum": 1 / 16, "v_threshold": 1 / 32},
    }.items():
        for how in ("scalar", "channel", "neuron"):
            add(f"{name} {how}", chain(rng, image(rng, (2, 5, 5)), conv(4, padding=1),
                                       neuron(rng, per_neuron, how, **options), conv(3), fire))
    add("bits per channel", chain(rng, image(rng, (2, 5, 5)), conv(6, padding=1),
                                  Neuron(v_threshold=0.25, quantum=0.5, bits=np.array([1, 2, 3, 4, 5, 6])),
                                  conv(3), fire))
    add("coarse", chain(rng, Input((2, 5, 5), "spikes", 2), Conv2d(weights(rng, 4, 2, 3, 3) * 40), fire),
        steps=2)  # int16 weights
    return models
