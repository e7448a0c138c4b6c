"""The modes of this thread's processor, set through the C library, as other libraries set them."""

import ctypes
import platform
import sys
from contextlib import contextmanager

import pytest

KNOWN = sys.platform == "linux" and platform.machine() == "x86_64"
LIBRARY = ctypes.CDLL("libm.so.6") if KNOWN else None
ROUNDING = {"up": 0x4000, "down": 0x2000, "to zero": 0x6000}  # of MXCSR, and what flushes denormal numbers there
DENORMALS = {"results": 0x8000, "operands": 0x0040}


@contextmanager
def mode(bits):
    """Set bits of MXCSR, the last four bytes of what fegetenv gives, and restore it afterwards."""
    if not KNOWN:
        pytest.skip("sets the modes of x86-64 processors under Linux")
    before = ctypes.create_string_buffer(32)
    LIBRARY.fegetenv(before)
    control = int.from_bytes(before.raw[28:], "little") | bits
    try:
        LIBRARY.fesetenv(ctypes.create_string_buffer(before.raw[:28] + control.to_bytes(4, "little"), 32))
        yield
    finally:
        LIBRARY.fesetenv(before)
