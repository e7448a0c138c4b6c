"""Joining: one node for what is read as one map or vector, and of which several nodes, or zeros, are parts.

A part of what synapses give is given by a part of their weights. Whatever else is a part is weighed by ones: a
convolution of one tap where it is a grid of a map's positions, else a matrix.
"""

from typing import NamedTuple, Tuple

import numpy as np

from eventsim.from_torch.operations.maps import n_channels, ungrouped
from eventsim.from_torch.operations.registry import Refused
from eventsim.from_torch.operations.rows import emit, gives_current, rows_of
from eventsim.from_torch.operations.vectors import LARGEST_MATRIX
from eventsim.from_torch.places import Mixed


def node_of(trace, x, n_axes):
    """Return (number, rows) of the node that a tensor holds; x: its first `n_axes` axes are its rows."""
    return as_one(trace, trace.places.parts(x, n_axes), tuple(x.shape[n_axes:]))


def node_of_places(trace, places):
    """The same for places (rows, ...) or (steps, samples, ...) that no tensor has."""
    for n_axes in (1, 2):
        try:
            return as_one(trace, trace.places.split(places, n_axes), tuple(places.shape[n_axes:]))
        except Mixed:
            if n_axes == 2:
                raise
    return None


def as_one(trace, parts, shape):
    """Return (number, rows) of a node of a shape that has the parts where they are, and zeros elsewhere."""
    if is_whole(trace, parts, int(np.prod(shape, dtype=np.int64))):
        return parts[0].node, parts[0].rows
    pieces = [piece for part in parts for piece in _placed(trace, part, shape)]
    return pieces[0] if len(pieces) == 1 else emit(trace, "add", shape, pieces, {})


def is_whole(trace, parts, width):
    """Whether parts of a block of so many columns are all elements of one node, in their own order."""
    return len(parts) == 1 and len(parts[0].columns) == width == trace.nodes[parts[0].node].size and \
        bool((parts[0].elements == np.arange(width)).all())


def _placed(trace, part, shape):
    """Return [(number, rows)] of nodes of a shape whose sum has a part where it is, and zeros elsewhere."""
    node, late = trace.nodes[part.node], _is_late(part.rows)
    if node.kind == "add" and gives_current(trace.graph, part.node) and not late:
        summands = [part._replace(node=source.node, rows=rows_of(trace, source, part.rows))
                    for source in node.sources]
        return [piece for summand in summands for piece in _placed(trace, summand, shape)]
    width = int(np.prod(shape, dtype=np.int64))
    if node.kind == "linear" and not late:
        settings = _moved(node.settings, part.columns, part.elements, width)
        return [_in_place_of(trace, node, part.rows, (width,), settings)]
    grid = _grid_of(node, part, shape)
    if grid is not None:
        return [_of_grid(trace, part, grid, shape)]
    if width * node.size > LARGEST_MATRIX:
        raise Refused("reads several layers joined, a part of a layer, or one in another order, too large to be "
                      "written out as a matrix; give each population a layer of its own, or join spikes in place "
                      "of currents")
    weight = np.zeros((width, node.size))
    weight[part.columns, part.elements] = 1
    return [emit(trace, "linear", (width,), [(part.node, part.rows)], {"weight": weight, "bias": None})]


def _is_late(rows):
    """Whether rows begin with zeros that stand for steps before the first. A copy of what a node does would give
    its constants there, too: only what the node gives is read late."""
    return bool((rows < 0).any())


def _moved(settings, here, there, n):
    """Return settings of `n` outputs, of which `here` are those that were `there`; the others give nothing."""
    moved = dict(settings)
    for name in ("weight", "bias", "scale", "shift"):
        values = settings.get(name)
        if values is not None:
            moved[name] = np.zeros((n, *np.shape(values)[1:]))
            moved[name][here] = values[there]
    moved.pop("norm", None)
    return moved


def _in_place_of(trace, node, rows, shape, settings):
    """Add an operation that reads what `node` reads. rows: of what it gives."""
    [source] = node.sources
    return emit(trace, node.kind, shape, [(source.node, rows_of(trace, source, rows))], settings)


