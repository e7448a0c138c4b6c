"""Runs that are alike: what the first one worked out serves the next ones, and nothing of it shows."""

import copy
import gc
import pickle
import threading
import weakref
from itertools import permutations

import numpy as np
import pytest
from exact_cases import STEPS, everything, model_and_input, simulator as simulator_of

import eventsim
from eventsim import DataError, Simulator
from eventsim.engine import blocks, memory, running
from eventsim.engine.attention import rounded_sigmoid, thresholds
from eventsim.engine.state import State
from eventsim.kernels import beginning, transforms
from eventsim.kernels.calling import COMPILES
from eventsim.merging import merge

CASES = [("options", "float32"), ("recurrent", "int8"), ("changes", "int8"), ("restimulated", "float32"),
         ("maxima", "int8"), ("words", "float32"), ("real", "float32"), ("still", "int8")]


def small(**options):
    nodes = {"in": eventsim.Input((3,), bits=2), "fc": eventsim.Dense(np.eye(3)), "n": eventsim.Neuron(**options)}
    return eventsim.Model(nodes, [("in", "fc"), ("fc", "n")], timesteps=4)


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name in found:
        np.testing.assert_array_equal(found[name], expected[name], err_msg=str(name))


@pytest.mark.parametrize("name, precision", CASES)
def test_memory_that_is_not_cleared_is_written_to_the_last_byte(name, precision, monkeypatch):
    x = model_and_input(name)[1][:2]
    expected = [everything(each) for each in _runs(simulator_of(name, precision), x)]
    take = memory.Together.take

    def taken(self, buffers):
        arrays, begin = take(self, buffers)
        for each in self._cuts:
            arrays[each].view(np.uint8).fill(0xA5)
        return arrays, begin

    monkeypatch.setattr(memory.Together, "take", taken)
    for (whole, end), (expected_whole, expected_end) in zip(
            map(everything, _runs(simulator_of(name, precision), x)), expected):
        assert_same(whole, expected_whole)
        assert_same(end, expected_end)


def _runs(simulator, x):
    """Two that are alike, and one that goes on from the second."""
    yield simulator.run(x, STEPS, ("spikes", "outputs"))
    again = simulator.run(x, STEPS, ("spikes", "outputs"))
    yield again
    yield simulator.run(x, STEPS, ("spikes", "outputs"), state=again.state)


def test_values_are_checked_in_every_run():
    simulator = Simulator(small())
    for _ in range(2):
        simulator.run(np.array([[0, 1, 3]]))
        with pytest.raises(DataError, match="values up to 4"):
            simulator.run(np.array([[0, 1, 4]]))
        with pytest.raises(DataError, match="elements of type"):
            simulator.run(np.array([["0", "1", "3"]]))
        with pytest.raises(DataError, match="fractional"):
            simulator.run(np.array([[0, 1, 0.5]]))


@pytest.mark.parametrize("signed, dtype, wrong", [
    (False, np.uint8, 4), (False, np.int32, 4), (False, np.int32, -1), (True, np.int32, 4), (True, np.int32, -4),
    (True, np.uint8, 200), (False, np.int64, 1 << 32), (True, np.int8, -128)])
@pytest.mark.parametrize("place", [0, 16, 299])
def test_levels_that_are_none_are_refused_wherever_they_are(signed, dtype, wrong, place):
    nodes = {"in": eventsim.Input((300,), bits=2, signed=signed), "fc": eventsim.Dense(np.ones((1, 300))),
             "n": eventsim.Neuron()}
    simulator = Simulator(eventsim.Model(nodes, [("in", "fc"), ("fc", "n")], timesteps=2))
    x = np.full((1, 300), 3, dtype)
    if signed and dtype != np.uint8:
        x[0, 1::2] = -3
    expected = simulator.run(x).output
    np.testing.assert_array_equal(simulator.run(x).output, expected)
    x[0, place] = wrong
    for _ in range(2):
        with pytest.raises(DataError, match=f"values (up|down) to {wrong} "):
            simulator.run(x)
    x[0, place] = x[0, place - 2] if place > 1 else x[0, place + 2]
    np.testing.assert_array_equal(simulator.run(x).output, expected)


