"""Kernels that other processes compile ahead: they are found in the folder; nothing depends on these processes."""

import ast
import os
import pickle
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from eventsim.kernels import ahead, calling, compiling, counting
from eventsim.kernels.compiling import by_address, compiled, inlined
from kernel_sources import KERNELS as KERNEL_TREES
from numba import types

pytestmark = pytest.mark.skipif(not calling.COMPILES, reason="the JIT is off")
KERNELS = [(counting.sum_counts, (types.int64,))] * ahead.LEAST


def _adding(number):
    return compiled(lambda x: x + number)


@pytest.fixture
def cores(monkeypatch, tmp_path):
    """Two cores, one of them free, and a folder."""
    monkeypatch.setattr(ahead, "MOST", 1)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1}, raising=False)
    monkeypatch.setattr(ahead, "base_of_kernels", lambda: tmp_path)


def test_what_another_process_compiles_is_loaded(tmp_path):
    """The folder has what it was asked for, and nothing was said."""
    words = calling.Pointer(types.uint64)
    given = pickle.dumps([("eventsim.kernels.transforms", "clear_words", (words, types.int64))])
    environment = {**os.environ, "EVENTSIM_CACHE_DIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", ahead.CODE.format(sys.path)], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment) as process:
        process.stdin.write(given)
        process.stdin.flush()  # it ends with its input
        assert process.stdout.read() == b"" and process.wait() == 0
    [kept] = tmp_path.glob("eventsim/*/*.nbc")
    assert kept.name.startswith("transforms.clear_words-")


def test_all_kernels_of_plans_are_known():
    """Kernels of statistics and of the peak, and what begins a run, are called from Python, others by `drive`."""
    names = {module.__name__.rpartition(".")[2] for module in ahead.modules()}
    for name, tree in KERNEL_TREES.items():
        kernels = [node for node in tree.body if isinstance(node, ast.FunctionDef) and "compiled" in map(
            ast.unparse, node.decorator_list)]
        if kernels and not name.endswith("_statistics.py") and name not in ("beginning.py", "calling.py",
                                                                                   "peak.py"):
            assert name[:-3] in names


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc says whether a process runs")
def test_another_process_ends_with_this_one(tmp_path):
    """Killed, too: it ends with its input. The process in between waits, and is killed."""
    code = ("import os, sys, time\nfrom eventsim.kernels import ahead\n"
            "os.sched_getaffinity = lambda process: {0, 1}\n"
            "ahead.CODE = 'from eventsim.kernels import ahead; import threading, time; '"
            " 'threading.Thread(target=ahead._end_with_stdin).start(); time.sleep(600)'\n"
            "from eventsim.kernels import counting\nhelpers = ahead.Helpers()\n"
            f"helpers.start([(counting.sum_counts, ())] * {ahead.LEAST})\n"
            "print(helpers._processes[0].pid, flush=True)\ntime.sleep(600)\n")
    environment = {**os.environ, "EVENTSIM_CACHE_DIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    between = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=environment)
    pid = int(between.stdout.readline())
    between.kill()
    between.wait()
    between.stdout.close()
    end = time.monotonic() + 60
    while _runs(pid):
        assert time.monotonic() < end
        time.sleep(0.05)


def _runs(pid):
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


@pytest.mark.parametrize("by", (by_address, lambda kernel: inlined(kernel.py_func)))
def test_what_has_no_wrapper_refuses_calls_from_python(by):
    """Before, they ended the process."""
    function = by(compiled(lambda x: x + 1))
    with pytest.raises(TypeError, match="not from Python"):
        function(1)


def test_code_without_a_wrapper_is_not_loaded_for_calls_from_python(tmp_path, monkeypatch):
    monkeypatch.setattr(compiling, "_FOLDER", str(tmp_path))
    kernel = compiled(_next)
    by_address(kernel).compile((types.int64,))
    assert len(list(tmp_path.iterdir())) == 1
    assert compiled(_next)(1) == 2


def _next(x):
    return x + 1


def test_no_process_outlives_the_block(cores, monkeypatch):
    monkeypatch.setattr(ahead, "CODE", "import time; time.sleep(600)")
    with ahead.Helpers() as helpers:
        helpers.start(KERNELS)
        helpers.start(KERNELS)  # one is there already
        [process] = helpers._processes
        assert process.poll() is None
    assert process.returncode is not None


@pytest.mark.parametrize("change", ("few kernels", "one core", "no folder", "no Python", "a program of its own",
                                    "a program with Python in it"))
def test_none_is_started(cores, monkeypatch, change):
    """Where it is not worth it, or where nothing would come back."""
    monkeypatch.setattr(ahead, "CODE", "")
    if change == "one core":
        monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0}, raising=False)
    elif change == "no folder":
        monkeypatch.setattr(ahead, "base_of_kernels", lambda: None)
    elif change == "no Python":
        monkeypatch.setattr(sys, "executable", "")
    elif change == "a program with Python in it":
        monkeypatch.setattr(sys, "executable", "/usr/bin/blender")
    elif change == "a program of its own":
        monkeypatch.setattr(sys, "frozen", True, raising=False)
    with ahead.Helpers() as helpers:
        helpers.start(KERNELS[1:] if change == "few kernels" else KERNELS)
        assert not helpers._processes


@pytest.mark.parametrize("program", ("python-false", "python-nowhere"))
def test_kernels_are_compiled_without_help(cores, monkeypatch, tmp_path, program):
    """Another process that fails, or is not there, costs nothing but the time."""
    monkeypatch.setattr(compiling, "_FOLDER", str(tmp_path))
    monkeypatch.setattr(calling, "_ADDRESSES", {})
    (tmp_path / "python-false").symlink_to("/bin/false")
    monkeypatch.setattr(sys, "executable", str(tmp_path / program))
    kernels = [_adding(k) for k in range(ahead.LEAST + 1)]
    addresses = calling.addresses_of([(kernel, (1,), (None,)) for kernel in kernels])
    assert len(set(addresses)) == len(kernels) and np.all(addresses)
