"""Plans: the kernels that run a block of samples, each bound once to what it reads and writes.

Where functions are compiled, a plan runs block after block in one compiled loop, `kernels.calling.drive`, so that
what a block leaves stays in the caches and Python costs the same for any number of samples. Where they are not
(NUMBA_DISABLE_JIT), it calls them one by one.
"""

import time
from operator import index
from typing import Callable, Dict, List, NamedTuple, Tuple

import numpy as np

from eventsim.engine.memory import PlanMemory
from eventsim.engine.timing import Clock
from eventsim.kernels import calling
from eventsim.kernels.arguments import CALL, WORDS_PASSED


class KernelCall(NamedTuple):
    """A kernel and what it is given: arrays, integers, and tuples of them."""

    kernel: Callable
    arguments: tuple


class Step(NamedTuple):
    """Kernels that are called one after another: once, where there are no tiles, else again for each tile,
    sample and row, which they take as their last three arguments."""

    calls: Tuple[KernelCall, ...]
    tiles: int = 0
    samples: int = 0
    rows: int = 0


class Tape:
    """What a block of samples runs, in order.

    stage: whose steps are put on the tape from now on; stages: of each step.
    """

    def __init__(self):
        self.steps: List[Step] = []
        self.stages: List[str] = []
        self.stage = ""

    def _put(self, step):
        self.steps.append(step)
        self.stages.append(self.stage)

    def call(self, kernel, *arguments) -> None:
        """Put a kernel on the tape that is called once."""
        self._put(Step((KernelCall(kernel, arguments),)))

    def rows(self, geometry, samples, *calls: KernelCall) -> None:
        """Put kernels on the tape that are called for each tile, sample and row of a path's output."""
        self._put(Step(calls, geometry.tiles, samples, geometry.out_height))


class Plan:
    """A tape, bound. memory: what its kernels write. block: samples of a block.

    `kept`: name -> (shape of a sample, dtype, whether it may hold anything before) of the arrays that `run` takes,
    in the order of their names.
    """

    def __init__(self, tape: Tape, memory: PlanMemory, block: int):
        self.memory, self.block, self._steps, self._stages = memory, block, tape.steps, tape.stages
        kept = dict(sorted(memory.kept.items()))  # `run` takes addresses by their places, whichever plan it is
        self.kept = {name: (array.shape[1:], array.dtype, name in memory.filled) for name, array in kept.items()}
        self._code = _Code(tape.steps, tape.stages, kept, block) if calling.COMPILES else None

    def run(self, arrays: Dict[tuple, np.ndarray], addresses: np.ndarray, first: int, n_blocks: int,
            clock: Clock) -> None:
        """Run blocks of samples. arrays: those of `kept`, C-contiguous, one row for each sample. addresses: int64,
        where they begin. first: the first sample. clock: times it; a detailed one has each step called from
        Python, which takes a microsecond."""
        if self._code is not None:
            self._code.run(addresses, first, n_blocks, clock)
            return
        for block in range(n_blocks):
            rows = slice(first + block * self.block, first + (block + 1) * self.block)
            for name, array in self.memory.kept.items():
                array[:] = arrays[name][rows]
            for step, stage in zip(self._steps, self._stages):
                began = time.perf_counter()
                _run_in_python(step)
                if clock.detailed:
                    clock.add(stage, _name(step), began, time.perf_counter())
            for name, array in self.memory.kept.items():
                arrays[name][rows] = array


def _run_in_python(step):
    if not step.tiles:
        for kernel, arguments in step.calls:
            kernel(*arguments)
    else:
        for tile in range(step.tiles):
            for sample in range(step.samples):
                for row in range(step.rows):
                    for kernel, arguments in step.calls:
                        kernel(*arguments, sample, tile, row)


class _Flat(NamedTuple):
    """An argument as words. places: (word, number of the kept array that it points into, offset in bytes). types:
    what decides for which types a kernel is compiled."""

    words: List[int]
    places: List[Tuple[int, int, int]]
    types: object


