"""Diagnosis: how the neuron of a first divergence came to its values."""

from dataclasses import dataclass
from typing import Dict, Optional, Tuple

import numpy as np

from eventsim.model.kinds import node_type


@dataclass(frozen=True)
class NeuronDecision:
    """How a neuron came to fire or not.

    sent: the level. potential: H, or of what sends changes the one that it could send, in units of the
    membrane. threshold: the one between what A and B sent, as the run has rounded it.
    margin: how far the potential is beyond the threshold; below 0: short of it.
    comparison: ">=" or ">". steps: (potential, threshold) as integer state steps, or None.
    """

    sent: Optional[int]
    potential: float
    threshold: float
    margin: float
    comparison: str
    steps: Optional[Tuple[int, int]] = None


class History:
    """One neuron's values at a step and, where there is one, at the step before.

    values: variable -> up to two values as the side counts them. units: variable -> integer steps
    per unit, or None.
    """

    def __init__(self, values: Dict[str, np.ndarray], units: Dict[str, Optional[float]]):
        self._values, self._units = values, units

    def raw(self, variable, back=0):
        """The value as the side counts it, None where there is none."""
        recorded = self._values.get(variable)
        if recorded is None or len(recorded) <= back or np.isnan(float(recorded[-1 - back])):
            return None
        return recorded[-1 - back]

    def value(self, variable) -> Optional[float]:
        """The value in units of the membrane; a level of spikes."""
        value = self.raw(variable)
        if value is None:
            return None
        return float(value) / (self._units[variable] or 1.0)

    def steps(self, variable) -> Optional[int]:
        """The value in integer state steps, None for floats."""
        value = self.raw(variable)
        return None if value is None or not self._units[variable] else int(value)


def history(side, x, layer, neuron, step) -> History:
    """Run the one sample x up to `step` and keep a neuron of a layer. x: as `side.begin` takes it."""
    side.begin(x, step + 1)
    if step > 1:
        side.advance(step - 1, ())
    piece = side.advance(min(step + 1, 2), [(layer.name, v) for v in layer.variables])
    values, units = {}, {}
    for variable in layer.variables:
        values[variable] = piece.values(layer.name, variable)[0, :, neuron]
        unit = piece.steps_per_unit(layer.name, variable)
        units[variable] = None if unit is None else float(unit[neuron * len(unit) // layer.n_neurons])
    return History(values, units)


# ---- thresholds


def decisions(a, b, pair, neuron, histories):
    """Of A and B: how they fired or not; None where that is not known, or for what never fires."""
    if not node_type(pair.a.kind).fires():
        return None, None
    sent = [h.raw("spikes") for h in histories]
    levels = sorted(int(k) for k in sent if k is not None)
    boundary = levels[0] if levels else 0  # between this level and the next
    if levels and levels[0] == levels[-1] > 0:
        boundary -= 1
    neuron_decisions = []
    for side, layer, known, k in zip((a, b), (pair.a, pair.b), histories, sent):
        run, name = (side.estimator or a, pair.a.name) if side.is_trace else (side, layer.name)
        neuron_decisions.append(_decision(run, name, neuron, boundary, known, None if k is None else int(k)))
    return tuple(neuron_decisions)


def _decision(run, name, neuron, boundary, known, sent):
    node, stage = run.model.nodes[name], run.program.stages[name]
    potential = known.raw("potentials")
    if node.sends == "changes" and potential is not None:
        potential = _change(node, known)
    if potential is None:
        return None
    unit = float(stage.steps_per_unit[neuron // stage.positions])
    counts = known.steps("potentials") is not None
    if counts and run.program.dtype.kind == "f":  # a trace of integers against floats
        counts, potential = False, known.value("potentials")
    threshold, comparison = _threshold(run, node, stage, neuron, boundary)
    if not counts:
        threshold = threshold / unit
    margin = float(potential) - float(threshold)
    if boundary < 0 or node.sends == "changes":
        margin = abs(float(potential)) - abs(float(threshold))
    if not counts:
        return NeuronDecision(sent, float(potential), float(threshold), margin, comparison)
    return NeuronDecision(sent, float(potential) / unit, float(threshold) / unit, margin / unit, comparison,
                    (int(potential), int(threshold)))


def _change(node, known):
    """The change that a neuron could send: a[t] - sent[t-1]; sent is a - (a - sent)."""
    before, rest = known.raw("potentials", 1), known.raw("residuals", 1)
    if before is None or rest is None:
        return known.raw("potentials")
    return known.raw("potentials") - (before - rest)


def _threshold(run, node, stage, neuron, boundary):
    """(threshold between level `boundary` and the next, as the run counts, comparison)."""
    update = stage.update
    channel, position = divmod(neuron, stage.positions)

    def of_neuron(values, plane=0):
        planes = values.reshape(-1, stage.positions if update.per_position else 1, stage.padded)
        return planes[plane, position if update.per_position else 0, channel]

    if node.sends == "changes":
        return of_neuron(update.least), ">="
    first = of_neuron(update.thresholds)
    comparison = node.comparison
    if run.program.chip is not None and run.program.chip.comparison:
        comparison = run.program.chip.comparison
    folded = node.rectify and first != np.nextafter(first, first)  # MPR keeps its own threshold
    if comparison == ">" and not folded:  # lowering compares > th as >= the next number
        first = np.nextafter(first, -np.inf, dtype=first.dtype) if first.dtype.kind == "f" else first - 1
    amount = update.amounts.reshape(-1, stage.padded)[0, channel]
    if boundary < 0:
        return -(first + (-boundary - 1) * amount), comparison
    return first + boundary * amount, comparison
