"""The usual data files as batches of arrays that fit a model's input.

Read lazily: a data set keeps its labels in memory and reads one batch of samples at a time.
"""

import gzip
import math
import os
import zipfile
from pathlib import Path

import numpy as np

from eventsim.errors import DataError
from eventsim.inputs.levels import bin_events, check_values
from eventsim.storage.hdf5 import open_hdf5
from eventsim.storage.npz import check_declared, npz_header, npz_member, reading

KNOWN = (
    "HDF5 or .npz with x and y, MNIST IDX, CIFAR binary (.bin), or a folder of one of these "
    "or of N-MNIST recordings"
)

IDX_TYPES = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
IDX_IMAGES = tuple(f"t10k-images{dot}idx3-ubyte{gz}" for dot in "-." for gz in ("", ".gz"))
CIFAR_TEST = ("test_batch.bin", "test.bin")
CIFAR_SHAPE = (3, 32, 32)
CIFAR_LABELS = {"CIFAR-10": (10,), "CIFAR-100": (20, 100)}  # values of each label byte
EVENT_BYTES = 5


def open_dataset(path, input_node, timesteps=None) -> "Dataset":
    """Open a data file, or a folder of files, for a model with this Input node.

    path: HDF5 or .npz with x (N, ...) or (N, T, ...) and optionally y (N,); MNIST IDX images,
        gzipped or not, with the labels beside them; CIFAR-10 or CIFAR-100 binary; a folder of
        IDX or CIFAR files, of which the test part is taken; N-MNIST, a folder with `Test` or
        with one folder per digit.
    input_node: gives shape, layout, range of levels and, for N-MNIST, how events are binned.
        `layout` is the order of axes in HDF5, .npz and IDX files; CIFAR's own is fixed. IDX and
        CIFAR images also fit a vector (F,), in the order C, H, W.
    timesteps: steps that event recordings are binned into; other files bring their own or none.

    Raises DataError, here and while batches are read, naming the file.
    """
    path = Path(path)
    with reading(path):
        source = _source(path, input_node, timesteps)
    same = source.path == path
    return Dataset(source, input_node, path.name if same else f"{path.name}/{source.path.name}")


class Dataset:
    """Samples of one file or folder, channels first, with labels.

    name: of the file or folder, with the part that was taken. labels: int64 (N,), or None.
    n_steps: of every sample, or None where samples stand still.
    n_dropped_events: events later than the last step, among the samples that the latest call of
        `batches` has read so far; 0 for other than event recordings.
    """

    def __init__(self, source, input_node, name):
        self.name = name
        self.labels = source.labels
        self._source = source
        self._input = input_node
        self._check_fit()

    def __len__(self):
        return self._source.n_samples

    def __repr__(self):
        return f"Dataset({self.name!r}, {len(self)} samples)"

    @property
    def n_dropped_events(self):
        return self._source.n_dropped

    def batches(self, size, limit=None):
        """Yield (x, y) for `size` samples at a time, in the file's order.

        x: (n, *shape) or (n, T, *shape), of the file's type. y: int64 (n,), or None.
        limit: samples to read in all; None for all there are.
        """
        for value, name in ((size, "size"), (1 if limit is None else limit, "limit")):
            if value != int(value) or value < 1:
                raise DataError(f"{name} is {value!r}, expected a whole number above 0")
        stop = len(self) if limit is None else min(int(limit), len(self))
        return self._batches(int(size), stop)

    def _batches(self, size, stop):
        self._source.n_dropped = 0
        with reading(self._source.path):
            start = 0
            for samples in self._source.read(size, stop):
                x = self._arrange(samples)
                end = start + len(x)
                try:
                    check_values(x, self._input)
                except DataError as error:
                    raise DataError(
                        f"{self._source.path}: samples {start} to {end - 1}: {error}"
                    ) from None
                yield x, None if self.labels is None else self.labels[start:end]
                start = end

    def _check_fit(self):
        source = self._source
        if source.n_samples == 0 or 0 in source.sample_shape:
            raise DataError(
                f"{source.path}: empty: {source.n_samples} samples of shape {source.sample_shape}"
            )
        # no memory behind it: only the shapes are wanted
        empty = np.broadcast_to(np.uint8(0), (1, *source.sample_shape))
        found, shape = self._arrange(empty, check_only=True), self._input.shape
        if found is None or found[-len(shape):] != shape:
            raise DataError(
                f"{source.path}: samples have shape {source.sample_shape}, expected axes "
                f"{source.layout or self._input.layout} (or steps before them) that make the "
                f"model's input {shape}"
            )
        self.n_steps = found[1] if len(found) == 2 + len(shape) else None

    def _arrange(self, x, check_only=False):
        """Samples as in the file to channels first. check_only: just the shape, None if unfit."""
        shape = self._input.shape
        flat = len(shape) == 1 and self._source.is_image
        if flat and math.prod(x.shape[1:]) == shape[0]:
            return (1, *shape) if check_only else x.reshape(-1, *shape)
        layout = self._source.layout or self._input.layout
        if x.ndim == len(layout) and shape[0] == 1:  # no channel axis in the file
            layout = layout.replace("C", "")
        n_leading = x.ndim - len(layout)  # the sample axis, and maybe steps
        if n_leading not in (1, 2):
            return None
        order = sorted(range(len(layout)), key=lambda i: "CHWLF".index(layout[i]))
        x = x.transpose(*range(n_leading), *(n_leading + i for i in order))
        if len(layout) < len(shape):
            x = np.expand_dims(x, n_leading)
        return x.shape if check_only else np.ascontiguousarray(x)


