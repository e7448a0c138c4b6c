"""The command line: info and check; run is in `running`, convert in `converting`, diff in
`comparison.commands`, stats, plot and report in `analysing`.

Every subcommand is a function of the parsed arguments that returns an exit status: 0 done, 1 an
error of the user's (one line on standard error) or a check that failed, 2 wrong usage or nothing
to check, 3 a difference that diff found.
"""

import argparse
import sys

from eventsim import __version__
from eventsim.cli import arguments as loading, convert as converting, diff as comparing, run as running, stats
from eventsim.cli.arguments import positive
from eventsim.cli.check import run_check
from eventsim.cli.info import run_info
from eventsim.errors import EventsimError


def parser():
    """The argument parser of the `eventsim` command."""
    top = argparse.ArgumentParser(
        prog="eventsim",
        description="Run trained spiking networks by additions only, and count what they cost.",
    )
    top.add_argument("--version", action="version", version=f"eventsim {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    info = commands.add_parser("info", help="say what is in a model file")
    info.set_defaults(run=run_info)

    check = commands.add_parser(
        "check", help="run the model's own check samples and compare with its trainer's results",
        description="Exit status 0: all matched; 1: something did not; 2: nothing to check.",
    )
    check.set_defaults(run=run_check)
    for command in (info, check):
        command.add_argument("model", metavar="MODEL", help="model file: native (.h5), NIR (.nir) or lava-dl (.net)")

    run = running.add_parser(commands, positive)
    diff, convert = comparing.add_parser(commands, positive), converting.add_parser(commands)
    for command in (info, check, run, diff, convert, *stats.add_parsers(commands)):
        command.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    for command in (info, check, run, convert):
        loading.add_options(command)
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
