"""What only moves numbers: the same operation, done to their places."""

import torch

from eventsim.from_torch.places import CONSTANT, ZERO


def _moved(trace, func, args, kwargs):
    """The same operation on places."""
    kwargs = {name: value for name, value in kwargs.items() if name not in ("dtype", "memory_format")}
    args, kwargs = _as_places(trace, args), _as_places(trace, kwargs)
    try:
        return func(*args, **kwargs)
    except NotImplementedError:  # not for whole numbers; places are below 2^53
        args = [arg.double() if isinstance(arg, torch.Tensor) else arg for arg in args]
        return func(*args, **kwargs).long()


def _as_places(trace, value):
    if isinstance(value, torch.Tensor):
        return trace.places.of(value) if value.is_floating_point() else value.cpu()
    if isinstance(value, dict):
        return {name: _as_places(trace, item) for name, item in value.items()}
    return type(value)(_as_places(trace, item) for item in value) if isinstance(value, (list, tuple)) else value


def _same(trace, func, args, kwargs):
    return trace.places.of(args[0]).clone()


def _copied(trace, func, args, kwargs):
    return trace.places.of(args[1]).clone()


def _padded(trace, func, args, kwargs):
    value = args[2] if len(args) > 2 else kwargs.get("value", 0)
    return func(trace.places.of(args[0]), args[1], ZERO if value == 0 else CONSTANT)


def _filled(trace, func, args, kwargs):
    value = 0 if len(args) < 2 else args[1]
    return torch.tensor(ZERO if not isinstance(value, torch.Tensor) and value == 0 else CONSTANT)


MOVES = {
    **dict.fromkeys(("clone", "_to_copy", "contiguous", "lift_fresh_copy"), _same),
    **dict.fromkeys(("cat", "stack", "repeat", "index_select", "index", "flip", "roll", "gather", "_unsafe_view",
                     "_reshape_alias", "_reshape_copy", "view_copy", "expand_copy", "concat", "tile",
                     "repeat_interleave", "reflection_pad1d", "reflection_pad2d", "replication_pad1d",
                     "replication_pad2d", "pixel_shuffle", "pixel_unshuffle",
                     "channel_shuffle"), _moved),
    "copy": _copied, "constant_pad_nd": _padded, "zero": _filled, "fill": _filled,
}
