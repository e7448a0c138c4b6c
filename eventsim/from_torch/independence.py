"""Independence: whether a network gives the same for a sample with whatever others, and in whatever type, it runs.

Tracing shows which sample a number comes from. It does not show what depends on the number of samples, nor what
mixes samples where there is one alone: these show when one more sample runs that differs from the first, and when
the first runs alone.
"""

import torch

from eventsim.errors import UnsupportedError
from eventsim.from_torch.places import tensors_in
from eventsim.from_torch.preserving import preserved
from eventsim.from_torch.running import error_line, run_in
from eventsim.from_torch.samples import another

TYPES = (torch.float32, torch.float64)  # in which models run
CLOSE = {torch.float64: 1e-9, torch.float32: 1e-3}  # relative to the largest number: far above rounding
FLIPPED = {torch.float64: 0.0, torch.float32: 0.01}  # share of the numbers that rounding may change by spikes


def depends_on_its_type(net) -> str:
    """Return the warning for a network whose type rounds more than a model does; "" for others."""
    for name, tensor in (*net.named_parameters(), *net.named_buffers()):
        if tensor.is_floating_point() and tensor.dtype not in TYPES:
            kind = str(tensor.dtype).removeprefix("torch.")
            return (f"{name} is {kind}: the model is proved equal to net.float(), which has the same weights and "
                    f"rounds less; in {kind} the network itself may fire otherwise")
    return ""


def depends_on_the_batch(net, rules, samples, traced, choose) -> str:
    """Run a network with one sample more, and with the first alone; raise UnsupportedError where it then says
    something else of the others.

    choose: the `output` of `from_torch`. Returns a warning where the network does not run with one more, else "".
    """
    n, unknown = len(samples.values), ""
    places = (0, 1) if n == 1 else (n,)  # of the sample that is added
    for dtype in reversed(TYPES):  # float64, if the network's own constants allow it
        def run(values):
            return _ran(net, rules, values.to(dtype), traced, choose)

        try:
            alone = run(samples.values)
            together = [(_kept(n, place), run(_with_another(samples, place))) for place in places]
        except Exception as error:  # the user's own code may raise anything
            unknown = f"it raises {error_line(error)}"
            continue
        first, others = _of_the_first(run, samples.values), None
        if not all(_says_the_same(alone, ran, kept, dtype, n + 1) for kept, ran in together):
            others = n + 1, n
        elif first is not None and not _says_the_same(first, alone, [0], dtype, n):
            others = n, 1
        if others:
            if not _repeats(alone, run(samples.values), dtype):
                raise UnsupportedError(f"{type(net).__name__} computes otherwise when it runs again with the same "
                                       "samples: it takes random numbers, or keeps something from run to run "
                                       "outside of its modules; leave that out")
            raise UnsupportedError(_text(net, *others, traced.timesteps))
        if all(_has_answers(alone, ran, kept) for kept, ran in together):
            return ""
        unknown = "its answer then has another shape"
        break
    return ("whether the answers depend on how many samples there are is not known, as the network does not run "
            f"with one more: {unknown}")


def may_have_steps(net, rules, samples, traced, choose) -> str:
    """Return the warning for samples of which every layer and the answer treat each row alike, as they would the
    steps of a recording; "" for others.

    choose: the `output` of `from_torch`.
    """
    values = samples.values
    if samples.steps is not None or values.ndim < 3 or values.shape[1] == 1:
        return ""
    for dtype in reversed(TYPES):  # float64, if the network's own constants allow it
        try:
            ran, flipped = (_ran(net, rules, rows.to(dtype), traced, choose) for rows in (values, values.flip(1)))
        except Exception:  # the user's own code may raise anything
            continue
        if any(map(torch.any, ran[0])) and _turns_with(ran, flipped, values.shape[1], dtype):
            break
    else:
        return ""
    shape = "x".join(map(str, values.shape[1:]))
    return (f"x was taken as {len(values)} samples of {shape} that stand still, of which every layer treats the "
            f"{values.shape[1]} rows alike: if an axis of x counts steps, give layout='NT' or 'TN', if not, "
            "layout='N'")


def _turns_with(ran, flipped, n_rows, dtype):
    """Return whether all that a run (see `_ran`) gives has the rows in reverse where its samples have."""
    return all(any(size == n_rows and _close(tensor.flip(axis), other, dtype)
                   for axis, size in enumerate(tensor.shape))
               for given in zip(ran, flipped) for tensor, other in zip(*given))


