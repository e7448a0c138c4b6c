"""HDF5 files that appear complete or not at all: written under another name, then renamed.

HDF5 crashes where closing a file fails, as it does on a full disk. So it never writes to a file itself, but to a
`_Sink`, which never fails: it keeps what the disk refuses in memory, until the file is closed and given up.
"""

import atexit
import errno
import os
import signal
import threading
from contextlib import contextmanager, ExitStack
from math import prod

import h5py
import numpy as np

from eventsim.errors import DataError, FormatError, ModelError
from eventsim.storage.hdf5 import H5PY_ERRORS
from eventsim.storage.nearby import remedy_of_folderless
from eventsim.storage.reading import one_line
from eventsim.storage.writing import NewFile, reason

MIN_PACKED = 1 << 10  # bytes; below, chunks cost more than packing saves
LARGEST_CHUNK = 1 << 22  # bytes
PACKED = {"compression": "gzip", "compression_opts": 1, "shuffle": True}  # of arrays that grow as a run goes on


@contextmanager
def new_hdf5(path):
    """Gives the root of the file that will be `path`; an existing file is replaced in the end.

    Raises FormatError, naming the file, where it cannot be written or a ModelError escapes.
    """
    try:
        # "v108": the oldest library that has small object headers; all later ones read them
        with _undisturbed(), NewFile(path) as file, _hdf5(file, libver=("v108", "v110")) as (root, sink):
            yield root
            root.close()
            sink.check()
            file.finish()
    except (FormatError, ModelError) as error:
        raise FormatError(f"{path}: cannot be written: {error}") from None
    except H5PY_ERRORS as error:
        raise FormatError(_refused(path, error)) from None


@contextmanager
def _hdf5(file, **options):
    """Gives the root of an HDF5 file in a NewFile, and its `_Sink`; closes it in the end."""
    sink = _Sink(file)
    with h5py.File(sink, "w", **options) as root:
        _OPEN.add(root)
        try:
            yield root, sink
        finally:
            root.close()
            _OPEN.discard(root)


# A file that an interruption leaves open, which may come between any two statements, is closed when the process ends
# and not when Python frees it: that may be while an exception is on its way, which h5py would take for one of ours.
_OPEN = set()


@atexit.register
def _close_open():
    for root in _OPEN:
        root.close()


class _Sink:
    """A NewFile as the file object that h5py writes to. Nothing raises but reading: the first error of writing is
    kept for `check`, and from then on the bytes stay in memory, where HDF5 still finds them when it closes."""

    def __init__(self, file):
        self._file = file
        self._position = self._size = 0
        self._process = os.getpid()
        self._error = None
        self._refused = []  # (offset, bytes), oldest first

    def check(self) -> None:
        """Raise the OSError that writing met, if any."""
        if self._error is not None:
            raise self._error

    def seek(self, offset, whence=os.SEEK_SET):
        """Move; returns the position, in bytes."""
        self._position = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        return self._position

    def tell(self):
        """The position, in bytes."""
        return self._position

    def write(self, content):
        """Write bytes at the position; returns how many."""
        offset, n = self._position, len(content)
        self._try(self._file.write, content, offset)
        if self._error is not None:
            self._refused.append((offset, bytes(content)))
        self._position += n
        self._size = max(self._size, self._position)
        return n

    def readinto(self, buffer):
        """Fill a buffer from the position; returns how many bytes there are."""
        view = memoryview(buffer).cast("B")
        start, n = self._position, max(0, min(len(view), self._size - self._position))
        stored = os.pread(self._file.descriptor, n, start)
        view[:n] = stored + bytes(n - len(stored))
        for offset, content in self._refused:
            first, last = max(start, offset), min(start + n, offset + len(content))
            if first < last:
                view[first - start : last - start] = content[first - offset : last - offset]
        self._position += n
        return n

    def read(self, n):
        """The next n bytes, fewer at the end."""
        buffer = bytearray(n)
        return bytes(buffer[: self.readinto(buffer)])

    def truncate(self, size):
        """Make the file as long as that."""
        self._try(os.ftruncate, self._file.descriptor, size)
        self._size = size

    def flush(self):
        """Nothing waits here."""

    def _try(self, function, *arguments):
        if os.getpid() != self._process:  # a forked child that ends: the file is its parent's
            self._error = OSError(errno.EPERM, "by a forked process")
        if self._error is None:
            try:
                function(*arguments)
            except OSError as error:
                self._error = error


