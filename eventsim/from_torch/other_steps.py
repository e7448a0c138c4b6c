"""Other numbers of steps: whether a network that takes any number of them is the same model with more of them.

An answer that counts its steps (`out[:10].sum(0)`, `out.sum(0) / 10`, a bias behind their sum) is another model
for each number of them. Models of one step more and of more than twice as many are built and compared, so that
nothing depends on what the check samples show. What comes later shows in one long run, which is not followed.
"""

from typing import Optional

import numpy as np

import torch

from eventsim.errors import EventsimError
from eventsim.from_torch import proof
from eventsim.from_torch.building import build
from eventsim.from_torch.places import tensors_in
from eventsim.from_torch.preserving import preserved
from eventsim.from_torch.running import follow_as, run_in
from eventsim.model.network import Model

CLOSE = 1e-9  # relative: how far two computations of one parameter may be apart
FEW = 2  # samples, which tell a network that is the same model from others as all of them do
MOST_FOLLOWED = 40  # steps of a second run that is followed, each of which costs far more than running it
LONG = 512  # steps of the long run
LARGEST_RUN = 1 << 26  # numbers that all operations give together in all steps of the samples of one run
PRECISIONS = {"float64": torch.float64, "float32": torch.float32}
CLOSE_ANSWERS = {"float64": 1e-6, "float32": 1e-3}  # relative to the largest: far above rounding


def is_fixed_to_its_steps(net, rules, samples, traced, choose, built) -> bool:
    """Whether a network is another model, or none, with more steps than it was traced with.

    built: of the first way to place delays. Networks that do a number of steps of their own, or do not take
    another, say nothing of others: False.
    """
    if _has_steps_of_its_own(samples, traced):
        return False
    if traced.trace.counts_steps:
        return True
    numbers = [traced.timesteps + 1, 2 * traced.timesteps + 1]
    if numbers[-1] > min(MOST_FOLLOWED, _most_rows(traced) // FEW):
        del numbers[-1]
    return any(_is_another(net, rules, samples, traced, choose, built, steps) for steps in numbers)


def _has_steps_of_its_own(samples, traced):
    return samples.steps is None and traced.way.name == "all at once"


def _most_rows(traced):
    """Return how many steps of samples one run may have."""
    return LARGEST_RUN // max(1, sum(node.size for node in traced.trace.nodes))


def _is_another(net, rules, samples, traced, choose, built, steps):
    more = _of_steps(samples, steps)
    few = more._replace(levels=more.levels[:FEW], values=more.values[:FEW])
    same = _is_same(net, rules, few, traced, choose, built, steps)
    if not same and len(samples.levels) > FEW:  # it may be that only so few are another model, or none
        same = _is_same(net, rules, more, traced, choose, built, steps)
    return same is False


def _is_same(net, rules, samples, traced, choose, built, steps) -> Optional[bool]:
    """Whether a network is the model `built` with so many steps; None where it does not take them. samples: of
    these steps."""
    try:
        again = follow_as(net, rules, samples, steps, traced.way, choose)
        if traced.late[0] not in again.late:
            return False
        return _same_model(built, build(again.trace.graph, samples.input, again.answer, traced.late[0]))
    except EventsimError:
        return False
    except Exception:  # the user's own code may raise anything on what it does not take
        return None


def _of_steps(samples, steps):
    """Samples of so many steps: behind the last, the first comes again. Those that stand still stay so."""
    if samples.steps is None:
        return samples
    order = np.arange(steps) % samples.steps
    return samples._replace(levels=samples.levels[:, order], values=samples.values[:, torch.from_numpy(order)],
                            steps=steps)


def parts_in_a_long_run(net, rules, samples, traced, choose, model, built) -> bool:
    """Whether a network gives otherwise than its model, which was proved, when one sample runs for many steps, or
    for as many as its size allows. built: Built, as the model was made of. What rounding does is no difference."""
    steps = min(LONG, _most_rows(traced))
    if _has_steps_of_its_own(samples, traced) or steps <= traced.timesteps:
        return False
    sample = int(traced.outputs.abs().sum(1).argmax())
    one = _of_steps(samples._replace(levels=samples.levels[sample:sample + 1],
                                     values=samples.values[sample:sample + 1]), steps)
    longer = Model(model.nodes, model.edges, timesteps=steps)
    for precision, dtype in PRECISIONS.items():
        try:
            with preserved(net):
                torch.set_default_dtype(dtype)
                ran = run_in(net, rules, one.values.to(dtype), traced._replace(timesteps=steps))
                answers = _answers(ran.returned, traced, choose, steps)
        except Exception:  # the user's own code may raise anything
            continue
        return _parts(longer, precision, one, ran.sent, answers, built)
    return False


def _parts(model, precision, one, sent, answers, built):
    """Whether a model gives otherwise than what a network sent, number of a layer -> (T, 1, ...), and answered."""
    if any(len(values) != model.timesteps for values in sent.values()):
        return True
    outputs = _outputs(model, answers)
    if outputs is None:
        return True
    levels = one.levels.reshape(*one.levels.shape[:1 if one.steps is None else 2], *model.shapes[model.input])
    try:
        original = proof.OriginalSpikes(proof.sent_levels(sent, built), outputs)
        return proof.differs(model, levels, original, precision, CLOSE_ANSWERS[precision])
    except EventsimError:  # such as of levels beyond the bits that the check samples ask for
        return False


def _answers(returned, traced, choose, steps):
    """Return the tensors that are the answer of a run of so many steps; [] where they are not known."""
    if choose:
        return [choose(value) for value in returned]
    numbers = traced.chosen[0]
    if len(traced.chosen) == 1 and len(numbers) == traced.timesteps > 1:  # a list of its steps
        numbers = [*range(numbers[0], numbers[0] + steps)]
    elif any(own != numbers for own in traced.chosen):
        return []
    return [tensors_in(value)[i] for value in returned for i in numbers]


def _outputs(model, answers):
    """Return a network's answers for one sample, reduced as its model does, as float64 (1, outputs); (1, 0) where
    they are not known, None where they are of another number of steps."""
    n = int(np.prod(model.shapes[model.output]))
    if not answers:
        return np.zeros((1, 0))
    rows = torch.cat([tensor.detach().reshape(-1) for tensor in answers]).double().cpu().numpy()
    if rows.size == n:
        return rows.reshape(1, n)
    if rows.size != n * model.timesteps:
        return None
    rows = rows.reshape(model.timesteps, n)
    reduce = getattr(model.nodes[model.output], "reduce", "sum")
    return {"sum": rows.sum, "mean": rows.mean}[reduce](axis=0, keepdims=True) if reduce != "last" else rows[-1:]


def _same_model(built, other):
    return built.edges == other.edges and list(built.nodes) == list(other.nodes) and all(
        map(_same_node, built.nodes.values(), other.nodes.values()))


def _same_node(node, other):
    values, others = vars(node), vars(other)
    return type(node) is type(other) and values.keys() == others.keys() and all(
        _same(value, others[name]) for name, value in values.items())


def _same(value, other):
    if isinstance(value, (np.ndarray, float)) and isinstance(other, (np.ndarray, float)):
        return np.shape(value) == np.shape(other) and np.allclose(value, other, rtol=CLOSE, atol=CLOSE * 1e-3)
    return type(value) is type(other) and bool(np.all(value == other))
