"""Densities: what the check samples say of a unit, by hand; and that they decide between kernels of integers."""

import tracemalloc

import numpy as np
import pytest

from eventsim import (
    Check, Concat, Conv2d, Delay, Flatten, Input, MaxPool, Model, Neuron, Readout, Simulator, SumPool,
)
from eventsim.lowering.density import note_densities
from eventsim.lowering.folding import fold

SHAPE = (2, 4, 4)


def densities(model, check):
    """Unit -> density. check: Check or None."""
    units = {unit.name: unit for group in fold(model) for unit in group.units}
    note_densities(units, check)
    return {name: unit.density for name, unit in units.items()}


def check_of(model, counts):
    """A check of two samples. counts: node -> of each level, the same at both steps of both samples."""
    x = np.zeros((2, *model.shapes[model.input]), int)
    return Check(x, np.zeros((2, np.prod(model.shapes[model.output], dtype=int))),
                 {name: np.tile(row, (2, 2, 1)) for name, row in counts.items()})


def network(*behind, neuron=Neuron(1.0), inputs=Input(SHAPE)):
    nodes = {"in": inputs, "n": neuron, **{f"b{i}": node for i, node in enumerate(behind)}, "out": Neuron(1.0)}
    return Model(nodes, list(zip(nodes, list(nodes)[1:])), timesteps=2)


@pytest.mark.parametrize("neuron, counts, density", (
    (Neuron(1.0), [24, 8], 8 / 32),
    (Neuron(1.0, bits=2), [8, 4, 16, 4], (4 + 16 + 2 * 4) / 64),
    (Neuron(1.0, signed=True), [4, 20, 8], 12 / 64),
    (Neuron(1.0, bits=2, signed=True), [4, 0, 8, 12, 0, 0, 8], (2 * 4 + 8 + 2 * 8) / 128),
))
def test_of_levels(neuron, counts, density):
    model = network(neuron=neuron)
    found = densities(model, check_of(model, {"n": counts}))
    assert found["n"] == pytest.approx(density) and found["in"] == 0 and found["out"] is None
    assert set(densities(model, None).values()) == {None}


def test_of_an_input():
    model = network(inputs=Input(SHAPE, bits=2, signed=True))
    x = np.zeros((1, 2, *SHAPE), int)
    x[0, 0, 0], x[0, 1, 1] = -3, 1  # 16 of two bits, 16 of one
    assert densities(model, Check(x, np.zeros((1, 32))))["in"] == pytest.approx((2 * 16 + 16) / (64 * 4))


@pytest.mark.parametrize("dtype", ("i1", "i2", "i8", "u1", "u8", "f8"))
def test_of_an_input_whose_check_holds_what_no_level_is(dtype):
    """The run refuses it; nothing of its size is allocated before."""
    model = network()
    limits = np.finfo(dtype) if dtype[0] == "f" else np.iinfo(dtype)
    for value in (limits.min, limits.max):
        check = Check(np.full((1, *SHAPE), value, dtype), np.zeros((1, 32)))
        assert densities(model, check)["in"] in (0, 1)


def test_of_what_moves_spikes():
    model = network(Delay(1), Flatten())
    found = densities(model, check_of(model, {"n": [24, 8]}))
    assert {found[name] for name in found if name not in ("in", "out")} == {0.25}


def test_of_maxima_and_sums():
    """Between that of one neuron and that of neurons that know nothing of each other; of sums nothing is known."""
    model = network(MaxPool(2))
    assert densities(model, check_of(model, {"n": [24, 8]}))["b0"] == pytest.approx((0.25 + 1 - 0.75**4) / 2)
    model = network(SumPool(2))
    assert densities(model, check_of(model, {"n": [24, 8]}))["b0"] is None


def test_of_what_is_joined():
    """Each train by its channels; unknown where one of them is."""
    nodes = {"in": Input(SHAPE), "a": Neuron(1.0), "c": Conv2d(np.ones((6, 2, 1, 1))), "b": Neuron(1.0),
             "join": Concat(), "out": Neuron(1.0)}
    edges = [("in", "a"), ("in", "c"), ("c", "b"), ("a", "join"), ("b", "join"), ("join", "out")]
    model = Model(nodes, edges, timesteps=2)
    both = densities(model, check_of(model, {"a": [0, 32], "b": [96, 0]}))
    assert both["join"] == pytest.approx(0.25)
    assert densities(model, check_of(model, {"a": [0, 32]}))["join"] is None


@pytest.mark.parametrize("fired, method", ((15, "slide_tables"), (14, "slide_pairs")))
def test_the_share_that_decides(fired, method):
    """0.45 of 64 channels: 14.4 of 32 neurons; of floats it says nothing."""
    nodes = {"in": Input((1, 4, 32)), "up": Conv2d(np.ones((64, 1, 1, 1))), "n": Neuron(1.0),
             "conv": Conv2d(np.random.default_rng(0).normal(0, 1, (64, 64, 3, 3)), padding=1), "m": Neuron(1.0),
             "flat": Flatten(), "out": Readout()}
    model = Model(nodes, list(zip(nodes, list(nodes)[1:])), timesteps=2)
    n = 64 * 4 * 32
    model.check = check_of(model, {"n": [n - fired * n // 32, fired * n // 32]})
    for precision, expected in (("int8", method), ("float32", "gather")):
        program = Simulator(model, precision).program
        [path] = program.stages["m"].paths
        assert path.method == expected
        assert path.density == (fired / 32 if precision == "int8" else None)


@pytest.mark.parametrize("channels, method", ((284, "slide_tables"), (288, "slide_pairs")))
def test_tables_that_no_cache_holds_are_not_made(channels, method):
    """8 bytes of each of 64 channels, for 3 x 3 weights of so many inputs: 1,278 and 1,296 of 1,280 KiB."""
    rng = np.random.default_rng(0)
    weight = rng.normal(0, 0.1, (64, channels, 3, 3)) * (rng.random((64, channels, 3, 3)) < 0.1)  # 16 bits hold it
    nodes = {"in": Input((channels, 4, 4)), "conv": Conv2d(weight, padding=1), "n": Neuron(1.0)}
    check = Check(np.ones((1, channels, 4, 4), int), np.zeros((1, 1024)))
    model = Model(nodes, list(zip(nodes, list(nodes)[1:])), timesteps=1, check=check)
    [path] = Simulator(model, "int8").program.stages["n"].paths
    assert path.method == method


def test_large_checks_are_not_copied():
    """65 MB of samples, most of which nobody looks at; the last ones count, too."""
    model = network(inputs=Input((1, 256, 256)))
    x = np.zeros((1000, 1, 256, 256), np.int8)
    x[500:] = 1
    check = Check(x, np.zeros((1000, 1 << 16)))
    tracemalloc.start()
    try:
        density = densities(model, check)["in"]
        assert tracemalloc.get_traced_memory()[1] < x.nbytes
    finally:
        tracemalloc.stop()
    assert 0.45 < density < 0.55
