"""Tensors: what other libraries give where arrays are expected, recognised by what it can do and never by import.

A tensor may be on any device, need gradients, be sparse, or have a type that NumPy lacks (bfloat16). A loader is
what `torch.utils.data.DataLoader` is: an iterable of batches x or (x, y) with `dataset` and `batch_size`.
"""

import numpy as np

from eventsim.errors import DataError


def is_tensor(x) -> bool:
    """Whether x is a torch tensor, or something that is one in all that matters."""
    return all(callable(getattr(x, name, None)) for name in ("detach", "cpu", "numpy"))


def is_loader(x) -> bool:
    """Whether x is a DataLoader, or something that is one in all that matters."""
    return all(hasattr(x, name) for name in ("__iter__", "dataset", "batch_size"))


def as_array(x) -> np.ndarray:
    """x as NumPy has it: an array, a tensor, a (nested) list of either, or of a loader all x one after another.
    Raises what NumPy raises for others, DataError for batches of a loader that are neither x nor (x, y)."""
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
    """Whether x has to be looked at by itself."""
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
    """(x, y or None) of each batch of a loader, as arrays. Raises DataError for other batches."""
    for batch in loader:
        parts = list(batch) if isinstance(batch, (list, tuple)) else [batch]
        if not 1 <= len(parts) <= 2 or isinstance(batch, dict):
            found = "a dict" if isinstance(batch, dict) else f"{len(parts)} parts"
            raise DataError(f"a batch of the loader is {found}, expected x or (x, y); give a collate_fn that makes "
                            "them")
        yield as_array(parts[0]), as_array(parts[1]) if len(parts) == 2 else None
