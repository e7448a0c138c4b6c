"""Augmentation of batches of pictures and of events, by a NumPy generator.

Each function takes (x, rng) and returns a new array. x: uint8 (n, C, H, W), or (n, T, 2, H, W) of
events. InfLoR-SNN, section 4.1: flip and crop everywhere, AutoAugment and Cutout for CIFAR-10; flip
and roll by up to 5 pixels for CIFAR10-DVS.
"""

import numpy as np

try:
    from PIL import Image, ImageEnhance, ImageOps
except ImportError:  # only AutoAugment and ImageNet need Pillow
    Image = None

# Cubuk et al. (2018), table 7, "AutoAugment policy found on reduced CIFAR-10": for each of 25
# sub-policies two operations, each with a probability and a magnitude from 0 to 9
CIFAR10_POLICY = (
    (("Invert", 0.1, 7), ("Contrast", 0.2, 6)), (("Rotate", 0.7, 2), ("TranslateX", 0.3, 9)),
    (("Sharpness", 0.8, 1), ("Sharpness", 0.9, 3)), (("ShearY", 0.5, 8), ("TranslateY", 0.7, 9)),
    (("AutoContrast", 0.5, 8), ("Equalize", 0.9, 2)), (("ShearY", 0.2, 7), ("Posterize", 0.3, 7)),
    (("Color", 0.4, 3), ("Brightness", 0.6, 7)), (("Sharpness", 0.3, 9), ("Brightness", 0.7, 9)),
    (("Equalize", 0.6, 5), ("Equalize", 0.5, 1)), (("Contrast", 0.6, 7), ("Sharpness", 0.6, 5)),
    (("Color", 0.7, 7), ("TranslateX", 0.5, 8)), (("Equalize", 0.3, 7), ("AutoContrast", 0.4, 8)),
    (("TranslateY", 0.4, 3), ("Sharpness", 0.2, 6)), (("Brightness", 0.9, 6), ("Color", 0.2, 8)),
    (("Solarize", 0.5, 2), ("Invert", 0.0, 3)), (("Equalize", 0.2, 0), ("AutoContrast", 0.6, 0)),
    (("Equalize", 0.2, 8), ("Equalize", 0.6, 4)), (("Color", 0.9, 9), ("Equalize", 0.6, 6)),
    (("AutoContrast", 0.8, 4), ("Solarize", 0.2, 8)), (("Brightness", 0.1, 3), ("Color", 0.7, 0)),
    (("Solarize", 0.4, 5), ("AutoContrast", 0.9, 3)), (("TranslateY", 0.9, 9), ("TranslateY", 0.7, 9)),
    (("AutoContrast", 0.9, 2), ("Solarize", 0.8, 3)), (("Equalize", 0.8, 8), ("Invert", 0.1, 3)),
    (("TranslateY", 0.7, 9), ("AutoContrast", 0.9, 1)),
)
SIGNED = {"ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate", "Color", "Brightness", "Contrast", "Sharpness"}


class Chain:
    """Several augmentations, one after the other."""

    def __init__(self, *steps):
        self.steps = steps

    def __call__(self, x, rng):
        for step in self.steps:
            x = step(x, rng)
        return x


def flip(x, rng):
    """Mirror about half of the samples, left to right."""
    return np.where(rng.random(len(x)).reshape(-1, *[1] * (x.ndim - 1)) < 0.5, x[..., ::-1], x)


class Crop:
    """Shift by up to `padding` pixels. fill: (C,), the level of what comes in from outside."""

    def __init__(self, padding=4, fill=0):
        self.padding, self.fill = padding, fill

    def __call__(self, x, rng):
        n, channels, height, width = x.shape
        p = self.padding
        padded = np.empty((n, channels, height + 2 * p, width + 2 * p), x.dtype)
        padded[:] = np.reshape(self.fill, (-1, 1, 1))
        padded[:, :, p : p + height, p : p + width] = x
        tops, lefts = rng.integers(0, 2 * p + 1, (2, n))
        return np.stack([sample[:, top : top + height, left : left + width]
                         for sample, top, left in zip(padded, tops, lefts)])


class Cutout:
    """Blank a square of `size` pixels around any pixel (DeVries and Taylor, 2017).

    fill: (C,), the level that is worth 0 after normalisation."""

    def __init__(self, size=16, fill=0):
        self.size, self.fill = size, fill

    def __call__(self, x, rng):
        x = x.copy()
        height, width = x.shape[2:]
        fill = np.reshape(self.fill, (-1, 1, 1))
        for sample, row, column in zip(x, rng.integers(0, height, len(x)), rng.integers(0, width, len(x))):
            top, left = row - self.size // 2, column - self.size // 2
            sample[:, max(top, 0) : top + self.size, max(left, 0) : left + self.size] = fill
        return x


class Roll:
    """Shift by up to `most` pixels, all steps of a sample alike; what leaves comes back."""

    def __init__(self, most=5):
        self.most = most

    def __call__(self, x, rng):
        by = rng.integers(-self.most, self.most + 1, (len(x), 2))
        return np.stack([np.roll(sample, tuple(b), (-2, -1)) for sample, b in zip(x, by)])


def auto_augment(x, rng):
    """One of the 25 sub-policies for each picture, uint8 (n, 3, H, W) (AutoAugment for CIFAR-10)."""
    if Image is None:
        raise ImportError("AutoAugment needs Pillow: pip install pillow")
    policies = rng.integers(0, len(CIFAR10_POLICY), len(x))
    chances, signs = rng.random((len(x), 2)), rng.integers(0, 2, (len(x), 2)) * 2 - 1
    out = np.empty_like(x)
    for i, sample in enumerate(x):
        picture = Image.fromarray(np.ascontiguousarray(sample.transpose(1, 2, 0)))
        for (name, probability, magnitude), chance, sign in zip(CIFAR10_POLICY[policies[i]], chances[i], signs[i]):
            if chance < probability:
                picture = operate(picture, name, magnitude, sign if name in SIGNED else 1)
        out[i] = np.asarray(picture).transpose(2, 0, 1)
    return out


def operate(picture, name, magnitude, sign):
    """One operation of AutoAugment on a PIL picture; magnitude 0 to 9, sign 1 or -1."""
    part = magnitude / 9
    width, height = picture.size
    if name in ("AutoContrast", "Equalize", "Invert"):
        return getattr(ImageOps, name.lower())(picture)
    if name == "Posterize":
        return ImageOps.posterize(picture, 8 - round(4 * part))
    if name == "Solarize":
        return ImageOps.solarize(picture, 256 * (1 - part))
    if name in ("Color", "Brightness", "Contrast", "Sharpness"):
        return getattr(ImageEnhance, name)(picture).enhance(1 + sign * 0.9 * part)
    if name == "Rotate":
        return picture.rotate(sign * 30 * part, fillcolor=(128, 128, 128))
    shear, shift = sign * 0.3 * part, sign * 150 / 331 * part
    matrix = {
        "ShearX": (1, shear, 0, 0, 1, 0), "ShearY": (1, 0, 0, shear, 1, 0),
        "TranslateX": (1, 0, int(shift * width), 0, 1, 0), "TranslateY": (1, 0, 0, 0, 1, int(shift * height)),
    }[name]
    return picture.transform(picture.size, Image.Transform.AFFINE, matrix, fillcolor=(128, 128, 128))
