"""From a trained network in PyTorch to a Model that is proved equal to it.

The network runs once in float64 while its operations are followed. They are built as nodes and edges. Then the
engine runs these, and must give every spike and every output that the network itself gave.
"""

import functools
import os
import re
from collections.abc import Mapping

import torch
from torch.nn.parameter import UninitializedTensorMixin

from eventsim.arguments import mapping, shown
from eventsim.errors import DataError, ModelError, UnsupportedError, warn
from eventsim.from_torch import proof
from eventsim.from_torch.building import build
from eventsim.from_torch.independence import (
    depends_on_its_type, depends_on_the_batch, may_have_steps,
)
from eventsim.from_torch.layers import Rules
from eventsim.from_torch.operations import elementwise, maps, reductions, vectors
from eventsim.from_torch.libraries import norse, sinabs, snntorch, spikingjelly
from eventsim.from_torch.other_steps import is_fixed_to_its_steps, parts_in_a_long_run
from eventsim.from_torch.preserving import preserved, uncompiled
from eventsim.from_torch.running import follow, sent_in_float32
from eventsim.from_torch.samples import read_samples
from eventsim.from_torch.widths import choose_widths
from eventsim.model.network import Model

FOLLOWED = (elementwise, maps, reductions, vectors)  # each registers its operations


def known_rules() -> Rules:
    """The rules of all libraries."""
    rules = Rules()
    for library in (snntorch, spikingjelly, norse, sinabs):
        library.add_rules(rules)
    return rules


RULES = known_rules()


def add_rule(cls, rule):
    """See `eventsim.from_torch.register`."""
    RULES.register(cls, rule)


def from_torch(net, x, input=None, timesteps=None, class_names=(), *, shape=None, encoding=None, layout=None,
               output=None, provenance=None) -> Model:
    """Return a Model of a trained network that is proved equal to the network itself.

    net: torch.nn.Module. It runs in evaluation mode, from the initial state of its neurons, and is left as it
        was. Its forward may do all steps in one call or one step a call.
    x: check samples, (N, ...) of samples that stand still or (N, T, ...): whole levels, or the numbers that the
        network takes. The outputs and the spikes of the network for them become the model's check group.
    input: the Input that says what a sample is, or None: then `shape` (of one step of a sample) and `encoding`
        ("image", "spikes" or "real") say it, or the samples themselves.
    timesteps: T, where neither the samples nor the network's forward say it; if given with samples that have
        steps, it must be their number.
    class_names: of the outputs, or none. layout: "N", "NT", or "TN" for x of shape (T, N, ...).
    output: function that takes what forward returns and gives the answer's tensor, such as `lambda y: y[1]` or
        `lambda y: y.mean(0)`; by default the first.
    provenance: name -> text, how the file was made.

    A network that is a different model for each number of steps (`out[:10].sum(0)`, `out.sum(0) / 10`,
    `out.sum(0).clamp(max=10)`, a bias behind their sum) gives a model with `timesteps_fixed` set: runs of other
    numbers of steps warn.

    Raises UnsupportedError, naming the place in the network's code, for what has no equal in eventsim, such as an
    answer that depends on how many samples there are;
    ModelError where a spike or an output differs, naming the first layer, step and neuron; DataError for samples
    that do not fit.
    """
    _check_network(net)
    _check_arguments(net, output)
    is_layout_known = layout is not None or input is not None or shape is not None
    provenance = mapping(provenance, "provenance", "text by key")
    samples = read_samples(x, input, shape, encoding, layout, timesteps)
    layout = layout or ("N" if samples.steps is None else "NT")
    with uncompiled(net) as net:
        try:
            traced = follow(net, RULES, samples, timesteps, layout, output)
        except UnsupportedError as error:
            raise _with_hint(error, samples, is_layout_known) from None
        builds = [build(traced.trace.graph, samples.input, traced.answer, late) for late in traced.late]
        fixed = is_fixed_to_its_steps(net, RULES, samples, traced, output, builds[0])
        sent = _sent(net, samples, traced)
        unknown = depends_on_the_batch(net, RULES, samples, traced, output)
        cut_off = choose_widths(traced.trace.graph, builds[0], sent)
        levels, in_float32 = (proof.sent_levels(values, builds[0]) for values in sent)
        original = proof.OriginalSpikes(levels, traced.outputs.numpy())
        make = functools.partial(Model, timesteps=traced.timesteps, class_names=class_names,
                                 provenance={**_provenance(net, traced), **provenance})
        model = _proved(builds, make, samples, original, in_float32)
        model.timesteps_fixed = fixed or parts_in_a_long_run(net, RULES, samples, traced, output, model, builds[0])
        may_move = "" if is_layout_known else may_have_steps(net, RULES, samples, traced, output)
        _warn_of(model, traced, original, (samples.note, may_move, cut_off, unknown, depends_on_its_type(net)))
    return model


