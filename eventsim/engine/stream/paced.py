"""Real time: a pace that says when windows are due, and a source that is read beside it."""

import queue
import threading
import time

from eventsim.engine.stream.options import Course
from eventsim.inputs.events import MICROSECOND

MOST_BLOCKS = 64  # that wait to be taken; then the source waits
PATIENCE = 0.1  # seconds between looks whether anybody still reads


class Pace:
    """Windows are due `slack` after their end, counted from when the first event came."""

    def __init__(self, course: Course):
        self._course, self._stepping, self._began, self._first = course, None, None, 0

    def begin(self, stepping) -> None:
        """Start the clock, as the first events have come; later calls change nothing. Steps that are over already
        took no time."""
        if self._began is None:
            self._began, self._stepping, self._first = time.perf_counter(), stepping, stepping.done

    def due(self, stop) -> float:
        """Return when the window is due that ends before step `stop`, as `time.perf_counter` says it."""
        span = (stop - self._first) * self._course.bins.bin_width + self._course.slack
        return self._began + span * MICROSECOND

    def is_due(self, stop) -> bool:
        """Return whether that window is due."""
        return self._began is not None and time.perf_counter() >= self.due(stop)

    def wait(self, stop) -> None:
        """Sleep until that window is due."""
        time.sleep(max(0.0, self.due(stop) - time.perf_counter()))

    def patience(self):
        """Return the seconds until the next window is due, None before the first event."""
        if self._began is None:
            return None
        stride, done = self._course.stride, self._stepping.done
        return max(0.0, self.due((done // stride + 1) * stride) - time.perf_counter())


class Reader:
    """Iterator of a source's blocks, which a thread reads: None where no block came before a window was due."""

    def __init__(self, source, pace: Pace):
        self._pace, self._queue, self._closed = pace, queue.Queue(MOST_BLOCKS), threading.Event()
        threading.Thread(target=self._read, args=(source,), daemon=True).start()

    def __iter__(self):
        return self

    def __next__(self):
        patience = self._pace.patience()
        try:
            block, error = self._queue.get(timeout=patience) if patience != 0 else self._queue.get_nowait()
        except queue.Empty:
            return None
        if error is not None:
            raise error
        if block is None:
            raise StopIteration
        return block

    def close(self) -> None:
        """Stop reading, as nobody takes the blocks any more."""
        self._closed.set()

    def _read(self, source):
        try:
            for block in source:
                if not self._put((block, None)):
                    return
        except BaseException as error:
            self._put((None, error))  # raised where the blocks are read
        else:
            self._put((None, None))

    def _put(self, item):
        while not self._closed.is_set():
            try:
                self._queue.put(item, timeout=PATIENCE)
                return True
            except queue.Full:
                continue
        return False
