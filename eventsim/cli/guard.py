"""What becomes of an error: one line on standard error and an exit status, whatever happens in a command."""

import sys

from eventsim.cli.signals import cleaning_up, Ended, warning_in_one_line
from eventsim.cli.streams import doors
from eventsim.errors import EventsimError
from eventsim.text import printable, visible

FAILED = 1  # an error of the user's, or a check that failed
BUG = 70  # an error of ours; EX_SOFTWARE of sysexits.h
INTERRUPTED, UNREAD = 130, 141  # as shells say that SIGINT and SIGPIPE ended a process
LONGEST = 4000  # characters of a line of error


def status_of(command) -> int:
    """Call command() and return its exit status; what it raises is printed in one line and has a status, too."""
    with doors():
        try:
            try:
                with cleaning_up(), warning_in_one_line():
                    status = command()
            except SystemExit:  # of argparse: wrong usage, or help
                sys.stdout.flush()
                raise
            sys.stdout.flush()
            return status
        except EventsimError as error:
            _say(error)
            return FAILED
        except KeyboardInterrupt:
            _say("interrupted")
            return INTERRUPTED
        except Ended as ended:
            _say(ended.what)
            return ended.status
        except BrokenPipeError:  # the reader of our output has gone, as `head` does
            return UNREAD
        except Exception as error:
            _say(_of_bug(error))
            return BUG


def _say(message):
    line = printable(str(message).strip())
    print(f"eventsim: {line if len(line) <= LONGEST else line[:LONGEST] + '...'}", file=sys.stderr)


def _of_bug(error) -> str:
    """Return what to say of an error that nobody expected; its traceback goes into a file."""
    import platform
    import traceback

    from eventsim import __version__
    from eventsim.storage.writing import write_temporary

    summary = f"{type(error).__name__}: {printable(error)[:300]}"
    lines = [
        f"eventsim {__version__}, Python {platform.python_version()}, {platform.platform()}",
        f"arguments: {sys.argv[1:]!r}", "", *traceback.format_exception(error),
    ]
    try:
        path = write_temporary("eventsim-bug-", ".txt", visible("\n".join(lines)).encode())
        where = f"with {path}, which has the traceback,"
    except EventsimError as unwritten:
        where = f"with your command (no traceback was kept: {unwritten})"
    return f"this is a bug in eventsim ({summary}): please report it, {where} and the files that you gave"
