"""Rasters: who sent what when, from ten spikes to ten million.

Few events are marks, drawn one by one; many are the cells of a picture, summed from the bit-planes
(`binning`). Beside both stands what a dense picture hides: each neuron's rate, and who was silent.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import List, NamedTuple, Sequence, Union

import numpy as np
from matplotlib.collections import PolyCollection
from matplotlib.colors import LinearSegmentedColormap, LogNorm, Normalize, to_rgba
from matplotlib.patches import PathPatch
from matplotlib.path import Path

from eventsim import text as wording
from eventsim.arguments import index_of, indices_of, instance_of, members, several, shown
from eventsim.errors import DataError
from eventsim.plots import style
from eventsim.plots.binning import bin_spikes, Binned, summed
from eventsim.spikes import count_events, events_of, Spikes

MOST_NODES = 6  # of a recording
MARKS = 2000  # events; with more, marks overlap and the file grows
ROWS, COLUMNS = 280, 420  # cells of the picture of one layer; of several, half the rows
PANEL = (2.9, 1.5)  # inches high: one layer alone, one of several


class _Panel(NamedTuple):
    """What is drawn of one node."""

    name: str
    spikes: Spikes
    samples: List[int]
    numbers: List[int]  # what the samples are called
    ends: List[int]     # steps of the samples up to each, itself included
    n_neurons: int
    n_events: int
    binned: Binned

    @property
    def n_steps(self) -> int:
        """Of all samples together."""
        return self.ends[-1] if self.ends else 0

    @property
    def exact(self) -> bool:
        """Whether every neuron and step has a cell of its own."""
        return self.binned.levels.shape == (self.n_neurons, self.n_steps)

    def as_marks(self, most, height) -> bool:
        """Whether marks are few, and seldom hide one another on a panel so many inches high."""
        covered = self.n_neurons * 1.4 / (72 * height)  # rows that a mark of 1.4 points covers
        chances = self.n_neurons * self.n_steps
        return self.n_events <= most and (covered <= 1 or self.n_events * covered <= 0.2 * chances)


@style.styled
def raster(spikes, sample: Union[int, Sequence[int]] = 0, name: str = "", marks: int = MARKS,
           numbers: Sequence[int] = (), note: str = ""):
    """Figure of the spikes of one node, or of several: a Recording, of which the first six nodes are drawn,
    `recording["name"]`, Spikes, or a mapping of names to Spikes.

    sample: index, or several whose steps follow one another. marks: the most events that are drawn as
    marks, taller and darker with their level. More, and those of so many neurons that marks would hide
    one another, are drawn as cells: of one neuron and step where there is room for each, else with the
    mean |level| per neuron and step. numbers: what the samples are called; () their indices. note: a last
    line below the title. Raises DataError for samples that are not there.
    """
    nodes, left = _nodes(spikes, instance_of(name, str, "name", "text"))
    left = [*left, instance_of(note, str, "note", "text")]
    samples, marks = indices_of(sample, "sample"), index_of(marks, "marks")
    numbers = list(several(numbers, "numbers", "what the samples are called, one of each")) or samples
    if len(numbers) != len(samples):
        raise DataError(f"numbers has {len(numbers)} names for {style.count_label(len(samples), 'sample')}: give "
                        "one for each, or none")
    rows = ROWS if len(nodes) == 1 else ROWS // 2
    panels = [_measured(name, node, samples, numbers, rows) for name, node in nodes.items()]
    if not panels or not samples:
        return style.empty("Spikes", "Nothing to show: no node or no sample was chosen.")
    height = PANEL[0] if len(panels) == 1 else PANEL[1]
    steps = 0.75 if len(panels) == 1 else 0.0
    figure, top = style.sheet(_title(panels, numbers), _notes(panels, marks) + left,
                              steps + len(panels) * (height + 0.32) + 0.3)
    keyed = any(panel.spikes.bits > 1 or panel.spikes.signed or not panel.exact for panel in panels)
    width = style.WIDTH - MARGIN - style.RIGHT - SILENT - RATES - (1.15 if keyed else 0.15)
    if steps:
        _draw_steps(figure, panels[0], width, top)
    for i, panel in enumerate(panels):
        place = top + steps + i * (height + 0.32) + 0.12
        _draw(figure, panel, (place, width, height), marks, i == 0, i == len(panels) - 1)
    return figure


def _nodes(given, name):
    """(name -> Spikes, notes on what is left out)."""
    spikes = getattr(given, "spikes", given)  # of a Recording, or of one node of it
    if isinstance(spikes, Spikes):
        return {name or getattr(given, "name", ""): spikes}, []
    if not isinstance(spikes, Mapping):
        raise DataError(f"spikes is {shown(given)}, expected a Recording, a node of one, Spikes, or a mapping of "
                        "names to Spikes")
    spikes = members(spikes, Spikes, "spikes")
    if isinstance(given, Mapping) or len(spikes) <= MOST_NODES:
        return spikes, []
    return {name: spikes[name] for name in list(spikes)[:MOST_NODES]}, [
        f"The first {MOST_NODES} of {style.count_label(len(spikes), 'node')}; "
        'raster(recording["name"]) draws one.']


def _measured(name, spikes, samples, numbers, rows):
    n, n_steps = spikes.planes.shape[:2]
    for s in samples:
        if not -n <= s < n:
            raise DataError(f"no sample {s} among the {style.count_label(n, 'sample')} of {name or 'these spikes'}"
                            f": choose one from 0 to {n - 1}")
    n_neurons = spikes.shape[0] * spikes.planes.shape[3]
    lengths = [n_steps if spikes.lengths is None else int(spikes.lengths[s]) for s in samples]
    if samples and min(lengths) < n_steps:
        spikes, samples = _on_end(spikes, samples, lengths), [0]
    return _Panel(name, spikes, samples, numbers, np.cumsum(lengths).tolist(), n_neurons,
                  count_events(spikes, samples), bin_spikes(spikes, samples, rows, COLUMNS))


def _on_end(spikes, samples, lengths):
    """The steps that the samples had, as of one sample."""
    planes = np.concatenate([spikes.planes[s, :length] for s, length in zip(samples, lengths)])
    return replace(spikes, planes=planes[None], lengths=None)


def _silent(panel) -> int:
    return int((panel.binned.events == 0).sum())


def _title(panels, samples):
    which = f"sample {samples[0]}" if len(samples) == 1 else f"{len(samples)} samples"
    if len(panels) == 1:
        return f"Spikes of {style.short(panels[0].name, 44)}, {which}" if panels[0].name else f"Spikes, {which}"
    return f"Spikes of {len(panels)} layers, {which}"


def _notes(panels, marks):
    if len(panels) > 1:
        events = sum(panel.n_events for panel in panels)
        return [f"{style.count_label(events, 'event')}; per layer, in brackets: neurons that never fired here."]
    [panel] = panels
    chances = panel.n_neurons * panel.n_steps
    rate = panel.n_events / chances if chances else np.nan
    notes = [
        f"{style.count_label(panel.n_events, 'event')} of {style.count_label(panel.n_neurons, 'neuron')} in "
        f"{style.count_label(panel.n_steps, 'step')}: {style.percent_label(rate)} of "
        f"all neurons and steps. Silent: {style.count_label(_silent(panel), 'neuron')} "
        f"({style.percent_label(_silent(panel) / panel.n_neurons if panel.n_neurons else np.nan)})."
    ]
    rows, columns = panel.binned.levels.shape
    if not panel.exact and not panel.as_marks(marks, PANEL[0]):
        notes.append(f"A cell is the mean of up to {style.count_label(-(-panel.n_neurons // rows), 'neuron')} and "
                     f"{style.count_label(-(-panel.n_steps // columns), 'step')}.")
    return notes


# ---- parts, in inches
MARGIN, RATES, SILENT = 1.1, 0.75, 0.1


def _draw_steps(figure, panel, width, top):
    """Above the raster: the share of neurons that fire in each step."""
    axes = style.place(figure, MARGIN, top + 0.05, width, 0.55)
    share = panel.binned.by_step / max(panel.n_neurons, 1)
    edges = panel.binned.step_edges
    if len(edges) - 1 < len(share):
        share = np.add.reduceat(share, edges[:-1]) / np.diff(edges)
    if len(share):
        axes.stairs(share, edges, fill=True, color=style.BLUE, linewidth=0)
    axes.set_xlim(0, max(panel.n_steps, 1))
    axes.set_ylim(0, share.max(initial=0) * 1.05 or 1)
    axes.set_ylabel("firing (%)")
    axes.yaxis.set_major_formatter(lambda value, _: style.number_label(100 * value))
    axes.locator_params(axis="y", nbins=2)
    axes.set_xticks([])


def _draw(figure, panel, room, marks, first, last):
    top, width, height = room
    axes = style.boxed(style.place(figure, MARGIN, top, width, height))
    axes.set_xlim(0, max(panel.n_steps, 1))
    axes.set_ylim(max(panel.n_neurons, 1), 0)
    axes.set_ylabel("neuron")
    style.whole_ticks(axes.yaxis, 6 if height > 2 else 4)
    _name_steps(axes, panel, last)
    if height == PANEL[1]:
        silent = f" ({wording.all_digits(_silent(panel))} of {wording.all_digits(panel.n_neurons)} silent)"
        axes.set_title(style.short(panel.name, 40) + silent, size=style.SMALL, loc="left", pad=2)
    strip = MARGIN + width + 0.04
    beside = (strip + SILENT + RATES + 0.2, top, height)
    if panel.n_events == 0:
        style.say(axes, "no neuron fired")
    elif panel.as_marks(marks, height):
        _draw_marks(figure, axes, panel, beside)
    elif panel.exact:
        _draw_exact(figure, axes, panel, beside)
    else:
        _draw_cells(figure, axes, panel, beside)
    _draw_silent(figure, panel, strip, top, height, first)
    _draw_rates(figure, panel, strip + SILENT + 0.06, top, height, last)


def _name_steps(axes, panel, last):
    """Ticks at steps 1 .. T in the middle of their cells; between samples, lines and their numbers."""
    numbers, n_steps = panel.numbers, panel.n_steps
    if len(numbers) > 1:
        lengths = np.diff(panel.ends, prepend=0)
        for end in panel.ends[:-1]:
            axes.axvline(end, color=style.GREY, linewidth=0.5)
        every = -(-len(numbers) // 20)
        axes.set_xticks((panel.ends - lengths / 2)[::every], [f"{number}" for number in numbers[::every]])
        few, most = int(lengths.min()), style.count_label(int(lengths.max()), "step")
        axes.set_xlabel("" if not last else f"sample, {most} each" if few == lengths.max()
                        else f"sample, {few} to {most} each")
    elif n_steps <= 20:
        axes.set_xticks(np.arange(n_steps) + 0.5, [f"{i + 1}" for i in range(n_steps)])
        axes.set_xlabel(style.STEP if last else "")
    else:
        style.whole_ticks(axes.xaxis)
        ticks = [int(number) for number in axes.xaxis.get_major_locator().tick_values(1, n_steps)
                 if 1 <= number <= n_steps]
        axes.set_xticks(np.array(ticks) - 0.5, [style.quantity_label(number) for number in ticks])
        axes.set_xlabel(style.STEP if last else "")
    if not last:
        axes.set_xticklabels([])


def _groups(levels):
    """The levels themselves, or, beyond eight, borders of groups of them: the largest of each."""
    present = np.unique(np.abs(levels[levels != 0]))
    if len(present) <= 8:
        return present
    return np.unique(np.round(np.geomspace(1, present[-1], 8)).astype(np.int64))


def _colours(n_levels):
    """From faint to strong, yet seen on white and on black."""
    ramp = LinearSegmentedColormap.from_list("eventsim-levels", (style.SKY, style.BLUE, style.VIOLET))
    return ramp(np.linspace(0, 1, n_levels)) if n_levels > 1 else np.array([to_rgba(style.BLUE)])


def _draw_marks(figure, axes, panel, beside):
    step, neuron, level = events_of(panel.spikes, panel.samples)
    width, height = axes.get_position().size * figure.get_size_inches() * 72  # points
    half_width = np.clip(0.4 * width / panel.n_steps, 0.5, 4) / width * panel.n_steps
    if panel.n_steps <= 40:
        half_width = 0.42  # of a step
    half_height = np.clip(0.45 * height / panel.n_neurons, 0.7, 8) / height * panel.n_neurons
    groups = _groups(level)
    group = np.searchsorted(groups, np.abs(level))
    colours = _colours(len(groups))
    for i in range(len(groups)):
        tall = half_height * (0.45 + 0.55 * (i + 1) / len(groups))
        for sign in (1, -1):
            chosen = (group == i) & (np.sign(level) == sign)
            if chosen.any():
                colour = colours[i] if sign > 0 else style.VERMILLION
                axes.add_patch(_marks(step[chosen] + 0.5, neuron[chosen] + 0.5, half_width, tall, colour))
    if panel.spikes.bits > 1 or panel.spikes.signed:
        _name_levels(figure, groups, colours, panel.spikes.signed, beside)


def _draw_exact(figure, axes, panel, beside):
    """A cell for every neuron and step, in the colours of the marks."""
    step, neuron, level = events_of(panel.spikes, panel.samples)
    groups = _groups(level)
    colours = _colours(len(groups))
    picture = np.zeros((panel.n_neurons, panel.n_steps, 4))
    picture[neuron, step] = colours[np.searchsorted(groups, np.abs(level))]
    picture[neuron[level < 0], step[level < 0]] = to_rgba(style.VERMILLION)
    axes.imshow(picture, extent=(0, panel.n_steps, panel.n_neurons, 0), aspect="auto", interpolation="none",
                zorder=0.8)
    if panel.spikes.bits > 1 or panel.spikes.signed:
        _name_levels(figure, groups, colours, panel.spikes.signed, beside)


def _marks(x, y, half_width, half_height, colour):
    """All marks of a level as one patch: a mark of its own each would be a tag each in the file."""
    corners = np.stack([
        np.stack([x + dx * half_width, y + dy * half_height], -1)
        for dx, dy in ((-1, -1), (1, -1), (1, 1), (-1, 1), (-1, -1))
    ], 1).reshape(-1, 2)
    codes = np.tile([Path.MOVETO, Path.LINETO, Path.LINETO, Path.LINETO, Path.CLOSEPOLY], len(x))
    return PathPatch(Path(corners, codes), facecolor=colour, edgecolor="none", linewidth=0)


def _name_levels(figure, groups, colours, signed, beside):
    """The key of the marks' sizes and colours."""
    left, top, _ = beside
    axes = style.place(figure, left, top, 0.9, 0.16 * (len(groups) + 1 + signed))
    axes.axis("off")
    axes.set_xlim(0, 1)
    axes.set_ylim(len(groups) + 0.5 + signed, -1)
    axes.text(0, -0.5, "|level|" if signed else "level", size=style.SMALL, va="center")
    low = 1
    entries = []
    for colour, high in zip(colours, groups):
        entries.append((colour, f"{high}" if high <= low else f"{low} – {high}"))
        low = high + 1
    entries += [(style.VERMILLION, "negative")] * signed
    for i, (colour, text) in enumerate(entries):
        size = 0.3 * (0.45 + 0.55 * min(i + 1, len(groups)) / len(groups))
        corners = [(0, i + 0.5 - size), (0.12, i + 0.5 - size), (0.12, i + 0.5 + size), (0, i + 0.5 + size)]
        axes.add_collection(PolyCollection([corners], facecolors=[colour], linewidths=0))
        axes.text(0.22, i + 0.5, text, size=style.SMALL, va="center")


