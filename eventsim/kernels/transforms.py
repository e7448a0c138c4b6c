"""Word operations on planes: pooling, adding, joining, spreading, delaying and flattening trains, 64 neurons at
a time."""

import numpy as np
from numba import njit

from eventsim.kernels.addressing import n_planes_of, plane_size, read_slot_of, slot_of, words_of
from eventsim.kernels.arguments import ONE
from eventsim.kernels.compiling import compiled
from eventsim.kernels.vectors import load_one, store_one, trailing_zeros


@compiled
def clear_words(words, n):
    """Set n words to 0. Writes words."""
    for i in range(n):
        store_one(words, i, np.uint64(0))


@compiled
def sum_words(planes, source, to, of, window):
    """Add the levels in each window of `source` to the levels in `planes`, 64 channels at a time,
    by a ripple adder over the planes. Writes planes.

    to, of: Slots of the target and of the source; a source of one slot stands for every step.
    window: kernel, stride, padding, (y, x) each.
    """
    words, bits, signed, height, width = words_of(to), to.bits, to.signed, to.height, to.width
    s_bits, s_signed, s_height, s_width = of.bits, of.signed, of.height, of.width
    kernel_y, kernel_x, stride_y, stride_x, padding_y, padding_x = window
    plane = height * width * words
    s_plane = s_height * s_width * words
    for s in range(to.samples * to.steps):
        slot = slot_of(to, s)
        s_slot = read_slot_of(of, s)
        for oy in range(height):
            for ox in range(width):
                for ky in range(kernel_y):
                    iy = oy * stride_y - padding_y + ky
                    if iy < 0 or iy >= s_height:
                        continue
                    for kx in range(kernel_x):
                        ix = ox * stride_x - padding_x + kx
                        if ix < 0 or ix >= s_width:
                            continue
                        for sign in range(1 + s_signed):
                            o = (slot * (1 + signed) + sign) * bits * plane
                            o += (oy * width + ox) * words
                            i = (s_slot * (1 + s_signed) + sign) * s_bits * s_plane
                            i += (iy * s_width + ix) * words
                            for w in range(words):
                                carry = np.uint64(0)
                                for b in range(bits):
                                    x = np.uint64(0)
                                    if b < s_bits:
                                        x = load_one(source, i + b * s_plane + w)
                                    elif carry == 0:
                                        break
                                    a = load_one(planes, o + b * plane + w)
                                    store_one(planes, o + b * plane + w, a ^ x ^ carry)
                                    carry = (a & x) | (carry & (a ^ x))


@compiled
def cancel_words(planes, slots):
    """Make signed levels canonical: positive minus negative planes, the sign in one of the two.
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
    later by one delay. to, of: Slots of the target and of the source. Writes planes, which were 0
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
def or_words(planes, source, to, of, window):
    """`max_words` for one unsigned bit: a word is the OR of its window. Writes planes (zeroed
    before)."""
    words, height, width, s_height, s_width = words_of(to), to.height, to.width, of.height, of.width
    kernel_y, kernel_x, stride_y, stride_x, padding_y, padding_x = window
    for s in range(to.samples * to.steps):
        slot = slot_of(to, s)
        s_slot = read_slot_of(of, s)
        for oy in range(height):
            for ky in range(max(padding_y - oy * stride_y, 0),
                            min(s_height + padding_y - oy * stride_y, kernel_y)):
                iy = oy * stride_y - padding_y + ky
                for ox in range(width):
                    o = ((slot * height + oy) * width + ox) * words
                    for kx in range(max(padding_x - ox * stride_x, 0),
                                    min(s_width + padding_x - ox * stride_x, kernel_x)):
                        i = (s_slot * s_height + iy) * s_width + ox * stride_x - padding_x + kx
                        for w in range(words):
                            store_one(planes, o + w, load_one(planes, o + w) | load_one(source, i * words + w))


@compiled
def max_words(planes, source, to, of, window):
    """Largest level in each window, compared plane by plane from the top. Padding never wins.
    Arguments as `sum_words`; target and source have the same bits and sign. Writes planes."""
    words, bits, signed, height, width = words_of(to), to.bits, to.signed, to.height, to.width
    s_height, s_width = of.height, of.width
    kernel_y, kernel_x, stride_y, stride_x, padding_y, padding_x = window
    plane = height * width * words
    s_plane = s_height * s_width * words
    n_planes = bits * (1 + signed)
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
                                wins = _greater(source, i + w, s_plane, planes, o + w, plane, bits, signed)
                            for b in range(n_planes):
                                old = load_one(planes, o + b * plane + w)
                                new = load_one(source, i + b * s_plane + w)
                                store_one(planes, o + b * plane + w, (old & ~wins) | (new & wins))
                        fresh = False


@njit(inline="always")
def _greater(x, i, x_plane, y, o, y_plane, bits, signed):
    """Channels whose level in x is greater than in y."""
    greater = np.uint64(0)
    smaller = np.uint64(0)
    x_minus = np.uint64(0)
    y_minus = np.uint64(0)
    for b in range(bits - 1, -1, -1):
        p = load_one(x, i + b * x_plane)
        q = load_one(y, o + b * y_plane)
        if signed:
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
    """Maps (C, H, W) as vectors (C * H * W): moves each set bit. to, of: Slots of the target and of
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
