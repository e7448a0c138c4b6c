"""What commands share: arguments, their types, loading a model, opening a run."""

import argparse
import sys
from contextlib import contextmanager
from pathlib import Path

from eventsim.errors import EventsimError

# `run` and `diff` have a --timesteps of their own, which is that of the run
PYTHON_ONLY = ("timesteps",)


class Command(argparse.ArgumentParser):
    """The parser of one command. late: functions of it that declare more arguments, called when the command is
    chosen, so that `eventsim --help` needs none of what they import."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.late = []

    def parse_known_args(self, args=None, namespace=None):
        """As of every parser, with the late arguments."""
        while self.late:
            self.late.pop(0)(self)
        return super().parse_known_args(args, namespace)


# ---- types


def positive(text):
    """A whole number above 0."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not a whole number above 0")
    return value


def natural(text):
    """A whole number from 0 on."""
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 on")
    return int(text)


# ---- arguments


def add_model(command):
    """MODEL, a model file."""
    command.add_argument("model", metavar="MODEL", help="model file: native (.h5), NIR (.nir) or lava-dl (.net)")


def add_run(command):
    """RUN, the file of a run."""
    command.add_argument("model", metavar="RUN", help="file of `eventsim run --out`, or of `eventsim.save_run`")


def add_layers(command):
    """--layer NAME, repeated."""
    command.add_argument("--layer", action="append", default=[], metavar="NAME",
                         help="only this layer; repeat for more")


def add_json(command):
    """--json."""
    command.add_argument("--json", action="store_true", help="print one JSON object instead of text")


def add_options(command):
    """Add a flag for every option of `formats.options()` to a command that takes MODEL, when it is chosen."""
    command.late.append(_add_options)


def _add_options(command):
    from eventsim import formats

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


def _key(name):
    return "option_" + name


# ---- what the arguments name


def load_model(path, arguments):
    """The Model in a file, with the options among the parsed arguments; as `formats.load`."""
    from eventsim import formats

    return formats.load(path, **{
        name: getattr(arguments, _key(name)) for name in formats.options() if hasattr(arguments, _key(name))
    })


@contextmanager
def opened(path):
    """The Run of a file whose summary can be relied on."""
    from eventsim.runs.file import open_run

    with open_run(path) as run:
        run.summary  # raises where it is damaged, before anything is made of the run
        yield run


def beside(run, suffix):
    """A name next to the run's file: `run.h5` -> `run<suffix>`."""
    path = Path(run)
    return path.with_name((path.stem if path.suffix else path.name) + suffix)


@contextmanager
def naming(path):
    """Put the file before errors that do not name one."""
    try:
        yield
    except EventsimError as error:
        raise type(error)(f"{path}: {error}") from None


@contextmanager
def progress_bar(total):
    """A function of the samples done, which moves a bar: on a terminal, where tqdm is installed."""
    if not sys.stderr.isatty():
        yield lambda done: None
        return
    try:
        from tqdm import tqdm
    except ImportError:
        yield lambda done: None
        return
    with tqdm(total=total, unit=" samples", leave=False) as bar:
        yield lambda done: bar.update(done - bar.n)
