"""The pictures of the page: which, and in how many bytes."""

import base64
import io
from typing import List, NamedTuple, Tuple

from eventsim.errors import EventsimError, RunError
from eventsim.display.markup import element, Markup

# kind of plot -> the sentence below it, in the order of the page
CAPTIONS = {
    "rates": "A layer whose neurons stand at 0 or at 1 says little; a rate that changes from step to step has "
             "not settled.",
    "operations": "Where the work is. Left of its dense mark, a layer saves operations by being event-driven.",
    "accuracy": "How soon the answer is right, and how soon it changes no more: steps after that are spent in "
                "vain.",
    "levels": "Events piled up at a layer's highest level are clipped: their values would have been larger.",
    "planes": "What each bit carries. A plane that is hardly ever set costs a pass over the layer and says "
              "little.",
    "membranes": "Only potentials near a threshold are decided by the next input; those far from all of them "
                 "are not.",
    "drift": "Steady growth means that firing does not bring the potentials back. Some is common without leak.",
    "raster": "Rows without marks are neurons that were silent in this sample.",
    "traces": "A neuron fires where its potential crosses the threshold.",
    "maps": "Dark borders are common where images are; single dark channels do nothing.",
    "intervals": "Regular trains have one interval, and a CV near 0.",
    "correlations": "Neurons that always fire together say the same thing twice.",
    "confusion": "What is off the diagonal is taken for something else.",
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
            figure = plots.KINDS[kind](run, layers=_layers(run, kind))
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


def _layers(run, kind):
    """Layers that a picture is about, None for the kind's own choice. Levels and planes of one bit say
    nothing that rates do not. Raises RunError where no layer has more."""
    trains = run.statistics.trains
    if kind not in ("levels", "planes") or not trains:
        return None
    names = [name for name, train in trains.items() if train.bits > 1]
    if not names:
        raise RunError(f"all layers send spikes of one bit; their {kind} are their rates")
    return names


def _content(plots, figure, kind):
    text = plots.svg(figure, f"figure-{kind}")
    if len(text.encode()) <= LARGEST_SVG:
        return Markup(text)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=PIXELS_PER_INCH, facecolor="white")
    width, height = (round(inches * PIXELS_PER_INCH) for inches in figure.get_size_inches())
    return element("img", src="data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode(),
                   alt=figure.get_label() or kind, width=width, height=height)

