"""What reading damaged files raises, as one line."""

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
# What damaged files make the standard library raise, and NumPy for the header of an array.
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
    """An error or any text as one line of bounded length."""
    text = " ".join(str(error).split())
    return text if len(text) <= 300 else text[:297] + "..."


@contextmanager
def reading(path, errors=READ_ERRORS):
    """Turn what reading damaged files raises into a DataError of one line."""
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
    """What a path names instead of a file or folder, or "": reading a pipe would wait for a writer, a device never
    ends. Links are followed, nothing is opened; what cannot be looked at is left to those who open it."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return ""
    return next((what for is_kind, what in SPECIAL if is_kind(mode)), "")


def refuse_special(path, error=DataError):
    """Raise `error` where a path that is to be read or replaced names a pipe, a socket or a device."""
    found = special_file(path)
    if found:
        raise error(f"{path}: is {found}, expected a file")


def declared_bytes(shape, item, path) -> int:
    """Bytes of an array of a declared shape, of `item` bytes each. Raises DataError for a shape that no array can
    have: one without elements can still be too large in its other axes."""
    too_many = math.prod(max(n, 1) for n in shape) * item > MAX_BYTES
    if len(shape) > MAX_AXES or too_many or any(n < 0 for n in shape):
        shown = ", ".join(map(str, shape[:8])) + (", ..." if len(shape) > 8 else "")
        raise DataError(f"{path}: declares an array of {len(shape)} axes ({shown}), expected at most {MAX_AXES} "
                        "axes, none below 0, and 2^62 bytes")
    return math.prod(shape) * item


def check_declared(n_declared, n_stored, path):
    """Refuse more bytes than deflate could have packed into what is there, before allocation."""
    if n_declared > MAX_RATIO * n_stored:
        raise DataError(f"{path}: declares {n_declared} bytes of data, but holds {n_stored}")


class HoldsFile:
    """What reads from a file that it keeps open: neither pickled nor copied, as another process cannot go on with
    its place in the file."""

    def __getstate__(self):
        raise TypeError(f"a {type(self).__name__.lstrip('_')} of an open file cannot be pickled or copied; pass the path, "
                        "and open it again")
