"""MPR, the membrane potential rectifier: phi (InfLoR-SNN, eq. 9) and its inverse, in quanta.

phi has a power of 1/3, not `cbrt`: thresholds are found by bisection, which needs that phi never falls, and the
`cbrt` of common C libraries falls by a last bit here and there. `kernels.membrane_statistics` has the same
function, to the bit.
"""

from math import tanh

import numpy as np

STEEPNESS, HEIGHT = 3, 2 * tanh(1.5)  # of the curve from 0 to 1


def phi(u: float) -> float:
    """The rectified membrane of a membrane u."""
    if u < 0:
        return 1 - (1 - u) ** (1 / 3)
    if u <= 1:
        return tanh(STEEPNESS * (u - 0.5)) / HEIGHT + 0.5
    return u ** (1 / 3)


def rectified(u, n_levels=1) -> np.ndarray:
    """The rectified membranes, elementwise: phi(u), and with more than one level above 0 the same around each:
    j + phi(u - j), j = floor(u) within 0 and n_levels - 1. Returns float64 of the arguments' common shape."""
    u = np.asarray(u, np.float64)
    level = np.clip(np.floor(u), 0, np.asarray(n_levels) - 1)
    with np.errstate(invalid="ignore"):  # NaN stays NaN
        return level + np.vectorize(phi, otypes=[np.float64])(u - level)


def unrectified(y) -> np.ndarray:
    """The u whose phi(u) is y, elementwise: float64 of the shape of y."""
    y = np.asarray(y, np.float64)
    inside = np.arctanh((np.clip(y, 0, 1) - 0.5) * HEIGHT) / STEEPNESS + 0.5
    return np.where(y < 0, 1 - (1 - y) ** 3, np.where(y > 1, y**3, inside))