@pytest.mark.parametrize("change", [
    np.asfortranarray, lambda x: np.ascontiguousarray(x[:, ::-1])[:, ::-1], lambda x: x.astype(">i4"),
    lambda x: np.frombuffer(x.tobytes(), x.dtype).reshape(x.shape),
    lambda x: np.frombuffer(b"." + x.tobytes(), x.dtype, offset=1).reshape(x.shape)],
    ids=["Fortran", "backwards", "big-endian", "read-only", "not aligned"])
@pytest.mark.parametrize("still", [True, False])
def test_levels_however_they_lie_give_the_same(change, still):
    x = np.random.default_rng(0).integers(0, 4, (2, 3) if still else (2, 4, 3), np.int32)
    expected = Simulator(small()).run(x)
    simulator = Simulator(small())
    for each in (x, change(x), x, change(x)):
        found = simulator.run(each)
        np.testing.assert_array_equal(found.output, expected.output)
        np.testing.assert_array_equal(found.levels("n"), expected.levels("n"))
        assert found.counts.totals() == expected.counts.totals()


def test_real_values_are_checked_in_every_run():
    nodes = {"in": eventsim.Input((3,), "real"), "fc": eventsim.Dense(np.eye(3)), "n": eventsim.Neuron()}
    simulator = Simulator(eventsim.Model(nodes, [("in", "fc"), ("fc", "n")], timesteps=4))
    x = np.array([[0.5, -2.0, 1.5]])
    expected = simulator.run(x)
    for wrong in (np.nan, np.inf, 1e300):
        for _ in range(2):
            again = simulator.run(x)
            np.testing.assert_array_equal(again.output, expected.output)
            assert again.counts.totals() == expected.counts.totals()
            with pytest.raises(DataError, match="not finite|does not hold"):
                simulator.run(np.array([[0.5, wrong, 1.5]]))


@pytest.mark.parametrize("name, precision", CASES)
def test_runs_alike_stay_alike_while_plans_come_and_go(name, precision, monkeypatch):
    x = model_and_input(name)[1]
    sizes = [1, 2, 1, 3, 2, 1, 4, 4, 3, 1, 2]
    recorded = ("spikes", "outputs")
    expected = {n: everything(simulator_of(name, precision).run(x[:n], STEPS, recorded)) for n in sizes}
    monkeypatch.setattr(running, "MOST_PLANS", 2)
    monkeypatch.setattr(running, "MOST_CUTS", 3)
    simulator = simulator_of(name, precision)
    for n in sizes:
        found = everything(simulator.run(x[:n], STEPS, recorded))
        for each, other in zip(found, expected[n]):
            assert_same(each, other)
        assert len(simulator._executor.runner._bound) <= 2 or not COMPILES


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.float64])
def test_what_the_second_run_needs_is_compiled_with_the_first(dtype):
    if not COMPILES:
        pytest.skip("nothing is compiled")
    nodes = {"in": eventsim.Input((3,), "real" if dtype == np.float64 else "spikes"),
             "fc": eventsim.Dense(np.eye(3)), "n": eventsim.Neuron()}
    simulator = Simulator(eventsim.Model(nodes, [("in", "fc"), ("fc", "n")], timesteps=4), "float64")
    assert simulator.run(np.ones((1, 3), dtype)).timing.compiling > 0
    known = len(beginning.begin.signatures)
    assert simulator.run(np.ones((1, 3), dtype)).timing.compiling == 0
    assert len(beginning.begin.signatures) == known


def test_a_plan_that_runs_again_and_again_is_kept(monkeypatch):
    if not COMPILES:
        pytest.skip("runs are not prepared for kernels that are not compiled")
    monkeypatch.setattr(running, "MOST_PLANS", 2)
    simulator, often = Simulator(small()), np.ones((1, 4, 3), np.uint8)
    simulator.run(often)
    simulator.run(often)
    for steps in range(5, 12):
        assert simulator.run(np.ones((1, steps, 3), np.uint8)).timing.compiling > 0
        assert simulator.run(often).timing.compiling == 0
    assert len(simulator._executor.runner._bound) == 2


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int64, np.float32, bool])
def test_levels_of_every_type_give_the_same(dtype):
    simulator, x = Simulator(small()), np.array([[0, 1, 1], [1, 0, 1]])
    expected = simulator.run(x.astype(np.int32))
    for _ in range(2):
        found = simulator.run(x.astype(dtype))
        np.testing.assert_array_equal(found.output, expected.output)
        np.testing.assert_array_equal(found.levels("n"), expected.levels("n"))


