"""Parsers: errors of one line, help that fits a screen, options that are declared when they are needed."""

import argparse
import sys
from pathlib import Path

from eventsim.cli.screen import terminal_size
from eventsim.cli.usage import usage_error
from eventsim.errors import DataError

MOST_COLUMNS = 100  # of help
HELP = ("-h", "--help")
EMPTY = "is empty: give a value, or leave it out"


class Layout(argparse.HelpFormatter):
    """Help as wide as the terminal, options beside what they do; lines that begin with blanks stay as they are."""

    def __init__(self, prog):
        width = min(terminal_size()[0], MOST_COLUMNS)
        super().__init__(prog, max_help_position=24, width=width)

    def _fill_text(self, text, width, indent):
        return "\n".join(line if line.startswith(" ") else super(Layout, self)._fill_text(line, width, indent)
                         for line in text.splitlines())


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line.

    examples: command lines for the end of the help. siblings: name -> Command, of all commands.
    """

    def __init__(self, *arguments, examples=(), **options):
        if examples:
            options["epilog"] = "\n".join(["examples:", *(f"  {line}" for line in examples)])
        super().__init__(*arguments, formatter_class=Layout, add_help=False, **options)
        self.siblings = {}
        self._words, self._given = [], set()  # of the command line; the options that it has given so far

    def parse_known_args(self, args=None, namespace=None):
        """Parse as every parser does; an option that is given twice is an error, unless it gathers its values."""
        self._words, self._given = list(sys.argv[1:] if args is None else args), set()
        return super().parse_known_args(self._words, namespace)

    def format_help(self):
        """Return the help, without blank lines between its groups where the screen is too low for them."""
        text = super().format_help()
        if text.count("\n") >= terminal_size()[1]:
            text = text.replace("\n\n", "\n")
        return text

    def _get_values(self, action, arg_strings):
        """Return the value of one argument. argparse takes "--" away also where it is the value of an option, and
        gives a list."""
        if action.option_strings and arg_strings == ["--"]:
            raise argparse.ArgumentError(action, "expected one argument")
        if "" in arg_strings and not action.option_strings and not action.choices:
            raise argparse.ArgumentError(action, "is an empty name")
        if arg_strings == [""] and action.type is Path:  # which would take it for the folder that one is in
            raise DataError(f"{action.option_strings[-1]} '' is no name of a file to write: give one, or leave it "
                            "out")
        if arg_strings == [""] and action.type is None and not action.choices:
            raise argparse.ArgumentError(action, EMPTY)
        if action in self._given:
            raise argparse.ArgumentError(action, "is given twice")
        if _is_single(action):
            self._given.add(action)
        return super()._get_values(action, arg_strings)

    def error(self, message):
        """Say what was probably meant, and leave with status 2."""
        words = {"/".join(action.option_strings[-1:]) or action.metavar: list(map(str, action.choices))
                 for action in actions_of(self) if action.choices}
        flags = _flags_of(self)
        self.exit(2, usage_error(self.prog, message, words, flags, self._words, self.commands_with) + "\n")

    def commands_with(self, flag):
        """Return the names of the commands that have an option."""
        for command in self.siblings.values():
            command.declare(None)
        return [name for name, command in self.siblings.items() if flag in _flags_of(command)]


class Command(Parser):
    """The parser of one command.

    late: functions that declare more arguments of it, called when the command is chosen, so that `eventsim --help`
    needs none of what they import. They take the parser and, where only the help is wanted, the words of the
    command line, else None.
    """

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.late = []

    def parse_known_args(self, args=None, namespace=None):
        """Parse as every parser does, with the late arguments; an argument that is left over is an error."""
        args = list(args)
        if set(HELP) & set(args):
            self.declare(args)
        elif not self._knows(args):
            self.declare(None)
        parsed, rest = super().parse_known_args(args, namespace)
        if rest:
            self.error(f"unrecognized arguments: {' '.join(rest)}")
        return parsed, rest

    def declare(self, words):
        """Declare the late arguments. words: as those that declare them take them."""
        while self.late:
            self.late.pop(0)(self, words)

    def _knows(self, words):
        """Return whether every word that looks like an option is one that is declared already, so that none is
        needed of those that are declared late."""
        flags = _flags_of(self)
        return all(word.partition("=")[0] in flags for word in words if word.startswith("-"))


class ShowOptions(argparse.Action):
    """A flag that prints the options that functions declare on a parser, and leaves. const: those functions."""

    def __init__(self, option_strings, dest, const, help):
        super().__init__(option_strings, dest, nargs=0, const=const, default=argparse.SUPPRESS, help=help)

    def __call__(self, parser, namespace, values, option_string=None):
        shown = Parser(prog=parser.prog, usage=argparse.SUPPRESS)
        for declare in self.const:
            declare(shown, None)
        shown.print_help()
        parser.exit()


def actions_of(parser):
    """Return all arguments and options that a parser takes, for which argparse has no public name."""
    return vars(parser)["_actions"]


def _flags_of(parser):
    return [flag for action in actions_of(parser) for flag in action.option_strings]


def _is_single(action):
    """Return whether an option can be given only once: one with a value, or with a yes or no, that gathers
    none."""
    says = action.nargs != 0 or isinstance(action, argparse.BooleanOptionalAction)
    return bool(action.option_strings) and says and not isinstance(action.default, list)


def add_help(group):
    """Add -h and --help."""
    group.add_argument(*HELP, action="help", help="print this help and leave")
