"""Every example in a docstring of `eventsim.model` and `eventsim.formats` does what it says."""

import doctest
import importlib
import pkgutil

import pytest

import eventsim.formats
import eventsim.model
from eventsim.model.kinds import NODE_TYPES

MODULES = [
    name for package in (eventsim.model, eventsim.formats)
    for name in (package.__name__, *(each.name for each in pkgutil.walk_packages(package.__path__, package.__name__ + ".")))
]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    found = doctest.testmod(importlib.import_module(name))
    assert not found.failed


@pytest.mark.parametrize("kind", NODE_TYPES)
def test_every_node_has_an_example(kind):
    assert ">>> " in NODE_TYPES[kind].__doc__
