"""The same bits, whatever workers, blocks and chunks are, and however a run is split.

Run as a program it prints what the compiled kernels were specialised to (see test_signatures).
"""

import hashlib
import json
import subprocess
import sys
from dataclasses import fields, is_dataclass
from functools import lru_cache
from pathlib import Path

import networks
import numpy as np
import pytest

from eventsim import (
    Add, AvgPool, BatchNorm, Conv1d, Conv2d, Delay, Dense, Flatten, Input, MaxPool, Model, Neuron, Readout,
    Restimulation, SigmaDelta, Simulator, SumPool, UnsupportedError,
)
from eventsim.engine.state import KINDS_OF_STATE
from eventsim.kernels import firing
from eventsim.merging import merge
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


def _chain(nodes):
    names = list(nodes)
    return list(zip(names, names[1:]))


MODELS = {f.__name__: f for f in (recurrent, options, still, restimulated, real, words, currents, changes)}
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


def simulator(name, precision, **settings):
    model, _ = model_and_input(name)
    if precision == "int8" and model.nodes[model.input].encoding == "real":
        pytest.skip("real input has no fixed point")
    return Simulator(model, precision, chip=CHIP if precision == "fixed" else None, **settings)


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


def counts(recording):
    return {
        f"{layer} {count}": values
        for layer, row in recording.counts.layers.items()
        for count, values in row.items() if not count.startswith("executed")
    }


@lru_cache(maxsize=None)
def whole(name, precision):
    """The run that all others have to equal."""
    sim = simulator(name, precision)
    return sim.run(model_and_input(name)[1], timesteps=STEPS, record=EVERYTHING)


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert found[name].dtype == array.dtype, name
        assert np.array_equal(found[name], array), name


NETWORKS = networks.every_node_models()
CASES = [(name, precision) for name in MODELS for precision in PRECISIONS]
CASES += [(name, "fixed") for name in ON_CHIP]
SETTINGS = [
    dict(workers=2), dict(block=1), dict(block=3), dict(block=64), dict(chunk=1), dict(chunk=2),
    dict(workers=2, block=3, chunk=2), dict(workers=2, block=1, chunk=1),
]


@pytest.mark.parametrize("name, precision", CASES)
def test_models_are_alive(name, precision):
    """Equality of silent networks would show nothing."""
    simulator(name, precision)
    recording = whole(name, precision)
    for node in recording.spikes:
        levels = recording.levels(node)
        assert 0.01 < (levels != 0).mean() < 0.999, node
        assert not np.array_equal(levels[0], levels[1])
    assert len(np.unique(recording.output)) > 3


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda s: " ".join(f"{k}={v}" for k, v in s.items()))
@pytest.mark.parametrize("name, precision", CASES)
def test_same_bits(name, precision, settings):
    sim = simulator(name, precision, **settings)
    found, expected = sim.run(model_and_input(name)[1], STEPS, EVERYTHING), whole(name, precision)
    for part, of in zip(everything(found), everything(expected)):
        assert_same(part, of)
    assert_same(counts(found), counts(expected))


@pytest.mark.parametrize("settings", SETTINGS[:1] + SETTINGS[-3:-1],
                         ids=lambda s: " ".join(f"{k}={v}" for k, v in s.items()))
