"""The same bits on every instruction set, and with the JIT off.

Run as a program, `python test_targets.py "MODEL PRECISION" ...`, it prints what models of
test_determinism give, as digests, and, with a cache of its own, which vector registers are used.
"""

import hashlib
import json
import os
import re
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from test_determinism import CASES, EVERYTHING, STEPS, everything, model_and_input

from eventsim import Simulator

# What NUMBA_CPU_NAME alone leaves in place; see DESIGN.md, Numba's traps.
TARGETS = {
    "SSE2": dict(NUMBA_CPU_NAME="generic", NUMBA_CPU_FEATURES=""),
    "AVX2": dict(NUMBA_CPU_NAME="haswell", NUMBA_CPU_FEATURES=""),
}
RUNS = tuple(f"{name} {precision}" for name, precision in CASES if (name, precision) != ("real", "int8"))
# Compiling takes seconds per kernel: these have each way of adding and each neuron option.
FEWER = tuple(run for run in RUNS if run.split()[0] in ("recurrent", "options", "words", "real"))
ALLOWED = {"SSE2": {"xmm"}, "AVX2": {"xmm", "ymm"}}


def _digest(arrays):
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(f"{name} {arrays[name].dtype} {arrays[name].shape}".encode())
        digest.update(np.ascontiguousarray(arrays[name]).tobytes())
    return digest.hexdigest()


def digests(names):
    """"model precision" -> digest of all that a run gives."""
    found = {}
    for name, precision in map(str.split, names):
        model, x = model_and_input(name)
        simulator = Simulator(model, precision)
        whole, end = everything(simulator.run(x, STEPS, EVERYTHING))
        spikes = simulator.run(x, STEPS, ("spikes",))  # the short way of plain layers
        plain = {f"plain {node}": spikes.levels(node) for node in spikes.spikes}
        found[f"{name} {precision}"] = _digest({**whole, **end, **plain})
    return found


def registers():
    """Kernel -> kinds of vector registers in the assembly of all its specialisations."""
    from numba.core.dispatcher import Dispatcher

    from eventsim import kernels

    found = {}
    for name, thing in vars(kernels).items():
        if isinstance(thing, Dispatcher) and thing.signatures:
            text = "\n".join(thing.inspect_asm().values())
            found[name] = sorted(set(re.findall(r"\b([xyz]mm)\d", text)))
    return found


def _main(names):
    result = {"digests": digests(names)}
    if "EVENTSIM_CACHE_DIR" in os.environ:  # code from a cache cannot be looked at
        result["registers"] = registers()
    print(json.dumps(result))


def _start(runs, **environment):
    env = {k: v for k, v in os.environ.items() if not k.startswith(("NUMBA_", "EVENTSIM_"))}
    return subprocess.Popen(
        [sys.executable, __file__, *runs], env={**env, **environment}, text=True,
        cwd=Path(__file__).parent, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )


def _finish(process):
    output, errors = process.communicate()
    assert process.returncode == 0, errors
    return json.loads(output)


@lru_cache(maxsize=None)
def native():
    return digests(RUNS)


@pytest.fixture(scope="module")
def limited(tmp_path_factory):
    """What each limited target gives; their kernels are compiled side by side, once."""
    running = {
        name: _start(FEWER, EVENTSIM_CACHE_DIR=str(tmp_path_factory.mktemp(name)), **environment)
        for name, environment in TARGETS.items()
    }
    return {name: _finish(process) for name, process in running.items()}


@pytest.mark.parametrize("target", TARGETS)
def test_same_bits(limited, target):
    assert limited[target]["digests"] == {run: native()[run] for run in FEWER}


@pytest.mark.parametrize("target", TARGETS)
def test_registers_are_limited(limited, target):
    found = limited[target]["registers"]
    assert {"gather", "pairs", "slide", "masked", "real"} <= found.keys()
    for kernel, kinds in found.items():
        assert set(kinds) <= ALLOWED[target], kernel
    assert ALLOWED[target] == set(found["gather"]), "the check sees the vectors"


def test_native_uses_the_widest(tmp_path):
    flags = Path("/proc/cpuinfo")
    if not flags.exists() or "avx512bw" not in flags.read_text():
        pytest.skip("no AVX-512 on this machine")
    found = _finish(_start(["options float32"], EVENTSIM_CACHE_DIR=str(tmp_path)))
    assert "zmm" in found["registers"]["gather"]


def test_jit_off():
    """The NumPy twins, which check every index, run whole models to the same bits."""
    assert _finish(_start(RUNS, NUMBA_DISABLE_JIT="1"))["digests"] == native()


if __name__ == "__main__":
    _main(sys.argv[1:])
