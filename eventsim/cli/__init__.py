"""The command line: one file per command, each with `add_parser`, which declares it, and its runner.

A runner is a function of the parsed arguments that returns an exit status: 0 done, 1 an error of the
user's (one line on standard error) or a check that failed, 2 wrong usage or nothing to check, 3 a
difference that diff found. What it needs is imported when it runs.
"""

import argparse
import sys
import threading
import warnings
from contextlib import contextmanager
from signal import getsignal, SIG_DFL, SIGHUP, signal, SIGTERM

from eventsim import __version__
from eventsim.cli import check, convert, diff, info, plot, report, run, stats
from eventsim.cli.arguments import Command
from eventsim.errors import EventsimError

COMMANDS = (info, check, run, diff, convert, stats, plot, report)


def parser():
    """The argument parser of the `eventsim` command."""
    top = argparse.ArgumentParser(
        prog="eventsim",
        description="Run trained spiking networks by additions only, and count what they cost.",
    )
    top.add_argument("--version", action="version", version=f"eventsim {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=Command)
    for command in COMMANDS:
        command.add_parser(commands)
    return top


def main(arguments=None):
    """Run the command line; returns the exit status."""
    parsed = parser().parse_args(arguments)
    try:
        with _cleaning_up(), _warning_in_one_line():
            return parsed.run(parsed)
    except EventsimError as error:
        print(f"eventsim: {error}", file=sys.stderr)
        return 1
    except MemoryError as error:
        reason = " ".join(str(error).split()) or "no memory is left"
        name = getattr(parsed, "model", parsed.command)  # diff has two models
        print(f"eventsim: {name}: does not fit into memory ({reason})", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("eventsim: interrupted", file=sys.stderr)
        return 130
    except _Ended as ended:
        print(f"eventsim: {ended.what}", file=sys.stderr)
        return ended.status
    except BrokenPipeError:  # the reader of our output has gone, as `head` does
        sys.stderr.close()
        return 141


class _Ended(BaseException):
    """A signal that asks the process to end."""

    def __init__(self, number):
        self.status = 128 + number
        self.what = {SIGTERM: "terminated", SIGHUP: "ended, as its terminal was closed"}[number]


@contextmanager
def _cleaning_up():
    """Let SIGTERM and SIGHUP unwind what runs, as Ctrl-C does, so that no half-written file is left; but not where
    the caller ignores or handles them, as nohup does."""
    def end(number, frame):
        raise _Ended(number)

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
def _warning_in_one_line():
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
