"""Arrays whose bytes are the other way round, and zeros among the weights of real inputs."""

import numpy as np
import pytest
from reference_equality import assert_equal_to_reference

from eventsim import Conv2d, Dense, Input, Model, Neuron, Readout, Simulator


def network(inputs):
    nodes = {"in": inputs, "w": Dense([[1.0, -2.0, 0.5], [0.0, 1.5, 3.0]]), "n": Neuron(0.7),
             "out": Readout("sum")}
    return Model(nodes, list(zip(nodes, list(nodes)[1:])))


@pytest.mark.parametrize("dtype", ("i2", "i4", "i8", "u2", "f4", "f8"))
@pytest.mark.parametrize("encoding", ("spikes", "real"))
@pytest.mark.parametrize("first", ("<", ">"))
def test_bytes_of_either_order(dtype, encoding, first):
    """Runs that are alike share what was worked out; what these arrays hold is alike, and their bytes are not."""
    model = network(Input((3,), encoding, bits=1 if encoding == "real" else 2))
    x = np.random.default_rng(0).integers(0, 4, (5, 4, 3))
    expected = Simulator(model).run(x.astype("i4" if encoding == "spikes" else "f8"), record="spikes")
    simulator = Simulator(model)
    for order in (first, "<", ">", "<", ">"):
        run = simulator.run(x.astype(order + dtype), record="spikes")
        assert np.array_equal(run.levels("n"), expected.levels("n")) and run.levels("n").any()
        assert np.array_equal(run.output, expected.output)


@pytest.mark.parametrize("stride, padding, groups, still", ((1, 0, 1, False), (2, 1, 1, True), (1, 1, 2, False)))
@pytest.mark.parametrize("zeros", ("none", "some", "a channel"))
def test_weights_of_0_of_a_real_input(stride, padding, groups, still, zeros):
    """Counted by hand: every value that is not 0, at every output that it reaches, over a weight that is not 0."""
    rng = np.random.default_rng(3)
    weight = rng.uniform(0.5, 1.0, (4, 2 // groups, 3, 2))
    if zeros == "some":
        weight[rng.random(weight.shape) < 0.4] = 0
    if zeros == "a channel":
        weight[:, 0] = 0
    x = np.round(rng.normal(0, 1, (2, *(() if still else (3,)), 2, 5, 6)))
    nodes = {"in": Input((2, 5, 6), "real"), "w": Conv2d(weight, stride=stride, padding=padding, groups=groups),
             "n": Neuron(1.0)}
    model = Model(nodes, [("in", "w"), ("w", "n")], timesteps=3)
    counts = assert_equal_to_reference(model, x, "float32").counts["n"]
    _, height, width = model.shapes["n"]
    frames = np.repeat(x[:, None], 3, axis=1) if still else x
    reached, nonzero = np.zeros(2, int), np.zeros(2, int)
    for n, frame in ((n, frame) for n in range(2) for frame in frames[n]):
        for o, c, ky, kx, y, z in np.ndindex(*weight.shape, height, width):
            row, column = y * stride + ky - padding, z * stride + kx - padding
            if not (0 <= row < 5 and 0 <= column < 6):
                continue
            if frame[c + o // (4 // groups) * (2 // groups), row, column]:
                reached[n] += 1
                nonzero[n] += weight[o, c, ky, kx] != 0
    assert counts["synops"].tolist() == reached.tolist()
    assert counts["nonzero_synops"].tolist() == nonzero.tolist()
    assert (nonzero < reached).all() == (zeros == "some" or zeros == "a channel")
