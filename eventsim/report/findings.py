"""Findings: what looks wrong with a network, in words, from the statistics of a run.

Each rule compares a statistic with a threshold that has a name and a reason below. A rule that needs
many samples to be right says nothing on few: thresholds are set so that a healthy network has no
finding, and a finding is worth reading.
"""

import math
from dataclasses import dataclass, field
from typing import Dict, List, Optional

import numpy as np

from eventsim.arguments import open_run_of
from eventsim.model.kinds import node_type
from eventsim.runs.summary import WeightSummary
from eventsim.runs.summary_text import LOST_SHARE
from eventsim.text import joule, many, number, percent

# kind -> (severity, what it is), the most important first. "fault": results are wrong or meaningless;
# "warning": accuracy or cost probably suffers; "note": something is not used.
KINDS = {
    "not_finite": ("fault", "numbers that are nan or infinite"),
    "overflow": ("fault", "integers that left their width"),
    "zeroed_layer": ("fault", "a layer whose weights the arithmetic all rounds to 0"),
    "changed_constant": ("fault", "a leak, gain, threshold or bias that the arithmetic makes another number"),
    "dead_layer": ("fault", "a layer that never fires"),
    "exploding_membrane": ("fault", "potentials far beyond anything that firing can bring back"),
    "constant_prediction": ("fault", "one class predicted for every sample"),
    "strange_labels": ("fault", "labels that are no class of the model"),
    "at_chance": ("fault", "an accuracy that guessing reaches too"),
    "saturated_top_bit": ("warning", "levels clipped at the highest"),
    "saturated": ("warning", "neurons that fire at every step"),
    "membrane_drift": ("warning", "potentials that move away steadily"),
    "dim_input": ("warning", "an input that uses a small part of its range"),
    "lost_weights": ("warning", "weights that the arithmetic clips or rounds to 0"),
    "denser_than_crossing": ("warning", "event-driven costs more than dense"),
    "mostly_silent": ("note", "neurons that never fire"),
    "dead_channels": ("note", "channels that never fire"),
    "unused_top_bit": ("note", "a bit that is never set"),
    "rounded_weights": ("note", "some weights that the arithmetic clips or rounds to 0"),
}

# Below, what a neuron does by chance cannot be told from what it always does. A neuron that fires at
# one step in ten is silent over 64 chances once in 850 times.
MIN_SAMPLES = 8
MIN_CHANCES = 64  # steps of all samples together
# At half of the neurons silent, the layer could be half as wide. Less is common in healthy networks:
# filters at the dark border of the images.
SILENT_SHARE = 0.5
# Neurons of a healthy layer that fire rarely are silent in a small sample. The layer is only called
# silent if neurons as active as the others' average would all have fired in this sample but for 1 %.
# Samples are what is independent, not steps: a neuron that knows one thing fires at all steps of few samples.
SILENT_BY_CHANCE = 0.01
# Single dead channels are common after training with ReLU-like neurons; a quarter is worth pruning.
DEAD_CHANNELS = 0.25
# A neuron that fires at every step says nothing by firing. A few work as a bias; a tenth is waste.
SATURATED_SHARE = 0.1
# The highest level of levels that are not clipped is rarer than the one below it. Where it is twice as
# frequent, and a quarter of all events, it stands for the values that would have gone higher.
TOP_LEVEL_SHARE = 0.25
TOP_LEVEL_PILE = 2.0
# So many events without the top bit: it would appear in fewer than 1 in 300 (95 % confidence).
MIN_EVENTS = 1000
# Spikes of eight bits and more are wide in order never to clip (input of 8 bits, sinabs' counts,
# sigma-delta); their top bits are meant to be idle.
WIDE_BITS = 8
# An input that reaches no higher than an eighth of its range leaves three bits unset: most often
# numbers of 0 to 1 where 0 to 255 are expected.
DIM_INPUT = 1 / 8
# In units of the potential that the highest level needs. Firing takes one such unit off per step at
# most, so that 100 need 100 silent steps to go. In long runs a steady current reaches that in any network
# without leak (0.1.0's digits: 3 a step, and right 100 % of the time after 256), so more is asked of them.
EXPLODED = 100.0
EXPLODED_BY_STEP = 10.0
# Steady currents make potentials grow linearly with the steps. Growth by twice of what is linear, of more
# than ten units in the last step alone, feeds on itself through a loop, or on an input that grows. Growth
# alone does not tell: what comes through delays, or late in the input, begins late.
FASTER_THAN_LINEAR = 2.0
# Trained networks without leak reach 2 (mean) and 10 (root mean square) in 4 steps, and are right 99.8 %
# of the time (0.1.0's digits). Thrice to five times as far, what a neuron is sent in a step no longer
# decides what it sends. In long runs they go on as steadily, by 0.6 and 3 a step: more is asked of them.
DRIFTED_MEAN, DRIFTED_MEAN_BY_STEP = 10.0, 1.0
DRIFTED_RMS, DRIFTED_RMS_BY_STEP = 30.0, 4.0
# Over the second half of the steps linear growth doubles a potential; a quarter of that still is growth,
# less is a leak or a lower limit at work.
STILL_GROWING = 1.25
MIN_STEPS = 4  # to speak of growth
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


