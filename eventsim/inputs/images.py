"""Data sets of images: MNIST's IDX files, CIFAR's binary files."""

import gzip
import math
import os

import numpy as np

from eventsim.errors import DataError
from eventsim.inputs.source import check_shape_of_labels, checked_labels, JoinedSource, Source
from eventsim.storage.reading import check_declared, declared_bytes, reading

IDX_IMAGES = tuple(f"t10k-images{dot}idx3-ubyte{gz}" for dot in "-." for gz in ("", ".gz"))
IDX_TRAIN = tuple(name.replace("t10k", "train") for name in IDX_IMAGES)
CIFAR_TEST = ("test_batch.bin", "test.bin")
CIFAR_BATCHES = tuple(f"data_batch_{i}.bin" for i in range(1, 6))  # of CIFAR-10, the train part
CIFAR_SHAPE = (3, 32, 32)


IDX_TYPES = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}


CIFAR_LABELS = {"CIFAR-10": (10,), "CIFAR-100": (20, 100)}  # values of each label byte


def image_parts(folder):
    """Return {"test": paths, "train": paths} of the parts of MNIST or CIFAR that a folder has, complete or not."""
    def held(*names):
        return [folder / name for name in names if (folder / name).is_file()]

    for test, train in ((held(*IDX_IMAGES)[:1], held(*IDX_TRAIN)[:1]),
                        (held("test_batch.bin"), held(*CIFAR_BATCHES)),
                        (held("test.bin"), [path for path in held("train.bin") if fits_cifar(path)])):
        if test or train:
            return {part: paths for part, paths in (("test", test), ("train", train)) if paths}
    return {}


def image_source(folder, paths):
    """Return the samples in the files of one part of a folder, or of both, as `image_parts` returns them."""
    batches = [path.name for path in paths if path.name in CIFAR_BATCHES]
    if 0 < len(batches) < len(CIFAR_BATCHES):
        raise DataError(f"{folder}: has only {', '.join(batches)} of the train part, expected {CIFAR_BATCHES[0]} "
                        f"to {CIFAR_BATCHES[-1]}: add the others, or name one of them")
    sources = [CifarSource(path) if path.suffix == ".bin" else IdxSource(path) for path in paths]
    return sources[0] if len(sources) == 1 else JoinedSource(folder, sources)


class IdxSource(Source):
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
        """Return (dtype, shape), and leave `file` at the data."""
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
        n_bytes = declared_bytes(shape, dtype.itemsize, path)
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
        """Return the path of the labels beside the images, first of all of those that are packed as they are, or
        None."""
        stem = self.path.name.removesuffix(".gz")
        if "images" not in stem:
            return None
        stem = stem.replace("images", "labels").replace("idx3", "idx1")
        other = stem.replace(".idx1", "-idx1") if ".idx1" in stem else stem.replace("-idx1", ".idx1")
        packings = (".gz", "") if self.path.name.endswith(".gz") else ("", ".gz")
        candidates = (self.path.with_name(name + gz) for gz in packings for name in (stem, other))
        return next((path for path in candidates if path.is_file()), None)

    def _read_labels(self, path):
        with reading(path), self._open(path) as file:
            dtype, shape = self._header(path, file)
            check_shape_of_labels(shape, dtype, self.n_samples, path)
            n_bytes = math.prod(shape) * dtype.itemsize
            data = file.read(n_bytes + 1)  # one more, so that a packed file checks its sum
            if len(data) != n_bytes:
                raise DataError(
                    f"{path}: has {len(data)} bytes or more, shape {shape} takes {n_bytes}"
                )
            return checked_labels(np.frombuffer(data, dtype).reshape(shape), self.n_samples, path)

    def read(self, size, stop, first=0):
        with self._open(self.path) as file:
            self._header(self.path, file)
            yield from self.read_stream(file, self._dtype, self.sample_shape, range(first, stop, size))


def fits_cifar(path) -> bool:
    """Return whether the size of a file is that of a whole number of records."""
    return any(os.path.getsize(path) % (math.prod(CIFAR_SHAPE) + len(v)) == 0 for v in CIFAR_LABELS.values())


class CifarSource(Source):
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

    def _records(self, size, stop, first=0):
        shape = (self._n_labels + math.prod(CIFAR_SHAPE),)
        with open(self.path, "rb") as file:
            yield from self.read_stream(file, np.dtype(np.uint8), shape, range(first, stop, size))

    def _read_labels(self):
        parts = [np.empty((0, self._n_labels), np.uint8)]
        parts += (r[:, :self._n_labels].copy() for r in self._records(1000, self.n_samples))
        return np.concatenate(parts)

    def read(self, size, stop, first=0):
        for records in self._records(size, stop, first):
            yield records[:, self._n_labels:].reshape(-1, *CIFAR_SHAPE)
