"""Layouts: how weights, parameters and fan-outs are laid out for the kernels.

Channels are last and padded to whole tiles of `lanes` channels. `kernels.arguments` has the layouts.
"""

from typing import NamedTuple, Optional

import numpy as np

from eventsim.kernels.arguments import Geometry
from eventsim.program import FanOut

MOST_ROW_WEIGHTS = 3 * 64  # three taps of 64 channels
WORD = 64  # inputs
MOST_IMAGE_CHANNELS, MOST_IMAGE_INPUTS = 4, 256  # under a window: int16 holds most sums of so many int8
MOST_PART_BITS, MOST_WIDE_PART_BITS = 9, 7  # of a table of sums: of up to NARROW channels, and of more
NARROW = 32
ANY = 64  # planes: more than levels have
MOST_SLIDE_INPUTS = 512  # under a window, of floats; beyond, rows that stay in the cache are faster
MOST_SLIDE_BYTES = 64 << 10  # of int16 weights; beyond, pairs of int8 are faster
NEAR_BYTES = 24 << 10  # of weights that stay in a first-level cache of 32 KiB beside the spikes
CHANNELS_AT_ONCE = 4  # looked up in tables of sums of dense spikes; those of five leave the second-level cache
DENSE = {64: 0.45, 32: 0.3, 16: 0.3}  # lanes -> share of set bits from which on they are faster than events
MOST_TABLE_BYTES = 1280 << 10  # of a tile: of one that no second-level cache holds, they take twice as long


# Why a path runs as it does, by `program.Synapses.method`
WHY = {
    "windowed": "at most 64 inputs, or 256 of an image, under a window: parts of it looked up in tables of sums",
    "slide": "windows three columns wide, moved by one: each event added to the three columns that it reaches",
    "slide_pairs": "as slide, two int8 weights added as one int16: weights that a first-level cache does not hold",
    "slide_tables": "as slide, of dense spikes: four channels at a time looked up in tables of sums",
    "pairs": "int8 weights, two added as one int16",
    "gather": "rows of weights of the events under each window",
    "masked": "one weight per tap and channel, masked by the spikes",
    "attended": "channel attention weighs the sums",
    "real": "the input is real: the only synapses that multiply",
}


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


