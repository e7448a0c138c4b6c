"""Parts of an array in HDF5, each chunk of which is unpacked once: HDF5 unpacks a chunk whole whenever rows of it
are read, and forgets a large one at once."""

import numpy as np

MOST_BYTES = 1 << 28  # that are read at once, or a chunk where that is more


def parts_of(stored, size, stop, first=0):
    """Yield the rows from `first` up to `stop` of a StoredArray, `size` of them at a time. Chunks that hold more
    rows than MOST_BYTES do, of parts of samples alone, are unpacked again for every MOST_BYTES of rows."""
    kept, n = [], 0
    for rows in _bands(stored, size, stop, first):
        place = 0
        while place < len(rows):
            piece = rows[place : place + size - n]
            kept.append(piece)
            place, n = place + len(piece), n + len(piece)
            if n == size:
                yield np.concatenate(kept)
                kept, n = [], 0
        kept = [each.copy() for each in kept]
        del rows, piece  # before the next are read
    if kept:
        yield np.concatenate(kept)


def _bands(stored, size, stop, first):
    """Yield rows in bands of whole chunks, of `size` rows or more."""
    if first >= stop:
        return
    in_chunk = stored.chunk_rows
    band = in_chunk * -(-size // in_chunk)
    row_bytes = stored.n_bytes // stored.shape[0] or 1
    band = min(band, max(size, MOST_BYTES // row_bytes, stored.chunk_bytes // row_bytes))
    while first < stop:
        end = min(first - first % band + band, stop)
        yield stored.rows(slice(first, end))
        first = end
