"""Counts of events, levels and set bits, from words."""

import numpy as np

from eventsim.kernels.addressing import n_planes_of, plane_size, slot_of, words_of
from eventsim.kernels.compiling import compiled, inlined
from eventsim.kernels.vectors import (
    and_, bit_count, bit_counts, eight_zeros, load, load_one, next_index, or_, same_bits, select, splat, store,
    store_one, sum_of, times_small, zeros,
)


@compiled
def count_words(planes, fan_out, zero_weights, counts, slots, bits, apart):
    """Count what is set in the planes. fan_out: int64 [position, word], fan-out of the word's position.
    zero_weights: uint64 [bit, position, word], of `bits` bits from the top: how many of these synapses have a
    weight of 0, one bit for each channel. Adds to counts int64 [sample * apart, 6]: events, set bits, sum of
    |level|, events and set bits times fan-out, and events times synapses with a weight of 0."""
    size = plane_size(slots)
    in_eights = size & ~7
    for sample in range(slots.samples):
        first = (sample * slots.per_sample + slots.first) * n_planes_of(slots) * size
        if in_eights:
            _count_eights(planes, fan_out, zero_weights, counts, slots, bits, first, in_eights, sample * apart)
        if in_eights < size:
            _count_one_by_one(planes, fan_out, zero_weights, counts, slots, bits, first, in_eights, sample * apart)


@inlined
def _count_eights(planes, fan_out, zero_weights, counts, slots, bits_of_zeros, first, n_words, to):
    """Do what `count_words` does, of the first words of each plane of a sample, eight at a time. first: where its
    planes begin; to: where its counts do. No map has 2^32 targets of one position."""
    size, like, n_planes = plane_size(slots), eight_zeros(fan_out), n_planes_of(slots)
    all_events, all_bits, all_levels = like, like, like
    fanned_events, fanned_bits, on_zeros = like, like, like
    for t in range(slots.steps):
        o = first + t * n_planes * size
        for i in range(0, n_words, 8):
            occupied = load(planes, o + i, like)
            plane = 1
            while plane < n_planes:
                occupied = or_(occupied, load(planes, o + i + plane * size, like))
                plane = next_index(plane)
            if same_bits(occupied, like):
                continue
            fan, events = load(fan_out, i, like), bit_counts(occupied)
            all_events, fanned_events = all_events + events, fanned_events + times_small(events, fan)
            if n_planes > 1:
                bits, levels = _count_planes(planes, o + i, slots, size, like)
                all_bits, all_levels = all_bits + bits, all_levels + levels
                fanned_bits = fanned_bits + times_small(bits, fan)
            zeros_met, b = like, 0
            while b < bits_of_zeros:
                having = and_(occupied, load(zero_weights, b * size + i, like))
                zeros_met = (zeros_met + zeros_met) + bit_counts(having)
                b = next_index(b)
            on_zeros = on_zeros + zeros_met
    if n_planes == 1:
        all_bits, all_levels, fanned_bits = all_events, all_events, fanned_events
    _add(counts, to, sum_of(all_events))
    _add(counts, to + 1, sum_of(all_bits))
    _add(counts, to + 2, sum_of(all_levels))
    _add(counts, to + 3, sum_of(fanned_events))
    _add(counts, to + 4, sum_of(fanned_bits))
    _add(counts, to + 5, sum_of(on_zeros))


@inlined
def _count_planes(planes, o, slots, size, like):
    """Return the set bits and sums of |level| of eight words of all planes. o: of the first plane's."""
    bits, levels, sign = like, like, 0
    while sign < 1 + slots.signed:
        level, b = like, slots.bits - 1
        while b >= 0:
            ones = bit_counts(load(planes, o + (sign * slots.bits + b) * size, like))
            bits, level = bits + ones, (level + level) + ones
            b -= 1
        levels = levels + level
        sign = next_index(sign)
    return bits, levels


