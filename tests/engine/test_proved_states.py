"""How far a run may go on from a state: as far as the integers of the recurrence itself fit 32 bits."""

import random

import numpy as np
import pytest

from eventsim import Chip, DataError, Dense, Input, Model, Neuron, Readout, RunError, SigmaDelta, Simulator

M = 2**31 - 1
LEVEL = 65535
ADDED = 4 * 127 * LEVEL  # by four of the highest levels: a 64th of what int32 holds


def integrator(node):
    """Weights that become 127."""
    nodes = {"in": Input((4,), bits=16, signed=True), "w": Dense([[1.0] * 4]), "n": node}
    return Model(nodes, [("in", "w"), ("w", "n")])


def trace(signs, filters):
    """Membranes after each step, in Python's integers."""
    current, membrane, membranes = 0, 0, []
    for sign in signs:
        current = (current if filters else 0) + sign * ADDED
        membrane += current
        membranes.append(membrane)
    return membranes


def run(simulator, signs, state=None):
    x = np.array(signs)[None, :, None] * np.full((1, 1, 4), LEVEL)
    return simulator.run(x, state=state, record="potentials")


NODES = {"readout": Readout("last", leak=1.0), "readout of a current": Readout("last", leak=1.0, current_leak=1.0)}


@pytest.mark.parametrize("case", NODES)
def test_no_run_goes_on_to_where_32_bits_end(case):
    """Whatever is taken agrees with the recurrence; what leaves 32 bits is refused."""
    filters = "current" in case
    simulator = Simulator(integrator(NODES[case]), "int8")
    safe, rng = simulator.program.safe_steps, random.Random(1)
    assert max(trace([1] * safe, filters)) < M <= max(trace([1] * (safe + 1), filters))
    taken = refused = 0
    for kind in range(60):
        signs = ((1,), (-1,), (1, -1), (0, 1), (0, -1), (0,))[kind % 6]
        first = rng.choices(signs, k=rng.randint(1, safe))
        second = rng.choices((1, -1) if kind % 5 == 4 else ((1, -1)[kind % 2],), k=rng.randint(1, 2 * safe))
        state = run(simulator, first).state
        expected = trace(first + second, filters)
        fits = max(map(abs, expected)) < M
        try:
            potentials = run(simulator, second, state).potentials("n").ravel().tolist()
        except RunError as error:
            assert "proved free of int32 overflow" in str(error)
            refused += 1
            continue
        assert fits and potentials == expected[len(first):], (first, second)
        taken += len(first) + len(second) > safe
    assert refused and bool(taken) == (not filters)


@pytest.mark.parametrize("sign", (1, -1))
def test_membranes_of_either_sign_say_how_far_a_run_goes_on(sign):
    simulator = Simulator(integrator(Readout("last", leak=1.0)), "int8")
    safe = simulator.program.safe_steps
    state = run(simulator, [sign] * safe).state
    with pytest.raises(RunError, match=f"but only {safe} are proved"):
        run(simulator, [sign], state)
    state = run(simulator, [sign] * (safe // 2) + [-sign] * (safe // 2)).state
    assert len(run(simulator, [sign] * (safe - 1), state).potentials("n").ravel()) == safe - 1


def test_a_current_that_adds_up_says_nothing_by_its_membrane():
    """Down and up again, the membrane is near 0, and its current far from it."""
    simulator = Simulator(integrator(Readout("last", leak=1.0, current_leak=1.0)), "int8")
    safe = simulator.program.safe_steps
    down = [-1, -1, -1] + [1] * (safe - 3)
    best = min(range(3, safe + 1), key=lambda n: abs(trace(down[:n], True)[-1]))
    state = run(simulator, down[:best]).state
    assert abs(int(state.membranes["n"][0, 0, 0])) < M // 8
    assert max(trace(down[:best] + [1] * safe, True)) > M
    with pytest.raises(RunError, match="proved free of int32 overflow"):
        run(simulator, [1] * safe, state)


def test_changes_that_were_sent_say_nothing_by_their_membrane():
    simulator = Simulator(integrator(SigmaDelta(v_threshold=0.0, bits=16, quantum=1.0)), "int8")
    safe = simulator.program.safe_steps
    state = run(simulator, [0] * safe).state
    with pytest.raises(RunError, match="proved free of int32 overflow"):
        run(simulator, [0], state)


# ---- currents that a chip's width holds

WIDTHS = {"wrap": (-2048, 2047), "error": (-2048, 2047), "saturate": (-2048, 2047),
          "saturate_symmetric": (-2047, 2047), "wrap_once": None}


@pytest.mark.parametrize("rule", WIDTHS)
@pytest.mark.parametrize("kind", ("filtered", "membranes"))
def test_currents_are_of_their_width(rule, kind):
    """What one turn leaves may be outside; membranes too, as a reset leaves them anywhere."""
    nodes = {"in": Input((1,)), "w": Dense([[1.0]]), "n": Neuron(0.5, current_leak=0.5)}
    chip = Chip("narrow", current_bits=12, current_overflow=rule, membrane_bits=12, membrane_overflow="saturate")
    simulator = Simulator(Model(nodes, [("in", "w"), ("w", "n")]), chip=chip)
    x = np.array([[[1]]])
    for value in (-2049, -2048, -2047, 2047, 2048):
        state = simulator.run(x).state
        getattr(state, kind)["n"][..., 0] = value
        limits = WIDTHS[rule] if kind == "filtered" else None
        if limits is None or limits[0] <= value <= limits[1]:
            assert simulator.run(x, state=state).timesteps == 1
        else:
            with pytest.raises(DataError, match=f"^state.filtered of 'n' has numbers .*beyond {limits[0]} to "):
                simulator.run(x, state=state)
