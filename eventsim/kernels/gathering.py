"""One row of weighted sums, by adding the weight rows of events; any element type."""

import numpy as np

from eventsim.kernels.addressing import (
    are_zero, columns_under, eight_are_empty, highest_plane, input_column, input_row, pointers_under, span_of,
    weight_row,
)
from eventsim.kernels.arguments import ONE
from eventsim.kernels.compiling import compiled, inlined
from eventsim.kernels.vectors import (
    eight_zeros, lanes_of, load, load_one, negated, next_index, or_, same_bits, select, shifted, splat, store,
    store_one, weighted, widened, zeros,
)


@compiled
def gather_rows(sums, masks, events, weight, ranges, geometry, sample, tile, row):
    """Add the weight rows of the events under each window. Any element type. Writes sums.

    Kernel row by kernel row, so that a tile's weights of one kernel row stay in the first-level
    cache, and two steps at a time, so that two chains of additions overlap.
    """
    g = geometry
    index, pointers = events.index, events.pointers
    lanes = lanes_of(masks)
    zero = zeros(sums, masks)
    steps = events.steps
    per_plane = g.height * g.width * g.groups + 1
    n_planes = g.bits * (1 + g.signed)
    per_step = n_planes * per_plane
    span = span_of(ranges, tile)
    n_runs = g.kernel_width // g.run
    fresh = True
    for b in range(g.bits - 1, -1, -1):
        doubles = b < g.bits - 1
        for negative in range(1 + g.signed):
            for ky in range(g.kernel_height):
                iy = input_row(g, row, ky)
                if iy < 0 or iy >= g.height:
                    continue
                for t in range(0, steps, 2):
                    has_second = t + 1 < steps
                    p = (sample * steps + t) * per_step + (b + negative * g.bits) * per_plane
                    p += iy * g.width * g.groups
                    for ox in range(g.out_width):
                        k = (t * g.out_width + ox) * lanes
                        x = zero
                        y = zero
                        if not fresh:
                            x = load(sums, k, zero)
                            if has_second:
                                y = load(sums, k + g.out_width * lanes, zero)
                            if doubles:
                                x = x + x
                                y = y + y
                        if negative:  # -(-x + w) is x - w
                            x = negated(x)
                            y = negated(y)
                        for k_run in range(n_runs):
                            kx = k_run * g.run
                            lo, hi = columns_under(g, ox, kx)
                            if lo >= hi:
                                continue
                            base = weight_row(g, span, tile, ky, kx, ox)
                            first, last = pointers_under(g, span, p, lo, hi)
                            i = load_one(pointers, first)
                            i_end = load_one(pointers, last)
                            j = i_end
                            j_end = i_end
                            if has_second:
                                j = load_one(pointers, first + per_step)
                                j_end = load_one(pointers, last + per_step)
                            stop = i + min(i_end - i, j_end - j)
                            while i < stop:
                                x = x + load(
                                    weight, (base + np.int64(load_one(index, i))) * lanes, zero
                                )
                                y = y + load(
                                    weight, (base + np.int64(load_one(index, j))) * lanes, zero
                                )
                                i = next_index(i)
                                j += 1
                            while i < i_end:
                                x = x + load(
                                    weight, (base + np.int64(load_one(index, i))) * lanes, zero
                                )
                                i = next_index(i)
                            while j < j_end:
                                y = y + load(
                                    weight, (base + np.int64(load_one(index, j))) * lanes, zero
                                )
                                j = next_index(j)
                        if negative:
                            x = negated(x)
                            y = negated(y)
                        store(sums, k, x)
                        if has_second:
                            store(sums, k + g.out_width * lanes, y)
                fresh = False
                doubles = False
    if fresh:
        clear_rows(sums, masks, steps * g.out_width)


@compiled
def near_rows(sums, masks, events, weight, ranges, geometry, sample, tile, row):
    """`gather_rows` for weights that stay in the first-level cache anyway: position by position,
    so that a sum stays in registers from the top plane to the last event. Writes sums."""
    g = geometry
    index, pointers = events.index, events.pointers
    lanes = lanes_of(masks)
    zero = zeros(sums, masks)
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
                    if negative:  # -(-x + w) is x - w
                        x = negated(x)
                    plane = (sample * steps + t) * n_planes + b + negative * g.bits
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
                            for e in range(i, i_end):
                                x = x + load(weight, (base + np.int64(load_one(index, e))) * lanes, zero)
                    if negative:
                        x = negated(x)
            store(sums, (t * g.out_width + ox) * lanes, x)


