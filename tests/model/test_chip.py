"""What a Chip may be: its name, and the widths and steps of its weights."""

import numpy as np
import pytest
from reference_equality import assert_equal_to_reference

from eventsim import Chip, Dense, Input, Model, ModelError, Neuron, Readout
from eventsim.lowering.recipe import PRECISIONS


@pytest.mark.parametrize("bits, step, lowest, highest", [
    (2, 1, -2, 1), (4, 7, -7, 7), (4, 6, -6, 6), (16, 256, -32768, 32512), (3, 3, -3, 3), (9, 2, -256, 254)])
def test_weights_reach(bits, step, lowest, highest):
    chip = Chip("few", weight_bits=bits, weight_step=step)
    assert (chip.lowest_weight, chip.highest_weight) == (lowest, highest)


@pytest.mark.parametrize("bits, step", [(2, 2), (4, 8), (8, 128)])
def test_steps_that_leave_no_weight_are_refused(bits, step):
    with pytest.raises(ModelError, match=f"^weight_step is {step}, but a weight of {bits} bits reaches only "
                                         f"{2 ** (bits - 1) - 1}$"):
        Chip("none", weight_bits=bits, weight_step=step)


@pytest.mark.parametrize("bits, step", [(2, 1), (4, 7), (3, 3)])
@pytest.mark.parametrize("resolution", [None, 1.0])
@pytest.mark.parametrize("make", [Neuron, Readout])
def test_three_weights_run(bits, step, resolution, make):
    """One step up, one down, or nothing."""
    chip, rng = Chip("ternary", weight_bits=bits, weight_step=step), np.random.default_rng(bits)
    amount = 1.0 if resolution is None else float(step)
    weight = amount * rng.integers(-1, 2, (3, 8)) * (0.5 if make is Neuron else 1.0)
    fields = {} if make is Readout else {"v_threshold": amount, "quantum": amount}
    nodes = {"in": Input((8,)), "w": Dense(weight), "n": make(resolution=resolution, **fields)}
    model = Model(nodes, [("in", "w"), ("w", "n")], timesteps=5)
    assert assert_equal_to_reference(model, rng.integers(0, 2, (2, 5, 8)), "fixed", chip=chip) is not None


@pytest.mark.parametrize("name", [*PRECISIONS, "fixed"])
def test_names_of_precisions_are_refused(name):
    with pytest.raises(ModelError, match=f"^name is '{name}', which is a precision, expected another name for the "
                                         "chip$"):
        Chip(name)
    assert Chip(f"{name} of mine").name
