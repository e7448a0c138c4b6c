"""Lava's integer arithmetic in plain NumPy: the definition that the tests of lava-dl files hold to.

Written from the equations of the format alone. It reads and writes `.net` files by itself and shares
no code with eventsim. Everything is int64; sums of products run in float64, where all that occurs
here is exact (checked).
"""

from dataclasses import dataclass, field
from typing import Any, Dict, Optional

import h5py
import numpy as np

STATE = 1 << 23  # states of CUBA neurons keep within 24 bits


@dataclass
class Layer:
    """A layer as its group in a file: `type`, further datasets, and those of its neuron."""

    type: str
    values: Dict[str, Any] = field(default_factory=dict)
    neuron: Optional[Dict[str, Any]] = None

    def get(self, name, default=None):
        return self.values.get(name, default)


# ---- files


def _plain(value):
    """What h5py gave, as text or an array."""
    if isinstance(value, np.ndarray) and value.dtype.kind in "SO":
        value = value.reshape(-1)[0]
    return value.decode() if isinstance(value, bytes) else np.asarray(value)


def read(path):
    """The layers of a file, by their number."""
    layers = []
    with h5py.File(path) as file:
        for i in range(len(file["layer"])):
            group = file[f"layer/{i}"]
            values = {k: _plain(v[()]) for k, v in group.items() if isinstance(v, h5py.Dataset)}
            neuron = {k: _plain(v[()]) for k, v in group["neuron"].items()} if "neuron" in group else None
            layers.append(Layer(str(values.pop("type")), values, neuron))
    return layers


def write(path, layers, texts="fixed", steps=None):
    """Write layers as lava-dl does. texts: how strings are kept: "fixed", (1,), or "object", ()."""
    with h5py.File(path, "w") as file:
        for i, layer in enumerate(layers):
            group = file.create_group(f"layer/{i}")
            if texts == "fixed":
                group.create_dataset("type", (1,), "S10", [layer.type.encode()])
            else:
                group["type"] = layer.type
            for name, value in layer.values.items():
                group[name] = value
            for name, value in (layer.neuron or {}).items():
                group[f"neuron/{name}"] = value
        if steps is not None:
            file["simulation/tSample"] = steps


# ---- synapses


def _exact(products):
    assert np.abs(products).max(initial=0) < 2**53
    return products.astype(np.int64)


def convolve(x, weight, stride, padding, dilation, groups):
    """Cross-correlation of x (Ci, H, W) with weight (Co, Ci / groups, kH, kW)."""
    (top, left), (sy, sx), (dy, dx) = padding, stride, dilation
    x = np.pad(x, ((0, 0), (top, top), (left, left))).astype(np.float64)
    n_out, n_in, kh, kw = weight.shape
    height = (x.shape[1] - dy * (kh - 1) - 1) // sy + 1
    width = (x.shape[2] - dx * (kw - 1) - 1) // sx + 1
    out = np.zeros((n_out, height, width))
    per_group = n_out // groups
    for g in range(groups):
        source, target = slice(g * n_in, (g + 1) * n_in), slice(g * per_group, (g + 1) * per_group)
        for ky in range(kh):
            for kx in range(kw):
                y, z = ky * dy, kx * dx
                window = x[source, y : y + sy * (height - 1) + 1 : sy, z : z + sx * (width - 1) + 1 : sx]
                out[target] += np.tensordot(weight[target, :, ky, kx].astype(np.float64), window, 1)
    return _exact(out)