@pytest.mark.parametrize("cut", (1, 2, 4))
@pytest.mark.parametrize("name, precision", CASES)
def test_split_by_state(name, precision, cut, settings):
    sim, x = simulator(name, precision, **settings), model_and_input(name)[1]
    stands = x.ndim == 1 + len(sim.model.shapes[sim.model.input])
    pieces = (x, x) if stands else (x[:, :cut], x[:, cut:])
    first = sim.run(pieces[0], cut if stands else None, EVERYTHING)
    kept = {name: array.copy() for name, array in everything(first)[1].items()}
    second = sim.run(pieces[1], STEPS - cut if stands else None, EVERYTHING, state=first.state)
    expected = whole(name, precision)
    steps, end = everything(expected)
    parts = [everything(part)[0] for part in (first, second)]
    assert_same({n: np.concatenate([p[n] for p in parts], axis=1) for n in steps}, steps)
    assert_same(everything(second)[1], end)
    whole_counts, part_counts = counts(expected), [counts(part) for part in (first, second)]
    assert_same({n: sum(p[n] for p in part_counts) for n in whole_counts}, whole_counts)
    assert_same(everything(first)[1], kept)  # a state is read, not used up
    again = sim.run(pieces[1], STEPS - cut if stands else None, EVERYTHING, state=first.state)
    assert_same(everything(again)[0], everything(second)[0])


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda s: " ".join(f"{k}={v}" for k, v in s.items()))
@pytest.mark.parametrize("name, precision", [(n, p) for n, p in CASES if p == "fixed"] + [("words", "int8")])
def test_same_audit(name, precision, settings):
    """Ranges and overflows are those of the numbers, however a run is cut; asking for them changes
    nothing."""
    sim, x = simulator(name, precision, **settings), model_and_input(name)[1]
    expected = simulator(name, precision).run(x, STEPS, ("audit",)).audit
    found = sim.run(x, STEPS, (*EVERYTHING, "audit"))
    assert found.audit == expected and len(expected) > 1
    if precision == "fixed":
        assert any(r.overflows for layer in expected.values() for r in layer.ranges.values())
    for part, of in zip(everything(found), everything(whole(name, precision))):
        assert_same(part, of)
    first = sim.run(x[:, :2], None, ("audit",))
    second = sim.run(x[:, 2:], None, ("audit",), first.state)
    assert merge((first.audit, second.audit), along="steps") == expected


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", NETWORKS)
def test_every_node_type(name, precision):
    """The networks of the equality tests: in one go, and with all that can be cut cut small."""
    model, x = NETWORKS[name]
    try:
        sim = Simulator(model, precision)
    except UnsupportedError:
        pytest.skip("this precision refuses the network")
    expected = sim.run(x, record=EVERYTHING)
    small = Simulator(model, precision, workers=2, block=1, chunk=1).run(x, record=EVERYTHING)
    for part, of in zip(everything(small), everything(expected)):
        assert_same(part, of)
    assert_same(counts(small), counts(expected))
    stands, steps = x.ndim == 1 + len(model.shapes[model.input]), expected.timesteps
    if steps < 2:
        return
    first = sim.run(x if stands else x[:, :1], 1 if stands else None)
    second = sim.run(x if stands else x[:, 1:], steps - 1 if stands else None, EVERYTHING, first.state)
    assert_same(everything(second)[1], everything(expected)[1])
    assert_same(everything(second)[0], {n: a[:, 1:] for n, a in everything(expected)[0].items()})


@pytest.mark.parametrize("name, precision", CASES)
def test_a_simulator_keeps_nothing_between_runs(name, precision):
    sim, x = simulator(name, precision, block=2), model_and_input(name)[1]
    sim.run(x[::-1], timesteps=STEPS)
    sim.run(x[:1], timesteps=STEPS, record=EVERYTHING)
    found = sim.run(x, STEPS, EVERYTHING)
    for part, of in zip(everything(found), everything(whole(name, precision))):
        assert_same(part, of)


@pytest.mark.parametrize("name, precision", CASES)
def test_samples_do_not_meet(name, precision):
    """Each sample alone gives what it gives among others; so do samples in another order."""
    sim, x = simulator(name, precision), model_and_input(name)[1]
    expected = everything(whole(name, precision))[0]
    alone = everything(sim.run(x[3:4], STEPS, EVERYTHING))[0]
    backwards = everything(sim.run(x[::-1], STEPS, EVERYTHING))[0]
    assert_same(alone, {n: array[3:4] for n, array in expected.items()})
    assert_same(backwards, {n: array[::-1] for n, array in expected.items()})


@pytest.mark.parametrize("name, precision", CASES)
def test_recording_changes_nothing(name, precision):
    """The kernels' short way, for layers that nobody traces, gives the same bits."""
    sim, x = simulator(name, precision), model_and_input(name)[1]
    found, expected = sim.run(x, STEPS, record=("spikes",)), whole(name, precision)
    for node in expected.spikes:
        assert np.array_equal(found.levels(node), expected.levels(node)), node
    assert np.array_equal(sim.run(x, STEPS, record=()).output, expected.output)
    assert_same(everything_but_outputs(found), everything(expected)[1])
    assert_same(counts(found), counts(expected))


@pytest.mark.parametrize("chunk", (None, 1, 2))
@pytest.mark.parametrize("name, precision", CASES)
def test_iterating_is_running(name, precision, chunk):
    """`iterate` keeps no state, and no membranes that nobody reads: the same bits."""
    x, expected = model_and_input(name)[1], whole(name, precision)
    sim = simulator(name, precision, workers=2, block=2, chunk=chunk)
    [traced] = sim.iterate([x], STEPS, EVERYTHING)
    [found] = sim.iterate([x], STEPS, ("spikes",))
    assert np.array_equal(traced.outputs, expected.outputs)
    assert_same(counts(found), counts(expected))
    assert np.array_equal(found.output, expected.output)
    for node in expected.spikes:
        assert np.array_equal(found.levels(node), expected.levels(node)), node
    for kind, traces in expected.traces.items():
        assert_same(traced.traces[kind], traces)


