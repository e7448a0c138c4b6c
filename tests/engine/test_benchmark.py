"""Benchmarks: what they measure is the simulator that they are given."""

import numpy as np
import pytest
from small_networks import chain

from eventsim import DataError, Input, Model, Neuron, Simulator
from eventsim.engine.benchmark import benchmark

MODEL = chain(np.random.default_rng(0), Input((3,)), Neuron())
X = np.ones((2, 3), np.uint8)


class Noting(Simulator):
    """A Simulator that says how each one like it was set when it ran."""

    seen = []

    def time_steps(self, x, timesteps=None):
        self.seen.append((self.precision, self.workers, self.chunk, self.block, self.memory_limit))
        return super().time_steps(x, timesteps)


def test_a_simulator_is_measured_with_its_own_settings_in_one_thread():
    Noting.seen.clear()
    simulator = Noting(MODEL, "float64", workers=2, chunk=3, block=1, memory_limit=1 << 50)
    measured = benchmark(simulator, X, 2, rounds=1)
    assert set(Noting.seen) == {("float64", 1, 3, 1, 1 << 50)}
    assert simulator.workers == 2 and measured.samples == 2 and measured.timesteps == 2


@pytest.mark.parametrize("rounds", (0, -1, 1.5, "1", None))
def test_rounds_are_a_whole_number(rounds):
    with pytest.raises(DataError, match="rounds is .*, expected a whole number from 1"):
        benchmark(Simulator(MODEL), X, 2, rounds)


def test_a_node_called_counts_keeps_its_own_time():
    model = Model({"in": Input((3,)), "counts": Neuron()}, [("in", "counts")])
    simulator = Simulator(model)
    assert set(simulator.run(X, 2, record="timing").timing.layers) == {"in", "counts", "counts/"}
    assert {layer.name for layer in benchmark(simulator, X, 2, rounds=1).layers} == {"in", "counts", "counts/"}
