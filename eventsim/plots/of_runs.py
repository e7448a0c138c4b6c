"""Kinds: each picture from a run's file, by the name that the command line and the page use.

    KINDS[kind](run, layers=None, sample=0, neurons=()) -> Figure

layers: names, or None for those that the picture is about. sample: index, for a raster also several.
neurons: indices into a layer, for traces. A kind that has no use for one of these leaves it. Each
raises RunError where the run lacks what it needs, saying how to get it.
"""

import functools
from dataclasses import replace

import numpy as np

from eventsim.arguments import indices_of, names_of, open_run_of
from eventsim.errors import RunError
from eventsim.merging import merge
from eventsim.model.kinds import node_type
from eventsim.plots import layers as by_layer, matrices, rasters, time_courses
from eventsim.statistics.membranes import unrectified

MOST_RASTERS = 6  # layers in one picture unless they are named
MOST_MAPS = 4


def _checked(draw):
    """Run a function that draws a kind once its arguments are of their types. Raises DataError."""

    @functools.wraps(draw)
    def checked(run, layers=None, sample=0, neurons=()):
        layers = names_of(layers, "layers", "names of layers, or None")
        return draw(open_run_of(run), layers, indices_of(sample, "sample"), indices_of(neurons, "neurons"))

    return checked


def _chosen(run, layers, there, what, remedy):
    """The names asked for, or all there are; RunError in one line for what is not there."""
    there = list(there)
    if not there:
        raise RunError(f"{run.path}: {what} of no layer were recorded; {remedy}")
    for name in layers or ():
        if name not in there:
            known = ", ".join(map(repr, there))
            raise RunError(f"{run.path}: no {what} of {name!r} (there are: {known}); {remedy}")
    return list(layers) if layers else there


def _one(run, names, kind):
    if len(names) > 1:
        raise RunError(f"{run.path}: {kind} show one layer at a time, not {len(names)}; name one of them")
    return names[0]


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
    remedy = "run again with --out and --detailed 8" if detailed else "run again with --out"
    return {name: trains[name] for name in _chosen(run, layers, trains, what, remedy)}


def _sending(trains):
    """Without the input, unless nothing else is there."""
    names = list(trains)
    return names[1:] if len(names) > 1 else names


def _membranes(run, layers):
    found = {name: layer for name, layer in run.statistics.membranes.items() if layer.n_samples}
    nodes = run.summary.nodes
    if nodes and not any(node_type(node.kind).sends == "levels" for node in nodes):
        raise RunError(f"{run.path}: membranes are kept of layers of Neuron, and the model has none")
    chosen = _chosen(run, layers, found, "membranes", "run again with --out and --detailed 8")
    return {name: found[name] for name in chosen}


def _recorded(run, kind):
    """Names of the nodes, in the order of the network."""
    order = {name: i for i, name in enumerate(run.layers)}
    return sorted(run.recorded.get(kind, ()), key=lambda name: order.get(name, len(order)))


def _spikes(run, name, samples):
    return merge([run.spikes(name, s, s + 1) for s in samples])


@_checked
def raster_of(run, layers=None, sample=0, neurons=()):
    """Who sent what when, in one sample or several on end: of layers whose spikes were recorded."""
    _check_samples(run, sample)
    names = _chosen(run, layers, _recorded(run, "spikes"), "spikes",
                    "run again with --out and --record spikes, or spikes:LAYER")
    names = names if layers else names[:MOST_RASTERS]
    figure = rasters.raster({name: _spikes(run, name, sample) for name in names}, range(len(sample)),
                            numbers=sample)
    return figure


@_checked
def rates_of(run, layers=None, sample=0, neurons=()):
    """How often neurons fire: histograms, rate in each step, silent and saturated shares."""
    return by_layer.rates(_trains(run, layers))


@_checked
def levels_of(run, layers=None, sample=0, neurons=()):
    """Which levels events carry."""
    return by_layer.levels(_trains(run, layers))


@_checked
def planes_of(run, layers=None, sample=0, neurons=()):
    """How much each bit-plane is used."""
    return by_layer.planes(_trains(run, layers))


@_checked
def intervals_of(run, layers=None, sample=0, neurons=()):
    """Steps between two events of a neuron, with CV, LV and Fano factor."""
    return by_layer.intervals(_trains(run, layers, detailed=True))


