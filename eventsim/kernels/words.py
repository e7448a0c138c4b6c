"""Word operations on planes: pooling, adding, delaying and flattening trains, 64 neurons at a time."""

import numpy as np
from numba import njit

from eventsim.kernels.arguments import ONE
from eventsim.kernels.compiling import compiled
from eventsim.kernels.vectors import at, put, trailing_zeros


@compiled
def sum_words(planes, source, scalars, window):
    """Add the levels in each window of `source` to the levels in `planes`, 64 channels at a time,
    by a ripple adder over the planes. Writes planes.

    scalars: samples, steps, words, then (held, first, bits, signed, height, width) of the target
    and of the source. window: kernel, stride, padding, (y, x) each.
    """
    samples, steps, words = scalars[0], scalars[1], scalars[2]
    held, first, bits, signed, height, width = scalars[3:9]
    s_held, s_first, s_bits, s_signed, s_height, s_width = scalars[9:15]
    kernel_y, kernel_x, stride_y, stride_x, padding_y, padding_x = window
    plane = height * width * words
    s_plane = s_height * s_width * words
    for s in range(samples * steps):
        slot = (s // steps) * held + first + s % steps
        s_slot = (s // steps) * s_held + s_first + (s % steps if s_held > 1 or steps == 1 else 0)
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
                                        x = at(source, i + b * s_plane + w)
                                    elif carry == 0:
                                        break
                                    a = at(planes, o + b * plane + w)
                                    put(planes, o + b * plane + w, a ^ x ^ carry)
                                    carry = (a & x) | (carry & (a ^ x))


@compiled
def cancel_words(planes, slots, held, first, steps, bits, per_plane):
    """Make signed levels canonical: positive minus negative planes, the sign in one of the two.
    Writes planes."""
    for s in range(slots):
        slot = (s // steps) * held + first + s % steps
        for w in range(per_plane):
            o = slot * 2 * bits * per_plane + w
            borrow = np.uint64(0)
            for b in range(bits):
                p = at(planes, o + b * per_plane)
                n = at(planes, o + (bits + b) * per_plane)
                put(planes, o + b * per_plane, p ^ n ^ borrow)
                borrow = (~p & n) | (~(p ^ n) & borrow)
            carry = borrow  # the channels whose difference is negative: negate it
            for b in range(bits):
                x = at(planes, o + b * per_plane) ^ borrow
                level = x ^ carry
                carry = x & carry
                put(planes, o + b * per_plane, level & ~borrow)
                put(planes, o + (bits + b) * per_plane, level & borrow)


@compiled
def delay_words(planes, source, mask, scalars):
    """Take the levels of the neurons in `mask` (uint64 [position, word]) from a train that is read
    later by one delay. scalars: samples, steps, held and first of planes, held and first of
    source, planes of a step, words of a plane. Writes planes, which were 0 there."""
    samples, steps, held, first, from_held, from_first, n_planes, per_plane = scalars
    for sample in range(samples):
        for t in range(steps):
            for plane in range(n_planes):
                to = ((sample * held + first + t) * n_planes + plane) * per_plane
                of = ((sample * from_held + from_first + t) * n_planes + plane) * per_plane
                for i in range(per_plane):
                    planes[to + i] |= source[of + i] & mask[i]


@compiled
def or_words(planes, source, scalars, window):
    """`max_words` for one unsigned bit: a word is the OR of its window. Writes planes (zeroed
    before)."""
    samples, steps, words = scalars[0], scalars[1], scalars[2]
    held, first, _, _, height, width = scalars[3:9]
    s_held, s_first, _, _, s_height, s_width = scalars[9:15]
    kernel_y, kernel_x, stride_y, stride_x, padding_y, padding_x = window
    for s in range(samples * steps):
        slot = (s // steps) * held + first + s % steps
        s_slot = (s // steps) * s_held + s_first + (s % steps if s_held > 1 or steps == 1 else 0)
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
                            put(planes, o + w, at(planes, o + w) | at(source, i * words + w))


@compiled
def max_words(planes, source, scalars, window):
    """Largest level in each window, compared plane by plane from the top. Padding never wins.
    Arguments as `sum_words`; target and source have the same bits and sign. Writes planes."""
    samples, steps, words = scalars[0], scalars[1], scalars[2]
    held, first, bits, signed, height, width = scalars[3:9]
    s_held, s_first, s_bits, s_signed, s_height, s_width = scalars[9:15]
    kernel_y, kernel_x, stride_y, stride_x, padding_y, padding_x = window
    plane = height * width * words
    s_plane = s_height * s_width * words
    n_planes = bits * (1 + signed)
    for s in range(samples * steps):
        slot = (s // steps) * held + first + s % steps
        s_slot = (s // steps) * s_held + s_first + (s % steps if s_held > 1 or steps == 1 else 0)
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
                                old = at(planes, o + b * plane + w)
                                new = at(source, i + b * s_plane + w)
                                put(planes, o + b * plane + w, (old & ~wins) | (new & wins))
                        fresh = False


@njit(inline="always")
def _greater(x, i, x_plane, y, o, y_plane, bits, signed):
    """Channels whose level in x is greater than in y."""
    greater = np.uint64(0)
    smaller = np.uint64(0)
    x_minus = np.uint64(0)
    y_minus = np.uint64(0)
    for b in range(bits - 1, -1, -1):
        p = at(x, i + b * x_plane)
        q = at(y, o + b * y_plane)
        if signed:
            x_negative = at(x, i + (bits + b) * x_plane)
            y_negative = at(y, o + (bits + b) * y_plane)
            x_minus |= x_negative
            y_minus |= y_negative
            p |= x_negative
            q |= y_negative
        equal = ~(greater | smaller)
        greater |= equal & p & ~q
        smaller |= equal & q & ~p
    return (~x_minus & (y_minus | greater)) | (x_minus & y_minus & smaller)


@compiled
def flatten_words(planes, source, scalars):
    """Maps (C, H, W) as vectors (C * H * W): moves each set bit. scalars: samples, steps, planes,
    held and first of the target and of the source, positions, channels. Writes planes (zeroed
    before)."""
    samples, steps, n_planes = scalars[0], scalars[1], scalars[2]
    held, first, s_held, s_first = scalars[3], scalars[4], scalars[5], scalars[6]
    positions, channels = scalars[7], scalars[8]
    words = (channels * positions + 63) >> 6
    s_words = (channels + 63) >> 6
    for s in range(samples * steps):
        slot = ((s // steps) * held + first + s % steps) * n_planes
        s_slot = (s // steps) * s_held + s_first + (s % steps if s_held > 1 or steps == 1 else 0)
        for b in range(n_planes):
            for p in range(positions):
                for w in range(s_words):
                    i = ((s_slot * n_planes + b) * positions + p) * s_words + w
                    word = at(source, i)
                    while word:
                        f = (w * 64 + trailing_zeros(word)) * positions + p
                        word &= word - ONE
                        o = (slot + b) * words + (f >> 6)
                        put(planes, o, at(planes, o) | (ONE << np.uint64(f & 63)))
