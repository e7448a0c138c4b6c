"""Every example in a docstring does what it says, and every public class has one."""

import doctest
import importlib
import inspect
import pkgutil

import pytest

import eventsim
from eventsim.model.kinds import NODE_TYPES

MODULES = sorted(each.name for each in pkgutil.walk_packages(eventsim.__path__, "eventsim.")
                 if not each.name.endswith("__main__"))
# what is raised or warned with, and what lists keywords
WITHOUT = {name for name in eventsim.__all__ if name.endswith(("Error", "Warning", "Options"))}


@pytest.mark.parametrize("name", MODULES)
def test_examples(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # examples write files
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        pytest.skip(str(error))
    results = doctest.testmod(module)
    assert not results.failed


PUBLIC = sorted(name for name in set(eventsim.__all__) - WITHOUT if inspect.isclass(getattr(eventsim, name)))


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_class_has_an_example(name):
    assert ">>> " in getattr(eventsim, name).__doc__


@pytest.mark.parametrize("kind", NODE_TYPES)
def test_every_node_has_an_example(kind):
    assert ">>> " in NODE_TYPES[kind].__doc__
