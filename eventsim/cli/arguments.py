"""Options of foreign formats on the command line: one flag per option that any format declares."""

import argparse
from contextlib import contextmanager
from pathlib import Path

from eventsim import formats

# `run` and `diff` have a --timesteps of their own, which is that of the run
PYTHON_ONLY = ("timesteps",)


def add_options(command):
    """Add a flag for every option of `formats.options()` to a command that takes MODEL."""
    group = command.add_argument_group(
        "what foreign model files leave open", "a native file (.h5) says everything itself and takes none of these"
    )
    for name, declared in formats.options().items():
        if name not in PYTHON_ONLY:
            text = "; ".join(f"{what}: {option.help}" for what, option in declared.items())
            add_flag(group, "--" + name.replace("_", "-"), _key(name), declared.values(), text)


def add_flag(group, flag, key, options, text):
    """One flag for an option, which several formats may have. key: of the parsed value, None where it is not
    given. options: the formats' Options. text: its help."""
    kind = next(iter(options)).kind
    text = text.replace("%", "%%")
    if kind is bool:
        group.add_argument(flag, dest=key, action=argparse.BooleanOptionalAction, default=None, help=text)
        return
    choices = sorted({choice for option in options for choice in option.choices})
    group.add_argument(flag, dest=key, type=kind, choices=choices or None, metavar=None if choices else "X",
                       help=text)


def load(path, arguments):
    """The Model in a file, with the options among the parsed arguments; as `formats.load`."""
    return formats.load(path, **{
        name: getattr(arguments, _key(name)) for name in formats.options() if hasattr(arguments, _key(name))
    })


def _key(name):
    return "option_" + name


def positive(text):
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not a whole number above 0")
    return value


def natural(text):
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 on")
    return int(text)


@contextmanager
def opened(path):
    """The Run of a file whose summary can be relied on."""
    from eventsim.runs import facts
    from eventsim.runs.file import open_run

    with open_run(path) as run:
        facts.check(run)
        yield run


def beside(run, suffix):
    """A name next to the run's file: `run.h5` -> `run<suffix>`."""
    path = Path(run)
    return path.with_name((path.stem if path.suffix else path.name) + suffix)
