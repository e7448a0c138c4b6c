"""Matrices: pictures made of cells: rate maps over (y, x), correlations, confusion of classes."""

from typing import Dict, Union

import numpy as np
from matplotlib.colors import LinearSegmentedColormap, ListedColormap, Normalize, PowerNorm, to_rgb

from eventsim import text as wording
from eventsim.arguments import instance_of, members
from eventsim.plots import style
from eventsim.statistics.decisions import Decisions
from eventsim.statistics.trains import TrainStatistics

MOST_MAPS = 64  # channels of a layer that are shown
PIXELS = 100_000  # cells of all maps together; beyond, cells are means of several neurons
MEAN = 72  # cells across a map of means
FLAT = 64  # neurons in a line of a layer without positions
MOST_NUMBERED = 20  # classes whose cells carry numbers


@style.styled
def maps(trains: Union[TrainStatistics, Dict[str, TrainStatistics]], name: str = "", note: str = ""):
    """Figure of rates over (y, x): per layer the mean over its channels, and each channel (64 of them,
    evenly spread, where there are more). Layers without positions show their neurons line by line. note: a last
    line below the title."""
    for argument, text in dict(name=name, note=note).items():
        instance_of(text, str, argument, "text")
    trains = members({name: trains} if isinstance(trains, TrainStatistics) else trains, TrainStatistics, "trains")
    trains = {name: train for name, train in trains.items() if train.n_samples}
    title = f"Where {style.short(next(iter(trains)), 44) or 'the layer'} fires" if len(trains) == 1 \
        else "Where neurons fire"
    if not trains:
        return style.empty(title, "Nothing to show: the run kept no statistics of spikes.")
    plans = [_Map(train, PIXELS // len(trains)) for train in trains.values()]
    figure, top = style.sheet(
        title, ["Rates of the neurons over their positions; black: never fired. Left: the mean over the channels; "
                "right: each channel.", note], sum(plan.height + 0.75 for plan in plans))
    for (name, train), plan in zip(trains.items(), plans):
        _draw_map(figure, name, train, plan, top + 0.3)
        top += plan.height + 0.75
    return figure


class _Map:
    """How the maps of a layer's channels are laid out."""

    def __init__(self, train, pixels):
        shape = train.shape
        if len(shape) == 3:
            rates = train.rates.reshape(shape)
        elif len(shape) == 2:  # (C, L): one line of positions per channel
            rates = train.rates.reshape(1, *shape)
        else:
            lines = -(-train.n_neurons // FLAT)
            rates = np.full(lines * min(FLAT, max(train.n_neurons, 1)), np.nan)
            rates[: train.n_neurons] = train.rates
            rates = rates.reshape(1, lines, -1)
        self.positions = len(shape) == 3
        self.labels = ("x", "y") if len(shape) == 3 else ("position", "channel") if len(shape) == 2 \
            else ("neuron in its line", "line")
        self.channels = channels = len(rates)
        self.chosen = np.arange(min(channels, MOST_MAPS)) * channels // max(min(channels, MOST_MAPS), 1)
        mean, rates = rates.mean(axis=0), rates[self.chosen]
        block = 1
        while rates.size / block**2 > pixels:
            block += 1
        self.block = block
        self.mean = _blocks(mean[None], -(-max(mean.shape) // MEAN))[0]
        self.rates = _blocks(rates, block)
        self.shape = mean.shape
        self.rows, self.columns = self.rates.shape[1:]
        self.across = self._best_across()
        self.down = -(-len(self.chosen) // self.across)
        if channels > 1:
            self.width = style.WIDTH - 2.15 - 0.95
            cell = min(self.width / (self.across * (self.columns + 1)), 2.6 / (self.down * (self.rows + 1)))
            self.height = max(cell * self.down * (self.rows + 1) + 0.15, 1.9)
        else:
            self.height = float(np.clip(5.2 * self.rows / self.columns, 0.45, 1.9))
            self.width = min(self.height * self.columns / self.rows, 5.2)

    def _best_across(self):
        """Channels in a line, so that the mosaic is about twice as wide as high."""
        n = len(self.chosen)
        wanted = np.sqrt(2.0 * n * (self.rows + 1) / (self.columns + 1))
        return n if n <= 4 else int(np.clip(round(wanted), 1, n))

    def mosaic(self):
        """float64: the maps side by side, with one empty cell (nan) between them."""
        picture = np.full((self.down * (self.rows + 1) - 1, self.across * (self.columns + 1) - 1), np.nan)
        for i, values in enumerate(self.rates):
            y, x = divmod(i, self.across)
            y, x = y * (self.rows + 1), x * (self.columns + 1)
            picture[y : y + self.rows, x : x + self.columns] = values
        return picture


def _blocks(rates, size):
    """Means over blocks of size x size positions of maps (n, y, x); those at the edge may be smaller."""
    if size == 1:
        return rates
    for axis in (1, 2):
        borders = np.arange(0, rates.shape[axis], size)
        widths = np.diff(np.append(borders, rates.shape[axis]))
        rates = np.add.reduceat(rates, borders, axis=axis) / widths.reshape((-1, 1) if axis == 1 else (-1,))
    return rates


def _draw_map(figure, name, train, plan, top):
    silent = (f"{wording.all_digits(int(train.silent.sum()))} of {style.count_label(train.n_neurons, 'neuron')} "
              f"silent, mean rate {style.number_label(train.rate)}")
    shape = " × ".join(map(str, train.shape))
    figure.text(0.15 / style.WIDTH, 1 - (top - 0.1) / figure.get_figheight(),
                f"{style.short(name, 40)}{': ' if name else ''}{shape}, {silent}", size=style.SMALL, weight="bold")
    if plan.channels == 1:
        axes, image = _map(figure, (0.6, top, plan.width, plan.height), plan.mean, plan)
        style.colourbar(figure, image, 0.75 + plan.width, top, 0.12, max(plan.height, 0.6), "events per step")
        return
    height = 1.2 * min(1, plan.shape[0] / plan.shape[1])
    width = height * plan.shape[1] / plan.shape[0]
    axes, image = _map(figure, (0.6, top, width, height), plan.mean, plan)
    style.colourbar(figure, image, 0.6, top + height + 0.42, 1.2, 0.09, "mean (events per step)")
    axes = style.place(figure, 2.15, top, plan.width, plan.height - 0.15)
    image = axes.imshow(plan.mosaic(), **_look(plan.rates))
    axes.set_anchor("NW")
    axes.axis("off")
    count = f"channels 0 to {plan.chosen[-1]}" if len(plan.chosen) == train.shape[0] \
        else f"{len(plan.chosen)} of {train.shape[0]} channels, evenly spread"
    if plan.block > 1:
        count += f"; cells are means of {plan.block} × {plan.block} neurons"
    down, across = plan.mosaic().shape
    bottom = top + min(plan.height - 0.15, plan.width * down / across)
    figure.text(2.15 / style.WIDTH, 1 - (bottom + 0.06) / figure.get_figheight(),
                f"{count}; {plan.across} in a line", size=style.SMALL, va="top")
    style.colourbar(figure, image, style.WIDTH - 0.85, top, 0.12, min(plan.height - 0.15, 1.8), "events per step")


def _look(rates):
    colours = style.amounts().with_extremes(bad="none", under=style.NOTHING)
    highest = np.nanmax(rates, initial=0) or 1.0
    return dict(cmap=colours, norm=Normalize(highest * 1e-9, highest), interpolation="none", aspect="equal")


def _map(figure, room, values, plan):
    axes = style.boxed(style.place(figure, *room))
    image = axes.imshow(values, extent=(-0.5, plan.shape[1] - 0.5, plan.shape[0] - 0.5, -0.5), **_look(values))
    axes.set_anchor("NW")
    axes.set_xlabel(plan.labels[0], labelpad=1)
    axes.set_ylabel(plan.labels[1])
    style.indices(axes.xaxis, plan.shape[1])
    style.indices(axes.yaxis, plan.shape[0])
    return axes, image


@style.styled
def correlations(train: TrainStatistics, name: str = ""):
    """Figure of Pearson's correlation of up to 64 neurons' events, step by step: as a matrix, and as the
    histogram of the pairs."""
    instance_of(name, str, "name", "text")
    instance_of(train, TrainStatistics, "train", "a TrainStatistics, such as recording.statistics.trains[name]")
    who = style.short(name, 40) if name else "neurons"
    title = f"Do neurons of {who} fire together?" if name else "Do neurons fire together?"
    if train.n_detailed == 0:
        return style.empty(title, "Nothing to show: the run kept no correlations.")
    coefficients = train.correlations
    n = len(coefficients)
    pairs = coefficients[np.triu_indices(n, 1)]
    pairs = pairs[np.isfinite(pairs)]
    steady = int(np.isnan(np.diagonal(coefficients)).sum())
    which = f"{n} of {style.count_label(train.n_neurons, 'neuron')}, spread over the layer,"
    if n == train.n_neurons:
        which = wording.inflected(n, "The only neuron", f"All {n} neurons")
    notes = [f"{which} over {style.count_label(train.n_detailed, 'sample')} of "
             f"{train.steps_text(detailed=True)}."
             + (f" Hatched: {style.count_label(steady, 'neuron')} that never or always "
                f"{wording.inflected(steady, 'fires', 'fire')}, without correlation." if steady else "")]
    if pairs.size:
        notes.append(f"Mean over {style.count_label(pairs.size, 'pair')}: {style.quantity_label(pairs.mean())}; "
                     f"largest {style.quantity_label(pairs.max())}, smallest {style.quantity_label(pairs.min())}.")
    figure, top = style.sheet(title, notes, 3.75)
    axes = style.boxed(style.place(figure, 0.75, top + 0.1, 3.1, 3.1))
    axes.set_facecolor("none")
    if steady:
        axes.fill_between([-0.5, n - 0.5], -0.5, n - 0.5, facecolor="none", edgecolor=style.GREY, hatch="////",
                          linewidth=0, zorder=0)
    shown = np.where(np.eye(n, dtype=bool), np.nan, coefficients)
    image = axes.imshow(shown, cmap=_opposites(), norm=Normalize(-1, 1), interpolation="none", zorder=1)
    ticks = np.unique(np.linspace(0, n - 1, min(n, 6)).astype(int))
    names = [style.quantity_label(train.chosen[i]) for i in ticks]
    axes.set_xticks(ticks, names)
    axes.set_yticks(ticks, names)
    axes.set_xlabel("neuron (index in the layer)")
    axes.set_ylabel("neuron (index in the layer)")
    style.colourbar(figure, image, 3.98, top + 0.1, 0.12, 3.1, "correlation of events, step by step")
    axes = style.grid(style.place(figure, 5.35, top + 0.1, 2.05, 3.1), "y")
    axes.set_xlim(-1, 1)
    axes.set_xlabel("correlation")
    axes.set_ylabel("pairs")
    if pairs.size:
        counts, edges = np.histogram(pairs, np.linspace(-1, 1, 41))
        axes.stairs(counts, edges, fill=True, color=style.BLUE, linewidth=0)
        axes.set_ylim(0, None)
        style.whole_ticks(axes.yaxis, 5)
    else:
        axes.set_yticks([])
        style.say(axes, "no two neurons change")
    return figure


def _opposites():
    """Orange below 0, blue above; grey, not white, at 0, so that it is seen on any background."""
    ramp = ("#8c3d00", style.VERMILLION, "#f0b98d", "#c9ccd1", "#8cc4e8", style.BLUE, "#003a63")
    return LinearSegmentedColormap.from_list("eventsim-opposites", ramp, 41).with_extremes(bad="none")


def _opacity(n=41):
    """From nothing to blue on whatever is behind."""
    return ListedColormap([(*to_rgb(style.BLUE), opacity) for opacity in np.linspace(0, 1, n)], "eventsim-opacity")


@style.styled
def confusion(decisions: Decisions):
    """Figure of which classes are taken for which: rows the labels, columns the predictions; colours are
    shares of the row, numbers samples."""
    title = "Which classes are taken for which"
    instance_of(decisions, Decisions, "decisions", "Decisions, such as run.statistics.decisions")
    counts = decisions.confusion
    if counts is None or not counts.sum():
        return style.empty(title, f"Nothing to show: {decisions.no_confusion}.")
    n, right = int(counts.sum()), int(np.trace(counts))
    classes = len(counts)
    wrong = counts - np.diag(np.diagonal(counts))
    given = decisions.class_names if len(decisions.class_names) == classes else range(classes)
    names = [style.short(str(name), 14) for name in given]
    if len(set(names)) < classes:  # what tells them apart was in the middle
        names = [style.short(f"{i} {name}", 14) for i, name in enumerate(given)]
    share = style.percent_label(right / n)
    of_all = f"{wording.all_digits(right)} of {style.count_label(n, 'sample')}"
    notes = [f"{of_all} right ({share}){decisions.left_out_text}."]
    if wrong.any():
        label, taken = np.unravel_index(wrong.argmax(), wrong.shape)
        notes[0] += (f" Most often {names[label]} is taken for {names[taken]}: "
                     f"{style.count_label(int(wrong[label, taken]), 'time')}.")
    size = float(np.clip(0.36 * classes, 2.2, 5.0))
    longest = max(map(len, names)) if names else 1
    figure, top = style.sheet(title, notes, size + 0.55 + (0.06 * longest if longest > 3 else 0))
    left = 0.75 + 0.065 * longest
    axes = style.boxed(style.place(figure, left, top + 0.05, size, size))
    with np.errstate(invalid="ignore"):
        shares = counts / counts.sum(axis=1, keepdims=True)
    colours, norm = _opacity(), PowerNorm(0.6, 0, 1)  # rare mistakes are faint, but there
    image = axes.imshow(shares, cmap=colours, norm=norm, interpolation="none")
    if classes <= MOST_NUMBERED:
        for (i, j), number in np.ndenumerate(counts):
            if number:
                axes.text(j, i, style.quantity_label(int(number)), ha="center", va="center", size=style.SMALL,
                          color="#ffffff" if norm(shares[i, j]) > 0.8 else style.FOREGROUND)
    every = -(-classes // 25)
    axes.set_xticks(range(0, classes, every), names[::every], rotation=90 if longest > 3 else 0)
    axes.set_yticks(range(0, classes, every), names[::every])
    axes.set_xlabel("prediction (class)")
    axes.set_ylabel("label (class)")
    style.colourbar(figure, image, left + size + 0.15, top + 0.05, 0.12, min(size, 2.5),
                    "share of the label's samples", style.percents)
    return figure
