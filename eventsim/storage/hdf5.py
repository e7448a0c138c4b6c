"""HDF5 files read as data: no link is followed, no plug-in is run, and no memory is taken for data that the file
does not hold.

h5py alone follows links into other files, fills a dataset of any declared size with its fill value and loads
filter plug-ins. Here every object is checked before it is opened or read, and what h5py raises becomes one line
that names the file.
"""

import math
import os
from contextlib import contextmanager
from functools import cached_property

import h5py
import numpy as np

from eventsim.errors import FormatError
from eventsim.storage.checksums import line_of
from eventsim.storage.heaps import damaged_heap, longest_reference
from eventsim.storage.nearby import remedy_of_folder, remedy_of_missing, what_is_held
from eventsim.storage.reading import MAX_RATIO, one_line, refuse_special
from eventsim.storage.signatures import FROM_TORCH, what_it_seems

# What h5py raises for damaged files and for objects of another kind than the caller expects.
H5PY_ERRORS = (OSError, RuntimeError, KeyError, ValueError, TypeError, MemoryError, OverflowError)

GROUP, DATASET = h5py.h5g.GroupID, h5py.h5d.DatasetID

MAX_TOTAL = 1 << 34  # bytes read into memory from one file
MAX_TEXTS = 3 << 14  # strings in one file: as many edges as a model may have, and its names
DATASETS_OF_ANY, BYTES_PER_DATASET = 512, 256  # limit of datasets that are opened; a real one takes more bytes
MAX_TEXT_BYTES = 1 << 26  # of all strings of one dataset together
MIN_CHUNK_LIMIT = 1 << 24  # bytes; growable datasets may have chunks larger than their data

FILTERS = {
    h5py.h5z.FILTER_DEFLATE: "gzip",
    h5py.h5z.FILTER_SHUFFLE: "shuffle",
    h5py.h5z.FILTER_FLETCHER32: "fletcher32",
    h5py.h5z.FILTER_LZF: "lzf",
}
PLUGINS = {32001: "blosc", 32004: "lz4", 32008: "bitshuffle", 32015: "zstd", 32026: "blosc2", 36559: "ECF"}


@contextmanager
def open_hdf5(path, error=FormatError, room=None):
    """Open `path` for reading as a context manager, which gives its root StoredGroup.

    error: the class raised for anything wrong with the file. room: a function from the size of the file, in bytes,
        to how many numbers of 8 bytes may be read; default: as many bytes as such a file can hold packed.
    """
    refuse_special(path, error)
    try:
        size = os.path.getsize(path)
        handle = h5py.File(path, "r")
    except H5PY_ERRORS as cause:
        if getattr(cause, "errno", None):  # of the system: the file is missing, a folder or not readable
            raise error(f"{path}: cannot be read ({os.strerror(cause.errno)}){_remedy(path)}") from None
        raise error(f"{path}: damaged, truncated or unreadable HDF5 file ({one_line(cause)})") from None
    with handle:
        yield StoredGroup(handle, _File(path, size, error, room))


def members_of(path):
    """Return the names at the root of an HDF5 file, [] if it cannot be read as one."""
    try:
        with open_hdf5(path) as root:
            return root.names()
    except FormatError:
        return []


def _remedy(path):
    if os.path.isdir(path):
        return remedy_of_folder(path, lambda each: "model" in what_is_held(members_of(each)))
    return "" if os.path.exists(path) else remedy_of_missing(path)


class _File:
    """The state that all groups of one file share: its path, its size and how much of it was read."""

    def __init__(self, path, size, error, room):
        self.path = path
        self.size = size
        self.error = error
        self.bounded = room is not None
        self.most = min(MAX_TOTAL, 8 * room(size) if self.bounded else MAX_RATIO * size)  # bytes that may be read
        self.n_read, self.n_texts, self.n_opened = 0, 0, 0  # bytes, strings and datasets so far
        self.lines = None  # path -> line of a checksum for every dataset that is read, once they are collected
        self._sound = None  # whether heaps are undamaged, once that is known

    def has_sound_heaps(self, handle):
        """Return whether the heaps are undamaged: in others HDF5 would look for strings for ever."""
        if self._sound is None:
            width = handle.file.id.get_create_plist().get_sizes()[1]
            self._sound = damaged_heap(self.path, width) is None
        return self._sound

    def count(self, n_bytes):
        """Count n_bytes that are about to be read, and return whether they are within the limit: links can name
        one dataset many times."""
        self.n_read += n_bytes
        return self.n_read <= self.most

    def opens_another(self):
        """Count a dataset that is about to be opened, and return whether it is within the limit, which only
        repeated links exceed."""
        self.n_opened += 1
        return not self.bounded or self.n_opened <= DATASETS_OF_ANY + self.size // BYTES_PER_DATASET


