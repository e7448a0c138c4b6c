"""What is said of constants that integers make other numbers."""

from eventsim.errors import warn
from eventsim.program import Program
from eventsim.text import many, printable

MOST_SAID = 5  # constants that a warning names


def warn_of_changes(program: Program, changes, where="") -> None:
    """Warn of constants that integers make other numbers, if there are any: what runs is another network then.

    changes: layer -> name -> ConstantChange. where: in which runs, as a part of the sentence.
    """
    texts = [change.as_text(name, printable(layer)) for layer, constants in changes.items()
             for name, change in constants.items()]
    if texts:
        more = f" and {many(len(texts) - MOST_SAID, 'more constant')}" if len(texts) > MOST_SAID else ""
        arithmetic = program.precision if program.chip is None else f"chip {program.chip.name!r}"
        warn(f"{arithmetic} rounds {', '.join(texts[:MOST_SAID])}{more}, which makes it another network{where}; "
             "run in float32, or rescale the layer")