@inlined
def _count_one_by_one(planes, fan_out, zero_weights, counts, slots, bits_of_zeros, first, begin, to):
    """Do what `count_words` does, of the words of each plane of a sample from number `begin` on."""
    size, n_planes = plane_size(slots), n_planes_of(slots)
    for i in range(begin, size):
        events = 0
        bits = 0
        levels = 0
        on_zeros = 0
        for t in range(slots.steps):
            occupied = np.uint64(0)
            b = 0
            while b < n_planes:  # few words: vectors would take LLVM longer than they save
                word = load_one(planes, first + (t * n_planes + b) * size + i)
                ones = bit_count(word)
                bits += ones
                levels += ones << (b % slots.bits)
                occupied |= word
                b = next_index(b)
            events += bit_count(occupied)
            zeros_met = 0
            b = 0
            while b < bits_of_zeros:
                having = occupied & load_one(zero_weights, b * size + i)
                zeros_met = (zeros_met + zeros_met) + bit_count(having)
                b = next_index(b)
            on_zeros += zeros_met
        fan = load_one(fan_out, i)
        _add(counts, to, events)
        _add(counts, to + 1, bits)
        _add(counts, to + 2, levels)
        _add(counts, to + 3, events * fan)
        _add(counts, to + 4, bits * fan)
        _add(counts, to + 5, on_zeros)


@compiled
def sum_counts(counted, constants, terms, counts, sizes):
    """Write counts int64 [sample, count]: constants and, for each term, its factor times what was counted. Sets
    counted int64 [sample, counted] to 0 for the next block.

    terms: int64 [term, 3]: number of what was counted, of the count that it adds to, and by how much.
    """
    for sample in range(sizes.samples):
        first, begin = sample * sizes.counts, sample * sizes.counted
        for i in range(sizes.counts):
            store_one(counts, first + i, load_one(constants, i))
        for k in range(0, 3 * sizes.terms, 3):
            number = load_one(counted, begin + load_one(terms, k))
            _add(counts, first + load_one(terms, k + 1), number * load_one(terms, k + 2))
        for i in range(sizes.counted):
            store_one(counted, begin + i, 0)


@inlined
def _add(counts, o, number):
    store_one(counts, o, load_one(counts, o) + number)


@compiled
def channel_levels(planes, totals, bytes_, slots, stride_y, stride_x):
    """Sum the levels of each channel over every stride-th position, from 64 sums of set bits at a time. Writes
    bytes_ int8 [64] (scratch) and totals int64 [sample, step, channel] (zeroed before)."""
    bits, height, width, channels = slots.bits, slots.height, slots.width, slots.channels
    words, n_planes = words_of(slots), n_planes_of(slots)
    one = splat(1, zeros(bytes_, planes))
    none = zeros(bytes_, planes)
    for s in range(slots.samples * slots.steps):
        slot = slot_of(slots, s) * n_planes
        for b in range(n_planes):
            level = 1 << (b % bits)
            if b >= bits:
                level = -level
            for w in range(words):
                o = s * channels + w * 64
                n_channels = min(channels - w * 64, 64)
                sums = none
                n = 0
                for y in range(0, height, stride_y):
                    first = ((slot + b) * height + y) * width
                    for x in range(0, width, stride_x):
                        sums = sums + select(load_one(planes, (first + x) * words + w), one, none)
                        n += 1
                        if n == 127:  # of more a byte could not hold the number
                            store(bytes_, 0, sums)
                            _add_levels(totals, o, bytes_, n_channels, level)
                            sums = none
                            n = 0
                store(bytes_, 0, sums)
                _add_levels(totals, o, bytes_, n_channels, level)


@inlined
def _add_levels(totals, o, bytes_, n, level):
    """Add n numbers of set bits, each times `level`."""
    for c in range(n):
        _add(totals, o + c, np.int64(load_one(bytes_, c)) * level)
