"""Firing: how a row of sums ends that fires; `firing_by_step` and `integrating` have the others.

Each kernel takes a row of sums and `still`, whether it holds a single step for all, adds what earlier paths have
left where maps.adds, and, at the last path, updates the membranes. A path calls the kernel that its layer needs by
address. They take as many channels at once as an element of maps.masks holds: 16, whatever the lanes of a tile
are, so that they are compiled once, and what a neuron has to remember takes few registers; `fire_softly`, which
needs few, takes 32 where a tile has as many.
"""

from typing import NamedTuple

from eventsim.kernels.addressing import place_of
from eventsim.kernels.arguments import CURRENT, MEMBRANE, NEVER, NO_LIMIT, SATURATE, SUM, WRAP, WRAP_ONCE
from eventsim.kernels.compiling import compiled, inlined
from eventsim.kernels.vectors import (
    and_, and_not, at_least, below, decayed, lanes_of, load, load_one, negated, next_index, or_, same_bits, scaled,
    select, shifted, splat, store, store_one, wrapped, zeros,
)

# Planes from this one on are seldom sent: a processor that guesses so does not wait for their comparisons. Lower
# ones would be guessed wrong too often.
SELDOM_SENT = 2


@inlined
def _may_repeat(still, update, maps):
    """Return whether equal sums and biases at two positions make equal spikes and membranes: these begin at 0,
    nothing else is added, and all positions have the same parameters. Only sums that stand for all steps are
    compared: most of an image is like its neighbour, what spikes make differs somewhere."""
    return still and maps.fresh and not maps.adds and not update.per_position


@inlined
def _repeats(sums, k, update, maps, p, zero):
    """Return whether the sums of some channels at `k` and their biases are, to the bit, those of the column
    before."""
    if not same_bits(load(sums, k, zero), load(sums, k - maps.lanes, zero)):
        return False
    if not update.bias_per_position:
        return True
    return same_bits(load(update.bias, p.bias, zero), load(update.bias, p.bias - p.padded, zero))


