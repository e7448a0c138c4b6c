"""Pictures show the data they were given, say what they show, and bear what runs can hold."""

import ast
import os
import re
import subprocess
import sys
import warnings
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb
from matplotlib.image import AxesImage
from matplotlib.text import Text

import eventsim
from eventsim import (
    AvgPool, Conv2d, DataError, Dense, Flatten, Input, Model, Neuron, plots, Readout, RunError, SigmaDelta,
    Simulator,
    spikes,
)
from eventsim.plots import binning, style
from eventsim.runs.file import open_run
from eventsim.spikes import count_events, events_of, set_bits, Spikes
from eventsim.statistics.counts import Counts
from eventsim.statistics.decisions import Decisions
from eventsim.statistics.observing import MembraneScale
from eventsim.statistics.of_recordings import of_spikes

ROOT = Path(__file__).resolve().parents[2]
ODD = ("a$b_c$", "with\nnewline\tand  blanks", "100 % \\alpha_{x}^2 $\\frac{1}{2}$", "<tag> & \"quotes\"",
       "naïve…日本", "\x00\x1bcontrol", "")


def spikes_of(levels, bits, signed=False):
    """Spikes from whole levels (N, T, *shape), one bit at a time: what `binning` must read back."""
    levels = np.asarray(levels)
    n, steps, *shape = levels.shape
    held = tuple(shape) if len(shape) == 3 else (shape[0], 1, int(np.prod(shape[1:])))
    channels, positions = held[0], held[1] * held[2]
    planes = np.zeros((n, steps, bits * (1 + signed), positions, -(-channels // 64)), np.uint64)
    flat = levels.reshape(n, steps, channels, positions).astype(np.int64)
    for i, t, c, p in zip(*np.nonzero(flat)):
        level = int(flat[i, t, c, p])
        for b in range(bits):
            if abs(level) >> b & 1:
                planes[i, t, b + bits * (level < 0), p, c // 64] |= np.uint64(1 << (c % 64))
    return Spikes(planes, held, tuple(shape), bits, signed)


def random_levels(shape, bits, signed=False, rate=0.2, seed=0):
    rng = np.random.default_rng(seed)
    levels = rng.integers(1, 1 << bits, shape) * (rng.random(shape) < rate)
    return levels * rng.choice((-1, 1), shape) if signed else levels


def train_of(levels, bits=1, signed=False):
    return of_spikes(spikes_of(levels, bits, signed))


def membranes_of(potentials, levels, **neuron):
    """MembraneStatistics of H (n, T, neurons) that sent `levels`, with a soft reset."""
    node = Neuron(**{"quantum": 1.0, "v_threshold": 1.0, **neuron})
    potentials = np.asarray(potentials, float)
    scale = MembraneScale(node, potentials.shape[2:])
    return scale.statistics(potentials, potentials - levels, np.asarray(levels, np.int32),
                            np.ones(potentials.shape[2]))


def texts(figure):
    return [text.get_text() for text in figure.findobj(Text) if text.get_text() and text.get_visible()]


def shown(figure):
    return " ".join(texts(figure))


def images(axes):
    return [artist for artist in axes.get_children() if isinstance(artist, AxesImage)]


def all_pictures():
    """One figure of every kind, of small random data."""
    levels = random_levels((6, 5, 3, 4, 4), 2)
    train = train_of(levels, 2)
    rng = np.random.default_rng(1)
    potentials = rng.normal(0.5, 1, (6, 5, 8))
    membranes = membranes_of(potentials, potentials >= 1, rectify=True)
    row = {name: np.arange(6) + 1 for name in ("additions", "macs", "dense_macs")}
    counts = Counts({"a": 48}, 6, 5, {"a": row})
    decisions = Decisions.of(rng.normal(size=(6, 5, 3)), np.array([0, 1, 2, 0, 1, 2]))
    return {
        "raster": plots.raster(spikes_of(levels, 2), 0, "a"), "rates": plots.rates({"a": train}),
        "levels": plots.levels({"a": train}), "planes": plots.planes({"a": train}), "maps": plots.maps(train, "a"),
        "intervals": plots.intervals({"a": train}), "correlations": plots.correlations(train, "a"),
        "operations": plots.operations(counts), "membranes": plots.membranes({"a": membranes}),
        "drift": plots.drift({"a": membranes}), "traces": plots.traces(potentials[0], name="a"),
        "accuracy": plots.accuracy(decisions), "confusion": plots.confusion(decisions),
    }


# what each axis must say: quantity, and its unit where it has one
LABELS = {
    "raster": ("step (from 1)", "neuron", "events per step", "firing (%)"),
    "rates": ("rate (events per step)", "step (from 1)"),
    "levels": ("level of the event",), "planes": ("value of the bit (levels)",), "maps": ("x", "y"),
    "intervals": ("interval (steps)",),
    "correlations": ("neuron (index in the layer)", "correlation", "pairs"),
    "operations": ("operations per sample",), "membranes": ("membrane (thresholds)", "share (%)"),
    "drift": ("step (from 1)", "root mean square of U (thresholds)"),
    "traces": ("step (from 1)", "membrane (the model's unit)"),
    "accuracy": ("steps presented", "share of samples"), "confusion": ("prediction (class)", "label (class)"),
}


@pytest.fixture(scope="module")
def pictures():
    return all_pictures()


def test_every_kind_has_its_picture(pictures):
    assert set(pictures) == set(plots.KINDS) == set(LABELS)


@pytest.mark.parametrize("kind", LABELS)
def test_axes_are_labelled_with_units(pictures, kind):
    found = texts(pictures[kind])
    for label in LABELS[kind]:
        assert label in found
    labelled = 0
    for axes in pictures[kind].axes:
        if axes.axison and axes.xaxis.get_ticklocs().size and axes.xaxis.get_visible():
            labelled += bool(axes.get_xlabel() or axes.get_ylabel())
    assert labelled


@pytest.mark.parametrize("kind", LABELS)
def test_a_title_says_what_is_seen(pictures, kind):
    title, *_ = pictures[kind].get_label().split("\n")
    assert len(title) > 5 and title in shown(pictures[kind])


@pytest.mark.parametrize("kind", LABELS)
def test_text_stays_within_the_picture(pictures, kind, tmp_path):
    """Nothing is cut off at the border, and no two rows of tick labels overlap."""
    figure = pictures[kind]
    with style.settings():
        from matplotlib.backends.backend_agg import FigureCanvasAgg

        renderer = FigureCanvasAgg(figure).get_renderer()
        figure.draw(renderer)
        width, height = renderer.width, renderer.height
        for text in figure.findobj(Text):
            if text.get_text().strip() and text.get_visible():
                box = text.get_window_extent(renderer)
                if _ticked(text, figure):
                    inside = min(box.x0, box.y0, width - box.x1, height - box.y1)
                    assert inside > -2, text.get_text()


def _ticked(text, figure):
    """Whether a text is drawn: labels of ticks outside the axis are kept by matplotlib, but not drawn."""
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            for tick in (*axis.majorTicks, *axis.minorTicks):
                if text in (tick.label1, tick.label2):
                    low, high = sorted(axis.get_view_interval())
                    return axes.axison and low <= tick.get_loc() <= high
    return True


# ---- no global state


def test_drawing_needs_no_display_no_pyplot_and_changes_no_setting():
    code = ("import matplotlib, sys; before = matplotlib.rcParams.copy()\n"
            "import numpy as np; from eventsim import plots\n"
            "figure = plots.traces(np.arange(5.0)[:, None]); plots.svg(figure)\n"
            "assert matplotlib.rcParams.copy() == before\n"
            "print('matplotlib.pyplot' in sys.modules)")
    environment = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "MPLBACKEND")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment,
                          check=True)
    assert done.stdout.strip() == "False" and not done.stderr


def test_pictures_do_not_follow_the_users_settings(tmp_path):
    import matplotlib

    train = {"a": train_of(random_levels((2, 4, 6), 1))}
    plots.save_figure(plots.rates(train), tmp_path / "plain.svg")
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red", "lines.linewidth": 9,
                                "svg.fonttype": "path", "text.color": "green", "xtick.labelsize": 40}):
        plots.save_figure(plots.rates(train), tmp_path / "other.svg")
    assert (tmp_path / "plain.svg").read_bytes() == (tmp_path / "other.svg").read_bytes()


