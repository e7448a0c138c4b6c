"""Counts of events, levels and set bits, from words."""

import numpy as np
from numba import njit

from eventsim.kernels.addressing import n_planes_of, plane_size, slot_of, words_of
from eventsim.kernels.arguments import ONE
from eventsim.kernels.compiling import compiled
from eventsim.kernels.vectors import (
    bit_count, load_one, next_index, select, splat, store, store_one, trailing_zeros, zeros,
)


@compiled
def count_words(planes, fan_out, counts, slots, apart):
    """Popcounts of the planes. fan_out: int64 [position, word], fan-out of the word's position.
    Adds to counts int64 [sample * apart, 5]: events, set bits, sum of |level|, and events and set bits times
    fan-out."""
    bits, n_planes, size = slots.bits, n_planes_of(slots), plane_size(slots)
    for s in range(slots.samples * slots.steps):
        o = slot_of(slots, s) * n_planes * size
        n = s // slots.steps
        levels = 0
        set_bits = 0
        fanned_bits = 0
        for b in range(n_planes):
            plane_bits = 0
            for i in range(size):
                ones = bit_count(load_one(planes, o + b * size + i))
                plane_bits += ones
                fanned_bits += ones * load_one(fan_out, i)
            set_bits += plane_bits
            levels += plane_bits << (b % bits)
        events = set_bits
        fanned_events = fanned_bits
        if n_planes > 1:
            events = 0
            fanned_events = 0
            for i in range(size):
                occupied = np.uint64(0)
                for b in range(n_planes):
                    occupied |= load_one(planes, o + b * size + i)
                ones = bit_count(occupied)
                events += ones
                fanned_events += ones * load_one(fan_out, i)
        _add(counts, n * apart, events)
        _add(counts, n * apart + 1, set_bits)
        _add(counts, n * apart + 2, levels)
        _add(counts, n * apart + 3, fanned_events)
        _add(counts, n * apart + 4, fanned_bits)


@compiled
def sum_counts(counted, constants, terms, counts, sizes):
    """What was counted, as counts: constants and, for each term, what one of it adds. Writes counts int64
    [sample, count], and sets counted int64 [sample, counted] to 0 for the next block.

    terms: int64 [term, 3]: number of what was counted, of the count that it adds to, and by how much.
    """
    for sample in range(sizes.samples):
        first, of = sample * sizes.counts, sample * sizes.counted
        for i in range(sizes.counts):
            store_one(counts, first + i, load_one(constants, i))
        for k in range(0, 3 * sizes.terms, 3):
            found = load_one(counted, of + load_one(terms, k))
            _add(counts, first + load_one(terms, k + 1), found * load_one(terms, k + 2))
        for i in range(sizes.counted):
            store_one(counted, of + i, 0)


@njit(inline="always")
def _add(counts, o, number):
    store_one(counts, o, load_one(counts, o) + number)


@compiled
def count_nonzero(planes, classes, bytes_, counts, slots, apart):
    """Synapses that are not 0 of all events. Adds 0 or 1 to 64 bytes at a time, and those, weighed, to counts
    before they overflow. Writes bytes_ int8 [64] (scratch) and counts int64 [sample * apart]."""
    n_planes, positions, words = n_planes_of(slots), slots.height * slots.width, words_of(slots)
    one = splat(1, zeros(bytes_, planes))
    none = zeros(bytes_, planes)
    for sample in range(slots.samples):
        for k in range(classes.number):
            for w in range(words):
                fan_out = (k * words + w) * 64
                sums = none
                n = 0
                for t in range(slots.steps):
                    slot = (sample * slots.per_sample + slots.first + t) * n_planes
                    for m in range(load_one(classes.bounds, k), load_one(classes.bounds, k + 1)):
                        p = np.int64(load_one(classes.members, m))
                        word = np.uint64(0)
                        b = 0
                        while b < n_planes:  # one by one: LLVM would gather them into a vector
                            word |= load_one(planes, ((slot + b) * positions + p) * words + w)
                            b = next_index(b)
                        sums = sums + select(word, one, none)
                        n += 1
                        if n == 127:
                            store(bytes_, 0, sums)
                            _add(counts, sample * apart, _weighed(bytes_, classes.nonzero, fan_out))
                            sums = none
                            n = 0
                store(bytes_, 0, sums)
                _add(counts, sample * apart, _weighed(bytes_, classes.nonzero, fan_out))


@njit(inline="always")
def _weighed(bytes_, nonzero, fan_out):
    """The sum of 64 counts times their fan-outs."""
    total = 0
    for i in range(64):
        total += np.int64(load_one(bytes_, i)) * load_one(nonzero, fan_out + i)
    return total


@compiled
def channel_levels(planes, totals, slots, stride_y, stride_x):
    """Sum of the levels of each channel over every stride-th position. Writes totals int64
    [sample, step, channel] (zeroed before)."""
    bits, height, width, channels = slots.bits, slots.height, slots.width, slots.channels
    words, n_planes = words_of(slots), n_planes_of(slots)
    for s in range(slots.samples * slots.steps):
        slot = slot_of(slots, s) * n_planes
        for b in range(n_planes):
            level = 1 << (b % bits)
            if b >= bits:
                level = -level
            for y in range(0, height, stride_y):
                for x in range(0, width, stride_x):
                    for w in range(words):
                        i = ((slot + b) * height * width + y * width + x) * words + w
                        word = load_one(planes, i)
                        while word:
                            c = w * 64 + trailing_zeros(word)
                            word &= word - ONE
                            o = s * channels + c
                            store_one(totals, o, load_one(totals, o) + level)
