"""Rows: steps of samples, and the operations that read and give them."""

import math

import numpy as np
import torch

from eventsim.from_torch.graph import Operand, Operation
from eventsim.from_torch.operations.registry import Refused
from eventsim.from_torch.places import BITS, MASK, Mixed

CURRENTS = ("linear", "convolution", "conv_transpose")


def aligned(trace, parts):
    """Return (rows of the result, its Operands) for parts that are read together.

    parts: list of (node, rows). A row is a step of a sample; operands of an earlier step are delayed.
    """
    n = trace.samples
    steps = [None if trace.nodes[node].still else rows // n for node, rows in parts]
    samples = [rows % n for _, rows in parts]
    if any((other != samples[0]).any() for other in samples):
        raise Mixed("different samples together")
    moving = [each for each in steps if each is not None]
    if not moving:
        return samples[0], tuple(Operand(node) for node, _ in parts)
    now = np.maximum.reduce(moving)
    sources = []
    for (node, _), each in zip(parts, steps):
        delays = np.zeros(1, int) if each is None else now - each
        if (delays != delays[0]).any():
            raise Mixed("steps that are apart by more in some places than in others")
        sources.append(Operand(node, int(delays[0])))
    early = max(0, -int(now.min(initial=0)))  # zeros before the first step: the result is that of a delay
    sources = [source if trace.nodes[source.node].still else source._replace(delay=source.delay + early)
               for source in sources]
    return (now + early) * n + samples[0], tuple(sources)


def emit(trace, kind, shape, parts, settings, out=None):
    """Add an operation; say that `out` is its result. parts: list of (node, rows). Returns (number, rows)."""
    rows, sources = aligned(trace, parts)
    weighted = [source for source in sources if trace.nodes[source.node].kind == "steps"]
    if weighted:
        return _emit_on_steps(trace, kind, shape, parts, settings, out)
    number = trace.graph.add(Operation(
        kind, tuple(shape), sources, settings, trace.where(),
        still=all(trace.nodes[source.node].still for source in sources),
    ))
    if out is not None:
        place_rows(trace, out, number, rows)
    return number, rows


def place_rows(trace, out, number, rows):
    """Say that a tensor holds rows of a node, in order."""
    first, size = trace.graph.first_place(number), trace.nodes[number].size
    if len(rows) and (np.diff(rows) == 1).all():
        trace.places.count_up(out, first + int(rows[0]) * size)
        return
    places = first + torch.from_numpy(rows)[:, None] * size + torch.arange(size)
    trace.places.write(out, places.view(out.shape))


def _emit_on_steps(trace, kind, shape, parts, settings, out):
    """A linear operation of a sum over steps is the sum over steps of the operation."""
    [(node, rows)] = parts if len(parts) == 1 else [(None, None)]
    if kind not in ("linear", "convolution", "affine", "avg_pool"):
        raise Refused(f"uses a sum over steps before the network's end ({kind})")
    steps = trace.nodes[node]
    total = math.fsum(steps.settings["weights"].values())
    inner = dict(settings)
    summand = {"linear": "bias", "convolution": "bias", "affine": "shift"}.get(kind)
    if summand and inner.get(summand) is not None and np.any(inner[summand]):
        inner[summand] = np.asarray(inner[summand]) / total
    base = steps.sources[0].node
    number = trace.graph.add(Operation(kind, tuple(shape), (Operand(base),), inner, trace.where(),
                                       still=trace.nodes[base].still))
    return add_steps(trace, number, steps.settings["weights"], rows, out)


def add_steps(trace, node, weights, rows, out):
    """Add a weighted sum over the steps of a node; say that `out` is its result."""
    weights = dict(sorted(weights.items()))
    number = trace.graph.add(Operation("steps", trace.nodes[node].shape, (Operand(node),), {"weights": weights},
                                       trace.where(), still=True))
    if out is not None:
        place_rows(trace, out, number, rows)
    return number, rows


def constant(trace, value, refusal):
    """The numbers of a tensor, array or number as a float64 array; None stays None.

    Raises Refused with the text `refusal` where they depend on the network's input.
    """
    if isinstance(value, torch.Tensor):
        if trace.places.knows(value):
            raise Refused(refusal)
        return value.detach().double().cpu().numpy()
    return None if value is None else np.float64(value)


def rows_of(trace, source, rows):
    """Rows of what an operation reads, for rows of what it gives."""
    return rows % trace.samples if trace.nodes[source.node].still else rows - source.delay * trace.samples


def leading_axes(trace, places):
    """How many axes are steps and samples: the fewest whose rows are one step of one sample each."""
    for leading in (1, 2):
        rows = places.reshape(int(np.prod(places.shape[:leading])), -1)
        sizes = torch.tensor([node.size for node in trace.nodes])[rows.clamp(min=0) >> BITS]
        row = (rows & MASK) // sizes
        row_of_all = torch.where(rows >= 0, row, -1).amax(1, keepdim=True)
        if ((row == row_of_all) | (rows < 0)).all():
            return leading
    raise Mixed("several steps or samples in one row")


def gives_current(graph, number):
    """Whether a node's numbers are weighted sums that no neuron has seen yet."""
    node = graph.nodes[number]
    if node.kind in ("affine", "avg_pool", "max_pool", "upsample", "add"):
        return any(gives_current(graph, source.node) for source in node.sources)
    return node.kind in CURRENTS or node.kind == "module" and node.settings["current"]
