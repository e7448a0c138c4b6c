"""Findings: every planted fault is found, and said of the right layer; a healthy network has none."""

import dataclasses
import json

import numpy as np
import pytest
from networks import chain

import made_runs
from eventsim.engine.simulator import Simulator
from eventsim.model.input import Input
from eventsim.model.neurons import Neuron
from eventsim.model.synapses import Dense
from eventsim.report import findings
from eventsim.report.findings import find, KINDS
from eventsim.runs.summary import RunSummary
from made_runs import energy, healthy, membranes, run

N, STEPS = 64, 8
RNG = np.random.default_rng(3)


def levels(rate, *shape):
    return (RNG.random((N, STEPS, *shape)) < rate).astype(np.int64)


def half_silent(share):
    found = levels(0.3, 8, 6, 6).reshape(N, STEPS, -1)
    found[..., : int(share * found.shape[2])] = 0
    return found.reshape(N, STEPS, 8, 6, 6)


def dead_channels(n):
    found = levels(0.3, 8, 6, 6)
    found[:, :, :n] = 0
    return found


def saturated(share):
    found = levels(0.2, 8, 6, 6).reshape(N, STEPS, -1)
    found[..., : int(share * found.shape[2])] = 1
    return found.reshape(N, STEPS, 8, 6, 6)


def drawn_levels(*shares):
    return RNG.choice(len(shares), (N, STEPS, 40), p=shares)


def one_class():
    return np.tile([0.0, 2.0, 0.0, 1.0], (N, 1))


def with_nan():
    output = np.zeros((N, 4))
    output[5, 2] = np.nan
    return output


STEADY = np.arange(1, STEPS + 1)  # what steady currents do
GROWING = 3.0 ** STEADY / 100  # what a loop does that triples what comes back
CHIP = {"first": {
    "membrane": {"lowest": -900, "highest": 300, "bits_needed": 11, "bits": 8, "overflow": "wrap",
                 "overflows": 12},
    "sum": {"lowest": -9, "highest": 30, "bits_needed": 6, "bits": 8, "overflow": "wrap", "overflows": 0},
    "current": {"lowest": -9, "highest": 30, "bits_needed": 6, "bits": None, "overflow": "", "overflows": None},
    "weights": 1000, "clipped_weights": 3, "zeroed_weights": 40}}

