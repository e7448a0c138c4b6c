"""The pictures of the page: which, and in how many bytes."""

import base64
import io
from typing import List, NamedTuple, Tuple

from eventsim.errors import EventsimError
from eventsim.page.markup import Markup, element

# kind of plot -> the sentence below it, in the order of the page
CAPTIONS = {
    "rates": "How often neurons fire: silent neurons and always firing ones stand at the ends.",
    "operations": "Where the work is: additions beside what dense layers would do.",
    "accuracy": "How soon the answer is right, and how soon it changes no more.",
    "levels": "How often each level is sent: a high last bar is a clipped layer.",
    "planes": "What each bit carries: a plane that is hardly ever set costs and says little.",
    "membranes": "Where potentials are, beside the threshold: far from it they never decide anything.",
    "drift": "How far potentials go from step to step: what grows steadily is not brought back by firing.",
    "raster": "Spikes of one sample, step by step; rows without marks are silent neurons.",
    "maps": "Where in the image neurons fire, all channels together.",
    "traces": "Potentials of a few neurons, step by step.",
    "intervals": "Steps between two events of a neuron.",
    "correlations": "Which neurons fire together; blocks say the same thing twice.",
    "confusion": "Which classes are taken for which: rows are labels, columns predictions.",
}
# Bytes. A page of 5 MB still opens on a phone; what is too long as SVG, a raster of many spikes, say,
# is shown as pixels, and what does not fit then is left out.
LARGEST_SVG = 400_000
LARGEST = 4_200_000
PIXELS_PER_INCH = 130


class Picture(NamedTuple):
    """kind: of plot. content: <svg> or <img>. caption: a sentence, or ""."""

    kind: str
    content: Markup
    caption: str


def pictures(run) -> Tuple[List[Picture], List[Tuple[str, str]]]:
    """The pictures that the run has something for, and (kind, reason) of the others."""
    from eventsim import plots

    shown, missing, left = [], [], LARGEST
    for kind in (*CAPTIONS, *(kind for kind in plots.KINDS if kind not in CAPTIONS)):
        try:
            figure = plots.KINDS[kind](run)
        except EventsimError as error:
            missing.append((kind, str(error)))
            continue
        content = _content(plots, figure, kind)
        if len(content) > left:
            missing.append((kind, f"too large for one page; run eventsim plot {run.path} {kind}"))
            continue
        left -= len(content)
        shown.append(Picture(kind, content, CAPTIONS.get(kind, "")))
    return shown, missing


def _content(plots, figure, kind):
    text = plots.svg(figure, f"figure-{kind}")
    if len(text.encode()) <= LARGEST_SVG:
        return Markup(text)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=PIXELS_PER_INCH, facecolor="white")
    width, height = (round(inches * PIXELS_PER_INCH) for inches in figure.get_size_inches())
    return element("img", src="data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode(),
                   alt=figure.get_label() or kind, width=width, height=height)