@dataclass(frozen=True)
class Finding:
    """One thing that looks wrong. kind: of KINDS. layer: the node's name, or None for the network.
    sentence: what was found, and what it means. remedy: what to try. numbers: what the rule saw."""

    kind: str
    layer: Optional[str]
    sentence: str
    remedy: str
    numbers: Dict[str, float] = field(default_factory=dict)

    @property
    def severity(self) -> str:
        """"fault", "warning" or "note"."""
        return KINDS[self.kind][0]

    def as_json(self) -> Dict:
        """Plain values; numbers that are not finite are None."""
        numbers = {key: value if value is not None and math.isfinite(value) else None
                   for key, value in self.numbers.items()}
        return {"kind": self.kind, "severity": self.severity, "layer": self.layer, "sentence": self.sentence,
                "remedy": self.remedy, "numbers": numbers}


def find(run) -> List[Finding]:
    """All findings of a `runs.file.Run`, the most important kind first, inside a kind in the model's order."""
    open_run_of(run)
    found = []
    for rule in RULES:
        found += rule(run)
    order = list(KINDS)
    return sorted(found, key=lambda finding: order.index(finding.kind))


# ---- what the rules share


def _role(run, name):
    """"input", or what the node sends by itself: "levels", "changes" or "" (see `Node.sends`); of runs that
    do not say it, what its place implies."""
    node = run.summary.of_node(name)
    if node is not None:
        known = node_type(node.kind)
        return "input" if known.role == "input" else known.sends
    if name == ("input" if "input" in run.layers else next(iter(run.layers), None)):
        return "input"
    return "levels" if name in run.layers else ""


def _firing(run):
    """(name, TrainStatistics) of the nodes that decide to fire. Pools and sums send on what others
    decided: what is wrong with them is said of those."""
    return [(name, train) for name, train in run.statistics.trains.items()
            if _role(run, name) in ("levels", "changes")]


def _enough(train):
    return train.n_samples >= MIN_SAMPLES and train.chances >= MIN_CHANCES


# ---- rules on spikes


def _dead_layers(run):
    found = []
    for name, train in run.statistics.trains.items():
        role = _role(run, name)
        if not role or train.events.any() or not train.chances:
            continue
        numbers = {"events": 0, "neurons": train.n_neurons, "samples": train.n_samples}
        if role == "input":
            found.append(Finding(
                "dead_layer", name, f"{name}, the input, is 0 everywhere in {many(train.n_samples, 'sample')}: "
                                    "nothing drives the network but its biases.",
                "Check the data, and its scale: integers of the input's range are expected, not numbers of 0 to "
                "1.",
                numbers))
        else:
            found.append(Finding(
                "dead_layer", name, f"{name} never fires: not one spike of {many(train.n_neurons, 'neuron')} in "
                                    f"{many(train.n_samples, 'sample')} of {train.steps_text()}, so "
                                    "nothing of the input gets past it.",
                "Lower its v_threshold, or raise the scale of the weights or of the BatchNorm before it; if the "
                "trainer's spikes differ, run `eventsim diff` against them. With delays, run more steps.",
                numbers))
    return found


def _silent_neurons(run):
    found = []
    for name, train in _firing(run):
        if not train.events.any() or not _enough(train):
            continue
        active = train.events > 0
        # in how many samples a neuron's events are, if they are evenly spread over those
        events, squares = train.events[active].astype(np.float64), np.maximum(train.squares[active], 1)
        samples = float((events**2 / squares).mean())
        by_chance = (1 - min(samples / train.n_samples, 1.0)) ** train.n_samples
        if train.silent_share > SILENT_SHARE and by_chance < SILENT_BY_CHANCE:
            found.append(Finding(
                "mostly_silent", name, f"{percent(train.silent_share)} of the {train.n_neurons} neurons of "
                                       f"{name} never fire in {many(train.n_samples, 'sample')}: the layer is "
                                       "wider than this data needs, or its threshold is too high.",
                "Lower v_threshold, regularise towards a higher rate in training, or remove the silent neurons.",
                {"silent_share": train.silent_share, "samples": train.n_samples}))
            continue
        found += _dead_channels(name, train)
    return found


