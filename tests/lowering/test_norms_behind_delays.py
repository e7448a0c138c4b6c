"""What a BatchNorm gives whose input comes late."""

import numpy as np
import pytest

import reference
from eventsim import BatchNorm, Conv2d, Dense, Input, Model, Readout, Simulator
from eventsim.errors import UnsupportedError


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("reader", ["dense", "convolution", "neurons"])
def test_a_batch_norm_over_a_delay_shifts_from_the_first_step(reader, precision):
    """A delay gives it nothing, which is 0, to normalise: 0.25 + 2 (0 - 0.5), and later 0.25 + 2 (x - 0.5)."""
    weights = {"dense": {"fc": Dense([[1.0, 1.0]])}, "convolution": {"fc": Conv2d(np.ones((1, 2, 1, 1)))},
               "neurons": {}}[reader]
    shape = (2, 1, 1) if reader == "convolution" else (2,)
    nodes = {"in": Input(shape), "norm": BatchNorm(np.full(2, 2.0), [0.25, 0.5], [0.5, 0.5], [1.0, 1.0], eps=0.0),
             **weights, "out": Readout("last", leak=0.0)}
    names = list(nodes)
    model = Model(nodes, [("in", "norm", 1), *zip(names[1:], names[2:])])
    x = np.array([1, 0, 0, 1, 1, 1]).reshape(1, 3, *shape)
    for steps, late in ((1, [0, 0]), (2, [1, 0]), (3, [0, 1])):
        shifted = np.array([0.25, 0.5]) + 2 * (np.array(late) - 0.5)
        expected = shifted if reader == "neurons" else [shifted.sum()]
        recording = Simulator(model, precision).run(x[:, :steps], record=("outputs",))
        for simulated in (reference.simulate(model, x[:, :steps], precision), recording):
            assert simulated.outputs.reshape(-1)[: steps * len(expected)].tolist()[-len(expected):] == \
                list(expected)


def test_a_batch_norm_over_an_offset_that_comes_late_is_refused():
    nodes = {"in": Input(1, "image", 1, mean=0.25), "norm": BatchNorm([2.0], [0.25], [0.0], [1.0]),
             "b": Dense([[1.0]]), "out": Readout("last")}
    model = Model(nodes, [("in", "norm", 1), ("norm", "b"), ("b", "out")], 3)
    for run in (lambda: reference.simulate(model, [[1]], "float64"), lambda: Simulator(model, "float64")):
        with pytest.raises(UnsupportedError, match="late"):
            run()