def _text(net, many, few, timesteps):
    remedy = "leave that out (such as x.mean(0), x.shape[0] or len(x) in its arithmetic)"
    for name, module in net.named_modules():
        if isinstance(getattr(module, "num_timesteps", None), int) and getattr(module, "batch_size", -1) > 0:
            remedy = (f"{name!r} ({type(module).__name__}) has batch_size={module.batch_size} and takes more "
                      f"samples as more steps: make it, and those like it, with num_timesteps={timesteps} instead")
            break
    return (f"{type(net).__name__} computes otherwise for {many} samples than for {few}: what it says of a sample "
            f"depends on the others, or on how many there are; {remedy}")


def _of_the_first(run, values):
    """Return what a run of the first sample alone gives; None where it is alone anyway, or does not run so."""
    try:
        return run(values[:1]) if len(values) > 1 else None
    except Exception:  # the user's own code may raise anything
        return None


def _with_another(samples, place):
    """The values of the samples with one more among them."""
    return torch.cat((samples.values[:place], another(samples), samples.values[place:]))


def _kept(n, place):
    """Where n samples are found when another has a place among them."""
    return [i for i in range(n + 1) if i != place]


def _says_the_same(alone, together, kept, dtype, n):
    """Whether a run (see `_ran`) gives in its layers and answers what another, of n samples, gives for those that
    are `kept`."""
    (sent, few), (sent_together, many) = alone, together
    layers = [_same_samples(*pair, kept, n, axis=1) for pair in zip(sent, sent_together)]
    answers = filter(None, (_same_samples(*pair, kept, n) for pair in zip(few, many)))
    return all(layers) and all(any(_close(*pair, dtype) for pair in pairs) for pairs in (*layers, *answers))


def _repeats(before, now, dtype):
    """Whether a run with the same samples gives the same as one before."""
    pairs = zip((*before[0], *before[1]), (*now[0], *now[1]))
    return all(first.shape == second.shape and _close(first, second, dtype) for first, second in pairs)


def _has_answers(alone, together, kept):
    """Whether all answers of a run can be compared with those for the samples `kept` of another."""
    few, many = alone[1], together[1]
    return len(few) == len(many) and all(_same_samples(*pair, kept, len(kept) + 1) for pair in zip(few, many))


def _ran(net, rules, values, traced, choose):
    """Run a network; return (what each layer sent, (T, N, ...), the tensors of the answer)."""
    with preserved(net):
        torch.set_default_dtype(values.dtype)
        ran = run_in(net, rules, values, traced)
        if choose:
            return list(ran.sent.values()), [choose(result) for result in ran.returned]
        tensors = [tensors_in(result) for result in ran.returned]
        return list(ran.sent.values()), [call[i] for call, chosen in zip(tensors, traced.chosen) for i in chosen]


def _same_samples(few, many, kept, n_many, axis=None):
    """Return [(numbers of samples, those of the samples `kept` of n_many that may be the same)].

    Along an axis that holds many numbers of each sample, the samples may be the outer or the inner index. axis:
    the one of the samples, None: any. Empty where the shapes do not fit.
    """
    n, kept = len(kept), torch.tensor(kept, device=many.device)
    axes = [i for i, (size, other) in enumerate(zip(few.shape, many.shape)) if size != other]
    if few.ndim != many.ndim or len(axes) > 1 or axis is not None and axes != [axis]:
        return []
    if not axes:
        return [(few, many)]
    [axis] = axes
    if few.shape[axis] % n or few.shape[axis] // n * n_many != many.shape[axis]:
        return []
    k = few.shape[axis] // n
    first = many.unflatten(axis, (n_many, k)).index_select(axis, kept).flatten(axis, axis + 1)
    last = many.unflatten(axis, (k, n_many)).index_select(axis + 1, kept).flatten(axis, axis + 1)
    return [(few, first), (few, last)]


def _close(few, many, dtype):
    """Whether numbers are the same as far as rounding goes."""
    few, many = few.detach(), many.detach()
    if not few.is_floating_point() or not few.numel():
        return True
    largest = torch.nan_to_num(few, nan=0.0, posinf=0.0, neginf=0.0).abs().max()
    near = torch.isclose(few, many, rtol=0.0, atol=CLOSE[dtype] * max(1.0, float(largest)), equal_nan=True)
    return float((~near).double().mean()) <= FLIPPED[dtype]
