"""Layers: pictures with a row per layer: rates, levels, bit-planes, intervals, operations."""

from typing import Dict

import numpy as np
from matplotlib.colors import Normalize

from eventsim.arguments import instance_of, members
from eventsim.plots import style
from eventsim.statistics.counts import Counts
from eventsim.statistics.trains import TrainStatistics

BINS = 40  # of a histogram in a row


def _of_samples(trains, detailed=False):
    """ "599 samples of 4 steps", of the first train."""
    train = next(iter(trains.values()))
    n = train.n_detailed if detailed else train.n_samples
    return f"{style.count_label(n, 'sample')} of {train.steps_text(detailed)}"


def _recorded(trains, count="n_samples"):
    return {name: train for name, train in trains.items() if getattr(train, count)}


def _tallest(heights):
    """Heights from 0 to 1, the largest being 1."""
    return heights / max(heights.max(initial=0), 1e-300)


@style.styled
def rates(trains: Dict[str, TrainStatistics]):
    """Figure of how often neurons fire: per layer the histogram of its neurons' rates, the rate in each
    step, and the shares of neurons that never fire or always do."""
    title = "How often neurons fire"
    trains = _recorded(members(trains, TrainStatistics, "trains"))
    if not trains:
        return style.empty(title, "Nothing to show: the run kept no statistics of spikes.")
    active = np.concatenate([train.rates[train.rates > 0] for train in trains.values()])
    chances = min(train.chances for train in trains.values())
    wide = chances > 5 * BINS and active.size and np.median(active) < 0.05 * active.max()
    several = next(iter(trains.values())).n_steps > 1
    sheet = style.rows(
        list(trains), title,
        [f"Rates of each layer's neurons over {_of_samples(trains)}. The histograms leave silent neurons out; "
         "| marks the mean of all neurons."],
        (1.6, 1) if several else (1,), ("mean", "silent", "always"), 0.95 if several else 0.6)
    axes = sheet.panels[0]
    lowest = active.min(initial=1.0)
    if wide:
        edges = np.geomspace(lowest, 1, BINS + 1)
        axes.set_xscale("log")
        style.quantities(axes.xaxis)
    else:
        edges = _even_edges(active.max(initial=0), chances)
    axes.set_xlim(edges[0] if wide else 0, min(edges[-1], 1) * 1.01)
    axes.set_xlabel("rate (events per step)")
    style.grid(axes)
    style.baselines(axes, len(trains))
    for i, train in enumerate(trains.values()):
        rate = train.rates[train.rates > 0]
        histogram = np.histogram(np.clip(rate, edges[0], edges[-1]), edges)[0]
        if histogram.any():
            style.ridge(axes, i, edges, _tallest(histogram))
            mean = max(train.rate, axes.get_xlim()[0])
            axes.plot([mean, mean], [i - 0.42, i + 0.44], color=style.VERMILLION, linewidth=1.2)
        else:
            axes.text(axes.get_xlim()[0], i, " no neuron fired", va="center", size=style.SMALL)
        shares = (train.silent_share, train.saturated_share)
        style.cells(sheet.notes, i, [style.number_label(train.rate), *map(style.percent_label, shares)],
                    [1 + k for k in (0, 1) if shares[k] == 1])
    if several:
        _rates_by_step(sheet, trains)
    return sheet.figure


