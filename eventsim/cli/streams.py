"""Standard output and error while a command runs: the one door of all text that a person sees.

Names and notes come out of files that anybody may have made: on the way to a terminal all that could steer it is
written as its code (see `text.visible`). What cannot be written is an error of one line.
"""

import io
import os
import sys
from contextlib import contextmanager

from eventsim.errors import EventsimError
from eventsim.text import visible


class OutputError(EventsimError):
    """Standard output takes nothing: a full disk, a closed stream."""


CLOSED = io.StringIO()  # what a stream that Python did not open is as good as
CLOSED.close()


class Door:
    """A stream of text that writes what is visible only. raw: the stream behind it, or None where it is closed.
    name: how messages call it; "" for one on which nothing can be said about itself."""

    def __init__(self, raw, name=""):
        self.raw, self._name = raw, name

    def __getattr__(self, name):
        return getattr(self.raw, name)

    def isatty(self) -> bool:
        """Return whether it is a terminal; a stream that is closed is none."""
        return self.raw is not None and not self.raw.closed and self.raw.isatty()

    def write(self, text) -> int:
        """Write text; raises OutputError, and BrokenPipeError where nobody reads any more."""
        with self._guarded():
            (self.raw or CLOSED).write(visible(text, getattr(self.raw, "encoding", None) or "utf-8"))
        return len(text)

    def flush(self) -> None:
        """Hand on what was written; raises what `write` raises."""
        if self.raw is not None:
            with self._guarded():
                self.raw.flush()

    @contextmanager
    def _guarded(self):
        try:
            yield
        except BrokenPipeError:
            self._discard()
            if self._name:
                raise
        except (OSError, ValueError) as error:  # ValueError: closed within Python
            self._discard()
            if self._name:
                reason = getattr(error, "strerror", None) or "it is closed"
                raise OutputError(f"{self._name}: cannot be written ({reason})") from None

    def _discard(self):
        """Let what is still in the stream's buffer go nowhere, or Python tries again, and fails, when it ends."""
        from eventsim.storage.writing import open_null  # slow to import, and seldom needed

        try:
            nowhere = open_null()
            os.dup2(nowhere, self.raw.fileno())
            os.close(nowhere)
        except (AttributeError, OSError, ValueError):  # no stream, or one without a file
            pass


@contextmanager
def doors():
    """Put standard output and error behind doors for as long as a command runs."""
    _reserve()
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = Door(sys.stdout, "standard output"), Door(sys.stderr)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def _reserve():
    """Open what is closed of the standard streams on the null device: a file opened later would get its number,
    and whatever a library prints would go into that file."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            from eventsim.storage.writing import open_null

            open_null()  # gets the lowest number that is free
