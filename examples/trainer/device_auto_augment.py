"""AutoAugment for CIFAR-10 on a device: augmentation.auto_augment for whole batches, as Pillow computes it.

x: uint8 (n, H, W, 3), channels last. Every picture has its own operation, magnitude and sign; an operation is a
movement (nearest pixel), a table of levels, or a blend with a picture that lacks something.
"""

from functools import lru_cache

import torch
from torch.nn import functional

from trainer.augmentation import CIFAR10_POLICY, SIGNED

OPERATIONS = ("none", "ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate", "Invert", "AutoContrast",
              "Equalize", "Posterize", "Solarize", "Color", "Brightness", "Contrast", "Sharpness")
NUMBER = {name: number for number, name in enumerate(OPERATIONS)}
GREY = 128  # what comes in from outside


@lru_cache(maxsize=None)
def policy(device):
    """(operations, probabilities, magnitudes), each (25, 2), and which operations have a sign, (15,)."""
    names, chances, magnitudes = (
        [[step[i] for step in steps] for steps in CIFAR10_POLICY] for i in range(3))
    numbers = [[NUMBER[name] for name in pair] for pair in names]
    signed = [name in SIGNED for name in OPERATIONS]
    return (torch.tensor(numbers, device=device), torch.tensor(chances, device=device),
            torch.tensor(magnitudes, device=device, dtype=torch.float32), torch.tensor(signed, device=device))


def auto_augment(x, generator):
    """One of the 25 sub-policies for each picture."""
    operations, chances, magnitudes, signed = policy(x.device)
    chosen = torch.randint(0, len(operations), (len(x),), generator=generator, device=x.device)
    drawn = torch.rand(2, 2, len(x), generator=generator, device=x.device)
    for step in range(2):
        operation = torch.where(drawn[0, step] < chances[chosen, step], operations[chosen, step], 0)
        sign = torch.where(signed[operation] & (drawn[1, step] < 0.5), -1.0, 1.0)
        x = operate(x, operation, magnitudes[chosen, step], sign)
    return x


def operate(x, operation, magnitude, sign):
    """One operation on each picture. operation: numbers in OPERATIONS (n,). magnitude: 0 to 9; sign: 1 or -1."""
    part = magnitude / 9
    x = move(x, matrices(operation, part, sign, x.shape[1:3]))
    return blend(look_up(x, operation, part), operation, sign * 0.9 * part)


# ---- movements


def matrices(operation, part, sign, size):
    """(n, 2, 3): column and row that a pixel comes from, by its column, row and 1; the identity for what stays."""
    height, width = size
    shear, shift, angle = 0.3 * sign * part, 150 / 331 * sign * part, torch.deg2rad(-30 * sign * part)
    zero = torch.zeros_like(part)

    def of(name, value):
        return torch.where(operation == NUMBER[name], value, zero)

    turn = of("Rotate", angle)
    cos, sin = torch.cos(turn), torch.sin(turn)
    x0, y0 = width / 2, height / 2
    to_x = torch.stack([cos, sin + of("ShearX", shear),
                        x0 - cos * x0 - sin * y0 + of("TranslateX", (shift * width).trunc())], 1)
    to_y = torch.stack([-sin + of("ShearY", shear), cos,
                        y0 + sin * x0 - cos * y0 + of("TranslateY", (shift * height).trunc())], 1)
    return torch.stack([to_x, to_y], 1)


def move(x, matrix):
    """Each pixel from where its matrix says, the nearest one; GREY from outside."""
    n, height, width, _ = x.shape
    columns = torch.arange(width, device=x.device) + 0.5
    rows = torch.arange(height, device=x.device)[:, None] + 0.5
    a = matrix[:, :, :, None, None]
    column, row = ((a[:, i, 0] * columns + a[:, i, 1] * rows + a[:, i, 2]).floor().long() for i in range(2))
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    samples = torch.arange(n, device=x.device)[:, None, None]
    moved = x[samples, row.clamp(0, height - 1), column.clamp(0, width - 1)]
    return torch.where(inside[..., None], moved, torch.full_like(moved[:1, :1, :1, :1], GREY))


# ---- tables of levels


def look_up(x, operation, part):
    """Every level by the table of its picture and channel."""
    n, height, width, channels = x.shape
    levels = x.permute(0, 3, 1, 2).reshape(n, channels, -1).long()
    i = torch.arange(256, device=x.device).expand(n, channels, 256)
    bits = 8 - (4 * part).round().long()
    kept = (256 - 2 ** (8 - bits))[:, None, None]
    tables = {
        "Invert": 255 - i, "Posterize": i & kept,
        "Solarize": torch.where(i < (256 * (1 - part))[:, None, None], i, 255 - i),
        "AutoContrast": auto_contrast(levels, i), "Equalize": equalize(levels, i),
    }
    table = i
    for name, one in tables.items():
        table = torch.where((operation == NUMBER[name])[:, None, None], one, table)
    looked_up = table.gather(2, levels).reshape(n, channels, height, width)
    return looked_up.permute(0, 2, 3, 1).to(torch.uint8)


def auto_contrast(levels, i):
    """The darkest level to 0, the lightest to 255. levels: (n, C, pixels); i: (n, C, 256)."""
    low, high = levels.amin(2, keepdim=True), levels.amax(2, keepdim=True)
    span = (high - low).clamp(min=1).double()
    scale = torch.full_like(span, 255.0) / span  # 255 / span would be 255 times the reciprocal
    stretched = (i * scale - low * scale).trunc().clamp(0, 255).long()
    return torch.where(high > low, stretched, i)


def equalize(levels, i):
    """As many pixels of each level, as far as can be."""
    counts = torch.zeros_like(i).scatter_add_(2, levels, torch.ones_like(levels))
    last = counts.gather(2, levels.amax(2, keepdim=True))
    step = (levels.shape[2] - last) // 255
    below = counts.cumsum(2) - counts
    return torch.where(step > 0, ((step // 2 + below) // step.clamp(min=1)).clamp(max=255), i)


# ---- blends


def blend(x, operation, change):
    """Away from (change > 0) or towards the picture that lacks colour, light, contrast or sharpness."""
    image = x.float()
    red, green, blue = x.long().unbind(3)
    grey = ((19595 * red + 38470 * green + 7471 * blue + 0x8000) >> 16).float()[..., None]
    lacking = {"Color": grey.expand_as(image), "Brightness": torch.zeros_like(image), "Sharpness": smooth(image),
               "Contrast": (grey.mean((1, 2, 3), keepdim=True) + 0.5).floor().expand_as(image)}
    base, factor = image, torch.zeros_like(change)
    for name, one in lacking.items():
        chosen = operation == NUMBER[name]
        base = torch.where(chosen[:, None, None, None], one, base)
        factor = torch.where(chosen, 1 + change, factor)
    return (base + factor[:, None, None, None] * (image - base)).clamp(0, 255).to(torch.uint8)


def smooth(image):
    """Pillow's SMOOTH: 3 x 3, the middle five times; borders as they are. image: float32 (n, H, W, C)."""
    kernel = torch.ones(3, 3, device=image.device)
    kernel[1, 1] = 5
    channels = image.shape[3]
    inner = functional.conv2d(image.permute(0, 3, 1, 2), (kernel / 13).expand(channels, 1, 3, 3), groups=channels)
    smoothed = image.clone()
    smoothed[:, 1:-1, 1:-1] = (inner + 0.5).floor().permute(0, 2, 3, 1)
    return smoothed
