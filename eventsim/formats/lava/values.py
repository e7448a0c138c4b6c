"""What lava-dl's files hold: whole numbers, pairs, shapes and names, each checked when it is read.

Every function takes the `storage.hdf5.StoredGroup` that holds the value and raises FormatError, naming it.
"""

from math import prod

import numpy as np

from eventsim.model.parameters import MAX_EXTENT


def whole_values(group, name, low, high, sizes):
    """The dataset `name` as float64 whole numbers from low to high; sizes: how many there may be."""
    shape = group.dataset(name).shape
    if prod(shape) not in sizes:
        expected = " or ".join(str(size) for size in sorted(set(sizes)))
        raise group.error(f"{name!r} has shape {shape}, expected {expected} value(s)")
    with np.errstate(invalid="ignore"):  # signalling NaN, which is refused below
        values = group.numbers(name).astype(np.float64)
    wrong = values[~((values == np.floor(values)) & (values >= low) & (values <= high))]
    if wrong.size:
        raise group.error(
            f"{name!r} has a value of {wrong.flat[0]:g}, expected whole numbers from {low} to {high}"
        )
    return values


def whole_number(group, name, low, high):
    """A single whole number."""
    return int(whole_values(group, name, low, high, (1,)).reshape(()))


def per_channel(group, name, low, high, n_channels):
    """One number, as a float, or one per channel, (C,)."""
    values = whole_values(group, name, low, high, (1, n_channels)).reshape(-1)
    return float(values[0]) if (values == values[0]).all() else values


def pair(group, name, low):
    """Two whole numbers, H and W, or one for both."""
    values = whole_values(group, name, low, 1 << 15, (1, 2)).reshape(-1)
    return tuple(int(v) for v in np.broadcast_to(values, 2))


def layer_shape(group, sizes=(1, 3)):
    """The layer's shape, (N,) or (C, H, W)."""
    return tuple(int(n) for n in whole_values(group, "shape", 1, MAX_EXTENT, sizes).reshape(-1))


def repeats(group, name, expected):
    """Check a number, or a pair, that the file says once more."""
    if name in group:
        found = whole_values(group, name, 0, MAX_EXTENT, (1, np.size(expected))).reshape(-1)
        if (found != expected).any():
            raise group.error(f"{name!r} is {found.astype(int).tolist()}, but the layer has {expected}")
