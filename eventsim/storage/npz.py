"""Headers of .npy and .npz files, checked before memory is allocated for their arrays."""

import os
import warnings

import numpy as np

from eventsim.errors import DataError
from eventsim.storage.reading import check_declared, declared_bytes, HEADER_ERRORS, reading, ZIP_ERRORS


def npz_member(archive, name, path):
    """Open the member `name` of the .npz `archive` (a ZipFile) at `path`. Raises DataError where that fails."""
    with reading(path, ZIP_ERRORS):
        return archive.open(f"{name}.npy")


def array_header(file, name, path):
    """Read the header of an open .npy file, up to its data. Returns (shape, dtype, whether the array is in Fortran
    order). Raises DataError for a damaged header, and for elements that are Python objects."""
    shape, dtype, fortran_order = _header(file, name, path)
    declared_bytes(shape, dtype.itemsize, path)
    if dtype.hasobject:
        raise DataError(f"{path}: {name} has shape {shape} and type {dtype}, expected numbers")
    return shape, dtype, fortran_order and len(shape) > 1


def fortran_array(file, shape, dtype, name, path) -> np.ndarray:
    """Read the data of an array in Fortran order, all at once, since its samples are not contiguous. Raises
    DataError where the file is too short."""
    n_bytes = declared_bytes(shape, dtype.itemsize, path)
    check_declared(n_bytes, os.path.getsize(path), path)
    data = file.read(n_bytes)
    if len(data) < n_bytes:
        raise DataError(f"{path}: {name} has {len(data)} bytes, but shape {shape} of {dtype} takes {n_bytes}: "
                        "truncated")
    return np.frombuffer(data, dtype).reshape(shape[::-1]).T


def npz_header_of_any_order(archive, file, name, path):
    """Read the header of an open member, up to its data. Returns (shape, dtype, whether the array is in Fortran
    order). Raises DataError unless the member holds numbers, and as many bytes as its shape needs."""
    shape, dtype, fortran_order = _header(file, name, path)
    if dtype.kind not in "biuf" or dtype.itemsize > 8:
        raise DataError(f"{path}: {name} holds elements of type {dtype}, expected numbers")
    n_bytes = declared_bytes(shape, dtype.itemsize, path)
    check_declared(n_bytes, os.path.getsize(path), path)
    n_stored = archive.getinfo(f"{name}.npy").file_size - file.tell()
    if n_stored != n_bytes:
        raise DataError(
            f"{path}: {name} has {n_stored} bytes, but shape {shape} of {dtype} takes {n_bytes}"
        )
    return shape, dtype, fortran_order and len(shape) > 1


def _header(file, name, path):
    """Read a .npy header, up to the data. Returns (shape, dtype, whether the array is in Fortran order)."""
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
