"""NIR graphs (`.nir`) <-> Model, see https://neuroir.org and `presets` for what they leave open.

A file is HDF5: /version, and /node with `type` "NIRGraph", `nodes` and `edges`. A graph inside a graph
is dissolved: its nodes get its name and a dot in front. Each type of node becomes

    Input                   Input; a shape of (2, H, W) also takes event recordings
    Output                  nothing, or a Readout where what it reads are no spikes
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
neuron that the input reaches first. Numbers may have any type and shape that broadcasts; members that
NIR does not have are not read, and listed in the Model's provenance, as is all that was assumed.
"""

import numpy as np

from eventsim.formats.nir.builder import Builder
from eventsim.formats.nir.graph import read_graph
from eventsim.formats.nir.presets import DEFAULTS, Reading, STORED
from eventsim.formats.refusing import guarded
from eventsim.model.network import Model


def recognises(root) -> bool:
    """Whether a file looks like a NIR graph."""
    return "node" in root


def read(root, **given) -> Model:
    """Model from the root Group of a file; `given` are fields of NirOptions.

    Raises FormatError for a file or an option that is wrong, UnsupportedError for what eventsim does
    not run; both name the file and the node.
    """
    graph = read_graph(root)
    reading = guarded(root, lambda: Reading.of(given, _stored(root)))
    with np.errstate(all="ignore"):  # what is not finite is refused by the nodes
        built = Builder(graph, reading)
    provenance = {
        "format": f"NIR {root.text('version')}" if "version" in root else "NIR",
        **reading.assumed(built.used), **built.notes,
    }
    if graph.not_read:
        provenance["not read"] = ", ".join(graph.not_read[:20])
    return guarded(root, lambda: Model(built.nodes, built.edges, reading.timesteps, provenance=provenance))


def _stored(root):
    """Options that our writer left in the metadata of the outermost graph."""
    graph = root.group("node")
    if "metadata" not in graph or not graph.is_group("metadata"):
        return {}
    metadata = graph.group("metadata", "metadata")
    names = [name for name in metadata.names() if name.removeprefix(STORED) in DEFAULTS and name.startswith(STORED)]
    return {name.removeprefix(STORED): _value(metadata, name) for name in names}


def _value(metadata, name):
    if metadata.dataset(name).is_text:
        return metadata.text(name)
    found = metadata.numbers(name)
    if found.ndim:
        raise metadata.error(f"{name!r} has shape {found.shape}, expected a single value")
    return found.item()
