"""Model files: recognise the format by what a file says, and dispatch.

A new format is a module with `recognises(root)` and `read(root)`, and its line in READERS; one that
can be written also has `write(model, path)` and its suffixes in WRITERS.
"""

import os
from pathlib import Path

import h5py

from eventsim.errors import FormatError
from eventsim.formats import lava, native
from eventsim.formats.safe_hdf5 import open_hdf5
from eventsim.model import Model

READERS = (native, lava)
WRITERS = {".h5": native.write, ".hdf5": native.write}

# member of the root that marks a file of another format -> what the file then seems to be
_FOREIGN = {"node": "a NIR graph"}
_SIGNATURES = {
    b"PK": "a zip archive, as .npz and torch files are",
    b"\x80": "a Python pickle, which is a program and never loaded",
    b"\x1f\x8b": "packed with gzip",
    b"\x93NUMPY": "a NumPy array",
}


def load(path, **options) -> Model:
    """The Model in a file of any known format, whatever its suffix.

    Raises FormatError for a file that is missing, damaged, not allowed or describes no valid
    model, UnsupportedError for a valid model that eventsim does not run. All name the file.
    """
    _check_hdf5(path)
    with open_hdf5(path) as root:
        for reader in READERS:
            if reader.recognises(root):
                return reader.read(root, **options)
        for member, what in _FOREIGN.items():
            if member in root:
                raise root.error(f"seems to be {what}, which this version cannot read yet")
        raise root.error(
            f"not a model file: 'format' is not {native.FORMAT!r}; "
            f"the file holds {sorted(root.names())[:10]}"
        )


def save(model, path) -> None:
    """Write a Model to `path`; the suffix names the format. Raises FormatError.

    The file appears complete or not at all; an existing one is replaced.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in WRITERS:
        raise FormatError(
            f"{path}: suffix is {suffix!r}, expected one of {', '.join(WRITERS)}"
        )
    WRITERS[suffix](model, path)


def _check_hdf5(path):
    """Raise FormatError unless `path` is a file with the signature of HDF5."""
    try:
        with open(path, "rb") as file:
            start = file.read(8)
    except OSError as error:
        raise FormatError(f"{path}: cannot be read ({os.strerror(error.errno)})") from None
    except ValueError as error:  # a NUL in the name
        raise FormatError(f"{str(path)!r}: cannot be read ({error})") from None
    if h5py.is_hdf5(path):
        return
    if not start:
        raise FormatError(f"{path}: the file is empty, expected an HDF5 file")
    seems = next((what for key, what in _SIGNATURES.items() if start.startswith(key)), None)
    hint = f"; it seems to be {seems}" if seems else ""
    raise FormatError(f"{path}: not an HDF5 file{hint}")
