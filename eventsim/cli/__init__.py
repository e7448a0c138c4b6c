"""The command line: one file per command, each with `add_parser`, which declares it, and its runner.

A runner is a function of the parsed arguments that returns an exit status: 0 done, 1 an error of the
user's (one line on standard error) or a check that failed, 2 wrong usage or nothing to check, 3 a
difference that diff found. What it needs is imported when it runs.
"""

import argparse
import sys

from eventsim import __version__
from eventsim.cli import bench, check, completion, convert, diff, info, plot, report, run, stats, warmup
from eventsim.cli.parsing import add_help, Command, Parser
from eventsim.errors import EventsimError

COMMANDS = (info, check, run, diff, convert, stats, plot, report, bench, warmup)


def parser():
    """The argument parser of the `eventsim` command."""
    top = Parser(
        prog="eventsim", usage="eventsim COMMAND [options] ...",
        description="Run trained spiking networks by additions only, and count what they cost.",
        examples=("eventsim info net.h5", "eventsim run net.h5 test.h5 --precision int8",
                  "eventsim run --help                # the options of a command"),
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND", title="commands",
                                  prog="eventsim", parser_class=Command)
    for command in COMMANDS:
        command.add_parser(commands)
    group = top.add_argument_group("options")
    group.add_argument("--version", action="version", version=f"eventsim {__version__}", help="print the version")
    completion.add_completion(group)
    add_help(group)
    return top


def main(arguments=None):
    """Run the command line; returns the exit status."""
    parsed = None
    try:
        parsed = parser().parse_args(arguments)
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
