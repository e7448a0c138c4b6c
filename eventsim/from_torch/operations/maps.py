"""Convolutions and pools, channel by channel; linear maps that are written out as matrices."""

import numpy as np
import torch

from eventsim.from_torch.operations.registry import BEFORE, operation, Refused
from eventsim.from_torch.operations.rows import constant, emit, gives_current, rows_of
from eventsim.from_torch.operations.vectors import LARGEST_MATRIX, sum_of_linear
from eventsim.from_torch.places import ZERO, tensors_in


@operation("convolution", "_convolution", "convolution_overrideable", "mkldnn_convolution")
def _convolution(trace, func, args, kwargs, out):
    x, weight, bias, stride, padding, dilation, transposed, _, groups = args[:9]
    weight = constant(trace, weight, "convolves two signals")
    bias = constant(trace, bias, "adds a signal as a bias")
    shape = tuple(out.shape[1:])
    if transposed:
        _transposed(trace, func, args, kwargs, weight, bias, out)
        return
    if weight.ndim not in (3, 4):
        raise Refused(f"convolves along {weight.ndim - 2} axes; eventsim has one or two")
    blocks = trace.places.parts(x, 1)
    around = _borders(blocks, tuple(x.shape[1:]))
    dilation = tuple(dilation)
    padding, weight, dilation = _with_borders(weight, padding, dilation, around)
    shape_inside = (x.shape[1], *(n - a - b for n, (a, b) in zip(x.shape[2:], around)))
    try:
        parts = [(part, *channels(trace, _inside(part, x.shape[1:], around), shape_inside)) for part in blocks]
    except Refused:
        write_out(trace, func, args, kwargs, out)
        return
    n_source = [n_channels(trace.nodes[part.node]) for part, _, _ in parts]
    plain = len(parts) == 1 and are_all_channels(trace, parts[0], x.shape[1])
    if not plain and groups > 1:
        weight, groups = ungrouped(weight, groups), 1
    weights = []
    for (part, here, there), n in zip(parts, n_source):
        if plain:
            weights.append(weight)
            continue
        moved = np.zeros((weight.shape[0], n, *weight.shape[2:]))
        np.add.at(moved.swapaxes(0, 1), there, weight[:, here].swapaxes(0, 1))
        weights.append(moved)
    settings = {"stride": tuple(stride), "padding": tuple(padding), "dilation": tuple(dilation), "groups": groups}
    sum_of_linear(trace, "convolution", shape, [part for part, _, _ in parts], weights, bias, settings, out)


def _transposed(trace, func, args, kwargs, weight, bias, out):
    x, _, _, stride, padding, dilation, _, output_padding, groups = args[:9]
    [part, *others] = trace.places.parts(x, 1)
    node = trace.nodes[part.node]
    is_whole_node = not others and weight.ndim == 4 and tuple(x.shape[1:]) == node.shape and \
        in_order(part.elements, node.size)
    if not is_whole_node:
        write_out(trace, func, args, kwargs, out)
        return
    emit(trace, "conv_transpose", out.shape[1:], [(part.node, part.rows)], {
        "weight": weight, "bias": bias, "stride": tuple(stride), "padding": tuple(padding),
        "output_padding": tuple(output_padding), "dilation": tuple(dilation), "groups": groups,
    }, out)