class StoredGroup:
    """A group of the file. label: its name in messages, such as "node 'conv1' (Conv2d)"."""

    def __init__(self, handle, file, label="", path=""):
        self._handle = handle
        self._file = file
        self._path = path
        self.label = label
        self._names = None

    def error(self, message):
        """Return (not raise) an error of the file's class, with the file and this group in front of the
        message."""
        where = f"{self.label}: " if self.label else ""
        return self._file.error(f"{self._file.path}: {where}{one_line(message)}")

    def is_named_in(self, message) -> bool:
        """Return whether a message begins with the name of the file."""
        return str(message).startswith(f"{self._file.path}: ")

    def names(self):
        """Return the names of all members, in the file's order."""
        if self._names is None:
            with self._h5py("the list of members"):
                names = list(self._handle)
            for name in names:
                if not isinstance(name, str):
                    raise self.error(f"the name of member {name!r} is not UTF-8")
            self._names, self._known = names, set(names)
        return self._names

    def __contains__(self, name):
        self.names()
        return name in self._known

    def group(self, name, label="") -> "StoredGroup":
        """Return the group `name` inside this one, or raise an error. label: see the class."""
        identifier = self._member(name)
        if not isinstance(identifier, GROUP):
            raise self.error(f"{name!r} is {_what(identifier)}, expected a group")
        return StoredGroup(h5py.Group(identifier), self._file, label or self.label, f"{self._path}{name}/")

    def is_group(self, name) -> bool:
        """Return whether the member `name` is a group."""
        return isinstance(self._member(name), GROUP)

    def dataset(self, name) -> "StoredArray":
        """Return the dataset `name`, checked but not yet read."""
        if not self._file.opens_another():
            raise self.error(f"{name!r}: the file of {self._file.size} bytes names the same datasets again and "
                             "again")
        identifier = self._member(name)
        if not isinstance(identifier, DATASET):
            raise self.error(f"{name!r} is {_what(identifier)}, expected a dataset")
        return StoredArray(identifier, name, self)

    def numbers(self, name) -> np.ndarray:
        """Return the dataset `name` as an array of bool, integers or floats of native byte order."""
        stored = self.dataset(name)
        stored.require_numbers()
        as_floats = 8 * math.prod(stored.shape) if self._file.bounded else 0
        self.require_room(name, max(stored.n_bytes, stored.chunk_bytes, as_floats))
        values = stored.rows(())
        self._sum(name, values)
        return values

    def texts(self, name) -> np.ndarray:
        """Return the dataset `name` as an object array of str, 0-d for a single string."""
        values = self._texts(name)
        self._sum(name, values)
        return values

    def _texts(self, name):
        stored = self.dataset(name)
        stored.require_text()
        n_texts = math.prod(stored.shape)
        self._file.n_texts += n_texts
        if self._file.n_texts > MAX_TEXTS:
            raise self.error(f"{name!r} holds {n_texts} strings, expected at most {MAX_TEXTS} in a file")
        self.require_room(name, max(stored.n_bytes, stored.chunk_bytes))
        open_length = h5py.check_string_dtype(stored.dtype).length is None
        if open_length:
            self._require_heaps(name, stored, "strings", 1)
        most_bytes = n_texts * self._file.size if open_length else stored.n_bytes
        if most_bytes <= MAX_TEXT_BYTES:
            return stored.texts()
        out = np.empty(stored.shape, dtype=object)
        n_bytes = 0
        for index in np.ndindex(stored.shape):
            out[index], n = stored.text(index)
            n_bytes += n
            if n_bytes > MAX_TEXT_BYTES:
                raise self.error(f"{name!r} holds more than {MAX_TEXT_BYTES} bytes of text")
        return out

    def ragged(self, name) -> "RaggedArray":
        """Return the dataset `name`, (N,), whose elements are arrays of numbers of different lengths."""
        stored = self.dataset(name)
        base = h5py.check_vlen_dtype(stored.dtype)
        if not isinstance(base, np.dtype) or base.kind not in "biuf" or len(stored.shape) != 1:
            raise self.error(f"{name!r} has shape {stored.shape} and type {stored.dtype}, expected arrays of "
                             "numbers")
        if not base.isnative:
            raise self.error(f"{name!r} holds arrays of numbers in another order of bytes ({base.str}), which "
                             f"h5py mistakes for this machine's: store them as {base.newbyteorder('=').str}")
        self._require_heaps(name, stored, "arrays", base.itemsize)
        return RaggedArray(stored)

    def _require_heaps(self, name, stored, what, item):
        """Raise an error if a heap is damaged, in which HDF5 would loop for ever, or if a string or array declares
        more bytes than the file has. what: "strings" or "arrays". item: bytes of a character or number."""
        if not self._file.has_sound_heaps(self._handle):
            raise self.error(f"{name!r} cannot be read, the file is damaged (in a heap of {what})")
        with self._h5py(f"{name!r}"):
            longest = longest_reference(stored.id, self._file.path)
        if longest * item > self._file.size:
            raise self.error(f"{name!r} cannot be read, the file of {self._file.size} bytes is damaged (one of "
                             f"its {what} declares {longest * item})")

    def text(self, name) -> str:
        """Return the single string `name`."""
        texts = self.texts(name)
        if texts.size != 1:
            raise self.error(f"{name!r} has shape {texts.shape}, expected a single string")
        return texts.reshape(())[()]

    def attribute(self, name):
        """Return the text of an attribute, or its at most eight numbers as a list; None for other values and where
        there is no such attribute."""
        return _attribute(self._handle, name, self)

    def _member(self, name):
        """Return the low-level identifier of a member: h5py's own objects would read all its properties."""
        if name not in self:
            raise self.error(f"{name!r} is missing")
        identifier = _opened(self._handle.id, name.encode())
        if identifier is not None:
            return identifier
        with self._h5py(f"{name!r}"):
            link = self._handle.get(name, getlink=True)
        if link is None:  # listed, but not where HDF5 looks up its name
            raise self.error(f"{name!r} cannot be found, the file is damaged")
        if not isinstance(link, h5py.HardLink):
            kind = "an external link" if isinstance(link, h5py.ExternalLink) else "a soft link"
            raise self.error(f"{name!r} is {kind} to {link.path!r}, which is not followed: store the data itself "
                             "in the file")
        with self._h5py(f"{name!r}"):
            return self._handle[name].id

    def start_checksums(self) -> dict:
        """Return a dict path -> line (see `checksums.line_of`), which gets every dataset that is read from now
        on."""
        self._file.lines = {}
        return self._file.lines

    def stop_checksums(self) -> None:
        """Collect no more lines."""
        self._file.lines = None

    def _sum(self, name, values):
        if self._file.lines is not None:
            path = self._path + name
            self._file.lines[path] = line_of(path, values)

    def require_room(self, name, n_bytes):
        """Raise an error if n_bytes more, the memory that `name` takes, exceed what may be read of the file."""
        if not self._file.count(n_bytes):
            raise self.error(f"{name!r}: the file declares more data than its {self._file.size} bytes can hold, "
                             f"or than the {self._file.most} bytes that are read of it; store it without "
                             "compression")

    def _h5py(self, what):
        return _Reading(self, what)


