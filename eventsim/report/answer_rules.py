"""Rules on the answer, the arithmetic and the cost of a run. See `report.findings`."""

import math
from typing import NamedTuple, Optional

import numpy as np

from eventsim.report.kinds import Finding
from eventsim.runs.summary import WeightSummary
from eventsim.runs.summary_text import LOST_SHARE
from eventsim.text import inflected, joule, many, percent

# The classes of so few samples may all be the same by chance, or by the order of the file.
MIN_PREDICTIONS = 20
MIN_PREDICTIONS_UNLABELLED = 100
# Standard deviations of the accuracy of guessing: 1 in 44 guesses right more often.
CHANCE_DEVIATIONS = 2.0
MIN_LABELS = 100
# A layer that takes less of the network's energy is not worth a change.
ENERGY_SHARE = 0.01
# Quantisation rounds the smallest weights to 0 in any network; a fifth changes what it computes. Trained networks
# lose 1 to 3 % in int8 and as little of their accuracy: that is worth a note, no more.
LOST_WEIGHTS = 0.2


class Answers(NamedTuple):
    """predictions: (N,). labels: (N,), or None. n_classes: at least 2. n_unknown: labels that are no class."""

    predictions: np.ndarray
    labels: Optional[np.ndarray]
    n_classes: int
    n_unknown: int


def _answers(run):
    """Return the Answers of a run, or None where there is nothing to choose from, or an output is not a number."""
    output = np.asarray(run.output)
    if output.ndim < 2 or output.shape[1] < 2 or not np.isfinite(output).all():
        return None
    labels, n_classes = None if run.labels is None else np.asarray(run.labels), output.shape[1]
    n_unknown = 0 if labels is None else int(np.count_nonzero((labels < 0) | (labels >= n_classes)))
    return Answers(np.asarray(run.predictions), labels, n_classes, n_unknown)


def _outputs(run):
    output = np.asarray(run.output)
    n_samples = int(np.count_nonzero(~np.isfinite(output).reshape(len(output), -1).all(axis=1)))
    if not n_samples:
        return []
    meaning = inflected(n_samples, "its prediction means nothing", "their predictions mean nothing")
    return [Finding(
        "not_finite", run.layers[-1] if run.layers else None,
        f"The output of {n_samples} of {many(len(output), 'sample')} is nan or infinite: {meaning}.",
        "Look for nan or huge numbers in the weights, the BatchNorm (variance 0) and the input; `eventsim diff` "
        "against float64 shows where it begins.", {"samples": n_samples})]


def _strange_labels(run):
    answers = _answers(run)
    if answers is None or not answers.n_unknown:
        return []
    labels, n_classes, n_unknown = answers.labels, answers.n_classes, answers.n_unknown
    return [Finding(
        "strange_labels", None,
        f"{n_unknown} of {many(len(labels), 'label')} {inflected(n_unknown, 'is', 'are')} no class of the model: "
        f"labels run from {labels.min()} to {labels.max()}, and its answers are classes 0 to {n_classes - 1}. "
        f"{inflected(n_unknown, 'It counts', 'They all count')} as wrong.",
        "Give the labels from 0 on, in the order in which the model was trained.",
        {"samples": n_unknown, "classes": n_classes})]


def _constant_prediction(run):
    answers = _answers(run)
    if answers is None or answers.n_unknown or not _constant(answers.predictions, answers.labels):
        return []
    n_samples, predicted = len(answers.predictions), int(answers.predictions[0])
    name = _class_name(run, predicted, answers.n_classes)
    labelled = "" if answers.labels is None else f", though {len(np.unique(answers.labels))} classes occur"
    return [Finding(
        "constant_prediction", None, f"All {n_samples} samples are predicted as class {name}{labelled}.",
        "Look for a dead or saturated layer first; then check how the data is normalised and scaled.",
        {"class": predicted, "samples": n_samples})]


def _at_chance(run):
    answers = _answers(run)
    if answers is None or answers.n_unknown or answers.labels is None:
        return []
    predictions, labels, n_samples = answers.predictions, answers.labels, len(answers.labels)
    if n_samples < MIN_LABELS or len(np.unique(labels)) < 2 or _constant(predictions, labels):
        return []
    accuracy, guess = float((predictions == labels).mean()), 1 / answers.n_classes
    if accuracy >= guess + CHANCE_DEVIATIONS * math.sqrt(guess * (1 - guess) / n_samples):
        return []
    return [Finding(
        "at_chance", None, f"{percent(accuracy)} of {n_samples} samples are right; guessing among "
                           f"{answers.n_classes} classes gives {percent(guess)}.",
        "Check that the weights are trained ones, the order of the classes, and how the data is normalised and "
        "scaled.", {"accuracy": accuracy, "guessing": guess})]