@operation("upsample_nearest2d", "upsample_nearest1d")
def _upsample(trace, func, args, kwargs, out):
    x = args[0]
    if any(after % before for after, before in zip(out.shape[2:], x.shape[2:])):
        raise Refused("upsamples by a factor that is no whole number")
    numbers = [part.node for part in trace.places.parts(x, 1)]
    if any(gives_current(trace.graph, number) or _is_real_input(trace, number) for number in numbers):
        write_out(trace, func, args, kwargs, out)  # a node of its own repeats spikes alone
        return
    factors = tuple(after // before for after, before in zip(out.shape[2:], x.shape[2:]))
    channelwise(trace, "upsample", x, {"scale_factor": factors}, out)


def _is_real_input(trace, number):
    return trace.input_is_real and trace.nodes[number].kind == "input"


def _borders(parts, shape):
    """[(before, after)] per axis of a map (C, ...): the width of the zeros around what nodes computed."""
    columns = np.concatenate([part.columns for part in parts]) if parts else np.zeros(1, int)
    widths = []
    for axis in range(1, len(shape)):
        stride = int(np.prod(shape[axis + 1:], dtype=np.int64))
        positions = np.unique(columns // stride % shape[axis])
        widths.append((int(positions[0]), int(shape[axis] - 1 - positions[-1])))
    return widths


def _inside(part, shape, around):
    """A part of a map with zeros around it, as the part of the map inside."""
    if not any(map(any, around)):
        return part
    index = np.unravel_index(part.columns, shape)
    moved = [index[0], *(i - before for i, (before, _) in zip(index[1:], around))]
    inner = (shape[0], *(n - a - b for n, (a, b) in zip(shape[1:], around)))
    return part._replace(columns=np.ravel_multi_index(moved, inner))


def _with_borders(weight, padding, dilation, around):
    """(padding, weight, dilation) of the same convolution without the zeros around its input. Where they
    are wider on one side, taps of zero on the other side make up for it."""
    if not any(map(any, around)):
        return tuple(padding), weight, dilation
    padding = [p + max(a, b) for p, (a, b) in zip(padding, around)]
    dilation = list(dilation)
    for axis, (before, after) in enumerate(around, 2):
        if before == after:
            continue
        spread = np.zeros((*weight.shape[:axis], dilation[axis - 2] * (weight.shape[axis] - 1) + 1,
                           *weight.shape[axis + 1:]))
        spread[(slice(None),) * axis + (slice(None, None, dilation[axis - 2]),)] = weight
        widths = [(0, 0)] * weight.ndim
        widths[axis] = (max(after - before, 0), max(before - after, 0))
        weight, dilation[axis - 2] = np.pad(spread, widths), 1
    return tuple(padding), weight, tuple(dilation)


def n_channels(node):
    """Channels of a node as it is read."""
    return node.settings.get("shape", node.shape)[0]


def in_order(numbers, n):
    """Whether some numbers are 0 to n - 1, in order."""
    return len(numbers) == n and (numbers == np.arange(n)).all()


def are_all_channels(trace, block, n):
    """Whether a part of a map of `n` channels is all channels of its node, in order, and fills the map. block: the
    part and its `channels`."""
    part, _, there = block
    return n == n_channels(trace.nodes[part.node]) and in_order(there, n)


def ungrouped(weight, groups):
    """The same convolution with one group: zeros where groups do not mix."""
    n_out, per_group = weight.shape[0] // groups, weight.shape[1]
    dense = np.zeros((weight.shape[0], per_group * groups, *weight.shape[2:]))
    for g in range(groups):
        dense[g * n_out:(g + 1) * n_out, g * per_group:(g + 1) * per_group] = weight[g * n_out:(g + 1) * n_out]
    return dense


def channels(trace, part, shape):
    """(channels of the block, the node's channels that they are) of a part of a map (C, ...).

    Refused where the part is no whole channels of the node in their own order.
    """
    area = int(np.prod(shape[1:], dtype=np.int64))
    node = trace.nodes[part.node]
    elements = part.elements.reshape(-1, area) if len(part.elements) % area == 0 else np.zeros((0, area), int)
    here = part.columns.reshape(-1, area)[:, 0] // area if len(elements) else np.zeros(0, int)
    if node.kind == "input" and node.shape != shape and node.size == np.prod(shape) and \
            (part.elements == np.arange(node.size)).all():
        if node.settings.setdefault("shape", shape) != shape:
            raise Refused(f"reads the input as {shape}, and elsewhere as {node.settings['shape']}")
        return np.arange(shape[0]), np.arange(shape[0])  # the model's input gets the shape in which it is read
    there = elements[:, 0] // area if len(elements) else elements
    has_whole_channels = (
        len(elements) and node.shape[1:] == tuple(shape[1:])
        and (part.columns.reshape(-1, area) == here[:, None] * area + np.arange(area)).all()
        and (elements == there[:, None] * area + np.arange(area)).all()
    )
    if not has_whole_channels:
        raise Refused("reads a map in another shape or order than it was computed in")
    return here, there


def write_out(trace, func, args, kwargs, out):
    """Add an operation that is linear in its first argument (B, ...), and that eventsim has no node for, as a
    matrix."""
    x, *others = args
    parts = trace.places.parts(x, 1)
    n_in, n_out = int(np.prod(x.shape[1:])), int(np.prod(out.shape[1:]))
    if n_in * n_out > LARGEST_MATRIX:
        raise Refused(f"is a linear map of {n_in} x {n_out} numbers without an equal in eventsim, too large to be "
                      "written out as a matrix")
    others = [torch.from_numpy(constant(trace, other, "combines two signals")) if isinstance(other, torch.Tensor)
              else other for other in others]
    zero = func(torch.zeros(1, *x.shape[1:], dtype=torch.float64), *others, **kwargs).reshape(-1).numpy().copy()
    matrix = np.empty((n_out, n_in))
    step = max(1, (1 << 22) // max(n_in, n_out))
    for start in range(0, n_in, step):
        columns = torch.arange(start, min(start + step, n_in))
        basis = torch.zeros(len(columns), n_in, dtype=torch.float64)
        basis[torch.arange(len(columns)), columns] = 1
        images = func(basis.view(-1, *x.shape[1:]), *others, **kwargs)
        matrix[:, columns] = (images.reshape(len(columns), -1).numpy() - zero).T
    weights = []
    for part in parts:
        size = trace.nodes[part.node].size
        weight = np.zeros((n_out, size))
        np.add.at(weight.T, part.elements, matrix[:, part.columns].T)
        weights.append(weight)
    sum_of_linear(trace, "linear", (n_out,), parts, weights, zero if zero.any() else None, {}, out)


# ---- pools


@operation("max_pool2d_with_indices", "max_pool2d", "max_pool1d", "max_pool1d_with_indices")
def _max_pool(trace, func, args, kwargs, out):
    x, kernel, stride, padding, dilation, ceil = _defaults(args, (None, None, (), 0, 1, False))
    pooled = out[0] if isinstance(out, (tuple, list)) else out
    if any(d != 1 for d in np.atleast_1d(dilation)):
        raise Refused("pools with dilation")
    settings = {**_window(kernel, stride, padding, x.ndim - 2), "ceil_mode": bool(ceil)}
    channelwise(trace, "max_pool", x, settings, pooled)
    for indices in tensors_in(out)[1:]:
        trace.refuse(indices, "uses the indices of a max pool")


@operation("adaptive_max_pool2d")
def _adaptive_max_pool(trace, func, args, kwargs, out):
    x, pooled = args[0], out[0]
    window = _even_window(x, pooled)
    if window is None:
        raise Refused("takes maxima over windows that are not equal; give an output size that divides the map's")
    channelwise(trace, "max_pool", x, {"kernel_size": window, "stride": window, "padding": (0,) * len(window),
                                       "ceil_mode": False}, pooled)
    trace.refuse(out[1], "uses the indices of a max pool")


def _even_window(x, pooled, n_axes=2):
    """Return the window of an adaptive pool along the last axes, or None where windows differ or overlap."""
    sizes, pooled_sizes = x.shape[-n_axes:], pooled.shape[-n_axes:]
    if any(size % n for size, n in zip(sizes, pooled_sizes)):
        return None
    return tuple(size // n for size, n in zip(sizes, pooled_sizes))


@operation("avg_pool2d", "avg_pool1d")
def _avg_pool(trace, func, args, kwargs, out):
    x, kernel, stride, padding, ceil, include, divisor = _defaults(args, (None, None, (), 0, False, True, None))
    settings = {**_window(kernel, stride, padding, x.ndim - 2), "ceil_mode": bool(ceil),
                "count_include_pad": bool(include)}
    if divisor is not None or _unequal(settings, x.shape[2:], out.shape[2:]):
        write_out(trace, func, args, kwargs, out)
        return
    try:
        channelwise(trace, "avg_pool", x, settings, out)
    except Refused:
        write_out(trace, func, args, kwargs, out)


def _unequal(settings, before, after):
    """Whether the windows of an average pool are divided by different numbers."""
    _, stride, padding = (settings[name] for name in ("kernel_size", "stride", "padding"))
    if any(padding) and not settings["count_include_pad"]:
        return True
    last = [(n - 1) * s + k for n, s, k in zip(after, stride, settings["kernel_size"])]
    return any(end > size + 2 * p for end, size, p in zip(last, before, padding))


@operation("_adaptive_avg_pool2d", "adaptive_avg_pool1d", "_adaptive_avg_pool1d", "adaptive_avg_pool2d")
def _adaptive(trace, func, args, kwargs, out):
    x = args[0]
    n_axes = len(axes_of(args[1]))
    window = _even_window(x, out, n_axes)
    if window is None:
        write_out(trace, func, args, kwargs, out)
        return
    settings = {"kernel_size": window, "stride": window, "padding": (0,) * n_axes, "ceil_mode": False,
                "count_include_pad": True}
    try:
        channelwise(trace, "avg_pool", x, settings, out)
    except Refused:
        write_out(trace, func, args, kwargs, out)


@operation("upsample_bilinear2d", "im2col", "col2im", "upsample_bicubic2d", "upsample_linear1d")
def _linear_map(trace, func, args, kwargs, out):
    write_out(trace, func, args, kwargs, out)


def _defaults(args, defaults):
    return [args[i] if i < len(args) else default for i, default in enumerate(defaults)]


def _window(kernel, stride, padding, n_axes):
    """Settings of a pool, each a tuple of one number per axis."""
    def every(value):
        return axes_of(value) * n_axes if len(axes_of(value)) == 1 else axes_of(value)

    return {"kernel_size": every(kernel), "stride": every(stride) or every(kernel), "padding": every(padding)}


def axes_of(value):
    """One number, or several, as a tuple."""
    return tuple(value) if isinstance(value, (list, tuple)) else (value,)


def channelwise(trace, kind, x, settings, out):
    """An operation that treats every channel alike; x: (B, C, ...)."""
    shape = tuple(out.shape[1:])
    parts = trace.places.parts(x, 1)
    if x.ndim == 4 and x.shape[2] == 1 and parts and len(trace.nodes[parts[0].node].shape) == 2:
        settings = {name: value[1:] if isinstance(value, tuple) else value for name, value in settings.items()}
        x, shape = x.squeeze(2), (shape[0], shape[2])  # torch pools sequences as maps of one row
    blocks = [(part, *channels(trace, part, tuple(x.shape[1:]))) for part in parts]
    if len(blocks) == 1 and are_all_channels(trace, blocks[0], shape[0]):
        _emit_channelwise(trace, kind, shape, (parts[0].node, parts[0].rows), settings, out)
        return
    places = torch.full(out.shape, ZERO, dtype=torch.int64)
    for part, here, there in blocks:
        node_shape = (n_channels(trace.nodes[part.node]), *shape[1:])
        number, rows = _emit_channelwise(trace, kind, node_shape, (part.node, part.rows), settings)
        all_places = trace.graph.first_place(number) + torch.from_numpy(rows).view(-1, *[1] * len(node_shape)) * \
            int(np.prod(node_shape)) + torch.arange(int(np.prod(node_shape))).view(node_shape)
        places[:, here] = all_places[:, there]
    trace.places.write(out, places)


def _emit_channelwise(trace, kind, shape, part, settings, out=None):
    """Add a pool or the like of a part, (number, rows). The maximum of scale * spikes + shift is added as scale *
    (maximum of spikes) + shift, and so is what repeats them: a node of its own takes spikes as they are."""
    number, rows = part
    node = trace.nodes[number]
    if kind == "max_pool" and _is_real_input(trace, number):
        raise Refused(f"takes maxima of real numbers that no synapses have weighed; {BEFORE}")
    if kind not in ("max_pool", "upsample") or node.kind != "affine" or gives_current(trace.graph, number):
        return emit(trace, kind, shape, [part], settings, out)
    if np.ndim(node.settings["scale"]) != 1 or np.ndim(node.settings["shift"]) != 1:
        raise Refused(f"reads spikes ({kind}) that are scaled or shifted differently inside a channel, which has "
                      "no equal in eventsim; scale what it gives instead")
    if kind == "max_pool" and (np.asarray(node.settings["scale"]) < 0).any():
        raise Refused("takes maxima of spikes that are multiplied by a number below 0, which has no equal in "
                      "eventsim; pool them first, or put synapses between them")
    [source] = node.sources
    inner = _emit_channelwise(trace, kind, shape, (source.node, rows_of(trace, source, rows)), settings)
    return emit(trace, "affine", shape, [inner], node.settings, out)
