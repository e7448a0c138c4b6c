"""Data sets in arrays: HDF5 and .npz files with x and y, arrays in memory, and loaders of them."""

import math
import zipfile
from functools import cached_property

import numpy as np

from eventsim.errors import DataError
from eventsim.inputs.chunks import parts_of
from eventsim.inputs.levels import array_of, remedy_of_axes
from eventsim.inputs.source import check_shape_of_labels, checked_labels, Source
from eventsim.storage.hdf5 import open_hdf5
from eventsim.storage.nearby import MOST_NAMED, what_is_held
from eventsim.storage.npz import array_header, npz_header_of_any_order, npz_member
from eventsim.storage.reading import READ_ERRORS
from eventsim.tensors import as_array, pairs_of, refuse_steps_first


def notes_on(names):
    """Return what notes say of a file that holds arrays of these names."""
    others = [name for name in names if name not in ("x", "y")]
    if not others:
        return {}
    more = f" and {len(others) - MOST_NAMED} more" * (len(others) > MOST_NAMED)
    labels = "" if "y" in names else "; labels are read where they are named y"
    return {f"holds {', '.join(others[:MOST_NAMED])}{more} beside the samples; not read{labels}": 1}


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
            self.notes = notes_on(root.names())
            self.n_samples, self.sample_shape = x.shape[0], x.shape[1:]
            if "y" in root:
                y = root.dataset("y")
                y.require_numbers()
                check_shape_of_labels(y.shape, y.dtype, self.n_samples, path, self.sample_shape)
                self.labels = checked_labels(root.numbers("y"), self.n_samples, path)

    def read(self, size, stop, first=0):
        with open_hdf5(self.path, DataError) as root:
            yield from parts_of(root.dataset("x"), size, stop, first)


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
                shape, self._dtype, self.in_fortran_order = npz_header_of_any_order(archive, file, "x", path)
            if not shape:
                raise DataError(f"{path}: x is a single number, expected (N, ...)")
            self.notes = notes_on([name.removesuffix(".npy") for name in names])
            self.n_samples, self.sample_shape = shape[0], shape[1:]
            if "y.npy" in names:
                with npz_member(archive, "y", path) as file:
                    shape, dtype, _ = npz_header_of_any_order(archive, file, "y", path)
                    check_shape_of_labels(shape, dtype, self.n_samples, path, self.sample_shape)
                    data = file.read(math.prod(shape) * dtype.itemsize)
                    y = np.frombuffer(data, dtype).reshape(shape)
                self.labels = checked_labels(y, self.n_samples, path)

    def read(self, size, stop, first=0):
        path = self.path
        with zipfile.ZipFile(path) as archive, npz_member(archive, "x", path) as file:
            npz_header_of_any_order(archive, file, "x", path)
            yield from self.read_stream(file, self._dtype, self.sample_shape, range(first, stop, size))


class NpySource(Source):
    """NumPy's .npy: x alone, read as a stream."""

    def __init__(self, path):
        self.path = path
        with open(path, "rb") as file:
            shape, self._dtype, self.in_fortran_order = array_header(file, "x", path)
        if not shape or self._dtype.kind not in "biuf":
            raise DataError(f"{path}: holds shape {shape} and type {self._dtype}, expected numbers (N, ...)")
        self.n_samples, self.sample_shape = shape[0], shape[1:]

    def read(self, size, stop, first=0):
        with open(self.path, "rb") as file:
            array_header(file, "x", self.path)
            yield from self.read_stream(file, self._dtype, self.sample_shape, range(first, stop, size))


SOURCES = {".npy": NpySource, ".npz": NpzSource, ".h5": Hdf5Source, ".hdf5": Hdf5Source}  # by suffix


def holds_samples(path) -> bool:
    """Return whether a file that is no recording of events has samples in arrays."""
    try:
        source = SOURCES.get(path.suffix.lower())
        return source is not None and bool(source(path).n_samples)
    except (DataError, *READ_ERRORS):
        return False


class ArrayData:
    """Samples in memory, with the interface of a `Dataset`.

    x: (N, *shape) or (N, T, *shape), channels first, as `Simulator.run` takes it. y: (N,) whole numbers
    from 0 on, or None. input_node: the model's Input.
    """

    n_dropped_events = 0
    lengths = None  # steps of each sample, int64 (N,), where they differ

    def __init__(self, x, y, input_node):
        self._x = array_of(x)
        n_axes = len(input_node.shape)
        if self._x.ndim not in (1 + n_axes, 2 + n_axes) or not self._x.size:
            shape = ", ".join(map(str, input_node.shape))
            reshaping = remedy_of_axes(self._x.shape[1:], input_node.shape)
            raise DataError(f"x has shape {self._x.shape}, expected (N, {shape}), or with steps after N"
                            + (f"; give {reshaping}" if reshaping else ""))
        y = None if y is None else as_array(y)
        refuse_steps_first(self._x, y, "the pair (x, y)")
        self.labels = None if y is None else checked_labels(y, len(self._x), "arrays")
        self.n_steps = self._x.shape[1] if self._x.ndim == 2 + n_axes else None

    def __len__(self):
        return len(self._x)

    def batches(self, size, limit=None, first=0):
        """Yield batches as `Dataset.batches` does."""
        stop = len(self) if limit is None else min(limit, len(self))
        for start in range(first, stop, size):
            rows = slice(start, min(start + size, stop))
            yield self._x[rows], None if self.labels is None else self.labels[rows]


class LoaderData:
    """Batches of a loader (see `tensors`), as they come, with the interface of a `Dataset`.

    labels: None, since they come with the batches. input_node: the model's Input. Raises DataError for a loader
    whose length is not known.
    """

    n_dropped_events = 0
    labels = lengths = name = None

    def __init__(self, loader, input_node):
        self._loader, self._input = loader, input_node
        try:
            self._n = len(getattr(loader, "sampler", None) or loader.dataset)
            if getattr(loader, "drop_last", False):
                self._n -= self._n % loader.batch_size
        except TypeError:
            raise DataError("the loader does not say how many samples it has; give arrays, or a loader over a "
                            "data set with a length") from None

    def __len__(self):
        return self._n

    @cached_property
    def n_steps(self):
        """The number of steps in the samples of its first batch, or None where they stand still."""
        x, _ = next(pairs_of(self._loader), (np.empty(0), None))
        return x.shape[1] if x.ndim == 2 + len(self._input.shape) else None

    def batches(self, size, limit=None, first=0):
        """Yield batches as `Dataset.batches` does, but each of as many samples as the loader gives. Raises
        DataError where the loader gives another number of samples than it states, as a batch_sampler may; under a
        limit, only where it gives fewer."""
        stop, start = len(self) if limit is None else min(limit, len(self)), 0
        for x, y in pairs_of(self._loader):
            rows = slice(max(first - start, 0), stop - start)
            start += len(x)
            if limit is None and start > stop:
                raise self._miscounted(f"more than {len(self)}")
            if len(x[rows]):
                yield x[rows], None if y is None else checked_labels(y, len(x), "the loader")[rows]
            if limit is not None and start >= stop:
                return
        if start < stop:
            raise self._miscounted(start)

    def _miscounted(self, n):
        return DataError(f"the loader gave {n} samples, but says that it has {len(self)}, by its sampler or data "
                         "set; give one that gives what it says, or arrays, (x, y)")
