"""HDF5 files read as data: nothing is followed, run or allocated that the file does not hold.

h5py alone follows links into other files, fills a dataset of any declared size with its fill value
and loads filter plug-ins. Here every object is looked at before it is opened or read, and what
h5py raises becomes one line that names the file.
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

# What h5py raises for damaged files and for objects that are not what the caller took them for.
H5PY_ERRORS = (OSError, RuntimeError, KeyError, ValueError, TypeError, MemoryError, OverflowError)

GROUP, DATASET = h5py.h5g.GroupID, h5py.h5d.DatasetID

MAX_TOTAL = 1 << 34  # bytes read into memory from one file
MAX_TEXTS = 3 << 14  # strings in one file: as many edges as a model may have, and its names
DATASETS_OF_ANY, BYTES_PER_DATASET = 512, 256  # that are opened of a file: less than any takes with its name
MAX_TEXT_BYTES = 1 << 26  # of all strings of one dataset together
MIN_CHUNK_LIMIT = 1 << 24  # bytes; growable datasets may have chunks larger than their data

FILTERS = {
    h5py.h5z.FILTER_DEFLATE: "gzip",
    h5py.h5z.FILTER_SHUFFLE: "shuffle",
    h5py.h5z.FILTER_FLETCHER32: "fletcher32",
    h5py.h5z.FILTER_LZF: "lzf",
}


@contextmanager
def open_hdf5(path, error=FormatError, room=None):
    """Open `path` for reading; gives its root StoredGroup, and closes the file in the end.

    error: class of what is raised for anything wrong with the file. room: of a file that is read whole, how many
        numbers, of 8 bytes, may be read, by its size; default: as much data as it can hold packed.
    """
    refuse_special(path, error)
    try:
        size = os.path.getsize(path)
        handle = h5py.File(path, "r")
    except H5PY_ERRORS as cause:
        if getattr(cause, "errno", None):  # not what is in the file: it is missing, a folder, not ours to read
            raise error(f"{path}: cannot be read ({os.strerror(cause.errno)}){_remedy(path)}") from None
        raise error(
            f"{path}: damaged, truncated or unreadable HDF5 file ({one_line(cause)})"
        ) from None
    with handle:
        yield StoredGroup(handle, _File(path, size, error, room))


def members_of(path):
    """Names at the root of an HDF5 file; none where it cannot be read as one."""
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
    """What all groups of one file share: its name, its size, what was read so far."""

    def __init__(self, path, size, error, room):
        self.path = path
        self.size = size
        self.error = error
        self.bounded = room is not None
        self.most = min(MAX_TOTAL, 8 * room(size) if self.bounded else MAX_RATIO * size)  # bytes that may be read
        self.n_read, self.n_texts, self.n_opened = 0, 0, 0  # bytes, strings and datasets so far
        self.lines = None  # path -> line of a checksum, of all that is read, where somebody wants them
        self._sound = None  # whether heaps can be walked through, once that is known

    def has_sound_heaps(self, handle):
        """Whether HDF5 can look for strings of variable length without going round for ever."""
        if self._sound is None:
            width = handle.file.id.get_create_plist().get_sizes()[1]
            self._sound = damaged_heap(self.path, width) is None
        return self._sound

    def count(self, n_bytes):
        """Whether so many more bytes may be read; objects can be linked, so read, many times."""
        self.n_read += n_bytes
        return self.n_read <= self.most

    def opens_another(self):
        """Whether one more dataset may be opened: opening takes time, and so many a file can hold only as links."""
        self.n_opened += 1
        return not self.bounded or self.n_opened <= DATASETS_OF_ANY + self.size // BYTES_PER_DATASET


class StoredGroup:
    """A group of the file. label: how messages name it, such as "node 'conv1' (Conv2d)"."""

    def __init__(self, handle, file, label="", path=""):
        self._handle = handle
        self._file = file
        self._path = path
        self.label = label
        self._names = None

    def error(self, message):
        """The file's kind of error (not raised), with the file and this group in front."""
        where = f"{self.label}: " if self.label else ""
        return self._file.error(f"{self._file.path}: {where}{one_line(message)}")

    def in_front_of(self, message) -> bool:
        """Whether a message names the file already."""
        return str(message).startswith(f"{self._file.path}: ")

    def names(self):
        """Names of all members, in the file's order."""
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
        """The group `name` inside this one."""
        found = self._member(name)
        if not isinstance(found, GROUP):
            raise self.error(f"{name!r} is {_what(found)}, expected a group")
        return StoredGroup(h5py.Group(found), self._file, label or self.label, f"{self._path}{name}/")

    def is_group(self, name) -> bool:
        """Whether the member `name` is a group."""
        return isinstance(self._member(name), GROUP)

    def dataset(self, name) -> "StoredArray":
        """The dataset `name`, checked but not yet read."""
        if not self._file.opens_another():
            raise self.error(f"{name!r}: the file of {self._file.size} bytes names the same datasets again and again")
        found = self._member(name)
        if not isinstance(found, DATASET):
            raise self.error(f"{name!r} is {_what(found)}, expected a dataset")
        return StoredArray(found, name, self)

    def numbers(self, name) -> np.ndarray:
        """The dataset `name` as numbers of native byte order: bool, integers or floats."""
        found = self.dataset(name)
        found.require_numbers()
        as_floats = 8 * math.prod(found.shape) if self._file.bounded else 0
        self.require_room(name, max(found.n_bytes, found.chunk_bytes, as_floats))
        values = found.rows(())
        self._sum(name, values)
        return values

    def texts(self, name) -> np.ndarray:
        """The dataset `name` as an object array of str (0-d for a single one)."""
        values = self._texts(name)
        self._sum(name, values)
        return values

    def _texts(self, name):
        found = self.dataset(name)
        found.require_text()
        n_texts = math.prod(found.shape)
        self._file.n_texts += n_texts
        if self._file.n_texts > MAX_TEXTS:
            raise self.error(f"{name!r} holds {n_texts} strings, expected at most {MAX_TEXTS} in a file")
        self.require_room(name, max(found.n_bytes, found.chunk_bytes))
        open_length = h5py.check_string_dtype(found.dtype).length is None
        if open_length:
            self._require_heaps(name, found, "strings", 1)
        if (n_texts * self._file.size if open_length else found.n_bytes) <= MAX_TEXT_BYTES:  # whatever their lengths
            return found.texts()
        out = np.empty(found.shape, dtype=object)
        n_bytes = 0
        for index in np.ndindex(found.shape):
            out[index], n = found.text(index)
            n_bytes += n
            if n_bytes > MAX_TEXT_BYTES:
                raise self.error(f"{name!r} holds more than {MAX_TEXT_BYTES} bytes of text")
        return out

    def ragged(self, name) -> "RaggedArray":
        """The dataset `name` of arrays (N,) of numbers, each of its own length."""
        found = self.dataset(name)
        base = h5py.check_vlen_dtype(found.dtype)
        if not isinstance(base, np.dtype) or base.kind not in "biuf" or len(found.shape) != 1:
            raise self.error(f"{name!r} has shape {found.shape} and type {found.dtype}, expected arrays of "
                             "numbers")
        self._require_heaps(name, found, "arrays", base.itemsize)
        return RaggedArray(found)

    def _require_heaps(self, name, found, what, item):
        """Raise where HDF5 would go round for ever in a heap of strings or arrays, or take memory for one that is
        longer than the file. what: "strings" or "arrays"; item: bytes of an element of one."""
        if not self._file.has_sound_heaps(self._handle):
            raise self.error(f"{name!r} cannot be read, the file is damaged (in a heap of {what})")
        with self._h5py(f"{name!r}"):
            longest = longest_reference(found.id, self._file.path)
        if longest * item > self._file.size:
            raise self.error(f"{name!r} cannot be read, the file of {self._file.size} bytes is damaged (one of its "
                             f"{what} declares {longest * item})")

    def text(self, name) -> str:
        """The single string `name`."""
        found = self.texts(name)
        if found.size != 1:
            raise self.error(f"{name!r} has shape {found.shape}, expected a single string")
        return found.reshape(())[()]

    def _member(self, name):
        """The member's low-level identifier: h5py's own objects look through all properties of each."""
        if name not in self:
            raise self.error(f"{name!r} is missing")
        found = _opened(self._handle.id, name.encode())
        if found is not None:
            return found
        with self._h5py(f"{name!r}"):
            link = self._handle.get(name, getlink=True)
        if link is None:  # in the list, but not where its name would be looked for
            raise self.error(f"{name!r} cannot be found, the file is damaged")
        if not isinstance(link, h5py.HardLink):
            kind = "an external link" if isinstance(link, h5py.ExternalLink) else "a soft link"
            raise self.error(
                f"{name!r} is {kind} to {link.path!r}, which is not followed: "
                "store the data itself in the file"
            )
        with self._h5py(f"{name!r}"):
            return self._handle[name].id

    def sum_up(self) -> dict:
        """From now on, what is read of this file goes into the dict that this returns: path -> line, as of
        `checksums.line_of`."""
        self._file.lines = {}
        return self._file.lines

    def sum_up_no_more(self) -> None:
        """From now on, what is read is not summed."""
        self._file.lines = None

    def _sum(self, name, values):
        if self._file.lines is not None:
            path = self._path + name
            self._file.lines[path] = line_of(path, values)

    def require_room(self, name, n_bytes):
        """Raise where reading `name`, which takes so many bytes of memory, would read more of the file than it may."""
        if not self._file.count(n_bytes):
            raise self.error(
                f"{name!r}: the file declares more data than its {self._file.size} bytes can hold, or than the "
                f"{self._file.most} bytes that are read of it; store it without compression"
            )

    def _h5py(self, what):
        return _Reading(self, what)


