"""What an executor keeps for later runs does not answer for runs that differ from those it is of."""

import warnings

import numpy as np
import pytest

from eventsim import DataError, Dense, Input, Model, Neuron, Simulator
from eventsim.engine.warming import kinds_like

STEPS = 6


def network(**options):
    nodes = {"in": Input((3,)), "fc": Dense(np.eye(3)), "n": Neuron()}
    return Model(nodes, [("in", "fc"), ("fc", "n")], STEPS, **options)


def test_steps_before_samples_are_refused_after_a_run_that_knew_better():
    """Labels say that the first axis is that of samples; the same array without them may be another."""
    turned, simulator = np.ones((STEPS, 5, 3), int), Simulator(network())
    for _ in range(2):
        assert next(simulator.iterate([(turned, np.zeros(STEPS))])).output.shape == (STEPS, 3)
    with pytest.raises(DataError, match="swapaxes"):
        next(simulator.iterate([turned]))


def test_a_run_that_goes_on_beyond_the_models_steps_is_doubted():
    """Not before: as many steps as it is meant for may still be all of them."""
    simulator = Simulator(network(timesteps_fixed=True))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        first = simulator.run(np.ones((1, STEPS, 3), int))
    with pytest.warns(UserWarning, match=f"in runs of {STEPS} steps alone; this run has {STEPS + 2}, so"):
        simulator.run(np.ones((1, 2, 3), int), state=first.state)


def test_samples_of_their_own_lengths_are_of_a_kind_for_each_length():
    """So that nothing is compiled in the time that is taken of their run."""
    kinds = kinds_like(network(), np.ones((3, STEPS, 3), int), None, [5, 2, 5])
    assert [kind.begun.steps for kind in kinds] == [2, 5]
