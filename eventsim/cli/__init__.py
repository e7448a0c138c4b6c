"""The command line: one file per command, each with `add_parser`, which declares it, and its runner.

A runner is a function of the parsed arguments that returns an exit status: 0 done, 1 an error of the
user's (one line on standard error) or a check that failed, 2 wrong usage or nothing to check, 3 a
difference that diff found; `guard` adds 70, an error of ours, 130, interrupted, and 141, nobody reads the output.
What a runner needs is imported when it runs, and what declares the commands when `main` does: an interrupt is
one line from the first moment on.
"""

import sys


def parser():
    """Return the argument parser of the `eventsim` command."""
    from eventsim import __version__
    from eventsim.cli import (
        bench, check, completion, convert, diff, info, plot, report, run, stats, stream, warmup,
    )
    from eventsim.cli.parsing import add_help, Command, Parser

    top = Parser(
        prog="eventsim", usage="eventsim COMMAND [options] ...",
        description="Run trained spiking networks by additions only, and count what they cost.",
        examples=("eventsim info net.h5", "eventsim run net.h5 test.h5 --precision int8",
                  "eventsim run --help                # the options of a command"),
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND", title="commands",
                                  prog="eventsim", parser_class=Command)
    for command in (info, check, run, stream, diff, convert, stats, plot, report, bench, warmup):
        command.add_parser(commands)
    for each in (top, *commands.choices.values()):
        each.siblings = commands.choices
    group = top.add_argument_group("options")
    group.add_argument("--version", action="version", version=f"eventsim {__version__}", help="print the version")
    completion.add_completion(group)
    add_help(group)
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
    parsed.words = sys.argv[1:] if arguments is None else list(arguments)
    name = getattr(parsed, "model", parsed.command)  # diff has two models
    try:
        return parsed.run(parsed)
    except MemoryError as error:
        raise RunError(f"{name}: does not fit into memory ({_reason(error) or 'no memory is left'})") from None
    except (ImportError, OSError, RuntimeError) as error:
        refused = _refused(error)
        if refused is None:
            raise
        raise RunError(f"{name}: {refused} ({_reason(error)})") from None


def _refused(error):
    """Return what the system would not do, or None where the error says nothing of the kind."""
    from eventsim.errors import EventsimError

    ours = isinstance(error, EventsimError) or (getattr(error, "name", None) or "").startswith("eventsim")
    if isinstance(error, ImportError) and not ours or "shared object" in str(error):  # as llvmlite says it
        return "a library that is needed cannot be loaded: is it installed whole, and is there memory for it?"
    if "can't start new thread" in str(error):
        return "no more threads can be started: is there a limit of processes, and are there too many workers?"
    return None


def _reason(error):
    return " ".join(str(error).split())
