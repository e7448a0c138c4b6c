"""One row of weighted sums, by adding the weight rows of events; any element type."""

import numpy as np

from eventsim.kernels.addressing import (
    columns_under, highest_plane, input_column, input_row, pointers_under, span_of, weight_row,
)
from eventsim.kernels.compiling import compiled
from eventsim.kernels.vectors import (
    lanes_of, load, load_one, negated, next_index, select, splat, store, weighted, widened, zeros,
)


@compiled
def gather_rows(sums, masks, events, weight, ranges, geometry, sample, tile, row):
    """Add the weight rows of the events under each window. Any element type. Writes sums.

    Kernel row by kernel row, so that a tile's weights of one kernel row stay in the first-level
    cache, and two steps at a time, so that two chains of additions overlap.
    """
    g = geometry
    index, pointers = events.index, events.pointers
    lanes = lanes_of(masks)
    zero = zeros(sums, masks)
    steps = events.steps
    per_plane = g.height * g.width * g.groups + 1
    n_planes = g.bits * (1 + g.signed)
    per_step = n_planes * per_plane
    span = span_of(ranges, tile)
    n_runs = g.kernel_width // g.run
    fresh = True
    for b in range(g.bits - 1, -1, -1):
        doubles = b < g.bits - 1
        for negative in range(1 + g.signed):
            for ky in range(g.kernel_height):
                iy = input_row(g, row, ky)
                if iy < 0 or iy >= g.height:
                    continue
                for t in range(0, steps, 2):
                    has_second = t + 1 < steps
                    p = (sample * steps + t) * per_step + (b + negative * g.bits) * per_plane
                    p += iy * g.width * g.groups
                    for ox in range(g.out_width):
                        k = (t * g.out_width + ox) * lanes
                        x = zero
                        y = zero
                        if not fresh:
                            x = load(sums, k, zero)
                            if has_second:
                                y = load(sums, k + g.out_width * lanes, zero)
                            if doubles:
                                x = x + x
                                y = y + y
                        if negative:  # -(-x + w) is x - w
                            x = negated(x)
                            y = negated(y)
                        for k_run in range(n_runs):
                            kx = k_run * g.run
                            lo, hi = columns_under(g, ox, kx)
                            if lo >= hi:
                                continue
                            base = weight_row(g, span, tile, ky, kx, ox)
                            first, last = pointers_under(g, span, p, lo, hi)
                            i = load_one(pointers, first)
                            i_end = load_one(pointers, last)
                            j = i_end
                            j_end = i_end
                            if has_second:
                                j = load_one(pointers, first + per_step)
                                j_end = load_one(pointers, last + per_step)
                            stop = i + min(i_end - i, j_end - j)
                            while i < stop:
                                x = x + load(
                                    weight, (base + np.int64(load_one(index, i))) * lanes, zero
                                )
                                y = y + load(
                                    weight, (base + np.int64(load_one(index, j))) * lanes, zero
                                )
                                i = next_index(i)
                                j += 1
                            while i < i_end:
                                x = x + load(
                                    weight, (base + np.int64(load_one(index, i))) * lanes, zero
                                )
                                i = next_index(i)
                            while j < j_end:
                                y = y + load(
                                    weight, (base + np.int64(load_one(index, j))) * lanes, zero
                                )
                                j = next_index(j)
                        if negative:
                            x = negated(x)
                            y = negated(y)
                        store(sums, k, x)
                        if has_second:
                            store(sums, k + g.out_width * lanes, y)
                fresh = False
                doubles = False
    if fresh:
        clear_rows(sums, masks, steps * g.out_width)