class _Reading:
    """A context manager for calls of h5py, which turns its errors into ones that name the file and what was read.
    A class, since a generator takes longer than most of these calls."""

    __slots__ = "_group", "_what"

    def __init__(self, group, what):
        self._group, self._what = group, what

    def __enter__(self):
        pass

    def __exit__(self, kind, error, trace):
        if kind is not None and issubclass(kind, H5PY_ERRORS):
            raise self._group.error(f"{self._what} cannot be read, the file is damaged ({error})") from None


def _opened(group, name):
    """Return the identifier of the group or dataset that a hard link names, or None for anything else or damaged,
    which the caller then examines. Takes half the time of h5py, which looks up the name three times."""
    try:
        if group.links.get_info(name).type != h5py.h5l.TYPE_HARD:
            return None
        identifier = h5py.h5o.open(group, name)
    except H5PY_ERRORS:
        return None
    return identifier if isinstance(identifier, (GROUP, DATASET)) else None


def _attribute(handle, name, group):
    """Return what `StoredGroup.attribute` does, for an object of h5py. group: for messages."""
    with group._h5py(f"attribute {name!r}"):
        if name not in handle.attrs:
            return None
        stored = handle.attrs.get_id(name)
        text = h5py.check_string_dtype(stored.dtype)
        if stored.shape is None or math.prod(stored.shape) > 8 or text is None and stored.dtype.kind not in "biuf":
            return None
        if text is not None and text.length is None and not group._file.has_sound_heaps(group._handle):
            raise group.error(f"attribute {name!r} cannot be read, the file is damaged (in a heap of strings)")
        values = np.ravel(np.asarray(handle.attrs[name], object if text is not None else None)).tolist()
    if text is None:
        return values
    texts = [value.decode("utf-8", "replace") if isinstance(value, bytes) else value for value in values]
    return texts[0] if len(texts) == 1 and isinstance(texts[0], str) else None


