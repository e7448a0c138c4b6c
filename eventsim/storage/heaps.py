"""Checks of HDF5's heaps, where strings and arrays of variable length are stored, before HDF5 reads them.

HDF5 loops for ever in a damaged heap. It also allocates as many elements as a reference declares before it looks
for them: one changed byte can make it 4 GB.
"""

import mmap
import struct
import zlib

import h5py
import numpy as np

SIGNATURE = b"GCOL\x01\x00\x00\x00"


def longest_reference(dataset, path) -> int:
    """Return the largest number of elements that a reference in a dataset declares.

    dataset: h5py.h5d.DatasetID of strings or arrays of variable length. Raises ValueError where the references
    cannot be read without HDF5, and what reading the file raises.
    """
    width = h5py.h5i.get_file_id(dataset).get_create_plist().get_sizes()[0]
    reference = np.dtype([("length", "<u4"), ("rest", f"V{width + 4}")])
    longest = 0
    for part in _stored_parts(dataset, path, reference.itemsize):
        references = np.frombuffer(part, reference, len(part) // reference.itemsize)
        longest = max(longest, int(references["length"].max(initial=0)))
    return longest


def _stored_parts(dataset, path, item):
    """Yield the stored bytes of a dataset, unpacked, one chunk after another. item: bytes of an element."""
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
    """Return a chunk with its filters undone. mask: a bit is set for each filter that this chunk skipped. n_bytes:
    size of the chunk when unpacked."""
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
            n_shuffled = len(content) // item * item  # the filter leaves a rest as it is
            octets = np.frombuffer(content[:n_shuffled], np.uint8).reshape(item, -1)
            content = octets.T.tobytes() + content[n_shuffled:]
        else:
            raise ValueError("it is packed with lzf; store it without compression, or with gzip")
    return content


def damaged_heap(path, size_of_lengths):
    """Return the offset of the first damaged heap in the file, or None.

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
    """Return whether the sizes of the objects in the heap at `start` add up to the size in its header. width:
    bytes of a length."""
    length = {2: "<H", 4: "<I", 8: "<Q"}.get(width)
    header = _aligned(8 + width)  # of the heap, and of an object
    if length is None or start + header > len(data):
        return False
    end = start + struct.unpack_from(length, data, start + 8)[0]
    if end > len(data):
        return False
    offset = start + header
    while offset + header <= end:
        index, size = struct.unpack_from("<H", data, offset)[0], struct.unpack_from(length, data, offset + 8)[0]
        if index == 0 and size < header:
            return False
        offset += size if index == 0 else header + _aligned(size)
    return offset <= end


def _aligned(n):
    return -(-n // 8) * 8
