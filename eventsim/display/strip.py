"""Strip: the graph of a network as one row of boxes, in SVG that a notebook shows inline.

Boxes stand in the order of execution, taller where a node gives more values. Arrows are the edges from a box to
the next one; arcs above are shortcuts, arcs below lead back. Colours are those of `plots`, text and lines have
the page's own, so that the strip is read on white and on black.
"""

import math
from typing import List, NamedTuple, Sequence, Tuple

from eventsim.display.card import cut, times
from eventsim.display.markup import element, Markup
from eventsim.text import many

COLOURS = {  # by role
    "input": "#8a8f98", "synapses": "#0072b2", "attention": "#cc79a7", "transform": "#56b4e9",
    "neurons": "#d55e00", "readout": "#009e73",
}
FIRST, LAST = 16, 7  # boxes shown of a longer network
MOST_ARCS = 40
STEP, WIDTH, HIGHEST, LOWEST = 76, 54, 64, 8  # from box to box, of a box
NAME = 11  # characters


class Box(NamedTuple):
    """A node. reads: (name, delay) of each edge into it."""

    name: str
    kind: str
    role: str
    shape: Tuple[int, ...]
    reads: Sequence[Tuple[str, int]]


def strip(boxes: Sequence[Box]) -> Markup:
    """The picture of boxes in their order; of a long network its first and last ones."""
    places, hidden = _places(boxes)
    arcs = _arcs(boxes, places)
    above, below = _room(reach for reach, _ in arcs if reach > 0), _room(reach for reach, _ in arcs if reach <= 0)
    base = above + HIGHEST
    largest = max(math.log2(math.prod(box.shape) + 1) for box in boxes)
    drawn = [_box(box, places[box.name], base, largest) for box in boxes if box.name in places]
    drawn += [_arrow(place, base) for place in _straight(boxes, places)]
    drawn += [_arc(place, reach, delay, base) for reach, (place, delay) in arcs[:MOST_ARCS]]
    if hidden:
        drawn.append(_text(FIRST * STEP + STEP / 2, base - HIGHEST / 2, f"{hidden} more"))
    width = STEP * (len(places) + bool(hidden))
    height = base + 34 + below
    title = element("title", f"{many(len(boxes), 'node')}, in the order of execution")
    return element("svg", title, *drawn, xmlns="http://www.w3.org/2000/svg", role="img", width=width,
                   height=height, viewBox=f"0 0 {width} {height}", font_family="sans-serif", font_size=10)


def _places(boxes):
    """({name: column}, how many are left out)."""
    hidden = len(boxes) - FIRST - LAST
    if hidden <= 1:
        return {box.name: i for i, box in enumerate(boxes)}, 0
    shown = [*enumerate(boxes[:FIRST]), *enumerate(boxes[-LAST:], FIRST + 1)]
    return {box.name: i for i, box in shown}, hidden


def _edges(boxes, places):
    """(column of the source, column of the target, delay) of the edges between boxes that are shown."""
    for box in boxes:
        if box.name in places:
            yield from ((places[source], places[box.name], delay)
                        for source, delay in box.reads if source in places)


def _straight(boxes, places) -> List[int]:
    return [target for source, target, delay in _edges(boxes, places) if target == source + 1 and not delay]


def _arcs(boxes, places):
    """(columns from the source on, (its column, delay)) of all other edges."""
    return [(target - source, (source, delay)) for source, target, delay in _edges(boxes, places)
            if target != source + 1 or delay]


def _room(reaches):
    """Height that arcs over so many columns need."""
    return max((_bend(reach) for reach in reaches), default=6)


def _bend(reach):
    return min(12 + 9 * abs(reach), HIGHEST)


def _box(box, place, base, largest):
    size = math.log2(math.prod(box.shape) + 1) / max(largest, 1)
    height = LOWEST + (HIGHEST - LOWEST) * size
    left, middle = place * STEP + (STEP - WIDTH) / 2, place * STEP + STEP / 2
    label = cut(f"{box.name}: {box.kind}, {times(box.shape)}", 120)
    return element(
        "g", element("title", label),
        element("rect", x=left, y=round(base - height, 1), width=WIDTH, height=round(height, 1), rx=3,
                fill=COLOURS.get(box.role, COLOURS["transform"]), fill_opacity="0.85"),
        _text(middle, base + 12, cut(box.name, NAME)), _text(middle, base + 24, times(box.shape), "0.7"))


def _text(x, y, text, opacity="1"):
    return element("text", text, x=x, y=y, text_anchor="middle", fill="currentColor", fill_opacity=opacity)


def _arrow(target, base):
    x = target * STEP - (STEP - WIDTH) / 2
    return element("path", d=f"M{x} {base - 4}h{STEP - WIDTH - 4}m-4 -3l4 3l-4 3", fill="none",
                   stroke="currentColor")


def _arc(source, reach, delay, base):
    start, end = source * STEP + STEP / 2, (source + reach) * STEP + STEP / 2
    edge, bend = (base - HIGHEST - 1, -_bend(reach)) if reach > 0 else (base + 28, _bend(reach))
    if not reach:
        start, end = start - 10, end + 10
    path = element("path", d=f"M{start} {edge}C{start} {edge + bend} {end} {edge + bend} {end} {edge}",
                   fill="none", stroke="currentColor", stroke_dasharray="3 2" if delay else None)
    if not delay:
        return path
    return element("g", path, element("title", f"delay of {delay}"))
