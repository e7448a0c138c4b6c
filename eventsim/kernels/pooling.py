"""Pooling of sums: one row of the largest sums under windows."""

from eventsim.kernels.addressing import input_column, input_row
from eventsim.kernels.compiling import compiled
from eventsim.kernels.vectors import below, lanes_of, load, negated, select, store, zeros


@compiled
def pooled_rows(sums, masks, pooled, geometry, sample, tile, row):
    """Find the largest sum, its bias included, of the positions under each window; padding is none. Writes
    sums."""
    g = geometry
    lanes = lanes_of(masks)
    zero = zeros(sums, masks)
    channel = tile * lanes
    padded = g.tiles * lanes
    negative = below(load(pooled.signs, channel, zero), zero)
    for t in range(pooled.steps):
        first = (sample * pooled.steps + t) * g.height * g.width
        for ox in range(g.out_width):
            largest = zero
            fresh = True
            for ky in range(g.kernel_height):
                iy = input_row(g, row, ky)
                if iy < 0 or iy >= g.height:
                    continue
                for kx in range(g.kernel_width):
                    ix = input_column(g, ox, kx)
                    if ix < 0 or ix >= g.width:
                        continue
                    position = iy * g.width + ix
                    x = load(pooled.values, (first + position) * padded + channel, zero)
                    b = (position if pooled.bias_per_position else 0) * padded + channel
                    x = x + load(pooled.bias, b, zero)
                    if fresh:
                        largest = x
                    largest = select(below(largest, x), x, largest)
                    fresh = False
            largest = select(negative, negated(largest), largest)
            store(sums, (t * g.out_width + ox) * lanes, largest)
