"""Data sets in arrays: HDF5 and .npz files with x and y, and arrays in memory."""

import math
import zipfile

import numpy as np

from eventsim.errors import DataError
from eventsim.inputs.source import checked_labels, Source
from eventsim.storage.hdf5 import open_hdf5
from eventsim.storage.nearby import what_is_held
from eventsim.storage.npz import npz_header, npz_member


class Hdf5Source(Source):
    """HDF5 with datasets x and y."""

    def __init__(self, path):
        self.path = path
        with open_hdf5(path, DataError) as root:
            if "x" not in root:
                what = what_is_held(root.names())
                what = f"is {what}" if what else f"holds {sorted(root.names())[:10]}"
                raise root.error(f"{what}, expected x and optionally y")
            x = root.dataset("x")
            x.require_numbers()
            if not x.shape:
                raise root.error("x is a single number, expected (N, ...)")
            self.n_samples, self.sample_shape = x.shape[0], x.shape[1:]
            if "y" in root:
                self.labels = checked_labels(root.numbers("y"), self.n_samples, path)

    def read(self, size, stop, first=0):
        with open_hdf5(self.path, DataError) as root:
            x = root.dataset("x")
            for start in range(first, stop, size):
                yield x.rows(slice(start, min(start + size, stop)))


class NpzSource(Source):
    """NumPy's .npz with arrays x and y; x is read as a stream."""

    def __init__(self, path):
        self.path = path
        with zipfile.ZipFile(self.path) as archive:
            names = archive.namelist()
            if "x.npy" not in names:
                raise DataError(f"{path}: holds {names[:10]}, expected x.npy and optionally y.npy: name them, "
                                "np.savez(file, x=x, y=y)")
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

    def read(self, size, stop, first=0):
        path = self.path
        with zipfile.ZipFile(path) as archive, npz_member(archive, "x", path) as file:
            npz_header(archive, file, "x", path)
            yield from self.read_stream(file, self._dtype, self.sample_shape, range(first, stop, size))


class ArrayData:
    """Samples in memory, with what a `Dataset` offers of a file.

    x: (N, *shape) or (N, T, *shape), channels first, as `Simulator.run` takes it. y: (N,) whole numbers
    from 0 on, or None. input_node: the model's Input.
    """

    n_dropped_events = 0

    def __init__(self, x, y, input_node):
        self._x = np.asarray(x)
        n_axes = len(input_node.shape)
        if self._x.ndim not in (1 + n_axes, 2 + n_axes) or not self._x.size:
            shape = ", ".join(map(str, input_node.shape))
            raise DataError(f"x has shape {self._x.shape}, expected (N, {shape}), or with steps after N")
        self.labels = None if y is None else checked_labels(np.asarray(y), len(self._x), "arrays")
        self.n_steps = self._x.shape[1] if self._x.ndim == 2 + n_axes else None

    def __len__(self):
        return len(self._x)

    def batches(self, size, limit=None, first=0):
        """As `Dataset.batches`."""
        stop = len(self) if limit is None else min(limit, len(self))
        for start in range(first, stop, size):
            rows = slice(start, min(start + size, stop))
            yield self._x[rows], None if self.labels is None else self.labels[rows]
