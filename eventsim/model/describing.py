"""What a model is, as plain data."""

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
