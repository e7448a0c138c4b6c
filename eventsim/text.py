"""Wording: numbers as people read them, in ASCII, since terminals differ."""

import math

NONE = "-"  # of a number that is undefined
SPACES = "\u00a0\u202f"  # at which no line breaks: harmless, though Python does not call them printable


def quantity(value) -> str:
    """Three digits and a size: 950, 1.23 k, 34 M."""
    if value is None or not math.isfinite(value):
        return NONE
    for size, unit in ((1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(value) >= 0.9995 * size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


def number(value, digits=3) -> str:
    """So many significant digits."""
    return NONE if value is None or not math.isfinite(value) else f"{value:.{digits}g}"


def decimals(value, n) -> str:
    """So many digits after the point."""
    return NONE if value is None or not math.isfinite(value) else f"{value:.{n}f}"


def percent(share) -> str:
    """A share in percent, of two or three digits. What is above 0 is never printed as 0, and what is below
    1 never as 100."""
    if share is None or not math.isfinite(share):
        return NONE
    value = 100 * share
    if 0 < value < 0.05:
        return "< 0.1 %"
    if 99.95 <= value < 100:
        return "> 99.9 %"
    return f"{value:.1f} %" if 0 < value < 9.95 or 99 < value < 100 else f"{value:.0f} %"


def joule(value) -> str:
    """Three digits and a unit from pJ to J."""
    if value is None or not math.isfinite(value):
        return NONE
    if value == 0:
        return "0 J"
    for size, unit in ((1.0, "J"), (1e-3, "mJ"), (1e-6, "uJ"), (1e-9, "nJ")):
        if value >= 0.9995 * size:
            return f"{value / size:.3g} {unit}"
    return f"{value * 1e12:.3g} pJ"


def all_digits(n) -> str:
    """A whole number with all its digits: 2,310."""
    return f"{n:,}"


def many(n, noun) -> str:
    """`1 sample`, `2,310 samples`."""
    return f"{all_digits(n)} {noun}{'' if n == 1 else 's'}"


def listed(names, most=12) -> str:
    """Names as messages list them, 'a', 'b', at most so many; "nothing" for none."""
    names = list(names)
    more = f", ... ({all_digits(len(names))} in all)" if len(names) > most else ""
    return (", ".join(map(repr, names[:most])) or "nothing") + more


def typeset(text) -> str:
    """A number of this module, as paper and screens have it: with a minus sign, a dash for what is undefined,
    the letter mu, and no line break before its unit."""
    if text == NONE:
        return "\u2013"
    text = text.replace(" ", "\u00a0").replace("uJ", "\u00b5J")
    return "\u2212" + text[1:] if text.startswith("-") else text


def printable(text) -> str:
    """Text in one line in which nothing steers a terminal or hides: what is not printable (control characters, line
    ends, marks that turn the direction of writing, lone surrogates) is written as its code, as in a string of
    Python: \\x1b, \\n, \\u202e. A byte of a file's name that is no UTF-8 is written as \\xff."""
    text = str(text)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in SPACES else _code_of(c) for c in text)


def _code_of(character) -> str:
    """A character that is not printable as ASCII."""
    byte = ord(character) - 0xDC00  # of a name that is no UTF-8, which Python holds so
    return f"\\x{byte:02x}" if 0x80 <= byte <= 0xFF else character.encode("unicode_escape").decode("ascii")


def visible(text, encoding="utf-8") -> str:
    """Several lines for a stream of that encoding: `printable` but for the line ends, and what the encoding lacks
    is written as its code, too."""
    lines = "\n".join(map(printable, str(text).split("\n")))
    try:
        return lines.encode(encoding, "backslashreplace").decode(encoding)
    except LookupError:  # an encoding that Python does not know
        return lines.encode("ascii", "backslashreplace").decode("ascii")


def aligned_table(columns, rows) -> str:
    """Aligned text, a line for each row: first column to the left, the others to the right."""
    rows = [[printable(cell) for cell in row] for row in (columns, *rows)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(columns))]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0])] + [c.rjust(w) for c, w in zip(row[1:], widths[1:])]
        lines.append("  ".join(cells).rstrip())
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines) + "\n"
