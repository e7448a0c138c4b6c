"""What holds for all tests: how the processes that `pytest -n` starts share the cores and their memory."""

import gc
import os
import signal

# One thread each, in libraries that would take a thread per core: those of two processes wait for one another.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")


# A shell lets what it runs in the background ignore Ctrl-C, which tests send.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


# What is imported and collected lives to the end: looking through it for garbage took two fifths of the time of
# collecting.
gc.disable()


def pytest_collection_finish():
    """Modules of libraries and tests live to the end: looking through them for garbage, each time that a test has
    made many objects, took an eighth of the time."""
    from eventsim.kernels import ahead

    if "PYTEST_XDIST_WORKER" in os.environ:  # no core is free: what others compile ahead would come twice
        ahead.MOST = 0
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    gc.enable()
