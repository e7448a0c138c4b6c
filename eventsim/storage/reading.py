"""What reading damaged files raises, as one line."""

import os
import tokenize
import zipfile
import zlib
from contextlib import contextmanager

from eventsim.errors import DataError, EventsimError

MAX_RATIO = 1032  # the most that deflate can shrink, and more than lzf can
# What damaged files make the standard library raise, and NumPy for the header of an array.
READ_ERRORS = (
    OSError, EOFError, MemoryError, zlib.error, zipfile.BadZipFile,
    NotImplementedError, UnicodeDecodeError,  # zipfile: of an unknown version, names in no code
)
HEADER_ERRORS = (ValueError, TypeError, SyntaxError, KeyError, OverflowError, tokenize.TokenError)
ZIP_ERRORS = (RuntimeError, ValueError)  # encrypted, packed by an unknown method, bad entry


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
