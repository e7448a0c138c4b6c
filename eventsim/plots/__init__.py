"""Plots: pictures of spikes, membranes, costs and answers, as matplotlib Figures.

    from eventsim import plots
    plots.save_figure(plots.rates(recording.statistics.trains), "rates.png")

Every function takes plain data and returns a Figure that belongs to no window and no global state;
`save_figure` writes it to a file, `svg` makes it part of a page. `KINDS` draws each from a run's file.
What is empty is said in words within the picture.
"""

try:
    import matplotlib  # noqa: F401
except ImportError:
    from eventsim.errors import missing

    raise missing("drawing", "matplotlib") from None

from eventsim.plots.time_courses import accuracy, drift, membranes, traces
from eventsim.plots.layers import intervals, levels, operations, planes, rates
from eventsim.plots.matrices import confusion, correlations, maps
from eventsim.plots.of_runs import KINDS
from eventsim.plots.output import save_figure, svg
from eventsim.plots.rasters import raster
from eventsim.plots.streams import stream_course

__all__ = [
    "KINDS", "accuracy", "confusion", "correlations", "drift", "intervals", "levels", "maps", "membranes",
    "operations", "planes", "raster", "rates", "save_figure", "stream_course", "svg", "traces",
]
