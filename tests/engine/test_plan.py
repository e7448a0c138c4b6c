"""Plans: kernels bound once, and run for any number of samples."""

import numpy as np
import pytest
from exact_cases import CASES, EVERYTHING, everything, model_and_input, simulator, STEPS

from eventsim import Conv2d, Dense, Flatten, Input, Model, Neuron, Readout, Simulator
from eventsim.engine import blocks, running

FEW = [case for case in CASES if case[1] != "float64" and case != ("real", "int8")]


def _same(found, expected):
    for one, other in zip(found, expected):
        assert one.keys() == other.keys()
        for name in one:
            np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def _net(rng):
    nodes = {"in": Input((2, 6, 6), bits=2), "conv": Conv2d(rng.normal(size=(5, 2, 3, 3)), padding=1),
             "fire": Neuron(1.0), "flat": Flatten(), "dense": Dense(rng.normal(size=(4, 180))), "out": Readout()}
    return Model(nodes, list(zip(nodes, list(nodes)[1:])), timesteps=3)


@pytest.mark.parametrize("name, precision", FEW)
@pytest.mark.parametrize("together", (2, 4))
def test_samples_of_a_block_do_not_matter(name, precision, together, monkeypatch):
    """Any number of samples through a layer before the next one, a rest included."""
    _, x = model_and_input(name)
    expected = everything(simulator(name, precision).run(x, STEPS, EVERYTHING))
    monkeypatch.setattr(running, "blocks_of", lambda sizes, steps, n: [together, 1])
    _same(everything(simulator(name, precision).run(x, STEPS, EVERYTHING)), expected)


def test_two_plans_run_any_number_of_samples(monkeypatch):
    """A small network: a block of several, and one. What comes again, whatever ran between, is not made again."""
    made = []
    bind = running.bind_chunk
    monkeypatch.setattr(running, "bind_chunk", lambda *given: made.append(given[1]) or bind(*given))
    rng = np.random.default_rng(0)
    simulator = Simulator(_net(rng))
    x = rng.integers(0, 4, (131, 2, 6, 6))
    several = simulator.run(x)
    assert [setting.samples for setting in made] == [64, 1]
    for n in (1, 7, 64, 127):
        np.testing.assert_array_equal(simulator.run(x[:n]).output, several.output[:n])
    assert len(made) == 2
    for _ in range(2):
        simulator.run(x, timesteps=2)
        simulator.run(x, record=("potentials",))
        simulator.run(x)
    assert len(made) == 6


@pytest.mark.parametrize("limit, most, left", (("MOST_PLANS", 2, 2), ("MOST_BYTES", 0, 1)))
def test_a_runner_forgets_plans(limit, most, left, monkeypatch):
    """Those beyond a number, and those that take much memory; what comes again is made again."""
    monkeypatch.setattr(running, limit, most)
    rng = np.random.default_rng(1)
    simulator = Simulator(_net(rng))
    x = rng.integers(0, 4, (2, 2, 6, 6))
    first = simulator.run(x, timesteps=1).output
    for steps in (2, 3, 4):
        simulator.run(x, timesteps=steps)
    assert len(simulator._executor.runner._bound) == left
    np.testing.assert_array_equal(simulator.run(x, timesteps=1).output, first)


def test_recordings_share_no_memory():
    """What one run gave is not written by the next one, which uses the same plan."""
    rng = np.random.default_rng(2)
    simulator = Simulator(_net(rng), "int8")
    runs = [simulator.run(rng.integers(0, 4, (3, 2, 6, 6)), record=("spikes", "potentials", "outputs"))
            for _ in range(2)]
    kept = [{**everything(run)[0], **everything(run)[1]} for run in runs]
    simulator.run(rng.integers(0, 4, (3, 2, 6, 6)), record=("spikes", "potentials", "outputs"))
    for run, before in zip(runs, kept):
        now = {**everything(run)[0], **everything(run)[1]}
        assert all(np.array_equal(now[name], before[name]) for name in before)


def test_samples_share_large_weights_and_those_of_tiny_networks_calls():
    def of(step, weights, steps, n):
        return blocks.blocks_of(blocks.Sizes({"in": step}, step, {}, weights), steps, n)

    few, many = blocks.NEAR_WEIGHTS, blocks.NEAR_WEIGHTS + 1
    assert of(64, few, 4, 100) == [blocks.LARGEST_BLOCK, 1]
    assert of(64, few, 4, 10) == [1]
    assert of(blocks.NEAR_BLOCK // 16, few, 4, 100) == [4, 1]
    assert of(blocks.NEAR_BLOCK // 16, few, 40, 100) == [1]
    assert of(64, many, 4, 100) == [64, 32, 16, 8, 4, 2, 1]
    assert of(64, many, 4, 7) == [4, 2, 1]
    assert of(1 << 30, many, 4, 100) == [1]


def test_what_is_recorded_may_be_any_iterable():
    """A generator is read once, and what it named is known for later runs."""
    rng = np.random.default_rng(4)
    simulator = Simulator(_net(rng))
    x = rng.integers(0, 4, (2, 2, 6, 6))
    kinds = ("spikes", "potentials")
    expected = everything(Simulator(simulator.model).run(x, record=(*kinds, "outputs")))
    for record in (iter((*kinds, "outputs")), (*kinds, "outputs"), [*kinds, "outputs"]):
        _same(everything(simulator.run(x, record=record)), expected)
    simulator.compile(iter(kinds))
    assert simulator.time_kernels(x, record=iter(kinds))
    assert not simulator.run(x, record=None).spikes


def test_long_recurrent_runs_are_bound_in_short_chunks():
    nodes = {"in": Input((3,)), "dense": Dense(np.ones((4, 3)) / 3), "fire": Neuron(1.0),
             "back": Dense(-np.ones((4, 4)) / 9), "out": Readout()}
    edges = [("in", "dense"), ("dense", "fire"), ("fire", "back", 1), ("back", "fire"), ("fire", "out")]
    simulator = Simulator(Model(nodes, edges))
    x = (np.random.default_rng(5).random((2, 1000, 3)) < 0.5).astype(int)
    found = simulator.run(x)
    assert {setting.steps for setting in simulator._executor.runner._bound} == {128, 1000 % 128}
    whole = Simulator(simulator.model, chunk=1000).run(x)
    np.testing.assert_array_equal(found.levels("fire"), whole.levels("fire"))


def test_kernels_are_timed():
    rng = np.random.default_rng(3)
    simulator = Simulator(_net(rng), workers=2)
    x = rng.integers(0, 4, (5, 2, 6, 6))
    expected = simulator.run(x).output
    seconds = simulator.time_kernels(x)
    assert {"pack", "window_rows+fire_softly", "count_words"} <= seconds.keys()
    assert all(value > 0 for value in seconds.values())
    np.testing.assert_array_equal(simulator.run(x).output, expected)


