"""How kernels are compiled, and the folder that keeps them, named by the contents of this package.

What is kept is pickled, and unpickling runs code: so nothing is read that somebody else could have written, nor
what is not, to the bit, what was saved.
"""

import contextlib
import gc
import hashlib
import os
import pickle
import stat
import sys
import tempfile
import time
import warnings
from pathlib import Path

import llvmlite
import numba
from numba import config, njit
from numba.core import event as numba_events
from numba.core.caching import CompileResultCacheImpl, FunctionCache
from numba.core.compiler_lock import global_compiler_lock
from numba.core.serialize import dumps

# _nrt=False: kernels allocate nothing, and Numba would count references, atomically, at each call
# that it inlines: of seven arrays at each position that `fire_untraced` updates.
# The last two: nobody calls kernels from C, and Numba finds nothing to rewrite in them.
OPTIONS = dict(nogil=True, boundscheck=False, error_model="numpy", _nrt=False, no_cfunc_wrapper=True,
               no_rewrites=True)

DIGEST = hashlib.sha256
OLD = 3600  # seconds; what a process was writing before then, it is not writing any more
ANEW = "every process compiles them anew"


def _cache_folder():
    """Return where compiled kernels are kept, or None, with a warning, where nothing is writable or others can
    write.

    Numba notices a change in the file of a function, not in the files that it uses: the folder is
    named by the names and contents of all files of this package, so that an edit never runs old code.
    EVENTSIM_CACHE_DIR, NUMBA_CACHE_DIR and XDG_CACHE_HOME are honoured, in this order.
    """
    sources = DIGEST()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        sources.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    chosen = os.environ.get("EVENTSIM_CACHE_DIR") or os.environ.get("NUMBA_CACHE_DIR")
    folder = Path(chosen or os.environ.get("XDG_CACHE_HOME") or "~/.cache", "eventsim", sources.hexdigest()[:16])
    try:
        # fail where nobody knows a home, and where the current folder is gone
        folder = (folder if chosen else folder.expanduser()).absolute()
        folder.parents[1].mkdir(parents=True, exist_ok=True)
        for made in (folder.parent, folder):
            made.mkdir(mode=0o777 if _shared() else 0o700, exist_ok=True)
        for part in (folder, *folder.resolve().parents):
            _check(os.stat(part), part)
    except (OSError, RuntimeError, _Refused) as error:
        reason = getattr(error, "strerror", None) or error
        _warn(f"compiled kernels cannot be kept in {folder} ({reason}): {ANEW}; set EVENTSIM_CACHE_DIR to a "
              "folder that can be written")
        return None
    return str(folder)


class KernelsWarning(UserWarning):
    """Why compiled kernels are not kept, or not read: runs start slower, and compute the same."""


class _Refused(Exception):
    """Others could have written this."""


def _shared():
    """Return whether the user trusts all who can write the folder."""
    return os.environ.get("EVENTSIM_SHARED_CACHE", "") not in ("", "0")


def _check(status, path):
    """Raise _Refused where others than us and root own a file or folder, or can write it, as ssh does.
    status: its os.stat_result."""
    if _shared():
        return
    if status.st_uid not in (os.geteuid(), 0):
        raise _Refused(f"{path} belongs to user {status.st_uid}, not to you; EVENTSIM_SHARED_CACHE=1 trusts it")
    open_to_all = status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    sticky = stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_ISVTX  # only owners rename or remove there
    if open_to_all and not sticky:
        raise _Refused(f"others can write {path}; chmod go-w it, or EVENTSIM_SHARED_CACHE=1 trusts them")


def _warn(message):
    warnings.warn(message, KernelsWarning, stacklevel=3)


_said = set()


def _warn_once(kind, message):
    if kind not in _said:
        _said.add(kind)
        _warn(message)


_FOLDER = _cache_folder()


def base_of_kernels():
    """Return the folder that EVENTSIM_CACHE_DIR names so that other processes keep compiled kernels where this
    process does; None where none are kept."""
    return None if _FOLDER is None else Path(_FOLDER).parents[1]


