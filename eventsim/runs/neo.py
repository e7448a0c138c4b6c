"""Spike trains as Neo objects, for Elephant and the other tools of electrophysiology.

    block = eventsim.to_neo(recording, "neuron1", sample=0, dt=1e-3)
    elephant.statistics.mean_firing_rate(block.segments[0].spiketrains[7])

neo (S. Garcia et al., Frontiers in Neuroinformatics 8:10, 2014; `pip install "eventsim-snn[neo]"`) is
imported when it is needed, and by nothing else here.
"""

from operator import index
from typing import Sequence, Union

import numpy as np

from eventsim.arguments import instance_of, several, shown, with_attributes
from eventsim.errors import DataError, missing, RunError

AXES = ("c", "y", "x")


def to_neo(source, node: Union[None, str, Sequence[str]] = None, sample: Union[None, int, Sequence[int]] = None,
           dt=None, silent=True):
    """Return recorded spikes as a `neo.Block`: a Segment per sample, in it a SpikeTrain per neuron.

    source: a `Recording`, or a run's file as `open_run` gives it, with recorded spikes.
    node: name of a node, or several; None: every node whose spikes were recorded.
    sample: number of a sample, or several; None: all.
    dt: length of a step: seconds, or a quantity with a unit of time, which the trains then have. None: the
        step of a stream, and the bin width of a model whose input is made of event recordings; any other has to be
        told.
    silent: whether neurons without events in a sample get an (empty) train there. Rates, Fano factors
        and correlations need them.

    An event in step t (0 is the first) is a spike at t * dt, the beginning of the step;
    trains run from 0 to the end of the sample's last step. Bins of a step's length therefore hold at most one
    spike: `elephant.conversion.BinnedSpikeTrain(trains, bin_size=dt)` is the recording again.

    SpikeTrain: array_annotations["level"], int64, the level that each spike carries (negative where
        the node is signed); annotations node, neuron (index in the order C, H, W), c, and y and x
        where the node has them, sample.
    Segment: index and annotations["sample"], the sample's number; prediction.
    Group: one per node, with its trains of all samples; annotations node, shape, bits, signed.
    Trains are ordered by node, then neuron. Each costs neo about 100 microseconds and 4 kB, so choose
    nodes and samples of large networks.

    Block: annotations["dt"]. For `neo.io.NWBIO` it needs annotations["session_start_time"] beside (a datetime),
    and NWB by neo keeps times and names of trains alone.

    Raises MissingPackageError without neo, RunError for a node whose spikes were not recorded, DataError
    for other arguments, and where nobody says dt.
    """
    neo, quantities = _libraries()
    with_attributes(source, ("spikes", "predictions"), "source", "a Recording or a Run")
    instance_of(silent, (bool, np.bool_), "silent", "True or False")
    names, samples = _names(source, node), _samples(source, sample)
    step = _step(_known_dt(source) if dt is None else dt, quantities)
    block = neo.Block(name="eventsim", dt=step)
    of_node = {name: [] for name in names}
    predictions = np.asarray(source.predictions)
    for number in samples:
        steps = None if source.lengths is None else int(source.lengths[number])
        segment = neo.Segment(name=f"sample {number}", index=number, sample=number,
                              prediction=int(predictions[number]))
        trains = []
        for name in names:
            spikes = _spikes_of(source, name, number)
            own = _trains(neo, spikes, steps, name, number, step, silent)
            trains += own
            of_node[name] += own
            if len(block.groups) < len(names):
                block.groups.append(_group(neo, spikes, name))
        segment.spiketrains.extend(trains)  # at once: neo compares what comes with what is there
        block.segments.append(segment)
    for group in block.groups:
        group.spiketrains.extend(of_node[group.name])
    block.check_relationships()
    return block


def _group(neo, spikes, name):
    """Return an empty neo.Group that says what the node is."""
    return neo.Group(
        name=name, node=name, shape=tuple(int(size) for size in spikes.logical_shape),
        bits=int(spikes.bits), signed=bool(spikes.signed),
    )


