"""Linear maps of whole vectors."""

import numpy as np

from eventsim.from_torch.operations.registry import operation, Refused
from eventsim.from_torch.operations.rows import constant, emit, refuse_known
from eventsim.from_torch.places import BITS, MASK

LARGEST_MATRIX = 1 << 24  # entries of a linear map that is written out


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
    refuse_known(trace, weight, "multiplies two signals (matrix product)")
    if not (weight == weight[:1]).all():
        raise Refused("multiplies each row of the batch with another matrix")
    linear(trace, x, weight[0].t(), None, out)


@operation("mv")
def _mv(trace, func, args, kwargs, out):
    raise Refused("multiplies a matrix with one vector; give samples an axis of their own")


def linear(trace, x, weight, bias, out):
    """out = x weight^T + bias along the last axis. x: (..., F). weight: (O, F)."""
    refuse_known(trace, weight, "multiplies two signals (matrix product)")
    refuse_known(trace, bias, "adds a signal as a bias")
    weight = constant(weight, "weight")
    together = _rows_together(trace, x)
    if together > 1:
        _along_an_axis(trace, x, weight, bias, together, out)
        return
    parts = trace.places.parts(x, x.ndim - 1)
    matrices = []
    for part in parts:
        size = trace.nodes[part.node].size
        if len(part.elements) == size and (part.elements == np.arange(size)).all():
            matrices.append(weight[:, part.columns])
        else:
            matrix = np.zeros((len(weight), size))
            np.add.at(matrix.T, part.elements, weight[:, part.columns].T)
            matrices.append(matrix)
    bias = None if bias is None else np.broadcast_to(constant(bias, "bias").reshape(-1), len(weight)).copy()
    sum_of_linear(trace, "linear", (len(weight),), parts, matrices, bias, {}, out)


def _rows_together(trace, x):
    """How many rows of a block (..., F) are one step of one sample together: more than 1 where a layer works along
    one axis of a map."""
    if trace.places.run_of(x) is None:
        return 1
    places = trace.places.of(x).reshape(-1, x.shape[-1])
    size = trace.nodes[int(places[0, 0]) >> BITS].size
    rows = (places & MASK) // size
    if size == x.shape[-1] or (rows != rows[:, :1]).any():
        return 1
    n = int((rows[:, 0] == rows[0, 0]).sum())
    return n if n * x.shape[-1] == size else 1


def _along_an_axis(trace, x, weight, bias, together, out):
    """A linear map along the last axis of maps, as the matrix of all the map."""
    n_out, n_in = weight.shape
    if together**2 * n_out * n_in > LARGEST_MATRIX:
        raise Refused(f"multiplies one axis of a map of {together * n_in} numbers; written out as a matrix for all of them "
                      "it would be too large; Flatten the map before, or use a convolution")
    parts = trace.places.parts(x.reshape(-1, together * n_in), 1)
    shift = None if bias is None else np.tile(constant(bias, "bias").reshape(-1) + np.zeros(n_out), together)
    sum_of_linear(trace, "linear", (together * n_out,), parts, [np.kron(np.eye(together), weight)], shift, {}, out)


def sum_of_linear(trace, kind, shape, parts, weights, bias, settings, out):
    """One linear operation per part, and their sum; the bias belongs to the first."""
    found = []
    for part, weight in zip(parts, weights):
        found.append(emit(trace, kind, shape, [(part.node, part.rows)],
                          {"weight": weight, "bias": bias if not found else None, **settings},
                          out if len(parts) == 1 else None))
    if len(found) > 1:
        emit(trace, "add", shape, found, {}, out)
