"""What a check group proves: the outputs, the levels and, in float32, the spikes; by networks that fail each."""

import numpy as np
import pytest

from eventsim import Check, Dense, Input, Model, Neuron, Readout, Simulator
from eventsim.comparison.self_check import check, level_counts

X = np.array([[[1, 1], [1, 0]]])


def network(threshold=1.0, **options):
    """Ends in a readout that says the first class, whatever it gets."""
    nodes = {"in": Input((2,)), "d": Dense([[0.1, 0.7]]), "n": Neuron(threshold, leak=0.0, reset="hard", **options),
             "e": Dense([[0.0], [0.0]], bias=[1.0, 0.0]), "out": Readout("sum")}
    return Model(nodes, list(zip(nodes, list(nodes)[1:])), 2)


def checked(model, change=0, outputs=0.0):
    """Check a model by its own run in float64, with a level count, or an output, that is another."""
    run = Simulator(model, "float64").run(X)
    node = model.nodes["n"]
    n_levels = 2 ** (node.bits + 1) - 1 if node.signed else 2**node.bits
    counts = {"n": level_counts(run.levels("n"), n_levels, node.signed)}
    counts["n"][0, 0] = np.roll(counts["n"][0, 0], change)
    return check(Model(model.nodes, model.edges, 2, check=Check(X, run.output + outputs, counts)))


def failed(result):
    assert result.passed is not any(finding.result == "FAILED" for finding in result.findings)
    return [finding.text for finding in result.findings if finding.result == "FAILED"]


def test_what_does_not_equal_the_file_fails():
    assert failed(checked(network(0.5))) == []
    assert failed(checked(network(0.5), outputs=1e-8)) == [  # relative to the largest, 2
        "float64: outputs of 1 samples agree to 5.0e-09 (at most 1e-09)"]
    assert failed(checked(network(0.5), change=1)) == [
        "float64: level counts of 'n': 1 neurons at another level than in the file"]


def test_too_many_other_spikes_in_float32_fail():
    """0.1 + 0.7 is below 0.8 in float64, and 0.8 in float32; no prediction says so."""
    result = checked(network(0.8))
    assert failed(result) == ["float32: 100.000 % of the spikes differ (at most 0.1 %)"]
    assert result.measures["float32_predictions_equal"] == 1


@pytest.mark.parametrize("signed, expected", (
    (False, [[[1, 0, 1, 0], [0, 2, 0, 0]]]), (True, [[[0, 1, 0, 0, 0, 1, 0], [0, 0, 1, 0, 1, 0, 0]]])))
def test_levels_are_counted_from_the_lowest(signed, expected):
    levels = np.array([[[-2, 2], [1, -1]]] if signed else [[[0, 2], [1, 1]]])
    assert level_counts(levels, len(expected[0][0]), signed).tolist() == expected
