"""What statistics count of each neuron's train."""

import numpy as np
from numba import njit

from eventsim.kernels.arguments import ONE
from eventsim.kernels.compiling import compiled
from eventsim.kernels.vectors import (
    at, bit_count, following, load, put, select, splat, store, trailing_zeros, zeros,
)


@njit(inline="always")
def _occupied(planes, o, n_planes, size):
    """Which of a word's neurons have any plane set."""
    word = at(planes, o)
    b = 1
    while b < n_planes:  # one by one: LLVM would gather them into a vector
        word |= at(planes, o + b * size)
        b = following(b)
    return word


@njit(inline="always")
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


@compiled
def count_neurons(planes, bytes_, counts, events, squares, by_step, samples, steps, held, first, n_planes,
                  size, pack, kept, ends):
    """Per neuron, events and the square of a sample's events. Adds the events of each step to by_step
    int64 [step].

    counts: int32 [sample or 1, neuron], events of a sample so far, its own row where `kept`. Adds the
    chunk's, and, where these are the samples' last steps (`ends`), adds them to events int64 [neuron]
    and their squares to squares float64 [neuron] (whole numbers), and clears them. Adds 0 or 1 to 64
    bytes at a time, and those to counts before they overflow: bytes_ int8 [neuron] (scratch, zeros
    before and after)."""
    n_words = (size + pack - 1) // pack
    none = zeros(bytes_, planes)
    one = splat(1, none)
    wide, exact, real = zeros(counts, planes), zeros(events, planes), zeros(squares, planes)
    for sample in range(samples):
        row = sample * kept * n_words * 64
        for start in range(0, steps, 127):
            for t in range(start, min(start + 127, steps)):
                slot = (sample * held + first + t) * n_planes * size
                total = 0
                for i in range(n_words):
                    word = _packed(planes, slot, n_planes, size, pack, i)
                    total += bit_count(word)
                    store(bytes_, i * 64, load(bytes_, i * 64, none) + select(word, one, none))
                put(by_step, t, at(by_step, t) + total)
            for i in range(n_words):
                at_counts = row + i * 64
                store(counts, at_counts, load(counts, at_counts, wide) + load(bytes_, i * 64, wide))
                store(bytes_, i * 64, none)
        if ends:
            for i in range(n_words):
                at_counts = row + i * 64
                store(events, i * 64, load(events, i * 64, exact) + load(counts, at_counts, exact))
                found = load(counts, at_counts, real)
                store(squares, i * 64, load(squares, i * 64, real) + found * found)
                store(counts, at_counts, wide)


@compiled
def count_neurons_briefly(planes, small, events, squares, by_step, samples, steps, held, first, n_planes, size,
                          pack):
    """As `count_neurons`, for all steps of samples that have at most 127: sums stay in 16 bits and in
    first-level caches, some words at a time, for as many samples as their squares allow. small: int16
    [2, neuron of so many words] (scratch, zeros before and after)."""
    n_words = (size + pack - 1) // pack
    brief, exact, real = zeros(small, planes), zeros(events, planes), zeros(squares, planes)
    one = splat(1, brief)
    at_once = 32767 // (steps * steps)
    some = small.size // 128
    for sample_0 in range(0, samples, at_once):
        for word_0 in range(0, n_words, some):
            words = min(some, n_words - word_0)
            for sample in range(sample_0, min(sample_0 + at_once, samples)):
                slot = (sample * held + first) * n_planes * size
                for i in range(words):
                    found = brief
                    t = 0
                    while t < steps:  # few: LLVM would unroll them
                        word = _packed(planes, slot + t * n_planes * size, n_planes, size, pack, word_0 + i)
                        put(by_step, t, at(by_step, t) + bit_count(word))
                        found = found + select(word, one, brief)
                        t = following(t)
                    store(small, i * 64, load(small, i * 64, brief) + found)
                    o = (some + i) * 64
                    store(small, o, load(small, o, brief) + found * found)
            for i in range(words):
                n, o = (word_0 + i) * 64, (some + i) * 64
                store(events, n, load(events, n, exact) + load(small, i * 64, exact))
                store(squares, n, load(squares, n, real) + load(small, o, real))
                store(small, i * 64, brief)
                store(small, o, brief)