class _Reading:
    """Around calls of h5py: what it raises names the file and what was read. A class, as a generator takes longer
    than most of those calls."""

    __slots__ = "_group", "_what"

    def __init__(self, group, what):
        self._group, self._what = group, what

    def __enter__(self):
        pass

    def __exit__(self, kind, error, trace):
        if kind is not None and issubclass(kind, H5PY_ERRORS):
            raise self._group.error(f"{self._what} cannot be read, the file is damaged ({error})") from None


def _opened(group, name):
    """The group or dataset that a hard link names, or None: of low-level group and name, in half the time of h5py,
    which follows the name three times. What is anything else, or damaged, is left to those who can say what it is."""
    try:
        if group.links.get_info(name).type != h5py.h5l.TYPE_HARD:
            return None
        found = h5py.h5o.open(group, name)
    except H5PY_ERRORS:
        return None
    return found if isinstance(found, (GROUP, DATASET)) else None


def _what(member):
    kinds = {GROUP: "a group", DATASET: "a dataset"}
    return kinds.get(type(member), "a named datatype")


class StoredArray:
    """A dataset whose storage was checked: inside the file, and as large as its shape says. id: h5py's, of low
    level."""

    def __init__(self, found, name, group):
        self.id = found
        self._group = group
        self._name = name
        layout, n_external, filters, chunks = h5py.h5d.CONTIGUOUS, 0, [], None
        with group._h5py(f"{name!r}"):
            if found.get_offset() is None:  # else it lies in this file as it is; asking for more takes longer
                properties = found.get_create_plist()
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
            space = found.get_space()
            self.shape = None if space.get_simple_extent_type() == h5py.h5s.NULL else space.shape
            self.dtype = found.dtype
            n_stored = found.get_storage_size()
        self._check_filters(filters)
        if self.shape is None:
            raise self._error("has no data")
        self.n_bytes = math.prod(self.shape) * self.dtype.itemsize
        self._check_size(n_stored, MAX_RATIO if filters else 1)
        self.chunk_bytes = math.prod(chunks or (0,)) * self.dtype.itemsize  # which are unpacked whole
        if self.chunk_bytes > max(self.n_bytes, MIN_CHUNK_LIMIT):
            raise self._error(f"has chunks of {self.chunk_bytes} bytes for {self.n_bytes} bytes of data")

    @cached_property
    def handle(self) -> h5py.Dataset:
        """h5py's own object, which reads parts and attributes."""
        return h5py.Dataset(self.id)

    @property
    def is_text(self) -> bool:
        """Whether the elements are strings."""
        return h5py.check_string_dtype(self.dtype) is not None

    def require_numbers(self):
        """Raise unless the elements are bool, integers or floats of at most 64 bits."""
        if self.dtype.kind not in "biuf" or self.dtype.itemsize > 8:
            raise self._error(f"holds {self._content()}, expected numbers")

    def require_text(self):
        """Raise unless the elements are strings."""
        if h5py.check_string_dtype(self.dtype) is None:
            raise self._error(f"holds {self._content()}, expected text")

    def rows(self, selection) -> np.ndarray:
        """The part that `selection` (a slice, or () for all) names, as numbers."""
        with self._group._h5py(f"{self._name!r}"):
            if selection == () and self.n_bytes:  # whole: at once, without h5py's selections
                values = np.empty(self.shape, self.dtype)
                self.id.read(h5py.h5s.ALL, h5py.h5s.ALL, values)
            else:
                values = np.asarray(self.handle[selection])
        return values.astype(values.dtype.newbyteorder("="), copy=False)

    def wholes(self, attribute) -> tuple:
        """The whole numbers, at most eight, that an attribute of the dataset holds."""
        with self._group._h5py(f"{self._name!r}"):
            known = attribute in self.handle.attrs
            found = self.handle.attrs.get_id(attribute) if known else None
        if not known or found.shape is None or math.prod(found.shape) > 8 or found.dtype.kind not in "biu":
            raise self._error(f"has no attribute {attribute!r} of whole numbers")
        with self._group._h5py(f"{self._name!r}"):
            return tuple(int(v) for v in np.ravel(self.handle.attrs[attribute]))

    def texts(self) -> np.ndarray:
        """All elements, which are known to be strings, at once: an object array of str."""
        values = np.empty(self.shape, self.dtype)
        if self.n_bytes:
            with self._group._h5py(f"{self._name!r}"):
                self.id.read(h5py.h5s.ALL, h5py.h5s.ALL, values)
        out = np.empty(self.shape, dtype=object)
        for index in np.ndindex(self.shape):
            out[index] = self._decoded(values[index])
        return out

    def text(self, index):
        """(string at `index`, its length in bytes); the elements are known to be strings."""
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
                raise self._error(
                    f"is packed with HDF5 filter {code}, expected {', '.join(FILTERS.values())}, "
                    "each at most once"
                )

    def _check_size(self, n_stored, ratio):
        if self.n_bytes > ratio * min(n_stored, self._group._file.size):
            raise self._error(
                f"has shape {self.shape}, {self.n_bytes} bytes, but the file holds "
                f"{n_stored} bytes for it"
            )


