"""One row of weighted sums, looked up: the bits of a few inputs at once are the number of their sum in a table."""

import numpy as np

from eventsim.kernels.addressing import are_zero, eight_are_empty, input_row, words_of
from eventsim.kernels.arguments import ONE
from eventsim.kernels.compiling import compiled, inlined
from eventsim.kernels.gathering import clear_rows
from eventsim.kernels.vectors import (
    eight_zeros, lanes_of, load, load_one, negated, next_index, or_, same_bits, shifted, store, store_one, widened,
    zeros,
)


@compiled
def slide_table_rows(sums, masks, positions, weight, geometry, sample, tile, row):
    """`slide_rows` for integers and dense spikes: walks the input columns, and the bits of each
    `geometry.part_bits` channels are looked up in a table of sums, a sum for each of the three output columns that
    they reach. Takes the same time at any density, and needs no index. Writes positions.halves and sums."""
    g = geometry
    slots, halves = positions.slots, positions.halves
    lanes = lanes_of(masks)
    like, none = zeros(sums, masks), zeros(weight, masks)
    plane_size = g.height * g.width * words_of(slots)
    first_slot = sample * slots.per_sample + slots.first
    fresh = True
    for b in range(g.bits - 1, -1, -1):
        doubles = b < g.bits - 1
        for negative in range(1 + g.signed):
            for ky in range(g.kernel_height):
                iy = input_row(g, row, ky)
                if iy < 0 or iy >= g.height:
                    continue
                for word in range(words_of(slots)):
                    part = (tile * g.kernel_height + ky) * g.parts + word * g.word_parts
                    table = (part << g.part_bits) * 3 * lanes
                    n_parts = min(g.parts - word * g.word_parts, g.word_parts)
                    for t in range(slots.steps):
                        plane = (first_slot + t) * g.bits * (1 + g.signed) + b + negative * g.bits
                        p = plane * plane_size + iy * g.width * words_of(slots) + word
                        left, middle = none, none
                        for s in range(g.out_width + 2):
                            right, column = none, s - g.padding_x
                            if column >= 0 and column < g.width:
                                bits = load_one(positions.planes, p + column * words_of(slots))
                                left, middle, right = _add_parts(
                                    (left, middle, right), bits, n_parts, weight, table, lanes, g)
                            if s >= 2:
                                k = (t * g.out_width + s - 2) * lanes
                                _add_half(halves, k, left, fresh, doubles, negative)
                            left, middle = middle, right
                    fresh, doubles = False, False
    if fresh:
        clear_rows(sums, masks, slots.steps * g.out_width)
        return
    for k in range(slots.steps * g.out_width):
        store(sums, k * lanes, widened(load(halves, k * lanes, none), like))


@inlined
def _add_parts(three, bits, n_parts, weight, table, lanes, g):
    """Return three sums with those of the lowest parts of a word added. table: offset of the first part's."""
    left, middle, right = three
    part_bits = np.uint64(g.part_bits)
    mask = (ONE << part_bits) - ONE
    part = 0
    while part < n_parts:
        o = table + np.int64(bits & mask) * (3 * lanes)
        right = right + load(weight, o, right)
        middle = middle + load(weight, o + lanes, middle)
        left = left + load(weight, o + 2 * lanes, left)
        bits >>= part_bits
        table += (3 * lanes) << g.part_bits
        part = next_index(part)
    return left, middle, right


@inlined
def _add_half(halves, k, x, fresh, doubles, negative):
    """Write a column's sum of a word: over what `halves` hold, added to that, or to its double."""
    if fresh:
        store(halves, k, x)
        return
    before = load(halves, k, x)
    if doubles:
        before = before + before
    if negative:
        store(halves, k, before - x)
    else:
        store(halves, k, before + x)


