"""What integers an Input takes does not depend on their type, nor on which of the two ways checks them."""

import numpy as np
import pytest

from eventsim import Dense, Input, Model, Readout, Simulator
from eventsim.errors import DataError
from eventsim.inputs.levels import level_range

TYPES = ("i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", ">i2", ">u4")
WEIGHT = np.random.default_rng(0).normal(size=(2, 3))


def simulator_of(node):
    nodes = {"in": node, "w": Dense(WEIGHT), "r": Readout()}
    return Simulator(Model(nodes, [("in", "w"), ("w", "r")], timesteps=1), "float64")


def extremes(dtype):
    limits = np.iinfo(dtype)
    return [value for value in (-(1 << 16), -256, -200, -128, -3, -1, 0, 1, 127, 128, 255, 256, 65535, 65536)
            if limits.min <= value <= limits.max]


@pytest.mark.parametrize("encoding, bits, signed", [
    *(("spikes", bits, signed) for bits in (1, 4, 7, 8, 15, 16) for signed in (False, True)),
    ("image", 7, False), ("image", 8, False)])
def test_levels_beyond_the_range_are_refused_of_every_type(encoding, bits, signed):
    """A run like the one before takes the compiled check of levels, which the first of them does not."""
    node = Input((3,), encoding, bits, signed, scale=0.5)
    low, high = level_range(node)
    simulator = simulator_of(node)
    for dtype in TYPES:
        for _ in range(2):
            simulator.run(np.ones((1, 3), dtype))
        for value in extremes(dtype):
            x = np.array([[1, value, 0]], dtype)
            for one in (simulator_of(node) if value in (-1, 128, 256) else simulator, simulator):
                if low <= value <= high:
                    np.testing.assert_allclose(one.run(x).output[0], WEIGHT @ (0.5 * x[0].astype(float)))
                else:
                    with pytest.raises(DataError, match=f"x has values (up|down) to {value} but"):
                        one.run(x)