def everything_but_outputs(recording):
    recording.answers = np.zeros(0)
    return everything(recording)[1]


# ---- programs are read-only


def arrays_of(thing, path="program"):
    """Every array inside dataclasses, tuples and dictionaries, with its path."""
    if isinstance(thing, np.ndarray):
        yield path, thing
    elif is_dataclass(thing):
        for field in fields(thing):
            yield from arrays_of(getattr(thing, field.name), f"{path}.{field.name}")
    elif isinstance(thing, dict):
        for key, value in thing.items():
            yield from arrays_of(value, f"{path}[{key!r}]")
    elif isinstance(thing, (tuple, list)):
        names = getattr(thing, "_fields", range(len(thing)))
        for key, value in zip(names, thing):
            yield from arrays_of(value, f"{path}.{key}")


def checksums(program):
    return {path: hashlib.sha256(np.ascontiguousarray(a)).hexdigest() for path, a in arrays_of(program)}


@pytest.mark.parametrize("name, precision", CASES)
def test_programs_are_never_written(name, precision):
    sim, x = simulator(name, precision, workers=2, block=2, chunk=2), model_and_input(name)[1]
    before = checksums(sim.program)
    assert len(before) > 20
    x_before = x.copy()
    sim.run(x, STEPS, EVERYTHING)
    sim.run(x, STEPS, ())
    assert checksums(sim.program) == before
    assert np.array_equal(x, x_before)


@pytest.mark.parametrize("name, precision", CASES)
def test_program_arrays_are_what_kernels_are_compiled_for(name, precision):
    for path, array in arrays_of(simulator(name, precision).program):
        assert array.flags.c_contiguous and array.flags.aligned and array.flags.writeable, path


# ---- one compiled signature per (types, lanes)


def _types(argument):
    """A Numba type as its element types and what makes it another signature."""
    from numba import types

    if isinstance(argument, types.NamedTuple):  # kernels differ by what kind of update ends a row
        return [f"type {argument.instance_class.__name__}", *map(_types, argument)]
    if isinstance(argument, types.BaseTuple):
        return [_types(each) for each in argument]
    if isinstance(argument, types.Array):
        return [str(argument.dtype), argument.ndim, argument.layout, argument.mutable, argument.aligned]
    return str(argument)


def _elements(argument):
    if isinstance(argument, list) and len(argument) == 5 and isinstance(argument[1], int):
        return argument[0]
    if isinstance(argument, str) and argument.startswith("type "):
        return argument
    return [_elements(each) for each in argument] if isinstance(argument, list) else "scalar"


def _arrays(argument):
    if isinstance(argument, list):
        if len(argument) == 5 and isinstance(argument[1], int):
            yield argument
        else:
            for each in argument:
                yield from _arrays(each)


def _report_signatures():
    from numba.core.dispatcher import Dispatcher

    for name, precision in CASES:
        model, x = model_and_input(name)
        try:
            sim = Simulator(model, precision, block=2, chip=CHIP if precision == "fixed" else None)
        except UnsupportedError:
            continue
        sim.run(x, STEPS, EVERYTHING)
        sim.run(x, STEPS, ())
    found = {
        name: [[_types(argument) for argument in signature] for signature in thing.signatures]
        for name, thing in vars(layers).items() if isinstance(thing, Dispatcher)
    }
    print(json.dumps(found))


FINISHES = [f"type {kind.__name__}" for kind in firing.FINISHES]


def test_signatures():
    """A read-only, unaligned or strided array, or a scalar of another type, would compile a kernel
    again for the same element types."""
    done = subprocess.run([sys.executable, __file__], cwd=Path(__file__).parent, capture_output=True,
                          text=True, check=True)
    found = json.loads(done.stdout)
    assert len(found["gather"]) >= 3 and len(found["index_events"]) == 1
    for name, signatures in found.items():
        for dtype, ndim, layout, mutable, aligned in _arrays(signatures):
            assert layout == "C" and mutable and aligned, (name, dtype, ndim)
        elements = [json.dumps([_elements(argument) for argument in s]) for s in signatures]
        assert len(elements) == len(set(elements)), (name, signatures)
        # weights, membranes and lanes: int8 pairs, int16, int32 masks and two floats by three widths
        kinds = {str([argument[0] for argument in s if argument and argument[0] in FINISHES]) for s in signatures}
        assert len(signatures) <= 12 * len(kinds), name


if __name__ == "__main__":
    _report_signatures()
