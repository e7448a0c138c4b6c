"""Streams: what came, which layers fired, and how the decision moved."""

from typing import Sequence

import numpy as np

from eventsim.arguments import several, shown, with_attributes
from eventsim.errors import DataError
from eventsim.plots import style

N_TIMES = 300  # most columns of the picture of events
LEFT, RIGHT_ROOM = 1.35, 1.05  # inches: names of layers and classes, colour scales
HEIGHTS = (1.25, 0.26, 0.2)  # of the events, of a layer, of a class


@style.styled
def stream_course(windows: Sequence, events: np.ndarray, class_names: Sequence[str] = ()):
    """Figure of a stream over time: events by column of the sensor, events of each layer per neuron and step, and
    the scores of the classes with the decision.

    windows: `StreamWindow`s, one after another. events: a block of those that came, with columns t and x.
    class_names: of the model, or ().
    """
    title = "A stream: events, layers and the decision over time"
    windows = list(several(windows, "windows", "StreamWindows, one after another"))
    for window in windows:
        with_attributes(window, ("counts", "scores", "start", "stop", "steps"), "windows has a member that",
                        "a StreamWindow")
    fields = getattr(getattr(events, "dtype", None), "names", None) or ()
    if not {"t", "x"} <= set(fields):
        raise DataError(f"events is {shown(events)}, expected a structured array with the columns t and x")
    class_names = several(class_names, "class_names", "names, one of each class")
    if not windows:
        return style.empty(title, "Nothing to show: the stream gave no window.")
    layers = list(windows[0].counts.layers)
    edges = np.array([windows[0].start, *(window.stop for window in windows)]) * 1e-3
    rates = np.array([[window.counts.firing_rate(name) for window in windows] for name in layers])
    scores = np.array([window.scores for window in windows]).T
    names = [style.short(str(name), 14) for name in (class_names if len(class_names) == len(scores)
                                                     else range(len(scores)))]
    heights = HEIGHTS[0], HEIGHTS[1] * len(layers), HEIGHTS[2] * len(scores)
    longest = max(window.steps for window in windows)
    figure, top = style.sheet(title, [f"{style.count_label(len(windows), 'window')} of "
                                      f"{style.count_label(longest, 'step')}. Dots: the decision."],
                              sum(heights) + 1.0)
    width = style.WIDTH - LEFT - RIGHT_ROOM
    axes = [style.boxed(style.place(figure, LEFT, top + 0.1 + sum(heights[:i]) + 0.2 * i, width, height))
            for i, height in enumerate(heights)]
    images = (_events(axes[0], events, edges), _rates(axes[1], rates, edges, layers),
              _scores(axes[2], scores, edges, names))
    labels = "events", "per neuron and step", "score"
    for i, (image, label) in enumerate(zip(images, labels)):
        axes[i].set_xlim(edges[0], edges[-1])
        if i < 2:
            axes[i].tick_params(labelbottom=False)
        if image is not None:
            style.colourbar(figure, image, LEFT + width + 0.12, top + 0.1 + sum(heights[:i]) + 0.2 * i, 0.1,
                            heights[i], label)
    axes[2].set_xlabel("time (ms)")
    return figure


def _events(axes, events, edges):
    axes.set_ylabel("column (pixel)")
    times = np.linspace(edges[0], edges[-1], min(N_TIMES, 4 * len(edges)) + 1)
    columns = np.arange(-0.5, int(events["x"].max(initial=0)) + 1)
    counted, _, _ = np.histogram2d(events["t"] * 1e-3, events["x"], (times, columns))
    if not counted.any():
        style.say(axes, "no event")
        return None
    image = axes.pcolormesh(times, columns, np.where(counted, counted, np.nan).T, cmap=style.amounts(), vmin=0,
                            rasterized=True)
    axes.set_facecolor(style.NOTHING)
    return image


def _rates(axes, rates, edges, layers):
    axes.set_yticks(range(len(layers)), style.told_apart(layers))
    axes.tick_params(axis="y", length=0)
    if not rates.any():
        style.say(axes, "no layer fired")
        axes.set_ylim(len(layers) - 0.5, -0.5)
        return None
    image = axes.pcolormesh(edges, np.arange(len(layers) + 1) - 0.5, np.where(rates, rates, np.nan),
                            cmap=style.amounts(), vmin=0, rasterized=True)
    axes.set_facecolor(style.NOTHING)
    axes.invert_yaxis()
    return image


def _scores(axes, scores, edges, names):
    image = axes.pcolormesh(edges, np.arange(len(scores) + 1) - 0.5, scores, cmap=style.amounts(), rasterized=True)
    every = -(-len(names) // 25)
    axes.set_yticks(range(0, len(names), every), names[::every])
    axes.plot((edges[1:] + edges[:-1]) / 2, scores.argmax(axis=0), ".", color=style.VERMILLION, markersize=3)
    axes.invert_yaxis()
    return image
