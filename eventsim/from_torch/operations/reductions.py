"""Sums and means along axes: over the steps, over positions, over groups of neurons."""

import torch

from eventsim.from_torch.operations.maps import axes_of, channelwise, write_out
from eventsim.from_torch.operations.registry import operation, Refused
from eventsim.from_torch.operations.rows import add_steps, leading_axes
from eventsim.from_torch.places import BITS, MASK, Mixed


@operation("sum")
def _sum_along(trace, func, args, kwargs, out):
    _reduced(trace, func, args, kwargs, out, mean=False)


@operation("mean")
def _mean_along(trace, func, args, kwargs, out):
    _reduced(trace, func, args, kwargs, out, mean=True)


@operation("cumsum")
def _sums_up_to_each_step(trace, func, args, kwargs, out):
    x, axis = args[:2]
    places = trace.places.of(x).movedim(axis, 0)
    if not _is_time(trace, places):
        raise Refused("does 'cumsum' along an axis that does not count the steps of one layer; leave it out")
    for step, total in enumerate(out.movedim(axis, 0)):
        _over_time(trace, places[:step + 1], total, mean=False)


def _reduced(trace, func, args, kwargs, out, mean):
    x = args[0]
    axes = args[1] if len(args) > 1 and args[1] is not None else tuple(range(x.ndim))
    axes = sorted({axis % x.ndim for axis in axes_of(axes)})
    places = trace.places.of(x)
    if len(axes) == 1 and _is_time(trace, places.movedim(axes[0], 0)):
        _over_time(trace, places.movedim(axes[0], 0), out, mean)
        return
    if 0 in axes:
        raise Refused("sums over its samples, or over steps and elements at once")
    if axes == list(range(2, x.ndim)) and x.ndim > 2 and mean:
        window = tuple(x.shape[2:])
        settings = {"kernel_size": window, "stride": window, "padding": (0,) * len(window), "ceil_mode": False,
                    "count_include_pad": True}
        try:
            pooled = torch.zeros(*x.shape[:2], *[1] * len(window), dtype=torch.float64)
            channelwise(trace, "avg_pool", x, settings, pooled)
            trace.places.write(out, trace.places.of(pooled).reshape(out.shape))
            return
        except (Refused, Mixed):
            pass
    leading = leading_axes(trace, places)
    if any(axis < leading for axis in axes):
        raise Refused("sums over its samples, or over steps and elements at once")
    flat = x.reshape(-1, *x.shape[leading:])
    if flat.data_ptr() != x.data_ptr():
        trace.places.write(flat, places.reshape(flat.shape))
    shifted = [axis - leading + 1 for axis in axes]
    result = torch.zeros(flat.shape[0], *_without(flat.shape[1:], [axis - 1 for axis in shifted]),
                         dtype=torch.float64)

    def function(value):
        return value.mean(shifted) if mean else value.sum(shifted)

    write_out(trace, function, [flat], {}, result)
    trace.places.write(out, trace.places.of(result).reshape(out.shape))


def _without(shape, axes):
    return [size for axis, size in enumerate(shape) if axis not in axes]


def _is_time(trace, places):
    """Whether along the first axis only the step changes."""
    if (places < 0).any() or len(places) < 1:
        return False
    nodes = places >> BITS
    if (nodes != nodes.reshape(-1)[0]).any():
        return False
    node = trace.nodes[int(nodes.reshape(-1)[0])]
    if node.still:
        return False
    local = places & MASK
    same = local % (node.size * trace.samples)
    steps = local // (node.size * trace.samples)
    flat = steps.reshape(len(steps), -1)
    return bool((same == same[:1]).all()
                and (flat == flat[:, :1]).all()) and len(torch.unique(flat[:, 0])) == len(flat)


def _over_time(trace, places, out, mean):
    """Add the sum or mean over the first axis, which `_is_time`."""
    number = int(places.reshape(-1)[0]) >> BITS
    node = trace.nodes[number]
    local = places & MASK
    steps = (local.reshape(len(local), -1)[:, 0] // (node.size * trace.samples)).tolist()
    weights = dict.fromkeys(steps, 1 / len(steps) if mean else 1.0)
    total, _ = add_steps(trace, number, weights, None, None)
    trace.places.write(out, (trace.graph.first_place(total) +
                             local[0] % (node.size * trace.samples)).reshape(out.shape))
