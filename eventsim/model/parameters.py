"""Checking and shaping what users put into nodes: numbers, choices, shapes, parameters."""

from typing import Tuple, Union

import numpy as np

from eventsim.arguments import first_wrong, integer, shown
from eventsim.errors import DataError, ModelError
from eventsim.tensors import as_array
from eventsim.text import did_you_mean

Parameter = Union[float, np.ndarray]
Shape = Tuple[int, ...]
Axes = Union[int, Tuple[int, ...]]  # the same for all axes of space, or one for each

MAX_BITS = 16  # of a level; 16-bit graded spikes are the widest in the formats we read
MAX_DELAY = 1 << 12  # steps; every delayed spike is kept for that long
MOST_STEPS = 1 << 24  # of a run
MAX_EXTENT = 1 << 24  # of one axis; beyond it a shape is a mistake or an attack
LARGEST_NODE = 1 << 28  # neurons
ANY_SHAPE = "(C, H, W), (C, L) or (F,)"


def float_array(value, name):
    """Finite numbers of any shape as float64 (a copy)."""
    try:
        array = as_array(value)
        if array.dtype.kind not in "biuf":
            raise TypeError
        with np.errstate(invalid="ignore", over="ignore"):  # signalling NaN, numbers beyond float64: refused
            array = np.array(array, dtype=np.float64)
    except (TypeError, ValueError, DataError):
        raise ModelError(f"{name} is {shown(value)}, expected a number or an array of numbers") from None
    if array.size == 0:
        raise ModelError(f"{name} has no value at all, expected a number or an array of numbers")
    if not np.isfinite(array).all():
        raise ModelError(f"{name} has a value that is not finite{first_wrong(array, ~np.isfinite(array))}")
    return array


def parameter(value, name):
    """A parameter of neurons or channels: float64, a single number as a scalar array."""
    array = float_array(value, name)
    return array.reshape(()) if array.size == 1 else array


def integers(value, name, length, low, high):
    """A scalar or a sequence as a tuple of `length` whole numbers."""
    values = _values(value)
    values = (value,) * length if values is None else values
    if len(values) != length:
        raise ModelError(f"{name} is {shown(value)}, expected {length} whole numbers")
    return tuple(integer(v, name, low, high, ModelError) for v in values)


def along_axes(value, name, low, high):
    """Axes: a whole number for all axes of space as an int, or one for each of one or two as a tuple."""
    values = _values(value)
    if values is None:
        return integer(value, name, low, high, ModelError)
    if not 1 <= len(values) <= 2:
        raise ModelError(f"{name} is {shown(value)}, expected a whole number, or one for each axis of space")
    return integers(values, name, len(values), low, high)


def input_shape(shape, expected, *ranks):
    """The shape of an input as a tuple of whole numbers. expected: what messages call it; ranks: how many axes it
    may have."""
    values = _values(shape)
    if values is None or len(values) not in ranks:
        raise ModelError(f"input has shape {shown(shape)}, expected {expected}")
    return integers(values, "shape of the input", len(values), 1, LARGEST_NODE)


def _values(value):
    """The values of a sequence as a tuple, None for what is a single one."""
    return tuple(value) if isinstance(value, (list, tuple)) or getattr(value, "ndim", 0) else None


def flag(value, name):
    """True or False, which may be given as 1 or 0."""
    if not isinstance(value, (bool, np.bool_, int, np.integer)) or value not in (0, 1):
        raise ModelError(f"{name} is {shown(value)}, expected True or False")
    return bool(value)


def choice(value, name, choices):
    """`value` if it is one of `choices`."""
    if not isinstance(value, str) or value not in choices:
        raise ModelError(f"{name} is {shown(value)}, expected one of "
                         f"{', '.join(map(repr, choices))}{did_you_mean(value, choices)}")
    return value


def shape_of(value, name="shape"):
    """A whole number or a sequence as a shape of one to three axes."""
    values = _values(value)
    shape = (value,) if values is None else values
    if not 1 <= len(shape) <= 3:
        raise ModelError(f"{name} is {shown(shape)}, expected {ANY_SHAPE}")
    shape = integers(shape, name, len(shape), 1, MAX_EXTENT)
    if np.prod(shape, dtype=np.float64) > LARGEST_NODE:
        raise ModelError(f"{name} is {shape!r}: more than {LARGEST_NODE} neurons in one node")
    return shape


def parameter_on(value, shape, name):
    """Broadcast a parameter to `shape` and check that it fits.

    value: scalar, (C,) per channel, or the whole `shape` per neuron.
    Returns float64 of `shape`, read-only where it is shared. Raises ModelError where it does not fit.
    """
    array = np.asarray(value, dtype=np.float64)
    if array.ndim == 0 or array.shape == (1,):
        return np.broadcast_to(array.reshape(()), shape)  # takes no memory, however large the map
    if array.shape == shape:
        return array
    if array.shape == shape[:1]:
        return np.broadcast_to(array.reshape((-1,) + (1,) * (len(shape) - 1)), shape)
    raise ModelError(
        f"{name} has shape {array.shape}, expected a scalar, {shape[:1]} (one per channel) "
        f"or {shape} (one per neuron)"
    )


def along_channels(value, shape):
    """A parameter that fits `shape`, with as many axes: what it holds, not broadcast."""
    array = np.asarray(value, dtype=np.float64)
    return array if array.shape == shape else array.reshape((-1,) + (1,) * (len(shape) - 1))


def is_per_neuron(value, shape):
    """Whether a parameter differs between the positions of one channel of `shape`."""
    array = np.asarray(value)
    return len(shape) > 1 and array.shape == tuple(shape)


def whole_array(value, name, low, high):
    """Whole numbers of any shape as int64."""
    array = parameter(value, name)
    outside = (array != np.floor(array)) | (array < low) | (array > high)
    if outside.any() or as_array(value).dtype.kind == "b":
        raise ModelError(f"{name} is {shown(value)}, expected whole numbers from {low} to {high}")
    return array.astype(np.int64)


def compact(values, shape):
    """The same numbers as a scalar, one per channel or one per neuron of `shape`, whatever is shortest.

    values: any array that broadcasts to `shape`.
    """
    values = np.asarray(values, dtype=np.float64)
    if (values == values.flat[0]).all():
        return values.reshape(-1)[0].reshape(())
    rows = values.reshape(values.shape[0], -1)
    if len(rows) == shape[0] and (rows == rows[:, :1]).all():
        return rows[:, 0].copy()
    return np.broadcast_to(values, shape).copy()
