"""HDF5 files that appear complete or not at all: written under another name, then renamed.

HDF5 crashes if closing a file fails, as on a full disk. So HDF5 does not write to the file itself but to a
`_Sink`, which never fails: it keeps in memory what the disk refuses, until the file is closed and given up.
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
    """Write an HDF5 file as a context manager, which gives its root. At the end it replaces an existing file.

    Raises FormatError, which names the file, if it cannot be written or if the block raises a ModelError.
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
    """Open an HDF5 file in a NewFile as a context manager, which gives its root and its `_Sink`."""
    sink = _Sink(file)
    with h5py.File(sink, "w", **options) as root:
        _OPEN.add(root)
        try:
            yield root, sink
        finally:
            root.close()
            _OPEN.discard(root)


# An interruption between two statements can leave a file open. It is closed when the process ends and not when
# Python frees it: that may be while an exception is raised, which h5py would take for one of the `_Sink`.
_OPEN = set()


@atexit.register
def _close_open():
    for root in _OPEN:
        root.close()


class _Sink:
    """A NewFile as the file object that h5py writes to. Writing never raises: the first error is kept for `check`,
    and later bytes stay in memory, where HDF5 finds them when it closes the file."""

    def __init__(self, file):
        self._file = file
        self._position = self._size = 0
        self._process = os.getpid()
        self._error = None
        self._refused = []  # (offset, bytes), oldest first

    def check(self) -> None:
        """Raise the first OSError of writing, if there was one."""
        if self._error is not None:
            raise self._error

    def seek(self, offset, whence=os.SEEK_SET):
        """Move to a position, and return it in bytes."""
        self._position = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        return self._position

    def tell(self):
        """Return the position in bytes."""
        return self._position

    def write(self, content):
        """Write bytes at the position, and return how many."""
        offset, n = self._position, len(content)
        self._try(self._file.write, content, offset)
        if self._error is not None:
            self._refused.append((offset, bytes(content)))
        self._position += n
        self._size = max(self._size, self._position)
        return n

    def readinto(self, buffer):
        """Fill a buffer from the position, and return how many bytes there were."""
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
        """Return the next n bytes, or fewer at the end."""
        buffer = bytearray(n)
        return bytes(buffer[: self.readinto(buffer)])

    def truncate(self, size):
        """Set the length of the file in bytes."""
        self._try(os.ftruncate, self._file.descriptor, size)
        self._size = size

    def flush(self):
        """Do nothing, since nothing is buffered."""

    def _try(self, function, *arguments):
        if os.getpid() != self._process:  # a forked child that ends; the file belongs to its parent
            self._error = OSError(errno.EPERM, "by a forked process")
        if self._error is None:
            try:
                function(*arguments)
            except OSError as error:
                self._error = error


# Signals that users handle, in the order in which their handlers are restored
_SIGNALS = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM, signal.SIGVTALRM, signal.SIGPROF, signal.SIGXCPU,
            signal.SIGCHLD, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM, signal.SIGINT)


@contextmanager
def _undisturbed():
    """Delay the handlers of signals until the block has ended: one that raises while HDF5 writes to a `_Sink`
    would make that write fail. Only the main thread runs handlers, so in others nothing is delayed."""
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
    """Set all handlers of signals, also if one of them runs and raises as soon as it is set."""
    if handlers:
        try:
            signal.signal(*handlers[0])
        finally:
            _give_back(handlers[1:])


def _refused(path, error):
    """Return the message for a file that cannot be written."""
    cause = reason(error) if isinstance(error, OSError) else error
    return f"{path}: cannot be written ({one_line(cause)}){remedy_of_folderless(path)}"


def write_array(group, name, array):
    """Write an array, packed if it is large enough for that to save bytes."""
    options = {}
    if array.ndim > 0 and array.nbytes >= MIN_PACKED:
        options = {"compression": "gzip", "shuffle": True, "chunks": _chunks(array.shape, array.dtype.itemsize)}
    group.create_dataset(name, data=array, **options)


def _chunks(shape, item_bytes):
    """Return the shape of the chunks, each of which is packed on its own: of at most LARGEST_CHUNK bytes, of whole
    rows where one fits, and all of about the same length. The chunks that h5py chooses reach far beyond the array,
    and HDF5 packs and stores that, too."""
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
    """Return a float64 array as float32 if that represents every value exactly, else the array itself."""
    with np.errstate(over="ignore"):
        narrow = value.astype(np.float32)
    return narrow if np.array_equal(narrow.astype(np.float64), value) else value


def write_numbers(group, name, value):
    """Write numbers, and float64 as float32 if that represents them exactly."""
    value = np.asarray(value)
    write_array(group, name, narrowed(value) if value.dtype == np.float64 else value)


def write_texts(group, name, value):
    """Write one string or an array of strings as UTF-8 of fixed length. Raises FormatError for text that HDF5
    cannot hold."""
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
    write_array(group, name, utf8)


def write_open_texts(group, name, value):
    """Write one string or an array of strings as UTF-8 of variable length."""
    group.create_dataset(name, data=value, dtype=h5py.string_dtype())


class GrowingHdf5:
    """A file whose datasets grow by rows. It appears under its name when it is finished, or not at all.

    A context manager that returns itself. Raises DataError, which names the file, if writing fails.
    """

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

    def write_value(self, name, value) -> None:
        """Write one number, text or small array."""
        with self._guarded():
            self._root[name] = value

    def write_array(self, name, values) -> None:
        """Write an array that will not grow, packed if it is large enough for that to save bytes."""
        packed = PACKED if values.nbytes > MIN_PACKED else {}
        with self._guarded():
            self._root.create_dataset(name, data=values, **packed)

    def append(self, name, values, attributes=()) -> None:
        """Add rows to a dataset, which the first ones create. attributes: name -> value, set each time."""
        with self._guarded():
            self._append(name, values, attributes)

    def _append(self, name, values, attributes):
        """Add rows to a dataset and release it, which writes, before the caller's guard ends."""
        if name in self._root:
            dataset = self._root[name]
            dataset.resize(dataset.shape[0] + len(values), axis=0)
            dataset[-len(values) :] = values
        else:
            limit = (None, *values.shape[1:])
            dataset = self._root.create_dataset(name, data=values, maxshape=limit, **PACKED)
        dataset.attrs.update(attributes)

    def finish(self) -> None:
        """Close the file and give it its name. An existing file is replaced."""
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