def test_a_run_follows_the_steps_that_the_model_says():
    model = small()
    simulator, x = Simulator(model), np.ones((1, 3), np.uint8)
    assert simulator.run(x).timesteps == 4
    model.timesteps = 7
    assert simulator.run(x).timesteps == 7
    assert simulator.run(x, 4).timesteps == 4


def test_recordings_do_not_share_what_they_hold():
    simulator = Simulator(small())
    first = simulator.run(np.array([[0, 1, 3]]), record=("spikes", "outputs", "potentials"))
    kept = copy.deepcopy(first)
    simulator.run(np.array([[3, 0, 0]]), record=("spikes", "outputs", "potentials"))
    for name in ("output", "outputs"):
        np.testing.assert_array_equal(getattr(first, name), getattr(kept, name))
    np.testing.assert_array_equal(first.potentials("n"), kept.potentials("n"))
    np.testing.assert_array_equal(first.counts["n"]["events"], kept.counts["n"]["events"])
    assert first.output.base is None and first.outputs.base is None


def test_what_is_set_of_a_state_stays():
    state = Simulator(small()).run(np.array([[0, 1, 3]])).state
    state.step = 9
    assert state.sums.shape == (1, 3) and state.step == 9


@pytest.mark.parametrize("look", [lambda s: s.step, lambda s: s.membranes["n"].size, lambda s: s.sums.sum(), repr,
                                  lambda s: pickle.loads(pickle.dumps(s)), copy.deepcopy])
def test_a_state_is_worked_out_whatever_is_looked_at_first(look):
    simulator = Simulator(small())
    state = simulator.run(np.array([[0, 1, 3]])).state
    look(state)
    assert state.step == 4 and list(state.membranes) == ["n"] and state == copy.copy(state)
    with pytest.raises(AttributeError, match="membrane'"):
        state.membrane
    with pytest.raises(AttributeError, match="membrane'"):
        State().membrane


@pytest.mark.parametrize("look", [lambda c: c.n_samples, lambda c: c["n"]["events"], lambda c: c.total("synops"),
                                  repr, lambda c: pickle.loads(pickle.dumps(c)), copy.deepcopy,
                                  lambda c: c.summed(), lambda c: c.padded(9), lambda c: c.absent])
def test_counts_are_worked_out_whatever_is_looked_at_first(look):
    simulator, x = Simulator(small()), np.array([[0, 1, 3], [2, 2, 2]])
    expected = Simulator(small()).run(x).counts.totals()
    assert expected["events"] > 0
    simulator.run(x)
    counts = simulator.run(x).counts
    simulator.run(np.zeros_like(x))  # which uses the memory again
    look(counts)
    assert counts.totals() == expected and counts["n"]["events"].shape == (2,)
    assert merge([counts, simulator.run(x).counts]).totals() == {name: 2 * n for name, n in expected.items()}
    with pytest.raises(AttributeError, match="layer'"):
        counts.layer


def test_maps_of_many_steps_run_some_at_a_time_and_alike(monkeypatch):
    simulator = Simulator(small())
    x = np.random.default_rng(0).integers(0, 4, (2, 50, 3))
    expected = simulator.run(x, record=("spikes", "outputs"))
    monkeypatch.setattr(blocks, "NEAR_BYTES", 1)
    monkeypatch.setattr(blocks, "FAR_BYTES", 1)
    monkeypatch.setattr(blocks, "NEAR_STEPS", 16)
    other = Simulator(simulator.model)
    found = other.run(x, record=("spikes", "outputs"))
    assert {setting.steps for setting in other._executor.runner._bound} == {13, 11}
    np.testing.assert_array_equal(found.outputs, expected.outputs)
    np.testing.assert_array_equal(found.levels("n"), expected.levels("n"))
    assert found.counts.totals() == expected.counts.totals()


