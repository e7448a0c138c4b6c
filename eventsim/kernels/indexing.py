"""Indexing: levels become planes, and planes become sorted events."""

import numpy as np

from eventsim.kernels.addressing import are_zero, n_planes_of, plane_size, slot_of, words_of
from eventsim.kernels.arguments import ONE
from eventsim.kernels.compiling import compiled, inlined
from eventsim.kernels.vectors import (
    at_least, below, bit_count, load, load_one, splat, store, store_one, trailing_zeros, zeros,
)


@compiled
def pack(levels, planes, slots):
    """Pack levels int32 or uint8 [sample, step, channel, position] into planes. Writes planes, which were 0 if
    `bits` is 1 or levels are signed.

    Narrow levels are mostly 0 and are set one by one; wide ones (images) plane by plane, over all
    positions, which LLVM makes vectors of."""
    bits, signed, channels = slots.bits, slots.signed, slots.channels
    positions, words = slots.height * slots.width, words_of(slots)
    if bits == 1 and positions == 1 and not signed:
        for s in range(slots.samples * slots.steps):
            _pack_vector(levels, s * channels, planes, slot_of(slots, s) * words, channels)
        return
    if bits == 1:
        for s in range(slots.samples * slots.steps):
            plus = slot_of(slots, s) * (1 + signed) * positions * words
            for c in range(channels):
                i = (s * channels + c) * positions
                _pack_bits(levels, i, planes, plus + (c >> 6), slots, ONE << np.uint64(c & 63))
        return
    for s in range(slots.samples * slots.steps):
        slot = slot_of(slots, s) * bits * (1 + signed)
        for c in range(channels):
            i, at_bit = (s * channels + c) * positions, np.uint64(c & 63)
            for b in range(bits):
                plus = (slot + b) * positions * words + (c >> 6)
                if signed:
                    minus = plus + bits * positions * words
                    for p in range(positions):
                        level = load_one(levels, i + p)
                        o = (minus if level < 0 else plus) + p * words
                        store_one(planes, o, load_one(planes, o) | _bit_of(abs(level), b, at_bit))
                elif c & 63:
                    for p in range(positions):
                        o = plus + p * words
                        store_one(planes, o, load_one(planes, o) | _bit_of(load_one(levels, i + p), b, at_bit))
                else:  # the first of a word
                    for p in range(positions):
                        store_one(planes, plus + p * words, _bit_of(load_one(levels, i + p), b, at_bit))


@inlined
def _bit_of(level, b, at_bit):
    """Return bit b of a level that is not below 0, at the bit of its channel."""
    return np.uint64((level >> b) & 1) << at_bit


@inlined
def _pack_vector(levels, i, planes, o, channels):
    """Pack one bit of so many levels, which stand side by side, 64 at a time. Writes planes."""
    none = zeros(levels, planes)
    one = splat(1, none)
    for w in range(channels >> 6):
        store_one(planes, o + w, at_least(load(levels, i + w * 64, none), one))
    if channels & 63:
        word = np.uint64(0)
        for c in range(channels & ~63, channels):
            word |= np.uint64(load_one(levels, i + c) != 0) << np.uint64(c & 63)
        store_one(planes, o + (channels >> 6), word)


@inlined
def _pack_bits(levels, i, planes, o, slots, bit):
    """Pack a channel's map of one bit, and its sign, 64 positions at a time. Writes planes from `o` on."""
    positions, words = slots.height * slots.width, words_of(slots)
    none = zeros(levels, planes)
    one = splat(1, none)
    negative = o + positions * words
    for p in range(0, positions & ~63, 64):
        x = load(levels, i + p, none)
        _set_bits(planes, at_least(x, one), o + p * words, words, bit)
        if slots.signed:
            _set_bits(planes, below(x, none), negative + p * words, words, bit)
    for p in range(positions & ~63, positions):
        level = load_one(levels, i + p)
        if level != 0:
            to = (negative if level < 0 else o) + p * words
            store_one(planes, to, load_one(planes, to) | bit)


