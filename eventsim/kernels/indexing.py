"""From levels to planes, and from planes to sorted events."""

import numpy as np

from eventsim.kernels.arguments import ONE
from eventsim.kernels.compiling import compiled
from eventsim.kernels.vectors import at, bit_count, load, put, splat, store, trailing_zeros, zeros


@compiled
def pack(levels, planes, samples, steps, held, first, bits, signed, channels, positions, words):
    """Levels int32 [sample, step, channel, position] into planes (zeroed before). Writes planes.

    Narrow levels are mostly 0 and set one by one; wide ones (images) plane by plane, over all
    positions, which LLVM makes vectors of."""
    if bits == 1:
        for s in range(samples * steps):
            slot = ((s // steps) * held + first + s % steps) * (1 + signed)
            for c in range(channels):
                bit = ONE << np.uint64(c & 63)
                for p in range(positions):
                    level = at(levels, (s * channels + c) * positions + p)
                    if level != 0:
                        o = ((slot + (level < 0)) * positions + p) * words + (c >> 6)
                        put(planes, o, at(planes, o) | bit)
        return
    for s in range(samples * steps):
        slot = ((s // steps) * held + first + s % steps) * bits * (1 + signed)
        for c in range(channels):
            at_bit = np.uint64(c & 63)
            for b in range(bits):
                plus = (slot + b) * positions * words + (c >> 6)
                minus = plus + bits * positions * words
                for p in range(positions):
                    level = at(levels, (s * channels + c) * positions + p)
                    bit = np.uint64((abs(level) >> b) & 1) << at_bit
                    o = minus + p * words if signed and level < 0 else plus + p * words
                    put(planes, o, at(planes, o) | bit)


@compiled
def index_events(
    planes, index, pointers, samples, steps, held, first, n_planes, height, width, channels,
    by_column, table
):
    """Set bits of the planes as sorted events. Writes index (with room for 8 more than there are
    events) and pointers.

    by_column: walk the map column by column instead of row by row (`slide_rows`).
    table: uint8 [256, 8], the positions of the set bits of a byte. Eight entries are written for
    each byte, an empty one too, and as many kept as it has bits: no branch depends on the spikes.
    """
    like = zeros(index, table)
    eight = splat(8, like)
    words = (channels + 63) >> 6
    outer, inner = (width, height) if by_column else (height, width)
    outer_step, inner_step = (1, width) if by_column else (width, 1)
    k = 0
    slot = 0
    for s in range(samples * steps):
        source = ((s // steps) * held + first + s % steps) * n_planes
        for plane in range(n_planes):
            for a in range(outer):
                for c in range(inner):
                    put(pointers, slot, k)
                    slot += 1
                    o = ((source + plane) * height * width + a * outer_step + c * inner_step) * words
                    for w in range(words):
                        word = at(planes, o + w)
                        lowest = splat(np.int32(c * channels + w * 64), like)
                        for _ in range(min((channels - w * 64 + 7) >> 3, 8)):
                            byte = np.int64(word & np.uint64(255))
                            store(index, k, load(table, byte * 8, like) + lowest)
                            k += bit_count(np.uint64(byte))
                            lowest = lowest + eight
                            word >>= np.uint64(8)
            put(pointers, slot, k)
            slot += 1


@compiled
def index_groups(
    planes, index, pointers, samples, steps, held, first, n_planes, height, width, channels, groups
):
    """`index_events`, row by row, with a pointer for each group of channels. Writes index and
    pointers."""
    words = (channels + 63) >> 6
    per_group = channels // groups
    k = 0
    slot = 0
    for s in range(samples * steps):
        source = ((s // steps) * held + first + s % steps) * n_planes
        for plane in range(n_planes):
            for p in range(height * width):
                base = (p % width) * channels
                group = 0
                for w in range(words):
                    word = at(planes, ((source + plane) * height * width + p) * words + w)
                    while word:
                        c = w * 64 + trailing_zeros(word)
                        word &= word - ONE
                        while group * per_group <= c:
                            put(pointers, slot + group, k)
                            group += 1
                        put(index, k, np.int32(base + c))
                        k += 1
                while group < groups:
                    put(pointers, slot + group, k)
                    group += 1
                slot += groups
            put(pointers, slot, k)
            slot += 1


@compiled
def index_reals(values, index, strengths, pointers, slots, height, width, channels, groups):
    """Nonzero real inputs F [slot, position, channel] as events. Writes index, strengths, pointers."""
    per_group = channels // groups
    k = 0
    o = 0
    for slot in range(slots):
        for p in range(height * width):
            for c in range(channels):
                if c % per_group == 0:
                    put(pointers, o, k)
                    o += 1
                value = at(values, (slot * height * width + p) * channels + c)
                if value != 0:
                    put(index, k, np.int32((p % width) * channels + c))
                    put(strengths, k, value)
                    k += 1
        put(pointers, o, k)
        o += 1
