"""How kernels are compiled, and the folder that keeps them, named by the contents of this package."""

import contextlib
import fcntl
import hashlib
import os
import tempfile
import warnings
from pathlib import Path

from numba import config, njit
from numba.core.caching import FunctionCache
from numba.core.compiler_lock import global_compiler_lock

# _nrt=False: kernels allocate nothing, and Numba would count references, atomically, at each call
# that it inlines: of seven arrays at each position that `fire_untraced` updates.
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
        return njit(cache=_FOLDER is not None, **OPTIONS)(function)
    finally:
        config.CACHE_DIR = before


def _keep_one_at_a_time():
    """Make processes take turns in our folder. Two that compile different signatures of one kernel at the same
    time could give both one file name: the index would name the code of one for the other, which would then run on
    arrays that it was not made for. Other users of Numba keep their own ways."""
    save = FunctionCache.save_overload

    def save_alone(cache, signature, code):
        ours = _FOLDER is not None and Path(_FOLDER) in Path(cache.cache_path).parents
        with _locked() if ours else contextlib.nullcontext():
            save(cache, signature, code)

    if save.__name__ != save_alone.__name__:  # a process that waits for itself would wait for ever
        FunctionCache.save_overload = save_alone


def _locked():
    """Alone in the folder among all processes, until what is returned is left; where files cannot be locked, not
    alone."""
    held = contextlib.ExitStack()
    with contextlib.suppress(OSError):
        file = held.enter_context(open(Path(_FOLDER) / "lock", "w"))
        fcntl.flock(file, fcntl.LOCK_EX)
    return held


_keep_one_at_a_time()
if hasattr(os, "register_at_fork"):  # a child that is forked while another thread compiles would wait for ever
    os.register_at_fork(before=global_compiler_lock.acquire, after_in_parent=global_compiler_lock.release,
                        after_in_child=global_compiler_lock.release)
