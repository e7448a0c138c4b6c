"""Completion by the shell: a script of shtab, which knows every command and option."""

import argparse

from eventsim.cli.parsing import actions_of
from eventsim.errors import missing

SHELLS = ("bash", "zsh", "tcsh")
FILES = ("MODEL", "DATA", "RUN", "IN", "OUT", "A", "B", "FILE", "FILE.h5", "CHIP", "TABLE")  # what is a path
FOLDERS = ("DIR",)


def add_completion(group):
    """Add --completion SHELL."""
    group.add_argument("--completion", action=_Print, choices=SHELLS, metavar="SHELL",
                       help="print the completions for bash, zsh or tcsh")


class _Print(argparse.Action):
    """Print the script and leave."""

    def __call__(self, parser, namespace, values, option_string=None):
        print(script(parser, values))
        parser.exit()


def script(parser, shell) -> str:
    """Return what a shell reads to complete the command line of a parser. Raises MissingPackageError without
    shtab."""
    try:
        import shtab
    except ImportError:
        raise missing("completion", "shtab", "completion") from None
    for each in (parser, *_commands(parser)):
        for declare in getattr(each, "late", ()):
            declare(each, None)
        for action in actions_of(each):
            if action.metavar in FILES:
                action.complete = shtab.FILE
            elif action.metavar in FOLDERS:
                action.complete = shtab.DIRECTORY
    return shtab.complete(parser, shell)


def _commands(parser):
    return [command for action in actions_of(parser) if isinstance(action.choices, dict)
            for command in action.choices.values()]