class _Kept:
    """What FunctionCache keeps of one kernel, a file per signature: the digest of all that follows, and the
    pickled signature and code."""

    def __init__(self, folder, name):
        self._folder = Path(folder)
        self._name = name

    def load(self, key):
        """Return what was saved under `key`, or None: then it is compiled."""
        path = self._path(key)
        try:
            with open(path, "rb") as file:
                _check(os.fstat(file.fileno()), path)
                content = file.read()
        except FileNotFoundError:
            return None
        except (OSError, _Refused) as error:
            _warn_once("refused", f"compiled kernels are not read ({error}): they are compiled anew")
            return None
        size = DIGEST().digest_size
        if DIGEST(content[size:]).digest() == content[:size]:
            saved, data = pickle.loads(content[size:])
            return data if saved == key else None
        _warn_once("damaged", f"{path} is damaged: what is damaged there is compiled anew and replaced")
        return None

    def save(self, key, data):
        """Keep `data` under `key`; where that fails, the process goes on without."""
        content = dumps((key, data))
        temporary = None
        try:
            self._remove_old()
            descriptor, temporary = tempfile.mkstemp(".tmp", dir=self._folder)
            with open(descriptor, "wb") as file:
                file.write(DIGEST(content).digest() + content)
                if _shared():
                    os.fchmod(file.fileno(), 0o644)
            os.replace(temporary, self._path(key))
        except OSError as error:
            _warn_once("full", f"compiled kernels cannot be kept in {self._folder} ({error.strerror}): {ANEW}")
            if temporary is not None:
                with contextlib.suppress(OSError):
                    os.unlink(temporary)

    def flush(self):
        """Forget what is kept of this kernel."""
        for path in self._folder.glob(f"{self._name}.*.nbc"):
            path.unlink(missing_ok=True)

    def _path(self, key):
        versions = numba.__version__, llvmlite.__version__, sys.version
        return self._folder / f"{self._name}.{DIGEST(repr((key, versions)).encode()).hexdigest()[:16]}.nbc"

    def _remove_old(self):
        """Remove what killed processes left."""
        for path in self._folder.glob("*.tmp"):
            with contextlib.suppress(OSError):
                if path.stat().st_mtime < time.time() - OLD:
                    path.unlink()


class _Locator:
    """Says to Numba that kernels are kept in our folder, which is checked and named by the sources already."""

    def __init__(self, function):
        self._line = function.__code__.co_firstlineno
        self._py_file = function.__code__.co_filename

    @classmethod
    def from_function(cls, function, path):
        """The locator of a function."""
        return cls(function)

    def get_cache_path(self):
        """The folder."""
        return _FOLDER

    def ensure_cache_path(self):
        """Nothing to be done."""

    def get_source_stamp(self):
        """Nothing else: the folder's name says it."""

    def get_disambiguator(self):
        """What tells functions of one name apart."""
        return str(self._line)


class _Implementation(CompileResultCacheImpl):
    _locator_classes = [_Locator]


class _Cache(FunctionCache):
    """Numba's cache with our files. Two processes that compile one kernel at once write the same file, each
    whole."""

    _impl_class = _Implementation

    def __init__(self, function, what):
        super().__init__(function)
        code = function.__code__
        name = f"{Path(code.co_filename).stem}.{code.co_name}-{code.co_firstlineno}{what}"
        self._cache_file = _Kept(_FOLDER, name)


@contextlib.contextmanager
def _uncollected():
    """Without garbage collection: nearly all that compiling makes lives until its end, and looking through it
    again and again takes a seventh of the time."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def compiled(function):
    """njit with our options, cached in our folder; other users of Numba keep their own."""
    return _kept(njit(**OPTIONS)(function), "")


def _kept(dispatcher, what):
    """A dispatcher whose code is kept. what: tells those of one function apart."""
    if config.DISABLE_JIT:
        return dispatcher
    dispatcher.compile = _uncollected()(dispatcher.compile)
    if _FOLDER is not None:
        dispatcher._cache = _Cache(dispatcher.py_func, what)
    return dispatcher


_BY_ADDRESS = {}


def by_address(kernel):
    """The dispatcher of a kernel without what takes the arguments of a call from Python, which could not pass
    pointers."""
    if kernel not in _BY_ADDRESS:
        # of threads that come here at once, one gives its own to all
        _BY_ADDRESS.setdefault(kernel, _kept(_without_wrapper(kernel.py_func), "-by-address"))
    return _BY_ADDRESS[kernel]


def inlined(function):
    """njit with our options, for a part of kernels: LLVM puts it where they call it, which takes less time than
    Numba's `inline`, whose copies are analysed again in every kernel."""
    return _without_wrapper(function, forceinline=True)


def _without_wrapper(function, **options):
    dispatcher = njit(**OPTIONS, **options, no_cpython_wrapper=True)(function)
    if not config.DISABLE_JIT:
        dispatcher._compile_for_args = _refuse  # the call would end the process
    return dispatcher


def _refuse(*arguments, **keywords):
    raise TypeError("this is called by kernels, or by its address, and not from Python")


if hasattr(os, "register_at_fork"):  # a child that is forked while another thread compiles would wait for ever
    os.register_at_fork(before=global_compiler_lock.acquire, after_in_parent=global_compiler_lock.release,
                        after_in_child=global_compiler_lock.release)


class Compiled(numba_events.Listener):
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
        """A function has been compiled."""
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
    listener = Compiled(tell)
    WATCHING.append(listener)
    numba_events.register("numba:compile", listener)
    try:
        yield listener
    finally:
        numba_events.unregister("numba:compile", listener)
        WATCHING.remove(listener)


def expect(n) -> None:
    """Say how many kernels are about to be compiled or loaded."""
    for listener in WATCHING:
        listener.pending = n