class _Code:
    """Steps as `calling.drive` takes them. kept: name -> array of a block of samples that kernels are bound to."""

    def __init__(self, steps, stages, kept, block):
        self._bounds = [(array.ctypes.data, array.nbytes) for array in kept.values()]
        self._places = []  # (word, kept array's number, offset in bytes)
        self._words, self._calls = [0, 0, 0], []  # the first three: the place of what is called once
        self._called = []  # (kernel, arguments, what decides their types) of each call
        self._flattened = {}
        self._names_of_steps = list(zip(stages, map(_name, steps)))
        self._single = [self._instruction(step) for step in steps]
        # more words may be passed than there are: what stands behind the last ones is read, too
        self._words = np.array(self._words + [0] * WORDS_PASSED[-1], np.int64)
        self._calls = np.array(self._calls, np.int64)
        self._calls[::CALL] = calling.addresses_of(self._called)
        self._pointers = np.array(self._places, np.int64).reshape(-1)
        self._sizes = np.array([n_bytes for _, n_bytes in self._bounds], np.int64)
        self._of_sample = self._sizes // block
        self._all = np.concatenate(self._single)
        del self._flattened, self._called

    def _instruction(self, step):
        first = len(self._calls) // CALL
        for kernel, arguments in step.calls:
            arguments += (0, 0, 0) if step.tiles else ()
            given = self._flat(arguments)
            begin = len(self._words)
            self._places += [(begin + word, number, offset) for word, number, offset in given.places]
            self._words += given.words
            passed = next(number for number in WORDS_PASSED if number >= len(given.words))
            self._called.append((kernel, arguments, given.types))
            self._calls += [0, begin, passed, len(self._words) - 3 if step.tiles else 0]
        times = (step.tiles, step.samples, step.rows) if step.tiles else (1, 1, 1)
        return np.array((first, len(self._calls) // CALL, *times), np.int64)

    def _flat(self, value) -> "_Flat":
        """Return a value as a kernel's words. A tuple that comes again, such as a layer's parameters, is done
        once."""
        if isinstance(value, np.ndarray):
            address = value.__array_interface__["data"][0]
            places = [(0, number, address - begin) for number, (begin, n_bytes) in enumerate(self._bounds)
                      if begin <= address < begin + n_bytes]
            return _Flat([address], places, value.dtype.char)
        if not isinstance(value, tuple):
            return _Flat([index(value)], [], None)
        if id(value) not in self._flattened:
            words, places, types = [], [], [type(value)]
            for member in value:
                if type(member) is int:  # most of them are
                    words.append(member)
                    types.append(None)
                    continue
                member = self._flat(member)
                places += [(len(words) + word, number, offset) for word, number, offset in member.places]
                words += member.words
                types.append(member.types)
            self._flattened[id(value)] = value, _Flat(words, places, tuple(types))  # kept, so is its id
        return self._flattened[id(value)][1]

    def run(self, addresses, first, n_blocks, clock):
        if first:
            addresses = addresses + first * self._of_sample
        if not clock.detailed:
            began = time.perf_counter()
            self._drive(self._all, addresses, n_blocks)
            clock.timing.compiled += time.perf_counter() - began
            return
        for block in range(n_blocks):
            addresses = addresses + self._sizes if block else addresses
            self._run_timed(addresses, clock)

    def _drive(self, instructions, addresses, n_blocks):
        calling.drive(instructions, self._calls, self._words, self._pointers, addresses, self._sizes, n_blocks)

    def _run_timed(self, addresses, clock):
        for (stage, name), instruction in zip(self._names_of_steps, self._single):
            began = time.perf_counter()
            self._drive(instruction, addresses, 1)
            clock.add(stage, name, began, time.perf_counter())


def _name(step):
    return "+".join(call.kernel.__name__ for call in step.calls)
