"""Counts, levels and intervals of each neuron's train, for statistics.

A layer of few channels has most of its words empty: `pack` of them, a power of two, are taken as one word, each
with 64 / pack bits. A neuron's index is its bit, from word to word so made.
"""

import numpy as np

from eventsim.kernels.addressing import n_planes_of, plane_size, slot_of
from eventsim.kernels.arguments import LEVEL_TABLES, ONE
from eventsim.kernels.compiling import compiled, inlined
from eventsim.kernels.vectors import (
    load_one, bit_count, next_index, load, packed, store_one, select, splat, store, trailing_zeros, widened, zeros,
)


@inlined
def _occupied(planes, o, n_planes, size):
    """Return which of a word's neurons have any plane set."""
    word = load_one(planes, o)
    b = 1
    while b < n_planes:  # one by one: LLVM would gather them into a vector
        word |= load_one(planes, o + b * size)
        b = next_index(b)
    return word


@inlined
def _packed(planes, slot, n_planes, size, pack, i):
    """Return `_occupied` of the i-th `pack` words from `slot` on, as one word."""
    if pack == 1:
        return _occupied(planes, slot + i, n_planes, size)
    first = slot + i * pack  # a vector that is narrowed, where that is an instruction or two
    if n_planes == 1 and (i + 1) * pack <= size:
        if pack == 2:
            return packed(planes, first, 2)
        if pack == 4:
            return packed(planes, first, 4)
        if pack == 64:
            return packed(planes, first, 64)
    union = np.uint64(0)
    shift = np.uint64(0)
    for k in range(i * pack, min((i + 1) * pack, size)):
        union |= _occupied(planes, slot + k, n_planes, size) << shift
        shift += np.uint64(64 // pack)
    return union


@inlined
def _gather_word(planes, words, slot, sizes, i):
    """Write the i-th `pack` words of each plane of a slot into words, and return those of any plane. sizes:
    planes, words of a plane, words taken as one."""
    n_planes, size, pack = sizes
    union = _packed(planes, slot, 1, size, pack, i)
    if n_planes == 1:
        return union
    store_one(words, 0, union)
    b = 1
    while b < n_planes:  # one by one: LLVM would gather them into a vector
        word = _packed(planes, slot + b * size, 1, size, pack, i)
        store_one(words, b, word)
        union |= word
        b = next_index(b)
    return union


@inlined
def _add_bits(bytes_, words, n_planes, o, apart):
    """Add the words of several planes to int8 [plane, neuron], from o on. apart: neurons between planes."""
    none = zeros(bytes_, words)
    one = splat(1, none)
    b = 0
    while b < n_planes:
        k = o + b * apart
        store(bytes_, k, load(bytes_, k, none) + select(load_one(words, b), one, none))
        b = next_index(b)


@compiled
def count_neurons(planes, counts, sums, slots, pack, kept, ends):
    """Count the events of each neuron and the square of a sample's events; of several planes also the set bits of
    each. Adds to those of sums, TrainSums.

    counts: int32 [sample or 1, neuron], events of a sample so far, in a row of its own where `kept`. Adds the
    chunk's, and, where these are the samples' last steps (`ends`), adds them and their squares to
    sums, and clears them. Adds 0 or 1 to 64 bytes at a time, and those to counts before they overflow."""
    events, squares, by_step, totals, words = sums.events, sums.squares, sums.by_step, sums.planes, sums.words
    bytes_, of_planes = sums.bytes, sums.plane_bytes
    steps, n_planes, size = slots.steps, n_planes_of(slots), plane_size(slots)
    n_words = (size + pack - 1) // pack
    none = zeros(bytes_, planes)
    one = splat(1, none)
    wide, exact, real = zeros(counts, planes), zeros(events, planes), zeros(squares, planes)
    sizes = (n_planes, size, pack)
    for sample in range(slots.samples):
        row = sample * kept * n_words * 64
        for start in range(0, steps, 127):
            for t in range(start, min(start + 127, steps)):
                slot = (sample * slots.per_sample + slots.first + t) * n_planes * size
                total = 0
                for i in range(n_words):
                    word = _gather_word(planes, words, slot, sizes, i)
                    total += bit_count(word)
                    store(bytes_, i * 64, load(bytes_, i * 64, none) + select(word, one, none))
                    if n_planes > 1:
                        _add_bits(of_planes, words, n_planes, i * 64, n_words * 64)
                store_one(by_step, t, load_one(by_step, t) + total)
            for i in range(n_words):
                at_counts = row + i * 64
                store(counts, at_counts, load(counts, at_counts, wide) + load(bytes_, i * 64, wide))
                store(bytes_, i * 64, none)
            if n_planes > 1:
                _settle_planes(totals, of_planes, n_planes * n_words, planes)
        if ends:
            for i in range(n_words):
                at_counts = row + i * 64
                store(events, i * 64, load(events, i * 64, exact) + load(counts, at_counts, exact))
                of_sample = load(counts, at_counts, real)
                store(squares, i * 64, load(squares, i * 64, real) + of_sample * of_sample)
                store(counts, at_counts, wide)


@inlined
def _settle_planes(totals, bytes_, n_words, masks):
    """Add the set bits of planes from 8 bits to 64."""
    none, exact = zeros(bytes_, masks), zeros(totals, masks)
    for i in range(n_words):
        store(totals, i * 64, load(totals, i * 64, exact) + load(bytes_, i * 64, exact))
        store(bytes_, i * 64, none)


@inlined
def _settle(sums, n_words, n_planes, masks):
    """Add what `count_briefly` holds in few bits to the sums."""
    events, squares, small = sums.events, sums.squares, sums.small
    brief, exact, real = zeros(small, masks), zeros(events, masks), zeros(squares, masks)
    for i in range(n_words):
        n, o = i * 64, (n_words + i) * 64
        store(events, n, load(events, n, exact) + load(small, n, exact))
        store(squares, n, load(squares, n, real) + load(small, o, real))
        store(small, n, brief)
        store(small, o, brief)
    if n_planes > 1:
        _settle_planes(sums.planes, sums.plane_bytes, n_planes * n_words, masks)


@inlined
def _count_words(planes, by_step, slot, steps, size, none):
    """Return the events of a sample's neurons in a single word of each step: planes at slot, then `size` words
    on."""
    one = splat(1, none)
    of_sample = none
    t = 0
    while t < steps:  # few: LLVM would unroll them
        word = load_one(planes, slot + t * size)
        store_one(by_step, t, load_one(by_step, t) + bit_count(word))
        of_sample = of_sample + select(word, one, none)
        t = next_index(t)
    return of_sample


@inlined
def _count_pairs(planes, by_step, slot, steps, sizes, i, low_bits, high_bits, none):
    """Count as `_count_words` does, of two planes, gathered. Returns the events of the sample, and the set bits of
    each plane so far with those of the sample."""
    _, size, pack = sizes
    one = splat(1, none)
    of_sample = none
    t = 0
    while t < steps:
        low = _packed(planes, slot + 2 * t * size, 1, size, pack, i)
        high = _packed(planes, slot + (2 * t + 1) * size, 1, size, pack, i)
        store_one(by_step, t, load_one(by_step, t) + bit_count(low | high))
        of_sample = of_sample + select(low | high, one, none)
        low_bits = low_bits + select(low, one, none)
        high_bits = high_bits + select(high, one, none)
        t = next_index(t)
    return of_sample, low_bits, high_bits


@inlined
def _count_gathered(planes, sums, slot, steps, sizes, i, none, levelled):
    """Count as `_count_words` does, of words that are gathered; count set bits of planes and small levels, too."""
    by_step, words, of_planes, (n_planes, size, pack) = sums.by_step, sums.words, sums.plane_bytes, sizes
    one, apart = splat(1, none), (size + pack - 1) // pack * 64
    of_sample = none
    t = 0
    while t < steps:
        word = _gather_word(planes, words, slot + t * n_planes * size, sizes, i)
        if word:
            store_one(by_step, t, load_one(by_step, t) + bit_count(word))
            of_sample = of_sample + select(word, one, none)
            if n_planes > 1:
                _add_bits(of_planes, words, n_planes, i * 64, apart)
        if levelled:
            _count_small_levels(sums.levels, words, n_planes)
        t = next_index(t)
    return of_sample


@compiled
def count_briefly(planes, sums, slots, pack, levelled):
    """Count as `count_neurons` does, all steps of samples that have at most 127, and, where `levelled`, neurons of
    each small level, too. Sums stay in 16 bits, for as many samples as their squares, and the bytes of planes,
    allow: `sums.n_pending` says how many are there, from this call and those before. The samples of a block are
    taken word by word, so that a word's sums stay in registers."""
    small, n_pending, bytes_ = sums.small, sums.n_pending, sums.plane_bytes
    steps, n_planes, size = slots.steps, n_planes_of(slots), plane_size(slots)
    n_words = (size + pack - 1) // pack
    brief, none = zeros(small, planes), zeros(sums.bytes, planes)
    most_samples = 32767 // (steps * steps)
    if n_planes > 1:
        most_samples = min(most_samples, 127 // steps)
    plain, sizes, apart = n_planes == 1 and pack == 1, (n_planes, size, pack), slots.per_sample * n_planes * size
    done = 0
    while done < slots.samples:
        if load_one(n_pending, 0) == most_samples:
            _settle(sums, n_words, n_planes, planes)
            store_one(n_pending, 0, 0)
        last = min(slots.samples, done + most_samples - load_one(n_pending, 0))
        store_one(n_pending, 0, load_one(n_pending, 0) + last - done)
        for i in range(n_words):
            k, o = i * 64, (n_words + i) * 64
            events, squares = load(small, k, brief), load(small, o, brief)
            low, high = none, none
            if n_planes == 2:
                low, high = load(bytes_, k, none), load(bytes_, o, none)
            slot = slots.first * n_planes * size + done * apart
            for _ in range(done, last):
                if plain:
                    of_sample = _count_words(planes, sums.by_step, slot + i, steps, size, none)
                elif n_planes == 2:
                    of_sample, low, high = _count_pairs(
                        planes, sums.by_step, slot, steps, sizes, i, low, high, none)
                else:
                    of_sample = _count_gathered(planes, sums, slot, steps, sizes, i, none, levelled)
                wide = widened(of_sample, brief)
                events, squares = events + wide, squares + wide * wide
                slot += apart
            store(small, k, events)
            store(small, o, squares)
            if n_planes == 2:
                store(bytes_, k, low)
                store(bytes_, o, high)
        done = last


@inlined
def _transposed(square):
    """Return the 8 x 8 bits of a word, row by row in its bytes, with rows and columns exchanged (H. S. Warren,
    Hacker's Delight, 7-3)."""
    t = (square ^ (square >> np.uint64(7))) & np.uint64(0x00AA00AA00AA00AA)
    square ^= t ^ (t << np.uint64(7))
    t = (square ^ (square >> np.uint64(14))) & np.uint64(0x0000CCCC0000CCCC)
    square ^= t ^ (t << np.uint64(14))
    t = (square ^ (square >> np.uint64(28))) & np.uint64(0x00000000F0F0F0F0)
    return square ^ t ^ (t << np.uint64(28))


@inlined
def _count_small_levels(counts, words, n_planes):
    """Count the neurons of each level in words of at most 8 planes, not signed, the empty bits as level 0. Adds to
    counts int64 [LEVEL_TABLES, 256]."""
    for part in range(0, 64, 8):
        square = np.uint64(0)
        for b in range(n_planes):
            square |= ((load_one(words, b) >> np.uint64(part)) & np.uint64(255)) << np.uint64(8 * b)
        if square == 0:
            store_one(counts, 0, load_one(counts, 0) + 8)
            continue
        levels = _transposed(square)
        for k in range(8):
            level = np.int64(levels & np.uint64(255)) + k % LEVEL_TABLES * 256
            store_one(counts, level, load_one(counts, level) + 1)
            levels >>= np.uint64(8)


@compiled
def count_small_levels(planes, words, counts, slots, pack):
    """Count the neurons of each level, of at most 8 planes and not signed, the empty bits of words as level 0.
    Adds to counts int64 [LEVEL_TABLES, 256]. words: uint64 [planes] (scratch)."""
    n_planes, size = n_planes_of(slots), plane_size(slots)
    n_words = (size + pack - 1) // pack
    for s in range(slots.samples * slots.steps):
        slot = slot_of(slots, s) * n_planes * size
        for i in range(n_words):
            _gather_word(planes, words, slot, (n_planes, size, pack), i)
            _count_small_levels(counts, words, n_planes)


@compiled
def count_levels(planes, counts, slots):
    """Count the events of each level but 0. Adds to counts int64 [level]: level k at k, or at k + 2^bits - 1
    where signed."""
    bits, n_planes, size = slots.bits, n_planes_of(slots), plane_size(slots)
    zero = slots.signed * ((1 << bits) - 1)
    for s in range(slots.samples * slots.steps):
        slot = slot_of(slots, s) * n_planes * size
        for i in range(size):
            word = _occupied(planes, slot + i, n_planes, size)
            while word:
                bit = np.uint64(trailing_zeros(word))
                word &= word - ONE
                level = zero
                for b in range(n_planes):
                    part = np.int64((load_one(planes, slot + b * size + i) >> bit) & ONE) << (b % bits)
                    level += part if b < bits else -part
                store_one(counts, level, load_one(counts, level) + 1)


@compiled
def note_intervals(planes, last, before, intervals, slots, step, pack):
    """Note the intervals between the events of a neuron, and how consecutive ones differ.

    last, before: int32 [sample, neuron], absolute step of the last event (-1: none yet) and the
    interval that ended with it (0: none yet); brought up to date. step: absolute step of the first.
    Adds to the arrays of `intervals`, Intervals; see statistics.trains."""
    n_planes, size = n_planes_of(slots), plane_size(slots)
    counts, sums, squares = intervals.counts, intervals.sums, intervals.squares
    variation_counts, variation_sums = intervals.variation_counts, intervals.variation_sums
    histogram = intervals.histogram
    longest = histogram.size - 1
    n_words = (size + pack - 1) // pack
    for sample in range(slots.samples):
        for t in range(slots.steps):
            slot = (sample * slots.per_sample + slots.first + t) * n_planes * size
            for i in range(n_words):
                word = _packed(planes, slot, n_planes, size, pack, i)
                while word:
                    neuron = i * 64 + trailing_zeros(word)
                    word &= word - ONE
                    own = sample * n_words * 64 + neuron
                    then = np.int64(load_one(last, own))
                    store_one(last, own, np.int32(step + t))
                    if then < 0:
                        continue
                    interval = step + t - then
                    previous = np.int64(load_one(before, own))
                    store_one(before, own, np.int32(interval))
                    store_one(counts, neuron, load_one(counts, neuron) + 1)
                    store_one(sums, neuron, load_one(sums, neuron) + interval)
                    store_one(squares, neuron, load_one(squares, neuron) + interval * interval)
                    bin_ = min(interval, longest)
                    store_one(histogram, bin_, load_one(histogram, bin_) + 1)
                    if previous:
                        ratio = np.float64(previous - interval) / np.float64(previous + interval)
                        parts = np.int64(ratio * ratio * 4294967296.0 + 0.5)
                        store_one(variation_counts, neuron, load_one(variation_counts, neuron) + 1)
                        store_one(variation_sums, neuron, load_one(variation_sums, neuron) + parts)
