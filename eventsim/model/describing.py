"""What a model is, as plain data."""

import inspect
from typing import Dict

from eventsim.model.network import Model


def describe(model: Model) -> Dict:
    """What `eventsim info` says: nodes with shapes, input, edges, provenance."""
    nodes = []
    for name, node in model.nodes.items():
        reads = [
            edge.source + (f" (delay {edge.delay})" if edge.delay else "")
            for edge in model.incoming(name)
        ]
        nodes.append({
            "name": name, "kind": node.kind, "shape": list(model.shapes[name]), "reads": reads,
            "parameters": node.n_weights, "settings": node.shown(),
        })
    return {
        "nodes": nodes, "timesteps": model.timesteps, "class_names": list(model.class_names),
        "input": model.input, "output": model.output, "provenance": model.provenance,
        "check": None if model.check is None else int(len(model.check.x)),
        "chip": None if model.chip is None else model.chip.name,
    }


def is_default(node, key) -> bool:
    """Whether a setting that a node shows is what it would be if nobody had given it."""
    parameter = inspect.signature(type(node)).parameters.get(key)
    return parameter is not None and parameter.default is not inspect.Parameter.empty and (
        node.shown().get(key) == _shown_default(node, key, parameter.default))


def _shown_default(node, key, default):
    """A default as `shown` writes it: a number for all axes is a list where the setting is one."""
    value = node.shown()[key]
    for_all_axes = isinstance(value, list) and not isinstance(default, (list, tuple))
    return [default] * len(value) if for_all_axes else default


def plain(value):
    """A setting as text shows it: a list as its values with x between them."""
    return "x".join(map(str, value)) if isinstance(value, list) else value
