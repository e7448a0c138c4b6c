"""The writer of NIR graphs: the Models that NIR can express, in the layout of the `nir` package.

Taus are written for Euler steps of dt (norse, snnTorch): tau = dt / (1 - leak). A Neuron whose input acts
at once becomes an IF (leak 1) or a LIF, one with a synaptic current a CubaLIF; a Readout an I, LI or
CubaLI, or nothing where it only hands on its input. `>=` becomes `>` of the next lower float32. A
BatchNorm folds into the weights before it, or becomes a Scale; the worth of spikes becomes a Scale; an
Add becomes several edges; delays become Delay nodes, except for the step that every loop takes. Pooled or
flattened spikes that end the model go through a Scale to worth 1, since the answer counts their levels.

NIR has no soft or late reset, no spikes of several bits, no lower limit: `beyond_nir=True` writes such
neurons as plain ones, as snnTorch does. What the reader then has to assume is left in the metadata of the
graph ("eventsim.reset" and so on), where `presets` finds it and other readers do not look.
"""

from types import SimpleNamespace

import numpy as np

from eventsim.errors import FormatError, ModelError, UnsupportedError, warn
from eventsim.formats.nir.draft import Draft, unused
from eventsim.formats.nir.ends import level_value_at_end
from eventsim.formats.nir.loops import in_loop, in_time, shared_apart
from eventsim.formats.nir.neurons import SPIKING
from eventsim.formats.nir.presets import NirWriteOptions, OPEN, OPTIONS, STORED
from eventsim.formats.nir.written import integrating, KINDS
from eventsim.model.graph import Edge
from eventsim.model.neurons import Neuron
from eventsim.model.parameters import compact
from eventsim.model.transforms import BatchNorm
from eventsim.storage.hdf5_writing import new_hdf5, write_array, write_numbers, write_open_texts
from eventsim.text import many

VERSION = "1.0.8"  # of the `nir` package whose layout this is
DEFAULT_DT = 1e-4  # what snnTorch takes for granted


def write(model, path, **given):
    """Write a Model to a file, which appears complete or not at all. given: fields of NirWriteOptions.

    Warns where the model holds for one number of steps only, which the file cannot keep. Raises UnsupportedError,
    which names the node, for what NIR cannot express, and FormatError if the file cannot be written.
    """
    try:
        options = NirWriteOptions(**given)
        dt = _remembered_dt(model) if options.dt is None else options.dt
        OPTIONS["dt"].checked("dt", dt)
        with np.errstate(all="ignore"):
            draft = _drafted(model, dt, options.beyond_nir)
    except ModelError as error:
        raise FormatError(f"{path}: cannot be written: {error}") from None
    except UnsupportedError as error:
        raise UnsupportedError(f"{path}: cannot be written: {error}") from None
    with new_hdf5(path) as root:
        _write_file(root, draft)
    if model.timesteps_fixed:
        warn(f"{path}: NIR keeps no number of steps, and the model equals what it was made from in runs of "
             f"{many(model.timesteps, 'step')} alone: run the file so (--timesteps {model.timesteps})")


def _remembered_dt(model):
    words = model.provenance.get("assumed dt", "").split()
    try:
        return float(words[0])
    except (IndexError, ValueError):
        return DEFAULT_DT


def _drafted(model, dt, beyond_nir) -> Draft:
    """Return the Draft of a model. Raises ModelError and UnsupportedError, which name the node."""
    if model.chip is not None:
        raise UnsupportedError(f"its numbers are meant for chip {model.chip.name!r}, which NIR "
                               "does not know; save as .h5")
    draft = Draft(model, dt, beyond_nir)
    for name, node in model.nodes.items():
        if isinstance(node, BatchNorm):
            _normalise(draft, name, node)
    for name, node in model.nodes.items():
        if isinstance(node, Neuron):
            _move_gain(draft, name, node)
    spiking = model.kinds[model.output] == "spikes"
    if spiking:
        _end(draft)  # before sums are removed, so that their edges lead into the Output
    for name, node in model.nodes.items():
        _add(draft, name, node)
    if spiking:
        _count_levels(draft)
    elif not _ends_as_output(draft):
        _end(draft)
    _delay(draft)
    _check_end(draft)
    draft.edges = [edge[:2] for edge in draft.edges]
    if len(set(draft.edges)) != len(draft.edges):
        twice = next(edge for edge in draft.edges if draft.edges.count(edge) > 1)
        raise UnsupportedError(f"{twice[1]!r} reads {twice[0]!r} twice, which NIR's edges cannot say")
    return draft


def _add(draft, name, node):
    if name in draft.nodes:
        return
    if node.kind not in KINDS:
        raise UnsupportedError(f"{draft.model.label(name)}: NIR has no such node; save as .h5")
    members = KINDS[node.kind](draft, name, node)
    if members is None:
        draft.take_out(name)
    else:
        draft.nodes[name] = members


def _normalise(draft, name, node):
    """Fold a BatchNorm into the weights before it if nothing else reads them, else make it a Scale. Raises
    UnsupportedError for a Scale that would have to add something."""
    factor = node.weight * node.scale / np.sqrt(node.running_var + node.eps)
    shift = node.bias - node.running_mean * factor
    source = draft.model.incoming(name)[0].source
    alone = len(draft.model.outgoing(source)) == 1 and draft.model.incoming(name)[0].delay == 0
    if draft.model.nodes[source].role == "synapses" and alone:
        draft.folded[source] = factor, shift
    elif shift.any():
        draft.refuse(name, "shifts spikes, or a current that others read too",
                     "put it right behind synapses of its own")
    else:
        draft.nodes[name] = {"type": "Scale", "scale": draft.on_neurons(name, factor, "scale")}


