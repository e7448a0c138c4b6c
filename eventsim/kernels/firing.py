"""How a row of sums ends that fires; `firing_by_step` and `integrating` have the others.

Each takes a row of sums and `still`, whether it holds one step for all, adds what earlier paths have left where
maps.adds, and, at the last path, updates the membranes. A path calls the one that its layer needs by address.
They take as many channels at once as an element of maps.masks holds: 16, whatever the lanes of a tile are, so that
they are compiled once, and what a neuron has to remember takes few registers.
"""

from eventsim.kernels.addressing import place_of
from eventsim.kernels.arguments import CURRENT, MEMBRANE, NEVER, NO_LIMIT, SATURATE, SUM, WRAP, WRAP_ONCE
from eventsim.kernels.compiling import compiled, inlined
from eventsim.kernels.vectors import (
    load_one, at_least, below, and_, decayed, or_, lanes_of, load, negated, next_index, same_bits, store_one, scaled,
    select, shifted, splat, store, wrapped, and_not, zeros,
)

# Planes from this one on are seldom sent: a processor that guesses so does not wait for their comparisons. Lower
# ones would be guessed wrong too often.
SELDOM_SENT = 2


@inlined
def _may_repeat(still, update, maps):
    """Whether equal sums and biases at two positions make equal spikes and membranes: these begin at 0, nothing else
    is added, and all positions have the same parameters. Asked of sums that stand for all steps: most of an image is
    like its neighbour, what spikes make differs somewhere."""
    return still and maps.fresh and not maps.adds and not update.per_position


@inlined
def _repeats(sums, k, update, maps, p, zero):
    """Whether the sums of some channels at `k` and their biases are, to the bit, those of the column before."""
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
    """The membranes after a plane, whose spikes are written. Writes masks."""
    spikes = at_least(u, threshold)
    store_one(masks, o, spikes)
    return u - select(spikes, amount, zero)


@compiled
def fire_softly(sums, still, update, maps, geometry, sample, tile, row):
    """`fire_untraced` with a soft reset and one or two planes. Without a loop over planes, thresholds and amounts
    stay in registers for all steps. Writes maps.masks and maps.membrane."""
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
    """`fire_traced` for what most layers are: unsigned, reset at once, soft or hard, nothing traced; limited from
    below or not. The same operations in the same order, without the tests of the options in between. Writes
    maps.masks and maps.membrane."""
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
                    for b in range(n.bits):  # thresholds rise from plane to plane: what misses the lowest sends none
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
    """First step, counted from the first one here, before which the state is set to 0; or -1."""
    if n.reset_interval == 0:
        return -1
    return (n.reset_offset - load_one(maps.clock, 0) - maps.start) % n.reset_interval


@inlined
def _noted(x, which, rule, low, high, maps, audit, padded, zero):
    """Keep the lowest and highest value, and how often x leaves the limits of `which`."""
    low_at = audit + 3 * which * padded
    lowest = load(maps.audit, low_at, zero)
    store(maps.audit, low_at, select(below(x, lowest), x, lowest))
    highest = load(maps.audit, low_at + padded, zero)
    store(maps.audit, low_at + padded, select(below(highest, x), x, highest))
    if rule != NO_LIMIT:
        outside = or_(below(x, splat(low, zero)), below(splat(high, zero), x))
        number = load(maps.audit, low_at + 2 * padded, zero)
        store(maps.audit, low_at + 2 * padded, number + select(outside, splat(1, zero), zero))


@inlined
def _limits_of(n, which):
    """(rule, low, high) of a number, loaded once for all steps."""
    return load_one(n.limits, 3 * which), load_one(n.limits, 3 * which + 1), load_one(n.limits, 3 * which + 2)


@inlined
def _within(x, rule, low, high, zero):
    """x as a number of limited width holds it."""
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