# ---- what is drawn is what was given


@pytest.mark.parametrize("bits, signed", ((1, False), (3, False), (2, True), (16, False)))
@pytest.mark.parametrize("shape", ((5,), (70,), (3, 4, 5), (66, 2, 1)))
def test_binned_levels_are_means_of_levels(bits, signed, shape):
    levels = random_levels((3, 7, *shape), bits, signed)
    spikes = spikes_of(levels, bits, signed)
    samples, n = [2, 0], int(np.prod(shape))
    flat = levels[samples].reshape(14, n).T  # neurons in the order of the shape, steps on end
    for rows, columns in ((1, 1), (3, 4), (n, 14), (1000, 1000)):
        binned = binning.bin_spikes(spikes, samples, rows, columns)
        for i in range(len(binned.neuron_edges) - 1):
            for j in range(len(binned.step_edges) - 1):
                cell = flat[slice(*binned.neuron_edges[i : i + 2]), slice(*binned.step_edges[j : j + 2])]
                assert binned.levels[i, j] == pytest.approx(np.abs(cell).mean(), rel=1e-12)
        assert np.array_equal(binned.events, (flat != 0).sum(axis=1))
        assert np.array_equal(binned.by_step, (flat != 0).sum(axis=0))
    step, neuron, level = events_of(spikes, samples)
    again = np.zeros_like(flat)
    again[neuron, step] = level
    assert np.array_equal(again, flat)
    assert count_events(spikes, samples) == np.count_nonzero(flat) == len(step)


def test_binning_in_small_blocks_gives_the_same(monkeypatch):
    spikes = spikes_of(random_levels((2, 600, 9), 2, rate=0.9), 2)
    whole = binning.bin_spikes(spikes, [0, 1], 4, 3)
    monkeypatch.setattr(binning, "BLOCK", 20)
    for a, b in zip(whole, binning.bin_spikes(spikes, [0, 1], 4, 3)):
        assert np.array_equal(a, b)
    assert count_events(spikes, [0, 1]) == whole.events.sum()


def test_popcounts_agree_with_and_without_numpy_2(monkeypatch):
    words = np.random.default_rng(0).integers(0, 2**63, (3, 5)).astype(np.uint64)
    expected = sum(bin(int(word)).count("1") for word in words.ravel())
    assert set_bits(words) == expected
    monkeypatch.delattr(np, "bitwise_count", raising=False)
    assert set_bits(words) == expected


def main_axes(figure):
    return next(axes for axes in figure.axes if axes.get_ylabel() == "neuron")


def test_marks_stand_where_the_events_are():
    levels = random_levels((2, 12, 9), 2, rate=0.2)
    axes = main_axes(plots.raster(spikes_of(levels, 2), 1))
    found = np.zeros((12, 9), int)
    heights = []
    for level, patch in enumerate(axes.patches, 1):
        corners = patch.get_path().vertices.reshape(-1, 5, 2)[:, :4]
        centres = corners.mean(axis=1) - 0.5
        heights.append(np.ptp(corners[0, :, 1]))
        assert np.allclose(centres, np.round(centres))
        step, neuron = np.round(centres).astype(int).T
        found[step, neuron] = level
    assert np.array_equal(found, levels[1])
    assert heights == sorted(heights) and len(set(heights)) == 3, "the higher the level, the taller the mark"


def test_signed_marks_have_colours_of_their_own():
    levels = np.array([[[0, 1, -1, 2, -2]]])
    axes = main_axes(plots.raster(spikes_of(levels, 2, signed=True)))
    negative = to_rgb(style.VERMILLION)
    colours = [to_rgb(patch.get_facecolor()) for patch in axes.patches]
    assert colours.count(negative) == 2 and len(colours) == 4


@pytest.mark.parametrize("signed", (False, True))
def test_cells_are_exact_where_there_is_room(signed):
    levels = random_levels((1, 60, 150), 1, signed, rate=0.5)
    axes = main_axes(plots.raster(spikes_of(levels, 1, signed)))
    [image] = images(axes)
    picture = np.asarray(image.get_array())
    assert picture.shape == (150, 60, 4)
    assert np.array_equal(picture[..., 3] > 0, levels[0].T != 0)
    assert np.array_equal((picture[..., :3] == to_rgb(style.VERMILLION)).all(-1), levels[0].T < 0)
    assert image.get_extent() == [0, 60, 150, 0]


def test_many_spikes_are_a_density():
    levels = random_levels((1, 900, 700), 1, rate=0.1)
    levels[:, :, 100:200] = 0
    axes = main_axes(plots.raster(spikes_of(levels, 1)))
    [image] = images(axes)
    picture = np.ma.filled(image.get_array(), 0)
    binned = binning.bin_spikes(spikes_of(levels, 1), [0], *picture.shape)
    assert picture.size <= 280 * 420 and np.array_equal(np.nan_to_num(picture), binned.levels)
    assert binned.events[100:200].sum() == 0 and (picture[41:79] == 0).all()


def test_a_raster_shows_silent_neurons():
    levels = np.zeros((1, 8, 10), int)
    levels[:, :, ::2] = 1
    figure = plots.raster(spikes_of(levels, 1), 0, "layer")
    assert "Silent: 5 neurons (50\u00a0%)." in shown(figure) and "silent" in texts(figure)
    [strip] = [image for axes in figure.axes if axes.get_title() == "silent" for image in images(axes)]
    assert np.array_equal(np.asarray(strip.get_array())[:, 0], [0, 1] * 5)


