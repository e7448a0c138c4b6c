"""The UCI digits that scikit-learn ships: 1,797 images of 8x8, values 0 to 16."""

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

SEED = 0  # of the splits; not of the training
SCALE = 1 / 16  # value of one level, so that white is 1


def load_split():
    """Two thirds to train on, one third held out, stratified by class; always the same.

    Returns (x, y) twice: x uint8 (N, 1, 8, 8), y int64 (N,). 1,198 and 599 samples.
    """
    digits = load_digits()
    x = digits.images.astype(np.uint8)[:, None]
    if not np.array_equal(x[:, 0], digits.images):
        raise ValueError("scikit-learn's digits are no longer whole numbers")
    return split(x, digits.target.astype(np.int64), 1 / 3)


def split(x, y, held_out):
    """((x, y), (x, y)): the part to train on, and a fraction `held_out`, stratified by class."""
    x0, x1, y0, y1 = train_test_split(x, y, test_size=held_out, stratify=y, random_state=SEED)
    return (x0, y0), (x1, y1)
