"""The same bits, whatever workers, blocks and chunks are, and however a run is split.

Run as a program it prints what the compiled kernels were specialised to (see test_signatures).
"""

import hashlib
import json
import os
import re
import sys
from dataclasses import fields, is_dataclass
from functools import lru_cache

import networks
import numpy as np
import pytest
from exact_cases import (
    CASES, CHIP, EVERYTHING, PRECISIONS, STEPS, everything, fresh_simulator, model_and_input, simulator,
    with_settings,
)
from processes import PACKAGES, environment, python

from eventsim import Conv2d, Input, MaxPool, Model, Neuron, Simulator, UnsupportedError
from eventsim.kernels import (
    alpha, counting, firing, gathering, gathering_int8, indexing, integrating, pooling, transforms,
)
from eventsim.kernels.compiling import by_address
from eventsim.merging import merge


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
SETTINGS = [
    dict(workers=2), dict(block=1), dict(block=3), dict(block=64), dict(chunk=1), dict(chunk=2),
    dict(workers=2, block=3, chunk=2), dict(workers=2, block=1, chunk=1),
]


@pytest.mark.parametrize("settings", [dict(chunk=1), dict(chunk=3), dict(workers=2, block=1)])
def test_words_of_a_still_image_do_not_depend_on_chunks(settings):
    """What is worked out once for all steps counts at each, as synaptic operations do."""
    nodes = {"in": Input((4, 8, 8), "image", bits=8), "pool": MaxPool(2), "conv": Conv2d(np.ones((8, 4, 3, 3)) / 64),
             "neuron": Neuron(0.5)}
    model = Model(nodes, list(zip(nodes, list(nodes)[1:])), 8)
    x = np.random.default_rng(0).integers(0, 256, (2, 4, 8, 8))
    words = Simulator(model).run(x).counts.word_operations
    assert words.tolist() == [8 * 16 * 8 * 4] * 2  # steps, positions, planes, taps
    assert np.array_equal(Simulator(model, **settings).run(x).counts.word_operations, words)


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
    first = sim.run(pieces[0], cut, EVERYTHING)
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
    first = sim.run(x[:, :2], 2, ("audit",))
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
    small = with_settings(sim, workers=2, block=1, chunk=1).run(x, record=EVERYTHING)
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
    sim, x = fresh_simulator(name, precision, workers=2, block=2, chunk=2), model_and_input(name)[1]
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
        name: [str(signature) for signature in by_address(thing).signatures]
        for module in (alpha, counting, firing, gathering, gathering_int8, indexing, integrating, pooling,
                       transforms)
        for name, thing in vars(module).items() if isinstance(thing, Dispatcher)
        and thing.__module__ == module.__name__ and not thing.targetoptions.get("forceinline")
    }
    print(json.dumps(found))


def test_signatures():
    """Kernels are called by address, and an address has one type for each type of element: nothing that an array
    may be beside (read-only, unaligned, strided) and no scalar of another type compiles a kernel again."""
    done = python(__file__, check=True, env=environment(PYTHONPATH=os.pathsep.join([PACKAGES, *sys.path])))
    found = json.loads(done.stdout)
    assert len(found["gather_rows"]) >= 3 and len(found["index_events"]) == 1
    for name, signatures in found.items():
        assert not any("array(" in signature or "float" in re.sub(r"Pointer\(\w+\)", "", signature)
                       for signature in signatures), name
        # weights, membranes and lanes: int8 pairs, int16, int32 masks and two floats by three widths
        assert len(signatures) <= 12, name


if __name__ == "__main__":
    _report_signatures()
