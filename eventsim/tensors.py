"""Tensors and loaders of other libraries, taken where arrays are expected. They are recognised by their
attributes, so that no such library is imported.

A tensor may be on any device, need gradients, be sparse, or have a type that NumPy lacks (bfloat16). A loader is
like `torch.utils.data.DataLoader`: an iterable of batches x or (x, y) with the attributes `dataset` and
`batch_size`.
"""

import numpy as np

from eventsim.errors import DataError

# what NumPy cannot read of a torch tensor, and what makes a plain one of it: layouts that leave out zeros, such as
# COO and CSR, numbers quantised to a scale, and values that are negated or conjugated only when they are read
PLAIN = (
    (lambda tensor: "sparse" in str(getattr(tensor, "layout", "")), lambda tensor: tensor.to_dense()),
    (lambda tensor: getattr(tensor, "is_quantized", False), lambda tensor: tensor.dequantize()),
    (lambda tensor: hasattr(tensor, "is_neg") and tensor.is_neg(), lambda tensor: tensor.resolve_neg()),
    (lambda tensor: hasattr(tensor, "is_conj") and tensor.is_conj(), lambda tensor: tensor.resolve_conj()),
)


def is_tensor(x) -> bool:
    """Return whether x has `detach`, `cpu` and `numpy`, as a torch tensor does."""
    return all(callable(getattr(x, name, None)) for name in ("detach", "cpu", "numpy"))


def is_loader(x) -> bool:
    """Return whether x has `__iter__`, `dataset` and `batch_size`, as a torch DataLoader does."""
    return all(hasattr(x, name) for name in ("__iter__", "dataset", "batch_size"))


def as_array(x) -> np.ndarray:
    """Return an array, a tensor or a (nested) list of them as an array, and the x of a loader's batches joined
    along axis 0. Raises DataError for masked values, for a loader without batches and for batches that are neither
    x nor (x, y), and what NumPy raises for anything else that is no array."""
    if type(x) is np.ndarray:
        return x
    if isinstance(x, np.ma.MaskedArray):
        return _unmasked(x)
    if is_tensor(x):
        return _numbers(x)
    if is_loader(x):
        return joined_batches(x)[0]
    if isinstance(x, (list, tuple)) and any(map(_holds_tensors, x)):
        return np.asarray([as_array(part) for part in x])
    return np.asarray(x)


def _unmasked(x):
    if np.ma.is_masked(x):
        raise DataError(f"{np.ma.count_masked(x)} of {x.size} values are masked: give what they are, such as "
                        "x.filled(0)")
    return x.data


def _holds_tensors(x):
    """Return whether x is a tensor or masked array, or a (nested) list that begins with one: NumPy alone would
    convert these wrongly or slowly."""
    return is_tensor(x) or isinstance(x, np.ma.MaskedArray) or (
        isinstance(x, (list, tuple)) and bool(x) and _holds_tensors(x[0]))


def _numbers(tensor):
    tensor = tensor.detach()
    for is_held_otherwise, plain in PLAIN:
        if is_held_otherwise(tensor):
            tensor = plain(tensor)
    tensor = tensor.cpu()
    try:
        return tensor.numpy()
    except TypeError:  # a type that NumPy lacks, whose values float32 holds
        return tensor.float().numpy()


def pairs_of(loader):
    """Yield (x, y) of each batch of a loader as arrays, with None for y where a batch is only x. Raises DataError
    for other batches."""
    for batch in loader:
        parts = list(batch) if isinstance(batch, (list, tuple)) else [batch]
        if not 1 <= len(parts) <= 2 or isinstance(batch, dict):
            received = "a dict" if isinstance(batch, dict) else f"{len(parts)} parts"
            raise DataError(f"a batch of the loader is {received}, expected x or (x, y); give a collate_fn that "
                            "makes them")
        x, y = as_array(parts[0]), as_array(parts[1]) if len(parts) == 2 else None
        refuse_steps_first(x, y, "a batch of the loader")
        yield x, y


def joined_batches(loader):
    """Return (x, y) of all batches of a loader, joined along axis 0; y None where the batches are x alone. Raises
    DataError for a loader without batches, for one of whose batches only some have labels, and what `pairs_of`
    raises."""
    pairs = list(pairs_of(loader))
    if not pairs:
        raise DataError("the loader has no batch")
    x, y = zip(*pairs)
    labelled = [labels is not None for labels in y]
    if any(labelled) and not all(labelled):
        raise DataError(f"batch {labelled.index(False)} of the loader has no labels, batch {labelled.index(True)} "
                        "has: give labels with all, (x, y), or with none")
    try:
        return np.concatenate(x), np.concatenate(y) if all(labelled) else None
    except ValueError as error:
        raise DataError(f"the batches of the loader cannot be joined ({error}); give batches of samples of one "
                        "shape") from None


def refuse_beside_loader(x, **given) -> None:
    """Raise DataError where x is a loader and one of `given`, by name something of each sample, is not None: a
    loader may give its samples in any order, and they would belong to others."""
    if not is_loader(x):
        return
    for name, values in given.items():
        if values is not None:
            not_in_batches = name in ("lengths", "state")
            reason = ("whose samples may come in any order; give x as an array" if not_in_batches else
                      "whose batches have the labels; give one of them")
            raise DataError(f"{name} is given, but x is a loader, {reason}")


def refuse_steps_first(x, y, what) -> None:
    """Raise DataError where the labels of samples show that their steps come first, (T, N, ...), as snnTorch and
    SpikingJelly have them. x: an array. y: an array, a list, or anything else, of which nothing is known. what:
    names them in the message."""
    n_axes = 1 if isinstance(y, (list, tuple)) else getattr(y, "ndim", 0)
    if n_axes == 1 and x.ndim > 1 and x.shape[0] != len(y) == x.shape[1]:
        raise DataError(f"{what} has x of shape {x.shape} with {len(y)} labels, so that steps come first, (T, N, "
                        "...): give x.swapaxes(0, 1)")
