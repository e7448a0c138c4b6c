"""Which errors a call raises, and which lines of a module raise."""

import ast
import importlib
from functools import lru_cache

from eventsim import EventsimError


def errors_of(function):
    """The error that escapes, and with it those that were replaced on the way."""
    try:
        function()
    except EventsimError as error:
        found = [error]
        while found[-1].__context__ is not None:
            found.append(found[-1].__context__)
        return found
    return []


@lru_cache(maxsize=None)
def raises_of(module):
    """(first, last line) of each raise statement of a module."""
    path = importlib.import_module(f"eventsim.{module}").__file__
    with open(path) as file:
        tree = ast.parse(file.read())
    return path, [(n.lineno, n.end_lineno) for n in ast.walk(tree) if isinstance(n, ast.Raise)]
