"""Options of model files, each declared once: a field of its format's frozen dataclass.

    @dataclass(frozen=True)
    class MyOptions(Options):
        bits: int = option(1, "width of a spike (default 1)", limits=(1, 16))

What is said here is what everything else derives from: which values are taken, the flags of the commands,
`@name=value` of `eventsim diff`, and what help says. An option with `per_node=True` also takes a value per
node: {"lif1": "zero", "lif2": "soft"} in Python, `--reset lif1=zero,lif2=soft` on the command line.
"""

import typing
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import lru_cache
from typing import Dict, NamedTuple, Optional, Tuple

from eventsim.errors import FormatError, ModelError
from eventsim.model.parameters import choice, finite_number, integer
from eventsim.text import did_you_mean


class Option(NamedTuple):
    """What an option is declared as.

    kind: float, int, str or bool. help: what it decides, with its default, in one line.
    choices: all values that it can have, or empty. limits: lowest and highest of whole numbers.
    positive: of floats that have to be above 0, what they are ("a time"), else "".
    default: None where the file decides. per_node: whether single nodes may have values of their own.
    """

    kind: type
    help: str
    choices: Tuple = ()
    limits: Optional[Tuple[int, int]] = None
    positive: str = ""
    default: object = None
    per_node: bool = False

    def checked(self, name, value):
        """The value in the option's type, or name of a node -> value; ModelError, beginning with `name`, for one
        that it cannot have."""
        if isinstance(value, Mapping) and self.per_node:
            return {str(node): self.checked(f"{name} of {node}", one) for node, one in value.items()}
        if self.kind is str:
            return choice(value, name, self.choices)
        if self.kind is bool:
            return bool(integer(int(value) if isinstance(value, bool) else value, name, 0, 1))
        if self.kind is int:
            return integer(value, name, *self.limits)
        value = finite_number(value, name)
        if self.positive and value <= 0:
            raise ModelError(f"{name} is {value}, expected {self.positive} above 0")
        return value

    def parsed(self, text):
        """The value that a text on a command line says, or name of a node -> value; ValueError where it says
        none."""
        if self.per_node and "=" in text and text not in self.choices:
            parts = (part.partition("=") for part in text.split(","))
            return {node: self.parsed(value) for node, _, value in parts}
        if self.kind is not bool:
            return self.kind(text)
        return bool(int({"true": "1", "false": "0"}.get(text, text)))


def option(default, help, choices=(), limits=None, positive="", per_node=False, **notes):
    """A field of a dataclass of Options, see Option; notes: what the format itself wants to know of it."""
    if limits is None and choices and all(isinstance(each, int) for each in choices):
        limits = min(choices), max(choices)
    said = {"help": help, "choices": tuple(choices), "limits": limits, "positive": positive, "per_node": per_node}
    return field(default=default, metadata={"option": said, **notes})


@dataclass(frozen=True)
class Options:
    """Base of a format's options; without fields: of a format that takes none.

    Raises ModelError for a value that an option cannot have; None is left as it is.
    """

    def __post_init__(self):
        for name, declared in options_of(type(self)).items():
            if getattr(self, name) is not None:
                object.__setattr__(self, name, declared.checked(name, getattr(self, name)))


@lru_cache(maxsize=None)
def options_of(cls) -> Dict[str, Option]:
    """Name -> Option of a dataclass of Options."""
    hints = typing.get_type_hints(cls)
    return {
        item.name: Option(_plain(hints[item.name]), **item.metadata["option"], default=item.default)
        for item in fields(cls) if "option" in item.metadata
    }


def _plain(hint):
    """The type of Optional[type], or the type itself."""
    return next((each for each in typing.get_args(hint) if each is not type(None)), hint)


def check_known(path, what, known, given):
    """Raise FormatError for an option that its format does not have.

    path: of the file. what: name of the format. known: names of its options. given: names.
    """
    for name in given:
        if name not in known:
            accepted = (f"expected one of {', '.join(sorted(known))}{did_you_mean(name, known)}" if known else
                        "which take none: they say everything themselves, so leave it out")
            raise FormatError(f"{path}: {name!r} is no option for {what} files, {accepted}")