def _check_network(net):
    """Raise DataError, saying how to come by one, for what is no network."""
    if isinstance(net, torch.nn.Module):
        return
    remedy = ""
    if isinstance(net, Mapping) and any(isinstance(value, torch.Tensor) for value in net.values()):
        remedy = "; weights alone are no network: build it, net.load_state_dict(weights), then give net"
    elif isinstance(net, (str, os.PathLike)):
        remedy = ("; build the network, net.load_state_dict(torch.load(path)), then give net (eventsim.load(path) "
                  "reads model files)")
    elif callable(net):
        remedy = "; call what builds the network, net = Net(...), load its weights, then give net"
    raise DataError(f"net is {shown(net)}, expected a torch.nn.Module{remedy}")


def _check_arguments(net, output):
    """Raise what names it for an output that is no function, and for a network without numbers."""
    if output is not None and not callable(output):
        raise DataError(f"output is {shown(output)}, expected a function of what forward returns, or None")
    for name, tensor in (*net.named_parameters(), *net.named_buffers()):
        if isinstance(tensor, UninitializedTensorMixin):
            raise UnsupportedError(f"{name} has no shape yet, as its module is lazy: run the network once, "
                                   "net(x), and give it then")
        if tensor.is_meta:
            raise UnsupportedError(f"{name} lies on device 'meta', which holds no numbers: make the network on "
                                   "'cpu' and load its weights")


def _sent(net, samples, traced):
    """Return what the network's layers sent, in float64 and in float32: each number of a layer -> (T, N, ...)."""
    with preserved(net):
        return proof.sent_by(traced.trace), sent_in_float32(net, RULES, samples, traced)


def _provenance(net, traced):
    """Return how a model was made, as text by key."""
    notes = {"exported from": f"{type(net).__module__}.{type(net).__qualname__}, {traced.way.name}"}
    if traced.answer.assumed:
        notes["assumed answer"] = f"{traced.answer.reduce} over the steps (the network leaves them as they are)"
    return notes


def _proved(builds, make, samples, original, in_float32):
    """Return the Model, with its check group, of the first build that is equal to the original network.

    make: function of nodes and edges. original: OriginalSpikes. in_float32: levels by name of a node. Raises
    ModelError where none is equal.
    """
    failures = []
    for built in builds:
        try:
            model = make(built.nodes, built.edges)
            levels = _shaped(samples, model)
            proof.prove(model, levels, original)
        except UnsupportedError as error:
            raise _placed(error, built) from None
        except ModelError as error:
            failures.append(_placed(error, built))
            continue
        proof.prove_in_float32(model, levels, in_float32)
        model.check = proof.check_group(model, levels, original)
        return model
    raise failures[0]


def _with_hint(error, samples, is_layout_known):
    """Return an error that says how the samples were read, where they may have steps and nobody has said so."""
    if is_layout_known or samples.steps is not None or samples.levels.ndim not in (3, 5):
        return error
    return type(error)(f"{error} (x was taken as {len(samples.levels)} samples that stand still: if an axis "
                       "counts steps, give layout='NT' or 'TN')")


def _placed(error, built):
    """Return an error about a node, with the place in the network's code that the node comes from."""
    named = re.match(r"node '([^']*)'", str(error))
    where = built.places.get(named.group(1)) if named else None
    return type(error)(where.before(str(error))) if where else error


def _warn_of(model, traced, original, notes):
    """Warn, in one line each, of what the proof could not see, and of what was assumed."""
    silent = [name for name, levels in original.levels.items() if not levels.any()]
    if silent:
        warn(f"{', '.join(silent)}: no neuron fires on the check samples, which prove little of what follows; "
             "give samples that the network answers to")
    for note in filter(None, notes):
        warn(note)
    if traced.answer.assumed and model.nodes[model.output].role == "readout":
        warn(f"the network leaves its steps as they are: the model gives their {traced.answer.reduce}; return "
             "their sum, mean or last step from forward to say another")


def _shaped(samples, model):
    """Return the levels of the samples in the shape of the model's input, as the network reads them."""
    shape, wanted = samples.input.shape, model.nodes[model.input].shape
    return samples.levels.reshape(*samples.levels.shape[:-len(shape)], *wanted)
