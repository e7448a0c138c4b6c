"""What `Simulator.compile` and `eventsim warmup` compile: all that runs need, of whatever kind they are."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from support import exact_cases

import eventsim
from eventsim.cli.warmup import RECORDS
from eventsim.engine import warming
from eventsim.engine.chunk import Setting
from eventsim.kernels import calling

pytestmark = pytest.mark.skipif(not calling.COMPILES, reason="nothing is compiled")
ASKED = ((), ("spikes",), ("outputs",), ("potentials",), ("residuals", "currents"), *RECORDS[:2], ("membranes",))
STEPS = (1, 2, 5, 16, 40, 130)
WARMED = ("recurrent", "options")  # they have most kinds of kernels between them, and all are compiled for it


@pytest.fixture
def asked_for(monkeypatch):
    """The kernels that plans have asked for, by the types of their arguments."""
    addresses = {}
    monkeypatch.setattr(calling, "_ADDRESSES", addresses)
    return addresses


def samples(model, *shape, dtype=np.uint8):
    node, random = model.nodes[model.input], np.random.default_rng(0)
    if node.encoding == "real":
        return random.normal(size=(*shape, *node.shape))
    return random.integers(0, min(1 << node.bits, 100), (*shape, *node.shape)).astype(dtype)


def names(kernels):
    return sorted(kernel.__name__ for kernel, _ in kernels)


@pytest.mark.parametrize("name", WARMED)
def test_after_a_warmup_no_run_needs_another_kernel(asked_for, name):
    precision = "float32"
    simulator = exact_cases.fresh_simulator(name, precision)
    model = simulator.model
    for record in RECORDS:
        simulator.compile(record)
    known = set(asked_for)
    for steps in STEPS:
        for x in (samples(model, 3), samples(model, 3, dtype=np.int64), samples(model, 3, steps)):
            for record in ASKED:
                list(simulator.iterate([(x, None)], steps, record))
                assert names(set(asked_for) - known) == [], (steps, x.shape, x.dtype, record)
            state = simulator.run(x, steps).state
            simulator.run(x, steps, state=state)
            assert names(set(asked_for) - known) == [], (steps, x.shape, x.dtype)
    for chunk in (3, 17):
        cut = eventsim.Simulator(model, precision, chunk=chunk)
        list(cut.iterate([(samples(model, 2, 2 * chunk + 1), None)], None, ("statistics",)))
        cut.run(samples(model, 2, 2 * chunk + 1))
        assert names(set(asked_for) - known) == [], chunk


@pytest.mark.parametrize("name", exact_cases.MODELS)
@pytest.mark.parametrize("steps", STEPS)
def test_what_is_compiled_for_a_run_is_what_it_needs(asked_for, name, steps):
    """All of it, and nothing else: the first run begins soon."""
    simulator = exact_cases.fresh_simulator(name, "float32")
    for record in ((), ("statistics", "outputs"), ("spikes",)):
        x = samples(simulator.model, 2, steps)
        asked_for.clear()
        simulator.compile(record, x)
        compiled = set(asked_for)
        asked_for.clear()
        list(eventsim.Simulator(simulator.model).iterate([(x, None)], None, record))
        assert names(set(asked_for) ^ compiled) == []


def test_chunks_are_shortened_to_one_of_each_kind():
    first = Setting(1, 33, False, True, True, 0, frozenset(), frozenset(), False, True, False)
    chunks = [first, *[first._replace(fresh=False)] * 5, first._replace(fresh=False, steps=1)]
    assert [(each.steps, each.fresh) for each in warming.kinds_of_chunks(chunks)] == [(16, True), (16, False), (1, False)]


def test_samples_that_do_not_fit_are_refused_by_their_run_alone():
    simulator = eventsim.Simulator(eventsim.Model({"in": eventsim.Input((3,)), "n": eventsim.Neuron()}, [("in", "n")]))
    for x in (np.zeros((2, 4), int), np.zeros((2, 3), int), [["a"]], np.zeros((0, 3))):
        simulator.compile((), x)
    with pytest.raises(eventsim.DataError, match="record has 'spike'"):
        simulator.compile("spike", np.zeros((2, 3), int), timesteps=3)


AFTER = """
import json, sys
from eventsim.cli import main
from eventsim.kernels.compiling import watched
model, data, run = sys.argv[1:]
assert main(["warmup", model, "--precision", "float32"]) == 0
compiled = {}
for words in (["run"], ["run", "--out", run], ["run", "--timesteps", "1"], ["run", "--timesteps", "40"],
              ["run", "--workers", "2"], ["run", "--conventions"], ["run", "--out", run, "--record", "spikes"],
              ["run", "--out", run, "--record", "potentials", "--timesteps", "3"],
              ["run", "--out", run, "--timesteps", "300"], ["bench", "--rounds", "1"],
              ["bench", "--rounds", "1", "--timesteps", "20"]):
    with watched(lambda done, total: None) as progress:
        assert main([words[0], model, data, "--limit", "9", *words[1:]]) == 0
    compiled[" ".join(words)] = progress.compiled
print(json.dumps(compiled))
"""


def test_commands_after_a_warmup_compile_nothing(tmp_path):
    """Of a folder of compiled kernels that was empty."""
    x = np.random.default_rng(0).integers(0, 16, (9, 1, 8, 8)).astype(np.uint8)
    model = eventsim.Model(
        {"in": eventsim.Input((1, 8, 8), "image", bits=4), "conv": eventsim.Conv2d(np.ones((4, 1, 3, 3)) / 40),
         "n": eventsim.Neuron(), "pool": eventsim.MaxPool(2), "flat": eventsim.Flatten(),
         "fc": eventsim.Dense(np.ones((3, 36)) / 9), "out": eventsim.Readout()},
        [("in", "conv"), ("conv", "n"), ("n", "pool"), ("pool", "flat"), ("flat", "fc"), ("fc", "out")], timesteps=4)
    eventsim.save(model, tmp_path / "net.h5")
    np.savez(tmp_path / "test.npz", x=x, y=np.zeros(9, int))
    ran = subprocess.run(
        [sys.executable, "-c", AFTER, "net.h5", "test.npz", "run.h5"], cwd=tmp_path, text=True, capture_output=True,
        env={**os.environ, "EVENTSIM_CACHE_DIR": str(tmp_path / "kernels")})
    assert ran.returncode == 0, ran.stderr
    compiled = json.loads(ran.stdout.splitlines()[-1])
    assert set(compiled.values()) == {0}, compiled
