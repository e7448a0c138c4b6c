"""The engine beside the slow reference: every level, membrane, output and count is the same, bit for bit."""

import numpy as np

import reference
from eventsim.engine.simulator import Simulator
from eventsim.errors import RunError, UnsupportedError

ALL = ("spikes", "currents", "potentials", "residuals", "outputs")
INTEGERS = ("int8", "fixed")
# what only the engine refuses: layouts that it does not have, and sums that it cannot prove to fit
ENGINE_REFUSES = ("ends in a sum of unequal quanta", "of the flattened map", "flattened from maps",
                  "flattened real numbers", "more than int32 holds", "which would make it fire without input")


def simulated(model, x, precision, timesteps, chip):
    """(Simulator, Recording) of the engine, or what it says where it refuses."""
    record = ALL + ("audit",) * (precision in INTEGERS)
    try:
        simulator = Simulator(model, precision, chip=chip)
        recording = simulator.run(x, timesteps, record)
    except (UnsupportedError, RunError) as error:
        return None, str(error)
    untraced = simulator.run(x, timesteps, ("spikes",))  # takes the short ways of plain neurons
    for name in recording.spikes:
        np.testing.assert_array_equal(untraced.levels(name), recording.levels(name), f"{name}, untraced")
    return simulator, recording


def assert_equal_to_reference(model, x, precision, timesteps=None, chip=None):
    """Run both and compare everything that they give; returns None where the engine refuses."""
    simulator, found = simulated(model, x, precision, timesteps, chip)
    if simulator is None and any(reason in found for reason in ENGINE_REFUSES):
        return None
    try:
        expected = reference.simulate(model, x, precision, timesteps, chip)
    except (UnsupportedError, RunError) as error:
        assert simulator is None, f"only the reference refuses: {error}"
        return None
    if simulator is None:
        assert "proved free of int32 overflow" in found, f"only the engine refuses: {found}"
        return None
    assert_same_levels(model, found, expected)
    for kind in ("currents", "potentials", "residuals"):
        for name, trace in getattr(expected, kind).items():
            values = getattr(found, kind)(name)
            np.testing.assert_array_equal(values, trace, f"{kind} of {name}")
            assert values.dtype == trace.dtype
    np.testing.assert_array_equal(found.outputs, expected.outputs, "outputs")
    np.testing.assert_array_equal(found.predictions, expected.predictions)
    for layer, row in expected.counts.items():
        for name, counts in row.items():
            np.testing.assert_array_equal(found.counts[layer][name], counts, f"{name} of {layer}")
        if layer != model.input:
            steps = found.steps_per_unit[layer]
            np.testing.assert_array_equal(steps, expected.steps_per_unit[layer])
    assert audit_of(found.audit or {}) == audit_of(expected.audit)
    return found


def assert_same_levels(model, found, expected):
    """Levels of every node that has its own; trains that are only read later have none there."""
    late = {n for n in expected.levels if model.nodes[n].kind in ("Flatten", "Delay")} - set(found.spikes)
    scaled = {name for name in found.spikes if model.kinds[name] == "scaled"}  # pools after a BatchNorm
    assert set(found.spikes) - scaled == set(expected.levels) - late
    for name in set(expected.levels) - late:
        np.testing.assert_array_equal(found.levels(name), expected.levels[name], f"levels of {name}")


def audit_of(audit):
    """The numbers of an audit, the engine's or the reference's."""
    return {
        name: ({q: (r.lowest, r.highest, r.overflows) for q, r in layer.ranges.items()},
               (layer.n_weights, layer.n_zeroed, layer.n_clipped))
        for name, layer in audit.items()
    }
