"""Style: the sheet that every picture is drawn on, its colours, sizes, words and numbers.

Nothing here touches matplotlib's global settings: pictures are made inside `settings`, and what
matplotlib would read later (ticks are made when drawn) is set on the axes themselves. Lengths are
inches from the top left corner, so that a picture of sixty layers is longer, not smaller.

Colours: M. Okabe and K. Ito, "Color Universal Design", 2008, without yellow and black, which vanish
on one of the backgrounds; for amounts cividis (J. R. Nunez and others, PLoS ONE 13(7), 2018).
"""

import functools
import io
import textwrap
from typing import List, NamedTuple, Sequence, Tuple

import matplotlib.style
import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Polygon
from matplotlib.ticker import FuncFormatter, MaxNLocator

from eventsim import text as wording

BLUE, ORANGE, GREEN = "#0072b2", "#e69f00", "#009e73"
VERMILLION, SKY, PURPLE = "#d55e00", "#56b4e9", "#cc79a7"
VIOLET = "#7d5fc0"  # the end of a scale that begins with SKY and BLUE
CYCLE = (BLUE, VERMILLION, GREEN, ORANGE, PURPLE, SKY)
GREY = "#8a8f98"  # of comparisons; seen on white and on black
NOTHING = "#10141a"  # cells of an amount that is exactly 0
# These two stand for the page's colours; `output.svg` puts CSS variables in their place.
FOREGROUND, GRID = "#1d2126", "#d8dbe0"
BACKGROUND = "#ffffff"

WIDTH = 7.6  # of every picture
RIGHT, TOP = 0.2, 0.15
TITLE, LINE, TEXT, SMALL = 11.0, 0.17, 8.5, 7.5  # points, inches, points, points
CHARACTERS = 132  # of a line of SMALL text across the sheet
LONGEST_NAME = 24
STEP = "step (from 1)"  # what axes say of steps, which arrays and `events()` count from 0
SPACE = "\u00a0"  # between a number and its unit: no line breaks there

SETTINGS = {
    "font.family": ["DejaVu Sans"], "font.size": TEXT, "text.color": FOREGROUND, "text.parse_math": True,
    "axes.edgecolor": FOREGROUND, "axes.labelcolor": FOREGROUND, "axes.facecolor": "none",
    "axes.linewidth": 0.6, "axes.labelsize": TEXT, "axes.unicode_minus": True,
    "xtick.color": FOREGROUND, "ytick.color": FOREGROUND, "lines.linewidth": 1.4,
    "figure.facecolor": BACKGROUND, "savefig.facecolor": BACKGROUND, "figure.dpi": 100, "savefig.dpi": 120,
    "svg.fonttype": "none", "svg.hashsalt": "eventsim", "pdf.fonttype": 42, "image.interpolation": "none",
    "legend.frameon": False, "legend.fontsize": SMALL,
}


def settings():
    """A context in which matplotlib draws as we do, whatever the user's own settings are."""
    return matplotlib.style.context(["default", SETTINGS])


def styled(function):
    """Run a function that draws inside `settings`."""

    @functools.wraps(function)
    def inside(*arguments, **options):
        with settings():
            return function(*arguments, **options)

    return inside


def amounts(n=32):
    """cividis from a colour that differs from NOTHING, for amounts above 0; 0 and nan are NOTHING.
    Few colours keep embedded pictures small, and no eye tells more apart."""
    table = ListedColormap(colormaps["cividis"](np.linspace(0.16, 1, n)), "eventsim-amounts")
    return table.with_extremes(bad=NOTHING, under=NOTHING)


def ink(colour) -> str:
    """Black or white, whichever is read better on a colour (r, g, b, ...) from 0 to 1."""
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in colour[:3]]
    return "#0b0b0b" if np.dot(linear, (0.2126, 0.7152, 0.0722)) > 0.19 else "#fdfdfd"


# ---- words and numbers


def plain_label(text) -> str:
    """A name in one line as it is read: whitespace and what cannot be printed become one space, and
    a dollar sign stays one (matplotlib would set the text as mathematics)."""
    seen = "".join(c if c.isprintable() else " " for c in str(text))
    return " ".join(seen.split()).replace("$", r"\$")


def short(name, longest=LONGEST_NAME) -> str:
    """A name that keeps its ends: `layer1.block2.neuron` -> `layer1.b…neuron`."""
    seen = " ".join("".join(c if c.isprintable() else " " for c in str(name)).split())
    if len(seen) > longest:
        head = (longest - 1) // 2
        seen = seen[:head] + "…" + seen[len(seen) - (longest - 1 - head):]
    return plain_label(seen)


