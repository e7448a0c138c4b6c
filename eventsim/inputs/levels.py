"""Arrays and event recordings become levels, checked against the model's Input node."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from eventsim.arguments import first_wrong
from eventsim.errors import DataError, LevelError, warn
from eventsim.tensors import as_array
from eventsim.text import many

RAW = "give the raw integers, the model does the scaling itself"
MANY_EVENTS = 15  # in a pixel of one step: above that, bytes are rather pixels of an image
PIXELS = range(128, 256)  # where the largest of whole numbers is, they are rather pixels, whatever their type
UNSIGNED = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}  # by bytes


def to_levels(x, input_node, timesteps=None, narrow=False):
    """Check samples and give them the types that the simulator computes with.

    x: (N, *shape), a still sample, or (N, T, *shape), one frame per step; shape is the Input's,
        channels first; an array, or what `tensors.as_array` makes one of. For encoding "image" and
        "spikes" bool, integers, or floats that hold whole numbers: levels, not yet scaled; for an "image" of
        several bits, bool or floats whose largest value is 1 are taken so with a warning. For "real" any real
        numbers.
    timesteps: steps of the run, or None; must agree with T where both are given.
    narrow: whether levels that bytes hold may be bytes: those that are, and those that are copied anyway.

    Returns (levels, still). levels: (N, T, *shape), T = 1 where still; int32 (or uint8) for "image" and
    "spikes", float64 for "real"; C-contiguous, aligned and writable, a copy only where needed.
    still: whether x has no T axis, so that every step sees the same sample.

    Raises DataError.
    """
    x = array_of(x)
    still = check_shape_of_samples(x, input_node.shape, timesteps)
    levels = checked_levels(x, input_node, narrow)
    return (levels[:, np.newaxis] if still else levels), still


def checked_levels(x, input_node, narrow=False):
    """Return what `to_levels` returns for an array whose shape fits, in that shape. Raises DataError."""
    _check_type(x)
    dtype = _type_of_levels(x.dtype, input_node, narrow)
    if dtype == np.uint8 and x.dtype.kind == "f":
        levels = _levels_at_once(x, input_node)
        if levels is not None:
            return levels
    check_values(x, input_node)
    if x.dtype != dtype:
        return x.astype(dtype, order="C")
    levels = np.ascontiguousarray(x)
    flags = levels.flags
    return levels if flags.aligned and flags.writeable else levels.copy()


def _type_of_levels(dtype, input_node, narrow):
    """Return the type that `to_levels` gives levels that come in one."""
    if input_node.encoding == "real":
        return np.float64
    held_by_bytes = input_node.bits <= 8 and not input_node.signed
    return np.uint8 if narrow and (dtype == np.uint8 or held_by_bytes and dtype != np.int32) else np.int32


def array_of(x):
    """Return x as an array of numbers. Raises DataError where it is none."""
    _refuse_pairs(x)
    try:
        x = as_array(x)
    except DataError:
        raise
    except (TypeError, ValueError, RuntimeError) as error:
        raise DataError(f"x is no array of numbers ({' '.join(str(error).split())})") from None
    _check_type(x)
    return x


def _refuse_pairs(x):
    """Raise DataError for a data set that gives (x, y) of one sample after the other, as torch's TensorDataset."""
    if isinstance(x, (np.ndarray, Sequence, Mapping)) or hasattr(x, "__array__") or not all(
            hasattr(type(x), name) for name in ("__getitem__", "__len__")):
        return
    try:
        gives_pairs = len(x) and isinstance(x[0], tuple)
    except (KeyError, IndexError, TypeError):  # what it is instead is said by what makes an array of it
        return
    if gives_pairs:
        raise DataError(f"x is a {type(x).__name__}, which gives samples one by one as tuples, expected an array "
                        "or a loader of batches: torch.utils.data.DataLoader(x, batch_size=64)")


def _check_type(x):
    if x.dtype.kind not in "biuf":
        raise DataError(f"x has elements of type {x.dtype}, expected bool, integers or floats")


