"""The reader of NIR graphs (`.nir`), see https://neuroir.org, and `presets` for what they leave open.

A file is HDF5: /version, and /node with `type` "NIRGraph", `nodes` and `edges`. A graph inside a graph
is dissolved: its nodes get its name and a dot in front. Each type of node becomes

    Input                   Input; a shape of (2, H, W) also takes event recordings
    Output                  nothing, or a Readout where what it reads are no spikes, or not worth 1
    Linear, Affine          Dense
    Conv1d, Conv2d          the same; padding may be "same" or "valid"
    SumPool2d, AvgPool2d    SumPool, AvgPool
    Flatten                 Flatten, of all axes; start_dim 1 is taken to count an axis of samples
    Scale                   the worth of the spikes before it, the gain of the neurons behind it, or a
                            BatchNorm, which folds into the weights
    Threshold               Neuron without memory
    Delay                   a delay of the edges, or a Delay where neurons differ; whole steps of dt
    IF, LIF, CubaLIF        Neuron
    I, LI, CubaLI           Readout, as the last node only

The equations of the neurons in steps are in `neurons`. In a loop, spikes arrive a step later at the
neuron that the input reaches first. What arrives on equal paths is summed. Numbers may have any type and
shape that broadcasts; members that NIR does not have are not read, which a warning says, and listed in the
Model's provenance, as is all that was assumed.
"""

import re

import numpy as np

from eventsim.errors import warn
from eventsim.formats.nir.builder import Builder
from eventsim.formats.nir.graph import read_graph
from eventsim.formats.nir.nodes import same_input_gain
from eventsim.formats.nir.presets import DEFAULTS, Reading, STORED
from eventsim.formats.refusing import guarded
from eventsim.model.network import Model

SHAPES = ("input_type ", "output_type ")  # members that only repeat what the edges say
NEWEST = 1  # major version of NIR that is known
LONGEST_STEP = 0.01  # seconds: an r of IF neurons below 1 / this is taken for a gain, not for 1 / dt


def recognises(root) -> bool:
    """Return whether a file looks like a NIR graph."""
    return "node" in root


def read(root, **given) -> Model:
    """Return the Model of a file from its root StoredGroup. given: fields of NirOptions.

    Raises FormatError for a file or an option that is wrong, UnsupportedError for what eventsim does not run; both
    name the file and the node. Warns in one line each (EventsimWarning) of what the file leaves open and only
    defaults decide, of members that are not read, and of numbers that fit two axes.
    """
    graph = read_graph(root)
    reading = _with_dt_of_r(guarded(root, lambda: Reading.of(given, _stored(root))), graph)
    with np.errstate(all="ignore"):  # what is not finite is refused by the nodes
        built = Builder(graph, reading)
    _check_own(root, reading, built)
    kinds = {name: raw.kind for name, raw in graph.nodes.items()}
    provenance = {
        "format": f"NIR {root.text('version')}" if "version" in root else "NIR",
        **reading.assumed(built.used, kinds), **built.notes,
    }
    if graph.not_read:
        provenance["not read"] = ", ".join(graph.not_read[:20])
    model = guarded(root, lambda: Model(built.nodes, built.edges, reading.timesteps, provenance=provenance))
    for message in (*reading.unsaid(built.used, kinds), _not_read(root, graph),
                    _per_channel(built.taken_per_channel), _uneven(built.uneven)):
        if message:
            warn(str(root.error(message)))
    return model


def _not_read(root, graph):
    """Return in words what the file has that is not read, or ""."""
    version = root.text("version") if "version" in root else ""
    major = re.match(r"v?(\d+)", version)
    newer = major is not None and int(major[1]) > NEWEST
    reasons = [f"is of NIR version {version}, and this eventsim knows those before {NEWEST + 1}"] if newer else []
    members = [member for member in graph.not_read if not member.startswith(SHAPES)]
    if members:
        more = f" and {len(members) - 5} more" if len(members) > 5 else ""
        reasons.append(f"has members that are not read: {', '.join(members[:5])}{more}; where one changes what "
                       "its node computes, this is another network")
    return "; ".join(reasons)


def _per_channel(names):
    """Return in words which parameters were taken per channel although they fit the last axis, too, or ""."""
    if not names:
        return ""
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return (f"has one number for each channel, or for each of as many columns, in {', '.join(names[:5])}{more}: "
            "taken per channel, where NumPy takes the last axis; to say which, store the whole map, or (C, 1, 1)")


def _uneven(names):
    """Return in words which Delays take a step more than the file says, or ""."""
    if not names:
        return ""
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ("has delays of no step beside longer ones, in a loop that takes no other time, in "
            f"{', '.join(names[:5])}{more}: all of them take a step more there; to say it, give each at least one")


def _with_dt_of_r(reading, graph):
    """Return the reading with dt = 1 / r if IF neurons have an r that can be that: SpikingJelly writes them so."""
    r = same_input_gain(graph)
    free = reading.guessed("dt") or reading.why["dt"] == "preset spikingjelly"
    if r is None or not free or reading.if_input not in ("auto", "dt_r") or not 1 / LONGEST_STEP <= r < np.inf:
        return reading
    return reading.inferred("dt", 1 / r, "1 / r of its IF neurons")


def _check_own(root, reading, built):
    """Raise FormatError for options of single nodes that do not exist or do not use the option."""
    for option, values in reading.own.items():
        known = built.used.get(option, [])
        for node in values:
            if node not in known:
                raise root.error(f"{option} is given for {node!r}, expected some of "
                                 f"{', '.join(known) or 'no node'}")


def _stored(root):
    """Return the options that our writer left in the metadata of the outermost graph."""
    graph = root.group("node")
    if "metadata" not in graph or not graph.is_group("metadata"):
        return {}
    metadata = graph.group("metadata", "metadata")
    names = [name for name in metadata.names() if name.removeprefix(STORED) in DEFAULTS
             and name.startswith(STORED)]
    options = {name.removeprefix(STORED): _value(metadata, name) for name in names}
    return {"if_input": "r", **options} if "dt" in options else options  # eventsim 0.2 wrote gains as they are


def _value(metadata, name):
    if metadata.dataset(name).is_text:
        return metadata.text(name)
    value = metadata.numbers(name)
    if value.ndim:
        raise metadata.error(f"{name!r} has shape {value.shape}, expected a single value")
    return value.item()
