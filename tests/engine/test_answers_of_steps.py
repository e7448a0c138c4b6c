"""Answers: of some steps alone as a run of them gives them, to the bit."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from small_networks import chain, conv, weights

from eventsim import Dense, Flatten, Input, Neuron, Readout, Simulator
from eventsim.engine.answers import answer_of_steps

HEAD = Input((2, 3, 4), bits=4), conv(5, padding=1, bias=False), Neuron(0.3, bits=2)
ENDS = {
    "spikes": (), "map sum": (conv(3), Readout()), "map mean": (conv(3), Readout(reduce="mean", leak=0.7)),
    **{reduce: (Flatten(), Dense(weights(np.random.default_rng(1), 7, 60)), Readout(reduce=reduce, leak=0.5))
       for reduce in ("sum", "mean", "last")},
}
SIMULATORS = {(end, precision): Simulator(chain(np.random.default_rng(2), *HEAD, *steps, readout=False), precision)
              for end, steps in ENDS.items() for precision in ("float32", "float64", "int8")}


@pytest.mark.parametrize("end, precision", SIMULATORS)
@given(seed=st.integers(0, 1 << 30), begin=st.integers(0, 5), steps=st.integers(1, 6))
@settings(max_examples=10, deadline=None)
def test_the_answer_of_some_steps_is_that_of_a_run_of_them(end, precision, seed, begin, steps):
    simulator = SIMULATORS[end, precision]
    x = np.random.default_rng(seed).integers(0, 16, (1, begin + steps, 2, 3, 4), np.uint8)
    program = simulator.program
    layer = program.stages[program.output]
    kind = "potentials" if layer.reduce else "spikes"
    run = simulator.run(x, record=("outputs", f"{kind}:{program.output}"))
    emitted = run.potentials(program.output) if layer.reduce else run.levels(program.output).astype(np.int32)
    emitted = emitted.reshape(begin + steps, -1)
    for stop in range(1, begin + steps + 1):
        answer = answer_of_steps(emitted[:stop], layer, program.dtype)
        assert answer.dtype == run.outputs.dtype and answer.tobytes() == run.outputs[0, stop - 1].tobytes()
    later = answer_of_steps(emitted[begin:], layer, program.dtype)
    assert later.tobytes() == answer_of_steps(emitted[begin:].copy(), layer, program.dtype).tobytes()
    if layer.reduce == "last":
        assert later.tobytes() == run.output[0].tobytes()
