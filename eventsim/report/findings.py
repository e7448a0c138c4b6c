"""Findings: what looks wrong with a network, in words, from the statistics of a run.

Each rule compares a statistic with a threshold that has a name and a reason. A rule that needs many samples to be
right says nothing on few: thresholds are set so that a healthy network has no finding, and a finding is worth
reading. Rules on spikes and membranes are below, the others in `answer_rules`.
"""

import math
from typing import List

import numpy as np

from eventsim.arguments import open_run_of
from eventsim.model.kinds import node_type
from eventsim.report import answer_rules
from eventsim.report.kinds import Finding, KINDS
from eventsim.text import inflected, many, number, percent

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


def find(run) -> List[Finding]:
    """Return all findings of a `runs.file.Run`, the most important kind first, inside a kind in the model's
    order."""
    open_run_of(run)
    findings = [finding for rule in RULES for finding in rule(run)]
    order = list(KINDS)
    return sorted(findings, key=lambda finding: order.index(finding.kind))


# ---- what the rules share


def role_of(run, name):
    """Return "input", or what the node sends by itself: "levels", "changes" or "" (see `Node.sends`); of runs that
    do not say it, what its place implies."""
    node = run.summary.of_node(name)
    if node is not None:
        known = node_type(node.kind)
        return "input" if known.role == "input" else known.sends
    if name == ("input" if "input" in run.layers else next(iter(run.layers), None)):
        return "input"
    return "levels" if name in run.layers else ""


def firing(run):
    """Return (name, TrainStatistics) of the nodes that decide to fire. Pools and sums send on what others
    decided: what is wrong with them is said of those."""
    return [(name, train) for name, train in run.statistics.trains.items()
            if role_of(run, name) in ("levels", "changes")]


def _enough(train):
    return train.n_samples >= MIN_SAMPLES and train.chances >= MIN_CHANCES


# ---- rules on spikes


def _dead_layers(run):
    findings = []
    for name, train in run.statistics.trains.items():
        role = role_of(run, name)
        if not role or train.events.any() or not train.chances:
            continue
        numbers = {"events": 0, "neurons": train.n_neurons, "samples": train.n_samples}
        if role == "input":
            findings.append(Finding(
                "dead_layer", name, f"{name}, the input, is 0 everywhere in {many(train.n_samples, 'sample')}: "
                                    "nothing drives the network but its biases.",
                "Check the data, and its scale: integers of the input's range are expected, not numbers of 0 to "
                "1.",
                numbers))
        else:
            findings.append(Finding(
                "dead_layer", name, f"{name} never fires: not one spike of {many(train.n_neurons, 'neuron')} in "
                                    f"{many(train.n_samples, 'sample')} of {train.steps_text()}, so "
                                    "nothing of the input gets past it.",
                "Lower its v_threshold, or raise the scale of the weights or of the BatchNorm before it; if the "
                "trainer's spikes differ, run `eventsim diff` against them. With delays, run more steps.",
                numbers))
    return findings


def _silent_neurons(run):
    findings = []
    for name, train in firing(run):
        if not train.events.any() or not _enough(train):
            continue
        active = train.events > 0
        # in how many samples a neuron's events are, if they are evenly spread over those
        events, squares = train.events[active].astype(np.float64), np.maximum(train.squares[active], 1)
        samples = float((events**2 / squares).mean())
        by_chance = (1 - min(samples / train.n_samples, 1.0)) ** train.n_samples
        if train.silent_share > SILENT_SHARE and by_chance < SILENT_BY_CHANCE:
            findings.append(Finding(
                "mostly_silent", name, f"{percent(train.silent_share)} of the {train.n_neurons} neurons of "
                                       f"{name} never fire in {many(train.n_samples, 'sample')}: the layer is "
                                       "wider than this data needs, or its threshold is too high.",
                "Lower v_threshold, regularise towards a higher rate in training, or remove the silent neurons.",
                {"silent_share": train.silent_share, "samples": train.n_samples}))
            continue
        findings += _dead_channels(name, train)
    return findings


def _dead_channels(name, train):
    channels, positions = train.shape[0], math.prod(train.shape[1:])
    if len(train.shape) < 2 or positions < 4:
        return []
    dead = np.flatnonzero(~train.events.reshape(channels, -1).any(axis=1))
    if len(dead) < DEAD_CHANNELS * channels or not len(dead):
        return []
    shown = ", ".join(map(str, dead[:8])) + (", ..." if len(dead) > 8 else "")
    return [Finding(
        "dead_channels", name, f"{len(dead)} of the {channels} channels of {name} "
                               f"{inflected(len(dead), 'never fires', 'never fire')} in "
                               f"{many(train.n_samples, 'sample')}, at any position "
                               f"({inflected(len(dead), 'channel', 'channels')} {shown}).",
        f"Remove {inflected(len(dead), 'this channel', 'these channels')} and the weights that read "
        f"{inflected(len(dead), 'it', 'them')}: the results on such data stay the same.",
        {"dead": len(dead), "channels": channels})]


