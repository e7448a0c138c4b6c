"""A data set of pictures as a few files of limited size, for a machine with PyTorch and nothing of ours.

    pack(open_data("cifar10", FOLDER, 4), "parts")     parts/data.1f3a90c2.000, ..., parts/data.json
    data = unpack("parts")                             what a trainer needs of it: no file formats, no eventsim

Held are the training and the held-out samples; the test part stays at home. Pictures lose about two fifths of
their size, exactly: colours become differences to green, pixels differences to the ones left and above, modulo
256, and these are deflated.
"""

import io
import json
from dataclasses import dataclass
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np

from trainer import pieces
from trainer.errors import TrainerError

NAME = "data"  # of the pieces
LIMIT = 52 * pieces.MEBIBYTE  # one file leaves room for the source tree where both together may have 64 MiB


@dataclass(frozen=True)
class Part:
    """Samples in memory. x: uint8 (N, C, H, W). y: int64 (N,)."""

    x: np.ndarray
    y: np.ndarray

    def __len__(self):
        return len(self.y)

    def batch(self, indices, rng=None):
        """Return (x, y) of the samples `indices`, as they are."""
        return self.x[indices], self.y[indices]


class Packed(NamedTuple):
    """A data set as it is trained on. input_node: shape, scale, mean and std of its levels, as eventsim.Input."""

    name: str
    input_node: SimpleNamespace
    class_names: tuple
    training: Part
    held_out: Part
    moving: bool = False


def pack(data, folder, limit=LIMIT):
    """Write a trainer.data.Data of pictures as pieces; returns their paths. ValueError for moving samples."""
    if data.moving:
        raise TrainerError(f"{data.name}: its samples move, expected pictures")
    node = data.input_node
    about = {"name": data.name, "class_names": data.class_names, "shape": node.shape, "scale": float(node.scale),
             "mean": np.atleast_1d(node.mean).tolist(), "std": np.atleast_1d(node.std).tolist()}
    arrays = {"about": np.frombuffer(json.dumps(about).encode(), np.uint8)}
    for part in ("training", "held_out"):
        x, y = getattr(data, part).batch(np.arange(len(getattr(data, part))))
        arrays[f"{part}_x"], arrays[f"{part}_y"] = differences(x), y
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return pieces.split(file.getvalue(), folder, NAME, limit)


def unpack(folder):
    """Return the Packed data set of a folder. TrainerError where a piece is missing or damaged."""
    arrays = np.load(io.BytesIO(pieces.join(folder, NAME)))
    about = json.loads(arrays["about"].tobytes())
    node = SimpleNamespace(shape=tuple(about["shape"]), scale=about["scale"], mean=np.array(about["mean"]),
                           std=np.array(about["std"]))
    parts = [Part(sums(arrays[f"{part}_x"]), arrays[f"{part}_y"]) for part in ("training", "held_out")]
    return Packed(about["name"], node, tuple(about["class_names"]), *parts)


def differences(x):
    """Return uint8 (N, C, H, W), modulo 256: the differences of each channel to the second, then to the pixels
    left and above."""
    d = x.copy()
    for channel in range(x.shape[1]):
        if channel != 1 and x.shape[1] > 1:
            d[:, channel] -= x[:, 1]
    d[..., 1:] -= d[..., :-1].copy()
    d[..., 1:, :] -= d[..., :-1, :].copy()
    return d


def sums(d):
    """Return what `differences` was given."""
    x = np.cumsum(np.cumsum(d, axis=2, dtype=np.uint8), axis=3, dtype=np.uint8)
    for channel in range(x.shape[1]):
        if channel != 1 and x.shape[1] > 1:
            x[:, channel] += x[:, 1]
    return x
