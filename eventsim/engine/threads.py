"""Threads: a pool that lasts from run to run, so that its threads keep their plans."""

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Callable, Iterable, List


class Threads:
    """A pool of threads. workers: how many there are. pool: of them, made when it is first needed, or None."""

    def __init__(self, workers: int):
        self.workers, self.pool = workers, None
        self._process = None

    def map(self, run: Callable, starts: Iterable) -> List:
        """Return what `run` gives of each start, in order. After an error the pool is not kept: threads keep the
        modes of the processor that they began with."""
        if self._process != os.getpid():  # in a forked child the pool has no threads
            self.pool, self._process = ThreadPoolExecutor(self.workers, "eventsim"), os.getpid()
        parts = None
        try:
            parts = list(self.pool.map(run, starts))
        finally:
            if parts is None:
                self._process = None
        return parts