@_checked
def operations_of(run, layers=None, sample=0, neurons=()):
    """Operations of each layer against dense."""
    names = _chosen(run, layers, run.counts.layers, "counts", "run again with --out")
    counts = run.counts
    return by_layer.operations(replace(counts, neurons={name: counts.neurons[name] for name in names},
                                       layers={name: counts.layers[name] for name in names}))


@_checked
def membranes_of(run, layers=None, sample=0, neurons=()):
    """Where membranes are before the reset, rectified, and after it, with the thresholds."""
    return time_courses.membranes(_membranes(run, layers))


@_checked
def drift_of(run, layers=None, sample=0, neurons=()):
    """How membranes move over the steps."""
    return time_courses.drift(_membranes(run, layers))


@_checked
def traces_of(run, layers=None, sample=0, neurons=()):
    """Membranes of chosen neurons of one layer and sample, step by step."""
    _check_samples(run, sample)
    if len(sample) != 1:
        raise RunError(f"{run.path}: traces show one sample at a time, not {len(sample)}; name one of them")
    [sample] = sample
    names = _chosen(run, layers, _recorded(run, "potentials"), "potentials",
                    "run again with --out and --record potentials:LAYER (and residuals, currents, spikes)")
    name = _one(run, names if layers else names[:1], "traces")
    length = None if run.lengths is None else run.lengths[sample]

    def trace(kind):
        if name not in run.recorded.get(kind, ()):
            return None
        values = run.trace(kind, name, sample, sample + 1)[0, :length]
        steps = run.steps_per_unit(name)  # of channels as they are held, which a flattened shape does not show
        return values / np.repeat(steps, values[0].size // len(steps)).reshape(values.shape[1:])

    sent = run.spikes(name, sample, sample + 1).levels()[0, :length] if name in run.recorded.get("spikes", ()) else None
    return time_courses.traces(trace("potentials"), trace("residuals"), trace("currents"), sent,
                               _threshold(run, name), neurons, name=name)


def _threshold(run, name):
    """The H from which the first level is sent, where it is the same of all neurons: where they rectify, that whose
    phi(H) reaches v_threshold. None of nodes whose threshold is not on H: those that send changes."""
    node = run.summary.of_node(name)
    if node is None or node_type(node.kind).sends != "levels":
        return None
    threshold, quantum = (node.settings.get(key) for key in ("v_threshold", "quantum"))
    rectifies = bool(node.settings.get("rectify"))
    if not all(isinstance(value, (int, float)) for value in (threshold, *[quantum] * rectifies)):
        return None
    return float(unrectified(threshold / quantum) * quantum if rectifies else threshold)


@_checked
def accuracy_of(run, layers=None, sample=0, neurons=()):
    """Accuracy and share of final predictions after each step."""
    return time_courses.accuracy(_decisions(run))


@_checked
def confusion_of(run, layers=None, sample=0, neurons=()):
    """Which classes are taken for which."""
    decisions = _decisions(run)
    if decisions.correct is None:
        raise RunError(f"{run.path}: a confusion matrix needs labels; run again with data that has them")
    return matrices.confusion(decisions)


def _decisions(run):
    if run.statistics.decisions is None:
        raise RunError(f"{run.path}: answers after each step were not kept; run again with --out")
    return run.statistics.decisions


@_checked
def maps_of(run, layers=None, sample=0, neurons=()):
    """Rates over (y, x): of layers with positions, unless others are named."""
    trains = _trains(run, layers)
    if not layers:
        spread = [name for name, train in trains.items() if len(train.shape) == 3 and np.prod(train.shape[1:]) > 1]
        trains = {name: trains[name] for name in (spread or list(trains))[:MOST_MAPS]}
    return matrices.maps(trains)


@_checked
def correlations_of(run, layers=None, sample=0, neurons=()):
    """Whether neurons of a layer fire together; of the first layer after the input unless one is named."""
    trains = _trains(run, layers, detailed=True)
    name = _one(run, list(trains) if layers else _sending(trains)[:1], "correlations")
    return matrices.correlations(trains[name], name)


KINDS = {
    "raster": raster_of, "rates": rates_of, "levels": levels_of, "planes": planes_of, "maps": maps_of,
    "intervals": intervals_of, "correlations": correlations_of, "operations": operations_of,
    "membranes": membranes_of, "drift": drift_of, "traces": traces_of, "accuracy": accuracy_of,
    "confusion": confusion_of,
}
