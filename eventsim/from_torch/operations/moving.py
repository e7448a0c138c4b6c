"""What only moves numbers: the same operation, done to their places."""

import torch

from eventsim.from_torch.operations.registry import Refused
from eventsim.from_torch.places import CONSTANT, tensors_in, ZERO


def _moved(trace, func, args, kwargs):
    """The same operation on places. Raises Refused where a signal says which numbers are moved."""
    kwargs = {name: value for name, value in kwargs.items() if name not in ("dtype", "memory_format")}
    data, indices = _data_and_indices(func, args)
    for index in tensors_in((indices, kwargs)):
        if trace.places.knows(index):
            raise Refused("picks numbers by a signal (an index or a mask that depends on the sample), which has "
                          "no equal in eventsim; leave it out, or return what it reads")
    args, kwargs = (*_as_places(trace, data), *_on_cpu(indices)), _on_cpu(kwargs)
    try:
        return func(*args, **kwargs)
    except NotImplementedError:  # not for whole numbers; places are below 2^53
        args = [arg.double() if isinstance(arg, torch.Tensor) else arg for arg in args]
        return func(*args, **kwargs).long()


def _data_and_indices(func, args):
    """Arguments that are moved, and those that say where to: all of `repeat_interleave` of one tensor."""
    n = 0 if str(func) == "aten.repeat_interleave.Tensor" else 1
    return args[:n], args[n:]


def indices_in(func, args, kwargs):
    """The tensors by which an operation that moves numbers picks them."""
    return tensors_in((_data_and_indices(func, args)[1], kwargs))


def _as_places(trace, value):
    if isinstance(value, torch.Tensor):
        return trace.places.of(value)
    return type(value)(_as_places(trace, item) for item in value) if isinstance(value, (list, tuple)) else value


def _on_cpu(value):
    if isinstance(value, torch.Tensor):
        return value.cpu()
    if isinstance(value, dict):
        return {name: _on_cpu(item) for name, item in value.items()}
    return type(value)(map(_on_cpu, value)) if isinstance(value, (list, tuple)) else value


def _same(trace, func, args, kwargs):
    return trace.places.of(args[0]).clone()


def _copied(trace, func, args, kwargs):
    return trace.places.of(args[1]).clone()


def _padded(trace, func, args, kwargs):
    value = args[2] if len(args) > 2 else kwargs.get("value", 0)
    return func(trace.places.of(args[0]), args[1], ZERO if value == 0 else CONSTANT)


def _filled(trace, func, args, kwargs):
    value = 0 if len(args) < 2 else args[1]
    if isinstance(value, torch.Tensor):
        return trace.places.of(value).clone()
    return torch.tensor(ZERO if value == 0 else CONSTANT)


MOVES = {
    **dict.fromkeys(("clone", "_to_copy", "contiguous", "lift_fresh_copy"), _same),
    **dict.fromkeys(("cat", "stack", "repeat", "index_select", "index", "flip", "roll", "gather", "_unsafe_view",
                     "_reshape_alias", "_reshape_copy", "view_copy", "expand_copy", "concat", "tile",
                     "repeat_interleave", "reflection_pad1d", "reflection_pad2d", "replication_pad1d",
                     "replication_pad2d", "pixel_shuffle", "pixel_unshuffle",
                     "channel_shuffle"), _moved),
    "copy": _copied, "constant_pad_nd": _padded, "zero": _filled, "fill": _filled,
}
