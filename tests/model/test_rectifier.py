"""MPR's phi: one function for thresholds, findings and the kernels of statistics."""

import math

import numba
import numpy as np
import pytest

from eventsim.kernels.membrane_statistics import _rectified
from eventsim.model.rectifier import phi, rectified, unrectified

RANGES = [(-5, 0), (0, 1), (1, 9)]  # where phi is a root, a curve, and a root again


@pytest.mark.parametrize("low, high", RANGES)
def test_phi_never_falls_from_one_number_to_the_next(low, high):
    """Thresholds are found by bisection, which needs it; `cbrt` falls thousands of times here."""
    u = np.repeat(np.random.default_rng(0).uniform(low, high, 1000), 30).reshape(1000, 30)
    for i in range(1, 30):
        u[:, i] = np.nextafter(u[:, i - 1], np.inf)
    assert (np.diff(rectified(u), axis=1) >= 0).all()


@pytest.mark.parametrize("n_levels", (1, 3))
def test_the_kernel_has_the_same_phi_to_the_bit(n_levels):
    u = np.concatenate([np.random.default_rng(1).uniform(*bounds, 5000) for bounds in RANGES]
                       + [[0.0, 0.5, 1.0, 2.0, 3.0, -0.0, math.inf, -math.inf, math.nan]])

    @numba.njit(error_model="numpy")
    def of_kernel(u, most, values):
        for i in range(u.size):
            values[i] = _rectified(u[i], most)

    values = np.empty_like(u)
    of_kernel(u, float(n_levels), values)
    assert np.array_equal(values, rectified(u, n_levels), equal_nan=True)
    assert n_levels > 1 or np.array_equal(values, [phi(number) for number in u.tolist()], equal_nan=True)


def test_phi_is_the_curve_of_the_paper_and_has_an_inverse():
    assert [phi(0.0), phi(0.5), phi(1.0), phi(8.0), phi(-7.0)] == pytest.approx([0, 0.5, 1, 2, -1])
    u = np.linspace(-4, 4, 801)
    np.testing.assert_allclose(unrectified(rectified(u)), u, atol=1e-12)
    assert phi(0.75) == pytest.approx(math.tanh(0.75) / (2 * math.tanh(1.5)) + 0.5)
    assert rectified([2.75, 2.75], [1, 3]).tolist() == [phi(2.75), 2 + phi(0.75)]