# What users handle, in the order in which handlers are given back
_SIGNALS = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM, signal.SIGVTALRM, signal.SIGPROF, signal.SIGXCPU,
            signal.SIGCHLD, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM, signal.SIGINT)


@contextmanager
def _undisturbed():
    """Let handlers of signals wait until what is within has ended: one that raises while HDF5 writes to a `_Sink`
    would fail that write. They run in the main thread alone."""
    waiting, handlers = [], {}
    if threading.current_thread() is threading.main_thread():
        handlers = {number: signal.getsignal(number) for number in _SIGNALS}
        handlers = {number: handler for number, handler in handlers.items() if callable(handler)}
    try:
        for number in handlers:
            signal.signal(number, lambda received, frame: waiting.append(received))
        yield
    finally:
        _give_back(list(handlers.items()))
        for number in waiting:
            signal.raise_signal(number)


def _give_back(handlers):
    """Set handlers of signals, all of them, even where one that was set has raised already."""
    if handlers:
        try:
            signal.signal(*handlers[0])
        finally:
            _give_back(handlers[1:])


def _refused(path, error):
    """What to say where a file cannot be written."""
    said = reason(error) if isinstance(error, OSError) else error
    return f"{path}: cannot be written ({one_line(said)}){remedy_of_folderless(path)}"


def put(group, name, array):
    """Write an array, packed where that saves something."""
    options = {}
    if array.ndim > 0 and array.nbytes >= MIN_PACKED:
        options = {"compression": "gzip", "shuffle": True, "chunks": _chunks(array.shape, array.dtype.itemsize)}
    group.create_dataset(name, data=array, **options)


def _chunks(shape, item_bytes):
    """Shape of the chunks, each of which is packed on its own: whole rows, as many as LARGEST_CHUNK bytes hold, and
    as many in each. Those of h5py's choice reach far beyond the array, and what is there is packed and kept, too."""
    chunks, room = list(shape), max(1, LARGEST_CHUNK // item_bytes)
    for axis, length in enumerate(shape):
        each = prod(shape[axis + 1 :])
        if each <= room:
            n = -(-length // (room // each))
            chunks[axis] = -(-length // n)
            break
        chunks[axis] = 1
    return tuple(chunks)


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
        self.path = path
        self._opened = self._file = self._root = self._sink = None

    def __enter__(self):
        with ExitStack() as opened:
            with self._guarded():
                self._file = opened.enter_context(NewFile(self.path))
                self._root, self._sink = opened.enter_context(_hdf5(self._file))
            self._opened = opened.pop_all()
        return self

    def __exit__(self, *error):
        with _undisturbed():
            self._opened.close()

    def __contains__(self, name):
        return name in self._root

    def put(self, name, value) -> None:
        """Write one number, text or small array."""
        with self._guarded():
            self._root[name] = value

    def put_array(self, name, values) -> None:
        """Write an array that stays as it is, packed where that saves something."""
        packed = PACKED if values.nbytes > MIN_PACKED else {}
        with self._guarded():
            self._root.create_dataset(name, data=values, **packed)

    def append(self, name, values, attributes=()) -> None:
        """Add rows to a dataset; the first ones create it. attributes: name -> value, set each time."""
        with self._guarded():
            self._append(name, values, attributes)

    def _append(self, name, values, attributes):
        """Also lets go of the dataset, which writes, before the guard ends."""
        if name in self._root:
            dataset = self._root[name]
            dataset.resize(dataset.shape[0] + len(values), axis=0)
            dataset[-len(values) :] = values
        else:
            limit = (None, *values.shape[1:])
            dataset = self._root.create_dataset(name, data=values, maxshape=limit, **PACKED)
        dataset.attrs.update(attributes)

    def finish(self) -> None:
        """Close the file and give it its name; an existing one is replaced."""
        with self._guarded():
            self._root.close()
            self._sink.check()
            self._file.finish()

    @contextmanager
    def _guarded(self):
        try:
            with _undisturbed():
                yield
                if self._sink is not None:
                    self._sink.check()
        except OSError as error:
            raise DataError(_refused(self.path, error)) from None