def test_several_samples_follow_one_another():
    levels = random_levels((3, 4, 6), 1, rate=0.5)
    figure = plots.raster(spikes_of(levels, 1), [2, 0])
    axes = main_axes(figure)
    assert axes.get_xlabel() == "sample, 4 steps each"
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["2", "0"]
    corners = axes.patches[0].get_path().vertices.reshape(-1, 5, 2)[:, :4].mean(axis=1) - 0.5
    found = np.zeros((8, 6), int)
    found[tuple(np.round(corners).astype(int).T)] = 1
    assert np.array_equal(found, np.concatenate([levels[2], levels[0]]))


def test_a_missing_sample_is_named():
    with pytest.raises(DataError, match="^no sample 3 among the 2 samples of fc: choose one from 0 to 1$"):
        plots.raster(spikes_of(np.ones((2, 1, 1), int), 1), 3, "fc")


def test_rates_are_counted_and_silence_is_written():
    levels = np.zeros((2, 10, 20), int)
    levels[:, :5, :10] = 1
    levels[:, :, 19] = 1
    figure = plots.rates({"layer": train_of(levels)})
    heights = [np.ptp(patch.get_xy()[:, 1]) for patch in figure.axes[0].patches]
    assert len(heights) == 1 and heights[0] == pytest.approx(0.86), "the fullest bin fills the row"
    assert {"0.3", "45\u00a0%", "5.0\u00a0%"} <= set(texts(figure))
    _, mean = figure.axes[0].lines  # after the line on which the histogram stands
    assert mean.get_xdata()[0] == pytest.approx(0.3)
    image = images(figure.axes[1])[0].get_array()
    assert np.allclose(np.ma.filled(image, 0)[0], [0.55] * 5 + [0.05] * 5)


def test_ridges_have_the_heights_of_the_histogram():
    rng = np.random.default_rng(0)
    train = train_of((rng.random((1, 200, 50)) < rng.random(50)).astype(int))
    patch = plots.rates({"a": train}).axes[0].patches[0]
    outline = patch.get_xy()
    edges = np.unique(outline[:, 0])
    found = np.histogram(train.rates[train.rates > 0], edges)[0]
    drawn = 0.44 - outline[1:-1:2, 1][: len(found)]
    assert found.sum() == (train.rates > 0).sum()
    assert np.allclose(drawn, 0.86 * found / found.max())


def test_rare_rates_are_on_a_log_axis():
    levels = np.zeros((1, 3000, 30), int)
    for i in range(30):
        levels[0, : 3 + i % 5, i] = 1
    levels[0, :, 0] = 1
    assert plots.rates({"a": train_of(levels)}).axes[0].get_xscale() == "log"


def test_levels_are_shares_of_events():
    levels = np.array([[[1, 1, 1, 1, 2, 2, 3, 0]]])
    figure = plots.levels({"a": train_of(levels, 2)})
    axes = figure.axes[0]
    tops = {}
    for bar in axes.collections:
        outline = bar.get_paths()[0].vertices
        tops[round((outline[:, 0].min() + outline[:, 0].max()) / 2, 9)] = 0.44 - outline[:, 1].min()
    assert list(tops) == [1, 2, 3] and np.allclose(list(tops.values()), 0.86 * np.array([4, 2, 1]) / 4)
    assert axes.get_xlabel() == "level of the event"
    assert {"12\u00a0%", "1.57", "14\u00a0%"} <= set(texts(figure))


def test_levels_of_layers_with_other_bits_share_an_axis():
    figure = plots.levels({"a": train_of([[[3, 1]]], 2), "b": train_of([[[1, 0]]], 1)})
    assert figure.axes[0].get_xlabel() == "level of the event / highest level of the layer"
    centres = [bar.get_paths()[0].vertices[:, 0] for bar in figure.axes[0].collections]
    assert np.allclose(sorted((x.min() + x.max()) / 2 for x in centres), [1 / 3, 1, 1])


def test_planes_show_the_share_of_set_bits_and_mark_unused_ones():
    figure = plots.planes({"a": train_of([[[1, 5, 4, 0]]], 3), "b": train_of([[[1, 0]]], 1)})
    table = np.ma.filled(images(figure.axes[0])[0].get_array(), np.nan)
    assert np.array_equal(table, [[0.5, -1, 0.5], [0.5, np.nan, np.nan]], equal_nan=True)
    assert texts(figure).count("never") == 1 and texts(figure).count("50\u00a0%") >= 3


def test_intervals_are_the_histogram():
    levels = np.zeros((1, 12, 1), int)
    levels[0, [0, 2, 4, 5, 11]] = 1
    train = train_of(levels)
    figure = plots.intervals({"a": train})
    outline = figure.axes[0].patches[0].get_xy()
    heights = (0.44 - outline[1:-1:2, 1]) / 0.86
    assert np.allclose(heights[:6], np.array([1, 2, 0, 0, 0, 1]) / 2)
    assert f"{train.cv[0]:.3g}" in texts(figure) and f"{train.lv[0]:.3g}" in texts(figure)


def test_long_intervals_are_on_a_log_axis():
    levels = np.zeros((1, 500, 2), int)
    levels[0, [0, 1, 3, 400], 0] = 1
    assert plots.intervals({"a": train_of(levels)}).axes[0].get_xscale() == "log"


def test_correlations_are_the_matrix_without_its_diagonal():
    train = train_of(random_levels((4, 50, 6), 1, rate=0.5))
    figure = plots.correlations(train)
    matrix = np.ma.filled(images(figure.axes[0])[0].get_array(), np.nan)
    off = ~np.eye(6, dtype=bool)
    assert np.isnan(np.diagonal(matrix)).all() and np.array_equal(matrix[off], train.correlations[off])
    assert sum(figure.axes[2].patches[0].get_data().values) == 15


def test_maps_are_the_rates():
    train = train_of(random_levels((5, 4, 6, 3, 4), 1, rate=0.5))
    figure = plots.maps(train, "conv")
    mean, mosaic = (np.ma.filled(image.get_array(), np.nan) for axes in figure.axes[:3] for image in images(axes))
    rates = train.rates.reshape(6, 3, 4)
    assert np.allclose(mean, rates.mean(axis=0))
    across = (mosaic.shape[1] + 1) // 5
    for i in range(6):
        y, x = i // across * 4, i % across * 5
        assert np.array_equal(mosaic[y : y + 3, x : x + 4], rates[i])


def test_large_maps_are_averaged():
    train = train_of(np.ones((1, 1, 2, 300, 301), int))
    mean, mosaic = (image.get_array() for axes in plots.maps(train).axes for image in images(axes)[:1]
                    if image.get_array().ndim == 2 and image.get_array().size > 300)
    assert np.ma.filled(mosaic, np.nan).size < 110_000
    assert np.nanmin(np.ma.filled(mosaic, np.nan)) == np.nanmax(np.ma.filled(mosaic, np.nan)) == 1