@compiled
def near_rows(sums, masks, events, weight, ranges, geometry, sample, tile, row):
    """`gather_rows` for weights that stay in the first-level cache anyway: position by position,
    so that a sum stays in registers from the top plane to the last event. Writes sums."""
    g = geometry
    index, pointers = events.index, events.pointers
    lanes = lanes_of(masks)
    zero = zeros(sums, masks)
    steps = events.steps
    per_plane = g.height * g.width * g.groups + 1
    n_planes = g.bits * (1 + g.signed)
    span = span_of(ranges, tile)
    n_runs = g.kernel_width // g.run
    for t in range(steps):
        for ox in range(g.out_width):
            x = zero
            for b in range(g.bits - 1, -1, -1):
                x = x + x
                for negative in range(1 + g.signed):
                    if negative:  # -(-x + w) is x - w
                        x = negated(x)
                    plane = (sample * steps + t) * n_planes + b + negative * g.bits
                    for ky in range(g.kernel_height):
                        iy = input_row(g, row, ky)
                        if iy < 0 or iy >= g.height:
                            continue
                        p = plane * per_plane + iy * g.width * g.groups
                        for k_run in range(n_runs):
                            kx = k_run * g.run
                            lo, hi = columns_under(g, ox, kx)
                            if lo >= hi:
                                continue
                            base = weight_row(g, span, tile, ky, kx, ox)
                            first, last = pointers_under(g, span, p, lo, hi)
                            i = load_one(pointers, first)
                            i_end = load_one(pointers, last)
                            for e in range(i, i_end):
                                x = x + load(weight, (base + np.int64(load_one(index, e))) * lanes, zero)
                    if negative:
                        x = negated(x)
            store(sums, (t * g.out_width + ox) * lanes, x)


@compiled
def slide_rows(sums, masks, events, weight, ranges, geometry, sample, tile, row):
    """`gather_rows` for windows three columns wide, stride 1: walks the input columns, and each event is added to
    the three output columns that it reaches. Its events are sorted by (column, row, channel), so that the rows
    under a window are one run. Integers are summed in the type of the weights, which is proved to hold a plane's
    sum. Writes sums."""
    g = geometry
    index, pointers = events.index, events.pointers
    lanes = lanes_of(masks)
    like = zeros(sums, masks)
    none = zeros(weight, masks)
    per_plane = g.height * g.width + 1
    n_planes = g.bits * (1 + g.signed)
    top = max(row - g.padding_y, 0)
    bottom = min(row - g.padding_y + g.kernel_height, g.height)
    base = (tile * g.kernel_height - (row - g.padding_y)) * g.channels
    if top >= bottom:
        clear_rows(sums, masks, events.steps * g.out_width)
        return
    for t in range(events.steps):
        offset = t * g.out_width
        highest = max(highest_plane(pointers, (sample * events.steps + t) * n_planes, per_plane, g), 1)
        for b in range(highest - 1, -1, -1):
            for negative in range(1 + g.signed):
                fresh = b == highest - 1 and not negative
                plane = (sample * events.steps + t) * n_planes + b + negative * g.bits
                left = none
                middle = none
                for s in range(g.out_width + 2):
                    right = none
                    column = s - g.padding_x
                    if column >= 0 and column < g.width:
                        p = plane * per_plane + column * g.height
                        i = load_one(pointers, p + top)
                        i_end = load_one(pointers, p + bottom)
                        while i < i_end:
                            o = (base + np.int64(load_one(index, i))) * 3 * lanes
                            right = right + load(weight, o, none)
                            middle = middle + load(weight, o + lanes, none)
                            left = left + load(weight, o + 2 * lanes, none)
                            i = next_index(i)
                    if s >= 2:
                        k = (offset + s - 2) * lanes
                        if fresh:
                            store(sums, k, widened(left, like))
                        elif negative:
                            store(sums, k, load(sums, k, like) - widened(left, like))
                        else:
                            x = load(sums, k, like)
                            store(sums, k, (x + x) + widened(left, like))
                    left = middle
                    middle = right


@compiled
def clear_rows(sums, masks, columns):
    """Set the sums of so many columns to 0, in vectors as wide as those of `masks`. Writes sums."""
    for k in range(columns):
        store(sums, k * lanes_of(masks), zeros(sums, masks))