@compiled
def count_planes(planes, bytes_, totals, samples, steps, held, first, n_planes, size, pack):
    """Per plane and neuron, set bits. Adds to totals int64 [plane, neuron]; bytes_: as above."""
    n_words = (size + pack - 1) // pack
    none = zeros(bytes_, planes)
    one = splat(1, none)
    exact = zeros(totals, planes)
    slots = samples * steps
    for b in range(n_planes):
        for start in range(0, slots, 127):
            for s in range(start, min(start + 127, slots)):
                slot = (((s // steps) * held + first + s % steps) * n_planes + b) * size
                for i in range(n_words):
                    found = select(_packed(planes, slot, 1, size, pack, i), one, none)
                    store(bytes_, i * 64, load(bytes_, i * 64, none) + found)
            for i in range(n_words):
                o = (b * n_words + i) * 64
                store(totals, o, load(totals, o, exact) + load(bytes_, i * 64, exact))
                store(bytes_, i * 64, none)


@njit(inline="always")
def _turned(square):
    """The 8 x 8 bits of a word, row by row in its bytes, with rows and columns exchanged (H. S. Warren,
    Hacker's Delight, 7-3)."""
    t = (square ^ (square >> np.uint64(7))) & np.uint64(0x00AA00AA00AA00AA)
    square ^= t ^ (t << np.uint64(7))
    t = (square ^ (square >> np.uint64(14))) & np.uint64(0x0000CCCC0000CCCC)
    square ^= t ^ (t << np.uint64(14))
    t = (square ^ (square >> np.uint64(28))) & np.uint64(0x00000000F0F0F0F0)
    return square ^ t ^ (t << np.uint64(28))


@compiled
def count_small_levels(planes, words, counts, samples, steps, held, first, n_planes, size, pack):
    """Neurons of each level, of at most 8 planes and not signed, the empty bits of words as level 0. Adds to
    counts int64 [256]. words: uint64 [8] (scratch)."""
    n_words = (size + pack - 1) // pack
    for s in range(samples * steps):
        slot = ((s // steps) * held + first + s % steps) * n_planes * size
        for i in range(n_words):
            for b in range(n_planes):
                put(words, b, _packed(planes, slot + b * size, 1, size, pack, i))
            for part in range(0, 64, 8):
                square = np.uint64(0)
                for b in range(n_planes):
                    square |= ((at(words, b) >> np.uint64(part)) & np.uint64(255)) << np.uint64(8 * b)
                if square == 0:
                    put(counts, 0, at(counts, 0) + 8)
                    continue
                levels = _turned(square)
                for _ in range(8):
                    level = np.int64(levels & np.uint64(255))
                    put(counts, level, at(counts, level) + 1)
                    levels >>= np.uint64(8)


@compiled
def count_briefly(planes, small, bytes_, words, events, squares, by_step, plane_events, levels, samples, steps,
                  held, first, n_planes, size, pack, levelled):
    """All of the above in one call: neurons briefly, planes where there are several, and, where
    `levelled`, small levels."""
    count_neurons_briefly(planes, small, events, squares, by_step, samples, steps, held, first, n_planes, size,
                          pack)
    if n_planes > 1:
        count_planes(planes, bytes_, plane_events, samples, steps, held, first, n_planes, size, pack)
    if levelled:
        count_small_levels(planes, words, levels, samples, steps, held, first, n_planes, size, pack)


@compiled
def count_levels(planes, counts, samples, steps, held, first, bits, signed, size):
    """Events of each level but 0. Adds to counts int64 [level]: level k at k, or at k + 2^bits - 1
    where signed."""
    n_planes = bits * (1 + signed)
    zero = signed * ((1 << bits) - 1)
    for s in range(samples * steps):
        slot = ((s // steps) * held + first + s % steps) * n_planes * size
        for i in range(size):
            word = _occupied(planes, slot + i, n_planes, size)
            while word:
                bit = np.uint64(trailing_zeros(word))
                word &= word - ONE
                level = zero
                for b in range(n_planes):
                    found = np.int64((at(planes, slot + b * size + i) >> bit) & ONE) << (b % bits)
                    level += found if b < bits else -found
                put(counts, level, at(counts, level) + 1)


@compiled
def note_intervals(planes, last, before, counts, sums, squares, variation_counts, variation_sums, histogram,
                   samples, steps, step, held, first, n_planes, size, pack):
    """Intervals between the events of a neuron, and how consecutive ones differ.

    last, before: int32 [sample, neuron], absolute step of the last event (-1: none yet) and the
    interval that ended with it (0: none yet); brought up to date. step: absolute step of the first.
    Adds to the other arrays, int64: [neuron], but histogram [interval, the last: that and longer];
    see statistics.trains."""
    longest = histogram.size - 1
    n_words = (size + pack - 1) // pack
    for sample in range(samples):
        for t in range(steps):
            slot = (sample * held + first + t) * n_planes * size
            for i in range(n_words):
                word = _packed(planes, slot, n_planes, size, pack, i)
                while word:
                    neuron = i * 64 + trailing_zeros(word)
                    word &= word - ONE
                    own = sample * n_words * 64 + neuron
                    then = np.int64(at(last, own))
                    put(last, own, np.int32(step + t))
                    if then < 0:
                        continue
                    interval = step + t - then
                    previous = np.int64(at(before, own))
                    put(before, own, np.int32(interval))
                    put(counts, neuron, at(counts, neuron) + 1)
                    put(sums, neuron, at(sums, neuron) + interval)
                    put(squares, neuron, at(squares, neuron) + interval * interval)
                    bin_ = min(interval, longest)
                    put(histogram, bin_, at(histogram, bin_) + 1)
                    if previous:
                        ratio = np.float64(previous - interval) / np.float64(previous + interval)
                        parts = np.int64(ratio * ratio * 4294967296.0 + 0.5)
                        put(variation_counts, neuron, at(variation_counts, neuron) + 1)
                        put(variation_sums, neuron, at(variation_sums, neuron) + parts)