def test_operations_are_the_counts_per_sample():
    row = {"additions": np.array([10, 30]), "macs": np.array([0, 0]), "dense_macs": np.array([5, 5])}
    other = {"additions": np.array([1, 1]), "macs": np.array([7, 7]), "dense_macs": np.array([80, 80])}
    figure = plots.operations(Counts({"a": 1, "b": 1}, 2, 4, {"a": row, "b": other}))
    points = {(line.get_marker(), line.get_ydata()[0]): line.get_xdata()[0] for line in figure.axes[0].lines
              if len(line.get_xdata()) == 1}
    assert points == {("o", 0): 20, ("D", 0): 5, ("o", 1): 8, ("D", 1): 80}
    assert figure.axes[0].get_xscale() == "log"
    worse = [text for text in figure.findobj(Text) if text.get_text() == "4"]
    assert worse and worse[0].get_color() == style.VERMILLION, "more additions than dense MACs stands out"


def test_membranes_are_the_histograms_with_thresholds():
    rng = np.random.default_rng(0)
    potentials = rng.normal(1, 1, (2, 5, 40))
    levels = np.clip(np.floor(potentials), 0, 3)
    layer = membranes_of(potentials, levels, bits=2, rectify=True)
    figure = plots.membranes({"a": layer})
    axes = next(axes for axes in figure.axes if axes.get_xlabel())
    drawn = [np.asarray(patch.get_data().values) for patch in axes.patches]
    for values, given in zip(drawn, (layer.potentials, layer.residuals, layer.rectified)):
        assert np.allclose(values, 100 * given[1:-1].reshape(-1, 2).sum(axis=1) / given.sum())
    assert [line.get_xdata()[0] for line in axes.lines] == [1, 2, 3]
    assert f"(u\u00a0−\u00a0o)² {layer.error:.3g} → {layer.rectified_error:.3g}" in shown(figure)


def test_many_membranes_stand_in_rows():
    layer = membranes_of(np.linspace(-3, 3, 300).reshape(1, 3, 100), np.zeros((1, 3, 100)))
    figure = plots.membranes({f"layer{i}": layer for i in range(9)})
    assert len(figure.axes[0].patches) == 9
    assert [tick.get_text() for tick in figure.axes[0].get_yticklabels()] == [f"layer{i}" for i in range(9)]


def test_membranes_of_large_layers_say_that_neurons_were_left_out():
    small, large = (membranes_of(np.zeros((1, 2, n)), np.zeros((1, 2, n))) for n in (4095, 4096))
    for kind in (plots.membranes, plots.drift):
        assert "at most 4,096 neurons of a layer" in kind({"a": small, "b": large}).get_label()
        assert "at most" not in kind({"a": small}).get_label()


def test_membranes_beyond_the_axis_and_beyond_numbers_are_written():
    potentials = np.array([[[-99.0, 99, np.nan, 0.5]]])
    found = shown(plots.membranes({"a": membranes_of(potentials, np.zeros((1, 1, 4)))}))
    assert "33\u00a0% of H below" in found and "33\u00a0% of H above" in found and "1 not finite" in found


def test_drift_is_the_root_mean_square():
    layer = membranes_of(np.arange(12.0).reshape(1, 4, 3), np.zeros((1, 4, 3)))
    line = plots.drift({"a": layer}).axes[0].lines[0]
    assert np.allclose(line.get_xdata(), [1, 2, 3, 4]) and np.allclose(line.get_ydata(), layer.drift)


def test_traces_are_the_arrays():
    rng = np.random.default_rng(0)
    h, u, current = rng.normal(size=(3, 9, 2, 3))
    levels = 2 * np.eye(9, 6, dtype=int).reshape(9, 2, 3)
    figure = plots.traces(h, u, current, levels, 0.5, neurons=(4, 0))
    panels = [axes for axes in figure.axes if axes.axison]
    assert len(panels) == 2 and {"neuron 4", "neuron 0"} <= set(texts(figure))
    for axes, neuron in zip(panels, (4, 0)):
        for line, values in zip(axes.lines, (current, u, h)):
            assert np.allclose(line.get_ydata(), values.reshape(9, 6)[:, neuron])
            assert list(line.get_xdata()) == list(range(1, 10))
        assert axes.lines[3].get_ydata()[0] == 0.5
        assert list(axes.lines[4].get_xdata()) == [neuron + 1] and "2" in [t.get_text() for t in axes.texts]


def test_traces_choose_neurons_that_move():
    potentials = np.zeros((5, 100))
    potentials[:, 7] = np.arange(5)
    assert "neuron 7" in texts(plots.traces(potentials))
    with pytest.raises(DataError, match="^no neuron 100 in fc: choose one from 0 to 99$"):
        plots.traces(potentials, neurons=(100,), name="fc")


def test_accuracy_and_final_shares_are_the_curves():
    outputs = np.zeros((4, 3, 2))
    outputs[:, :, 1] = [[1, -1, 1], [1, 1, 1], [-1, -1, 1], [-1, -1, -1]]
    decisions = Decisions.of(outputs, np.array([1, 1, 1, 1]))
    axes = plots.accuracy(decisions).axes[0]
    lines = [line for line in axes.lines if len(line.get_xdata()) == 3]
    assert np.array_equal(lines[0].get_ydata(), [0.5, 0.25, 0.75])
    assert np.array_equal(lines[1].get_ydata(), decisions.final_share) and list(lines[0].get_xdata()) == [1, 2, 3]
    without = plots.accuracy(Decisions.of(outputs))
    assert "prediction is right" not in shown(without) and "prediction is final" in shown(without)


def test_names_that_are_not_the_classes_are_not_drawn():
    """A file's names may be those of another model."""
    outputs = np.eye(3)[[0, 1, 2]][:, None]
    drawn = plots.confusion(Decisions.of(outputs, np.array([0, 1, 1]), ("cat", "dog"))).axes[0]
    assert [label.get_text() for label in drawn.get_xticklabels()] == ["0", "1", "2"]


def test_labels_that_are_no_classes_have_no_matrix():
    outputs = np.eye(3)[[0, 1, 2]][:, None]
    figure = plots.confusion(Decisions.of(outputs, np.array([-1, 3, 7])))
    assert "Nothing to show: no label is a class of the model." in shown(figure)


def test_confusion_says_what_it_leaves_out():
    outputs = np.eye(3)[[0, 1, 2]][:, None]
    text = shown(plots.confusion(Decisions.of(outputs, np.array([0, 1, 3]))))
    assert "2 of 2 samples right (100\u00a0%), without 1 sample whose label is no class of the model." in text


def test_confusion_is_the_matrix():
    outputs = np.eye(3)[[0, 0, 1, 2, 1]][:, None]
    figure = plots.confusion(Decisions.of(outputs, np.array([0, 1, 1, 2, 2]), ("cat", "do$g", "emu")))
    axes = figure.axes[0]
    assert np.allclose(np.ma.filled(images(axes)[0].get_array(), 0), [[1, 0, 0], [0.5, 0.5, 0], [0, 0.5, 0.5]])
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["cat", r"do\$g", "emu"]
    assert sorted(text.get_text() for text in axes.texts) == ["1"] * 5
    assert "3 of 5 samples right (60\u00a0%)." in shown(figure)


