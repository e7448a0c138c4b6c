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


def depends_on_the_batch(net, rules, samples, traced, choose) -> str:
    """Run a network with one sample more; raise UnsupportedError where it then says something else of the others.
    choose: as of `from_torch`. Returns what has to be said where that cannot be found out, "" elsewhere."""
    n = len(samples.values)
    more, unknown = torch.cat((samples.values, samples.values[:1])), ""
    for dtype in reversed(TYPES):  # float64, if the network's own constants allow it
        try:
            (sent, few), (sent_too, many) = (_ran(net, rules, values.to(dtype), traced, choose)
                                             for values in (samples.values, more))
        except Exception as error:  # the user's own code may raise anything
            unknown = f"it raises {said(error)}"
            continue
        layers = [_same_samples(one, other, n, axis=1) for one, other in zip(sent, sent_too)]
        answers = [_same_samples(one, other, n) for one, other in zip(few, many)]
        compared = [*layers, *filter(None, answers)]
        if not all(layers) or not all(any(_close(*pair, dtype) for pair in pairs) for pairs in compared):
            raise UnsupportedError(f"{type(net).__name__} computes otherwise for {n + 1} samples than for {n}: what it "
                                   "says of a sample depends on how many there are; leave that out (such as "
                                   "x.shape[0] or len(x) in its arithmetic)")
        if all(answers) and len(few) == len(many):
            return ""
        unknown = "its answer then has another shape"
        break
    return (f"whether the answers depend on how many samples there are is not known, as the network does not run with "
            f"one more: {unknown}")


def _ran(net, rules, values, traced, choose):
    """(what each layer sent (T, N, ...), the tensors of the answer) of a run."""
    with preserved(net):
        torch.set_default_dtype(values.dtype)
        ran = run_in(net, rules, values, traced)
        if choose:
            return list(ran.sent.values()), [choose(result) for result in ran.returned]
        tensors = [tensors_in(result) for result in ran.returned]
        return list(ran.sent.values()), [found[i] for found, chosen in zip(tensors, traced.chosen) for i in chosen]


def _same_samples(few, many, n, axis=None):
    """[(numbers of n samples, numbers of n + 1 samples that may be the same)]: an axis of many numbers of a sample may
    have the samples first or last. axis: that of the samples, None: any. Empty where the shapes do not fit."""
    axes = [i for i, (size, other) in enumerate(zip(few.shape, many.shape)) if size != other]
    if few.ndim != many.ndim or len(axes) > 1 or axis is not None and axes != [axis]:
        return []
    if not axes:
        return [(few, many)]
    [axis] = axes
    if few.shape[axis] % n or few.shape[axis] // n * (n + 1) != many.shape[axis]:
        return []
    k = few.shape[axis] // n
    last = many.unflatten(axis, (k, n + 1)).narrow(axis + 1, 0, n).flatten(axis, axis + 1)
    return [(few, many.narrow(axis, 0, k * n)), (few, last)]


def _close(few, many, dtype):
    """Whether numbers are the same as far as rounding goes."""
    few, many = few.detach(), many.detach()
    if not few.is_floating_point() or not few.numel():
        return True
    largest = torch.nan_to_num(few, nan=0.0, posinf=0.0, neginf=0.0).abs().max()
    near = torch.isclose(few, many, rtol=0.0, atol=CLOSE[dtype] * max(1.0, float(largest)), equal_nan=True)
    return float((~near).double().mean()) <= FLIPPED[dtype]
