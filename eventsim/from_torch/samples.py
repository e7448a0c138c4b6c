"""Samples: what a user gives as `x`, as the engine's levels and as the numbers that the network takes."""

from typing import NamedTuple, Optional

import numpy as np
import torch

from eventsim.arguments import index_of, instance_of, shown
from eventsim.errors import DataError
from eventsim.inputs.levels import MANY_EVENTS
from eventsim.model.input import Input
from eventsim.model.parameters import MAX_BITS
from eventsim.tensors import as_array

LAYOUTS = ("N", "NT", "TN")
MOST_AXES = 3  # of a sample at one step
WHOLE = 1e-3  # how far a level that was computed from a value may be from a whole number


class Samples(NamedTuple):
    """levels: (N, ...) or (N, T, ...) as the engine takes them. values: float64 tensor of the same shape, as the
    network takes them. input: the Input. steps: T, or None where samples are the same at every step. note: a
    warning about how they were read, or ""."""

    levels: np.ndarray
    values: torch.Tensor
    input: Input
    steps: Optional[int]
    note: str = ""


def read_samples(x, input_node, shape, encoding, layout, timesteps=None) -> Samples:
    """Samples from what a user gives. Raises DataError, saying what would fit.

    x: array or tensor, (N, ...), or with an axis of steps as `layout` says. input_node: Input, or None for one
        that is made from `shape` and `encoding`, where they are given, and from the numbers. timesteps: that the
        user gives, or None.
    """
    _check_arguments(input_node, shape, timesteps)
    array = _array(x)
    if array.dtype.kind not in "biuf" or array.size == 0:
        raise DataError(f"x has type {array.dtype} and shape {array.shape}, expected numbers, at least one sample")
    may_be_pixels = input_node is None and encoding != "spikes" and array.dtype == np.uint8
    array = np.asarray(array, np.int64 if array.dtype.kind in "biu" else np.float64)
    if not np.isfinite(array).all():
        raise DataError("x has numbers that are not finite")
    shape = input_node.shape if input_node is not None else shape
    counts = (timesteps or 1) > 1 and timesteps in array.shape[:2]
    if counts and shape is None and layout is None and array.ndim in (3, 5):
        axis = array.shape[:2].index(timesteps)
        raise DataError(f"x has shape {array.shape}, and axis {axis} is as long as timesteps={timesteps}: say "
                        f"layout='{('TN', 'NT')[axis]}' if it counts steps, or layout='N' if each sample stands "
                        "still")
    if shape is None and layout is None and array.ndim == 1 + MOST_AXES + 1:
        raise DataError(f"x has shape {array.shape}, and a sample that stands still has at most {MOST_AXES} axes, "
                        "(C, H, W): say layout='TN' if the first axes of x count steps and samples, or "
                        "layout='NT' if samples and steps")
    layout = _layout(array, shape, layout)
    if layout == "TN":
        array = array.swapaxes(0, 1)
    moving = layout != "N"
    if moving and timesteps not in (None, array.shape[1]):
        raise DataError(f"timesteps is {timesteps}, and x has {array.shape[1]} steps (layout {layout!r}): leave "
                        f"timesteps out, or give x with {timesteps} steps")
    shape = tuple(array.shape[1 + moving:]) if shape is None else tuple(shape)
    if input_node is None:
        input_node = _made(array, shape, encoding, moving)
    levels = _levels(array, input_node)
    note = _pixel_note(array, input_node) if may_be_pixels and not moving else ""
    return Samples(levels, values_of(levels, input_node), input_node, array.shape[1] if moving else None, note)


def _pixel_note(array, node):
    """Return the warning for bytes that stand still and look like pixels, "" for counts of a few events."""
    if array.max() <= MANY_EVENTS:
        return ""
    return (f"x has bytes up to {array.max()}, which the network is given as they are: if it was trained on "
            f"pixels from 0 to 1, give input=eventsim.Input({node.shape}, 'image', bits=8, scale=1 / 255); if "
            "they count events, encoding='spikes'")


def _check_arguments(input_node, shape, timesteps):
    """Raise DataError, naming it, for an argument of another type."""
    remedy = f"; say encoding={input_node!r}" if isinstance(input_node, str) else ""
    instance_of(input_node, (Input, type(None)), "input", f"an eventsim.Input or None{remedy}")
    if shape is not None and (not np.iterable(shape) or isinstance(shape, str)):
        raise DataError(f"shape is {shown(shape)}, expected the axes of one step of a sample, such as (6,) or "
                        "(1, 28, 28)")
    if timesteps is not None:
        index_of(timesteps, "timesteps", 1)


