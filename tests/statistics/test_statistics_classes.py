"""Statistics class by class, held to plain sums over the levels."""

import numpy as np
import pytest

import eventsim
from eventsim import Dense, Input, Neuron
from eventsim.errors import DataError
from eventsim.statistics.classes import of_classes, rates_by_class

LABELS = np.array([2, 0, 2, 1, 0, 2])


@pytest.fixture(scope="module")
def recording():
    rng = np.random.default_rng(3)
    nodes = {"in": Input((7,), bits=2), "fc": Dense(rng.normal(0, 0.5, (5, 7))), "out": Neuron(bits=2)}
    model = eventsim.Model(nodes, [("in", "fc"), ("fc", "out")], timesteps=4)
    return eventsim.Simulator(model).run(rng.integers(0, 4, (6, 4, 7)))


def test_rates_of_neurons_by_class(recording):
    by_class = of_classes(recording, LABELS)
    assert list(by_class) == [0, 1, 2]
    for label, statistics in by_class.items():
        for name in ("in", "out"):
            fired = recording.levels(name)[LABELS == label] != 0
            train = statistics.trains[name]
            assert train.n_samples == (LABELS == label).sum()
            assert np.array_equal(train.rates, fired.mean(axis=(0, 1)))


def test_rates_of_layers_by_class(recording):
    rates = rates_by_class(recording.counts, LABELS)
    for name in ("in", "out"):
        for label in (0, 1, 2):
            expected = (recording.levels(name)[LABELS == label] != 0).mean()
            assert rates[name][label] == pytest.approx(expected, rel=1e-15)


@pytest.mark.parametrize("labels", ([0, 1], [0.0] * 6, [[0]] * 6))
def test_labels_that_do_not_fit(recording, labels):
    for function, source in ((of_classes, recording), (rates_by_class, recording.counts)):
        with pytest.raises(DataError, match=r"labels have shape .* expected \(6,\) whole numbers"):
            function(source, labels)


def test_counts_that_were_summed(recording):
    with pytest.raises(DataError, match="not summed"):
        rates_by_class(recording.counts.summed(), LABELS)