@compiled
def window_rows(sums, masks, windows, weight, geometry, sample, tile, row):
    """`gather_rows` for windows of few neurons, such as an image's 3x3x3: the bits under `geometry.word_rows` rows
    of a window make one word, each part of which, `geometry.part_bits` bits, is looked up in a table of sums.
    Needs no index. Four windows are summed at a time, so that four chains of additions overlap. Rows come in
    order, from 0 on for each tile and sample. Writes windows.words, windows.bands, windows.highest and sums."""
    g = geometry
    slots, words, columns = windows.slots, windows.words, windows.columns
    lanes, stride = lanes_of(masks), g.stride_x
    zero = zeros(sums, masks)
    n_planes = g.bits * (1 + g.signed)
    apart = n_planes * columns
    none = zeros(weight, masks)
    table = (tile * g.parts) << g.part_bits
    last = g.out_width - 1
    for t in range(slots.steps):
        slot = (sample * slots.per_sample + slots.first + t) * n_planes * g.height * g.width
        if row == 0:
            store_one(windows.highest, t, _highest_plane(windows.planes, slot, g))
        highest = _write_bands(windows, slot, load_one(windows.highest, t), g, row)
        if highest:
            _write_windows(windows, highest, g)
        top = 0
        for first in range(0, g.out_width, 4):
            if highest and first % 8 == 0:
                top = 0 if _are_idle(words, first * stride, highest, columns, g) else highest
            # the last windows once more where fewer than four are left
            o1, o2, o3 = min(first + 1, last), min(first + 2, last), min(first + 3, last)
            x0, x1, x2, x3 = zero, zero, zero, zero
            above = top
            while above > 0:
                at_once = min(above, g.planes_at_once)
                y0, y1, y2, y3 = none, none, none, none
                k = 0
                while k < at_once:
                    o = (above - 1 - k) * columns
                    four = o + first * stride, o + o1 * stride, o + o2 * stride, o + o3 * stride
                    y0, y1, y2, y3 = _sum_of_parts(
                        (y0 + y0, y1 + y1, y2 + y2, y3 + y3), words, four, apart, weight, table, lanes, g)
                    if g.signed:  # -(-y + w) is y - w
                        o = g.bits * columns
                        four = four[0] + o, four[1] + o, four[2] + o, four[3] + o
                        y0, y1, y2, y3 = _sum_of_parts((negated(y0), negated(y1), negated(y2), negated(y3)), words,
                                                       four, apart, weight, table, lanes, g)
                        y0, y1, y2, y3 = negated(y0), negated(y1), negated(y2), negated(y3)
                    k = next_index(k)
                k = 0
                while k < at_once:
                    x0, x1, x2, x3 = x0 + x0, x1 + x1, x2 + x2, x3 + x3
                    k = next_index(k)
                x0, x1 = x0 + widened(y0, zero), x1 + widened(y1, zero)
                x2, x3 = x2 + widened(y2, zero), x3 + widened(y3, zero)
                above -= g.planes_at_once
            o = t * g.out_width
            store(sums, (o + first) * lanes, x0)
            store(sums, (o + o1) * lanes, x1)
            store(sums, (o + o2) * lanes, x2)
            store(sums, (o + o3) * lanes, x3)


@inlined
def _are_idle(words, first, highest, columns, g):
    """Return whether eight windows, and those between them, have no bit in the planes below `highest`, of any
    sign."""
    for word in range(_words_of_window(g)):
        for k in range(g.stride_x):
            for negative in range(1 + g.signed):
                plane = (word * (1 + g.signed) + negative) * g.bits
                if not eight_are_empty(words, first + 8 * k + plane * columns, highest, columns):
                    return False
    return True


@inlined
def _words_of_window(g):
    """Return the words of a window."""
    return (g.kernel_height + g.word_rows - 1) // g.word_rows


@inlined
def _sum_of_parts(four, words, offsets, apart, weight, table, lanes, g):
    """Return four sums with the weights of their windows' neurons added, part by part. offsets: of their first
    words. apart: from a window's word to its next. table: number of the first part's first sum."""
    bits = np.uint64(g.part_bits)
    mask = (ONE << bits) - ONE
    y0, y1, y2, y3 = four
    o0, o1, o2, o3 = offsets
    part = 0
    while part < g.parts:
        w0, w1, w2, w3 = load_one(words, o0), load_one(words, o1), load_one(words, o2), load_one(words, o3)
        end = min(part + g.word_parts, g.parts)
        while part < end:
            y0 = y0 + load(weight, (table + np.int64(w0 & mask)) * lanes, y0)
            y1 = y1 + load(weight, (table + np.int64(w1 & mask)) * lanes, y1)
            y2 = y2 + load(weight, (table + np.int64(w2 & mask)) * lanes, y2)
            y3 = y3 + load(weight, (table + np.int64(w3 & mask)) * lanes, y3)
            w0, w1, w2, w3 = w0 >> bits, w1 >> bits, w2 >> bits, w3 >> bits
            table += 1 << g.part_bits
            part = next_index(part)
        o0, o1, o2, o3 = o0 + apart, o1 + apart, o2 + apart, o3 + apart
    return y0, y1, y2, y3