@inlined
def _set_bits(planes, which, o, words, bit):
    """Set a bit in the first word of those of 64 positions that have a bit in `which`. Writes planes."""
    while which:
        k = o + trailing_zeros(which) * words
        store_one(planes, k, load_one(planes, k) | bit)
        which &= which - ONE


@compiled
def index_events(planes, index, pointers, slots, by_column, table):
    """Sort the set bits of the planes as events. Writes index (with room for 8 more than there are
    events) and pointers.

    by_column: walk the map column by column instead of row by row (`slide_rows`).
    table: uint8 [256, 8], the positions of the set bits of a byte. Eight entries are written for
    each byte of a word, an empty one too, and as many kept as it has bits: few branches depend on the spikes.
    """
    height, width, channels, n_planes = slots.height, slots.width, slots.channels, n_planes_of(slots)
    like = zeros(index, table)
    eight = splat(8, like)
    words = words_of(slots)
    outer, inner = (width, height) if by_column else (height, width)
    outer_step, inner_step = (1, width) if by_column else (width, 1)
    k = 0
    pointer = 0
    for s in range(slots.samples * slots.steps):
        source = slot_of(slots, s) * n_planes
        for plane in range(n_planes):
            if are_zero(planes, (source + plane) * plane_size(slots), plane_size(slots)):
                for _ in range(height * width + 1):
                    store_one(pointers, pointer, k)
                    pointer += 1
                continue
            for a in range(outer):
                for c in range(inner):
                    store_one(pointers, pointer, k)
                    pointer += 1
                    o = ((source + plane) * height * width + a * outer_step + c * inner_step) * words
                    for w in range(words):
                        word = load_one(planes, o + w)
                        if word == 0:
                            continue
                        lowest = splat(np.int32(c * channels + w * 64), like)
                        for _ in range(min((channels - w * 64 + 7) >> 3, 8)):
                            byte = np.int64(word & np.uint64(255))
                            store(index, k, load(table, byte * 8, like) + lowest)
                            k += bit_count(np.uint64(byte))
                            lowest = lowest + eight
                            word >>= np.uint64(8)
            store_one(pointers, pointer, k)
            pointer += 1


@compiled
def index_groups(planes, index, pointers, slots, groups):
    """Sort events as `index_events` does, row by row, with a pointer for each group of channels. Writes index and
    pointers."""
    height, width, channels, n_planes = slots.height, slots.width, slots.channels, n_planes_of(slots)
    words = words_of(slots)
    per_group = channels // groups
    k = 0
    pointer = 0
    for s in range(slots.samples * slots.steps):
        source = slot_of(slots, s) * n_planes
        for plane in range(n_planes):
            for p in range(height * width):
                base = (p % width) * channels
                group = 0
                for w in range(words):
                    word = load_one(planes, ((source + plane) * height * width + p) * words + w)
                    while word:
                        c = w * 64 + trailing_zeros(word)
                        word &= word - ONE
                        while group * per_group <= c:
                            store_one(pointers, pointer + group, k)
                            group += 1
                        store_one(index, k, np.int32(base + c))
                        k += 1
                while group < groups:
                    store_one(pointers, pointer + group, k)
                    group += 1
                pointer += groups
            store_one(pointers, pointer, k)
            pointer += 1


@compiled
def index_reals(values, events, samples, per_sample, first, geometry):
    """Sort nonzero real inputs F [sample, slot, position, channel] as RealEvents: of events.steps slots of each
    sample from `first` on, of `per_sample` that it has. Writes the arrays of events."""
    height, width, channels = geometry.height, geometry.width, geometry.channels
    per_group = channels // geometry.groups
    k = 0
    o = 0
    for s in range(samples * events.steps):
        slot = (s // events.steps) * per_sample + first + s % events.steps
        for p in range(height * width):
            for c in range(channels):
                if c % per_group == 0:
                    store_one(events.pointers, o, k)
                    o += 1
                value = load_one(values, (slot * height * width + p) * channels + c)
                if value != 0:
                    store_one(events.index, k, np.int32((p % width) * channels + c))
                    store_one(events.strengths, k, value)
                    k += 1
        store_one(events.pointers, o, k)
        o += 1
