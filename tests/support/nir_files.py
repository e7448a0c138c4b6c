"""NIR files written with plain h5py, and a plain NumPy interpreter of their equations.

It knows nothing of eventsim: it takes the dictionaries of which files are made, so that reading,
folding and running are all tested against it.
"""

import math
from graphlib import TopologicalSorter

import h5py
import numpy as np

TEXT = h5py.string_dtype()


def lif(n, kind="LIF", **members):
    """Members of a neuron of shape n; taus of 2 ms."""
    full = {"type": kind, "r": np.full(n, 1.0)}
    if kind in ("LI", "LIF"):
        full["tau"] = np.full(n, 2e-3)
    if kind.startswith("Cuba"):
        full.update(tau_syn=np.full(n, 4e-3), tau_mem=np.full(n, 2e-3))
    if kind not in ("I", "IF"):
        full["v_leak"] = np.zeros(n)
    if kind in ("IF", "LIF", "CubaLIF"):
        full["v_threshold"] = np.full(n, 1.0)
    full.update(members)
    return {name: value for name, value in full.items() if value is not None}


def conv(weight, bias=None, **members):
    """Members of a Conv1d or Conv2d."""
    n = weight.ndim - 2
    full = {"type": f"Conv{n}d", "weight": weight, "bias": np.zeros(len(weight)) if bias is None else bias,
            "stride": np.ones(n, int), "padding": np.zeros(n, int), "dilation": np.ones(n, int), "groups": 1}
    return {**full, **members}


def chain(shape, *nodes, out=None):
    """(nodes, edges) of an Input, nodes n0, n1, ... in a row, and an Output."""
    named = {"input": {"type": "Input", "shape": np.array(shape)}}
    named.update({f"n{i}": node for i, node in enumerate(nodes)})
    named["output"] = {"type": "Output", "shape": np.array(shape if out is None else out)}
    names = list(named)
    return named, list(zip(names, names[1:]))


def write(path, nodes, edges, version="1.0.8", gzip=False, metadata=None):
    """A NIR file; nested graphs are nodes with "nodes" and "edges"."""
    with h5py.File(path, "w") as file:
        if version is not None:
            file.create_dataset("version", data=version, dtype=TEXT)
        top = {"type": "NIRGraph", "nodes": nodes, "edges": edges}
        _fill(file.create_group("node"), {**top, **({"metadata": metadata} if metadata else {})}, gzip)
    return path


def _fill(group, members, gzip):
    for name, value in members.items():
        if isinstance(value, dict):
            _fill(group.create_group(name), value, gzip)
        elif name == "edges":
            data = np.array(value, dtype=object).reshape(-1, 2)
            if len(value):
                group.create_dataset(name, data=data, dtype=TEXT)
            else:
                group.create_dataset(name, data=[])
        elif isinstance(value, str):
            group.create_dataset(name, data=value, dtype=TEXT)
        else:
            packed = {"compression": "gzip"} if gzip and np.ndim(value) else {}
            group.create_dataset(name, data=value, **packed)


# ---- the equations, step by step

DEFAULT = dict(dt=1e-3, if_input="auto", integration="euler", reset="hard", reset_delay=0, comparison=">", bits=1,
               lower_limit="none", start="zero")  # the reader's own
PRESETS = {  # FORMATS: what the simulators do by default
    "norse": dict(DEFAULT, if_input="x", start="leak"),
    "snntorch": dict(DEFAULT, dt=1e-4, integration="scaled_euler", reset="soft", reset_delay=1),
    "sinabs": dict(DEFAULT, dt=1.0, if_input="x", integration="exponential", reset="soft", comparison=">=",
                   bits=8),
    "spikingjelly": dict(DEFAULT, dt=1e-4, if_input="dt_r", comparison=">=", start="reset"),
}

# what differs from these: (preset, kind of neurons) -> options
BY_KIND = {("sinabs", "LI"): dict(integration="impulse"), ("norse", "IF"): dict(start="reset")}