def _trains(neo, spikes, steps, name, number, step, silent):
    """Return a neo.SpikeTrain of each neuron of one sample's spikes, in order. steps: of the sample, None: all."""
    levels = spikes.levels()[0]
    steps = len(levels) if steps is None else steps
    levels = levels[:steps].reshape(steps, -1).T  # (neurons, T)
    neurons, event_steps = np.nonzero(levels)
    carried = levels[neurons, event_steps].astype(np.int64)
    ends = np.searchsorted(neurons, np.arange(len(levels)), side="right")
    shape = spikes.logical_shape
    times, units, sampling_rate = event_steps * float(step.magnitude), step.units, 1 / step
    t_stop, trains = steps * float(step.magnitude), []
    for neuron, (start, end) in enumerate(zip([0, *ends], ends)):
        if start == end and not silent:
            continue
        position = zip(_axes(shape), np.unravel_index(neuron, shape))
        trains.append(neo.SpikeTrain(
            times[start:end], t_stop, units, sampling_rate=sampling_rate, name=f"{name}[{neuron}]",
            array_annotations={"level": carried[start:end]}, node=name, neuron=neuron, sample=number,
            **{axis: int(value) for axis, value in position},
        ))
    return trains


def _axes(shape):
    """Return the names of a shape's axes: (c,), (c, x) or (c, y, x)."""
    return AXES if len(shape) == 3 else AXES[:1] + AXES[2:][: len(shape) - 1]


def _libraries():
    try:
        import neo
        import quantities
    except ImportError:
        raise missing("to_neo", "neo", "neo") from None
    return neo, quantities


def _spikes_of(source, name, number):
    """`Spikes` of one sample, of a Recording or of a Run."""
    if callable(source.spikes):
        return source.spikes(name, number, number + 1)
    spikes = source.spikes[name]
    return spikes.of_samples(slice(number, number + 1))


def _names(source, node):
    recorded = tuple(source.recorded.get("spikes", ()) if callable(source.spikes) else source.spikes)
    names = recorded if node is None else several(node, "node", "the name of a node, or several")
    unrecorded = [name for name in names if name not in recorded]
    if unrecorded or not names:
        of = f" of {unrecorded[0]!r}" if unrecorded else ""
        there = ", ".join(map(repr, recorded)) or "nothing"
        raise RunError(
            f"no spikes{of} were recorded (there are: {there}); "
            'run with record=("spikes",), or --record spikes'
        )
    return names


def _samples(source, sample):
    n = len(source.predictions)
    if sample is None:
        return range(n)
    try:
        numbers = [index(sample)] if np.ndim(sample) == 0 else [index(number) for number in sample]
    except TypeError:
        raise DataError(f"sample is {shown(sample)}, expected the number of a sample, or several") from None
    for number in numbers:
        if not 0 <= number < n:
            raise DataError(f"sample {number} is not among the {n} recorded; expected 0 to {n - 1}")
    return numbers


def _known_dt(source):
    """Return the seconds of a step, where the recording or its model's input says it."""
    context = getattr(source, "context", None)
    width = None if context is None else context.step_width
    if width is None:
        raise DataError("dt is not given, and the model does not say how long a step is: give seconds, or a "
                        "quantity with a unit of time (dt=1e-3 for steps of a millisecond)")
    return 1e-6 * width


def _step(dt, quantities):
    """Return dt as a quantity of time. Raises DataError where it is none above 0."""
    try:
        if isinstance(dt, (bool, np.bool_)):
            raise TypeError
        step = quantities.Quantity(dt, getattr(dt, "units", quantities.s))
        seconds = float(step.rescale(quantities.s))
    except (TypeError, ValueError, OverflowError):
        raise DataError(
            f"dt is {shown(dt)}, expected seconds, or a quantity with a unit of time"
        ) from None
    if not (0 < seconds < np.inf):
        raise DataError(f"dt is {shown(dt)}, expected more than 0")
    return step
