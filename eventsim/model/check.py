"""Check: inputs with what the trainer computed from them, so that a file can prove itself."""

from dataclasses import dataclass, field
from typing import Dict

import numpy as np

from eventsim.arguments import first_wrong, mapping, shown
from eventsim.display.card import Card, Shown, times
from eventsim.equality import ByValue
from eventsim.errors import DataError, ModelError
from eventsim.tensors import as_array
from eventsim.text import listed, many


@dataclass(repr=False, eq=False)
class Check(ByValue, Shown):
    """Inputs with what the trainer computed from them, so that a file can prove itself.

    x: (N, ...) or (N, T, ...), as `Simulator.run` takes it.
    outputs: float64 (N, classes), of the folded network in float64.
    level_counts: per neuron node, int64 (N, T, L): how many of its neurons sent each level in a
        step. Index i is level i (L = 2^bits), or level i - (2^bits - 1) where levels are signed
        (L = 2^(bits + 1) - 1).

    Raises ModelError for what are no arrays of numbers when it is made, and for shapes that do not fit the model
    when a Model is made with it, or written.

    >>> import numpy as np
    >>> from eventsim import Check
    >>> Check(x=np.ones((2, 4)), outputs=np.zeros((2, 3))).level_counts
    {}
    """

    x: np.ndarray
    outputs: np.ndarray
    level_counts: Dict[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self):
        self.x, self.outputs = _numbers(self.x, "x", "biuf"), _numbers(self.outputs, "outputs", "iuf")
        counts = mapping(self.level_counts, "level_counts", "counts by name of a node", ModelError)
        self.level_counts = {name: _numbers(array, f"level_counts of {shown(name)}", "iu", "integers")
                             for name, array in counts.items()}

    def card(self) -> Card:
        """Shapes, and the nodes whose levels were counted."""
        return Card(f"Check({many(len(self.x), 'sample')})", [
            ("x", times(np.shape(self.x))), ("outputs", times(np.shape(self.outputs))),
            ("levels counted of", listed(self.level_counts))])

    def check_shapes(self, model) -> None:
        """Raise ModelError where it does not fit a Model."""
        self.__post_init__()  # arrays may have been changed since
        shape, n_outputs = model.shapes[model.input], int(np.prod(model.shapes[model.output]))
        n_leading = self.x.ndim - len(shape)
        if n_leading not in (1, 2) or self.x.shape[n_leading:] != shape or not self.x.size:
            raise ModelError(f"check: x has shape {self.x.shape}, expected (N, *{shape}) or (N, T, *{shape})")
        if self.outputs.shape != (len(self.x), n_outputs):
            raise ModelError(f"check: outputs has shape {self.outputs.shape}, expected {(len(self.x), n_outputs)}")
        n_steps = self.x.shape[1] if n_leading == 2 else None
        for name, counts in self.level_counts.items():
            node = model.nodes.get(name)
            if node is None or node.sends != "levels":
                raise ModelError(f"check: level_counts of {name!r}: the model has no such Neuron")
            n_steps = self._check_counts(name, counts, node, int(np.prod(model.shapes[name])), n_steps)

    def _check_counts(self, name, counts, node, n_neurons, n_steps):
        """The steps of the counts of one node. n_steps: what they have to be, or None."""
        n_levels = 2 ** (node.n_bits + 1) - 1 if node.signed else 2 ** node.n_bits
        n_samples = len(self.x)
        if (counts.ndim != 3 or (counts.shape[0], counts.shape[2]) != (n_samples, n_levels) or not counts.size
                or n_steps not in (None, counts.shape[1])):
            raise ModelError(
                f"check: level_counts of {name!r}: {counts.dtype} of shape {counts.shape}, expected integers of "
                f"shape ({n_samples}, {'T' if n_steps is None else n_steps}, {n_levels})")
        if (counts < 0).any() or (counts > n_neurons).any() or (counts.sum(axis=2) != n_neurons).any():
            raise ModelError(f"check: level_counts of {name!r}: the counts of a step do not add up to its "
                             f"{n_neurons} neurons")
        return counts.shape[1]


def _numbers(value, name, kinds, expected="numbers"):
    """An array of finite numbers of some kinds, (N, ...), as it is."""
    try:
        array = as_array(value)
    except (TypeError, ValueError, DataError):
        raise ModelError(f"check: {name} is {shown(value)}, expected an array of {expected}") from None
    if array.dtype.kind not in kinds or array.dtype.itemsize > 8 or array.ndim == 0:
        raise ModelError(f"check: {name} is {array.dtype} of shape {array.shape}, expected an array of {expected}")
    if not np.isfinite(array).all():
        raise ModelError(f"check: {name} has a value that is not finite{first_wrong(array, ~np.isfinite(array))}")
    return array
