"""Simulators in other processes and threads: forked, pickled, and where a library has changed the processor's
modes."""

import copy
import os
import pickle
import threading
from pathlib import Path

import numpy as np
import pytest
from processor_modes import DENORMALS, mode, ROUNDING

import eventsim
from eventsim import Chip, RunError, Simulator
from eventsim.engine import processor

DIGITS = Path(__file__).parents[2] / "data" / "digits.h5"
NARROW = Chip("narrow", weight_bits=6)
RECORD = ("spikes", "potentials", "outputs", "statistics", "membranes", "intervals")


@pytest.fixture(scope="module")
def model():
    return eventsim.load(DIGITS)


@pytest.fixture(scope="module")
def x(model):
    node = model.nodes[model.input]
    return np.random.default_rng(0).integers(0, 1 << node.bits, (12, *node.shape))


def in_child(function):
    """What a forked child says of function(): whether it is true; None where it has not ended after a minute."""
    child = os.fork()
    if not child:
        status = 1
        try:
            status = int(not function())
        finally:
            os._exit(status)
    done = []
    waiting = threading.Thread(target=lambda: done.append(os.waitpid(child, 0)[1]), daemon=True)
    waiting.start()
    waiting.join(60)
    if not done:
        os.kill(child, 9)
        return None
    return done[0] == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_simulator_with_workers_runs_in_a_forked_child(model, x):
    simulator = Simulator(model, "int8", workers=3, block=2)
    expected = simulator.run(x).output
    assert in_child(lambda: np.array_equal(simulator.run(x).output, expected))
    assert in_child(lambda: in_child(lambda: np.array_equal(simulator.run(x).output, expected)))
    assert np.array_equal(simulator.run(x).output, expected)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_child_forked_while_another_thread_compiles_can_compile(model):
    from numba.core.compiler_lock import global_compiler_lock

    holding, free = threading.Event(), threading.Event()

    def compile_for_a_while():
        with global_compiler_lock:
            holding.set()
            free.wait(0.2)

    other = threading.Thread(target=compile_for_a_while)
    other.start()
    holding.wait()
    assert in_child(lambda: global_compiler_lock.__enter__() is None)
    other.join()


@pytest.mark.parametrize("precision, chip", (("float32", None), ("int8", None), ("fixed", NARROW)))
def test_a_pickled_simulator_gives_the_same_bits(model, x, precision, chip):
    simulator = Simulator(model, precision, workers=2, chunk=3, block=5, chip=chip)
    expected = simulator.run(x[:6])
    data = pickle.dumps(simulator)
    assert len(data) < 1.1 * len(pickle.dumps(model))
    for twin in (pickle.loads(data), copy.deepcopy(simulator), copy.copy(simulator)):
        assert (twin.precision, twin.workers, twin.chunk, twin.block) == (precision, 2, 3, 5)
        assert twin.program.chip == simulator.program.chip
        found = twin.run(x[:6])
        assert found.output.tobytes() == expected.output.tobytes()
        assert all(np.array_equal(found.levels(name), expected.levels(name)) for name in expected.spikes)
    assert copy.copy(simulator).model is model


def test_public_objects_are_pickled_and_copied(model, x, tmp_path):
    simulator = Simulator(model)
    recording = simulator.run(x[:3], record=RECORD)
    summary = eventsim.evaluate(simulator, x[:3], statistics=True)
    later = simulator.run(x[:3], state=recording.state).output
    for twin in map(pickle.loads, (pickle.dumps(recording), pickle.dumps(copy.deepcopy(recording)))):
        assert np.array_equal(simulator.run(x[:3], state=twin.state).output, later)
        assert np.array_equal(twin.levels(model.input), recording.levels(model.input))
        assert np.array_equal(twin.predictions, recording.predictions)
        assert twin.statistics.membranes.keys() == recording.statistics.membranes.keys()
        assert twin.context == recording.context
    assert pickle.loads(pickle.dumps(summary)).to_json() == summary.to_json()
    assert Simulator(copy.deepcopy(model)).run(x[:3]).output.tobytes() == recording.output.tobytes()
    comparison = eventsim.compare(model, simulator, x[:1])
    for one in (comparison, eventsim.Trace({"a": x}), eventsim.DataError("said"), *model.nodes.values(),
                *model.edges):
        assert type(pickle.loads(pickle.dumps(copy.deepcopy(one)))) is type(one)
    eventsim.save_run(recording, tmp_path / "run.h5")
    data = eventsim.open_dataset(DIGITS.with_name("digits_test.h5"), model.nodes[model.input])
    assert np.array_equal(next(pickle.loads(pickle.dumps(data)).batches(2))[0], next(data.batches(2))[0])


def test_what_holds_an_open_file_refuses_in_one_line(model, x, tmp_path):
    from eventsim.comparison.traces import open_trace

    path = tmp_path / "run.h5"
    eventsim.save_run(Simulator(model).run(x[:1]), path)
    np.savez(tmp_path / "trace.npz", a=x)
    with eventsim.open_run(path) as run, open_trace(path) as recorded, open_trace(tmp_path / "trace.npz") as trace:
        for one in (run, recorded, trace):
            for taken in (pickle.dumps, copy.deepcopy):
                with pytest.raises(TypeError,
                                   match="^a [^\n]* of an open file cannot be pickled or copied; pass the "
                                         "path[^\n]*$"):
                    taken(one)


# ---- modes of the processor


def test_what_tells_modes_apart_is_the_same_in_every_mode():
    """As where a library sets one before eventsim is imported."""
    for bits in (*ROUNDING.values(), *DENORMALS.values()):
        with mode(bits):
            made = [make(dtype) for dtype in processor.MANTISSA
                    for make in (processor._rounding, processor._denormals)]
        expected = [known[dtype] for dtype in processor.MANTISSA
                    for known in (processor.ROUNDING, processor.DENORMALS)]
        for one, other in zip(made, expected):
            assert list(map(bytes, one)) == list(map(bytes, other)), hex(bits)


@pytest.mark.parametrize("workers", (1, 3))
@pytest.mark.parametrize("precision", ("float32", "float64", "int8"))
def test_other_modes_are_refused_and_runs_go_on_when_they_are_restored(model, x, precision, workers):
    simulator = Simulator(model, precision, workers=workers, block=2)
    for bits in ROUNDING.values():  # before the threads begin, too
        with mode(bits):
            with pytest.raises(RunError, match="^this thread's processor does not round to nearest"):
                simulator.run(x)
            with pytest.raises(RunError, match="^this thread's processor does not round to nearest"):
                Simulator(model, precision)
    expected = simulator.run(x).output
    for bits in DENORMALS.values():
        with mode(bits):
            if precision == "int8":  # has none
                assert np.array_equal(simulator.run(x).output, expected)
                continue
            with pytest.raises(RunError, match="^this thread flushes denormal numbers to zero"):
                simulator.run(x)
        assert np.array_equal(simulator.run(x).output, expected)


def test_threads_of_a_pool_in_another_mode_are_given_up(model, x):
    """They keep the modes that they began with, whatever the caller's are by then."""
    simulator = Simulator(model, workers=3, block=2)
    expected = simulator.run(x).output
    barrier = threading.Barrier(3)

    def flush(_):
        context = mode(DENORMALS["results"])
        context.__enter__()
        barrier.wait(10)
        return context  # not left: the thread stays so

    kept = list(simulator._executor.threads.pool.map(flush, range(3)))
    assert len(kept) == 3
    with pytest.raises(RunError, match="^this thread flushes denormal numbers to zero"):
        simulator.run(x)
    assert np.array_equal(simulator.run(x).output, expected)