# ---- extremes


@lru_cache(maxsize=None)
def extreme_trains():
    silent = train_of(np.zeros((2, 3, 4), int))
    return {
        "one neuron, one step": train_of(np.ones((1, 1, 1), int)), "no spike": silent,
        "all firing": train_of(np.ones((2, 3, 4), int)), "16 bits": train_of(random_levels((1, 2, 3), 16), 16),
        "signed": train_of(random_levels((2, 5, 6), 3, True), 3, True),
        "a line": train_of(np.ones((1, 2, 3, 5), int)),
        "many neurons": train_of(np.ones((1, 1, 5000), int)), "odd": train_of(random_levels((2, 9, 3, 7, 2), 1)),
    }


EXTREMES = ("one neuron, one step", "no spike", "all firing", "16 bits", "signed", "a line", "many neurons", "odd")


@pytest.mark.parametrize("name", EXTREMES)
@pytest.mark.parametrize("kind", ("rates", "levels", "planes", "intervals", "maps", "correlations"))
def test_extreme_trains(kind, name):
    train = extreme_trains()[name]
    _drawn(getattr(plots, kind)(train if kind in ("maps", "correlations") else {name: train}))


def test_extreme_trains_together():
    assert tuple(extreme_trains()) == EXTREMES
    for kind in ("rates", "levels", "planes", "intervals", "maps"):
        _drawn(getattr(plots, kind)(extreme_trains()))


