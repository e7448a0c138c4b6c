"""Random layers of lava-dl files, in the ranges that the chip's formats have."""

import numpy as np
from lava_arithmetic import Layer


class Maker:
    """Random layers; a file's worth of them with `layers`."""

    def __init__(self, seed, rule="CUBA"):
        self.rng = np.random.default_rng(seed)
        self.rule = rule
        self.shape = None

    def even(self, *shape):
        """Weights of both signs over the whole range, most of them small."""
        big = self.rng.random(shape) < 0.1
        span = np.where(big, 128, 20 if self.rule == "CUBA" else 60)
        values = 2 * np.round(self.rng.uniform(-1, 1, shape) * span)
        return np.clip(values, -256, 254).astype("f4")

    def some(self, low, high, n):
        """A number, one in an array, or one per channel."""
        size = self.rng.choice(["scalar", "one", "all"])
        values = self.rng.integers(low, high + 1, {"scalar": None, "one": 1, "all": n}[size])
        return np.asarray(values)

    def decay(self, n):
        fixed = self.rng.choice([-1, 0, 4096], p=[0.6, 0.2, 0.2])
        return self.some(1, 4095, n) if fixed < 0 else np.asarray(fixed)

    def neuron(self, n, low=1, high=400):
        if self.rule == "SDNN":
            return {"type": "SDNN", "activation": "relu", "vThMant": self.some(0, 40, n)}
        return {"type": str(self.rng.choice(["CUBA", "LOIHI"])), "iDecay": self.decay(n),
                "vDecay": self.decay(n), "vThMant": self.some(low, high, n), "refDelay": 1}

    def input(self, shape, neurons=True):
        self.shape = tuple(np.atleast_1d(shape))
        values = {"shape": shape}
        if neurons:
            values |= {"weight": np.array([7.0]), "bias": np.array(-3.0)}
        return Layer("input", values, self.neuron(self.shape[0]) if neurons else None)

    def extras(self, n, delays=True):
        values = {}
        if self.rng.random() < 0.7:
            values["bias"] = self.some(-30, 60, n).astype("f4")
        if delays and self.rng.random() < 0.6:
            values["delay"] = self.some(0, int(self.rng.choice([3, 62])), n).astype("f4")
        return values

    def conv(self, groups=1):
        n_in, n_out = self.shape[0], groups * int(self.rng.integers(1, 5))
        kernel, stride, dilation = self.rng.integers(1, 4,
                                                     2), self.rng.integers(1, 3, 2), self.rng.integers(1, 3, 2)
        padding = self.rng.integers(0, 3, 2)
        reach = dilation * (kernel - 1) + 1
        padding = np.maximum(padding, reach - np.array(self.shape[1:]))
        weight = self.even(n_out, n_in // groups, *kernel)
        extent = (np.array(self.shape[1:]) + 2 * padding - reach) // stride + 1
        self.shape = (n_out, *map(int, extent))
        if self.rng.random() < 0.5:
            weight = weight[..., None]
        values = {"shape": self.shape, "inChannels": n_in, "outChannels": n_out, "kernelSize": kernel,
                  "stride": stride, "padding": padding, "dilation": dilation, "groups": groups,
                  "weight": weight}
        return Layer("conv", values | self.extras(n_out), self.neuron(n_out))

    def pool(self, kernel):
        kernel = np.array(kernel)
        n = self.shape[0]
        self.shape = (n, *(int(-(-size // k)) for size, k in zip(self.shape[1:], kernel)))
        values = {"shape": self.shape, "kernelSize": kernel, "stride": kernel, "padding": [0, 0],
                  "dilation": [1, 1], "weight": np.full((1, 1, *kernel, 1), 80.0)}
        return Layer("pool", values | self.extras(n), self.neuron(n))

    def flatten(self):
        self.shape = (int(np.prod(self.shape)),)
        return Layer("flatten", {"shape": (1, 1, *self.shape)})

    def dense(self, n_out, kind="dense", last=False, neuron=None):
        n_in = int(np.prod(self.shape))
        weight = self.even(n_out, n_in)
        self.shape = (n_out,)
        values = {"shape": (n_out, 1, 1), "inFeatures": n_in, "outFeatures": n_out,
                  "weight": weight.reshape(-1) if self.rng.random() < 0.5 else weight}
        if kind == "dense_rec":
            values["weight_rec"] = self.even(n_out, n_out)
        values |= self.extras(n_out, not last)
        return Layer(kind, values, self.neuron(n_out) if neuron is None else neuron or None)


def maps(seed, rule):
    make = Maker(seed, rule)
    return [
        make.input((4, 9, 7)), make.conv(), make.pool((2, 3)) if seed % 2 else make.conv(),
        make.flatten(), make.dense(9), make.dense(5, "dense_rec"), make.dense(3, last=True),
    ]


def rows(seed, rule):
    make = Maker(seed, rule)
    never = {"type": "CUBA", "iDecay": 30, "vDecay": 128, "vThMant": 131071, "refDelay": 1}
    sigma = {"type": "SDNN", "activation": "relu", "vThMant": 3, "sigma_output": True}
    layers = [make.input(11, neurons=seed % 2 == 0), make.dense(20, "dense_rec"), make.dense(8)]
    last = make.dense(6, last=True, neuron=never if rule == "CUBA" else sigma)
    if rule == "SDNN":
        last.values.pop("bias", None)
    return [*layers, last]


def grouped(seed, rule):
    make = Maker(seed, rule)
    layers = [make.input((6, 8, 8)), make.conv(3)]
    layers += [make.conv(layers[-1].values["shape"][0]), make.pool((3, 2))]  # depthwise, then a pool
    return [*layers, make.dense(4, last=True, neuron=False)]
