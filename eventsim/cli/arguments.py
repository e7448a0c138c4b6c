"""What commands share: arguments, their types, loading a model, opening a run."""

import argparse
import math
import os
import re
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from eventsim.cli.parsing import add_help, ShowOptions
from eventsim.cli.screen import tell, warnings_by
from eventsim.errors import FormatError, naming

PRECISIONS = ("float32", "float64", "int8", "fixed")
MOST_DIGITS = 18  # of whole numbers: they fit into 64 bits
MOST_WORKERS, MOST_STEPS = 1024, 1 << 24


# ---- types


def positive(text):
    """Parse a whole number above 0 that 64 bits hold."""
    number = natural(text, "above 0")
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return number


def natural(text, what="from 0 on"):
    """Parse a whole number from 0 on that 64 bits hold. what: how messages name the range."""
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number {what}")
    if len(text.lstrip("0")) > MOST_DIGITS:
        raise argparse.ArgumentTypeError(f"{text[:MOST_DIGITS]!r}... has more than {MOST_DIGITS} digits")
    return int(text)


def up_to(most):
    """Return the type of an option: a whole number from 1 to `most`."""
    def number(text):
        value = positive(text)
        if value > most:
            raise argparse.ArgumentTypeError(f"is {text}, expected a whole number from 1 to {most}")
        return value

    return number


def real(expected, holds):
    """Return the type of an option: a finite number for which holds(number). expected: what messages call it."""
    def number(text):
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and holds(value)):
            raise argparse.ArgumentTypeError(f"is {text!r}, expected {expected}")
        return value

    return number


def size(text):
    """Parse a number of bytes: a whole number that may have k, M or G behind it, small or large."""
    match = re.fullmatch(r"(\d{1,19})([kmg]?)", text.lower(), re.ASCII)
    value = int(match[1]) * {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}[match[2]] if match else 0
    if not 1 <= value <= 1 << 62:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is no size, expected a whole number of bytes from 1 to "
                                         "2^62, which may have k, M or G behind it, such as 500M")
    return value


# ---- arguments


MODEL_HELP = "model file: native (.h5), NIR (.nir) or lava-dl (.net)"
DATA_HELP = "data file or folder"


def add_model(group):
    """Add the argument MODEL, a model file."""
    group.add_argument("model", metavar="MODEL", help=MODEL_HELP)


def add_data(group, optional=False):
    """Add the argument DATA, a data set."""
    group.add_argument("data", metavar="DATA", help=DATA_HELP, nargs="?" if optional else None)


def add_run(group):
    """Add the argument RUN, the file of a run."""
    group.add_argument("model", metavar="RUN", help="file of eventsim run --out, or of eventsim.save_run")


def add_precision(group):
    """Add --precision P."""
    group.add_argument("--precision", metavar="P", choices=PRECISIONS,
                       help="float32 (default), float64, int8, fixed (of a chip)")


def add_chip(group):
    """Add --chip CHIP."""
    group.add_argument("--chip", metavar="CHIP", help="compute as a chip does: loihi, lava_sdnn or a JSON file")


def add_layers(group):
    """Add --layer NAME, which may be repeated."""
    group.add_argument("--layer", action="append", default=[], metavar="NAME",
                       help="only this layer; repeat for more")


def output_group(command):
    """Add the group of what is printed, and return it."""
    return command.add_argument_group("what is printed")


def add_memory_limit(group):
    """Add --memory-limit SIZE."""
    group.add_argument("--memory-limit", type=size, metavar="SIZE",
                       help="most of the network, such as 500M (3/4 of memory)")


def add_output(group):
    """Add --json, -q, -v and -h."""
    group.add_argument("--json", action="store_true", help="one JSON object instead of text")
    group.add_argument("-q", "--quiet", action="store_true", help="no bars")
    group.add_argument("-v", "--verbose", action="store_true", help="say what is done, and how long it takes")
    add_help(group)
    return group


def add_options(command, group, own=(), more=()):
    """Add a flag for every option of `formats.options()` to a command that takes MODEL, when it is chosen. own:
    names of flags that the command has itself, such as --timesteps of a run. more: functions that declare other
    options of such files, as those of `Command.late`. The help shows those of the file that is named, and
    --help-formats all. group: what that is added to."""
    declares = (partial(_add_options, own=own), *more)
    command.late += declares
    group.add_argument("--help-formats", action=ShowOptions, const=declares,
                       help="print the options of NIR and lava-dl files")


def _add_options(command, words, own):
    named = None if words is None else list(filter(_may_take_options, words))
    if named == []:
        return
    from eventsim import formats

    shown = formats.READ_OPTIONS if named is None else set(map(formats.format_of, named))
    group = command.add_argument_group("what NIR and lava-dl files leave open (native files say it all)")
    for name, declared in formats.options().items():
        declared = {what: option for what, option in declared.items() if what in shown}
        if name not in own and declared:
            text = "; ".join(f"{what}: {option.help}" for what, option in declared.items())
            add_flag(group, "--" + name.replace("_", "-"), _key(name), declared.values(), text)


