"""What the reader of a format can be told: every format module has a table of these, OPTIONS."""

from typing import NamedTuple, Tuple

from eventsim.errors import FormatError


class Option(NamedTuple):
    """One keyword argument of a format's `read`.

    kind: float, int, str or bool. help: what it decides, with its default, in one line.
    choices: all values that it can have, or empty.
    """

    kind: type
    help: str
    choices: Tuple = ()


def check_known(path, what, known, given):
    """Raise FormatError for an option that its format does not have.

    path: of the file. what: name of the format. known: its table. given: names.
    """
    for name in given:
        if name not in known:
            accepted = f"expected one of {', '.join(sorted(known))}" if known else "which take none"
            raise FormatError(f"{path}: {name!r} is no option for {what} files, {accepted}")
