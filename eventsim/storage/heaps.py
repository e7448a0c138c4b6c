"""Heaps of HDF5, where strings and arrays of variable length lie, looked at before HDF5 does.

HDF5 walks through a damaged heap for ever, and takes memory for as many elements as a reference to one declares
before it looks for them: a changed byte makes 4 GB of it.
"""

import mmap
import struct
import zlib

import h5py
import numpy as np

SIGNATURE = b"GCOL\x01\x00\x00\x00"


def longest_reference(dataset, path) -> int:
    """Most elements that a reference of a dataset declares. dataset: h5py's low-level one, of strings or arrays of
    variable length. Raises ValueError where its references cannot be seen, and what reading the file raises."""
    width = h5py.h5i.get_file_id(dataset).get_create_plist().get_sizes()[0]
    reference = np.dtype([("length", "<u4"), ("rest", f"V{width + 4}")])
    longest = 0
    for part in _stored_parts(dataset, path, reference.itemsize):
        found = np.frombuffer(part, reference, len(part) // reference.itemsize)
        longest = max(longest, int(found["length"].max(initial=0)))
    return longest


def _stored_parts(dataset, path, item):
    """Bytes of a dataset as they lie in the file, unpacked, part by part."""
    properties = dataset.get_create_plist()
    layout = properties.get_layout()
    if layout == h5py.h5d.CONTIGUOUS:
        offset = dataset.get_offset()
        if offset is not None:
            with open(path, "rb") as file:
                file.seek(offset)
                yield file.read(dataset.get_storage_size())
    elif layout == h5py.h5d.CHUNKED:
        filters = [properties.get_filter(i)[0] for i in range(properties.get_nfilters())]
        n_bytes = int(np.prod(properties.get_chunk(), dtype=np.int64)) * item
        for i in range(dataset.get_num_chunks()):
            mask, packed = dataset.read_direct_chunk(dataset.get_chunk_info(i).chunk_offset)
            yield _unpacked(packed, filters, mask, item, n_bytes)
    else:
        raise ValueError("its references lie in its header; store it contiguous")


def _unpacked(content, filters, mask, item, n_bytes):
    """A chunk without its filters, of which `mask` says which were left out. n_bytes: of the chunk, unpacked."""
    for i, code in reversed(list(enumerate(filters))):
        if mask >> i & 1:
            continue
        if code == h5py.h5z.FILTER_DEFLATE:
            try:
                content = zlib.decompressobj().decompress(content, n_bytes + 4)
            except zlib.error as error:
                raise ValueError(str(error)) from None
        elif code == h5py.h5z.FILTER_FLETCHER32:
            content = content[:-4]
        elif code == h5py.h5z.FILTER_SHUFFLE:
            whole = len(content) // item * item
            content = np.frombuffer(content[:whole], np.uint8).reshape(item, -1).T.tobytes() + content[whole:]
        else:
            raise ValueError("it is packed with lzf; store it without compression, or with gzip")
    return content


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