class Reference:
    """Runs a flat graph. back: edges over which the value of the step before arrives. options: as in
    PRESETS."""

    def __init__(self, nodes, edges, back=(), start="zero", **options):
        self.edges, self.back, self.start = list(dict.fromkeys(edges)), set(back), start
        order = {name: [s for s, t in self.edges if t == name and (s, t) not in self.back] for name in nodes}
        self.nodes = {name: nodes[name] for name in TopologicalSorter(order).static_order()}
        self.o = options
        self.state, self.past = {}, {}

    def run(self, x):
        """name -> (T, ...) of what every node gives; x: (T, ...)."""
        given = {name: [] for name in self.nodes}
        for t, frame in enumerate(x):
            now = {}
            for name, node in self.nodes.items():
                inputs = [self._arrives(s, name, now) for s, n in self.edges if n == name]
                total = frame if node["type"] == "Input" else sum(i for i in inputs if i is not None)
                if node["type"] != "Input" and all(i is None for i in inputs):
                    total = None
                now[name] = self._step(name, node, total, t)
                given[name].append(now[name])
            self.past = now
        return {name: np.array([np.zeros(0) if v is None else v for v in values])
                for name, values in given.items()}

    def _arrives(self, source, target, now):
        if (source, target) in self.back:
            return self.past.get(source)
        return now[source]

    def _step(self, name, node, x, t):
        kind = node["type"]
        if kind in ("Input", "Output"):
            return x
        if kind in ("Linear", "Affine"):
            x = np.zeros(node["weight"].shape[1]) if x is None else x
            return node["weight"] @ x + node.get("bias", 0.0)
        if kind in ("Conv1d", "Conv2d"):
            return convolved(node, x)
        if kind in ("SumPool2d", "AvgPool2d"):
            return pooled(node, x)
        if kind == "Flatten":
            return x.reshape(-1)
        if kind == "Scale":
            return x * node["scale"]
        if kind == "Threshold":
            return self._fires(x, np.asarray(node["threshold"])).astype(float)
        if kind == "Delay":
            return self._delayed(name, node, x)
        return self._neuron(name, node, 0.0 if x is None else x)

    def _delayed(self, name, node, x):
        steps = np.rint(np.broadcast_to(node["delay"], x.shape) / self.o["dt"]).astype(int)
        kept = self.state.setdefault(name, [])
        kept.append(x)
        out = np.zeros(x.shape)
        for index in np.ndindex(x.shape):
            if steps[index] < len(kept):
                out[index] = kept[-1 - steps[index]][index]
        return out

    def _fires(self, v, threshold):
        return v > threshold if self.o["comparison"] == ">" else v >= threshold

    def _neuron(self, name, node, x):
        kind, o, r = node["type"], self.o, node["r"]
        shape = np.shape(x)
        v = self.state.get(name, np.zeros(shape))
        threshold, reset = node.get("v_threshold"), node.get("v_reset", 0.0)
        leaky = "v_leak" in node
        starts = {"leak": node.get("v_leak", 0.0), "reset": reset}
        if self.start in starts and name not in self.state:
            v = np.broadcast_to(starts[self.start], shape).astype(float)
        if not leaky:
            v = v + self._integrated(r) * x
        else:
            decay, a = self._factors(node["tau" if "tau" in node else "tau_mem"])
            drive = r * x
            if kind.startswith("Cuba"):
                keep, s = self._factors(node["tau_syn"])
                jump = x if o.get("cuba_input") == "x" else s * node.get("w_in", 1.0) * x
                current = keep * self.state.get(name + " I", np.zeros(shape)) + jump
                self.state[name + " I"] = current
                drive = r * current
            if o["integration"] == "impulse":
                v = decay * v + a * node["v_leak"] + x
            else:
                v = decay * v + a * (node["v_leak"] + drive)
        if threshold is None:
            self.state[name] = v
            return v
        late, owed = o.get("reset_delay", 0), self.state.get(name + " k", np.zeros(shape))
        if late and o["reset"] == "soft":
            v = v - owed * threshold
        elif late:
            v = np.where(owed > 0, reset if o["reset"] == "hard" else 0.0, v)
        k = self.state[name + " k"] = self._levels(v, threshold)
        if late:
            pass
        elif o["reset"] == "soft":
            v = v - k * threshold
        else:
            v = np.where(k > 0, reset if o["reset"] == "hard" else 0.0, v)
        if o["lower_limit"] == "all" or (o["lower_limit"] == "IF" and kind == "IF"):
            v = np.maximum(v, -np.asarray(threshold))
        self.state[name] = v
        return k

    def _integrated(self, r):
        way = self.o["if_input"]
        if way == "auto":
            way = "x" if (np.asarray(r) == 1).all() else "dt_r"
        return {"x": 1.0, "r": r, "dt_r": self.o["dt"] * np.asarray(r)}[way]

    def _factors(self, tau):
        x = self.o["dt"] / np.asarray(tau, float)
        if self.o["integration"] in ("euler", "scaled_euler"):
            return 1 - x, x
        decay = np.vectorize(math.exp)(-x)
        return decay, 1 - decay

    def _levels(self, v, threshold):
        k = np.zeros(np.shape(v))
        for level in range(1, 2 ** self.o["bits"]):
            fires = self._fires(v - (level - 1) * threshold, np.asarray(threshold))
            if not fires.any():
                break
            k = k + fires
        return k