def _saturated_neurons(run):
    findings = []
    for name, train in firing(run):
        if _enough(train) and train.saturated_share > SATURATED_SHARE:
            which = (f"The only neuron of {name} fires" if train.n_neurons == 1 else
                     f"{percent(train.saturated_share)} of the {train.n_neurons} neurons of {name} fire")
            meaning = _said_by_always_firing(train)
            findings.append(Finding(
                "saturated", name, f"{which} at every step of all {train.n_samples} samples: {meaning}, at the "
                                   "cost of dense neurons.",
                "Raise v_threshold, or lower the bias or the scale of the weights before it; if the values "
                "matter, give it another bit.",
                {"saturated_share": train.saturated_share, "samples": train.n_samples}))
    return findings


def _said_by_always_firing(train):
    """Return what the neurons that fire at every step can still say: something where a bit, or the sign, differs
    from one event to another."""
    planes = train.plane_events[:, train.saturated]
    if not ((planes > 0) & (planes < train.chances)).any():
        return "this says nothing"
    return "only the signs say something" if train.bits == 1 else "only the levels say something"


def _magnitudes(train):
    """Return int64 (2^bits,): how often each |level| was sent, 0 first."""
    return np.bincount(np.abs(train.level_values), weights=train.level_counts, minlength=1 << train.bits)


def _levels(run):
    findings = []
    for name, train in firing(run):
        counts = _magnitudes(train)
        events, top = counts[1:].sum(), (1 << train.bits) - 1
        if train.bits == 1 or events < MIN_EVENTS:
            continue
        numbers = {"top_level_share": counts[top] / events, "events": float(events), "bits": train.bits}
        if counts[top] > TOP_LEVEL_SHARE * events and counts[top] > TOP_LEVEL_PILE * counts[top - 1]:
            findings.append(Finding(
                "saturated_top_bit", name,
                f"{percent(counts[top] / events)} of the spikes of {name} carry the highest level, {top}, and "
                f"{percent(counts[top - 1] / events)} the one below: the {train.bits}-bit levels are clipped, "
                "and larger values are lost or sent late.",
                f"Give {name} another bit, or a larger quantum (and train again).", numbers))
        elif train.bits < WIDE_BITS and not counts[(top + 1) // 2 :].any() and role_of(run, name) == "levels":
            used = int(np.flatnonzero(counts)[-1])
            needed = used.bit_length()
            findings.append(Finding(
                "unused_top_bit", name, f"No spike of {name} carries a level above {used} in "
                                        f"{many(train.n_samples, 'sample')}: {needed} of its {train.bits} bits "
                                        "would do.",
                f"Set bits to {needed}: fewer planes take less time and memory, and the results on such data "
                "stay the same. Or lower the quantum, for finer levels.", {**numbers, "highest_level": used}))
    return findings


def _dim_input(run):
    findings = []
    for name, train in run.statistics.trains.items():
        if role_of(run, name) != "input" or train.bits < 4 or not train.events.any() or not _enough(train):
            continue
        used, top = int(np.flatnonzero(_magnitudes(train))[-1]), (1 << train.bits) - 1
        if used < DIM_INPUT * top:
            findings.append(Finding(
                "dim_input", name, f"The highest level of {name}, the input, is {used} of {top}: almost all of "
                                   "its range is unused.",
                f"Check the scale of the data: integers of 0 to {top} are expected.",
                {"highest_level": used, "top_level": top}))
    return findings


# ---- rules on membranes


def _reach(membranes):
    """Return the potential that the highest level needs, in the unit of the statistics, at least one unit."""
    return max(1.0, membranes.threshold + membranes.step * (membranes.n_levels - 1))


def _membranes(run):
    findings = []
    for name, membranes in run.statistics.membranes.items():
        if membranes.n_not_finite:
            findings.append(Finding(
                "not_finite", name, f"{many(membranes.n_not_finite, 'potential')} of {name} "
                                    f"{inflected(membranes.n_not_finite, 'is', 'are')} nan or infinite: from here "
                                    "on nothing means anything.",
                "Look for nan or huge numbers in the weights, the BatchNorm (variance 0) and the input before "
                "it; `eventsim diff` against float64 shows where it begins.",
                {"not_finite": membranes.n_not_finite}))
            continue
        rms, means = (values[: membranes.longest] / _reach(membranes)
                      for values in (membranes.drift, membranes.means))
        if rms.size and np.isfinite(rms).all():
            findings += _drift(name, membranes, rms, means)
    return findings


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
                                        f"{many(steps, 'step')}){how}: no spike can bring them back.",
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
    if membranes.signed:
        sends = "negative spikes" if down else "positive spikes"
        meaning = (f"neurons so far {'down' if down else 'up'} send {sends} whatever comes" if shifted else
                   "neurons so far from 0 send spikes of their own sign whatever comes")
        remedy = "Raise v_threshold, give another bit, or balance the bias before them."
    elif down:
        meaning = "neurons so far down stay silent whatever comes"
        remedy = "Give the neurons a lower limit or a leak, or balance the bias before them."
    else:
        meaning = "neurons so far up fire whatever comes"
        remedy = "Raise v_threshold, give another bit, or balance the bias before them."
    return [Finding(
        "membrane_drift", name,
        f"The potentials of {name} drift: after {steps} steps {what} (of the highest level), and still grows: "
        f"{meaning}.", remedy, numbers)]


RULES = (_dead_layers, _silent_neurons, _saturated_neurons, _levels, _dim_input, _membranes, *answer_rules.RULES)
