"""Deep networks built by hand: ResNet20, VGG16, ResNet34 and a small VGG, with random weights.

    pip install .
    python examples/deep_networks.py
    python examples/deep_networks.py resnet20 --images 16 --save .

Builds each network, saves it, loads it in a fresh process, runs random images through it and
prints what that took. The weights are drawn from a seeded generator, so nothing here predicts
anything; what is real is the structure, the size and, by calibration, the firing rate.

Calibration: each layer is fed, once and in order, with the spikes of the calibrated layers before
it. The means and variances of its currents, per channel, become the statistics of its BatchNorm,
as a trainer would have estimated them; one shift per layer is then searched by bisection so that
its neurons fire at the wanted rate.
"""

import argparse
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np

import commands
import eventsim
from eventsim import (
    AvgPool, BatchNorm, Conv2d, Dense, Flatten, Input, MaxPool, Model, Neuron, Readout, Simulator,
)
from eventsim.merging import merge

SPREAD = 0.5  # standard deviation of a layer's current over neurons and steps, in quanta
CLASSES = 10
IMAGE = dict(encoding="image", bits=8, scale=1 / 255, mean=0.5, std=0.25)


def small_vgg(seed=0, rate=0.1, threshold=0.5) -> Model:
    """64-64-P-128-128-P-256-256-P and a dense readout, on 3x32x32: the network of benchmarks/."""
    net = _Builder((3, 32, 32), seed, rate, threshold)
    at = "input"
    for stage, channels in enumerate((64, 128, 256), 1):
        for layer in (1, 2):
            at = net.layer(f"conv{stage}_{layer}", at, channels, 3)
        at = net.pool(f"pool{stage}", at, MaxPool(2))
    return net.model("small VGG", net.head(at))


def vgg16(seed=0, rate=0.1) -> Model:
    """Configuration D of Simonyan and Zisserman (2014) on 3x32x32, with dense layers of 512."""
    net = _Builder((3, 32, 32), seed, rate)
    at = "input"
    for stage, (channels, depth) in enumerate(((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)), 1):
        for layer in range(1, depth + 1):
            at = net.layer(f"conv{stage}_{layer}", at, channels, 3)
        at = net.pool(f"pool{stage}", at, MaxPool(2))
    at = net.flatten(at)
    for layer in (1, 2):
        at = net.dense_layer(f"dense{layer}", at, 512)
    return net.model("VGG16", net.readout(at))


def resnet20(seed=0, rate=0.1) -> Model:
    """Three stages of three blocks on 3x32x32 (He et al., 2015, section 4.2), with 1x1 shortcuts."""
    net = _Builder((3, 32, 32), seed, rate)
    at = net.layer("stem", "input", 16, 3)
    return net.model("ResNet20", net.head(_stages(net, at, ((16, 3), (32, 3), (64, 3)))))


def resnet34(seed=0, rate=0.1) -> Model:
    """Table 1 of He et al. (2015) on 3x224x224, with 10 classes."""
    net = _Builder((3, 224, 224), seed, rate, images=2)
    at = net.layer("stem", "input", 64, 7, stride=2)
    at = net.pool("pool", at, MaxPool(3, stride=2, padding=1))
    return net.model("ResNet34", net.head(_stages(net, at, ((64, 3), (128, 4), (256, 6), (512, 3)))))


NETWORKS = {"small_vgg": small_vgg, "resnet20": resnet20, "vgg16": vgg16, "resnet34": resnet34}


