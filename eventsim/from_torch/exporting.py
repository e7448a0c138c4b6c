"""From a trained network in PyTorch to a Model that is proved equal to it.

The network runs once in float64 while its operations are followed; what is found is built as nodes and edges;
then the engine runs them, and must give every spike and every output that the network itself gave.
"""

import re
import warnings

import torch

from eventsim.arguments import instance_of, mapping, shown
from eventsim.errors import DataError, EventsimWarning, ModelError, UnsupportedError
from eventsim.from_torch import proof
from eventsim.from_torch.building import build
from eventsim.from_torch.independence import depends_on_its_type, depends_on_the_batch
from eventsim.from_torch.layers import Rules
from eventsim.from_torch.operations import elementwise, maps, reductions, vectors
from eventsim.from_torch.libraries import norse, sinabs, snntorch, spikingjelly
from eventsim.from_torch.other_steps import is_fixed_to_its_steps
from eventsim.from_torch.preserving import preserved
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
    """A Model of a trained network, proved equal to the network itself.

    net: torch.nn.Module. It runs in evaluation mode, from the initial state of its neurons, and is left as it
        was. Its forward may do all steps in one call or one step a call.
    x: check samples, (N, ...) of samples that stand still or (N, T, ...): whole levels, or the numbers that the
        network takes. The outputs and the spikes of the network for them become the model's check group.
    input: the Input that says what a sample is, or None: then `shape` (of one step of a sample) and `encoding`
        ("image", "spikes" or "real") say it, or the samples themselves.
    timesteps: T, where neither the samples nor the network's forward say it.
    class_names: of the outputs, or none. layout: "N", "NT", or "TN" for x of shape (T, N, ...).
    output: function that takes what forward returns and gives the answer's tensor, such as `lambda y: y[1]` or
        `lambda y: y.mean(0)`; by default the first.
    provenance: name -> text, how the file was made.

    A network that is another model for each number of steps (`out[:10].sum(0)`, `out.sum(0) / 10`, a bias behind
    their sum) gives one whose `timesteps_fixed` is set: runs of other numbers of steps warn.

    Raises UnsupportedError, naming the place in the network's code, for what has no equal in eventsim, such as an
    answer that depends on how many samples there are;
    ModelError where a spike or an output differs, naming the first layer, step and neuron; DataError for samples
    that do not fit.
    """
    instance_of(net, torch.nn.Module, "net", "a torch.nn.Module")
    provenance = mapping(provenance, "provenance", "text by key")
    if output is not None and not callable(output):
        raise DataError(f"output is {shown(output)}, expected a function of what forward returns, or None")
    _check_device(net)
    samples = read_samples(x, input, shape, encoding, layout, timesteps)
    try:
        traced = follow(net, RULES, samples, timesteps, layout or ("N" if samples.steps is None else "NT"), output)
    except UnsupportedError as error:
        raise _with_hint(error, samples, layout or input or shape) from None
    graph = traced.trace.graph
    builds = [build(graph, samples.input, traced.answer, late) for late in traced.late]
    fixed = is_fixed_to_its_steps(net, RULES, samples, traced, output, builds[0])
    sent = proof.sent_by(traced.trace)
    with preserved(net):
        sent_single = sent_in_float32(net, RULES, samples, traced)
    unknown = depends_on_the_batch(net, RULES, samples, traced, output)
    cut_off = choose_widths(graph, builds[0], (sent, sent_single))
    original = proof.OriginalSpikes(proof.sent_levels(sent, builds[0]), traced.outputs.numpy())
    in_float32 = proof.sent_levels(sent_single, builds[0])
    notes = {"exported from": f"{type(net).__module__}.{type(net).__qualname__}, {traced.way.name}",
             **provenance}
    if traced.answer.assumed:
        notes["assumed answer"] = f"{traced.answer.reduce} over the steps (the network leaves them as they are)"
    failures = []
    for built in builds:
        try:
            model = Model(built.nodes, built.edges, traced.timesteps, class_names, notes, timesteps_fixed=fixed)
            levels = _shaped(samples, model)
            proof.prove(model, levels, original)
        except UnsupportedError as error:
            raise _placed(error, built) from None
        except ModelError as error:
            failures.append(_placed(error, built))
            continue
        proof.prove_in_float32(model, levels, in_float32)
        model.check = proof.check_group(model, levels, original)
        _warn_of(model, traced, original, (cut_off, unknown, depends_on_its_type(net)))
        return model
    raise failures[0]


def _check_device(net):
    """Raise UnsupportedError for a network without numbers."""
    for name, tensor in (*net.named_parameters(), *net.named_buffers()):
        if tensor.is_meta:
            raise UnsupportedError(f"{name} lies on device 'meta', which holds no numbers: make the network on "
                                   "'cpu' and load its weights")


def _with_hint(error, samples, said):
    """An error, with a word on how the samples were read where they may have steps and nobody has said so."""
    if said or samples.steps is not None or samples.levels.ndim not in (3, 5):
        return error
    return type(error)(f"{error} (x was taken as {len(samples.levels)} samples that stand still: if an axis "
                       "counts steps, give layout='NT' or 'TN')")


def _placed(error, built):
    """An error about a node, with the place in the network's code that the node comes from."""
    named = re.match(r"node '([^']*)'", str(error))
    where = str(built.places.get(named.group(1), "")) if named else ""
    return type(error)(f"{where}: {error}") if where else error


def _warn_of(model, traced, original, notes):
    """Say in one line each what the proof could not see, and what was assumed."""
    silent = [name for name, levels in original.levels.items() if not levels.any()]
    if silent:
        _warn(f"{', '.join(silent)}: no neuron fires on the check samples, which prove little of what follows; "
              "give samples that the network answers to")
    for note in filter(None, notes):
        _warn(note)
    if traced.answer.assumed and model.nodes[model.output].role == "readout":
        _warn(f"the network leaves its steps as they are: the model gives their {traced.answer.reduce}; return "
              "their sum, mean or last step from forward to say another")


def _warn(text):
    warnings.warn(text, EventsimWarning, stacklevel=5)


def _shaped(samples, model):
    """The levels in the shape that the model's input has where the network reads it in another."""
    shape, wanted = samples.input.shape, model.nodes[model.input].shape
    return samples.levels.reshape(*samples.levels.shape[:-len(shape)], *wanted)