def _source(path, input_node, timesteps):
    """The source for a path, by what it holds."""
    if not path.exists():
        raise DataError(f"{path}: no such file or folder")
    if path.is_dir():
        return _folder_source(path, input_node, timesteps)
    with open(path, "rb") as file:
        start = file.read(8)
    if start == b"\x89HDF\r\n\x1a\n":
        return _Hdf5(path)
    if start.startswith(b"PK"):
        return _Npz(path)
    if path.suffix == ".bin":
        return _Cifar(path)
    if "idx" in path.name or start.startswith(b"\x1f\x8b") or start[:2] == b"\0\0":
        return _Idx(path)
    found = "of no known format" if start else "empty"
    raise DataError(f"{path}: {found}, expected {KNOWN}")


def _folder_source(path, input_node, timesteps):
    for name in (*IDX_IMAGES, *CIFAR_TEST):
        if (path / name).is_file():
            return _Cifar(path / name) if name in CIFAR_TEST else _Idx(path / name)
    split = path / "Test" if (path / "Test").is_dir() else path
    digits = [f for f in split.iterdir() if f.is_dir() and f.name.isdecimal()]
    if digits:
        return _Nmnist(split, sorted(digits, key=lambda f: int(f.name)), input_node, timesteps)
    raise DataError(
        f"{path}: a folder with none of {', '.join((*IDX_IMAGES, *CIFAR_TEST))}, [Test/]<digit>"
    )


def _labels(y, n_samples, path):
    """Labels as int64 (N,), or DataError."""
    if y.ndim != 1 or y.dtype.kind not in "iuf":
        raise DataError(
            f"{path}: y has shape {y.shape} and type {y.dtype}, "
            "expected one class number per sample"
        )
    if len(y) != n_samples:
        raise DataError(f"{path}: y has {len(y)} labels, but x has {n_samples} samples")
    if not ((y == np.floor(y)) & (y >= 0) & (y < 1 << 31)).all():
        raise DataError(f"{path}: y has a value that is no class number, whole and 0 or more")
    return y.astype(np.int64)


class _Source:
    """One data file or folder. Subclasses set the attributes, and have

    read(size, stop): yields arrays of `size` samples (fewer in the end), up to `stop`.
    path: for messages. n_samples; sample_shape: as stored. labels: int64 (N,) or None.
    layout: order of the stored axes, or "" for the Input's own. is_image: fits a vector as well.
    n_dropped: events dropped by the latest `read`.
    """

    labels = None
    layout = ""
    is_image = False
    n_dropped = 0

    def _read_stream(self, file, dtype, shape, size, stop):
        """`read` for samples of `shape` that follow each other in a binary stream."""
        n_bytes = math.prod(shape) * dtype.itemsize
        for start in range(0, stop, size):
            n = min(size, stop - start)
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