def told_apart(names) -> List[str]:
    """Short names, longer where two would look the same, up to twice the usual length."""
    for longest in range(LONGEST_NAME, 2 * LONGEST_NAME, 4):
        labels = [short(name, longest) for name in names]
        if len(set(labels)) == len(set(names)):
            break
    return labels


def quantity_label(value) -> str:
    """`text.quantity`, typeset: 950, 1.23 k, 34 M."""
    return wording.typeset(wording.quantity(value))


def number_label(value) -> str:
    """`text.number`, typeset: three significant digits."""
    return wording.typeset(wording.number(value))


def percent_label(share) -> str:
    """`text.percent`, typeset."""
    return wording.typeset(wording.percent(share))


def count_label(n, noun) -> str:
    """`1 event`, `2,310 events`."""
    return wording.many(n, noun)


# ---- the sheet


class Sheet(Figure):
    """A Figure that notebooks show, whether or not pyplot was imported."""

    def _repr_png_(self):
        """PNG at twice the size in which it is shown."""
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=2 * self.dpi)
        width, height = (round(self.dpi * inches) for inches in self.get_size_inches())
        return buffer.getvalue(), {"width": width, "height": height}


def sheet(title, notes=(), height=3.0) -> Tuple[Figure, float]:
    """An empty figure with title and notes, `height` inches of room below them; and where that room
    begins. The title says what is seen; a note is a sentence and is broken into lines."""
    notes = [notes] if isinstance(notes, str) else [note for note in notes if note]
    lines = [line for note in notes for line in textwrap.wrap(note, CHARACTERS)]
    heads = textwrap.wrap(str(title), 76)
    start = TOP + 0.21 * len(heads) + LINE * len(lines) + 0.12
    figure = Sheet(figsize=(WIDTH, start + height))
    total = figure.get_figheight()
    for i, line in enumerate(heads):
        figure.text(0.15 / WIDTH, 1 - (TOP + 0.21 * i) / total, line, va="top", size=TITLE, weight="bold")
    for i, line in enumerate(lines):
        y = TOP + 0.21 * len(heads) + 0.02 + LINE * i
        figure.text(0.15 / WIDTH, 1 - y / total, line, va="top", size=SMALL)
    # what `output.svg` says to screen readers
    figure.set_label("\n".join([" ".join(heads), *notes]).replace(r"\$", "$"))
    return figure, start


def place(figure, left, top, width, height, **options) -> Axes:
    """Axes at inches from the top left corner of a sheet."""
    total_width, total_height = figure.get_size_inches()
    box = (left / total_width, 1 - (top + height) / total_height, width / total_width, height / total_height)
    return frame(figure.add_axes(box, **options))


def frame(axes) -> Axes:
    """Thin spines at the left and the bottom, small ticks: set here, since ticks are made later."""
    axes.tick_params(which="both", labelsize=SMALL, width=0.6, length=2.5, pad=2, color=FOREGROUND,
                     labelcolor=FOREGROUND)
    axes.tick_params(which="minor", length=1.5, width=0.4)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return axes


def boxed(axes) -> Axes:
    """All four spines, for pictures made of cells."""
    for spine in axes.spines.values():
        spine.set_visible(True)
    return axes


