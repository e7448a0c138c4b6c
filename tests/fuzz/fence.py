"""Arrays that end at an unreadable page: reading or writing behind one is a SIGSEGV, not a wrong number.

Kernels want arrays that begin at a multiple of 64 bytes, so that up to 63 bytes lie between an array's end and the
page; they are filled, and `Fence.check` says whether anybody wrote there. A read of these bytes is not seen as
such; as floats they are NaN, as levels they are full.
"""

import ctypes
import mmap
from contextlib import contextmanager
from math import prod
from unittest import mock

import numpy as np

from eventsim.engine import memory
from eventsim.lowering import layout

PAGE = mmap.PAGESIZE
PROT_NONE = 0  # of sys/mman.h
ALIGNED = 64
FILL = 0xFF
MOST_KEPT = 4096  # arrays whose ends are looked at together
_LIBC = ctypes.CDLL(None, use_errno=True)


class Broken(AssertionError):
    """Somebody wrote between the end of an array and the page behind it."""


class Fence:
    """Makes such arrays, and keeps them until they are checked."""

    def __init__(self):
        self._made = []

    def array(self, shape, dtype) -> np.ndarray:
        """Zeros."""
        shape = shape if isinstance(shape, tuple) else (shape,)
        dtype = np.dtype(dtype)
        n_bytes = prod(shape) * dtype.itemsize
        room = -(-n_bytes // PAGE) * PAGE
        pages = np.frombuffer(mmap.mmap(-1, room + PAGE), np.uint8)
        behind = ctypes.c_void_p(pages.ctypes.data + room)
        if _LIBC.mprotect(behind, ctypes.c_size_t(PAGE), PROT_NONE):
            raise OSError(ctypes.get_errno(), "mprotect")
        start = room - -(-n_bytes // ALIGNED) * ALIGNED
        end = pages[start + n_bytes:room]
        end[:] = FILL
        if len(self._made) >= MOST_KEPT:
            self.check()
        self._made.append(end)
        return pages[start:start + n_bytes].view(dtype).reshape(shape)

    def copy(self, array, boundary=ALIGNED) -> np.ndarray:
        """A flat copy, as `layout.aligned_array` makes it."""
        flat = np.ascontiguousarray(array).reshape(-1)
        made = self.array(flat.shape, flat.dtype)
        made[:] = flat
        return made

    def check(self) -> None:
        """Raise Broken where something was written behind an array; forget those that were made."""
        ends, self._made = self._made, []
        if any((end != FILL).any() for end in ends):
            raise Broken("written behind the end of an array")


@contextmanager
def fenced():
    """All arrays that plans make, and those that lowering lays out for kernels, end at such a page; checked at the
    end."""
    fence = Fence()

    def take(self, name, shape, dtype, cleared=True):
        made = fence.array(shape, dtype)
        if not cleared:
            made.view(np.uint8).fill(FILL)  # "holds anything"
        return made

    with mock.patch.object(memory, "zeros", fence.array), mock.patch.object(memory.Buffers, "take", take), \
            mock.patch.object(layout, "aligned_array", fence.copy):
        yield fence
    fence.check()
