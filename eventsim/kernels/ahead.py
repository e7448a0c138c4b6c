"""Compiling ahead: while this process compiles the first of many kernels, others compile the last of them, and leave
them in the folder of compiled kernels, where this process then finds them.

Nobody waits for another: what is not there when its turn comes is compiled here. Where no other process can be
started, or it fails, everything is.
"""

import contextlib
import os
import pickle
import subprocess
import sys

from eventsim.kernels.compiling import by_address, keeps_kernels

LEAST, MOST = 4, 3  # kernels that are worth another process, which takes a second to begin; other processes
CODE = "import sys; sys.path[:] = {!r}; from eventsim.kernels import ahead; ahead.compile_given()"


class Helpers:
    """The other processes of a `with` block, and none after it."""

    def __init__(self):
        self._processes = []

    def __enter__(self):
        return self

    def start(self, kernels) -> None:
        """Have others compile kernels, from the last one on, each another share, unless some do already. kernels:
        (kernel, signature)."""
        if self._processes:
            return
        n = min(_spare_cores(), MOST, len(kernels) // LEAST)
        for i in range(n):
            with contextlib.suppress(OSError):
                self._start(pickle.dumps([_named(*kernel) for kernel in kernels[::-1][i::n]]))

    def _start(self, kernels):
        process = subprocess.Popen([sys.executable, "-c", CODE.format(sys.path)], stdin=subprocess.PIPE,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._processes.append(process)
        process.stdin.write(kernels)
        process.stdin.close()

    def __exit__(self, *error):
        for process in self._processes:
            process.kill()
            process.wait()


def _spare_cores():
    """Cores beside the one that compiles here; 0 where what is compiled elsewhere would not come back."""
    if not keeps_kernels() or not sys.executable or getattr(sys, "frozen", False):
        return 0
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return cores - 1


def _named(kernel, signature):
    return kernel.py_func.__module__, kernel.py_func.__name__, signature


def compile_given() -> None:
    """What the other process runs: compile the kernels that stdin names."""
    from eventsim.kernels import (
        alpha, counting, firing, gathering, gathering_int8, indexing, integrating, limits, pooling, transforms,
    )

    modules = (alpha, counting, firing, gathering, gathering_int8, indexing, integrating, limits, pooling, transforms)
    kernels = {(module.__name__, name): kernel for module in modules for name, kernel in vars(module).items()}
    for module, name, signature in pickle.load(sys.stdin.buffer):
        by_address(kernels[module, name]).compile(signature)