def _drawn(figure):
    """Draw without a warning; returns the fragment."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fragment = plots.svg(figure)
    ElementTree.fromstring(fragment)
    return fragment


@pytest.mark.parametrize("levels, bits, signed", (
    (np.ones((1, 1, 1)), 1, False), (np.zeros((1, 1, 1)), 1, False), (np.zeros((2, 7, 9)), 3, True),
    (np.ones((1, 3, 3000)), 1, False), (np.ones((1, 3000, 3)), 1, False),
    (random_levels((1, 4, 50), 16), 16, False), (random_levels((1, 400, 500), 16, rate=0.01), 16, False),
    (random_levels((1, 9, 9), 5, True), 5, True), (random_levels((2, 500, 300), 3, True), 3, True),
))
def test_extreme_rasters(levels, bits, signed):
    spikes = spikes_of(levels.astype(int), bits, signed)
    assert len(_drawn(plots.raster(spikes, range(len(levels))))) < 150_000
    assert len(_drawn(plots.raster({"a": spikes, "b": spikes}))) < 300_000


def test_nothing_is_said_in_words():
    none = train_of(np.zeros((1, 2, 3), int))
    empty = replace(none, n_samples=0, n_detailed=0)
    counts = Counts({}, 0, 0)
    for figure in (plots.rates({}), plots.levels({"a": empty}), plots.planes({}), plots.maps({}),
                   plots.maps(empty), plots.intervals({"a": empty}), plots.correlations(empty),
                   plots.operations(counts),
                   plots.membranes({}), plots.drift({}), plots.traces(np.zeros((0, 3))), plots.raster({}),
                   plots.accuracy(Decisions(0, np.zeros(3, int))), plots.confusion(Decisions(3, np.array([3])))):
        assert "Nothing to show: " in shown(figure)
        _drawn(figure)
    for figure in (plots.rates({"a": none}), plots.levels({"a": none}), plots.raster(spikes_of([[[0]]], 1))):
        assert "no neuron fired" in shown(figure)
    assert "no neuron fired twice in a sample" in shown(plots.intervals({"a": none}))


def test_sixty_layers_are_longer_not_smaller():
    train = extreme_trains()["signed"]
    layer = membranes_of(np.linspace(-3, 3, 300).reshape(1, 3, 100), np.zeros((1, 3, 100)), rectify=True)
    row = {name: np.array([9]) for name in ("additions", "macs", "dense_macs")}
    names = [f"features.stage{i}.block.with.a.long.name.{i}" for i in range(60)]
    figures = {
        **{kind: getattr(plots, kind)(dict.fromkeys(names, train))
           for kind in ("rates", "levels", "planes", "intervals")},
        "membranes": plots.membranes(dict.fromkeys(names, layer)),
        "drift": plots.drift(dict.fromkeys(names, layer)),
        "operations": plots.operations(Counts(dict.fromkeys(names, 1), 1, 1, dict.fromkeys(names, row))),
    }
    for kind, figure in figures.items():
        assert len(_drawn(figure)) < 150_000, kind
        if kind != "drift":
            labels = [tick.get_text() for tick in figure.axes[0].get_yticklabels()]
            assert len(labels) == 60 and labels[7] == "features.st….long.name.7" and figure.get_figheight() > 14


@pytest.mark.parametrize("name", ODD)
def test_odd_names_are_shown_as_they_are(name):
    train = train_of(random_levels((2, 4, 2, 3, 3), 1))
    layer = membranes_of(np.zeros((1, 2, 3)), np.zeros((1, 2, 3)))
    row = {key: np.array([9]) for key in ("additions", "macs", "dense_macs")}
    outputs = np.zeros((2, 1, 2))
    readable = " ".join("".join(c if c.isprintable() else " " for c in name).split())
    for figure in (plots.rates({name: train}), plots.levels({name: train}), plots.planes({name: train}),
                   plots.intervals({name: train}), plots.maps(train, name), plots.correlations(train, name),
                   plots.raster(spikes_of([[[1]]], 1), 0, name), plots.membranes({name: layer}),
                   plots.drift({name: layer}), plots.traces(np.ones((2, 2)), name=name),
                   plots.operations(Counts({name: 1}, 1, 1, {name: row})),
                   plots.confusion(Decisions.of(outputs, np.array([0, 1]), (name, "b")))):
        root = ElementTree.fromstring(plots.svg(figure))
        written = " ".join("".join(text.itertext()) for text in root.iter("text"))
        if len(readable) <= 14:
            assert readable in written
        if len(readable) > 40:
            assert readable[:8] in written and readable[-6:] in written


def test_long_names_keep_their_ends():
    assert style.short("layer1.0.block2.neuron", 15) == "layer1.….neuron"
    assert style.short("short", 15) == "short" and len(style.short("x" * 99)) == 24


def test_names_that_would_look_the_same_are_longer():
    names = [f"features.block{i}.convolution.neuron" for i in range(3)]
    assert len(set(style.told_apart(names))) == 3 and max(map(len, style.told_apart(names))) < 40


@pytest.mark.parametrize("value, text", (
    (0, "0"), (950, "950"), (1234, "1.23 k"), (-5e6, "−5 M"), (3.2e9, "3.2 G"), (np.nan, "–"),
    (0.0123, "0.0123"), (999999, "1 M"), (-np.inf, "–")))
def test_quantities(value, text):
    assert style.quantity_label(value).replace("\u00a0", " ") == text


@pytest.mark.parametrize("share, text", (
    (0, "0 %"), (1e-5, "< 0.1 %"), (0.005, "0.5 %"), (0.123, "12 %"), (0.99999, "> 99.9 %"), (1, "100 %"),
    (np.nan, "–")))
def test_shares_above_nothing_are_never_nothing(share, text):
    assert style.percent_label(share).replace("\u00a0", " ") == text


# ---- colours


def _luminance(colour):
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


def _contrast(a, b):
    low, high = sorted((_luminance(a), _luminance(b)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("colour", (style.BLUE, style.VERMILLION, style.GREEN, style.GREY, style.VIOLET))
def test_main_colours_are_seen_on_light_and_dark(colour):
    """WCAG 2.1, 1.4.11: 3 to 1 for graphics; on white and on the dark of a page."""
    assert _contrast(colour, "#ffffff") >= 3 and _contrast(colour, "#16191d") >= 3


# to linear RGB as dichromats see it: H. Brettel, F. Vienot, J. Mollon, 1997, in the one-plane form of
# F. Vienot, H. Brettel, J. Mollon, "Digital video colourmaps", Color Res. Appl. 24, 1999
DICHROMATS = {
    "protanope": [[0.11238, 0.88762, 0], [0.11238, 0.88762, 0], [0.00401, -0.00401, 1]],
    "deuteranope": [[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]],
}


@pytest.mark.parametrize("who", DICHROMATS)
def test_colours_that_mean_something_differ_for_the_colour_blind(who):
    def seen(colour):
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
        return np.clip(np.array(DICHROMATS[who]) @ linear, 0, 1) ** (1 / 2.2)

    for a, b in ((style.BLUE, style.VERMILLION), (style.SKY, style.VERMILLION), (style.BLUE, style.SKY),
                 (style.BLUE, style.GREEN), (style.VERMILLION, style.GREEN)):
        assert np.linalg.norm(seen(a) - seen(b)) > 0.2, (a, b)


# ---- files and fragments


@pytest.mark.parametrize("suffix", (".png", ".svg", ".pdf"))
def test_files_are_the_same_bytes_each_time(tmp_path, suffix):
    first, second = tmp_path / f"first{suffix}", tmp_path / f"second{suffix}"
    spikes = spikes_of(random_levels((1, 600, 700), 2), 2)
    for path in (first, second):
        plots.save_figure(plots.raster(spikes), path)
    content = first.read_bytes()
    assert content == second.read_bytes() and content[:4] in (b"\x89PNG", b"<?xm", b"%PDF")
    assert sorted(os.listdir(tmp_path)) == sorted((first.name, second.name)), "no temporary file is left"


def test_other_suffixes_and_paths_that_cannot_be_written_are_refused(tmp_path):
    figure = plots.rates({})
    for name, found in (("a.jpg", "'.jpg'"), ("a", "without a suffix")):
        with pytest.raises(DataError, match=r"pictures are written as \.png, \.svg or \.pdf, not " + found
                           + r"; name it a\.png$"):
            plots.save_figure(figure, tmp_path / name)
    with pytest.raises(DataError, match=r"missing/a\.png: cannot be written \(No such file or directory\)"):
        plots.save_figure(figure, tmp_path / "missing" / "a.png")
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(DataError, match=r"folder\.png: cannot be written \(Is a directory\)"):
        plots.save_figure(figure, tmp_path / "folder.png")
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"cannot be written \(Not a directory\)"):
        plots.save_figure(figure, tmp_path / "file" / "a.png")
    assert sorted(os.listdir(tmp_path)) == ["file", "folder.png"]


@pytest.mark.parametrize("kind", LABELS)
def test_fragments_fit_into_a_page(pictures, kind):
    fragment = plots.svg(pictures[kind], f"fig-{kind}")
    assert fragment == plots.svg(pictures[kind], f"fig-{kind}"), "the same each time"
    assert fragment.startswith("<svg ") and fragment.endswith("</svg>") and len(fragment) < 150_000
    for foreign in ("http", "<?xml", "<!DOCTYPE", "<style"):
        assert foreign not in fragment
    root = ElementTree.fromstring(fragment)
    assert root.get("role") == "img" and len(root.get("aria-label")) > 10 and root.get("width") == "100%"
    assert len(root.get("viewBox").split()) == 4 and root.get("height") is None
    ids = [element.get("id") for element in root.iter() if element.get("id")]
    assert len(ids) == len(set(ids)) and all(name.startswith(f"fig-{kind}-") for name in ids)
    pointed = re.findall(r"url\(#([^)]+)\)", fragment) + re.findall(r'href="#([^"]+)"', fragment)
    assert set(pointed) == set(ids)
    for address in re.findall(r'href="([^#"][^"]*)"', fragment):
        assert address.startswith("data:image/png;base64,")
    assert [element.text for element in root.iter("text")], "text stays text"
    assert style.FOREGROUND not in re.sub(r"var\([^)]*\)", "", fragment), "the page's colour, not ours"
    assert style.GRID not in re.sub(r"var\([^)]*\)", "", fragment)
    assert "var(--figure-foreground" in fragment and style.BACKGROUND not in fragment


def test_two_fragments_share_no_id(pictures):
    first, second = (set(re.findall(r' id="([^"]+)"', plots.svg(pictures["rates"], name))) for name in ("a", "b"))
    assert first and not first & second


def test_embedded_pictures_keep_their_pixels():
    """A palette instead of four bytes a pixel; read back, the same colours."""
    import base64
    import io

    from matplotlib.image import imread

    levels = random_levels((1, 30, 80), 2, rate=0.9)
    figure = plots.raster(spikes_of(levels, 2))
    given = np.asarray(images(main_axes(figure))[0].get_array())
    found = [imread(io.BytesIO(base64.b64decode(data)))
             for data in re.findall(r"data:image/png;base64,([^\"]+)", plots.svg(figure))]
    picture = next(image for image in found if image.shape[:2] == (80, 30))
    if not np.allclose(picture, given, atol=1 / 255):
        picture = picture[::-1]  # matplotlib stores it from the bottom, with a transform that turns it
    assert np.allclose(picture, given, atol=1 / 255)


# ---- from the file of a run


def _model():
    rng = np.random.default_rng(0)
    nodes = {
        "in": Input((1, 6, 6)), "conv": Conv2d(rng.normal(0, 0.5, (4, 1, 3, 3)), padding=1),
        "fire": Neuron(bits=2, v_threshold=0.5, rectify=True), "pool": AvgPool(2), "flat": Flatten(),
        "fc": Dense(rng.normal(0, 0.3, (3, 36))), "out": Readout(),
    }
    return Model(nodes, list(zip(nodes, list(nodes)[1:])), timesteps=5, class_names=("a", "b", "c"))


RECORDS = {
    "full": ("statistics", "intervals", "membranes", "outputs", "spikes", "potentials", "residuals", "currents"),
    "bare": (),
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Files of the same run with everything and with nothing recorded."""
    folder = tmp_path_factory.mktemp("runs")
    x = np.random.default_rng(1).integers(0, 2, (6, 5, 1, 6, 6))
    for name, record in RECORDS.items():
        recording = Simulator(_model()).run(x, record=record)
        eventsim.save_run(recording, folder / f"{name}.h5", None if name == "bare" else np.arange(6) % 3)
    opened = {name: open_run(folder / f"{name}.h5") for name in RECORDS}
    yield opened
    for run in opened.values():
        run.close()


