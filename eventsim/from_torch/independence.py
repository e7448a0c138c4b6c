"""Independence: whether a network says the same of a sample whatever else there is, and whatever its type is.

Of several samples tracing tells which of them a number comes from; what they have in common, such as their number,
and what a network does to a sample that is alone, shows where one more is run that differs from the first.
"""

import torch

from eventsim.errors import UnsupportedError
from eventsim.from_torch.places import tensors_in
from eventsim.from_torch.preserving import preserved
from eventsim.from_torch.running import run_in, said
from eventsim.from_torch.samples import another

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
    n, unknown = len(samples.values), ""
    places = (0, 1) if n == 1 else (n,)  # of the sample that is added
    for dtype in reversed(TYPES):  # float64, if the network's own constants allow it
        def run(values):
            return _ran(net, rules, values.to(dtype), traced, choose)

        try:
            alone = run(samples.values)
            together = [(_kept(n, place), run(_with_another(samples, place))) for place in places]
        except Exception as error:  # the user's own code may raise anything
            unknown = f"it raises {said(error)}"
            continue
        if not all(_says_the_same(alone, ran, kept, dtype) for kept, ran in together):
            if not _repeats(alone, run(samples.values), dtype):
                raise UnsupportedError(f"{type(net).__name__} computes otherwise when it runs again with the same "
                                       "samples: it takes random numbers, or keeps something from run to run "
                                       "outside of its modules; leave that out")
            raise UnsupportedError(_text(type(net).__name__, n))
        if all(_has_answers(alone, ran, kept) for kept, ran in together):
            return ""
        unknown = "its answer then has another shape"
        break
    return (f"whether the answers depend on how many samples there are is not known, as the network does not run with "
            f"one more: {unknown}")


def _text(name, n):
    return (f"{name} computes otherwise for {n + 1} samples than for {n}: what it says of a sample depends on the "
            "others, or on how many there are; leave that out (such as x.mean(0), x.shape[0] or len(x) in its "
            "arithmetic)")


def _with_another(samples, place):
    """The values of the samples with one more among them."""
    return torch.cat((samples.values[:place], another(samples), samples.values[place:]))


def _kept(n, place):
    """Where n samples are found when another has a place among them."""
    return [i for i in range(n + 1) if i != place]


def _says_the_same(alone, together, kept, dtype):
    """Whether a run (see `_ran`) gives in its layers and answers what another gives for the samples `kept`."""
    (sent, few), (sent_too, many) = alone, together
    layers = [_same_samples(one, other, kept, axis=1) for one, other in zip(sent, sent_too)]
    answers = filter(None, (_same_samples(one, other, kept) for one, other in zip(few, many)))
    return all(layers) and all(any(_close(*pair, dtype) for pair in pairs) for pairs in (*layers, *answers))


def _repeats(before, now, dtype):
    """Whether a run with the same samples gives the same as one before."""
    pairs = zip((*before[0], *before[1]), (*now[0], *now[1]))
    return all(one.shape == other.shape and _close(one, other, dtype) for one, other in pairs)


def _has_answers(alone, together, kept):
    """Whether all answers of a run can be compared with those for the samples `kept` of another."""
    few, many = alone[1], together[1]
    return len(few) == len(many) and all(_same_samples(one, other, kept) for one, other in zip(few, many))


def _ran(net, rules, values, traced, choose):
    """(what each layer sent (T, N, ...), the tensors of the answer) of a run."""
    with preserved(net):
        torch.set_default_dtype(values.dtype)
        ran = run_in(net, rules, values, traced)
        if choose:
            return list(ran.sent.values()), [choose(result) for result in ran.returned]
        tensors = [tensors_in(result) for result in ran.returned]
        return list(ran.sent.values()), [found[i] for found, chosen in zip(tensors, traced.chosen) for i in chosen]


def _same_samples(few, many, kept, axis=None):
    """[(numbers of samples, numbers of the samples `kept` of more that may be the same)]: an axis of many numbers of
    a sample may have the samples first or last. axis: that of the samples, None: any. Empty where the shapes do not
    fit."""
    n, kept = len(kept), torch.tensor(kept, device=many.device)
    axes = [i for i, (size, other) in enumerate(zip(few.shape, many.shape)) if size != other]
    if few.ndim != many.ndim or len(axes) > 1 or axis is not None and axes != [axis]:
        return []
    if not axes:
        return [(few, many)]
    [axis] = axes
    if few.shape[axis] % n or few.shape[axis] // n * (n + 1) != many.shape[axis]:
        return []
    k = few.shape[axis] // n
    first = many.unflatten(axis, (n + 1, k)).index_select(axis, kept).flatten(axis, axis + 1)
    last = many.unflatten(axis, (k, n + 1)).index_select(axis + 1, kept).flatten(axis, axis + 1)
    return [(few, first), (few, last)]


def _close(few, many, dtype):
    """Whether numbers are the same as far as rounding goes."""
    few, many = few.detach(), many.detach()
    if not few.is_floating_point() or not few.numel():
        return True
    largest = torch.nan_to_num(few, nan=0.0, posinf=0.0, neginf=0.0).abs().max()
    near = torch.isclose(few, many, rtol=0.0, atol=CLOSE[dtype] * max(1.0, float(largest)), equal_nan=True)
    return float((~near).double().mean()) <= FLIPPED[dtype]
