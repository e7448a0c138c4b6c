"""What ends a command from outside, and what is said beside its output."""

import sys
import threading
import warnings
from contextlib import contextmanager
from signal import getsignal, SIG_DFL, SIGHUP, signal, SIGTERM


class Ended(BaseException):
    """A signal that asks the process to end."""

    def __init__(self, number):
        self.status = 128 + number
        self.what = {SIGTERM: "terminated", SIGHUP: "ended, as its terminal was closed"}[number]


@contextmanager
def cleaning_up():
    """Let SIGTERM and SIGHUP unwind what runs, as Ctrl-C does, so that no half-written file is left; but not where
    the caller ignores or handles them, as nohup does."""
    def end(number, frame):
        raise Ended(number)

    in_main_thread = threading.current_thread() is threading.main_thread()
    numbers = [n for n in (SIGTERM, SIGHUP) if in_main_thread and getsignal(n) == SIG_DFL]
    try:
        for number in numbers:
            signal(number, end)
        yield
    finally:
        for number in numbers:
            signal(number, SIG_DFL)


@contextmanager
def warning_in_one_line():
    """Say warnings of eventsim's as its errors are said, without the line of source that Python adds."""
    shown = warnings.showwarning

    def show(message, category, *where, **more):
        if category.__module__.startswith("eventsim."):
            print(f"eventsim: {message}", file=sys.stderr)
        else:
            shown(message, category, *where, **more)

    warnings.showwarning = show
    try:
        yield
    finally:
        warnings.showwarning = shown