@compiled
def masked_rows(sums, source, slots, weight, weight_steps, geometry, sample, tile, row):
    """Sum depthwise synapses and identity shortcuts: a tap's weights, masked by the spikes of the
    position it meets. `source`: masks of the train that is read; `slots`: where its steps stand;
    weight_steps: 0, or the number of steps where each sample and step has weights of its own. Writes
    sums."""
    g = geometry
    lanes = lanes_of(source)
    zero = zeros(sums, source)
    padded = g.tiles * lanes
    taps = g.kernel_height * g.kernel_width
    words = ((g.channels + 63) >> 6) * (64 // lanes)
    positions = g.height * g.width
    n_planes = g.bits * (1 + g.signed)
    for t in range(slots.steps):
        slot = (sample * slots.per_sample + slots.first + t) * n_planes
        varying = (sample * weight_steps + t) * taps if weight_steps else 0
        for ox in range(g.out_width):
            x = zero
            for b in range(g.bits - 1, -1, -1):
                x = x + x
                for negative in range(1 + g.signed):
                    plane = slot + b + negative * g.bits
                    for ky in range(g.kernel_height):
                        iy = input_row(g, row, ky)
                        if iy < 0 or iy >= g.height:
                            continue
                        for kx in range(g.kernel_width):
                            ix = input_column(g, ox, kx)
                            if ix < 0 or ix >= g.width:
                                continue
                            spikes = load_one(
                                source, (plane * positions + iy * g.width + ix) * words + tile
                            )
                            o = (varying + ky * g.kernel_width + kx) * padded + tile * lanes
                            tap = select(spikes, load(weight, o, zero), zero)
                            if negative:
                                x = x - tap
                            else:
                                x = x + tap
            store(sums, (t * g.out_width + ox) * lanes, x)


@compiled
def real_rows(sums, masks, events, weight, ranges, geometry, sample, tile, row):
    """Sum the synapses of real-valued input, the only ones that multiply. events: RealEvents. Writes sums."""
    g = geometry
    index, pointers = events.index, events.pointers
    lanes = lanes_of(masks)
    zero = zeros(sums, masks)
    per_step = g.height * g.width * g.groups + 1
    span = span_of(ranges, tile)
    n_runs = g.kernel_width // g.run
    for t in range(events.steps):
        for ox in range(g.out_width):
            x = zero
            for ky in range(g.kernel_height):
                iy = input_row(g, row, ky)
                if iy < 0 or iy >= g.height:
                    continue
                p = (sample * events.steps + t) * per_step + iy * g.width * g.groups
                for k_run in range(n_runs):
                    kx = k_run * g.run
                    lo, hi = columns_under(g, ox, kx)
                    if lo >= hi:
                        continue
                    base = weight_row(g, span, tile, ky, kx, ox)
                    first, last = pointers_under(g, span, p, lo, hi)
                    i = load_one(pointers, first)
                    i_end = load_one(pointers, last)
                    for e in range(i, i_end):
                        o = (base + np.int64(load_one(index, e))) * lanes
                        x = x + load(weight, o, zero) * splat(load_one(events.strengths, e), zero)
            store(sums, (t * g.out_width + ox) * lanes, x)


@compiled
def weigh_rows(sums, masks, attention, steps, geometry, sample, tile, row):
    """Multiply a row of sums by channel attention F [sample, step, padded channel] (int32: in
    256ths). Writes sums."""
    g = geometry
    lanes = lanes_of(masks)
    zero = zeros(sums, masks)
    for t in range(steps):
        factor = load(attention, ((sample * steps + t) * g.tiles + tile) * lanes, zero)
        for ox in range(g.out_width):
            k = (t * g.out_width + ox) * lanes
            store(sums, k, weighted(load(sums, k, zero), factor))
