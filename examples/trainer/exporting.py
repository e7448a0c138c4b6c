"""Networks of the trainer as models, whose nodes have the names of the network's layers."""

import eventsim
from eventsim.model.network import Check
from trainer import rules  # noqa: F401 (from_torch then knows the trainer's modules)

PREFIX = "layers."  # SpikingNet's, in front of each layer's name


def export(net, x, input_node, class_names, provenance=None):
    """The eventsim.Model of a trained SpikingNet or Converted network, with its check group.

    x: samples of the check group, as the input node has them. provenance: text by key.
    """
    model = eventsim.from_torch(net, x, input_node, net.timesteps, class_names, provenance=provenance)
    names = {name: name.removeprefix(PREFIX) for name in model.nodes}
    if len(set(names.values())) < len(names):
        return model
    check = Check(model.check.x, model.check.outputs,
                  {names[name]: counts for name, counts in model.check.level_counts.items()})
    return eventsim.Model(
        {names[name]: node for name, node in model.nodes.items()},
        [(names[edge.source], names[edge.target], edge.delay) for edge in model.edges],
        model.timesteps, model.class_names, model.provenance, check, model.chip)
