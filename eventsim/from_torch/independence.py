"""Independence: whether a network says the same of a sample whatever else there is, and whatever type it is held in."""

import torch

from eventsim.errors import UnsupportedError
from eventsim.from_torch.places import tensors_in
from eventsim.from_torch.preserving import preserved
from eventsim.from_torch.running import run_in, said

TYPES = (torch.float32, torch.float64)  # in which models run
CLOSE = {torch.float64: 1e-9, torch.float32: 1e-3}  # relative to the largest number: far above rounding
FLIPPED = {torch.float64: 0.0, torch.float32: 0.01}  # share of the numbers that rounding may change by spikes


def depends_on_its_type(net) -> str:
    """What has to be said of a network that is held in a type that rounds more than a model does; "" of others."""
    for name, tensor in (*net.named_parameters(), *net.named_buffers()):
        if tensor.is_floating_point() and tensor.dtype not in TYPES:
            kind = str(tensor.dtype).removeprefix("torch.")
            return (f"{name} is {kind}: the model is proved equal to net.float(), which has the same weights and rounds "
                    f"less; in {kind} the network itself may fire otherwise")
    return ""


def depends_on_the_batch(net, rules, samples, traced) -> str:
    """Run a network with one sample more; raise UnsupportedError where it then says something else of the others.
    Returns what has to be said where that cannot be found out, "" elsewhere."""
    more = torch.cat((samples.values, samples.values[:1]))
    for dtype in reversed(TYPES):  # float64, if the network's own constants allow it
        try:
            with preserved(net):
                torch.set_default_dtype(dtype)
                alone = run_in(net, rules, samples.values.to(dtype), traced)
            with preserved(net):
                torch.set_default_dtype(dtype)
                together = run_in(net, rules, more.to(dtype), traced)
        except Exception as error:  # the user's own code may raise anything
            raised = said(error)
            continue
        if _differ(alone, together, len(samples.values), dtype):
            raise UnsupportedError(f"{type(net).__name__} computes otherwise for {len(more)} samples than for "
                                   f"{len(samples.values)}: what it says of a sample depends on how many there are; "
                                   "leave that out (such as x.shape[0] or len(x) in its arithmetic)")
        return ""
    return (f"whether the answers depend on how many samples there are is not known, as the network does not run with "
            f"one more: it raises {raised}")


def _differ(alone, together, n, dtype):
    """Whether what n samples gave is other than the same samples of n + 1 gave."""
    pairs = [(few, many[:, :n]) for few, many in zip(alone.sent.values(), together.sent.values())]
    for few, many in zip(tensors_in(alone.returned), tensors_in(together.returned)):
        axes = [axis for axis, size in enumerate(few.shape) if size == n and few.ndim == many.ndim
                and many.shape == (*few.shape[:axis], n + 1, *few.shape[axis + 1 :])]
        pairs += [(few, many.narrow(axis, 0, n)) for axis in axes[:1]]
    for few, many in pairs:
        few, many = few.detach().double(), many.detach().double()
        apart = (few - many).abs() > CLOSE[dtype] * max(1.0, float(few.abs().max()) if few.numel() else 0.0)
        if few.numel() and float(apart.double().mean()) > FLIPPED[dtype]:
            return True
    return False
