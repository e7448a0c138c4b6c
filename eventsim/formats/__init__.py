"""Model files: recognise the format of a file by its content, and read and write models.

A new format is a module with `recognises(root)` and `read(root, **options)`, a dataclass of its options (see
`options`), and its entry in FORMATS. A format that can be written also has a module with `write(model, path,
**options)`. The modules need h5py, so they are imported when a file is read or written.
"""

import contextlib
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Callable, Dict, NamedTuple, Optional, Tuple, Type

from eventsim.arguments import instance_of, path_of, suffix_of
from eventsim.errors import EventsimError, FormatError, ModelError
from eventsim.formats.lava.options import LavaOptions
from eventsim.formats.nir.presets import NirOptions, NirWriteOptions
from eventsim.formats.options import check_known, Option, Options, options_of
from eventsim.model.network import Model


class Format(NamedTuple):
    """A format of model files.

    name: its name in messages. suffixes: of its files, the usual one first. reader: a function that imports the
        module that reads it. read_options: the dataclass of that module's options. writer, write_options: likewise
        for writing, or None.
    """

    name: str
    suffixes: Tuple[str, ...]
    reader: Callable[[], ModuleType]
    read_options: Type[Options]
    writer: Optional[Callable[[], ModuleType]] = None
    write_options: Optional[Type[Options]] = None


# `load` takes the first of these that recognises a file.
FORMATS = (
    Format("native", (".h5", ".hdf5"), lambda: import_module("eventsim.formats.native"), Options,
           lambda: import_module("eventsim.formats.native"), Options),
    Format("NIR", (".nir",), lambda: import_module("eventsim.formats.nir.reader"), NirOptions,
           lambda: import_module("eventsim.formats.nir.writer"), NirWriteOptions),
    Format("lava-dl", (".net",), lambda: import_module("eventsim.formats.lava.reader"), LavaOptions),
)
READ_OPTIONS = {each.name: each.read_options for each in FORMATS}
BY_SUFFIX = {suffix: each for each in FORMATS for suffix in each.suffixes}
WRITE_OPTIONS = {suffix: each.write_options for suffix, each in BY_SUFFIX.items() if each.writer is not None}
NUMBERS_OF_ANY, NUMBERS_PER_BYTE = 12_000_000, 12  # limits of what is read of a model file


def readers() -> Dict[str, ModuleType]:
    """Import the modules that read, and return them by the names of their formats."""
    return {each.name: each.reader() for each in FORMATS}


def options() -> Dict[str, Dict[str, Option]]:
    """Return the options of readers: name of an option -> name of a format -> Option."""
    by_name: Dict[str, Dict[str, Option]] = {}
    for format_name, declared in READ_OPTIONS.items():
        for name, option in options_of(declared).items():
            by_name.setdefault(name, {})[format_name] = option
    return by_name


def write_options() -> Dict[str, Option]:
    """Return the options of writers: name of an option -> Option."""
    return {name: option for declared in WRITE_OPTIONS.values() for name, option in options_of(declared).items()}


def format_of(path) -> Optional[str]:
    """Return the name of the format of a model file, or None. If the file can be read, its content decides; if
    not, its suffix."""
    from eventsim.storage.hdf5 import open_hdf5

    if Path(path).is_file():
        with contextlib.suppress(EventsimError), open_hdf5(path) as root:
            return next((name for name, reader in readers().items() if reader.recognises(root)), None)
    by_suffix = BY_SUFFIX.get(Path(path).suffix.lower())
    return None if by_suffix is None else by_suffix.name


def numbers_of_models(size) -> int:
    """Return the most numbers that are read of a model file of `size` bytes, so that a small file takes bounded
    time and memory whatever it declares. Packed real weights do not reach a tenth of it."""
    return NUMBERS_OF_ANY + NUMBERS_PER_BYTE * size


def load(path, **options) -> Model:
    """Return the Model in a file of any known format, whatever its suffix.

    options: what the format of the file leaves open; None stands for the default. See `NirOptions` and
        `LavaOptions`; native files take none.

    Raises FormatError for a file that is missing, damaged, not allowed or describes no valid model, and for an
    option that its format does not have; UnsupportedError for a valid model that eventsim does not run. All name
    the file. Warns (EventsimWarning) of defaults that matter for the result; the Model's provenance lists all of
    them.

    >>> import tempfile
    >>> import eventsim
    >>> from eventsim import Input, Model, Neuron
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     eventsim.save(Model({"in": Input((4,)), "n": Neuron()}, [("in", "n")]), f"{folder}/net.h5")
    ...     eventsim.load(f"{folder}/net.h5").shapes
    {'in': (4,), 'n': (4,)}
    """
    from eventsim.formats.native import FORMAT
    from eventsim.storage.hdf5 import check_hdf5, open_hdf5
    from eventsim.storage.nearby import what_is_held

    given = {name: value for name, value in options.items() if value is not None}
    check_hdf5(path_of(path, "path", FormatError))
    with open_hdf5(path, room=numbers_of_models) as root:
        for name, reader in readers().items():
            if reader.recognises(root):
                check_known(path, name, options_of(READ_OPTIONS[name]), given)
                model = reader.read(root, **given)
                model.file = str(path)
                return model
        content = what_is_held(root.names())
        content = f": it is {content}" if content and "model" not in content else ""
        raise root.error(
            f"not a model file: 'format' is not {FORMAT!r}; "
            f"the file holds {sorted(root.names())[:10]}{content}"
        )


def save(model, path, **options) -> None:
    """Write a Model to `path`; the suffix names the format, ".h5" or ".nir".

    options: see `NirWriteOptions`; native files take none.

    The file appears complete or not at all. An existing file is replaced. Raises FormatError if the file cannot be
    written or is of no format that can be, and UnsupportedError, which names the node, for what the format cannot
    express.
    """
    suffix = suffix_of(path, "path", FormatError)
    instance_of(model, Model, "model", "a Model", ModelError)
    if suffix not in WRITE_OPTIONS:
        raise FormatError(
            f"{path}: suffix is {suffix!r}, expected one of {', '.join(WRITE_OPTIONS)}; name it "
            f"{Path(path).stem}.h5 or {Path(path).stem}.nir"
        )
    given = {name: value for name, value in options.items() if value is not None}
    check_known(path, suffix, options_of(WRITE_OPTIONS[suffix]), given)
    BY_SUFFIX[suffix].writer().write(model, path, **given)
