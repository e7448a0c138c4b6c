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

from eventsim.kernels.compiling import compiled
from eventsim.kernels.firing import finish_row
from eventsim.kernels.gathering import gather_rows, masked_rows, near_rows, real_rows, weigh_rows, window_rows
from eventsim.kernels.gathering_int8 import pair_rows, slide_planes, slide_rows


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


# ---- counting, from popcounts


# ---- statistics of trains
#
# `size` is positions * words. A layer of few channels has most of its words empty: `pack` of them, a power of
# two, are taken as one, each with 64 / pack bits. A neuron's index is its bit, from word to word so made.


# ---- statistics of membranes