class _Hdf5(_Source):
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
                self.labels = _labels(root.numbers("y"), self.n_samples, path)

    def read(self, size, stop):
        with open_hdf5(self.path, DataError) as root:
            x = root.dataset("x")
            for start in range(0, stop, size):
                yield x.rows(slice(start, min(start + size, stop)))


class _Npz(_Source):
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
                self.labels = _labels(y, self.n_samples, path)

    def read(self, size, stop):
        path = self.path
        with zipfile.ZipFile(path) as archive, npz_member(archive, "x", path) as file:
            npz_header(archive, file, "x", path)
            yield from self._read_stream(file, self._dtype, self.sample_shape, size, stop)


class _Idx(_Source):
    """MNIST's IDX: 0, 0, type, number of axes; the axes, big-endian; the data."""

    is_image = True

    def __init__(self, path):
        self.path = path
        with self._open(path) as file:
            self._dtype, shape = self._header(path, file)
        if len(shape) == 1:
            raise DataError(f"{path}: holds one number per sample: labels; give the images file")
        self.n_samples, self.sample_shape = shape[0], shape[1:]
        labels = self._find_labels()
        if labels is not None:
            self.labels = self._read_labels(labels)

    @staticmethod
    def _open(path):
        with open(path, "rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
        return gzip.open(path) if packed else open(path, "rb")

    @staticmethod
    def _header(path, file):
        """(dtype, shape); leaves `file` at the data."""
        magic = file.read(4)
        if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in IDX_TYPES or not magic[3]:
            raise DataError(
                f"{path}: starts with bytes {magic.hex(' ')}, expected IDX: 00 00, a type "
                "(08 for unsigned bytes) and the number of axes (03 for images)"
            )
        dtype, rank = np.dtype(IDX_TYPES[magic[2]]), magic[3]
        axes = file.read(4 * rank)
        if len(axes) != 4 * rank:
            raise DataError(f"{path}: truncated in the header: {rank} axes expected")
        shape = tuple(np.frombuffer(axes, ">u4").tolist())
        n_bytes = math.prod(shape) * dtype.itemsize
        n_stored = os.path.getsize(path)
        if isinstance(file, gzip.GzipFile):
            check_declared(n_bytes, n_stored, path)
        elif n_stored != 4 + 4 * rank + n_bytes:
            raise DataError(
                f"{path}: has {n_stored} bytes, but shape {shape} takes {4 + 4 * rank + n_bytes}: "
                "truncated, or damaged"
            )
        return dtype, shape

    def _find_labels(self):
        stem = self.path.name.removesuffix(".gz")
        if "images" not in stem:
            return None
        stem = stem.replace("images", "labels").replace("idx3", "idx1")
        found = (self.path.with_name(name) for name in (stem, stem + ".gz"))
        return next((path for path in found if path.is_file()), None)

    def _read_labels(self, path):
        with reading(path), self._open(path) as file:
            dtype, shape = self._header(path, file)
            n_bytes = math.prod(shape) * dtype.itemsize
            data = file.read(n_bytes + 1)  # one more, so that a packed file checks its sum
            if len(data) != n_bytes:
                raise DataError(
                    f"{path}: has {len(data)} bytes or more, shape {shape} takes {n_bytes}"
                )
            return _labels(np.frombuffer(data, dtype).reshape(shape), self.n_samples, path)

    def read(self, size, stop):
        with self._open(self.path) as file:
            self._header(self.path, file)
            yield from self._read_stream(file, self._dtype, self.sample_shape, size, stop)


class _Cifar(_Source):
    """CIFAR binary: records of 1 label (CIFAR-100: coarse and fine) and the R, G, B planes."""

    layout = "CHW"
    is_image = True
    sample_shape = CIFAR_SHAPE

    def __init__(self, path):
        self.path = path
        size = os.path.getsize(path)
        n_pixels = math.prod(CIFAR_SHAPE)
        fitting = [k for k, v in CIFAR_LABELS.items() if size % (n_pixels + len(v)) == 0]
        if not fitting:
            raise DataError(
                f"{path}: has {size} bytes, expected a multiple of {n_pixels + 1} (CIFAR-10) or "
                f"{n_pixels + 2} (CIFAR-100): truncated, or no CIFAR file"
            )
        errors = []
        for name in fitting:  # both sizes can fit; then the labels tell
            self._n_labels = len(CIFAR_LABELS[name])
            self.n_samples = size // (n_pixels + self._n_labels)
            labels = self._read_labels()
            wrong = (labels >= CIFAR_LABELS[name]).any(axis=1)
            if not wrong.any():
                self.labels = labels[:, -1].astype(np.int64)
                return
            i = int(wrong.argmax())
            limits = " and ".join(f"below {n}" for n in CIFAR_LABELS[name])
            errors.append(f"record {i} has label {labels[i].tolist()}, {name} expects {limits}")
        raise DataError(f"{path}: {'; '.join(errors)}")

    def _records(self, size, stop):
        shape = (self._n_labels + math.prod(CIFAR_SHAPE),)
        with open(self.path, "rb") as file:
            yield from self._read_stream(file, np.dtype(np.uint8), shape, size, stop)

    def _read_labels(self):
        parts = [np.empty((0, self._n_labels), np.uint8)]
        parts += (r[:, :self._n_labels].copy() for r in self._records(1000, self.n_samples))
        return np.concatenate(parts)

    def read(self, size, stop):
        for records in self._records(size, stop):
            yield records[:, self._n_labels:].reshape(-1, *CIFAR_SHAPE)


class _Nmnist(_Source):
    """N-MNIST: a folder per digit of recordings, 5 bytes an event.

    Byte 0 x, byte 1 y, then 1 bit polarity (1 = brighter) and 23 bits time in microseconds,
    big-endian.
    """

    layout = "CHW"

    def __init__(self, path, digits, input_node, timesteps):
        self.path = path
        self._input = input_node
        self._timesteps = timesteps
        if input_node.events is None or timesteps is None:
            missing = "timesteps" if input_node.events else "events in the model's Input"
            raise DataError(f"{path}: holds event recordings; binning them needs {missing}")
        self._files = [file for folder in digits for file in sorted(folder.glob("*.bin"))]
        self.n_samples = len(self._files)
        self.labels = np.array([int(file.parent.name) for file in self._files], dtype=np.int64)
        self.sample_shape = (timesteps, *input_node.shape)

    def read(self, size, stop):
        for start in range(0, stop, size):
            yield np.stack([self._levels(f) for f in self._files[start:min(start + size, stop)]])

    def _levels(self, path):
        """uint16 (T, 2, H, W) of one recording."""
        x, y, polarity, t = self._events(path)
        events, n_steps = self._input.events, self._timesteps
        self.n_dropped += int((np.floor(t / events.bin_width) >= n_steps).sum())
        try:
            levels = bin_events(x, y, polarity, t, events, n_steps)
            check_values(levels, self._input)
        except DataError as error:
            raise DataError(f"{path}: {error}") from None
        return levels

    @staticmethod
    def _events(path):
        """(x, y, polarity, t) of one recording."""
        with reading(path):
            data = np.fromfile(path, dtype=np.uint8)
        if len(data) == 0 or len(data) % EVENT_BYTES:
            raise DataError(
                f"{path}: has {len(data)} bytes, expected a multiple of {EVENT_BYTES} above 0: "
                "truncated, or no N-MNIST recording"
            )
        x, y, *rest = data.reshape(-1, EVENT_BYTES).T.astype(np.int64)
        return x, y, rest[0] >> 7, (rest[0] & 0x7F) << 16 | rest[1] << 8 | rest[2]
