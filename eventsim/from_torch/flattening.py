"""Flattening: maps that no convolution gives, kept as vectors, by all that read them.

Padding by reflect, replicate or circular, resampling and weights along one axis give a map by a matrix. A Model
has matrices from vectors to vectors only, so the neurons of such a map are held as a vector, and what reads them
becomes a matrix, too.
"""

from dataclasses import fields, replace

import numpy as np
import torch

from eventsim.errors import UnsupportedError
from eventsim.from_torch.graph import Operand, Operation
from eventsim.from_torch.linear_maps import constants_of, linear_part
from eventsim.from_torch.operations.rows import gives_current
from eventsim.model.parameters import parameter_on

LARGEST_MATRIX = 1 << 24  # entries of an operation that is written out
WRITTEN = ("convolution", "conv_transpose", "avg_pool", "affine")


def flatten_maps(graph) -> None:
    """Make vectors of the layers whose map is given by matrices, and matrices of what reads them, in place.

    Raises UnsupportedError where something else reads them.
    """
    flat = {}  # number of a layer -> shape that it had
    for number, operation in enumerate(graph.nodes):
        if operation.kind == "layer" and _is_given_by_matrices(graph, operation, flat):
            flat[number] = operation.shape
            graph.nodes[number] = replace(_as_vector(operation), sources=_beside_vectors(graph, operation, flat))
        elif operation.kind == "add" and not gives_current(graph, number) and \
                any(source.node in flat for source in operation.sources):
            flat[number] = operation.shape
            graph.nodes[number] = replace(operation, shape=(operation.size,))
        elif operation.kind in WRITTEN and len(operation.sources) == 1:
            read = operation.sources[0].node
            if read in flat or _pads_a_current(graph, operation):
                written = _written_out(operation, flat.get(read, graph.nodes[read].shape))
                if written is not None:
                    flat[number], graph.nodes[number] = operation.shape, written
        elif operation.kind in ("max_pool",
                                "upsample") and any(source.node in flat for source in operation.sources):
            raise UnsupportedError(
                f"{operation.where}: reads a map that no convolution gives, kept as a vector, which only weights "
                "and averages read: pad with zeros, or put neurons behind a plain convolution before it")


def _is_given_by_matrices(graph, layer, flat):
    """Whether a vector is among what a layer's map reads: maps beside it are flattened. Loops of its own have to
    be matrices. flat: what is a vector already."""
    if len(layer.shape) == 1 or not layer.sources:
        return False
    recurrent = layer.settings["layer"].recurrent
    is_given = any(graph.nodes[number].kind == "linear" or number in flat for number, _ in _summands(graph, layer))
    return is_given and (recurrent is None or not recurrent.n_axes)


def _summands(graph, layer):
    """Return the operands whose sum a layer reads, sums of sums taken apart."""
    waiting, summands = list(layer.sources), []
    while waiting:
        operand = waiting.pop(0)
        operation = graph.nodes[operand.node]
        if operation.kind == "add":
            waiting += [source._replace(delay=source.delay + operand.delay) for source in operation.sources]
        else:
            summands.append(operand)
    return summands


def _beside_vectors(graph, layer, flat):
    """Return the sources of a layer that is a vector: what no neuron has seen yet is given by matrices, too."""
    summands = _summands(graph, layer)
    written = [_of_matrix(graph, operand, flat) for operand in summands]
    if written == summands:
        return layer.sources
    total = Operation("add", (layer.size,), tuple(written), {}, layer.where, layer.still)
    return (Operand(graph.add(total)),)


def _of_matrix(graph, operand, flat):
    """Return the operand of a summand that a vector reads: of a map of weighted sums, the same by a matrix."""
    operation = graph.nodes[operand.node]
    if operation.kind == "linear" or operand.node in flat or not gives_current(graph, operand.node):
        return operand
    matrix = None
    if operation.kind in WRITTEN:
        read = graph.nodes[operation.sources[0].node]
        shape = flat.get(operation.sources[0].node, read.settings.get("shape", read.shape))
        matrix = _written_out(operation, shape)
    if matrix is None:
        raise UnsupportedError(operation.where.before(
            "is added to a map that no convolution gives (padding by reflect, replicate or circular, resampling, "
            "a convolution of what another has weighed), and cannot be written out as a matrix beside it; put "
            "neurons between these weights, or pad with zeros"))
    return operand._replace(node=graph.add(matrix, ("matrix", operand.node)))


def _pads_a_current(graph, operation):
    """Whether a window pads what weights give that no neuron has seen: beyond their map these would go on."""
    read = operation.sources[0].node
    if not any(operation.settings.get("padding", ())) or operation.kind == "conv_transpose" or \
            not gives_current(graph, read):
        return False
    before = graph.nodes[read]
    while before.kind == "affine":
        before = graph.nodes[before.sources[0].node]
    if before.kind != "convolution" or operation.kind != "convolution":
        return before.kind in WRITTEN
    settings = before.settings
    return any(k > 1 for k in settings["weight"].shape[2:]) or any(settings["padding"])


def _as_vector(operation):
    layer, shape = operation.settings["layer"], operation.shape
    node = layer.node
    changed = {
        item.name: parameter_on(getattr(node, item.name), shape, item.name).reshape(-1)
        for item in fields(node)
        if isinstance(getattr(node, item.name), np.ndarray) and getattr(node, item.name).ndim
    }
    settings = {**operation.settings, "layer": replace(layer, node=replace(node, **changed))}
    return replace(operation, shape=(operation.size,), settings=settings)


def _written_out(operation, shape):
    """A linear operation on a map of `shape` as a matrix; None where that is too large."""
    n_in = int(np.prod(shape))
    if n_in * operation.size > LARGEST_MATRIX:
        return None
    with torch.no_grad():
        columns = linear_part(operation, torch.eye(n_in, dtype=torch.float64).view(n_in, *shape)).reshape(n_in, -1)
    bias = constants_of(operation)
    return replace(operation, kind="linear", shape=(operation.size,), settings={
        "weight": np.ascontiguousarray(columns.numpy().T), "bias": bias if bias.any() else None})