def pool(x, weight, kernel):
    """Sums of x (C, H, W), padded at the bottom and the right, times the weight (1, 1, kH, kW)."""
    (kh, kw), (c, h, w) = kernel, x.shape
    x = np.pad(x, ((0, 0), (0, -h % kh), (0, -w % kw)))
    blocks = x.reshape(c, x.shape[1] // kh, kh, x.shape[2] // kw, kw)
    return (blocks * weight.reshape(1, 1, kh, 1, kw).astype(np.int64)).sum(axis=(2, 4))


def pair(value):
    return tuple(int(v) for v in np.broadcast_to(value, 2))


def synapses(layer, x):
    """Sums of raw weights over the messages x, of a layer's shape."""
    if layer.type == "flatten":
        return x.reshape(-1)
    weight = np.asarray(layer.get("weight"))
    if layer.type in ("dense", "dense_rec"):
        n_in = x.size
        return _exact(weight.reshape(-1, n_in).astype(np.float64) @ x.reshape(-1).astype(np.float64))
    kernel = pair(layer.get("kernelSize"))
    if layer.type == "pool":
        return pool(x, weight, kernel)
    weight = weight.reshape(*weight.shape[:2], *kernel)
    return convolve(x, weight, pair(layer.get("stride")), pair(layer.get("padding")),
                    pair(layer.get("dilation")), int(layer.get("groups", 1)))


def wrapped(a):
    """To signed 24 bits, two's complement."""
    return (a + STATE) % (2 * STATE) - STATE


# ---- neurons


def toward_zero(x):
    return np.sign(x) * (np.abs(x) >> 12)


def per_channel(value, shape):
    """A scalar or one value per channel, for states of `shape`."""
    value = np.asarray(value).astype(np.int64).reshape(-1)
    return value.reshape(-1, *(1,) * (len(shape) - 1)) if value.size > 1 else value[0]


class Cuba:
    """u: current, v: membrane after the reset."""

    def __init__(self, neuron, shape, fires_at_threshold=False):
        self.u = self.v = np.zeros(shape, np.int64)
        self.decays = [4096 - per_channel(neuron[name], shape) for name in ("iDecay", "vDecay")]
        self.threshold = per_channel(neuron["vThMant"], shape) << 6
        self.fires_at_threshold = fires_at_threshold

    def reset(self):
        self.u = self.v = np.zeros_like(self.u)

    def step(self, a, bias):
        u = toward_zero(self.u * self.decays[0]) + (a << 6)
        u = np.where(u > STATE, u - 2 * STATE, np.where(u <= -STATE, u + 2 * STATE, u))
        v = toward_zero(self.v * self.decays[1]) + u + (bias << 6)
        v = np.clip(v, -(STATE - 1), STATE - 1)
        fired = v >= self.threshold if self.fires_at_threshold else v > self.threshold
        self.u, self.v, self.before = u, np.where(fired, 0, v), v
        return fired.astype(np.int64)


class SigmaDelta:
    """sigma and act as in the equations; res is what is still to be sent. Delta where `encodes`."""

    def __init__(self, neuron, shape, encodes=False, bits=16):
        self.sigma = self.act = self.res = np.zeros(shape, np.int64)
        self.threshold = per_channel(neuron["vThMant"], shape) << 12
        self.encodes, self.limit = encodes, (1 << bits) - 1

    def reset(self):
        self.sigma = self.act = self.res = np.zeros_like(self.sigma)

    def step(self, a, bias):
        if self.encodes:
            act = (a + bias) << 12
        else:
            self.sigma = self.sigma + a
            act = np.maximum(self.sigma + (bias << 12), 0)
        change = act - self.act + self.res
        sent = np.where(np.abs(change) >= self.threshold, change, 0)
        self.res, self.act = change - sent, act
        return np.clip(sent >> 6, -self.limit, self.limit)


class Sigma:
    """Sums what arrives and sends the sum. Also for layers without neurons in SDNN: the integrator
    below in 64ths, where 24 bits are wide enough for it."""

    def __init__(self, shape):
        self.sum = self.sigma = np.zeros(shape, np.int64)

    def reset(self):
        self.sum = np.zeros_like(self.sum)

    def step(self, a, bias):
        self.sum = self.sum + a
        self.sigma = self.sum + bias
        return self.sigma


WITHOUT = {"type": "CUBA", "iDecay": 0, "vDecay": 4096, "vThMant": 131072}


def _neuron(layer, shape, fires_at_threshold, bits, sdnn):
    if layer.neuron is None and sdnn:
        return Sigma(shape)
    neuron = WITHOUT if layer.neuron is None else layer.neuron
    if neuron["type"] == "SDNN":
        if "sigma_output" in neuron:
            return Sigma(shape)
        return SigmaDelta(neuron, shape, layer.type == "input", bits)
    return Cuba(neuron, shape, fires_at_threshold)


# ---- the run


def run(layers, x, steps, fires_at_threshold=False, reset_interval=0, bits=16, is_bias=False):
    """Traces per layer: dicts of (T, *shape) arrays. "sent", and "u", "v", "before" (the reset) or
    "sigma", "act", "res" where the layer has them.

    x: (*shape) or (T, *shape), what the input layer gets. is_bias: x is the input neuron's bias already.
    """
    shape = tuple(int(n) for n in np.atleast_1d(layers[0].get("shape")))
    x = np.broadcast_to(x, (steps, *shape)).astype(np.int64)
    traces = [{} for _ in layers]
    neurons = [None] * len(layers)
    sdnn = any(layer.neuron is not None and layer.neuron["type"] == "SDNN" for layer in layers)
    for t in range(steps):
        number = 0  # of layers that have neurons
        for k, layer in enumerate(layers):
            if layer.type == "flatten":
                continue
            if k == 0 and layer.neuron is None:
                _keep(traces[k], "sent", x[t])
                continue
            if k == 0:
                a, bias = np.zeros(shape, np.int64), x[t] if is_bias else _transformed(layer, x[t])
            else:
                a, bias = _arriving(layers, traces, k, t, sdnn)
            if neurons[k] is None:
                neurons[k] = _neuron(layer, a.shape, fires_at_threshold, bits, sdnn)
            neuron = neurons[k]
            if reset_interval and t % reset_interval == number % reset_interval:
                neuron.reset()
            number += 1
            _keep(traces[k], "sent", neuron.step(a, bias))
            for name in ("u", "v", "before", "sigma", "act", "res"):
                if hasattr(neuron, name):
                    _keep(traces[k], name, getattr(neuron, name))
    return [{name: np.stack(rows) for name, rows in trace.items()} for trace in traces]


def _keep(trace, name, value):
    trace.setdefault(name, []).append(value)


def _transformed(layer, x):
    """What the input layer injects as the bias of its neurons."""
    weight, bias = (np.asarray(layer.get(n, d)).astype(np.int64).reshape(-1)[0]
                    for n, d in (("weight", 64), ("bias", 0)))
    return weight * x + bias


def _arriving(layers, traces, k, t, sdnn):
    """(sums of weights, bias) of layer k at step t."""
    layer = layers[k]
    before = k - 1
    while layers[before].type == "flatten":
        before -= 1
    message = _sent(traces[before]["sent"], t - 1, layers[before].get("delay", 0))
    a = synapses(layer, message)
    if layer.type == "dense_rec":
        rows = traces[k].get("sent", [])
        last = rows[t - 1] if t else np.zeros(a.shape, np.int64)
        a = a + _exact(np.asarray(layer.get("weight_rec")).astype(np.float64) @ last.astype(np.float64))
    return a if sdnn else wrapped(a), per_channel(layer.get("bias", 0), a.shape)


def _sent(rows, t, delay):
    """What a layer sent at step t, later by its delay, scalar or per channel."""
    delay = np.asarray(delay).astype(np.int64).reshape(-1)
    out = np.zeros_like(rows[0])
    if delay.size == 1:
        return rows[t - delay[0]] if t >= delay[0] else out
    for c, d in enumerate(delay):
        if t >= d:
            out[c] = rows[t - d][c]
    return out