@pytest.mark.parametrize("kind", plots.KINDS)
def test_every_kind_is_drawn_from_a_run(runs, kind):
    assert plots.KINDS[kind].__doc__
    fragment = _drawn(plots.KINDS[kind](runs["full"]))
    assert "Nothing to show" not in fragment


NEEDS = {
    "raster": "spikes of no layer were recorded; run again with --out and --record spikes",
    "traces": "potentials of no layer were recorded; run again with --out and --record potentials:LAYER",
    "membranes": "membranes of no layer were recorded; run again with --out and --detailed 8",
    "drift": "membranes of no layer were recorded; run again with --out and --detailed 8",
    "intervals": "intervals of no layer were recorded; run again with --out and --detailed 8",
    "correlations": "intervals of no layer were recorded; run again with --out and --detailed 8",
    **dict.fromkeys(("rates", "levels", "planes", "maps"),
                    "statistics of no layer were recorded; run again with --out"),
    **dict.fromkeys(("accuracy", "confusion"), "answers after each step were not kept; run again with --out"),
}


@pytest.mark.parametrize("kind", NEEDS)
def test_what_a_run_lacks_is_named_with_the_remedy(runs, kind):
    with pytest.raises(RunError) as caught:
        plots.KINDS[kind](runs["bare"])
    assert str(caught.value).startswith(f"{runs['bare'].path}: {NEEDS[kind]}") and "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", NEEDS)
def test_the_remedy_for_a_file_of_save_run_is_one_of_python(runs, kind, tmp_path):
    """What it says of `record` is what the picture needs."""
    with pytest.raises(RunError) as caught:
        plots.KINDS[kind](runs["bare"])
    record = ast.literal_eval(str(caught.value).partition("or, for save_run, record=")[2])
    recording = Simulator(_model()).run(np.random.default_rng(1).integers(0, 2, (6, 5, 1, 6, 6)), record=record)
    eventsim.save_run(recording, tmp_path / "run.h5", labels=np.arange(6) % 3)
    with open_run(tmp_path / "run.h5") as run:
        assert "Nothing to show" not in _drawn(plots.KINDS[kind](run))


def test_layers_and_samples_can_be_chosen(runs):
    run = runs["full"]
    names = [tick.get_text() for tick in plots.KINDS["rates"](run, ["fire"]).axes[0].get_yticklabels()]
    assert names == ["fire"]
    figure = plots.KINDS["raster"](run, ["fire"], sample=[4, 1])
    assert [tick.get_text() for tick in main_axes(figure).get_xticklabels()] == ["4", "1"]
    assert "neuron 5" in texts(plots.KINDS["traces"](run, ["fire"], 2, neurons=(5,)))
    for kind, layers, sample, message in (
        ("rates", ["nowhere"], None, "no statistics of 'nowhere' \\(there are: 'in', 'fire'"),
        ("traces", ["in"], 0, "no potentials of 'in'"),
        ("raster", None, 6, "no sample 6; the run has samples 0 to 5"),
        ("traces", None, -1, "no sample -1; the run has samples 0 to 5"),
        ("traces", ["fire", "out"], 0, "traces show one layer at a time, not 2; name one of them"),
    ):
        with pytest.raises(RunError, match=message):
            plots.KINDS[kind](run, layers, sample)


@pytest.mark.parametrize("kind", plots.KINDS)
def test_a_kind_refuses_what_it_does_not_take(runs, kind):
    given = dict(layers=["fire"], sample=0, neurons=(0,))
    for argument in given.keys() - set(plots.KINDS[kind].takes):
        with pytest.raises(DataError, match=f"^{argument} is no argument of {kind}, only of "):
            plots.KINDS[kind](runs["full"], **{argument: given[argument]})


def _dashed(figure):
    """Where dashed lines are: heights or, of upright ones, places."""
    lines = [line for axes in figure.axes for line in axes.lines if line.get_linestyle() not in ("-", "None")]
    return {float(values[0]) for line in lines for values in (line.get_xdata(), line.get_ydata())
            if values[0] == values[1]}


def test_thresholds_are_where_neurons_fire(tmp_path):
    """Neurons that rectify fire from where phi(H) reaches v_threshold; SigmaDelta has no threshold on H."""
    x = np.random.default_rng(3).integers(0, 4, (4, 30, 3))
    nodes = {"in": Input((3,), bits=2), "d": Dense(np.random.default_rng(0).normal(size=(40, 3)) * 0.3),
             "n": Neuron(v_threshold=0.7, rectify=True), "o": Dense(np.ones((2, 40))), "out": Readout("sum")}
    recording = Simulator(Model(nodes, list(zip(nodes, list(nodes)[1:])), timesteps=30)).run(
        x, record=("spikes", "potentials", "residuals"))
    h, sent = recording.potentials("n"), recording.levels("n") > 0
    eventsim.save_run(recording, tmp_path / "mpr.h5")
    with open_run(tmp_path / "mpr.h5") as run:
        [at] = _dashed(plots.KINDS["traces"](run))
        assert h[~sent].max() < at <= h[sent].min() and at < 0.65
        [at] = _dashed(plots.KINDS["membranes"](run))
        assert h[~sent].max() < 0.7 * at <= h[sent].min()
    nodes = {"in": Input((3,), bits=4), "n": SigmaDelta("delta", v_threshold=2.0), "o": Dense(np.ones((2, 3))),
             "out": Readout("sum")}
    recording = Simulator(Model(nodes, list(zip(nodes, list(nodes)[1:])), timesteps=30)).run(
        x, record=("spikes", "potentials"))
    eventsim.save_run(recording, tmp_path / "sdnn.h5")
    with open_run(tmp_path / "sdnn.h5") as run:
        figure = plots.KINDS["traces"](run)
        assert not _dashed(figure) and "threshold" not in " ".join(texts(figure))


