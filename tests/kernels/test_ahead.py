"""Kernels that other processes compile ahead: they are found in the folder, and nothing depends on these processes."""

import ast
import inspect
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
from eventsim.kernels import ahead, calling, compiling, counting
from eventsim.kernels.compiling import compiled
from kernel_sources import KERNELS as KERNEL_TREES
from numba import types

pytestmark = pytest.mark.skipif(not calling.COMPILES, reason="the JIT is off")
KERNELS = [(counting.sum_counts, (types.int64,))] * ahead.LEAST


def _adding(number):
    return compiled(lambda x: x + number)


@pytest.fixture
def cores(monkeypatch):
    """Two cores, and a folder."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1}, raising=False)
    monkeypatch.setattr(ahead, "keeps_kernels", lambda: True)


def test_what_another_process_compiles_is_loaded(tmp_path):
    """The folder has what it was asked for, and nothing was said."""
    words = calling.Pointer(types.uint64)
    given = pickle.dumps([("eventsim.kernels.transforms", "clear_words", (words, types.int64))])
    environment = {**os.environ, "EVENTSIM_CACHE_DIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", ahead.CODE.format(sys.path)], input=given, capture_output=True,
                          env=environment)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    [kept] = tmp_path.glob("eventsim/*/*.nbc")
    assert kept.name.startswith("transforms.clear_words-")


def test_all_kernels_of_plans_are_known():
    """Those of the modules that `engine` puts on tapes."""
    source = inspect.getsource(ahead.compile_given)
    for name, tree in KERNEL_TREES.items():
        kernels = [node for node in tree.body if isinstance(node, ast.FunctionDef) and "compiled" in map(
            ast.unparse, node.decorator_list)]
        of_statistics = name.endswith("_statistics.py")  # called from Python
        if kernels and not of_statistics and name != "calling.py":
            assert f" {name[:-3]}," in source, name


def test_no_process_outlives_the_block(cores, monkeypatch):
    monkeypatch.setattr(ahead, "CODE", "import time; time.sleep(600)")
    with ahead.Helpers() as helpers:
        helpers.start(KERNELS)
        helpers.start(KERNELS)  # one is there already
        [process] = helpers._processes
        assert process.poll() is None
    assert process.returncode is not None


@pytest.mark.parametrize("change", ("few kernels", "one core", "no folder", "no Python", "a program of its own"))
def test_none_is_started(cores, monkeypatch, change):
    """Where it is not worth it, or where nothing would come back."""
    monkeypatch.setattr(ahead, "CODE", "")
    if change == "one core":
        monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0}, raising=False)
    elif change == "no folder":
        monkeypatch.setattr(ahead, "keeps_kernels", lambda: False)
    elif change == "no Python":
        monkeypatch.setattr(sys, "executable", "")
    elif change == "a program of its own":
        monkeypatch.setattr(sys, "frozen", True, raising=False)
    with ahead.Helpers() as helpers:
        helpers.start(KERNELS[1:] if change == "few kernels" else KERNELS)
        assert not helpers._processes


@pytest.mark.parametrize("program", ("/bin/false", "/nowhere/python"))
def test_kernels_are_compiled_without_help(cores, monkeypatch, tmp_path, program):
    """Another process that fails, or is not there, costs nothing but the time."""
    monkeypatch.setattr(compiling, "_FOLDER", str(tmp_path))
    monkeypatch.setattr(calling, "_ADDRESSES", {})
    monkeypatch.setattr(sys, "executable", program)
    kernels = [_adding(k) for k in range(ahead.LEAST + 1)]
    addresses = calling.addresses_of([(kernel, (1,), (None,)) for kernel in kernels])
    assert len(set(addresses)) == len(kernels) and np.all(addresses)