def _may_take_options(path):
    """Return whether a file, if it is one, may be a model of another tool: a quick look without h5py. The first
    bytes of an HDF5 file have the names at its root."""
    if Path(path).suffix.lower() in (".nir", ".net"):
        return True
    with suppress(OSError, ValueError):
        if os.path.isfile(path):
            with open(path, "rb") as file:
                start = file.read(4096)
            ours = b"eventsim model" in start
            return start.startswith(b"\x89HDF") and not ours and (b"node" in start or b"layer" in start)
    return False


def add_flag(group, flag, key, options, text):
    """Add one flag for an option, which several formats may have. key: of the parsed value, None where it is not
    given. options: the formats' Options. text: its help."""
    options = list(options)
    kind = options[0].kind
    text = text.replace("%", "%%")
    if kind is bool:
        group.add_argument(flag, dest=key, action=argparse.BooleanOptionalAction, default=None, help=text)
        return
    choices = sorted({choice for option in options for choice in option.choices})
    shown = "{" + ",".join(map(str, choices)) + "}" if choices else "X"
    if any(option.per_node for option in options):
        group.add_argument(flag, dest=key, type=_per_node(options, choices), metavar=f"{shown} or NODE=X,NODE=X",
                           help=text)
        return
    group.add_argument(flag, dest=key, type=kind, choices=choices or None, metavar=shown, help=text)


def _per_node(options, choices):
    """Return the type of a flag that also takes NODE=VALUE,NODE=VALUE."""
    [option] = [option for option in options if option.per_node]

    def value(text):
        parsed = option.parsed(text)
        wrong = [one for one in (parsed.values() if isinstance(parsed, dict) else [parsed])
                 if choices and one not in choices]
        if wrong:
            known = ", ".join(map(repr, choices))
            raise argparse.ArgumentTypeError(f"invalid choice: {wrong[0]!r} (choose from {known})")
        if isinstance(parsed, dict) and named_twice(text):
            raise argparse.ArgumentTypeError(f"{text!r} names node {named_twice(text)!r} twice")
        return parsed

    value.__name__ = option.kind.__name__  # what argparse calls it
    return value


def named_twice(text):
    """Return the node that NODE=X,NODE=X gives two values, or ""."""
    nodes = [part.partition("=")[0] for part in text.split(",")]
    return next((node for node in nodes if nodes.count(node) > 1), "")


def _key(name):
    return "option_" + name


# ---- what the arguments name


def load_model(path, arguments, note=tell):
    """Return the Model in a file, loaded with the options among the parsed arguments; see `loaded`."""
    from eventsim import formats

    options = {name: getattr(arguments, _key(name), None) for name in formats.options()}
    try:
        return loaded(path, options, note)
    except FormatError:
        data = getattr(arguments, "data", None)
        exchanged = data and Path(data).is_file() and formats.format_of(data)
        if exchanged and not formats.format_of(path):
            raise FormatError(f"{path}: is no model, but {data} is one: exchange them, as in eventsim "
                              f"{arguments.command} {data} {path}") from None
        raise


def simulator_of(model, arguments, name=None, note=tell, **settings):
    """Return the Simulator of a model by the parsed --precision, --chip, --workers and --memory-limit, of those
    that the command has. name: the model's for errors; None: the file's. note: called with each warning. settings:
    those that are not as parsed."""
    from eventsim.engine.simulator import Simulator

    parsed = {key: getattr(arguments, key) for key in ("precision", "chip", "workers", "memory_limit")
              if hasattr(arguments, key)}
    with naming(name or arguments.model), warnings_by(note):
        return Simulator(model, **{**parsed, **settings})


def loaded(path, options, note=tell):
    """Return the Model in a file, as `formats.load` does. note: called with each text on what the file leaves
    open."""
    from eventsim import formats

    with warnings_by(note):
        try:
            return formats.load(path, **options)
        except FormatError as error:
            if "from_torch" not in str(error) and _is_of_another_kind(path):
                raise FormatError(f"{error}; model files are native (.h5), NIR (.nir) or lava-dl (.net)") from None
            raise


def _is_of_another_kind(path):
    """Return whether a file is neither HDF5, as models are, nor has the name of such a file."""
    from eventsim.formats import format_of
    from eventsim.storage.hdf5 import members_of

    return os.path.isfile(path) and not format_of(path) and not members_of(path)


@contextmanager
def opened(path):
    """Open the Run of a file, whose summary is known to be undamaged."""
    from eventsim.runs.file import open_run

    with open_run(path) as run:
        run.summary  # raises where it is damaged, before anything is made of the run
        yield run


def beside(run, suffix):
    """Return a name next to the run's file: `run.h5` -> `run<suffix>`."""
    path = Path(run)
    return path.with_name((path.stem if path.suffix else path.name) + suffix)
