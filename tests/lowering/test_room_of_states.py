"""What the states of neurons are counted with is what a run keeps of them."""

import numpy as np
import pytest

from eventsim import Alpha, Dense, Input, Model, Neuron, Readout, SigmaDelta, Simulator
from eventsim.engine.state import arrays_of
from eventsim.lowering import room

NODES = {  # -> node, and its states that are counted: what resets and pauses keep beside them is not
    "plain": (Neuron(), 1), "a current": (Neuron(current_leak=0.5), 2), "late": (Neuron(reset_delay=1), 1),
    "pauses": (Neuron(refractory=2), 1), "late currents": (Neuron(current_leak=0.5, reset_delay=1), 2),
    "readout": (Readout(), 1), "a readout of currents": (Readout(current_leak=0.5), 2),
    "changes": (SigmaDelta(bits=4), 2), "alpha": (Alpha(excitatory_leak=0.9, inhibitory_leak=0.5), 3),
}
N = 64  # neurons: no lane is left over


@pytest.mark.parametrize("precision", ("float32", "float64"))
@pytest.mark.parametrize("case", NODES)
def test_states_are_counted(case, precision):
    """At most as many bytes as a run keeps; all of them where nothing is late and nothing pauses."""
    node, counted = NODES[case]
    model = Model({"in": Input((4,)), "w": Dense(np.ones((N, 4))), "n": node}, [("in", "w"), ("w", "n")])
    program = Simulator(model, precision).program
    item = program.dtype.itemsize
    kept = sum(int(np.prod(shape)) * np.dtype(dtype).itemsize
               for shape, dtype in arrays_of(program.stages["n"], 1, program.dtype).values())
    [need] = [need for need in room.needs_of(model, item) if need.label == model.label("n")]
    parameters = N * (8 * getattr(node, "n_bits", 0) + 24 + room.PARAMETERS * item)
    assert need.n_bytes - parameters == N * item * counted <= kept
    assert N * item * counted == kept or "late" in case or "pauses" in case
