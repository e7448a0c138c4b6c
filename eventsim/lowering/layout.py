"""Layouts: how weights, parameters and fan-outs are laid out for the kernels.

Channels are last and padded to whole tiles of `lanes` channels. `kernels.arguments` has the layouts.
"""

from typing import NamedTuple, Optional

import numpy as np

from eventsim.kernels.arguments import Geometry
from eventsim.program import FanOut

MOST_ROW_WEIGHTS = 3 * 64  # three taps of 64 channels
WORD = 64  # inputs
MOST_PART_BITS, MOST_WIDE_PART_BITS = 9, 7  # of a table of sums: of up to NARROW channels, and of more
NARROW = 32
ANY = 64  # planes: more than levels have
NEAR_BYTES = 24 << 10  # of weights that stay in a first-level cache of 32 KiB beside the spikes
CHANNELS_AT_ONCE = 4  # looked up in tables of sums of dense spikes; those of five leave the second-level cache


class Parts(NamedTuple):
    """How a window's inputs, by row, column, channel, are cut into words of some kernel rows each, and words into
    parts of so many bits; or so the channels of a position. number: of parts of the window, or position; its last
    word may have fewer than `per_word`."""

    number: int
    bits: int
    rows: int
    per_word: int


class Rows(NamedTuple):
    """Weights in the layout of a kernel.

    values: aligned flat rows of `lanes` weights. ranges: int64 (tiles, 3), the first group, one past the
    last group and the first channel that each tile reads. per_tap: rows of a tap of the kernel. parts: of
    tables of sums. planes_at_once: how many planes of a window their type holds the sum of.
    """

    values: np.ndarray
    ranges: np.ndarray
    per_tap: int
    lanes: int
    parts: Optional[Parts] = None
    planes_at_once: int = 0


def lanes_of(unit, weight_dtype):
    """Return how many channels of a layer a kernel processes at once."""
    widest = max((p.weight.shape[1] * p.weight.shape[3] for p in unit.synapses if p.weight is not None),
                 default=1)
    return lanes_for(unit.shape[0], weight_dtype, widest)


def lanes_for(channels, weight_dtype, row_weights):
    """Return how many channels a kernel processes at once.

    Measured on a Zen 4: pairs of int8 are fastest with 64; float32 with 64 where a kernel row has
    few weights per output channel (row_weights, taps times input channels), else with 32, whose
    rows stay in the cache. Narrow layers take fewer: padding may add a quarter to what 16 lanes
    need, for int8 a third.
    """
    widest = {1: 64, 2: 32, 4: 64 if row_weights <= MOST_ROW_WEIGHTS else 32, 8: 16}
    most_channels = (4 / 3 if weight_dtype.itemsize == 1 else 5 / 4) * _padded(channels, 16)
    for lanes in (64, 32):
        if lanes <= widest[weight_dtype.itemsize] and _padded(channels, lanes) <= most_channels:
            return lanes
    return 16


