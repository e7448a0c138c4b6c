"""One row of weighted sums of int8 weights, two of which are added as one 16-bit word."""

import numpy as np

from eventsim.kernels.addressing import columns_under, input_row, pointers_under, span_of, weight_row
from eventsim.kernels.arguments import MOST_PAIRS
from eventsim.kernels.compiling import compiled, inlined
from eventsim.kernels.gathering import clear_rows
from eventsim.kernels.vectors import (
    load_one, first_half, next_index, half_zeros, high_bytes, joined, lanes_of, load, low_sums, store, zeros,
)


@inlined
def _sum_of_pairs(words, highs, n, like):
    """Return the sums of `n` <= 256 paired rows. A word is 256 * high + (low + 128), so that the low
    bytes of `words - 256 * highs` sum to at most 255 * 256, which 16 unsigned bits hold."""
    return joined(low_sums(words, highs), highs, like) - first_half(128 * n, like)


@compiled
def pair_rows(sums, masks, events, weight, ranges, geometry, sample, tile, row):
    """`gather_rows` for int8 weights, two in one int16: a word of lane l holds the weight of
    channel l (plus 128) in its low byte and that of channel l + lanes / 2 in its high byte.
    Adding words and, apart, their high bytes takes three instructions for 64 additions, where
    widening each row takes four. Integer sums commute, so a position's sum stays in registers.
    Writes sums."""
    g = geometry
    index, pointers = events.index, events.pointers
    lanes = lanes_of(masks)
    zero = zeros(sums, masks)
    none = half_zeros(weight, masks)
    half = lanes // 2
    steps = events.steps
    per_plane = g.height * g.width * g.groups + 1
    n_planes = g.bits * (1 + g.signed)
    span = span_of(ranges, tile)
    n_runs = g.kernel_width // g.run
    for t in range(steps):
        for ox in range(g.out_width):
            x = zero
            for b in range(g.bits - 1, -1, -1):
                x = x + x
                for negative in range(1 + g.signed):
                    plane = (sample * steps + t) * n_planes + b + negative * g.bits
                    words = none
                    highs = none
                    n = 0
                    total = zero
                    for ky in range(g.kernel_height):
                        iy = input_row(g, row, ky)
                        if iy < 0 or iy >= g.height:
                            continue
                        p = plane * per_plane + iy * g.width * g.groups
                        for k_run in range(n_runs):
                            kx = k_run * g.run
                            lo, hi = columns_under(g, ox, kx)
                            if lo >= hi:
                                continue
                            base = weight_row(g, span, tile, ky, kx, ox)
                            first, last = pointers_under(g, span, p, lo, hi)
                            i = load_one(pointers, first)
                            i_end = load_one(pointers, last)
                            while i < i_end:
                                stop = min(i_end, i + MOST_PAIRS - n)
                                n += stop - i
                                for e in range(i, stop):
                                    word = load(
                                        weight, (base + np.int64(load_one(index, e))) * half, none
                                    )
                                    words = words + word
                                    highs = highs + high_bytes(word)
                                i = stop
                                if n == MOST_PAIRS:
                                    total = total + _sum_of_pairs(words, highs, n, zero)
                                    words = none
                                    highs = none
                                    n = 0
                    total = total + _sum_of_pairs(words, highs, n, zero)
                    if negative:
                        x = x - total
                    else:
                        x = x + total
            store(sums, (t * g.out_width + ox) * lanes, x)


@inlined
def _end_column(sums, words, highs, n, column, width, offset, fresh, doublings, negative, lanes, like):
    """Write finished pairs to one column of a row of sums, if it is one. fresh: over what it held;
    else added to what it held, doubled `doublings` times before."""
    if column < 0 or column >= width:
        return
    k = (offset + column) * lanes
    if fresh:
        store(sums, k, _sum_of_pairs(words, highs, n, like))
    elif n > 0 or doublings > 0:
        x = load(sums, k, like)
        for _ in range(doublings):
            x = x + x
        if negative:
            x = x - _sum_of_pairs(words, highs, n, like)
        else:
            x = x + _sum_of_pairs(words, highs, n, like)
        store(sums, k, x)


