"""Pairing: which layer of A is compared with which layer of B, and what the two models say differently."""

from dataclasses import dataclass, fields
from difflib import SequenceMatcher
from math import prod
from typing import Dict, List, Tuple

import numpy as np

from eventsim.model.kinds import node_type
from eventsim.model.network import Model

TINY = 1e-9  # relative: computing a number in another order may change it by this much
# of a layer, in the order in which one step computes them
VARIABLES = ("currents", "potentials", "spikes", "residuals", "outputs")


@dataclass(frozen=True)
class Layer:
    """A node whose values can be compared.

    kind: of the node. shape: as the model has it. variables: those of VARIABLES that it has.
    """

    name: str
    kind: str
    shape: Tuple[int, ...]
    variables: Tuple[str, ...]

    @property
    def n_neurons(self) -> int:
        """Neurons, or values, of one step."""
        return prod(self.shape)


@dataclass(frozen=True)
class Pair:
    """The same layer of A and of B. by_name: found by its name, not by order and shape."""

    a: Layer
    b: Layer
    by_name: bool = True

    @property
    def variables(self) -> Tuple[str, ...]:
        """Variables that both layers have."""
        return tuple(v for v in self.a.variables if v in self.b.variables)


def pair_layers(a: Dict[str, Layer], b: Dict[str, Layer]):
    """(pairs in A's order, layers of A without partner, of B).

    Layers with the same name and size are paired. The remaining ones are paired in order where kind
    and size agree.
    """
    pairs = {name: Pair(layer, b[name]) for name, layer in a.items()
             if name in b and b[name].n_neurons == layer.n_neurons}
    rest_a = [layer for name, layer in a.items() if name not in pairs]
    rest_b = [layer for name, layer in b.items() if name not in pairs]
    keys_a, keys_b = ([(_sort(layer), layer.n_neurons) for layer in rest] for rest in (rest_a, rest_b))
    blocks = SequenceMatcher(None, keys_a, keys_b, autojunk=False).get_matching_blocks()
    for block in blocks:
        for i, j in zip(range(block.a, block.a + block.size), range(block.b, block.b + block.size)):
            pairs[rest_a[i].name] = Pair(rest_a[i], rest_b[j], by_name=False)
    partners = {pair.b.name for pair in pairs.values()}
    return (
        [pairs[name] for name in a if name in pairs],
        [layer for layer in a.values() if layer.name not in pairs],
        [layer for layer in b.values() if layer.name not in partners],
    )


def _sort(layer):
    """Layers with the same result may be paired: any firing layers, or pools of the same kind."""
    return "fires" if node_type(layer.kind).fires() else layer.kind


@dataclass(frozen=True)
class Difference:
    """A place where two models say different things. node: its name; of an edge, the target's.
    text: what differs, in one line. tiny: a number by less than TINY of itself."""

    node: str
    text: str
    tiny: bool = False


def model_differences(a: Model, b: Model) -> List[Difference]:
    """Return what the models say differently of their steps and classes, and what nodes of equal name, and the
    edges between them, hold differently; tiny differences last."""
    differences = [Difference("", f"{name}: {text}") for name in ("timesteps", "class_names")
                   if (text := _value_difference(getattr(a, name), getattr(b, name)))]
    shared = [name for name in a.nodes if name in b.nodes]
    known = set(shared)
    for name in shared:
        differences += _node_differences(name, a.nodes[name], b.nodes[name])
        edges = [{edge for edge in model.incoming(name) if edge.source in known} for model in (a, b)]
        for here, there, what in ((edges[0], edges[1], "A"), (edges[1], edges[0], "B")):
            for edge in sorted(here - there):
                text = f"edge {edge.source} -> {edge.target} with delay {edge.delay}: only in {what}"
                differences.append(Difference(name, text))
    return sorted(differences, key=lambda difference: difference.tiny)


def synapses_into(model: Model, layer: str) -> List[str]:
    """A layer and the nodes between it and the spiking nodes that it reads."""
    names, waiting = [layer], [layer]
    while waiting:
        for edge in model.incoming(waiting.pop()):
            if edge.source not in names and model.kinds[edge.source] in ("current", "scaled", "real"):
                names.append(edge.source)
                waiting.append(edge.source)
    return names


def _node_differences(name, a, b):
    if a.kind != b.kind:
        return [Difference(name, f"{name}: {a.kind} in A, {b.kind} in B")]
    differences = []
    for field in fields(a):
        one, other = getattr(a, field.name), getattr(b, field.name)
        text = _value_difference(one, other)
        if text:
            differences.append(Difference(name, f"{name}.{field.name}: {text}", _is_tiny(one, other)))
    return differences


def _value_difference(a, b):
    """What differs between two values of a field, "" where nothing does."""
    if isinstance(a, np.ndarray) and a.ndim and np.shape(a) == np.shape(b):
        return "" if np.array_equal(a, b) else _array_difference(a, b)
    if np.shape(a) == np.shape(b) and _shown(a) == _shown(b):
        return ""
    return f"{_shown(a)} in A, {_shown(b)} in B"


def _is_tiny(a, b):
    numbers = all(isinstance(v, (float, np.ndarray)) for v in (a, b)) and np.shape(a) == np.shape(b)
    return numbers and bool(np.allclose(a, b, rtol=TINY, atol=0))


def _array_difference(a, b):
    different = a != b
    n, largest = int(different.sum()), np.abs(a.astype(np.float64) - b).max()
    index = tuple(int(i) for i in np.argwhere(different)[0])
    first = f"{'at' if n == 1 else 'the first at'} {index}: {_number(a[index])} in A, {_number(b[index])} in B"
    more = "" if n == 1 else f", by up to {largest:.4g}"
    return f"{n} of {a.size} values{more}, {first}"


def _shown(value):
    if isinstance(value, np.ndarray):
        return repr(value.item()) if value.ndim == 0 else f"of shape {value.shape}"
    return repr(value)


def _number(value):
    return f"{float(value):.8g}"
