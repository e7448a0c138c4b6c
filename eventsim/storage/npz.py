"""Files: what reading damaged ones raises, as one line; .npz, checked before it is read; writing whole ones."""

import math
import os
import tokenize
import uuid
import zipfile
import zlib
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from eventsim.errors import DataError, EventsimError
from eventsim.storage.hdf5 import MAX_RATIO, one_line

# What damaged files make the standard library raise, and NumPy for the header of an array.
READ_ERRORS = (
    OSError, EOFError, MemoryError, zlib.error, zipfile.BadZipFile,
    NotImplementedError, UnicodeDecodeError,  # zipfile: of an unknown version, names in no code
)
HEADER_ERRORS = (ValueError, TypeError, SyntaxError, KeyError, OverflowError, tokenize.TokenError)
ZIP_ERRORS = (RuntimeError, ValueError)  # encrypted, packed by an unknown method, bad entry


@contextmanager
def reading(path, errors=READ_ERRORS):
    """Turn what reading damaged files raises into a DataError of one line."""
    try:
        yield
    except EventsimError:  # says what is wrong already
        raise
    except errors as error:
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else error
        raise DataError(
            f"{path}: cannot be read, damaged or truncated ({one_line(reason)})"
        ) from None


@contextmanager
def writing(path):
    """Turn what writing raises into a DataError of one line."""
    try:
        yield
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror or error})") from None


def write(path, content: bytes) -> None:
    """Write a file that appears complete or not at all. Raises DataError, naming it."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    with writing(path):
        try:
            temporary.write_bytes(content)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def spare(path, *read) -> None:
    """Raises DataError where writing to `path` (None: nothing is written) would replace a file that is read."""
    for name in read:
        if path is not None and os.path.exists(path) and os.path.exists(name) and os.path.samefile(path, name):
            raise DataError(f"{path}: is what is read, and would be replaced; give another name to write to")


def check_declared(n_declared, n_stored, path):
    """Refuse more bytes than deflate could have packed into what is there, before allocation."""
    if n_declared > MAX_RATIO * n_stored:
        raise DataError(f"{path}: declares {n_declared} bytes of data, but holds {n_stored}")


def npz_member(archive, name, path):
    """The open member `name` of the .npz `archive` (a ZipFile) at `path`."""
    with reading(path, ZIP_ERRORS):
        return archive.open(f"{name}.npy")


def npz_header(archive, file, name, path):
    """(shape, dtype) of an open member in C order; leaves `file` at its data. Raises DataError."""
    shape, dtype, fortran_order = npz_header_of_any_order(archive, file, name, path)
    if fortran_order:
        raise DataError(
            f"{path}: {name} is in Fortran order, which cannot be read sample by sample; "
            "save np.ascontiguousarray of it"
        )
    return shape, dtype


def npz_header_of_any_order(archive, file, name, path):
    """(shape, dtype, whether in Fortran order) of an open member; leaves `file` at its data. Raises
    DataError unless it holds numbers, as many bytes of them as it says."""
    with reading(path, HEADER_ERRORS):
        version = np.lib.format.read_magic(file)
    headers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in headers:
        raise DataError(f"{path}: {name} has .npy version {version}, expected 1.0 or 2.0")
    with reading(path, HEADER_ERRORS):
        shape, fortran_order, dtype = headers[version](file)
    if dtype.kind not in "biuf" or dtype.itemsize > 8:
        raise DataError(f"{path}: {name} holds elements of type {dtype}, expected numbers")
    n_bytes = math.prod(shape) * dtype.itemsize
    check_declared(n_bytes, os.path.getsize(path), path)
    found = archive.getinfo(f"{name}.npy").file_size - file.tell()
    if found != n_bytes:
        raise DataError(
            f"{path}: {name} has {found} bytes, but shape {shape} of {dtype} takes {n_bytes}"
        )
    return shape, dtype, fortran_order and len(shape) > 1
