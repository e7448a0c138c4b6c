"""Values in lava-dl's files: whole numbers, pairs and shapes, each checked when it is read.

Every function takes the `storage.hdf5.StoredGroup` that has the value, and raises FormatError, which names it.
"""

from math import prod

import numpy as np

from eventsim.model.parameters import MAX_EXTENT


def whole_values(group, name, low, high, sizes):
    """Return the dataset `name`, whole numbers from low to high, as float64 of its shape. sizes: how many there
    may be."""
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
    """Return a single whole number from low to high."""
    return int(whole_values(group, name, low, high, (1,)).reshape(()))


def per_channel(group, name, low, high, n_channels):
    """Return a float, or float64 (C,) where the numbers of the channels differ."""
    values = whole_values(group, name, low, high, (1, n_channels)).reshape(-1)
    return float(values[0]) if (values == values[0]).all() else values


def pair(group, name, low):
    """Return two whole numbers, for H and W; the file may have one for both."""
    values = whole_values(group, name, low, 1 << 15, (1, 2)).reshape(-1)
    return tuple(int(v) for v in np.broadcast_to(values, 2))


def layer_shape(group, sizes=(1, 3)):
    """Return the shape of the layer, (N,) or (C, H, W)."""
    return tuple(int(n) for n in whole_values(group, "shape", 1, MAX_EXTENT, sizes).reshape(-1))


def repeats(group, name, expected):
    """Raise FormatError if the number or pair `name`, which a file may have in addition, is not as expected."""
    if name in group:
        values = whole_values(group, name, 0, MAX_EXTENT, (1, np.size(expected))).reshape(-1)
        if (values != expected).any():
            raise group.error(f"{name!r} is {values.astype(int).tolist()}, but the layer has {expected}")
