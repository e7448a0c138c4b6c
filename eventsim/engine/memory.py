"""Memory of a plan: what its kernels write, for one block of samples, and what is wanted of every sample."""

import sys
from ctypes import addressof, c_char
from dataclasses import dataclass
from math import prod
from typing import Dict, List, Set, Tuple

import numpy as np

from eventsim.kernels.arguments import Slots

MOST_BUFFERS = 2  # of one name that are kept to be used again: of the recording at hand, and the one before
ALIGNED = 64  # bytes
LEAST_REUSED, MOST_REUSED = 128 << 10, 32 << 20  # bytes of each
BYTES = np.dtype(np.uint8)
NOTHING = {np.dtype(t): np.zeros(0, t) for t in (np.float32, np.float64, np.int32)}


def address_of_array(array) -> int:
    """Where the first element is, of an array that can be written and is not empty; NumPy's own attributes take
    four times as long."""
    return addressof(c_char.from_buffer(array))


def zeros(shape, dtype):
    """Return an array of zeros, aligned to 64 bytes."""
    n_bytes = prod(shape) * np.dtype(dtype).itemsize
    raw = np.zeros(n_bytes + 64, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + n_bytes].view(dtype).reshape(shape)


class Buffers:
    """Memory for arrays that are handed out, used again when nobody has the array, or a view of it, any more.

    New memory of a batch costs a page fault every 4 kB. Small arrays, which the C library keeps, are made anew.
    Whether memory is free is what Python's count of references says; a thread has its own buffers.
    """

    def __init__(self):
        self._made: Dict[object, List[np.ndarray]] = {}

    def take(self, name, shape, dtype, cleared=True) -> np.ndarray:
        """Return an array, C-contiguous: of zeros, or, not cleared, of anything."""
        n_bytes = prod(shape) * dtype.itemsize
        if not LEAST_REUSED <= n_bytes <= MOST_REUSED or not UNUSED:
            return np.zeros(shape, dtype) if cleared else np.empty(shape, dtype)
        array = self._large(name, shape, dtype, n_bytes)
        if cleared:
            array.fill(0)
        return array

    def _large(self, name, shape, dtype, n_bytes):
        made = self._made.setdefault(name, [])
        for raw in made:
            if raw.size == n_bytes + 64 and sys.getrefcount(raw) == UNUSED:
                return _aligned(raw, shape, dtype)
        raw = np.empty(n_bytes + 64, np.uint8)
        array = _aligned(raw, shape, dtype)
        made.append(raw)
        del made[:-MOST_BUFFERS]
        return array


def _aligned(raw, shape, dtype):
    return np.ndarray(shape, dtype, raw, -raw.__array_interface__["data"][0] % 64)


def _references_of_unused():
    """What `sys.getrefcount` says, in a loop as that of `Buffers.take`, of an array that only a list holds. 0
    where it does not count views: then no memory is used again."""
    made = [np.empty(128, np.uint8)]
    for raw in made:
        unused = sys.getrefcount(raw)
        view = _aligned(raw, (2,), np.dtype(np.float64))[:1].reshape(1, 1)
        if sys.getrefcount(raw) != unused + 1:
            return 0
        del view
        return unused if sys.getrefcount(raw) == unused else 0


UNUSED = _references_of_unused()


