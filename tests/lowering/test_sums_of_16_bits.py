"""Weights whose sums fill 16 bits to the last: which kernel adds them, and that it adds them right."""

import numpy as np
import pytest
from reference_equality import assert_equal_to_reference

from eventsim import Conv2d, Input, Model, Neuron, Simulator
from eventsim.lowering import methods
from eventsim.lowering.linear import Path

CHANNELS = 32  # under a window of 3 x 3: 288 weights


def row(total, size=288):
    """Weights of int8, as few as it takes, that add up to a total."""
    extreme = 127 if total > 0 else -128
    number, rest = divmod(abs(total), abs(extreme))
    weights = np.zeros(size, int)
    weights[:number] = extreme
    if rest:
        weights[number] = np.sign(total) * rest
    assert weights.sum() == total
    return weights


def kernel(*rows):
    """Weights (32, 32, 3, 3), the first rows of which are given."""
    weights = np.zeros((32, 288), np.int8)
    for i, values in enumerate(rows):
        weights[i] = values
    return weights.reshape(32, CHANNELS, 3, 3)


def both(up, down):
    """Positive weights that add up to one, and negative ones to another."""
    return row(up, 288 - 144) if not down else np.concatenate((row(up, 144), row(down, 144)))


def range_of(weights, levels):
    """The lowest and the highest sum of an output whose inputs have any of the levels."""
    rows = weights.reshape(len(weights), -1).tolist()
    return (min(sum(min(w * level for level in levels) for w in row_) for row_ in rows),
            max(sum(max(w * level for level in levels) for w in row_) for row_ in rows))


KERNELS = {
    **{f"up to {total}": (row(total),) for total in (100, 8191, 8192, 10922, 10923, 16383, 16384, 32766, 32767,
                                                     32768)},
    **{f"down to {total}": (row(total),) for total in (-100, -8192, -8193, -16384, -16385, -32767, -32768,
                                                       -32769)},
    **{f"{up}, {down}": (both(up, down),) for up, down in ((16384, -16384), (16383, -16384), (16384, -16383),
                                                           (8192, -8192), (8191, -8192), (17000, -17000))},
    "the second": (row(5), row(32768)), "two that fit": (row(32767), row(-32768)),
}


@pytest.mark.parametrize("case", KERNELS)
def test_the_kernel_whose_sums_fit(case):
    weights = kernel(*KERNELS[case])
    path = Path("u", 0, (CHANNELS, 5, 5), np.ones(CHANNELS), weights.astype(float), padding=(1, 1))

    def method(**read):
        return methods.method_of(path, weights, (32, 5, 5), 32, methods.ReadTrain(False, **read))

    low, high = range_of(weights, (0, 1))
    by_event = "slide" if low >= -(1 << 15) and high < 1 << 15 else "slide_pairs"
    for largest in (1, 2, 3, 4):
        for signed in (False, True):
            low, high = range_of(weights, range(-largest if signed else 0, largest + 1))
            fits = low >= -(1 << 15) and high < 1 << 15
            assert method(largest=largest, signed=signed, density=1.0) == (
                "slide_tables" if fits else by_event), (largest, signed)
            assert method(largest=largest, signed=signed) == by_event


@pytest.mark.parametrize("case", ("up to 32767", "up to 32768", "down to -32768", "down to -32769",
                                  "two that fit"))
def test_sums_that_fill_16_bits(case):
    weights = kernel(*KERNELS[case]) / 128
    nodes = {"in": Input((CHANNELS, 3, 3)), "conv": Conv2d(weights, padding=1), "n": Neuron(1e5)}
    model = Model(nodes, [("in", "conv"), ("conv", "n")])
    run = assert_equal_to_reference(model, np.ones((1, 2, CHANNELS, 3, 3), int), "int8")
    middle = run.potentials("n")[0, 0, :, 1, 1]
    assert middle.tolist() == kernel(*KERNELS[case]).reshape(32, -1).sum(axis=1, dtype=int).tolist()
    assert Simulator(model, "int8").program.stages["n"].synapses[0].method == (
        "slide" if case in ("up to 32767", "down to -32768", "two that fit") else "slide_pairs")
