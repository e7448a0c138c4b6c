"""What every kind of data set offers: shapes, labels and batches of samples."""

import math
from types import MappingProxyType

import numpy as np

from eventsim.arguments import first_wrong
from eventsim.errors import DataError
from eventsim.storage.npz import fortran_array

N_CLASSES = 1 << 31  # that labels can name
PASSED_BYTES = 1 << 24  # at a time


def check_shape_of_labels(shape, dtype, n_samples, path, sample_shape=()):
    """Raise DataError unless an array, which need not be read yet, can be labels. sample_shape: of a sample of x,
    where its steps may have been taken for samples."""
    if len(shape) != 1 or dtype.kind not in "iuf":
        raise DataError(
            f"{path}: y has shape {shape} and type {dtype}, "
            "expected one class number per sample"
        )
    if shape[0] != n_samples:
        swapped = sample_shape[:1] == shape and len(sample_shape) > 1
        remedy = "; where its steps come first, (T, N, ...), write x.swapaxes(0, 1)" * swapped
        raise DataError(f"{path}: y has {shape[0]} labels, but x has {n_samples} samples{remedy}")


def checked_labels(y, n_samples, path):
    """Return labels as int64 (N,). Raises DataError for what can be none."""
    check_shape_of_labels(y.shape, y.dtype, n_samples, path)
    if y.dtype.kind == "f":
        with np.errstate(invalid="ignore"):  # signalling NaN, which is refused below
            y = y.astype(np.float64)  # narrow floats do not reach the largest class
    known = (y >= 0) & (y < N_CLASSES)  # False for NaN
    if y.dtype.kind == "f":
        known &= y == np.floor(y)
    if not known.all():
        raise DataError(f"{path}: y has a value that is no class number, whole and 0 or more"
                        f"{first_wrong(y, ~known)}")
    return y.astype(np.int64, copy=False)


class Source:
    """One data file or folder. Subclasses set the attributes, and have

    read(size, stop, first): yields arrays of `size` samples (fewer in the end), from `first` up to `stop`.
    path: names it in messages. n_samples; sample_shape: as stored. labels: int64 (N,) or None.
    layout: order of the stored axes, or "" for the Input's own. is_image: whether samples also fit a vector.
    in_fortran_order: for a binary stream, whether its first axis, that of samples, changes fastest.
    n_dropped: events dropped by the latest `read`. lengths: int64 (N,), steps of each sample, or None. notes:
    words -> of how many recordings (1 for a file of values) they are said. class_names: names of class folders, in
    the labels' order. numbered: whether labels are the numbers that name the classes. by_place: what is said where
    labels are places of class folders, or "".
    """

    labels = None
    layout = ""
    is_image = False
    in_fortran_order = False
    n_dropped = 0
    lengths = None
    notes = MappingProxyType({})
    class_names = ()
    numbered = False
    by_place = ""

    def read_stream(self, file, dtype, shape, starts):
        """Read samples of `shape` that follow each other in a binary stream, or are interleaved in Fortran order;
        yields arrays as `read` does. starts: the first sample of each array."""
        if self.in_fortran_order:
            samples = fortran_array(file, (self.n_samples, *shape), dtype, "x", self.path)
            for start in starts:
                yield samples[start : min(start + starts.step, starts.stop)].astype(
                    dtype.newbyteorder("="), order="C")
            return
        n_bytes = math.prod(shape) * dtype.itemsize
        self._pass_over(file, starts.start * n_bytes)
        for start in starts:
            n = min(starts.step, starts.stop - start)
            data = file.read(n * n_bytes)
            if len(data) != n * n_bytes:
                raise DataError(
                    f"{self.path}: truncated: ends in sample {start + len(data) // n_bytes} "
                    f"of {self.n_samples}"
                )
            # packed files check their sums only where they are read to the end
            if start + n == self.n_samples and file.read(1):
                raise DataError(f"{self.path}: has data after the last of {self.n_samples} samples")
            samples = np.frombuffer(data, dtype).reshape(n, *shape)
            yield samples.astype(dtype.newbyteorder("="))

    def _pass_over(self, file, n_bytes):
        """Read so many bytes and drop them: not every stream can be entered in the middle."""
        while n_bytes:
            passed = len(file.read(min(n_bytes, PASSED_BYTES)))
            if not passed:
                raise DataError(f"{self.path}: truncated: ends before the samples asked for")
            n_bytes -= passed


class JoinedSource(Source):
    """Files of one kind, one after another; a batch ends where its file does. path: their folder."""

    def __init__(self, path, sources):
        first = sources[0]
        for each in sources[1:]:
            if each.sample_shape != first.sample_shape or (each.labels is None) != (first.labels is None):
                raise DataError(f"{path}: {first.path.name} and {each.path.name} are not alike: samples have "
                                f"shape {first.sample_shape} and {each.sample_shape}, or one has no labels")
        self.path, self._sources = path, sources
        self.n_samples = sum(each.n_samples for each in sources)
        self.sample_shape, self.layout, self.is_image = first.sample_shape, first.layout, first.is_image
        self.labels = None if first.labels is None else np.concatenate([each.labels for each in sources])

    def read(self, size, stop, first=0):
        start = 0
        for each in self._sources:
            end = start + each.n_samples
            if first < end and start < stop:
                yield from each.read(size, min(stop, end) - start, max(first - start, 0))
            start = end
