"""Damaged files: what reading them raises becomes a DataError of one line."""

import math
import os
import stat
import tokenize
import zipfile
import zlib
from contextlib import contextmanager

from eventsim.errors import DataError, EventsimError

MAX_AXES, MAX_BYTES = 32, 1 << 62  # of an array
MAX_RATIO = 1032  # the most that deflate can shrink, and more than lzf can
# What the standard library raises for damaged files, and NumPy for a damaged header of an array
READ_ERRORS = (
    OSError, EOFError, MemoryError, zlib.error, zipfile.BadZipFile,
    NotImplementedError, UnicodeDecodeError,  # zipfile: of an unknown version, names in no code
)
HEADER_ERRORS = (ValueError, TypeError, SyntaxError, KeyError, OverflowError, tokenize.TokenError)
ZIP_ERRORS = (RuntimeError, ValueError)  # encrypted, packed by an unknown method, bad entry

SPECIAL = (
    (stat.S_ISFIFO, "a pipe (FIFO)"), (stat.S_ISSOCK, "a socket"), (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device of blocks"),
)


def one_line(error) -> str:
    """Return an error or text on one line of at most 300 characters, cut off with "..."."""
    text = " ".join(str(error).split())
    return text if len(text) <= 300 else text[:297] + "..."


@contextmanager
def reading(path, errors=READ_ERRORS):
    """Turn errors of reading a damaged file into a DataError of one line that names it. Other EventsimErrors
    pass."""
    try:
        yield
    except EventsimError:  # says what is wrong already
        raise
    except errors as error:
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else error
        raise DataError(
            f"{path}: cannot be read, damaged or truncated ({one_line(reason)})"
        ) from None


def special_file(path) -> str:
    """Return what kind of special file a path names, such as "a device", or "" for anything else and where the
    path cannot be looked up. Follows links and opens nothing: reading a pipe would wait for a writer, and a device
    may never end."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return ""
    return next((what for is_kind, what in SPECIAL if is_kind(mode)), "")


def refuse_special(path, error=DataError):
    """Raise `error` if a path that will be read or replaced names a pipe, a socket or a device."""
    kind = special_file(path)
    if kind:
        raise error(f"{path}: is {kind}, expected a file")


def declared_bytes(shape, item, path) -> int:
    """Return the bytes of an array of a declared shape with elements of `item` bytes. Raises DataError for a shape
    that no array can have, also where it has no elements but its other axes are too long."""
    too_many = math.prod(max(n, 1) for n in shape) * item > MAX_BYTES
    if len(shape) > MAX_AXES or too_many or any(n < 0 for n in shape):
        shown = ", ".join(map(str, shape[:8])) + (", ..." if len(shape) > 8 else "")
        raise DataError(f"{path}: declares an array of {len(shape)} axes ({shown}), expected at most {MAX_AXES} "
                        "axes, none below 0, and 2^62 bytes")
    return math.prod(shape) * item


def check_declared(n_declared, n_stored, path):
    """Raise DataError if deflate cannot have packed n_declared bytes into n_stored. To be called before memory is
    allocated."""
    if n_declared > MAX_RATIO * n_stored:
        raise DataError(f"{path}: declares {n_declared} bytes of data, but holds {n_stored}")


class HoldsFile:
    """A base class of objects that keep a file open. They cannot be pickled or copied, since a copy would share
    the position in the file."""

    def __getstate__(self):
        raise TypeError(f"a {type(self).__name__.lstrip('_')} of an open file cannot be pickled or copied; pass "
                        "the path, and open it again")
