"""What a model is, as plain data."""

from typing import Dict

import numpy as np

from eventsim.model.network import Model


def describe(model: Model) -> Dict:
    """What `eventsim info` says: nodes with shapes, input, edges, provenance."""
    nodes = []
    for name, node in model.nodes.items():
        reads = [
            edge.source + (f" (delay {edge.delay})" if edge.delay else "")
            for edge in model.incoming(name)
        ]
        weights = getattr(node, "weight", None)
        nodes.append({
            "name": name, "kind": node.kind, "shape": list(model.shapes[name]), "reads": reads,
            "parameters": int(weights.size) if weights is not None and node.kind != "BatchNorm" else 0,
            "settings": _settings(node),
        })
    return {
        "nodes": nodes, "timesteps": model.timesteps, "class_names": list(model.class_names),
        "input": model.input, "output": model.output, "provenance": model.provenance,
        "check": None if model.check is None else int(len(model.check.x)),
        "chip": None if model.chip is None else model.chip.name,
    }


_SHOWN = {
    "Input": ("encoding", "bits", "signed", "scale", "layout"),
    "Neuron": ("leak", "current_leak", "v_threshold", "comparison", "quantum", "bits", "reset", "signed",
               "rectify"),
    "SigmaDelta": ("mode", "v_threshold", "quantum", "bits", "rectify"),
    "Readout": ("reduce", "leak", "current_leak"),
    "Delay": ("steps",),
}


def _settings(node):
    shown = {}
    for name in _SHOWN.get(node.kind, ("stride", "padding", "dilation", "groups", "kernel_size")):
        value = getattr(node, name, None)
        if value is None:
            continue
        if isinstance(value, np.ndarray):
            value = value.item() if value.size == 1 else f"{value.min():.4g} to {value.max():.4g}"
        shown[name] = list(value) if isinstance(value, tuple) else value
    return shown


def plain(value):
    return "x".join(map(str, value)) if isinstance(value, list) else value