class _Grid(NamedTuple):
    """Channels and positions of a map that are a part of a block.

    here: channels of the block. there: the node's channels that they are. starts, strides: along each axis of
    positions, which of the node's are those of the block.
    """

    here: np.ndarray
    there: np.ndarray
    starts: Tuple[int, ...]
    strides: Tuple[int, ...]

    def has_all_positions(self, shape, node_shape):
        """Whether the positions of a block are those of the node, one for one."""
        return shape[1:] == node_shape[1:] and not any(self.starts)


def _grid_of(node, part, shape):
    """Return the _Grid that a part of a map is, or None."""
    node_shape = node.settings.get("shape", node.shape)
    area = int(np.prod(shape[1:], dtype=np.int64))
    if len(shape) < 2 or len(shape) != len(node_shape) or len(part.columns) % area:
        return None
    columns = part.columns.reshape(-1, area)
    here = columns[:, 0] // area
    if (columns != here[:, None] * area + np.arange(area)).any():
        return None
    elements = part.elements.reshape(len(here), *shape[1:])
    lines = []
    for axis, positions in enumerate(np.unravel_index(elements, node_shape)):
        lines.append(np.moveaxis(positions, axis, 0).reshape(positions.shape[axis], -1)[:, 0])
    steps = [np.unique(np.diff(line)) for line in lines[1:]]
    if any(len(step) > 1 or (step < 1).any() for step in steps) or \
            (np.ravel_multi_index(np.ix_(*lines), node_shape) != elements).any():
        return None
    return _Grid(here, lines[0], tuple(int(line[0]) for line in lines[1:]),
                 tuple(int(step[0]) if len(step) else 1 for step in steps))


def _of_grid(trace, part, grid, shape):
    """Return (number, rows) of a map that has a grid of a node where it is, and zeros elsewhere."""
    node = trace.nodes[part.node]
    node_shape = node.settings.get("shape", node.shape)
    if grid.has_all_positions(shape, node_shape):
        return _of_channels(trace, part.node, part.rows, grid, shape[0])
    # as few taps as give the block's positions and no more
    taps = [max(start + 1, n - count * stride + 1) for n, count, start, stride in zip(
        node_shape[1:], shape[1:], grid.starts, grid.strides)]
    weight = np.zeros((shape[0], node_shape[0], *taps))
    weight[(grid.here, grid.there, *grid.starts)] = 1
    return _convolved(trace, part.node, part.rows, weight, grid.strides, shape)


def _of_channels(trace, number, rows, grid, n):
    """The same of whole channels; n: channels of the map. What treats every channel alike is done to what it
    reads, down to the weights."""
    node = trace.nodes[number]
    shape = (n, *node.settings.get("shape", node.shape)[1:])
    late = _is_late(rows)
    if node.kind == "convolution" and not late:
        settings = _moved({**node.settings, "weight": ungrouped(node.settings["weight"], node.settings["groups"]),
                           "groups": 1}, grid.here, grid.there, n)
        return _in_place_of(trace, node, rows, shape, settings)
    if gives_current(trace.graph, number) and _is_alike(node) and not late:
        [source] = node.sources
        inner = _of_channels(trace, source.node, rows_of(trace, source, rows), grid, n)
        settings = _moved(node.settings, grid.here, grid.there, n) if node.kind == "affine" else node.settings
        return emit(trace, node.kind, shape, [inner], settings)
    weight = np.zeros((n, n_channels(node), *[1] * (len(shape) - 1)))
    weight[grid.here, grid.there] = 1
    return _convolved(trace, number, rows, weight, (1,) * (len(shape) - 1), shape)


def _is_alike(node):
    """Whether an operation treats every channel alike, or by one scale and shift each."""
    if node.kind == "affine":
        return np.ndim(node.settings["scale"]) == 1 and np.ndim(node.settings["shift"]) == 1
    return node.kind in ("max_pool", "avg_pool", "upsample")


def _convolved(trace, number, rows, weight, stride, shape):
    ones = (1,) * len(stride)
    return emit(trace, "convolution", shape, [(number, rows)], {
        "weight": weight, "bias": None, "stride": tuple(stride), "padding": tuple(0 * one for one in ones),
        "dilation": ones, "groups": 1})