@compiled
def fire_traced(sums, still, update, maps, geometry, sample, tile, row):
    """Neurons and readouts with any options, traced or not, a row of them: all steps of some channels at one
    position, by successive approximation: from the top plane down, what reaches the plane's threshold sends it and
    loses its amount. Writes the arrays of maps."""
    g = geometry
    n = update
    zero = zeros(sums, maps.masks)
    for ox in range(g.out_width):
        for first in range(0, maps.lanes, lanes_of(maps.masks)):
            nobody = below(zero, zero)
            p = place_of(n, maps, g, sample, tile * maps.lanes + first, row * g.out_width + ox)
            bias = load(n.bias, p.bias, zero)
            n_planes = n.bits * (1 + n.signed)
            audit = sample * 9 * p.padded + p.channel
            reset_at = next_reset(n, maps)
            sum_rule, sum_low, sum_high = _limits_of(n, SUM)
            current_rule, current_low, current_high = _limits_of(n, CURRENT)
            membrane_rule, membrane_low, membrane_high = _limits_of(n, MEMBRANE)
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
                x = load(sums, ((0 if still else t) * g.out_width + ox) * maps.lanes + first, zero)
                o = p.traced + t * p.per_step
                if maps.adds:
                    x = load(maps.current, o, zero) + x
                if maps.audits:
                    _noted(x, SUM, sum_rule, sum_low, sum_high, maps, audit, p.padded, zero)
                if n.narrow:
                    x = _within(x, sum_rule, sum_low, sum_high, zero)
                if n.gains:
                    x = scaled(x, load(n.gain, p.neuron, zero))
                if n.shift:
                    x = shifted(x, n.shift)
                x = x + bias
                if n.filters:
                    i = load(maps.filtered, p.state, zero)
                    x = decayed(i, load(n.current_leak, p.neuron, zero),
                                n.decay_bits, n.decay_positive, n.decay_negative) + x
                if maps.audits:
                    _noted(x, CURRENT, current_rule, current_low, current_high, maps, audit, p.padded, zero)
                if n.narrow:
                    x = _within(x, current_rule, current_low, current_high, zero)
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
                if maps.audits:
                    _noted(h, MEMBRANE, membrane_rule, membrane_low, membrane_high, maps, audit, p.padded, zero)
                if n.narrow:
                    h = _within(h, membrane_rule, membrane_low, membrane_high, zero)
                if maps.traces_potentials:
                    store(maps.potentials, o, h)
                minus = nobody
                rest = h
                if n.signed:
                    minus = below(h, zero)
                    rest = select(minus, negated(h), h)
                sent = zero
                fired = nobody
                mask = p.mask + t * n_planes * p.masks_per_plane
                for b in range(n.bits - 1, -1, -1):
                    threshold = load(n.thresholds, b * p.per_plane + p.neuron, zero)
                    spikes = and_not(at_least(rest, threshold), idle)
                    if n.lacks:
                        spikes = and_(spikes, below(threshold, splat(NEVER, zero)))
                    amount = select(spikes, load(n.amounts, b * p.padded + p.channel, zero), zero)
                    rest = rest - amount
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
                    one_less = left - splat(1, left)
                    pause = load(n.refractory, p.neuron, left)
                    store(maps.waiting, p.state, select(fired, pause, select(idle, one_less, left)))
                if maps.traces_residuals:
                    store(maps.residuals, o, u)
            if maps.keeps:
                store(maps.membrane, p.state, u)


@compiled
def send_changes(sums, still, update, maps, geometry, sample, tile, row):
    """SigmaDelta, a row of them. The level of a change is found from the top plane down; negative changes have
    thresholds of their own, since floor takes them away from zero. Writes the arrays of maps."""
    g = geometry
    n = update
    zero = zeros(sums, maps.masks)
    for ox in range(g.out_width):
        for first in range(0, maps.lanes, lanes_of(maps.masks)):
            p = place_of(n, maps, g, sample, tile * maps.lanes + first, row * g.out_width + ox)
            bias = load(n.bias, p.bias, zero)
            drive = load(n.drive, p.neuron, zero)
            least = load(n.least, p.neuron, zero)
            audit = sample * 9 * p.padded + p.channel
            reset_at = next_reset(n, maps)
            sum_rule, sum_low, sum_high = _limits_of(n, SUM)
            current_rule, current_low, current_high = _limits_of(n, CURRENT)
            membrane_rule, membrane_low, membrane_high = _limits_of(n, MEMBRANE)
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
                x = load(sums, ((0 if still else t) * g.out_width + ox) * maps.lanes + first, zero)
                o = p.traced + t * p.per_step
                if maps.adds:
                    x = load(maps.current, o, zero) + x
                if maps.audits:
                    _noted(x, SUM, sum_rule, sum_low, sum_high, maps, audit, p.padded, zero)
                if n.narrow:
                    x = _within(x, sum_rule, sum_low, sum_high, zero)
                if n.gains:
                    x = scaled(x, load(n.gain, p.neuron, zero))
                if n.shift:
                    x = shifted(x, n.shift)
                x = x + bias
                if maps.audits:
                    _noted(x, CURRENT, current_rule, current_low, current_high, maps, audit, p.padded, zero)
                if n.narrow:
                    x = _within(x, current_rule, current_low, current_high, zero)
                if maps.traces_currents:
                    store(maps.currents, o, x)
                if n.changes == 1:
                    x = u + x
                if maps.audits:
                    _noted(x, MEMBRANE, membrane_rule, membrane_low, membrane_high, maps, audit, p.padded, zero)
                if n.narrow:
                    x = _within(x, membrane_rule, membrane_low, membrane_high, zero)
                u = x
                active = u + drive
                if n.rectified:
                    active = select(below(active, zero), zero, active)
                if maps.traces_potentials:
                    store(maps.potentials, o, active)
                change = active - sent
                minus = below(change, zero)
                rest = select(minus, negated(change), change)
                enough = at_least(rest, least)
                rest = select(enough, rest, zero)
                sent = sent + select(enough, change, zero)
                mask = p.mask + t * 2 * n.bits * p.masks_per_plane
                for b in range(n.bits - 1, -1, -1):
                    reached = select(
                        minus, load(n.thresholds, (n.bits + b) * p.per_plane + p.neuron, zero),
                        load(n.thresholds, b * p.per_plane + p.neuron, zero),
                    )
                    spikes = at_least(rest, reached)
                    rest = rest - select(spikes, load(n.amounts, b * p.padded + p.channel, zero), zero)
                    k = mask + b * p.masks_per_plane
                    store_one(maps.masks, k, and_not(spikes, minus))
                    store_one(maps.masks, k + n.bits * p.masks_per_plane, and_(spikes, minus))
                if maps.traces_residuals:
                    store(maps.residuals, o, active - sent)
            store(maps.membrane, p.state, u)
            store(maps.pending, p.state, sent)
