"""What statistics count of each neuron's train.

A layer of few channels has most of its words empty: `pack` of them, a power of two, are taken as one, each
with 64 / pack bits. A neuron's index is its bit, from word to word so made.
"""

import numpy as np

from eventsim.kernels.addressing import n_planes_of, plane_size, slot_of
from eventsim.kernels.arguments import ONE
from eventsim.kernels.compiling import compiled, inlined
from eventsim.kernels.vectors import (
    load_one, bit_count, next_index, load, store_one, select, splat, store, trailing_zeros, zeros,
)


@inlined
def _occupied(planes, o, n_planes, size):
    """Which of a word's neurons have any plane set."""
    word = load_one(planes, o)
    b = 1
    while b < n_planes:  # one by one: LLVM would gather them into a vector
        word |= load_one(planes, o + b * size)
        b = next_index(b)
    return word


@inlined
def _packed(planes, slot, n_planes, size, pack, i):
    """`_occupied` of the i-th `pack` words from `slot` on, together."""
    if pack == 1:
        return _occupied(planes, slot + i, n_planes, size)
    together = np.uint64(0)
    shift = np.uint64(0)
    for k in range(i * pack, min((i + 1) * pack, size)):
        together |= _occupied(planes, slot + k, n_planes, size) << shift
        shift += np.uint64(64 // pack)
    return together


@inlined
def _count_word(planes, bytes_, slot, sizes, i, o, none):
    """The i-th `pack` words of a slot, any plane set. Adds those of each plane to int8 [plane, neuron], from o on,
    where there are several. sizes: planes, words of a plane, words together, neurons between planes of bytes_."""
    n_planes, size, pack, apart = sizes
    word = _packed(planes, slot, 1, size, pack, i)
    if n_planes > 1:
        one = splat(1, none)
        store(bytes_, o, load(bytes_, o, none) + select(word, one, none))
        b = 1
        while b < n_planes:  # one by one: LLVM would gather them into a vector
            part = _packed(planes, slot + b * size, 1, size, pack, i)
            o_plane = o + b * apart
            store(bytes_, o_plane, load(bytes_, o_plane, none) + select(part, one, none))
            word |= part
            b = next_index(b)
    return word


@compiled
def count_neurons(planes, bytes_, counts, sums, totals, slots, pack, kept, ends):
    """Per neuron, events and the square of a sample's events; of several planes also the set bits of each. Adds
    the events of each step to those of `sums`, TrainSums, and set bits to totals, int64 [plane, neuron].

    counts: int32 [sample or 1, neuron], events of a sample so far, its own row where `kept`. Adds the
    chunk's, and, where these are the samples' last steps (`ends`), adds them and their squares to
    sums, and clears them. Adds 0 or 1 to 64 bytes at a time, and those to counts before they overflow:
    bytes_ int8 [1 + planes, neuron] (scratch, zeros before and after)."""
    events, squares, by_step = sums.events, sums.squares, sums.by_step
    steps, n_planes, size = slots.steps, n_planes_of(slots), plane_size(slots)
    n_words = (size + pack - 1) // pack
    none = zeros(bytes_, planes)
    one = splat(1, none)
    wide, exact, real = zeros(counts, planes), zeros(events, planes), zeros(squares, planes)
    of_planes = bytes_[n_words * 64 :]
    sizes = (n_planes, size, pack, n_words * 64)
    for sample in range(slots.samples):
        row = sample * kept * n_words * 64
        for start in range(0, steps, 127):
            for t in range(start, min(start + 127, steps)):
                slot = (sample * slots.per_sample + slots.first + t) * n_planes * size
                total = 0
                for i in range(n_words):
                    word = _count_word(planes, of_planes, slot, sizes, i, i * 64, none)
                    total += bit_count(word)
                    store(bytes_, i * 64, load(bytes_, i * 64, none) + select(word, one, none))
                store_one(by_step, t, load_one(by_step, t) + total)
            for i in range(n_words):
                at_counts = row + i * 64
                store(counts, at_counts, load(counts, at_counts, wide) + load(bytes_, i * 64, wide))
                store(bytes_, i * 64, none)
            if n_planes > 1:
                for i in range(n_planes * n_words):
                    store(totals, i * 64, load(totals, i * 64, exact) + load(of_planes, i * 64, exact))
                    store(of_planes, i * 64, none)
        if ends:
            for i in range(n_words):
                at_counts = row + i * 64
                store(events, i * 64, load(events, i * 64, exact) + load(counts, at_counts, exact))
                of_sample = load(counts, at_counts, real)
                store(squares, i * 64, load(squares, i * 64, real) + of_sample * of_sample)
                store(counts, at_counts, wide)


@compiled
def count_neurons_briefly(planes, scratch, sums, totals, slots, pack):
    """As `count_neurons`, for all steps of samples that have at most 127: sums stay in 16 bits and in
    first-level caches, some words at a time, for as many samples as their squares, and the bytes of planes, allow.
    scratch: TrainScratch, zeros before and after."""
    events, squares, by_step, small, bytes_ = sums.events, sums.squares, sums.by_step, scratch.small, scratch.bytes
    samples, steps, n_planes, size = slots.samples, slots.steps, n_planes_of(slots), plane_size(slots)
    n_words = (size + pack - 1) // pack
    brief, exact, real = zeros(small, planes), zeros(events, planes), zeros(squares, planes)
    one, none = splat(1, brief), zeros(bytes_, planes)
    at_once = 32767 // (steps * steps)
    if n_planes > 1:
        at_once = min(at_once, 127 // steps)
    some = small.size // 128
    sizes = (n_planes, size, pack, some * 64)
    for sample_0 in range(0, samples, at_once):
        for word_0 in range(0, n_words, some):
            words = min(some, n_words - word_0)
            for sample in range(sample_0, min(sample_0 + at_once, samples)):
                first = (sample * slots.per_sample + slots.first) * n_planes * size
                for i in range(words):
                    of_sample = brief
                    t = 0
                    while t < steps:  # few: LLVM would unroll them
                        slot = first + t * n_planes * size
                        word = _count_word(planes, bytes_, slot, sizes, word_0 + i, i * 64, none)
                        store_one(by_step, t, load_one(by_step, t) + bit_count(word))
                        of_sample = of_sample + select(word, one, brief)
                        t = next_index(t)
                    store(small, i * 64, load(small, i * 64, brief) + of_sample)
                    o = (some + i) * 64
                    store(small, o, load(small, o, brief) + of_sample * of_sample)
            for i in range(words):
                n, o = (word_0 + i) * 64, (some + i) * 64
                store(events, n, load(events, n, exact) + load(small, i * 64, exact))
                store(squares, n, load(squares, n, real) + load(small, o, real))
                store(small, i * 64, brief)
                store(small, o, brief)
                for b in range(n_planes if n_planes > 1 else 0):
                    o, n = (b * some + i) * 64, (b * n_words + word_0 + i) * 64
                    store(totals, n, load(totals, n, exact) + load(bytes_, o, exact))
                    store(bytes_, o, none)


@inlined
def _transposed(square):
    """The 8 x 8 bits of a word, row by row in its bytes, with rows and columns exchanged (H. S. Warren,
    Hacker's Delight, 7-3)."""
    t = (square ^ (square >> np.uint64(7))) & np.uint64(0x00AA00AA00AA00AA)
    square ^= t ^ (t << np.uint64(7))
    t = (square ^ (square >> np.uint64(14))) & np.uint64(0x0000CCCC0000CCCC)
    square ^= t ^ (t << np.uint64(14))
    t = (square ^ (square >> np.uint64(28))) & np.uint64(0x00000000F0F0F0F0)
    return square ^ t ^ (t << np.uint64(28))


@compiled
def count_small_levels(planes, words, counts, slots, pack):
    """Neurons of each level, of at most 8 planes and not signed, the empty bits of words as level 0. Adds to
    counts int64 [256]. words: uint64 [8] (scratch)."""
    n_planes, size = n_planes_of(slots), plane_size(slots)
    n_words = (size + pack - 1) // pack
    for s in range(slots.samples * slots.steps):
        slot = slot_of(slots, s) * n_planes * size
        for i in range(n_words):
            for b in range(n_planes):
                store_one(words, b, _packed(planes, slot + b * size, 1, size, pack, i))
            for part in range(0, 64, 8):
                square = np.uint64(0)
                for b in range(n_planes):
                    square |= ((load_one(words, b) >> np.uint64(part)) & np.uint64(255)) << np.uint64(8 * b)
                if square == 0:
                    store_one(counts, 0, load_one(counts, 0) + 8)
                    continue
                levels = _transposed(square)
                for _ in range(8):
                    level = np.int64(levels & np.uint64(255))
                    store_one(counts, level, load_one(counts, level) + 1)
                    levels >>= np.uint64(8)


@compiled
def count_briefly(planes, scratch, sums, plane_events, levels, slots, pack, levelled):
    """All of the above in one call: neurons and planes briefly, and, where `levelled`, small levels. scratch:
    TrainScratch."""
    count_neurons_briefly(planes, scratch, sums, plane_events, slots, pack)
    if levelled:
        count_small_levels(planes, scratch.words, levels, slots, pack)


@compiled
def count_levels(planes, counts, slots):
    """Events of each level but 0. Adds to counts int64 [level]: level k at k, or at k + 2^bits - 1
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
    """Intervals between the events of a neuron, and how consecutive ones differ.

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
