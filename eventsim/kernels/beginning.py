"""Beginning: one call checks and writes all that plans need before they run on samples that are like some
before."""

from eventsim.kernels.compiling import compiled
from eventsim.kernels.pointers import address_of
from eventsim.kernels.vectors import eight_zeros, load, load_one, same_bits, store_one


@compiled
def begin(levels, highest, probe, addresses, offsets, piece):
    """Return whether all levels are from 0 to `highest` and this thread's processor adds as `probe` expects.
    Writes addresses.

    levels: uint8 or int32 [level]. highest: all bits of a level, 1; -1 where levels were checked before. probe:
    float32 or float64 [3 * 8]: eight numbers, what is added to them, and the sums, which are compared to the
        bit.
    addresses, offsets: int64 [array]: where each array begins that the plans are given, and how far from `piece`,
    the
        address of the memory that they are cut from; an offset below 0 is that of the levels.
    """
    bits = 0  # those of any level; of one below 0, its sign, too
    for i in range(levels.size):
        bits |= load_one(levels, i)
    none = eight_zeros(probe)
    sums = load(probe, 0, none) + load(probe, 8, none)
    for i in range(addresses.size):
        offset = load_one(offsets, i)
        store_one(addresses, i, address_of(levels) if offset < 0 else piece + offset)
    return (highest < 0 or 0 <= bits <= highest) and same_bits(sums, load(probe, 16, none))
