"""Files that appear complete or not at all: written under another name, then renamed.

While a file is written, its temporary name is locked (flock). The lock ends with the process, however that ends,
so the next writer of the same file recognises what a killed run has left and removes it.
"""

import atexit
import errno
import fcntl
import os
import re
import stat
import tempfile
import uuid
from contextlib import contextmanager, ExitStack, suppress
from pathlib import Path

from eventsim.errors import DataError
from eventsim.storage.nearby import remedy_of_folderless
from eventsim.storage.reading import refuse_special

LONGEST_NAME = 255  # bytes of the name of a file
SUFFIXES = (  # of files of a kind
    ".csv", ".dat", ".gif", ".gz", ".h5", ".hdf5", ".htm", ".html", ".jpeg", ".jpg", ".json", ".md", ".net",
    ".nir", ".npy", ".npz", ".onnx", ".pdf", ".png", ".pt", ".pth", ".svg", ".tsv", ".txt", ".xlsx", ".xml",
    ".zip",
)


@contextmanager
def writing(path):
    """Turn an OSError of writing into a DataError of one line that names the file."""
    try:
        yield
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({reason(error)}){remedy_of_folderless(path)}") from None


def reason(error) -> str:
    """Return the message of an OSError on one line."""
    return " ".join(str(error.strerror or error).split())


class NewFile:
    """A file that gets the name `path` when it is finished, and is removed if it is not.

    Where `path` is a link, also to nothing, the file that it leads to is written. A context manager that returns
    itself. `descriptor` is open for reading and writing inside it. Its methods
    raise OSError.
    """

    def __init__(self, path):
        self.path = Path(os.path.realpath(path) if os.path.islink(path) else path)
        self.descriptor = None
        self._temporary = None

    def __enter__(self):
        _check_replaceable(self.path)
        _remove_leftovers(self.path)
        while self.descriptor is None:
            self._temporary = self.path.with_name(f"{_begin(self.path)}{uuid.uuid4().hex[:12]}.tmp")
            _UNFINISHED.add((os.getpid(), self._temporary))
            descriptor = os.open(self._temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
            if _locked(descriptor):
                self.descriptor = descriptor
            else:  # another writer has just removed it as a leftover
                os.close(descriptor)
        return self

    def __exit__(self, *error):
        self._forget()

    def write(self, content, offset) -> None:
        """Write all bytes of `content` at an offset."""
        view = memoryview(content).cast("B")
        while view:  # a disk that is nearly full, or a signal, cuts a write short
            n = os.pwrite(self.descriptor, view, offset)
            view, offset = view[n:], offset + n

    def finish(self) -> None:
        """Give the file its name. An existing file is replaced."""
        os.close(os.dup(self.descriptor))  # a network file system reports here what it could not write
        os.replace(self._temporary, self.path)
        self._forget()

    def _forget(self):
        with suppress(OSError):  # it may have its name
            os.unlink(self._temporary)
        _UNFINISHED.discard((os.getpid(), self._temporary))
        descriptor, self.descriptor = self.descriptor, None
        if descriptor is not None:
            os.close(descriptor)


# (process, path) of temporary files. An interruption between two statements can leave one, which is removed when
# the process ends. A forked child has the same set, but does not own the files.
_UNFINISHED = set()


@atexit.register
def _remove_unfinished():
    for process, temporary in _UNFINISHED:
        if process == os.getpid():
            with suppress(OSError):
                os.unlink(temporary)


def write_file(path, content: bytes) -> None:
    """Write a file that appears complete or not at all. Raises DataError, which names it."""
    write_files({path: content})


def write_temporary(prefix, suffix, content: bytes) -> str:
    """Write a new file into the temporary folder, readable only by this user, and return its path. Raises
    DataError."""
    with writing(tempfile.gettempdir()):
        number, path = tempfile.mkstemp(suffix, prefix)
        with os.fdopen(number, "wb") as file:
            file.write(content)
    return path


def open_null() -> int:
    """Open the null device for reading and writing and return its file descriptor."""
    return os.open(os.devnull, os.O_RDWR)


def write_files(contents) -> None:
    """Write several files, which get their names after all of them are written: if one cannot be, none appears.

    contents: path -> bytes. Raises DataError, which names the file that cannot be written.
    """
    with ExitStack() as opened:
        files = []
        for path, content in contents.items():
            with writing(path):
                files.append(opened.enter_context(NewFile(path)))
                files[-1].write(content, 0)
        for file in files:
            with writing(file.path):
                file.finish()


def remove_files(paths) -> None:
    """Remove files. Raises DataError, which names the first that cannot be removed."""
    for path in paths:
        with writing(path):
            os.unlink(path)


@contextmanager
def new_folder(path):
    """Create a folder, and those above it, if they are missing. If the block raises, a folder that was created is
    removed again where it is empty. Raises DataError, which names the folder."""
    missing = not os.path.exists(path)
    with writing(path):
        Path(path).mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        if missing:
            with suppress(OSError):
                os.rmdir(path)
        raise


def spare(path, *read) -> None:
    """Raise DataError if writing to `path` would replace one of the files `read` or a special file, or if it
    cannot be the name of a file. A `path` of None is not written, so it passes."""
    if path is not None:
        if "\0" in str(path) or not Path(path).name:
            raise DataError(f"{str(path)!r} is no name of a file to write")
        refuse_special(path)
    for name in read:
        if path is not None and os.path.exists(path) and os.path.exists(name) and os.path.samefile(path, name):
            raise DataError(f"{path}: is what is read, and would be replaced; give another name to write to")


def check_suffix(path, what, *suffixes) -> None:
    """Raise DataError if the suffix of a file to write is one of another kind of file, or if its name is "-".

    path: None where none is written. what: is written, for the message. suffixes: of this kind, the usual one
    first.
    """
    suffix = Path(path or "").suffix.lower()
    if str(path) == "-":
        raise DataError(f"-: {what} is not written to standard output, but into a file; give a name, such as "
                        f"out{suffixes[0]}")
    if suffix in SUFFIXES and suffix not in suffixes:
        raise DataError(f"{path}: {what} is written as {suffixes[0]}, not {suffix!r}; name it "
                        f"{Path(path).stem}{suffixes[0]}")


def _check_replaceable(path):
    """Raise OSError if `path` is a folder, a device, a pipe or a socket, which must not be replaced by a file."""
    with suppress(FileNotFoundError):
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "it is no regular file but a device, a pipe or a socket")


def _begin(path):
    """Return how the temporary name of a file begins: with as much of its own name as LONGEST_NAME has room
    for."""
    return os.fsdecode(os.fsencode(f".{path.name}")[:LONGEST_NAME - len(".0123456789ab.tmp")]) + "."


def _remove_leftovers(path):
    """Remove the temporary files of killed runs that were writing `path`, but not those of running ones."""
    pattern = re.compile(re.escape(_begin(path)) + r"[0-9a-f]{12}\.tmp")
    with suppress(OSError), os.scandir(path.parent) as entries:
        leftovers = [entry.path for entry in entries if pattern.fullmatch(entry.name)]
        for leftover in leftovers:
            with suppress(OSError):
                _remove_leftover(leftover)


def _remove_leftover(path):
    """Remove a temporary file of this user whose writer has ended. Raises OSError if it still runs, or if the file
    system cannot tell."""
    descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        if stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid():
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.unlink(path)
    finally:
        os.close(descriptor)


def _locked(descriptor):
    """Lock a new file, and return whether it is still there: another writer may have removed it. Where files
    cannot be locked, nobody removes them."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return os.fstat(descriptor).st_nlink > 0
