"""Proof: that a model gives what the original network gives, spike for spike, on the check samples.

The original runs as it is, in its own code. In float64 every level of every layer and all outputs must be
equal; in float32 spikes may part where a membrane comes within rounding of a threshold.
"""

from typing import Dict, NamedTuple

import numpy as np
import torch

from eventsim.comparison.divergence import compare
from eventsim.comparison.self_check import level_counts, OUTPUT_TOLERANCE
from eventsim.comparison.traces import Trace
from eventsim.engine.simulator import Simulator
from eventsim.errors import ModelError
from eventsim.model.check import Check
from eventsim.model.network import Model

NEAR = {"float64": 1e-9, "float32": 1e-3}  # of a threshold: how far from it rounding can take a membrane across


class OriginalSpikes(NamedTuple):
    """levels: name of a node -> int64 (N, T, ...). outputs: float64 (N, outputs)."""

    levels: Dict[str, np.ndarray]
    outputs: np.ndarray


class Parting(NamedTuple):
    """Where two runs part, in words. near: whether at a membrane within rounding of its threshold."""

    text: str
    near: bool


def sent_by(trace) -> Dict[int, torch.Tensor]:
    """What the original's layers sent while they were followed: number of a layer -> values (T, N, ...)."""
    return {number: torch.cat([call.values for call in calls]) for number, calls in trace.calls.items()}


def sent_levels(sent, built) -> Dict[str, np.ndarray]:
    """int64 (N, T, ...) by name of the node. sent: number of a layer -> values (T, N, ...)."""
    fire = {name: number for name, number in built.layers.items() if built.nodes[name].fires()}
    return {
        name: _levels_of(_shaped(sent[number], built.shapes[name]), built.nodes[name], name)
        for name, number in fire.items()
    }


def _shaped(values, shape):
    """float64 (N, T, *shape) of what a layer sent, (T, N, ...)."""
    values = values.transpose(0, 1).double().cpu()
    return values.reshape(*values.shape[:2], *shape).numpy()


def _levels_of(values, node, name):
    quantum = np.asarray(node.worth)
    quantum = quantum.reshape((-1,) + (1,) * (values.ndim - 3)) if quantum.ndim else quantum
    levels = np.rint(values / quantum)
    if np.abs(levels * quantum - values).max(initial=0) > 1e-6 * np.abs(quantum).max():
        raise ModelError(f"layer {name!r}: sends values that are no whole multiples of "
                         f"{float(quantum.max()):.6g}, what its rule says a level is worth")
    top = (1 << node.n_bits) - 1
    if levels.max(initial=0) > top or levels.min(initial=0) < (-top if node.signed else 0):
        raise ModelError(f"layer {name!r}: sends levels from {levels.min():.0f} to {levels.max():.0f}, and its "
                         f"rule says {node.n_bits} bits")
    return levels.astype(np.int64)


def prove(model: Model, samples, original: OriginalSpikes) -> None:
    """Compare the engine in float64 with the original. Raises ModelError with the first place where they part."""
    wishes = tuple(f"spikes:{name}" for name in original.levels)
    run = Simulator(model, "float64").run(samples, record=wishes)
    equal = all(np.array_equal(run.levels(name), levels) for name, levels in original.levels.items())
    if not equal:
        raise ModelError(_parting(model, samples, original, "float64").text)
    error = float(np.abs(run.output - original.outputs).max() / max(1.0, np.abs(original.outputs).max()))
    if error > OUTPUT_TOLERANCE:
        raise ModelError(f"the network's outputs differ from the model's by {error:.1e} of the largest, though "
                         "all spikes are equal: its end is not what the trace found; say which tensor is the "
                         "answer (output=...)")


def _parting(model, samples, original, precision):
    recorded = Trace({name: levels for name, levels in original.levels.items()}, "the original network")
    divergence = compare(Simulator(model, precision), recorded, samples)
    first = divergence.first
    if first is None:
        return Parting("the network's spikes differ from the model's", False)
    margin = _margin(first, model.nodes[first.layer])
    near = margin is not None and margin < NEAR[precision]
    shown = f"; its membrane is {margin:.1e} from its threshold, relative to it" if margin is not None else ""
    remedy = "that is rounding: give other samples" if near else \
        "the model is not this network: register a rule for what differs, or report it"
    return Parting(f"layer {first.layer!r} parts from the original network at step {first.step}, sample "
                   f"{first.sample}, neuron {first.neuron}: eventsim sends {first.values[0]:g}, the original "
                   f"{first.values[1]:g}{shown}; {remedy} ({' '.join(str(divergence.reading).split())})", near)


def _margin(first, node):
    """Distance of the engine's membrane from the nearest threshold, of the larger of threshold and quantum; or
    None."""
    decision = first.decisions[0]
    if decision is None:
        return None
    return abs(decision.margin) / max(abs(decision.threshold), float(np.min(getattr(node, "quantum", 1.0))))


def prove_in_float32(model: Model, samples, levels: Dict[str, np.ndarray]) -> None:
    """Compare the engine in float32 with the original in float32. levels: the original's, int64 (N, T, ...).

    Raises ModelError where they first part at a membrane that is not within rounding of a threshold.
    """
    run = Simulator(model, "float32").run(samples, record=tuple(f"spikes:{name}" for name in levels))
    if any((run.levels(name) != expected).any() for name, expected in levels.items()):
        parting = _parting(model, samples, OriginalSpikes(levels, np.zeros(0)), "float32")
        if not parting.near:
            raise ModelError(f"in float32 {parting.text}")


def differs(model: Model, samples, original: OriginalSpikes, precision, tolerance) -> bool:
    """Whether a model gives otherwise than the original, by more than rounding. tolerance: of the outputs,
    relative to the largest; without outputs, spikes alone are compared."""
    run = Simulator(model, precision).run(samples, record=tuple(f"spikes:{name}" for name in original.levels))
    if any((run.levels(name) != levels).any() for name, levels in original.levels.items()):
        return not _parting(model, samples, original, precision).near
    if not original.outputs.size:
        return False
    largest = max(1.0, np.abs(original.outputs).max())
    return bool(np.abs(run.output - original.outputs).max() > tolerance * largest)


def check_group(model: Model, samples, original: OriginalSpikes) -> Check:
    """The Check of the original's outputs and counts."""
    counts = {}
    for name, levels in original.levels.items():
        node = model.nodes[name]
        n = (1 << (node.n_bits + 1)) - 1 if node.signed else 1 << node.n_bits
        counts[name] = level_counts(levels, n, node.signed)
    return Check(samples, original.outputs, counts)
