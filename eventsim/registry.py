"""Registries: tables of functions by the kind of what they handle."""

from typing import Callable, Dict


def registers(table: Dict[str, Callable]) -> Callable:
    """Return the decorator that enters a function into `table`, under each of the kinds that it is given: texts,
    or classes of nodes, which stand for their `kind`."""

    def of_kinds(*kinds):
        def register(function):
            table.update({getattr(kind, "kind", kind): function for kind in kinds})
            return function

        return register

    return of_kinds