def test_thresholds_of_rounded_sigmoids():
    """Each is where the next number begins: below it none reaches it, above it all do, as far as rounding goes."""
    found = thresholds()
    assert found.size == 256 and (np.diff(found) > 0).all()
    for k in (1, 2, 64, 127, 128, 129, 200, 255, 256):
        z = found[k - 1]
        below, above = z, z
        assert rounded_sigmoid(z) == k
        for _ in range(300):
            below, above = np.nextafter(below, -np.inf), np.nextafter(above, np.inf)
            assert rounded_sigmoid(below) == k - 1 and rounded_sigmoid(above) == k


def test_what_is_recorded_in_another_order_is_the_same_in_blocks_of_another_size(monkeypatch):
    monkeypatch.setattr(blocks, "NEAR_WEIGHTS", 0)  # blocks of several samples
    simulator = Simulator(small())
    x = np.ones((7, 4, 3), np.uint8) * np.arange(7, dtype=np.uint8)[:, None, None] % 4
    kinds = ("currents", "potentials", "residuals")
    expected = simulator.run(x, record=kinds).traces
    for order in permutations(kinds):
        simulator = Simulator(small())
        simulator.run(x[:4], record=kinds)
        found = simulator.run(x, record=order).traces  # blocks of 4, bound before, of 2 and of 1
        for kind in kinds:
            np.testing.assert_array_equal(found[kind]["n"], expected[kind]["n"], err_msg=f"{kind} of {order}")


def test_plans_of_one_setting_keep_arrays_in_one_order():
    from eventsim.engine.plan import Plan, Tape

    orders = []
    for names in (("b", "a", "c"), ("c", "b", "a")):
        kept = memory.PlanMemory()
        for name in names:
            kept.keep((name, "n"), (2, 3), np.dtype(np.float32))
        tape = Tape()
        tape.call(transforms.clear_words, kept.take("words", 4, np.uint64), 4)
        orders.append(list(Plan(tape, kept, 2).kept))
    assert orders[0] == orders[1] == sorted(orders[0])


def test_a_state_keeps_only_itself_alive():
    simulator = Simulator(small())
    program = weakref.ref(simulator.program)
    x = np.ones((4, 4, 3), np.uint8)
    state = simulator.run(x, record=("potentials", "currents")).state
    watched = weakref.ref(x)
    del simulator, x
    gc.collect()
    assert program() is None and watched() is None
    assert state.membranes["n"].base is None and state.sums.base is None


def test_runs_that_are_alike_may_be_forgotten_by_another_thread():
    class Cleared(dict):
        """One that is emptied between a question and the next."""

        def __contains__(self, key):
            return True

    simulator, x = Simulator(small()), np.ones((1, 4, 3), np.uint8)
    simulator._executor._known = Cleared()
    assert simulator.run(x).state.step == 4


def test_runs_at_once_keep_their_statistics_apart():
    """What statistics sum lies in the plans of the pool's threads, which may take a piece of another run next."""
    simulator = Simulator(small(), workers=2, block=2)
    levels = np.random.default_rng(0).integers(0, 4, (4, 16, 4, 3)).astype(np.uint8)
    expected = [Simulator(small()).run(x, record="statistics").statistics.trains["n"].events for x in levels]
    found = [[] for _ in levels]

    def run(i):
        for _ in range(30):
            found[i].append(simulator.run(levels[i], record="statistics").statistics.trains["n"].events)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(levels))]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    for i, events in enumerate(expected):
        np.testing.assert_array_equal(found[i], [events] * 30)


@pytest.mark.parametrize("per_step, steps, longest", [
    (5_200, 500, 12_905), (5_200, 2000, 12_905),  # small maps in one chunk, as memory allows
    (100_000, 100, 671), (100_000, 300, 30),  # large ones: above FAR_BYTES in ten of 30 steps
])
def test_only_large_maps_over_many_steps_are_run_some_steps_at_a_time(per_step, steps, longest):
    program = Simulator(small()).program
    sizes = blocks.Sizes({}, per_step, {}, 0)
    assert blocks.longest_chunk(program, sizes, steps, 0, False) == longest
    assert blocks.longest_chunk(program, sizes, steps, 0, True) == blocks.CHUNK_BYTES // per_step
