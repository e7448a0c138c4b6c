"""Files: what reading damaged ones raises, as one line; .npz, checked before it is read; writing whole ones."""

import os
import warnings

import numpy as np

from eventsim.errors import DataError
from eventsim.storage.reading import check_declared, declared_bytes, HEADER_ERRORS, reading, ZIP_ERRORS


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


def array_header(file, name, path):
    """(shape, dtype) of an array in C order, of numbers or of columns of numbers, in an open file; leaves it at
    the data. Raises DataError."""
    shape, dtype, fortran_order = _header(file, name, path)
    declared_bytes(shape, dtype.itemsize, path)
    if fortran_order and len(shape) > 1 or dtype.hasobject:
        raise DataError(f"{path}: {name} has shape {shape} and type {dtype}, in "
                        f"{'Fortran' if fortran_order else 'C'} "
                        "order, expected numbers in C order")
    return shape, dtype


def npz_header_of_any_order(archive, file, name, path):
    """(shape, dtype, whether in Fortran order) of an open member; leaves `file` at its data. Raises
    DataError unless it holds numbers, as many bytes of them as it says."""
    shape, dtype, fortran_order = _header(file, name, path)
    if dtype.kind not in "biuf" or dtype.itemsize > 8:
        raise DataError(f"{path}: {name} holds elements of type {dtype}, expected numbers")
    n_bytes = declared_bytes(shape, dtype.itemsize, path)
    check_declared(n_bytes, os.path.getsize(path), path)
    found = archive.getinfo(f"{name}.npy").file_size - file.tell()
    if found != n_bytes:
        raise DataError(
            f"{path}: {name} has {found} bytes, but shape {shape} of {dtype} takes {n_bytes}"
        )
    return shape, dtype, fortran_order and len(shape) > 1


def _header(file, name, path):
    """(shape, dtype, whether in Fortran order); leaves `file` at the data."""
    with reading(path, HEADER_ERRORS):
        version = np.lib.format.read_magic(file)
    headers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in headers:
        raise DataError(f"{path}: {name} has .npy version {version}, expected 1.0 or 2.0")
    with reading(path, HEADER_ERRORS), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that Python 2 wrote it
        warnings.simplefilter("ignore", DeprecationWarning)  # that a type has an old name
        shape, fortran_order, dtype = headers[version](file)
    return shape, dtype, fortran_order