def _even_edges(highest, chances):
    """Edges of about BINS bins up to the highest rate, each with equally many possible rates k / chances."""
    if chances > 20 * BINS:
        return np.linspace(0, max(highest, 1e-9), BINS + 1)
    most = max(round(highest * chances), 1)
    group = max(-(-most // BINS), 1)
    return (np.arange(-(-most // group) + 1) * group + 0.5) / chances


def _rates_by_step(sheet, trains):
    axes = style.boxed(sheet.panels[1])
    by_step = np.array([train.rate_by_step for train in trains.values()])
    n, steps = by_step.shape
    fullest = np.sort(np.nanmax(by_step, axis=1, initial=0))  # nan in steps that no sample had
    above = n > 1 and fullest[-1] > 2 * fullest[-2] > 0  # one layer, often the input, would darken all others
    highest = fullest[-2 if above else -1] or 1.0
    image = axes.imshow(np.where(by_step > 0, by_step, np.nan), extent=(0.5, steps + 0.5, n - 0.5, -0.5),
                        aspect="auto", norm=Normalize(0, highest), cmap=style.amounts(), interpolation="none")
    axes.set_xlim(0.5, steps + 0.5)
    style.whole_ticks(axes.xaxis, 6)
    axes.set_xlabel(style.STEP)
    box = axes.get_position()
    left, width = box.x0 * style.WIDTH, box.width * style.WIDTH
    style.colourbar(sheet.figure, image, left, sheet.top + sheet.height + 0.42, width, 0.1,
                    "rate in the step (events per neuron)", extend="max" if above else "neither")


@style.styled
def levels(trains: Dict[str, TrainStatistics]):
    """Figure of which levels events carry: per layer the share of its events with each |level|, in 64
    groups where there are more; beside it the share of level 0 and of the highest level."""
    title = "Which levels events carry"
    trains = _recorded(members(trains, TrainStatistics, "trains"))
    if not trains:
        return style.empty(title, "Nothing to show: the run kept no statistics of spikes.")
    tops = {(1 << train.bits) - 1 for train in trains.values()}
    highest = tops.pop() if len(tops) == 1 else None
    signed = any(train.signed for train in trains.values())
    sheet = style.rows(
        list(trains), title,
        [f"How the events of each layer spread over its levels, {_of_samples(trains)}; the tallest bar fills its "
         "row. Right: bits of a level, share of neurons and steps without an event, mean |level| of the events, "
         "share of the events with the highest |level|."],
        (1,), ("bits", "no event", "mean", "highest"))
    axes = sheet.panels[0]
    axes.set_xlabel("level of the event" if highest else "level of the event / highest level of the layer")
    end = highest + 0.6 if highest else 1.03
    axes.set_xlim(-end if signed else 0, end)
    if highest:
        style.whole_ticks(axes.xaxis)
    else:
        axes.locator_params(axis="x", nbins=5)
    style.grid(axes)
    style.baselines(axes, len(trains))
    for i, train in enumerate(trains.values()):
        _draw_levels(axes, i, train, highest is None)
        zero = 1 - train.rate
        style.cells(sheet.notes, i, [
            f"{'±' if train.signed else ''}{train.bits}", style.percent_label(zero),
            style.quantity_label(train.mean_level) if train.rate > 0 else "–",
            style.percent_label(train.top_level_share) if train.rate > 0 and train.bits > 1 else "–",
        ], [3] if train.bits > 1 and train.top_level_share > 0.5 else [])
    return sheet.figure


def _draw_levels(axes, row, train, relative):
    values, counts = train.level_values, train.level_counts.astype(float)
    counts[values == 0] = 0
    if not counts.any():
        axes.text(0, row, " no neuron fired", va="center", size=style.SMALL)
        return
    top = int(abs(values[-1]))
    scale = 1 / top if relative else 1
    group = max(-(-top // 64), 1)  # levels in a bar
    bar = np.sign(values) * (-(-np.abs(values) // group))  # 1: levels 1 .. group
    bars, which = np.unique(bar, return_inverse=True)
    heights = np.bincount(which, counts)
    half = min(0.4 * group * scale, 0.012) if relative else 0.4 * group
    centre = np.sign(bars) * (np.abs(bars) * group - (group - 1) / 2) * scale
    for x, height in zip(centre, 0.86 * _tallest(heights)):
        if height > 0:
            colour = style.BLUE if x > 0 else style.VERMILLION
            bottom = row + 0.44
            axes.fill_between([x - half, x + half], bottom - max(height, 0.03), bottom, color=colour, linewidth=0)


@style.styled
def planes(trains: Dict[str, TrainStatistics]):
    """Figure of how much each bit-plane is used: per layer and plane the share of (neuron, step, sample)
    whose bit is set; a plane that is never set is marked."""
    title = "How much each bit-plane is used"
    trains = _recorded(members(trains, TrainStatistics, "trains"))
    if not trains:
        return style.empty(title, "Nothing to show: the run kept no statistics of spikes.")
    bits = max(train.bits for train in trains.values())
    signed = any(train.signed for train in trains.values())
    table = np.full((len(trains), bits * (1 + signed)), np.nan)
    for i, train in enumerate(trains.values()):
        use = train.plane_use
        table[i, : train.bits] = use[: train.bits]
        if train.signed:
            table[i, bits : bits + train.bits] = use[train.bits:]
    sheet = style.rows(
        list(trains), title,
        [f"Share of neurons and steps in which the bit is set, over {_of_samples(trains)}; in an empty cell "
         "the layer has no such bit. Bits that are never set are marked."], (1,), (), 1.0)
    axes = style.boxed(sheet.panels[0])
    shown = np.nanmax(table) or 1.0
    colours, norm = style.amounts(), Normalize(0, shown)
    colours = colours.with_extremes(bad="none", under=style.NOTHING)
    image = axes.imshow(np.where(table == 0, -1, table), aspect="auto", cmap=colours, norm=norm,
                        interpolation="none", extent=(-0.5, table.shape[1] - 0.5, len(trains) - 0.5, -0.5))
    _name_planes(axes, bits, signed)
    if table.shape[1] <= 12:
        for (i, plane), use in np.ndenumerate(table):
            if np.isfinite(use):
                colour = "#ff9d4d" if use == 0 else style.ink(colours(norm(use)))
                axes.text(plane, i, "never" if use == 0 else style.percent_label(use), ha="center", va="center",
                          size=style.SMALL, color=colour, weight="bold" if use == 0 else "normal")
    style.colourbar(sheet.figure, image, sheet.left, sheet.top + sheet.height + 0.5, 2.6, 0.1,
                    "set (share of neurons and steps; black: never)", style.percents)
    return sheet.figure


def _name_planes(axes, bits, signed):
    values = [style.quantity_label(1 << b) if b < 10 else f"2^{b}" for b in range(bits)]
    names = values + ["−" + name for name in values] * signed
    every = max(-(-len(names) // 12), 1)
    axes.set_xticks(range(0, len(names), every), names[::every])
    axes.set_xlabel("value of the bit (levels)")


@style.styled
def intervals(trains: Dict[str, TrainStatistics]):
    """Figure of the steps between two events of a neuron: per layer their histogram, and the medians
    over the neurons of CV, LV and the Fano factor (see `TrainStatistics`)."""
    title = "Steps between two events of a neuron"
    trains = _recorded(members(trains, TrainStatistics, "trains"), "n_detailed")
    if not trains:
        return style.empty(title, "Nothing to show: the run kept no intervals.")
    sheet = style.rows(
        list(trains), title,
        [f"Inter-spike intervals over {_of_samples(trains, True)}; the tallest bar of a row fills it. "
         "Right: medians over the neurons; CV and LV: 0 regular, 1 as random as a Poisson train."],
        (1,), ("mean", "CV", "LV", "Fano"))
    axes = sheet.panels[0]
    longest = max(np.flatnonzero(train.interval_histogram).max(initial=1) for train in trains.values())
    if longest > 20:
        axes.set_xscale("log")
        axes.set_xlim(0.5, longest * 1.1)
        style.quantities(axes.xaxis)
    else:
        axes.set_xlim(0.4, longest + 0.6)
        style.whole_ticks(axes.xaxis, longest)
    axes.set_xlabel("interval (steps)")
    style.grid(axes)
    style.baselines(axes, len(trains))
    for i, train in enumerate(trains.values()):
        histogram = train.interval_histogram[1 : longest + 1]
        histogram = np.pad(histogram, (0, longest - len(histogram)))
        if histogram.any():
            edges, heights = _interval_bars(histogram, longest)
            style.ridge(axes, i, edges, _tallest(heights))
        else:
            axes.text(axes.get_xlim()[0], i, " no neuron fired twice in a sample", va="center", size=style.SMALL)
        n = train.interval_counts.sum()
        mean = train.interval_sums.sum() / n if n else np.nan
        medians = [_median(values) for values in (train.cv, train.lv, train.fano)]
        style.cells(sheet.notes, i, [style.number_label(value) for value in (mean, *medians)])
    return sheet.figure


def _interval_bars(histogram, longest):
    """Edges and heights; on a log axis, the mean count per step of bins that grow."""
    if longest <= 20:
        return np.arange(1, longest + 2) - 0.5, histogram.astype(float)
    edges = np.unique(np.concatenate([np.arange(1, 12), np.geomspace(12, longest + 1, 28).astype(int)]))
    return edges - 0.5, np.add.reduceat(histogram, edges[:-1] - 1) / np.diff(edges)


def _median(values):
    values = values[np.isfinite(values)]
    return np.median(values) if values.size else np.nan


@style.styled
def operations(counts: Counts):
    """Figure of what each layer's synapses cost: additions (and MACs, of real-valued input) against the
    MACs of a dense layer, per sample, on a log axis."""
    title = "Operations of each layer, compared with a dense network"
    instance_of(counts, Counts, "counts", "Counts, such as recording.counts")
    n = max(counts.n_samples, 1)
    pairs = {}
    for name, row in counts.layers.items():
        done, dense = (int(row["additions"].sum() + row["macs"].sum()) / n, int(row["dense_macs"].sum()) / n)
        if dense or done:
            pairs[name] = (done, dense)
    if not pairs:
        return style.empty(title, "Nothing to show: the run counted no layer with synapses.")
    done, dense = (sum(pair[i] for pair in pairs.values()) for i in (0, 1))
    ratio = f"{style.number_label(done / dense)} of" if dense else "against"
    sheet = style.rows(
        list(pairs), title,
        [f"Per sample of {counts.steps_text}: {style.quantity_label(done)} additions in "
         f"all, {ratio} the {style.quantity_label(dense)} multiply-accumulates (MACs) that dense layers would "
         "need. Additions include the MACs of real-valued input."],
        (1,), ("additions", "dense", "ratio"), 0.8)
    axes = sheet.panels[0]
    positive = [value for pair in pairs.values() for value in pair if value > 0]
    axes.set_xscale("log")
    axes.set_xlim(min(positive) / 1.6, max(positive) * 1.6)
    style.quantities(axes.xaxis)
    axes.set_xlabel("operations per sample")
    style.grid(axes)
    for i, (done, dense) in enumerate(pairs.values()):
        more = done > dense
        colour = style.VERMILLION if more else style.BLUE
        if done and dense:
            axes.plot([done, dense], [i, i], color=colour, linewidth=2.5, alpha=0.45, solid_capstyle="butt")
        if dense:
            axes.plot([dense], [i], "D", color=style.GREY, markersize=5, markeredgewidth=0)
        if done:
            axes.plot([done], [i], "o", color=colour, markersize=6, markeredgewidth=0)
        else:
            axes.text(axes.get_xlim()[0], i, " no event arrived", va="center", size=style.SMALL)
        style.cells(sheet.notes, i, [style.quantity_label(done), style.quantity_label(dense),
                                     style.number_label(done / dense) if dense else "–"], [2] if more else [])
    _name_points(sheet, any(done > dense for done, dense in pairs.values()))
    return sheet.figure


def _name_points(sheet, more):
    top = sheet.top + sheet.height + 0.42
    axes = style.place(sheet.figure, sheet.left, top, 5, 0.2)
    axes.axis("off")
    axes.set_xlim(0, 5)
    axes.set_ylim(0, 1)
    entries = [(0.08, "o", style.BLUE, "additions done"), (1.45, "D", style.GREY, "dense MACs")]
    if more:
        entries.append((2.65, "o", style.VERMILLION, "more additions than dense MACs"))
    for x, marker, colour, text in entries:
        axes.plot([x], [0.5], marker, color=colour, markersize=5.5, markeredgewidth=0)
        axes.text(x + 0.13, 0.5, text, va="center", size=style.SMALL)