def _padded(channels, lanes):
    return -(-channels // lanes) * lanes


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


def can_slide(path, weight_shape, out_shape):
    """Return whether `kernels.gathering.slide_rows` can run a path: windows three columns wide, moved by one."""
    return (
        weight_shape[3] == 3 and path.stride == (1, 1) and path.dilation == (1, 1)
        and path.groups == 1 and out_shape[2] >= 3
    )


def fits_window(path, weight_shape, image):
    """Return whether `kernels.looking_up.window_rows` is to run a path: at most 64 neurons under a window of
    several positions, or 256 of an image of few channels, half of whose bits are set; at most 64 under a row of
    it."""
    _, channels, height, width = weight_shape
    if path.groups > 1 or height * width == 1 or channels * width > WORD:
        return False
    most_inputs = MOST_IMAGE_INPUTS if image and channels <= MOST_IMAGE_CHANNELS else WORD
    return channels * height * width <= most_inputs


class ReadTrain(NamedTuple):
    """What a path reads. image: whether it is one. largest, signed: of its levels. density: share of set bits on
    the check samples, or None."""

    image: bool
    largest: int
    signed: bool
    density: Optional[float] = None


def method(path, weight, out_shape, lanes, read):
    """Return the name of the kernel that runs a path, see `program.Synapses`. weight: as the run uses it. read:
    ReadTrain. Floats are added in an order that the kernel decides: theirs does not depend on the density."""
    by_shape = _method_of_shape(path, weight.shape, read.image)
    if by_shape:
        return by_shape
    slides = can_slide(path, weight.shape, out_shape)
    if weight.dtype.kind == "i" and tables_size(path, out_shape, lanes, read) and _all_sums_fit(weight, read):
        return "slide_tables"
    if slides and (weight[0].size <= MOST_SLIDE_INPUTS if weight.dtype.kind == "f"
                   else _sums_fit(weight) and _rows_are_near(weight, lanes)):
        return "slide"
    if weight.dtype == np.int8 and lanes > 16:
        return "slide_pairs" if slides else "pairs"
    return "gather"


def _method_of_shape(path, weight_shape, image):
    """Return the kernel of a path whose weights' numbers do not matter to the choice, or ""."""
    if path.weight is None or path.real:
        return "real" if path.real else "masked"
    if path.attention is not None:
        return "attended"
    if path.groups == weight_shape[0] == path.source_shape[0] and path.groups > 1:
        return "masked"
    return "windowed" if fits_window(path, weight_shape, image) else ""


def _sums_fit(weight):
    """Return whether 16 bits hold the sum of any of an output's weights."""
    wide, axes = weight.astype(np.int64), (1, 2, 3)
    return bool((wide.clip(0).sum(axes) <= 32767).all() and (wide.clip(None, 0).sum(axes) >= -32768).all())


def tables_size(path, out_shape, lanes, read) -> int:
    """Return the number of sums in tables of the channels, where these are faster than events; else 0."""
    n_out, channels, height, width = path.weight.shape
    if not can_slide(path, path.weight.shape, out_shape) or (read.density or 0) < DENSE[lanes]:
        return 0
    parts = channel_parts(channels)
    of_tile = height * (parts.number << parts.bits) * width * lanes
    return 0 if 2 * of_tile > MOST_TABLE_BYTES else of_tile * (_padded(n_out, lanes) // lanes)


def _all_sums_fit(weight, read):
    """Return whether 16 bits hold the sums of an output's weights with any levels."""
    wide, axes = weight.astype(np.int64) * read.largest, (1, 2, 3)
    low, high = wide.clip(None, 0).sum(axes), wide.clip(0).sum(axes)
    if read.signed:
        low, high = low - high, high - low
    return bool((high <= 32767).all() and (low >= -32768).all())


def _rows_are_near(weight, lanes):
    """Return whether a tile's weights, as int16, are read as fast as pairs of int8."""
    return weight[0].size * lanes * 2 <= MOST_SLIDE_BYTES


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
        tiles=_padded(out_shape[0], rows.lanes) // rows.lanes,
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
        groups=1, run=1, bits=0, signed=0, tiles=_padded(out_shape[0], lanes) // lanes, near=0,
        parts=0, part_bits=0, word_rows=0, word_parts=0, planes_at_once=0,
    )


def weight_rows(weight, groups, lanes, kernel):
    """Return weights (out, in / groups, kH, kW) as Rows in the layout of a kernel, which `method` names."""
    if kernel == "masked":
        taps = weight[:, 0].transpose(1, 2, 0)
        padded = np.zeros((*taps.shape[:2], _padded(weight.shape[0], lanes)), weight.dtype)
        padded[:, :, : weight.shape[0]] = taps
        return Rows(aligned_array(padded), np.zeros((1, 3), np.int64), 1, lanes)
    n_out, n_in, height, width = weight.shape
    tiles = _padded(n_out, lanes) // lanes
    ranges = _ranges(n_out, n_in, groups, lanes, tiles)
    rows_per_tap = int((ranges[:, 1] - ranges[:, 0]).max()) * n_in
    rows = np.zeros((tiles, height, width, rows_per_tap, lanes), weight.dtype)
    for o in range(n_out):
        tile, lane = divmod(o, lanes)
        first = o // (n_out // groups) * n_in - ranges[tile, 2]
        rows[tile, :, :, first : first + n_in, lane] = weight[o].transpose(1, 2, 0)
    if kernel == "windowed":
        parts = window_parts(height, width * n_in, n_out)
        tables, planes_at_once = _tables(rows.reshape(tiles, height, -1, lanes), parts)
        return Rows(aligned_array(tables), ranges, rows_per_tap, lanes, parts, planes_at_once)
    if kernel in ("slide", "slide_pairs", "slide_tables"):
        rows = rows.transpose(0, 1, 3, 2, 4)
    if kernel == "slide_tables":
        return Rows(_slide_tables(rows), ranges, rows_per_tap, lanes, channel_parts(n_in))
    if kernel in ("pairs", "slide_pairs"):
        rows = _paired(rows, lanes)
    if kernel == "slide" and rows.dtype.kind == "i":
        rows = rows.astype(np.int16)
    return Rows(aligned_array(rows), ranges, rows_per_tap, lanes)


def laid_out_size(path, lanes, image) -> int:
    """Return how many numbers `weight_rows` makes of a path's weights. image: whether the path reads one."""
    n_out, n_in, height, width = path.weight.shape
    padded, by_shape = _padded(n_out, lanes), _method_of_shape(path, path.weight.shape, image)
    if by_shape == "masked":
        return padded * height * width
    if by_shape == "windowed":
        parts = window_parts(height, width * n_in, n_out)
        return padded * parts.number << parts.bits
    ranges = _ranges(n_out, n_in, path.groups, lanes, padded // lanes)
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


def _slide_tables(rows):
    """Return the sums of all subsets of each part's channels, modulo 2^16, aligned flat int16 of (tiles, kernel
    rows, parts, 2^bits, kernel columns, lanes). rows: (tiles, kernel rows, channels, kernel columns, lanes)."""
    tiles, height, channels, width, lanes = rows.shape
    parts = channel_parts(channels)
    flat = aligned_zeros(tiles * height * (parts.number << parts.bits) * width * lanes, np.int16)
    tables = flat.reshape(tiles, height, parts.number, 1 << parts.bits, width, lanes)
    for channel in range(channels):
        part, bit = divmod(channel, parts.bits)
        having = np.flatnonzero(np.arange(1 << parts.bits) >> bit & 1)
        tables[:, :, part, having] += rows[:, :, channel, None]
    return flat


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