def _dead_channels(name, train):
    channels, positions = train.shape[0], math.prod(train.shape[1:])
    if len(train.shape) < 2 or positions < 4:
        return []
    dead = np.flatnonzero(~train.events.reshape(channels, -1).any(axis=1))
    if len(dead) < DEAD_CHANNELS * channels or not len(dead):
        return []
    shown = ", ".join(map(str, dead[:8])) + (", ..." if len(dead) > 8 else "")
    return [Finding(
        "dead_channels", name, f"{len(dead)} of the {channels} channels of {name} never fire in "
                               f"{many(train.n_samples, 'sample')}, at any position (channels {shown}).",
        "Remove these channels, and the weights that read them: the results on such data stay the same.",
        {"dead": len(dead), "channels": channels})]


def _saturated_neurons(run):
    found = []
    for name, train in _firing(run):
        if _enough(train) and train.saturated_share > SATURATED_SHARE:
            meaning = ("they say nothing, and cost as much as dense neurons" if train.bits == 1
                       else "only their levels say something, and they cost as much as dense neurons")
            found.append(Finding(
                "saturated", name, f"{percent(train.saturated_share)} of the {train.n_neurons} neurons of {name} "
                                   f"fire at every step of all {train.n_samples} samples: {meaning}.",
                "Raise v_threshold, or lower the bias or the scale of the weights before it; if the values "
                "matter, give it another bit.",
                {"saturated_share": train.saturated_share, "samples": train.n_samples}))
    return found


def _magnitudes(train):
    """int64 (2^bits): how often each |level| was sent, 0 first."""
    return np.bincount(np.abs(train.level_values), weights=train.level_counts, minlength=1 << train.bits)


