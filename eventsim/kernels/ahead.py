"""Compiling ahead: while this process compiles the first of many kernels, others compile the last of them, and
leave them in the folder of compiled kernels, where this process then finds them.

Nobody waits for another: what is not there when its turn comes is compiled here. Where no other process can be
started, or it fails, everything is.
"""

import contextlib
import os
import pickle
import signal
import subprocess
import sys
import threading
from pathlib import Path

from eventsim.kernels.compiling import base_of_kernels, by_address

LEAST, MOST = 4, 3  # kernels that are worth another process, which takes a second to begin; other processes
FLAGS = {"isolated": "-I", "ignore_environment": "-E", "no_user_site": "-s", "no_site": "-S", "safe_path": "-P",
         "dont_write_bytecode": "-B"}
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
        process = subprocess.Popen(_command(), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL, env=_environment())
        self._processes.append(process)
        process.stdin.write(kernels)
        process.stdin.flush()  # it stays open: where it ends, so does the other process

    def __exit__(self, *error):
        for process in self._processes:
            process.kill()
            process.wait()
            with contextlib.suppress(OSError):  # what the other one never read
                process.stdin.close()


def _command():
    """Return the command for Python as it runs here: with its flags, and modules from where this process has them.
    A folder that is relative is another one once the process has gone elsewhere."""
    flags = [flag for name, flag in FLAGS.items() if getattr(sys.flags, name, False)]
    path = [folder for folder in sys.path if os.path.isabs(folder)]
    return [sys.executable, *flags, "-c", CODE.format([*path, str(Path(__file__).parents[2])])]


def _environment():
    return {**os.environ, "EVENTSIM_CACHE_DIR": str(base_of_kernels())}


def _spare_cores():
    """Return the number of cores beside the one that compiles here; 0 where what is compiled elsewhere would not
    come back, or where there is no Python to start: a program that has Python in it is another one."""
    program = Path(sys.executable or "").name.lower()
    if base_of_kernels() is None or not program.startswith("python") or getattr(sys, "frozen", False):
        return 0
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return cores - 1


def _named(kernel, signature):
    return kernel.py_func.__module__, kernel.py_func.__name__, signature


def compile_given() -> None:
    """Compile, in another process, the kernels that stdin names, until it ends."""
    kernels = {(module.__name__, name): kernel for module in modules() for name, kernel in vars(module).items()}
    names = pickle.load(sys.stdin.buffer)
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    for module, name, signature in names:
        by_address(kernels[module, name]).compile(signature)


def modules() -> tuple:
    """Return the modules whose kernels plans call."""
    from eventsim.kernels import (
        alpha, answering, attending, counting, firing, firing_by_step, gathering, gathering_int8, indexing,
        integrating, looking_up, pooling, train_statistics, transforms,
    )

    return (alpha, answering, attending, counting, firing, firing_by_step, gathering, gathering_int8, indexing,
            integrating, looking_up, pooling, train_statistics, transforms)


def _end_with_stdin():
    os.read(0, 1)
    os.kill(os.getpid(), signal.SIGTERM)
