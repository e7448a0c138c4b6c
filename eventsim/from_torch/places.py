"""Places: of every number in a traced tensor, which node of the network computed it, for which step, sample
and element.

Places are kept per storage, not per tensor. So whatever only moves numbers in torch (views, slices, writes
into a part of a tensor) needs no rule here: a tensor is read through its own strides.

A place is one int64: the number of the node times 2^40, plus (row * elements + element) with
row = step * samples + sample.
"""

from typing import List, NamedTuple, Optional

import numpy as np
import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._pytree import tree_flatten

BITS = 40
MASK = (1 << BITS) - 1
ZERO = -1  # a constant 0
CONSTANT = -2  # any other constant


class _Run(NamedTuple):
    """A storage whose places count up from one, without being written out."""

    first: int


class Part(NamedTuple):
    """Columns of a block that one node computed.

    node: its number. columns: int64 (F,), which columns of the block. elements: int64 (F,), which elements
    of the node they are. rows: int64 (R,), the node's row of each row of the block; below 0 of zeros that stand
    for steps before the first.
    """

    node: int
    columns: np.ndarray
    elements: np.ndarray
    rows: np.ndarray


class Mixed(Exception):
    """A block whose rows are not one step of one sample each; the text says what was found."""


class Places:
    """The places of all tensors that depend on the network's input.

    nodes: list of the nodes by number; each has `size` (elements) and `still`. samples: N.
    delayed: numbers of the nodes that were read with zeros in place of steps before the first.
    """

    def __init__(self, nodes, samples):
        self._nodes, self._samples = nodes, samples
        self.delayed = set()
        self._known = {}  # address of a storage -> (weak reference, _Run or int64 tensor)

    def _entry(self, tensor):
        reference, places = self._known.get(StorageWeakRef(tensor.untyped_storage()).cdata, (None, None))
        return None if reference is None or reference.expired() else places

    def knows(self, tensor) -> bool:
        """Whether any number of the tensor depends on the input."""
        places = self._entry(tensor)
        if places is None or isinstance(places, _Run):
            return places is not None
        return bool((self.of(tensor) >= 0).any())

    def of(self, tensor) -> torch.Tensor:
        """int64 of the tensor's shape."""
        places = self._entry(tensor)
        if places is None:
            return _constants(tensor)
        if isinstance(places, _Run):
            return places.first + _offsets(tensor)
        return places.as_strided(tensor.shape, tensor.stride(), tensor.storage_offset())

    def run_of(self, tensor) -> Optional[int]:
        """The first place where the tensor's places count up in its own order, else None."""
        places = self._entry(tensor)
        if isinstance(places, _Run) and tensor.is_contiguous():
            return places.first + tensor.storage_offset()
        return None

    def count_up(self, tensor, first):
        """Say that the places of a tensor with a storage of its own count up from `first`."""
        if tensor.is_contiguous() and tensor.storage_offset() == 0 and _length(tensor) == tensor.numel():
            self._keep(tensor, _Run(first))
        else:
            self.write(tensor, first + torch.arange(tensor.numel()).view(tensor.shape))

    def write(self, tensor, places):
        """Say what the places of a tensor are; others that share its memory see it. places: int64 that
        broadcasts to its shape."""
        known = self._entry(tensor)
        if isinstance(known, _Run):
            known = known.first + torch.arange(_length(tensor))
        elif known is None:
            storage = torch.empty(0, dtype=tensor.dtype, device=tensor.device).set_(tensor.untyped_storage())
            known = _constants(storage)
        if tensor.numel():
            known.as_strided(tensor.shape, tensor.stride(), tensor.storage_offset()).copy_(places)
        self._keep(tensor, known)

    def refresh(self, tensor):
        """Note that an operation has written constants to a tensor."""
        if self._entry(tensor) is not None:
            self.write(tensor, _constants(tensor))

    def _keep(self, tensor, places):
        reference = StorageWeakRef(tensor.untyped_storage())
        self._known[reference.cdata] = reference, places

    def parts(self, tensor, n_axes) -> List[Part]:
        """The tensor as a block of rows, its first `n_axes` axes, split by the node that computed the columns.

        Columns of constant 0 belong to no part. Raises Mixed where rows mix steps or samples.
        """
        shape = tensor.shape[:n_axes]
        n_rows = int(np.prod(shape, dtype=np.int64))
        first = self.run_of(tensor)
        if first is not None and n_rows:
            node, local = first >> BITS, first & MASK
            size, width = self._nodes[node].size, tensor.numel() // n_rows
            if width == size and local % size == 0:
                order = np.arange(size)
                return [Part(node, order, order, local // size + np.arange(n_rows))]
        return self.parts_in_rows(tensor, n_rows)

    def parts_in_rows(self, tensor, n_rows) -> List[Part]:
        """The tensor as a block of so many rows, whatever its axes, split as by `parts`."""
        return self._split(self.of(tensor).reshape(n_rows, -1).numpy())

    def split(self, places, n_axes) -> List[Part]:
        """Places themselves as a block of rows, their first `n_axes` axes, split as by `parts`."""
        return self._split(places.reshape(int(np.prod(places.shape[:n_axes], dtype=np.int64)), -1).numpy())

    def _split(self, places):
        if (places == CONSTANT).any():
            raise Mixed("numbers that the network computed, beside constants; give these with the samples, as "
                        "more of x, or put them into a bias")
        nodes = np.where(places < 0, -1, places >> BITS)
        of_columns = nodes.max(0, initial=-1)
        if ((nodes != of_columns) & (nodes >= 0)).any():
            raise Mixed("numbers of several layers in one column")
        parts = []
        for node in np.unique(of_columns):
            if node < 0:
                continue
            columns = np.flatnonzero(of_columns == node)
            given = nodes[:, columns[0]] >= 0
            if ((nodes[:, columns] >= 0) != given[:, None]).any():
                raise Mixed("a part of a layer late and another not; give each part weights of its own, fc1(a) + "
                            "fc2(b)")
            local, size = places[given][:, columns] & MASK, self._nodes[node].size
            rows, elements = local // size, local % size
            if (rows != rows[:, :1]).any():
                raise Mixed("several steps or samples in one row")
            if (elements != elements[:1]).any():
                raise Mixed("one axis of a map alone (several parts of a sample in turn): Flatten the map before, "
                            "or use a convolution")
            rows = rows[:, 0] if given.all() else self._delayed_rows(int(node), given, rows[:, 0])
            parts.append(Part(int(node), columns, elements[0], rows))
        return parts

    def _delayed_rows(self, node, given, rows):
        """Return the rows of a block of all steps, in which zeros stand for steps before the first. given: which
        rows of the block a node computed. rows: of the node, these. Raises Mixed where the zeros are others."""
        n, n_steps = self._samples, len(given) // self._samples
        order = np.arange(n_steps * n)
        for steps, samples in ((order // n, order % n), (order % max(n_steps, 1), order // max(n_steps, 1))):
            delay = n_steps - len(rows) // n
            all_rows = (steps - delay) * n + samples
            if not self._nodes[node].still and len(order) == len(given) and (given == (all_rows >= 0)).all() \
                    and (all_rows[given] == rows).all():
                self.delayed.add(node)
                return all_rows
        raise Mixed("a layer's numbers in some rows and zeros in others that are no steps before the first")


def _length(tensor):
    return tensor.untyped_storage().nbytes() // tensor.element_size()


def _constants(tensor):
    zero = (tensor == 0).cpu() if tensor.numel() else torch.zeros(tensor.shape, dtype=torch.bool)
    return torch.where(zero, ZERO, CONSTANT)


def _offsets(tensor):
    """Where each number of a tensor lies in its storage."""
    offsets = torch.tensor(tensor.storage_offset())
    for size, stride in zip(tensor.shape, tensor.stride()):
        offsets = offsets[..., None] + stride * torch.arange(size)
    return offsets.view(tensor.shape)


def tensors_in(value):
    """All tensors in nested lists, tuples and dicts."""
    return [leaf for leaf in tree_flatten(value)[0] if isinstance(leaf, torch.Tensor)]
