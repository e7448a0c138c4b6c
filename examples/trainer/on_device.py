"""Samples that live in the memory of a device, and their augmentation there, by a torch.Generator.

x: uint8 (n, H, W, C), channels last, as convolutions in bfloat16 like it. fill: uint8 (C,), the level that is
worth 0 after normalisation. The operations are those of augmentation.py; only the random numbers differ.
"""

from types import SimpleNamespace

import numpy as np
import torch

from trainer.device_auto_augment import auto_augment

AUGMENTATIONS = ("none", "simple", "cutout", "paper")


def resident(input_node, device):
    """What an Input's levels are worth, on a device: float32 tensors, so that no step waits for a copy."""
    numbers = {name: torch.as_tensor(np.atleast_1d(getattr(input_node, name)), dtype=torch.float32, device=device)
               for name in ("mean", "std")}
    return SimpleNamespace(shape=input_node.shape, scale=float(input_node.scale), **numbers)


class Resident:
    """The training samples on a device.

    part: has x (N, C, H, W) and y (N,). input_node: says which level is worth 0.
    augmentation: "none"; "simple": crop and flip; "cutout": and Cutout; "paper": and AutoAugment.
    """

    def __init__(self, part, input_node, device, augmentation="cutout"):
        self.x = torch.from_numpy(np.ascontiguousarray(part.x.transpose(0, 2, 3, 1))).to(device)
        self.y = torch.from_numpy(np.asarray(part.y, np.int64)).to(device)
        fill = np.round(np.atleast_1d(input_node.mean) / input_node.scale).astype(np.uint8)
        self.fill = torch.from_numpy(np.broadcast_to(fill, part.x.shape[1]).copy()).to(device)
        self.augmentation = augmentation
        self.generator = torch.Generator(device)

    def __len__(self):
        return len(self.y)

    def batch(self, indices, rng=None):
        """(x uint8 (n, C, H, W) channels last, y int64 (n,)) on the device, augmented where a NumPy generator,
        which seeds the device's, is given."""
        chosen = torch.from_numpy(np.asarray(indices)).to(self.x.device, non_blocking=True)
        x = self.x[chosen]
        if rng is not None and self.augmentation != "none":
            self.generator.manual_seed(int(rng.integers(1 << 62)))
            x = self._augmented(x)
        return x.contiguous().permute(0, 3, 1, 2), self.y[chosen]

    def _augmented(self, x):
        x = crop_and_flip(x, self.fill, self.generator)
        if self.augmentation == "paper":
            x = auto_augment(x, self.generator)
        return x if self.augmentation == "simple" else cutout(x, self.fill, self.generator)


def whole(generator, low, high, n):
    """n whole numbers from low to high - 1."""
    return torch.randint(low, high, (n,), generator=generator, device=generator.device)


def crop_and_flip(x, fill, generator, padding=4):
    """Shift each picture by up to `padding` pixels; mirror about half of them."""
    n, height, width, channels = x.shape
    padded = fill.expand(n, height + 2 * padding, width + 2 * padding, channels).clone()
    padded[:, padding : padding + height, padding : padding + width] = x
    tops, lefts = (whole(generator, 0, 2 * padding + 1, n) for _ in range(2))
    mirrored = whole(generator, 0, 2, n)[:, None].bool()
    columns = torch.arange(width, device=x.device)
    columns = lefts[:, None] + torch.where(mirrored, width - 1 - columns, columns)
    rows = tops[:, None] + torch.arange(height, device=x.device)
    samples = torch.arange(n, device=x.device)
    return padded[samples[:, None, None], rows[:, :, None], columns[:, None, :]]


def cutout(x, fill, generator, size=16):
    """Blank a square of `size` pixels around any pixel (DeVries and Taylor, 2017)."""
    n, height, width, _ = x.shape
    inside = []
    for length in (height, width):
        start = whole(generator, 0, length, n)[:, None] - size // 2
        pixels = torch.arange(length, device=x.device)
        inside.append((pixels >= start) & (pixels < start + size))
    rows, columns = inside
    return torch.where((rows[:, :, None] & columns[:, None, :])[..., None], fill, x)