class RaggedArray:
    """A dataset of arrays of their own lengths. shape: (N,)."""

    def __init__(self, stored: StoredArray):
        self._stored, self.shape = stored, stored.shape

    def row(self, i) -> np.ndarray:
        """Array i. Raises DataError or FormatError where there are fewer."""
        if not 0 <= i < self.shape[0]:
            raise self._stored._error(f"has {self.shape[0]} rows, expected more than {i}")
        found = self._stored.rows(slice(i, i + 1))[0]
        return found.astype(found.dtype.newbyteorder("="), copy=False)


_SIGNATURES = {
    b"PK": "a zip archive, as .npz and torch files are",
    b"\x80": "a Python pickle, which is a program and never loaded",
    b"\x1f\x8b": "packed with gzip",
    b"\x93NUMPY": "a NumPy array",
}


def check_hdf5(path):
    """Raise FormatError unless `path` is a file with the signature of HDF5."""
    refuse_special(path, FormatError)
    try:
        with open(path, "rb") as file:
            start = file.read(8)
    except OSError as error:
        raise FormatError(f"{path}: cannot be read ({os.strerror(error.errno)}){_remedy(path)}") from None
    except ValueError as error:  # a NUL in the name
        raise FormatError(f"{str(path)!r}: cannot be read ({error})") from None
    if h5py.is_hdf5(path):
        return
    if not start:
        raise FormatError(f"{path}: the file is empty, expected an HDF5 file")
    seems = next((what for key, what in _SIGNATURES.items() if start.startswith(key)), None)
    hint = f"; it seems to be {seems}" if seems else ""
    raise FormatError(f"{path}: not an HDF5 file{hint}")
