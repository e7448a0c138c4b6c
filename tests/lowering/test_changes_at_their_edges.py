"""Constants of integers, one step before and one after they are said to be others."""

import warnings

import numpy as np
import pytest

from eventsim import Chip, Dense, Input, Model, Neuron, Readout, Simulator
from eventsim.errors import EventsimWarning


def chain(timesteps, *nodes):
    nodes = {f"{node.kind}{i}".lower(): node for i, node in enumerate(nodes)}
    return Model(nodes, list(zip(nodes, list(nodes)[1:])), timesteps=timesteps)


def rounding_of(model, layer, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EventsimWarning)
        return Simulator(model, **options).program.rounding[layer]


# ---- thresholds that no membrane of a chip reaches

RULES = {"saturate": range(-128, 128), "saturate_symmetric": range(-127, 128), "wrap": range(-128, 128),
         "wrap_once": range(-127, 129)}  # rule -> membranes of 8 bits


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("signed", (False, True))
@pytest.mark.parametrize("comparison", (">", ">="))
def test_levels_that_no_membrane_reaches(rule, signed, comparison):
    chip = Chip("eight", membrane_bits=8, membrane_overflow=rule, comparison=comparison)
    for bits in (1, 2, 3):
        for quantum in (1.0, 2.0):
            for highest in range(124, 131):
                threshold = highest - quantum * (2 ** (bits - 1) - 1)  # of the lowest level
                node = Neuron(threshold, quantum=quantum, bits=bits, signed=signed, resolution=1.0,
                              comparison=comparison)
                constants = rounding_of(chain(4, Input((2,)), Dense([[1.0, 1.0]]), node), "neuron2",
                                        chip=chip).constants
                sizes = {abs(m) if signed else m for m in RULES[rule]}

                def reached(limit):
                    return any(m > limit if comparison == ">" else m >= limit for m in sizes)

                case = bits, quantum, highest
                assert ("v_threshold (out of reach)" in constants) == (not reached(threshold)), case
                assert ("highest level (out of reach)" in constants) == (bits > 1 and not reached(highest)), case


# ---- biases that add up to an event of an output

OUTPUTS = {"sum": Readout("sum", leak=0.0), "mean": Readout("mean", leak=0.0), "last": Readout("last", leak=1.0),
           "reset": Readout("last", leak=1.0, reset_interval=300)}


@pytest.mark.parametrize("case", OUTPUTS)
@pytest.mark.parametrize("weights", ([[1.0, -0.5]], [[0.5, -1.0]], [[2.0, 1.0]]))
def test_a_bias_that_adds_up_to_an_event(case, weights):
    """2^-8 is less than half a step of 1 / 127, and becomes 0; so many steps add up to the largest weight, which
    is one event."""
    bias = 2.0**-8
    first = int(np.abs(weights).max() / bias)  # exactly as much
    if case == "reset" and first > 300:
        first = None
    for steps in range(200, 600, 8):
        model = chain(steps, Input((2,)), Dense(weights, [bias]), OUTPUTS[case])
        rounding = rounding_of(model, "readout2", precision="int8")
        assert ("bias" in rounding.constants) == (first is not None and steps >= first), steps
    for steps in (first - 1, first) if first else ():
        model = chain(steps, Input((2,)), Dense(weights, [bias]), OUTPUTS[case])
        rounding = rounding_of(model, "readout2", precision="int8")
        assert ("bias" in rounding.constants) == (steps == first)
        assert rounding.later.get("bias", (None,))[0] == (first if steps < first else None)


# ---- of several constants of one name, the one that changes first

@pytest.mark.parametrize("of_synapses, of_neuron", ((0.25, 0.125), (0.125, 0.25), (0.25, 0.25), (0.25, 0.0)))
def test_the_first_of_two_biases(of_synapses, of_neuron):
    node = Neuron(100.0, quantum=100.0, bias=of_neuron, reset="hard", resolution=1.0)
    model = chain(4, Input((1,)), Dense([[50.0]], [of_synapses]), node)
    first, change = rounding_of(model, "neuron2", chip=Chip("mine")).later["bias"]
    largest, steps = max(of_synapses, of_neuron), 1
    while largest * steps <= 100.0:  # each rounds to 0, and makes the neuron fire alone as soon as it is more
        steps += 1
    assert first == steps and (change.before, change.after) == (largest, 0.0)
