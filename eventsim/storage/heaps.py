"""Heaps: where HDF5 keeps strings of variable length, looked at before its library walks through them.

In a damaged heap the library (1.14 and before) can go round for ever: free space of size 0 never
ends. A heap is "GCOL", version 1, three zeros, its size; then objects: index, references, four
bytes, size of the data, the data. Index 0 is free space, whose size counts its own header.
"""

import mmap
import struct

SIGNATURE = b"GCOL\x01\x00\x00\x00"


def damaged_heap(path, size_of_lengths):
    """Offset of the first heap in the file that cannot be walked through, or None.

    size_of_lengths: bytes of a length in this file, as its creation properties say.
    """
    with open(path, "rb") as file:
        if not file.read(1):  # mmap refuses empty files
            return None
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            start = data.find(SIGNATURE)
            while start >= 0:
                if not _walks(data, start, size_of_lengths):
                    return start
                start = data.find(SIGNATURE, start + 1)
    return None


def _walks(data, start, width):
    """Whether the heap at `start` ends where it says, object by object."""
    length = {2: "<H", 4: "<I", 8: "<Q"}.get(width)
    header = _aligned(8 + width)  # of the heap, and of an object
    if length is None or start + header > len(data):
        return False
    end = start + struct.unpack_from(length, data, start + 8)[0]
    if end > len(data):
        return False
    at = start + header
    while at + header <= end:
        index, size = struct.unpack_from("<H", data, at)[0], struct.unpack_from(length, data, at + 8)[0]
        if index == 0 and size < header:
            return False
        at += size if index == 0 else header + _aligned(size)
    return at <= end


def _aligned(n):
    return -(-n // 8) * 8
