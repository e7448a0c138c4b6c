"""Addressing: where kernels find planes of a train, a row of neurons, the window under a position."""

from typing import NamedTuple

from eventsim.kernels.compiling import inlined
from eventsim.kernels.vectors import eight_zeros, lanes_of, load, load_one, same_bits


@inlined
def slot_of(slots, s):
    """Return the slot of a train that holds step `s` of the samples' steps, one after another."""
    return (s // slots.steps) * slots.per_sample + slots.first + s % slots.steps


@inlined
def read_slot_of(slots, s):
    """Return `slot_of`, of a train whose single slot may stand for every step."""
    t = s % slots.steps if slots.per_sample > 1 or slots.steps == 1 else 0
    return (s // slots.steps) * slots.per_sample + slots.first + t


@inlined
def n_planes_of(slots):
    """Return the planes of a slot, of all signs."""
    return slots.bits * (1 + slots.signed)


@inlined
def words_of(slots):
    """Return the words of a position."""
    return (slots.channels + 63) >> 6


@inlined
def plane_size(slots):
    """Return the words of a plane."""
    return slots.height * slots.width * ((slots.channels + 63) >> 6)


@inlined
def are_zero(words, first, n):
    """Return whether n words from `first` on are all 0."""
    for k in range(n >> 3):
        if not eight_are_empty(words, first + 8 * k, 1, 0):
            return False
    for k in range(n & ~7, n):
        if load_one(words, first + k) != 0:
            return False
    return True


@inlined
def eight_are_empty(planes, first, n_planes, apart):
    """Return whether eight words from `first` on are 0 in so many planes. apart: words from plane to plane."""
    none = eight_zeros(planes)
    for b in range(n_planes):
        if not same_bits(load(planes, first + b * apart, none), none):
            return False
    return True


class Span(NamedTuple):
    """Which events of a position a tile reads."""

    first_group: int
    last_group: int  # one past the last
    first_channel: int


@inlined
def span_of(ranges, tile):
    """Return the Span of a tile, loaded before the loops: LLVM cannot know that sums do not overlap ranges."""
    return Span(load_one(ranges, 3 * tile), load_one(ranges, 3 * tile + 1), load_one(ranges, 3 * tile + 2))


@inlined
def input_row(g, row, ky):
    """Return the input row under a kernel row; it may lie in the padding."""
    return row * g.stride_y - g.padding_y + ky * g.dilation_y


@inlined
def input_column(g, ox, kx):
    """Return the input column under a kernel column; it may lie in the padding."""
    return ox * g.stride_x - g.padding_x + kx * g.dilation_x


@inlined
def columns_under(g, ox, kx):
    """Return (first, one past the last) input column of the run of taps from `kx` on, without padding."""
    left = ox * g.stride_x - g.padding_x + kx * g.dilation_x
    return max(left, 0), min(left + g.run, g.width)


@inlined
def weight_row(g, span, tile, ky, kx, ox):
    """Return the weight row of an event with index 0; an event's own is its index further on."""
    left = ox * g.stride_x - g.padding_x + kx * g.dilation_x
    tap = (tile * g.kernel_height + ky) * g.kernel_width + kx
    return tap * g.rows_per_tap - left * g.channels - span.first_channel


@inlined
def pointers_under(g, span, p, lo, hi):
    """Return where the pointers to the first event of some columns, and to the one after their last, stand.
    p: the pointer of the input row."""
    return p + lo * g.groups + span.first_group, p + (hi - 1) * g.groups + span.last_group


@inlined
def highest_plane(pointers, plane, per_plane, g):
    """Return one past the highest plane of a step that has events, of any sign. plane: number of the step's
    first."""
    b = g.bits
    while b > 0:
        events = _count_events(pointers, (plane + b - 1) * per_plane, per_plane)
        if g.signed:
            events += _count_events(pointers, (plane + g.bits + b - 1) * per_plane, per_plane)
        if events:
            return b
        b -= 1
    return b


@inlined
def _count_events(pointers, p, per_plane):
    """Return the events of a plane whose pointers begin at p."""
    return load_one(pointers, p + per_plane - 1) - load_one(pointers, p)


class Place(NamedTuple):
    """Offsets of some channels' neurons at one position in a layer's arrays, for step 0 of a run."""

    channel: int  # the first
    padded: int  # channels of the layer
    neuron: int  # in parameters of neurons
    per_plane: int  # parameters of a plane's neurons
    bias: int
    state: int  # in membrane, filtered, pending, waiting
    traced: int  # in current, currents, potentials, residuals
    per_step: int  # elements of a step in those
    mask: int  # in masks
    masks_per_plane: int


@inlined
def place_of(update, maps, g, sample, channel, position):
    """Return the Place of as many channels from `channel` on as an element of maps.masks holds, at a position."""
    lanes = lanes_of(maps.masks)
    padded = g.tiles * maps.lanes
    positions = g.out_height * g.out_width
    words = ((padded + 63) >> 6) * (64 // lanes)
    n_planes = update.bits * (1 + update.signed)
    mask = (sample * maps.mask_slots + maps.first_slot) * n_planes * positions * words
    return Place(
        channel, padded,
        (position if update.per_position else 0) * padded + channel,
        (positions if update.per_position else 1) * padded,
        (position if update.bias_per_position else 0) * padded + channel,
        (sample * positions + position) * padded + channel,
        ((sample * maps.total + maps.start) * positions + position) * padded + channel,
        positions * padded,
        mask + position * words + channel // lanes,
        positions * words,
    )
