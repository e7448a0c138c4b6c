"""Firing step by step: how a row of sums ends that fires, by kernels of the form of `firing`."""

from eventsim.kernels.addressing import place_of
from eventsim.kernels.compiling import compiled, inlined
from eventsim.kernels.firing import plane_sent
from eventsim.kernels.vectors import at_least, below, decayed, lanes_of, load, select, store, store_one, zeros


@compiled
def fire_by_step(sums, still, update, maps, geometry, sample, tile, row):
    """Do what `fire_untraced` does, where each step has sums of its own and all positions have the same
    parameters. It goes step by step, with each membrane in the place of its last sum: so no position waits for the
    one before, and the caches are not asked for the sums and spikes of all steps at every position. Writes sums,
    maps.masks and maps.membrane."""
    g = geometry
    n = update
    zero = zeros(sums, maps.masks)
    sum_step = g.out_width * maps.lanes
    for first in range(0, maps.lanes, lanes_of(maps.masks)):
        p = place_of(n, maps, g, sample, tile * maps.lanes + first, row * g.out_width)
        per_position = p.masks_per_plane // (g.out_height * g.out_width)
        bias_step = p.padded if n.bias_per_position else 0
        top = n.bits - 1
        low = load(n.thresholds, p.neuron, zero)
        low_amount = load(n.amounts, p.channel, zero)
        high = load(n.thresholds, top * p.per_plane + p.neuron, zero)
        high_amount = load(n.amounts, top * p.padded + p.channel, zero)
        leak = load(n.leak, p.neuron, zero)
        v_reset = load(n.v_reset, p.neuron, zero)
        lowest = load(n.v_min, p.neuron, zero)
        for t in range(maps.steps):
            mask = p.mask + t * n.bits * p.masks_per_plane
            for ox in range(g.out_width):
                k = t * sum_step + ox * maps.lanes + first
                x = load(sums, k, zero)
                if maps.adds:
                    x = load(maps.current, p.traced + t * p.per_step + ox * p.padded, zero) + x
                x = x + load(n.bias, p.bias + ox * bias_step, zero)
                u = zero
                if t:
                    u = load(sums, k - sum_step, zero)
                elif not maps.fresh:
                    u = load(maps.membrane, p.state + ox * p.padded, zero)
                if n.leaks:
                    u = decayed(u, leak, 12, 0, 0)
                u = u + x
                fired = at_least(u, low)
                rest = u
                if n.bits == 2:
                    rest = plane_sent(rest, high, high_amount, maps.masks, mask + p.masks_per_plane, zero)
                if n.bits <= 2:
                    rest = plane_sent(rest, low, low_amount, maps.masks, mask, zero)
                else:
                    rest = _some_sent(rest, fired, n, maps, p, mask, zero)
                u = select(fired, v_reset, u) if n.hard else rest
                if n.limited:
                    u = select(below(u, lowest), lowest, u)
                if t + 1 < maps.steps:
                    store(sums, k, u)
                elif maps.keeps:
                    store(maps.membrane, p.state + ox * p.padded, u)
                mask += per_position


@inlined
def _some_sent(u, fired, n, maps, p, mask, zero):
    """Return `plane_sent` of any number of planes. fired: who reaches the lowest threshold; thresholds rise from
    plane to plane, so that the others send nothing. Writes maps.masks."""
    nobody = below(zero, zero)
    if not fired:
        for b in range(n.bits):
            store_one(maps.masks, mask + b * p.masks_per_plane, nobody)
        return u
    for b in range(n.bits - 1, -1, -1):
        threshold = load(n.thresholds, b * p.per_plane + p.neuron, zero)
        u = plane_sent(u, threshold, load(n.amounts, b * p.padded + p.channel, zero), maps.masks,
                  mask + b * p.masks_per_plane, zero)
    return u


@compiled
def fire_once(sums, still, update, maps, geometry, sample, tile, row):
    """Do what `fire_by_step` does, in a single step from membranes that are kept, with a soft reset and one or
    two planes, where nothing else is added and all positions have the same bias. A stream has few events: most of
    the time goes into neurons that get none, and the tests of options would take longer than their membranes.
    Writes maps.masks and maps.membrane."""
    g = geometry
    n = update
    zero = zeros(sums, maps.masks)
    for first in range(0, maps.lanes, lanes_of(maps.masks)):
        p = place_of(n, maps, g, sample, tile * maps.lanes + first, row * g.out_width)
        per_position = p.masks_per_plane // (g.out_height * g.out_width)
        bias = load(n.bias, p.bias, zero)
        leak = load(n.leak, p.neuron, zero)
        top = n.bits - 1
        low = load(n.thresholds, p.neuron, zero)
        low_amount = load(n.amounts, p.channel, zero)
        high = load(n.thresholds, top * p.per_plane + p.neuron, zero)
        high_amount = load(n.amounts, top * p.padded + p.channel, zero)
        for ox in range(g.out_width):
            x = load(sums, ox * maps.lanes + first, zero) + bias
            u = load(maps.membrane, p.state + ox * p.padded, zero)
            if n.leaks:
                u = decayed(u, leak, 12, 0, 0)
            u = u + x
            mask = p.mask + ox * per_position
            if n.bits == 2:
                u = plane_sent(u, high, high_amount, maps.masks, mask + p.masks_per_plane, zero)
            u = plane_sent(u, low, low_amount, maps.masks, mask, zero)
            store(maps.membrane, p.state + ox * p.padded, u)