def _what(member):
    kinds = {GROUP: "a group", DATASET: "a dataset"}
    return kinds.get(type(member), "a named datatype")


class StoredArray:
    """A dataset whose storage was checked: it is in the file, and as large as its shape says.

    id: h5py.h5d.DatasetID. shape, dtype: as stored. n_bytes: of all elements. chunk_bytes: of a chunk, unpacked; 0
        where there are no chunks. chunk_rows: rows of a chunk, or 1.
    """

    def __init__(self, identifier, name, group):
        self.id = identifier
        self._group = group
        self._name = name
        layout, n_external, filters, chunks = h5py.h5d.CONTIGUOUS, 0, [], None
        with group._h5py(f"{name!r}"):
            if identifier.get_offset() is None:  # else it is contiguous; looking up its properties takes long
                properties = identifier.get_create_plist()
                layout = properties.get_layout()
                n_external = properties.get_external_count()
                filters = [properties.get_filter(i)[0] for i in range(properties.get_nfilters())]
                chunks = properties.get_chunk() if layout == h5py.h5d.CHUNKED else None
        # before the shape: that of a virtual dataset can depend on other files
        if layout == h5py.h5d.VIRTUAL:
            raise self._error("is a virtual dataset, which is not followed: store the data itself")
        if n_external:
            raise self._error("keeps its data in another file, which is not followed")
        with group._h5py(f"{name!r}"):
            space = identifier.get_space()
            self.shape = None if space.get_simple_extent_type() == h5py.h5s.NULL else space.shape
            self.dtype = identifier.dtype
            n_stored = identifier.get_storage_size()
        self._check_filters(filters)
        if self.shape is None:
            raise self._error("has no data")
        self.n_bytes = math.prod(self.shape) * self.dtype.itemsize
        self._check_size(n_stored, MAX_RATIO if filters else 1)
        self.chunk_rows = chunks[0] if chunks else 1
        self.chunk_bytes = math.prod(chunks or (0,)) * self.dtype.itemsize  # which are unpacked whole
        if self.chunk_bytes > max(self.n_bytes, MIN_CHUNK_LIMIT):
            raise self._error(f"has chunks of {self.chunk_bytes} bytes for {self.n_bytes} bytes of data")

    @cached_property
    def handle(self) -> h5py.Dataset:
        """h5py's own object, which can read parts and attributes."""
        return h5py.Dataset(self.id)

    @property
    def is_text(self) -> bool:
        """Return whether the elements are strings."""
        return h5py.check_string_dtype(self.dtype) is not None

    def require_numbers(self):
        """Raise an error unless the elements are bool, integers or floats of at most 64 bits."""
        if self.dtype.kind not in "biuf" or self.dtype.itemsize > 8:
            raise self._error(f"holds {self._content()}, expected numbers")

    def require_text(self):
        """Raise an error unless the elements are strings."""
        if h5py.check_string_dtype(self.dtype) is None:
            raise self._error(f"holds {self._content()}, expected text")

    def rows(self, selection) -> np.ndarray:
        """Return the rows in a slice, or all for (), as numbers of native byte order."""
        with self._group._h5py(f"{self._name!r}"):
            if selection == () and self.n_bytes:  # all at once, without h5py's selections
                values = np.empty(self.shape, self.dtype)
                self.id.read(h5py.h5s.ALL, h5py.h5s.ALL, values)
            else:
                values = np.asarray(self.handle[selection])
        return values.astype(values.dtype.newbyteorder("="), copy=False)

    def wholes(self, attribute) -> tuple:
        """Return the at most eight whole numbers of an attribute as ints. Raises an error for anything else."""
        with self._group._h5py(f"{self._name!r}"):
            known = attribute in self.handle.attrs
            stored = self.handle.attrs.get_id(attribute) if known else None
        if not known or stored.shape is None or math.prod(stored.shape) > 8 or stored.dtype.kind not in "biu":
            raise self._error(f"has no attribute {attribute!r} of whole numbers")
        with self._group._h5py(f"{self._name!r}"):
            return tuple(int(v) for v in np.ravel(self.handle.attrs[attribute]))

    def attribute(self, name):
        """Return what `StoredGroup.attribute` does."""
        return _attribute(self.handle, name, self._group)

    def texts(self) -> np.ndarray:
        """Return all elements, which have to be strings, as an object array of str."""
        values = np.empty(self.shape, self.dtype)
        if self.n_bytes:
            with self._group._h5py(f"{self._name!r}"):
                self.id.read(h5py.h5s.ALL, h5py.h5s.ALL, values)
        out = np.empty(self.shape, dtype=object)
        for index in np.ndindex(self.shape):
            out[index] = self._decoded(values[index])
        return out

    def text(self, index):
        """Return (string at `index`, its bytes). The elements have to be strings."""
        with self._group._h5py(f"{self._name!r}"):
            value = bytes(self.handle[index])
        return self._decoded(value), len(value)

    def _decoded(self, value):
        try:
            return bytes(value).decode("utf-8")
        except UnicodeDecodeError:
            raise self._error("holds text that is not UTF-8") from None

    def _error(self, message):
        return self._group.error(f"{self._name!r} {message}")

    def _content(self):
        if h5py.check_string_dtype(self.dtype) is not None:
            return "text"
        return f"elements of type {self.dtype}"

    def _check_filters(self, filters):
        for code in filters:
            if code not in FILTERS or filters.count(code) > 1:
                name = FILTERS.get(code) or PLUGINS.get(code)
                raise self._error(
                    f"is packed with HDF5 filter {code}{f' ({name})' if name else ''}, expected "
                    f"{', '.join(FILTERS.values())}, each at most once: repack it where the filter is installed, "
                    "h5repack -f GZIP=4 IN OUT, or by h5py and hdf5plugin")

    def _check_size(self, n_stored, ratio):
        if self.n_bytes > ratio * min(n_stored, self._group._file.size):
            raise self._error(f"has shape {self.shape}, {self.n_bytes} bytes, but the file holds {n_stored} bytes "
                              "for it")


