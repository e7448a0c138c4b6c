"""Alpha neurons: how their rows of sums end. As in `firing`, but a membrane is the difference of two currents."""

from eventsim.kernels.addressing import place_of
from eventsim.kernels.compiling import compiled
from eventsim.kernels.firing import next_reset
from eventsim.kernels.vectors import at_least, decayed, lanes_of, load, scaled, select, store, store_one, zeros


@compiled
def fire_alpha(sums, still, update, maps, geometry, sample, tile, row):
    """Update a row of Alpha neurons. The membrane that the step before left says whether a spike resets it now, as
    in snnTorch. Writes the arrays of maps."""
    g = geometry
    n = update
    zero = zeros(sums, maps.masks)
    for ox in range(g.out_width):
        for first in range(0, maps.lanes, lanes_of(maps.masks)):
            p = place_of(n, maps, g, sample, tile * maps.lanes + first, row * g.out_width + ox)
            bias = load(n.bias, p.bias, zero)
            threshold = load(n.thresholds, p.neuron, zero)
            amount = load(n.least, p.neuron, zero)
            reset_at = next_reset(n, maps)
            u = zero
            if not maps.fresh:
                u = load(maps.membrane, p.state, zero)
            excitatory = load(maps.filtered, p.state, zero)
            inhibitory = load(maps.pending, p.state, zero)
            for t in range(maps.steps):
                if t == reset_at:
                    reset_at += n.reset_interval
                    u = zero
                    excitatory = zero
                    inhibitory = zero
                x = load(sums, ((0 if still else t) * g.out_width + ox) * maps.lanes + first, zero)
                o = p.traced + t * p.per_step
                if maps.adds:
                    x = load(maps.current, o, zero) + x
                x = x + bias
                resets = at_least(u, threshold)
                before = inhibitory
                excitatory = decayed(excitatory, load(n.leak, p.neuron, zero), 12, 0, 0) + x
                inhibitory = decayed(inhibitory, load(n.current_leak, p.neuron, zero), 12, 0, 0) + x
                difference = excitatory - inhibitory
                u = scaled(difference, load(n.gain, p.neuron, zero))
                if n.hard:
                    u = select(resets, zero, u)
                    excitatory = select(resets, zero, excitatory)
                else:
                    u = u - select(resets, before, zero)
                    excitatory = excitatory - select(resets, amount, zero)
                inhibitory = select(resets, zero, inhibitory)
                store_one(maps.masks, p.mask + t * p.masks_per_plane, at_least(u, threshold))
                if maps.traces_currents:
                    store(maps.currents, o, difference)
                if maps.traces_potentials:
                    store(maps.potentials, o, u)
                if maps.traces_residuals:
                    store(maps.residuals, o, u)
            store(maps.filtered, p.state, excitatory)
            store(maps.pending, p.state, inhibitory)
            if maps.keeps:
                store(maps.membrane, p.state, u)
