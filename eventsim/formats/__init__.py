"""Model files: recognise the format by what a file says, and dispatch.

A new format is a module with `recognises(root)` and `read(root, **options)`, its line in `readers`, and in
READ_OPTIONS the dataclass of what it can be told (see `options`); one that can be written also has
`write(model, path, **options)`, its suffixes in `_writer` and in WRITE_OPTIONS. Options are known without
the modules, which need h5py.
"""

import contextlib
from pathlib import Path
from typing import Dict, Optional

from eventsim.arguments import instance_of, path_of, suffix_of
from eventsim.errors import EventsimError, FormatError, ModelError
from eventsim.formats.lava.options import LavaOptions
from eventsim.formats.nir.presets import NirOptions, NirWriteOptions
from eventsim.formats.options import check_known, Option, Options, options_of
from eventsim.model.network import Model

READ_OPTIONS = {"native": Options, "NIR": NirOptions, "lava-dl": LavaOptions}  # by the name that messages use
WRITE_OPTIONS = {".h5": Options, ".hdf5": Options, ".nir": NirWriteOptions}  # by suffix
NUMBERS_OF_ANY, NUMBERS_PER_BYTE = 12_000_000, 12  # that are read of a model file


def readers() -> Dict:
    """Modules that read, by the names of their formats."""
    from eventsim.formats import native
    from eventsim.formats.lava import reader as lava
    from eventsim.formats.nir import reader as nir

    return {"native": native, "NIR": nir, "lava-dl": lava}


def _writer(suffix):
    """The module that writes files of a suffix."""
    from eventsim.formats import native
    from eventsim.formats.nir import writer as nir

    return {".h5": native, ".hdf5": native, ".nir": nir}[suffix]


def options() -> Dict[str, Dict[str, Option]]:
    """What readers can be told: name of an option -> name of a format -> Option."""
    found = {}
    for what, declared in READ_OPTIONS.items():
        for name, option in options_of(declared).items():
            found.setdefault(name, {})[what] = option
    return found


def write_options() -> Dict[str, Option]:
    """What writers can be told: name of an option -> Option."""
    return {name: option for declared in WRITE_OPTIONS.values() for name, option in options_of(declared).items()}


def format_of(path) -> Optional[str]:
    """The name of the format of a model file: of one that can be read, what it holds; else what its suffix says,
    or None."""
    from eventsim.storage.hdf5 import open_hdf5

    if Path(path).is_file():
        with contextlib.suppress(EventsimError), open_hdf5(path) as root:
            return next((what for what, reader in readers().items() if reader.recognises(root)), None)
    return {".h5": "native", ".hdf5": "native", ".nir": "NIR", ".net": "lava-dl"}.get(Path(path).suffix.lower())


def numbers_of_models(size) -> int:
    """How many numbers are read of a model file of so many bytes. Of real weights, packed, it never is a tenth; a
    small file is read in bounded time and memory whatever it declares."""
    return NUMBERS_OF_ANY + NUMBERS_PER_BYTE * size


def load(path, **options) -> Model:
    """The Model in a file of any known format, whatever its suffix.

    options: what the format of the file leaves open; those of None are left to its defaults. See
        `NirOptions` and `LavaOptions`; native files take none.

    Raises FormatError for a file that is missing, damaged, not allowed or describes no valid
    model and for an option that its format does not have, UnsupportedError for a valid model that
    eventsim does not run. All name the file. What a file leaves open and no option says is an
    EventsimWarning, where it matters for the result; the Model's provenance lists everything.

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
        for what, reader in readers().items():
            if reader.recognises(root):
                check_known(path, what, options_of(READ_OPTIONS[what]), given)
                model = reader.read(root, **given)
                model.file = str(path)
                return model
        what = what_is_held(root.names())
        what = f": it is {what}" if what and "model" not in what else ""
        raise root.error(
            f"not a model file: 'format' is not {FORMAT!r}; "
            f"the file holds {sorted(root.names())[:10]}{what}"
        )


def save(model, path, **options) -> None:
    """Write a Model to `path`; the suffix names the format, ".h5" or ".nir".

    options: see `NirWriteOptions`; native files take none.

    The file appears complete or not at all; an existing one is replaced. Raises FormatError, and
    UnsupportedError, naming the node, for what the format cannot express.
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
    _writer(suffix).write(model, path, **given)
