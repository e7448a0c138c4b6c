"""Random numbers of Python and NumPy, which torch does not see: where a network may take them from."""

import pickle
import random
from typing import Any, Callable, List, NamedTuple

import numpy as np

KINDS = (random.Random, np.random.Generator, np.random.RandomState)


class Generator(NamedTuple):
    """Something that gives random numbers. name: for people. get: gives its state. set: function (state) that sets
    it."""

    name: str
    get: Callable[[], Any]
    set: Callable[[Any], None]


def generators(net) -> List[Generator]:
    """The generators of Python and NumPy, and those among the attributes of a network's modules and the globals of
    their forward."""
    own = {id(value): value for module in net.modules() for value in _values(module) if isinstance(value, KINDS)
            and not isinstance(value, random.SystemRandom)}  # that has no state
    return [Generator("Python's random", random.getstate, random.setstate),
            Generator("numpy.random", np.random.get_state, np.random.set_state), *map(_generator_of, own.values())]


def states(sources) -> List[bytes]:
    """The states of generators, to be compared."""
    return [pickle.dumps(generator.get()) for generator in sources]


def _values(module):
    forward = getattr(type(module), "forward", None)
    return [*vars(module).values(), *getattr(forward, "__globals__", {}).values()]


def _generator_of(generator):
    name = f"a {type(generator).__name__} of its own"
    if isinstance(generator, random.Random):
        return Generator(name, generator.getstate, generator.setstate)
    if isinstance(generator, np.random.RandomState):
        return Generator(name, generator.get_state, generator.set_state)
    return Generator(name, lambda: generator.bit_generator.state,
                     lambda state: setattr(generator.bit_generator, "state", state))
