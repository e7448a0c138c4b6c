"""The peak of additions: the inner loop of the gathering kernels, with nothing around it, shows how many this
machine can make."""

from eventsim.kernels.compiling import compiled
from eventsim.kernels.vectors import lanes_of, load, store, zeros


@compiled
def repeat_additions(weights, sums, masks, repeats):
    """Add all rows of `weights`, of as many lanes as `masks` has bits, to two rows of sums, `repeats` times.
    Writes sums. weights, sums: flat, of one type; an even number of rows."""
    lanes = lanes_of(masks)
    zero = zeros(sums, masks)
    x = zero
    y = zero
    for _ in range(repeats):
        for first in range(0, weights.size, 2 * lanes):
            x = x + load(weights, first, zero)
            y = y + load(weights, first + lanes, zero)
    store(sums, 0, x)
    store(sums, lanes, y)
