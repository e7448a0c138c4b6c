"""The command line: one file per command, each with `add_parser`, which declares it, and its runner.

A runner is a function of the parsed arguments that returns an exit status: 0 done, 1 an error of the
user's (one line on standard error) or a check that failed, 2 wrong usage or nothing to check, 3 a
difference that diff found. What it needs is imported when it runs.
"""

import argparse
import sys

from eventsim import __version__
from eventsim.cli import check, convert, diff, info, plot, report, run, stats, stream
from eventsim.cli.arguments import Command
from eventsim.errors import EventsimError

COMMANDS = (info, check, run, stream, diff, convert, stats, plot, report)


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
    except BrokenPipeError:  # the reader of our output has gone, as `head` does
        sys.stderr.close()
        return 141
