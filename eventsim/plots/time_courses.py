"""Courses: pictures over membranes and steps: distributions, drift, traces, how the answer settles."""

from typing import Dict, Optional, Sequence

import numpy as np

from eventsim import text as wording
from eventsim.arguments import index_of, indices_of, instance_of, members, shown
from eventsim.errors import DataError
from eventsim.plots import style
from eventsim.statistics.decisions import Decisions
from eventsim.statistics.membranes import MembraneStatistics, MOST_NEURONS
from eventsim.tensors import as_array

MOST_THRESHOLDS = 8  # of multi-bit levels that are drawn as lines
ERROR = "(u\u00a0−\u00a0o)²"  # in one piece, wherever a line breaks
THRESHOLD = dict(color=style.FOREGROUND, linewidth=0.7, linestyle=(0, (4, 3)))
MOST_PANELS = 8  # layers with axes of their own; more stand in rows


def _of_samples(layers):
    """ "8 samples of 4 steps", and whether neurons of large layers were left out."""
    first = next(iter(layers.values()))
    noted = max((layer.potentials.sum() + layer.n_not_finite) / layer.presented for layer in layers.values())
    few = f", at most {style.count_label(MOST_NEURONS, 'neuron')} of a layer" if noted >= MOST_NEURONS else ""
    return f"{style.count_label(first.n_samples, 'sample')} of {first.steps_text}{few}"


def _gathered(layers):
    """The layers of which there are membranes."""
    layers = members(layers, MembraneStatistics, "layers")
    return {name: layer for name, layer in layers.items() if layer.n_samples}