def _constant(predictions, labels):
    if len(np.unique(predictions)) > 1:
        return False
    if labels is None:
        return len(predictions) >= MIN_PREDICTIONS_UNLABELLED
    # labels that are nearly all the same: the network may well be right
    most = np.unique(labels, return_counts=True)[1].max(initial=0) / max(len(labels), 1)
    return len(predictions) >= MIN_PREDICTIONS and most < 0.9


def _class_name(run, index, classes):
    names = run.summary.class_names
    return str(names[index]) if len(names) == classes else str(index)


def _integers(run):
    findings = []
    for name, audit in (run.summary.audit or {}).items():
        for quantity in ("sum", "current", "membrane"):
            seen = getattr(audit, quantity)
            if seen.overflows:
                findings.append(Finding(
                    "overflow", name,
                    f"The {quantity} of {name} left its {_bits(seen.bits)} {many(seen.overflows, 'time')} "
                    f"({seen.overflow}): {_bits(seen.bits_needed)} would have held it.",
                    "Scale the weights and v_threshold of this layer down, or choose a chip with wider "
                    "numbers.",
                    {"overflows": seen.overflows, "bits": seen.bits, "bits_needed": seen.bits_needed}))
    return findings


def _bits(n):
    """Return a number of bits, which may be unknown, in words."""
    return f"{n} {inflected(n, 'bit', 'bits')}"


def _weights(run):
    findings, rounded = [], {}
    for name, layer in _weights_of(run.summary).items():
        zeroed, clipped, weights = layer.zeroed or 0, layer.clipped or 0, layer.weights or 0
        numbers = {"zeroed": zeroed, "clipped": clipped, "weights": weights}
        findings += [_changed(name, constant, change) for constant, change in (layer.constants or {}).items()]
        if layer.is_empty:
            which = (f"The only weight of {name} is" if weights == 1 else f"All {weights} weights of {name} are")
            findings.append(Finding(
                "zeroed_layer", name, f"{which} 0 in this arithmetic: nothing that it reads has an effect.",
                "Rescale the layer: its quantum or threshold is far above its weights; or run it in float32.",
                numbers))
        elif layer.lost_share > LOST_WEIGHTS:
            findings.append(Finding(
                "lost_weights", name,
                f"{percent(layer.lost_share)} of the weights of {name} do not survive the arithmetic: {zeroed} of "
                f"{weights} {inflected(zeroed, 'rounds', 'round')} to 0, {clipped} "
                f"{inflected(clipped, 'is', 'are')} clipped.",
                "Train with these weights' width, or choose a chip with more bits for weights.", numbers))
        elif layer.lost_share > LOST_SHARE and run.summary.weights:
            rounded[name] = layer
    return findings + (_rounded(rounded) if rounded else [])


def _rounded(layers):
    """layers: name -> WeightSummary, of those that lose some weights."""
    shown = ", ".join(f"{percent(layer.lost_share)} of {name}" for name, layer in layers.items())
    return [Finding(
        "rounded_weights", None, f"Some weights are rounded to 0 or clipped: {shown}.",
        "Compare the accuracy with that in float32; if it is lower, train with this arithmetic's weights.",
        {"layers": len(layers), "largest_share": max(layer.lost_share for layer in layers.values())})]


def _changed(name, constant, change):
    return Finding("changed_constant", name, f"This arithmetic rounds {change.as_text(constant, name)}.",
                   "Run it in float32; or rescale the layer, or choose a chip with more bits for it.",
                   vars(change).copy())


def _weights_of(summary):
    """Return layer -> WeightSummary; of older files from the audit."""
    if summary.weights is not None:
        return summary.weights
    return {name: WeightSummary(None, audit.weights, audit.zeroed_weights, audit.clipped_weights)
            for name, audit in (summary.audit or {}).items()}


def _energy(run):
    energy = run.summary.energy
    if energy is None:
        return []
    total = sum(layer.total or 0 for layer in energy.layers)
    findings = [_denser(f"{layer.name} costs", layer.name, layer) for layer in energy.layers
                if layer.costs_more and layer.total > ENERGY_SHARE * total]
    if energy.total.costs_more:
        findings.insert(0, _denser("All layers together cost", None, energy.total))
    return findings


def _denser(who, layer, energy):
    crossing, rate = energy.crossing_rate, energy.rate
    where = (f"inputs fire into {percent(rate)} of the synapses per step; event-driven wins below "
             f"{percent(crossing)}" if crossing and rate is not None else "event-driven wins at no firing rate")
    return Finding(
        "denser_than_crossing", layer, f"{who} {joule(energy.total)} per sample event by event, and "
                                       f"{joule(energy.ann_total)} as a matched quantised ANN: {where}.",
        "Lower the firing rates of its inputs (higher thresholds, regularisation), run fewer steps, or run it "
        "dense."
        if crossing else "Run it dense, or for fewer steps.",
        {"energy": energy.total, "ann_energy": energy.ann_total, "rate": math.nan if rate is None else rate,
         "crossing_rate": math.nan if crossing is None else crossing})


RULES = (_outputs, _strange_labels, _constant_prediction, _at_chance, _integers, _weights, _energy)
