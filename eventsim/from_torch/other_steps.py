"""Other numbers of steps: whether a network that takes any number of them is the same model with one step more.

An answer that counts its steps (`out[:10].sum(0)`, `out.sum(0) / 10`, a bias behind their sum) is another model
for each number of them. Both are built and compared, so that nothing depends on what the check samples show.
"""

from typing import Optional

import numpy as np

from eventsim.errors import EventsimError
from eventsim.from_torch.building import build
from eventsim.from_torch.running import follow_as

CLOSE = 1e-9  # relative: how far two computations of one parameter may be apart
FEW = 2  # samples, which tell a network that is the same model from others as all of them do


def is_fixed_to_its_steps(net, rules, samples, traced, choose, built) -> bool:
    """Whether a network is another model, or none, with one step more than it was traced with.

    built: of the first way to place delays. Networks that do a number of steps of their own, or do not take
    another, say nothing of others: False.
    """
    if samples.steps is None and traced.way.name == "all at once":
        return False
    more = samples if samples.steps is None else _with_a_step_more(samples)
    few = more._replace(levels=more.levels[:FEW], values=more.values[:FEW])
    same = _is_same(net, rules, few, traced, choose, built)
    if not same and len(samples.levels) > FEW:  # it may be that only so few are another model, or none
        same = _is_same(net, rules, more, traced, choose, built)
    return same is False


def _is_same(net, rules, samples, traced, choose, built) -> Optional[bool]:
    """Whether a network is the model `built` with one step more than it was traced with; None where it does not
    take that. samples: with that step."""
    try:
        again = follow_as(net, rules, samples, traced.timesteps + 1, traced.way, choose)
        if traced.late[0] not in again.late:
            return False
        return _same_model(built, build(again.trace.graph, samples.input, again.answer, traced.late[0]))
    except EventsimError:
        return False
    except Exception:  # the user's own code may raise anything on what it does not take
        return None


def _with_a_step_more(samples):
    """Samples (N, T, ...) as (N, T + 1, ...): the first step comes again."""
    values = samples.values
    return samples._replace(levels=np.concatenate((samples.levels, samples.levels[:, :1]), axis=1),
                            values=values[:, [*range(values.shape[1]), 0]], steps=samples.steps + 1)


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