# what is planted -> (arguments of `healthy`, kind, layer, words of the sentence)
FAULTS = {
    "a layer that never fires": (
        dict(levels={"first": levels(0, 8, 6, 6)}), "dead_layer", "first", "not one spike of 288 neurons"),
    "a multi-bit layer that never fires": (
        dict(levels={"second": levels(0, 40)}), "dead_layer", "second", "64 samples of 8 steps"),
    "an empty input": (dict(levels={"input": levels(0, 1, 6, 6)}), "dead_layer", "input", "the input, is 0"),
    "neurons that never fire": (
        dict(levels={"first": half_silent(0.6)}), "mostly_silent", "first", "60 % of the 288 neurons"),
    "channels that never fire": (
        dict(levels={"first": dead_channels(2)}), "dead_channels", "first", "2 of the 8 channels"),
    "neurons that always fire": (
        dict(levels={"first": saturated(0.25)}), "saturated", "first", "25 % of the 288 neurons"),
    "clipped levels": (
        dict(levels={"second": drawn_levels(0.2, 0.1, 0.1, 0.6)}),
        "saturated_top_bit", "second", "highest level, 3"),
    "an idle bit": (
        dict(levels={"second": drawn_levels(0.5, 0.5)}), "unused_top_bit", "second", "1 of its 2 bits would do"),
    "an input of 0 to 1": (
        dict(bits={"input": 8}), "dim_input", "input", "is 1 of 255"),
    "potentials that explode": (
        dict(membranes={"first": membranes(0 * GROWING, GROWING)}),
        "exploding_membrane", "first", "faster than any"),
    "potentials that are huge from the start": (
        dict(membranes={"first": membranes(900 + STEADY, 900 + STEADY)}),
        "exploding_membrane", "first", "no spike"),
    "potentials that sink": (
        dict(membranes={"first": membranes(-3.0 * STEADY, 3.3 * STEADY)}), "membrane_drift", "first", "below 0"),
    "potentials that rise": (
        dict(membranes={"second": membranes(8.0 * STEADY, 8.5 * STEADY, n_levels=3)}),
        "membrane_drift", "second", "above 0"),
    "potentials that part": (
        dict(membranes={"first": membranes(0.1 * STEADY, 5.0 * STEADY)}),
        "membrane_drift", "first", "root mean square"),
    "potentials that are no numbers": (
        dict(membranes={"second": membranes(0 * STEADY, 0 * STEADY, n_not_finite=7)}),
        "not_finite", "second", "7 potentials"),
    "an output that is no number": (dict(output=with_nan()), "not_finite", "readout", "output of 1 of 64 samples"),
    "one answer": (dict(output=one_class()), "constant_prediction", None, "class 1, though 4 classes occur"),
    "an answer by its name": (
        dict(output=one_class(), class_names=("cat", "dog", "fish", "<owl>")),
        "constant_prediction", None, "class dog"),
    "labels that are no class": (
        dict(labels=np.arange(64) % 5), "strange_labels", None, "12 of 64 labels are no class of the model"),
    "answers by chance": (
        dict(n=200, output=np.random.default_rng(0).random((200, 4))),
        "at_chance", None, "guessing among 4 classes"),
    "a layer denser than the crossing": (
        dict(energy=energy(first=(4e-8, 3e-8, 0.3, 0.2), second=(2e-8, 5e-8, 0.4, 1.1))),
        "denser_than_crossing", "first",
        "inputs fire into 30 % of the synapses per step; event-driven wins below 20 %"),
    "a layer dearer at any rate": (
        dict(energy=energy(first=(4e-8, 3e-8, 0.3, None), second=(2e-8, 5e-8, 0.4, 1.1))),
        "denser_than_crossing", "first", "wins at no firing rate"),
    "integers that overflow": (dict(audit=CHIP), "overflow", "first", "left its 8 bits 12 times"),
    "weights that vanish": (
        dict(audit={"first": {"weights": 1000, "clipped_weights": 30, "zeroed_weights": 400}}),
        "lost_weights", "first", "43 % of the weights"),
    "weights that are all 0": (
        dict(weights={"first": {"bits": 8, "weights": 1000, "zeroed": 900, "clipped": 0, "left": 0}}),
        "zeroed_layer", "first", "All 1000 weights of first are 0"),
    "a leak that forgets nothing": (
        dict(weights={"first": {"bits": 8, "weights": 9, "zeroed": 0, "clipped": 0, "left": 9, "constants": {
            "leak": {"before": 0.9999, "after": 1.0, "number": 3, "of": 288}}}}),
        "changed_constant", "first", "rounds the leak of 3 of 288 neurons of first from 0.9999 to 1."),
    "weights that are rounded": (
        dict(weights={"first": {"bits": 8, "weights": 1000, "zeroed": 20, "clipped": 0, "left": 980},
                      "second": {"bits": 8, "weights": 1000, "zeroed": 10, "clipped": 0, "left": 990}}),
        "rounded_weights", None, "rounded to 0 or clipped: 2.0 % of first."),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found_and_nothing_else(fault):
    changes, kind, layer, words = FAULTS[fault]
    if "n" in changes:  # another number of samples: everything else of the healthy run, drawn anew
        changes = dict(changes)
        n = changes.pop("n")
        made = made_runs.healthy(n=n, **changes)
    else:
        made = healthy(n=N, steps=STEPS, **changes)
    [found] = find(made)
    assert (found.kind, found.layer) == (kind, layer)
    assert words in found.sentence
    assert found.remedy.endswith(".") and found.sentence.endswith(".")
    json.dumps(found.as_json(), allow_nan=False)


def test_every_kind_is_planted():
    assert {kind for _, kind, _, _ in FAULTS.values()} == set(KINDS)


@pytest.mark.parametrize("seed", range(5))
def test_a_healthy_run_has_no_finding(seed):
    assert find(healthy(seed)) == []


@pytest.mark.parametrize("n, steps", ((1, 1), (1, 4), (2, 1), (4, 8), (8, 1)))
def test_few_samples_prove_little(n, steps):
    """Most neurons are silent, or always fire, in a sample or two; that is chance."""
    assert find(healthy(n=n, steps=steps)) == []


def test_rare_firing_is_not_silence():
    """Neurons that fire once in 500 steps: two thirds are silent over 200 chances, none is dead."""
    rng = np.random.default_rng(0)
    rare = (rng.random((25, 8, 40, 3, 3)) < 0.002).astype(np.int64)
    made = healthy(n=25, levels={"first": rare})
    assert made.statistics.trains["first"].silent_share > findings.SILENT_SHARE
    assert find(made) == []


def test_a_pool_is_not_blamed_for_what_it_reads():
    silent = np.zeros((N, STEPS, 8, 6, 6), np.int64)
    found = find(healthy(n=N, steps=STEPS, levels={"first": silent, "pool": silent[..., :3, :3]}))
    assert [f.layer for f in found] == ["first"]


def test_an_input_may_be_constant_bright_and_wide():
    still = np.tile(np.random.default_rng(0).integers(200, 256, (N, 1, 1, 6, 6)), (1, STEPS, 1, 1, 1))
    assert find(healthy(n=N, steps=STEPS, levels={"input": still}, bits={"input": 8})) == []


def test_wide_spikes_may_have_idle_bits():
    assert find(healthy(n=N, steps=STEPS, bits={"second": 8})) == []


def test_negative_levels_are_clipped_too():
    rng = np.random.default_rng(0)
    values = rng.choice([0, -1, 1, -3, 3], (N, STEPS, 40), p=[0.4, 0.1, 0.1, 0.2, 0.2])
    made = healthy(n=N, steps=STEPS)
    made.statistics.trains["second"] = made_runs.train(values, bits=2, signed=True)
    [found] = find(made)
    assert (found.kind, found.layer) == ("saturated_top_bit", "second")
    assert found.numbers["top_level_share"] == pytest.approx(2 / 3, abs=0.01)


@pytest.mark.parametrize("drawn, signed, bits, meaning", [
    ([1], False, 1, "this says nothing"), ([-1], True, 1, "this says nothing"),
    ([3], False, 2, "this says nothing"),
    ([-1, 1], True, 1, "only the signs say something"), ([1, 2], False, 2, "only the levels say something"),
    ([-2, 2], True, 2, "only the levels say something"),
])
def test_neurons_that_always_fire_say_what_their_levels_say(drawn, signed, bits, meaning):
    values = np.random.default_rng(0).choice(drawn, (N, STEPS, 40))
    made = healthy(n=N, steps=STEPS)
    made.statistics.trains["second"] = made_runs.train(values, bits, signed)
    found = {each.kind: each for each in find(made)}["saturated"]
    assert found.layer == "second" and meaning in found.sentence


@pytest.mark.parametrize("sign, shift, words", [
    (-1, 3.0, "neurons so far down send negative spikes whatever comes"),
    (1, 3.0, "neurons so far up send positive spikes whatever comes"),
    (-1, 0.1, "neurons so far from 0 send spikes of their own sign whatever comes"),
])
def test_signed_neurons_far_from_0_do_not_stay_silent(sign, shift, words):
    drifting = membranes(sign * shift * STEADY, 5.0 * STEADY)
    drifting = dataclasses.replace(drifting, edges=np.linspace(-3.0, 3.0, 241))
    [found] = find(healthy(n=N, steps=STEPS, membranes={"first": drifting}))
    assert found.kind == "membrane_drift" and words in found.sentence and "limit" not in found.remedy


def test_signed_neurons_that_sink_do_fire():
    """Four IF neurons of one bit that a negative current drives by more than a spike takes off."""
    model = chain(Input((2,), bits=4), Dense(np.full((4, 2), -1.2)), Neuron(signed=True), timesteps=12)
    recording = Simulator(model).run(np.full((64, 12, 2), 2), record=("statistics", "membranes"))
    assert recording.statistics.trains["neuron2"].rate == 1 and recording.statistics.membranes["neuron2"].signed
    made = healthy(n=N, steps=STEPS, membranes={"first": recording.statistics.membranes["neuron2"]})
    [found] = find(made)
    assert "send negative spikes" in found.sentence


def test_silent_neurons_that_sink_linearly_are_healthy():
    """What inhibited IF neurons do: U sinks by a constant a step. Some thresholds are no drift."""
    sinking = membranes(-0.8 * STEADY, 2.6 * STEADY)
    assert find(healthy(n=N, steps=STEPS, membranes={"first": sinking})) == []


@pytest.mark.parametrize("steps", (8, 32, 128, 300))
def test_steady_currents_are_healthy_however_many_steps_they_run(steps):
    """0.1.0's data/digits.h5 went on by 0.6 (mean) and 3 (root mean square) a step, and was always right."""
    course = np.arange(1, steps + 1)
    given = {"first": membranes(-0.6 * course, 3.0 * course)}
    assert find(healthy(n=N, steps=STEPS, membranes=given)) == []


@pytest.mark.parametrize("begins", range(2, STEPS))
def test_what_begins_late_does_not_explode(begins):
    """What comes through delays, or late in the input: nothing at first, then as steady as elsewhere."""
    course = np.maximum(STEADY - begins, 0)
    given = {"first": membranes(-0.6 * course, 4.0 * course)}
    assert find(healthy(n=N, steps=STEPS, membranes=given)) == []


def test_neurons_that_wait_for_their_sample_are_healthy():
    """A sparse code: every sample has one neuron of a thousand, which fires at every step of it."""
    code = np.zeros((N, STEPS, 1000), int)
    code[np.arange(N), :, np.random.default_rng(0).integers(0, 1000, N)] = 1
    assert find(healthy(n=N, steps=STEPS, levels={"second": code}, bits={"second": 1})) == []


def test_potentials_far_away_that_do_not_grow_do_not_drift():
    still = membranes(np.full(STEPS, -17.0), np.full(STEPS, 40.0))
    assert find(healthy(n=N, steps=STEPS, membranes={"first": still})) == []


def test_labels_of_one_class_may_be_predicted_as_one():
    assert find(healthy(n=N, steps=STEPS, output=one_class(), labels=np.ones(N, int))) == []


def test_without_labels_only_many_equal_predictions_are_found():
    assert find(healthy(n=N, steps=STEPS, output=one_class(), labels=None)) == []
    many = np.tile([0.0, 1.0, 0.0, 0.0], (128, 1))
    assert [f.kind for f in find(healthy(n=128, output=many, labels=None))] == ["constant_prediction"]


def test_a_layer_that_costs_next_to_nothing_is_not_reported():
    costs = energy(first=(4e-6, 9e-6, 0.3, 0.7), readout=(1e-9, 5e-10, 0.4, 0.2))
    assert find(healthy(n=N, steps=STEPS, energy=costs)) == []


def test_a_network_may_cost_more_than_dense_as_a_whole():
    costs = energy(first=(4e-8, 3e-8, 0.3, 0.2), second=(5e-8, 4e-8, 0.4, 0.3), third=(1e-8, 2e-8, 0.1, 0.2))
    costs["total"].update(rate=0.3, crossing_rate=0.25)
    found = find(healthy(n=N, steps=STEPS, energy=costs))
    assert [f.layer for f in found] == [None, "first", "second"]
    assert found[0].sentence.startswith("All layers together cost 100 nJ per sample event by event, and 90 nJ")


def test_the_remedy_depends_on_whether_any_rate_is_low_enough():
    costs = energy(first=(4e-8, 3e-8, 0.3, 0.2), second=(5e-8, 4e-8, 0.4, None), third=(1e-8, 9e-8, 0.1, 0.2))
    first, second = find(healthy(n=N, steps=STEPS, energy=costs))
    assert "Lower the firing rates" in first.remedy and "Lower the firing rates" not in second.remedy


def test_findings_are_in_the_order_of_their_importance():
    found = find(healthy(
        n=N, steps=STEPS, levels={"first": levels(0, 8, 6, 6), "second": drawn_levels(0.5, 0.5)},
        output=one_class(), membranes={"second": membranes(0 * STEADY, 0 * STEADY, n_not_finite=1)},
    ))
    assert [f.kind for f in found] == ["not_finite", "dead_layer", "constant_prediction", "unused_top_bit"]
    assert [f.severity for f in found] == ["fault", "fault", "fault", "note"]


def test_a_run_that_says_little_is_read_too():
    """Files of earlier versions: no nodes, no energy, no statistics."""
    made = healthy(n=N, steps=STEPS, levels={"first": levels(0, 8, 6, 6)})
    made.summary = RunSummary()
    assert [(f.kind, f.layer) for f in find(made)] == [("dead_layer", "first")]
    empty = dataclasses.replace(made, statistics=type(made.statistics)())
    assert find(empty) == []


def dying(values):
    values[:, :, 3] = 0
    return values


SINGULAR = {  # what there is one of -> (run, words of the sentence)
    "neuron": (lambda: run({"input": levels(0.3, 4), "n": np.ones((N, STEPS, 1), int)}, np.ones((N, 1))),
               "The only neuron of n fires at every step of all 64 samples"),
    "channel": (lambda: healthy(n=N, levels={"first": dying(levels(0.3, 4, 6, 6))}),
                "1 of the 4 channels of first never fires in 64 samples, at any position (channel 3)"),
    "potential": (lambda: healthy(n=N, membranes={"first": membranes(0 * STEADY, 0 * STEADY, n_not_finite=1)}),
                  "1 potential of first is nan"),
    "step": (lambda: healthy(n=N, membranes={"first": membranes([900.0], [900.0])}), "after 1 step)"),
    "output": (lambda: healthy(n=N, output=with_nan()), "its prediction means nothing"),
    "label": (lambda: healthy(n=N, labels=np.r_[4, np.arange(63) % 4]), "1 of 64 labels is no class of the model: "
              "labels run from 0 to 4, and its answers are classes 0 to 3. It counts as wrong."),
    "overflow": (lambda: healthy(n=N, audit={"first": {**CHIP["first"], "membrane": {
        **CHIP["first"]["membrane"], "overflows": 1, "bits": 1}}}), "left its 1 bit 1 time (wrap)"),
    "weight": (lambda: healthy(n=N,
                               weights={"first": {"bits": 8, "weights": 1, "zeroed": 1, "clipped": 0, "left": 0}}),
               "The only weight of first is 0"),
    "weight of several": (lambda: healthy(n=N, weights={"first": {
        "bits": 8, "weights": 4, "zeroed": 1, "clipped": 1, "left": 3}}), "1 of 4 rounds to 0, 1 is clipped"),
}


@pytest.mark.parametrize("what", SINGULAR)
def test_of_one_thing_the_singular_is_used(what):
    make, words = SINGULAR[what]
    assert words in "\n".join(finding.sentence for finding in find(make()))


def test_a_single_output_is_no_class():
    made = run({"input": levels(0.3, 4)}, np.ones((N, 1)))
    assert find(made) == []
