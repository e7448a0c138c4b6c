"""Ranges: the whole numbers that a tensor can hold, whatever the sample, and the types that hold them all."""

from typing import NamedTuple, Optional

import numpy as np
import torch

from eventsim.from_torch.places import BITS, ZERO

WIDE = (torch.float32, torch.float64)  # types in which a model computes
MANY_STEPS = 1 << 20  # for which a sum over any number of steps has to have its place in a type


class WholeRange(NamedTuple):
    """Least and largest of some whole numbers."""

    low: float
    high: float


def name_of_type(dtype) -> str:
    """A type of torch, for people."""
    return str(dtype).removeprefix("torch.")


def bounds_of(dtype) -> WholeRange:
    """The whole numbers between which a type holds every one."""
    if dtype == torch.bool:
        return WholeRange(0, 1)
    if dtype.is_floating_point or dtype.is_complex:
        most = 2 / torch.finfo(dtype).eps
        return WholeRange(-most, most)
    limits = torch.iinfo(dtype)
    return WholeRange(limits.min, limits.max)


def range_of(trace, tensor, many=False) -> Optional[WholeRange]:
    """The range of a tensor's numbers that depend on the input, or None where one of them need not be whole. What
    is refused already counts as 0, and so does what neurons keep where the network computes in half precision.
    many: where sums over steps are of `MANY_STEPS`."""
    places = trace.places.of(tensor)
    ranges = [WholeRange(0, 0)] if bool((places == ZERO).any()) else []
    for number in torch.unique(places[places >= 0] >> BITS).tolist():
        ranges.append(_range_of_node(trace, number, many))
    if any(each is None for each in ranges):
        return None
    return WholeRange(min((r.low for r in ranges), default=0), max((r.high for r in ranges), default=0))


def holds(trace, dtype, tensor) -> bool:
    """Whether a type holds all that a tensor can be, whatever the sample: spikes, or whole levels."""
    return stays_within(trace, tensor, bounds_of(dtype))


def stays_within(trace, tensor, bounds) -> bool:
    """Whether a tensor's numbers are whole and within a WholeRange, whatever the sample. Where that is so for no
    more than a number of steps, the network counts them."""
    is_within = _lie_within(range_of(trace, tensor), bounds)
    trace.counts_steps |= is_within and not _lie_within(range_of(trace, tensor, many=True), bounds)
    return is_within


def _lie_within(numbers, bounds):
    return numbers is not None and bounds.low <= numbers.low and numbers.high <= bounds.high


def _range_of_node(trace, number, many):
    node = trace.nodes[number]
    rule = _RULES.get(node.kind)
    return None if rule is None else rule(trace, node, many)


def _of_input(trace, node, many):
    return None if trace.input_bits is None else WholeRange(0, (1 << trace.input_bits) - 1)


def _of_layer(trace, node, many):
    neurons = node.settings["layer"].node
    if not neurons.fires() or not bool((neurons.worth == 1).all()):
        return None
    top = (1 << neurons.n_bits) - 1
    return WholeRange(-top if node.settings["layer"].signed else 0, top)


def _of_kept(trace, node, many):
    return WholeRange(0, 0) if trace.in_half else None


def _of_source(trace, node, many):
    return _range_of_node(trace, node.sources[0].node, many)


def _of_sum(trace, node, many):
    parts = [_range_of_node(trace, source.node, many) for source in node.sources]
    return None if any(part is None for part in parts) else WholeRange(*map(sum, zip(*parts)))


def _of_steps(trace, node, many):
    weights = np.array(list(node.settings["weights"].values()))[None]
    numbers = _weighed(_of_source(trace, node, many), weights, None)
    if numbers is None or not many:
        return numbers
    times = max(1.0, MANY_STEPS / weights.size)
    return WholeRange(numbers.low * times, numbers.high * times)


def _of_affine(trace, node, many):
    scale, shift = (np.asarray(node.settings[name], float).reshape(-1) for name in ("scale", "shift"))
    return _weighed(_of_source(trace, node, many), scale[:, None], shift)


def _of_synapses(trace, node, many):
    weight = node.settings["weight"]
    return _weighed(_of_source(trace, node, many), weight.reshape(len(weight), -1), node.settings["bias"],
                    at_borders=node.kind == "convolution")


def _weighed(source, weights, shift, at_borders=False):
    """The range of sums of numbers, weighed by rows of `weights`, and `shift`; at_borders: where any of them may
    be missing."""
    shift = np.zeros(1) if shift is None else shift
    if source is None or (weights != np.rint(weights)).any() or (shift != np.rint(shift)).any():
        return None
    ends = np.stack([weights * source.low, weights * source.high])
    low, high = ends.min(0), ends.max(0)
    if at_borders:
        low, high = np.minimum(low, 0), np.maximum(high, 0)
    return WholeRange(float((low.sum(1) + shift).min()), float((high.sum(1) + shift).max()))


_RULES = {
    "refused": lambda trace, node, many: WholeRange(0, 0), "state": _of_kept, "input": _of_input,
    "layer": _of_layer, "add": _of_sum, "steps": _of_steps, "affine": _of_affine, "linear": _of_synapses,
    "convolution": _of_synapses, "max_pool": _of_source, "upsample": _of_source,
}