@compiled
def slide_rows(sums, masks, events, weight, ranges, geometry, sample, tile, row):
    """`gather_rows` for windows three columns wide, stride 1: walks the input columns, and each event is added to
    the three output columns that it reaches. Its events are sorted by (column, row, channel), so that the rows
    under a window are one run. Integers are summed in the type of the weights, which is proved to hold a plane's
    sum. Writes sums."""
    g = geometry
    index, pointers = events.index, events.pointers
    lanes = lanes_of(masks)
    like = zeros(sums, masks)
    none = zeros(weight, masks)
    per_plane = g.height * g.width + 1
    n_planes = g.bits * (1 + g.signed)
    top = max(row - g.padding_y, 0)
    bottom = min(row - g.padding_y + g.kernel_height, g.height)
    base = (tile * g.kernel_height - (row - g.padding_y)) * g.channels
    if top >= bottom:
        clear_rows(sums, masks, events.steps * g.out_width)
        return
    for t in range(events.steps):
        offset = t * g.out_width
        highest = max(highest_plane(pointers, (sample * events.steps + t) * n_planes, per_plane, g), 1)
        for b in range(highest - 1, -1, -1):
            for negative in range(1 + g.signed):
                fresh = b == highest - 1 and not negative
                plane = (sample * events.steps + t) * n_planes + b + negative * g.bits
                left = none
                middle = none
                for s in range(g.out_width + 2):
                    right = none
                    column = s - g.padding_x
                    if column >= 0 and column < g.width:
                        p = plane * per_plane + column * g.height
                        i = load_one(pointers, p + top)
                        i_end = load_one(pointers, p + bottom)
                        while i < i_end:
                            o = (base + np.int64(load_one(index, i))) * 3 * lanes
                            right = right + load(weight, o, none)
                            middle = middle + load(weight, o + lanes, none)
                            left = left + load(weight, o + 2 * lanes, none)
                            i = next_index(i)
                    if s >= 2:
                        k = (offset + s - 2) * lanes
                        if fresh:
                            store(sums, k, widened(left, like))
                        elif negative:
                            store(sums, k, load(sums, k, like) - widened(left, like))
                        else:
                            x = load(sums, k, like)
                            store(sums, k, (x + x) + widened(left, like))
                    left = middle
                    middle = right


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
    for word in range(_words_of(g)):
        for k in range(g.stride_x):
            for negative in range(1 + g.signed):
                plane = (word * (1 + g.signed) + negative) * g.bits
                if not eight_are_empty(words, first + 8 * k + plane * columns, highest, columns):
                    return False
    return True


@inlined
def _words_of(g):
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
    for word in range(_words_of(g)):
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
    for part in range(_words_of(g) * (1 + g.signed)):  # of words, and in each the planes of either sign
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


@compiled
def clear_rows(sums, masks, columns):
    """Set the sums of so many columns to 0, in vectors as wide as those of `masks`. Writes sums."""
    for k in range(columns):
        store(sums, k * lanes_of(masks), zeros(sums, masks))


@compiled
def masked_rows(sums, source, slots, weight, weight_steps, geometry, sample, tile, row):
    """Sum depthwise synapses and identity shortcuts: a tap's weights, masked by the spikes of the
    position it meets. `source`: masks of the train that is read; `slots`: where its steps stand;
    weight_steps: 0, or the number of steps where each sample and step has weights of its own. Writes
    sums."""
    g = geometry
    lanes = lanes_of(source)
    zero = zeros(sums, source)
    padded = g.tiles * lanes
    taps = g.kernel_height * g.kernel_width
    words = ((g.channels + 63) >> 6) * (64 // lanes)
    positions = g.height * g.width
    n_planes = g.bits * (1 + g.signed)
    for t in range(slots.steps):
        slot = (sample * slots.per_sample + slots.first + t) * n_planes
        varying = (sample * weight_steps + t) * taps if weight_steps else 0
        for ox in range(g.out_width):
            x = zero
            for b in range(g.bits - 1, -1, -1):
                x = x + x
                for negative in range(1 + g.signed):
                    plane = slot + b + negative * g.bits
                    for ky in range(g.kernel_height):
                        iy = input_row(g, row, ky)
                        if iy < 0 or iy >= g.height:
                            continue
                        for kx in range(g.kernel_width):
                            ix = input_column(g, ox, kx)
                            if ix < 0 or ix >= g.width:
                                continue
                            spikes = load_one(
                                source, (plane * positions + iy * g.width + ix) * words + tile
                            )
                            o = (varying + ky * g.kernel_width + kx) * padded + tile * lanes
                            tap = select(spikes, load(weight, o, zero), zero)
                            if negative:
                                x = x - tap
                            else:
                                x = x + tap
            store(sums, (t * g.out_width + ox) * lanes, x)


@compiled
def real_rows(sums, masks, events, weight, ranges, geometry, sample, tile, row):
    """Sum the synapses of real-valued input, the only ones that multiply. events: RealEvents. Writes sums."""
    g = geometry
    index, pointers = events.index, events.pointers
    lanes = lanes_of(masks)
    zero = zeros(sums, masks)
    per_step = g.height * g.width * g.groups + 1
    span = span_of(ranges, tile)
    n_runs = g.kernel_width // g.run
    for t in range(events.steps):
        for ox in range(g.out_width):
            x = zero
            for ky in range(g.kernel_height):
                iy = input_row(g, row, ky)
                if iy < 0 or iy >= g.height:
                    continue
                p = (sample * events.steps + t) * per_step + iy * g.width * g.groups
                for k_run in range(n_runs):
                    kx = k_run * g.run
                    lo, hi = columns_under(g, ox, kx)
                    if lo >= hi:
                        continue
                    base = weight_row(g, span, tile, ky, kx, ox)
                    first, last = pointers_under(g, span, p, lo, hi)
                    i = load_one(pointers, first)
                    i_end = load_one(pointers, last)
                    for e in range(i, i_end):
                        o = (base + np.int64(load_one(index, e))) * lanes
                        x = x + load(weight, o, zero) * splat(load_one(events.strengths, e), zero)
            store(sums, (t * g.out_width + ox) * lanes, x)


@compiled
def weigh_rows(sums, masks, attention, steps, geometry, sample, tile, row):
    """Multiply a row of sums by channel attention F [sample, step, padded channel] (int32: in
    256ths). Writes sums."""
    g = geometry
    lanes = lanes_of(masks)
    zero = zeros(sums, masks)
    for t in range(steps):
        factor = load(attention, ((sample * steps + t) * g.tiles + tile) * lanes, zero)
        for ox in range(g.out_width):
            k = (t * g.out_width + ox) * lanes
            store(sums, k, weighted(load(sums, k, zero), factor))
