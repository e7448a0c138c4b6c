"""Data sets in arrays: HDF5 and .npz files with x and y."""

import math
import zipfile

import numpy as np

from eventsim.errors import DataError
from eventsim.inputs.source import checked_labels, Source
from eventsim.storage.hdf5 import open_hdf5
from eventsim.storage.npz import npz_header, npz_member


class Hdf5Source(Source):
    """HDF5 with datasets x and y."""

    def __init__(self, path):
        self.path = path
        with open_hdf5(path, DataError) as root:
            if "x" not in root:
                raise root.error(f"holds {sorted(root.names())[:10]}, expected x and optionally y")
            x = root.dataset("x")
            x.require_numbers()
            if not x.shape:
                raise root.error("x is a single number, expected (N, ...)")
            self.n_samples, self.sample_shape = x.shape[0], x.shape[1:]
            if "y" in root:
                self.labels = checked_labels(root.numbers("y"), self.n_samples, path)

    def read(self, size, stop):
        with open_hdf5(self.path, DataError) as root:
            x = root.dataset("x")
            for start in range(0, stop, size):
                yield x.rows(slice(start, min(start + size, stop)))


class NpzSource(Source):
    """NumPy's .npz with arrays x and y; x is read as a stream."""

    def __init__(self, path):
        self.path = path
        with zipfile.ZipFile(self.path) as archive:
            names = archive.namelist()
            if "x.npy" not in names:
                raise DataError(f"{path}: holds {names[:10]}, expected x.npy and optionally y.npy")
            with npz_member(archive, "x", path) as file:
                shape, self._dtype = npz_header(archive, file, "x", path)
            if not shape:
                raise DataError(f"{path}: x is a single number, expected (N, ...)")
            self.n_samples, self.sample_shape = shape[0], shape[1:]
            if "y.npy" in names:
                with npz_member(archive, "y", path) as file:
                    shape, dtype = npz_header(archive, file, "y", path)
                    data = file.read(math.prod(shape) * dtype.itemsize)
                    y = np.frombuffer(data, dtype).reshape(shape)
                self.labels = checked_labels(y, self.n_samples, path)

    def read(self, size, stop):
        path = self.path
        with zipfile.ZipFile(path) as archive, npz_member(archive, "x", path) as file:
            npz_header(archive, file, "x", path)
            yield from self.read_stream(file, self._dtype, self.sample_shape, size, stop)