def random_images(n, shape, seed=1):
    """uint8 (n, *shape): smooth random colours with noise, so that neighbours are alike."""
    rng = np.random.default_rng(seed)
    channels, height, width = shape
    coarse = rng.uniform(-1, 1, (n, channels, 4, 4))
    smooth = coarse.repeat(-(-height // 4), axis=2).repeat(-(-width // 4), axis=3)
    values = smooth[..., :height, :width] + 0.5 * rng.standard_normal((n, *shape))
    return np.clip(128 + 60 * values, 0, 255).astype(np.uint8)


def _stages(net, at, stages):
    """Basic blocks whose shortcut joins the current of the second convolution, so that the neuron
    fires after the addition: an identity edge, or a strided 1x1 convolution where shapes differ."""
    for stage, (channels, blocks) in enumerate(stages, 1):
        for block in range(1, blocks + 1):
            name = f"stage{stage}_{block}"
            stride = 2 if stage > 1 and block == 1 else 1
            inner = net.layer(name + "a", at, channels, 3, stride)
            at = net.layer(name + "b", inner, channels, 3, shortcut=(at, stride))
    return at


class _Builder:
    """Collects nodes and edges, and keeps the levels that each spiking node sends for the
    calibration images: int (images, T, ...)."""

    def __init__(self, shape, seed, rate, threshold=0.5, images=32, timesteps=4):
        self.rng = np.random.default_rng(seed)
        self.rate, self.threshold, self.timesteps = rate, threshold, timesteps
        self.seed = seed
        self.nodes = {"input": Input(shape, **IMAGE)}
        self.edges = []
        self.levels = {"input": random_images(images, shape, seed + 1)}

    def layer(self, name, source, channels, kernel, stride=1, shortcut=None):
        """Conv2d, BatchNorm, Neuron; shortcut: (source, stride) of a second path, or None."""
        return self._layer(name, source, self._convolution(source, channels, kernel, stride), shortcut)

    def dense_layer(self, name, source, n):
        """Dense, BatchNorm, Neuron."""
        return self._layer(name, source, Dense(self._weight(n, self._shape(source)[0])))

    def pool(self, name, source, node):
        """A pool of spikes; returns its name."""
        self._join(source, **{name: node})
        recording = self._run(source, node, ("spikes:node",))
        self.levels[name] = recording.levels("node")
        return name

    def flatten(self, source):
        """Flatten; returns its name."""
        self._join(source, flatten=Flatten())
        levels = self.levels[source]
        self.levels["flatten"] = levels.reshape(*levels.shape[:2], -1)
        return "flatten"

    def head(self, source):
        """Global average, Flatten, Dense, Readout; returns the name of the readout."""
        channels, *size = self._shape(source)
        return self._join(source, average=AvgPool(size), flatten=Flatten(),
                          dense=Dense(self._weight(CLASSES, channels)), readout=Readout())

    def readout(self, source):
        """Dense, Readout; returns the name of the readout."""
        weight = self._weight(CLASSES, self._shape(source)[0])
        return self._join(source, dense=Dense(weight), readout=Readout())

    def model(self, title, output):
        """The finished Model."""
        origin = f"{title} of examples/deep_networks.py, random weights, seed {self.seed}"
        return Model(self.nodes, self.edges, self.timesteps,
                     [f"class {i}" for i in range(CLASSES)], {"origin": origin})

    def _layer(self, name, source, synapses, shortcut=None):
        current = self._current(source, synapses)
        mean, variance = _statistics(current)
        current = SPREAD * _normalised(current, mean, variance)
        other = None
        if shortcut is not None:
            other, added = self._shortcut(name, *shortcut, channels=current.shape[2])
            current += added
        shift, spikes = _fire_at(self.rate, current, self.threshold)
        self._join(source, **{
            f"{name}_synapses": synapses,
            f"{name}_norm": _batch_norm(mean, variance, shift),
            name: Neuron(v_threshold=self.threshold, quantum=1.0, reset="soft"),
        })
        if other is not None:
            self.edges.append((other, name))
        self.levels[name] = spikes
        return name

    def _shortcut(self, name, source, stride, channels):
        """(name of the last node of the shortcut, its current)."""
        if stride == 1 and self._shape(source)[0] == channels:
            return source, self.levels[source]
        synapses = self._convolution(source, channels, 1, stride)
        current = self._current(source, synapses)
        mean, variance = _statistics(current)
        end = self._join(source, **{
            f"{name}_shortcut": synapses, f"{name}_shortcut_norm": _batch_norm(mean, variance, 0.0),
        })
        return end, SPREAD * _normalised(current, mean, variance)

    def _convolution(self, source, channels, kernel, stride):
        weight = self._weight(channels, self._shape(source)[0], kernel, kernel)
        return Conv2d(weight, stride=stride, padding=kernel // 2)

    def _weight(self, n_out, *fan_in):
        """He-normal weights, rounded to float32 as a trainer would have stored them."""
        deviation = np.sqrt(2 / np.prod(fan_in))
        return (deviation * self.rng.standard_normal((n_out, *fan_in))).astype(np.float32)

    def _shape(self, name):
        return self.levels[name].shape[1:] if name == "input" else self.levels[name].shape[2:]

    def _join(self, source, **chain):
        """Add a chain of nodes behind `source`; returns the name of the last."""
        for name, node in chain.items():
            self.nodes[name] = node
            self.edges.append((source, name))
            source = name
        return source

    def _current(self, source, synapses):
        """float32 (images, T, C, ...): what the synapses give for the spikes of `source`."""
        return self._run(source, synapses, ("potentials:sum",)).potentials("sum")

    def _run(self, source, node, record):
        """One node, alone, on the calibration levels of its source."""
        entrance = self.nodes["input"] if source == "input" else Input(self._shape(source))
        model = Model({"input": entrance, "node": node, "sum": Readout()},
                      [("input", "node"), ("node", "sum")], self.timesteps)
        return Simulator(model).run(self.levels[source], record=record)


def _batch_norm(mean, variance, shift):
    n = mean.size
    return BatchNorm(np.full(n, SPREAD), np.full(n, shift), mean, variance)


def _statistics(current):
    """Mean and variance per channel, as float32 numbers."""
    axes = (0, 1, *range(3, current.ndim))
    return (current.mean(axis=axes, dtype=np.float64).astype(np.float32),
            current.var(axis=axes, dtype=np.float64).astype(np.float32))


def _normalised(current, mean, variance):
    shape = (-1,) + (1,) * (current.ndim - 3)
    return (current - mean.reshape(shape)) / np.sqrt(variance + 1e-5).reshape(shape)


def _fire_at(rate, current, threshold):
    """(shift, levels): the shift of all currents at which neurons fire at `rate`, and their spikes."""
    sample = current.reshape(*current.shape[:2], -1)
    sample = sample[:, :, :: -(-sample[0, 0].size * len(sample) // 200_000)]
    low, high = -8.0, 8.0
    for _ in range(16):
        shift = (low + high) / 2
        if _fire(sample + np.float32(shift), threshold).mean() < rate:
            low = shift
        else:
            high = shift
    return shift, _fire(current + np.float32(shift), threshold)


def _fire(current, threshold):
    """bool like current (images, T, ...): integrate, fire, subtract 1."""
    spikes = np.empty(current.shape, bool)
    membrane = np.zeros_like(current[:, 0])
    for t in range(current.shape[1]):
        membrane += current[:, t]
        spikes[:, t] = membrane >= threshold
        membrane -= spikes[:, t]
    return spikes


# ---- measuring


def measure(path, precision, n_images):
    """Load a file, run images one by one, and say what it took: a dict of numbers."""
    began = time.perf_counter()
    model = eventsim.load(path)
    loaded = time.perf_counter()
    simulator = Simulator(model, precision)
    lowered = time.perf_counter()
    images = random_images(n_images, model.nodes[model.input].shape, seed=2)
    simulator.run(images[:1], record=())  # compiles, or loads what is compiled
    seconds, counts = [], None
    for image in images:
        recording = simulator.run(image[np.newaxis], record=())
        seconds.append(recording.seconds)
        counts = merge((counts, recording.counts.summed()))
    layers = [name for name in counts.neurons if isinstance(model.nodes[name], Neuron)]
    rates = [counts.firing_rate(name) for name in layers]
    totals = counts.totals()
    return {
        "load": loaded - began,
        "lower": lowered - loaded,
        "run": float(np.median(seconds)),
        "megabytes": _peak_megabytes(),
        "neurons": sum(counts.neurons[name] for name in layers),
        "weights": sum(n.weight.size for n in model.nodes.values() if isinstance(n, (Conv2d, Dense))),
        "rates": (min(rates), float(np.mean(rates)), max(rates)),
        "additions": totals["additions"] / n_images,
        "dense_macs": totals["dense_macs"] / n_images,
    }


def _peak_megabytes():
    """Largest resident memory of this process so far (Linux), else NaN."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return float("nan")
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def _alone(function, *arguments):
    """Call in a fresh process, so that its memory is its own."""
    with ProcessPoolExecutor(1, get_context("spawn"), commands.end_on_interrupt) as pool:
        return pool.submit(function, *arguments).result()


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("networks", nargs="*", default=[], metavar="NETWORK", help=", ".join(NETWORKS))
    parser.add_argument("--images", type=commands.POSITIVE, default=5, help="random images to run (default 5)")
    parser.add_argument("--save", type=Path, help="folder in which to keep the model files")
    args = parser.parse_args(argv)
    unknown = set(args.networks) - set(NETWORKS)
    if unknown:
        parser.error(f"unknown network {', '.join(sorted(unknown))}; there are {', '.join(NETWORKS)}")
    if args.save is not None and not args.save.is_dir():
        parser.error(f"--save {args.save}: there is no such folder")
    print(f"{'network':<10}{'neurons':>9}{'weights':>9}{'additions':>11}{'dense MACs':>12}"
          f"{'firing rate':>22}  precision{'load':>8}{'lower':>8}{'s/image':>9}{'peak MB':>9}")
    with tempfile.TemporaryDirectory() as folder:
        for name in args.networks or NETWORKS:
            path = (args.save or Path(folder)) / f"{name}.h5"
            began = time.perf_counter()
            model = NETWORKS[name]()
            built = time.perf_counter()
            eventsim.save(model, path)
            saved = time.perf_counter()
            del model
            for precision in ("float32", "int8"):
                r = _alone(measure, path, precision, args.images)
                rates = "{:.3f} ({:.3f}..{:.3f})".format(r["rates"][1], r["rates"][0], r["rates"][2])
                print(f"{name:<10}{r['neurons'] / 1e3:>7.0f} k{r['weights'] / 1e6:>7.2f} M"
                      f"{r['additions'] / 1e6:>9.0f} M{r['dense_macs'] / 1e6:>10.0f} M{rates:>22}"
                      f"  {precision:<9}{r['load']:>7.2f}s{r['lower']:>7.2f}s{r['run']:>9.4f}"
                      f"{r['megabytes']:>9.0f}", flush=True)
            print(f"          built and calibrated in {built - began:.1f} s, saved in {saved - built:.1f} s, "
                  f"{path.stat().st_size / 2**20:.1f} MB", flush=True)
    return 0


if __name__ == "__main__":
    commands.run("deep_networks", main)
