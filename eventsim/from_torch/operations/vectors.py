"""Linear maps of whole vectors."""

import numpy as np

from eventsim.from_torch.operations.registry import operation, Refused
from eventsim.from_torch.operations.rows import constant, emit
from eventsim.from_torch.places import BITS, MASK, Mixed

LARGEST_MATRIX = 1 << 24  # entries of a linear map that is written out
PRODUCT = "multiplies two signals (matrix product)"


@operation("addmm")
def _addmm(trace, func, args, kwargs, out):
    bias, x, weight = args
    if kwargs.get("beta", 1) != 1 or kwargs.get("alpha", 1) != 1:
        raise Refused("does 'addmm' with beta or alpha")
    linear(trace, x, weight.t(), bias, out)


@operation("mm", "matmul")
def _mm(trace, func, args, kwargs, out):
    x, weight = args
    if trace.places.knows(x):
        linear(trace, x, weight.t(), None, out)
        return
    raise Refused("multiplies a constant matrix with the signal from the left; write x @ weight")


@operation("linear")
def _linear(trace, func, args, kwargs, out):
    linear(trace, args[0], args[1], args[2] if len(args) > 2 else kwargs.get("bias"), out)


@operation("bmm")
def _bmm(trace, func, args, kwargs, out):
    x, weight = args
    matrices = constant(trace, weight, PRODUCT)
    if not (matrices == matrices[:1]).all():
        raise Refused("multiplies each row of the batch with another matrix")
    linear(trace, x, weight[0].t(), None, out)


@operation("mv")
def _mv(trace, func, args, kwargs, out):
    raise Refused("multiplies a matrix with one vector; give samples an axis of their own")


def linear(trace, x, weight, bias, out):
    """out = x weight^T + bias along the last axis. x: (..., F). weight: (O, F)."""
    weight, bias = constant(trace, weight, PRODUCT), constant(trace, bias, "adds a signal as a bias")
    try:
        parts = trace.places.parts(x, x.ndim - 1)
    except Mixed:
        together = _rows_together(trace, x)
        if together == 1:
            raise
        _along_an_axis(trace, x, weight, bias, together, out)
        return
    bias = None if bias is None else np.broadcast_to(bias.reshape(-1), len(weight)).copy()
    sum_of_linear(trace, "linear", (len(weight),), parts, _by_elements(trace, parts, weight), bias, {}, out)


def _by_elements(trace, parts, weight):
    """Per part of a block (rows, F), weights (O, elements of its node) from weights (O, F)."""
    matrices = []
    for part in parts:
        size = trace.nodes[part.node].size
        if len(part.elements) == size and (part.elements == np.arange(size)).all():
            matrices.append(weight[:, part.columns])
        else:
            matrix = np.zeros((len(weight), size))
            np.add.at(matrix.T, part.elements, weight[:, part.columns].T)
            matrices.append(matrix)
    return matrices


def _rows_together(trace, x):
    """How many rows of a block (..., F) are one step of one sample together: more than 1 where a layer works along
    one axis of a map."""
    places = trace.places.of(x).reshape(-1, x.shape[-1])[:, 0]
    nodes = places >> BITS
    if not len(places) or (places < 0).any() or (nodes != nodes[0]).any():
        return 1
    rows = (places & MASK) // trace.nodes[int(nodes[0])].size
    n = int((rows == rows[0]).sum())
    return n if len(rows) % n == 0 and (rows.reshape(-1, n) == rows[::n, None]).all() else 1


def _along_an_axis(trace, x, weight, bias, together, out):
    """A linear map along the last axis of maps, as the matrix of all the map."""
    n_out, n_in = weight.shape
    if together**2 * n_out * n_in > LARGEST_MATRIX:
        raise Refused(f"multiplies one axis of a map of {together * n_in} numbers; written out as a matrix for "
                      "all of them it would be too large; Flatten the map before, or use a convolution")
    parts = trace.places.parts_in_rows(x, x.numel() // (together * n_in))
    matrix = np.kron(np.eye(together), weight)
    shift = None if bias is None else np.tile(bias.reshape(-1) + np.zeros(n_out), together)
    sum_of_linear(trace, "linear", (len(matrix),), parts, _by_elements(trace, parts, matrix), shift, {}, out)


def sum_of_linear(trace, kind, shape, parts, weights, bias, settings, out):
    """One linear operation per part, and their sum; the bias belongs to the first."""
    products = []
    for part, weight in zip(parts, weights):
        products.append(emit(trace, kind, shape, [(part.node, part.rows)],
                             {"weight": weight, "bias": None if products else bias, **settings},
                             out if len(parts) == 1 else None))
    if len(products) > 1:
        emit(trace, "add", shape, products, {}, out)
