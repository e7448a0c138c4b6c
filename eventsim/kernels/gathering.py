"""One row of weighted sums, by adding the weight rows of events; any element type."""

import numpy as np

from eventsim.kernels.arguments import ONE
from eventsim.kernels.compiling import compiled
from eventsim.kernels.vectors import (
    at, following, lanes_of, load, negated, select, splat, store, trailing_zeros, weighted, zeros,
)


@compiled
def gather_rows(sums, masks, events, weight, ranges, geometry, sample, tile, row):
    """Weight rows of the events under each window, added. Any element type. Writes sums.

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
    first_group, last_group = ranges[tile, 0], ranges[tile, 1]
    first_channel = ranges[tile, 2]
    n_runs = g.kernel_width // g.run
    fresh = True
    for b in range(g.bits - 1, -1, -1):
        doubles = b < g.bits - 1
        for negative in range(1 + g.signed):
            for ky in range(g.kernel_height):
                iy = row * g.stride_y - g.padding_y + ky * g.dilation_y
                if iy < 0 or iy >= g.height:
                    continue
                for t in range(0, steps, 2):
                    two = t + 1 < steps
                    p = (sample * steps + t) * per_step + (b + negative * g.bits) * per_plane
                    p += iy * g.width * g.groups
                    for ox in range(g.out_width):
                        k = (t * g.out_width + ox) * lanes
                        x = zero
                        y = zero
                        if not fresh:
                            x = load(sums, k, zero)
                            if two:
                                y = load(sums, k + g.out_width * lanes, zero)
                            if doubles:
                                x = x + x
                                y = y + y
                        if negative:  # -(-x + w) is x - w
                            x = negated(x)
                            y = negated(y)
                        for k_run in range(n_runs):
                            kx = k_run * g.run
                            left = ox * g.stride_x - g.padding_x + kx * g.dilation_x
                            lo = max(left, 0)
                            hi = min(left + g.run, g.width)
                            if lo >= hi:
                                continue
                            base = ((tile * g.kernel_height + ky) * g.kernel_width + kx)
                            base = base * g.rows_per_tap - left * g.channels - first_channel
                            a = p + lo * g.groups + first_group
                            z = p + (hi - 1) * g.groups + last_group
                            i = at(pointers, a)
                            i_end = at(pointers, z)
                            j = i_end
                            j_end = i_end
                            if two:
                                j = at(pointers, a + per_step)
                                j_end = at(pointers, z + per_step)
                            stop = i + min(i_end - i, j_end - j)
                            while i < stop:
                                x = x + load(
                                    weight, (base + np.int64(at(index, i))) * lanes, zero
                                )
                                y = y + load(
                                    weight, (base + np.int64(at(index, j))) * lanes, zero
                                )
                                i = following(i)
                                j += 1
                            while i < i_end:
                                x = x + load(
                                    weight, (base + np.int64(at(index, i))) * lanes, zero
                                )
                                i = following(i)
                            while j < j_end:
                                y = y + load(
                                    weight, (base + np.int64(at(index, j))) * lanes, zero
                                )
                                j = following(j)
                        if negative:
                            x = negated(x)
                            y = negated(y)
                        store(sums, k, x)
                        if two:
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
    first_group, last_group = ranges[tile, 0], ranges[tile, 1]
    first_channel = ranges[tile, 2]
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
                        iy = row * g.stride_y - g.padding_y + ky * g.dilation_y
                        if iy < 0 or iy >= g.height:
                            continue
                        p = plane * per_plane + iy * g.width * g.groups
                        for k_run in range(n_runs):
                            kx = k_run * g.run
                            left = ox * g.stride_x - g.padding_x + kx * g.dilation_x
                            lo = max(left, 0)
                            hi = min(left + g.run, g.width)
                            if lo >= hi:
                                continue
                            base = (tile * g.kernel_height + ky) * g.kernel_width + kx
                            base = base * g.rows_per_tap - left * g.channels - first_channel
                            i = at(pointers, p + lo * g.groups + first_group)
                            i_end = at(pointers, p + (hi - 1) * g.groups + last_group)
                            for e in range(i, i_end):
                                x = x + load(weight, (base + np.int64(at(index, e))) * lanes, zero)
                    if negative:
                        x = negated(x)
            store(sums, (t * g.out_width + ox) * lanes, x)


@compiled
def window_rows(sums, masks, source, held, first, steps, weight, geometry, sample, tile, row):
    """`gather_rows` for windows of at most 64 neurons, such as an image's 3x3x3: the bits under a
    window make one word, whose set bits are the weight rows to add. Needs no index. `source`: planes
    of the train that is read. Writes sums."""
    g = geometry
    lanes = lanes_of(masks)
    zero = zeros(sums, masks)
    positions = g.height * g.width
    n_planes = g.bits * (1 + g.signed)
    base = tile * g.kernel_height * g.kernel_width * g.channels
    for t in range(steps):
        slot = (sample * held + first + t) * n_planes
        for ox in range(g.out_width):
            x = zero
            for b in range(g.bits - 1, -1, -1):
                x = x + x
                for negative in range(1 + g.signed):
                    plane = (slot + b + negative * g.bits) * positions
                    window = np.uint64(0)
                    for ky in range(g.kernel_height):
                        iy = row * g.stride_y - g.padding_y + ky * g.dilation_y
                        if iy < 0 or iy >= g.height:
                            continue
                        for kx in range(g.kernel_width):
                            ix = ox * g.stride_x - g.padding_x + kx * g.dilation_x
                            if ix < 0 or ix >= g.width:
                                continue
                            shift = np.uint64((ky * g.kernel_width + kx) * g.channels)
                            window |= at(source, plane + iy * g.width + ix) << shift
                    if negative:  # -(-x + w) is x - w
                        x = negated(x)
                    while window:
                        x = x + load(weight, (base + trailing_zeros(window)) * lanes, zero)
                        window &= window - ONE
                    if negative:
                        x = negated(x)
            store(sums, (t * g.out_width + ox) * lanes, x)


@compiled
def clear_rows(sums, masks, columns):
    for k in range(columns):
        store(sums, k * lanes_of(masks), zeros(sums, masks))


@compiled
def masked_rows(
    sums, masks, source, held, first, steps, weight, weight_steps, geometry, sample, tile, row
):
    """Depthwise synapses and identity shortcuts: a tap's weights, masked by the spikes of the
    position it meets. `source`: masks of the train that is read; weight_steps: 0, or the number of
    steps where each sample and step has weights of its own. Writes sums."""
    g = geometry
    lanes = lanes_of(masks)
    zero = zeros(sums, masks)
    padded = g.tiles * lanes
    taps = g.kernel_height * g.kernel_width
    words = ((g.channels + 63) >> 6) * (64 // lanes)
    positions = g.height * g.width
    n_planes = g.bits * (1 + g.signed)
    for t in range(steps):
        slot = (sample * held + first + t) * n_planes
        varying = (sample * weight_steps + t) * taps if weight_steps else 0
        for ox in range(g.out_width):
            x = zero
            for b in range(g.bits - 1, -1, -1):
                x = x + x
                for negative in range(1 + g.signed):
                    plane = slot + b + negative * g.bits
                    for ky in range(g.kernel_height):
                        iy = row * g.stride_y - g.padding_y + ky * g.dilation_y
                        if iy < 0 or iy >= g.height:
                            continue
                        for kx in range(g.kernel_width):
                            ix = ox * g.stride_x - g.padding_x + kx * g.dilation_x
                            if ix < 0 or ix >= g.width:
                                continue
                            spikes = at(
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
def real_rows(sums, masks, events, strengths, weight, ranges, geometry, sample, tile, row):
    """Real-valued input: the only synapses that multiply. strengths: F [event]. Writes sums."""
    g = geometry
    index, pointers = events.index, events.pointers
    lanes = lanes_of(masks)
    zero = zeros(sums, masks)
    per_step = g.height * g.width * g.groups + 1
    first_group, last_group = ranges[tile, 0], ranges[tile, 1]
    first_channel = ranges[tile, 2]
    n_runs = g.kernel_width // g.run
    for t in range(events.steps):
        for ox in range(g.out_width):
            x = zero
            for ky in range(g.kernel_height):
                iy = row * g.stride_y - g.padding_y + ky * g.dilation_y
                if iy < 0 or iy >= g.height:
                    continue
                p = (sample * events.steps + t) * per_step + iy * g.width * g.groups
                for k_run in range(n_runs):
                    kx = k_run * g.run
                    left = ox * g.stride_x - g.padding_x + kx * g.dilation_x
                    lo = max(left, 0)
                    hi = min(left + g.run, g.width)
                    if lo >= hi:
                        continue
                    base = (tile * g.kernel_height + ky) * g.kernel_width + kx
                    base = base * g.rows_per_tap - left * g.channels - first_channel
                    i = at(pointers, p + lo * g.groups + first_group)
                    i_end = at(pointers, p + (hi - 1) * g.groups + last_group)
                    for e in range(i, i_end):
                        o = (base + np.int64(at(index, e))) * lanes
                        x = x + load(weight, o, zero) * splat(at(strengths, e), zero)
            store(sums, (t * g.out_width + ox) * lanes, x)


@compiled
def weigh_rows(sums, masks, attention, steps, geometry, sample, tile):
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