def tiles_of(channels, lanes):
    """Return how many tiles of `lanes` channels hold so many."""
    return -(-channels // lanes)


def _padded(channels, lanes):
    return tiles_of(channels, lanes) * lanes


def channels_last(values, lanes, fill=0):
    """Return values (C, H, W) as (H * W, padded C), filled up."""
    channels = values.shape[0]
    out = np.full((values[0].size, _padded(channels, lanes)), fill, values.dtype)
    out[:, :channels] = values.reshape(channels, -1).T
    return out


def mask_words(mask):
    """Return a mask, bool (C, H, W), as the words of one plane: uint64 (positions * words,)."""
    channels = mask.shape[0]
    bits = np.zeros((mask[0].size, -(-channels // 64) * 64), bool)
    bits[:, :channels] = mask.reshape(channels, -1).T
    return np.packbits(bits, axis=1, bitorder="little").view(np.uint64).reshape(-1)


def geometry(path, out_shape, kernel, rows, levels):
    """Return the Geometry of a path into a layer of out_shape (C, H, W). kernel: (kH, kW). rows: Rows. levels:
    (bits, signed) of the spikes that it reads."""
    one_run = path.n_groups == 1 and path.dilation[1] == 1
    inputs = kernel[0] * kernel[1] * rows.per_tap  # under one window
    (bits, signed), parts = levels, rows.parts or Parts(0, 0, 0, 0)
    return Geometry(
        height=path.source_shape[1], width=path.source_shape[2], channels=path.source_shape[0],
        rows_per_tap=rows.per_tap, out_height=out_shape[1], out_width=out_shape[2],
        kernel_height=kernel[0], kernel_width=kernel[1],
        stride_y=path.stride[0], stride_x=path.stride[1],
        padding_y=path.padding[0], padding_x=path.padding[1],
        dilation_y=path.dilation[0], dilation_x=path.dilation[1],
        groups=path.n_groups, run=kernel[1] if one_run else 1, bits=bits, signed=int(signed),
        tiles=tiles_of(out_shape[0], rows.lanes),
        near=int(inputs * rows.lanes * rows.values.itemsize <= NEAR_BYTES),
        parts=parts.number, part_bits=parts.bits, word_rows=parts.rows, word_parts=parts.per_word,
        planes_at_once=min(rows.planes_at_once, bits),
    )


def pool_geometry(shape, out_shape, window, lanes):
    """Return the Geometry of a pool of sums. shape, out_shape: (C, H, W) before and after. window: kernel, stride,
    padding, (y, x) each."""
    (kernel, stride, padding), ones = window, (1, 1)
    return Geometry(
        shape[1], shape[2], shape[0], 0, out_shape[1], out_shape[2], *kernel, *stride, *padding, *ones,
        groups=1, run=1, bits=0, signed=0, tiles=tiles_of(out_shape[0], lanes), near=0,
        parts=0, part_bits=0, word_rows=0, word_parts=0, planes_at_once=0,
    )


def weight_rows(weight, groups, lanes, method):
    """Return weights (out, in / groups, kH, kW) as Rows in the layout that a method wants (see `methods`)."""
    if method == "masked":
        return _masked_rows(weight, lanes)
    n_out, n_in, height, width = weight.shape
    tiles = tiles_of(n_out, lanes)
    ranges = _ranges(n_out, n_in, groups, lanes, tiles)
    per_tap = int((ranges[:, 1] - ranges[:, 0]).max()) * n_in
    rows = np.zeros((tiles, height, width, per_tap, lanes), weight.dtype)
    for o in range(n_out):
        tile, lane = divmod(o, lanes)
        first = o // (n_out // groups) * n_in - ranges[tile, 2]
        rows[tile, :, :, first : first + n_in, lane] = weight[o].transpose(1, 2, 0)
    parts, planes_at_once = None, 0
    if method == "windowed":
        parts = window_parts(height, width * n_in, n_out)
        rows, planes_at_once = _tables(rows.reshape(tiles, height, -1, lanes), parts)
    elif method == "slide_tables":
        parts = channel_parts(n_in)
        rows = _slide_tables(_sliding(rows), parts)
    elif method == "slide":
        rows = _sliding(rows) if rows.dtype.kind == "f" else _sliding(rows).astype(np.int16)
    elif method == "slide_pairs":
        rows = _paired(_sliding(rows), lanes)
    elif method == "pairs":
        rows = _paired(rows, lanes)
    return Rows(aligned_array(rows), ranges, per_tap, lanes, parts, planes_at_once)


def _masked_rows(weight, lanes):
    """Return weights (out, 1, kH, kW), one per tap and channel, as Rows."""
    taps = weight[:, 0].transpose(1, 2, 0)
    padded = np.zeros((*taps.shape[:2], _padded(weight.shape[0], lanes)), weight.dtype)
    padded[:, :, : weight.shape[0]] = taps
    return Rows(aligned_array(padded), np.zeros((1, 3), np.int64), 1, lanes)


def _sliding(rows):
    """Return rows (tiles, kH, kW, channels, lanes) with the taps of a kernel row side by side."""
    return rows.transpose(0, 1, 3, 2, 4)


def laid_out_size(path, lanes, method) -> int:
    """Return how many numbers `weight_rows` makes of a path's weights. method: "" for any that only pads them."""
    n_out, n_in, height, width = path.weight.shape
    padded = _padded(n_out, lanes)
    if method == "masked":
        return padded * height * width
    if method == "windowed":
        parts = window_parts(height, width * n_in, n_out)
        return padded * parts.number << parts.bits
    if method == "slide_tables":
        parts = channel_parts(n_in)
        return padded * height * width * parts.number << parts.bits
    ranges = _ranges(n_out, n_in, path.groups, lanes, tiles_of(n_out, lanes))
    return padded * height * width * int((ranges[:, 1] - ranges[:, 0]).max()) * n_in


def window_parts(height, inputs, channels) -> Parts:
    """Return the Parts of a window of `height` rows of `inputs` neurons each, as few as there can be, all
    alike."""
    rows = min(WORD // inputs, height)
    most_bits = MOST_PART_BITS if channels <= NARROW else MOST_WIDE_PART_BITS
    per_word = -(-rows * inputs // most_bits)
    bits = -(-rows * inputs // per_word)
    words = -(-height // rows)
    last = (height - (words - 1) * rows) * inputs
    return Parts((words - 1) * per_word + -(-last // bits), bits, rows, per_word)


def _tables(rows, parts):
    """Return the sums of all subsets of each part's rows, added in their order from +0, (tiles, parts, 2^bits,
    lanes): of integers int16 or int32, whichever holds a window's; and how many planes' sum their type holds,
    doubled from the top: sum of absolute weights times 2^planes - 1. rows: (tiles, kernel rows, inputs of each,
    lanes)."""
    tiles, height, inputs, lanes = rows.shape
    integers = rows.dtype.kind == "i"
    tables = np.zeros((tiles, parts.number, 1 << parts.bits, lanes), np.int32 if integers else rows.dtype)
    for y, i in np.ndindex(height, inputs):
        word, inside = divmod(y, parts.rows)
        part, bit = divmod(inside * inputs + i, parts.bits)
        part += word * parts.per_word
        having = np.flatnonzero(np.arange(1 << parts.bits) >> bit & 1)
        tables[:, part, having] = tables[:, part, having] + rows[:, y, i, None]
    if not integers:
        return tables, ANY
    largest_sum = int(np.abs(rows.astype(np.int64)).sum(axis=(1, 2)).max(initial=1))
    planes_at_once = (np.iinfo(np.int16).max // max(largest_sum, 1) + 1).bit_length() - 1
    return (tables.astype(np.int16), planes_at_once) if planes_at_once else (tables, ANY)


def channel_parts(channels) -> Parts:
    """Return the Parts of a position's channels."""
    return Parts(-(-channels // CHANNELS_AT_ONCE), CHANNELS_AT_ONCE, 1, WORD // CHANNELS_AT_ONCE)


def _slide_tables(rows, parts):
    """Return the sums of all subsets of each part's channels, modulo 2^16: int16 (tiles, kernel rows, parts,
    2^bits, kernel columns, lanes). rows: (tiles, kernel rows, channels, kernel columns, lanes)."""
    tiles, height, channels, width, lanes = rows.shape
    tables = np.zeros((tiles, height, parts.number, 1 << parts.bits, width, lanes), np.int16)
    for channel in range(channels):
        part, bit = divmod(channel, parts.bits)
        having = np.flatnonzero(np.arange(1 << parts.bits) >> bit & 1)
        tables[:, :, part, having] += rows[:, :, channel, None]
    return tables


def _ranges(n_out, n_in, groups, lanes, tiles):
    ranges = np.zeros((tiles, 3), np.int64)
    per_group = n_out // groups
    for tile in range(tiles):
        first = tile * lanes // per_group
        last = (min((tile + 1) * lanes, n_out) - 1) // per_group
        ranges[tile] = first, last + 1, first * n_in
    return ranges


def _paired(rows, lanes):
    """Return the halves of each int8 row in one int16: 256 * high + (low + 128); see
    kernels.gathering_int8.pair_rows."""
    wide = rows.astype(np.int32)
    half = lanes // 2
    return (256 * wide[..., half:] + wide[..., :half] + 128).astype(np.int16)


def aligned_array(array, boundary=64):
    """Return a flat C-contiguous copy that starts at a multiple of `boundary` bytes."""
    flat = np.ascontiguousarray(array).reshape(-1)
    out = aligned_zeros(flat.size, flat.dtype, boundary)
    out[:] = flat
    return out


def aligned_zeros(size, dtype, boundary=64):
    """Return a flat array of zeros that starts at a multiple of `boundary` bytes."""
    n_bytes = size * np.dtype(dtype).itemsize
    buffer = np.zeros(n_bytes + boundary, np.uint8)
    start = -buffer.ctypes.data % boundary
    return buffer[start : start + n_bytes].view(dtype)


def fan_out(weight, path, out_shape, groups):
    """Return the FanOut of a path. weight: (out, in / groups, kH, kW) as the run uses it."""
    n_out, n_in, height, width = weight.shape
    taps_y = _taps(path, out_shape, height, 0)
    taps_x = _taps(path, out_shape, width, 1)
    targets_y = np.array([len(taps) for taps in taps_y])
    targets_x = np.array([len(taps) for taps in taps_x])
    per_position = (targets_y[:, None] * targets_x[None, :]).ravel() * (n_out // groups)
    sources = per_position.reshape(len(taps_y), len(taps_x))[:: path.spread[0], :: path.spread[1]]
    total = int(sources.sum()) * path.source_shape[0]
    per_position = per_position.astype(np.int64)
    per_word = np.repeat(per_position, -(-path.source_shape[0] // 64))
    if weight.all():
        return FanOut(per_position, per_word, total)
    per_tap = (weight != 0).reshape(groups, n_out // groups, n_in, height, width).sum(axis=1)
    per_tap = per_tap.reshape(groups * n_in, height, width)
    classes = {}
    class_of_position = np.array([
        classes.setdefault((ys, xs), len(classes)) for ys in taps_y for xs in taps_x
    ], np.int32)
    nonzero = np.array([
        per_tap[:, list(ys)][:, :, list(xs)].sum(axis=(1, 2)) for ys, xs in classes
    ], np.int64)
    return FanOut(per_position, per_word, total, class_of_position, nonzero)


def _taps(path, out_shape, kernel, axis):
    """Return, for each input position of an axis, the kernel taps over which it reaches an output."""
    size, n_out = path.source_shape[1 + axis], out_shape[1 + axis]
    taps = [[] for _ in range(size)]
    for k in range(kernel):
        inputs = np.arange(n_out) * path.stride[axis] - path.padding[axis] + k * path.dilation[axis]
        for i in inputs[(inputs >= 0) & (inputs < size)]:
            taps[i].append(k)
    return [tuple(t) for t in taps]