def _move_gain(draft, name, node):
    """Move the gain of an IF or LIF into the weights before it, so that its r is 1: norse takes r for 1, and so
    does snnTorch for an IF."""
    gain, leak = (draft.on_neurons(name, getattr(node, part), part) for part in ("input_gain", "leak"))
    spiking = (leak == 1).all()
    if node.current_leak is not None or (not spiking and (leak == 1).any()):
        return
    share = np.ones(leak.shape) if spiking else draft.dt / draft.tau(leak)
    rows = [compact(part, gain.shape) for part in (gain, share)]
    sources = [draft.synapses_before(edge.source) for edge in draft.model.incoming(name)]
    if (gain == share).all() or None in sources or any(row.ndim > 1 for row in rows):
        return
    for source in sources:
        n = len(draft.model.nodes[source].weight)
        draft.gains[source] = [np.array(np.broadcast_to(row, n)) for row in rows]


def _end(draft):
    """Add the Output behind the last node."""
    last = draft.model.output
    output = unused("output", draft.nodes, draft.model.nodes)
    draft.nodes[output] = {"type": "Output", "shape": np.array(draft.model.shapes[last])}
    draft.edges.append(Edge(last, output))


def _ends_as_output(draft):
    """Return whether the last node, a Readout, is written as the Output. If that would read several nodes, or one
    with a delay, which the reader refuses, the Readout is written as neurons instead."""
    name = draft.model.output
    if draft.nodes[name]["type"] != "Output":
        return False
    alone = [edge.delay for edge in draft.edges if edge.target == name] == [0]
    if not alone:
        draft.nodes[name] = integrating(draft, name, draft.model.nodes[name])
    return alone


def _count_levels(draft):
    """Put a Scale before the Output if a level of 1 has another value than 1 there, since the answer counts
    levels."""
    last = draft.model.output
    values = level_value_at_end(draft.model, last)
    if (values == 1).all():
        return
    output = next(name for name, members in draft.nodes.items() if members["type"] == "Output")
    scale = unused(f"{output}.scale", draft.nodes, draft.model.nodes)
    draft.nodes[scale] = {"type": "Scale", "scale": draft.on_neurons(last, 1 / values, "scale")}
    draft.edges = [edge._replace(target=scale) if edge.target == output else edge for edge in draft.edges]
    draft.edges.append(Edge(scale, output))
    draft.options["readout"] = "sum"


def _delay(draft):
    """Remove the step that readers give to every loop, and put Delay nodes on the other edges with a delay."""
    for bias in (OPEN["recurrent_bias"], 1 - OPEN["recurrent_bias"]):
        quick = _without_steps(draft, bias)
        if quick is not None:
            draft.edges, draft.options["recurrent_bias"] = quick, bias
            break
    for edge in [edge for edge in draft.edges if edge.delay]:
        name = unused(f"{edge.source}.delay{edge.delay}", draft.nodes)
        shape = draft.shape_of(edge.source)
        draft.nodes[name] = {"type": "Delay", "delay": np.full(shape, edge.delay * draft.dt)}
        draft.edges[draft.edges.index(edge)] = Edge(name, edge.target)
        draft.edges.append(Edge(edge.source, name))


def _check_end(draft):
    """Raise UnsupportedError if the answer is delayed spikes of one node, which the reader does not take."""
    name = next(name for name, members in draft.nodes.items() if members["type"] == "Output")
    while True:
        sources = [edge.source for edge in draft.edges if edge.target == name]
        if len(sources) != 1 or draft.nodes[sources[0]]["type"] != "Delay":
            return
        [name] = sources
        delays = draft.nodes[name]["delay"]
        if (delays != delays.flat[0]).any():
            return
        if delays.any():
            draft.refuse(draft.model.output, "ends the model with a delay, which no reader of the file has room "
                         "for", "leave the delay out, or save as .h5")


def _without_steps(draft, recurrent_bias):
    """Return edges from which the reader makes those of the draft, or None where there are none."""
    nodes = {
        name: draft.model.nodes[name] if members["type"] in (*SPIKING, "Delay")
        else SimpleNamespace(bias=members.get("bias")) for name, members in draft.nodes.items()
    }
    slow = [i for i, edge in enumerate(draft.edges) if edge.delay]
    in_loops = {i for i in slow if draft.edges[i].source in in_loop(draft.edges, draft.edges[i].target)}
    quick = [e._replace(delay=e.delay - 1) if i in in_loops else e for i, e in enumerate(draft.edges)]
    try:
        again, steps, *_ = in_time(nodes, quick, draft.model.input, recurrent_bias)
    except (ModelError, UnsupportedError):
        return None
    edges, meant = shared_apart(nodes, draft.edges)
    same = again == edges and all(np.array_equal(steps[name], own) for name, own in meant.items())
    return quick if same else None


def _write_file(root, draft):
    """Write a draft into the root of the file."""
    write_open_texts(root, "version", VERSION)
    graph = root.create_group("node")
    write_open_texts(graph, "type", "NIRGraph")
    write_open_texts(graph, "edges", np.array(draft.edges, dtype=object).reshape(-1, 2))
    nodes = graph.create_group("nodes")
    for name, members in draft.nodes.items():
        group = nodes.create_group(name)
        for member, value in members.items():
            write_member = write_open_texts if member == "type" else write_numbers
            write_member(group, member, value)
    metadata = graph.create_group("metadata")
    for name, value in draft.options.items():
        if isinstance(value, str):
            write_open_texts(metadata, STORED + name, value)
        else:
            write_array(metadata, STORED + name, np.asarray(value))
