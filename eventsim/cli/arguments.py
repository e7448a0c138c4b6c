"""What commands share: arguments, their types, loading a model, opening a run."""

import argparse
import sys
import warnings
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from eventsim.errors import EventsimError, EventsimWarning


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


def size(text):
    """Bytes, from a whole number that may have k, M or G behind it."""
    factor = {"k": 10**3, "M": 10**6, "G": 10**9}.get(text[-1:], 0)
    value = natural(text[:-1] if factor else text) * (factor or 1)
    if not 1 <= value <= 1 << 62:
        raise argparse.ArgumentTypeError(f"{text!r} is no size, expected bytes above 0 and up to 2^62")
    return value


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


def add_memory_limit(command):
    """--memory-limit SIZE."""
    command.add_argument("--memory-limit", type=size, metavar="SIZE",
                         help="refuse a model that needs more memory than this: bytes, or a number with k, M or G; "
                              "default: three quarters of the machine's")


def add_options(command, own=()):
    """Add a flag for every option of `formats.options()` to a command that takes MODEL, when it is chosen. own:
    names of flags that the command has itself, such as --timesteps of a run."""
    command.late.append(partial(_add_options, own=own))


def _add_options(command, own):
    from eventsim import formats

    group = command.add_argument_group(
        "what foreign model files leave open", "a native file (.h5) says everything itself and takes none of these"
    )
    for name, declared in formats.options().items():
        if name not in own:
            text = "; ".join(f"{what}: {option.help}" for what, option in declared.items())
            add_flag(group, "--" + name.replace("_", "-"), _key(name), declared.values(), text)


def add_flag(group, flag, key, options, text):
    """One flag for an option, which several formats may have. key: of the parsed value, None where it is not
    given. options: the formats' Options. text: its help."""
    options = list(options)
    kind = options[0].kind
    text = text.replace("%", "%%")
    if kind is bool:
        group.add_argument(flag, dest=key, action=argparse.BooleanOptionalAction, default=None, help=text)
        return
    choices = sorted({choice for option in options for choice in option.choices})
    if any(option.per_node for option in options):
        shown = "{" + ",".join(map(str, choices)) + "}" if choices else "X"
        group.add_argument(flag, dest=key, type=_per_node(options, choices), metavar=f"{shown} or NODE=X,NODE=X",
                           help=text)
        return
    group.add_argument(flag, dest=key, type=kind, choices=choices or None, metavar=None if choices else "X",
                       help=text)


def _per_node(options, choices):
    """The type of a flag that also takes NODE=VALUE,NODE=VALUE."""
    [option] = [option for option in options if option.per_node]

    def value(text):
        found = option.parsed(text)
        wrong = [one for one in (found.values() if isinstance(found, dict) else [found])
                 if choices and one not in choices]
        if wrong:
            known = ", ".join(map(repr, choices))
            raise argparse.ArgumentTypeError(f"invalid choice: {wrong[0]!r} (choose from {known})")
        return found

    value.__name__ = option.kind.__name__  # what argparse calls it
    return value


def _key(name):
    return "option_" + name


# ---- what the arguments name


def load_model(path, arguments):
    """The Model in a file, with the options among the parsed arguments; as `loaded`."""
    from eventsim import formats

    return loaded(path, {
        name: getattr(arguments, _key(name)) for name in formats.options() if hasattr(arguments, _key(name))
    })


def loaded(path, options):
    """The Model in a file, as `formats.load`; what the file leaves open is said on standard error."""
    from eventsim import formats

    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", EventsimWarning)
        model = formats.load(path, **options)
    for one in said:
        if issubclass(one.category, EventsimWarning):
            print(f"eventsim: {one.message}", file=sys.stderr)
        else:
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
    return model


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
    terminal = getattr(sys.stderr, "raw", sys.stderr)  # a bar steers the terminal, which `streams` lets nobody do
    with tqdm(total=total, unit=" samples", leave=False, file=terminal) as bar:
        yield lambda done: bar.update(done - bar.n)
