"""Tensors and loaders of other libraries, taken where arrays are expected. They are recognised by their
attributes, so that no such library is imported.

A tensor may be on any device, need gradients, be sparse, or have a type that NumPy lacks (bfloat16). A loader is
like `torch.utils.data.DataLoader`: an iterable of batches x or (x, y) with the attributes `dataset` and
`batch_size`.
"""

import numpy as np

from eventsim.errors import DataError


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
        batches = [part for part, _ in pairs_of(x)]
        if not batches:
            raise DataError("the loader has no batch")
        return np.concatenate(batches)
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
    if getattr(tensor, "is_sparse", False):
        tensor = tensor.to_dense()
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


def refuse_steps_first(x, y, what) -> None:
    """Raise DataError where the labels of samples show that their steps come first, (T, N, ...), as snnTorch and
    SpikingJelly have them. x: an array. y: an array, a list, or anything else, of which nothing is known. what:
    names them in the message."""
    n_axes = 1 if isinstance(y, (list, tuple)) else getattr(y, "ndim", 0)
    if n_axes == 1 and x.ndim > 1 and x.shape[0] != len(y) == x.shape[1]:
        raise DataError(f"{what} has x of shape {x.shape} with {len(y)} labels, so that steps come first, (T, N, "
                        "...): give x.swapaxes(0, 1)")
