"""lava-dl's network files (`.net`) -> Model: what Lava computes from them, in the same integers.

A file is HDF5 with a group `/layer/<i>` per layer, i from 0 on; further members, `/simulation` among
them, are not needed. `type` names the layer, `neuron/type` its neurons. Numbers are whole, whatever
their dtype. Each becomes one field of one node, where it keeps its value unless said otherwise:

    shape                 checked: (C, H, W) or (N,); dense and flatten count its product
    weight                Dense or Conv2d "layer<i>.weight"; a trailing axis of 1 and flat dense
                          weights are reshaped; of an input, `input_gain` (SDNN: `Input.scale`)
    weight_rec            Dense "layer<i>.weight_rec" from the layer to itself, one step later
    bias                  `bias`, on the membrane past the current; scalar or per channel
    delay                 steps that the layer's outputs (axons) take longer: of the edge behind it,
                          or, per channel, a node Delay "layer<i>.delay"; at most 62
    stride, padding, dilation, groups   of the Conv2d; H, then W
    iDecay, vDecay        `current_leak`, `leak` = 1 - x / 4096; scalar or per channel
    vThMant               `v_threshold`
    inFeatures, outFeatures, inChannels, outChannels, kernelSize    checked where they are there

The layer's neurons are the node "layer<i>", which reads its synapses one step late. States count 64
steps to one of these units (`resolution`) and follow the chip "loihi"; for SDNN weights are worth
1/64, a message 1/64, states count 4096 steps, and the chip is "lava_sdnn". Other members are not
read; the Model's provenance lists them and, under "assumed ...", what the file leaves open.

Loihi's weights are even where a layer has both signs. lava-dl clips at 255, which netx loads as 254
there, and so do we; layers of one sign may be odd. Other odd weights are refused.
"""

import re
from dataclasses import replace

from eventsim.errors import warn
from eventsim.formats.lava.layers import implied_input, MEMBERS, ROUNDED_INPUT, TYPES
from eventsim.formats.lava.network import Network
from eventsim.formats.lava.options import LavaOptions
from eventsim.formats.lava.values import whole_number
from eventsim.formats.refusing import guarded, MAX_NODES, supported, unsupported
from eventsim.model.chip import find_chip
from eventsim.model.network import Model
from eventsim.model.parameters import MOST_STEPS

LAYER_TYPES = tuple(TYPES)
NEURON_TYPES = ("CUBA", "LOIHI", "SDNN")


def recognises(root) -> bool:
    """Return whether a file looks like one of lava-dl."""
    return "layer" in root


def read(root, **given) -> Model:
    """Return the Model of a file from its root StoredGroup. given: fields of LavaOptions.

    Raises FormatError for a file or an option that is wrong, UnsupportedError for what eventsim does not run; both
    name the file and the layer. Warns in one line (EventsimWarning) of what the file leaves open and only defaults
    decide.
    """
    model, assumptions = guarded(root, lambda: _model(root, LavaOptions(**given)))
    if assumptions:
        warn(str(root.error("; ".join(assumptions))))
    return model


def _model(root, options):
    """Return (the Model, sentences about what was assumed)."""
    groups = _groups(root)
    kinds = [_kind(group, i) for i, group in enumerate(groups)]
    network = Network(options, _is_sdnn(groups))
    if not network.sdnn:
        network.assume("comparison", options.comparison, options.comparison == ">")
    network.assume("reset_interval", options.reset_interval, options.reset_interval == 0)
    if kinds[0] != "input":
        implied_input(network, groups[0])
    for i, (group, kind) in enumerate(zip(groups, kinds)):
        TYPES[kind](network, group, f"layer{i}", group is groups[-1])
        network.unread |= set(group.names()) - MEMBERS[kind] - {"type", "shape", "neuron"}
    timesteps = _timesteps(root, network)
    if network.unread:
        network.provenance["not read"] = ", ".join(sorted(network.unread))
    model = Model(network.nodes, network.edges, timesteps, provenance=network.provenance, chip=_chip(network))
    return model, network.open


def _groups(root):
    layers = root.group("layer")
    names = layers.names()
    for name in names:
        if not re.fullmatch("0|[1-9][0-9]{0,5}", name):
            raise layers.error(f"'layer/{name}' is no layer: expected numbers from 0 on")
    if len(names) > MAX_NODES:
        raise layers.error(f"'layer' has {len(names)} members, expected at most {MAX_NODES} layers")
    for i in range(max(len(names), 1)):
        if str(i) not in names:
            raise layers.error(f"'layer/{i}' is missing; the file has {len(names)} layers")
    return [layers.group(str(i), f"layer {i}") for i in range(len(names))]


def _kind(group, i):
    kind = supported(group, "type", LAYER_TYPES, "layers")
    group.label = f"layer {i} ({kind})"
    if kind not in ("input", "dense") if i == 0 else kind == "input":
        raise group.error("layer 0 has to be the input, and only that, or a dense layer")
    return kind


def _is_sdnn(groups):
    first_of_kind = {}
    for group in groups:
        if "neuron" in group:
            kind = supported(group.group("neuron"), "type", NEURON_TYPES, "neurons")
            first_of_kind.setdefault(kind == "SDNN", (group, kind))
    if len(first_of_kind) > 1:
        (_, other), (group, kind) = first_of_kind.values()
        raise unsupported(group, f"neurons of type {kind!r} beside {other!r}; a file has to have "
                           "either SDNN or CUBA")
    return True in first_of_kind


def _timesteps(root, network):
    if network.options.timesteps is not None:
        return network.options.timesteps
    simulation = root.group("simulation", "simulation") if "simulation" in root else ()
    in_file = "tSample" in simulation
    if not in_file:
        network.provenance["assumed timesteps"] = "none: not given"
        return None
    steps = whole_number(simulation, "tSample", 1, MOST_STEPS)
    network.assume("timesteps", steps, True, "the file's tSample")
    return steps


def _chip(network):
    chip = find_chip("lava_sdnn" if network.sdnn else "loihi")
    if network.odd_weights:
        chip = replace(chip, name=f"{chip.name} with odd weights", weight_step=1)
    if ROUNDED_INPUT in network.nodes:
        bits = network.nodes[ROUNDED_INPUT].n_bits
        chip = replace(chip, name=f"{chip.name} with a normalised input", spike_bits=bits)
    if not network.sdnn and network.options.comparison != chip.comparison:
        chip = replace(chip, name=f"{chip.name} with {network.options.comparison}",
                          comparison=network.options.comparison)
    return chip
