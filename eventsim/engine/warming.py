"""Warming: which kinds of runs choose other kernels, so that a blank sample of each has them all compiled.

Kernels depend on the number of steps of a chunk only as far as `paths.FEW_STEPS` and, where it is summed for
statistics, `observing.BRIEF` say, and not on how many samples run: of a long run a few steps of each kind of chunk
are enough.
"""

from typing import Iterable, List, NamedTuple, Optional

import numpy as np

from eventsim.engine.chunk import Setting
from eventsim.engine.paths import FEW_STEPS
from eventsim.engine.schedules import Begun
from eventsim.errors import DataError, RunError
from eventsim.inputs.levels import array_of, to_levels
from eventsim.statistics.observing import BRIEF

LEAST = (1, FEW_STEPS.start, FEW_STEPS.stop)  # steps from which on other kernels may be chosen
LEAST_SUMMED = (*LEAST, BRIEF + 1)  # the same, of a chunk that is summed for statistics


class Kind(NamedTuple):
    """A kind of run. begun: how it begins. dtype: of its levels, or real numbers. chunk: steps of its chunks;
    None: as many as such runs have."""

    begun: Begun
    dtype: np.dtype
    chunk: Optional[int] = None


def kinds_of_chunks(chunks: Iterable[Setting]) -> List[Setting]:
    """Return one chunk of each kind among those of a run, in their order, each of as few steps as leave its
    kernels the same."""
    return list(dict.fromkeys(chunk._replace(steps=_fewest(chunk)) for chunk in chunks))


def _fewest(chunk):
    return max(steps for steps in (LEAST_SUMMED if chunk.sums else LEAST) if steps <= chunk.steps)


def numbers_of_steps(most) -> List[int]:
    """Return numbers of steps, each above the one before, the last `most`: every run of at most so many steps has
    the kernels of one of them."""
    return [*(steps for steps in LEAST_SUMMED if steps < most), most]


def every_kind(model) -> List[Kind]:
    """Return the kinds of all runs that a model may be given: of samples that stand still or not, of one step,
    few, many and the model's own, in one chunk or two, from the beginning and from a state, with a state after
    them and without."""
    node, octets = model.nodes[model.input], np.dtype(np.uint8)
    usual, other = _types(node)
    numbers = dict.fromkeys((model.timesteps or 1, *LEAST_SUMMED))
    kinds = [Kind(Begun(0, steps, still, True, False, usual == octets), usual)
             for still in (node.still, not node.still) for steps in numbers]
    kinds += [Kind(Begun(0, steps, node.still, fresh, True, usual == octets), usual)
              for fresh in (True, False) for steps in LEAST]
    kinds += [Kind(Begun(0, 2 * steps, still, True, False, usual == octets), usual, steps)
              for still in (True, False) for steps in LEAST]
    return kinds + [Kind(Begun(0, 1, still, True, False, other == octets), other) for still in (True, False)]


def kinds_like(model, x, timesteps: Optional[int], lengths=None) -> List[Kind]:
    """Return the kinds of runs from the beginning, without a state after them, of samples of the type and shape of
    x, and of these lengths where they have their own. None of samples that do not fit: their run says why."""
    try:
        x = array_of(x)
        blank = np.zeros((1, *x.shape[1:]), x.dtype)
        levels, still = to_levels(blank, model.nodes[model.input], timesteps, narrow=True)
        steps = [model.steps(timesteps)] if still else [levels.shape[1]]
    except (DataError, RunError):
        return []
    steps = steps if lengths is None else np.unique(lengths).tolist()
    return [Kind(Begun(0, n, still, True, False, levels.dtype == np.uint8), levels.dtype) for n in steps]


def _types(node):
    """Return the types of levels that the kernels of an input read: what most files have, and the other one."""
    if node.encoding == "real":
        return np.dtype(np.float64), np.dtype(np.float64)
    octets, wide = np.dtype(np.uint8), np.dtype(np.int32)
    return (wide, octets) if node.signed or node.bits > 8 else (octets, wide)