class RaggedArray:
    """A dataset (N,) whose elements are arrays of different lengths. shape: (N,)."""

    def __init__(self, stored: StoredArray):
        self._stored, self.shape = stored, stored.shape

    def row(self, i) -> np.ndarray:
        """Return array i. Raises the file's class of error where there are fewer."""
        if not 0 <= i < self.shape[0]:
            raise self._stored._error(f"has {self.shape[0]} rows, expected more than {i}")
        return self._stored.rows(slice(i, i + 1))[0]


def check_hdf5(path, error_type=FormatError, expected="an HDF5 file", remedy_of_networks=FROM_TORCH):
    """Raise an error unless `path` is a file with the signature of HDF5. expected: what the file is to be.
    remedy_of_networks: what is said of networks in files of other tools."""
    refuse_special(path, error_type)
    try:
        with open(path, "rb") as file:
            start = file.read(8)
    except OSError as error:
        raise error_type(f"{path}: cannot be read ({os.strerror(error.errno)}){_remedy(path)}") from None
    except ValueError as error:  # a NUL in the name
        raise error_type(f"{str(path)!r}: cannot be read ({error})") from None
    if h5py.is_hdf5(path):
        return
    if not start:
        raise error_type(f"{path}: the file is empty, expected {expected}")
    seems, network = what_it_seems(path, start)
    hint = f"; it {'is' if network else 'seems to be'} {seems}" if seems else ""
    hint += remedy_of_networks if network else ""
    raise error_type(f"{path}: not {expected}{hint}")
