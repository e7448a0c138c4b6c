"""Model files that a test changes by hand."""

from contextlib import contextmanager

import h5py


@contextmanager
def by_hand(path):
    """A file of version 1, open to be changed: what changes one of version 2 has to renew its checksums."""
    with h5py.File(path, "r+") as file:
        if "checksums" in file:
            del file["checksums"]
            file["version"][()] = 1
        yield file
