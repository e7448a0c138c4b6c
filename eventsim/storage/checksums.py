"""Checksums over what an HDF5 file holds, whatever its packing: one line per dataset, SHA-256 of lines per part.

The line of a dataset is `path type shape digest`, with single spaces. path: from the root, without a "/" in front.
type: f, i, u or b (flag) and the bytes of a number, such as f4, or text. shape: sizes of the axes with commas
between them, or - where there is none. digest: SHA-256, in hexadecimal, of the elements in C order; numbers are
little-endian, texts are UTF-8 and end with a NUL each. The checksum of a part is the SHA-256 of the lines of all
datasets in it, sorted by the bytes of their paths, each with a line feed behind it, in UTF-8.
"""

import hashlib
import sys

import numpy as np


def line_of(path, values) -> str:
    """Return the line of the dataset at `path`. values: an array of numbers, or of texts as str or UTF-8 bytes."""
    values = np.asarray(values)
    if values.dtype.kind in "OSU":
        kind, content = "text", b"".join([_utf8(text) + b"\0" for text in values.ravel().tolist()])
    else:
        kind, content = values.dtype.str[1:], values  # hashed without a copy where it can be
        if sys.byteorder == "big" or values.dtype.byteorder == ">":
            content = values.astype(values.dtype.newbyteorder("<"), copy=False)
        if not content.flags.c_contiguous:
            content = np.ascontiguousarray(content)
    shape = ",".join(map(str, values.shape)) if values.ndim else "-"
    return f"{path} {kind} {shape} {hashlib.sha256(content).hexdigest()}\n"


def checksums_of(lines, part_of) -> dict:
    """Return a dict part -> checksum. lines: path -> line. part_of: a function from a path to its part, or to None
    for a path that counts in no part."""
    digests = {}
    for path in sorted(lines, key=str.encode):
        part = part_of(path)
        if part is not None:
            digests.setdefault(part, hashlib.sha256()).update(lines[path].encode())
    return {part: digest.hexdigest() for part, digest in digests.items()}


class SummedGroup:
    """A wrapper of an h5py group that is written, which keeps the line of every dataset in `lines` (path ->
    line)."""

    def __init__(self, group, lines=None, path=""):
        self.lines = {} if lines is None else lines
        self._group = group
        self._path = path

    def create_group(self, name) -> "SummedGroup":
        """Create a group inside this one, which adds to the same `lines`."""
        return SummedGroup(self._group.create_group(name), self.lines, f"{self._path}{name}/")

    def create_dataset(self, name, data, **options) -> None:
        """Write a dataset and keep its line."""
        self._group.create_dataset(name, data=data, **options)
        path = self._path + name
        self.lines[path] = line_of(path, data)


def _utf8(text):
    return text if isinstance(text, bytes) else text.encode()
