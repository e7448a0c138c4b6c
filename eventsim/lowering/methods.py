"""Methods: how a path's weighted sums are worked out, chosen by its shape and, of integers, by its weights and by
how dense its spikes are. `layout` lays the weights out for each."""

from typing import NamedTuple, Optional

import numpy as np

from eventsim.lowering.layout import laid_out_size, tiles_of, WORD

MOST_IMAGE_CHANNELS, MOST_IMAGE_INPUTS = 4, 256  # under a window: int16 holds most sums of so many int8
MOST_SLIDE_INPUTS = 512  # under a window, of floats; beyond, rows that stay in the cache are faster
MOST_SLIDE_BYTES = 64 << 10  # of int16 weights; beyond, pairs of int8 are faster
DENSE = {64: 0.45, 32: 0.3, 16: 0.3}  # lanes -> share of set bits from which on tables are faster than events
MOST_TABLE_BYTES = 1280 << 10  # of a tile; tables that no second-level cache holds take twice as long


# method -> why a path runs so
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


def method_of(path, weight, out_shape, lanes, read):
    """Return the method of a path, a name of WHY. weight: as the run uses it. read: ReadTrain. Floats are added in
    an order that the method decides: theirs does not depend on the density."""
    by_shape = method_of_shape(path, weight.shape, read.image)
    if by_shape:
        return by_shape
    slides = can_slide(path, weight.shape, out_shape)
    if weight.dtype.kind == "i" and takes_tables(path, out_shape, lanes, read) and _all_sums_fit(weight, read):
        return "slide_tables"
    if slides and (weight[0].size <= MOST_SLIDE_INPUTS if weight.dtype.kind == "f"
                   else _sums_fit(weight) and _rows_are_near(weight, lanes)):
        return "slide"
    if weight.dtype == np.int8 and lanes > 16:
        return "slide_pairs" if slides else "pairs"
    return "gather"


def method_of_shape(path, weight_shape, image):
    """Return the method of a path where the values of its weights do not matter to the choice, else ""."""
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


def takes_tables(path, out_shape, lanes, read) -> bool:
    """Return whether the sums of a few channels at a time, looked up in tables, are faster than events."""
    if not can_slide(path, path.weight.shape, out_shape) or (read.density or 0) < DENSE[lanes]:
        return False
    n_sums = laid_out_size(path, lanes, "slide_tables") // tiles_of(path.weight.shape[0], lanes)
    return 2 * n_sums <= MOST_TABLE_BYTES


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
