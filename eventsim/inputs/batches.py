"""How many samples are read and run together."""

import numpy as np

BATCH_VALUES = 1 << 20  # levels of the samples at a time
BATCH = (16, 1024)  # at least and at most so many samples


def batch_size(n_values, least, most) -> int:
    """Return how many samples of so many values each to take together, from `least` to `most`."""
    return int(np.clip(BATCH_VALUES // n_values, least, most))
