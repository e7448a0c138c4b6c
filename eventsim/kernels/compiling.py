"""How kernels are compiled, and the folder that keeps them, named by the contents of this package."""

import contextlib
import fcntl
import hashlib
import os
import tempfile
import time
import warnings
from pathlib import Path

from numba import config, njit
from numba.core import event
from numba.core.caching import FunctionCache

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


class Compiled(event.Listener):
    """Kernels that are compiled, not loaded, while it listens: how many were, and in how many seconds.

    tell: called before and after each with how many are done and how many will be, as far as that is known.
    pending: how many are still to be compiled or loaded.
    """

    def __init__(self, tell):
        self.compiled, self.seconds, self.pending = 0, 0.0, 0
        self._tell, self._depth, self._began = tell, 0, 0.0

    def on_start(self, event):
        """A function begins to be compiled, maybe within another."""
        if self._depth == 0:
            self._began = time.perf_counter()
            self._tell(self.compiled, self.compiled + max(self.pending, 1))
        self._depth += 1

    def on_end(self, event):
        """It is compiled."""
        self._depth -= 1
        if self._depth == 0:
            self.compiled += 1
            self.seconds += time.perf_counter() - self._began
            self._tell(self.compiled, self.compiled + max(self.pending - 1, 0))


WATCHING = []  # every Compiled of `watched`


@contextlib.contextmanager
def watched(tell):
    """Call tell(done, total) before and after each kernel that is compiled, not loaded, while the body runs; gives
    what is known of it, a `Compiled`. total: all that are known to be needed by then."""
    found = Compiled(tell)
    WATCHING.append(found)
    event.register("numba:compile", found)
    try:
        yield found
    finally:
        event.unregister("numba:compile", found)
        WATCHING.remove(found)


def expect(n) -> None:
    """Say how many kernels are about to be compiled or loaded."""
    for found in WATCHING:
        found.pending = n


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