def _axes(value, n):
    return tuple(np.broadcast_to(value, n).tolist())


def convolved(node, x):
    """Cross-correlation with zero padding, tap by tap; "same" pads one more at the end."""
    weight, n = node["weight"], node["weight"].ndim - 2
    stride, dilation = _axes(node["stride"], n), _axes(node["dilation"], n)
    if node["padding"] == "same" if isinstance(node["padding"], str) else False:
        total = [d * (k - 1) for d, k in zip(dilation, weight.shape[2:])]
        pads = [(t // 2, t - t // 2) for t in total]
    elif isinstance(node["padding"], str):
        pads = [(0, 0)] * n
    else:
        pads = [(p, p) for p in _axes(node["padding"], n)]
    x = np.pad(x, [(0, 0), *pads])
    groups = int(node["groups"])
    n_out, n_in = weight.shape[:2]
    size = [(m - d * (k - 1) - 1) // s + 1 for m, k, s, d in zip(x.shape[1:], weight.shape[2:], stride, dilation)]
    out = np.zeros((n_out, *size)) + np.reshape(node["bias"], (-1,) + (1,) * n)
    for o in range(n_out):
        first = o // (n_out // groups) * n_in
        for tap in np.ndindex(weight.shape[2:]):
            window = tuple(slice(t * d, t * d + (m - 1) * s + 1, s)
                           for t, d, m, s in zip(tap, dilation, size, stride))
            for c in range(n_in):
                out[o] += weight[(o, c, *tap)] * x[(first + c, *window)]
    return out


def pooled(node, x):
    """Sum or mean over windows of zero-padded maps."""
    kernel, stride, padding = (_axes(node[part], 2) for part in ("kernel_size", "stride", "padding"))
    x = np.pad(x, [(0, 0), *((p, p) for p in padding)])
    size = [(m - k) // s + 1 for m, k, s in zip(x.shape[1:], kernel, stride)]
    out = np.zeros((len(x), *size))
    for a, b in np.ndindex(*kernel):
        out += x[:, a : a + (size[0] - 1) * stride[0] + 1 : stride[0],
                 b : b + (size[1] - 1) * stride[1] + 1 : stride[1]]
    return out / (kernel[0] * kernel[1] if node["type"] == "AvgPool2d" else 1)
