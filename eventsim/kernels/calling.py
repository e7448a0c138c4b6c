"""Calling kernels by address, one after another, from one compiled loop.

From Python a call costs microseconds, most of them for taking named tuples apart. A kernel that is called by
address finds its arguments as `words`, 64 bits each: an integer, the address of an array's first element, or,
of a tuple, the words of its members one after another.
"""

import numpy as np
from numba import config, from_dtype, types

from eventsim.kernels.ahead import Helpers
from eventsim.kernels.arguments import CALL, INSTRUCTION
from eventsim.kernels.compiling import by_address, compiled, expect
from eventsim.kernels.pointers import call_address, Pointer
from eventsim.kernels.vectors import load_one, store_one

COMPILES = not config.DISABLE_JIT


_ADDRESSES = {}  # (kernel, types_of) -> where its code begins, see `addresses_of`


def addresses_of(calls) -> list:
    """Return where the code of compiled kernels begins. calls: (kernel, arguments, types_of) of each; the
    arguments are arrays, integers and tuples of them, and types_of decides their types, so that those that were
    seen before are not looked through again. Compiles kernels, or loads them from the cache; says how many are new
    before the first.
    """
    new = {}
    for kernel, arguments, types_of in calls:
        if (kernel, types_of) not in _ADDRESSES and (kernel, types_of) not in new:
            new[kernel, types_of] = by_address(kernel), tuple(map(_type_of, arguments))
    remaining = list(new.values())
    with Helpers() as helpers:
        for key, (kernel, signature) in new.items():
            expect(len(remaining))
            del remaining[0]
            _ADDRESSES[key] = _address(kernel, signature)
            if kernel.stats.cache_misses.get(signature):  # the others are hardly kept either
                helpers.start(remaining)
    expect(0)
    return [_ADDRESSES[kernel, types_of] for kernel, _, types_of in calls]


def _address(kernel, signature):
    kernel.compile(signature)
    code = kernel.overloads[signature]
    return code.library.get_pointer_to_function(code.fndesc.llvm_func_name)


def _type_of(value):
    if isinstance(value, np.ndarray):
        return Pointer(from_dtype(value.dtype))
    if isinstance(value, tuple):
        members = tuple(map(_type_of, value))
        named = hasattr(value, "_fields")
        return types.NamedTuple(members, type(value)) if named else types.BaseTuple.from_types(members)
    return types.int64


@compiled
def drive(instructions, calls, words, pointers, addresses, sizes, n_blocks):
    """Run instructions for `n_blocks` blocks of samples, one block after another. Writes words, and what the
    kernels write.

    instructions: int64 [instruction, INSTRUCTION]: its first call, one past its last, and for how many tiles,
        samples and rows it repeats them.
    calls: int64 [call, CALL]: address, first word, number of words as passed, and the first of three words that
        say which sample, tile and row it is for: the kernel's last ones, or some that no kernel takes.
    pointers: int64 [pointer, 3]: a word, the number of the array that it points into, and the offset in bytes.
    addresses, sizes: int64 [array]: where the first block of an array begins, and bytes of a block.
    """
    for block in range(n_blocks):
        for p in range(0, pointers.size, 3):
            number = load_one(pointers, p + 1)
            begin = load_one(addresses, number) + block * load_one(sizes, number)
            store_one(words, load_one(pointers, p), begin + load_one(pointers, p + 2))
        for i in range(instructions.size // INSTRUCTION):
            first = load_one(instructions, i * INSTRUCTION)
            last = load_one(instructions, i * INSTRUCTION + 1)
            tiles = load_one(instructions, i * INSTRUCTION + 2)
            samples = load_one(instructions, i * INSTRUCTION + 3)
            rows = load_one(instructions, i * INSTRUCTION + 4)
            for tile in range(tiles):
                for sample in range(samples):
                    for row in range(rows):
                        for c in range(first, last):
                            place = load_one(calls, c * CALL + 3)
                            store_one(words, place, sample)
                            store_one(words, place + 1, tile)
                            store_one(words, place + 2, row)
                            call_address(load_one(calls, c * CALL), words, load_one(calls, c * CALL + 1),
                                         load_one(calls, c * CALL + 2))