@compiled
def slide_pair_rows(sums, masks, events, weight, ranges, geometry, sample, tile, row):
    """`pair_rows` for windows three columns wide, stride 1: walks the input columns, and each
    event is added to the three output columns that it reaches. Its events are sorted by (column,
    row, channel), so that the rows under a window are one run. Writes sums."""
    g = geometry
    index, pointers = events.index, events.pointers
    lanes = lanes_of(masks)
    zero = zeros(sums, masks)
    none = half_zeros(weight, masks)
    half = lanes // 2
    steps = events.steps
    per_plane = g.height * g.width + 1
    n_planes = g.bits * (1 + g.signed)
    top = max(row - g.padding_y, 0)
    bottom = min(row - g.padding_y + g.kernel_height, g.height)
    base = (tile * g.kernel_height - (row - g.padding_y)) * g.channels
    if top >= bottom:
        clear_rows(sums, masks, steps * g.out_width)
        return
    for t in range(steps):
        offset = t * g.out_width
        for b in range(g.bits - 1, -1, -1):
            for negative in range(1 + g.signed):
                fresh = b == g.bits - 1 and not negative
                doublings = 1 if b < g.bits - 1 and not negative else 0
                touched = 0  # columns that hold sums of this plane already
                plane = (sample * steps + t) * n_planes + b + negative * g.bits
                words_0 = none
                highs_0 = none
                n_0 = 0
                words_1 = none
                highs_1 = none
                n_1 = 0
                for s in range(g.out_width + 2):
                    words_2 = none
                    highs_2 = none
                    n_2 = 0
                    column = s - g.padding_x
                    if column >= 0 and column < g.width:
                        p = plane * per_plane + column * g.height
                        i = load_one(pointers, p + top)
                        i_end = load_one(pointers, p + bottom)
                        while i < i_end:
                            stop = min(i_end, i + MOST_PAIRS - n_0)
                            n_0 += stop - i
                            n_1 += stop - i
                            n_2 += stop - i
                            while i < stop:
                                o = (base + np.int64(load_one(index, i))) * 3 * half
                                word = load(weight, o, none)
                                words_2 = words_2 + word
                                highs_2 = highs_2 + high_bytes(word)
                                word = load(weight, o + half, none)
                                words_1 = words_1 + word
                                highs_1 = highs_1 + high_bytes(word)
                                word = load(weight, o + 2 * half, none)
                                words_0 = words_0 + word
                                highs_0 = highs_0 + high_bytes(word)
                                i = next_index(i)
                            if n_0 == MOST_PAIRS:
                                new = s - 2 >= touched
                                _end_column(sums, words_0, highs_0, n_0, s - 2, g.out_width, offset,
                                            fresh and new, doublings * new, negative, lanes, zero)
                                new = s - 1 >= touched
                                _end_column(sums, words_1, highs_1, n_1, s - 1, g.out_width, offset,
                                            fresh and new, doublings * new, negative, lanes, zero)
                                new = s >= touched
                                _end_column(sums, words_2, highs_2, n_2, s, g.out_width, offset,
                                            fresh and new, doublings * new, negative, lanes, zero)
                                touched = s + 1
                                words_0 = none
                                highs_0 = none
                                n_0 = 0
                                words_1 = none
                                highs_1 = none
                                n_1 = 0
                                words_2 = none
                                highs_2 = none
                                n_2 = 0
                    new = s - 2 >= touched
                    _end_column(sums, words_0, highs_0, n_0, s - 2, g.out_width, offset,
                                fresh and new, doublings * new, negative, lanes, zero)
                    words_0 = words_1
                    highs_0 = highs_1
                    n_0 = n_1
                    words_1 = words_2
                    highs_1 = highs_2
                    n_1 = n_2
