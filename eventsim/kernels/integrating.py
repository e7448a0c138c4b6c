"""Integrating: a row of sums that does not fire is joined with other paths, or integrated. Arguments as in
`firing`."""

from eventsim.kernels.addressing import place_of
from eventsim.kernels.compiling import compiled
from eventsim.kernels.vectors import decayed, lanes_of, load, store, zeros


@compiled
def join_sums(sums, still, update, maps, geometry, sample, tile, row):
    """Add a row of sums to those of earlier paths, for the next one. Writes maps.current."""
    g = geometry
    zero = zeros(sums, maps.masks)
    positions = g.out_height * g.out_width
    for t in range(maps.steps):
        for ox in range(g.out_width):
            k = ((0 if still else t) * g.out_width + ox) * maps.lanes
            o = (sample * maps.total + maps.start + t) * positions + row * g.out_width + ox
            o = (o * g.tiles + tile) * maps.lanes
            for first in range(0, maps.lanes, lanes_of(maps.masks)):
                x = load(sums, k + first, zero)
                if maps.adds:
                    x = load(maps.current, o + first, zero) + x
                store(maps.current, o + first, x)


@compiled
def integrate_sums(sums, still, update, maps, geometry, sample, tile, row):
    """Update a row of membranes that never fire. Writes maps.potentials and maps.membrane."""
    g = geometry
    n = update
    zero = zeros(sums, maps.masks)
    for ox in range(g.out_width):
        for first in range(0, maps.lanes, lanes_of(maps.masks)):
            p = place_of(n, maps, g, sample, tile * maps.lanes + first, row * g.out_width + ox)
            bias = load(n.bias, p.bias, zero)
            v = zero
            if not maps.fresh:
                v = load(maps.membrane, p.state, zero)
            for t in range(maps.steps):
                x = load(sums, ((0 if still else t) * g.out_width + ox) * maps.lanes + first, zero)
                o = p.traced + t * p.per_step
                if maps.adds:
                    x = load(maps.current, o, zero) + x
                v = decayed(v, load(n.leak, p.neuron, zero), 12, 0, 0) + (x + bias)
                store(maps.potentials, o, v)
            if maps.keeps:
                store(maps.membrane, p.state, v)