def check_shape_of_samples(x, shape, timesteps):
    """Return whether x stands still. Raises DataError where it does not fit."""
    if x.ndim not in (1 + len(shape), 2 + len(shape)) or x.shape[-len(shape):] != shape:
        expected = f"expected (N, {', '.join(map(str, shape))}), or the same with steps (N, T, ...)"
        raise DataError(f"x has shape {x.shape}, {expected}{_remedy(x.shape, shape)}")
    if x.size == 0:
        raise DataError(f"x has shape {x.shape}, which holds no value")
    still = is_still(x, shape)
    if not still:
        check_number_of_steps(x.shape[1], timesteps)
    return still


def is_still(x, shape) -> bool:
    """Return whether samples x stand still, (N, *shape), so that every step sees the same; else (N, T, *shape)."""
    return np.ndim(x) <= 1 + len(shape)


def check_number_of_steps(steps, timesteps) -> None:
    """Raise DataError where samples of `steps` steps are to run for other `timesteps`, unless those are None."""
    if timesteps is not None and steps != timesteps:
        raise DataError(f"x has {steps} steps, but the run has {timesteps}: give the same number, or leave "
                        "timesteps out")


def steps_of_run(x, model, timesteps=None) -> int:
    """Return the number of steps of a run of samples x, an array: their own or, where they stand still,
    `timesteps` or the model's. Raises DataError where their own number is not `timesteps`, RunError
    where none is given."""
    if is_still(x, model.shapes[model.input]):
        return model.steps(timesteps)
    check_number_of_steps(x.shape[1], timesteps)
    return x.shape[1]


def check_steps_said(model, x, timesteps) -> None:
    """Raise DataError where x looks as if steps came before samples, and the number of steps is not given."""
    if timesteps is None:
        check_layout(_shape(x), model.nodes[model.input], model.timesteps)


def _shape(x):
    """Return the shape of an array or of nested lists; () for anything else, which `to_levels` refuses."""
    try:
        return tuple(np.shape(x))
    except (TypeError, ValueError, RuntimeError):
        return ()


def check_layout(shape, input_node, timesteps) -> None:
    """Raise DataError where samples of `shape` look as if steps came before samples, (T, N, ...), as snnTorch and
    SpikingJelly have them. timesteps: of the model, or None."""
    n_axes = len(input_node.shape)
    if (timesteps or 1) > 1 and len(shape) == 2 + n_axes and shape[0] == timesteps != shape[1]:
        raise DataError(f"x has shape {shape}, {shape[0]} samples of {shape[1]} steps, but the model takes "
                        f"{timesteps} steps: where steps come first, (T, N, ...), give x.swapaxes(0, 1); else say "
                        f"timesteps={shape[1]} (--timesteps {shape[1]})")


def _remedy(given, shape):
    """Return what turns a shape that users often have into the expected one."""
    reshaping = remedy_of_axes(given[1:], shape)
    channels_last = shape[1:] + shape[:1]
    if given == shape:
        return "; a single sample needs a sample axis: x[np.newaxis]"
    if len(shape) == 3 and given[-3:] == channels_last:
        return "; channels come first: np.moveaxis(x, -1, -3)"
    if len(shape) == 3 and shape[0] == 1 and given[-2:] == shape[1:]:
        return "; the channel axis is missing: np.expand_dims(x, -3)"
    return f"; give {reshaping}" if reshaping else ""


def remedy_of_axes(stored, shape) -> str:
    """Return how vectors become samples of an Input's shape, or samples become vectors, where they have as many
    values; else "". stored: the shape of a sample, maybe with steps before."""
    for n_steps, kept in ((0, "len(x)"), (1, "*x.shape[:2]")):
        axes = stored[n_steps:]
        if 1 in (len(axes), len(shape)) and len(axes) != len(shape) and math.prod(axes) == math.prod(shape):
            return f"x.reshape({kept}, {'-1' if len(shape) == 1 else ', '.join(map(str, shape))})"
    return ""


