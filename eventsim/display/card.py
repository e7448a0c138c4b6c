"""Card: what an object shows of itself, as text for `repr` and as HTML for notebooks.

A card is short however large its object is: it shows the first rows of a table and says how many there are.
Names come from files that anybody may have made: in HTML they are escaped, in text nothing in them steers a
terminal.
"""

import re
from dataclasses import dataclass
from typing import Optional, Sequence, Tuple

from eventsim.display.markup import element, joined, Markup
from eventsim.text import all_digits, justified, lines_of, many, n_cells, printable, shortened

MOST_ROWS = 10  # of a table; the last of a longer one says how many are left
MOST_LINES = 19  # of a text
WIDTH = 100  # cells of a line
LONGEST = 28  # cells of a name in a table, 80 elsewhere
CELL = "padding: 1px 10px 1px 0; text-align"
FIGURE = "overflow-x: auto; margin: 0.4em 0"
_NUMBER = re.compile(r"([-<>]? ?\d|-$|$|inf|nan)")


@dataclass(frozen=True)
class Card:
    """title: one line. facts: (name, value); names are ours. columns, rows: of a table, as text; n_rows: how many
    there are in all, None: those. picture: of HTML only. note: a sentence."""

    title: str
    facts: Sequence[Tuple[str, object]] = ()
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[object]] = ()
    n_rows: Optional[int] = None
    picture: Optional[Markup] = None
    note: str = ""

    def as_text(self) -> str:
        """Return at most 19 lines of 100 cells of a terminal."""
        facts = "; ".join(f"{name} {cut(value, 80)}" for name, value in self.facts)
        lines = [cut(self.title, WIDTH), *lines_of(facts, WIDTH, max_lines=3, placeholder=" ...")]
        if self.rows:
            lines += self._table()
        if self.note:
            lines += lines_of(printable(self.note), WIDTH, max_lines=2, placeholder=" ...")
        return "\n".join(lines[:MOST_LINES])

    def _table(self):
        shown = [[cut(cell) for cell in row] for row in (self.columns, *self.rows[:MOST_ROWS])]
        widths = [max(n_cells(row[i]) for row in shown) for i in range(len(self.columns))]
        n = len(widths)
        while n > 1 and sum(widths[:n]) + 2 * (n - 1) > WIDTH:
            n -= 1
        lines = [[justified(*column) for column in zip(row[:n], widths, self._numbers())] for row in shown]
        lines.insert(1, ["-" * width for width in widths[:n]])
        table = ["  ".join(line).rstrip() for line in lines]
        left = [self._left(), f"{many(len(widths) - n, 'column')} more" if n < len(widths) else ""]
        return table + [f"... {', '.join(filter(None, left))}"] * any(left)

    def _numbers(self):
        """Which columns are of numbers, and stand to the right."""
        return [all(_NUMBER.match(cut(row[i])) for row in self.rows[:MOST_ROWS]) for i in range(len(self.columns))]

    def _left(self):
        n = len(self.rows) if self.n_rows is None else self.n_rows
        left = n - min(len(self.rows), MOST_ROWS)
        return f"{all_digits(left)} more {'row' if left == 1 else 'rows'}" if left else ""

    def as_html(self) -> str:
        """Return the same with the picture, in an element that brings its style along."""
        parts = [element("div", element("b", cut(self.title, WIDTH)))]
        if self.facts:
            words = [part for name, value in self.facts
                     for part in (f"{name}\u00a0", element("b", cut(value, 80)), "; ")][:-1]
            parts.append(element("div", *words, style="opacity: 0.85; max-width: 60em"))
        if self.picture is not None:
            parts.append(element("div", self.picture, style=FIGURE))
        if self.rows:
            parts.append(self._html_table())
        if self.note:
            parts.append(element("div", printable(self.note), style="opacity: 0.85"))
        return str(element("div", *parts, class_="eventsim-card"))

    def _html_table(self):
        def row(name, cells):
            return element("tr", *(element(name, cut(cell, 80), style=f"{CELL}: {'right' if number else 'left'}")
                                   for cell, number in zip(cells, numbers)))

        numbers = self._numbers()
        table = element("table", element("thead", row("th", self.columns)),
                        element("tbody", *(row("td", cells) for cells in self.rows[:MOST_ROWS])))
        left = self._left()
        more = element("div", f"... {left}", style="opacity: 0.85") if left else None
        return joined([element("div", table, style=FIGURE), more])


class Shown:
    """What shows itself by a card: `repr` gives its text, a notebook its HTML."""

    def card(self) -> Card:
        """What is shown of it."""
        raise NotImplementedError

    def __repr__(self):
        try:
            return self.card().as_text()
        except AttributeError:  # in a debugger, while it is being made
            return f"<{type(self).__name__}, incomplete>"

    def _repr_html_(self):
        return self.card().as_html()


def cut(text, longest=LONGEST) -> str:
    """Return text in one line that takes at most `longest` cells, without control characters."""
    return shortened(printable(str(text)[: 4 * longest]), longest, "...")


def times(shape) -> str:
    """A shape as people read it: 16x8x8."""
    return "x".join(map(str, shape)) or "1"
