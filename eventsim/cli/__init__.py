"""The command line: one file per command, each with `add_parser`, which declares it, and its runner.

A runner is a function of the parsed arguments that returns an exit status: 0 done, 1 an error of the
user's (one line on standard error) or a check that failed, 2 wrong usage or nothing to check, 3 a
difference that diff found; `guard` adds 70, an error of ours, 130, interrupted, and 141, nobody reads the output.
What a runner needs is imported when it runs, and what declares the commands when `main` does: an interrupt is
one line from the first moment on.
"""

import sys


def parser():
    """The argument parser of the `eventsim` command."""
    import argparse

    from eventsim import __version__
    from eventsim.cli import check, convert, diff, info, plot, report, run, stats, stream
    from eventsim.cli.arguments import Command

    top = argparse.ArgumentParser(
        prog="eventsim",
        description="Run trained spiking networks by additions only, and count what they cost.",
    )
    top.add_argument("--version", action="version", version=f"eventsim {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=Command)
    for command in (info, check, run, stream, diff, convert, stats, plot, report):
        command.add_parser(commands)
    return top


def main(arguments=None):
    """Run the command line; returns the exit status."""
    try:
        from eventsim.cli.guard import status_of

        return status_of(lambda: _command(arguments))
    except KeyboardInterrupt:  # before there was a guard
        print("eventsim: interrupted", file=sys.stderr)
        return 130


def _command(arguments):
    from eventsim.errors import RunError

    parsed = parser().parse_args(arguments)
    try:
        return parsed.run(parsed)
    except MemoryError as error:
        reason = " ".join(str(error).split()) or "no memory is left"
        name = getattr(parsed, "model", parsed.command)  # diff has two models
        raise RunError(f"{name}: does not fit into memory ({reason})") from None
