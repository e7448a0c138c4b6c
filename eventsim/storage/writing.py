"""Files that appear complete or not at all: written under another name, then renamed.

While a file is written its other name is locked (flock), which ends with the process, however that ends. So the
next writer of the same file knows what a killed run has left, and removes it.
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


@contextmanager
def writing(path):
    """Turn what writing raises into a DataError of one line."""
    try:
        yield
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({reason(error)}){remedy_of_folderless(path)}") from None


def reason(error) -> str:
    """What an OSError says, as one line."""
    return " ".join(str(error.strerror or error).split())


class NewFile:
    """A file that will be `path` once it is finished, and vanishes if it is not. A context manager, which gives
    itself. `descriptor` is open for reading and writing until then. Raises OSError."""

    def __init__(self, path):
        self.path = Path(path)
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
            else:  # another writer has just taken it for a leftover
                os.close(descriptor)
        return self

    def __exit__(self, *error):
        self._forget()

    def write(self, content, offset) -> None:
        """Write bytes at an offset, all of them."""
        view = memoryview(content).cast("B")
        while view:  # a disk that is nearly full, or a signal, cuts a write short
            n = os.pwrite(self.descriptor, view, offset)
            view, offset = view[n:], offset + n

    def finish(self) -> None:
        """Give the file its name; an existing one is replaced."""
        os.close(os.dup(self.descriptor))  # where a network's file system says what it could not write
        os.replace(self._temporary, self.path)
        self._forget()

    def _forget(self):
        with suppress(OSError):  # it may have its name
            os.unlink(self._temporary)
        _UNFINISHED.discard((os.getpid(), self._temporary))
        descriptor, self.descriptor = self.descriptor, None
        if descriptor is not None:
            os.close(descriptor)


# (process, name) of temporary files: what an interruption, which may come between any two statements, leaves of them
# goes when the process ends. A forked child has them, too, but they are not its own.
_UNFINISHED = set()


@atexit.register
def _remove_unfinished():
    for process, temporary in _UNFINISHED:
        if process == os.getpid():
            with suppress(OSError):
                os.unlink(temporary)


def write_file(path, content: bytes) -> None:
    """Write a file that appears complete or not at all. Raises DataError, naming it."""
    write_files({path: content})


def write_temporary(prefix, suffix, content: bytes) -> str:
    """Write a new file that only the user can read into the temporary folder; returns its path. Raises DataError."""
    with writing(tempfile.gettempdir()):
        number, path = tempfile.mkstemp(suffix, prefix)
        with os.fdopen(number, "wb") as file:
            file.write(content)
    return path


def open_null() -> int:
    """The null device, opened: its number."""
    return os.open(os.devnull, os.O_RDWR)


def write_files(contents) -> None:
    """Write files, of which all appear, complete, or none. contents: path -> bytes. Raises DataError, naming the
    one that cannot be written."""
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
    """Remove files of ours. Raises DataError, naming the first that cannot be removed."""
    for path in paths:
        with writing(path):
            os.unlink(path)


@contextmanager
def new_folder(path):
    """Make a folder, and those above it, where they are missing; one that was not there goes again where what is
    within raises and leaves it empty. Raises DataError, naming it."""
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
    """Raises DataError where writing to `path` (None: nothing is written) would replace a file that is read, or
    what is no file, and where it is no name of one."""
    if path is not None:
        if "\0" in str(path) or not Path(path).name:
            raise DataError(f"{str(path)!r} is no name of a file to write")
        refuse_special(path)
    for name in read:
        if path is not None and os.path.exists(path) and os.path.exists(name) and os.path.samefile(path, name):
            raise DataError(f"{path}: is what is read, and would be replaced; give another name to write to")


def _check_replaceable(path):
    """Raise OSError for a folder, a device or a pipe, which renaming would replace by a file or fails to."""
    with suppress(FileNotFoundError):
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "it is no regular file but a device, a pipe or a socket")


def _begin(path):
    """What the other name of a file begins with: as much of its own as leaves room for the rest."""
    return os.fsdecode(os.fsencode(f".{path.name}")[:LONGEST_NAME - len(".0123456789ab.tmp")]) + "."


def _remove_leftovers(path):
    """Remove what runs that were killed while they wrote `path` have left; never what one writes that lives."""
    pattern = re.compile(re.escape(_begin(path)) + r"[0-9a-f]{12}\.tmp")
    with suppress(OSError), os.scandir(path.parent) as entries:
        found = [entry.path for entry in entries if pattern.fullmatch(entry.name)]
        for leftover in found:
            with suppress(OSError):
                _remove_leftover(leftover)


def _remove_leftover(path):
    """Remove a temporary file of ours whose writer has ended. Raises OSError where it lives, or nobody can say."""
    descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        found = os.fstat(descriptor)
        if stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid():
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.unlink(path)
    finally:
        os.close(descriptor)


def _locked(descriptor):
    """Lock a new file of ours. Whether it is still ours; where files cannot be locked nobody removes it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return os.fstat(descriptor).st_nlink > 0
