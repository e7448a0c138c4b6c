"""Options of model files, each declared once: a field of its format's frozen dataclass.

    @dataclass(frozen=True)
    class MyOptions(Options):
        bits: int = option(1, "width of a spike (default 1)", limits=(1, 16))

Everything else derives from these declarations: which values are allowed, the flags of the commands, `@name=value`
of `eventsim diff`, and the help. An option with `per_node=True` also takes a value per node: {"lif1": "zero",
"lif2": "soft"} in Python, `--reset lif1=zero,lif2=soft` on the command line.
"""

import typing
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import lru_cache
from typing import Dict, NamedTuple, Optional, Tuple

from eventsim.arguments import finite_number, integer
from eventsim.errors import FormatError, ModelError
from eventsim.model.parameters import choice
from eventsim.text import did_you_mean


class Option(NamedTuple):
    """The declaration of an option.

    kind: float, int, str or bool. help: what it decides, with its default, in one line.
    choices: all values that it can have, or (). limits: lowest and highest value of an int.
    positive: what a float that has to be above 0 is, such as "a time", else "".
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
        """Return the value in the option's type, or a dict name of a node -> value. Raises ModelError, which
        begins with `name`, for a value that is not allowed."""
        if isinstance(value, Mapping) and self.per_node:
            return {str(node): self.checked(f"{name} of {node}", given) for node, given in value.items()}
        if self.kind is str:
            return choice(value, name, self.choices)
        if self.kind is bool:
            return bool(integer(int(value) if isinstance(value, bool) else value, name, 0, 1, ModelError))
        if self.kind is int:
            return integer(value, name, *self.limits, ModelError)
        value = finite_number(value, name, ModelError)
        if self.positive and value <= 0:
            raise ModelError(f"{name} is {value}, expected {self.positive} above 0")
        return value

    def parsed(self, text):
        """Return the value of a text on a command line, or a dict name of a node -> value. Raises ValueError for
        text that is no value of the option's type."""
        if self.per_node and "=" in text and text not in self.choices:
            parts = (part.partition("=") for part in text.split(","))
            return {node: self.parsed(value) for node, _, value in parts}
        if self.kind is not bool:
            return self.kind(text)
        return bool(int({"true": "1", "false": "0"}.get(text, text)))


def option(default, help, choices=(), limits=None, positive="", per_node=False, **notes):
    """Declare a field of a subclass of Options, see Option. notes: further metadata of the field, for the
    format."""
    if limits is None and choices and all(isinstance(each, int) for each in choices):
        limits = min(choices), max(choices)
    declared = {"help": help, "choices": tuple(choices), "limits": limits, "positive": positive,
                "per_node": per_node}
    return field(default=default, metadata={"option": declared, **notes})


@dataclass(frozen=True)
class Options:
    """The base class of a format's options, which itself serves formats that take none.

    Raises ModelError for a value that an option cannot have. None is always allowed.
    """

    def __post_init__(self):
        for name, declared in options_of(type(self)).items():
            if getattr(self, name) is not None:
                object.__setattr__(self, name, declared.checked(name, getattr(self, name)))


@lru_cache(maxsize=None)
def options_of(cls) -> Dict[str, Option]:
    """Return the options that a subclass of Options declares: name -> Option."""
    hints = typing.get_type_hints(cls)
    return {
        item.name: Option(_plain(hints[item.name]), **item.metadata["option"], default=item.default)
        for item in fields(cls) if "option" in item.metadata
    }


def _plain(hint):
    """Return the type in Optional[type], or a plain type itself."""
    return next((each for each in typing.get_args(hint) if each is not type(None)), hint)


def check_known(path, what, known, given):
    """Raise FormatError for an option that its format does not have.

    path: of the file. what: name of the format. known: names of its options. given: names of the options to check.
    """
    for name in given:
        if name not in known:
            accepted = (f"expected one of {', '.join(sorted(known))}{did_you_mean(name, known)}" if known else
                        "which take none: they say everything themselves, so leave it out")
            raise FormatError(f"{path}: {name!r} is no option for {what} files, {accepted}")
