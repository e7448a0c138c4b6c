"""Every compiled function.

Kernels take arrays and scalars, allocate nothing and check nothing: `simulator` and `lower` have
validated all that they index. Arrays are flat, C-contiguous and of the layouts below; a kernel's
docstring names what it writes. "Additions only" is meant literally: the row functions contain no
product of a weight and a spike (a test reads their syntax trees); `real_rows` alone multiplies.

Layouts (channels last; `lanes` is the number of bits of one element of `masks`):

    planes      uint64 [sample, step held, plane, position, word]; planes of negative levels
                follow those of positive ones
    masks       the same memory as uint16, uint32 or uint64, one element per tile of channels
    index       int32 [event]: column * channels + channel; for `slide_rows`, whose events are
                sorted by column first, row * channels + channel
    pointers    int64 [sample, step, plane, position * groups + 1]: first event of each
                (position, group)
    weight      [tile, ky, kx, channel, lane]          `gather_rows`, `near_rows`, `window_rows`,
                                                       `real_rows`
                [tile, ky, kx, channel, lane / 2]      `pair_rows`: two int8 in an int16, see there
                [tile, ky, channel, kx, lane / 2]      `slide_rows`
                [[sample, step,] ky, kx, padded channel]    `masked_rows`
    current     F [sample, step, position, padded channel]
    membrane    F [sample, position, padded channel]; so filtered, pending and waiting
    audit       F [sample, 9, padded channel]: lowest, highest and number of overflows of the sum,
                the current and the membrane
    sums        F [step, column, lane]: one row of weighted sums, the kernels' scratch

F is float32, float64 or int32. Order of floating-point additions: per path from +0; per plane
from the top: double, then events by (row, column, channel). It does not depend on the lanes.
"""

import hashlib
import math
import os
import tempfile
import warnings
from collections import namedtuple
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numba import config, njit
from numba.extending import overload

from eventsim.kernels import vectors
from eventsim.kernels.vectors import (
    at, at_least, below, bit_count, both, decayed, either, first_half, following, half_zeros, high_bytes,
    joined, lanes_of, load, low_sums, negated, put, scaled, select, shifted, splat, store, trailing_zeros,
    turned, weighted, without, zeros,
)

# _nrt=False: kernels allocate nothing, and Numba would count references, atomically, at each call
# that it inlines: of seven arrays at each position that `_fire_plain` updates.
OPTIONS = dict(nogil=True, boundscheck=False, error_model="numpy", _nrt=False)


def _cache_folder():
    """Where compiled kernels are kept, or None with a warning where nothing is writable.

    Numba notices a change in the file of a function, not in the files that it uses: the folder is
    named by the contents of this file and of simd.py, so that an edit never runs old code.
    EVENTSIM_CACHE_DIR, NUMBA_CACHE_DIR and XDG_CACHE_HOME are honoured, in this order.
    """
    sources = hashlib.sha256()
    for path in (__file__, vectors.__file__):
        sources.update(Path(path).read_bytes())
    given = os.environ.get("EVENTSIM_CACHE_DIR") or os.environ.get("NUMBA_CACHE_DIR")
    base = Path(given or os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser())
    folder = base / "eventsim" / sources.hexdigest()[:16]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return str(folder)
    except OSError as error:
        warnings.warn(
            f"compiled kernels cannot be kept in {folder} ({error.strerror}): every process compiles "
            "them anew; set EVENTSIM_CACHE_DIR to a folder that can be written",
            stacklevel=2,
        )
        return None


_FOLDER = _cache_folder()


def compiled(function):
    """njit with our options, cached in our folder; other users of Numba keep their own."""
    before = config.CACHE_DIR
    try:
        config.CACHE_DIR = _FOLDER or before
        return njit(cache=_FOLDER is not None, **OPTIONS)(function)
    finally:
        config.CACHE_DIR = before


ONE = np.uint64(1)
MOST_PAIRS = 256  # int8 rows that an int16 sum always holds


class Geometry(NamedTuple):
    """Sizes of one path: input and output maps, window, and how its events are pointed at."""

    height: int
    width: int
    channels: int  # of the input map
    rows_per_tap: int  # weight rows stored per tap: the channels that one tile reads
    out_height: int
    out_width: int
    kernel_height: int
    kernel_width: int
    stride_y: int
    stride_x: int
    padding_y: int
    padding_x: int
    dilation_y: int
    dilation_x: int
    groups: int  # pointers per position
    run: int  # taps of a kernel row read as one run: kernel_width or 1
    bits: int  # planes of one sign in the source
    signed: int  # whether negative planes follow
    tiles: int
    near: int  # whether a tile's weights stay in the first-level cache
    planes: int  # planes whose pairs 16 bits hold together, see `slide_planes`


class Events(NamedTuple):
    """The events of a path's source in the steps of a run, sorted."""

    index: np.ndarray
    pointers: np.ndarray
    steps: int  # 1 where the input stands still


class Update(NamedTuple):
    """Parameters of a layer's neurons: F, [plane,] [1 or position,] padded channel."""

    thresholds: np.ndarray  # [plane, ...]; of SigmaDelta: those of positive, then negative changes
    amounts: np.ndarray  # [plane, padded channel]
    bias: np.ndarray  # added to the sum
    drive: np.ndarray  # added to the membrane
    leak: np.ndarray
    current_leak: np.ndarray
    gain: np.ndarray
    v_reset: np.ndarray
    v_min: np.ndarray
    least: np.ndarray  # smallest change that SigmaDelta sends
    refractory: np.ndarray  # int32
    limits: np.ndarray  # int64 [9]: rule, low, high of the sum, the current and the membrane
    plain: int  # whether `_fire_plain`, or `_integrate`, covers the layer while nothing is traced
    changes: int  # SigmaDelta: 1 sums its input, 2 takes it as it is; 0: another neuron
    bits: int
    signed: int
    hard: int
    reset_delay: int
    leaks: int
    filters: int  # whether there is a synaptic current
    drives: int
    gains: int
    limited: int
    rectified: int  # of SigmaDelta
    pauses: int
    narrow: int  # whether anything has a limit
    shift: int  # of sums, in bits
    decay_bits: int
    decay_positive: int  # see simd.decayed
    decay_negative: int
    reset_interval: int
    reset_offset: int
    per_position: int  # 1 where the parameters have a position axis
    bias_per_position: int


class Maps(NamedTuple):
    """What a layer reads and writes while it runs."""

    membrane: np.ndarray
    filtered: np.ndarray  # synaptic currents
    pending: np.ndarray  # amount still to be subtracted (reset_delay); what SigmaDelta has sent
    waiting: np.ndarray  # int32 steps of refractoriness left
    current: np.ndarray
    masks: np.ndarray
    currents: np.ndarray  # F like current, or empty; so potentials and residuals
    potentials: np.ndarray
    residuals: np.ndarray
    audit: np.ndarray  # or empty
    samples: int
    steps: int
    total: int  # steps that current, currents, potentials and residuals hold
    start: int  # step of those that step 0 writes
    step: int  # absolute step of step 0
    held: int  # steps that masks hold
    first: int  # step of masks that step 0 writes
    adds: int  # whether current already holds earlier paths
    fresh: int  # whether membranes start at 0, whatever membrane holds
    keeps: int  # whether membranes are wanted afterwards


