"""One path of one layer, for all samples: rows of sums, finished row by row. What Python calls.

Kernels take arrays and scalars, allocate nothing and check nothing: the engine and `lowering` have
validated all that they index. `arguments` describes the arrays; a kernel's docstring names what it
writes. "Additions only" is meant literally: the row functions contain no product of a weight and a
spike (a test reads their syntax trees); `real_rows` alone multiplies.
"""

from eventsim.kernels.compiling import compiled
from eventsim.kernels.firing import finish_row
from eventsim.kernels.gathering import gather_rows, masked_rows, near_rows, real_rows, weigh_rows, window_rows
from eventsim.kernels.gathering_int8 import pair_rows, slide_planes, slide_rows
from eventsim.kernels.pooling import pooled_rows


@compiled
def gather(sums, events, weight, ranges, geometry, update, maps):
    """Path of `gather_rows`. Writes sums and the arrays of maps."""
    for tile in range(geometry.tiles):
        for sample in range(maps.samples):
            for row in range(geometry.out_height):
                if geometry.near:
                    near_rows(sums, maps.masks, events, weight, ranges, geometry, sample, tile, row)
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
def windowed(sums, source, slots, weight, geometry, update, maps):
    """Path of `window_rows`. Writes sums and the arrays of maps."""
    for tile in range(geometry.tiles):
        for sample in range(maps.samples):
            for row in range(geometry.out_height):
                window_rows(sums, maps.masks, source, slots, weight, geometry, sample, tile, row)
                finish_row(sums, slots.steps == 1, update, maps, geometry, sample, tile, row)


@compiled
def masked(sums, source, slots, weight, weight_steps, geometry, update, maps):
    """Path of `masked_rows`. Writes sums and the arrays of maps."""
    for tile in range(geometry.tiles):
        for sample in range(maps.samples):
            for row in range(geometry.out_height):
                masked_rows(sums, source, slots, weight, weight_steps, geometry, sample, tile, row)
                finish_row(sums, slots.steps == 1, update, maps, geometry, sample, tile, row)


@compiled
def real(sums, events, weight, ranges, geometry, update, maps):
    """Path of `real_rows`. Writes sums and the arrays of maps."""
    for tile in range(geometry.tiles):
        for sample in range(maps.samples):
            for row in range(geometry.out_height):
                real_rows(sums, maps.masks, events, weight, ranges, geometry, sample, tile, row)
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


@compiled
def pooled(sums, before, geometry, update, maps):
    """Path of `pooled_rows`. Writes sums and the arrays of maps."""
    for tile in range(geometry.tiles):
        for sample in range(maps.samples):
            for row in range(geometry.out_height):
                pooled_rows(sums, maps.masks, before, geometry, sample, tile, row)
                finish_row(sums, before.steps == 1, update, maps, geometry, sample, tile, row)
