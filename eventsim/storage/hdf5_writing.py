"""HDF5 files that appear complete or not at all: written under another name, then renamed."""

import os
import uuid
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np

from eventsim.errors import DataError, FormatError, ModelError
from eventsim.storage.hdf5 import H5PY_ERRORS
from eventsim.storage.nearby import remedy_of_folderless
from eventsim.storage.reading import one_line

MIN_PACKED = 1 << 10  # bytes; below, chunks cost more than packing saves
PACKED = {"compression": "gzip", "compression_opts": 1, "shuffle": True}  # of arrays that grow as a run goes on


@contextmanager
def new_hdf5(path):
    """Gives the root of the file that will be `path`; an existing file is replaced in the end.

    Raises FormatError, naming the file, where h5py cannot write it or a ModelError escapes.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        # "v108": the oldest library that has small object headers; all later ones read them
        with h5py.File(temporary, "x", libver=("v108", "v110")) as root:
            yield root
        os.replace(temporary, path)
    except (FormatError, ModelError) as error:
        raise FormatError(f"{path}: cannot be written: {error}") from None
    except H5PY_ERRORS as error:
        raise FormatError(_refused(path, error)) from None
    finally:
        temporary.unlink(missing_ok=True)


def _refused(path, error):
    """What to say where a file cannot be written: what the file system refuses h5py says at length."""
    code = getattr(error, "errno", None)
    reason = os.strerror(code) if code else one_line(error)
    return f"{path}: cannot be written ({reason}){remedy_of_folderless(path)}"


def put(group, name, array):
    """Write an array, packed where that saves something."""
    packed = array.ndim > 0 and array.nbytes >= MIN_PACKED
    options = {"compression": "gzip", "shuffle": True} if packed else {}
    group.create_dataset(name, data=array, **options)


def narrowed(value):
    """float32 if that represents every value exactly, else the float64 array itself."""
    with np.errstate(over="ignore"):
        narrow = value.astype(np.float32)
    return narrow if np.array_equal(narrow.astype(np.float64), value) else value


def put_numbers(group, name, value):
    """Write numbers, float64 as float32 where that loses nothing."""
    value = np.asarray(value)
    put(group, name, narrowed(value) if value.dtype == np.float64 else value)


def put_texts(group, name, value):
    """One string or an array of strings, as UTF-8 of fixed length."""
    texts = np.asarray(value, dtype=object)
    encoded = np.empty(texts.shape, dtype=object)
    for index in np.ndindex(texts.shape):
        text = texts[index]
        if "\0" in text:
            raise FormatError(f"{text!r} in {name!r} holds a NUL, which HDF5 text cannot")
        try:
            encoded[index] = text.encode("utf-8")
        except UnicodeEncodeError:
            raise FormatError(f"{text!r} in {name!r} is not valid Unicode") from None
    length = max([1, *map(len, encoded.ravel())])
    utf8 = encoded.astype(h5py.string_dtype("utf-8", length))
    put(group, name, utf8)


def put_open_texts(group, name, value):
    """One string or an array of strings, as UTF-8 of variable length."""
    group.create_dataset(name, data=value, dtype=h5py.string_dtype())


class GrowingHdf5:
    """A file whose datasets grow by rows, which appears under its name when it is finished, or not at all.
    A context manager. Raises DataError, naming the file, where writing fails."""

    def __init__(self, path):
        self.path = Path(path)
        self._temporary = self.path.with_name(f".{self.path.name}.{uuid.uuid4().hex[:8]}.tmp")
        self._file = None

    def __enter__(self):
        with self._guarded():
            self._file = h5py.File(self._temporary, "x")
        return self

    def __exit__(self, *error):
        if self._file is not None:
            self._file.close()
            self._temporary.unlink(missing_ok=True)

    def __contains__(self, name):
        return name in self._file

    def put(self, name, value) -> None:
        """Write one number, text or small array."""
        with self._guarded():
            self._file[name] = value

    def put_array(self, name, values) -> None:
        """Write an array that stays as it is, packed where that saves something."""
        packed = PACKED if values.nbytes > MIN_PACKED else {}
        with self._guarded():
            self._file.create_dataset(name, data=values, **packed)

    def append(self, name, values, attributes=()) -> None:
        """Add rows to a dataset; the first ones create it. attributes: name -> value, set each time."""
        with self._guarded():
            if name in self._file:
                dataset = self._file[name]
                dataset.resize(dataset.shape[0] + len(values), axis=0)
                dataset[-len(values) :] = values
            else:
                limit = (None, *values.shape[1:])
                dataset = self._file.create_dataset(name, data=values, maxshape=limit, **PACKED)
            dataset.attrs.update(attributes)

    def finish(self) -> None:
        """Close the file and give it its name; an existing one is replaced."""
        with self._guarded():
            self._file.close()
            os.replace(self._temporary, self.path)
            self._file = None

    @contextmanager
    def _guarded(self):
        try:
            yield
        except OSError as error:
            raise DataError(_refused(self.path, error)) from None