def _draw_cells(figure, axes, panel, beside):
    values = panel.binned.levels
    present = values[values > 0]
    highest = np.quantile(present, 0.998)  # a few full cells would darken all the others
    # where most cells are far below the fullest, an even scale would show them all alike
    even = np.median(present) >= highest / 12
    norm = Normalize(0, highest) if even else LogNorm(present.min(), highest)
    image = axes.imshow(np.where(values > 0, values, np.nan), extent=(0, panel.n_steps, panel.n_neurons, 0),
                        aspect="auto", norm=norm, cmap=style.amounts(), interpolation="none", zorder=0.8)
    left, top, height = beside
    binary = panel.spikes.bits == 1
    style.colourbar(figure, image, left + 0.02, top, 0.12, min(height, 2.2),
                    ("share of neurons that fire" if binary else "mean |level| per neuron and step")
                    if height > 2 else "share firing" if binary else "mean |level|",
                    style.percents if binary else style.quantities,
                    "max" if present.max() > highest else "neither")


def _draw_silent(figure, panel, left, top, height, first):
    """A strip: the share of silent neurons in each row of the raster."""
    axes = style.boxed(style.place(figure, left, top, SILENT, height))
    rows = panel.binned.neuron_edges
    if panel.n_neurons:
        silent = summed(panel.binned.events == 0, rows) / np.diff(rows)
        none = style.VERMILLION + "00"
        ramp = LinearSegmentedColormap.from_list("eventsim-silent", [none, style.VERMILLION], 16)
        axes.imshow(silent[:, None], extent=(0, 1, panel.n_neurons, 0), aspect="auto", vmin=0, vmax=1,
                    cmap=ramp, interpolation="none")
    axes.set_xticks([])
    axes.set_yticks([])
    if first:
        axes.set_title("silent", size=style.SMALL, color=style.VERMILLION, pad=2)


def _draw_rates(figure, panel, left, top, height, last):
    """Each neuron's rate, or the mean of those that share a row."""
    axes = style.place(figure, left, top, RATES, height)
    axes.set_ylim(max(panel.n_neurons, 1), 0)
    axes.set_yticks([])
    rows = panel.binned.neuron_edges
    if panel.n_neurons and panel.n_steps:
        rates = summed(panel.binned.events, rows) / (np.diff(rows) * panel.n_steps)
        axes.stairs(rates, rows, orientation="horizontal", fill=True, color=style.BLUE, linewidth=0)
        axes.set_xlim(0, rates.max() * 1.05 or 1)
    axes.locator_params(axis="x", nbins=2)
    axes.xaxis.set_major_formatter(lambda value, _: style.number_label(value))
    axes.set_xlabel("events per step" if last else "", size=style.SMALL)
