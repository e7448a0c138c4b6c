"""Kinds: each picture from a run's file, by the name that the command line and the page use.

    KINDS[kind](run, layers=None, sample=None, neurons=()) -> Figure

layers: names, or None for those that the picture is about. sample: index, for a raster also several; None: the
first sample. neurons: indices into a layer, for traces. `KINDS[kind].takes` names those of the three that a kind
takes: it raises DataError for the others, and RunError where the run lacks what it needs, saying how to get it.
"""

import functools
from dataclasses import replace

import numpy as np

from eventsim.arguments import indices_of, names_of, open_run_of
from eventsim.errors import DataError, RunError
from eventsim.merging import merge
from eventsim.model.kinds import NODE_TYPES, node_type
from eventsim.model.rectifier import unrectified
from eventsim.plots import layers as by_layer, matrices, rasters, time_courses

MOST_RASTERS = 6  # layers in one picture unless they are named
MOST_MAPS = 4
OF_SPIKES = ("spikes", "statistics", "intervals")  # what only who sends spikes has


KINDS = {}


def draws(name, takes=()):
    """Register the function that draws a kind of picture. takes: the names of those of `layers`, `sample` and
    `neurons` that it is called with, behind the run, once they are of their types; others are refused."""

    def register(draw):
        @functools.wraps(draw)
        def checked(run, layers=None, sample=None, neurons=()):
            open_run_of(run)
            given = dict(layers=names_of(layers, "layers", "names of layers, or None"),
                         sample=None if sample is None else indices_of(sample, "sample"),
                         neurons=indices_of(neurons, "neurons"))
            for argument, value in given.items():
                if argument not in takes and value not in (None, (), []):
                    raise DataError(f"{argument} is no argument of {name}, only of {', '.join(taking(argument))}")
            if given["sample"] is None:
                given["sample"] = [0]
            return draw(run, **{argument: given[argument] for argument in takes})

        checked.takes = tuple(takes)
        KINDS[name] = checked
        return checked

    return register


def taking(argument):
    """Return the names of the kinds that take one of the arguments `layers`, `sample` and `neurons`."""
    return [name for name, draw in KINDS.items() if argument in draw.takes]


def _chosen(run, layers, there, what, remedy):
    """Return the names asked for, or all there are. Raises RunError for what is not there."""
    there = list(there)
    if not there:
        raise RunError(f"{run.path}: {what} of no layer were recorded; {remedy}")
    for name in layers or ():
        if name not in there:
            known, never = ", ".join(map(repr, there)), _why_never(run, name, what)
            raise RunError(f"{run.path}: no {what} of {name!r} (there are: {known}); "
                           + (f"{never}: name one of these" if never else remedy))
    return list(layers) if layers else there


def _why_never(run, name, what):
    """Return why no run keeps something of a node, "" where another run may."""
    node = run.summary.of_node(name)
    if node is None or node.kind not in NODE_TYPES:
        return ""
    kind = node_type(node.kind)
    if what in OF_SPIKES and kind.role == "readout":
        return "a readout sends no spikes"
    if what in OF_SPIKES[1:] and kind.role not in ("input", "neurons"):
        return "they are kept of the input and of layers of neurons"
    if what == "membranes" and kind.sends != "levels":
        return "they are kept of layers of Neuron"
    if what == "potentials" and kind.role not in ("neurons", "readout"):
        return "only neurons and readouts have a membrane"
    return ""


def _first(names, most, before=()):
    """Return at most so many of some names, in their order, those of `before` first where some are left out; and
    a note on these."""
    chosen = sorted(names, key=lambda name: name not in before)[:most] if len(names) > most else names
    note = f"{len(chosen)} of {len(names)} layers are shown; --layer NAME, or layers=[...], shows the others."
    return [name for name in names if name in chosen], note if len(names) > most else ""


def _single(run, values, what, kind):
    if len(values) > 1:
        raise RunError(f"{run.path}: {kind} show one {what} at a time, not {len(values)}; name one of them")
    return values[0]


def _check_samples(run, samples):
    if not samples:
        raise RunError(f"{run.path}: no sample was chosen; the run has samples 0 to {run.n_samples - 1}")
    for s in samples:
        if not 0 <= s < run.n_samples:
            raise RunError(f"{run.path}: no sample {s}; the run has samples 0 to {run.n_samples - 1}")


def _trains(run, layers, detailed=False):
    trains = {name: train for name, train in run.statistics.trains.items()
              if (train.n_detailed if detailed else train.n_samples)}
    what = "intervals" if detailed else "statistics"
    remedy = 'run again with --out and --detailed 8, or, for save_run, record="intervals"' if detailed else \
        'run again with --out, or, for save_run, record="statistics"'
    return {name: trains[name] for name in _chosen(run, layers, trains, what, remedy)}


def _sending(trains):
    """Return the names of the nodes without the input, unless nothing else is there."""
    names = list(trains)
    return names[1:] if len(names) > 1 else names


def _membranes(run, layers):
    membranes = {name: layer for name, layer in run.statistics.membranes.items() if layer.n_samples}
    nodes = run.summary.nodes
    if nodes and not any(node_type(node.kind).sends == "levels" for node in nodes):
        raise RunError(f"{run.path}: membranes are kept of layers of Neuron, and the model has none")
    chosen = _chosen(run, layers, membranes, "membranes",
                     'run again with --out and --detailed 8, or, for save_run, record="membranes"')
    return {name: membranes[name] for name in chosen}


def _recorded(run, kind):
    """Return the names of the nodes of which something was recorded, in the order of the network."""
    in_order = [node.name for node in run.summary.nodes] or run.layers
    order = {name: i for i, name in enumerate(in_order)}
    return sorted(run.recorded.get(kind, ()), key=lambda name: order.get(name, len(order)))