# What a number does that leaves its width; Update.limits[3 * k] for k of SUM, CURRENT, MEMBRANE
SUM, CURRENT, MEMBRANE = 0, 1, 2
HOLDS, TURNS, TURNS_ONCE, STOPS = 0, 1, 2, 3


# ---- from planes to events


@compiled
def pack(levels, planes, samples, steps, held, first, bits, signed, channels, positions, words):
    """Levels int32 [sample, step, channel, position] into planes (zeroed before). Writes planes.

    Narrow levels are mostly 0 and set one by one; wide ones (images) plane by plane, over all
    positions, which LLVM makes vectors of."""
    if bits == 1:
        for s in range(samples * steps):
            slot = ((s // steps) * held + first + s % steps) * (1 + signed)
            for c in range(channels):
                bit = ONE << np.uint64(c & 63)
                for p in range(positions):
                    level = at(levels, (s * channels + c) * positions + p)
                    if level != 0:
                        o = ((slot + (level < 0)) * positions + p) * words + (c >> 6)
                        put(planes, o, at(planes, o) | bit)
        return
    for s in range(samples * steps):
        slot = ((s // steps) * held + first + s % steps) * bits * (1 + signed)
        for c in range(channels):
            at_bit = np.uint64(c & 63)
            for b in range(bits):
                plus = (slot + b) * positions * words + (c >> 6)
                minus = plus + bits * positions * words
                for p in range(positions):
                    level = at(levels, (s * channels + c) * positions + p)
                    bit = np.uint64((abs(level) >> b) & 1) << at_bit
                    o = minus + p * words if signed and level < 0 else plus + p * words
                    put(planes, o, at(planes, o) | bit)


@compiled
def index_events(
    planes, index, pointers, samples, steps, held, first, n_planes, height, width, channels,
    by_column, table
):
    """Set bits of the planes as sorted events. Writes index (with room for 8 more than there are
    events) and pointers.

    by_column: walk the map column by column instead of row by row (`slide_rows`).
    table: uint8 [256, 8], the positions of the set bits of a byte. Eight entries are written for
    each byte, an empty one too, and as many kept as it has bits: no branch depends on the spikes.
    """
    like = zeros(index, table)
    eight = splat(8, like)
    words = (channels + 63) >> 6
    outer, inner = (width, height) if by_column else (height, width)
    outer_step, inner_step = (1, width) if by_column else (width, 1)
    k = 0
    slot = 0
    for s in range(samples * steps):
        source = ((s // steps) * held + first + s % steps) * n_planes
        for plane in range(n_planes):
            for a in range(outer):
                for c in range(inner):
                    put(pointers, slot, k)
                    slot += 1
                    o = ((source + plane) * height * width + a * outer_step + c * inner_step) * words
                    for w in range(words):
                        word = at(planes, o + w)
                        lowest = splat(np.int32(c * channels + w * 64), like)
                        for _ in range(min((channels - w * 64 + 7) >> 3, 8)):
                            byte = np.int64(word & np.uint64(255))
                            store(index, k, load(table, byte * 8, like) + lowest)
                            k += bit_count(np.uint64(byte))
                            lowest = lowest + eight
                            word >>= np.uint64(8)
            put(pointers, slot, k)
            slot += 1


@compiled
def index_groups(
    planes, index, pointers, samples, steps, held, first, n_planes, height, width, channels, groups
):
    """`index_events`, row by row, with a pointer for each group of channels. Writes index and
    pointers."""
    words = (channels + 63) >> 6
    per_group = channels // groups
    k = 0
    slot = 0
    for s in range(samples * steps):
        source = ((s // steps) * held + first + s % steps) * n_planes
        for plane in range(n_planes):
            for p in range(height * width):
                base = (p % width) * channels
                group = 0
                for w in range(words):
                    word = at(planes, ((source + plane) * height * width + p) * words + w)
                    while word:
                        c = w * 64 + trailing_zeros(word)
                        word &= word - ONE
                        while group * per_group <= c:
                            put(pointers, slot + group, k)
                            group += 1
                        put(index, k, np.int32(base + c))
                        k += 1
                while group < groups:
                    put(pointers, slot + group, k)
                    group += 1
                slot += groups
            put(pointers, slot, k)
            slot += 1


@compiled
def index_reals(values, index, strengths, pointers, slots, height, width, channels, groups):
    """Nonzero real inputs F [slot, position, channel] as events. Writes index, strengths, pointers."""
    per_group = channels // groups
    k = 0
    o = 0
    for slot in range(slots):
        for p in range(height * width):
            for c in range(channels):
                if c % per_group == 0:
                    put(pointers, o, k)
                    o += 1
                value = at(values, (slot * height * width + p) * channels + c)
                if value != 0:
                    put(index, k, np.int32((p % width) * channels + c))
                    put(strengths, k, value)
                    k += 1
        put(pointers, o, k)
        o += 1


# ---- one row of weighted sums


@compiled
def gather_rows(sums, masks, events, weight, ranges, geometry, sample, tile, row):
    """Weight rows of the events under each window, added. Any element type. Writes sums.

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
    first_group, last_group = ranges[tile, 0], ranges[tile, 1]
    first_channel = ranges[tile, 2]
    n_runs = g.kernel_width // g.run
    fresh = True
    for b in range(g.bits - 1, -1, -1):
        doubles = b < g.bits - 1
        for negative in range(1 + g.signed):
            for ky in range(g.kernel_height):
                iy = row * g.stride_y - g.padding_y + ky * g.dilation_y
                if iy < 0 or iy >= g.height:
                    continue
                for t in range(0, steps, 2):
                    two = t + 1 < steps
                    p = (sample * steps + t) * per_step + (b + negative * g.bits) * per_plane
                    p += iy * g.width * g.groups
                    for ox in range(g.out_width):
                        k = (t * g.out_width + ox) * lanes
                        x = zero
                        y = zero
                        if not fresh:
                            x = load(sums, k, zero)
                            if two:
                                y = load(sums, k + g.out_width * lanes, zero)
                            if doubles:
                                x = x + x
                                y = y + y
                        if negative:  # -(-x + w) is x - w
                            x = negated(x)
                            y = negated(y)
                        for k_run in range(n_runs):
                            kx = k_run * g.run
                            left = ox * g.stride_x - g.padding_x + kx * g.dilation_x
                            lo = max(left, 0)
                            hi = min(left + g.run, g.width)
                            if lo >= hi:
                                continue
                            base = ((tile * g.kernel_height + ky) * g.kernel_width + kx)
                            base = base * g.rows_per_tap - left * g.channels - first_channel
                            a = p + lo * g.groups + first_group
                            z = p + (hi - 1) * g.groups + last_group
                            i = at(pointers, a)
                            i_end = at(pointers, z)
                            j = i_end
                            j_end = i_end
                            if two:
                                j = at(pointers, a + per_step)
                                j_end = at(pointers, z + per_step)
                            stop = i + min(i_end - i, j_end - j)
                            while i < stop:
                                x = x + load(
                                    weight, (base + np.int64(at(index, i))) * lanes, zero
                                )
                                y = y + load(
                                    weight, (base + np.int64(at(index, j))) * lanes, zero
                                )
                                i = following(i)
                                j += 1
                            while i < i_end:
                                x = x + load(
                                    weight, (base + np.int64(at(index, i))) * lanes, zero
                                )
                                i = following(i)
                            while j < j_end:
                                y = y + load(
                                    weight, (base + np.int64(at(index, j))) * lanes, zero
                                )
                                j = following(j)
                        if negative:
                            x = negated(x)
                            y = negated(y)
                        store(sums, k, x)
                        if two:
                            store(sums, k + g.out_width * lanes, y)
                fresh = False
                doubles = False
    if fresh:
        _clear(sums, masks, steps * g.out_width)


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
    first_group, last_group = ranges[tile, 0], ranges[tile, 1]
    first_channel = ranges[tile, 2]
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
                        iy = row * g.stride_y - g.padding_y + ky * g.dilation_y
                        if iy < 0 or iy >= g.height:
                            continue
                        p = plane * per_plane + iy * g.width * g.groups
                        for k_run in range(n_runs):
                            kx = k_run * g.run
                            left = ox * g.stride_x - g.padding_x + kx * g.dilation_x
                            lo = max(left, 0)
                            hi = min(left + g.run, g.width)
                            if lo >= hi:
                                continue
                            base = (tile * g.kernel_height + ky) * g.kernel_width + kx
                            base = base * g.rows_per_tap - left * g.channels - first_channel
                            i = at(pointers, p + lo * g.groups + first_group)
                            i_end = at(pointers, p + (hi - 1) * g.groups + last_group)
                            for e in range(i, i_end):
                                x = x + load(weight, (base + np.int64(at(index, e))) * lanes, zero)
                    if negative:
                        x = negated(x)
            store(sums, (t * g.out_width + ox) * lanes, x)


@compiled
def window_rows(sums, masks, source, held, first, steps, weight, geometry, sample, tile, row):
    """`gather_rows` for windows of at most 64 neurons, such as an image's 3x3x3: the bits under a
    window make one word, whose set bits are the weight rows to add. Needs no index. `source`: planes
    of the train that is read. Writes sums."""
    g = geometry
    lanes = lanes_of(masks)
    zero = zeros(sums, masks)
    positions = g.height * g.width
    n_planes = g.bits * (1 + g.signed)
    base = tile * g.kernel_height * g.kernel_width * g.channels
    for t in range(steps):
        slot = (sample * held + first + t) * n_planes
        for ox in range(g.out_width):
            x = zero
            for b in range(g.bits - 1, -1, -1):
                x = x + x
                for negative in range(1 + g.signed):
                    plane = (slot + b + negative * g.bits) * positions
                    window = np.uint64(0)
                    for ky in range(g.kernel_height):
                        iy = row * g.stride_y - g.padding_y + ky * g.dilation_y
                        if iy < 0 or iy >= g.height:
                            continue
                        for kx in range(g.kernel_width):
                            ix = ox * g.stride_x - g.padding_x + kx * g.dilation_x
                            if ix < 0 or ix >= g.width:
                                continue
                            shift = np.uint64((ky * g.kernel_width + kx) * g.channels)
                            window |= at(source, plane + iy * g.width + ix) << shift
                    if negative:  # -(-x + w) is x - w
                        x = negated(x)
                    while window:
                        x = x + load(weight, (base + trailing_zeros(window)) * lanes, zero)
                        window &= window - ONE
                    if negative:
                        x = negated(x)
            store(sums, (t * g.out_width + ox) * lanes, x)


@compiled
def _clear(sums, masks, columns):
    for k in range(columns):
        store(sums, k * lanes_of(masks), zeros(sums, masks))


@njit(inline="always")
def _sum_of_pairs(words, highs, n, like):
    """The sums of `n` <= 256 paired rows. A word is 256 * high + (low + 128), so that the low
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
    first_group, last_group = ranges[tile, 0], ranges[tile, 1]
    first_channel = ranges[tile, 2]
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
                        iy = row * g.stride_y - g.padding_y + ky * g.dilation_y
                        if iy < 0 or iy >= g.height:
                            continue
                        p = plane * per_plane + iy * g.width * g.groups
                        for k_run in range(n_runs):
                            kx = k_run * g.run
                            left = ox * g.stride_x - g.padding_x + kx * g.dilation_x
                            lo = max(left, 0)
                            hi = min(left + g.run, g.width)
                            if lo >= hi:
                                continue
                            base = (tile * g.kernel_height + ky) * g.kernel_width + kx
                            base = base * g.rows_per_tap - left * g.channels - first_channel
                            i = at(pointers, p + lo * g.groups + first_group)
                            i_end = at(pointers, p + (hi - 1) * g.groups + last_group)
                            while i < i_end:
                                stop = min(i_end, i + MOST_PAIRS - n)
                                n += stop - i
                                for e in range(i, stop):
                                    word = load(
                                        weight, (base + np.int64(at(index, e))) * half, none
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


@njit(inline="always")
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
def slide_rows(sums, masks, events, weight, ranges, geometry, sample, tile, row):
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
        _clear(sums, masks, steps * g.out_width)
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
                        i = at(pointers, p + top)
                        i_end = at(pointers, p + bottom)
                        while i < i_end:
                            stop = min(i_end, i + MOST_PAIRS - n_0)
                            n_0 += stop - i
                            n_1 += stop - i
                            n_2 += stop - i
                            while i < stop:
                                o = (base + np.int64(at(index, i))) * 3 * half
                                word = load(weight, o, none)
                                words_2 = words_2 + word
                                highs_2 = highs_2 + high_bytes(word)
                                word = load(weight, o + half, none)
                                words_1 = words_1 + word
                                highs_1 = highs_1 + high_bytes(word)
                                word = load(weight, o + 2 * half, none)
                                words_0 = words_0 + word
                                highs_0 = highs_0 + high_bytes(word)
                                i = following(i)
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


@compiled
def slide_planes(sums, masks, events, weight, ranges, geometry, sample, tile, row):
    """`slide_rows` for levels of several planes and few inputs under a window, such as an image's
    3x3x3: `geometry.planes` planes at a time are doubled as pairs, before they are widened, which
    16 bits hold. An input column is summed apart, for what came before it must not be doubled.
    Writes sums."""
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
        _clear(sums, masks, steps * g.out_width)
        return
    for t in range(steps):
        offset = t * g.out_width
        for end in range(g.bits, 0, -g.planes):
            begin = max(end - g.planes, 0)
            for negative in range(1 + g.signed):
                fresh = end == g.bits and not negative
                doublings = 0 if negative else end - begin
                plane = (sample * steps + t) * n_planes + negative * g.bits
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
                        left = none
                        left_highs = none
                        middle = none
                        middle_highs = none
                        for b in range(end - 1, begin - 1, -1):
                            p = (plane + b) * per_plane + column * g.height
                            i = at(pointers, p + top)
                            i_end = at(pointers, p + bottom)
                            n_2 += n_2 + i_end - i
                            left = left + left
                            left_highs = left_highs + left_highs
                            middle = middle + middle
                            middle_highs = middle_highs + middle_highs
                            words_2 = words_2 + words_2
                            highs_2 = highs_2 + highs_2
                            while i < i_end:
                                o = (base + np.int64(at(index, i))) * 3 * half
                                word = load(weight, o, none)
                                words_2 = words_2 + word
                                highs_2 = highs_2 + high_bytes(word)
                                word = load(weight, o + half, none)
                                middle = middle + word
                                middle_highs = middle_highs + high_bytes(word)
                                word = load(weight, o + 2 * half, none)
                                left = left + word
                                left_highs = left_highs + high_bytes(word)
                                i = following(i)
                        words_0 = words_0 + left
                        highs_0 = highs_0 + left_highs
                        n_0 += n_2
                        words_1 = words_1 + middle
                        highs_1 = highs_1 + middle_highs
                        n_1 += n_2
                    _end_column(sums, words_0, highs_0, n_0, s - 2, g.out_width, offset, fresh,
                                doublings, negative, lanes, zero)
                    words_0 = words_1
                    highs_0 = highs_1
                    n_0 = n_1
                    words_1 = words_2
                    highs_1 = highs_2
                    n_1 = n_2


@compiled
def masked_rows(
    sums, masks, source, held, first, steps, weight, weight_steps, geometry, sample, tile, row
):
    """Depthwise synapses and identity shortcuts: a tap's weights, masked by the spikes of the
    position it meets. `source`: masks of the train that is read; weight_steps: 0, or the number of
    steps where each sample and step has weights of its own. Writes sums."""
    g = geometry
    lanes = lanes_of(masks)
    zero = zeros(sums, masks)
    padded = g.tiles * lanes
    taps = g.kernel_height * g.kernel_width
    words = ((g.channels + 63) >> 6) * (64 // lanes)
    positions = g.height * g.width
    n_planes = g.bits * (1 + g.signed)
    for t in range(steps):
        slot = (sample * held + first + t) * n_planes
        varying = (sample * weight_steps + t) * taps if weight_steps else 0
        for ox in range(g.out_width):
            x = zero
            for b in range(g.bits - 1, -1, -1):
                x = x + x
                for negative in range(1 + g.signed):
                    plane = slot + b + negative * g.bits
                    for ky in range(g.kernel_height):
                        iy = row * g.stride_y - g.padding_y + ky * g.dilation_y
                        if iy < 0 or iy >= g.height:
                            continue
                        for kx in range(g.kernel_width):
                            ix = ox * g.stride_x - g.padding_x + kx * g.dilation_x
                            if ix < 0 or ix >= g.width:
                                continue
                            spikes = at(
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
def real_rows(sums, masks, events, strengths, weight, ranges, geometry, sample, tile, row):
    """Real-valued input: the only synapses that multiply. strengths: F [event]. Writes sums."""
    g = geometry
    index, pointers = events.index, events.pointers
    lanes = lanes_of(masks)
    zero = zeros(sums, masks)
    per_step = g.height * g.width * g.groups + 1
    first_group, last_group = ranges[tile, 0], ranges[tile, 1]
    first_channel = ranges[tile, 2]
    n_runs = g.kernel_width // g.run
    for t in range(events.steps):
        for ox in range(g.out_width):
            x = zero
            for ky in range(g.kernel_height):
                iy = row * g.stride_y - g.padding_y + ky * g.dilation_y
                if iy < 0 or iy >= g.height:
                    continue
                p = (sample * events.steps + t) * per_step + iy * g.width * g.groups
                for k_run in range(n_runs):
                    kx = k_run * g.run
                    left = ox * g.stride_x - g.padding_x + kx * g.dilation_x
                    lo = max(left, 0)
                    hi = min(left + g.run, g.width)
                    if lo >= hi:
                        continue
                    base = (tile * g.kernel_height + ky) * g.kernel_width + kx
                    base = base * g.rows_per_tap - left * g.channels - first_channel
                    i = at(pointers, p + lo * g.groups + first_group)
                    i_end = at(pointers, p + (hi - 1) * g.groups + last_group)
                    for e in range(i, i_end):
                        o = (base + np.int64(at(index, e))) * lanes
                        x = x + load(weight, o, zero) * splat(at(strengths, e), zero)
            store(sums, (t * g.out_width + ox) * lanes, x)


@compiled
def weigh_rows(sums, masks, attention, steps, geometry, sample, tile):
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


# ---- from sums to spikes


def _join(sums, still, update, maps, geometry, sample, tile, row):
    """Pass a row of sums on to the next path."""
    g = geometry
    lanes = lanes_of(maps.masks)
    zero = zeros(sums, maps.masks)
    positions = g.out_height * g.out_width
    for t in range(maps.steps):
        for ox in range(g.out_width):
            x = load(sums, ((0 if still else t) * g.out_width + ox) * lanes, zero)
            o = (sample * maps.total + maps.start + t) * positions + row * g.out_width + ox
            o = (o * g.tiles + tile) * lanes
            if maps.adds:
                x = load(maps.current, o, zero) + x
            store(maps.current, o, x)


def _integrate(sums, still, update, maps, geometry, sample, tile, row):
    """Membranes that never fire, a row of them."""
    g = geometry
    n = update
    lanes = lanes_of(maps.masks)
    zero = zeros(sums, maps.masks)
    padded = g.tiles * lanes
    positions = g.out_height * g.out_width
    channel = tile * lanes
    for ox in range(g.out_width):
        position = row * g.out_width + ox
        of_neuron = (position if n.per_position else 0) * padded + channel
        bias = load(n.bias, (position if n.bias_per_position else 0) * padded + channel, zero)
        state = (sample * positions + position) * padded + channel
        v = zero
        if not maps.fresh:
            v = load(maps.membrane, state, zero)
        for t in range(maps.steps):
            x = load(sums, ((0 if still else t) * g.out_width + ox) * lanes, zero)
            o = ((sample * maps.total + maps.start + t) * positions + position) * padded + channel
            if maps.adds:
                x = load(maps.current, o, zero) + x
            v = decayed(v, load(n.leak, of_neuron, zero), 12, 0, 0) + (x + bias)
            store(maps.potentials, o, v)
        if maps.keeps:
            store(maps.membrane, state, v)


def _fire_untraced(sums, still, update, maps, geometry, sample, tile, row):
    """What most layers are, a row of them."""
    if update.bits == 1 and not update.hard:
        _fire_bits(sums, still, update, maps, geometry, sample, tile, row)
    else:
        for ox in range(geometry.out_width):
            _fire_plain(sums, still, update, maps, geometry, sample, tile, row, ox)


def _fire_any(sums, still, update, maps, geometry, sample, tile, row):
    """Neurons and readouts with any options, traced or not, a row of them."""
    for ox in range(geometry.out_width):
        _fire(sums, still, update, maps, geometry, sample, tile, row, ox)


def _send_changes(sums, still, update, maps, geometry, sample, tile, row):
    """SigmaDelta, a row of them."""
    for ox in range(geometry.out_width):
        _fire_changes(sums, still, update, maps, geometry, sample, tile, row, ox)


# How a row of sums ends, by the type of its update: a kernel is compiled with the one that it
# needs, which is most of what compiling it costs.
Joining = namedtuple("Joining", Update._fields)
Integrating = namedtuple("Integrating", Update._fields)
Untraced = namedtuple("Untraced", Update._fields)
Changing = namedtuple("Changing", Update._fields)
FINISHES = {
    Joining: _join, Integrating: _integrate, Untraced: _fire_untraced, Update: _fire_any,
    Changing: _send_changes,
}


def finish_row(sums, still, update, maps, geometry, sample, tile, row):
    """Join a row of sums with earlier paths; pass it on, or update the membranes and fire.
    `still`: whether sums hold one step for all. Writes the arrays of maps."""
    FINISHES[type(update)](sums, still, update, maps, geometry, sample, tile, row)


@overload(finish_row, jit_options=OPTIONS)
def _finish_row(sums, still, update, maps, geometry, sample, tile, row):
    return FINISHES[update.instance_class]


@njit(inline="always")
def _fire_bits(sums, still, update, maps, geometry, sample, tile, row):
    """A row of `_fire_plain` with one plane and a soft reset. Without a loop over planes, threshold
    and amount of a position stay in registers for all steps."""
    g = geometry
    n = update
    lanes = lanes_of(maps.masks)
    zero = zeros(sums, maps.masks)
    padded = g.tiles * lanes
    positions = g.out_height * g.out_width
    channel = tile * lanes
    words = ((padded + 63) >> 6) * (64 // lanes)
    per_plane = positions * words
    joined_step = positions * padded
    sum_step = 0 if still else g.out_width * lanes
    for ox in range(g.out_width):
        position = row * g.out_width + ox
        of_neuron = (position if n.per_position else 0) * padded + channel
        state = (sample * positions + position) * padded + channel
        slot = (sample * maps.held + maps.first) * per_plane + position * words + tile
        joined_at = ((sample * maps.total + maps.start) * positions + position) * padded + channel
        bias = load(n.bias, (position if n.bias_per_position else 0) * padded + channel, zero)
        threshold = load(n.thresholds, of_neuron, zero)
        amount = load(n.amounts, channel, zero)
        u = zero
        if not maps.fresh:
            u = load(maps.membrane, state, zero)
        for t in range(maps.steps):
            x = load(sums, ox * lanes + t * sum_step, zero)
            if maps.adds:
                x = load(maps.current, joined_at + t * joined_step, zero) + x
            x = x + bias
            if n.leaks:
                u = decayed(u, load(n.leak, of_neuron, zero), 12, 0, 0)
            u = u + x
            spikes = at_least(u, threshold)
            u = u - select(spikes, amount, zero)
            put(maps.masks, slot, spikes)
            slot += per_plane
        if maps.keeps:
            store(maps.membrane, state, u)


@njit(inline="always")
def _fire_plain(sums, still, update, maps, geometry, sample, tile, row, ox):
    """`_fire` for what most layers are: unsigned, reset at once, soft or hard, nothing traced.
    The same operations in the same order, without the tests of the options in between."""
    g = geometry
    n = update
    lanes = lanes_of(maps.masks)
    zero = zeros(sums, maps.masks)
    padded = g.tiles * lanes
    positions = g.out_height * g.out_width
    position = row * g.out_width + ox
    channel = tile * lanes
    of_neuron = (position if n.per_position else 0) * padded + channel
    of_plane = (positions if n.per_position else 1) * padded
    state = (sample * positions + position) * padded + channel
    words = ((padded + 63) >> 6) * (64 // lanes)
    per_plane = positions * words
    slot = (sample * maps.held + maps.first) * n.bits * per_plane + position * words + tile
    bias = load(n.bias, (position if n.bias_per_position else 0) * padded + channel, zero)
    joined_step = positions * padded
    joined_at = ((sample * maps.total + maps.start) * positions + position) * padded + channel
    sum_step = 0 if still else g.out_width * lanes
    u = zero
    if not maps.fresh:
        u = load(maps.membrane, state, zero)
    for t in range(maps.steps):
        x = load(sums, ox * lanes + t * sum_step, zero)
        if maps.adds:
            x = load(maps.current, joined_at + t * joined_step, zero) + x
        x = x + bias
        if n.leaks:
            u = decayed(u, load(n.leak, of_neuron, zero), 12, 0, 0)
        u = u + x
        if n.hard:
            h = u
            fired = below(zero, zero)
            for b in range(n.bits - 1, -1, -1):
                spikes = at_least(u, load(n.thresholds, b * of_plane + of_neuron, zero))
                u = u - select(spikes, load(n.amounts, b * padded + channel, zero), zero)
                fired = either(fired, spikes)
                put(maps.masks, slot + b * per_plane, spikes)
            u = select(fired, load(n.v_reset, of_neuron, zero), h)
        else:
            for b in range(n.bits - 1, -1, -1):
                spikes = at_least(u, load(n.thresholds, b * of_plane + of_neuron, zero))
                u = u - select(spikes, load(n.amounts, b * padded + channel, zero), zero)
                put(maps.masks, slot + b * per_plane, spikes)
        slot += n.bits * per_plane
    if maps.keeps:
        store(maps.membrane, state, u)


@njit(inline="always")
def _next_reset(n, maps):
    """First step, counted from the first one here, before which the state is set to 0; or -1."""
    if n.reset_interval == 0:
        return -1
    return (n.reset_offset - maps.step) % n.reset_interval


@njit(inline="always")
def _noted(x, which, n, maps, at_audit, padded, zero):
    """Keep the lowest and highest value, and how often x leaves the limits of `which`."""
    low_at = at_audit + 3 * which * padded
    lowest = load(maps.audit, low_at, zero)
    store(maps.audit, low_at, select(below(x, lowest), x, lowest))
    highest = load(maps.audit, low_at + padded, zero)
    store(maps.audit, low_at + padded, select(below(highest, x), x, highest))
    if n.limits[3 * which] != HOLDS:
        outside = either(
            below(x, splat(n.limits[3 * which + 1], zero)),
            below(splat(n.limits[3 * which + 2], zero), x),
        )
        number = load(maps.audit, low_at + 2 * padded, zero)
        store(maps.audit, low_at + 2 * padded, number + select(outside, splat(1, zero), zero))


@njit(inline="always")
def _within(x, rule, low, high, zero):
    """x as a number of limited width holds it."""
    if rule == TURNS:
        x = turned(x, low, high - low)
    elif rule == TURNS_ONCE:
        turn = splat(high - low + 1, zero)
        above = below(splat(high, zero), x)
        under = below(x, splat(low, zero))
        x = x - select(above, turn, zero) + select(under, turn, zero)
    elif rule == STOPS:
        lowest = splat(low, zero)
        highest = splat(high, zero)
        x = select(below(x, lowest), lowest, x)
        x = select(below(highest, x), highest, x)
    return x


@njit(inline="always")
def _fire(sums, still, update, maps, geometry, sample, tile, row, ox):
    """All steps of one tile of neurons at one position, by successive approximation: from the
    top plane down, what reaches the plane's threshold sends it and loses its amount."""
    g = geometry
    n = update
    lanes = lanes_of(maps.masks)
    zero = zeros(sums, maps.masks)
    nobody = below(zero, zero)
    padded = g.tiles * lanes
    positions = g.out_height * g.out_width
    position = row * g.out_width + ox
    channel = tile * lanes
    of_neuron = (position if n.per_position else 0) * padded + channel
    of_plane = (positions if n.per_position else 1) * padded
    bias = load(n.bias, (position if n.bias_per_position else 0) * padded + channel, zero)
    state = (sample * positions + position) * padded + channel
    n_planes = n.bits * (1 + n.signed)
    words = ((g.tiles * lanes + 63) >> 6) * (64 // lanes)
    at_audit = sample * 9 * padded + channel
    reset_at = _next_reset(n, maps)
    sum_rule, sum_low, sum_high = at(n.limits, 0), at(n.limits, 1), at(n.limits, 2)
    current_rule, current_low, current_high = at(n.limits, 3), at(n.limits, 4), at(n.limits, 5)
    membrane_rule, membrane_low, membrane_high = at(n.limits, 6), at(n.limits, 7), at(n.limits, 8)
    u = zero
    if not maps.fresh:
        u = load(maps.membrane, state, zero)
    for t in range(maps.steps):
        if t == reset_at:
            reset_at += n.reset_interval
            u = zero
            if n.filters:
                store(maps.filtered, state, zero)
            if n.reset_delay:
                store(maps.pending, state, zero)
            if n.pauses:
                store(maps.waiting, state, zeros(maps.waiting, maps.masks))
        x = load(sums, ((0 if still else t) * g.out_width + ox) * lanes, zero)
        o = ((sample * maps.total + maps.start + t) * positions + position) * padded + channel
        if maps.adds:
            x = load(maps.current, o, zero) + x
        if maps.audit.size:
            _noted(x, SUM, n, maps, at_audit, padded, zero)
        if n.narrow:
            x = _within(x, sum_rule, sum_low, sum_high, zero)
        if n.gains:
            x = scaled(x, load(n.gain, of_neuron, zero))
        if n.shift:
            x = shifted(x, n.shift)
        x = x + bias
        if n.filters:
            i = load(maps.filtered, state, zero)
            x = decayed(i, load(n.current_leak, of_neuron, zero),
                        n.decay_bits, n.decay_positive, n.decay_negative) + x
        if maps.audit.size:
            _noted(x, CURRENT, n, maps, at_audit, padded, zero)
        if n.narrow:
            x = _within(x, current_rule, current_low, current_high, zero)
        if n.filters:
            store(maps.filtered, state, x)
        if maps.currents.size:
            store(maps.currents, o, x)
        h = u
        if n.leaks:
            h = decayed(u, load(n.leak, of_neuron, zero),
                        n.decay_bits, n.decay_positive, n.decay_negative)
        h = h + x
        if n.drives:
            h = h + load(n.drive, of_neuron, zero)
        if n.reset_delay:
            late = load(maps.pending, state, zero)
            if n.hard:
                h = select(below(zero, late), load(n.v_reset, of_neuron, zero), h)
            else:
                h = h - late
        idle = nobody
        if n.pauses:
            left = load(maps.waiting, state, zeros(maps.waiting, maps.masks))
            idle = below(zeros(maps.waiting, maps.masks), left)
            h = select(idle, u, h)
        if maps.audit.size:
            _noted(h, MEMBRANE, n, maps, at_audit, padded, zero)
        if n.narrow:
            h = _within(h, membrane_rule, membrane_low, membrane_high, zero)
        if maps.potentials.size:
            store(maps.potentials, o, h)
        minus = nobody
        rest = h
        if n.signed:
            minus = below(h, zero)
            rest = select(minus, negated(h), h)
        sent = zero
        fired = nobody
        slot = ((sample * maps.held + maps.first + t) * n_planes * positions + position) * words
        for b in range(n.bits - 1, -1, -1):
            spikes = without(
                at_least(rest, load(n.thresholds, b * of_plane + of_neuron, zero)), idle
            )
            amount = select(spikes, load(n.amounts, b * padded + channel, zero), zero)
            rest = rest - amount
            fired = either(fired, spikes)
            if n.reset_delay:
                sent = sent + amount
            k = slot + b * positions * words + tile
            put(maps.masks, k, without(spikes, minus))
            if n.signed:
                put(maps.masks, k + n.bits * positions * words, both(spikes, minus))
        u = rest
        if n.signed:
            u = select(minus, negated(rest), rest)
            sent = select(minus, negated(sent), sent)
        if n.hard:
            u = select(fired, load(n.v_reset, of_neuron, zero), h)
        if n.reset_delay:
            u = h
            if n.hard:
                sent = select(fired, splat(1, zero), zero)
            store(maps.pending, state, sent)
        if n.limited:
            lowest = load(n.v_min, of_neuron, zero)
            u = select(below(u, lowest), lowest, u)
        if n.pauses:
            left = load(maps.waiting, state, zeros(maps.waiting, maps.masks))
            one_less = left - splat(1, left)
            pause = load(n.refractory, of_neuron, left)
            store(maps.waiting, state, select(fired, pause, select(idle, one_less, left)))
        if maps.residuals.size:
            store(maps.residuals, o, u)
    if maps.keeps:
        store(maps.membrane, state, u)


@njit(inline="always")
def _fire_changes(sums, still, update, maps, geometry, sample, tile, row, ox):
    """SigmaDelta: all steps of one tile of neurons at one position. The level of a change is
    found from the top plane down; negative changes have thresholds of their own, since floor
    takes them away from zero."""
    g = geometry
    n = update
    lanes = lanes_of(maps.masks)
    zero = zeros(sums, maps.masks)
    padded = g.tiles * lanes
    positions = g.out_height * g.out_width
    position = row * g.out_width + ox
    channel = tile * lanes
    of_neuron = (position if n.per_position else 0) * padded + channel
    of_plane = (positions if n.per_position else 1) * padded
    bias = load(n.bias, (position if n.bias_per_position else 0) * padded + channel, zero)
    drive = load(n.drive, of_neuron, zero)
    least = load(n.least, of_neuron, zero)
    state = (sample * positions + position) * padded + channel
    words = ((padded + 63) >> 6) * (64 // lanes)
    at_audit = sample * 9 * padded + channel
    reset_at = _next_reset(n, maps)
    sum_rule, sum_low, sum_high = at(n.limits, 0), at(n.limits, 1), at(n.limits, 2)
    current_rule, current_low, current_high = at(n.limits, 3), at(n.limits, 4), at(n.limits, 5)
    membrane_rule, membrane_low, membrane_high = at(n.limits, 6), at(n.limits, 7), at(n.limits, 8)
    u = load(maps.membrane, state, zero)
    sent = load(maps.pending, state, zero)
    if maps.fresh:
        u = zero
        sent = zero
    for t in range(maps.steps):
        if t == reset_at:
            reset_at += n.reset_interval
            u = zero
            sent = zero
        x = load(sums, ((0 if still else t) * g.out_width + ox) * lanes, zero)
        o = ((sample * maps.total + maps.start + t) * positions + position) * padded + channel
        if maps.adds:
            x = load(maps.current, o, zero) + x
        if maps.audit.size:
            _noted(x, SUM, n, maps, at_audit, padded, zero)
        if n.narrow:
            x = _within(x, sum_rule, sum_low, sum_high, zero)
        if n.gains:
            x = scaled(x, load(n.gain, of_neuron, zero))
        if n.shift:
            x = shifted(x, n.shift)
        x = x + bias
        if maps.audit.size:
            _noted(x, CURRENT, n, maps, at_audit, padded, zero)
        if n.narrow:
            x = _within(x, current_rule, current_low, current_high, zero)
        if maps.currents.size:
            store(maps.currents, o, x)
        if n.changes == 1:
            x = u + x
        if maps.audit.size:
            _noted(x, MEMBRANE, n, maps, at_audit, padded, zero)
        if n.narrow:
            x = _within(x, membrane_rule, membrane_low, membrane_high, zero)
        u = x
        active = u + drive
        if n.rectified:
            active = select(below(active, zero), zero, active)
        if maps.potentials.size:
            store(maps.potentials, o, active)
        change = active - sent
        minus = below(change, zero)
        rest = select(minus, negated(change), change)
        enough = at_least(rest, least)
        rest = select(enough, rest, zero)
        sent = sent + select(enough, change, zero)
        slot = ((sample * maps.held + maps.first + t) * 2 * n.bits * positions + position) * words
        for b in range(n.bits - 1, -1, -1):
            reached = select(
                minus, load(n.thresholds, (n.bits + b) * of_plane + of_neuron, zero),
                load(n.thresholds, b * of_plane + of_neuron, zero),
            )
            spikes = at_least(rest, reached)
            rest = rest - select(spikes, load(n.amounts, b * padded + channel, zero), zero)
            k = slot + b * positions * words + tile
            put(maps.masks, k, without(spikes, minus))
            put(maps.masks, k + n.bits * positions * words, both(spikes, minus))
        if maps.residuals.size:
            store(maps.residuals, o, active - sent)
    store(maps.membrane, state, u)
    store(maps.pending, state, sent)


# ---- one path of one layer, for all samples: rows of sums, finished row by row


@compiled
def gather(sums, events, weight, ranges, geometry, update, maps):
    """Path of `gather_rows`. Writes sums and the arrays of maps."""
    for tile in range(geometry.tiles):
        for sample in range(maps.samples):
            for row in range(geometry.out_height):
                if geometry.near:
                    near_rows(sums, maps.masks, events, weight, ranges, geometry, sample,
                                     tile, row)
                else:
                    gather_rows(sums, maps.masks, events, weight, ranges, geometry, sample, tile, row)
                finish_row(sums, events.steps == 1, update, maps, geometry, sample, tile, row)


@compiled
def pairs(sums, events, weight, ranges, geometry, update, maps):
    """Path of `pair_rows`. Writes sums and the arrays of maps."""
    for tile in range(geometry.tiles):
        for sample in range(maps.samples):
            for row in range(geometry.out_height):
                pair_rows(sums, maps.masks, events, weight, ranges, geometry, sample, tile, row)
                finish_row(sums, events.steps == 1, update, maps, geometry, sample, tile, row)


@compiled
def slide(sums, events, weight, ranges, geometry, update, maps):
    """Path of `slide_rows` and `slide_planes`. Writes sums and the arrays of maps."""
    for tile in range(geometry.tiles):
        for sample in range(maps.samples):
            for row in range(geometry.out_height):
                if geometry.planes > 1:
                    slide_planes(sums, maps.masks, events, weight, ranges, geometry, sample, tile, row)
                else:
                    slide_rows(sums, maps.masks, events, weight, ranges, geometry, sample, tile, row)
                finish_row(sums, events.steps == 1, update, maps, geometry, sample, tile, row)


@compiled
def windowed(sums, source, held, first, steps, weight, geometry, update, maps):
    """Path of `window_rows`. Writes sums and the arrays of maps."""
    for tile in range(geometry.tiles):
        for sample in range(maps.samples):
            for row in range(geometry.out_height):
                window_rows(sums, maps.masks, source, held, first, steps, weight, geometry, sample,
                            tile, row)
                finish_row(sums, steps == 1, update, maps, geometry, sample, tile, row)


@compiled
def masked(sums, source, held, first, steps, weight, weight_steps, geometry, update, maps):
    """Path of `masked_rows`. Writes sums and the arrays of maps."""
    for tile in range(geometry.tiles):
        for sample in range(maps.samples):
            for row in range(geometry.out_height):
                masked_rows(sums, maps.masks, source, held, first, steps, weight, weight_steps,
                            geometry, sample, tile, row)
                finish_row(sums, steps == 1, update, maps, geometry, sample, tile, row)


@compiled
def real(sums, events, strengths, weight, ranges, geometry, update, maps):
    """Path of `real_rows`. Writes sums and the arrays of maps."""
    for tile in range(geometry.tiles):
        for sample in range(maps.samples):
            for row in range(geometry.out_height):
                real_rows(sums, maps.masks, events, strengths, weight, ranges, geometry, sample,
                          tile, row)
                finish_row(sums, events.steps == 1, update, maps, geometry, sample, tile, row)


@compiled
def attended(sums, events, weight, ranges, attention, geometry, update, maps):
    """Path of `gather_rows` whose sums are weighed by channel attention. Writes sums and the
    arrays of maps."""
    for tile in range(geometry.tiles):
        for sample in range(maps.samples):
            for row in range(geometry.out_height):
                gather_rows(sums, maps.masks, events, weight, ranges, geometry, sample, tile, row)
                weigh_rows(sums, maps.masks, attention, events.steps, geometry, sample, tile)
                finish_row(sums, events.steps == 1, update, maps, geometry, sample, tile, row)


# ---- word operations on spikes: 64 neurons at a time


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


# ---- counting, from popcounts


@compiled
def count_words(planes, fan_out, counts, samples, steps, held, first, n_planes, bits, size):
    """Popcounts of the planes. fan_out: int64 [position, word], fan-out of the word's position;
    size: positions * words. Writes counts int64 [sample, 5]: events, set bits, sum of |level|, and
    events and set bits times fan-out."""
    for s in range(samples * steps):
        o = ((s // steps) * held + first + s % steps) * n_planes * size
        n = s // steps
        levels = 0
        set_bits = 0
        fanned_bits = 0
        for b in range(n_planes):
            plane_bits = 0
            for i in range(size):
                found = bit_count(at(planes, o + b * size + i))
                plane_bits += found
                fanned_bits += found * at(fan_out, i)
            set_bits += plane_bits
            levels += plane_bits << (b % bits)
        events = set_bits
        fanned_events = fanned_bits
        if n_planes > 1:
            events = 0
            fanned_events = 0
            for i in range(size):
                occupied = np.uint64(0)
                for b in range(n_planes):
                    occupied |= at(planes, o + b * size + i)
                found = bit_count(occupied)
                events += found
                fanned_events += found * at(fan_out, i)
        counts[n, 0] += events
        counts[n, 1] += set_bits
        counts[n, 2] += levels
        counts[n, 3] += fanned_events
        counts[n, 4] += fanned_bits


@compiled
def count_channels(planes, members, bounds, bytes_, counts, samples, steps, held, first, n_planes,
                   positions, words):
    """Per sample, events of each (class of position, channel). members: int32, positions sorted by
    class; bounds: int64 [classes + 1]. Adds 0 or 1 to 64 bytes at a time, and those to counts
    before they overflow. Writes bytes_ int8 [64] (scratch) and counts int32 [sample, class, channel
    padded to words]."""
    one = splat(1, zeros(bytes_, planes))
    none = zeros(bytes_, planes)
    wide = zeros(counts, planes)
    n_classes = bounds.size - 1
    flat = counts.reshape(-1)
    for sample in range(samples):
        for k in range(n_classes):
            for w in range(words):
                target = ((sample * n_classes + k) * words + w) * 64
                found = none
                n = 0
                for t in range(steps):
                    slot = (sample * held + first + t) * n_planes
                    for m in range(bounds[k], bounds[k + 1]):
                        p = np.int64(at(members, m))
                        word = np.uint64(0)
                        b = 0
                        while b < n_planes:  # one by one: LLVM would gather them into a vector
                            word |= at(planes, ((slot + b) * positions + p) * words + w)
                            b = following(b)
                        found = found + select(word, one, none)
                        n += 1
                        if n == 127:
                            store(bytes_, 0, found)
                            store(flat, target, load(flat, target, wide) + load(bytes_, 0, wide))
                            found = none
                            n = 0
                store(bytes_, 0, found)
                store(flat, target, load(flat, target, wide) + load(bytes_, 0, wide))


@compiled
def channel_levels(planes, totals, samples, steps, held, first, bits, signed, height, width, channels,
                   stride_y, stride_x):
    """Sum of the levels of each channel over every stride-th position. Writes totals int64
    [sample, step, channel] (zeroed before)."""
    words = (channels + 63) >> 6
    n_planes = bits * (1 + signed)
    for s in range(samples * steps):
        slot = ((s // steps) * held + first + s % steps) * n_planes
        for b in range(n_planes):
            worth = 1 << (b % bits)
            if b >= bits:
                worth = -worth
            for y in range(0, height, stride_y):
                for x in range(0, width, stride_x):
                    for w in range(words):
                        i = ((slot + b) * height * width + y * width + x) * words + w
                        word = at(planes, i)
                        while word:
                            c = w * 64 + trailing_zeros(word)
                            word &= word - ONE
                            o = s * channels + c
                            put(totals, o, at(totals, o) + worth)


# ---- statistics of trains
#
# `size` is positions * words. A layer of few channels has most of its words empty: `pack` of them, a power of
# two, are taken as one, each with 64 / pack bits. A neuron's index is its bit, from word to word so made.


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


# ---- statistics of membranes


@njit(inline="always")
def _bin(value, edges, per_unit):
    """The number of edges, evenly spaced, that are not above the value, a number. per_unit: about as many
    lie in a unit."""
    last = edges.size - 1
    first = at(edges, 0)
    if value < first:
        return 0
    if value >= at(edges, last):
        return edges.size
    k = min(np.int64((value - first) * per_unit), last - 1)
    while value < at(edges, k):  # where the product has rounded across an edge
        k -= 1
    while value >= at(edges, k + 1):
        k += 1
    return k + 1


@njit(inline="always")
def _count(array, offset):
    put(array, offset, at(array, offset) + 1)


@njit(inline="always")
def _rectified(u, most):
    """j + phi(u - j), see statistics.membranes.rectified."""
    j = min(max(np.floor(u), 0.0), most - 1.0)
    rest = u - j
    if rest < 0:
        return j + (1 - np.cbrt(1 - rest))
    if rest > 1:
        return j + np.cbrt(rest)
    return j + (math.tanh(3 * (rest - 0.5)) / (2 * math.tanh(1.5)) + 0.5)


@compiled
def note_membranes(potentials, residuals, levels, parameters, edges, histograms, distances, extremes, unusual,
                   sums, known, rows, neurons, rectifies, signed):
    """Where membranes were. potentials, residuals: F [row, neuron], a row being a step of a sample.
    levels: int32 like them, what was sent. parameters: float64 [5, neuron]: steps per unit of the
    membrane, the histograms' unit, quantum, first threshold in quanta, highest level. edges: float64.

    Adds to histograms int64 [3, edges + 1] of H, U and phi(H), and to distances int64 [bins + 1]; widens
    extremes float64 [2]; adds to unusual int64 [1] the H that are not finite. Writes sums float64 [4, row]
    of U, U^2, (H - level)^2 and (phi(H) - level)^2, and how many neurons went into the first two and the
    last two, known int64 [2, row]; see statistics.membranes."""
    n_bins = distances.size - 1
    per_unit = (edges.size - 1) / (at(edges, edges.size - 1) - at(edges, 0))
    span = edges.size + 1
    for row in range(rows):
        mean, square, error, rectified_error = 0.0, 0.0, 0.0, 0.0
        n_after, n_before = 0, 0
        for i in range(neurons):
            steps, unit, quantum = at(parameters, i), at(parameters, neurons + i), at(parameters, 2 * neurons + i)
            before = np.float64(at(potentials, row * neurons + i)) / steps
            after = np.float64(at(residuals, row * neurons + i)) / steps / unit
            if abs(after) < np.inf:
                _count(histograms, span + _bin(after, edges, per_unit))
                mean += after
                square += after * after
                n_after += 1
            if not abs(before) < np.inf:
                _count(unusual, 0)
                continue
            u, in_unit, phi = before / quantum, before / unit, 0.0
            most = at(parameters, 4 * neurons + i)
            _count(histograms, _bin(in_unit, edges, per_unit))
            if rectifies:
                phi = _rectified(u, most)
                _count(histograms, 2 * span + _bin(phi * (quantum / unit), edges, per_unit))
            n_before += 1
            put(extremes, 0, min(at(extremes, 0), in_unit))
            put(extremes, 1, max(at(extremes, 1), in_unit))
            level = np.float64(at(levels, row * neurons + i))
            error += (u - level) * (u - level)
            rectified_error += (phi - level) * (phi - level)
            over = (abs(u) if signed else u) - at(parameters, 3 * neurons + i)
            nearest = min(max(np.rint(over), 0.0), most - 1)
            _count(distances, np.int64(min(abs(over - nearest) * n_bins, np.float64(n_bins))))
        put(sums, row, mean)
        put(sums, rows + row, square)
        put(sums, 2 * rows + row, error)
        put(sums, 3 * rows + row, rectified_error)
        put(known, row, n_after)
        put(known, rows + row, n_before)