def grid(axes, axis="x") -> Axes:
    """Light lines behind the data."""
    axes.grid(True, which="major", axis=axis, color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    return axes


def whole_ticks(axis, n=8):
    """Ticks of an axis at whole numbers, with thousands as `10 k`."""
    axis.set_major_locator(MaxNLocator(n, integer=True, steps=[1, 2, 5, 10]))
    axis.set_major_formatter(FuncFormatter(lambda value, _: quantity_label(value)))


def indices(axis, n, most=5):
    """Ticks at a few of 0 .. n - 1, evenly spread: of cells."""
    every = next(step * 10**k for k in range(12) for step in (1, 2, 5) if step * 10**k * most >= n)
    axis.set_ticks(range(0, n, every))
    axis.set_major_formatter(FuncFormatter(lambda value, _: quantity_label(value)))


def quantities(axis):
    """Numbers of an axis as `quantity` writes them; none at minor ticks."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: quantity_label(value)))
    axis.set_minor_formatter(FuncFormatter(lambda value, _: ""))


def percents(axis):
    """Numbers of an axis of shares as percent."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: quantity_label(100 * value) + f"{SPACE}%"))


def colourbar(figure, image, left, top, width, height, label, ticks=quantities, extend="neither"):
    """A colour scale beside (tall) or below (wide) a picture."""
    axes = place(figure, left, top, width, height)
    bar = figure.colorbar(image, cax=axes, orientation="vertical" if height > width else "horizontal",
                          extend=extend)
    if image.cmap(0.0)[3] == 1:
        bar.solids.set(edgecolor="face", linewidth=0.5)  # or renderers leave gaps between the colours
    bar.outline.set_linewidth(0.6)
    bar.outline.set_edgecolor(FOREGROUND)
    axis = axes.yaxis if height > width else axes.xaxis
    ticks(axis)
    axes.minorticks_off()
    bar.set_label(label, size=SMALL)
    frame(axes)
    return bar


def empty(title, sentence) -> Figure:
    """A sheet that says in words why there is nothing to see."""
    figure, start = sheet(title, (), 0.7)
    figure.text(0.15 / WIDTH, 1 - (start + 0.25) / figure.get_figheight(), sentence, size=TEXT, va="center")
    figure.set_label(f"{figure.get_label()}\n{sentence}")
    return figure


def say(axes, sentence):
    """A sentence in the middle of axes without data."""
    axes.text(0.5, 0.5, sentence, transform=axes.transAxes, ha="center", va="center", size=SMALL)


# ---- a row per layer


def margin(labels) -> float:
    """Inches at the left that tick labels need."""
    return 0.35 + 0.068 * max(map(len, labels), default=0)


class LayerRows(NamedTuple):
    """A sheet with one row per layer: panels side by side, then columns of text."""

    figure: Figure
    panels: Tuple[Axes, ...]  # y runs from -0.5 at the top; row i is centred at i
    left: float               # where the rows begin, inches
    top: float
    height: float             # of all rows, inches
    notes: Axes


COLUMN = 0.7  # inches, of a column of text


def rows(names: Sequence[str], title, notes=(), widths=(1.0,), headings=(), below=0.55) -> LayerRows:
    """Lay out a row per name. widths: of the panels, relative; headings: of the columns of text."""
    height = len(names) * (0.36 if len(names) <= 16 else 0.24)
    figure, start = sheet(title, notes, 0.24 + height + below)
    top = start + (0.24 if headings else 0.1)
    labels = told_apart(names)
    left = margin(labels)
    room = WIDTH - left - RIGHT - COLUMN * len(headings) - 0.2 * (len(widths) - 1)
    panels = []
    for i, width in enumerate(widths):
        width = room * width / sum(widths)
        axes = place(figure, left, top, width, height)
        axes.set_ylim(len(names) - 0.5, -0.5)
        if i == 0:
            axes.set_yticks(range(len(names)), labels)
        else:
            axes.set_yticks([])
        axes.tick_params(axis="y", length=0)
        panels.append(axes)
        left += width + 0.2
    text = place(figure, left - 0.2, top, max(COLUMN * len(headings), 0.01), height)
    text.set_ylim(len(names) - 0.5, -0.5)
    text.set_xlim(0, max(len(headings), 1))
    text.axis("off")
    for i, heading in enumerate(headings):
        text.text(i + 1, -0.62, heading, ha="right", va="bottom", size=SMALL)
    return LayerRows(figure, tuple(panels), margin(labels), top, height, text)


def cells(notes: Axes, row: int, texts: Sequence[str], alarming=()) -> None:
    """The columns of text of one row; those numbered in `alarming` are bold, in VERMILLION."""
    for i, text in enumerate(texts):
        marked = {"color": VERMILLION, "weight": "bold"} if i in alarming else {}
        notes.text(i + 1, row, text, ha="right", va="center", size=SMALL, **marked)


def ridge(axes, row, edges, heights, colour=BLUE):
    """A histogram standing in a row; `heights` from 0 to 1 of the row."""
    bottom = row + 0.44
    top = bottom - 0.86 * np.repeat(np.asarray(heights, float), 2)
    outline = np.column_stack([np.repeat(edges, 2), np.concatenate([[bottom], top, [bottom]])])
    axes.add_patch(Polygon(outline, facecolor=colour, linewidth=0))


def baselines(axes, n):
    """The lines on which the histograms of n rows stand."""
    y = np.repeat(np.arange(n) + 0.44, 3)
    y[2::3] = np.nan  # the pen is lifted
    axes.plot(np.tile([0, 1, 1], n), y, color=GRID, linewidth=0.6, zorder=0.5,
              transform=axes.get_yaxis_transform())
