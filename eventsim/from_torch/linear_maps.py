"""Linear maps: what an operation of the network does to numbers, in torch."""

import numpy as np
import torch


def constants_of(operation):
    """What an operation adds to each of its elements, float64 (elements,)."""
    name = {"linear": "bias", "convolution": "bias", "conv_transpose": "bias",
            "affine": "shift"}.get(operation.kind)
    value = operation.settings.get(name) if name else None
    if value is None:
        return np.zeros(operation.size)
    value = np.asarray(value)
    if value.size == operation.size:  # per element
        return value.reshape(-1)
    return np.broadcast_to(value.reshape(value.shape + (1,) * (len(operation.shape) - value.ndim)),
                           operation.shape).reshape(-1)


def linear_part(operation, x):
    """An operation without its constants, in torch; x: (B, *what it reads)."""
    settings, functional = operation.settings, torch.nn.functional
    if operation.kind == "linear":
        return x.flatten(1) @ torch.from_numpy(settings["weight"]).t()
    if operation.kind == "affine":
        scale = torch.from_numpy(np.asarray(settings["scale"]))
        return x * scale.view(scale.shape + (1,) * (len(operation.shape) - scale.ndim))
    if operation.kind == "convolution":
        convolve = functional.conv1d if x.ndim == 3 else functional.conv2d
        return convolve(x, torch.from_numpy(settings["weight"]), None, settings["stride"], settings["padding"],
                        settings["dilation"], settings["groups"])
    if operation.kind == "conv_transpose":
        return functional.conv_transpose2d(
            x, torch.from_numpy(settings["weight"]), None, settings["stride"], settings["padding"],
            settings["output_padding"], settings["groups"], settings["dilation"])
    pool = functional.avg_pool1d if x.ndim == 3 else functional.avg_pool2d
    return pool(x, settings["kernel_size"], settings["stride"], settings["padding"], settings["ceil_mode"],
                settings["count_include_pad"])