def _levels(run):
    found = []
    for name, train in _firing(run):
        counts = _magnitudes(train)
        events, top = counts[1:].sum(), (1 << train.bits) - 1
        if train.bits == 1 or events < MIN_EVENTS:
            continue
        numbers = {"top_level_share": counts[top] / events, "events": float(events), "bits": train.bits}
        if counts[top] > TOP_LEVEL_SHARE * events and counts[top] > TOP_LEVEL_PILE * counts[top - 1]:
            found.append(Finding(
                "saturated_top_bit", name,
                f"{percent(counts[top] / events)} of the spikes of {name} carry the highest level, {top}, and "
                f"{percent(counts[top - 1] / events)} the one below: the {train.bits}-bit levels are clipped, "
                "and larger values are lost or sent late.",
                f"Give {name} another bit, or a larger quantum (and train again).", numbers))
        elif train.bits < WIDE_BITS and not counts[(top + 1) // 2 :].any() and _role(run, name) == "levels":
            used = int(np.flatnonzero(counts)[-1])
            needed = used.bit_length()
            found.append(Finding(
                "unused_top_bit", name, f"No spike of {name} carries a level above {used} in "
                                        f"{many(train.n_samples, 'sample')}: {needed} of its {train.bits} bits "
                                        "would do.",
                f"Set bits to {needed}: fewer planes take less time and memory, and the results on such data "
                "stay the same. Or lower the quantum, for finer levels.", {**numbers, "highest_level": used}))
    return found


def _dim_input(run):
    found = []
    for name, train in run.statistics.trains.items():
        if _role(run, name) != "input" or train.bits < 4 or not train.events.any() or not _enough(train):
            continue
        used, top = int(np.flatnonzero(_magnitudes(train))[-1]), (1 << train.bits) - 1
        if used < DIM_INPUT * top:
            found.append(Finding(
                "dim_input", name, f"The highest level of {name}, the input, is {used} of {top}: almost all of "
                                   "its range is unused.",
                f"Check the scale of the data: integers of 0 to {top} are expected.",
                {"highest_level": used, "top_level": top}))
    return found


# ---- rules on membranes


def _reach(membranes):
    """The potential that the highest level needs, in the unit of the statistics, at least one unit."""
    return max(1.0, membranes.threshold + membranes.step * (membranes.n_levels - 1))


def _membranes(run):
    found = []
    for name, membranes in run.statistics.membranes.items():
        if membranes.n_not_finite:
            found.append(Finding(
                "not_finite", name, f"{membranes.n_not_finite} potentials of {name} are nan or infinite: from "
                                    "here on nothing means anything.",
                "Look for nan or huge numbers in the weights, the BatchNorm (variance 0) and the input before "
                "it; `eventsim diff` against float64 shows where it begins.",
                {"not_finite": membranes.n_not_finite}))
            continue
        rms, means = (values[: membranes.longest] / _reach(membranes) for values in (membranes.drift, membranes.means))
        if rms.size and np.isfinite(rms).all():
            found += _drift(name, membranes, rms, means)
    return found


def _drift(name, membranes, rms, mean):
    """rms, mean: float64 (T,) of what is left after the reset, in units of `_reach`."""
    steps, last = len(rms), rms[-1]
    half = rms[steps // 2 - 1] if steps >= MIN_STEPS else math.inf
    growth = last / half if half > 0 else math.inf
    numbers = {"rms_first": float(rms[0]), "rms_last": float(last), "mean_last": float(mean[-1]),
               "lowest": float(membranes.lowest), "highest": float(membranes.highest)}
    thresholds = f"{number(last)} times the threshold of its highest level"
    faster = (steps >= MIN_STEPS and growth > FASTER_THAN_LINEAR * steps / (steps // 2)
              and last - rms[-2] > EXPLODED_BY_STEP)
    if faster or last > max(EXPLODED, EXPLODED_BY_STEP * steps):
        how = (f", and grow by {number(growth)} in the second half of the steps, faster than any steady current "
               "makes them" if faster and math.isfinite(growth) else "")
        return [Finding(
            "exploding_membrane", name, f"The potentials of {name} reach {thresholds} (root mean square after "
                                        f"{steps} steps){how}: no spike can bring them back.",
            "Check recurrent weights, and the scale of the input, the weights and the BatchNorm before it "
            "against v_threshold.", numbers)]
    shifted = abs(mean[-1]) > max(DRIFTED_MEAN, DRIFTED_MEAN_BY_STEP * steps)
    drifted = shifted or last > max(DRIFTED_RMS, DRIFTED_RMS_BY_STEP * steps)
    if steps < MIN_STEPS or not drifted or growth <= STILL_GROWING:
        return []
    down = mean[-1] < 0
    if shifted:
        what = f"their mean is {number(abs(mean[-1]))} thresholds {'below' if down else 'above'} 0"
    else:
        what = f"their root mean square is {number(last)} thresholds"
    if down:
        meaning = "neurons so far down stay silent whatever comes"
        remedy = "Give the neurons a lower limit or a leak, or balance the bias before them."
    else:
        meaning = "neurons so far up fire whatever comes"
        remedy = "Raise v_threshold, give another bit, or balance the bias before them."
    return [Finding(
        "membrane_drift", name,
        f"The potentials of {name} drift: after {steps} steps {what} (of the highest level), and still grows: "
        f"{meaning}.", remedy, numbers)]


# ---- rules on the answer, the arithmetic and the cost


def _answers(run):
    output = np.asarray(run.output)
    found = []
    bad = int(np.count_nonzero(~np.isfinite(output).reshape(len(output), -1).all(axis=1)))
    if bad:
        return [Finding(
            "not_finite", run.layers[-1] if run.layers else None,
            f"The output of {bad} of {many(len(output), 'sample')} is nan or infinite: their predictions mean "
            "nothing.",
            "Look for nan or huge numbers in the weights, the BatchNorm (variance 0) and the input; `eventsim "
            "diff` against float64 shows where it begins.", {"samples": bad})]
    n, classes = len(output), output.shape[1] if output.ndim > 1 else 1
    labels = None if run.labels is None else np.asarray(run.labels)
    predictions = np.asarray(run.predictions)
    if classes < 2:
        return []
    if labels is not None and labels.size and (labels.min() < 0 or labels.max() >= classes):
        strange = int(np.count_nonzero((labels < 0) | (labels >= classes)))
        return [Finding(
            "strange_labels", None, f"{strange} of {many(n, 'label')} are no class of the model: labels run from "
            f"{labels.min()} to {labels.max()}, and its answers are classes 0 to {classes - 1}. They all count as "
            "wrong.", "Give the labels from 0 on, in the order in which the model was trained.",
            {"samples": strange, "classes": classes})]
    if _constant(predictions, labels):
        name = _class_name(run, int(predictions[0]), classes)
        return [Finding(
            "constant_prediction", None, f"All {n} samples are predicted as class {name}"
            + ("" if labels is None else f", though {len(np.unique(labels))} classes occur") + ".",
            "Look for a dead or saturated layer first; then check how the data is normalised and scaled.",
            {"class": int(predictions[0]), "samples": n})]
    if labels is not None and n >= MIN_LABELS and len(np.unique(labels)) > 1:
        accuracy, guess = float((predictions == labels).mean()), 1 / classes
        bound = guess + CHANCE_DEVIATIONS * math.sqrt(guess * (1 - guess) / n)
        if accuracy < bound:
            found.append(Finding(
                "at_chance", None, f"{percent(accuracy)} of {n} samples are right; guessing among {classes} "
                                   f"classes gives {percent(guess)}.",
                "Check that the weights are trained ones, the order of the classes, and how the data is "
                "normalised and scaled.", {"accuracy": accuracy, "guessing": guess}))
    return found


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
    found = []
    for name, audit in (run.summary.audit or {}).items():
        for quantity in ("sum", "current", "membrane"):
            seen = getattr(audit, quantity)
            if seen.overflows:
                found.append(Finding(
                    "overflow", name,
                    f"The {quantity} of {name} left its {seen.bits} bits {seen.overflows} times "
                    f"({seen.overflow}): {seen.bits_needed} bits would have held it.",
                    "Scale the weights and v_threshold of this layer down, or choose a chip with wider "
                    "numbers.",
                    {"overflows": seen.overflows, "bits": seen.bits, "bits_needed": seen.bits_needed}))
    return found


def _weights(run):
    found, noted = [], {}
    for name, layer in _weights_of(run.summary).items():
        zeroed, clipped, weights = layer.zeroed or 0, layer.clipped or 0, layer.weights or 0
        numbers = {"zeroed": zeroed, "clipped": clipped, "weights": weights}
        found += [_changed(name, constant, one) for constant, one in (layer.constants or {}).items()]
        if layer.is_empty:
            found.append(Finding(
                "zeroed_layer", name,
                f"All {weights} weights of {name} are 0 in this arithmetic: nothing that it reads has an effect.",
                "Rescale the layer: its quantum or threshold is far above its weights; or run it in float32.", numbers))
        elif layer.lost_share > LOST_WEIGHTS:
            found.append(Finding(
                "lost_weights", name,
                f"{percent(layer.lost_share)} of the weights of {name} do not survive the arithmetic: "
                f"{zeroed} of {weights} round to 0, {clipped} are clipped.",
                "Train with these weights' width, or choose a chip with more bits for weights.", numbers))
        elif layer.lost_share > LOST_SHARE and run.summary.weights:
            noted[name] = layer
    if noted:
        shown = ", ".join(f"{percent(layer.lost_share)} of {name}" for name, layer in noted.items())
        found.append(Finding(
            "rounded_weights", None, f"Some weights are rounded to 0 or clipped: {shown}.",
            "Compare the accuracy with that in float32; if it is lower, train with this arithmetic's weights.",
            {"layers": len(noted), "largest_share": max(layer.lost_share for layer in noted.values())}))
    return found


def _changed(name, constant, one):
    return Finding("changed_constant", name, f"This arithmetic rounds {one.as_text(constant, name)}.",
                   "Run it in float32; or rescale the layer, or choose a chip with more bits for it.", vars(one).copy())


def _weights_of(summary):
    """Layer -> WeightSummary; of older files from the audit."""
    if summary.weights is not None:
        return summary.weights
    return {name: WeightSummary(None, audit.weights, audit.zeroed_weights, audit.clipped_weights)
            for name, audit in (summary.audit or {}).items()}


def _energy(run):
    energy = run.summary.energy
    if energy is None:
        return []
    whole = sum(layer.total or 0 for layer in energy.layers)
    found = [_denser(f"{layer.name} costs", layer.name, layer) for layer in energy.layers
             if layer.costs_more and layer.total > ENERGY_SHARE * whole]
    if energy.total.costs_more:
        found.insert(0, _denser("All layers together cost", None, energy.total))
    return found


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


RULES = (_dead_layers, _silent_neurons, _saturated_neurons, _levels, _dim_input, _membranes, _answers, _integers,
         _weights, _energy)
