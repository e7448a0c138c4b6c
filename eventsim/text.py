"""Wording: numbers, running text and tables as people read them, in ASCII, since terminals differ."""

import math

NONE = "-"  # of a number that is undefined
SPACES = "\u00a0\u202f"  # at which no line breaks: harmless, though Python does not call them printable


def quantity(value) -> str:
    """Return a number in three digits and a size: 950, 1.23 k, 34 M."""
    if value is None or not math.isfinite(value):
        return NONE
    for size, unit in ((1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(value) >= 0.9995 * size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


def number(value, digits=3) -> str:
    """Return a number with so many significant digits."""
    return NONE if value is None or not math.isfinite(value) else f"{value:.{digits}g}"


def decimals(value, n) -> str:
    """Return a number with so many digits after the point."""
    return NONE if value is None or not math.isfinite(value) else f"{value:.{n}f}"


def percent(share) -> str:
    """Return a share in percent, in two or three digits. What is above 0 is never printed as 0, and what is below
    1 never as 100."""
    if share is None or not math.isfinite(share):
        return NONE
    value = 100 * share
    if 0 < value < 0.05:
        return "< 0.1 %"
    if 99.95 <= value < 100:
        return "> 99.9 %"
    return f"{value:.1f} %" if 0 < value < 9.95 or 99 < value < 100 else f"{value:.0f} %"


def share_decimals(share, n) -> str:
    """Return a share with so many digits after the point. As in `percent`, what is above 0 is never printed as 0,
    and what is below 1 never as 1: < 0.0001, > 0.9999."""
    return _within(share, n, 1)


def share_percent(share, n=2) -> str:
    """Return a share in percent with so many digits after the point, as accuracies are written: 99.67 %,
    > 99.99 %."""
    text = NONE if share is None else _within(100 * share, n, 100)
    return text if text == NONE else f"{text} %"


def _within(value, n, total):
    text, least = decimals(value, n), 10.0**-n
    if text != NONE and value > 0 and float(text) == 0:
        return f"< {decimals(least, n)}"
    if text != NONE and value < total and float(text) == total:
        return f"> {decimals(total - least, n)}"
    return text


def joule(value) -> str:
    """Return an energy in three digits and a unit from pJ to J."""
    if value is None or not math.isfinite(value):
        return NONE
    if value == 0:
        return "0 J"
    for size, unit in ((1.0, "J"), (1e-3, "mJ"), (1e-6, "uJ"), (1e-9, "nJ")):
        if value >= 0.9995 * size:
            return f"{value / size:.3g} {unit}"
    return f"{value * 1e12:.3g} pJ"


def all_digits(n) -> str:
    """Return a whole number with all its digits: 2,310."""
    return f"{n:,}"


def many(n, noun) -> str:
    """Return how many things there are: `1 sample`, `2,310 samples`."""
    return f"{all_digits(n)} {noun}{'' if n == 1 else 's'}"


def inflected(n, singular, plural) -> str:
    """Return the form of a word that goes with a number of things: `is`, `are`."""
    return singular if n == 1 else plural


def up_to_steps(n, fewer) -> str:
    """Return how many steps samples had: `8 steps`, or `up to 8 steps` where some had fewer."""
    return ("up to " if fewer else "") + many(n, "step")


def listed(names, most=12) -> str:
    """Return names as messages list them, 'a', 'b', at most so many; "nothing" for none."""
    names = list(names)
    more = f", ... ({all_digits(len(names))} in all)" if len(names) > most else ""
    return (", ".join(map(repr, names[:most])) or "nothing") + more


def typeset(text) -> str:
    """Return a number of this module as paper and screens have it: with a minus sign, a dash for what is
    undefined, the letter mu, and no line break before its unit."""
    if text == NONE:
        return "\u2013"
    text = text.replace(" ", "\u00a0").replace("uJ", "\u00b5J")
    return "\u2212" + text[1:] if text.startswith("-") else text


def printable(text) -> str:
    """Return text in one line in which nothing steers a terminal or hides: what is not printable (control
    characters, line ends, marks that turn the direction of writing, lone surrogates) is written as its code, as in
    a string of
    Python: \\x1b, \\n, \\u202e. A byte of a file's name that is no UTF-8 is written as \\xff."""
    text = str(text)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in SPACES else _code_of(c) for c in text)


def _code_of(character) -> str:
    """Return the code, in ASCII, of a character that is not printable."""
    byte = ord(character) - 0xDC00  # of a name that is no UTF-8, which Python holds so
    return f"\\x{byte:02x}" if 0x80 <= byte <= 0xFF else character.encode("unicode_escape").decode("ascii")


def visible(text, encoding="utf-8") -> str:
    """Return several lines for a stream of that encoding: `printable` but for the line ends, and what the encoding
    lacks is written as its code, too."""
    lines = "\n".join(map(printable, str(text).split("\n")))
    try:
        return lines.encode(encoding, "backslashreplace").decode(encoding)
    except LookupError:  # an encoding that Python does not know
        return lines.encode("ascii", "backslashreplace").decode("ascii")


def nearest(word, known) -> str:
    """Return the known word that was probably meant, or "" where none is near."""
    import difflib  # which takes longer to import than most commands' help

    return next(iter(difflib.get_close_matches(str(word), [str(each) for each in known], 1)), "")


def did_you_mean(word, known) -> str:
    """Return "; did you mean 'x'?", the end of a message about a word that is none of those known, or ""."""
    meant = nearest(word, known)
    return f"; did you mean {meant!r}?" if meant else ""


def wrapped(text, width, indent="") -> str:
    """Return running text in lines of at most `width` cells, all but the first indented; None: as it is."""
    if width is None:
        return text
    return "\n".join("\n".join(lines_of(line, width, subsequent_indent=indent)) for line in text.split("\n"))


SECOND_CELL = "\ufdd0"  # of a wide character while lines are broken: a code that stands for no character


def lines_of(text, width, **options):
    """Return the lines of at most `width` cells into which `textwrap.wrap` breaks one line. options: its own."""
    import textwrap

    doubled = text if text.isascii() else "".join(c + SECOND_CELL * (n_cells(c) == 2) for c in text)
    if doubled != text:
        width = max(width - 1, 1)  # a word that is too long for a line may break between the two
    lines = textwrap.wrap(doubled, width, break_on_hyphens=False, **options)
    return [line.replace(SECOND_CELL, "") for line in lines]


def n_cells(text) -> int:
    """Return how many cells of a terminal a text takes: two for each wide character (W and F of Unicode's UAX 11),
    none for each mark on the character before it."""
    if text.isascii():
        return len(text)
    import unicodedata

    return sum(0 if unicodedata.category(c) in ("Mn", "Me") else 1 + (unicodedata.east_asian_width(c) in "WF")
               for c in text)


def shortened(text, width, end="..") -> str:
    """Return a text that takes at most `width` cells: it is cut, with `end` behind it, where it takes more."""
    if n_cells(text) <= width:
        return text
    text = text[: 4 * max(width, 0)]  # more than fits, of characters with up to three marks
    while text and n_cells(text) > width - len(end):
        text = text[:-1]
    return text + end


def justified(text, width, to_the_right=False) -> str:
    """Return text with as many spaces behind it, or before it, as make it `width` cells wide."""
    space = " " * (width - n_cells(text))
    return space + text if to_the_right else text + space


CUT = ".."  # the end of a cell of a table that is cut
LEAST_CUT = 20  # cells of a terminal to which text is cut before a column is left out


def aligned_table(columns, rows, width=None, drop=(), left=()) -> str:
    """Return aligned text: the first column and those of `left` to the left, the others to the right.

    width: the most cells of a terminal that a line takes; None: any number. What does not fit: the text of `left`
    is cut, then columns are left out, those of `drop` in their order and then from the right on, all but the
    first; a line below says which. """
    rows = [tuple(map(printable, row)) for row in (columns, *rows)]
    kept = list(range(len(columns)))
    order = [columns.index(name) for name in drop if name in columns]
    order += [i for i in reversed(kept[1:]) if i not in order]
    texts = [0, *(i for i in kept[1:] if columns[i] in left)]
    widths = [max(n_cells(row[i]) for row in rows) for i in kept]
    while width is not None and not _fits(widths, kept, texts[1:], width) and order:
        kept.remove(order.pop(0))
    if width is not None:
        widths = _cut(widths, kept, texts, width)
    lines = []
    for row in rows:
        cells = [justified(shortened(row[i], widths[i], CUT), widths[i], i not in texts) for i in kept]
        lines.append("  ".join(cells).rstrip())
    lines.insert(1, "  ".join("-" * widths[i] for i in kept))
    gone = [name for i, name in enumerate(columns) if i not in kept]
    if gone:
        lines.append(wrapped(f"left out, for {width} columns: {', '.join(gone)}", width))
    return "\n".join(lines) + "\n"


def _total(widths, kept):
    return sum(widths[i] for i in kept) + 2 * (len(kept) - 1)


def _fits(widths, kept, texts, width):
    return _total([min(w, LEAST_CUT) if i in texts else w for i, w in enumerate(widths)], kept) <= width


def _cut(widths, kept, texts, width):
    """Return widths that fit: the widest column of text gives way, as far as it takes."""
    widths = list(widths)
    cuttable = [i for i in kept if i in texts]
    while _total(widths, kept) > width and cuttable:
        widest = max(cuttable, key=widths.__getitem__)
        if widths[widest] <= len(CUT) + 1:
            break
        widths[widest] -= 1
    return widths
