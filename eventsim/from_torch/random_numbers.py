"""Random numbers of Python and NumPy, which torch does not see: where a network may take them from."""

import pickle
import random
from typing import Any, Callable, List, NamedTuple

import numpy as np

KINDS = (random.Random, np.random.Generator, np.random.RandomState)


class Generator(NamedTuple):
    """Something that gives random numbers. name: for people. get: gives its state. put: function (state) that sets
    it."""

    name: str
    get: Callable[[], Any]
    put: Callable[[Any], None]


def generators(net) -> List[Generator]:
    """The generators of Python and NumPy, and those among the attributes of a network's modules and the globals of
    their forward."""
    held = {id(value): value for module in net.modules() for value in _values(module) if isinstance(value, KINDS)
            and not isinstance(value, random.SystemRandom)}  # that has no state
    return [Generator("Python's random", random.getstate, random.setstate),
            Generator("numpy.random", np.random.get_state, np.random.set_state), *map(_of, held.values())]


def states(found) -> List[bytes]:
    """The states of generators, to be compared."""
    return [pickle.dumps(generator.get()) for generator in found]


def _values(module):
    forward = getattr(type(module), "forward", None)
    return [*vars(module).values(), *getattr(forward, "__globals__", {}).values()]


def _of(held):
    name = f"a {type(held).__name__} of its own"
    if isinstance(held, random.Random):
        return Generator(name, held.getstate, held.setstate)
    if isinstance(held, np.random.RandomState):
        return Generator(name, held.get_state, held.set_state)
    return Generator(name, lambda: held.bit_generator.state,
                     lambda state: setattr(held.bit_generator, "state", state))
