"""Files that appear complete or not at all."""

import os
import uuid
from contextlib import contextmanager
from pathlib import Path

from eventsim.errors import DataError
from eventsim.storage.nearby import remedy_of_folderless


@contextmanager
def writing(path):
    """Turn what writing raises into a DataError of one line."""
    try:
        yield
    except OSError as error:
        reason = f"cannot be written ({error.strerror or error}){remedy_of_folderless(path)}"
        raise DataError(f"{path}: {reason}") from None


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


def make_folder(path) -> None:
    """Make a folder, and those above it, where they are missing. Raises DataError, naming it."""
    with writing(path):
        Path(path).mkdir(parents=True, exist_ok=True)


def spare(path, *read) -> None:
    """Raises DataError where writing to `path` (None: nothing is written) would replace a file that is read."""
    for name in read:
        if path is not None and os.path.exists(path) and os.path.exists(name) and os.path.samefile(path, name):
            raise DataError(f"{path}: is what is read, and would be replaced; give another name to write to")
