"""Channel attention: gains of each sample, step and channel, in float64 and in a fixed order, rounded to 8
fractional bits, so that every precision multiplies by the same numbers."""

from math import floor

from eventsim.kernels.compiling import compiled, inlined
from eventsim.kernels.vectors import load_one, store_one


@compiled
def attend(totals, attended, weights, sizes):
    """Write weights F [sample and step, padded channel], but not behind the channels: gains of summed levels, or,
    where there are amplitudes, these times the gains; integers are 256ths of gains, and rounded amplitudes.

    totals: int64 [sample and step, channel of the source]. attended: Attended. sizes: AttendedSizes.
    """
    a = attended
    for s in range(sizes.rows):
        _mean(totals, s, a, sizes)
        for c in range(sizes.channels):
            z = 0.0
            for j in range(sizes.taps):
                neighbour = c + j - sizes.taps // 2
                if 0 <= neighbour < sizes.channels:
                    z += load_one(a.kernel, j) * load_one(a.means, neighbour)
            gain = _rounded_sigmoid(z, a.thresholds)
            o = s * sizes.padded + c
            if sizes.amplifies:
                value = load_one(a.amplitude, c) * (gain / 256.0)
                store_one(weights, o, _half_away(value) if sizes.integer else value)
            elif sizes.integer:
                store_one(weights, o, gain)
            else:
                store_one(weights, o, gain / 256.0)


@inlined
def _mean(totals, s, a, sizes):
    """Write the mean of each channel over the positions into a.means."""
    if sizes.projects:
        for c in range(sizes.channels):
            store_one(a.means, c, 0.0)
        for i in range(sizes.sources):
            total = load_one(totals, s * sizes.sources + i)
            for c in range(sizes.channels):
                added = load_one(a.scale, i * sizes.channels + c) * total
                store_one(a.means, c, load_one(a.means, c) + added)
    else:
        for c in range(sizes.channels):
            store_one(a.means, c, load_one(a.scale, c) * load_one(totals, s * sizes.sources + c))
    for c in range(sizes.channels):
        store_one(a.means, c, load_one(a.means, c) / sizes.positions)


@inlined
def _rounded_sigmoid(z, thresholds):
    """Return how many of 256 ascending thresholds z reaches."""
    if z >= load_one(thresholds, 255):
        return 256
    number = 0
    step = 128
    while step:
        number += step if z >= load_one(thresholds, number + step - 1) else 0
        step >>= 1
    return number


@inlined
def _half_away(value):
    """Return a value rounded half away from zero."""
    size = abs(value)
    rounded = floor(size)
    rounded += 1 if size - rounded >= 0.5 else 0  # floor(size + 0.5) would round first
    return -rounded if value < 0 else rounded