@inlined
def _highest_plane(planes, slot, g):
    """Return one past the highest plane, of any sign, that has a bit. slot: where the planes begin."""
    size = g.height * g.width
    highest = g.bits
    while highest > 0:
        for negative in range(1 + g.signed):
            if not are_zero(planes, slot + (highest - 1 + negative * g.bits) * size, size):
                return highest
        highest -= 1
    return 0


@inlined
def _write_bands(windows, slot, top, g, row):
    """Write the bits under the kernel's rows at each column of the input into windows.bands, but not into the
    padding, which stays 0. slot: where its planes begin; from plane `top` on, of any sign, they have no bit.
    Returns one past the highest plane, of any sign, that has a bit here; the bands of those above may be those of
    other rows."""
    highest = 0
    for word in range(_words_of_window(g)):
        highest = max(highest, _write_bands_of_word(word, windows, slot, top, g, row))
    return highest


@inlined
def _write_bands_of_word(word, windows, slot, top, g, row):
    """Do what `_write_bands` does, of a word's kernel rows, by (row, channel), with room for a kernel's columns
    between rows."""
    planes, shift, apart = windows.planes, g.kernel_width * g.channels, g.width * g.dilation_y
    none = eight_zeros(planes)
    first_row = word * g.word_rows
    begin, end = first_row, min(first_row + g.word_rows, g.kernel_height)  # kernel rows that lie on the input
    while begin < end and input_row(g, row, begin) < 0:
        begin += 1
    while end > begin and input_row(g, row, end - 1) >= g.height:
        end -= 1
    highest, n_planes = 0, g.bits * (1 + g.signed)
    for plane in range(n_planes):
        if plane % g.bits >= top:
            continue
        o = (word * n_planes + plane) * windows.band + g.padding_x
        if begin == end:
            for column in range(g.width):
                store_one(windows.bands, o + column, np.uint64(0))
            continue
        bottom = slot + plane * g.height * g.width + input_row(g, row, end - 1) * g.width
        filled = none
        for first in range(0, g.width if g.width >= 8 else 0, 8):
            column = min(first, g.width - 8)  # the last eight overlap those before
            i, ky = bottom + column, begin + 1
            bits = load(planes, i, none)
            while ky < end:
                i -= apart
                bits = or_(shifted(bits, shift), load(planes, i, none))
                ky = next_index(ky)
            bits = shifted(bits, (begin - first_row) * shift)
            store(windows.bands, o + column, bits)
            filled = or_(filled, bits)
        any_bit = not same_bits(filled, none)
        for column in range(g.width if g.width < 8 else 0):
            i = bottom + column
            band = load_one(planes, i)
            for _ in range(begin + 1, end):
                i -= apart
                band = (band << np.uint64(shift)) | load_one(planes, i)
            band <<= np.uint64((begin - first_row) * shift)
            store_one(windows.bands, o + column, band)
            any_bit = any_bit or band != 0
        if any_bit:
            highest = max(highest, plane % g.bits + 1)
    return highest


@inlined
def _write_windows(windows, highest, g):
    """Write the bits under each window of an output row into windows.words, by (row, column, channel): word after
    word, each of plane after plane, of those below `highest`. They are made at every column, eight at a time, and
    read at each stride-th."""
    none = eight_zeros(windows.bands)
    for part in range(_words_of_window(g) * (1 + g.signed)):  # of words, and in each the planes of either sign
        for b in range(highest):
            plane = b + part * g.bits
            end = plane * windows.band + (g.kernel_width - 1) * g.dilation_x
            for column in range(0, windows.columns, 8):
                word, i, kx = none, end + column, 0
                while kx < g.kernel_width:
                    word = or_(shifted(word, g.channels), load(windows.bands, i, none))
                    i -= g.dilation_x
                    kx = next_index(kx)
                store(windows.words, plane * windows.columns + column, word)