@pytest.mark.parametrize("signed", (False, True))
def test_signed_neurons_have_thresholds_on_both_sides_of_0(tmp_path, signed):
    nodes = {"in": Input((3,), bits=2), "d": Dense(np.random.default_rng(0).normal(size=(40, 3)) * 0.3),
             "n": Neuron(v_threshold=0.75, quantum=0.5, bits=2, signed=signed), "o": Dense(np.ones((2, 40))),
             "out": Readout("sum")}
    recording = Simulator(Model(nodes, list(zip(nodes, list(nodes)[1:])), timesteps=30)).run(
        np.random.default_rng(3).integers(0, 4, (4, 30, 3)), record=("spikes", "potentials", "membranes"))
    eventsim.save_run(recording, tmp_path / "run.h5")
    with open_run(tmp_path / "run.h5") as run:
        figure, stored = plots.KINDS["traces"](run), run.statistics.membranes["n"]
    assert _dashed(figure) == ({0.75, -0.75} if signed else {0.75})
    notes = " ".join(texts(figure))
    assert ("first thresholds, above and below 0" in notes, "levels other than 1" in notes) == (signed, signed)
    positive = [1, 1 + 2 / 3, 1 + 4 / 3]
    expected = sorted([*positive, *(-value for value in positive)] if signed else positive)
    assert sorted(_dashed(plots.membranes({"n": stored}))) == pytest.approx(expected)
    rows = plots.membranes({f"n{i}": stored for i in range(9)})
    upright = [path.vertices[0, 0] for axes in rows.axes for lines in axes.collections
               if isinstance(lines, LineCollection) and lines.get_linestyle()[0][1] for path in lines.get_paths()]
    assert upright[: len(expected)] == pytest.approx(expected)


def test_traces_of_a_run_are_in_the_models_unit(runs, tmp_path):
    run = runs["full"]
    axes = next(axes for axes in plots.KINDS["traces"](run, ["fire"], 3, neurons=(0,)).axes if axes.axison)
    lines = {line.get_color(): line.get_ydata() for line in axes.lines[:3]}
    expected = run.trace("potentials", "fire", 3, 4)[0].reshape(5, -1)[:, 0]
    assert np.allclose(lines[style.BLUE], expected / run.steps_per_unit("fire")[0])
    x = np.random.default_rng(1).integers(0, 2, (6, 5, 1, 6, 6))
    eventsim.save_run(Simulator(_model(), "int8").run(x, record=RECORDS["full"]), tmp_path / "int8.h5")
    with open_run(tmp_path / "int8.h5") as other:
        axes = next(axes for axes in plots.KINDS["traces"](other, ["fire"], 3, neurons=(0,)).axes if axes.axison)
        again = {line.get_color(): line.get_ydata() for line in axes.lines[:3]}
        assert other.steps_per_unit("fire")[0] != 1
        assert np.allclose(again[style.BLUE], lines[style.BLUE], atol=0.2)


@pytest.mark.parametrize("scales", ([2.0], [2.0, 4.0], [1.0, 2.0, 4.0, 8.0], list(range(1, 145))))
def test_traces_are_scaled_by_channels_as_they_are_held(runs, monkeypatch, scales):
    """A flattened layer keeps the scales of the channels that it is held in, or one of each neuron."""
    run = runs["full"]
    monkeypatch.setattr(run, "steps_per_unit", lambda name: np.array(scales, float))
    monkeypatch.setitem(run.recorded, "residuals", ())
    monkeypatch.setitem(run.recorded, "currents", ())
    panels = [axes for axes in plots.KINDS["traces"](run, ["fire"], neurons=(0, 71, 143)).axes if axes.axison]
    potentials = run.trace("potentials", "fire", 0, 1)[0].reshape(5, 144)
    for axes, neuron in zip(panels, (0, 71, 143)):
        assert np.allclose(axes.lines[0].get_ydata(), potentials[:, neuron] / scales[neuron * len(scales) // 144])


def test_a_confusion_matrix_needs_labels(runs, tmp_path):
    recording = Simulator(_model()).run(np.ones((2, 5, 1, 6, 6), int), record=("outputs",))
    eventsim.save_run(recording, tmp_path / "run.h5")
    with open_run(tmp_path / "run.h5") as run:
        with pytest.raises(RunError, match="a confusion matrix needs labels; run again with data that has them"):
            plots.KINDS["confusion"](run)
        assert "prediction is final" in shown(plots.KINDS["accuracy"](run))


# ---- ten million spikes

BIG = """
import sys
import numpy as np
from eventsim.spikes import Spikes
{make}
from eventsim import plots
figure = plots.raster(spikes)
plots.save_figure(figure, sys.argv[1])
print(figure.get_label().split("\\n")[1].split(" ")[0].replace(",", ""))
# not getrusage's: a child starts with the peak of the process that it was forked from
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""
MANY = {
    "10,000 neurons, 10,000 steps": """
rng = np.random.default_rng(0)
words = np.bitwise_and.reduce(rng.integers(0, 2**63, (3, 10_000, 157)).astype(np.uint64) * np.uint64(2), axis=0)
words[:, -1] &= np.uint64(0xFFFF)
spikes = Spikes(words[None, :, None, None], (10_000, 1, 1), (10_000,), 1, False)""",
    "5 million neurons, 4 steps": """
rng = np.random.default_rng(0)
words = rng.integers(0, 2**63, (1, 4, 1, 78_125, 1)).astype(np.uint64)
spikes = Spikes(words, (64, 5, 15_625), (64, 5, 15_625), 1, False)""",
}


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="peak memory is read as Linux says it")
@pytest.mark.parametrize("size", MANY)
def test_ten_million_spikes_fit_into_memory(tmp_path, size):
    done = subprocess.run([sys.executable, "-c", BIG.format(make=MANY[size]), str(tmp_path / "raster.png")],
                          capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    events, kilobytes = map(int, done.stdout.split())
    assert events > 9_000_000
    assert kilobytes < 500 * 1024, "making the spikes included"
    assert (tmp_path / "raster.png").stat().st_size > 10_000


# ---- streams


def test_a_stream_is_drawn_whatever_came_of_it():
    nodes = {"in": eventsim.Input((1, 2, 3), bits=8, events=eventsim.EventBins(100, "one", sensor_size=(2, 3))),
             "flat": eventsim.Flatten(), "fc": eventsim.Dense(np.eye(2, 6)), "out": eventsim.Neuron()}
    model = eventsim.Model(nodes, list(zip(nodes, list(nodes)[1:])), class_names=("left", "$right"))
    events = eventsim.EventStream.from_numpy({"t": [0, 250, 330], "x": [0, 1, 0], "y": [0, 0, 0], "p": [1, 1, 1]})
    windows = list(eventsim.Simulator(model).stream(events, 100))
    figure = plots.stream_course(windows, events.read(), model.class_names)
    came, layers, scores, *_ = figure.axes
    np.testing.assert_array_equal(scores.lines[0].get_ydata(), [0, 0, 1, 0])
    assert [label.get_text() for label in scores.get_yticklabels()] == ["left", r"\$right"]
    shown = layers.collections[0].get_array().reshape(2, 4)  # flat in old versions
    np.testing.assert_allclose(np.ma.filled(shown, 0), [[1 / 6, 0, 1 / 6, 1 / 6], [0.5, 0, 0.5, 0.5]])
    assert np.ma.filled(came.collections[0].get_array(), 0).sum() == 3
    silent = list(eventsim.Simulator(model).stream(events.crop(t=(10_000, 20_000)), 100))
    assert not silent and "no window" in plots.stream_course(silent, events.read()).get_label()
    quiet = plots.stream_course(windows[1:2], events.read()[:0])
    said = " ".join(text.get_text() for axes in quiet.axes for text in axes.texts)
    assert "no event" in said and "no layer fired" in said