def _array(x):
    try:
        return as_array(x)
    except DataError:
        raise
    except (TypeError, ValueError, RuntimeError) as error:  # whatever NumPy and torch raise
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"x is no array of numbers ({reason}); expected samples of one shape, (N, ...); of pairs "
                        "(x, y) give x alone") from None


def _check_axes(array, layout):
    """Raise DataError where nothing is left for a sample's own axes."""
    if array.ndim <= len(layout):
        axes = {"N": "samples", "NT": "samples and steps", "TN": "steps and samples"}[layout]
        raise DataError(f"x has shape {array.shape}, and layout {layout!r} says that its first axes are {axes}: "
                        f"expected ({', '.join(layout)}, ...) with at least one axis more; give x[None] if it is "
                        "one sample, or another layout")


def _layout(array, shape, layout):
    if layout is not None and layout not in LAYOUTS:
        raise DataError(f"layout is {layout!r}, expected one of {', '.join(map(repr, LAYOUTS))}")
    if shape is None:
        _check_axes(array, layout or "N")
        return layout or "N"
    shape = tuple(shape)
    for candidate in ((layout,) if layout else ("N", "NT")):
        if array.shape[len(candidate):] == shape and array.ndim == len(candidate) + len(shape):
            return candidate
    raise DataError(f"x has shape {array.shape}, expected (N, *shape), or (N, T, *shape) or with layout='TN' "
                    f"(T, N, *shape), of shape {shape}")


def _made(array, shape, encoding, moving):
    """The Input that the numbers themselves suggest."""
    is_whole = (array == np.floor(array)).all()
    lowest, highest = float(array.min()), float(array.max())
    if encoding is None:
        pixels = not moving and not is_whole and 0 <= lowest and highest <= 1 and _near_whole(array * 255)
        encoding = "image" if pixels else "spikes" if is_whole and highest < 1 << MAX_BITS else "real"
    if encoding == "image":
        if array.dtype.kind == "f" and highest <= 1:
            return Input(shape, "image", bits=8, scale=1 / 255)
        return Input(shape, "image", bits=8)
    if encoding == "spikes":
        bits = max(1, int(max(highest, -lowest)).bit_length())
        return Input(shape, "spikes", bits=bits, signed=lowest < 0)
    return Input(shape, encoding)


def _near_whole(array):
    return bool((np.abs(array - np.rint(array)) <= WHOLE).all())


def _levels(array, node):
    if node.encoding == "real":
        return array.astype(np.float64)
    if array.dtype.kind == "i":
        levels = array
    else:  # numbers as the network takes them
        trailing = (-1,) + (1,) * (len(node.shape) - 1)
        mean, std = (np.reshape(v, trailing) if np.ndim(v) else v for v in (node.mean, node.std))
        exact = (array * std + mean) / node.scale
        if not _near_whole(exact):
            raise DataError(f"x has numbers that are no whole levels of the Input (scale {node.scale:.6g}, mean "
                            "and std as given): give the raw whole numbers, or an Input of encoding 'real'")
        levels = np.rint(exact).astype(np.int64)
    top = (1 << node.bits) - 1
    low = -top if node.signed else 0
    if levels.min() < low or levels.max() > top:
        raise DataError(f"x has levels from {levels.min()} to {levels.max()}, expected {low} to {top} "
                        f"({node.bits} bits)")
    return levels


def another(samples) -> torch.Tensor:
    """A sample of the same kind that differs from the first: float64 (1, ...), as the network takes it. Where that
    is high among all, this is low."""
    first, low, high = samples.levels[:1], samples.levels.min(), samples.levels.max()
    other = low + (high - first) if low < high else np.full_like(first, 0 if low else 1)
    return values_of(other, samples.input)


def values_of(levels, node) -> torch.Tensor:
    """Levels as the values that they stand for, a float64 tensor. levels: (N, ...) or (N, T, ...)."""
    values = levels * node.scale if node.encoding != "real" else levels
    trailing = (-1,) + (1,) * (len(node.shape) - 1)
    mean, std = (v.reshape(trailing) if v.ndim else v for v in (node.mean, node.std))
    return torch.from_numpy(np.asarray((values - mean) / std, np.float64))
