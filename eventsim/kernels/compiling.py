"""How kernels are compiled, and the folder that keeps them, named by the contents of this package."""

import contextlib
import fcntl
import hashlib
import os
import tempfile
import warnings
from pathlib import Path

from numba import config, njit

# _nrt=False: kernels allocate nothing, and Numba would count references, atomically, at each call
# that it inlines: of seven arrays at each position that `_fire_plain` updates.
OPTIONS = dict(nogil=True, boundscheck=False, error_model="numpy", _nrt=False)


def _cache_folder():
    """Where compiled kernels are kept, or None with a warning where nothing is writable.

    Numba notices a change in the file of a function, not in the files that it uses: the folder is
    named by the names and contents of all files of this package, so that an edit never runs old code.
    EVENTSIM_CACHE_DIR, NUMBA_CACHE_DIR and XDG_CACHE_HOME are honoured, in this order.
    """
    sources = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        sources.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    given = os.environ.get("EVENTSIM_CACHE_DIR") or os.environ.get("NUMBA_CACHE_DIR")
    base = Path(given or os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser())
    folder = base / "eventsim" / sources.hexdigest()[:16]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return str(folder)
    except OSError as error:
        warnings.warn(
            f"compiled kernels cannot be kept in {folder} ({error.strerror}): every process compiles "
            "them anew; set EVENTSIM_CACHE_DIR to a folder that can be written",
            stacklevel=2,
        )
        return None


_FOLDER = _cache_folder()


def compiled(function):
    """njit with our options, cached in our folder; other users of Numba keep their own."""
    before = config.CACHE_DIR
    try:
        config.CACHE_DIR = _FOLDER or before
        kernel = njit(cache=_FOLDER is not None, **OPTIONS)(function)
    finally:
        config.CACHE_DIR = before
    if _FOLDER is not None and not config.DISABLE_JIT:
        _keep_one_at_a_time(kernel)
    return kernel


def _keep_one_at_a_time(kernel):
    """Processes that compile different signatures of one kernel at the same time could give both one file name:
    the index would then name the code of one for the other, which runs on arrays that it was not made for."""
    save = kernel._cache.save_overload

    def save_alone(signature, code):
        with _locked():
            save(signature, code)

    kernel._cache.save_overload = save_alone


@contextlib.contextmanager
def _locked():
    """Alone in the folder among all processes; where files cannot be locked, not alone."""
    with contextlib.ExitStack() as held:
        with contextlib.suppress(OSError):
            file = held.enter_context(open(Path(_FOLDER) / "lock", "w"))
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
