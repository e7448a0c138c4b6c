"""Markup: HTML put together so that text is escaped unless it is known to be HTML.

Names of layers, files and classes come from files that anybody may have made: they are text, and stay
text wherever they are put.
"""

import html

from eventsim.text import visible


class Markup(str):
    """HTML, as opposed to text."""


VOID = {"meta", "link", "img"}


def joined(children) -> Markup:
    """Children one after another: Markup as it is, text escaped, None left out."""
    return Markup("".join(
        child if isinstance(child, Markup) else html.escape(visible(child))
        for child in children if child is not None
    ))


def element(name: str, /, *children, **attributes) -> Markup:
    """<name attributes>children</name>.

    A trailing underscore of an attribute is dropped (`class_`), others become hyphens; None and False
    leave the attribute out, True gives it without a value.
    """
    given = ""
    for key, value in attributes.items():
        key = key.rstrip("_").replace("_", "-")
        if value is True:
            given += f" {key}"
        elif value is not None and value is not False:
            given += f' {key}="{html.escape(visible(value))}"'
    start = Markup(f"<{name}{given}>")
    return start if name in VOID else Markup(f"{start}{joined(children)}</{name}>")