class Together:
    """Arrays of anything, cut from one piece of memory, which takes less time than one of its own for each. Small
    pieces, too, are used again, by the rule of `Buffers`: to find where a new one is takes longest.

    wanted: (name, shape, dtype) of each. offsets: int64, of each in the piece, in bytes.
    """

    def __init__(self, wanted):
        self._cuts, n_bytes = {}, 0
        for name, shape, dtype in wanted:
            self._cuts[name] = shape, dtype, n_bytes
            n_bytes += -(-prod(shape) * dtype.itemsize // ALIGNED) * ALIGNED
        self._n_bytes = n_bytes + ALIGNED
        self.offsets = np.array([offset for _, _, offset in self._cuts.values()], np.int64)
        self._small = []  # (piece, where it is aligned, the address there) of small pieces

    def take(self, buffers: Buffers) -> Tuple["CutArrays", int]:
        """Return the arrays by name, and the address at which their piece begins."""
        for piece, start, begin in self._small:
            if sys.getrefcount(piece) == UNUSED:
                return CutArrays(self._cuts, piece, start), begin
        piece = buffers.take("together", (self._n_bytes,), BYTES, cleared=False)
        address = address_of_array(piece)
        start = -address % ALIGNED
        if self._n_bytes < LEAST_REUSED and UNUSED:  # larger ones are in `buffers`
            self._small.append((piece, start, address + start))
            del self._small[:-MOST_BUFFERS]
        return CutArrays(self._cuts, piece, start), address + start


class CutArrays(dict):
    """Arrays by name; those of one piece of memory are made when they are first asked for: of most runs few are.

    cuts: name -> (shape, dtype, offset in bytes from `start` on).
    """

    def __init__(self, cuts, piece, start):
        super().__init__()
        self._cuts, self._piece, self._start = cuts, piece, start

    def __missing__(self, name):
        shape, dtype, offset = self._cuts[name]
        array = self[name] = np.ndarray(shape, dtype, self._piece, self._start + offset)
        return array

    def own(self, name) -> np.ndarray:
        """Return an array that keeps none of the others alive."""
        if name not in self._cuts:
            return self[name]
        shape, dtype, offset = self._cuts[name]
        return np.ndarray(shape, dtype, self._piece, self._start + offset).copy()


class PlanMemory:
    """Arrays by name. They are zero when they are made.

    A scratch array is used again for the next block. A kept one is made for a block here, so that kernels can be
    bound to it, and for all samples when a plan runs: `kept` says how.
    """

    def __init__(self):
        self._scratch: Dict[object, np.ndarray] = {}
        self._all: List[np.ndarray] = []  # what kernels are bound to has to stay
        self.n_bytes = 0  # of all arrays
        self.kept: Dict[tuple, np.ndarray] = {}
        self.filled: Set[tuple] = set()  # names of kept arrays that may hold anything before

    def take(self, name, shape, dtype) -> np.ndarray:
        """Return a scratch array, which the next `take` of the name uses again where it is large enough."""
        shape = shape if isinstance(shape, tuple) else (shape,)
        n_bytes = prod(shape) * np.dtype(dtype).itemsize
        buffer = self._scratch.get(name)
        if buffer is None or buffer.nbytes < n_bytes:
            buffer = self._scratch[name] = self._made(zeros((n_bytes,), np.uint8))
        return buffer[:n_bytes].view(dtype).reshape(shape)

    def keep(self, name, shape, dtype, filled=False) -> np.ndarray:
        """Return a kept array. shape: with the samples of a block first. name: (kind, what). filled: whether
        kernels write all of it, and read nothing of what it held before."""
        if filled:
            self.filled.add(name)
        array = self.kept[name] = self.make(shape, dtype)
        return array

    def make(self, shape, dtype) -> np.ndarray:
        """Return an array that nothing else uses."""
        return self._made(zeros(shape, dtype))

    def hold(self, array) -> np.ndarray:
        """Keep an array that kernels read alive with the others, and return it."""
        return self._made(array)

    def _made(self, array):
        self._all.append(array)
        self.n_bytes += array.nbytes
        return array


@dataclass(frozen=True)
class ChunkTrain:
    """What a stage sends during a chunk of steps.

    planes: uint64 (n, slots, planes, positions, words). first: slot of the chunk's first step, after the past
    steps that delayed readers need. still: one slot stands for all steps.
    """

    planes: np.ndarray
    first: int
    still: bool = False

    @property
    def per_sample(self):
        """The number of slots of one sample."""
        return self.planes.shape[1]

    def window(self, delay, start, steps):
        """(first slot, steps) of what a reader with a delay takes for some steps of the chunk."""
        if self.still:
            return 0, 1
        return self.first - delay + start, steps


def slots_of(stage, train, first, steps) -> Slots:
    """Return the Slots of `steps` steps of a stage's ChunkTrain, from its slot `first` on."""
    n, per_sample = train.planes.shape[:2]
    channels, height, width = stage.shape
    return Slots(n, steps, per_sample, first, stage.bits, int(stage.signed), height, width, channels)
