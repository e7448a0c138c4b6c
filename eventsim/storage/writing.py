"""Files that appear complete or not at all."""

import os
import tempfile
import uuid
from contextlib import contextmanager
from pathlib import Path

from eventsim.errors import DataError
from eventsim.storage.reading import refuse_special


@contextmanager
def writing(path):
    """Turn what writing raises into a DataError of one line."""
    try:
        yield
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror or error})") from None


def write_file(path, content: bytes) -> None:
    """Write a file that appears complete or not at all. Raises DataError, naming it."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    with writing(path):
        try:
            temporary.write_bytes(content)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


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


def make_folder(path) -> None:
    """Make a folder, and those above it, where they are missing. Raises DataError, naming it."""
    with writing(path):
        Path(path).mkdir(parents=True, exist_ok=True)


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
