"""The slope of MPR (InfLoR-SNN, eq. 9) as polynomials: no power, no hyperbolic tangent.

Coefficients, highest first, are float32; they hold to about 2e-7.
"""

from math import tanh

import numpy as np

FURTHEST = 3.0  # outside [0, 1] that OUTSIDE holds


def _polynomial(function, high, degree):
    """Coefficients of a function on [0, high], of `centred` arguments."""
    s = np.cos(np.pi * (np.arange(256) + 0.5) / 256)
    fitted = np.polynomial.chebyshev.Chebyshev.fit(s, function(high / 2 * (1 + s)), degree, domain=[-1, 1])
    return tuple(float(np.float32(c)) for c in fitted.convert(kind=np.polynomial.Polynomial).coef[::-1])


def centred(x, high):
    """x of [0, high] as a number of [-1, 1]."""
    return (x - high / 2) * (2 / high)


def evaluate(coefficients, s):
    """A polynomial by Horner's rule."""
    y = coefficients[0]
    for c in coefficients[1:]:
        y = y * s + c
    return y


# phi' between two levels, by the square of the distance to the threshold; outside, by the distance to the level.


def _inside(x):
    return 1.5 / tanh(1.5) * (1 - np.tanh(3 * np.sqrt(x)) ** 2)


def _outside(x):
    return (1 + x) ** (-2 / 3) / 3


INSIDE, OUTSIDE = _polynomial(_inside, 0.25, 10), _polynomial(_outside, FURTHEST, 15)
SHORT_INSIDE, SHORT_OUTSIDE = _polynomial(_inside, 0.25, 8), _polynomial(_outside, FURTHEST, 8)  # to about 1e-5