@style.styled
def membranes(layers: Dict[str, MembraneStatistics]):
    """Figure of where membranes are: per layer the distributions of H before the reset, of phi(H) where
    the neurons rectify (MPR; InfLoR-SNN, eq. 9), and of U after the reset, with the thresholds as H meets them."""
    title = "Where membranes are"
    layers = _gathered(layers)
    if not layers:
        return style.empty(title, "Nothing to show: the run kept no membranes.")
    if len(layers) > MOST_PANELS:
        return _membrane_rows(title, layers)
    across = 1 if len(layers) == 1 else 2
    down = -(-len(layers) // across)
    height = 2.5 if across == 1 else 1.35
    rectify = any(layer.rectified is not None for layer in layers.values())
    figure, top = style.sheet(
        title,
        [f"Shares of neurons and steps of {_of_samples(layers)}. "
         f"Dashed: where H meets the levels' thresholds. {ERROR} is the mean squared quantisation error, in "
         "quanta²" + (", before and after rectifying (MPR)." if rectify else ".")], 0.35 + down * (height + 0.72))
    _name_curves(figure, top, rectify)
    gap = 0.55
    width = (style.WIDTH - 0.75 - style.RIGHT - gap * (across - 1)) / across
    for i, (name, layer) in enumerate(layers.items()):
        y, x = divmod(i, across)
        axes = style.place(figure, 0.75 + x * (width + gap), top + 0.5 + y * (height + 0.72), width, height)
        _draw_membranes(axes, name, layer)
        axes.set_ylabel("share (%)" if x == 0 else "")
    return figure


def _name_curves(figure, top, rectify):
    axes = style.place(figure, 0.75, top, 6.4, 0.2)
    axes.axis("off")
    axes.set_xlim(0, 6.4)
    axes.set_ylim(0, 1)
    entries = [("H, before the reset", dict(color=style.SKY, linewidth=6)),
               ("U, after it", dict(color=style.BLUE))]
    if rectify:
        entries.append(("φ(H), rectified", dict(color=style.VERMILLION)))
    for i, (text, look) in enumerate(entries):
        axes.plot([2 * i, 2 * i + 0.25], [0.5, 0.5], solid_capstyle="butt", **look)
        axes.text(2 * i + 0.33, 0.5, text, va="center", size=style.SMALL)


def _membrane_rows(title, layers):
    """Many layers, a row each, as tall as the fullest bin of its curves."""
    rectify = any(layer.rectified is not None for layer in layers.values())
    units = sorted({layer.unit for layer in layers.values()})
    sheet = style.rows(
        list(layers), title,
        [f"{_of_samples(layers)}; the fullest bin of a row fills it. Dashes: where H meets the levels' "
         f"thresholds. Right: mean squared quantisation error {ERROR} in quanta²"
         + (", and with rectified membranes (MPR)" if rectify else "")
         + "; shares of H beyond the axis."],
        (1,), ("error", *(["rectified"] if rectify else []), "below", "above"), 0.9)
    axes = sheet.panels[0]
    axes.set_xlim(min(layer.edges[0] for layer in layers.values()),
                  max(layer.edges[-1] for layer in layers.values()))
    axes.set_xlabel(f"membrane ({' or '.join(units)})")
    style.baselines(axes, len(layers))
    n_bins = 60 if len(layers) <= 40 else 30
    for i, layer in enumerate(layers.values()):
        edges = layer.edges
        shares = {key: _merged(getattr(layer, key), n_bins) for key in ("potentials", "residuals", "rectified")
                  if getattr(layer, key) is not None}
        edges = edges[:: (len(edges) - 1) // len(shares["potentials"])]
        fullest = max(max(values.max() for values in shares.values()), 1e-300)
        heights = {key: values / fullest for key, values in shares.items()}
        style.ridge(axes, i, edges, heights["potentials"], style.SKY)
        for key, colour in (("residuals", style.BLUE), ("rectified", style.VERMILLION)):
            if key in heights:
                axes.step(edges, i + 0.44 - 0.86 * np.append(heights[key], heights[key][-1]), where="post",
                          color=colour, linewidth=0.9)
        axes.vlines(_thresholds(layer), i - 0.44, i + 0.44, color=style.FOREGROUND, linewidth=0.7,
                    linestyle=(0, (3, 2)))
        total = max(layer.potentials.sum(), 1)
        errors = [layer.error, layer.rectified_error] if rectify else [layer.error]
        style.cells(sheet.notes, i, [*map(style.quantity_label, errors),
                                     *(style.percent_label(layer.potentials[k] / total) for k in (0, -1))])
    _name_curves(sheet.figure, sheet.top + sheet.height + 0.5, rectify)
    return sheet.figure


def _thresholds(layer):
    """Return the H at which neurons decide, of the lowest levels; signed neurons decide below 0 too."""
    thresholds = layer.fires_at + layer.step * np.arange(min(layer.n_levels, MOST_THRESHOLDS))
    return np.concatenate((-thresholds[::-1], thresholds)) if layer.signed else thresholds


def _merged(counts, n_bins):
    """Return the inner bins of a histogram (below, bins, above) as shares of all, every few summed."""
    every = max(len(counts) - 2, 1) // n_bins
    inner = counts[1:-1]
    return inner.reshape(-1, every).sum(axis=1) / max(counts.sum(), 1) if every > 1 and len(inner) % every == 0 \
        else inner / max(counts.sum(), 1)


def _draw_membranes(axes, name, layer):
    n_bins = 120
    potentials = _merged(layer.potentials, n_bins)
    every = (len(layer.edges) - 1) // len(potentials)
    edges = layer.edges[::every]
    axes.stairs(100 * potentials, edges, fill=True, color=style.SKY, linewidth=0)
    axes.stairs(100 * _merged(layer.residuals, n_bins), edges, color=style.BLUE, linewidth=1.1)
    shares = [potentials, _merged(layer.residuals, n_bins)]
    if layer.rectified is not None:
        shares.append(_merged(layer.rectified, n_bins))
        axes.stairs(100 * shares[-1], edges, color=style.VERMILLION, linewidth=1.1)
    _scale_shares(axes, np.concatenate(shares))
    for threshold in _thresholds(layer):
        axes.axvline(threshold, ymax=0.85, **THRESHOLD)
    axes.set_xlim(edges[0], edges[-1])
    axes.set_xlabel(f"membrane ({layer.unit})", labelpad=1)
    error = f"{ERROR} {style.number_label(layer.error)}"
    if layer.rectified is not None:
        error += f" → {style.number_label(layer.rectified_error)}"
    longest = 20 if axes.get_position().width < 0.6 else 40
    axes.set_title(f"{style.short(name, longest)}   ", loc="left", size=style.SMALL, weight="bold", pad=3)
    axes.set_title(error, loc="right", size=style.SMALL, pad=3)
    _name_outside(axes, layer)


def _scale_shares(axes, shares):
    """Percent, on a log axis where one bin would flatten all the others."""
    present = shares[shares > 0]
    if not present.size:
        style.say(axes, "no membrane in this range")
        axes.set_yticks([])
        return
    if present.max() > 12 * np.median(present):
        axes.set_yscale("log")
        lowest = max(present.min(), present.max() * 1e-5)
        axes.set_ylim(100 * lowest / 1.5, 100 * present.max() * (present.max() / lowest) ** 0.25)
    else:
        axes.set_ylim(0, 122 * present.max())
        axes.locator_params(axis="y", nbins=4)
    style.quantities(axes.yaxis)


def _name_outside(axes, layer):
    """In words what lies beyond the axis: shares of H below and above, and what is no number."""
    total = max(layer.potentials.sum(), 1)
    below, above = layer.potentials[0] / total, layer.potentials[-1] / total
    box = dict(size=6.5, va="top", transform=axes.transAxes)
    if below > 0:
        axes.text(0.01, 0.97, f"‹ {style.percent_label(below)} of H below", ha="left", **box)
    if above > 0:
        axes.text(0.99, 0.97, f"{style.percent_label(above)} of H above ›", ha="right", **box)
    if layer.n_not_finite:
        axes.text(0.5, 0.82, f"{style.quantity_label(layer.n_not_finite)} not finite", ha="center",
                  color=style.VERMILLION, weight="bold", **box)


@style.styled
def drift(layers: Dict[str, MembraneStatistics]):
    """Figure of how membranes move over the steps: per layer the root mean square of U after the reset."""
    title = "Do membranes drift?"
    layers = _gathered(layers)
    if not layers:
        return style.empty(title, "Nothing to show: the run kept no membranes.")
    units = sorted({layer.unit for layer in layers.values()})
    note = f"Root mean square of the membranes after the reset, over {_of_samples(layers)}."
    figure, top = style.sheet(title, [f"{note} A layer in balance levels out."], 3.2)
    axes = style.grid(style.place(figure, 0.75, top + 0.1, 4.9, 2.6), "both")
    values = [layer.drift[: layer.longest] for layer in layers.values()]
    largest = sorted(range(len(values)), key=lambda i: -values[i][-1])[: len(style.CYCLE)]
    for i, curve in enumerate(values):
        named = i in largest
        look = dict(color=style.CYCLE[largest.index(i)], zorder=3) if named else dict(color=style.GREY, alpha=0.6)
        axes.plot(np.arange(1, len(curve) + 1), curve, marker="o" if len(curve) <= 20 else None, markersize=3,
                  linewidth=1.4 if named else 0.8, **look)
    finite = np.concatenate(values)
    finite = finite[np.isfinite(finite) & (finite > 0)]
    if finite.size and finite.max() > 50 * np.median(finite):
        axes.set_yscale("log")
        style.quantities(axes.yaxis)
    else:
        axes.set_ylim(0, None)
    style.whole_ticks(axes.xaxis)
    axes.set_xlabel(style.STEP)
    axes.set_ylabel(f"root mean square of U ({' or '.join(units)})")
    _name_lines(figure, top, [(list(layers)[i], style.CYCLE[k]) for k, i in enumerate(largest)],
                len(values) - len(largest))
    return figure


def _name_lines(figure, top, entries, others):
    axes = style.place(figure, 5.8, top + 0.1, 1.7, 0.2 * (len(entries) + 1))
    axes.axis("off")
    axes.set_xlim(0, 1.7)
    axes.set_ylim(len(entries) + 0.5, -0.5)
    if others:
        entries = [*entries, (style.count_label(others, "other"), style.GREY)]
    for i, (name, colour) in enumerate(entries):
        axes.plot([0, 0.2], [i, i], color=colour, linewidth=1.8)
        axes.text(0.28, i, style.short(name, 26), va="center", size=style.SMALL)


@style.styled
def traces(potentials, residuals=None, currents=None, levels=None, threshold: Optional[float] = None,
           neurons: Sequence[int] = (), unit: str = "the model's unit", name: str = "", first_step: int = 1,
           signed: bool = False):
    """Figure of the membranes of chosen neurons of trace sample, step by step.

    potentials (H, before the reset), residuals (U, after it), currents, levels (what was sent): arrays
    (T, *shape) or None, the first three in `unit`; threshold, that H meets, in it as well. neurons: indices into
    the flattened shape; () takes four among those that move, from the liveliest on. signed: whether the neurons
    also decide at -threshold. first_step: the number that the first step has. Raises DataError for a neuron that
    is not there."""
    for key, value in dict(name=name, unit=unit).items():
        instance_of(value, str, key, "text")
    instance_of(threshold, (int, float, np.integer, np.floating, type(None)), "threshold", "a number or None")
    instance_of(signed, (bool, np.bool_), "signed", "True or False")
    neurons, first_step = indices_of(neurons, "neurons"), index_of(first_step, "first_step")
    arrays = _traced(potentials=potentials, residuals=residuals, currents=currents, levels=levels)
    title = f"Membranes of {style.short(name, 40)}" if name else "Membranes of chosen neurons"
    some = arrays["H"]
    if some is None or some.size == 0:
        return style.empty(title, "Nothing to show: no potentials were given.")
    chosen = _chosen(some, arrays["levels"], neurons, name)
    sent = arrays["levels"]
    triangles = "" if sent is None else f" Triangles: steps with a spike{_levels_named(sent[:, chosen])}."
    figure, top = style.sheet(title, [
        "H is the membrane before the reset" + (", U after it" if arrays["U"] is not None else "")
        + (", I what reached it" if arrays["I"] is not None else "")
        + ("" if threshold is None else f". Dashed: the first threshold{'s, above and below 0' if signed else ''}")
        + f".{triangles}"],
        0.35 + 1.2 * len(chosen) + 0.35)
    _name_traces(figure, top, arrays)
    steps = np.arange(first_step, first_step + len(some))
    thresholds = [] if threshold is None else [threshold, -threshold][: 1 + signed]
    for i, neuron in enumerate(chosen):
        axes = style.place(figure, 0.9, top + 0.4 + 1.2 * i, style.WIDTH - 0.9 - style.RIGHT, 0.95)
        trace = {key: None if values is None else values[:, neuron] for key, values in arrays.items()}
        _draw_trace(axes, steps, trace, thresholds)
        axes.set_ylabel(f"neuron {wording.all_digits(neuron)}", size=style.SMALL)
        if i < len(chosen) - 1:
            axes.set_xticklabels([])
    axes.set_xlabel(style.STEP if first_step else "step (from 0)")
    middle = 1 - (top + 0.4 + 0.6 * len(chosen) - 0.12) / figure.get_figheight()
    figure.text(0.25 / style.WIDTH, middle, f"membrane ({unit})", rotation=90, ha="center", va="center",
                rotation_mode="anchor", size=style.TEXT)
    return figure


def _traced(**given):
    """Symbol -> (T, neurons), or None. given: as of `traces`. Raises DataError for what is no array of numbers, or
    not of the same steps and neurons."""
    flat = {name: None if values is None else _flat(values, name) for name, values in given.items()}
    for name, values in flat.items():
        if values is not None and flat["potentials"] is not None and values.shape != flat["potentials"].shape:
            raise DataError(f"{name} has shape {np.shape(given[name])}, expected that of potentials, "
                            f"{np.shape(given['potentials'])}: (T, ...) of one sample")
    return dict(zip(("H", "U", "I", "levels"), flat.values()))


def _flat(values, name):
    """(T, neurons)"""
    try:
        array = as_array(values)
    except (TypeError, ValueError, RuntimeError):
        array = np.array(None)
    if array.ndim == 0 or array.dtype.kind not in "biuf":
        raise DataError(f"{name} is {shown(values)}, expected an array of numbers (T, ...) of one sample")
    return array.reshape(len(array), int(np.prod(array.shape[1:])))


def _chosen(potentials, levels, neurons, name):
    n = potentials.shape[1]
    for neuron in neurons:
        if not 0 <= neuron < n:
            raise DataError(f"no neuron {neuron} in {name or 'these traces'}: choose one from 0 to {n - 1}")
    if neurons:
        return neurons
    lively = np.ptp(potentials.astype(np.float64), axis=0) if levels is None else np.count_nonzero(levels, axis=0)
    order = np.argsort(-np.nan_to_num(lively), kind="stable")
    moving = order[: max(np.count_nonzero(lively), 1)]
    return sorted({int(moving[i]) for i in np.linspace(0, len(moving) - 1, 4).astype(int)})


def _name_traces(figure, top, arrays):
    axes = style.place(figure, 0.9, top, 6, 0.2)
    axes.axis("off")
    axes.set_xlim(0, 6)
    axes.set_ylim(0, 1)
    x = 0.0
    for key, colour in (("H", style.BLUE), ("U", style.VERMILLION), ("I", style.GREEN)):
        if arrays[key] is not None:
            axes.plot([x, x + 0.25], [0.5, 0.5], color=colour)
            axes.text(x + 0.32, 0.5, key, va="center", size=style.SMALL)
            x += 0.7


def _levels_named(levels):
    """Return which levels of those drawn stand beside their triangles, in words."""
    if (levels < 0).any():
        return ", and levels other than 1"
    return ", and levels above 1" if (levels > 1).any() else ""


def _draw_trace(axes, steps, trace, thresholds):
    marker = dict(marker="o", markersize=3) if len(steps) <= 60 else {}
    style.grid(axes, "y")
    for key, colour in (("I", style.GREEN), ("U", style.VERMILLION), ("H", style.BLUE)):
        if trace[key] is not None:
            axes.plot(steps, trace[key], color=colour, linewidth=1.1, **marker)
    for threshold in thresholds:
        axes.axhline(threshold, **THRESHOLD)
    axes.set_xlim(steps[0] - 0.5, steps[-1] + 0.5)
    axes.margins(y=0.18)
    style.whole_ticks(axes.xaxis, min(len(steps), 10))
    axes.locator_params(axis="y", nbins=4)
    axes.yaxis.set_major_formatter(lambda value, _: style.quantity_label(value))
    if trace["levels"] is None:
        return
    fired = np.flatnonzero(trace["levels"])
    axes.plot(steps[fired], np.full(len(fired), 1.0), "v", color=style.FOREGROUND, markersize=4, clip_on=False,
              markeredgewidth=0, transform=axes.get_xaxis_transform())
    named = fired[trace["levels"][fired] != 1]
    if len(named) <= 40:
        for step in named:
            axes.text(steps[step], 1.06, f"{trace['levels'][step]}", transform=axes.get_xaxis_transform(),
                      ha="center", va="bottom", size=6.5)


@style.styled
def accuracy(decisions: Decisions):
    """Figure of how the answer settles: accuracy had the run stopped after each step, and the share of
    samples whose prediction is final from then on."""
    title = "How the answer settles"
    instance_of(decisions, Decisions, "decisions", "Decisions, such as run.statistics.decisions")
    if decisions.n_samples == 0 or len(decisions.final) == 0:
        return style.empty(title, "Nothing to show: the run has no decisions.")
    right = decisions.accuracy_by_step
    steps = np.arange(1, len(decisions.final) + 1)
    notes = [f"{style.count_label(decisions.n_samples, 'sample')}. "
             + ("" if right is None
                else f"{style.percent_label(right[-1])} right after {style.count_label(len(steps), 'step')}. ")
             + f"A prediction is final after {_mean_steps(decisions)} on average."]
    figure, top = style.sheet(title, notes, 3.1)
    axes = style.grid(style.place(figure, 0.85, top + 0.15, 4.4, 2.5), "both")
    marker = dict(marker="o", markersize=4) if len(steps) <= 40 else {}
    curves = [("prediction is final", decisions.final_share, style.VERMILLION)]
    if right is not None:
        curves.insert(0, ("prediction is right", right, style.BLUE))
    for text, values, colour in curves:
        axes.plot(steps, values, color=colour, label=text, clip_on=False, zorder=3, **marker)
    span = 1 - min(values.min() for _, values, _ in curves)
    axes.set_ylim(0 if span > 0.4 else 1 - max(1.3 * span, 0.01), 1.0)
    axes.set_xlim(1, max(len(steps), 2))
    style.percents(axes.yaxis)
    style.whole_ticks(axes.xaxis)
    axes.set_xlabel("steps presented")
    axes.set_ylabel("share of samples")
    _name_ends(axes, curves)
    return figure


def _mean_steps(decisions):
    mean = decisions.mean_final_step
    return f"{style.number_label(mean)} {wording.inflected(mean, 'step', 'steps')}"


def _name_ends(axes, curves):
    """Names of the curves at their ends, apart where the ends are close."""
    heights = [values[-1] for _, values, _ in curves]
    low, high = axes.get_ylim()
    apart = 0.07
    order = np.argsort(heights)
    places = np.array(heights, float)
    for below, above in zip(order, order[1:]):
        places[above] = max(places[above], places[below] + apart * (high - low))
    places -= max(places.max() - high, 0)
    for (text, values, colour), place in zip(curves, places):
        axes.annotate(f"{text} ({style.percent_label(values[-1])})", (1.05, place), size=style.SMALL,
                      xycoords=("axes fraction", "data"), va="center")
        axes.plot([1.03], [place], "s", color=colour, markersize=4, clip_on=False,
                  transform=axes.get_yaxis_transform())