@inlined
def _repeat(maps, p, n_planes, zero):
    """Give some channels at one position the spikes and membranes of the column before, in so many planes. Writes
    maps.masks and maps.membrane."""
    before = ((p.padded + 63) >> 6) * (64 // lanes_of(maps.masks))
    mask = p.mask
    i = 0
    while i < n_planes:
        store_one(maps.masks, mask, load_one(maps.masks, mask - before))
        mask += p.masks_per_plane
        i = next_index(i)
    if maps.keeps:
        store(maps.membrane, p.state, load(maps.membrane, p.state - p.padded, zero))


@inlined
def plane_sent(u, threshold, amount, masks, o, zero):
    """Return the membranes after a plane, whose spikes are written into masks."""
    spikes = at_least(u, threshold)
    store_one(masks, o, spikes)
    return u - select(spikes, amount, zero)


@compiled
def fire_softly(sums, still, update, maps, geometry, sample, tile, row):
    """Do what `fire_untraced` does, for a soft reset and one or two planes. Without a loop over planes,
    thresholds and amounts stay in registers for all steps. Writes maps.masks and maps.membrane."""
    g = geometry
    n = update
    zero = zeros(sums, maps.masks)
    planes = n.bits
    repeats, sum_step = _may_repeat(still, n, maps), 0 if still else g.out_width * maps.lanes
    for first in range(0, maps.lanes, lanes_of(maps.masks)):
        bias = zero
        leak = zero
        low = zero
        low_amount = zero
        high = zero
        high_amount = zero
        for ox in range(g.out_width):
            p = place_of(n, maps, g, sample, tile * maps.lanes + first, row * g.out_width + ox)
            k = ox * maps.lanes + first
            if repeats and ox and _repeats(sums, k, n, maps, p, zero):
                _repeat(maps, p, maps.steps * planes, zero)
                continue
            if ox == 0 or n.per_position:
                low = load(n.thresholds, p.neuron, zero)
                low_amount = load(n.amounts, p.channel, zero)
                high = load(n.thresholds, (planes - 1) * p.per_plane + p.neuron, zero)
                high_amount = load(n.amounts, (planes - 1) * p.padded + p.channel, zero)
                if n.leaks:
                    leak = load(n.leak, p.neuron, zero)
            if ox == 0 or n.bias_per_position:
                bias = load(n.bias, p.bias, zero)
            mask = p.mask
            u = zero
            if not maps.fresh:
                u = load(maps.membrane, p.state, zero)
            for t in range(maps.steps):
                x = load(sums, k + t * sum_step, zero)
                if maps.adds:
                    x = load(maps.current, p.traced + t * p.per_step, zero) + x
                x = x + bias
                if n.leaks:
                    u = decayed(u, leak, 12, 0, 0)
                u = u + x
                if planes == 2:
                    u = plane_sent(u, high, high_amount, maps.masks, mask + p.masks_per_plane, zero)
                u = plane_sent(u, low, low_amount, maps.masks, mask, zero)
                mask += planes * p.masks_per_plane
            if maps.keeps:
                store(maps.membrane, p.state, u)


@compiled
def fire_untraced(sums, still, update, maps, geometry, sample, tile, row):
    """Update a row of what most layers are: unsigned, reset at once, soft or hard, nothing traced; limited from
    below or not. The operations and their order are those of `fire_traced`, without the tests of the options in
    between. Writes maps.masks and maps.membrane."""
    g = geometry
    n = update
    zero = zeros(sums, maps.masks)
    nobody = below(zero, zero)
    repeats, sum_step = _may_repeat(still, n, maps), 0 if still else g.out_width * maps.lanes
    for ox in range(g.out_width):
        for first in range(0, maps.lanes, lanes_of(maps.masks)):
            p = place_of(n, maps, g, sample, tile * maps.lanes + first, row * g.out_width + ox)
            if repeats and ox and _repeats(sums, ox * maps.lanes + first, n, maps, p, zero):
                _repeat(maps, p, maps.steps * n.bits, zero)
                continue
            bias = load(n.bias, p.bias, zero)
            mask = p.mask
            u = zero
            if not maps.fresh:
                u = load(maps.membrane, p.state, zero)
            for t in range(maps.steps):
                x = load(sums, ox * maps.lanes + first + t * sum_step, zero)
                if maps.adds:
                    x = load(maps.current, p.traced + t * p.per_step, zero) + x
                x = x + bias
                if n.leaks:
                    u = decayed(u, load(n.leak, p.neuron, zero), 12, 0, 0)
                u = u + x
                if n.bits > SELDOM_SENT and not at_least(u, load(n.thresholds, p.neuron, zero)):
                    for b in range(n.bits):  # thresholds rise: what misses the lowest sends nothing
                        store_one(maps.masks, mask + b * p.masks_per_plane, nobody)
                elif n.hard:
                    h = u
                    fired = nobody
                    for b in range(n.bits - 1, -1, -1):
                        spikes = at_least(u, load(n.thresholds, b * p.per_plane + p.neuron, zero))
                        if spikes or b < SELDOM_SENT:
                            u = u - select(spikes, load(n.amounts, b * p.padded + p.channel, zero), zero)
                        fired = or_(fired, spikes)
                        store_one(maps.masks, mask + b * p.masks_per_plane, spikes)
                    u = select(fired, load(n.v_reset, p.neuron, zero), h)
                else:
                    for b in range(n.bits - 1, -1, -1):
                        spikes = at_least(u, load(n.thresholds, b * p.per_plane + p.neuron, zero))
                        if spikes or b < SELDOM_SENT:
                            u = u - select(spikes, load(n.amounts, b * p.padded + p.channel, zero), zero)
                        store_one(maps.masks, mask + b * p.masks_per_plane, spikes)
                if n.limited:
                    lowest = load(n.v_min, p.neuron, zero)
                    u = select(below(u, lowest), lowest, u)
                mask += n.bits * p.masks_per_plane
            if maps.keeps:
                store(maps.membrane, p.state, u)


@inlined
def next_reset(n, maps):
    """Return the first step, counted from the first of this run, before which the state is set to 0; or -1."""
    if n.reset_interval == 0:
        return -1
    return (n.reset_offset - load_one(maps.clock, 0) - maps.start) % n.reset_interval


class Limits(NamedTuple):
    """The width of the sums, currents or membranes of some channels."""

    rule: int
    low: int
    high: int
    audit: int  # where their lowest values are noted
    padded: int  # channels of the layer


@inlined
def _limits_of(n, which, p, sample):
    """Return the Limits of SUM, CURRENT or MEMBRANE, loaded once for all steps."""
    k = 3 * which
    return Limits(load_one(n.limits, k), load_one(n.limits, k + 1), load_one(n.limits, k + 2),
                  (sample * 9 + k) * p.padded + p.channel, p.padded)


@inlined
def _limited(x, idle, limits, n, maps, zero):
    """Return x as a number of limited width holds it, once it is noted. idle: where x has not been computed, and
    stays as it is. Writes maps.audit."""
    if maps.audits:
        _note(x, idle, limits, maps, zero)
    if n.narrow and n.pauses:
        return select(idle, x, _within(x, limits, zero))
    return _within(x, limits, zero) if n.narrow else x


@inlined
def _note(x, idle, limits, maps, zero):
    """Note the lowest and highest value, and how often x leaves its limits, but where it is idle. Writes
    maps.audit."""
    lowest = load(maps.audit, limits.audit, zero)
    store(maps.audit, limits.audit, select(below(x, lowest), x, lowest))
    highest = load(maps.audit, limits.audit + limits.padded, zero)
    store(maps.audit, limits.audit + limits.padded, select(below(highest, x), x, highest))
    if limits.rule != NO_LIMIT:
        outside = and_not(or_(below(x, splat(limits.low, zero)), below(splat(limits.high, zero), x)), idle)
        number = load(maps.audit, limits.audit + 2 * limits.padded, zero)
        store(maps.audit, limits.audit + 2 * limits.padded, number + select(outside, splat(1, zero), zero))


@inlined
def _within(x, limits, zero):
    """Return x as a number of limited width holds it."""
    rule, low, high = limits.rule, limits.low, limits.high
    if rule == WRAP:
        x = wrapped(x, low, high - low)
    elif rule == WRAP_ONCE:
        turn = splat(high - low + 1, zero)
        above = below(splat(high, zero), x)
        under = below(x, splat(low, zero))
        x = x - select(above, turn, zero) + select(under, turn, zero)
    elif rule == SATURATE:
        lowest = splat(low, zero)
        highest = splat(high, zero)
        x = select(below(x, lowest), lowest, x)
        x = select(below(highest, x), highest, x)
    return x


@inlined
def _summed(sums, k, o, bias, limits, n, maps, p, zero):
    """Return the sum at `k`, with what earlier paths have left at `o`, as the current of a membrane: limited,
    scaled, shifted, with its bias. Writes maps.audit."""
    x = load(sums, k, zero)
    if maps.adds:
        x = load(maps.current, o, zero) + x
    x = _limited(x, below(zero, zero), limits, n, maps, zero)
    if n.gains:
        x = scaled(x, load(n.gain, p.neuron, zero))
    if n.shift:
        x = shifted(x, n.shift)
    return x + bias


@compiled
def fire_traced(sums, still, update, maps, geometry, sample, tile, row):
    """Update a row of neurons or readouts with any options, traced or not: all steps of some channels at a
    position. Levels are found by successive approximation: from the top plane down, what reaches the plane's
    threshold sends it and loses its amount. Writes the arrays of maps."""
    g = geometry
    n = update
    zero = zeros(sums, maps.masks)
    for ox in range(g.out_width):
        for first in range(0, maps.lanes, lanes_of(maps.masks)):
            nobody = below(zero, zero)
            p = place_of(n, maps, g, sample, tile * maps.lanes + first, row * g.out_width + ox)
            bias = load(n.bias, p.bias, zero)
            n_planes = n.bits * (1 + n.signed)
            reset_at = next_reset(n, maps)
            sum_limits = _limits_of(n, SUM, p, sample)
            current_limits = _limits_of(n, CURRENT, p, sample)
            membrane_limits = _limits_of(n, MEMBRANE, p, sample)
            u = zero
            if not maps.fresh:
                u = load(maps.membrane, p.state, zero)
            for t in range(maps.steps):
                if t == reset_at:
                    reset_at += n.reset_interval
                    u = zero
                    if n.filters:
                        store(maps.filtered, p.state, zero)
                    if n.reset_delay:
                        store(maps.pending, p.state, zero)
                    if n.pauses:
                        store(maps.waiting, p.state, zeros(maps.waiting, maps.masks))
                o = p.traced + t * p.per_step
                k = ((0 if still else t) * g.out_width + ox) * maps.lanes + first
                x = _summed(sums, k, o, bias, sum_limits, n, maps, p, zero)
                if n.filters:
                    i = load(maps.filtered, p.state, zero)
                    x = decayed(i, load(n.current_leak, p.neuron, zero),
                                n.decay_bits, n.decay_positive, n.decay_negative) + x
                x = _limited(x, nobody, current_limits, n, maps, zero)
                if n.filters:
                    store(maps.filtered, p.state, x)
                if maps.traces_currents:
                    store(maps.currents, o, x)
                h = u
                if n.leaks:
                    h = decayed(u, load(n.leak, p.neuron, zero),
                                n.decay_bits, n.decay_positive, n.decay_negative)
                h = h + x
                if n.drives:
                    h = h + load(n.drive, p.neuron, zero)
                if n.reset_delay:
                    late = load(maps.pending, p.state, zero)
                    if n.hard:
                        h = select(below(zero, late), load(n.v_reset, p.neuron, zero), h)
                    else:
                        h = h - late
                idle = nobody
                if n.pauses:
                    left = load(maps.waiting, p.state, zeros(maps.waiting, maps.masks))
                    idle = below(zeros(maps.waiting, maps.masks), left)
                    h = select(idle, u, h)
                h = _limited(h, idle, membrane_limits, n, maps, zero)
                if maps.traces_potentials:
                    store(maps.potentials, o, h)
                minus = nobody
                rest = h
                if n.signed:
                    minus = below(h, zero)
                    rest = select(minus, negated(h), h)
                largest = below(rest, zero) if n.signed else nobody  # -2^31 wraps to itself: it reaches all
                sent = zero
                fired = nobody
                mask = p.mask + t * n_planes * p.masks_per_plane
                for b in range(n.bits - 1, -1, -1):
                    threshold = load(n.thresholds, b * p.per_plane + p.neuron, zero)
                    spikes = and_not(or_(at_least(rest, threshold), largest), idle)
                    if n.lacks:
                        spikes = and_(spikes, below(threshold, splat(NEVER, zero)))
                    amount = select(spikes, load(n.amounts, b * p.padded + p.channel, zero), zero)
                    rest = rest - amount
                    largest = and_not(largest, spikes)
                    fired = or_(fired, spikes)
                    if n.reset_delay:
                        sent = sent + amount
                    k = mask + b * p.masks_per_plane
                    store_one(maps.masks, k, and_not(spikes, minus))
                    if n.signed:
                        store_one(maps.masks, k + n.bits * p.masks_per_plane, and_(spikes, minus))
                u = rest
                if n.signed:
                    u = select(minus, negated(rest), rest)
                    sent = select(minus, negated(sent), sent)
                if n.hard:
                    u = select(fired, load(n.v_reset, p.neuron, zero), h)
                if n.reset_delay:
                    u = h
                    if n.hard:
                        sent = select(fired, splat(1, zero), zero)
                    store(maps.pending, p.state, sent)
                if n.limited:
                    lowest = load(n.v_min, p.neuron, zero)
                    u = select(below(u, lowest), lowest, u)
                if n.pauses:
                    left = load(maps.waiting, p.state, zeros(maps.waiting, maps.masks))
                    fewer = left - splat(1, left)
                    pause = load(n.refractory, p.neuron, left)
                    store(maps.waiting, p.state, select(fired, pause, select(idle, fewer, left)))
                if maps.traces_residuals:
                    store(maps.residuals, o, u)
            if maps.keeps:
                store(maps.membrane, p.state, u)


@compiled
def send_changes(sums, still, update, maps, geometry, sample, tile, row):
    """Update a row of SigmaDelta neurons. The level of a change is found from the top plane down; negative changes
    have thresholds of their own, since floor takes them away from zero. Writes the arrays of maps."""
    g = geometry
    n = update
    zero = zeros(sums, maps.masks)
    for ox in range(g.out_width):
        for first in range(0, maps.lanes, lanes_of(maps.masks)):
            nobody = below(zero, zero)
            p = place_of(n, maps, g, sample, tile * maps.lanes + first, row * g.out_width + ox)
            bias = load(n.bias, p.bias, zero)
            drive = load(n.drive, p.neuron, zero)
            least = load(n.least, p.neuron, zero)
            reset_at = next_reset(n, maps)
            sum_limits = _limits_of(n, SUM, p, sample)
            current_limits = _limits_of(n, CURRENT, p, sample)
            membrane_limits = _limits_of(n, MEMBRANE, p, sample)
            u = load(maps.membrane, p.state, zero)
            sent = load(maps.pending, p.state, zero)
            if maps.fresh:
                u = zero
                sent = zero
            for t in range(maps.steps):
                if t == reset_at:
                    reset_at += n.reset_interval
                    u = zero
                    sent = zero
                o = p.traced + t * p.per_step
                k = ((0 if still else t) * g.out_width + ox) * maps.lanes + first
                x = _summed(sums, k, o, bias, sum_limits, n, maps, p, zero)
                x = _limited(x, nobody, current_limits, n, maps, zero)
                if maps.traces_currents:
                    store(maps.currents, o, x)
                u = _limited(u + x if n.changes == 1 else x, nobody, membrane_limits, n, maps, zero)
                active = u + drive
                if n.rectified:
                    active = select(below(active, zero), zero, active)
                if maps.traces_potentials:
                    store(maps.potentials, o, active)
                change = active - sent
                minus = below(change, zero)
                rest = select(minus, negated(change), change)
                largest = below(rest, zero)  # -2^31 wraps to itself: it reaches all
                enough = or_(at_least(rest, least), largest)
                rest = select(enough, rest, zero)
                sent = sent + select(enough, change, zero)
                mask = p.mask + t * 2 * n.bits * p.masks_per_plane
                for b in range(n.bits - 1, -1, -1):
                    reached = select(
                        minus, load(n.thresholds, (n.bits + b) * p.per_plane + p.neuron, zero),
                        load(n.thresholds, b * p.per_plane + p.neuron, zero),
                    )
                    spikes = or_(at_least(rest, reached), largest)
                    largest = and_not(largest, spikes)
                    rest = rest - select(spikes, load(n.amounts, b * p.padded + p.channel, zero), zero)
                    k = mask + b * p.masks_per_plane
                    store_one(maps.masks, k, and_not(spikes, minus))
                    store_one(maps.masks, k + n.bits * p.masks_per_plane, and_(spikes, minus))
                if maps.traces_residuals:
                    store(maps.residuals, o, active - sent)
            store(maps.membrane, p.state, u)
            store(maps.pending, p.state, sent)