def check_values(x, input_node):
    """Raise DataError unless all values of `x` are levels of the Input (finite, if real). Warns where floats or
    bools may be shares of the highest level."""
    if x.dtype.kind in "iu" and input_node.encoding != "real" and _are_levels(x, input_node):
        return
    if x.dtype.kind == "f" and not np.isfinite(_narrowed(x)).all():
        raise DataError("x has a value that is not finite (NaN, infinite, or beyond float64)"
                        f"{first_wrong(x, ~np.isfinite(_narrowed(x)))}")
    if input_node.encoding == "real":
        _warn_of_pixels(x, input_node)
        return
    low, high = level_range(input_node)
    if x.dtype.kind == "f" and (x != np.floor(x)).any():
        raise DataError(_fractional(x, low, high))
    lowest, highest = _extremes(x, low, high)
    if lowest < low:
        remedy = "" if input_node.signed else "; negative levels need an Input with signed=True"
        raise DataError(f"x has values down to {lowest} but {_range(input_node)}{remedy}")
    if highest > high:
        raise LevelError(f"x has values up to {highest} but {_range(input_node)}")
    if highest == 1 and x.dtype.kind in "bf" and takes_shades(input_node):  # 0 and 1 of a picture, or its levels?
        warn(f"x is of type {x.dtype} and has no value but 0 and 1, taken as those of the levels 0 to {high}: if "
             f"it is scaled to 0..1, {RAW}; if they are levels, x.astype(np.uint8) says so")


def _warn_of_pixels(x, input_node):
    """Warn where whole numbers that a real input takes as they are look like pixels, which networks are seldom
    trained on as they are."""
    if x.dtype.kind not in "iu":
        return
    highest = int(x.max())
    if highest > MANY_EVENTS and x.dtype == np.uint8 or highest in PIXELS and int(x.min()) >= 0:
        shape = ", ".join(map(str, input_node.shape)) + "," * (len(input_node.shape) == 1)
        warn(f"x holds {x.dtype} that look like pixels, and the model's real input takes them as they are: if the "
             "network was trained on pixels that were scaled or normalised, give the same floats, or import it "
             f"with from_torch(..., input=Input(({shape}), 'image', bits=8, scale=1/255, mean=..., std=...)); "
             "if it was trained on these numbers, give x.astype(np.float32)")


def takes_shades(input_node) -> bool:
    """Return whether the Input takes pictures of more than black and white, level for level."""
    return input_node.encoding == "image" and input_node.bits > 1


def _are_levels(x, input_node):
    """Return whether integers are known to be levels of an Input without a sign: none is above its highest level
    when they are read as unsigned, which makes negative ones the largest, and larger than any level where their
    type is wider than levels. `argmax` takes a third of the time of `max` for one sample."""
    n_bits = x.dtype.itemsize * 8
    if input_node.signed or not x.dtype.isnative or x.dtype.kind == "i" and n_bits <= input_node.bits:
        return False
    unsigned = x if x.dtype.kind == "u" else x.view(UNSIGNED[x.dtype.itemsize])
    return unsigned.item(unsigned.argmax()) < 1 << input_node.bits


def _levels_at_once(x, input_node):
    """Return floats as the levels that they are, uint8, in fewer passes than `check_values` makes; None where that
    may have something to say. input_node: an Input of at most 8 bits, without a sign."""
    with np.errstate(invalid="ignore"):
        levels = x.astype(np.uint8, order="C")
    if not (levels == x).all():  # not whole, not a number, or none that a byte holds
        return None
    highest = levels.item(levels.argmax())
    if highest >= 1 << input_node.bits or highest == 1 and takes_shades(input_node):
        return None
    return levels


def _narrowed(x):
    """Return floats as float64 where their type is wider; those that float64 does not hold become infinite."""
    with np.errstate(over="ignore"):
        return x.astype(np.float64) if x.dtype.itemsize > 8 else x


def _extremes(x, low, high):
    """Return (lowest, highest) value of x, or `low` and `high` where its type holds none beyond."""
    kept = np.iinfo(x.dtype) if x.dtype.kind in "iu" else None
    lowest = low if kept is not None and kept.min >= low else int(x.min())
    return lowest, high if kept is not None and kept.max <= high else int(x.max())


def level_range(input_node):
    """Return (lowest, highest) level that the Input takes."""
    high = (1 << input_node.bits) - 1
    return (-high if input_node.signed else 0), high


def _range(input_node):
    low, high = level_range(input_node)
    return f"the model's input has {many(input_node.bits, 'bit')} ({low} to {high})"


def _fractional(x, low, high):
    message = f"x has fractional values, expected whole levels from {low} to {high}"
    return f"{message}; it looks scaled to 0..1: {RAW}" if x.min() >= 0 and x.max() <= 1 else message