def _spikes(run, name, samples):
    return merge([run.spikes(name, s, s + 1) for s in samples])


@draws("raster", takes=("layers", "sample"))
def raster_of(run, layers, sample):
    """Who sent what when, in one sample or several on end: of layers whose spikes were recorded."""
    _check_samples(run, sample)
    names = _chosen(run, layers, _recorded(run, "spikes"), "spikes",
                    'run again with --out and --record spikes, or spikes:LAYER, or, for save_run, record="spikes"')
    names, note = (names, "") if layers else _first(names, MOST_RASTERS, before=run.layers)
    return rasters.raster({name: _spikes(run, name, sample) for name in names}, range(len(sample)), numbers=sample,
                          note=note)


@draws("rates", takes=("layers",))
def rates_of(run, layers):
    """How often neurons fire: histograms, rate in each step, silent and saturated shares."""
    return by_layer.rates(_trains(run, layers))


@draws("levels", takes=("layers",))
def levels_of(run, layers):
    """Which levels events carry."""
    return by_layer.levels(_trains(run, layers))


@draws("planes", takes=("layers",))
def planes_of(run, layers):
    """How much each bit-plane is used."""
    return by_layer.planes(_trains(run, layers))


@draws("maps", takes=("layers",))
def maps_of(run, layers):
    """Rates over (y, x): of layers with positions, unless others are named."""
    trains, note = _trains(run, layers), ""
    if not layers:
        spread = [name for name, train in trains.items() if len(train.shape) == 3 and np.prod(train.shape[1:]) > 1]
        names, note = _first(spread or list(trains), MOST_MAPS)
        trains = {name: trains[name] for name in names}
    return matrices.maps(trains, note=note)


@draws("intervals", takes=("layers",))
def intervals_of(run, layers):
    """Steps between two events of a neuron, with CV, LV and Fano factor."""
    return by_layer.intervals(_trains(run, layers, detailed=True))


@draws("correlations", takes=("layers",))
def correlations_of(run, layers):
    """Whether neurons of a layer fire together; of the first layer after the input unless one is named."""
    trains = _trains(run, layers, detailed=True)
    name = _single(run, list(trains) if layers else _sending(trains)[:1], "layer", "correlations")
    return matrices.correlations(trains[name], name)


@draws("operations", takes=("layers",))
def operations_of(run, layers):
    """Operations of each layer against dense."""
    names = _chosen(run, layers, run.counts.layers, "counts", "run again with --out")
    counts = run.counts
    return by_layer.operations(replace(counts, neurons={name: counts.neurons[name] for name in names},
                                       layers={name: counts.layers[name] for name in names}))


@draws("membranes", takes=("layers",))
def membranes_of(run, layers):
    """Where membranes are before the reset, rectified, and after it, with the thresholds."""
    return time_courses.membranes(_membranes(run, layers))


@draws("drift", takes=("layers",))
def drift_of(run, layers):
    """How membranes move over the steps."""
    return time_courses.drift(_membranes(run, layers))


@draws("traces", takes=("layers", "sample", "neurons"))
def traces_of(run, layers, sample, neurons):
    """Membranes of chosen neurons of one layer and sample, step by step."""
    _check_samples(run, sample)
    sample = _single(run, sample, "sample", "traces")
    names = _chosen(run, layers, _recorded(run, "potentials"), "potentials",
                    "run again with --out and --record potentials:LAYER (and residuals, currents, spikes), "
                    'or, for save_run, record=("potentials", "residuals", "currents", "spikes")')
    name = _single(run, names if layers else names[:1], "layer", "traces")
    length = None if run.lengths is None else run.lengths[sample]

    def trace(kind):
        if name not in run.recorded.get(kind, ()):
            return None
        values = run.trace(kind, name, sample, sample + 1)[0, :length]
        scales = run.steps_per_unit(name)  # of channels as they are held, which a flattened shape does not show
        return values / np.repeat(scales, values[0].size // len(scales)).reshape(values.shape[1:])

    levels = None
    if name in run.recorded.get("spikes", ()):
        levels = run.spikes(name, sample, sample + 1).levels()[0, :length]
    node = run.summary.of_node(name)
    signed = node is not None and bool(node.settings.get("signed"))
    return time_courses.traces(trace("potentials"), trace("residuals"), trace("currents"), levels,
                               threshold=_threshold(node), signed=signed, neurons=neurons, name=name)


def _threshold(node):
    """Return the H from which the first level is sent, where it is the same of all neurons: where they rectify,
    the H whose phi(H) reaches v_threshold. None of nodes whose threshold is not on H: those that send changes.

    node: of a summary, or None.
    """
    if node is None or node_type(node.kind).sends != "levels":
        return None
    threshold, quantum = (node.settings.get(key) for key in ("v_threshold", "quantum"))
    rectifies = bool(node.settings.get("rectify"))
    if not all(isinstance(value, (int, float)) for value in (threshold, *[quantum] * rectifies)):
        return None
    return float(unrectified(threshold / quantum) * quantum if rectifies else threshold)


@draws("accuracy")
def accuracy_of(run):
    """Accuracy and share of final predictions after each step."""
    return time_courses.accuracy(_decisions(run))


@draws("confusion")
def confusion_of(run):
    """Which classes are taken for which."""
    decisions = _decisions(run)
    if decisions.correct is None:
        raise RunError(f"{run.path}: a confusion matrix needs labels; run again with data that has them, or, "
                       "for save_run, with labels=")
    return matrices.confusion(decisions)


def _decisions(run):
    if run.statistics.decisions is None:
        raise RunError(f"{run.path}: answers after each step were not kept; run again with --out, or, for "
                       'save_run, record="outputs"')
    return run.statistics.decisions
