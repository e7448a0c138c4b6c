"""Transforms of trains by operations on words, 64 neurons at a time: pooling, adding, joining, spreading, delaying
and flattening."""

import numpy as np

from eventsim.kernels.addressing import eight_are_empty, n_planes_of, plane_size, read_slot_of, slot_of, words_of
from eventsim.kernels.arguments import ONE
from eventsim.kernels.compiling import compiled, inlined
from eventsim.kernels.vectors import load_one, next_index, store_one, trailing_zeros


@compiled
def clear_words(words, n):
    """Set n words to 0. Writes words."""
    for i in range(n):
        store_one(words, i, np.uint64(0))


@compiled
def sum_words(planes, source, to, of, window):
    """Add the levels in each window of `source` to the levels in `planes`, 64 channels at a time, by a ripple
    adder over the planes: each word of the source that has a bit, to the windows that it lies in. Writes planes.

    to, of: Slots of the target and of the source; a source of one slot stands for every step.
    window: kernel, stride, padding, (y, x) each.
    """
    words, plane, s_plane = words_of(to), plane_size(to), plane_size(of)
    kernel_y, kernel_x, stride_y, stride_x, padding_y, padding_x = window
    row = of.width * words
    for s in range(to.samples * to.steps):
        for sign in range(1 + of.signed):
            o = (slot_of(to, s) * (1 + to.signed) + sign) * to.bits * plane
            i = (read_slot_of(of, s) * (1 + of.signed) + sign) * of.bits * s_plane
            for iy in range(of.height):
                top, bottom = _windows_over(iy, kernel_y, stride_y, padding_y, to.height)
                for first in range(0, row, 8):
                    n = min(row - first, 8)
                    if n == 8 and eight_are_empty(source, i + iy * row + first, of.bits, s_plane):
                        continue
                    for k in range(first, first + n):
                        x = i + iy * row + k
                        if not _has_bit(source, x, of.bits, s_plane):
                            continue
                        left, right = _windows_over(k // words, kernel_x, stride_x, padding_x, to.width)
                        for oy in range(top, bottom):
                            for ox in range(left, right):
                                y = o + (oy * to.width + ox) * words + k % words
                                _add_level(planes, y, plane, to.bits, source, x, s_plane, of.bits)


@inlined
def _windows_over(i, kernel, stride, padding, n):
    """Return the first window, and one past the last, of n along an axis, that has position i of the source."""
    padded = i + padding
    first = (padded - kernel) // stride + 1 if padded >= kernel else 0
    return first, min(padded // stride + 1, n)


@inlined
def _has_bit(planes, i, bits, apart):
    """Return whether a word has a bit in any plane."""
    for b in range(bits):
        if load_one(planes, i + b * apart) != 0:
            return True
    return False


@inlined
def _add_level(planes, o, plane, bits, source, i, s_plane, s_bits):
    """Add the levels of the source's word at `i` to those of the word at `o`. Writes planes."""
    carry = np.uint64(0)
    for b in range(bits):
        x = np.uint64(0)
        if b < s_bits:
            x = load_one(source, i + b * s_plane)
        elif carry == 0:
            break
        a = load_one(planes, o + b * plane)
        store_one(planes, o + b * plane, a ^ x ^ carry)
        carry = (a & x) | (carry & (a ^ x))


@compiled
def cancel_words(planes, slots):
    """Make signed levels canonical: positive minus negative planes, with bits in the planes of one sign only.
    Writes planes."""
    bits, per_plane = slots.bits, plane_size(slots)
    for s in range(slots.samples * slots.steps):
        slot = slot_of(slots, s)
        for w in range(per_plane):
            o = slot * 2 * bits * per_plane + w
            borrow = np.uint64(0)
            for b in range(bits):
                p = load_one(planes, o + b * per_plane)
                n = load_one(planes, o + (bits + b) * per_plane)
                store_one(planes, o + b * per_plane, p ^ n ^ borrow)
                borrow = (~p & n) | (~(p ^ n) & borrow)
            carry = borrow  # the channels whose difference is negative: negate it
            for b in range(bits):
                x = load_one(planes, o + b * per_plane) ^ borrow
                level = x ^ carry
                carry = x & carry
                store_one(planes, o + b * per_plane, level & ~borrow)
                store_one(planes, o + (bits + b) * per_plane, level & borrow)


@compiled
def delay_words(planes, source, mask, to, of):
    """Take the levels of the neurons in `mask` (uint64 [position, word]) from a train that is read
    later by a delay. to, of: Slots of the target and of the source. Writes planes, which were 0
    there."""
    n_planes, per_plane = n_planes_of(to), plane_size(to)
    for sample in range(to.samples):
        for t in range(to.steps):
            for plane in range(n_planes):
                o = ((sample * to.per_sample + to.first + t) * n_planes + plane) * per_plane
                i = ((sample * of.per_sample + of.first + t) * n_planes + plane) * per_plane
                for w in range(per_plane):
                    word = load_one(planes, o + w) | (load_one(source, i + w) & load_one(mask, w))
                    store_one(planes, o + w, word)


@compiled
def max_words(planes, source, to, of, window):
    """Find the largest level in each window, of levels without a sign, 64 channels at a time. From the top plane
    down, a bit is set where any level has it of those that have all bits above it which the largest has. Arguments
    as `sum_words`; target and source have the same bits. Writes planes."""
    height, width = to.height, to.width
    kernel_y, kernel_x, stride_y, stride_x, padding_y, padding_x = window
    inside = (height - 1) * stride_y + 2 <= of.height and (width - 1) * stride_x + 2 <= of.width
    four = kernel_y == 2 and kernel_x == 2 and padding_y == 0 and padding_x == 0 and inside
    for s in range(to.samples * to.steps):
        o = slot_of(to, s) * to.bits * plane_size(to)
        i = read_slot_of(of, s) * to.bits * plane_size(of)
        if four:
            _largest_of_four(planes, o, source, i, to, of, stride_y, stride_x)
        else:
            _largest_under(planes, o, source, i, to, of, window)


@inlined
def _largest_of_four(planes, o, source, i, to, of, stride_y, stride_x):
    """Find the largest levels of windows of 2x2 inside the map, of one slot: what is still among the largest stays
    in registers. Writes planes."""
    words, row = words_of(to), of.width * words_of(to)
    plane, s_plane = plane_size(to), plane_size(of)
    for oy in range(to.height):
        for ox in range(to.width):
            for w in range(words):
                x = i + (to.bits - 1) * s_plane + oy * stride_y * row + ox * stride_x * words + w
                y = o + (to.bits - 1) * plane + (oy * to.width + ox) * words + w
                a = ~np.uint64(0)
                b = a
                c = a
                d = a
                k = 0
                while k < to.bits:  # one by one: LLVM would make vectors of the planes
                    p = a & load_one(source, x)
                    q = b & load_one(source, x + words)
                    r = c & load_one(source, x + row)
                    s = d & load_one(source, x + row + words)
                    largest = p | q | r | s
                    store_one(planes, y, largest)
                    a = p | (a & ~largest)
                    b = q | (b & ~largest)
                    c = r | (c & ~largest)
                    d = s | (d & ~largest)
                    x -= s_plane
                    y -= plane
                    k = next_index(k)


@inlined
def _largest_under(planes, o, source, i, to, of, window):
    """Find the largest levels of any windows, of one slot; padding never wins. Writes planes."""
    words, plane, s_plane = words_of(to), plane_size(to), plane_size(of)
    kernel_y, kernel_x, stride_y, stride_x, padding_y, padding_x = window
    for oy in range(to.height):
        top = max(oy * stride_y - padding_y, 0)
        bottom = min(oy * stride_y - padding_y + kernel_y, of.height)
        for b in range(to.bits - 1, -1, -1):
            for ox in range(to.width):
                left = max(ox * stride_x - padding_x, 0)
                right = min(ox * stride_x - padding_x + kernel_x, of.width)
                for w in range(words):
                    y = o + (oy * to.width + ox) * words + w
                    largest = np.uint64(0)
                    for iy in range(top, bottom):
                        ix = left
                        while ix < right:
                            x = i + (iy * of.width + ix) * words + w
                            word = load_one(source, x + b * s_plane)
                            above = b + 1
                            while above < to.bits:
                                lost = ~load_one(planes, y + above * plane)
                                word &= load_one(source, x + above * s_plane) | lost
                                above = next_index(above)
                            largest |= word
                            ix = next_index(ix)
                    store_one(planes, y + b * plane, largest)


@compiled
def max_signed_words(planes, source, to, of, window):
    """Find the largest level in each window, of levels with a sign, compared plane by plane from the top. Padding
    never wins. Arguments as `sum_words`; target and source have the same bits. Writes planes (zeroed before)."""
    words, bits, height, width = words_of(to), to.bits, to.height, to.width
    s_height, s_width = of.height, of.width
    kernel_y, kernel_x, stride_y, stride_x, padding_y, padding_x = window
    plane = height * width * words
    s_plane = s_height * s_width * words
    n_planes = 2 * bits
    for s in range(to.samples * to.steps):
        slot = slot_of(to, s)
        s_slot = read_slot_of(of, s)
        for oy in range(height):
            for ox in range(width):
                fresh = True
                for ky in range(kernel_y):
                    iy = oy * stride_y - padding_y + ky
                    if iy < 0 or iy >= s_height:
                        continue
                    for kx in range(kernel_x):
                        ix = ox * stride_x - padding_x + kx
                        if ix < 0 or ix >= s_width:
                            continue
                        o = slot * n_planes * plane + (oy * width + ox) * words
                        i = s_slot * n_planes * s_plane + (iy * s_width + ix) * words
                        for w in range(words):
                            wins = ~np.uint64(0)
                            if not fresh:
                                wins = _greater(source, i + w, s_plane, planes, o + w, plane, bits)
                            for b in range(n_planes):
                                largest = load_one(planes, o + b * plane + w)
                                level = load_one(source, i + b * s_plane + w)
                                store_one(planes, o + b * plane + w, (largest & ~wins) | (level & wins))
                        fresh = False


@inlined
def _greater(x, i, x_plane, y, o, y_plane, bits):
    """Return the channels whose level in x is greater than in y."""
    greater = np.uint64(0)
    smaller = np.uint64(0)
    x_minus = np.uint64(0)
    y_minus = np.uint64(0)
    for b in range(bits - 1, -1, -1):
        p = load_one(x, i + b * x_plane)
        q = load_one(y, o + b * y_plane)
        x_negative = load_one(x, i + (bits + b) * x_plane)
        y_negative = load_one(y, o + (bits + b) * y_plane)
        x_minus |= x_negative
        y_minus |= y_negative
        p |= x_negative
        q |= y_negative
        equal = ~(greater | smaller)
        greater |= equal & p & ~q
        smaller |= equal & q & ~p
    return (~x_minus & (y_minus | greater)) | (x_minus & y_minus & smaller)


@compiled
def flatten_words(planes, source, to, of):
    """Flatten maps (C, H, W) to vectors (C * H * W) by moving each set bit. to, of: Slots of the target and of
    the source; a source of one slot stands for every step. Writes planes (zeroed before)."""
    n_planes, positions = n_planes_of(to), of.height * of.width
    words, s_words = words_of(to), words_of(of)
    for s in range(to.samples * to.steps):
        slot = slot_of(to, s) * n_planes
        s_slot = read_slot_of(of, s)
        for b in range(n_planes):
            for p in range(positions):
                for w in range(s_words):
                    i = ((s_slot * n_planes + b) * positions + p) * s_words + w
                    word = load_one(source, i)
                    while word:
                        f = (w * 64 + trailing_zeros(word)) * positions + p
                        word &= word - ONE
                        o = (slot + b) * words + (f >> 6)
                        store_one(planes, o, load_one(planes, o) | (ONE << np.uint64(f & 63)))


@compiled
def spread_words(planes, source, to, of, window):
    """Copy each position of a map to a window of a larger one. to, of: Slots of the target and of the source,
    of the same bits and sign; a source of one slot stands for every step. window: kernel, stride, padding (0),
    (y, x) each. Writes planes (zeroed before)."""
    n_planes, words, width = n_planes_of(to), words_of(to), to.width
    kernel_y, kernel_x, stride_y, stride_x, _, _ = window
    positions, s_positions = to.height * to.width, of.height * of.width
    for s in range(to.samples * to.steps):
        slot = slot_of(to, s) * n_planes
        s_slot = read_slot_of(of, s) * n_planes
        for b in range(n_planes):
            for p in range(s_positions):
                iy, ix = p // of.width, p % of.width
                i = ((s_slot + b) * s_positions + p) * words
                for ky in range(kernel_y):
                    for kx in range(kernel_x):
                        o = (slot + b) * positions + (iy * stride_y + ky) * width + ix * stride_x + kx
                        for w in range(words):
                            store_one(planes, o * words + w, load_one(source, i + w))


@compiled
def concat_words(planes, source, to, of, channel):
    """Put the channels of a train behind the first `channel` ones of another. to, of: Slots of the target and of
    the source, whose levels may be narrower; a source of one slot stands for every step. Writes planes
    (zeroed before)."""
    words, s_words, positions = words_of(to), words_of(of), to.height * to.width
    first, shift = channel >> 6, np.uint64(channel & 63)
    for s in range(to.samples * to.steps):
        slot = slot_of(to, s) * n_planes_of(to)
        s_slot = read_slot_of(of, s) * n_planes_of(of)
        for sign in range(1 + of.signed):
            for b in range(of.bits):
                for p in range(positions):
                    o = ((slot + sign * to.bits + b) * positions + p) * words + first
                    i = ((s_slot + sign * of.bits + b) * positions + p) * s_words
                    for w in range(s_words):
                        word = load_one(source, i + w)
                        store_one(planes, o + w, load_one(planes, o + w) | (word << shift))
                        if shift and o + w + 1 < (o // words + 1) * words:
                            above = word >> (np.uint64(64) - shift)
                            store_one(planes, o + w + 1, load_one(planes, o + w + 1) | above)
